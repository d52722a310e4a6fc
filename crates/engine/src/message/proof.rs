//! Proofs that a message is from its sender, in a form that can be shown to others.
//!
//! Each message is signed by its device's leaf key (Ed25519), in addition to what MLS signs:
//! the MLS signature covers things that only the group's members know, so nobody else could
//! check it. Anybody who has the content, the proof and the roster can check this one:
//! [`super::report`].
//!
//! **Elsewhere**: `trust` makes sure that the leaf belongs to the account; for others, the
//! roster's chain does.
//!
//! **Always**: a message without a valid proof is not shown, so that everything shown can be
//! reported. The signed bytes begin with a label with which no structure of MLS begins (those
//! begin with a length and "MLS 1.0 ", RFC 9420 section 5.1.2), so that neither signature can
//! pass for the other.

use ed25519_dalek::{Signature, Verifier as _, VerifyingKey};
use waxwing_protocol::{
    ids::{DeviceId, GroupId},
    pb::{Envelope, envelope::Body},
    time::Time,
};

use crate::mls::{Leaf, Member};

/// Columns for the proofs of what others said; an edit's content is kept for it.
pub(crate) const SCHEMA: &str = "
ALTER TABLE entry ADD COLUMN proof BLOB;
ALTER TABLE amendment ADD COLUMN proof BLOB;
ALTER TABLE amendment ADD COLUMN content BLOB;
";

const LABEL: &[u8] = b"waxwing message v1\0";
const SIGNATURE_BYTES: usize = 64;
/// A group's id, a device's, a time, a signature.
const BYTES: usize = 16 + 32 + 8 + SIGNATURE_BYTES;

/// What shows that a device said something.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Proof {
    pub group: GroupId,
    pub device: DeviceId,
    /// As the sender's device says.
    pub sent_at: Time,
    pub signature: [u8; SIGNATURE_BYTES],
}

/// Signs what a message says, before it is encrypted.
pub(crate) fn sign(leaf: &Leaf, group: GroupId, envelope: &mut Envelope) {
    if let Some(Body::Mimi(content)) = &envelope.body {
        let signed = signed(group, Time(envelope.sent_at_ms), content);
        envelope.signature = leaf.sign(&signed).to_vec().into();
    }
}

impl Proof {
    /// The proof that came with a message, if it is good.
    pub(crate) fn check(
        member: &Member,
        group: GroupId,
        sent_at: Time,
        content: &[u8],
        signature: &[u8],
    ) -> Option<Self> {
        let proof = Self {
            group,
            device: member.device,
            sent_at,
            signature: signature.try_into().ok()?,
        };
        proof.is_by(&member.leaf_key, content).then_some(proof)
    }

    /// Whether the owner of a leaf key said it.
    pub(crate) fn is_by(&self, leaf_key: &[u8; 32], content: &[u8]) -> bool {
        let signed = signed(self.group, self.sent_at, content);
        VerifyingKey::from_bytes(leaf_key).is_ok_and(|key| {
            key.verify(&signed, &Signature::from_bytes(&self.signature))
                .is_ok()
        })
    }

    /// As it is kept.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        [
            self.group.as_bytes().as_slice(),
            self.device.as_bytes(),
            &self.sent_at.0.to_be_bytes(),
            &self.signature,
        ]
        .concat()
    }

    /// As it was kept.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; BYTES] = bytes.try_into().ok()?;
        let (group, rest) = bytes.split_first_chunk()?;
        let (device, rest) = rest.split_first_chunk()?;
        let (sent_at, signature) = rest.split_first_chunk()?;
        Some(Self {
            group: GroupId(*group),
            device: DeviceId(*device),
            sent_at: Time(u64::from_be_bytes(*sent_at)),
            signature: signature.try_into().ok()?,
        })
    }
}

fn signed(group: GroupId, sent_at: Time, content: &[u8]) -> Vec<u8> {
    [
        LABEL,
        group.as_bytes().as_slice(),
        &sent_at.0.to_be_bytes(),
        content,
    ]
    .concat()
}

#[cfg(test)]
mod tests {
    use waxwing_protocol::ids::{AccountId, MailboxId};

    use super::*;
    use crate::mls::LeafKey;

    #[test]
    fn a_proof_holds_for_what_was_said_there_and_then_and_by_whom() {
        let key = LeafKey::from_seed(&[1; 32]);
        let member = Member {
            account: AccountId([2; 32]),
            device: DeviceId([3; 32]),
            mailbox: MailboxId([4; 16]),
            leaf_key: key.public(),
        };
        let leaf = Leaf::new(key, member.account, member.device, member.mailbox);
        let group = GroupId([5; 16]);
        let mut envelope = Envelope {
            sent_at_ms: 6,
            body: Some(Body::Mimi(b"said".as_slice().into())),
            ..Envelope::default()
        };
        sign(&leaf, group, &mut envelope);
        let proof = |member, group, at, content| {
            Proof::check(member, group, Time(at), content, &envelope.signature)
        };
        let good = proof(&member, group, 6, b"said").unwrap();
        assert!(Proof::from_bytes(&good.to_bytes()).is_some_and(|kept| kept == good));
        assert!(proof(&member, group, 6, b"sait").is_none());
        assert!(proof(&member, group, 7, b"said").is_none());
        assert!(proof(&member, GroupId([6; 16]), 6, b"said").is_none());
        let mut another = member.clone();
        another.leaf_key = LeafKey::from_seed(&[2; 32]).public();
        assert!(proof(&another, group, 6, b"said").is_none());
        assert!(Proof::check(&member, group, Time(6), b"said", b"").is_none());
    }
}
