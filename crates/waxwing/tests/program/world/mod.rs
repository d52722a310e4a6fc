//! Real processes for the tests: homes, commands, `waxwing rpc`, and a relay.
//!
//! **Always.** Every wait has an end and is for an event; processes end with their test.

#![allow(dead_code, clippy::needless_pass_by_value)]

pub mod relay;

use std::{
    collections::VecDeque,
    io::{BufRead as _, BufReader, Write as _},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Output, Stdio},
    sync::mpsc::{self, Receiver},
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tempfile::TempDir;

/// For everything that should come.
pub const PATIENCE: Duration = Duration::from_mins(1);

/// A home folder of one person's device.
pub struct Home {
    folder: TempDir,
    pub address: String,
    variables: Vec<(String, String)>,
}

impl Home {
    pub fn new(address: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let variables = vec![("WAXWING_KEY_STORE".to_owned(), "file".to_owned())];
        Self {
            folder,
            address: address.to_owned(),
            variables,
        }
    }

    pub fn with_variables(variables: &[(&str, &str)]) -> Self {
        let mut home = Self::new("alice@example.org");
        home.variables = variables
            .iter()
            .map(|(name, value)| ((*name).into(), (*value).into()))
            .collect();
        home
    }

    pub fn path(&self) -> PathBuf {
        self.folder.path().join("home")
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_waxwing"));
        command
            .args(arguments)
            .env_remove("WAXWING_PASSPHRASE")
            .env_remove("WAXWING_KEY_STORE")
            .env_remove("WAXWING_PROXY")
            .env_remove("ALL_PROXY")
            .env_remove("all_proxy")
            .envs(self.variables.iter().cloned())
            .env("WAXWING_HOME", self.path())
            .env("NO_COLOR", "1")
            .stdin(Stdio::null());
        command
    }

    pub fn run(&self, arguments: &[&str]) -> Ended {
        self.command(arguments).output().unwrap().into()
    }

    pub fn run_with_input(&self, arguments: &[&str], input: &[u8]) -> Ended {
        let mut child = self
            .command(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // It may refuse before it has read everything.
        let _ = child.stdin.take().unwrap().write_all(input);
        child.wait_with_output().unwrap().into()
    }

    pub fn rpc(&self) -> Rpc {
        Rpc::start(self.command(&["rpc"]))
    }

    /// The texts of a conversation's messages, oldest first.
    pub fn texts(&self, with: &str) -> Vec<String> {
        let ended = self.run(&["history", with, "--limit", "1000", "--json"]);
        assert_eq!(ended.code, 0, "{ended:?}");
        let entries = ended.objects();
        entries
            .iter()
            .filter_map(|entry| entry["text"].as_str().map(str::to_owned))
            .collect()
    }
}

/// What a process left behind.
#[derive(Debug)]
pub struct Ended {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl From<Output> for Ended {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

impl Ended {
    pub fn objects(&self) -> Vec<Value> {
        self.out
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    /// That it failed, with a sentence in which `part` stands.
    #[track_caller]
    pub fn failed_with(&self, part: &str) {
        assert_eq!(self.code, 1, "{self:?}");
        assert!(self.err.contains(part), "{self:?}");
        assert!(!self.err.contains("panicked"), "{self:?}");
    }
}

/// Lines that a process writes.
pub fn lines(out: impl std::io::Read + Send + 'static) -> Receiver<String> {
    let (tell, told) = mpsc::channel();
    std::thread::spawn(move || {
        for line in BufReader::new(out).lines().map_while(Result::ok) {
            if tell.send(line).is_err() {
                return;
            }
        }
    });
    told
}

/// A `waxwing rpc` process; killed when dropped.
pub struct Rpc {
    child: Child,
    input: Option<ChildStdin>,
    lines: Receiver<String>,
    notices: VecDeque<Value>,
    id: u64,
}

impl Rpc {
    pub fn start(mut command: Command) -> Self {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        let input = child.stdin.take();
        let lines = lines(child.stdout.take().unwrap());
        Self {
            child,
            input,
            lines,
            notices: VecDeque::new(),
            id: 0,
        }
    }

    fn line(&mut self, deadline: Instant) -> Option<Value> {
        let left = deadline.saturating_duration_since(Instant::now());
        let line = self.lines.recv_timeout(left).ok()?;
        Some(serde_json::from_str(&line).unwrap())
    }

    /// Calls, and gives the whole answer; `None` if the process ended.
    pub fn try_call(&mut self, method: &str, params: Value) -> Option<Value> {
        self.id += 1;
        let call = json!({"jsonrpc": "2.0", "id": self.id, "method": method, "params": params});
        writeln!(self.input.as_mut().unwrap(), "{call}").ok()?;
        let deadline = Instant::now() + PATIENCE;
        loop {
            let line = self.line(deadline)?;
            if line["id"] == self.id {
                return Some(line);
            }
            if line["method"] == "notice" {
                self.notices.push_back(line["params"].clone());
            }
        }
    }

    /// Calls, and gives the result.
    #[track_caller]
    pub fn call(&mut self, method: &str, params: Value) -> Value {
        let answer = self.try_call(method, params).expect("the process ended");
        assert!(answer.get("error").is_none(), "{answer}");
        answer["result"].clone()
    }

    /// Waits for a notice that is wanted; others are dropped.
    #[track_caller]
    pub fn notice(&mut self, wanted: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            while let Some(notice) = self.notices.pop_front() {
                if wanted(&notice) {
                    return notice;
                }
            }
            let line = self.line(deadline).expect("the notice did not come");
            if line["method"] == "notice" {
                self.notices.push_back(line["params"].clone());
            }
        }
    }

    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Ends its input, and waits until it ended by itself.
    pub fn end(mut self) -> i32 {
        drop(self.input.take());
        self.child.wait().unwrap().code().unwrap_or(-1)
    }
}

impl Drop for Rpc {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Whether `text` stands in any file below `folder`.
pub fn is_in_files(folder: &Path, text: &str) -> bool {
    std::fs::read_dir(folder).unwrap().any(|entry| {
        let path = entry.unwrap().path();
        if path.is_dir() {
            is_in_files(&path, text)
        } else {
            let bytes = std::fs::read(path).unwrap_or_default();
            bytes
                .windows(text.len())
                .any(|window| window == text.as_bytes())
        }
    })
}
