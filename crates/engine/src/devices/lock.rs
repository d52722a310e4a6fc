//! The registration lock: whether somebody else can register this account's address at once,
//! or only with the recovery key or after a week in which its devices are told.
//!
//! What a person wants is stored until the relay's log has it. Somebody who proves a locked
//! address for another account has to wait. Meanwhile each device shows an alarm, and any of
//! them can object ([`Request::KeepAddress`](crate::api::Request::KeepAddress)), which ends
//! the contest. No device objects automatically: otherwise somebody with a stolen device could
//! never be overruled.
//!
//! **Elsewhere**: the relay's side is `address/lock.rs` in `waxwing_relay`.
//!
//! **Always**: the lock counts as set once the own history in the log shows it, or the relay
//! has answered; a change of the lock that this device did not make is an alarm.

use waxwing_protocol::{
    pb::{AddressContested, Error, ErrorCode, KeepAddress, SetLock, client_frame::Body},
    time::Time,
};

use crate::{
    api::{LockChanged, Notice, Problem, Response},
    event::LinkKind,
    link::{self, Job, LinkPhase},
    settings::{self, Setting},
    store::StoreError,
    trust::alarm,
    turn::{EventError, Fault, Postponed, Turn},
};

/// The address is to be locked, or not.
pub(crate) fn set_lock(turn: &mut Turn<'_>, locked: bool) -> Result<Response, EventError> {
    if turn.memory.account.is_none() {
        return Err(EventError::Refused(Problem::NotRegistered));
    }
    settings::write(turn.tx, Setting::LockWanted, locked)?;
    Ok(Response::Done {})
}

/// Objects to the account that contests the address.
pub(crate) fn want_to_keep(turn: &mut Turn<'_>) -> Result<Response, EventError> {
    if turn.memory.account.is_none() {
        return Err(EventError::Refused(Problem::NotRegistered));
    }
    settings::write(turn.tx, Setting::KeepAddress, true)?;
    Ok(Response::Done {})
}

/// Whether the address is locked, as far as is known here.
pub(crate) fn is_locked(turn: &Turn<'_>) -> Result<bool, StoreError> {
    Ok(settings::read(turn.tx, Setting::Locked)?.unwrap_or(false))
}

/// Asks for what is wanted.
pub(crate) fn pump(turn: &mut Turn<'_>) -> Result<(), Fault> {
    if turn.memory.links.mailbox.phase != LinkPhase::LoggedIn || turn.is_postponed(&Postponed::Lock)
    {
        return Ok(());
    }
    let wanted: Option<bool> = settings::read(turn.tx, Setting::LockWanted)?;
    if let Some(locked) = wanted
        && !turn.memory.links.mailbox.awaits(&Job::SetLock(locked))
    {
        let set = SetLock {
            address: turn.account()?.address().display().to_owned(),
            locked,
        };
        turn.send_request(LinkKind::Mailbox, Job::SetLock(locked), Body::SetLock(set));
    }
    let keep: Option<bool> = settings::read(turn.tx, Setting::KeepAddress)?;
    if keep.is_some() && !turn.memory.links.mailbox.awaits(&Job::KeepAddress) {
        let keep = Body::KeepAddress(KeepAddress {});
        turn.send_request(LinkKind::Mailbox, Job::KeepAddress, keep);
    }
    Ok(())
}

/// The relay's log has it.
pub(crate) fn handle_lock_changed(turn: &mut Turn<'_>, locked: bool) -> Result<(), Fault> {
    settings::write(turn.tx, Setting::Locked, locked)?;
    if settings::read(turn.tx, Setting::LockWanted)? == Some(locked) {
        settings::forget(turn.tx, Setting::LockWanted)?;
    }
    notify_lock(turn, locked, None);
    Ok(())
}

/// The relay did not take it.
pub(crate) fn handle_refusal(
    turn: &mut Turn<'_>,
    locked: bool,
    error: &Error,
) -> Result<(), Fault> {
    turn.postpone(Postponed::Lock, link::retry_after(error));
    let passes = matches!(
        error.code(),
        ErrorCode::Unavailable | ErrorCode::RateLimited
    );
    if !passes && settings::read(turn.tx, Setting::LockWanted)? == Some(locked) {
        settings::forget(turn.tx, Setting::LockWanted)?;
    }
    let now = is_locked(turn)?;
    notify_lock(turn, now, Some(&link::problem_of(error)));
    Ok(())
}

/// The contest is over.
pub(crate) fn handle_contest_over(turn: &mut Turn<'_>) -> Result<(), Fault> {
    settings::forget(turn.tx, Setting::KeepAddress)?;
    alarm::resolve_all(turn.tx, CONTESTED)?;
    let locked = is_locked(turn)?;
    notify_lock(turn, locked, None);
    Ok(())
}

/// The relay did not take our word.
pub(crate) fn not_kept(turn: &mut Turn<'_>, error: &Error) {
    turn.postpone(Postponed::Lock, link::retry_after(error));
}

const CONTESTED: &str = "address_contested";

/// Somebody proved the address and asks for it.
pub(crate) fn handle_contest(turn: &mut Turn<'_>, contest: &AddressContested) -> Result<(), Fault> {
    let until = Time(contest.until_ms).into();
    alarm::raise(turn, &Problem::AddressContested { until })
}

/// What the newest entry of the own history says.
pub(crate) fn seen_in_log(turn: &mut Turn<'_>, locked: bool) -> Result<(), Fault> {
    let known: Option<bool> = settings::read(turn.tx, Setting::Locked)?;
    if known == Some(locked) {
        return Ok(());
    }
    settings::write(turn.tx, Setting::Locked, locked)?;
    // By this device, whose answer may come later; or by another. A new device has nothing
    // to compare it with.
    let wanted: Option<bool> = settings::read(turn.tx, Setting::LockWanted)?;
    if known.is_some() && wanted != Some(locked) {
        alarm::raise(turn, &Problem::LockChanged { locked })?;
    }
    notify_lock(turn, locked, None);
    Ok(())
}

fn notify_lock(turn: &mut Turn<'_>, locked: bool, problem: Option<&Problem>) {
    turn.notify(Notice::Lock(LockChanged {
        locked,
        problem: problem.map(Problem::report),
    }));
}
