//! Alarms: warnings that the person must see even if nobody was looking when something
//! happened.
//!
//! A warning is sent once to listening programs; an alarm is stored, and stays in the status
//! (and so in every interface) until the person dismisses it.
//!
//! Each kind of alarm has its own space ([`KEPT_PER_KIND`]): a flood of one kind displaces
//! only alarms of that kind, dismissed ones first, and never one of another kind. The number
//! of kinds is fixed, and so is the size of the table.
//!
//! **Elsewhere**: alarms about missing proofs are in [`super::overdue_proofs`].
//!
//! **Always**: the same alarm is stored once, no matter how often it is raised, and with which
//! numbers or names. A new alarm is always shown. A dismissed alarm stays
//! dismissed while its cause continues; it is shown again if the cause returns after a while,
//! or if it says something new. Nothing that a stranger sends raises an alarm.

use rusqlite::{OptionalExtension as _, Transaction};
use waxwing_protocol::time::{Span, Time};

use crate::{
    api::{Alarm, Problem, ProblemReport},
    clock::Passed as _,
    store::StoreError,
    turn::{Fault, Turn},
    warnings::subject,
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

/// Alarms are known by what they are about, not by their words. `sentence` holds the report as
/// JSON; earlier versions stored only its sentence there.
pub(crate) const SUBJECTS: &str = "
CREATE TABLE alarm_about (
    code TEXT NOT NULL,
    subject TEXT NOT NULL,              -- which of its kind: see `subject`
    sentence TEXT NOT NULL,
    first_at INTEGER NOT NULL,
    last_at INTEGER NOT NULL,
    shown_at INTEGER NOT NULL,          -- when somebody was last notified of it
    dismissed INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (code, subject)
) STRICT, WITHOUT ROWID;
INSERT INTO alarm_about (code, subject, sentence, first_at, last_at, shown_at, dismissed)
    SELECT code, sentence, sentence, first_at, last_at, last_at, dismissed FROM alarm;
DROP TABLE alarm;
ALTER TABLE alarm_about RENAME TO alarm;
";

/// Alarms of one kind that are kept, at most: more than a relay has ways to misbehave, and
/// than an account has devices.
const KEPT_PER_KIND: i64 = 32;

/// A cause that was quiet for this long is a new one.
const QUIET: Span = Span::days(7);

/// An alarm that says something new is shown again, but not more often than this.
const SHOWN_AGAIN: Span = Span::hours(24);

/// An alarm that is there already.
struct StoredAlarm {
    /// The report, as the table has it.
    report: String,
    last_at: Time,
    shown_at: Time,
    dismissed: bool,
}

/// Raises an alarm.
pub(crate) fn raise(turn: &mut Turn<'_>, problem: &Problem) -> Result<(), Fault> {
    let code = problem.code();
    let report = serde_json::to_string(&problem.report()).unwrap_or_default();
    let subject = subject(problem);
    // Alarms of earlier versions were known by their sentence.
    turn.tx.execute(
        "UPDATE OR IGNORE alarm SET subject = ?2
         WHERE code = ?1 AND subject = sentence AND instr(sentence, ?2) > 0",
        (code, &subject),
    )?;
    let kept = find(turn.tx, code, &subject)?;
    let shows = match &kept {
        None => {
            make_room(turn.tx, code)?;
            true
        }
        Some(kept) => {
            let says_more =
                kept.report != report && turn.now.has_passed(kept.shown_at, SHOWN_AGAIN);
            says_more || (kept.dismissed && turn.now.has_passed(kept.last_at, QUIET))
        }
    };
    turn.tx.execute(
        "INSERT INTO alarm (code, subject, sentence, first_at, last_at, shown_at)
         VALUES (?1, ?2, ?3, ?4, ?4, ?4)
         ON CONFLICT DO UPDATE SET sentence = ?3, last_at = ?4,
             shown_at = iif(?5, ?4, shown_at), dismissed = iif(?5, 0, dismissed)",
        (code, &subject, &report, turn.now.0.cast_signed(), shows),
    )?;
    if shows {
        turn.warn_always(problem);
    }
    Ok(())
}

fn find(
    tx: &Transaction<'_>,
    code: &str,
    subject: &str,
) -> Result<Option<StoredAlarm>, StoreError> {
    Ok(tx
        .prepare_cached(
            "SELECT sentence, last_at, shown_at, dismissed FROM alarm
             WHERE code = ?1 AND subject = ?2",
        )?
        .query_row((code, subject), |row| {
            Ok(StoredAlarm {
                report: row.get(0)?,
                last_at: Time(row.get::<_, i64>(1)?.cast_unsigned()),
                shown_at: Time(row.get::<_, i64>(2)?.cast_unsigned()),
                dismissed: row.get(3)?,
            })
        })
        .optional()?)
}

/// Makes room for another alarm of this kind.
fn make_room(tx: &Transaction<'_>, code: &str) -> Result<(), StoreError> {
    tx.execute(
        "DELETE FROM alarm WHERE code = ?1 AND subject IN
             (SELECT subject FROM alarm WHERE code = ?1
              ORDER BY dismissed, last_at DESC, subject LIMIT -1 OFFSET ?2)",
        (code, KEPT_PER_KIND - 1),
    )?;
    Ok(())
}

/// What an alarm asked for was done.
pub(crate) fn resolve(tx: &Transaction<'_>, problem: &Problem) -> Result<(), StoreError> {
    tx.execute(
        "DELETE FROM alarm WHERE code = ?1
             AND (subject = ?2 OR (subject = sentence AND instr(sentence, ?2) > 0))",
        (problem.code(), &subject(problem)),
    )?;
    Ok(())
}

/// What all alarms of this code asked for was done.
pub(crate) fn resolve_all(tx: &Transaction<'_>, code: &str) -> Result<(), StoreError> {
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
        Ok(Alarm::of(
            read_report(row.get(0)?, row.get(1)?),
            Time(row.get::<_, i64>(2)?.cast_unsigned()).into(),
            Time(row.get::<_, i64>(3)?.cast_unsigned()).into(),
        ))
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// A report from the table. Earlier versions stored only its sentence.
fn read_report(code: String, stored: String) -> ProblemReport {
    serde_json::from_str(&stored).unwrap_or_else(|_| ProblemReport {
        code,
        sentence: stored,
        facts: serde_json::Map::new(),
    })
}

/// The person has seen them.
pub(crate) fn dismiss(tx: &Transaction<'_>) -> Result<(), StoreError> {
    tx.execute("UPDATE alarm SET dismissed = 1", [])?;
    Ok(())
}
