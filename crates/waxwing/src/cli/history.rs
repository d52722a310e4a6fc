//! `waxwing history`.

use clap::Args;
use serde::Deserialize;
use waxwing_client::Session;
use waxwing_engine::api::{self, Entry, MessageId, Request, Timestamp};

use super::arguments::Whose;
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
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=1000))]
    limit: u32,

    /// Only messages that contain this text (capitals do not matter)
    #[arg(long, value_name = "TEXT")]
    search: Option<String>,

    /// Show each message's id, for react, edit, unsend, info and --reply-to
    #[arg(long)]
    ids: bool,
}

/// The result of `history`.
#[derive(Deserialize)]
pub(super) struct Entries {
    pub(super) entries: Vec<Entry>,
    pub(super) more: bool,
}

impl History {
    /// Shows the conversation, oldest first.
    pub async fn run(self, session: &mut Session, output: &Output) -> Result<Outcome, Failure> {
        let request = Request::History(api::History {
            of: self.whose.whose,
            limit: Some(self.limit),
            before: None,
            search: self.search,
            ..Default::default()
        });
        let Entries { entries, more } = session.ask(&request).await?;
        if more {
            output.line(styled(
                FAINT,
                "… there are older ones; a higher --limit shows more",
            ))?;
        }
        let mut last_day = String::new();
        for entry in &entries {
            output.object(entry)?;
            let day = day(moment(entry));
            if day != last_day {
                output.line(styled(BOLD, &day))?;
                last_day = day;
            }
            match entry {
                Entry::Message(message) if self.ids => {
                    let id = styled(FAINT, short(message.id));
                    output.line(format!("{id}  {}", output::message(message, false)))?;
                }
                _ => output.line(output::entry(entry))?,
            }
        }
        if entries.is_empty() {
            output.line("There is nothing to show.")?;
        }
        Ok(Outcome::Done)
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
