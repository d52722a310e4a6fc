//! PostgreSQL for tests: a primary and its synchronous standby on loopback, from the packages
//! of the system, started and stopped here.

#![allow(dead_code, reason = "each test uses a part of it")]

use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

/// A primary, and a standby that it waits for.
pub struct Postgres {
    programs: PathBuf,
    directory: TempDir,
    owner: Option<(u32, u32)>,
    pub ports: [u16; 2],
}

/// Where PostgreSQL's programs are; `None` where it is not installed.
fn programs() -> Option<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql").ok()?;
    let mut found: Vec<PathBuf> = versions
        .filter_map(|version| Some(version.ok()?.path().join("bin")))
        .filter(|programs| programs.join("initdb").exists())
        .collect();
    found.sort();
    found.pop()
}

/// The user and group that run it: it refuses to run as root.
fn owner() -> Option<(u32, u32)> {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    if !status.lines().any(|line| line.starts_with("Uid:\t0\t")) {
        return None;
    }
    let users = fs::read_to_string("/etc/passwd").unwrap();
    let user = users.lines().find(|line| line.starts_with("postgres:"));
    let fields: Vec<&str> = user.unwrap().split(':').collect();
    Some((fields[2].parse().unwrap(), fields[3].parse().unwrap()))
}

fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    listener.local_addr().unwrap().port()
}

impl Postgres {
    /// Starts both; `None` where PostgreSQL is not installed, which is printed.
    pub fn start() -> Option<Self> {
        let Some(programs) = programs() else {
            eprintln!("skipped: PostgreSQL is not installed (Debian's package `postgresql`)");
            return None;
        };
        let directory = TempDir::new().unwrap();
        let owner = owner();
        if let Some((user, group)) = owner {
            std::os::unix::fs::chown(directory.path(), Some(user), Some(group)).unwrap();
        }
        let started = Self {
            programs,
            directory,
            owner,
            ports: [free_port(), free_port()],
        };
        let new = ["-D", &started.at(0), "-A", "trust", "-U", "waxwing", "-N"];
        started.run("initdb", &new);
        started.configure(0, "synchronous_commit = on\n");
        started.control(0, &["start"]);
        let source = format!(
            "host=127.0.0.1 port={} user=waxwing application_name=two",
            started.ports[0]
        );
        let copy = ["-D", &started.at(1), "-d", &source, "-R", "-c", "fast"];
        started.run("pg_basebackup", &copy);
        started.configure(1, "");
        started.control(1, &["start"]);
        started.configure(0, "synchronous_standby_names = 'two'\n");
        started.control(0, &["reload"]);
        Some(started)
    }

    /// The URL of both: whichever takes writes is used.
    pub fn url(&self) -> String {
        let [one, two] = self.ports;
        format!("postgres://waxwing@127.0.0.1:{one},127.0.0.1:{two}/postgres?sslmode=disable")
    }

    /// Adds settings, which count after a start or a reload.
    pub fn configure(&self, node: usize, settings: &str) {
        let at = Path::new(&self.at(node)).join("postgresql.conf");
        let port = self.ports[node];
        let mut text = fs::read_to_string(&at).unwrap();
        let added = format!(
            "port = {port}\nlisten_addresses = '127.0.0.1'\nunix_socket_directories = ''\n\
             {settings}"
        );
        text.push_str(&added);
        fs::write(&at, text).unwrap();
    }

    /// `pg_ctl`, and waits.
    pub fn control(&self, node: usize, arguments: &[&str]) {
        let log = format!("{}.log", self.at(node));
        let at = self.at(node);
        self.run(
            "pg_ctl",
            &[&["-D", &at, "-l", &log, "-w"], arguments].concat(),
        );
    }

    /// Runs a statement.
    pub fn ask(&self, node: usize, statement: &str) {
        let port = self.ports[node].to_string();
        let mut psql = Command::new("psql");
        psql.args([
            "-h",
            "127.0.0.1",
            "-p",
            &port,
            "-U",
            "waxwing",
            "-qc",
            statement,
        ]);
        let output = psql.arg("postgres").output().unwrap();
        assert!(output.status.success(), "{output:?}");
    }

    fn at(&self, node: usize) -> String {
        let name = ["one", "two"][node];
        self.directory.path().join(name).display().to_string()
    }

    fn run(&self, program: &str, arguments: &[&str]) {
        let mut command = Command::new(self.programs.join(program));
        command.args(arguments).current_dir(self.directory.path());
        if let Some((user, group)) = self.owner {
            command.uid(user).gid(group);
        }
        // A server that stays must not hold our output.
        let errors = tempfile::tempfile().unwrap();
        command.stdout(errors.try_clone().unwrap()).stderr(errors);
        let status = command.status().unwrap();
        assert!(status.success(), "{program} {arguments:?}");
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        for node in [0, 1] {
            let mut stop = Command::new(self.programs.join("pg_ctl"));
            stop.args(["-D", &self.at(node), "-m", "immediate", "stop"]);
            if let Some((user, group)) = self.owner {
                stop.uid(user).gid(group);
            }
            let _ = stop.output();
        }
    }
}
