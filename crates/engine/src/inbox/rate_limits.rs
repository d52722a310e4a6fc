//! Floods: one person sends more at once than anybody can read.
//!
//! None of it is lost, but no alert is shown for it, and no file of it is fetched
//! automatically. What a stranger can send has another limit:
//! [`crate::conversation::requests`].

use crate::memory::{Memory, Remembered};
use std::collections::HashMap;

use waxwing_protocol::{
    ids::AccountId,
    time::{Span, Time},
};

/// More messages of one account than these within [`WITHIN`] are a flood.
const MESSAGES: u32 = 60;
const WITHIN: Span = Span::minutes(1);

/// Accounts that are counted at a time.
const COUNTED_MAX: usize = 4_096;

/// How much each account has written lately, as it came here.
#[derive(Default)]
pub(crate) struct MessageRates(HashMap<AccountId, (Time, u32)>);

impl Remembered for MessageRates {
    const OUTLASTS_ERRORS: bool = true;
}

impl Memory {
    pub(crate) fn message_rates_mut(&mut self) -> &mut MessageRates {
        self.states.get_mut()
    }
}

impl MessageRates {
    /// Counts a message; whether it is one of too many.
    pub(crate) fn is_one(&mut self, account: AccountId, now: Time) -> bool {
        if self.0.len() >= COUNTED_MAX {
            self.0.retain(|_, (since, _)| now.since(*since) < WITHIN);
        }
        let (since, count) = self.0.entry(account).or_insert((now, 0));
        if now.since(*since) >= WITHIN {
            (*since, *count) = (now, 0);
        }
        *count = count.saturating_add(1);
        *count > MESSAGES
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_one_persons_and_is_over_after_a_minute() {
        let mut floods = MessageRates::default();
        let (one, other) = (AccountId([1; 32]), AccountId([2; 32]));
        let begins = Time(1_000_000);
        for _ in 0..MESSAGES {
            assert!(!floods.is_one(one, begins));
        }
        assert!(floods.is_one(one, begins.after(Span::seconds(59))));
        assert!(!floods.is_one(other, begins));
        assert!(!floods.is_one(one, begins.after(WITHIN)));
    }
}
