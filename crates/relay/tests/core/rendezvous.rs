//! Two links that meet.

use bytes::Bytes;
use waxwing_protocol::{
    limits,
    pb::{
        self, ErrorCode, client_frame::Body as Ask, join_rendezvous::At,
        relay_frame::Body as Answer,
    },
    time::Span,
};
use waxwing_relay::{
    rate_limit::Rate,
    relay::{Config, LinkId},
};

use crate::world::{World, code};

fn join(at: At) -> Ask {
    Ask::JoinRendezvous(pb::JoinRendezvous { at: Some(at) })
}

fn agreed(id: u8) -> Ask {
    join(At::RendezvousId(Bytes::copy_from_slice(&[id; 16])))
}

fn say(body: &[u8]) -> Ask {
    Ask::SendRendezvous(pb::SendRendezvous {
        body: Bytes::copy_from_slice(body),
    })
}

fn message(body: &[u8]) -> Answer {
    Answer::RendezvousMessage(pb::RendezvousMessage {
        body: Bytes::copy_from_slice(body),
    })
}

fn joined(number: u32, met: bool) -> Answer {
    Answer::RendezvousJoined(pb::RendezvousJoined { number, met })
}

const DONE: Option<Answer> = Some(Answer::Done(pb::Done {}));
const LEFT: Option<Answer> = Some(Answer::RendezvousLeft(pb::RendezvousLeft {}));

/// A link that waits at a number.
fn waiting(world: &mut World) -> (LinkId, u32) {
    let link = world.link();
    let Some(Answer::RendezvousJoined(answer)) = world.ask(link, join(At::NewNumber(true))) else {
        panic!("no number");
    };
    assert!(!answer.met);
    (link, answer.number)
}

#[test]
fn the_first_message_of_a_rendezvous_waits_for_the_second_link() {
    let mut world = World::new();
    let (first, number) = waiting(&mut world);
    assert!((100_000..1_000_000).contains(&number));
    assert_eq!(world.ask(first, say(b"one")), DONE);
    assert_eq!(world.ask(first, say(b"two")), DONE);
    let second = world.link();
    world.tell(second, join(At::Number(number)));
    assert_eq!(world.next(second), Some(joined(0, true)));
    assert_eq!(world.next(second), Some(message(b"one")));
    assert_eq!(world.next(second), Some(message(b"two")));
    assert_eq!(world.ask(second, say(b"three")), DONE);
    assert_eq!(world.next(first), Some(message(b"three")));
    assert_eq!(world.ask(first, say(b"four")), DONE);
    assert_eq!(world.next(second), Some(message(b"four")));
    assert_eq!(
        world.ask(second, Ask::LeaveRendezvous(pb::LeaveRendezvous {})),
        DONE
    );
    assert_eq!(world.next(first), LEFT);
    // Nobody can come any more.
    assert_eq!(
        code(world.ask(first, say(b"five"))),
        ErrorCode::RendezvousUnknown
    );
}

#[test]
fn a_rendezvous_number_is_good_for_one_try() {
    let mut world = World::new();
    let (first, number) = waiting(&mut world);
    let guesser = world.link();
    assert_eq!(
        world.ask(guesser, join(At::Number(number))),
        Some(joined(0, true))
    );
    let meant = world.link();
    assert_eq!(
        code(world.ask(meant, join(At::Number(number)))),
        ErrorCode::RendezvousUnknown
    );
    assert_eq!(
        code(world.ask(guesser, join(At::Number(number)))),
        ErrorCode::RendezvousUnknown
    );
    world.relay.link_closed(guesser);
    world.collect();
    assert_eq!(world.next(first), LEFT);
    assert_eq!(
        code(world.ask(meant, join(At::Number(number)))),
        ErrorCode::RendezvousUnknown
    );
}

#[test]
fn nobody_meets_themselves_at_a_rendezvous() {
    let mut world = World::new();
    let (first, number) = waiting(&mut world);
    assert_eq!(
        code(world.ask(first, join(At::Number(number)))),
        ErrorCode::RendezvousUnknown
    );
    // A refused try changed nothing.
    let second = world.link();
    assert_eq!(
        world.ask(second, join(At::Number(number))),
        Some(joined(0, true))
    );
    let (first, number) = waiting(&mut world);
    world.relay.link_closed(first);
    assert_eq!(
        code(world.ask(second, join(At::Number(number)))),
        ErrorCode::RendezvousUnknown
    );
    // And the meeting that it was in goes on.
    assert_eq!(world.ask(second, say(b"still here")), DONE);
}

#[test]
fn numbers_come_in_no_order() {
    let mut world = World::new();
    let numbers: Vec<u32> = (0..20).map(|_| waiting(&mut world).1).collect();
    assert!(!numbers.is_sorted() && !numbers.iter().rev().is_sorted());
    let different: std::collections::HashSet<_> = numbers.iter().collect();
    assert_eq!(different.len(), numbers.len());
}

#[test]
fn two_at_most_meet_at_an_id_and_a_lost_link_comes_again() {
    let mut world = World::new();
    let (first, second, third) = (world.link(), world.link(), world.link());
    assert_eq!(world.ask(first, agreed(1)), Some(joined(0, false)));
    assert_eq!(world.ask(second, agreed(1)), Some(joined(0, true)));
    assert_eq!(world.ask(second, agreed(1)), Some(joined(0, true)));
    assert_eq!(
        code(world.ask(third, agreed(1))),
        ErrorCode::RendezvousUnknown
    );
    world.relay.link_closed(first);
    world.collect();
    assert_eq!(world.next(second), LEFT);
    assert_eq!(world.ask(second, say(b"are you there?")), DONE);
    let again = world.link();
    world.tell(again, agreed(1));
    assert_eq!(world.next(again), Some(joined(0, true)));
    assert_eq!(world.next(again), Some(message(b"are you there?")));
    assert_eq!(world.ask(again, say(b"yes")), DONE);
    assert_eq!(world.next(second), Some(message(b"yes")));
}

#[test]
fn what_waits_goes_with_the_last_who_leaves() {
    let mut world = World::new();
    let first = world.link();
    world.ask(first, agreed(1));
    world.ask(first, say(b"nobody will read this"));
    world.relay.link_closed(first);
    let second = world.link();
    assert_eq!(world.ask(second, agreed(1)), Some(joined(0, false)));
    assert_eq!(world.next(second), None);
}

#[test]
fn a_link_is_in_one_rendezvous_at_most() {
    let mut world = World::new();
    let (first, second) = (world.link(), world.link());
    world.ask(first, agreed(1));
    world.ask(second, agreed(1));
    assert_eq!(world.ask(second, agreed(2)), Some(joined(0, false)));
    assert_eq!(world.next(first), LEFT);
    // One that cannot be joined is no reason to leave.
    assert_eq!(
        code(world.ask(second, join(At::Number(1)))),
        ErrorCode::RendezvousUnknown
    );
    let third = world.link();
    assert_eq!(world.ask(third, agreed(2)), Some(joined(0, true)));
}

#[test]
fn what_waits_is_bounded_in_size_number_and_sum() {
    let largest = vec![0; limits::RENDEZVOUS_BYTES];
    let mut world = World::with(Config {
        rendezvous_bytes: 3 * limits::RENDEZVOUS_BYTES,
        ..Config::default()
    });
    let first = world.link();
    world.ask(first, agreed(1));
    let too_large = vec![0; limits::RENDEZVOUS_BYTES + 1];
    assert_eq!(code(world.ask(first, say(&too_large))), ErrorCode::TooLarge);
    assert_eq!(world.ask(first, say(&largest)), DONE);
    assert_eq!(world.ask(first, say(&largest)), DONE);
    assert_eq!(code(world.ask(first, say(b"x"))), ErrorCode::TooLarge);
    let other = world.link();
    world.ask(other, agreed(2));
    assert_eq!(world.ask(other, say(&largest)), DONE);
    assert_eq!(code(world.ask(other, say(b"x"))), ErrorCode::RateLimited);
    // What was handed over, or has ended, counts no longer.
    let second = world.link();
    world.ask(second, agreed(1));
    assert_eq!(world.ask(other, say(b"x")), DONE);
    world.relay.link_closed(other);
    let many = world.link();
    world.ask(many, agreed(3));
    for _ in 0..8 {
        assert_eq!(world.ask(many, say(b"x")), DONE);
    }
    assert_eq!(code(world.ask(many, say(b"x"))), ErrorCode::TooLarge);
}

#[test]
fn a_rendezvous_is_over_after_its_lifetime() {
    let mut world = World::new();
    let (first, number) = waiting(&mut world);
    world.wait(Span(limits::RENDEZVOUS_LIFETIME.0 - 1));
    assert_eq!(world.next(first), None);
    world.wait(Span(1));
    assert_eq!(world.next(first), LEFT);
    let second = world.link();
    assert_eq!(
        code(world.ask(second, join(At::Number(number)))),
        ErrorCode::RendezvousUnknown
    );
    // And its link may make another.
    assert!(matches!(
        world.ask(first, join(At::NewNumber(true))),
        Some(Answer::RendezvousJoined(_))
    ));
}

#[test]
fn rendezvous_numbers_cannot_be_tried_out_or_hoarded() {
    let rate = Rate {
        burst: 3,
        every: Span::minutes(1),
    };
    let mut world = World::with(Config {
        rendezvous_tries_per_source: rate,
        rendezvous_per_source: rate,
        ..Config::default()
    });
    let mut links = Vec::new();
    for number in 0..3 {
        let link = world.link();
        assert_eq!(
            code(world.ask(link, join(At::Number(number)))),
            ErrorCode::RendezvousUnknown
        );
        waiting(&mut world);
        links.push(link);
    }
    assert_eq!(
        code(world.ask(links[0], join(At::Number(3)))),
        ErrorCode::RateLimited
    );
    assert_eq!(code(world.ask(links[1], agreed(9))), ErrorCode::RateLimited);
    world.wait(Span::minutes(1));
    assert_eq!(
        code(world.ask(links[0], join(At::Number(3)))),
        ErrorCode::RendezvousUnknown
    );
    assert_eq!(world.ask(links[1], agreed(9)), Some(joined(0, false)));
}

#[test]
fn rendezvous_are_bounded_in_number() {
    let mut world = World::with(Config {
        rendezvous: 2,
        ..Config::default()
    });
    waiting(&mut world);
    let (second, _) = waiting(&mut world);
    let third = world.link();
    assert_eq!(code(world.ask(third, agreed(1))), ErrorCode::RateLimited);
    world.relay.link_closed(second);
    assert_eq!(world.ask(third, agreed(1)), Some(joined(0, false)));
}

#[test]
fn a_link_at_a_rendezvous_has_no_name() {
    let mut world = World::new();
    let person = world.person("alice@example.org");
    let (logged_in, _) = world.login(&person);
    for ask in [
        agreed(1),
        say(b"x"),
        Ask::LeaveRendezvous(pb::LeaveRendezvous {}),
    ] {
        assert_eq!(code(world.ask(logged_in, ask)), ErrorCode::WrongLink);
    }
    let link = world.link();
    world.ask(link, agreed(1));
    let login = world.login_request(link, link, &person);
    assert_eq!(code(world.ask(link, login)), ErrorCode::WrongLink);
}

#[test]
fn a_place_that_is_none_is_refused() {
    let mut world = World::new();
    let link = world.link();
    for ask in [
        Ask::JoinRendezvous(pb::JoinRendezvous { at: None }),
        join(At::NewNumber(false)),
        join(At::RendezvousId(Bytes::from_static(b"short"))),
    ] {
        assert_eq!(code(world.ask(link, ask)), ErrorCode::Malformed);
    }
    assert_eq!(
        code(world.ask(link, say(b"to nobody"))),
        ErrorCode::RendezvousUnknown
    );
}
