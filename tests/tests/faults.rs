//! Cuts, crashes, lost and doubled deliveries, stores that were set back.

use rand::RngExt as _;
use waxwing_engine::api::{Entry, EventKind, MessageState, Notice};
use waxwing_protocol::{pb::PostKind, time::Span};
use waxwing_system_tests::{
    Bend, HostileRelay, PersonId, World, WorldOptions, scenes::alice_and_bob_on,
};

fn on_hostile_relay(seed: u64, on_disk: bool) -> (World<HostileRelay>, PersonId, PersonId) {
    let options = WorldOptions {
        stores_on_disk: on_disk,
        ..WorldOptions::default()
    };
    alice_and_bob_on(HostileRelay::default(), seed, options)
}

fn sorted(mut texts: Vec<String>) -> Vec<String> {
    texts.sort();
    texts
}

#[test]
fn cuts_and_crashes_at_any_moment_lose_and_double_nothing() {
    for seed in 0..6 {
        let (mut world, alice, bob) = on_hostile_relay(200 + seed, false);
        let mut all = Vec::new();
        for n in 0..60 {
            let text = format!("{n:03}");
            if n % 3 == 0 {
                world.send(bob, alice, &text);
            } else {
                world.send(alice, bob, &text);
            }
            all.push(text);
            let pause = world.rng.random_range(0..200);
            world.run_for(Span(pause));
            let who = if world.rng.random_bool(0.5) {
                alice
            } else {
                bob
            };
            match world.rng.random_range(0..6) {
                0 => world.cut(who),
                1 => {
                    world.crash(who);
                    world.start(who);
                }
                _ => {}
            }
        }
        world.run_for(Span::minutes(10));
        assert_eq!(sorted(world.texts(alice, bob)), all, "seed {seed}");
        assert_eq!(sorted(world.texts(bob, alice)), all, "seed {seed}");
        for id in [alice, bob] {
            let status = world.status(id);
            assert_eq!(
                (status.outbox, status.missing, status.rejoining),
                (0, 0, 0),
                "seed {seed}"
            );
        }
    }
}

#[test]
fn a_delivery_that_comes_twice_is_shown_once() {
    let (mut world, alice, bob) = on_hostile_relay(1, false);
    world.relay.bend(|_| Bend::Twice);
    for n in 0..20 {
        world.send(alice, bob, &format!("{n:02}"));
        world.send(bob, alice, &format!("{:02}", n + 20));
        world.run_for(Span(70));
    }
    world.run_for(Span::minutes(1));
    assert_eq!(world.texts(bob, alice).len(), 40);
    assert_eq!(world.texts(alice, bob).len(), 40);
}

#[test]
fn a_message_that_the_relay_dropped_is_a_gap_and_asked_for() {
    let (mut world, alice, bob) = on_hostile_relay(2, false);
    world.send(alice, bob, "one");
    world.run_for(Span::seconds(10));
    world.accept(bob, alice);
    // Alice's next message never reaches Bob; her own echo does not matter.
    world.relay.bend(|deliver| {
        if deliver.kind() == PostKind::Message {
            Bend::Drop
        } else {
            Bend::Honest
        }
    });
    world.send(alice, bob, "two");
    world.run_for(Span::seconds(1));
    world.relay.straighten();
    world.send(alice, bob, "three");
    world.run_for(Span::seconds(5));
    assert_eq!(world.texts(bob, alice), ["one", "three"]);
    world.run_for(Span::minutes(2));
    assert_eq!(sorted(world.texts(bob, alice)), ["one", "three", "two"]);
    let gaps = |world: &World<HostileRelay>| {
        let notices = &world.person(bob).notices;
        notices
            .iter()
            .filter_map(|notice| match notice {
                Notice::Gap(gap) => Some(gap.missing),
                _ => None,
            })
            .collect::<Vec<_>>()
    };
    assert_eq!(gaps(&world), [1, 0]);
    assert!(
        !world
            .history(bob, alice)
            .iter()
            .any(|entry| matches!(entry, Entry::Gap(_)))
    );
}

#[test]
fn a_gap_that_is_not_filled_stays_in_sight() {
    let (mut world, alice, bob) = on_hostile_relay(3, false);
    world.send(alice, bob, "one");
    world.run_for(Span::seconds(10));
    world.accept(bob, alice);
    world.relay.bend(|deliver| {
        if deliver.kind() == PostKind::Message {
            Bend::Drop
        } else {
            Bend::Honest
        }
    });
    world.send(alice, bob, "two");
    world.run_for(Span::seconds(1));
    world.relay.straighten();
    world.send(alice, bob, "three");
    world.run_for(Span::seconds(5));
    world.set_online(alice, false);
    world.run_for(Span::hours(1));
    let history = world.history(bob, alice);
    let gap = history.iter().find_map(|entry| match entry {
        Entry::Gap(gap) => Some(gap),
        _ => None,
    });
    let gap = gap.expect("a gap is shown");
    assert_eq!((gap.missing, gap.from.as_str()), (1, "alice@example.org"));
    world.set_online(alice, true);
    world.run_for(Span::minutes(1));
    assert_eq!(sorted(world.texts(bob, alice)), ["one", "three", "two"]);
}

#[test]
fn a_dropped_commit_leads_to_rejoining_and_loses_nothing() {
    let (mut world, alice, bob) = on_hostile_relay(4, false);
    world.send(alice, bob, "first");
    world.run_for(Span::seconds(10));
    world.relay.bend(|deliver| {
        if deliver.kind() == PostKind::Commit {
            Bend::Drop
        } else {
            Bend::Honest
        }
    });
    for n in 0..70 {
        world.send(alice, bob, &format!("{n:02}"));
        world.run_for(Span(200));
    }
    world.relay.straighten();
    world.run_for(Span::minutes(10));
    world.send(bob, alice, "still here");
    world.run_for(Span::minutes(10));
    assert_eq!(world.texts(bob, alice).len(), 72);
    assert_eq!(world.texts(alice, bob).len(), 72);
    let rejoined =
        world.person(bob).notices.iter().any(
            |notice| matches!(notice, Notice::Event(event) if event.event == EventKind::Rejoined),
        );
    assert!(rejoined);
    assert_eq!(world.status(bob).rejoining, 0);
}

#[test]
fn a_store_that_was_set_back_rejoins_before_it_sends() {
    for seed in 0..3 {
        let (mut world, alice, bob) = on_hostile_relay(300 + seed, true);
        world.send(alice, bob, "before");
        world.run_for(Span::seconds(10));
        world.send(bob, alice, "also before");
        world.run_for(Span::seconds(10));
        let copy = world.copy_while_off(bob);
        world.run_for(Span::seconds(5));
        for n in 0..60 {
            world.send(alice, bob, &format!("missed {n:02}"));
            if n % 10 == 0 {
                world.send(bob, alice, &format!("said {n:02}"));
            }
            world.run_for(Span(100));
        }
        world.run_for(Span::seconds(30));
        world.set_back(bob, &copy);
        let id = world.send(bob, alice, "after");
        world.run_for(Span::minutes(10));
        let texts = world.texts(bob, alice);
        for n in 0..60 {
            assert!(
                texts.contains(&format!("missed {n:02}")),
                "seed {seed}: {n} of {texts:?}"
            );
        }
        assert_eq!(
            world
                .texts(alice, bob)
                .iter()
                .filter(|text| *text == "after")
                .count(),
            1
        );
        assert!(world.state(bob, alice, id) >= Some(MessageState::Delivered));
        world.send(alice, bob, "and on");
        world.run_for(Span::minutes(1));
        assert!(world.texts(bob, alice).contains(&"and on".to_owned()));
        let set_back = world.person(bob).notices.iter().any(
            |notice| matches!(notice, Notice::Warning(warning) if warning.problem.code == "set_back"),
        );
        assert!(set_back);
    }
}

#[test]
fn altered_deliveries_are_neither_shown_nor_fatal() {
    let (mut world, alice, bob) = on_hostile_relay(5, false);
    world.send(alice, bob, "one");
    world.run_for(Span::seconds(10));
    world.accept(bob, alice);
    let mut n = 0_usize;
    world.relay.bend(move |deliver| {
        n += 1;
        let mut body = deliver.body.to_vec();
        let at = n * 7 % body.len();
        body[at] ^= 0x40;
        deliver.body = body.into();
        Bend::Honest
    });
    for n in 0..10 {
        world.send(alice, bob, &format!("altered {n}"));
        world.run_for(Span(300));
    }
    world.relay.straighten();
    world.send(alice, bob, "last");
    world.run_for(Span::minutes(10));
    let texts = world.texts(bob, alice);
    assert_eq!(texts.len(), 12, "{texts:?}");
}
