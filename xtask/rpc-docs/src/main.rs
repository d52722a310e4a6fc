//! Writes the files into `docs/`: `cargo xtask rpc-docs`.

use std::path::Path;

use anyhow::Context as _;

fn main() -> anyhow::Result<()> {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs");
    for file in xtask_rpc_docs::files()? {
        let path = docs.join(file.name);
        std::fs::write(&path, file.text).with_context(|| format!("cannot write {}", file.name))?;
        println!("docs/{}", file.name);
    }
    Ok(())
}
