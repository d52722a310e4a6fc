//! The code of one crate: its files, its modules, and the names that each module uses.
//!
//! **Elsewhere**: how a file is read is [`super::reader`]; which file a name comes from is
//! [`super::names`].
//!
//! **Always**: code for tests (`#[cfg(test)]`) is left out, and a file that only tests use
//! is not one of the files here.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use super::reader::Reader;

/// A file of a crate: an index into [`Source::files`].
pub type FileId = usize;

/// A module of a crate: an index into [`Source::modules`].
pub type ModuleId = usize;

/// One crate.
#[derive(Debug, Default)]
pub struct Source {
    /// The folder that holds the crate, such as `engine`.
    pub name: String,
    /// The name by which a program of the same package uses its library.
    pub library: String,
    /// The module at the root of that library.
    pub library_root: Option<ModuleId>,
    /// Paths below `src`, with `/` on every system.
    pub files: Vec<String>,
    /// All modules; those that stand inside another file too.
    pub modules: Vec<Module>,
    /// All string literals.
    pub literals: Vec<Literal>,
}

/// A module, and what its code says.
#[derive(Debug, Default)]
pub struct Module {
    /// Where its code stands.
    pub file: FileId,
    /// The module around it; `None` for the root of a library or program.
    pub parent: Option<ModuleId>,
    /// The modules directly inside it.
    pub children: BTreeMap<String, ModuleId>,
    /// What it defines: types, functions, constants, traits, macros.
    pub items: BTreeSet<String>,
    /// Its `use` declarations, one for each name.
    pub uses: Vec<Use>,
    /// Paths in its code.
    pub mentions: Vec<Mention>,
    /// Methods that it gives to types, its own and those of other modules.
    pub methods: Vec<Method>,
    /// The fields of its structs.
    pub fields: Vec<Field>,
    /// Fields that are reached and methods that are called, where the type is plain to see.
    pub reaches: Vec<Reach>,
}

/// One name of a `use` declaration.
#[derive(Debug)]
pub struct Use {
    /// The name that it has here; `None` for `*`.
    pub name: Option<String>,
    /// What it stands for.
    pub path: Vec<String>,
    /// Whether other modules can use it by this name.
    pub is_public: bool,
    /// Its line, from 1.
    pub line: usize,
}

/// A path in code, such as `groups::set_state`.
#[derive(Debug)]
pub struct Mention {
    /// Its parts.
    pub path: Vec<String>,
    /// Its line, from 1.
    pub line: usize,
}

/// A method in an `impl` without a trait.
#[derive(Debug)]
pub struct Method {
    /// The type, as the code writes it.
    pub of: Vec<String>,
    /// The method's name.
    pub name: String,
}

/// A field of a struct.
#[derive(Debug)]
pub struct Field {
    /// The struct.
    pub of: String,
    /// The field's name.
    pub name: String,
    /// Its type, as the code writes it, then the types inside that type: for an
    /// `Option<Account>` both.
    pub types: Vec<Vec<String>>,
}

/// What code reaches from a variable, such as `turn.live.links` or `self.deposit(…)`.
#[derive(Debug)]
pub struct Reach {
    /// The type of the variable, as the code writes it.
    pub of: Vec<String>,
    /// The fields that follow one another.
    pub fields: Vec<String>,
    /// The method that is called at the end.
    pub method: Option<String>,
    /// Its line, from 1.
    pub line: usize,
}

/// A string literal.
#[derive(Debug)]
pub struct Literal {
    /// Where it stands.
    pub file: FileId,
    /// The line on which it begins, from 1.
    pub line: usize,
    /// What it says, without quotes and escapes.
    pub value: String,
}

impl Source {
    /// Reads the crate in `folder`: its library and its programs.
    pub fn read(folder: &Path) -> Result<Self> {
        let name = folder.file_name().context("a crate's folder has no name")?;
        let manifest = folder.join("Cargo.toml");
        let manifest = std::fs::read_to_string(&manifest)
            .with_context(|| format!("cannot read {}", manifest.display()))?;
        let mut source = Self {
            name: name.to_string_lossy().into_owned(),
            library: library_name(&manifest)?,
            ..Self::default()
        };
        let src = folder.join("src");
        for root in roots(&src)? {
            let module = Reader::new(&mut source, &src).root(&root)?;
            if root.ends_with("lib.rs") {
                source.library_root = Some(module);
            }
        }
        if source.files.is_empty() {
            bail!("{} has neither a library nor a program", src.display());
        }
        Ok(source)
    }

    /// The file with this path, which is added if it is new.
    pub fn file(&mut self, path: String) -> FileId {
        let known = self.files.iter().position(|file| *file == path);
        known.unwrap_or_else(|| {
            self.files.push(path);
            self.files.len() - 1
        })
    }

    /// A file's path below `src`.
    pub fn path(&self, file: FileId) -> &str {
        self.files.get(file).map_or("", String::as_str)
    }

    /// The outermost module around this one.
    pub fn root_of(&self, module: ModuleId) -> ModuleId {
        let mut at = module;
        while let Some(parent) = self.modules.get(at).and_then(|module| module.parent) {
            at = parent;
        }
        at
    }

    /// Whether `inner` stands somewhere inside `outer`.
    pub fn is_inside(&self, inner: ModuleId, outer: ModuleId) -> bool {
        let mut at = Some(inner);
        while let Some(module) = at {
            if module == outer {
                return true;
            }
            at = self.modules.get(module).and_then(|module| module.parent);
        }
        false
    }
}

/// The name that other code uses for a package's library.
fn library_name(manifest: &str) -> Result<String> {
    let manifest: toml::Table = manifest.parse().context("cannot read a Cargo.toml")?;
    let name_in = |table: &str| manifest.get(table)?.get("name")?.as_str();
    let name = name_in("lib").or_else(|| name_in("package"));
    Ok(name
        .context("a Cargo.toml names no package")?
        .replace('-', "_"))
}

/// The files in which a library or a program begins.
fn roots(src: &Path) -> Result<Vec<PathBuf>> {
    let mut roots: Vec<PathBuf> = ["lib.rs", "main.rs"].map(|name| src.join(name)).into();
    roots.retain(|root| root.is_file());
    if let Ok(programs) = std::fs::read_dir(src.join("bin")) {
        for program in programs {
            let path = program?.path();
            let main = path.join("main.rs");
            if path.extension().is_some_and(|extension| extension == "rs") {
                roots.push(path);
            } else if main.is_file() {
                roots.push(main);
            }
        }
    }
    roots.sort();
    Ok(roots)
}
