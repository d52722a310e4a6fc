//! Compiles `proto/` with protox (pure Rust: no protoc to install) and prost.

use std::io::Error;

fn main() -> Result<(), Error> {
    println!("cargo:rerun-if-changed=proto");
    let files =
        ["link", "account", "group", "content"].map(|name| format!("waxwing/v1/{name}.proto"));
    let descriptors = protox::compile(files, ["proto"]).map_err(Error::other)?;
    prost_build::Config::new()
        // Bodies are handed from a frame to mailboxes without a copy.
        .bytes(["."])
        .compile_fds(descriptors)
}
