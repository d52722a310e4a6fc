//! `cargo xtask page`: builds the page of the app into `page/dist`, where `waxwing-app` finds it.
//!
//! **Elsewhere**: the page's own tools are in `page/package.json`.
//!
//! **Always**: packages come from the lock file only, and run no scripts of their own.

use std::process::Command;

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::workspace::root;

/// Options of `cargo xtask page`.
#[derive(Debug, Default, Args)]
pub struct Options {
    /// Also check the page's types and run its tests
    #[arg(long)]
    check: bool,
}

/// Builds the page; whether everything that was asked for passed.
pub fn run(options: &Options) -> Result<bool> {
    npm(&["ci", "--ignore-scripts", "--no-audit", "--no-fund"])?;
    if options.check {
        npm(&["run", "check"])?;
        npm(&["run", "test"])?;
    }
    npm(&["run", "build"])?;
    Ok(true)
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
