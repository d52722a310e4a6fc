//! The right to post: Ed25519 keys that a group's members derive, and what they sign.
//!
//! **Elsewhere.** Deriving the seeds: the send key's comes from the MLS exporter
//! (`engine::mls`), the rejoin key's from [`crate::sealing::RejoinSecret`].
//!
//! **Always.** Every signature covers the link's TLS exporter or the very bytes it authorises, so
//! that it cannot be used for anything else.

use ed25519_dalek::{Signer as _, SigningKey, VerifyingKey};
use sha2::{Digest as _, Sha256};

use crate::{
    Exporter,
    ids::{Epoch, GroupId},
};

/// The private half of a send key or rejoin key.
pub struct PostingKey(SigningKey);

/// The public half, as the relay keeps it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct PostingPublicKey([u8; 32]);

/// What a signature may authorise.
#[derive(Clone, Copy)]
pub enum PostingAct<'a> {
    /// [`crate::pb::AuthorisePosting`], on one link.
    Authorise {
        /// The link.
        exporter: &'a Exporter,
        /// Whose send key signs.
        epoch: Epoch,
    },
    /// [`crate::pb::FetchGroupInfo`], on one link.
    Fetch {
        /// The link.
        exporter: &'a Exporter,
    },
    /// [`crate::pb::Rejoin`], of one body.
    Rejoin {
        /// The epoch that the external commit ends.
        epoch: Epoch,
        /// The sealed external commit.
        body: &'a [u8],
    },
}

impl PostingKey {
    /// From 32 secret bytes.
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        Self(SigningKey::from_bytes(seed))
    }

    /// The public half.
    pub fn public(&self) -> PostingPublicKey {
        PostingPublicKey(self.0.verifying_key().to_bytes())
    }

    /// Signs `act` for `group`.
    pub fn sign(&self, group: GroupId, act: PostingAct<'_>) -> [u8; 64] {
        self.0.sign(&message(group, act)).to_bytes()
    }
}

impl std::fmt::Debug for PostingKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PostingKey(…)")
    }
}

impl std::fmt::Debug for PostingPublicKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PostingPublicKey(…)")
    }
}

impl PostingPublicKey {
    /// From the wire; `None` unless it is a point of the curve that is not of low order.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let bytes: [u8; 32] = bytes.try_into().ok()?;
        let key = VerifyingKey::from_bytes(&bytes).ok()?;
        (!key.is_weak()).then_some(Self(bytes))
    }

    /// The bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Whether `signature` authorises `act` for `group` (RFC 8032, strict).
    pub fn verifies(&self, group: GroupId, act: PostingAct<'_>, signature: &[u8]) -> bool {
        let (Ok(key), Ok(signature)) = (
            VerifyingKey::from_bytes(&self.0),
            ed25519_dalek::Signature::from_slice(signature),
        ) else {
            return false;
        };
        key.verify_strict(&message(group, act), &signature).is_ok()
    }
}

fn message(group: GroupId, act: PostingAct<'_>) -> Vec<u8> {
    let mut message = Vec::with_capacity(128);
    match act {
        PostingAct::Authorise { exporter, epoch } => {
            message.extend_from_slice(b"waxwing posting v1");
            message.extend_from_slice(exporter);
            message.extend_from_slice(group.as_bytes());
            message.extend_from_slice(&epoch.0.to_be_bytes());
        }
        PostingAct::Fetch { exporter } => {
            message.extend_from_slice(b"waxwing fetch v1");
            message.extend_from_slice(exporter);
            message.extend_from_slice(group.as_bytes());
        }
        PostingAct::Rejoin { epoch, body } => {
            message.extend_from_slice(b"waxwing rejoin v1");
            message.extend_from_slice(group.as_bytes());
            message.extend_from_slice(&epoch.0.to_be_bytes());
            message.extend_from_slice(&Sha256::digest(body));
        }
    }
    message
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_posting_signature_is_good_for_one_link_group_and_epoch() {
        let key = PostingKey::from_seed(&[7; 32]);
        let group = GroupId([1; 16]);
        let act = PostingAct::Authorise {
            exporter: &[2; 32],
            epoch: Epoch(3),
        };
        let signature = key.sign(group, act);
        let public = key.public();
        assert!(public.verifies(group, act, &signature));
        assert!(!public.verifies(GroupId([9; 16]), act, &signature));
        for other in [
            PostingAct::Authorise {
                exporter: &[3; 32],
                epoch: Epoch(3),
            },
            PostingAct::Authorise {
                exporter: &[2; 32],
                epoch: Epoch(4),
            },
            PostingAct::Fetch { exporter: &[2; 32] },
            PostingAct::Rejoin {
                epoch: Epoch(3),
                body: &[2; 32],
            },
        ] {
            assert!(!public.verifies(group, other, &signature));
        }
        assert!(!public.verifies(group, act, &signature[..63]));
    }

    #[test]
    fn a_low_order_key_is_refused() {
        let mut neutral = [0; 32];
        neutral[0] = 1;
        assert!(PostingPublicKey::from_bytes(&neutral).is_none());
        assert!(PostingPublicKey::from_bytes(&[0; 31]).is_none());
    }
}
