//! Making a group, and talking in it.

use waxwing_engine::api::{ChangeGroup, EventKind, MessageState};
use waxwing_protocol::time::Span;
use waxwing_system_tests::RelayPort as _;

use super::scene::{
    addresses, change, create, events, members, messages, people, say, show, texts,
};

#[test]
fn what_one_says_in_a_group_all_hear() {
    let (mut scene, [alice, bob, carol]) = people(1);
    let group = create(&mut scene, alice, "Family", &[bob, carol]);
    say(&mut scene, alice, group, "Hello all").unwrap();
    scene.run_for(Span::seconds(30));
    for person in [alice, bob, carol] {
        assert_eq!(texts(&mut scene, person, group), ["Hello all"]);
        assert_eq!(
            members(&mut scene, person, group),
            ["alice*", "bob", "carol"]
        );
        assert_eq!(show(&mut scene, person, group).unwrap().name, "Family");
    }
    say(&mut scene, bob, group, "Hello Alice and Carol").unwrap();
    say(&mut scene, carol, group, "Hello Alice and Bob").unwrap();
    scene.run_for(Span::seconds(30));
    for person in [alice, bob, carol] {
        let mut heard = texts(&mut scene, person, group);
        heard.sort();
        assert_eq!(
            heard,
            ["Hello Alice and Bob", "Hello Alice and Carol", "Hello all"]
        );
    }
    let heard = messages(&mut scene, carol, group);
    assert!(heard.iter().all(|message| message.from_verified));
    let said = messages(&mut scene, alice, group);
    let own = said
        .iter()
        .find(|message| message.from == "alice@example.org");
    assert!(own.unwrap().state >= Some(MessageState::Delivered));
    assert_eq!(scene.relay.waiting(), 0);
    for person in [alice, bob, carol] {
        let status = scene.status(person);
        assert_eq!((status.missing, status.outbox), (0, 0));
    }
}

#[test]
fn members_are_told_who_came_by_whom() {
    let (mut scene, [alice, bob]) = people(2);
    let group = create(&mut scene, alice, "Two", &[bob]);
    scene.run_for(Span::seconds(30));
    let own = |name: &str| format!("{name}@example.org");
    let came = |whom, by: Option<&str>| (EventKind::MemberAdded, own(whom), by.map(own));
    assert_eq!(
        events(&mut scene, alice, group),
        [came("alice", None), came("bob", Some("alice"))]
    );
    assert_eq!(events(&mut scene, bob, group), [came("bob", None)]);
}

#[test]
fn a_group_is_made_without_people_who_have_no_account() {
    let (mut scene, [alice, bob]) = people(3);
    let nobody = scene.add("nobody@example.org");
    let group = create(&mut scene, alice, "Three", &[nobody, bob]);
    say(&mut scene, alice, group, "Who is there?").unwrap();
    scene.run_for(Span::minutes(1));
    assert_eq!(members(&mut scene, alice, group), ["alice*", "bob"]);
    assert_eq!(texts(&mut scene, bob, group), ["Who is there?"]);
    let told = events(&mut scene, alice, group);
    let not_added = (EventKind::NotAdded, "nobody@example.org".to_owned(), None);
    assert!(told.contains(&not_added), "{told:?}");
    assert!(show(&mut scene, alice, group).unwrap().coming.is_empty());
}

#[test]
fn a_group_made_offline_reaches_all_once_there_is_a_network() {
    let (mut scene, [alice, bob, carol]) = people(4);
    scene.set_online(alice, false);
    let group = create(&mut scene, alice, "Later", &[bob, carol]);
    say(&mut scene, alice, group, "later").unwrap();
    scene.run_for(Span::hours(2));
    scene.crash(alice);
    scene.start(alice);
    assert!(show(&mut scene, bob, group).is_none());
    scene.set_online(alice, true);
    scene.run_for(Span::minutes(1));
    for person in [bob, carol] {
        assert_eq!(texts(&mut scene, person, group), ["later"]);
    }
}

/// `WAXWING_MEMBERS` says how many by hand: 40 is quick.
#[test]
fn a_group_of_many_talks() {
    let said = std::env::var("WAXWING_MEMBERS").ok();
    let size: usize = said.map_or(40, |said| said.parse().unwrap());
    let (mut scene, [alice]) = people(5);
    let others: Vec<_> = (1..size)
        .map(|number| scene.add_registered(&format!("p{number}@example.org")))
        .collect();
    let group = create(&mut scene, alice, "Many", &others);
    scene.run_for(Span::minutes(3));
    assert_eq!(members(&mut scene, alice, group).len(), size);
    say(&mut scene, others[7], group, "Can you all hear me?").unwrap();
    scene.run_for(Span::minutes(1));
    for person in &others {
        assert_eq!(texts(&mut scene, *person, group), ["Can you all hear me?"]);
        assert_eq!(members(&mut scene, *person, group).len(), size);
    }
    // Somebody goes, and another one comes.
    let (gone, stays) = (others[3], others[9]);
    let newcomer = scene.add_registered("new@example.org");
    let swap = ChangeGroup {
        remove: addresses(&scene, &[gone]),
        add: addresses(&scene, &[newcomer]),
        ..ChangeGroup::default()
    };
    change(&mut scene, alice, group, swap).unwrap();
    scene.run_for(Span::minutes(3));
    say(&mut scene, stays, group, "And now?").unwrap();
    scene.run_for(Span::minutes(1));
    for person in others.iter().filter(|one| **one != gone) {
        assert_eq!(members(&mut scene, *person, group).len(), size);
        assert_eq!(texts(&mut scene, *person, group).len(), 2);
    }
    assert_eq!(texts(&mut scene, newcomer, group), ["And now?"]);
    assert_eq!(texts(&mut scene, gone, group), ["Can you all hear me?"]);
}
