//! Devices with nothing to do, whatever state they are in: they rest.
//!
//! **Elsewhere**: two people who have written to each other: `two_people.rs`.
//!
//! **Always**: what is counted is all that an engine does by itself: the timers that come, and
//! the frames that leave.

use std::{cell::RefCell, collections::BTreeMap, rc::Rc};

use waxwing_protocol::{pb::client_frame::Body, time::Span};
use waxwing_system_tests::{
    Fate, HostileRelay, Passing, PersonId, RelayPort, World, WorldOptions,
    devices::{self, ALICE, approve, code, converse, devices, link, linked, revoke},
    groups,
};

/// An hour of somebody's who is online and does nothing takes so many timers: a ping every four
/// minutes and a few checks.
const TIMERS_PER_HOUR: u64 = 20;

fn world(seed: u64) -> World<HostileRelay> {
    World::new(seed, HostileRelay::default(), WorldOptions::default())
}

/// Everything that leaves from now on, by kind.
fn count<R: RelayPort>(world: &mut World<R>) -> Rc<RefCell<BTreeMap<String, u64>>> {
    let counted = Rc::new(RefCell::new(BTreeMap::new()));
    let counts = Rc::clone(&counted);
    world.watch(move |_, passing| {
        if let Passing::Left(frame) = passing
            && let Some(body) = &frame.body
        {
            let text = format!("{body:?}");
            let kind = text.split('(').next().unwrap_or_default().to_owned();
            *counts.borrow_mut().entry(kind).or_default() += 1;
        }
        false
    });
    counted
}

/// How many timers come in this many hours.
fn timers<R: RelayPort>(world: &mut World<R>, hours: u64) -> u64 {
    let before = world.timers;
    world.run_for(Span::hours(hours));
    world.timers - before
}

#[test]
fn a_group_in_which_nobody_says_anything_costs_nothing() {
    let mut world = world(1);
    let people =
        [ALICE, "bob@example.org", "carol@example.org"].map(|one| world.add_registered(one));
    let [alice, bob, carol] = people;
    world.send(alice, bob, "hello");
    world.send(carol, alice, "hello");
    let group = groups::create(&mut world, alice, "Three", &[bob, carol]);
    world.run_for(Span::minutes(1));
    for who in people {
        groups::say(&mut world, who, group, "hello").unwrap();
    }
    world.run_for(Span::hours(1));
    let counted = count(&mut world);
    let came = timers(&mut world, 24);
    let counted = counted.borrow();
    assert!(came <= 24 * 3 * TIMERS_PER_HOUR, "{came}");
    // Their own history, twice a day.
    let rest: u64 = counted
        .iter()
        .filter(|(kind, _)| *kind != "Ping")
        .map(|(_, n)| n)
        .sum();
    assert!(rest <= 3 * 8, "{counted:?}");
}

/// A device whose link to the old one ends while the history is handed over.
fn half_linked(world: &mut World<HostileRelay>, old: PersonId, bob: PersonId) -> PersonId {
    converse(world, old, bob, 200);
    let new = world.add(ALICE);
    link(world, new);
    let code = code(world, new);
    approve(world, old, &code).unwrap();
    let accept = waxwing_engine::api::ConfirmDevice { accept: true };
    let accept = waxwing_engine::api::Request::ConfirmDevice(accept);
    world.command(old, accept).unwrap();
    while devices::newest(world, new, |notice| match notice {
        waxwing_engine::api::Notice::Transfer(progress) => Some(progress.done > 10),
        _ => None,
    }) != Some(true)
    {
        world.run_for(Span(20));
    }
    world.set_online(new, false);
    new
}

#[test]
fn a_device_waits_quietly_for_one_that_takes_the_archive() {
    let mut world = world(2);
    let old = world.add_registered(ALICE);
    let bob = world.add_registered("bob@example.org");
    let new = half_linked(&mut world, old, bob);
    world.run_for(Span::minutes(10));
    let came = timers(&mut world, 1);
    // The device that is away asks for nothing either: when it is back, for little.
    assert!(came <= 4 * TIMERS_PER_HOUR, "{came}");
    world.run_for(Span::hours(6));
    let counted = count(&mut world);
    world.set_online(new, true);
    world.run_for(Span::minutes(10));
    let said = counted
        .borrow()
        .get("SendRendezvous")
        .copied()
        .unwrap_or_default();
    assert!(said < 200, "{said}");
    assert!(world.texts(new, bob) == world.texts(old, bob));
}

#[test]
fn a_device_that_is_never_let_in_rests() {
    let mut world = world(3);
    let old = world.add_registered(ALICE);
    let bob = world.add_registered("bob@example.org");
    let new = half_linked(&mut world, old, bob);
    world.relay.requests(move |who, frame| {
        if who == new && matches!(frame.body, Some(Body::Login(_))) {
            Fate::Drop
        } else {
            Fate::Pass
        }
    });
    let last = devices(&mut world, old).pop().unwrap();
    revoke(&mut world, old, &last.id).unwrap();
    world.run_for(Span::minutes(1));
    world.set_online(new, true);
    world.run_for(Span::minutes(10));
    let came = timers(&mut world, 2);
    assert!(came <= 2 * 8 * TIMERS_PER_HOUR, "{came}");
}

#[test]
fn a_revoked_device_rests_whatever_it_still_owes() {
    let mut world = world(4);
    let old = world.add_registered(ALICE);
    let bob = world.add_registered("bob@example.org");
    world.send(bob, old, "hello");
    world.run_for(Span::minutes(1));
    world.accept(old, bob);
    let new = linked(&mut world, old);
    world.send(bob, old, "how are you?");
    // Its receipt is not sent yet.
    world.run_for(Span(900));
    let last = devices(&mut world, old).pop().unwrap();
    revoke(&mut world, old, &last.id).unwrap();
    world.run_for(Span::minutes(10));
    assert_eq!(world.texts(new, bob).len(), 2);
    let came = timers(&mut world, 2);
    assert!(came <= 2 * 3 * TIMERS_PER_HOUR, "{came}");
}
