//! Token keys that change, tokens that expire, and links that are opened anew for it.

use waxwing_protocol::{
    ids::GroupId,
    limits,
    pb::{self, ErrorCode, client_frame::Body as Ask, relay_frame::Body as Answer},
    time::{Span, Time},
    token::{self, TokenIssuer},
};
use waxwing_relay::relay::LinkId;
use waxwing_relay::store::{KeySpace, Store, Write, key};

use crate::world::{Person, World, code};

const YEAR: i64 = 365 * 86_400_000;

fn claim(of: &Person, token: &pb::Token) -> Ask {
    Ask::ClaimKeyPackages(pb::ClaimKeyPackages {
        address: of.address.clone(),
        token: Some(token.clone()),
        device_ids: Vec::new(),
    })
}

/// Spends a token on a new link; gives why it is not taken.
fn spend(world: &mut World, of: &Person, token: &pb::Token) -> Result<(), String> {
    let link = world.link();
    let answer = world.ask_durably(link, claim(of, token));
    match answer {
        Answer::KeyPackagesClaimed(_) => Ok(()),
        Answer::Error(error) => Err(error.detail),
        other => panic!("{other:?}"),
    }
}

fn spent_tokens(world: &World) -> usize {
    let all = world.store.scan(KeySpace::SpentTokens, &[], None, 10_000);
    all.unwrap().len()
}

/// Whether a quiet link is still there after a ping.
fn survives_a_ping(world: &mut World, link: LinkId) -> bool {
    let answer = world.ask(link, Ask::Ping(pb::Ping {}));
    assert!(matches!(answer, Some(Answer::Pong(_))), "{answer:?}");
    !world.closed.contains(&link)
}

#[test]
fn a_token_is_good_for_its_period_and_the_next() {
    let mut world = World::new();
    let alice = world.person("alice@example.org");
    let (link, _) = world.login(&alice);
    let tokens = world.tokens(link, 3);
    spend(&mut world, &alice, &tokens[0]).unwrap();
    world.wait(limits::TOKEN_PERIOD);
    spend(&mut world, &alice, &tokens[1]).unwrap();
    world.wait(limits::TOKEN_PERIOD);
    assert_eq!(
        spend(&mut world, &alice, &tokens[2]).unwrap_err(),
        "the token is not one of this relay's"
    );
    let new = world.token(&alice);
    spend(&mut world, &alice, &new).unwrap();
}

#[test]
fn a_spent_token_is_spent_in_every_period_and_after_a_crash() {
    let mut world = World::new();
    let alice = world.person("alice@example.org");
    let (link, _) = world.login(&alice);
    let tokens = world.tokens(link, 2);
    let again = |world: &mut World, token: &pb::Token| {
        assert_eq!(
            spend(world, &alice, token).unwrap_err(),
            "the token was spent before"
        );
        world.crash();
        assert_eq!(
            spend(world, &alice, token).unwrap_err(),
            "the token was spent before"
        );
    };
    let bob = world.person("bob@example.org");
    spend(&mut world, &bob, &tokens[0]).unwrap();
    again(&mut world, &tokens[0]);
    world.wait(limits::TOKEN_PERIOD);
    world.write();
    spend(&mut world, &bob, &tokens[1]).unwrap();
    again(&mut world, &tokens[0]);
    again(&mut world, &tokens[1]);
    world.wait(limits::TOKEN_PERIOD);
    world.write();
    for token in &tokens {
        assert!(spend(&mut world, &bob, token).is_err());
        world.crash();
        assert!(spend(&mut world, &bob, token).is_err());
    }
}

#[test]
fn spent_tokens_are_forgotten_when_their_period_is_over() {
    let mut world = World::new();
    // What an older relay wrote: eight bytes of its key, and the hash.
    let old = [[0xa7; 8].as_slice(), &[1; 16]].concat();
    let write = Write {
        space: KeySpace::SpentTokens,
        key: key(&[&old]),
        value: Some(bytes::Bytes::new()),
    };
    world.store.commit(vec![write]).unwrap();
    let alice = world.person("alice@example.org");
    world.wait(Span::seconds(1));
    world.write();
    assert_eq!(spent_tokens(&world), 0);
    for period in 0..6 {
        let (link, _) = world.login(&alice);
        for token in world.tokens(link, 5) {
            spend(&mut world, &alice, &token).unwrap();
        }
        assert_eq!(spent_tokens(&world), if period == 0 { 5 } else { 10 });
        world.wait(limits::TOKEN_PERIOD);
        world.write();
        assert_eq!(spent_tokens(&world), 5);
    }
    world.wait(limits::TOKEN_PERIOD);
    world.write();
    assert_eq!(spent_tokens(&world), 0);
}

#[test]
fn what_many_spent_in_one_period_is_forgotten_in_slices() {
    let mut world = World::new();
    world.wait(Span::seconds(1));
    let writes = (0..5_000_u64).map(|n| Write {
        space: KeySpace::SpentTokens,
        key: key(&[&7_u64.to_be_bytes(), &n.to_be_bytes(), &[0; 8]]),
        value: Some(bytes::Bytes::new()),
    });
    world.store.commit(writes.collect()).unwrap();
    world.wait(limits::TOKEN_PERIOD);
    world.write();
    assert_eq!(spent_tokens(&world), 0);
    assert!(world.relay.most_touched_in_a_slice() <= waxwing_relay::relay::SLICE_MOST);
}

#[test]
fn a_link_is_given_tokens_of_the_key_that_it_was_shown() {
    let mut world = World::new();
    let alice = world.person("alice@example.org");
    let (link, _) = world.login(&alice);
    world.wait(limits::TOKEN_PERIOD);
    let (pending, request) = token::request(&mut world.rng, 1).unwrap();
    let Answer::TokensIssued(issued) = world.ask_durably(link, Ask::IssueTokens(request)) else {
        panic!("no tokens");
    };
    let shown = world.relay.shown_token_key().read().clone();
    assert_ne!(issued.token_key, shown.key);
    let old = TokenIssuer::of_period(&[1; 32], shown.period - 1).unwrap();
    let tokens = token::finish(&pending, &issued, &old.public_key()).unwrap();
    spend(&mut world, &alice, &tokens[0]).unwrap();
}

#[test]
fn quiet_links_of_an_earlier_period_reopen_mailboxes_first() {
    let mut world = World::new();
    let alice = world.person("alice@example.org");
    let (mailbox, _) = world.login(&alice);
    let posting = world.link();
    assert!(survives_a_ping(&mut world, mailbox));
    world.wait(limits::TOKEN_PERIOD);
    world.wait(Span::minutes(9));
    assert!(survives_a_ping(&mut world, posting));
    world.wait(Span::minutes(1));
    assert!(!survives_a_ping(&mut world, mailbox));
    world.wait(Span::minutes(10));
    assert!(!survives_a_ping(&mut world, posting));
    let again = world.link();
    world.wait(Span::hours(2));
    assert!(survives_a_ping(&mut world, again));
}

#[test]
fn a_link_that_needs_an_expired_key_is_closed() {
    let mut world = World::new();
    let alice = world.person("alice@example.org");
    let (mailbox, _) = world.login(&alice);
    let token = world.tokens(mailbox, 1).remove(0);
    let posting = world.link();
    for _ in 0..2 {
        world.wait(limits::TOKEN_PERIOD);
    }
    let (_, request) = token::request(&mut world.rng, 1).unwrap();
    let create = world.create_request(token.clone(), GroupId([1; 16]), &[alice.mailbox]);
    for (link, ask) in [(mailbox, Ask::IssueTokens(request)), (posting, create)] {
        assert_eq!(code(world.ask(link, ask)), ErrorCode::Unavailable);
        assert!(world.closed.contains(&link));
    }
}

#[test]
fn no_clock_however_wrong_takes_peoples_tokens_away() {
    let mut world = World::new();
    world.look_at_clock(0);
    let alice = world.person("alice@example.org");
    let (link, _) = world.login(&alice);
    let tokens = world.tokens(link, 3);
    let shown = world.relay.shown_token_key().read().clone();
    world.run(Span::seconds(30), YEAR);
    assert_eq!(*world.relay.shown_token_key().read(), shown);
    world.run(Span::minutes(35), YEAR);
    assert_eq!(*world.relay.shown_token_key().read(), shown);
    spend(&mut world, &alice, &tokens[0]).unwrap();
    // Even where somebody says that it is right.
    let wrong = Time(world.now.0.saturating_add_signed(YEAR));
    world.relay.confirm_clock(world.now, wrong);
    world.run(Span::seconds(2), YEAR);
    assert_eq!(
        world.relay.shown_token_key().read().period,
        shown.period + 1
    );
    spend(&mut world, &alice, &tokens[1]).unwrap();
    world.relay.confirm_clock(world.now, world.now);
    world.run(Span::seconds(2), 0);
    assert_eq!(
        world.relay.shown_token_key().read().period,
        shown.period + 1
    );
    spend(&mut world, &alice, &tokens[2]).unwrap();
    assert!(spend(&mut world, &alice, &tokens[1]).is_err());
    // And the next period comes when it should.
    world.wait(limits::TOKEN_PERIOD);
    assert_eq!(
        world.relay.shown_token_key().read().period,
        shown.period + 2
    );
}
