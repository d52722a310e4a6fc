//! Sweeping a table in small slices.
//!
//! A sweep begins once a second, and each feature deletes from its own tables what has
//! expired. A table that is sorted by age is deleted from as long as something has expired.
//! Other tables are gone through in rounds, faster the larger they are, so that no table
//! outgrows its sweep.
//!
//! **Elsewhere**: [`crate::chores`] lists what is swept, in which order; the store erases
//! deleted data from the disk's files.
//!
//! **Always**: a slice touches [`SLICE`] records, and what belongs to the last of them: never
//! more than [`SLICE_MOST`].

use waxwing_protocol::time::{Span, Time};

use crate::store::Key;

/// Records that one slice touches, before it takes no other.
pub(crate) const SLICE: usize = 256;
/// What belongs to one record, at most: the parts of a backup, the posting rights of a link.
const OF_ONE: usize = 1100;
/// Records that one slice touches, at most.
pub const SLICE_MOST: usize = SLICE + OF_ONE;
/// A table on the disk is gone through once in this time, if it has many records.
const ROUND: Span = Span::hours(6);
/// It rests for this long between two rounds: a small one would be gone through every second.
const REST: Span = Span::minutes(1);
/// Of a table on the disk, so many records are looked at in one sweep, at least and at most.
const LEAST: usize = 512;
pub(crate) const MOST: usize = 64 * SLICE;
/// What is deleted in the order of its age: records in one sweep, at most.
pub(crate) const MOST_DELETED: usize = 1024 * SLICE;
/// Groups and mailboxes that may be in memory before idle ones are dropped.
pub(crate) const IN_MEMORY: usize = 4096;

/// How much of a chore was done.
pub(crate) struct Done {
    /// Records that were touched.
    pub(crate) touched: usize,
    /// Nothing is left to do in this sweep.
    pub(crate) is_all: bool,
}

impl Done {
    /// Nothing is left.
    pub(crate) const fn all(touched: usize) -> Self {
        Self {
            touched,
            is_all: true,
        }
    }

    /// There may be more.
    pub(crate) const fn some(touched: usize) -> Self {
        Self {
            touched,
            is_all: false,
        }
    }
}

/// Where a table is gone through, again and again.
#[derive(Default)]
pub(crate) struct Round {
    from: Key,
    /// Records in this round so far, and in the one before.
    seen: usize,
    before: usize,
    rests_until: Option<Time>,
}

impl Round {
    /// Where it continues.
    pub(crate) fn from(&self) -> &[u8] {
        &self.from
    }

    /// Records that are to be looked at in one sweep.
    pub(crate) fn share(&self, now: Time) -> usize {
        if self.rests_until.is_some_and(|until| now < until) {
            return 0;
        }
        let records = self.before.max(self.seen);
        let sweeps = usize::try_from(ROUND.0 / 1000).unwrap_or(usize::MAX);
        (records / sweeps).clamp(LEAST, MOST)
    }

    pub(crate) fn record_progress(&mut self, now: Time, records: usize, next: Option<Key>) -> bool {
        self.seen = self.seen.saturating_add(records);
        let is_over = next.is_none();
        self.from = next.unwrap_or_default();
        if is_over {
            self.before = std::mem::take(&mut self.seen);
            self.rests_until = Some(now.after(REST));
        }
        is_over
    }
}
