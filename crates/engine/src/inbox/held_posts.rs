//! Held posts: posts that arrived but cannot be read yet, because their group is being
//! checked, waits for a look-up or has to be rejoined, or because an earlier commit has not
//! arrived.
//!
//! **Always**: a group holds at most [`PER_GROUP`] posts, all groups together [`IN_ALL`]; a
//! stranger's group, and all strangers' groups together, hold fewer. What exceeds this is
//! dropped: its counter leaves a gap, and this device asks for it again.

use rusqlite::{Row, Transaction};
use waxwing_protocol::{
    ids::{Epoch, GroupId, PostId},
    pb::PostKind,
    time::Time,
};

use crate::store::StoreError;

pub(crate) const SCHEMA: &str = "
CREATE TABLE held_post (
    id INTEGER PRIMARY KEY,
    group_id BLOB NOT NULL,
    kind INTEGER NOT NULL,
    epoch INTEGER NOT NULL,
    post_id BLOB NOT NULL,
    body BLOB NOT NULL,
    held_at INTEGER NOT NULL,
    UNIQUE (group_id, post_id)
);
";

/// The number that the relay gave a post in its group.
pub(crate) const SEQUENCE: &str = "
ALTER TABLE held_post ADD COLUMN sequence INTEGER NOT NULL DEFAULT 0;
";

/// Two thousand messages, and the commits between them.
const PER_GROUP: i64 = 2_500;
const IN_ALL: i64 = 20_000;

/// The same for groups that are not known, or into which a stranger took this device.
const PER_STRANGER: i64 = 250;
const OF_STRANGERS: i64 = 4_000;

/// A post from the mailbox.
#[derive(Clone)]
pub(crate) struct ReceivedPost {
    pub group: GroupId,
    pub kind: PostKind,
    pub epoch: Epoch,
    pub id: PostId,
    /// Its number among the group's posts, as the relay says; 0 where that was not kept.
    pub sequence: u64,
    /// When it came here.
    pub received_at: Time,
    pub body: Vec<u8>,
}

/// A held post.
pub(crate) struct HeldPost {
    pub row: i64,
    pub post: ReceivedPost,
}

/// Holds a post; `false` where there is no room.
pub(crate) fn hold(tx: &Transaction<'_>, post: &ReceivedPost) -> Result<bool, StoreError> {
    let (in_group, in_all): (i64, i64) = tx
        .prepare_cached(
            "SELECT (SELECT count(*) FROM held_post WHERE group_id = ?1),
                    (SELECT count(*) FROM held_post)",
        )?
        .query_row([post.group.0], |row| Ok((row.get(0)?, row.get(1)?)))?;
    if in_group >= PER_GROUP || in_all >= IN_ALL {
        return Ok(false);
    }
    tx.prepare_cached(
        "INSERT INTO held_post (group_id, kind, epoch, post_id, body, held_at, sequence)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT DO NOTHING",
    )?
    .execute((
        post.group.0,
        post.kind as i32,
        post.epoch.0.cast_signed(),
        post.id.0,
        &post.body,
        post.received_at.0.cast_signed(),
        i64::try_from(post.sequence).unwrap_or(i64::MAX),
    ))?;
    Ok(true)
}

/// Whether a stranger's group, or those of all strangers, have no room.
pub(crate) fn is_full_of_strangers(
    tx: &Transaction<'_>,
    group: GroupId,
) -> Result<bool, StoreError> {
    let (in_group, in_all): (i64, i64) = tx
        .prepare_cached(
            "SELECT (SELECT count(*) FROM held_post WHERE group_id = ?1),
                    (SELECT count(*) FROM held_post WHERE group_id NOT IN
                         (SELECT group_id FROM conversation_group WHERE NOT by_stranger))",
        )?
        .query_row([group.0], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(in_group >= PER_STRANGER || in_all >= OF_STRANGERS)
}

/// Whether a group holds any.
pub(crate) fn any(tx: &Transaction<'_>, group: GroupId) -> Result<bool, StoreError> {
    Ok(tx
        .prepare_cached("SELECT 1 FROM held_post WHERE group_id = ?1")?
        .exists([group.0])?)
}

/// A group's held posts, in the order in which they can be read: by epoch, and in each the
/// commit that ends it last.
pub(crate) fn of_group(tx: &Transaction<'_>, group: GroupId) -> Result<Vec<HeldPost>, StoreError> {
    let mut statement = tx.prepare_cached(
        "SELECT id, group_id, kind, epoch, post_id, body, sequence, held_at FROM held_post
         WHERE group_id = ?1 ORDER BY epoch, kind = ?2, id",
    )?;
    let rows = statement.query_map((group.0, PostKind::Commit as i32), read)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Welcomes to groups that are not known: they wait for room to be checked. As rows, the oldest
/// first.
pub(crate) fn welcomes(tx: &Transaction<'_>) -> Result<Vec<i64>, StoreError> {
    let mut statement = tx.prepare_cached(
        "SELECT id FROM held_post WHERE kind = ?1
           AND group_id NOT IN (SELECT group_id FROM conversation_group) ORDER BY id",
    )?;
    let rows = statement.query_map([PostKind::Welcome as i32], |row| row.get(0))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Takes a held post.
pub(crate) fn take(tx: &Transaction<'_>, row: i64) -> Result<Option<ReceivedPost>, StoreError> {
    let mut statement = tx.prepare_cached(
        "DELETE FROM held_post WHERE id = ?1
         RETURNING id, group_id, kind, epoch, post_id, body, sequence, held_at",
    )?;
    let mut rows = statement.query_map([row], read)?;
    Ok(rows.next().transpose()?.map(|held| held.post))
}

/// The groups that hold posts.
pub(crate) fn groups(tx: &Transaction<'_>) -> Result<Vec<GroupId>, StoreError> {
    let mut statement = tx.prepare_cached("SELECT DISTINCT group_id FROM held_post")?;
    let rows = statement.query_map([], |row| row.get(0).map(GroupId))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// The post was read, or never will be.
pub(crate) fn release(tx: &Transaction<'_>, row: i64) -> Result<(), StoreError> {
    tx.prepare_cached("DELETE FROM held_post WHERE id = ?1")?
        .execute([row])?;
    Ok(())
}

/// Forgets all that a group holds.
pub(crate) fn forget_group(tx: &Transaction<'_>, group: GroupId) -> Result<(), StoreError> {
    tx.execute("DELETE FROM held_post WHERE group_id = ?1", [group.0])?;
    Ok(())
}

fn read(row: &Row<'_>) -> rusqlite::Result<HeldPost> {
    Ok(HeldPost {
        row: row.get(0)?,
        post: ReceivedPost {
            group: GroupId(row.get(1)?),
            kind: PostKind::try_from(row.get::<_, i32>(2)?).unwrap_or_default(),
            epoch: Epoch(row.get::<_, i64>(3)?.cast_unsigned()),
            id: PostId(row.get(4)?),
            body: row.get(5)?,
            sequence: row.get::<_, i64>(6)?.cast_unsigned(),
            received_at: Time(row.get::<_, i64>(7)?.cast_unsigned()),
        },
    })
}
