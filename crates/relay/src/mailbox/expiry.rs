//! Sweeping mailboxes: posts that waited too long, old post ids, and mailboxes in memory that
//! nobody uses.
//!
//! **Elsewhere**: [`crate::chores`] says in which order and how much at a time.
//!
//! **Always**: nothing is deleted because of its age while the clock is in doubt.

use waxwing_protocol::{ids::MailboxId, limits, time::Time};

use super::{Mailboxes, posts::POST_ID_DAYS};
use crate::{
    context::Context,
    store::{KeySpace, Store, StoreError, key, records::EntryRecord},
    sweep::{Done, IN_MEMORY},
};

impl Mailboxes {
    pub(crate) fn expire_entries(
        &mut self,
        context: &mut Context<impl Store>,
        now: Time,
        most: usize,
    ) -> Result<Done, StoreError> {
        let date = context.expiry_date(now);
        let (records, done) =
            context.next_of_round(KeySpace::Entries, &mut self.entries, now, most)?;
        for (at, value) in records {
            let entry: Option<EntryRecord> = context.view.sound(KeySpace::Entries, &at, value);
            let Some(entry) = entry else { continue };
            if date.since(Time(entry.received_at_ms)) < limits::MAILBOX_RETENTION {
                continue;
            }
            let Some((mailbox, sequence)) = entry_key(&at) else {
                continue;
            };
            if self
                .delete_entry(context, mailbox, sequence, entry.post, entry.shared)
                .is_ok()
            {
                self.entry_expired(mailbox, &entry);
                context.counts.expired += 1;
            }
        }
        Ok(done)
    }

    /// They are in the order of their days: for as long as the first is old, it goes.
    pub(crate) fn expire_post_ids(
        &mut self,
        context: &mut Context<impl Store>,
        now: Time,
        most: usize,
    ) -> Result<Done, StoreError> {
        let first_kept = (context.expiry_date(now).0 / 86_400_000).saturating_sub(POST_ID_DAYS);
        let first_kept = first_kept.to_be_bytes();
        let from = self.post_ids_from.clone();
        let (records, next) = context.view.sound_slice(KeySpace::PostIds, &from, most)?;
        // It goes on behind some that cannot be read.
        let touched = records.len().max(usize::from(next.is_some()));
        for (at, _) in records {
            if at.as_ref() >= first_kept.as_slice() {
                return Ok(Done::all(touched));
            }
            context.view.delete(KeySpace::PostIds, key(&[&at]));
        }
        let Some(next) = next else {
            return Ok(Done::all(touched));
        };
        self.post_ids_from = next;
        Ok(Done::some(touched))
    }

    /// Drops some of the idle mailboxes, where too many are in memory.
    pub(crate) fn drop_idle_mailboxes(&mut self, most: usize) -> Done {
        let looked_at = most.min(self.in_memory.len());
        for touched in 0..looked_at {
            if self.all.len() <= IN_MEMORY {
                return Done::all(touched);
            }
            let Some(id) = self.in_memory.pop_front() else {
                break;
            };
            match self.all.get(&id) {
                Some(mailbox) if mailbox.is_idle() => {
                    self.all.remove(&id);
                }
                Some(_) => self.in_memory.push_back(id),
                None => {}
            }
        }
        Done::some(looked_at)
    }
}

fn entry_key(at: &[u8]) -> Option<(MailboxId, u64)> {
    let (mailbox, sequence) = at.split_first_chunk::<16>()?;
    Some((
        MailboxId(*mailbox),
        u64::from_be_bytes(sequence.try_into().ok()?),
    ))
}
