//! `waxwing-bench-log`: measures the key log on the relay's own store.
//!
//! Two processes for each size: one that fills a log and measures publishing, and one that
//! opens it afresh and measures answers, so that what filling it took in memory is not
//! counted to those who only answer. Clients and auditors are measured in the second, with
//! the code that they use.
//!
//! **Elsewhere**: `cargo xtask bench log` builds and starts this; what its figures mean is
//! `docs/benchmarks.md`.
//!
//! **Always**: standard output holds JSON, one object a line; everything for people
//! goes to standard error. No mail, no link, no roster of its own for each account: the
//! figures are those of the log alone.

// Figures are made for people: a rate that is off by 2^-53 is not off.
#![allow(clippy::cast_precision_loss)]

use std::{
    path::{Path, PathBuf},
    process::{Command, ExitCode},
    sync::Arc,
    time::{Instant, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context as _, Result, bail};
use clap::{Parser, Subcommand};
use prost::Message as _;
use rand::RngExt as _;
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng as _};
use waxwing_auditor::append_only;
use waxwing_bench::{
    process::Process,
    report::{Line, median, rounded},
};
use waxwing_protocol::{
    address::Address,
    pb,
    posting::PostingKey,
    roster::{self, Roster},
    signature::{HybridSigningKey, SigningSeed},
    time::Time,
};
use waxwing_relay::{
    directory::log::{KeyLog, LogKeys, Publication},
    store::{KeySpace, Store as _, Write, embedded::EmbeddedStore, key, records::AccountRecord},
};
use waxwing_transparency::{
    head::{Head, SignedHead},
    proof::{self, Entry},
    view::View,
};

/// Accounts that are registered in one log epoch while a log is filled.
const FILLING: u64 = 10_000;

/// How often each size of a batch is measured.
const BATCHES: [(u64, usize); 3] = [(1, 50), (100, 20), (10_000, 3)];

/// Look-ups that are measured, after as many that fill the cache.
const LOOK_UPS: u64 = 5_000;

#[derive(Parser)]
#[command(about = "Measures a Waxwing relay's key log")]
struct Arguments {
    #[command(subcommand)]
    part: Option<Part>,
    /// Where its data directories are made; the system's place for temporary files
    /// otherwise. Should be on a real disk.
    #[arg(long, global = true)]
    scratch: Option<PathBuf>,
    /// How many accounts the log has.
    #[arg(long = "accounts", default_values_t = [100_000, 1_000_000])]
    sizes: Vec<u64>,
}

#[derive(Subcommand)]
enum Part {
    /// Fills a log, and measures publishing.
    Publish { directory: PathBuf, accounts: u64 },
    /// Opens a log that was filled, and measures answers.
    Answer { directory: PathBuf, accounts: u64 },
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let done = match &arguments.part {
        None => run(&arguments),
        Some(Part::Publish {
            directory,
            accounts,
        }) => publish(directory, *accounts),
        Some(Part::Answer {
            directory,
            accounts,
        }) => answer(directory, *accounts),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("\nwaxwing-bench-log: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<()> {
    let this = std::env::current_exe()?;
    for accounts in &arguments.sizes {
        let directory = match &arguments.scratch {
            Some(scratch) => tempfile::tempdir_in(scratch)?,
            None => tempfile::tempdir()?,
        };
        for part in ["publish", "answer"] {
            let ended = Command::new(&this)
                .arg(part)
                .arg(directory.path())
                .arg(accounts.to_string())
                .status()?;
            if !ended.success() {
                bail!("{part} with {accounts} accounts failed");
            }
        }
    }
    Ok(())
}

fn now() -> Result<Time> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH)?;
    Ok(Time(u64::try_from(since.as_millis())?))
}

fn open(
    directory: &Path,
    rng: &mut ChaCha20Rng,
) -> Result<(Arc<EmbeddedStore>, KeyLog<EmbeddedStore>)> {
    let store = Arc::new(EmbeddedStore::open(directory)?);
    let keys = LogKeys::simulated(&[1; 32], &[2; 32])?;
    let log = KeyLog::open(Arc::clone(&store), keys, Vec::new(), now()?, rng)?;
    Ok((store, log))
}

fn address(number: u64) -> Result<Address> {
    Address::parse(&format!("somebody{number}@example.org")).context("an address")
}

/// The roster that every account of this measurement has.
fn everybodys_roster() -> Result<(pb::SignedStatement, Roster)> {
    let mut rng = ChaCha20Rng::from_seed([3; 32]);
    let device = HybridSigningKey::from_seed(&SigningSeed::generate(&mut rng));
    let leaf = *PostingKey::from_seed(&[9; 32]).public().as_bytes();
    let first = roster::create_account(&mut rng, Time(1), &device, leaf, device.public());
    let roster = Roster::verify(std::slice::from_ref(&first))?;
    Ok((first, roster))
}

/// Publishes entries in log epochs.
struct Publisher {
    store: Arc<EmbeddedStore>,
    log: KeyLog<EmbeddedStore>,
    rng: ChaCha20Rng,
    roster: Roster,
}

impl Publisher {
    /// Gives how many seconds it took.
    fn publish(&mut self, addresses: impl Iterator<Item = u64>) -> Result<f64> {
        let now = now()?;
        let entry = Entry::new(&self.roster, pb::Verification::EmailCode, now);
        let changes = addresses.map(|number| Ok((address(number)?, entry.clone())));
        let publication = Publication {
            changes: changes.collect::<Result<_>>()?,
            writes: Vec::new(),
        };
        let began = Instant::now();
        self.log.publish(now, &mut self.rng, publication)?;
        Ok(began.elapsed().as_secs_f64())
    }
}

fn publish(directory: &Path, accounts: u64) -> Result<()> {
    let mut rng = ChaCha20Rng::from_seed([1; 32]);
    let (store, log) = open(directory, &mut rng)?;
    let (first, roster) = everybodys_roster()?;
    let record = AccountRecord {
        roster: vec![first],
    };
    store.commit(vec![Write {
        space: KeySpace::Accounts,
        key: key(&[roster.account().as_bytes()]),
        value: Some(record.encode_to_vec().into()),
    }])?;
    let mut publisher = Publisher {
        store,
        log,
        rng,
        roster,
    };
    let began = Instant::now();
    for from in (0..accounts).step_by(usize::try_from(FILLING)?) {
        publisher.publish(from..accounts.min(from + FILLING))?;
        let done = accounts.min(from + FILLING);
        eprint!(
            "\r  {done} of {accounts} accounts, {:.0} s ",
            began.elapsed().as_secs_f64()
        );
    }
    eprintln!();
    let filled = began.elapsed().as_secs_f64();
    let on_disk = publisher.store.usage().bytes_on_disk;
    let mut line = Line::new("log_publish")
        .field("accounts", accounts)
        .field("fill_s", rounded(filled, 1))
        .field("bytes_on_disk_per_account", on_disk / accounts.max(1));
    // Accounts that change their rosters: each batch others, all over the tree.
    for (size, times) in BATCHES {
        let size = size.min(accounts);
        let mut rates = Vec::new();
        for _ in 0..times {
            let mut batch = std::collections::BTreeSet::new();
            while (batch.len() as u64) < size {
                batch.insert(publisher.rng.random_range(0..accounts));
            }
            rates.push(size as f64 / publisher.publish(batch.into_iter())?);
        }
        let name = match size {
            1 => "changes_per_s_in_batches_of_1",
            100 => "changes_per_s_in_batches_of_100",
            _ => "changes_per_s_in_batches_of_10000",
        };
        line = line.field(name, rounded(median(rates), 0));
    }
    let own = Process {
        pid: std::process::id(),
    };
    line.field("resident_mib", own.resident_kib()? / 1024)
        .print();
    Ok(())
}

fn answer(directory: &Path, accounts: u64) -> Result<()> {
    let own = Process {
        pid: std::process::id(),
    };
    let mut rng = ChaCha20Rng::from_seed([2; 32]);
    let empty = own.resident_kib()?;
    let began = Instant::now();
    let (store, log) = open(directory, &mut rng)?;
    let open_ms = began.elapsed().as_secs_f64() * 1000.0;
    let opened = own.resident_kib()?;
    let mut pick = || address(rng.random_range(0..accounts));
    for _ in 0..LOOK_UPS {
        log.look_up(&pick()?, 1)?;
    }
    let asked: Vec<Address> = (0..LOOK_UPS).map(|_| pick()).collect::<Result<_>>()?;
    let began = Instant::now();
    let mut answers = Vec::new();
    for address in &asked {
        answers.push(log.look_up(address, 1)?);
    }
    let seconds = began.elapsed().as_secs_f64();
    let resident = own.resident_kib()?;
    let proofs = answers.iter().filter_map(|found| found.proof.as_ref());
    let proofs: Vec<f64> = proofs.map(|proof| proof.encoded_len() as f64).collect();
    let largest = proofs.iter().copied().fold(0.0, f64::max);
    Line::new("log_answer")
        .field("accounts", accounts)
        .field("open_ms", rounded(open_ms, 1))
        .field("look_ups_per_s", rounded(LOOK_UPS as f64 / seconds, 0))
        .field("proof_bytes", rounded(median(proofs), 0))
        .field("proof_bytes_max", largest)
        .field(
            "client_verify_us",
            rounded(client(&log, &asked, &answers)?, 0),
        )
        .field("resident_mib_opened", (opened - empty) / 1024)
        .field("resident_mib_answering", (resident - empty) / 1024)
        .print();
    auditor(&log, accounts)?;
    drop(store);
    Ok(())
}

/// The median of microseconds that a client takes to believe an answer: the head and its
/// signatures, the links from the head that it knew, the proof, the roster.
fn client(log: &KeyLog<EmbeddedStore>, asked: &[Address], answers: &[pb::LookedUp]) -> Result<f64> {
    let identity = log.identity();
    let first = log.view(&[1])?;
    let known = first.head.as_ref().context("a head")?;
    let known = SignedHead::check(identity, known)?;
    let mut took = Vec::new();
    for (address, answer) in asked.iter().zip(answers) {
        let view = answer.log.as_ref().context("a view")?;
        let proof = answer.proof.as_ref().context("a proof")?;
        let began = Instant::now();
        let view = View::check(identity, Some(&known), view, now()?)?;
        let found = proof::look_up(identity, view.newest().head(), address, proof)?;
        let roster = Roster::verify(&answer.roster)?;
        if !found.entry.vouches_for(&roster) {
            bail!("an answer that no client would believe");
        }
        took.push(began.elapsed().as_secs_f64() * 1e6);
    }
    Ok(median(took))
}

/// What an auditor is given, and needs, for 10,000 changes: the last epochs of that size.
fn auditor(log: &KeyLog<EmbeddedStore>, accounts: u64) -> Result<()> {
    let runtime = tokio::runtime::Runtime::new()?;
    let (mut bytes, mut took) = (Vec::new(), Vec::new());
    let [_, _, (_, times)] = BATCHES;
    let mut after = log.newest();
    while took.len() < times {
        let number = after.number - 1;
        let before = log.heads_between(number, number)?.pop().context("a head")?;
        let before = Head::decode(before)?;
        // A head may be a new one for the same epoch.
        if before.epoch < after.epoch {
            let encoded = log.audit(after.epoch)?;
            bytes.push(encoded.len() as f64);
            let began = Instant::now();
            let proof = pb::AuditProof::decode(encoded)?;
            let holds = append_only::verify(after.epoch, before.root, after.root, &proof);
            runtime.block_on(holds)?;
            took.push(began.elapsed().as_secs_f64());
        }
        after = before;
    }
    Line::new("log_audit")
        .field("accounts", accounts)
        .field("changes", FILLING.min(accounts))
        .field("proof_bytes", rounded(median(bytes), 0))
        .field("verify_s", rounded(median(took), 3))
        .print();
    Ok(())
}
