//! Reader marks, by which a device tells the relay that it has a blob.
//!
//! The relay deletes a file once all of its readers have said that they have it, each with a
//! mark that the sender registered. Everybody in a group sees the same message, so it cannot
//! hold the marks: anybody who read it could send everybody's marks, and the file would be
//! deleted before the others had it. A mark therefore comes from a secret that only the
//! sender's device and the reader's can compute: X25519 of their two leaf keys. The relay sees
//! only hashes, which reveal nothing.
//!
//! Parcels, which travel as blobs too, have marks that follow from the blob and the reader.

use sha2::{Digest as _, Sha256};
use waxwing_protocol::ids::DeviceId;

use crate::mls::{Leaf, Member};

/// Bytes of its hash that the sender registers.
const REGISTERED: usize = 12;

/// What a reader's device says.
pub(crate) type ReaderMark = [u8; 16];

/// The mark of `other` for a blob of this device's, or of this device for one of `other`'s.
pub(crate) fn mark_for(
    leaf: &Leaf,
    other: &Member,
    blob: [u8; 32],
    sender: DeviceId,
    reader: DeviceId,
) -> Option<ReaderMark> {
    let shared = leaf.shared_with(&other.leaf_key)?;
    let mut hash = Sha256::new();
    hash.update(b"waxwing blob reader v2");
    hash.update(shared.as_slice());
    hash.update(blob);
    hash.update(sender.as_bytes());
    hash.update(reader.as_bytes());
    Some(first(&hash.finalize()))
}

/// The mark of a reader of a parcel.
pub(crate) fn of_parcel(blob: [u8; 32], reader: DeviceId) -> ReaderMark {
    let mut hash = Sha256::new();
    hash.update(b"waxwing blob reader v1");
    hash.update(blob);
    hash.update(reader.as_bytes());
    first(&hash.finalize())
}

/// What the sender registers of marks.
pub(crate) fn registered(marks: impl IntoIterator<Item = ReaderMark>) -> Vec<u8> {
    let mut registered = Vec::new();
    for mark in marks {
        let hash = Sha256::digest(mark);
        registered.extend(hash.iter().take(REGISTERED));
    }
    registered
}

fn first(hash: &[u8]) -> ReaderMark {
    let mut mark = [0; 16];
    for (to, from) in mark.iter_mut().zip(hash) {
        *to = *from;
    }
    mark
}

#[cfg(test)]
mod tests {
    use waxwing_protocol::ids::{AccountId, MailboxId};

    use super::*;
    use crate::mls::LeafKey;

    fn device(n: u8) -> (Leaf, Member) {
        let key = LeafKey::from_seed(&[n; 32]);
        let (account, device, mailbox) =
            (AccountId([n; 32]), DeviceId([n; 32]), MailboxId([n; 16]));
        let member = Member {
            account,
            device,
            mailbox,
            leaf_key: key.public(),
        };
        (Leaf::new(key, account, device, mailbox), member)
    }

    #[test]
    fn sender_and_reader_make_the_same_mark_and_nobody_else_does() {
        let (alice, to_alice) = device(1);
        let (bob, to_bob) = device(2);
        let (mallory, _) = device(3);
        let (sender, reader) = (to_alice.device, to_bob.device);
        let mark = mark_for(&alice, &to_bob, [9; 32], sender, reader);
        assert!(mark.is_some());
        assert_eq!(mark_for(&bob, &to_alice, [9; 32], sender, reader), mark);
        assert_ne!(mark_for(&mallory, &to_alice, [9; 32], sender, reader), mark);
        assert_ne!(mark_for(&mallory, &to_bob, [9; 32], sender, reader), mark);
        assert_ne!(mark_for(&bob, &to_alice, [8; 32], sender, reader), mark);
        // One that is sent the other way has another.
        assert_ne!(mark_for(&bob, &to_alice, [9; 32], reader, sender), mark);
    }

    #[test]
    fn a_key_of_small_order_shares_no_secret() {
        let (alice, mut other) = device(1);
        other.leaf_key = [0; 32];
        if let Some(one) = other.leaf_key.first_mut() {
            *one = 1;
        }
        assert!(mark_for(&alice, &other, [9; 32], other.device, other.device).is_none());
    }
}
