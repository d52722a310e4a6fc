//! The seizure: texts pass through the relay, some are delivered and some wait; then
//! everything that the relay has is searched for what it must not have.
//!
//! **Elsewhere**: how the search works is `search`.
//!
//! **Always**: the relay is held still while it is searched: its data directory with
//! journals and freed space, its log, its memory. The same search is run over a file that
//! holds one of everything, and over the recipient's own memory, where it must find texts
//! and keys: a search that could not find anything would prove nothing.

use std::collections::HashMap;
use std::fmt;
use std::fs::File;
use std::io::Read as _;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use data_encoding::{BASE32_NOPAD, HEXLOWER};
use serde_json::{Value, json};

use super::ciphertexts::Ciphertexts;
use super::rpc::Rpc;
use super::search::{Findings, Needles, NeedlesBuilder, Secret, files};
use super::stage::{Stage, items, text};
use crate::progress::Progress;

/// Texts that may be on their way into the client at once.
const UNDER_WAY: usize = 64;

/// For all texts to arrive.
const PATIENCE: Duration = Duration::from_mins(10);

/// A relay promises that an acknowledged ciphertext is gone from its files after this.
const ERASED_WITHIN: Duration = Duration::from_mins(10);

/// Messages that are timed one by one.
const TIMED: usize = 200;

/// Entries of a history that are asked for at once.
const PAGE: usize = 1_000;

/// How often addresses may lie in the relay's memory: it was told them when the two
/// registered and looked each other up, it mailed to them, and freed memory is not wiped.
const IN_MEMORY: usize = 40;

/// What was found.
#[derive(Debug)]
pub struct Seizure {
    /// Texts that passed through the relay.
    pub canaries: usize,
    /// Of those, how many waited at the relay when it was seized.
    pub waiting: usize,
    /// How long a message took from one client's input to the other's output.
    pub latency: Latency,
    /// Bytes in the relay's data directory at its fullest.
    pub stored_bytes: u64,
    /// Where a stored message was seen, and its first bytes.
    pub excerpt: Option<(String, String)>,
    /// In the data directory.
    pub on_disk: Findings,
    /// In what the relay wrote to its output and log.
    pub in_logs: Findings,
    /// In its memory, or why that could not be looked at.
    pub in_memory: Result<Findings, String>,
    /// What the same search found in a file that holds one of everything.
    pub planted: Control,
    /// What it found in the recipient's own memory, or why that could not be looked at.
    pub control: Result<Control, String>,
    /// Names of the private keys that were searched for.
    pub keys: Vec<String>,
    /// Texts that arrived, each exactly once, in order.
    pub arrived: usize,
    /// How many stored ciphertexts were recognised on the disk.
    pub ciphertexts: usize,
    /// How long after the last acknowledgement all of them were gone from it.
    pub erased_after: Option<Duration>,
}

/// How many different secrets of each kind were found where they must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Control {
    /// Canaries.
    pub texts: usize,
    /// Addresses.
    pub addresses: usize,
    /// Private keys.
    pub keys: usize,
}

/// A distribution.
#[derive(Debug)]
pub struct Latency {
    /// Half took at most so long.
    pub p50: Duration,
    /// Of a hundred, ninety-nine.
    pub p99: Duration,
    /// So many were timed.
    pub count: usize,
}

/// Sends `count` texts through the relay, seizes it, and hands over the rest.
pub fn seize(stage: &mut Stage, count: usize, progress: Progress) -> Result<Seizure> {
    let waiting = count / 2;
    let canaries = canaries(count)?;
    let texts: Vec<String> = canaries
        .iter()
        .enumerate()
        .map(|(n, canary)| format!("canary {n}: {canary}"))
        .collect();
    let (first, rest) = texts.split_at(count - waiting);

    let mut alice = Rpc::start(&stage.programs.waxwing, &stage.alice.home)?;
    let mut bob = Rpc::start(&stage.programs.waxwing, &stage.bob.home)?;
    let latency = time(&mut alice, &mut bob, &stage.bob.address, progress)?;

    let step = progress.step(&format!(
        "sending {} canaries to Bob, who is online",
        first.len()
    ));
    send(&mut alice, &stage.bob.address, first, |sent| {
        step.say(&format!("{sent} sent"));
    })?;
    wait_until_heard(&mut bob, &stage.alice.address, first.last())?;
    step.done("");

    bob.stop()?;

    let step = progress.step(&format!(
        "sending {} canaries to Bob, who is offline",
        rest.len()
    ));
    send(&mut alice, &stage.bob.address, rest, |sent| {
        step.say(&format!("{sent} sent"));
    })?;
    wait_until_accepted(&mut alice)?;
    alice.stop()?;
    step.done("all acknowledged by the relay");

    // Only while their programs rest can the people's own stores be opened.
    let step = progress.step("collecting the clients' private keys");
    let keys = private_keys(stage)?;
    let people = [&stage.alice.address, &stage.bob.address].map(String::as_str);
    let needles = needles(&people, &canaries, &keys)?;
    step.done(&format!("{} to search for", keys.len()));

    let step = progress.step("testing the search on a file with one of each secret");
    let planted = planted(&stage.scratch()?, &needles, &people, &canaries, &keys)?;
    step.done(&planted.to_string());

    let step = progress.step("seizing the relay: disk, logs, memory");
    let pid = stage.relay()?.pid();
    let (on_disk, in_logs, in_memory, stored_bytes, ciphertexts) = stage.relay()?.frozen(|| {
        Ok((
            needles.in_folder(stage.data())?,
            needles.in_folder(stage.logs())?,
            needles.in_memory(pid).map_err(|error| format!("{error:#}")),
            bytes_below(stage.data())?,
            Ciphertexts::on_disk(stage.data())?,
        ))
    })?;
    step.done("searched");

    let step = progress.step("Bob comes back");
    let alice = Rpc::start(&stage.programs.waxwing, &stage.alice.home)?;
    let mut bob = Rpc::start(&stage.programs.waxwing, &stage.bob.home)?;
    wait_until_heard(&mut bob, &stage.alice.address, rest.last())?;
    let acknowledged = Instant::now();
    let arrived = arrived(&mut bob, &stage.alice.address, &texts)?;
    let control = needles
        .in_memory(bob.pid())
        .map(|found| Control::of(&found))
        .map_err(|error| format!("{error:#}"));
    step.done(&format!(
        "{arrived} of {count} texts arrived, each once and in order"
    ));

    let step = progress.step("waiting until the ciphertexts are gone from the disk");
    let gone = ciphertexts.needles()?;
    let erased_after = loop {
        let left = gone.in_folder(stage.data())?.distinct(|_| true);
        if left == 0 {
            break Some(acknowledged.elapsed());
        }
        if acknowledged.elapsed() > ERASED_WITHIN + Duration::from_secs(30) {
            break None;
        }
        step.say(&format!(
            "{left} of {} still there",
            ciphertexts.pieces.len()
        ));
        thread::sleep(Duration::from_secs(1));
    };
    step.done("");
    alice.stop()?;
    bob.stop()?;

    Ok(Seizure {
        canaries: count,
        waiting,
        latency,
        stored_bytes,
        excerpt: ciphertexts.excerpt,
        on_disk,
        in_logs,
        in_memory,
        planted,
        control,
        keys: keys.into_iter().map(|(name, _)| name).collect(),
        arrived,
        ciphertexts: ciphertexts.pieces.len(),
        erased_after,
    })
}

impl Seizure {
    /// An error when anything was found or lost.
    pub fn verdict(&self) -> Result<()> {
        let mut wrong = Vec::new();
        for (place, findings) in [("data directory", &self.on_disk), ("logs", &self.in_logs)] {
            if !findings.hits.is_empty() {
                wrong.push(format!(
                    "found in the relay's {place}:\n{}",
                    findings.first(10)
                ));
            }
        }
        if let Ok(findings) = &self.in_memory {
            let secrets = findings.distinct(|secret| !matches!(secret, Secret::Address(_)));
            // An address beside each message would be there as often as there are messages.
            if secrets > 0 || address_count(findings) > IN_MEMORY + self.waiting / 10 {
                wrong.push(format!(
                    "found in the relay's memory:\n{}",
                    findings.first(10)
                ));
            }
        }
        if self.on_disk.bytes == 0 || self.in_logs.bytes == 0 {
            wrong.push("there was nothing to search, so it proves nothing".to_owned());
        }
        if self.arrived != self.canaries {
            wrong.push(format!(
                "{} of {} texts arrived",
                self.arrived, self.canaries
            ));
        }
        if !self.planted.is_complete()
            || self
                .control
                .as_ref()
                .is_ok_and(|found| found.texts == 0 || found.keys == 0)
        {
            wrong.push("the search finds nothing where it must, so it proves nothing".to_owned());
        }
        if self.ciphertexts == 0 {
            wrong.push(
                "no stored ciphertext was recognised, so nobody saw that they are deleted"
                    .to_owned(),
            );
        } else if self.erased_after.is_none() {
            wrong.push(format!(
                "ciphertexts are still on the disk after {ERASED_WITHIN:?}"
            ));
        }
        if wrong.is_empty() {
            Ok(())
        } else {
            bail!("{}", wrong.join("\n"))
        }
    }
}

impl Control {
    fn of(findings: &Findings) -> Self {
        Self {
            texts: findings.distinct(|secret| matches!(secret, Secret::Canary(_))),
            addresses: findings.distinct(|secret| matches!(secret, Secret::Address(_))),
            keys: findings.distinct(|secret| matches!(secret, Secret::Key(_))),
        }
    }

    /// Whether something of each kind was found.
    pub const fn is_complete(&self) -> bool {
        self.texts > 0 && self.addresses > 0 && self.keys > 0
    }
}

impl fmt::Display for Control {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            texts,
            addresses,
            keys,
        } = self;
        write!(
            f,
            "it finds {texts} texts, {addresses} addresses, {keys} keys"
        )
    }
}

/// Writes one of each kind into a file and looks for them.
fn planted(
    folder: &Path,
    needles: &Needles,
    people: &[&str],
    canaries: &[String],
    keys: &[(String, Vec<u8>)],
) -> Result<Control> {
    let canary = canaries.last().map(String::as_bytes).unwrap_or_default();
    let address = people.last().map(|address| address.as_bytes());
    let key = keys.last().map(|(_, key)| key.as_slice());
    let parts = [canary, address.unwrap_or_default(), key.unwrap_or_default()];
    let file = folder.join("planted");
    std::fs::write(&file, parts.join(&[0; 5][..]))?;
    let found = Control::of(&needles.in_folder(folder)?);
    std::fs::remove_file(file)?;
    Ok(found)
}

/// Everything that must not be found.
fn needles(people: &[&str], canaries: &[String], keys: &[(String, Vec<u8>)]) -> Result<Needles> {
    let mut builder = NeedlesBuilder::default();
    for (number, canary) in canaries.iter().enumerate() {
        builder.secret(&Secret::Canary(number), canary.as_bytes());
    }
    for address in people {
        builder.address(address);
    }
    for (name, key) in keys {
        builder.secret(&Secret::Key(name.clone()), key);
    }
    builder.build()
}

/// Random texts: 120 bits each, of letters and digits that a compressor cannot shorten
/// into something else.
fn canaries(count: usize) -> Result<Vec<String>> {
    let mut random = File::open("/dev/urandom").context("no randomness")?;
    let mut bytes = [0; 15];
    (0..count)
        .map(|_| {
            random.read_exact(&mut bytes)?;
            Ok(BASE32_NOPAD.encode(&bytes).to_lowercase())
        })
        .collect()
}

/// How long messages take, one after the other.
fn time(alice: &mut Rpc, bob: &mut Rpc, to: &str, progress: Progress) -> Result<Latency> {
    let step = progress.step(&format!("timing {TIMED} messages"));
    bob.call("subscribe", &Value::Null)?;
    let mut took = Vec::with_capacity(TIMED);
    for number in 0..TIMED {
        let words = format!("timed {number}");
        let sent = Instant::now();
        let question = alice.ask("send", &json!({"to": to, "text": words}))?;
        alice.flush()?;
        let (at, _) = bob.wait_for("a timed message", Duration::from_secs(30), |notice| {
            text(notice, "type") == "message" && text(notice, "text") == words
        })?;
        alice.answer(question)?;
        took.push(at.duration_since(sent));
    }
    bob.call("unsubscribe", &Value::Null)?;
    took.sort_unstable();
    let quantile = |percent: usize| {
        took.get((took.len() * percent).div_ceil(100).saturating_sub(1))
            .copied()
            .unwrap_or_default()
    };
    let latency = Latency {
        p50: quantile(50),
        p99: quantile(99),
        count: took.len(),
    };
    step.done("");
    Ok(latency)
}

/// Hands texts to a client, several at once.
fn send(rpc: &mut Rpc, to: &str, texts: &[String], mut say: impl FnMut(usize)) -> Result<()> {
    let mut sent = 0;
    for part in texts.chunks(UNDER_WAY) {
        let mut questions = Vec::with_capacity(part.len());
        for words in part {
            questions.push(rpc.ask("send", &json!({"to": to, "text": words}))?);
        }
        rpc.flush()?;
        for question in questions {
            rpc.answer(question)?;
        }
        sent += part.len();
        say(sent);
    }
    Ok(())
}

/// Waits until the relay has taken everything.
fn wait_until_accepted(rpc: &mut Rpc) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    while rpc
        .call("status", &Value::Null)?
        .get("outbox")
        .and_then(Value::as_u64)
        != Some(0)
    {
        if Instant::now() > deadline {
            bail!("the relay did not take all messages");
        }
        thread::sleep(Duration::from_millis(100));
    }
    Ok(())
}

/// Waits until the newest message of a conversation is this one.
fn wait_until_heard(rpc: &mut Rpc, from: &str, last: Option<&String>) -> Result<()> {
    let Some(last) = last else { return Ok(()) };
    let deadline = Instant::now() + PATIENCE;
    loop {
        let history = rpc.call("history", &json!({"of": from, "limit": 10}))?;
        if items(&history, "entries").any(|entry| text(entry, "text") == last) {
            return Ok(());
        }
        if Instant::now() > deadline {
            bail!("the last canary did not arrive");
        }
        thread::sleep(Duration::from_millis(100));
    }
}

/// How many of the texts stand in the history, each exactly once and in order.
fn arrived(rpc: &mut Rpc, from: &str, texts: &[String]) -> Result<usize> {
    let mut pages: Vec<Vec<String>> = Vec::new();
    let mut before: Option<String> = None;
    loop {
        let mut question = json!({"of": from, "limit": PAGE});
        if let (Some(before), Some(fields)) = (&before, question.as_object_mut()) {
            fields.insert("before".to_owned(), json!(before));
        }
        let history = rpc.call("history", &question)?;
        let messages =
            || items(&history, "entries").filter(|entry| text(entry, "type") == "message");
        pages.push(
            messages()
                .map(|entry| text(entry, "text").to_owned())
                .collect(),
        );
        before = messages().next().map(|entry| text(entry, "id").to_owned());
        let more = history
            .get("more")
            .and_then(Value::as_bool)
            .unwrap_or(false);
        if !more || before.is_none() {
            break;
        }
    }
    let heard: Vec<&String> = pages
        .iter()
        .rev()
        .flatten()
        .filter(|words| words.starts_with("canary "))
        .collect();
    let mut times: HashMap<&String, usize> = HashMap::new();
    for words in &heard {
        *times.entry(*words).or_default() += 1;
    }
    if let Some((words, times)) = times.iter().find(|(_, times)| **times > 1) {
        bail!("a text was shown {times} times: {words}");
    }
    if heard.len() == texts.len()
        && !heard
            .iter()
            .zip(texts)
            .all(|(heard, sent)| **heard == *sent)
    {
        bail!("the texts arrived in another order");
    }
    Ok(texts
        .iter()
        .filter(|words| times.contains_key(words))
        .count())
}

/// The private keys in both people's stores, which only their own programs can open.
fn private_keys(stage: &Stage) -> Result<Vec<(String, Vec<u8>)>> {
    let mut keys = Vec::new();
    for person in [&stage.alice, &stage.bob] {
        let output = Command::new(&stage.programs.keys)
            .arg(&person.home)
            .output()?;
        if !output.status.success() {
            bail!("{}", String::from_utf8_lossy(&output.stderr));
        }
        for line in String::from_utf8(output.stdout)?.lines() {
            let (name, hex) = line.split_once(' ').context("a key without a name")?;
            let key = HEXLOWER.decode(hex.as_bytes())?;
            keys.push((format!("{} {name}", person.address), key));
        }
    }
    Ok(keys)
}

fn address_count(findings: &Findings) -> usize {
    findings.addresses().values().sum()
}

fn bytes_below(folder: &Path) -> Result<u64> {
    files(folder)?
        .iter()
        .map(|path| Ok(std::fs::metadata(path)?.len()))
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn canaries_differ_and_are_long_enough_to_search_for() {
        let some = canaries(100).unwrap();
        assert!(some.iter().all(|canary| canary.len() == 24));
        let different: std::collections::HashSet<_> = some.iter().collect();
        assert_eq!(different.len(), 100);
    }

    const PEOPLE: [&str; 2] = ["alice@demo.waxwing.example", "bob@demo.waxwing.example"];

    fn keys() -> Vec<(String, Vec<u8>)> {
        vec![("seed".to_owned(), (100..132).collect())]
    }

    /// A seizure in which all is well.
    fn clean() -> Seizure {
        let searched = || Findings {
            hits: Vec::new(),
            bytes: 1000,
        };
        let found = Control {
            texts: 1,
            addresses: 1,
            keys: 1,
        };
        Seizure {
            canaries: 300,
            waiting: 150,
            latency: Latency {
                p50: Duration::ZERO,
                p99: Duration::ZERO,
                count: 0,
            },
            stored_bytes: 1000,
            excerpt: None,
            on_disk: searched(),
            in_logs: searched(),
            in_memory: Ok(searched()),
            planted: found,
            control: Ok(found),
            keys: vec!["seed".to_owned()],
            arrived: 300,
            ciphertexts: 150,
            erased_after: Some(Duration::ZERO),
        }
    }

    #[test]
    fn the_file_with_one_of_each_is_found_out_and_gone_again() {
        let folder = tempfile::tempdir().unwrap();
        let canaries = canaries(3).unwrap();
        let needles = needles(&PEOPLE, &canaries, &keys()).unwrap();
        let all = Control {
            texts: 1,
            addresses: 1,
            keys: 1,
        };
        let found = planted(folder.path(), &needles, &PEOPLE, &canaries, &keys()).unwrap();
        assert_eq!(found, all);
        assert!(needles.in_folder(folder.path()).unwrap().hits.is_empty());
        let blind = self::needles(&[], &canaries, &keys()).unwrap();
        let found = planted(folder.path(), &blind, &PEOPLE, &canaries, &keys()).unwrap();
        assert!(!found.is_complete());
    }

    #[test]
    fn whatever_is_planted_anywhere_is_a_bad_verdict() {
        clean().verdict().unwrap();
        let canaries = canaries(3).unwrap();
        let needles = needles(&PEOPLE, &canaries, &keys()).unwrap();
        let key = keys().remove(0).1;
        let leaks = [
            (canaries[1].as_bytes(), true),
            (HEXLOWER.encode(&key).as_bytes(), true),
            (PEOPLE[0].as_bytes(), false),
        ]
        .map(|(bytes, also_in_memory)| (bytes.to_vec(), also_in_memory));
        for (bytes, also_in_memory) in leaks {
            let folder = tempfile::tempdir().unwrap();
            std::fs::write(
                folder.path().join("leak"),
                [b"....", bytes.as_slice()].concat(),
            )
            .unwrap();
            let found = || needles.in_folder(folder.path()).unwrap();
            let on_disk = Seizure {
                on_disk: found(),
                ..clean()
            };
            let in_logs = Seizure {
                in_logs: found(),
                ..clean()
            };
            let in_memory = Seizure {
                in_memory: Ok(found()),
                ..clean()
            };
            assert!(on_disk.verdict().is_err());
            assert!(in_logs.verdict().is_err());
            assert_eq!(in_memory.verdict().is_err(), also_in_memory);
        }
        // An address beside every message is no trace of a registration.
        let mut beside_each = Findings::default();
        needles.in_bytes(PEOPLE[0].repeat(150).as_bytes(), "heap", &mut beside_each);
        let in_memory = Seizure {
            in_memory: Ok(beside_each),
            ..clean()
        };
        assert!(in_memory.verdict().is_err());
    }

    #[test]
    fn a_search_that_proves_nothing_is_a_bad_verdict() {
        let nothing = Control {
            texts: 0,
            addresses: 0,
            keys: 0,
        };
        let changes: [fn(&mut Seizure, Control); 7] = [
            |seizure, nothing| seizure.planted = nothing,
            |seizure, nothing| seizure.control = Ok(nothing),
            |seizure, _| seizure.planted.keys = 0,
            |seizure, _| seizure.on_disk.bytes = 0,
            |seizure, _| seizure.arrived -= 1,
            |seizure, _| seizure.ciphertexts = 0,
            |seizure, _| seizure.erased_after = None,
        ];
        for change in changes {
            let mut seizure = clean();
            change(&mut seizure, nothing);
            assert!(seizure.verdict().is_err());
        }
    }
}
