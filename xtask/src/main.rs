//! `cargo xtask …`: the development tasks of this repository.
//!
//! **Elsewhere**: the tasks themselves are in the library beside this file; the load generator
//! that `bench relay` starts is `bench/`.
//!
//! **Always**: each command says what it is doing while it does it, and exits with something
//! other than 0 if anything failed.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(
    name = "cargo xtask",
    about = "Development tasks for Waxwing",
    disable_help_subcommand = true
)]
struct Arguments {
    #[command(subcommand)]
    chore: Chore,
}

#[derive(Subcommand)]
enum Chore {
    /// Runs every check that a change must pass.
    Test(xtask::test::Options),
    /// Runs the checks that a small edit is likely to fail, in under two minutes.
    Quick(xtask::quick::Options),
    /// Fuzzes the parsers, with nightly and cargo-fuzz.
    Fuzz(xtask::fuzz::Options),
    /// Checks that imports point down only, and that each table has one owner.
    Layers(xtask::layers::Options),
    /// Writes docs/rpc.md, docs/rpc.schema.json and docs/rpc.d.ts from crates/api.
    RpcDocs,
    /// Builds the page of the app.
    Page(xtask::page::Options),
    /// Runs the whole system: two people, and a relay that is seized.
    Demo(xtask::demo::Options),
    /// Makes the archives of a release: programs, manual pages, completions, checksums.
    Dist,
    /// Runs measurements; prints one JSON object per line.
    Bench {
        #[command(subcommand)]
        of: xtask::bench::Bench,
    },
}

fn main() -> ExitCode {
    let outcome = match Arguments::parse().chore {
        Chore::Test(options) => xtask::test::run(&options),
        Chore::Quick(options) => xtask::quick::run(&options),
        Chore::Fuzz(options) => xtask::fuzz::run(&options),
        Chore::Layers(options) => xtask::layers::run(&options),
        Chore::RpcDocs => xtask::workspace::write_rpc_docs(),
        Chore::Page(options) => xtask::page::run(&options),
        Chore::Demo(options) => xtask::demo::run(&options).map(|()| true),
        Chore::Dist => xtask::dist::run().map(|()| true),
        Chore::Bench { of } => xtask::bench::run(&of).map(|()| true),
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("\nxtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}
