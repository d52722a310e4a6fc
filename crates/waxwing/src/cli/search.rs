//! `waxwing search`.

use clap::Args;
use jiff::{Zoned, civil::Date, tz::TimeZone};
use serde::Deserialize;
use waxwing_client::Session;
use waxwing_engine::api::{Message, Request, Search as Asked, Timestamp};
use waxwing_protocol::time::Time;

use super::{arguments, reply};
use crate::{
    outcome::{Failure, Outcome},
    output::{self, BOLD, FAINT, Output, styled},
    text::day,
};

/// `waxwing search`.
#[derive(Debug, Args)]
pub struct Search {
    /// What to find: words, parts of words, emoji; capitals and accents do not matter
    #[arg(
        value_name = "TEXT",
        default_value = "",
        allow_hyphen_values = true,
        value_parser = arguments::text
    )]
    text: String,

    /// Only in this conversation
    #[arg(long = "in", value_name = "ADDRESS|GROUP|CONVERSATION")]
    conversation: Option<String>,

    /// Only messages from this address
    #[arg(long, value_name = "ADDRESS")]
    from: Option<String>,

    /// Only from this day on
    #[arg(long, value_name = "YYYY-MM-DD", value_parser = date)]
    since: Option<Date>,

    /// Only up to and including this day
    #[arg(long, value_name = "YYYY-MM-DD", value_parser = date)]
    until: Option<Date>,

    /// Show at most this many messages, the newest
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u64).range(1..))]
    limit: u64,

    /// Show everything that was found
    #[arg(long, conflicts_with = "limit")]
    all: bool,
}

/// The result of `search`.
#[derive(Deserialize)]
struct Found {
    found: Vec<Message>,
    next: Option<i64>,
}

fn date(text: &str) -> Result<Date, String> {
    text.parse()
        .map_err(|_| "write a date like 2026-11-24".to_owned())
}

/// The first moment of a day, here.
fn begins(day: Date) -> Option<Timestamp> {
    let moment: Zoned = day.to_zoned(TimeZone::system()).ok()?;
    let ms = u64::try_from(moment.timestamp().as_millisecond()).ok()?;
    Some(Time(ms).into())
}

/// Messages that are asked for at once, at most.
const PAGE: u64 = 1_000;

/// As many messages as are wanted, the newest, oldest first; and whether there may be older ones.
async fn newest(
    session: &mut Session,
    mut wanted: Asked,
    limit: u64,
) -> Result<(Vec<Message>, bool), Failure> {
    let mut all = Vec::new();
    let mut left = limit;
    let more = loop {
        wanted.limit = u32::try_from(left.min(PAGE)).ok();
        let Found { found, next } = session.ask(&Request::Search(wanted.clone())).await?;
        left = left.saturating_sub(found.len() as u64);
        all.extend(found);
        wanted.next = next;
        if next.is_none() || left == 0 {
            break next.is_some();
        }
    };
    all.reverse();
    Ok((all, more))
}

impl Search {
    /// Shows what was found, newest last.
    pub async fn run(self, session: &mut Session, output: &Output) -> Result<Outcome, Failure> {
        let limit = if self.all { u64::MAX } else { self.limit };
        let wanted = Asked {
            text: self.text,
            of: self.conversation,
            from: self.from,
            since: self.since.and_then(begins),
            until: self
                .until
                .and_then(|day| day.tomorrow().ok())
                .and_then(begins),
            ..Asked::default()
        };
        let (found, more) = newest(session, wanted, limit).await?;
        if more {
            output.line(styled(
                FAINT,
                "… there are older ones; a higher --limit shows more",
            ));
        }
        let mut last_day = String::new();
        for message in &found {
            output.typed("message", message);
            let day = day(message.sent_at);
            if day != last_day {
                output.line(styled(BOLD, &day));
                last_day = day;
            }
            let quoted = reply::quoted(session, message).await;
            output.line(output::message_in_reply(message, true, quoted.as_deref()));
        }
        if found.is_empty() {
            output.line("Nothing was found.");
        }
        Ok(Outcome::Shown)
    }
}
