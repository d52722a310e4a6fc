//! Overdue proofs: an alarm for what the relay has not proved for too long.
//!
//! A relay that answers a check with a refusal, with an excuse or not at all proves nothing.
//! What counts is therefore when the own history, or a person who is written to, was last
//! *proved*, and when a head of each contact was last *compared*, no matter how often the
//! relay was asked. All are measured in use: steps of ten minutes in which a link to the relay
//! was open. A device that was off for a week has not been used; one whose program is
//! restarted every hour has.
//!
//! **Elsewhere**: [`super::own_history`], [`super::lookups`] and [`super::gossip`] ask for the
//! proofs.
//!
//! **Always**: only a proof resets these records. A clock that jumps, in either direction,
//! counts as one step. Strangers and blocked people are not counted.

use rusqlite::{OptionalExtension as _, Transaction};
use waxwing_protocol::{ids::AccountId, time::Span};

use super::{alarm, is_acquainted};
use crate::{
    api::{ConversationId, Problem},
    contact::{self, Contact},
    link::LinkPhase,
    memory::Remembered,
    store::StoreError,
    turn::{Fault, Turn},
};

pub(crate) const SCHEMA: &str = "
CREATE TABLE device_use (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    steps INTEGER NOT NULL,             -- how much this device was used
    newest INTEGER NOT NULL,            -- the newest step of the clock that was counted
    history_at INTEGER NOT NULL,        -- steps, when the own history was last proved
    history_proved_at INTEGER           -- and the time
) STRICT;
CREATE TABLE head_comparison (
    account_id BLOB PRIMARY KEY,
    compared_at INTEGER,                -- when a head of theirs was last compared
    since INTEGER,                      -- steps, at their first message after that
    late INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;
CREATE TABLE look_up_owed (
    account_id BLOB PRIMARY KEY,
    since INTEGER NOT NULL              -- steps, when they were to be looked up again
) STRICT, WITHOUT ROWID;
";

/// How long a step is.
const STEP: Span = Span::minutes(10);

/// After more steps than this without a proof there is an alarm.
const PROVED_WITHIN: i64 = Span::hours(24).0.cast_signed() / STEP.0.cast_signed();

/// People whom one alarm names, at most.
const NAMED_MAX: usize = 3;

/// The step of the clock in which this device's use was last counted.
#[derive(Default)]
pub(crate) struct CountedStep(Option<i64>);

impl Remembered for CountedStep {}

/// Counts the step, if this device is in use, and looks whether a proof is overdue.
pub(crate) fn tick(turn: &mut Turn<'_>) -> Result<(), Fault> {
    let links = &turn.memory.links;
    let is_open = [&links.mailbox, &links.posting]
        .iter()
        .any(|link| !matches!(link.phase, LinkPhase::Unwanted | LinkPhase::Opening));
    let step = (turn.now.0 / STEP.0).cast_signed();
    if !is_open
        || turn.memory.account.is_none()
        || turn.memory.states.get_mut::<CountedStep>().0 == Some(step)
    {
        return Ok(());
    }
    turn.tx.execute(
        "INSERT INTO device_use (id, steps, newest, history_at) VALUES (1, 0, ?1, 0)
         ON CONFLICT DO UPDATE SET steps = steps + 1, newest = ?1 WHERE newest != ?1",
        [step],
    )?;
    turn.memory.states.get_mut::<CountedStep>().0 = Some(step);
    judge(turn)
}

/// How much this device was used, in steps.
pub(crate) fn steps_of_use(tx: &Transaction<'_>) -> Result<i64, StoreError> {
    Ok(tx
        .prepare_cached("SELECT steps FROM device_use")?
        .query_row([], |row| row.get(0))
        .optional()?
        .unwrap_or(0))
}

/// The own history was proved, whole.
pub(crate) fn record_history_proved(turn: &mut Turn<'_>) -> Result<(), Fault> {
    turn.tx.execute(
        "UPDATE device_use SET history_at = steps, history_proved_at = ?1",
        [turn.now.0.cast_signed()],
    )?;
    alarm::resolve(turn.tx, &Problem::OwnHistoryNotProved)?;
    Ok(())
}

/// A head that this account was shown was compared with the chain seen here.
pub(crate) fn record_head_compared(turn: &mut Turn<'_>, account: AccountId) -> Result<(), Fault> {
    turn.tx
        .prepare_cached(
            "INSERT INTO head_comparison (account_id, compared_at) VALUES (?1, ?2)
             ON CONFLICT DO UPDATE SET compared_at = ?2, since = NULL, late = 0",
        )?
        .execute((account.0, turn.now.0.cast_signed()))?;
    Ok(())
}

/// A message of this account brought no head that can be compared.
pub(crate) fn record_head_missing(
    turn: &mut Turn<'_>,
    conversation: Option<ConversationId>,
    account: AccountId,
) -> Result<(), Fault> {
    let known: Option<(Option<i64>, bool)> = turn
        .tx
        .prepare_cached("SELECT since, late FROM head_comparison WHERE account_id = ?1")?
        .query_row([account.0], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let used = steps_of_use(turn.tx)?;
    match known {
        Some((_, true)) => Ok(()),
        Some((Some(since), false)) if used - since <= PROVED_WITHIN => Ok(()),
        Some((Some(_), false)) => {
            turn.tx.execute(
                "UPDATE head_comparison SET late = 1 WHERE account_id = ?1",
                [account.0],
            )?;
            judge(turn)
        }
        _ if !is_acquainted(turn, conversation, account)? => Ok(()),
        _ => {
            turn.tx.execute(
                "INSERT INTO head_comparison (account_id, since) VALUES (?1, ?2)
                 ON CONFLICT DO UPDATE SET since = ?2",
                (account.0, used),
            )?;
            Ok(())
        }
    }
}

/// Somebody who is written to is to be looked up again.
pub(crate) fn look_up_due(turn: &mut Turn<'_>, account: AccountId) -> Result<(), Fault> {
    let used = steps_of_use(turn.tx)?;
    turn.tx
        .prepare_cached(
            "INSERT INTO look_up_owed (account_id, since) VALUES (?1, ?2)
             ON CONFLICT DO NOTHING",
        )?
        .execute((account.0, used))?;
    Ok(())
}

/// What the log says of them was proved.
pub(crate) fn record_look_up(turn: &mut Turn<'_>, account: AccountId) -> Result<(), Fault> {
    turn.tx
        .prepare_cached("DELETE FROM look_up_owed WHERE account_id = ?1")?
        .execute([account.0])?;
    Ok(())
}

/// Raises the alarms that are due, and ends those that are not any more.
fn judge(turn: &mut Turn<'_>) -> Result<(), Fault> {
    let (used, history_at): (i64, i64) =
        turn.tx
            .query_row("SELECT steps, history_at FROM device_use", [], |row| {
                Ok((row.get(0)?, row.get(1)?))
            })?;
    if used - history_at > PROVED_WITHIN {
        alarm::raise(turn, &Problem::OwnHistoryNotProved)?;
    }
    let unproven = accounts(
        turn.tx,
        "SELECT account_id FROM look_up_owed WHERE ?1 - since > ?2 ORDER BY account_id",
        used,
    )?;
    let is_meant = |contact: &Contact| contact.verified && !contact.blocked;
    let unproven = filtered(turn.tx, unproven, |contact| contact.is_some_and(is_meant))?;
    about(turn, &unproven, |addresses, others| {
        Problem::ContactsNotProved { addresses, others }
    })?;
    let not_compared = accounts(
        turn.tx,
        "SELECT account_id FROM head_comparison WHERE late
         UNION SELECT account_id FROM heard_head WHERE ?1 - since > ?2 AND account_id != x''",
        used,
    )?;
    let is_heard = |contact: &Contact| !contact.blocked;
    let not_compared = filtered(turn.tx, not_compared, |contact| {
        contact.is_none_or(is_heard)
    })?;
    about(turn, &not_compared, |addresses, others| {
        Problem::HeadsNotCompared { addresses, others }
    })
}

/// Accounts that something was owed for too long.
fn accounts(
    tx: &Transaction<'_>,
    select: &'static str,
    used: i64,
) -> Result<Vec<AccountId>, StoreError> {
    let mut statement = tx.prepare_cached(select)?;
    let rows = statement.query_map((used, PROVED_WITHIN), |row| row.get(0).map(AccountId))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Those of them whose contact, if there is one, is as it should be.
fn filtered(
    tx: &Transaction<'_>,
    accounts: Vec<AccountId>,
    is_meant: impl Fn(Option<&Contact>) -> bool,
) -> Result<Vec<AccountId>, StoreError> {
    let mut meant = Vec::new();
    for account in accounts {
        if is_meant(contact::of_account(tx, account)?.as_ref()) {
            meant.push(account);
        }
    }
    Ok(meant)
}

/// Raises one alarm about all of these people, or ends it where there are none.
fn about(
    turn: &mut Turn<'_>,
    accounts: &[AccountId],
    problem: impl FnOnce(Vec<String>, u64) -> Problem,
) -> Result<(), Fault> {
    if accounts.is_empty() {
        return Ok(alarm::resolve(turn.tx, &problem(Vec::new(), 0))?);
    }
    let mut addresses = Vec::new();
    for account in accounts {
        // By the address that the log proved, if any: not by one that somebody claims.
        let contact = contact::of_account(turn.tx, *account)?;
        addresses.extend(contact.filter(|it| it.verified).map(|it| it.display));
    }
    addresses.sort();
    addresses.truncate(NAMED_MAX);
    let others = accounts.len().saturating_sub(addresses.len()) as u64;
    alarm::raise(turn, &problem(addresses, others))
}
