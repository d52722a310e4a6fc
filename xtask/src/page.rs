//! `cargo xtask page`: builds the page of the app into `page/dist`, where `waxwing-app` finds it.
//!
//! **Elsewhere**: the page's own tools are in `page/package.json`, its tests in a browser in
//! `page/e2e`.
//!
//! **Always**: packages come from the lock file only, and run no scripts of their own.

use std::process::Command;

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::progress::Progress;
use crate::workspace::{Profile, build, root};

/// Options of `cargo xtask page`.
#[derive(Debug, Default, Args)]
pub struct Options {
    /// Also check the page's types and run its tests
    #[arg(long)]
    check: bool,
    /// Also drive it in Chromium: every screen, and two people with two clients and a relay
    #[arg(long)]
    browser: bool,
}

/// Builds the page; whether everything that was asked for passed.
pub fn run(options: &Options) -> Result<bool> {
    npm(&["ci", "--ignore-scripts", "--no-audit", "--no-fund"])?;
    if options.check {
        npm(&["run", "check"])?;
        npm(&["run", "test"])?;
    }
    npm(&["run", "build"])?;
    if options.browser {
        npm(&["run", "build:fake"])?;
        let mut command = with_programs(Profile::Dev)?;
        let status = command.args(["run", "e2e"]).status()?;
        return Ok(status.success());
    }
    Ok(true)
}

/// Measures the page in Chromium, with a store of many messages.
pub fn bench(messages: u32) -> Result<()> {
    npm(&["ci", "--ignore-scripts", "--no-audit", "--no-fund"])?;
    npm(&["run", "build"])?;
    let mut command = with_programs(Profile::Release)?;
    let messages = messages.to_string();
    let arguments = [
        "exec",
        "--",
        "node",
        "e2e/bench.mjs",
        "--messages",
        &messages,
    ];
    let status = command.args(arguments).status()?;
    if !status.success() {
        bail!("the measurement failed: {status}");
    }
    Ok(())
}

/// npm, in the page's folder, with the programs that its tests drive.
fn with_programs(profile: Profile) -> Result<Command> {
    let packages = [
        ("waxwing", "waxwing"),
        ("waxwing-relay-server", "waxwing-relay"),
    ];
    let programs = build(
        profile,
        &packages,
        "building the client and the relay",
        Progress::for_people(),
    )?;
    let mut command = Command::new("npm");
    command.current_dir(root().join("page"));
    for (name, program) in ["WAXWING", "WAXWING_RELAY"].iter().zip(programs) {
        command.env(name, program);
    }
    Ok(command)
}

fn npm(arguments: &[&str]) -> Result<()> {
    let status = Command::new("npm")
        .args(arguments)
        .current_dir(root().join("page"))
        .status()
        .context("npm does not run: the page needs Node.js 20 or later")?;
    if !status.success() {
        bail!("npm {} failed", arguments.join(" "));
    }
    Ok(())
}
