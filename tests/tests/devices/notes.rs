//! What a person writes to themselves.

use waxwing_engine::api::{ConversationKind, MessageState, Request, Response};
use waxwing_protocol::time::Span;
use waxwing_system_tests::RelayPort as _;

use super::scene::{alice_and_bob, alice_twice_and_bob, linked};

#[test]
fn notes_of_the_only_device_stay_and_follow_to_the_next() {
    let (mut scene, alice, _) = alice_and_bob(71);
    let before = scene.relay.posts();
    let id = scene.send(alice, alice, "milk, eggs");
    scene.run_for(Span::minutes(1));
    assert_eq!(scene.state(alice, alice, id), Some(MessageState::Read));
    assert_eq!(scene.relay.posts(), before);
    let Response::Conversations(waxwing_engine::api::Conversations { conversations }) =
        scene.command(alice, Request::Conversations).unwrap()
    else {
        panic!("conversations");
    };
    assert_eq!(conversations[0].kind, ConversationKind::Notes);
    let tablet = linked(&mut scene, alice);
    scene.run_for(Span::minutes(3));
    assert_eq!(scene.texts(tablet, alice), ["milk, eggs"]);
    scene.send(tablet, alice, "bread");
    scene.run_for(Span::minutes(1));
    assert_eq!(scene.texts(alice, alice), ["milk, eggs", "bread"]);
}

#[test]
fn notes_are_on_all_devices_also_when_two_begin_at_once() {
    for seed in 72..78 {
        let (mut scene, first, second, _) = alice_twice_and_bob(seed);
        scene.send(first, first, "from the phone");
        scene.send(second, first, "from the tablet");
        scene.run_for(Span::minutes(3));
        let third = linked(&mut scene, second);
        scene.run_for(Span::minutes(3));
        scene.send(third, first, "from the laptop");
        scene.run_for(Span::minutes(2));
        for device in [first, second, third] {
            let mut texts = scene.texts(device, first);
            texts.sort();
            assert_eq!(
                texts,
                ["from the laptop", "from the phone", "from the tablet"],
                "seed {seed}, {device:?}"
            );
            let status = scene.status(device);
            assert_eq!((status.missing, status.outbox), (0, 0));
        }
    }
}
