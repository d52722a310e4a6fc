//! Changes of a group: creating it, commits, rejoining.
//!
//! **Elsewhere**: posting to an unchanged group is in [`super`].
//!
//! **Always**: all of a change is in one batch, with the posts that announce it; it is
//! delivered once it is on disk. A refused change leaves everything unchanged.

use std::sync::Arc;

use bytes::Bytes;
use waxwing_protocol::{
    ids::{Epoch, GroupId, MailboxId, PostId},
    limits, pb,
    pb::{ErrorCode, PostKind, relay_frame::Body as Answer},
    posting::PostingPublicKey,
    time::{Span, Time},
};

use super::checks::{CheckedGroup, CheckedRejoin, CommitCheck, CreateCheck, RejoinCheck};
use super::{
    Group, Groups, Incoming, conflict, epoch_keys, group_id, has_just_ended, post_id, too_large,
};
use crate::{
    answer::{Refused, Reply, RequestResult},
    context::Context,
    directory::tokens::{TokenKeys, Tokens},
    link::{LinkId, RequestRef},
    mailbox::Mailboxes,
    mailbox::deposit::Reaches,
    store::{
        KeySpace, Store, key,
        records::{EpochRecord, GroupRecord},
    },
};

/// A new epoch, checked.
struct NextEpoch {
    epoch: Epoch,
    record: EpochRecord,
    fan_out: Arc<[MailboxId]>,
    group_info: Bytes,
    /// Where the rejoin key is renewed.
    rejoin_key: Option<Bytes>,
}

impl Groups {
    pub(crate) fn create_group(
        &mut self,
        context: &mut Context<impl Store>,
        tokens: &Tokens,
        mailboxes: &mut Mailboxes,
        now: Time,
        asked: RequestRef,
        (create, found): (pb::CreateGroup, CheckedGroup),
    ) -> RequestResult {
        let id = group_id(&create.group_id)?;
        let post = post_id(&create.post_id)?;
        let link = asked.link;
        let CheckedGroup { created_by, list } = found;
        let known: Option<GroupRecord> = context.view.get(KeySpace::Groups, id.as_bytes())?;
        if let Some(known) = known {
            if known.created_by != created_by {
                return Err(Refused::new(ErrorCode::GroupExists, "this group exists"));
            }
            if let Some(answer) =
                self.answered_before(context, mailboxes, now, (id, post), asked, true)?
            {
                return Ok(answer);
            }
            // It was made, and its welcome, if it had one, was answered long ago.
            let answer = pb::Posted {
                group_sequence: 1,
                epoch: known.epoch,
            };
            return Ok(Reply::Durable(Answer::Posted(answer)));
        }
        let token = tokens.unspent(context, create.token.as_ref())?;
        if PostingPublicKey::from_bytes(&create.rejoin_key).is_none() {
            return Err(Refused::malformed("the rejoin key is malformed"));
        }
        if create.welcome.len() > limits::POST_BYTES {
            return Err(too_large());
        }
        let epoch = Epoch(create.epoch);
        let list = list.ok_or_else(Refused::unavailable)?;
        let next = next_epoch(epoch, create.keys.as_ref(), list)?;
        self.may_authorise(context, link, id, epoch)?;
        context
            .quotas
            .has_room_for_group(&context.config, 1, 0, next.bytes())?;
        if !create.welcome.is_empty() {
            let bytes = create.welcome.len();
            mailboxes.has_room(context, id, &next.fan_out, 1, bytes, Reaches::Everybody)?;
        }
        // Nothing refuses it any more.
        tokens.spend(context, &token);
        context.count(|usage| usage.groups = usage.groups.saturating_add(1));
        let record = GroupRecord {
            epoch: epoch.0,
            rejoin_key: create.rejoin_key,
            created_by,
            epochs: Vec::new(),
            changed_on_day: 0,
            used_on_day: 0,
            counted_bytes: 0,
        };
        let group = Group {
            record,
            next: 1,
            reserved: 1,
            reserving: 1,
            links: 0,
        };
        self.all.insert(id, group);
        self.in_memory.push_back(id);
        let fan_out = Arc::clone(&next.fan_out);
        self.begin_epoch(context, now, link, id, next)?;
        if create.welcome.is_empty() {
            // Nobody is told: its maker is alone in it.
            let answer = pb::Posted {
                group_sequence: 0,
                epoch: epoch.0,
            };
            return Ok(Reply::Durable(Answer::Posted(answer)));
        }
        let welcome = welcome(id, epoch, post, create.welcome);
        self.take(
            context,
            mailboxes,
            now,
            welcome,
            &fan_out,
            (Some(asked), epoch),
        )?;
        Ok(Reply::Later)
    }

    /// What making a group has to be verified by.
    pub(crate) fn group_to_verify(
        context: &Context<impl Store>,
        tokens: &Tokens,
        create: &pb::CreateGroup,
        keys: Arc<TokenKeys>,
    ) -> Result<CreateCheck, Refused> {
        let id = group_id(&create.group_id)?;
        let known = context.view.get_bytes(KeySpace::Groups, id.as_bytes())?;
        let is_new = known.is_none();
        if is_new {
            tokens.unspent(context, create.token.as_ref())?;
        }
        Ok(CreateCheck { is_new, keys })
    }

    /// What a commit has to be verified by; nothing where it is refused, or was taken before.
    pub(crate) fn commit_to_verify(
        &mut self,
        context: &Context<impl Store>,
        link: LinkId,
        commit: &pb::Post,
    ) -> Result<Option<CommitCheck>, Refused> {
        let group = group_id(&commit.group_id)?;
        let epoch = Epoch(commit.epoch);
        let may_post = self.authorised(link, group, epoch).is_some();
        if !may_post || epoch != self.group(context, group)?.epoch() {
            return Ok(None);
        }
        let next = epoch.next();
        Ok(Some(CommitCheck { group, next }))
    }

    /// What rejoining has to be verified by.
    pub(crate) fn rejoin_to_verify(
        &mut self,
        context: &Context<impl Store>,
        rejoin: &pb::Rejoin,
    ) -> Result<RejoinCheck, Refused> {
        let id = group_id(&rejoin.group_id)?;
        let epoch = Epoch(rejoin.epoch);
        let group = self.group(context, id)?;
        Ok(RejoinCheck {
            group: id,
            epoch,
            rejoin_key: group.record.rejoin_key.clone(),
            opens: epoch == group.epoch(),
        })
    }

    pub(crate) fn commit(
        &mut self,
        context: &mut Context<impl Store>,
        mailboxes: &mut Mailboxes,
        now: Time,
        asked: RequestRef,
        (commit, next_list): (pb::Post, Option<Arc<[MailboxId]>>),
        old_list: &[MailboxId],
    ) -> RequestResult {
        let id = group_id(&commit.group_id)?;
        let post = post_id(&commit.post_id)?;
        let epoch = Epoch(commit.epoch);
        let current = self.group(context, id)?.epoch();
        if epoch != current {
            return Err(conflict(current));
        }
        if commit.body.is_empty()
            || commit.body.len() > limits::POST_BYTES
            || commit.welcome.len() > limits::POST_BYTES
        {
            return Err(too_large());
        }
        let list = next_list.ok_or_else(Refused::unavailable)?;
        let next = next_epoch(epoch.next(), commit.next.as_ref(), list)?;
        let new_list = Arc::clone(&next.fan_out);
        let mut both: Vec<MailboxId> = old_list.iter().chain(new_list.iter()).copied().collect();
        both.sort_unstable();
        both.dedup();
        self.may_authorise(context, asked.link, id, epoch.next())?;
        let bytes = commit.body.len() + commit.welcome.len();
        mailboxes.has_room(context, id, &both, 2, bytes, Reaches::Anybody)?;
        self.may_grow(context, now, id, &next)?;
        self.begin_epoch(context, now, asked.link, id, next)?;
        let incoming = Incoming {
            group: id,
            epoch,
            kind: PostKind::Commit,
            id: post,
            body: commit.body,
            held: true,
        };
        self.take(
            context,
            mailboxes,
            now,
            incoming,
            &both,
            (Some(asked), epoch.next()),
        )?;
        if !commit.welcome.is_empty() {
            let welcome = welcome(id, epoch.next(), post, commit.welcome);
            self.take(
                context,
                mailboxes,
                now,
                welcome,
                &new_list,
                (None, epoch.next()),
            )?;
        }
        Ok(Reply::Later)
    }

    pub(crate) fn rejoin(
        &mut self,
        context: &mut Context<impl Store>,
        mailboxes: &mut Mailboxes,
        now: Time,
        asked: RequestRef,
        rejoin: pb::Rejoin,
        found: CheckedRejoin,
    ) -> RequestResult {
        let id = group_id(&rejoin.group_id)?;
        let post = post_id(&rejoin.post_id)?;
        let epoch = Epoch(rejoin.epoch);
        let link = asked.link;
        let CheckedRejoin { rejoin_key, list } = found;
        let group = self.group(context, id)?;
        let current = group.epoch();
        group.still_has(&rejoin_key)?;
        if let Some(answer) =
            self.answered_before(context, mailboxes, now, (id, post), asked, true)?
        {
            return Ok(answer);
        }
        if epoch != current {
            return Err(conflict(current));
        }
        if rejoin.body.is_empty() || rejoin.body.len() > limits::POST_BYTES {
            return Err(too_large());
        }
        let list = list.ok_or_else(|| conflict(current))?;
        let next = next_epoch(epoch.next(), rejoin.next.as_ref(), list)?;
        let list = Arc::clone(&next.fan_out);
        self.may_authorise(context, link, id, epoch.next())?;
        mailboxes.has_room(context, id, &list, 1, rejoin.body.len(), Reaches::Anybody)?;
        self.may_grow(context, now, id, &next)?;
        self.begin_epoch(context, now, link, id, next)?;
        let incoming = Incoming {
            group: id,
            epoch,
            kind: PostKind::Commit,
            id: post,
            body: rejoin.body,
            held: true,
        };
        self.take(
            context,
            mailboxes,
            now,
            incoming,
            &list,
            (Some(asked), epoch.next()),
        )?;
        Ok(Reply::Later)
    }

    /// Whether there is room for what the group will be.
    fn may_grow(
        &mut self,
        context: &Context<impl Store>,
        now: Time,
        id: GroupId,
        next: &NextEpoch,
    ) -> Result<(), Refused> {
        let date = context.date(now);
        let record = &self.group(context, id)?.record;
        let before = record.counted_bytes;
        let kept = kept_epochs(record, date, next.rejoin_key.is_some());
        let after = kept.map(epoch_bytes).sum::<u64>();
        let after = after.saturating_add(next.bytes());
        context
            .quotas
            .has_room_for_group(&context.config, 0, before, after)
    }

    /// Makes `next` the group's current epoch, and authorises the link for it.
    fn begin_epoch(
        &mut self,
        context: &mut Context<impl Store>,
        now: Time,
        link: LinkId,
        id: GroupId,
        next: NextEpoch,
    ) -> Result<(), Refused> {
        let date = context.date(now);
        self.authorise(context, now, link, id, next.epoch, next.fan_out)?;
        let group = self.group(context, id)?;
        let kept = kept_epochs(&group.record, date, next.rejoin_key.is_some());
        let mut kept: Vec<EpochRecord> = kept.cloned().collect();
        if let Some(over) = kept
            .first_mut()
            .filter(|one| one.epoch == group.record.epoch)
        {
            over.ended_at_ms = date.0;
        }
        kept.insert(0, next.record);
        group.record.epochs = kept;
        group.record.epoch = next.epoch.0;
        group.record.changed_on_day = date.0 / Span::days(1).0;
        if let Some(key) = next.rejoin_key {
            group.record.rejoin_key = key;
        }
        let before = group.record.counted_bytes;
        let lists: u64 = group.record.epochs.iter().map(epoch_bytes).sum();
        let after = lists.saturating_add(next.group_info.len() as u64);
        group.record.counted_bytes = after;
        let record = group.record.clone();
        context.count(|usage| {
            let others = usage.group_bytes.saturating_sub(before);
            usage.group_bytes = others.saturating_add(after);
        });
        context
            .view
            .put(KeySpace::Groups, key(&[id.as_bytes()]), &record);
        context
            .view
            .put_bytes(KeySpace::GroupInfos, key(&[id.as_bytes()]), next.group_info);
        Ok(())
    }
}

/// The epochs that are kept when another one begins.
fn kept_epochs(
    record: &GroupRecord,
    date: Time,
    renews_rejoin_key: bool,
) -> impl Iterator<Item = &EpochRecord> {
    // Where the key is renewed, somebody may have been removed, and still has the keys of the
    // epochs before.
    let most = if renews_rejoin_key {
        0
    } else {
        usize::try_from(limits::PAST_EPOCHS).unwrap_or(usize::MAX)
    };
    let epochs = record.epochs.iter();
    epochs
        .filter(move |known| known.epoch == record.epoch || has_just_ended(date, known))
        .take(most)
}

impl NextEpoch {
    /// Bytes that are stored for it.
    fn bytes(&self) -> u64 {
        epoch_bytes(&self.record).saturating_add(self.group_info.len() as u64)
    }
}

/// Bytes of an epoch that are counted: its sealed list, and a little for the rest.
fn epoch_bytes(epoch: &EpochRecord) -> u64 {
    const THE_REST: u64 = 128;
    THE_REST.saturating_add(epoch.sealed_fan_out.len() as u64)
}

fn next_epoch(
    epoch: Epoch,
    keys: Option<&pb::EpochKeys>,
    list: Arc<[MailboxId]>,
) -> Result<NextEpoch, Refused> {
    let keys = epoch_keys(keys)?;
    if PostingPublicKey::from_bytes(&keys.send_key).is_none() {
        return Err(Refused::malformed("the send key is malformed"));
    }
    if keys.sealed_group_info.len() > limits::GROUP_INFO_BYTES {
        return Err(too_large());
    }
    let renewed = !keys.rejoin_key.is_empty();
    if renewed && PostingPublicKey::from_bytes(&keys.rejoin_key).is_none() {
        return Err(Refused::malformed("the renewed rejoin key is malformed"));
    }
    Ok(NextEpoch {
        epoch,
        fan_out: list,
        record: EpochRecord {
            epoch: epoch.0,
            send_key: keys.send_key.clone(),
            sealed_fan_out: keys.sealed_fan_out.clone(),
            ended_at_ms: 0,
        },
        group_info: keys.sealed_group_info.clone(),
        rejoin_key: renewed.then(|| keys.rejoin_key.clone()),
    })
}

fn welcome(group: GroupId, epoch: Epoch, id: PostId, body: Bytes) -> Incoming {
    Incoming {
        group,
        epoch,
        kind: PostKind::Welcome,
        id,
        body,
        held: true,
    }
}
