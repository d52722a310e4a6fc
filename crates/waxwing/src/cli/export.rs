//! `waxwing export` and `waxwing import`.

use std::path::PathBuf;

use clap::Args;
use jiff::Timestamp as Moment;
use waxwing_client::{
    Session,
    export::{self, ExportError},
};
use waxwing_engine::api::Timestamp;
use waxwing_protocol::time::Time;

use super::arguments::Whose;
use crate::{
    outcome::{Failure, Outcome},
    output::{self, Output, WARN, styled},
    text::one_line,
};

/// `waxwing export`.
#[derive(Debug, Args)]
pub struct Export {
    #[command(flatten)]
    whose: Whose,
    /// The folder to write to; created if it does not exist
    #[arg(long, value_name = "FOLDER")]
    to: PathBuf,
    /// Leave out attached files
    #[arg(long)]
    without_files: bool,
}

/// `waxwing import`.
#[derive(Debug, Args)]
pub struct Import {
    /// The conversation.json of an export
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The conversation to import into, if not the one that the file names
    #[arg(long, value_name = "ADDRESS|GROUP|CONVERSATION")]
    into: Option<String>,
}

impl From<ExportError> for Failure {
    fn from(error: ExportError) -> Self {
        let code = error.code();
        let sentence = match error {
            ExportError::Rpc(error) => return Self::Rpc(error),
            ExportError::Io { path, error } => {
                format!("\"{path}\" cannot be used: {error}. Name another path.")
            }
            ExportError::Malformed { path, reason } => format!(
                "\"{path}\" cannot be imported: {reason}. You can import only files that `waxwing \
                 export` wrote."
            ),
        };
        Self::Said {
            code,
            sentence: one_line(&sentence),
        }
    }
}

impl Export {
    /// Writes a conversation into a folder.
    pub async fn run(self, session: &mut Session, output: &Output) -> Result<Outcome, Failure> {
        let now = u64::try_from(Moment::now().as_millisecond()).unwrap_or(0);
        let what = export::Export {
            of: self.whose.whose,
            with_files: !self.without_files,
            now: Timestamp::from(Time(now)),
            sentence: output::event_sentence,
        };
        let done = export::export(session, &what, &self.to, |_| {}).await?;
        output.object(&serde_json::json!({
            "type": "exported",
            "path": self.to,
            "entries": done.entries,
            "files": done.files,
            "files_missing": done.files_missing,
        }));
        output.line(format!(
            "{} entries and {} files are in {}. Open conversation.html to read them.",
            done.entries,
            done.files,
            one_line(&self.to.display().to_string())
        ));
        if done.files_missing > 0 && what.with_files {
            output.line(styled(
                WARN,
                format!(
                    "{} files are not on this device; `waxwing save` fetches them.",
                    done.files_missing
                ),
            ));
        }
        output.line("They are not encrypted: anybody who can read the folder can read them.");
        Ok(Outcome::Done)
    }
}

impl Import {
    /// Brings the messages of a file in.
    pub async fn run(self, session: &mut Session, output: &Output) -> Result<Outcome, Failure> {
        let into = self.into.as_deref();
        let done = export::import::import(session, &self.file, into, |_| {}).await?;
        output.object(&serde_json::json!({
            "type": "imported",
            "added": done.added,
            "known": done.known,
        }));
        output.line(format!(
            "{} messages were imported; {} were here already. Imported messages are marked, \
             because nothing proves who wrote them.",
            done.added, done.known
        ));
        Ok(Outcome::Done)
    }
}
