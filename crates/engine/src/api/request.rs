//! What can be asked: the methods of the RPC and their parameters.
//!
//! **Always**: what asks only reads ([`Request::is_read_only`]) changes nothing.

use serde::{Deserialize, Serialize};

use super::{
    ApproveDevice, CheckReport, ConfirmDevice, ConversationId, FeedBackup, LinkDevice, LinkPreview,
    MakeReport, Message, MessageId, Preview, QuoteSms, ReadBackup, Recover, RevokeDevice, SendSms,
    SetLock, Timestamp, closed_debug, message::is_false,
};

/// One call. As JSON: `{"method": "send", "params": {…}}`.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "method", content = "params", rename_all = "snake_case")]
pub enum Request {
    /// Make an account for an address on a relay. The relay sends a code; the
    /// stages come as [`super::Notice::Registration`].
    Register(Register),
    /// The code that came to the address.
    SubmitCode(SubmitCode),
    /// The person has written the recovery words down; forget them.
    ForgetRecoveryWords,
    /// Write a message. Works offline: it is sent when it can be.
    Send(SendText),
    /// What a text message to a phone would cost.
    QuoteSms(QuoteSms),
    /// Write to a phone that is not on Waxwing: not encrypted, and paid.
    SendSms(SendSms),
    /// React to a message, or take the reaction back.
    React(React),
    /// Say something else in place of an own message. Its members' devices show that it was
    /// edited, and what it said before.
    Edit(Edit),
    /// Take an own message back. Other people's devices that have it are asked to forget it;
    /// nobody can make them.
    TakeBack(MessageOf),
    /// From now on, messages of a conversation disappear some time after they are read.
    SetTimer(SetTimer),
    /// Make a group. Its members are brought in when the relay is reached; what happens
    /// comes as [`super::Notice::Event`].
    CreateGroup(CreateGroup),
    /// Change a group: its members, admins, name, picture.
    ChangeGroup(ChangeGroup),
    /// Leave a group.
    LeaveGroup(Of),
    /// Make a link by which others can ask to be taken into a group.
    Invite(Invite),
    /// Take such a link back.
    RevokeInvitation(RevokeInvitation),
    /// Ask to be taken into the group of a link.
    Join(Join),
    /// Take in somebody who asked, or not.
    DecideJoin(DecideJoin),
    /// What contacts see of this account.
    SetProfile(SetProfile),
    /// Everything in a conversation up to a message has been read.
    MarkRead(MarkRead),
    /// Fetch an attachment that was offered.
    FetchAttachment(AttachmentOf),
    /// Stop hearing from a contact, or hear from them again.
    Block(Block),
    /// Whether to tell others that their messages arrived and were read.
    SetReceipts(SetReceipts),

    /// Brings messages in from a file; nothing is sent.
    ImportEntries(Box<ImportEntries>),
    /// Discloses messages of others, so that whoever gets them can check who wrote them.
    Report(MakeReport),
    /// Checks a report, whoever made it.
    CheckReport(Box<CheckReport>),
    /// The person writes, or has stopped: whoever is there is told.
    SetTyping(SetTyping),
    /// Hear of a stranger as of anybody.
    AcceptRequest(Of),
    /// Delete what a stranger wrote.
    DeclineRequest(Decline),

    /// What the person makes of a contact's safety number.
    Verify(Verify),
    /// Name auditors, and how many of them must have co-signed what the relay shows
    /// before a key is used.
    SetAuditors(SetAuditors),
    /// The person has seen the alarms of `status`.
    DismissAlarms,

    /// The safety number with a contact.
    SafetyNumber(Of),
    /// The auditors that are named.
    Auditors,
    /// What proves that the relay lied, as files that anybody can check.
    Evidence,
    /// Make this a device of an account that another device has. The stages, with the
    /// code to type there, come as [`super::Notice::Pairing`].
    LinkDevice(LinkDevice),
    /// Admit the device that shows a code. The stages come as
    /// [`super::Notice::Pairing`].
    ApproveDevice(ApproveDevice),
    /// The person has seen which device asks.
    ConfirmDevice(ConfirmDevice),
    /// Give up linking a device, on either one.
    StopLinking,
    /// Take a device's rights away. The new list comes as [`super::Notice::Devices`].
    RevokeDevice(RevokeDevice),
    /// Make this a device of an account whose recovery key the person has. The stages
    /// come as [`super::Notice::Recovery`].
    Recover(Recover),
    /// The next part of the backup file that [`Request::Recover`] was told of.
    FeedBackup(FeedBackup),
    /// Give the relay a new backup now. The outcome comes as [`super::Notice::Backup`].
    Backup,
    /// A part of a new backup, for a file.
    ReadBackup(ReadBackup),
    /// Lock the own address, so that nobody else registers it anew at once, or unlock it.
    /// The outcome comes as [`super::Notice::Lock`].
    SetLock(SetLock),
    /// Whoever contests the own address is not to get it.
    KeepAddress,

    /// The messages and events of a conversation, oldest first.
    History(History),
    /// Pin a conversation, put it away, mute it, keep a draft, call somebody by another name:
    /// on all devices of the account.
    KeepConversation(KeepConversation),
    /// Star a message, or do not any more.
    Star(Star),
    /// The starred messages, the latest first.
    Starred,
    /// What opens an attachment that is here.
    Attachment(AttachmentOf),
    /// Messages with some words, wherever they were said; the newest first.
    Search(Search),
    /// The people that this account knows.
    Contacts,
    /// The conversations, the one with the newest entry first.
    Conversations,
    /// A name and a picture: this account's, or those that a contact has given itself.
    Profile(AskProfile),
    /// The thread in which a message stands, the oldest first.
    Thread(MessageOf),
    /// Who has a message, who reacted to it, and what it said before.
    MessageInfo(MessageOf),
    /// The message whose id begins so.
    FindMessage(FindMessage),
    /// A group: its members, and what it is.
    Group(Of),
    /// This account.
    Account,
    /// Its devices.
    Devices,
    /// How things are: for `doctor`.
    Status,
}

impl Request {
    /// The name of the method.
    pub const fn method(&self) -> &'static str {
        match self {
            Self::Register(_) => "register",
            Self::SubmitCode(_) => "submit_code",
            Self::ForgetRecoveryWords => "forget_recovery_words",
            Self::Send(_) => "send",
            Self::QuoteSms(_) => "quote_sms",
            Self::SendSms(_) => "send_sms",
            Self::React(_) => "react",
            Self::Edit(_) => "edit",
            Self::TakeBack(_) => "take_back",
            Self::SetTimer(_) => "set_timer",
            Self::MessageInfo(_) => "message_info",
            Self::FindMessage(_) => "find_message",
            Self::CreateGroup(_) => "create_group",
            Self::ChangeGroup(_) => "change_group",
            Self::LeaveGroup(_) => "leave_group",
            Self::Invite(_) => "invite",
            Self::RevokeInvitation(_) => "revoke_invitation",
            Self::Join(_) => "join",
            Self::DecideJoin(_) => "decide_join",
            Self::SetProfile(_) => "set_profile",
            Self::Profile(_) => "profile",
            Self::MarkRead(_) => "mark_read",
            Self::FetchAttachment(_) => "fetch_attachment",
            Self::Block(_) => "block",
            Self::ImportEntries(_) => "import_entries",
            Self::Report(_) => "report",
            Self::CheckReport(_) => "check_report",
            Self::SetTyping(_) => "set_typing",
            Self::AcceptRequest(_) => "accept_request",
            Self::DeclineRequest(_) => "decline_request",
            Self::Thread(_) => "thread",
            Self::SetReceipts(_) => "set_receipts",
            Self::Verify(_) => "verify",
            Self::SetAuditors(_) => "set_auditors",
            Self::DismissAlarms => "dismiss_alarms",
            Self::SafetyNumber(_) => "safety_number",
            Self::Auditors => "auditors",
            Self::Evidence => "evidence",
            Self::LinkDevice(_) => "link_device",
            Self::ApproveDevice(_) => "approve_device",
            Self::ConfirmDevice(_) => "confirm_device",
            Self::StopLinking => "stop_linking",
            Self::RevokeDevice(_) => "revoke_device",
            Self::Recover(_) => "recover",
            Self::FeedBackup(_) => "feed_backup",
            Self::Backup => "backup",
            Self::ReadBackup(_) => "read_backup",
            Self::SetLock(_) => "set_lock",
            Self::KeepAddress => "keep_address",
            Self::History(_) => "history",
            Self::KeepConversation(_) => "keep_conversation",
            Self::Star(_) => "star",
            Self::Starred => "starred",
            Self::Attachment(_) => "attachment",
            Self::Search(_) => "search",
            Self::Contacts => "contacts",
            Self::Conversations => "conversations",
            Self::Group(_) => "group",
            Self::Account => "account",
            Self::Devices => "devices",
            Self::Status => "status",
        }
    }

    /// Whether only a device of the account can carry it out.
    pub(crate) const fn needs_admission(&self) -> bool {
        matches!(
            self,
            Self::Send(_)
                | Self::SendSms(_)
                | Self::React(_)
                | Self::Edit(_)
                | Self::TakeBack(_)
                | Self::SetTimer(_)
                | Self::CreateGroup(_)
                | Self::ChangeGroup(_)
                | Self::LeaveGroup(_)
                | Self::SetTyping(_)
                | Self::Invite(_)
                | Self::RevokeInvitation(_)
                | Self::Join(_)
                | Self::DecideJoin(_)
                | Self::SetProfile(_)
                | Self::AcceptRequest(_)
                | Self::DeclineRequest(_)
                | Self::ApproveDevice(_)
                | Self::ConfirmDevice(_)
                | Self::RevokeDevice(_)
                | Self::Backup
                | Self::SetLock(_)
                | Self::KeepAddress
        )
    }

    /// Whether it asks without changing anything.
    pub const fn is_read_only(&self) -> bool {
        matches!(
            self,
            Self::History(_)
                | Self::QuoteSms(_)
                | Self::Report(_)
                | Self::CheckReport(_)
                | Self::SafetyNumber(_)
                | Self::Auditors
                | Self::Evidence
                | Self::Search(_)
                | Self::Starred
                | Self::Attachment(_)
                | Self::Contacts
                | Self::Conversations
                | Self::MessageInfo(_)
                | Self::Thread(_)
                | Self::Profile(_)
                | Self::FindMessage(_)
                | Self::Group(_)
                | Self::Account
                | Self::Devices
                | Self::Status
        )
    }
}

impl core::fmt::Debug for Request {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Request({})", self.method())
    }
}

/// See [`Request::Register`].
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct Register {
    /// E-mail address or phone number, as typed.
    pub address: String,
    /// The relay's URL, `https://host[:port]`, perhaps with `/#` and its pin.
    pub relay: String,
    /// The relay's SPKI pin, `sha256/…`, where it was told on another way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pin: Option<String>,
    /// The name that is shown to others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What this device is called in the account's list of devices: 1 to 64 bytes. Only
    /// the account's own devices learn it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
}

/// See [`Request::SubmitCode`].
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct SubmitCode {
    /// As typed; blanks and hyphens do not matter.
    pub code: String,
}

/// See [`Request::Send`].
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct SendText {
    /// An address, a conversation's id, or the name of a group that no other has.
    pub to: String,
    /// At most `limits::TEXT_BYTES` bytes of UTF-8.
    pub text: String,
    /// The message that this answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reply_to: Option<MessageId>,
    /// Whether the text is Markdown: others see it formatted.
    #[serde(default, skip_serializing_if = "is_false")]
    pub markdown: bool,
    /// Files that lie sealed in the home's `blobs/`: 32 at most. The text may be empty then.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attachments: Vec<SealedFile>,
    /// What a link in the text leads to, as this device saw it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link_preview: Option<Box<LinkPreview>>,
}

/// A file that was sealed into the home's `blobs/`, under its id.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct SealedFile {
    /// 32 bytes, hex.
    pub blob: String,
    /// 32 bytes, base64.
    pub key: String,
    /// SHA-256 of the sealed bytes, hex.
    pub sha256: String,
    /// Bytes of the file.
    pub size: u64,
    /// What it is called; others see it.
    pub name: String,
    /// What it is: a media type.
    pub media_type: String,
    /// What it looks or sounds like.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preview: Option<Preview>,
}

/// See [`Request::React`].
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct React {
    /// The message.
    pub message: MessageId,
    /// An emoji: at most 64 bytes without blanks. It takes the place of the one before;
    /// without one, that is taken back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub emoji: Option<String>,
}

/// See [`Request::Edit`].
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct Edit {
    /// A message of this account.
    pub message: MessageId,
    /// What it is to say.
    pub text: String,
}

/// A message.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct MessageOf {
    /// Its id.
    pub message: MessageId,
}

/// An attachment of a message.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct AttachmentOf {
    /// The message.
    pub message: MessageId,
    /// Its place among the message's, from 0.
    #[serde(default)]
    pub number: u32,
}

/// See [`Request::FindMessage`].
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct FindMessage {
    /// Six hexadecimal digits at least; those after the first two, which all ids share, are
    /// enough.
    pub prefix: String,
}

/// See [`Request::SetTimer`].
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct SetTimer {
    /// An address, a conversation's id, or the name of a group that no other has.
    pub of: String,
    /// After being read; 0 for never.
    pub seconds: u32,
}

/// See [`Request::CreateGroup`].
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct CreateGroup {
    /// 1 to 256 bytes.
    pub name: String,
    /// Addresses, as typed: at most 999.
    #[serde(default)]
    pub members: Vec<String>,
}

/// See [`Request::ChangeGroup`]. Only what is there is changed.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ChangeGroup {
    /// The group's id, or its name.
    pub group: String,
    /// Addresses of those who are to come in.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub add: Vec<String>,
    /// Addresses of members who are to go.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub remove: Vec<String>,
    /// Addresses of members who are to be admins.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub promote: Vec<String>,
    /// Addresses of admins who are to be none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub demote: Vec<String>,
    /// The new name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The new picture: base64 of a PNG, JPEG or WebP of at most 24 KiB; empty for none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub picture: Option<String>,
    /// Whether members who are no admins may bring others in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub everybody_adds: Option<bool>,
    /// Messages are deleted so many seconds after they were read; 0 for never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_after_s: Option<u32>,
}

/// See [`Request::MarkRead`].
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct MarkRead {
    /// The conversation.
    pub conversation: ConversationId,
    /// The last message that was read; without it, all there are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub up_to: Option<MessageId>,
}

/// See [`Request::SetTyping`].
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetTyping {
    /// An address, a conversation's id, or the name of a group that no other has.
    pub of: String,
    /// `false` when they have stopped.
    pub typing: bool,
}

/// See [`Request::ImportEntries`].
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct ImportEntries {
    /// Where to: an address, a conversation's id, or the name of a group that no other has.
    pub into: String,
    /// The oldest first, at most 1,000.
    pub messages: Vec<ImportedMessage>,
}

/// A message of a file.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct ImportedMessage {
    /// As `history` gives it. Its reactions, receipts and attachments do not count.
    pub message: Message,
    /// What it brings along, sealed into the home.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<SealedFile>,
}

/// See [`Request::Invite`].
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Invite {
    /// The group's id, or its name.
    pub group: String,
    /// Whether an admin decides about each who asks.
    #[serde(default)]
    pub needs_approval: bool,
    /// When the link is over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
}

/// See [`Request::RevokeInvitation`].
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RevokeInvitation {
    /// The group's id, or its name.
    pub group: String,
    /// The invitation's id: 8 hex digits.
    pub invitation: String,
}

/// See [`Request::Join`].
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Join {
    /// `waxwing:invite/1/…`
    pub link: String,
}

/// See [`Request::DecideJoin`].
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DecideJoin {
    /// The group's id, or its name.
    pub group: String,
    /// Who asks.
    pub address: String,
    /// Whether they are taken in.
    pub accept: bool,
}

/// See [`Request::SetProfile`]. What is not named stays as it is.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetProfile {
    /// At most 128 bytes; empty for none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Base64 of a PNG, JPEG or WebP of at most 24 KiB; empty for none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub picture: Option<String>,
}

/// See [`Request::Profile`].
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AskProfile {
    /// An address or a conversation's id; this account's own without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub of: Option<String>,
}

/// See [`Request::DeclineRequest`].
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decline {
    /// An address, a conversation's id, or the name of a group that no other has.
    pub of: String,
    /// Whether to hear from them no more.
    #[serde(default)]
    pub block: bool,
}

/// See [`Request::Block`].
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct Block {
    /// The contact's address.
    pub address: String,
    /// `false` undoes it.
    pub blocked: bool,
}

/// See [`Request::SetReceipts`].
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct SetReceipts {
    /// Tell that a message has arrived.
    pub delivered: bool,
    /// Tell that a message was read.
    pub read: bool,
    /// Tell that a message is being written; as it is without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub typing: Option<bool>,
}

/// See [`Request::Verify`].
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct Verify {
    /// The contact's address, or the conversation's id.
    pub of: String,
    /// What the person says.
    pub decision: Decision,
    /// With `accept`: what was scanned or typed on the other's device. It is compared
    /// here; without it, the person has compared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scanned: Option<String>,
}

/// What a person says of a safety number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Decision {
    /// It is the same: they are verified, and what waits is sent.
    Accept,
    /// It was not compared, but what waits is to be sent.
    Continue,
    /// It is another: they are not verified, and nothing is sent.
    Reject,
}

/// See [`Request::SetAuditors`].
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct SetAuditors {
    /// All that are to be named from now on.
    pub auditors: Vec<NamedAuditor>,
    /// How many of them must have co-signed; 0 to require none.
    pub required: u32,
}

/// An auditor, as the person names them.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NamedAuditor {
    /// `waxwing-auditor-…`, as the auditor publishes it.
    pub id: String,
    /// What the person calls them.
    pub name: String,
}

/// Somebody, or a conversation.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct Of {
    /// An address, a conversation's id, or the name of a group that no other has.
    pub of: String,
}

/// See [`Request::History`]. Of `before`, `after`, `around` and `search` one at most.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct History {
    /// An address, or a conversation's id.
    pub of: String,
    /// The newest so many; at most 1,000, which is also what its absence means.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
    /// Only what comes before this message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<MessageId>,
    /// Only what comes after this message: the oldest so many of that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<MessageId>,
    /// This message, with what comes before it and after it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub around: Option<MessageId>,
    /// From the oldest on (`""`), or on from where a result's `next` says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// Only messages with these words: as in `search`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub search: Option<String>,
}

/// See [`Request::KeepConversation`]. Only what is there is changed.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct KeepConversation {
    /// An address, a conversation's id, or the name of a group that no other has.
    pub of: String,
    /// Whether it stands at the top.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pinned: Option<bool>,
    /// Whether it is put away.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub archived: Option<bool>,
    /// Whether it is muted: for ever, unless `muted_until` says otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub muted: Option<bool>,
    /// Until when it is muted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub muted_until: Option<Timestamp>,
    /// A text that was begun, at most 8 KiB; empty for none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub draft: Option<String>,
    /// What the contact is called here, at most 128 bytes; empty for nothing. Nobody else
    /// learns it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nickname: Option<String>,
}

/// See [`Request::Star`].
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct Star {
    /// The message.
    pub message: MessageId,
    /// Whether it is starred from now on.
    pub starred: bool,
}

/// See [`Request::Search`].
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Search {
    /// Words, all of which the message has; capitals and accents do not matter, and the last
    /// may be the beginning of one. Empty for all messages.
    #[serde(default)]
    pub text: String,
    /// Only in this conversation: an address, an id, or the name of a group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub of: Option<String>,
    /// Only what this address wrote.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// Only what was written then or later, by the sender's clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// Only what was written before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// So many; at most 1,000, and 100 where nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
    /// The `next` of the answer before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<i64>,
}

closed_debug!(
    SealedFile,
    AttachmentOf,
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
