//! What people write reaches all devices of both sides.

use waxwing_engine::api::MessageState;
use waxwing_protocol::time::Span;

use super::scene::{ALICE, alice_and_bob, alice_twice_and_bob, converse, linked};

#[test]
fn both_devices_show_all_that_either_side_sent() {
    let (mut scene, first, second, bob) = alice_twice_and_bob(1);
    // A conversation that began after the second device came.
    scene.send(bob, first, "to both of you");
    scene.run_for(Span::minutes(3));
    for device in [first, second] {
        assert_eq!(scene.texts(device, bob), ["to both of you"]);
    }
    let id = scene.send(second, bob, "from the tablet");
    scene.run_for(Span::minutes(1));
    assert_eq!(
        scene.texts(bob, first),
        ["to both of you", "from the tablet"]
    );
    for device in [first, second] {
        assert_eq!(
            scene.texts(device, bob),
            ["to both of you", "from the tablet"]
        );
        assert_eq!(scene.state(device, bob, id), Some(MessageState::Delivered));
        assert_eq!(scene.status(device).missing, 0);
    }
}

#[test]
fn a_conversation_that_one_device_begins_is_on_the_other() {
    let (mut scene, first, second, bob) = alice_twice_and_bob(2);
    scene.send(first, bob, "hello");
    scene.run_for(Span::minutes(3));
    scene.send(bob, second, "hello yourself");
    scene.run_for(Span::minutes(1));
    assert_eq!(scene.texts(first, bob), ["hello", "hello yourself"]);
    // What was said before it came in is not known to it; everything after is.
    assert!(
        scene
            .texts(second, bob)
            .contains(&"hello yourself".to_owned())
    );
    scene.send(second, bob, "and from here");
    scene.run_for(Span::minutes(1));
    assert_eq!(
        scene.texts(first, bob),
        ["hello", "hello yourself", "and from here"]
    );
    assert_eq!(
        scene.texts(bob, first),
        ["hello", "hello yourself", "and from here"]
    );
}

#[test]
fn a_new_device_joins_every_conversation() {
    let (mut scene, first, bob) = alice_and_bob(3);
    let carol = scene.add_registered("carol@example.org");
    converse(&mut scene, first, bob, 5);
    converse(&mut scene, first, carol, 5);
    let second = linked(&mut scene, first);
    scene.send(bob, first, "bob, later");
    scene.send(carol, first, "carol, later");
    scene.run_for(Span::minutes(2));
    for other in [bob, carol] {
        assert!(scene.texts(first, other) == scene.texts(second, other));
        assert_eq!(scene.texts(second, other).len(), 6);
    }
}

#[test]
fn what_is_said_while_a_device_is_being_linked_is_on_it_too() {
    let (mut scene, first, bob) = alice_and_bob(4);
    converse(&mut scene, first, bob, 40);
    let second = scene.add(ALICE);
    super::scene::link(&mut scene, second);
    let code = super::scene::code(&scene, second);
    super::scene::approve(&mut scene, first, &code).unwrap();
    super::scene::confirm(&mut scene, first, true).unwrap();
    for number in 0..40 {
        let (from, to) = if number % 2 == 0 {
            (first, bob)
        } else {
            (bob, first)
        };
        scene.send(from, to, &format!("meanwhile {number}"));
        scene.run_for(Span(300));
    }
    scene.run_for(Span::minutes(4));
    let mut all = scene.texts(first, bob);
    let mut on_second = scene.texts(second, bob);
    assert_eq!(all.len(), 80);
    all.sort();
    on_second.sort();
    assert_eq!(all, on_second);
    assert_eq!(scene.status(second).missing, 0);
}

#[test]
fn two_people_with_two_devices_each_write_to_each_other() {
    let (mut scene, first, second, bob) = alice_twice_and_bob(5);
    let bobs = super::scene::linked_as(&mut scene, bob, "bob@example.org");
    scene.send(first, bob, "one");
    scene.run_for(Span::minutes(3));
    scene.send(bobs, second, "two");
    scene.run_for(Span::minutes(1));
    scene.send(second, bob, "three");
    scene.run_for(Span::minutes(1));
    let of_alice = scene.texts(first, bob);
    assert_eq!(of_alice, ["one", "two", "three"]);
    for (device, other) in [(second, bob), (bob, first), (bobs, first)] {
        let texts = scene.texts(device, other);
        assert!(
            texts.ends_with(&["two".to_owned(), "three".to_owned()]),
            "{texts:?}"
        );
    }
}
