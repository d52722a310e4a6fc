//! A `waxwing rpc` process: JSON-RPC 2.0 over its standard input and output, one object per
//! line.
//!
//! **Elsewhere**: `docs/rpc.md` describes the methods.
//!
//! **Always**: answers are matched by id, so that many calls can be open at once; notices from
//! the client wait in [`Rpc::next_notice`].

use std::collections::HashMap;
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use super::stage::client;

/// For an answer.
const PATIENCE: Duration = Duration::from_mins(1);

/// The process, and both directions of talk with it.
pub struct Rpc {
    child: Child,
    input: Option<BufWriter<ChildStdin>>,
    lines: Receiver<(Instant, Value)>,
    last: u64,
    answers: HashMap<u64, Value>,
    notices: std::collections::VecDeque<(Instant, Value)>,
}

impl Rpc {
    /// Starts `waxwing rpc` for a home.
    pub fn start(program: &Path, home: &Path) -> Result<Self> {
        let mut child = client(program, home)
            .arg("rpc")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .with_context(|| format!("cannot start {}", program.display()))?;
        let input = child.stdin.take().map(BufWriter::new);
        let output = child.stdout.take().context("no output to read")?;
        let (lines_to, lines) = mpsc::channel();
        thread::spawn(move || read(output, &lines_to));
        Ok(Self {
            child,
            input,
            lines,
            last: 0,
            answers: HashMap::new(),
            notices: std::collections::VecDeque::new(),
        })
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Asks, and waits for the answer.
    pub fn call(&mut self, method: &str, params: &Value) -> Result<Value> {
        let id = self.ask(method, params)?;
        self.flush()?;
        self.answer(id)
    }

    /// Asks without waiting; [`Rpc::flush`] sees to it that it is on its way.
    pub fn ask(&mut self, method: &str, params: &Value) -> Result<u64> {
        self.last += 1;
        let input = self
            .input
            .as_mut()
            .context("the client's input is closed")?;
        let request =
            json!({"jsonrpc": "2.0", "id": self.last, "method": method, "params": params});
        writeln!(input, "{request}").context("the client has gone")?;
        Ok(self.last)
    }

    /// Sends what was asked.
    pub fn flush(&mut self) -> Result<()> {
        self.input
            .as_mut()
            .context("the client's input is closed")?
            .flush()
            .context("the client has gone")
    }

    /// The answer to a question; an error of the client's is an error here.
    pub fn answer(&mut self, id: u64) -> Result<Value> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(answer) = self.answers.remove(&id) {
                if let Some(error) = answer.get("error") {
                    bail!("the client answered: {}", sentence(error));
                }
                return Ok(answer.get("result").cloned().unwrap_or_default());
            }
            self.take_line(deadline)?;
        }
    }

    /// The next thing the client told of its own accord, with the moment when it came.
    pub fn next_notice(&mut self, deadline: Instant) -> Result<(Instant, Value)> {
        loop {
            if let Some(notice) = self.notices.pop_front() {
                return Ok(notice);
            }
            self.take_line(deadline)?;
        }
    }

    /// Waits until a notice satisfies `wanted`; others are dropped.
    pub fn wait_for(
        &mut self,
        what: &str,
        patience: Duration,
        mut wanted: impl FnMut(&Value) -> bool,
    ) -> Result<(Instant, Value)> {
        let deadline = Instant::now() + patience;
        loop {
            let (at, notice) = self
                .next_notice(deadline)
                .with_context(|| format!("waiting for {what}"))?;
            if wanted(&notice) {
                return Ok((at, notice));
            }
        }
    }

    /// Closes its input, which ends it, and waits.
    pub fn stop(mut self) -> Result<()> {
        drop(self.input.take());
        let deadline = Instant::now() + PATIENCE;
        while self.child.try_wait()?.is_none() {
            if Instant::now() > deadline {
                bail!("`waxwing rpc` did not end when its input did");
            }
            thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    fn take_line(&mut self, deadline: Instant) -> Result<()> {
        let left = deadline.saturating_duration_since(Instant::now());
        let (at, line) = match self.lines.recv_timeout(left) {
            Ok(line) => line,
            Err(RecvTimeoutError::Timeout) => bail!("the client said nothing in time"),
            Err(RecvTimeoutError::Disconnected) => bail!("the client has ended"),
        };
        if let Some(id) = line.get("id").and_then(Value::as_u64) {
            self.answers.insert(id, line);
        } else if let Some(params) = line.get("params") {
            self.notices.push_back((at, params.clone()));
        }
        Ok(())
    }
}

impl Drop for Rpc {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn read(output: ChildStdout, to: &Sender<(Instant, Value)>) {
    for line in BufReader::new(output).lines().map_while(Result::ok) {
        if let Ok(value) = serde_json::from_str(&line)
            && to.send((Instant::now(), value)).is_err()
        {
            return;
        }
    }
}

fn sentence(error: &Value) -> String {
    error
        .get("message")
        .and_then(Value::as_str)
        .map_or_else(|| error.to_string(), str::to_owned)
}
