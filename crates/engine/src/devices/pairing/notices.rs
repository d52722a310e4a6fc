//! What people see while a device is linked.

use waxwing_protocol::{address::Address, ids::DeviceId};

use super::code::PairingCode;
use crate::{
    account,
    api::{Notice, PairingChanged, PairingStage, Problem},
    devices::names,
    settings,
    turn::{Fault, Turn},
};

pub(super) const fn changed(stage: PairingStage) -> PairingChanged {
    PairingChanged {
        stage,
        code: None,
        qr: None,
        device: None,
        name: None,
        address: None,
        problem: None,
    }
}

pub(super) fn notify_stage(turn: &mut Turn<'_>, stage: PairingStage) {
    turn.notify(Notice::Pairing(changed(stage)));
}

pub(super) fn tell_code(turn: &mut Turn<'_>, code: &PairingCode) -> Result<(), Fault> {
    let device = account::pending_device(turn.tx)?;
    let mut changed = changed(PairingStage::Code);
    changed.code = Some(code.text());
    changed.qr = settings::relay(turn.tx)?.map(|relay| code.qr_text(&relay));
    changed.device = device.map(names::short);
    turn.notify(Notice::Pairing(changed));
    Ok(())
}

/// The old device: the relay has admitted the new one.
pub(in crate::devices) fn tell_admitted(
    turn: &mut Turn<'_>,
    device: DeviceId,
    name: Option<String>,
) {
    let mut changed = changed(PairingStage::Admitted);
    changed.device = Some(names::short(device));
    changed.name = name;
    turn.notify(Notice::Pairing(changed));
}

/// The new device: it is one of the account's.
pub(in crate::devices) fn tell_joined(turn: &mut Turn<'_>, device: DeviceId, address: &Address) {
    let mut changed = changed(PairingStage::Admitted);
    changed.device = Some(names::short(device));
    changed.address = Some(address.display().to_owned());
    turn.notify(Notice::Pairing(changed));
}

/// Everything is handed over.
pub(in crate::devices) fn tell_done(turn: &mut Turn<'_>, device: Option<DeviceId>) {
    let mut changed = changed(PairingStage::Done);
    changed.device = device.map(names::short);
    turn.notify(Notice::Pairing(changed));
}

/// It ended early.
pub(in crate::devices) fn tell_failed(turn: &mut Turn<'_>, problem: &Problem) {
    let mut changed = changed(PairingStage::Failed);
    changed.problem = Some(problem.report());
    turn.notify(Notice::Pairing(changed));
}
