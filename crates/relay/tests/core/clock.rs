//! A machine's clock that leaps.

use waxwing_protocol::{
    pb::{self, ErrorCode, client_frame::Body as Ask, relay_frame::Body as Answer},
    time::{Span, Time},
};
use waxwing_relay::store::{KeySpace, Store as _};

use crate::world::{Person, World, code, message, post_id};

const YEAR: i64 = 365 * 86_400_000;

/// A world in which a post waits for somebody.
fn something_waits() -> (World, Person) {
    let mut world = World::new();
    world.look_at_clock(0);
    let alice = world.person("alice@example.org");
    let bob = world.person("bob@example.org");
    let group = world.group(&[&alice, &bob]);
    let link = world.posting_link(&group);
    let answer = world.ask_durably(link, message(&group, post_id(1), "waits"));
    assert!(matches!(answer, Answer::Posted(_)), "{answer:?}");
    (world, bob)
}

fn waiting(world: &World, space: KeySpace) -> u64 {
    world.store.count(space).unwrap()
}

#[test]
fn a_clock_that_is_wrong_for_half_a_minute_deletes_no_mail() {
    let (mut world, bob) = something_waits();
    world.run(Span::seconds(5), 0);
    let (entries, ids) = (
        waiting(&world, KeySpace::Entries),
        waiting(&world, KeySpace::PostIds),
    );
    assert!(entries > 0 && ids > 0);
    for error in [YEAR, -YEAR] {
        world.run(Span::seconds(30), error);
        world.run(Span::minutes(1), 0);
    }
    assert_eq!(waiting(&world, KeySpace::Entries), entries);
    assert_eq!(waiting(&world, KeySpace::PostIds), ids);
    let (link, _) = world.login(&bob);
    let posts = world.delivered(link);
    assert_eq!(posts.len(), 1);
    assert!(posts[0].received_at_ms <= world.now.0);
}

#[test]
fn a_clock_that_is_wrong_for_half_a_minute_dates_no_head() {
    let mut world = World::new();
    world.look_at_clock(0);
    world.run(Span::seconds(5), 0);
    let before = world.log.newest();
    let carol = world.stranger("carol@example.org");
    let link = world.link();
    let id = world.start_registration(link, &carol);
    let right = world.codes["carol@example.org"].clone();
    // So old that it would be signed again.
    world.now = world.now.after(Span::minutes(9));
    world.run(Span::minutes(5), YEAR);
    assert!(world.relay.doubts_clock());
    assert_eq!(world.log.newest(), before);
    assert!(world.relay.next_publication(world.now).is_none());
    world.run(Span::seconds(1), 0);
    // The code is good for ten minutes of the time that has passed, and is over now.
    let finish = world.finish(link, &carol, id, &right);
    assert_eq!(code(world.ask(link, finish)), ErrorCode::CodeRefused);
    let dave = world.person("dave@example.org");
    assert_eq!(dave.address, "dave@example.org");
    let newest = world.log.newest();
    assert!(newest.number > before.number);
    assert!(newest.made_at <= world.now && world.now.since(newest.made_at) < Span::minutes(1));
}

#[test]
fn what_would_be_signed_is_refused_while_the_clock_is_in_doubt() {
    let mut world = World::new();
    world.look_at_clock(0);
    let carol = world.stranger("carol@example.org");
    let link = world.link();
    let id = world.start_registration(link, &carol);
    let right = world.codes["carol@example.org"].clone();
    world.run(Span::seconds(2), YEAR);
    let finish = world.finish(link, &carol, id, &right);
    assert_eq!(
        code(world.ask(link, finish.clone())),
        ErrorCode::Unavailable
    );
    world.run(Span::seconds(2), 0);
    let answer = world.ask_durably(link, finish);
    assert!(matches!(answer, Answer::Registered(_)), "{answer:?}");
}

#[test]
fn a_leap_keeps_no_link_code_limit_or_permission_from_its_time() {
    let mut world = World::new();
    world.look_at_clock(0);
    let alice = world.person("alice@example.org");
    let group = world.group(&[&alice]);
    let link = world.posting_link(&group);
    // A leap that is believed moves the date, and nothing that is counted in memory.
    world.run(Span::seconds(55), YEAR);
    let waits = message(&group, post_id(1), "still allowed");
    assert!(matches!(world.ask_durably(link, waits), Answer::Posted(_)));
    let person = world.stranger("eve@example.org");
    let open = world.link();
    for _ in 0..5 {
        world.start_registration(open, &person);
    }
    world
        .relay
        .confirm_clock(world.now, Time(world.now.0.saturating_add_signed(YEAR)));
    assert_eq!(world.relay.date(world.now).0, world.now.0 + YEAR as u64);
    world.run(Span::seconds(2), YEAR);
    let again = message(&group, post_id(2), "as before");
    assert!(matches!(world.ask_durably(link, again), Answer::Posted(_)));
    let start = Ask::StartRegistration(pb::StartRegistration {
        address: person.address.clone(),
        device_id: person.device().to_bytes(),
    });
    // No new code: as many as may be were sent.
    let answer = world.ask(open, start);
    let is_sent_before =
        matches!(&answer, Some(Answer::RegistrationStarted(started)) if started.sent_before);
    assert!(is_sent_before, "{answer:?}");
}

#[test]
fn after_a_month_off_nothing_expires_until_the_clock_is_sure() {
    let (mut world, _) = something_waits();
    world.run(Span::minutes(11), 0);
    let entries = waiting(&world, KeySpace::Entries);
    world.now = world.now.after(Span::days(40));
    world.crash();
    world.look_at_clock(0);
    let head = world.log.newest();
    world.run(Span::minutes(29), 0);
    assert!(world.relay.doubts_clock());
    assert_eq!(world.log.newest(), head);
    world.run(Span::minutes(2), 0);
    assert!(!world.relay.doubts_clock());
    assert!(world.log.newest().number > head.number);
    assert_eq!(waiting(&world, KeySpace::Entries), entries);
    // A restart shortens nothing.
    world.crash();
    world.look_at_clock(0);
    assert!(!world.relay.doubts_clock());
    world.now = world.now.after(Span::hours(23));
    world.run(Span::minutes(10), 0);
    assert_eq!(waiting(&world, KeySpace::Entries), entries);
    world.run(Span::hours(1), 0);
    assert_eq!(waiting(&world, KeySpace::Entries), 0);
}

#[test]
fn the_operator_ends_a_doubt_at_once() {
    let (mut world, _) = something_waits();
    world.run(Span::minutes(11), 0);
    world.now = world.now.after(Span::days(40));
    world.crash();
    world.look_at_clock(0);
    world.run(Span::seconds(5), 0);
    assert!(waiting(&world, KeySpace::Entries) > 0);
    world.relay.confirm_clock(world.now, world.now);
    // A round of the sweep that was over begins again within a minute.
    world.run(Span::minutes(1), 0);
    assert_eq!(waiting(&world, KeySpace::Entries), 0);
    assert!(world.now.since(world.log.newest().made_at) < Span::minutes(1));
}
