//! Sends settings to this account's other devices, and receives theirs.
//!
//! **Always**: settings are gathered for [`super::GATHERED_FOR`], and one message has as many as fit.
//! Settings from a later version that are unknown here are kept and passed on.

use prost::Message as _;
use waxwing_protocol::{
    ids::DeviceId,
    pb::{self, Envelope, Registers, RegistersWanted, envelope},
    time::{Span, Time},
};

use super::{
    GATHERED_FOR, KEY_BYTES, SettingKind, SyncedSetting, VALUE_BYTES, apply, set_told,
    settings_after, store_if_later, untold,
};
use crate::{
    conversation::{
        Kind,
        groups::{self, GroupRecord},
        notes,
    },
    outbox,
    settings::{self, Setting},
    turn::{Fault, Postponed, Turn},
};

/// Settings that are read at a time.
const AT_ONCE: u32 = 512;

/// Bytes of settings in one message.
const MESSAGE_BYTES: usize = 48 << 10;

/// A setting's time may be ahead of this device's clock by so much.
const AHEAD_MAX: Span = Span::hours(24);

/// Tells what was gathered, and asks for what a backup did not have.
pub(crate) fn pump(turn: &mut Turn<'_>) -> Result<(), Fault> {
    ask_after_recovery(turn)?;
    if turn.is_postponed(&Postponed::SyncedSettings) {
        return Ok(());
    }
    let untold = untold(turn.tx, AT_ONCE)?;
    if untold.is_empty() {
        return Ok(());
    }
    if turn.account()?.roster().devices().len() > 1 {
        send_settings(turn, &untold)?;
    }
    for one in &untold {
        set_told(turn.tx, one)?;
    }
    if untold.len() == AT_ONCE as usize {
        turn.postpone(Postponed::SyncedSettings, GATHERED_FOR);
    }
    Ok(())
}

/// A recovered device asks the others for all settings, once they have it in the notes.
fn ask_after_recovery(turn: &mut Turn<'_>) -> Result<(), Fault> {
    if settings::read(turn.tx, Setting::SyncedSettingsWanted)? != Some(true) {
        return Ok(());
    }
    let Some(notes) = crate::conversation::notes(turn.tx)? else {
        return Ok(());
    };
    let group = groups::for_sending(turn.tx, notes.id)?;
    if group.is_some_and(|group| group.state.is_active()) {
        settings::forget(turn.tx, Setting::SyncedSettingsWanted)?;
        queue(turn, envelope::Body::RegistersWanted(RegistersWanted {}))?;
    }
    Ok(())
}

/// Says these in the notes.
fn send_settings(turn: &mut Turn<'_>, registers: &[SyncedSetting]) -> Result<(), Fault> {
    let mut part = Registers::default();
    let mut bytes = 0;
    for one in registers {
        let wire = pb::Register {
            kind: one.kind,
            key: one.key.clone().into(),
            value: one.value.clone().into(),
            changed_at_ms: one.changed_at.0,
            device_id: one.device.to_bytes(),
        };
        if one.kind == SettingKind::Draft as u32 {
            send_draft(turn, &one.key, wire)?;
            continue;
        }
        let length = wire.encoded_len();
        if bytes + length > MESSAGE_BYTES && bytes > 0 {
            queue(turn, envelope::Body::Registers(std::mem::take(&mut part)))?;
            bytes = 0;
        }
        bytes += length;
        part.registers.push(wire);
    }
    if part.registers.is_empty() {
        return Ok(());
    }
    queue(turn, envelope::Body::Registers(part))
}

/// A draft goes in a message of its own, whose copy here goes when the draft does.
fn send_draft(turn: &mut Turn<'_>, key: &[u8], draft: pb::Register) -> Result<(), Fault> {
    let notes = notes::conversation(turn)?;
    let bytes = envelope(
        turn.now,
        envelope::Body::Registers(Registers {
            registers: vec![draft],
        }),
    );
    outbox::add_draft(turn.tx, turn.now, notes.id, key, &bytes)?;
    turn.memory.due_mut().conversations.insert(notes.id);
    Ok(())
}

fn envelope(now: Time, body: envelope::Body) -> Vec<u8> {
    let envelope = Envelope {
        sent_at_ms: now.0,
        body: Some(body),
        ..Envelope::default()
    };
    envelope.encode_to_vec()
}

fn queue(turn: &mut Turn<'_>, body: envelope::Body) -> Result<(), Fault> {
    let notes = notes::conversation(turn)?;
    let bytes = envelope(turn.now, body);
    outbox::add(turn.tx, turn.now, notes.id, None, &bytes, None)?;
    turn.memory.due_mut().conversations.insert(notes.id);
    Ok(())
}

/// Another device of this account has set these.
pub(super) fn handle_settings(
    turn: &mut Turn<'_>,
    group: &GroupRecord,
    registers: &Registers,
) -> Result<(), Fault> {
    if !is_notes(turn, group)? {
        return Ok(());
    }
    let newest = turn.now.after(AHEAD_MAX);
    for wire in &registers.registers {
        let Ok(device) = DeviceId::try_from(&wire.device_id) else {
            continue;
        };
        if wire.key.len() > KEY_BYTES || wire.value.len() > VALUE_BYTES {
            continue;
        }
        let register = SyncedSetting {
            kind: wire.kind,
            key: wire.key.to_vec(),
            value: wire.value.to_vec(),
            changed_at: Time(wire.changed_at_ms.min(newest.0)),
            device,
        };
        if store_if_later(turn.tx, &register, false)? {
            apply::apply(turn, &register)?;
        }
    }
    Ok(())
}

/// Another device asks for all.
pub(super) fn handle_settings_request(
    turn: &mut Turn<'_>,
    group: &GroupRecord,
) -> Result<(), Fault> {
    if !is_notes(turn, group)? {
        return Ok(());
    }
    let mut at: (u32, Vec<u8>) = (0, Vec::new());
    loop {
        let some = settings_after(turn.tx, (at.0, &at.1), AT_ONCE)?;
        let Some(last) = some.last() else {
            return Ok(());
        };
        at = (last.kind, last.key.clone());
        send_settings(turn, &some)?;
    }
}

/// This device does not know what the others have set: asks for all of it.
pub(super) fn request_all(turn: &mut Turn<'_>, group: &GroupRecord) -> Result<(), Fault> {
    if is_notes(turn, group)? {
        queue(turn, envelope::Body::RegistersWanted(RegistersWanted {}))?;
    }
    Ok(())
}

/// Whether the group is one of this account's notes.
fn is_notes(turn: &Turn<'_>, group: &GroupRecord) -> Result<bool, Fault> {
    let Some(conversation) = group.conversation else {
        return Ok(false);
    };
    let found = crate::conversation::find(turn.tx, conversation)?;
    let is_there = groups::find(turn.tx, group.id)?.is_some();
    Ok(is_there && found.is_some_and(|found| found.kind == Kind::Notes))
}
