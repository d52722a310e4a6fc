//! Devices of one account, linked, revoked, backed up and recovered.

mod world;

use data_encoding::BASE64;
use waxwing_protocol::{ids::AccountId, time::Span};

use self::world::{Disturbance, World};
use crate::{
    api::{
        ApproveDevice, ConfirmDevice, Device, Direction, Entry, FeedBackup, History, LinkDevice,
        MessageId, Notice, PairingChanged, PairingStage, ReadBackup, Recover, RecoveryChanged,
        RecoveryStage, Request, Response, RevokeDevice,
    },
    conversation::{self, history},
};

const RELAY: &str = "https://relay.example";

/// Writes so many messages into a device's history, without any network.
fn fill(world: &mut World, id: usize, messages: u32) {
    let now = world.now;
    world.with_store(id, |tx| {
        let mut rng =
            <rand_chacha::ChaCha20Rng as rand_chacha::rand_core::SeedableRng>::from_seed([1; 32]);
        let address = waxwing_protocol::address::Address::parse("bob@example.org").unwrap();
        let account = AccountId([9; 32]);
        let started = conversation::start(tx, now, &mut rng, &address, Some(account)).unwrap();
        for number in 0..messages {
            let mut bytes = [3; 32];
            bytes[..4].copy_from_slice(&number.to_be_bytes());
            let text = format!("message {number} {}", "x".repeat(600));
            let outgoing = number % 3 == 0;
            history::add_message(
                tx,
                now,
                &history::NewMessage {
                    id: MessageId::from_bytes(bytes),
                    conversation: started.id,
                    account,
                    address: "bob@example.org",
                    verified: true,
                    direction: if outgoing {
                        Direction::Out
                    } else {
                        Direction::In
                    },
                    text: &text,
                    content: (number % 5 == 0).then_some(b"content"),
                    reply_to: None,
                    sent_at: now,
                    fills: None,
                },
            )
            .unwrap();
        }
        history::add_event(
            tx,
            now,
            started.id,
            crate::api::EventKind::IdentityReset,
            "bob@example.org",
        )
        .unwrap();
    });
}

fn entries(world: &mut World, id: usize) -> Vec<Entry> {
    let history = History {
        of: "bob@example.org".into(),
        limit: None,
        before: None,
        search: None,
    };
    let conversations = world.ask(id, Request::Conversations).unwrap();
    let Response::Conversations { conversations } = conversations else {
        panic!("conversations");
    };
    let Some(conversation) = conversations.first() else {
        return Vec::new();
    };
    let history = History {
        of: conversation.id.to_string(),
        ..history
    };
    match world.ask(id, Request::History(history)).unwrap() {
        Response::History { entries, .. } => entries,
        _ => panic!("history"),
    }
}

fn devices(world: &mut World, id: usize) -> Vec<Device> {
    match world.ask(id, Request::Devices).unwrap() {
        Response::Devices { devices } => devices,
        _ => panic!("devices"),
    }
}

fn link(world: &mut World, id: usize) {
    let link = LinkDevice {
        relay: RELAY.into(),
        pin: None,
        name: "Kitchen tablet".into(),
    };
    world.ask(id, Request::LinkDevice(link)).unwrap();
}

fn pairing(world: &World, id: usize) -> Option<PairingChanged> {
    world.newest(id, |notice| match notice {
        Notice::Pairing(changed) => Some(changed.clone()),
        _ => None,
    })
}

fn stage(world: &World, id: usize) -> Option<PairingStage> {
    pairing(world, id).map(|changed| changed.stage)
}

fn problem(world: &World, id: usize) -> Option<String> {
    pairing(world, id)?.problem.map(|problem| problem.code)
}

fn code(world: &World, id: usize) -> String {
    let code = world.newest(id, |notice| match notice {
        Notice::Pairing(changed) => changed.code.clone(),
        _ => None,
    });
    code.unwrap()
}

fn approve(world: &mut World, id: usize, code: &str) -> Result<(), String> {
    let approve = ApproveDevice { code: code.into() };
    let response = world.ask(id, Request::ApproveDevice(approve));
    response
        .map(|_| ())
        .map_err(|refused| refused.problem.code().to_owned())
}

fn confirm(world: &mut World, id: usize, accept: bool) {
    let confirm = ConfirmDevice { accept };
    let _ = world.ask(id, Request::ConfirmDevice(confirm));
}

fn links_all_the_way(world: &mut World, old: usize, new: usize) {
    link(world, new);
    let code = code(world, new);
    approve(world, old, &code).unwrap();
    assert_eq!(stage(world, old), Some(PairingStage::Confirm));
    confirm(world, old, true);
    world.pass(Span::minutes(2));
}

#[test]
fn a_new_device_is_linked_and_has_the_history() {
    let mut world = World::new(1);
    let old = world.add_registered("alice@example.org");
    fill(&mut world, old, 500);
    let before = entries(&mut world, old);
    let new = world.add();
    link(&mut world, new);
    assert_eq!(stage(&world, new), Some(PairingStage::Code));
    let code = code(&world, new);
    approve(&mut world, old, &code).unwrap();
    let asked = pairing(&world, old).unwrap();
    assert_eq!(asked.stage, PairingStage::Confirm);
    assert_eq!(asked.name.as_deref(), Some("Kitchen tablet"));
    let shown = pairing(&world, new).unwrap();
    assert_eq!(shown.stage, PairingStage::Agreed);
    assert_eq!(shown.device, asked.device);
    assert_eq!(devices(&mut world, old).len(), 1);
    confirm(&mut world, old, true);
    world.pass(Span::minutes(2));
    assert_eq!(stage(&world, new), Some(PairingStage::Done));
    assert_eq!(stage(&world, old), Some(PairingStage::Done));
    assert!(entries(&mut world, new) == before);
    for (id, this) in [(old, 0), (new, 1)] {
        let devices = devices(&mut world, id);
        assert_eq!(devices.len(), 2);
        assert!(devices[this].this && !devices[1 - this].this);
        assert_eq!(devices[1].name.as_deref(), Some("Kitchen tablet"));
        assert_eq!(devices[1].added_by.as_ref(), Some(&devices[0].id));
    }
    // Nothing is left of the keys of the transfer.
    for id in [old, new] {
        let rows: u32 = world.with_store(id, |tx| {
            tx.query_row("SELECT count(*) FROM admission", [], |row| row.get(0))
                .unwrap()
        });
        assert_eq!(rows, 0);
    }
    let progress = |id: usize| {
        world.newest(id, |notice| match notice {
            Notice::Transfer(progress) => Some((progress.done, progress.total)),
            _ => None,
        })
    };
    let (done, total) = progress(new).unwrap();
    assert!(done == total && total > 500);
    assert_eq!(progress(old), Some((done, total)));
}

#[test]
fn a_wrong_code_ends_the_attempt_on_both_sides_and_is_dead() {
    let mut world = World::new(2);
    let old = world.add_registered("alice@example.org");
    let new = world.add();
    link(&mut world, new);
    let good = code(&world, new);
    // The same number with another secret, whose check character is right.
    let wrong = {
        let (code, _) = super::pairing::code::PairingCode::read(&good).unwrap();
        let secret = super::pairing::code::PairingSecret::generate(&mut world.rng);
        super::pairing::code::PairingCode { secret, ..code }.text()
    };
    approve(&mut world, old, &wrong).unwrap();
    assert_eq!(problem(&world, new).as_deref(), Some("pairing_not_agreed"));
    assert_eq!(stage(&world, old), Some(PairingStage::Failed));
    assert_eq!(devices(&mut world, old).len(), 1);
    // The right one comes too late.
    approve(&mut world, old, &good).unwrap();
    assert_eq!(problem(&world, old).as_deref(), Some("pairing_code_dead"));
    // A new one works.
    links_all_the_way(&mut world, old, new);
    assert_eq!(stage(&world, new), Some(PairingStage::Done));
}

#[test]
fn a_typing_error_does_not_cost_the_code() {
    let mut world = World::new(3);
    let old = world.add_registered("alice@example.org");
    let new = world.add();
    link(&mut world, new);
    let good = code(&world, new);
    let last = if good.ends_with('A') { "B" } else { "A" };
    let mistyped = format!("{}{last}", &good[..good.len() - 1]);
    assert_eq!(
        approve(&mut world, old, &mistyped),
        Err("pairing_code_mistyped".into())
    );
    assert_eq!(
        approve(&mut world, old, "hello"),
        Err("pairing_code_malformed".into())
    );
    approve(&mut world, old, &good.to_lowercase()).unwrap();
    assert_eq!(stage(&world, old), Some(PairingStage::Confirm));
}

#[test]
fn a_device_on_another_relay_is_told_before_anything_is_said() {
    let mut world = World::new(4);
    let old = world.add_registered("alice@example.org");
    let new = world.add();
    link(&mut world, new);
    let qr = pairing(&world, new).unwrap().qr.unwrap();
    let (code, place) = super::pairing::code::PairingCode::read(&qr).unwrap();
    let elsewhere = crate::RelayPlace {
        url: "https://other.example".into(),
        ..place.unwrap()
    };
    assert_eq!(
        approve(&mut world, old, &code.qr_text(&elsewhere)),
        Err("pairing_other_relay".into())
    );
    approve(&mut world, old, &qr).unwrap();
    assert_eq!(stage(&world, old), Some(PairingStage::Confirm));
}

#[test]
fn a_person_who_says_no_admits_nobody() {
    let mut world = World::new(5);
    let old = world.add_registered("alice@example.org");
    let new = world.add();
    link(&mut world, new);
    let code = code(&world, new);
    approve(&mut world, old, &code).unwrap();
    confirm(&mut world, old, false);
    assert_eq!(stage(&world, old), Some(PairingStage::Refused));
    assert_eq!(problem(&world, new).as_deref(), Some("pairing_refused"));
    assert_eq!(devices(&mut world, old).len(), 1);
    assert_eq!(
        world
            .ask(old, Request::ConfirmDevice(ConfirmDevice { accept: true }))
            .unwrap_err()
            .problem
            .code(),
        "pairing_not_asked"
    );
}

#[test]
fn a_relay_that_changes_what_it_hands_on_admits_nobody() {
    let mut world = World::new(6);
    let old = world.add_registered("alice@example.org");
    let new = world.add();
    world.relay.tamper = Some(|body| {
        let mut changed = body.to_vec();
        if let Some(last) = changed.last_mut() {
            *last ^= 1;
        }
        changed.into()
    });
    link(&mut world, new);
    let code = code(&world, new);
    approve(&mut world, old, &code).unwrap();
    assert_eq!(stage(&world, new), Some(PairingStage::Failed));
    assert_eq!(stage(&world, old), Some(PairingStage::Failed));
    assert!(pairing(&world, old).unwrap().name.is_none());
}

/// Disturbs a linking at each frame there is. In the end the device is linked, or both
/// know that it is not and a second attempt works.
fn survives(of: impl Fn(usize, usize) -> Disturbance) {
    let frames = {
        let mut world = linking(None);
        let (old, new) = (0, 1);
        world.pass(Span::minutes(2));
        assert_eq!(stage(&world, new), Some(PairingStage::Done));
        assert_eq!(stage(&world, old), Some(PairingStage::Done));
        world.frames
    };
    assert!(frames > 20, "{frames}");
    let mut went_through = 0;
    for at in 1..=frames {
        let (old, new) = (0, 1);
        let mut world = linking(Some((at, of(old, new))));
        world.pass(Span::minutes(50));
        let linked = devices(&mut world, old).len() == 2;
        if linked {
            went_through += 1;
        } else {
            links_all_the_way(&mut world, old, new);
        }
        assert_eq!(devices(&mut world, old).len(), 2, "{at}");
        assert_eq!(devices(&mut world, new).len(), 2, "{at}");
        let (before, after) = (entries(&mut world, old), entries(&mut world, new));
        assert!(before == after, "{at}: {} {}", before.len(), after.len());
        for id in [old, new] {
            let rows: u32 = world.with_store(id, |tx| {
                tx.query_row("SELECT count(*) FROM admission", [], |row| row.get(0))
                    .unwrap()
            });
            assert_eq!(rows, 0, "{at}");
        }
    }
    assert!(went_through > 5, "{went_through}");
}

fn linking(disturb: Option<(u64, Disturbance)>) -> World {
    let mut world = World::new(7);
    let old = world.add_registered("alice@example.org");
    fill(&mut world, old, 900);
    let new = world.add();
    world.frames = 0;
    world.disturb = disturb;
    link(&mut world, new);
    let shown = world.newest(new, |notice| match notice {
        Notice::Pairing(changed) => changed.code.clone(),
        _ => None,
    });
    if let Some(code) = shown {
        let _ = approve(&mut world, old, &code);
        confirm(&mut world, old, true);
    }
    world
}

#[test]
fn linking_survives_a_kill_of_the_new_device_at_any_frame() {
    survives(|_, new| Disturbance::Kill(new));
}

#[test]
fn linking_survives_a_kill_of_the_old_device_at_any_frame() {
    survives(|old, _| Disturbance::Kill(old));
}

#[test]
fn linking_survives_cut_links_at_any_frame() {
    survives(|old, _| Disturbance::Cut(old));
    survives(|_, new| Disturbance::Cut(new));
}

#[test]
fn a_statement_that_came_second_is_sent_again() {
    let mut world = World::new(8);
    let old = world.add_registered("alice@example.org");
    let new = world.add();
    world.relay.conflicts = 2;
    links_all_the_way(&mut world, old, new);
    assert_eq!(stage(&world, new), Some(PairingStage::Done));
}

#[test]
fn a_device_that_another_came_before_is_proposed_again() {
    let mut world = World::new(9);
    let old = world.add_registered("alice@example.org");
    let (second, third) = (world.add(), world.add());
    links_all_the_way(&mut world, old, second);
    // The second device changes the roster, and the first does not know.
    let stale = world.relay.accounts["alice@example.org"].clone();
    let chain = {
        let roster = waxwing_protocol::roster::Roster::verify(&stale).unwrap();
        let statement = world.with_store(second, |tx| {
            let key = crate::account::own_identity(tx).unwrap();
            let leaf = ed25519_dalek::SigningKey::from_bytes(&[4; 32]);
            waxwing_protocol::roster::next_statement(
                &mut <rand_chacha::ChaCha20Rng as rand_chacha::rand_core::SeedableRng>::from_seed(
                    [2; 32],
                ),
                waxwing_protocol::time::Time(5),
                &roster,
                waxwing_protocol::roster::SigningWith::Device(&key),
                waxwing_protocol::pb::statement::Change::SetLeafKey(
                    leaf.verifying_key().to_bytes().to_vec().into(),
                ),
                None,
            )
        });
        [stale, vec![statement]].concat()
    };
    world
        .relay
        .accounts
        .insert("alice@example.org".into(), chain.clone());
    link(&mut world, third);
    let code = code(&world, third);
    approve(&mut world, old, &code).unwrap();
    confirm(&mut world, old, true);
    world.pass(Span::seconds(30));
    assert_eq!(devices(&mut world, old).len(), 2);
    // The own history is fetched by somebody else's work: here it is.
    world.with_store(old, |tx| crate::account::extend(tx, &chain).unwrap());
    world.pass(Span::minutes(5));
    assert_eq!(devices(&mut world, old).len(), 3);
    assert_eq!(stage(&world, third), Some(PairingStage::Done));
}

#[test]
fn a_device_is_revoked_by_another_and_not_by_itself() {
    let mut world = World::new(10);
    let old = world.add_registered("alice@example.org");
    let new = world.add();
    links_all_the_way(&mut world, old, new);
    let listed = devices(&mut world, new);
    let revoke = |device: &str| {
        Request::RevokeDevice(RevokeDevice {
            device: device.into(),
        })
    };
    let code = |refused: crate::EventRefused| refused.problem.code();
    let own = world.ask(new, revoke(&listed[1].id[..8])).map_err(code);
    assert_eq!(own.err(), Some("device_is_this"));
    let unknown = world.ask(new, revoke("00112233")).map_err(code);
    assert_eq!(unknown.err(), Some("device_unknown"));
    world.relay.conflicts = 1;
    world.ask(new, revoke(&listed[0].short)).unwrap();
    world.kill(new);
    world.pass(Span::minutes(2));
    assert_eq!(devices(&mut world, new).len(), 1);
    let told = world.newest(new, |notice| match notice {
        Notice::Devices(changed) => Some(changed.devices.len()),
        _ => None,
    });
    assert_eq!(told, Some(1));
}

fn words(world: &mut World, id: usize) -> (String, String) {
    match world.ask(id, Request::Account).unwrap() {
        Response::Account(account) => (
            account.recovery_words.unwrap(),
            account.recovery_qr.unwrap(),
        ),
        _ => panic!("account"),
    }
}

fn recover(words: &str) -> Recover {
    Recover {
        address: "alice@example.org".into(),
        relay: RELAY.into(),
        pin: None,
        words: words.into(),
        name: "New phone".into(),
        from_file: false,
        revoke_others: false,
    }
}

fn recovery(world: &World, id: usize) -> RecoveryChanged {
    world
        .newest(id, |notice| match notice {
            Notice::Recovery(changed) => Some(changed.clone()),
            _ => None,
        })
        .unwrap()
}

fn outcome(world: &World, id: usize) -> (RecoveryStage, Option<String>) {
    let changed = recovery(world, id);
    (changed.stage, changed.problem.map(|problem| problem.code))
}

#[test]
fn the_words_and_the_relays_backup_bring_everything_back() {
    let mut world = World::new(11);
    let lost = world.add_registered("alice@example.org");
    fill(&mut world, lost, 900);
    let before = entries(&mut world, lost);
    let (words, qr) = words(&mut world, lost);
    world.ask(lost, Request::ForgetRecoveryWords).unwrap();
    world.ask(lost, Request::Backup).unwrap();
    assert!(world.relay.backup.len() > 2);
    for text in [words, qr] {
        let new = world.add();
        let asked = Recover {
            revoke_others: true,
            ..recover(&text)
        };
        world.ask(new, Request::Recover(asked)).unwrap();
        world.pass(Span::minutes(2));
        assert_eq!(outcome(&world, new), (RecoveryStage::Done, None));
        assert!(entries(&mut world, new) == before);
        let listed = devices(&mut world, new);
        assert_eq!(listed.len(), 1);
        assert_eq!(listed[0].added_by.as_deref(), Some("recovery_key"));
        assert_eq!(listed[0].name.as_deref(), Some("New phone"));
        let kept: u32 = world.with_store(new, |tx| {
            tx.query_row("SELECT count(*) FROM recovery", [], |row| row.get(0))
                .unwrap()
        });
        assert_eq!(kept, 0);
        // The next recovery finds a backup of this one.
        world.ask(new, Request::Backup).unwrap();
    }
}

#[test]
fn recovery_goes_on_after_a_kill_at_any_frame_once_the_statement_is_made() {
    let make = |disturb| {
        let mut world = World::new(12);
        let lost = world.add_registered("alice@example.org");
        fill(&mut world, lost, 900);
        let (words, _) = words(&mut world, lost);
        world.ask(lost, Request::Backup).unwrap();
        let new = world.add();
        world.frames = 0;
        world.disturb = disturb;
        world.ask(new, Request::Recover(recover(&words))).unwrap();
        world.pass(Span::minutes(2));
        (world, lost, new)
    };
    let (world, ..) = make(None);
    let frames = world.frames;
    let mut failed = 0;
    for at in 1..=frames {
        let (mut world, lost, new) = make(Some((at, Disturbance::Kill(1))));
        if outcome(&world, new).0 == RecoveryStage::Failed {
            failed += 1;
            assert!(world.ask(new, Request::Devices).is_ok());
            continue;
        }
        assert_eq!(outcome(&world, new).0, RecoveryStage::Done, "{at}");
        let (before, after) = (entries(&mut world, lost), entries(&mut world, new));
        assert!(before == after, "{at}: {} {}", before.len(), after.len());
    }
    assert!(failed < 5, "{failed} of {frames}");
}

#[test]
fn a_backup_in_a_file_brings_everything_back() {
    let mut world = World::new(13);
    let lost = world.add_registered("alice@example.org");
    fill(&mut world, lost, 900);
    let before = entries(&mut world, lost);
    let (words, _) = words(&mut world, lost);
    let mut file = Vec::new();
    for index in 0.. {
        let read = Request::ReadBackup(ReadBackup { index });
        let Response::BackupPart(part) = world.ask(lost, read).unwrap() else {
            panic!("a part");
        };
        file.extend(BASE64.decode(part.part.as_bytes()).unwrap());
        if !part.more {
            break;
        }
    }
    let feed = |part: &[u8], last| {
        Request::FeedBackup(FeedBackup {
            part: BASE64.encode(part),
            last,
        })
    };
    let new = world.add();
    let asked = Recover {
        from_file: true,
        ..recover(&words)
    };
    assert!(world.ask(new, feed(&file, true)).is_err());
    world.ask(new, Request::Recover(asked.clone())).unwrap();
    assert_eq!(outcome(&world, new), (RecoveryStage::Restoring, None));
    let mut pieces = file.chunks(100_000).peekable();
    while let Some(piece) = pieces.next() {
        world
            .ask(new, feed(piece, pieces.peek().is_none()))
            .unwrap();
    }
    assert_eq!(outcome(&world, new), (RecoveryStage::Done, None));
    assert!(entries(&mut world, new) == before);
    // A file that was changed is not taken in.
    let third = world.add();
    world.ask(third, Request::Recover(asked)).unwrap();
    let mut changed = file;
    changed[5_000] ^= 1;
    world.ask(third, feed(&changed, true)).unwrap();
    assert_eq!(
        outcome(&world, third),
        (RecoveryStage::Done, Some("backup_damaged".into()))
    );
    assert!(entries(&mut world, third).is_empty());
}

#[test]
fn without_a_backup_the_account_is_recovered_all_the_same() {
    let mut world = World::new(14);
    let lost = world.add_registered("alice@example.org");
    let (words, _) = words(&mut world, lost);
    let new = world.add();
    world.ask(new, Request::Recover(recover(&words))).unwrap();
    world.pass(Span::minutes(1));
    assert_eq!(
        outcome(&world, new),
        (RecoveryStage::Done, Some("backup_none".into()))
    );
    assert_eq!(devices(&mut world, new).len(), 2);
}

#[test]
fn words_that_are_wrong_or_anothers_recover_nothing() {
    let mut world = World::new(15);
    let alice = world.add_registered("alice@example.org");
    let bob = world.add_registered("bob@example.org");
    let (bobs, _) = words(&mut world, bob);
    let new = world.add();
    world.ask(new, Request::Recover(recover(&bobs))).unwrap();
    world.pass(Span::minutes(1));
    assert_eq!(
        outcome(&world, new),
        (RecoveryStage::Failed, Some("recovery_words_others".into()))
    );
    assert_eq!(devices(&mut world, alice).len(), 1);
    let malformed = world.ask(new, Request::Recover(recover("one two three")));
    assert_eq!(
        malformed.unwrap_err().problem.code(),
        "recovery_words_malformed"
    );
    let unknown = Recover {
        address: "carol@example.org".into(),
        ..recover(&bobs)
    };
    world.ask(new, Request::Recover(unknown)).unwrap();
    world.pass(Span::minutes(1));
    let problem = outcome(&world, new).1;
    assert_eq!(problem.as_deref(), Some("recovery_address_unknown"));
}

#[test]
fn a_backup_that_another_accounts_device_made_is_not_used() {
    let mut world = World::new(16);
    let alice = world.add_registered("alice@example.org");
    let mallory = world.add_registered("mallory@example.org");
    fill(&mut world, mallory, 10);
    let (words, _) = words(&mut world, alice);
    // Mallory has somehow come by Alice's public backup key.
    let key: Vec<u8> =
        world.with_store(alice, |tx| super::backup::key::public(tx).unwrap().unwrap());
    world.with_store(mallory, |tx| super::backup::key::keep(tx, &key).unwrap());
    world.ask(mallory, Request::Backup).unwrap();
    let new = world.add();
    world.ask(new, Request::Recover(recover(&words))).unwrap();
    world.pass(Span::minutes(1));
    assert_eq!(
        outcome(&world, new),
        (RecoveryStage::Done, Some("backup_not_ours".into()))
    );
    assert!(entries(&mut world, new).is_empty());
}

#[test]
fn a_backup_is_made_once_a_day_when_there_is_something_new() {
    let mut world = World::new(17);
    let alice = world.add_registered("alice@example.org");
    world.pass(Span::hours(2));
    assert_eq!(world.relay.backup.len(), 1);
    world.relay.backup.clear();
    world.pass(Span::hours(26));
    assert!(world.relay.backup.is_empty());
    fill(&mut world, alice, 3);
    world.pass(Span::hours(26));
    assert_eq!(world.relay.backup.len(), 1);
}
