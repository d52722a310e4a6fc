//! Groups of people with several devices, and devices that lose things.

use waxwing_protocol::time::Span;
use waxwing_system_tests::{
    PersonId, RealRelay, World, WorldOptions,
    devices::{devices as list, linked, revoke},
};

use waxwing_engine::api::ChangeGroup;

use super::scene::{Scene, addresses, change, create, members, people, say, texts};

/// Alice, Bob and Carol, with Bob's store on disk, so that it can be set back.
fn bob_on_disk(seed: u64) -> (Scene, [PersonId; 3]) {
    let mut scene = World::new(seed, RealRelay::default(), WorldOptions::default());
    let alice = scene.add_registered("alice@example.org");
    let bob = scene.add_registered_on_disk("bob@example.org");
    let carol = scene.add_registered("carol@example.org");
    (scene, [alice, bob, carol])
}

#[test]
fn a_device_that_comes_later_is_in_the_group() {
    let (mut scene, [alice, bob, carol]) = people(31);
    let group = create(&mut scene, alice, "Family", &[bob, carol]);
    scene.run_for(Span::seconds(30));
    say(&mut scene, bob, group, "before").unwrap();
    scene.run_for(Span::seconds(30));
    let tablet = linked(&mut scene, alice);
    scene.run_for(Span::minutes(3));
    say(&mut scene, bob, group, "after").unwrap();
    scene.run_for(Span::minutes(1));
    assert_eq!(texts(&mut scene, tablet, group), ["before", "after"]);
    say(&mut scene, tablet, group, "from the tablet").unwrap();
    scene.run_for(Span::minutes(1));
    for person in [alice, bob, carol, tablet] {
        assert_eq!(
            texts(&mut scene, person, group),
            ["before", "after", "from the tablet"]
        );
        assert_eq!(
            members(&mut scene, person, group),
            ["alice*", "bob", "carol"]
        );
    }
}

#[test]
fn a_group_that_is_made_holds_all_devices_of_all() {
    let (mut scene, [alice, bob, carol]) = people(32);
    let alices = linked(&mut scene, alice);
    let group = create(&mut scene, bob, "Family", &[alice, carol]);
    say(&mut scene, bob, group, "hello").unwrap();
    scene.run_for(Span::minutes(2));
    for person in [alice, alices, bob, carol] {
        assert_eq!(texts(&mut scene, person, group), ["hello"]);
    }
}

#[test]
fn a_revoked_device_hears_nothing_more_of_a_group() {
    let (mut scene, [alice, bob, carol]) = people(33);
    let tablet = linked(&mut scene, alice);
    let group = create(&mut scene, bob, "Family", &[alice, carol]);
    scene.run_for(Span::minutes(2));
    let listed = list(&mut scene, alice);
    revoke(&mut scene, alice, &listed[1].short).unwrap();
    scene.run_for(Span::minutes(3));
    say(&mut scene, alice, group, "It is lost").unwrap();
    scene.run_for(Span::minutes(1));
    for person in [alice, bob, carol] {
        assert_eq!(texts(&mut scene, person, group), ["It is lost"]);
    }
    assert!(texts(&mut scene, tablet, group).is_empty());
}

#[test]
fn a_device_that_was_set_back_rejoins_and_misses_nothing() {
    let (mut scene, [alice, bob, carol]) = bob_on_disk(34);
    let group = create(&mut scene, alice, "Family", &[bob, carol]);
    scene.run_for(Span::seconds(30));
    say(&mut scene, bob, group, "one").unwrap();
    scene.run_for(Span::minutes(1));
    let copy = scene.copy_while_off(bob);
    say(&mut scene, bob, group, "two").unwrap();
    say(&mut scene, carol, group, "three").unwrap();
    scene.run_for(Span::minutes(1));
    scene.set_back(bob, &copy);
    scene.run_for(Span::minutes(5));
    say(&mut scene, bob, group, "four").unwrap();
    scene.run_for(Span::minutes(2));
    for person in [alice, carol] {
        let mut heard = texts(&mut scene, person, group);
        heard.sort();
        assert_eq!(heard, ["four", "one", "three", "two"]);
    }
    let mut heard = texts(&mut scene, bob, group);
    heard.sort();
    assert!(heard.contains(&"three".to_owned()), "{heard:?}");
}

#[test]
fn a_device_with_an_old_rejoin_secret_is_re_added() {
    let (mut scene, [alice, bob, carol]) = bob_on_disk(35);
    let group = create(&mut scene, alice, "Family", &[bob, carol]);
    scene.run_for(Span::minutes(1));
    say(&mut scene, bob, group, "one").unwrap();
    scene.run_for(Span::minutes(1));
    let copy = scene.copy_while_off(bob);
    // With Carol the secret goes that Bob's old copy has.
    let out = ChangeGroup {
        remove: addresses(&scene, &[carol]),
        ..ChangeGroup::default()
    };
    change(&mut scene, alice, group, out).unwrap();
    scene.run_for(Span::minutes(1));
    say(&mut scene, alice, group, "two").unwrap();
    scene.run_for(Span::minutes(1));
    scene.set_back(bob, &copy);
    scene.run_for(Span::minutes(10));
    say(&mut scene, alice, group, "three").unwrap();
    say(&mut scene, bob, group, "four").unwrap();
    scene.run_for(Span::minutes(2));
    for person in [alice, bob] {
        let mut heard = texts(&mut scene, person, group);
        heard.sort();
        assert_eq!(heard, ["four", "one", "three", "two"]);
        assert_eq!(members(&mut scene, person, group), ["alice*", "bob"]);
    }
    assert_eq!(scene.status(bob).missing, 0);
}

#[test]
fn a_re_added_device_hears_members_who_had_been_silent() {
    let (mut scene, [alice, bob, carol]) = bob_on_disk(36);
    let dora = scene.add_registered("dora@example.org");
    let group = create(&mut scene, alice, "Family", &[bob, carol, dora]);
    scene.run_for(Span::minutes(1));
    let copy = scene.copy_while_off(bob);
    // The rejoin secret of the copy goes with Carol.
    let out = ChangeGroup {
        remove: addresses(&scene, &[carol]),
        ..ChangeGroup::default()
    };
    change(&mut scene, alice, group, out).unwrap();
    scene.run_for(Span::minutes(1));
    say(&mut scene, dora, group, "only once").unwrap();
    scene.run_for(Span::minutes(1));
    scene.set_back(bob, &copy);
    scene.run_for(Span::minutes(20));
    assert_eq!(texts(&mut scene, bob, group), ["only once"]);
}
