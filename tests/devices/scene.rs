//! People with several devices, on an honest relay.

use waxwing_system_tests::{PersonId, RealRelay, World, WorldOptions};

pub use waxwing_system_tests::devices::*;

/// A world whose people have devices.
pub type Scene = World<RealRelay>;

/// Alice's first device, and Bob.
pub fn alice_and_bob(seed: u64) -> (Scene, PersonId, PersonId) {
    let mut scene = World::new(seed, RealRelay::default(), WorldOptions::default());
    let alice = scene.add_registered(ALICE);
    let bob = scene.add_registered("bob@example.org");
    (scene, alice, bob)
}

/// Alice's first and second device, and Bob.
pub fn alice_twice_and_bob(seed: u64) -> (Scene, PersonId, PersonId, PersonId) {
    let (mut scene, first, bob) = alice_and_bob(seed);
    let second = linked(&mut scene, first);
    (scene, first, second, bob)
}
