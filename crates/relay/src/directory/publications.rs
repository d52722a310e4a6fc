//! Changes on their way into the key log.
//!
//! A change of an account becomes visible once the log has it. Until then it waits here for
//! the next log epoch, and is committed together with it.
//!
//! **Elsewhere**: [`crate::address`] and [`super::changes`] decide what may change; the log
//! itself is [`super::log`].
//!
//! **Always**: everything here is in memory only, and bounded: after a crash clients repeat
//! requests that were not answered. An epoch changes each label at most once, and an account
//! has at most one change on its way. The relay answers a requester when the change is
//! written, or says that it was not.

use std::collections::{HashSet, VecDeque};

use bytes::Bytes;
use prost::Message as _;
use smallvec::SmallVec;
use waxwing_protocol::{
    address::Address,
    ids::{AccountId, DeviceId},
    limits, pb,
    pb::relay_frame::Body as Answer,
    time::Time,
};
use waxwing_transparency::proof::Entry;

use super::Directory;
use super::log::Publication;
use crate::{
    answer::{Refused, Reply},
    context::Context,
    link::{LinkId, RequestRef},
    mailbox::Mailboxes,
    store::{KeySpace, Store, Write, key, records::AddressRecord},
};

/// Changes that may wait, and that one epoch takes.
const WAITING: usize = 4096;
const PER_EPOCH: usize = 1024;
/// Accounts that had an address before which are remembered with it.
const FORMER_ACCOUNTS: usize = 8;

/// A change that waits for its epoch.
pub(crate) struct Change {
    pub(crate) address: Address,
    /// A hash of what it looks like, where it may be new here.
    pub(crate) looks: Option<[u8; 32]>,
    pub(crate) entry: Entry,
    /// What is committed with it, beside the address's own record.
    pub(crate) writes: Vec<Write>,
    /// Devices that it revokes.
    pub(crate) revoked: Vec<DeviceId>,
    /// Whether the account has no device afterwards: it is deleted.
    pub(crate) closes: bool,
    /// What tells a repeated request from another one.
    pub(crate) cause: Cause,
    pub(crate) asked: SmallVec<[RequestRef; 1]>,
    pub(crate) answer: Answer,
    /// Whose the address was, where it becomes another's.
    pub(crate) former: Option<AccountId>,
}

/// Why the log changes.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Cause {
    /// An address was proved.
    Registered(Bytes),
    /// A statement, by its hash.
    Statement([u8; 32]),
    /// The registration was locked or unlocked.
    Locked(bool),
}

/// All of them.
#[derive(Default)]
pub(crate) struct Publications {
    waiting: VecDeque<Change>,
    writing: Option<Vec<Change>>,
    /// When the last epoch was taken.
    taken_at: Time,
}

impl Publications {
    fn all(&self) -> impl Iterator<Item = &Change> {
        self.writing.iter().flatten().chain(&self.waiting)
    }

    fn all_mut(&mut self) -> impl Iterator<Item = &mut Change> {
        self.writing.iter_mut().flatten().chain(&mut self.waiting)
    }

    /// Whether something of this account is under way.
    pub(crate) fn changes_account(&self, account: AccountId) -> bool {
        self.all().any(|change| change.entry.account == account)
    }

    /// Whether this very change is under way.
    pub(crate) fn has(&self, account: AccountId, address: &Address, cause: &Cause) -> bool {
        self.all().any(|change| {
            change.entry.account == account
                && change.address.canonical() == address.canonical()
                && change.cause == *cause
        })
    }

    /// Whether another address that looks so is under way.
    pub(crate) fn imitates_one(&self, address: &Address, looks: [u8; 32]) -> bool {
        self.all()
            .any(|change| change.looks == Some(looks) && change.address != *address)
    }

    /// The causes of the registrations that wait and that `which` (of an address, by an
    /// account) names; `None` where one of them is being written.
    pub(crate) fn withdrawable(
        &self,
        which: impl Fn(&Address, AccountId) -> bool,
    ) -> Option<Vec<Cause>> {
        let is_one = |change: &&Change| {
            matches!(change.cause, Cause::Registered(_))
                && which(&change.address, change.entry.account)
        };
        if self.writing.iter().flatten().any(|change| is_one(&change)) {
            return None;
        }
        let waiting = self.waiting.iter().filter(is_one);
        Some(waiting.map(|change| change.cause.clone()).collect())
    }

    /// Takes changes back that wait with these causes; gives who asked for them.
    pub(crate) fn withdraw(&mut self, causes: &[Cause]) -> Vec<RequestRef> {
        let (withdrawn, kept) = std::mem::take(&mut self.waiting)
            .into_iter()
            .partition::<VecDeque<_>, _>(|change| causes.contains(&change.cause));
        self.waiting = kept;
        withdrawn
            .into_iter()
            .flat_map(|change| change.asked)
            .collect()
    }

    /// Whether the address is about to be another account's, and locked.
    pub(crate) fn locks_for_another(&self, address: &Address, account: AccountId) -> bool {
        self.all().any(|change| {
            change.entry.locked
                && change.entry.account != account
                && change.address.canonical() == address.canonical()
        })
    }

    /// Whether something of this address is under way.
    pub(crate) fn changes_address(&self, address: &Address) -> bool {
        self.all()
            .any(|change| change.address.canonical() == address.canonical())
    }
}

impl Directory {
    /// When [`take_publication`](Self::take_publication) is to be called next: the past,
    /// where it is at once. `None` while one is being written, or when there is nothing.
    pub(crate) fn next_publication(
        &self,
        context: &Context<impl Store>,
        now: Time,
    ) -> Option<Time> {
        let publications = &self.publications;
        // What is signed has a date, and cannot be taken back.
        if context.calendar.is_in_doubt() {
            return None;
        }
        if publications.writing.is_some() || publications.waiting.is_empty() {
            return None;
        }
        let due = publications.taken_at.after(limits::EPOCH_SPACING);
        // A clock that was set back makes nobody wait.
        let is_back = publications.taken_at > now;
        let is_first = publications.taken_at == Time(0);
        Some(if is_back || is_first { Time(0) } else { due })
    }

    /// Takes what the next log epoch is to have, to be published off the lock. `None`
    /// while another is being written, or when none is due.
    pub(crate) fn take_publication(
        &mut self,
        context: &mut Context<impl Store>,
        now: Time,
    ) -> Option<Publication> {
        if self
            .next_publication(context, now)
            .is_none_or(|at| at > now)
        {
            return None;
        }
        let mut labels = HashSet::new();
        let mut taken: Vec<Change> = Vec::new();
        let mut publication = Publication::default();
        for mut change in std::mem::take(&mut self.publications.waiting) {
            let is_first = labels.insert(change.address.canonical().to_owned());
            if !is_first || taken.len() >= PER_EPOCH {
                self.publications.waiting.push_back(change);
                continue;
            }
            let Ok(write) = self.address_write(context, &mut change) else {
                Self::not_published(context, change);
                continue;
            };
            publication.writes.push(write);
            publication.writes.append(&mut change.writes);
            publication
                .changes
                .push((change.address.clone(), change.entry.clone()));
            taken.push(change);
        }
        if taken.is_empty() {
            return None;
        }
        self.publications.taken_at = now;
        self.publications.writing = Some(taken);
        Some(publication)
    }

    /// The address's record as it will be, made from the one there is: no other change of
    /// it is under way now.
    fn address_write(
        &self,
        context: &Context<impl Store>,
        change: &mut Change,
    ) -> Result<Write, Refused> {
        let at = self.address_key(&change.address);
        let before: Option<AddressRecord> = context.view.get(KeySpace::Addresses, &at)?;
        let entry = &change.entry;
        let account_id = entry.account.to_bytes();
        let mut former_accounts = Vec::new();
        if let Some(before) = before {
            former_accounts = before.former_accounts;
            if before.account_id != account_id {
                change.former = AccountId::try_from(&before.account_id).ok();
                former_accounts.push(before.account_id);
            }
            former_accounts.retain(|former| *former != account_id);
            let many = former_accounts.len().saturating_sub(FORMER_ACCOUNTS);
            former_accounts.drain(..many);
        }
        let record = AddressRecord {
            account_id,
            verified_at_ms: entry.verified_at.0,
            verified_by: entry.verified_by.into(),
            locked: entry.locked,
            roster_length: entry.roster_length,
            former_accounts,
        };
        Ok(Write {
            space: KeySpace::Addresses,
            key: key(&[&at]),
            value: Some(record.encode_to_vec().into()),
        })
    }

    /// The publication that was taken is in the log and on disk. Gives the accounts that were
    /// deleted by it.
    pub(crate) fn publication_written(
        &mut self,
        context: &mut Context<impl Store>,
        mailboxes: &mut Mailboxes,
    ) -> Vec<AccountId> {
        let mut closed = Vec::new();
        let Some(changes) = self.publications.writing.take() else {
            return closed;
        };
        let mut accounts = HashSet::new();
        for change in changes {
            for asked in change.asked {
                context.send(asked.link, asked.request, change.answer.clone());
            }
            if matches!(change.cause, Cause::Registered(_)) {
                context.counts.registrations += 1;
            }
            context.counts.changes += 1;
            for device in change.revoked {
                Self::device_revoked(context, mailboxes, device);
            }
            if change.closes {
                closed.push(change.entry.account);
            }
            accounts.insert(change.entry.account);
            accounts.extend(change.former);
        }
        Self::tell_accounts(context, &accounts);
        closed
    }

    /// The publication that was taken could not be written: nothing of it happened.
    pub(crate) fn publication_failed(&mut self, context: &mut Context<impl Store>) {
        let Some(changes) = self.publications.writing.take() else {
            return;
        };
        context.counts.failed_publications += 1;
        for change in changes {
            Self::not_published(context, change);
        }
    }

    fn not_published(context: &mut Context<impl Store>, change: Change) {
        for asked in change.asked {
            let refused = Refused::unavailable();
            context.send(asked.link, asked.request, Answer::Error(refused.0));
        }
    }

    /// Adds who asks to those who wait for the same change, if it is under way.
    pub(crate) fn asked_again(
        &mut self,
        account: AccountId,
        address: &Address,
        cause: &Cause,
        asked: RequestRef,
    ) -> bool {
        let mut all = self.publications.all_mut();
        let same = all.find(|change| {
            change.entry.account == account
                && change.address.canonical() == address.canonical()
                && change.cause == *cause
        });
        if let Some(change) = same {
            change.asked.push(asked);
            return true;
        }
        false
    }

    /// Lets a change wait for its epoch; it is answered then.
    pub(crate) fn publish(
        &mut self,
        context: &Context<impl Store>,
        change: Change,
    ) -> Result<Reply, Refused> {
        if self.publications.waiting.len() >= WAITING || context.calendar.is_in_doubt() {
            return Err(Refused::unavailable());
        }
        self.publications.waiting.push_back(change);
        Ok(Reply::Later)
    }

    /// Tells the devices of these accounts that are there to fetch the history.
    fn tell_accounts(context: &mut Context<impl Store>, accounts: &HashSet<AccountId>) {
        let accounts = accounts.iter();
        let mut links: Vec<LinkId> = accounts
            .flat_map(|one| context.links.of_account(*one))
            .collect();
        // In an order that does not change from run to run.
        links.sort_unstable();
        for link in links {
            context.send(link, 0, Answer::AccountChanged(pb::AccountChanged {}));
        }
    }
}
