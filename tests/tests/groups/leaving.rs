//! Admins who go: a group always has one, whoever leaves when.

use waxwing_engine::api::{ChangeGroup, ConversationId};
use waxwing_protocol::time::Span;
use waxwing_system_tests::PersonId;

use super::scene::{Scene, addresses, change, create, leave, members, people, say, show, texts};

/// A group of these people, in which the first two are admins.
fn two_admins<const N: usize>(seed: u64) -> (Scene, [PersonId; N], ConversationId) {
    let (mut scene, people) = people::<N>(seed);
    let group = create(&mut scene, people[0], "Family", &people[1..]);
    scene.run_for(Span::seconds(30));
    let promote = ChangeGroup {
        promote: addresses(&scene, &people[1..2]),
        ..ChangeGroup::default()
    };
    change(&mut scene, people[0], group, promote).unwrap();
    scene.run_for(Span::seconds(30));
    (scene, people, group)
}

/// Those who stay agree on the members, one of whom is an admin, and hear each other; after a
/// restart, too.
fn go_on(scene: &mut Scene, stay: &[PersonId], group: ConversationId) {
    for round in ["as they were", "after a restart"] {
        let known = members(scene, stay[0], group);
        assert_eq!(known.len(), stay.len(), "{known:?}");
        let admins = known.iter().filter(|name| name.ends_with('*')).count();
        assert_eq!(admins, 1, "{known:?}");
        for (n, person) in stay.iter().enumerate() {
            assert_eq!(members(scene, *person, group), known);
            say(scene, *person, group, &format!("{n} {round}")).unwrap();
        }
        scene.run_for(Span::minutes(1));
        for person in stay {
            let heard = texts(scene, *person, group);
            for n in 0..stay.len() {
                assert!(heard.contains(&format!("{n} {round}")), "{heard:?}");
            }
        }
        for person in stay {
            scene.crash(*person);
            scene.start(*person);
        }
        scene.run_for(Span::minutes(1));
    }
    // And what they do is done.
    let rename = ChangeGroup {
        name: Some("We go on".into()),
        ..ChangeGroup::default()
    };
    let done = stay
        .iter()
        .filter(|person| change(scene, **person, group, rename.clone()).is_ok());
    assert_eq!(done.count(), 1);
    scene.run_for(Span::minutes(1));
    for person in stay {
        assert_eq!(show(scene, *person, group).unwrap().name, "We go on");
    }
}

#[test]
fn two_admins_who_leave_at_once_leave_a_group_with_an_admin() {
    for seed in 700..703 {
        let (mut scene, [alice, bob, carol, dora], group) = two_admins(seed);
        leave(&mut scene, alice, group).unwrap();
        leave(&mut scene, bob, group).unwrap();
        scene.run_for(Span::minutes(10));
        for person in [alice, bob] {
            assert!(show(&mut scene, person, group).unwrap().left);
        }
        go_on(&mut scene, &[carol, dora], group);
    }
}

#[test]
fn an_admin_removed_while_the_other_leaves_leaves_an_admin() {
    let (mut scene, [alice, bob, carol, dora], group) = two_admins(710);
    let remove = ChangeGroup {
        remove: addresses(&scene, &[bob]),
        ..ChangeGroup::default()
    };
    change(&mut scene, alice, group, remove).unwrap();
    leave(&mut scene, alice, group).unwrap();
    leave(&mut scene, bob, group).unwrap();
    scene.run_for(Span::minutes(10));
    go_on(&mut scene, &[carol, dora], group);
}

#[test]
fn an_admin_who_leaves_while_the_other_is_away_leaves_an_admin() {
    // Nobody hears of the one before the other has left as well.
    let (mut scene, [alice, bob, carol, dora], group) = two_admins(711);
    for person in [carol, dora] {
        scene.set_online(person, false);
    }
    leave(&mut scene, alice, group).unwrap();
    scene.set_online(bob, false);
    scene.run_for(Span::minutes(1));
    scene.set_online(alice, false);
    scene.set_online(bob, true);
    leave(&mut scene, bob, group).unwrap();
    scene.run_for(Span::minutes(1));
    scene.set_online(bob, false);
    for person in [carol, dora] {
        scene.set_online(person, true);
    }
    scene.run_for(Span::minutes(10));
    go_on(&mut scene, &[carol, dora], group);
}

#[test]
fn two_admins_who_demote_each_other_leave_one() {
    let (mut scene, [alice, bob, carol], group) = two_admins(712);
    for (by, whom) in [(alice, bob), (bob, alice)] {
        let demote = ChangeGroup {
            demote: addresses(&scene, &[whom]),
            ..ChangeGroup::default()
        };
        change(&mut scene, by, group, demote).unwrap();
    }
    scene.run_for(Span::minutes(2));
    go_on(&mut scene, &[alice, bob, carol], group);
}

#[test]
fn nobody_takes_every_admin_away() {
    let (mut scene, [alice, bob, carol], group) = two_admins(713);
    let none = ChangeGroup {
        remove: addresses(&scene, &[bob]),
        demote: addresses(&scene, &[alice]),
        ..ChangeGroup::default()
    };
    let refused = change(&mut scene, alice, group, none.clone()).unwrap_err();
    assert_eq!(refused.problem.code(), "group_needs_admin");
    let handed_on = ChangeGroup {
        promote: addresses(&scene, &[carol]),
        ..none
    };
    change(&mut scene, alice, group, handed_on).unwrap();
    scene.run_for(Span::minutes(1));
    for person in [alice, carol] {
        assert_eq!(members(&mut scene, person, group), ["alice", "carol*"]);
    }
}

#[test]
fn everybody_leaves_at_once_and_nobody_is_stuck() {
    let (mut scene, everybody, group) = two_admins::<4>(714);
    for person in everybody {
        leave(&mut scene, person, group).unwrap();
    }
    scene.run_for(Span::minutes(20));
    for person in everybody {
        scene.crash(person);
        scene.start(person);
    }
    scene.run_for(Span::minutes(2));
    for person in everybody {
        assert!(show(&mut scene, person, group).unwrap().left);
        assert_eq!(scene.status(person).outbox, 0);
        assert!(members(&mut scene, person, group).is_empty());
    }
    // They have other groups.
    let [alice, rest @ ..] = everybody;
    let other = create(&mut scene, alice, "Another", &rest);
    say(&mut scene, alice, other, "Hello").unwrap();
    scene.run_for(Span::minutes(1));
    for person in rest {
        assert_eq!(texts(&mut scene, person, other), ["Hello"]);
    }
}
