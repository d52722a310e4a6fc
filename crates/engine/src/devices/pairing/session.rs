//! The messages of two devices that have agreed on keys.
//!
//! Each message is padded (ISO 7816-4, to a Padmé length), cut into parts that fit a frame,
//! and each part sealed with ChaCha20-Poly1305 under the direction's key, with a counter as
//! the nonce.
//!
//! **Elsewhere**: the keys come from [`super::agreement`], and are for one session only.
//!
//! **Always**: a nonce is used once. A part that was changed, repeated, left out or reordered
//! does not open, and ends the session.

use chacha20poly1305::{
    ChaCha20Poly1305, KeyInit as _, Nonce,
    aead::{Aead as _, Payload},
};
use prost::Message as _;
use waxwing_protocol::{padding, pb::PairingWords};
use zeroize::Zeroizing;

/// Padded bytes in one part.
const PART_BYTES: usize = 48 << 10;

/// Bytes of one message: a roster is the longest thing there is in one.
const MESSAGE_BYTES: usize = 4 << 20;

const MORE: u8 = 0;
const LAST: u8 = 1;

/// Something did not open, or is no message: the session is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("what arrived is not what the other device sent")]
pub(crate) struct SessionBroken;

/// Keys for both directions, and how far they are used.
pub(crate) struct Session {
    sends: Direction,
    receives: Direction,
    parts: Zeroizing<Vec<u8>>,
}

struct Direction {
    key: Zeroizing<[u8; 32]>,
    next: u64,
}

impl core::fmt::Debug for Session {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Session(..)")
    }
}

impl Direction {
    /// The next nonce; never the same again.
    fn nonce(&mut self) -> Result<Nonce, SessionBroken> {
        let mut nonce = [0; 12];
        let (_, counter) = nonce.split_at_mut(4);
        counter.copy_from_slice(&self.next.to_be_bytes());
        self.next = self.next.checked_add(1).ok_or(SessionBroken)?;
        Ok(nonce.into())
    }

    fn cipher(&self) -> ChaCha20Poly1305 {
        ChaCha20Poly1305::new(&(*self.key).into())
    }
}

impl Session {
    pub(super) fn new(sends: Zeroizing<[u8; 32]>, receives: Zeroizing<[u8; 32]>) -> Self {
        Self {
            sends: Direction {
                key: sends,
                next: 0,
            },
            receives: Direction {
                key: receives,
                next: 0,
            },
            parts: Zeroizing::default(),
        }
    }

    /// Seals a message, in one part or more.
    pub(crate) fn seal(&mut self, words: &PairingWords) -> Result<Vec<Vec<u8>>, SessionBroken> {
        let padded = pad(words.encode_to_vec());
        let mut parts = padded.chunks(PART_BYTES).peekable();
        let mut sealed = Vec::new();
        while let Some(part) = parts.next() {
            let flag = if parts.peek().is_some() { MORE } else { LAST };
            let nonce = self.sends.nonce()?;
            let payload = Payload {
                msg: part,
                aad: &[flag],
            };
            let ciphertext = self
                .sends
                .cipher()
                .encrypt(&nonce, payload)
                .map_err(|_| SessionBroken)?;
            sealed.push([&[flag], ciphertext.as_slice()].concat());
        }
        Ok(sealed)
    }

    /// Opens a part; gives the message when it was the last.
    pub(crate) fn open(&mut self, sealed: &[u8]) -> Result<Option<PairingWords>, SessionBroken> {
        let (flag, ciphertext) = sealed.split_first().ok_or(SessionBroken)?;
        if !matches!(*flag, MORE | LAST) || self.parts.len() > MESSAGE_BYTES {
            return Err(SessionBroken);
        }
        let nonce = self.receives.nonce()?;
        let payload = Payload {
            msg: ciphertext,
            aad: &[*flag],
        };
        let part = self
            .receives
            .cipher()
            .decrypt(&nonce, payload)
            .map_err(|_| SessionBroken)?;
        self.parts.extend_from_slice(&Zeroizing::new(part));
        if *flag == MORE {
            return Ok(None);
        }
        let whole = std::mem::take(&mut self.parts);
        let message = unpad(&whole).ok_or(SessionBroken)?;
        PairingWords::decode(message)
            .map(Some)
            .map_err(|_| SessionBroken)
    }
}

/// A one and zeroes, up to a Padmé length.
pub(crate) fn pad(mut message: Vec<u8>) -> Zeroizing<Vec<u8>> {
    message.push(0x80);
    let length = padding::padded_length(message.len());
    message.resize(length, 0);
    Zeroizing::new(message)
}

/// Takes the padding away; `None` where there is none.
pub(crate) fn unpad(padded: &[u8]) -> Option<&[u8]> {
    let end = padded.iter().rposition(|byte| *byte != 0)?;
    let (message, mark) = padded.split_at_checked(end)?;
    (mark.first() == Some(&0x80)).then_some(message)
}
