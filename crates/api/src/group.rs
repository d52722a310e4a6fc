//! Groups: their members, and how people join.
//!
//! **Elsewhere**: changing them is in `request`.
//!
//! **Always**: the members are those in the group's own state, never those that the relay names.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{ConversationId, Timestamp, closed_debug};

/// A link with which people ask to join a group.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Invited {
    /// The invitation's id: 8 hex digits.
    pub id: String,
    /// The link to give to people who should join.
    pub link: String,
}

/// An open invitation.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct GroupInvitation {
    /// Its id: 8 hex digits.
    pub id: String,
    /// Whether an admin has to approve each person who asks.
    pub needs_approval: bool,
    /// When it expires.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    /// The link, if this device made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link: Option<String>,
}

/// A group was created.
#[derive(Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct GroupCreated {
    /// Its id, the same for all members.
    pub conversation: ConversationId,
}

/// A group of many.
#[derive(Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Group {
    /// Its id, the same for all members.
    pub conversation: ConversationId,
    /// Its name.
    pub name: String,
    /// An image in base64, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub picture: Option<String>,
    /// Sorted by address.
    pub members: Vec<GroupMember>,
    /// Whether members who are not admins may add others.
    pub everybody_adds: bool,
    /// How many seconds after reading a message is deleted; 0 for never.
    pub expires_after_s: u32,
    /// Whether this account has left or was removed.
    #[serde(rename = "gone")]
    pub left: bool,
    /// Addresses of people who are being added.
    pub coming: Vec<String>,
    /// Open invitations.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub invitations: Vec<GroupInvitation>,
    /// Addresses of people who wait for this account's decision.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub asking: Vec<String>,
    /// Whether changes by this device wait for the relay.
    pub changing: bool,
}

/// A member of a group.
#[derive(Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[allow(
    clippy::struct_excessive_bools,
    reason = "each is a fact of its own, and a field of the JSON"
)]
pub struct GroupMember {
    /// In display form.
    pub address: String,
    /// Hex.
    pub account_id: String,
    /// Whether they are an admin.
    pub admin: bool,
    /// Whether it is this account.
    pub own: bool,
    /// Whether a look-up proves that the address belongs to this account.
    pub verified: bool,
    /// Whether the safety number was compared in person, and was the same.
    pub compared: bool,
}

closed_debug!(Invited, GroupInvitation, GroupCreated, Group, GroupMember,);
