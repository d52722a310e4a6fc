//! `waxwing account`: who this is, and deleting the account.
//!
//! **Elsewhere.** What is deleted, where and in which order is in `engine::devices::closing`.
//!
//! **Always.** Nothing is deleted before the person has typed the account's address, or a script
//! has given `--yes`. If the command is interrupted, the next one continues its work.

use std::time::Duration;

use clap::{Args, Subcommand};
use serde_json::Value;
use tokio::time::{Instant, timeout_at};
use waxwing_client::Session;
use waxwing_engine::api::{
    Account as Registered, DeleteAccount, Notice, Problem, RegistrationStage, Request, Status,
};

use crate::{
    outcome::{Failure, Outcome},
    output::{BOLD, FAINT, GOOD, Output, WARN, styled},
    prompt, sentence,
    text::one_line,
};

/// How long deleting may take before the rest is left to the next command.
const LIMIT: Duration = Duration::from_mins(5);

/// `waxwing account`.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Account {
    #[command(subcommand)]
    action: Option<Action>,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Delete the account, on the relay and on all its devices
    #[command(after_help = "\
Leaves your groups, and deletes your mailboxes, keys and backup from the relay and everything
from this device. The relay's key log says from then on that the account is gone; your
contacts see that, and keep what you sent them. Your other devices erase themselves a week
later, so that a stolen device cannot destroy what is on the others: they show an alarm until
then. Whoever has your recovery words can bring the account back, without its history.

You are asked to type your address. Examples:
  waxwing account delete
  waxwing account delete --yes")]
    Delete(Delete),
    /// Keep what is on this device, after another one has deleted the account
    Keep,
}

/// `waxwing account delete`.
#[derive(Debug, Args)]
struct Delete {
    /// Delete it without asking
    #[arg(long)]
    yes: bool,
}

impl Account {
    /// Shows the account, or deletes it.
    pub async fn run(self, session: &mut Session, output: &Output) -> Result<Outcome, Failure> {
        match self.action {
            None => {
                let (account, address) = registered(session).await?;
                output.object(&serde_json::json!({
                    "type": "account",
                    "address": address,
                    "account_id": account.account_id,
                    "device_id": account.device_id,
                }));
                output.line(styled(BOLD, one_line(&address)));
                let id = account.account_id.unwrap_or_default();
                output.line(styled(FAINT, format!("account {id}")));
                Ok(Outcome::Shown)
            }
            Some(Action::Delete(delete)) => delete.run(session, output).await,
            Some(Action::Keep) => {
                let _: Value = session.ask(&Request::KeepHome).await?;
                output.line(styled(GOOD, "✓ This device keeps what it has."));
                Ok(Outcome::Done)
            }
        }
    }
}

async fn registered(session: &mut Session) -> Result<(Registered, String), Failure> {
    let account: Registered = session.ask(&Request::Account).await?;
    match account.address.clone() {
        Some(address) if account.registration == RegistrationStage::Registered => {
            Ok((account, address))
        }
        _ => Err(Problem::NotRegistered.into()),
    }
}

impl Delete {
    async fn run(self, session: &mut Session, output: &Output) -> Result<Outcome, Failure> {
        let (_, own) = registered(session).await?;
        session.subscribe().await?;
        let address = if self.yes {
            own.clone()
        } else {
            output.aside(styled(
                WARN,
                format!(
                    "This deletes the account {} and all messages on this device, for ever.",
                    one_line(&own)
                ),
            ));
            let typed = prompt::ask("Type its address to delete it:").await?;
            typed.unwrap_or_default().trim().to_owned()
        };
        let delete = Request::DeleteAccount(DeleteAccount { address });
        let _: Value = session.ask(&delete).await?;
        output.aside(styled(FAINT, "Deleting the account…"));
        let deadline = Instant::now() + LIMIT;
        while let Ok(notice) = timeout_at(deadline, session.notice()).await {
            let Ok(Notice::HomeErased(_)) = serde_json::from_value(notice) else {
                continue;
            };
            output.object(&serde_json::json!({ "type": "deleted", "address": own }));
            output.line(format!(
                "{} The account {} is deleted, and so is everything on this device.",
                styled(GOOD, "✓"),
                styled(BOLD, one_line(&own))
            ));
            return Ok(Outcome::Done);
        }
        let status: Status = session.ask(&Request::Status).await?;
        output.line(styled(
            WARN,
            "The account is not deleted yet; the next waxwing command continues.",
        ));
        if let Some(problem) = status.problems.first() {
            output.aside(one_line(&sentence::of_report(problem)));
        }
        Ok(Outcome::Queued)
    }
}
