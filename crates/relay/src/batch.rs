//! Batches: the relay's changes that go to disk together.
//!
//! One writer takes a [`Batch`], commits it without the lock, and reports
//! [`Relay::handle_batch_written`] or [`Relay::handle_batch_failed`]; meanwhile the next batch
//! gathers.
//!
//! **Elsewhere**: [`crate::pending_view`] has the changes, [`crate::mailbox::posts`] the posts.
//!
//! **Always**: what the relay has answered is on disk, except posts that every recipient
//! acknowledged before they were written. When a batch fails, the relay answers its requests
//! with `UNAVAILABLE` and tries the batch again once a second: changes that free space are not
//! lost, and nobody is disconnected. A batch that can never be written is dropped, with
//! everything in it that was not on disk.

use waxwing_protocol::{
    pb::{self, relay_frame::Body as Answer},
    time::Time,
};

use crate::{
    answer::Refused,
    directory::Directory,
    effect::Effect,
    link::LinkId,
    mailbox::posts::{BatchedPost, is_due},
    relay::Relay,
    store::{Store, StoreError, Write},
};

/// Changes to commit together. [`Batch::into_writes`] needs no lock.
pub struct Batch {
    writes: Vec<Write>,
    posts: Vec<BatchedPost>,
}

impl Batch {
    /// What to hand to [`Store::commit`].
    pub fn into_writes(self) -> Vec<Write> {
        let mut writes = self.writes;
        for post in self.posts {
            post.write(&mut writes);
        }
        writes
    }
}

/// Answers that wait for a batch.
type Answers = Vec<(LinkId, pb::RelayFrame)>;

/// The batch that gathers, and the one before it.
#[derive(Default)]
pub(crate) struct Batches {
    /// Answers that wait for the batch that gathers.
    gathering: Answers,
    before: BatchStage,
}

/// How far the batch before the one that gathers has come.
#[derive(Default)]
enum BatchStage {
    /// It is on disk.
    #[default]
    Written,
    /// It is being written; these answers wait for it.
    Writing(Answers),
    /// It could not be written. Its changes are still where they were gathered, and it is
    /// tried again once time has passed.
    Failed { is_due: bool },
}

impl Batches {
    /// A request is answered once everything gathered so far is on disk.
    pub(crate) fn answer_when_written(&mut self, link: LinkId, request: u32, answer: Answer) {
        let body = Some(answer);
        self.gathering
            .push((link, pb::RelayFrame { request, body }));
    }

    /// A batch that could not be written is due again.
    pub(crate) const fn try_again(&mut self) {
        if let BatchStage::Failed { is_due } = &mut self.before {
            *is_due = true;
        }
    }
}

impl<S: Store> Relay<S> {
    /// When to call [`take_batch`](Self::take_batch) next; a time in the past means at once. `None`
    /// while a batch is being written, or if there is nothing to write.
    pub fn next_write(&mut self) -> Option<Time> {
        match self.batches.before {
            BatchStage::Writing(_) => None,
            BatchStage::Failed { is_due } => is_due.then_some(Time(0)),
            BatchStage::Written => {
                let has_gathered = self.context.view.has_gathered()
                    || !self.batches.gathering.is_empty()
                    || self.texts.awaits_disk();
                if has_gathered {
                    Some(Time(0))
                } else {
                    self.mailboxes.next_write()
                }
            }
        }
    }

    /// Takes everything that is due to be written, to commit it without the lock. `None` while
    /// another batch is being written, or if there is nothing to write.
    pub fn take_batch(&mut self, now: Time) -> Option<Batch> {
        if self.next_write().is_none_or(|at| !is_due(at, now)) {
            return None;
        }
        if matches!(self.batches.before, BatchStage::Failed { .. }) {
            self.batches.before = BatchStage::Writing(Vec::new());
            return Some(Batch {
                writes: self.context.view.rebuild_batch(),
                posts: self.mailboxes.batch_again(),
            });
        }
        let posts = self.mailboxes.begin_batch(now);
        let writes = self.context.view.begin();
        let (_, features) = self.features();
        for feature in features {
            feature.batch_taken();
        }
        self.batches.before = BatchStage::Writing(std::mem::take(&mut self.batches.gathering));
        Some(Batch { writes, posts })
    }

    /// The batch that was taken is on disk.
    pub fn handle_batch_written(&mut self) {
        while !self.batch_written_some(usize::MAX) {}
    }

    /// The batch that was taken is on disk: does what follows for its posts in about so many
    /// mailboxes, and returns whether that was all. Until then, no other batch is taken.
    pub fn batch_written_some(&mut self, most: usize) -> bool {
        let BatchStage::Writing(answers) = &mut self.batches.before else {
            return true;
        };
        let answers = std::mem::take(answers);
        if self.context.view.is_writing() {
            self.context.counts.batches += 1;
            self.context.view.written();
        }
        let (context, features) = self.features();
        for feature in features {
            feature.batch_written(context);
        }
        for (link, frame) in answers {
            self.context.effects.push_back(Effect::Send { link, frame });
        }
        match self.mailboxes.posts_written(&mut self.context, most) {
            Ok(true) => {}
            Ok(false) => return false,
            Err(_) => self.forget_unwritten(),
        }
        self.batches.before = BatchStage::Written;
        self.follow_generation();
        true
    }

    /// The batch that was taken could not be written.
    pub fn handle_batch_failed(&mut self, error: &StoreError) {
        let BatchStage::Writing(answers) = &mut self.batches.before else {
            return;
        };
        let answers = std::mem::take(answers);
        self.context.counts.failed_batches += 1;
        if !error.may_pass() {
            self.batches.before = BatchStage::Written;
            for (link, frame) in answers {
                self.refuse(link, frame.request);
            }
            self.batch_lost();
            self.forget_unwritten();
            self.follow_generation();
            return;
        }
        self.context.view.delayed();
        // A client that repeats its request then learns what happened.
        let behind = std::mem::take(&mut self.batches.gathering);
        for (link, frame) in answers.into_iter().chain(behind) {
            self.refuse(link, frame.request);
        }
        self.mailboxes.refuse_posts(&mut self.context);
        self.batches.before = BatchStage::Failed { is_due: false };
        self.follow_generation();
    }

    /// A store that was opened again may show what a failed batch left behind: what was read before
    /// no longer counts.
    pub(crate) fn follow_generation(&mut self) {
        if self.context.view.follow_generation() {
            self.forget_unwritten();
        }
    }

    fn batch_lost(&mut self) {
        let (context, features) = self.features();
        for feature in features {
            feature.batch_lost(context);
        }
    }

    /// Forgets what is not on disk, and refuses the requests that waited for it.
    fn forget_unwritten(&mut self) {
        self.context.view.forget_unwritten();
        if matches!(self.batches.before, BatchStage::Failed { .. }) {
            self.batches.before = BatchStage::Written;
            self.batch_lost();
        }
        for (link, frame) in std::mem::take(&mut self.batches.gathering) {
            self.refuse(link, frame.request);
        }
        let quotas = &mut self.context.quotas;
        quotas.forget_unwritten(&self.context.view);
        let (context, features) = self.features();
        for feature in features {
            feature.forget_unwritten(context);
        }
        // Where the store cannot be read, what was known of the revoked stays.
        let _ = Directory::read_revoked(&mut self.context, &mut self.mailboxes);
    }

    fn refuse(&mut self, link: LinkId, request: u32) {
        let refused = Refused::unavailable();
        self.context.send(link, request, Answer::Error(refused.0));
    }
}
