//! Engines and a relay in one simulated world.
//!
//! [`World`] drives any number of [`Engine`](waxwing_engine::Engine)s against a
//! [`RelayPort`] in virtual time: every delay, cut and crash comes from one seed, so
//! that a failing run can be run again. [`RealRelay`] is `waxwing-relay`'s state machine
//! on a store in memory; [`HostileRelay`] is the same relay with a test's say in everything
//! that passes; [`Dishonest`] is a client that does what its test says.
//!
//! **Elsewhere**: the tests themselves are in `tests/`.
//!
//! **Always**: frames travel encoded, in order within one link and never after it was
//! cut; nothing reads a real clock.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::missing_panics_doc,
    reason = "a harness fails loudly where it stands"
)]

pub mod devices;
mod dishonest;
pub mod disk;
pub mod files;
pub mod groups;
mod hostile;
pub mod leaks;
mod raw;
mod real;
pub mod scenes;
mod world;

pub use dishonest::{Commit, Dishonest, External, Founding, context, credential_in};
pub use hostile::{Bend, Fate, HostileRelay};
pub use real::{BEGINS, RealRelay, auditor_id, log_keys, pin};
pub use world::{Passing, Person, PersonId, World, WorldOptions};

use rand_core::CryptoRng;
use waxwing_engine::LinkKind;
use waxwing_protocol::{Exporter, pb, time::Time};

/// A connection of one link, numbered by the world; never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkId(pub u64);

/// What a relay does.
#[derive(Debug)]
pub enum RelayEffect {
    /// Sends a frame.
    Send(LinkId, pb::RelayFrame),
    /// Closes a link.
    Close(LinkId),
    /// Mails a code to an address (canonical form).
    Code(String, String),
    /// Nothing that anybody in the world sees.
    Nothing,
}

/// A relay as the world sees it.
pub trait RelayPort {
    /// Whose link is about to be opened: what a relay cannot know, but guess.
    fn opened_by(&mut self, _link: LinkId, _person: PersonId, _kind: LinkKind) {}
    /// A link was opened.
    fn opened(&mut self, now: Time, rng: &mut dyn CryptoRng, link: LinkId, exporter: Exporter);
    /// A link is no more.
    fn closed(&mut self, now: Time, link: LinkId);
    /// A frame came.
    fn frame(&mut self, now: Time, rng: &mut dyn CryptoRng, link: LinkId, frame: pb::ClientFrame);
    /// A second has passed.
    fn tick(&mut self, now: Time);
    /// Posts that it took, those that were repeated not counted.
    fn posts(&self) -> u64;
    /// Posts that wait in mailboxes.
    fn waiting(&self) -> usize;
    /// What it does, until there is nothing.
    fn poll_effect(&mut self) -> Option<RelayEffect>;
    /// When it wants to be woken next, if at all.
    fn wakes_at(&mut self) -> Option<Time> {
        None
    }
    /// That time has come.
    fn woken(&mut self, _now: Time) {}
}
