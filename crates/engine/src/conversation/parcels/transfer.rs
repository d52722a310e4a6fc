//! Moving the parts of parcels to the relay and from it, and reading a parcel that is whole.

use std::collections::HashSet;

use waxwing_protocol::{
    ids::{Epoch, PostId},
    limits,
    pb::{BlobPartFetched, BlobStored, Error, PostKind},
};

use super::{
    COLUMNS, OnItsWay, find, forget, keep_part,
    outgoing::sweep,
    read,
    strangers::{count_unknown, unknown_under_way},
    whole,
};
use crate::{
    containment::ErrorOwner,
    conversation::{
        above::ConversationHook, behind, group_state::GroupState, group_welcomers, groups,
        lost_groups, re_add,
    },
    inbox::held_posts::ReceivedPost,
    link::{
        self,
        blob::{self, AGAIN, BlobId, Refused},
        reader_marks,
    },
    memory::Remembered,
    turn::{Fault, Postponed, Turn},
};

/// Parcels that are brought at a time, the oldest first.
const AT_ONCE: u32 = 8;

fn under_way(turn: &Turn<'_>) -> Result<Vec<OnItsWay>, Fault> {
    let mut statement = turn.tx.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM parcel
         WHERE way < 2 AND unknown = 0 AND parts * {part} < bytes ORDER BY rowid LIMIT {AT_ONCE}",
        part = limits::BLOB_PART_BYTES,
    ))?;
    let rows = statement.query_map([], read)?;
    let mut under_way: Vec<OnItsWay> = rows.collect::<Result<_, _>>()?;
    under_way.extend(unknown_under_way(turn)?);
    Ok(under_way)
}

/// Whether anything is to be brought.
pub(crate) fn any(turn: &Turn<'_>) -> Result<bool, Fault> {
    Ok(!under_way(turn)?.is_empty())
}

/// Brings what is to be brought.
pub(crate) fn pump(turn: &mut Turn<'_>) -> Result<(), Fault> {
    sweep(turn)?;
    for row in under_way(turn)? {
        if row.blob().is_busy(turn) {
            continue;
        }
        let brought = turn.run_contained(ErrorOwner::Group(row.group), |turn| bring(turn, &row))?;
        if brought.is_none() {
            drop_it(turn, row.id)?;
        }
    }
    Ok(())
}

fn bring(turn: &mut Turn<'_>, row: &OnItsWay) -> Result<(), Fault> {
    if row.outgoing {
        return if row.blob().is_opened(turn) {
            put(turn, row)
        } else {
            begin(turn, row)
        };
    }
    count_unknown(turn, row)?;
    row.blob().fetch(turn);
    Ok(())
}

/// It failed by an error of this program's: it is not brought again.
pub(crate) fn drop_it(turn: &mut Turn<'_>, id: BlobId) -> Result<(), Fault> {
    forget(turn, id)
}

fn put(turn: &mut Turn<'_>, row: &OnItsWay) -> Result<(), Fault> {
    let body: Vec<u8> = turn
        .tx
        .prepare_cached("SELECT body FROM parcel_part WHERE parcel = ?1 AND part = ?2")?
        .query_row((row.id, row.parts), |row| row.get(0))?;
    row.blob().put(turn, body.into());
    Ok(())
}

/// Makes room at the relay, or asks how much it has.
fn begin(turn: &mut Turn<'_>, row: &OnItsWay) -> Result<(), Fault> {
    let opened = row
        .blob()
        .open(turn, row.readers, row.marks.clone(), row.secret)?;
    if let Some(secret) = opened {
        turn.tx.execute(
            "UPDATE parcel SET secret = ?2 WHERE id = ?1",
            (row.id, secret),
        )?;
    }
    Ok(())
}

/// The relay has so much of a parcel.
pub(crate) fn handle_parcel_stored(
    turn: &mut Turn<'_>,
    id: BlobId,
    stored: BlobStored,
) -> Result<(), Fault> {
    let Some(row) = find(turn, id)?.filter(|row| row.outgoing) else {
        return Ok(());
    };
    let parts = row.blob().handle_stored(turn, stored);
    turn.tx
        .execute("UPDATE parcel SET parts = ?2 WHERE id = ?1", (id, parts))?;
    if parts >= row.blob().all_parts() {
        turn.memory.due_mut().groups.insert(row.group);
        if let Some(group) = groups::find(turn.tx, row.group)? {
            turn.memory
                .due_mut()
                .conversations
                .extend(group.conversation);
        }
    }
    Ok(())
}

/// A part has come from the relay.
pub(crate) fn handle_parcel_part(
    turn: &mut Turn<'_>,
    id: BlobId,
    part: &BlobPartFetched,
) -> Result<(), Fault> {
    let Some(row) = find(turn, id)?.filter(|row| !row.outgoing) else {
        return Ok(());
    };
    if !row.blob().is_next(part) {
        return mark_unavailable(turn, &row);
    }
    keep_part(turn, id, u64::from(row.parts), &part.part)?;
    turn.tx
        .execute("UPDATE parcel SET parts = parts + 1 WHERE id = ?1", [id])?;
    if row.parts.saturating_add(1) < row.blob().all_parts() {
        return Ok(());
    }
    complete(turn, &row)
}

/// The post that brought a parcel: id, kind, epoch, number; none for group information.
type Brought = (Option<[u8; 16]>, Option<i32>, Option<i64>, i64);

/// All of it is here: it is read as if it came now.
fn complete(turn: &mut Turn<'_>, row: &OnItsWay) -> Result<(), Fault> {
    if !row.unknown {
        acknowledge(turn, row.id)?;
    }
    let (post, kind, epoch, sequence): Brought = turn
        .tx
        .prepare_cached("SELECT post_id, kind, epoch, sequence FROM parcel WHERE id = ?1")?
        .query_row([row.id], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
        })?;
    let Some(post) = post else {
        // It is asked for again, and then found here.
        turn.memory.due_mut().groups.insert(row.group);
        return Ok(());
    };
    let Some(body) = whole(turn, row)? else {
        return mark_unavailable(turn, row);
    };
    forget(turn, row.id)?;
    let post = ReceivedPost {
        group: row.group,
        kind: PostKind::try_from(kind.unwrap_or(0)).unwrap_or_default(),
        epoch: Epoch(epoch.unwrap_or(0).cast_unsigned()),
        id: PostId(post),
        sequence: sequence.cast_unsigned(),
        received_at: turn.now,
        body,
    };
    for hook in turn.hooks.of::<dyn ConversationHook>() {
        hook.handle_fetched_post(turn, &post)?;
    }
    if row.unknown && post.kind == PostKind::Welcome {
        group_welcomers::set_parcel(turn.tx, row.group, row.id)?;
    }
    for hook in turn.hooks.of::<dyn ConversationHook>() {
        hook.handle_readable(turn, row.group)?;
    }
    Ok(())
}

/// The relay may forget a parcel, as far as this device goes.
pub(crate) fn acknowledge(turn: &mut Turn<'_>, id: BlobId) -> Result<(), Fault> {
    let mark = reader_marks::of_parcel(id, turn.account()?.device());
    blob::acknowledge(turn, id, mark);
    Ok(())
}

/// It is not to be had: as if the post had not come, but for what it says of the group.
fn mark_unavailable(turn: &mut Turn<'_>, row: &OnItsWay) -> Result<(), Fault> {
    forget(turn, row.id)?;
    if row.outgoing {
        return Ok(());
    }
    match groups::find(turn.tx, row.group)? {
        Some(group) if row.is_info => {
            if !group.state.is_lost() {
                return Ok(());
            }
            // A new epoch may have begun meanwhile, with other information.
            if is_first_time_unavailable(turn, row.id) {
                turn.postpone(Postponed::Group(row.group), AGAIN);
                return Ok(());
            }
            re_add::request_re_add(turn, &group)
        }
        Some(group) if matches!(group.state, GroupState::Closed | GroupState::Quarantined) => {
            Ok(())
        }
        Some(_) => behind::mark_lost(turn, row.group),
        None => lost_groups::handle_post_of_unknown_group(turn, row.group),
    }
}

/// The relay refused.
pub(crate) fn handle_refusal(turn: &mut Turn<'_>, id: BlobId, error: &Error) -> Result<(), Fault> {
    let Some(row) = find(turn, id)? else {
        blob::close(turn, id);
        return Ok(());
    };
    match row.blob().handle_refusal(turn, error) {
        Refused::Gone | Refused::Invalid if !row.outgoing => mark_unavailable(turn, &row),
        Refused::Gone | Refused::Invalid => {
            turn.postpone(Postponed::Blob(id), link::retry_after(error));
            Ok(())
        }
        Refused::FromStart => {
            turn.tx.execute(
                "UPDATE parcel SET parts = 0, secret = NULL WHERE id = ?1 AND way = 1",
                [id],
            )?;
            Ok(())
        }
        Refused::Later => Ok(()),
    }
}

/// Group information that was asked for and was not there.
#[derive(Default)]
struct UnavailableParcels(HashSet<BlobId>);

impl Remembered for UnavailableParcels {
    const OUTLASTS_ERRORS: bool = true;
}

fn is_first_time_unavailable(turn: &mut Turn<'_>, id: BlobId) -> bool {
    let unavailable = &mut turn.memory.states.get_mut::<UnavailableParcels>().0;
    unavailable.insert(id)
}
