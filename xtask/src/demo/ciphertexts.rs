//! The ciphertexts on the relay's disk: recognised while they wait, and searched for
//! afterwards.
//!
//! **Elsewhere**: `seizure` searches for what must never be there.

use std::path::Path;

use anyhow::Result;
use data_encoding::HEXLOWER;

use super::search::{Needles, NeedlesBuilder, Secret, files};

/// Messages as the relay stores them, recognised on its disk by the head of an MLS
/// PrivateMessage (RFC 9420 section 6.3) with a group id of 16 bytes.
pub(super) struct Ciphertexts {
    /// A piece from within each one's ciphertext.
    pub(super) pieces: Vec<Vec<u8>>,
    /// Where one was found, and some bytes of it.
    pub(super) excerpt: Option<(String, String)>,
}

/// Version 1, private message, 16 bytes of group id.
const HEAD: [u8; 5] = [0, 1, 0, 2, 16];
/// Behind the head, the ids and the encrypted sender data.
const INTO_CIPHERTEXT: usize = 128;
const PIECE: usize = 24;
const EXCERPT: usize = 48;

impl Ciphertexts {
    pub(super) fn on_disk(folder: &Path) -> Result<Self> {
        let mut found = Self {
            pieces: Vec::new(),
            excerpt: None,
        };
        for path in files(folder)? {
            let bytes = std::fs::read(&path)?;
            for (at, _) in bytes
                .windows(HEAD.len())
                .enumerate()
                .filter(|(_, w)| *w == HEAD)
            {
                let start = at + INTO_CIPHERTEXT;
                let Some(piece) = bytes.get(start..start + PIECE) else {
                    continue;
                };
                if !looks_random(piece) {
                    continue;
                }
                found.pieces.push(piece.to_vec());
                if found.excerpt.is_none() {
                    let name = path.strip_prefix(folder).unwrap_or(&path).display();
                    let shown = bytes.get(start..start + EXCERPT).unwrap_or(piece);
                    found.excerpt = Some((format!("{name} at {start:#x}"), HEXLOWER.encode(shown)));
                }
            }
        }
        found.pieces.sort_unstable();
        found.pieces.dedup();
        Ok(found)
    }

    pub(super) fn needles(&self) -> Result<Needles> {
        let mut builder = NeedlesBuilder::default();
        for (number, piece) in self.pieces.iter().enumerate() {
            builder.whole(&Secret::Ciphertext(number), piece);
        }
        builder.build()
    }
}

/// Ciphertext has hardly a byte twice in so short a piece.
fn looks_random(piece: &[u8]) -> bool {
    let mut bytes = piece.to_vec();
    bytes.sort_unstable();
    bytes.dedup();
    bytes.len() >= PIECE - 6
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stored_message_is_recognised_and_found_again() {
        let folder = tempfile::tempdir().unwrap();
        let mut message = HEAD.to_vec();
        message.extend((0..400_u32).map(|n| n.wrapping_mul(2_654_435_761).to_be_bytes()[1]));
        std::fs::write(
            folder.path().join("journal"),
            [vec![0; 99], message].concat(),
        )
        .unwrap();
        let found = Ciphertexts::on_disk(folder.path()).unwrap();
        assert_eq!(found.pieces.len(), 1);
        assert!(found.excerpt.unwrap().0.starts_with("journal"));
        let needles = Ciphertexts::on_disk(folder.path())
            .unwrap()
            .needles()
            .unwrap();
        assert_eq!(
            needles.in_folder(folder.path()).unwrap().distinct(|_| true),
            1
        );
        std::fs::write(folder.path().join("journal"), [0; 99]).unwrap();
        assert_eq!(
            needles.in_folder(folder.path()).unwrap().distinct(|_| true),
            0
        );
    }
}
