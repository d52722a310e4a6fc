//! What changes a group: making it, commits, rejoining.
//!
//! **Elsewhere**: posting into it as it is: [`super`].
//!
//! **Always**: all of a change is in one batch, with the posts that tell of it; it is
//! delivered when it is on disk. A change that is refused leaves everything as it was.

use std::sync::Arc;

use bytes::Bytes;
use prost::Message as _;
use sha2::{Digest as _, Sha256};
use waxwing_protocol::{
    ids::{Epoch, GroupId, MailboxId, PostId},
    limits, pb,
    pb::{ErrorCode, PostKind, relay_frame::Body as Answer},
    posting::{PostingAct, PostingPublicKey},
    time::{Span, Time},
};

use super::{Group, Incoming, conflict, deposit::Reaches, fan_out, group_id, post_id, too_large};
use crate::{
    posts::Asked,
    relay::{LinkId, Outcome, Refused, Relay, Reply},
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

impl<S: Store> Relay<S> {
    pub(crate) fn create_group(
        &mut self,
        now: Time,
        link: LinkId,
        request: u32,
        create: pb::CreateGroup,
    ) -> Outcome {
        let id = group_id(&create.group_id)?;
        let post = post_id(&create.post_id)?;
        let created_by = Bytes::copy_from_slice(&Sha256::digest(create.encode_to_vec()));
        let asked = Asked { link, request };
        let known: Option<GroupRecord> = self.view.get(KeySpace::Groups, id.as_bytes())?;
        if let Some(known) = known {
            if known.created_by != created_by {
                return Err(Refused::new(ErrorCode::GroupExists, "this group exists"));
            }
            if let Some(answer) = self.answered_before(now, id, post, asked, true)? {
                return Ok(answer);
            }
            // It was made, and its welcome, if it had one, was answered long ago.
            let answer = pb::Posted {
                group_sequence: 1,
                epoch: known.epoch,
            };
            return Ok(Reply::Durable(Answer::Posted(answer)));
        }
        let token = self.unspent(create.token.as_ref())?;
        if PostingPublicKey::from_bytes(&create.rejoin_key).is_none() {
            return Err(Refused::malformed("the rejoin key is malformed"));
        }
        if create.welcome.len() > limits::POST_BYTES {
            return Err(too_large());
        }
        let epoch = Epoch(create.epoch);
        let next = next_epoch(id, epoch, create.keys.as_ref(), &create.fan_out_key)?;
        self.may_authorise(link, id, epoch)?;
        if !create.welcome.is_empty() {
            let bytes = create.welcome.len();
            self.has_room(id, &next.fan_out, 1, bytes, Reaches::Everybody)?;
        }
        // Nothing refuses it any more.
        self.spend(&token);
        let record = GroupRecord {
            epoch: epoch.0,
            rejoin_key: create.rejoin_key,
            created_by,
            epochs: Vec::new(),
            changed_on_day: 0,
        };
        let group = Group {
            record,
            next: 1,
            reserved: 1,
            reserving: 1,
            links: 0,
        };
        self.groups.insert(id, group);
        let fan_out = Arc::clone(&next.fan_out);
        self.begin_epoch(now, link, id, next)?;
        if create.welcome.is_empty() {
            // Nobody is told: its maker is alone in it.
            let answer = pb::Posted {
                group_sequence: 0,
                epoch: epoch.0,
            };
            return Ok(Reply::Durable(Answer::Posted(answer)));
        }
        let welcome = welcome(id, epoch, post, create.welcome);
        self.take(now, welcome, &fan_out, Some(asked), epoch)?;
        Ok(Reply::Later)
    }

    #[allow(
        clippy::too_many_arguments,
        reason = "the parts of one request, checked by the caller"
    )]
    pub(crate) fn commit(
        &mut self,
        now: Time,
        asked: Asked,
        id: GroupId,
        epoch: Epoch,
        post: PostId,
        commit: pb::Post,
        old_list: &[MailboxId],
    ) -> Outcome {
        let current = self.group(id)?.epoch();
        if epoch != current {
            return Err(conflict(current));
        }
        if commit.body.is_empty()
            || commit.body.len() > limits::POST_BYTES
            || commit.welcome.len() > limits::POST_BYTES
        {
            return Err(too_large());
        }
        let next = next_epoch(
            id,
            epoch.next(),
            commit.next.as_ref(),
            &commit.next_fan_out_key,
        )?;
        let new_list = Arc::clone(&next.fan_out);
        let mut both: Vec<MailboxId> = old_list.iter().chain(new_list.iter()).copied().collect();
        both.sort_unstable();
        both.dedup();
        self.may_authorise(asked.link, id, epoch.next())?;
        let bytes = commit.body.len() + commit.welcome.len();
        self.has_room(id, &both, 2, bytes, Reaches::SomebodyElse)?;
        self.begin_epoch(now, asked.link, id, next)?;
        let incoming = Incoming {
            group: id,
            epoch,
            kind: PostKind::Commit,
            id: post,
            body: commit.body,
            held: true,
        };
        self.take(now, incoming, &both, Some(asked), epoch.next())?;
        if !commit.welcome.is_empty() {
            let welcome = welcome(id, epoch.next(), post, commit.welcome);
            self.take(now, welcome, &new_list, None, epoch.next())?;
        }
        Ok(Reply::Later)
    }

    pub(crate) fn rejoin(
        &mut self,
        now: Time,
        link: LinkId,
        request: u32,
        rejoin: pb::Rejoin,
    ) -> Outcome {
        let id = group_id(&rejoin.group_id)?;
        let post = post_id(&rejoin.post_id)?;
        let epoch = Epoch(rejoin.epoch);
        let asked = Asked { link, request };
        let group = self.group(id)?;
        let current = group.epoch();
        let act = PostingAct::Rejoin {
            epoch,
            body: &rejoin.body,
        };
        if !group.rejoin_key()?.verifies(id, act, &rejoin.signature) {
            return Err(Refused::unauthorised(
                "the signature is not by the rejoin key",
            ));
        }
        if let Some(answer) = self.answered_before(now, id, post, asked, true)? {
            return Ok(answer);
        }
        if epoch != current {
            return Err(conflict(current));
        }
        if rejoin.body.is_empty() || rejoin.body.len() > limits::POST_BYTES {
            return Err(too_large());
        }
        let next = next_epoch(
            id,
            epoch.next(),
            rejoin.next.as_ref(),
            &rejoin.next_fan_out_key,
        )?;
        let list = Arc::clone(&next.fan_out);
        self.may_authorise(link, id, epoch.next())?;
        self.has_room(id, &list, 1, rejoin.body.len(), Reaches::SomebodyElse)?;
        self.begin_epoch(now, link, id, next)?;
        let incoming = Incoming {
            group: id,
            epoch,
            kind: PostKind::Commit,
            id: post,
            body: rejoin.body,
            held: true,
        };
        self.take(now, incoming, &list, Some(asked), epoch.next())?;
        Ok(Reply::Later)
    }

    /// Makes `next` the group's current epoch, and authorises the link for it.
    fn begin_epoch(
        &mut self,
        now: Time,
        link: LinkId,
        id: GroupId,
        next: NextEpoch,
    ) -> Result<(), Refused> {
        self.authorise(now, link, id, next.epoch, next.fan_out)?;
        let kept = usize::try_from(limits::PAST_EPOCHS).unwrap_or(usize::MAX);
        let group = self.group(id)?;
        group.record.epoch = next.epoch.0;
        group.record.epochs.insert(0, next.record);
        group.record.epochs.truncate(kept.saturating_add(1));
        group.record.changed_on_day = now.0 / Span::days(1).0;
        if let Some(key) = next.rejoin_key {
            group.record.rejoin_key = key;
        }
        let record = group.record.clone();
        self.view
            .put(KeySpace::Groups, key(&[id.as_bytes()]), &record);
        self.view
            .put_bytes(KeySpace::GroupInfos, key(&[id.as_bytes()]), next.group_info);
        Ok(())
    }
}

fn next_epoch(
    group: GroupId,
    epoch: Epoch,
    keys: Option<&pb::EpochKeys>,
    fan_out_key: &[u8],
) -> Result<NextEpoch, Refused> {
    let keys = keys.ok_or_else(|| Refused::malformed("the epoch's keys are missing"))?;
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
        fan_out: fan_out(group, epoch, &keys.sealed_fan_out, fan_out_key)?,
        record: EpochRecord {
            epoch: epoch.0,
            send_key: keys.send_key.clone(),
            sealed_fan_out: keys.sealed_fan_out.clone(),
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
