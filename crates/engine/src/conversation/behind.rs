//! Groups in which this device is behind the relay, and groups whose state it has lost.
//!
//! If the relay knows of a later epoch than this device, a commit is on its way here, or was
//! lost.
//!
//! **Elsewhere**: [`super::epochs`] waits for the commit; [`super::rejoin`] rejoins groups that
//! are lost.
//!
//! **Always**: a group that is lost has nothing on its way to the relay, and no MLS state in
//! memory.

use std::collections::BTreeMap;

use waxwing_protocol::{
    ids::{Epoch, GroupId},
    time::Time,
};

use super::{above::ConversationHook, group_state};
use crate::{
    memory::{Memory, Remembered},
    turn::{Fault, Turn},
};

/// Groups of which the relay has a later epoch than this device.
#[derive(Default)]
pub(super) struct GroupsBehind(pub BTreeMap<GroupId, Behind>);

impl Remembered for GroupsBehind {}

pub(super) struct Behind {
    /// The newest epoch that the relay spoke of.
    newest: Epoch,
    pub since: Time,
}

impl Memory {
    /// Whether the relay has a later epoch of the group than this device.
    pub(crate) fn is_behind(&self, group: GroupId) -> bool {
        self.behind_since(group).is_some()
    }

    /// Since when the relay has a later epoch of the group than this device.
    pub(crate) fn behind_since(&self, group: GroupId) -> Option<Time> {
        let groups = &self.states.get::<GroupsBehind>()?.0;
        groups.get(&group).map(|behind| behind.since)
    }

    /// The device has caught up with the relay, or does not try to.
    pub(crate) fn forget_behind(&mut self, group: GroupId) {
        self.states.get_mut::<GroupsBehind>().0.remove(&group);
    }

    /// The relay has this epoch of a group, and this device does not.
    pub(crate) fn note_behind(&mut self, now: Time, group: GroupId, epoch: Epoch) {
        let groups = &mut self.states.get_mut::<GroupsBehind>().0;
        let behind = groups.entry(group).or_insert(Behind {
            newest: epoch,
            since: now,
        });
        behind.newest = behind.newest.max(epoch);
    }
}

/// The relay spoke of a group's epoch: if it is later than ours, a commit is on its
/// way to us, or was lost.
pub(crate) fn handle_epoch(turn: &mut Turn<'_>, id: GroupId, epoch: Epoch) -> Result<(), Fault> {
    let ours = turn.with_group(id, |group, _, _| Ok::<_, Fault>(group.epoch()))?;
    let Some(ours) = ours.transpose()? else {
        return Ok(());
    };
    if epoch > ours {
        turn.memory.note_behind(turn.now, id, epoch);
    }
    Ok(())
}

/// An epoch has begun here.
pub(crate) fn handle_new_epoch(turn: &mut Turn<'_>, id: GroupId, epoch: Epoch) {
    let groups = &mut turn.memory.states.get_mut::<GroupsBehind>().0;
    if groups.get(&id).is_some_and(|behind| behind.newest <= epoch) {
        groups.remove(&id);
    }
}

/// This device's state of a group is gone or behind.
pub(crate) fn mark_lost(turn: &mut Turn<'_>, id: GroupId) -> Result<(), Fault> {
    lose(turn, id, None)
}

/// The group is lost, at the commit of this epoch if that could not be read.
pub(super) fn lose(
    turn: &mut Turn<'_>,
    id: GroupId,
    unreadable: Option<Epoch>,
) -> Result<(), Fault> {
    group_state::enter_lost(turn.tx, id, unreadable)?;
    for hook in turn.hooks.of::<dyn ConversationHook>() {
        hook.handle_group_lost(turn, id)?;
    }
    turn.forget(id);
    turn.memory.forget_behind(id);
    turn.memory.links.deauthorise(id);
    turn.memory.due_mut().groups.insert(id);
    Ok(())
}
