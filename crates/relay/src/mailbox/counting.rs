//! Counts what waits in mailboxes that are not in memory, without the relay's lock.
//!
//! The relay must know how full a mailbox is before it puts anything into it. For a mailbox
//! that is not in memory it counts on disk, which takes long if much waits; and a post may be
//! for thousands of mailboxes.
//!
//! **Elsewhere**: [`crate::verification`] decides when to count.
//!
//! **Always**: a count is used only if nothing that it depends on has changed meanwhile.
//! Otherwise the relay counts again, and finally under the lock.

use std::{collections::HashSet, sync::Arc};

use waxwing_protocol::ids::MailboxId;

use super::{Loaded, Mailbox, Mailboxes};
use crate::{
    context::Context,
    pending_view::PendingView,
    store::{KeySpace, Store},
};

/// Mailboxes of which it is remembered that they are gone.
const GONE: usize = 16_384;

/// Mailboxes that are counted at a time: they come into memory under the lock.
const AT_ONCE: usize = 256;

/// How long it goes on: a piece that was counted takes one, one that was outdated more.
const ROUNDS: u8 = 64;
const OUTDATED: u8 = 20;

/// Mailboxes that are to be counted.
pub(crate) struct Count {
    mailboxes: Vec<MailboxId>,
    since: CountValidity,
    round: u8,
}

/// Mailboxes that were counted.
pub(crate) struct Counted {
    mailboxes: Vec<(MailboxId, Option<Loaded>)>,
    since: CountValidity,
    round: u8,
}

/// What changes when a count may be outdated.
#[derive(Clone, Copy, PartialEq, Eq)]
struct CountValidity {
    /// Mailboxes that left the memory so far: what was put into them is on disk by now.
    left: u64,
    /// Entries that were deleted of mailboxes that were not in memory.
    deleted: u64,
    generation: u64,
}

/// What the relay notes for it.
#[derive(Default)]
pub(crate) struct Counting {
    /// Mailboxes that came into memory so far.
    pub(super) loaded: u64,
    pub(super) deleted: u64,
    /// Mailboxes that were deleted, and that lists still name. An id is never used again.
    gone: HashSet<MailboxId>,
}

impl Counting {
    pub(super) fn is_gone(&self, id: MailboxId) -> bool {
        self.gone.contains(&id)
    }

    pub(super) fn note_gone(&mut self, id: MailboxId) {
        if self.gone.len() >= GONE {
            self.gone.clear();
        }
        self.gone.insert(id);
    }
}

impl Count {
    /// Counts. A mailbox that cannot be read causes an error where it is needed.
    pub(crate) fn run<S: Store>(self, store: &Arc<S>) -> Counted {
        let view = PendingView::new(Arc::clone(store));
        let asked_for = self.mailboxes.len();
        let counted = |id| Some((id, Mailbox::load(&view, id).ok()?));
        let mailboxes: Vec<_> = self.mailboxes.into_iter().filter_map(counted).collect();
        let round = if mailboxes.len() < asked_for {
            // It would be tried again and again.
            ROUNDS
        } else {
            self.round
        };
        Counted {
            mailboxes,
            since: self.since,
            round,
        }
    }
}

impl Mailboxes {
    /// What is to be counted before these mailboxes are used; `round` says how often there
    /// was something to count for the same request.
    pub(crate) fn count(
        &self,
        context: &Context<impl Store>,
        mailboxes: Vec<MailboxId>,
        round: u8,
    ) -> Option<Count> {
        let is_needed = round < ROUNDS && !mailboxes.is_empty();
        is_needed.then(|| Count {
            mailboxes,
            since: self.validity(context),
            round,
        })
    }

    /// Takes counts that still hold; gives which round is next.
    pub(crate) fn take_counted(
        &mut self,
        context: &mut Context<impl Store>,
        counted: Counted,
    ) -> u8 {
        if counted.since != self.validity(context) {
            return counted.round.saturating_add(OUTDATED);
        }
        for (id, loaded) in counted.mailboxes {
            let Some(loaded) = loaded else {
                self.counting.note_gone(id);
                continue;
            };
            if !self.all.contains_key(&id) && !self.revoked.contains_key(&id) {
                self.take_loaded(context, id, loaded);
                // It is about to be used; thousands of them at once would hold the lock.
                if context.has_space() {
                    self.reserve(context, id);
                }
            }
        }
        counted.round.saturating_add(1)
    }

    fn validity(&self, context: &Context<impl Store>) -> CountValidity {
        CountValidity {
            left: self.counting.loaded.saturating_sub(self.all.len() as u64),
            deleted: self.counting.deleted,
            generation: context.view.generation(),
        }
    }

    /// Those that are not in memory, and of which the disk says all.
    pub(crate) fn cold(&self, context: &Context<impl Store>, list: &[MailboxId]) -> Vec<MailboxId> {
        let cold = list.iter().filter(|id| {
            !self.all.contains_key(*id)
                && !self.counting.is_gone(**id)
                && !self.revoked.contains_key(*id)
                && !context.view.has_pending(KeySpace::Entries, id.as_bytes())
                && !context.view.has_pending(KeySpace::Mailboxes, id.as_bytes())
        });
        cold.take(AT_ONCE).copied().collect()
    }
}
