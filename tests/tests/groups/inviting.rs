//! Links by which others come into a group.

use waxwing_engine::{
    EventRefused,
    api::{
        ChangeGroup, ConversationId, DecideJoin, EventKind, GroupInvitation, Invite, Invited, Join,
        Request, Response, RevokeInvitation,
    },
};
use waxwing_protocol::time::Span;
use waxwing_system_tests::{PersonId, devices::linked};

use super::scene::{Scene, addresses, change, create, events, members, people, say, show, texts};

fn invite(
    scene: &mut Scene,
    who: PersonId,
    group: ConversationId,
    needs_approval: bool,
    lasts: Option<Span>,
) -> Result<Invited, EventRefused> {
    let invite = Invite {
        group: group.to_string(),
        needs_approval,
        expires_at: lasts.map(|span| scene.now.after(span).into()),
    };
    match scene.command(who, Request::Invite(invite))? {
        Response::Invited(invited) => Ok(invited),
        other => panic!("{other:?}"),
    }
}

fn join(scene: &mut Scene, who: PersonId, link: &str) -> Result<(), EventRefused> {
    let link = link.to_owned();
    scene.command(who, Request::Join(Join { link })).map(drop)
}

fn decide(scene: &mut Scene, who: PersonId, group: ConversationId, of: PersonId, accept: bool) {
    let decide = DecideJoin {
        group: group.to_string(),
        address: scene.person(of).address.clone(),
        accept,
    };
    scene.command(who, Request::DecideJoin(decide)).unwrap();
}

fn open(scene: &mut Scene, who: PersonId, group: ConversationId) -> Vec<GroupInvitation> {
    show(scene, who, group).unwrap().invitations
}

fn not_taken_in(scene: &mut Scene, who: PersonId, by: PersonId) -> Vec<String> {
    let by = scene.person(by).address.clone();
    let notices = scene.person(who).notices.iter();
    let events = notices.filter_map(|notice| match notice {
        waxwing_engine::api::Notice::Event(event)
            if event.event == EventKind::NotTakenIn && event.address == by =>
        {
            event.detail.clone()
        }
        _ => None,
    });
    events.collect()
}

#[test]
fn whoever_has_a_link_comes_in_and_is_no_stranger() {
    let (mut scene, [alice, bob, carol, dora]) = people(61);
    let group = create(&mut scene, alice, "Chess", &[bob]);
    scene.run_for(Span::seconds(30));
    let link = invite(&mut scene, alice, group, false, None).unwrap().link;
    scene.run_for(Span::seconds(30));
    for person in [carol, dora] {
        join(&mut scene, person, &link).unwrap();
    }
    scene.run_for(Span::minutes(1));
    for person in [alice, bob, carol, dora] {
        assert_eq!(
            members(&mut scene, person, group),
            ["alice*", "bob", "carol", "dora"]
        );
    }
    say(&mut scene, dora, group, "your move").unwrap();
    scene.run_for(Span::seconds(10));
    assert_eq!(texts(&mut scene, carol, group), ["your move"]);
    // The others see that there is a link, and not the link.
    assert!(open(&mut scene, alice, group)[0].link.is_some());
    assert!(open(&mut scene, bob, group)[0].link.is_none());
    // It asked an admin, who is known now, so the group was no request.
    let Ok(Response::Conversations(waxwing_engine::api::Conversations { conversations })) =
        scene.command(carol, Request::Conversations)
    else {
        panic!("no conversations");
    };
    assert!(conversations.iter().all(|one| !one.request));
}

#[test]
fn an_admin_decides_where_the_link_says_so() {
    let (mut scene, [alice, bob, carol]) = people(62);
    let laptop = linked(&mut scene, alice);
    let group = create(&mut scene, alice, "Chess", &[]);
    scene.run_for(Span::seconds(30));
    let link = invite(&mut scene, alice, group, true, None).unwrap().link;
    scene.run_for(Span::seconds(30));
    for person in [bob, carol] {
        join(&mut scene, person, &link).unwrap();
        scene.run_for(Span::seconds(30));
    }
    // Both devices of the admin know.
    for device in [alice, laptop] {
        let asking = show(&mut scene, device, group).unwrap().asking;
        assert_eq!(asking, ["bob@example.org", "carol@example.org"]);
    }
    assert_eq!(members(&mut scene, alice, group), ["alice*"]);
    decide(&mut scene, laptop, group, bob, true);
    decide(&mut scene, alice, group, carol, false);
    scene.run_for(Span::minutes(1));
    for device in [alice, laptop, bob] {
        assert_eq!(members(&mut scene, device, group), ["alice*", "bob"]);
    }
    for device in [alice, laptop] {
        assert!(show(&mut scene, device, group).unwrap().asking.is_empty());
    }
    assert_eq!(not_taken_in(&mut scene, carol, alice), ["declined"]);
    assert!(not_taken_in(&mut scene, bob, alice).is_empty());
}

#[test]
fn a_link_that_is_revoked_or_over_opens_nothing() {
    let (mut scene, [alice, bob, carol]) = people(63);
    let group = create(&mut scene, alice, "Chess", &[]);
    scene.run_for(Span::seconds(30));
    let revoked = invite(&mut scene, alice, group, false, None).unwrap();
    let brief = invite(&mut scene, alice, group, false, Some(Span::hours(1))).unwrap();
    scene.run_for(Span::minutes(1));
    assert_eq!(open(&mut scene, alice, group).len(), 2);
    let revoke = RevokeInvitation {
        group: group.to_string(),
        invitation: revoked.id,
    };
    scene
        .command(alice, Request::RevokeInvitation(revoke))
        .unwrap();
    scene.run_for(Span::hours(2));
    join(&mut scene, bob, &revoked.link).unwrap();
    join(&mut scene, carol, &brief.link).unwrap();
    scene.run_for(Span::minutes(1));
    assert_eq!(members(&mut scene, alice, group), ["alice*"]);
    for person in [bob, carol] {
        assert_eq!(not_taken_in(&mut scene, person, alice), ["over"]);
    }
}

#[test]
fn only_admins_make_links_and_a_former_admins_open_nothing() {
    let (mut scene, [alice, bob, carol]) = people(64);
    let group = create(&mut scene, alice, "Chess", &[bob]);
    scene.run_for(Span::seconds(30));
    let refused = invite(&mut scene, bob, group, false, None).unwrap_err();
    assert_eq!(refused.problem.code(), "group_not_admin");
    let promote = ChangeGroup {
        promote: addresses(&scene, &[bob]),
        ..ChangeGroup::default()
    };
    change(&mut scene, alice, group, promote).unwrap();
    scene.run_for(Span::seconds(30));
    let link = invite(&mut scene, bob, group, false, None).unwrap().link;
    scene.run_for(Span::seconds(30));
    let demote = ChangeGroup {
        demote: addresses(&scene, &[bob]),
        ..ChangeGroup::default()
    };
    change(&mut scene, alice, group, demote).unwrap();
    scene.run_for(Span::seconds(30));
    join(&mut scene, carol, &link).unwrap();
    scene.run_for(Span::minutes(1));
    assert_eq!(members(&mut scene, alice, group), ["alice*", "bob"]);
    assert_eq!(not_taken_in(&mut scene, carol, bob), ["over"]);
}

#[test]
fn somebody_who_asks_while_nobody_is_there_comes_in_later() {
    let (mut scene, [alice, bob]) = people(65);
    let group = create(&mut scene, alice, "Chess", &[]);
    scene.run_for(Span::seconds(30));
    let link = invite(&mut scene, alice, group, false, None).unwrap().link;
    scene.run_for(Span::seconds(30));
    scene.set_online(alice, false);
    join(&mut scene, bob, &link).unwrap();
    scene.run_for(Span::hours(5));
    scene.set_online(alice, true);
    scene.run_for(Span::minutes(2));
    assert_eq!(members(&mut scene, bob, group), ["alice*", "bob"]);
    assert!(
        events(&mut scene, alice, group)
            .iter()
            .any(|(event, who, _)| *event == EventKind::MemberAdded && who == "bob@example.org")
    );
    for link in ["", "waxwing:invite/1/", "https://example.org"] {
        let refused = join(&mut scene, bob, link).unwrap_err();
        assert_eq!(refused.problem.code(), "invitation_malformed");
    }
}
