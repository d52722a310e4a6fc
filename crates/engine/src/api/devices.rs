//! Several devices of one account: linking, revoking, backups, recovery.
//!
//! **Elsewhere**: what the requests do is in the engine's `devices`.
//!
//! **Always**: the code and the words that are here are shown to the person and to
//! nobody else; `Debug` shows neither.

use serde::{Deserialize, Serialize};

use super::{ProblemReport, Timestamp, closed_debug};

/// See [`super::Request::LinkDevice`].
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct LinkDevice {
    /// The relay that the account is on, `https://host[:port]`, perhaps with `/#` and its
    /// pin.
    pub relay: String,
    /// The relay's SPKI pin, `sha256/…`, where it was told on another way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pin: Option<String>,
    /// What this device is called in the account's list of devices: 1 to 64 bytes.
    pub name: String,
}

/// See [`super::Request::ApproveDevice`].
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct ApproveDevice {
    /// The code that the new device shows, typed or scanned.
    pub code: String,
}

/// See [`super::Request::ConfirmDevice`].
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct ConfirmDevice {
    /// Whether the device that asked is admitted.
    pub accept: bool,
}

/// See [`super::Request::RevokeDevice`].
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct RevokeDevice {
    /// Its id as `devices` gives it: whole, or the first eight digits and more.
    pub device: String,
}

/// See [`super::Request::Recover`].
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct Recover {
    /// An address of the account.
    pub address: String,
    /// The relay that the account is on.
    pub relay: String,
    /// The relay's SPKI pin.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pin: Option<String>,
    /// The 24 words of the recovery key, or the text of its QR code.
    pub words: String,
    /// What this device is called: 1 to 64 bytes.
    pub name: String,
    /// Whether the backup comes from a file, by `feed_backup`, and not from the relay.
    #[serde(default, skip_serializing_if = "is_false")]
    pub from_file: bool,
    /// Whether all other devices of the account are revoked as well.
    #[serde(default, skip_serializing_if = "is_false")]
    pub revoke_others: bool,
}

/// See [`super::Request::SetLock`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetLock {
    /// Whether the address is to be locked.
    pub locked: bool,
}

/// See [`super::Notice::Lock`].
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct LockChanged {
    /// Whether the address is locked.
    pub locked: bool,
    /// Why it was not changed, where it was not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<ProblemReport>,
}

/// See [`super::Request::ReadBackup`].
#[derive(Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ReadBackup {
    /// 0 begins a new backup; then one more each.
    pub index: u32,
}

/// See [`super::Request::FeedBackup`].
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct FeedBackup {
    /// The next bytes of the file, in base64: at most 512 KiB of them.
    pub part: String,
    /// Whether they are the last.
    #[serde(default, skip_serializing_if = "is_false")]
    pub last: bool,
}

/// A part of a backup, of `read_backup`.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct BackupPart {
    /// In base64. All parts, one behind the other, are the file.
    pub part: String,
    /// Whether there are more.
    pub more: bool,
}

/// A device of this account.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct Device {
    /// Hex.
    pub id: String,
    /// Its first digits, in groups, as both devices show it while they are linked.
    pub short: String,
    /// What it is called, where this device knows that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Whether it is the one that answers.
    pub this: bool,
    /// When it was admitted, by the clock of who admitted it.
    pub added_at: Timestamp,
    /// The id of the device that admitted it; `recovery_key`; absent for the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub added_by: Option<String>,
}

/// How far linking a device is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PairingStage {
    /// The relay is asked for a place where the two can meet.
    Meeting,
    /// On the new device: `code` is to be typed on the other, or `qr` to be scanned.
    Code,
    /// Both know the code. On the new device: the other's person is asked.
    Agreed,
    /// On the old device: `confirm_device` is next, after a look at `device`.
    Confirm,
    /// The device is being entered into the account's list.
    Admitting,
    /// It is admitted; history is on its way.
    Admitted,
    /// Everything is there.
    Done,
    /// The person said no.
    Refused,
    /// It ended: see the problem. The code is dead; a new one can be made.
    Failed,
}

/// See [`super::Notice::Pairing`].
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct PairingChanged {
    /// How far it is.
    pub stage: PairingStage,
    /// With `code`: to be read aloud and typed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// With `code`: to be scanned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub qr: Option<String>,
    /// The new device: its short id, the same on both.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
    /// The new device's name, as it says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// On the new device, from `admitting` on: the account's address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// With `failed`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<ProblemReport>,
}

/// What is on its way in many parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TransferOf {
    /// History, from one device to another.
    History,
    /// A backup, to the relay.
    Backup,
    /// A backup, back.
    Restore,
}

/// See [`super::Notice::Transfer`].
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct TransferProgress {
    /// What.
    pub what: TransferOf,
    /// So much is done…
    pub done: u64,
    /// …of so much.
    pub total: u64,
}

/// See [`super::Notice::Devices`].
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct DevicesChanged {
    /// All there are now.
    pub devices: Vec<Device>,
    /// What stood in the way of a change, where something did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<ProblemReport>,
}

/// See [`super::Notice::Backup`].
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct BackupChanged {
    /// When the relay took the last whole one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub saved_at: Option<Timestamp>,
    /// Why the newest attempt ended, where it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<ProblemReport>,
}

/// How far a recovery is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RecoveryStage {
    /// The account is looked up.
    LookingUp,
    /// This device is being entered into the account's list.
    Admitting,
    /// It is admitted; the backup is fetched, or awaited from `feed_backup`.
    Restoring,
    /// Done; with `no_backup` as a problem where there was none.
    Done,
    /// It ended: see the problem.
    Failed,
}

/// See [`super::Notice::Recovery`].
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct RecoveryChanged {
    /// How far it is.
    pub stage: RecoveryStage,
    /// What went wrong, where something did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<ProblemReport>,
}

#[allow(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde calls it with a reference"
)]
const fn is_false(value: &bool) -> bool {
    !*value
}

closed_debug!(
    LinkDevice,
    ApproveDevice,
    ConfirmDevice,
    RevokeDevice,
    Recover,
    ReadBackup,
    FeedBackup,
    BackupPart,
    Device,
    PairingChanged,
    TransferProgress,
    DevicesChanged,
    BackupChanged,
    RecoveryChanged,
    LockChanged,
);
