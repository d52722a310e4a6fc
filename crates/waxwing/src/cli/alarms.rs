//! `waxwing alarms`, and the alarms that every command shows at its end.

use clap::Args;
use serde_json::Value;
use waxwing_client::Session;
use waxwing_engine::api::{Request, Status};

use crate::{
    outcome::{Failure, Outcome},
    output::{BAD, Output, styled},
    sentence,
    text::{day, one_line},
};

/// `waxwing alarms`.
#[derive(Debug, Args)]
pub struct Alarms {
    /// Do not show these alarms again
    #[arg(long)]
    dismiss: bool,
}

impl Alarms {
    /// Lists what has to be known, and forgets it when asked to.
    pub async fn run(self, session: &mut Session, output: &Output) -> Result<Outcome, Failure> {
        let status: Status = session.ask(&Request::Status).await?;
        if status.alarms.is_empty() {
            output.line("There are no alarms.");
        }
        for alarm in &status.alarms {
            output.object(&serde_json::json!({
                "type": "alarm",
                "code": alarm.code,
                "sentence": sentence::of_alarm(alarm),
                "first_at": alarm.first_at,
                "last_at": alarm.last_at,
            }));
            output.line(format!(
                "{} {}: {}",
                styled(BAD, "!"),
                day(alarm.first_at),
                one_line(&sentence::of_alarm(alarm))
            ));
        }
        if !self.dismiss {
            return Ok(Outcome::Shown);
        }
        // What nobody could read is not dismissed.
        if !output.is_lost() {
            let _: Value = session.ask(&Request::DismissAlarms).await?;
            if !status.alarms.is_empty() {
                output.aside("These alarms will not be shown again.");
            }
        }
        Ok(Outcome::Shown)
    }
}

/// Says after any command what the person must know. A command that failed for another
/// reason has said enough.
pub async fn remind(session: &mut Session, output: &Output) {
    let Ok(status) = session.ask::<Status>(&Request::Status).await else {
        return;
    };
    for alarm in &status.alarms {
        let sentence = sentence::of_alarm(alarm);
        if output.is_new(&sentence) {
            output.aside(format!("{} {}", styled(BAD, "alarm:"), one_line(&sentence)));
        }
    }
    if !status.alarms.is_empty() {
        output.aside("(Once you have dealt with it: `waxwing alarms --dismiss`.)");
    }
}
