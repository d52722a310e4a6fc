//! Warnings for the programs that listen: sent when something happens, and not kept.
//!
//! **Elsewhere**: warnings that must be seen even if nobody was listening are alarms
//! ([`crate::trust::alarm`]).
//!
//! **Always**: the same warning is not repeated within [`WARNED_AGAIN`]: a relay or somebody
//! else may cause it with every frame.

use std::collections::HashMap;

use waxwing_protocol::time::{Span, Time};

use crate::{
    api::{Notice, Problem, RelayMisdeed, Warning},
    clock::Passed as _,
    memory::Remembered,
    turn::Turn,
};

/// The same warning is given again after this long.
const WARNED_AGAIN: Span = Span::minutes(30);

/// Different warnings within that time, at most.
const WARNED_MAX: usize = 128;

/// What people were warned of lately, and when; by code and subject.
#[derive(Default)]
struct RecentWarnings(HashMap<(&'static str, String), Time>);

impl Remembered for RecentWarnings {}

impl Turn<'_> {
    /// Warns the programs that listen, unless they were warned of the same a moment ago.
    pub(crate) fn warn(&mut self, problem: &Problem) {
        let now = self.now;
        let warned = &mut self.memory.states.get_mut::<RecentWarnings>().0;
        warned.retain(|_, at| !now.has_passed(*at, WARNED_AGAIN));
        let key = (problem.code(), subject(problem));
        if warned.len() >= WARNED_MAX || warned.contains_key(&key) {
            return;
        }
        self.warn_always(problem);
    }

    /// Warns the programs that listen.
    pub(crate) fn warn_always(&mut self, problem: &Problem) {
        let key = (problem.code(), subject(problem));
        let now = self.now;
        self.memory
            .states
            .get_mut::<RecentWarnings>()
            .0
            .insert(key, now);
        let problem = problem.report();
        self.notify(Notice::Warning(Warning { problem }));
    }

    /// Warns of a relay that does what no honest one does.
    pub(crate) fn warn_misdeed(&mut self, what: RelayMisdeed) {
        self.warn(&Problem::RelayMisbehaves { what });
    }
}

/// Which one of its kind a warning is: two of one kind and subject are the same, although their
/// sentences may hold other numbers or names. It does not hold what a relay or another person
/// can make up.
pub(crate) fn subject(problem: &Problem) -> String {
    match problem {
        Problem::DeviceAdded { device } | Problem::DeviceRemoved { device } => device.clone(),
        Problem::ContactChanged { address } | Problem::ContactSeesAnotherLog { address } => {
            address.clone()
        }
        Problem::LockChanged { locked } => locked.to_string(),
        Problem::RelayMisbehaves { what } => format!("{what:?}"),
        _ => String::new(),
    }
}
