//! The target: the rooms of each crate and the layers that they are in, from `layers.toml`.
//!
//! **Always**: every file is in one room; a folder's files are in the room that names the
//! folder, except for those that another room names more closely. What rooms of one layer
//! may import of each other has no circle.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use super::rings::rings;

/// The target's file, at the root of the repository.
pub const FILE: &str = "layers.toml";

/// A room: an index into [`Target::rooms`].
pub type RoomId = usize;

/// The rooms of one crate.
#[derive(Debug, Default)]
pub struct Target {
    /// The names of the layers, from top to bottom.
    pub layers: Vec<String>,
    /// The rooms, from the top layer to the bottom one.
    pub rooms: Vec<Room>,
    /// Rooms of one layer, the first of which may import from the second.
    beside: BTreeSet<(RoomId, RoomId)>,
}

/// One room.
#[derive(Debug)]
pub struct Room {
    /// What it is called.
    pub name: String,
    /// Its layer; 0 is the top.
    pub layer: usize,
    /// Its files, and its folders with a `/` at the end.
    paths: Vec<String>,
}

/// Where an import leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// It stays in one room.
    Inside,
    /// To a lower layer, or to a room beside it that it may import from.
    Down,
    /// To a room of the same layer, which the target does not allow.
    Sideways,
    /// To a higher layer.
    Up,
}

/// One layer, as the file says it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    layer: String,
    rooms: BTreeMap<String, Vec<String>>,
    #[serde(default)]
    may_import: Vec<String>,
}

impl Target {
    /// Reads the targets of all crates, by the names of their folders.
    pub fn read(root: &Path) -> Result<BTreeMap<String, Self>> {
        let text = std::fs::read_to_string(root.join(FILE))
            .with_context(|| format!("cannot read {FILE}"))?;
        Self::parse(&text)
    }

    fn parse(text: &str) -> Result<BTreeMap<String, Self>> {
        let crates: BTreeMap<String, Vec<Written>> =
            toml::from_str(text).with_context(|| format!("cannot read {FILE}"))?;
        let targets = crates.into_iter().map(|(name, layers)| {
            let target = Self::from_written(layers);
            let target = target.with_context(|| format!("{FILE}, crate {name}"))?;
            Ok((name, target))
        });
        targets.collect()
    }

    fn from_written(layers: Vec<Written>) -> Result<Self> {
        let mut target = Self::default();
        let mut beside = Vec::new();
        for (layer, written) in layers.into_iter().enumerate() {
            target.layers.push(written.layer);
            for (name, paths) in written.rooms {
                if target.room(&name).is_some() {
                    bail!("two rooms are called {name}");
                }
                target.rooms.push(Room { name, layer, paths });
            }
            beside.extend(written.may_import);
        }
        let mut paths = BTreeSet::new();
        for path in target.rooms.iter().flat_map(|room| &room.paths) {
            if !paths.insert(path) {
                bail!("{path} is in two rooms");
            }
        }
        for allowed in beside {
            let pair = allowed.split_once(" -> ");
            let pair = pair.and_then(|(from, to)| Some((target.room(from)?, target.room(to)?)));
            let Some((from, to)) = pair else {
                bail!("`{allowed}` does not name two rooms, as in `messages -> attachments`");
            };
            if target.layer_of(from) != target.layer_of(to) {
                bail!("`{allowed}`: the rooms are in two layers, so their order says it");
            }
            target.beside.insert((from, to));
        }
        if !rings(target.beside.iter().copied()).is_empty() {
            bail!("rooms that may import of each other in a circle are one room");
        }
        Ok(target)
    }

    fn room(&self, name: &str) -> Option<RoomId> {
        self.rooms.iter().position(|room| room.name == name)
    }

    fn layer_of(&self, room: RoomId) -> Option<usize> {
        self.rooms.get(room).map(|room| room.layer)
    }

    /// The name of a room.
    pub fn name(&self, room: RoomId) -> &str {
        self.rooms.get(room).map_or("", |room| &room.name)
    }

    /// Puts each file in its room, which is `None` where no room names it. Also returns the
    /// paths that no file needs.
    pub fn place<'f>(
        &self,
        files: impl IntoIterator<Item = &'f str>,
    ) -> (Vec<Option<RoomId>>, BTreeSet<&str>) {
        let all = self.rooms.iter().flat_map(|room| &room.paths);
        let mut unused: BTreeSet<&str> = all.map(String::as_str).collect();
        let mut placed = Vec::new();
        for file in files {
            let rooms = self.rooms.iter().enumerate();
            let naming = rooms.flat_map(|(id, room)| room.paths.iter().map(move |path| (id, path)));
            let naming = naming.filter(|(_, path)| holds(path, file));
            let closest = naming.max_by_key(|(_, path)| path.len());
            if let Some((_, path)) = closest {
                unused.remove(path.as_str());
            }
            placed.push(closest.map(|(room, _)| room));
        }
        (placed, unused)
    }

    /// Where an import from one room to another leads.
    pub fn direction(&self, from: RoomId, to: RoomId) -> Direction {
        if from == to {
            return Direction::Inside;
        }
        match self.layer_of(from).cmp(&self.layer_of(to)) {
            std::cmp::Ordering::Less => Direction::Down,
            std::cmp::Ordering::Greater => Direction::Up,
            std::cmp::Ordering::Equal if self.beside.contains(&(from, to)) => Direction::Down,
            std::cmp::Ordering::Equal => Direction::Sideways,
        }
    }
}

/// Whether a path of the target is this file, or a folder around it.
fn holds(path: &str, file: &str) -> bool {
    path == file || (path.ends_with('/') && file.starts_with(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: &str = r#"
        [[small]]
        layer = "features"
        rooms.letters = ["letters/"]
        rooms.pictures = ["letters/pictures.rs", "pictures/"]
        may_import = ["letters -> pictures"]

        [[small]]
        layer = "leaves"
        rooms.paper = ["paper.rs"]
    "#;

    #[test]
    fn a_file_is_in_the_room_that_names_it_most_closely() {
        let target = Target::parse(SMALL).unwrap().remove("small").unwrap();
        let files = [
            "letters/mod.rs",
            "letters/pictures.rs",
            "paper.rs",
            "ink.rs",
        ];
        let (rooms, unused) = target.place(files);
        let names = rooms
            .iter()
            .map(|room| room.map_or("-", |room| target.name(room)));
        assert_eq!(
            names.collect::<Vec<_>>(),
            ["letters", "pictures", "paper", "-"]
        );
        assert_eq!(unused, BTreeSet::from(["pictures/"]));
    }

    #[test]
    fn imports_lead_down_or_where_the_target_allows() {
        let target = Target::parse(SMALL).unwrap().remove("small").unwrap();
        let [letters, pictures, paper] =
            ["letters", "pictures", "paper"].map(|name| target.room(name).unwrap());
        assert_eq!(target.direction(letters, letters), Direction::Inside);
        assert_eq!(target.direction(letters, paper), Direction::Down);
        assert_eq!(target.direction(letters, pictures), Direction::Down);
        assert_eq!(target.direction(pictures, letters), Direction::Sideways);
        assert_eq!(target.direction(paper, letters), Direction::Up);
    }

    #[test]
    fn a_target_that_contradicts_itself_is_refused() {
        let circle = SMALL.replace(
            r#"["letters -> pictures"]"#,
            r#"["letters -> pictures", "pictures -> letters"]"#,
        );
        let unknown = SMALL.replace("letters -> pictures", "letters -> ink");
        let downward = SMALL.replace("letters -> pictures", "letters -> paper");
        let twice = SMALL.replace("[\"paper.rs\"]", "[\"letters/\"]");
        for (text, why) in [
            (circle, "circle"),
            (unknown, "does not name two rooms"),
            (downward, "two layers"),
            (twice, "in two rooms"),
        ] {
            let error = format!("{:#}", Target::parse(&text).unwrap_err());
            assert!(error.contains(why), "{error}");
        }
    }
}
