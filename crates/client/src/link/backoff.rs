//! How long to wait before the next attempt to open a link.
//!
//! **Elsewhere.** The engine decides whether to try at all.
//!
//! **Always.** Waits grow to a bound and are spread at random, so that not all clients connect at
//! once when a relay comes back.

use std::time::Duration;

use rand::RngExt as _;

/// The first wait, at most.
pub const FIRST: Duration = Duration::from_millis(500);
/// The longest wait.
pub const LONGEST: Duration = Duration::from_mins(1);
/// A link that held for this long counts as one that works: the next wait is short again.
pub const HELD: Duration = Duration::from_secs(5);

/// Counts failures in a row.
#[derive(Debug, Default)]
pub struct Backoff {
    failures: u32,
}

impl Backoff {
    /// The link worked: the next wait is short.
    pub fn worked(&mut self) {
        self.failures = 0;
    }

    /// The link failed: how long to wait now. Between half and all of a bound that doubles
    /// with each failure.
    pub fn failed(&mut self, rng: &mut impl rand::Rng) -> Duration {
        let bound = FIRST
            .saturating_mul(1 << self.failures.min(16))
            .min(LONGEST);
        self.failures = self.failures.saturating_add(1);
        let bound = u64::try_from(bound.as_millis()).unwrap_or(u64::MAX);
        Duration::from_millis(rng.random_range(bound / 2..=bound))
    }
}

#[cfg(test)]
mod tests {
    use rand::{SeedableRng as _, rngs::StdRng};

    use super::*;

    #[test]
    fn waits_double_to_a_bound_and_are_spread_over_half_of_it() {
        for seed in 0..50 {
            let mut rng = StdRng::seed_from_u64(seed);
            let mut backoff = Backoff::default();
            let mut bound = FIRST;
            for _ in 0..40 {
                let wait = backoff.failed(&mut rng);
                assert!(wait >= bound / 2 && wait <= bound, "{wait:?} of {bound:?}");
                bound = (bound * 2).min(LONGEST);
            }
        }
    }

    #[test]
    fn waits_differ_between_clients() {
        let waits: std::collections::HashSet<_> = (0..50)
            .map(|seed| Backoff::default().failed(&mut StdRng::seed_from_u64(seed)))
            .collect();
        assert!(waits.len() > 25);
    }

    #[test]
    fn after_success_the_wait_is_short_again() {
        let mut rng = StdRng::seed_from_u64(1);
        let mut backoff = Backoff::default();
        for _ in 0..20 {
            backoff.failed(&mut rng);
        }
        backoff.worked();
        assert!(backoff.failed(&mut rng) <= FIRST);
    }
}
