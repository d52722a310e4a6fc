//! What synced settings do when something happens in the rooms below.
//!
//! **Elsewhere**: [`crate::engine`] lists the hooks.

use waxwing_protocol::{ids::AccountId, pb::envelope};

use super::{apply, sync};
use crate::{
    conversation::{
        above::{ConversationHook, Said},
        groups::GroupRecord,
    },
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

impl ConversationHook for SyncedSettings {
    fn handle_envelope(
        &self,
        turn: &mut Turn<'_>,
        said: &Said<'_>,
        body: &envelope::Body,
    ) -> Result<(), Fault> {
        match body {
            envelope::Body::Registers(settings) => {
                sync::handle_settings(turn, said.group, settings)
            }
            envelope::Body::RegistersWanted(_) => sync::handle_settings_request(turn, said.group),
            _ => Ok(()),
        }
    }

    fn handle_rejoined(&self, turn: &mut Turn<'_>, group: &GroupRecord) -> Result<(), Fault> {
        sync::request_all(turn, group)
    }
}
