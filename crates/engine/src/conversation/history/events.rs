//! Entries of a history that are not messages: events, and gaps where messages are missing.
//!
//! **Always**: an event's name in the store never changes.

use rusqlite::Transaction;
use waxwing_protocol::{
    ids::{DeviceId, GroupId},
    time::Time,
};

use super::signed;
use crate::{
    api::{ConversationEvent, ConversationId, EventKind},
    store::StoreError,
};

/// An event, to be added.
pub(crate) struct NewEvent<'a> {
    pub conversation: ConversationId,
    pub event: EventKind,
    /// Whom it concerns.
    pub address: &'a str,
    /// Whose doing, where it is another's.
    pub by: Option<&'a str>,
    /// A new name, a number of seconds.
    pub detail: Option<&'a str>,
}

/// Adds an event.
pub(crate) fn record(
    tx: &Transaction<'_>,
    now: Time,
    new: &NewEvent<'_>,
) -> Result<ConversationEvent, StoreError> {
    tx.execute(
        "INSERT INTO entry (conversation, place, kind, address, at, event, by_address, detail)
         VALUES (?1, (SELECT coalesce(max(id), 0) + 1 FROM entry), 2, ?2, ?3, ?4, ?5, ?6)",
        (
            new.conversation.as_bytes(),
            new.address,
            signed(now),
            event_name(new.event),
            new.by,
            new.detail,
        ),
    )?;
    Ok(ConversationEvent {
        conversation: new.conversation,
        event: new.event,
        address: new.address.to_owned(),
        by: new.by.map(str::to_owned),
        detail: new.detail.map(str::to_owned),
        at: now.into(),
    })
}

/// Adds an event of which there is no more to say than whom it concerns.
pub(crate) fn add_event(
    tx: &Transaction<'_>,
    now: Time,
    conversation: ConversationId,
    event: EventKind,
    address: &str,
) -> Result<ConversationEvent, StoreError> {
    let new = NewEvent {
        conversation,
        event,
        address,
        by: None,
        detail: None,
    };
    record(tx, now, &new)
}

/// Shows that so many messages of a device are missing; none removes the gap. `false`
/// where nothing changed.
pub(crate) fn set_gap(
    tx: &Transaction<'_>,
    now: Time,
    conversation: ConversationId,
    address: &str,
    (group, device): (GroupId, DeviceId),
    missing: u64,
) -> Result<bool, StoreError> {
    let changed = if missing == 0 {
        tx.execute(
            "DELETE FROM entry WHERE group_id = ?1 AND device_id = ?2 AND kind = 3",
            (group.0, device.0),
        )?
    } else {
        tx.execute(
            "INSERT INTO entry
                 (conversation, place, kind, address, at, group_id, device_id, missing)
             VALUES (?1, (SELECT coalesce(max(id), 0) + 1 FROM entry), 3, ?2, ?3, ?4, ?5, ?6)
             ON CONFLICT (group_id, device_id) WHERE kind = 3 DO UPDATE SET missing = ?6
                 WHERE missing != ?6",
            (
                conversation.as_bytes(),
                address,
                signed(now),
                group.0,
                device.0,
                missing.cast_signed(),
            ),
        )?
    };
    Ok(changed > 0)
}

/// Whether such an event happened.
pub(crate) fn has_event(
    tx: &Transaction<'_>,
    conversation: ConversationId,
    event: EventKind,
) -> Result<bool, StoreError> {
    let mut statement =
        tx.prepare_cached("SELECT 1 FROM entry WHERE conversation = ?1 AND event = ?2")?;
    Ok(statement.exists((conversation.as_bytes(), event_name(event)))?)
}

/// Whether an event has this name.
pub(crate) fn is_event(name: &str) -> bool {
    event_of(name).is_some()
}

const fn event_name(event: EventKind) -> &'static str {
    match event {
        EventKind::IdentityReset => "identity_reset",
        EventKind::AddressNotTheirs => "address_not_theirs",
        EventKind::Rejoined => "rejoined",
        EventKind::Verified => "verified",
        EventKind::LooksLikeAnother => "looks_like_another",
        EventKind::MemberAdded => "member_added",
        EventKind::MemberRemoved => "member_removed",
        EventKind::MemberLeft => "member_left",
        EventKind::AdminAdded => "admin_added",
        EventKind::AdminRemoved => "admin_removed",
        EventKind::Renamed => "renamed",
        EventKind::PictureChanged => "picture_changed",
        EventKind::TimerChanged => "timer_changed",
        EventKind::AddingChanged => "adding_changed",
        EventKind::NotAdded => "not_added",
        EventKind::MadeAnew => "made_anew",
        EventKind::RulesBroken => "rules_broken",
        EventKind::Disturbed => "disturbed",
        EventKind::HeldBack => "held_back",
        EventKind::AsksToJoin => "asks_to_join",
        EventKind::NotTakenIn => "not_taken_in",
        EventKind::OnWaxwing => "on_waxwing",
        EventKind::Quarantined => "quarantined",
        EventKind::AccountDeleted => "account_deleted",
    }
}

pub(crate) fn event_of(name: &str) -> Option<EventKind> {
    let mut all = EventKind::ALL.iter().copied();
    all.find(|event| event_name(*event) == name)
}
