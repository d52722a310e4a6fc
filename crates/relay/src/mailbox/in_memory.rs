//! One mailbox in memory, and how it is read from the store.
//!
//! **Elsewhere**: [`super::delivery`] sends what is in it; [`super::counting`] reads it without
//! the relay's lock.
//!
//! **Always**: what is fresh (not known to be on disk) is behind everything that is on disk.

use std::{collections::VecDeque, sync::Arc};

use waxwing_protocol::ids::{DeviceId, GroupId, MailboxId};

use super::{
    posts::StoredPost,
    shares::{Amount, Item, WaitingPosts},
};
use crate::{
    link::LinkId,
    pending_view::{PendingView, decode},
    store::{
        Key, KeySpace, Store, StoreError, key,
        records::{EntryRecord, MailboxRecord},
    },
};

/// A mailbox as the store has it.
pub(super) struct Loaded {
    pub(super) mailbox: Mailbox,
    /// Entries that are not as they were written.
    pub(super) damaged: Vec<Key>,
}

/// A mailbox in memory.
pub(super) struct Mailbox {
    pub(super) device: DeviceId,
    pub(super) link: Option<LinkId>,
    /// The next number to give out.
    pub(super) next: u64,
    /// Below this, numbers are reserved on disk; and will be, once what is gathered is.
    pub(super) reserved: u64,
    pub(super) reserving: u64,
    pub(super) acknowledged: u64,
    pub(super) waiting: WaitingPosts,
    /// The highest number that is on disk.
    pub(super) stored_to: u64,
    /// The highest number that the link was sent.
    pub(super) sent_to: u64,
    /// What the link was sent and has not acknowledged.
    pub(super) window: VecDeque<SentPost>,
    pub(super) window_bytes: usize,
    /// Not known to be on disk; always behind what is.
    pub(super) fresh: VecDeque<Fresh>,
    /// How often the next post could not be read.
    pub(super) tries: u8,
}

/// A post that a link was sent.
pub(super) struct SentPost {
    pub(super) sequence: u64,
    pub(super) post: u64,
    pub(super) item: Item,
    pub(super) shared: bool,
}

pub(super) struct Fresh {
    pub(super) sequence: u64,
    pub(super) post: Arc<StoredPost>,
    pub(super) shared: bool,
    /// Not to be sent before it is on disk: it changes the group, or its number is not
    /// reserved yet.
    pub(super) held: bool,
}

impl Mailbox {
    /// Reads a mailbox from the store.
    pub(super) fn load(
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

pub(super) fn sequence_of(key: &[u8]) -> u64 {
    key.last_chunk::<8>()
        .map_or(0, |sequence| u64::from_be_bytes(*sequence))
}
