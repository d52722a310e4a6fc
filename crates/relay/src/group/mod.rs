//! Groups: the order of their posts, who may post, and the fan-out to mailboxes.
//!
//! **Elsewhere**: what a group means to its members is in `engine`; [`crate::mailbox::posts`] writes
//! posts, and [`crate::mailbox`] delivers them.
//!
//! **Always**: each epoch has one commit, the first that arrives. A removed member can no
//! longer post: the commit that renews the rejoin key ends all epochs before it. Other epochs
//! accept messages for a minute after they end. Each mailbox of the fan-out list gets every
//! post, or a mark that it missed one. The list is unencrypted only in the authorisations of
//! links, which end when they are not used.

mod change;
pub(crate) mod checks;
pub(crate) mod fan_outs;
mod idle;
mod signal;

use std::{
    collections::{HashMap, VecDeque, hash_map::Entry},
    sync::Arc,
};

use bytes::Bytes;
use waxwing_protocol::{
    ids::{Epoch, GroupId, MailboxId, PostId},
    limits, pb,
    pb::{ErrorCode, PostKind, relay_frame::Body as Answer},
    time::Time,
};

use self::{
    checks::{AuthoriseCheck, CheckedPosting, FetchCheck},
    fan_outs::FanOuts,
};
use crate::{
    answer::{Refused, Reply, RequestResult},
    context::Context,
    cost,
    feature::Feature,
    link::{Link, LinkId, RequestRef},
    mailbox::{
        Mailboxes,
        deposit::{Deposit, Reaches},
        posts::Repeated,
        shares::ANY_GROUP,
    },
    own_ids::OwnIds,
    reservation::Reservations,
    store::{
        KeySpace, Store, key,
        records::{EpochRecord, GroupRecord, GroupSequenceRecord},
    },
    sweep::{Done, Round},
};

/// Numbers that are reserved at a time.
const BLOCK: u64 = 1024;

/// Bytes that a mailbox takes in a list.
const MAILBOX_IN_LIST: usize = 18;

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
    /// Shared by all links: [`fan_outs`].
    fan_out: Arc<[MailboxId]>,
    pub(crate) used_at: Time,
}

impl Authorised {
    /// Where posts go.
    pub(crate) fn fan_out(&self) -> &[MailboxId] {
        &self.fan_out
    }
}

/// Where a link may post.
pub(crate) type PostingLink = HashMap<(GroupId, Epoch), Authorised>;

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

    /// Bytes of the sealed fan-out lists of its epochs.
    pub(crate) fn sealed_bytes(&self) -> usize {
        let epochs = self.record.epochs.iter();
        epochs.map(|epoch| epoch.sealed_fan_out.len()).sum()
    }

    /// The keys of an epoch in which members may post messages now.
    fn open_epoch(&self, date: Time, epoch: Epoch) -> Option<&EpochRecord> {
        let mut known = self.record.epochs.iter();
        known.find(|known| {
            known.epoch == epoch.0 && (epoch == self.epoch() || has_just_ended(date, known))
        })
    }
}

/// Whether messages are still taken for an epoch that is over.
fn has_just_ended(date: Time, epoch: &EpochRecord) -> bool {
    let ended_at = Time(epoch.ended_at_ms);
    // If the date was set back, it ended: clients encrypt again for the current epoch.
    ended_at <= date && date.since(ended_at) < limits::PAST_EPOCH_KEPT
}

/// All groups, and which links may post to them.
pub(crate) struct Groups {
    /// Those in memory.
    all: HashMap<GroupId, Group>,
    /// Where links may post.
    posting: HashMap<LinkId, PostingLink, OwnIds>,
    /// What is in those two, in the order in which the sweep looks at them.
    in_memory: VecDeque<GroupId>,
    posting_links: VecDeque<LinkId>,
    fan_outs: FanOuts,
    reservations: Reservations<GroupId>,
    /// How far the sweep of groups that nobody uses has come.
    pub(crate) round: Round,
}

impl Groups {
    pub(crate) fn new() -> Self {
        Self {
            all: HashMap::new(),
            posting: HashMap::default(),
            in_memory: VecDeque::new(),
            posting_links: VecDeque::new(),
            fan_outs: FanOuts::default(),
            reservations: Reservations::default(),
            round: Round::default(),
        }
    }

    /// Whether a link may post anywhere.
    pub(crate) fn is_posting(&self, link: LinkId) -> bool {
        let posting = self.posting.get(&link);
        posting.is_some_and(|posting| !posting.is_empty())
    }

    /// How many groups are in memory.
    pub(crate) fn len(&self) -> usize {
        self.in_memory.len()
    }

    /// How many links may post, or could a while ago.
    pub(crate) fn posting_links(&self) -> usize {
        self.posting_links.len()
    }

    /// Bytes of memory that unencrypted fan-out lists use.
    pub(crate) fn fan_out_bytes(&self) -> usize {
        self.fan_outs.bytes()
    }
}

impl<S: Store> Feature<S> for Groups {
    fn link_closed(&mut self, _: &mut Context<S>, link: LinkId, _: &Link) {
        for of in self.posting.remove(&link).unwrap_or_default().into_keys() {
            self.fan_out_left(of, link);
        }
    }

    fn batch_taken(&mut self) {
        self.reservations.batch_taken();
    }

    fn batch_written(&mut self, _: &mut Context<S>) {
        for (id, below) in self.reservations.batch_written() {
            if let Some(group) = self.all.get_mut(&id) {
                group.reserved = group.reserved.max(below);
            }
        }
    }

    /// Links authorise again.
    fn forget_unwritten(&mut self, _: &mut Context<S>) {
        self.reservations.clear();
        self.all.clear();
        self.in_memory.clear();
        self.posting_links.clear();
        self.fan_outs.clear();
        self.posting.clear();
    }
}

impl Groups {
    /// What the permission to post has to be verified by.
    pub(crate) fn posting_to_verify(
        &mut self,
        context: &mut Context<impl Store>,
        now: Time,
        link: LinkId,
        authorise: &pb::AuthorisePosting,
    ) -> Result<AuthoriseCheck, Refused> {
        let id = group_id(&authorise.group_id)?;
        let epoch = Epoch(authorise.epoch);
        let exporter = context.links.of_request(link)?.exporter;
        let date = context.date(now);
        let group = self.group(context, id)?;
        let current = group.epoch();
        let known = group
            .open_epoch(date, epoch)
            .ok_or_else(|| conflict(current))?;
        let (send_key, sealed_list) = (known.send_key.clone(), known.sealed_fan_out.clone());
        self.may_authorise(context, link, id, epoch)?;
        Self::charge_for_list(context, now, link, &sealed_list)?;
        Ok(AuthoriseCheck {
            group: id,
            epoch,
            exporter,
            send_key,
            sealed_list,
        })
    }

    pub(crate) fn authorise_posting(
        &mut self,
        context: &mut Context<impl Store>,
        now: Time,
        link: LinkId,
        authorise: &pb::AuthorisePosting,
        found: CheckedPosting,
    ) -> RequestResult {
        let id = group_id(&authorise.group_id)?;
        let epoch = Epoch(authorise.epoch);
        let CheckedPosting { send_key, list } = found;
        let date = context.date(now);
        let group = self.group(context, id)?;
        let current = group.epoch();
        let known = group.open_epoch(date, epoch);
        if known.is_none_or(|known| known.send_key != send_key) {
            return Err(conflict(current));
        }
        self.may_authorise(context, link, id, epoch)?;
        self.authorise(context, now, link, id, epoch, list)?;
        if context.has_space() {
            self.note_use(context, now, id)?;
            self.reserve_group(context, id)?;
        }
        Ok(Reply::Now(Answer::PostingAuthorised(
            pb::PostingAuthorised { epoch: current.0 },
        )))
    }

    pub(crate) fn post(
        &mut self,
        context: &mut Context<impl Store>,
        mailboxes: &mut Mailboxes,
        now: Time,
        asked: RequestRef,
        post: pb::Post,
        next_list: Option<Arc<[MailboxId]>>,
    ) -> RequestResult {
        let id = group_id(&post.group_id)?;
        let epoch = Epoch(post.epoch);
        let post_id = post_id(&post.post_id)?;
        let link = asked.link;
        let Some(authorised) = self.authorised(link, id, epoch) else {
            // Not known, or idle for too long: the client authorises again.
            return Err(Refused::unauthorised("this link may not post there"));
        };
        let fan_out = Arc::clone(&authorised.fan_out);
        let on_disk = !post.first_attempt;
        if let Some(answer) =
            self.answered_before(context, mailboxes, now, (id, post_id), asked, on_disk)?
        {
            return Ok(answer);
        }
        match post.kind() {
            PostKind::Message => {
                let date = context.date(now);
                let group = self.group(context, id)?;
                let current = group.epoch();
                if group.open_epoch(date, epoch).is_none() {
                    return Err(conflict(current));
                }
                if post.body.is_empty() || post.body.len() > limits::POST_BYTES {
                    return Err(too_large());
                }
                context.charge(now, link, cost::of_fan_out(fan_out.len()))?;
                let bytes = post.body.len();
                mailboxes.has_room(context, id, &fan_out, 1, bytes, Reaches::SomebodyElse)?;
                let incoming = Incoming {
                    group: id,
                    epoch,
                    kind: PostKind::Message,
                    id: post_id,
                    body: post.body,
                    held: false,
                };
                self.take(
                    context,
                    mailboxes,
                    now,
                    incoming,
                    &fan_out,
                    (Some(asked), current),
                )?;
                // Only what was taken: a refused post must not keep the list in memory.
                let authorised = self.posting.get_mut(&link);
                if let Some(authorised) =
                    authorised.and_then(|posting| posting.get_mut(&(id, epoch)))
                {
                    authorised.used_at = now;
                }
                Ok(Reply::Later)
            }
            PostKind::Commit => {
                let commit = (post, next_list);
                self.commit(context, mailboxes, now, asked, commit, &fan_out)
            }
            PostKind::Welcome | PostKind::Sms | PostKind::Unspecified => Err(Refused::malformed(
                "a welcome comes with its group or its commit",
            )),
        }
    }

    /// What asking for a group's information has to be verified by.
    pub(crate) fn fetch_to_verify(
        &mut self,
        context: &Context<impl Store>,
        link: LinkId,
        fetch: &pb::FetchGroupInfo,
    ) -> Result<FetchCheck, Refused> {
        let group = group_id(&fetch.group_id)?;
        Ok(FetchCheck {
            group,
            exporter: context.links.of_request(link)?.exporter,
            rejoin_key: self.group(context, group)?.record.rejoin_key.clone(),
        })
    }

    pub(crate) fn fetch_group_info(
        &mut self,
        context: &Context<impl Store>,
        fetch: &pb::FetchGroupInfo,
        rejoin_key: &Bytes,
    ) -> RequestResult {
        let id = group_id(&fetch.group_id)?;
        let group = self.group(context, id)?;
        let epoch = group.epoch();
        group.still_has(rejoin_key)?;
        let sealed_group_info = context
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
        context: &Context<impl Store>,
        mailboxes: &mut Mailboxes,
        now: Time,
        (group, post): (GroupId, PostId),
        asked: RequestRef,
        on_disk: bool,
    ) -> Result<Option<Reply>, Refused> {
        Ok(
            match mailboxes.repeated(context, now, group, post, asked, on_disk)? {
                None => None,
                Some(Repeated::Waiting) => Some(Reply::Later),
                Some(Repeated::Answered(mut answer)) => {
                    answer.epoch = self.group(context, group)?.epoch().0;
                    Some(Reply::Now(Answer::Posted(answer)))
                }
            },
        )
    }

    /// Numbers a post and puts it into the mailboxes of the list, which have
    /// [room](Mailboxes::has_room).
    fn take(
        &mut self,
        context: &mut Context<impl Store>,
        mailboxes: &mut Mailboxes,
        now: Time,
        incoming: Incoming,
        fan_out: &[MailboxId],
        (asked, epoch): (Option<RequestRef>, Epoch),
    ) -> Result<(), Refused> {
        let (group_sequence, numbered) = self.next_group_sequence(context, incoming.group)?;
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
        mailboxes.put(context, now, deposit, fan_out, held, (asked, answer));
        Ok(())
    }

    /// The next number, and whether it is reserved on disk.
    fn next_group_sequence(
        &mut self,
        context: &mut Context<impl Store>,
        id: GroupId,
    ) -> Result<(u64, bool), Refused> {
        let group = self.group(context, id)?;
        let sequence = group.next;
        group.next += 1;
        let reserved = sequence < group.reserved;
        self.reserve_group(context, id)?;
        Ok((sequence, reserved))
    }

    /// Reserves the next numbers, long before the block ends, so that nobody waits.
    fn reserve_group(
        &mut self,
        context: &mut Context<impl Store>,
        id: GroupId,
    ) -> Result<(), Refused> {
        let group = self.group(context, id)?;
        if group.next + BLOCK / 2 > group.reserving {
            group.reserving = group.next + BLOCK;
            let record = GroupSequenceRecord {
                reserved: group.reserving,
            };
            context
                .view
                .put(KeySpace::GroupSequences, key(&[id.as_bytes()]), &record);
            self.reservations.add(id, record.reserved);
        }
        Ok(())
    }

    /// What the link may post to a group, if it may.
    pub(crate) fn authorised(
        &self,
        link: LinkId,
        group: GroupId,
        epoch: Epoch,
    ) -> Option<&Authorised> {
        self.posting.get(&link)?.get(&(group, epoch))
    }

    /// To open a list and to look for its mailboxes costs by its length.
    fn charge_for_list(
        context: &mut Context<impl Store>,
        now: Time,
        link: LinkId,
        sealed: &[u8],
    ) -> Result<(), Refused> {
        if sealed.len() > limits::FAN_OUT_BYTES {
            return Err(too_large());
        }
        let mailboxes = sealed.len() / MAILBOX_IN_LIST;
        context.charge(now, link, cost::of_list(mailboxes))
    }

    /// Whether the link may have one more permission to post.
    fn may_authorise(
        &self,
        context: &Context<impl Store>,
        link: LinkId,
        group: GroupId,
        epoch: Epoch,
    ) -> Result<(), Refused> {
        context.links.of_request(link)?;
        let has = self.posting.get(&link).map_or(0, PostingLink::len);
        if has >= limits::POSTING_GROUPS_PER_LINK && self.authorised(link, group, epoch).is_none() {
            return Err(Refused::rate_limited(limits::POSTING_IDLE));
        }
        self.may_share_more(context, has)
    }

    fn authorise(
        &mut self,
        context: &Context<impl Store>,
        now: Time,
        link: LinkId,
        group: GroupId,
        epoch: Epoch,
        fan_out: Arc<[MailboxId]>,
    ) -> Result<(), Refused> {
        context.links.of_request(link)?;
        let fan_out = self.share_fan_out(context, now, link, (group, epoch), fan_out);
        let posting = self.posting.entry(link).or_insert_with(|| {
            self.posting_links.push_back(link);
            PostingLink::new()
        });
        let authorised = Authorised {
            fan_out,
            used_at: now,
        };
        let new = posting.insert((group, epoch), authorised).is_none();
        if new {
            self.group(context, group)?.links += 1;
        }
        Ok(())
    }

    /// A link lost its permission to post to a group.
    pub(crate) fn drop_group_from_memory(&mut self, id: GroupId) {
        if let Some(group) = self.all.get_mut(&id) {
            group.links = group.links.saturating_sub(1);
        }
    }

    /// The group, from memory or the store.
    fn group(&mut self, context: &Context<impl Store>, id: GroupId) -> Result<&mut Group, Refused> {
        match self.all.entry(id) {
            Entry::Occupied(known) => Ok(known.into_mut()),
            Entry::Vacant(vacant) => {
                let record: GroupRecord = context
                    .view
                    .get(KeySpace::Groups, id.as_bytes())?
                    .ok_or_else(unknown)?;
                let reserved = context
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
                self.in_memory.push_back(id);
                Ok(vacant.insert(group))
            }
        }
    }

    /// Ends authorisations that nobody has used for a while, on some of the links that have any,
    /// and removes their lists from memory.
    pub(crate) fn end_idle_postings(&mut self, now: Time, most: usize) -> Done {
        let mut touched = 0;
        let mut ended = Vec::new();
        for _ in 0..most.min(self.posting_links.len()) {
            if touched >= most {
                break;
            }
            let Some(id) = self.posting_links.pop_front() else {
                break;
            };
            touched += 1;
            let Some(posting) = self.posting.get_mut(&id) else {
                continue;
            };
            touched += posting.len();
            posting.retain(|of, authorised| {
                let keep = now.since(authorised.used_at) < limits::POSTING_IDLE;
                if !keep {
                    ended.push((*of, id));
                }
                keep
            });
            if posting.is_empty() {
                self.posting.remove(&id);
            } else {
                self.posting_links.push_back(id);
            }
        }
        for (of, link) in ended {
            self.fan_out_left(of, link);
        }
        Done::some(touched)
    }
}

impl Group {
    /// Whether the rejoin key that was verified is still the group's.
    fn still_has(&self, rejoin_key: &[u8]) -> Result<(), Refused> {
        if self.record.rejoin_key == rejoin_key {
            Ok(())
        } else {
            Err(Refused::unauthorised(
                "the signature is not by the rejoin key",
            ))
        }
    }
}

/// The keys of an epoch that begins.
pub(crate) fn epoch_keys(keys: Option<&pb::EpochKeys>) -> Result<&pb::EpochKeys, Refused> {
    keys.ok_or_else(|| Refused::malformed("the epoch's keys are missing"))
}

pub(crate) fn group_id(bytes: &bytes::Bytes) -> Result<GroupId, Refused> {
    let id = GroupId::try_from(bytes).map_err(|error| Refused::malformed(&error.to_string()))?;
    // Texts wait in mailboxes under it, and have their share of them.
    if id == ANY_GROUP {
        return Err(Refused::malformed("this id does not belong to a group"));
    }
    Ok(id)
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
