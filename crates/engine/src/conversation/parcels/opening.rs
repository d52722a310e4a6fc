//! Posts and group information that came in a parcel: whether it is here, is waited for, or is not
//! fetched at all.

use waxwing_protocol::{ids::GroupId, pb::PostKind};

use super::{MARK, find, forget, is_coming, parcel_in, signed, whole};
use crate::{
    api::ConversationId,
    conversation::{
        acquaintance, group_state::GroupState, group_welcomers, groups, join_requests, lost_groups,
    },
    inbox::held_posts::ReceivedPost,
    turn::{Fault, Turn},
};

/// Parcels of groups that are not known, or not accepted, that wait.
const UNKNOWN_MAX: i64 = 256;

/// A commit in a group that is not accepted is fetched if it is not larger. Otherwise this device
/// joins the group again when the person accepts.
const UNACCEPTED_BYTES: u64 = 256 << 10;

/// Parcels that may be waited for. Only a few of them are fetched at a time, so that the
/// rest takes a row each: a device that was away for long has many in its mailbox.
const COMING_MAX: i64 = 4_096;

/// Where bytes are that came from the relay.
pub(crate) enum Opened {
    /// Here: what was in a parcel, or `None` where they came as they are.
    Here(Option<Vec<u8>>),
    /// On their way.
    Coming,
    /// Not to be had.
    Gone,
}

/// A post came: what is in a parcel is fetched first.
pub(crate) fn open_post(turn: &mut Turn<'_>, post: &ReceivedPost) -> Result<Opened, Fault> {
    let may_be = matches!(post.kind, PostKind::Commit | PostKind::Welcome);
    if !may_be || !post.body.starts_with(&MARK) {
        return Ok(Opened::Here(None));
    }
    if let Some(group) = groups::find(turn.tx, post.group)? {
        // Welcomes go to whoever is there already, too: only who is not looks into them.
        let is_left_alone = matches!(group.state, GroupState::Closed | GroupState::Quarantined);
        let is_for_us = match post.kind {
            PostKind::Welcome => is_left_alone || group.state.is_lost(),
            _ => !is_left_alone,
        };
        // Nor does anybody look into the echo of their own.
        if !is_for_us || group.commit_post == Some(post.id) {
            return Ok(Opened::Here(None));
        }
    } else if post.kind == PostKind::Commit && !is_coming(turn, post.group)? {
        // The commit that takes this device in: it gets the welcome behind it. Whoever
        // looked into it would take the place of somebody for whom it is, and who is away.
        return Ok(Opened::Here(None));
    }
    open(turn, post.group, &post.body, Some(post))
}

/// Group information came.
pub(crate) fn open_info(turn: &mut Turn<'_>, group: GroupId, body: &[u8]) -> Result<Opened, Fault> {
    if body.starts_with(&MARK) {
        open(turn, group, body, None)
    } else {
        Ok(Opened::Here(None))
    }
}

fn open(
    turn: &mut Turn<'_>,
    group: GroupId,
    body: &[u8],
    post: Option<&ReceivedPost>,
) -> Result<Opened, Fault> {
    let Some((id, bytes, hash)) = parcel_in(body) else {
        return Ok(Opened::Gone);
    };
    if let Some(row) = find(turn, id)? {
        if row.outgoing || row.hash != hash || row.group != group || !row.blob().is_whole() {
            return Ok(Opened::Coming);
        }
        let whole = whole(turn, &row)?;
        forget(turn, id)?;
        return Ok(whole.map_or(Opened::Gone, |bytes| Opened::Here(Some(bytes))));
    }
    if post.is_none() {
        // Of an epoch that is over.
        turn.tx.execute(
            "DELETE FROM parcel_part WHERE parcel IN
                 (SELECT id FROM parcel WHERE group_id = ?1 AND way = 0 AND is_info)",
            [group.0],
        )?;
        turn.tx.execute(
            "DELETE FROM parcel WHERE group_id = ?1 AND way = 0 AND is_info",
            [group.0],
        )?;
    }
    let unknown = match post {
        Some(post) => is_unknown(turn, post)?,
        None => false,
    };
    let coming: i64 = turn
        .tx
        .prepare_cached("SELECT count(*) FROM parcel WHERE way = 0 AND (unknown > 0) = ?1")?
        .query_row([unknown], |row| row.get(0))?;
    let most = if unknown { UNKNOWN_MAX } else { COMING_MAX };
    let is_known_group = groups::find(turn.tx, group)?.is_some();
    let is_large = unknown && is_known_group && bytes > UNACCEPTED_BYTES;
    // One for each group that is not known, and what follows it.
    let is_second = unknown
        && post.is_some_and(|post| post.kind == PostKind::Welcome)
        && is_coming(turn, group)?;
    if coming >= most || is_large || is_second {
        return Ok(Opened::Gone);
    }
    turn.tx.execute(
        "INSERT INTO parcel
             (id, group_id, way, is_info, bytes, hash, post_id, kind, epoch, sequence, unknown)
         VALUES (?1, ?2, 0, ?5 IS NULL, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
        (
            id,
            group.0,
            signed(bytes),
            hash,
            post.map(|post| post.id.0),
            post.map(|post| post.kind as i32),
            post.map(|post| post.epoch.0.cast_signed()),
            signed(post.map_or(0, |post| post.sequence)),
            unknown,
        ),
    )?;
    Ok(Opened::Coming)
}

/// Whether a post's group is not known, or not accepted, and the person has not asked for it.
fn is_unknown(turn: &Turn<'_>, post: &ReceivedPost) -> Result<bool, Fault> {
    if let Some(group) = groups::find(turn.tx, post.group)? {
        return match group.state {
            GroupState::Checking => Ok(group_welcomers::is_strangers(turn.tx, group.id)?),
            _ => acquaintance::is_silent_group(turn, &group),
        };
    }
    // The first group of a conversation bears its id.
    let conversation = ConversationId::from_bytes(post.group.0);
    let asked = join_requests::has_asked(turn.tx, conversation)?
        || lost_groups::has_requested(turn.tx, post.group)?;
    Ok(!asked)
}
