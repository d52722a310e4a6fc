//! Mailboxes: what waits for a device, in order, and logging in to receive it.
//!
//! **Elsewhere**: [`crate::posts`] says what a post is and when it is written; posts come from
//! [`crate::group`]; [`shares`] limits how much of a mailbox one group can use.
//!
//! **Always**: sequence numbers rise and are never used twice, even across crashes: the relay
//! reserves them on disk in blocks, and a number beyond the reservation waits for the disk. A
//! device gets posts in order, as many as its window has room for. The relay deletes a post
//! once the device has acknowledged it. A damaged post is skipped, and does not keep other
//! posts from the device.

pub(crate) mod counting;
pub(crate) mod shares;

use std::{
    collections::{BTreeSet, VecDeque},
    hash::{BuildHasher, Hasher},
    sync::Arc,
};

use bytes::Bytes;
use waxwing_protocol::{
    ids::{AccountId, DeviceId, GroupId, MailboxId},
    limits, pb,
    pb::relay_frame::Body as Answer,
    signature::login_message,
    time::Time,
};

use self::shares::{Amount, Item, WaitingPosts};
use crate::{
    answer::{Refused, Reply, RequestResult},
    cost,
    effect::Effect,
    link::{LinkId, LinkStage},
    pending_view::{PendingView, decode},
    posts::StoredPost,
    relay::Relay,
    store::{
        Key, KeySpace, Record, Store, StoreError, key,
        records::{DeviceRecord, EntryRecord, HoldersRecord, MailboxRecord, PostRecord},
    },
    sweep::Done,
    verification::{Check, CheckResult, DeviceIdentity},
};

/// Numbers that are reserved at a time.
const BLOCK: u64 = 1024;
/// Entries that are read from the store at a time.
const READ: usize = 128;
/// Numbers that are tried one by one at a time, where entries cannot be read.
const TRIED: u64 = 1024;
/// How often a post is tried to be read, once a second, before it is left out.
const TRIES: u8 = 10;

/// Hashes ids that this relay has drawn, and that are uniform: nobody else can choose one that
/// is in use.
#[derive(Clone, Copy, Default)]
pub(crate) struct OwnIds;

/// See [`OwnIds`].
#[derive(Default)]
pub(crate) struct OwnIdHasher(u64);

impl BuildHasher for OwnIds {
    type Hasher = OwnIdHasher;

    fn build_hasher(&self) -> OwnIdHasher {
        OwnIdHasher::default()
    }
}

impl Hasher for OwnIdHasher {
    fn write(&mut self, bytes: &[u8]) {
        for half in bytes.as_chunks::<8>().0 {
            let mixed = u128::from(self.0 ^ u64::from_ne_bytes(*half)) * ODD;
            self.0 = fold(mixed);
        }
    }

    // The length of the id.
    fn write_usize(&mut self, _: usize) {}

    fn finish(&self) -> u64 {
        self.0
    }
}

/// Spreads what differs in any bit over all of them.
const ODD: u128 = 0x9e37_79b9_7f4a_7c15;

#[allow(clippy::cast_possible_truncation, reason = "both halves are used")]
const fn fold(wide: u128) -> u64 {
    (wide as u64) ^ ((wide >> 64) as u64)
}

/// A mailbox as the store has it.
pub(crate) struct Loaded {
    mailbox: Mailbox,
    /// Entries that are not as they were written.
    damaged: Vec<Key>,
}

/// What is tried again in a sweep, since the store could not be read.
#[derive(Default)]
pub(crate) struct Again {
    undeleted: Vec<(MailboxId, SentPost)>,
    unread: BTreeSet<MailboxId>,
}

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
    waiting: WaitingPosts,
    /// The highest number that is on disk.
    stored_to: u64,
    /// The highest number that the link was sent.
    sent_to: u64,
    /// What the link was sent and has not acknowledged.
    window: VecDeque<SentPost>,
    window_bytes: usize,
    /// Not known to be on disk; always behind what is.
    fresh: VecDeque<Fresh>,
    /// How often the next post could not be read.
    tries: u8,
}

/// A post that a link was sent.
pub(crate) struct SentPost {
    sequence: u64,
    post: u64,
    item: Item,
    shared: bool,
}

struct Fresh {
    sequence: u64,
    post: Arc<StoredPost>,
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
    /// It has this number.
    Put {
        sequence: u64,
        /// Whether the number is reserved on disk.
        is_reserved: bool,
        /// Whether the device is there.
        is_there: bool,
    },
    /// It has no room there.
    Full,
    /// The mailbox does not exist.
    Gone,
}

impl<S: Store> Relay<S> {
    /// What a login has to be verified by: cheap, and nothing where it is refused anyway.
    pub(crate) fn login_to_verify(
        &mut self,
        now: Time,
        link: LinkId,
        login: &pb::Login,
    ) -> Result<Check, Refused> {
        let (device, record) = self.login_of(link, login)?;
        let identity = if record.identity.is_empty() {
            let account =
                AccountId::try_from(&record.account_id).map_err(|_| Refused::unavailable())?;
            let statements = self.statements(account)?.ok_or_else(wrong_login)?;
            self.context
                .charge(now, link, cost::of_roster(statements.len()))?;
            DeviceIdentity::Roster(statements)
        } else {
            DeviceIdentity::Key(record.identity)
        };
        let state = self.context.links.of_request(link)?;
        Ok(Check::Login {
            device,
            identity,
            message: login_message(&state.exporter, &state.challenge, device),
        })
    }

    /// The device that logs in, if this link and this device may.
    fn login_of(
        &self,
        link: LinkId,
        login: &pb::Login,
    ) -> Result<(DeviceId, DeviceRecord), Refused> {
        let state = self.context.links.of_request(link)?;
        if !matches!(state.stage, LinkStage::Open) {
            return Err(Refused::malformed("the link is logged in"));
        }
        if self
            .posting
            .get(&link)
            .is_some_and(|posting| !posting.is_empty())
        {
            return Err(Refused::new(
                pb::ErrorCode::WrongLink,
                "a link that posts cannot log in",
            ));
        }
        if self.rendezvouses.place_of(link).is_some() {
            return Err(Refused::new(
                pb::ErrorCode::WrongLink,
                "a link that is at a rendezvous cannot log in",
            ));
        }
        let device = DeviceId::try_from(&login.device_id).map_err(|_| wrong_login())?;
        let record: DeviceRecord = self
            .context
            .view
            .get(KeySpace::Devices, device.as_bytes())?
            .ok_or_else(wrong_login)?;
        // A device has its record for as long as its account's roster has it; then this mark,
        // until the record is deleted.
        let is_revoked = self
            .context
            .view
            .get_bytes(KeySpace::Revoked, device.as_bytes())?
            .is_some();
        if is_revoked {
            return Err(wrong_login());
        }
        Ok((device, record))
    }

    /// Logs a device in whose signature was verified.
    pub(crate) fn login(
        &mut self,
        link: LinkId,
        request: u32,
        login: &pb::Login,
        found: CheckResult,
    ) -> RequestResult {
        let (device, record) = self.login_of(link, login)?;
        let CheckResult::Login {
            new_key,
            key_packages_left,
        } = found
        else {
            return Err(Refused::unavailable());
        };
        let account =
            AccountId::try_from(&record.account_id).map_err(|_| Refused::unavailable())?;
        let mailbox =
            MailboxId::try_from(&record.mailbox_id).map_err(|_| Refused::unavailable())?;
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
            self.context.close(replaced);
        }
        self.context.links.log_in(link, account, device, mailbox);
        if let Some(identity) = new_key {
            let record = DeviceRecord { identity, ..record };
            let at = key(&[device.as_bytes()]);
            self.context.view.put(KeySpace::Devices, at, &record);
        }
        self.context.send(
            link,
            request,
            Answer::LoggedIn(pb::LoggedIn {
                mailbox_id: mailbox.to_bytes(),
                acknowledged,
                key_packages_left,
                last_resort,
            }),
        );
        if self.context.has_space() {
            self.reserve(mailbox);
        }
        self.fill(mailbox);
        Ok(Reply::Later)
    }

    /// A client that is honest does not fail twice.
    pub(crate) fn login_failed(&mut self, link: LinkId) {
        let most = self.context.config.failed_logins_per_link;
        if let Some(state) = self.context.links.get_mut(link) {
            state.failed_logins = state.failed_logins.saturating_add(1);
            if state.failed_logins >= most {
                self.context.close(link);
            }
        }
    }

    pub(crate) fn acknowledge(&mut self, link: LinkId, sequence: u64) -> RequestResult {
        let LinkStage::LoggedIn { mailbox: id, .. } = self.context.links.of_request(link)?.stage
        else {
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
        self.context.costs.spend_time(gone.len() / 8);
        for sent in gone {
            self.context.counts.acknowledged += 1;
            if sent.sequence <= stored_to {
                on_disk = true;
                self.delete_sent(id, sent);
            } else {
                self.release(sent.post, id, sent.sequence);
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
        if !self.mailboxes.contains_key(&mailbox) {
            self.counting.deleted += 1;
        }
        let at = key(&[&post.to_be_bytes()]);
        let holders: Result<Option<HoldersRecord>, StoreError> = if shared {
            self.context.view.get(KeySpace::Holders, &at)
        } else {
            Ok(None)
        };
        let entry = key(&[mailbox.as_bytes(), &sequence.to_be_bytes()]);
        let holders = match holders {
            // Nobody knows who else holds it: it stays, for them.
            Err(StoreError::Damaged(_)) => {
                self.context.view.note_damage(KeySpace::Holders, &at);
                self.context.view.delete(KeySpace::Entries, entry);
                return Ok(());
            }
            holders => holders?,
        };
        self.context.view.delete(KeySpace::Entries, entry);
        match holders {
            Some(HoldersRecord { mailboxes }) if mailboxes > 1 => {
                let record = HoldersRecord {
                    mailboxes: mailboxes - 1,
                };
                self.context.view.put(KeySpace::Holders, at, &record);
            }
            _ => {
                if shared {
                    self.context.view.delete(KeySpace::Holders, at.clone());
                }
                self.context.view.delete(KeySpace::Posts, at);
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
            if self.counting.is_gone(id) {
                return Ok(None);
            }
            let Some(loaded) = Self::load_mailbox(&self.context.view, id)? else {
                self.counting.note_gone(id);
                return Ok(None);
            };
            self.take_loaded(id, loaded);
        }
        Ok(self.mailboxes.get_mut(&id))
    }

    pub(super) fn load_mailbox(
        view: &PendingView<S>,
        id: MailboxId,
    ) -> Result<Option<Loaded>, StoreError> {
        let mut damaged = Vec::new();
        let Some(record) = view.get::<MailboxRecord>(KeySpace::Mailboxes, id.as_bytes())? else {
            return Ok(None);
        };
        let device = DeviceId::try_from(&record.device_id)
            .map_err(|error| StoreError::Damaged(error.to_string()))?;
        let mut waiting = WaitingPosts::default();
        let mut stored_to = 0;
        let mut from = key(&[id.as_bytes()]);
        loop {
            let records = match view.scan_prefix(KeySpace::Entries, id.as_bytes(), &from, 4096) {
                Err(StoreError::Damaged(_)) => {
                    // What can be read of them is found when it is sent.
                    damaged.push(key(&[id.as_bytes()]));
                    stored_to = record.reserved.saturating_sub(1);
                    break;
                }
                records => records?,
            };
            let Some((last, _)) = records.last() else {
                break;
            };
            stored_to = sequence_of(last);
            from = key(&[id.as_bytes(), &stored_to.saturating_add(1).to_be_bytes()]);
            for (at, value) in records {
                let Ok(entry) = decode::<EntryRecord>(KeySpace::Entries, value) else {
                    damaged.push(key(&[&at]));
                    continue;
                };
                waiting.add(Item::of_record(&entry));
                if entry.missed
                    && let Ok(group) = GroupId::try_from(&entry.group_id)
                {
                    waiting.marked(group, sequence_of(&at));
                }
            }
        }
        let mailbox = Mailbox {
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
            // It is about to be used; the first one of thousands would be made under the lock.
            fresh: VecDeque::with_capacity(2),
            tries: 0,
        };
        Ok(Some(Loaded { mailbox, damaged }))
    }

    fn take_loaded(&mut self, id: MailboxId, loaded: Loaded) {
        for at in &loaded.damaged {
            self.context.view.note_damage(KeySpace::Entries, at);
        }
        self.counting.loaded += 1;
        self.mailboxes.insert(id, loaded.mailbox);
        self.mailboxes_in_memory.push_back(id);
    }

    /// Puts a post into a mailbox that is in memory, if it has room for it. A mark that
    /// posts are missing always has.
    pub(crate) fn put_in(
        &mut self,
        id: MailboxId,
        post: &Arc<StoredPost>,
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
        let is_there = mailbox.link.is_some();
        if mailbox.next + BLOCK / 2 > mailbox.reserving {
            self.reserve(id);
        }
        PutIn::Put {
            sequence,
            is_reserved: reserved,
            is_there,
        }
    }

    /// What one mailbox holds at most.
    pub(crate) const fn most_in_a_mailbox(&self) -> Amount {
        Amount {
            posts: self.context.config.mailbox_posts,
            bytes: self.context.config.mailbox_bytes,
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
            None => needs(shares::ANY_GROUP)?.then_some(shares::ANY_GROUP),
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
        self.context
            .view
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
                    // Nothing is lost, and it is nobody's fault who is connected.
                    Err(_) => {
                        self.unread.insert(id);
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
            self.context.counts.delivered += 1;
            self.context.send(link, 0, frame);
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
        let (from, to) = (mailbox.sent_to.saturating_add(1), mailbox.stored_to);
        let (records, read_to) = match self.entries(id, from, to, room.min(READ)) {
            Err(error) => {
                // That is no post's fault.
                if let Some(mailbox) = self.mailboxes.get_mut(&id) {
                    mailbox.tries = 0;
                }
                return Err(error);
            }
            entries => entries?,
        };
        self.context.costs.spend_time(records.len());
        for (at, value) in records {
            let sequence = sequence_of(&at);
            let entry: Option<EntryRecord> = self.context.view.sound(KeySpace::Entries, &at, value);
            let post = match &entry {
                Some(entry) => self.stored_post(id, sequence, entry)?,
                None => None,
            };
            let Some(mailbox) = self.mailboxes.get_mut(&id) else {
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
            self.context.counts.delivered += 1;
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
            self.context.send(link, 0, Answer::Deliver(deliver));
        }
        if let Some(mailbox) = self.mailboxes.get_mut(&id) {
            mailbox.sent_to = mailbox.sent_to.max(read_to);
        }
        Ok(true)
    }

    /// Some entries from one number to another, and up to where that is all of them.
    fn entries(
        &mut self,
        id: MailboxId,
        from: u64,
        to: u64,
        limit: usize,
    ) -> Result<(Vec<Record>, u64), StoreError> {
        let at = |sequence: u64| key(&[id.as_bytes(), &sequence.to_be_bytes()]);
        let end = at(to.saturating_add(1));
        let read = self
            .context
            .view
            .scan(KeySpace::Entries, &at(from), Some(&end), limit);
        let records = match read {
            Err(StoreError::Damaged(_)) => return self.entries_one_by_one(id, from, to, limit),
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
        &mut self,
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
            match self.context.view.get_bytes(KeySpace::Entries, &at) {
                Ok(Some(value)) => records.push((Bytes::copy_from_slice(&at), value)),
                Ok(None) => {}
                Err(StoreError::Damaged(_)) => {
                    self.context.view.note_damage(KeySpace::Entries, &at)
                }
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
        id: MailboxId,
        sequence: u64,
        entry: &EntryRecord,
    ) -> Result<Option<PostRecord>, StoreError> {
        let at = entry.post.to_be_bytes();
        match self.context.view.get(KeySpace::Posts, &at) {
            Ok(Some(post)) => return Ok(Some(post)),
            Ok(None) | Err(StoreError::Damaged(_)) => {
                self.context.view.note_damage(KeySpace::Posts, &at);
                self.delete_entry(id, sequence, entry.post, entry.shared)?;
                self.entry_expired(id, entry);
            }
            Err(error) => {
                let tries = self.mailboxes.get(&id).map_or(0, |mailbox| mailbox.tries);
                if tries < TRIES {
                    return Err(error);
                }
                // It stays on the disk, where somebody may find it.
                self.context.view.note_damage(KeySpace::Posts, &at);
            }
        }
        Ok(None)
    }

    /// Deletes what a device has acknowledged; later, where the store cannot be read now.
    fn delete_sent(&mut self, id: MailboxId, sent: SentPost) {
        let deleted = self.delete_entry(id, sent.sequence, sent.post, sent.shared);
        if deleted.is_err() {
            self.undeleted.push((id, sent));
        }
    }

    /// What could not be read is tried once more in this sweep.
    pub(crate) fn begin_again(&mut self) {
        let again = &mut self.again;
        again.undeleted.append(&mut self.undeleted);
        again.unread.append(&mut self.unread);
    }

    /// Tries again to send, and to delete, some of what could not be read.
    pub(crate) fn read_again(&mut self, most: usize) -> Done {
        let mut touched = 0;
        while touched < most {
            touched += 1;
            if let Some((id, sent)) = self.again.undeleted.pop() {
                self.delete_sent(id, sent);
                continue;
            }
            let Some(id) = self.again.unread.pop_first() else {
                return Done::all(touched);
            };
            if let Some(mailbox) = self.mailboxes.get_mut(&id) {
                mailbox.tries = mailbox.tries.saturating_add(1);
            }
            let before = self.context.counts.delivered;
            self.fill(id);
            touched += cast(self.context.counts.delivered - before);
        }
        Done::some(touched)
    }

    /// A post that was put in is refused after all, and never comes onto the disk.
    pub(crate) fn take_back(&mut self, id: MailboxId, sequence: u64, item: Item) {
        let Some(mailbox) = self.mailboxes.get_mut(&id) else {
            return;
        };
        mailbox.waiting.remove(item);
        mailbox.fresh.retain(|fresh| fresh.sequence != sequence);
        let sent = mailbox.window.len();
        mailbox.window.retain(|sent| sent.sequence != sequence);
        if mailbox.window.len() < sent {
            let size = usize::try_from(item.bytes).unwrap_or(usize::MAX);
            mailbox.window_bytes = mailbox.window_bytes.saturating_sub(size);
        }
    }

    /// An entry came onto the disk.
    pub(crate) fn entry_written(&mut self, id: MailboxId, sequence: u64) {
        let Some(mailbox) = self.mailboxes.get_mut(&id) else {
            return;
        };
        // What was held is sent from memory, if nothing in front of it has to be read.
        if mailbox.sent_to < sequence
            && mailbox.sent_to >= mailbox.stored_to
            && let Some(link) = mailbox.link
        {
            for fresh in &mut mailbox.fresh {
                if fresh.sequence > sequence {
                    break;
                }
                fresh.held = false;
            }
            self.fill_from_memory(id, link);
        }
        let Some(mailbox) = self.mailboxes.get_mut(&id) else {
            return;
        };
        mailbox.stored_to = mailbox.stored_to.max(sequence);
        while mailbox
            .fresh
            .pop_front_if(|fresh| fresh.sequence <= sequence)
            .is_some()
        {}
        if mailbox.sent_to < sequence {
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
            self.release(fresh.post.number, id, fresh.sequence);
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
        self.mailboxes_in_memory.clear();
        // A device that acknowledged posts that are still here does so again.
        self.undeleted.clear();
        self.unread.clear();
        self.again = Again::default();
        let connected = self
            .mailboxes
            .drain()
            .filter_map(|(_, mailbox)| mailbox.link);
        let mut links: Vec<LinkId> = connected.collect();
        // In an order that does not change from run to run.
        links.sort_unstable();
        let close = links.into_iter().map(|link| Effect::Close { link });
        self.context.effects.extend(close);
    }
}

pub(crate) fn wrong_login() -> Refused {
    Refused::unauthorised("this device cannot log in")
}

fn sequence_of(key: &[u8]) -> u64 {
    key.last_chunk::<8>()
        .map_or(0, |sequence| u64::from_be_bytes(*sequence))
}

fn cast(size: u64) -> usize {
    usize::try_from(size).unwrap_or(usize::MAX)
}
