//! `waxwing delete`.

use clap::Args;
use serde_json::Value;
use waxwing_client::Session;
use waxwing_engine::api::{
    AttachmentOf, DeleteMessages, FindMessage, Message, Of, Problem, Request,
};

use super::wait_for_relay::settled;
use crate::{
    outcome::{Failure, Outcome},
    output::Output,
    prompt,
    text::one_line,
};

/// `waxwing delete`.
#[derive(Debug, Args)]
pub struct Delete {
    /// The messages' ids or the starts of them; waxwing history --ids shows ids
    #[arg(value_name = "MESSAGE", required_unless_present = "conversation")]
    messages: Vec<String>,

    /// Delete only this file of the message, counted from 0
    #[arg(long, value_name = "N")]
    file: Option<u32>,

    /// Delete everything in a conversation: an address, the name of a group, or an id
    #[arg(
        long,
        value_name = "ADDRESS|GROUP|CONVERSATION",
        conflicts_with_all = ["messages", "file"]
    )]
    conversation: Option<String>,

    /// Do not ask before a conversation is deleted
    #[arg(long, requires = "conversation")]
    yes: bool,
}

impl Delete {
    /// Deletes for this account only.
    pub async fn run(self, session: &mut Session, output: &Output) -> Result<Outcome, Failure> {
        if let Some(of) = self.conversation {
            return conversation(session, output, of, self.yes).await;
        }
        if self.file.is_some() && self.messages.len() > 1 {
            return Err(Problem::MessageAmbiguous.into());
        }
        let mut messages = Vec::new();
        for prefix in self.messages {
            let found: Message = session
                .ask(&Request::FindMessage(FindMessage { prefix }))
                .await?;
            messages.push(found.id);
        }
        if let (Some(number), [message]) = (self.file, messages.as_slice()) {
            let of = AttachmentOf {
                message: *message,
                number,
            };
            let _: Value = session.ask(&Request::DeleteAttachment(of)).await?;
            output.object(&serde_json::json!({
                "type": "file_deleted",
                "id": message,
                "number": number,
            }));
        } else {
            let request = Request::DeleteMessages(DeleteMessages {
                messages: messages.clone(),
            });
            let _: Value = session.ask(&request).await?;
            for id in messages {
                output.object(&serde_json::json!({ "type": "deleted", "id": id }));
            }
        }
        output.line("Deleted on your devices. Others keep what they received.");
        settled(session, output).await
    }
}

async fn conversation(
    session: &mut Session,
    output: &Output,
    of: String,
    sure: bool,
) -> Result<Outcome, Failure> {
    let question = format!(
        "Delete everything in the conversation with {} on all your devices?",
        one_line(&of)
    );
    if !sure && !prompt::agrees(&question).await? {
        output.line("Nothing was deleted.");
        return Ok(Outcome::Failed);
    }
    let object = serde_json::json!({ "type": "conversation_deleted", "of": of });
    let _: Value = session.ask(&Request::DeleteConversation(Of { of })).await?;
    output.object(&object);
    output.line("Deleted on your devices. Others keep what they received.");
    settled(session, output).await
}
