//! `cargo xtask test`: every check that a change must pass.
//!
//! **Elsewhere**: `quick` checks only what a change touches; `fuzz` looks for new inputs with
//! a fuzzer, which takes too long to build for every change.
//!
//! **Always**: nothing is compiled twice. All steps select the whole workspace, because cargo
//! compiles a dependency again for each other set of features; if a tool is missing, a
//! sentence says how to install it. Where that tool is compiled, it is compiled beside the
//! steps, with the time in which they leave a processor idle.

use std::num::NonZero;
use std::process::{Child, Command};
use std::thread;
use std::time::Duration;

use anyhow::Result;

use crate::count;
use crate::steps::{Steps, one};
use crate::tools;
use crate::workspace::{PROGRAMS_ARE_BUILT, cargo, root};

/// Fetching what only the network has may take this long before it is given up.
const FETCH_LIMIT: Duration = Duration::from_secs(90);

/// Each parser gets new inputs for so many seconds where CI is set.
const SECONDS_OF_NEW_INPUTS: u64 = 10;

/// Where the tests of `fuzz/targets` read how many seconds of new inputs each target gets.
const NEW_INPUTS: &str = "WAXWING_NEW_INPUTS_SECONDS";

/// The tests that give each parser its inputs.
const PARSERS: &str = "test(each_target_holds_on)";

/// What `cargo xtask test` can be told.
#[derive(clap::Args, Debug, Default)]
pub struct Options {
    /// Give each parser new inputs for this many seconds (10 where CI is set, or else none).
    #[arg(long, value_name = "SECONDS")]
    new_inputs: Option<u64>,
}

/// Runs every step. True when none failed.
pub fn run(options: &Options) -> Result<bool> {
    let in_ci = std::env::var_os("CI").is_some();
    let deny = if in_ci {
        tools::install_beside("deny", "cargo-deny")
    } else {
        None
    };
    let mut test = Test {
        steps: Steps::begin("test"),
        in_ci,
        new_inputs: options
            .new_inputs
            .or(in_ci.then_some(SECONDS_OF_NEW_INPUTS)),
    };
    test.formatting()?;
    test.layers()?;
    test.lints()?;
    test.documentation()?;
    test.building()?;
    test.peers()?;
    test.tests()?;
    test.new_inputs()?;
    test.dependencies(deny)?;
    Ok(test.steps.conclude())
}

struct Test {
    steps: Steps,
    in_ci: bool,
    /// For how many seconds each parser gets new inputs.
    new_inputs: Option<u64>,
}

impl Test {
    fn formatting(&mut self) -> Result<()> {
        let title = "formatting";
        if !tools::component("rustfmt", self.in_ci) {
            self.steps.skip(
                title,
                "rustfmt is missing: `rustup component add rustfmt` installs it",
            );
            return Ok(());
        }
        let mut command = cargo();
        self.steps
            .run(title, command.args(["fmt", "--all", "--", "--check"]), one)
    }

    /// Needs no build, so it comes before all that do.
    fn layers(&mut self) -> Result<()> {
        let mut command = Command::new(std::env::current_exe()?);
        self.steps.run("layers", command.arg("layers"), one)
    }

    fn lints(&mut self) -> Result<()> {
        let title = "lints";
        if !tools::component("clippy", self.in_ci) {
            self.steps.skip(
                title,
                "clippy is missing: `rustup component add clippy` installs it",
            );
            return Ok(());
        }
        let mut command = cargo();
        command.args(["clippy", "--workspace", "--all-targets"]);
        self.steps
            .run(title, command.args(["--", "-D", "warnings"]), one)
    }

    fn documentation(&mut self) -> Result<()> {
        let mut command = cargo();
        command
            .args(["doc", "--workspace", "--no-deps"])
            .arg("--document-private-items")
            // With an example among what is documented, cargo selects the features that tests
            // have too, which the lints were checked with.
            .args(["--lib", "--example", "freeze"])
            // A program with the name of its library would have the same page.
            .args(["--bin", "waxwing", "--bin", "waxwing-relay"])
            .args(["--bin", "waxwing-bench-*", "--bin", "xtask-*"])
            // Private items are documented too, so links to them lead somewhere.
            .env(
                "RUSTDOCFLAGS",
                "-D warnings -A rustdoc::private-intra-doc-links",
            );
        tools::reuse_what_clippy_checked(&mut command);
        self.steps.run("documentation", &mut command, one)
    }

    /// Everything at once, with the features of all together: what the tests start is there then.
    fn building(&mut self) -> Result<()> {
        let mut command = cargo();
        command.args(["build", "--workspace", "--all-targets"]);
        self.steps.run("building", &mut command, one)
    }

    /// The SMSC that the tests speak with, which we did not write.
    fn peers(&mut self) -> Result<()> {
        let title = "packages of the SMSC for the tests";
        if !tools::npm() {
            self.steps.skip(
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
        self.steps.run(title, &mut command, one)
    }

    fn tests(&mut self) -> Result<()> {
        if !tools::subcommand("nextest") {
            eprintln!(
                "    cargo-nextest is missing, so the slower `cargo test` runs; `cargo install \
                 cargo-nextest --locked` installs it"
            );
            let mut command = cargo_test();
            return self.steps.run("tests", &mut command, count::cargo_test);
        }
        let mut command = cargo();
        command
            .args(["nextest", "run", "--workspace", "--no-fail-fast"])
            .args(["--color", "never"])
            .args(["--test-threads", &threads().to_string()])
            .env(PROGRAMS_ARE_BUILT, "1");
        if self.new_inputs.is_some() {
            // The step with the new inputs replays the kept ones, too.
            command.args(["-E", &format!("not {PARSERS}")]);
        }
        self.steps.run("tests", &mut command, count::nextest)?;
        let mut command = cargo_test();
        command.arg("--doc");
        let title = "examples in the documentation";
        self.steps.run(title, &mut command, count::cargo_test)
    }

    /// The kept inputs of each parser, and new ones each time.
    fn new_inputs(&mut self) -> Result<()> {
        let title = "kept and new inputs for the parsers";
        let Some(seconds) = self.new_inputs else {
            self.steps.skip(
                title,
                "only where CI is set, or with `--new-inputs 60`; kept inputs are among the tests",
            );
            return Ok(());
        };
        let mut command;
        let count = if tools::subcommand("nextest") {
            command = cargo();
            command
                .args(["nextest", "run", "--workspace", "--no-fail-fast"])
                .args(["--color", "never", "--test", "replay"])
                .args(["-E", PARSERS])
                .env(PROGRAMS_ARE_BUILT, "1");
            count::nextest
        } else {
            command = cargo_test();
            command.args(["--test", "replay", "each_target_holds_on"]);
            count::cargo_test
        };
        command.env(NEW_INPUTS, seconds.to_string());
        self.steps.run(title, &mut command, count)
    }

    fn dependencies(&mut self, deny: Option<Child>) -> Result<()> {
        let title = "licences, bans, sources";
        let progress = self.steps.progress();
        if let Some(deny) = deny {
            tools::wait_until_installed("cargo-deny", deny, progress)?;
        }
        if let Err(why) = tools::install("deny", "cargo-deny", self.in_ci, progress) {
            self.steps.skip(title, &why);
            self.steps.skip("known vulnerabilities", &why);
            return Ok(());
        }
        let deny = |arguments: &[&str]| {
            let mut command = cargo();
            command.args(["deny", "--color", "never"]).args(arguments);
            command
        };
        let mut command = deny(&["check", "bans", "licenses", "sources"]);
        self.steps.run(title, &mut command, one)?;

        let step = progress.step("fetching the advisory database");
        let fetched = step.run(&mut deny(&["fetch", "db"]), Some(FETCH_LIMIT))?;
        if fetched.success() {
            step.done("");
            let mut command = deny(&["check", "advisories"]);
            return self.steps.run("known vulnerabilities", &mut command, one);
        }
        step.skipped("the network cannot reach it");
        if tools::advisories_are_cached() {
            let mut command = deny(&["check", "--disable-fetch", "advisories"]);
            let title = "known vulnerabilities (as last fetched)";
            return self.steps.run(title, &mut command, one);
        }
        self.steps.skip(
            "known vulnerabilities",
            "NOT checked: the advisory database could not be fetched. With a network, `cargo deny \
             check advisories` checks them",
        );
        Ok(())
    }
}

/// How many tests run at once: more than there are processors, because the tests of whole
/// programs wait for each other more than they compute.
fn threads() -> usize {
    let processors = thread::available_parallelism().map_or(1, NonZero::get);
    processors + processors.div_ceil(4)
}

fn cargo_test() -> Command {
    let mut command = cargo();
    command
        .args(["test", "--workspace", "--no-fail-fast"])
        .env(PROGRAMS_ARE_BUILT, "1");
    command
}
