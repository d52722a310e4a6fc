use std::io::Cursor;

use image::{
    DynamicImage, ImageDecoder as _, ImageFormat, ImageReader, RgbImage, metadata::Orientation,
};

use super::*;

/// Stands in all metadata that must go.
const SECRET: &[u8] = b"52.5163N 13.3777E";

fn holds_secret(bytes: &[u8]) -> bool {
    bytes.windows(SECRET.len()).any(|window| window == SECRET)
}

/// The file that a plan makes, or the same one.
fn cleaned(bytes: &[u8]) -> Result<Vec<u8>, NotCleaned> {
    let Some(plan) = plan(Cursor::new(bytes), bytes.len() as u64)? else {
        return Ok(bytes.to_vec());
    };
    let mut clean = Vec::new();
    for piece in plan.pieces() {
        match piece {
            Piece::Copy { from, length } => {
                let from = usize::try_from(*from).unwrap();
                let length = usize::try_from(*length).unwrap();
                clean.extend_from_slice(&bytes[from..from + length]);
            }
            Piece::Bytes(bytes) => clean.extend_from_slice(bytes),
            Piece::Fill { byte, length } => {
                clean.resize(clean.len() + usize::try_from(*length).unwrap(), *byte);
            }
        }
    }
    assert_eq!(clean.len() as u64, plan.size());
    Ok(clean)
}

fn picture(format: ImageFormat) -> Vec<u8> {
    let mut picture = RgbImage::new(40, 24);
    for (x, y, pixel) in picture.enumerate_pixels_mut() {
        let byte = |at: u32| u8::try_from(at % 256).unwrap();
        pixel.0 = [byte(6 * x), byte(9 * y), byte(x * y)];
    }
    let mut bytes = Cursor::new(Vec::new());
    DynamicImage::ImageRgb8(picture)
        .write_to(&mut bytes, format)
        .unwrap();
    bytes.into_inner()
}

/// How a picture looks, and which side is up.
fn look(bytes: &[u8]) -> (Vec<u8>, Orientation) {
    let reader = ImageReader::new(Cursor::new(bytes))
        .with_guessed_format()
        .unwrap();
    let mut decoder = reader.into_decoder().unwrap();
    let side = decoder.orientation().unwrap();
    let picture = DynamicImage::from_decoder(decoder).unwrap();
    (picture.into_rgb8().into_raw(), side)
}

/// An Exif with a secret, which says which side is up; in either order of bytes.
fn exif(side: u8, little: bool) -> Vec<u8> {
    let two = |number: u16| {
        if little {
            number.to_le_bytes()
        } else {
            number.to_be_bytes()
        }
    };
    let four = |number: u32| {
        if little {
            number.to_le_bytes()
        } else {
            number.to_be_bytes()
        }
    };
    let mut tiff = if little { *b"II*\0" } else { *b"MM\0*" }.to_vec();
    tiff.extend(four(8));
    tiff.extend(two(2));
    // Who made it (ASCII), further back.
    tiff.extend([two(0x010f), two(2)].concat());
    tiff.extend(four(u32::try_from(SECRET.len()).unwrap()));
    tiff.extend(four(38));
    tiff.extend([two(0x0112), two(3)].concat());
    tiff.extend(four(1));
    tiff.extend(two(side.into()));
    tiff.extend([0; 2]);
    tiff.extend(four(0));
    tiff.extend(SECRET);
    tiff
}

fn segment(code: u8, content: &[&[u8]]) -> Vec<u8> {
    let content = content.concat();
    let mut segment = vec![0xff, code];
    segment.extend(u16::try_from(content.len() + 2).unwrap().to_be_bytes());
    segment.extend(content);
    segment
}

/// A JPEG as a phone makes it.
fn photo(side: u8, little: bool) -> Vec<u8> {
    let plain = picture(ImageFormat::Jpeg);
    let mut photo = plain[..2].to_vec();
    photo.extend(segment(0xe1, &[b"Exif\0\0", &exif(side, little)]));
    photo.extend(segment(0xe1, &[b"http://ns.adobe.com/xap/1.0/\0", SECRET]));
    photo.extend(segment(0xe2, &[b"ICC_PROFILE\0\x01\x01", b"colours"]));
    photo.extend(segment(0xe2, &[b"MPF\0", SECRET]));
    photo.extend(segment(0xed, &[b"Photoshop 3.0\0", SECRET]));
    photo.extend(segment(0xfe, &[SECRET]));
    photo.extend(&plain[2..]);
    // A film at its end.
    photo.extend(b"\0\0\0\x18ftypmp42");
    photo.extend(SECRET);
    photo
}

#[test]
fn a_photo_loses_its_place_and_keeps_its_looks() {
    for side in 1..=8 {
        for little in [false, true] {
            let photo = photo(side, little);
            let clean = cleaned(&photo).unwrap();
            assert!(!holds_secret(&clean), "{side}");
            assert!(look(&clean) == look(&photo), "{side}");
            assert!(clean.windows(7).any(|window| window == b"colours"));
            assert!(clean.ends_with(b"\xff\xd9"));
            // A second time there is nothing to do.
            assert_eq!(cleaned(&clean).unwrap(), clean);
            assert!(
                plan(Cursor::new(&clean), clean.len() as u64)
                    .unwrap()
                    .is_none()
            );
        }
    }
}

#[test]
fn what_has_no_metadata_is_not_touched() {
    for format in [ImageFormat::Jpeg, ImageFormat::Png, ImageFormat::WebP] {
        let plain = picture(format);
        let nothing = plan(Cursor::new(&plain), plain.len() as u64).unwrap();
        assert!(nothing.is_none(), "{format:?}");
    }
    for other in [
        b"A holiday. ".as_slice(),
        b"GIF89a",
        b"",
        b"\xff",
        b"\0\0\0\x18ftypmp42",
    ] {
        assert!(
            plan(Cursor::new(other), other.len() as u64)
                .unwrap()
                .is_none()
        );
    }
}

fn png_chunk(kind: [u8; 4], content: &[u8]) -> Vec<u8> {
    let mut chunk = u32::try_from(content.len()).unwrap().to_be_bytes().to_vec();
    chunk.extend(kind);
    chunk.extend(content);
    // Which decoders of ancillary chunks do not check.
    chunk.extend([0; 4]);
    chunk
}

#[test]
fn a_png_loses_its_texts_and_keeps_its_looks() {
    let plain = picture(ImageFormat::Png);
    // Signature and IHDR.
    let (head, rest) = plain.split_at(8 + 25);
    let mut png = head.to_vec();
    png.extend(png_chunk(*b"eXIf", &exif(6, true)));
    for kind in [b"tEXt", b"zTXt", b"iTXt", b"tIME", b"caBX"] {
        png.extend(png_chunk(*kind, SECRET));
    }
    png.extend(rest);
    png.extend(SECRET);
    let clean = cleaned(&png).unwrap();
    assert!(!holds_secret(&clean));
    let (pixels, side) = look(&clean);
    assert!(pixels == look(&plain).0);
    assert_eq!(side, Orientation::Rotate90);
    assert_eq!(cleaned(&clean).unwrap(), clean);
}

#[test]
fn a_webp_loses_its_exif_and_keeps_its_looks() {
    let plain = picture(ImageFormat::WebP);
    let chunk = |kind: &[u8; 4], content: &[u8]| {
        let mut chunk = kind.to_vec();
        chunk.extend(u32::try_from(content.len()).unwrap().to_le_bytes());
        chunk.extend(content);
        if content.len() % 2 == 1 {
            chunk.push(0);
        }
        chunk
    };
    for side in [1, 6] {
        let mut chunks = b"WEBP".to_vec();
        // Exif and XMP are announced; 40 by 24.
        chunks.extend(chunk(b"VP8X", &[0x0c, 0, 0, 0, 39, 0, 0, 23, 0, 0]));
        chunks.extend(&plain[12..]);
        chunks.extend(chunk(b"EXIF", &exif(side, true)));
        chunks.extend(chunk(b"XMP ", SECRET));
        let mut webp = b"RIFF".to_vec();
        webp.extend(u32::try_from(chunks.len()).unwrap().to_le_bytes());
        webp.extend(chunks);
        webp.extend(SECRET);
        let clean = cleaned(&webp).unwrap();
        assert!(!holds_secret(&clean));
        assert!(look(&clean) == look(&webp));
        assert_eq!(cleaned(&clean).unwrap(), clean);
        let size = u32::from_le_bytes(clean[4..8].try_into().unwrap());
        assert_eq!(size as usize, clean.len() - 8);
    }
}

fn block(kind: [u8; 4], content: &[&[u8]]) -> Vec<u8> {
    let content = content.concat();
    let mut block = u32::try_from(content.len() + 8)
        .unwrap()
        .to_be_bytes()
        .to_vec();
    block.extend(kind);
    block.extend(content);
    block
}

/// A HEIC with one coded item, Exif in the file, XMP in `idat`, and what programs add.
fn heic() -> Vec<u8> {
    let item = |id: u8, kind: &[u8]| block(*b"infe", &[&[2, 0, 0, 0, 0, id, 0, 0], kind, b"\0"]);
    let items = block(
        *b"iinf",
        &[
            &[0, 0, 0, 0, 0, 3],
            &item(1, b"hvc1"),
            &item(2, b"Exif"),
            &item(3, b"mime"),
        ],
    );
    let exif = [b"\0\0\0\0".as_slice(), &exif(6, false)].concat();
    let place = |id: u8, within: u8, at: u32, length: usize| {
        let mut place = vec![0, id, 0, within, 0, 0, 0, 1];
        place.extend(at.to_be_bytes());
        place.extend(u32::try_from(length).unwrap().to_be_bytes());
        place
    };
    let whole = |start: u32| {
        let places = block(
            *b"iloc",
            &[
                &[1, 0, 0, 0, 0x44, 0x00, 0, 3],
                &place(1, 0, start, 7),
                &place(2, 0, start + 7, exif.len()),
                &place(3, 1, 2, SECRET.len()),
            ],
        );
        let idat = block(*b"idat", &[b"..", SECRET, b"."]);
        let meta = block(*b"meta", &[&[0; 4], &items, &places, &idat]);
        let mut file = block(*b"ftyp", &[b"heic\0\0\0\0mif1heic"]);
        file.extend(meta);
        file.extend(block(*b"uuid", &[&[7; 16], SECRET]));
        let udta = block(*b"udta", &[SECRET]);
        let film = block(*b"meta", &[&[0; 4], SECRET]);
        file.extend(block(*b"moov", &[&block(*b"trak", &[&udta]), &film]));
        file.extend(block(*b"free", &[SECRET]));
        (
            u32::try_from(file.len()).unwrap() + 8,
            [file, block(*b"mdat", &[b"picture", &exif])].concat(),
        )
    };
    let (start, _) = whole(0);
    whole(start).1
}

#[test]
fn a_heic_loses_its_metadata_where_it_stands() {
    let heic = heic();
    assert!(holds_secret(&heic));
    let clean = cleaned(&heic).unwrap();
    assert!(!holds_secret(&clean));
    assert_eq!(clean.len(), heic.len());
    assert!(clean.windows(7).any(|window| window == b"picture"));
    assert!(
        !clean
            .windows(4)
            .any(|window| window == b"uuid" || window == b"udta")
    );
    // What is left of the Exif is one, without an entry.
    let empty = b"\0\0\0\0MM\0*\0\0\0\x08\0\0";
    assert!(clean.windows(empty.len()).any(|window| window == empty));
    assert_eq!(cleaned(&clean).unwrap(), clean);
}

#[test]
fn a_damaged_picture_is_never_taken_for_clean() {
    let whole = [photo(6, true), heic()];
    // Cut off in the segments, or in the boxes.
    for (bytes, until) in whole.iter().zip([400, 400]) {
        for end in 20..until {
            match cleaned(&bytes[..end]) {
                Err(NotCleaned::Damaged) => {}
                Ok(clean) => assert!(!holds_secret(&clean), "{end}"),
                Err(error) => panic!("{error}"),
            }
        }
    }
    // A box that says it is longer than the file, and an item that is nowhere.
    for (find, put) in [(b"mdat", b"\xff\xff"), (b"iloc", b"\xff\xff")] {
        let mut bytes = heic();
        let at = bytes.windows(4).position(|window| window == find).unwrap();
        bytes[at - 4..at - 2].copy_from_slice(put);
        assert!(matches!(cleaned(&bytes), Err(NotCleaned::Damaged)));
    }
}

/// Whatever the bytes are, it ends, and the outcome holds for itself.
#[test]
fn changed_bytes_are_an_error_or_are_cleaned_for_good() {
    use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
    let mut rng = StdRng::seed_from_u64(7);
    let files = [
        photo(6, true),
        heic(),
        picture(ImageFormat::Png),
        picture(ImageFormat::WebP),
    ];
    for round in 0..4000 {
        let mut bytes = files[round % files.len()].clone();
        for _ in 0..rng.random_range(1..4) {
            let at = rng.random_range(0..bytes.len().min(600));
            bytes[at] = rng.random();
        }
        if let Ok(clean) = cleaned(&bytes)
            && let Ok(again) = cleaned(&clean)
        {
            assert_eq!(again, clean, "{round}");
        }
    }
}
