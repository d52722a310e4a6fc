//! Several recipients of one command: each gets a private message of their own.
//!
//! **Elsewhere.** One recipient's message is followed in `send`.
//!
//! **Always.** What happened is said for each recipient, and a recipient who cannot be reached keeps
//! nobody else's message. Nobody learns who else got it: files are sealed for each anew.

use waxwing_client::Session;
use waxwing_engine::api::{ConversationId, MessageState, Notice, ProblemReport, Sent};
use waxwing_protocol::address::Address;

use super::{send::Limit, waiting::Wait};
use crate::{
    outcome::{Failure, Outcome},
    output::{BAD, Output, WARN, styled, ticks},
    sentence,
    text::one_line,
};

/// The recipients that a person names: one in each, or addresses and ids of conversations with
/// commas between. Each counts once, however it is written.
pub(super) fn recipients(named: &[String]) -> Vec<String> {
    let mut all = Vec::new();
    let mut known = Vec::new();
    for name in named {
        let parts: Vec<&str> = name.split(',').map(str::trim).collect();
        // A group's name may have commas.
        let are_several = parts.len() > 1 && parts.iter().all(|part| canonical(part).is_some());
        let names = if are_several {
            parts
        } else {
            vec![name.trim()]
        };
        for name in names {
            let key = canonical(name).unwrap_or_else(|| name.to_owned());
            if !known.contains(&key) {
                known.push(key);
                all.push(name.to_owned());
            }
        }
    }
    all
}

/// An address, or the id of a conversation, in its one form.
fn canonical(name: &str) -> Option<String> {
    let by_id = || name.parse::<ConversationId>().ok().map(|id| id.to_string());
    let address = Address::parse(name).ok();
    address
        .map(|address| address.canonical().to_owned())
        .or_else(by_id)
}

/// What was sent to one of several.
pub(super) struct Delivery {
    pub(super) to: String,
    pub(super) sent: Result<Sent, Failure>,
    pub(super) reason: Option<ProblemReport>,
}

impl Delivery {
    /// What became of the request for this recipient.
    pub(super) const fn new(to: String, sent: Result<Sent, Failure>) -> Self {
        Self {
            to,
            sent,
            reason: None,
        }
    }

    fn is_queued(&self) -> bool {
        matches!(&self.sent, Ok(sent) if sent.state == MessageState::Queued)
    }
}

/// Waits until all messages have left, and tells how far each got.
pub(super) async fn see_all_through(
    session: &mut Session,
    output: &Output,
    mut all: Vec<Delivery>,
    limit: Option<Limit>,
) -> Outcome {
    output.set_waiting(all.iter().any(Delivery::is_queued));
    let mut hindered = None;
    if let Some(limit) = limit {
        let mut wait = limit.wait(output, "the relay to accept the messages");
        hindered = accepted(session, &mut all, &mut wait).await;
    }
    output.set_waiting(false);
    let mut outcome = Outcome::Done;
    for one in all {
        outcome = worse(outcome, tell(output, one, limit.is_none()));
    }
    if outcome == Outcome::Queued {
        output.line(styled(
            WARN,
            "Some messages are in your outbox. The next waxwing command that reaches the relay \
             sends them; do not send them again.",
        ));
        if let Some(reason) = hindered {
            output.problem(&reason);
        }
    }
    outcome
}

/// Waits until each message is accepted or has failed; gives what stands in the way of the others.
async fn accepted(
    session: &mut Session,
    all: &mut [Delivery],
    wait: &mut Wait<'_>,
) -> Option<ProblemReport> {
    while all.iter().any(Delivery::is_queued) {
        match wait.notice(session).await {
            Ok(Notice::MessageState(changed)) => {
                for one in &mut *all {
                    if let Ok(sent) = &mut one.sent
                        && sent.id == changed.id
                    {
                        wait.progressed();
                        sent.state = changed.state;
                        if changed.problem.is_some() {
                            one.reason.clone_from(&changed.problem);
                        }
                    }
                }
            }
            Ok(_) => {}
            Err(Failure::Rpc(error)) => return error.data.map(|report| *report),
            Err(_) => return wait.reason(),
        }
    }
    None
}

/// Tells what became of one message.
fn tell(output: &Output, one: Delivery, queued_on_purpose: bool) -> Outcome {
    let to = one_line(&one.to);
    let sent = match one.sent {
        Ok(sent) => sent,
        Err(failure) => {
            let (code, sentence) = failure.code_and_sentence();
            output.object(&serde_json::json!({
                "type": "not_sent",
                "to": one.to,
                "code": code,
                "message": sentence,
            }));
            let line = format!(
                "{to}: {}  {}",
                styled(BAD, "✗ not sent"),
                one_line(&sentence)
            );
            output.line(line);
            return Outcome::Failed;
        }
    };
    output.object(&serde_json::json!({
        "type": "sent",
        "to": one.to,
        "id": sent.id,
        "conversation": sent.conversation,
        "state": sent.state,
        "problem": one.reason,
    }));
    let why = match &one.reason {
        Some(reason) => format!("  {}", one_line(&sentence::of_report(reason))),
        None => String::new(),
    };
    output.line(format!("{to}: {}{why}", ticks(sent.state)));
    match sent.state {
        MessageState::Failed => Outcome::Failed,
        MessageState::Queued if !queued_on_purpose => Outcome::Queued,
        _ => Outcome::Done,
    }
}

/// The one that a script must know of.
const fn worse(one: Outcome, other: Outcome) -> Outcome {
    match (one, other) {
        (Outcome::Failed, _) | (_, Outcome::Failed) => Outcome::Failed,
        (Outcome::Queued, _) | (_, Outcome::Queued) => Outcome::Queued,
        _ => Outcome::Done,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(names: &[&str]) -> Vec<String> {
        recipients(
            &names
                .iter()
                .map(|name| (*name).to_owned())
                .collect::<Vec<_>>(),
        )
    }

    #[test]
    fn each_recipient_counts_once_however_it_is_written() {
        assert_eq!(
            named(&[
                "bob@example.org, carol@example.org",
                "Bob@EXAMPLE.org",
                "+1 202 555 0123"
            ]),
            ["bob@example.org", "carol@example.org", "+1 202 555 0123"]
        );
        let id = "0f1e2d3c4b5a69788796a5b4c3d2e1f0";
        assert_eq!(
            named(&[&format!("{id},bob@example.org"), id]),
            [id, "bob@example.org"]
        );
    }

    #[test]
    fn the_name_of_a_group_may_have_commas() {
        assert_eq!(named(&["Tom, Dick and Harry"]), ["Tom, Dick and Harry"]);
        assert_eq!(named(&["bob@example.org, Dick"]), ["bob@example.org, Dick"]);
    }

    #[test]
    fn one_that_failed_counts_more_than_one_that_waits() {
        use Outcome::{Done, Failed, Queued};
        assert_eq!(worse(worse(Done, Queued), Failed), Failed);
        assert_eq!(worse(worse(Failed, Queued), Done), Failed);
        assert_eq!(worse(Queued, Done), Queued);
    }
}
