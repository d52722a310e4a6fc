//! What time takes away: posts that waited too long, post ids, what nobody uses in memory.
//!
//! **Elsewhere**: erasing what was deleted from the disk's files is the store's.
//!
//! **Always**: a bounded step each time, so that no request waits for it. A record that is
//! damaged keeps nothing behind it from its turn.

use waxwing_protocol::{ids::MailboxId, limits, time::Time};

use crate::{
    posts::POST_ID_DAYS,
    relay::Relay,
    store::{
        Key, KeySpace, Store, StoreError, key,
        records::{EntryRecord, RegistrationRecord},
    },
};

/// Records that are looked at in one step.
const STEP: usize = 512;
/// Groups and mailboxes that may be in memory before idle ones are dropped.
const IN_MEMORY: usize = 4096;

/// How far the sweep has come.
#[derive(Default)]
pub(crate) struct Sweep {
    entries_from: Key,
    registrations_from: Key,
    pub(crate) sms: Key,
    pub(crate) sms_receipts: Key,
}

impl<S: Store> Relay<S> {
    pub(crate) fn sweep_step(&mut self, now: Time) {
        // A store that cannot be read is met again by the next request, and answered there.
        let _ = self.expire_entries(now);
        let _ = self.expire_post_ids(now);
        let _ = self.expire_registrations(now);
        let _ = self.delete_revoked();
        let _ = self.sweep_backups(now);
        let _ = self.sweep_blobs(now);
        let _ = self.tell_of_contests(now);
        let _ = self.sweep_sms(now);
        if self.mailboxes.len() > IN_MEMORY {
            self.mailboxes.retain(|_, mailbox| !mailbox.is_idle());
        }
        if self.groups.len() > IN_MEMORY {
            self.groups.retain(|_, group| !group.is_idle());
        }
    }

    fn expire_entries(&mut self, now: Time) -> Result<(), StoreError> {
        let from = std::mem::take(&mut self.sweep.entries_from);
        let page = self.page(KeySpace::Entries, &from, STEP)?;
        self.sweep.entries_from = page.next;
        for (at, value) in page.records {
            let entry: Option<EntryRecord> = self.sound(KeySpace::Entries, &at, value);
            let Some(entry) = entry else { continue };
            let age = now.since(Time(entry.received_at_ms));
            if age < limits::MAILBOX_RETENTION {
                continue;
            }
            let Some((mailbox, sequence)) = entry_key(&at) else {
                continue;
            };
            self.delete_entry(mailbox, sequence, entry.post, entry.shared)?;
            self.entry_expired(mailbox, entry.size);
            self.counts.expired += 1;
        }
        Ok(())
    }

    fn expire_post_ids(&mut self, now: Time) -> Result<(), StoreError> {
        let first_kept = (now.0 / 86_400_000).saturating_sub(POST_ID_DAYS);
        let to = first_kept.to_be_bytes();
        for (at, _) in self.view.scan(KeySpace::PostIds, &[], Some(&to), STEP)? {
            self.view.delete(KeySpace::PostIds, key(&[&at]));
        }
        Ok(())
    }

    fn expire_registrations(&mut self, now: Time) -> Result<(), StoreError> {
        let from = std::mem::take(&mut self.sweep.registrations_from);
        let page = self.page(KeySpace::Registrations, &from, STEP)?;
        self.sweep.registrations_from = page.next;
        for (at, value) in page.records {
            let space = KeySpace::Registrations;
            let record: Option<RegistrationRecord> = self.sound(space, &at, value);
            if record.is_some_and(|record| record.expires_at_ms <= now.0) {
                self.view.delete(KeySpace::Registrations, key(&[&at]));
            }
        }
        Ok(())
    }
}

fn entry_key(at: &[u8]) -> Option<(MailboxId, u64)> {
    let (mailbox, sequence) = at.split_first_chunk::<16>()?;
    Some((
        MailboxId(*mailbox),
        u64::from_be_bytes(sequence.try_into().ok()?),
    ))
}
