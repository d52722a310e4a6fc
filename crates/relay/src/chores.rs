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

use waxwing_protocol::time::Time;

use crate::{
    directory::Directory,
    rate_limit::{Buckets, SourceBuckets},
    relay::Relay,
    store::{KeySpace, Record, Store, StoreError},
    sweep::{Done, MOST, MOST_DELETED, Round, SLICE, SLICE_MOST},
};

/// A table in memory is gone through once in so many sweeps.
const SWEEPS: usize = 15;

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
    /// The most records that a slice has touched; for tests.
    most_touched: usize,
}

impl<S: Store> Relay<S> {
    /// Begins a sweep: to be called about once a second, and followed by
    /// [`sweep_slice`](Self::sweep_slice) until that gives `false`.
    pub fn begin_sweep(&mut self) {
        self.batches.try_again();
        let (_, features) = self.features();
        for feature in features {
            feature.sweep_begins();
        }
        self.sweep.chore = 0;
        self.sweep.left = self.share(CHORES.first().copied());
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
            Some(Chore::Postings) => of_memory(self.groups.posting_links()),
            Some(Chore::Rates(table)) => self
                .rate_table(table)
                .map_or(0, |table| of_memory(table.len())),
            Some(Chore::Mailboxes) => of_memory(self.mailboxes.len()),
            Some(Chore::IdleGroups) => of_memory(self.groups.len()),
            Some(Chore::Entries) => self.mailboxes.entries.share(now),
            Some(Chore::Registrations) => self.registrations.finished.share(now),
            Some(Chore::Backups) => self.backups.round.share(now),
            Some(Chore::Blobs) => self.blobs.round.share(now),
            Some(Chore::SmsSubmissions) => self.texts.submissions.share(now),
            Some(Chore::SmsReceipts) => self.texts.receipts.share(now),
            Some(Chore::Groups) => self.groups.round.share(now),
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
            Chore::Again => Ok(self.mailboxes.read_again(&mut self.context, most)),
            Chore::Postings => Ok(self.groups.end_idle_postings(now, most)),
            Chore::PendingRegistrations => Ok(self.registrations.codes.sweep(now, most)),
            Chore::Rates(table) => Ok(self
                .rate_table(table)
                .map_or(Done::all(0), |table| Done::some(table.sweep(now, most)))),
            Chore::Rendezvous => {
                Ok(self
                    .rendezvouses
                    .end_old_rendezvous(&mut self.context, now, most))
            }
            Chore::PostIds => self.mailboxes.expire_post_ids(&mut self.context, now, most),
            Chore::SpentTokens => self.tokens.sweep_spent(&mut self.context, now, most),
            Chore::Revoked => Directory::delete_revoked(&mut self.context, &mut self.mailboxes),
            Chore::Entries => self.mailboxes.expire_entries(&mut self.context, now, most),
            Chore::Registrations => {
                self.registrations
                    .expire_registrations(&mut self.context, now, most)
            }
            Chore::Backups => self.backups.sweep_backups(&mut self.context, now, most),
            Chore::Blobs => self.blobs.sweep_blobs(&mut self.context, now, most),
            Chore::BlobParts => Ok(self.blobs.delete_blobs(&mut self.context, most)),
            Chore::NewContests => self.registrations.find_contests(&mut self.context, now),
            Chore::Contests => self
                .registrations
                .tell_of_contests(&mut self.context, now, most),
            Chore::SmsSubmissions => self.texts.sweep_sms(&mut self.context, now, most),
            Chore::SmsReceipts => self.texts.sweep_sms_receipts(&mut self.context, now, most),
            Chore::Groups => self.groups.sweep_groups(&mut self.context, now, most),
            Chore::Mailboxes => Ok(self.mailboxes.drop_idle_mailboxes(most)),
            Chore::IdleGroups => Ok(self.groups.drop_idle_groups(most)),
        }
    }

    /// The tables of what somebody may do how often.
    fn rate_table(&mut self, number: usize) -> Option<&mut dyn Swept> {
        let tables: [&mut dyn Swept; 14] = [
            &mut self.directory.look_ups,
            &mut self.context.costs.work,
            &mut self.directory.changes,
            &mut self.registrations.codes.by_source,
            &mut self.registrations.codes.by_network,
            &mut self.registrations.codes.by_address,
            &mut self.registrations.codes.by_address_and_network,
            &mut self.registrations.codes.texts_by_network,
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
