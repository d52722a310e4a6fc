//! What the engine tells of its own accord: JSON-RPC notifications, and the
//! lines of `waxwing listen --json`.

use serde::{Deserialize, Serialize};

use super::{
    BackupChanged, ConversationEvent, ConversationId, DevicesChanged, Gap, LockChanged, Message,
    MessageId, MessageState, PairingChanged, ProblemReport, RecoveryChanged, Timestamp,
    TransferProgress, closed_debug,
};

/// Something happened. As JSON, an object whose `type` says what.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Notice {
    /// Somebody wrote.
    Message(Message),
    /// A message of this account got further, or failed.
    MessageState(MessageChanged),
    /// A message is another: edited, reacted to, taken back.
    MessageChanged(Message),
    /// A message has disappeared, because its time was over.
    MessageDeleted(MessageDeleted),
    /// Another device of this account has set something.
    Synced(Synced),
    /// Somebody writes, or has stopped. It holds for ten seconds.
    Typing(Typing),
    /// Something happened to a conversation.
    Event(ConversationEvent),
    /// A conversation's missing messages changed: `missing` is 0 when all came.
    Gap(Gap),
    /// The registration got further, or failed.
    Registration(RegistrationChanged),
    /// The relay is reached, or is not.
    Connection(ConnectionChanged),
    /// Linking a device got further, or failed.
    Pairing(PairingChanged),
    /// The account's devices have changed, or could not be.
    Devices(DevicesChanged),
    /// More of something long is there.
    Transfer(TransferProgress),
    /// A backup was made, or could not be.
    Backup(BackupChanged),
    /// A recovery got further, or failed.
    Recovery(RecoveryChanged),
    /// The registration lock was set or taken away, or could not be.
    Lock(LockChanged),
    /// Something is wrong that the person should know.
    Warning(Warning),
}

impl core::fmt::Debug for Notice {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::Message(_) => "Notice(message)",
            Self::MessageState(_) => "Notice(message_state)",
            Self::MessageChanged(_) => "Notice(message_changed)",
            Self::MessageDeleted(_) => "Notice(message_deleted)",
            Self::Synced(_) => "Notice(synced)",
            Self::Typing(_) => "Notice(typing)",
            Self::Event(_) => "Notice(event)",
            Self::Gap(_) => "Notice(gap)",
            Self::Registration(_) => "Notice(registration)",
            Self::Connection(_) => "Notice(connection)",
            Self::Pairing(_) => "Notice(pairing)",
            Self::Devices(_) => "Notice(devices)",
            Self::Transfer(_) => "Notice(transfer)",
            Self::Backup(_) => "Notice(backup)",
            Self::Recovery(_) => "Notice(recovery)",
            Self::Lock(_) => "Notice(lock)",
            Self::Warning(_) => "Notice(warning)",
        })
    }
}

/// See [`Notice::Typing`].
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Typing {
    /// Where.
    pub conversation: ConversationId,
    /// Who, in display form.
    pub address: String,
    /// `false` when they have stopped.
    pub typing: bool,
}

/// See [`Notice::MessageState`].
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct MessageChanged {
    /// The message.
    pub id: MessageId,
    /// Where it stands.
    pub conversation: ConversationId,
    /// How far it is now.
    pub state: MessageState,
    /// With `failed`, and with `queued` where something stands in its way: what.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<ProblemReport>,
}

/// See [`Notice::MessageDeleted`].
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct MessageDeleted {
    /// The message.
    pub id: MessageId,
    /// Where it stood.
    pub conversation: ConversationId,
}

/// See [`Notice::Synced`].
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct Synced {
    /// Of which conversation, where it is one's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conversation: Option<ConversationId>,
}

/// How far a registration is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RegistrationStage {
    /// There is no account on this device.
    None,
    /// The relay has not been asked for a code yet.
    AskingForCode,
    /// A code was sent; `submit_code` is next.
    CodeSent,
    /// The code is being checked.
    CheckingCode,
    /// Done.
    Registered,
}

/// See [`Notice::Registration`].
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct RegistrationChanged {
    /// How far it is now.
    pub stage: RegistrationStage,
    /// In display form.
    pub address: String,
    /// With `code_sent`: until when the code is good.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    /// With `registered`: to be written down and kept offline.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recovery_words: Option<String>,
    /// The same as a QR code holds them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recovery_qr: Option<String>,
    /// With `registered`: hex.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account_id: Option<String>,
    /// What went wrong, where something did; the stage is the one it fell back to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<ProblemReport>,
}

/// Whether the relay is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Connection {
    /// The mailbox link is logged in.
    Online,
    /// It is not.
    Offline,
}

/// See [`Notice::Connection`].
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct ConnectionChanged {
    /// How it is now.
    pub connection: Connection,
    /// Why, where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<ProblemReport>,
}

/// See [`Notice::Warning`].
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct Warning {
    /// What is wrong.
    pub problem: ProblemReport,
}

closed_debug!(
    Typing,
    MessageChanged,
    MessageDeleted,
    Synced,
    RegistrationChanged,
    ConnectionChanged,
    Warning
);
