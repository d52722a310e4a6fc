//! What can go wrong with MLS.

use super::Member;
use crate::store::StoreError;

/// Why something of our own could not be made.
#[derive(Debug, thiserror::Error)]
pub enum MlsError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Bytes from outside are not what they should be.
    #[error("malformed: {0}")]
    Malformed(&'static str),
    /// The key package, welcome or group does not verify, or is not of a kind that
    /// we use (another suite, no conversation secrets, a missing capability).
    #[error("refused: {0}")]
    Refused(String),
    /// The welcome is not for any key package that is still here.
    #[error("the welcome is for a key package that is not here")]
    KeyPackageUnknown,
    /// A group with this id is here already.
    #[error("the group is here already")]
    GroupExists,
    /// There is a commit of ours that has neither been merged nor cleared.
    #[error("a commit is pending")]
    CommitPending,
    /// We are not a member any more.
    #[error("this device is no longer a member of the group")]
    NotMember,
    /// The library failed in a way that it should not.
    #[error("MLS failed: {0}")]
    Library(String),
}

impl MlsError {
    pub(super) fn library(error: impl core::fmt::Display) -> Self {
        Self::Library(error.to_string())
    }

    pub(super) fn refused(error: impl core::fmt::Display) -> Self {
        Self::Refused(error.to_string())
    }
}

/// Why a message that came in was not taken. Except for [`ProcessError::Store`] and
/// [`ProcessError::Library`] the message can be acknowledged and forgotten; the
/// group is as it was.
#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    /// This message, or the commit of this epoch, was taken before.
    #[error("the message was processed before")]
    AlreadyProcessed,
    /// A message of our own: what it says can only be read from the outbox.
    #[error("the message is this device's own")]
    OwnMessage,
    /// The message belongs to an epoch that is still to come: a commit is missing.
    #[error("the message is from a later epoch")]
    FutureEpoch,
    /// Its epoch's secrets, or its own, were deleted.
    #[error("the message is too old to be read")]
    TooOld,
    /// Too many messages of its sender are missing before it.
    #[error("the message is too far ahead of what came before")]
    TooFarAhead,
    /// It does not decode, or is of another group.
    #[error("the message is malformed")]
    Malformed,
    /// It decodes, but decryption, a signature or a rule of RFC 9420 fails.
    #[error("the message is not authentic")]
    Unauthentic,
    /// It is a valid message of a kind that Waxwing does not use: a bare proposal, a
    /// change of the group context, an external commit that removes another device.
    #[error("the message does something that members may not do")]
    Forbidden,
    /// A member's device made a commit that members may not make: it says so itself.
    #[error("a member's commit does something that members may not do")]
    BreaksRules(Box<Member>),
    /// We are not a member any more.
    #[error("this device is no longer a member of the group")]
    NotMember,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The library failed in a way that it should not.
    #[error("MLS failed: {0}")]
    Library(String),
}

impl ProcessError {
    /// Whether the message was refused before any secret was derived for it, so that the
    /// group in memory is as the store has it.
    pub const fn is_seen_from_outside(&self) -> bool {
        matches!(
            self,
            Self::AlreadyProcessed | Self::FutureEpoch | Self::TooOld
        )
    }
}
