//! One round: from what was checked last to the newest head, and its co-signature.
//!
//! **Elsewhere**: what an answer means is [`crate::follower`]'s.
//!
//! **Always**: what was checked is kept as the round goes on, so that one that is broken
//! off is not begun again; a lie is kept before it is told.

use bytes::Bytes;
use rand_core::CryptoRng;
use waxwing_protocol::{limits, pb, signature::HybridSigningKey, time::Time};
use waxwing_transparency::cosignature::CoSigned;

use crate::follower::{Follower, Lie, MOST_HEADS, Refusal, Step, Trouble, delimited};

/// Where the relay has its log.
pub const IDENTITY_PATH: &str = "/log/v1/identity";
/// Where it takes co-signatures.
pub const COSIGNATURES_PATH: &str = "/log/v1/cosignatures";

/// Bytes of an answer that holds a log identity.
const IDENTITY_BYTES: usize = 8 << 10;
/// Bytes of an answer that holds a head with what ties it to others.
const VIEW_BYTES: usize =
    limits::HEAD_LINKS * (limits::HEAD_BYTES + 8) + (limits::COSIGNATURES + 1) * (8 << 10);
/// Bytes of an answer that holds heads.
const HEADS_BYTES: usize = MOST_HEADS * (limits::HEAD_BYTES + 8);
/// Bytes of one log epoch's proof: about 200,000 changes to the log's tree.
pub const AUDIT_BYTES: usize = 32 << 20;

/// Asks a relay.
pub trait Ask {
    /// What goes wrong with it.
    type Error;

    /// What the relay has at `path`, at most `most` bytes of it; `None` where it has
    /// nothing there.
    fn get(
        &mut self,
        path: &str,
        most: usize,
    ) -> impl Future<Output = Result<Option<Bytes>, Self::Error>>;
}

/// Keeps what is to outlive the program.
pub trait Keep {
    /// What goes wrong with it.
    type Error;

    /// Keeps what a relay did, and what proves it. Called before what is known is kept:
    /// after that, the lie is not met again.
    fn keep_lie(&mut self, lie: &Lie) -> Result<(), Self::Error>;

    /// Keeps what is known of the log.
    fn keep(&mut self, follower: &Follower) -> Result<(), Self::Error>;
}

/// Why a round ended early.
#[derive(Debug, thiserror::Error)]
pub enum RoundError<A, K> {
    /// The relay could not be asked.
    #[error("{0}")]
    Ask(A),
    /// Its answer was not taken.
    #[error(transparent)]
    Refused(Refusal),
    /// What was found cannot be kept.
    #[error("{0}")]
    Keep(K),
}

/// What came of a round.
#[derive(Debug, PartialEq)]
pub enum Round {
    /// The log has no heads yet.
    Empty,
    /// Everything was checked up to this head, whose number is given.
    CoSigned {
        /// The head's number.
        number: u64,
        /// Its log epoch.
        epoch: u64,
        /// For the relay, and for whoever asks.
        cosignature: Box<pb::CoSignature>,
    },
    /// The relay lied, in this round or an earlier one.
    Stopped(String),
}

/// Follows the log to its newest head. `now` tells the time. To be called in a tokio
/// runtime.
pub async fn round<A: Ask, K: Keep>(
    follower: &mut Follower,
    key: &HybridSigningKey,
    rng: &mut impl CryptoRng,
    now: impl Fn() -> Time,
    ask: &mut A,
    keep: &mut K,
) -> Result<Round, RoundError<A::Error, K::Error>> {
    follower.begin();
    let mut unkept = 0_u32;
    loop {
        let step = follower.next();
        let taken = match &step {
            Step::Identity => get(ask, IDENTITY_PATH, IDENTITY_BYTES)
                .await?
                .ok_or_else(|| missing("no log"))
                .and_then(decode::<pb::LogIdentity>)
                .and_then(|identity| follower.identity(&identity)),
            Step::Newest { known } => {
                let path = format!("/log/v1/head?known={known}");
                let view = match get(ask, &path, VIEW_BYTES).await? {
                    Some(bytes) => decode::<pb::LogView>(bytes),
                    None => Ok(pb::LogView::default()),
                };
                match view {
                    // A log that has had a head has one for ever.
                    Ok(view) if view.head.is_none() && follower.signed().is_none() => {
                        return Ok(Round::Empty);
                    }
                    Ok(view) => follower.newest(&view, now()),
                    Err(refusal) => Err(refusal),
                }
            }
            Step::Heads { from, to } => {
                let path = format!("/log/v1/heads?from={from}&to={to}");
                get(ask, &path, HEADS_BYTES)
                    .await?
                    .ok_or_else(|| missing(&format!("head {from}")))
                    .and_then(|bytes| delimited(bytes, MOST_HEADS).map_err(Refusal::from))
                    .and_then(|heads| follower.heads(heads))
            }
            Step::Audit { epoch } => {
                let path = format!("/log/v1/audit/{epoch}");
                let proof = get(ask, &path, AUDIT_BYTES)
                    .await?
                    .ok_or_else(|| missing(&format!("the proof of log epoch {epoch}")))
                    .and_then(decode::<pb::AuditProof>);
                match proof {
                    Ok(proof) => follower.audit(&proof).await,
                    Err(refusal) => Err(refusal),
                }
            }
            Step::CoSign(signed) => {
                keep.keep(follower).map_err(RoundError::Keep)?;
                let head = signed.head();
                return Ok(Round::CoSigned {
                    number: head.number,
                    epoch: head.epoch,
                    cosignature: Box::new(CoSigned::sign(rng, key, head, now())),
                });
            }
            Step::Stopped => {
                return Ok(Round::Stopped(
                    follower.lie().unwrap_or_default().to_owned(),
                ));
            }
        };
        // Each identity, and each few hundred epochs: a long way is not gone twice.
        unkept += 1;
        if let Err(Refusal::Lie(lie)) = &taken {
            keep.keep_lie(lie).map_err(RoundError::Keep)?;
        }
        if matches!(taken, Err(Refusal::Lie(_))) || unkept >= 256 || step == Step::Identity {
            keep.keep(follower).map_err(RoundError::Keep)?;
            unkept = 0;
        }
        taken.map_err(RoundError::Refused)?;
    }
}

async fn get<A: Ask, K>(
    ask: &mut A,
    path: &str,
    most: usize,
) -> Result<Option<Bytes>, RoundError<A::Error, K>> {
    ask.get(path, most).await.map_err(RoundError::Ask)
}

fn decode<T: prost::Message + Default>(bytes: Bytes) -> Result<T, Refusal> {
    T::decode(bytes).map_err(|_| Trouble::Malformed.into())
}

fn missing(what: &str) -> Refusal {
    Trouble::Missing(what.to_owned()).into()
}
