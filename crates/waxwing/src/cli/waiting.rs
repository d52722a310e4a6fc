//! Waiting for the relay, or for another device: with an end, a look at the connection, and a word
//! about what is waited for.
//!
//! **Elsewhere**: waiting until nothing is on its way any more is in [`super::wait_for_relay`].
//!
//! **Always**: a wait ends. What is in its way is found even if this process never heard of it:
//! the process that drives the engine may have known it for long.

use std::time::Duration;

use tokio::time::{Instant, sleep, timeout_at};
use waxwing_client::Session;
use waxwing_engine::api::{Connection, Notice, ProblemReport, Request, Status};

use crate::{
    outcome::Failure,
    output::{FAINT, Output, styled},
    sentence,
    text::one_line,
};

/// When nothing is heard for this long, the command asks for the status.
const LOOK_AFTER: Duration = Duration::from_secs(2);
/// For this long a relay that cannot be reached may come back.
const AWAY_LIMIT: Duration = Duration::from_secs(10);

/// A wait for notices.
pub(super) struct Wait<'a> {
    output: &'a Output,
    /// For whom or what, as in "Waiting for the relay".
    subject: String,
    /// It ends when nothing has gone on for this long…
    quiet: Duration,
    /// …since then.
    progressed: Instant,
    /// When the status was asked for last.
    looked_at: Instant,
    /// It ends then at the latest.
    end: Option<Instant>,
    /// Since when something has been in its way, and what.
    hindered: Option<(Instant, ProblemReport)>,
    /// Whether somebody was told what is waited for.
    told: bool,
    /// Whether a relay that is away ends it before the time is up.
    gives_up_early: bool,
}

impl<'a> Wait<'a> {
    /// Waits for `subject`, until nothing has gone on for so long.
    pub(super) fn new(output: &'a Output, subject: impl Into<String>, quiet: Duration) -> Self {
        Self {
            output,
            subject: subject.into(),
            quiet,
            progressed: Instant::now(),
            looked_at: Instant::now(),
            end: None,
            hindered: None,
            told: false,
            gives_up_early: true,
        }
    }

    /// The same, for so long in all. A relay that is away may come back in this time.
    pub(super) fn for_all(mut self, limit: Duration) -> Self {
        self.end = Instant::now().checked_add(limit);
        self.gives_up_early = false;
        self
    }

    /// Something has gone on.
    pub(super) fn progressed(&mut self) {
        self.progressed = Instant::now();
        self.hindered = None;
    }

    /// Something else is waited for from now on, for so long.
    pub(super) fn change(&mut self, subject: impl Into<String>, quiet: Duration) {
        self.subject = subject.into();
        self.quiet = quiet;
        self.told = false;
        self.progressed();
    }

    /// What is in the way, as far as it is known.
    pub(super) fn reason(&self) -> Option<ProblemReport> {
        self.hindered.as_ref().map(|(_, problem)| problem.clone())
    }

    /// The next notice.
    ///
    /// # Errors
    /// Why waiting longer does not help.
    pub(super) async fn notice(&mut self, session: &mut Session) -> Result<Notice, Failure> {
        loop {
            let look_at = Instant::now() + LOOK_AFTER;
            let next = timeout_at(look_at.min(self.ends_at()), session.notice()).await;
            let Ok(notice) = next else {
                self.look(session).await?;
                continue;
            };
            let Ok(notice) = serde_json::from_value(notice) else {
                // Some were lost, or a later version has it.
                self.look(session).await?;
                continue;
            };
            match &notice {
                Notice::Connection(changed) => match (changed.connection, &changed.problem) {
                    (Connection::Online, _) => self.hindered = None,
                    (Connection::Offline, Some(problem)) => {
                        self.hinder(Instant::now(), problem.clone())?;
                    }
                    (Connection::Offline, None) => {}
                },
                Notice::Warning(warning) if ends_waits(&warning.problem) => {
                    self.hinder(Instant::now(), warning.problem.clone())?;
                }
                _ => {}
            }
            self.check_time(Instant::now())?;
            return Ok(notice);
        }
    }

    /// Pauses between two looks at something that no notice tells of.
    ///
    /// # Errors
    /// As [`Wait::notice`].
    pub(super) async fn pause(
        &mut self,
        session: &mut Session,
        pause: Duration,
    ) -> Result<(), Failure> {
        sleep(pause).await;
        if self.looked_at.elapsed() >= LOOK_AFTER {
            self.look(session).await
        } else {
            self.check_time(Instant::now())
        }
    }

    /// Looks at the connection now, and says what is waited for.
    ///
    /// # Errors
    /// As [`Wait::notice`].
    pub(super) async fn look(&mut self, session: &mut Session) -> Result<(), Failure> {
        self.looked_at = Instant::now();
        let status: Status = session.ask(&Request::Status).await?;
        match status.problems.into_iter().find(hinders) {
            Some(problem) => self.hinder(Instant::now(), problem)?,
            None => self.hindered = None,
        }
        self.check_time(Instant::now())?;
        if !std::mem::replace(&mut self.told, true) {
            let text = match &self.hindered {
                Some((_, problem)) => format!(
                    "Waiting for {}. {}",
                    self.subject,
                    sentence::of_report(problem)
                ),
                None => format!("Waiting for {} …", self.subject),
            };
            self.output.aside(styled(FAINT, one_line(&text)));
        }
        Ok(())
    }

    fn hinder(&mut self, now: Instant, problem: ProblemReport) -> Result<(), Failure> {
        if lasts(&problem) {
            return Err(problem.into());
        }
        let since = self.hindered.as_ref().map(|(since, _)| *since);
        self.hindered = Some((since.unwrap_or(now), problem));
        Ok(())
    }

    fn ends_at(&self) -> Instant {
        let quiet = self.progressed + self.quiet;
        let away = self.hindered.as_ref().filter(|_| self.gives_up_early);
        let away = away.map(|(since, _)| *since + AWAY_LIMIT);
        [self.end, away]
            .into_iter()
            .flatten()
            .fold(quiet, Instant::min)
    }

    fn check_time(&self, now: Instant) -> Result<(), Failure> {
        if now < self.ends_at() {
            return Ok(());
        }
        Err(match &self.hindered {
            Some((_, problem)) => problem.clone().into(),
            None => Failure::Said {
                code: "timed_out",
                sentence: format!(
                    "Waited for {}, but nothing happened for too long. What was asked for may still \
                     be done later; look at `waxwing doctor`.",
                    self.subject
                ),
            },
        })
    }
}

/// Whether a problem is one for which work waits, and not only worth knowing.
pub(super) fn hinders(problem: &ProblemReport) -> bool {
    lasts(problem)
        || matches!(
            problem.code.as_str(),
            "relay_down"
                | "proxy_failed"
                | "relay_unavailable"
                | "relay_stores_nothing"
                | "rate_limited"
                | "relay_refused"
        )
}

/// Whether a warning is about what is waited for. A relay may misbehave in another conversation, and
/// what a revoked device waits for fails by itself.
fn ends_waits(problem: &ProblemReport) -> bool {
    hinders(problem) && !matches!(problem.code.as_str(), "relay_misbehaves" | "device_revoked")
}

/// Whether waiting a few seconds does not help.
pub(super) fn lasts(problem: &ProblemReport) -> bool {
    matches!(
        problem.code.as_str(),
        "wrong_pin"
            | "relay_not_pinned"
            | "relay_too_different"
            | "relay_misbehaves"
            | "login_refused"
            | "device_revoked"
            | "disk_full"
            | "store_corrupted"
            | "store_failed"
    )
}

#[cfg(test)]
mod tests {
    use waxwing_engine::api::Problem;

    use super::*;

    fn down() -> ProblemReport {
        let detail = "connection refused".into();
        Problem::RelayDown { detail }.report()
    }

    fn code(failure: &Failure) -> String {
        match failure {
            Failure::Rpc(error) => error.name().to_owned(),
            Failure::Said { code, .. } => (*code).to_owned(),
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn a_wait_in_which_nothing_goes_on_ends() {
        let output = Output::new(true);
        let mut wait = Wait::new(&output, "the backup", Duration::from_secs(30));
        let begun = wait.progressed;
        let after = |seconds| begun + Duration::from_secs(seconds);
        assert!(wait.check_time(after(20)).is_ok());
        assert_eq!(code(&wait.check_time(after(30)).unwrap_err()), "timed_out");
        wait.progressed = after(20);
        assert!(wait.check_time(after(40)).is_ok());
        assert_eq!(code(&wait.check_time(after(50)).unwrap_err()), "timed_out");
    }

    #[test]
    fn a_relay_that_stays_away_is_the_reason() {
        let output = Output::new(true);
        let mut wait = Wait::new(&output, "the backup", Duration::from_mins(10));
        let begun = wait.progressed;
        wait.hinder(begun, down()).unwrap();
        assert!(wait.check_time(begun + AWAY_LIMIT / 2).is_ok());
        let ended = wait.check_time(begun + AWAY_LIMIT).unwrap_err();
        assert_eq!(code(&ended), "relay_down");
        // It may come back in the time that somebody gave it.
        let minute = Duration::from_mins(1);
        let mut wait = Wait::new(&output, "the relay", minute).for_all(minute);
        wait.hinder(begun, down()).unwrap();
        assert!(wait.check_time(begun + AWAY_LIMIT).is_ok());
        let ended = wait.check_time(begun + 2 * minute).unwrap_err();
        assert_eq!(code(&ended), "relay_down");
    }

    #[test]
    fn what_lasts_ends_a_wait_at_once() {
        let output = Output::new(true);
        for problem in [Problem::DiskFull, Problem::WrongPin, Problem::LoginRefused] {
            let wait = Wait::new(&output, "the relay", Duration::from_mins(10));
            let mut wait = wait.for_all(Duration::from_mins(10));
            let ended = wait.hinder(Instant::now(), problem.report()).unwrap_err();
            assert_eq!(code(&ended), problem.code());
        }
    }
}
