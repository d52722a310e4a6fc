//! `waxwing recover` and `waxwing restore`.
//!
//! **Always.** The recovery words come from standard input, so that no secret appears in the
//! list of processes or in the shell's history.

use std::{
    fs::File,
    io::{Read as _, Seek as _},
    path::PathBuf,
    time::Duration,
};

use clap::Args;
use data_encoding::BASE64;
use serde_json::Value;
use waxwing_client::Session;
use waxwing_engine::api::{
    self, FeedBackup, Notice, Problem, RecoveryChanged, RecoveryStage, Request,
};

use super::{
    progress::{Bar, conversations_settled},
    waiting::Wait,
};
use crate::{
    outcome::{Failure, Outcome},
    output::{BOLD, GOOD, Output, WARN, styled},
    prompt, sentence,
    text::one_line,
};

/// How long one step may take, and the relay for one part of the backup.
const STEP_LIMIT: Duration = Duration::from_mins(3);
/// Bytes of a backup file that are given to the engine at once.
const PIECE: usize = 256 << 10;

/// `waxwing recover`.
#[derive(Debug, Args)]
pub struct Recover {
    /// The address of the account
    address: String,

    /// The URL of the account's relay: https://host:port or https://host:port/#sha256/…
    #[arg(long, value_name = "URL")]
    relay: String,

    /// The relay's pin, if it is not in the URL
    #[arg(long, value_name = "sha256/…")]
    pin: Option<String>,

    /// The name of this device in your list of devices; by default its network name
    #[arg(long)]
    name: Option<String>,

    /// Restore from this backup file instead of the backup on the relay
    #[arg(long, value_name = "FILE")]
    from: Option<PathBuf>,

    /// Also revoke all other devices, because they are lost or stolen
    #[arg(long)]
    revoke_others: bool,
}

/// `waxwing restore`.
#[derive(Debug, Args)]
pub struct Restore {
    /// Restore from this backup file instead of the backup on the relay
    #[arg(long, value_name = "FILE")]
    from: Option<PathBuf>,
}

impl Recover {
    /// Admits this device with the recovery key, and brings back what the backup has.
    pub async fn run(self, session: &mut Session, output: &Output) -> Result<Outcome, Failure> {
        let mut file = self.from.as_ref().map(File::open).transpose()?;
        let words = ask_for_words(output).await?;
        session.subscribe().await?;
        let asked = api::Recover {
            address: self.address.clone(),
            relay: self.relay,
            pin: self.pin,
            words,
            name: self.name.unwrap_or_else(super::arguments::device_name),
            from_file: file.is_some(),
            revoke_others: self.revoke_others,
        };
        let _: Value = session.ask(&Request::Recover(asked)).await?;
        let joined = format!(
            "{} This is a device of {} now.",
            styled(GOOD, "✓"),
            styled(BOLD, one_line(&self.address))
        );
        let done = restored(session, output, file.as_mut(), Some(joined)).await?;
        conversations_settled(session, output).await?;
        tell(done, output)
    }
}

impl Restore {
    /// Adds what a backup has to this device.
    pub async fn run(self, session: &mut Session, output: &Output) -> Result<Outcome, Failure> {
        let mut file = self.from.as_ref().map(File::open).transpose()?;
        let words = ask_for_words(output).await?;
        session.subscribe().await?;
        let asked = api::Restore {
            words,
            from_file: file.is_some(),
        };
        let _: Value = session.ask(&Request::Restore(asked)).await?;
        let done = restored(session, output, file.as_mut(), None).await?;
        conversations_settled(session, output).await?;
        match done.problem {
            Some(problem) => Err(problem.into()),
            None => tell(done, output),
        }
    }
}

async fn ask_for_words(output: &Output) -> Result<String, Failure> {
    output.aside("The 24 recovery words, or the text of their QR code:");
    let words = prompt::ask(">").await?.unwrap_or_default();
    Ok(words.trim().to_owned())
}

/// Follows a recovery to its end, and gives the engine the file when it asks for it.
async fn restored(
    session: &mut Session,
    output: &Output,
    mut file: Option<&mut File>,
    joined: Option<String>,
) -> Result<RecoveryChanged, Failure> {
    let mut bar = Bar::new(output, "Backup");
    let mut wait = Wait::new(output, "the relay", STEP_LIMIT);
    loop {
        let notice = match wait.notice(session).await {
            Ok(notice @ (Notice::Recovery(_) | Notice::Transfer(_))) => notice,
            Ok(_) => continue,
            Err(failure) => {
                bar.end();
                return Err(failure);
            }
        };
        wait.progressed();
        output.object(&notice);
        match notice {
            Notice::Transfer(progress) => bar.show(progress.done, progress.total),
            Notice::Recovery(changed) => match changed.stage {
                RecoveryStage::LookingUp | RecoveryStage::Admitting => {}
                stage @ (RecoveryStage::Checking | RecoveryStage::Restoring) => {
                    if let (RecoveryStage::Restoring, Some(joined)) = (stage, &joined) {
                        output.line(joined);
                    }
                    if let Some(file) = &mut file {
                        feed(session, file, &mut bar).await?;
                    }
                }
                RecoveryStage::Done => {
                    bar.end();
                    return Ok(changed);
                }
                RecoveryStage::Failed => {
                    bar.end();
                    return Err(match changed.problem {
                        Some(problem) => problem.into(),
                        None => Problem::RecoveryNotBegun.into(),
                    });
                }
            },
            _ => {}
        }
    }
}

fn tell(done: RecoveryChanged, output: &Output) -> Result<Outcome, Failure> {
    match done.problem {
        None => output.line(format!(
            "{} Your contacts and your history are back. Attached files are in no backup; `waxwing \
             save` asks your other devices for them.",
            styled(GOOD, "✓")
        )),
        // The account is back, and there was nothing to restore.
        Some(problem) if problem.code == Problem::BackupNone.code() => {
            output.line(styled(WARN, one_line(&sentence::of_report(&problem))));
        }
        Some(problem) => return Err(problem.into()),
    }
    Ok(Outcome::Done)
}

/// Gives the engine all of a file. The engine ends it early where something is wrong with it, and
/// then says what.
async fn feed(session: &mut Session, file: &mut File, bar: &mut Bar) -> Result<(), Failure> {
    file.rewind()?;
    let total = file.metadata()?.len();
    let mut done = 0;
    loop {
        let mut piece = Vec::with_capacity(PIECE);
        std::io::Read::by_ref(file)
            .take(PIECE as u64)
            .read_to_end(&mut piece)?;
        done += piece.len() as u64;
        let last = piece.is_empty() || done >= total;
        let feed = FeedBackup {
            part: BASE64.encode(&piece),
            last,
        };
        match session.ask::<Value>(&Request::FeedBackup(feed)).await {
            Ok(_) => bar.show(done, total),
            Err(error) if error.name() == Problem::RecoveryNotBegun.code() => return Ok(()),
            Err(error) => return Err(error.into()),
        }
        if last {
            return Ok(());
        }
    }
}
