//! `cargo xtask layers`: imports point down only, and nobody's SQL names another's tables.
//!
//! `layers.toml` says which rooms each crate has, in layers from top to bottom, and which
//! files are in them. This chore reads the code of all crates and reports what breaks that:
//! imports that point up or sideways, rings of many files inside a room, and SQL that names
//! a table of another room. What breaks it today is listed in `layers-debts.txt`.
//!
//! **Elsewhere**: what the rooms are for is in `ARCHITECTURE.md`, section "Layers".
//!
//! **Always**: it reads the code and not what was built from it, so it needs no build. It
//! fails if anything is found that is not on the list, or listed that is not found.

mod conditions;
mod debts;
mod findings;
mod names;
mod reader;
mod report;
mod rings;
mod source;
mod sql;
mod target;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::io::{ErrorKind, Write as _};
use std::path::Path;

use anyhow::{Context, Result, bail};

use self::debts::Debts;
use self::findings::{Finding, Held};
use self::source::Source;
use self::target::Target;
use crate::workspace::root;

/// The options of `cargo xtask layers`.
#[derive(clap::Args, Debug, Default)]
pub struct Options {
    /// Remove debts that are paid from the list.
    #[arg(long)]
    write: bool,
    /// Also add what is new to the list. This is for changes of layers.toml and for files that
    /// move; a reviewer sees each new line.
    #[arg(long, requires = "write")]
    add: bool,
    /// Print everything that is known, as one JSON object a line.
    #[arg(long, conflicts_with = "write")]
    json: bool,
    /// Print the rooms of a crate as a Mermaid flowchart.
    #[arg(long, value_name = "CRATE", conflicts_with_all = ["write", "json"])]
    draw: Option<String>,
}

/// Holds the code of all crates against the target. True when they agree, except for debts.
pub fn run(options: &Options) -> Result<bool> {
    let mut text = String::new();
    let agrees = run_in(&root(), options, &mut text)?;
    match std::io::stdout().write_all(text.as_bytes()) {
        // Nobody has to read to the end.
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(agrees),
    }
}

/// The same in another folder; what is to be printed is added to `text`.
fn run_in(root: &Path, options: &Options, text: &mut String) -> Result<bool> {
    let sources = sources(root)?;
    let targets = Target::read(root)?;
    let crates = held(&sources, &targets)?;
    if let Some(name) = &options.draw {
        let one = crates.iter().find(|held| held.source.name == *name);
        let one = one.with_context(|| format!("there is no crates/{name}"))?;
        text.push_str(&report::drawing(one));
        return Ok(true);
    }
    let findings: Vec<&Finding> = crates.iter().flat_map(|held| &held.findings).collect();
    let mut debts = Debts::read(root)?;
    let mut difference = debts.difference(&findings);
    if options.write {
        debts.remove(&difference.paid);
        if options.add {
            debts.add(&difference.new);
        }
        debts.write(root)?;
        difference = debts.difference(&findings);
    }
    if options.json {
        for line in report::json(&crates, &difference) {
            text.push_str(&line.to_string());
            text.push('\n');
        }
    } else {
        text.push_str(&report::sentences(&difference));
        text.push_str(&report::table(&crates));
        text.push_str(&report::sums(debts.len(), &difference));
    }
    Ok(difference.new.is_empty() && difference.paid.is_empty())
}

/// Reads all crates, several at a time.
fn sources(root: &Path) -> Result<Vec<Source>> {
    let folder = root.join("crates");
    let mut folders = Vec::new();
    for entry in std::fs::read_dir(&folder).context("cannot read the folder crates")? {
        let path = entry?.path();
        if path.join("Cargo.toml").is_file() {
            folders.push(path);
        }
    }
    folders.sort();
    std::thread::scope(|scope| {
        let readers: Vec<_> = folders
            .iter()
            .map(|folder| scope.spawn(|| Source::read(folder)))
            .collect();
        let read = readers.into_iter().map(|reader| match reader.join() {
            Ok(source) => source,
            Err(_) => bail!("a thread that read a crate panicked"),
        });
        read.collect()
    })
}

/// Holds each crate against its target; each crate has one, and each target a crate.
fn held<'c>(sources: &'c [Source], targets: &'c BTreeMap<String, Target>) -> Result<Vec<Held<'c>>> {
    for name in targets.keys() {
        if !sources.iter().any(|source| source.name == *name) {
            bail!(
                "{} has rooms for crates/{name}, which is not there",
                target::FILE
            );
        }
    }
    let held = sources.iter().map(|source| {
        let name = &source.name;
        let target = targets.get(name);
        let target =
            target.with_context(|| format!("{} says nothing of crates/{name}", target::FILE))?;
        Ok(Held::new(source, target))
    });
    held.collect()
}
