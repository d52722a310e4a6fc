//! The shared log: the one place that all nodes of a cluster agree on.
//!
//! **Elsewhere**: [`crate::memory`] is a log for simulations, [`crate::postgres`] the one for
//! operators. What is in an entry is in [`crate::record`].
//!
//! **Always**: an entry is appended only while the lease has the entry's term (*fenced*), and
//! a term is given out once. What a call answered with `Ok` is as durable as the log is
//! configured to be. After [`LogError::Unreachable`] the outcome is unknown, and only looking
//! again tells it. Calls may block for as long as the log needs.

use std::fmt;

use bytes::Bytes;

use crate::seal::{NoRandomNumbers, random};

/// Rises each time that a node takes the lease.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Term(pub u64);

/// What the nodes of one cluster have in common: derived from the relay's identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClusterId(pub [u8; 32]);

/// A process of a node. A node that is started again has the same name, and a new
/// incarnation: nobody believes that it still leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// The name that the operator gave the node.
    pub node: String,
    /// Random for each process.
    pub incarnation: u64,
}

impl Holder {
    /// This process, of the node with this name.
    ///
    /// # Errors
    /// When the system gives no random numbers.
    pub fn new(node: &str) -> Result<Self, NoRandomNumbers> {
        Ok(Self {
            node: node.to_owned(),
            incarnation: u64::from_be_bytes(random()?),
        })
    }
}

/// Who leads, as the log has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// The term of the lease.
    pub term: Term,
    /// Who took it.
    pub holder: Holder,
    /// Milliseconds until it ends, by the log's clock; zero where it has ended.
    pub left_ms: u64,
    /// The highest number that the holder has said is durable.
    pub committed: u64,
    /// An operator asks the holder to hand over.
    pub is_handover_wanted: bool,
}

/// The log at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogState {
    /// `None` where no node has ever led.
    pub lease: Option<Lease>,
    /// The lowest number that the log still has, and the highest; `None` where it has none.
    pub numbers: Option<(u64, u64)>,
    /// What the log's clock shows, in milliseconds since 1970.
    pub now_ms: u64,
}

/// A record with what the log itself needs to know.
#[derive(Clone, PartialEq, Eq)]
pub struct Entry {
    /// Of the record.
    pub number: u64,
    /// Of the record; the fence.
    pub term: Term,
    /// Of the record.
    pub committed: u64,
    /// The record's bytes, as they are kept: sealed.
    pub body: Bytes,
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Entry { number, term, .. } = self;
        write!(f, "Entry {number} of term {}", term.0)
    }
}

/// What a node has said about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeReport {
    /// Which node.
    pub holder: Holder,
    /// The last batch that its store has on disk.
    pub number: u64,
    /// How long ago it said so, in milliseconds by the log's clock.
    pub age_ms: u64,
}

/// What has become of an entry or of a lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Fenced<T = ()> {
    /// It is done.
    Done(T),
    /// Refused, for good: another term began.
    Superseded,
}

/// Why the log did not do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LogError {
    /// No clean answer came. The call may or may not have had its effect.
    #[error("the log cannot be reached: {0}")]
    Unreachable(String),
    /// It is set up so that what it confirms could be lost.
    #[error("the log is not safe to use: {0}")]
    Unsafe(String),
    /// It belongs to another relay.
    #[error(
        "the log belongs to a relay with another identity: copy the folder identity from a node \
         of that cluster, or use another database"
    )]
    Foreign,
    /// It holds something that no node has written.
    #[error("the log is damaged: {0}")]
    Damaged(String),
}

/// A log that several nodes share.
pub trait Log: Send + Sync + 'static {
    /// Looks at the log. No barrier: what is seen may be lost until a barrier comes.
    fn look(&self) -> Result<LogState, LogError>;

    /// Takes the lease for `length_ms` if it has ended and its term is still `after` (zero
    /// where there was none). A barrier: whatever is visible afterwards is durable, and nothing
    /// of an earlier term comes any more.
    fn acquire(
        &self,
        holder: &Holder,
        after: Term,
        length_ms: u64,
    ) -> Result<Fenced<Term>, LogError>;

    /// Makes the lease last for `length_ms` from now, and notes what is durable. A barrier:
    /// whatever was visible before is durable afterwards. Refuses with [`LogError::Unsafe`]
    /// where what is confirmed could be lost.
    fn renew(&self, term: Term, committed: u64, length_ms: u64) -> Result<Fenced<Lease>, LogError>;

    /// Ends the lease, so that another node takes it at once.
    fn release(&self, term: Term, committed: u64) -> Result<Fenced, LogError>;

    /// Appends an entry if the lease has its term.
    fn append(&self, entry: &Entry) -> Result<Fenced, LogError>;

    /// The entries with a number above `after`, in order, of together about `most_bytes`; at
    /// least one where there is one. No barrier.
    fn read(&self, after: u64, most_bytes: usize) -> Result<Vec<Entry>, LogError>;

    /// Asks the node that leads to hand over; it learns of it at its next renewal.
    fn want_handover(&self) -> Result<(), LogError>;

    /// Notes how far a node is; others trim the log by that.
    fn report(&self, holder: &Holder, number: u64) -> Result<(), LogError>;

    /// How far each node is, as it said last.
    fn nodes(&self) -> Result<Vec<NodeReport>, LogError>;

    /// Deletes the entries with numbers below `below`, if the lease has this term.
    fn trim(&self, term: Term, below: u64) -> Result<Fenced, LogError>;
}
