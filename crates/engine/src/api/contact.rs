//! People, conversations, and what is known of whose keys are used.
//!
//! **Elsewhere**: what is said is in `message`.
//!
//! **Always**: an address is shown with what vouches for it.

use serde::{Deserialize, Serialize};

use super::{ConversationId, Entry, Timestamp, closed_debug, message::is_false};

/// What an account calls itself, and looks like.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Profile {
    /// Empty where there is none. Everybody may call themselves as they like.
    pub profile_name: String,
    /// Base64 of an image; empty where there is none.
    pub picture: String,
}

/// Somebody that this account knows.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct Contact {
    /// In display form.
    pub address: String,
    /// Whether a look-up says that this address is this account's.
    pub verified: bool,
    /// What they call themselves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What the person calls them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nickname: Option<String>,
    /// Whether they are blocked.
    pub blocked: bool,
    /// Whether the safety number was compared in person, and was the same.
    #[serde(default)]
    pub compared: bool,
    /// Hex.
    pub account_id: String,
    /// To compare in person.
    pub safety_number: String,
}

/// What two people compare to be sure of each other.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct SafetyNumber {
    /// The contact's address, in display form.
    pub address: String,
    /// Their account's id; hex.
    pub account_id: String,
    /// 60 digits in groups of five; the same on all devices of both.
    pub safety_number: String,
    /// The same for a QR code.
    pub qr_text: String,
    /// Whether it was compared in person, and was the same.
    pub compared: bool,
    /// Whether nothing is sent to them until the person decides.
    pub stopped: bool,
}

/// An auditor that the person named.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct Auditor {
    /// `waxwing-auditor-…`.
    pub id: String,
    /// What the person calls them.
    pub name: String,
    /// The number of the newest head that they are known to have co-signed; 0 for none.
    pub head: u64,
    /// When they did, by their clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Timestamp>,
}

/// What proves to anybody that the relay lied.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct Evidence {
    /// When it was found.
    pub found_at: Timestamp,
    /// The file for `waxwing audit verify`, in base64.
    pub file: String,
}

/// What the person must know even if nobody was looking when it happened.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct Alarm {
    /// A stable name for programs.
    pub code: String,
    /// What happened, what it means, what to do.
    pub sentence: String,
    /// When it was raised.
    pub first_at: Timestamp,
    /// When it was last raised.
    pub last_at: Timestamp,
}

/// The relay's key log, as this device follows it.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct LogStatus {
    /// Hex.
    pub id: String,
    /// The number of the newest head that was seen; 0 for none.
    pub head: u64,
    /// When the relay made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub made_at: Option<Timestamp>,
}

/// Who takes part in a conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConversationKind {
    /// Two people.
    Direct,
    /// A group of many.
    Group,
    /// This account's devices.
    Notes,
    /// A phone, by text messages: not encrypted, and nothing about it is verified.
    Sms,
}

/// One conversation.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[allow(
    clippy::struct_excessive_bools,
    reason = "each is a fact of its own, and a field of the JSON"
)]
pub struct Conversation {
    /// As this device knows it; of a group, as all know it.
    pub id: ConversationId,
    /// Who takes part.
    pub kind: ConversationKind,
    /// The other person's address, in display form; of a group, its name.
    pub with: String,
    /// Whether a look-up says that the address is theirs.
    pub verified: bool,
    /// Messages that this account has not read.
    pub unread: u64,
    /// Whether it is a stranger's, whom the person has yet to accept.
    #[serde(default, skip_serializing_if = "is_false")]
    pub request: bool,
    /// Whether it stands at the top.
    #[serde(default, skip_serializing_if = "is_false")]
    pub pinned: bool,
    /// Whether it is put away. It comes back when somebody writes, unless it is muted.
    #[serde(default, skip_serializing_if = "is_false")]
    pub archived: bool,
    /// Until when nothing is to ring.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub muted_until: Option<Timestamp>,
    /// A text that was begun, on any device of the account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub draft: Option<String>,
    /// What they call themselves; everybody may as they like.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What the person calls them; the address is who they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nickname: Option<String>,
    /// The newest entry; none of a request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<Entry>,
}

closed_debug!(
    Contact,
    Conversation,
    Profile,
    SafetyNumber,
    Auditor,
    Evidence,
    Alarm,
    LogStatus,
);
