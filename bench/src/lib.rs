//! What the programs of this crate share: links and people that load a relay, the worlds that
//! they live in, how a process is watched, and how figures are printed.

// Figures are made for people: a rate that is off by 2^-53 is not off.
#![allow(clippy::cast_precision_loss)]

pub mod link;
pub mod person;
pub mod process;
pub mod report;
pub mod scenario;
