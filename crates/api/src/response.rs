//! The results of the RPC's methods.
//!
//! **Elsewhere**: the types inside them are in `message`, `group`, `contact`, `devices`, `report`.
//!
//! **Always**: fields are only ever added.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    Alarm, Auditor, BackupPart, CheckedReport, Contact, Conversation, ConversationId, Device,
    Entry, Evidence, Group, GroupCreated, Invited, LogStatus, Message, MessageId, MessageInfo,
    MessageState, OpenAttachment, ProblemReport, Profile, RegistrationStage, Report, SafetyNumber,
    ScheduledMessage, ScheduledMessages, SmsQuote, ViewedOnce, closed_debug,
};

/// Makes the enum of responses from their list.
macro_rules! responses {
    ($(
        $(#[$about:meta])*
        $name:ident($type:ty),
    )+) => {
        /// The result of a call; the method decides which one.
        #[derive(Clone, PartialEq, Serialize, Deserialize)]
        #[serde(untagged)]
        pub enum Response {
            $(
                $(#[$about])*
                $name($type),
            )+
            /// The result of methods that return nothing: `{}`.
            Done {},
        }

        impl Response {
            /// Which it is: the name of its variant, as the list of methods has it.
            pub const fn kind(&self) -> &'static str {
                match self {
                    $(Self::$name(_) => stringify!($name),)+
                    Self::Done {} => "Done",
                }
            }
        }
    };
}

responses! {
    /// Of `send` and other methods that put a message into the outbox.
    Sent(Sent),
    /// Of `quote_sms`.
    SmsQuote(SmsQuote),
    /// Of `history`.
    History(HistoryPage),
    /// Of `search`, `starred` and `thread`.
    Found(Found),
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
    Contacts(Contacts),
    /// Of `conversations`.
    Conversations(Conversations),
    /// Of `conversation`.
    Conversation(Box<Conversation>),
    /// Of `find_message`.
    Message(Box<Message>),
    /// Of `attachment`.
    OpenAttachment(Box<OpenAttachment>),
    /// Of `message_info`.
    MessageInfo(Box<MessageInfo>),
    /// Of `create_group` and `join`.
    GroupCreated(GroupCreated),
    /// Of `group`.
    Group(Box<Group>),
    /// Of `devices`.
    Devices(Devices),
    /// Of `read_backup`.
    BackupPart(BackupPart),
    /// Of `status`.
    Status(Box<Status>),
    /// Of `account`.
    Account(Box<Account>),
    /// Of `safety_number` and `verify`.
    SafetyNumber(Box<SafetyNumber>),
    /// Of `auditors`.
    Auditors(Auditors),
    /// Of `evidence`.
    Evidence(EvidenceFiles),
    /// Of `schedule` and `change_scheduled`.
    ScheduledMessage(Box<ScheduledMessage>),
    /// Of `scheduled`.
    ScheduledMessages(ScheduledMessages),
    /// Of `open_once`.
    ViewedOnce(Box<ViewedOnce>),
    /// Of `receipts`.
    Receipts(ReceiptSettings),
}

impl From<()> for Response {
    fn from((): ()) -> Self {
        Self::Done {}
    }
}

impl core::fmt::Debug for Response {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Response({})", self.kind())
    }
}

/// The result of methods that return nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Done {}

/// A part of a conversation's history.
#[derive(Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct HistoryPage {
    /// Oldest first.
    pub entries: Vec<Entry>,
    /// Whether there are older ones.
    pub more: bool,
    /// Whether there are newer ones.
    #[serde(default)]
    pub newer: bool,
    /// For a request with `from`: where to continue, if there are newer entries.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
    /// Where to continue back (`until`), if there are older entries; absent with `from`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<String>,
}

/// Messages that were searched for.
#[derive(Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Found {
    /// Newest first; for a thread, oldest first.
    pub found: Vec<Message>,
    /// Where to continue, if there may be more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<i64>,
}

/// The people that this account knows.
#[derive(Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Contacts {
    /// By address.
    pub contacts: Vec<Contact>,
}

/// The conversations on this device.
#[derive(Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Conversations {
    /// The one with the newest entry first.
    pub conversations: Vec<Conversation>,
}

/// The devices of this account.
#[derive(Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Devices {
    /// In the order in which they were admitted.
    pub devices: Vec<Device>,
}

/// The auditors that the person chose.
#[derive(Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Auditors {
    /// By name.
    pub auditors: Vec<Auditor>,
    /// How many must have co-signed.
    pub required: u32,
}

/// Proofs that the relay lied.
#[derive(Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct EvidenceFiles {
    /// The oldest first.
    pub evidence: Vec<Evidence>,
}

/// A message is in the outbox.
#[derive(Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Sent {
    /// The new message.
    pub id: MessageId,
    /// Its conversation.
    pub conversation: ConversationId,
    /// Its state.
    pub state: MessageState,
}

/// What this account tells others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ReceiptSettings {
    /// Whether others learn that their messages arrived.
    pub delivered: bool,
    /// Whether others learn that their messages were read.
    pub read: bool,
    /// Whether others learn that this person is typing.
    pub typing: bool,
}

/// The result of an import.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Imported {
    /// How many messages were added.
    pub added: u64,
    /// How many were here already.
    pub known: u64,
}

/// This account.
#[derive(Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
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
    /// The relay's pin, as given or first seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pin: Option<String>,
    /// Until `forget_recovery_words`: the recovery words, to write down and keep offline.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recovery_words: Option<String>,
    /// The same words as the text of a QR code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recovery_qr: Option<String>,
}

/// The state of this device.
#[derive(Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Status {
    /// How far the registration is.
    pub registration: RegistrationStage,
    /// Whether the mailbox link is logged in.
    pub online: bool,
    /// The relay's clock minus this device's, in milliseconds, if known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clock_skew_ms: Option<i64>,
    /// Messages that the relay has not accepted yet.
    pub outbox: u64,
    /// What one of them waits for, if it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outbox_problem: Option<ProblemReport>,
    /// Receipts and similar automatic messages that the relay has not accepted yet.
    #[serde(default)]
    pub receipts: u64,
    /// How many new contacts this device can write to without asking the relay for tokens.
    pub tokens: u64,
    /// Key packages that the relay still has for others, if known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_packages: Option<u64>,
    /// Conversations that this device is rejoining.
    pub rejoining: u64,
    /// Invitations whose senders are being looked up.
    pub welcomes_held: u64,
    /// Messages known to be missing.
    pub missing: u64,
    /// Conversations whose devices are being changed.
    #[serde(default)]
    pub changing_members: u64,
    /// Whether history is being transferred: to or from another device, or from a backup.
    #[serde(default)]
    pub transferring: bool,
    /// Whether this account's address is locked, so that nobody else can register it at once.
    #[serde(default)]
    pub locked: bool,
    /// The encryption suite.
    pub suite: String,
    /// The relay's key log, once it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log: Option<LogStatus>,
    /// The alarms, until the person dismisses them.
    #[serde(default)]
    pub alarms: Vec<Alarm>,
    /// What is wrong now.
    pub problems: Vec<ProblemReport>,
}

closed_debug!(
    Sent,
    HistoryPage,
    Found,
    Contacts,
    Conversations,
    Devices,
    Auditors,
    EvidenceFiles,
    Account,
    Status
);
