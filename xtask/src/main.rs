//! `cargo xtask …`: the chores of this repository.
//!
//! **Elsewhere**: what the chores do is in the library beside this file; the load
//! generator that `bench relay` starts is `bench/`.
//!
//! **Always**: each command says what it is doing while it does it, and exits with
//! something other than 0 when anything failed.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(
    name = "cargo xtask",
    about = "Waxwing's chores",
    disable_help_subcommand = true
)]
struct Arguments {
    #[command(subcommand)]
    chore: Chore,
}

#[derive(Subcommand)]
enum Chore {
    /// Everything that must hold before a change goes in.
    Test(xtask::test::Options),
    /// Imports point down only, and each table has one owner: checks the code for both.
    Layers(xtask::layers::Options),
    /// The whole system for real: two people, one relay, and its seizure.
    Demo(xtask::demo::Options),
    /// Measurements, as one JSON object a line on standard output.
    Bench {
        #[command(subcommand)]
        of: xtask::bench::Bench,
    },
}

fn main() -> ExitCode {
    let outcome = match Arguments::parse().chore {
        Chore::Test(options) => xtask::test::run(&options),
        Chore::Layers(options) => xtask::layers::run(&options),
        Chore::Demo(options) => xtask::demo::run(&options).map(|()| true),
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
