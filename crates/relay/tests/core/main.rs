//! What the relay decides, without a network: its state machine on a store in memory.
//!
//! **Elsewhere**: its links are tested in `transport.rs`, the stores in `store::conformance`.
//!
//! **Always**: no clock, no sleep, one seed.

mod accounts;
mod posting;
mod sequences;
mod world;
