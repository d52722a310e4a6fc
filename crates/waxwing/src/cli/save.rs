//! `waxwing save`.

use std::{path::PathBuf, time::Duration};

use clap::Args;
use serde_json::Value;
use tokio::time::Instant;
use waxwing_client::{
    Session,
    blobs::{Blobs, file::FileError},
};
use waxwing_engine::api::{
    AttachmentOf, AttachmentState, FindMessage, Message, MissingFile, OpenAttachment, Problem,
    Request,
};

use super::{progress::Bar, waiting::Wait};
use crate::{output::Output, sentence, text::one_line};

use crate::outcome::{Failure, Outcome};

/// How long nothing of a file may come, unless somebody says otherwise.
pub(super) const QUIET_LIMIT: Duration = Duration::from_mins(1);
const AGAIN: Duration = Duration::from_millis(100);

/// How long other devices of the account may take to say that they have a file, or to upload more
/// of it.
const OWN_DEVICES_LIMIT: Duration = Duration::from_secs(30);

/// `waxwing save`.
#[derive(Debug, Args)]
pub struct Save {
    /// The message's id or the start of it; waxwing history --ids shows ids
    #[arg(value_name = "MESSAGE")]
    message: String,

    /// Which of its files, counted from 0; without it, all
    #[arg(long, value_name = "N")]
    number: Option<u32>,

    /// A folder, where a name that is taken gets a number; or the name of a new file
    #[arg(long, value_name = "PATH", default_value = ".")]
    to: PathBuf,

    /// Give up when nothing of the file has come for this long
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    wait: u64,
}

impl Save {
    /// Fetches what is not here, and writes it.
    pub async fn run(self, session: &mut Session, output: &Output) -> Result<Outcome, Failure> {
        let find = Request::FindMessage(FindMessage {
            prefix: self.message,
        });
        let message: Message = session.ask(&find).await?;
        let numbers: Vec<u32> = match self.number {
            Some(number) => vec![number],
            None => message.attachments.iter().map(|one| one.number).collect(),
        };
        if numbers.is_empty() {
            output.line("The message has no attachments.");
            return Ok(Outcome::Failed);
        }
        // Before anything is fetched: it may be large.
        let to = if numbers.len() > 1 {
            if self.to.is_file() {
                let path = self.to.display().to_string();
                return Err(FileError::Exists { path }.into());
            }
            // Several files need a folder; the slash at the end says so.
            self.to.join("")
        } else {
            self.to
        };
        for file in &message.attachments {
            if numbers.contains(&file.number) {
                Blobs::target(&file.name, &to)?;
            }
        }
        let limit = Duration::from_secs(self.wait);
        for number in numbers {
            let of = AttachmentOf {
                message: message.id,
                number,
            };
            let open = here(session, output, of, limit).await?;
            let (blobs, to) = (session.blobs(), to.clone());
            let saving = tokio::task::spawn_blocking(move || blobs.open(&open, &to));
            let path = saving.await.map_err(std::io::Error::other)?;
            let path = path?;
            output.object(&serde_json::json!({
                "type": "saved",
                "id": message.id,
                "number": number,
                "path": path,
            }));
            output.line(format!("Saved {}", one_line(&path.display().to_string())));
        }
        Ok(Outcome::Done)
    }
}

/// A file cannot be had now.
pub(super) fn missing(missing: Option<&MissingFile>) -> Failure {
    Failure::Said {
        code: "attachment_missing",
        sentence: sentence::of_missing_file(missing),
    }
}

/// Waits until a file is here; fails with the reason where it is not to be had now.
pub(super) async fn here(
    session: &mut Session,
    output: &Output,
    of: AttachmentOf,
    limit: Duration,
) -> Result<OpenAttachment, Failure> {
    let mut wait = Wait::new(output, "the file", limit);
    let mut bar = Bar::new(output, "Fetching");
    let mut percent = 0;
    let mut asked = false;
    let mut gives_up_at = None;
    loop {
        let request = Request::Attachment(of.clone());
        let open: OpenAttachment = session.ask(&request).await?;
        match (open.state, open.missing) {
            (AttachmentState::Here | AttachmentState::Sending, _) => {
                bar.end();
                return Ok(open);
            }
            (AttachmentState::Gone, missing) if asked => {
                bar.end();
                return Err(self::missing(missing.as_ref()));
            }
            (AttachmentState::Fetching, Some(missing)) if asked => {
                // Other devices of the account were asked: those that are online answer soon.
                let until = *gives_up_at.get_or_insert_with(|| Instant::now() + OWN_DEVICES_LIMIT);
                if Instant::now() > until {
                    bar.end();
                    return Err(self::missing(Some(&missing)));
                }
            }
            (AttachmentState::Fetching, None) => {
                asked = true;
                gives_up_at = None;
                if open.percent > percent {
                    percent = open.percent;
                    wait.progressed();
                }
                bar.show(open.percent, 100);
            }
            (AttachmentState::Offered | AttachmentState::Gone | AttachmentState::Fetching, _) => {
                let request = Request::FetchAttachment(of.clone());
                let _: Value = session.ask(&request).await?;
                asked = true;
            }
            (AttachmentState::Deleted, _) => {
                bar.end();
                return Err(Problem::AttachmentDeleted.into());
            }
        }
        if let Err(failure) = wait.pause(session, AGAIN).await {
            bar.end();
            return Err(failure);
        }
    }
}
