//! Putting a post into mailboxes, whoever it is from.
//!
//! **Always**: it is taken for all mailboxes or for none.

use std::sync::Arc;

use waxwing_protocol::{
    ids::{GroupId, MailboxId, PostId},
    pb::{self, ErrorCode, PostKind},
    time::Time,
};

use crate::{
    posts::{Asked, May, Post},
    relay::{Refused, Relay},
    store::Store,
};

/// What is put there.
pub(crate) struct Deposit {
    pub group: GroupId,
    pub group_sequence: u64,
    pub epoch: u64,
    pub kind: PostKind,
    pub id: PostId,
    pub body: bytes::Bytes,
}

impl<S: Store> Relay<S> {
    /// Puts a post of the relay's own into mailboxes: it is delivered when it is on disk.
    pub(crate) fn deposit(
        &mut self,
        now: Time,
        deposit: Deposit,
        mailboxes: &[MailboxId],
    ) -> Result<(), Refused> {
        self.has_room(mailboxes, 1, deposit.body.len())?;
        let answer = pb::Posted::default();
        self.put(now, deposit, mailboxes, true, (None, answer));
        Ok(())
    }

    /// Whether each mailbox of the list has room, and memory does.
    pub(super) fn has_room(
        &mut self,
        fan_out: &[MailboxId],
        posts: u64,
        bytes: usize,
    ) -> Result<(), Refused> {
        if self.posts.bytes.saturating_add(bytes) > self.config.unwritten_bytes || !self.has_space()
        {
            return Err(Refused::unavailable());
        }
        let (most_posts, most_bytes) = (self.config.mailbox_posts, self.config.mailbox_bytes);
        for id in fan_out {
            if let Some(mailbox) = self.mailbox(*id)?
                && !mailbox.has_room(posts, bytes as u64, most_posts, most_bytes)
            {
                return Err(Refused::new(
                    ErrorCode::MailboxFull,
                    "a recipient's mailbox is full",
                ));
            }
        }
        Ok(())
    }

    /// Puts it there. `held`: not to be delivered before it is on disk.
    pub(super) fn put(
        &mut self,
        now: Time,
        deposit: Deposit,
        fan_out: &[MailboxId],
        held: bool,
        (asked, answer): (Option<Asked>, pb::Posted),
    ) {
        let post = Arc::new(Post {
            number: self.posts.next_number(),
            group: deposit.group,
            group_sequence: deposit.group_sequence,
            kind: deposit.kind,
            epoch: deposit.epoch,
            id: deposit.id,
            received_at: now,
            body: deposit.body,
        });
        let shared = fan_out.len() > 1;
        let mut holders = smallvec::SmallVec::new();
        let mut shortcut = !held;
        for id in fan_out {
            if let Some((sequence, reserved)) = self.put_in(*id, &post, shared, held) {
                holders.push((*id, sequence));
                shortcut &= reserved;
            }
        }
        // A list of mailboxes that are all gone has nobody to acknowledge.
        shortcut &= !holders.is_empty();
        self.counts.posts += 1;
        // What can go to a link goes now; whether all of it did decides how it is written.
        for id in fan_out {
            self.fill(*id);
        }
        let on_its_way = |&(id, sequence): &(MailboxId, u64)| {
            self.mailboxes
                .get(&id)
                .is_some_and(|mailbox| mailbox.was_sent(sequence))
        };
        let may = match shortcut {
            true if holders.iter().all(on_its_way) => May::Wait,
            true => May::BeAnswered,
            false => May::Neither,
        };
        self.posts.add(post, holders, asked, answer, may);
    }
}
