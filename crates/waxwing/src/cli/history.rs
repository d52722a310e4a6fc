//! `waxwing history`.

use clap::Args;
use serde::Deserialize;
use waxwing_client::Session;
use waxwing_engine::api::{self, Entry, FindMessage, Message, MessageId, Request, Timestamp};

use super::{arguments::Whose, reply};
use crate::{
    outcome::{Failure, Outcome},
    output::{self, BOLD, FAINT, Output, styled},
    text::day,
};

/// `waxwing history`.
#[derive(Debug, Args)]
pub struct History {
    #[command(flatten)]
    whose: Whose,

    /// Show at most this many entries, the newest
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u64).range(1..))]
    limit: u64,

    /// Show everything
    #[arg(long, conflicts_with = "limit")]
    all: bool,

    /// Only entries before this message: its id or the start of it
    #[arg(long, value_name = "MESSAGE", conflicts_with = "search")]
    before: Option<String>,

    /// Only messages that contain this text (capitals do not matter)
    #[arg(long, value_name = "TEXT")]
    search: Option<String>,

    /// Show each message's id, for react, edit, unsend, info and --reply-to
    #[arg(long)]
    ids: bool,
}

/// The result of `history`.
#[derive(Deserialize)]
pub(super) struct HistoryPart {
    pub(super) entries: Vec<Entry>,
    pub(super) more: bool,
    previous: Option<String>,
}

/// Entries that are asked for at once, at most.
const PAGE: u64 = 1_000;

/// As many entries as are wanted, the newest, oldest first; and whether there are older ones.
async fn newest(
    session: &mut Session,
    mut wanted: api::History,
    limit: u64,
) -> Result<(Vec<Entry>, bool), Failure> {
    let mut pages = Vec::new();
    let mut left = limit;
    let more = loop {
        wanted.limit = u32::try_from(left.min(PAGE)).ok();
        let page: HistoryPart = session.ask(&Request::History(wanted.clone())).await?;
        left = left.saturating_sub(page.entries.len() as u64);
        pages.push(page.entries);
        match page.previous {
            Some(previous) if left > 0 => {
                wanted.before = None;
                wanted.until = Some(previous);
            }
            _ => break page.more,
        }
    };
    Ok((pages.into_iter().rev().flatten().collect(), more))
}

impl History {
    /// Shows the conversation, oldest first.
    pub async fn run(self, session: &mut Session, output: &Output) -> Result<Outcome, Failure> {
        let limit = if self.all { u64::MAX } else { self.limit };
        let before = match self.before {
            Some(prefix) => {
                let request = Request::FindMessage(FindMessage { prefix });
                let message: Message = session.ask(&request).await?;
                Some(message.id)
            }
            None => None,
        };
        let wanted = api::History {
            of: self.whose.whose,
            before,
            search: self.search,
            ..Default::default()
        };
        let (entries, more) = newest(session, wanted, limit).await?;
        if more {
            output.line(styled(
                FAINT,
                "… there are older ones; a higher --limit shows more",
            ));
        }
        let mut last_day = String::new();
        for entry in &entries {
            if output.is_lost() {
                break;
            }
            output.object(entry);
            let day = day(moment(entry));
            if day != last_day {
                output.line(styled(BOLD, &day));
                last_day = day;
            }
            match entry {
                Entry::Message(message) => {
                    let quoted = reply::quoted(session, message).await;
                    let lines = output::message_in_reply(message, false, quoted.as_deref());
                    output.line(if self.ids {
                        format!("{}  {lines}", styled(FAINT, short(message.id)))
                    } else {
                        lines
                    });
                }
                _ => output.line(output::entry(entry)),
            }
        }
        if entries.is_empty() {
            output.line("There is nothing to show.");
        }
        Ok(Outcome::Shown)
    }
}

/// The start of an id, without the byte that all share.
fn short(id: MessageId) -> String {
    id.to_string().chars().skip(2).take(8).collect()
}

fn moment(entry: &Entry) -> Timestamp {
    match entry {
        Entry::Message(message) => message.sent_at,
        Entry::Event(event) => event.at,
        Entry::Gap(gap) => gap.at,
    }
}
