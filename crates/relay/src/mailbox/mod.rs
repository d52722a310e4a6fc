//! Mailboxes: what waits for a device, in order, and logging in to receive it.
//!
//! **Elsewhere**: [`posts`] says what a post is and when it is written; posts come from
//! [`crate::group`]; [`shares`] limits how much of a mailbox one group can use.
//!
//! **Always**: sequence numbers rise and are never used twice, even across crashes: the relay
//! reserves them on disk in blocks, and a number beyond the reservation waits for the disk. A
//! device gets posts in order, as many as its window has room for. The relay deletes a post
//! once the device has acknowledged it. A damaged post is skipped, and does not keep other
//! posts from the device.

pub(crate) mod counting;
pub(crate) mod deposit;
mod expiry;
pub(crate) mod posts;
pub(crate) mod shares;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, VecDeque},
    hash::{BuildHasher, Hasher},
    sync::Arc,
};

use bytes::Bytes;
use waxwing_protocol::{
    ids::{DeviceId, GroupId, MailboxId},
    limits, pb,
    pb::relay_frame::Body as Answer,
    time::Time,
};

use self::{
    counting::Counting,
    posts::{BatchedPost, Posts, StoredPost},
    shares::{Amount, Item, WaitingPosts},
};
use crate::{
    answer::{Refused, Reply, RequestResult},
    context::Context,
    feature::Feature,
    link::{Link, LinkId, LinkStage},
    pending_view::{PendingView, decode},
    reservation::Reservations,
    store::{
        Key, KeySpace, Record, Store, StoreError, key,
        records::{EntryRecord, HoldersRecord, MailboxRecord, PostRecord},
    },
    sweep::Done,
    sweep::Round,
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

/// All mailboxes, and the posts that wait in them and are not on disk yet.
pub(crate) struct Mailboxes {
    /// Those in memory.
    all: HashMap<MailboxId, Mailbox, OwnIds>,
    /// The same, in the order in which the sweep looks at them.
    in_memory: VecDeque<MailboxId>,
    posts: Posts,
    counting: Counting,
    reservations: Reservations<MailboxId>,
    /// Mailboxes of revoked devices whose records still have to be deleted.
    pub(crate) revoked: BTreeMap<MailboxId, DeviceId>,
    /// Mailboxes whose posts could not be read; reading them is tried again.
    unread: BTreeSet<MailboxId>,
    /// Acknowledged posts that could not be deleted; deleting them is tried again, too.
    undeleted: Vec<(MailboxId, SentPost)>,
    again: Again,
    pub(crate) entries: Round,
    /// How far this sweep has come with the post ids.
    post_ids_from: Key,
}

impl Mailboxes {
    pub(crate) fn open(store: &impl Store) -> Result<Self, StoreError> {
        Ok(Self {
            all: HashMap::default(),
            in_memory: VecDeque::new(),
            posts: Posts::open(store)?,
            counting: Counting::default(),
            reservations: Reservations::default(),
            revoked: BTreeMap::new(),
            unread: BTreeSet::new(),
            undeleted: Vec::new(),
            again: Again::default(),
            entries: Round::default(),
            post_ids_from: Key::new(),
        })
    }

    /// How many are in memory.
    pub(crate) fn len(&self) -> usize {
        self.in_memory.len()
    }

    /// The link on which a mailbox's device is logged in.
    pub(crate) fn link_of(&self, id: MailboxId) -> Option<LinkId> {
        self.all.get(&id)?.link
    }

    /// When the next batch with posts is due; the past, where it is at once.
    pub(crate) fn next_write(&mut self) -> Option<Time> {
        self.posts.next_write()
    }

    /// The posts that are due to be written.
    pub(crate) fn begin_batch(&mut self, now: Time) -> Vec<BatchedPost> {
        self.posts.begin_batch(now)
    }

    /// The posts of the batch that was begun, once more.
    pub(crate) fn batch_again(&self) -> Vec<BatchedPost> {
        self.posts.batch_again()
    }
}

impl<S: Store> Feature<S> for Mailboxes {
    fn link_closed(&mut self, _: &mut Context<S>, link: LinkId, was: &Link) {
        if let LinkStage::LoggedIn { mailbox, .. } = was.stage
            && let Some(mailbox) = self.all.get_mut(&mailbox)
            && mailbox.link == Some(link)
        {
            mailbox.link = None;
            mailbox.window.clear();
            mailbox.window_bytes = 0;
            mailbox.sent_to = mailbox.acknowledged;
        }
    }

    fn batch_taken(&mut self) {
        self.reservations.batch_taken();
    }

    fn batch_written(&mut self, _: &mut Context<S>) {
        for (id, below) in self.reservations.batch_written() {
            if let Some(mailbox) = self.all.get_mut(&id) {
                mailbox.reserved = mailbox.reserved.max(below);
            }
        }
    }

    fn forget_unwritten(&mut self, context: &mut Context<S>) {
        self.reservations.clear();
        for asked in self.posts.forget() {
            let refused = Refused::unavailable();
            context.send(asked.link, asked.request, Answer::Error(refused.0));
        }
        self.in_memory.clear();
        // A device that acknowledged posts that are still here does so again.
        self.undeleted.clear();
        self.unread.clear();
        self.again = Again::default();
        // Devices that are connected open another link.
        let connected = self.all.drain().filter_map(|(_, mailbox)| mailbox.link);
        let mut links: Vec<LinkId> = connected.collect();
        // In an order that does not change from run to run.
        links.sort_unstable();
        for link in links {
            context.close(link);
        }
    }

    fn sweep_begins(&mut self) {
        self.post_ids_from.clear();
        // What could not be read is tried once more in this sweep.
        self.again.undeleted.append(&mut self.undeleted);
        self.again.unread.append(&mut self.unread);
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

impl Mailboxes {
    /// A mailbox's device is there on this link, which replaces the one before; returns what
    /// the device has acknowledged, or `None` if the mailbox is not that device's.
    pub(crate) fn connect(
        &mut self,
        context: &mut Context<impl Store>,
        id: MailboxId,
        device: DeviceId,
        link: LinkId,
    ) -> Result<Option<u64>, StoreError> {
        let mailbox = self.mailbox(context, id)?;
        let Some(mailbox) = mailbox.filter(|mailbox| mailbox.device == device) else {
            return Ok(None);
        };
        let acknowledged = mailbox.acknowledged;
        let replaced = mailbox.link.replace(link);
        mailbox.window.clear();
        mailbox.window_bytes = 0;
        mailbox.sent_to = acknowledged;
        if let Some(replaced) = replaced {
            context.close(replaced);
        }
        Ok(Some(acknowledged))
    }

    /// The device was told that it is logged in: it gets what waits.
    pub(crate) fn begin_delivery(&mut self, context: &mut Context<impl Store>, id: MailboxId) {
        if context.has_space() {
            self.reserve(context, id);
        }
        self.fill(context, id);
    }

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

    /// Removes an entry, and the post with the last of its entries.
    pub(crate) fn delete_entry(
        &mut self,
        context: &mut Context<impl Store>,
        mailbox: MailboxId,
        sequence: u64,
        post: u64,
        shared: bool,
    ) -> Result<(), StoreError> {
        if !self.all.contains_key(&mailbox) {
            self.counting.deleted += 1;
        }
        let at = key(&[&post.to_be_bytes()]);
        let holders: Result<Option<HoldersRecord>, StoreError> = if shared {
            context.view.get(KeySpace::Holders, &at)
        } else {
            Ok(None)
        };
        let entry = key(&[mailbox.as_bytes(), &sequence.to_be_bytes()]);
        let holders = match holders {
            // Nobody knows who else holds it: it stays, for them.
            Err(StoreError::Damaged(_)) => {
                context.view.note_damage(KeySpace::Holders, &at);
                context.view.delete(KeySpace::Entries, entry);
                return Ok(());
            }
            holders => holders?,
        };
        context.view.delete(KeySpace::Entries, entry);
        match holders {
            Some(HoldersRecord { mailboxes }) if mailboxes > 1 => {
                let record = HoldersRecord {
                    mailboxes: mailboxes - 1,
                };
                context.view.put(KeySpace::Holders, at, &record);
            }
            _ => {
                if shared {
                    context.view.delete(KeySpace::Holders, at.clone());
                }
                context.view.delete(KeySpace::Posts, at);
            }
        }
        Ok(())
    }

    /// The mailbox, from memory or the store.
    pub(crate) fn mailbox(
        &mut self,
        context: &mut Context<impl Store>,
        id: MailboxId,
    ) -> Result<Option<&mut Mailbox>, StoreError> {
        if self.revoked.contains_key(&id) {
            return Ok(None);
        }
        if !self.all.contains_key(&id) {
            if self.counting.is_gone(id) {
                return Ok(None);
            }
            let Some(loaded) = Self::load_mailbox(&context.view, id)? else {
                self.counting.note_gone(id);
                return Ok(None);
            };
            self.take_loaded(context, id, loaded);
        }
        Ok(self.all.get_mut(&id))
    }

    pub(super) fn load_mailbox(
        view: &PendingView<impl Store>,
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

    fn take_loaded(&mut self, context: &mut Context<impl Store>, id: MailboxId, loaded: Loaded) {
        for at in &loaded.damaged {
            context.view.note_damage(KeySpace::Entries, at);
        }
        self.counting.loaded += 1;
        self.all.insert(id, loaded.mailbox);
        self.in_memory.push_back(id);
    }

    /// Puts a post into a mailbox that is in memory, if it has room for it. A mark that
    /// posts are missing always has.
    pub(crate) fn put_in(
        &mut self,
        context: &mut Context<impl Store>,
        id: MailboxId,
        post: &Arc<StoredPost>,
        shared: bool,
        held: bool,
    ) -> PutIn {
        let most = Self::most_in_a_mailbox(context);
        let Some(mailbox) = self.all.get_mut(&id) else {
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
            self.reserve(context, id);
        }
        PutIn::Put {
            sequence,
            is_reserved: reserved,
            is_there,
        }
    }

    /// What one mailbox holds at most.
    pub(crate) const fn most_in_a_mailbox(context: &Context<impl Store>) -> Amount {
        Amount {
            posts: context.config.mailbox_posts,
            bytes: context.config.mailbox_bytes,
        }
    }

    /// Which group is to be named in a mark in this mailbox, now that a post of `group` had no
    /// room there; `None` where such a mark waits already.
    pub(crate) fn to_mark(
        &self,
        context: &Context<impl Store>,
        id: MailboxId,
        group: GroupId,
    ) -> Option<GroupId> {
        let most = Self::most_in_a_mailbox(context);
        let mailbox = self.all.get(&id)?;
        let needs = |named| mailbox.waiting.needs_mark(named, mailbox.sent_to, most);
        match needs(group) {
            Some(needed) => needed.then_some(group),
            None => needs(shares::ANY_GROUP)?.then_some(shares::ANY_GROUP),
        }
    }

    /// Reserves the next numbers, long before the block ends, so that nobody waits.
    fn reserve(&mut self, context: &mut Context<impl Store>, id: MailboxId) {
        if let Some(mailbox) = self.all.get_mut(&id)
            && mailbox.next + BLOCK / 2 > mailbox.reserving
        {
            mailbox.reserving = mailbox.next + BLOCK;
            self.write_mailbox(context, id);
        }
    }

    pub(crate) fn write_mailbox(&mut self, context: &mut Context<impl Store>, id: MailboxId) {
        let Some(mailbox) = self.all.get(&id) else {
            return;
        };
        let record = MailboxRecord {
            device_id: mailbox.device.to_bytes(),
            reserved: mailbox.reserving,
            acknowledged: mailbox.acknowledged,
        };
        context
            .view
            .put(KeySpace::Mailboxes, key(&[id.as_bytes()]), &record);
        self.reservations.add(id, record.reserved);
    }

    /// Sends what waits, while the window has room.
    pub(crate) fn fill(&mut self, context: &mut Context<impl Store>, id: MailboxId) {
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

    fn fill_from_memory(&mut self, context: &mut Context<impl Store>, id: MailboxId, link: LinkId) {
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

    /// A post that was put in is refused after all, and never comes onto the disk.
    pub(crate) fn take_back(&mut self, id: MailboxId, sequence: u64, item: Item) {
        let Some(mailbox) = self.all.get_mut(&id) else {
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
    pub(crate) fn entry_written(
        &mut self,
        context: &mut Context<impl Store>,
        id: MailboxId,
        sequence: u64,
    ) {
        let Some(mailbox) = self.all.get_mut(&id) else {
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
            self.fill_from_memory(context, id, link);
        }
        let Some(mailbox) = self.all.get_mut(&id) else {
            return;
        };
        mailbox.stored_to = mailbox.stored_to.max(sequence);
        while mailbox
            .fresh
            .pop_front_if(|fresh| fresh.sequence <= sequence)
            .is_some()
        {}
        if mailbox.sent_to < sequence {
            self.fill(context, id);
        }
    }

    /// A mailbox's device was revoked: what is in memory for it is let go, as if it had
    /// been acknowledged.
    pub(crate) fn drop_mailbox(&mut self, context: &mut Context<impl Store>, id: MailboxId) {
        let Some(mailbox) = self.all.remove(&id) else {
            return;
        };
        for fresh in mailbox.fresh {
            self.release(context, fresh.post.number, id, fresh.sequence);
        }
    }

    /// An entry expired.
    pub(crate) fn entry_expired(&mut self, id: MailboxId, entry: &EntryRecord) {
        if let Some(mailbox) = self.all.get_mut(&id) {
            mailbox.waiting.remove(Item::of_record(entry));
        }
    }
}

fn sequence_of(key: &[u8]) -> u64 {
    key.last_chunk::<8>()
        .map_or(0, |sequence| u64::from_be_bytes(*sequence))
}

fn cast(size: u64) -> usize {
    usize::try_from(size).unwrap_or(usize::MAX)
}
