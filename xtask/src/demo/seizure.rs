//! The seizure: texts pass through the relay, some are delivered and some wait; then
//! everything that the relay has is searched for what it must not have.
//!
//! **Elsewhere**: how the search works is `search`.
//!
//! **Always**: the relay is held still while it is searched: its data directory with
//! journals and freed space, its log, its memory. The same search is run over the
//! recipient's own memory, where it must find the texts: a search that could not find
//! anything would prove nothing.

use std::collections::HashMap;
use std::fs::File;
use std::io::Read as _;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use data_encoding::{BASE32_NOPAD, HEXLOWER};
use serde_json::{Value, json};

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

/// Key packages that two clients may publish meanwhile, each naming its owner.
const REFILL: usize = 200;

/// Where the relay keeps messages.
const POSTS: &str = "store/posts/";

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
    /// How often an address stood in the data directory before the texts.
    pub addresses_before: usize,
    /// In the data directory.
    pub on_disk: Findings,
    /// In what the relay wrote to its output and log.
    pub in_logs: Findings,
    /// In its memory, or why that could not be looked at.
    pub in_memory: Result<Findings, String>,
    /// How many of the texts the same search found in the recipient's own memory.
    pub control: Result<usize, String>,
    /// Names of the private keys that were searched for.
    pub keys: Vec<String>,
    /// Texts that arrived, each exactly once, in order.
    pub arrived: usize,
    /// How many stored ciphertexts were recognised on the disk.
    pub ciphertexts: usize,
    /// How long after the last acknowledgement all of them were gone from it.
    pub erased_after: Option<Duration>,
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

    // Key packages name their owner, so that addresses stand in the directory. They must
    // not become more with the messages.
    let nothing_yet = needles(stage, &[], &[])?;
    let addresses_before = address_count(&nothing_yet.in_folder(stage.data())?);

    let step = progress.step(&format!("{} canaries to Bob, who is there", first.len()));
    send(&mut alice, &stage.bob.address, first, |sent| {
        step.say(&format!("{sent} sent"));
    })?;
    wait_until_heard(&mut bob, &stage.alice.address, first.last())?;
    step.done("");

    let step = progress.step("can the search find anything? In Bob's own memory");
    let mut builder = NeedlesBuilder::default();
    for (number, canary) in canaries.iter().enumerate() {
        builder.secret(&Secret::Canary(number), canary.as_bytes());
    }
    let control = builder
        .build()?
        .in_memory(bob.pid())
        .map(|found| found.distinct(|secret| matches!(secret, Secret::Canary(_))))
        .map_err(|error| format!("{error:#}"));
    step.done(&match &control {
        Ok(found) => format!("it finds {found} of the canaries"),
        Err(why) => why.clone(),
    });
    bob.stop()?;

    let step = progress.step(&format!("{} canaries to Bob, who is away", rest.len()));
    send(&mut alice, &stage.bob.address, rest, |sent| {
        step.say(&format!("{sent} sent"));
    })?;
    wait_until_accepted(&mut alice)?;
    alice.stop()?;
    step.done("all acknowledged by the relay");

    // Only while their programs rest can the people's own stores be opened.
    let step = progress.step("what private keys do the clients have?");
    let keys = private_keys(stage)?;
    let needles = needles(stage, &canaries, &keys)?;
    step.done(&format!("{} to search for", keys.len()));

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
    step.done(&format!(
        "{arrived} of {count} texts are there, each once and in order"
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
        addresses_before,
        on_disk,
        in_logs,
        in_memory,
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
        let memory = self.in_memory.as_ref().ok();
        for (place, findings) in [
            ("data directory", Some(&self.on_disk)),
            ("logs", Some(&self.in_logs)),
            ("memory", memory),
        ] {
            let Some(findings) = findings else { continue };
            let secrets = |secret: &Secret| matches!(secret, Secret::Canary(_) | Secret::Key(_));
            let allowed = match place {
                "data directory" => self.addresses_before + REFILL,
                "logs" => 0,
                // What the relay was told may still lie in freed memory; an address beside
                // each message would be there as often as there are messages.
                _ => self.waiting / 10 + 2 * REFILL,
            };
            if findings.distinct(secrets) > 0
                || address_count(findings) > allowed
                || findings.hits.iter().any(|hit| hit.place.starts_with(POSTS))
            {
                wrong.push(format!(
                    "found in the relay's {place}:\n{}",
                    findings.first(10)
                ));
            }
        }
        if self.arrived != self.canaries {
            wrong.push(format!(
                "{} of {} texts arrived",
                self.arrived, self.canaries
            ));
        }
        if self.control == Ok(0) {
            wrong.push("the search finds nothing where it must: it proves nothing".to_owned());
        }
        if self.ciphertexts == 0 {
            wrong.push("no stored ciphertext was recognised: that they go was not seen".to_owned());
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

/// Everything that must not be found.
fn needles(stage: &Stage, canaries: &[String], keys: &[(String, Vec<u8>)]) -> Result<Needles> {
    let mut builder = NeedlesBuilder::default();
    for (number, canary) in canaries.iter().enumerate() {
        builder.secret(&Secret::Canary(number), canary.as_bytes());
    }
    for person in [&stage.alice, &stage.bob] {
        let address = &person.address;
        builder.whole(&Secret::Address(address.clone()), address.as_bytes());
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

/// Messages as the relay stores them, recognised on its disk by the head of an MLS
/// PrivateMessage (RFC 9420 section 6.3) with a group id of 16 bytes.
struct Ciphertexts {
    /// A piece from within each one's ciphertext.
    pieces: Vec<Vec<u8>>,
    excerpt: Option<(String, String)>,
}

/// Version 1, private message, 16 bytes of group id.
const HEAD: [u8; 5] = [0, 1, 0, 2, 16];
/// Behind the head, the ids and the encrypted sender data.
const INTO_CIPHERTEXT: usize = 128;
const PIECE: usize = 24;
const EXCERPT: usize = 48;

impl Ciphertexts {
    fn on_disk(folder: &Path) -> Result<Self> {
        let mut found = Self {
            pieces: Vec::new(),
            excerpt: None,
        };
        for path in files(folder)? {
            let bytes = std::fs::read(&path)?;
            for (at, _) in bytes
                .windows(HEAD.len())
                .enumerate()
                .filter(|(_, w)| *w == HEAD)
            {
                let start = at + INTO_CIPHERTEXT;
                let Some(piece) = bytes.get(start..start + PIECE) else {
                    continue;
                };
                if !looks_random(piece) {
                    continue;
                }
                found.pieces.push(piece.to_vec());
                if found.excerpt.is_none() {
                    let name = path.strip_prefix(folder).unwrap_or(&path).display();
                    let shown = bytes.get(start..start + EXCERPT).unwrap_or(piece);
                    found.excerpt = Some((format!("{name} at {start:#x}"), HEXLOWER.encode(shown)));
                }
            }
        }
        found.pieces.sort_unstable();
        found.pieces.dedup();
        Ok(found)
    }

    fn needles(&self) -> Result<Needles> {
        let mut builder = NeedlesBuilder::default();
        for (number, piece) in self.pieces.iter().enumerate() {
            builder.whole(&Secret::Ciphertext(number), piece);
        }
        builder.build()
    }
}

/// Ciphertext has hardly a byte twice in so short a piece.
fn looks_random(piece: &[u8]) -> bool {
    let mut bytes = piece.to_vec();
    bytes.sort_unstable();
    bytes.dedup();
    bytes.len() >= PIECE - 6
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

    #[test]
    fn a_stored_message_is_recognised_and_found_again() {
        let folder = tempfile::tempdir().unwrap();
        let mut message = HEAD.to_vec();
        message.extend((0..400_u32).map(|n| n.wrapping_mul(2_654_435_761).to_be_bytes()[1]));
        std::fs::write(
            folder.path().join("journal"),
            [vec![0; 99], message].concat(),
        )
        .unwrap();
        let found = Ciphertexts::on_disk(folder.path()).unwrap();
        assert_eq!(found.pieces.len(), 1);
        assert!(found.excerpt.unwrap().0.starts_with("journal"));
        let needles = Ciphertexts::on_disk(folder.path())
            .unwrap()
            .needles()
            .unwrap();
        assert_eq!(
            needles.in_folder(folder.path()).unwrap().distinct(|_| true),
            1
        );
        std::fs::write(folder.path().join("journal"), [0; 99]).unwrap();
        assert_eq!(
            needles.in_folder(folder.path()).unwrap().distinct(|_| true),
            0
        );
    }
}
