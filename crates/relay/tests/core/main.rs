//! What the relay decides, without a network: its state machine on a store in memory.
//!
//! **Elsewhere**: its links are tested in `transport.rs`, the stores in `store::conformance`.
//!
//! **Always**: no clock, no sleep, one seed.

#![cfg(test)]

mod accounts;
mod backups;
mod blobs;
mod checking;
mod clock;
mod codes;
mod costs;
mod disk;
mod epochs;
mod fan_outs;
mod key_log;
mod locks;
mod log;
mod posting;
mod quotas;
mod rendezvous;
mod sequences;
mod sweeping;
mod texts;
mod token_periods;
mod verification;
mod world;
