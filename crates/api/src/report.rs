//! Reports of messages: the content of a report's file, and the result of checking one.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{MessageId, Timestamp, closed_debug};

/// Parameters of `report`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MakeReport {
    /// Messages of others.
    pub messages: Vec<MessageId>,
    /// The person's comment, at most 4,096 bytes.
    #[serde(default)]
    pub note: String,
}

/// Parameters of `check_report`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CheckReport {
    /// The result of `report`.
    pub report: Report,
}

/// Messages that a person discloses, with proof of who wrote them (docs/conversations.md,
/// "Safety").
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Report {
    /// `waxwing-report`.
    pub format: String,
    /// 1.
    pub version: u32,
    /// When it was made, by the reporter's clock.
    pub made_at: Timestamp,
    /// The reporter's comment.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub note: String,
    /// Who wrote the messages.
    pub people: Vec<ReportedPerson>,
    /// In the order in which the reporter named them; a message's edits follow it.
    pub messages: Vec<ReportedMessage>,
}

/// Who wrote a reported message.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ReportedPerson {
    /// The account's id: the hash of its first statement, in hex.
    pub account: String,
    /// Their address, in display form, as the reporter knows it.
    pub address: String,
    /// Whether the key log proved that to the reporter.
    pub verified: bool,
    /// The account's statements (`SignedStatement`), in base64.
    pub roster: Vec<String>,
}

/// A reported message or edit, as its device signed it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ReportedMessage {
    /// Whose.
    pub account: String,
    /// The device's id in hex.
    pub device: String,
    /// The MLS group in which it was sent, in hex. It shows only which messages were sent in the
    /// same group.
    pub group: String,
    /// When, in milliseconds since 1970, by the sender's clock.
    pub sent_at_ms: u64,
    /// MIMI content in base64.
    pub content: String,
    /// Ed25519, in base64 (content.proto, `Envelope.signature`).
    pub signature: String,
    /// When the account revoked the key that signed this, in milliseconds since 1970 by the clock
    /// of the device that revoked it, as far as the reporter knows. The roster says so too; this
    /// field is for readers who cannot check the roster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_revoked_at_ms: Option<u64>,
}

/// A report in which every signature is valid.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CheckedReport {
    /// When it was made, as the report states.
    pub made_at: Timestamp,
    /// The reporter's comment, which nothing proves.
    pub note: String,
    /// The messages, as they were shown.
    pub said: Vec<ProvenMessage>,
}

/// A message that somebody certainly wrote.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ProvenMessage {
    /// The id of the message, or of the edit.
    pub id: MessageId,
    /// Their address, as the report states.
    pub address: String,
    /// Their account, which certainly wrote this.
    pub account_id: String,
    /// Whether the address belongs to that account, as far as this device knows from the key log;
    /// absent if it does not know.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address_known: Option<bool>,
    /// Whether the account claims the key that signed this without proof, as devices do that an
    /// older version added. It could be another account's key, and another person's words.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub key_unproven: bool,
    /// When, by the sender's clock.
    pub sent_at: Timestamp,
    /// When the account revoked the key that signed this, by the clock of the device that revoked
    /// it: it revoked the device, or gave it another key. Anybody who has had the old key since
    /// then can have written this, and given it any time. Absent if neither the report nor this
    /// device knows of a revocation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_revoked_at: Option<Timestamp>,
    /// The words.
    pub text: String,
    /// The message that this edits, if it is an edit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaces: Option<MessageId>,
    /// Its attachments.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<ReportedFile>,
}

/// A file of a reported message.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ReportedFile {
    /// The name that its sender chose.
    pub name: String,
    /// Its size.
    pub bytes: u64,
}

closed_debug!(
    MakeReport,
    CheckReport,
    Report,
    ReportedPerson,
    ReportedMessage,
    CheckedReport,
    ProvenMessage,
    ReportedFile
);
