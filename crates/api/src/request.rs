//! Parameters of methods.
//!
//! **Elsewhere**: the methods are in [`mod@crate::methods`]. Parameters of some are beside what they are
//! about: in `devices`, `report` and `sms`, and those of the client's own methods in `client`.
//!
//! **Always**: fields are only ever added, and an absent field changes nothing.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    ConversationId, LinkPreview, Message, MessageId, Preview, Timestamp, closed_debug,
    message::is_false,
};

/// Parameters of `register`.
#[derive(Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Register {
    /// E-mail address or phone number, as typed.
    pub address: String,
    /// The relay's URL, `https://host[:port]`, optionally with `/#` and its pin.
    pub relay: String,
    /// The relay's SPKI pin, `sha256/…`, if it is not in the URL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pin: Option<String>,
    /// The name that others see.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// This device's name in the account's list of devices: 1 to 64 bytes. Only the account's own
    /// devices learn it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
}

/// Parameters of `submit_code`.
#[derive(Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SubmitCode {
    /// As typed; spaces and hyphens do not matter.
    pub code: String,
}

/// Parameters of `send`.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SendText {
    /// An address, a conversation's id, or a group's name that no other group has.
    pub to: String,
    /// At most `limits::TEXT_BYTES` bytes of UTF-8.
    pub text: String,
    /// The message to reply to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reply_to: Option<MessageId>,
    /// Whether the text is Markdown: others see it formatted.
    #[serde(default, skip_serializing_if = "is_false")]
    pub markdown: bool,
    /// At most 32 files that are sealed in the home's `blobs/`. With them, the text may be empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attachments: Vec<SealedFile>,
    /// A preview of a link in the text, as this device saw it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link_preview: Option<Box<LinkPreview>>,
    /// Whether the recipients' devices are asked to show it once only (`open_once`).
    #[serde(default, skip_serializing_if = "is_false")]
    pub view_once: bool,
}

/// A file that was sealed into the home's `blobs/`, under its id.
#[derive(Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SealedFile {
    /// 32 bytes, hex.
    pub blob: String,
    /// 32 bytes, base64.
    pub key: String,
    /// SHA-256 of the sealed bytes, hex.
    pub sha256: String,
    /// Bytes of the file.
    pub size: u64,
    /// Its name; others see it.
    pub name: String,
    /// Its media type.
    pub media_type: String,
    /// Its preview.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preview: Option<Preview>,
}

/// Parameters of `react`.
#[derive(Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct React {
    /// The message.
    pub message: MessageId,
    /// An emoji: at most 64 bytes without spaces. It replaces an earlier reaction; without an
    /// emoji, the reaction is removed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub emoji: Option<String>,
}

/// Parameters of `edit`.
#[derive(Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Edit {
    /// A message of this account.
    pub message: MessageId,
    /// Its new text.
    pub text: String,
}

/// A message.
#[derive(Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MessageOf {
    /// Its id.
    pub message: MessageId,
}

/// Parameters of `delete_messages`.
#[derive(Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DeleteMessages {
    /// At most 1,000.
    pub messages: Vec<MessageId>,
}

/// An attachment of a message.
#[derive(Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AttachmentOf {
    /// The message.
    pub message: MessageId,
    /// Its place among the message's, from 0.
    #[serde(default)]
    pub number: u32,
}

/// Parameters of `find_message`.
#[derive(Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FindMessage {
    /// At least six hexadecimal digits: the start of the id, with or without the first two digits,
    /// which all ids share.
    pub prefix: String,
}

/// Parameters of `set_timer`.
#[derive(Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SetTimer {
    /// An address, a conversation's id, or a group's name that no other group has.
    pub of: String,
    /// Seconds after reading; 0 for never.
    pub seconds: u32,
}

/// Parameters of `create_group`.
#[derive(Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateGroup {
    /// 1 to 256 bytes.
    pub name: String,
    /// Addresses, as typed: at most 999.
    #[serde(default)]
    pub members: Vec<String>,
}

/// Parameters of `change_group`. A field that is absent changes nothing.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ChangeGroup {
    /// The group's id, or its name.
    pub group: String,
    /// Addresses of people to add.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub add: Vec<String>,
    /// Addresses of members to remove.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub remove: Vec<String>,
    /// Addresses of members to make admins.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub promote: Vec<String>,
    /// Addresses of admins to make plain members.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub demote: Vec<String>,
    /// The new name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The new picture: base64 of a PNG, JPEG or WebP of at most 24 KiB; empty for none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub picture: Option<String>,
    /// Whether members who are not admins may add others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub everybody_adds: Option<bool>,
    /// How many seconds after reading a message is deleted; 0 for never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_after_s: Option<u32>,
}

/// Parameters of `leave_group`.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LeaveGroup {
    /// The group's id, or its name.
    pub of: String,
    /// The address of a member who becomes an admin in this account's place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub successor: Option<String>,
}

/// Parameters of `mark_read`.
#[derive(Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MarkRead {
    /// The conversation.
    pub conversation: ConversationId,
    /// The last message that was read; without it, all messages.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub up_to: Option<MessageId>,
}

/// Parameters of `set_typing`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SetTyping {
    /// An address, a conversation's id, or a group's name that no other group has.
    pub of: String,
    /// `false` when they have stopped.
    pub typing: bool,
}

/// Parameters of `import_entries`.
#[derive(Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ImportEntries {
    /// The conversation to import into: an address, a conversation's id, or a group's name that no
    /// other group has.
    pub into: String,
    /// The oldest first, at most 1,000.
    pub messages: Vec<ImportedMessage>,
}

/// A message from a file.
#[derive(Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ImportedMessage {
    /// As `history` returns it. Its reactions, receipts and attachments are ignored.
    pub message: Message,
    /// Its attachments, sealed in the home.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<SealedFile>,
}

/// Parameters of `invite`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Invite {
    /// The group's id, or its name.
    pub group: String,
    /// Whether an admin has to approve each person who asks.
    #[serde(default)]
    pub needs_approval: bool,
    /// When the link expires.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
}

/// Parameters of `revoke_invitation`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RevokeInvitation {
    /// The group's id, or its name.
    pub group: String,
    /// The invitation's id: 8 hex digits.
    pub invitation: String,
}

/// Parameters of `join`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Join {
    /// `waxwing:invite/1/…`
    pub link: String,
}

/// Parameters of `decide_join`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DecideJoin {
    /// The group's id, or its name.
    pub group: String,
    /// Who asks.
    pub address: String,
    /// Whether they may join.
    pub accept: bool,
}

/// Parameters of `set_profile`. A field that is absent changes nothing.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SetProfile {
    /// At most 128 bytes; empty for none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Base64 of a PNG, JPEG or WebP of at most 24 KiB; empty for none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub picture: Option<String>,
}

/// Parameters of `profile`.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AskProfile {
    /// An address or a conversation's id; without it, this account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub of: Option<String>,
}

/// Parameters of `decline_request`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Decline {
    /// An address, a conversation's id, or a group's name that no other group has.
    pub of: String,
    /// Whether to block them as well.
    #[serde(default)]
    pub block: bool,
}

/// Parameters of `block`.
#[derive(Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Block {
    /// The contact's address.
    pub address: String,
    /// `false` undoes it.
    pub blocked: bool,
}

/// Parameters of `set_receipts`.
#[derive(Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SetReceipts {
    /// Whether to tell that a message has arrived.
    pub delivered: bool,
    /// Whether to tell that a message was read.
    pub read: bool,
    /// Whether to tell that the person is typing; unchanged if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub typing: Option<bool>,
}

/// Parameters of `verify`.
#[derive(Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Verify {
    /// The contact's address, or the conversation's id.
    pub of: String,
    /// The decision.
    pub decision: Decision,
    /// With `accept`: the QR code's text or the digits from the other device, which this device
    /// compares. Without it, the person has compared the numbers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scanned: Option<String>,
}

/// A person's decision about a safety number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Decision {
    /// It is the same: they are verified, and waiting messages are sent.
    Accept,
    /// The person did not compare it, but waiting messages are sent.
    Continue,
    /// It is different: they are not verified, and nothing is sent.
    Reject,
}

/// Parameters of `set_auditors`.
#[derive(Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SetAuditors {
    /// All auditors from now on.
    pub auditors: Vec<NamedAuditor>,
    /// How many of them must have co-signed; 0 to require none.
    pub required: u32,
}

/// An auditor, as the person names them.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NamedAuditor {
    /// `waxwing-auditor-…`, as the auditor publishes it.
    pub id: String,
    /// The name that the person gives them.
    pub name: String,
}

/// Somebody, or a conversation.
#[derive(Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Of {
    /// An address, a conversation's id, or a group's name that no other group has.
    pub of: String,
}

/// Parameters of `history`. At most one of `before`, `after`, `around`, `until`, `from` and
/// `search` may be given, except that `until` goes with `search`.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct History {
    /// An address, or a conversation's id.
    pub of: String,
    /// How many of the newest entries; at most 1,000, which is the default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
    /// Only entries before this message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<MessageId>,
    /// Only entries after this message: the oldest `limit` of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<MessageId>,
    /// This message, with entries before and after it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub around: Option<MessageId>,
    /// Only entries before those of an earlier result: its `previous`. Also with `search`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
    /// From the oldest entry (`""`), or from the `next` of an earlier result.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// Only messages with these words: as in `search`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub search: Option<String>,
}

/// Parameters of `keep_conversation`. A field that is absent changes nothing.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct KeepConversation {
    /// An address, a conversation's id, or a group's name that no other group has.
    pub of: String,
    /// Whether it is pinned to the top of the list.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pinned: Option<bool>,
    /// Whether it is archived.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub archived: Option<bool>,
    /// Whether it is muted: for ever, unless `muted_until` is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub muted: Option<bool>,
    /// Until when it is muted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub muted_until: Option<Timestamp>,
    /// A draft of at most 8 KiB; empty for none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub draft: Option<String>,
    /// A nickname for the contact, at most 128 bytes; empty for none. Nobody else learns it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nickname: Option<String>,
}

/// Parameters of `star`.
#[derive(Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Star {
    /// The message.
    pub message: MessageId,
    /// Whether to star or unstar it.
    pub starred: bool,
}

/// Parameters of `search`.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Search {
    /// Words, all of which the message must contain, also inside of longer words. Capitals,
    /// accents, vowel points and full width do not matter; emoji and signs find themselves. Empty
    /// for all messages.
    #[serde(default)]
    pub text: String,
    /// Only in this conversation: an address, an id, or the name of a group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub of: Option<String>,
    /// Only messages from this address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// Only messages written then or later, by the sender's clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// Only messages written before then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// How many messages; at most 1,000, by default 100.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
    /// The `next` of the previous answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<i64>,
}

closed_debug!(
    SealedFile,
    AttachmentOf,
    DeleteMessages,
    KeepConversation,
    Star,
    Search,
    Register,
    SubmitCode,
    SendText,
    React,
    Edit,
    MessageOf,
    FindMessage,
    SetTimer,
    CreateGroup,
    ChangeGroup,
    LeaveGroup,
    MarkRead,
    SetTyping,
    ImportEntries,
    ImportedMessage,
    Invite,
    RevokeInvitation,
    Join,
    DecideJoin,
    SetProfile,
    AskProfile,
    Decline,
    Block,
    SetReceipts,
    Verify,
    SetAuditors,
    NamedAuditor,
    Of,
    History
);
