//! Groups of many over the real relay.
//!
//! **Elsewhere**: what a relay or a member could try is in `tests/attacks/`; each rule of
//! who may what stands beside it in the engine; everything at once is in the simulation.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "a test fails loudly where it stands"
)]

mod changing;
mod devices;
mod inviting;
mod large;
mod leaving;
mod making;
mod scene;
