//! Several devices of one account: linking, revoking, backups, recovery.
//!
//! **Elsewhere**: what the requests do is in the engine's `devices`.
//!
//! **Always**: the code and the recovery words are shown only to the person; `Debug` shows neither.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{ProblemReport, Timestamp, closed_debug};

/// Parameters of `link_device`.
#[derive(Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LinkDevice {
    /// The URL of the account's relay, `https://host[:port]`, optionally with `/#` and its pin.
    pub relay: String,
    /// The relay's SPKI pin, `sha256/…`, if it is not in the URL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pin: Option<String>,
    /// This device's name in the account's list of devices: 1 to 64 bytes.
    pub name: String,
}

/// Parameters of `approve_device`.
#[derive(Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ApproveDevice {
    /// The code that the new device shows, typed or scanned.
    pub code: String,
}

/// Parameters of `confirm_device`.
#[derive(Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ConfirmDevice {
    /// Whether to admit the device that asks.
    pub accept: bool,
}

/// Parameters of `revoke_device`.
#[derive(Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RevokeDevice {
    /// Its id as `devices` gives it: all of it, or at least its first eight digits.
    pub device: String,
}

/// Parameters of `recover`.
#[derive(Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
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
    /// This device's name: 1 to 64 bytes.
    pub name: String,
    /// Whether the backup comes from a file, through `feed_backup`, instead of from the relay.
    #[serde(default, skip_serializing_if = "is_false")]
    pub from_file: bool,
    /// Whether to revoke all other devices of the account as well.
    #[serde(default, skip_serializing_if = "is_false")]
    pub revoke_others: bool,
}

/// Parameters of `restore`.
#[derive(Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Restore {
    /// The 24 words of the recovery key, or the text of its QR code.
    pub words: String,
    /// Whether the backup comes from a file, through `feed_backup`, instead of from the relay.
    #[serde(default, skip_serializing_if = "is_false")]
    pub from_file: bool,
}

/// Parameters of `set_lock`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SetLock {
    /// Whether to lock the address.
    pub locked: bool,
}

/// The notice `lock`.
#[derive(Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LockChanged {
    /// Whether the address is locked.
    pub locked: bool,
    /// Why it was not changed, if it was not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<ProblemReport>,
}

/// Parameters of `read_backup`.
#[derive(Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ReadBackup {
    /// 0 starts a new backup; each later call adds 1.
    pub index: u32,
}

/// Parameters of `feed_backup`.
#[derive(Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FeedBackup {
    /// The next bytes of the file, at most 512 KiB, in base64.
    pub part: String,
    /// Whether these are the last bytes.
    #[serde(default, skip_serializing_if = "is_false")]
    pub last: bool,
}

/// A part of a backup, from `read_backup`.
#[derive(Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct BackupPart {
    /// In base64. The file is all parts, one after another.
    pub part: String,
    /// Whether there are more.
    pub more: bool,
    /// With the last part: the files that are not in the backup.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub left_out: Option<FilesLeftOut>,
}

/// Files of messages that a backup does not have. They stay on the devices that have them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FilesLeftOut {
    /// How many.
    pub files: u64,
    /// Their size together.
    pub bytes: u64,
}

/// A device of this account.
#[derive(Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Device {
    /// Hex.
    pub id: String,
    /// The first digits of the id, in groups, as both devices show them while linking.
    pub short: String,
    /// Its name, if this device knows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Whether it is the device that answers.
    pub this: bool,
    /// When it was admitted, by the clock of the device that admitted it.
    pub added_at: Timestamp,
    /// The id of the device that admitted it; `recovery_key`; absent for the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub added_by: Option<String>,
}

/// How far linking a device is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PairingStage {
    /// This device is asking the relay for a rendezvous.
    Meeting,
    /// On the new device: the person types `code` on the other device, or scans `qr`.
    Code,
    /// Both devices know the code. On the new device: the other device asks its person.
    Agreed,
    /// On the old device: the person checks `device`, then the program calls `confirm_device`.
    Confirm,
    /// The device is being added to the account's roster.
    Admitting,
    /// The device is admitted, and its history is being transferred.
    Admitted,
    /// Everything has arrived.
    Done,
    /// The person said no.
    Refused,
    /// It failed: see the problem. The code no longer works; ask for a new one.
    Failed,
}

/// The notice `pairing`.
#[derive(Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PairingChanged {
    /// How far it is.
    pub stage: PairingStage,
    /// With `code`: the code to read aloud and type.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// With `code`: the text of the QR code to scan.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub qr: Option<String>,
    /// The new device: its short id, the same on both.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
    /// The new device's name, as that device states it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// On the new device, from `admitting` onwards: the account's address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// With `failed`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<ProblemReport>,
}

/// What is transferred in many parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TransferOf {
    /// History, from one device to another.
    History,
    /// A backup, to the relay.
    Backup,
    /// A backup, from the relay or a file.
    Restore,
}

/// The notice `transfer`.
#[derive(Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TransferProgress {
    /// What.
    pub what: TransferOf,
    /// How much is done…
    pub done: u64,
    /// …of how much.
    pub total: u64,
}

/// The notice `devices`.
#[derive(Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct DevicesChanged {
    /// All devices now.
    pub devices: Vec<Device>,
    /// Why a change failed, if one did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<ProblemReport>,
}

/// The notice `backup`.
#[derive(Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct BackupChanged {
    /// When the relay accepted the last complete backup.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub saved_at: Option<Timestamp>,
    /// Why the newest attempt failed, if it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<ProblemReport>,
    /// Once it is complete: the files that are not in the backup.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub left_out: Option<FilesLeftOut>,
}

/// How far a recovery is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RecoveryStage {
    /// The account is being looked up.
    LookingUp,
    /// The backup file is being checked: all of it comes through `feed_backup`. Nothing has
    /// changed yet.
    Checking,
    /// This device is being added to the account's roster.
    Admitting,
    /// This device is admitted; the backup is being fetched, or comes through `feed_backup`
    /// once more from its first byte.
    Restoring,
    /// Done; with a problem such as `backup_none` if there was no backup.
    Done,
    /// It failed: see the problem.
    Failed,
}

/// The notice `recovery`.
#[derive(Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RecoveryChanged {
    /// How far it is.
    pub stage: RecoveryStage,
    /// What went wrong, if something did.
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

/// Parameters of `delete_account`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DeleteAccount {
    /// The account's own address, typed by the person.
    pub address: String,
}

closed_debug!(
    DeleteAccount,
    LinkDevice,
    ApproveDevice,
    ConfirmDevice,
    RevokeDevice,
    Recover,
    Restore,
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
