//! Changing a group: who is in it, who its admins are, what it is called.

use waxwing_engine::api::{ChangeGroup, EventKind};
use waxwing_protocol::time::Span;

use super::scene::{
    addresses, change, create, events, leave, leave_to, members, people, say, show, texts,
};

#[test]
fn whoever_comes_later_hears_what_is_said_from_then_on() {
    let (mut scene, [alice, bob, carol]) = people(11);
    let group = create(&mut scene, alice, "Family", &[bob]);
    say(&mut scene, alice, group, "before").unwrap();
    scene.run_for(Span::seconds(30));
    let add = addresses(&scene, &[carol]);
    let add = ChangeGroup {
        add,
        ..ChangeGroup::default()
    };
    change(&mut scene, alice, group, add).unwrap();
    // Written at once, and heard by her all the same.
    say(&mut scene, alice, group, "after").unwrap();
    scene.run_for(Span::seconds(30));
    assert_eq!(texts(&mut scene, bob, group), ["before", "after"]);
    assert_eq!(texts(&mut scene, carol, group), ["after"]);
    assert_eq!(scene.status(carol).missing, 0);
}

#[test]
fn whoever_was_taken_out_hears_nothing_more_and_is_told() {
    let (mut scene, [alice, bob, carol]) = people(12);
    let group = create(&mut scene, alice, "Family", &[bob, carol]);
    scene.run_for(Span::seconds(30));
    let remove = addresses(&scene, &[carol]);
    let remove = ChangeGroup {
        remove,
        ..ChangeGroup::default()
    };
    change(&mut scene, alice, group, remove).unwrap();
    say(&mut scene, alice, group, "She does not hear this").unwrap();
    scene.run_for(Span::minutes(1));
    assert_eq!(texts(&mut scene, bob, group), ["She does not hear this"]);
    assert!(texts(&mut scene, carol, group).is_empty());
    for person in [alice, bob] {
        assert_eq!(members(&mut scene, person, group), ["alice*", "bob"]);
    }
    let out = |by: &str| {
        let by = Some(by.to_owned());
        (EventKind::MemberRemoved, "carol@example.org".to_owned(), by)
    };
    assert!(events(&mut scene, bob, group).contains(&out("alice@example.org")));
    assert!(events(&mut scene, carol, group).contains(&out("alice@example.org")));
    assert!(show(&mut scene, carol, group).unwrap().left);
    let refused = say(&mut scene, carol, group, "Hello?").unwrap_err();
    assert_eq!(refused.problem.code(), "group_not_member");
}

#[test]
fn whoever_leaves_is_taken_out_by_the_others() {
    let (mut scene, [alice, bob, carol]) = people(13);
    let group = create(&mut scene, alice, "Family", &[bob, carol]);
    scene.run_for(Span::seconds(30));
    say(&mut scene, carol, group, "Goodbye").unwrap();
    leave(&mut scene, carol, group).unwrap();
    scene.run_for(Span::minutes(2));
    for person in [alice, bob] {
        assert_eq!(members(&mut scene, person, group), ["alice*", "bob"]);
        let left = (EventKind::MemberLeft, "carol@example.org".to_owned());
        let told = events(&mut scene, person, group);
        assert!(
            told.iter().any(|told| (told.0, told.1.clone()) == left),
            "{told:?}"
        );
    }
    assert!(show(&mut scene, carol, group).unwrap().left);
    assert_eq!(texts(&mut scene, alice, group), ["Goodbye"]);
}

#[test]
fn the_last_admin_who_leaves_hands_the_role_on() {
    let (mut scene, [alice, bob, carol]) = people(14);
    let group = create(&mut scene, alice, "Family", &[bob, carol]);
    scene.run_for(Span::seconds(30));
    leave(&mut scene, alice, group).unwrap();
    scene.run_for(Span::minutes(3));
    let left = members(&mut scene, bob, group);
    assert!(
        left == ["bob*", "carol"] || left == ["bob", "carol*"],
        "{left:?}"
    );
    assert_eq!(members(&mut scene, carol, group), left);
    assert!(show(&mut scene, alice, group).unwrap().left);
    say(&mut scene, bob, group, "We go on").unwrap();
    scene.run_for(Span::seconds(30));
    assert_eq!(texts(&mut scene, carol, group), ["We go on"]);
}

#[test]
fn the_last_admin_chooses_who_follows() {
    for choice in [1, 2] {
        let (mut scene, people) = people::<3>(14);
        let [alice, bob, carol] = people;
        let group = create(&mut scene, alice, "Family", &[bob, carol]);
        scene.run_for(Span::seconds(30));
        // Only a member can follow, and only an admin chooses.
        let itself = leave_to(&mut scene, alice, group, Some(alice)).unwrap_err();
        assert_eq!(itself.problem.code(), "member_is_self");
        let by_bob = leave_to(&mut scene, bob, group, Some(carol)).unwrap_err();
        assert_eq!(by_bob.problem.code(), "group_not_admin");
        leave_to(&mut scene, alice, group, Some(people[choice])).unwrap();
        scene.run_for(Span::minutes(3));
        let wanted = [["bob*", "carol"], ["bob", "carol*"]];
        for person in [bob, carol] {
            assert_eq!(members(&mut scene, person, group), wanted[choice - 1]);
        }
        assert!(show(&mut scene, alice, group).unwrap().left);
    }
}

#[test]
fn only_admins_change_a_group() {
    let (mut scene, [alice, bob, carol]) = people(15);
    let group = create(&mut scene, alice, "Family", &[bob]);
    scene.run_for(Span::seconds(30));
    let carols = addresses(&scene, &[carol]);
    let bobs = addresses(&scene, &[bob]);
    let nothing = ChangeGroup::default;
    let changes = [
        ChangeGroup {
            add: carols.clone(),
            ..nothing()
        },
        ChangeGroup {
            name: Some("Bob's".into()),
            ..nothing()
        },
        ChangeGroup {
            promote: bobs.clone(),
            ..nothing()
        },
    ];
    for one in changes {
        let refused = change(&mut scene, bob, group, one).unwrap_err();
        assert_eq!(refused.problem.code(), "group_not_admin");
    }
    let promote = ChangeGroup {
        promote: bobs,
        everybody_adds: Some(true),
        ..nothing()
    };
    change(&mut scene, alice, group, promote).unwrap();
    scene.run_for(Span::seconds(30));
    let rename = ChangeGroup {
        name: Some("Everybody".into()),
        add: carols,
        ..nothing()
    };
    change(&mut scene, bob, group, rename).unwrap();
    scene.run_for(Span::seconds(30));
    for person in [alice, bob, carol] {
        let shown = show(&mut scene, person, group).unwrap();
        assert_eq!(
            (shown.name.as_str(), shown.everybody_adds),
            ("Everybody", true)
        );
        assert_eq!(
            members(&mut scene, person, group),
            ["alice*", "bob*", "carol"]
        );
    }
    let renamed = (EventKind::Renamed, "bob@example.org".to_owned(), None);
    assert!(events(&mut scene, alice, group).contains(&renamed));
}

#[test]
fn changes_at_once_by_several_admins_all_come_to_be() {
    for seed in 20..26 {
        let (mut scene, [alice, bob, carol, dora, eve, fred]) = people(seed);
        let group = create(&mut scene, alice, "Family", &[bob, carol]);
        scene.run_for(Span::seconds(30));
        let promote = ChangeGroup {
            promote: addresses(&scene, &[bob, carol]),
            ..ChangeGroup::default()
        };
        change(&mut scene, alice, group, promote).unwrap();
        scene.run_for(Span::seconds(30));
        let add = |scene: &super::scene::Scene, person| ChangeGroup {
            add: addresses(scene, &[person]),
            ..ChangeGroup::default()
        };
        let adds = [(alice, dora), (bob, eve), (carol, fred)];
        for (admin, new) in adds {
            let add = add(&scene, new);
            change(&mut scene, admin, group, add).unwrap();
        }
        let name = ChangeGroup {
            name: Some("All".into()),
            ..ChangeGroup::default()
        };
        change(&mut scene, bob, group, name).unwrap();
        scene.run_for(Span::minutes(2));
        for person in [alice, bob, carol, dora, eve, fred] {
            assert_eq!(
                members(&mut scene, person, group),
                ["alice*", "bob*", "carol*", "dora", "eve", "fred"],
                "seed {seed}"
            );
            assert_eq!(show(&mut scene, person, group).unwrap().name, "All");
        }
    }
}

#[test]
fn a_member_who_was_away_for_a_month_catches_up() {
    let (mut scene, [alice, bob, carol, dora]) = people(16);
    let group = create(&mut scene, alice, "Family", &[bob, carol]);
    scene.run_for(Span::seconds(30));
    scene.crash(carol);
    for day in 0..28 {
        say(&mut scene, alice, group, &format!("day {day}")).unwrap();
        if day == 10 {
            let add = ChangeGroup {
                add: addresses(&scene, &[dora]),
                name: Some("Bigger".into()),
                ..ChangeGroup::default()
            };
            change(&mut scene, alice, group, add).unwrap();
        }
        scene.run_for(Span::minutes(2));
        scene.now = scene.now.after(Span::hours(23));
    }
    scene.start(carol);
    scene.run_for(Span::minutes(2));
    assert_eq!(texts(&mut scene, carol, group).len(), 28);
    assert_eq!(
        members(&mut scene, carol, group),
        ["alice*", "bob", "carol", "dora"]
    );
    assert_eq!(show(&mut scene, carol, group).unwrap().name, "Bigger");
    assert_eq!(scene.status(carol).missing, 0);
}

#[test]
fn somebody_who_was_taken_out_can_come_back() {
    let (mut scene, [alice, bob]) = people(17);
    let group = create(&mut scene, alice, "Family", &[bob]);
    scene.run_for(Span::seconds(30));
    let bobs = addresses(&scene, &[bob]);
    let out = ChangeGroup {
        remove: bobs.clone(),
        ..ChangeGroup::default()
    };
    change(&mut scene, alice, group, out).unwrap();
    scene.run_for(Span::minutes(1));
    assert!(show(&mut scene, bob, group).unwrap().left);
    let add = ChangeGroup {
        add: bobs,
        ..ChangeGroup::default()
    };
    change(&mut scene, alice, group, add).unwrap();
    say(&mut scene, alice, group, "Welcome back").unwrap();
    scene.run_for(Span::minutes(1));
    assert!(!show(&mut scene, bob, group).unwrap().left);
    assert_eq!(texts(&mut scene, bob, group), ["Welcome back"]);
    say(&mut scene, bob, group, "Thank you").unwrap();
    scene.run_for(Span::minutes(1));
    assert_eq!(
        texts(&mut scene, alice, group),
        ["Welcome back", "Thank you"]
    );
}
