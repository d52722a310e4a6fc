//! Reads this machine's clocks, and the operator's confirmation.
//!
//! **Elsewhere**: [`crate::clock`] decides what happens when a clock jumps.
//!
//! **Always**: only [`Clock::look`] reads the clock that somebody can set. Everything else
//! uses [`now`], which nothing can set.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::{SystemTime, UNIX_EPOCH};

use rustix::time::{ClockId, clock_gettime};
use waxwing_protocol::time::{Span, Time};

use crate::clock::{CONFIRMED_AFTER, ClockNews};
use crate::relay::Relay;
use crate::store::Store;

/// A confirmation is valid for this long.
const CONFIRMATION: Span = Span::minutes(10);
/// The clock that also goes on while the machine sleeps, where there is one.
#[cfg(any(target_os = "linux", target_os = "android"))]
const STEADY: ClockId = ClockId::Boottime;
#[cfg(not(any(target_os = "linux", target_os = "android")))]
const STEADY: ClockId = ClockId::Monotonic;

/// The steady time: what this machine's clock said when the process began, and what has
/// passed since. No change of the clock moves it.
pub(super) fn now() -> Time {
    static BEGAN: OnceLock<(Time, u64)> = OnceLock::new();
    let passed = steady_ms();
    let (wall, began) = BEGAN.get_or_init(|| (wall(), passed));
    wall.after(Span(passed.saturating_sub(*began)))
}

fn steady_ms() -> u64 {
    let time = clock_gettime(STEADY);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let nanoseconds = u64::try_from(time.tv_nsec).unwrap_or(0);
    seconds
        .saturating_mul(1000)
        .saturating_add(nanoseconds / 1_000_000)
}

/// What this machine's clock says.
fn wall() -> Time {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    let milliseconds = since.map_or(0, |since| since.as_millis());
    Time(u64::try_from(milliseconds).unwrap_or(u64::MAX))
}

/// Looks at the machine's clock for the relay.
pub(super) struct Clock {
    confirmation: Option<PathBuf>,
}

impl Clock {
    /// Takes confirmations from this file.
    pub(super) const fn new(confirmation: Option<PathBuf>) -> Self {
        Self { confirmation }
    }

    /// To be called at the start and once a second.
    pub(super) fn look<S: Store>(&self, now: Time, relay: &mut Relay<S>) {
        let wall = wall();
        match relay.look_at_clock(now, wall) {
            Some(ClockNews::Leapt(by_ms)) => tracing::warn!(
                by_seconds = by_ms / 1000,
                minutes = CONFIRMED_AFTER.0 / 60_000,
                "the machine's clock has jumped: nothing expires and the key log signs nothing \
                 until the clock is back, has run evenly for these minutes, or is confirmed with \
                 `waxwing-relay confirm-clock`"
            ),
            Some(ClockNews::Returned) => {
                tracing::info!("the machine's clock is back where it was");
            }
            Some(ClockNews::Confirmed) => tracing::warn!(
                "the machine's clock has run evenly since it jumped, and is trusted again"
            ),
            None => {}
        }
        let waits = relay.doubts_clock() || relay.keeps_everything(now);
        if waits && self.is_confirmed(wall) {
            relay.confirm_clock(now, wall);
            tracing::info!("the operator has confirmed the machine's clock");
        }
    }

    /// Takes up a confirmation, if there is one for what the clock says now.
    fn is_confirmed(&self, wall: Time) -> bool {
        let Some(path) = &self.confirmation else {
            return false;
        };
        let Ok(text) = fs::read_to_string(path) else {
            return false;
        };
        // One that is of no use any more is not met again.
        let _ = fs::remove_file(path);
        text.trim().parse().is_ok_and(|at| {
            let at = Time(at);
            wall.since(at).max(at.since(wall)) <= CONFIRMATION
        })
    }
}

/// Confirms that the machine's clock is right, to the relay whose
/// [`Settings::clock_confirmation`](super::Settings::clock_confirmation) is this file: the one
/// that runs, or the one that is started within ten minutes.
///
/// # Errors
/// When the file cannot be written.
pub fn confirm_clock(path: &Path) -> std::io::Result<()> {
    let new = path.with_extension("new");
    // The relay may be another user's: there is nothing secret in it.
    let mut file = fs::OpenOptions::new()
        .create(true)
        .write(true)
        .truncate(true)
        .mode(0o644)
        .open(&new)?;
    writeln!(file, "{}", wall().0)?;
    file.sync_all()?;
    fs::rename(&new, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_confirmation_is_good_once_and_for_a_while() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("clock-confirmed");
        let clock = Clock::new(Some(path.clone()));
        assert!(!clock.is_confirmed(wall()));
        confirm_clock(&path).unwrap();
        assert!(clock.is_confirmed(wall()));
        assert!(!clock.is_confirmed(wall()));
        confirm_clock(&path).unwrap();
        assert!(!clock.is_confirmed(wall().after(Span::minutes(11))));
        assert!(!path.exists());
    }

    #[test]
    fn the_steady_time_goes_on() {
        let before = now();
        assert!(now() >= before);
    }
}
