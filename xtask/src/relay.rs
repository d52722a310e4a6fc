//! A relay as a child process: started, watched, stopped, killed.
//!
//! **Elsewhere**: `demo` and the load generator talk to it.
//!
//! **Always**: it ends with the process that started it; everything that it writes to standard
//! output and standard error is kept in files, so that it can be searched.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

/// What the relay prints when it is ready, before its URL.
const READY: &str = "listening ";

/// It must be ready within this time, and gone within it after being asked to stop.
const PATIENCE: Duration = Duration::from_mins(1);

/// How to start a relay.
#[derive(Clone, Debug)]
pub struct Setup {
    /// The program.
    pub program: PathBuf,
    /// Its data directory.
    pub data: PathBuf,
    /// Where its output goes: `relay.out` and `relay.log`, appended to.
    pub logs: PathBuf,
    /// `127.0.0.1:0` for any free port.
    pub listen: String,
    /// Further arguments of `waxwing-relay serve`.
    pub arguments: Vec<String>,
    /// Codes that may be mailed in an hour; `None` for the relay's own default, which is too few
    /// where thousands of people come from one network. A relay that has no such limit ignores it.
    pub codes_per_hour: Option<u32>,
}

/// Codes for as many people as want to register.
pub const PLENTY_OF_CODES: Option<u32> = Some(1_000_000_000);

/// A relay that runs.
pub struct Relay {
    child: Child,
    /// Where it is reached, with its pin.
    pub url: String,
}

impl Setup {
    /// Starts it, and waits until it is ready.
    pub fn start(&self) -> Result<Relay> {
        fs::create_dir_all(&self.logs)?;
        let out = self.logs.join("relay.out");
        let already = fs::metadata(&out).map_or(0, |file| file.len());
        let mut command = Command::new(&self.program);
        if let Some(codes) = self.codes_per_hour {
            command.env("WAXWING_RELAY_CODES_PER_HOUR", codes.to_string());
        }
        let mut child = command
            .args(["serve", "--listen", &self.listen, "--data"])
            .arg(&self.data)
            .args(&self.arguments)
            .stdin(Stdio::null())
            .stdout(append(&out)?)
            .stderr(append(&self.logs.join("relay.log"))?)
            .spawn()
            .with_context(|| format!("cannot start {}", self.program.display()))?;
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(url) = announced(&out, already)? {
                return Ok(Relay { child, url });
            }
            if let Some(status) = child.try_wait()? {
                bail!("the relay ended at once ({status}):\n{}", self.log_tail());
            }
            if Instant::now() > deadline {
                child.kill()?;
                child.wait()?;
                bail!(
                    "the relay is not ready after {PATIENCE:?}:\n{}",
                    self.log_tail()
                );
            }
            thread::sleep(Duration::from_millis(10));
        }
    }

    fn log_tail(&self) -> String {
        let log = fs::read_to_string(self.logs.join("relay.log")).unwrap_or_default();
        crate::progress::tail(&log, 20)
    }
}

impl Relay {
    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Ends it without warning, as a power cut would.
    pub fn kill(mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Asks it to stop, and waits until it has.
    pub fn stop(mut self) -> Result<ExitStatus> {
        signal(Signal::TERM, self.pid())?;
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            if Instant::now() > deadline {
                bail!("the relay did not stop within {PATIENCE:?}");
            }
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// Holds it still while its memory and files are looked at.
    pub fn frozen<T>(&self, look: impl FnOnce() -> Result<T>) -> Result<T> {
        signal(Signal::STOP, self.pid())?;
        let seen = look();
        signal(Signal::CONT, self.pid())?;
        seen
    }

    /// Lets it go on after we have ended.
    pub fn leave_running(self) {
        std::mem::forget(self);
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn append(path: &Path) -> Result<File> {
    File::options()
        .create(true)
        .append(true)
        .open(path)
        .with_context(|| format!("cannot write {}", path.display()))
}

/// The URL in what the relay has printed since `already`.
fn announced(out: &Path, already: u64) -> Result<Option<String>> {
    let text = fs::read_to_string(out)?;
    let new = text.get(usize::try_from(already)?..).unwrap_or_default();
    Ok(new
        .split_inclusive('\n')
        .filter_map(|line| line.strip_suffix('\n'))
        .find_map(|line| line.strip_prefix(READY))
        .map(|url| url.trim().to_owned()))
}

fn signal(signal: Signal, pid: u32) -> Result<()> {
    let pid = i32::try_from(pid)
        .ok()
        .and_then(Pid::from_raw)
        .context("no process id")?;
    kill_process(pid, signal).with_context(|| format!("cannot send {signal:?} to the relay"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_url_is_read_from_a_whole_line_of_this_start() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("relay.out");
        let first = "listening https://127.0.0.1:1/#sha256/a\n";
        fs::write(&out, format!("{first}listening https://127.0.0.1:2/#sha")).unwrap();
        let url = |already| announced(&out, already).unwrap();
        assert_eq!(url(0).as_deref(), Some("https://127.0.0.1:1/#sha256/a"));
        assert_eq!(url(first.len() as u64), None);
    }

    #[test]
    fn a_program_that_ends_at_once_is_an_error_with_what_it_said() {
        let folder = tempfile::tempdir().unwrap();
        let setup = Setup {
            program: "false".into(),
            data: folder.path().join("data"),
            logs: folder.path().to_path_buf(),
            listen: "127.0.0.1:0".into(),
            arguments: vec![],
            codes_per_hour: None,
        };
        let error = setup.start().err().unwrap().to_string();
        assert!(error.contains("ended at once"), "{error}");
    }
}
