//! `waxwing forward`.

use clap::Args;
use waxwing_client::Session;
use waxwing_engine::api::{
    AttachmentOf, AttachmentState, Forward as ForwardMessage, Message, OpenAttachment, Request,
    SealedFile, Sent,
};

use super::{
    messages::Which,
    progress::Bar,
    recipients::{Delivery, recipients, see_all_through},
    save::{QUIET_LIMIT, here},
    send::{Limit, see_through},
};
use crate::{
    outcome::{Failure, Outcome},
    output::Output,
};

/// `waxwing forward`.
#[derive(Debug, Args)]
pub struct Forward {
    #[command(flatten)]
    which: Which,
    /// To whom: addresses, names of groups, or ids of conversations
    #[arg(value_name = "ADDRESS|GROUP|CONVERSATION", required = true)]
    to: Vec<String>,
}

impl Forward {
    /// Sends it to each, and tells how far it got.
    pub async fn run(self, session: &mut Session, output: &Output) -> Result<Outcome, Failure> {
        session.subscribe().await?;
        let message = self.which.find(session).await?;
        let files = open_all(session, output, &message).await?;
        let limit = Some(Limit::usual(!files.is_empty()));
        let mut all = Vec::new();
        for to in recipients(&self.to) {
            let attachments = seal_again(session, output, &files).await?;
            let request = Request::Forward(ForwardMessage {
                message: message.id,
                to: to.clone(),
                attachments,
            });
            let sent: Result<Sent, _> = session.ask(&request).await;
            all.push(Delivery::new(to, sent.map_err(Failure::from)));
        }
        if all.len() == 1
            && let Some(only) = all.pop()
        {
            return see_through(session, output, only.sent?, limit).await;
        }
        Ok(see_all_through(session, output, all, limit).await)
    }
}

/// What opens the files of a message; those that are not here are fetched.
async fn open_all(
    session: &mut Session,
    output: &Output,
    message: &Message,
) -> Result<Vec<OpenAttachment>, Failure> {
    let mut files = Vec::new();
    for file in &message.attachments {
        if file.state == AttachmentState::Deleted {
            continue;
        }
        let of = AttachmentOf {
            message: message.id,
            number: file.number,
        };
        files.push(here(session, output, of, QUIET_LIMIT).await?);
    }
    Ok(files)
}

/// Seals files for one recipient: nobody can tell that others got them, too.
async fn seal_again(
    session: &Session,
    output: &Output,
    files: &[OpenAttachment],
) -> Result<Vec<SealedFile>, Failure> {
    let mut sealed = Vec::new();
    for file in files {
        let (blobs, file) = (session.blobs(), file.clone());
        let mut bar = Bar::new(output, "Sealing");
        let sealing = tokio::task::spawn_blocking(move || {
            let size = file.size;
            let sealed = blobs.seal_again(&file, |done| bar.show(done >> 10, size >> 10));
            bar.end();
            sealed
        });
        sealed.push(sealing.await.map_err(std::io::Error::other)??);
    }
    Ok(sealed)
}
