//! Puts a post into mailboxes, no matter who sent it.
//!
//! A mailbox without room for a post does not keep others from getting it. It is left out and
//! gets a *mark* instead: a post by the relay without a body, which tells its device that it
//! has missed something and should ask the group's members. A message that would reach nobody
//! except its sender is refused.
//!
//! **Elsewhere**: [`crate::mailbox::shares`] limits how much of a mailbox one group can fill.
//!
//! **Always**: each mailbox of the list gets the post or a mark, and `Posted` means that both
//! are on disk.

use std::sync::Arc;

use smallvec::SmallVec;
use waxwing_protocol::{
    ids::{GroupId, MailboxId, PostId},
    pb::{self, ErrorCode, PostKind},
    time::Time,
};

use super::{
    Mailboxes, PutIn,
    posts::{May, StoredPost},
    shares::{ANY_GROUP, Amount},
};
use crate::{
    answer::Refused,
    context::Context,
    link::RequestRef,
    store::{KeySpace, Store, StoreError},
};

/// Whom a post has to reach, so that it is taken.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reaches {
    /// Each mailbox of the list, to which the group is new: nobody else could tell of it.
    Everybody,
    /// Some other mailbox than the sender's own, which is one of the list.
    SomebodyElse,
    /// Any mailbox: the relay itself sends it, or it changes the group, which waits for nobody. A
    /// device that is being removed must not be able to prevent that by a full mailbox.
    Anybody,
}

/// What is put there.
pub(crate) struct Deposit {
    pub group: GroupId,
    pub group_sequence: u64,
    pub epoch: u64,
    pub kind: PostKind,
    pub id: PostId,
    pub body: bytes::Bytes,
}

impl Mailboxes {
    /// Puts a post of the relay's own into mailboxes: it is delivered when it is on disk.
    pub(crate) fn deposit(
        &mut self,
        context: &mut Context<impl Store>,
        now: Time,
        deposit: Deposit,
        mailboxes: &[MailboxId],
    ) -> Result<(), Refused> {
        let group = deposit.group;
        self.has_room(
            context,
            group,
            mailboxes,
            1,
            deposit.body.len(),
            Reaches::Anybody,
        )?;
        let answer = pb::Posted::default();
        self.put(context, now, deposit, mailboxes, true, (None, answer));
        Ok(())
    }

    /// Whether enough mailboxes of the list have room, and memory does. Afterwards all of them
    /// are in memory.
    pub(crate) fn has_room(
        &mut self,
        context: &mut Context<impl Store>,
        group: GroupId,
        fan_out: &[MailboxId],
        posts: u64,
        bytes: usize,
        reaches: Reaches,
    ) -> Result<(), Refused> {
        if self.posts.bytes.saturating_add(bytes) > context.config.unwritten_bytes
            || !context.has_space()
        {
            return Err(Refused::unavailable());
        }
        let most = Self::most_in_a_mailbox(context);
        let more = Amount {
            posts,
            bytes: bytes as u64,
        };
        let is_new = reaches == Reaches::Everybody;
        let (mut with_room, mut full) = (0_usize, 0_usize);
        let enough_with_room = match reaches {
            Reaches::Everybody => usize::MAX,
            Reaches::SomebodyElse => 2,
            Reaches::Anybody => 1,
        };
        for id in fan_out {
            // Whether the others have room is seen when the post is put there.
            if with_room >= enough_with_room && self.all.contains_key(id) {
                continue;
            }
            let mailbox = match self.mailbox(context, *id) {
                // Nobody can have anything put there: the others do not wait for that.
                Err(StoreError::Damaged(_)) => {
                    context.view.note_damage(KeySpace::Mailboxes, id.as_bytes());
                    continue;
                }
                mailbox => mailbox?,
            };
            if let Some(mailbox) = mailbox {
                if mailbox.has_room(group, more, is_new, most) {
                    with_room += 1;
                } else {
                    full += 1;
                }
            }
        }
        if full > 0 && with_room < enough_with_room {
            return Err(Refused::new(
                ErrorCode::MailboxFull,
                "a recipient's mailbox is full",
            ));
        }
        Ok(())
    }

    /// Puts it there. `held`: not to be delivered before it is on disk.
    pub(crate) fn put(
        &mut self,
        context: &mut Context<impl Store>,
        now: Time,
        deposit: Deposit,
        fan_out: &[MailboxId],
        held: bool,
        (asked, answer): (Option<RequestRef>, pb::Posted),
    ) {
        let post = Arc::new(StoredPost {
            number: self.posts.next_number(),
            group: deposit.group,
            group_sequence: deposit.group_sequence,
            kind: deposit.kind,
            epoch: deposit.epoch,
            id: deposit.id,
            received_at: context.date(now),
            body: deposit.body,
            missed: false,
        });
        let shared = fan_out.len() > 1;
        let mut holders = smallvec::SmallVec::new();
        let mut there: SmallVec<[MailboxId; 4]> = SmallVec::new();
        let mut shortcut = !held;
        let mut full = Vec::new();
        for id in fan_out {
            match self.put_in(context, *id, &post, shared, held) {
                PutIn::Put {
                    sequence,
                    is_reserved,
                    is_there,
                } => {
                    holders.push((*id, sequence));
                    shortcut &= is_reserved;
                    if is_there {
                        there.push(*id);
                    }
                }
                PutIn::Full => full.push(*id),
                PutIn::Gone => {}
            }
        }
        // A list of mailboxes that are all gone has nobody to acknowledge; and a mark has to be
        // on disk before anybody is answered.
        shortcut &= !holders.is_empty() && full.is_empty();
        context.counts.posts += 1;
        // What can go to a link goes now; whether all of it did decides how it is written.
        let all_there = there.len() == holders.len();
        for id in there {
            self.fill(context, id);
        }
        let on_its_way = |&(id, sequence): &(MailboxId, u64)| {
            self.all
                .get(&id)
                .is_some_and(|mailbox| mailbox.was_sent(sequence))
        };
        let may = match shortcut {
            true if all_there && holders.iter().all(on_its_way) => May::Wait,
            true => May::BeAnswered,
            false => May::Neither,
        };
        self.posts
            .add(now, Arc::clone(&post), holders, asked, answer, may);
        if !full.is_empty() {
            self.mark_missed(context, now, &post, &full);
        }
    }

    /// Tells these devices, in their mailboxes, that they miss a post.
    fn mark_missed(
        &mut self,
        context: &mut Context<impl Store>,
        now: Time,
        post: &StoredPost,
        full: &[MailboxId],
    ) {
        context.counts.left_out = context.counts.left_out.saturating_add(full.len() as u64);
        // Nobody could send a text again.
        if post.kind == PostKind::Sms {
            return;
        }
        for named in [post.group, ANY_GROUP] {
            let mark = Arc::new(StoredPost {
                number: self.posts.next_number(),
                group: named,
                group_sequence: post.group_sequence,
                // For devices that do not know of marks, a message that says nothing.
                kind: PostKind::Message,
                epoch: post.epoch,
                id: post.id,
                received_at: post.received_at,
                body: bytes::Bytes::new(),
                missed: true,
            });
            let mut holders = smallvec::SmallVec::new();
            for id in full {
                if self.to_mark(context, *id, post.group) == Some(named)
                    && let PutIn::Put { sequence, .. } =
                        self.put_in(context, *id, &mark, true, true)
                {
                    holders.push((*id, sequence));
                }
            }
            if !holders.is_empty() {
                let answer = pb::Posted::default();
                self.posts
                    .add(now, mark, holders, None, answer, May::Neither);
            }
        }
    }
}
