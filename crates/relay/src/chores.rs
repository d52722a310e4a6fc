//! The sweep: what the relay deletes as time passes, in one list.
//!
//! A sweep begins once a second ([`Relay::begin_sweep`]) and is done in slices
//! ([`Relay::sweep_slice`]); the server releases its lock between slices. Each chore has a
//! share of the sweep, and continues next time where it stopped.
//!
//! **Elsewhere**: each feature sweeps its own tables; [`crate::sweep`] says how a table is gone
//! through.
//!
//! **Always**: nothing is deleted because of its age while the clock is in doubt. A damaged
//! record does not stop the records behind it.

use waxwing_protocol::time::Time;

use crate::{
    directory::Directory,
    rate_limit::{Buckets, SourceBuckets},
    relay::Relay,
    store::{Store, StoreError},
    sweep::{Done, MOST, MOST_DELETED, SLICE, SLICE_MOST},
};

/// A table in memory is gone through once in so many sweeps.
const SWEEPS: usize = 15;

/// A part of the sweep.
enum Chore<S> {
    Sweep {
        /// How much it may touch in one sweep.
        share: fn(&Relay<S>, Time) -> usize,
        /// Does some of it.
        slice: fn(&mut Relay<S>, Time, usize) -> Result<Done, StoreError>,
    },
    /// Drops rate limits that are not in use.
    Rates(fn(&mut Relay<S>) -> &mut dyn RateTable),
}

impl<S> Chore<S> {
    const fn new(
        share: fn(&Relay<S>, Time) -> usize,
        slice: fn(&mut Relay<S>, Time, usize) -> Result<Done, StoreError>,
    ) -> Self {
        Self::Sweep { share, slice }
    }
}

/// The share of a table that is in memory.
fn of_memory(records: usize) -> usize {
    records.div_ceil(SWEEPS).max(SLICE)
}

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
    /// What there is to do, in this order.
    const CHORES: &[Chore<S>] = &[
        Chore::new(
            |_, _| MOST_DELETED,
            |relay, _, most| Ok(relay.mailboxes.read_again(&mut relay.context, most)),
        ),
        Chore::new(
            |relay, _| of_memory(relay.groups.posting_links()),
            |relay, now, most| Ok(relay.groups.end_idle_postings(now, most)),
        ),
        Chore::new(
            |_, _| MOST_DELETED,
            |relay, now, most| Ok(relay.registrations.codes.sweep(now, most)),
        ),
        Chore::Rates(|relay| &mut relay.directory.look_ups),
        Chore::Rates(|relay| &mut relay.context.costs.work),
        Chore::Rates(|relay| &mut relay.directory.changes),
        Chore::Rates(|relay| &mut relay.registrations.codes.by_source),
        Chore::Rates(|relay| &mut relay.registrations.codes.by_network),
        Chore::Rates(|relay| &mut relay.registrations.codes.by_address),
        Chore::Rates(|relay| &mut relay.registrations.codes.by_address_and_network),
        Chore::Rates(|relay| &mut relay.registrations.codes.texts_by_network),
        Chore::Rates(|relay| &mut relay.texts.outbound),
        Chore::Rates(|relay| &mut relay.texts.inbound),
        Chore::Rates(|relay| &mut relay.rendezvouses.made),
        Chore::Rates(|relay| &mut relay.rendezvouses.tried),
        Chore::Rates(|relay| &mut relay.backups.puts),
        Chore::Rates(|relay| &mut relay.backups.fetches),
        Chore::new(
            |_, _| MOST_DELETED,
            |relay, now, most| {
                let Self { context, .. } = relay;
                Ok(relay.rendezvouses.end_old_rendezvous(context, now, most))
            },
        ),
        Chore::new(
            |_, _| MOST_DELETED,
            |relay, now, most| {
                let Self { context, .. } = relay;
                relay.mailboxes.expire_post_ids(context, now, most)
            },
        ),
        Chore::new(
            |_, _| MOST_DELETED,
            |relay, now, most| relay.tokens.sweep_spent(&mut relay.context, now, most),
        ),
        Chore::new(
            |_, _| MOST,
            |relay, _, _| Directory::delete_revoked(&mut relay.context, &mut relay.mailboxes),
        ),
        Chore::new(
            |relay, now| relay.mailboxes.entries.share(now),
            |relay, now, most| {
                let Self { context, .. } = relay;
                relay.mailboxes.expire_entries(context, now, most)
            },
        ),
        Chore::new(
            |relay, now| relay.registrations.finished.share(now),
            |relay, now, most| {
                let Self { context, .. } = relay;
                relay.registrations.expire_registrations(context, now, most)
            },
        ),
        Chore::new(
            |relay, now| relay.backups.round.share(now),
            |relay, now, most| relay.backups.sweep_backups(&mut relay.context, now, most),
        ),
        Chore::new(
            |relay, now| relay.blobs.round.share(now),
            |relay, now, most| relay.blobs.sweep_blobs(&mut relay.context, now, most),
        ),
        Chore::new(
            |_, _| MOST,
            |relay, _, most| Ok(relay.blobs.delete_blobs(&mut relay.context, most)),
        ),
        Chore::new(
            |_, _| MOST,
            |relay, now, _| relay.registrations.find_contests(&mut relay.context, now),
        ),
        Chore::new(
            |_, _| MOST_DELETED,
            |relay, now, most| {
                let Self { context, .. } = relay;
                relay.registrations.tell_of_contests(context, now, most)
            },
        ),
        Chore::new(
            |relay, now| relay.texts.submissions.share(now),
            |relay, now, most| relay.texts.sweep_sms(&mut relay.context, now, most),
        ),
        Chore::new(
            |relay, now| relay.texts.receipts.share(now),
            |relay, now, most| {
                let Self { context, .. } = relay;
                relay.texts.sweep_sms_receipts(context, now, most)
            },
        ),
        Chore::new(
            |relay, now| relay.groups.round.share(now),
            |relay, now, most| relay.groups.sweep_groups(&mut relay.context, now, most),
        ),
        Chore::new(
            |relay, _| of_memory(relay.mailboxes.len()),
            |relay, _, most| Ok(relay.mailboxes.drop_idle_mailboxes(most)),
        ),
        Chore::new(
            |relay, _| of_memory(relay.groups.len()),
            |relay, _, most| Ok(relay.groups.drop_idle_groups(most)),
        ),
    ];

    /// Begins a sweep: to be called about once a second, and followed by
    /// [`sweep_slice`](Self::sweep_slice) until that gives `false`.
    pub fn begin_sweep(&mut self) {
        self.batches.try_again();
        let (_, features) = self.features();
        for feature in features {
            feature.sweep_begins();
        }
        self.sweep.chore = 0;
        self.sweep.left = self.share();
    }

    /// Does one slice of the sweep; gives whether there is another.
    pub fn sweep_slice(&mut self, now: Time) -> bool {
        let Some(chore) = Self::CHORES.get(self.sweep.chore) else {
            return false;
        };
        self.sweep.now = now;
        let most = self.sweep.left.min(SLICE);
        let done = match chore {
            // A store that cannot be read is met again by the next request, and answered there.
            Chore::Sweep { slice, .. } => slice(self, now, most).unwrap_or(Done::all(0)),
            Chore::Rates(table) => Done::some(table(self).sweep(now, most)),
        };
        debug_assert!(
            done.touched <= SLICE_MOST,
            "chore {} touched {} records at once",
            self.sweep.chore,
            done.touched
        );
        self.sweep.most_touched = self.sweep.most_touched.max(done.touched);
        self.sweep.left = self.sweep.left.saturating_sub(done.touched.max(1));
        // One that touched nothing has nothing to do now.
        if done.is_all || done.touched == 0 || self.sweep.left == 0 {
            self.next_chore();
        }
        self.sweep.chore < Self::CHORES.len()
    }

    /// The next one that has anything to do in this sweep.
    fn next_chore(&mut self) {
        while self.sweep.chore < Self::CHORES.len() {
            self.sweep.chore += 1;
            self.sweep.left = self.share();
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

    /// How much the chore may touch in this sweep.
    fn share(&mut self) -> usize {
        match Self::CHORES.get(self.sweep.chore) {
            Some(Chore::Sweep { share, .. }) => share(self, self.sweep.now),
            Some(Chore::Rates(table)) => of_memory(table(self).len()),
            None => 0,
        }
    }
}

/// A table of rates, with any kind of keys.
trait RateTable {
    fn sweep(&mut self, now: Time, most: usize) -> usize;
    fn len(&self) -> usize;
}

impl<K: std::hash::Hash + Eq + Clone> RateTable for Buckets<K> {
    fn sweep(&mut self, now: Time, most: usize) -> usize {
        Self::sweep(self, now, most)
    }

    fn len(&self) -> usize {
        Self::len(self)
    }
}

impl RateTable for SourceBuckets {
    fn sweep(&mut self, now: Time, most: usize) -> usize {
        Self::sweep(self, now, most)
    }

    fn len(&self) -> usize {
        Self::len(self)
    }
}
