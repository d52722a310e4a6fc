//! `waxwing devices`: the devices of this account, linking new ones and revoking old ones.
//!
//! **Elsewhere.** The messages between two devices are in `engine::devices::pairing`.
//!
//! **Always.** A device is admitted only if the person has seen it; `--yes` says that they
//! have seen it elsewhere. If a command is interrupted, the next one continues its work.

use std::time::Duration;

use clap::{Args, Subcommand};
use serde::Deserialize;
use serde_json::Value;
use waxwing_client::Session;
use waxwing_engine::api::{
    Account, ApproveDevice, ConfirmDevice, Device, LinkDevice, Notice, PairingChanged,
    PairingStage, Problem, RegistrationStage, Request, RevokeDevice, Status,
};

use super::{progress, waiting::Wait};
use crate::{
    outcome::{Failure, Outcome},
    output::{BOLD, FAINT, GOOD, Output, WARN, styled},
    prompt, qr,
    text::{local, one_line},
};

/// How long the relay may take to change the list of devices.
const CHANGE_LIMIT: Duration = Duration::from_mins(2);
/// How long one step of linking may take in which no person has a part.
const STEP_LIMIT: Duration = Duration::from_mins(1);
/// How long a code works, and with it a person may take.
const CODE_LIMIT: Duration = Duration::from_mins(30);
/// How long the other device may be away while the history is on its way. The rest comes when both
/// run a command again.
const HISTORY_LIMIT: Duration = Duration::from_mins(5);

/// `waxwing devices`.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Devices {
    #[command(subcommand)]
    action: Option<Action>,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Link this device to an account that you have on another device
    #[command(after_help = "\
Shows a QR code and a short code. Give either to `waxwing devices approve` on a device that
has the account. A code works for half an hour and for one attempt. This device then gets
your contacts and history from the other one, encrypted for this device only. If that is
interrupted, it continues when both devices run a waxwing command again.

Examples:
  waxwing devices link --relay 'https://relay.example.org/#sha256/…'
  waxwing devices link --relay https://relay.example.org --pin sha256/… --name 'Kitchen tablet'")]
    Link(Link),
    /// Admit the new device that shows a code
    #[command(after_help = "\
Shows which device asks, and admits it if you agree. From then on it reads and writes as you.
The command waits until the device has your history.

Examples:
  waxwing devices approve 482193-7K3MQ-9TXPA
  waxwing devices approve 'waxwing:link/1/…'
  waxwing devices approve 482193-7K3MQ-9TXPA --yes")]
    Approve(Approve),
    /// Revoke a device: it cannot read anything sent from then on
    #[command(after_help = "\
ID is a device's id as `waxwing devices` shows it; its first eight digits are enough. What
the device already has stays on it.

Example:
  waxwing devices revoke 'a1b2 c3d4 e5f6 0718'")]
    Revoke(Revoke),
}

/// `waxwing devices link`.
#[derive(Debug, Args)]
struct Link {
    /// The URL of the account's relay: https://host:port or https://host:port/#sha256/…
    #[arg(long, value_name = "URL")]
    relay: String,

    /// The relay's pin, if it is not in the URL
    #[arg(long, value_name = "sha256/…")]
    pin: Option<String>,

    /// The name of this device in your list of devices; by default its network name
    #[arg(long)]
    name: Option<String>,
}

/// `waxwing devices approve`.
#[derive(Debug, Args)]
struct Approve {
    /// The code that the new device shows, or the text of its QR code
    code: String,

    /// Admit it without asking
    #[arg(long)]
    yes: bool,
}

/// `waxwing devices revoke`.
#[derive(Debug, Args)]
struct Revoke {
    /// The device
    #[arg(value_name = "ID")]
    device: String,
}

#[derive(Deserialize)]
struct List {
    devices: Vec<Device>,
}

impl Devices {
    /// Lists the devices, or changes the list.
    pub async fn run(self, session: &mut Session, output: &Output) -> Result<Outcome, Failure> {
        match self.action {
            None => list(session, output).await,
            Some(Action::Link(link)) => link.run(session, output).await,
            Some(Action::Approve(approve)) => approve.run(session, output).await,
            Some(Action::Revoke(revoke)) => revoke.run(session, output).await,
        }
    }
}

async fn list(session: &mut Session, output: &Output) -> Result<Outcome, Failure> {
    let account: Account = session.ask(&Request::Account).await?;
    if account.registration != RegistrationStage::Registered {
        return Err(Problem::NotRegistered.into());
    }
    let List { devices } = session.ask(&Request::Devices).await?;
    for device in &devices {
        output.typed("device", device);
        output.line(shown(device));
    }
    Ok(Outcome::Shown)
}

fn shown(device: &Device) -> String {
    let name = device.name.as_deref().unwrap_or("(no name)");
    let by = match device.added_by.as_deref() {
        None => "the first".to_owned(),
        Some("recovery_key") => "by the recovery key".to_owned(),
        Some(id) => format!("by {}…", id.get(..8).unwrap_or(id)),
    };
    let this = if device.this { "  ← this one" } else { "" };
    format!(
        "{}  {}  {}{}",
        styled(BOLD, &device.short),
        one_line(name),
        styled(FAINT, format!("{}, {by}", local(device.added_at).date())),
        styled(GOOD, this),
    )
}

impl Link {
    async fn run(self, session: &mut Session, output: &Output) -> Result<Outcome, Failure> {
        session.subscribe().await?;
        let status: Status = session.ask(&Request::Status).await?;
        // Interrupted before, with the rest still to come.
        if !status.transferring {
            let link = LinkDevice {
                relay: self.relay,
                pin: self.pin,
                name: self.name.unwrap_or_else(super::arguments::device_name),
            };
            let _: Value = session.ask(&Request::LinkDevice(link)).await?;
        }
        follow(session, output, |_| None).await
    }
}

impl Approve {
    async fn run(self, session: &mut Session, output: &Output) -> Result<Outcome, Failure> {
        session.subscribe().await?;
        let approve = ApproveDevice { code: self.code };
        let _: Value = session.ask(&Request::ApproveDevice(approve)).await?;
        let yes = self.yes;
        follow(session, output, move |asked| {
            output.line(format!(
                "A device asks to become one of yours:\n\n    {}   {}\n\n\
                 The new device must show the same number. Once admitted, it reads and writes \
                 as you.",
                styled(BOLD, asked.device.as_deref().unwrap_or_default()),
                one_line(asked.name.as_deref().unwrap_or("(no name)")),
            ));
            Some(yes)
        })
        .await
    }
}

/// Shows how far linking is, until it is over. `on_confirm` shows which device asks, and
/// gives whether it is admitted without a question.
async fn follow(
    session: &mut Session,
    output: &Output,
    on_confirm: impl Fn(&PairingChanged) -> Option<bool>,
) -> Result<Outcome, Failure> {
    let mut bar = progress::Bar::new(output, "History");
    let mut wait = Wait::new(output, "the relay", STEP_LIMIT);
    loop {
        let notice = match wait.notice(session).await {
            Ok(notice) => notice,
            Err(failure) => {
                bar.end();
                return Err(failure);
            }
        };
        match &notice {
            Notice::Pairing(_) | Notice::Transfer(_) => output.object(&notice),
            _ => continue,
        }
        let changed = match notice {
            Notice::Transfer(progress) => {
                bar.show(progress.done, progress.total);
                wait.progressed();
                continue;
            }
            Notice::Pairing(changed) => changed,
            _ => continue,
        };
        wait.progressed();
        match changed.stage {
            // On the old device: which one asks comes next.
            PairingStage::Agreed if changed.device.is_none() => {}
            PairingStage::Meeting => {}
            PairingStage::Code => {
                show_code(&changed, output);
                if output.is_lost() {
                    let why = "the code could not be printed";
                    return Err(Failure::NotPrinted(why.to_owned()));
                }
                wait.change("the other device", CODE_LIMIT);
            }
            PairingStage::Agreed => {
                output.aside(format!(
                    "The other device asks whether to admit this one; it must show {}.",
                    styled(BOLD, changed.device.as_deref().unwrap_or_default()),
                ));
                wait.change("the other device's person", CODE_LIMIT);
            }
            PairingStage::Confirm => {
                let Some(yes) = on_confirm(&changed) else {
                    continue;
                };
                let accept = yes || prompt::agrees("Admit it?").await?;
                let confirm = Request::ConfirmDevice(ConfirmDevice { accept });
                let _: Value = session.ask(&confirm).await?;
                wait.change("the relay to admit the device", STEP_LIMIT);
            }
            PairingStage::Admitting => output.aside(styled(FAINT, "Admitting the device…")),
            PairingStage::Admitted => {
                output.line(match &changed.address {
                    Some(address) => format!(
                        "{} This is a device of {} now.",
                        styled(GOOD, "✓"),
                        styled(BOLD, one_line(address))
                    ),
                    None => format!("{} It is one of your devices now.", styled(GOOD, "✓")),
                });
                wait.change("the history", HISTORY_LIMIT);
            }
            PairingStage::Done => {
                bar.end();
                output.line(format!("{} The history has arrived.", styled(GOOD, "✓")));
                progress::conversations_settled(session, output).await?;
                return Ok(Outcome::Done);
            }
            PairingStage::Refused => {
                output.line(styled(WARN, "The device was not admitted."));
                return Ok(Outcome::Failed);
            }
            PairingStage::Failed => {
                bar.end();
                return Err(match changed.problem {
                    Some(problem) => problem.into(),
                    None => Problem::PairingBroken.into(),
                });
            }
        }
    }
}

fn show_code(changed: &PairingChanged, output: &Output) {
    if let Some(text) = &changed.qr {
        for line in qr::lines(text).unwrap_or_default() {
            output.line(format!("  {line}"));
        }
        output.line(styled(FAINT, format!("  {text}\n")));
    }
    let code = changed.code.as_deref().unwrap_or_default();
    output.line(format!(
        "On a device that has the account, scan this or run:\n\n  waxwing devices approve {}\n",
        styled(BOLD, code)
    ));
}

impl Revoke {
    async fn run(self, session: &mut Session, output: &Output) -> Result<Outcome, Failure> {
        session.subscribe().await?;
        let List { devices: before } = session.ask(&Request::Devices).await?;
        let revoke = RevokeDevice {
            device: self.device,
        };
        let _: Value = session.ask(&Request::RevokeDevice(revoke)).await?;
        let mut wait = Wait::new(output, "the relay to revoke the device", CHANGE_LIMIT);
        let changed = loop {
            match wait.notice(session).await {
                Ok(Notice::Devices(changed)) => {
                    if let Some(problem) = changed.problem {
                        return Err(problem.into());
                    }
                    if changed.devices.len() < before.len() {
                        break changed;
                    }
                }
                Ok(_) => {}
                Err(failure) => return Err(failure),
            }
        };
        let gone = before
            .iter()
            .find(|one| changed.devices.iter().all(|left| left.id != one.id));
        output.object(&Notice::Devices(changed.clone()));
        output.line(format!(
            "{} {} is revoked: it cannot read anything sent from now on.",
            styled(GOOD, "✓"),
            gone.map_or_else(
                || "The device".to_owned(),
                |gone| styled(BOLD, one_line(gone.name.as_deref().unwrap_or(&gone.short))),
            ),
        ));
        progress::conversations_settled(session, output).await?;
        Ok(Outcome::Done)
    }
}
