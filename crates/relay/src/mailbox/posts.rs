//! Posts on their way: accepted, but not on disk yet.
//!
//! **Elsewhere**: [`crate::group`] decides where posts go, [`crate::mailbox`] delivers them to
//! devices.
//!
//! A post that is being sent on links of all its recipients is left out of batches for
//! [`MAY_WAIT`]: by then most are acknowledged, and never touch the disk. Its sender gets no
//! earlier answer because of this: the relay answers when all recipients have the post, or
//! when it is written. All other posts go into the next batch.
//!
//! **Always**: a post's body is held once, however many mailboxes it waits in. A post that
//! every recipient acknowledged before a batch took it is never written. What waits in one
//! mailbox is written in the order of its sequence numbers.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

use bytes::Bytes;
use prost::Message as _;
use smallvec::SmallVec;
use waxwing_protocol::{
    ids::{GroupId, MailboxId, PostId},
    pb::{self, relay_frame::Body as Answer},
    time::{Span, Time},
};

use super::{Mailboxes, shares::Item};
use crate::{
    answer::Refused,
    context::Context,
    link::RequestRef,
    own_ids::OwnIds,
    store::{
        KeySpace, Store, StoreError, Write, key,
        records::{EntryRecord, HoldersRecord, PostRecord, PostedRecord},
    },
};

/// Post ids that are remembered in memory: enough for what a client repeats at once.
const RECENT: usize = 1 << 16;
/// Post ids are kept on disk by day: today's, and those of so many days before.
pub(crate) const POST_ID_DAYS: u64 = 2;

/// Bytes that a post takes in each mailbox that it is put into, and by itself: small ones to
/// many are more than their bodies.
const PLACE_BYTES: usize = 96;

/// For so long a post that is being delivered everywhere is not written. Longer than most
/// devices take to acknowledge, and shorter than its sender would notice, if one does not.
pub(crate) const MAY_WAIT: Span = Span(250);

/// Whether what is to be written at that time is due. So is what would have to wait longer
/// than anything may: the clock was set back.
pub(crate) fn is_due(write_at: Time, now: Time) -> bool {
    write_at <= now || write_at.since(now) > MAY_WAIT
}

/// A post as it is delivered.
pub(crate) struct StoredPost {
    pub(crate) number: u64,
    pub(crate) group: GroupId,
    pub(crate) group_sequence: u64,
    pub(crate) kind: pb::PostKind,
    pub(crate) epoch: u64,
    pub(crate) id: PostId,
    /// The date.
    pub(crate) received_at: Time,
    pub(crate) body: Bytes,
    /// It says that posts of its group had no room in the mailboxes that hold it.
    pub(crate) missed: bool,
}

impl StoredPost {
    pub(crate) fn deliver(&self, sequence: u64) -> Answer {
        Answer::Deliver(pb::Deliver {
            sequence,
            group_id: self.group.to_bytes(),
            group_sequence: self.group_sequence,
            kind: self.kind.into(),
            epoch: self.epoch,
            post_id: self.id.to_bytes(),
            body: self.body.clone(),
            received_at_ms: self.received_at.0,
            missed: self.missed,
        })
    }
}

type PostHolders = SmallVec<[(MailboxId, u64); 2]>;

struct PendingPost {
    post: Arc<StoredPost>,
    /// Mailboxes that have not acknowledged it.
    holders: PostHolders,
    /// Those that acknowledged it while it was being written: their entries are deleted
    /// when it is on disk.
    acknowledged: PostHolders,
    /// How many mailboxes the batch holds it for.
    written_for: usize,
    /// What it takes in memory: its body, and a place in each mailbox.
    bytes: usize,
    /// Who waits for its answer.
    asked: SmallVec<[RequestRef; 1]>,
    answer: pb::Posted,
    writing: bool,
    /// Who asked was told that it is not stored. It will be, and who asks again waits.
    refused: bool,
    /// Whether it may be answered before it is written.
    shortcut: bool,
    /// From then on it goes into the next batch.
    write_at: Time,
}

/// What may happen to a post before it is on disk.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum May {
    /// Its sender may be answered when every recipient has it, and it may wait for that:
    /// it is on its way to all of them.
    Wait,
    /// Its sender may be answered when every recipient has it.
    BeAnswered,
    /// Nothing.
    Neither,
}

/// A post of a batch.
pub(crate) struct BatchedPost {
    post: Arc<StoredPost>,
    holders: PostHolders,
}

impl BatchedPost {
    pub(crate) fn write(self, writes: &mut Vec<Write>) {
        let post = &self.post;
        let mut put = |space, key, value: Vec<u8>| {
            writes.push(Write {
                space,
                key,
                value: Some(value.into()),
            });
        };
        let posted = PostedRecord {
            group_sequence: post.group_sequence,
        };
        put(
            KeySpace::PostIds,
            post_id_key(post.received_at, post.group, post.id),
            posted.encode_to_vec(),
        );
        if self.holders.is_empty() {
            return;
        }
        let at = key(&[&post.number.to_be_bytes()]);
        let record = PostRecord {
            group_id: post.group.to_bytes(),
            group_sequence: post.group_sequence,
            kind: post.kind.into(),
            epoch: post.epoch,
            post_id: post.id.to_bytes(),
            received_at_ms: post.received_at.0,
            body: post.body.clone(),
            missed: post.missed,
        };
        put(KeySpace::Posts, at.clone(), record.encode_to_vec());
        let shared = self.holders.len() > 1;
        if shared {
            let mailboxes = u32::try_from(self.holders.len()).unwrap_or(u32::MAX);
            put(
                KeySpace::Holders,
                at,
                HoldersRecord { mailboxes }.encode_to_vec(),
            );
        }
        for (mailbox, sequence) in self.holders {
            let entry = EntryRecord {
                post: post.number,
                size: post.body.len() as u64,
                received_at_ms: post.received_at.0,
                shared,
                group_id: post.group.to_bytes(),
                welcome: post.kind == pb::PostKind::Welcome,
                missed: post.missed,
            };
            let at = key(&[mailbox.as_bytes(), &sequence.to_be_bytes()]);
            put(KeySpace::Entries, at, entry.encode_to_vec());
        }
    }
}

pub(crate) fn post_id_key(at: Time, group: GroupId, post: PostId) -> crate::store::Key {
    let day = at.0 / 86_400_000;
    key(&[&day.to_be_bytes(), group.as_bytes(), post.as_bytes()])
}

/// All of them.
pub(crate) struct Posts {
    next: u64,
    /// By number. In boxes: few are pending at a time, and the map is as large as it ever was.
    pending: HashMap<u64, Box<PendingPost>, OwnIds>,
    /// Those that go into the next batch, whenever that is. As below, some may be pending no more.
    urgent: Vec<u64>,
    /// Those that may wait, in the order of their numbers.
    waiting: VecDeque<u64>,
    /// Those of the batch that is being written.
    writing: VecDeque<u64>,
    /// What those that are pending take: see [`PendingPost::bytes`].
    pub(crate) bytes: usize,
    recent: HashMap<(GroupId, PostId), (u64, pb::Posted)>,
    recent_order: VecDeque<(GroupId, PostId)>,
    /// Whether there are post ids on disk that are not among the recent ones.
    forgot: bool,
}

/// What became of a post id that came again.
pub(crate) enum Repeated {
    /// It was answered: so again.
    Answered(pb::Posted),
    /// It will be answered; the client that repeated the request gets the answer as well.
    Waiting,
}

impl Posts {
    pub(crate) fn open(store: &impl Store) -> Result<Self, StoreError> {
        let last = store.last_key(KeySpace::Posts)?;
        let last = last.and_then(|key| key.first_chunk::<8>().map(|n| u64::from_be_bytes(*n)));
        Ok(Self {
            next: last.map_or(1, |last| last.saturating_add(1)),
            pending: HashMap::default(),
            urgent: Vec::new(),
            waiting: VecDeque::new(),
            writing: VecDeque::new(),
            bytes: 0,
            recent: HashMap::new(),
            recent_order: VecDeque::new(),
            forgot: store.last_key(KeySpace::PostIds)?.is_some(),
        })
    }

    pub(crate) fn next_number(&mut self) -> u64 {
        let number = self.next;
        self.next += 1;
        number
    }

    pub(crate) fn add(
        &mut self,
        now: Time,
        post: Arc<StoredPost>,
        holders: PostHolders,
        asked: Option<RequestRef>,
        answer: pb::Posted,
        may: May,
    ) {
        let number = post.number;
        let bytes = post.body.len() + (1 + holders.len()) * PLACE_BYTES;
        self.bytes += bytes;
        let id = (post.group, post.id);
        if asked.is_some() && self.recent.insert(id, (number, answer)).is_none() {
            self.recent_order.push_back(id);
            if self.recent_order.len() > RECENT
                && let Some(oldest) = self.recent_order.pop_front()
            {
                self.recent.remove(&oldest);
                self.forgot = true;
            }
        }
        let asked = asked.into_iter().collect();
        let write_at = match may {
            May::Wait => {
                self.waiting.push_back(number);
                now.after(MAY_WAIT)
            }
            May::BeAnswered | May::Neither => {
                self.urgent.push(number);
                now
            }
        };
        self.pending.insert(
            number,
            Box::new(PendingPost {
                post,
                holders,
                acknowledged: PostHolders::new(),
                written_for: 0,
                bytes,
                asked,
                answer,
                writing: false,
                refused: false,
                shortcut: may != May::Neither,
                write_at,
            }),
        );
    }

    pub(crate) fn repeated(
        &mut self,
        group: GroupId,
        post: PostId,
        asked: RequestRef,
    ) -> Option<Repeated> {
        let (number, answer) = *self.recent.get(&(group, post))?;
        match self
            .pending
            .get_mut(&number)
            .filter(|pending| !pending.asked.is_empty() || pending.refused)
        {
            Some(pending) => {
                pending.asked.push(asked);
                Some(Repeated::Waiting)
            }
            None => Some(Repeated::Answered(answer)),
        }
    }

    /// When the next batch with posts is due; the past, where it is at once.
    fn next_write(&mut self) -> Option<Time> {
        while let Some(number) = self.urgent.last() {
            if self.pending.contains_key(number) {
                return Some(Time(0));
            }
            self.urgent.pop();
        }
        while let Some(number) = self.waiting.front() {
            if let Some(pending) = self.pending.get(number) {
                return Some(pending.write_at);
            }
            self.waiting.pop_front();
        }
        None
    }

    /// Marks a post as being written, where it is pending and was not; gives its holders.
    fn take(&mut self, number: u64) -> Option<PostHolders> {
        let pending = self.pending.get_mut(&number)?;
        if pending.writing {
            return None;
        }
        pending.writing = true;
        pending.written_for = pending.holders.len();
        self.writing.push_back(number);
        Some(pending.holders.clone())
    }

    /// Takes those that have waited as long as they may.
    fn take_overdue(&mut self, now: Time) {
        while let Some(&number) = self.waiting.front() {
            let write_at = self.pending.get(&number).map(|pending| pending.write_at);
            if write_at.is_some_and(|at| !is_due(at, now)) {
                break;
            }
            self.waiting.pop_front();
            self.take(number);
        }
    }

    /// The posts that are being written, in the order of their numbers.
    fn batch(&mut self) -> Vec<BatchedPost> {
        self.writing.make_contiguous().sort_unstable();
        let posts = self.writing.iter();
        posts
            .filter_map(|number| self.pending.get(number))
            .map(|pending| BatchedPost {
                post: Arc::clone(&pending.post),
                holders: pending.holders.clone(),
            })
            .collect()
    }

    /// The posts of the batch that was begun, once more.
    fn batch_again(&self) -> Vec<BatchedPost> {
        let posts = self.writing.iter();
        posts
            .filter_map(|number| self.pending.get(number))
            .map(|pending| {
                let mut holders = pending.holders.clone();
                holders.extend(pending.acknowledged.iter().copied());
                BatchedPost {
                    post: Arc::clone(&pending.post),
                    holders,
                }
            })
            .collect()
    }

    /// Takes out the posts that nothing else on disk depends on. Of the others nothing is
    /// taken but who asked.
    fn refuse(&mut self) -> (Vec<PendingPost>, Vec<RequestRef>) {
        let mut asked = Vec::new();
        let mut numbers: Vec<u64> = self.pending.keys().copied().collect();
        numbers.sort_unstable();
        let mut refused = Vec::new();
        for number in numbers {
            if let Some(pending) = self.pending.get_mut(&number)
                && !pending.shortcut
            {
                pending.refused |= !pending.asked.is_empty();
                asked.append(&mut pending.asked.to_vec());
                pending.asked.clear();
            } else if let Some(pending) = self.pending.remove(&number) {
                self.bytes -= pending.bytes;
                if !pending.asked.is_empty() {
                    self.recent.remove(&(pending.post.group, pending.post.id));
                }
                refused.push(*pending);
            }
        }
        let pending = &self.pending;
        self.urgent.retain(|number| pending.contains_key(number));
        self.waiting.retain(|number| pending.contains_key(number));
        self.writing.retain(|number| pending.contains_key(number));
        self.recent_order.retain(|id| self.recent.contains_key(id));
        (refused, asked)
    }

    /// Forgets every pending post; gives who waited for an answer.
    pub(crate) fn forget(&mut self) -> Vec<RequestRef> {
        self.urgent.clear();
        self.waiting.clear();
        self.writing.clear();
        self.bytes = 0;
        let mut waiting = Vec::new();
        let mut pending: Vec<_> = self.pending.drain().collect();
        pending.sort_unstable_by_key(|(number, _)| *number);
        for (_, pending) in pending {
            if !pending.asked.is_empty() {
                self.recent.remove(&(pending.post.group, pending.post.id));
            }
            waiting.extend(pending.asked);
        }
        self.recent_order.retain(|id| self.recent.contains_key(id));
        waiting
    }
}

impl Mailboxes {
    /// When the next batch with posts is due; the past, where it is at once.
    pub(crate) fn next_write(&mut self) -> Option<Time> {
        self.posts.next_write()
    }

    /// Takes the posts that are due to be written, and everything that has to be on disk before
    /// them.
    pub(crate) fn begin_batch(&mut self, now: Time) -> Vec<BatchedPost> {
        self.posts.take_overdue(now);
        let mut newest: VecDeque<(MailboxId, u64)> = VecDeque::new();
        for number in std::mem::take(&mut self.posts.urgent) {
            newest.extend(self.posts.take(number).into_iter().flatten());
        }
        // A post that may wait may not where a newer one in one of its mailboxes does not. Each
        // mailbox is looked through once.
        let mut taken_to: HashMap<MailboxId, u64, OwnIds> = HashMap::default();
        while let Some((id, sequence)) = newest.pop_front() {
            let Some(mailbox) = self.all.get(&id) else {
                continue;
            };
            let before = taken_to.entry(id).or_insert(0);
            let from = mailbox
                .fresh
                .partition_point(|fresh| fresh.sequence <= *before);
            *before = sequence.max(*before);
            let older = mailbox.fresh.range(from..);
            for fresh in older.take_while(|fresh| fresh.sequence < sequence) {
                newest.extend(self.posts.take(fresh.post.number).into_iter().flatten());
            }
        }
        self.posts.batch()
    }

    /// The posts of the batch that was begun, once more.
    pub(crate) fn batch_again(&self) -> Vec<BatchedPost> {
        self.posts.batch_again()
    }

    /// What a post id that came before was answered; `on_disk` has those looked through
    /// that are not in memory.
    pub(crate) fn repeated(
        &mut self,
        context: &Context<impl Store>,
        now: Time,
        group: GroupId,
        post: PostId,
        asked: RequestRef,
        on_disk: bool,
    ) -> Result<Option<Repeated>, StoreError> {
        if let Some(repeated) = self.posts.repeated(group, post, asked) {
            return Ok(Some(repeated));
        }
        if !on_disk || !self.posts.forgot {
            return Ok(None);
        }
        let date = context.date(now);
        for days_ago in 0..=POST_ID_DAYS {
            let at = Time(date.0.saturating_sub(days_ago * 86_400_000));
            let record: Option<PostedRecord> = context
                .view
                .get(KeySpace::PostIds, &post_id_key(at, group, post))?;
            if let Some(PostedRecord { group_sequence }) = record {
                return Ok(Some(Repeated::Answered(pb::Posted {
                    group_sequence,
                    epoch: 0,
                })));
            }
        }
        Ok(None)
    }

    /// A mailbox acknowledged a post that was not known to be on disk.
    pub(crate) fn release(
        &mut self,
        context: &mut Context<impl Store>,
        number: u64,
        mailbox: MailboxId,
        sequence: u64,
    ) {
        let Some(pending) = self.posts.pending.get_mut(&number) else {
            return;
        };
        pending.holders.retain(|(holder, _)| *holder != mailbox);
        if pending.writing {
            // How many hold it is counted on disk, and that count is not there yet.
            pending.acknowledged.push((mailbox, sequence));
        }
        if pending.holders.is_empty() && pending.shortcut {
            let answer = pending.answer;
            let asked = std::mem::take(&mut pending.asked);
            if !pending.writing {
                self.posts.bytes -= pending.bytes;
                self.posts.pending.remove(&number);
                context.counts.never_written += 1;
            }
            for asked in asked {
                context.send(asked.link, asked.request, Answer::Posted(answer));
            }
        }
    }

    /// A batch failed: posts are refused, and removed from their mailboxes, so that what makes room
    /// need not wait for them. A change of a group stays, and is written with the group.
    pub(crate) fn refuse_posts(&mut self, context: &mut Context<impl Store>) {
        let (refused, mut asked) = self.posts.refuse();
        for pending in refused {
            let item = Item::of_post(&pending.post);
            for (mailbox, sequence) in pending.holders {
                self.take_back(mailbox, sequence, item);
            }
            asked.extend(pending.asked);
        }
        for RequestRef { link, request } in asked {
            context.send(link, request, Answer::Error(Refused::unavailable().0));
        }
    }

    /// The batch is on disk: answers, and hands on what waited for it, for posts in about so
    /// many mailboxes. Gives whether that was all of them.
    pub(crate) fn posts_written(
        &mut self,
        context: &mut Context<impl Store>,
        most: usize,
    ) -> Result<bool, StoreError> {
        let mut mailboxes = 0;
        while let Some(number) = self.posts.writing.pop_front() {
            let Some(pending) = self.posts.pending.remove(&number) else {
                continue;
            };
            mailboxes += 1 + pending.written_for;
            self.posts.bytes -= pending.bytes;
            for asked in pending.asked {
                context.send(asked.link, asked.request, Answer::Posted(pending.answer));
            }
            let shared = pending.written_for > 1;
            for (mailbox, sequence) in pending.acknowledged {
                self.delete_entry(context, mailbox, sequence, number, shared)?;
                self.write_mailbox(context, mailbox);
            }
            for (mailbox, sequence) in pending.holders {
                self.entry_written(context, mailbox, sequence);
            }
            if mailboxes >= most {
                return Ok(self.posts.writing.is_empty());
            }
        }
        Ok(true)
    }
}
