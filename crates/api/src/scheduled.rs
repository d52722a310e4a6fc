//! Messages that are sent later, and messages that are forwarded.
//!
//! **Elsewhere**: sending at once is in `request`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    ConversationId, MessageId, ProblemReport, SealedFile, SendText, Timestamp, closed_debug,
    message::is_false,
};

/// Parameters of `forward`.
#[derive(Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Forward {
    /// The message.
    pub message: MessageId,
    /// To whom: an address, a conversation's id, or a group's name that no other group has.
    pub to: String,
    /// All its attachments that were not deleted, in their order, as `copy_attachment` returns
    /// them for this recipient.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attachments: Vec<SealedFile>,
}

/// Parameters of `schedule`.
#[derive(Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Schedule {
    /// As in `send`.
    #[serde(flatten)]
    pub message: SendText,
    /// When to send it.
    pub at: Timestamp,
}

/// A message that is sent later.
#[derive(Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ScheduledMessage {
    /// Its number on this device.
    pub id: u64,
    /// To whom, in display form; of a group, its name.
    pub to: String,
    /// The conversation, if there is one already.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conversation: Option<ConversationId>,
    /// The text.
    pub text: String,
    /// Whether the text is Markdown.
    #[serde(default, skip_serializing_if = "is_false")]
    pub markdown: bool,
    /// The message it replies to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reply_to: Option<MessageId>,
    /// Its files.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attachments: Vec<ScheduledFile>,
    /// When to send it.
    pub at: Timestamp,
    /// Why it was not sent then. It stays until it is changed or cancelled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<ProblemReport>,
}

/// A file of a message that is sent later.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ScheduledFile {
    /// Its name.
    pub name: String,
    /// Its media type.
    pub media_type: String,
    /// Bytes.
    pub size: u64,
}

/// The messages that are sent later.
#[derive(Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ScheduledMessages {
    /// The next one first.
    pub scheduled: Vec<ScheduledMessage>,
}

/// Parameters of `change_scheduled`. A field that is absent changes nothing.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ChangeScheduled {
    /// Its number.
    pub id: u64,
    /// The new text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// The new time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Timestamp>,
}

/// Parameters of `cancel_scheduled`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CancelScheduled {
    /// Its number.
    pub id: u64,
}

/// The notice `scheduled`.
#[derive(Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ScheduledChanged {
    /// Its number.
    pub id: u64,
    /// The message that it is now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<MessageId>,
    /// Where that stands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conversation: Option<ConversationId>,
    /// How late it was sent, if by more than a minute: this device was off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub late_ms: Option<u64>,
    /// Why it was not sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<ProblemReport>,
}

closed_debug!(
    Forward,
    Schedule,
    ScheduledMessage,
    ScheduledFile,
    ScheduledMessages,
    ChangeScheduled,
    ScheduledChanged,
);
