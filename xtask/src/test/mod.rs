//! `cargo xtask test`: every check that a change must pass.
//!
//! **Elsewhere**: `fuzz` fuzzes with new inputs; the ordinary tests replay the kept ones.
//!
//! **Always**: a failure does not stop the later steps; if a tool is missing, a sentence says
//! how to install it; the last line is `N passed, N failed`.

mod count;
mod fuzz;
mod tools;

use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use self::count::Count;
use crate::progress::{Finished, Progress, tail};
use crate::workspace::{PROGRAMS_ARE_BUILT, cargo, root};

/// No step may take longer.
const STEP_LIMIT: Duration = Duration::from_mins(45);

/// Fetching what only the network has may take this long before it is given up.
const FETCH_LIMIT: Duration = Duration::from_secs(90);

/// What `cargo xtask test` can be told.
#[derive(clap::Args, Debug, Default)]
pub struct Options {
    /// Fuzz with new inputs too, this many seconds a target (60 where CI is set).
    #[arg(long, value_name = "SECONDS")]
    fuzz: Option<u64>,
}

/// Runs every step. True when none failed.
pub fn run(options: &Options) -> Result<bool> {
    let mut test = Test {
        progress: Progress::for_people(),
        in_ci: std::env::var_os("CI").is_some(),
        rows: Vec::new(),
        started: Instant::now(),
    };
    eprintln!("cargo xtask test\n");
    test.formatting()?;
    test.layers()?;
    test.lints()?;
    test.building()?;
    test.peers()?;
    test.tests()?;
    test.documentation()?;
    test.dependencies()?;
    test.fuzzing(options)?;
    Ok(test.conclude())
}

struct Test {
    progress: Progress,
    in_ci: bool,
    rows: Vec<Row>,
    started: Instant,
}

/// A step that is over.
struct Row {
    title: String,
    took: Duration,
    outcome: Outcome,
}

enum Outcome {
    Ran(Count),
    /// With the sentence that says why, and how to change it.
    Skipped(String),
}

impl Test {
    fn formatting(&mut self) -> Result<()> {
        let title = "formatting";
        if !tools::component("rustfmt", self.in_ci) {
            self.skip(
                title,
                "rustfmt is missing: `rustup component add rustfmt` installs it",
            );
            return Ok(());
        }
        self.step(title, cargo().args(["fmt", "--all", "--", "--check"]), one)
    }

    /// Needs no build, so it comes before all that do.
    fn layers(&mut self) -> Result<()> {
        let mut command = Command::new(std::env::current_exe()?);
        self.step("layers", command.arg("layers"), one)
    }

    fn lints(&mut self) -> Result<()> {
        let title = "lints";
        if !tools::component("clippy", self.in_ci) {
            self.skip(
                title,
                "clippy is missing: `rustup component add clippy` installs it",
            );
            return Ok(());
        }
        let mut command = cargo();
        command.args([
            "clippy",
            "--workspace",
            "--all-targets",
            "--",
            "-D",
            "warnings",
        ]);
        self.step(title, &mut command, one)
    }

    /// Everything at once, with the features of all together: what the tests start is there then.
    fn building(&mut self) -> Result<()> {
        let mut command = cargo();
        command.args(["build", "--workspace", "--all-targets"]);
        self.step("building", &mut command, one)
    }

    /// The SMSC that the tests speak with, which we did not write.
    fn peers(&mut self) -> Result<()> {
        let title = "packages of the SMSC for the tests";
        if !tools::npm() {
            self.skip(
                title,
                "npm is missing, so the tests with somebody else's SMSC do not run: install \
                 Node.js",
            );
            return Ok(());
        }
        let mut command = Command::new("npm");
        command
            .args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"])
            .current_dir(root().join("tests/smsc"));
        self.step(title, &mut command, one)
    }

    fn tests(&mut self) -> Result<()> {
        if tools::subcommand("nextest") {
            let mut command = cargo();
            command
                .args([
                    "nextest",
                    "run",
                    "--workspace",
                    "--no-fail-fast",
                    "--color",
                    "never",
                ])
                .env(PROGRAMS_ARE_BUILT, "1");
            self.step("tests", &mut command, count::nextest)?;
            self.step(
                "examples in the documentation",
                &mut cargo_test(&["--doc"]),
                count::cargo_test,
            )
        } else {
            eprintln!(
                "    cargo-nextest is missing, so the slower `cargo test` runs; `cargo install \
                 cargo-nextest --locked` installs it"
            );
            self.step("tests", &mut cargo_test(&[]), count::cargo_test)
        }
    }

    fn documentation(&mut self) -> Result<()> {
        let mut command = cargo();
        command
            .args([
                "doc",
                "--workspace",
                "--no-deps",
                "--document-private-items",
            ])
            // Private items are documented too, so links to them lead somewhere.
            .env(
                "RUSTDOCFLAGS",
                "-D warnings -A rustdoc::private-intra-doc-links",
            );
        self.step("documentation", &mut command, one)
    }

    fn dependencies(&mut self) -> Result<()> {
        let title = "licences, bans, sources";
        if let Err(why) = tools::install("deny", "cargo-deny", self.in_ci, self.progress) {
            self.skip(title, &why);
            self.skip("known vulnerabilities", &why);
            return Ok(());
        }
        let deny = |arguments: &[&str]| {
            let mut command = cargo();
            command.args(["deny", "--color", "never"]).args(arguments);
            command
        };
        self.step(
            title,
            &mut deny(&["check", "bans", "licenses", "sources"]),
            one,
        )?;

        let step = self.progress.step("fetching the advisory database");
        let fetched = step.run(&mut deny(&["fetch", "db"]), Some(FETCH_LIMIT))?;
        if fetched.success() {
            step.done("");
            return self.step(
                "known vulnerabilities",
                &mut deny(&["check", "advisories"]),
                one,
            );
        }
        step.skipped("the network cannot reach it");
        let cached = tools::advisories_are_cached();
        if cached {
            let mut command = deny(&["check", "--disable-fetch", "advisories"]);
            return self.step("known vulnerabilities (as last fetched)", &mut command, one);
        }
        self.skip(
            "known vulnerabilities",
            "NOT checked: the advisory database could not be fetched. With a network, `cargo deny \
             check advisories` checks them",
        );
        Ok(())
    }

    fn fuzzing(&mut self, options: &Options) -> Result<()> {
        let title = "fuzzing with new inputs";
        let seconds = match (options.fuzz, self.in_ci) {
            (Some(seconds), _) => seconds,
            (None, true) => fuzz::SECONDS,
            (None, false) => {
                self.skip(
                    title,
                    "only where CI is set, or with `--fuzz 60`; kept inputs were replayed",
                );
                return Ok(());
            }
        };
        let began = Instant::now();
        match fuzz::run(seconds, self.in_ci, self.progress)? {
            fuzz::Fuzzed::NotPossible(why) => self.skip(title, &why),
            fuzz::Fuzzed::Ran(count) => self.row(title, began.elapsed(), count),
        }
        Ok(())
    }

    /// Runs one step; `count` reads how many tests passed and failed from its output.
    fn step(
        &mut self,
        title: &str,
        command: &mut Command,
        count: fn(&Finished) -> Count,
    ) -> Result<()> {
        let step = self.progress.step(title);
        let finished = step.run(command, Some(STEP_LIMIT))?;
        let took = step.elapsed();
        let log = self.keep_log(title, &finished)?;
        let count = count(&finished).agreeing_with(finished.success());
        if count.failed == 0 {
            step.done(&if count.passed > 1 {
                format!("{} passed", count.passed)
            } else {
                String::new()
            });
        } else {
            step.failed();
            if finished.out_of_time {
                eprintln!(
                    "    stopped: it took longer than {} minutes",
                    STEP_LIMIT.as_secs() / 60
                );
            }
            eprintln!("{}\n    the full log: {log}\n", tail(&finished.output, 150));
        }
        self.row(title, took, count);
        Ok(())
    }

    fn row(&mut self, title: &str, took: Duration, count: Count) {
        self.rows.push(Row {
            title: title.to_owned(),
            took,
            outcome: Outcome::Ran(count),
        });
    }

    fn skip(&mut self, title: &str, why: &str) {
        self.progress.step(title).skipped("not run, see below");
        let outcome = Outcome::Skipped(why.to_owned());
        self.rows.push(Row {
            title: title.to_owned(),
            took: Duration::ZERO,
            outcome,
        });
    }

    fn keep_log(&self, title: &str, finished: &Finished) -> Result<String> {
        let folder = root().join("target/xtask/test");
        std::fs::create_dir_all(&folder).context("cannot make a folder for the logs")?;
        let name: String = title
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
            .collect();
        let path = folder.join(format!("{}-{name}.log", self.rows.len()));
        std::fs::write(&path, &finished.output).context("cannot write a log")?;
        Ok(path.display().to_string())
    }

    /// The table, the sentences about what is missing, and the last line.
    fn conclude(&self) -> bool {
        println!(
            "\n  {:<40} {:>8} {:>8} {:>9}",
            "step", "passed", "failed", "time"
        );
        let mut total = Count::default();
        for row in &self.rows {
            let seconds = format!("{:.1} s", row.took.as_secs_f64());
            match &row.outcome {
                Outcome::Ran(count) => {
                    total = total.and(*count);
                    println!(
                        "  {:<40} {:>8} {:>8} {seconds:>9}",
                        row.title, count.passed, count.failed
                    );
                }
                Outcome::Skipped(_) => println!("  {:<40} {:>8} {:>8}", row.title, "–", "–"),
            }
        }
        println!();
        for row in &self.rows {
            if let Outcome::Skipped(why) = &row.outcome {
                println!("  not run: {}: {why}.", row.title);
            }
        }
        println!("  took {} s", self.started.elapsed().as_secs());
        println!("{} passed, {} failed", total.passed, total.failed);
        total.failed == 0
    }
}

fn cargo_test(arguments: &[&str]) -> Command {
    let mut command = cargo();
    command
        .args(["test", "--workspace", "--no-fail-fast"])
        .args(arguments)
        .env(PROGRAMS_ARE_BUILT, "1");
    command
}

/// A step that is one check.
fn one(finished: &Finished) -> Count {
    if finished.success() {
        Count {
            passed: 1,
            failed: 0,
        }
    } else {
        Count {
            passed: 0,
            failed: 1,
        }
    }
}
