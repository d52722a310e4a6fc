//! What is checked without the relay's lock.
//!
//! Each feature has its own kinds of checks, made under the lock; they run without it, and
//! what they find is handed to the feature again.
//!
//! **Elsewhere**: [`crate::verification`] lists all kinds of checks, and runs them.

use bytes::Bytes;

use crate::{
    pending_view::PendingView,
    store::{Key, KeySpace, Store, StoreError},
};

/// What checks work with.
pub(crate) struct Checker<'a, S> {
    pub(crate) store: &'a S,
    /// How many signatures and tokens were verified; a hybrid one counts once.
    pub(crate) signatures: u32,
}

/// Checks nothing: reads a part of a blob or a backup, which is large.
pub(crate) struct PartCheck {
    space: KeySpace,
    at: Key,
}

/// What is there of a blob or a backup.
pub(crate) struct PartRead {
    pub(crate) at: Key,
    pub(crate) part: Option<Bytes>,
}

impl PartCheck {
    /// Reads what is at this key; `None` if it is not on disk as it is now.
    pub(crate) fn of(view: &PendingView<impl Store>, space: KeySpace, at: Key) -> Option<Self> {
        let is_on_disk = !view.has_pending(space, &at);
        is_on_disk.then_some(Self { space, at })
    }

    pub(crate) fn run(self, checker: &Checker<'_, impl Store>) -> Result<PartRead, StoreError> {
        Ok(PartRead {
            part: checker.store.get(self.space, &self.at)?,
            at: self.at,
        })
    }
}
