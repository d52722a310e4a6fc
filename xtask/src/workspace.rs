//! This repository on disk: where it is, and how its programs are built.
//!
//! **Elsewhere**: `demo` and `bench` use the programs.
//!
//! **Always**: paths come from where xtask was compiled and from cargo's own answers, never
//! from the current directory.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::progress::Progress;

/// The root of the repository.
pub fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_path_buf()
}

/// The cargo that runs us, or the one on the path.
pub fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root());
    command
}

/// How a program is compiled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profile {
    /// With checks; what tests use.
    Dev,
    /// Optimised; what people and benches use.
    Release,
}

/// Paths of our programs, freshly built.
#[derive(Clone, Debug)]
pub struct Programs {
    /// The client.
    pub waxwing: PathBuf,
    /// The server.
    pub relay: PathBuf,
    /// What reads the private keys out of a home, for the demo.
    pub keys: PathBuf,
    /// What does to a relay's disk what a lying operator would, for the demo.
    pub swap: PathBuf,
}

impl Programs {
    /// Builds them.
    pub fn build(profile: Profile, progress: Progress) -> Result<Self> {
        let packages = [
            ("waxwing", "waxwing"),
            ("waxwing-relay-server", "waxwing-relay"),
            ("xtask-keys", "xtask-keys"),
            ("xtask-swap", "xtask-swap"),
        ];
        let paths = build(
            profile,
            &packages,
            "building the client and the relay",
            progress,
        )?;
        let [waxwing, relay, keys, swap] = <[PathBuf; 4]>::try_from(paths)
            .map_err(|_| anyhow::anyhow!("cargo built another number of programs"))?;
        Ok(Self {
            waxwing,
            relay,
            keys,
            swap,
        })
    }
}

/// Writes the documentation of the RPC from `crates/api`. The types of the API are compiled for
/// that, so it is a program of its own and not a part of every `cargo xtask`.
pub fn write_rpc_docs() -> Result<bool> {
    let mut command = cargo();
    command.args(["run", "--quiet", "--package", "xtask-rpc-docs"]);
    Ok(command.status().context("cargo does not start")?.success())
}

/// Tells tests that they need not build the programs that they start: `cargo xtask test` has
/// built all of them at once, which takes minutes less than each by itself, with other features.
pub const PROGRAMS_ARE_BUILT: &str = "WAXWING_PROGRAMS_ARE_BUILT";

/// Builds `packages` (package, binary) and tells where cargo put the binaries.
pub fn build(
    profile: Profile,
    packages: &[(&str, &str)],
    title: &str,
    progress: Progress,
) -> Result<Vec<PathBuf>> {
    if profile == Profile::Dev && std::env::var_os(PROGRAMS_ARE_BUILT).is_some() {
        // A test's own program lies in `deps/`, beside them.
        let test = std::env::current_exe()?;
        let beside = test.parent().and_then(Path::parent);
        let beside = beside.context("this program lies nowhere")?;
        let paths = packages.iter().map(|(_, binary)| beside.join(binary));
        return Ok(paths.collect());
    }
    let mut command = cargo();
    command.args(["build", "--message-format", "json-render-diagnostics"]);
    if profile == Profile::Release {
        command.arg("--release");
    }
    for (package, binary) in packages {
        command.args(["--package", package, "--bin", binary]);
    }
    let step = progress.step(title);
    let finished = step.run(&mut command, None)?;
    if !finished.success() {
        let log = finished.error_text();
        step.failed();
        bail!("the programs do not build:\n{log}");
    }
    step.done("");
    packages
        .iter()
        .map(|(_, binary)| {
            executable(&finished.standard_output, binary)
                .with_context(|| format!("cargo did not say where it put {binary}"))
        })
        .collect()
}

/// The path in cargo's `compiler-artifact` message for `binary`.
fn executable(messages: &str, binary: &str) -> Option<PathBuf> {
    messages
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
        .filter(|message| message.pointer("/target/name").and_then(|n| n.as_str()) == Some(binary))
        .find_map(|message| message.get("executable")?.as_str().map(PathBuf::from))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_of_a_binary_is_read_from_cargos_messages() {
        let messages = concat!(
            "{\"reason\":\"compiler-artifact\",\"target\":{\"name\":\"waxwing\"},\"executable\":null}\n",
            "not json\n",
            "{\"reason\":\"compiler-artifact\",\"target\":{\"name\":\"waxwing\"},\"executable\":\"/t/waxwing\"}\n",
        );
        assert_eq!(
            executable(messages, "waxwing"),
            Some(PathBuf::from("/t/waxwing"))
        );
        assert_eq!(executable(messages, "waxwing-relay"), None);
    }
}
