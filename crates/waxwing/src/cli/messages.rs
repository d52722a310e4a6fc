//! Commands for single messages: `waxwing react`, `edit`, `unsend`, `disappear`, `info`.

use clap::Args;
use serde::Deserialize;
use serde_json::Value;
use waxwing_client::Session;
use waxwing_engine::api::{
    Edit as EditMessage, Message, MessageInfo, MessageOf, React as ReactTo, Request, SetTimer,
};

use super::{
    arguments::{self, Whose},
    reply,
    wait_for_relay::settled,
};
use crate::{
    outcome::{Failure, Outcome},
    output::{self, BOLD, FAINT, GOOD, Output, styled},
    text::{clock, day, one_line},
};

#[derive(Deserialize)]
struct Found {
    found: Vec<Message>,
}

/// A message, as a person names it.
#[derive(Debug, Args)]
pub struct Which {
    /// The message's id or the start of it; waxwing history --ids shows ids
    #[arg(value_name = "MESSAGE")]
    message: String,
}

/// `waxwing react`.
#[derive(Debug, Args)]
pub struct React {
    #[command(flatten)]
    which: Which,
    /// The emoji
    #[arg(value_name = "EMOJI", required_unless_present = "remove")]
    emoji: Option<String>,
    /// Remove your reaction
    #[arg(long, conflicts_with = "emoji")]
    remove: bool,
}

/// `waxwing edit`.
#[derive(Debug, Args)]
pub struct Edit {
    #[command(flatten)]
    which: Which,
    /// The new text
    #[arg(value_name = "TEXT", allow_hyphen_values = true, value_parser = arguments::text)]
    text: String,
}

/// `waxwing disappear`.
#[derive(Debug, Args)]
pub struct Disappear {
    #[command(flatten)]
    whose: Whose,
    /// How long messages stay after they are read, like 30s, 5m, 8h, 1d or 4w; or off
    #[arg(value_name = "TIME", value_parser = seconds)]
    after: u32,
}

/// A length of time, as people write it.
fn seconds(text: &str) -> Result<u32, String> {
    const HINT: &str = "write a number and s, m, h, d or w, like 1d; or off";
    if text == "off" {
        return Ok(0);
    }
    let (number, unit) = text
        .char_indices()
        .next_back()
        .map(|(at, _)| text.split_at(at))
        .ok_or(HINT)?;
    let unit = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        "w" => 604_800,
        _ => return Err(HINT.into()),
    };
    let number: u32 = number.parse().map_err(|_| HINT)?;
    let seconds = number.checked_mul(unit).filter(|seconds| *seconds > 0);
    Ok(seconds.ok_or(HINT)?)
}

impl Which {
    /// The message that is meant.
    pub async fn find(self, session: &mut Session) -> Result<Message, Failure> {
        arguments::message(session, self.message).await
    }

    /// Takes an own message back.
    pub async fn unsend(self, session: &mut Session, output: &Output) -> Result<Outcome, Failure> {
        let message = self.find(session).await?.id;
        let request = Request::TakeBack(MessageOf { message });
        let outcome = done(session, output, &request, "taken_back").await?;
        output.line(
            "The message is deleted here, and the others' devices are asked to delete it. Somebody \
             may already have read or copied it.",
        );
        Ok(outcome)
    }

    /// Shows the thread in which a message stands.
    pub async fn thread(self, session: &mut Session, output: &Output) -> Result<Outcome, Failure> {
        let message = self.find(session).await?.id;
        let request = Request::Thread(MessageOf { message });
        let Found { found } = session.ask(&request).await?;
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
        Ok(Outcome::Shown)
    }

    /// Shows everything that is known of a message.
    pub async fn info(self, session: &mut Session, output: &Output) -> Result<Outcome, Failure> {
        let message = self.find(session).await?.id;
        let request = Request::MessageInfo(MessageOf { message });
        let info: MessageInfo = session.ask(&request).await?;
        output.typed("message_info", &info);
        output.line(styled(BOLD, day(info.message.sent_at)));
        output.line(output::message(&info.message, true));
        output.line(styled(FAINT, format!("  {}", info.message.id)));
        for version in info.versions.iter().filter(|_| info.versions.len() > 1) {
            output.line(format!(
                "  {}  said: {}",
                styled(FAINT, clock(version.at)),
                one_line(&version.text)
            ));
        }
        for receipt in &info.receipts {
            let state = match (receipt.delivered_at, receipt.read_at) {
                (_, Some(at)) => styled(GOOD, format!("read, {}", clock(at))),
                (Some(at), None) => styled(FAINT, format!("received, {}", clock(at))),
                (None, None) => styled(FAINT, "not known yet"),
            };
            output.line(format!("  {}: {state}", one_line(&receipt.address)));
        }
        Ok(Outcome::Shown)
    }
}

impl React {
    /// Reacts, or takes the reaction back.
    pub async fn run(self, session: &mut Session, output: &Output) -> Result<Outcome, Failure> {
        let message = self.which.find(session).await?.id;
        let emoji = self.emoji.filter(|_| !self.remove);
        let request = Request::React(ReactTo { message, emoji });
        done(session, output, &request, "reacted").await
    }
}

impl Edit {
    /// Says something else in place of an own message.
    pub async fn run(self, session: &mut Session, output: &Output) -> Result<Outcome, Failure> {
        let message = self.which.find(session).await?.id;
        let text = self.text;
        let request = Request::Edit(EditMessage { message, text });
        done(session, output, &request, "edited").await
    }
}

impl Disappear {
    /// Sets a conversation's timer.
    pub async fn run(self, session: &mut Session, output: &Output) -> Result<Outcome, Failure> {
        let request = Request::SetTimer(SetTimer {
            of: self.whose.whose,
            seconds: self.after,
        });
        let outcome = done(session, output, &request, "timer_set").await?;
        output.line(match self.after {
            0 => "New messages no longer disappear.".to_owned(),
            seconds => format!(
                "New messages disappear {} after they are read, from the disk too. Somebody who \
                 wants to keep a message still can.",
                output::duration(&seconds.to_string())
            ),
        });
        Ok(outcome)
    }
}

/// Makes a request, and waits until the relay has what came of it.
pub async fn done(
    session: &mut Session,
    output: &Output,
    request: &Request,
    kind: &str,
) -> Result<Outcome, Failure> {
    let result: Value = session.ask(request).await?;
    let mut object = serde_json::json!({ "type": kind });
    if let (Some(object), Value::Object(result)) = (object.as_object_mut(), result) {
        object.extend(result);
    }
    output.object(&object);
    settled(session, output).await
}
