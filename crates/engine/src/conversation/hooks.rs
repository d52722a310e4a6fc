//! What conversations do when something happens in the rooms below.
//!
//! **Elsewhere**: [`crate::engine`] lists the hooks; what conversations ask of the rooms above is
//! in [`super::above::ConversationHook`].

use rusqlite::Transaction;
use waxwing_protocol::ids::AccountId;

use super::{
    acquaintance, behind, generations, group_state::StateKind, groups, quarantine, re_add,
    with_address,
};
use crate::{
    api::ConversationId,
    containment::{ErrorHook, ErrorOwner},
    inbox::held_posts,
    link::LinkHook,
    store::StoreError,
    trust::{
        Acquaintances, ContactHook,
        lookups::{LookUpHook, LookUpOutcome},
        own_history::OwnHistoryHook,
    },
    turn::{Fault, ResumeHook, Turn},
};

/// The room's hooks.
pub(crate) struct Conversations;

impl ErrorHook for Conversations {
    fn shows_error(&self, tx: &Transaction<'_>, whose: ErrorOwner) -> Result<bool, StoreError> {
        match whose {
            ErrorOwner::Group(id) => quarantine::is_shown(tx, id),
            ErrorOwner::Conversation(_) | ErrorOwner::Part(_) => Ok(false),
        }
    }

    fn handle_error(
        &self,
        turn: &mut Turn<'_>,
        whose: ErrorOwner,
        _fault: &Fault,
    ) -> Result<(), Fault> {
        match whose {
            ErrorOwner::Group(id) => quarantine::begin(turn, id),
            ErrorOwner::Conversation(_) | ErrorOwner::Part(_) => Ok(()),
        }
    }
}

impl ResumeHook for Conversations {
    fn resume(&self, turn: &mut Turn<'_>) -> Result<(), Fault> {
        let due = groups::needing_work(turn.tx)?;
        turn.memory.due_mut().groups.extend(due);
        let due = held_posts::groups(turn.tx)?;
        turn.memory.due_mut().groups.extend(due);
        if turn.memory.account.is_some() {
            re_add::schedule_next(turn)?;
        }
        generations::reschedule(turn)?;
        quarantine::resume_after_start(turn)
    }
}

impl LinkHook for Conversations {
    fn handle_set_back(&self, turn: &mut Turn<'_>) -> Result<(), Fault> {
        for state in [StateKind::Active, StateKind::Creating, StateKind::Denied] {
            for group in groups::in_state(turn.tx, state)? {
                behind::mark_lost(turn, group.id)?;
            }
        }
        Ok(())
    }
}

impl Acquaintances for Conversations {
    fn is_known(&self, tx: &Transaction<'_>, account: AccountId) -> Result<bool, StoreError> {
        acquaintance::is_known(tx, account)
    }

    fn is_acquainted(
        &self,
        tx: &Transaction<'_>,
        conversation: Option<ConversationId>,
        account: AccountId,
    ) -> Result<bool, StoreError> {
        acquaintance::is_acquainted(tx, conversation, account)
    }
}

impl ContactHook for Conversations {
    fn handle_devices_changed(&self, turn: &mut Turn<'_>, account: AccountId) -> Result<(), Fault> {
        let due = groups::membership_due(turn.tx, Some(account))?;
        turn.memory.due_mut().groups.extend(due);
        Ok(())
    }
}

impl LookUpHook for Conversations {
    fn handle_look_up(
        &self,
        turn: &mut Turn<'_>,
        address: &str,
        _outcome: LookUpOutcome,
    ) -> Result<(), Fault> {
        if let Some(conversation) = with_address(turn.tx, address)? {
            turn.memory.due_mut().conversations.insert(conversation.id);
        }
        Ok(())
    }

    fn handle_all_answered(&self, turn: &mut Turn<'_>) -> Result<(), Fault> {
        let waiting = groups::needing_work(turn.tx)?;
        turn.memory.due_mut().groups.extend(waiting);
        Ok(())
    }
}

impl OwnHistoryHook for Conversations {
    fn handle_history_proved(
        &self,
        turn: &mut Turn<'_>,
        _locked: Option<bool>,
    ) -> Result<(), Fault> {
        // Groups may have waited for the roster.
        let waiting = groups::needing_work(turn.tx)?;
        turn.memory.due_mut().groups.extend(waiting);
        Ok(())
    }
}
