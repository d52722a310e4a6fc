//! `waxwing-bench-hostile`: how a release relay treats honest people while somebody attacks it.
//!
//! **Elsewhere**: `cargo xtask bench hostile` builds and starts this; what its figures mean is
//! `docs/benchmarks.md`. Attacks that take more than a machine's loopback (a whole prefix of
//! IPv6, a full disk, a wrong clock) are tests of the relay.
//!
//! **Always**: each attack has a relay and people of its own. Standard output holds JSON, one
//! object a line; everything for people goes to standard error.

// Figures are made for people: a rate that is off by 2^-53 is not off.
#![allow(clippy::cast_precision_loss)]

mod attacker;
mod attacks;
mod people;

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use clap::Parser;
use serde_json::json;
use tokio::task::JoinHandle;
use waxwing_bench::process::{Process, raise_open_files};
use waxwing_bench::report::{Line, rounded};
use waxwing_bench::scenario::World;
use xtask::progress::Progress;
use xtask::relay::PLENTY_OF_CODES;

use crate::attacker::{Attack, Attacker};
use crate::attacks::ATTACKS;
use crate::people::{People, Phase};

/// How long each phase takes.
const LENGTH: Duration = Duration::from_secs(10);
/// The same with `--quick`.
const QUICK: Duration = Duration::from_secs(3);
/// For what was begun in a phase, once it is over.
const PATIENCE: Duration = Duration::from_secs(30);
/// For what the relay does after the last link is gone.
const SETTLE: Duration = Duration::from_secs(3);
/// How often the relay's memory is looked at.
const LOOK: Duration = Duration::from_millis(20);
/// What others have to wait, at most, in milliseconds: the 99th percentile.
const AIM: f64 = 10.0;

#[derive(Parser)]
#[command(about = "Attacks a Waxwing relay, and measures what others notice of it")]
struct Arguments {
    /// The relay's program. Given several times, each attack is made on one after the other,
    /// and each line says on which.
    #[arg(long, required = true)]
    relay: Vec<PathBuf>,
    /// Where its data directories are made; the system's place for temporary files
    /// otherwise. Should be on a real disk.
    #[arg(long)]
    scratch: Option<PathBuf>,
    /// 3 s for each phase instead of 10.
    #[arg(long)]
    quick: bool,
    /// This attack only; can be given several times.
    #[arg(long, value_name = "NAME")]
    only: Vec<String>,
    /// Lists the attacks.
    #[arg(long)]
    list: bool,
    /// Fails where others had to wait longer than they should, or were refused something.
    #[arg(long)]
    check: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if arguments.list {
        for attack in ATTACKS {
            println!("{:<20} {}", attack.name, attack.what);
        }
        return ExitCode::SUCCESS;
    }
    let runtime = tokio::runtime::Runtime::new().map_err(anyhow::Error::from);
    match runtime.and_then(|runtime| runtime.block_on(run(&arguments))) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("\nwaxwing-bench-hostile: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: &Arguments) -> Result<()> {
    raise_open_files()?;
    for name in &arguments.only {
        if !ATTACKS.iter().any(|attack| attack.name == name) {
            bail!("there is no attack {name}: --list names them");
        }
    }
    let chosen = ATTACKS.iter().filter(|attack| {
        arguments.only.is_empty() || arguments.only.iter().any(|name| name == attack.name)
    });
    let length = if arguments.quick { QUICK } else { LENGTH };
    let (mut rows, mut missed) = (Vec::new(), Vec::new());
    for attack in chosen {
        for relay in &arguments.relay {
            let name = (arguments.relay.len() > 1).then(|| relay.display().to_string());
            // An attack on the codes meets the relay's own limits.
            let codes = PLENTY_OF_CODES.filter(|_| !attack.name.starts_with("codes"));
            let mut world = World::start(relay, arguments.scratch.as_ref(), codes)?;
            let result = Box::pin(one(attack, &world, length))
                .await
                .with_context(|| format!("while measuring {}", attack.name))?;
            let line = match name {
                Some(name) => result.line.field("relay", name),
                None => result.line,
            };
            line.print();
            rows.push(result.row);
            if !result.aim_reached {
                missed.push(attack.name);
            }
            world.kill()?;
        }
    }
    eprintln!(
        "| attack | p50 | p99 | longest | p99 without | relay's memory before, peak, after | disk | relay's CPU | refused to others | the attacker |"
    );
    eprintln!("| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |");
    for row in &rows {
        eprintln!("{row}");
    }
    if missed.is_empty() || !arguments.check {
        Ok(())
    } else {
        bail!("others noticed: {}", missed.join(", "));
    }
}

struct Measured {
    line: Line,
    row: String,
    aim_reached: bool,
}

/// One attack on a relay of its own.
async fn one(attack: &'static Attack, world: &World, length: Duration) -> Result<Measured> {
    let progress = Progress::for_people();
    eprintln!("\n{}: {}", attack.name, attack.what);
    let people = Box::pin(People::start(world, progress)).await?;
    let step = progress.step("preparing the attack");
    let attacker = Attacker::prepare(
        attack,
        world.target.clone(),
        Arc::clone(&world.mail),
        people.away,
        People::newcomers(length),
    )
    .await?;
    tokio::time::sleep(Duration::from_secs(1)).await;
    step.done("");

    let process = world.process()?;
    let step = progress.step("without the attack");
    let cpu = process.cpu()?;
    people.enter(Phase::Quiet);
    tokio::time::sleep(length).await;
    people.enter(Phase::Between);
    let quiet_cpu = process.cpu()?.saturating_sub(cpu);
    people.finish(Phase::Quiet, PATIENCE).await;
    step.done("");

    let step = progress.step("with it");
    let (memory, disk) = (process.resident_kib()?, bytes_below(world.data())?);
    let (peak, watching) = watch(process, memory);
    let (cpu, its_cpu) = (process.cpu()?, attacker.cpu());
    people.enter(Phase::Attacked);
    attacker.begin(length);
    tokio::time::sleep(length.saturating_sub(Duration::from_millis(50))).await;
    // Before its thread ends, and its figures with it.
    let its_cpu = attacker.cpu().saturating_sub(its_cpu);
    tokio::time::sleep(Duration::from_millis(50)).await;
    people.enter(Phase::Between);
    let attacked_cpu = process.cpu()?.saturating_sub(cpu);
    let attacker = attacker.finish().await?;
    people.finish(Phase::Attacked, PATIENCE).await;
    step.done("");
    let step = progress.step("afterwards");
    tokio::time::sleep(SETTLE).await;
    watching.abort();
    let memory_after = process.resident_kib()?;
    let grown = bytes_below(world.data())?.saturating_sub(disk);
    let peak = peak.load(Ordering::SeqCst).max(memory_after);
    let (quiet, attacked) = (people.ledger(Phase::Quiet), people.ledger(Phase::Attacked));
    let (p99, refusals) = (attacked.worst_at(0.99), attacked.refusals());
    let aim_reached = p99 < AIM && refusals == 0 && attacked.open() == 0;
    let mib = |kib: u64| rounded(kib as f64 / 1024.0, 1);
    let seconds = |span: Duration| rounded(span.as_secs_f64(), 2);
    let grown_mib = mib(grown / 1024);
    let line = Line::new("hostile")
        .field("attack", attack.name)
        .field("seconds", length.as_secs())
        .field("worst_p99_ms", p99)
        .field("honest_refused", refusals)
        .field("aim_reached", aim_reached)
        .field("with", attacked.figures())
        .field("without", quiet.figures())
        .field(
            "rss_mib",
            json!({"before": mib(memory), "peak": mib(peak), "after": mib(memory_after)}),
        )
        .field("disk_grown_mib", grown_mib)
        .field(
            "cpu_s",
            json!({
                "relay_without": seconds(quiet_cpu),
                "relay_with": seconds(attacked_cpu),
                "attacker": seconds(its_cpu),
            }),
        )
        .field("attacker", attacker.clone());
    let row = format!(
        "| {} | {} | {} | {} | {} | {}, {}, {} MiB | {} MiB | {} s | {} | {} |",
        attack.name,
        attacked.worst_at(0.5),
        p99,
        attacked.worst_at(1.0),
        quiet.worst_at(0.99),
        mib(memory),
        mib(peak),
        mib(memory_after),
        grown_mib,
        seconds(attacked_cpu),
        refusals + attacked.open(),
        said(&attacker),
    );
    step.done("");
    people.leave().await;
    Ok(Measured {
        line,
        row,
        aim_reached,
    })
}

/// What became of an attack, for people.
fn said(attacker: &serde_json::Value) -> String {
    let number = |name: &str| attacker.get(name).and_then(serde_json::Value::as_u64);
    let mut said = format!(
        "{} of {} answered",
        number("answered").unwrap_or(0),
        number("requests").unwrap_or(0)
    );
    let refused = attacker.get("refused").and_then(|all| all.as_object());
    for (why, count) in refused.into_iter().flatten() {
        // Writing to a string cannot fail.
        let _ = write!(said, ", {count} {why}");
    }
    if let Some(cut) = number("links_cut").filter(|cut| *cut > 0) {
        let first = number("first_cut_after_ms").unwrap_or(0);
        let _ = write!(said, ", {cut} links cut, the first after {first} ms");
    }
    said
}

/// Looks at the relay's memory all the time; the most that there was.
fn watch(process: Process, first: u64) -> (Arc<AtomicU64>, JoinHandle<()>) {
    let peak = Arc::new(AtomicU64::new(first));
    let seen = Arc::clone(&peak);
    let watching = tokio::spawn(async move {
        while let Ok(kib) = process.resident_kib() {
            seen.fetch_max(kib, Ordering::SeqCst);
            tokio::time::sleep(LOOK).await;
        }
    });
    (peak, watching)
}

/// What a directory takes on the disk.
fn bytes_below(folder: &Path) -> Result<u64> {
    use std::os::unix::fs::MetadataExt as _;
    let mut bytes = 0;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        // A file may be gone meanwhile.
        let Ok(known) = entry.metadata() else {
            continue;
        };
        bytes += if known.is_dir() {
            bytes_below(&entry.path()).unwrap_or(0)
        } else {
            known.blocks() * 512
        };
    }
    Ok(bytes)
}
