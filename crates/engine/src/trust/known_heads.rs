//! The newest heads of the chain that the relay shows here, kept so that others' heads can be
//! compared without asking anybody.
//!
//! **Elsewhere**: [`super::gossip`] decides when heads are compared.
//!
//! **Always**: every head here is signed by the log, and is on the chain of the newest head
//! that this device has checked. [`HeadPosition::Contradicts`] holds evidence that convicts the
//! relay.

use prost::Message as _;
use rusqlite::{OptionalExtension as _, Transaction};
use waxwing_protocol::pb;
use waxwing_transparency::{
    evidence,
    head::{HeadHash, SignedHead, landmark},
};

use super::log::KnownLog;
use crate::store::StoreError;

pub(crate) const SCHEMA: &str = "
CREATE TABLE chain_head (
    number INTEGER PRIMARY KEY,
    head BLOB NOT NULL               -- SignedHead
) STRICT;
";

/// Heads that are kept, at most; about 4 KB each. Those with the highest numbers stay.
const KEPT_MAX: i64 = 128;

/// Where somebody's head is, as far as is known here.
pub(crate) enum HeadPosition {
    /// On the chain.
    OnChain,
    /// It contradicts the chain, and this proves it.
    Contradicts(Box<pb::Evidence>),
    /// The relay has to be asked.
    Unknown,
}

/// Keeps a head of the chain.
pub(crate) fn store_head(tx: &Transaction<'_>, head: &SignedHead) -> Result<(), StoreError> {
    tx.execute(
        "INSERT INTO chain_head (number, head) VALUES (?1, ?2) ON CONFLICT DO NOTHING",
        (
            head.head().number.cast_signed(),
            head.wire().encode_to_vec(),
        ),
    )?;
    tx.execute(
        "DELETE FROM chain_head WHERE number <=
             (SELECT number FROM chain_head ORDER BY number DESC LIMIT 1 OFFSET ?1)",
        [KEPT_MAX],
    )?;
    Ok(())
}

/// Compares somebody's head with what is kept.
pub(crate) fn locate(
    tx: &Transaction<'_>,
    known: &KnownLog,
    theirs: &SignedHead,
) -> Result<HeadPosition, StoreError> {
    let number = theirs.head().number;
    if let Some(ours) = head_at(tx, known, number)? {
        return Ok(if ours.head().hash() == theirs.head().hash() {
            HeadPosition::OnChain
        } else {
            beside(known, &ours, theirs)
        });
    }
    // What it says of heads that are kept.
    for (named, hash) in named_by(theirs) {
        if let Some(ours) = head_at(tx, known, named)?
            && ours.head().hash() != hash
        {
            return Ok(beside(known, &ours, theirs));
        }
    }
    // What heads that are kept say of it.
    let next = head_at(tx, known, number.saturating_add(1))?;
    for ours in next.iter().chain(&known.newest) {
        if let Some((_, hash)) = named_by(ours).find(|(named, _)| *named == number) {
            return Ok(if hash == theirs.head().hash() {
                HeadPosition::OnChain
            } else {
                beside(known, theirs, ours)
            });
        }
    }
    Ok(HeadPosition::Unknown)
}

/// The earlier heads that a head names, with their numbers.
fn named_by(signed: &SignedHead) -> impl Iterator<Item = (u64, HeadHash)> + use<> {
    let head = signed.head();
    let previous = head.number.checked_sub(1).zip(head.previous);
    let landmark = landmark(head.number).zip(head.landmark);
    previous.into_iter().chain(landmark)
}

/// Two signed heads that contradict each other, without anything in between.
fn beside(known: &KnownLog, first: &SignedHead, second: &SignedHead) -> HeadPosition {
    let evidence = pb::Evidence {
        version: 1,
        identity: Some(known.identity.wire().clone()),
        first: Some(first.wire().clone()),
        second: Some(second.wire().clone()),
        ..pb::Evidence::default()
    };
    match evidence::check(&evidence.encode_to_vec()) {
        Ok(_) => HeadPosition::Contradicts(Box::new(evidence)),
        // What convinces nobody else convinces nobody here.
        Err(_) => HeadPosition::Unknown,
    }
}

/// The head of the chain with this number, if it is kept.
fn head_at(
    tx: &Transaction<'_>,
    known: &KnownLog,
    number: u64,
) -> Result<Option<SignedHead>, StoreError> {
    if known.number() == number {
        return Ok(known.newest.clone());
    }
    let kept: Option<Vec<u8>> = tx
        .prepare_cached("SELECT head FROM chain_head WHERE number = ?1")?
        .query_row([number.cast_signed()], |row| row.get(0))
        .optional()?;
    Ok(kept
        .and_then(|bytes| pb::SignedHead::decode(bytes.as_slice()).ok())
        .and_then(|wire| SignedHead::check(&known.identity, &wire).ok()))
}
