//! `cargo xtask fuzz`: new inputs for each parser, from a fuzzer that is guided by what of the
//! code each input reaches.
//!
//! It compiles everything again, with nightly and a sanitizer: ten minutes on two cores. That
//! is why `cargo xtask test` does not fuzz, and gives each parser seeded changes of its kept
//! inputs instead.
//!
//! **Elsewhere**: what the targets do, and their kept inputs, are in `fuzz/`.
//!
//! **Always**: new inputs go to `target/`, so that a run does not change the repository; the
//! whole takes about `targets * seconds / cores`.

use std::collections::VecDeque;
use std::num::NonZero;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::progress::{Progress, tail};
use crate::tools;
use crate::workspace::root;

/// A target that has not ended this long after its time is ended.
const GRACE: Duration = Duration::from_mins(1);

/// What `cargo xtask fuzz` can be told.
#[derive(clap::Args, Debug)]
pub struct Options {
    /// Fuzz these targets only; the folders of `fuzz/corpus` name them.
    targets: Vec<String>,
    /// Fuzz each target for this many seconds.
    #[arg(long, default_value_t = 60)]
    seconds: u64,
}

/// Fuzzes the targets. True when nothing was found.
pub fn run(options: &Options) -> Result<bool> {
    let progress = Progress::for_people();
    if tools::nightly().is_none_or(|version| version < (1, 95)) {
        bail!("it needs a current nightly: `rustup toolchain install nightly` installs it");
    }
    if !tools::subcommand("fuzz") {
        bail!("it needs cargo-fuzz: `cargo install cargo-fuzz --locked` installs it");
    }
    let listed = cargo_fuzz(&["list"]).output()?;
    let listed = String::from_utf8(listed.stdout)?;
    let all: Vec<String> = listed.split_whitespace().map(str::to_owned).collect();
    if let Some(unknown) = options.targets.iter().find(|name| !all.contains(name)) {
        bail!("there is no target {unknown}; there are {}", all.join(", "));
    }
    let targets = if options.targets.is_empty() {
        &all
    } else {
        &options.targets
    };
    let step = progress.step("building the fuzz targets");
    let built = step.run(&mut cargo_fuzz(&["build"]), None)?;
    if !built.success() {
        step.failed();
        bail!("the targets do not build:\n{}", built.error_text());
    }
    step.done("");
    fuzz_all(targets, options.seconds, progress)
}

fn cargo_fuzz(arguments: &[&str]) -> std::process::Command {
    let mut command = tools::rustup_cargo(&["+nightly", "fuzz"]);
    command.args(arguments);
    // What is fuzzed is ours: where the system has OpenSSL, minutes need not go into it.
    if tools::has_openssl() {
        command.env("OPENSSL_NO_VENDOR", "1");
    }
    command
}

fn fuzz_all(targets: &[String], seconds: u64, progress: Progress) -> Result<bool> {
    let workers = thread::available_parallelism()
        .map_or(1, NonZero::get)
        .min(8);
    let waiting = Mutex::new(targets.iter().cloned().collect::<VecDeque<_>>());
    let ended = AtomicUsize::new(0);
    let step = progress.step(&format!(
        "fuzzing {} targets, {seconds} s each",
        targets.len()
    ));
    let outcomes: Vec<(String, Result<Option<String>>)> = thread::scope(|scope| {
        let running: Vec<_> = (0..workers)
            .map(|_| {
                scope.spawn(|| {
                    let mut own = Vec::new();
                    while let Some(target) = next(&waiting) {
                        let outcome = fuzz_one(&target, seconds);
                        ended.fetch_add(1, Ordering::Relaxed);
                        own.push((target, outcome));
                    }
                    own
                })
            })
            .collect();
        while running.iter().any(|worker| !worker.is_finished()) {
            step.say(&format!(
                "{} of {} done",
                ended.load(Ordering::Relaxed),
                targets.len()
            ));
            thread::sleep(Duration::from_millis(250));
        }
        running
            .into_iter()
            .filter_map(|worker| worker.join().ok())
            .flatten()
            .collect()
    });

    let mut reports = Vec::new();
    for (target, outcome) in outcomes {
        if let Some(report) = outcome? {
            reports.push(format!("    {target} found something:\n{report}\n"));
        }
    }
    if reports.is_empty() {
        step.done("nothing found");
    } else {
        step.failed();
    }
    for report in &reports {
        eprintln!("{report}");
    }
    Ok(reports.is_empty())
}

fn next(waiting: &Mutex<VecDeque<String>>) -> Option<String> {
    waiting.lock().ok()?.pop_front()
}

/// What the target found, if it found anything.
fn fuzz_one(target: &str, seconds: u64) -> Result<Option<String>> {
    let fresh = root().join("target/xtask/fuzz").join(target);
    std::fs::create_dir_all(&fresh).context("cannot make a folder for new inputs")?;
    let kept = root().join("fuzz/corpus").join(target);
    let mut command = cargo_fuzz(&["run", target]);
    command.arg(&fresh);
    if kept.is_dir() {
        command.arg(&kept);
    }
    command
        .arg("--")
        .arg(format!("-max_total_time={seconds}"))
        .arg("-rss_limit_mb=4096");
    let limit = Duration::from_secs(seconds) + GRACE;
    let finished = Progress::silent()
        .step(target)
        .run(&mut command, Some(limit))?;
    Ok((!finished.success()).then(|| tail(&finished.output, 80)))
}
