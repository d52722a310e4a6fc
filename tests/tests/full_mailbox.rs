//! Devices whose mailbox at the relay is full: who gets what is posted, and when.
//!
//! **Elsewhere**: how much of a mailbox one group may have: `relay`'s `mailbox::waiting`;
//! full disks are in `full_disk.rs` and `message_simulation.rs`.
//!
//! **Always**: nobody else waits for the full one, and when its device is there again it gets
//! everything that was left out, each message once, and nobody does anything for it.

use waxwing_engine::api::{ConversationId, Notice};
use waxwing_protocol::{pb::ErrorCode, time::Span};
use waxwing_relay::relay::Config;
use waxwing_system_tests::{PersonId, RealRelay, World, WorldOptions, groups};

type Scene = World<RealRelay>;

/// One group may have an eighth of a mailbox: 20 posts.
fn small_mailboxes(seed: u64) -> Scene {
    let config = Config {
        mailbox_posts: 160,
        ..Config::default()
    };
    let options = WorldOptions {
        stores_on_disk: true,
        ..WorldOptions::default()
    };
    World::new(seed, RealRelay::with(&config), options)
}

fn family(scene: &mut Scene) -> ([PersonId; 3], ConversationId) {
    let people =
        ["alice", "bob", "carol"].map(|name| scene.add_registered(&format!("{name}@example.org")));
    let group = groups::create(scene, people[0], "Family", &people[1..]);
    scene.run_for(Span::minutes(3));
    (people, group)
}

fn say(scene: &mut Scene, who: PersonId, group: ConversationId, numbers: std::ops::Range<u32>) {
    for n in numbers {
        groups::say(scene, who, group, &format!("{n:03}")).unwrap();
        scene.run_for(Span::seconds(2));
    }
}

#[track_caller]
fn has_all(scene: &mut Scene, who: PersonId, group: ConversationId, count: u32) {
    let mut texts = groups::texts(scene, who, group);
    texts.sort();
    let all: Vec<String> = (0..count).map(|n| format!("{n:03}")).collect();
    assert_eq!(texts, all);
    let status = scene.status(who);
    assert_eq!((status.outbox, status.missing, status.rejoining), (0, 0, 0));
}

fn was_refused(scene: &Scene) -> bool {
    let full = |(_, code): &(PersonId, ErrorCode)| *code == ErrorCode::MailboxFull;
    scene.refusals.iter().any(full)
}

#[test]
fn a_full_mailbox_stops_nobody_and_is_made_whole_by_itself() {
    let mut scene = small_mailboxes(4100);
    let ([alice, bob, carol], group) = family(&mut scene);
    scene.set_online(carol, false);
    // Past a rekey, whose commit is left out as well.
    say(&mut scene, alice, group, 0..70);
    assert!(!was_refused(&scene));
    has_all(&mut scene, alice, group, 70);
    has_all(&mut scene, bob, group, 70);
    scene.set_online(carol, true);
    scene.run_for(Span::minutes(30));
    has_all(&mut scene, carol, group, 70);
    // She is in it as before.
    say(&mut scene, carol, group, 70..71);
    say(&mut scene, bob, group, 71..72);
    scene.run_for(Span::minutes(3));
    for who in [alice, bob, carol] {
        has_all(&mut scene, who, group, 72);
    }
}

#[test]
fn what_was_left_out_last_is_asked_for_though_nothing_follows() {
    let mut scene = small_mailboxes(4101);
    let ([alice, bob, carol], group) = family(&mut scene);
    scene.set_online(carol, false);
    say(&mut scene, alice, group, 0..30);
    scene.set_online(carol, true);
    scene.run_for(Span::minutes(5));
    has_all(&mut scene, carol, group, 30);
    has_all(&mut scene, bob, group, 30);
}

#[test]
fn relay_and_device_that_crash_lose_no_mark() {
    let mut scene = small_mailboxes(4102);
    let ([alice, bob, carol], group) = family(&mut scene);
    scene.set_online(carol, false);
    say(&mut scene, alice, group, 0..30);
    scene.crash_relay();
    scene.run_for(Span::minutes(1));
    scene.set_online(carol, true);
    // The mark is stored before it is acknowledged, and before anybody is asked.
    for _ in 0..5 {
        scene.run_for(Span::seconds(3));
        scene.crash(carol);
        scene.start(carol);
    }
    scene.run_for(Span::minutes(10));
    has_all(&mut scene, carol, group, 30);
    has_all(&mut scene, bob, group, 30);
}

#[test]
fn somebody_new_is_added_while_a_members_mailbox_is_full() {
    let mut scene = small_mailboxes(4103);
    let ([alice, bob, carol], group) = family(&mut scene);
    scene.set_online(carol, false);
    say(&mut scene, alice, group, 0..30);
    let dora = scene.add_registered("dora@example.org");
    let add = waxwing_engine::api::ChangeGroup {
        add: vec!["dora@example.org".to_owned()],
        ..Default::default()
    };
    groups::change(&mut scene, alice, group, add).unwrap();
    scene.run_for(Span::minutes(3));
    groups::say(&mut scene, dora, group, "hello").unwrap();
    scene.run_for(Span::minutes(1));
    scene.set_online(carol, true);
    scene.run_for(Span::hours(1));
    for who in [bob, carol] {
        assert_eq!(groups::texts(&mut scene, who, group).len(), 31);
        assert_eq!(groups::members(&mut scene, who, group).len(), 4);
    }
    groups::say(&mut scene, carol, group, "back").unwrap();
    scene.run_for(Span::minutes(3));
    assert!(groups::texts(&mut scene, dora, group).contains(&"back".to_owned()));
}

#[test]
fn between_two_the_sender_is_told_and_everything_arrives() {
    let mut scene = small_mailboxes(4104);
    let [alice, bob] =
        ["alice", "bob"].map(|name| scene.add_registered(&format!("{name}@example.org")));
    scene.send(alice, bob, "000");
    scene.send(bob, alice, "hi");
    scene.run_for(Span::minutes(1));
    scene.set_online(bob, false);
    for n in 1..40 {
        scene.send(alice, bob, &format!("{n:03}"));
        scene.run_for(Span::seconds(2));
    }
    assert!(was_refused(&scene));
    assert!(scene.status(alice).outbox > 0);
    scene.set_online(bob, true);
    scene.run_for(Span::minutes(30));
    let mut texts = scene.texts(bob, alice);
    texts.retain(|text| text != "hi");
    texts.sort();
    let all: Vec<String> = (0..40).map(|n| format!("{n:03}")).collect();
    assert_eq!(texts, all);
    assert_eq!(scene.status(alice).outbox, 0);
}

#[test]
fn a_stranger_who_fills_a_mailbox_takes_no_room_from_friends() {
    let mut scene = small_mailboxes(4105);
    let ([alice, bob, carol], group) = family(&mut scene);
    let mallory = scene.add_registered("mallory@example.org");
    scene.set_online(carol, false);
    for n in 0..100 {
        scene.send(mallory, carol, &format!("spam {n}"));
        scene.run_for(Span(200));
    }
    let before = scene.refusals.len();
    say(&mut scene, alice, group, 0..8);
    let refused = &scene.refusals[before..];
    assert!(!refused.iter().any(|(who, _)| *who == alice));
    scene.set_online(carol, true);
    scene.run_for(Span::minutes(1));
    has_all(&mut scene, carol, group, 8);
    has_all(&mut scene, bob, group, 8);
    let gap = |notice: &Notice| matches!(notice, Notice::Gap(_));
    assert!(!scene.person(carol).notices.iter().any(gap));
}
