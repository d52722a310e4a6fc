//! `waxwing register`.
//!
//! **Always.** The device forgets the recovery words only after they were printed. The command
//! ends once others can write to the account.

use std::time::Duration;

use clap::Args;
use serde_json::Value;
use tokio::time::timeout;
use waxwing_client::{Session, rpc::RpcError};
use waxwing_engine::api::{
    self, Account, Connection, Notice, Problem, ProblemReport, RegistrationChanged,
    RegistrationStage, Request, Status, SubmitCode,
};
use waxwing_protocol::address::Address;

use super::waiting::{Wait, lasts};
use crate::{
    outcome::{Failure, Outcome},
    output::{BOLD, FAINT, GOOD, Output, styled},
    prompt, qr,
    text::{clock, one_line},
};

/// How long the relay may take for one step.
const STEP_LIMIT: Duration = Duration::from_mins(1);
/// When no notice arrives for this long, the command asks for the status.
const LOOK_AFTER: Duration = Duration::from_secs(2);
/// How long the first login may take before we stop waiting for it.
const LOGIN_LIMIT: Duration = Duration::from_secs(15);
const AGAIN: Duration = Duration::from_millis(20);

/// `waxwing register`.
#[derive(Debug, Args)]
pub struct Register {
    /// Your e-mail address, or phone number like +15551234567
    address: String,

    /// The relay's URL, as the relay prints it: https://host:port or https://host:port/#sha256/…
    #[arg(long, value_name = "URL")]
    relay: String,

    /// The relay's pin, if it is not in the URL
    #[arg(long, value_name = "sha256/…")]
    pin: Option<String>,

    /// The name your contacts see
    #[arg(long)]
    name: Option<String>,

    /// The name of this device in your list of devices; by default its network name
    #[arg(long)]
    device: Option<String>,

    /// The code, if you already have it
    #[arg(long)]
    code: Option<String>,
}

impl Register {
    /// Asks for a code, gives it, and waits until the account is there.
    pub async fn run(self, session: &mut Session, output: &Output) -> Result<Outcome, Failure> {
        session.subscribe().await?;
        let account: Account = session.ask(&Request::Account).await?;
        let is_same = account
            .address
            .as_ref()
            .is_some_and(|address| Address::same(address, &self.address));
        let registered = account.registration == RegistrationStage::Registered;
        if registered && is_same && account.recovery_words.is_some() {
            // They could not be printed before.
            let again = RegistrationChanged {
                stage: account.registration,
                address: self.address,
                expires_at: None,
                recovery_words: account.recovery_words,
                recovery_qr: account.recovery_qr,
                account_id: account.account_id,
                problem: None,
            };
            return finish(&again, session, output).await;
        }
        let asked = account.registration == RegistrationStage::CodeSent && is_same;
        if !(asked && self.code.is_some()) {
            self.ask_for_code(session, output).await?;
        }
        let registered = self.give_code(session, output).await?;
        finish(&registered, session, output).await
    }

    async fn ask_for_code(&self, session: &mut Session, output: &Output) -> Result<(), Failure> {
        let request = Request::Register(api::Register {
            address: self.address.clone(),
            relay: self.relay.clone(),
            pin: self.pin.clone(),
            name: self.name.clone(),
            device: Some(
                self.device
                    .clone()
                    .unwrap_or_else(super::arguments::device_name),
            ),
        });
        let _: Value = session.ask(&request).await?;
        let sent = stage(session, output, RegistrationStage::CodeSent).await?;
        let until = sent
            .expires_at
            .map(|at| format!(", valid until {}", clock(at)));
        output.aside(format!(
            "A code was sent to {}{}.",
            styled(BOLD, one_line(&sent.address)),
            until.unwrap_or_default(),
        ));
        Ok(())
    }

    /// Gives codes until one is right, or none comes, or there are no tries left.
    async fn give_code(
        &self,
        session: &mut Session,
        output: &Output,
    ) -> Result<RegistrationChanged, Failure> {
        let mut given = self.code.clone();
        let mut refused: Option<RpcError> = None;
        loop {
            let code = match given.take() {
                Some(code) => code,
                // With --code there is one try, and nobody to ask for another.
                None if self.code.is_some() => String::new(),
                None => tokio::select! {
                    code = prompt::ask("Code:") => code?.unwrap_or_default().to_string(),
                    problem = not_sent(session) => return Err(problem.into()),
                },
            };
            if code.trim().is_empty() {
                return Err(match refused {
                    Some(error) => error.into(),
                    None => Problem::NoCodeGiven.into(),
                });
            }
            let result = match session.ask(&Request::SubmitCode(SubmitCode { code })).await {
                Ok(Value::Object(_)) => stage(session, output, RegistrationStage::Registered).await,
                Ok(_) => Err(Problem::Internal {
                    detail: "an unexpected answer".into(),
                }
                .into()),
                Err(error) => Err(error.into()),
            };
            match result {
                Ok(registered) => return Ok(registered),
                Err(Failure::Rpc(error)) if error.name() == "code_wrong" => {
                    if let Some(report) = error.data.as_ref().filter(|_| self.code.is_none()) {
                        output.problem(report);
                    }
                    refused = Some(error);
                }
                Err(failure) => return Err(failure),
            }
        }
    }
}

/// Shows the recovery words, once, and waits until others can write to the account.
async fn finish(
    registered: &RegistrationChanged,
    session: &mut Session,
    output: &Output,
) -> Result<Outcome, Failure> {
    show_words(registered, output);
    if output.is_lost() {
        return Err(Failure::Said {
            code: "output_failed",
            sentence: "The account is yours, but its recovery words could not be printed. Run \
                       the same command again to see them."
                .to_owned(),
        });
    }
    let _: Value = session.ask(&Request::ForgetRecoveryWords).await?;
    reachable(session, output).await?;
    output.line(format!(
        "{} {} is yours and verified. Others can write to you now.",
        styled(GOOD, "✓"),
        styled(BOLD, one_line(&registered.address)),
    ));
    Ok(Outcome::Done)
}

/// Waits until it is known that the code cannot arrive.
async fn not_sent(session: &mut Session) -> ProblemReport {
    loop {
        if let Ok(Notice::Registration(changed)) = serde_json::from_value(session.notice().await)
            && let Some(problem) = changed.problem
        {
            return problem;
        }
    }
}

/// Waits until the registration is as far as `wanted`, or failed.
async fn stage(
    session: &mut Session,
    output: &Output,
    wanted: RegistrationStage,
) -> Result<RegistrationChanged, Failure> {
    let waiting = async {
        loop {
            let Ok(notice) = timeout(LOOK_AFTER, session.notice()).await else {
                // A process that has known for long that the relay is away says nothing new.
                let status: Status = session.ask(&Request::Status).await?;
                match status.problems.into_iter().find(hopeless) {
                    Some(problem) => return Err(problem.into()),
                    None => continue,
                }
            };
            match serde_json::from_value(notice) {
                Ok(Notice::Registration(changed)) => match changed.problem {
                    Some(problem) => return Err(problem.into()),
                    None if changed.stage == wanted => return Ok(changed),
                    None => {}
                },
                Ok(Notice::Warning(warning)) => {
                    output.problem(&warning.problem);
                }
                Ok(Notice::Connection(changed)) if changed.connection == Connection::Offline => {
                    if let Some(problem) = changed.problem.filter(hopeless) {
                        return Err(problem.into());
                    }
                }
                _ => {}
            }
        }
    };
    match timeout(STEP_LIMIT, waiting).await {
        Ok(result) => result,
        Err(_) => Err(Problem::RelayDown {
            detail: "it does not answer".into(),
        }
        .into()),
    }
}

/// Whether a person should be told instead of waiting.
fn hopeless(problem: &ProblemReport) -> bool {
    lasts(problem) || ["relay_down", "proxy_failed"].contains(&problem.code.as_str())
}

/// Shows the recovery words, so that nobody takes them for anything else.
fn show_words(registered: &RegistrationChanged, output: &Output) {
    output.object(&serde_json::json!({
        "type": "registered",
        "address": registered.address,
        "account_id": registered.account_id,
        "recovery_words": registered.recovery_words,
        "recovery_qr": registered.recovery_qr,
    }));
    let Some(words) = &registered.recovery_words else {
        return;
    };
    let words: Vec<_> = words.split_whitespace().collect();
    let rule = "─".repeat(64);
    output.line(format!("\n{}", styled(FAINT, &rule)));
    output.line(styled(BOLD, "Recovery words"));
    output.line(
        "Write them down now and keep them offline: they are shown only once.\n\
         Anybody who has them can take over this account. Without them, nobody\n\
         can recover it once all its devices are lost.\n",
    );
    for (row, line) in words.chunks(4).enumerate() {
        let mut text = String::new();
        for (column, word) in line.iter().enumerate() {
            let number = styled(FAINT, format!("{:>2}", row * 4 + column + 1));
            text.push_str(&number);
            text.push(' ');
            text.push_str(&styled(BOLD, format!("{word:<12}")));
        }
        output.line(text.trim_end());
    }
    if let Some(text) = &registered.recovery_qr {
        output.line("\nThe same words as a QR code:\n");
        for line in qr::lines(text).unwrap_or_default() {
            output.line(format!("  {line}"));
        }
    }
    output.line(format!("{}\n", styled(FAINT, rule)));
}

/// Waits until the device is logged in and its key packages are there for others.
async fn reachable(session: &mut Session, output: &Output) -> Result<(), Failure> {
    let mut wait = Wait::new(output, "the first login", LOGIN_LIMIT);
    loop {
        let status: Status = session.ask(&Request::Status).await?;
        if status.online && status.key_packages.is_some_and(|left| left > 0) {
            return Ok(());
        }
        wait.pause(session, AGAIN).await?;
    }
}
