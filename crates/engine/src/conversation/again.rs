//! Being taken in again: a device that has no way back into a group by itself asks another.
//!
//! It happens where a welcome was lost (posts come of a group that is not known), and where
//! the group's rejoin secret was renewed while the device had lost the group. It asks the
//! account's other devices in the notes, or, without any, an admin or the other side in
//! their conversation. Whoever is asked takes the device's old leaf out and brings it in with a
//! new key package, in one commit, which everybody judges like every other.
//!
//! **Elsewhere**: the way back by itself is [`super::rejoin`]; making the commit is
//! [`super::membership`]'s.
//!
//! **Always**: only a device that is in the group already, and that its account's roster
//! admits, is taken in again.

use prost::Message as _;
use rusqlite::{OptionalExtension as _, Transaction};
use waxwing_protocol::{
    ids::{DeviceId, GroupId},
    pb::{Envelope, TakeMeIn, envelope},
    time::Span,
};

use super::{
    Kind,
    groups::{self, Group, GroupState},
    members, notes,
};
use crate::{
    api::ConversationId,
    contact,
    containment::Whose,
    mls::Member,
    outbox,
    store::StoreError,
    turn::{Fault, Turn, Waiting},
};

pub(crate) const SCHEMA: &str = "
CREATE TABLE unknown_group (
    group_id BLOB PRIMARY KEY,
    seen_at INTEGER NOT NULL,
    asked INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;
CREATE TABLE again (
    group_id BLOB NOT NULL,
    device_id BLOB NOT NULL,
    PRIMARY KEY (group_id, device_id)
) WITHOUT ROWID;
";

/// A group's welcome may come so long after its first post.
const WELCOME_WITHIN: Span = Span::seconds(60);

/// Whoever was asked in vain is asked again after this long.
const AGAIN: Span = Span::minutes(5);

/// Groups that are not known and are remembered.
const UNKNOWN_MAX: i64 = 256;

/// Groups in one request.
const AT_ONCE: u32 = 64;

/// A post came of a group that this device does not know.
pub(crate) fn unknown(turn: &mut Turn<'_>, group: GroupId) -> Result<(), Fault> {
    let noted = turn
        .tx
        .prepare_cached(
            "INSERT INTO unknown_group (group_id, seen_at) SELECT ?1, ?2
             WHERE (SELECT count(*) FROM unknown_group) < ?3 ON CONFLICT DO NOTHING",
        )?
        .execute((group.0, turn.now.0.cast_signed(), UNKNOWN_MAX))?;
    if noted > 0 && !turn.live.waits.contains_key(&Waiting::Again) {
        turn.wait(Waiting::Again, WELCOME_WITHIN);
    }
    Ok(())
}

/// Whether this device has asked to be taken into the group, so that it wants to hear what was
/// said before, too.
pub(crate) fn was_asked(tx: &Transaction<'_>, group: GroupId) -> Result<bool, StoreError> {
    let asked: Option<bool> = tx
        .prepare_cached("SELECT asked FROM unknown_group WHERE group_id = ?1")?
        .query_row([group.0], |row| row.get(0))
        .optional()?;
    Ok(asked.unwrap_or(false))
}

/// The device is in the group.
pub(crate) fn is_in(tx: &Transaction<'_>, group: GroupId) -> Result<(), StoreError> {
    tx.execute("DELETE FROM unknown_group WHERE group_id = ?1", [group.0])?;
    Ok(())
}

/// Asks the account's other devices about groups whose welcomes have not come.
pub(crate) fn ask_own_devices(turn: &mut Turn<'_>) -> Result<(), Fault> {
    let late = turn.now.0.saturating_sub(WELCOME_WITHIN.0);
    let groups: Vec<GroupId> = {
        let mut statement = turn.tx.prepare_cached(
            "SELECT group_id FROM unknown_group WHERE seen_at <= ?1 AND NOT asked
               AND group_id NOT IN (SELECT group_id FROM conversation_group) LIMIT ?2",
        )?;
        let rows =
            statement.query_map((late.cast_signed(), AT_ONCE), |row| row.get(0).map(GroupId))?;
        rows.collect::<Result<_, _>>()?
    };
    if groups.is_empty() || turn.account()?.roster().devices().len() < 2 {
        return Ok(());
    }
    for group in &groups {
        turn.tx.execute(
            "UPDATE unknown_group SET asked = 1 WHERE group_id = ?1",
            [group.0],
        )?;
    }
    let notes = notes::conversation(turn)?.id;
    say(turn, notes, &groups)
}

/// This device has lost a group, and the secret that it has of it is not the group's any
/// more: asks somebody who is in it.
pub(crate) fn ask_for(turn: &mut Turn<'_>, group: &Group) -> Result<(), Fault> {
    turn.wait(Waiting::Group(group.id), AGAIN);
    // When it is in, it asks for what was said meanwhile: nothing else tells of those who had
    // not spoken before.
    turn.tx.execute(
        "INSERT INTO unknown_group (group_id, seen_at, asked) VALUES (?1, ?2, 1)
         ON CONFLICT DO UPDATE SET asked = 1",
        (group.id.0, turn.now.0.cast_signed()),
    )?;
    if turn.account()?.roster().devices().len() > 1 {
        let notes = notes::conversation(turn)?.id;
        return say(turn, notes, &[group.id]);
    }
    let own = turn.account()?.id();
    let Some(conversation) = group.conversation.filter(|_| group.account.is_none()) else {
        return Ok(());
    };
    let mut others = members::all(turn.tx, conversation)?;
    others.retain(|member| member.account != own);
    if others.iter().any(|member| member.admin) {
        others.retain(|member| member.admin);
    }
    let pick = usize::from(turn.random::<1>()[0]);
    let Some(member) = others.get(pick.checked_rem(others.len()).unwrap_or(0)) else {
        return Ok(());
    };
    let Some(contact) = contact::of_account(turn.tx, member.account)? else {
        return Ok(());
    };
    let direct = match super::with_account(turn.tx, contact.account)? {
        Some(direct) => direct.id,
        None => match waxwing_protocol::address::Address::parse(&contact.display) {
            Ok(address) => {
                super::start(turn.tx, turn.now, turn.rng, &address, Some(contact.account))?.id
            }
            Err(_) => return Ok(()),
        },
    };
    say(turn, direct, &[group.id])
}

fn say(turn: &mut Turn<'_>, conversation: ConversationId, groups: &[GroupId]) -> Result<(), Fault> {
    let envelope = Envelope {
        sent_at_ms: turn.now.0,
        body: Some(envelope::Body::TakeMeIn(TakeMeIn {
            group_ids: groups.iter().map(|group| group.to_bytes()).collect(),
        })),
        ..Envelope::default()
    };
    let bytes = envelope.encode_to_vec();
    outbox::add(turn.tx, turn.now, conversation, None, &bytes, None)?;
    turn.live.due_conversations.insert(conversation);
    Ok(())
}

/// A device asks to be taken in again.
pub(crate) fn asked(
    turn: &mut Turn<'_>,
    channel: &Group,
    device: &Member,
    request: &TakeMeIn,
) -> Result<(), Fault> {
    let conversation = match channel.conversation {
        Some(id) => super::find(turn.tx, id)?,
        None => None,
    };
    if conversation.is_none_or(|found| found.kind == Kind::Group) {
        return Ok(());
    }
    for id in request.group_ids.iter().take(AT_ONCE as usize) {
        let Ok(id) = GroupId::try_from(id) else {
            continue;
        };
        // Of another group than the one that it was asked in.
        turn.contained(Whose::Group(id), |turn| asked_for(turn, id, device))?;
    }
    Ok(())
}

fn asked_for(turn: &mut Turn<'_>, id: GroupId, device: &Member) -> Result<(), Fault> {
    let group = groups::find(turn.tx, id)?;
    if group.is_none_or(|group| group.state != GroupState::Active) {
        return Ok(());
    }
    let members = turn.with_group(id, |group, _, _| group.members())?;
    let is_in = members.transpose()?.is_some_and(|members| {
        let same =
            |member: &Member| member.device == device.device && member.account == device.account;
        members.iter().any(same)
    });
    if !is_in {
        return Ok(());
    }
    turn.tx.execute(
        "INSERT INTO again (group_id, device_id) VALUES (?1, ?2) ON CONFLICT DO NOTHING",
        (id.0, device.device.0),
    )?;
    groups::set_membership_due(turn.tx, id)?;
    turn.live.due_groups.insert(id);
    Ok(())
}

/// The devices that are to be taken into a group again.
pub(crate) fn of(tx: &Transaction<'_>, group: GroupId) -> Result<Vec<DeviceId>, StoreError> {
    let mut statement = tx.prepare_cached("SELECT device_id FROM again WHERE group_id = ?1")?;
    let rows = statement.query_map([group.0], |row| row.get(0).map(DeviceId))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// The device was taken in, or is in the group no more.
pub(crate) fn done(
    tx: &Transaction<'_>,
    group: GroupId,
    device: DeviceId,
) -> Result<(), StoreError> {
    tx.execute(
        "DELETE FROM again WHERE group_id = ?1 AND device_id = ?2",
        (group.0, device.0),
    )?;
    Ok(())
}

/// Whether a leaf goes and comes again with the same commit.
pub(crate) fn comes_again(removed: &Member, added: &[Member]) -> bool {
    let same =
        |member: &Member| (member.account, member.device) == (removed.account, removed.device);
    added.iter().any(same)
}
