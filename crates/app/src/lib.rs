//! Serves the app's page on loopback, and the engine behind it.
//!
//! ```text
//!   browser ── / ───────────── the page, from this program          page.rs
//!           ── /session ────── a token, once, for a bearer          access.rs
//!           ── /rpc ────────── JSON-RPC, one object per message     rpc.rs
//!           ── /files ──────── bytes in and out, sealed on the disk files.rs
//!           ── /export ─────── a conversation, into a folder        export.rs
//!           ── /preferences ── what the person chose for the page   preferences.rs
//! ```
//!
//! **Elsewhere.** The methods of `/rpc` are in `docs/rpc.md`; the page is in `page/`.
//!
//! **Always.** Only this machine can connect, and only the page that the person opened gets an
//! answer: not another user of the machine, and not another site in the same browser.

mod access;
mod answer;
mod export;
mod files;
mod page;
mod preferences;
mod rpc;
mod server;

pub use server::{App, Keys};

/// Whether this program has the page in it: `cargo xtask page` builds it.
pub fn has_page() -> bool {
    page::exists()
}
