//! `waxwing lock`.

use std::time::Duration;

use clap::{Args, ValueEnum};
use serde_json::Value;
use waxwing_client::Session;
use waxwing_engine::api::{Account, Notice, Problem, RegistrationStage, Request, SetLock, Status};

use super::waiting::Wait;
use crate::{
    outcome::{Failure, Outcome},
    output::{GOOD, Output, WARN, styled},
};

/// How long the relay may take.
const LIMIT: Duration = Duration::from_mins(1);

/// `waxwing lock`.
#[derive(Debug, Args)]
pub struct Lock {
    /// What to do; without it, shows whether the address is locked
    #[arg(value_enum)]
    action: Option<Action>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Action {
    /// Lock the address
    On,
    /// Unlock it
    Off,
    /// Refuse the address to the person who asks for it now
    Keep,
}

impl Lock {
    /// Shows the lock, or changes it.
    pub async fn run(self, session: &mut Session, output: &Output) -> Result<Outcome, Failure> {
        let account: Account = session.ask(&Request::Account).await?;
        if account.registration != RegistrationStage::Registered {
            return Err(Problem::NotRegistered.into());
        }
        match self.action {
            None => {}
            Some(Action::Keep) => change(session, output, &Request::KeepAddress).await?,
            Some(action) => {
                let locked = action == Action::On;
                change(session, output, &Request::SetLock(SetLock { locked })).await?;
            }
        }
        let status: Status = session.ask(&Request::Status).await?;
        output.object(&serde_json::json!({ "type": "lock", "locked": status.locked }));
        output.line(if self.action == Some(Action::Keep) {
            styled(GOOD, "✓ The address stays yours.")
        } else if status.locked {
            styled(
                GOOD,
                "✓ Your address is locked: another account can get it only with your recovery key, \
                 or after a week in which none of your devices objects.",
            )
        } else {
            styled(
                WARN,
                "Your address is not locked: somebody who can read what is sent to it can register \
                 it for another account. You and your contacts would notice; `waxwing lock on` \
                 prevents it.",
            )
        });
        Ok(match self.action {
            None => Outcome::Shown,
            Some(_) => Outcome::Done,
        })
    }
}

async fn change(session: &mut Session, output: &Output, request: &Request) -> Result<(), Failure> {
    session.subscribe().await?;
    let _: Value = session.ask(request).await?;
    let mut wait = Wait::new(output, "the relay to change the lock", LIMIT);
    loop {
        match wait.notice(session).await {
            Ok(Notice::Lock(changed)) => {
                return changed
                    .problem
                    .map_or(Ok(()), |problem| Err(problem.into()));
            }
            Ok(_) => {}
            Err(failure) => return Err(failure),
        }
    }
}
