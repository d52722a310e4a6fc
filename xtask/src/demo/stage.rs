//! Two people, their mails and their relay.
//!
//! **Elsewhere**: `seizure` seizes the relay.
//!
//! **Always**: people use the real client, each with a separate home; everything is in one
//! temporary folder that is deleted with the stage.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use serde_json::Value;
use tempfile::TempDir;

use super::mails::Mails;
use super::rpc::Rpc;
use crate::progress::Progress;
use crate::relay::{Relay, Setup};
use crate::workspace::Programs;

/// For a mail, and for each command of the client.
const PATIENCE: Duration = Duration::from_mins(1);

/// Everything that the demo needs.
pub struct Stage {
    /// The client and the relay.
    pub programs: Programs,
    /// The relay's URL with its pin.
    pub url: String,
    /// The first person.
    pub alice: Person,
    /// The second.
    pub bob: Person,
    /// Their inboxes.
    pub mails: Mails,
    relay: Option<Relay>,
    setup: Setup,
    folder: TempDir,
}

/// One person.
#[derive(Clone, Debug)]
pub struct Person {
    /// Their address.
    pub address: String,
    /// Where their client keeps everything.
    pub home: PathBuf,
}

/// What the two said, and how it came.
#[derive(Debug)]
pub struct Talk {
    /// As it was received.
    pub received: Vec<Received>,
    /// The safety number that each of the two was shown.
    pub safety_numbers: [String; 2],
    /// The encryption suite, as the client names it.
    pub suite: String,
    /// What the client's doctor found of the link, as a sentence.
    pub link: String,
}

struct Knowledge {
    safety_number: String,
    suite: String,
    link: String,
}

/// A message that arrived.
#[derive(Debug)]
pub struct Received {
    /// The sender's address.
    pub from: String,
    /// Whether the client vouches for it.
    pub verified: bool,
    /// The text.
    pub text: String,
}

impl Stage {
    /// Starts the relay and registers both people.
    pub fn set(programs: &Programs, progress: Progress) -> Result<Self> {
        // Not below the repository: a socket's path must be short.
        let folder = tempfile::Builder::new().prefix("waxwing-demo-").tempdir()?;
        let mails = Mails::new(folder.path().join("mails"));
        let step = progress.step("starting the relay");
        let setup = Setup {
            program: programs.relay.clone(),
            data: folder.path().join("relay-data"),
            logs: folder.path().join("relay-logs"),
            listen: "127.0.0.1:0".into(),
            arguments: vec!["--mail-dir".into(), mails.folder().display().to_string()],
            codes_per_hour: None,
        };
        let relay = setup.start()?;
        let url = relay.url.clone();
        step.done(&url);
        let person = |name: &str| Person {
            address: format!("{name}@demo.waxwing.example"),
            home: folder.path().join(name),
        };
        let (alice, bob) = (person("alice"), person("bob"));
        let relay = Some(relay);
        let stage = Self {
            programs: programs.clone(),
            url,
            alice,
            bob,
            mails,
            relay,
            setup,
            folder,
        };
        for person in [&stage.alice, &stage.bob] {
            let step = progress.step(&format!("registering {}", person.address));
            let code = stage.register(person)?;
            step.done(&format!("with the code {code}, which came by mail"));
        }
        Ok(stage)
    }

    /// Registers a person with the code that comes to their inbox.
    pub fn register(&self, person: &Person) -> Result<String> {
        let mut child = self
            .waxwing(person)
            .args(["register", &person.address, "--relay", &self.url])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .context("cannot start the client")?;
        let code = self.mails.next_code(&person.address, PATIENCE);
        if let (Ok(code), Some(mut input)) = (&code, child.stdin.take()) {
            writeln!(input, "{code}").context("the client does not take the code")?;
        } else {
            child.kill()?;
        }
        let output = child.wait_with_output()?;
        match code {
            Ok(code) if output.status.success() => Ok(code),
            Ok(_) => bail!("{} could not register:\n{}", person.address, said(&output)),
            Err(no_code) => Err(no_code.context(said(&output))),
        }
    }

    /// Lets the two exchange messages, one way and the other.
    pub fn talk(&self, progress: Progress) -> Result<Talk> {
        let step = progress.step("talking");
        let lines = [
            (
                &self.alice,
                &self.bob,
                "Bob, this is Alice. Can the relay read this?",
            ),
            (&self.bob, &self.alice, "It cannot. Seize it and see."),
        ];
        let mut received = Vec::new();
        for (from, to, words) in lines {
            received.push(self.say(from, to, words)?);
        }
        step.done(&format!("{} messages", received.len()));
        let step = progress.step("asking both clients what they know");
        let alice = self.knows(&self.alice, &self.bob)?;
        let bob = self.knows(&self.bob, &self.alice)?;
        step.done("");
        Ok(Talk {
            received,
            safety_numbers: [alice.safety_number, bob.safety_number],
            suite: alice.suite,
            link: alice.link,
        })
    }

    fn say(&self, from: &Person, to: &Person, words: &str) -> Result<Received> {
        let seconds = PATIENCE.as_secs().to_string();
        let listening = self
            .waxwing(to)
            .args(["listen", "--json", "--count", "1", "--timeout", &seconds])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let heard = thread::spawn(move || listening.wait_with_output());
        let sent = self
            .waxwing(from)
            .args(["send", &to.address, words])
            .stdin(Stdio::null())
            .output()?;
        if !sent.status.success() {
            bail!("{} could not send:\n{}", from.address, said(&sent));
        }
        let output = heard
            .join()
            .map_err(|_| anyhow::anyhow!("listening broke off"))??;
        let message = json_lines(&output)
            .into_iter()
            .find(|line| text(line, "type") == "message")
            .with_context(|| format!("{} heard nothing:\n{}", to.address, said(&output)))?;
        let received = Received {
            from: text(&message, "from").to_owned(),
            verified: message
                .get("from_verified")
                .and_then(Value::as_bool)
                .unwrap_or(false),
            text: text(&message, "text").to_owned(),
        };
        if received.text != words || received.from != from.address {
            bail!("something else arrived than was sent: {message}");
        }
        Ok(received)
    }

    /// What a person's client knows of the other one, of its encryption and its link.
    fn knows(&self, person: &Person, other: &Person) -> Result<Knowledge> {
        let mut rpc = Rpc::start(&self.programs.waxwing, &person.home)?;
        let contacts = rpc.call("contacts", &Value::Null)?;
        let status = rpc.call("status", &Value::Null)?;
        let doctor = rpc.call("doctor", &Value::Null)?;
        rpc.stop()?;
        let safety_number = items(&contacts, "contacts")
            .find(|contact| text(contact, "address") == other.address)
            .map(|contact| text(contact, "safety_number").to_owned())
            .with_context(|| format!("{} does not know {}", person.address, other.address))?;
        let link = items(&doctor, "checks")
            .find(|check| text(check, "check") == "tls" && text(check, "result") == "ok")
            .map(|check| text(check, "sentence").to_owned())
            .with_context(|| format!("the doctor finds no good link: {doctor}"))?;
        Ok(Knowledge {
            safety_number,
            suite: text(&status, "suite").to_owned(),
            link,
        })
    }

    fn waxwing(&self, person: &Person) -> Command {
        client(&self.programs.waxwing, &person.home)
    }

    /// The relay that runs.
    pub fn relay(&self) -> Result<&Relay> {
        self.relay.as_ref().context("the relay does not run")
    }

    /// The relay's data directory.
    pub fn data(&self) -> &Path {
        &self.setup.data
    }

    /// Where the relay's output is kept.
    pub fn logs(&self) -> &Path {
        &self.setup.logs
    }

    /// Somebody new, with a home of their own.
    pub fn somebody(&self, name: &str) -> Person {
        Person {
            address: format!("{name}@demo.waxwing.example"),
            home: self.folder().join(name),
        }
    }

    /// Where everything is.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// A person's account id.
    pub fn account(&self, person: &Person) -> Result<String> {
        let mut rpc = Rpc::start(&self.programs.waxwing, &person.home)?;
        let account = rpc.call("account", &Value::Null)?;
        rpc.stop()?;
        Ok(text(&account, "account_id").to_owned())
    }

    /// Does something while the relay does not run; then it runs again, where it was.
    pub fn while_stopped(&mut self, work: impl FnOnce(&Self) -> Result<()>) -> Result<()> {
        let relay = self.relay.take().context("the relay does not run")?;
        let status = relay.stop()?;
        if !status.success() {
            bail!("the relay did not stop well: {status}");
        }
        work(self)?;
        let address = self.url.trim_start_matches("https://");
        let address = address.split(['/', '#']).next().unwrap_or_default();
        self.setup.listen = address.to_owned();
        self.relay = Some(self.setup.start()?);
        Ok(())
    }

    /// Has an auditor of their own follow the key log once. Gives what it says.
    pub fn audit(&self) -> Result<String> {
        let output = client(&self.programs.waxwing, &self.folder().join("auditor"))
            .args(["audit", "follow", &self.url, "--once", "--json"])
            .stdin(Stdio::null())
            .output()?;
        if !output.status.success() {
            bail!("the auditor is not content:\n{}", said(&output));
        }
        let signed = json_lines(&output)
            .into_iter()
            .find(|line| text(line, "type") == "co_signed")
            .with_context(|| format!("the auditor co-signed nothing:\n{}", said(&output)))?;
        let head = signed.get("head").and_then(Value::as_u64).unwrap_or(0);
        Ok(format!("co-signed head {head}: the log only grew"))
    }

    /// Lets somebody write, which must be refused. Gives the reason that they are told.
    pub fn refused(&self, from: &Person, to: &Person, words: &str) -> Result<String> {
        let output = self
            .waxwing(from)
            .args(["send", &to.address, words])
            .stdin(Stdio::null())
            .output()?;
        if output.status.success() {
            bail!("it was sent");
        }
        let history = self
            .waxwing(from)
            .args(["history", &to.address, "--json"])
            .output()?;
        let entries = json_lines(&history);
        let reason = entries
            .iter()
            .find_map(|entry| entry.pointer("/problem/sentence")?.as_str())
            .with_context(|| format!("no reason is given:\n{}", said(&output)))?;
        Ok(reason.to_owned())
    }

    /// The newest of somebody's alarms.
    pub fn alarm(&self, person: &Person) -> Result<String> {
        let output = self.waxwing(person).args(["alarms", "--json"]).output()?;
        let alarms = json_lines(&output);
        let alarm = alarms.last().context("there is no alarm")?;
        Ok(text(alarm, "sentence").to_owned())
    }

    /// Whether anything has come for somebody.
    pub fn has_heard(&self, person: &Person) -> Result<bool> {
        let output = self
            .waxwing(person)
            .args(["listen", "--json", "--count", "1", "--timeout", "3"])
            .stdin(Stdio::null())
            .output()?;
        let lines = json_lines(&output);
        Ok(lines.iter().any(|line| text(line, "type") == "message"))
    }

    /// A folder for copies.
    pub fn scratch(&self) -> Result<PathBuf> {
        let path = self.folder.path().join("scratch");
        fs::create_dir_all(&path)?;
        Ok(path)
    }

    /// Stops the relay and removes everything.
    pub fn clear(mut self) -> Result<()> {
        if let Some(relay) = self.relay.take() {
            let status = relay.stop()?;
            if !status.success() {
                bail!("the relay did not stop well: {status}");
            }
        }
        self.folder
            .close()
            .context("the demo's folder cannot be removed")
    }
}

/// The client for a home. Its store's key is kept in the home: a demo has no business in
/// the keyring of whoever tries it, and must be able to search for the key.
pub fn client(program: &Path, home: &Path) -> Command {
    let mut command = Command::new(program);
    command.arg("--home").arg(home);
    command
        .env("WAXWING_KEY_STORE", "file")
        .env_remove("WAXWING_PASSPHRASE");
    command
}

/// Everything that a command said.
fn said(output: &Output) -> String {
    let (out, err) = (&output.stdout, &output.stderr);
    format!(
        "{}{}",
        String::from_utf8_lossy(out),
        String::from_utf8_lossy(err)
    )
}

fn json_lines(output: &Output) -> Vec<Value> {
    String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .collect()
}

/// A field that is a string; empty where there is none.
pub fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value.get(name).and_then(Value::as_str).unwrap_or_default()
}

/// The items of a field that is a list.
pub fn items<'a>(value: &'a Value, name: &str) -> impl Iterator<Item = &'a Value> {
    value
        .get(name)
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
}
