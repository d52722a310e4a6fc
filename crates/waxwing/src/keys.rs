//! How the command line answers for the store's key: environment, then terminal.
//!
//! **Elsewhere.** What the answers mean: `waxwing_client::home`.
//!
//! **Always.** A person is asked only on a terminal, and once.

use std::io::{self, IsTerminal as _};

use waxwing_client::home::{KeyKeeping, KeySource};
use zeroize::Zeroizing;

/// Holds the passphrase.
const PASSPHRASE: &str = "WAXWING_PASSPHRASE";
/// How a new home's key is kept: `keyring`, `passphrase` or `file`.
const KEY_STORE: &str = "WAXWING_KEY_STORE";

/// Asks the environment and the terminal.
#[derive(Default)]
pub struct Keys {
    typed: Option<Zeroizing<String>>,
}

impl KeySource for Keys {
    fn preference(&self) -> Option<KeyKeeping> {
        match std::env::var(KEY_STORE).as_deref() {
            Ok("keyring") => Some(KeyKeeping::Keyring),
            Ok("passphrase") => Some(KeyKeeping::Passphrase),
            Ok("file") => Some(KeyKeeping::File),
            _ => given().map(|_| KeyKeeping::Passphrase),
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
         device; you will need it for each command. Enter nothing to do without: then\n\
         whoever copies the home folder can read everything."
    )?;
    loop {
        let first = ask("New passphrase: ")?;
        if first.is_empty() || first == ask("Once more: ")? {
            return Ok(first);
        }
        writeln!(terminal, "They are not the same; once more.")?;
    }
}
