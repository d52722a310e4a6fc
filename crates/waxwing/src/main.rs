//! The Waxwing client: commands, and JSON-RPC for programs.
//!
//! **Elsewhere.** `waxwing-engine`, driven by `waxwing-client`, does what the commands ask
//! for; `waxwing-auditor` does an auditor's checks.
//!
//! **Always.** Exit codes: 0 done, 1 failed, 2 wrong usage, 3 waiting in the outbox. They tell what
//! happened, whatever happens to the output.

mod cli;
mod keys;
mod outcome;
mod output;
mod prompt;
mod qr;
mod sentence;
mod text;

use std::io::IsTerminal as _;
use std::process::ExitCode;

use clap::Parser as _;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

/// `WAXWING_LOG` chooses the level, for instance `debug`; without it nothing is logged.
fn start_log() {
    let level = std::env::var("WAXWING_LOG")
        .ok()
        .and_then(|level| level.parse::<LevelFilter>().ok())
        .unwrap_or(LevelFilter::OFF);
    // Libraries log what they handle, such as frames with addresses and codes: only ours are let
    // through, no matter what is asked for.
    let ours = ["waxwing", "waxwing_client", "waxwing_engine"];
    let filter = ours.map(|name| format!("{name}={level}")).join(",");
    tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new(format!("off,{filter}")))
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .init();
}

fn main() -> ExitCode {
    let cli = match cli::Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // What was wrong may stand before `--json`.
            let mut words = std::env::args_os().skip(1).take_while(|word| word != "--");
            return output::Output::new(words.any(|word| word == "--json")).wrong_usage(&error);
        }
    };
    start_log();

    let output = output::Output::new(cli.json);
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => return output.failed(&outcome::Failure::Io(error)),
    };
    let result = runtime.block_on(cli::run(cli, &output));
    // Reading standard input blocks a thread that nothing can end.
    runtime.shutdown_background();
    output.end(result)
}
