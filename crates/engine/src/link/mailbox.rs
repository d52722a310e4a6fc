//! The mailbox link: logging in, and acknowledging posts.
//!
//! **Elsewhere**: [`crate::devices::registration`] registers on it, [`super::tokens`] gets
//! tokens, [`super::key_packages`] publishes key packages; [`crate::routing`] brings delivered
//! posts to [`crate::inbox::receive`].
//!
//! **Always**: a place in the mailbox is acknowledged after the transaction that stored its
//! post. Nothing is sent to anybody before the relay's record of the acknowledgements was
//! compared with this device's: a device that was set back must not use its old ratchets
//! again.

use waxwing_protocol::{
    limits,
    pb::{Acknowledge, LoggedIn, Login, client_frame::Body},
    time::Span,
};

use super::{Job, LinkHook, LinkPhase, key_packages};
use crate::{
    account,
    api::{Connection, ConnectionChanged, Notice, Problem, Warning},
    containment::ErrorOwner,
    event::LinkKind,
    settings::{self, Setting},
    turn::{Fault, Postponed, Turn},
};

/// Posts after which they are acknowledged at once.
const ACKNOWLEDGE_POSTS: usize = limits::DELIVERY_WINDOW_FRAMES / 8;

/// Fewer are acknowledged after this long.
const ACKNOWLEDGE_AFTER: Span = Span(250);

/// Asks for what is next on the mailbox link of a device that is registered.
pub(crate) fn pump(turn: &mut Turn<'_>) -> Result<(), Fault> {
    match turn.memory.links.mailbox.phase {
        LinkPhase::Ready { .. } => log_in(turn),
        LinkPhase::LoggedIn => {
            turn.run_contained(ErrorOwner::Part("key packages"), key_packages::publish)?;
            turn.run_contained(ErrorOwner::Part("tokens"), super::tokens::pump)?;
            acknowledge(turn);
            Ok(())
        }
        _ => Ok(()),
    }
}

/// Logs in, unless that is being done.
pub(crate) fn log_in(turn: &mut Turn<'_>) -> Result<(), Fault> {
    let LinkPhase::Ready {
        exporter,
        challenge,
    } = turn.memory.links.mailbox.phase
    else {
        return Ok(());
    };
    if turn.memory.links.mailbox.awaits(&Job::Login) || turn.is_postponed(&Postponed::Login) {
        return Ok(());
    }
    let (device, signature) = account::sign_login(turn.tx, turn.rng, &exporter, &challenge)?;
    let login = Login {
        device_id: device.to_bytes(),
        signature: Some(signature),
    };
    turn.send_request(LinkKind::Mailbox, Job::Login, Body::Login(login));
    Ok(())
}

/// The relay knows this device.
pub(crate) fn handle_logged_in(turn: &mut Turn<'_>, logged_in: &LoggedIn) -> Result<(), Fault> {
    let links = &mut turn.memory.links;
    links.mailbox.phase = LinkPhase::LoggedIn;
    links.login_problem = None;
    links.key_packages_left = Some(logged_in.key_packages_left);
    links.received = logged_in.acknowledged;
    links.acknowledged = logged_in.acknowledged;
    let own_record = settings::read::<i64>(turn.tx, Setting::Received)?.unwrap_or(0);
    if logged_in.acknowledged > own_record.cast_unsigned() {
        was_set_back(turn, logged_in.acknowledged)?;
    }
    turn.memory.links.not_set_back = true;
    key_packages::logged_in(turn, logged_in.last_resort)?;
    for hook in turn.hooks.of::<dyn LinkHook>() {
        hook.handle_logged_in(turn)?;
    }
    if !turn.memory.links.told_online {
        turn.memory.links.told_online = true;
        turn.notify(Notice::Connection(ConnectionChanged {
            connection: Connection::Online,
            problem: None,
        }));
    }
    Ok(())
}

/// This device acknowledged more than it knows of: its store is an old copy. Its
/// ratchets may have been used since, so that each group is rejoined before anything
/// is sent; its key packages' private keys may be gone.
fn was_set_back(turn: &mut Turn<'_>, acknowledged: u64) -> Result<(), Fault> {
    for hook in turn.hooks.of::<dyn LinkHook>() {
        hook.handle_set_back(turn)?;
    }
    key_packages::replace_all(turn)?;
    settings::write(turn.tx, Setting::Received, acknowledged.cast_signed())?;
    super::tokens::forget(turn.tx)?;
    turn.notify(Notice::Warning(Warning {
        problem: Problem::SetBack.report(),
    }));
    Ok(())
}

/// A delivery, with this place in the mailbox, was dealt with: it is to be acknowledged.
pub(crate) fn note_delivery(turn: &mut Turn<'_>, sequence: u64) {
    let links = &mut turn.memory.links;
    links.received = links.received.max(sequence);
    links.unacknowledged += 1;
    if links.acknowledge_at.is_none() {
        links.acknowledge_at = Some(turn.now.after(ACKNOWLEDGE_AFTER));
    }
}

/// Keeps in the store what is safely there, before the transaction ends.
pub(crate) fn record_received(turn: &mut Turn<'_>) -> Result<(), Fault> {
    let received = turn.memory.links.received;
    Ok(settings::write(
        turn.tx,
        Setting::Received,
        received.cast_signed(),
    )?)
}

/// Acknowledges when there is enough to acknowledge, or it is time. What came in this
/// very transaction is stored when the frame leaves.
fn acknowledge(turn: &mut Turn<'_>) {
    let now = turn.now;
    let links = &mut turn.memory.links;
    let due = links.unacknowledged >= ACKNOWLEDGE_POSTS
        || links.acknowledge_at.is_some_and(|at| at <= now);
    if !due || links.received <= links.acknowledged {
        if due {
            links.unacknowledged = 0;
            links.acknowledge_at = None;
        }
        return;
    }
    links.acknowledged = links.received;
    links.unacknowledged = 0;
    links.acknowledge_at = None;
    let sequence = links.received;
    turn.send_without_answer(
        LinkKind::Mailbox,
        Body::Acknowledge(Acknowledge { sequence }),
    );
}
