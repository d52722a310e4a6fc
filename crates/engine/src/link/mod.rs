//! Links: logging in, acknowledging posts, tokens and key packages.
//!
//! The engine has two links to the relay. The mailbox link is logged in; the posting link never
//! is. [`state`] has what is known of both, and what they are asked ([`Job`]).
//!
//! **Elsewhere**: the rooms that ask the relay for something handle the answer, and
//! [`crate::routing`] brings it to them; TLS and reconnecting are in `waxwing-client`.
//!
//! **Always**: nothing that names this device travels on the posting link.

pub(crate) mod blob;
pub(crate) mod key_packages;
pub(crate) mod mailbox;
pub(crate) mod reader_marks;
pub(crate) mod relay;
pub(crate) mod state;
pub(crate) mod tokens;

use waxwing_protocol::{
    pb::{Error, ErrorCode},
    time::Span,
};

pub(crate) use self::state::{GreetingRefused, Job, LinkPhase, Links, MeetingPurpose};
use crate::{
    api::Problem,
    turn::{Fault, Turn},
};

/// What other rooms do when something happens on the links.
pub(crate) trait LinkHook: Sync {
    /// This device has logged in: what may have been lost with the last link is done again.
    fn handle_logged_in(&self, _turn: &mut Turn<'_>) -> Result<(), Fault> {
        Ok(())
    }

    /// The store is an old copy, whose ratchets may have been used since.
    fn handle_set_back(&self, _turn: &mut Turn<'_>) -> Result<(), Fault> {
        Ok(())
    }

    /// There are tokens to spend, perhaps after there were none.
    fn handle_tokens(&self, _turn: &mut Turn<'_>) -> Result<(), Fault> {
        Ok(())
    }
}

/// What is tried again after this long, where the relay does not say how long to wait…
const AGAIN: Span = Span::minutes(1);

/// …and at the latest after this long.
const AGAIN_MAX: Span = Span::hours(1);

/// When to try again what the relay refused for now.
pub(crate) fn retry_after(error: &Error) -> Span {
    if error.retry_after_ms == 0 {
        AGAIN
    } else {
        Span(error.retry_after_ms).min(AGAIN_MAX)
    }
}

/// The problem that a person sees for a relay's refusal that has no special meaning where it came.
pub(crate) fn problem_of(error: &Error) -> Problem {
    match error.code() {
        ErrorCode::Unsupported => Problem::RelayTooDifferent,
        ErrorCode::RateLimited => Problem::RateLimited {
            retry_after_ms: (error.retry_after_ms > 0).then_some(error.retry_after_ms),
        },
        ErrorCode::MailboxFull => Problem::RecipientFull,
        // A relay that answers says why; what this device makes of a missing answer does not.
        ErrorCode::Unavailable if error.detail.is_empty() => Problem::RelayUnavailable,
        ErrorCode::Unavailable => Problem::RelayStoresNothing,
        code => Problem::RelayRefused {
            detail: code.as_str_name().to_ascii_lowercase(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_relay_that_says_so_stores_nothing_and_a_silent_one_does_not_answer() {
        let unavailable = |detail: &str| Error {
            code: ErrorCode::Unavailable.into(),
            detail: detail.into(),
            ..Error::default()
        };
        let said = problem_of(&unavailable("the relay cannot store anything now"));
        assert_eq!(said.code(), "relay_stores_nothing");
        assert_eq!(problem_of(&unavailable("")).code(), "relay_unavailable");
    }
}
