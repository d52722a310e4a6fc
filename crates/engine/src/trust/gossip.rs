//! Comparing the log with others: heads travel inside the encrypted messages.
//!
//! Now and then a message carries the newest head that its sender knows. Whoever receives
//! it looks whether that head is on the chain that the relay shows *here*, if need be by
//! asking, on the link that is not logged in, for the way from the newest head to that
//! one. A relay that shows two people two logs is caught by their next message to each
//! other; both signed heads and the way are kept as evidence.
//!
//! **Elsewhere**: the chain of what is seen here: [`super::log`].
//!
//! **Always**: a head that the log's key did not sign raises no alarm against the relay: a
//! malicious contact can say anything.

use std::collections::HashSet;

use prost::Message as _;
use rusqlite::Transaction;
use waxwing_protocol::{
    ids::AccountId,
    limits, pb,
    pb::{FetchHeads, client_frame::Body},
    time::{Span, Time},
};
use waxwing_transparency::{
    head::{HeadError, HeadHash, SignedHead},
    view::View,
};

use super::{alarm, log};
use crate::{
    api::{Problem, RelayMisdeed},
    contact,
    conversation::groups::{self, Group},
    event::LinkKind,
    link::Job,
    store::StoreError,
    turn::{Fault, Turn},
};

pub(crate) const SCHEMA: &str = "
CREATE TABLE heard_head (
    number INTEGER NOT NULL,
    hash BLOB NOT NULL,
    head BLOB NOT NULL,              -- SignedHead
    heard_at INTEGER NOT NULL,
    PRIMARY KEY (number, hash)
) STRICT, WITHOUT ROWID;
";

/// A group is told of a newer head after this long.
const TELL_AGAIN: Span = Span::hours(1);

/// Heads of others that wait to be compared, at most.
const WAITING_MAX: i64 = 64;

/// A relay that does not show a head which somebody else was shown hides it, after this
/// long.
const HIDDEN_AFTER: Span = Span::minutes(10);

/// Heads that others were shown, as this process remembers them.
#[derive(Default)]
pub(crate) struct Heads {
    /// Those that are on the chain seen here.
    compared: HashSet<HeadHash>,
    /// Whether some wait to be compared.
    pub waiting: bool,
}

/// Puts the newest head into a message, now and then.
pub(crate) fn attach(
    turn: &mut Turn<'_>,
    group: &Group,
    envelope: &mut pb::Envelope,
) -> Result<(), Fault> {
    let Some(newest) = turn.live.log.as_ref().and_then(|log| log.newest.as_ref()) else {
        return Ok(());
    };
    let number = newest.head().number;
    let (told, told_at) = groups::told_head(turn.tx, group.id)?;
    if number > told && (told == 0 || turn.now.since(told_at) >= TELL_AGAIN) {
        envelope.head = Some(newest.wire().clone());
        groups::set_told_head(turn.tx, group.id, number, turn.now)?;
    }
    Ok(())
}

/// Somebody's message carried a head.
pub(crate) fn heard(
    turn: &mut Turn<'_>,
    from: AccountId,
    wire: &pb::SignedHead,
) -> Result<(), Fault> {
    let Some(known) = &turn.live.log else {
        return Ok(());
    };
    let theirs = match SignedHead::check(&known.identity, wire) {
        Ok(theirs) => theirs,
        // Another log of this relay, or a lie of theirs: that only the two people can tell.
        Err(HeadError::WrongLog) => {
            let address = contact::of_account(turn.tx, from)?
                .map(|contact| contact.display)
                .unwrap_or_default();
            return alarm::raise(turn, &Problem::ContactSeesAnotherLog { address });
        }
        Err(HeadError::Malformed | HeadError::Unsigned) => return Ok(()),
    };
    let head = theirs.head();
    let hash = head.hash();
    if known
        .newest
        .as_ref()
        .is_some_and(|newest| newest.head().hash() == hash)
        || turn.live.heads.compared.contains(&hash)
    {
        return Ok(());
    }
    turn.tx.execute(
        "INSERT INTO heard_head (number, hash, head, heard_at)
         SELECT ?1, ?2, ?3, ?4 WHERE (SELECT count(*) FROM heard_head) < ?5
         ON CONFLICT DO NOTHING",
        (
            head.number.cast_signed(),
            hash.0,
            wire.encode_to_vec(),
            turn.now.0.cast_signed(),
            WAITING_MAX,
        ),
    )?;
    turn.live.heads.waiting = true;
    Ok(())
}

/// Asks for the way to the heads that wait.
pub(crate) fn pump(turn: &mut Turn<'_>) -> Result<(), Fault> {
    if !turn.live.heads.waiting
        || turn.live.log.is_none()
        || turn.live.links.posting.awaits(&Job::FetchHeads)
        || turn.waits(&crate::turn::Waiting::Heads)
    {
        return Ok(());
    }
    let mut known = vec![log::known_head(turn)];
    known.extend(waiting(turn.tx)?.iter().map(|one| one.number));
    known.retain(|number| *number > 0);
    known.dedup();
    known.truncate(limits::HEADS_PER_REQUEST);
    turn.ask(
        LinkKind::Posting,
        Job::FetchHeads,
        Body::FetchHeads(FetchHeads { known }),
    );
    Ok(())
}

/// A view of the log came that was asked for heads that wait.
pub(crate) fn compare(turn: &mut Turn<'_>, view: &View, answer: &pb::LogView) -> Result<(), Fault> {
    let newest = view.newest().head().number;
    for one in waiting(turn.tx)? {
        match view.hash_at(one.number) {
            Some(hash) if hash.0 == one.hash => {
                if turn.live.heads.compared.len() >= 256 {
                    turn.live.heads.compared.clear();
                }
                turn.live.heads.compared.insert(hash);
            }
            Some(_) => contradicted(turn, &one, view, answer)?,
            None if one.number > newest && turn.now.since(one.at) < HIDDEN_AFTER => continue,
            None if one.number > newest => {
                let what = RelayMisdeed::LogHidden;
                alarm::raise(turn, &Problem::RelayMisbehaves { what })?;
            }
            // The next answer may have the way to it.
            None => continue,
        }
        turn.tx.execute(
            "DELETE FROM heard_head WHERE number = ?1 AND hash = ?2",
            (one.number.cast_signed(), one.hash),
        )?;
    }
    turn.live.heads.waiting = any_waiting(turn.tx)?;
    if turn.live.heads.waiting {
        turn.wait(crate::turn::Waiting::Heads, Span::minutes(1));
    }
    Ok(())
}

/// Whether heads wait to be compared.
pub(crate) fn any_waiting(tx: &Transaction<'_>) -> Result<bool, StoreError> {
    Ok(
        tx.query_row("SELECT EXISTS (SELECT 1 FROM heard_head)", [], |row| {
            row.get(0)
        })?,
    )
}

/// Two signed truths.
fn contradicted(
    turn: &mut Turn<'_>,
    one: &Heard,
    view: &View,
    answer: &pb::LogView,
) -> Result<(), Fault> {
    let Some(known) = &turn.live.log else {
        return Ok(());
    };
    let evidence = pb::Evidence {
        version: 1,
        identity: Some(known.identity.wire().clone()),
        first: pb::SignedHead::decode(one.head.as_slice()).ok(),
        second: Some(view.newest().wire().clone()),
        links: answer.links.clone(),
        other_identity: None,
    };
    log::keep_evidence(turn, &evidence)?;
    let what = RelayMisdeed::LogSplit;
    alarm::raise(turn, &Problem::RelayMisbehaves { what })
}

struct Heard {
    number: u64,
    hash: [u8; 32],
    head: Vec<u8>,
    at: Time,
}

fn waiting(tx: &Transaction<'_>) -> Result<Vec<Heard>, StoreError> {
    let mut statement = tx.prepare_cached(
        "SELECT number, hash, head, heard_at FROM heard_head ORDER BY number LIMIT 15",
    )?;
    let rows = statement.query_map([], |row| {
        Ok(Heard {
            number: row.get::<_, i64>(0)?.cast_unsigned(),
            hash: row.get(1)?,
            head: row.get(2)?,
            at: Time(row.get::<_, i64>(3)?.cast_unsigned()),
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}
