//! Keeps the lease of the node that leads, and tells when it must stop.
//!
//! **Elsewhere**: safety does not depend on time: entries are fenced ([`crate::log`]). The lease
//! is how the other nodes notice that this one is gone.
//!
//! **Always**: deadlines are counted from *before* the renewal was asked for, on a clock that
//! nobody can set and that goes on while the machine sleeps.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::leader::Ended;
use crate::log::{Fenced, Log, LogError, Term};
use crate::status::Status;

/// How long a lease lasts, by the log's clock.
pub const LEASE_MS: u64 = 6_000;
/// How often it is renewed.
const RENEWED_EVERY_MS: u64 = 2_000;
/// After a failure it is tried again this soon.
const RETRIED_AFTER_MS: u64 = 200;
/// So long after its lease, a node that cannot renew it serves what needs no log; clients wait
/// for an answer a little longer than that.
const OUTLASTED_BY_MS: u64 = 45_000;

/// When a node must stop leading; shared, because a renewal may take longer than that.
#[derive(Clone, Debug)]
pub struct Deadline(Arc<AtomicU64>);

/// Renews one lease.
pub struct LeaseKeeper<L> {
    log: Arc<L>,
    term: Term,
    deadline: Deadline,
    next_ms: u64,
    status: Arc<Status>,
}

/// What a turn came to.
#[derive(Debug, PartialEq, Eq)]
#[must_use]
pub enum Kept {
    /// The lease is held.
    Held,
    /// It is held, and an operator wants it handed over.
    HandoverWanted,
    /// It could not be renewed, or the log is not safe; this says why. Durable answers wait.
    Waits(LogError),
    /// The node must stop leading.
    Ended(Ended),
}

impl Deadline {
    fn new(confirmed_ms: u64) -> Self {
        Self(Arc::new(AtomicU64::new(confirmed_ms)))
    }

    /// Whether the node must stop leading. `now_ms` is on the same clock as
    /// [`LeaseKeeper::turn`]'s.
    pub fn is_over(&self, now_ms: u64) -> bool {
        let confirmed = self.0.load(Ordering::Relaxed);
        now_ms.saturating_sub(confirmed) >= LEASE_MS + OUTLASTED_BY_MS
    }
}

impl<L: Log> LeaseKeeper<L> {
    /// For a lease that was taken by a call which began at `asked_ms`.
    pub fn new(log: Arc<L>, term: Term, asked_ms: u64, status: Arc<Status>) -> Self {
        Self {
            log,
            term,
            deadline: Deadline::new(asked_ms),
            next_ms: asked_ms.saturating_add(RENEWED_EVERY_MS),
            status,
        }
    }

    /// The term of the lease.
    pub fn term(&self) -> Term {
        self.term
    }

    /// When the node must stop.
    pub fn deadline(&self) -> Deadline {
        self.deadline.clone()
    }

    /// When the next turn is due.
    pub fn next_ms(&self) -> u64 {
        self.next_ms
    }

    /// Renews the lease. `now_ms` is a steady time.
    pub fn turn(&mut self, now_ms: u64) -> Kept {
        if self.deadline.is_over(now_ms) {
            return Kept::Ended(Ended::CutOff);
        }
        let committed = self.status.now().committed;
        let renewed = self.log.renew(self.term, committed, LEASE_MS);
        self.status.set_waits(renewed.is_err());
        match renewed {
            Ok(Fenced::Done(lease)) => {
                self.renewed(now_ms);
                if lease.is_handover_wanted {
                    Kept::HandoverWanted
                } else {
                    Kept::Held
                }
            }
            Ok(Fenced::Superseded) => Kept::Ended(Ended::Superseded),
            // The log answered: nobody else leads.
            Err(error @ LogError::Unsafe(_)) => {
                self.renewed(now_ms);
                Kept::Waits(error)
            }
            Err(error) => {
                self.next_ms = now_ms.saturating_add(RETRIED_AFTER_MS);
                Kept::Waits(error)
            }
        }
    }

    fn renewed(&mut self, asked_ms: u64) {
        self.deadline.0.store(asked_ms, Ordering::Relaxed);
        self.next_ms = asked_ms.saturating_add(RENEWED_EVERY_MS);
    }
}
