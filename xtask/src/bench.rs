//! `cargo xtask bench`: builds for release, measures, and prints one JSON object per line on
//! standard output.
//!
//! **Elsewhere**: the load on a relay is in `bench/`; the engine and the reader of text
//! messages measure themselves in their examples `bench`; `docs/benchmarks.md` explains the
//! figures.
//!
//! **Always**: the relay and its load are separate processes.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};

use crate::progress::Progress;
use crate::workspace::{Profile, build, cargo, root};

/// What to measure.
#[derive(clap::Subcommand, Debug)]
pub enum Bench {
    /// The relay: idle links, messages online and offline, a crash.
    Relay(Relay),
    /// The relay under attack: what other people notice of it.
    Hostile(Hostile),
    /// The engine: encrypt, decrypt, rekey, each with its store transaction.
    Engine,
    /// Conversations: groups of all sizes, an attached file, a long history.
    Conversation(Conversation),
    /// Text messages: reading them, looking for tricks in them.
    Sms,
    /// The key log: publishing, look-ups, proofs, audits, memory.
    Log(Log),
    /// The app's page: bundle, start, first message, scrolling, memory.
    Page(Page),
}

/// How to measure the page.
#[derive(clap::Args, Debug)]
pub struct Page {
    /// How many messages the conversation has.
    #[arg(long, value_name = "N", default_value_t = 100_000)]
    messages: u32,
    /// Two thousand messages, to see that it works.
    #[arg(long, conflicts_with = "messages")]
    quick: bool,
}

/// How to measure the key log.
#[derive(clap::Args, Debug)]
pub struct Log {
    /// Where data directories are made: should be on a real disk.
    #[arg(long, value_name = "DIR")]
    scratch: Option<PathBuf>,
    /// How many accounts it has; can be given several times.
    #[arg(long, value_name = "N", default_values_t = [100_000, 1_000_000])]
    accounts: Vec<u64>,
    /// Ten thousand accounts, to see that it works.
    #[arg(long, conflicts_with = "accounts")]
    quick: bool,
}

/// How to measure conversations.
#[derive(clap::Args, Debug)]
pub struct Conversation {
    /// Where stores and files are made: should be on a real disk.
    #[arg(long, value_name = "DIR")]
    scratch: Option<PathBuf>,
    /// A tenth of everything, to see that it works.
    #[arg(long)]
    quick: bool,
    /// attachment, groups, history; all where none is named.
    scenarios: Vec<String>,
}

/// How to measure the relay.
#[derive(clap::Args, Debug)]
pub struct Relay {
    /// Where data directories are made: should be on a real disk.
    #[arg(long, value_name = "DIR")]
    scratch: Option<PathBuf>,
    /// A tenth of everything, to see that it works.
    #[arg(long)]
    quick: bool,
    /// A relay that is built already, in place of this repository's. Given twice, each scenario
    /// is run with one after the other, so that they can be compared.
    #[arg(long = "relay", value_name = "PROGRAM")]
    programs: Vec<PathBuf>,
    /// idle, online, offline, crash; all where none is named.
    scenarios: Vec<String>,
}

/// How to measure the relay under attack.
#[derive(clap::Args, Debug)]
pub struct Hostile {
    /// Where data directories are made: should be on a real disk.
    #[arg(long, value_name = "DIR")]
    scratch: Option<PathBuf>,
    /// 3 s for each phase instead of 10.
    #[arg(long)]
    quick: bool,
    /// A relay that is built already, in place of this repository's. Given twice, each attack
    /// is made on one after the other, so that they can be compared.
    #[arg(long = "relay", value_name = "PROGRAM")]
    programs: Vec<PathBuf>,
    /// This attack only; can be given several times.
    #[arg(long, value_name = "NAME")]
    only: Vec<String>,
    /// Lists the attacks.
    #[arg(long)]
    list: bool,
    /// Fails where others had to wait for 10 ms (the 99th percentile), or were refused something.
    #[arg(long)]
    check: bool,
}

/// Measures.
pub fn run(bench: &Bench) -> Result<()> {
    match bench {
        Bench::Relay(options) => relay(options),
        Bench::Hostile(options) => hostile(options),
        Bench::Engine => example("waxwing-engine", "bench"),
        Bench::Sms => example("waxwing-sms", "bench_sms"),
        Bench::Conversation(options) => conversation(options),
        Bench::Log(options) => log(options),
        Bench::Page(options) => crate::page::bench(if options.quick {
            2_000
        } else {
            options.messages
        }),
    }
}

fn relay(options: &Relay) -> Result<()> {
    let mut command = load("waxwing-bench", &options.programs, options.scratch.as_ref())?;
    if options.quick {
        command.arg("--quick");
    }
    command.args(&options.scenarios);
    succeed(&mut command)
}

fn hostile(options: &Hostile) -> Result<()> {
    let mut command = load(
        "waxwing-bench-hostile",
        &options.programs,
        options.scratch.as_ref(),
    )?;
    for name in &options.only {
        command.arg("--only").arg(name);
    }
    for (is_asked_for, option) in [
        (options.quick, "--quick"),
        (options.list, "--list"),
        (options.check, "--check"),
    ] {
        if is_asked_for {
            command.arg(option);
        }
    }
    succeed(&mut command)
}

/// A program of `bench/` that loads a relay, built, with the relays that it is to load.
fn load(binary: &str, named: &[PathBuf], scratch_named: Option<&PathBuf>) -> Result<Command> {
    let mut packages = vec![("waxwing-bench", binary)];
    if named.is_empty() {
        packages.push(("waxwing-relay-server", "waxwing-relay"));
    }
    let programs = build(
        Profile::Release,
        &packages,
        "building the relay and its load",
        Progress::for_people(),
    )?;
    let (load, built) = programs.split_first().context("cargo built nothing")?;
    let mut command = Command::new(load);
    for relay in built.iter().chain(named) {
        command.arg("--relay").arg(relay);
    }
    command.arg("--scratch").arg(scratch(scratch_named)?);
    Ok(command)
}

fn conversation(options: &Conversation) -> Result<()> {
    let mut command = measurement("waxwing-bench-conversation", options.scratch.as_ref())?;
    if options.quick {
        command.arg("--quick");
    }
    command.args(&options.scenarios);
    succeed(&mut command)
}

fn log(options: &Log) -> Result<()> {
    let mut command = measurement("waxwing-bench-log", options.scratch.as_ref())?;
    let quick = [10_000];
    let sizes = if options.quick {
        &quick[..]
    } else {
        &options.accounts
    };
    for size in sizes {
        command.arg("--accounts").arg(size.to_string());
    }
    succeed(&mut command)
}

/// A program of `bench/` that measures by itself, built, and told where to make its data.
fn measurement(binary: &str, named: Option<&PathBuf>) -> Result<Command> {
    let programs = build(
        Profile::Release,
        &[("waxwing-bench", binary)],
        "building the measurement",
        Progress::for_people(),
    )?;
    let program = programs.first().context("cargo built nothing")?;
    let mut command = Command::new(program);
    command.arg("--scratch").arg(scratch(named)?);
    Ok(command)
}

/// Where data directories are made: the system's place for temporary files may be in
/// memory, which no disk is.
fn scratch(named: Option<&PathBuf>) -> Result<PathBuf> {
    let scratch = named
        .cloned()
        .unwrap_or_else(|| root().join("target/xtask/bench"));
    std::fs::create_dir_all(&scratch).context("no place for the relay's data")?;
    Ok(scratch)
}

/// A crate's own measurements are an example of it.
fn example(package: &str, name: &str) -> Result<()> {
    let mut command = cargo();
    command.args(["run", "--release", "--package", package, "--example", name]);
    succeed(&mut command)
}

/// Runs it with our own output.
fn succeed(command: &mut Command) -> Result<()> {
    let status = command.stdin(Stdio::null()).status()?;
    if status.success() {
        Ok(())
    } else {
        bail!("the measurement failed: {status}")
    }
}
