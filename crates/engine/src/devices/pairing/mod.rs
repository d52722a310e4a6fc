//! Pairing: a new device and an old one meet, agree on keys by a code that a person
//! carries from one to the other, and the old one's person decides.
//!
//! 1. The new device asks the relay for the number of a rendezvous, on its mailbox link
//!    (not logged in: it has no account), and shows a code with it.
//! 2. The code is typed on the old device, which joins there on its posting link. That
//!    link is opened anew for it, and closed when the pairing is over, so that what the
//!    relay can guess from the time at which a device is admitted it guesses of no other
//!    post. (Posts that leave in those minutes travel on it.)
//! 3. They agree on keys ([`agreement`]); the new device says who it is; the old one's
//!    person is shown that, and says yes.
//! 4. The old device proposes the statement that admits the new one; the new one checks
//!    that it says just that, and agrees; the old one signs and gives it to the relay.
//! 5. From there on it is [`super::transfer`]'s.
//!
//! An attempt lives in memory: one that loses a link before step 4 is over is over, on
//! both sides, and needs a new code. (The rendezvous' number is good for one meeting, so
//! that nobody can join it again.) After step 4 both know where to meet again.
//!
//! **Elsewhere**: the messages are `waxwing/v1/pairing.proto`.
//!
//! **Always**: nothing that names the account is said before both have shown that they
//! know the code, and no device is admitted that no person has seen.

pub(crate) mod agreement;
pub(crate) mod code;
mod notices;
pub(crate) mod session;
pub(crate) mod steps;

#[cfg(test)]
mod tests;

use waxwing_protocol::{
    address::Address,
    ids::DeviceId,
    limits,
    pb::{
        DeviceEntry, DeviceOffer, DeviceProposal, Error, ErrorCode, HybridSignature,
        RendezvousJoined, join_rendezvous::At,
    },
    roster::{Proposal, Roster},
    time::Time,
};

pub(super) use self::notices::{tell_admitted, tell_done, tell_failed, tell_joined};
use self::{
    agreement::PairingContext,
    code::{PairingCode, PairingSecret},
    notices::{changed, notify_stage, tell_code},
    session::Session,
    steps::{NewOutcome, NewStep, OldOutcome, OldStep, PairingEnded},
};
use super::{
    changes, names, registration,
    rendezvous::Meeting,
    transfer::{self, TransferKey},
};
use crate::{
    account,
    api::{self, Notice, PairingStage, Problem, RegistrationStage, Response},
    event::LinkKind,
    link::MeetingPurpose,
    settings,
    turn::{EventError, Fault, Turn},
};

/// An attempt.
pub(crate) struct Pairing {
    meeting: Meeting,
    began: Time,
    /// `None` while a step is being taken.
    side: Option<Side>,
    /// The link was lost.
    broken: bool,
}

#[allow(
    clippy::large_enum_variant,
    reason = "there is one of them, now and then"
)]
enum Side {
    New(NewSideState),
    Old(OldSideState),
    /// It has said its last word; gone when the relay has that.
    Leaving,
}

enum NewSideState {
    /// The relay gives a number.
    Meeting,
    Step(NewStep),
}

enum OldSideState {
    Meeting(PairingCode),
    Step(OldStep),
    /// The person is asked, about this device.
    Asking(OldStep, NewcomerIdentity),
    /// The person said yes.
    Proposed(OldStep, NewcomerIdentity, [u8; 16], TransferKey),
}

/// The device that asks to be admitted.
#[derive(Clone)]
struct NewcomerIdentity {
    device: DeviceId,
    entry: DeviceEntry,
    name: String,
}

impl Pairing {
    fn new(link: LinkKind, at: At, began: Time, side: Side) -> Self {
        Self {
            meeting: Meeting::new(link, at),
            began,
            side: Some(side),
            broken: false,
        }
    }

    pub(crate) const fn link(&self) -> LinkKind {
        self.meeting.link
    }

    /// When it is over in any case.
    pub(crate) fn until(&self) -> Time {
        self.began.after(limits::RENDEZVOUS_LIFETIME)
    }

    pub(crate) const fn meeting(&mut self) -> &mut Meeting {
        &mut self.meeting
    }

    /// The link is no more.
    pub(crate) const fn lost(&mut self) {
        self.broken = true;
    }
}

// ---- what people ask for ----

/// This is to become a device of an account that another device has.
pub(crate) fn link(turn: &mut Turn<'_>, asked: &api::LinkDevice) -> Result<Response, EventError> {
    let name =
        names::checked(&asked.name).ok_or(EventError::Refused(Problem::DeviceNameMalformed))?;
    refuse_registered(turn)?;
    crate::link::relay::set(turn, &asked.relay, asked.pin.as_deref())?;
    registration::abandon(turn.tx)?;
    account::begin_device(turn.tx, turn.rng)?;
    let device =
        account::pending_device(turn.tx)?.ok_or_else(|| Fault::Broken("no device key".into()))?;
    names::set(turn.tx, device, name)?;
    make_room(turn);
    turn.memory.devices_mut().pairing = Some(Pairing::new(
        LinkKind::Mailbox,
        At::NewNumber(true),
        turn.now,
        Side::New(NewSideState::Meeting),
    ));
    notify_stage(turn, PairingStage::Meeting);
    Ok(Response::Done {})
}

/// A home that has an account joins no other.
pub(crate) fn refuse_registered(turn: &Turn<'_>) -> Result<(), EventError> {
    let stage = registration::read(turn.tx)?.map(|registration| registration.stage);
    if stage == Some(RegistrationStage::Registered) {
        return Err(EventError::Refused(Problem::AlreadyRegistered));
    }
    Ok(())
}

/// The person typed the code that a new device shows.
pub(crate) fn approve(
    turn: &mut Turn<'_>,
    asked: &api::ApproveDevice,
) -> Result<Response, EventError> {
    let Some(own) = &turn.memory.account else {
        return Err(EventError::Refused(Problem::NotRegistered));
    };
    if own.roster().devices().len() >= limits::DEVICES {
        return Err(EventError::Refused(Problem::DevicesTooMany {
            limit: limits::DEVICES as u64,
        }));
    }
    let (code, there) = PairingCode::read(&asked.code).map_err(|error| {
        EventError::Refused(match error {
            code::CodeMalformed::Shape => Problem::PairingCodeMalformed,
            code::CodeMalformed::Mistyped => Problem::PairingCodeMistyped,
        })
    })?;
    if let (Some(there), Some(here)) = (there, settings::relay(turn.tx)?) {
        let same = match (&there.pin, &here.pin) {
            (Some(there), Some(here)) => there == here,
            _ => there.url == here.url,
        };
        if !same {
            return Err(EventError::Refused(Problem::PairingOtherRelay));
        }
    }
    if transfer::under_way(turn.tx)? || changes::any(turn.tx)? {
        return Err(EventError::Refused(Problem::PairingBusy));
    }
    make_room(turn);
    fresh_posting_link(turn);
    turn.memory.devices_mut().pairing = Some(Pairing::new(
        LinkKind::Posting,
        At::Number(code.number),
        turn.now,
        Side::Old(OldSideState::Meeting(code)),
    ));
    notify_stage(turn, PairingStage::Meeting);
    Ok(Response::Done {})
}

/// The person has seen which device asks.
pub(crate) fn confirm(turn: &mut Turn<'_>, accept: bool) -> Result<Response, EventError> {
    let refused = EventError::Refused(Problem::PairingNotAsked);
    let Some(mut pairing) = turn.memory.devices_mut().pairing.take() else {
        return Err(refused);
    };
    let (session, asked) = match pairing.side.take() {
        Some(Side::Old(OldSideState::Asking(OldStep::Asking(session, _), asked))) => {
            (session, asked)
        }
        side => {
            pairing.side = side;
            turn.memory.devices_mut().pairing = Some(pairing);
            return Err(refused);
        }
    };
    if accept {
        propose(turn, pairing, session, asked)?;
    } else {
        say_no(turn, pairing, session);
        notify_stage(turn, PairingStage::Refused);
    }
    Ok(Response::Done {})
}

/// The person gives the attempt up.
pub(crate) fn stop(turn: &mut Turn<'_>) {
    let Some(mut pairing) = turn.memory.devices_mut().pairing.take() else {
        return;
    };
    match pairing.side.take() {
        Some(
            Side::New(NewSideState::Step(NewStep::Offered(session)))
            | Side::Old(
                OldSideState::Step(OldStep::Confirmed(session))
                | OldSideState::Asking(OldStep::Asking(session, _), _)
                | OldSideState::Proposed(OldStep::Proposed(session, _), ..),
            ),
        ) => say_no(turn, pairing, session),
        _ => leave(turn, pairing),
    }
}

/// Ends the attempt there is, heard or not, since something else begins.
pub(crate) fn make_room(turn: &mut Turn<'_>) {
    stop(turn);
    if let Some(leaving) = turn.memory.devices_mut().pairing.take() {
        leave(turn, leaving);
    }
}

fn say_no(turn: &mut Turn<'_>, mut pairing: Pairing, mut session: Session) {
    pairing.meeting.say(steps::refuse(&mut session));
    pairing.meeting.pump(turn, MeetingPurpose::Pairing);
    pairing.side = Some(Side::Leaving);
    turn.memory.devices_mut().pairing = Some(pairing);
}

// ---- what happens ----

/// Joins, says what is to be said, and ends what is over.
pub(crate) fn pump(turn: &mut Turn<'_>) {
    let Some(mut pairing) = turn.memory.devices_mut().pairing.take() else {
        return;
    };
    if pairing.broken || pairing.until() <= turn.now {
        // One that has said all it had to say goes on by the transfer.
        if !matches!(pairing.side, Some(Side::Leaving)) {
            tell_failed(turn, &Problem::PairingBroken);
        }
        leave(turn, pairing);
        return;
    }
    pairing.meeting.pump(turn, MeetingPurpose::Pairing);
    if matches!(pairing.side, Some(Side::Leaving)) && pairing.meeting.all_said() {
        leave(turn, pairing);
        return;
    }
    turn.memory.devices_mut().pairing = Some(pairing);
}

/// The relay has the rendezvous.
pub(crate) fn handle_joined(turn: &mut Turn<'_>, joined: RendezvousJoined) -> Result<(), Fault> {
    let Some(mut pairing) = turn.memory.devices_mut().pairing.take() else {
        return Ok(());
    };
    pairing.meeting.joined();
    let log_id = turn.memory.links.of(pairing.meeting.link).log_id;
    match (pairing.side.take(), log_id) {
        (Some(Side::New(NewSideState::Meeting)), Some(log_id)) => {
            let secret = PairingSecret::generate(turn.rng);
            let place = PairingContext {
                number: joined.number,
                log_id,
            };
            let (step, hello) = steps::hello(turn.rng, &secret, place);
            pairing.meeting.say([hello]);
            pairing.side = Some(Side::New(NewSideState::Step(step)));
            turn.memory.devices_mut().pairing = Some(pairing);
            let code = PairingCode {
                number: joined.number,
                secret,
            };
            tell_code(turn, &code)
        }
        (Some(Side::Old(OldSideState::Meeting(code))), Some(log_id)) => {
            let place = PairingContext {
                number: code.number,
                log_id,
            };
            let step = OldStep::Awaiting(code.secret, place);
            pairing.side = Some(Side::Old(OldSideState::Step(step)));
            turn.memory.devices_mut().pairing = Some(pairing);
            Ok(())
        }
        // A relay without a key log, or that answers out of order.
        _ => {
            leave(turn, pairing);
            tell_failed(turn, &Problem::RelayTooDifferent);
            Ok(())
        }
    }
}

/// The relay does not let this device join, or say something.
pub(crate) fn handle_refusal(turn: &mut Turn<'_>, error: &Error) {
    let Some(pairing) = turn.memory.devices_mut().pairing.take() else {
        return;
    };
    let problem = match error.code() {
        ErrorCode::RendezvousUnknown => Problem::PairingCodeDead,
        _ => crate::link::problem_of(error),
    };
    let leaving = matches!(pairing.side, Some(Side::Leaving));
    leave(turn, pairing);
    if !leaving {
        tell_failed(turn, &problem);
    }
}

/// The other device is gone.
pub(crate) fn handle_peer_left(turn: &mut Turn<'_>) {
    let Some(pairing) = &mut turn.memory.devices_mut().pairing else {
        return;
    };
    pairing.broken = true;
}

/// The other device, or somebody who plays it, sent something.
pub(crate) fn handle_message(turn: &mut Turn<'_>, body: &[u8]) -> Result<(), Fault> {
    let Some(mut pairing) = turn.memory.devices_mut().pairing.take() else {
        return Ok(());
    };
    let ended = match pairing.side.take() {
        Some(Side::New(NewSideState::Step(step))) => new_heard(turn, &mut pairing, step, body)?,
        Some(Side::Old(OldSideState::Step(step))) => old_heard(turn, &mut pairing, step, body)?,
        Some(Side::Old(OldSideState::Proposed(step, asked, rendezvous, key))) => {
            match step.handle_message(turn.rng, body) {
                Ok(OldOutcome::Going(step, next)) => {
                    pairing.meeting.say(next);
                    pairing.side = Some(Side::Old(OldSideState::Proposed(
                        step, asked, rendezvous, key,
                    )));
                    None
                }
                Ok(OldOutcome::Agreed(proposal, signature)) => {
                    return admit(
                        turn,
                        pairing,
                        &asked,
                        &rendezvous,
                        &key,
                        (proposal, signature),
                    );
                }
                Ok(OldOutcome::Asked(..)) => Some(PairingEnded::OutOfOrder),
                Err(ended) => Some(ended),
            }
        }
        // What comes when it is over is not heard any more.
        side @ Some(Side::Leaving) => {
            pairing.side = side;
            None
        }
        _ => Some(PairingEnded::OutOfOrder),
    };
    let Some(ended) = ended else {
        turn.memory.devices_mut().pairing = Some(pairing);
        return Ok(());
    };
    if matches!(ended, PairingEnded::NotAgreed(_)) {
        // The other one does not know it yet, perhaps, and would take it for a lost link.
        pairing.meeting.say([steps::not_agreed()]);
        pairing.meeting.pump(turn, MeetingPurpose::Pairing);
        pairing.side = Some(Side::Leaving);
        turn.memory.devices_mut().pairing = Some(pairing);
    } else {
        leave(turn, pairing);
    }
    tell_failed(
        turn,
        &match ended {
            PairingEnded::NotAgreed(_) => Problem::PairingNotAgreed,
            PairingEnded::OutOfOrder => Problem::PairingBroken,
            PairingEnded::Refused => Problem::PairingRefused,
        },
    );
    Ok(())
}

fn new_heard(
    turn: &mut Turn<'_>,
    pairing: &mut Pairing,
    step: NewStep,
    body: &[u8],
) -> Result<Option<PairingEnded>, Fault> {
    let entry = account::own_entry(turn.tx)?;
    let device =
        account::pending_device(turn.tx)?.ok_or_else(|| Fault::Broken("no device key".into()))?;
    let name = names::name_of_device(turn.tx, device)?.unwrap_or_default();
    let heard = step.handle_message(body, || DeviceOffer {
        entry: Some(entry),
        name,
    });
    match heard {
        Err(ended) => Ok(Some(ended)),
        Ok(NewOutcome::Going(step)) => {
            pairing.side = Some(Side::New(NewSideState::Step(step)));
            Ok(None)
        }
        Ok(NewOutcome::Agreed(step, next)) => {
            pairing.meeting.say(next);
            pairing.side = Some(Side::New(NewSideState::Step(step)));
            let mut changed = changed(PairingStage::Agreed);
            changed.device = Some(names::short(device));
            turn.notify(Notice::Pairing(changed));
            Ok(None)
        }
        Ok(NewOutcome::Proposed(mut session, proposal)) => {
            let Some(statement) = checked(turn, &proposal)? else {
                return Ok(Some(PairingEnded::OutOfOrder));
            };
            let complete = <[u8; 16]>::try_from(proposal.transfer_id.as_ref()).is_ok()
                && TransferKey::from_slice(&proposal.transfer_key).is_some();
            if !complete {
                return Ok(Some(PairingEnded::OutOfOrder));
            }
            let identity = account::own_identity(turn.tx)?;
            let signature = statement.consent(turn.rng, &identity);
            match steps::consent(&mut session, signature) {
                Err(ended) => Ok(Some(ended)),
                Ok(next) => {
                    transfer::handle_agreement(turn, device, &proposal)?;
                    pairing.meeting.say(next);
                    pairing.side = Some(Side::Leaving);
                    let mut changed = changed(PairingStage::Admitting);
                    changed.address = Some(proposal.address.clone());
                    changed.device = Some(names::short(device));
                    turn.notify(Notice::Pairing(changed));
                    Ok(None)
                }
            }
        }
    }
}

/// Checks that a proposal admits this device, with its own keys, to the account whose
/// roster comes with it, and does nothing else.
pub(crate) fn checked(
    turn: &Turn<'_>,
    proposal: &DeviceProposal,
) -> Result<Option<Proposal>, Fault> {
    let Ok(roster) = Roster::verify(&proposal.roster) else {
        return Ok(None);
    };
    if Address::parse(&proposal.address).is_err() {
        return Ok(None);
    }
    let Ok((statement, device)) = Proposal::check(&roster, proposal.statement.clone()) else {
        return Ok(None);
    };
    let own = account::own_entry(turn.tx)?;
    let is_own = Some(device.identity.to_wire()) == own.identity
        && device.leaf_key.as_slice() == own.leaf_key.as_ref();
    Ok(is_own.then_some(statement))
}

fn old_heard(
    turn: &mut Turn<'_>,
    pairing: &mut Pairing,
    step: OldStep,
    body: &[u8],
) -> Result<Option<PairingEnded>, Fault> {
    match step.handle_message(turn.rng, body) {
        Err(ended) => Ok(Some(ended)),
        Ok(OldOutcome::Going(step, next)) => {
            let agreed = matches!(step, OldStep::Confirmed(_));
            pairing.meeting.say(next);
            pairing.side = Some(Side::Old(OldSideState::Step(step)));
            if agreed {
                notify_stage(turn, PairingStage::Agreed);
            }
            Ok(None)
        }
        Ok(OldOutcome::Asked(OldStep::Asking(session, entry), name)) => {
            let own = turn.account()?;
            let would = Proposal::add_device(turn.now, own.roster(), own.device(), entry.clone());
            // A key that is none, or a device that is there already.
            let Ok((_, device)) = Proposal::check(own.roster(), would.bytes().clone()) else {
                return Ok(Some(PairingEnded::OutOfOrder));
            };
            let name = names::checked(&name).unwrap_or_default().to_owned();
            let mut changed = changed(PairingStage::Confirm);
            changed.device = Some(names::short(device.id));
            changed.name = Some(name.clone());
            turn.notify(Notice::Pairing(changed));
            let asked = NewcomerIdentity {
                device: device.id,
                entry: entry.clone(),
                name,
            };
            pairing.side = Some(Side::Old(OldSideState::Asking(
                OldStep::Asking(session, entry),
                asked,
            )));
            Ok(None)
        }
        Ok(_) => Ok(Some(PairingEnded::OutOfOrder)),
    }
}

/// The person said yes: proposes the statement.
fn propose(
    turn: &mut Turn<'_>,
    mut pairing: Pairing,
    session: Session,
    asked: NewcomerIdentity,
) -> Result<(), Fault> {
    let rendezvous: [u8; 16] = turn.random();
    let key = TransferKey::generate(turn.rng);
    let own = turn.account()?;
    let statement = Proposal::add_device(turn.now, own.roster(), own.device(), asked.entry.clone());
    let proposal = DeviceProposal {
        roster: account::statements(turn.tx)?,
        address: own.address().display().to_owned(),
        statement: statement.bytes().clone(),
        transfer_id: rendezvous.to_vec().into(),
        transfer_key: key.as_bytes().to_vec().into(),
    };
    let Ok((step, next)) = steps::propose(session, proposal, statement) else {
        leave(turn, pairing);
        tell_failed(turn, &Problem::PairingBroken);
        return Ok(());
    };
    pairing.meeting.say(next);
    pairing.side = Some(Side::Old(OldSideState::Proposed(
        step, asked, rendezvous, key,
    )));
    turn.memory.devices_mut().pairing = Some(pairing);
    notify_stage(turn, PairingStage::Admitting);
    Ok(())
}

/// The new device agreed: the statement is signed, stored, and sent from there.
fn admit(
    turn: &mut Turn<'_>,
    pairing: Pairing,
    asked: &NewcomerIdentity,
    rendezvous: &[u8; 16],
    key: &TransferKey,
    (proposal, signature): (Proposal, HybridSignature),
) -> Result<(), Fault> {
    let identity = account::own_identity(turn.tx)?;
    let signed = proposal.sign(turn.rng, &identity, signature);
    let mut roster = turn.account()?.roster().clone();
    leave(turn, pairing);
    // Its agreement is not one, or the roster has changed while the person was asked.
    if roster.extend(&signed).is_err() {
        tell_failed(turn, &Problem::PairingBroken);
        return Ok(());
    }
    if !asked.name.is_empty() {
        names::set(turn.tx, asked.device, &asked.name)?;
    }
    changes::add(turn.tx, &signed)?;
    transfer::changing(turn, asked.device, rendezvous, key, &asked.entry)
}

/// Goes away from the rendezvous. The old device's posting link was for this.
fn leave(turn: &mut Turn<'_>, pairing: Pairing) {
    let link = pairing.meeting.link;
    pairing.meeting.leave(turn);
    if link == LinkKind::Posting {
        fresh_posting_link(turn);
    }
}

fn fresh_posting_link(turn: &mut Turn<'_>) {
    if turn.memory.links.posting.phase != crate::link::LinkPhase::Unwanted {
        turn.close_link(LinkKind::Posting);
    }
}
