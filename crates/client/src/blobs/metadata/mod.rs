//! Removes what cameras and programs store in a picture beside the picture: places, times, names,
//! serial numbers, thumbnails of what was cut away, films that hang on its end.
//!
//! Nothing is decoded or compressed again, so that a picture loses no quality: a [`Plan`] says
//! which bytes of the file stay and what stands in place of others. What decides how a picture
//! looks stays: colour profiles, transparency, animation, and which side is up.
//!
//! **Elsewhere.** [`super::stream`] seals the file by its plan. Each format has a file of its own
//! beside this one.
//!
//! **Always.** The content decides what a file is, not its name. Of each format it is listed what
//! stays, and not what goes. A picture that is not understood to its end is an error: it is never
//! taken for clean. A file of any size needs little memory.

mod heif;
mod jpeg;
mod png;
mod webp;

#[cfg(test)]
mod tests;

use std::io::{self, Read, Seek, SeekFrom};

/// Pieces of one plan, at most; a real picture has a few.
const PIECES: usize = 4096;
/// Bytes that are read to find out which side is up, at most.
const EXIF_BYTES: u64 = 64 << 10;

/// Whether the metadata of pictures goes or stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Metadata {
    /// It is removed before the file is sealed.
    Removed,
    /// The file is sealed as it is.
    Kept,
}

/// Why there is no plan.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotCleaned {
    #[error(transparent)]
    Io(#[from] io::Error),
    /// It begins like a picture, and goes on otherwise.
    #[error("it is damaged")]
    Damaged,
}

/// A part of the cleaned file.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Piece {
    /// Of the file as it is.
    Copy { from: u64, length: u64 },
    /// Something else.
    Bytes(Vec<u8>),
    /// The same byte again and again.
    Fill { byte: u8, length: u64 },
}

impl Piece {
    pub(super) fn length(&self) -> u64 {
        match self {
            Self::Copy { length, .. } | Self::Fill { length, .. } => *length,
            Self::Bytes(bytes) => bytes.len() as u64,
        }
    }
}

/// What stays of a file, in order.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Plan {
    pieces: Vec<Piece>,
}

impl Plan {
    pub(super) fn pieces(&self) -> &[Piece] {
        &self.pieces
    }

    /// The size of the cleaned file in bytes.
    pub(super) fn size(&self) -> u64 {
        self.pieces.iter().map(Piece::length).sum()
    }

    fn push(&mut self, piece: Piece) -> Result<(), NotCleaned> {
        if piece.length() == 0 {
            return Ok(());
        }
        if let (
            Some(Piece::Copy { from, length }),
            Piece::Copy {
                from: next,
                length: more,
            },
        ) = (self.pieces.last_mut(), &piece)
            && from.saturating_add(*length) == *next
        {
            *length += more;
            return Ok(());
        }
        if self.pieces.len() >= PIECES {
            return Err(NotCleaned::Damaged);
        }
        self.pieces.push(piece);
        Ok(())
    }

    fn copy(&mut self, from: u64, length: u64) -> Result<(), NotCleaned> {
        self.push(Piece::Copy { from, length })
    }

    /// Whether it leaves a file of this size as it is.
    fn changes_nothing(&self, size: u64) -> bool {
        self.pieces
            == [Piece::Copy {
                from: 0,
                length: size,
            }]
    }
}

/// What is to be done to this file of `size` bytes; `None` if nothing is.
pub(super) fn plan(file: impl Read + Seek, size: u64) -> Result<Option<Plan>, NotCleaned> {
    let mut source = Source { file, size };
    let head = source.start(12)?;
    let plan = if head.starts_with(jpeg::MAGIC) {
        jpeg::plan(&mut source)?
    } else if head.starts_with(png::MAGIC) {
        png::plan(&mut source)?
    } else if webp::is_webp(&head) {
        webp::plan(&mut source)?
    } else if heif::is_heif(&mut source, &head)? {
        heif::plan(&mut source)?
    } else {
        return Ok(None);
    };
    Ok(Some(plan).filter(|plan| !plan.changes_nothing(size)))
}

/// The file as it is.
struct Source<F> {
    file: F,
    size: u64,
}

impl<F: Read + Seek> Source<F> {
    /// So many bytes at this place.
    fn at<const N: usize>(&mut self, from: u64) -> Result<[u8; N], NotCleaned> {
        let mut bytes = [0; N];
        self.read(from, &mut bytes)?;
        Ok(bytes)
    }

    fn read(&mut self, from: u64, into: &mut [u8]) -> Result<(), NotCleaned> {
        self.file.seek(SeekFrom::Start(from))?;
        self.file
            .read_exact(into)
            .map_err(|error| match error.kind() {
                io::ErrorKind::UnexpectedEof => NotCleaned::Damaged,
                _ => error.into(),
            })
    }

    /// A part of the file, which must not be longer than `most`.
    fn part(&mut self, from: u64, length: u64, most: u64) -> Result<Vec<u8>, NotCleaned> {
        if length > most || from.saturating_add(length) > self.size {
            return Err(NotCleaned::Damaged);
        }
        let length = usize::try_from(length).map_err(|_| NotCleaned::Damaged)?;
        let mut bytes = vec![0; length];
        self.read(from, &mut bytes)?;
        Ok(bytes)
    }

    /// The beginning of the file, as far as it goes.
    fn start(&mut self, most: usize) -> Result<Vec<u8>, NotCleaned> {
        let length = self.size.min(most as u64);
        self.part(0, length, length)
    }
}

/// Which side of the picture is up, as Exif says it: 1 to 8. `None` for the usual one.
type Turned = Option<u8>;

/// TIFF's tag for it, and its type (TIFF 6.0).
const ORIENTATION: [u8; 2] = [0x01, 0x12];
const SHORT: [u8; 2] = [0x00, 0x03];

/// Which side is up, says the Exif of a picture.
fn turned(tiff: &[u8]) -> Turned {
    let little = match tiff.get(..4)? {
        b"II*\0" => true,
        b"MM\0*" => false,
        _ => return None,
    };
    let two = |at: usize| -> Option<[u8; 2]> {
        let mut bytes: [u8; 2] = tiff.get(at..at.checked_add(2)?)?.try_into().ok()?;
        if little {
            bytes.reverse();
        }
        Some(bytes)
    };
    let mut first: [u8; 4] = tiff.get(4..8)?.try_into().ok()?;
    if little {
        first.reverse();
    }
    let first = usize::try_from(u32::from_be_bytes(first)).ok()?;
    let entries = usize::from(u16::from_be_bytes(two(first)?));
    let found = (0..entries)
        .map_while(|entry| first.checked_add(2 + 12 * entry))
        .take_while(|at| *at < tiff.len())
        .find(|at| two(*at) == Some(ORIENTATION) && two(at + 2) == Some(SHORT))?;
    match two(found + 8)? {
        [0, side @ 2..=8] => Some(side),
        _ => None,
    }
}

/// An Exif that says which side is up, and nothing else.
fn tiff(side: u8) -> Vec<u8> {
    let mut bytes = b"MM\0*\0\0\0\x08\0\x01".to_vec();
    bytes.extend(ORIENTATION);
    bytes.extend(SHORT);
    bytes.extend([0, 0, 0, 1, 0, side, 0, 0]);
    // No other directory follows.
    bytes.extend([0; 4]);
    bytes
}
