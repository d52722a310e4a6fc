//! What the inbox does when something happens in a conversation.
//!
//! **Elsewhere**: [`crate::engine`] lists the hooks.

use waxwing_protocol::ids::GroupId;

use super::{earlier_generations, gaps, held_posts::ReceivedPost, missed_posts, receive};
use crate::{
    containment::UndoHook,
    conversation::{above::ConversationHook, groups::GroupRecord},
    turn::{Fault, Turn},
};

/// The room's hooks.
pub(crate) struct Inbox;

impl UndoHook for Inbox {
    fn handle_undone(&self, turn: &mut Turn<'_>) {
        receive::forget_awaited_look_up(turn);
    }
}

impl ConversationHook for Inbox {
    fn handle_members_changed(
        &self,
        turn: &mut Turn<'_>,
        group: &GroupRecord,
    ) -> Result<(), Fault> {
        earlier_generations::ask(turn, group)
    }

    fn handle_accepted(&self, turn: &mut Turn<'_>, group: &GroupRecord) -> Result<(), Fault> {
        missed_posts::ask_now(turn.tx, turn.now, group.id)?;
        earlier_generations::ask(turn, group)
    }

    fn handle_fetched_post(&self, turn: &mut Turn<'_>, post: &ReceivedPost) -> Result<(), Fault> {
        receive::handle_post(turn, post)
    }

    fn handle_readable(&self, turn: &mut Turn<'_>, group: GroupId) -> Result<(), Fault> {
        receive::release(turn, group)
    }

    fn handle_rejoined(&self, turn: &mut Turn<'_>, group: &GroupRecord) -> Result<(), Fault> {
        gaps::ask_for_all(turn, group)
    }

    fn handle_group_ending(&self, turn: &mut Turn<'_>, group: &GroupRecord) -> Result<(), Fault> {
        receive::read_what_is_held(turn, group)?;
        earlier_generations::handle_group_ending(turn, group)
    }

    fn handle_group_forgotten(&self, turn: &mut Turn<'_>, group: GroupId) -> Result<(), Fault> {
        Ok(missed_posts::forget_group(turn.tx, group)?)
    }
}
