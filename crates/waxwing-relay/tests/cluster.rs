//! Two nodes of one relay over real PostgreSQL, as programs.
//!
//! Where PostgreSQL is not installed this says so and passes.

#![cfg(test)]

#[path = "../../cluster/tests/support/mod.rs"]
mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use self::support::Postgres;

const PROGRAM: &str = env!("CARGO_BIN_EXE_waxwing-relay");

/// A node's folder, and its process while it has one.
struct Node {
    at: PathBuf,
    process: Option<Child>,
}

impl Node {
    fn new(at: PathBuf, name: &str, postgres: &Postgres) -> Self {
        fs::create_dir(&at).unwrap();
        let log = postgres.url();
        let file =
            format!("listen = \"127.0.0.1:0\"\n[cluster]\nlog = \"{log}\"\nname = \"{name}\"\n");
        fs::write(at.join("relay.toml"), file).unwrap();
        Self { at, process: None }
    }

    fn data(&self) -> PathBuf {
        self.at.join("data")
    }

    fn start(&mut self) {
        let ready = self.at.join("ready");
        let _ = fs::remove_file(&ready);
        let mut serve = self.command("serve");
        serve.arg("--ready-file").arg(ready);
        serve.stdin(Stdio::null()).stdout(Stdio::null());
        self.process = Some(serve.spawn().unwrap());
    }

    fn command(&self, command: &str) -> Command {
        let mut program = Command::new(PROGRAM);
        program
            .args(command.split(' '))
            .arg("--data")
            .arg(self.data());
        program.arg("--config").arg(self.at.join("relay.toml"));
        program.stderr(Stdio::inherit());
        program
    }

    /// Waits until it leads; gives its URL and how long that took.
    fn leads(&self) -> (String, Duration) {
        let began = Instant::now();
        loop {
            if let Ok(line) = fs::read_to_string(self.at.join("ready")) {
                return (line, began.elapsed());
            }
            assert!(began.elapsed() < Duration::from_mins(1), "it never led");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Waits until it has told the log how far it is.
    fn is_known_as(&self, name: &str) {
        let began = Instant::now();
        loop {
            let status = self.command("cluster status").output().unwrap();
            let status = String::from_utf8(status.stdout).unwrap();
            if status.contains(&format!("{name}: has batch")) {
                return;
            }
            assert!(began.elapsed() < Duration::from_mins(1), "{status}");
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    fn signal(&self, signal: Signal) {
        let process = self.process.as_ref().unwrap();
        kill_process(Pid::from_child(process), signal).unwrap();
    }

    fn ends(&mut self) -> Option<i32> {
        self.process.take().unwrap().wait().unwrap().code()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

#[test]
fn one_node_serves_and_the_other_takes_over() {
    let Some(postgres) = Postgres::start() else {
        return;
    };
    let directory = tempfile::tempdir().unwrap();
    let node = |name| Node::new(directory.path().join(name), name, &postgres);
    let [mut one, mut two] = ["one", "two"].map(node);
    one.start();
    let (url, _) = one.leads();
    copy(&one.data().join("identity"), &two.data().join("identity"));
    two.start();
    two.is_known_as("two");

    // The leader is killed.
    one.signal(Signal::KILL);
    assert_eq!(one.ends(), None);
    let (same, took) = two.leads();
    let pin = |url: &str| url.split('#').nth(1).unwrap().to_owned();
    assert_eq!(pin(&same), pin(&url));
    assert!(took < Duration::from_secs(10), "{took:?}");

    // It comes back, and is handed the lease.
    one.start();
    one.is_known_as("one");
    fs::remove_file(two.at.join("ready")).unwrap();
    let status = one.command("cluster handover").status().unwrap();
    assert!(status.success());
    one.leads();
    fs::remove_file(one.at.join("ready")).unwrap();

    // It is stopped in good order: the other does not wait for the lease to end, but it rests
    // after its own handover.
    one.signal(Signal::TERM);
    let (_, took) = two.leads();
    assert!(took < Duration::from_secs(5), "{took:?}");
    assert_eq!(one.ends(), Some(0));

    // The one that leads stands still for longer than its lease, and must end when it goes on.
    one.start();
    one.is_known_as("one");
    two.signal(Signal::STOP);
    one.leads();
    two.signal(Signal::CONT);
    assert_eq!(two.ends(), Some(70));
}
