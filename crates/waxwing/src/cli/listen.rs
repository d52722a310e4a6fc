//! `waxwing listen`.
//!
//! **Always.** A message is printed before it counts as read: if this process is killed in
//! between, the message is printed again rather than lost. With `--count` the command ends
//! once the relay has the receipts for the printed messages, so that the senders learn of it,
//! or when the relay has not taken them for a while.

use std::{collections::HashSet, time::Duration};

use clap::Args;
use serde::Deserialize;
use serde_json::Value;
use tokio::time::{sleep, timeout};
use waxwing_client::Session;
use waxwing_engine::api::{
    Account, Connection, Conversation, ConversationId, Direction, Entry, History, MarkRead,
    Message, MessageId, Notice, Problem, RegistrationStage, Request, Status,
};

use super::history::Entries;
use crate::{
    outcome::{Failure, Outcome},
    output::{self, FAINT, Output, WARN, styled},
    sentence,
    text::one_line,
};

/// Entries of a conversation that are asked for at once.
const PAGE: u32 = 200;
/// How long the receipts of the last messages may take. They are gathered for a moment,
/// so that one tells of many.
const RECEIPTS_LIMIT: Duration = Duration::from_secs(10);
const AGAIN: Duration = Duration::from_millis(50);

/// `waxwing listen`.
#[derive(Debug, Args)]
pub struct Listen {
    /// Stop after this many messages, once the relay has their receipts
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,

    /// Stop after this time; with --count, exit code 1 if fewer messages came
    #[arg(long, value_name = "SECONDS")]
    timeout: Option<u64>,
}

#[derive(Deserialize)]
struct Conversations {
    conversations: Vec<Conversation>,
}

impl Listen {
    /// Prints messages until enough have come or the time is up.
    pub async fn run(self, session: &mut Session, output: &Output) -> Result<Outcome, Failure> {
        session.subscribe().await?;
        let account: Account = session.ask(&Request::Account).await?;
        if account.registration != RegistrationStage::Registered {
            return Err(Problem::NotRegistered.into());
        }
        let mut listening = Listening {
            session,
            output,
            left: self.count,
            printed: HashSet::new(),
        };
        let finished = match self.timeout {
            None => listening.run().await.map(Some)?,
            Some(seconds) => timeout(Duration::from_secs(seconds), listening.run())
                .await
                .ok()
                .transpose()?,
        };
        if finished.is_none() && self.count.is_some() {
            output.aside("The time is up, and fewer messages arrived than --count asked for.");
            return Ok(Outcome::Failed);
        }
        if self.count.is_some()
            && timeout(RECEIPTS_LIMIT, receipts_accepted(session))
                .await
                .ok()
                .transpose()?
                .is_none()
        {
            output.aside(
                "The relay has not taken the receipts yet, so the senders do not know that their \
                 messages arrived. The next waxwing command that reaches the relay sends the \
                 receipts.",
            );
        }
        Ok(Outcome::Done)
    }
}

/// Waits until the relay has every receipt.
async fn receipts_accepted(session: &mut Session) -> Result<(), Failure> {
    loop {
        let status: Status = session.ask(&Request::Status).await?;
        if status.receipts == 0 {
            return Ok(());
        }
        sleep(AGAIN).await;
    }
}

struct Listening<'a> {
    session: &'a mut Session,
    output: &'a Output,
    /// How many messages more are wanted.
    left: Option<u64>,
    /// A message can be among the unread ones and come as a notice as well.
    printed: HashSet<MessageId>,
}

impl Listening<'_> {
    async fn run(&mut self) -> Result<(), Failure> {
        self.unread().await?;
        while self.left != Some(0) {
            let notice = self.session.notice().await;
            self.notice(notice).await?;
        }
        Ok(())
    }

    /// Prints what has come and was not read yet.
    async fn unread(&mut self) -> Result<(), Failure> {
        let Conversations { conversations } = self.session.ask(&Request::Conversations).await?;
        let mut messages = Vec::new();
        for conversation in conversations
            .iter()
            .filter(|conversation| conversation.unread > 0)
        {
            messages.extend(self.unread_in(conversation).await?);
        }
        messages.sort_by_key(|message| message.sent_at);
        for message in messages {
            if self.left == Some(0) {
                break;
            }
            self.message(message).await?;
        }
        Ok(())
    }

    async fn unread_in(&mut self, conversation: &Conversation) -> Result<Vec<Message>, Failure> {
        let mut unread = Vec::new();
        let mut before = None;
        loop {
            let request = Request::History(History {
                of: conversation.id.to_string(),
                limit: Some(PAGE),
                before,
                search: None,
                ..Default::default()
            });
            let Entries { entries, more, .. } = self.session.ask(&request).await?;
            let messages = entries.into_iter().filter_map(|entry| match entry {
                Entry::Message(message) => Some(message),
                Entry::Event(_) | Entry::Gap(_) => None,
            });
            let messages: Vec<_> = messages.collect();
            let oldest = messages.first().map(|message| message.id);
            unread.extend(
                messages
                    .into_iter()
                    .filter(|message| message.direction == Direction::In && !message.read),
            );
            if !more || oldest.is_none() || unread.len() as u64 >= conversation.unread {
                return Ok(unread);
            }
            before = oldest;
        }
    }

    async fn message(&mut self, message: Message) -> Result<(), Failure> {
        if message.direction != Direction::In || !self.printed.insert(message.id) {
            return Ok(());
        }
        let (conversation, id) = (message.conversation, message.id);
        self.output.line(output::message(&message, true))?;
        self.output.object(&Notice::Message(message))?;
        if let Some(left) = &mut self.left {
            *left = left.saturating_sub(1);
        }
        self.mark_read(conversation, id).await
    }

    async fn mark_read(
        &mut self,
        conversation: ConversationId,
        id: MessageId,
    ) -> Result<(), Failure> {
        let request = Request::MarkRead(MarkRead {
            conversation,
            up_to: Some(id),
        });
        let _: Value = self.session.ask(&request).await?;
        Ok(())
    }

    async fn notice(&mut self, notice: Value) -> Result<(), Failure> {
        let Ok(notice) = serde_json::from_value(notice) else {
            // `{"type":"missed"}`: what came in between is in the store.
            return self.unread().await;
        };
        let notice = match notice {
            Notice::Message(message) => return self.message(message).await,
            other => other,
        };
        self.output.object(&notice)?;
        match notice {
            Notice::Event(event) => self.output.line(output::event(&event))?,
            Notice::Gap(gap) => self.output.line(output::gap(&gap))?,
            Notice::Connection(changed) => match changed.connection {
                Connection::Online => self.output.aside(styled(FAINT, "Connected.")),
                Connection::Offline => self.output.aside(match changed.problem {
                    Some(problem) => styled(WARN, one_line(&sentence::of_report(&problem))),
                    None => styled(FAINT, "Not connected."),
                }),
            },
            Notice::Warning(warning) => {
                self.output.aside(styled(
                    WARN,
                    one_line(&sentence::of_report(&warning.problem)),
                ));
            }
            Notice::MessageChanged(message) => {
                self.output.line(styled(FAINT, output::changed(&message)))?;
            }
            Notice::Scheduled(changed) => self.output.line(output::scheduled(&changed))?,
            Notice::Typing(typing) if typing.typing => {
                let address = one_line(&typing.address);
                self.output
                    .aside(styled(FAINT, format!("{address} is typing …")));
            }
            Notice::RelayMoved(moved) => {
                let url = one_line(&moved.url);
                self.output
                    .aside(styled(FAINT, format!("The relay is at {url} from now on.")));
            }
            // Nothing will ever arrive here again.
            Notice::HomeErased(_) => return Err(Problem::NotRegistered.into()),
            Notice::Message(_)
            | Notice::Typing(_)
            | Notice::MessageDeleted(_)
            | Notice::Synced(_)
            | Notice::MessageState(_)
            | Notice::Registration(_)
            | Notice::Pairing(_)
            | Notice::Devices(_)
            | Notice::Transfer(_)
            | Notice::Backup(_)
            | Notice::Recovery(_)
            | Notice::Lock(_) => {}
        }
        Ok(())
    }
}
