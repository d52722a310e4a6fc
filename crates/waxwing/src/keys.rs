//! How the command line finds the store's key: options, environment, then the terminal.
//!
//! **Elsewhere.** What the answers mean is in `waxwing_client::home`.
//!
//! **Always.** A person is asked only on a terminal, and once.

use std::io::{self, IsTerminal as _};

use clap::ValueEnum;
use waxwing_client::home::{KeyKeeping, KeySource};
use zeroize::Zeroizing;

/// Holds the passphrase.
const PASSPHRASE: &str = "WAXWING_PASSPHRASE";
/// How a new home's key is kept.
pub const KEY_STORE: &str = "WAXWING_KEY_STORE";

/// What a person may ask for.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum KeyStore {
    // No doc comments: they would be shown in the help of every command.
    Keyring,
    Passphrase,
    File,
}

/// Asks the command line, the environment and the terminal.
pub struct Keys {
    asked: Option<KeyStore>,
    typed: Option<Zeroizing<String>>,
}

impl Keys {
    /// With what was asked for on the command line or in the environment.
    pub const fn new(asked: Option<KeyStore>) -> Self {
        Self { asked, typed: None }
    }
}

impl KeySource for Keys {
    fn preference(&self) -> Option<KeyKeeping> {
        match self.asked {
            Some(KeyStore::Keyring) => Some(KeyKeeping::Keyring),
            Some(KeyStore::Passphrase) => Some(KeyKeeping::Passphrase),
            Some(KeyStore::File) => Some(KeyKeeping::File),
            None => given().map(|_| KeyKeeping::Passphrase),
        }
    }

    fn passphrase(&mut self, new: bool) -> io::Result<Option<Zeroizing<String>>> {
        if let Some(given) = given() {
            return Ok(Some(given));
        }
        if self.typed.is_none() && io::stdin().is_terminal() && io::stderr().is_terminal() {
            self.typed = Some(if new { choose()? } else { ask("Passphrase: ")? });
        }
        Ok(self.typed.clone())
    }
}

fn given() -> Option<Zeroizing<String>> {
    std::env::var(PASSPHRASE)
        .ok()
        .filter(|text| !text.is_empty())
        .map(Zeroizing::new)
}

fn ask(prompt: &str) -> io::Result<Zeroizing<String>> {
    rpassword::prompt_password(prompt).map(Zeroizing::new)
}

fn choose() -> io::Result<Zeroizing<String>> {
    use io::Write as _;
    let mut terminal = io::stderr();
    writeln!(
        terminal,
        "This system has no keyring. Choose a passphrase that protects the messages on this\n\
         device; you will need it for each command. Enter nothing to stop here."
    )?;
    loop {
        let first = ask("New passphrase: ")?;
        if first.is_empty() || first == ask("Once more: ")? {
            return Ok(first);
        }
        writeln!(terminal, "The two do not match; try again.")?;
    }
}
