//! Numbers that are reserved on disk before they are given out.
//!
//! **Elsewhere**: [`crate::mailbox`] and [`crate::group`] write the reservations and give out
//! the numbers.
//!
//! **Always**: a number counts as reserved once the batch with its reservation is on disk.

/// Reservations that are not on disk yet: with the batch that gathers, and with the one that
/// is being written.
pub(crate) struct Reservations<K> {
    gathering: Vec<(K, u64)>,
    writing: Vec<(K, u64)>,
}

impl<K> Default for Reservations<K> {
    fn default() -> Self {
        Self {
            gathering: Vec::new(),
            writing: Vec::new(),
        }
    }
}

impl<K> Reservations<K> {
    /// The numbers below this one are being reserved.
    pub(crate) fn add(&mut self, of: K, below: u64) {
        self.gathering.push((of, below));
    }

    pub(crate) fn batch_taken(&mut self) {
        self.writing = std::mem::take(&mut self.gathering);
    }

    /// What is reserved now.
    pub(crate) fn batch_written(&mut self) -> Vec<(K, u64)> {
        std::mem::take(&mut self.writing)
    }

    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }
}
