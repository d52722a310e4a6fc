//! The files in `docs/` are what the code says.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::path::Path;

#[test]
fn the_files_in_docs_are_what_the_code_says() {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs");
    for file in xtask_rpc_docs::files().unwrap() {
        let written = std::fs::read_to_string(docs.join(file.name)).unwrap_or_default();
        for (number, (there, here)) in written.lines().zip(file.text.lines()).enumerate() {
            assert_eq!(
                there,
                here,
                "docs/{} differs from the code in line {}: run `cargo xtask rpc-docs`",
                file.name,
                number + 1
            );
        }
        assert!(
            written == file.text,
            "docs/{} differs from the code at its end: run `cargo xtask rpc-docs`",
            file.name
        );
    }
}
