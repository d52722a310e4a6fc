//! The inboxes of the demo's people: a folder in which the relay puts each mail as a file.
//!
//! **Elsewhere**: mail that travels by SMTP is tested in `crates/relay/src/mail/`.
//!
//! **Always**: each mail is given once, and its file is deleted; however many people wait for
//! a mail, the folder is read at most every [`PAUSE`].

use std::collections::{HashMap, VecDeque};
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// How often the folder is read.
const PAUSE: Duration = Duration::from_millis(10);

/// The folder.
#[derive(Debug)]
pub struct Mails {
    folder: PathBuf,
    inboxes: Mutex<Inboxes>,
}

#[derive(Debug, Default)]
struct Inboxes {
    /// Mails that nobody has asked for yet, by recipient.
    waiting: HashMap<String, VecDeque<String>>,
    read_at: Option<Instant>,
}

impl Mails {
    /// Mails in this folder, for `waxwing-relay serve --mail-dir`, which makes it.
    pub fn new(folder: PathBuf) -> Self {
        Self {
            folder,
            inboxes: Mutex::default(),
        }
    }

    /// Where they are.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The registration code in the next mail to somebody.
    pub fn next_code(&self, recipient: &str, patience: Duration) -> Result<String> {
        let deadline = Instant::now() + patience;
        loop {
            if let Some(mail) = self.next_mail(recipient)? {
                return code_in(&mail);
            }
            if Instant::now() >= deadline {
                let seconds = patience.as_secs();
                bail!("no mail came for {recipient} within {seconds} s");
            }
            thread::sleep(PAUSE);
        }
    }

    fn next_mail(&self, recipient: &str) -> Result<Option<String>> {
        let mut inboxes = self.inboxes.lock().unwrap_or_else(PoisonError::into_inner);
        if inboxes.read_at.is_none_or(|at| at.elapsed() >= PAUSE) {
            inboxes.fill(&self.folder)?;
        }
        let inbox = inboxes.waiting.get_mut(recipient);
        Ok(inbox.and_then(VecDeque::pop_front))
    }
}

impl Inboxes {
    /// Takes all mails out of the folder.
    fn fill(&mut self, folder: &Path) -> Result<()> {
        self.read_at = Some(Instant::now());
        let entries = match fs::read_dir(folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        let paths: std::io::Result<Vec<_>> = entries.map(|one| Ok(one?.path())).collect();
        let mut paths = paths?;
        paths.sort();
        for path in paths {
            if path.extension().is_some_and(|extension| extension == "eml") {
                let mail = fs::read_to_string(&path)?;
                fs::remove_file(&path)?;
                let to = recipient(&mail)?.to_owned();
                self.waiting.entry(to).or_default().push_back(mail);
            }
        }
        Ok(())
    }
}

fn recipient(mail: &str) -> Result<&str> {
    match mail.lines().find_map(|line| line.strip_prefix("To: ")) {
        Some(recipient) => Ok(recipient.trim()),
        None => bail!("a mail is to nobody:\n{mail}"),
    }
}

/// The first run of six or more digits in a mail's body, which may be grouped by single spaces
/// or hyphens.
fn code_in(mail: &str) -> Result<String> {
    let body = mail.split_once("\r\n\r\n").map_or(mail, |(_, body)| body);
    for line in body.lines() {
        let mut digits = String::new();
        for character in line.chars().chain(['\n']) {
            if character.is_ascii_digit() {
                digits.push(character);
            } else if digits.is_empty() || !matches!(character, ' ' | '-') {
                if digits.len() >= 6 {
                    return Ok(digits);
                }
                digits.clear();
            }
        }
    }
    bail!("there is no code in the mail:\n{mail}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_mail_gives_its_code_once() {
        let folder = tempfile::tempdir().unwrap();
        let mails = Mails::new(folder.path().to_path_buf());
        for (name, to, code) in [
            ("1", "a@b.example", "123 456"),
            ("2", "c@d.example", "777777"),
        ] {
            let mail = format!("To: {to}\r\nSubject: 202 600\r\n\r\nHello,\r\n\r\n    {code}\r\n");
            fs::write(folder.path().join(format!("{name}.eml")), mail).unwrap();
        }
        let none = Duration::ZERO;
        assert_eq!(mails.next_code("c@d.example", none).unwrap(), "777777");
        assert_eq!(mails.next_code("a@b.example", none).unwrap(), "123456");
        assert!(mails.next_code("a@b.example", none).is_err());
    }
}
