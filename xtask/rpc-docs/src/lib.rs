//! What `crates/api` says, as files for people and programs: `docs/rpc.md`, `docs/rpc.schema.json`
//! and `docs/rpc.d.ts`.
//!
//! **Elsewhere**: the list of methods is `crates/api/src/methods.rs`. The introduction of
//! `docs/rpc.md` is `rpc.template.md` beside this crate's `Cargo.toml`.
//!
//! **Always**: the same code makes the same files; a test compares them with those in `docs/`.

mod markdown;
mod schema;
mod typescript;

/// A file in the folder `docs`.
pub struct File {
    /// Its name.
    pub name: &'static str,
    /// What it holds.
    pub text: String,
}

/// All files that are made from `crates/api`.
pub fn files() -> anyhow::Result<Vec<File>> {
    let schema = schema::schema();
    let mut json = serde_json::to_string_pretty(&schema)?;
    json.push('\n');
    Ok(vec![
        File {
            name: "rpc.md",
            text: markdown::document()?,
        },
        File {
            name: "rpc.schema.json",
            text: json,
        },
        File {
            name: "rpc.d.ts",
            text: typescript::types(&schema),
        },
    ])
}
