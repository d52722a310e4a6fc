//! Whether what a relay shows now follows what it showed before.
//!
//! With every proof comes a [`pb::LogView`]: the newest head, and the heads that tie it to
//! the one that the asker knew. A client that keeps its newest head and checks each view
//! against it sees one history of the log, or refuses.
//!
//! **Elsewhere**: that a head's log only adds to the one before is what auditors check;
//! their word for it comes with the view ([`crate::cosignature`]).
//!
//! **Always**: a [`View`] is of the log that was asked for, signed, fresh, and a
//! continuation of the head that was known.

use std::collections::HashMap;

use waxwing_protocol::{limits, pb, time::Time};

use crate::{
    cosignature::CoSigned,
    head::{Head, HeadError, HeadHash, SignedHead, step},
    identity::LogIdentity,
};

/// The log as it is now.
#[derive(Clone, Debug)]
pub struct View {
    newest: SignedHead,
    links: Links,
    cosigned: Vec<CoSigned>,
}

/// Why a view is not believed.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ViewError {
    /// It does not decode, or is larger than it may be.
    #[error("the relay's statement about its key log is malformed")]
    Malformed,
    /// The head is another log's.
    #[error("the relay shows another key log than before")]
    WrongLog,
    /// The head is not signed by the log's key.
    #[error("the key log's head is not signed by its key")]
    Unsigned,
    /// The head is older than [`limits::HEAD_MAX_AGE`].
    #[error("the key log's newest head is from {made_at:?}, too long ago")]
    Stale {
        /// When it was made.
        made_at: Time,
    },
    /// The head is from the future.
    #[error("the key log's newest head is from {made_at:?}, which is in the future")]
    Ahead {
        /// When it says it was made.
        made_at: Time,
    },
    /// The head is older than the one that is known; which is no proof of anything, when
    /// answers overtake each other.
    #[error("the relay shows head {number} of its key log after head {known}")]
    Older {
        /// Its number.
        number: u64,
        /// The known one's.
        known: u64,
    },
    /// The links that tie it to the known head are missing.
    #[error("the relay does not prove that its key log follows from the one it showed before")]
    Unlinked,
    /// It does not contain the head that is known: the log was rewritten. The two signed
    /// heads and the links prove it.
    #[error("the relay has rewritten its key log")]
    Forked(Box<pb::Evidence>),
}

impl View {
    /// Checks a view against the newest head that is known.
    pub fn check(
        log: &LogIdentity,
        known: Option<&SignedHead>,
        view: &pb::LogView,
        now: Time,
    ) -> Result<Self, ViewError> {
        if view.links.len() > limits::HEAD_LINKS || view.cosignatures.len() > limits::COSIGNATURES {
            return Err(ViewError::Malformed);
        }
        let signed = view.head.as_ref().ok_or(ViewError::Malformed)?;
        let newest = SignedHead::check(log, signed).map_err(|error| match error {
            HeadError::Malformed => ViewError::Malformed,
            HeadError::WrongLog => ViewError::WrongLog,
            HeadError::Unsigned => ViewError::Unsigned,
        })?;
        let links = Links::decode(&view.links)?;
        if let Some(known) = known {
            if newest.head().number < known.head().number {
                return Err(ViewError::Older {
                    number: newest.head().number,
                    known: known.head().number,
                });
            }
            if links.hash_at(newest.head(), known.head().number)? != known.head().hash() {
                return Err(ViewError::Forked(Box::new(pb::Evidence {
                    version: 1,
                    identity: Some(log.wire().clone()),
                    first: Some(known.wire().clone()),
                    second: Some(newest.wire().clone()),
                    links: view.links.clone(),
                    other_identity: None,
                })));
            }
        }
        let made_at = newest.head().made_at;
        if now.since(made_at) > limits::HEAD_MAX_AGE {
            return Err(ViewError::Stale { made_at });
        }
        if made_at.since(now) > limits::HEAD_MAX_AHEAD {
            return Err(ViewError::Ahead { made_at });
        }
        // A co-signature that does not hold is no reason to refuse the head: it is worth
        // nothing, and missing where one is required.
        let cosigned = view
            .cosignatures
            .iter()
            .filter_map(|one| CoSigned::check(log, one).ok())
            .filter(|one| links.hash_at(newest.head(), one.number) == Ok(one.head))
            .collect();
        Ok(Self {
            newest,
            links,
            cosigned,
        })
    }

    /// The newest head.
    pub const fn newest(&self) -> &SignedHead {
        &self.newest
    }

    /// The hash of the earlier head with this number, if the view's links lead there.
    pub fn hash_at(&self, number: u64) -> Option<HeadHash> {
        self.links.hash_at(self.newest.head(), number).ok()
    }

    /// What auditors co-signed, each head a part of this log.
    pub fn cosigned(&self) -> &[CoSigned] {
        &self.cosigned
    }
}

/// Heads by their hash.
#[derive(Clone, Debug)]
pub(crate) struct Links(HashMap<HeadHash, Head>);

impl Links {
    pub(crate) fn decode(links: &[bytes::Bytes]) -> Result<Self, ViewError> {
        if links.len() > limits::HEAD_LINKS {
            return Err(ViewError::Malformed);
        }
        let mut heads = HashMap::with_capacity(links.len());
        for link in links {
            let head = Head::decode(link.clone()).map_err(|_| ViewError::Malformed)?;
            heads.insert(head.hash(), head);
        }
        Ok(Self(heads))
    }

    /// The hash that `from`'s chain has at `number`.
    pub(crate) fn hash_at(&self, from: &Head, number: u64) -> Result<HeadHash, ViewError> {
        if number == 0 || number > from.number {
            return Err(ViewError::Unlinked);
        }
        let mut at = from;
        while at.number > number {
            let next = step(at.number, number);
            let is_landmark = next != at.number.saturating_sub(1)
                || crate::head::landmark(at.number) == Some(next);
            let hash = if is_landmark {
                at.landmark
            } else {
                at.previous
            };
            let hash = hash.ok_or(ViewError::Unlinked)?;
            if next == number {
                return Ok(hash);
            }
            // The number and log are the linked head's own: a chain that miscounts is no
            // chain.
            at = self
                .0
                .get(&hash)
                .filter(|head| head.number == next && head.log == at.log)
                .ok_or(ViewError::Unlinked)?;
        }
        Ok(at.hash())
    }
}
