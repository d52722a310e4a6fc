//! Message requests: `waxwing requests`, `accept`, `decline`.

use clap::Args;
use serde::Deserialize;
use serde_json::Value;
use waxwing_client::Session;
use waxwing_engine::api::{Conversation, Decline as DeclineRequest, Of, Request};

use super::{arguments::Whose, wait_for_relay::settled};
use crate::{
    outcome::{Failure, Outcome},
    output::{BOLD, FAINT, GOOD, Output, WARN, styled},
    text::one_line,
};

#[derive(Deserialize)]
struct Conversations {
    conversations: Vec<Conversation>,
}

/// `waxwing accept`.
#[derive(Debug, Args)]
pub struct Accept {
    #[command(flatten)]
    whose: Whose,
}

/// `waxwing decline`.
#[derive(Debug, Args)]
pub struct Decline {
    #[command(flatten)]
    whose: Whose,
    /// Also block them
    #[arg(long)]
    block: bool,
}

/// Lists the conversations of people whom the account has not answered yet.
pub async fn list(session: &mut Session, output: &Output) -> Result<Outcome, Failure> {
    let Conversations { conversations } = session.ask(&Request::Conversations).await?;
    let requests: Vec<_> = conversations.iter().filter(|one| one.request).collect();
    for one in &requests {
        let mut object = serde_json::to_value(one).unwrap_or_default();
        if let Value::Object(fields) = &mut object {
            fields.insert("type".into(), "request".into());
        }
        output.object(&object);
        let mark = if one.verified {
            styled(GOOD, "✓")
        } else {
            styled(WARN, "(not verified)")
        };
        output.line(format!(
            "{} {mark}  {}",
            styled(BOLD, one_line(&one.with)),
            styled(FAINT, format!("{} unread  {}", one.unread, one.id)),
        ));
    }
    if requests.is_empty() {
        output.line("There are no message requests.");
    }
    Ok(Outcome::Shown)
}

impl Accept {
    /// Hears of a stranger as of anybody.
    pub async fn run(self, session: &mut Session, output: &Output) -> Result<Outcome, Failure> {
        let of = self.whose.whose;
        let _: Value = session.ask(&Request::AcceptRequest(Of { of })).await?;
        output.object(&serde_json::json!({ "type": "accepted" }));
        settled(session, output).await
    }
}

impl Decline {
    /// Deletes what a stranger wrote.
    pub async fn run(self, session: &mut Session, output: &Output) -> Result<Outcome, Failure> {
        let (of, block) = (self.whose.whose, self.block);
        let request = Request::DeclineRequest(DeclineRequest { of, block });
        let _: Value = session.ask(&request).await?;
        output.object(&serde_json::json!({ "type": "declined" }));
        settled(session, output).await
    }
}
