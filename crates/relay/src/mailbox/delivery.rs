//! Sending what waits in a mailbox, and deleting what its device acknowledged.
//!
//! **Elsewhere**: [`super::deposit`] puts posts into mailboxes.
//!
//! **Always**: a device gets posts in order, as many as its window has room for. A damaged
//! post is skipped, and does not keep other posts from the device. What the store cannot read
//! or delete now is tried again in the next sweep.

use std::collections::BTreeSet;

use bytes::Bytes;
use waxwing_protocol::{
    ids::MailboxId,
    limits,
    pb::{self, relay_frame::Body as Answer},
};

use super::{
    Mailboxes,
    in_memory::{SentPost, sequence_of},
    shares::Item,
};
use crate::{
    answer::{Refused, Reply, RequestResult},
    context::Context,
    link::{LinkId, LinkStage},
    store::{
        KeySpace, Record, Store, StoreError, key,
        records::{EntryRecord, PostRecord},
    },
    sweep::Done,
};

/// Entries that are read from the store at a time.
const READ: usize = 128;
/// Numbers that are tried one by one at a time, where entries cannot be read.
const TRIED: u64 = 1024;
/// How often a post is tried to be read, once a second, before it is left out.
const TRIES: u8 = 10;

/// What is tried again in a sweep, since the store could not be read.
#[derive(Default)]
pub(crate) struct Again {
    pub(super) undeleted: Vec<(MailboxId, SentPost)>,
    pub(super) unread: BTreeSet<MailboxId>,
}

impl Mailboxes {
    pub(crate) fn acknowledge(
        &mut self,
        context: &mut Context<impl Store>,
        link: LinkId,
        sequence: u64,
    ) -> RequestResult {
        let LinkStage::LoggedIn { mailbox: id, .. } = context.links.of_request(link)?.stage else {
            return Err(Refused::unauthorised("this needs a login"));
        };
        let Some(mailbox) = self.all.get_mut(&id) else {
            return Ok(Reply::Later);
        };
        if mailbox.link != Some(link) {
            return Ok(Reply::Later);
        }
        let mut gone = Vec::new();
        while let Some(sent) = mailbox
            .window
            .pop_front_if(|sent| sent.sequence <= sequence)
        {
            mailbox.window_bytes = mailbox.window_bytes.saturating_sub(cast(sent.item.bytes));
            mailbox.waiting.remove(sent.item);
            mailbox.acknowledged = sent.sequence;
            while mailbox
                .fresh
                .front()
                .is_some_and(|fresh| fresh.sequence <= sent.sequence)
            {
                mailbox.fresh.pop_front();
            }
            gone.push(sent);
        }
        let stored_to = mailbox.stored_to;
        let mut on_disk = false;
        context.costs.spend_time(gone.len() / 8);
        for sent in gone {
            context.counts.acknowledged += 1;
            if sent.sequence <= stored_to {
                on_disk = true;
                self.delete_sent(context, id, sent);
            } else {
                self.release(context, sent.post, id, sent.sequence);
            }
        }
        if on_disk {
            self.write_mailbox(context, id);
        }
        self.fill(context, id);
        Ok(Reply::Later)
    }

    /// Sends what waits, while the window has room.
    pub(super) fn fill(&mut self, context: &mut Context<impl Store>, id: MailboxId) {
        loop {
            let Some(mailbox) = self.all.get(&id) else {
                return;
            };
            let Some(link) = mailbox.link else { return };
            if mailbox.sent_to < mailbox.stored_to {
                match self.fill_from_store(context, id, link) {
                    Ok(true) => continue,
                    Ok(false) => return,
                    // Nothing is lost, and it is nobody's fault who is connected.
                    Err(_) => {
                        self.unread.insert(id);
                        return;
                    }
                }
            }
            self.fill_from_memory(context, id, link);
            return;
        }
    }

    pub(super) fn fill_from_memory(
        &mut self,
        context: &mut Context<impl Store>,
        id: MailboxId,
        link: LinkId,
    ) {
        let Some(mailbox) = self.all.get_mut(&id) else {
            return;
        };
        let start = mailbox
            .fresh
            .partition_point(|fresh| fresh.sequence <= mailbox.sent_to);
        let mut frames = Vec::new();
        for fresh in mailbox.fresh.range(start..) {
            let full = mailbox.window.len() >= limits::DELIVERY_WINDOW_FRAMES
                || mailbox.window_bytes >= limits::DELIVERY_WINDOW_BYTES;
            if full || fresh.held {
                break;
            }
            mailbox.window.push_back(SentPost {
                sequence: fresh.sequence,
                post: fresh.post.number,
                item: Item::of_post(&fresh.post),
                shared: fresh.shared,
            });
            mailbox.window_bytes += fresh.post.body.len();
            mailbox.sent_to = fresh.sequence;
            frames.push(fresh.post.deliver(fresh.sequence));
        }
        for frame in frames {
            context.counts.delivered += 1;
            context.send(link, 0, frame);
        }
    }

    /// Gives whether there may be more to send.
    fn fill_from_store(
        &mut self,
        context: &mut Context<impl Store>,
        id: MailboxId,
        link: LinkId,
    ) -> Result<bool, StoreError> {
        let Some(mailbox) = self.all.get(&id) else {
            return Ok(false);
        };
        let room = limits::DELIVERY_WINDOW_FRAMES.saturating_sub(mailbox.window.len());
        if room == 0 || mailbox.window_bytes >= limits::DELIVERY_WINDOW_BYTES {
            return Ok(false);
        }
        let (from, to) = (mailbox.sent_to.saturating_add(1), mailbox.stored_to);
        let (records, read_to) = match Self::entries(context, id, from, to, room.min(READ)) {
            Err(error) => {
                // That is no post's fault.
                if let Some(mailbox) = self.all.get_mut(&id) {
                    mailbox.tries = 0;
                }
                return Err(error);
            }
            entries => entries?,
        };
        context.costs.spend_time(records.len());
        for (at, value) in records {
            let sequence = sequence_of(&at);
            let entry: Option<EntryRecord> = context.view.sound(KeySpace::Entries, &at, value);
            let post = match &entry {
                Some(entry) => self.stored_post(context, id, sequence, entry)?,
                None => None,
            };
            let Some(mailbox) = self.all.get_mut(&id) else {
                return Ok(false);
            };
            if mailbox.window_bytes >= limits::DELIVERY_WINDOW_BYTES {
                return Ok(false);
            }
            mailbox.sent_to = sequence;
            mailbox.tries = 0;
            let Some((entry, post)) = entry.zip(post) else {
                continue;
            };
            mailbox.window.push_back(SentPost {
                sequence,
                post: entry.post,
                item: Item::of_record(&entry),
                shared: entry.shared,
            });
            mailbox.window_bytes += cast(entry.size);
            context.counts.delivered += 1;
            let deliver = pb::Deliver {
                sequence,
                group_id: post.group_id,
                group_sequence: post.group_sequence,
                kind: post.kind,
                epoch: post.epoch,
                post_id: post.post_id,
                body: post.body,
                received_at_ms: post.received_at_ms,
                missed: post.missed,
            };
            context.send(link, 0, Answer::Deliver(deliver));
        }
        if let Some(mailbox) = self.all.get_mut(&id) {
            mailbox.sent_to = mailbox.sent_to.max(read_to);
        }
        Ok(true)
    }

    /// Some entries from one number to another, and up to where that is all of them.
    fn entries(
        context: &mut Context<impl Store>,
        id: MailboxId,
        from: u64,
        to: u64,
        limit: usize,
    ) -> Result<(Vec<Record>, u64), StoreError> {
        let at = |sequence: u64| key(&[id.as_bytes(), &sequence.to_be_bytes()]);
        let end = at(to.saturating_add(1));
        let read = context
            .view
            .scan(KeySpace::Entries, &at(from), Some(&end), limit);
        let records = match read {
            Err(StoreError::Damaged(_)) => {
                return Self::entries_one_by_one(context, id, from, to, limit);
            }
            records => records?,
        };
        let read_to = match records.last() {
            Some((last, _)) if records.len() == limit => sequence_of(last),
            _ => to,
        };
        Ok((records, read_to))
    }

    /// The entries that can be read, where some cannot.
    fn entries_one_by_one(
        context: &mut Context<impl Store>,
        id: MailboxId,
        from: u64,
        to: u64,
        limit: usize,
    ) -> Result<(Vec<Record>, u64), StoreError> {
        let mut records = Vec::new();
        let mut read_to = from;
        for sequence in from..=to.min(from.saturating_add(TRIED)) {
            if records.len() >= limit {
                break;
            }
            read_to = sequence;
            let at = key(&[id.as_bytes(), &sequence.to_be_bytes()]);
            match context.view.get_bytes(KeySpace::Entries, &at) {
                Ok(Some(value)) => records.push((Bytes::copy_from_slice(&at), value)),
                Ok(None) => {}
                Err(StoreError::Damaged(_)) => context.view.note_damage(KeySpace::Entries, &at),
                Err(error) => return Err(error),
            }
        }
        Ok((records, read_to))
    }

    /// The post of an entry. One that is damaged, or not there, is let go: its device sees
    /// that it is missing, and asks its sender. One that cannot be read now may be read
    /// later.
    fn stored_post(
        &mut self,
        context: &mut Context<impl Store>,
        id: MailboxId,
        sequence: u64,
        entry: &EntryRecord,
    ) -> Result<Option<PostRecord>, StoreError> {
        let at = entry.post.to_be_bytes();
        match context.view.get(KeySpace::Posts, &at) {
            Ok(Some(post)) => return Ok(Some(post)),
            Ok(None) | Err(StoreError::Damaged(_)) => {
                context.view.note_damage(KeySpace::Posts, &at);
                self.delete_entry(context, id, sequence, entry.post, entry.shared)?;
                self.entry_expired(id, entry);
            }
            Err(error) => {
                let tries = self.all.get(&id).map_or(0, |mailbox| mailbox.tries);
                if tries < TRIES {
                    return Err(error);
                }
                // It stays on the disk, where somebody may find it.
                context.view.note_damage(KeySpace::Posts, &at);
            }
        }
        Ok(None)
    }

    /// Deletes what a device has acknowledged; later, where the store cannot be read now.
    fn delete_sent(&mut self, context: &mut Context<impl Store>, id: MailboxId, sent: SentPost) {
        let deleted = self.delete_entry(context, id, sent.sequence, sent.post, sent.shared);
        if deleted.is_err() {
            self.undeleted.push((id, sent));
        }
    }

    /// Tries again to send, and to delete, some of what could not be read.
    pub(crate) fn read_again(&mut self, context: &mut Context<impl Store>, most: usize) -> Done {
        let mut touched = 0;
        while touched < most {
            touched += 1;
            if let Some((id, sent)) = self.again.undeleted.pop() {
                self.delete_sent(context, id, sent);
                continue;
            }
            let Some(id) = self.again.unread.pop_first() else {
                return Done::all(touched);
            };
            if let Some(mailbox) = self.all.get_mut(&id) {
                mailbox.tries = mailbox.tries.saturating_add(1);
            }
            let before = context.counts.delivered;
            self.fill(context, id);
            touched += cast(context.counts.delivered - before);
        }
        Done::some(touched)
    }
}

fn cast(size: u64) -> usize {
    usize::try_from(size).unwrap_or(usize::MAX)
}
