//! What accounts, and all of them together, may have on the relay's disk.

use bytes::Bytes;
use prost::Message as _;
use sha2::{Digest as _, Sha256};
use waxwing_protocol::{
    ids::GroupId,
    limits,
    pb::{self, ErrorCode, client_frame::Body as Ask, relay_frame::Body as Answer},
    posting::PostingKey,
    time::Span,
    token,
};
use waxwing_relay::{
    relay::{Config, LinkId},
    store::{KeySpace, Store as _, check::check, records::UsageRecord},
};

use crate::world::{World, authorise_request, code};

fn open(n: u64, bytes: u64, tokens: Vec<pb::Token>) -> Ask {
    let id = [n; 4].map(u64::to_be_bytes).concat();
    Ask::OpenBlob(pb::OpenBlob {
        blob_id: id.into(),
        bytes,
        readers: 1,
        delete_hash: Bytes::copy_from_slice(&Sha256::digest([9; 32])),
        tokens,
        ..pb::OpenBlob::default()
    })
}

fn delete(n: u64) -> Ask {
    let id = [n; 4].map(u64::to_be_bytes).concat();
    Ask::DeleteBlob(pb::DeleteBlob {
        blob_id: id.into(),
        secret: Bytes::from_static(&[9; 32]),
    })
}

fn small() -> Config {
    Config {
        tokens_per_day: 8,
        tokens_per_period: 20,
        ..Config::default()
    }
}

/// As many tokens as an account is given at once.
fn all_tokens(world: &mut World, link: LinkId) -> Vec<pb::Token> {
    let mut tokens = Vec::new();
    loop {
        let (_, request) = token::request(&mut world.rng, 1).unwrap();
        let asked = world.tell(link, Ask::IssueTokens(request));
        world.write();
        match world.answer(link, asked) {
            Some(Answer::TokensIssued(_)) => {}
            Some(Answer::Error(error)) => {
                assert_eq!(error.code(), ErrorCode::RateLimited);
                assert!(error.retry_after_ms > 0);
                return tokens;
            }
            other => panic!("{other:?}"),
        }
        tokens.push(pb::Token::default());
    }
}

#[test]
fn an_account_is_given_so_many_tokens_in_a_day_and_in_fifteen() {
    let mut world = World::with(small());
    let alice = world.person("alice@example.org");
    // At the beginning of a period, whichever it is.
    let period = limits::TOKEN_PERIOD.0;
    world.now.0 = (world.now.0 / period + 1) * period;
    let (link, _) = world.login(&alice);
    let mut given = Vec::new();
    for _ in 0..15 {
        given.push(all_tokens(&mut world, link).len());
        world.now = world.now.after(Span::days(1));
    }
    assert_eq!(given[..4], [8, 8, 4, 0]);
    assert_eq!(given.iter().sum::<usize>(), 20);
    assert_eq!(all_tokens(&mut world, link).len(), 8, "the next period");
}

#[test]
fn what_one_account_is_given_buys_a_stated_number_of_bytes() {
    // Of the time that a blob is kept, three periods or fewer have a part.
    let periods = limits::BLOB_RETENTION.0 / limits::TOKEN_PERIOD.0 + 1;
    let tokens = u64::from(limits::TOKENS_PER_PERIOD) * periods;
    assert_eq!(tokens * limits::BLOB_BYTES_PER_TOKEN, 48 << 30);
    let a_day = limits::TOKENS_PER_DAY as u64 * limits::BLOB_BYTES_PER_TOKEN;
    assert_eq!(a_day, 8 << 30);
    // The longest file can be sent within a day.
    let longest = limits::BLOB_BYTES.div_ceil(limits::BLOB_BYTES_PER_TOKEN);
    assert!(longest <= limits::TOKENS_PER_DAY as u64);
}

#[test]
fn all_blobs_together_have_a_limit_and_deleting_makes_room() {
    let config = Config {
        blob_bytes: 32 << 20,
        ..Config::default()
    };
    let mut world = World::with(config);
    let alice = world.person("alice@example.org");
    let (mailbox, _) = world.login(&alice);
    let mut tokens = world.tokens(mailbox, 8);
    let link = world.link();
    for n in 1..=2 {
        let open = open(n, 16 << 20, vec![tokens.pop().unwrap()]);
        let answer = world.ask_durably(link, open);
        assert!(matches!(answer, Answer::BlobStored(_)), "{answer:?}");
    }
    let token = tokens.pop().unwrap();
    let third = open(3, 1, vec![token.clone()]);
    let refused = world.ask(link, third.clone());
    let Some(Answer::Error(error)) = refused else {
        panic!("{refused:?}")
    };
    assert_eq!(error.code(), ErrorCode::Unavailable);
    assert!(error.retry_after_ms > 0 && error.detail.contains("no room"));
    // It is counted on the disk, and the refused one's token is not spent.
    world.crash();
    let link = world.link();
    assert_eq!(code(world.ask(link, third.clone())), ErrorCode::Unavailable);
    assert_eq!(
        world.ask_durably(link, delete(1)),
        Answer::Done(pb::Done {})
    );
    assert!(matches!(
        world.ask_durably(link, third),
        Answer::BlobStored(_)
    ));
    assert_eq!(check(&world.store).unwrap().damaged(), 0);
}

#[test]
fn a_day_s_blobs_have_a_limit() {
    let config = Config {
        blob_mib_per_day: 32,
        ..Config::default()
    };
    let mut world = World::with(config);
    let alice = world.person("alice@example.org");
    let (mailbox, _) = world.login(&alice);
    let mut tokens = world.tokens(mailbox, 8);
    let link = world.link();
    for n in 1..=2 {
        let open = open(n, 16 << 20, vec![tokens.pop().unwrap()]);
        assert!(matches!(
            world.ask_durably(link, open),
            Answer::BlobStored(_)
        ));
        world.ask_durably(link, delete(n));
    }
    let third = open(3, 16 << 20, vec![tokens.pop().unwrap()]);
    assert_eq!(code(world.ask(link, third.clone())), ErrorCode::RateLimited);
    world.now = world.now.after(Span::hours(12));
    assert!(matches!(
        world.ask_durably(link, third),
        Answer::BlobStored(_)
    ));
}

#[test]
fn all_backups_together_have_a_limit() {
    let config = Config {
        backup_parts_in_all: 3,
        ..Config::default()
    };
    let mut world = World::with(config);
    let alice = world.person("alice@example.org");
    let (link, _) = world.login(&alice);
    let put = |id: u8, index: u32| {
        Ask::PutBackup(pb::PutBackup {
            backup_id: Bytes::copy_from_slice(&[id; 16]),
            index,
            part: Bytes::from_static(b"part"),
        })
    };
    for index in [0, 1, 2, 2] {
        let answer = world.ask_durably(link, put(1, index));
        assert_eq!(answer, Answer::Done(pb::Done {}));
    }
    assert_eq!(code(world.ask(link, put(1, 3))), ErrorCode::Unavailable);
    // What nobody goes on putting makes room.
    world.now = world.now.after(Span::days(2));
    world.wait(Span::seconds(1));
    while world.write_once() {}
    let answer = world.ask_durably(link, put(2, 0));
    assert_eq!(answer, Answer::Done(pb::Done {}));
}

#[test]
fn all_groups_together_have_a_limit_and_idle_ones_are_deleted() {
    let config = Config {
        groups: 2,
        group_idle_days: 10,
        ..Config::default()
    };
    let mut world = World::with(config);
    let alice = world.person("alice@example.org");
    let used = world.group(&[&alice]);
    let _idle = world.group(&[&alice]);
    let token = world.token(&alice);
    let link = world.link();
    let id = GroupId::random(&mut world.rng);
    let third = world.create_request(token, id, &[alice.mailbox]);
    let refused = code(world.ask(link, third.clone()));
    assert_eq!(refused, ErrorCode::Unavailable);
    for _ in 0..11 {
        let link = world.link();
        let authorise = authorise_request(link, used.id, used.epoch);
        world.ask_durably(link, authorise);
        world.relay.link_closed(link);
        world.wait(Span::days(1));
        while world.write_once() {}
    }
    assert_eq!(world.store.count(KeySpace::Groups).unwrap(), 1);
    for space in [KeySpace::GroupInfos, KeySpace::GroupSequences] {
        assert_eq!(world.store.count(space).unwrap(), 1, "{}", space.name());
    }
    let link = world.link();
    let answer = world.ask_durably(link, third);
    assert!(matches!(answer, Answer::Posted(_)), "{answer:?}");
    assert_eq!(check(&world.store).unwrap().damaged(), 0);
}

#[test]
fn a_member_is_taken_out_though_groups_may_not_grow() {
    let mut world = World::new();
    let alice = world.person("alice@example.org");
    let mallory = world.person("mallory@example.org");
    let group = world.group(&[&alice, &mallory]);
    let usage = world.store.get(KeySpace::Meta, b"usage").unwrap().unwrap();
    let usage = UsageRecord::decode(usage).unwrap();
    world.config.group_bytes = usage.group_bytes;
    world.crash();
    let link = world.posting_link(&group);
    let mut commit = world.commit_request(&group, crate::world::post_id(1), &[alice.mailbox], b"");
    if let Ask::Post(post) = &mut commit {
        let next = post.next.as_mut().unwrap();
        let key = PostingKey::from_seed(&[9; 32]).public();
        next.rejoin_key = Bytes::copy_from_slice(key.as_bytes());
    }
    let answer = world.ask_durably(link, commit);
    assert!(matches!(answer, Answer::Posted(_)), "{answer:?}");
}

#[test]
fn groups_may_not_grow_beyond_what_all_may_have() {
    let config = Config {
        group_bytes: 700,
        ..Config::default()
    };
    let mut world = World::with(config);
    let alice = world.person("alice@example.org");
    let mut group = world.group(&[&alice]);
    let mut refused = None;
    for n in 1..20 {
        let link = world.posting_link(&group);
        let commit = world.commit_request(&group, crate::world::post_id(n), &[alice.mailbox], b"");
        let answer = world.ask_durably(link, commit);
        world.relay.link_closed(link);
        if let Answer::Error(error) = answer {
            refused = Some(error.code());
            break;
        }
        group.epoch = group.epoch.next();
    }
    assert_eq!(refused, Some(ErrorCode::Unavailable));
}
