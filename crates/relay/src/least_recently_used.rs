//! Finds the least recently used of many things, at no cost when they are used.
//!
//! **Elsewhere**: the caller records when each thing was last used.
//!
//! **Always**: using a thing changes nothing here. Its place in the order is corrected when it
//! is looked at, once for all its uses since then.

use std::collections::BTreeSet;

/// Keys in the order in which they were last used, as far as that was looked at.
pub(crate) struct LeastRecentlyUsed<K> {
    order: BTreeSet<(u64, K)>,
}

impl<K> Default for LeastRecentlyUsed<K> {
    fn default() -> Self {
        Self {
            order: BTreeSet::new(),
        }
    }
}

impl<K: Copy + Ord> LeastRecentlyUsed<K> {
    /// Adds a key that was used at `at`; [`Self::remove`] needs the same number.
    pub(crate) fn add(&mut self, at: u64, key: K) {
        self.order.insert((at, key));
    }

    /// Removes a key that was added, or last put back, at `at`.
    pub(crate) fn remove(&mut self, at: u64, key: K) {
        self.order.remove(&(at, key));
    }

    /// Removes and gives the key that was used longest ago. `used` says when a key was last
    /// used, and is told when it is put back at that time.
    pub(crate) fn pop(&mut self, mut used: impl FnMut(K) -> Option<u64>) -> Option<K> {
        loop {
            let (at, key) = self.order.pop_first()?;
            match used(key) {
                Some(used_at) if used_at > at => {
                    self.order.insert((used_at, key));
                }
                Some(_) => return Some(key),
                None => {}
            }
        }
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.order.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_one_used_longest_ago_comes_first() {
        let mut oldest = LeastRecentlyUsed::default();
        let mut used = [5, 9, 3, 4];
        for (key, at) in [1, 2, 3, 4].into_iter().enumerate() {
            oldest.add(at, key);
        }
        let mut pops = Vec::new();
        while let Some(key) = oldest.pop(|key| Some(used[key])) {
            pops.push(key);
            // Never again.
            used[key] = 0;
        }
        assert_eq!(pops, [2, 3, 0, 1]);
    }

    #[test]
    fn what_is_gone_is_skipped() {
        let mut oldest = LeastRecentlyUsed::default();
        oldest.add(1, 'a');
        oldest.add(2, 'b');
        oldest.add(3, 'c');
        oldest.remove(2, 'b');
        assert_eq!(oldest.pop(|key| (key != 'a').then_some(0)), Some('c'));
        assert_eq!(oldest.len(), 0);
    }
}
