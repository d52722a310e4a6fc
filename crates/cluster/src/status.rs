//! What a node says about itself, for metrics, `/healthz` and logs.
//!
//! **Elsewhere**: [`crate::leader`], [`crate::standby`] and [`crate::lease`] keep the numbers.
//!
//! **Always**: counts and states only; reading them waits for nobody.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Numbers of one node.
#[derive(Debug, Default)]
pub struct Status {
    leads: AtomicBool,
    waits: AtomicBool,
    term: AtomicU64,
    number: AtomicU64,
    committed: AtomicU64,
    appends: AtomicU64,
    doubts: AtomicU64,
}

/// [`Status`] at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StatusNow {
    /// Whether the node leads.
    pub leads: bool,
    /// Whether the log has not answered, and durable answers wait for it.
    pub waits: bool,
    /// The newest term that the node knows.
    pub term: u64,
    /// The last batch that the node's store has.
    pub number: u64,
    /// The last batch that the node knows to be durable in the log.
    pub committed: u64,
    /// Batches that the node appended.
    pub appends: u64,
    /// Batches of which the node had to find out whether they are in the log.
    pub doubts: u64,
}

impl Status {
    /// Reads all of it.
    pub fn now(&self) -> StatusNow {
        let read = |number: &AtomicU64| number.load(Ordering::Relaxed);
        StatusNow {
            leads: self.leads.load(Ordering::Relaxed),
            waits: self.waits.load(Ordering::Relaxed),
            term: read(&self.term),
            number: read(&self.number),
            committed: read(&self.committed),
            appends: read(&self.appends),
            doubts: read(&self.doubts),
        }
    }

    /// Whether the node serves.
    pub fn set_leads(&self, leads: bool) {
        self.leads.store(leads, Ordering::Relaxed);
    }

    /// Whether the log does not answer.
    pub fn set_waits(&self, waits: bool) {
        self.waits.store(waits, Ordering::Relaxed);
    }

    pub(crate) fn set_term(&self, term: u64) {
        self.term.store(term, Ordering::Relaxed);
    }

    pub(crate) fn set_numbers(&self, number: u64, committed: u64) {
        self.number.store(number, Ordering::Relaxed);
        self.committed.store(committed, Ordering::Relaxed);
    }

    pub(crate) fn note_append(&self) {
        self.appends.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn note_doubt(&self) {
        self.doubts.fetch_add(1, Ordering::Relaxed);
    }
}
