//! Groups: their order, who may post, and the fan-out to mailboxes.
//!
//! **Elsewhere**: what a group is to its members is in `engine`; writing posts is
//! [`crate::posts`]'s, delivering them [`crate::mailbox`]'s.
//!
//! **Always**: one commit for each epoch, the first that comes. A post is taken for all
//! mailboxes of the list or for none. The list is in the clear only in the
//! authorisations of links, which end when they are not used.

mod change;
pub(crate) mod deposit;
mod signal;

use std::sync::Arc;

use prost::Message as _;
use waxwing_protocol::{
    ids::{Epoch, GroupId, MailboxId, PostId},
    limits, pb,
    pb::{ErrorCode, PostKind, relay_frame::Body as Answer},
    posting::{PostingAct, PostingPublicKey},
    sealing::{Sealed, SealingKey},
    time::Time,
};

use self::deposit::Deposit;
use crate::{
    posts::{Asked, Repeated},
    relay::{LinkId, Outcome, Refused, Relay, Reply},
    store::{
        KeySpace, Store, key,
        records::{GroupRecord, GroupSequenceRecord},
    },
};

/// Numbers that are reserved at a time.
const BLOCK: u64 = 1024;

/// A group in memory.
pub(crate) struct Group {
    record: GroupRecord,
    /// The next number to give out.
    next: u64,
    /// Below this, numbers are reserved on disk; and will be, once what is gathered is.
    reserved: u64,
    reserving: u64,
    /// Links that may post.
    links: usize,
}

/// A link's permission to post.
pub(crate) struct Authorised {
    fan_out: Arc<[MailboxId]>,
    pub(crate) used_at: Time,
}

/// A post that is being taken.
pub(crate) struct Incoming {
    group: GroupId,
    epoch: Epoch,
    kind: PostKind,
    id: PostId,
    body: bytes::Bytes,
    /// Not to be delivered before it is on disk.
    held: bool,
}

impl Group {
    pub(crate) fn is_idle(&self) -> bool {
        self.links == 0 && self.reserving == self.reserved
    }

    fn epoch(&self) -> Epoch {
        Epoch(self.record.epoch)
    }
}

impl<S: Store> Relay<S> {
    pub(crate) fn authorise_posting(
        &mut self,
        now: Time,
        link: LinkId,
        authorise: &pb::AuthorisePosting,
    ) -> Outcome {
        let id = group_id(&authorise.group_id)?;
        let epoch = Epoch(authorise.epoch);
        let exporter = self.link(link)?.exporter;
        let group = self.group(id)?;
        let current = group.epoch();
        let known = group
            .record
            .epochs
            .iter()
            .find(|known| known.epoch == epoch.0)
            .ok_or_else(|| conflict(current))?;
        let send_key =
            PostingPublicKey::from_bytes(&known.send_key).ok_or_else(Refused::unavailable)?;
        let act = PostingAct::Authorise {
            exporter: &exporter,
            epoch,
        };
        if !send_key.verifies(id, act, &authorise.signature) {
            return Err(Refused::unauthorised(
                "the signature is not by the epoch's send key",
            ));
        }
        let fan_out = fan_out(id, epoch, &known.sealed_fan_out, &authorise.fan_out_key)?;
        self.may_authorise(link, id, epoch)?;
        self.authorise(now, link, id, epoch, fan_out)?;
        if self.has_space() {
            self.reserve_group(id)?;
        }
        Ok(Reply::Now(Answer::PostingAuthorised(
            pb::PostingAuthorised { epoch: current.0 },
        )))
    }

    pub(crate) fn post(
        &mut self,
        now: Time,
        link: LinkId,
        request: u32,
        post: pb::Post,
    ) -> Outcome {
        let id = group_id(&post.group_id)?;
        let epoch = Epoch(post.epoch);
        let post_id = post_id(&post.post_id)?;
        let asked = Asked { link, request };
        let state = self
            .links
            .get_mut(&link)
            .ok_or_else(|| Refused::malformed("the link is closed"))?;
        let Some(authorised) = state.posting.get_mut(&(id, epoch)) else {
            // Not known, or idle for too long: the client authorises again.
            return Err(Refused::unauthorised("this link may not post there"));
        };
        authorised.used_at = now;
        let fan_out = Arc::clone(&authorised.fan_out);
        let on_disk = !post.first_attempt;
        if let Some(answer) = self.answered_before(now, id, post_id, asked, on_disk)? {
            return Ok(answer);
        }
        match post.kind() {
            PostKind::Message => {
                let current = self.group(id)?.epoch();
                if epoch > current || epoch.0 + limits::PAST_EPOCHS < current.0 {
                    return Err(conflict(current));
                }
                if post.body.is_empty() || post.body.len() > limits::POST_BYTES {
                    return Err(too_large());
                }
                let incoming = Incoming {
                    group: id,
                    epoch,
                    kind: PostKind::Message,
                    id: post_id,
                    body: post.body,
                    held: false,
                };
                self.take(now, incoming, &fan_out, Some(asked), current)?;
                Ok(Reply::Later)
            }
            PostKind::Commit => self.commit(now, asked, id, epoch, post_id, post, &fan_out),
            PostKind::Welcome | PostKind::Sms | PostKind::Unspecified => Err(Refused::malformed(
                "a welcome comes with its group or its commit",
            )),
        }
    }

    pub(crate) fn fetch_group_info(&mut self, link: LinkId, fetch: &pb::FetchGroupInfo) -> Outcome {
        let id = group_id(&fetch.group_id)?;
        let exporter = self.link(link)?.exporter;
        let group = self.group(id)?;
        let epoch = group.epoch();
        let act = PostingAct::Fetch {
            exporter: &exporter,
        };
        if !group.rejoin_key()?.verifies(id, act, &fetch.signature) {
            return Err(Refused::unauthorised(
                "the signature is not by the rejoin key",
            ));
        }
        let sealed_group_info = self
            .view
            .get_bytes(KeySpace::GroupInfos, id.as_bytes())?
            .unwrap_or_default();
        Ok(Reply::Now(Answer::GroupInfoFetched(pb::GroupInfoFetched {
            epoch: epoch.0,
            sealed_group_info,
        })))
    }

    /// The answer to a post that comes again.
    fn answered_before(
        &mut self,
        now: Time,
        group: GroupId,
        post: PostId,
        asked: Asked,
        on_disk: bool,
    ) -> Result<Option<Reply>, Refused> {
        Ok(match self.repeated(now, group, post, asked, on_disk)? {
            None => None,
            Some(Repeated::Waiting) => Some(Reply::Later),
            Some(Repeated::Answered(mut answer)) => {
                answer.epoch = self.group(group)?.epoch().0;
                Some(Reply::Now(Answer::Posted(answer)))
            }
        })
    }

    /// Numbers a post and puts it into the mailboxes of the list.
    fn take(
        &mut self,
        now: Time,
        incoming: Incoming,
        fan_out: &[MailboxId],
        asked: Option<Asked>,
        epoch: Epoch,
    ) -> Result<(), Refused> {
        self.has_room(fan_out, 1, incoming.body.len())?;
        let (group_sequence, numbered) = self.next_group_sequence(incoming.group)?;
        let held = incoming.held || !numbered;
        let answer = pb::Posted {
            group_sequence,
            epoch: epoch.0,
        };
        let deposit = Deposit {
            group: incoming.group,
            group_sequence,
            epoch: incoming.epoch.0,
            kind: incoming.kind,
            id: incoming.id,
            body: incoming.body,
        };
        self.put(now, deposit, fan_out, held, (asked, answer));
        Ok(())
    }

    /// The next number, and whether it is reserved on disk.
    fn next_group_sequence(&mut self, id: GroupId) -> Result<(u64, bool), Refused> {
        let group = self.group(id)?;
        let sequence = group.next;
        group.next += 1;
        let reserved = sequence < group.reserved;
        self.reserve_group(id)?;
        Ok((sequence, reserved))
    }

    /// Reserves the next numbers, long before the block ends, so that nobody waits.
    fn reserve_group(&mut self, id: GroupId) -> Result<(), Refused> {
        let group = self.group(id)?;
        if group.next + BLOCK / 2 > group.reserving {
            group.reserving = group.next + BLOCK;
            let record = GroupSequenceRecord {
                reserved: group.reserving,
            };
            self.view
                .put(KeySpace::GroupSequences, key(&[id.as_bytes()]), &record);
            self.reservations.group(id, record.reserved);
        }
        Ok(())
    }

    pub(crate) fn group_reserved(&mut self, id: GroupId, below: u64) {
        if let Some(group) = self.groups.get_mut(&id) {
            group.reserved = group.reserved.max(below);
        }
    }

    /// Whether the link may have one more permission to post.
    fn may_authorise(&self, link: LinkId, group: GroupId, epoch: Epoch) -> Result<(), Refused> {
        let posting = &self.link(link)?.posting;
        if posting.len() >= limits::POSTING_GROUPS_PER_LINK
            && !posting.contains_key(&(group, epoch))
        {
            return Err(Refused::rate_limited(limits::POSTING_IDLE));
        }
        Ok(())
    }

    fn authorise(
        &mut self,
        now: Time,
        link: LinkId,
        group: GroupId,
        epoch: Epoch,
        fan_out: Arc<[MailboxId]>,
    ) -> Result<(), Refused> {
        let state = self
            .links
            .get_mut(&link)
            .ok_or_else(|| Refused::malformed("the link is closed"))?;
        let new = !state.posting.contains_key(&(group, epoch));
        state.posting.insert(
            (group, epoch),
            Authorised {
                fan_out,
                used_at: now,
            },
        );
        if new {
            self.group(group)?.links += 1;
        }
        Ok(())
    }

    /// A link lost its permission to post to a group.
    pub(crate) fn group_left(&mut self, id: GroupId) {
        if let Some(group) = self.groups.get_mut(&id) {
            group.links = group.links.saturating_sub(1);
        }
    }

    /// The group, from memory or the store.
    fn group(&mut self, id: GroupId) -> Result<&mut Group, Refused> {
        if !self.groups.contains_key(&id) {
            let record: GroupRecord = self
                .view
                .get(KeySpace::Groups, id.as_bytes())?
                .ok_or_else(unknown)?;
            let reserved = self
                .view
                .get::<GroupSequenceRecord>(KeySpace::GroupSequences, id.as_bytes())?
                .map_or(1, |record| record.reserved.max(1));
            let group = Group {
                record,
                next: reserved,
                reserved,
                reserving: reserved,
                links: 0,
            };
            self.groups.insert(id, group);
        }
        self.groups.get_mut(&id).ok_or_else(unknown)
    }

    /// Goes back to what is on disk; links authorise again.
    pub(crate) fn forget_groups(&mut self) {
        self.groups.clear();
        for link in self.links.values_mut() {
            link.posting.clear();
        }
    }
}

impl Group {
    fn rejoin_key(&self) -> Result<PostingPublicKey, Refused> {
        PostingPublicKey::from_bytes(&self.record.rejoin_key).ok_or_else(Refused::unavailable)
    }
}

/// Opens a fan-out list.
fn fan_out(
    group: GroupId,
    epoch: Epoch,
    sealed: &[u8],
    sealing_key: &[u8],
) -> Result<Arc<[MailboxId]>, Refused> {
    if sealed.len() > limits::FAN_OUT_BYTES {
        return Err(too_large());
    }
    let opened = SealingKey::from_slice(sealing_key)
        .and_then(|key| key.open(Sealed::FanOut, group, epoch, sealed).ok())
        .ok_or_else(|| Refused::unauthorised("the fan-out list does not open with that key"))?;
    let list = pb::FanOut::decode(opened.as_slice())
        .map_err(|_| Refused::malformed("the fan-out list is malformed"))?;
    if list.mailboxes.is_empty() || list.mailboxes.len() > limits::FAN_OUT_MAILBOXES {
        return Err(too_large());
    }
    let mut mailboxes = list
        .mailboxes
        .iter()
        .map(MailboxId::try_from)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| Refused::malformed(&error.to_string()))?;
    mailboxes.sort_unstable();
    mailboxes.dedup();
    Ok(mailboxes.into())
}

fn group_id(bytes: &bytes::Bytes) -> Result<GroupId, Refused> {
    GroupId::try_from(bytes).map_err(|error| Refused::malformed(&error.to_string()))
}

fn post_id(bytes: &bytes::Bytes) -> Result<PostId, Refused> {
    PostId::try_from(bytes).map_err(|error| Refused::malformed(&error.to_string()))
}

fn conflict(current: Epoch) -> Refused {
    let mut refused = Refused::new(ErrorCode::EpochConflict, "the group is in another epoch");
    refused.0.epoch = current.0;
    refused
}

fn unknown() -> Refused {
    Refused::new(ErrorCode::GroupUnknown, "there is no such group")
}

fn too_large() -> Refused {
    Refused::new(
        ErrorCode::TooLarge,
        "the post or list is empty or too large",
    )
}
