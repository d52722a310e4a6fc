//! From names to files: which file each file of a crate imports.
//!
//! - A name is an import of the file that *defines* it. If `letters/mod.rs` says
//!   `pub use envelope::Stamp`, then `use crate::letters::Stamp` imports `envelope.rs`. The
//!   `pub use` itself is not an import.
//! - A `use` of a module is not an import. Each use of something in that module is.
//! - A field that is reached from `self` or a parameter is an import of the field's type
//!   (`turn.live.links`), although no `use` shows it.
//! - A method that is called on `self` or a parameter is an import of the file that has the
//!   method: `self.deposit(…)`, where `impl Relay` stands in `mailbox/mod.rs`.
//!
//! **Elsewhere**: which imports break the target is decided in [`super::findings`].
//!
//! **Always**: a name that is not found belongs to another crate, and is not an import.

use std::collections::BTreeMap;

use super::source::{FileId, Module, ModuleId, Reach, Source};

/// A name that stands for another name, and so on, is followed this far.
const DEPTH: usize = 16;

/// What one file imports from another.
#[derive(Clone, Debug)]
pub struct Import {
    /// The line of the first use, from 1.
    pub line: usize,
    /// What is used there, as the code writes it.
    pub what: String,
    /// How many uses there are.
    pub uses: usize,
}

/// All imports of a crate, by the file that imports and the file that is imported.
pub type Imports = BTreeMap<(FileId, FileId), Import>;

/// Finds all imports between the files of a crate.
pub fn imports(source: &Source) -> Imports {
    let mut names = Names {
        source,
        methods: BTreeMap::new(),
        fields: BTreeMap::new(),
    };
    names.find_members();
    let mut imports = Imports::new();
    for (id, module) in source.modules.iter().enumerate() {
        for (to, line, what) in names.imported(id, module) {
            if to != module.file {
                note(&mut imports, (module.file, to), line, what);
            }
        }
    }
    imports
}

/// Counts a use, and keeps the first of a file.
fn note(imports: &mut Imports, files: (FileId, FileId), line: usize, what: String) {
    let uses = imports.get(&files).map_or(0, |import| import.uses) + 1;
    match imports.get_mut(&files) {
        Some(import) if import.line <= line => import.uses = uses,
        _ => {
            imports.insert(files, Import { line, what, uses });
        }
    }
}

/// The file that is used, the line of the use, and what is used.
type Used = (FileId, usize, String);

/// What a path stands for.
enum Found {
    Module(ModuleId),
    /// Something that a module defines, and what follows it in the path: a variant or method.
    Item {
        module: ModuleId,
        name: String,
        then: Option<String>,
    },
}

impl Found {
    fn module(&self) -> ModuleId {
        match self {
            Self::Module(module) | Self::Item { module, .. } => *module,
        }
    }
}

struct Names<'s> {
    source: &'s Source,
    /// The file of each method, by the module and name of its type and its own name.
    methods: BTreeMap<(ModuleId, String, String), FileId>,
    /// The types of each field, by the module and name of its struct and its own name.
    fields: BTreeMap<(ModuleId, &'s str, &'s str), &'s [Vec<String>]>,
}

impl Names<'_> {
    fn find_members(&mut self) {
        for (id, module) in self.source.modules.iter().enumerate() {
            for field in &module.fields {
                let key = (id, field.of.as_str(), field.name.as_str());
                self.fields.insert(key, &field.types);
            }
            for method in &module.methods {
                let Some(of) = self.resolve(id, &method.of, 0) else {
                    continue;
                };
                if let Found::Item {
                    module: of, name, ..
                } = of
                {
                    let key = (of, name, method.name.clone());
                    self.methods.insert(key, module.file);
                }
            }
        }
    }

    /// All uses of files in a module's code, also of its own file.
    fn imported(&self, id: ModuleId, module: &Module) -> Vec<Used> {
        let mut imported = Vec::new();
        // What the module hands on with `pub use` from the modules inside it.
        let mut handed_on = BTreeMap::new();
        for used in &module.uses {
            let Some(found) = self.resolve(id, &used.path, 0) else {
                continue;
            };
            let is_handed_on = used.is_public && self.source.is_inside(found.module(), id);
            let is_module = matches!(found, Found::Module(_)) && used.name.is_some();
            if is_handed_on && let Some(name) = &used.name {
                handed_on.insert(name.as_str(), self.file(&found));
            }
            if !is_handed_on && !is_module {
                imported.push((self.file(&found), used.line, used.path.join("::")));
            }
        }
        for mention in &module.mentions {
            let what = mention.path.join("::");
            if let [name] = mention.path.as_slice() {
                // Any other single name was counted with the `use` that it comes from.
                let to = handed_on.get(name.as_str());
                imported.extend(to.map(|to| (*to, mention.line, what)));
            } else if let Some(found) = self.resolve(id, &mention.path, 0) {
                let method = self.method_of(&found);
                imported.extend(method.map(|to| (to, mention.line, what.clone())));
                imported.push((self.file(&found), mention.line, what));
            }
        }
        for reach in &module.reaches {
            let reached = self.reached(id, reach).into_iter();
            imported.extend(reached.map(|(to, what)| (to, reach.line, what)));
        }
        imported
    }

    /// The files that are imported by reaching from a variable, and what is reached there.
    fn reached(&self, from: ModuleId, reach: &Reach) -> Vec<(FileId, String)> {
        let mut reached = Vec::new();
        let mut at = self.resolve(from, &reach.of, 0);
        for field in &reach.fields {
            let Some(Found::Item { module, name, .. }) = at else {
                return reached;
            };
            let key = (module, name.as_str(), field.as_str());
            let Some(types) = self.fields.get(&key) else {
                return reached;
            };
            for of in types.iter().filter_map(|of| self.resolve(module, of, 0)) {
                reached.push((self.file(&of), format!("{name}::{field}")));
            }
            at = types.first().and_then(|of| self.resolve(module, of, 0));
        }
        if let (Some(of), Some(method)) = (at, &reach.method)
            && let Some(file) = self.method(&of, method)
            && let Found::Item { name, .. } = of
        {
            reached.push((file, format!("{name}::{method}")));
        }
        reached
    }

    fn file(&self, found: &Found) -> FileId {
        let module = self.source.modules.get(found.module());
        module.map_or(0, |module| module.file)
    }

    fn method(&self, of: &Found, name: &str) -> Option<FileId> {
        let Found::Item {
            module, name: of, ..
        } = of
        else {
            return None;
        };
        let key = (*module, of.clone(), name.to_owned());
        self.methods.get(&key).copied()
    }

    /// The file of the method at the end of a path such as `Relay::deposit`.
    fn method_of(&self, found: &Found) -> Option<FileId> {
        match found {
            Found::Item {
                then: Some(then), ..
            } => self.method(found, then),
            _ => None,
        }
    }

    fn resolve(&self, from: ModuleId, path: &[String], depth: usize) -> Option<Found> {
        if depth > DEPTH {
            return None;
        }
        let (first, mut rest) = path.split_first()?;
        let mut at = match first.as_str() {
            "crate" => Found::Module(self.source.root_of(from)),
            "self" => Found::Module(from),
            "super" => Found::Module(self.source.modules.get(from)?.parent?),
            name => match self.named(from, name, !rest.is_empty(), depth) {
                Some(found) => found,
                None if name == self.source.library => Found::Module(self.source.library_root?),
                None => return None,
            },
        };
        while let Some((next, after)) = rest.split_first() {
            match at {
                Found::Item { module, name, .. } => {
                    let then = Some(next.clone());
                    return Some(Found::Item { module, name, then });
                }
                Found::Module(module) if next == "super" => {
                    at = Found::Module(self.source.modules.get(module)?.parent?);
                }
                // What it hands on from another crate.
                Found::Module(module) if self.is_of_another_crate(module, next, depth) => {
                    return None;
                }
                Found::Module(module) => {
                    // What a module has and is not found was made by a macro in it.
                    at = self
                        .named(module, next, !after.is_empty(), depth)
                        .unwrap_or(Found::Item {
                            module,
                            name: next.clone(),
                            then: None,
                        });
                }
            }
            rest = after;
        }
        Some(at)
    }

    /// Whether a module has a name only by a `use` of something in another crate.
    fn is_of_another_crate(&self, id: ModuleId, name: &str, depth: usize) -> bool {
        let module = self.source.modules.get(id);
        let mut uses = module.into_iter().flat_map(|module| &module.uses);
        uses.any(|used| used.name.as_deref() == Some(name))
            && self.named(id, name, true, depth).is_none()
    }

    /// What a name stands for in a module. Where more of a path follows, a module is meant
    /// rather than a function of the same name.
    fn named(&self, id: ModuleId, name: &str, more: bool, depth: usize) -> Option<Found> {
        let module = self.source.modules.get(id)?;
        let child = module.children.get(name).map(|child| Found::Module(*child));
        if more && child.is_some() {
            return child;
        }
        if module.items.contains(name) {
            return Some(Found::Item {
                module: id,
                name: name.to_owned(),
                then: None,
            });
        }
        if child.is_some() {
            return child;
        }
        let by_name = module
            .uses
            .iter()
            .filter(|used| used.name.as_deref() == Some(name));
        let by_name = by_name
            .filter(|used| used.path.len() > 1 || used.path.first().is_some_and(|p| p != name))
            .find_map(|used| self.resolve(id, &used.path, depth + 1));
        if by_name.is_some() {
            return by_name;
        }
        let globs = module.uses.iter().filter(|used| used.name.is_none());
        globs
            .filter_map(|used| match self.resolve(id, &used.path, depth + 1)? {
                Found::Module(from) if from != id && depth < DEPTH => Some(from),
                _ => None,
            })
            .find_map(|from| self.named(from, name, more, depth + 1))
    }
}
