//! Previews of files before they are sent: small pictures, and the waveform of voice messages.
//!
//! The sender makes them, so that no recipient has to decode a file to show what it is, and no
//! server sees it. A new picture has none of the data that a camera stores with a picture: places,
//! names, times.
//!
//! **Always**: decoders are bounded in pixels and memory. A file that they refuse has no preview,
//! but is still sent.

use std::io::{BufRead, Cursor, Read as _, Seek};

use image::{
    DynamicImage, ImageDecoder as _, ImageReader, Limits, codecs::jpeg::JpegEncoder,
    metadata::Orientation,
};
use waxwing_engine::api::Preview;

/// Pixels of a side of a picture that is decoded, at most.
const SIDE: u32 = 16_384;
/// Bytes that decoding may take, at most.
const DECODING_BYTES: u64 = 256 << 20;
/// Pixels of a thumbnail's longer side.
const THUMBNAIL: u32 = 160;
/// Bytes of a thumbnail, at most.
const THUMBNAIL_BYTES: usize = 12 << 10;
/// Longer recordings have no preview (bytes).
const RECORDING_BYTES: u64 = 64 << 20;
/// Levels of a waveform.
const LEVELS: usize = 64;
/// Opus counts at this rate, no matter at which rate it was recorded (RFC 7845 section 4).
const SAMPLES_PER_MS: u64 = 48;

/// What can be shown of a file of `size` bytes, if anything can.
pub(super) fn of(file: impl BufRead + Seek, size: u64, media_type: &str) -> Option<Preview> {
    if media_type.starts_with("image/") {
        picture(ImageReader::new(file))
    } else if media_type == "audio/ogg" || media_type == "audio/opus" {
        recording(file, size)
    } else {
        None
    }
}

/// A small picture of the picture in these bytes: a JPEG in base64.
pub(crate) fn thumbnail(bytes: &[u8]) -> Option<String> {
    picture(ImageReader::new(Cursor::new(bytes))).map(|preview| preview.thumbnail)
}

fn picture<R: BufRead + Seek>(reader: ImageReader<R>) -> Option<Preview> {
    let mut reader = reader.with_guessed_format().ok()?;
    let mut limits = Limits::default();
    limits.max_image_width = Some(SIDE);
    limits.max_image_height = Some(SIDE);
    limits.max_alloc = Some(DECODING_BYTES);
    reader.limits(limits);
    let mut decoder = reader.into_decoder().ok()?;
    let turned = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    let mut picture = DynamicImage::from_decoder(decoder).ok()?;
    picture.apply_orientation(turned);
    let small = picture.thumbnail(THUMBNAIL, THUMBNAIL);
    let (width, height) = (small.width(), small.height());
    let rgba = small.to_rgba8();
    let blurhash = blurhash::encode(4, 3, width, height, rgba.as_raw()).unwrap_or_default();
    let flat = DynamicImage::ImageRgb8(small.to_rgb8());
    let thumbnail = [70, 45, 20].into_iter().find_map(|quality| {
        let mut jpeg = Vec::new();
        flat.write_with_encoder(JpegEncoder::new_with_quality(&mut jpeg, quality))
            .ok()?;
        (jpeg.len() <= THUMBNAIL_BYTES).then_some(jpeg)
    });
    Some(Preview {
        width: picture.width(),
        height: picture.height(),
        blurhash,
        thumbnail: data_encoding::BASE64.encode(&thumbnail.unwrap_or_default()),
        ..Preview::default()
    })
}

/// Opus in Ogg (RFC 7845). How loud it is is told by how many bytes it takes: whoever speaks
/// takes more of them than silence. Nothing is decoded for it.
fn recording(file: impl BufRead, size: u64) -> Option<Preview> {
    if size > RECORDING_BYTES {
        return None;
    }
    let mut bytes = Vec::new();
    file.take(RECORDING_BYTES).read_to_end(&mut bytes).ok()?;
    let mut packets = ogg::PacketReader::new(Cursor::new(bytes));
    let head = packets.read_packet().ok()??;
    // Magic, version, channels, pre-skip (section 5.1).
    if !head.data.starts_with(b"OpusHead") {
        return None;
    }
    let skip = head.data.get(10..12)?.try_into().ok()?;
    let skip = u64::from(u16::from_le_bytes(skip));
    packets.read_packet().ok()??;
    let mut sizes = Vec::new();
    let mut last = 0;
    while let Ok(Some(packet)) = packets.read_packet() {
        sizes.push(packet.data.len());
        last = last.max(packet.absgp_page());
    }
    Some(Preview {
        duration_ms: last.saturating_sub(skip) / SAMPLES_PER_MS,
        waveform: levels(&sizes),
        ..Preview::default()
    })
}

/// The loudest packet of each stretch, against the loudest of all.
fn levels(sizes: &[usize]) -> Vec<u8> {
    let loudest = sizes.iter().copied().max().unwrap_or(0).max(1);
    let stretch = sizes.len().div_ceil(LEVELS).max(1);
    let each = sizes.chunks(stretch).map(|some| {
        let level = some.iter().copied().max().unwrap_or(0);
        u8::try_from(level * 255 / loudest).unwrap_or(u8::MAX)
    });
    each.collect()
}

#[cfg(test)]
mod tests {
    use std::{fs::File, io::BufReader, path::Path};

    use image::{ImageFormat, RgbImage};
    use ogg::writing::{PacketWriteEndInfo, PacketWriter};

    use super::*;

    fn of(path: &Path, media_type: &str) -> Option<Preview> {
        let file = File::open(path).unwrap();
        let size = file.metadata().unwrap().len();
        super::of(BufReader::new(file), size, media_type)
    }

    #[test]
    fn a_picture_has_a_small_one_and_nothing_that_was_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.png");
        let mut picture = RgbImage::new(640, 320);
        for (x, y, pixel) in picture.enumerate_pixels_mut() {
            let byte = |at: u32| u8::try_from(at % 256).unwrap();
            pixel.0 = [byte(x), byte(y), 128];
        }
        picture.save_with_format(&path, ImageFormat::Png).unwrap();
        let preview = of(&path, "image/png").unwrap();
        assert_eq!((preview.width, preview.height), (640, 320));
        assert!(!preview.blurhash.is_empty());
        let jpeg = data_encoding::BASE64
            .decode(preview.thumbnail.as_bytes())
            .unwrap();
        assert!(jpeg.len() <= THUMBNAIL_BYTES);
        let small = image::load_from_memory_with_format(&jpeg, ImageFormat::Jpeg).unwrap();
        assert_eq!((small.width(), small.height()), (160, 80));
    }

    #[test]
    fn what_is_no_picture_or_too_large_has_no_preview() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.png");
        // Says that it has 2^31 by 2^31 pixels.
        let mut bomb = b"\x89PNG\r\n\x1a\n\x00\x00\x00\x0dIHDR".to_vec();
        bomb.extend([
            0x7f, 0xff, 0xff, 0xff, 0x7f, 0xff, 0xff, 0xff, 8, 6, 0, 0, 0,
        ]);
        for bytes in [b"<svg/>".to_vec(), Vec::new(), bomb] {
            std::fs::write(&path, bytes).unwrap();
            assert!(of(&path, "image/png").is_none());
            assert!(of(&path, "audio/ogg").is_none());
        }
    }

    #[test]
    fn a_recording_tells_how_long_and_how_loud_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.ogg");
        let mut writer = PacketWriter::new(File::create(&path).unwrap());
        let mut head = b"OpusHead\x01\x01".to_vec();
        head.extend(312_u16.to_le_bytes());
        head.extend([0x80, 0xbb, 0, 0, 0, 0, 0]);
        let page = PacketWriteEndInfo::EndPage;
        writer.write_packet(head, 1, page, 0).unwrap();
        writer
            .write_packet(b"OpusTags".to_vec(), 1, page, 0)
            .unwrap();
        // Two seconds: a loud one, and a quiet one.
        for packet in 1..=100_u64 {
            let bytes = vec![0; if packet <= 50 { 160 } else { 16 }];
            let granule = 312 + packet * 960;
            writer.write_packet(bytes, 1, page, granule).unwrap();
        }
        drop(writer);
        let preview = of(&path, "audio/ogg").unwrap();
        assert_eq!(preview.duration_ms, 2_000);
        assert_eq!(preview.waveform.len(), 50);
        assert_eq!(preview.waveform[0], 255);
        assert_eq!(preview.waveform[49], 25);
    }
}
