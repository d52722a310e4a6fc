//! People with several devices, on an honest relay.

use waxwing_system_tests::{PersonId, RealRelay, World};

pub use waxwing_system_tests::{devices::*, scenes::alice_and_bob};

/// A world whose people have devices.
pub type Scene = World<RealRelay>;

/// Alice's first and second device, and Bob.
pub fn alice_twice_and_bob(seed: u64) -> (Scene, PersonId, PersonId, PersonId) {
    let (mut scene, first, bob) = alice_and_bob(seed);
    let second = linked(&mut scene, first);
    (scene, first, second, bob)
}
