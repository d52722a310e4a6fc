//! How a command ends.
//!
//! **Elsewhere**: [`crate::output`] shows it; the sentences of problems are in
//! [`crate::sentence`].

use std::{io, process::ExitCode};

use waxwing_client::rpc::RpcError;
use waxwing_engine::api::{Problem, ProblemReport};

use crate::sentence;

/// How a command ended that did not fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Everything was done.
    Done,
    /// What was asked for did not come about, and that was said.
    Failed,
    /// The message is kept, to be sent later.
    Queued,
    /// By Ctrl-C.
    Interrupted,
}

impl From<Outcome> for ExitCode {
    fn from(outcome: Outcome) -> Self {
        Self::from(match outcome {
            Outcome::Done => 0,
            Outcome::Failed => 1,
            Outcome::Queued => 3,
            Outcome::Interrupted => 130,
        })
    }
}

/// Why a command failed.
#[derive(Debug)]
pub enum Failure {
    /// The engine, the client or the relay said so.
    Rpc(RpcError),
    /// Standard output or input.
    Output(io::Error),
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
            Self::Output(error) => (
                "output_failed",
                format!(
                    "Input or output failed ({error}), so the output may be incomplete. Try again."
                ),
            ),
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
        Self::Output(error)
    }
}
