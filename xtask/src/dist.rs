//! `cargo xtask dist`: what a release consists of, in `target/dist-archives`.
//!
//! For each program an archive with the program, its manual page, completions for shells and
//! the licences, and a second archive with what debuggers need; `SHA256SUMS` names them all.
//!
//! **Elsewhere**: how a released program is compiled is `[profile.dist]` in `Cargo.toml`; the page
//! that `waxwing` has in it is made by `page`.
//!
//! **Always**: a program that is larger than [`LARGEST`], or a client without its page, is an
//! error; the same sources and compiler give the same archives, and no path of the machine that
//! made them is in them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use aho_corasick::AhoCorasick;
use anyhow::{Context, Result, bail, ensure};

use crate::page;
use crate::progress::Progress;
use crate::tools;
use crate::workspace::{cargo, root};

/// Of a released program, in bytes.
const LARGEST: u64 = 30_000_000;

/// Package and program.
const PROGRAMS: [(&str, &str); 2] = [
    ("waxwing", "waxwing"),
    ("waxwing-relay-server", "waxwing-relay"),
];

/// What is beside the program in its archive.
const DOCUMENTS: [&str; 4] = ["README.md", "CHANGELOG.md", "LICENSE-APACHE", "LICENSE-MIT"];

/// Shells, and the name of a file with completions for them.
const SHELLS: [(&str, &str, &str); 3] = [
    ("bash", "", ".bash"),
    ("zsh", "_", ""),
    ("fish", "", ".fish"),
];

/// Makes the archives.
pub fn run() -> Result<()> {
    let progress = Progress::for_people();
    let folder = root().join("target/dist-archives");
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    fs::create_dir_all(&folder)?;
    let page = build_page()?;
    build(progress)?;
    let target = target()?;
    let mut archives = Vec::new();
    for (_, program) in PROGRAMS {
        let step = progress.step(&format!("packing {program}"));
        let version = env!("CARGO_PKG_VERSION");
        let name = format!("{program}-{version}-{target}");
        let content = folder.join(&name);
        fs::create_dir(&content)?;
        let debug = folder.join(format!("{program}.debug"));
        let bytes = split(&built(program), &content.join(program), &debug)?;
        ensure!(
            bytes <= LARGEST,
            "{program} has {bytes} bytes, more than {LARGEST}"
        );
        if program == "waxwing" {
            let whole = fs::read(content.join(program))?;
            let is_in_it = AhoCorasick::new([&page])?.is_match(&whole);
            ensure!(is_in_it, "waxwing was built without the page of the app");
        }
        for document in DOCUMENTS {
            fs::copy(root().join(document), content.join(document))?;
        }
        describe(program, &content)?;
        archives.push(archive(&folder, &name, &name)?);
        fs::remove_dir_all(&content)?;
        let debug_name = format!("{program}.debug");
        archives.push(archive(&folder, &format!("{name}-debug"), &debug_name)?);
        fs::remove_file(&debug)?;
        step.done(&format!("{:.1} MB", megabytes(bytes)));
    }
    let sums = output(
        Command::new("sha256sum")
            .args(&archives)
            .current_dir(&folder),
    )?;
    fs::write(folder.join("SHA256SUMS"), sums)?;
    println!("{}", folder.display());
    Ok(())
}

/// Builds the page of the app, and gives its first file.
fn build_page() -> Result<Vec<u8>> {
    page::run(&page::Options::default())?;
    // Cargo does not notice files that come into the page.
    let clean = ["clean", "--profile", "dist", "--package", "waxwing-app"];
    output(cargo().args(clean))?;
    fs::read(root().join("page/dist/index.html")).context("the page of the app was not built")
}

fn build(progress: Progress) -> Result<()> {
    let mut command = cargo();
    command
        .args(["build", "--profile", "dist", "--locked"])
        .env("CARGO_ENCODED_RUSTFLAGS", without_paths()?)
        // A released program has its own OpenSSL.
        .env_remove("OPENSSL_NO_VENDOR");
    for (package, program) in PROGRAMS {
        command.args(["--package", package, "--bin", program]);
    }
    let step = progress.step("building for release");
    let finished = step.run(&mut command, None)?;
    if !finished.success() {
        step.failed();
        bail!("the programs do not build:\n{}", finished.error_text());
    }
    step.done("");
    Ok(())
}

/// Flags by which the compiler writes no path of this machine into a program.
fn without_paths() -> Result<String> {
    let home = std::env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| std::env::home_dir().map(|home| home.join(".cargo")))
        .context("cargo's home is unknown")?;
    let remap = |from: &Path, to: &str| format!("--remap-path-prefix={}={to}", from.display());
    Ok([remap(&root(), "/waxwing"), remap(&home, "/cargo")].join("\u{1f}"))
}

fn built(program: &str) -> PathBuf {
    let folder = std::env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into());
    root().join(folder).join("dist").join(program)
}

/// The program without what only debuggers need, and that by itself. Gives the program's size.
fn split(built: &Path, program: &Path, debug: &Path) -> Result<u64> {
    let objcopy = tools::objcopy()?;
    output(
        Command::new(&objcopy)
            .arg("--only-keep-debug")
            .args([built, debug]),
    )?;
    output(
        Command::new(&objcopy)
            .arg("--strip-all")
            .args([built, program]),
    )?;
    let mut link = std::ffi::OsString::from("--add-gnu-debuglink=");
    link.push(debug);
    output(Command::new(&objcopy).arg(link).arg(program))?;
    Ok(fs::metadata(program)?.len())
}

/// The manual page and the completions, which the program itself knows.
fn describe(program: &str, content: &Path) -> Result<()> {
    let ask = |arguments: &[&str]| output(Command::new(content.join(program)).args(arguments));
    fs::write(content.join(format!("{program}.1")), ask(&["man"])?)?;
    let completions = content.join("completions");
    fs::create_dir(&completions)?;
    for (shell, before, after) in SHELLS {
        let name = format!("{before}{program}{after}");
        fs::write(completions.join(name), ask(&["completions", shell])?)?;
    }
    Ok(())
}

/// Packs `content` of a folder; the same content makes the same archive.
fn archive(folder: &Path, name: &str, content: &str) -> Result<String> {
    let archive = format!("{name}.tar.gz");
    output(
        Command::new("tar")
            .args(["--sort=name", "--owner=0", "--group=0", "--numeric-owner"])
            .arg(format!("--mtime=@{}", commit_time()?))
            .args(["--use-compress-program=gzip -9n", "-cf", &archive, content])
            .current_dir(folder),
    )?;
    Ok(archive)
}

/// When the commit was made that is built, in seconds since 1970.
fn commit_time() -> Result<String> {
    let time = output(
        Command::new("git")
            .args(["log", "-1", "--format=%ct"])
            .current_dir(root()),
    )?;
    Ok(String::from_utf8(time)?.trim().to_owned())
}

/// What kind of machine the programs are for, such as `x86_64-unknown-linux-gnu`.
fn target() -> Result<String> {
    let about = output(Command::new("rustc").arg("-vV").current_dir(root()))?;
    let about = String::from_utf8(about)?;
    let line = about.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(line.context("rustc does not say its host")?.to_owned())
}

fn output(command: &mut Command) -> Result<Vec<u8>> {
    let name = command.get_program().display().to_string();
    let output = command
        .output()
        .with_context(|| format!("cannot start {name}"))?;
    if !output.status.success() {
        bail!("{name}: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(output.stdout)
}

#[expect(clippy::cast_precision_loss, reason = "for people to read")]
fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}
