//! What the key log says of accounts, checked as a client does.
//!
//! **Elsewhere**: the log by itself is tested in `key_log.rs`.

use bytes::Bytes;
use prost::Message as _;
use waxwing_protocol::{
    address::Address,
    limits,
    pb::{self, ErrorCode, client_frame::Body as Ask, relay_frame::Body as Answer, statement},
    roster::{self, Roster, SigningWith},
    signature::{HybridSigningKey, SigningSeed},
    time::Span,
};
use waxwing_relay::{
    directory::log::KeyLog,
    relay::{Config, LinkId},
    store::{KeySpace, Store as _, Write, check::check, memory::Fault, records::AddressRecord},
};
use waxwing_transparency::{
    head::SignedHead,
    identity::LogIdentity,
    proof::{self, Version},
    view::View,
};

use crate::world::{Person, World, code, log_keys, message, post_id};

/// What a client keeps of the log.
struct Client {
    log: LogIdentity,
    known: Option<SignedHead>,
}

impl Client {
    fn new(world: &mut World) -> Self {
        let link = world.link();
        let answer = world.ask(link, Ask::FetchLogIdentity(pb::FetchLogIdentity {}));
        let Some(Answer::LogIdentityFetched(fetched)) = answer else {
            panic!("{answer:?}");
        };
        let log = LogIdentity::check(fetched.identity.as_ref().unwrap()).unwrap();
        Self { log, known: None }
    }

    fn known_head(&self) -> u64 {
        self.known.as_ref().map_or(0, |known| known.head().number)
    }

    fn see(&mut self, world: &World, view: Option<&pb::LogView>) -> View {
        let view = View::check(&self.log, self.known.as_ref(), view.unwrap(), world.now).unwrap();
        self.known = Some(view.newest().clone());
        view
    }

    /// Looks an address up and checks everything that there is to check.
    fn look_up(&mut self, world: &mut World, address: &str) -> (Version, Roster) {
        let link = world.link();
        let look_up = Ask::LookUp(pb::LookUp {
            address: address.to_owned(),
            known_head: self.known_head(),
        });
        let answer = world.ask(link, look_up);
        let Some(Answer::LookedUp(found)) = answer else {
            panic!("{answer:?}");
        };
        let view = self.see(world, found.log.as_ref());
        let address = Address::parse(address).unwrap();
        let head = view.newest().head();
        let proof = found.proof.as_ref().unwrap();
        let version = proof::look_up(&self.log, head, &address, proof).unwrap();
        let roster = Roster::verify(&found.roster).unwrap();
        assert!(version.entry.vouches_for(&roster));
        assert_eq!(found.account_id, roster.account().to_bytes());
        assert_eq!(found.address, address.canonical());
        (version, roster)
    }

    fn history(&mut self, world: &mut World, link: LinkId, address: &str) -> Vec<Version> {
        let fetch = Ask::FetchHistory(pb::FetchHistory {
            address: address.to_owned(),
            known_head: self.known_head(),
            most_recent: 0,
        });
        let answer = world.ask(link, fetch);
        let Some(Answer::HistoryFetched(fetched)) = answer else {
            panic!("{answer:?}");
        };
        let view = self.see(world, fetched.log.as_ref());
        let address = Address::parse(address).unwrap();
        let head = view.newest().head();
        let proof = fetched.proof.as_ref().unwrap();
        proof::history(&self.log, head, &address, 0, proof).unwrap()
    }
}

fn device(world: &mut World) -> HybridSigningKey {
    HybridSigningKey::from_seed(&SigningSeed::generate(&mut world.rng))
}

/// The statement with which a person adds a device.
fn addition(world: &mut World, person: &Person, device: &HybridSigningKey) -> pb::SignedStatement {
    let roster = Roster::verify(&person.roster).unwrap();
    let entry = roster::entry(
        device.public(),
        *waxwing_protocol::posting::PostingKey::from_seed(&[4; 32])
            .public()
            .as_bytes(),
    );
    roster::next_statement(
        &mut world.rng,
        world.now,
        &roster,
        SigningWith::Device(&person.key),
        statement::Change::AddDevice(entry),
        Some(device),
    )
}

/// The statement with which a person revokes a device.
fn revocation(world: &mut World, person: &Person, of: &HybridSigningKey) -> pb::SignedStatement {
    let roster = Roster::verify(&person.roster).unwrap();
    roster::next_statement(
        &mut world.rng,
        world.now,
        &roster,
        SigningWith::Device(&person.key),
        statement::Change::RevokeDevice(of.public().device_id().to_bytes()),
        None,
    )
}

fn change(person: &Person, statement: &pb::SignedStatement) -> Ask {
    Ask::ChangeRoster(pb::ChangeRoster {
        account_id: person.account.to_bytes(),
        address: person.address.clone(),
        statement: Some(statement.clone()),
        newcomer: None,
    })
}

/// Adds a device; gives it as a person of its own.
fn add_device(world: &mut World, person: &mut Person) -> Person {
    let key = device(world);
    let statement = addition(world, person, &key);
    let link = world.link();
    let answer = world.ask_durably(link, change(person, &statement));
    let Answer::RosterChanged(changed) = answer else {
        panic!("{answer:?}");
    };
    person.roster.push(statement);
    Person {
        address: person.address.clone(),
        key,
        roster: person.roster.clone(),
        account: person.account,
        mailbox: changed.mailbox_id.as_ref().try_into().unwrap(),
    }
}

fn revoke(world: &mut World, person: &mut Person, of: &Person) {
    let statement = revocation(world, person, &of.key);
    let link = world.link();
    let answer = world.ask_durably(link, change(person, &statement));
    assert!(matches!(answer, Answer::RosterChanged(_)), "{answer:?}");
    person.roster.push(statement);
}

fn was_told(world: &mut World, link: LinkId) -> bool {
    std::iter::from_fn(|| world.next(link))
        .any(|answer| matches!(answer, Answer::AccountChanged(_)))
}

#[test]
fn a_registered_account_is_in_the_published_log() {
    let mut world = World::new();
    let person = world.stranger("alice@example.org");
    let link = world.link();
    let id = world.start_registration(link, &person);
    let right = world.codes["alice@example.org"].clone();
    let finish = world.finish(link, &person, id, &right);
    let request = world.tell(link, finish);
    while world.write_once() {}
    assert!(world.answer(link, request).is_none());
    let anonymous = world.link();
    let look_up = Ask::LookUp(pb::LookUp {
        address: "Alice@example.org".to_owned(),
        known_head: 0,
    });
    let answer = world.ask(anonymous, look_up);
    assert_eq!(code(answer), ErrorCode::AddressUnknown);
    assert!(world.publish_once());
    assert!(matches!(
        world.answer(link, request),
        Some(Answer::Registered(_))
    ));
    let mut client = Client::new(&mut world);
    let (version, roster) = client.look_up(&mut world, "Alice@example.org");
    assert_eq!(version.version, 1);
    assert_eq!(version.epoch, 1);
    assert_eq!(version.entry.verified_by, pb::Verification::EmailCode);
    assert!(!version.entry.locked);
    assert_eq!(roster.account(), person.account);
}

#[test]
fn a_phone_number_is_in_the_log_as_verified_by_a_text() {
    let mut world = World::with(Config {
        texts: Some(waxwing_relay::relay::TextLimits::default()),
        ..Config::default()
    });
    let mut alice = world.person("+358401234567");
    let mut client = Client::new(&mut world);
    let (version, _) = client.look_up(&mut world, "+358401234567");
    assert_eq!(version.entry.verified_by, pb::Verification::SmsCode);
    // As an earlier version kept it.
    for (space, at, value) in world.store.records() {
        if space == KeySpace::Addresses {
            let mut record = AddressRecord::decode(value).unwrap();
            record.verified_by = pb::Verification::EmailCode.into();
            let write = Write {
                space,
                key: at.as_ref().into(),
                value: Some(record.encode_to_vec().into()),
            };
            world.store.commit(vec![write]).unwrap();
        }
    }
    add_device(&mut world, &mut alice);
    let (version, _) = client.look_up(&mut world, "+358401234567");
    assert_eq!(version.version, 2);
    assert_eq!(version.entry.verified_by, pb::Verification::SmsCode);
}

#[test]
fn a_registration_repeated_while_it_waits_is_answered_twice() {
    let mut world = World::new();
    let person = world.stranger("alice@example.org");
    let link = world.link();
    let id = world.start_registration(link, &person);
    let right = world.codes["alice@example.org"].clone();
    let finish = world.finish(link, &person, id, &right);
    let first = world.tell(link, finish.clone());
    let second = world.tell(link, finish);
    world.write();
    let answer = world.answer(link, first);
    assert!(matches!(answer, Some(Answer::Registered(_))), "{answer:?}");
    assert_eq!(answer, world.answer(link, second));
    assert_eq!(world.log.counts().epoch, 1);
}

#[test]
fn a_client_follows_the_log_across_many_epochs_and_refreshes() {
    let mut world = World::new();
    world.person("alice@example.org");
    let mut client = Client::new(&mut world);
    client.look_up(&mut world, "alice@example.org");
    for n in 0..40 {
        world.person(&format!("somebody{n}@example.org"));
        if n % 7 == 0 {
            world.now = world.now.after(limits::HEAD_REFRESH);
            world.log.refresh(world.now, &mut world.rng).unwrap();
        }
        if n % 13 == 0 {
            client.look_up(&mut world, "alice@example.org");
        }
    }
    let (version, _) = client.look_up(&mut world, "alice@example.org");
    assert_eq!((version.version, version.epoch), (1, 1));
    let counts = world.log.counts();
    assert_eq!(counts.epoch, 41);
    assert!(counts.heads > 41);
    // Any earlier head is tied to the newest one.
    let link = world.link();
    let fetch = Ask::FetchHeads(pb::FetchHeads {
        known: vec![1, 5, 30],
    });
    let Some(Answer::HeadsFetched(fetched)) = world.ask(link, fetch) else {
        panic!("no heads");
    };
    let view = client.see(&world, fetched.log.as_ref());
    for number in [1, 5, 30] {
        let known = world.log.heads_between(number, number).unwrap();
        let known = waxwing_transparency::head::Head::decode(known[0].clone()).unwrap();
        assert_eq!(view.hash_at(number), Some(known.hash()));
    }
    world.log.verify().unwrap();
}

#[test]
fn too_many_heads_are_refused() {
    let mut world = World::new();
    let link = world.link();
    let fetch = Ask::FetchHeads(pb::FetchHeads {
        known: vec![1; limits::HEADS_PER_REQUEST + 1],
    });
    assert_eq!(code(world.ask(link, fetch)), ErrorCode::TooLarge);
}

#[test]
fn epochs_are_a_second_apart_and_have_one_change_of_an_address() {
    let mut world = World::new();
    let (first, second) = (
        world.stranger("alice@example.org"),
        world.stranger("alice@example.org"),
    );
    world.person("bob@example.org");
    for person in [&first, &second] {
        let link = world.link();
        let id = world.start_registration(link, person);
        let code = world.codes["alice@example.org"].clone();
        let finish = world.finish(link, person, id, &code);
        world.tell(link, finish);
    }
    let due = world.relay.next_publication(world.now).unwrap();
    let before = world.log.newest();
    assert_eq!(due.since(before.made_at), limits::EPOCH_SPACING);
    let early = waxwing_protocol::time::Time(due.0 - 1);
    assert!(world.relay.take_publication(early).is_none());
    assert!(world.publish_once());
    let mut client = Client::new(&mut world);
    let (version, _) = client.look_up(&mut world, "alice@example.org");
    assert_eq!(version.entry.account, first.account);
    assert!(world.publish_once());
    let (version, _) = client.look_up(&mut world, "alice@example.org");
    assert_eq!(version.entry.account, second.account);
    assert_eq!(version.version, 2);
}

#[test]
fn a_clock_that_is_set_back_keeps_nobody_out_of_the_log() {
    let mut world = World::new();
    world.person("alice@example.org");
    world.now = waxwing_protocol::time::Time(world.now.0 - 5000);
    world.person("bob@example.org");
    let heads = world.log.counts().heads;
    let heads = world.log.heads_between(1, heads).unwrap();
    let made_at = heads.into_iter().map(|head| {
        let head = waxwing_transparency::head::Head::decode(head).unwrap();
        head.made_at
    });
    assert!(made_at.is_sorted());
}

#[test]
fn a_device_that_is_added_has_a_mailbox_and_may_log_in() {
    let mut world = World::new();
    let mut alice = world.person("alice@example.org");
    let (link, _) = world.login(&alice);
    let phone = add_device(&mut world, &mut alice);
    assert!(was_told(&mut world, link));
    let (_, logged_in) = world.login(&phone);
    assert_eq!(logged_in.mailbox_id, phone.mailbox.to_bytes());
    let mut client = Client::new(&mut world);
    let (version, roster) = client.look_up(&mut world, "alice@example.org");
    assert_eq!(version.entry.roster_length, 2);
    assert_eq!(roster.devices().len(), 2);
    let history = client.history(&mut world, link, "alice@example.org");
    let lengths: Vec<u64> = history.iter().map(|one| one.entry.roster_length).collect();
    assert_eq!(lengths, [2, 1]);
    assert!(check(&world.store).unwrap().damage.is_empty());
}

#[test]
fn the_same_statement_again_is_answered_as_the_first_time() {
    let mut world = World::new();
    let alice = world.person("alice@example.org");
    let key = device(&mut world);
    let statement = addition(&mut world, &alice, &key);
    let link = world.link();
    let first = world.tell(link, change(&alice, &statement));
    let second = world.tell(link, change(&alice, &statement));
    world.write();
    let answer = world.answer(link, first);
    assert!(matches!(answer, Some(Answer::RosterChanged(_))));
    assert_eq!(world.answer(link, second), answer);
    let epoch = world.log.counts().epoch;
    let (link, _) = world.login(&alice);
    assert_eq!(world.ask(link, change(&alice, &statement)), answer);
    world.crash();
    let (link, _) = world.login(&alice);
    assert_eq!(world.ask(link, change(&alice, &statement)), answer);
    assert_eq!(world.log.counts().epoch, epoch);
}

#[test]
fn another_change_while_one_waits_is_a_conflict() {
    let mut world = World::new();
    let alice = world.person("alice@example.org");
    let (one, other) = (device(&mut world), device(&mut world));
    let one = addition(&mut world, &alice, &one);
    let other = addition(&mut world, &alice, &other);
    let link = world.link();
    let request = world.tell(link, change(&alice, &one));
    let answer = world.ask(link, change(&alice, &other));
    assert_eq!(code(answer), ErrorCode::RosterConflict);
    world.write();
    let answer = world.answer(link, request);
    assert!(matches!(answer, Some(Answer::RosterChanged(_))));
    // It stands on a roster that has grown since.
    let answer = world.ask(link, change(&alice, &other));
    assert_eq!(code(answer), ErrorCode::RosterConflict);
}

#[test]
fn a_forged_statement_or_another_account_s_address_is_refused() {
    let mut world = World::new();
    let mut alice = world.person("alice@example.org");
    let mallory = world.person("mallory@example.org");
    let key = device(&mut world);
    let link = world.link();
    // Signed by somebody whom the roster does not admit.
    let honest = std::mem::replace(&mut alice.key, device(&mut world));
    let forged = addition(&mut world, &alice, &key);
    alice.key = honest;
    let answer = world.ask(link, change(&alice, &forged));
    assert_eq!(code(answer), ErrorCode::Unauthorised);
    // Without the consent of the device.
    let mut alone = addition(&mut world, &alice, &key);
    alone.consent = None;
    let answer = world.ask(link, change(&alice, &alone));
    assert_eq!(code(answer), ErrorCode::Unauthorised);
    // Under an address that is another's.
    let statement = addition(&mut world, &mallory, &key);
    let Ask::ChangeRoster(mut other) = change(&mallory, &statement) else {
        unreachable!()
    };
    other.address = alice.address.clone();
    let answer = world.ask(link, Ask::ChangeRoster(other));
    assert_eq!(code(answer), ErrorCode::Unauthorised);
    assert!(!world.publish_once());
}

#[test]
fn a_revoked_device_is_cut_off_and_cannot_log_in() {
    let mut world = World::new();
    let mut alice = world.person("alice@example.org");
    let phone = add_device(&mut world, &mut alice);
    let (link, _) = world.login(&phone);
    let publish = Ask::PublishKeyPackages(pb::PublishKeyPackages {
        key_packages: vec![Bytes::from_static(b"one")],
        last_resort: Bytes::from_static(b"last"),
        replace: false,
    });
    world.ask_durably(link, publish);
    revoke(&mut world, &mut alice, &phone);
    assert!(world.closed.contains(&link));
    let link = world.link();
    let login = world.login_request(link, link, &phone);
    assert_eq!(code(world.ask(link, login)), ErrorCode::Unauthorised);
    world.wait(Span::seconds(1));
    world.write();
    for space in [
        KeySpace::Revoked,
        KeySpace::KeyPackages,
        KeySpace::LastResorts,
    ] {
        assert_eq!(world.store.count(space).unwrap(), 0, "{}", space.name());
    }
    assert_eq!(world.store.count(KeySpace::Mailboxes).unwrap(), 1);
    assert!(check(&world.store).unwrap().damage.is_empty());
}

#[test]
fn many_devices_revoked_at_once_are_deleted_in_pieces() {
    let mut world = World::new();
    let mut people = ["a", "b", "c"].map(|name| world.person(&format!("{name}@example.org")));
    let phones = people
        .each_mut()
        .map(|person| add_device(&mut world, person));
    for (person, phone) in people.iter().zip(&phones) {
        let statement = revocation(&mut world, person, &phone.key);
        let link = world.link();
        world.tell(link, change(person, &statement));
    }
    assert!(world.publish_once());
    // Only the marks: what they left goes with the sweep, between whose slices others work.
    assert!(!world.write_once());
    world.wait(Span::seconds(1));
    world.write();
    assert_eq!(world.store.count(KeySpace::Revoked).unwrap(), 0);
    assert_eq!(world.store.count(KeySpace::Mailboxes).unwrap(), 3);
}

#[test]
fn a_revoked_device_s_posts_are_deleted_those_on_their_way_too() {
    let mut world = World::new();
    let mut alice = world.person("alice@example.org");
    let phone = add_device(&mut world, &mut alice);
    let bob = world.person("bob@example.org");
    let group = world.group(&[&bob, &alice, &phone]);
    let posting = world.posting_link(&group);
    let (bobs, _) = world.login(&bob);
    world.ask_durably(posting, message(&group, post_id(1), "on disk"));
    let statement = revocation(&mut world, &alice, &phone.key);
    let link = world.link();
    let revoked = world.tell(link, change(&alice, &statement));
    // One in memory, one in a batch that is being written.
    let second = world.tell(posting, message(&group, post_id(2), "being written"));
    let batch = world
        .relay
        .take_batch(waxwing_protocol::time::Time(u64::MAX));
    let third = world.tell(posting, message(&group, post_id(3), "in memory"));
    assert!(world.publish_once());
    assert!(matches!(
        world.answer(link, revoked),
        Some(Answer::RosterChanged(_))
    ));
    world.store.commit(batch.unwrap().into_writes()).unwrap();
    world.relay.handle_batch_written();
    world.collect();
    world.ask_durably(posting, message(&group, post_id(4), "to who is left"));
    for request in [second, third] {
        let answer = world.answer(posting, request);
        assert!(matches!(answer, Some(Answer::Posted(_))), "{answer:?}");
    }
    world.wait(Span::seconds(1));
    world.write();
    let report = check(&world.store).unwrap();
    assert!(report.damage.is_empty(), "{:?}", report.damage);
    let (alices, _) = world.login(&alice);
    for link in [bobs, alices] {
        let posts = world.delivered(link);
        assert_eq!(posts.len(), 4);
        world.acknowledge(link, posts[3].sequence);
    }
    world.write();
    for space in [KeySpace::Entries, KeySpace::Posts, KeySpace::Holders] {
        assert_eq!(world.store.count(space).unwrap(), 0, "{}", space.name());
    }
}

#[test]
fn what_a_revoked_device_left_is_deleted_after_a_crash_as_well() {
    let mut world = World::new();
    let mut alice = world.person("alice@example.org");
    let phone = add_device(&mut world, &mut alice);
    let statement = revocation(&mut world, &alice, &phone.key);
    let link = world.link();
    world.tell(link, change(&alice, &statement));
    assert!(world.publish_once());
    world.crash();
    assert_eq!(world.store.count(KeySpace::Revoked).unwrap(), 1);
    assert!(check(&world.store).unwrap().damage.is_empty());
    let link = world.link();
    let login = world.login_request(link, link, &phone);
    assert_eq!(code(world.ask(link, login)), ErrorCode::Unauthorised);
    world.wait(Span::seconds(1));
    world.write();
    assert_eq!(world.store.count(KeySpace::Devices).unwrap(), 1);
    assert_eq!(world.store.count(KeySpace::Revoked).unwrap(), 0);
    assert!(check(&world.store).unwrap().damage.is_empty());
}

#[test]
fn damaged_records_of_a_revoked_device_keep_no_other() {
    let mut world = World::new();
    let mut people = ["alice", "bob"].map(|name| world.person(&format!("{name}@example.org")));
    let phones = people
        .each_mut()
        .map(|person| add_device(&mut world, person));
    let mut all: Vec<_> = people.iter().chain(&phones).collect();
    all.rotate_left(1);
    let group = world.group(&all);
    let posting = world.posting_link(&group);
    for n in 0..4 {
        world.ask_durably(posting, message(&group, post_id(n), "waits"));
    }
    let entries = world.store.scan(KeySpace::Entries, &[], None, 100).unwrap();
    for phone in &phones {
        let own = |at: &Bytes| at.starts_with(phone.mailbox.as_bytes());
        let (second, _) = entries.iter().filter(|(at, _)| own(at)).nth(1).unwrap();
        world.store.damage(KeySpace::Entries, second);
    }
    for (person, phone) in people.iter_mut().zip(&phones) {
        revoke(&mut world, person, phone);
    }
    for _ in 0..3 {
        world.wait(Span::seconds(1));
        world.write();
    }
    assert_eq!(world.store.count(KeySpace::Revoked).unwrap(), 0);
    assert_eq!(world.store.count(KeySpace::Mailboxes).unwrap(), 2);
    let left = world.store.count(KeySpace::Entries).unwrap();
    assert_eq!(left, 2 * 4 + 2, "what cannot be read stays");
}

#[test]
fn a_take_over_is_shown_to_the_old_account_with_its_outcome() {
    let mut world = World::new();
    let alice = world.person("alice@example.org");
    let (link, _) = world.login(&alice);
    let bystander = world.person("bob@example.org");
    let (bobs, _) = world.login(&bystander);
    let thief = world.person("alice@example.org");
    assert!(was_told(&mut world, link));
    assert!(!was_told(&mut world, bobs));
    let mut client = Client::new(&mut world);
    let history = client.history(&mut world, link, "alice@example.org");
    let accounts: Vec<_> = history.iter().map(|one| one.entry.account).collect();
    assert_eq!(accounts, [thief.account, alice.account]);
    let fetch = Ask::FetchHistory(pb::FetchHistory {
        address: "alice@example.org".to_owned(),
        known_head: 0,
        most_recent: 0,
    });
    assert_eq!(code(world.ask(bobs, fetch)), ErrorCode::Unauthorised);
}

#[test]
fn a_lock_is_in_the_log_until_another_account_registers() {
    let mut world = World::new();
    let mut alice = world.person("alice@example.org");
    let mut client = Client::new(&mut world);
    let (link, _) = world.login(&alice);
    let lock = |locked| {
        Ask::SetLock(pb::SetLock {
            address: "alice@example.org".to_owned(),
            locked,
        })
    };
    let answer = world.ask_durably(link, lock(true));
    assert!(matches!(answer, Answer::Done(_)));
    let (version, _) = client.look_up(&mut world, "alice@example.org");
    assert!(version.entry.locked);
    let verified_at = version.entry.verified_at;
    // Nothing new, nothing published.
    let answer = world.ask_durably(link, lock(true));
    assert!(matches!(answer, Answer::Done(_)));
    world.wait(Span::minutes(1));
    add_device(&mut world, &mut alice);
    let (version, _) = client.look_up(&mut world, "alice@example.org");
    assert!(version.entry.locked);
    assert_eq!(version.entry.verified_at, verified_at);
    assert_eq!(version.version, 3);
    // Somebody else waits for a locked address, and has it without the lock.
    let mallory = world.stranger("alice@example.org");
    for wait in [Span(0), waxwing_protocol::limits::LOCK_WAIT] {
        world.wait(wait);
        let link = world.link();
        let id = world.start_registration(link, &mallory);
        let right = world.codes["alice@example.org"].clone();
        let finish = world.finish(link, &mallory, id, &right);
        let answer = world.ask_durably(link, finish);
        let had_to_wait = wait == Span(0);
        assert_eq!(
            matches!(answer, Answer::Error(_)),
            had_to_wait,
            "{answer:?}"
        );
    }
    let (version, _) = client.look_up(&mut world, "alice@example.org");
    assert!(!version.entry.locked);
    let answer = world.ask(link, lock(true));
    assert_eq!(code(answer), ErrorCode::Unauthorised);
}

#[test]
fn an_accounts_other_address_is_as_the_log_last_had_it() {
    let mut world = World::new();
    let mut alice = world.person("alice@example.org");
    alice.address = "alice@work.example".to_owned();
    let link = world.link();
    let id = world.start_registration(link, &alice);
    let right = world.codes["alice@work.example"].clone();
    let finish = world.finish(link, &alice, id, &right);
    let answer = world.ask_durably(link, finish);
    assert!(matches!(answer, Answer::Registered(_)), "{answer:?}");
    let phone = add_device(&mut world, &mut alice);
    let mut client = Client::new(&mut world);
    let (_, at_work) = client.look_up(&mut world, "alice@work.example");
    let (_, at_home) = client.look_up(&mut world, "alice@example.org");
    assert_eq!((at_work.length(), at_home.length()), (2, 1));
    // The same statement, under the other address.
    let statement = alice.roster.last().unwrap().clone();
    alice.address = "alice@example.org".to_owned();
    let (link, _) = world.login(&alice);
    let answer = world.ask_durably(link, change(&alice, &statement));
    let Answer::RosterChanged(changed) = answer else {
        panic!("{answer:?}");
    };
    assert_eq!(changed.mailbox_id, phone.mailbox.to_bytes());
    let (_, at_home) = client.look_up(&mut world, "alice@example.org");
    assert_eq!(at_home.length(), 2);
}

#[test]
fn key_packages_of_some_devices_can_be_claimed() {
    let mut world = World::new();
    let mut alice = world.person("alice@example.org");
    let phone = add_device(&mut world, &mut alice);
    for (person, package) in [(&alice, &b"desk"[..]), (&phone, b"phone")] {
        let (link, _) = world.login(person);
        let publish = Ask::PublishKeyPackages(pb::PublishKeyPackages {
            last_resort: Bytes::from_static(package),
            ..pb::PublishKeyPackages::default()
        });
        world.ask_durably(link, publish);
        world.relay.link_closed(link);
    }
    let (link, _) = world.login(&alice);
    let tokens = world.tokens(link, 2);
    let anonymous = world.link();
    let mut counts = Vec::new();
    for (token, device_ids) in tokens
        .into_iter()
        .zip([vec![], vec![phone.device().to_bytes()]])
    {
        let claim = Ask::ClaimKeyPackages(pb::ClaimKeyPackages {
            address: "alice@example.org".to_owned(),
            token: Some(token),
            device_ids,
        });
        let Answer::KeyPackagesClaimed(claimed) = world.ask_durably(anonymous, claim) else {
            panic!("not claimed");
        };
        counts.push(claimed.key_packages.len());
    }
    assert_eq!(counts, [2, 1]);
}

#[test]
fn a_publication_that_fails_changes_nothing_and_may_be_repeated() {
    let mut world = World::new();
    let mut alice = world.person("alice@example.org");
    let mut client = Client::new(&mut world);
    client.look_up(&mut world, "alice@example.org");
    let key = device(&mut world);
    let statement = addition(&mut world, &alice, &key);
    let link = world.link();
    let before = world.store.records();
    world.store.set_fault(Some(Fault::Full));
    let answer = world.ask_durably(link, change(&alice, &statement));
    assert_eq!(code(Some(answer)), ErrorCode::Unavailable);
    world.store.set_fault(None);
    assert_eq!(world.store.records(), before);
    let (version, _) = client.look_up(&mut world, "alice@example.org");
    assert_eq!(version.entry.roster_length, 1);
    let answer = world.ask_durably(link, change(&alice, &statement));
    assert!(matches!(answer, Answer::RosterChanged(_)), "{answer:?}");
    alice.roster.push(statement);
    let (version, _) = client.look_up(&mut world, "alice@example.org");
    assert_eq!(version.entry.roster_length, 2);
    world.log.verify().unwrap();
}

#[test]
fn log_and_records_agree_after_a_crash_at_any_write() {
    let mut world = World::new();
    let mut disks = vec![world.store.copy()];
    let mut alice = world.person("alice@example.org");
    disks.push(world.store.copy());
    let phone = device(&mut world);
    let added = addition(&mut world, &alice, &phone);
    let steps = [added.clone()];
    for statement in steps {
        let link = world.link();
        let commits = world.store.commits();
        world.tell(link, change(&alice, &statement));
        assert!(world.publish_once());
        assert_eq!(world.store.commits(), commits + 1, "one commit an epoch");
        disks.push(world.store.copy());
        alice.roster.push(statement);
    }
    let revoked = revocation(&mut world, &alice, &phone);
    let link = world.link();
    world.tell(link, change(&alice, &revoked));
    assert!(world.publish_once());
    disks.push(world.store.copy());
    world.wait(Span::seconds(1));
    while world.write_once() {
        disks.push(world.store.copy());
    }
    let mut lengths = Vec::new();
    for disk in disks {
        let report = check(&disk).unwrap();
        assert!(report.damage.is_empty(), "{:?}", report.damage);
        let store = std::sync::Arc::new(disk);
        let now = world.now;
        let log = KeyLog::open(store, log_keys(), Vec::new(), now, &mut world.rng).unwrap();
        log.verify().unwrap();
        let address = Address::parse("alice@example.org").unwrap();
        let Ok(found) = log.look_up(&address, 0) else {
            lengths.push(0);
            continue;
        };
        let head = SignedHead::check(log.identity(), &found.log.unwrap().head.unwrap()).unwrap();
        let proof = found.proof.as_ref().unwrap();
        let version = proof::look_up(log.identity(), head.head(), &address, proof).unwrap();
        let roster = Roster::verify(&found.roster).unwrap();
        assert!(version.entry.vouches_for(&roster));
        lengths.push(roster.length());
    }
    assert_eq!(lengths, [0, 1, 2, 3, 3]);
}

#[test]
fn requests_about_accounts_are_limited() {
    let mut world = World::with(Config {
        changes_per_account: waxwing_relay::rate_limit::Rate {
            burst: 2,
            every: Span::minutes(1),
        },
        ..Config::default()
    });
    let alice = world.person("alice@example.org");
    let (link, _) = world.login(&alice);
    let mut codes = Vec::new();
    for locked in [true, false, true] {
        let lock = Ask::SetLock(pb::SetLock {
            address: "alice@example.org".to_owned(),
            locked,
        });
        if let Answer::Error(error) = world.ask_durably(link, lock) {
            codes.push(error.code());
        }
    }
    assert_eq!(codes, [ErrorCode::RateLimited]);
}

#[test]
fn no_question_shows_whom_it_is_about() {
    let question = waxwing_relay::directory::log::Question::LookUp {
        address: Address::parse("alice@example.org").unwrap(),
        known_head: 0,
    };
    assert_eq!(format!("{question:?}"), "LookUp(…)");
}

#[test]
fn an_account_whose_last_device_goes_is_deleted_and_its_address_free() {
    let mut world = World::new();
    let mut alice = world.person("alice@example.org");
    let (link, _) = world.login(&alice);
    let put = Ask::PutBackup(pb::PutBackup {
        backup_id: bytes::Bytes::copy_from_slice(&[1; 16]),
        index: 0,
        part: bytes::Bytes::from_static(b"part"),
    });
    world.ask_durably(link, put);
    let lock = Ask::SetLock(pb::SetLock {
        address: alice.address.clone(),
        locked: true,
    });
    world.ask_durably(link, lock);
    let statement = revocation(&mut world, &alice, &alice.key);
    let elsewhere = world.link();
    let answer = world.ask_durably(elsewhere, change(&alice, &statement));
    assert!(matches!(answer, Answer::RosterChanged(_)), "{answer:?}");
    alice.roster.push(statement);
    world.write();
    let backups = world.store.count(KeySpace::Backups).unwrap();
    let uploads = world.store.count(KeySpace::BackupUploads).unwrap();
    assert_eq!((backups, uploads), (0, 0));
    // The log says so, and that the address is not locked.
    let mut client = Client::new(&mut world);
    let (version, roster) = client.look_up(&mut world, "alice@example.org");
    assert!(roster.devices().is_empty());
    assert_eq!(roster.account(), alice.account);
    assert!(!version.entry.locked);
    // Somebody else registers it at once.
    let other = world.person("alice@example.org");
    let (version, _) = client.look_up(&mut world, "alice@example.org");
    assert_eq!(version.entry.account, other.account);
    assert_ne!(other.account, alice.account);
}
