//! Following one log: what to ask next, and what an answer means.
//!
//! The relay's newest head is signed, and names all before it by its chain. Those are
//! fetched from the last one that was checked, and each log epoch's proof with its first
//! head. Where the chain arrives at the signed head, everything up to it was checked.
//!
//! **Elsewhere**: asking is [`crate::round`]'s, keeping is [`crate::folder`]'s.
//!
//! **Always**: heads are checked in order, from the first one or the last that was
//! checked. After a [`Lie`] the next step is [`Step::Stopped`], for ever. An answer that
//! is [`Trouble`] changes nothing, so that it can be asked for again.

use std::collections::VecDeque;

use bytes::Bytes;
use prost::Message as _;
use waxwing_protocol::{limits, pb, time::Time};
use waxwing_transparency::{
    head::{Head, HeadHash, SignedHead, landmark},
    identity::{LogId, LogIdentity},
    view::{View, ViewError},
};

use crate::append_only::{self, AppendOnlyError};

/// Heads that are asked for at a time; the relay gives no more.
pub const MOST_HEADS: usize = 1024;

/// What is to be done next.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Ask for the log's identity; [`Follower::identity`] takes it.
    Identity,
    /// Ask for the newest head, tied to this one; [`Follower::newest`] takes it.
    Newest {
        /// Its number; 0 for none.
        known: u64,
    },
    /// Ask for these heads; [`Follower::heads`] takes them.
    Heads {
        /// The first one's number.
        from: u64,
        /// The last one's.
        to: u64,
    },
    /// Ask for a log epoch's proof; [`Follower::audit`] takes it.
    Audit {
        /// Which.
        epoch: u64,
    },
    /// Everything up to this head was checked: co-sign it, then call
    /// [`Follower::begin`] for the next round.
    CoSign(Box<SignedHead>),
    /// The relay lied: nothing is to be done any more.
    Stopped,
}

/// What the relay did that is no mistake of the network's.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Lie {
    /// The log's identity is another relay's than the one that is pinned.
    #[error("the log's identity is for another relay than the one that is pinned")]
    OtherRelay,
    /// The log's identity is not signed by the relay's key.
    #[error("the log's identity is not signed by the relay's key")]
    IdentityUnsigned,
    /// It keeps two logs.
    #[error("the relay has two key logs: it signed the identities {first} and {second}")]
    TwoLogs {
        /// The one that was followed.
        first: LogId,
        /// The one that is shown now.
        second: LogId,
        /// That proves it.
        evidence: Box<pb::Evidence>,
    },
    /// The newest head is not signed by the log's key, or is another log's.
    #[error("the head that the relay shows is not signed by its log's key")]
    HeadUnsigned,
    /// Two signed heads contradict each other.
    #[error("the relay rewrote its log: head {number} is not what it signed before")]
    Rewritten {
        /// The head at which the histories differ.
        number: u64,
        /// That proves it.
        evidence: Box<pb::Evidence>,
    },
    /// A head is not the one that the chain of the signed head has in its place.
    #[error("head {number} is not the one that the signed head {signed} follows from")]
    OutOfPlace {
        /// Its number.
        number: u64,
        /// The signed head that it was to lead to.
        signed: u64,
    },
    /// A head does not name the one before, or names another landmark than the chain has.
    #[error("head {number} does not follow from head {}", number - 1)]
    Unchained {
        /// Its number.
        number: u64,
    },
    /// A head's log epoch is not the one of the head before, nor the next.
    #[error("head {number} is of log epoch {epoch}, and the one before of {before}")]
    EpochSkipped {
        /// Its number.
        number: u64,
        /// Its log epoch.
        epoch: u64,
        /// The one before.
        before: u64,
    },
    /// Two heads of one log epoch have two roots.
    #[error("head {number} has another root than the one before, for the same log epoch {epoch}")]
    RootChanged {
        /// Its number.
        number: u64,
        /// Its log epoch.
        epoch: u64,
    },
    /// A head is older than the one before.
    #[error("head {number} was made before head {}", number - 1)]
    BackInTime {
        /// Its number.
        number: u64,
    },
    /// A log epoch does not only add to the one before.
    #[error("log epoch {epoch} (head {number}): {error}")]
    NotAppendOnly {
        /// Which.
        epoch: u64,
        /// Its first head.
        number: u64,
        /// What is wrong with the proof.
        error: AppendOnlyError,
    },
}

impl Lie {
    /// What proves it to others, where something does.
    pub fn evidence(&self) -> Option<&pb::Evidence> {
        match self {
            Self::TwoLogs { evidence, .. } | Self::Rewritten { evidence, .. } => Some(evidence),
            _ => None,
        }
    }
}

/// What may be in order the next time.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Trouble {
    /// It does not decode, or is larger than it may be.
    #[error("the relay's answer is malformed")]
    Malformed,
    /// The head is too old or from the future, or does not tie to what is known.
    #[error("{0}")]
    View(ViewError),
    /// The relay did not give what it must have.
    #[error("the relay does not have a part of its log: {0}")]
    Missing(String),
    /// The answer is to another question.
    #[error("the relay gave an unexpected answer")]
    Unasked,
}

/// Why an answer was not taken.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Refusal {
    /// For ever.
    #[error(transparent)]
    Lie(#[from] Lie),
    /// For now.
    #[error(transparent)]
    Trouble(#[from] Trouble),
}

/// What is kept of a log between runs.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Saved {
    /// Always 1.
    #[prost(uint32, tag = "1")]
    version: u32,
    #[prost(message, optional, tag = "2")]
    identity: Option<pb::LogIdentity>,
    /// The newest signed head up to which everything was checked.
    #[prost(message, optional, tag = "3")]
    signed: Option<pb::SignedHead>,
    /// The newest head that was checked; encoded.
    #[prost(bytes = "bytes", tag = "4")]
    checked: Bytes,
    /// The heads that later ones may name as landmarks, oldest first: numbers and hashes.
    #[prost(uint64, repeated, tag = "5")]
    trail_numbers: Vec<u64>,
    #[prost(bytes = "bytes", repeated, tag = "6")]
    trail_hashes: Vec<Bytes>,
    /// What the relay did, where it lied: nothing is co-signed any more.
    #[prost(string, tag = "7")]
    lie: String,
}

/// Saved state that is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the saved state of the log is damaged")]
pub struct SavedMalformed;

/// Follows one log. See the module.
#[derive(Clone, Debug)]
pub struct Follower {
    /// The relay's pin, where it is known.
    pin: Option<[u8; 32]>,
    log: Option<LogIdentity>,
    /// Whether the identity was asked for in this run.
    is_identified: bool,
    signed: Option<SignedHead>,
    checked: Option<Head>,
    trail: Vec<(u64, HeadHash)>,
    /// Where this round goes.
    target: Option<SignedHead>,
    /// Fetched, chained, and not checked yet.
    fetched: VecDeque<Head>,
    lie: String,
}

impl Follower {
    /// Follows a log from its beginning.
    pub const fn new(pin: Option<[u8; 32]>) -> Self {
        Self {
            pin,
            log: None,
            is_identified: false,
            signed: None,
            checked: None,
            trail: Vec::new(),
            target: None,
            fetched: VecDeque::new(),
            lie: String::new(),
        }
    }

    /// Goes on where [`saved`](Self::saved) was.
    pub fn resume(pin: Option<[u8; 32]>, saved: Saved) -> Result<Self, SavedMalformed> {
        if saved.version != 1 || saved.trail_numbers.len() != saved.trail_hashes.len() {
            return Err(SavedMalformed);
        }
        let log = saved
            .identity
            .as_ref()
            .map(LogIdentity::check)
            .transpose()
            .map_err(|_| SavedMalformed)?;
        let signed = match (&log, &saved.signed) {
            (Some(log), Some(signed)) => {
                Some(SignedHead::check(log, signed).map_err(|_| SavedMalformed)?)
            }
            (None, Some(_)) => return Err(SavedMalformed),
            (_, None) => None,
        };
        let checked = (!saved.checked.is_empty())
            .then(|| Head::decode(saved.checked))
            .transpose()
            .map_err(|_| SavedMalformed)?;
        let trail = saved
            .trail_numbers
            .into_iter()
            .zip(saved.trail_hashes)
            .map(|(number, hash)| Some((number, HeadHash(hash.as_ref().try_into().ok()?))))
            .collect::<Option<Vec<_>>>()
            .ok_or(SavedMalformed)?;
        let newest = checked.as_ref().map(|head| (head.number, head.hash()));
        if trail.last().copied() != newest {
            return Err(SavedMalformed);
        }
        Ok(Self {
            log,
            signed,
            checked,
            trail,
            lie: saved.lie,
            ..Self::new(pin)
        })
    }

    /// What to keep.
    pub fn saved(&self) -> Saved {
        Saved {
            version: 1,
            identity: self.log.as_ref().map(|log| log.wire().clone()),
            signed: self.signed.as_ref().map(|head| head.wire().clone()),
            checked: self
                .checked
                .as_ref()
                .map(|head| head.encoded().clone())
                .unwrap_or_default(),
            trail_numbers: self.trail.iter().map(|(number, _)| *number).collect(),
            trail_hashes: self
                .trail
                .iter()
                .map(|(_, hash)| Bytes::copy_from_slice(&hash.0))
                .collect(),
            lie: self.lie.clone(),
        }
    }

    /// The log that is followed, once its identity is known.
    pub const fn log(&self) -> Option<&LogIdentity> {
        self.log.as_ref()
    }

    /// The newest signed head up to which everything was checked.
    pub const fn signed(&self) -> Option<&SignedHead> {
        self.signed.as_ref()
    }

    /// What the relay did, as a sentence, if it lied in this run or an earlier one.
    pub fn lie(&self) -> Option<&str> {
        (!self.lie.is_empty()).then_some(self.lie.as_str())
    }

    /// The number of the newest head that was checked; 0 for none.
    pub fn checked(&self) -> u64 {
        self.checked.as_ref().map_or(0, |head| head.number)
    }

    /// Begins a round: asks for the newest head again.
    pub fn begin(&mut self) {
        self.target = None;
        self.fetched.clear();
    }

    /// What to do next.
    pub fn next(&self) -> Step {
        if !self.lie.is_empty() {
            return Step::Stopped;
        }
        if !self.is_identified || self.log.is_none() {
            return Step::Identity;
        }
        let Some(target) = &self.target else {
            return Step::Newest {
                known: self.signed.as_ref().map_or(0, |head| head.head().number),
            };
        };
        if let Some(head) = self.fetched.front() {
            return Step::Audit { epoch: head.epoch };
        }
        let (at, end) = (self.checked(), target.head().number);
        if at >= end {
            return Step::CoSign(Box::new(target.clone()));
        }
        Step::Heads {
            from: at.saturating_add(1),
            to: end.min(at.saturating_add(MOST_HEADS as u64)),
        }
    }

    /// The log's identity came.
    pub fn identity(&mut self, wire: &pb::LogIdentity) -> Result<(), Refusal> {
        let found = LogIdentity::check(wire).map_err(|error| match error {
            waxwing_transparency::identity::IdentityError::Malformed => {
                Refusal::from(Trouble::Malformed)
            }
            waxwing_transparency::identity::IdentityError::Unsigned => {
                self.stop(Lie::IdentityUnsigned)
            }
        })?;
        if self.pin.is_some_and(|pin| pin != *found.relay_pin()) {
            return Err(self.stop(Lie::OtherRelay));
        }
        if let Some(log) = &self.log
            && log.id() != found.id()
        {
            if log.relay_pin() != found.relay_pin() {
                return Err(self.stop(Lie::OtherRelay));
            }
            let lie = Lie::TwoLogs {
                first: log.id(),
                second: found.id(),
                evidence: Box::new(pb::Evidence {
                    version: 1,
                    identity: Some(log.wire().clone()),
                    other_identity: Some(found.wire().clone()),
                    ..pb::Evidence::default()
                }),
            };
            return Err(self.stop(lie));
        }
        self.log = Some(found);
        self.is_identified = true;
        Ok(())
    }

    /// The newest head came.
    pub fn newest(&mut self, view: &pb::LogView, now: Time) -> Result<(), Refusal> {
        let log = self.log.as_ref().ok_or(Trouble::Unasked)?;
        let view = match View::check(log, self.signed.as_ref(), view, now) {
            Ok(view) => view,
            Err(ViewError::Unsigned | ViewError::WrongLog) => {
                return Err(self.stop(Lie::HeadUnsigned));
            }
            Err(ViewError::Forked(evidence)) => {
                let number = self.signed.as_ref().map_or(0, |head| head.head().number);
                return Err(self.stop(Lie::Rewritten { number, evidence }));
            }
            Err(other) => return Err(Trouble::View(other).into()),
        };
        let newest = view.newest().clone();
        // What was checked without a signature may be ahead of an older signed head.
        if newest.head().number < self.checked() {
            return Err(Trouble::View(ViewError::Older {
                number: newest.head().number,
                known: self.checked(),
            })
            .into());
        }
        if let Some(checked) = &self.checked
            && checked.number == newest.head().number
            && checked.hash() != newest.head().hash()
        {
            let number = checked.number;
            return Err(self.stop(Lie::OutOfPlace {
                number,
                signed: number,
            }));
        }
        self.target = Some(newest);
        self.arrive();
        Ok(())
    }

    /// Heads came, as many as the relay would give, from the first that was asked for.
    pub fn heads(&mut self, encoded: Vec<Bytes>) -> Result<(), Refusal> {
        let Step::Heads { from, to } = self.next() else {
            return Err(Trouble::Unasked.into());
        };
        let target = self.target.as_ref().ok_or(Trouble::Unasked)?.head().clone();
        if encoded.is_empty() {
            return Err(Trouble::Missing(format!("head {from}")).into());
        }
        let mut before = self.checked.clone();
        let mut trail = self.trail.clone();
        let mut heads = VecDeque::with_capacity(encoded.len().min(MOST_HEADS));
        for (number, encoded) in (from..=to).zip(encoded) {
            let head = Head::decode(encoded).map_err(|_| Trouble::Malformed)?;
            if head.number != number || head.log != target.log {
                return Err(Trouble::Unasked.into());
            }
            if let Err(lie) = follows(&head, before.as_ref(), &mut trail) {
                return Err(self.stop(lie));
            }
            if number == target.number && head.hash() != target.hash() {
                return Err(self.stop(Lie::OutOfPlace {
                    number,
                    signed: target.number,
                }));
            }
            before = Some(head.clone());
            heads.push_back(head);
        }
        self.fetched = heads;
        self.advance();
        Ok(())
    }

    /// The proof of the log epoch that was asked for came. To be called in a tokio runtime.
    pub async fn audit(&mut self, proof: &pb::AuditProof) -> Result<(), Refusal> {
        let head = self.fetched.front().ok_or(Trouble::Unasked)?;
        let (number, epoch) = (head.number, head.epoch);
        match append_only::verify(epoch, self.root(), head.root, proof).await {
            Ok(()) => {
                if let Some(head) = self.fetched.pop_front() {
                    self.pass(head);
                }
                self.advance();
                Ok(())
            }
            Err(AppendOnlyError::OtherEpoch(_)) => Err(Trouble::Unasked.into()),
            Err(error) => Err(self.stop(Lie::NotAppendOnly {
                epoch,
                number,
                error,
            })),
        }
    }

    /// Passes heads that are of the log epoch that was checked last.
    fn advance(&mut self) {
        let epoch = self.checked.as_ref().map_or(0, |head| head.epoch);
        while let Some(head) = self.fetched.pop_front_if(|head| head.epoch == epoch) {
            self.pass(head);
        }
        self.arrive();
    }

    /// Everything up to this head was checked.
    fn pass(&mut self, head: Head) {
        extend(&mut self.trail, &head);
        self.checked = Some(head);
    }

    /// At the signed head, what was checked is what was signed.
    fn arrive(&mut self) {
        let is_there = match (&self.checked, &self.target) {
            (Some(checked), Some(target)) => checked.hash() == target.head().hash(),
            _ => false,
        };
        if is_there {
            self.signed.clone_from(&self.target);
        }
    }

    /// The root of the log as it was checked last.
    fn root(&self) -> [u8; 32] {
        self.checked
            .as_ref()
            .map_or_else(append_only::empty_root, |head| head.root)
    }

    fn stop(&mut self, lie: Lie) -> Refusal {
        self.lie = lie.to_string();
        self.begin();
        lie.into()
    }
}

/// Whether a head may come after `before`, but for its log epoch's proof.
fn follows(
    head: &Head,
    before: Option<&Head>,
    trail: &mut Vec<(u64, HeadHash)>,
) -> Result<(), Lie> {
    let number = head.number;
    let named = landmark(number).and_then(|at| {
        let found = trail.iter().find(|(number, _)| *number == at);
        found.map(|(_, hash)| *hash)
    });
    if head.previous != before.map(Head::hash) || head.landmark != named {
        return Err(Lie::Unchained { number });
    }
    let (epoch, root) = before.map_or_else(
        || (0, append_only::empty_root()),
        |before| (before.epoch, before.root),
    );
    if head.epoch != epoch && head.epoch != epoch.saturating_add(1) {
        return Err(Lie::EpochSkipped {
            number,
            epoch: head.epoch,
            before: epoch,
        });
    }
    if head.epoch == epoch && head.root != root {
        return Err(Lie::RootChanged { number, epoch });
    }
    if before.is_some_and(|before| head.made_at < before.made_at) {
        return Err(Lie::BackInTime { number });
    }
    extend(trail, head);
    Ok(())
}

/// Adds a head to those that later ones may name: it, its landmark, that one's, and so on.
fn extend(trail: &mut Vec<(u64, HeadHash)>, head: &Head) {
    let keep = landmark(head.number).unwrap_or(0);
    while trail.last().is_some_and(|(number, _)| *number > keep) {
        trail.pop();
    }
    trail.push((head.number, head.hash()));
}

/// Splits an answer of heads into at most `most`; each is its length, as a varint, and
/// its bytes.
pub fn delimited(mut answer: Bytes, most: usize) -> Result<Vec<Bytes>, Trouble> {
    let mut heads = Vec::new();
    while !answer.is_empty() {
        let length = prost::decode_length_delimiter(&mut answer).map_err(|_| Trouble::Malformed)?;
        if length > limits::HEAD_BYTES || length > answer.len() || heads.len() >= most {
            return Err(Trouble::Malformed);
        }
        heads.push(answer.split_to(length));
    }
    Ok(heads)
}

impl Saved {
    /// From a file.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, SavedMalformed> {
        Self::decode(bytes).map_err(|_| SavedMalformed)
    }
}
