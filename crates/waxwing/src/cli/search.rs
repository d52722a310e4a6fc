//! `waxwing search`.

use clap::Args;
use jiff::{Zoned, civil::Date, tz::TimeZone};
use serde::Deserialize;
use waxwing_client::Session;
use waxwing_engine::api::{Message, Request, Search as Asked, Timestamp};
use waxwing_protocol::time::Time;

use crate::{
    outcome::{Failure, Outcome},
    output::{self, BOLD, FAINT, Output, styled},
    text::day,
};

/// `waxwing search`.
#[derive(Debug, Args)]
pub struct Search {
    /// Words to find; the last one can be the beginning of a word
    #[arg(value_name = "TEXT", default_value = "")]
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
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=1000))]
    limit: u32,
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

impl Search {
    /// Shows what was found, newest last.
    pub async fn run(self, session: &mut Session, output: &Output) -> Result<Outcome, Failure> {
        let request = Request::Search(Asked {
            text: self.text,
            of: self.conversation,
            from: self.from,
            since: self.since.and_then(begins),
            until: self
                .until
                .and_then(|day| day.tomorrow().ok())
                .and_then(begins),
            limit: Some(self.limit),
            next: None,
        });
        let Found { mut found, next } = session.ask(&request).await?;
        found.reverse();
        if next.is_some() {
            output.line(styled(
                FAINT,
                "… there are older ones; a higher --limit shows more",
            ))?;
        }
        let mut last_day = String::new();
        for message in &found {
            output.object(message)?;
            let day = day(message.sent_at);
            if day != last_day {
                output.line(styled(BOLD, &day))?;
                last_day = day;
            }
            output.line(output::message(message, true))?;
        }
        if found.is_empty() {
            output.line("Nothing was found.")?;
        }
        Ok(Outcome::Done)
    }
}
