//! The store that the relay of a leading node writes to: each batch goes through the log.
//!
//! **Elsewhere**: [`crate::leader`] has the steps; this waits between them. Reads are the local
//! store's.
//!
//! **Always**: when [`Store::commit`] returns, the batch is as durable as the log is configured
//! to be, and applied here. It never returns while the outcome is unknown: it waits for the log
//! for as long as this node leads. Once it does not, every commit is refused with
//! [`StoreError::Superseded`], and the process must end.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::{Condvar, Mutex};
use waxwing_relay::store::{KeySpace, Record, Store, StoreError, Usage, Write};

use crate::leader::{Ended, Leader, Step};
use crate::log::Log;

/// Between the steps of a batch that waits for the log: first this, then twice as long each time.
const FIRST_PAUSE: Duration = Duration::from_millis(5);
const LONGEST_PAUSE: Duration = Duration::from_millis(500);

/// Told once that a node has stopped leading, and why.
#[derive(Debug, Default)]
pub struct Ending {
    ended: Mutex<Option<Ended>>,
    is_over: Condvar,
}

/// A store whose batches are in a log before they count.
pub struct ReplicatedStore<S, L> {
    local: Arc<S>,
    log: Arc<L>,
    /// Held by the thread that commits.
    leader: Mutex<Leader<S>>,
    ending: Arc<Ending>,
}

impl Ending {
    /// The node stops leading; the first reason counts.
    pub fn end(&self, reason: Ended) {
        self.ended.lock().get_or_insert(reason);
        self.is_over.notify_all();
    }

    /// Why the node has stopped leading, if it has.
    pub fn reason(&self) -> Option<Ended> {
        self.ended.lock().clone()
    }

    /// Waits for the end, but not longer than this; gives the reason.
    pub fn wait(&self, most: Duration) -> Option<Ended> {
        let mut ended = self.ended.lock();
        if ended.is_none() {
            let _ = self.is_over.wait_for(&mut ended, most);
        }
        ended.clone()
    }
}

impl<S: Store, L: Log> ReplicatedStore<S, L> {
    /// For a leader that has applied everything in the log.
    pub fn new(leader: Leader<S>, log: Arc<L>, ending: Arc<Ending>) -> Self {
        Self {
            local: Arc::clone(leader.local()),
            log,
            leader: Mutex::new(leader),
            ending,
        }
    }

    /// Gives the lease away, after the last commit: another node may take over at once.
    pub fn release(&self) {
        let leader = self.leader.lock();
        self.ending.end(Ended::HandedOver);
        // If it fails, the lease ends by itself.
        let _ = self.log.release(leader.term(), leader.chain().number);
    }

    fn commit_as(&self, given: Option<u64>, writes: Vec<Write>) -> Result<(), StoreError> {
        let mut leader = self.leader.lock();
        if self.ending.reason().is_some() {
            return Err(StoreError::Superseded);
        }
        let next = self.local.next_batch();
        if let Some(given) = given.filter(|given| *given != next) {
            return Err(StoreError::OutOfOrder { given, next });
        }
        leader.begin(writes)?;
        let mut pause = FIRST_PAUSE;
        loop {
            match leader.step(&*self.log) {
                Step::Committed => return Ok(()),
                Step::Waits(error) => {
                    tracing::debug!(%error, "a batch waits for the log");
                    if self.ending.wait(pause).is_some() {
                        return Err(StoreError::Superseded);
                    }
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
                Step::Ended(ended) => {
                    self.ending.end(ended);
                    return Err(StoreError::Superseded);
                }
            }
        }
    }
}

impl<S: Store, L: Log> Store for ReplicatedStore<S, L> {
    fn get(&self, space: KeySpace, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        self.local.get(space, key)
    }

    fn scan(
        &self,
        space: KeySpace,
        from: &[u8],
        to: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<Record>, StoreError> {
        self.local.scan(space, from, to, limit)
    }

    fn last_key(&self, space: KeySpace) -> Result<Option<Bytes>, StoreError> {
        self.local.last_key(space)
    }

    fn count(&self, space: KeySpace) -> Result<u64, StoreError> {
        self.local.count(space)
    }

    fn commit(&self, writes: Vec<Write>) -> Result<(), StoreError> {
        self.commit_as(None, writes)
    }

    fn next_batch(&self) -> u64 {
        self.local.next_batch()
    }

    fn commit_numbered(&self, number: u64, writes: Vec<Write>) -> Result<(), StoreError> {
        self.commit_as(Some(number), writes)
    }

    fn check_room(&self, writes: &[Write]) -> Result<(), StoreError> {
        self.local.check_room(writes)
    }

    fn is_nearly_full(&self) -> bool {
        self.local.is_nearly_full()
    }

    fn generation(&self) -> u64 {
        self.local.generation()
    }

    fn maintain(&self, now_ms: u64) -> Result<(), StoreError> {
        self.local.maintain(now_ms)
    }

    fn erase_now(&self) -> Result<(), StoreError> {
        self.local.erase_now()
    }

    fn usage(&self) -> Usage {
        self.local.usage()
    }

    fn damaged(&self) -> u64 {
        self.local.damaged()
    }
}

#[cfg(test)]
mod tests {
    use waxwing_relay::store::conformance;
    use waxwing_relay::store::memory::MemoryStore;
    use zeroize::Zeroizing;

    use super::*;
    use crate::log::Holder;
    use crate::memory::{LinkFault, MemoryLink, MemoryLog};
    use crate::seal::{ClusterKey, Sealer};
    use crate::standby::{Standby, StandbyTurn, first_batch};

    /// The store of a node that leads, after the lease of the one before has ended.
    fn leading(
        log: &MemoryLog,
        disk: &MemoryStore,
        incarnation: u64,
    ) -> (ReplicatedStore<MemoryStore, MemoryLink>, Arc<MemoryLink>) {
        log.set_now(incarnation * 10_000);
        let key = ClusterKey::new(Zeroizing::new([1; 32]));
        let link = Arc::new(log.link(key.id()));
        let holder = Holder {
            node: "one".to_owned(),
            incarnation,
        };
        let sealer = Sealer::with_seed(&key, [u8::try_from(incarnation).unwrap(); 32]);
        let local = Arc::new(disk.clone());
        let status = Arc::default();
        let mut standby = Standby::new(local, Arc::clone(&link), holder, sealer, status).unwrap();
        let Ok(StandbyTurn::Leads(leader)) = standby.turn(incarnation * 10_000, true) else {
            panic!("it leads");
        };
        let leader = first_batch(leader, &*link, |_| false).unwrap();
        let store = ReplicatedStore::new(leader, Arc::clone(&link), Arc::default());
        (store, link)
    }

    #[test]
    fn the_replicated_store_conforms_also_where_answers_are_lost() {
        for faults in [
            vec![],
            vec![LinkFault::LostBefore; 5],
            vec![LinkFault::LostAfter; 5],
            vec![LinkFault::Unreplicated; 5],
            vec![
                LinkFault::Unreplicated,
                LinkFault::None,
                LinkFault::LostAfter,
                LinkFault::LostBefore,
            ],
        ] {
            let (log, disk) = (MemoryLog::new(), MemoryStore::new());
            let open = |incarnation| {
                let (store, link) = leading(&log, &disk, incarnation);
                for fault in &faults {
                    link.plan(*fault);
                }
                store
            };
            let reopened = std::cell::Cell::new(1);
            conformance::run(open(1), |store| {
                drop(store);
                reopened.set(reopened.get() + 1);
                open(reopened.get())
            })
            .unwrap();
        }
    }

    #[test]
    fn a_node_that_was_superseded_commits_nothing_more() {
        let log = MemoryLog::new();
        let (first, second) = (MemoryStore::new(), MemoryStore::new());
        let (old, _) = leading(&log, &first, 1);
        old.commit(Vec::new()).unwrap();
        let (new, _) = leading(&log, &second, 2);
        let number = new.next_batch();
        for _ in 0..2 {
            assert!(matches!(
                old.commit(Vec::new()),
                Err(StoreError::Superseded)
            ));
        }
        assert_eq!(old.ending.reason(), Some(Ended::Superseded));
        assert_eq!(old.next_batch(), number - 1);
        new.commit(Vec::new()).unwrap();
    }

    #[test]
    fn a_lease_that_is_released_is_taken_at_once() {
        let log = MemoryLog::new();
        let (first, second) = (MemoryStore::new(), MemoryStore::new());
        let (old, link) = leading(&log, &first, 1);
        old.release();
        assert_eq!(link.look().unwrap().lease.unwrap().left_ms, 0);
        assert!(matches!(
            old.commit(Vec::new()),
            Err(StoreError::Superseded)
        ));
        let (new, _) = leading(&log, &second, 1);
        new.commit(Vec::new()).unwrap();
    }

    #[test]
    fn a_full_disk_refuses_a_batch_before_the_log_has_it() {
        use waxwing_relay::store::memory::Fault;

        let log = MemoryLog::new();
        let disk = MemoryStore::new();
        let (store, _) = leading(&log, &disk, 1);
        let before = log.entries().len();
        disk.set_fault(Some(Fault::Full));
        assert!(matches!(
            store.commit(Vec::new()),
            Err(StoreError::Full { .. })
        ));
        assert_eq!(log.entries().len(), before);
        disk.set_fault(None);
        store.commit(Vec::new()).unwrap();
    }
}
