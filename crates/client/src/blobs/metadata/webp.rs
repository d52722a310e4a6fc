//! WebP (RFC 9649): RIFF chunks, and one that announces the others.

use std::io::{Read, Seek};

use super::{EXIF_BYTES, NotCleaned, Piece, Plan, Source, tiff, turned};

/// What says how the picture looks.
const STAYS: [&[u8; 4]; 7] = [
    b"VP8 ", b"VP8L", b"VP8X", b"ALPH", b"ANIM", b"ANMF", b"ICCP",
];
/// The bits of VP8X that announce Exif and XMP.
const ANNOUNCES_EXIF: u8 = 0x08;
const ANNOUNCES_XMP: u8 = 0x04;
/// Bytes of VP8X.
const EXTENDED_BYTES: u64 = 10;

pub(super) fn is_webp(head: &[u8]) -> bool {
    head.starts_with(b"RIFF") && head.get(8..12) == Some(b"WEBP")
}

pub(super) fn plan<F: Read + Seek>(source: &mut Source<F>) -> Result<Plan, NotCleaned> {
    let size = u64::from(u32::from_le_bytes(source.at(4)?));
    // Whatever stands behind the container is not the picture's.
    let end = 8 + size;
    if end > source.size {
        return Err(NotCleaned::Damaged);
    }
    let mut chunks = Plan::default();
    let mut extended = None;
    let mut side = None;
    let mut at = 12;
    while at < end {
        let [kind @ .., a, b, c, d]: [u8; 8] = source.at(at)?;
        let length = u64::from(u32::from_le_bytes([a, b, c, d]));
        // Some programs forget the last byte of padding.
        let whole = (8 + length + length % 2).min(end - at);
        let is_short = whole % 2 == 1;
        if 8 + length > whole || &kind == b"VP8X" && length < EXTENDED_BYTES {
            return Err(NotCleaned::Damaged);
        }
        match &kind {
            b"VP8X" if extended.is_none() => {
                extended = Some((at, whole));
            }
            b"EXIF" if side.is_none() => {
                let exif = source.part(at + 8, length.min(EXIF_BYTES), EXIF_BYTES)?;
                let exif = exif.strip_prefix(b"Exif\0\0").unwrap_or(&exif);
                side = turned(exif);
            }
            known if STAYS.contains(&known) => {
                chunks.copy(at, whole)?;
                if is_short {
                    chunks.push(Piece::Bytes(vec![0]))?;
                }
            }
            _ => {}
        }
        at += whole;
    }
    let mut rest = Plan::default();
    if let Some((at, whole)) = extended {
        // The flags are its first byte.
        let [flags] = source.at(at + 8)?;
        let mut clean = flags & !(ANNOUNCES_EXIF | ANNOUNCES_XMP);
        if side.is_some() {
            clean |= ANNOUNCES_EXIF;
        }
        if clean == flags {
            rest.copy(at, whole)?;
        } else {
            rest.copy(at, 8)?;
            rest.push(Piece::Bytes(vec![clean]))?;
            rest.copy(at + 9, whole.saturating_sub(9))?;
        }
    }
    for piece in chunks.pieces {
        rest.push(piece)?;
    }
    if let Some(side) = side.filter(|_| extended.is_some()) {
        let tiff = tiff(side);
        let mut exif = b"EXIF".to_vec();
        exif.extend(u32::try_from(tiff.len()).unwrap_or(u32::MAX).to_le_bytes());
        exif.extend(tiff);
        rest.push(Piece::Bytes(exif))?;
    }
    let clean = 4 + rest.size();
    if clean == size && end == source.size && source_is(source, &rest)? {
        let mut same = Plan::default();
        same.copy(0, source.size)?;
        return Ok(same);
    }
    let mut plan = Plan::default();
    plan.copy(0, 4)?;
    let clean = u32::try_from(clean).map_err(|_| NotCleaned::Damaged)?;
    plan.push(Piece::Bytes(clean.to_le_bytes().to_vec()))?;
    plan.copy(8, 4)?;
    for piece in rest.pieces {
        plan.push(piece)?;
    }
    Ok(plan)
}

/// Whether the chunks are the file's already, in this order.
fn source_is<F: Read + Seek>(source: &mut Source<F>, chunks: &Plan) -> Result<bool, NotCleaned> {
    let mut at = 12;
    for piece in &chunks.pieces {
        let is_there = match piece {
            Piece::Copy { from, .. } => *from == at,
            Piece::Bytes(bytes) => {
                let length = bytes.len() as u64;
                source.part(at, length, length)? == *bytes
            }
            Piece::Fill { .. } => false,
        };
        if !is_there {
            return Ok(false);
        }
        at += piece.length();
    }
    Ok(true)
}
