//! Sender counters: which of each device's envelopes in each group have arrived, and which
//! have not.
//!
//! **Always**: a device's row has `contiguous`: everything up to there has arrived or was
//! given up. What arrived above it is listed, at most [`ABOVE_MAX`] numbers. Members choose
//! their own counters, so a counter that would show a gap of more than [`LEAP_MAX`] is
//! ignored.

use rusqlite::{OptionalExtension as _, Row, Transaction};
use waxwing_protocol::{
    ids::{DeviceId, GroupId},
    time::{Span, Time},
};

use crate::store::StoreError;

pub(crate) const SCHEMA: &str = "
CREATE TABLE heard (
    group_id BLOB NOT NULL,
    device_id BLOB NOT NULL,
    contiguous INTEGER NOT NULL,
    highest INTEGER NOT NULL,
    ask_at INTEGER,              -- there is a hole, and then it is asked for
    asks INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (group_id, device_id)
) WITHOUT ROWID;
CREATE INDEX heard_ask ON heard (ask_at) WHERE ask_at IS NOT NULL;
CREATE TABLE heard_above (
    group_id BLOB NOT NULL,
    device_id BLOB NOT NULL,
    counter INTEGER NOT NULL,
    PRIMARY KEY (group_id, device_id, counter)
) WITHOUT ROWID;
";

/// A hole this old is asked for.
pub(crate) const GRACE: Span = Span::seconds(30);

/// A hole is asked for again after this long, then after four times as long, and so
/// on.
pub(crate) const ASK_AGAIN: Span = Span::minutes(2);

/// Times that a hole is asked for.
pub(crate) const ASKS: u32 = 6;

/// Ranges that one request names.
pub(crate) const RANGES_PER_REQUEST: usize = 64;

/// Envelopes above a hole that are remembered; with more the hole is given up.
pub(crate) const ABOVE_MAX: i64 = 4_096;

/// A device that leaps ahead by more has lost more than anybody can send again: it is counted
/// from there on, and no gap is shown.
const LEAP_MAX: i64 = 100_000;

/// No honest device ever counts so far.
const COUNTER_MAX: u64 = 1 << 48;

/// `contiguous` of a device whose numbers are not known yet.
const ANYWHERE: i64 = -1;

/// A device's envelopes in a group.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Sender {
    pub group: GroupId,
    pub device: DeviceId,
}

/// What an envelope's counter says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CounterCheck {
    /// It is the next, and nothing is missing.
    InOrder,
    /// Something before it is missing.
    Ahead,
    /// It was missing.
    Filled {
        /// How many still are.
        missing: u64,
    },
    /// This number has come before.
    Duplicate,
}

struct SenderCounter {
    contiguous: i64,
    highest: i64,
    ask_at: Option<i64>,
    asks: u32,
}

/// Notes that an envelope has come.
pub(crate) fn record(
    tx: &Transaction<'_>,
    now: Time,
    sender: Sender,
    counter: u64,
) -> Result<CounterCheck, StoreError> {
    if counter > COUNTER_MAX {
        return Ok(CounterCheck::Duplicate);
    }
    let counter = counter.cast_signed();
    let state = state(tx, sender)?;
    let known = state.is_some();
    let mut state = state.unwrap_or(SenderCounter {
        contiguous: 0,
        highest: 0,
        ask_at: None,
        asks: 0,
    });
    if state.contiguous == ANYWHERE {
        state.contiguous = counter;
        state.highest = counter;
        write_row(tx, sender, &state, known)?;
        return Ok(CounterCheck::InOrder);
    }
    if counter <= state.contiguous {
        return Ok(CounterCheck::Duplicate);
    }
    let leaps = counter - state.contiguous > LEAP_MAX;
    if leaps {
        give_up(tx, sender)?;
        state.ask_at = None;
        state.asks = 0;
    }
    if leaps || (counter == state.contiguous + 1 && state.highest == state.contiguous) {
        state.contiguous = counter;
        state.highest = counter;
        write_row(tx, sender, &state, known)?;
        return Ok(CounterCheck::InOrder);
    }
    let new = tx
        .prepare_cached(
            "INSERT INTO heard_above (group_id, device_id, counter) VALUES (?1, ?2, ?3)
             ON CONFLICT DO NOTHING",
        )?
        .execute((sender.group.0, sender.device.0, counter))?;
    if new == 0 {
        return Ok(CounterCheck::Duplicate);
    }
    let ahead = counter > state.highest;
    state.highest = state.highest.max(counter);
    close_up(tx, sender, &mut state)?;
    while above(tx, sender)? > ABOVE_MAX {
        let first: i64 = tx.query_row(
            "SELECT min(counter) FROM heard_above WHERE group_id = ?1 AND device_id = ?2",
            (sender.group.0, sender.device.0),
            |row| row.get(0),
        )?;
        state.contiguous = first - 1;
        close_up(tx, sender, &mut state)?;
    }
    if state.contiguous == state.highest {
        state.ask_at = None;
        state.asks = 0;
    } else if state.ask_at.is_none() && state.asks == 0 {
        state.ask_at = Some(now.after(GRACE).0.cast_signed());
    }
    write_row(tx, sender, &state, known)?;
    if ahead {
        Ok(CounterCheck::Ahead)
    } else {
        Ok(CounterCheck::Filled {
            missing: missing(tx, sender)?,
        })
    }
}

/// This device was taken into a group in which another has spoken before: where its
/// numbers stand, its first envelope tells.
pub(crate) fn start_anywhere(tx: &Transaction<'_>, sender: Sender) -> Result<(), StoreError> {
    start_at(tx, sender, ANYWHERE)
}

/// Another device of this account has heard everything of a device up to this number, and
/// handed it over.
pub(crate) fn start_after(
    tx: &Transaction<'_>,
    sender: Sender,
    counter: u64,
) -> Result<(), StoreError> {
    let is_honest = counter <= COUNTER_MAX;
    let counter = if is_honest {
        counter.cast_signed()
    } else {
        ANYWHERE
    };
    start_at(tx, sender, counter)
}

/// Like [`start_after`], where this device may have heard later envelopes already, since it
/// was taken into the group before it was handed the rest: what came in between is a hole.
pub(crate) fn start_no_later(
    tx: &Transaction<'_>,
    now: Time,
    sender: Sender,
    counter: u64,
) -> Result<(), StoreError> {
    start_after(tx, sender, counter)?;
    let Ok(counter) = i64::try_from(counter) else {
        return Ok(());
    };
    tx.execute(
        "UPDATE heard SET contiguous = ?3, highest = max(highest, ?3), asks = 0,
             ask_at = CASE WHEN highest > ?3 THEN ?4 END
         WHERE group_id = ?1 AND device_id = ?2 AND (contiguous = ?5 OR contiguous > ?3)",
        (
            sender.group.0,
            sender.device.0,
            counter,
            now.0.cast_signed(),
            ANYWHERE,
        ),
    )?;
    Ok(())
}

fn start_at(tx: &Transaction<'_>, sender: Sender, contiguous: i64) -> Result<(), StoreError> {
    tx.execute(
        "INSERT INTO heard (group_id, device_id, contiguous, highest) VALUES (?1, ?2, ?3, ?3)
         ON CONFLICT DO NOTHING",
        (sender.group.0, sender.device.0, contiguous),
    )?;
    Ok(())
}

/// What is missing of a device's envelopes is not asked for any more: it is out of the group.
pub(crate) fn give_up(tx: &Transaction<'_>, sender: Sender) -> Result<(), StoreError> {
    let key = (sender.group.0, sender.device.0);
    tx.prepare_cached("DELETE FROM heard_above WHERE group_id = ?1 AND device_id = ?2")?
        .execute(key)?;
    tx.prepare_cached(
        "UPDATE heard SET contiguous = highest, ask_at = NULL, asks = 0
         WHERE group_id = ?1 AND device_id = ?2 AND highest > contiguous",
    )?
    .execute(key)?;
    Ok(())
}

/// A device says that its envelopes up to this number are not for this one: they are not
/// missing.
pub(crate) fn skip_up_to(
    tx: &Transaction<'_>,
    sender: Sender,
    counter: u64,
) -> Result<(), StoreError> {
    let counter = counter.min(COUNTER_MAX).cast_signed();
    let Some(mut state) = state(tx, sender)? else {
        return start_at(tx, sender, counter);
    };
    // Where its numbers stand, its next envelope tells.
    if state.contiguous == ANYWHERE || counter <= state.contiguous {
        return Ok(());
    }
    state.contiguous = counter;
    tx.prepare_cached(
        "DELETE FROM heard_above WHERE group_id = ?1 AND device_id = ?2 AND counter <= ?3",
    )?
    .execute((sender.group.0, sender.device.0, counter))?;
    close_up(tx, sender, &mut state)?;
    state.highest = state.highest.max(state.contiguous);
    if state.contiguous == state.highest {
        state.ask_at = None;
        state.asks = 0;
    }
    write_row(tx, sender, &state, true)
}

/// The holes are not asked for now: the person has to decide first. [`request_now`] has them asked
/// for.
pub(crate) fn suspend_requests(tx: &Transaction<'_>, sender: Sender) -> Result<(), StoreError> {
    tx.prepare_cached("UPDATE heard SET ask_at = NULL WHERE group_id = ?1 AND device_id = ?2")?
        .execute((sender.group.0, sender.device.0))?;
    Ok(())
}

/// How many of a device's envelopes are known to be missing.
pub(crate) fn missing(tx: &Transaction<'_>, sender: Sender) -> Result<u64, StoreError> {
    let Some(state) = state(tx, sender)? else {
        return Ok(0);
    };
    Ok((state.highest - state.contiguous - above(tx, sender)?)
        .max(0)
        .cast_unsigned())
}

/// Whether any envelopes are known to be missing in a group.
pub(crate) fn has_holes(tx: &Transaction<'_>, group: GroupId) -> Result<bool, StoreError> {
    Ok(tx
        .prepare_cached("SELECT 1 FROM heard WHERE group_id = ?1 AND highest > contiguous")?
        .exists([group.0])?)
}

/// How many envelopes are missing in all.
pub(crate) fn missing_in_all(tx: &Transaction<'_>) -> Result<u64, StoreError> {
    // A member may count as they like: two large numbers do not fit an integer's sum.
    let count: f64 = tx.query_row(
        "SELECT total(highest - contiguous) - (SELECT count(*) FROM heard_above) FROM heard",
        [],
        |row| row.get(0),
    )?;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a conversion from a float saturates"
    )]
    Ok(count as u64)
}

/// The missing ranges, both ends included, lowest first, not more than one request
/// names.
pub(crate) fn holes(tx: &Transaction<'_>, sender: Sender) -> Result<Vec<(u64, u64)>, StoreError> {
    let Some(state) = state(tx, sender)? else {
        return Ok(Vec::new());
    };
    let mut statement = tx.prepare_cached(
        "SELECT counter FROM heard_above WHERE group_id = ?1 AND device_id = ?2 ORDER BY counter",
    )?;
    let mut rows = statement.query((sender.group.0, sender.device.0))?;
    let mut holes = Vec::new();
    let mut next = state.contiguous + 1;
    while let Some(row) = rows.next()? {
        let counter: i64 = row.get(0)?;
        if counter > next {
            holes.push((next.cast_unsigned(), (counter - 1).cast_unsigned()));
            if holes.len() == RANGES_PER_REQUEST {
                break;
            }
        }
        next = counter + 1;
    }
    Ok(holes)
}

/// When the next hole is to be asked for.
pub(crate) fn next_request_at(tx: &Transaction<'_>) -> Result<Option<Time>, StoreError> {
    let at: Option<i64> = tx
        .prepare_cached("SELECT min(ask_at) FROM heard WHERE ask_at IS NOT NULL")?
        .query_row([], |row| row.get(0))?;
    Ok(at.map(|at| Time(at.cast_unsigned())))
}

/// Those whose holes are to be asked for now.
pub(crate) fn due_requests(tx: &Transaction<'_>, now: Time) -> Result<Vec<Sender>, StoreError> {
    let mut statement =
        tx.prepare_cached("SELECT group_id, device_id FROM heard WHERE ask_at <= ?1 LIMIT 256")?;
    let rows = statement.query_map([now.0.cast_signed()], read_sender)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// The holes were asked for; when they are again.
pub(crate) fn record_request(
    tx: &Transaction<'_>,
    now: Time,
    sender: Sender,
) -> Result<(), StoreError> {
    let Some(mut state) = state(tx, sender)? else {
        return Ok(());
    };
    let wait = ASK_AGAIN.0.saturating_mul(1 << (2 * state.asks.min(ASKS)));
    state.asks += 1;
    state.ask_at = (state.asks < ASKS).then(|| now.0.saturating_add(wait).cast_signed());
    write_row(tx, sender, &state, true)
}

/// The devices that were heard in a group, each with the counter up to which all has
/// come.
pub(crate) fn senders(
    tx: &Transaction<'_>,
    group: GroupId,
) -> Result<Vec<(DeviceId, u64)>, StoreError> {
    let mut statement =
        tx.prepare_cached("SELECT device_id, contiguous FROM heard WHERE group_id = ?1")?;
    let rows = statement.query_map([group.0], |row| {
        Ok((
            DeviceId(row.get(0)?),
            row.get::<_, i64>(1)?.max(0).cast_unsigned(),
        ))
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Nothing is known any more of what arrived in a group.
pub(crate) fn forget_group(tx: &Transaction<'_>, group: GroupId) -> Result<(), StoreError> {
    tx.execute("DELETE FROM heard WHERE group_id = ?1", [group.0])?;
    tx.execute("DELETE FROM heard_above WHERE group_id = ?1", [group.0])?;
    Ok(())
}

/// Everything may be asked for again, because the other side is back.
pub(crate) fn request_now(
    tx: &Transaction<'_>,
    now: Time,
    group: GroupId,
) -> Result<(), StoreError> {
    tx.execute(
        "UPDATE heard SET ask_at = ?2, asks = 0 WHERE group_id = ?1 AND highest > contiguous",
        (group.0, now.0.cast_signed()),
    )?;
    Ok(())
}

/// Moves `contiguous` up over what has come.
fn close_up(
    tx: &Transaction<'_>,
    sender: Sender,
    state: &mut SenderCounter,
) -> Result<(), StoreError> {
    let mut remove = tx.prepare_cached(
        "DELETE FROM heard_above WHERE group_id = ?1 AND device_id = ?2 AND counter = ?3",
    )?;
    while remove.execute((sender.group.0, sender.device.0, state.contiguous + 1))? > 0 {
        state.contiguous += 1;
    }
    Ok(())
}

fn above(tx: &Transaction<'_>, sender: Sender) -> Result<i64, StoreError> {
    Ok(tx
        .prepare_cached("SELECT count(*) FROM heard_above WHERE group_id = ?1 AND device_id = ?2")?
        .query_row((sender.group.0, sender.device.0), |row| row.get(0))?)
}

fn state(tx: &Transaction<'_>, sender: Sender) -> Result<Option<SenderCounter>, StoreError> {
    let mut statement = tx.prepare_cached(
        "SELECT contiguous, highest, ask_at, asks FROM heard WHERE group_id = ?1 AND device_id = ?2",
    )?;
    Ok(statement
        .query_row((sender.group.0, sender.device.0), |row| {
            Ok(SenderCounter {
                contiguous: row.get(0)?,
                highest: row.get(1)?,
                ask_at: row.get(2)?,
                asks: row.get(3)?,
            })
        })
        .optional()?)
}

fn write_row(
    tx: &Transaction<'_>,
    sender: Sender,
    state: &SenderCounter,
    known: bool,
) -> Result<(), StoreError> {
    let statement = if known {
        "UPDATE heard SET contiguous = ?3, highest = ?4, ask_at = ?5, asks = ?6
         WHERE group_id = ?1 AND device_id = ?2"
    } else {
        "INSERT INTO heard (group_id, device_id, contiguous, highest, ask_at, asks)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)"
    };
    tx.prepare_cached(statement)?.execute((
        sender.group.0,
        sender.device.0,
        state.contiguous,
        state.highest,
        state.ask_at,
        state.asks,
    ))?;
    Ok(())
}

fn read_sender(row: &Row<'_>) -> rusqlite::Result<Sender> {
    Ok(Sender {
        group: GroupId(row.get(0)?),
        device: DeviceId(row.get(1)?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Store, StoreError};

    const SENDER: Sender = Sender {
        group: GroupId([1; 16]),
        device: DeviceId([2; 32]),
    };

    fn with_store(work: impl FnOnce(&Transaction<'_>) -> Result<(), StoreError>) {
        Store::open_in_memory().unwrap().transaction(work).unwrap();
    }

    #[test]
    fn envelopes_in_order_leave_no_hole() {
        with_store(|tx| {
            for counter in 1..=5 {
                assert_eq!(record(tx, Time(0), SENDER, counter)?, CounterCheck::InOrder);
            }
            assert_eq!(record(tx, Time(0), SENDER, 3)?, CounterCheck::Duplicate);
            assert_eq!((holes(tx, SENDER)?, next_request_at(tx)?), (vec![], None));
            Ok(())
        });
    }

    #[test]
    fn a_hole_is_known_asked_for_and_filled() {
        with_store(|tx| {
            for counter in [1, 5, 3] {
                record(tx, Time(0), SENDER, counter)?;
            }
            assert_eq!(holes(tx, SENDER)?, [(2, 2), (4, 4)]);
            assert_eq!(next_request_at(tx)?, Some(Time(GRACE.0)));
            assert!(due_requests(tx, Time(GRACE.0 - 1))?.is_empty());
            assert!(due_requests(tx, Time(GRACE.0))? == [SENDER]);
            record_request(tx, Time(GRACE.0), SENDER)?;
            assert!(due_requests(tx, Time(GRACE.0))?.is_empty());
            assert_eq!(
                record(tx, Time(0), SENDER, 4)?,
                CounterCheck::Filled { missing: 1 }
            );
            assert_eq!(record(tx, Time(0), SENDER, 4)?, CounterCheck::Duplicate);
            assert_eq!(
                record(tx, Time(0), SENDER, 2)?,
                CounterCheck::Filled { missing: 0 }
            );
            assert_eq!((holes(tx, SENDER)?, next_request_at(tx)?), (vec![], None));
            assert_eq!(record(tx, Time(0), SENDER, 6)?, CounterCheck::InOrder);
            Ok(())
        });
    }

    #[test]
    fn a_made_up_counter_shows_no_gap_and_breaks_nothing() {
        for anywhere in [false, true] {
            with_store(|tx| {
                if anywhere {
                    start_anywhere(tx, SENDER)?;
                }
                let leap = LEAP_MAX.cast_unsigned() + 10;
                for counter in [
                    1,
                    3,
                    leap,
                    COUNTER_MAX,
                    u64::MAX,
                    i64::MAX.cast_unsigned(),
                    0,
                ] {
                    record(tx, Time(0), SENDER, counter)?;
                }
                assert_eq!((missing_in_all(tx)?, next_request_at(tx)?), (0, None));
                assert_eq!(
                    record(tx, Time(0), SENDER, COUNTER_MAX)?,
                    CounterCheck::Duplicate
                );
                Ok(())
            });
        }
    }

    #[test]
    fn what_a_removed_device_withheld_is_not_waited_for() {
        with_store(|tx| {
            record(tx, Time(0), SENDER, 7)?;
            give_up(tx, SENDER)?;
            assert_eq!((missing_in_all(tx)?, next_request_at(tx)?), (0, None));
            assert!(holes(tx, SENDER)?.is_empty());
            Ok(())
        });
    }

    #[test]
    fn a_hole_that_stays_is_not_asked_for_for_ever() {
        with_store(|tx| {
            record(tx, Time(0), SENDER, 2)?;
            let mut asks = 0;
            while let Some(at) = next_request_at(tx)? {
                assert!(due_requests(tx, at)? == [SENDER]);
                record_request(tx, at, SENDER)?;
                asks += 1;
            }
            assert_eq!(asks, ASKS);
            assert_eq!(missing_in_all(tx)?, 1);
            Ok(())
        });
    }

    #[test]
    fn wild_counters_of_two_senders_can_be_counted_together() {
        with_store(|tx| {
            for device in 1..4 {
                let sender = Sender {
                    device: DeviceId([device; 32]),
                    ..SENDER
                };
                record(tx, Time(0), sender, 1)?;
                record(tx, Time(0), sender, i64::MAX as u64)?;
            }
            assert_eq!(missing_in_all(tx)?, 0);
            // The store of an earlier version, which believed them.
            tx.execute("UPDATE heard SET highest = ?1", [i64::MAX])?;
            assert!(missing_in_all(tx)? > i64::MAX as u64);
            Ok(())
        });
    }

    #[test]
    fn what_was_not_for_this_device_is_not_missing() {
        with_store(|tx| {
            for counter in [5, 9] {
                record(tx, Time(0), SENDER, counter)?;
            }
            skip_up_to(tx, SENDER, 6)?;
            assert_eq!(holes(tx, SENDER)?, [(7, 8)]);
            skip_up_to(tx, SENDER, 2)?;
            assert_eq!(holes(tx, SENDER)?, [(7, 8)]);
            skip_up_to(tx, SENDER, 8)?;
            assert_eq!((missing(tx, SENDER)?, next_request_at(tx)?), (0, None));
            skip_up_to(tx, SENDER, u64::MAX)?;
            assert_eq!(record(tx, Time(0), SENDER, 10)?, CounterCheck::Duplicate);
            // A device that was not heard yet.
            let other = Sender {
                device: DeviceId([3; 32]),
                ..SENDER
            };
            skip_up_to(tx, other, 4)?;
            assert_eq!(record(tx, Time(0), other, 5)?, CounterCheck::InOrder);
            Ok(())
        });
    }

    #[test]
    fn a_sender_that_skips_wildly_fills_no_table() {
        with_store(|tx| {
            for step in 1..=u64::try_from(ABOVE_MAX).unwrap() + 10 {
                record(tx, Time(0), SENDER, step * 1_000)?;
            }
            assert!(above(tx, SENDER)? <= ABOVE_MAX);
            assert_eq!(
                record(tx, Time(0), SENDER, u64::MAX)?,
                CounterCheck::Duplicate
            );
            assert!(holes(tx, SENDER)?.len() <= RANGES_PER_REQUEST);
            Ok(())
        });
    }
}
