//! Verifies the content of a store: every record decodes, and every reference leads to an
//! existing record.
//!
//! **Elsewhere**: [`super::embedded::EmbeddedStore::open`] reports a directory that cannot
//! even be opened; `waxwing-relay check` prints both.
//!
//! **Always**: nothing is changed or written, and damage is counted and causes no panic.
//! Findings name key spaces, never their content.

use std::collections::BTreeMap;

use bytes::Bytes;
use prost::Message;
use waxwing_protocol::ids::DeviceId;
use waxwing_protocol::limits;
use waxwing_protocol::pb;
use waxwing_protocol::roster::Roster;
use waxwing_transparency::head::Head;

use super::records::{
    AccountRecord, AddressRecord, BackupRecord, BackupUploadRecord, BlobRecord, ContestRecord,
    DeviceRecord, EntryRecord, GroupRecord, GroupSequenceRecord, HoldersRecord, LogStateRecord,
    MailboxRecord, PostRecord, PostedRecord, RegistrationRecord, RevokedRecord, SmsReceiptRecord,
    SmsSpendingRecord, SmsSubmissionRecord, TokenBudgetRecord,
};
use super::{Key, KeySpace, Store, StoreError, key};
use crate::directory::log::codec;

/// Records that are read at a time.
const PAGE: usize = 1_000;
/// Posts whose entries are counted in one pass over all entries: what memory is for.
const POSTS_PER_PASS: usize = 1_000_000;

/// What a check found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StoreReport {
    /// Records that were read.
    pub records: u64,
    /// What is wrong, and how often.
    pub damage: BTreeMap<(KeySpace, Damage), u64>,
}

/// A kind of damage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Damage {
    /// The bytes are not what was written, or cannot be read.
    Unreadable,
    /// The record or its key is not of its form.
    Malformed,
    /// It refers to a record that is not there.
    Dangling,
    /// It disagrees with other records.
    Inconsistent,
    /// Nothing refers to it.
    Orphaned,
}

impl StoreReport {
    /// How many records are damaged, in all.
    pub fn damaged(&self) -> u64 {
        self.damage.values().sum()
    }

    fn note(&mut self, space: KeySpace, damage: Damage) {
        self.note_many(space, damage, 1);
    }

    fn note_many(&mut self, space: KeySpace, damage: Damage, records: u64) {
        if records > 0 {
            *self.damage.entry((space, damage)).or_default() += records;
        }
    }
}

impl Damage {
    /// What can be done about it.
    pub const fn advice(self) -> &'static str {
        match self {
            Self::Unreadable => {
                "the disk may be failing: copy the directory elsewhere, then restore a backup"
            }
            Self::Malformed | Self::Inconsistent => {
                "keep a copy of the directory, restore a backup, and report it"
            }
            Self::Dangling => "the records that they name are lost: restore a backup",
            Self::Orphaned => "they take up space but do no harm: keep a copy, and report it",
        }
    }
}

impl std::fmt::Display for Damage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Unreadable => "cannot be read as they were written",
            Self::Malformed => "are malformed",
            Self::Dangling => "refer to something that is missing",
            Self::Inconsistent => "contradict other records",
            Self::Orphaned => "are referred to by nothing",
        })
    }
}

/// Reads everything in `store`.
///
/// # Errors
/// When the store cannot be read at all.
pub fn check(store: &impl Store) -> Result<StoreReport, StoreError> {
    let mut report = StoreReport::default();
    let mut holders = 0;
    for space in KeySpace::ALL {
        // Posts are read as their entries name them, so that one that cannot be read
        // does not hide the others.
        if space == KeySpace::Posts {
            continue;
        }
        each(store, space, &mut report, |report, at, value| {
            holders += u64::from(space == KeySpace::Holders);
            let damage = if is_well_formed(space, at, value) {
                contradiction(store, space, at, value)?
            } else {
                Some(Damage::Malformed)
            };
            if let Some(damage) = damage {
                report.note(space, damage);
            }
            Ok(())
        })?;
    }
    check_numbers(store, &mut report)?;
    check_posts(store, &mut report, holders)?;
    Ok(report)
}

/// Visits every record of a key space, and counts it.
fn each(
    store: &impl Store,
    space: KeySpace,
    report: &mut StoreReport,
    mut visit: impl FnMut(&mut StoreReport, &Bytes, &Bytes) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    if !walk(store, space, |at, value| {
        report.records += 1;
        match visit(report, at, value) {
            Err(StoreError::Damaged(_)) => {
                report.note(space, Damage::Unreadable);
                Ok(())
            }
            result => result,
        }
    })? {
        report.note(space, Damage::Unreadable);
    }
    Ok(())
}

/// Visits every record of a key space; gives `false` if it ended at one that cannot be
/// read.
fn walk(
    store: &impl Store,
    space: KeySpace,
    mut visit: impl FnMut(&Bytes, &Bytes) -> Result<(), StoreError>,
) -> Result<bool, StoreError> {
    let mut from = Key::new();
    loop {
        let page = match store.scan(space, &from, None, PAGE) {
            Ok(page) => page,
            Err(StoreError::Damaged(_)) => return Ok(false),
            Err(error) => return Err(error),
        };
        let Some((last, _)) = page.last() else {
            return Ok(true);
        };
        // The key behind the last one.
        from = key(&[last, &[0]]);
        for (at, value) in &page {
            visit(at, value)?;
        }
    }
}

fn is<T: Message + Default>(value: &Bytes) -> bool {
    T::decode(value.clone()).is_ok()
}

fn is_well_formed(space: KeySpace, at: &[u8], value: &Bytes) -> bool {
    match space {
        KeySpace::Meta => !at.is_empty(),
        KeySpace::Addresses => at.len() == 32 && is::<AddressRecord>(value),
        KeySpace::Accounts => at.len() == 32 && is::<AccountRecord>(value),
        KeySpace::Devices => at.len() == 32 && is::<DeviceRecord>(value),
        KeySpace::Registrations => at.len() == 16 && is::<RegistrationRecord>(value),
        KeySpace::Mailboxes => at.len() == 16 && is::<MailboxRecord>(value),
        KeySpace::Entries => at.len() == 24 && is::<EntryRecord>(value),
        KeySpace::Posts => at.len() == 8 && is::<PostRecord>(value),
        KeySpace::Holders => at.len() == 8 && is::<HoldersRecord>(value),
        KeySpace::PostIds => at.len() == 40 && is::<PostedRecord>(value),
        KeySpace::Groups => at.len() == 16 && is::<GroupRecord>(value),
        KeySpace::GroupSequences => at.len() == 16 && is::<GroupSequenceRecord>(value),
        KeySpace::GroupInfos => at.len() == 16,
        KeySpace::KeyPackages => at.len() == 40 && !value.is_empty(),
        KeySpace::LastResorts => at.len() == 32 && !value.is_empty(),
        KeySpace::SpentTokens => at.len() == 24,
        KeySpace::TokenBudgets => at.len() == 32 && is::<TokenBudgetRecord>(value),
        KeySpace::Revoked => at.len() == 32 && is::<RevokedRecord>(value),
        KeySpace::LogNodes => codec::is_node(at, value),
        KeySpace::LogValues => codec::is_value(at, value),
        KeySpace::LogState if at == codec::STATE => is::<LogStateRecord>(value),
        KeySpace::LogState => is::<pb::SignedHead>(value),
        KeySpace::LogHeads => {
            let number = Head::decode(value.clone()).map(|head| head.number.to_be_bytes());
            number.is_ok_and(|number| number == at)
        }
        KeySpace::LogAudits => at.len() == 8 && is::<pb::AuditProof>(value),
        KeySpace::CoSignatures => at.len() == 32 && is::<pb::CoSignature>(value),
        KeySpace::Backups => at.len() == 52 && !value.is_empty(),
        KeySpace::Blobs => at.len() == 32 && is::<BlobRecord>(value),
        KeySpace::BlobParts => at.len() == 36 && !value.is_empty(),
        KeySpace::BackupPointers => at.len() == 32 && is::<BackupRecord>(value),
        KeySpace::BackupUploads => at.len() == 32 && is::<BackupUploadRecord>(value),
        KeySpace::Skeletons => at.len() == 32 && value.len() == 32,
        KeySpace::Contests => at.len() == 64 && is::<ContestRecord>(value),
        KeySpace::SmsSubmissions => at.len() == 48 && is::<SmsSubmissionRecord>(value),
        KeySpace::SmsReceipts => at.len() == 32 && is::<SmsReceiptRecord>(value),
        KeySpace::SmsSpending => is::<SmsSpendingRecord>(value),
    }
}

/// What is wrong with a well-formed record, beside the others.
fn contradiction(
    store: &impl Store,
    space: KeySpace,
    at: &[u8],
    value: &Bytes,
) -> Result<Option<Damage>, StoreError> {
    let exists = |space, at: &[u8]| Ok::<_, StoreError>(store.get(space, at)?.is_some());
    let (named, otherwise) = match space {
        KeySpace::Addresses => {
            let account = decoded::<AddressRecord>(value).account_id;
            (exists(KeySpace::Accounts, &account)?, Damage::Dangling)
        }
        KeySpace::Accounts => {
            let roster = Roster::verify(&decoded::<AccountRecord>(value).roster);
            let is_its_own = roster.is_ok_and(|roster| roster.account().as_bytes() == at);
            (is_its_own, Damage::Inconsistent)
        }
        KeySpace::Devices => return device_contradiction(store, at, &decoded(value)),
        KeySpace::Registrations => {
            let record: RegistrationRecord = decoded(value);
            let is_there = exists(KeySpace::Devices, &record.device_id)?
                && exists(KeySpace::Mailboxes, &record.mailbox_id)?;
            (is_there, Damage::Dangling)
        }
        KeySpace::Mailboxes => {
            let device = decoded::<MailboxRecord>(value).device_id;
            (exists(KeySpace::Devices, &device)?, Damage::Dangling)
        }
        KeySpace::Holders => {
            let mailboxes = decoded::<HoldersRecord>(value).mailboxes;
            (mailboxes > 0, Damage::Inconsistent)
        }
        KeySpace::Groups if !is_whole(&decoded(value)) => (false, Damage::Inconsistent),
        KeySpace::Groups => (exists(KeySpace::GroupInfos, at)?, Damage::Dangling),
        KeySpace::GroupInfos | KeySpace::GroupSequences => {
            (exists(KeySpace::Groups, at)?, Damage::Orphaned)
        }
        KeySpace::KeyPackages | KeySpace::LastResorts => {
            let device = at.get(..32).unwrap_or(at);
            (exists(KeySpace::Devices, device)?, Damage::Orphaned)
        }
        KeySpace::Revoked => (exists(KeySpace::Devices, at)?, Damage::Orphaned),
        KeySpace::TokenBudgets | KeySpace::BackupUploads => {
            (exists(KeySpace::Accounts, at)?, Damage::Orphaned)
        }
        KeySpace::Backups => (is_of_a_backup(store, at)?, Damage::Orphaned),
        KeySpace::BlobParts => (is_of_a_blob(store, at)?, Damage::Orphaned),
        KeySpace::Blobs => (has_its_parts(store, at, &decoded(value))?, Damage::Dangling),
        KeySpace::BackupPointers => (has_all_parts(store, at, &decoded(value))?, Damage::Dangling),
        KeySpace::Skeletons => (exists(KeySpace::Addresses, value)?, Damage::Dangling),
        KeySpace::Contests => {
            let address = at.get(32..).unwrap_or_default();
            (exists(KeySpace::Addresses, address)?, Damage::Orphaned)
        }
        KeySpace::SmsSubmissions => {
            let account = at.get(..32).unwrap_or_default();
            (exists(KeySpace::Accounts, account)?, Damage::Orphaned)
        }
        KeySpace::Meta
        | KeySpace::SmsReceipts
        | KeySpace::SmsSpending
        | KeySpace::Entries
        | KeySpace::Posts
        | KeySpace::PostIds
        | KeySpace::SpentTokens
        | KeySpace::LogNodes
        | KeySpace::LogValues
        | KeySpace::LogState
        | KeySpace::LogHeads
        | KeySpace::LogAudits
        | KeySpace::CoSignatures => return Ok(None),
    };
    Ok((!named).then_some(otherwise))
}

/// What was found to be well-formed before.
fn decoded<T: Message + Default>(value: &Bytes) -> T {
    T::decode(value.clone()).unwrap_or_default()
}

/// A device is in its account's roster, and its mailbox is its own.
fn device_contradiction(
    store: &impl Store,
    at: &[u8],
    record: &DeviceRecord,
) -> Result<Option<Damage>, StoreError> {
    let account = store.get(KeySpace::Accounts, &record.account_id)?;
    let mailbox = store.get(KeySpace::Mailboxes, &record.mailbox_id)?;
    let (Some(account), Some(mailbox)) = (account, mailbox) else {
        return Ok(Some(Damage::Dangling));
    };
    let roster = Roster::verify(&decoded::<AccountRecord>(&account).roster);
    let is_admitted = DeviceId::try_from(at)
        .is_ok_and(|id| roster.is_ok_and(|roster| roster.device(id).is_some()));
    // A device that was revoked is deleted a little later.
    let is_known = is_admitted || store.get(KeySpace::Revoked, at)?.is_some();
    let is_its_own = decoded::<MailboxRecord>(&mailbox).device_id == at;
    Ok((!is_known || !is_its_own).then_some(Damage::Inconsistent))
}

/// A part belongs to the account's backup, or to the one that is being put.
fn is_of_a_backup(store: &impl Store, at: &[u8]) -> Result<bool, StoreError> {
    let (account, part) = at.split_at_checked(32).unwrap_or_default();
    let finished = store.get(KeySpace::BackupPointers, account)?;
    let unfinished = store.get(KeySpace::BackupUploads, account)?;
    Ok(
        finished.is_some_and(|value| part.starts_with(&decoded::<BackupRecord>(&value).backup_id))
            || unfinished.is_some_and(|value| {
                part.starts_with(&decoded::<BackupUploadRecord>(&value).backup_id)
            }),
    )
}

/// A part belongs to a blob that has got so far.
fn is_of_a_blob(store: &impl Store, at: &[u8]) -> Result<bool, StoreError> {
    let (id, index) = at.split_at_checked(32).unwrap_or_default();
    let index = <[u8; 4]>::try_from(index).map_or(u32::MAX, u32::from_be_bytes);
    let blob = store.get(KeySpace::Blobs, id)?;
    Ok(blob.is_some_and(|value| index < decoded::<BlobRecord>(&value).parts))
}

fn has_its_parts(store: &impl Store, id: &[u8], blob: &BlobRecord) -> Result<bool, StoreError> {
    let most = limits::BLOB_BYTES.div_ceil(limits::BLOB_PART_BYTES as u64);
    if u64::from(blob.parts) > most {
        return Ok(false);
    }
    for index in 0..blob.parts {
        let at = key(&[id, &index.to_be_bytes()]);
        if store.get(KeySpace::BlobParts, &at)?.is_none() {
            return Ok(false);
        }
    }
    Ok(true)
}

fn has_all_parts(
    store: &impl Store,
    account: &[u8],
    backup: &BackupRecord,
) -> Result<bool, StoreError> {
    for index in 0..backup.parts.min(limits::BACKUP_PARTS) {
        let at = key(&[account, &backup.backup_id, &index.to_be_bytes()]);
        if store.get(KeySpace::Backups, &at)?.is_none() {
            return Ok(false);
        }
    }
    Ok(backup.parts <= limits::BACKUP_PARTS)
}

/// A group has its keys, and its epochs from the current one downwards.
fn is_whole(record: &GroupRecord) -> bool {
    let epochs = &record.epochs;
    epochs.first().map(|first| first.epoch) == Some(record.epoch)
        && epochs.is_sorted_by(|newer, older| newer.epoch > older.epoch)
        && epochs.iter().all(|epoch| epoch.send_key.len() == 32)
        && record.rejoin_key.len() == 32
}

/// No mailbox holds a number that it has not reserved, and there is one for each entry.
fn check_numbers(store: &impl Store, report: &mut StoreReport) -> Result<(), StoreError> {
    // Of the mailbox whose entries are being read: they are in order.
    let mut last: Option<(Bytes, u64)> = None;
    walk(store, KeySpace::Entries, |at, _| {
        let Some((mailbox, sequence)) = at.split_last_chunk::<8>() else {
            return Ok(());
        };
        let now = (at.slice_ref(mailbox), u64::from_be_bytes(*sequence));
        match last.replace(now) {
            Some((before, number)) if before != mailbox => {
                check_last_number(store, report, &before, number)
            }
            _ => Ok(()),
        }
    })?;
    match last {
        Some((mailbox, number)) => check_last_number(store, report, &mailbox, number),
        None => Ok(()),
    }
}

fn check_last_number(
    store: &impl Store,
    report: &mut StoreReport,
    mailbox: &[u8],
    number: u64,
) -> Result<(), StoreError> {
    match store.get(KeySpace::Mailboxes, mailbox) {
        Ok(Some(value)) => {
            // One that does not decode was noted before.
            let record = MailboxRecord::decode(value);
            if record.is_ok_and(|record| number >= record.reserved) {
                report.note(KeySpace::Mailboxes, Damage::Inconsistent);
            }
        }
        Ok(None) => report.note(KeySpace::Entries, Damage::Dangling),
        // Noted before.
        Err(StoreError::Damaged(_)) => {}
        Err(error) => return Err(error),
    }
    Ok(())
}

/// Every post is read, and is held by as many mailboxes as it should be.
fn check_posts(
    store: &impl Store,
    report: &mut StoreReport,
    holders: u64,
) -> Result<(), StoreError> {
    let (mut found, mut counted) = (0, 0);
    let mut from = Some(0);
    while let Some(least) = from {
        let entries = count_entries(store, least)?;
        for (number, entries) in &entries {
            let (is_there, is_counted) = check_post(store, report, *number, *entries)?;
            found += u64::from(is_there);
            counted += u64::from(is_counted);
        }
        let is_more = entries.len() == POSTS_PER_PASS;
        let last = entries.last_key_value().filter(|_| is_more);
        from = last.and_then(|(last, _)| last.checked_add(1));
    }
    let posts = store.count(KeySpace::Posts)?;
    report.note_many(
        KeySpace::Posts,
        Damage::Orphaned,
        posts.saturating_sub(found),
    );
    let orphaned = holders.saturating_sub(counted);
    report.note_many(KeySpace::Holders, Damage::Orphaned, orphaned);
    Ok(())
}

/// How many entries name each of the first posts from `least` on.
fn count_entries(store: &impl Store, least: u64) -> Result<BTreeMap<u64, u32>, StoreError> {
    let mut counts = BTreeMap::new();
    walk(store, KeySpace::Entries, |_, value| {
        // One that does not decode was noted before.
        if let Ok(entry) = EntryRecord::decode(value.clone())
            && entry.post >= least
        {
            *counts.entry(entry.post).or_default() += 1;
            if counts.len() > POSTS_PER_PASS {
                counts.pop_last();
            }
        }
        Ok(())
    })?;
    Ok(counts)
}

/// Checks one post; gives whether it is there, and whether its holders are counted.
fn check_post(
    store: &impl Store,
    report: &mut StoreReport,
    number: u64,
    entries: u32,
) -> Result<(bool, bool), StoreError> {
    let at = number.to_be_bytes();
    let is_there = match store.get(KeySpace::Posts, &at) {
        Ok(Some(post)) => {
            report.records += 1;
            if !is_well_formed(KeySpace::Posts, &at, &post) {
                report.note(KeySpace::Posts, Damage::Malformed);
            }
            true
        }
        Ok(None) => {
            report.note(KeySpace::Entries, Damage::Dangling);
            false
        }
        Err(StoreError::Damaged(_)) => {
            report.note(KeySpace::Posts, Damage::Unreadable);
            true
        }
        Err(error) => return Err(error),
    };
    let holders = match store.get(KeySpace::Holders, &at) {
        Ok(holders) => holders,
        // Noted before.
        Err(StoreError::Damaged(_)) => return Ok((is_there, true)),
        Err(error) => return Err(error),
    };
    let counted = holders
        .as_ref()
        .map_or(1, |value| decoded::<HoldersRecord>(value).mailboxes);
    if counted != entries {
        report.note(KeySpace::Holders, Damage::Inconsistent);
    }
    Ok((is_there, holders.is_some()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt as _;

    use super::*;
    use crate::store::Write;
    use crate::store::embedded::EmbeddedStore;
    use crate::store::memory::MemoryStore;

    fn put(space: KeySpace, at: &[&[u8]], value: &impl Message) -> Write {
        Write {
            space,
            key: key(at),
            value: Some(value.encode_to_vec().into()),
        }
    }

    /// Posts 0 to 9, which one mailbox holds.
    fn posts() -> Vec<Write> {
        let mut writes = Vec::new();
        for number in 0..10u64 {
            let entry = EntryRecord {
                post: number,
                ..EntryRecord::default()
            };
            let post = PostRecord {
                body: vec![7; 1000].into(),
                ..PostRecord::default()
            };
            let at = number.to_be_bytes();
            writes.push(put(KeySpace::Entries, &[&[1; 16], &at], &entry));
            writes.push(put(KeySpace::Posts, &[&at], &post));
        }
        writes
    }

    #[test]
    fn a_post_that_a_disk_changed_is_one_finding_of_all() {
        let directory = tempfile::tempdir().unwrap();
        let store = EmbeddedStore::open(directory.path()).unwrap();
        store.commit(posts()).unwrap();
        let segments = std::fs::read_dir(directory.path().join("posts")).unwrap();
        for segment in segments {
            let file = std::fs::OpenOptions::new()
                .write(true)
                .open(segment.unwrap().path())
                .unwrap();
            file.write_all_at(b"x", 3_500).unwrap();
        }
        let report = check(&store).unwrap();
        assert_eq!(report.damage[&(KeySpace::Posts, Damage::Unreadable)], 1);
        // The format, the last batch, entries, and the other posts.
        assert_eq!(report.records, 2 + 10 + 9);
        assert_eq!(
            report.damage.get(&(KeySpace::Posts, Damage::Orphaned)),
            None
        );
    }

    #[test]
    fn a_mailbox_beyond_its_reservation_or_missing_is_found() {
        let store = MemoryStore::new();
        let mailbox = MailboxRecord {
            reserved: 9,
            ..MailboxRecord::default()
        };
        store.commit(posts()).unwrap();
        let report = check(&store).unwrap();
        assert_eq!(report.damage[&(KeySpace::Entries, Damage::Dangling)], 1);
        store
            .commit(vec![put(KeySpace::Mailboxes, &[&[1; 16]], &mailbox)])
            .unwrap();
        let report = check(&store).unwrap();
        assert_eq!(
            report.damage[&(KeySpace::Mailboxes, Damage::Inconsistent)],
            1
        );
        assert_eq!(
            report.damage.get(&(KeySpace::Entries, Damage::Dangling)),
            None
        );
    }

    #[test]
    fn an_account_that_is_not_its_rosters_is_told() {
        let store = MemoryStore::new();
        let account = AccountRecord::default();
        store
            .commit(vec![put(KeySpace::Accounts, &[&[1; 32]], &account)])
            .unwrap();
        let report = check(&store).unwrap();
        assert_eq!(
            report.damage[&(KeySpace::Accounts, Damage::Inconsistent)],
            1
        );
        assert_eq!(report.damaged(), 1);
    }

    #[test]
    fn holders_of_nothing_are_told() {
        let store = MemoryStore::new();
        let holders = HoldersRecord { mailboxes: 2 };
        let at = 5u64.to_be_bytes();
        store
            .commit(vec![put(KeySpace::Holders, &[&at], &holders)])
            .unwrap();
        let report = check(&store).unwrap();
        assert_eq!(report.damage[&(KeySpace::Holders, Damage::Orphaned)], 1);
        assert_eq!(report.damaged(), 1);
    }
}
