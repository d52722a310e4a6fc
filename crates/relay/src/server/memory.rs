//! One memory budget for what links have queued and partly received.
//!
//! A link's first [`FREE`] bytes are its own. What it holds beyond them counts against the
//! budget, of which links that are not logged in may hold half, and answers over HTTP an
//! eighth. When there is no room, the link that has held bytes for longest is cut: a client
//! that asks but does not read, long before one that is reading its answers.
//!
//! **Elsewhere**: [`super::send_queue`] limits the queue of one link; the worst case for all
//! links is a formula in `docs/operations.md`.
//!
//! **Always**: all links together hold at most the budget and [`FREE`] bytes each. The bytes
//! of a link that holds few cost no lock and no shared counter.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::time::Instant;

use super::send_queue::SendQueue;

/// Bytes that every link may hold, however short memory is.
pub(super) const FREE: usize = 4 << 10;
/// The part of the budget that answers over HTTP may hold: one in so many.
const HTTP_PART: usize = 8;

/// What a link has shown of whose it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum LinkRank {
    /// Nothing: anybody's.
    #[default]
    Nameless,
    /// It may post to a group, for which somebody has spent a token.
    Posting,
    /// A device logged in.
    LoggedIn,
}

/// The budget, and who holds how much of it.
pub(super) struct Memory {
    most: usize,
    used: AtomicUsize,
    /// Of that, by links that are not logged in, and by answers over HTTP.
    nameless: AtomicUsize,
    http: AtomicUsize,
    /// Links that hold more than [`FREE`] bytes, in the order since when.
    holders: Mutex<MemoryHolders>,
    started: Instant,
    pub(super) cuts: Cuts,
}

/// Links that were ended for what they cost others.
#[derive(Default)]
pub(super) struct Cuts {
    /// They took nothing of what waited for them, or too much waited.
    pub(super) slow: AtomicU64,
    /// Others needed the memory.
    pub(super) memory: AtomicU64,
}

#[derive(Default)]
struct MemoryHolders {
    nameless: BTreeMap<Holder, Weak<SendQueue>>,
    logged_in: BTreeMap<Holder, Weak<SendQueue>>,
}

/// Since when a link holds bytes, in milliseconds, and its number.
type Holder = (u64, u64);

/// Bytes of an answer over HTTP; given back when it is dropped.
struct HeldBytes {
    memory: Arc<Memory>,
    body: Bytes,
}

impl Memory {
    pub(super) fn new(most: usize) -> Arc<Self> {
        Arc::new(Self {
            most,
            used: AtomicUsize::new(0),
            nameless: AtomicUsize::new(0),
            http: AtomicUsize::new(0),
            holders: Mutex::default(),
            started: Instant::now(),
            cuts: Cuts::default(),
        })
    }

    /// Milliseconds since the start, by a clock that nobody sets.
    pub(super) fn now_ms(&self) -> u64 {
        // A link that has never held anything has 0.
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX - 1) + 1
    }

    /// Bytes that are held now.
    pub(super) fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    /// Takes bytes for a link, where there is room.
    pub(super) fn take(&self, rank: LinkRank, bytes: usize) -> bool {
        let pool = (rank < LinkRank::LoggedIn).then_some((&self.nameless, self.most / 2));
        if let Some((used, most)) = pool
            && !add(used, bytes, most)
        {
            return false;
        }
        let fits = add(&self.used, bytes, self.most);
        if !fits && let Some((used, _)) = pool {
            used.fetch_sub(bytes, Ordering::Relaxed);
        }
        fits
    }

    pub(super) fn give_back(&self, rank: LinkRank, bytes: usize) {
        if rank < LinkRank::LoggedIn {
            self.nameless.fetch_sub(bytes, Ordering::Relaxed);
        }
        self.used.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// What a link holds counts for another kind of link from now on.
    pub(super) fn promote(&self, bytes: usize) {
        self.nameless.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// A link holds more than [`FREE`] bytes.
    pub(super) fn holds(&self, rank: LinkRank, holder: Holder, link: Weak<SendQueue>) {
        self.holders.lock().of(rank).insert(holder, link);
    }

    /// It does no longer.
    pub(super) fn released(&self, rank: LinkRank, holder: Holder) {
        self.holders.lock().of(rank).remove(&holder);
    }

    /// Cuts links until `bytes` fit, those first that have held theirs for longest, and none
    /// that has held its bytes for less time than the one that `asks`. Links that are logged
    /// in are cut only for others that are, and after those that are not. No caller holds a
    /// link's lock.
    pub(super) fn make_room(&self, rank: LinkRank, bytes: usize, asks: u64) {
        // Some more, so that the next one does not come here again.
        let wanted = bytes + self.most / 16;
        loop {
            let used = self.used.load(Ordering::Relaxed);
            let nameless = self.nameless.load(Ordering::Relaxed);
            let is_logged_in = rank == LinkRank::LoggedIn;
            let fits = used + wanted <= self.most;
            if fits && (is_logged_in || nameless + wanted <= self.most / 2) {
                return;
            }
            let mut holders = self.holders.lock();
            let mut oldest = holders.nameless.first_key_value();
            if oldest.is_none() && is_logged_in {
                oldest = holders.logged_in.first_key_value();
            }
            let Some((holder, link)) = oldest
                .filter(|((_, id), _)| *id != asks)
                .map(|(holder, link)| (*holder, Weak::clone(link)))
            else {
                return;
            };
            holders.nameless.remove(&holder);
            holders.logged_in.remove(&holder);
            drop(holders);
            if let Some(link) = link.upgrade()
                && link.cut()
            {
                self.cuts.memory.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// An answer over HTTP that counts until it is sent; `None` where there is no room.
    pub(super) fn hold(self: &Arc<Self>, body: Bytes) -> Option<Bytes> {
        if !add(&self.http, body.len(), self.most / HTTP_PART) {
            return None;
        }
        if !self.take(LinkRank::Nameless, body.len()) {
            self.http.fetch_sub(body.len(), Ordering::Relaxed);
            return None;
        }
        let memory = Arc::clone(self);
        Some(Bytes::from_owner(HeldBytes { memory, body }))
    }
}

impl MemoryHolders {
    fn of(&mut self, rank: LinkRank) -> &mut BTreeMap<Holder, Weak<SendQueue>> {
        match rank {
            LinkRank::Nameless | LinkRank::Posting => &mut self.nameless,
            LinkRank::LoggedIn => &mut self.logged_in,
        }
    }
}

impl AsRef<[u8]> for HeldBytes {
    fn as_ref(&self) -> &[u8] {
        &self.body
    }
}

impl Drop for HeldBytes {
    fn drop(&mut self) {
        let bytes = self.body.len();
        self.memory.http.fetch_sub(bytes, Ordering::Relaxed);
        self.memory.give_back(LinkRank::Nameless, bytes);
    }
}

fn add(count: &AtomicUsize, bytes: usize, most: usize) -> bool {
    count
        .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| {
            used.checked_add(bytes).filter(|used| *used <= most)
        })
        .is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nameless_links_leave_half_to_those_that_are_logged_in() {
        let memory = Memory::new(1000);
        assert!(memory.take(LinkRank::Nameless, 300));
        assert!(memory.take(LinkRank::Posting, 200));
        assert!(!memory.take(LinkRank::Nameless, 1));
        assert!(memory.take(LinkRank::LoggedIn, 500));
        assert!(!memory.take(LinkRank::LoggedIn, 1));
        memory.give_back(LinkRank::LoggedIn, 500);
        assert!(!memory.take(LinkRank::Nameless, 1));
        memory.give_back(LinkRank::Posting, 200);
        assert!(memory.take(LinkRank::Nameless, 200));
        assert_eq!(memory.used(), 500);
    }

    #[test]
    fn answers_over_http_are_bounded_until_they_are_sent() {
        let memory = Memory::new(8000);
        let first = memory.hold(vec![0; 600].into()).unwrap();
        let again = first.slice(100..);
        assert!(memory.hold(vec![0; 600].into()).is_none());
        drop(first);
        assert!(memory.hold(vec![0; 600].into()).is_none());
        drop(again);
        assert!(memory.hold(vec![0; 600].into()).is_some());
        assert_eq!(memory.used(), 0);
    }
}
