//! What a request may cost before the relay knows who asks, and with whose lock.

use bytes::Bytes;
use waxwing_protocol::{
    ids::{DeviceId, GroupId, MailboxId},
    limits,
    pb::statement::Change,
    pb::{self, ErrorCode, client_frame::Body as Ask, relay_frame::Body as Answer},
    roster::{Roster, SigningWith, next_statement},
    time::Span,
};
use waxwing_relay::{
    relay::{Config, LinkId},
    store::{KeySpace, Store as _, Write, key},
    verification::Verification,
};

use crate::world::{Members, Person, World, authorise_request, code, message, post_id};

/// What a request has to be verified by; `None` where the relay answers without.
fn begin(
    world: &mut World,
    link: LinkId,
    body: Ask,
) -> Option<Verification<waxwing_relay::store::memory::MemoryStore>> {
    let frame = pb::ClientFrame {
        request: 77,
        body: Some(body),
    };
    world.relay.begin(world.now, &mut world.rng, link, frame)
}

/// Puts a long roster into the store, as if the relay had taken each statement.
fn grow(world: &mut World, person: &mut Person, to: usize) {
    let mut roster = Roster::verify(&person.roster).unwrap();
    while person.roster.len() < to {
        let leaf = waxwing_protocol::posting::PostingKey::from_seed(&[9; 32]).public();
        let change = Change::SetLeafKey(Bytes::copy_from_slice(leaf.as_bytes()));
        let signer = SigningWith::Device(&person.key);
        let next = next_statement(&mut world.rng, world.now, &roster, signer, change, None);
        roster.extend(&next).unwrap();
        person.roster.push(next);
    }
    let record = waxwing_relay::store::records::AccountRecord {
        roster: person.roster.clone(),
    };
    let write = Write {
        space: KeySpace::Accounts,
        key: key(&[person.account.as_bytes()]),
        value: Some(prost::Message::encode_to_vec(&record).into()),
    };
    world.store.commit(vec![write]).unwrap();
}

/// The device's record as an older relay wrote it: without its key.
fn forget_identity(world: &mut World, person: &Person) {
    let record = waxwing_relay::store::records::DeviceRecord {
        account_id: person.account.to_bytes(),
        mailbox_id: person.mailbox.to_bytes(),
        ..Default::default()
    };
    let write = Write {
        space: KeySpace::Devices,
        key: key(&[person.device().as_bytes()]),
        value: Some(prost::Message::encode_to_vec(&record).into()),
    };
    world.store.commit(vec![write]).unwrap();
}

#[test]
fn a_login_verifies_one_signature_however_long_the_roster() {
    let mut world = World::new();
    let mut alice = world.person("alice@a.example");
    grow(&mut world, &mut alice, 40);
    for old_record in [false, true] {
        if old_record {
            forget_identity(&mut world, &alice);
        }
        let link = world.link();
        let login = world.login_request(link, link, &alice);
        let verification = begin(&mut world, link, login).expect("something to verify");
        let verified = verification.run();
        assert!(verified.is_right());
        assert_eq!(verified.signatures(), 1);
        assert!(
            world
                .relay
                .finish(world.now, &mut world.rng, verified)
                .is_none()
        );
        world.collect();
        let Some(Answer::LoggedIn(_)) = world.answer(link, 77) else {
            panic!("not logged in");
        };
    }
    // Its key is kept by itself from then on.
    world.write();
    let record = world
        .store
        .get(KeySpace::Devices, alice.device().as_bytes())
        .unwrap()
        .unwrap();
    assert!(record.len() > 1952);
}

#[test]
fn a_login_of_an_unknown_device_verifies_nothing() {
    let mut world = World::new();
    let stranger = world.stranger("nobody@a.example");
    let link = world.link();
    let login = world.login_request(link, link, &stranger);
    assert!(begin(&mut world, link, login).is_none());
    world.collect();
    assert_eq!(code(world.answer(link, 77)), ErrorCode::Unauthorised);
    // Nor is one without a signature told from one with a wrong one.
    let alice = world.person("alice@a.example");
    let link = world.link();
    let unsigned = Ask::Login(pb::Login {
        device_id: alice.device().to_bytes(),
        signature: None,
    });
    assert_eq!(code(world.ask(link, unsigned)), ErrorCode::Unauthorised);
}

#[test]
fn a_link_whose_logins_fail_is_closed() {
    let mut world = World::new();
    let alice = world.person("alice@a.example");
    let mallory = world.person("mallory@a.example");
    let link = world.link();
    for _ in 0..world.config.failed_logins_per_link {
        assert!(!world.closed.contains(&link));
        let Ask::Login(mut login) = world.login_request(link, link, &mallory) else {
            panic!("no login");
        };
        login.device_id = alice.device().to_bytes();
        assert_eq!(
            code(world.ask(link, Ask::Login(login))),
            ErrorCode::Unauthorised
        );
    }
    assert!(world.closed.contains(&link));
    world.login(&alice);
}

#[test]
fn a_device_that_is_revoked_while_it_logs_in_is_refused() {
    let mut world = World::new();
    let alice = world.person("alice@a.example");
    let link = world.link();
    let login = world.login_request(link, link, &alice);
    let verified = begin(&mut world, link, login).unwrap().run();
    let mark = Write {
        space: KeySpace::Revoked,
        key: key(&[alice.device().as_bytes()]),
        value: Some(Bytes::new()),
    };
    world.store.commit(vec![mark]).unwrap();
    world.relay.finish(world.now, &mut world.rng, verified);
    world.collect();
    assert_eq!(code(world.answer(link, 77)), ErrorCode::Unauthorised);
}

#[test]
fn a_roster_that_is_stored_is_not_verified_again() {
    let mut world = World::new();
    let mut alice = world.person("alice@a.example");
    grow(&mut world, &mut alice, 10);
    // Registering again with one statement more.
    let link = world.link();
    let id = world.start_registration(link, &alice);
    let right = world.codes["alice@a.example"].clone();
    let roster = Roster::verify(&alice.roster).unwrap();
    let leaf = waxwing_protocol::posting::PostingKey::from_seed(&[8; 32]).public();
    let change = Change::SetLeafKey(Bytes::copy_from_slice(leaf.as_bytes()));
    let signer = SigningWith::Device(&alice.key);
    let next = next_statement(&mut world.rng, world.now, &roster, signer, change, None);
    alice.roster.push(next);
    let finish = world.finish(link, &alice, id, &right);
    let verified = begin(&mut world, link, finish).unwrap().run();
    // The new statement, and the registration itself.
    assert_eq!(verified.signatures(), 2);
    assert!(verified.is_right());
    world.relay.finish(world.now, &mut world.rng, verified);
    world.collect();
    world.write();
    assert!(matches!(
        world.answer(link, 77),
        Some(Answer::Registered(_))
    ));
    // What was stored is kept as it was stored, signatures and all.
    let stored = world
        .store
        .get(KeySpace::Accounts, alice.account.as_bytes());
    let stored: waxwing_relay::store::records::AccountRecord =
        prost::Message::decode(stored.unwrap().unwrap()).unwrap();
    assert_eq!(stored.roster, alice.roster);
}

#[test]
fn a_wrong_code_verifies_nothing() {
    let mut world = World::new();
    let alice = world.stranger("alice@a.example");
    let link = world.link();
    let id = world.start_registration(link, &alice);
    let right = world.codes["alice@a.example"].clone();
    let wrong = if right == "00000000" {
        "00000001"
    } else {
        "00000000"
    };
    let finish = world.finish(link, &alice, id, wrong);
    assert!(begin(&mut world, link, finish).is_none());
    world.collect();
    assert_eq!(code(world.answer(link, 77)), ErrorCode::CodeRefused);
}

#[test]
fn what_was_spent_before_is_not_verified() {
    let mut world = World::new();
    let alice = world.person("alice@a.example");
    let token = world.token(&alice);
    let create = |world: &mut World, n: u8| {
        world.create_request(token.clone(), GroupId([n; 16]), &[alice.mailbox])
    };
    let first = create(&mut world, 1);
    let link = world.link();
    assert!(matches!(world.ask_durably(link, first), Answer::Posted(_)));
    let second = create(&mut world, 2);
    assert!(begin(&mut world, link, second).is_none());
    world.collect();
    assert_eq!(code(world.answer(link, 77)), ErrorCode::Unauthorised);
}

#[test]
fn two_links_cannot_spend_one_token_at_once() {
    let mut world = World::new();
    let alice = world.person("alice@a.example");
    let token = world.token(&alice);
    let links = [world.link(), world.link()];
    let mut verified = Vec::new();
    for (n, link) in (1..).zip(links) {
        let create = world.create_request(token.clone(), GroupId([n; 16]), &[alice.mailbox]);
        // Both are verified before either is carried out.
        let next = begin(&mut world, link, create).unwrap().run();
        verified.push(next);
    }
    for one in verified {
        let mut more = world.relay.finish(world.now, &mut world.rng, one);
        while let Some(some) = more {
            more = world.relay.finish(world.now, &mut world.rng, some.run());
        }
    }
    world.collect();
    world.write();
    assert!(matches!(
        world.answer(links[0], 77),
        Some(Answer::Posted(_))
    ));
    assert_eq!(code(world.answer(links[1], 77)), ErrorCode::Unauthorised);
}

#[test]
fn a_list_of_invented_mailboxes_costs_posts_nothing() {
    let mut world = World::new();
    let alice = world.person("alice@a.example");
    let mut mailboxes: Vec<MailboxId> = (0..limits::FAN_OUT_MAILBOXES as u64 - 1)
        .map(|n| {
            let mut id = [0xab; 16];
            id[..8].copy_from_slice(&n.to_be_bytes());
            MailboxId(id)
        })
        .collect();
    mailboxes.push(alice.mailbox);
    let token = world.token(&alice);
    let link = world.link();
    let id = GroupId([1; 16]);
    let create = world.create_request(token, id, &mailboxes);
    assert!(matches!(world.ask_durably(link, create), Answer::Posted(_)));
    let group = Members {
        id,
        epoch: waxwing_protocol::ids::Epoch(1),
        mailboxes,
    };
    let link = world.posting_link(&group);
    let before = world.store.reads();
    let posted = world.ask_durably(link, message(&group, post_id(1), "hello"));
    assert!(matches!(posted, Answer::Posted(_)), "{posted:?}");
    assert!(
        world.store.reads() - before < 20,
        "{}",
        world.store.reads() - before
    );
    let (alices, _) = world.login(&alice);
    assert_eq!(world.delivered(alices).len(), 2);
}

#[test]
fn a_mailbox_is_counted_without_the_lock() {
    let mut world = World::new();
    let alice = world.person("alice@a.example");
    let group = world.group(&[&alice]);
    let link = world.posting_link(&group);
    for n in 0..50 {
        world.ask_durably(link, message(&group, post_id(n), "waits"));
    }
    world.crash();
    let link = world.posting_link(&group);
    let verification = begin(&mut world, link, message(&group, post_id(100), "one more"));
    let verified = verification.expect("a mailbox to count").run();
    let before = world.store.reads();
    assert!(
        world
            .relay
            .finish(world.now, &mut world.rng, verified)
            .is_none()
    );
    world.collect();
    // The post's own number and ids, and nothing for each post that waits.
    assert!(
        world.store.reads() - before < 10,
        "{}",
        world.store.reads() - before
    );
    world.write();
    assert!(matches!(world.answer(link, 77), Some(Answer::Posted(_))));
    let (alices, _) = world.login(&alice);
    assert_eq!(world.delivered(alices).len(), 51);
}

#[test]
fn a_count_that_is_outdated_is_not_believed() {
    // One group may have an eighth of it.
    let mut world = World::with(Config {
        mailbox_posts: 24,
        ..Config::default()
    });
    let alice = world.person("alice@a.example");
    let group = world.group(&[&alice]);
    world.crash();
    let (one, other) = (world.posting_link(&group), world.posting_link(&group));
    let verification = begin(&mut world, one, message(&group, post_id(1), "counted"));
    let verified = verification.expect("a mailbox to count").run();
    // Meanwhile the mailbox fills, and leaves the memory.
    for n in 10..13 {
        world.ask_durably(other, message(&group, post_id(n), "fills"));
    }
    let mut more = world.relay.finish(world.now, &mut world.rng, verified);
    while let Some(some) = more {
        more = world.relay.finish(world.now, &mut world.rng, some.run());
    }
    world.collect();
    assert_eq!(code(world.answer(one, 77)), ErrorCode::MailboxFull);
}

#[test]
fn a_source_cannot_buy_more_work_with_more_links() {
    let mut world = World::new();
    let alice = world.person("alice@a.example");
    let group = world.group(&[&alice]);
    let mut authorised = 0;
    'all: for _ in 0..1_000 {
        let link = world.link();
        for _ in 0..100 {
            let answer = world.ask(link, authorise_request(link, group.id, group.epoch));
            match answer {
                Some(Answer::PostingAuthorised(_)) => authorised += 1,
                Some(Answer::Error(error)) => {
                    assert_eq!(error.code(), ErrorCode::RateLimited);
                    assert!(error.retry_after_ms > 0);
                    break 'all;
                }
                other => panic!("{other:?}"),
            }
        }
    }
    // Two seconds of one processor, at a fifth of a millisecond each.
    assert!((5_000..=10_000).contains(&authorised), "{authorised}");
    // A tenth of one processor comes back.
    world.wait(Span::seconds(1));
    let link = world.link();
    let mut after_a_second = 0;
    while let Some(Answer::PostingAuthorised(_)) =
        world.ask(link, authorise_request(link, group.id, group.epoch))
    {
        after_a_second += 1;
    }
    assert!((400..=600).contains(&after_a_second), "{after_a_second}");
    // Cheap requests still go.
    assert!(matches!(
        world.ask(link, Ask::Ping(pb::Ping {})),
        Some(Answer::Pong(_))
    ));
}

#[test]
fn a_public_statement_tells_a_stranger_no_mailbox() {
    let mut world = World::new();
    let mut alice = world.person("alice@a.example");
    let (link, _) = world.login(&alice);
    let second = world.stranger("");
    let roster = Roster::verify(&alice.roster).unwrap();
    let leaf = waxwing_protocol::posting::PostingKey::from_seed(&[7; 32]).public();
    let entry = waxwing_protocol::roster::entry(second.key.public(), *leaf.as_bytes());
    let signer = SigningWith::Device(&alice.key);
    let added = next_statement(
        &mut world.rng,
        world.now,
        &roster,
        signer,
        Change::AddDevice(entry),
        Some(&second.key),
    );
    alice.roster.push(added.clone());
    let change = |newcomer| {
        Ask::ChangeRoster(pb::ChangeRoster {
            account_id: alice.account.to_bytes(),
            address: alice.address.clone(),
            statement: Some(added.clone()),
            newcomer,
        })
    };
    let first = world.ask_durably(link, change(None));
    let Answer::RosterChanged(told) = &first else {
        panic!("{first:?}");
    };
    assert_eq!(told.mailbox_id.len(), 16);
    // The account's own devices may ask again, and the device itself.
    assert_eq!(world.ask_durably(link, change(None)), first);
    let own = world.link();
    let proof = |world: &mut World, link, signs: &Person, device: DeviceId| {
        let Ask::Login(login) = world.login_request_as(link, signs, device) else {
            panic!("no login");
        };
        login.signature
    };
    let newcomer = proof(&mut world, own, &second, second.device());
    assert_eq!(world.ask_durably(own, change(newcomer)), first);
    // Nobody else: not without a proof, with one of another link, or of another device.
    let stranger = world.link();
    assert_eq!(
        code(world.ask(stranger, change(None))),
        ErrorCode::Unauthorised
    );
    let elsewhere = proof(&mut world, own, &second, second.device());
    assert_eq!(
        code(world.ask(stranger, change(elsewhere))),
        ErrorCode::Unauthorised
    );
    let mallory = world.person("mallory@a.example");
    let hers = proof(&mut world, stranger, &mallory, second.device());
    assert_eq!(
        code(world.ask(stranger, change(hers))),
        ErrorCode::Unauthorised
    );
    let (logged_in, _) = world.login(&mallory);
    assert_eq!(
        code(world.ask(logged_in, change(None))),
        ErrorCode::Unauthorised
    );
}
