//! A log in memory, with the faults of a replicated database, for simulations and tests.
//!
//! It plays a primary and its synchronous standby as one list of changes and the length that
//! the standby has. So a change can be *visible but not replicated*, as when a database cancels
//! a wait for its standby, and a failover can lose it.
//!
//! **Elsewhere**: the log for operators is [`crate::postgres`]; both keep what
//! [`crate::log`] promises.
//!
//! **Always**: nothing happens by chance here; whoever plays faults chooses them. Time is what
//! [`MemoryLog::set_now`] said.

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::log::{
    ClusterId, Entry, Fenced, Holder, Lease, Log, LogError, LogState, NodeReport, Term,
};

/// A log that many [`MemoryLink`]s share.
#[derive(Clone, Default)]
pub struct MemoryLog(Arc<Mutex<Shared>>);

/// One node's way to the log.
pub struct MemoryLink {
    log: MemoryLog,
    cluster: ClusterId,
    faults: Mutex<VecDeque<LinkFault>>,
    is_cut: Mutex<bool>,
}

/// What happens to a node's next call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkFault {
    /// Nothing.
    None,
    /// It does not arrive.
    LostBefore,
    /// It is done, and the answer does not arrive.
    LostAfter,
    /// It is visible, but the wait for the standby was cancelled; no clean answer.
    Unreplicated,
}

#[derive(Default)]
struct Shared {
    now_ms: u64,
    cluster: Option<ClusterId>,
    changes: Vec<Change>,
    replicated: usize,
    /// The primary confirms without waiting.
    is_asynchronous: bool,
    /// The standby is gone: what waits for it has no answer.
    has_standby: bool,
    reports: Vec<(Holder, u64, u64)>,
}

#[derive(Clone)]
enum Change {
    Lease(Stored),
    Entry(Entry),
    /// Entries below this number are gone.
    Trim(u64),
}

#[derive(Clone)]
struct Stored {
    term: Term,
    holder: Holder,
    until_ms: u64,
    committed: u64,
    is_handover_wanted: bool,
}

impl MemoryLog {
    /// An empty log.
    pub fn new() -> Self {
        let log = Self::default();
        log.0.lock().has_standby = true;
        log
    }

    /// A node's way to it.
    pub fn link(&self, cluster: ClusterId) -> MemoryLink {
        MemoryLink {
            log: self.clone(),
            cluster,
            faults: Mutex::default(),
            is_cut: Mutex::new(false),
        }
    }

    /// What the log's clock shows.
    pub fn set_now(&self, now_ms: u64) {
        self.0.lock().now_ms = now_ms;
    }

    /// The primary is lost, and its standby promoted: what it had not received is gone.
    pub fn fail_over(&self) {
        let mut shared = self.0.lock();
        let replicated = shared.replicated;
        shared.changes.truncate(replicated);
    }

    /// Whether the primary confirms what its standby does not have yet: what no operator may
    /// set.
    pub fn set_asynchronous(&self, is_asynchronous: bool) {
        self.0.lock().is_asynchronous = is_asynchronous;
    }

    /// Whether the standby is there; while it is not, nothing is confirmed.
    pub fn set_standby(&self, has_standby: bool) {
        let mut shared = self.0.lock();
        shared.has_standby = has_standby;
        if has_standby {
            shared.replicated = shared.changes.len();
        }
    }

    /// Every entry, with those of one number behind one another; for tests.
    pub fn entries(&self) -> Vec<Entry> {
        self.0.lock().entries().cloned().collect()
    }
}

impl MemoryLink {
    /// What happens to the next call that writes; each counts for one call.
    pub fn plan(&self, fault: LinkFault) {
        self.faults.lock().push_back(fault);
    }

    /// Whether nothing arrives at all.
    pub fn set_cut(&self, is_cut: bool) {
        *self.is_cut.lock() = is_cut;
    }

    fn read_from<T>(
        &self,
        read: impl FnOnce(&Shared) -> Result<T, LogError>,
    ) -> Result<T, LogError> {
        if *self.is_cut.lock() {
            return Err(unreachable("cut off"));
        }
        let shared = self.log.0.lock();
        if shared
            .cluster
            .is_some_and(|cluster| cluster != self.cluster)
        {
            return Err(LogError::Foreign);
        }
        read(&shared)
    }

    /// Does what `change` says, if anything, as a database does a transaction.
    fn write<T>(
        &self,
        change: impl FnOnce(&Shared) -> Fenced<(T, Change)>,
    ) -> Result<Fenced<T>, LogError> {
        self.read_from(|_| Ok(()))?;
        let fault = self.faults.lock().pop_front().unwrap_or(LinkFault::None);
        if fault == LinkFault::LostBefore {
            return Err(unreachable("lost before"));
        }
        let mut shared = self.log.0.lock();
        let answer = match change(&shared) {
            Fenced::Superseded => Fenced::Superseded,
            Fenced::Done((answer, change)) => {
                shared.cluster = Some(self.cluster);
                shared.changes.push(change);
                let is_waited_for = !shared.is_asynchronous;
                if is_waited_for && (!shared.has_standby || fault == LinkFault::Unreplicated) {
                    return Err(unreachable("not replicated"));
                }
                if is_waited_for {
                    // The standby receives in order: with this, all before.
                    shared.replicated = shared.changes.len();
                }
                Fenced::Done(answer)
            }
        };
        if fault == LinkFault::LostAfter {
            return Err(unreachable("lost after"));
        }
        Ok(answer)
    }
}

fn unreachable(why: &str) -> LogError {
    LogError::Unreachable(why.to_owned())
}

impl Shared {
    fn lease(&self) -> Option<&Stored> {
        self.changes.iter().rev().find_map(|change| match change {
            Change::Lease(lease) => Some(lease),
            Change::Entry(_) | Change::Trim(_) => None,
        })
    }

    fn entries(&self) -> impl Iterator<Item = &Entry> {
        let trims = self.changes.iter().filter_map(|change| match change {
            Change::Trim(below) => Some(*below),
            Change::Lease(_) | Change::Entry(_) => None,
        });
        let first = trims.max().unwrap_or(0);
        self.changes.iter().filter_map(move |change| match change {
            Change::Entry(entry) if entry.number >= first => Some(entry),
            Change::Entry(_) | Change::Lease(_) | Change::Trim(_) => None,
        })
    }

    fn shown(&self, lease: &Stored) -> Lease {
        Lease {
            term: lease.term,
            holder: lease.holder.clone(),
            left_ms: lease.until_ms.saturating_sub(self.now_ms),
            committed: lease.committed,
            is_handover_wanted: lease.is_handover_wanted,
        }
    }

    /// The lease, if it has this term.
    fn held(&self, term: Term) -> Option<Stored> {
        self.lease().filter(|lease| lease.term == term).cloned()
    }
}

impl Log for MemoryLink {
    fn look(&self) -> Result<LogState, LogError> {
        self.read_from(|shared| {
            let first = shared.entries().next();
            let last = shared.entries().last();
            Ok(LogState {
                lease: shared.lease().map(|lease| shared.shown(lease)),
                numbers: first
                    .zip(last)
                    .map(|(first, last)| (first.number, last.number)),
                now_ms: shared.now_ms,
            })
        })
    }

    fn acquire(
        &self,
        holder: &Holder,
        after: Term,
        length_ms: u64,
    ) -> Result<Fenced<Term>, LogError> {
        self.write(|shared| {
            let before = shared.lease();
            let term = before.map_or(Term(0), |lease| lease.term);
            let has_ended = before.is_none_or(|lease| lease.until_ms <= shared.now_ms);
            if term != after || !has_ended {
                return Fenced::Superseded;
            }
            let term = Term(term.0 + 1);
            let lease = Stored {
                term,
                holder: holder.clone(),
                until_ms: shared.now_ms + length_ms,
                committed: before.map_or(0, |lease| lease.committed),
                is_handover_wanted: false,
            };
            Fenced::Done((term, Change::Lease(lease)))
        })
    }

    fn renew(&self, term: Term, committed: u64, length_ms: u64) -> Result<Fenced<Lease>, LogError> {
        self.write(|shared| {
            let Some(mut lease) = shared.held(term) else {
                return Fenced::Superseded;
            };
            lease.until_ms = shared.now_ms + length_ms;
            lease.committed = lease.committed.max(committed);
            Fenced::Done((shared.shown(&lease), Change::Lease(lease)))
        })
    }

    fn release(&self, term: Term, committed: u64) -> Result<Fenced, LogError> {
        self.write(|shared| {
            let Some(mut lease) = shared.held(term) else {
                return Fenced::Superseded;
            };
            lease.until_ms = 0;
            lease.committed = lease.committed.max(committed);
            Fenced::Done(((), Change::Lease(lease)))
        })
    }

    fn append(&self, entry: &Entry) -> Result<Fenced, LogError> {
        let is_there = self
            .read_from(|shared| Ok(shared.entries().any(|there| there.number == entry.number)))?;
        if is_there {
            // A number is a key, as in a database.
            return Err(unreachable("the number is used"));
        }
        self.write(|shared| match shared.held(entry.term) {
            Some(_) => Fenced::Done(((), Change::Entry(entry.clone()))),
            None => Fenced::Superseded,
        })
    }

    fn read(&self, after: u64, most_bytes: usize) -> Result<Vec<Entry>, LogError> {
        self.read_from(|shared| {
            let mut left = most_bytes;
            let entries = shared.entries().filter(|entry| entry.number > after);
            let read = entries.take_while(|entry| {
                let fits = left > 0;
                left = left.saturating_sub(entry.body.len());
                fits
            });
            Ok(read.cloned().collect())
        })
    }

    fn want_handover(&self) -> Result<(), LogError> {
        let wanted = self.write(|shared| match shared.lease().cloned() {
            Some(mut lease) => {
                lease.is_handover_wanted = true;
                Fenced::Done(((), Change::Lease(lease)))
            }
            None => Fenced::Superseded,
        });
        match wanted? {
            Fenced::Done(()) => Ok(()),
            Fenced::Superseded => Err(unreachable("no node leads")),
        }
    }

    fn report(&self, holder: &Holder, number: u64) -> Result<(), LogError> {
        self.read_from(|_| Ok(()))?;
        let mut shared = self.log.0.lock();
        let now_ms = shared.now_ms;
        shared
            .reports
            .retain(|(other, ..)| other.node != holder.node);
        shared.reports.push((holder.clone(), number, now_ms));
        Ok(())
    }

    fn nodes(&self) -> Result<Vec<NodeReport>, LogError> {
        self.read_from(|shared| {
            let report = |(holder, number, at): &(Holder, u64, u64)| NodeReport {
                holder: holder.clone(),
                number: *number,
                age_ms: shared.now_ms - at,
            };
            Ok(shared.reports.iter().map(report).collect())
        })
    }

    fn trim(&self, term: Term, below: u64) -> Result<Fenced, LogError> {
        self.write(|shared| match shared.held(term) {
            Some(_) => Fenced::Done(((), Change::Trim(below))),
            None => Fenced::Superseded,
        })
    }
}
