//! What texts do when something happens in the rooms below.
//!
//! **Elsewhere**: [`crate::engine`] lists the hooks.

use super::receive;
use crate::{
    conversation::above::ConversationHook,
    inbox::held_posts::ReceivedPost,
    link::LinkHook,
    trust::lookups::{LookUpHook, LookUpOutcome},
    turn::{Fault, Turn},
};

/// The room's hooks.
pub(crate) struct Sms;

impl LinkHook for Sms {
    fn handle_logged_in(&self, turn: &mut Turn<'_>) -> Result<(), Fault> {
        super::logged_in(turn)
    }
}

impl LookUpHook for Sms {
    fn handle_look_up(
        &self,
        turn: &mut Turn<'_>,
        address: &str,
        outcome: LookUpOutcome,
    ) -> Result<(), Fault> {
        match outcome {
            LookUpOutcome::Account(_) => receive::number_is_here(turn, address),
            LookUpOutcome::Nobody => Ok(()),
        }
    }
}

impl ConversationHook for Sms {
    fn handle_relay_post(&self, turn: &mut Turn<'_>, post: &ReceivedPost) -> Result<(), Fault> {
        receive::handle_relay_post(turn, post)
    }
}
