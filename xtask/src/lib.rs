//! The development tasks of this repository, as a library so that tests can run them on a
//! smaller scale.
//!
//! **Elsewhere**: the command line is `main.rs`; the load generator is `bench/`.
//!
//! **Always**: everything that a task shows was measured in that run.

pub mod bench;
mod count;
pub mod demo;
pub mod dist;
pub mod fuzz;
pub mod layers;
pub mod page;
pub mod progress;
pub mod quick;
pub mod relay;
mod steps;
pub mod test;
mod tools;
pub mod workspace;
