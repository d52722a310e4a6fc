//! People with several devices: what they do with them, and what those show.
//!
//! **Elsewhere**: the tests are in `tests/tests/devices/` and `tests/tests/attacks/`.

use waxwing_engine::{
    EventRefused,
    api::{
        Account, ApproveDevice, ConfirmDevice, Device, LinkDevice, Notice, PairingChanged,
        PairingStage, Recover, RecoveryChanged, RecoveryStage, Request, Response, RevokeDevice,
    },
};
use waxwing_protocol::time::Span;

use crate::{Passing, PersonId, RelayPort, World};

/// The address of whoever has several devices.
pub const ALICE: &str = "alice@example.org";

/// Where everybody is.
pub const RELAY: &str = "wss://relay.example";

/// Bob and Alice write each other so many messages.
pub fn converse<R: RelayPort>(
    scene: &mut World<R>,
    alice: PersonId,
    bob: PersonId,
    messages: usize,
) {
    for number in 0..messages {
        let (from, to) = if number % 3 == 0 {
            (alice, bob)
        } else {
            (bob, alice)
        };
        let text = format!("message {number} {}", "x".repeat(600));
        scene.send(from, to, &text);
        if number == 0 {
            scene.run_for(Span::seconds(5));
        }
    }
    scene.run_for(Span::minutes(2));
    assert_eq!(scene.texts(alice, bob).len(), messages);
}

/// Begins linking, on the new device.
pub fn link<R: RelayPort>(scene: &mut World<R>, new: PersonId) {
    let link = LinkDevice {
        relay: RELAY.into(),
        pin: Some(crate::pin()),
        name: "Kitchen tablet".into(),
    };
    scene.command(new, Request::LinkDevice(link)).unwrap();
    scene.run_for(Span::seconds(2));
}

/// The code that the new device shows.
pub fn code<R: RelayPort>(scene: &World<R>, new: PersonId) -> String {
    newest(scene, new, |notice| match notice {
        Notice::Pairing(changed) => changed.code.clone(),
        _ => None,
    })
    .unwrap()
}

/// Types a code on the old device.
pub fn approve<R: RelayPort>(
    scene: &mut World<R>,
    old: PersonId,
    code: &str,
) -> Result<(), EventRefused> {
    let approve = ApproveDevice { code: code.into() };
    scene.command(old, Request::ApproveDevice(approve))?;
    scene.run_for(Span::seconds(5));
    Ok(())
}

/// Answers the question whether the device is to be admitted.
pub fn confirm<R: RelayPort>(
    scene: &mut World<R>,
    old: PersonId,
    accept: bool,
) -> Result<(), EventRefused> {
    let confirm = ConfirmDevice { accept };
    scene.command(old, Request::ConfirmDevice(confirm))?;
    scene.run_for(Span::seconds(5));
    Ok(())
}

/// Links a new device of Alice's, all the way.
pub fn linked<R: RelayPort>(scene: &mut World<R>, old: PersonId) -> PersonId {
    linked_as(scene, old, ALICE)
}

/// Links a new device of whoever has this address, all the way.
pub fn linked_as<R: RelayPort>(scene: &mut World<R>, old: PersonId, address: &str) -> PersonId {
    let new = scene.add(address);
    link_all_the_way(scene, old, new);
    new
}

/// Links this device, all the way.
pub fn link_all_the_way<R: RelayPort>(scene: &mut World<R>, old: PersonId, new: PersonId) {
    link(scene, new);
    let code = code(scene, new);
    approve(scene, old, &code).unwrap();
    assert_eq!(stage(scene, old), Some(PairingStage::Confirm));
    confirm(scene, old, true).unwrap();
    scene.run_for(Span::minutes(4));
    assert_eq!(stage(scene, new), Some(PairingStage::Done));
    assert_eq!(stage(scene, old), Some(PairingStage::Done));
}

/// How far linking is.
pub fn pairing<R: RelayPort>(scene: &World<R>, id: PersonId) -> Option<PairingChanged> {
    newest(scene, id, |notice| match notice {
        Notice::Pairing(changed) => Some(changed.clone()),
        _ => None,
    })
}

/// Its stage.
pub fn stage<R: RelayPort>(scene: &World<R>, id: PersonId) -> Option<PairingStage> {
    pairing(scene, id).map(|changed| changed.stage)
}

/// Why it failed.
pub fn pairing_problem<R: RelayPort>(scene: &World<R>, id: PersonId) -> Option<String> {
    pairing(scene, id)?.problem.map(|problem| problem.code)
}

/// The account's devices, as a device lists them.
pub fn devices<R: RelayPort>(scene: &mut World<R>, id: PersonId) -> Vec<Device> {
    match scene.command(id, Request::Devices).unwrap() {
        Response::Devices(waxwing_engine::api::Devices { devices }) => devices,
        _ => panic!("devices"),
    }
}

/// Takes a device's rights away.
pub fn revoke<R: RelayPort>(
    scene: &mut World<R>,
    by: PersonId,
    device: &str,
) -> Result<(), EventRefused> {
    let device = device.into();
    scene.command(by, Request::RevokeDevice(RevokeDevice { device }))?;
    Ok(())
}

/// The recovery words of the account, and their QR text.
pub fn words<R: RelayPort>(scene: &mut World<R>, id: PersonId) -> (String, String) {
    match scene.command(id, Request::Account).unwrap() {
        Response::Account(account) => {
            let Account {
                recovery_words,
                recovery_qr,
                ..
            } = *account;
            (recovery_words.unwrap(), recovery_qr.unwrap())
        }
        _ => panic!("account"),
    }
}

/// Recovering Alice's account with these words.
pub fn recovering(words: &str) -> Recover {
    Recover {
        address: ALICE.into(),
        relay: RELAY.into(),
        pin: Some(crate::pin()),
        words: words.into(),
        name: "New phone".into(),
        from_file: false,
        revoke_others: false,
    }
}

/// Begins a recovery, and gives it time.
pub fn recover<R: RelayPort>(scene: &mut World<R>, new: PersonId, asked: Recover) {
    scene.command(new, Request::Recover(asked)).unwrap();
    scene.run_for(Span::minutes(2));
}

/// How far recovery is, and what stood in its way.
pub fn outcome<R: RelayPort>(scene: &World<R>, id: PersonId) -> (RecoveryStage, Option<String>) {
    let changed: RecoveryChanged = newest(scene, id, |notice| match notice {
        Notice::Recovery(changed) => Some(changed.clone()),
        _ => None,
    })
    .unwrap();
    (changed.stage, changed.problem.map(|problem| problem.code))
}

/// Whether an alarm of this code stands.
pub fn is_alarmed<R: RelayPort>(scene: &mut World<R>, id: PersonId, code: &str) -> bool {
    let alarms = scene.status(id).alarms;
    alarms.iter().any(|alarm| alarm.code == code)
}

/// The newest notice of a kind.
pub fn newest<T, R: RelayPort>(
    scene: &World<R>,
    id: PersonId,
    of: impl Fn(&Notice) -> Option<T>,
) -> Option<T> {
    scene.person(id).notices.iter().rev().find_map(of)
}

/// Runs until somebody is given their `at`-th frame from now; `false` where there is none
/// within `span`.
pub fn run_until_frame<R: RelayPort>(
    scene: &mut World<R>,
    of: PersonId,
    at: usize,
    span: Span,
) -> bool {
    let mut frames = 0;
    scene.watch(move |id, passing| {
        if id == of && matches!(passing, Passing::Came(_)) {
            frames += 1;
        }
        frames == at
    });
    scene.run_until_seen_within(span)
}
