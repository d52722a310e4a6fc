//! PNG (W3C, third edition): chunks, each with its length and its check sum.

use std::io::{Read, Seek};

use super::{EXIF_BYTES, NotCleaned, Piece, Plan, Source, tiff, turned};

pub(super) const MAGIC: &[u8] = b"\x89PNG\r\n\x1a\n";

/// What says how the picture looks, besides the critical chunks.
const STAYS: [&[u8; 4]; 18] = [
    b"tRNS", b"cHRM", b"gAMA", b"iCCP", b"sBIT", b"sRGB", b"cICP", b"mDCV", b"cLLI", b"bKGD",
    b"hIST", b"pHYs", b"sPLT", b"acTL", b"fcTL", b"fdAT", b"mDCv", b"cLLi",
];

pub(super) fn plan<F: Read + Seek>(source: &mut Source<F>) -> Result<Plan, NotCleaned> {
    let mut plan = Plan::default();
    let mut at = MAGIC.len() as u64;
    plan.copy(0, at)?;
    let mut has_exif = false;
    // What stands behind the end is not the picture's.
    loop {
        let [a, b, c, d, kind @ ..]: [u8; 8] = source.at(at)?;
        let length = u64::from(u32::from_be_bytes([a, b, c, d]));
        let whole = 12 + length;
        if at + whole > source.size {
            return Err(NotCleaned::Damaged);
        }
        // A capital first letter means that nobody can show the picture without the chunk.
        let is_critical = kind[0].is_ascii_uppercase();
        if is_critical || STAYS.contains(&&kind) {
            plan.copy(at, whole)?;
        } else if &kind == b"eXIf" && !has_exif {
            has_exif = true;
            let exif = source.part(at + 8, length.min(EXIF_BYTES), EXIF_BYTES)?;
            if let Some(side) = turned(&exif) {
                let clean = chunk(*b"eXIf", &tiff(side));
                if exif == tiff(side) {
                    plan.copy(at, whole)?;
                } else {
                    plan.push(Piece::Bytes(clean))?;
                }
            }
        }
        at += whole;
        if &kind == b"IEND" {
            return Ok(plan);
        }
    }
}

fn chunk(kind: [u8; 4], content: &[u8]) -> Vec<u8> {
    let mut checked = kind.to_vec();
    checked.extend(content);
    let mut chunk = u32::try_from(content.len())
        .unwrap_or(u32::MAX)
        .to_be_bytes()
        .to_vec();
    chunk.extend(&checked);
    chunk.extend(crc(&checked).to_be_bytes());
    chunk
}

/// The check sum of PNG, bit by bit: it is made for a few bytes only.
fn crc(bytes: &[u8]) -> u32 {
    let all = bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            (crc >> 1) ^ (0xedb8_8320 * (crc & 1))
        })
    });
    !all
}
