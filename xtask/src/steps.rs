//! The steps of a check, one after the other, and the table at their end.
//!
//! **Elsewhere**: `test` and `quick` say which steps there are; `progress` shows the one that
//! runs.
//!
//! **Always**: a failure does not stop the later steps; every step is in the table, with its
//! time; the last line is `N passed, N failed`.

use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::count::Count;
use crate::progress::{Finished, Progress, tail};
use crate::workspace::root;

/// No step may take longer.
pub const STEP_LIMIT: Duration = Duration::from_mins(45);

/// What ran so far.
pub struct Steps {
    progress: Progress,
    rows: Vec<Row>,
    started: Instant,
}

/// A step that is over.
struct Row {
    title: String,
    took: Took,
    outcome: Outcome,
}

enum Outcome {
    Ran(Count),
    /// With the sentence that says why, and how to change it.
    Skipped(String),
}

/// What a step cost.
#[derive(Clone, Copy, Debug, Default)]
pub struct Took {
    /// From its start to its end.
    pub time: Duration,
    /// On all processors together, where the system tells.
    pub processors: Option<Duration>,
}

/// A step that is being timed.
pub struct Timer {
    began: Instant,
    processors: Option<Duration>,
}

impl Timer {
    /// Begins now.
    pub fn start() -> Self {
        Self {
            began: Instant::now(),
            processors: processor_time(),
        }
    }

    /// What it took until now.
    pub fn took(&self) -> Took {
        let processors = processor_time()
            .zip(self.processors)
            .map(|(now, then)| now.saturating_sub(then));
        Took {
            time: self.began.elapsed(),
            processors,
        }
    }
}

impl Steps {
    /// Announces what runs.
    pub fn begin(name: &str) -> Self {
        eprintln!("cargo xtask {name}\n");
        Self {
            progress: Progress::for_people(),
            rows: Vec::new(),
            started: Instant::now(),
        }
    }

    /// Shows what is done besides the steps.
    pub fn progress(&self) -> Progress {
        self.progress
    }

    /// Runs one step; `count` reads how many tests passed and failed from its output.
    pub fn run(
        &mut self,
        title: &str,
        command: &mut Command,
        count: fn(&Finished) -> Count,
    ) -> Result<()> {
        let timer = Timer::start();
        let step = self.progress.step(title);
        let finished = step.run(command, Some(STEP_LIMIT))?;
        let took = timer.took();
        let log = self.keep_log(title, &finished)?;
        let count = count(&finished).agreeing_with(finished.success());
        if count.failed == 0 {
            step.done(&if count.passed > 1 {
                format!("{} passed", count.passed)
            } else {
                String::new()
            });
        } else {
            step.failed();
            if finished.out_of_time {
                eprintln!(
                    "    stopped: it took longer than {} minutes",
                    STEP_LIMIT.as_secs() / 60
                );
            }
            eprintln!("{}\n    the full log: {log}\n", tail(&finished.output, 150));
        }
        self.ran(title, took, count);
        Ok(())
    }

    /// Notes a step that ran elsewhere.
    pub fn ran(&mut self, title: &str, took: Took, count: Count) {
        self.rows.push(Row {
            title: title.to_owned(),
            took,
            outcome: Outcome::Ran(count),
        });
    }

    /// Notes a step that could not run, with a sentence without its full stop.
    pub fn skip(&mut self, title: &str, why: &str) {
        self.progress.step(title).skipped("not run, see below");
        let outcome = Outcome::Skipped(why.to_owned());
        self.rows.push(Row {
            title: title.to_owned(),
            took: Took::default(),
            outcome,
        });
    }

    fn keep_log(&self, title: &str, finished: &Finished) -> Result<String> {
        let folder = root().join("target/xtask/test");
        std::fs::create_dir_all(&folder).context("cannot make a folder for the logs")?;
        let name: String = title
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
            .collect();
        let path = folder.join(format!("{}-{name}.log", self.rows.len()));
        std::fs::write(&path, &finished.output).context("cannot write a log")?;
        Ok(path.display().to_string())
    }

    /// The table, the sentences about what is missing, and the last line. True when nothing
    /// failed.
    pub fn conclude(&self) -> bool {
        println!(
            "\n  {:<40} {:>8} {:>8} {:>9} {:>11}",
            "step", "passed", "failed", "time", "processors"
        );
        let mut total = Count::default();
        for row in &self.rows {
            let time = seconds(row.took.time);
            let processors = row.took.processors.map(seconds).unwrap_or_default();
            match &row.outcome {
                Outcome::Ran(count) => {
                    total = total.and(*count);
                    println!(
                        "  {:<40} {:>8} {:>8} {time:>9} {processors:>11}",
                        row.title, count.passed, count.failed
                    );
                }
                Outcome::Skipped(_) => println!("  {:<40} {:>8} {:>8}", row.title, "–", "–"),
            }
        }
        println!();
        for row in &self.rows {
            if let Outcome::Skipped(why) = &row.outcome {
                println!("  not run: {}: {why}.", row.title);
            }
        }
        println!("  took {} s", self.started.elapsed().as_secs());
        println!("{} passed, {} failed", total.passed, total.failed);
        total.failed == 0
    }
}

fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}

/// What the programs that we started, and that have ended, took of all processors.
fn processor_time() -> Option<Duration> {
    of_children(&std::fs::read_to_string("/proc/self/stat").ok()?)
}

/// From `/proc/self/stat`: the fields `cutime` and `cstime`, in hundredths of a second.
fn of_children(stat: &str) -> Option<Duration> {
    // The program's name, in brackets, may hold spaces.
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace().skip(13);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(Duration::from_millis((user + system) * 10))
}

/// A step that is one check.
pub fn one(finished: &Finished) -> Count {
    let success = finished.success();
    Count {
        passed: u64::from(success),
        failed: u64::from(!success),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_of_programs_that_ended_is_read() {
        let stat = "7 (a (b) c) S 1 7 7 0 -1 4194560 1 2 3 4 5 6 250 50 20 0 1 0";
        assert_eq!(of_children(stat), Some(Duration::from_secs(3)));
        assert_eq!(of_children("7"), None);
    }
}
