//! Every attack that a relay which was taken over could try, and some of other people's.
//!
//! Each test is one attack over the real protocol, by the relay that people run with a
//! test's say in everything that passes, and asserts on what the people see.
//! `docs/threat-model.md` lists them all with what the client does and shows; a test holds
//! the list to the code.
//!
//! **Elsewhere**: the hostile relay is `waxwing_system_tests::HostileRelay`; faults that
//! nobody intends are in `tests/tests/faults.rs`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "a test fails loudly where it stands"
)]

mod log;
mod look_ups;
mod scene;
