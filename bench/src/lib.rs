//! What the programs of this crate share: how a process is watched, and how figures are
//! printed.

// Figures are made for people: a rate that is off by 2^-53 is not off.
#![allow(clippy::cast_precision_loss)]

pub mod process;
pub mod report;
