//! `waxwing completions` and `waxwing man`, generated from the command line's definition.

use clap::{Args, Command};
use clap_complete::Shell;
use clap_mangen::Man as Page;

use crate::{
    outcome::{Failure, Outcome},
    output::Output,
};

/// `waxwing completions`.
#[derive(Debug, Args)]
pub struct Completions {
    /// The shell
    shell: Shell,
}

impl Completions {
    /// Prints the script for all commands.
    pub fn run(&self, mut all: Command, output: &Output) -> Outcome {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut all, "waxwing", &mut script);
        output.raw(&script);
        Outcome::Shown
    }
}

/// `waxwing man`.
#[derive(Debug, Args)]
pub struct Man {
    /// A command; without it, the pages of waxwing itself and of all commands
    command: Option<String>,
}

impl Man {
    /// Prints the page.
    pub fn run(&self, mut all: Command, output: &Output) -> Result<Outcome, Failure> {
        all.build();
        let mut pages = Vec::new();
        if self.command.is_none() {
            Page::new(all.clone()).render(&mut pages)?;
        }
        for command in all
            .get_subcommands()
            .filter(|command| command.get_name() != "help")
        {
            if self
                .command
                .as_deref()
                .is_none_or(|name| name == command.get_name())
            {
                Page::new(command.clone()).render(&mut pages)?;
            }
        }
        if pages.is_empty() {
            let name = self.command.clone().unwrap_or_default();
            let message = format!("there is no command {name:?}; see waxwing --help");
            let error = all.error(clap::error::ErrorKind::InvalidSubcommand, message);
            return Err(Failure::Usage(Box::new(error)));
        }
        output.raw(&pages);
        Ok(Outcome::Shown)
    }
}
