//! `cargo xtask bench`: builds for release, measures, prints one JSON object a line on
//! standard output.
//!
//! **Elsewhere**: the load on a relay is `bench/`; what the engine and the reader of text messages
//! measure of themselves are their examples `bench`; what the figures mean is `docs/benchmarks.md`.
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
    /// The engine: encrypt, decrypt, rekey, each with its store transaction.
    Engine,
    /// Conversations: groups of all sizes, an attached file, a long history.
    Conversation(Conversation),
    /// Text messages: reading them, looking for tricks in them.
    Sms,
    /// The key log: publishing, look-ups, proofs, audits, memory.
    Log(Log),
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
    /// idle, online, offline, crash; all where none is named.
    scenarios: Vec<String>,
}

/// Measures.
pub fn run(bench: &Bench) -> Result<()> {
    match bench {
        Bench::Relay(options) => relay(options),
        Bench::Engine => example("waxwing-engine", "bench"),
        Bench::Sms => example("waxwing-sms", "bench_sms"),
        Bench::Conversation(options) => conversation(options),
        Bench::Log(options) => log(options),
    }
}

fn relay(options: &Relay) -> Result<()> {
    let progress = Progress::for_people();
    let packages = [
        ("waxwing-relay-server", "waxwing-relay"),
        ("waxwing-bench", "waxwing-bench"),
    ];
    let programs = build(
        Profile::Release,
        &packages,
        "building the relay and its load",
        progress,
    )?;
    let [relay, load] = <[PathBuf; 2]>::try_from(programs)
        .map_err(|_| anyhow::anyhow!("cargo built another number of programs"))?;
    let scratch = scratch(options.scratch.as_ref())?;
    let mut command = Command::new(load);
    command
        .arg("--relay")
        .arg(relay)
        .arg("--scratch")
        .arg(scratch);
    if options.quick {
        command.arg("--quick");
    }
    command.args(&options.scenarios);
    succeed(&mut command)
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
