//! Mailboxes: what waits for each device, in order.
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
mod delivery;
pub(crate) mod deposit;
mod expiry;
mod in_memory;
pub(crate) mod posts;
pub(crate) mod shares;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, VecDeque},
    sync::Arc,
};

use waxwing_protocol::{
    ids::{DeviceId, GroupId, MailboxId},
    pb,
    pb::relay_frame::Body as Answer,
};

use self::{
    counting::Counting,
    delivery::Again,
    in_memory::{Fresh, Loaded, Mailbox, SentPost},
    posts::{Posts, StoredPost},
    shares::{Amount, Item},
};
use crate::{
    answer::Refused,
    context::Context,
    feature::Feature,
    link::{Link, LinkId, LinkStage},
    own_ids::OwnIds,
    reservation::Reservations,
    store::{
        Key, KeySpace, Store, StoreError, key,
        records::{EntryRecord, HoldersRecord, MailboxRecord},
    },
    sweep::Round,
};

/// Numbers that are reserved at a time.
const BLOCK: u64 = 1024;

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
    fn mailbox(
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
            let Some(loaded) = Mailbox::load(&context.view, id)? else {
                self.counting.note_gone(id);
                return Ok(None);
            };
            self.take_loaded(context, id, loaded);
        }
        Ok(self.all.get_mut(&id))
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
