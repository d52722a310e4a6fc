//! `waxwing relay`: where the relay is, and following it to another place.
//!
//! **Elsewhere.** `waxwing_client` proves that it is the same relay. The proxy is an option of
//! every command, in [`super`].

use std::time::Duration;

use clap::{Args, Subcommand};
use serde_json::Value;
use tokio::time::{Instant, sleep};
use waxwing_client::{
    Session,
    rpc::{Backend as _, RpcError},
};
use waxwing_engine::api::{MoveRelay, Problem, RelayInfo, Request, Status};

use crate::{
    outcome::{Failure, Outcome},
    output::{BOLD, FAINT, GOOD, Output, WARN, styled},
    sentence,
    text::one_line,
};

/// How long the first login at the new place may take.
const LOGIN_LIMIT: Duration = Duration::from_secs(30);
const AGAIN: Duration = Duration::from_millis(50);

/// `waxwing relay`.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Relay {
    #[command(subcommand)]
    action: Option<Action>,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Follow the relay to another host or port
    #[command(after_help = "\
The server at the new place must have the key that this device has pinned: that proves it is
the same relay, with your account and your messages. Another server is refused, and nothing
changes. Tell each of your devices; commands that run at the moment follow at once.

Example:
  waxwing relay move https://relay.example.net:8443")]
    Move(Move),
}

/// `waxwing relay move`.
#[derive(Debug, Args)]
struct Move {
    /// Where the relay is now: https://host:port
    #[arg(value_name = "URL")]
    url: String,
}

impl Relay {
    /// Shows where the relay is, or follows it.
    pub async fn run(self, session: &mut Session, output: &Output) -> Result<Outcome, Failure> {
        match self.action {
            None => show(session, output).await,
            Some(Action::Move(moved)) => moved.run(session, output).await,
        }
    }
}

async fn info(session: &mut Session) -> Result<RelayInfo, Failure> {
    let info = session.call("relay", None).await?;
    Ok(serde_json::from_value(info).map_err(std::io::Error::from)?)
}

fn object(info: &RelayInfo) -> Result<Value, Failure> {
    let mut object = serde_json::to_value(info).map_err(std::io::Error::from)?;
    if let Some(fields) = object.as_object_mut() {
        fields.insert("type".to_owned(), "relay".into());
    }
    Ok(object)
}

/// Waits until this device is logged in, or it is known why it is not.
async fn login(session: &mut Session, limit: Duration) -> Result<Status, RpcError> {
    let deadline = Instant::now() + limit;
    loop {
        let status: Status = session.ask(&Request::Status).await?;
        if status.online || !status.problems.is_empty() || Instant::now() > deadline {
            return Ok(status);
        }
        sleep(AGAIN).await;
    }
}

async fn show(session: &mut Session, output: &Output) -> Result<Outcome, Failure> {
    if info(session).await?.url.is_none() {
        return Err(Problem::NotRegistered.into());
    }
    let status = login(session, Duration::from_secs(5)).await?;
    let info = info(session).await?;
    output.object(&object(&info)?);
    for (name, value) in [
        ("relay", &info.url),
        ("pin", &info.pin),
        ("proxy", &info.proxy),
    ] {
        if let Some(value) = value {
            let name = styled(FAINT, format!("{name:<6}"));
            output.line(format!("{name} {}", one_line(value)));
        }
    }
    tell_login(&status, output);
    Ok(Outcome::Shown)
}

fn tell_login(status: &Status, output: &Output) {
    match status.problems.first() {
        _ if status.online => output.line(styled(GOOD, "✓ Logged in.")),
        Some(problem) => output.line(styled(WARN, one_line(&sentence::of_report(problem)))),
        None => output.line(styled(WARN, "Not logged in yet.")),
    }
}

impl Move {
    async fn run(self, session: &mut Session, output: &Output) -> Result<Outcome, Failure> {
        let moved =
            serde_json::to_value(MoveRelay { url: self.url }).map_err(std::io::Error::from)?;
        session.call("move_relay", Some(moved)).await?;
        let status = login(session, LOGIN_LIMIT).await?;
        let info = info(session).await?;
        output.object(&object(&info)?);
        output.line(format!(
            "{} Your relay is at {} from now on; its key is the same. Tell your other devices too.",
            styled(GOOD, "✓"),
            styled(BOLD, one_line(&info.url.unwrap_or_default())),
        ));
        if !status.online {
            tell_login(&status, output);
        }
        Ok(Outcome::Done)
    }
}
