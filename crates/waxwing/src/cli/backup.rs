//! `waxwing backup`.

use std::{
    io::Write as _,
    path::{Path, PathBuf},
    time::Duration,
};

use clap::Args;
use data_encoding::BASE64;
use serde_json::Value;
use waxwing_client::Session;
use waxwing_engine::api::{BackupPart, FilesLeftOut, Notice, ReadBackup, Request};

use super::{progress::Bar, waiting::Wait};
use crate::{
    outcome::{Failure, Outcome},
    output::{GOOD, Output, WARN, styled},
    text::{one_line, size},
};

/// When nothing is heard of a backup for this long, the relay does not answer.
const QUIET_LIMIT: Duration = Duration::from_mins(1);

/// `waxwing backup`.
#[derive(Debug, Args)]
pub struct Backup {
    /// Write the backup to this new file instead of to the relay
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
                let left_out = changed.left_out;
                output.object(&Notice::Backup(changed));
                output.line(format!(
                    "{} The relay has a backup that only your recovery key can open.",
                    styled(GOOD, "✓")
                ));
                say_left_out(left_out, output);
                return Ok(Outcome::Done);
            }
            _ => {}
        }
    }
}

async fn to_file(path: &Path, session: &mut Session, output: &Output) -> Result<Outcome, Failure> {
    let exists = || Failure::Said {
        code: "file_failed",
        sentence: format!(
            "\"{}\" already exists, and no backup was written. Name another file.",
            one_line(&path.display().to_string())
        ),
    };
    if path.symlink_metadata().is_ok() {
        return Err(exists());
    }
    // Under its name only when it is whole.
    let folder = path.parent().filter(|path| !path.as_os_str().is_empty());
    let mut file = tempfile::Builder::new()
        .prefix(".waxwing-backup-")
        .tempfile_in(folder.unwrap_or_else(|| Path::new(".")))?;
    let mut left_out = None;
    for index in 0.. {
        let read = Request::ReadBackup(ReadBackup { index });
        let BackupPart {
            part,
            more,
            left_out: files,
        } = session.ask(&read).await?;
        left_out = files;
        let bytes = BASE64
            .decode(part.as_bytes())
            .map_err(std::io::Error::other)?;
        file.write_all(&bytes)?;
        if !more {
            break;
        }
    }
    file.as_file().sync_all()?;
    let file = file
        .persist_noclobber(path)
        .map_err(|error| match error.error.kind() {
            std::io::ErrorKind::AlreadyExists => exists(),
            _ => error.error.into(),
        })?;
    let bytes = file.metadata()?.len();
    output.object(&serde_json::json!({
        "type": "backup_file",
        "file": path.display().to_string(),
        "bytes": bytes,
        "left_out": left_out,
    }));
    output.line(format!(
        "{} {} has all messages up to now ({bytes} bytes). Only your recovery key can open it.",
        styled(GOOD, "✓"),
        path.display(),
    ));
    say_left_out(left_out, output);
    Ok(Outcome::Done)
}

/// Says which files are in no backup.
fn say_left_out(left_out: Option<FilesLeftOut>, output: &Output) {
    let Some(FilesLeftOut { files, bytes }) = left_out else {
        return;
    };
    let files = match files {
        1 => "1 attached file".to_owned(),
        number => format!("{number} attached files"),
    };
    output.line(styled(
        WARN,
        format!(
            "It does not have the {files} of your messages ({}). They stay on the devices that have \
             them; `waxwing export` copies those of a conversation.",
            size(bytes)
        ),
    ));
}
