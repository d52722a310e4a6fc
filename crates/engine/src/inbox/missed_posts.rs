//! Posts for which the relay had no room in this device's mailbox.
//!
//! If a mailbox is too full for a group's posts, the relay leaves a mark in it. If nothing
//! arrives afterwards, no counter shows what is missing. Some time after the mark, when the
//! posts behind it have been read, this device therefore asks the group's members for
//! everything of theirs that did not arrive. Their answers also reveal an epoch that it
//! missed; then it rejoins.
//!
//! **Elsewhere**: [`super::sender_counters`] handles gaps in the counters of devices that sent
//! something later; [`crate::conversation::rejoin`] rejoins.
//!
//! **Always**: a mark is stored before it is acknowledged. However many marks the relay
//! invents, a group is asked once in [`AGAIN`]; a stranger's group is not asked before the
//! person accepts it.

use rusqlite::Transaction;
use waxwing_protocol::{
    ids::GroupId,
    time::{Span, Time},
};

use super::{gaps, sender_counters::GRACE};
use crate::{
    containment::ErrorOwner,
    conversation::{acquaintance, group_state::StateKind, groups, lost_groups},
    store::StoreError,
    turn::{Fault, Turn},
};

pub(crate) const SCHEMA: &str = "
CREATE TABLE missed_posts (
    group_id BLOB PRIMARY KEY,
    ask_at INTEGER,          -- then the members are asked
    asked_at INTEGER         -- when they were last
) WITHOUT ROWID;
CREATE INDEX missed_posts_ask ON missed_posts (ask_at) WHERE ask_at IS NOT NULL;
";

/// The members of one group are asked again after this long at the earliest.
const AGAIN: Span = Span::minutes(10);

/// Groups that are asked in one turn.
const AT_ONCE: u32 = 16;

/// In a mark it stands for all groups.
const ANY_GROUP: GroupId = GroupId([0; 16]);

/// The relay's mailbox had no room for posts of a group.
pub(crate) fn handle_missed_mark(turn: &mut Turn<'_>, group: GroupId) -> Result<(), Fault> {
    if group == ANY_GROUP {
        for group in groups::in_state(turn.tx, StateKind::Active)? {
            note(turn.tx, turn.now, group.id)?;
        }
        return Ok(());
    }
    match groups::find(turn.tx, group)? {
        Some(_) => Ok(note(turn.tx, turn.now, group)?),
        // Its welcome may be what is missing.
        None => lost_groups::handle_post_of_unknown_group(turn, group),
    }
}

fn note(tx: &Transaction<'_>, now: Time, group: GroupId) -> Result<(), StoreError> {
    // A clock that was set back makes nobody wait longer.
    tx.prepare_cached(
        "INSERT INTO missed_posts (group_id, ask_at) VALUES (?1, ?2)
         ON CONFLICT DO UPDATE SET
             ask_at = coalesce(ask_at, max(?2, coalesce(min(asked_at, ?3) + ?4, 0)))",
    )?
    .execute((
        group.0,
        now.after(GRACE).0.cast_signed(),
        now.0.cast_signed(),
        AGAIN.0.cast_signed(),
    ))?;
    Ok(())
}

/// When the next group is to be asked.
pub(crate) fn next_ask(tx: &Transaction<'_>) -> Result<Option<Time>, StoreError> {
    let at: Option<i64> = tx
        .prepare_cached("SELECT min(ask_at) FROM missed_posts WHERE ask_at IS NOT NULL")?
        .query_row([], |row| row.get(0))?;
    Ok(at.map(|at| Time(at.cast_unsigned())))
}

/// The person has accepted the conversation: what was missed in its group is asked for.
pub(crate) fn ask_now(tx: &Transaction<'_>, now: Time, group: GroupId) -> Result<(), StoreError> {
    tx.prepare_cached(
        "UPDATE missed_posts SET ask_at = ?2
         WHERE group_id = ?1 AND ask_at IS NULL AND asked_at IS NULL",
    )?
    .execute((group.0, now.0.cast_signed()))?;
    Ok(())
}

/// Nothing is known any more of what was missed in a group.
pub(crate) fn forget_group(tx: &Transaction<'_>, group: GroupId) -> Result<(), StoreError> {
    tx.execute("DELETE FROM missed_posts WHERE group_id = ?1", [group.0])?;
    Ok(())
}

/// Asks where it is time.
pub(crate) fn ask(turn: &mut Turn<'_>) -> Result<(), Fault> {
    let due: Vec<GroupId> = {
        let mut statement = turn.tx.prepare_cached(
            "SELECT group_id FROM missed_posts WHERE ask_at <= ?1 ORDER BY ask_at LIMIT ?2",
        )?;
        let rows = statement.query_map((turn.now.0.cast_signed(), AT_ONCE), |row| {
            row.get(0).map(GroupId)
        })?;
        rows.collect::<Result<_, _>>()?
    };
    for group in due {
        // No matter how it ends, it is not tried again at once.
        set(turn.tx, group, None, None)?;
        turn.run_contained(ErrorOwner::Group(group), |turn| ask_group(turn, group))?;
    }
    Ok(())
}

fn ask_group(turn: &mut Turn<'_>, id: GroupId) -> Result<(), Fault> {
    let Some(group) = groups::find(turn.tx, id)? else {
        return Ok(());
    };
    let later = turn.now.after(GRACE);
    match group.state.kind() {
        // Asked when the person has accepted.
        StateKind::Active if acquaintance::is_silent_group(turn, &group)? => Ok(()),
        // If it was a commit that is missing, the device rejoins, and asks then.
        StateKind::Active if turn.memory.is_behind(id) => Ok(set(turn.tx, id, Some(later), None)?),
        StateKind::Active => {
            set(turn.tx, id, None, Some(turn.now))?;
            gaps::ask_for_all(turn, &group)
        }
        StateKind::Creating | StateKind::Checking => Ok(set(turn.tx, id, Some(later), None)?),
        // A device that rejoins asks for everything; a group that has ended is not repaired.
        StateKind::Lost | StateKind::Denied | StateKind::Quarantined | StateKind::Closed => Ok(()),
    }
}

fn set(
    tx: &Transaction<'_>,
    group: GroupId,
    ask_at: Option<Time>,
    asked_at: Option<Time>,
) -> Result<(), StoreError> {
    tx.prepare_cached(
        "UPDATE missed_posts SET ask_at = ?2, asked_at = coalesce(?3, asked_at)
         WHERE group_id = ?1",
    )?
    .execute((
        group.0,
        ask_at.map(|at| at.0.cast_signed()),
        asked_at.map(|at| at.0.cast_signed()),
    ))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Store;

    #[test]
    fn many_marks_ask_a_group_no_oftener() {
        let group = GroupId([1; 16]);
        let mut store = Store::open_in_memory().unwrap();
        store
            .transaction(|tx| -> Result<(), StoreError> {
                let begin = Time(1_000_000);
                note(tx, begin, group)?;
                note(tx, begin.after(Span(5)), group)?;
                let first = begin.after(GRACE);
                assert_eq!(next_ask(tx)?, Some(first));
                set(tx, group, None, Some(first))?;
                assert_eq!(next_ask(tx)?, None);
                note(tx, first.after(Span(1)), group)?;
                assert_eq!(next_ask(tx)?, Some(first.after(AGAIN)));
                // A clock that was set back.
                set(tx, group, None, None)?;
                note(tx, Time(0), group)?;
                assert_eq!(next_ask(tx)?, Some(Time(AGAIN.0)));
                Ok(())
            })
            .unwrap();
    }
}
