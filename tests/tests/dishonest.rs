//! The dishonest client is a client: what it does by the rules, others take. Otherwise an
//! attack could fail because nobody could make sense of it.
//!
//! **Elsewhere**: the attacks are in `attacks/`.

use waxwing_engine::api::{ChangeGroup, ConversationId};
use waxwing_protocol::{ids::GroupId, time::Span};
use waxwing_system_tests::{
    Commit, Dishonest, External, Founding, PersonId, RealRelay, World, WorldOptions,
    groups::{addresses, change, create, members, say, show, texts},
};

type Scene = World<RealRelay>;

fn group_of_three(seed: u64) -> (Scene, [PersonId; 3], ConversationId) {
    let mut scene = World::new(seed, RealRelay::default(), WorldOptions::default());
    let people = ["alice", "bob", "mallory"]
        .map(|name| scene.add_registered_on_disk(&format!("{name}@example.org")));
    let [alice, bob, mallory] = people;
    let group = create(&mut scene, alice, "Family", &[bob, mallory]);
    scene.run_for(Span::minutes(2));
    (scene, people, group)
}

#[test]
fn what_it_says_by_the_rules_is_heard() {
    let (mut scene, [alice, bob, mallory], group) = group_of_three(1);
    let mut client = Dishonest::takes_over(&mut scene, mallory);
    let id = client.group_of(group);
    client.commit(&mut scene, id, Commit::default()).unwrap();
    let hello = client.text("hello");
    client.say(&mut scene, id, hello).unwrap();
    scene.run_for(Span::minutes(1));
    assert_eq!(texts(&mut scene, alice, group), ["hello"]);
    // And its honest program goes on from there.
    client.is_honest_again(&mut scene, mallory);
    say(&mut scene, mallory, group, "again").unwrap();
    scene.run_for(Span::minutes(2));
    assert_eq!(texts(&mut scene, bob, group), ["hello", "again"]);
}

#[test]
fn a_thief_reads_and_comes_in_with_what_is_still_good() {
    let (mut scene, [alice, _, mallory], group) = group_of_three(2);
    let mut thief = Dishonest::thief(&mut scene, mallory);
    let id = thief.group_of(group);
    assert!(thief.log_in(&mut scene));
    say(&mut scene, alice, group, "for the three").unwrap();
    scene.run_for(Span::seconds(10));
    thief.listen(&mut scene);
    assert!(thief.has_read("for the three"));
    assert!(!thief.has_read("for the four"));
    let secret = thief.rejoin_secret(id);
    let claims = thief.credential();
    let external = External { secret, claims };
    thief.comes_in(&mut scene, id, external).unwrap();
    let text = thief.text("from outside");
    thief.say(&mut scene, id, text).unwrap();
    scene.run_for(Span::minutes(1));
    let heard = texts(&mut scene, alice, group);
    assert_eq!(heard, ["for the three", "from outside"]);
}

#[test]
fn a_group_that_it_makes_by_the_rules_is_one() {
    let (mut scene, [alice, _, mallory], _) = group_of_three(3);
    let mut client = Dishonest::takes_over(&mut scene, mallory);
    let alices = scene.person(alice).address.clone();
    let claimed = client.claim(&mut scene, &alices);
    let group = ConversationId::from_bytes([7; 16]);
    let alice_id = scene.account_of(alice);
    let mut secrets = waxwing_protocol::pb::ConversationSecrets {
        rejoin_secret: vec![1; 32].into(),
        addresses: vec![
            waxwing_protocol::pb::MemberAddress {
                account_id: client.account.to_bytes(),
                address: "mallory@example.org".into(),
            },
            waxwing_protocol::pb::MemberAddress {
                account_id: alice_id.to_bytes(),
                address: alices,
            },
        ],
        state: Some(waxwing_protocol::pb::ConversationState {
            conversation_id: vec![7; 16].into(),
            generation: 1,
            name: "Another".into(),
            admins: vec![client.account.to_bytes()],
            ..Default::default()
        }),
    };
    secrets
        .addresses
        .sort_by(|one, other| one.account_id.cmp(&other.account_id));
    let founding = Founding {
        id: GroupId([7; 16]),
        secrets,
        members: claimed,
    };
    client.found(&mut scene, founding).unwrap();
    let text = client.text("welcome");
    client.say(&mut scene, GroupId([7; 16]), text).unwrap();
    scene.run_for(Span::minutes(1));
    assert_eq!(show(&mut scene, alice, group).unwrap().name, "Another");
    assert_eq!(texts(&mut scene, alice, group), ["welcome"]);
}

#[test]
fn what_it_commits_as_an_admin_is_followed() {
    let (mut scene, [alice, bob, mallory], group) = group_of_three(4);
    let promote = ChangeGroup {
        promote: addresses(&scene, &[mallory]),
        ..ChangeGroup::default()
    };
    change(&mut scene, alice, group, promote).unwrap();
    scene.run_for(Span::minutes(1));
    let mut client = Dishonest::takes_over(&mut scene, mallory);
    let id = client.group_of(group);
    let mut secrets = client.secrets(id);
    secrets.state.as_mut().unwrap().name = "Renamed".into();
    let commit = Commit {
        secrets: Some(secrets),
        ..Commit::default()
    };
    client.commit(&mut scene, id, commit).unwrap();
    scene.run_for(Span::minutes(1));
    for person in [alice, bob] {
        assert_eq!(show(&mut scene, person, group).unwrap().name, "Renamed");
        let shown = members(&mut scene, person, group);
        assert_eq!(shown, ["alice*", "bob", "mallory*"]);
    }
}
