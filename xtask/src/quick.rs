//! `cargo xtask quick`: the checks that a small edit is likely to fail, in under two minutes.
//!
//! **Elsewhere**: `test` is every check; it must pass before a change is merged.
//!
//! **Always**: it selects the whole workspace, as `test` does, and lets cargo find out what has
//! to be compiled: for a smaller selection cargo would choose other features and compile the
//! dependencies again. Tests are then picked by name.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use crate::count;
use crate::steps::{Steps, one};
use crate::tools;
use crate::workspace::{PROGRAMS_ARE_BUILT, cargo, root};

/// Tests that take longer than a person waits.
const LONG: &str = "test(_simulation::) or (package(xtask) and kind(test))";

/// Tests in these packages concern every crate below them.
const TESTS_OF_ALL: [&str; 2] = ["waxwing-system-tests", "waxwing-fuzz-targets"];

/// What `cargo xtask quick` can be told.
#[derive(clap::Args, Debug)]
pub struct Options {
    /// Check what changed since this branch or commit.
    #[arg(long, default_value = "main")]
    since: String,
}

/// Checks what changed. True when nothing failed.
pub fn run(options: &Options) -> Result<bool> {
    let files = changed_files(&options.since)?;
    if files.is_empty() {
        println!("nothing has changed since {}", options.since);
        return Ok(true);
    }
    let workspace = Workspace::read()?;
    let touched = workspace.packages_of(&files);
    let mut steps = Steps::begin("quick");
    eprintln!(
        "  {} files since {}, in {}\n",
        files.len(),
        options.since,
        joined(&touched, ", ")
    );
    steps.run("formatting", cargo().args(["fmt", "--all", "--check"]), one)?;
    let mut layers = Command::new(std::env::current_exe()?);
    steps.run("layers", layers.arg("layers"), one)?;
    if touched.is_empty() {
        return Ok(steps.conclude());
    }
    let mut lints = cargo();
    lints.args(["clippy", "--workspace", "--all-targets"]);
    steps.run("lints", lints.args(["--", "-D", "warnings"]), one)?;
    if !tools::subcommand("nextest") {
        steps.skip(
            "tests",
            "cargo-nextest is missing: `cargo install cargo-nextest --locked` installs it",
        );
        return Ok(steps.conclude());
    }
    let test_programs = workspace.test_programs(&touched);
    if test_programs.iter().any(|name| name == "program") {
        let mut programs = cargo();
        programs
            .args(["build", "--workspace", "--bin", "waxwing"])
            .args(["--bin", "waxwing-relay"])
            // With an example, cargo selects the features that tests have too.
            .args(["--example", "freeze"]);
        steps.run("programs that tests start", &mut programs, one)?;
    }
    let mut tests = cargo();
    tests
        .args(["nextest", "run", "--workspace", "--lib", "--bins"])
        .args(["--color", "never", "--no-tests", "pass"])
        .args(test_programs)
        .args(["-E", &filter(&workspace.concerned_by(&touched), &files)])
        .env(PROGRAMS_ARE_BUILT, "1");
    steps.run("tests", &mut tests, count::nextest)?;
    Ok(steps.conclude())
}

/// Paths from the root: what was committed since, and what was not committed yet.
fn changed_files(since: &str) -> Result<Vec<String>> {
    let base = git(&["merge-base", since, "HEAD"])?;
    let mut files = git(&["diff", "--name-only", base.trim()])?;
    files += &git(&["ls-files", "--others", "--exclude-standard"])?;
    Ok(files.lines().map(str::to_owned).collect())
}

fn git(arguments: &[&str]) -> Result<String> {
    let output = Command::new("git")
        .args(arguments)
        .current_dir(root())
        .output()
        .context("cannot start git")?;
    if !output.status.success() {
        bail!(
            "git {}: {}",
            arguments.join(" "),
            String::from_utf8_lossy(&output.stderr)
        );
    }
    Ok(String::from_utf8(output.stdout)?)
}

/// Which tests to run: those of the packages, and of the tests of all those that are named
/// after what changed.
fn filter(packages: &BTreeSet<String>, files: &[String]) -> String {
    let topics = topics(files);
    let mut parts = Vec::new();
    for package in packages {
        let of_package = format!("package(={package})");
        if !TESTS_OF_ALL.contains(&package.as_str()) {
            parts.push(of_package);
        } else if !topics.is_empty() {
            let named: Vec<String> = topics.iter().map(|word| format!("test({word})")).collect();
            parts.push(format!("({of_package} and ({}))", named.join(" or ")));
        }
    }
    if parts.is_empty() {
        return "none()".to_owned();
    }
    format!("({}) and not ({LONG})", parts.join(" or "))
}

/// Words that tests about these files are likely to have in their names: the file's own name,
/// or its folder's.
fn topics(files: &[String]) -> BTreeSet<String> {
    let mut topics = BTreeSet::new();
    for path in files.iter().map(Path::new) {
        if path.extension().is_none_or(|extension| extension != "rs") {
            continue;
        }
        let names = [path.file_stem(), path.parent().and_then(Path::file_name)];
        let topic = names
            .into_iter()
            .flatten()
            .filter_map(|name| name.to_str())
            .find(|name| !["mod", "lib", "main", "tests"].contains(name));
        topics.extend(topic.map(|topic| topic.trim_end_matches('s').to_owned()));
    }
    topics
}

fn joined(words: &BTreeSet<String>, between: &str) -> String {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    words.join(between)
}

/// The packages, and who depends on whom.
struct Workspace {
    /// By name.
    packages: BTreeMap<String, Package>,
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    manifest_path: String,
    dependencies: Vec<Dependency>,
    targets: Vec<Target>,
}

#[derive(Deserialize)]
struct Dependency {
    name: String,
}

#[derive(Deserialize)]
struct Target {
    name: String,
    kind: Vec<String>,
}

impl Workspace {
    fn read() -> Result<Self> {
        let mut command = cargo();
        command.args(["metadata", "--no-deps", "--format-version", "1"]);
        let output = command.output().context("cannot start cargo")?;
        let metadata: Metadata = serde_json::from_slice(&output.stdout)
            .context("cargo does not say what is in the workspace")?;
        let packages = metadata.packages.into_iter();
        Ok(Self {
            packages: packages.map(|one| (one.name.clone(), one)).collect(),
        })
    }

    /// Each file belongs to the package in the innermost folder.
    fn packages_of(&self, files: &[String]) -> BTreeSet<String> {
        let owner = |file: &String| {
            let path = root().join(file);
            let folders = self.packages.values().filter_map(|package| {
                let folder = Path::new(&package.manifest_path).parent()?;
                path.starts_with(folder)
                    .then(|| (folder.components().count(), &package.name))
            });
            folders.max().map(|(_, name)| name.clone())
        };
        files.iter().filter_map(owner).collect()
    }

    /// The packages, and those that depend on them.
    fn concerned_by(&self, touched: &BTreeSet<String>) -> BTreeSet<String> {
        let mut concerned = touched.clone();
        loop {
            let more: Vec<String> = self
                .packages
                .values()
                .filter(|package| !concerned.contains(&package.name))
                .filter(|package| {
                    let mut names = package.dependencies.iter().map(|one| &one.name);
                    names.any(|name| concerned.contains(name))
                })
                .map(|package| package.name.clone())
                .collect();
            if more.is_empty() {
                return concerned;
            }
            concerned.extend(more);
        }
    }

    /// `--test NAME` for each: of the packages that changed all, of the others the tests of all.
    fn test_programs(&self, touched: &BTreeSet<String>) -> Vec<String> {
        let concerned = self.concerned_by(touched);
        self.packages
            .values()
            .filter(|package| {
                touched.contains(&package.name)
                    || (concerned.contains(&package.name)
                        && TESTS_OF_ALL.contains(&package.name.as_str()))
            })
            .flat_map(|package| &package.targets)
            .filter(|target| target.kind.iter().any(|kind| kind == "test"))
            .flat_map(|target| ["--test".to_owned(), target.name.clone()])
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn a_topic_is_a_files_name_or_its_folders() {
        let files = [
            "crates/engine/src/attachment/mod.rs",
            "crates/engine/src/message/reactions.rs",
            "README.md",
        ];
        let files = files.map(str::to_owned);
        assert_eq!(topics(&files), set(&["attachment", "reaction"]));
    }

    #[test]
    fn of_the_tests_of_all_only_those_on_the_topic_run() {
        let packages = set(&["waxwing-engine", "waxwing-system-tests"]);
        let files = ["crates/engine/src/attachment/mod.rs".to_owned()];
        let filter = filter(&packages, &files);
        assert!(filter.contains("package(=waxwing-engine) or "), "{filter}");
        let narrowed = "(package(=waxwing-system-tests) and (test(attachment)))";
        assert!(filter.contains(narrowed), "{filter}");
    }

    #[test]
    fn who_depends_on_what_changed_is_concerned() {
        let workspace = Workspace::read().unwrap();
        let touched = workspace.packages_of(&["crates/protocol/src/lib.rs".to_owned()]);
        assert_eq!(touched, set(&["waxwing-protocol"]));
        let concerned = workspace.concerned_by(&touched);
        for name in ["waxwing-engine", "waxwing-relay", "waxwing-system-tests"] {
            assert!(concerned.contains(name), "{name}");
        }
        assert!(!concerned.contains("waxwing-sms"));
    }
}
