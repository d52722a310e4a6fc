//! A device whose disk is full, while it sends and while it receives; and a relay's.
//!
//! **Elsewhere**: the relay's full disk among other faults is in `message_simulation.rs`; that a
//! transaction which finds the disk full changes nothing, in the engine's `store`.
//!
//! **Always**: each refusal says so with advice; what was taken arrives exactly once, what
//! was refused never does; with room again everything goes on by itself.

use rand::RngExt as _;
use waxwing_engine::api::{Notice, Problem, Request, SendText};
use waxwing_protocol::{pb::ErrorCode, time::Span};
use waxwing_system_tests::{
    PersonId, RealRelay, RelayPort as _, World, WorldOptions, scenes::alice_and_bob_on,
};

fn on_disk(seed: u64) -> (World<RealRelay>, PersonId, PersonId) {
    let options = WorldOptions {
        stores_on_disk: true,
        ..WorldOptions::default()
    };
    let (mut world, alice, bob) = alice_and_bob_on(RealRelay::default(), seed, options);
    world.send(alice, bob, "first");
    world.send(bob, alice, "first too");
    world.run_for(Span::seconds(10));
    (world, alice, bob)
}

/// A text that takes room.
fn long(n: usize) -> String {
    format!("{n:03} {}", "and so on ".repeat(150))
}

/// Writes, unless the disk is full: gives whether it was taken.
#[track_caller]
fn write(world: &mut World<RealRelay>, from: PersonId, to: PersonId, text: &str) -> bool {
    let send = SendText {
        to: world.person(to).address.clone(),
        text: text.to_owned(),
        ..SendText::default()
    };
    match world.command(from, Request::Send(send)) {
        Ok(_) => true,
        Err(refused) => {
            assert_eq!(refused.problem, Problem::DiskFull);
            false
        }
    }
}

#[track_caller]
fn all_is_well(
    world: &mut World<RealRelay>,
    people: [PersonId; 2],
    written: &[Vec<String>; 2],
    what: &str,
) {
    for id in people {
        world.limit_room(id, None);
    }
    world.run_for(Span::minutes(5));
    for (at, from) in people.into_iter().enumerate() {
        let to = people[1 - at];
        let own = world.person(from).address.clone();
        for holder in [from, to] {
            let other = if holder == from { to } else { from };
            let mut texts: Vec<String> = world
                .messages(holder, other)
                .into_iter()
                .filter(|message| message.from == own)
                .map(|message| message.text)
                .collect();
            let mut expected = written[at].clone();
            texts.sort();
            expected.sort();
            assert!(
                texts == expected,
                "{what}: {} of {} are with {holder:?}",
                texts.len(),
                expected.len()
            );
        }
        let status = world.status(from);
        assert_eq!(
            (status.outbox, status.missing, status.rejoining),
            (0, 0, 0),
            "{what}"
        );
        // What a full disk kept out came again from the relay, and was no loss.
        let gap = |notice: &Notice| matches!(notice, Notice::Gap(_));
        assert!(!world.person(from).notices.iter().any(gap), "{what}");
        let engine = world.person(from).engine.as_ref().unwrap();
        engine.store().quick_check().unwrap();
    }
    assert_eq!(world.relay.waiting(), 0, "{what}");
}

#[test]
fn a_disk_full_while_receiving_loses_and_doubles_nothing() {
    let mut failed = 0;
    for pages in [0, 1, 2, 3, 5, 8, 13, 21, 34, 55, 89] {
        let (mut world, alice, bob) = on_disk(u64::from(pages));
        let mut written = [vec!["first".to_owned()], vec!["first too".to_owned()]];
        world.limit_room(bob, Some(pages));
        // Past a rekey, so that commits meet the full disk as well.
        for n in 0..70 {
            let text = long(n);
            assert!(write(&mut world, alice, bob, &text));
            written[0].push(text);
            world.run_for(Span(200));
        }
        world.run_for(Span::minutes(1));
        failed += world.disk_full.iter().filter(|id| **id == bob).count();
        all_is_well(
            &mut world,
            [alice, bob],
            &written,
            &format!("room for {pages} pages"),
        );
    }
    assert!(failed > 50, "the disk was full {failed} times only");
}

#[test]
fn a_disk_full_while_sending_refuses_what_it_cannot_keep() {
    let mut refused = 0;
    let mut failed = 0;
    for pages in [0, 1, 2, 3, 5, 8, 13, 21, 34, 55, 89] {
        let (mut world, alice, bob) = on_disk(100 + u64::from(pages));
        let mut written = [vec!["first".to_owned()], vec!["first too".to_owned()]];
        world.limit_room(alice, Some(pages));
        for n in 0..70 {
            let text = long(n);
            if write(&mut world, alice, bob, &text) {
                written[0].push(text);
            } else {
                refused += 1;
            }
            world.run_for(Span(200));
        }
        world.run_for(Span::minutes(1));
        failed += world.disk_full.iter().filter(|id| **id == alice).count();
        all_is_well(
            &mut world,
            [alice, bob],
            &written,
            &format!("room for {pages} pages"),
        );
    }
    assert!(refused > 50, "the disk was full {refused} times only");
    eprintln!("{refused} messages and {failed} other events were refused");
}

#[test]
fn a_relay_with_a_full_disk_disconnects_and_loses_nobody() {
    for seed in 0..3 {
        let relay = RealRelay::on_disk(seed);
        let mut world = World::new(300 + seed, relay, WorldOptions::default());
        let alice = world.add_registered("alice@example.org");
        let bob = world.add_registered("bob@example.org");
        let mut written = [Vec::new(), Vec::new()];
        let mut write = |world: &mut World<RealRelay>, n: usize| {
            let people = [alice, bob];
            let text = long(n);
            world.send(people[n % 2], people[(n + 1) % 2], &text);
            written[n % 2].push(text);
        };
        for n in 0..20 {
            write(&mut world, n);
            world.run_for(Span(300));
        }
        world.run_for(Span::seconds(10));
        // Bob is away, and messages wait for him.
        world.set_online(bob, false);
        for n in (20..60).step_by(2) {
            write(&mut world, n);
            world.run_for(Span(300));
        }
        world.run_for(Span::seconds(10));
        let waiting = world.relay.waiting();
        assert!(waiting > 20, "{waiting}");
        world.closed_by_relay = 0;
        world.refusals.clear();
        world.relay.set_full(true);
        world.run_for(Span::seconds(3));
        // He gets what waits and acknowledges it, and it is deleted.
        world.set_online(bob, true);
        world.run_for(Span::minutes(1));
        assert_eq!(world.relay.waiting(), 0, "seed {seed}");
        assert_eq!(world.texts(bob, alice).len(), 40, "seed {seed}");
        // What either writes now is refused, again and again, and waits with them.
        for n in 60..80 {
            write(&mut world, n);
            world.run_for(Span(300));
        }
        world.run_for(Span::minutes(10));
        assert_eq!(world.texts(alice, bob).len(), 50, "seed {seed}");
        assert!(!world.refusals.is_empty());
        // A permission to post that only refused posts used ends, and is asked for again.
        let is_expected =
            |code: &ErrorCode| matches!(code, ErrorCode::Unavailable | ErrorCode::Unauthorised);
        let other = world.refusals.iter().find(|(_, code)| !is_expected(code));
        assert!(other.is_none(), "{other:?}");
        assert_eq!(world.closed_by_relay, 0, "seed {seed}");
        world.relay.set_full(false);
        world.run_for(Span::minutes(10));
        for (at, (from, to)) in [(alice, bob), (bob, alice)].into_iter().enumerate() {
            let own = world.person(from).address.clone();
            let messages = world.messages(to, from).into_iter();
            let mut texts: Vec<String> = messages
                .filter(|message| message.from == own)
                .map(|message| message.text)
                .collect();
            texts.sort();
            assert!(texts == written[at], "seed {seed}: {}", texts.len());
        }
        assert_eq!(world.relay.waiting(), 0, "seed {seed}");
        assert_eq!(world.closed_by_relay, 0, "seed {seed}");
    }
}

#[test]
fn disks_that_fill_up_again_and_again_lose_nothing() {
    for seed in 0..4 {
        let (mut world, alice, bob) = on_disk(200 + seed);
        let people = [alice, bob];
        let mut written = [vec!["first".to_owned()], vec!["first too".to_owned()]];
        for n in 0..150 {
            let who = world.rng.random_range(0..2);
            let room = match world.rng.random_range(0..4) {
                0 => None,
                _ => Some(world.rng.random_range(0..6)),
            };
            world.limit_room(people[who], room);
            let at = world.rng.random_range(0..2);
            let text = long(n);
            if write(&mut world, people[at], people[1 - at], &text) {
                written[at].push(text);
            }
            let pause = world.rng.random_range(0..1_500);
            world.run_for(Span(pause));
            if world.rng.random_bool(0.05) {
                world.crash(people[who]);
                world.start(people[who]);
            }
        }
        assert!(!world.disk_full.is_empty());
        all_is_well(&mut world, people, &written, &format!("seed {seed}"));
    }
}
