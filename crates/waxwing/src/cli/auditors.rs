//! `waxwing audit require`, `auditors` and `evidence`: the auditors that the person relies on,
//! and proofs that the relay lied.
//!
//! **Elsewhere.** To be an auditor, use `waxwing audit follow`.

use std::{fs, io, path::PathBuf};

use clap::Args;
use serde::Deserialize;
use serde_json::Value;
use waxwing_client::Session;
use waxwing_engine::api::{Auditor, Evidence as Found, NamedAuditor, Request, SetAuditors};

use crate::{
    outcome::{Failure, Outcome},
    output::{BOLD, FAINT, GOOD, Output, WARN, styled},
    text::{clock, day, one_line},
};

/// `waxwing audit require`.
#[derive(Debug, Args)]
pub struct Require {
    /// How many of the named auditors must have co-signed; 0 for none
    #[arg(value_name = "K")]
    required: u32,

    /// An auditor's id, with a name of your choice if you like: NAME=waxwing-auditor-…
    #[arg(value_name = "[NAME=]ID")]
    auditors: Vec<String>,
}

#[derive(Deserialize)]
struct Auditors {
    auditors: Vec<Auditor>,
    required: u32,
}

impl Require {
    /// Names the auditors.
    pub async fn run(self, session: &mut Session, output: &Output) -> Result<Outcome, Failure> {
        let auditors = self
            .auditors
            .iter()
            .map(|named| {
                let (name, id) = named.split_once('=').unwrap_or(("auditor", named));
                NamedAuditor {
                    id: id.to_owned(),
                    name: name.to_owned(),
                }
            })
            .collect();
        let set = SetAuditors {
            auditors,
            required: self.required,
        };
        let _: Value = session.ask(&Request::SetAuditors(set)).await?;
        list(session, output).await
    }
}

/// Lists the auditors, and what they have co-signed.
pub async fn list(session: &mut Session, output: &Output) -> Result<Outcome, Failure> {
    let Auditors { auditors, required } = session.ask(&Request::Auditors).await?;
    output.object(&serde_json::json!({
        "type": "auditors",
        "auditors": auditors,
        "required": required,
    }));
    if required == 0 {
        output.line("No auditor has to co-sign before a key is used.");
    } else {
        output.line(format!(
            "{required} of these must have co-signed what the relay shows before a key is used:"
        ));
    }
    for auditor in &auditors {
        let seen = match auditor.at {
            Some(at) => styled(
                GOOD,
                format!(
                    "co-signed head {} at {}, {}",
                    auditor.head,
                    clock(at),
                    day(at)
                ),
            ),
            None => styled(WARN, "no co-signature seen yet"),
        };
        output.line(format!(
            "{}  {seen}\n  {}",
            styled(BOLD, one_line(&auditor.name)),
            styled(FAINT, &auditor.id)
        ));
    }
    Ok(Outcome::Shown)
}

/// `waxwing audit evidence`.
#[derive(Debug, Args)]
pub struct Evidence {
    /// Where to write the files
    #[arg(long, value_name = "DIR", default_value = ".")]
    out: PathBuf,
}

#[derive(Deserialize)]
struct AllEvidence {
    evidence: Vec<Found>,
}

impl Evidence {
    /// Writes what proves that the relay lied.
    pub async fn run(self, session: &mut Session, output: &Output) -> Result<Outcome, Failure> {
        let AllEvidence { evidence } = session.ask(&Request::Evidence).await?;
        if evidence.is_empty() {
            output.line("There is no evidence: this device has not caught its relay lying.");
            return Ok(Outcome::Shown);
        }
        fs::create_dir_all(&self.out)?;
        for (number, found) in (1..).zip(&evidence) {
            let file = data_encoding::BASE64
                .decode(found.file.as_bytes())
                .map_err(io::Error::other)?;
            let path = self.out.join(format!("waxwing-evidence-{number}"));
            fs::write(&path, file)?;
            output.object(&serde_json::json!({
                "type": "evidence",
                "found_at": found.found_at,
                "file": path,
            }));
            output.line(format!(
                "{} (found {}): anybody can check it with `waxwing audit verify {0}`.",
                path.display(),
                day(found.found_at)
            ));
        }
        Ok(Outcome::Done)
    }
}
