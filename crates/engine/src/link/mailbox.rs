//! The mailbox link: logging in, and acknowledging posts.
//!
//! **Elsewhere**: [`super::registration`] registers on it, [`super::tokens`] gets tokens,
//! [`super::key_packages`] publishes key packages; [`crate::inbox::receive`] reads delivered
//! posts.
//!
//! **Always**: a place in the mailbox is acknowledged after the transaction that stored its
//! post. Nothing is sent to anybody before the relay's record of the acknowledgements was
//! compared with this device's: a device that was set back must not use its old ratchets
//! again.

use waxwing_protocol::{
    ids::MailboxId,
    limits,
    pb::{Acknowledge, Deliver, LoggedIn, Login, PostKind, client_frame::Body},
    time::{Span, Time},
};

use super::{Job, LinkPhase, key_packages, registration};
use crate::{
    account,
    api::{
        Connection, ConnectionChanged, Notice, Problem, RegistrationStage, RelayMisdeed, Warning,
    },
    containment::ErrorOwner,
    conversation::groups::{self, GroupState},
    event::LinkKind,
    inbox::{held_posts::ReceivedPost, missed_posts, receive},
    settings::{self, Setting},
    sms,
    trust::own_history,
    turn::{Fault, Postponed, Turn},
};

/// Posts after which they are acknowledged at once.
const ACKNOWLEDGE_POSTS: usize = limits::DELIVERY_WINDOW_FRAMES / 8;

/// Fewer are acknowledged after this long.
const ACKNOWLEDGE_AFTER: Span = Span(250);

/// Asks for what is next on the mailbox link.
pub(crate) fn pump(turn: &mut Turn<'_>) -> Result<(), Fault> {
    let Some(registration) = registration::read(turn.tx)? else {
        return Ok(());
    };
    if registration.stage != RegistrationStage::Registered {
        return registration::pump(turn, &registration);
    }
    match turn.volatile.links.mailbox.phase {
        LinkPhase::Ready { .. } => log_in(turn),
        LinkPhase::LoggedIn => {
            turn.run_contained(ErrorOwner::Part("key packages"), key_packages::publish)?;
            turn.run_contained(ErrorOwner::Part("tokens"), super::tokens::pump)?;
            acknowledge(turn);
            turn.run_contained(ErrorOwner::Part("text messages"), sms::pump)?;
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
    } = turn.volatile.links.mailbox.phase
    else {
        return Ok(());
    };
    if turn.volatile.links.mailbox.awaits(&Job::Login) || turn.is_postponed(&Postponed::Login) {
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
pub(crate) fn logged_in(turn: &mut Turn<'_>, logged_in: &LoggedIn) -> Result<(), Fault> {
    let Ok(mailbox) = MailboxId::try_from(&logged_in.mailbox_id) else {
        turn.warn_misdeed(RelayMisdeed::Malformed);
        return Ok(());
    };
    registration::complete(turn, mailbox)?;
    let links = &mut turn.volatile.links;
    links.mailbox.phase = LinkPhase::LoggedIn;
    links.key_packages_left = Some(logged_in.key_packages_left);
    links.received = logged_in.acknowledged;
    links.acknowledged = logged_in.acknowledged;
    let own_record = settings::read::<i64>(turn.tx, Setting::Received)?.unwrap_or(0);
    if logged_in.acknowledged > own_record.cast_unsigned() {
        was_set_back(turn, logged_in.acknowledged)?;
    }
    turn.volatile.not_set_back = true;
    sms::logged_in(turn)?;
    key_packages::logged_in(turn, logged_in.last_resort)?;
    own_history::request_check(turn);
    if !turn.volatile.told_online {
        turn.volatile.told_online = true;
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
    for state in [GroupState::Active, GroupState::Creating, GroupState::Denied] {
        for group in groups::in_state(turn.tx, state)? {
            turn.mark_group_lost(group.id)?;
        }
    }
    key_packages::replace_all(turn)?;
    settings::write(turn.tx, Setting::Received, acknowledged.cast_signed())?;
    super::tokens::forget(turn.tx)?;
    turn.notify(Notice::Warning(Warning {
        problem: Problem::SetBack.report(),
    }));
    Ok(())
}

/// A post came.
pub(crate) fn delivered(turn: &mut Turn<'_>, deliver: &Deliver) -> Result<(), Fault> {
    if turn.volatile.links.mailbox.phase != LinkPhase::LoggedIn {
        return Ok(());
    }
    let sequence = deliver.sequence;
    match post_of(deliver, turn.now) {
        Some(post) if deliver.missed => {
            let group = post.group;
            turn.run_contained(ErrorOwner::Group(group), |turn| {
                missed_posts::handle_missed_mark(turn, group)
            })?;
        }
        // It must not be delivered again, no matter what goes wrong in it.
        Some(post) => {
            let whose = match post.kind {
                PostKind::Sms => ErrorOwner::Part("a text message"),
                _ => ErrorOwner::Group(post.group),
            };
            turn.run_contained(whose, |turn| receive::handle_post(turn, &post))?;
        }
        None => turn.warn_misdeed(RelayMisdeed::Malformed),
    }
    let links = &mut turn.volatile.links;
    links.received = links.received.max(sequence);
    links.unacknowledged += 1;
    if links.acknowledge_at.is_none() {
        links.acknowledge_at = Some(turn.now.after(ACKNOWLEDGE_AFTER));
    }
    Ok(())
}

/// Keeps in the store what is safely there, before the transaction ends.
pub(crate) fn record_received(turn: &mut Turn<'_>) -> Result<(), Fault> {
    let received = turn.volatile.links.received;
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
    let links = &mut turn.volatile.links;
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

fn post_of(deliver: &Deliver, came_at: Time) -> Option<ReceivedPost> {
    let kind = deliver.kind();
    if kind == PostKind::Unspecified || deliver.body.len() > limits::POST_BYTES {
        return None;
    }
    Some(ReceivedPost {
        group: (&deliver.group_id).try_into().ok()?,
        kind,
        epoch: waxwing_protocol::ids::Epoch(deliver.epoch),
        id: (&deliver.post_id).try_into().ok()?,
        sequence: deliver.group_sequence,
        received_at: came_at,
        body: deliver.body.to_vec(),
    })
}
