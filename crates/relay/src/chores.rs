//! Deletes what has expired: posts that waited too long, post ids, and things in memory that
//! nobody uses.
//!
//! A sweep begins once a second ([`Relay::begin_sweep`]) and is done in slices
//! ([`Relay::sweep_slice`]); the server releases its lock between slices. Each chore has a
//! share of the sweep, and continues next time where it stopped. A table that is sorted by age
//! is deleted from as long as something has expired. Other tables are gone through in rounds,
//! faster the larger they are, so that no table outgrows its sweep.
//!
//! **Elsewhere**: what a chore does is in the folder named after its subject; the store erases
//! deleted data from the disk's files.
//!
//! **Always**: a slice touches [`SLICE`] records, and what belongs to the last of them: never
//! more than [`SLICE_MOST`]. Nothing is deleted because of its age while the clock is in
//! doubt. A damaged record does not stop the records behind it.

use waxwing_protocol::{ids::MailboxId, limits, time::Time};

use crate::{
    posts::POST_ID_DAYS,
    rate_limit::{Buckets, SourceBuckets},
    relay::Relay,
    store::{
        Key, KeySpace, Record, Store, StoreError, key,
        records::{EntryRecord, RegistrationRecord},
    },
    sweep::{Done, MOST, MOST_DELETED, Round, SLICE, SLICE_MOST},
};

/// A table in memory is gone through once in so many sweeps.
const SWEEPS: usize = 15;
/// Groups and mailboxes that may be in memory before idle ones are dropped.
const IN_MEMORY: usize = 4096;
/// Of idle groups, only those stay whose sealed lists have so few bytes.
const SMALL: usize = 16 << 10;

/// Groups that are looked at in one slice: their records are large.
const GROUPS: usize = 16;

/// What there is to do, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Chore {
    Again,
    Postings,
    PendingRegistrations,
    Rates(usize),
    Rendezvous,
    PostIds,
    SpentTokens,
    Revoked,
    Entries,
    Registrations,
    Backups,
    Blobs,
    BlobParts,
    NewContests,
    Contests,
    SmsSubmissions,
    SmsReceipts,
    Groups,
    Mailboxes,
    IdleGroups,
}

static CHORES: [Chore; 33] = [
    Chore::Again,
    Chore::Postings,
    Chore::PendingRegistrations,
    Chore::Rates(0),
    Chore::Rates(1),
    Chore::Rates(2),
    Chore::Rates(3),
    Chore::Rates(4),
    Chore::Rates(5),
    Chore::Rates(6),
    Chore::Rates(7),
    Chore::Rates(8),
    Chore::Rates(9),
    Chore::Rates(10),
    Chore::Rates(11),
    Chore::Rates(12),
    Chore::Rates(13),
    Chore::Rendezvous,
    Chore::PostIds,
    Chore::SpentTokens,
    Chore::Revoked,
    Chore::Entries,
    Chore::Registrations,
    Chore::Backups,
    Chore::Blobs,
    Chore::BlobParts,
    Chore::NewContests,
    Chore::Contests,
    Chore::SmsSubmissions,
    Chore::SmsReceipts,
    Chore::Groups,
    Chore::Mailboxes,
    Chore::IdleGroups,
];

/// How far the sweep has come.
#[derive(Default)]
pub(crate) struct Sweep {
    chore: usize,
    /// What the chore may still touch in this sweep.
    left: usize,
    now: Time,
    entries: Round,
    registrations: Round,
    pub(crate) backups: Round,
    pub(crate) blobs: Round,
    pub(crate) sms: Round,
    pub(crate) sms_receipts: Round,
    pub(crate) groups: Round,
    post_ids_from: Key,
    /// The most records that a slice has touched; for tests.
    most_touched: usize,
}

impl<S: Store> Relay<S> {
    /// Begins a sweep: to be called about once a second, and followed by
    /// [`sweep_slice`](Self::sweep_slice) until that gives `false`.
    pub fn begin_sweep(&mut self) {
        self.batches.try_again();
        self.begin_again();
        self.sweep.chore = 0;
        self.sweep.left = self.share(CHORES.first().copied());
        self.sweep.post_ids_from.clear();
    }

    /// Does one slice of the sweep; gives whether there is another.
    pub fn sweep_slice(&mut self, now: Time) -> bool {
        let Some(chore) = CHORES.get(self.sweep.chore).copied() else {
            return false;
        };
        self.sweep.now = now;
        let most = self.sweep.left.min(SLICE);
        // A store that cannot be read is met again by the next request, and answered there.
        let done = self.do_some(chore, now, most).unwrap_or(Done::all(0));
        debug_assert!(
            done.touched <= SLICE_MOST,
            "{chore:?} touched {} records at once",
            done.touched
        );
        self.sweep.most_touched = self.sweep.most_touched.max(done.touched);
        self.sweep.left = self.sweep.left.saturating_sub(done.touched.max(1));
        // One that touched nothing has nothing to do now.
        if done.is_all || done.touched == 0 || self.sweep.left == 0 {
            self.next_chore();
        }
        self.sweep.chore < CHORES.len()
    }

    /// The next one that has anything to do in this sweep.
    fn next_chore(&mut self) {
        while self.sweep.chore < CHORES.len() {
            self.sweep.chore += 1;
            self.sweep.left = self.share(CHORES.get(self.sweep.chore).copied());
            if self.sweep.left > 0 {
                break;
            }
        }
    }

    /// The most records that a slice of a sweep has touched since the start; never more
    /// than [`SLICE_MOST`].
    pub const fn most_touched_in_a_slice(&self) -> usize {
        self.sweep.most_touched
    }

    /// What a chore may touch in one sweep.
    fn share(&mut self, chore: Option<Chore>) -> usize {
        let of_memory = |records: usize| records.div_ceil(SWEEPS).max(SLICE);
        let now = self.sweep.now;
        match chore {
            None => 0,
            Some(Chore::Postings) => of_memory(self.posting_links.len()),
            Some(Chore::Rates(table)) => self
                .rate_table(table)
                .map_or(0, |table| of_memory(table.len())),
            Some(Chore::Mailboxes) => of_memory(self.mailboxes_in_memory.len()),
            Some(Chore::IdleGroups) => of_memory(self.groups_in_memory.len()),
            Some(Chore::Entries) => self.sweep.entries.share(now),
            Some(Chore::Registrations) => self.sweep.registrations.share(now),
            Some(Chore::Backups) => self.sweep.backups.share(now),
            Some(Chore::Blobs) => self.sweep.blobs.share(now),
            Some(Chore::SmsSubmissions) => self.sweep.sms.share(now),
            Some(Chore::SmsReceipts) => self.sweep.sms_receipts.share(now),
            Some(Chore::Groups) => self.sweep.groups.share(now),
            Some(Chore::NewContests | Chore::Revoked | Chore::BlobParts) => MOST,
            Some(
                Chore::Again
                | Chore::PendingRegistrations
                | Chore::Rendezvous
                | Chore::PostIds
                | Chore::SpentTokens
                | Chore::Contests,
            ) => MOST_DELETED,
        }
    }

    fn do_some(&mut self, chore: Chore, now: Time, most: usize) -> Result<Done, StoreError> {
        match chore {
            Chore::Again => Ok(self.read_again(most)),
            Chore::Postings => Ok(self.end_idle_postings(now, most)),
            Chore::PendingRegistrations => Ok(self.codes.sweep(now, most)),
            Chore::Rates(table) => Ok(self
                .rate_table(table)
                .map_or(Done::all(0), |table| Done::some(table.sweep(now, most)))),
            Chore::Rendezvous => {
                Ok(self
                    .rendezvouses
                    .end_old_rendezvous(&mut self.context, now, most))
            }
            Chore::PostIds => self.expire_post_ids(now, most),
            Chore::SpentTokens => self.sweep_spent_tokens(now, most),
            Chore::Revoked => self.delete_revoked(),
            Chore::Entries => self.expire_entries(now, most),
            Chore::Registrations => self.expire_registrations(now, most),
            Chore::Backups => self.sweep_backups(now, most),
            Chore::Blobs => self.sweep_blobs(now, most),
            Chore::BlobParts => Ok(self.delete_blobs(most)),
            Chore::NewContests => self.find_contests(now),
            Chore::Contests => self.tell_of_contests(now, most),
            Chore::SmsSubmissions => self.sweep_sms(now, most),
            Chore::SmsReceipts => self.sweep_sms_receipts(now, most),
            Chore::Groups => self.sweep_groups(now, most.min(GROUPS)),
            Chore::Mailboxes => Ok(self.drop_idle_mailboxes(most)),
            Chore::IdleGroups => Ok(self.drop_idle_groups(most)),
        }
    }

    /// The tables of what somebody may do how often.
    fn rate_table(&mut self, number: usize) -> Option<&mut dyn Swept> {
        let tables: [&mut dyn Swept; 14] = [
            &mut self.look_ups,
            &mut self.context.costs.work,
            &mut self.changes,
            &mut self.codes.by_source,
            &mut self.codes.by_network,
            &mut self.codes.by_address,
            &mut self.codes.by_address_and_network,
            &mut self.codes.texts_by_network,
            &mut self.texts.outbound,
            &mut self.texts.inbound,
            &mut self.rendezvouses.made,
            &mut self.rendezvouses.tried,
            &mut self.backups.puts,
            &mut self.backups.fetches,
        ];
        tables.into_iter().nth(number)
    }

    /// The next records of a round.
    pub(crate) fn next_of_round(
        &mut self,
        space: KeySpace,
        round: fn(&mut Sweep) -> &mut Round,
        most: usize,
    ) -> Result<(Vec<Record>, Done), StoreError> {
        let now = self.sweep.now;
        self.context
            .next_of_round(space, round(&mut self.sweep), now, most)
    }

    fn expire_entries(&mut self, now: Time, most: usize) -> Result<Done, StoreError> {
        let date = self.context.expiry_date(now);
        let (records, done) =
            self.next_of_round(KeySpace::Entries, |sweep| &mut sweep.entries, most)?;
        for (at, value) in records {
            let entry: Option<EntryRecord> = self.context.view.sound(KeySpace::Entries, &at, value);
            let Some(entry) = entry else { continue };
            if date.since(Time(entry.received_at_ms)) < limits::MAILBOX_RETENTION {
                continue;
            }
            let Some((mailbox, sequence)) = entry_key(&at) else {
                continue;
            };
            if self
                .delete_entry(mailbox, sequence, entry.post, entry.shared)
                .is_ok()
            {
                self.entry_expired(mailbox, &entry);
                self.context.counts.expired += 1;
            }
        }
        Ok(done)
    }

    /// They are in the order of their days: for as long as the first is old, it goes.
    fn expire_post_ids(&mut self, now: Time, most: usize) -> Result<Done, StoreError> {
        let first_kept =
            (self.context.expiry_date(now).0 / 86_400_000).saturating_sub(POST_ID_DAYS);
        let first_kept = first_kept.to_be_bytes();
        let from = self.sweep.post_ids_from.clone();
        let (records, next) = self
            .context
            .view
            .sound_slice(KeySpace::PostIds, &from, most)?;
        // It goes on behind some that cannot be read.
        let touched = records.len().max(usize::from(next.is_some()));
        for (at, _) in records {
            if at.as_ref() >= first_kept.as_slice() {
                return Ok(Done::all(touched));
            }
            self.context.view.delete(KeySpace::PostIds, key(&[&at]));
        }
        let Some(next) = next else {
            return Ok(Done::all(touched));
        };
        self.sweep.post_ids_from = next;
        Ok(Done::some(touched))
    }

    fn expire_registrations(&mut self, now: Time, most: usize) -> Result<Done, StoreError> {
        let date = self.context.expiry_date(now);
        let (records, done) = self.next_of_round(
            KeySpace::Registrations,
            |sweep| &mut sweep.registrations,
            most,
        )?;
        for (at, value) in records {
            let space = KeySpace::Registrations;
            let record: Option<RegistrationRecord> = self.context.view.sound(space, &at, value);
            if record.is_some_and(|record| record.expires_at_ms <= date.0) {
                self.context
                    .view
                    .delete(KeySpace::Registrations, key(&[&at]));
            }
        }
        Ok(done)
    }

    /// Drops some of the idle mailboxes, where too many are in memory.
    fn drop_idle_mailboxes(&mut self, most: usize) -> Done {
        let looked_at = most.min(self.mailboxes_in_memory.len());
        for touched in 0..looked_at {
            if self.mailboxes.len() <= IN_MEMORY {
                return Done::all(touched);
            }
            let Some(id) = self.mailboxes_in_memory.pop_front() else {
                break;
            };
            match self.mailboxes.get(&id) {
                Some(mailbox) if mailbox.is_idle() => {
                    self.mailboxes.remove(&id);
                }
                Some(_) => self.mailboxes_in_memory.push_back(id),
                None => {}
            }
        }
        Done::some(looked_at)
    }

    /// The same of groups.
    fn drop_idle_groups(&mut self, most: usize) -> Done {
        let looked_at = most.min(self.groups_in_memory.len());
        for _ in 0..looked_at {
            let few = self.groups.len() <= IN_MEMORY;
            let Some(id) = self.groups_in_memory.pop_front() else {
                break;
            };
            match self.groups.get(&id) {
                Some(group) if group.is_idle() && !(few && group.sealed_bytes() <= SMALL) => {
                    self.groups.remove(&id);
                }
                Some(_) => self.groups_in_memory.push_back(id),
                None => {}
            }
        }
        Done::some(looked_at)
    }
}

/// A table of rates, with any kind of keys.
trait Swept {
    fn sweep(&mut self, now: Time, most: usize) -> usize;
    fn len(&self) -> usize;
}

impl<K: std::hash::Hash + Eq + Clone> Swept for Buckets<K> {
    fn sweep(&mut self, now: Time, most: usize) -> usize {
        Self::sweep(self, now, most)
    }

    fn len(&self) -> usize {
        Self::len(self)
    }
}

impl Swept for SourceBuckets {
    fn sweep(&mut self, now: Time, most: usize) -> usize {
        Self::sweep(self, now, most)
    }

    fn len(&self) -> usize {
        Self::len(self)
    }
}

fn entry_key(at: &[u8]) -> Option<(MailboxId, u64)> {
    let (mailbox, sequence) = at.split_first_chunk::<16>()?;
    Some((
        MailboxId(*mailbox),
        u64::from_be_bytes(sequence.try_into().ok()?),
    ))
}
