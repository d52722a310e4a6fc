//! Gossip: comparing the log with others, by heads inside the encrypted messages.
//!
//! From time to time a message carries the newest head that its sender knows. The recipient's
//! device checks whether that head is on the chain that the relay shows *here*: in the stored
//! part of that chain ([`super::known_heads`]), or else by asking, on the link that is not logged
//! in, for the path from the newest head to that one. A relay that shows two people two logs
//! is caught by their next message to each other; both signed heads and the path are kept as
//! evidence.
//!
//! **Elsewhere**: [`super::log`] has the log as this device has checked it;
//! [`super::overdue_proofs`] handles heads that are never compared.
//!
//! **Always**: a head that the log's key did not sign raises no alarm against the relay,
//! because a malicious contact can say anything. Strangers' heads are compared with what is
//! stored here, and the relay is not asked about them.

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

use super::{
    alarm,
    known_heads::{self, HeadPosition},
    log, overdue_proofs,
};
use crate::{
    api::{ConversationId, Problem, RelayMisdeed},
    clock::Passed as _,
    contact,
    event::LinkKind,
    link::Job,
    memory::{Memory, Remembered},
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

/// Heads that wait to be compared are known by whose they are.
pub(crate) const SENDERS: &str = "
CREATE TABLE heard_from (
    account_id BLOB NOT NULL,        -- empty: heard by an earlier version
    number INTEGER NOT NULL,
    hash BLOB NOT NULL,
    head BLOB NOT NULL,              -- SignedHead
    heard_at INTEGER NOT NULL,
    since INTEGER NOT NULL,          -- the same in steps of use: see `overdue`
    tries INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (account_id, number, hash)
) STRICT, WITHOUT ROWID;
INSERT INTO heard_from (account_id, number, hash, head, heard_at, since)
    SELECT x'', number, hash, head, heard_at, 0 FROM heard_head;
DROP TABLE heard_head;
ALTER TABLE heard_from RENAME TO heard_head;
";

/// A group gets a newer head after this long.
const TELL_AGAIN: Span = Span::hours(1);

/// And of the newest one after this long, newer or not: so that everybody in it can tell
/// that they are shown the same log.
const TELL_ANYWAY: Span = Span::hours(12);

/// Heads of others that wait to be compared, at most.
const WAITING_MAX: i64 = 64;

/// Heads of one account that wait, at most: the oldest, and the newest.
const WAITING_PER_SENDER: i64 = 2;

/// Heads that this process remembers to be on the chain.
const COMPARED_MAX: usize = 256;

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

impl Remembered for Heads {}

impl Memory {
    pub(crate) fn heads_mut(&mut self) -> &mut Heads {
        self.states.get_mut()
    }
}

/// The newest head, if the next message of a group is to carry it: the number of the head that
/// was last put into one, and when, is `shown`.
pub(crate) fn head_due(turn: &Turn<'_>, shown: (u64, Time)) -> Option<SignedHead> {
    let newest = turn.memory.log()?.newest.as_ref()?;
    let (told, told_at) = shown;
    let is_due = told == 0
        || (newest.head().number > told && turn.now.has_passed(told_at, TELL_AGAIN))
        || turn.now.has_passed(told_at, TELL_ANYWAY);
    is_due.then(|| newest.clone())
}

/// Somebody's message came, with or without a head.
pub(crate) fn handle_head(
    turn: &mut Turn<'_>,
    conversation: Option<ConversationId>,
    from: AccountId,
    wire: Option<&pb::SignedHead>,
) -> Result<(), Fault> {
    let heard = match wire {
        Some(wire) => compare_head(turn, conversation, from, wire)?,
        None => Comparison::Impossible,
    };
    match heard {
        Comparison::Made => overdue_proofs::record_head_compared(turn, from),
        Comparison::Waits => Ok(()),
        Comparison::Impossible => overdue_proofs::record_head_missing(turn, conversation, from),
    }
}

/// What becomes of a head that came.
enum Comparison {
    /// It was compared with the chain seen here.
    Made,
    /// The relay has to be asked for the way to it.
    Waits,
    /// It cannot be compared.
    Impossible,
}

fn compare_head(
    turn: &mut Turn<'_>,
    conversation: Option<ConversationId>,
    from: AccountId,
    wire: &pb::SignedHead,
) -> Result<Comparison, Fault> {
    let Some(known) = turn.memory.log().cloned() else {
        return Ok(Comparison::Impossible);
    };
    let theirs = match SignedHead::check(&known.identity, wire) {
        Ok(theirs) => theirs,
        Err(HeadError::WrongLog) => {
            sees_another_log(turn, from)?;
            return Ok(Comparison::Impossible);
        }
        Err(HeadError::Malformed | HeadError::Unsigned) => return Ok(Comparison::Impossible),
    };
    if turn
        .memory
        .heads_mut()
        .compared
        .contains(&theirs.head().hash())
    {
        return Ok(Comparison::Made);
    }
    match known_heads::locate(turn.tx, &known, &theirs)? {
        HeadPosition::OnChain => Ok(Comparison::Made),
        HeadPosition::Contradicts(evidence) => {
            log::keep_evidence(turn, &evidence)?;
            let what = RelayMisdeed::LogSplit;
            alarm::raise(turn, &Problem::RelayMisbehaves { what })?;
            Ok(Comparison::Made)
        }
        HeadPosition::Unknown if !super::is_acquainted(turn, conversation, from)? => {
            Ok(Comparison::Impossible)
        }
        HeadPosition::Unknown => wait_for(turn, from, &theirs),
    }
}

/// Another log of this relay, or a lie of theirs: only the two people can tell. Somebody
/// whom this person does not know is not worth an alarm.
fn sees_another_log(turn: &mut Turn<'_>, from: AccountId) -> Result<(), Fault> {
    let contact =
        contact::of_account(turn.tx, from)?.filter(|contact| contact.verified && !contact.blocked);
    match contact {
        Some(contact) if super::is_known(turn, from)? => {
            let address = contact.display;
            alarm::raise(turn, &Problem::ContactSeesAnotherLog { address })
        }
        _ => Ok(()),
    }
}

/// Keeps a head until the relay has shown the way to it. Nobody can take the room of
/// others: of those who have several waiting, the newest goes.
fn wait_for(
    turn: &mut Turn<'_>,
    from: AccountId,
    theirs: &SignedHead,
) -> Result<Comparison, Fault> {
    let head = theirs.head();
    turn.tx.execute(
        "DELETE FROM heard_head WHERE account_id = ?1 AND (number, hash) IN
             (SELECT number, hash FROM heard_head WHERE account_id = ?1
              ORDER BY heard_at, number LIMIT -1 OFFSET ?2)",
        (from.0, WAITING_PER_SENDER - 1),
    )?;
    turn.tx.execute(
        "DELETE FROM heard_head WHERE (SELECT count(*) FROM heard_head) >= ?1
             AND (account_id, number, hash) IN
             (SELECT account_id, number, hash FROM heard_head AS one WHERE
                  (SELECT count(*) FROM heard_head WHERE account_id = one.account_id) > 1
              ORDER BY heard_at DESC LIMIT 1)",
        [WAITING_MAX],
    )?;
    let since = overdue_proofs::steps_of_use(turn.tx)?;
    turn.tx.execute(
        "INSERT INTO heard_head (account_id, number, hash, head, heard_at, since)
         SELECT ?1, ?2, ?3, ?4, ?5, ?6 WHERE (SELECT count(*) FROM heard_head) < ?7
         ON CONFLICT DO NOTHING",
        (
            from.0,
            head.number.cast_signed(),
            head.hash().0,
            theirs.wire().encode_to_vec(),
            turn.now.0.cast_signed(),
            since,
            WAITING_MAX,
        ),
    )?;
    let waits = turn
        .tx
        .prepare_cached("SELECT 1 FROM heard_head WHERE account_id = ?1")?
        .exists([from.0])?;
    turn.memory.heads_mut().waiting |= waits;
    Ok(if waits {
        Comparison::Waits
    } else {
        Comparison::Impossible
    })
}

/// Asks for the way to the heads that wait.
pub(crate) fn pump(turn: &mut Turn<'_>) -> Result<(), Fault> {
    if !turn.memory.heads_mut().waiting
        || turn.memory.log().is_none()
        || turn.memory.links.posting.awaits(&Job::FetchHeads)
        || turn.is_postponed(&crate::turn::Postponed::Heads)
    {
        return Ok(());
    }
    let mut known = vec![log::known_head(turn)];
    known.extend(waiting(turn.tx)?.iter().map(|one| one.number));
    known.retain(|number| *number > 0);
    known.sort_unstable();
    known.dedup();
    known.truncate(limits::HEADS_PER_REQUEST);
    turn.send_request(
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
        let place = view.hash_at(one.number);
        let is_hidden = one.number > newest;
        let is_answered = match place {
            Some(hash) => {
                if hash.0 == one.hash {
                    is_on_chain(turn, hash, &one.head)?;
                } else {
                    contradicted(turn, &one, view, answer)?;
                }
                if let Some(from) = one.from {
                    overdue_proofs::record_head_compared(turn, from)?;
                }
                true
            }
            None if is_hidden && turn.now.has_passed(one.at, HIDDEN_AFTER) => {
                let what = RelayMisdeed::LogHidden;
                alarm::raise(turn, &Problem::RelayMisbehaves { what })?;
                true
            }
            // The next answer may have the way to it. Others are asked for first.
            None => false,
        };
        let key = (
            one.from.map(|from| from.0.to_vec()).unwrap_or_default(),
            one.number.cast_signed(),
            one.hash,
        );
        turn.tx.execute(
            if is_answered {
                "DELETE FROM heard_head WHERE account_id = ?1 AND number = ?2 AND hash = ?3"
            } else {
                "UPDATE heard_head SET tries = tries + 1
                 WHERE account_id = ?1 AND number = ?2 AND hash = ?3"
            },
            key,
        )?;
    }
    turn.memory.heads_mut().waiting = any_waiting(turn.tx)?;
    if turn.memory.heads_mut().waiting {
        turn.postpone(crate::turn::Postponed::Heads, Span::minutes(1));
    }
    Ok(())
}

/// Somebody's head is one of the chain that is shown here: the next time nobody is asked.
fn is_on_chain(turn: &mut Turn<'_>, hash: HeadHash, head: &[u8]) -> Result<(), Fault> {
    if turn.memory.heads_mut().compared.len() >= COMPARED_MAX {
        turn.memory.heads_mut().compared.clear();
    }
    turn.memory.heads_mut().compared.insert(hash);
    let head = pb::SignedHead::decode(head).ok();
    let known = turn.memory.log();
    if let Some(head) = head
        .zip(known)
        .and_then(|(head, known)| SignedHead::check(&known.identity, &head).ok())
    {
        known_heads::store_head(turn.tx, &head)?;
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
    one: &ReceivedHead,
    view: &View,
    answer: &pb::LogView,
) -> Result<(), Fault> {
    let Some(known) = turn.memory.log() else {
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

struct ReceivedHead {
    /// Whose message brought it; `None` for what an earlier version heard.
    from: Option<AccountId>,
    number: u64,
    hash: [u8; 32],
    head: Vec<u8>,
    at: Time,
}

fn waiting(tx: &Transaction<'_>) -> Result<Vec<ReceivedHead>, StoreError> {
    let mut statement = tx.prepare_cached(
        "SELECT account_id, number, hash, head, heard_at FROM heard_head
         ORDER BY tries, number LIMIT 15",
    )?;
    let rows = statement.query_map([], |row| {
        let from: Vec<u8> = row.get(0)?;
        Ok(ReceivedHead {
            from: <[u8; 32]>::try_from(from).ok().map(AccountId),
            number: row.get::<_, i64>(1)?.cast_unsigned(),
            hash: row.get(2)?,
            head: row.get(3)?,
            at: Time(row.get::<_, i64>(4)?.cast_unsigned()),
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}
