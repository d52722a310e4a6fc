//! What `cargo xtask layers` prints: sentences, a table, JSON, or a picture.
//!
//! **Always**: with `--json`, each line is one object with a `type`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use serde_json::{Value, json};

use super::debts::{self, Difference};
use super::findings::{Finding, Held, Rule};
use super::target::{Direction, Target};

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

/// Everything, for programs.
pub fn json(crates: &[Held<'_>], difference: &Difference<'_>) -> Vec<Value> {
    let mut lines = Vec::new();
    for held in crates {
        let name = &held.source.name;
        let room = |file| held.room(file).map(|room| held.target.name(room));
        let path = |file: &usize| held.source.path(*file);
        for ((from, to), import) in &held.imports {
            lines.push(json!({
                "type": "import", "crate": name,
                "from": path(from), "to": path(to),
                "from_room": room(*from), "to_room": room(*to),
                "direction": held.direction(*from, *to).map(direction),
                "line": import.line, "what": import.what, "uses": import.uses,
            }));
        }
        for ring in &held.rings {
            let files: Vec<&str> = ring.iter().map(path).collect();
            let across = held.is_across(ring);
            lines.push(json!({
                "type": "ring", "crate": name, "files": files, "across_rooms": across,
            }));
        }
        let of = Figures::of(held);
        lines.push(json!({
            "type": "crate", "crate": name, "files": of.files, "imports": of.imports,
            "rooms": of.rooms, "rings": of.rings, "files_in_rings": of.in_rings,
            "biggest_ring": of.biggest, "rings_across_rooms": of.across, "upward": of.up,
            "sideways": of.sideways, "foreign_sql": of.foreign_sql,
        }));
    }
    let all = crates.iter().flat_map(|held| &held.findings);
    lines.extend(all.map(|finding| {
        let is_new = difference.new.iter().any(|new| std::ptr::eq(*new, finding));
        json!({
            "type": "finding", "rule": rule(finding.rule), "new": is_new,
            "debt": finding.debt, "place": finding.place,
            "what": finding.what, "why": finding.why, "remedy": finding.remedy,
        })
    }));
    let paid = difference.paid.iter();
    lines.extend(paid.map(|line| json!({ "type": "paid", "debt": line })));
    lines
}

fn direction(direction: Direction) -> &'static str {
    match direction {
        Direction::Inside => "inside",
        Direction::Down => "down",
        Direction::Sideways => "sideways",
        Direction::Up => "up",
    }
}

fn rule(rule: Rule) -> &'static str {
    match rule {
        Rule::Placed => "placed",
        Rule::Imports => "imports",
        Rule::Rings => "rings",
        Rule::Tables => "tables",
    }
}

/// The rooms of a crate as a Mermaid flowchart. Each arrow has the number of imports; one
/// that breaks the target is dotted.
pub fn drawing(held: &Held<'_>) -> String {
    let mut arrows = BTreeMap::<_, usize>::new();
    for (from, to) in held.imports.keys() {
        if let (Some(from), Some(to)) = (held.room(*from), held.room(*to))
            && from != to
        {
            *arrows.entry((from, to)).or_default() += 1;
        }
    }
    let Target { layers, rooms, .. } = held.target;
    let mut text = String::from("flowchart TD\n");
    for (layer, name) in layers.iter().enumerate() {
        let _ = writeln!(text, "    subgraph layer{layer}[\"{name}\"]");
        let here = rooms
            .iter()
            .enumerate()
            .filter(|(_, room)| room.layer == layer);
        for (id, room) in here {
            let _ = writeln!(text, "        room{id}[\"{}\"]", room.name);
        }
        text.push_str("    end\n");
    }
    for ((from, to), imports) in arrows {
        let arrow = match held.target.direction(from, to) {
            Direction::Up | Direction::Sideways => "-.->",
            Direction::Inside | Direction::Down => "-->",
        };
        let _ = writeln!(text, "    room{from} {arrow}|{imports}| room{to}");
    }
    text
}
