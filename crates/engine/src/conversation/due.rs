//! Conversations and groups that may have something to do.
//!
//! **Elsewhere**: [`crate::engine`] does it at the end of each event.
//!
//! **Always**: what is due also follows from the tables: after a restart it is found there.

use std::collections::BTreeSet;

use waxwing_protocol::ids::GroupId;

use crate::{
    api::ConversationId,
    memory::{Memory, Remembered},
};

/// What may have something to do.
#[derive(Default)]
pub(crate) struct DueWork {
    /// Conversations, in their outbox.
    pub conversations: BTreeSet<ConversationId>,
    /// Groups, besides messages.
    pub groups: BTreeSet<GroupId>,
}

impl Remembered for DueWork {}

impl Memory {
    pub(crate) fn due_mut(&mut self) -> &mut DueWork {
        self.states.get_mut()
    }
}
