//! `waxwing backup`.

use std::{
    fs::{self, OpenOptions},
    io::Write as _,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use clap::Args;
use data_encoding::BASE64;
use serde_json::Value;
use waxwing_client::Session;
use waxwing_engine::api::{BackupPart, Notice, ReadBackup, Request};

use super::{progress::Bar, waiting::Wait};
use crate::{
    outcome::{Failure, Outcome},
    output::{GOOD, Output, styled},
};

/// When nothing is heard of a backup for this long, the relay does not answer.
const QUIET_LIMIT: Duration = Duration::from_mins(1);

/// `waxwing backup`.
#[derive(Debug, Args)]
pub struct Backup {
    /// Write the backup to this file instead of to the relay
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
}

impl Backup {
    /// Makes a backup now.
    pub async fn run(self, session: &mut Session, output: &Output) -> Result<Outcome, Failure> {
        match self.file {
            Some(file) => to_file(&file, session, output).await,
            None => to_relay(session, output).await,
        }
    }
}

async fn to_relay(session: &mut Session, output: &Output) -> Result<Outcome, Failure> {
    session.subscribe().await?;
    let _: Value = session.ask(&Request::Backup).await?;
    let mut wait = Wait::new(output, "the relay to accept the backup", QUIET_LIMIT);
    let mut bar = Bar::new(output, "Backup");
    loop {
        match wait.notice(session).await {
            Ok(Notice::Transfer(progress)) => {
                wait.progressed();
                bar.show(progress.done, progress.total);
            }
            Err(failure) => {
                bar.end();
                return Err(failure);
            }
            Ok(Notice::Backup(changed)) => {
                bar.end();
                if let Some(problem) = changed.problem {
                    return Err(problem.into());
                }
                output.object(&Notice::Backup(changed));
                output.line(format!(
                    "{} The relay has a backup that only your recovery key can open.",
                    styled(GOOD, "✓")
                ));
                return Ok(Outcome::Done);
            }
            _ => {}
        }
    }
}

async fn to_file(path: &Path, session: &mut Session, output: &Output) -> Result<Outcome, Failure> {
    // Under its name only when it is whole.
    let mut part = path.as_os_str().to_owned();
    part.push(".part");
    let part = PathBuf::from(part);
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&part)?;
    for index in 0.. {
        let read = Request::ReadBackup(ReadBackup { index });
        let BackupPart { part, more } = session.ask(&read).await?;
        let bytes = BASE64
            .decode(part.as_bytes())
            .map_err(std::io::Error::other)?;
        file.write_all(&bytes)?;
        if !more {
            break;
        }
    }
    file.sync_all()?;
    fs::rename(&part, path)?;
    let bytes = file.metadata()?.len();
    output.object(&serde_json::json!({
        "type": "backup_file",
        "file": path.display().to_string(),
        "bytes": bytes,
    }));
    output.line(format!(
        "{} {} holds everything up to now ({bytes} bytes). Only your recovery key can open it.",
        styled(GOOD, "✓"),
        path.display(),
    ));
    Ok(Outcome::Done)
}
