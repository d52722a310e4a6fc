//! Fuzzing each parser with new inputs for a while.
//!
//! **Elsewhere**: the targets and their kept inputs are in `fuzz/`; replaying those is
//! part of the ordinary tests and needs neither nightly nor cargo-fuzz.
//!
//! **Always**: new inputs go to `target/`, so that a run does not change the
//! repository; the whole takes about `targets * seconds / cores`.

use std::collections::VecDeque;
use std::num::NonZero;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};

use super::count::Count;
use super::tools;
use crate::progress::{Progress, tail};
use crate::workspace::root;

/// For each target, where nothing else is asked for. The kept inputs are replayed besides; to look for
/// faults by hand, take longer (`--fuzz SECONDS`).
pub const SECONDS: u64 = 20;

/// Building SQLCipher, OpenSSL and OpenMLS with the sanitizer takes long; a machine that
/// needs longer than this says so and goes without.
const BUILD_LIMIT: Duration = Duration::from_mins(25);

/// A target that has not ended this long after its time is ended.
const GRACE: Duration = Duration::from_mins(1);

/// What became of it.
pub enum Fuzzed {
    /// With the sentence for people.
    NotPossible(String),
    /// One for each target.
    Ran(Count),
}

/// Fuzzes every target for `seconds`.
pub fn run(seconds: u64, in_ci: bool, progress: Progress) -> Result<Fuzzed> {
    if !root().join("fuzz/Cargo.toml").exists() {
        return Ok(Fuzzed::NotPossible("there are no fuzz targets".to_owned()));
    }
    let needed = (1, 95);
    match tools::nightly() {
        Some(version) if version >= needed => {}
        _ => {
            return Ok(Fuzzed::NotPossible(
                "it needs a current nightly: `rustup toolchain install nightly` installs it"
                    .to_owned(),
            ));
        }
    }
    if let Err(why) = tools::install("fuzz", "cargo-fuzz", in_ci, progress) {
        return Ok(Fuzzed::NotPossible(why));
    }

    let step = progress.step("building the fuzz targets");
    let mut build = tools::rustup_cargo(&["+nightly", "fuzz", "build"]);
    // What is fuzzed is ours: where the system has OpenSSL, minutes need not go into it.
    if tools::has_openssl() {
        build.env("OPENSSL_NO_VENDOR", "1");
    }
    let built = step.run(&mut build, Some(BUILD_LIMIT))?;
    if built.out_of_time {
        step.failed();
        return Ok(Fuzzed::NotPossible(format!(
            "this machine did not build the targets within {} minutes; the kept inputs were \
             replayed by the ordinary tests",
            BUILD_LIMIT.as_secs() / 60
        )));
    }
    if !built.success() {
        step.failed();
        eprintln!("{}", tail(&built.output, 60));
        return Ok(Fuzzed::Ran(Count {
            passed: 0,
            failed: 1,
        }));
    }
    step.done("");
    let listed = tools::rustup_cargo(&["+nightly", "fuzz", "list"]).output()?;
    let targets: Vec<String> = String::from_utf8_lossy(&listed.stdout)
        .split_whitespace()
        .map(str::to_owned)
        .collect();
    fuzz_all(&targets, seconds, progress).map(Fuzzed::Ran)
}

fn fuzz_all(targets: &[String], seconds: u64, progress: Progress) -> Result<Count> {
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

    let mut count = Count::default();
    let mut reports = Vec::new();
    for (target, outcome) in outcomes {
        if let Some(report) = outcome? {
            count.failed += 1;
            reports.push(format!("    {target} found something:\n{report}\n"));
        } else {
            count.passed += 1;
        }
    }
    if count.failed == 0 {
        step.done(&format!("{} passed", count.passed));
    } else {
        step.failed();
    }
    for report in reports {
        eprintln!("{report}");
    }
    Ok(count)
}

fn next(waiting: &Mutex<VecDeque<String>>) -> Option<String> {
    waiting.lock().ok()?.pop_front()
}

/// What the target found, if it found anything.
fn fuzz_one(target: &str, seconds: u64) -> Result<Option<String>> {
    let fresh = root().join("target/xtask/fuzz").join(target);
    std::fs::create_dir_all(&fresh).context("cannot make a folder for new inputs")?;
    let kept = root().join("fuzz/corpus").join(target);
    let mut command = tools::rustup_cargo(&["+nightly", "fuzz", "run", target]);
    if tools::has_openssl() {
        command.env("OPENSSL_NO_VENDOR", "1");
    }
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
