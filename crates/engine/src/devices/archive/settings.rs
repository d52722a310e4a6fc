//! What the person chose, and the names of devices, in the archive.
//!
//! **Always**: what the person chose on this device stays.

use rusqlite::Transaction;
use waxwing_protocol::{
    ids::DeviceId,
    pb::{ArchivedAuditor, ArchivedDevice, ArchivedSettings, archive_record::Record},
};
use waxwing_transparency::cosignature::AuditorId;

use crate::{
    archive::{ArchiveSection, Archived, Import, NotImported, Place, Section},
    devices::{backup, names},
    settings::{self, Setting},
    store::StoreError,
    tables::Table,
    trust::auditors,
};

/// One record of everything that is set.
pub(crate) struct Settings;

impl Table for Settings {
    fn archived(&self) -> Option<&dyn ArchiveSection> {
        Some(self)
    }
}

impl ArchiveSection for Settings {
    fn section(&self) -> Section {
        Section::Settings
    }

    fn count(&self, _tx: &Transaction<'_>) -> Result<u64, StoreError> {
        Ok(1)
    }

    fn next(&self, tx: &Transaction<'_>, at: Place<'_>) -> Result<Option<Archived>, StoreError> {
        if at.row > 0 {
            return Ok(None);
        }
        let read = |setting| Ok::<_, StoreError>(settings::read(tx, setting)?.unwrap_or(true));
        let (auditors, auditors_required) = auditors::named(tx)?;
        let auditors = auditors.into_iter().map(|(id, name)| ArchivedAuditor {
            id: id.0.to_vec().into(),
            name,
        });
        let record = Record::Settings(ArchivedSettings {
            auditors: auditors.collect(),
            auditors_required,
            tell_delivered: read(Setting::TellDelivered)?,
            tell_read: read(Setting::TellRead)?,
            backup_key: backup::key::public(tx)?.unwrap_or_default().into(),
        });
        Ok(Some(Archived {
            row: 1,
            name: None,
            ..Archived::by_key(record, &[])
        }))
    }

    fn restore(&self, import: &Import<'_>, record: Record) -> Result<(), NotImported> {
        let Record::Settings(kept) = record else {
            return Ok(());
        };
        restore(import.tx, &kept)
    }
}

fn restore(tx: &Transaction<'_>, kept: &ArchivedSettings) -> Result<(), NotImported> {
    for (setting, value) in [
        (Setting::TellDelivered, kept.tell_delivered),
        (Setting::TellRead, kept.tell_read),
    ] {
        if settings::read::<bool>(tx, setting)?.is_none() {
            settings::write(tx, setting, value)?;
        }
    }
    if settings::read::<u32>(tx, Setting::AuditorsRequired)?.is_none() && !kept.auditors.is_empty()
    {
        let named: Option<Vec<_>> = kept
            .auditors
            .iter()
            .take(auditors::NAMED_MAX)
            .map(|auditor| {
                let id = <[u8; 32]>::try_from(auditor.id.as_ref()).ok()?;
                Some((AuditorId(id), auditor.name.clone()))
            })
            .collect();
        let named = named.ok_or(NotImported::Malformed)?;
        let required = kept
            .auditors_required
            .min(named.len().try_into().unwrap_or(0));
        auditors::set(tx, &named, required)?;
    }
    if !kept.backup_key.is_empty() && backup::key::public(tx)?.is_none() {
        let key = backup::key::checked(&kept.backup_key).ok_or(NotImported::Malformed)?;
        backup::key::store_public(tx, &key)?;
    }
    Ok(())
}

/// The names of this account's devices.
pub(crate) struct DeviceNames;

impl Table for DeviceNames {
    fn archived(&self) -> Option<&dyn ArchiveSection> {
        Some(self)
    }
}

impl ArchiveSection for DeviceNames {
    fn section(&self) -> Section {
        Section::Devices
    }

    fn count(&self, tx: &Transaction<'_>) -> Result<u64, StoreError> {
        let count: i64 = tx.query_row("SELECT count(*) FROM device_name", [], |row| row.get(0))?;
        Ok(count.cast_unsigned())
    }

    fn next(&self, tx: &Transaction<'_>, at: Place<'_>) -> Result<Option<Archived>, StoreError> {
        let mut all = names::all(tx)?.into_iter();
        let next = all.find(|(device, _)| device.as_bytes().as_slice() > at.id);
        Ok(next.map(|(device, name)| {
            let record = ArchivedDevice {
                device_id: device.to_bytes(),
                name,
            };
            Archived {
                name: None,
                ..Archived::by_key(Record::Device(record), device.as_bytes())
            }
        }))
    }

    fn restore(&self, import: &Import<'_>, record: Record) -> Result<(), NotImported> {
        let Record::Device(device) = record else {
            return Ok(());
        };
        let id = DeviceId::try_from(&device.device_id).map_err(|_| NotImported::Malformed)?;
        let name = names::checked(&device.name).ok_or(NotImported::Malformed)?;
        if names::name_of_device(import.tx, id)?.is_none() {
            names::set(import.tx, id, name)?;
        }
        Ok(())
    }
}
