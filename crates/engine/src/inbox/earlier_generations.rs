//! Messages that were sent in a conversation's earlier groups and did not arrive.
//!
//! A group conversation's group can end while a device is behind in it: the device was
//! offline, or could not read a commit that others accepted. Nobody resends messages from that
//! time by themselves. A device that did not follow a group to its end therefore remembers
//! that, and asks every device of the conversation's next group for what it missed in the
//! earlier one. The answers are copies for that device alone.
//!
//! **Elsewhere**: [`super::resending`] answers; [`super::sender_counters`] handles gaps in a group
//! that continues.
//!
//! **Always**: each device is asked once for each earlier group. It sends only messages from
//! the time when the requester's account was a member of that group.

use rusqlite::Transaction;
use waxwing_protocol::{
    ids::{DeviceId, GroupId},
    pb::CounterRange,
    time::Time,
};

use super::{gaps, held_posts, sender_counters};
use crate::{
    api::ConversationId,
    conversation::{
        acquaintance,
        groups::{self, GroupRecord},
    },
    outbox,
    store::StoreError,
    turn::{Fault, Turn},
};

pub(crate) const SCHEMA: &str = "
CREATE TABLE unfollowed_group (         -- ended while this device was behind in it
    group_id BLOB PRIMARY KEY,
    conversation BLOB NOT NULL,
    ended_at INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX unfollowed_group_conversation ON unfollowed_group (conversation);
CREATE TABLE unfollowed_asked (         -- devices that were asked for what they said in it
    group_id BLOB NOT NULL,
    device_id BLOB NOT NULL,
    PRIMARY KEY (group_id, device_id)
) WITHOUT ROWID;
";

/// A group is about to be over.
pub(crate) fn handle_group_ending(turn: &mut Turn<'_>, group: &GroupRecord) -> Result<(), Fault> {
    let is_behind = group.state.is_lost()
        || group.state.awaits_look_up()
        || turn.memory.is_behind(group.id)
        || held_posts::any(turn.tx, group.id)?
        || sender_counters::has_holes(turn.tx, group.id)?;
    if is_behind {
        remember(turn, group)?;
    }
    Ok(())
}

/// Something is missing in a group that is over.
pub(crate) fn misses(
    turn: &mut Turn<'_>,
    group: &GroupRecord,
    device: DeviceId,
) -> Result<(), Fault> {
    remember(turn, group)?;
    turn.tx.execute(
        "DELETE FROM unfollowed_asked WHERE group_id = ?1 AND device_id = ?2",
        (group.id.0, device.0),
    )?;
    let conversation = group.conversation;
    let current = match conversation {
        Some(conversation) => groups::for_sending(turn.tx, conversation)?,
        None => None,
    };
    current.map_or(Ok(()), |current| ask(turn, &current))
}

fn remember(turn: &mut Turn<'_>, group: &GroupRecord) -> Result<(), Fault> {
    // Two people go on in the same group, or in one that has nothing to do with this one.
    let Some(conversation) = group.conversation.filter(|_| group.account.is_none()) else {
        return Ok(());
    };
    turn.tx.execute(
        "INSERT INTO unfollowed_group (group_id, conversation, ended_at) VALUES (?1, ?2, ?3)
         ON CONFLICT DO NOTHING",
        (
            group.id.0,
            conversation.as_bytes(),
            turn.now.0.cast_signed(),
        ),
    )?;
    Ok(())
}

/// The members of a conversation's current group may be others: those who were not asked yet
/// are asked.
pub(crate) fn ask(turn: &mut Turn<'_>, current: &GroupRecord) -> Result<(), Fault> {
    let Some(conversation) = current.conversation.filter(|_| current.account.is_none()) else {
        return Ok(());
    };
    let earlier = unfollowed_groups(turn.tx, turn.now, conversation)?;
    if earlier.is_empty()
        || !groups::is_current(turn.tx, conversation, current.id)?
        || acquaintance::is_silent_group(turn, current)?
    {
        return Ok(());
    }
    let own = turn.account()?.device();
    let members = turn.with_group(current.id, |group, _, _| group.members())?;
    let Some(members) = members.transpose()? else {
        return Ok(());
    };
    for group in earlier.into_iter().filter(|group| *group != current.id) {
        let heard = sender_counters::senders(turn.tx, group)?;
        for member in members.iter().filter(|member| member.device != own) {
            let is_new = turn
                .tx
                .prepare_cached(
                    "INSERT INTO unfollowed_asked (group_id, device_id) VALUES (?1, ?2)
                     ON CONFLICT DO NOTHING",
                )?
                .execute((group.0, member.device.0))?;
            if is_new == 0 {
                continue;
            }
            let known = heard.iter().find(|(device, _)| *device == member.device);
            let from = known
                .map_or(0, |(_, contiguous)| *contiguous)
                .saturating_add(1);
            let all = CounterRange { from, to: u64::MAX };
            gaps::request_resend(turn, current, member.device, vec![all], Some(group))?;
        }
    }
    Ok(())
}

/// The groups of a conversation that this device did not follow to their ends, as long as
/// anybody can still send again what was said in them.
fn unfollowed_groups(
    tx: &Transaction<'_>,
    now: Time,
    conversation: ConversationId,
) -> Result<Vec<GroupId>, StoreError> {
    let until = now.0.saturating_sub(outbox::KEPT.0).cast_signed();
    let mut statement = tx.prepare_cached(
        "SELECT group_id FROM unfollowed_group WHERE conversation = ?1 AND ended_at > ?2
         ORDER BY ended_at DESC LIMIT 8",
    )?;
    let rows = statement.query_map((conversation.as_bytes(), until), |row| {
        row.get(0).map(GroupId)
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// The group that a request or an answer is about: another one of the same conversation. Whoever
/// is asked may not have left it. `None` where it is not one.
///
/// Only what comes in the conversation's current group counts: a device that was revoked, or is
/// to blame, may still be in an earlier one, where nobody takes it out any more, and must get
/// nothing of the group that followed.
pub(super) fn find_earlier_group(
    turn: &Turn<'_>,
    current: &GroupRecord,
    named: &[u8],
) -> Result<Option<GroupRecord>, Fault> {
    let (Ok(id), Some(conversation)) = (GroupId::try_from(named), current.conversation) else {
        return Ok(None);
    };
    if !groups::is_current(turn.tx, conversation, current.id)? {
        return Ok(None);
    }
    let earlier = groups::find(turn.tx, id)?.filter(|earlier| {
        earlier.account.is_none()
            && current.account.is_none()
            && earlier.conversation == Some(conversation)
            && earlier.id != current.id
    });
    Ok(earlier)
}
