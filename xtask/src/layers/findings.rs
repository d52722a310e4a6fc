//! What breaks a crate's target, in sentences for the person who wrote the code.
//!
//! A ring across rooms always has an import that points up or sideways, because the target
//! itself has no circle. So these rings need no finding of their own: each ends with the
//! imports that are listed.
//!
//! **Elsewhere**: which of these are known debts is [`super::debts`].
//!
//! **Always**: what is found depends on the code and the target only, and is in one order.

use super::names::{Imports, imports};
use super::rings::rings;
use super::source::{FileId, Source};
use super::sql::Tables;
use super::target::{Direction, FILE, RoomId, Target};

/// A ring inside one room has fewer files than this.
const RING_FILES: usize = 10;

/// A crate's code, held against its target.
#[derive(Debug)]
pub struct Held<'c> {
    /// The code.
    pub source: &'c Source,
    /// The target.
    pub target: &'c Target,
    /// The room of each file.
    pub rooms: Vec<Option<RoomId>>,
    /// What imports what.
    pub imports: Imports,
    /// Who makes and uses which table.
    pub tables: Tables,
    /// Files that import each other in a circle, the largest ring first.
    pub rings: Vec<Vec<FileId>>,
    /// What breaks the target.
    pub findings: Vec<Finding>,
}

/// What kind of rule is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// Each file is in one room, and each path of the target is there.
    Placed,
    /// Imports point down.
    Imports,
    /// Rings inside a room are small.
    Rings,
    /// Only a table's owner names it; foreign keys and triggers point down.
    Tables,
}

/// Something that breaks the target.
#[derive(Clone, Debug)]
pub struct Finding {
    /// The rule that it breaks.
    pub rule: Rule,
    /// Its line in the list of debts. Where a file is placed is nobody's debt.
    pub debt: Option<String>,
    /// File and line, from the root of the repository.
    pub place: String,
    /// What is there.
    pub what: String,
    /// Why that must not be.
    pub why: String,
    /// What the person can do.
    pub remedy: String,
}

impl<'c> Held<'c> {
    /// Holds a crate against its target.
    pub fn new(source: &'c Source, target: &'c Target) -> Self {
        let imports = imports(source);
        let (rooms, unused) = target.place(source.files.iter().map(String::as_str));
        let mut held = Self {
            source,
            target,
            rooms,
            rings: rings(imports.keys().copied()),
            imports,
            tables: Tables::of(source),
            findings: Vec::new(),
        };
        let mut findings = held.misplaced();
        findings.extend(unused.into_iter().map(|path| held.unused(path)));
        findings.extend(held.wrong_imports());
        findings.extend(held.large_rings());
        findings.extend(held.shared_tables());
        held.findings = findings;
        held
    }

    /// A file's room.
    pub fn room(&self, file: FileId) -> Option<RoomId> {
        self.rooms.get(file).copied().flatten()
    }

    /// Where an import leads; `None` if a file is in no room.
    pub fn direction(&self, from: FileId, to: FileId) -> Option<Direction> {
        let (from, to) = (self.room(from)?, self.room(to)?);
        Some(self.target.direction(from, to))
    }

    fn room_name(&self, file: FileId) -> &str {
        self.room(file)
            .map_or("no room", |room| self.target.name(room))
    }

    fn layer_name(&self, file: FileId) -> &str {
        let room = self.room(file).and_then(|room| self.target.rooms.get(room));
        let layer = room.and_then(|room| self.target.layers.get(room.layer));
        layer.map_or("", String::as_str)
    }

    fn place(&self, file: FileId, line: usize) -> String {
        let (name, path) = (&self.source.name, self.source.path(file));
        format!("crates/{name}/src/{path}:{line}")
    }

    fn misplaced(&self) -> Vec<Finding> {
        let files = self.rooms.iter().enumerate();
        let homeless = files.filter(|(_, room)| room.is_none());
        let finding = |(file, _)| Finding {
            rule: Rule::Placed,
            debt: None,
            place: self.place(file, 1),
            what: "is in no room".to_owned(),
            why: format!("Every file belongs to one room, which {FILE} names."),
            remedy: format!(
                "Add `{}` to the room that it is part of.",
                self.source.path(file)
            ),
        };
        homeless.map(finding).collect()
    }

    fn unused(&self, path: &str) -> Finding {
        Finding {
            rule: Rule::Placed,
            debt: None,
            place: FILE.to_owned(),
            what: format!("names `{path}` of crate {}", self.source.name),
            why: "No file of the crate needs this path.".to_owned(),
            remedy: "Remove it, or write the path that the file has now.".to_owned(),
        }
    }

    fn wrong_imports(&self) -> Vec<Finding> {
        let mut findings = Vec::new();
        for ((from, to), import) in &self.imports {
            let (why, remedy) = match self.direction(*from, *to) {
                Some(Direction::Up) => (
                    format!(
                        "{} ({}) stands below {} ({}), and imports point down only.",
                        self.room_name(*from),
                        self.layer_name(*from),
                        self.room_name(*to),
                        self.layer_name(*to),
                    ),
                    "Move what both need to a lower room, or call the upper room through a hook.",
                ),
                Some(Direction::Sideways) => (
                    format!(
                        "{} and {} are in one layer ({}), and neither may know the other.",
                        self.room_name(*from),
                        self.room_name(*to),
                        self.layer_name(*from),
                    ),
                    "Move what both need to a lower room, or let the layer above connect them.",
                ),
                _ => continue,
            };
            let (here, there) = (self.source.path(*from), self.source.path(*to));
            findings.push(Finding {
                rule: Rule::Imports,
                debt: Some(format!("{}: {here} -> {there}", self.source.name)),
                place: self.place(*from, import.line),
                what: format!("uses `{}` from {there}", import.what),
                why,
                remedy: remedy.to_owned(),
            });
        }
        findings
    }

    fn large_rings(&self) -> Vec<Finding> {
        let mut findings = Vec::new();
        for (room, of) in self.target.rooms.iter().enumerate() {
            let inside = |file: &FileId| self.room(*file) == Some(room);
            let arrows = self.imports.keys().copied();
            let arrows = arrows.filter(|(from, to)| inside(from) && inside(to));
            for ring in rings(arrows) {
                let files = ring.len();
                if files < RING_FILES {
                    continue;
                }
                let name = &of.name;
                let first = ring.first().copied().unwrap_or_default();
                findings.push(Finding {
                    rule: Rule::Rings,
                    debt: Some(format!(
                        "{}: ring of {files} files in {name}",
                        self.source.name
                    )),
                    place: self.place(first, 1),
                    what: format!("is in a ring of {files} files of the room {name}"),
                    why: format!(
                        "They import each other in a circle; a ring has fewer than {RING_FILES} \
                         files."
                    ),
                    remedy: format!(
                        "Move what several of them need to a file that imports none of them: {}.",
                        self.paths(&ring)
                    ),
                });
            }
        }
        findings
    }

    fn shared_tables(&self) -> Vec<Finding> {
        let mut findings: Vec<Finding> = Vec::new();
        for (table, owners) in &self.tables.owners {
            let mut rooms: Vec<_> = owners.iter().map(|file| self.room_name(*file)).collect();
            rooms.dedup();
            if let (Some(first), [_, _, ..]) = (owners.first(), rooms.as_slice()) {
                let files: Vec<FileId> = owners.iter().copied().collect();
                findings.push(Finding {
                    rule: Rule::Tables,
                    debt: Some(format!("{}: two owners of table {table}", self.source.name)),
                    place: self.place(*first, 1),
                    what: format!("makes the table {table}, as other rooms do"),
                    why: "Each table has one owner.".to_owned(),
                    remedy: format!("Leave its schema in one of {}.", self.paths(&files)),
                });
            }
        }
        for used in &self.tables.uses {
            let owners = self.tables.owners.get(&used.table);
            let Some(owner) = owners.and_then(|owners| owners.first()) else {
                continue;
            };
            if self.room(*owner) == self.room(used.file) {
                continue;
            }
            // A foreign key and a trigger are to a table what an import is to code.
            let is_down = self.direction(used.file, *owner) == Some(Direction::Down);
            if used.points && is_down {
                continue;
            }
            let (here, there) = (self.source.path(used.file), self.source.path(*owner));
            let debt = format!("{}: {here} -> table {}", self.source.name, used.table);
            if findings
                .iter()
                .any(|found| found.debt.as_ref() == Some(&debt))
            {
                continue;
            }
            findings.push(Finding {
                rule: Rule::Tables,
                debt: Some(debt),
                place: self.place(used.file, used.line),
                what: format!("names the table {} in SQL", used.table),
                why: format!(
                    "{} owns it ({there}), and nobody else's SQL names it.",
                    self.room_name(*owner)
                ),
                remedy: format!("Call a function of {} instead.", self.room_name(*owner)),
            });
        }
        findings
    }

    fn paths(&self, files: &[FileId]) -> String {
        let paths: Vec<&str> = files.iter().map(|file| self.source.path(*file)).collect();
        paths.join(", ")
    }

    /// Whether a ring's files are in more than one room.
    pub fn is_across(&self, ring: &[FileId]) -> bool {
        let mut rooms = ring.iter().map(|file| self.room(*file));
        let first = rooms.next();
        rooms.any(|room| Some(room) != first)
    }
}
