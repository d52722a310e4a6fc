//! People and conversations, and what is known about their keys.
//!
//! **Elsewhere**: messages are in `message`.
//!
//! **Always**: an address is shown with what proves it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{
    ConversationId, Entry, Problem, ProblemReport, Timestamp, closed_debug, message::is_false,
};

/// An account's profile: its name and picture.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Profile {
    /// Empty for none. Anybody can choose any name.
    pub profile_name: String,
    /// An image in base64; empty for none.
    pub picture: String,
}

/// Somebody that this account knows.
#[derive(Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Contact {
    /// In display form.
    pub address: String,
    /// Whether a look-up proves that the address belongs to this account.
    pub verified: bool,
    /// The name in their profile.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The name that the person gave them.
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

/// What two people compare to verify each other.
#[derive(Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SafetyNumber {
    /// The contact's address, in display form.
    pub address: String,
    /// Their account's id; hex.
    pub account_id: String,
    /// 60 digits in groups of five; the same on all devices of both.
    pub safety_number: String,
    /// The same as a text for a QR code.
    pub qr_text: String,
    /// Whether it was compared in person, and was the same.
    pub compared: bool,
    /// Whether sending to them is stopped until the person decides.
    #[serde(rename = "stopped")]
    pub awaiting_decision: bool,
}

/// An auditor that the person chose.
#[derive(Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Auditor {
    /// `waxwing-auditor-…`.
    pub id: String,
    /// The name that the person gave them.
    pub name: String,
    /// The number of the newest head that this device knows they co-signed; 0 for none.
    pub head: u64,
    /// When they did, by their clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Timestamp>,
}

/// A proof that the relay lied, which anybody can check.
#[derive(Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Evidence {
    /// When it was found.
    pub found_at: Timestamp,
    /// The file for `waxwing audit verify`, in base64.
    pub file: String,
}

/// A warning that stays until the person dismisses it or its cause is resolved.
#[derive(Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Alarm {
    /// [`Problem::code`].
    #[schemars(skip)]
    pub code: String,
    /// What happened, in one sentence for programs and logs.
    #[schemars(skip)]
    pub sentence: String,
    /// The fields of the [`Problem`].
    #[serde(flatten)]
    #[schemars(with = "ProblemReport")]
    pub facts: Map<String, Value>,
    /// When it was raised.
    pub first_at: Timestamp,
    /// When it was last raised.
    pub last_at: Timestamp,
}

impl Alarm {
    /// Of a report.
    pub fn of(report: ProblemReport, first_at: Timestamp, last_at: Timestamp) -> Self {
        let ProblemReport {
            code,
            sentence,
            facts,
        } = report;
        Self {
            code,
            sentence,
            facts,
            first_at,
            last_at,
        }
    }

    /// What it is about.
    pub fn report(&self) -> ProblemReport {
        ProblemReport {
            code: self.code.clone(),
            sentence: self.sentence.clone(),
            facts: self.facts.clone(),
        }
    }

    /// The problem, unless another version with other codes or facts raised it.
    pub fn problem(&self) -> Option<Problem> {
        self.report().problem()
    }
}

/// The relay's key log, as far as this device has checked it.
#[derive(Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LogStatus {
    /// Hex.
    pub id: String,
    /// The number of the newest head that this device has seen; 0 for none.
    pub head: u64,
    /// When the relay made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub made_at: Option<Timestamp>,
}

/// Who takes part in a conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
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
#[derive(Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[allow(
    clippy::struct_excessive_bools,
    reason = "each is a fact of its own, and a field of the JSON"
)]
pub struct Conversation {
    /// The id on this device; a group's id is the same for all members.
    pub id: ConversationId,
    /// Who takes part.
    pub kind: ConversationKind,
    /// The other person's address, in display form; of a group, its name.
    pub with: String,
    /// Whether a look-up proves that the address belongs to them.
    pub verified: bool,
    /// Messages that this account has not read.
    pub unread: u64,
    /// Whether it is a message request that the person has not accepted yet.
    #[serde(default, skip_serializing_if = "is_false")]
    pub request: bool,
    /// Whether it is pinned to the top of the list.
    #[serde(default, skip_serializing_if = "is_false")]
    pub pinned: bool,
    /// Whether it is archived. It returns to the list when somebody writes, unless it is muted.
    #[serde(default, skip_serializing_if = "is_false")]
    pub archived: bool,
    /// Until when it is muted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub muted_until: Option<Timestamp>,
    /// A draft, from any device of the account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub draft: Option<String>,
    /// The name in their profile; anybody can choose any name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The name that the person gave them; only the address identifies them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nickname: Option<String>,
    /// The newest entry; absent for a message request.
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
