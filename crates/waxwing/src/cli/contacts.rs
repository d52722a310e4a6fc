//! `waxwing contacts`.

use serde::Deserialize;
use waxwing_client::Session;
use waxwing_engine::api::{Contact, Conversation, Request};
use waxwing_protocol::address::Address;

use crate::{
    outcome::{Failure, Outcome},
    output::{BOLD, FAINT, GOOD, Output, WARN, styled},
    text::one_line,
};

#[derive(Deserialize)]
struct Contacts {
    contacts: Vec<Contact>,
}

#[derive(Deserialize)]
struct Conversations {
    conversations: Vec<Conversation>,
}

/// Lists people, how they are verified, and what is unread.
pub async fn run(session: &mut Session, output: &Output) -> Result<Outcome, Failure> {
    let Contacts { contacts } = session.ask(&Request::Contacts).await?;
    let Conversations { conversations } = session.ask(&Request::Conversations).await?;
    if contacts.is_empty() {
        output.line("You have no contacts yet; `waxwing send ADDRESS TEXT` writes to somebody.");
    }
    for contact in &contacts {
        let conversation = conversations
            .iter()
            .find(|with| Address::same(&with.with, &contact.address));
        output.object(&json(contact, conversation));
        output.line(shown(contact, conversation));
    }
    Ok(Outcome::Shown)
}

fn json(contact: &Contact, conversation: Option<&Conversation>) -> serde_json::Value {
    serde_json::json!({
        "type": "contact",
        "address": contact.address,
        "verified": contact.verified,
        "compared": contact.compared,
        "blocked": contact.blocked,
        "account_id": contact.account_id,
        "safety_number": contact.safety_number,
        "conversation": conversation.map(|with| with.id),
        "unread": conversation.map_or(0, |with| with.unread),
    })
}

fn shown(contact: &Contact, conversation: Option<&Conversation>) -> String {
    let verified = if contact.compared {
        styled(GOOD, "✓✓ you verified them in person")
    } else if contact.verified {
        styled(GOOD, "✓ the key log says that this address is theirs")
    } else {
        styled(
            WARN,
            "not verified: the key log does not say that this address is theirs",
        )
    };
    let blocked = if contact.blocked {
        styled(WARN, "  blocked")
    } else {
        String::new()
    };
    let unread = match conversation.map_or(0, |with| with.unread) {
        0 => String::new(),
        count => styled(BOLD, format!("  {count} unread")),
    };
    format!(
        "{}{blocked}{unread}\n  {verified}\n  {}",
        styled(BOLD, one_line(&contact.address)),
        styled(
            FAINT,
            format!(
                "safety number {} (compare it in person: waxwing verify)",
                contact.safety_number
            )
        ),
    )
}
