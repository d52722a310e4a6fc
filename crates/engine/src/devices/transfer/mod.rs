//! Admitting a device, and handing the archive over to it.
//!
//! When a new device has agreed to the statement that would admit it, both know a
//! rendezvous' id and a key, and keep them in a table: from then on either may be
//! restarted, or lose its link, and they find each other again.
//!
//! ```text
//!   new                                                    old
//!   pull the admission      ─────────▶         (the relay's log has the statement)
//!                           ◀─────────         admission: statement, mailbox, backup key
//!   log in; pull chunk n    ─────────▶
//!                           ◀─────────         chunks n, n+1, …
//!   done                    ─────────▶
//!                           ◀─────────         done (both wipe the key)
//! ```
//!
//! Each message is sealed with XChaCha20-Poly1305 under the key, with a random nonce and
//! the direction as associated data: a device that was restarted remembers no counter.
//! A chunk has its number and the cursor for the next inside, and the last has no cursor;
//! so a relay that repeats, swaps or leaves out chunks brings nothing but waiting.
//!
//! The sealing is [`key`]'s, the table [`rows`]'.
//!
//! **Elsewhere**: what is in the chunks: [`super::archive`]. The statement's way to the
//! relay: [`super::changes`].
//!
//! **Always**: what a chunk brought is stored in one transaction with its number, so that
//! after a restart the next one is asked for. What goes over is fixed when the device is
//! admitted: nothing that is said later does. The key is deleted, and nothing more is given or
//! taken, when all is there, when nothing has come for [`KEPT`], when [`WITHIN`] is over
//! however much has come, and as soon as the account no longer has one of the two devices.

mod key;
mod rows;

use bytes::Bytes;
use prost::Message as _;
use rusqlite::Transaction;
use waxwing_protocol::{
    address::Address,
    ids::{DeviceId, MailboxId},
    pb::{
        Admission, ArchiveCursor, DeviceConsent, DeviceProposal, PairingRefused, SignedStatement,
        Statement, TransferChunk, TransferDone, TransferPull, TransferWords, join_rendezvous::At,
        statement::Signer, transfer_words::Body as Words,
    },
    roster::Proposal,
    time::{Span, Time},
};

pub(crate) use self::{
    key::TransferKey,
    rows::{BOUNDS, SCHEMA, had_heard, was_added_later},
};
use self::{
    key::{TO_NEW, TO_OLD},
    rows::{Admitting, Stage, read, set_stage},
};
use super::{archive, backup, changes, names, pairing, registration, rendezvous::Meeting};
use crate::{
    account,
    api::{Notice, Problem, TransferOf, TransferProgress},
    conversation::{group_state::StateKind, groups},
    event::LinkKind,
    inbox::gaps,
    link::MeetingPurpose,
    message::deleting,
    store::StoreError,
    turn::{Fault, Postponed, Turn},
};

/// A transfer of which nothing was heard for this long is over.
pub(crate) const KEPT: Span = Span::hours(12);

/// A transfer ends after this long from the admission on, no matter what is missing.
pub(crate) const WITHIN: Span = Span::hours(24);

/// Requests that bring a new device no further, at most; then the transfer is over.
const REPEATS: u32 = 512;

/// A new device that has waited for the admission for this long was not admitted.
const ADMISSION_WITHIN: Span = Span::minutes(15);

/// A new device that has everything goes away after this long, told or not.
const LEAVING_FOR: Span = Span::minutes(3);

/// Chunks that one pull brings.
const CHUNKS_PER_PULL: u64 = 4;

/// What was asked for and did not come is asked for again after this long. The pause doubles
/// each time, since the other device may be away for long: what is said to it waits at the relay.
const AGAIN: Span = Span::seconds(30);

/// How often it doubles: to a quarter of an hour.
const DOUBLINGS: u32 = 5;

/// A meeting that the relay refuses is tried again after this long, doubled each time, too…
const REFUSED_AGAIN: Span = Span::seconds(5);

/// …to ten minutes.
const REFUSED_DOUBLINGS: u32 = 7;

/// What is in memory while two devices meet.
#[derive(Default)]
pub(crate) struct TransferMemory {
    meeting: Option<Meeting>,
    /// New: when what was pulled is pulled again, and up to which chunk it was.
    pull_again_at: Option<Time>,
    pulled_up_to: u64,
    /// New: how often in a row it has pulled, and nothing was heard.
    unheard: u32,
    /// How often in a row the relay has refused, and nothing was heard.
    refused: u32,
    /// Old: a proposal that took an older one's place.
    proposal: Option<Proposal>,
}

/// The new device has agreed to a proposal.
pub(crate) fn handle_agreement(
    turn: &mut Turn<'_>,
    device: DeviceId,
    proposal: &DeviceProposal,
) -> Result<(), Fault> {
    turn.tx.execute(
        "INSERT OR REPLACE INTO admission
             (id, stage, device, rendezvous, key, proposal, heard_at, begun_at)
         VALUES (1, 1, ?1, ?2, ?3, ?4, ?5, ?5)",
        (
            device.0,
            proposal.transfer_id.as_ref(),
            proposal.transfer_key.as_ref(),
            proposal.encode_to_vec(),
            turn.now.0.cast_signed(),
        ),
    )?;
    turn.memory.devices_mut().transfer = TransferMemory::default();
    Ok(())
}

/// The old device's statement is about to leave.
pub(crate) fn changing(
    turn: &mut Turn<'_>,
    device: DeviceId,
    rendezvous: &[u8; 16],
    key: &TransferKey,
    entry: &waxwing_protocol::pb::DeviceEntry,
) -> Result<(), Fault> {
    turn.tx.execute(
        "INSERT OR REPLACE INTO admission
             (id, stage, device, rendezvous, key, entry, heard_at, begun_at)
         VALUES (1, 3, ?1, ?2, ?3, ?4, ?5, ?5)",
        (
            device.0,
            rendezvous,
            key.as_bytes(),
            entry.encode_to_vec(),
            turn.now.0.cast_signed(),
        ),
    )?;
    turn.memory.devices_mut().transfer = TransferMemory::default();
    Ok(())
}

/// The relay's log has the statement that admits the device.
pub(crate) fn admitted(
    turn: &mut Turn<'_>,
    device: DeviceId,
    statement: &SignedStatement,
    mailbox: MailboxId,
) -> Result<(), Fault> {
    let changed = turn.tx.execute(
        "UPDATE admission SET stage = 6, statement = ?2, mailbox = ?3, heard_at = ?4, begun_at = ?4
         WHERE device = ?1 AND stage IN (3, 4, 5)",
        (
            device.0,
            statement.encode_to_vec(),
            mailbox.0,
            turn.now.0.cast_signed(),
        ),
    )?;
    if changed > 0 {
        let this = account::load(turn.tx)?
            .ok_or_else(|| Fault::Broken("no account".into()))?
            .device();
        rows::fix_bounds(turn.tx, turn.tables(), this)?;
        let name = names::name_of_device(turn.tx, device)?;
        pairing::tell_admitted(turn, device, name);
        say_admission(turn)?;
    }
    Ok(())
}

/// The relay does not admit the device.
pub(crate) fn not_admitted(turn: &mut Turn<'_>, problem: &Problem) -> Result<(), Fault> {
    let Some(admitting) = read(turn.tx)? else {
        return Ok(());
    };
    if !matches!(
        admitting.stage,
        Stage::Changing | Stage::Outdated | Stage::Proposed
    ) {
        return Ok(());
    }
    let refused = admitting
        .key
        .seal(turn.rng, TO_NEW, &words(Words::Refused(PairingRefused {})));
    if let Some(meeting) = &mut turn.memory.devices_mut().transfer.meeting {
        meeting.say([refused]);
    }
    end(turn)?;
    pairing::tell_failed(turn, problem);
    Ok(())
}

/// Another statement came before the one that admits the device: a new one is proposed.
pub(crate) fn propose_again(turn: &mut Turn<'_>) -> Result<(), Fault> {
    turn.tx
        .execute("UPDATE admission SET stage = 4 WHERE stage IN (3, 5)", [])?;
    Ok(())
}

/// Whether two devices have something to say to each other.
pub(crate) fn under_way(tx: &Transaction<'_>) -> Result<bool, StoreError> {
    Ok(tx
        .prepare_cached("SELECT EXISTS (SELECT 1 FROM admission)")?
        .query_row([], |row| row.get(0))?)
}

/// When something is to be done without any event.
pub(crate) fn next_time(turn: &Turn<'_>) -> Result<Option<Time>, Fault> {
    // A revoked device does nothing any more, no matter what is left in its store.
    if turn.memory.is_revoked() {
        return Ok(None);
    }
    let Some(admitting) = read(turn.tx)? else {
        return Ok(None);
    };
    let over = over_at(&admitting);
    let devices = turn.memory.devices();
    let again = devices
        .and_then(|devices| devices.transfer.pull_again_at)
        .filter(|_| admitting.stage.is_new() && pulls(turn));
    Ok(again.map_or(Some(over), |again| Some(again.min(over))))
}

/// Whether a request for what is missing would leave.
fn pulls(turn: &Turn<'_>) -> bool {
    let devices = turn.memory.devices();
    let meeting = devices.and_then(|devices| devices.transfer.meeting.as_ref());
    meeting.is_some_and(Meeting::is_joined)
        && !turn.is_postponed(&Postponed::Meeting)
        && !pairs_there(turn)
}

/// Whether a pairing is at the one rendezvous that a link can be at.
fn pairs_there(turn: &Turn<'_>) -> bool {
    let devices = turn.memory.devices();
    let pairing = devices.and_then(|devices| devices.pairing.as_ref());
    pairing.is_some_and(|pairing| pairing.link() == LinkKind::Posting)
}

fn over_at(admitting: &Admitting) -> Time {
    let silent = admitting.heard_at.after(match admitting.stage {
        Stage::Agreed => ADMISSION_WITHIN,
        Stage::Leaving => LEAVING_FOR,
        _ => KEPT,
    });
    silent.min(admitting.begun_at.after(WITHIN))
}

/// The transfer, unless it is over: then it is ended here and now. To be asked before anything
/// is given or taken, and whenever the roster has changed.
fn in_force(turn: &mut Turn<'_>) -> Result<Option<Admitting>, Fault> {
    let Some(admitting) = read(turn.tx)? else {
        return Ok(None);
    };
    if over_at(&admitting) <= turn.now || !both_admitted(turn, &admitting) {
        expired(turn, &admitting)?;
        return Ok(None);
    }
    Ok(Some(admitting))
}

/// Whether the account, as far as is known here, has the device that gives and the one that
/// takes.
fn both_admitted(turn: &Turn<'_>, admitting: &Admitting) -> bool {
    let Some(own) = &turn.memory.account else {
        return admitting.stage == Stage::Agreed;
    };
    let other = match admitting.stage {
        // Not admitted yet: whether it will be is not this module's to say.
        Stage::Agreed => return true,
        Stage::Changing | Stage::Outdated | Stage::Proposed => None,
        Stage::Serving => Some(admitting.device),
        Stage::Pulling | Stage::Leaving => admitting.giver,
    };
    own.is_admitted() && other.is_none_or(|device| own.roster().device(device).is_some())
}

/// The own roster has changed: a transfer with a device that it no longer has is over.
pub(crate) fn own_roster_changed(turn: &mut Turn<'_>) -> Result<(), Fault> {
    in_force(turn).map(drop)
}

/// Meets the other device and says what is to be said.
pub(crate) fn pump(turn: &mut Turn<'_>) -> Result<(), Fault> {
    let Some(admitting) = in_force(turn)? else {
        if let Some(meeting) = turn.memory.devices_mut().transfer.meeting.take() {
            meeting.leave(turn);
        }
        return Ok(());
    };
    if turn.is_postponed(&Postponed::Meeting) {
        return Ok(());
    }
    if pairs_there(turn) {
        return Ok(());
    }
    if turn.memory.devices_mut().transfer.meeting.is_none() {
        let at = At::RendezvousId(Bytes::copy_from_slice(&admitting.rendezvous));
        turn.memory.devices_mut().transfer.meeting = Some(Meeting::new(LinkKind::Posting, at));
    }
    match admitting.stage {
        // Before the two have met it would only pile up.
        stage if stage.is_new() && pulls(turn) => pull(turn, &admitting),
        Stage::Outdated => propose(turn, &admitting)?,
        // Its proposal went with the process before.
        Stage::Proposed if turn.memory.devices_mut().transfer.proposal.is_none() => {
            propose(turn, &admitting)?;
        }
        _ => {}
    }
    if let Some(mut meeting) = turn.memory.devices_mut().transfer.meeting.take() {
        meeting.pump(turn, MeetingPurpose::Transfer);
        turn.memory.devices_mut().transfer.meeting = Some(meeting);
    }
    Ok(())
}

/// Something was said at the rendezvous. What does not open was not said by the other
/// device.
pub(crate) fn handle_message(turn: &mut Turn<'_>, body: &[u8]) -> Result<(), Fault> {
    let Some(admitting) = in_force(turn)? else {
        return Ok(());
    };
    let direction = if admitting.stage.is_new() {
        TO_NEW
    } else {
        TO_OLD
    };
    let Some(words) = admitting.key.open(direction, body) else {
        return Ok(());
    };
    turn.memory.devices_mut().transfer.unheard = 0;
    turn.memory.devices_mut().transfer.refused = 0;
    turn.tx.execute(
        "UPDATE admission SET heard_at = ?1",
        [turn.now.0.cast_signed()],
    )?;
    match (admitting.stage, words) {
        (Stage::Agreed, Words::Admission(admission)) => join(turn, &admitting, admission),
        (Stage::Agreed, Words::Proposal(proposal)) => agree_again(turn, &admitting, &proposal),
        (Stage::Pulling, Words::Chunk(chunk)) => take_in(turn, &admitting, chunk),
        (Stage::Agreed, Words::Refused(_)) => {
            end(turn)?;
            pairing::tell_failed(turn, &Problem::PairingRefused);
            Ok(())
        }
        (Stage::Pulling, Words::Refused(_)) => expired(turn, &admitting),
        (Stage::Serving, Words::Pull(pull)) if pull.admission => {
            if rows::count_repeat(turn.tx)? > REPEATS {
                return expired(turn, &admitting);
            }
            say_admission(turn)
        }
        (Stage::Serving, Words::Pull(pull)) => hand_over(turn, &admitting, &pull),
        (Stage::Serving, Words::Done(_)) => {
            send_sealed(turn, &admitting, TO_NEW, Words::Done(TransferDone {}));
            pairing::tell_done(turn, Some(admitting.device));
            end(turn)
        }
        (Stage::Leaving, Words::Done(_)) => finish(turn),
        (
            Stage::Proposed,
            Words::Consent(DeviceConsent {
                signature: Some(signature),
            }),
        ) => {
            let Some(proposal) = turn.memory.devices_mut().transfer.proposal.take() else {
                return Ok(());
            };
            let identity = account::own_identity(turn.tx)?;
            let signed = proposal.sign(turn.rng, &identity, signature);
            let mut roster = turn.account()?.roster().clone();
            if roster.extend(&signed).is_ok() {
                changes::add(turn.tx, &signed)?;
                set_stage(turn.tx, Stage::Changing)?;
            } else {
                set_stage(turn.tx, Stage::Outdated)?;
            }
            Ok(())
        }
        _ => Ok(()),
    }
}

/// The other device is gone for now, or the rendezvous is over: it is joined again, or else the
/// other would come back to another one, and what was on its way is asked for again.
pub(crate) fn left(turn: &mut Turn<'_>) {
    handle_link_lost(&mut turn.memory.devices_mut().transfer);
}

/// The relay refused: gives after how long the meeting is tried again.
pub(crate) fn handle_refusal(transfer: &mut TransferMemory) -> Span {
    handle_link_lost(transfer);
    let doublings = transfer.refused.min(REFUSED_DOUBLINGS);
    transfer.refused = transfer.refused.saturating_add(1);
    Span(REFUSED_AGAIN.0 << doublings)
}

/// The link, or the rendezvous, is no more.
pub(crate) fn handle_link_lost(transfer: &mut TransferMemory) {
    if let Some(meeting) = &mut transfer.meeting {
        meeting.lost();
    }
    transfer.pull_again_at = None;
    transfer.pulled_up_to = 0;
}

/// What the relay says of the meeting.
pub(crate) fn meeting(transfer: &mut TransferMemory) -> Option<&mut Meeting> {
    transfer.meeting.as_mut()
}

// ---- the new device ----

fn pull(turn: &mut Turn<'_>, admitting: &Admitting) {
    let now = turn.now;
    let transfer = &mut turn.memory.devices_mut().transfer;
    let waits = transfer.pull_again_at.is_some_and(|at| at > now);
    let ahead = admitting.stage != Stage::Pulling || admitting.next_chunk < transfer.pulled_up_to;
    if waits && ahead {
        return;
    }
    let doublings = transfer.unheard.min(DOUBLINGS);
    transfer.unheard = transfer.unheard.saturating_add(1);
    transfer.pull_again_at = Some(now.after(Span(AGAIN.0 << doublings)));
    transfer.pulled_up_to = admitting.next_chunk + CHUNKS_PER_PULL;
    if admitting.stage == Stage::Leaving {
        return send_sealed(turn, admitting, TO_OLD, Words::Done(TransferDone {}));
    }
    let pull = TransferPull {
        admission: admitting.stage == Stage::Agreed,
        index: admitting.next_chunk,
        cursor: admitting
            .cursor
            .as_deref()
            .and_then(|cursor| ArchiveCursor::decode(cursor).ok()),
    };
    send_sealed(turn, admitting, TO_OLD, Words::Pull(pull));
}

/// This device was admitted: it becomes one of the account's.
fn join(turn: &mut Turn<'_>, admitting: &Admitting, admission: Admission) -> Result<(), Fault> {
    let proposal = kept_proposal(admitting)?;
    let (Some(statement), Ok(mailbox)) = (
        admission.statement,
        MailboxId::try_from(&admission.mailbox_id),
    ) else {
        return Ok(());
    };
    // The very statement that it agreed to, signed by the device that made it.
    if statement.statement != proposal.statement {
        return Ok(());
    }
    let address = Address::parse(&proposal.address)
        .map_err(|_| Fault::Broken("the address is not valid".into()))?;
    let giver = signer(&statement);
    let mut roster = proposal.roster;
    roster.push(statement);
    match account::adopt(turn.tx, &roster) {
        Ok(_) => {}
        Err(account::NotExtended::Store(error)) => return Err(error.into()),
        Err(_) => return Ok(()),
    }
    registration::joined(turn.tx, &address, mailbox)?;
    if let Some(key) = backup::key::checked(&admission.backup_key) {
        backup::key::store_public(turn.tx, &key)?;
    }
    turn.tx.execute(
        "UPDATE admission SET stage = 2, proposal = NULL, next_chunk = 0, begun_at = ?1,
             giver = ?2",
        (
            turn.now.0.cast_signed(),
            giver.as_ref().map(|device| device.0),
        ),
    )?;
    turn.memory.devices_mut().transfer.pull_again_at = None;
    turn.memory.devices_mut().transfer.pulled_up_to = 0;
    pairing::tell_joined(turn, admitting.device, &address);
    changes::own_roster_changed(turn)
}

/// The device that signed a statement.
fn signer(signed: &SignedStatement) -> Option<DeviceId> {
    let statement = Statement::decode(signed.statement.clone()).ok()?;
    match statement.signer? {
        Signer::DeviceId(device) => DeviceId::try_from(&device).ok(),
        Signer::RecoveryKey(_) => None,
    }
}

/// Checks a proposal that took another's place, and agrees to it.
fn agree_again(
    turn: &mut Turn<'_>,
    admitting: &Admitting,
    proposal: &DeviceProposal,
) -> Result<(), Fault> {
    let before = kept_proposal(admitting)?;
    let same_account = match (before.roster.first(), proposal.roster.first()) {
        (Some(one), Some(other)) => one.statement == other.statement,
        _ => false,
    };
    let same_address = Address::same(&before.address, &proposal.address);
    if !same_account || !same_address {
        return Ok(());
    }
    let Some(statement) = pairing::checked(turn, proposal)? else {
        return Ok(());
    };
    let kept = DeviceProposal {
        transfer_id: before.transfer_id,
        transfer_key: before.transfer_key,
        ..proposal.clone()
    };
    turn.tx
        .execute("UPDATE admission SET proposal = ?1", [kept.encode_to_vec()])?;
    let identity = account::own_identity(turn.tx)?;
    let signature = statement.consent(turn.rng, &identity);
    let consent = DeviceConsent {
        signature: Some(signature),
    };
    send_sealed(turn, admitting, TO_OLD, Words::Consent(consent));
    Ok(())
}

fn take_in(turn: &mut Turn<'_>, admitting: &Admitting, chunk: TransferChunk) -> Result<(), Fault> {
    let Some(contents) = chunk.chunk else {
        return Ok(());
    };
    // One that came before, or that is too early.
    if chunk.index != admitting.next_chunk {
        return Ok(());
    }
    let (next, done, total) = (contents.next.clone(), contents.done, contents.total);
    turn.tx.execute_batch("SAVEPOINT chunk")?;
    match archive::import(turn.tx, turn.tables(), turn.now, contents) {
        Ok(()) => turn.tx.execute_batch("RELEASE chunk")?,
        Err(archive::NotImported::Store(error)) => return Err(error.into()),
        // The other device's mistake, or a later version: asking again would bring the same.
        Err(_) => {
            turn.tx.execute_batch("ROLLBACK TO chunk; RELEASE chunk")?;
            return expired(turn, admitting);
        }
    }
    turn.tx.execute(
        "UPDATE admission SET next_chunk = ?1, cursor = ?2",
        (
            (admitting.next_chunk + 1).cast_signed(),
            next.as_ref().map(ArchiveCursor::encode_to_vec),
        ),
    )?;
    tell_progress(turn, done, total);
    if next.is_none() {
        deleting::apply_all(turn)?;
        set_stage(turn.tx, Stage::Leaving)?;
        turn.memory.devices_mut().transfer.pull_again_at = None;
    }
    Ok(())
}

/// Everything is there, and the old device knows, or was told often enough.
fn finish(turn: &mut Turn<'_>) -> Result<(), Fault> {
    pairing::tell_done(turn, None);
    end(turn)?;
    // What was said since the transfer began is not in it. Where this device has to rejoin, it
    // asks for that then.
    for group in groups::in_state(turn.tx, StateKind::Active)? {
        gaps::ask_for_all(turn, &group)?;
    }
    turn.memory
        .due_mut()
        .groups
        .extend(groups::needing_work(turn.tx)?);
    Ok(())
}

fn kept_proposal(admitting: &Admitting) -> Result<DeviceProposal, Fault> {
    admitting
        .proposal
        .as_deref()
        .and_then(|bytes| DeviceProposal::decode(bytes).ok())
        .ok_or_else(|| Fault::Broken("an admission without its proposal".into()))
}

// ---- the old device ----

fn say_admission(turn: &mut Turn<'_>) -> Result<(), Fault> {
    let Some(admitting) = read(turn.tx)? else {
        return Ok(());
    };
    let statement = admitting
        .statement
        .as_deref()
        .and_then(|bytes| SignedStatement::decode(bytes).ok());
    let admission = Admission {
        statement,
        mailbox_id: admitting.mailbox.clone().unwrap_or_default().into(),
        backup_key: backup::key::public(turn.tx)?.unwrap_or_default().into(),
    };
    send_sealed(turn, &admitting, TO_NEW, Words::Admission(admission));
    Ok(())
}

/// Proposes a statement in the place of one that came too late.
fn propose(turn: &mut Turn<'_>, admitting: &Admitting) -> Result<(), Fault> {
    let entry = admitting
        .entry
        .as_deref()
        .and_then(|bytes| waxwing_protocol::pb::DeviceEntry::decode(bytes).ok())
        .ok_or_else(|| Fault::Broken("an admission without its device".into()))?;
    let own = turn.account()?;
    let statement = Proposal::add_device(turn.now, own.roster(), own.device(), entry);
    if Proposal::check(own.roster(), statement.bytes().clone()).is_err() {
        // There already, or there is no room for it any more.
        return not_admitted(turn, &Problem::RosterChangedMeanwhile);
    }
    let proposal = DeviceProposal {
        roster: account::statements(turn.tx)?,
        address: own.address().display().to_owned(),
        statement: statement.bytes().clone(),
        ..DeviceProposal::default()
    };
    turn.memory.devices_mut().transfer.proposal = Some(statement);
    set_stage(turn.tx, Stage::Proposed)?;
    send_sealed(turn, admitting, TO_NEW, Words::Proposal(proposal));
    Ok(())
}

/// Gives the chunks that were asked for, if the place is one that the new device was given.
fn hand_over(turn: &mut Turn<'_>, admitting: &Admitting, pull: &TransferPull) -> Result<(), Fault> {
    let asked = pull.cursor.as_ref().map(ArchiveCursor::encode_to_vec);
    let first = i64::try_from(pull.index).unwrap_or(i64::MAX);
    let is_known = rows::is_place(turn.tx, first, asked.as_deref().unwrap_or_default())?;
    let is_news = is_known && rows::has_before(turn.tx, first)?;
    if !is_news && rows::count_repeat(turn.tx)? > REPEATS {
        return expired(turn, admitting);
    }
    // What was asked for before is still on its way.
    let meeting = turn.memory.devices_mut().transfer.meeting.as_ref();
    if !is_known || meeting.is_none_or(Meeting::is_behind) {
        return Ok(());
    }
    let mut cursor = pull.cursor.clone();
    for index in (pull.index..).take(usize::try_from(CHUNKS_PER_PULL).unwrap_or(1)) {
        let upto = archive::Reach::UpTo {
            last_entry: admitting.last_entry,
        };
        let chunk = archive::export(turn.tx, turn.tables(), cursor.take(), upto)?;
        cursor.clone_from(&chunk.next);
        if let Some(next) = &cursor {
            let number = i64::try_from(index).unwrap_or(i64::MAX).saturating_add(1);
            rows::give_place(turn.tx, number, &next.encode_to_vec())?;
        }
        let (done, total) = (chunk.done, chunk.total);
        let chunk = TransferChunk {
            index,
            chunk: Some(chunk),
        };
        send_sealed(turn, admitting, TO_NEW, Words::Chunk(chunk));
        tell_progress(turn, done, total);
        if cursor.is_none() {
            break;
        }
    }
    Ok(())
}

// ---- both ----

fn expired(turn: &mut Turn<'_>, admitting: &Admitting) -> Result<(), Fault> {
    if admitting.stage == Stage::Leaving {
        return finish(turn);
    }
    let problem = match admitting.stage {
        Stage::Agreed => Problem::PairingBroken,
        _ => Problem::TransferEnded,
    };
    if admitting.stage == Stage::Serving {
        // It need not go on asking until its own time is over.
        send_sealed(turn, admitting, TO_NEW, Words::Refused(PairingRefused {}));
    }
    end(turn)?;
    crate::archive::forget_conversations(turn.tx)?;
    pairing::tell_failed(turn, &problem);
    turn.memory
        .due_mut()
        .groups
        .extend(groups::needing_work(turn.tx)?);
    Ok(())
}

/// Forgets a transfer without a word, since this device begins another life.
pub(crate) fn abandon(tx: &Transaction<'_>) -> Result<(), StoreError> {
    tx.execute("DELETE FROM admission", [])?;
    rows::forget_bounds(tx)
}

fn end(turn: &mut Turn<'_>) -> Result<(), Fault> {
    abandon(turn.tx)?;
    let transfer = std::mem::take(&mut turn.memory.devices_mut().transfer);
    if let Some(mut meeting) = transfer.meeting {
        meeting.pump(turn, MeetingPurpose::Transfer);
        meeting.leave(turn);
    }
    Ok(())
}

fn send_sealed(turn: &mut Turn<'_>, admitting: &Admitting, direction: &[u8], body: Words) {
    let sealed = admitting.key.seal(turn.rng, direction, &words(body));
    if let Some(meeting) = &mut turn.memory.devices_mut().transfer.meeting {
        meeting.say([sealed]);
    }
}

const fn words(body: Words) -> TransferWords {
    TransferWords { body: Some(body) }
}

fn tell_progress(turn: &mut Turn<'_>, done: u64, total: u64) {
    turn.notify(Notice::Transfer(TransferProgress {
        what: TransferOf::History,
        done: done.min(total),
        total,
    }));
}
