//! What `cargo xtask layers` prints: sentences and a table.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use super::debts::{self, Difference};
use super::findings::{Finding, Held, Rule};
use super::target::Direction;

/// What is counted of one crate.
#[derive(Debug, Default)]
struct Figures {
    files: usize,
    imports: usize,
    rooms: usize,
    rings: usize,
    /// Files that are in some ring.
    in_rings: usize,
    biggest: usize,
    /// Rings with files of more than one room.
    across: usize,
    up: usize,
    sideways: usize,
    /// Pairs of a file and a table of another room.
    foreign_sql: usize,
}

impl Figures {
    fn of(held: &Held<'_>) -> Self {
        let leading = |wanted| {
            let pairs = held.imports.keys();
            let led = pairs.filter(|(from, to)| held.direction(*from, *to) == Some(wanted));
            led.count()
        };
        let rooms: BTreeSet<_> = held.rooms.iter().flatten().collect();
        let of_tables = held.findings.iter().filter(|f| f.rule == Rule::Tables);
        Self {
            files: held.source.files.len(),
            imports: held.imports.len(),
            rooms: rooms.len(),
            rings: held.rings.len(),
            in_rings: held.rings.iter().map(Vec::len).sum(),
            biggest: held.rings.first().map_or(0, Vec::len),
            across: held
                .rings
                .iter()
                .filter(|ring| held.is_across(ring))
                .count(),
            up: leading(Direction::Up),
            sideways: leading(Direction::Sideways),
            foreign_sql: of_tables.count(),
        }
    }

    fn columns(&self) -> [(&'static str, usize); 10] {
        [
            ("files", self.files),
            ("imports", self.imports),
            ("rooms", self.rooms),
            ("rings", self.rings),
            ("files in rings", self.in_rings),
            ("biggest ring", self.biggest),
            ("rings across rooms", self.across),
            ("upward", self.up),
            ("sideways", self.sideways),
            ("foreign SQL", self.foreign_sql),
        ]
    }
}

/// The table: a row for each crate.
pub fn table(crates: &[Held<'_>]) -> String {
    let mut table = format!("  {:<14}", "crate");
    for (heading, _) in Figures::default().columns() {
        let _ = write!(table, "  {heading}");
    }
    table.push('\n');
    for held in crates {
        let _ = write!(table, "  {:<14}", held.source.name);
        for (heading, figure) in Figures::of(held).columns() {
            let _ = write!(table, "  {figure:>width$}", width = heading.len());
        }
        table.push('\n');
    }
    table
}

/// How the findings and the list of debts compare, in one line.
pub fn sums(known: usize, difference: &Difference<'_>) -> String {
    format!(
        "\n  {known} known debts, {} new, {} paid and still listed\n",
        difference.new.len(),
        difference.paid.len()
    )
}

/// What is wrong, and what to do about it.
pub fn sentences(difference: &Difference<'_>) -> String {
    let mut text = String::new();
    for finding in &difference.new {
        let Finding {
            place,
            what,
            why,
            remedy,
            ..
        } = finding;
        let _ = writeln!(text, "{place}: {what}\n    {why}\n    {remedy}\n");
    }
    for line in &difference.paid {
        let _ = writeln!(
            text,
            "{}: `{line}`\n    The code does not do this any more. Thank you.\n    \
             Remove this line: `cargo xtask layers --write` does it.\n",
            debts::FILE
        );
    }
    text
}
