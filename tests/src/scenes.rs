//! How most tests begin: Alice and Bob in one world.

use waxwing_protocol::time::Span;

use crate::{PersonId, RealRelay, RelayPort, World, WorldOptions};

/// Alice and Bob on an honest relay, who have not written to each other.
pub fn alice_and_bob(seed: u64) -> (World<RealRelay>, PersonId, PersonId) {
    alice_and_bob_on(RealRelay::default(), seed, WorldOptions::default())
}

/// Alice and Bob, who have accepted each other.
pub fn alice_and_bob_talking(seed: u64) -> (World<RealRelay>, PersonId, PersonId) {
    let (mut world, alice, bob) = alice_and_bob(seed);
    world.send(alice, bob, "hello");
    world.run_for(Span::seconds(10));
    world.send(bob, alice, "hello yourself");
    world.run_for(Span::seconds(10));
    (world, alice, bob)
}

/// Alice and Bob on this relay, in a world with these options.
pub fn alice_and_bob_on<R: RelayPort>(
    relay: R,
    seed: u64,
    options: WorldOptions,
) -> (World<R>, PersonId, PersonId) {
    let mut world = World::new(seed, relay, options);
    let alice = world.add_registered("alice@example.org");
    let bob = world.add_registered("bob@example.org");
    (world, alice, bob)
}
