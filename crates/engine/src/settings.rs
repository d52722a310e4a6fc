//! Single values that are stored: where the relay is, what was acknowledged, what the person
//! chose.

use rusqlite::{OptionalExtension as _, Transaction, types::FromSql};

use crate::{event::RelayPlace, store::StoreError};

pub(crate) const SCHEMA: &str = "
CREATE TABLE setting (name TEXT PRIMARY KEY, value) WITHOUT ROWID;
";

/// The token keys have a table now.
pub(crate) const WITHOUT_TOKEN_KEY: &str = "
DELETE FROM setting WHERE name = 'token_key';
";

/// The name of a setting.
#[derive(Clone, Copy)]
pub(crate) enum Setting {
    RelayUrl,
    RelayPin,
    /// The highest mailbox place that is safely stored.
    Received,
    /// Whether to tell others that their messages arrived, and were read.
    TellDelivered,
    TellRead,
    /// Whether to tell others that the person writes.
    TellTyping,
    /// All key packages that the relay has are to be replaced.
    ReplaceKeyPackages,
    /// How many of the named auditors must have co-signed a head.
    AuditorsRequired,
    /// When a backup is to be made next, and the newest entry that the last one has.
    BackupDueAt,
    BackupNewest,
    /// Whether the own address is locked, what the person wants it to be, and that whoever
    /// contests it is not to get it.
    Locked,
    LockWanted,
    KeepAddress,
    /// What the relay asks for texts to phones, and whether the person was told what those are.
    SmsTerms,
    SmsUnderstood,
    /// The other devices are to be asked for all synced settings.
    SyncedSettingsWanted,
    /// When the person asked this device to delete the account, and when this device erases its
    /// home because another one has deleted it.
    ClosingSince,
    ErasesAt,
}

impl Setting {
    const fn name(self) -> &'static str {
        match self {
            Self::RelayUrl => "relay_url",
            Self::RelayPin => "relay_pin",
            Self::Received => "received",
            Self::TellDelivered => "tell_delivered",
            Self::TellRead => "tell_read",
            Self::TellTyping => "tell_typing",
            Self::ReplaceKeyPackages => "replace_key_packages",
            Self::AuditorsRequired => "auditors_required",
            Self::BackupDueAt => "backup_due_at",
            Self::BackupNewest => "backup_newest",
            Self::Locked => "locked",
            Self::LockWanted => "lock_wanted",
            Self::KeepAddress => "keep_address",
            Self::SmsTerms => "sms_terms",
            Self::SmsUnderstood => "sms_understood",
            Self::SyncedSettingsWanted => "synced_settings_wanted",
            Self::ClosingSince => "closing_since",
            Self::ErasesAt => "erases_at",
        }
    }
}

/// Reads a setting.
pub(crate) fn read<T: FromSql>(
    tx: &Transaction<'_>,
    setting: Setting,
) -> Result<Option<T>, StoreError> {
    let mut statement = tx.prepare_cached("SELECT value FROM setting WHERE name = ?1")?;
    Ok(statement
        .query_row([setting.name()], |row| row.get(0))
        .optional()?)
}

/// Writes a setting.
pub(crate) fn write(
    tx: &Transaction<'_>,
    setting: Setting,
    value: impl rusqlite::ToSql,
) -> Result<(), StoreError> {
    tx.prepare_cached(
        "INSERT INTO setting (name, value) VALUES (?1, ?2)
         ON CONFLICT DO UPDATE SET value = excluded.value",
    )?
    .execute((setting.name(), value))?;
    Ok(())
}

/// Deletes a setting.
pub(crate) fn forget(tx: &Transaction<'_>, setting: Setting) -> Result<(), StoreError> {
    tx.execute("DELETE FROM setting WHERE name = ?1", [setting.name()])?;
    Ok(())
}

/// Where the relay is, once a person said so.
pub(crate) fn relay(tx: &Transaction<'_>) -> Result<Option<RelayPlace>, StoreError> {
    let Some(url) = read(tx, Setting::RelayUrl)? else {
        return Ok(None);
    };
    let pin: Option<Option<String>> = read(tx, Setting::RelayPin)?;
    Ok(Some(RelayPlace {
        url,
        pin: pin.flatten(),
    }))
}
