//! `waxwing-bench`: drives a release relay over TLS, from a process of its own.
//!
//! **Elsewhere**: `cargo xtask bench relay` builds the relay and starts this; what its
//! figures mean is `docs/benchmarks.md`.
//!
//! **Always**: standard output holds JSON, one object a line; everything for people
//! goes to standard error.

// Figures are made for people: a rate that is off by 2^-53 is not off.
#![allow(clippy::cast_precision_loss)]

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::{Parser, ValueEnum};
use xtask::progress::Progress;
use xtask::relay::PLENTY_OF_CODES;

use waxwing_bench::scenario::{World, crash, idle, offline, online};

#[derive(Parser)]
#[command(about = "Measures a Waxwing relay")]
struct Arguments {
    /// The relay's program. Given several times, each scenario is run with one after the
    /// other, and each line says with which.
    #[arg(long, required = true)]
    relay: Vec<PathBuf>,
    /// Where its data directories are made; the system's place for temporary files
    /// otherwise. Should be on a real disk.
    #[arg(long)]
    scratch: Option<PathBuf>,
    /// A tenth of everything, to see that it works.
    #[arg(long)]
    quick: bool,
    /// Which scenarios; all where none is named.
    scenarios: Vec<Scenario>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Scenario {
    Idle,
    Online,
    Offline,
    Crash,
}

fn main() -> ExitCode {
    let runtime = tokio::runtime::Runtime::new().map_err(anyhow::Error::from);
    match runtime.and_then(|runtime| runtime.block_on(run(&Arguments::parse()))) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("\nwaxwing-bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: &Arguments) -> Result<()> {
    let progress = Progress::for_people();
    let open_files = waxwing_bench::process::raise_open_files()?;
    let part = if arguments.quick { 10 } else { 1 };
    let all = [
        Scenario::Idle,
        Scenario::Online,
        Scenario::Offline,
        Scenario::Crash,
    ];
    let chosen = if arguments.scenarios.is_empty() {
        &all[..]
    } else {
        &arguments.scenarios
    };
    let runs = chosen
        .iter()
        .flat_map(|scenario| arguments.relay.iter().map(move |relay| (scenario, relay)));
    for (scenario, relay) in runs {
        let mut world = World::start(relay, arguments.scratch.as_ref(), PLENTY_OF_CODES)?;
        let line = match scenario {
            Scenario::Idle => {
                let wanted = 10_000 / part;
                let room = usize::try_from(open_files.saturating_sub(500))?;
                if room < wanted {
                    eprintln!("  only {open_files} files may be open here, so {room} links");
                }
                idle::run(&mut world, wanted.min(room), progress).await?
            }
            Scenario::Online => Box::pin(online::run(&world, 1_000 / part, 256, progress)).await?,
            Scenario::Offline => {
                offline::run(&world, 200_000 / part, 1_024, 200 / part, progress).await?
            }
            Scenario::Crash => crash::run(&mut world, 100 / part, progress).await?,
        };
        let line = if arguments.relay.len() > 1 {
            line.field("relay", relay.display().to_string())
        } else {
            line
        };
        line.print();
        if *scenario == Scenario::Crash && !line.is("lost", 0) {
            bail!("acknowledged messages were lost");
        }
    }
    Ok(())
}
