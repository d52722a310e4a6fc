//! Commits, welcomes and group information that are too large for a frame: they go as parcels.
//! Here all are, since nothing is small enough.

use waxwing_engine::Config;
use waxwing_protocol::time::Span;
use waxwing_system_tests::{Passing, RealRelay, World, WorldOptions, devices::linked_as};

use super::scene::*;

fn everything_is_too_large(seed: u64) -> Scene {
    let options = WorldOptions {
        stores_on_disk: true,
        engine: Config { inline_bytes: 512 },
        ..WorldOptions::default()
    };
    World::new(seed, RealRelay::default(), options)
}

#[test]
fn people_come_and_go_and_lose_their_place_as_in_small_groups() {
    let mut scene = everything_is_too_large(900);
    let [alice, bob, carol, dora] = ["alice", "bob", "carol", "dora"]
        .map(|name| scene.add_registered(&format!("{name}@example.org")));
    let group = create(&mut scene, alice, "Family", &[bob, carol]);
    scene.run_for(Span::minutes(3));
    say(&mut scene, carol, group, "one").unwrap();
    scene.run_for(Span::minutes(1));
    let copy = scene.copy_while_off(bob);
    // Somebody new, a new device, and somebody who is taken out.
    change(&mut scene, alice, group, adding(&scene_address("dora"))).unwrap();
    let tablet = linked_as(&mut scene, carol, "carol@example.org");
    scene.run_for(Span::minutes(3));
    for (who, text) in [(dora, "two"), (tablet, "three")] {
        say(&mut scene, who, group, text).unwrap();
        scene.run_for(Span::minutes(1));
    }
    // Bob's device is set back: it takes itself in again, by a commit of its own.
    scene.set_back(bob, &copy);
    scene.run_for(Span::minutes(10));
    say(&mut scene, bob, group, "four").unwrap();
    scene.run_for(Span::minutes(1));
    change(&mut scene, alice, group, removing(&scene_address("dora"))).unwrap();
    scene.run_for(Span::minutes(3));
    say(&mut scene, carol, group, "five").unwrap();
    scene.run_for(Span::minutes(1));
    let texts = |scene: &mut Scene, who| {
        let all = messages(scene, who, group).into_iter();
        all.map(|message| message.text).collect::<Vec<_>>()
    };
    for who in [alice, bob, carol] {
        assert_eq!(
            texts(&mut scene, who),
            ["one", "two", "three", "four", "five"]
        );
    }
    // What was said before she came is sent again for Bob alone.
    assert_eq!(texts(&mut scene, dora), ["two", "three", "four"]);
    assert_eq!(show(&mut scene, bob, group).unwrap().members.len(), 3);
    // Of all that went, the newest information of each conversation is left, and what those
    // did not fetch who had no need to.
    assert!(scene.relay.blobs() < 12, "{}", scene.relay.blobs());
}

#[test]
fn whoever_is_killed_on_the_way_goes_on() {
    for frames in 1..24 {
        let mut scene = everything_is_too_large(901);
        let [alice, bob, carol] = ["alice", "bob", "carol"]
            .map(|name| scene.add_registered(&format!("{name}@example.org")));
        let group = create(&mut scene, alice, "Family", &[bob]);
        scene.run_for(Span::minutes(3));
        change(&mut scene, alice, group, adding(&scene_address("carol"))).unwrap();
        scene.run_steps(frames * 4);
        for who in [alice, bob] {
            scene.crash(who);
            scene.start(who);
        }
        scene.run_for(Span::minutes(5));
        say(&mut scene, alice, group, "welcome").unwrap();
        scene.run_for(Span::minutes(1));
        for who in [bob, carol] {
            let all = messages(&mut scene, who, group);
            let heard = all.iter().any(|message| message.text == "welcome");
            assert!(heard, "{frames} {who:?}");
        }
    }
}

fn scene_address(name: &str) -> String {
    format!("{name}@example.org")
}

fn adding(address: &str) -> waxwing_engine::api::ChangeGroup {
    waxwing_engine::api::ChangeGroup {
        add: vec![address.into()],
        ..Default::default()
    }
}

fn removing(address: &str) -> waxwing_engine::api::ChangeGroup {
    waxwing_engine::api::ChangeGroup {
        remove: vec![address.into()],
        ..Default::default()
    }
}

#[test]
fn an_absent_member_finds_the_commit_that_adds_many_devices() {
    let mut scene = everything_is_too_large(902);
    let [alice, bob, carol, dora] = ["alice", "bob", "carol", "dora"]
        .map(|name| scene.add_registered(&format!("{name}@example.org")));
    for _ in 0..2 {
        linked_as(&mut scene, dora, "dora@example.org");
    }
    let group = create(&mut scene, alice, "Family", &[bob, carol]);
    scene.run_for(Span::minutes(3));
    scene.set_online(bob, false);
    change(&mut scene, alice, group, adding(&scene_address("dora"))).unwrap();
    scene.run_for(Span::minutes(3));
    // Dora's devices have not taken what was left for Bob's.
    scene.watch(move |who, passing| {
        use waxwing_protocol::pb::client_frame::Body;
        let asks = matches!(
            passing,
            Passing::Left(frame) if matches!(frame.body, Some(Body::FetchGroupInfo(_)))
        );
        assert!(who != bob || !asks, "Bob's device lost its place");
        false
    });
    scene.set_online(bob, true);
    scene.run_for(Span::minutes(3));
    assert_eq!(show(&mut scene, bob, group).unwrap().members.len(), 4);
}

#[test]
fn a_group_above_the_daily_limit_grows_over_days() {
    let options = WorldOptions {
        engine: Config { inline_bytes: 512 },
        ..WorldOptions::default()
    };
    let relay = RealRelay::with(&waxwing_relay::relay::Config {
        tokens_per_day: 24,
        ..waxwing_relay::relay::Config::default()
    });
    let mut scene = World::new(903, relay, options);
    let alice = scene.add_registered("alice@example.org");
    let others: Vec<_> = (0..30)
        .map(|number| scene.add_registered(&format!("p{number}@example.org")))
        .collect();
    let group = create(&mut scene, alice, "Many", &others);
    scene.run_for(Span::minutes(5));
    let first = members(&mut scene, alice, group).len();
    assert!((15..25).contains(&first), "{first} on the first day");
    say(&mut scene, alice, group, "Good morning").unwrap();
    scene.run_for(Span::minutes(1));
    let mut heard = 0;
    for other in &others {
        heard += texts(&mut scene, *other, group).len();
    }
    assert_eq!(heard, first - 1);
    scene.run_for(Span::hours(25));
    assert_eq!(members(&mut scene, alice, group).len(), 31);
}
