//! Synced settings in the archive.
//!
//! **Always**: a setting that comes with an archive is applied nowhere else: blocks, marks and
//! what was read come with contacts and messages.

use rusqlite::{Transaction, types::Value};
use waxwing_protocol::{
    ids::DeviceId,
    pb::{self, archive_record::Record},
    time::Time,
};

use super::{KEY_BYTES, SyncedSetting, VALUE_BYTES, settings_after, store_if_later};
use crate::{
    archive::{ArchiveSection, Archived, Import, NotImported, Place, Section},
    store::StoreError,
    tables::Table,
};

/// The synced settings.
pub(crate) struct SyncedSettingRows;

impl Table for SyncedSettingRows {
    fn archived(&self) -> Option<&dyn ArchiveSection> {
        Some(self)
    }
}

impl ArchiveSection for SyncedSettingRows {
    fn section(&self) -> Section {
        Section::SyncedSettings
    }

    fn count(&self, tx: &Transaction<'_>) -> Result<u64, StoreError> {
        let count: i64 = tx.query_row("SELECT count(*) FROM register", [], |row| row.get(0))?;
        Ok(count.cast_unsigned())
    }

    /// A place's `row` is the kind.
    fn next(&self, tx: &Transaction<'_>, at: Place<'_>) -> Result<Option<Archived>, StoreError> {
        let kind = u32::try_from(at.row).unwrap_or(u32::MAX);
        let next = settings_after(tx, (kind, at.id), 1)?.pop();
        Ok(next.map(|one| {
            let kind = i64::from(one.kind);
            Archived {
                id: one.key.clone(),
                row: kind,
                rest: None,
                is_rest: false,
                name: Some((Value::Integer(kind), one.key.clone())),
                record: Record::Register(pb::Register {
                    kind: one.kind,
                    key: one.key.into(),
                    value: one.value.into(),
                    changed_at_ms: one.changed_at.0,
                    device_id: one.device.to_bytes(),
                }),
            }
        }))
    }

    fn restore(&self, import: &Import<'_>, record: Record) -> Result<(), NotImported> {
        let Record::Register(kept) = record else {
            return Ok(());
        };
        if kept.key.len() > KEY_BYTES || kept.value.len() > VALUE_BYTES {
            return Err(NotImported::Malformed);
        }
        let setting = SyncedSetting {
            kind: kept.kind,
            key: kept.key.to_vec(),
            value: kept.value.to_vec(),
            changed_at: Time(kept.changed_at_ms.min(i64::MAX as u64)),
            device: DeviceId::try_from(&kept.device_id).map_err(|_| NotImported::Malformed)?,
        };
        store_if_later(import.tx, &setting, false)?;
        Ok(())
    }
}
