//! Alarms: what a person must know even if nobody was looking when it happened.
//!
//! A warning is told once to whoever listens; an alarm is kept, and stands in the status
//! (and so in every interface) until the person dismisses it.
//!
//! **Always**: the same alarm is kept once, however often it is raised. What was dismissed
//! stays so while its cause goes on, and stands again when it comes back after a while.

use rusqlite::Transaction;
use waxwing_protocol::time::{Span, Time};

use crate::{
    api::{Alarm, Notice, Problem, Warning},
    store::StoreError,
    turn::{Fault, Turn},
};

pub(crate) const SCHEMA: &str = "
CREATE TABLE alarm (
    code TEXT NOT NULL,
    sentence TEXT NOT NULL,
    first_at INTEGER NOT NULL,
    last_at INTEGER NOT NULL,
    dismissed INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (code, sentence)
) STRICT, WITHOUT ROWID;
";

/// Alarms that are kept, at most.
const KEPT_MAX: i64 = 64;

/// A cause that was quiet for this long is a new one.
const QUIET: Span = Span::days(7);

/// Raises an alarm.
pub(crate) fn raise(turn: &mut Turn<'_>, problem: &Problem) -> Result<(), Fault> {
    let report = problem.report();
    let now = turn.now.0.cast_signed();
    let added = turn.tx.execute(
        "INSERT INTO alarm (code, sentence, first_at, last_at)
         SELECT ?1, ?2, ?3, ?3 WHERE (SELECT count(*) FROM alarm) < ?4
         ON CONFLICT DO NOTHING",
        (&report.code, &report.sentence, now, KEPT_MAX),
    )?;
    let back = turn.tx.execute(
        "UPDATE alarm SET dismissed = 0
         WHERE code = ?1 AND sentence = ?2 AND dismissed AND ?3 - last_at >= ?4",
        (&report.code, &report.sentence, now, QUIET.0.cast_signed()),
    )?;
    turn.tx.execute(
        "UPDATE alarm SET last_at = ?3 WHERE code = ?1 AND sentence = ?2",
        (&report.code, &report.sentence, now),
    )?;
    if added + back > 0 {
        turn.notify(Notice::Warning(Warning { problem: report }));
    }
    Ok(())
}

/// What an alarm asked for was done.
pub(crate) fn settled(tx: &Transaction<'_>, problem: &Problem) -> Result<(), StoreError> {
    let report = problem.report();
    tx.execute(
        "DELETE FROM alarm WHERE code = ?1 AND sentence = ?2",
        (&report.code, &report.sentence),
    )?;
    Ok(())
}

/// What all alarms of this code asked for was done.
pub(crate) fn settled_all(tx: &Transaction<'_>, code: &str) -> Result<(), StoreError> {
    tx.execute("DELETE FROM alarm WHERE code = ?1", [code])?;
    Ok(())
}

/// All that were not dismissed, the oldest first.
pub(crate) fn all(tx: &Transaction<'_>) -> Result<Vec<Alarm>, StoreError> {
    let mut statement = tx.prepare(
        "SELECT code, sentence, first_at, last_at FROM alarm
             WHERE NOT dismissed ORDER BY first_at",
    )?;
    let rows = statement.query_map([], |row| {
        Ok(Alarm {
            code: row.get(0)?,
            sentence: row.get(1)?,
            first_at: Time(row.get::<_, i64>(2)?.cast_unsigned()).into(),
            last_at: Time(row.get::<_, i64>(3)?.cast_unsigned()).into(),
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// The person has seen them.
pub(crate) fn dismiss(tx: &Transaction<'_>) -> Result<(), StoreError> {
    tx.execute("UPDATE alarm SET dismissed = 1", [])?;
    Ok(())
}
