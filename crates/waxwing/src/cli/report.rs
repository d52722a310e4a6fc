//! `waxwing report` and `waxwing check-report`.

use std::{
    fs::{File, OpenOptions},
    io::{Read as _, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::PathBuf,
};

use clap::Args;
use waxwing_client::Session;
use waxwing_engine::api::{
    CheckReport, CheckedReport, FindMessage, MakeReport, Message, Report as Document, Request,
};

use crate::{
    outcome::{Failure, Outcome},
    output::{BOLD, FAINT, GOOD, Output, WARN, styled},
    text::{clock, day, one_line},
};

/// Bytes of a report that are read, at most.
const BYTES: u64 = 64 << 20;

/// `waxwing report`.
#[derive(Debug, Args)]
pub struct Report {
    /// Ids of messages from others, or the starts of ids; waxwing history --ids shows ids
    #[arg(value_name = "MESSAGE", required = true)]
    messages: Vec<String>,
    /// Your comment on it
    #[arg(long, value_name = "TEXT", default_value = "")]
    note: String,
    /// The file to write
    #[arg(long, value_name = "FILE")]
    to: PathBuf,
}

/// `waxwing check-report`.
#[derive(Debug, Args)]
pub struct Check {
    /// A file that `waxwing report` wrote
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

impl Report {
    /// Writes chosen messages with what shows whose they are.
    pub async fn run(self, session: &mut Session, output: &Output) -> Result<Outcome, Failure> {
        let mut messages = Vec::new();
        for prefix in self.messages {
            let find = Request::FindMessage(FindMessage { prefix });
            let message: Message = session.ask(&find).await?;
            messages.push(message.id);
        }
        let note = self.note;
        let request = Request::Report(MakeReport { messages, note });
        let report: Document = session.ask(&request).await?;
        let path = self.to.display().to_string();
        // What is there is not overwritten.
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&self.to)
            .map_err(|error| unusable(&path, &error))?;
        let mut json = serde_json::to_vec_pretty(&report).map_err(std::io::Error::other)?;
        json.push(b'\n');
        file.write_all(&json)
            .map_err(|error| unusable(&path, &error))?;
        output.object(&serde_json::json!({
            "type": "report_written",
            "path": path,
            "messages": report.messages.len(),
        }));
        output.line(format!("Written to {}", one_line(&path)));
        output.line(
            "The file is not encrypted, and proves who wrote these messages. Give it only to \
             people you trust.",
        );
        Ok(Outcome::Done)
    }
}

impl Check {
    /// Says what a report proves.
    pub async fn run(self, session: &mut Session, output: &Output) -> Result<Outcome, Failure> {
        let path = self.file.display().to_string();
        let mut bytes = Vec::new();
        File::open(&self.file)
            .and_then(|file| file.take(BYTES).read_to_end(&mut bytes))
            .map_err(|error| unusable(&path, &error))?;
        let report: Document = serde_json::from_slice(&bytes).map_err(|error| Failure::Said {
            code: "report_invalid",
            sentence: format!("{} is not a report: {error}.", one_line(&path)),
        })?;
        let request = Request::CheckReport(Box::new(CheckReport { report }));
        let checked: CheckedReport = session.ask(&request).await?;
        output.typed("checked_report", &checked);
        for said in &checked.said {
            let edited = said.replaces.map_or("", |_| " (edited)");
            output.line(format!(
                "{}  {}{edited}: {}",
                styled(
                    FAINT,
                    format!("{} {}", day(said.sent_at), clock(said.sent_at))
                ),
                styled(BOLD, one_line(&said.address)),
                one_line(&said.text),
            ));
            if let Some(revoked) = said.key_revoked_at {
                output.line(styled(
                    WARN,
                    format!(
                        "    The account revoked the key that signed this on {} {}. Somebody who \
                         had the device by then may have written it, no matter what time it \
                         states.",
                        day(revoked),
                        clock(revoked)
                    ),
                ));
            }
            for file in &said.files {
                output.line(format!(
                    "    {} ({} bytes)",
                    one_line(&file.name),
                    file.bytes
                ));
            }
        }
        output.line(styled(
            GOOD,
            "Every message in this report was signed by a device of the account it names.",
        ));
        if checked.said.iter().any(|said| said.key_unproven) {
            output.line(styled(
                WARN,
                "But one account named a key as its own without proving that it has the key: \
                 another account could have written those messages.",
            ));
        }
        let mut accounts: Vec<_> = checked.said.iter().collect();
        accounts.sort_by(|a, b| a.account_id.cmp(&b.account_id));
        accounts.dedup_by(|a, b| a.account_id == b.account_id);
        for said in accounts {
            let address = one_line(&said.address);
            let id = &said.account_id;
            match said.address_known {
                Some(true) => output.line(format!(
                    "The key log says that {address} belongs to this account ({id})."
                )),
                Some(false) => output.line(styled(
                    WARN,
                    format!(
                        "But as far as this device knows, {address} belongs to another account \
                         than the one that wrote this ({id})."
                    ),
                )),
                None => output.line(format!(
                    "The report says that {address} belongs to this account ({id}), and which of \
                     its devices were removed since. This device cannot check either."
                )),
            }
        }
        if !checked.note.is_empty() {
            output.line(format!(
                "The person who reports it says: {}",
                one_line(&checked.note)
            ));
        }
        output.line(styled(
            FAINT,
            "The times are from the senders' clocks, and the report does not show what else was \
             written.",
        ));
        Ok(Outcome::Shown)
    }
}

fn unusable(path: &str, error: &std::io::Error) -> Failure {
    Failure::Said {
        code: "file_unusable",
        sentence: format!(
            "{} cannot be used: {error}. Name another file.",
            one_line(path)
        ),
    }
}
