//! The program of the Waxwing relay.
//!
//! **Elsewhere**: the relay itself is in the `waxwing-relay` library; `docs/operations.md`
//! describes how to run one.
//!
//! **Always**: exit codes are 0 for done, 1 for failed, 2 for a wrong command line. A failure
//! is a sentence on standard error that says what to do. Standard output has what programs
//! read; logs go to standard error.

mod arguments;
mod check;
mod cluster;
mod configuration;
mod logs;
mod serve;

use std::io::Write as _;
use std::process::ExitCode;

use clap::{CommandFactory as _, Parser as _};
use clap_mangen::Man;

use crate::arguments::{Arguments, Command};

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let result = match arguments.command {
        Command::Serve(serve) => serve::run(serve),
        Command::Check(check) => check::run(&check),
        Command::ConfirmClock(confirm) => serve::confirm_clock(&confirm),
        Command::Identity(identity) => serve::print_identity(&identity),
        Command::Cluster(command) => cluster::command(&command),
        Command::Completions { shell } => {
            let mut command = Arguments::command();
            clap_complete::generate(shell, &mut command, "waxwing-relay", &mut std::io::stdout());
            Ok(())
        }
        Command::Man => print_manual(),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("waxwing-relay: {failure}");
            ExitCode::FAILURE
        }
    }
}

/// Prints the page of the program, and those of its commands.
fn print_manual() -> Result<(), serve::Failure> {
    let mut program = Arguments::command();
    program.build();
    let mut pages = Vec::new();
    Man::new(program.clone()).render(&mut pages)?;
    for command in program.get_subcommands() {
        if command.get_name() != "help" {
            Man::new(command.clone()).render(&mut pages)?;
        }
    }
    std::io::stdout().lock().write_all(&pages)?;
    Ok(())
}
