//! The relay's key log as this device knows it.
//!
//! A log's identity is accepted once, signed by the relay's pinned key. From then on every
//! answer that proves something has a view of the log, and each view must continue the newest
//! head seen before ([`follow`]). A contradiction is kept as evidence and raises an alarm.
//!
//! **Elsewhere**: `waxwing_transparency` does the checks; [`super::lookups`] and
//! [`super::own_history`] use what a view proves; [`super::gossip`] compares heads with other
//! people.
//!
//! **Always**: the newest head only ever moves forward along its own chain. A log identity is
//! never replaced.

use prost::Message as _;
use rusqlite::{OptionalExtension as _, Transaction};
use waxwing_protocol::{
    pb::{self, client_frame::Body},
    time::{Span, Time},
};
use waxwing_transparency::{
    head::SignedHead,
    identity::LogIdentity,
    view::{View, ViewError},
};

use crate::{
    api::{Problem, RelayMisdeed},
    event::LinkKind,
    link::{Job, LinkPhase, retry_after},
    memory::{Memory, Remembered},
    settings,
    store::StoreError,
    turn::{Fault, Postponed, Turn},
};

pub(crate) const SCHEMA: &str = "
CREATE TABLE key_log (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    identity BLOB NOT NULL,          -- LogIdentity
    newest BLOB                      -- SignedHead
) STRICT;
CREATE TABLE evidence (
    id INTEGER PRIMARY KEY,
    found_at INTEGER NOT NULL,
    file BLOB NOT NULL UNIQUE        -- Evidence
) STRICT;
";

/// Evidence that is kept, at most.
const EVIDENCE_MAX: i64 = 16;

/// An identity that is not believed is asked for again after this long.
const IDENTITY_AGAIN: Span = Span::minutes(1);

/// One that the relay refuses, after this long at the latest.
const IDENTITY_AGAIN_MAX: Span = Span::minutes(10);

/// Answers in a row that may be older than what is known, before that is no accident:
/// answers on two links overtake each other now and then.
const OVERTAKEN_MAX: u32 = 3;

/// What this process knows of the relay's key log.
#[derive(Default)]
pub(crate) struct LogMemory {
    known: Option<KnownLog>,
    /// Answers in a row that were older than what is known.
    overtaken: u32,
}

impl Remembered for LogMemory {}

impl Memory {
    pub(crate) fn log(&self) -> Option<&KnownLog> {
        self.states.get::<LogMemory>()?.known.as_ref()
    }

    pub(crate) fn set_log(&mut self, known: Option<KnownLog>) {
        self.states.get_mut::<LogMemory>().known = known;
    }

    fn overtaken_mut(&mut self) -> &mut u32 {
        &mut self.states.get_mut::<LogMemory>().overtaken
    }
}

/// What is known of the log.
#[derive(Clone)]
pub(crate) struct KnownLog {
    pub identity: LogIdentity,
    pub newest: Option<SignedHead>,
}

impl KnownLog {
    /// The number of the newest head; 0 where there is none.
    pub(crate) fn number(&self) -> u64 {
        self.newest.as_ref().map_or(0, |head| head.head().number)
    }
}

/// Why an answer proves nothing.
#[derive(Debug)]
pub(crate) enum Unproven {
    /// Nobody's fault: to be asked again at once.
    AskAgain,
    /// Tells the person, and asks again later.
    Problem(Problem),
}

/// Reads what is known.
pub(crate) fn load(tx: &Transaction<'_>) -> Result<Option<KnownLog>, StoreError> {
    let row: Option<(Vec<u8>, Option<Vec<u8>>)> = tx
        .query_row("SELECT identity, newest FROM key_log", [], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })
        .optional()?;
    let Some((identity, newest)) = row else {
        return Ok(None);
    };
    let identity = pb::LogIdentity::decode(identity.as_slice())
        .ok()
        .and_then(|wire| LogIdentity::check(&wire).ok())
        .ok_or_else(damaged)?;
    let newest = newest
        .map(|bytes| {
            pb::SignedHead::decode(bytes.as_slice())
                .ok()
                .and_then(|wire| SignedHead::check(&identity, &wire).ok())
                .ok_or_else(damaged)
        })
        .transpose()?;
    Ok(Some(KnownLog { identity, newest }))
}

/// The number of the newest head that is known; 0 for none.
pub(crate) fn known_head(turn: &Turn<'_>) -> u64 {
    turn.memory.log().map_or(0, KnownLog::number)
}

/// The relay greeted on a link: is its log the one that is known?
pub(crate) fn handle_hello(turn: &mut Turn<'_>, link: LinkKind, log_id: &[u8]) {
    let known = turn
        .memory
        .log()
        .is_some_and(|log| log.identity.id().0.as_slice() == log_id);
    if !known {
        let fetch = pb::FetchLogIdentity {};
        turn.send_request(link, Job::FetchLogIdentity, Body::FetchLogIdentity(fetch));
    }
}

/// Asks again for the identity of the log, as long as it is not known: without it nothing can
/// be proved.
pub(crate) fn pump(turn: &mut Turn<'_>) {
    if turn.memory.log().is_some() || turn.is_postponed(&Postponed::LogIdentity) {
        return;
    }
    for link in [LinkKind::Mailbox, LinkKind::Posting] {
        let asked = turn.memory.links.of(link);
        let is_ready = matches!(asked.phase, LinkPhase::Ready { .. } | LinkPhase::LoggedIn);
        if is_ready && !asked.awaits(&Job::FetchLogIdentity) {
            let fetch = pb::FetchLogIdentity {};
            turn.send_request(link, Job::FetchLogIdentity, Body::FetchLogIdentity(fetch));
            return;
        }
    }
}

/// The relay did not give the identity of its log.
pub(crate) fn identity_refused(turn: &mut Turn<'_>, error: &pb::Error) {
    let pause = retry_after(error).min(IDENTITY_AGAIN_MAX);
    turn.postpone(Postponed::LogIdentity, pause);
}

/// The relay gave a log identity.
pub(crate) fn handle_identity(
    turn: &mut Turn<'_>,
    fetched: &pb::LogIdentityFetched,
) -> Result<(), Fault> {
    let checked = fetched
        .identity
        .as_ref()
        .and_then(|wire| LogIdentity::check(wire).ok());
    let pinned = settings::relay(turn.tx)?
        .and_then(|relay| relay.pin)
        .and_then(|pin| pin_bytes(&pin));
    let (Some(identity), Some(pinned)) = (checked, pinned) else {
        turn.postpone(Postponed::LogIdentity, IDENTITY_AGAIN);
        turn.warn_misdeed(RelayMisdeed::LogFalse);
        return Ok(());
    };
    if *identity.relay_pin() != pinned {
        turn.postpone(Postponed::LogIdentity, IDENTITY_AGAIN);
        turn.warn_misdeed(RelayMisdeed::LogFalse);
        return Ok(());
    }
    let Some(known) = turn.memory.log() else {
        turn.tx.execute(
            "INSERT INTO key_log (id, identity) VALUES (1, ?1)",
            [identity.wire().encode_to_vec()],
        )?;
        turn.memory.set_log(Some(KnownLog {
            identity,
            newest: None,
        }));
        return Ok(());
    };
    if known.identity.id() != identity.id() {
        let evidence = pb::Evidence {
            version: 1,
            identity: Some(known.identity.wire().clone()),
            other_identity: Some(identity.wire().clone()),
            ..pb::Evidence::default()
        };
        keep_evidence(turn, &evidence)?;
        super::alarm::raise(
            turn,
            &Problem::RelayMisbehaves {
                what: RelayMisdeed::LogReplaced,
            },
        )?;
    }
    Ok(())
}

/// Takes a view of the log: it must continue what was known.
pub(crate) fn follow(
    turn: &mut Turn<'_>,
    view: Option<&pb::LogView>,
) -> Result<Result<View, Unproven>, Fault> {
    // Without an identity nothing was asked that a view would answer.
    let (Some(known), Some(view)) = (turn.memory.log().cloned(), view) else {
        return misdeed(turn, RelayMisdeed::LogFalse);
    };
    let checked = View::check(&known.identity, known.newest.as_ref(), view, turn.now);
    let what = match checked {
        Ok(view) => {
            if view.newest().head().number > known.number() {
                move_on(turn, known, view.newest())?;
            }
            *turn.memory.overtaken_mut() = 0;
            super::auditors::handle_cosignatures(turn, &view)?;
            return Ok(Ok(view));
        }
        Err(ViewError::Older { .. }) if *turn.memory.overtaken_mut() < OVERTAKEN_MAX => {
            *turn.memory.overtaken_mut() += 1;
            return Ok(Err(Unproven::AskAgain));
        }
        Err(ViewError::Stale { made_at }) => {
            let age_ms = turn.now.since(made_at).0;
            return Ok(Err(Unproven::Problem(Problem::LogStale { age_ms })));
        }
        Err(ViewError::Ahead { made_at }) => {
            let ahead_ms = made_at.since(turn.now).0;
            return Ok(Err(Unproven::Problem(Problem::LogAhead { ahead_ms })));
        }
        Err(ViewError::Forked(evidence)) => {
            keep_evidence(turn, &evidence)?;
            RelayMisdeed::LogRewritten
        }
        Err(ViewError::Older { .. }) => RelayMisdeed::LogRolledBack,
        Err(ViewError::WrongLog) => RelayMisdeed::LogReplaced,
        Err(ViewError::Malformed | ViewError::Unsigned | ViewError::Unlinked) => {
            RelayMisdeed::LogFalse
        }
    };
    misdeed(turn, what)
}

/// Raises an alarm about what the relay did with its log.
pub(crate) fn misdeed<T>(
    turn: &mut Turn<'_>,
    what: RelayMisdeed,
) -> Result<Result<T, Unproven>, Fault> {
    let problem = Problem::RelayMisbehaves { what };
    super::alarm::raise(turn, &problem)?;
    Ok(Err(Unproven::Problem(problem)))
}

/// Keeps what proves that the relay lied.
pub(crate) fn keep_evidence(turn: &mut Turn<'_>, evidence: &pb::Evidence) -> Result<(), Fault> {
    turn.tx.execute(
        "INSERT INTO evidence (found_at, file)
         SELECT ?1, ?2 WHERE (SELECT count(*) FROM evidence) < ?3
         ON CONFLICT DO NOTHING",
        (
            turn.now.0.cast_signed(),
            evidence.encode_to_vec(),
            EVIDENCE_MAX,
        ),
    )?;
    Ok(())
}

/// All evidence: when it was found, and the file.
pub(crate) fn evidence(tx: &Transaction<'_>) -> Result<Vec<(Time, Vec<u8>)>, StoreError> {
    let mut statement = tx.prepare("SELECT found_at, file FROM evidence ORDER BY id")?;
    let rows = statement.query_map([], |row| {
        Ok((Time(row.get::<_, i64>(0)?.cast_unsigned()), row.get(1)?))
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn move_on(turn: &mut Turn<'_>, known: KnownLog, newest: &SignedHead) -> Result<(), Fault> {
    turn.tx.execute(
        "UPDATE key_log SET newest = ?1",
        [newest.wire().encode_to_vec()],
    )?;
    super::known_heads::store_head(turn.tx, newest)?;
    turn.memory.set_log(Some(KnownLog {
        newest: Some(newest.clone()),
        ..known
    }));
    Ok(())
}

/// The hash in `sha256/…`.
fn pin_bytes(pin: &str) -> Option<[u8; 32]> {
    let text = pin
        .strip_prefix("sha256/")?
        .replace('-', "+")
        .replace('_', "/");
    data_encoding::BASE64
        .decode(text.as_bytes())
        .ok()?
        .try_into()
        .ok()
}

fn damaged() -> StoreError {
    StoreError::Damaged {
        found: "a key log that does not verify".to_owned(),
    }
}
