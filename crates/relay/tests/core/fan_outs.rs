//! What fan-out lists and authorisations to post cost in memory.

use waxwing_protocol::{
    ids::{GroupId, MailboxId},
    limits,
    pb::{ErrorCode, relay_frame::Body as Answer},
    time::Span,
};
use waxwing_relay::{
    rate_limit::Rate,
    relay::{Config, LinkId},
};

use crate::world::{Members, Person, World, authorise_request, code, message, post_id};

/// What the longest list costs as long as nobody has committed: sealed, and what is kept of it
/// besides (its mailboxes were invented, and are not in the list in the clear); and an
/// authorisation.
const LONGEST: u64 = limits::FAN_OUT_MAILBOXES as u64 * 18 + 512;
const LINK: u64 = 128;

/// Those who try here may work as much as they like.
fn config() -> Config {
    Config {
        work_per_source: Rate {
            burst: u32::MAX,
            every: Span(1),
        },
        ..Config::default()
    }
}

/// A group with the longest list there may be.
fn large_group(world: &mut World, maker: &Person) -> Members {
    let token = world.token(maker);
    let id = GroupId::random(&mut world.rng);
    let mut mailboxes: Vec<MailboxId> = (1..limits::FAN_OUT_MAILBOXES)
        .map(|_| MailboxId::random(&mut world.rng))
        .collect();
    mailboxes.push(maker.mailbox);
    let link = world.link();
    let create = world.create_request(token, id, &mailboxes);
    let answer = world.ask_durably(link, create);
    assert!(matches!(answer, Answer::Posted(_)), "{answer:?}");
    world.relay.link_closed(link);
    Members {
        id,
        epoch: waxwing_protocol::ids::Epoch(1),
        mailboxes,
    }
}

fn authorise(world: &mut World, link: LinkId, group: &Members) -> Option<Answer> {
    world.ask(link, authorise_request(link, group.id, group.epoch))
}

#[test]
fn two_hundred_links_of_one_group_share_one_list() {
    let mut world = World::with(config());
    let alice = world.person("alice@a.example");
    let group = large_group(&mut world, &alice);
    let links: Vec<LinkId> = (0..200).map(|_| world.posting_link(&group)).collect();
    let bytes = world.relay.counts().fan_out_bytes;
    assert!(bytes > 60_000 && bytes <= LONGEST + 200 * LINK, "{bytes}");
    for (n, link) in links.iter().enumerate() {
        let post = message(&group, post_id(n as u64), "hello");
        let request = world.tell(*link, post);
        world.write();
        let answer = world.answer(*link, request);
        assert!(matches!(answer, Some(Answer::Posted(_))), "{answer:?}");
    }
    for link in links {
        world.relay.link_closed(link);
    }
    assert_eq!(world.relay.counts().fan_out_bytes, 0);
}

#[test]
fn lists_that_nobody_uses_leave_the_memory() {
    let mut world = World::new();
    let alice = world.person("alice@a.example");
    let group = large_group(&mut world, &alice);
    let link = world.posting_link(&group);
    world.wait(Span(limits::POSTING_IDLE.0 + 1000));
    assert_eq!(world.relay.counts().fan_out_bytes, 0);
    let answer = world.ask(link, message(&group, post_id(1), "late"));
    assert_eq!(code(answer), ErrorCode::Unauthorised);
}

#[test]
fn all_lists_together_are_bounded_and_links_authorise_again() {
    const BOUND: u64 = 3 * (LONGEST + LINK);
    let mut world = World::with(Config {
        fan_out_bytes: usize::try_from(BOUND).unwrap(),
        ..config()
    });
    let alice = world.person("alice@a.example");
    let groups: Vec<Members> = (0..8).map(|_| large_group(&mut world, &alice)).collect();
    let mut links = Vec::new();
    for group in &groups {
        world.now = world.now.after(Span(10));
        links.push(world.posting_link(group));
    }
    assert!(world.relay.counts().fan_out_bytes <= BOUND);
    for (n, (group, link)) in groups.iter().zip(&links).enumerate() {
        world.now = world.now.after(Span(10));
        // Each was the one used longest ago when another needed its room.
        let answer = world.ask(*link, message(group, post_id(n as u64), "hello"));
        assert_eq!(code(answer), ErrorCode::Unauthorised);
        assert!(matches!(
            authorise(&mut world, *link, group),
            Some(Answer::PostingAuthorised(_))
        ));
        let request = world.tell(*link, message(group, post_id(n as u64), "hello"));
        world.write();
        let answer = world.answer(*link, request);
        assert!(matches!(answer, Some(Answer::Posted(_))), "{answer:?}");
        assert!(world.relay.counts().fan_out_bytes <= BOUND);
    }
}

#[test]
fn when_links_post_to_too_many_groups_those_with_few_may() {
    let mut world = World::with(Config {
        authorisations: 20,
        ..Config::default()
    });
    let alice = world.person("alice@a.example");
    let groups: Vec<Members> = (0..21).map(|_| world.group(&[&alice])).collect();
    let greedy = world.link();
    for group in &groups[..20] {
        let answer = authorise(&mut world, greedy, group);
        assert!(matches!(answer, Some(Answer::PostingAuthorised(_))));
    }
    let answer = authorise(&mut world, greedy, &groups[20]);
    assert_eq!(code(answer), ErrorCode::RateLimited);
    let modest = world.posting_link(&groups[20]);
    let request = world.tell(modest, message(&groups[20], post_id(1), "hello"));
    world.write();
    assert!(matches!(
        world.answer(modest, request),
        Some(Answer::Posted(_))
    ));
}

#[test]
fn a_link_that_gives_way_again_and_again_is_swept_once() {
    let mut world = World::with(Config {
        fan_out_bytes: 500,
        ..config()
    });
    let alice = world.person("alice@a.example");
    let groups = [(); 2].map(|()| world.group(&[&alice]));
    let link = world.link();
    let other = world.link();
    for n in 0..200 {
        // Each takes the other's place in memory.
        let [one, two] = [&groups[0], &groups[1]];
        for (at, group) in [(link, one), (other, two)] {
            let answer = authorise(&mut world, at, group);
            assert!(
                matches!(answer, Some(Answer::PostingAuthorised(_))),
                "{n}: {answer:?}"
            );
        }
    }
    world.wait(Span::seconds(1));
    let most = world.relay.most_touched_in_a_slice();
    assert!(most < 100, "{most} at once, for two links");
}
