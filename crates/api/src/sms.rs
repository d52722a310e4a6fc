//! Text messages of the phone network.
//!
//! **Elsewhere**: the texts themselves are in `message`, with `channel` `sms`.
//!
//! **Always**: nothing about a text message is verified.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{closed_debug, message::is_false};

/// Something that the reader of a text message should know about it.
#[derive(Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SmsFinding {
    /// How much it matters.
    pub severity: SmsSeverity,
    /// What it is: `replies_elsewhere`, `imitates_contact`, `link_punycode`, …
    pub kind: String,
    /// What it means, for people.
    pub sentence: String,
    /// More fields, depending on its kind.
    #[serde(flatten)]
    pub details: serde_json::Map<String, serde_json::Value>,
}

/// How much a finding matters.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum SmsSeverity {
    /// Worth knowing.
    Note,
    /// Often a trick.
    Caution,
    /// A trick, or something that only tricks use.
    Danger,
}

/// Parameters of `quote_sms`.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct QuoteSms {
    /// A phone number, or the name or id of a conversation with one.
    pub to: String,
    /// The text to send.
    pub text: String,
}

/// Parameters of `send_sms`.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SendSms {
    /// A phone number, or the name or id of a conversation with one.
    pub to: String,
    /// The text to send.
    pub text: String,
    /// The person knows that a text message is not encrypted and proves nothing. Needed once.
    #[serde(default, skip_serializing_if = "is_false")]
    pub understood: bool,
    /// The most segments that the text may take.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub segments: Option<u32>,
    /// Send a text message even if the number is on Waxwing.
    #[serde(default, skip_serializing_if = "is_false")]
    pub even_so: bool,
}

/// What a text message would cost.
#[derive(Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SmsQuote {
    /// The number, in E.164.
    pub to: String,
    /// How many text messages it takes, each of which costs money.
    pub segments: u32,
    /// Its encoding.
    pub encoding: SmsEncoding,
    /// How many more characters fit into the last of them.
    pub characters_left: u32,
    /// The price of one of them, if the relay's operator states it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub price: Option<String>,
    /// The price of all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total: Option<String>,
    /// Whether the relay sends texts to phones at all, if it has said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offered: Option<bool>,
    /// Whether the person has accepted that text messages are not encrypted.
    pub understood: bool,
}

/// The encoding of a text message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SmsEncoding {
    /// The phone network's own alphabet: 160 characters in a message.
    Gsm7,
    /// UTF-16, for everything else: 70.
    Utf16,
}

closed_debug!(SmsFinding, QuoteSms, SendSms, SmsQuote);
