//! What attachments do when something happens in the rooms below.
//!
//! **Elsewhere**: [`crate::engine`] lists the hooks.

use super::{Attachments, transfer};
use crate::{containment::UndoHook, turn::Turn};

impl UndoHook for Attachments {
    fn handle_file_work_undone(&self, turn: &mut Turn<'_>, blob: [u8; 32]) {
        transfer::handle_file_work_undone(turn, blob);
    }
}
