//! What attachments do when something happens in the rooms below.
//!
//! **Elsewhere**: [`crate::engine`] lists the hooks.

use waxwing_protocol::pb::envelope;

use super::{Attachments, own_devices, transfer};
use crate::{
    containment::UndoHook,
    conversation::above::{ConversationHook, Said},
    turn::{Fault, Turn},
};

impl ConversationHook for Attachments {
    fn handle_envelope(
        &self,
        turn: &mut Turn<'_>,
        said: &Said<'_>,
        body: &envelope::Body,
    ) -> Result<(), Fault> {
        match body {
            envelope::Body::FileWanted(wanted) => own_devices::handle_wanted(turn, said, wanted),
            envelope::Body::FileCopy(copy) => own_devices::handle_copy(turn, said, copy),
            _ => Ok(()),
        }
    }
}

impl UndoHook for Attachments {
    fn handle_file_work_undone(&self, turn: &mut Turn<'_>, blob: [u8; 32]) {
        transfer::handle_file_work_undone(turn, blob);
    }
}
