//! What each fuzz target does with its bytes.
//!
//! A target is a function that takes any bytes and holds a parser, or a state machine
//! behind one, to what it promises: it does not panic, and what it accepts is what it
//! says. cargo-fuzz drives them on nightly (`fuzz/fuzz_targets`, one line each); the
//! tests here replay `fuzz/corpus` and seeded mutations of it on stable.
//!
//! **Elsewhere**: the well-formed inputs that a corpus starts from are made by
//! [`seeds`] and written by `examples/seeds.rs`.
//!
//! **Always**: a run depends on its bytes only, so that whatever is found is found again.

#![allow(
    clippy::missing_panics_doc,
    clippy::panic,
    clippy::expect_used,
    clippy::print_stderr,
    reason = "a target panics where something does not hold: that is how it tells"
)]

pub mod client;
pub mod content;
pub mod devices;
pub mod engine;
pub mod mls;
pub mod protocol;
pub mod relay;
pub mod replay;
mod script;
pub mod seeds;
pub mod sms;
pub mod transparency;

/// A target.
#[derive(Clone, Copy)]
pub struct Target {
    /// Its name: of the fuzz program, and of the folder in `fuzz/corpus`.
    pub name: &'static str,
    /// What it does; panics where something does not hold.
    pub run: fn(&[u8]),
    /// Well-formed inputs to start from, by file name.
    pub seeds: fn() -> Vec<(String, Vec<u8>)>,
    /// Mutations that the ordinary test run tries.
    pub mutations: u32,
}

impl core::fmt::Debug for Target {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.name)
    }
}

/// All there are.
pub const TARGETS: &[Target] = &[
    Target {
        name: "client_frame",
        run: protocol::client_frame,
        seeds: seeds::client_frames,
        mutations: 5_000,
    },
    Target {
        name: "relay_frame",
        run: protocol::relay_frame,
        seeds: seeds::relay_frames,
        mutations: 5_000,
    },
    Target {
        name: "address",
        run: protocol::address,
        seeds: seeds::addresses,
        mutations: 5_000,
    },
    Target {
        name: "roster",
        run: protocol::roster,
        seeds: seeds::rosters,
        mutations: 300,
    },
    Target {
        name: "sealed",
        run: protocol::sealed,
        seeds: seeds::sealed,
        mutations: 5_000,
    },
    Target {
        name: "token",
        run: protocol::token,
        seeds: seeds::tokens,
        mutations: 1_000,
    },
    Target {
        name: "envelope",
        run: protocol::envelope,
        seeds: seeds::envelopes,
        mutations: 5_000,
    },
    Target {
        name: "content",
        run: content::content,
        seeds: seeds::contents,
        mutations: 5_000,
    },
    Target {
        name: "poll",
        run: content::poll,
        seeds: seeds::polls,
        mutations: 5_000,
    },
    Target {
        name: "relay_url",
        run: client::relay_url,
        seeds: seeds::relay_urls,
        mutations: 5_000,
    },
    Target {
        name: "rpc",
        run: client::rpc,
        seeds: seeds::rpc_lines,
        mutations: 2_000,
    },
    Target {
        name: "files",
        run: client::files,
        seeds: seeds::files,
        mutations: 2_000,
    },
    Target {
        name: "devices",
        run: devices::devices,
        seeds: devices::seeds,
        mutations: 500,
    },
    Target {
        name: "mls",
        run: mls::mls,
        seeds: mls::seeds,
        mutations: 400,
    },
    Target {
        name: "engine",
        run: engine::engine,
        seeds: engine::seeds,
        mutations: 200,
    },
    Target {
        name: "relay",
        run: relay::relay,
        seeds: relay::seeds,
        mutations: 1_000,
    },
    Target {
        name: "transparency",
        run: transparency::transparency,
        seeds: transparency::seeds,
        mutations: 1_000,
    },
    Target {
        name: "sms",
        run: sms::sms,
        seeds: sms::units,
        mutations: 20_000,
    },
    Target {
        name: "sms_text",
        run: sms::sms_text,
        seeds: sms::texts,
        mutations: 5_000,
    },
    Target {
        name: "sms_inbound",
        run: sms::sms_inbound,
        seeds: sms::frames,
        mutations: 20_000,
    },
];
