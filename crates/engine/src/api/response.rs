//! What is answered: results of the RPC's methods, and what they are made of.

use serde::{Deserialize, Serialize};

use super::{
    BackupPart, CheckedReport, ConversationId, Device, MessageId, ProblemReport, RegistrationStage,
    Report, Timestamp, closed_debug,
};

/// The result of a call; which one is told by the method.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Response {
    /// Of `send`.
    Sent(Sent),
    /// Of `history`.
    History {
        /// Oldest first.
        entries: Vec<Entry>,
        /// Whether there are older ones.
        more: bool,
        /// Whether there are newer ones.
        #[serde(default)]
        newer: bool,
        /// Asked `from` somewhere: where to go on, if there are newer ones.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        next: Option<String>,
    },
    /// Of `search`, `starred` and `thread`.
    Found {
        /// Newest first; of a thread, oldest first.
        found: Vec<Message>,
        /// To go on with, where there may be more.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        next: Option<i64>,
    },
    /// Of `invite`.
    Invited(Invited),
    /// Of `profile`.
    Profile(Profile),
    /// Of `import_entries`.
    Imported(Imported),
    /// Of `report`.
    Report(Box<Report>),
    /// Of `check_report`.
    ReportChecked(Box<CheckedReport>),
    /// Of `contacts`.
    Contacts {
        /// By address.
        contacts: Vec<Contact>,
    },
    /// Of `conversations`.
    Conversations {
        /// The one with the newest entry first.
        conversations: Vec<Conversation>,
    },
    /// Of `find_message`.
    Message(Box<Message>),
    /// Of `attachment`.
    OpenAttachment(Box<OpenAttachment>),
    /// Of `message_info`.
    MessageInfo(Box<MessageInfo>),
    /// Of `create_group`.
    GroupCreated(GroupCreated),
    /// Of `group`.
    Group(Box<Group>),
    /// Of `devices`.
    Devices {
        /// In the order in which they were admitted.
        devices: Vec<Device>,
    },
    /// Of `read_backup`.
    BackupPart(BackupPart),
    /// Of `status`.
    Status(Box<Status>),
    /// Of `account`.
    Account(Box<Account>),
    /// Of `safety_number` and `verify`.
    SafetyNumber(Box<SafetyNumber>),
    /// Of `auditors`.
    Auditors {
        /// By name.
        auditors: Vec<Auditor>,
        /// How many must have co-signed.
        required: u32,
    },
    /// Of `evidence`.
    Evidence {
        /// The oldest first.
        evidence: Vec<Evidence>,
    },
    /// Of what has nothing to tell: `{}`.
    Done {},
}

impl core::fmt::Debug for Response {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::Sent(_) => "Response(sent)",
            Self::History { .. } => "Response(history)",
            Self::Invited(_) => "Response(invited)",
            Self::Profile(_) => "Response(profile)",
            Self::Imported(_) => "Response(imported)",
            Self::Report(_) => "Response(report)",
            Self::ReportChecked(_) => "Response(report_checked)",
            Self::Found { .. } => "Response(found)",
            Self::Contacts { .. } => "Response(contacts)",
            Self::Conversations { .. } => "Response(conversations)",
            Self::Message(_) => "Response(message)",
            Self::OpenAttachment(_) => "Response(open_attachment)",
            Self::MessageInfo(_) => "Response(message_info)",
            Self::GroupCreated(_) => "Response(group_created)",
            Self::Group(_) => "Response(group)",
            Self::Devices { .. } => "Response(devices)",
            Self::BackupPart(_) => "Response(backup_part)",
            Self::Status(_) => "Response(status)",
            Self::Account(_) => "Response(account)",
            Self::SafetyNumber(_) => "Response(safety_number)",
            Self::Auditors { .. } => "Response(auditors)",
            Self::Evidence { .. } => "Response(evidence)",
            Self::Done {} => "Response(done)",
        })
    }
}

/// A message was taken into the outbox.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct Sent {
    /// The new message.
    pub id: MessageId,
    /// Where it stands.
    pub conversation: ConversationId,
    /// How far it is.
    pub state: MessageState,
}

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
    pub link_preview: Option<LinkPreview>,
    /// Whether it was brought in from a file: nobody vouches for it.
    #[serde(default, skip_serializing_if = "is_false")]
    pub imported: bool,
    /// In notices: whether it is of a stranger, whom the person has yet to accept.
    #[serde(default, skip_serializing_if = "is_false")]
    pub request: bool,
    /// In notices: whether it is one of too many of the same person at once: nothing is to
    /// ring for it.
    #[serde(default, skip_serializing_if = "is_false")]
    pub quiet: bool,
}

/// What became of messages that were brought in.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Imported {
    /// They were not here.
    pub added: u64,
    /// They were.
    pub known: u64,
}

/// A link by which others can ask to be taken into a group.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Invited {
    /// What the invitation is called: 8 hex digits.
    pub id: String,
    /// To be given to whoever is to come.
    pub link: String,
}

/// An open invitation.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupInvitation {
    /// What it is called: 8 hex digits.
    pub id: String,
    /// Whether an admin decides about each who asks.
    pub needs_approval: bool,
    /// When it is over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    /// The link, where this device made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link: Option<String>,
}

/// What an account calls itself, and looks like.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Profile {
    /// Empty where there is none. Everybody may call themselves as they like.
    pub profile_name: String,
    /// Base64 of an image; empty where there is none.
    pub picture: String,
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
    /// A stranger has written more than is kept of one; the rest is not here.
    HeldBack,
    /// They have a link, and ask to be taken in: an admin decides.
    AsksToJoin,
    /// This account is not taken into the group of a link: `declined`, or `over`.
    NotTakenIn,
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

/// A group was made.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct GroupCreated {
    /// Its id, the same for all members.
    pub conversation: ConversationId,
}

/// A group of many.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct Group {
    /// Its id, the same for all members.
    pub conversation: ConversationId,
    /// What it is called.
    pub name: String,
    /// Base64 of an image, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub picture: Option<String>,
    /// By address.
    pub members: Vec<GroupMember>,
    /// Whether members who are no admins may bring others in.
    pub everybody_adds: bool,
    /// Messages are deleted so many seconds after they were read; 0 for never.
    pub expires_after_s: u32,
    /// Whether this account has left, or was taken out.
    pub gone: bool,
    /// Addresses of those who are being brought in.
    pub coming: Vec<String>,
    /// Open invitations.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub invitations: Vec<GroupInvitation>,
    /// Addresses of those who wait for this account's decision.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub asking: Vec<String>,
    /// Whether changes of this device wait for the relay.
    pub changing: bool,
}

/// A member of a group.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[allow(
    clippy::struct_excessive_bools,
    reason = "each is a fact of its own, and a field of the JSON"
)]
pub struct GroupMember {
    /// In display form.
    pub address: String,
    /// Hex.
    pub account_id: String,
    /// Whether they may change the group.
    pub admin: bool,
    /// Whether it is this account.
    pub own: bool,
    /// Whether a look-up says that this address is this account's.
    pub verified: bool,
    /// Whether the safety number was compared in person, and was the same.
    pub compared: bool,
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

/// This account.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct Account {
    /// How far the registration is.
    pub registration: RegistrationStage,
    /// In display form.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// Hex.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account_id: Option<String>,
    /// Hex.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device_id: Option<String>,
    /// The relay's URL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub relay: Option<String>,
    /// The relay's pin, given or first seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pin: Option<String>,
    /// Until `forget_recovery_words`: to be written down and kept offline.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recovery_words: Option<String>,
    /// The same as a QR code holds them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recovery_qr: Option<String>,
}

/// How things are.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// How far the registration is.
    pub registration: RegistrationStage,
    /// Whether the mailbox link is logged in.
    pub online: bool,
    /// The relay's clock minus this device's, in milliseconds, where known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clock_skew_ms: Option<i64>,
    /// Messages not yet accepted by the relay.
    pub outbox: u64,
    /// Receipts that are owed, and others of this device's own words to conversations, that
    /// the relay has not accepted yet.
    #[serde(default)]
    pub receipts: u64,
    /// First contacts that could be made without asking the relay for tokens.
    pub tokens: u64,
    /// Key packages that the relay has left for others, where known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_packages: Option<u64>,
    /// Conversations that are waiting to be taken in again.
    pub rejoining: u64,
    /// Invitations whose senders are being looked up.
    pub welcomes_held: u64,
    /// Messages known to be missing.
    pub missing: u64,
    /// Conversations whose devices are being changed.
    #[serde(default)]
    pub changing_members: u64,
    /// Whether history is on its way: to or from another device, or from a backup.
    #[serde(default)]
    pub transferring: bool,
    /// Whether the own address is locked: nobody else registers it anew at once.
    #[serde(default)]
    pub locked: bool,
    /// The encryption suite.
    pub suite: String,
    /// The relay's key log, once it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log: Option<LogStatus>,
    /// What the person must know, until they dismiss it.
    #[serde(default)]
    pub alarms: Vec<Alarm>,
    /// What is wrong now.
    pub problems: Vec<ProblemReport>,
}

closed_debug!(
    Sent,
    Message,
    ConversationEvent,
    Gap,
    Contact,
    Conversation,
    Attachment,
    LinkPreview,
    Preview,
    OpenAttachment,
    Reaction,
    Span,
    Invited,
    GroupInvitation,
    Profile,
    MessageInfo,
    Receipt,
    Version,
    GroupCreated,
    Group,
    GroupMember,
    SafetyNumber,
    Auditor,
    Evidence,
    Alarm,
    LogStatus,
    Account,
    Status,
);
