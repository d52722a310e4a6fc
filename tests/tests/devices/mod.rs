//! Several devices of one account, over the real relay: linked, revoked, lost and recovered.
//!
//! **Elsewhere**: what a relay or somebody in between could try is in `attacks/`; the
//! key agreement's own tests stand beside it in the engine.

mod closing;
mod conversations;
mod deleting;
mod files;
mod linking;
mod locking;
mod notes;
mod recovery;
mod revoking;
mod scene;
mod settings;
