//! Several devices of one account, over the real relay: linked, revoked, lost and recovered.
//!
//! **Elsewhere**: what a relay or somebody in between could try is in `tests/attacks/`; the
//! key agreement's own tests stand beside it in the engine.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "a test fails loudly where it stands"
)]

mod conversations;
mod linking;
mod locking;
mod notes;
mod recovery;
mod revoking;
mod scene;
mod settings;
