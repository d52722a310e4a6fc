//! The Waxwing client: commands, and JSON-RPC for programs.
//!
//! **Elsewhere.** What the commands ask for is done by `waxwing-engine`, driven by
//! `waxwing-client`.
//!
//! **Always.** Exit codes: 0 done, 1 failed, 2 wrong usage, 3 kept in the outbox.

mod cli;
mod keys;
mod output;
mod text;

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    let cli = cli::Cli::parse();
    let filter = tracing_subscriber::EnvFilter::try_from_env("WAXWING_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("off"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .init();

    let output = output::Output::new(cli.json);
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => return output.failed(&cli::Failure::Output(error)),
    };
    let result = runtime.block_on(cli::run(cli, &output));
    // Reading standard input blocks a thread that nothing can end.
    runtime.shutdown_background();
    match result {
        Ok(done) => done.into(),
        Err(failure) => output.failed(&failure),
    }
}
