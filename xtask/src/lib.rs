//! The chores of this repository, as a library so that tests can run them smaller.
//!
//! **Elsewhere**: the command line is `main.rs`; the load generator is `bench/`.
//!
//! **Always**: whatever a chore shows was measured in that run.

pub mod bench;
pub mod demo;
pub mod layers;
pub mod progress;
pub mod relay;
pub mod test;
pub mod workspace;
