//! Groups that this device does not know or has lost, and how often it has asked others to
//! add it again.
//!
//! **Elsewhere**: [`super::re_add`] asks; [`super::groups`] has the groups that are known.
//!
//! **Always**: of the groups that are not known, which anybody can make up, only the newest
//! [`UNKNOWN_MAX`] are kept. What this device has lost itself stays.

use rusqlite::{OptionalExtension as _, Transaction};
use waxwing_protocol::{
    ids::GroupId,
    time::{Span, Time},
};

use super::{behind, group_state::StateKind, groups::GroupRecord};
use crate::{
    api::ConversationId,
    store::StoreError,
    turn::{Fault, Postponed, Turn},
};

pub(crate) const SCHEMA: &str = "
CREATE TABLE unknown_group (
    group_id BLOB PRIMARY KEY,
    seen_at INTEGER NOT NULL,
    asked INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;
";

/// How often a group was asked for, and when it is asked for again.
pub(crate) const ASKS: &str = "
ALTER TABLE unknown_group ADD COLUMN asks INTEGER NOT NULL DEFAULT 0;
ALTER TABLE unknown_group ADD COLUMN due_at INTEGER;
-- What the group was before a welcome to it came.
ALTER TABLE unknown_group ADD COLUMN conversation BLOB;
ALTER TABLE unknown_group ADD COLUMN account_id BLOB;
ALTER TABLE unknown_group ADD COLUMN generation INTEGER;
ALTER TABLE unknown_group ADD COLUMN rejoin_secret BLOB;
";

/// A group's welcome may come so long after its first post.
pub(super) const WELCOME_WITHIN: Span = Span::seconds(60);

/// An admin may set up a group again that could not continue within this time; if not, it is asked
/// for.
const MADE_ANEW_WITHIN: Span = Span::minutes(10);

/// Groups that are not known and are remembered.
const UNKNOWN_MAX: i64 = 256;

/// What is kept of one conversation's groups belongs to another now.
pub(crate) fn merge_conversations(
    tx: &Transaction<'_>,
    from: ConversationId,
    into: ConversationId,
) -> Result<(), StoreError> {
    tx.execute(
        "UPDATE unknown_group SET conversation = ?2 WHERE conversation = ?1",
        (from.as_bytes(), into.as_bytes()),
    )?;
    Ok(())
}

/// A post came of a group that this device does not know.
pub(crate) fn handle_post_of_unknown_group(
    turn: &mut Turn<'_>,
    group: GroupId,
) -> Result<(), Fault> {
    let noted = note(turn.tx, turn.now, group)?;
    if noted {
        wake(turn, turn.now.after(WELCOME_WITHIN));
    }
    Ok(())
}

/// Somebody has taken this device out of a group, though its account is a member: perhaps to
/// bring it in again, with a welcome that is on its way.
pub(crate) fn handle_own_removal(turn: &mut Turn<'_>, group: &GroupRecord) -> Result<(), Fault> {
    schedule(turn.tx, turn.now, group.id, turn.now)?;
    behind::mark_lost(turn, group.id)?;
    turn.postpone(Postponed::Group(group.id), WELCOME_WITHIN);
    Ok(())
}

/// A device that is revoked now has brought this one into a group: others think that it is in.
/// Somebody else is to bring it in.
pub(crate) fn handle_revoked_welcomer(
    turn: &mut Turn<'_>,
    group: &GroupRecord,
) -> Result<(), Fault> {
    let due = turn.now.after(WELCOME_WITHIN);
    schedule(turn.tx, turn.now, group.id, due)?;
    wake(turn, due);
    Ok(())
}

/// A group was closed because it could not be followed. If that was not so for others, they
/// can bring this device back.
pub(crate) fn handle_closed_group(turn: &mut Turn<'_>, group: &GroupRecord) -> Result<(), Fault> {
    let due = turn.now.after(MADE_ANEW_WITHIN);
    schedule(turn.tx, turn.now, group.id, due)?;
    wake(turn, due);
    Ok(())
}

/// That welcome was worth nothing: the group is lost as it was before.
pub(crate) fn restore_lost_group(turn: &mut Turn<'_>, group: &GroupRecord) -> Result<(), Fault> {
    if restore(turn.tx, group.id)? {
        turn.postpone(Postponed::Group(group.id), WELCOME_WITHIN);
    }
    Ok(())
}

/// Wakes this device up at a time to ask.
pub(super) fn wake(turn: &mut Turn<'_>, at: Time) {
    let next = turn.memory.postponed.entry(Postponed::ReAdd).or_insert(at);
    *next = (*next).min(at);
}

/// Remembers that a group exists that is not known here; `false` where that is remembered.
fn note(tx: &Transaction<'_>, now: Time, group: GroupId) -> Result<bool, StoreError> {
    let noted = tx
        .prepare_cached(
            "INSERT INTO unknown_group (group_id, seen_at) VALUES (?1, ?2) ON CONFLICT DO NOTHING",
        )?
        .execute((group.0, now.0.cast_signed()))?;
    // The oldest make room, and are noted again with their next post.
    tx.prepare_cached(
        "DELETE FROM unknown_group WHERE group_id IN (
             SELECT group_id FROM unknown_group
             WHERE group_id NOT IN (SELECT group_id FROM conversation_group)
             ORDER BY seen_at DESC, group_id LIMIT -1 OFFSET ?1)",
    )?
    .execute([UNKNOWN_MAX])?;
    Ok(noted > 0)
}

/// Whether this device has asked to be added to the group, so that it also wants to hear what
/// was said before.
pub(crate) fn has_requested(tx: &Transaction<'_>, group: GroupId) -> Result<bool, StoreError> {
    let asked: Option<bool> = tx
        .prepare_cached("SELECT asked > 0 FROM unknown_group WHERE group_id = ?1")?
        .query_row([group.0], |row| row.get(0))
        .optional()?;
    Ok(asked.unwrap_or(false))
}

/// The device is in the group.
pub(crate) fn clear_request(tx: &Transaction<'_>, group: GroupId) -> Result<(), StoreError> {
    tx.execute("DELETE FROM unknown_group WHERE group_id = ?1", [group.0])?;
    Ok(())
}

/// Groups whose first post came before this time, for which nobody was asked yet.
pub(crate) fn not_asked_for(
    tx: &Transaction<'_>,
    seen_before: Time,
    limit: u32,
) -> Result<Vec<GroupId>, StoreError> {
    let mut statement = tx.prepare_cached(
        "SELECT group_id FROM unknown_group WHERE seen_at <= ?1 AND NOT asked
           AND group_id NOT IN (SELECT group_id FROM conversation_group) LIMIT ?2",
    )?;
    let rows = statement.query_map((seen_before.0.cast_signed(), limit), |row| {
        row.get(0).map(GroupId)
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Somebody is asked for the group.
pub(crate) fn set_asked(tx: &Transaction<'_>, group: GroupId) -> Result<(), StoreError> {
    tx.execute(
        "UPDATE unknown_group SET asked = 1 WHERE group_id = ?1",
        [group.0],
    )?;
    Ok(())
}

/// A welcome to a group has come that this device had lost: what it knows of the group is
/// kept, in case the welcome is worth nothing.
pub(crate) fn keep(tx: &Transaction<'_>, now: Time, group: GroupId) -> Result<(), StoreError> {
    tx.execute(
        "INSERT INTO unknown_group
             (group_id, seen_at, conversation, account_id, generation, rejoin_secret)
         SELECT group_id, ?2, conversation, account_id, generation, rejoin_secret
         FROM conversation_group WHERE group_id = ?1
         ON CONFLICT DO UPDATE SET conversation = excluded.conversation,
             account_id = excluded.account_id, generation = excluded.generation,
             rejoin_secret = excluded.rejoin_secret",
        (group.0, now.0.cast_signed()),
    )?;
    Ok(())
}

/// Puts back what was kept of a group. Gives whether anything was.
fn restore(tx: &Transaction<'_>, group: GroupId) -> Result<bool, StoreError> {
    let put_back = tx.execute(
        "UPDATE conversation_group SET conversation = kept.conversation,
             account_id = kept.account_id, generation = kept.generation,
             rejoin_secret = kept.rejoin_secret, state = ?2
         FROM (SELECT * FROM unknown_group WHERE group_id = ?1) AS kept
         WHERE conversation_group.group_id = ?1 AND kept.rejoin_secret IS NOT NULL",
        (group.0, StateKind::Lost as u8),
    )?;
    Ok(put_back > 0)
}

/// Notes that a group is to be asked for from this time on. When this device is in it, it
/// asks for what was said meanwhile: nothing else tells of those who had not spoken before.
pub(crate) fn schedule(
    tx: &Transaction<'_>,
    now: Time,
    group: GroupId,
    due: Time,
) -> Result<(), StoreError> {
    tx.execute(
        "INSERT INTO unknown_group (group_id, seen_at, asked, due_at) VALUES (?1, ?2, 1, ?3)
         ON CONFLICT DO UPDATE SET asked = 1, due_at = coalesce(due_at, ?3)",
        (group.0, now.0.cast_signed(), due.0.cast_signed()),
    )?;
    Ok(())
}

/// The groups that are to be asked for now.
pub(crate) fn due(tx: &Transaction<'_>, now: Time, limit: u32) -> Result<Vec<GroupId>, StoreError> {
    let mut statement = tx.prepare_cached(
        "SELECT u.group_id FROM unknown_group AS u JOIN conversation_group AS g
             ON g.group_id = u.group_id
         WHERE u.asked AND u.due_at <= ?1 AND g.state IN (4, 5) LIMIT ?2",
    )?;
    let rows = statement.query_map((now.0.cast_signed(), limit), |row| row.get(0).map(GroupId))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// When the next closed group is to be asked for.
pub(crate) fn next_due(tx: &Transaction<'_>) -> Result<Option<Time>, StoreError> {
    let next: Option<i64> = tx
        .prepare_cached(
            "SELECT min(u.due_at) FROM unknown_group AS u JOIN conversation_group AS g
                 ON g.group_id = u.group_id WHERE u.asked AND g.state = 5",
        )?
        .query_row([], |row| row.get(0))?;
    Ok(next.map(|next| Time(next.cast_unsigned())))
}

/// How often a group was asked for, and when it is asked for next.
pub(crate) fn asks(tx: &Transaction<'_>, group: GroupId) -> Result<(u32, Time), StoreError> {
    let (asks, due): (u32, Option<i64>) = tx
        .prepare_cached("SELECT asks, due_at FROM unknown_group WHERE group_id = ?1")?
        .query_row([group.0], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok((asks, Time(due.unwrap_or(0).cast_unsigned())))
}

/// Counts that a group is asked for, and when it is next.
pub(crate) fn count_ask(
    tx: &Transaction<'_>,
    group: GroupId,
    next: Time,
) -> Result<(), StoreError> {
    tx.execute(
        "UPDATE unknown_group SET asks = asks + 1, due_at = ?2 WHERE group_id = ?1",
        (group.0, next.0.cast_signed()),
    )?;
    Ok(())
}

/// The group is not asked for any more.
pub(crate) fn give_up(tx: &Transaction<'_>, group: GroupId) -> Result<(), StoreError> {
    tx.execute(
        "UPDATE unknown_group SET due_at = NULL WHERE group_id = ?1",
        [group.0],
    )?;
    Ok(())
}
