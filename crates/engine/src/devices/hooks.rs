//! What devices do when something happens in the rooms below.
//!
//! **Elsewhere**: [`crate::engine`] lists the hooks.

use rusqlite::Transaction;
use waxwing_protocol::ids::DeviceId;

use super::{changes, handle_not_sent, lock};
use crate::{
    containment::UndoHook,
    link::Job,
    store::StoreError,
    trust::own_history::OwnHistoryHook,
    turn::{Fault, Turn},
};

/// The room's hooks.
pub(crate) struct Devices;

impl UndoHook for Devices {
    fn handle_request_undone(&self, turn: &mut Turn<'_>, job: &Job) {
        if let Job::JoinRendezvous(meets) | Job::SendRendezvous(meets, _) = job {
            handle_not_sent(turn, *meets);
        }
    }
}

impl OwnHistoryHook for Devices {
    fn devices_asked_for(&self, tx: &Transaction<'_>) -> Result<Vec<DeviceId>, StoreError> {
        changes::devices_admitted(tx)
    }

    fn handle_roster_grown(&self, turn: &mut Turn<'_>) -> Result<(), Fault> {
        changes::roster_grew(turn)?;
        changes::own_roster_changed(turn)
    }

    fn handle_history_proved(
        &self,
        turn: &mut Turn<'_>,
        locked: Option<bool>,
    ) -> Result<(), Fault> {
        match locked {
            Some(locked) => lock::seen_in_log(turn, locked),
            None => Ok(()),
        }
    }
}
