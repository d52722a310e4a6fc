//! What requests cost, with the lock and without: `cargo test -p waxwing-relay --test core
//! costs -- --nocapture` prints a table. No request holds the lock for longer than
//! [`AT_ONCE`].
//!
//! **Elsewhere**: what they are charged: `crate::cost`; that the charges hold, without a clock:
//! `verification.rs`; how many records a sweep touches at once: `sweeping.rs`.

use std::time::{Duration, Instant};

use bytes::Bytes;
use waxwing_protocol::time::Span;
use waxwing_protocol::{
    ids::{Epoch, GroupId, MailboxId},
    pb::statement::Change,
    pb::{self, client_frame::Body as Ask},
    posting::PostingKey,
    roster::{Roster, SigningWith, next_statement},
    token,
};
use waxwing_relay::rate_limit::Rate;
use waxwing_relay::relay::{Config, LinkId};
use waxwing_relay::store::{KeySpace, Store as _, Write, key, records};

use crate::world::{Members, World, authorise_request, message, post_id};

/// The lock is held for this long at a time, at most: 2 ms in a release build, and twice as long
/// with debug assertions and other tests beside this one.
const AT_ONCE: Duration = Duration::from_millis(if cfg!(debug_assertions) { 4 } else { 2 });

/// Each is measured so often, and more often where it took too long: what else the machine
/// does only makes it longer.
const TIMES: u32 = 5;
const MOST_TIMES: u32 = 50;

/// What took too long.
#[derive(Default)]
struct Table(Vec<String>);

impl Table {
    /// Measures a request, made anew each time.
    fn row(
        &mut self,
        world: &mut World,
        what: &str,
        mut make: impl FnMut(&mut World, u32) -> (LinkId, Ask),
    ) {
        let (mut least, mut longest, mut free) = (Duration::MAX, Duration::MAX, Duration::MAX);
        for n in 0..MOST_TIMES {
            if n >= TIMES && longest <= AT_ONCE {
                break;
            }
            let (link, body) = make(world, n);
            let frame = pb::ClientFrame {
                request: 1_000_000 + n,
                body: Some(body),
            };
            let (mut held, mut at_once, mut without) =
                (Duration::ZERO, Duration::ZERO, Duration::ZERO);
            let mut hold = |took: Duration| {
                held += took;
                at_once = took.max(at_once);
            };
            let began = Instant::now();
            let mut next = world.relay.begin(world.now, &mut world.rng, link, frame);
            hold(began.elapsed());
            while let Some(verification) = next {
                let began = Instant::now();
                let verified = verification.run();
                without += began.elapsed();
                let began = Instant::now();
                next = world.relay.finish(world.now, &mut world.rng, verified);
                hold(began.elapsed());
            }
            least = least.min(held);
            longest = longest.min(at_once);
            free = free.min(without);
            world.collect();
            world.write();
        }
        println!(
            "| {what} | {:>7.1} | {:>7.1} | {:>7.1} |",
            micros(least),
            micros(longest),
            micros(free),
        );
        if longest > AT_ONCE {
            self.0.push(format!("{what} held the lock for {longest:?}"));
        }
    }
}

fn micros(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e6
}

fn store(world: &World, space: KeySpace, at: &[u8], record: &impl prost::Message) {
    let write = Write {
        space,
        key: key(&[at]),
        value: Some(record.encode_to_vec().into()),
    };
    world.store.commit(vec![write]).unwrap();
}

/// Mailboxes of nobody in particular, each with as many posts.
fn mailboxes(world: &World, count: u64, posts: u64) -> Vec<MailboxId> {
    let id = |n: u64| {
        let mut id = [0xab; 16];
        id[..8].copy_from_slice(&n.to_be_bytes());
        id[8..].copy_from_slice(&posts.to_be_bytes());
        MailboxId(id)
    };
    for n in 0..count {
        let record = records::MailboxRecord {
            device_id: Bytes::copy_from_slice(&[1; 32]),
            reserved: posts + 1,
            acknowledged: 0,
        };
        store(world, KeySpace::Mailboxes, id(n).as_bytes(), &record);
        for post in 1..=posts {
            let entry = records::EntryRecord {
                post: n << 32 | post,
                size: 1,
                received_at_ms: world.now.0,
                shared: false,
                ..records::EntryRecord::default()
            };
            let at = [id(n).as_bytes().as_slice(), &post.to_be_bytes()].concat();
            store(world, KeySpace::Entries, &at, &entry);
        }
    }
    (0..count).map(id).collect()
}

#[test]
fn no_request_holds_the_lock_for_long() {
    let plenty = Rate {
        burst: u32::MAX,
        every: Span(1),
    };
    let mut world = World::with(Config {
        requests_per_link: plenty,
        work_per_source: plenty,
        look_ups_per_source: plenty,
        codes_per_address: plenty,
        codes_per_source: plenty,
        codes_per_address_in_all: plenty,
        codes_per_network: plenty,
        mailed_codes: plenty,
        changes_per_account: plenty,
        tokens_per_day: u32::MAX,
        ..Config::default()
    });
    let mut table = Table::default();
    println!("| request | locked, µs | at once | without the lock |");
    println!("| --- | --- | --- | --- |");
    let mut alice = world.person("alice@a.example");
    table.row(&mut world, "login", |world, _| {
        let link = world.link();
        (link, world.login_request(link, link, &alice))
    });
    let stranger = world.stranger("nobody@a.example");
    table.row(&mut world, "login, unknown device", |world, _| {
        let link = world.link();
        (link, world.login_request(link, link, &stranger))
    });
    let (logged_in, _) = world.login(&alice);
    table.row(&mut world, "32 tokens", |world, _| {
        let (_, request) = token::request(&mut world.rng, 32).unwrap();
        (logged_in, Ask::IssueTokens(request))
    });
    let bad = pb::Token {
        input: Bytes::copy_from_slice(&[1; 32]),
        output: Bytes::copy_from_slice(&[1; 64]),
    };
    table.row(&mut world, "claim, false token", |world, _| {
        let claim = pb::ClaimKeyPackages {
            address: "alice@a.example".into(),
            token: Some(bad.clone()),
            ..pb::ClaimKeyPackages::default()
        };
        (world.link(), Ask::ClaimKeyPackages(claim))
    });
    let group = world.group(&[&alice]);
    table.row(&mut world, "authorise, 1 mailbox", |world, _| {
        let link = world.link();
        (link, authorise_request(link, group.id, group.epoch))
    });
    let link = world.posting_link(&group);
    table.row(&mut world, "post, 1 mailbox", |_, n| {
        (link, message(&group, post_id(u64::from(n)), "hello"))
    });
    for (name, count, posts) in [
        ("256 mailboxes", 256, 0),
        ("4,096 mailboxes", 4096, 0),
        ("one mailbox with 40,000 posts", 1, 40_000),
    ] {
        let list = mailboxes(&world, count, posts);
        let token = world.token(&alice);
        let id = GroupId::random(&mut world.rng);
        let link = world.link();
        let create = world.create_request(token, id, &list);
        world.ask_durably(link, create);
        let large = Members {
            id,
            epoch: Epoch(1),
            mailboxes: list,
        };
        table.row(&mut world, &format!("authorise, {name}"), |world, _| {
            let link = world.link();
            (link, authorise_request(link, large.id, large.epoch))
        });
        table.row(&mut world, &format!("first post, {name}"), |world, n| {
            world.crash();
            let link = world.posting_link(&large);
            (link, message(&large, post_id(100 + u64::from(n)), "hello"))
        });
        let link = world.posting_link(&large);
        table.row(&mut world, &format!("next post, {name}"), |_, n| {
            (link, message(&large, post_id(u64::from(n)), "hello"))
        });
    }
    let mut roster = Roster::verify(&alice.roster).unwrap();
    while alice.roster.len() < 256 {
        let leaf = PostingKey::from_seed(&[9; 32]).public();
        let change = Change::SetLeafKey(Bytes::copy_from_slice(leaf.as_bytes()));
        let signer = SigningWith::Device(&alice.key);
        let next = next_statement(&mut world.rng, world.now, &roster, signer, change, None);
        if alice.roster.len() < 255 {
            roster.extend(&next).unwrap();
        }
        alice.roster.push(next);
    }
    let last = alice.roster.pop().unwrap();
    let record = records::AccountRecord {
        roster: alice.roster.clone(),
    };
    store(
        &world,
        KeySpace::Accounts,
        alice.account.as_bytes(),
        &record,
    );
    let device = records::DeviceRecord {
        account_id: alice.account.to_bytes(),
        mailbox_id: alice.mailbox.to_bytes(),
        ..Default::default()
    };
    table.row(
        &mut world,
        "login, 255 statements, old record",
        |world, _| {
            store(world, KeySpace::Devices, alice.device().as_bytes(), &device);
            let link = world.link();
            (link, world.login_request(link, link, &alice))
        },
    );
    let mut forged = last.clone();
    forged.signature = alice.roster[0].signature.clone();
    table.row(&mut world, "statement 256, forged", |world, _| {
        let change = pb::ChangeRoster {
            account_id: alice.account.to_bytes(),
            address: alice.address.clone(),
            statement: Some(forged.clone()),
            newcomer: None,
        };
        (world.link(), Ask::ChangeRoster(change))
    });
    alice.roster.truncate(14);
    store(
        &world,
        KeySpace::Accounts,
        alice.account.as_bytes(),
        &records::AccountRecord::default(),
    );
    table.row(&mut world, "registration, 14 statements", |world, _| {
        let link = world.link();
        let id = world.start_registration(link, &alice);
        let code = world.codes["alice@a.example"].clone();
        (link, world.finish(link, &alice, id, &code))
    });
    assert_eq!(table.0, Vec::<String>::new());
}
