//! `waxwing profile`.

use std::{os::unix::fs::OpenOptionsExt as _, path::PathBuf};

use clap::Args;
use serde_json::Value;
use waxwing_client::Session;
use waxwing_engine::api::{AskProfile, Profile as Shown, Request, SetProfile};

use super::{group::read_picture, wait_for_relay::settled};
use crate::{
    outcome::{Failure, Outcome},
    output::{BOLD, FAINT, Output, styled},
    text::one_line,
};

/// `waxwing profile`.
#[derive(Debug, Args)]
pub struct Profile {
    /// Whose profile to show; without it, your own
    #[arg(value_name = "ADDRESS", conflicts_with_all = ["name", "picture", "no_picture"])]
    of: Option<String>,
    /// The name your contacts see; empty for none
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// A PNG, JPEG or WebP of at most 24 KiB
    #[arg(long, value_name = "FILE")]
    picture: Option<PathBuf>,
    /// Remove your picture
    #[arg(long, conflicts_with = "picture")]
    no_picture: bool,
    /// Save the picture to this file
    #[arg(long, value_name = "FILE")]
    save_picture: Option<PathBuf>,
}

impl Profile {
    /// Changes the own profile, or shows one.
    pub async fn run(self, session: &mut Session, output: &Output) -> Result<Outcome, Failure> {
        let picture = match &self.picture {
            Some(path) => Some(read_picture(path)?),
            None => self.no_picture.then(String::new),
        };
        if self.name.is_some() || picture.is_some() {
            let name = self.name;
            let request = Request::SetProfile(SetProfile { name, picture });
            let _: Value = session.ask(&request).await?;
            output.object(&serde_json::json!({ "type": "profile_set" }));
            return settled(session, output).await;
        }
        let request = Request::Profile(AskProfile { of: self.of });
        let shown: Shown = session.ask(&request).await?;
        output.object(&serde_json::json!({
            "type": "profile",
            "profile_name": shown.profile_name,
            "picture": shown.picture,
        }));
        let name = match one_line(&shown.profile_name).as_str() {
            "" => styled(FAINT, "no name"),
            name => styled(BOLD, name),
        };
        let has = match shown.picture.as_str() {
            "" => "no picture",
            _ => "a picture: --save-picture FILE",
        };
        output.line(format!("{name}, {}", styled(FAINT, has)));
        if let Some(path) = &self.save_picture {
            let bytes = data_encoding::BASE64.decode(shown.picture.as_bytes());
            let bytes = bytes.map_err(std::io::Error::other)?;
            let mut file = std::fs::OpenOptions::new()
                .write(true)
                .create_new(true)
                .mode(0o600)
                .open(path)?;
            std::io::Write::write_all(&mut file, &bytes)?;
        }
        Ok(match self.save_picture {
            None => Outcome::Shown,
            Some(_) => Outcome::Done,
        })
    }
}
