//! Deleting the account.
//!
//! There is no statement that says "this account is gone": its devices revoke each other, and the
//! last one revokes itself. A roster without devices is signed and in the key log like any other,
//! older versions understand it, and the relay deletes what it stored for each of the devices.
//!
//! 1. This device tells the account's other devices, and leaves all groups.
//! 2. It revokes the others, and then itself.
//! 3. It erases its home ([`Effect::EraseHome`]).
//!
//! The others erase their homes too, but only after [`ERASED_AFTER`]. A person deletes the account
//! on a device that they hold; whoever has stolen a device could delete it as well, and must not
//! be able to destroy what is on the others. Until then a device shows an alarm and can still
//! export its conversations, the person can decide to keep what is on it ([`keep`]), and whoever
//! has the recovery words can admit a new device to the account.
//!
//! **Elsewhere**: [`super::changes`] makes the statements and sends them; what contacts see is in
//! [`crate::message::identity_events`].
//!
//! **Always**: what was asked for is in the store, and goes on after a restart. Nothing is erased
//! before this account's roster, in the log, has no device.

use waxwing_protocol::{
    ids::DeviceId,
    limits,
    time::{Span, Time},
};

use super::changes;
use crate::{
    api::{self, HomeErased, Notice, Problem, Response},
    conversation::{self, Kind, group_commands, target},
    event::Effect,
    outbox,
    settings::{self, Setting},
    store::StoreError,
    synced_settings::{self, SettingKind},
    trust::alarm,
    turn::{EventError, Fault, Turn},
};

/// Another device erases its home this long after the account was deleted.
pub(crate) const ERASED_AFTER: Span = Span::days(7);

/// Leaving groups and telling the other devices may take this long; then it goes on without.
const GOODBYE: Span = Span::minutes(2);

/// The key of the synced setting: there is one.
const CLOSING: &[u8] = b"account";

/// The person deletes the account, and has typed its address.
pub(crate) fn begin(
    turn: &mut Turn<'_>,
    asked: &api::DeleteAccount,
) -> Result<Response, EventError> {
    let Some(own) = &turn.memory.account else {
        return Err(EventError::Refused(Problem::NotRegistered));
    };
    let typed = target::parse_address(&asked.address)?;
    if typed.canonical() != own.address().canonical() {
        return Err(EventError::Refused(Problem::AddressNotOwn {
            address: asked.address.clone(),
        }));
    }
    if began_at(turn)?.is_some() {
        return Ok(Response::Done {});
    }
    settings::write(turn.tx, Setting::ClosingSince, turn.now.0.cast_signed())?;
    let length = turn.account()?.roster().length().to_be_bytes();
    synced_settings::set(turn, SettingKind::AccountClosing, CLOSING, &length)?;
    for found in conversation::all(turn.tx)? {
        if found.kind != Kind::Group || found.left {
            continue;
        }
        let leave = api::LeaveGroup {
            of: found.id.to_string(),
            successor: None,
        };
        match group_commands::leave(turn, &leave) {
            // A group that cannot be left now finds out that the account is gone.
            Ok(_) | Err(EventError::Refused(_)) => {}
            Err(fault) => return Err(fault),
        }
    }
    Ok(Response::Done {})
}

/// When the person asked this device for it.
fn began_at(turn: &Turn<'_>) -> Result<Option<Time>, StoreError> {
    let at: Option<i64> = settings::read(turn.tx, Setting::ClosingSince)?;
    Ok(at.map(|at| Time(at.cast_unsigned())))
}

/// Whether the person asked this device for it.
pub(crate) fn is_under_way(turn: &Turn<'_>) -> Result<bool, StoreError> {
    Ok(began_at(turn)?.is_some())
}

/// Says which device is to be revoked next.
pub(crate) fn pump(turn: &mut Turn<'_>) -> Result<(), Fault> {
    let Some(since) = began_at(turn)? else {
        return Ok(());
    };
    let Some(own) = turn.memory.account.as_ref().filter(|own| own.is_admitted()) else {
        return Ok(());
    };
    let this = own.device();
    let devices = own.roster().devices().iter().map(|device| device.id);
    let others: Vec<DeviceId> = devices.filter(|device| *device != this).collect();
    if turn.now.since(since) < GOODBYE && !has_said_goodbye(turn)? {
        return Ok(());
    }
    // This one is the last: afterwards nobody could revoke the others.
    let next = if others.is_empty() {
        vec![this]
    } else {
        others
    };
    for device in next {
        changes::want_revocation(turn.tx, device)?;
    }
    Ok(())
}

/// Whether this device may revoke itself now.
pub(crate) fn may_revoke_this(turn: &Turn<'_>) -> Result<bool, Fault> {
    let own = turn.account()?;
    Ok(own.roster().devices().len() == 1 && is_under_way(turn)?)
}

/// Whether everybody who is to hear of it has been told.
fn has_said_goodbye(turn: &Turn<'_>) -> Result<bool, Fault> {
    if outbox::waiting(turn.tx)? > 0
        || outbox::waiting_unwritten(turn.tx, &[])? > 0
        || synced_settings::any_untold(turn.tx)?
    {
        return Ok(false);
    }
    let groups = conversation::all(turn.tx)?;
    Ok(groups
        .iter()
        .all(|found| found.kind != Kind::Group || found.left))
}

/// The account's roster has changed.
pub(crate) fn handle_roster_changed(turn: &mut Turn<'_>) -> Result<(), Fault> {
    let Some(own) = turn
        .memory
        .account
        .as_ref()
        .filter(|own| !own.is_admitted())
    else {
        return Ok(());
    };
    let is_closed = own.roster().devices().is_empty();
    let length = own.roster().length();
    if is_under_way(turn)? {
        if is_closed {
            erase(turn);
        }
        return Ok(());
    }
    // Another device has done it, or has said that it does.
    let is_closing = is_closed || was_told(turn, length)?;
    if !is_closing || erases_at(turn)?.is_some() {
        return Ok(());
    }
    let at = turn.now.after(ERASED_AFTER);
    settings::write(turn.tx, Setting::ErasesAt, at.0.cast_signed())?;
    alarm::raise(turn, &Problem::AccountDeleted { until: at.into() })
}

/// Whether another device has said that it deletes the account, when the roster was about as long
/// as it is now. A setting that a recovery has brought back says nothing any more.
fn was_told(turn: &Turn<'_>, length: u64) -> Result<bool, StoreError> {
    let told = synced_settings::value(turn.tx, SettingKind::AccountClosing, CLOSING)?;
    let told = told.as_slice().try_into().map(u64::from_be_bytes);
    Ok(told.is_ok_and(|told| length <= told.saturating_add(limits::DEVICES as u64)))
}

/// When this device erases its home; 0 means never.
fn erases_at(turn: &Turn<'_>) -> Result<Option<Time>, StoreError> {
    let at: Option<i64> = settings::read(turn.tx, Setting::ErasesAt)?;
    Ok(at.map(|at| Time(at.cast_unsigned())))
}

/// When this device, which its account does not have any more, has something to do.
pub(crate) fn next_erasing(turn: &Turn<'_>) -> Result<Option<Time>, StoreError> {
    if turn.memory.devices().is_some_and(|one| one.erases_home) {
        return Ok(None);
    }
    if is_under_way(turn)? {
        return Ok(Some(turn.now));
    }
    Ok(erases_at(turn)?.filter(|at| *at > Time(0)))
}

/// When this device goes on without having said goodbye.
pub(crate) fn next_time(turn: &Turn<'_>) -> Result<Option<Time>, StoreError> {
    let since = began_at(turn)?.map(|since| since.after(GOODBYE));
    Ok(since.filter(|at| *at > turn.now))
}

/// Erases the home of a device that was revoked with its account, when it is time.
pub(crate) fn pump_revoked(turn: &mut Turn<'_>) -> Result<(), Fault> {
    let is_closed = turn.account()?.roster().devices().is_empty();
    let asked_here = is_under_way(turn)? && is_closed;
    let is_time = erases_at(turn)?.is_some_and(|at| at > Time(0) && at <= turn.now);
    if asked_here || is_time {
        erase(turn);
    }
    Ok(())
}

fn erase(turn: &mut Turn<'_>) {
    let devices = turn.memory.devices_mut();
    if std::mem::replace(&mut devices.erases_home, true) {
        return;
    }
    turn.notify(Notice::HomeErased(HomeErased {}));
    turn.out.push(Effect::EraseHome);
}

/// The person keeps what is on this device, although the account is gone.
pub(crate) fn keep(turn: &mut Turn<'_>) -> Result<Response, EventError> {
    if erases_at(turn)?.is_none() {
        return Err(EventError::Refused(Problem::NothingErased));
    }
    settings::write(turn.tx, Setting::ErasesAt, 0)?;
    alarm::resolve_all(turn.tx, "account_deleted")?;
    Ok(Response::Done {})
}
