//! What trust does when something happens in the rooms below.
//!
//! **Elsewhere**: [`crate::engine`] lists the hooks; what trust asks of the rooms above is in
//! [`super::ContactHook`], [`super::lookups::LookUpHook`] and
//! [`super::own_history::OwnHistoryHook`].

use super::{gossip, log, own_history};
use crate::{
    containment::UndoHook,
    link::{Job, LinkHook},
    turn::{Fault, ResumeHook, Turn},
};

/// The room's hooks.
pub(crate) struct Trust;

impl UndoHook for Trust {
    fn handle_undone(&self, turn: &mut Turn<'_>) {
        turn.memory.lookups_mut().forget_outcomes();
    }

    fn handle_request_undone(&self, turn: &mut Turn<'_>, job: &Job) {
        if *job == Job::FetchHistory {
            own_history::request_check(turn);
        }
    }
}

impl ResumeHook for Trust {
    fn resume(&self, turn: &mut Turn<'_>) -> Result<(), Fault> {
        let known = log::load(turn.tx)?;
        turn.memory.set_log(known);
        turn.memory.heads_mut().waiting = gossip::any_waiting(turn.tx)?;
        Ok(())
    }
}

impl LinkHook for Trust {
    fn handle_logged_in(&self, turn: &mut Turn<'_>) -> Result<(), Fault> {
        own_history::request_check(turn);
        Ok(())
    }
}
