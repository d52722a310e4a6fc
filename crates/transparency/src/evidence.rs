//! Evidence that a relay signed two truths, which anybody can check without the relay and
//! without whoever found it.
//!
//! **Elsewhere**: finding it is [`crate::view`]'s and the engine's `trust`.
//!
//! **Always**: evidence that holds convicts the holder of the log's head key (or, where
//! there are two log identities, of the relay's TLS key), and nobody else. Forged evidence
//! is refused: it needs that key's signatures.

use prost::Message as _;
use waxwing_protocol::{limits, pb, time::Time};

use crate::{
    head::SignedHead,
    identity::{LogId, LogIdentity},
    view::Links,
};

/// Bytes of an evidence file, at most.
pub const EVIDENCE_BYTES: usize = 2 * limits::HEAD_LINKS * limits::HEAD_BYTES;

/// What evidence proves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proven {
    /// The pin of the relay that it is about: SHA-256 of its `SubjectPublicKeyInfo`.
    pub relay_pin: [u8; 32],
    /// What the relay did.
    pub misdeed: Misdeed,
}

/// What a relay did that it cannot explain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Misdeed {
    /// It signed two different heads with one number, or a later head whose chain has
    /// another head in the place of the earlier one.
    TwoHistories {
        /// The number of the head at which the two histories differ.
        number: u64,
        /// When the first head was made, by the relay's clock.
        first_made_at: Time,
        /// When the second one was.
        second_made_at: Time,
    },
    /// It keeps two logs.
    TwoLogs {
        /// One.
        first: LogId,
        /// And the other.
        second: LogId,
    },
}

/// Evidence that proves nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EvidenceError {
    /// It is no evidence file, or a part of it is malformed.
    #[error("this is not an evidence file, or it is damaged")]
    Malformed,
    /// A signature in it is not the relay's.
    #[error("a signature in the evidence does not hold: it proves nothing against this relay")]
    Unsigned,
    /// Everything is signed, and nothing contradicts anything.
    #[error("the signed statements in the evidence do not contradict each other")]
    Consistent,
}

/// Checks an evidence file.
pub fn check(file: &[u8]) -> Result<Proven, EvidenceError> {
    if file.len() > EVIDENCE_BYTES {
        return Err(EvidenceError::Malformed);
    }
    let evidence = pb::Evidence::decode(file).map_err(|_| EvidenceError::Malformed)?;
    if evidence.version != 1 {
        return Err(EvidenceError::Malformed);
    }
    let log = identity(evidence.identity.as_ref())?;
    if evidence.other_identity.is_some() {
        return two_logs(&log, &identity(evidence.other_identity.as_ref())?);
    }
    let first = head(&log, evidence.first.as_ref())?;
    let second = head(&log, evidence.second.as_ref())?;
    let (earlier, later) = if first.head().number <= second.head().number {
        (&first, &second)
    } else {
        (&second, &first)
    };
    let number = earlier.head().number;
    let links = Links::decode(&evidence.links).map_err(|_| EvidenceError::Malformed)?;
    let found = links
        .hash_at(later.head(), number)
        .map_err(|_| EvidenceError::Malformed)?;
    if found == earlier.head().hash() {
        return Err(EvidenceError::Consistent);
    }
    Ok(Proven {
        relay_pin: *log.relay_pin(),
        misdeed: Misdeed::TwoHistories {
            number,
            first_made_at: earlier.head().made_at,
            second_made_at: later.head().made_at,
        },
    })
}

fn two_logs(first: &LogIdentity, second: &LogIdentity) -> Result<Proven, EvidenceError> {
    if first.id() == second.id() {
        return Err(EvidenceError::Consistent);
    }
    // Two relays have two logs, and that is as it should be.
    if first.relay_pin() != second.relay_pin() {
        return Err(EvidenceError::Unsigned);
    }
    Ok(Proven {
        relay_pin: *first.relay_pin(),
        misdeed: Misdeed::TwoLogs {
            first: first.id(),
            second: second.id(),
        },
    })
}

fn identity(wire: Option<&pb::LogIdentity>) -> Result<LogIdentity, EvidenceError> {
    LogIdentity::check(wire.ok_or(EvidenceError::Malformed)?).map_err(|error| match error {
        crate::identity::IdentityError::Malformed => EvidenceError::Malformed,
        crate::identity::IdentityError::Unsigned => EvidenceError::Unsigned,
    })
}

fn head(log: &LogIdentity, wire: Option<&pb::SignedHead>) -> Result<SignedHead, EvidenceError> {
    SignedHead::check(log, wire.ok_or(EvidenceError::Malformed)?).map_err(|error| match error {
        crate::head::HeadError::Malformed => EvidenceError::Malformed,
        crate::head::HeadError::WrongLog | crate::head::HeadError::Unsigned => {
            EvidenceError::Unsigned
        }
    })
}
