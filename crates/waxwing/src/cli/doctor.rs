//! `waxwing doctor`.

use std::time::Duration;

use waxwing_client::{Session, rpc::Backend as _};
use waxwing_engine::api::{Check, CheckResult, DoctorReport, RegistrationStage, Request, Status};

use super::waiting::{self, Wait};
use crate::{
    outcome::{Failure, Outcome},
    output::{BAD, FAINT, GOOD, Output, WARN, styled},
    sentence,
    text::one_line,
};

/// How long the login may take before it counts as missing.
const LOGIN_LIMIT: Duration = Duration::from_secs(5);
const AGAIN: Duration = Duration::from_millis(50);

/// Shows every check.
pub async fn run(session: &mut Session, output: &Output) -> Result<Outcome, Failure> {
    login(session, output).await?;
    let report = session.call("doctor", None).await?;
    let report: DoctorReport = serde_json::from_value(report).map_err(std::io::Error::from)?;
    for check in &report.checks {
        output.object(&serde_json::json!({
            "type": "check",
            "check": check.check,
            "result": check.result,
            "sentence": words(check),
        }));
        let is_alarm = check.check == "alarms" && check.problem.is_some();
        let mark = match check.result {
            _ if is_alarm => styled(BAD, "!"),
            CheckResult::Ok => styled(GOOD, "✓"),
            CheckResult::Warning => styled(WARN, "!"),
            CheckResult::Failed => styled(BAD, "✗"),
            CheckResult::Skipped => styled(FAINT, "-"),
        };
        let name = if is_alarm { "alarm" } else { &check.check };
        let name = styled(FAINT, format!("{:<13}", name.replace('_', " ")));
        output.line(format!("{mark} {name} {}", one_line(&words(check))));
    }
    if report
        .checks
        .iter()
        .any(|check| check.check == "alarms" && check.problem.is_some())
    {
        output.aside("(Once you have dealt with the alarms: `waxwing alarms --dismiss`.)");
    }
    Ok(if report.healthy {
        Outcome::Shown
    } else {
        Outcome::Failed
    })
}

/// What a check found, and what to do.
fn words(check: &Check) -> String {
    let found = check
        .problem
        .as_ref()
        .map_or_else(|| check.sentence.clone(), sentence::of_report);
    match (check.check.as_str(), check.result, &check.detail) {
        ("account", CheckResult::Warning, _) => {
            format!("{found} Run `waxwing register` again and enter the code.")
        }
        ("store_key", CheckResult::Warning, _) => format!(
            "{found} To protect it, link this device again with another --home and `--key-store \
             passphrase` (or `keyring`)."
        ),
        (_, _, Some(detail)) => format!("{found} ({detail}.)"),
        (_, _, None) => found,
    }
}

/// Gives a client that has just been started the time to log in.
async fn login(session: &mut Session, output: &Output) -> Result<(), Failure> {
    let mut wait = Wait::new(output, "the login", LOGIN_LIMIT);
    loop {
        let status: Status = session.ask(&Request::Status).await?;
        let settled = status.online && status.key_packages.is_some();
        let hopeless = status.registration != RegistrationStage::Registered
            || status.problems.iter().any(waiting::hinders);
        if settled || hopeless || wait.pause(session, AGAIN).await.is_err() {
            return Ok(());
        }
    }
}
