//! How a person keeps conversations: `waxwing conversations`, `pin`, `archive`, `mute`,
//! `nickname`, `star`, `starred`.

use clap::Args;
use jiff::{Zoned, tz::TimeZone};
use serde::Deserialize;
use serde_json::Value;
use waxwing_client::Session;
use waxwing_engine::api::{
    Conversation, ConversationKind, FindMessage, KeepConversation, Message, Request,
    Star as SetStar, Timestamp,
};
use waxwing_protocol::time::Time;

use super::{arguments::Whose, wait_for_relay::settled};
use crate::{
    outcome::{Failure, Outcome},
    output::{self, BOLD, FAINT, GOOD, Output, WARN, styled},
    text::{day, one_line},
};

#[derive(Deserialize)]
struct Conversations {
    conversations: Vec<Conversation>,
}

#[derive(Deserialize)]
struct Found {
    found: Vec<Message>,
}

/// `waxwing pin` and `waxwing archive`.
#[derive(Debug, Args)]
pub struct Switch {
    #[command(flatten)]
    whose: Whose,
    /// Undo it
    #[arg(long)]
    off: bool,
}

/// `waxwing mute`.
#[derive(Debug, Args)]
pub struct Mute {
    #[command(flatten)]
    whose: Whose,
    /// Mute until the end of this day; without it, until you unmute
    #[arg(long, value_name = "YYYY-MM-DD", conflicts_with = "off", value_parser = end_of_day)]
    until: Option<Timestamp>,
    /// Undo it
    #[arg(long)]
    off: bool,
}

/// `waxwing nickname`.
#[derive(Debug, Args)]
pub struct Nickname {
    #[command(flatten)]
    whose: Whose,
    /// The nickname; without it, the nickname is removed
    #[arg(value_name = "NAME", default_value = "")]
    name: String,
}

/// `waxwing star`.
#[derive(Debug, Args)]
pub struct Star {
    /// The message's id or the start of it; waxwing history --ids shows ids
    #[arg(value_name = "MESSAGE")]
    message: String,
    /// Undo it
    #[arg(long)]
    off: bool,
}

fn end_of_day(text: &str) -> Result<Timestamp, String> {
    let hint = || "write a date like 2026-11-24".to_owned();
    let date: jiff::civil::Date = text.parse().map_err(|_| hint())?;
    let next = date.tomorrow().map_err(|_| hint())?;
    let moment: Zoned = next.to_zoned(TimeZone::system()).map_err(|_| hint())?;
    let ms = u64::try_from(moment.timestamp().as_millisecond()).map_err(|_| hint())?;
    Ok(Time(ms).into())
}

impl Switch {
    /// Pins a conversation, or does not any more.
    pub async fn pin(self, session: &mut Session, output: &Output) -> Result<Outcome, Failure> {
        let keep = KeepConversation {
            of: self.whose.whose,
            pinned: Some(!self.off),
            ..KeepConversation::default()
        };
        keep_so(session, output, keep).await
    }

    /// Puts a conversation away, or takes it out again.
    pub async fn archive(self, session: &mut Session, output: &Output) -> Result<Outcome, Failure> {
        let keep = KeepConversation {
            of: self.whose.whose,
            archived: Some(!self.off),
            ..KeepConversation::default()
        };
        keep_so(session, output, keep).await
    }
}

impl Mute {
    /// Mutes a conversation, or does not any more.
    pub async fn run(self, session: &mut Session, output: &Output) -> Result<Outcome, Failure> {
        let keep = KeepConversation {
            of: self.whose.whose,
            muted: Some(!self.off),
            muted_until: self.until,
            ..KeepConversation::default()
        };
        keep_so(session, output, keep).await
    }
}

impl Nickname {
    /// Calls somebody by another name.
    pub async fn run(self, session: &mut Session, output: &Output) -> Result<Outcome, Failure> {
        let keep = KeepConversation {
            of: self.whose.whose,
            nickname: Some(self.name),
            ..KeepConversation::default()
        };
        keep_so(session, output, keep).await
    }
}

impl Star {
    /// Stars a message, or does not any more.
    pub async fn run(self, session: &mut Session, output: &Output) -> Result<Outcome, Failure> {
        let find = Request::FindMessage(FindMessage {
            prefix: self.message,
        });
        let found: Message = session.ask(&find).await?;
        let star = Request::Star(SetStar {
            message: found.id,
            starred: !self.off,
        });
        let _: Value = session.ask(&star).await?;
        output.object(&serde_json::json!({ "type": "starred", "id": found.id }));
        settled(session, output).await
    }
}

async fn keep_so(
    session: &mut Session,
    output: &Output,
    keep: KeepConversation,
) -> Result<Outcome, Failure> {
    let _: Value = session.ask(&Request::KeepConversation(keep)).await?;
    output.object(&serde_json::json!({ "type": "kept" }));
    settled(session, output).await
}

/// Lists the starred messages.
pub async fn starred(session: &mut Session, output: &Output) -> Result<Outcome, Failure> {
    let Found { found } = session.ask(&Request::Starred).await?;
    let mut last_day = String::new();
    for message in &found {
        output.typed("message", message);
        let day = day(message.sent_at);
        if day != last_day {
            output.line(styled(BOLD, &day));
            last_day = day;
        }
        output.line(output::message(message, true));
    }
    if found.is_empty() {
        output.line("There are no starred messages; `waxwing star MESSAGE` stars one.");
    }
    Ok(Outcome::Shown)
}

/// Lists the conversations: pinned ones first, then the one with the newest entry.
pub async fn conversations(session: &mut Session, output: &Output) -> Result<Outcome, Failure> {
    let Conversations { conversations } = session.ask(&Request::Conversations).await?;
    for one in &conversations {
        let mut object = serde_json::to_value(one).unwrap_or_default();
        if let Value::Object(fields) = &mut object {
            fields.insert("type".into(), "conversation".into());
        }
        output.object(&object);
        output.line(shown(one));
    }
    if conversations.is_empty() {
        output.line("There are no conversations yet; `waxwing send ADDRESS TEXT` starts one.");
    }
    Ok(Outcome::Shown)
}

fn shown(one: &Conversation) -> String {
    let with = one_line(&one.with);
    let name = match (&one.nickname, one.kind) {
        (Some(nickname), _) => format!("{} ({with})", styled(BOLD, one_line(nickname))),
        (None, ConversationKind::Notes) => styled(BOLD, "Notes to yourself"),
        (None, _) if one.name.is_some() => {
            let name = one_line(one.name.as_deref().unwrap_or_default());
            format!("{with} {}", styled(FAINT, format!("\"{name}\"")))
        }
        (None, _) => styled(BOLD, with),
    };
    let verified = match (one.kind, one.verified) {
        (ConversationKind::Direct, true) => styled(GOOD, " ✓"),
        (ConversationKind::Direct, false) => styled(WARN, " (not verified)"),
        (ConversationKind::Sms, _) => styled(WARN, " (SMS, not verified, not encrypted)"),
        _ => String::new(),
    };
    let mut marks = Vec::new();
    if one.request {
        marks.push("message request: waxwing requests".to_owned());
    }
    if one.pinned {
        marks.push("pinned".to_owned());
    }
    if one.archived {
        marks.push("archived".to_owned());
    }
    if one.muted_until.is_some() {
        marks.push("muted".to_owned());
    }
    if one.unread > 0 {
        marks.push(format!("{} unread", one.unread));
    }
    let marks = match marks.as_slice() {
        [] => String::new(),
        marks => styled(FAINT, format!("  {}", marks.join(", "))),
    };
    let draft = match &one.draft {
        Some(draft) => format!(
            "\n  {}",
            styled(FAINT, format!("draft: {}", one_line(draft)))
        ),
        None => String::new(),
    };
    let last = match &one.last {
        Some(last) => format!("\n  {}", output::entry(last)),
        None => String::new(),
    };
    format!("{name}{verified}{marks}{last}{draft}")
}
