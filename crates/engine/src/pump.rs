//! Everything that has become possible after an event, and when the next work is due.
//!
//! [`pump`] asks each room in one order what it has to do, and [`next_time`] asks each when it has
//! something to do without an event. What is open follows from the tables, so that both may be
//! called at any time.
//!
//! **Elsewhere**: [`crate::engine`] runs events, and calls these at the end of each.
//!
//! **Always**: the work for one group, conversation or part is contained: if it fails, the rest is
//! done ([`crate::containment`]).

use waxwing_protocol::time::{Span, Time};

use crate::{
    api::RegistrationStage,
    attachment::{own_devices, transfer},
    commands,
    containment::ErrorOwner,
    conversation::{
        acquaintance, commits, epochs, generations,
        group_state::{GroupState, Reading},
        groups, membership, parcels, quarantine, re_add, rejoin,
        search::index,
        start, welcomes,
    },
    devices::{self, registration},
    event::{Effect, LinkKind, RelayPlace},
    inbox::{gaps, held_posts, missed_posts, receive, sender_counters},
    link::{self, LinkPhase, mailbox},
    message::{expiry, scheduled, typing},
    outbox::{receipts, sending},
    routing, settings, sms, synced_settings,
    trust::{gossip, log, lookups, own_history},
    turn::{EventError, Fault, Postponed, Turn},
};

/// After a failed transaction, or when the clock was set back, the links are opened again after this long.
pub(crate) const AFRESH_AFTER: Span = Span::seconds(5);

/// A posting link that has nothing to do is closed after this long.
const IDLE: Span = Span::minutes(3);

/// Due work that failed inside this program is tried again after this long.
const PART_AGAIN: Span = Span::hours(1);

pub(crate) fn handle_time(turn: &mut Turn<'_>) -> Result<(), EventError> {
    let now = turn.now;
    let over: Vec<_> = turn
        .memory
        .postponed
        .iter()
        .filter(|(_, until)| **until <= now)
        .map(|(waiting, _)| waiting.clone())
        .collect();
    for waiting in over {
        turn.memory.postponed.remove(&waiting);
        match waiting.clone() {
            Postponed::Conversation(id) => {
                turn.memory.due_mut().conversations.insert(id);
            }
            Postponed::Membership(id) => {
                turn.memory.due_mut().groups.insert(id);
            }
            Postponed::Group(id) => {
                turn.memory.due_mut().groups.insert(id);
                turn.run_contained(ErrorOwner::Group(id), |turn| {
                    if let Some(group) = groups::find(turn.tx, id)? {
                        turn.memory
                            .due_mut()
                            .conversations
                            .extend(group.conversation);
                    }
                    Ok(())
                })?;
            }
            Postponed::NextGeneration(id) => {
                let made = turn
                    .run_contained(ErrorOwner::Part("setting up a group again"), |turn| {
                        generations::make_next(turn, id)
                    })?;
                if made.is_none() {
                    turn.postpone(waiting, PART_AGAIN);
                }
            }
            Postponed::LookUpNotice(id) => {
                turn.run_contained(ErrorOwner::Group(id), |turn| {
                    receive::tell_that_it_waits(turn, id)
                })?;
            }
            Postponed::ReAdd if turn.memory.account.is_some() => {
                turn.run_contained(
                    ErrorOwner::Part("unknown groups"),
                    re_add::send_due_requests,
                )?;
            }
            Postponed::LookUps
            | Postponed::LogIdentity
            | Postponed::KeyPackages
            | Postponed::Auditors
            | Postponed::OwnHistory
            | Postponed::Heads
            | Postponed::Tokens
            | Postponed::Login
            | Postponed::Lock
            | Postponed::RosterChange
            | Postponed::Meeting
            | Postponed::SyncedSettings
            | Postponed::Blob(_)
            | Postponed::ReAdd
            | Postponed::Sms
            | Postponed::SmsParts
            | Postponed::FileCopies
            | Postponed::Backup => {}
        }
    }
    Ok(())
}

/// Does everything that has become possible.
pub(crate) fn pump(turn: &mut Turn<'_>) -> Result<(), Fault> {
    turn.run_contained(ErrorOwner::Part("search"), index::pump)?;
    let Some(relay) = settings::relay(turn.tx)? else {
        return Ok(());
    };
    check_links(turn)?;
    turn.run_contained(ErrorOwner::Part("disappearing messages"), expiry::pump)?;
    if turn.memory.is_revoked() {
        turn.close_links();
        let erasing = ErrorOwner::Part("deleting the account");
        turn.run_contained(erasing, devices::closing::pump_revoked)?;
        return Ok(());
    }
    let wants_mailbox = registration::wants_link(turn.tx)? || devices::wants_mailbox(turn)?;
    open_if_wanted(turn, wants_mailbox, LinkKind::Mailbox, &relay);
    turn.run_contained(ErrorOwner::Part("mailbox"), pump_mailbox)?;
    turn.run_contained(ErrorOwner::Part("devices"), devices::pump)?;
    let wants_mailbox = devices::wants_mailbox(turn)?;
    open_if_wanted(turn, wants_mailbox, LinkKind::Mailbox, &relay);
    let wants_posting = devices::wants_posting(turn)? || own_history::look_up(turn)?;
    open_if_wanted(turn, wants_posting, LinkKind::Posting, &relay);
    log::pump(turn);
    if turn.memory.account.is_none() || !turn.memory.links.not_set_back {
        close_idle(turn, wants_posting);
        return Ok(());
    }
    turn.run_contained(ErrorOwner::Part("own history"), own_history::pump)?;
    turn.run_contained(ErrorOwner::Part("scheduled messages"), scheduled::pump)?;
    turn.run_contained(ErrorOwner::Part("receipts"), commands::send_due_receipts)?;
    turn.run_contained(ErrorOwner::Part("settings"), synced_settings::sync::pump)?;
    turn.run_contained(ErrorOwner::Part("gaps"), gaps::ask)?;
    turn.run_contained(ErrorOwner::Part("missed posts"), missed_posts::ask)?;
    turn.run_contained(ErrorOwner::Part("files for own devices"), own_devices::pump)?;
    epochs::check_behind(turn)?;
    lookups::look_again(turn)?;
    if turn.memory.links.posting.ready().is_none() {
        let wanted = !turn.memory.due_mut().conversations.is_empty()
            || !turn.memory.signals_mut().due.is_empty()
            || !turn.memory.due_mut().groups.is_empty()
            || turn.memory.lookups_mut().any_wanted()
            || (turn.memory.heads_mut().waiting && !turn.is_postponed(&Postponed::Heads))
            || transfer::any(turn)?
            || parcels::any(turn)?;
        open_if_wanted(turn, wanted, LinkKind::Posting, &relay);
        return Ok(());
    }
    // Bounded: work that becomes due again is done with the next event.
    for _ in 0..4 {
        let groups = std::mem::take(&mut turn.memory.due_mut().groups);
        let conversations = std::mem::take(&mut turn.memory.due_mut().conversations);
        if groups.is_empty() && conversations.is_empty() {
            break;
        }
        for id in groups {
            turn.run_contained(ErrorOwner::Group(id), |turn| pump_group(turn, id))?;
        }
        for id in conversations {
            turn.run_contained(ErrorOwner::Conversation(id), |turn| sending::pump(turn, id))?;
        }
    }
    turn.run_contained(ErrorOwner::Part("typing"), typing::pump)?;
    turn.run_contained(ErrorOwner::Part("parcels"), parcels::pump)?;
    turn.run_contained(ErrorOwner::Part("attachments"), transfer::pump)?;
    lookups::pump(turn);
    turn.run_contained(ErrorOwner::Part("key log"), gossip::pump)?;
    close_idle(turn, wants_posting);
    Ok(())
}

/// Asks for what is next on the mailbox link.
fn pump_mailbox(turn: &mut Turn<'_>) -> Result<(), Fault> {
    let Some(registration) = registration::read(turn.tx)? else {
        return Ok(());
    };
    if registration.stage != RegistrationStage::Registered {
        return registration::pump(turn, &registration);
    }
    mailbox::pump(turn)?;
    if turn.memory.links.mailbox.phase == LinkPhase::LoggedIn {
        turn.run_contained(ErrorOwner::Part("text messages"), sms::pump)?;
    }
    Ok(())
}

/// Closes the posting link when nothing has needed it for a while.
fn close_idle(turn: &mut Turn<'_>, wanted: bool) {
    if !wanted && idle_at(turn).is_some_and(|at| at <= turn.now) {
        turn.close_link(LinkKind::Posting);
        turn.memory.mark_resumed();
    }
}

/// When the posting link has had nothing to do for long enough.
fn idle_at(turn: &Turn<'_>) -> Option<Time> {
    let posting = &turn.memory.links.posting;
    let at_rest = posting.ready().is_some() && posting.awaited() == 0;
    at_rest.then(|| posting.used_at.after(IDLE))
}

/// Opens a link that is useful and not open yet.
fn open_if_wanted(turn: &mut Turn<'_>, wanted: bool, link: LinkKind, relay: &RelayPlace) {
    if wanted && turn.memory.links.of(link).phase == LinkPhase::Unwanted {
        turn.memory.links.of(link).phase = LinkPhase::Opening;
        turn.out.push(Effect::OpenLink {
            link,
            relay: relay.clone(),
        });
    }
}

/// Pings quiet links, and gives up dead links and unanswered requests.
fn check_links(turn: &mut Turn<'_>) -> Result<(), Fault> {
    for kind in [LinkKind::Mailbox, LinkKind::Posting] {
        let now = turn.now;
        let link = turn.memory.links.of(kind);
        if link.dead_at().is_some_and(|at| at <= now) {
            turn.close_link(kind);
            continue;
        }
        let (given_up, unsure) = link.give_up(now);
        if unsure || link.ping_at().is_some_and(|at| at <= now) {
            let ping = waxwing_protocol::pb::Ping {};
            turn.send_request(
                kind,
                link::Job::Ping,
                waxwing_protocol::pb::client_frame::Body::Ping(ping),
            );
        }
        for job in given_up {
            routing::unanswered(turn, kind, job)?;
        }
    }
    Ok(())
}

fn pump_group(turn: &mut Turn<'_>, id: waxwing_protocol::ids::GroupId) -> Result<(), Fault> {
    let Some(group) = groups::find(turn.tx, id)? else {
        return Ok(());
    };
    match &group.state {
        GroupState::Creating { .. } => start::create(turn, &group),
        GroupState::Checking => welcomes::check(turn, &group),
        // Everybody in the group sees a rejoin.
        GroupState::Lost { .. } if acquaintance::is_silent_group(turn, &group)? => Ok(()),
        GroupState::Lost { .. } => rejoin::fetch(turn, &group),
        GroupState::Active {
            reading: Reading::AwaitsLookUp,
            ..
        } => receive::handle_look_up(turn, &group),
        GroupState::Active {
            commit: Some(commit),
            ..
        } => commits::post(turn, id, commit),
        GroupState::Active { commit: None, .. } => {
            if group.membership_due {
                membership::pump(turn, &group)?;
            }
            // Held because a commit was missing; after a restart nobody else remembers.
            if held_posts::any(turn.tx, id)? && turn.memory.is_behind(id) {
                return receive::release(turn, id);
            }
            if held_posts::any(turn.tx, id)? {
                let epoch = waxwing_protocol::ids::Epoch(u64::MAX);
                turn.memory.note_behind(turn.now, id, epoch);
            }
            Ok(())
        }
        GroupState::Quarantined => quarantine::retry(turn, &group),
        GroupState::Closed | GroupState::Denied => Ok(()),
    }
}

/// When the next work is due without an event.
pub(crate) fn next_time(turn: &Turn<'_>) -> Result<Option<Time>, Fault> {
    // Nothing else that is due in the store of a revoked device is ever done.
    if turn.memory.is_revoked() {
        let due = [
            expiry::next_due(turn.tx)?,
            devices::closing::next_erasing(turn)?,
        ];
        let next = due.into_iter().flatten().min();
        return Ok(next.map(|at| at.max(soon(turn))));
    }
    let links = &turn.memory.links;
    let waits = turn.memory.postponed.values().copied().min();
    let kept_open = devices::wants_posting(turn)? || own_history::wants_look_up(turn);
    let idle = idle_at(turn).filter(|_| !kept_open);
    let posting_ping = links.posting.ping_at().filter(|_| kept_open);
    let devices = devices::next_time(turn)?;
    let ready = turn.memory.account.is_some() && turn.memory.links.not_set_back;
    let receipts = if ready {
        receipts::next_due(turn.tx)?
    } else {
        None
    };
    let asks = if ready {
        sender_counters::next_request_at(turn.tx)?
    } else {
        None
    };
    let missed = if ready {
        missed_posts::next_ask(turn.tx)?
    } else {
        None
    };
    let scheduled = if ready {
        scheduled::next_due(turn.tx)?
    } else {
        None
    };
    let own_history = own_history::next_due(turn);
    let alive = [
        links.mailbox.dead_at(),
        links.mailbox.ping_at(),
        links.posting.dead_at(),
        links.mailbox.gives_up_at(),
        links.posting.gives_up_at(),
        posting_ping,
        devices,
    ];
    let due = [
        links.acknowledge_at,
        waits,
        epochs::next_due(turn),
        idle,
        receipts,
        asks,
        missed,
        scheduled,
        own_history,
        link::key_packages::next_due(turn),
        expiry::next_due(turn.tx)?,
        index::next_due(turn.memory),
    ];
    Ok(due
        .into_iter()
        .chain(alive)
        .flatten()
        .min()
        .map(|at| at.max(soon(turn))))
}

/// The earliest time for the next work. Failed work may still be due; it is not tried again at
/// once.
fn soon(turn: &Turn<'_>) -> Time {
    turn.now.after(if turn.is_faulty() {
        AFRESH_AFTER
    } else {
        Span(1)
    })
}
