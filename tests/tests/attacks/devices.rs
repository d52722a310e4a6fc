//! Devices that nobody admitted, and those that should be gone.

use waxwing_engine::api::{PairingStage, Request, SetLock};
use waxwing_protocol::{
    pb::{
        client_frame::Body as Ask, join_rendezvous::At, relay_frame::Body as Answer,
        statement::Change,
    },
    roster::{self, Roster, SigningWith},
    signature::{HybridSigningKey, SigningSeed},
    time::Span,
};
use waxwing_system_tests::{
    Fate,
    devices::{
        self, ALICE, approve, code, devices, link, linked, outcome, pairing, pairing_problem,
        recover, recovering, revoke, stage, words,
    },
};

use super::scene::{alarms, alice_and_bob, empty, is_alarmed, problem_of, with_mallory};

#[test]
fn a_device_that_the_relay_adds_to_a_roster_is_refused() {
    let (mut scene, alice, bob) = alice_and_bob(201);
    // A statement that adds a device with the relay's own keys, chained to Alice's roster as
    // it should be. The relay has no key that the chain admits.
    let mut rng = scene.rng.clone();
    scene.relay.answers(move |_, frame| {
        if let Some(Answer::LookedUp(found)) = &mut frame.body {
            let known = Roster::verify(&found.roster).unwrap();
            let ghost = HybridSigningKey::from_seed(&SigningSeed::generate(&mut rng));
            let entry = roster::entry(ghost.public(), [7; 32]);
            found.roster.push(roster::next_statement(
                &mut rng,
                waxwing_system_tests::BEGINS,
                &known,
                SigningWith::Device(&ghost),
                Change::AddDevice(entry),
                Some(&ghost),
            ));
        }
        Fate::Pass
    });
    let id = scene.send(bob, alice, "for Alice's devices only");
    scene.run_for(Span::minutes(1));
    assert!(!problem_of(&mut scene, bob, alice, id).is_empty());
    assert!(is_alarmed(&mut scene, bob, "relay_misbehaves", "roster_"));
    assert!(scene.texts(alice, bob).is_empty());
    scene.relay.straighten();
    scene.run_for(Span::minutes(2));
    assert_eq!(scene.texts(alice, bob), ["for Alice's devices only"]);
}

#[test]
fn a_relay_between_two_devices_cannot_have_itself_admitted() {
    let (mut scene, alice, _) = alice_and_bob(202);
    let tablet = scene.add(ALICE);
    link(&mut scene, tablet);
    let honest = code(&scene, tablet);
    // The relay's own device waits at another rendezvous, with a code of its own, and Alice
    // is led there.
    let ghost = scene.add("ghost@example.org");
    link(&mut scene, ghost);
    let number = code(&scene, ghost);
    let number: u32 = number.split('-').next().unwrap().parse().unwrap();
    scene.relay.requests(move |person, frame| {
        if person == alice
            && let Some(Ask::JoinRendezvous(join)) = &mut frame.body
        {
            join.at = Some(At::Number(number));
        }
        Fate::Pass
    });
    approve(&mut scene, alice, &honest).unwrap();
    assert_eq!(
        pairing_problem(&scene, alice).as_deref(),
        Some("pairing_not_agreed")
    );
    // Nothing was said but elements of a key agreement: no name, no account.
    assert!(pairing(&scene, alice).unwrap().name.is_none());
    assert!(pairing(&scene, ghost).unwrap().address.is_none());
    assert_eq!(stage(&scene, ghost), Some(PairingStage::Failed));
    assert_eq!(devices(&mut scene, alice).len(), 1);
}

#[test]
fn a_linking_code_that_is_guessed_is_dead_after_one_guess() {
    let (mut scene, alice, _, mallory) = with_mallory(203);
    let tablet = scene.add(ALICE);
    link(&mut scene, tablet);
    let honest = code(&scene, tablet);
    // Mallory saw the number, and guesses the rest, as one whose check character is right.
    let (start, secret) = honest.split_at(honest.find('-').unwrap() + 1);
    let first = if secret.starts_with('A') { 'B' } else { 'A' };
    let guessed = "0123456789ABCDEFGHJKMNPQRSTVWXYZ".chars().any(|last| {
        let guess = format!("{start}{first}{}{last}", &secret[1..secret.len() - 1]);
        approve(&mut scene, mallory, &guess).is_ok()
    });
    assert!(guessed);
    for id in [tablet, mallory] {
        let problem = pairing_problem(&scene, id);
        assert_eq!(problem.as_deref(), Some("pairing_not_agreed"));
    }
    // The right one comes too late; the person is told, and makes another.
    approve(&mut scene, alice, &honest).unwrap();
    let problem = pairing_problem(&scene, alice);
    assert_eq!(problem.as_deref(), Some("pairing_code_dead"));
    assert_eq!(devices(&mut scene, alice).len(), 1);
    devices::link_all_the_way(&mut scene, alice, tablet);
}

#[test]
fn a_relay_that_bends_what_two_devices_say_admits_nobody() {
    let (mut scene, alice, _) = alice_and_bob(204);
    let tablet = scene.add(ALICE);
    scene.relay.answers(|_, frame| {
        if let Some(Answer::RendezvousMessage(message)) = &mut frame.body {
            let mut bent = message.body.to_vec();
            if let Some(last) = bent.last_mut() {
                *last ^= 1;
            }
            message.body = bent.into();
        }
        Fate::Pass
    });
    link(&mut scene, tablet);
    let code = code(&scene, tablet);
    approve(&mut scene, alice, &code).unwrap();
    for id in [alice, tablet] {
        assert_eq!(stage(&scene, id), Some(PairingStage::Failed));
    }
    assert!(pairing(&scene, alice).unwrap().name.is_none());
    assert_eq!(devices(&mut scene, alice).len(), 1);
}

#[test]
fn a_hidden_new_device_is_found_within_a_day() {
    let (mut scene, first, _) = alice_and_bob(205);
    let second = linked(&mut scene, first);
    scene.relay.answers(move |person, frame| match frame.body {
        Some(Answer::AccountChanged(_)) if person == second => Fate::Drop,
        _ => Fate::Pass,
    });
    linked(&mut scene, first);
    assert!(alarms(&mut scene, second).is_empty());
    scene.run_for(Span::hours(24));
    assert!(is_alarmed(&mut scene, second, "device_added", ""));
    assert_eq!(devices(&mut scene, second).len(), 3);
}

#[test]
fn a_revoked_device_that_the_relay_still_serves_reads_nothing() {
    let (mut scene, first, bob) = alice_and_bob(206);
    scene.send(bob, first, "before");
    scene.run_for(Span::minutes(1));
    scene.accept(first, bob);
    let second = linked(&mut scene, first);
    let listed = devices(&mut scene, second);
    // The relay tells the first nothing, and hands it all that comes for the second.
    scene.set_online(first, false);
    revoke(&mut scene, second, &listed[0].id).unwrap();
    scene.run_for(Span::minutes(1));
    scene.send(bob, first, "after");
    let delivered = std::rc::Rc::new(std::cell::RefCell::new(Vec::new()));
    let kept = delivered.clone();
    scene.relay.answers(move |person, frame| {
        if let Some(Answer::Deliver(deliver)) = &frame.body
            && person == second
        {
            kept.borrow_mut().push(deliver.clone());
        }
        Fate::Pass
    });
    scene.run_for(Span::minutes(1));
    assert_eq!(scene.texts(second, bob), ["before", "after"]);
    assert!(!delivered.borrow().is_empty());
    // The login is refused by an honest relay; this one says yes.
    scene.relay.answers(move |person, frame| {
        if person == first
            && let Some(Answer::Error(_)) = &frame.body
        {
            frame.body = Some(Answer::LoggedIn(waxwing_protocol::pb::LoggedIn {
                mailbox_id: vec![1; 16].into(),
                ..Default::default()
            }));
        }
        Fate::Pass
    });
    scene.set_online(first, true);
    scene.run_for(Span(400));
    for deliver in delivered.borrow().iter() {
        let body = Answer::Deliver(deliver.clone());
        scene
            .relay
            .say(first, waxwing_engine::LinkKind::Mailbox, body);
    }
    scene.run_for(Span::hours(25));
    assert_eq!(scene.texts(first, bob), ["before"]);
}

#[test]
fn a_lock_that_the_relay_takes_away_is_an_alarm() {
    let (mut scene, alice, _) = alice_and_bob(207);
    let lock = Request::SetLock(SetLock { locked: true });
    scene.command(alice, lock).unwrap();
    scene.run_for(Span::minutes(1));
    assert!(scene.status(alice).locked);
    // As the relay writes it into its log: the same account, no lock.
    scene.relay.real().bind_in_log(ALICE, ALICE);
    scene.run_for(Span::hours(25));
    assert!(is_alarmed(
        &mut scene,
        alice,
        "lock_changed",
        "\"locked\":false"
    ));
    assert!(!scene.status(alice).locked);
}

#[test]
fn a_backup_that_the_relay_bends_brings_nothing_false() {
    let mut scene = empty(208);
    let alice = scene.add_registered(ALICE);
    let (words, _) = words(&mut scene, alice);
    scene.command(alice, Request::Backup).unwrap();
    scene.run_for(Span::minutes(1));
    scene.relay.answers(|_, frame| {
        if let Some(Answer::BackupFetched(fetched)) = &mut frame.body {
            let mut bent = fetched.part.to_vec();
            let middle = bent.len() / 2;
            bent[middle] ^= 1;
            fetched.part = bent.into();
        }
        Fate::Pass
    });
    let new = scene.add(ALICE);
    recover(&mut scene, new, recovering(&words));
    let (_, problem) = outcome(&scene, new);
    assert_eq!(problem.as_deref(), Some("backup_damaged"));
    // The account is there all the same.
    assert_eq!(devices(&mut scene, new).len(), 2);
}
