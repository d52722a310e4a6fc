//! A node that follows: applies what is durable in the log, and takes over when nobody leads.
//!
//! **Elsewhere**: what it becomes is a [`Leader`].
//!
//! **Always**: a standby applies a batch only once the leader has said that it is durable, or
//! once its own taking of the lease has made it so. It refuses a log that has lost what this
//! node has, or that tells another history, and never "repairs" either.

use std::sync::Arc;

use waxwing_relay::store::{Store, StoreError};

use crate::chain::{ApplyError, Chain};
use crate::leader::{Ended, Leader, Step};
use crate::lease::LEASE_MS;
use crate::log::{Entry, Fenced, Holder, Log, LogError, LogState, Term};
use crate::record::{Record, RecordError, RecordHash};
use crate::seal::{NotOpened, Sealer};
use crate::status::Status;

/// Bytes that are read from the log at a time.
const READ_BYTES: usize = 8 << 20;
/// A node whose clock differs by more from the log's does not lead: it would date messages
/// wrongly.
const CLOCKS_DIFFER_MS: u64 = 5_000;

/// Follows the log.
pub struct Standby<S, L> {
    local: Arc<S>,
    log: Arc<L>,
    holder: Holder,
    chain: Chain,
    sealer: Option<Sealer>,
    /// Whether the log was seen to have what this node has last.
    is_verified: bool,
    status: Arc<Status>,
}

/// What a turn came to.
#[must_use]
pub enum StandbyTurn<S> {
    /// It follows.
    Follows {
        /// Batches that were applied.
        applied: u64,
        /// Whether another node holds the lease.
        is_led: bool,
    },
    /// It leads from here on, and no further turn does anything.
    Leads(Box<Leader<S>>),
}

/// Why a turn failed.
#[derive(Debug, thiserror::Error)]
pub enum StandbyError {
    /// It may succeed later.
    #[error(transparent)]
    Log(LogError),
    /// It does not lead, because its clock or the log's is wrong.
    #[error(
        "this machine's clock and the log's differ by {0} ms: set both by NTP; until then this \
         node takes no lease"
    )]
    ClocksDiffer(u64),
    /// It cannot go on from here.
    #[error(transparent)]
    Refused(#[from] Refusal),
}

/// Why a node cannot follow the log.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// The log has lost batches that this node has.
    #[error(
        "the log ends with batch {log}, and this node has batch {own}: the database has lost \
         commits that it had confirmed. Find out how (an asynchronous replica promoted, an old \
         backup restored?) before anything else; no node serves until then"
    )]
    WentBack {
        /// The last number here.
        own: u64,
        /// The last number there.
        log: u64,
    },
    /// The log begins behind what this node has.
    #[error(
        "the log begins with batch {log}, and this node has only batch {own}: it was away for \
         too long. Copy the folder store from a node that is stopped"
    )]
    Behind {
        /// The last number here.
        own: u64,
        /// The first number there.
        log: u64,
    },
    /// This node's store was never part of the cluster.
    #[error(
        "this node's store does not come from this cluster. Begin with an empty one, or with a \
         copy of the folder store of a node that is stopped"
    )]
    NotAMember,
    /// Local and log differ.
    #[error(transparent)]
    Apply(#[from] ApplyError),
    /// Sealed by somebody else.
    #[error(transparent)]
    NotOpened(#[from] NotOpened),
    /// The log is not for this cluster, or damaged.
    #[error(transparent)]
    Log(LogError),
    /// The first batch of the new term.
    #[error(transparent)]
    Ended(Ended),
}

impl From<LogError> for StandbyError {
    fn from(error: LogError) -> Self {
        match error {
            LogError::Unreachable(_) | LogError::Unsafe(_) => Self::Log(error),
            LogError::Foreign | LogError::Damaged(_) => Self::Refused(Refusal::Log(error)),
        }
    }
}

impl From<StoreError> for StandbyError {
    fn from(error: StoreError) -> Self {
        Self::Refused(Refusal::Apply(error.into()))
    }
}

impl From<RecordError> for StandbyError {
    fn from(error: RecordError) -> Self {
        Self::Refused(Refusal::Apply(error.into()))
    }
}

impl<S: Store, L: Log> Standby<S, L> {
    /// A standby with this store.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn new(
        local: Arc<S>,
        log: Arc<L>,
        holder: Holder,
        sealer: Sealer,
        status: Arc<Status>,
    ) -> Result<Self, StoreError> {
        let chain = Chain::read(&*local)?;
        status.set_numbers(chain.number, 0);
        Ok(Self {
            local,
            log,
            holder,
            chain,
            sealer: Some(sealer),
            is_verified: false,
            status,
        })
    }

    /// Its place in the log.
    pub fn chain(&self) -> Chain {
        self.chain
    }

    /// Applies what there is, and takes the lease if nobody holds it and `may_lead`. `wall_ms`
    /// is what this machine's clock shows, in milliseconds since 1970.
    ///
    /// # Errors
    /// [`StandbyError::Refused`] for good: the process must end. Anything else may pass.
    pub fn turn(&mut self, wall_ms: u64, may_lead: bool) -> Result<StandbyTurn<S>, StandbyError> {
        let Some(sealer) = self.sealer.take() else {
            return Ok(StandbyTurn::Follows {
                applied: 0,
                is_led: true,
            });
        };
        let turned = self.turn_with(&sealer, wall_ms, may_lead);
        let term = match turned {
            Ok(Followed::TookLease { term }) => term,
            Ok(Followed::Waits { applied, is_led }) => {
                self.sealer = Some(sealer);
                return Ok(StandbyTurn::Follows { applied, is_led });
            }
            Err(error) => {
                self.sealer = Some(sealer);
                return Err(error);
            }
        };
        let (local, status) = (Arc::clone(&self.local), Arc::clone(&self.status));
        let mut leader = Leader::new(local, self.chain, term, sealer, status);
        // So that the log shows from when on this term is, and the store that it is a member.
        leader.begin(Vec::new())?;
        Ok(StandbyTurn::Leads(Box::new(leader)))
    }

    fn turn_with(
        &mut self,
        sealer: &Sealer,
        wall_ms: u64,
        may_lead: bool,
    ) -> Result<Followed, StandbyError> {
        let state = self.log.look()?;
        self.check(&state)?;
        if !self.is_verified {
            self.verify(sealer)?;
        }
        if let Some(lease) = &state.lease {
            self.status.set_term(lease.term.0);
        }
        let is_led = state.lease.as_ref().is_some_and(|lease| lease.left_ms > 0);
        if is_led || !may_lead {
            let committed = state.lease.map_or(0, |lease| lease.committed);
            let applied = self.follow(sealer, committed)?;
            return Ok(Followed::Waits { applied, is_led });
        }
        // Who could not write does not lead: another node may have room.
        self.local
            .check_room(&[])
            .map_err(|error| LogError::Unreachable(error.to_string()))?;
        let differ = state.now_ms.abs_diff(wall_ms);
        if differ > CLOCKS_DIFFER_MS {
            return Err(StandbyError::ClocksDiffer(differ));
        }
        let after = state.lease.map_or(Term(0), |lease| lease.term);
        let Fenced::Done(term) = self.log.acquire(&self.holder, after, LEASE_MS)? else {
            return Ok(Followed::Waits {
                applied: 0,
                is_led: true,
            });
        };
        let caught_up = self.catch_up(sealer);
        if caught_up.is_err() {
            // Somebody else may do better; and if not, the lease ends by itself.
            let _ = self.log.release(term, 0);
        }
        caught_up.map(|()| Followed::TookLease { term })
    }

    /// Whether the log may be followed from here.
    fn check(&self, state: &LogState) -> Result<(), Refusal> {
        let own = self.chain.number;
        match state.numbers {
            None if self.chain.is_member => Err(Refusal::WentBack { own, log: 0 }),
            Some((_, last)) if self.chain.is_member && last < own => {
                Err(Refusal::WentBack { own, log: last })
            }
            Some(_) if !self.chain.is_member && own > 0 => Err(Refusal::NotAMember),
            Some((first, _)) if first > own + 1 => Err(Refusal::Behind { own, log: first }),
            None | Some(_) => Ok(()),
        }
    }

    /// Looks whether the log has the record that this node has last, if it still has it.
    fn verify(&mut self, sealer: &Sealer) -> Result<(), StandbyError> {
        let number = self.chain.number;
        if self.chain.is_member {
            let entries = self.log.read(number - 1, 1)?;
            if let Some(entry) = entries.first().filter(|entry| entry.number == number) {
                let encoded = open(sealer, entry)?;
                if RecordHash::of(&encoded) != self.chain.hash {
                    return Err(Refusal::Apply(ApplyError::Diverged { number }).into());
                }
            }
        }
        self.is_verified = true;
        Ok(())
    }

    /// Applies everything: the lease is ours, so nothing more comes of other terms.
    fn catch_up(&mut self, sealer: &Sealer) -> Result<(), StandbyError> {
        let state = self.log.look()?;
        self.check(&state)?;
        self.verify(sealer)?;
        while self.follow(sealer, u64::MAX)? > 0 {}
        Ok(())
    }

    /// Applies what is known to be durable: up to `committed`, or what later records say.
    fn follow(&mut self, sealer: &Sealer, mut committed: u64) -> Result<u64, StandbyError> {
        let before = self.chain.number;
        let entries = self.log.read(before, READ_BYTES)?;
        for entry in &entries {
            committed = committed.max(entry.committed);
        }
        for entry in entries {
            if entry.number > committed {
                break;
            }
            let encoded = open(sealer, &entry)?;
            let record = Record::decode(encoded.clone())?;
            if (record.number, record.term) != (entry.number, entry.term) {
                return Err(Refusal::NotOpened(NotOpened).into());
            }
            let applied = self.chain.apply(&*self.local, record, &encoded);
            match applied {
                Ok(()) => {}
                // Where the store has not used up the number, the same may be tried again.
                Err(ApplyError::Store(error))
                    if error.may_pass() && self.local.next_batch() == entry.number =>
                {
                    return Err(StandbyError::Log(LogError::Unreachable(error.to_string())));
                }
                Err(error) => return Err(Refusal::Apply(error).into()),
            }
        }
        let number = self.chain.number;
        self.status.set_numbers(number, committed.min(number));
        Ok(number - before)
    }
}

enum Followed {
    Waits { applied: u64, is_led: bool },
    TookLease { term: Term },
}

fn open(sealer: &Sealer, entry: &Entry) -> Result<bytes::Bytes, Refusal> {
    Ok(sealer.open(entry.number, entry.term, &entry.body)?)
}

/// Drives the first batch of a term, for callers that may wait: gives the leader once the batch
/// counts, or why it never will.
pub fn first_batch<S: Store>(
    mut leader: Box<Leader<S>>,
    log: &impl Log,
    mut wait: impl FnMut(&LogError) -> bool,
) -> Result<Leader<S>, Ended> {
    loop {
        match leader.step(log) {
            Step::Committed => return Ok(*leader),
            Step::Waits(error) if wait(&error) => {}
            Step::Waits(_) => return Err(Ended::CutOff),
            Step::Ended(ended) => return Err(ended),
        }
    }
}
