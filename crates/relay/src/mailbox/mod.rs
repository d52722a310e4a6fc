//! Mailboxes: what waits for a device, in order, and logging in to receive it.
//!
//! **Elsewhere**: what a post is and when it is written: [`crate::posts`]; where posts
//! come from: [`crate::group`]; how much of a mailbox one group may have: [`waiting`].
//!
//! **Always**: numbers rise and are never used twice, across crashes too: they are
//! reserved on disk in blocks, and what is given out beyond the reservation waits for the
//! disk. A device is sent posts in order, as many as its window has room for. What is
//! acknowledged is gone.

pub(crate) mod waiting;

use std::{collections::VecDeque, sync::Arc};

use waxwing_protocol::{
    ids::{AccountId, DeviceId, GroupId, MailboxId},
    limits, pb,
    pb::relay_frame::Body as Answer,
    roster::Roster,
    signature::{Purpose, login_message},
};

use self::waiting::{Amount, Item, Waiting};
use crate::{
    link::Stage,
    posts::Post,
    relay::{Effect, LinkId, Outcome, Refused, Relay, Reply},
    store::{
        KeySpace, Store, StoreError, key,
        records::{DeviceRecord, EntryRecord, HoldersRecord, MailboxRecord, PostRecord},
    },
    view::decode,
};

/// Numbers that are reserved at a time.
const BLOCK: u64 = 1024;
/// Entries that are read from the store at a time.
const READ: usize = 128;

/// A mailbox in memory.
pub(crate) struct Mailbox {
    device: DeviceId,
    pub(crate) link: Option<LinkId>,
    /// The next number to give out.
    next: u64,
    /// Below this, numbers are reserved on disk; and will be, once what is gathered is.
    reserved: u64,
    reserving: u64,
    acknowledged: u64,
    waiting: Waiting,
    /// The highest number that is on disk.
    stored_to: u64,
    /// The highest number that the link was sent.
    sent_to: u64,
    /// What the link was sent and has not acknowledged.
    window: VecDeque<Sent>,
    window_bytes: usize,
    /// Not known to be on disk; always behind what is.
    fresh: VecDeque<Fresh>,
}

struct Sent {
    sequence: u64,
    post: u64,
    item: Item,
    shared: bool,
}

struct Fresh {
    sequence: u64,
    post: Arc<Post>,
    shared: bool,
    /// Not to be sent before it is on disk: it changes the group, or its number is not
    /// reserved yet.
    held: bool,
}

impl Mailbox {
    pub(crate) fn is_idle(&self) -> bool {
        self.link.is_none() && self.fresh.is_empty() && self.reserving == self.reserved
    }

    /// Whether a link that is there was sent this.
    pub(crate) fn was_sent(&self, sequence: u64) -> bool {
        self.link.is_some() && self.sent_to >= sequence
    }

    pub(crate) fn has_room(
        &self,
        group: GroupId,
        more: Amount,
        is_new: bool,
        most: Amount,
    ) -> bool {
        self.waiting.has_room(group, more, is_new, most)
    }
}

/// What became of a post in one mailbox.
pub(crate) enum PutIn {
    /// It has this number, which is reserved on disk or not.
    Put { sequence: u64, reserved: bool },
    /// It has no room there.
    Full,
    /// The mailbox does not exist.
    Gone,
}

impl<S: Store> Relay<S> {
    pub(crate) fn login(&mut self, link: LinkId, request: u32, login: &pb::Login) -> Outcome {
        let state = self.link(link)?;
        if !matches!(state.stage, Stage::Open) {
            return Err(Refused::malformed("the link is logged in"));
        }
        if !state.posting.is_empty() {
            return Err(Refused::new(
                pb::ErrorCode::WrongLink,
                "a link that posts cannot log in",
            ));
        }
        if state.rendezvous.is_some() {
            return Err(Refused::new(
                pb::ErrorCode::WrongLink,
                "a link that is at a rendezvous cannot log in",
            ));
        }
        let (account, mailbox) = self.authenticate(link, login)?;
        let device = DeviceId::try_from(&login.device_id).map_err(|_| wrong_login())?;
        let key_packages_left = self
            .key_packages(device, limits::KEY_PACKAGES_PER_DEVICE)?
            .len();
        let last_resort = self.has_last_resort(device)?;
        let state = self.mailbox(mailbox)?.ok_or_else(wrong_login)?;
        if state.device != device {
            return Err(wrong_login());
        }
        let acknowledged = state.acknowledged;
        let replaced = state.link.replace(link);
        state.window.clear();
        state.window_bytes = 0;
        state.sent_to = acknowledged;
        if let Some(replaced) = replaced {
            self.effects.push_back(Effect::Close { link: replaced });
        }
        if let Some(state) = self.links.get_mut(&link) {
            state.stage = Stage::LoggedIn {
                account,
                device,
                mailbox,
            };
        }
        self.devices.insert(device, link);
        self.send(
            link,
            request,
            Answer::LoggedIn(pb::LoggedIn {
                mailbox_id: mailbox.to_bytes(),
                acknowledged,
                key_packages_left: u32::try_from(key_packages_left).unwrap_or(u32::MAX),
                last_resort,
            }),
        );
        self.reserve(mailbox);
        self.fill(mailbox);
        Ok(Reply::Later)
    }

    fn authenticate(
        &self,
        link: LinkId,
        login: &pb::Login,
    ) -> Result<(AccountId, MailboxId), Refused> {
        let state = self.link(link)?;
        let device = DeviceId::try_from(&login.device_id).map_err(|_| wrong_login())?;
        let record: DeviceRecord = self
            .view
            .get(KeySpace::Devices, device.as_bytes())?
            .ok_or_else(wrong_login)?;
        let account =
            AccountId::try_from(&record.account_id).map_err(|_| Refused::unavailable())?;
        let mailbox =
            MailboxId::try_from(&record.mailbox_id).map_err(|_| Refused::unavailable())?;
        let statements = self.statements(account)?.ok_or_else(wrong_login)?;
        let roster = Roster::verify(&statements).map_err(|_| Refused::unavailable())?;
        let admitted = roster.device(device).ok_or_else(wrong_login)?;
        let message = login_message(&state.exporter, &state.challenge, device);
        let signature = login.signature.as_ref().ok_or_else(wrong_login)?;
        admitted
            .identity
            .verify(Purpose::Login, &message, signature)
            .map_err(|_| wrong_login())?;
        Ok((account, mailbox))
    }

    pub(crate) fn acknowledge(&mut self, link: LinkId, sequence: u64) -> Outcome {
        let Stage::LoggedIn { mailbox: id, .. } = self.link(link)?.stage else {
            return Err(Refused::unauthorised("this needs a login"));
        };
        let Some(mailbox) = self.mailboxes.get_mut(&id) else {
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
        for sent in gone {
            self.counts.acknowledged += 1;
            if sent.sequence <= stored_to {
                on_disk = true;
                self.delete_entry(id, sent.sequence, sent.post, sent.shared)?;
            } else {
                self.held_no_more(sent.post, id, sent.sequence);
            }
        }
        if on_disk {
            self.write_mailbox(id);
        }
        self.fill(id);
        Ok(Reply::Later)
    }

    /// Removes an entry, and the post with the last of its entries.
    pub(crate) fn delete_entry(
        &mut self,
        mailbox: MailboxId,
        sequence: u64,
        post: u64,
        shared: bool,
    ) -> Result<(), StoreError> {
        let at = key(&[&post.to_be_bytes()]);
        let holders: Option<HoldersRecord> = if shared {
            self.view.get(KeySpace::Holders, &at)?
        } else {
            None
        };
        self.view.delete(
            KeySpace::Entries,
            key(&[mailbox.as_bytes(), &sequence.to_be_bytes()]),
        );
        match holders {
            Some(HoldersRecord { mailboxes }) if mailboxes > 1 => {
                let record = HoldersRecord {
                    mailboxes: mailboxes - 1,
                };
                self.view.put(KeySpace::Holders, at, &record);
            }
            _ => {
                if shared {
                    self.view.delete(KeySpace::Holders, at.clone());
                }
                self.view.delete(KeySpace::Posts, at);
            }
        }
        Ok(())
    }

    /// The mailbox, from memory or the store.
    pub(crate) fn mailbox(&mut self, id: MailboxId) -> Result<Option<&mut Mailbox>, StoreError> {
        if self.revoked.contains_key(&id) {
            return Ok(None);
        }
        if !self.mailboxes.contains_key(&id) {
            let Some(mailbox) = self.load_mailbox(id)? else {
                return Ok(None);
            };
            self.mailboxes.insert(id, mailbox);
        }
        Ok(self.mailboxes.get_mut(&id))
    }

    fn load_mailbox(&self, id: MailboxId) -> Result<Option<Mailbox>, StoreError> {
        let Some(record) = self
            .view
            .get::<MailboxRecord>(KeySpace::Mailboxes, id.as_bytes())?
        else {
            return Ok(None);
        };
        let device = DeviceId::try_from(&record.device_id)
            .map_err(|error| StoreError::Damaged(error.to_string()))?;
        let mut waiting = Waiting::default();
        let mut stored_to = 0;
        let mut from = key(&[id.as_bytes()]);
        loop {
            let records = self
                .view
                .scan_prefix(KeySpace::Entries, id.as_bytes(), &from, 4096)?;
            let Some((last, _)) = records.last() else {
                break;
            };
            stored_to = sequence_of(last);
            from = key(&[id.as_bytes(), &stored_to.saturating_add(1).to_be_bytes()]);
            for (at, value) in records {
                let entry: EntryRecord = decode(KeySpace::Entries, value)?;
                waiting.add(Item::of_record(&entry));
                if entry.missed
                    && let Ok(group) = GroupId::try_from(&entry.group_id)
                {
                    waiting.marked(group, sequence_of(&at));
                }
            }
        }
        Ok(Some(Mailbox {
            device,
            link: None,
            next: record.reserved.max(1),
            reserved: record.reserved.max(1),
            reserving: record.reserved.max(1),
            acknowledged: record.acknowledged,
            waiting,
            stored_to,
            sent_to: record.acknowledged,
            window: VecDeque::new(),
            window_bytes: 0,
            fresh: VecDeque::new(),
        }))
    }

    /// Puts a post into a mailbox that is in memory, if it has room for it. A mark that
    /// posts are missing always has.
    pub(crate) fn put_in(
        &mut self,
        id: MailboxId,
        post: &Arc<Post>,
        shared: bool,
        held: bool,
    ) -> PutIn {
        let most = self.most_in_a_mailbox();
        let Some(mailbox) = self.mailboxes.get_mut(&id) else {
            return PutIn::Gone;
        };
        let item = Item::of_post(post);
        let is_new = post.kind == pb::PostKind::Welcome;
        let more = Amount {
            posts: 1,
            bytes: item.bytes,
        };
        if !post.missed && !mailbox.waiting.has_room(post.group, more, is_new, most) {
            return PutIn::Full;
        }
        let sequence = mailbox.next;
        mailbox.next += 1;
        mailbox.waiting.add(item);
        if post.missed {
            mailbox.waiting.marked(post.group, sequence);
        }
        let reserved = sequence < mailbox.reserved;
        // A number that the device has seen must not be given out again after a crash.
        let held = held || !reserved;
        mailbox.fresh.push_back(Fresh {
            sequence,
            post: Arc::clone(post),
            shared,
            held,
        });
        self.reserve(id);
        PutIn::Put { sequence, reserved }
    }

    /// What one mailbox holds at most.
    pub(crate) const fn most_in_a_mailbox(&self) -> Amount {
        Amount {
            posts: self.config.mailbox_posts,
            bytes: self.config.mailbox_bytes,
        }
    }

    /// Which group is to be named in a mark in this mailbox, now that a post of `group` had no
    /// room there; `None` where such a mark waits already.
    pub(crate) fn to_mark(&self, id: MailboxId, group: GroupId) -> Option<GroupId> {
        let most = self.most_in_a_mailbox();
        let mailbox = self.mailboxes.get(&id)?;
        let needs = |named| mailbox.waiting.needs_mark(named, mailbox.sent_to, most);
        match needs(group) {
            Some(needed) => needed.then_some(group),
            None => needs(waiting::ANY_GROUP)?.then_some(waiting::ANY_GROUP),
        }
    }

    /// Reserves the next numbers, long before the block ends, so that nobody waits.
    fn reserve(&mut self, id: MailboxId) {
        if let Some(mailbox) = self.mailboxes.get_mut(&id)
            && mailbox.next + BLOCK / 2 > mailbox.reserving
        {
            mailbox.reserving = mailbox.next + BLOCK;
            self.write_mailbox(id);
        }
    }

    pub(crate) fn write_mailbox(&mut self, id: MailboxId) {
        let Some(mailbox) = self.mailboxes.get(&id) else {
            return;
        };
        let record = MailboxRecord {
            device_id: mailbox.device.to_bytes(),
            reserved: mailbox.reserving,
            acknowledged: mailbox.acknowledged,
        };
        self.view
            .put(KeySpace::Mailboxes, key(&[id.as_bytes()]), &record);
        self.reservations.mailbox(id, record.reserved);
    }

    /// Sends what waits, while the window has room.
    pub(crate) fn fill(&mut self, id: MailboxId) {
        loop {
            let Some(mailbox) = self.mailboxes.get(&id) else {
                return;
            };
            let Some(link) = mailbox.link else { return };
            if mailbox.sent_to < mailbox.stored_to {
                match self.fill_from_store(id, link) {
                    Ok(true) => continue,
                    Ok(false) => return,
                    // The device may come again; nothing is lost.
                    Err(_) => {
                        self.effects.push_back(Effect::Close { link });
                        return;
                    }
                }
            }
            self.fill_from_memory(id, link);
            return;
        }
    }

    fn fill_from_memory(&mut self, id: MailboxId, link: LinkId) {
        let Some(mailbox) = self.mailboxes.get_mut(&id) else {
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
            mailbox.window.push_back(Sent {
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
            self.counts.delivered += 1;
            self.send(link, 0, frame);
        }
    }

    /// Gives whether there may be more to send.
    fn fill_from_store(&mut self, id: MailboxId, link: LinkId) -> Result<bool, StoreError> {
        let Some(mailbox) = self.mailboxes.get(&id) else {
            return Ok(false);
        };
        let room = limits::DELIVERY_WINDOW_FRAMES.saturating_sub(mailbox.window.len());
        if room == 0 || mailbox.window_bytes >= limits::DELIVERY_WINDOW_BYTES {
            return Ok(false);
        }
        let from = key(&[
            id.as_bytes(),
            &mailbox.sent_to.saturating_add(1).to_be_bytes(),
        ]);
        let to = key(&[
            id.as_bytes(),
            &mailbox.stored_to.saturating_add(1).to_be_bytes(),
        ]);
        let records = self
            .view
            .scan(KeySpace::Entries, &from, Some(&to), room.min(READ))?;
        if records.is_empty() {
            if let Some(mailbox) = self.mailboxes.get_mut(&id) {
                mailbox.sent_to = mailbox.stored_to;
            }
            return Ok(true);
        }
        for (at, value) in records {
            let sequence = sequence_of(&at);
            let entry: EntryRecord = decode(KeySpace::Entries, value)?;
            let post: Option<PostRecord> =
                self.view.get(KeySpace::Posts, &entry.post.to_be_bytes())?;
            let Some(mailbox) = self.mailboxes.get_mut(&id) else {
                return Ok(false);
            };
            if mailbox.window_bytes >= limits::DELIVERY_WINDOW_BYTES {
                return Ok(false);
            }
            mailbox.sent_to = sequence;
            let Some(post) = post else { continue };
            mailbox.window.push_back(Sent {
                sequence,
                post: entry.post,
                item: Item::of_record(&entry),
                shared: entry.shared,
            });
            mailbox.window_bytes += cast(entry.size);
            self.counts.delivered += 1;
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
            self.send(link, 0, Answer::Deliver(deliver));
        }
        Ok(true)
    }

    /// An entry came onto the disk.
    pub(crate) fn entry_written(&mut self, id: MailboxId, sequence: u64) {
        let Some(mailbox) = self.mailboxes.get_mut(&id) else {
            return;
        };
        mailbox.stored_to = mailbox.stored_to.max(sequence);
        let mut was_held = false;
        while let Some(fresh) = mailbox
            .fresh
            .pop_front_if(|fresh| fresh.sequence <= sequence)
        {
            was_held |= fresh.held;
        }
        if was_held || mailbox.sent_to < sequence {
            self.fill(id);
        }
    }

    pub(crate) fn mailbox_link_closed(&mut self, id: MailboxId, link: LinkId) {
        if let Some(mailbox) = self.mailboxes.get_mut(&id)
            && mailbox.link == Some(link)
        {
            mailbox.link = None;
            mailbox.window.clear();
            mailbox.window_bytes = 0;
            mailbox.sent_to = mailbox.acknowledged;
        }
    }

    /// A batch is on disk, and this reservation with it.
    pub(crate) fn mailbox_reserved(&mut self, id: MailboxId, below: u64) {
        if let Some(mailbox) = self.mailboxes.get_mut(&id) {
            mailbox.reserved = mailbox.reserved.max(below);
        }
    }

    /// A mailbox's device was revoked: what is in memory for it is let go, as if it had
    /// been acknowledged.
    pub(crate) fn drop_mailbox(&mut self, id: MailboxId) {
        let Some(mailbox) = self.mailboxes.remove(&id) else {
            return;
        };
        for fresh in mailbox.fresh {
            self.held_no_more(fresh.post.number, id, fresh.sequence);
        }
    }

    /// An entry expired.
    pub(crate) fn entry_expired(&mut self, id: MailboxId, entry: &EntryRecord) {
        if let Some(mailbox) = self.mailboxes.get_mut(&id) {
            mailbox.waiting.remove(Item::of_record(entry));
        }
    }

    /// Goes back to what is on disk. Devices that are connected come again.
    pub(crate) fn forget_mailboxes(&mut self) {
        let connected = self
            .mailboxes
            .drain()
            .filter_map(|(_, mailbox)| mailbox.link);
        let mut links: Vec<LinkId> = connected.collect();
        // In an order that does not change from run to run.
        links.sort_unstable();
        let close = links.into_iter().map(|link| Effect::Close { link });
        self.effects.extend(close);
    }
}

fn wrong_login() -> Refused {
    Refused::unauthorised("this device cannot log in")
}

fn sequence_of(key: &[u8]) -> u64 {
    key.last_chunk::<8>()
        .map_or(0, |sequence| u64::from_be_bytes(*sequence))
}

fn cast(size: u64) -> usize {
    usize::try_from(size).unwrap_or(usize::MAX)
}
