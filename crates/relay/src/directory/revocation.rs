//! What happens to a device that was revoked: it is logged out, and its records are deleted
//! in steps.
//!
//! **Elsewhere**: [`super::changes`] revokes; [`crate::mailbox`] takes nothing more for it.
//!
//! **Always**: a device that the log has revoked can no longer log in, from that moment on. A
//! crash does not stop the deletion.

use std::collections::BTreeMap;

use waxwing_protocol::{
    ids::{DeviceId, MailboxId},
    limits,
};

use super::Directory;
use crate::{
    context::Context,
    mailbox::Mailboxes,
    store::{
        Key, KeySpace, Store, StoreError, key,
        records::{EntryRecord, RevokedRecord},
    },
    sweep::{Done, SLICE},
};

/// Devices whose records are being deleted, of which is known in memory.
const REVOKED: usize = 65_536;

impl Directory {
    /// The log has revoked a device: its link ends, and its mailbox takes nothing more.
    pub(crate) fn device_revoked(
        context: &mut Context<impl Store>,
        mailboxes: &mut Mailboxes,
        device: DeviceId,
    ) {
        if let Some(link) = context.links.log_out(device) {
            context.close(link);
        }
        // Where the store cannot be read now, it is when it can be again.
        let record = context.view.get(KeySpace::Revoked, device.as_bytes());
        let mailbox = record
            .ok()
            .flatten()
            .and_then(|record: RevokedRecord| MailboxId::try_from(&record.mailbox_id).ok());
        if let Some(mailbox) = mailbox {
            mailboxes.revoked.insert(mailbox, device);
            mailboxes.drop_mailbox(context, mailbox);
        }
    }

    /// Which devices are revoked and not yet deleted, by what is written.
    pub(crate) fn read_revoked(
        context: &mut Context<impl Store>,
        mailboxes: &mut Mailboxes,
    ) -> Result<(), StoreError> {
        let mut revoked = BTreeMap::new();
        let mut from = Key::new();
        loop {
            let page = context.view.page(KeySpace::Revoked, &from, REVOKED)?;
            for (at, value) in page.records {
                let record: Option<RevokedRecord> =
                    context.view.sound(KeySpace::Revoked, &at, value);
                let mailbox = record.map(|record| MailboxId::try_from(&record.mailbox_id));
                if let (Some(Ok(mailbox)), Ok(device)) = (mailbox, DeviceId::try_from(&at)) {
                    revoked.insert(mailbox, device);
                }
            }
            if page.next.is_empty() || revoked.len() >= REVOKED {
                break;
            }
            from = page.next;
        }
        mailboxes.revoked = revoked;
        Ok(())
    }

    /// Deletes some of what revoked devices left.
    pub(crate) fn delete_revoked(
        context: &mut Context<impl Store>,
        mailboxes: &mut Mailboxes,
    ) -> Result<Done, StoreError> {
        let Some((&mailbox, &device)) = mailboxes.revoked.first_key_value() else {
            return Ok(Done::all(0));
        };
        let prefix = mailbox.as_bytes();
        let (entries, is_last) = context.view.readable(KeySpace::Entries, prefix, SLICE)?;
        let touched = entries.len();
        for (at, value) in entries {
            let Some(entry) = context
                .view
                .sound::<EntryRecord>(KeySpace::Entries, &at, value)
            else {
                // Which post it held is not known.
                context.view.delete(KeySpace::Entries, key(&[&at]));
                continue;
            };
            let sequence = at.last_chunk::<8>().copied().map(u64::from_be_bytes);
            mailboxes.delete_entry(
                context,
                mailbox,
                sequence.unwrap_or_default(),
                entry.post,
                entry.shared,
            )?;
        }
        if !is_last {
            return Ok(Done::some(touched));
        }
        let at = key(&[device.as_bytes()]);
        let most = limits::KEY_PACKAGES_PER_DEVICE + 1;
        let (packages, is_last) = context.view.readable(KeySpace::KeyPackages, &at, most)?;
        let touched = touched + packages.len();
        for (package, _) in packages {
            context.view.delete(KeySpace::KeyPackages, key(&[&package]));
        }
        if !is_last {
            return Ok(Done::some(touched));
        }
        for space in [KeySpace::LastResorts, KeySpace::Devices, KeySpace::Revoked] {
            context.view.delete(space, at.clone());
        }
        context
            .view
            .delete(KeySpace::Mailboxes, key(&[mailbox.as_bytes()]));
        mailboxes.revoked.remove(&mailbox);
        Ok(Done::some(touched + 1))
    }
}
