//! What messages do when something happens in the rooms below.
//!
//! **Elsewhere**: [`crate::engine`] lists the hooks.

use rusqlite::Transaction;
use waxwing_protocol::{
    address::Address,
    ids::{AccountId, GroupId},
    pb::envelope,
};

use super::{
    content_hook::{ContentHook, ContentOutcome, SaidContent},
    identity_events, link_preview,
};
use crate::{
    api::{ConversationId, MessageId, Problem},
    containment::{ErrorHook, ErrorOwner},
    content::{Content, VisibleContent},
    conversation::{
        self,
        above::{ConversationHook, FirstWritten, Said},
    },
    inbox::messages,
    link::LinkHook,
    outbox::{self, progress},
    store::StoreError,
    trust::{ContactHook, OwnerChange, lookups::LookUpHook, own_history::OwnHistoryHook},
    turn::{Fault, ResumeHook, Turn},
};

/// The room's hooks.
pub(crate) struct Messages;

/// Texts.
pub(crate) struct TextContent;

impl ContentHook for TextContent {
    fn handle_content(
        &self,
        _turn: &mut Turn<'_>,
        said: &SaidContent<'_>,
    ) -> Result<ContentOutcome, Fault> {
        Ok(match said.content.shown() {
            VisibleContent::Text(text) => ContentOutcome::Message(text),
            _ => ContentOutcome::NotOfThisType,
        })
    }
}

/// Link previews in messages.
pub(crate) struct LinkPreviewContent;

impl ContentHook for LinkPreviewContent {
    fn handle_own_message(
        &self,
        turn: &mut Turn<'_>,
        (conversation, id): (ConversationId, MessageId),
        content: &Content,
    ) -> Result<(), Fault> {
        if let Some(preview) = link_preview::of_content(content) {
            link_preview::store_preview(turn.tx, conversation, id, &preview)?;
        }
        Ok(())
    }

    fn handle_message_added(
        &self,
        turn: &mut Turn<'_>,
        said: &SaidContent<'_>,
        _trusted: bool,
    ) -> Result<(), Fault> {
        if let Some(preview) = link_preview::of_content(said.content) {
            link_preview::store_preview(turn.tx, said.conversation, said.id, &preview)?;
        }
        Ok(())
    }
}

impl ErrorHook for Messages {
    fn shows_error(&self, _tx: &Transaction<'_>, whose: ErrorOwner) -> Result<bool, StoreError> {
        Ok(matches!(whose, ErrorOwner::Conversation(_)))
    }

    /// What waits to be sent in the conversation fails.
    fn handle_error(
        &self,
        turn: &mut Turn<'_>,
        whose: ErrorOwner,
        fault: &Fault,
    ) -> Result<(), Fault> {
        if let ErrorOwner::Conversation(id) = whose
            && let Some(found) = conversation::find(turn.tx, id)?
        {
            let detail = fault.to_string();
            progress::fail_waiting(turn, &found, &Problem::WorkUndone { detail })?;
        }
        Ok(())
    }
}

impl ResumeHook for Messages {
    fn resume(&self, turn: &mut Turn<'_>) -> Result<(), Fault> {
        send_what_waits(turn)
    }
}

impl LinkHook for Messages {
    /// Conversations may have waited for tokens.
    fn handle_tokens(&self, turn: &mut Turn<'_>) -> Result<(), Fault> {
        send_what_waits(turn)
    }
}

impl ContactHook for Messages {
    fn handle_owner_changed(
        &self,
        turn: &mut Turn<'_>,
        change: &OwnerChange<'_>,
    ) -> Result<(), Fault> {
        identity_events::handle_owner_changed(turn, change)
    }

    fn handle_account_closed(&self, turn: &mut Turn<'_>, account: AccountId) -> Result<(), Fault> {
        identity_events::handle_account_closed(turn, account)
    }
}

impl LookUpHook for Messages {
    fn handle_stalled(
        &self,
        turn: &mut Turn<'_>,
        address: &str,
        problem: &Problem,
    ) -> Result<(), Fault> {
        if let Some(conversation) = conversation::with_address(turn.tx, address)? {
            progress::tell_waiting(turn, &conversation, problem)?;
        }
        Ok(())
    }
}

impl OwnHistoryHook for Messages {
    fn handle_roster_grown(&self, turn: &mut Turn<'_>) -> Result<(), Fault> {
        if turn.memory.is_revoked() {
            progress::fail_all(turn, &Problem::DeviceRevoked)?;
        }
        Ok(())
    }
}

impl ConversationHook for Messages {
    fn handle_envelope(
        &self,
        turn: &mut Turn<'_>,
        said: &Said<'_>,
        body: &envelope::Body,
    ) -> Result<(), Fault> {
        match body {
            envelope::Body::Mimi(content) => messages::handle_signed_content(turn, said, content),
            envelope::Body::SetTimer(set) => messages::handle_timer_change(
                turn,
                said.group,
                said.member,
                set.seconds,
                said.sent_at,
            ),
            _ => Ok(()),
        }
    }

    fn handle_first_written(
        &self,
        turn: &mut Turn<'_>,
        written: &FirstWritten<'_>,
    ) -> Result<(), Fault> {
        messages::tell_what_came_before(turn, written)
    }

    fn handle_started(
        &self,
        turn: &mut Turn<'_>,
        conversation: ConversationId,
        address: &Address,
    ) -> Result<(), Fault> {
        identity_events::warn_of_look_alike(turn, conversation, address)
    }

    fn handle_group_lost(&self, turn: &mut Turn<'_>, group: GroupId) -> Result<(), Fault> {
        Ok(outbox::unseal_group(turn.tx, group)?)
    }
}

fn send_what_waits(turn: &mut Turn<'_>) -> Result<(), Fault> {
    let waiting = outbox::waiting_conversations(turn.tx)?;
    turn.memory.due_mut().conversations.extend(waiting);
    Ok(())
}
