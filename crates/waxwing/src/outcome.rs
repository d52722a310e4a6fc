//! How a command ends.
//!
//! **Elsewhere**: [`crate::output`] shows it; the sentences of problems are in
//! [`crate::sentence`].
//!
//! **Always**: the exit code tells what happened to what was asked for, also where nothing of it
//! could be printed.

use std::{io, process::ExitCode};

use waxwing_client::rpc::RpcError;
use waxwing_engine::api::{Problem, ProblemReport};

use crate::sentence;

/// How a command ended that did not fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Everything was done.
    Done,
    /// Everything that there is was printed: the whole purpose of the command. If it could not be
    /// printed, the command failed.
    Shown,
    /// What was asked for did not come about, and that was said.
    Failed,
    /// The message is kept, to be sent later.
    Queued,
    /// By Ctrl-C.
    Interrupted,
    /// By SIGTERM, before the command was done.
    Terminated,
}

impl From<Outcome> for ExitCode {
    fn from(outcome: Outcome) -> Self {
        Self::from(match outcome {
            Outcome::Done | Outcome::Shown => 0,
            Outcome::Failed => 1,
            Outcome::Queued => 3,
            Outcome::Interrupted => 130,
            Outcome::Terminated => 143,
        })
    }
}

/// Why a command failed.
#[derive(Debug)]
pub enum Failure {
    /// The engine, the client or the relay said so.
    Rpc(RpcError),
    /// A file or standard input could not be read, or a file not be written.
    Io(io::Error),
    /// What the command is for could not be printed.
    NotPrinted(String),
    /// The command line is wrong.
    Usage(Box<clap::Error>),
    /// Of a command that needs no engine: what happened, as a sentence.
    Said {
        /// For programs.
        code: &'static str,
        /// For people.
        sentence: String,
    },
}

impl Failure {
    /// For programs, and for people.
    pub fn code_and_sentence(&self) -> (&str, String) {
        match self {
            Self::Io(error) => (
                "io_failed",
                format!(
                    "Reading or writing failed ({}), so the command did not finish. Check the \
                     file, and try again.",
                    without_number(error)
                ),
            ),
            Self::NotPrinted(error) => (
                "output_failed",
                format!("The result could not be printed ({error}). Try again."),
            ),
            Self::Usage(error) => ("usage", error.to_string()),
            Self::Rpc(error) => (error.name(), sentence::of_error(error)),
            Self::Said { code, sentence } => (code, sentence.clone()),
        }
    }
}

impl From<RpcError> for Failure {
    fn from(error: RpcError) -> Self {
        Self::Rpc(error)
    }
}

impl From<Problem> for Failure {
    fn from(problem: Problem) -> Self {
        Self::Rpc(problem.into())
    }
}

impl From<ProblemReport> for Failure {
    fn from(report: ProblemReport) -> Self {
        Self::Rpc(report.into())
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// What the system says, without the number at its end.
pub fn without_number(error: &io::Error) -> String {
    let text = error.to_string();
    match text.split_once(" (os error") {
        Some((words, _)) => words.to_lowercase(),
        None => text,
    }
}
