//! Quarantine: a group whose processing failed inside this program is left alone, so that
//! everything else continues.
//!
//! An error in one group's post, answer or maintenance is undone ([`crate::containment`]), and
//! the group goes into [`GroupState::Quarantined`](super::group_state::GroupState::Quarantined):
//!
//! - *New posts* are acknowledged but not read, because they could cause the same error.
//!   Others keep what they sent, and resend it once this device has rejoined.
//! - *Held posts* are deleted, since the cause may be among them; only a group that was being
//!   checked keeps them, because nobody would resend those.
//! - *Messages waiting to be sent* go to another group of the conversation, as with a closed
//!   group, and leave only a number in their place. For two people a new group is made; for a
//!   group conversation an admin's device makes the next generation, as with a broken group.
//! - *The person* sees an event in the conversation.
//!
//! It ends in one of these ways:
//!
//! - **A retry.** After [`RETRIES`] the device treats the group as lost and rejoins it. That
//!   replaces the MLS state, which may have been the cause, and asks everybody for what was
//!   missed. Time alone repairs nothing, but perhaps only one post failed, which the rejoined
//!   device never reads, or a state that a later commit has replaced. If the group fails again
//!   it goes back into quarantine, for longer. After the last retry it stays there: somebody
//!   who can cause the error can do so only a bounded number of times, and a device never
//!   rejoins the same group over and over. After a restart the same plan continues.
//! - **A later version** of this program may have fixed the error: all retries start again.
//! - **A welcome** to the same group replaces it.
//! - **A newer generation** of a group conversation replaces it; then it is closed. (Two
//!   people's groups are rejoined even if there is another: the other side may still write to
//!   the old one.)
//!
//! **Elsewhere**: [`crate::containment`] decides what counts as a group's error, and undoes
//! it; [`super::rejoin`] rejoins.
//!
//! **Always**: going into quarantine reads only plain columns of the group's row, so that it
//! works even if the rest of the group cannot be read.

use rusqlite::{OptionalExtension as _, Transaction};
use waxwing_protocol::{
    ids::GroupId,
    time::{Span, Time},
};

use super::{
    behind, generations,
    group_state::{self, StateKind},
    groups::{self, GroupRecord},
    history,
};
use crate::{
    api::{ConversationId, EventKind, Notice},
    inbox::held_posts,
    mls, outbox,
    store::StoreError,
    turn::{Fault, Postponed, Turn},
};

pub(crate) const SCHEMA: &str = "
CREATE TABLE quarantine (
    group_id BLOB PRIMARY KEY,
    since INTEGER NOT NULL,      -- when it last began
    was INTEGER NOT NULL,        -- the group's state before
    tries INTEGER NOT NULL,      -- retries that were made
    retry_at INTEGER,            -- absent: no more with this version
    version TEXT NOT NULL        -- of the program
) WITHOUT ROWID;
";

/// A quarantined group is tried again after this long, the first time, the second time, and
/// so on.
const RETRIES: [Span; 4] = [
    Span::minutes(1),
    Span::minutes(10),
    Span::hours(2),
    Span::hours(24),
];

/// What happened so long ago does not count against a group any more.
const FORGOTTEN_AFTER: Span = Span::days(7);

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Whether the person sees it in a conversation if this group is quarantined now.
pub(crate) fn is_shown(tx: &Transaction<'_>, id: GroupId) -> Result<bool, StoreError> {
    Ok(groups::plain(tx, id)?
        .is_some_and(|group| group.conversation.is_some() && group.state != StateKind::Closed))
}

/// A group's work failed and was undone: it is left alone from now on. Nothing happens to a
/// group that is not known, or over.
pub(crate) fn begin(turn: &mut Turn<'_>, id: GroupId) -> Result<(), Fault> {
    let Some(before) = groups::plain(turn.tx, id)? else {
        return Ok(());
    };
    if before.state == StateKind::Closed {
        return Ok(());
    }
    if before.state == StateKind::Quarantined {
        // Not even the retry works.
        turn.tx.execute(
            "UPDATE quarantine SET retry_at = NULL WHERE group_id = ?1",
            [id.0],
        )?;
        turn.memory.postponed.remove(&Postponed::Group(id));
        return Ok(());
    }
    let now = turn.now;
    let earlier: Option<(i64, usize)> = turn
        .tx
        .prepare_cached("SELECT since, tries FROM quarantine WHERE group_id = ?1")?
        .query_row([id.0], |row| {
            Ok((row.get(0)?, row.get::<_, u32>(1)? as usize))
        })
        .optional()?;
    let tries = earlier
        .filter(|(since, _)| now.since(Time(since.cast_unsigned())) < FORGOTTEN_AFTER)
        .map_or(0, |(_, tries)| tries);
    let retry_at = RETRIES.get(tries).map(|span| now.after(*span));
    turn.tx.execute(
        "INSERT OR REPLACE INTO quarantine (group_id, since, was, tries, retry_at, version)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        (
            id.0,
            now.0.cast_signed(),
            before.state as u8,
            u32::try_from(tries).unwrap_or(u32::MAX),
            retry_at.map(|at| at.0.cast_signed()),
            VERSION,
        ),
    )?;
    let was_checked = before.state == StateKind::Checking;
    let over = retry_at.is_none() && before.conversation.is_none();
    let state = if over {
        StateKind::Closed
    } else {
        StateKind::Quarantined
    };
    group_state::enter(turn.tx, id, state)?;
    outbox::release_for_now(turn.tx, id)?;
    if over || !was_checked {
        held_posts::forget_group(turn.tx, id)?;
    }
    leave_alone(turn, id);
    if let Some(at) = retry_at {
        turn.memory.postponed.insert(Postponed::Group(id), at);
    }
    if let Some(conversation) = before.conversation {
        turn.memory.due_mut().conversations.insert(conversation);
        add_event(turn, conversation)?;
        if groups::for_sending(turn.tx, conversation)?.is_none() {
            generations::schedule_next_generation(turn, conversation)?;
        }
    }
    Ok(())
}

/// Nothing in memory of the group is due, or expected, any more.
fn leave_alone(turn: &mut Turn<'_>, id: GroupId) {
    turn.forget(id);
    let memory = &mut *turn.memory;
    memory.forget_behind(id);
    memory.forget_additions(id);
    memory.due_mut().groups.remove(&id);
    memory.postponed.remove(&Postponed::Membership(id));
    memory.links.deauthorise(id);
}

fn add_event(turn: &mut Turn<'_>, conversation: ConversationId) -> Result<(), Fault> {
    let Some(found) = super::find(turn.tx, conversation)? else {
        return Ok(());
    };
    let event = history::add_event(
        turn.tx,
        turn.now,
        conversation,
        EventKind::Quarantined,
        &found.display,
    )?;
    turn.notify(Notice::Event(event));
    Ok(())
}

/// Plans what the store has of groups in quarantine: their retries, and next generations.
pub(crate) fn resume_after_start(turn: &mut Turn<'_>) -> Result<(), Fault> {
    turn.tx
        .prepare_cached(
            "UPDATE quarantine SET tries = 0, retry_at = ?1, version = ?2 WHERE version != ?2",
        )?
        .execute((turn.now.0.cast_signed(), VERSION))?;
    let planned: Vec<(GroupId, Option<i64>)> = {
        let mut statement = turn
            .tx
            .prepare_cached("SELECT group_id, retry_at FROM quarantine")?;
        let rows = statement.query_map([], |row| Ok((GroupId(row.get(0)?), row.get(1)?)))?;
        rows.collect::<Result<_, _>>()?
    };
    for (id, retry_at) in planned {
        let group = groups::plain(turn.tx, id)?;
        let Some(group) = group.filter(|group| group.state == StateKind::Quarantined) else {
            continue;
        };
        if let Some(at) = retry_at {
            let at = Time(at.cast_unsigned());
            turn.memory.postponed.insert(Postponed::Group(id), at);
        }
        if let Some(conversation) = group.conversation.filter(|_| turn.memory.account.is_some())
            && !turn
                .memory
                .postponed
                .contains_key(&Postponed::NextGeneration(conversation))
            && groups::for_sending(turn.tx, conversation)?.is_none()
        {
            generations::schedule_next_generation(turn, conversation)?;
        }
    }
    Ok(())
}

/// Deletes a group's MLS state, even one that cannot be read.
pub(crate) fn delete_keys(turn: &mut Turn<'_>, id: GroupId) -> Result<(), Fault> {
    turn.forget(id);
    let deleted = turn.run_in_savepoint(|turn| {
        turn.with_mls(|provider, _| {
            mls::Group::load(provider, id)?.map_or(Ok(()), |old| old.delete(provider))
        })?
        .map_err(Fault::from)
    })?;
    if deleted.is_err() {
        turn.with_mls(|provider, _| mls::Group::delete_unread(provider, id))??;
    }
    Ok(())
}

/// Tries a quarantined group again, if it is time.
pub(crate) fn retry(turn: &mut Turn<'_>, group: &GroupRecord) -> Result<(), Fault> {
    let planned: Option<(Option<i64>, u8)> = turn
        .tx
        .prepare_cached("SELECT retry_at, was FROM quarantine WHERE group_id = ?1")?
        .query_row([group.id.0], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let Some((Some(at), was)) = planned else {
        return Ok(());
    };
    let at = Time(at.cast_unsigned());
    if at > turn.now {
        turn.memory.postponed.insert(Postponed::Group(group.id), at);
        return Ok(());
    }
    if let Some(conversation) = group.conversation.filter(|_| group.account.is_none())
        && groups::for_sending(turn.tx, conversation)?.is_some()
    {
        return Ok(group_state::enter(turn.tx, group.id, StateKind::Closed)?);
    }
    turn.tx.execute(
        "UPDATE quarantine SET tries = tries + 1, retry_at = NULL WHERE group_id = ?1",
        [group.id.0],
    )?;
    if was == StateKind::Checking as u8 {
        group_state::enter(turn.tx, group.id, StateKind::Checking)?;
        turn.memory.due_mut().groups.insert(group.id);
        return Ok(());
    }
    // What cannot be read is of no use to anybody, and in the way of what replaces it.
    let readable = turn.run_in_savepoint(|turn| {
        turn.with_group(group.id, |group, _, _| group.secrets())?
            .transpose()
            .map_err(Fault::from)
    })?;
    if readable.is_err() {
        delete_keys(turn, group.id)?;
    }
    behind::mark_lost(turn, group.id)
}
