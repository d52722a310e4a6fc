//! Locked addresses, and addresses that look like another.

use prost::Message as _;
use waxwing_protocol::{
    address::Address,
    limits,
    pb::{self, ErrorCode, client_frame::Body as Ask, relay_frame::Body as Answer},
    time::Span,
};
use waxwing_relay::{
    relay::{Config, LinkId},
    store::{KeySpace, Store as _, Write, check::check, records::AddressRecord},
};

use crate::world::{Person, World, code};

const ADDRESS: &str = "alice@example.org";
const KEEP: Ask = Ask::KeepAddress(pb::KeepAddress {});

/// Somebody whose address is locked.
fn locked(world: &mut World) -> Person {
    let alice = world.person(ADDRESS);
    set_lock(world, &alice);
    alice
}

fn set_lock(world: &World, person: &Person) {
    for (space, at, value) in world.store.records() {
        if space != KeySpace::Addresses {
            continue;
        }
        let mut record = AddressRecord::decode(value).unwrap();
        if record.account_id == person.account.to_bytes() {
            record.locked = true;
            let write = Write {
                space,
                key: at.as_ref().into(),
                value: Some(record.encode_to_vec().into()),
            };
            world.store.commit(vec![write]).unwrap();
        }
    }
}

/// Registers with a new code, and gives the answer.
fn register(world: &mut World, person: &Person) -> Answer {
    let link = world.link();
    let id = world.start_registration(link, person);
    let right = world.codes[&person.address].clone();
    let finish = world.finish(link, person, id, &right);
    let answer = world.ask_durably(link, finish);
    world.relay.link_closed(link);
    answer
}

/// How long somebody is told to wait.
fn wait_of(answer: Answer) -> Span {
    match answer {
        Answer::Error(error) if error.code() == ErrorCode::AddressLocked => {
            Span(error.retry_after_ms)
        }
        other => panic!("{other:?}"),
    }
}

fn notices(world: &mut World, link: LinkId) -> Vec<pb::AddressContested> {
    std::iter::from_fn(|| world.next(link))
        .filter_map(|answer| match answer {
            Answer::AddressContested(contested) => Some(contested),
            _ => None,
        })
        .collect()
}

fn is_registered(answer: &Answer) -> bool {
    matches!(answer, Answer::Registered(_))
}

#[test]
fn a_locked_address_is_anothers_after_the_wait_and_not_before() {
    let mut world = World::new();
    locked(&mut world);
    let mallory = world.stranger(ADDRESS);
    assert_eq!(wait_of(register(&mut world, &mallory)), limits::LOCK_WAIT);
    world.wait(Span::days(6));
    assert_eq!(wait_of(register(&mut world, &mallory)), Span::days(1));
    world.wait(Span(Span::days(1).0 - 1));
    assert_eq!(wait_of(register(&mut world, &mallory)), Span(1));
    world.wait(Span(1));
    let answer = register(&mut world, &mallory);
    assert!(is_registered(&answer), "{answer:?}");
    assert_eq!(check(&world.store).unwrap().damaged(), 0);
}

#[test]
fn who_lost_a_contested_address_has_no_say_in_it_and_no_lock() {
    let mut world = World::new();
    let alice = locked(&mut world);
    let mallory = world.stranger(ADDRESS);
    register(&mut world, &mallory);
    world.wait(limits::LOCK_WAIT);
    assert!(is_registered(&register(&mut world, &mallory)));
    // The lock was Alice's; the address is taken back as any is.
    let (link, _) = world.login(&alice);
    assert_eq!(notices(&mut world, link), []);
    assert!(is_registered(&register(&mut world, &alice)));
}

#[test]
fn the_owner_is_told_at_once_at_login_and_daily() {
    let mut world = World::new();
    let alice = locked(&mut world);
    let bob = world.person("bob@example.org");
    let (alices, _) = world.login(&alice);
    let (bobs, _) = world.login(&bob);
    let since = world.now;
    let mallory = world.stranger(ADDRESS);
    register(&mut world, &mallory);
    let contest = pb::AddressContested {
        since_ms: since.0,
        until_ms: since.after(limits::LOCK_WAIT).0,
    };
    assert_eq!(notices(&mut world, alices), [contest]);
    // Asking again is no news.
    register(&mut world, &mallory);
    assert_eq!(notices(&mut world, alices), []);
    for _ in 0..7 {
        world.wait(Span::hours(23));
        assert_eq!(notices(&mut world, alices), []);
        world.wait(Span::hours(1));
        assert_eq!(notices(&mut world, alices), [contest]);
    }
    assert_eq!(notices(&mut world, bobs), []);
    let link = world.link();
    let login = world.login_request(link, link, &alice);
    world.tell(link, login);
    assert!(matches!(world.next(link), Some(Answer::LoggedIn(_))));
    assert_eq!(notices(&mut world, link), [contest]);
}

#[test]
fn an_objection_ends_the_contest_and_the_next_one_begins_anew() {
    let mut world = World::new();
    let alice = locked(&mut world);
    let mallory = world.stranger(ADDRESS);
    register(&mut world, &mallory);
    world.wait(Span::days(6));
    let (link, _) = world.login(&alice);
    assert_eq!(notices(&mut world, link).len(), 1);
    assert_eq!(world.ask_durably(link, KEEP), Answer::Done(pb::Done {}));
    world.wait(Span::days(2));
    assert_eq!(notices(&mut world, link), []);
    assert_eq!(wait_of(register(&mut world, &mallory)), limits::LOCK_WAIT);
    assert_eq!(notices(&mut world, link).len(), 1);
}

#[test]
fn a_contest_survives_a_restart_and_so_do_its_notices() {
    let mut world = World::new();
    let alice = locked(&mut world);
    let mallory = world.stranger(ADDRESS);
    register(&mut world, &mallory);
    world.wait(Span::hours(60));
    world.crash();
    let (link, _) = world.login(&alice);
    assert_eq!(notices(&mut world, link).len(), 1);
    world.wait(Span::hours(11));
    assert_eq!(notices(&mut world, link), []);
    world.wait(Span::hours(1));
    assert_eq!(notices(&mut world, link).len(), 1);
    world.wait(Span::days(4));
    let answer = register(&mut world, &mallory);
    assert!(is_registered(&answer), "{answer:?}");
}

#[test]
fn an_objection_survives_a_restart() {
    let mut world = World::new();
    let alice = locked(&mut world);
    let mallory = world.stranger(ADDRESS);
    register(&mut world, &mallory);
    let (link, _) = world.login(&alice);
    world.ask_durably(link, KEEP);
    world.crash();
    world.wait(limits::LOCK_WAIT);
    assert_eq!(wait_of(register(&mut world, &mallory)), limits::LOCK_WAIT);
}

#[test]
fn a_second_contender_waits_from_the_beginning() {
    let mut world = World::new();
    locked(&mut world);
    let (mallory, trudy) = (world.stranger(ADDRESS), world.stranger(ADDRESS));
    register(&mut world, &mallory);
    world.wait(Span::days(5));
    assert_eq!(wait_of(register(&mut world, &trudy)), limits::LOCK_WAIT);
    world.wait(Span::days(5));
    // And the first one has lost their place.
    assert_eq!(wait_of(register(&mut world, &mallory)), limits::LOCK_WAIT);
}

#[test]
fn a_contest_that_nobody_ends_is_over_after_a_second_wait() {
    let mut world = World::new();
    let alice = locked(&mut world);
    let mallory = world.stranger(ADDRESS);
    register(&mut world, &mallory);
    world.wait(limits::LOCK_WAIT);
    world.wait(limits::LOCK_WAIT);
    world.write();
    let (link, _) = world.login(&alice);
    assert_eq!(notices(&mut world, link), []);
    let contests = |world: &World| world.store.count(KeySpace::Contests).unwrap();
    assert_eq!(contests(&world), 0);
    // A contender who comes so late waits again, and the relay tells the owner again.
    assert_eq!(wait_of(register(&mut world, &mallory)), limits::LOCK_WAIT);
    assert_eq!(notices(&mut world, link).len(), 1);
}

#[test]
fn a_damaged_contest_gives_no_address_away_and_stops_no_other() {
    for is_decodable in [false, true] {
        let mut world = World::new();
        let alice = locked(&mut world);
        let mallory = world.stranger(ADDRESS);
        register(&mut world, &mallory);
        let records = world.store.records();
        let contest = records
            .iter()
            .find(|(space, ..)| *space == KeySpace::Contests);
        let (space, place, _) = contest.unwrap();
        if is_decodable {
            let garbage = Write {
                space: *space,
                key: place.as_ref().into(),
                value: Some(bytes::Bytes::from_static(&[0xff; 3])),
            };
            world.store.commit(vec![garbage]).unwrap();
        } else {
            world.store.damage(*space, place);
        }
        world.crash();
        world.wait(limits::LOCK_WAIT);
        let (link, _) = world.login(&alice);
        assert_eq!(notices(&mut world, link), []);
        assert_eq!(wait_of(register(&mut world, &mallory)), limits::LOCK_WAIT);
        assert_eq!(notices(&mut world, link).len(), 1);
        assert!(world.relay.counts().damaged > 0);
        world.wait(limits::LOCK_WAIT);
        assert!(is_registered(&register(&mut world, &mallory)));
    }
}

#[test]
fn the_owners_registration_ends_a_contest_at_once() {
    let mut world = World::new();
    let alice = locked(&mut world);
    let mallory = world.stranger(ADDRESS);
    register(&mut world, &mallory);
    world.wait(Span::days(6));
    assert!(is_registered(&register(&mut world, &alice)));
    world.wait(Span::days(2));
    assert_eq!(wait_of(register(&mut world, &mallory)), limits::LOCK_WAIT);
}

#[test]
fn a_wrong_code_begins_no_contest_and_a_right_one_is_used_up() {
    let mut world = World::new();
    let alice = locked(&mut world);
    let (alices, _) = world.login(&alice);
    let mallory = world.stranger(ADDRESS);
    let link = world.link();
    let id = world.start_registration(link, &mallory);
    let right = world.codes[ADDRESS].clone();
    let wrong = world.finish(link, &mallory, id, "0");
    assert_eq!(
        code(Some(world.ask_durably(link, wrong))),
        ErrorCode::CodeRefused
    );
    assert_eq!(notices(&mut world, alices), []);
    let finish = world.finish(link, &mallory, id, &right);
    let request = world.tell(link, finish.clone());
    assert!(
        world.answer(link, request).is_none(),
        "answered before it was durable"
    );
    world.write();
    assert_eq!(code(world.answer(link, request)), ErrorCode::AddressLocked);
    assert_eq!(
        code(Some(world.ask_durably(link, finish))),
        ErrorCode::CodeRefused
    );
}

fn lock(locked: bool) -> Ask {
    Ask::SetLock(pb::SetLock {
        address: ADDRESS.to_owned(),
        locked,
    })
}

/// Asks for the address on a new link, and does not write.
fn ask_for_it(world: &mut World, person: &Person) -> (LinkId, u32) {
    let link = world.link();
    let id = world.start_registration(link, person);
    let right = world.codes[&person.address].clone();
    let finish = world.finish(link, person, id, &right);
    (link, world.tell(link, finish))
}

fn owner(world: &World) -> Vec<u8> {
    let records = world.store.records();
    let address = records
        .into_iter()
        .find(|(space, ..)| *space == KeySpace::Addresses);
    let record = AddressRecord::decode(address.unwrap().2).unwrap();
    record.account_id.to_vec()
}

#[test]
fn an_address_that_was_kept_is_not_lost_to_one_on_the_way() {
    let mut world = World::new();
    let alice = locked(&mut world);
    let mallory = world.stranger(ADDRESS);
    register(&mut world, &mallory);
    world.wait(limits::LOCK_WAIT);
    let (alices, _) = world.login(&alice);
    // His waiting time is over, and his registration waits for the log.
    let (link, request) = ask_for_it(&mut world, &mallory);
    let kept = world.tell(alices, KEEP);
    while world.write_once() {}
    assert_eq!(world.answer(alices, kept), Some(Answer::Done(pb::Done {})));
    assert_eq!(
        wait_of(world.answer(link, request).unwrap()),
        limits::LOCK_WAIT
    );
    world.write();
    assert_eq!(owner(&world), alice.account.as_bytes());
    assert_eq!(wait_of(register(&mut world, &mallory)), limits::LOCK_WAIT);
}

#[test]
fn an_owner_who_comes_too_late_is_not_told_that_it_is_kept() {
    let mut world = World::new();
    let alice = locked(&mut world);
    let mallory = world.stranger(ADDRESS);
    register(&mut world, &mallory);
    world.wait(limits::LOCK_WAIT);
    let (alices, _) = world.login(&alice);
    let (link, request) = ask_for_it(&mut world, &mallory);
    let at = world.relay.next_publication(world.now).unwrap();
    world.now = world.now.max(at);
    let publication = world.relay.take_publication(world.now).unwrap();
    assert_eq!(code(world.ask(alices, KEEP)), ErrorCode::RosterConflict);
    world
        .log
        .publish(world.now, &mut world.rng, publication)
        .unwrap();
    world.relay.publication_written();
    world.collect();
    assert!(is_registered(&world.answer(link, request).unwrap()));
}

#[test]
fn a_lock_that_is_on_the_way_holds_a_contender_off() {
    let mut world = World::new();
    let alice = world.person(ADDRESS);
    let (alices, _) = world.login(&alice);
    let locks = world.tell(alices, lock(true));
    let mallory = world.stranger(ADDRESS);
    let (link, request) = ask_for_it(&mut world, &mallory);
    assert_eq!(code(world.answer(link, request)), ErrorCode::RosterConflict);
    world.write();
    assert_eq!(world.answer(alices, locks), Some(Answer::Done(pb::Done {})));
    assert_eq!(wait_of(register(&mut world, &mallory)), limits::LOCK_WAIT);
    assert_eq!(owner(&world), alice.account.as_bytes());
}

#[test]
fn a_lock_that_is_set_again_starts_every_wait_again() {
    let mut world = World::new();
    let alice = locked(&mut world);
    let (alices, _) = world.login(&alice);
    let mallory = world.stranger(ADDRESS);
    register(&mut world, &mallory);
    for locked in [false, true] {
        assert_eq!(
            world.ask_durably(alices, lock(locked)),
            Answer::Done(pb::Done {})
        );
    }
    world.wait(limits::LOCK_WAIT);
    assert_eq!(wait_of(register(&mut world, &mallory)), limits::LOCK_WAIT);
    // So does saying it again.
    world.ask_durably(alices, lock(true));
    world.wait(limits::LOCK_WAIT);
    assert_eq!(wait_of(register(&mut world, &mallory)), limits::LOCK_WAIT);
}

#[test]
fn an_address_that_is_not_locked_is_registered_anew_at_once() {
    let mut world = World::new();
    world.person(ADDRESS);
    let again = world.stranger(ADDRESS);
    assert!(is_registered(&register(&mut world, &again)));
}

#[test]
fn keeping_an_address_that_nobody_contests_changes_nothing() {
    let mut world = World::new();
    let alice = locked(&mut world);
    let (link, _) = world.login(&alice);
    let before = world.store.records();
    assert_eq!(world.ask_durably(link, KEEP), Answer::Done(pb::Done {}));
    assert_eq!(world.store.records(), before);
    let anonymous = world.link();
    assert_eq!(code(world.ask(anonymous, KEEP)), ErrorCode::WrongLink);
}

/// Whether somebody was told that their new address looks like another.
fn looks_like_another(answer: &Answer) -> bool {
    match answer {
        Answer::Registered(registered) => registered.looks_like_another,
        other => panic!("{other:?}"),
    }
}

// The domain is apple in Cyrillic letters.
const CYRILLIC: &str = "anna@xn--80ak6aa92e.example";

#[test]
fn a_look_alike_in_other_letters_is_refused() {
    let mut world = World::new();
    world.person("anna@apple.example");
    let imitation = world.stranger(CYRILLIC);
    let answer = register(&mut world, &imitation);
    assert_eq!(code(Some(answer)), ErrorCode::AddressConfusable);
    // What was refused left no trace.
    assert_eq!(check(&world.store).unwrap().damaged(), 0);
}

#[test]
fn an_operator_may_allow_a_look_alike() {
    let mut world = World::with(Config {
        look_alikes: vec![Address::parse(CYRILLIC).unwrap()],
        ..Config::default()
    });
    world.person("anna@apple.example");
    let other = world.stranger(CYRILLIC);
    assert!(looks_like_another(&register(&mut world, &other)));
}

#[test]
fn a_plain_address_is_shut_out_by_no_look_alike() {
    let mut world = World::new();
    for address in ["billing@paypa1.example", "rnorgan@example.org", CYRILLIC] {
        world.person(address);
    }
    for address in [
        "billing@paypal.example",
        "bi11ing@paypal.example",
        "morgan@example.org",
        "anna@apple.example",
    ] {
        let real = world.stranger(address);
        let link = world.link();
        let id = world.start_registration(link, &real);
        let right = world.codes[address].clone();
        let finish = world.finish(link, &real, id, &right);
        let answer = world.ask_durably(link, finish.clone());
        assert!(looks_like_another(&answer), "{address}");
        // The same is told whose answer got lost.
        assert_eq!(world.ask_durably(link, finish), answer);
    }
    // What looks different is nobody's business, and neither is who registers again.
    let other = world.stranger("billing@paypal2.example");
    assert!(!looks_like_another(&register(&mut world, &other)));
    let again = world.stranger("morgan@example.org");
    assert!(!looks_like_another(&register(&mut world, &again)));
    assert_eq!(check(&world.store).unwrap().damaged(), 0);
}

#[test]
fn a_similar_address_is_reported_only_with_the_right_code() {
    let mut world = World::new();
    world.person("anna11@example.org");
    let imitation = world.stranger("annall@example.org");
    let link = world.link();
    let id = world.start_registration(link, &imitation);
    let wrong = world.finish(link, &imitation, id, "0");
    assert_eq!(
        code(Some(world.ask_durably(link, wrong))),
        ErrorCode::CodeRefused
    );
}
