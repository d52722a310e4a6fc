//! Who may reach the account, and what others learn of it: `waxwing block`, `unblock`, `receipts`.

use clap::{Args, ValueEnum};
use serde::Deserialize;
use serde_json::Value;
use waxwing_client::Session;
use waxwing_engine::api::{Block as BlockContact, Contact, ReceiptSettings, Request, SetReceipts};

use super::wait_for_relay::settled;
use crate::{
    outcome::{Failure, Outcome},
    output::{BOLD, FAINT, Output, styled},
    text::one_line,
};

#[derive(Deserialize)]
struct Contacts {
    contacts: Vec<Contact>,
}

/// `waxwing block`.
#[derive(Debug, Args)]
pub struct Block {
    /// A contact's address; without it, the contacts that you blocked are listed
    #[arg(value_name = "ADDRESS")]
    address: Option<String>,
}

/// `waxwing unblock`.
#[derive(Debug, Args)]
pub struct Unblock {
    /// The contact's address
    #[arg(value_name = "ADDRESS")]
    address: String,
}

/// `waxwing receipts`.
#[derive(Debug, Args)]
pub struct Receipts {
    /// Whether others learn that their messages arrived
    #[arg(long, value_name = "WHETHER")]
    delivered: Option<Switch>,
    /// Whether others learn that you have read their messages
    #[arg(long, value_name = "WHETHER")]
    read: Option<Switch>,
    /// Whether others learn that you are typing
    #[arg(long, value_name = "WHETHER")]
    typing: Option<Switch>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Switch {
    On,
    Off,
}

impl Switch {
    fn is_on(self) -> bool {
        self == Self::On
    }
}

impl Block {
    /// Blocks a contact, or lists those who are blocked.
    pub async fn run(self, session: &mut Session, output: &Output) -> Result<Outcome, Failure> {
        match self.address {
            Some(address) => set_blocked(session, output, address, true).await,
            None => list_blocked(session, output).await,
        }
    }
}

impl Unblock {
    /// Unblocks a contact.
    pub async fn run(self, session: &mut Session, output: &Output) -> Result<Outcome, Failure> {
        set_blocked(session, output, self.address, false).await
    }
}

async fn set_blocked(
    session: &mut Session,
    output: &Output,
    address: String,
    blocked: bool,
) -> Result<Outcome, Failure> {
    let kind = if blocked { "blocked" } else { "unblocked" };
    let object = serde_json::json!({ "type": kind, "address": address });
    let request = Request::Block(BlockContact { address, blocked });
    let _: Value = session.ask(&request).await?;
    output.object(&object);
    settled(session, output).await
}

async fn list_blocked(session: &mut Session, output: &Output) -> Result<Outcome, Failure> {
    let Contacts { contacts } = session.ask(&Request::Contacts).await?;
    let blocked: Vec<&Contact> = contacts.iter().filter(|one| one.blocked).collect();
    for one in &blocked {
        output.object(&serde_json::json!({
            "type": "contact",
            "address": one.address,
            "account_id": one.account_id,
            "blocked": true,
        }));
        output.line(styled(BOLD, one_line(&one.address)));
    }
    if blocked.is_empty() {
        output.line("You have not blocked anybody.");
    }
    Ok(Outcome::Shown)
}

impl Receipts {
    /// Shows what others learn, after the changes that were asked for.
    pub async fn run(self, session: &mut Session, output: &Output) -> Result<Outcome, Failure> {
        let now: ReceiptSettings = session.ask(&Request::Receipts).await?;
        let changed = |asked: Option<Switch>, now| asked.map_or(now, Switch::is_on);
        let wanted = ReceiptSettings {
            delivered: changed(self.delivered, now.delivered),
            read: changed(self.read, now.read),
            typing: changed(self.typing, now.typing),
        };
        let mut outcome = Outcome::Shown;
        if wanted != now {
            let request = Request::SetReceipts(SetReceipts {
                delivered: wanted.delivered,
                read: wanted.read,
                typing: Some(wanted.typing),
            });
            let _: Value = session.ask(&request).await?;
            outcome = settled(session, output).await?;
        }
        output.object(&serde_json::json!({
            "type": "receipts",
            "delivered": wanted.delivered,
            "read": wanted.read,
            "typing": wanted.typing,
        }));
        for (what, on) in [
            ("that their messages arrived", wanted.delivered),
            ("that you have read their messages", wanted.read),
            ("that you are typing", wanted.typing),
        ] {
            let whether = if on { "learn" } else { "do not learn" };
            output.line(format!("Others {whether} {what}."));
        }
        output.line(styled(
            FAINT,
            "Strangers never learn any of this, until you answer or accept them.",
        ));
        Ok(outcome)
    }
}
