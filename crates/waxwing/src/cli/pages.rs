//! `waxwing completions` and `waxwing man`, generated from the command line's definition.

use std::io::{self, Write as _};

use clap::{Args, Command};
use clap_complete::Shell;
use clap_mangen::Man as Page;

use crate::outcome::Outcome;

/// `waxwing completions`.
#[derive(Debug, Args)]
pub struct Completions {
    /// The shell
    shell: Shell,
}

impl Completions {
    /// Prints the script for all commands.
    pub fn run(&self, mut all: Command) -> io::Result<Outcome> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut all, "waxwing", &mut script);
        io::stdout().lock().write_all(&script)?;
        Ok(Outcome::Done)
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
    pub fn run(&self, mut all: Command) -> io::Result<Outcome> {
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
            all.error(clap::error::ErrorKind::InvalidSubcommand, message)
                .exit();
        }
        io::stdout().lock().write_all(&pages)?;
        Ok(Outcome::Done)
    }
}
