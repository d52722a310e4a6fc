//! Verifies what is in a store: every record decodes, and what refers to something
//! else finds it.
//!
//! **Elsewhere**: a directory that cannot even be opened is reported by
//! [`super::embedded::EmbeddedStore::open`]; `waxwing-relay check` prints both.
//!
//! **Always**: nothing is changed, nothing is written to, and damage is counted, not
//! panicked about. Findings name key spaces, never what is in them.

use std::collections::{BTreeMap, HashMap};

use bytes::Bytes;
use prost::Message;

use super::records::{
    AccountRecord, AddressRecord, DeviceRecord, EntryRecord, GroupRecord, GroupSequenceRecord,
    HoldersRecord, MailboxRecord, PostRecord, PostedRecord, RegistrationRecord, TokenBudgetRecord,
};
use super::{Key, KeySpace, Store, StoreError, key};

/// Records that are read at a time.
const PAGE: usize = 1_000;

/// What a check found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
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

impl Report {
    /// How many records are damaged, in all.
    pub fn damaged(&self) -> u64 {
        self.damage.values().sum()
    }

    fn note(&mut self, space: KeySpace, damage: Damage) {
        *self.damage.entry((space, damage)).or_default() += 1;
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
pub fn check(store: &impl Store) -> Result<Report, StoreError> {
    let mut report = Report::default();
    let mut holders: HashMap<u64, u32> = HashMap::new();
    let mut numbers: HashMap<Bytes, u64> = HashMap::new();
    for space in KeySpace::ALL {
        if matches!(space, KeySpace::Posts | KeySpace::Mailboxes) {
            continue;
        }
        each(store, space, &mut report, |report, at, value| {
            if !is_well_formed(space, at, value) {
                report.note(space, Damage::Malformed);
                return Ok(());
            }
            if let Some(damage) = refers_wrongly(store, space, value)? {
                report.note(space, damage);
            }
            if space == KeySpace::Entries
                && let Ok(entry) = EntryRecord::decode(value.clone())
                && let Some((mailbox, sequence)) = at.split_last_chunk::<8>()
            {
                *holders.entry(entry.post).or_default() += 1;
                let mailbox = at.slice_ref(mailbox);
                numbers.insert(mailbox, u64::from_be_bytes(*sequence));
            }
            Ok(())
        })?;
    }
    check_mailboxes(store, &mut report, &numbers)?;
    check_posts(store, &mut report, &holders)?;
    Ok(report)
}

/// Visits every record of a key space.
fn each(
    store: &impl Store,
    space: KeySpace,
    report: &mut Report,
    mut visit: impl FnMut(&mut Report, &Bytes, &Bytes) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let mut from = Key::new();
    loop {
        let page = match store.scan(space, &from, None, PAGE) {
            Ok(page) => page,
            Err(StoreError::Damaged(_)) => {
                report.note(space, Damage::Unreadable);
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        let Some((last, _)) = page.last() else {
            return Ok(());
        };
        // The key behind the last one.
        from = key(&[last, &[0]]);
        for (at, value) in &page {
            report.records += 1;
            visit(report, at, value)?;
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
    }
}

/// Whether a record refers to another that is not there.
fn refers_wrongly(
    store: &impl Store,
    space: KeySpace,
    value: &Bytes,
) -> Result<Option<Damage>, StoreError> {
    let targets: Vec<(KeySpace, Bytes)> = match space {
        KeySpace::Addresses => AddressRecord::decode(value.clone())
            .map(|record| vec![(KeySpace::Accounts, record.account_id)])
            .unwrap_or_default(),
        KeySpace::Devices => DeviceRecord::decode(value.clone())
            .map(|record| {
                vec![
                    (KeySpace::Accounts, record.account_id),
                    (KeySpace::Mailboxes, record.mailbox_id),
                ]
            })
            .unwrap_or_default(),
        _ => Vec::new(),
    };
    for (space, at) in targets {
        if store.get(space, &at)?.is_none() {
            return Ok(Some(Damage::Dangling));
        }
    }
    Ok(None)
}

/// No mailbox holds a number that it has not reserved.
fn check_mailboxes(
    store: &impl Store,
    report: &mut Report,
    last_numbers: &HashMap<Bytes, u64>,
) -> Result<(), StoreError> {
    let mut mailboxes = 0;
    each(store, KeySpace::Mailboxes, report, |report, at, value| {
        let record = MailboxRecord::decode(value.clone())
            .ok()
            .filter(|_| at.len() == 16);
        let Some(record) = record else {
            report.note(KeySpace::Mailboxes, Damage::Malformed);
            return Ok(());
        };
        let last = last_numbers.get(at).copied();
        mailboxes += u64::from(last.is_some());
        if last.is_some_and(|last| last >= record.reserved) {
            report.note(KeySpace::Mailboxes, Damage::Inconsistent);
        }
        Ok(())
    })?;
    for _ in mailboxes..last_numbers.len() as u64 {
        report.note(KeySpace::Entries, Damage::Dangling);
    }
    Ok(())
}

/// Every post is read, and is held by as many mailboxes as it should be.
fn check_posts(
    store: &impl Store,
    report: &mut Report,
    holders: &HashMap<u64, u32>,
) -> Result<(), StoreError> {
    let mut found = 0;
    for (number, entries) in holders {
        let at = number.to_be_bytes();
        match store.get(KeySpace::Posts, &at) {
            Ok(Some(post)) => {
                found += 1;
                report.records += 1;
                if !is_well_formed(KeySpace::Posts, &at, &post) {
                    report.note(KeySpace::Posts, Damage::Malformed);
                }
            }
            Ok(None) => report.note(KeySpace::Entries, Damage::Dangling),
            Err(StoreError::Damaged(_)) => {
                found += 1;
                report.note(KeySpace::Posts, Damage::Unreadable);
            }
            Err(error) => return Err(error),
        }
        let counted = store
            .get(KeySpace::Holders, &at)?
            .and_then(|value| HoldersRecord::decode(value).ok());
        if counted.is_some_and(|counted| counted.mailboxes != *entries)
            || (counted.is_none() && *entries > 1)
        {
            report.note(KeySpace::Holders, Damage::Inconsistent);
        }
    }
    let posts = store.count(KeySpace::Posts)?;
    for _ in found..posts {
        report.note(KeySpace::Posts, Damage::Orphaned);
    }
    Ok(())
}
