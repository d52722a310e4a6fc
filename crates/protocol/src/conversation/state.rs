//! The state of a group conversation: its name and picture, its admins, and its invitations.
//!
//! **Elsewhere.** `engine::conversation::roles` decides who may change what.
//!
//! **Always.** A decoded state is within its bounds: it has at least one admin, and none twice.

use std::{collections::BTreeSet, fmt};

use bytes::Bytes;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use crate::{ids::AccountId, limits, pb, time::Time};

/// The checked form of [`pb::ConversationState`].
#[derive(Clone, PartialEq, Eq)]
pub struct ConversationState {
    /// The same for all members, no matter what happens to the MLS group.
    pub conversation_id: [u8; 16],
    /// Which MLS group of the conversation this is, from 1.
    pub generation: u64,
    /// 1 to [`limits::GROUP_NAME_BYTES`] bytes.
    pub name: String,
    /// An image, at most [`limits::PICTURE_BYTES`]; empty where there is none.
    pub picture: Bytes,
    /// Who may change it: one at least.
    pub admins: BTreeSet<AccountId>,
    /// Whether members who are no admins may bring others in.
    pub everybody_adds: bool,
    /// Messages are deleted so many seconds after they were read; 0 where they are not.
    pub expires_after_s: u32,
    /// Who may ask to be taken in.
    pub invitations: Vec<Invitation>,
}

/// Anybody who knows the secret may ask to join.
#[derive(Clone, PartialEq, Eq)]
pub struct Invitation {
    /// SHA-256 of the secret.
    pub secret_hash: [u8; 32],
    /// Whether an admin decides about each who asks.
    pub needs_approval: bool,
    /// `None` where it does not end.
    pub expires_at: Option<Time>,
}

/// Why bytes do not say what a group is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConversationStateError {
    /// Not 16 bytes.
    #[error("the group's conversation id has another length")]
    Conversation,
    /// Zero.
    #[error("the group is of no generation")]
    Generation,
    /// Empty or too long.
    #[error("the group's name is empty or too long")]
    Name,
    /// More than [`limits::PICTURE_BYTES`].
    #[error("the group's picture is too large")]
    Picture,
    /// None, too many, twice, or not 32 bytes.
    #[error("the group's admins are not well-formed")]
    Admins,
    /// Too many, twice, or not 32 bytes.
    #[error("the group's invitations are not well-formed")]
    Invitations,
}

impl ConversationState {
    /// Whether the account is an admin.
    pub fn is_admin(&self, account: AccountId) -> bool {
        self.admins.contains(&account)
    }

    /// The open invitation that this secret belongs to.
    pub fn invitation(&self, secret: &[u8], now: Time) -> Option<&Invitation> {
        let hash = Invitation::hash(secret);
        self.invitations.iter().find(|invitation| {
            bool::from(invitation.secret_hash.ct_eq(&hash))
                && invitation.expires_at.is_none_or(|at| now < at)
        })
    }

    pub(super) fn check(wire: &pb::ConversationState) -> Result<Self, ConversationStateError> {
        use ConversationStateError as Error;
        if wire.generation == 0 {
            return Err(Error::Generation);
        }
        if wire.name.is_empty() || wire.name.len() > limits::GROUP_NAME_BYTES {
            return Err(Error::Name);
        }
        if wire.picture.len() > limits::PICTURE_BYTES {
            return Err(Error::Picture);
        }
        if wire.admins.is_empty() || wire.admins.len() > limits::CONVERSATION_ACCOUNTS {
            return Err(Error::Admins);
        }
        let mut admins = BTreeSet::new();
        for admin in &wire.admins {
            let admin = AccountId::try_from(admin).map_err(|_| Error::Admins)?;
            if !admins.insert(admin) {
                return Err(Error::Admins);
            }
        }
        if wire.invitations.len() > limits::INVITATIONS {
            return Err(Error::Invitations);
        }
        let mut invitations: Vec<Invitation> = Vec::with_capacity(wire.invitations.len());
        for invitation in &wire.invitations {
            let invitation = Invitation::check(invitation)?;
            if invitations
                .iter()
                .any(|other| other.secret_hash == invitation.secret_hash)
            {
                return Err(Error::Invitations);
            }
            invitations.push(invitation);
        }
        Ok(Self {
            conversation_id: wire
                .conversation_id
                .as_ref()
                .try_into()
                .map_err(|_| Error::Conversation)?,
            generation: wire.generation,
            name: wire.name.clone(),
            picture: wire.picture.clone(),
            admins,
            everybody_adds: wire.everybody_adds,
            expires_after_s: wire.expires_after_s,
            invitations,
        })
    }

    pub(super) fn to_wire(&self) -> pb::ConversationState {
        pb::ConversationState {
            conversation_id: self.conversation_id.to_vec().into(),
            generation: self.generation,
            name: self.name.clone(),
            picture: self.picture.clone(),
            admins: self.admins.iter().map(|admin| admin.to_bytes()).collect(),
            everybody_adds: self.everybody_adds,
            expires_after_s: self.expires_after_s,
            invitations: self.invitations.iter().map(Invitation::to_wire).collect(),
        }
    }
}

impl Invitation {
    /// What the group's state has in place of the secret.
    pub fn hash(secret: &[u8]) -> [u8; 32] {
        Sha256::digest(secret).into()
    }

    fn check(wire: &pb::Invitation) -> Result<Self, ConversationStateError> {
        Ok(Self {
            secret_hash: wire
                .secret_hash
                .as_ref()
                .try_into()
                .map_err(|_| ConversationStateError::Invitations)?,
            needs_approval: wire.needs_approval,
            expires_at: (wire.expires_at_ms > 0).then_some(Time(wire.expires_at_ms)),
        })
    }

    fn to_wire(&self) -> pb::Invitation {
        pb::Invitation {
            secret_hash: self.secret_hash.to_vec().into(),
            needs_approval: self.needs_approval,
            expires_at_ms: self.expires_at.map_or(0, |at| at.0),
        }
    }
}

impl fmt::Debug for ConversationState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ConversationState(generation {})", self.generation)
    }
}

impl fmt::Debug for Invitation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Invitation(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::{ConversationStateError as Error, *};

    fn wire() -> pb::ConversationState {
        pb::ConversationState {
            conversation_id: vec![1; 16].into(),
            generation: 1,
            name: "Family".into(),
            picture: Bytes::new(),
            admins: vec![vec![2; 32].into()],
            everybody_adds: false,
            expires_after_s: 0,
            invitations: vec![pb::Invitation {
                secret_hash: Invitation::hash(b"secret").to_vec().into(),
                needs_approval: true,
                expires_at_ms: 10,
            }],
        }
    }

    #[test]
    fn what_a_group_is_survives_the_wire() {
        let state = ConversationState::check(&wire()).unwrap();
        assert!(state.to_wire() == wire());
        assert!(state.is_admin(AccountId([2; 32])));
        assert!(!state.is_admin(AccountId([3; 32])));
        assert_eq!(format!("{state:?}"), "ConversationState(generation 1)");
    }

    #[test]
    fn an_invitation_is_good_for_its_secret_until_it_ends() {
        let state = ConversationState::check(&wire()).unwrap();
        assert!(state.invitation(b"secret", Time(9)).is_some());
        assert!(state.invitation(b"secret", Time(10)).is_none());
        assert!(state.invitation(b"another", Time(9)).is_none());
    }

    #[test]
    fn what_is_not_well_formed_is_refused_with_the_reason() {
        let admin = || Bytes::from(vec![2; 32]);
        let invitation = || wire().invitations.remove(0);
        for (wire, error) in [
            (
                pb::ConversationState {
                    conversation_id: vec![1; 15].into(),
                    ..wire()
                },
                Error::Conversation,
            ),
            (
                pb::ConversationState {
                    generation: 0,
                    ..wire()
                },
                Error::Generation,
            ),
            (
                pb::ConversationState {
                    name: String::new(),
                    ..wire()
                },
                Error::Name,
            ),
            (
                pb::ConversationState {
                    name: "a".repeat(limits::GROUP_NAME_BYTES + 1),
                    ..wire()
                },
                Error::Name,
            ),
            (
                pb::ConversationState {
                    picture: vec![0; limits::PICTURE_BYTES + 1].into(),
                    ..wire()
                },
                Error::Picture,
            ),
            (
                pb::ConversationState {
                    admins: Vec::new(),
                    ..wire()
                },
                Error::Admins,
            ),
            (
                pb::ConversationState {
                    admins: vec![admin(), admin()],
                    ..wire()
                },
                Error::Admins,
            ),
            (
                pb::ConversationState {
                    admins: vec![vec![2; 31].into()],
                    ..wire()
                },
                Error::Admins,
            ),
            (
                pb::ConversationState {
                    invitations: vec![invitation(), invitation()],
                    ..wire()
                },
                Error::Invitations,
            ),
        ] {
            assert_eq!(ConversationState::check(&wire).unwrap_err(), error);
        }
    }
}
