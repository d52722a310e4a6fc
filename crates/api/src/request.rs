//! The methods of the RPC and their parameters.
//!
//! **Always**: a request that only reads ([`Request::is_read_only`]) changes nothing.

use serde::{Deserialize, Serialize};

use crate::{
    ApproveDevice, CheckReport, ConfirmDevice, ConversationId, FeedBackup, LinkDevice, LinkPreview,
    MakeReport, Message, MessageId, Preview, QuoteSms, ReadBackup, Recover, RevokeDevice, SendSms,
    SetLock, Timestamp, closed_debug, message::is_false,
};

/// One call. As JSON: `{"method": "send", "params": {…}}`.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "method", content = "params", rename_all = "snake_case")]
pub enum Request {
    /// Create an account for an address on a relay. The relay sends a code; the stages arrive as
    /// [`crate::Notice::Registration`].
    Register(Register),
    /// The code that came to the address.
    SubmitCode(SubmitCode),
    /// The person has written down the recovery words; forget them.
    ForgetRecoveryWords,
    /// Write a message. Works offline: it is sent when it can be.
    Send(SendText),
    /// What a text message to a phone would cost.
    QuoteSms(QuoteSms),
    /// Send a text message to a phone that is not on Waxwing: it is not encrypted, and costs money.
    SendSms(SendSms),
    /// React to a message, or remove the reaction.
    React(React),
    /// Edit a message of this account. The members' devices show that it was edited, and its
    /// earlier versions.
    Edit(Edit),
    /// Unsend a message of this account. Other people's devices that have it are asked to delete
    /// it; nobody can force them.
    TakeBack(MessageOf),
    /// Make new messages of a conversation disappear some time after they are read.
    SetTimer(SetTimer),
    /// Create a group. Its members are added once the relay can be reached; what happens arrives as
    /// [`crate::Notice::Event`].
    CreateGroup(CreateGroup),
    /// Change a group: its members, admins, name, picture.
    ChangeGroup(ChangeGroup),
    /// Leave a group.
    LeaveGroup(Of),
    /// Create a link with which others can ask to join a group.
    Invite(Invite),
    /// Revoke such a link.
    RevokeInvitation(RevokeInvitation),
    /// Ask to join the group of a link.
    Join(Join),
    /// Accept or refuse somebody who asked to join.
    DecideJoin(DecideJoin),
    /// Set the name and picture that contacts see.
    SetProfile(SetProfile),
    /// Mark everything in a conversation up to a message as read.
    MarkRead(MarkRead),
    /// Fetch an attachment from the relay.
    FetchAttachment(AttachmentOf),
    /// Block a contact, or unblock them.
    Block(Block),
    /// Choose whether others learn that their messages arrived and were read.
    SetReceipts(SetReceipts),

    /// Import messages from a file; nothing is sent.
    ImportEntries(Box<ImportEntries>),
    /// Report messages from others, with proof of who wrote them.
    Report(MakeReport),
    /// Check a report, no matter who made it.
    CheckReport(Box<CheckReport>),
    /// The person is typing, or has stopped: this notifies the members who are online.
    SetTyping(SetTyping),
    /// Accept a message request.
    AcceptRequest(Of),
    /// Decline a message request: delete the stranger's messages.
    DeclineRequest(Decline),

    /// The person's decision about a contact's safety number.
    Verify(Verify),
    /// Choose auditors, and how many of them must have co-signed what the relay shows before a key
    /// is used.
    SetAuditors(SetAuditors),
    /// Dismiss the alarms of `status`: the person has seen them.
    DismissAlarms,

    /// The safety number with a contact.
    SafetyNumber(Of),
    /// The auditors that the person chose.
    Auditors,
    /// Proofs that the relay lied, as files that anybody can check.
    Evidence,
    /// Link this device to an account that another device has. The stages, with the code to type
    /// there, arrive as [`crate::Notice::Pairing`].
    LinkDevice(LinkDevice),
    /// Admit the new device that shows a code. The stages arrive as [`crate::Notice::Pairing`].
    ApproveDevice(ApproveDevice),
    /// The person has seen which device asks, and admits or refuses it.
    ConfirmDevice(ConfirmDevice),
    /// Stop linking a device; works on both devices.
    StopLinking,
    /// Revoke a device. The new list arrives as [`crate::Notice::Devices`].
    RevokeDevice(RevokeDevice),
    /// Recover an account on this device with its recovery key. The stages arrive as
    /// [`crate::Notice::Recovery`].
    Recover(Recover),
    /// The next part of the backup file that [`Request::Recover`] announced.
    FeedBackup(FeedBackup),
    /// Make a new backup on the relay now. The outcome arrives as [`crate::Notice::Backup`].
    Backup,
    /// A part of a new backup, to write to a file.
    ReadBackup(ReadBackup),
    /// Lock this account's address, so that nobody else can register it at once, or unlock it. The
    /// outcome arrives as [`crate::Notice::Lock`].
    SetLock(SetLock),
    /// Object to the account that contests this account's address.
    KeepAddress,

    /// The messages and events of a conversation, oldest first.
    History(History),
    /// Pin, archive or mute a conversation, keep a draft, or give somebody a nickname: on all
    /// devices of the account.
    KeepConversation(KeepConversation),
    /// Star or unstar a message.
    Star(Star),
    /// The starred messages, the latest first.
    Starred,
    /// The keys and the name of an attachment that is here.
    Attachment(AttachmentOf),
    /// Messages that contain certain words, from all conversations; the newest first.
    Search(Search),
    /// The people that this account knows.
    Contacts,
    /// The conversations, the one with the newest entry first.
    Conversations,
    /// The profile of this account or of a contact: a name and a picture.
    Profile(AskProfile),
    /// The thread that a message belongs to, the oldest first.
    Thread(MessageOf),
    /// Who has a message, who reacted to it, and its earlier versions.
    MessageInfo(MessageOf),
    /// The message whose id begins with some digits.
    FindMessage(FindMessage),
    /// A group: its members and settings.
    Group(Of),
    /// This account.
    Account,
    /// Its devices.
    Devices,
    /// The state of this device, for `doctor`.
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

    /// Whether this device must belong to an account for it.
    pub const fn needs_admission(&self) -> bool {
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

    /// Whether it only reads and changes nothing.
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

/// See [`Request::SubmitCode`].
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct SubmitCode {
    /// As typed; spaces and hyphens do not matter.
    pub code: String,
}

/// See [`Request::Send`].
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
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
    /// Its name; others see it.
    pub name: String,
    /// Its media type.
    pub media_type: String,
    /// Its preview.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preview: Option<Preview>,
}

/// See [`Request::React`].
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct React {
    /// The message.
    pub message: MessageId,
    /// An emoji: at most 64 bytes without spaces. It replaces an earlier reaction; without an
    /// emoji, the reaction is removed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub emoji: Option<String>,
}

/// See [`Request::Edit`].
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct Edit {
    /// A message of this account.
    pub message: MessageId,
    /// Its new text.
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
    /// At least six hexadecimal digits: the start of the id, with or without the first two digits,
    /// which all ids share.
    pub prefix: String,
}

/// See [`Request::SetTimer`].
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct SetTimer {
    /// An address, a conversation's id, or a group's name that no other group has.
    pub of: String,
    /// Seconds after reading; 0 for never.
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

/// See [`Request::ChangeGroup`]. A field that is absent changes nothing.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
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

/// See [`Request::MarkRead`].
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct MarkRead {
    /// The conversation.
    pub conversation: ConversationId,
    /// The last message that was read; without it, all messages.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub up_to: Option<MessageId>,
}

/// See [`Request::SetTyping`].
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetTyping {
    /// An address, a conversation's id, or a group's name that no other group has.
    pub of: String,
    /// `false` when they have stopped.
    pub typing: bool,
}

/// See [`Request::ImportEntries`].
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct ImportEntries {
    /// The conversation to import into: an address, a conversation's id, or a group's name that no
    /// other group has.
    pub into: String,
    /// The oldest first, at most 1,000.
    pub messages: Vec<ImportedMessage>,
}

/// A message from a file.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct ImportedMessage {
    /// As `history` returns it. Its reactions, receipts and attachments are ignored.
    pub message: Message,
    /// Its attachments, sealed in the home.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<SealedFile>,
}

/// See [`Request::Invite`].
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
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
    /// Whether they may join.
    pub accept: bool,
}

/// See [`Request::SetProfile`]. A field that is absent changes nothing.
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
    /// An address or a conversation's id; without it, this account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub of: Option<String>,
}

/// See [`Request::DeclineRequest`].
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decline {
    /// An address, a conversation's id, or a group's name that no other group has.
    pub of: String,
    /// Whether to block them as well.
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
    /// Whether to tell that a message has arrived.
    pub delivered: bool,
    /// Whether to tell that a message was read.
    pub read: bool,
    /// Whether to tell that the person is typing; unchanged if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub typing: Option<bool>,
}

/// See [`Request::Verify`].
#[derive(Clone, PartialEq, Serialize, Deserialize)]
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Decision {
    /// It is the same: they are verified, and waiting messages are sent.
    Accept,
    /// The person did not compare it, but waiting messages are sent.
    Continue,
    /// It is different: they are not verified, and nothing is sent.
    Reject,
}

/// See [`Request::SetAuditors`].
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct SetAuditors {
    /// All auditors from now on.
    pub auditors: Vec<NamedAuditor>,
    /// How many of them must have co-signed; 0 to require none.
    pub required: u32,
}

/// An auditor, as the person names them.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NamedAuditor {
    /// `waxwing-auditor-…`, as the auditor publishes it.
    pub id: String,
    /// The name that the person gives them.
    pub name: String,
}

/// Somebody, or a conversation.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct Of {
    /// An address, a conversation's id, or a group's name that no other group has.
    pub of: String,
}

/// See [`Request::History`]. At most one of `before`, `after`, `around` and `search` may be given.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
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
    /// From the oldest entry (`""`), or from the `next` of an earlier result.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// Only messages with these words: as in `search`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub search: Option<String>,
}

/// See [`Request::KeepConversation`]. A field that is absent changes nothing.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
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

/// See [`Request::Star`].
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct Star {
    /// The message.
    pub message: MessageId,
    /// Whether to star or unstar it.
    pub starred: bool,
}

/// See [`Request::Search`].
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Search {
    /// Words, all of which the message must contain. Capitals and accents do not matter, and the
    /// last one may be the beginning of a word. Empty for all messages.
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
