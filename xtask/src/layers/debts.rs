//! Known debts: what breaks the target today, one line each, in `layers-debts.txt`.
//!
//! **Always**: a debt that is paid must leave the list. Otherwise somebody could make it again
//! and nobody would see it.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context, Result};

use super::findings::Finding;

/// The list's file, at the root of the repository.
pub const FILE: &str = "layers-debts.txt";

const HEAD: &str = "\
# What breaks layers.toml today. This list only gets shorter: pay a debt, then run
# `cargo xtask layers --write`, which removes its line.
";

/// The list.
#[derive(Debug, Default)]
pub struct Debts {
    lines: BTreeSet<String>,
}

/// How the findings differ from the list.
#[derive(Debug)]
pub struct Difference<'f> {
    /// What is found and not on the list.
    pub new: Vec<&'f Finding>,
    /// What is on the list and not found any more.
    pub paid: Vec<String>,
}

impl Debts {
    /// Reads the list; where there is no file, there are no debts.
    pub fn read(root: &Path) -> Result<Self> {
        let path = root.join(FILE);
        if !path.exists() {
            return Ok(Self::default());
        }
        let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {FILE}"))?;
        Ok(Self::parse(&text))
    }

    /// Reads the list from its text.
    pub fn parse(text: &str) -> Self {
        let lines = text.lines().map(str::trim);
        let lines = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
        Self {
            lines: lines.map(str::to_owned).collect(),
        }
    }

    /// How many debts there are.
    pub fn len(&self) -> usize {
        self.lines.len()
    }

    /// Holds the findings against the list.
    pub fn difference<'f>(&self, findings: &[&'f Finding]) -> Difference<'f> {
        let found: BTreeSet<&String> = findings.iter().filter_map(|f| f.debt.as_ref()).collect();
        let is_known = |finding: &Finding| {
            let debt = finding.debt.as_ref();
            debt.is_some_and(|debt| self.lines.contains(debt))
        };
        let new = findings.iter().filter(|finding| !is_known(finding));
        let paid = self.lines.iter().filter(|line| !found.contains(line));
        Difference {
            new: new.copied().collect(),
            paid: paid.cloned().collect(),
        }
    }

    /// Removes what is paid.
    pub fn remove(&mut self, paid: &[String]) {
        self.lines.retain(|line| !paid.contains(line));
    }

    /// Adds what is new.
    pub fn add(&mut self, new: &[&Finding]) {
        self.lines
            .extend(new.iter().filter_map(|finding| finding.debt.clone()));
    }

    /// Writes the list.
    pub fn write(&self, root: &Path) -> Result<()> {
        std::fs::write(root.join(FILE), self.text()).with_context(|| format!("cannot write {FILE}"))
    }

    fn text(&self) -> String {
        let lines = self.lines.iter().flat_map(|line| [line.as_str(), "\n"]);
        let lines: String = lines.collect();
        format!("{HEAD}\n{lines}")
    }
}
