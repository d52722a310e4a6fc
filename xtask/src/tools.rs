//! The tools that tests need in addition to cargo: whether they are installed, and how to
//! install them.
//!
//! **Elsewhere**: `.ci/run` installs system packages (a C compiler and the like).
//!
//! **Always**: nothing is installed on a person's machine without asking; if CI is set,
//! missing tools are installed where possible.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context as _;

use crate::progress::Progress;

/// At the end, a tool that is still being compiled is waited for this long.
const INSTALL_LIMIT: Duration = Duration::from_mins(5);

/// The cargo that picks toolchains (rustup's), rather than the one that runs us.
pub fn rustup_cargo(arguments: &[&str]) -> Command {
    let mut command = Command::new("cargo");
    command.current_dir(crate::workspace::root());
    command
        .args(arguments)
        .env_remove("CARGO")
        .env_remove("RUSTUP_TOOLCHAIN");
    command
}

/// Whether `cargo NAME` exists.
pub fn subcommand(name: &str) -> bool {
    answers(rustup_cargo(&[name, "--version"]))
}

/// Whether a component of the toolchain is there; in CI it is added when it is not.
pub fn component(name: &str, install: bool) -> bool {
    let program = if name == "rustfmt" { "fmt" } else { name };
    if answers(rustup_cargo(&[program, "--version"])) {
        return true;
    }
    if install {
        let mut add = Command::new("rustup");
        add.args(["component", "add", name]);
        return answers(add) && answers(rustup_cargo(&[program, "--version"]));
    }
    false
}

/// Sees to it that `cargo NAME` exists: in CI it is compiled from `package` when it is
/// missing. The error is the sentence for people.
pub fn install(
    name: &str,
    package: &str,
    in_ci: bool,
    progress: Progress,
) -> std::result::Result<(), String> {
    if subcommand(name) {
        return Ok(());
    }
    if !in_ci {
        return Err(format!(
            "{package} is missing: `cargo install {package} --locked` installs it"
        ));
    }
    let step = progress.step(&format!("installing {package}"));
    // Quickly built: these tools run for seconds.
    let mut command = rustup_cargo(&["install", package, "--locked", "--debug"]);
    match step.run(&mut command, Some(crate::steps::STEP_LIMIT)) {
        Ok(finished) if finished.success() && subcommand(name) => {
            step.done("");
            Ok(())
        }
        _ => {
            step.failed();
            Err(format!(
                "`cargo install {package} --locked` did not work here"
            ))
        }
    }
}

/// Begins to compile `package` where `cargo NAME` is missing, with the time that the processors
/// have left over: most steps leave one of them idle at their end.
pub fn install_beside(name: &str, package: &str) -> Option<Child> {
    if subcommand(name) {
        return None;
    }
    let install = rustup_cargo(&["install", package, "--locked", "--debug"]);
    let mut politely = Command::new("nice");
    politely
        .args(["-n", "19"])
        .arg(install.get_program())
        .args(install.get_args())
        .current_dir(crate::workspace::root())
        .env_remove("CARGO")
        .env_remove("RUSTUP_TOOLCHAIN")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    // Without `nice` it is compiled when it is needed.
    politely.spawn().ok()
}

/// Waits for what [`install_beside`] began. What it could not install, [`install`] tries again
/// where its errors are seen.
pub fn wait_until_installed(
    package: &str,
    mut installing: Child,
    progress: Progress,
) -> anyhow::Result<()> {
    let step = progress.step(&format!("waiting until {package} is compiled"));
    let began = Instant::now();
    while installing.try_wait()?.is_none() {
        if began.elapsed() > INSTALL_LIMIT {
            installing.kill()?;
            installing.wait()?;
        }
        thread::sleep(Duration::from_millis(200));
    }
    step.done("");
    Ok(())
}

/// Whether Node.js and its packages can be used.
pub fn npm() -> bool {
    let mut ask = Command::new("npm");
    ask.arg("--version");
    answers(ask)
}

/// Whether the system's own OpenSSL can be built against.
pub fn has_openssl() -> bool {
    let mut ask = Command::new("pkg-config");
    ask.args(["--exists", "openssl"]);
    answers(ask)
}

/// Lets a cargo command use what `cargo clippy` found out about our crates, which is what
/// `cargo check` would find out, instead of compiling them once more. If clippy changes how
/// it calls the compiler, the command takes longer, and its result is the same.
pub fn reuse_what_clippy_checked(command: &mut Command) {
    let driver = compilers_folder().map(|root| root.join("bin/clippy-driver"));
    let Some(driver) = driver.filter(|driver| driver.exists()) else {
        return;
    };
    command.env("RUSTC_WORKSPACE_WRAPPER", driver).env(
        "CLIPPY_ARGS",
        "-D__CLIPPY_HACKERY__warnings__CLIPPY_HACKERY__",
    );
}

/// A program that copies parts of programs: the system's, or else that of the compiler.
pub fn objcopy() -> anyhow::Result<PathBuf> {
    let mut ask = Command::new("objcopy");
    ask.arg("--version");
    if answers(ask) {
        return Ok("objcopy".into());
    }
    let folder = compilers_folder().map(|root| root.join("lib/rustlib"));
    let targets = folder.and_then(|folder| std::fs::read_dir(folder).ok());
    targets
        .into_iter()
        .flatten()
        .flatten()
        .map(|target| target.path().join("bin/rust-objcopy"))
        .find(|program| program.exists())
        .context("objcopy is missing: it is in the package binutils")
}

/// Where the toolchain is installed.
fn compilers_folder() -> Option<PathBuf> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(rustc)
        .args(["--print", "sysroot"])
        .current_dir(crate::workspace::root())
        .output()
        .ok()?;
    let path = String::from_utf8(output.stdout).ok()?;
    let path = PathBuf::from(path.trim());
    path.is_dir().then_some(path)
}

/// The version of the nightly toolchain, as (1, 97), where there is one.
pub fn nightly() -> Option<(u32, u32)> {
    let output = rustup_cargo(&["+nightly", "--version"])
        .stderr(Stdio::null())
        .output()
        .ok()?;
    version(&String::from_utf8(output.stdout).ok()?)
}

/// `cargo 1.97.0-nightly (…)` is (1, 97).
fn version(text: &str) -> Option<(u32, u32)> {
    let mut numbers = text.split_whitespace().nth(1)?.split('.');
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

/// Whether cargo-deny has fetched advisories at some time before.
pub fn advisories_are_cached() -> bool {
    let home = std::env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| std::env::home_dir().map(|home| home.join(".cargo")));
    let folders = home.and_then(|home| std::fs::read_dir(home.join("advisory-dbs")).ok());
    folders
        .into_iter()
        .flatten()
        .flatten()
        .any(|folder| folder.path().join("crates").is_dir())
}

fn answers(mut command: Command) -> bool {
    let status = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    status.is_ok_and(|status| status.success())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_toolchains_version_is_read() {
        assert_eq!(
            version("cargo 1.97.0-nightly (4d1f98451 2026-05-15)\n"),
            Some((1, 97))
        );
        assert_eq!(version("error: toolchain 'nightly' is not installed"), None);
    }
}
