//! How much is fetched of groups that are not known, or not accepted.
//!
//! Anybody can send a welcome, and its sender is unknown until it is opened. Parcels of
//! unknown or unaccepted groups are therefore fetched one at a time, after all others, and
//! only so many bytes a day: alternately the smallest and the oldest, so that neither large
//! nor many parcels keep an honest one waiting for ever. The relay is not told that they are
//! here before the person knows their sender, because the sender could see it.

use rusqlite::OptionalExtension as _;
use waxwing_protocol::{limits, time::Span};

use super::{COLUMNS, OnItsWay, read, signed};
use crate::turn::{Fault, Turn};

/// So many of them are fetched on a day...
const UNKNOWN_A_DAY: i64 = 64;

/// ...and so many bytes: two of the largest, or one hundred small ones.
const UNKNOWN_BYTES_A_DAY: i64 = 32 << 20;

/// The parcel of a group that is not known which is fetched now, or is to be, if any may be.
pub(super) fn unknown_under_way(turn: &Turn<'_>) -> Result<Option<OnItsWay>, Fault> {
    let part = limits::BLOB_PART_BYTES;
    let one = |condition: &str| -> Result<Option<OnItsWay>, Fault> {
        let sql = format!(
            "SELECT {COLUMNS} FROM parcel WHERE way = 0 AND parts * {part} < bytes AND {condition}
             LIMIT 1"
        );
        let mut statement = turn.tx.prepare_cached(&sql)?;
        Ok(statement.query_row([], read).optional()?)
    };
    if let Some(begun) = one("unknown = 2")? {
        return Ok(Some(begun));
    }
    let (parcels, bytes) = fetched_today(turn)?;
    if parcels >= UNKNOWN_A_DAY {
        return Ok(None);
    }
    let next = if parcels % 2 == 0 {
        one("unknown = 1 ORDER BY bytes, rowid")?
    } else {
        one("unknown = 1 ORDER BY rowid")?
    };
    Ok(next.filter(|next| bytes.saturating_add(signed(next.bytes)) <= UNKNOWN_BYTES_A_DAY))
}

fn today(turn: &Turn<'_>) -> i64 {
    signed(turn.now.0 / Span::hours(24).0)
}

fn fetched_today(turn: &Turn<'_>) -> Result<(i64, i64), Fault> {
    let fetched = turn
        .tx
        .prepare_cached("SELECT parcels, bytes FROM unknown_fetched WHERE day = ?1")?
        .query_row([today(turn)], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    Ok(fetched.unwrap_or((0, 0)))
}

/// A parcel of a group that is not known is fetched from now on: it counts.
pub(super) fn count_unknown(turn: &Turn<'_>, row: &OnItsWay) -> Result<(), Fault> {
    let begun = turn.tx.execute(
        "UPDATE parcel SET unknown = 2 WHERE id = ?1 AND unknown = 1",
        [row.id],
    )?;
    if begun == 0 {
        return Ok(());
    }
    let day = today(turn);
    turn.tx
        .execute("DELETE FROM unknown_fetched WHERE day != ?1", [day])?;
    turn.tx.execute(
        "INSERT INTO unknown_fetched (day, parcels, bytes) VALUES (?1, 1, ?2)
         ON CONFLICT DO UPDATE SET parcels = parcels + 1, bytes = bytes + ?2",
        (day, signed(row.bytes)),
    )?;
    Ok(())
}
