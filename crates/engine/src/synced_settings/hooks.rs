//! What synced settings do when something happens in the rooms below.
//!
//! **Elsewhere**: [`crate::engine`] lists the hooks.

use waxwing_protocol::ids::AccountId;

use super::apply;
use crate::{
    trust::ContactHook,
    turn::{Fault, Turn},
};

/// The room's hooks.
pub(crate) struct SyncedSettings;

impl ContactHook for SyncedSettings {
    fn handle_new_contact(&self, turn: &mut Turn<'_>, account: AccountId) -> Result<(), Fault> {
        apply::apply_to_new_contact(turn, account)
    }
}
