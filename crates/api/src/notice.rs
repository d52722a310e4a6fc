//! What the engine tells programs without being asked: JSON-RPC notifications, and the lines of
//! `waxwing listen --json`.
//!
//! **Elsewhere**: methods are in [`mod@crate::methods`].
//!
//! **Always**: each notice has an example, which is what its type reads and writes.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    BackupChanged, ConversationEvent, ConversationId, DevicesChanged, Gap, LockChanged, Message,
    MessageId, MessageState, PairingChanged, ProblemReport, RecoveryChanged, ScheduledChanged,
    Timestamp, TransferProgress, closed_debug, method::Data,
};

/// A notice, for documentation.
pub struct NoticeInfo {
    /// Its `type` in JSON.
    pub name: &'static str,
    /// What it says, as `docs/rpc.md` says it: Markdown, line by line.
    pub docs: &'static [&'static str],
    /// JSON, as `docs/rpc.md` shows it.
    pub examples: &'static [Data],
}

/// Makes the enum of notices from their list, and what is known about each.
macro_rules! notices {
    ($(
        $(#[doc = $docs:literal])+
        $name:ident = $Variant:ident($type:ty) { $($example:literal,)+ }
    )+) => {
        /// Something happened. As JSON, an object whose `type` says what.
        #[derive(Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
        #[serde(tag = "type", rename_all = "snake_case")]
        pub enum Notice {$(
            $(#[doc = $docs])+
            $Variant($type),
        )+}

        impl Notice {
            /// Every notice, in the order of `docs/rpc.md`.
            pub const ALL: &'static [NoticeInfo] = &[$(
                NoticeInfo {
                    name: stringify!($name),
                    docs: &[$($docs),+],
                    examples: &[$(Data::of::<Notice>($example)),+],
                },
            )+];
        }

        impl core::fmt::Debug for Notice {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                f.write_str(match self {$(
                    Self::$Variant(_) => concat!("Notice(", stringify!($name), ")"),
                )+})
            }
        }
    };
}

notices! {
    /// Somebody wrote. `from_verified` is whether the relay's verified addresses and the signed
    /// roster say that this address is the sender's.
    ///
    /// A text message of the phone network has `channel` `sms`, and its `from_verified` is never
    /// true. `from` is the sender that it claims, `asks_reply_to` the address to which it asks
    /// people to reply, `segments` how many segments it had, and `findings` the tricks in it, the
    /// worst first, each with `severity` (`note`, `caution`, `danger`), `kind`, a `sentence` for
    /// people, and more fields that depend on its kind.
    ///
    /// A message from a stranger has `request`. If one person sends too many messages at once, they
    /// have `quiet`: do not alert the user to them.
    message = Message(Message) {
        r#"{"type": "message", "id": "9b8d7f3a5c0e1d2b3a4f5e6d7c8b9a0f1e2d3c4b5a69788796a5b4c34f2a6c1e", "conversation": "0f1e2d3c4b5a69788796a5b4c3d2e1f0", "from": "bob@example.org", "from_verified": true, "text": "Hello Alice", "sent_at": "2026-11-24T20:15:07.000Z", "channel": "waxwing", "direction": "in", "reply_to": "4f2a6c1e9b8d7f3a5c0e1d2b3a4f5e6d7c8b9a0f1e2d3c4b5a69788796a5b4c3", "read": false}"#,
        r#"{"type": "message", "id": "01b4c34f2a6c1e9d8f3a5c0e1d2b3a4f5e6d7c8b9a0f1e2d3c4b5a69788796a5", "conversation": "1f2e3d4c5b6a79788796a5b4c3d2e1f0", "from": "+46700000001", "from_verified": false, "text": "Call your bank", "sent_at": "2026-11-24T20:15:07.000Z", "channel": "sms", "direction": "in", "read": false, "asks_reply_to": "+46708251358", "findings": [{"severity": "danger", "kind": "replies_elsewhere", "sentence": "It is from +46700000001, but asks you to reply to +46708251358. Some phones show +46708251358 as the sender, which makes it easy to forge one. Reply only if you know the number.", "originator": "+46700000001", "reply_to": "+46708251358"}]}"#,
    }

    /// The state of a message of this account changed. `problem` says why it failed, or what it
    /// waits for while it is queued.
    message_state = MessageState(MessageChanged) {
        r#"{"type": "message_state", "id": "9b8d7f3a5c0e1d2b3a4f5e6d7c8b9a0f1e2d3c4b5a69788796a5b4c34f2a6c1e", "conversation": "0f1e2d3c4b5a69788796a5b4c3d2e1f0", "state": "failed", "problem": {"code": "recipient_unknown", "sentence": "No account has this address.", "address": "bob@example.org"}}"#,
    }

    /// A message changed: it was edited, reacted to or unsent, or more members have it.
    message_changed = MessageChanged(Message) {
        r#"{"type": "message_changed", "id": "019d8f3a5c0e1d2b3a4f5e6d7c8b9a0f1e2d3c4b5a69788796a5b4c34f2a6c1e", "conversation": "0f1e2d3c4b5a69788796a5b4c3d2e1f0", "from": "alice@example.org", "from_verified": true, "text": "At eight", "sent_at": "2026-11-24T20:15:03.250Z", "channel": "waxwing", "direction": "out", "state": "read", "read": true, "reactions": [{"emoji": "👍", "by": ["bob@example.org"], "own": false}], "edited_at": "2026-11-24T20:16:00.000Z"}"#,
    }

    /// A message has disappeared, because its time was up.
    message_deleted = MessageDeleted(MessageDeleted) {
        r#"{"type": "message_deleted", "id": "019d8f3a5c0e1d2b3a4f5e6d7c8b9a0f1e2d3c4b5a69788796a5b4c34f2a6c1e", "conversation": "0f1e2d3c4b5a69788796a5b4c3d2e1f0"}"#,
    }

    /// A scheduled message was sent, late if `late_ms` is present; or, with a `problem`, it was not.
    scheduled = Scheduled(ScheduledChanged) {
        r#"{"type": "scheduled", "id": 7, "message": "019d8f3a5c0e1d2b3a4f5e6d7c8b9a0f1e2d3c4b5a69788796a5b4c34f2a6c1e", "conversation": "0f1e2d3c4b5a69788796a5b4c3d2e1f0", "late_ms": 7200000}"#,
        r#"{"type": "scheduled", "id": 7, "problem": {"code": "recipient_blocked", "sentence": "The contact is blocked."}}"#,
    }

    /// Another device of this account changed a synced setting, of `conversation` if it belongs to
    /// one.
    synced = Synced(Synced) {
        r#"{"type": "synced", "conversation": "0f1e2d3c4b5a69788796a5b4c3d2e1f0"}"#,
    }

    /// Somebody is typing, or has stopped. It is valid for ten seconds.
    typing = Typing(Typing) {
        r#"{"type": "typing", "conversation": "0f1e2d3c4b5a69788796a5b4c3d2e1f0", "address": "bob@example.org", "typing": true}"#,
    }

    /// Something happened to a conversation, as in `history`.
    event = Event(ConversationEvent) {
        r#"{"type": "event", "conversation": "5b4c3d2e1f00f1e2d3c4b5a69788796a", "event": "member_added", "address": "carol@example.org", "by": "alice@example.org", "at": "2026-11-24T20:17:00.000Z"}"#,
    }

    /// Messages from one sender are missing, and this device has asked for them again. With
    /// `missing` 0, all have arrived.
    gap = Gap(Gap) {
        r#"{"type": "gap", "conversation": "0f1e2d3c4b5a69788796a5b4c3d2e1f0", "from": "bob@example.org", "missing": 0, "at": "2026-11-24T20:18:00.000Z"}"#,
    }

    /// The registration moved to another stage. With a `problem`, it returned to `stage`.
    registration = Registration(RegistrationChanged) {
        r#"{"type": "registration", "stage": "code_sent", "address": "alice@example.org", "expires_at": "2026-11-24T20:25:00.000Z"}"#,
        r#"{"type": "registration", "stage": "registered", "address": "alice@example.org", "recovery_words": "wax wing seal …", "recovery_qr": "waxwing:recovery/1/…", "account_id": "9b8d7f3a5c0e1d2b3a4f5e6d7c8b9a0f5a69788796a5b4c3d2e1f00f1e2d3c4b"}"#,
        r#"{"type": "registration", "stage": "code_sent", "address": "alice@example.org", "problem": {"code": "code_wrong", "sentence": "The code is wrong.", "tries_left": 4}}"#,
    }

    /// The connection to the relay was made (`online`) or lost (`offline`).
    connection = Connection(ConnectionChanged) {
        r#"{"type": "connection", "connection": "offline", "problem": {"code": "relay_down", "sentence": "The relay cannot be reached (connection refused).", "detail": "connection refused"}}"#,
    }

    /// The relay is at another place from now on (`move_relay`); its key is the same.
    relay_moved = RelayMoved(RelayMoved) {
        r#"{"type": "relay_moved", "url": "https://relay.example.net:4433"}"#,
    }

    /// The account was deleted, and this device deletes its home: the process that answers ends.
    home_erased = HomeErased(HomeErased) {
        r#"{"type": "home_erased"}"#,
    }

    /// Linking a device moved to another stage. Stages: `meeting`, `code` (on the new device),
    /// `agreed` (on the new device: the other one asks its person), `confirm` (on the old device:
    /// call `confirm_device` next), `admitting`, `admitted` (the history is being transferred),
    /// `done`, `refused`, `failed`. `device` is the new device's short id, the same on both.
    pairing = Pairing(PairingChanged) {
        r#"{"type": "pairing", "stage": "code", "code": "482193-7K3MQ-9TXPA", "qr": "waxwing:link/1/482193-7K3MQ-9TXPA/…/…", "device": "3a4f 5e6d 7c8b 9a0f"}"#,
        r#"{"type": "pairing", "stage": "confirm", "device": "3a4f 5e6d 7c8b 9a0f", "name": "Kitchen tablet"}"#,
        r#"{"type": "pairing", "stage": "failed", "problem": {"code": "pairing_not_agreed", "sentence": "The code was not the same on both devices, or somebody tried to get between them."}}"#,
    }

    /// The list of devices changed, or with a `problem`, a change failed.
    devices = Devices(DevicesChanged) {
        r#"{"type": "devices", "devices": [{"id": "3a4f5e6d7c8b9a0f5a69788796a5b4c3d2e1f00f1e2d3c4b9b8d7f3a5c0e1d2b", "short": "3a4f 5e6d 7c8b 9a0f", "name": "Kitchen tablet", "this": false, "added_at": "2026-11-24T20:15:07.000Z", "added_by": "recovery_key"}]}"#,
    }

    /// A long transfer made progress: `history` (between devices), `backup` (to the relay) or
    /// `restore`.
    transfer = Transfer(TransferProgress) {
        r#"{"type": "transfer", "what": "history", "done": 120, "total": 4711}"#,
    }

    /// The relay has a new backup, or with a `problem`, making one failed.
    backup = Backup(BackupChanged) {
        r#"{"type": "backup", "saved_at": "2026-11-24T20:15:07.000Z"}"#,
    }

    /// A recovery moved to another stage. Stages: `looking_up`, `admitting`, `restoring`, `done`
    /// (with a problem such as `backup_none` if not everything could be restored), `failed`.
    recovery = Recovery(RecoveryChanged) {
        r#"{"type": "recovery", "stage": "done", "problem": {"code": "backup_none", "sentence": "The relay has no backup."}}"#,
    }

    /// The state of the registration lock; with a `problem`, it was not changed.
    lock = Lock(LockChanged) {
        r#"{"type": "lock", "locked": true}"#,
    }

    /// Something is wrong that the person should know.
    warning = Warning(Warning) {
        r#"{"type": "warning", "problem": {"code": "clock_wrong", "sentence": "This device's clock and the relay's are far apart.", "skew_ms": 180000}}"#,
    }
}

/// The notice `typing`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Typing {
    /// Where.
    pub conversation: ConversationId,
    /// Who, in display form.
    pub address: String,
    /// `false` when they have stopped.
    pub typing: bool,
}

/// The notice `message_state`.
#[derive(Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
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

/// The notice `message_deleted`.
#[derive(Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct MessageDeleted {
    /// The message.
    pub id: MessageId,
    /// Where it stood.
    pub conversation: ConversationId,
}

/// The notice `synced`.
#[derive(Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Synced {
    /// The conversation, if the setting belongs to one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conversation: Option<ConversationId>,
}

/// How far a registration is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
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

/// The notice `registration`.
#[derive(Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Connection {
    /// The mailbox link is logged in.
    Online,
    /// It is not logged in.
    Offline,
}

/// The notice `connection`.
#[derive(Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ConnectionChanged {
    /// The state now.
    pub connection: Connection,
    /// Why, if known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<ProblemReport>,
}

/// The notice `home_erased`.
#[derive(Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct HomeErased {}

/// The notice `relay_moved`.
#[derive(Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RelayMoved {
    /// Where it is.
    pub url: String,
}

/// The notice `warning`.
#[derive(Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
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
    RelayMoved,
    HomeErased,
    Warning
);
