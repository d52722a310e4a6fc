//! What the relay's process uses, as the kernel counts it.
//!
//! **Elsewhere**: starting and stopping it is `xtask::relay`.
//!
//! **Always**: figures are of that process alone, not of the load generator's.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};

/// The relay's process.
#[derive(Clone, Copy, Debug)]
pub struct Process {
    /// Its id.
    pub pid: u32,
}

impl Process {
    /// User and system time so far.
    pub fn cpu(self) -> Result<Duration> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid))?;
        let ticks = cpu_ticks(&stat).context("/proc/PID/stat is not as expected")?;
        let per_second = rustix::param::clock_ticks_per_second();
        Ok(Duration::from_millis(ticks * 1000 / per_second))
    }

    /// Memory in use now, in KiB (`VmRSS`).
    pub fn resident_kib(self) -> Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid))?;
        named(&status, "VmRSS:").context("/proc/PID/status is not as expected")
    }

    /// Bytes that it caused to be written to the disk so far.
    pub fn written_bytes(self) -> Result<u64> {
        let io = fs::read_to_string(format!("/proc/{}/io", self.pid))
            .context("/proc/PID/io cannot be read here")?;
        named(&io, "write_bytes:").context("/proc/PID/io is not as expected")
    }
}

/// A thread of our own process, as the kernel counts it.
#[derive(Clone, Debug)]
pub struct Thread(PathBuf);

impl Thread {
    /// The one that asks.
    pub fn current() -> Result<Self> {
        let own = fs::read_link("/proc/thread-self").context("/proc/thread-self is not there")?;
        Ok(Self(Path::new("/proc").join(own).join("stat")))
    }

    /// User and system time so far; nothing once it has ended.
    pub fn cpu(&self) -> Duration {
        let ticks = fs::read_to_string(&self.0)
            .ok()
            .and_then(|stat| cpu_ticks(&stat))
            .unwrap_or(0);
        Duration::from_millis(ticks * 1000 / rustix::param::clock_ticks_per_second())
    }
}

/// Lets the thread that asks run far less often than the others of this process where the
/// machine has not enough for all: a tenth of the time, as Linux weighs it.
pub fn lower_priority() -> Result<()> {
    let own = rustix::process::getpriority_process(None)?;
    rustix::process::setpriority_process(None, (own + 10).min(19))
        .context("the priority cannot be lowered")
}

/// Fields 14 and 15; the second is a name in parentheses that may hold anything.
fn cpu_ticks(stat: &str) -> Option<u64> {
    let (_, after_name) = stat.rsplit_once(')')?;
    let mut fields = after_name.split_whitespace().skip(11);
    Some(fields.next()?.parse::<u64>().ok()? + fields.next()?.parse::<u64>().ok()?)
}

fn named(text: &str, name: &str) -> Option<u64> {
    text.lines()
        .find_map(|line| line.strip_prefix(name))?
        .split_whitespace()
        .next()?
        .parse()
        .ok()
}

/// Lets as many files be open as this machine allows, here and in programs started from
/// here, and says how many that is.
pub fn raise_open_files() -> Result<u64> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    setrlimit(
        Resource::Nofile,
        Rlimit {
            current: limit.maximum,
            maximum: limit.maximum,
        },
    )
    .context("cannot raise the number of open files")?;
    Ok(limit.maximum.unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_time_is_read_past_a_name_with_blanks_and_parentheses() {
        let stat = "7 (a) b (c) S 1 7 7 0 -1 4194560 100 0 0 0 30 12 0 0 20 0 1 0 5 1000 10";
        assert_eq!(cpu_ticks(stat), Some(42));
        assert_eq!(cpu_ticks("nothing"), None);
    }

    #[test]
    fn our_own_process_uses_something() {
        let own = Process {
            pid: std::process::id(),
        };
        assert!(own.resident_kib().unwrap() > 100);
        own.cpu().unwrap();
    }
}
