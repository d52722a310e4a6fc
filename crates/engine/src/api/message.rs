//! Messages, and whatever else stands in a conversation.
//!
//! **Elsewhere**: asking for them is in `request`; people and conversations are in `contact`.
//!
//! **Always**: what others wrote is their word; nothing in it is trusted because it is here.

use serde::{Deserialize, Serialize};

use super::{ConversationId, MessageId, ProblemReport, SmsFinding, Timestamp, closed_debug};

/// One thing in a conversation's history.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
#[allow(
    clippy::large_enum_variant,
    reason = "nearly all entries are messages, and they come in pages"
)]
pub enum Entry {
    /// What somebody wrote.
    Message(Message),
    /// What happened to the conversation.
    Event(ConversationEvent),
    /// Messages that are known to be missing.
    Gap(Gap),
}

impl core::fmt::Debug for Entry {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::Message(_) => "Entry(message)",
            Self::Event(_) => "Entry(event)",
            Self::Gap(_) => "Entry(gap)",
        })
    }
}

/// A message, in or out.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[allow(
    clippy::struct_excessive_bools,
    reason = "each is a fact of its own, and a field of the JSON"
)]
pub struct Message {
    /// The same for everyone who has it.
    pub id: MessageId,
    /// Where it stands.
    pub conversation: ConversationId,
    /// What the group is called, where it stands in one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// The sender's address, in display form.
    pub from: String,
    /// Whether the relay's verified address list, and the signed roster, say that
    /// this address and the sender's device belong to the same account.
    pub from_verified: bool,
    /// What was written.
    pub text: String,
    /// What it looks like, where it is Markdown: all of it, in this order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub formatted: Vec<Span>,
    /// The addresses that it mentions (`@bob@example.org`), canonical.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mentions: Vec<String>,
    /// By the sender's clock.
    pub sent_at: Timestamp,
    /// How it came.
    pub channel: Channel,
    /// Whether this account wrote it.
    pub direction: Direction,
    /// How far a message of this account is; absent in those of others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<MessageState>,
    /// Why it failed, where it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<ProblemReport>,
    /// The message that it answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reply_to: Option<MessageId>,
    /// Whether this account has read it (its own are).
    pub read: bool,
    /// Each emoji with those who reacted with it, most first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reactions: Vec<Reaction>,
    /// When it was last edited, by the sender's clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub edited_at: Option<Timestamp>,
    /// Whether its sender has taken it back: its text is empty then.
    #[serde(default, skip_serializing_if = "is_false")]
    pub taken_back: bool,
    /// So many seconds after it was read it disappears.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_after_s: Option<u32>,
    /// When it disappears from this device, once its time runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    /// In a group: how many of those who were to get this account's message have it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub receipts: Option<ReceiptCount>,
    /// Whether this account has starred it.
    #[serde(default, skip_serializing_if = "is_false")]
    pub starred: bool,
    /// What it brings along.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attachments: Vec<Attachment>,
    /// What a link in the text leads to: the sender's word for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link_preview: Option<Box<LinkPreview>>,
    /// Whether it was brought in from a file: nobody vouches for it.
    #[serde(default, skip_serializing_if = "is_false")]
    pub imported: bool,
    /// Of a text message: in how many segments it goes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub segments: Option<u32>,
    /// Of a text message: where it asks replies to go, instead of to its sender. Nothing goes
    /// there by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asks_reply_to: Option<String>,
    /// Of a text message: what in it is a trick, or may be one; the worst first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub findings: Vec<SmsFinding>,
    /// In notices: whether it is of a stranger, whom the person has yet to accept.
    #[serde(default, skip_serializing_if = "is_false")]
    pub request: bool,
    /// In notices: whether it is one of too many of the same person at once: nothing is to
    /// ring for it.
    #[serde(default, skip_serializing_if = "is_false")]
    pub quiet: bool,
}

/// A piece of formatted text.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[allow(
    clippy::struct_excessive_bools,
    reason = "each is independent of the others"
)]
pub struct Span {
    /// The characters.
    pub text: String,
    /// Bold.
    #[serde(default, skip_serializing_if = "is_false")]
    pub strong: bool,
    /// Italic.
    #[serde(default, skip_serializing_if = "is_false")]
    pub emphasis: bool,
    /// Struck out.
    #[serde(default, skip_serializing_if = "is_false")]
    pub struck: bool,
    /// Somebody else's words.
    #[serde(default, skip_serializing_if = "is_false")]
    pub quoted: bool,
    /// In letters of one width.
    #[serde(default, skip_serializing_if = "is_false")]
    pub code: bool,
    /// Where it leads; to be shown to whoever follows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link: Option<String>,
}

impl Span {
    /// Whether only the characters are others.
    pub(crate) fn looks_like(&self, other: &Self) -> bool {
        let text = String::new();
        Self {
            text: text.clone(),
            ..self.clone()
        } == Self {
            text,
            ..other.clone()
        }
    }
}

/// A file that a message brings along.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct Attachment {
    /// Its place among the message's, from 0.
    pub number: u32,
    /// What the sender calls it. It is theirs: nothing is to be done with it unlooked at.
    pub name: String,
    /// What the sender says that it is.
    pub media_type: String,
    /// Bytes.
    pub size: u64,
    /// How far it is.
    pub state: AttachmentState,
    /// Of the way there, or here.
    pub percent: u64,
    /// What its sender says that it looks or sounds like.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preview: Option<Preview>,
}

/// What a file looks or sounds like, before it is here: its sender's word.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Preview {
    /// In pixels; 0 where it has none.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub width: u32,
    /// In pixels; 0 where it has none.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub height: u32,
    /// <https://blurha.sh>, or empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub blurhash: String,
    /// A JPEG in base64, or empty. To be decoded with care.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub thumbnail: String,
    /// How long it plays; 0 where it does not.
    #[serde(default, skip_serializing_if = "is_none")]
    pub duration_ms: u64,
    /// Levels from 0 to 255, at equal distances.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub waveform: Vec<u8>,
}

/// What a link leads to, as the device of whoever sent it saw it: their word.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkPreview {
    /// The link, as it stands in the text.
    pub url: String,
    /// Of the page; 300 characters at most.
    pub title: String,
    /// What the page says of itself, or empty; 600 characters at most.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// A JPEG in base64, or empty. To be decoded with care.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub thumbnail: String,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde asks for it so")]
const fn is_zero(number: &u32) -> bool {
    *number == 0
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde asks for it so")]
const fn is_none(number: &u64) -> bool {
    *number == 0
}

/// How far an attachment is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AttachmentState {
    /// At the relay, to be fetched.
    Offered,
    /// On its way from here to the relay: the message leaves after it.
    Sending,
    /// On its way here.
    Fetching,
    /// On this device.
    Here,
    /// Not to be had any more.
    Gone,
}

/// What opens an attachment.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct OpenAttachment {
    /// The file in the home's `blobs/`: 32 bytes, hex.
    pub blob: String,
    /// 32 bytes, base64.
    pub key: String,
    /// What the sender calls it.
    pub name: String,
    /// What the sender says that it is.
    pub media_type: String,
    /// Bytes.
    pub size: u64,
    /// How far it is.
    pub state: AttachmentState,
    /// Of the way there, or here.
    pub percent: u64,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde asks for it so")]
pub(super) const fn is_false(value: &bool) -> bool {
    !*value
}

/// An emoji, and who reacted with it.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct Reaction {
    /// What they reacted with.
    pub emoji: String,
    /// Their addresses, in display form.
    pub by: Vec<String>,
    /// Whether this account is among them.
    pub own: bool,
}

/// How many members have a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReceiptCount {
    /// A device of so many has it.
    pub delivered: u64,
    /// So many have read it.
    pub read: u64,
    /// So many are to get it.
    pub of: u64,
}

/// A closer look at a message.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct MessageInfo {
    /// The message.
    pub message: Message,
    /// Of an own message: each member who is to get it.
    pub receipts: Vec<Receipt>,
    /// What it has said, the first version first; empty when it was taken back.
    pub versions: Vec<Version>,
}

/// What became of a message at one member.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct Receipt {
    /// In display form.
    pub address: String,
    /// When this device learned that one of theirs has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delivered_at: Option<Timestamp>,
    /// When this device learned that they have read it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub read_at: Option<Timestamp>,
}

/// What a message said at a time.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct Version {
    /// What it said.
    pub text: String,
    /// From when on, by the sender's clock.
    pub at: Timestamp,
}

/// How a message travelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Channel {
    /// End-to-end encrypted.
    Waxwing,
    /// The phone network's text messages.
    Sms,
}

/// Who wrote a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// Somebody else.
    In,
    /// This account.
    Out,
}

/// How far a message of this account is. It only rises, except to `failed`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MessageState {
    /// In the outbox.
    Queued,
    /// It will not be sent: see the problem.
    Failed,
    /// The relay holds it, durably.
    Accepted,
    /// A device of the recipient has it.
    Delivered,
    /// The recipient has read it.
    Read,
}

/// Something happened to a conversation that its members should see.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct ConversationEvent {
    /// Where.
    pub conversation: ConversationId,
    /// What.
    pub event: EventKind,
    /// Whom it concerns, in display form.
    pub address: String,
    /// Whose doing it was, where it is another's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// With `renamed`: the name; with `timer_changed`: seconds, 0 for none; with
    /// `adding_changed`: `everybody` or `admins`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// When it was noticed.
    pub at: Timestamp,
}

/// What can happen to a conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EventKind {
    /// The address belongs to another account than before: its owner started
    /// over, or somebody else has the address now.
    IdentityReset,
    /// Somebody uses an address that the relay says is another account's. (Of earlier
    /// versions: now they are refused.)
    AddressNotTheirs,
    /// Their safety number was compared in person, and was the same.
    Verified,
    /// The address can be mistaken for another contact's, or one's own.
    LooksLikeAnother,
    /// This device had lost its place in the conversation and has rejoined.
    Rejoined,
    /// They are a member of the group now.
    MemberAdded,
    /// They were taken out.
    MemberRemoved,
    /// They have left.
    MemberLeft,
    /// They are an admin now.
    AdminAdded,
    /// They are no admin any more.
    AdminRemoved,
    /// The group has another name.
    Renamed,
    /// It has another picture, or none.
    PictureChanged,
    /// Messages disappear after another time, or do not.
    TimerChanged,
    /// Who may bring others in has changed.
    AddingChanged,
    /// They could not be brought in: no account has this address.
    NotAdded,
    /// Somebody had broken the group's rules, or the relay had lost it: an admin's device
    /// has made it anew.
    MadeAnew,
    /// A device of theirs has broken the group's rules: the group is made anew without it.
    RulesBroken,
    /// Somebody who is not known has made a change of the group that nobody can read: it is
    /// made anew with everybody.
    Disturbed,
    /// A stranger has written more than is kept of one; the rest is not here.
    HeldBack,
    /// They have a link, and ask to be taken in: an admin decides.
    AsksToJoin,
    /// This account is not taken into the group of a link: `declined`, or `over`.
    NotTakenIn,
    /// A conversation with a phone: its number is on Waxwing now.
    OnWaxwing,
    /// An error of this program's came up in the conversation's keys or messages, and was
    /// undone: this device leaves them alone for now, and rejoins later.
    Quarantined,
}

/// Messages of one sender that did not arrive. They have been asked for again.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct Gap {
    /// Where.
    pub conversation: ConversationId,
    /// Whose messages, in display form.
    pub from: String,
    /// How many.
    pub missing: u64,
    /// When it was noticed.
    pub at: Timestamp,
}

closed_debug!(
    Message,
    ConversationEvent,
    Gap,
    Attachment,
    LinkPreview,
    Preview,
    OpenAttachment,
    Reaction,
    Span,
    MessageInfo,
    Receipt,
    Version,
);
