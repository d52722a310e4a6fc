//! `cargo xtask demo --sms`: what a text message proves, which is nothing, and how that is shown.
//!
//! A service centre delivers three texts to somebody's number. One is a friend's, in parts and
//! with emoji. One is the attack of 2012: it asks that answers go to another number, which a phone
//! showed in the sender's place. One is from "N0RDBANK", with a link that only looks like a bank's.
//!
//! **Elsewhere**: the service centre is `smsc`.
//!
//! **Always**: what is printed is what the client prints.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};

use super::smsc::{Smsc, Text};
use super::stage::client;
use crate::progress::Progress;
use crate::relay::Setup;
use crate::workspace::Programs;

/// Whose texts these are.
const NUMBER: &str = "+358401234567";
/// A friend.
const FRIEND: &str = "+46708251358";
/// Whoever tries the trick of 2012, and whom they want to be taken for.
const SPOOFER: &str = "+46700000001";

/// Runs it.
pub fn run(programs: &Programs, progress: Progress) -> Result<()> {
    let folder = tempfile::Builder::new().prefix("waxwing-demo-").tempdir()?;
    let smsc = Smsc::start()?;
    let config = folder.path().join("relay.toml");
    fs::write(&config, "[sms.prices]\n\"+46\" = \"0.08 EUR\"\n")?;
    let step = progress.step("starting the relay, beside a phone network's service centre");
    let setup = Setup {
        program: programs.relay.clone(),
        data: folder.path().join("relay-data"),
        logs: folder.path().join("relay-logs"),
        listen: "127.0.0.1:0".into(),
        arguments: vec![
            "--config".into(),
            config.display().to_string(),
            "--smsc".into(),
            smsc.url(),
        ],
        codes_per_hour: None,
    };
    let relay = setup.start()?;
    smsc.bound()?;
    step.done(&relay.url);
    let alice = Alice {
        program: &programs.waxwing,
        home: &folder.path().join("alice"),
    };
    let step = progress.step(&format!("registering {NUMBER}"));
    let code = alice.register(&relay.url, &smsc)?;
    step.done(&format!(
        "with the code {code}, which came as a text message"
    ));
    // The device tells the relay what texts for it are sealed to.
    alice.says(&["doctor"])?;
    let step = progress.step("the service centre delivers three texts");
    for text in friends_text()? {
        deliver(&smsc, &text.header, 8, &text.octets, FRIEND)?;
    }
    deliver(&smsc, &reply_to(FRIEND)?, 0, SPOOF.as_bytes(), SPOOFER)?;
    deliver(&smsc, &[], 0, BANK.as_bytes(), "N0RDBANK")?;
    step.done("the relay has sealed each to the device, and keeps no text");

    alice.shows(&["listen", "--count", "3", "--timeout", "30"])?;
    alice.shows(&["conversations"])?;
    alice.shows(&["sms", "send", FRIEND, "Have a good journey!", "--cost"])?;
    alice.shows(&["sms", "send", FRIEND, "Have a good journey!"])?;
    alice.shows(&["sms", "send", FRIEND, "Have a good journey!", "--yes"])?;
    let submitted = smsc.submitted()?;
    println!(
        "The service centre was given, from {} to {}, readable for it: {:?}\n",
        submitted.from, submitted.to, submitted.text
    );
    alice.shows(&["listen", "--timeout", "3"])?;
    alice.shows(&["history", &format!("sms:{FRIEND}")])?;
    relay.stop()?;
    Ok(())
}

const SPOOF: &str = "Hi, it's me with a new number. I am locked out: please send me the code that \
                     you get in a minute.";

const BANK: &str = "Your account is locked. Confirm at once: https://xn--nrdbank-90a.com/login";

fn deliver(smsc: &Smsc, header: &[u8], coding: u8, octets: &[u8], from: &str) -> Result<()> {
    let taken = smsc.deliver(&Text {
        from,
        to: NUMBER,
        header,
        coding,
        octets,
    })?;
    if !taken {
        bail!("the relay did not take a text from {from}");
    }
    Ok(())
}

/// A part of a text.
struct Part {
    header: Vec<u8>,
    octets: Vec<u8>,
}

/// In parts (TS 23.040 section 9.2.3.24.1), the last first: as they come.
fn friends_text() -> Result<Vec<Part>> {
    let text = "We are on the train 🚆 and the children have seen two elks 🫎🫎 already! \
                Grandma 👵🏽 waits at the station, the soup is on the stove 🍲, and nobody has \
                lost a mitten yet 🧤. More tonight 🌙❤️";
    let units: Vec<u16> = text.encode_utf16().collect();
    let pieces: Vec<&[u16]> = units.chunks(66).collect();
    let of = u8::try_from(pieces.len())?;
    let mut parts = Vec::new();
    for (number, piece) in (1..=of).zip(pieces) {
        parts.push(Part {
            header: vec![0x00, 3, 42, of, number],
            octets: piece.iter().flat_map(|unit| unit.to_be_bytes()).collect(),
        });
    }
    parts.reverse();
    Ok(parts)
}

/// The element that asks for answers to another number (TS 23.040 section 9.2.3.24.15).
fn reply_to(number: &str) -> Result<Vec<u8>> {
    let digits = number.trim_start_matches('+');
    let mut address = vec![u8::try_from(digits.len())?, 0x91];
    for pair in digits.as_bytes().chunks(2) {
        let low = pair.first().map_or(0, |digit| digit - b'0');
        let high = pair.get(1).map_or(0xf, |digit| digit - b'0');
        address.push(high << 4 | low);
    }
    let mut element = vec![0x22, u8::try_from(address.len())?];
    element.extend(address);
    Ok(element)
}

/// Somebody with a phone number.
struct Alice<'a> {
    program: &'a Path,
    home: &'a Path,
}

impl Alice<'_> {
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = client(self.program, self.home);
        command.args(arguments);
        command
    }

    fn register(&self, relay: &str, smsc: &Smsc) -> Result<String> {
        let mut child = self
            .command(&["register", NUMBER, "--relay", relay])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .context("cannot start the client")?;
        let text = smsc.submitted()?.text;
        let code = text.split(' ').next().unwrap_or_default().to_owned();
        if let Some(mut input) = child.stdin.take() {
            writeln!(input, "{code}")?;
        }
        let output = child.wait_with_output()?;
        if !output.status.success() {
            bail!(
                "the number cannot be registered:\n{}",
                String::from_utf8_lossy(&output.stderr)
            );
        }
        Ok(code)
    }

    /// What it prints.
    fn says(&self, arguments: &[&str]) -> Result<String> {
        let output = self.command(arguments).stdin(Stdio::null()).output()?;
        let out = String::from_utf8_lossy(&output.stdout);
        let err = String::from_utf8_lossy(&output.stderr);
        Ok(format!("{out}{err}"))
    }

    /// Prints a command and what it prints.
    fn shows(&self, arguments: &[&str]) -> Result<()> {
        let quoted = arguments.iter().map(|one| {
            if one.contains(' ') {
                format!("'{one}'")
            } else {
                (*one).to_owned()
            }
        });
        let line = quoted.collect::<Vec<_>>().join(" ");
        println!("$ waxwing {line}");
        println!("{}", self.says(arguments)?);
        Ok(())
    }
}
