//! `waxwing doctor`.

use std::time::Duration;

use tokio::time::{Instant, sleep};
use waxwing_client::{
    Session,
    doctor::{CheckResult, DoctorReport},
    rpc::Backend as _,
};
use waxwing_engine::api::{RegistrationStage, Request, Status};

use super::{Failure, Outcome};
use crate::{
    output::{BAD, FAINT, GOOD, Output, WARN, styled},
    text::one_line,
};

/// How long the login may take before it counts as missing.
const LOGIN_LIMIT: Duration = Duration::from_secs(5);
const AGAIN: Duration = Duration::from_millis(50);

/// Shows every check.
pub async fn run(session: &mut Session, output: &Output) -> Result<Outcome, Failure> {
    login(session).await?;
    let report = session.call("doctor", None).await?;
    let report: DoctorReport = serde_json::from_value(report).map_err(std::io::Error::from)?;
    for check in &report.checks {
        output.object(&serde_json::json!({
            "type": "check",
            "check": check.check,
            "result": check.result,
            "sentence": check.sentence,
        }))?;
        let mark = match check.result {
            CheckResult::Ok => styled(GOOD, "✓"),
            CheckResult::Warning => styled(WARN, "!"),
            CheckResult::Failed => styled(BAD, "✗"),
            CheckResult::Skipped => styled(FAINT, "-"),
        };
        let name = styled(FAINT, format!("{:<13}", check.check.replace('_', " ")));
        output.line(format!("{mark} {name} {}", one_line(&check.sentence)))?;
    }
    Ok(if report.healthy {
        Outcome::Done
    } else {
        Outcome::Failed
    })
}

/// Gives a client that has just been started the time to log in.
async fn login(session: &mut Session) -> Result<(), Failure> {
    let deadline = Instant::now() + LOGIN_LIMIT;
    loop {
        let status: Status = session.ask(&Request::Status).await?;
        let settled = status.online && status.key_packages.is_some();
        let hopeless =
            status.registration != RegistrationStage::Registered || !status.problems.is_empty();
        if settled || hopeless || Instant::now() > deadline {
            return Ok(());
        }
        sleep(AGAIN).await;
    }
}
