//! Messages, and everything else that a conversation holds.
//!
//! **Elsewhere**: asking for them is in `request`; people and conversations are in `contact`.
//!
//! **Always**: what others wrote is their claim; nothing is trusted because it is here.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    ConversationId, MessageId, ProblemReport, SmsFinding, Timestamp, closed_debug, listed::listed,
};

/// One thing in a conversation's history.
#[derive(Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
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
#[derive(Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[allow(
    clippy::struct_excessive_bools,
    reason = "each is a fact of its own, and a field of the JSON"
)]
pub struct Message {
    /// The same for everyone who has it.
    pub id: MessageId,
    /// The conversation.
    pub conversation: ConversationId,
    /// The group's name, if it is in a group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// The sender's address, in display form.
    pub from: String,
    /// Whether the relay's verified address list, and the signed roster, say that
    /// this address and the sender's device belong to the same account.
    pub from_verified: bool,
    /// What was written.
    pub text: String,
    /// The whole text with its formatting, in order, if it is Markdown.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub formatted: Vec<Span>,
    /// The addresses it mentions (`@bob@example.org`), in canonical form.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mentions: Vec<String>,
    /// By the sender's clock.
    pub sent_at: Timestamp,
    /// How it travelled.
    pub channel: Channel,
    /// Whether this account wrote it.
    pub direction: Direction,
    /// The state of a message of this account; absent for messages from others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<MessageState>,
    /// Why it failed, if it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<ProblemReport>,
    /// The message it replies to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reply_to: Option<MessageId>,
    /// Whether this account has read it (its own are).
    pub read: bool,
    /// Each emoji with the people who reacted with it, the most frequent first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reactions: Vec<Reaction>,
    /// When it was last edited, by the sender's clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub edited_at: Option<Timestamp>,
    /// Whether its sender has unsent it; its text is then empty.
    #[serde(default, skip_serializing_if = "is_false")]
    pub taken_back: bool,
    /// How many seconds after reading it disappears.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_after_s: Option<u32>,
    /// When it disappears from this device, once it was read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    /// In a group: how many recipients have this account's message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub receipts: Option<ReceiptCount>,
    /// Whether this account has starred it.
    #[serde(default, skip_serializing_if = "is_false")]
    pub starred: bool,
    /// Its attachments.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attachments: Vec<Attachment>,
    /// A preview of a link in the text, as the sender claims it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link_preview: Option<Box<LinkPreview>>,
    /// What it asks, if it is a poll, and how people voted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub poll: Option<Box<Poll>>,
    /// Whether it can be viewed once (`open_once`): its text is empty, and its files have no names.
    #[serde(default, skip_serializing_if = "is_false")]
    pub view_once: bool,
    /// Whether its sender says that it is forwarded; not by whom it was first.
    #[serde(default, skip_serializing_if = "is_false")]
    pub forwarded: bool,
    /// If this device sent it later on request (`schedule`): the time for which it was meant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scheduled_for: Option<Timestamp>,
    /// Whether it was imported from a file: nothing proves who wrote it.
    #[serde(default, skip_serializing_if = "is_false")]
    pub imported: bool,
    /// For a text message: how many segments it has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub segments: Option<u32>,
    /// For a text message: the address to which it asks people to reply instead of to its sender.
    /// Nothing is sent there automatically.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asks_reply_to: Option<String>,
    /// For a text message: tricks and possible tricks in it, the worst first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub findings: Vec<SmsFinding>,
    /// In notices: whether it is a message request from a stranger.
    #[serde(default, skip_serializing_if = "is_false")]
    pub request: bool,
    /// In notices: whether the same person sent too many at once; do not alert the user to this
    /// one.
    #[serde(default, skip_serializing_if = "is_false")]
    pub quiet: bool,
}

impl Message {
    /// A message of which nothing else is known.
    pub const fn new(
        id: MessageId,
        conversation: ConversationId,
        from: String,
        sent_at: Timestamp,
        direction: Direction,
    ) -> Self {
        Self {
            id,
            conversation,
            group: None,
            from,
            from_verified: false,
            text: String::new(),
            formatted: Vec::new(),
            mentions: Vec::new(),
            sent_at,
            channel: Channel::Waxwing,
            direction,
            state: None,
            problem: None,
            reply_to: None,
            read: false,
            reactions: Vec::new(),
            edited_at: None,
            taken_back: false,
            expires_after_s: None,
            expires_at: None,
            receipts: None,
            starred: false,
            attachments: Vec::new(),
            link_preview: None,
            poll: None,
            view_once: false,
            forwarded: false,
            scheduled_for: None,
            imported: false,
            segments: None,
            asks_reply_to: None,
            findings: Vec::new(),
            request: false,
            quiet: false,
        }
    }
}

/// A piece of formatted text.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
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
    /// In a monospaced font.
    #[serde(default, skip_serializing_if = "is_false")]
    pub code: bool,
    /// Where it leads; show this before anybody follows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link: Option<String>,
}

impl Span {
    /// Whether only the characters differ.
    pub fn looks_like(&self, other: &Self) -> bool {
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

/// A file that a message carries.
#[derive(Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Attachment {
    /// Its place among the message's attachments, from 0.
    pub number: u32,
    /// The name that the sender chose. Do not trust it: check it before you use it.
    pub name: String,
    /// Its media type, as the sender states it.
    pub media_type: String,
    /// Bytes.
    pub size: u64,
    /// How far it is.
    pub state: AttachmentState,
    /// How much of the transfer is done.
    pub percent: u64,
    /// A preview, as the sender states it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preview: Option<Preview>,
    /// Why the file is not here, if it cannot be fetched from the relay.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub missing: Option<MissingFile>,
}

/// Why a file is not here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MissingFile {
    /// Why.
    pub reason: MissingReason,
    /// How many other devices of this account were asked for it.
    pub devices_asked: u32,
    /// How many of them have said that they do not have it.
    pub devices_without: u32,
}

/// Why a file is not here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum MissingReason {
    /// The relay does not have it any more, or never had it, and there is no other device to ask.
    RelayDoesNotHaveIt,
    /// This account's other devices were asked for it; those that are offline answer later.
    DevicesAsked,
    /// Another device of this account is uploading it.
    DeviceUploads,
    /// The relay does not have it any more, and neither does any device of this account.
    NoDeviceHasIt,
    /// What the relay gave is not what the sender sealed.
    Damaged,
}

/// A preview of a file that is not here yet, as its sender states it.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Preview {
    /// In pixels; 0 if it has none.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub width: u32,
    /// In pixels; 0 if it has none.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub height: u32,
    /// <https://blurha.sh>, or empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub blurhash: String,
    /// A JPEG in base64, or empty. Decode it with care: the sender may be hostile.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub thumbnail: String,
    /// How long it plays; 0 if it does not play.
    #[serde(default, skip_serializing_if = "is_none")]
    pub duration_ms: u64,
    /// Levels from 0 to 255, at equal distances.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub waveform: Vec<u8>,
}

/// What a link leads to, as the sender's device states it.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LinkPreview {
    /// The link, as written in the text.
    pub url: String,
    /// The page's title; at most 300 characters.
    pub title: String,
    /// The page's description, or empty; at most 600 characters.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// A JPEG in base64, or empty. Decode it with care: the sender may be hostile.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub thumbnail: String,
}

/// A question with options, and how people voted. The text of its message holds the question and
/// the options.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Poll {
    /// The question: 1 to 500 bytes.
    pub question: String,
    /// 2 to 12 options.
    pub options: Vec<PollOption>,
    /// Whether a person can vote for several options.
    #[serde(default, skip_serializing_if = "is_false")]
    pub several: bool,
    /// Whether apps do not show who voted for what. It is not secret from a modified app.
    #[serde(default, skip_serializing_if = "is_false")]
    pub anonymous: bool,
    /// How many people voted.
    pub voters: u64,
    /// When the asker closed it, by the asker's clock. Votes with a later time do not count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closed_at: Option<Timestamp>,
}

/// An option of a poll. Votes name it by its place, from 0.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PollOption {
    /// 1 to 100 bytes.
    pub text: String,
    /// How many people voted for it.
    pub votes: u64,
    /// Whether this account did.
    #[serde(default, skip_serializing_if = "is_false")]
    pub own: bool,
    /// Their addresses, in display form; empty if the poll is anonymous.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub by: Vec<String>,
}

/// Parameters of `send_poll`.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SendPoll {
    /// An address, a conversation's id, or a group's name that no other group has.
    pub to: String,
    /// 1 to 500 bytes, without line breaks.
    pub question: String,
    /// 2 to 12 different options of 1 to 100 bytes, without line breaks.
    pub options: Vec<String>,
    /// Whether a person can vote for several options.
    #[serde(default, skip_serializing_if = "is_false")]
    pub several: bool,
    /// Whether apps do not show who voted for what. It is not secret from a modified app.
    #[serde(default, skip_serializing_if = "is_false")]
    pub anonymous: bool,
}

/// Parameters of `vote`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Vote {
    /// The poll.
    pub message: MessageId,
    /// The places of options, from 0; none to withdraw the vote.
    #[serde(default)]
    pub options: Vec<u32>,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde asks for it so")]
const fn is_zero(number: &u32) -> bool {
    *number == 0
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde asks for it so")]
const fn is_none(number: &u64) -> bool {
    *number == 0
}

/// The state of an attachment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AttachmentState {
    /// At the relay; it can be fetched.
    Offered,
    /// Being uploaded to the relay; the message is sent after it.
    Sending,
    /// Being fetched.
    Fetching,
    /// On this device.
    Here,
    /// No longer available.
    Gone,
    /// Deleted by this person (`delete_attachment`).
    Deleted,
}

/// The result of `open_once`. Nobody can get it again.
#[derive(Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ViewedOnce {
    /// What was written.
    pub text: String,
    /// Whether the text is Markdown.
    #[serde(default, skip_serializing_if = "is_false")]
    pub markdown: bool,
    /// What opens its files; they are deleted five minutes later.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attachments: Vec<OpenAttachment>,
}

/// What opens an attachment.
#[derive(Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct OpenAttachment {
    /// The file in the home's `blobs/`: 32 bytes, hex.
    pub blob: String,
    /// 32 bytes, base64.
    pub key: String,
    /// What the sender calls it.
    pub name: String,
    /// Its media type, as the sender states it.
    pub media_type: String,
    /// Bytes.
    pub size: u64,
    /// How far it is.
    pub state: AttachmentState,
    /// How much of the transfer is done.
    pub percent: u64,
    /// Why the file is not here, if it cannot be fetched from the relay.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub missing: Option<MissingFile>,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde asks for it so")]
pub(crate) const fn is_false(value: &bool) -> bool {
    !*value
}

/// An emoji, and who reacted with it.
#[derive(Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Reaction {
    /// The emoji.
    pub emoji: String,
    /// Their addresses, in display form.
    pub by: Vec<String>,
    /// Whether this account is among them.
    pub own: bool,
}

/// How many members have a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ReceiptCount {
    /// How many members have it on some device.
    pub delivered: u64,
    /// How many have read it.
    pub read: u64,
    /// How many should get it.
    pub of: u64,
}

/// A closer look at a message.
#[derive(Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct MessageInfo {
    /// The message.
    pub message: Message,
    /// For a message of this account: each member who should get it.
    pub receipts: Vec<Receipt>,
    /// All its versions, the first one first; empty if it was unsent.
    pub versions: Vec<Version>,
}

/// What happened to a message at one member.
#[derive(Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Receipt {
    /// In display form.
    pub address: String,
    /// When this device learned that one of their devices has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delivered_at: Option<Timestamp>,
    /// When this device learned that they have read it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub read_at: Option<Timestamp>,
}

/// A version of a message.
#[derive(Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Version {
    /// What it said.
    pub text: String,
    /// Since when, by the sender's clock.
    pub at: Timestamp,
}

/// How a message travelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Channel {
    /// End-to-end encrypted.
    Waxwing,
    /// The phone network's text messages.
    Sms,
}

/// Who wrote a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// Somebody else.
    In,
    /// This account.
    Out,
}

/// The state of a message of this account. It only moves forward, except to `failed`.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
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
#[derive(Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ConversationEvent {
    /// Where.
    pub conversation: ConversationId,
    /// What.
    pub event: EventKind,
    /// Whom it concerns, in display form.
    pub address: String,
    /// Who did it, if it was somebody else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// With `renamed`: the name; with `timer_changed`: seconds, 0 for none; with
    /// `adding_changed`: `everybody` or `admins`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// When it was noticed.
    pub at: Timestamp,
}

listed! {
    /// What can happen to a conversation.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
    #[serde(rename_all = "snake_case")]
    pub enum EventKind {
        /// The address belongs to another account than before.
        IdentityReset,
        /// Somebody uses an address that, as the relay says, belongs to somebody else (earlier
        /// versions).
        AddressNotTheirs,
        /// The safety number was compared in person.
        Verified,
        /// The address looks like a contact's.
        LooksLikeAnother,
        /// This device had lost its place and has rejoined.
        Rejoined,
        /// `address` was added; `by` names who did it, if it was somebody else.
        MemberAdded,
        /// `address` was removed; `by` names who did it, if it was somebody else.
        MemberRemoved,
        /// `address` left.
        MemberLeft,
        /// `address` became an admin; `by` names who did it, if it was somebody else.
        AdminAdded,
        /// `address` is no longer an admin; `by` names who did it, if it was somebody else.
        AdminRemoved,
        /// `address` renamed the group; the new name is in `detail`.
        Renamed,
        /// `address` changed the picture of the group, or removed it.
        PictureChanged,
        /// Messages disappear `detail` seconds after they are read; 0 for never.
        TimerChanged,
        /// `detail` says who may add members: `everybody` or `admins`.
        AddingChanged,
        /// `address` could not be added.
        NotAdded,
        /// The group was set up again, because somebody broke its rules or the relay lost it.
        MadeAnew,
        /// A device of `address` broke the group's rules: an admin's device sets the group up again
        /// without that device.
        RulesBroken,
        /// A member, or the relay, made a change of the group that no device can read: the group is
        /// set up again with everybody in it.
        Disturbed,
        /// A stranger has written more than is kept before the person accepts (200 messages); the
        /// rest was not kept.
        HeldBack,
        /// `address` has an invitation link and asks to join.
        AsksToJoin,
        /// This account cannot join the group of a link: `detail` is `declined` or `over`.
        NotTakenIn,
        /// The number of this conversation by text messages is on Waxwing now.
        OnWaxwing,
        /// An error in the program stopped this conversation on this device; the device tries to
        /// rejoin automatically.
        Quarantined,
        /// `address` has deleted their account, says the relay's key log.
        AccountDeleted,
    }
}

/// Messages of one sender that did not arrive. This device has asked for them again.
#[derive(Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
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
    Poll,
    PollOption,
    SendPoll,
    Vote,
    Preview,
    OpenAttachment,
    ViewedOnce,
    Reaction,
    Span,
    MessageInfo,
    Receipt,
    Version,
);
