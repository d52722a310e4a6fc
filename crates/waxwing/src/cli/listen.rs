//! `waxwing listen`.
//!
//! **Always.** A message is printed before it counts as read: if this process is killed in
//! between, or the output fails, the message is printed again rather than lost. What stands in one
//! conversation is printed in the relay's order, no matter what the senders' clocks say. With
//! `--count` the command ends
//! once the relay has the receipts for the printed messages, so that the senders learn of it,
//! or when the relay has not taken them for a while.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    time::Duration,
};

use clap::Args;
use serde::Deserialize;
use serde_json::Value;
use tokio::time::timeout;
use waxwing_client::Session;
use waxwing_engine::api::{
    Account, Connection, Conversation, ConversationId, Direction, Entry, History, MarkRead,
    Message, MessageId, Notice, Problem, RegistrationStage, Request, Status, Timestamp,
};

use super::{history::HistoryPart, reply, waiting::Wait};
use crate::{
    outcome::{Failure, Outcome},
    output::{self, BOLD, FAINT, Output, WARN, styled},
    sentence,
    text::{day, one_line},
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
            shown: HashMap::new(),
            last_day: String::new(),
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
        if self.count.is_some() && !receipts_accepted(session, output).await? {
            output.aside(
                "The relay has not taken the receipts yet, so the senders do not know that their \
                 messages arrived. The next waxwing command that reaches the relay sends the \
                 receipts.",
            );
        }
        Ok(Outcome::Shown)
    }
}

/// Waits until the relay has every receipt; gives whether it has.
async fn receipts_accepted(session: &mut Session, output: &Output) -> Result<bool, Failure> {
    let mut wait = Wait::new(output, "the relay to accept the receipts", RECEIPTS_LIMIT);
    loop {
        let status: Status = session.ask(&Request::Status).await?;
        if status.receipts == 0 {
            return Ok(true);
        }
        if wait.pause(session, AGAIN).await.is_err() {
            return Ok(false);
        }
    }
}

struct Listening<'a> {
    session: &'a mut Session,
    output: &'a Output,
    /// How many messages more are wanted.
    left: Option<u64>,
    /// A message can be among the unread ones and come as a notice as well.
    printed: HashSet<MessageId>,
    /// What of a message people saw last: nothing is printed where only ticks have changed.
    shown: HashMap<MessageId, String>,
    /// The day of what was printed last.
    last_day: String,
}

impl Listening<'_> {
    async fn run(&mut self) -> Result<(), Failure> {
        self.unread().await?;
        // Nobody reads what would be printed, and it must not count as read.
        while self.left != Some(0) && !self.output.is_lost() {
            let notice = self.session.notice().await;
            self.notice(notice).await?;
        }
        Ok(())
    }

    /// Prints what has come and was not read yet.
    async fn unread(&mut self) -> Result<(), Failure> {
        let Conversations { conversations } = self.session.ask(&Request::Conversations).await?;
        let mut unread = Vec::new();
        for conversation in conversations
            .iter()
            .filter(|conversation| conversation.unread > 0)
        {
            unread.push(self.unread_in(conversation).await?.into());
        }
        for message in merged(unread) {
            if self.left == Some(0) || self.output.is_lost() {
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
            let HistoryPart { entries, more, .. } = self.session.ask(&request).await?;
            let messages = entries.into_iter().filter_map(|entry| match entry {
                Entry::Message(message) => Some(message),
                Entry::Event(_) | Entry::Gap(_) => None,
            });
            let messages: Vec<_> = messages.collect();
            let oldest = messages.first().map(|message| message.id);
            let mut page: Vec<_> = messages
                .into_iter()
                .filter(|message| message.direction == Direction::In && !message.read)
                .collect();
            // The pages come from the newest to the oldest.
            page.append(&mut unread);
            unread = page;
            if !more || oldest.is_none() || unread.len() as u64 >= conversation.unread {
                return Ok(unread);
            }
            before = oldest;
        }
    }

    /// Prints a message: from somebody else, or from another device of this account.
    async fn message(&mut self, message: Message) -> Result<(), Failure> {
        if !self.printed.insert(message.id) {
            return Ok(());
        }
        let (conversation, id) = (message.conversation, message.id);
        let came_in = message.direction == Direction::In;
        self.shown.insert(id, visible(&message));
        self.date(message.sent_at);
        let quoted = reply::quoted(self.session, &message).await;
        let lines = output::message_in_reply(&message, true, quoted.as_deref());
        self.output.line(lines);
        self.output.object(&Notice::Message(message));
        if !came_in || self.output.is_lost() {
            return Ok(());
        }
        if let Some(left) = &mut self.left {
            *left = left.saturating_sub(1);
        }
        self.mark_read(conversation, id).await
    }

    /// Prints the day, if it is another than that of what was printed last.
    fn date(&mut self, at: Timestamp) {
        let day = day(at);
        if day != self.last_day {
            self.output.line(styled(BOLD, &day));
            self.last_day = day;
        }
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
        self.output.object(&notice);
        match notice {
            Notice::Event(event) => {
                self.date(event.at);
                self.output.line(output::event(&event));
            }
            Notice::Gap(gap) => {
                self.date(gap.at);
                self.output.line(output::gap(&gap));
            }
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
                let now = visible(&message);
                let before = self.shown.insert(message.id, now.clone());
                let changed = before.map_or_else(|| was_amended(&message), |before| before != now);
                if changed {
                    self.output.line(styled(FAINT, output::changed(&message)));
                }
            }
            Notice::Scheduled(changed) => self.output.line(output::scheduled(&changed)),
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

/// What people see of a message, without how far it has got and how much of its files is here.
fn visible(message: &Message) -> String {
    let Message {
        text,
        edited_at,
        taken_back,
        reactions,
        poll,
        ..
    } = message;
    serde_json::json!([text, edited_at, taken_back, reactions, poll]).to_string()
}

/// Whether somebody has said something of a message since it was sent.
fn was_amended(message: &Message) -> bool {
    let voted = message.poll.as_ref().is_some_and(|poll| poll.voters > 0);
    message.edited_at.is_some() || message.taken_back || !message.reactions.is_empty() || voted
}

/// The messages of several conversations by their times. The order within a conversation, which is
/// the relay's, stays.
fn merged(mut conversations: Vec<VecDeque<Message>>) -> Vec<Message> {
    let mut all = Vec::new();
    loop {
        let next = conversations
            .iter_mut()
            .filter(|messages| !messages.is_empty())
            .min_by_key(|messages| messages.front().map(|message| message.sent_at));
        match next.and_then(VecDeque::pop_front) {
            Some(message) => all.push(message),
            None => return all,
        }
    }
}

#[cfg(test)]
mod tests {
    use waxwing_engine::api::{MessageState, Reaction, ReceiptCount};
    use waxwing_protocol::time::Time;

    use super::*;

    fn message(number: u8, at: u64) -> Message {
        Message::new(
            MessageId::from_bytes([number; 32]),
            ConversationId::from_bytes([1; 16]),
            "bob@example.org".into(),
            Time(at).into(),
            Direction::In,
        )
    }

    #[test]
    fn a_wrong_clock_does_not_change_the_order_in_a_conversation() {
        let one = VecDeque::from([message(1, 900), message(2, 100), message(3, 950)]);
        let other = VecDeque::from([message(4, 500), message(5, 1_000)]);
        let order: Vec<u8> = merged(vec![one, other])
            .iter()
            .map(|message| message.id.as_bytes()[0])
            .collect();
        assert_eq!(order, [4, 1, 2, 3, 5]);
    }

    #[test]
    fn ticks_and_transfers_are_no_news() {
        let mut now = message(1, 1);
        let before = visible(&now);
        now.state = Some(MessageState::Read);
        now.receipts = Some(ReceiptCount {
            delivered: 1,
            read: 1,
            of: 2,
        });
        assert_eq!(visible(&now), before);
        assert!(!was_amended(&now));
        now.reactions.push(Reaction {
            emoji: "👍".into(),
            by: vec!["bob@example.org".into()],
            own: false,
        });
        assert!(visible(&now) != before && was_amended(&now));
    }
}
