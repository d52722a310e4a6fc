//! Limits on the total size of what the relay stores.
//!
//! Blobs, backups and groups are counted as they are added and deleted. A request that would
//! exceed a limit is refused, and clients repeat it later. How much one account can store
//! follows from its tokens and from the limits of a backup; nobody can tell whose a blob or a
//! group is.
//!
//! **Elsewhere**: the limits are in [`crate::config::Config`]; [`crate::mailbox`] counts what
//! waits in mailboxes, [`crate::directory`] counts tokens.
//!
//! **Always**: the counts are written in the same batch as what they count, so that they agree
//! after every crash.

use waxwing_protocol::{pb::ErrorCode, time::Span};

use crate::{
    answer::Refused,
    config::Config,
    pending_view::PendingView,
    store::{
        Key, KeySpace, Store, StoreError, key,
        records::{BlobRecord, UsageRecord},
    },
};

/// Under which key of [`KeySpace::Meta`] the counts are.
const KEPT_AT: &[u8] = b"usage";
/// Records that are read at a time where an earlier version did not count.
const PAGE: usize = 1024;
/// A refused client asks again after this long.
const AGAIN: Span = Span::minutes(10);

/// What is stored, in all.
pub(crate) struct Quotas {
    used: UsageRecord,
    /// What was counted at the start, if it was.
    counted: UsageRecord,
}

impl Quotas {
    /// Reads the counts, or counts.
    pub(crate) fn open(view: &mut PendingView<impl Store>) -> Result<Self, StoreError> {
        if let Some(used) = view.sound_at(KeySpace::Meta, KEPT_AT)? {
            return Ok(Self {
                used,
                counted: UsageRecord::default(),
            });
        }
        // An earlier version of this program did not count, or the disk lost it.
        let store = view.store();
        let mut used = UsageRecord {
            groups: store.count(KeySpace::Groups)?,
            backup_parts: store.count(KeySpace::Backups)?,
            ..UsageRecord::default()
        };
        let mut from = Key::new();
        loop {
            let (page, next) = view.sound_slice(KeySpace::Blobs, &from, PAGE)?;
            for (at, value) in page {
                let blob: Option<BlobRecord> = view.sound(KeySpace::Blobs, &at, value);
                used.blob_bytes += blob.map_or(0, |blob| blob.bytes);
            }
            let Some(next) = next else { break };
            from = next;
        }
        Ok(Self {
            used,
            counted: used,
        })
    }

    /// Goes back to the counts that are on the disk.
    pub(crate) fn forget_unwritten(&mut self, view: &PendingView<impl Store>) {
        if let Ok(used) = view.get(KeySpace::Meta, KEPT_AT) {
            self.used = used.unwrap_or(self.counted);
        }
    }

    /// Something is added or deleted.
    pub(crate) fn count(
        &mut self,
        view: &mut PendingView<impl Store>,
        change: impl FnOnce(&mut UsageRecord),
    ) {
        change(&mut self.used);
        view.put(KeySpace::Meta, key(&[KEPT_AT]), &self.used);
    }

    /// Whether there is room for one more blob.
    pub(crate) fn has_room_for_blob(&self, config: &Config, bytes: u64) -> Result<(), Refused> {
        within(
            self.used.blob_bytes.saturating_add(bytes),
            config.blob_bytes,
            "the relay has no room for more files",
        )
    }

    /// Whether there is room for one more part of a backup.
    pub(crate) fn has_room_for_backup_part(&self, config: &Config) -> Result<(), Refused> {
        within(
            self.used.backup_parts.saturating_add(1),
            config.backup_parts_in_all,
            "the relay has no room for more backups",
        )
    }

    /// Whether there is room for `groups` more groups, and for one to become so much larger.
    pub(crate) fn has_room_for_group(
        &self,
        config: &Config,
        groups: u64,
        before: u64,
        after: u64,
    ) -> Result<(), Refused> {
        let no_room = "the relay has no room for more groups";
        if groups > 0 {
            let groups = self.used.groups.saturating_add(groups);
            within(groups, config.groups, no_room)?;
        }
        if after <= before {
            return Ok(());
        }
        let bytes = self.used.group_bytes.saturating_sub(before);
        within(bytes.saturating_add(after), config.group_bytes, no_room)
    }
}

fn within(used: u64, most: u64, no_room: &str) -> Result<(), Refused> {
    if used <= most {
        return Ok(());
    }
    let mut refused = Refused::new(ErrorCode::Unavailable, no_room);
    refused.0.retry_after_ms = AGAIN.0;
    Err(refused)
}
