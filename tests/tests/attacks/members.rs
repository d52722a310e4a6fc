//! Members with a program of their own, who try to stop a group or to make it theirs.

use std::{cell::Cell, rc::Rc};

use waxwing_engine::api::{ChangeGroup, ConversationId, EventKind};
use waxwing_protocol::{
    ids::{AccountId, GroupId},
    pb::{
        ConversationSecrets, Deliver, MemberAddress, PostKind, client_frame::Body as Ask,
        relay_frame::Body as Answer,
    },
    time::Span,
};
use waxwing_system_tests::{
    Commit, Dishonest, Fate, Founding, PersonId,
    devices::linked,
    groups::{addresses, change, create, events, leave, members, say, show, texts},
};

use super::scene::{Scene, empty};

/// A group in which Alice and Bob are admins, and Carol, Dora and Mallory are not.
fn five(seed: u64) -> (Scene, [PersonId; 5], ConversationId) {
    let mut scene = empty(seed);
    let people = ["alice", "bob", "carol", "dora", "mallory"]
        .map(|name| scene.add_registered(&format!("{name}@example.org")));
    let [alice, bob, ..] = people;
    let group = create(&mut scene, alice, "Five", &people[1..]);
    scene.run_for(Span::minutes(2));
    let promote = ChangeGroup {
        promote: addresses(&scene, &[bob]),
        ..ChangeGroup::default()
    };
    change(&mut scene, alice, group, promote).unwrap();
    scene.run_for(Span::minutes(1));
    (scene, people, group)
}

/// These are the members, they hear each other, and after a restart, too.
fn go_on(scene: &mut Scene, stay: &[PersonId], group: ConversationId, shown: &[&str]) {
    for round in ["as they were", "after a restart"] {
        for (n, person) in stay.iter().enumerate() {
            assert_eq!(members(scene, *person, group), shown, "{person:?} {round}");
            say(scene, *person, group, &format!("{n} {round}")).unwrap();
        }
        scene.run_for(Span::minutes(3));
        for person in stay {
            let heard = texts(scene, *person, group);
            for n in 0..stay.len() {
                let count = heard.iter().filter(|one| **one == format!("{n} {round}"));
                assert_eq!(count.count(), 1, "{person:?}: {heard:?}");
            }
        }
        for person in stay {
            scene.crash(*person);
            scene.start(*person);
        }
        scene.run_for(Span::minutes(2));
    }
}

fn has(scene: &mut Scene, who: PersonId, group: ConversationId, event: EventKind) -> bool {
    let events = events(scene, who, group);
    events.iter().any(|one| one.0 == event)
}

/// Makes a group that says it is the conversation's next, with its maker alone as admin.
fn found_next(
    scene: &mut Scene,
    client: &mut Dishonest,
    of: GroupId,
    generation: u64,
    victims: &[PersonId],
) -> GroupId {
    let mut secrets: ConversationSecrets = client.secrets(of);
    let state = secrets.state.as_mut().unwrap();
    state.generation = generation;
    state.admins = vec![client.account.to_bytes()];
    let mut taken = Vec::new();
    for victim in victims {
        let address = scene.person(*victim).address.clone();
        taken.extend(client.claim(scene, &address));
    }
    let id = GroupId([generation.to_be_bytes()[7] | 0x80; 16]);
    let founding = Founding {
        id,
        secrets,
        members: taken,
    };
    client.found(scene, founding).unwrap();
    id
}

fn only_admin(secrets: &mut ConversationSecrets, account: AccountId) {
    secrets.state.as_mut().unwrap().admins = vec![account.to_bytes()];
}

/// Somebody who is no admin makes themselves the only one.
fn break_rules(scene: &mut Scene, client: &mut Dishonest, group: GroupId) {
    let mut secrets = client.secrets(group);
    only_admin(&mut secrets, client.account);
    let breaks = Commit {
        secrets: Some(secrets),
        ..Commit::default()
    };
    client.commit(scene, group, breaks).unwrap();
}

/// Takes the place of a commit with what nobody can read.
fn spoil(scene: &mut Scene, client: &mut Dishonest, group: GroupId) {
    let spoilt = Commit {
        body: Some(vec![7; 300]),
        ..Commit::default()
    };
    client.commit(scene, group, spoilt).unwrap();
}

#[test]
fn a_member_who_breaks_a_group_does_not_found_the_next() {
    let (mut scene, people, group) = five(801);
    let [alice, bob, carol, dora, mallory] = people;
    let mut client = Dishonest::takes_over(&mut scene, mallory);
    let id = client.group_of(group);
    break_rules(&mut scene, &mut client, id);
    let theirs = found_next(&mut scene, &mut client, id, 2, &[alice, carol, dora]);
    let text = client.text("mine now");
    client.say(&mut scene, theirs, text).unwrap();
    scene.run_for(Span::hours(1));
    let stay = [alice, bob, carol, dora];
    for person in stay {
        assert!(has(&mut scene, person, group, EventKind::RulesBroken));
        assert!(!texts(&mut scene, person, group).contains(&"mine now".to_owned()));
    }
    go_on(
        &mut scene,
        &stay,
        group,
        &["alice*", "bob*", "carol", "dora"],
    );
}

#[test]
fn whoever_has_a_members_address_now_is_not_in_the_next_group() {
    let (mut scene, people, group) = five(810);
    let [alice, bob, carol, dora, mallory] = people;
    scene.set_online(carol, false);
    let new = scene.add_registered("carol@example.org");
    // So that her address is looked up again.
    scene.run_for(Span::minutes(15));
    let mut client = Dishonest::takes_over(&mut scene, mallory);
    let id = client.group_of(group);
    break_rules(&mut scene, &mut client, id);
    scene.run_for(Span::hours(1));
    assert!(members(&mut scene, new, group).is_empty());
    // Whoever made the next group is told.
    let is_told = [alice, bob].map(|who| has(&mut scene, who, group, EventKind::NotAdded));
    assert!(is_told.contains(&true));
    go_on(
        &mut scene,
        &[alice, bob, dora],
        group,
        &["alice*", "bob*", "dora"],
    );
}

#[test]
fn only_an_admin_founds_a_conversations_next_group() {
    let (mut scene, people, group) = five(802);
    let [alice, bob, carol, dora, mallory] = people;
    let mut client = Dishonest::takes_over(&mut scene, mallory);
    let id = client.group_of(group);
    for generation in [2, 3, 1 << 20] {
        found_next(&mut scene, &mut client, id, generation, &[alice, carol]);
    }
    scene.run_for(Span::minutes(30));
    let shown = ["alice*", "bob*", "carol", "dora", "mallory"];
    go_on(&mut scene, &[alice, bob, carol, dora], group, &shown);
}

#[test]
fn an_admin_who_was_removed_meanwhile_founds_nothing() {
    let (mut scene, people, group) = five(803);
    let [alice, bob, carol, dora, _] = people;
    let mut client = Dishonest::takes_over(&mut scene, bob);
    let id = client.group_of(group);
    // Carol hears of Bob's group before she hears that he is out.
    scene.set_online(carol, false);
    found_next(&mut scene, &mut client, id, 2, &[carol]);
    let remove = ChangeGroup {
        remove: addresses(&scene, &[bob]),
        ..ChangeGroup::default()
    };
    change(&mut scene, alice, group, remove).unwrap();
    scene.run_for(Span::minutes(1));
    scene.set_online(carol, true);
    scene.run_for(Span::minutes(30));
    let shown = ["alice*", "carol", "dora", "mallory"];
    go_on(&mut scene, &[alice, carol, dora], group, &shown);
}

#[test]
fn a_group_whose_only_admin_breaks_it_has_a_successor() {
    let mut scene = empty(804);
    let people = ["mallory", "bob", "carol"]
        .map(|name| scene.add_registered(&format!("{name}@example.org")));
    let [mallory, bob, carol] = people;
    let group = create(&mut scene, mallory, "Three", &[bob, carol]);
    scene.run_for(Span::minutes(2));
    let mut client = Dishonest::takes_over(&mut scene, mallory);
    let id = client.group_of(group);
    // Nobody is an admin any more: what does not decode.
    let mut secrets = client.secrets(id);
    secrets.state.as_mut().unwrap().admins.clear();
    let breaks = Commit {
        secrets: Some(secrets),
        ..Commit::default()
    };
    client.commit(&mut scene, id, breaks).unwrap();
    scene.run_for(Span::hours(1));
    let shown = members(&mut scene, bob, group);
    assert!(
        shown == ["bob*", "carol"] || shown == ["bob", "carol*"],
        "{shown:?}"
    );
    let shown: Vec<&str> = shown.iter().map(String::as_str).collect();
    go_on(&mut scene, &[bob, carol], group, &shown);
}

#[test]
fn what_no_device_reads_in_place_of_a_commit_ends_no_group() {
    // With group information that is none, and with the true one.
    for (seed, info) in [(805, Some(vec![1; 64])), (806, None)] {
        let (mut scene, people, group) = five(seed);
        let [alice, bob, carol, dora, mallory] = people;
        let mut client = Dishonest::takes_over(&mut scene, mallory);
        let id = client.group_of(group);
        let spoilt = Commit {
            body: Some(vec![7; 300]),
            info,
            ..Commit::default()
        };
        client.commit(&mut scene, id, spoilt).unwrap();
        scene.run_for(Span::hours(2));
        let shown = ["alice*", "bob*", "carol", "dora", "mallory"];
        go_on(&mut scene, &[alice, bob, carol, dora], group, &shown);
    }
}

#[test]
fn devices_that_all_lost_a_group_ask_each_other_once() {
    let (mut scene, people, group) = five(815);
    let mut client = Dishonest::takes_over(&mut scene, people[4]);
    let id = client.group_of(group);
    let posts = Rc::new(Cell::new(0));
    let counting = posts.clone();
    scene.relay.requests(move |_, frame| {
        if matches!(frame.body, Some(Ask::Post(_))) {
            counting.set(counting.get() + 1);
        }
        Fate::Pass
    });
    spoil(&mut scene, &mut client, id);
    scene.run_for(Span::minutes(30));
    // Four devices, each of which asks four.
    assert!(posts.get() < 100, "{} posts", posts.get());
}

#[test]
fn what_was_said_in_a_group_that_broke_reaches_whoever_was_away() {
    let (mut scene, people, group) = five(816);
    let [alice, bob, carol, dora, mallory] = people;
    let mut client = Dishonest::takes_over(&mut scene, mallory);
    let id = client.group_of(group);
    for admin in [alice, bob] {
        scene.set_online(admin, false);
    }
    // Those who are there go on past it; the admins will take it for what it is, and begin anew.
    spoil(&mut scene, &mut client, id);
    scene.run_for(Span::minutes(5));
    let mut said: Vec<String> = Vec::new();
    for n in 0..40 {
        let text = format!("{n} while you were away");
        say(&mut scene, carol, group, &text).unwrap();
        said.push(text);
        scene.run_for(Span(100));
    }
    scene.run_for(Span::minutes(1));
    // Dora leaves, and is taken out. The admins cannot see by whose right, past a commit that they
    // cannot read.
    leave(&mut scene, dora, group).unwrap();
    scene.run_for(Span::minutes(10));
    let shown = ["alice*", "bob*", "carol", "mallory"];
    assert_eq!(members(&mut scene, carol, group), shown);
    for admin in [alice, bob] {
        scene.set_online(admin, true);
    }
    scene.run_for(Span::hours(3));
    let stay = [alice, bob, carol];
    for person in stay {
        assert!(has(&mut scene, person, group, EventKind::MadeAnew));
        let heard = texts(&mut scene, person, group);
        for text in &said {
            let count = heard.iter().filter(|one| *one == text).count();
            assert_eq!(count, 1, "{person:?}: {text}");
        }
        assert_eq!(scene.status(person).missing, 0, "{person:?}");
    }
    // Whoever begins anew does not know that Dora left: she is brought back, and may leave again.
    let shown = ["alice*", "bob*", "carol", "dora", "mallory"];
    go_on(&mut scene, &stay, group, &shown);
}

#[test]
fn unreadable_commits_with_another_state_make_nobody_admin() {
    let (mut scene, people, group) = five(807);
    let [alice, bob, carol, dora, mallory] = people;
    let mut client = Dishonest::takes_over(&mut scene, mallory);
    let id = client.group_of(group);
    // Nobody can read the commit, and the group's information says that it was Mallory's.
    let mut secrets = client.secrets(id);
    only_admin(&mut secrets, client.account);
    let spoilt = Commit {
        body: Some(vec![7; 300]),
        secrets: Some(secrets),
        ..Commit::default()
    };
    client.commit(&mut scene, id, spoilt).unwrap();
    scene.run_for(Span::hours(2));
    let stay = [alice, bob, carol, dora];
    let shown = ["alice*", "bob*", "carol", "dora", "mallory"];
    for person in stay {
        assert!(has(&mut scene, person, group, EventKind::Disturbed));
    }
    go_on(&mut scene, &stay, group, &shown);
}

#[test]
fn a_commit_spoilt_for_one_costs_nobody_the_group() {
    let (mut scene, people, group) = five(808);
    let [alice, bob, carol, dora, mallory] = people;
    scene.relay.answers(move |person, frame| {
        if let Some(Answer::Deliver(Deliver { kind, body, .. })) = &mut frame.body
            && person == carol
            && *kind == i32::from(PostKind::Commit)
        {
            *body = vec![9; body.len()].into();
        }
        Fate::Pass
    });
    let rename = ChangeGroup {
        name: Some("Six".into()),
        ..ChangeGroup::default()
    };
    change(&mut scene, bob, group, rename).unwrap();
    scene.run_for(Span::minutes(1));
    scene.relay.straighten();
    scene.run_for(Span::hours(1));
    assert_eq!(show(&mut scene, carol, group).unwrap().name, "Six");
    for person in people {
        assert!(!has(&mut scene, person, group, EventKind::MadeAnew));
    }
    let shown = ["alice*", "bob*", "carol", "dora", "mallory"];
    go_on(
        &mut scene,
        &[alice, bob, carol, dora, mallory],
        group,
        &shown,
    );
}

#[test]
fn a_commit_that_the_relay_never_took_changes_nothing() {
    let (mut scene, people, group) = five(809);
    let [_, bob, ..] = people;
    say(&mut scene, bob, group, "before").unwrap();
    scene.run_for(Span::minutes(1));
    // Every message comes to Bob as a commit, too, that nobody made.
    scene.relay.answers(move |person, frame| {
        if let Some(Answer::Deliver(deliver)) = &mut frame.body
            && person == bob
            && deliver.kind() == PostKind::Message
        {
            deliver.kind = PostKind::Commit.into();
            deliver.body = vec![9; 100].into();
            deliver.post_id = vec![deliver.body.len().to_be_bytes()[7]; 16].into();
        }
        Fate::Pass
    });
    say(&mut scene, people[0], group, "spoilt for Bob").unwrap();
    scene.run_for(Span::minutes(1));
    scene.relay.straighten();
    scene.run_for(Span::hours(3));
    for person in people {
        assert!(!has(&mut scene, person, group, EventKind::MadeAnew));
        assert!(!has(&mut scene, person, group, EventKind::Disturbed));
    }
    let shown = ["alice*", "bob*", "carol", "dora", "mallory"];
    go_on(&mut scene, &people, group, &shown);
}

#[test]
fn a_device_is_to_blame_and_not_its_account() {
    let (mut scene, people, group) = five(810);
    let [alice, bob, carol, dora, mallory] = people;
    let honest = linked(&mut scene, mallory);
    scene.run_for(Span::minutes(3));
    let mut client = Dishonest::takes_over(&mut scene, mallory);
    let id = client.group_of(group);
    break_rules(&mut scene, &mut client, id);
    scene.run_for(Span::hours(1));
    let shown = ["alice*", "bob*", "carol", "dora", "mallory"];
    let stay = [alice, bob, carol, dora, honest];
    go_on(&mut scene, &stay, group, &shown);
    // The device itself is not in the group that goes on.
    client.is_honest_again(&mut scene, mallory);
    scene.run_for(Span::minutes(10));
    say(&mut scene, alice, group, "not for the device").unwrap();
    scene.run_for(Span::minutes(2));
    let last = "not for the device".to_owned();
    assert!(!texts(&mut scene, mallory, group).contains(&last));
    assert!(texts(&mut scene, honest, group).contains(&last));
}

#[test]
fn a_conversations_id_is_nobody_elses() {
    let (mut scene, people, group) = five(811);
    let [alice, bob, ..] = people;
    let stranger = scene.add_registered("stranger@example.org");
    let mut client = Dishonest::takes_over(&mut scene, stranger);
    let alices = scene.person(alice).address.clone();
    // The group's, and a first generation in a group that is not the first.
    for (conversation, generation, id) in [
        (*group.as_bytes(), 2, [3; 16]),
        ([4; 16], 1, [5; 16]),
        ([6; 16], u64::MAX, [7; 16]),
    ] {
        let mut addresses = vec![
            (client.account.to_bytes(), "stranger@example.org".to_owned()),
            (scene.account_of(alice).to_bytes(), alices.clone()),
        ];
        addresses.sort();
        let addresses = addresses.into_iter();
        let secrets = ConversationSecrets {
            rejoin_secret: vec![1; 32].into(),
            addresses: addresses
                .map(|(account_id, address)| MemberAddress {
                    account_id,
                    address,
                })
                .collect(),
            state: Some(waxwing_protocol::pb::ConversationState {
                conversation_id: conversation.to_vec().into(),
                generation,
                name: "Mine".into(),
                admins: vec![client.account.to_bytes()],
                ..Default::default()
            }),
        };
        let founding = Founding {
            id: GroupId(id),
            secrets,
            members: client.claim(&mut scene, &alices),
        };
        client.found(&mut scene, founding).unwrap();
    }
    scene.run_for(Span::minutes(15));
    for conversation in [[4; 16], [6; 16]] {
        let conversation = ConversationId::from_bytes(conversation);
        assert!(show(&mut scene, alice, conversation).is_none());
    }
    let shown = ["alice*", "bob*", "carol", "dora", "mallory"];
    go_on(&mut scene, &[alice, bob], group, &shown);
}
