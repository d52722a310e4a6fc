//! The node that leads: puts each batch into the log, and then into its own store.
//!
//! A state machine: [`Leader::begin`] takes a batch, and [`Leader::step`] does one thing with
//! the log until the batch has an outcome.
//!
//! **Elsewhere**: [`crate::replicated`] calls it for the relay and waits between steps;
//! [`crate::lease`] renews the lease; a leader begins in [`crate::standby`].
//!
//! **Always**: one batch at a time. A batch is applied here only once it is durable in the log,
//! and a batch has the same bytes however often it is appended: so it counts once. Where a call
//! has no clean answer, a barrier and a look decide, and never a guess. A leader that was fenced
//! does nothing any more.

use std::sync::Arc;

use bytes::Bytes;
use waxwing_relay::store::{Store, StoreError, Write};

use crate::chain::{ApplyError, Chain};
use crate::lease::LEASE_MS;
use crate::log::{Entry, Fenced, Log, LogError, Term};
use crate::record::Record;
use crate::seal::Sealer;
use crate::status::Status;

/// A batch with more bytes is refused: no request comes near.
const LARGEST_BATCH: usize = 1 << 30;

/// Puts batches into the log.
pub struct Leader<S> {
    local: Arc<S>,
    chain: Chain,
    term: Term,
    sealer: Sealer,
    pending: Option<Pending>,
    status: Arc<Status>,
}

/// The batch that has no outcome yet.
struct Pending {
    entry: Entry,
    record: Record,
    encoded: Bytes,
    /// Whether it may be in the log already.
    is_doubtful: bool,
}

/// What a step came to.
#[derive(Debug)]
#[must_use]
pub enum Step {
    /// The batch is durable in the log and applied here; or there was none.
    Committed,
    /// The log did not answer cleanly. To be continued with another step, a little later.
    Waits(LogError),
    /// This node does not lead any more, and its process must begin anew.
    Ended(Ended),
}

/// Why a node stopped leading.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Ended {
    /// Another node took the lease.
    #[error("another node leads now")]
    Superseded,
    /// The log was out of reach for too long, and another node may lead.
    #[error("the log was out of reach for too long, and another node may lead by now")]
    CutOff,
    /// The log has an entry under a number that only this node could have used.
    #[error(
        "the log has something else under a number that this node used: it is damaged, or two clusters share it"
    )]
    Contradicted,
    /// What is durable in the log cannot be applied here.
    #[error("the local store failed: {0}")]
    Local(String),
    /// The node gave the lease away.
    #[error("the lease was handed over")]
    HandedOver,
}

impl<S: Store> Leader<S> {
    /// A leader that has applied everything in the log.
    pub(crate) fn new(
        local: Arc<S>,
        chain: Chain,
        term: Term,
        sealer: Sealer,
        status: Arc<Status>,
    ) -> Self {
        status.set_term(term.0);
        status.set_numbers(chain.number, chain.number);
        Self {
            local,
            chain,
            term,
            sealer,
            pending: None,
            status,
        }
    }

    /// The term in which it leads.
    pub fn term(&self) -> Term {
        self.term
    }

    /// Its place in the log; everything up to it is durable there.
    pub fn chain(&self) -> Chain {
        self.chain
    }

    /// The store that it keeps.
    pub fn local(&self) -> &Arc<S> {
        &self.local
    }

    /// Takes a batch; [`Self::step`] commits it.
    ///
    /// # Errors
    /// Where the local store would refuse it: nothing has happened then.
    pub fn begin(&mut self, writes: Vec<Write>) -> Result<(), StoreError> {
        if self.pending.is_some() {
            return Err(StoreError::Io("a batch is being committed already".into()));
        }
        self.local.check_room(&writes)?;
        let number = self.chain.number + 1;
        let next = self.local.next_batch();
        if next != number {
            return Err(StoreError::OutOfOrder {
                given: number,
                next,
            });
        }
        let record = Record {
            number,
            term: self.term,
            previous: self.chain.hash,
            committed: self.chain.number,
            writes,
        };
        let encoded = record.encode();
        if encoded.len() > LARGEST_BATCH {
            return Err(StoreError::Full {
                available: LARGEST_BATCH as u64,
            });
        }
        let entry = Entry {
            number,
            term: self.term,
            committed: record.committed,
            body: self.sealer.seal(number, self.term, &encoded),
        };
        self.pending = Some(Pending {
            entry,
            record,
            encoded,
            is_doubtful: false,
        });
        Ok(())
    }

    /// Does what comes next for the batch.
    pub fn step(&mut self, log: &impl Log) -> Step {
        let Some(pending) = &mut self.pending else {
            return Step::Committed;
        };
        let is_there = if pending.is_doubtful {
            find(log, &pending.entry)
        } else {
            Ok(Found::Absent)
        };
        let appended = match is_there {
            Ok(Found::Same) => Ok(Fenced::Done(())),
            Ok(Found::Absent) => log.append(&pending.entry),
            Ok(Found::Other) => return Step::Ended(Ended::Contradicted),
            Ok(Found::Superseded) => Ok(Fenced::Superseded),
            Err(error) => Err(error),
        };
        match appended {
            Ok(Fenced::Done(())) => self.apply(),
            Ok(Fenced::Superseded) => Step::Ended(Ended::Superseded),
            Err(error) => {
                if !pending.is_doubtful {
                    self.status.note_doubt();
                }
                pending.is_doubtful = true;
                Step::Waits(error)
            }
        }
    }

    /// The batch is durable.
    fn apply(&mut self) -> Step {
        let Some(pending) = self.pending.take() else {
            return Step::Committed;
        };
        let applied = self
            .chain
            .apply(&*self.local, pending.record, &pending.encoded);
        match applied {
            Ok(()) => {
                self.status.note_append();
                let number = self.chain.number;
                self.status.set_numbers(number, number);
                Step::Committed
            }
            Err(ApplyError::Store(error)) => Step::Ended(Ended::Local(error.to_string())),
            // It was made here.
            Err(ApplyError::Record(_) | ApplyError::Diverged { .. }) => {
                Step::Ended(Ended::Contradicted)
            }
        }
    }
}

enum Found {
    Same,
    Absent,
    Other,
    Superseded,
}

/// Finds out whether an entry is in the log, for good.
fn find(log: &impl Log, entry: &Entry) -> Result<Found, LogError> {
    // Whatever is visible after the barrier is durable. An append that was cut off either came
    // before it, or is repeated below: then the same bytes come once, because numbers are unique.
    if let Fenced::Superseded = log.renew(entry.term, entry.committed, LEASE_MS)? {
        return Ok(Found::Superseded);
    }
    let there = log.read(entry.number - 1, 1)?.into_iter().next();
    Ok(match there {
        None => Found::Absent,
        Some(there) if there == *entry => Found::Same,
        Some(_) => Found::Other,
    })
}
