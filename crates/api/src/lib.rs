//! What people and programs can ask of a Waxwing account, and what it tells them.
//!
//! Every interface (CLI, terminal, page, bots) speaks these types, as JSON-RPC
//! 2.0: [`Request`] is a call's `method` and `params`, [`Response`] its
//! `result`, [`Problem`] its error, and a [`Notice`] is a notification. The JSON
//! field names are part of the interface: they are only ever added to.
//!
//! **Elsewhere**: the transports are `waxwing-client`'s `rpc`; what the requests do is in the
//! engine.
//!
//! **Always**: a [`Problem`] is a stable code and facts; each interface has its own words for it,
//! and no word here names a command. The `Debug` of each type that can hold an address, a text or
//! recovery words shows only the type's name.

mod client;
mod closed_debug;
mod contact;
mod devices;
mod group;
mod ids;
mod listed;
mod message;
pub mod method;
pub mod methods;
mod notice;
mod problem;
mod report;
mod request;
mod response;
mod scheduled;
mod sms;
mod timestamp;

pub use client::{
    Check, CheckResult, DoctorReport, MoveRelay, PreviewLink, ProgramVersion, RelayInfo,
    SaveAttachment, SavedAttachment, SealFile, SetProxy,
};
pub use contact::{
    Alarm, Auditor, Contact, Conversation, ConversationKind, Evidence, LogStatus, Profile,
    SafetyNumber,
};
pub use devices::{
    ApproveDevice, BackupChanged, BackupPart, ConfirmDevice, DeleteAccount, Device, DevicesChanged,
    FeedBackup, FilesLeftOut, LinkDevice, LockChanged, PairingChanged, PairingStage, ReadBackup,
    Recover, RecoveryChanged, RecoveryStage, Restore, RevokeDevice, SetLock, TransferOf,
    TransferProgress,
};
pub use group::{Group, GroupCreated, GroupInvitation, GroupMember, Invited};
pub use ids::{ConversationId, IdMalformed, MessageId};
pub use message::*;
pub use method::{Effect, Method};
pub use methods::{ClientRequest, Request, methods};
pub use notice::{
    Connection, ConnectionChanged, HomeErased, MessageChanged, MessageDeleted, Notice, NoticeInfo,
    RegistrationChanged, RegistrationStage, RelayMoved, Synced, Typing, Warning,
};
pub use problem::{
    AddressFlaw, ImportFlaw, KeyMissing, Problem, ProblemReport, RecoveryWordsFlaw, RelayMisdeed,
    ReportFlaw,
};
pub use report::{
    CheckReport, CheckedReport, MakeReport, ProvenMessage, Report, ReportedFile, ReportedMessage,
    ReportedPerson,
};
pub use request::*;
pub use response::{
    Account, Auditors, Contacts, Conversations, Devices, Done, EvidenceFiles, Found, HistoryPage,
    Imported, ReceiptSettings, Response, Sent, Status,
};
pub use scheduled::{
    CancelScheduled, ChangeScheduled, Forward, Schedule, ScheduledChanged, ScheduledFile,
    ScheduledMessage, ScheduledMessages,
};
pub use sms::{QuoteSms, SendSms, SmsEncoding, SmsFinding, SmsQuote, SmsSeverity};
pub use timestamp::{Timestamp, TimestampMalformed};

pub(crate) use closed_debug::closed_debug;
