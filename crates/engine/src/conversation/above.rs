//! What conversations need from the rooms above them.
//!
//! Conversations do not know what members say to each other, or what the person has decided
//! about it. They call every [`ConversationHook`], and each room does its part: messages,
//! profiles, synced settings, text messages.
//!
//! **Elsewhere**: [`super::hooks`] has what conversations do for the rooms below;
//! [`crate::engine`] lists the implementations.
//!
//! **Always**: an implementation ignores what is not its own.

use waxwing_protocol::{address::Address, ids::GroupId, pb::envelope, time::Time};

use super::{Conversation, groups::GroupRecord};
use crate::{
    api::ConversationId,
    inbox::{held_posts::ReceivedPost, sender_counters::Sender},
    mls::Member,
    turn::{Fault, Turn},
};

/// What a room does when something happens in a conversation.
pub(crate) trait ConversationHook: Sync {
    /// A member's device has said something.
    fn handle_envelope(
        &self,
        _turn: &mut Turn<'_>,
        _said: &Said<'_>,
        _body: &envelope::Body,
    ) -> Result<(), Fault> {
        Ok(())
    }

    /// A post came that belongs to no group, because the relay itself made it.
    fn handle_relay_post(&self, _turn: &mut Turn<'_>, _post: &ReceivedPost) -> Result<(), Fault> {
        Ok(())
    }

    /// This account has written to a conversation for the first time, or has accepted it.
    fn handle_first_written(
        &self,
        _turn: &mut Turn<'_>,
        _written: &FirstWritten<'_>,
    ) -> Result<(), Fault> {
        Ok(())
    }

    /// The members of a conversation's current group may be others.
    fn handle_members_changed(
        &self,
        _turn: &mut Turn<'_>,
        _group: &GroupRecord,
    ) -> Result<(), Fault> {
        Ok(())
    }

    /// The person has accepted the conversation of a group: what was put off is done.
    fn handle_accepted(&self, _turn: &mut Turn<'_>, _group: &GroupRecord) -> Result<(), Fault> {
        Ok(())
    }

    /// A post whose parcel had to be fetched is here, as if it came now.
    fn handle_fetched_post(&self, _turn: &mut Turn<'_>, _post: &ReceivedPost) -> Result<(), Fault> {
        Ok(())
    }

    /// What a group holds can be read now.
    fn handle_readable(&self, _turn: &mut Turn<'_>, _group: GroupId) -> Result<(), Fault> {
        Ok(())
    }

    /// A group is about to end. Its state is still there.
    fn handle_group_ending(&self, _turn: &mut Turn<'_>, _group: &GroupRecord) -> Result<(), Fault> {
        Ok(())
    }

    /// Everything that is known of a group is deleted, because another of the same id takes its
    /// place.
    fn handle_group_forgotten(&self, _turn: &mut Turn<'_>, _group: GroupId) -> Result<(), Fault> {
        Ok(())
    }

    /// A conversation with this address has begun, because somebody there wrote.
    fn handle_started(
        &self,
        _turn: &mut Turn<'_>,
        _conversation: ConversationId,
        _address: &Address,
    ) -> Result<(), Fault> {
        Ok(())
    }

    /// This device's state of a group is gone or behind.
    fn handle_group_lost(&self, _turn: &mut Turn<'_>, _group: GroupId) -> Result<(), Fault> {
        Ok(())
    }

    /// This device is in a group again, and does not know what was said there meanwhile.
    fn handle_rejoined(&self, _turn: &mut Turn<'_>, _group: &GroupRecord) -> Result<(), Fault> {
        Ok(())
    }
}

/// Who has said something, where and when.
#[derive(Clone, Copy)]
pub(crate) struct Said<'a> {
    pub group: &'a GroupRecord,
    pub member: &'a Member,
    /// By the clock of the sender's device.
    pub sent_at: Time,
    /// Over its content, if it has any.
    pub signature: &'a [u8],
    /// Whose gap it fills, if it does.
    pub fills: Option<Sender>,
}

/// A conversation to which this account had not written before.
#[derive(Clone, Copy)]
pub(crate) struct FirstWritten<'a> {
    /// As it is now.
    pub conversation: &'a Conversation,
    /// Whether the person did it on this device, and not on another.
    pub by_this_device: bool,
    /// Whether the other side was told before what became of its messages.
    pub was_told: bool,
}
