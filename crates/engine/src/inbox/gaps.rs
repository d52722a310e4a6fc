//! Messages that are missing: asking their senders for them, and showing the gap.
//!
//! **Elsewhere**: [`super::sender_counters`] knows which are missing, and when to ask;
//! [`super::resending`] answers those who ask this device; [`super::missed_posts`] asks after a
//! full mailbox.
//!
//! **Always**: nobody is asked in a group whose people the person has not accepted.

use prost::Message as _;
use waxwing_protocol::{
    ids::{DeviceId, GroupId},
    pb::{CounterRange, Envelope, ResendRequest, envelope},
};

use super::{
    earlier_generations, resending,
    sender_counters::{self, Sender},
};
use crate::{
    api::{Gap, Notice},
    contact,
    containment::ErrorOwner,
    conversation::{
        acquaintance,
        group_state::GroupState,
        groups::{self, GroupRecord},
        history,
    },
    outbox,
    turn::{Fault, Turn},
};

/// Asks for all holes that are old enough, and shows them.
pub(crate) fn ask(turn: &mut Turn<'_>) -> Result<(), Fault> {
    for sender in sender_counters::due_requests(turn.tx, turn.now)? {
        sender_counters::record_request(turn.tx, turn.now, sender)?;
        turn.run_contained(ErrorOwner::Group(sender.group), |turn| {
            ask_sender(turn, sender)
        })?;
    }
    Ok(())
}

fn ask_sender(turn: &mut Turn<'_>, sender: Sender) -> Result<(), Fault> {
    let Some(group) = groups::find(turn.tx, sender.group)? else {
        return Ok(());
    };
    if acquaintance::is_silent_group(turn, &group)? {
        sender_counters::suspend_requests(turn.tx, sender)?;
        let missing = sender_counters::missing(turn.tx, sender)?;
        return show_gap(turn, &group, sender, missing);
    }
    if group.state == GroupState::Closed {
        return earlier_generations::misses(turn, &group, sender.device);
    }
    if !group.state.is_active() {
        return Ok(());
    }
    let missing = sender_counters::holes(turn.tx, sender)?
        .into_iter()
        .map(|(from, to)| CounterRange { from, to })
        .collect();
    request_resend(turn, &group, sender.device, missing, None)?;
    let missing = sender_counters::missing(turn.tx, sender)?;
    show_gap(turn, &group, sender, missing)
}

/// Asks every device of a group for all of its messages that did not arrive: nobody here knows how
/// much that is.
pub(crate) fn ask_for_all(turn: &mut Turn<'_>, group: &GroupRecord) -> Result<(), Fault> {
    // When the person has accepted, what is missing is asked for.
    if acquaintance::is_silent_group(turn, group)? {
        return Ok(());
    }
    let own = turn.account()?.device();
    let heard = sender_counters::senders(turn.tx, group.id)?;
    let members = turn.with_group(group.id, |group, _, _| group.members())?;
    let Some(members) = members else {
        return Ok(());
    };
    for member in members?.into_iter().filter(|member| member.device != own) {
        let (_, contiguous) = heard
            .iter()
            .find(|(device, _)| *device == member.device)
            .copied()
            .unwrap_or((member.device, 0));
        let from = contiguous + 1;
        request_resend(
            turn,
            group,
            member.device,
            vec![CounterRange { from, to: u64::MAX }],
            None,
        )?;
    }
    Ok(())
}

/// Asks a device of a group for what it said there, or in an earlier one.
pub(super) fn request_resend(
    turn: &mut Turn<'_>,
    group: &GroupRecord,
    device: DeviceId,
    missing: Vec<CounterRange>,
    earlier: Option<GroupId>,
) -> Result<(), Fault> {
    let Some(conversation) = group.conversation else {
        return Ok(());
    };
    // In a group of many somebody may have joined since.
    let key = match group.account {
        Some(_) => bytes::Bytes::new(),
        None => resending::own_key(turn)?,
    };
    let request = ResendRequest {
        device_id: device.to_bytes(),
        missing,
        key,
        group_id: earlier.map(GroupId::to_bytes).unwrap_or_default(),
    };
    let envelope = Envelope {
        body: Some(envelope::Body::ResendRequest(request)),
        // By which it is known where it is sent again.
        sent_at_ms: turn.now.0,
        ..Envelope::default()
    };
    outbox::add(
        turn.tx,
        turn.now,
        conversation,
        None,
        &envelope.encode_to_vec(),
        Some(group.id),
    )?;
    turn.memory.due_mut().conversations.insert(conversation);
    Ok(())
}

/// The address of a device's owner, in display form.
fn whose(turn: &mut Turn<'_>, group: &GroupRecord, sender: Sender) -> Result<String, Fault> {
    let account = match group.account {
        Some(account) => Some(account),
        None => turn
            .with_group(group.id, |group, _, _| group.members())?
            .transpose()?
            .and_then(|members| members.into_iter().find(|one| one.device == sender.device))
            .map(|member| member.account),
    };
    let contact = match account {
        Some(account) => contact::of_account(turn.tx, account)?,
        None => None,
    };
    Ok(contact.map(|contact| contact.display).unwrap_or_default())
}

pub(super) fn show_gap(
    turn: &mut Turn<'_>,
    group: &GroupRecord,
    sender: Sender,
    missing: u64,
) -> Result<(), Fault> {
    let Some(conversation) = group.conversation else {
        return Ok(());
    };
    let from = whose(turn, group, sender)?;
    let shown = history::set_gap(
        turn.tx,
        turn.now,
        conversation,
        &from,
        (sender.group, sender.device),
        missing,
    )?;
    if shown {
        let at = turn.now.into();
        turn.notify(Notice::Gap(Gap {
            conversation,
            from,
            missing,
            at,
        }));
    }
    Ok(())
}
