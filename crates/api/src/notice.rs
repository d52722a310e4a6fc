//! What the engine tells programs without being asked: JSON-RPC notifications, and the lines of
//! `waxwing listen --json`.

use serde::{Deserialize, Serialize};

use crate::{
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
    /// The state of a message of this account changed, or it failed.
    MessageState(MessageChanged),
    /// A message changed: it was edited, reacted to or unsent.
    MessageChanged(Message),
    /// A message has disappeared, because its time was up.
    MessageDeleted(MessageDeleted),
    /// Another device of this account changed a synced setting.
    Synced(Synced),
    /// Somebody is typing, or has stopped. It is valid for ten seconds.
    Typing(Typing),
    /// Something happened to a conversation.
    Event(ConversationEvent),
    /// A conversation's missing messages changed: `missing` is 0 once all have arrived.
    Gap(Gap),
    /// The registration moved to another stage, or failed.
    Registration(RegistrationChanged),
    /// The connection to the relay was made or lost.
    Connection(ConnectionChanged),
    /// Linking a device moved to another stage, or failed.
    Pairing(PairingChanged),
    /// The account's devices changed, or a change failed.
    Devices(DevicesChanged),
    /// A long transfer made progress.
    Transfer(TransferProgress),
    /// A backup was made, or failed.
    Backup(BackupChanged),
    /// A recovery moved to another stage, or failed.
    Recovery(RecoveryChanged),
    /// The registration lock was set or removed, or a change of it failed.
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
    /// Its new state.
    pub state: MessageState,
    /// With `failed`: why. With `queued`: what it waits for, if known.
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
    /// The conversation, if the setting belongs to one.
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
    /// Its new state.
    pub stage: RegistrationStage,
    /// In display form.
    pub address: String,
    /// With `code_sent`: until when the code works.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    /// With `registered`: the recovery words, to write down and keep offline.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recovery_words: Option<String>,
    /// The same words as the text of a QR code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recovery_qr: Option<String>,
    /// With `registered`: hex.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account_id: Option<String>,
    /// What went wrong, if something did; the stage is then the one to which the registration
    /// returned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<ProblemReport>,
}

/// Whether this device is connected to the relay.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Connection {
    /// The mailbox link is logged in.
    Online,
    /// It is not logged in.
    Offline,
}

/// See [`Notice::Connection`].
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct ConnectionChanged {
    /// The state now.
    pub connection: Connection,
    /// Why, if known.
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
