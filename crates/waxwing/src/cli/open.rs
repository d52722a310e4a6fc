//! `waxwing open`.

use std::{path::PathBuf, time::Duration};

use clap::Args;
use serde_json::Value;
use waxwing_client::{Session, blobs::Blobs};
use waxwing_engine::api::{
    AttachmentOf, AttachmentState, Message, MessageOf, Problem, Request, ViewedOnce,
};

use super::{
    messages::Which,
    save::{QUIET_LIMIT, missing},
    wait_for_relay::settled,
    waiting::Wait,
};
use crate::{
    outcome::{Failure, Outcome},
    output::Output,
    prompt,
    text::{harmless, one_line},
};

const AGAIN: Duration = Duration::from_millis(100);

/// `waxwing open`.
#[derive(Debug, Args)]
pub struct Open {
    #[command(flatten)]
    which: Which,

    /// Where its files are written: a folder
    #[arg(long, value_name = "DIR", default_value = ".")]
    to: PathBuf,

    /// Do not ask first
    #[arg(long)]
    yes: bool,
}

impl Open {
    /// Shows a message, which is gone then.
    pub async fn run(self, session: &mut Session, output: &Output) -> Result<Outcome, Failure> {
        let message = self.which.find(session).await?;
        if !message.view_once {
            return Err(Problem::NotViewOnce.into());
        }
        let question = "You can open this message once; then it is deleted on all your devices. \
                        Open it now?";
        if !self.yes && !prompt::agrees(question).await? {
            output.line("It was not opened.");
            return Ok(Outcome::Failed);
        }
        if !message.attachments.is_empty() {
            // Before it is opened: afterwards nobody could try again.
            Blobs::target("file", &self.to.join(""))?;
            fetch(session, output, &message).await?;
        }
        let of = MessageOf {
            message: message.id,
        };
        let opened: ViewedOnce = session.ask(&Request::OpenOnce(of)).await?;
        let mut paths = Vec::new();
        for file in opened.attachments {
            let (blobs, to) = (session.blobs(), self.to.join(""));
            let saving = tokio::task::spawn_blocking(move || blobs.open(&file, &to));
            paths.push(saving.await.map_err(std::io::Error::other)??);
        }
        output.object(&serde_json::json!({
            "type": "viewed_once",
            "id": message.id,
            "text": opened.text,
            "paths": paths,
        }));
        if !opened.text.is_empty() {
            output.line(harmless(&opened.text));
        }
        for path in &paths {
            output.line(format!("Saved {}", one_line(&path.display().to_string())));
        }
        settled(session, output).await
    }
}

/// Waits until all files are here.
async fn fetch(session: &mut Session, output: &Output, message: &Message) -> Result<(), Failure> {
    let mut wait = Wait::new(output, "the files", QUIET_LIMIT);
    let mut percent = 0;
    let mut asked = false;
    loop {
        let prefix = message.id.to_string();
        let request = Request::FindMessage(waxwing_engine::api::FindMessage { prefix });
        let now: Message = session.ask(&request).await?;
        let mut waits = false;
        for file in &now.attachments {
            match file.state {
                AttachmentState::Here | AttachmentState::Sending => continue,
                AttachmentState::Gone if asked => return Err(missing(file.missing.as_ref())),
                AttachmentState::Deleted => return Err(Problem::AttachmentDeleted.into()),
                AttachmentState::Offered | AttachmentState::Gone => {
                    let of = AttachmentOf {
                        message: message.id,
                        number: file.number,
                    };
                    let _: Value = session.ask(&Request::FetchAttachment(of)).await?;
                }
                AttachmentState::Fetching => {}
            }
            waits = true;
        }
        if !waits {
            return Ok(());
        }
        asked = true;
        let now_percent = now.attachments.iter().map(|file| file.percent).sum();
        if now_percent > percent {
            percent = now_percent;
            wait.progressed();
        }
        wait.pause(session, AGAIN).await?;
    }
}
