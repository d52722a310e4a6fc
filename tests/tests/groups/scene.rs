//! People who make groups.

use waxwing_system_tests::{PersonId, RealRelay, World, WorldOptions};

pub use waxwing_system_tests::groups::*;

/// A world with people.
pub type Scene = World<RealRelay>;

/// Alice, Bob, Carol, Dora, Eve…
pub fn people<const N: usize>(seed: u64) -> (Scene, [PersonId; N]) {
    let mut scene = World::new(seed, RealRelay::default(), WorldOptions::default());
    let names = [
        "alice", "bob", "carol", "dora", "eve", "fred", "greta", "hans",
    ];
    let people =
        std::array::from_fn(|at| scene.add_registered(&format!("{}@example.org", names[at])));
    (scene, people)
}
