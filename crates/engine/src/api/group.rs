//! Groups: who is in them, and how one comes in.
//!
//! **Elsewhere**: changing them is in `request`.
//!
//! **Always**: members are those that the group itself has, never those that the relay says.

use serde::{Deserialize, Serialize};

use super::{ConversationId, Timestamp, closed_debug};

/// A link by which others can ask to be taken into a group.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Invited {
    /// What the invitation is called: 8 hex digits.
    pub id: String,
    /// To be given to whoever is to come.
    pub link: String,
}

/// An open invitation.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupInvitation {
    /// What it is called: 8 hex digits.
    pub id: String,
    /// Whether an admin decides about each who asks.
    pub needs_approval: bool,
    /// When it is over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    /// The link, where this device made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link: Option<String>,
}

/// A group was made.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct GroupCreated {
    /// Its id, the same for all members.
    pub conversation: ConversationId,
}

/// A group of many.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct Group {
    /// Its id, the same for all members.
    pub conversation: ConversationId,
    /// What it is called.
    pub name: String,
    /// Base64 of an image, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub picture: Option<String>,
    /// By address.
    pub members: Vec<GroupMember>,
    /// Whether members who are no admins may bring others in.
    pub everybody_adds: bool,
    /// Messages are deleted so many seconds after they were read; 0 for never.
    pub expires_after_s: u32,
    /// Whether this account has left, or was taken out.
    pub gone: bool,
    /// Addresses of those who are being brought in.
    pub coming: Vec<String>,
    /// Open invitations.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub invitations: Vec<GroupInvitation>,
    /// Addresses of those who wait for this account's decision.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub asking: Vec<String>,
    /// Whether changes of this device wait for the relay.
    pub changing: bool,
}

/// A member of a group.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[allow(
    clippy::struct_excessive_bools,
    reason = "each is a fact of its own, and a field of the JSON"
)]
pub struct GroupMember {
    /// In display form.
    pub address: String,
    /// Hex.
    pub account_id: String,
    /// Whether they may change the group.
    pub admin: bool,
    /// Whether it is this account.
    pub own: bool,
    /// Whether a look-up says that this address is this account's.
    pub verified: bool,
    /// Whether the safety number was compared in person, and was the same.
    pub compared: bool,
}

closed_debug!(Invited, GroupInvitation, GroupCreated, Group, GroupMember,);
