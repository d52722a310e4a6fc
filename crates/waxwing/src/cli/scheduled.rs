//! `waxwing scheduled`, and sending later.

use clap::{Args, Subcommand};
use serde::Deserialize;
use serde_json::Value;
use waxwing_client::Session;
use waxwing_engine::api::{
    CancelScheduled, ChangeScheduled, Request, Schedule, ScheduledMessage, SendText, Timestamp,
};

use super::moment::moment;
use crate::{
    outcome::{Failure, Outcome},
    output::{BOLD, FAINT, Output, WARN, styled},
    sentence,
    text::{clock, day, one_line},
};

/// `waxwing scheduled`.
#[derive(Debug, Args)]
pub struct Scheduled {
    #[command(subcommand)]
    what: Option<What>,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Change the text or the time of a message that was not sent yet
    Edit {
        /// The message's number; waxwing scheduled shows it
        #[arg(value_name = "NUMBER")]
        number: u64,
        /// The new text
        #[arg(value_name = "TEXT", required_unless_present = "at")]
        text: Option<String>,
        /// The new time, like 18:30, 2026-12-24T08:00 or +2h
        #[arg(long, value_name = "TIME", value_parser = moment)]
        at: Option<Timestamp>,
    },
    /// Cancel a message that was not sent yet
    Cancel {
        /// The message's number; waxwing scheduled shows it
        #[arg(value_name = "NUMBER")]
        number: u64,
    },
}

#[derive(Deserialize)]
struct Listed {
    scheduled: Vec<ScheduledMessage>,
}

impl Scheduled {
    /// Lists, changes or cancels.
    pub async fn run(self, session: &mut Session, output: &Output) -> Result<Outcome, Failure> {
        match self.what {
            None => {
                let Listed { scheduled } = session.ask(&Request::Scheduled).await?;
                for one in &scheduled {
                    show(output, one);
                }
                if scheduled.is_empty() {
                    output.line("Nothing is scheduled on this device.");
                }
                return Ok(Outcome::Shown);
            }
            Some(What::Edit { number, text, at }) => {
                let change = ChangeScheduled {
                    id: number,
                    text,
                    at,
                };
                let changed: ScheduledMessage =
                    session.ask(&Request::ChangeScheduled(change)).await?;
                show(output, &changed);
            }
            Some(What::Cancel { number }) => {
                let cancel = CancelScheduled { id: number };
                let _: Value = session.ask(&Request::CancelScheduled(cancel)).await?;
                output.object(&serde_json::json!({ "type": "cancelled", "id": number }));
                output.line("Cancelled: it is not sent.");
            }
        }
        Ok(Outcome::Done)
    }
}

/// Schedules a message.
pub(super) async fn schedule(
    session: &mut Session,
    output: &Output,
    message: SendText,
    at: Timestamp,
) -> Result<(), Failure> {
    let request = Request::Schedule(Schedule { message, at });
    let scheduled: ScheduledMessage = session.ask(&request).await?;
    show(output, &scheduled);
    Ok(())
}

/// What a person must know of it.
pub(super) const WHEN: &str = "\
    This device sends it then if `waxwing listen` or `waxwing app` runs. Otherwise it is sent late: \
    when a waxwing command runs next.";

fn show(output: &Output, one: &ScheduledMessage) {
    let mut object = serde_json::to_value(one).unwrap_or_default();
    if let Value::Object(fields) = &mut object {
        fields.insert("type".into(), "scheduled_message".into());
    }
    output.object(&object);
    let number = styled(FAINT, format!("{:>3}", one.id));
    let when = format!("{} {}", day(one.at), clock(one.at));
    let text = one_line(&one.text);
    let to = styled(BOLD, one_line(&one.to));
    output.line(format!("{number}  {when}  {to}: {text}"));
    for file in &one.attachments {
        output.line(styled(FAINT, format!("       📎 {}", one_line(&file.name))));
    }
    if let Some(problem) = &one.problem {
        let why = one_line(&sentence::of_report(problem));
        output.line(format!(
            "       {}",
            styled(WARN, format!("not sent: {why}"))
        ));
    }
}
