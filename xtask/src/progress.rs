//! What a person sees while a task runs: a moving line on a terminal, or else plain lines from
//! time to time.
//!
//! **Elsewhere**: the tasks define their steps.
//!
//! **Always**: progress goes to standard error, so that standard output stays free for
//! results; every step that starts also ends, with its time; a long step says something at
//! least every [`HEARTBEAT`].

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, IsTerminal, Read};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use indicatif::{ProgressBar, ProgressStyle};

/// Where there is no terminal, a running step reports this often.
pub const HEARTBEAT: Duration = Duration::from_secs(20);

/// Shows steps, one after the other.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    view: View,
}

#[derive(Clone, Copy, Debug)]
enum View {
    Terminal,
    Lines,
    Silent,
}

impl Progress {
    /// A moving line when standard error is a terminal, plain lines otherwise.
    pub fn for_people() -> Self {
        let view = if std::io::stderr().is_terminal() {
            View::Terminal
        } else {
            View::Lines
        };
        Self { view }
    }

    /// Shows nothing: for tests.
    pub fn silent() -> Self {
        Self { view: View::Silent }
    }

    /// Starts a step.
    pub fn step(&self, title: &str) -> Step {
        let bar = match self.view {
            View::Terminal => {
                let bar = ProgressBar::new_spinner().with_message(String::new());
                if let Ok(style) = ProgressStyle::with_template(
                    "{spinner:.cyan} {prefix} {elapsed:.dim} {wide_msg:.dim}",
                ) {
                    bar.set_style(style.tick_chars("⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏ "));
                }
                bar.set_prefix(title.to_owned());
                bar.enable_steady_tick(Duration::from_millis(100));
                Some(bar)
            }
            View::Lines => {
                eprintln!("  … {title}");
                None
            }
            View::Silent => None,
        };
        let quiet = matches!(self.view, View::Silent);
        Step {
            title: title.to_owned(),
            started: Instant::now(),
            said: Instant::now().into(),
            bar,
            quiet,
        }
    }
}

/// A step that is under way.
pub struct Step {
    title: String,
    started: Instant,
    said: std::cell::Cell<Instant>,
    bar: Option<ProgressBar>,
    quiet: bool,
}

impl Step {
    /// How long it has been going on.
    pub fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// What it is doing just now.
    pub fn say(&self, what: &str) {
        if let Some(bar) = &self.bar {
            bar.set_message(what.to_owned());
        } else if !self.quiet && self.said.get().elapsed() >= HEARTBEAT {
            self.said.set(Instant::now());
            eprintln!("    {:>4} s  {what}", self.elapsed().as_secs());
        }
    }

    /// Ends it well, with a result worth knowing.
    pub fn done(&self, result: &str) {
        self.end("✓", result);
    }

    /// Ends it badly; what went wrong is said by whoever called.
    pub fn failed(&self) {
        self.end("✗", "failed");
    }

    /// It could not be tried, for this reason.
    pub fn skipped(&self, why: &str) {
        self.end("–", why);
    }

    fn end(&self, mark: &str, result: &str) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        if !self.quiet {
            let time = format!("{:.1} s", self.elapsed().as_secs_f64());
            eprintln!("  {mark} {:<44} {time:>9}  {result}", self.title);
        }
    }

    /// Runs a command with its output caught, showing its last line, and ends it when
    /// `limit` is over.
    pub fn run(&self, command: &mut Command, limit: Option<Duration>) -> Result<Finished> {
        let started = Instant::now();
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start {}", command.get_program().display()))?;
        let (lines, arrived) = mpsc::channel();
        let readers = [
            child
                .stdout
                .take()
                .map(|out| read_lines(out, Stream::Output, lines.clone())),
            child
                .stderr
                .take()
                .map(|err| read_lines(err, Stream::Error, lines.clone())),
        ];
        drop(lines);
        let mut finished = Finished::default();
        loop {
            match arrived.recv_timeout(Duration::from_millis(500)) {
                Ok((stream, line)) => {
                    let shown = line.trim();
                    if stream == Stream::Error || !shown.starts_with('{') {
                        self.say(&shorten(shown));
                    }
                    finished.take(stream, &line);
                }
                Err(RecvTimeoutError::Timeout) => self.say("still working"),
                Err(RecvTimeoutError::Disconnected) => break,
            }
            if limit.is_some_and(|limit| started.elapsed() > limit) {
                finished.out_of_time = true;
                child
                    .kill()
                    .context("cannot end a step that took too long")?;
                break;
            }
        }
        finished.status = Some(child.wait()?);
        if !finished.out_of_time {
            for reader in readers.into_iter().flatten() {
                // A reader ends with the pipe, which has just been closed.
                let _ = reader.join();
            }
        }
        Ok(finished)
    }
}

fn read_lines(
    from: impl Read + Send + 'static,
    stream: Stream,
    to: Sender<(Stream, String)>,
) -> thread::JoinHandle<()> {
    thread::spawn(move || {
        let mut from = BufReader::new(from);
        let mut line = Vec::new();
        while from.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
            let text = String::from_utf8_lossy(&line).trim_end().to_owned();
            if to.send((stream, text)).is_err() {
                return;
            }
            line.clear();
        }
    })
}

/// A line that fits on one.
fn shorten(line: &str) -> String {
    line.chars().filter(|c| !c.is_control()).take(100).collect()
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stream {
    Output,
    Error,
}

/// What a command left behind.
#[derive(Debug, Default)]
pub struct Finished {
    /// How it ended.
    pub status: Option<ExitStatus>,
    /// Everything that it wrote to standard output.
    pub standard_output: String,
    /// Both streams, as they came.
    pub output: String,
    /// What it wrote to standard error.
    pub standard_error: String,
    /// It was ended by us.
    pub out_of_time: bool,
}

impl Finished {
    /// It ended by itself, with exit code 0.
    pub fn success(&self) -> bool {
        !self.out_of_time && self.status.is_some_and(|status| status.success())
    }

    /// The end of what it wrote to standard error.
    pub fn error_text(&self) -> String {
        tail(&self.standard_error, 60)
    }

    fn take(&mut self, stream: Stream, line: &str) {
        let own = match stream {
            Stream::Output => &mut self.standard_output,
            Stream::Error => &mut self.standard_error,
        };
        for text in [own, &mut self.output] {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{line}");
        }
    }
}

/// The last `lines` lines of a text.
pub fn tail(text: &str, lines: usize) -> String {
    let all: Vec<&str> = text.lines().collect();
    all.get(all.len().saturating_sub(lines)..)
        .unwrap_or_default()
        .join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn a_command_leaves_both_its_streams_and_its_exit_code() {
        let step = Progress::silent().step("test");
        let finished = step
            .run(&mut shell("echo out; echo err >&2; exit 3"), None)
            .unwrap();
        assert_eq!(finished.standard_output, "out\n");
        assert_eq!(finished.error_text(), "err");
        assert!(finished.output.contains("out\n") && finished.output.contains("err\n"));
        assert!(!finished.success());
        assert_eq!(finished.status.and_then(|s| s.code()), Some(3));
    }

    #[test]
    fn a_command_that_takes_too_long_is_ended() {
        let step = Progress::silent().step("test");
        let limit = Some(Duration::from_millis(1));
        let finished = step
            .run(&mut shell("exec tail -f /dev/null"), limit)
            .unwrap();
        assert!(finished.out_of_time);
        assert!(!finished.success());
    }

    #[test]
    fn a_tail_is_the_end_of_a_text() {
        assert_eq!(tail("a\nb\nc\n", 2), "b\nc");
        assert_eq!(tail("a\n", 5), "a");
    }
}
