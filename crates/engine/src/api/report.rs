//! Reports of messages: what is written into a report's file, and what checking one says.

use serde::{Deserialize, Serialize};

use super::{MessageId, Timestamp, closed_debug};

/// See [`super::Request::Report`].
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MakeReport {
    /// Messages of others.
    pub messages: Vec<MessageId>,
    /// What the person says about it, at most 4,096 bytes.
    #[serde(default)]
    pub note: String,
}

/// See [`super::Request::CheckReport`].
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckReport {
    /// What `report` gave.
    pub report: Report,
}

/// Messages that were disclosed by choice, with what shows that they are their senders'
/// (docs/conversations.md, "Safety").
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// `waxwing-report`.
    pub format: String,
    /// 1.
    pub version: u32,
    /// When, by the clock of who reports.
    pub made_at: Timestamp,
    /// What who reports says about it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub note: String,
    /// Who wrote the messages.
    pub people: Vec<ReportedPerson>,
    /// In the order in which they were named; a message's edits follow it.
    pub messages: Vec<ReportedMessage>,
}

/// Who wrote a reported message.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReportedPerson {
    /// The account's id: the hash of its first statement, in hex.
    pub account: String,
    /// Their address, in display form, as who reports knows it.
    pub address: String,
    /// Whether the key log said so to who reports.
    pub verified: bool,
    /// The account's statements (`SignedStatement`), in base64.
    pub roster: Vec<String>,
}

/// A reported message or edit as its device signed it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReportedMessage {
    /// Whose.
    pub account: String,
    /// The device's id in hex.
    pub device: String,
    /// The MLS group in which it was said, in hex: it tells nothing but that others of the
    /// same were said there too.
    pub group: String,
    /// When, in milliseconds since 1970, by the sender's clock.
    pub sent_at_ms: u64,
    /// MIMI content in base64.
    pub content: String,
    /// Ed25519, in base64 (content.proto, `Envelope.signature`).
    pub signature: String,
    /// When the account took the key back that signed this, in milliseconds since 1970 by the
    /// clock of the device that did: as far as who reports knows, and for readers without
    /// the means to check the roster, which says so, too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_revoked_at_ms: Option<u64>,
}

/// A report in which every signature is good.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckedReport {
    /// When it was made, as it says itself.
    pub made_at: Timestamp,
    /// What who made it says; nobody vouches for that.
    pub note: String,
    /// What was said, as it was shown.
    pub said: Vec<Said>,
}

/// Something that somebody said beyond doubt.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Said {
    /// The message's, or the edit's.
    pub id: MessageId,
    /// Their address, as the report says.
    pub address: String,
    /// Their account: that it wrote this is proven.
    pub account_id: String,
    /// Whether that is the address's account, as far as this device knows from the key log:
    /// nothing where it knows neither.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address_known: Option<bool>,
    /// Whether the account only claims the key that signed this, as devices that were added
    /// before there was a proof do: it could be another account's key, and so another's words.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub key_unproven: bool,
    /// When, by the sender's clock.
    pub sent_at: Timestamp,
    /// When the account took back the key that signed this, by the clock of the device that
    /// did: it revoked the device, or gave it another key. Whoever has that key since then
    /// can have written this, and given it any time. Nothing where neither the report nor
    /// this device knows of that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_revoked_at: Option<Timestamp>,
    /// The words.
    pub text: String,
    /// It was an edit of this message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaces: Option<MessageId>,
    /// Files that it brought.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<ReportedFile>,
}

/// A file of a reported message.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReportedFile {
    /// As its sender called it.
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
    Said,
    ReportedFile
);
