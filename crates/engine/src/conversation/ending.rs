//! How groups end: closed, or denied by the relay.
//!
//! **Elsewhere**: [`group_state`] draws a group's states; [`super::quarantine`] leaves a group alone
//! for a while.
//!
//! **Always**: what a group that ends did not send goes to another group of the conversation.

use waxwing_protocol::ids::GroupId;

use super::{
    above::ConversationHook,
    generations,
    group_state::{self, StateKind},
    groups::{self, GroupRecord},
};
use crate::{
    inbox::held_posts,
    outbox,
    turn::{Fault, Turn},
};

/// The group is over; what it did not send goes to another. Others may say something in it
/// until they know: see [`crate::inbox::receive`].
pub(crate) fn close(turn: &mut Turn<'_>, group: &GroupRecord) -> Result<(), Fault> {
    for hook in turn.hooks.of::<dyn ConversationHook>() {
        hook.handle_group_ending(turn, group)?;
    }
    end(turn, group, StateKind::Closed)?;
    held_posts::forget_group(turn.tx, group.id)?;
    turn.forget(group.id);
    Ok(())
}

/// Nothing comes any more of a group that is over.
pub(crate) fn forget_keys(turn: &mut Turn<'_>, group: GroupId) -> Result<(), Fault> {
    turn.with_group(group, |group, provider, _| {
        group.forget_past_epochs(provider)
    })?
    .transpose()?;
    turn.forget(group);
    Ok(())
}

/// The relay says that it has no such group; what was not sent to it goes to another.
pub(crate) fn deny(turn: &mut Turn<'_>, group: &GroupRecord) -> Result<(), Fault> {
    end(turn, group, StateKind::Denied)?;
    generations::handle_unknown_group(turn, group)
}

/// Something came from a group that the relay has denied.
pub(crate) fn is_there_after_all(turn: &mut Turn<'_>, group: &GroupRecord) -> Result<(), Fault> {
    group_state::enter(turn.tx, group.id, StateKind::Active)?;
    groups::set_membership_due(turn.tx, group.id)?;
    turn.memory.due_mut().groups.insert(group.id);
    turn.memory
        .due_mut()
        .conversations
        .extend(group.conversation);
    Ok(())
}

fn end(turn: &mut Turn<'_>, group: &GroupRecord, state: StateKind) -> Result<(), Fault> {
    group_state::enter(turn.tx, group.id, state)?;
    outbox::release_group(turn.tx, group.id)?;
    turn.memory.forget_behind(group.id);
    turn.memory.links.deauthorise(group.id);
    turn.memory
        .due_mut()
        .conversations
        .extend(group.conversation);
    Ok(())
}
