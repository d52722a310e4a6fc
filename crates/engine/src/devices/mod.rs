//! Several devices of one account: admitting and revoking them, and keeping them all up to
//! date.
//!
//! - [`registration`]: an address is verified, and bound to a new account.
//! - [`pairing`]: a new device and an old one agree on keys by a code, and the person admits
//!   it on the old one.
//! - [`changes`]: statements of the roster, on their way to the relay.
//! - [`transfer`]: copies the archive from one device to the other.
//! - [`archive`]: the content of the archive, chunk by chunk.
//! - [`backup`]: the archive, sealed for the recovery key, at the relay or in a file.
//! - [`recovery`]: a device that admits itself with the recovery key.
//! - [`lock`]: who may register the address.
//! - [`closing`]: deleting the account.
//! - [`names`]: the names of devices.
//!
//! **Elsewhere**: what a roster may contain is in `waxwing_protocol::roster`; `conversation`
//! applies a change of devices to conversations; `trust` checks that the key log has the same
//! roster as this device.
//!
//! **Always**: open work follows from the tables, except a pairing that has not led to a
//! statement yet, and a backup that is being made: those end with the process.

pub(crate) mod archive;
pub(crate) mod backup;
pub(crate) mod changes;
pub(crate) mod closing;
pub(crate) mod hooks;
pub(crate) mod lock;
pub(crate) mod names;
pub(crate) mod pairing;
pub(crate) mod recovery;
pub(crate) mod registration;
pub(crate) mod rendezvous;
pub(crate) mod transfer;

use waxwing_protocol::{
    pb::{Error, ErrorCode, RendezvousJoined},
    time::{Span, Time},
};

use crate::{
    api::Problem,
    containment::ErrorOwner,
    event::LinkKind,
    link::{self, MeetingPurpose},
    memory::{Memory, Remembered},
    turn::{Fault, Postponed, Turn},
};

/// What devices keep in memory.
#[derive(Default)]
pub(crate) struct DevicesMemory {
    pub pairing: Option<pairing::Pairing>,
    pub transfer: transfer::TransferMemory,
    pub backup: backup::BackupMemory,
    pub recovery: recovery::RecoveryMemory,
    /// Whether the home is being erased.
    pub erases_home: bool,
    /// Whether there is something that the last backup does not have.
    pub changed_since_backup: bool,
}

impl Remembered for DevicesMemory {
    fn handle_link_lost(&mut self, link: LinkKind) {
        if let Some(pairing) = &mut self.pairing
            && pairing.link() == link
        {
            pairing.lost();
        }
        match link {
            LinkKind::Posting => transfer::handle_link_lost(&mut self.transfer),
            LinkKind::Mailbox => backup::lost(&mut self.backup),
        }
    }
}

impl Memory {
    pub(crate) fn devices(&self) -> Option<&DevicesMemory> {
        self.states.get()
    }

    pub(crate) fn devices_mut(&mut self) -> &mut DevicesMemory {
        self.states.get_mut()
    }
}

/// Whether the mailbox link is useful although there is no account yet.
pub(crate) fn wants_mailbox(turn: &Turn<'_>) -> Result<bool, Fault> {
    Ok(pairs_on(turn, LinkKind::Mailbox) || recovery::wants_mailbox(turn.tx)?)
}

/// Whether the posting link is useful to devices.
pub(crate) fn wants_posting(turn: &Turn<'_>) -> Result<bool, Fault> {
    Ok(pairs_on(turn, LinkKind::Posting)
        || transfer::under_way(turn.tx)?
        || recovery::wants_posting(turn.tx)?)
}

/// Does what has become possible.
pub(crate) fn pump(turn: &mut Turn<'_>) -> Result<(), Fault> {
    pairing::pump(turn);
    turn.run_contained(ErrorOwner::Part("deleting the account"), closing::pump)?;
    turn.run_contained(ErrorOwner::Part("roster changes"), changes::pump)?;
    turn.run_contained(ErrorOwner::Part("transfer"), transfer::pump)?;
    turn.run_contained(ErrorOwner::Part("recovery"), recovery::pump)?;
    turn.run_contained(ErrorOwner::Part("lock"), lock::pump)?;
    let backup = turn.run_contained(ErrorOwner::Part("backup"), backup::pump)?;
    if backup.is_none() {
        turn.postpone(Postponed::Backup, Span::hours(1));
    }
    Ok(())
}

/// When the next thing is to be done without any event.
pub(crate) fn next_time(turn: &Turn<'_>) -> Result<Option<Time>, Fault> {
    let pairing = current_pairing(turn);
    let times = [
        pairing.map(pairing::Pairing::until),
        transfer::next_time(turn)?,
        backup::next_time(turn)?,
        closing::next_time(turn)?,
    ];
    Ok(times.into_iter().flatten().min())
}

/// A rendezvous was joined.
pub(crate) fn joined(
    turn: &mut Turn<'_>,
    meets: MeetingPurpose,
    joined: RendezvousJoined,
) -> Result<(), Fault> {
    match meets {
        MeetingPurpose::Pairing => pairing::handle_joined(turn, joined),
        MeetingPurpose::Transfer => {
            if let Some(meeting) = transfer::meeting(&mut turn.memory.devices_mut().transfer) {
                meeting.joined();
            }
            Ok(())
        }
    }
}

/// The relay has taken what was said.
pub(crate) fn said(turn: &mut Turn<'_>, meets: MeetingPurpose) {
    let devices = turn.memory.devices_mut();
    let meeting = match meets {
        MeetingPurpose::Pairing => devices.pairing.as_mut().map(pairing::Pairing::meeting),
        MeetingPurpose::Transfer => transfer::meeting(&mut devices.transfer),
    };
    if let Some(meeting) = meeting {
        meeting.sent();
    }
}

/// What was to be said at a rendezvous was not: it is joined again.
pub(crate) fn handle_not_sent(turn: &mut Turn<'_>, meets: MeetingPurpose) {
    let devices = turn.memory.devices_mut();
    match meets {
        MeetingPurpose::Pairing => {
            if let Some(pairing) = &mut devices.pairing {
                pairing.lost();
            }
        }
        MeetingPurpose::Transfer => transfer::handle_link_lost(&mut devices.transfer),
    }
}

/// An error of this program's came up in what was said at the rendezvous of a link, and was
/// undone: linking ends, a transfer is taken up again later.
pub(crate) fn failed(turn: &mut Turn<'_>, meets: MeetingPurpose) {
    match meets {
        MeetingPurpose::Pairing => {
            turn.memory.devices_mut().pairing = None;
            pairing::tell_failed(turn, &Problem::PairingBroken);
        }
        MeetingPurpose::Transfer => {
            transfer::handle_link_lost(&mut turn.memory.devices_mut().transfer);
            turn.postpone(Postponed::Meeting, Span::minutes(1));
        }
    }
}

/// What the two devices at the rendezvous of a link meet for.
pub(crate) fn meets_for(turn: &Turn<'_>, link: LinkKind) -> MeetingPurpose {
    if pairs_on(turn, link) {
        MeetingPurpose::Pairing
    } else {
        MeetingPurpose::Transfer
    }
}

/// The relay refused to let this device join, or to hand something on.
pub(crate) fn meeting_refused(turn: &mut Turn<'_>, meets: MeetingPurpose, error: &Error) {
    match meets {
        MeetingPurpose::Pairing => pairing::handle_refusal(turn, error),
        MeetingPurpose::Transfer => {
            let again = transfer::handle_refusal(&mut turn.memory.devices_mut().transfer);
            let again = match error.code() {
                ErrorCode::RateLimited | ErrorCode::Unavailable => {
                    link::retry_after(error).max(again)
                }
                _ => again,
            };
            turn.postpone(Postponed::Meeting, again);
        }
    }
}

/// Something was said at the rendezvous of a link.
pub(crate) fn handle_message(
    turn: &mut Turn<'_>,
    link: LinkKind,
    body: &[u8],
) -> Result<(), Fault> {
    if pairs_on(turn, link) {
        pairing::handle_message(turn, body)
    } else if link == LinkKind::Posting {
        transfer::handle_message(turn, body)
    } else {
        Ok(())
    }
}

/// The other one left the rendezvous of a link.
pub(crate) fn left(turn: &mut Turn<'_>, link: LinkKind) {
    if pairs_on(turn, link) {
        pairing::handle_peer_left(turn);
    } else if link == LinkKind::Posting {
        transfer::left(turn);
    }
}

fn pairs_on(turn: &Turn<'_>, link: LinkKind) -> bool {
    current_pairing(turn).is_some_and(|pairing| pairing.link() == link)
}

fn current_pairing<'t>(turn: &'t Turn<'_>) -> Option<&'t pairing::Pairing> {
    turn.memory.devices()?.pairing.as_ref()
}
