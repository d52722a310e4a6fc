//! `doctor`: checks each part of the client, and says in sentences what it found.
//!
//! **Elsewhere.** The program shows the result, in words of its own where it has better ones.
//!
//! **Always.** Checking changes nothing, except for a probe file in the home, and one extra
//! connection to the relay, on which the client sends nothing.

use waxwing_engine::api::{
    Account, Alarm, Check, CheckResult, DoctorReport, Problem, ProblemReport, RegistrationStage,
    Request, Response, Status,
};

use crate::{
    driver::Client,
    home::{Home, KeyKeeping},
    link::{self, Pin, RelayUrl, Route},
};

/// A clock that is off by more than this is worth a word.
const SKEW_MS: u64 = 2 * 60 * 1000;

fn check(name: &str, result: CheckResult, sentence: impl Into<String>) -> Check {
    Check {
        check: name.to_owned(),
        result,
        sentence: sentence.into(),
        problem: None,
        detail: None,
    }
}

/// A check that found a problem.
fn troubled(name: &str, result: CheckResult, problem: ProblemReport) -> Check {
    Check {
        check: name.to_owned(),
        result,
        sentence: problem.sentence.clone(),
        problem: Some(problem),
        detail: None,
    }
}

/// Looks at everything.
pub async fn examine(
    client: &Client,
    home: &Home,
    keeping: KeyKeeping,
) -> Result<DoctorReport, Problem> {
    use CheckResult::{Failed, Ok as Fine, Warning};

    let mut checks = vec![match home.probe() {
        Ok(()) => check(
            "home",
            Fine,
            format!("The home folder is {}.", home.path().display()),
        ),
        Err(error) => troubled("home", Failed, home.unwritable(&error).report()),
    }];
    let health = client.health().await?;
    checks.push(match health.store {
        Ok(()) => check("store", Fine, "The message store is encrypted and intact."),
        Err(problem) => troubled("store", Failed, problem.report()),
    });
    let kept = if keeping == KeyKeeping::File {
        Warning
    } else {
        Fine
    };
    checks.push(check("store_key", kept, keeping.sentence()));

    let (account, status) = account_and_status(client).await?;
    checks.push(of_account(&account));
    let route = home.route()?;
    if route != Route::Direct {
        let sentence = format!("All connections go through the proxy {route}.");
        checks.push(check("proxy", Fine, sentence));
    }
    checks.extend(of_relay(&account, &route).await);
    checks.extend(of_status(&status, account.registration));

    let healthy = checks.iter().all(|check| check.result != Failed);
    Ok(DoctorReport { healthy, checks })
}

pub(crate) async fn account_and_status(client: &Client) -> Result<(Account, Status), Problem> {
    let odd = || Problem::Internal {
        detail: "an answer to another question".into(),
    };
    let Response::Account(account) = client.call(Request::Account).await? else {
        return Err(odd());
    };
    let Response::Status(status) = client.call(Request::Status).await? else {
        return Err(odd());
    };
    Ok((*account, *status))
}

fn of_account(account: &Account) -> Check {
    match (account.registration, &account.address) {
        (RegistrationStage::Registered, Some(address)) => check(
            "account",
            CheckResult::Ok,
            format!("{address} is registered and verified."),
        ),
        (RegistrationStage::None, _) => troubled(
            "account",
            CheckResult::Failed,
            Problem::NotRegistered.report(),
        ),
        _ => check(
            "account",
            CheckResult::Warning,
            "The registration is not finished.",
        ),
    }
}

/// Opens a link of its own, so that what it says holds now.
async fn of_relay(account: &Account, route: &Route) -> Vec<Check> {
    use CheckResult::{Failed, Ok as Fine, Skipped};

    let skipped = |name: &str| check(name, Skipped, "Not checked: the relay cannot be reached.");
    let Some(place) = &account.relay else {
        return ["relay", "pin", "tls"]
            .map(|name| check(name, Skipped, "There is no relay yet."))
            .into();
    };
    let pin = account
        .pin
        .as_deref()
        .and_then(|pin| pin.parse::<Pin>().ok());
    let Ok(url) = place.parse::<RelayUrl>() else {
        let problem = Problem::RelayUrlMalformed.report();
        return vec![troubled("relay", Failed, problem)];
    };
    let url = match pin {
        Some(pin) => url.clone().pinned(pin).unwrap_or(url),
        None => url,
    };
    let link = match link::connect(&url, route).await {
        Ok(link) => link,
        Err(link::ConnectError::Identity(refused)) => {
            let found = refused.to_string();
            let mut pin = troubled("pin", Failed, Problem::from(&refused.into()).report());
            pin.detail = Some(found);
            let reached = format!("A server answers at {}.", url.authority());
            return vec![check("relay", Fine, reached), pin, skipped("tls")];
        }
        Err(error) => {
            let problem = Problem::from(&error).report();
            return vec![
                troubled("relay", Failed, problem),
                skipped("pin"),
                skipped("tls"),
            ];
        }
    };
    let identity = match url.pin() {
        Some(pin) => format!("The relay has the pinned key, {pin}."),
        None => "The relay's certificate comes from an authority that browsers trust.".to_owned(),
    };
    vec![
        check(
            "relay",
            Fine,
            format!("The relay at {} answers.", url.authority()),
        ),
        check("pin", Fine, identity),
        check(
            "tls",
            Fine,
            format!("TLS 1.3 with {} (post-quantum).", link.info.key_exchange),
        ),
    ]
}

fn of_status(status: &Status, stage: RegistrationStage) -> Vec<Check> {
    use CheckResult::{Failed, Ok as Fine, Skipped, Warning};

    if stage != RegistrationStage::Registered {
        return [
            "clock",
            "login",
            "key_log",
            "key_packages",
            "outbox",
            "conversations",
        ]
        .map(|name| check(name, Skipped, "Not checked: there is no account yet."))
        .into();
    }
    let plural = |count: u64, one: &str, many: &str| match count {
        1 => format!("1 {one}"),
        count => format!("{count} {many}"),
    };
    let clock = match status.clock_skew_ms {
        Some(skew_ms) if skew_ms.unsigned_abs() > SKEW_MS => {
            troubled("clock", Warning, Problem::ClockWrong { skew_ms }.report())
        }
        Some(_) => check("clock", Fine, "The clock agrees with the relay's."),
        None => check("clock", Skipped, "Not compared with the relay's yet."),
    };
    let login = if status.online {
        check(
            "login",
            Fine,
            "Logged in: messages arrive as they are sent.",
        )
    } else {
        let waits = "Not logged in yet: until then, messages wait at the relay.";
        // What went wrong in this program is no reason for it.
        let problem = status
            .problems
            .iter()
            .find(|problem| problem.code != "work_undone")
            .cloned();
        problem.map_or_else(
            || check("login", Failed, waits),
            |problem| troubled("login", Failed, problem),
        )
    };
    let key_packages = match status.key_packages {
        Some(0) => check(
            "key_packages",
            Warning,
            "The relay has no key packages left: new contacts use the last-resort one until this \
             device publishes more.",
        ),
        Some(left) => check(
            "key_packages",
            Fine,
            format!(
                "{} left at the relay for new contacts.",
                plural(left, "key package is", "key packages are")
            ),
        ),
        None => check("key_packages", Skipped, "Not known before the first login."),
    };
    let outbox = match (status.outbox, &status.outbox_problem) {
        (0, _) => check("outbox", Fine, "No messages are waiting to be sent."),
        (_, Some(problem)) => troubled("outbox", Warning, problem.clone()),
        (count, None) => check(
            "outbox",
            Warning,
            format!(
                "{} to be sent.",
                plural(count, "message waits", "messages wait")
            ),
        ),
    };
    let conversations = if status.rejoining == 0 && status.missing == 0 && status.welcomes_held == 0
    {
        check(
            "conversations",
            Fine,
            format!("All conversations are complete (suite {}).", status.suite),
        )
    } else {
        check(
            "conversations",
            Warning,
            format!(
                "{} asked for again; {} rejoined; {} looked up.",
                plural(status.missing, "missing message is", "missing messages are"),
                plural(
                    status.rejoining,
                    "conversation is being",
                    "conversations are being"
                ),
                plural(
                    status.welcomes_held,
                    "invitation is being",
                    "invitations are being"
                ),
            ),
        )
    };
    let mut checks = vec![
        clock,
        login,
        key_log(status),
        key_packages,
        outbox,
        conversations,
    ];
    checks.extend(alarms(status));
    checks
}

fn key_log(status: &Status) -> Check {
    if status.alarms.iter().any(is_of_key_log) {
        return check(
            "key_log",
            CheckResult::Failed,
            "The key log is not as it should be: see the alarms.",
        );
    }
    match &status.log {
        Some(log) if log.head > 0 => check(
            "key_log",
            CheckResult::Ok,
            format!(
                "This device has checked the relay's key log up to head {}, and the log proves \
                 every key it looked up.",
                log.head
            ),
        ),
        _ => check(
            "key_log",
            CheckResult::Skipped,
            "This device has not looked up any key in the relay's key log yet.",
        ),
    }
}

/// Whether an alarm says that the key log is wrong, or is not proved.
fn is_of_key_log(alarm: &Alarm) -> bool {
    matches!(
        alarm.code.as_str(),
        "relay_misbehaves"
            | "log_stale"
            | "log_ahead"
            | "contact_sees_another_log"
            | "own_history_not_proved"
            | "contacts_not_proved"
            | "heads_not_compared"
    )
}

/// Each alarm is a check of its own: it says what should not have happened, whatever works.
fn alarms(status: &Status) -> Vec<Check> {
    if status.alarms.is_empty() {
        return vec![check("alarms", CheckResult::Ok, "There are no alarms.")];
    }
    let alarm = |alarm: &Alarm| troubled("alarms", CheckResult::Failed, alarm.report());
    status.alarms.iter().map(alarm).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(alarms: &[Problem], problems: &[Problem]) -> Status {
        let alarm = |problem: &Problem| {
            let mut alarm = serde_json::to_value(problem.report()).unwrap();
            alarm["first_at"] = "2026-11-24T20:15:07.000Z".into();
            alarm["last_at"] = "2026-11-24T20:15:07.000Z".into();
            alarm
        };
        let alarms: Vec<_> = alarms.iter().map(alarm).collect();
        let problems: Vec<_> = problems.iter().map(Problem::report).collect();
        serde_json::from_value(serde_json::json!({
            "registration": "registered",
            "online": false,
            "outbox": 0,
            "tokens": 0,
            "rejoining": 0,
            "welcomes_held": 0,
            "missing": 0,
            "suite": "",
            "log": {"id": "", "head": 7},
            "alarms": alarms,
            "problems": problems,
        }))
        .unwrap()
    }

    fn found<'a>(checks: &'a [Check], name: &str) -> Vec<&'a Check> {
        checks.iter().filter(|check| check.check == name).collect()
    }

    fn code(check: &Check) -> &str {
        check.problem.as_ref().map_or("", |problem| &problem.code)
    }

    #[test]
    fn an_alarm_is_an_alarm_and_not_a_fault_of_the_key_log() {
        let device = "a1b2c3d4".to_owned();
        let added = Problem::DeviceAdded { device };
        let checks = of_status(&status(&[added], &[]), RegistrationStage::Registered);
        assert_eq!(found(&checks, "key_log")[0].result, CheckResult::Ok);
        let alarms = found(&checks, "alarms");
        assert_eq!((alarms.len(), code(alarms[0])), (1, "device_added"));
        let stale = Problem::LogStale { age_ms: 1 };
        let checks = of_status(&status(&[stale], &[]), RegistrationStage::Registered);
        assert_eq!(found(&checks, "key_log")[0].result, CheckResult::Failed);
        assert_eq!(code(found(&checks, "alarms")[0]), "log_stale");
        let checks = of_status(&status(&[], &[]), RegistrationStage::Registered);
        assert_eq!(found(&checks, "alarms")[0].result, CheckResult::Ok);
    }

    #[test]
    fn what_the_outbox_waits_for_is_said() {
        let mut status = status(&[], &[]);
        status.outbox = 1;
        status.outbox_problem = Some(Problem::RelayStoresNothing.report());
        let checks = of_status(&status, RegistrationStage::Registered);
        assert_eq!(code(found(&checks, "outbox")[0]), "relay_stores_nothing");
        status.outbox_problem = None;
        let checks = of_status(&status, RegistrationStage::Registered);
        assert!(found(&checks, "outbox")[0].sentence.contains("1 message"));
    }

    #[test]
    fn why_the_login_is_missing_is_said() {
        for problem in [
            Problem::DiskFull,
            Problem::RelayStoresNothing,
            Problem::LoginRefused,
        ] {
            let detail = "something else".to_owned();
            let other = Problem::WorkUndone { detail };
            let status = status(&[], &[other, problem.clone()]);
            let checks = of_status(&status, RegistrationStage::Registered);
            assert_eq!(code(found(&checks, "login")[0]), problem.code());
        }
    }
}
