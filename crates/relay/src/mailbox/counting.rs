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

use waxwing_protocol::{
    ids::{DeviceId, Epoch, GroupId, MailboxId},
    pb::{self, PostKind, client_frame::Body as Request},
};

use super::Loaded;
use crate::{
    link::LinkId,
    pending_view::PendingView,
    relay::Relay,
    store::{KeySpace, Store, records::DeviceRecord},
    verification::CheckResult,
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
        let counted = |id| Some((id, Relay::load_mailbox(&view, id).ok()?));
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

impl<S: Store> Relay<S> {
    /// What is to be counted before a request is carried out.
    pub(crate) fn to_count(
        &self,
        link: LinkId,
        body: &Request,
        found: Option<&CheckResult>,
        round: u8,
    ) -> Option<Count> {
        if round >= ROUNDS {
            return None;
        }
        let cold = match (body, found) {
            (Request::Post(post), None | Some(CheckResult::Nothing))
                if post.kind() != PostKind::Commit =>
            {
                self.cold_of_post(link, post)
            }
            (Request::Post(post), Some(CheckResult::Commit { list })) => {
                let mut cold = self.cold_of_post(link, post);
                cold.extend(self.cold(list));
                cold
            }
            (_, Some(CheckResult::Create { list, .. } | CheckResult::Rejoin { list, .. })) => list
                .as_deref()
                .map(|list| self.cold(list))
                .unwrap_or_default(),
            (Request::Login(login), None) => self.cold_of_login(login),
            _ => return None,
        };
        (!cold.is_empty()).then(|| Count {
            mailboxes: cold,
            since: self.standing(),
            round,
        })
    }

    /// Takes counts that still hold; gives which round is next.
    pub(crate) fn take_counted(&mut self, counted: Counted) -> u8 {
        if counted.since != self.standing() {
            return counted.round.saturating_add(OUTDATED);
        }
        for (id, loaded) in counted.mailboxes {
            let Some(loaded) = loaded else {
                self.counting.note_gone(id);
                continue;
            };
            if !self.mailboxes.contains_key(&id) && !self.revoked.contains_key(&id) {
                self.take_loaded(id, loaded);
                // It is about to be used; thousands of them at once would hold the lock.
                if self.context.has_space() {
                    self.reserve(id);
                }
            }
        }
        counted.round.saturating_add(1)
    }

    fn standing(&self) -> CountValidity {
        CountValidity {
            left: self
                .counting
                .loaded
                .saturating_sub(self.mailboxes.len() as u64),
            deleted: self.counting.deleted,
            generation: self.context.view.generation(),
        }
    }

    fn cold_of_post(&self, link: LinkId, post: &pb::Post) -> Vec<MailboxId> {
        let Ok(group) = GroupId::try_from(&post.group_id) else {
            return Vec::new();
        };
        self.authorised(link, group, Epoch(post.epoch))
            .map(|authorised| self.cold(authorised.fan_out()))
            .unwrap_or_default()
    }

    fn cold_of_login(&self, login: &pb::Login) -> Vec<MailboxId> {
        let Ok(device) = DeviceId::try_from(&login.device_id) else {
            return Vec::new();
        };
        let record: Result<Option<DeviceRecord>, _> =
            self.context.view.get(KeySpace::Devices, device.as_bytes());
        let mailbox = record
            .ok()
            .flatten()
            .and_then(|record| MailboxId::try_from(&record.mailbox_id).ok());
        mailbox
            .map(|mailbox| self.cold(&[mailbox]))
            .unwrap_or_default()
    }

    /// Those that are not in memory, and of which the disk says all.
    fn cold(&self, list: &[MailboxId]) -> Vec<MailboxId> {
        let cold = list.iter().filter(|id| {
            !self.mailboxes.contains_key(*id)
                && !self.counting.is_gone(**id)
                && !self.revoked.contains_key(*id)
                && !self
                    .context
                    .view
                    .has_pending(KeySpace::Entries, id.as_bytes())
                && !self
                    .context
                    .view
                    .has_pending(KeySpace::Mailboxes, id.as_bytes())
        });
        cold.take(AT_ONCE).copied().collect()
    }
}
