//! An account is deleted: on the relay, in the log, in groups and on its devices.

use waxwing_engine::api::{
    DeleteAccount, Entry, EventKind, MessageState, Notice, Request, SetLock,
};
use waxwing_protocol::time::Span;
use waxwing_system_tests::{PersonId, groups};

use super::scene::{
    ALICE, Scene, alice_and_bob, alice_twice_and_bob, converse, is_alarmed, outcome, recover,
    recovering, words,
};

fn delete(scene: &mut Scene, by: PersonId, address: &str) -> Result<(), &'static str> {
    let address = address.into();
    let asked = Request::DeleteAccount(DeleteAccount { address });
    let done = scene.command(by, asked);
    done.map(drop).map_err(|refused| refused.problem.code())
}

fn is_erased(scene: &Scene, id: PersonId) -> bool {
    let notices = &scene.person(id).notices;
    notices
        .iter()
        .any(|notice| matches!(notice, Notice::HomeErased(_)))
}

/// What happened in a conversation.
fn events(scene: &mut Scene, of: PersonId, with: PersonId) -> Vec<EventKind> {
    let entries = scene.history(of, with);
    entries
        .into_iter()
        .filter_map(|entry| match entry {
            Entry::Event(event) => Some(event.event),
            _ => None,
        })
        .collect()
}

#[test]
fn an_account_is_gone_for_its_contacts_its_groups_and_its_devices() {
    let (mut scene, first, second, bob) = alice_twice_and_bob(900);
    let carol = scene.add_registered("carol@example.org");
    scene.send(first, bob, "hello");
    scene.run_for(Span::minutes(2));
    let family = groups::create(&mut scene, first, "Family", &[bob, carol]);
    scene.run_for(Span::minutes(2));
    groups::say(&mut scene, bob, family, "dinner").unwrap();
    scene.run_for(Span::minutes(1));

    assert_eq!(
        delete(&mut scene, first, "bob@example.org"),
        Err("address_not_own")
    );
    scene.run_for(Span::minutes(10));
    assert!(!is_erased(&scene, first));
    delete(&mut scene, first, "Alice@Example.org").unwrap();
    scene.run_for(Span::minutes(15));
    assert!(is_erased(&scene, first), "the device that was asked");
    assert!(!is_erased(&scene, second), "the other one waits");
    assert!(is_alarmed(&mut scene, second, "account_deleted"));

    // The group goes on without her, and has an admin.
    let members = groups::members(&mut scene, bob, family);
    assert_eq!(members.len(), 2, "{members:?}");
    groups::say(&mut scene, bob, family, "where is she?").unwrap();
    scene.run_for(Span::minutes(1));
    let heard = groups::texts(&mut scene, carol, family);
    assert_eq!(heard.last().unwrap(), "where is she?");

    // Bob sees it, keeps what she wrote, and what he writes does not wait for ever.
    scene.run_for(Span::hours(30));
    // Who writes to nobody for a day has not looked her up; the first message makes him.
    scene.send(bob, first, "are you there?");
    scene.run_for(Span::minutes(10));
    assert!(events(&mut scene, bob, first).contains(&EventKind::AccountDeleted));
    let id = scene.send(bob, first, "hello?");
    scene.run_for(Span::minutes(10));
    assert_eq!(scene.state(bob, first, id), Some(MessageState::Failed));
    assert_eq!(scene.texts(bob, first)[0], "hello");
    for person in [bob, carol] {
        assert!(scene.status(person).alarms.is_empty());
    }
    scene.run_for(Span::days(6));
    assert!(is_erased(&scene, second), "after a week the other one too");
}

#[test]
fn a_device_that_was_away_finds_out_and_may_keep_what_it_has() {
    let (mut scene, first, second, bob) = alice_twice_and_bob(901);
    converse(&mut scene, first, bob, 3);
    scene.set_online(second, false);
    delete(&mut scene, first, ALICE).unwrap();
    scene.run_for(Span::hours(1));
    assert!(is_erased(&scene, first));
    scene.set_online(second, true);
    scene.run_for(Span::minutes(10));
    assert!(is_alarmed(&mut scene, second, "account_deleted"));
    scene.command(second, Request::KeepHome).unwrap();
    assert!(!is_alarmed(&mut scene, second, "account_deleted"));
    scene.crash(second);
    scene.start(second);
    scene.run_for(Span::days(9));
    assert!(!is_erased(&scene, second));
    assert_eq!(scene.texts(second, bob).len(), 3);
    // Who has not deleted anything has nothing to keep.
    let refused = scene.command(bob, Request::KeepHome);
    assert_eq!(refused.unwrap_err().problem.code(), "nothing_erased");
}

#[test]
fn deleting_goes_on_after_a_crash_and_without_a_network() {
    let (mut scene, alice, bob) = alice_and_bob(902);
    converse(&mut scene, alice, bob, 2);
    scene.set_online(alice, false);
    delete(&mut scene, alice, ALICE).unwrap();
    scene.run_for(Span::minutes(30));
    assert!(
        !is_erased(&scene, alice),
        "nothing is erased before the log has it"
    );
    scene.crash(alice);
    scene.start(alice);
    scene.set_online(alice, true);
    scene.run_for(Span::minutes(15));
    assert!(is_erased(&scene, alice));
}

#[test]
fn a_deleted_address_is_free_for_others_who_are_others() {
    let (mut scene, alice, bob) = alice_and_bob(903);
    converse(&mut scene, alice, bob, 2);
    scene
        .command(alice, Request::SetLock(SetLock { locked: true }))
        .unwrap();
    scene.run_for(Span::minutes(2));
    delete(&mut scene, alice, ALICE).unwrap();
    scene.run_for(Span::hours(30));
    scene.send(bob, alice, "are you there?");
    scene.run_for(Span::minutes(10));
    let other = scene.add(ALICE);
    scene.register(other);
    scene.run_for(Span::minutes(2));
    assert!(scene.status(other).online);
    scene.send(other, bob, "I am somebody else");
    scene.run_for(Span::hours(30));
    let seen = events(&mut scene, bob, other);
    let deleted = seen
        .iter()
        .position(|event| *event == EventKind::AccountDeleted);
    let reset = seen
        .iter()
        .position(|event| *event == EventKind::IdentityReset);
    assert!(deleted.is_some() && deleted < reset, "{seen:?}");
}

#[test]
fn the_recovery_words_bring_a_deleted_account_back() {
    let (mut scene, alice, bob) = alice_and_bob(904);
    let (words, _) = words(&mut scene, alice);
    converse(&mut scene, alice, bob, 2);
    let account = scene.account_of(alice);
    delete(&mut scene, alice, ALICE).unwrap();
    scene.run_for(Span::minutes(15));
    assert!(is_erased(&scene, alice));
    let new = scene.add(ALICE);
    recover(&mut scene, new, recovering(&words));
    scene.run_for(Span::minutes(5));
    let (_, problem) = outcome(&scene, new);
    assert_eq!(
        problem.as_deref(),
        Some("backup_none"),
        "the relay has deleted it"
    );
    assert_eq!(scene.account_of(new), account);
    assert!(!is_erased(&scene, new));
    scene.run_for(Span::minutes(5));
    scene.send(new, bob, "back again");
    scene.run_for(Span::hours(30));
    assert_eq!(scene.texts(bob, new).last().unwrap(), "back again");
}
