//! Message ids (draft-ietf-mimi-content-08 section 3.3): the same on every device, and nobody
//! can make two messages with the same id.
//!
//! **Elsewhere**: `api` decides which of the two ids (this one or the API's) a person sees.

use sha2::{Digest as _, Sha256};
use waxwing_protocol::ids::{AccountId, GroupId};

/// SHA-256 in IANA's registry of named information hash algorithms.
const SHA_256: u8 = 1;

/// The id of a message: the number of a hash function, and 31 bytes of hash.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MessageId([u8; 32]);

impl MessageId {
    /// The id of the message with these encoded bytes and this salt.
    ///
    /// The URIs are those of [`account_uri`] and, for the room, of what sender and
    /// receivers agree on ([`group_uri`]).
    pub fn of(sender_uri: &str, room_uri: &str, content: &[u8], salt: &[u8; 16]) -> Self {
        let mut hash = Sha256::new();
        for uri in [sender_uri, room_uri] {
            // Ours are short; the draft has 16 bits for the length.
            let length = u16::try_from(uri.len()).unwrap_or(u16::MAX);
            hash.update(length.to_be_bytes());
            hash.update(uri.as_bytes());
        }
        hash.update(content);
        hash.update(salt);
        let hash: [u8; 32] = hash.finalize().into();
        let mut id = [SHA_256; 32];
        for (to, from) in id.iter_mut().skip(1).zip(hash) {
            *to = from;
        }
        Self(id)
    }

    /// An id that another message names.
    ///
    /// `None` when it is of a hash function that is not known: the draft has such a
    /// message discarded.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let id: [u8; 32] = bytes.try_into().ok()?;
        let [SHA_256, ..] = id else { return None };
        Some(Self(id))
    }

    /// Its bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl core::fmt::Display for MessageId {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(&data_encoding::HEXLOWER.encode(&self.0))
    }
}

impl core::fmt::Debug for MessageId {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("MessageId(..)")
    }
}

/// The sender URI of an account.
pub fn account_uri(account: AccountId) -> String {
    format!("waxwing:account/{account}")
}

/// The room URI of a group.
pub fn group_uri(group: GroupId) -> String {
    format!("waxwing:group/{group}")
}
