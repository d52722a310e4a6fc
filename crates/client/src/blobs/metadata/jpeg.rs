//! JPEG (ITU-T T.81 annex B): segments, and coded data between them.
//!
//! **Always.** What stands behind the picture's end goes: further pictures and films.

use std::io::{Read, Seek};

use super::{NotCleaned, Piece, Plan, Source, Turned, tiff, turned};

pub(super) const MAGIC: &[u8] = b"\xff\xd8\xff";
const EXIF: &[u8] = b"Exif\0\0";
/// Bytes of coded data that are looked at in one go.
const STRETCH: usize = 64 << 10;

pub(super) fn plan<F: Read + Seek>(source: &mut Source<F>) -> Result<Plan, NotCleaned> {
    let mut plan = Plan::default();
    plan.copy(0, 2)?;
    let mut at = 2;
    let mut has_exif = false;
    loop {
        let [mark, code] = source.at(at)?;
        match (mark, code) {
            // Fill bytes.
            (0xff, 0xff) => at += 1,
            // The end of the picture.
            (0xff, 0xd9) => {
                plan.copy(at, 2)?;
                return Ok(plan);
            }
            (0xff, 0x01 | 0xd0..=0xd8) => {
                plan.copy(at, 2)?;
                at += 2;
            }
            (0xff, 0x02..) => {
                let length = u64::from(u16::from_be_bytes(source.at(at + 2)?));
                if length < 2 || at + 2 + length > source.size {
                    return Err(NotCleaned::Damaged);
                }
                let content = source.part(at + 4, length - 2, u64::from(u16::MAX))?;
                if stays(code, &content) {
                    plan.copy(at, 2 + length)?;
                } else if code == 0xe1 && !has_exif && content.starts_with(EXIF) {
                    has_exif = true;
                    let side = content.get(EXIF.len()..).and_then(turned);
                    keep_side(&mut plan, at, &content, side)?;
                }
                at += 2 + length;
                // Coded data follows the start of a scan.
                if code == 0xda {
                    let end = next_marker(source, at)?;
                    plan.copy(at, end - at)?;
                    at = end;
                    // Cut off: what there is of it is shown.
                    if at == source.size {
                        return Ok(plan);
                    }
                }
            }
            _ => return Err(NotCleaned::Damaged),
        }
    }
}

/// Whether a segment says how the picture looks.
fn stays(code: u8, content: &[u8]) -> bool {
    match code {
        0xe0 => content.starts_with(b"JFIF\0"),
        0xe2 => content.starts_with(b"ICC_PROFILE\0"),
        0xee => content.starts_with(b"Adobe"),
        // Applications' data, and comments.
        0xe1 | 0xe3..=0xef | 0xfe => false,
        _ => true,
    }
}

/// Puts a segment that says which side is up in place of the one at this place.
fn keep_side(plan: &mut Plan, at: u64, content: &[u8], side: Turned) -> Result<(), NotCleaned> {
    let Some(side) = side else {
        return Ok(());
    };
    let mut clean = EXIF.to_vec();
    clean.extend(tiff(side));
    let length = clean.len() as u64 + 2;
    if content == clean {
        return plan.copy(at, 2 + length);
    }
    let mut segment = vec![0xff, 0xe1];
    segment.extend(u16::try_from(length).unwrap_or(u16::MAX).to_be_bytes());
    segment.extend(clean);
    plan.push(Piece::Bytes(segment))
}

/// Where the next marker is, behind coded data that begins here; or the end of the file.
fn next_marker<F: Read + Seek>(source: &mut Source<F>, from: u64) -> Result<u64, NotCleaned> {
    let mut at = from;
    let mut after_mark = false;
    while at < source.size {
        let length = (source.size - at).min(STRETCH as u64);
        let stretch = source.part(at, length, STRETCH as u64)?;
        for byte in stretch {
            match byte {
                0xff => after_mark = true,
                // A stuffed zero, or a restart within the data.
                0x00 | 0xd0..=0xd7 => after_mark = false,
                _ if after_mark => return Ok(at - 1),
                _ => {}
            }
            at += 1;
        }
    }
    Ok(source.size)
}
