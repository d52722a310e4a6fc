//! The relay as a state machine: frames and time go in, frames and batches come out.
//!
//! The relay answers a request at once, or when the batch that holds its changes is on disk.
//! The server calls [`Relay::begin`] under one lock, lets [`Verification::run`] verify
//! signatures without the lock, and passes the result to [`Relay::finish`]. (Without a server,
//! [`Relay::handle`] does all of this.) The server drains [`Relay::poll_effect`]. One writer
//! takes a [`Batch`], commits it without the lock, and reports [`Relay::handle_batch_written`] or
//! [`Relay::handle_batch_failed`]; meanwhile the next batch gathers. Changes for the key log are
//! taken with [`Relay::take_publication`] in the same way.
//!
//! **Elsewhere**: what each request does is in [`crate::address`], [`crate::directory`],
//! [`crate::mailbox`], [`crate::group`], [`crate::rendezvous`] and [`crate::backup`];
//! [`crate::dispatch`] chooses between them; sockets and mail are in [`crate::server`] and
//! [`crate::mail`].
//!
//! **Always**: no I/O except reading the store, no clock, no randomness of its own. The time
//! that the relay is given is steady: it never jumps. What the relay stores, signs or tells
//! clients carries the date instead ([`crate::clock`]). A refused request changes nothing.
//! What the relay has answered is on disk, except posts that every recipient acknowledged
//! before they were written. When a batch fails, the relay answers its requests with
//! `UNAVAILABLE` and tries the batch again once a second: changes that free space are not
//! lost, and nobody is disconnected. Until the batch is written, and while the disk is nearly
//! full, the relay accepts only requests that free space. A batch that can never be written is
//! dropped, with everything in it that was not on disk.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, VecDeque},
    net::IpAddr,
    sync::Arc,
};

use bytes::Bytes;
use rand::CryptoRng;
use waxwing_protocol::{
    Exporter, VERSIONS,
    address::Address,
    ids::{AccountId, DeviceId, GroupId, MailboxId},
    limits,
    pb::{self, ErrorCode, client_frame::Body as Request, relay_frame::Body as Answer},
    time::{Span, Time},
};
use waxwing_transparency::identity::LogIdentity;

pub use crate::config::Config;
pub use crate::sweep::SLICE_MOST;
use crate::{
    address::{codes::Codes, lock::Contests},
    backup::Backups,
    blob::Blobs,
    clock::Calendar,
    damage::Damaged,
    directory::{log::Question, publications::Publications, token_keys::TokenPeriod},
    group::{Authorised, Group, fan_outs::FanOuts},
    link::{Link, LinkStage},
    mailbox::{Again, Mailbox, OwnIds, SentPost, counting::Counting},
    pending_view::View,
    posts::{Posts, is_due},
    rate_limit::{Buckets, SourceBuckets},
    rendezvous::Rendezvouses,
    sms::{
        accounts::{Submission, Texts, Verdict},
        limits::Budgets,
    },
    store::{Store, StoreError, Write, records::UsageRecord},
    sweep::{Done, Sweep},
    verification::{Check, CheckResult, Verification, Verified},
};

/// A link, numbered by the server; never used twice in a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LinkId(pub u64);

/// Where a link comes from, as rate limits count it.
pub type Source = IpAddr;

impl LinkId {
    /// Not a real link: what waits for the disk on it belongs to the SMS gateway.
    pub(crate) const GATEWAY: Self = Self(u64::MAX);
}

/// Secrets from the relay's identity.
pub struct Secrets {
    /// The seed of the keys that issue and check tokens.
    pub token_seed: [u8; 32],
    /// Keys the hash under which addresses are stored.
    pub address_key: [u8; 32],
}

/// What the server must do.
#[derive(Clone)]
pub enum Effect {
    /// Send a frame.
    Send {
        /// On which link.
        link: LinkId,
        /// What.
        frame: pb::RelayFrame,
    },
    /// Close a link, after what was sent.
    Close {
        /// Which.
        link: LinkId,
    },
    /// Ask the key log, off the lock ([`KeyLog::answer`](crate::directory::log::KeyLog::answer)),
    /// and send its answer.
    Prove {
        /// On which link.
        link: LinkId,
        /// In which request.
        request: u32,
        /// What.
        question: Question,
    },
    /// Mail a code. Whether it arrives does not change the answer; if it certainly does not,
    /// [`Relay::code_not_sent`] tells the requester.
    SendCode {
        /// The link on which it was asked for.
        link: LinkId,
        /// In which request.
        request: u32,
        /// To whom.
        address: Address,
        /// The digits.
        code: String,
    },
    /// Hand a text to the service centre: its id is on disk.
    SendSms(Box<Submission>),
    /// Tell the service centre what happened to a text that arrived.
    AnswerSms {
        /// Which.
        ticket: u64,
        /// What.
        verdict: Verdict,
    },
}

/// A frame may hold ids that belong together, and nobody may read a code.
impl std::fmt::Debug for Effect {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Send { .. } => "Send(…)",
            Self::Close { .. } => "Close(…)",
            Self::Prove { .. } => "Prove(…)",
            Self::SendCode { .. } => "SendCode(…)",
            Self::SendSms(_) => "SendSms(…)",
            Self::AnswerSms { .. } => "AnswerSms(…)",
        })
    }
}

/// Counts, for metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Links that are open.
    pub links: u64,
    /// Links that are logged in.
    pub logged_in: u64,
    /// Bytes of memory that unencrypted fan-out lists use.
    pub fan_out_bytes: u64,
    /// Posts accepted since the start.
    pub posts: u64,
    /// Posts delivered to a device, counted for each mailbox.
    pub delivered: u64,
    /// Posts that devices acknowledged.
    pub acknowledged: u64,
    /// Posts that all recipients had before they were written to disk.
    pub never_written: u64,
    /// Posts that waited longer than allowed.
    pub expired: u64,
    /// Posts for which a mailbox had no room, counted for each mailbox.
    pub left_out: u64,
    /// Requests refused.
    pub refused: u64,
    /// Codes sent.
    pub codes: u64,
    /// Addresses registered.
    pub registrations: u64,
    /// Changes that were added to the key log.
    pub changes: u64,
    /// Publications that failed.
    pub failed_publications: u64,
    /// Batches written.
    pub batches: u64,
    /// Batches that failed, counted for each attempt.
    pub failed_batches: u64,
    /// Damaged records that were skipped.
    pub damaged: u64,
    /// How often the machine's clock has jumped.
    pub clock_leaps: u64,
}

/// Changes to commit together. [`Batch::into_writes`] needs no lock.
pub struct Batch {
    writes: Vec<Write>,
    posts: Vec<crate::posts::BatchedPost>,
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

/// Why a request was refused.
#[derive(Debug)]
pub(crate) struct Refused(pub(crate) pb::Error);

pub(crate) type RequestResult = Result<Reply, Refused>;

/// How a request is answered.
pub(crate) enum Reply {
    /// At once.
    Now(Answer),
    /// Once the gathered changes are on disk.
    Durable(Answer),
    /// Elsewhere, or not at all.
    Later,
}

impl Refused {
    pub(crate) fn new(code: ErrorCode, detail: &str) -> Self {
        Self(pb::Error {
            code: code.into(),
            detail: detail.to_owned(),
            ..pb::Error::default()
        })
    }

    pub(crate) fn malformed(detail: &str) -> Self {
        Self::new(ErrorCode::Malformed, detail)
    }

    pub(crate) fn unauthorised(detail: &str) -> Self {
        Self::new(ErrorCode::Unauthorised, detail)
    }

    pub(crate) fn rate_limited(wait: Span) -> Self {
        let mut error = Self::new(ErrorCode::RateLimited, "too many of these");
        error.0.retry_after_ms = wait.0.max(1);
        error
    }

    pub(crate) fn unavailable() -> Self {
        let mut error = Self::new(
            ErrorCode::Unavailable,
            "the relay cannot store anything now",
        );
        error.0.retry_after_ms = 1000;
        error
    }
}

impl From<StoreError> for Refused {
    fn from(_: StoreError) -> Self {
        Self::unavailable()
    }
}

/// The relay. See the module.
pub struct Relay<S> {
    pub(crate) config: Config,
    pub(crate) secrets: Arc<Secrets>,
    pub(crate) view: View<S>,
    pub(crate) links: HashMap<LinkId, Link>,
    pub(crate) effects: VecDeque<Effect>,
    pub(crate) counts: Counts,
    pub(crate) codes: Codes,
    pub(crate) look_ups: SourceBuckets,
    /// What expensive requests cost.
    pub(crate) work: SourceBuckets,
    /// What accounts ask the log to add.
    pub(crate) changes: Buckets<AccountId>,
    pub(crate) publications: Publications,
    pub(crate) log: LogIdentity,
    /// Mailboxes of revoked devices whose records still have to be deleted.
    pub(crate) revoked: BTreeMap<MailboxId, DeviceId>,
    pub(crate) mailboxes: HashMap<MailboxId, Mailbox, OwnIds>,
    pub(crate) groups: HashMap<GroupId, Group>,
    /// What is in those two, and the links that may post, in the order in which the sweep
    /// looks at them.
    pub(crate) mailboxes_in_memory: VecDeque<MailboxId>,
    pub(crate) groups_in_memory: VecDeque<GroupId>,
    pub(crate) posting_links: VecDeque<LinkId>,
    /// Links by the account that is logged in on them.
    pub(crate) online: BTreeSet<(AccountId, LinkId)>,
    pub(crate) fan_outs: FanOuts,
    pub(crate) posts: Posts,
    /// Logged-in devices, so that a second login replaces the first.
    pub(crate) devices: HashMap<DeviceId, LinkId>,
    /// Answers that wait for the batch that is gathering, and the one being written.
    gathering: Vec<(LinkId, pb::RelayFrame)>,
    writing: Option<Vec<(LinkId, pb::RelayFrame)>>,
    failed: Option<Failed>,
    /// Whether writing the last batch failed.
    is_failing: bool,
    generation: u64,
    pub(crate) counting: Counting,
    /// What was charged since the last call.
    pub(crate) charged: u32,
    pub(crate) reservations: Reservations,
    pub(crate) sweep: Sweep,
    pub(crate) calendar: Calendar,
    pub(crate) tokens: TokenPeriod,
    /// The total of what is stored, and what was counted at the start.
    pub(crate) usage: UsageRecord,
    pub(crate) counted: UsageRecord,
    pub(crate) rendezvouses: Rendezvouses,
    pub(crate) backups: Backups,
    pub(crate) blobs: Blobs,
    pub(crate) contests: Contests,
    /// What was spent on texts; `None` if the relay cannot send texts.
    pub(crate) spending: Option<Budgets>,
    pub(crate) texts: Texts,
    pub(crate) damaged: Damaged,
    /// Mailboxes whose posts could not be read; reading them is tried again.
    pub(crate) unread: BTreeSet<MailboxId>,
    /// Acknowledged posts that could not be deleted; deleting them is tried again, too.
    pub(crate) undeleted: Vec<(MailboxId, SentPost)>,
    pub(crate) again: Again,
}

/// A batch that could not be written. Its changes are still where they were gathered.
struct Failed {
    /// What must not be answered before it is written.
    answers: Vec<(LinkId, pb::RelayFrame)>,
    /// Whether time has passed since.
    is_due: bool,
}

/// Numbers that are being reserved on disk: with the batch that gathers, and with the one
/// that is written.
#[derive(Default)]
pub(crate) struct Reservations {
    gathering: Vec<Reservation>,
    writing: Vec<Reservation>,
}

#[derive(Clone, Copy)]
enum Reservation {
    Mailbox(MailboxId, u64),
    Group(GroupId, u64),
}

impl Reservations {
    pub(crate) fn mailbox(&mut self, id: MailboxId, below: u64) {
        self.gathering.push(Reservation::Mailbox(id, below));
    }

    pub(crate) fn group(&mut self, id: GroupId, below: u64) {
        self.gathering.push(Reservation::Group(id, below));
    }
}

impl<S: Store> Relay<S> {
    /// Opens the relay on what `store` holds; `log` is the key log on the same store.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn open(
        store: Arc<S>,
        config: Config,
        secrets: Secrets,
        log: LogIdentity,
    ) -> Result<Self, StoreError> {
        let posts = Posts::open(store.as_ref())?;
        let mut relay = Self {
            codes: Codes::new(&config),
            rendezvouses: Rendezvouses::new(&config),
            backups: Backups::new(&config),
            blobs: Blobs::default(),
            contests: Contests::default(),
            spending: config.texts.clone().map(Budgets::new),
            texts: Texts::new(&config),
            look_ups: SourceBuckets::new(config.look_ups_per_source, 100_000),
            work: SourceBuckets::new(config.work_per_source, 100_000),
            changes: Buckets::new(config.changes_per_account, 100_000),
            publications: Publications::default(),
            log,
            revoked: BTreeMap::new(),
            generation: store.generation(),
            counting: Counting::default(),
            charged: 0,
            view: View::new(store),
            config,
            secrets: Arc::new(secrets),
            posts,
            links: HashMap::new(),
            effects: VecDeque::new(),
            counts: Counts::default(),
            mailboxes: HashMap::default(),
            groups: HashMap::new(),
            mailboxes_in_memory: VecDeque::new(),
            groups_in_memory: VecDeque::new(),
            posting_links: VecDeque::new(),
            online: BTreeSet::new(),
            fan_outs: FanOuts::default(),
            devices: HashMap::new(),
            gathering: Vec::new(),
            writing: None,
            failed: None,
            is_failing: false,
            damaged: Damaged::default(),
            unread: BTreeSet::new(),
            undeleted: Vec::new(),
            again: Again::default(),
            reservations: Reservations::default(),
            sweep: Sweep::default(),
            calendar: Calendar::default(),
            tokens: TokenPeriod::default(),
            usage: UsageRecord::default(),
            counted: UsageRecord::default(),
        };
        relay.read_clock()?;
        relay.read_token_period()?;
        relay.read_usage()?;
        relay.read_revoked()?;
        relay.read_spending()?;
        Ok(relay)
    }

    /// The store, for the writer.
    pub fn store(&self) -> Arc<S> {
        Arc::clone(self.view.store())
    }

    /// Counts, for metrics.
    pub fn counts(&self) -> Counts {
        let logged_in = self.devices.len() as u64;
        Counts {
            links: self.links.len() as u64,
            logged_in,
            clock_leaps: self.clock_leaps(),
            fan_out_bytes: self.fan_outs.bytes() as u64,
            ..self.counts
        }
    }

    /// A link was opened; the relay sends its greeting.
    pub fn link_opened(
        &mut self,
        now: Time,
        rng: &mut dyn CryptoRng,
        link: LinkId,
        exporter: Exporter,
        source: Source,
    ) {
        let mut challenge = [0; 32];
        rng.fill_bytes(&mut challenge);
        let shown = self.token_key_to_show(now);
        let state = Link {
            token_period: shown.period,
            ..Link::new(exporter, challenge, source)
        };
        self.links.insert(link, state);
        let hello = pb::Hello {
            versions: VERSIONS.to_vec(),
            challenge: Bytes::copy_from_slice(&challenge),
            token_key: shown.key.into(),
            now_ms: self.date(now).0,
            log_id: Bytes::copy_from_slice(&self.log.id().0),
            token_period: shown.period,
        };
        self.send(link, 0, Answer::Hello(hello));
    }

    /// A frame arrived: [`begin`](Self::begin), [`Verification::run`] and [`finish`](Self::finish)
    /// at once.
    pub fn handle(
        &mut self,
        now: Time,
        rng: &mut dyn CryptoRng,
        link: LinkId,
        frame: pb::ClientFrame,
    ) {
        let mut verification = self.begin(now, rng, link, frame);
        while let Some(some) = verification {
            verification = self.finish(now, rng, some.run());
        }
    }

    /// A frame arrived. Returns what has to be verified for it, without the lock, before
    /// [`finish`](Self::finish); until then the link's next frame has to wait. Returns `None` if
    /// the request is done.
    pub fn begin(
        &mut self,
        now: Time,
        rng: &mut dyn CryptoRng,
        link: LinkId,
        frame: pb::ClientFrame,
    ) -> Option<Verification<S>> {
        if !self.links.contains_key(&link) {
            return None;
        }
        let request = frame.request;
        let is_login = matches!(frame.body, Some(Request::Login(_)));
        let is_quiet = matches!(frame.body, Some(Request::Ping(_)));
        let work = match self.charge(now, link, crate::cost::of(frame.body.as_ref())) {
            Err(refused) => Err(refused),
            Ok(()) => match &frame.body {
                Some(body) => self.needs_verifying(now, rng, link, body),
                None => Ok(None),
            },
        };
        let outcome = match (work, frame.body) {
            (Ok(Some(work)), Some(body)) => {
                let count = self.to_count(link, &body, None, 0);
                return Some(self.verification(link, request, body, work, count));
            }
            (Ok(None), Some(body)) if let Some(count) = self.to_count(link, &body, None, 0) => {
                let work = Check::Done(CheckResult::Nothing);
                return Some(self.verification(link, request, body, work, Some(count)));
            }
            (Ok(_), body) => self.dispatch(now, rng, link, request, body, CheckResult::Nothing),
            (Err(refused), _) => Err(refused),
        };
        self.answer(link, request, is_login, outcome);
        if is_quiet {
            self.renew_link(now, link);
        }
        None
    }

    /// A request was verified. Returns what else has to be verified before it is carried out.
    pub fn finish(
        &mut self,
        now: Time,
        rng: &mut dyn CryptoRng,
        verified: Verified,
    ) -> Option<Verification<S>> {
        let Verified {
            link,
            request,
            body,
            found,
            counted,
            ..
        } = verified;
        if !self.links.contains_key(&link) {
            return None;
        }
        let round = counted.map_or(0, |counted| self.take_counted(counted));
        let found = match found {
            Ok(found) => match self.to_count(link, &body, Some(&found), round) {
                Some(count) => {
                    let work = Check::Done(found);
                    return Some(self.verification(link, request, body, work, Some(count)));
                }
                None => Ok(found),
            },
            Err(refused) => Err(refused),
        };
        let is_login = matches!(body, Request::Login(_));
        let outcome =
            found.and_then(|found| self.dispatch(now, rng, link, request, Some(body), found));
        self.answer(link, request, is_login, outcome);
        None
    }

    fn answer(&mut self, link: LinkId, request: u32, is_login: bool, outcome: RequestResult) {
        match outcome {
            Ok(Reply::Now(answer)) => self.send(link, request, answer),
            Ok(Reply::Durable(answer)) => {
                self.gathering.push((
                    link,
                    pb::RelayFrame {
                        request,
                        body: Some(answer),
                    },
                ));
            }
            Ok(Reply::Later) => {}
            Err(Refused(error)) => {
                self.counts.refused += 1;
                let is_wrong = error.code() == ErrorCode::Unauthorised;
                self.send(link, request, Answer::Error(error));
                if is_login && is_wrong {
                    self.login_failed(link);
                }
            }
        }
    }

    /// A link was closed.
    pub fn link_closed(&mut self, link: LinkId) {
        let Some(state) = self.links.remove(&link) else {
            return;
        };
        for of in state.posting.into_keys() {
            self.fan_out_left(of, link);
        }
        if let Some(place) = state.rendezvous {
            self.left(link, place);
        }
        if let LinkStage::LoggedIn {
            account,
            device,
            mailbox,
        } = state.stage
        {
            self.online.remove(&(account, link));
            // A newer link of the device may have taken its place.
            if self.devices.get(&device) == Some(&link) {
                self.devices.remove(&device);
            }
            self.mailbox_link_closed(mailbox, link);
        }
    }

    /// Time passed. Call this about once a second if nobody waits for a lock; otherwise
    /// [`begin_sweep`](Self::begin_sweep) and [`sweep_slice`](Self::sweep_slice) do the same.
    pub fn tick(&mut self, now: Time) {
        self.begin_sweep();
        while self.sweep_slice(now) {}
    }

    /// What to do next.
    pub fn poll_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// A batch that could not be written is due again.
    pub(crate) const fn try_batch_again(&mut self) {
        if let Some(failed) = &mut self.failed {
            failed.is_due = true;
        }
    }

    /// When to call [`take_batch`](Self::take_batch) next; a time in the past means at once. `None`
    /// while a batch is being written, or if there is nothing to write.
    pub fn next_write(&mut self) -> Option<Time> {
        if self.writing.is_some() {
            None
        } else if let Some(failed) = &self.failed {
            failed.is_due.then_some(Time(0))
        } else if self.view.has_gathered() || !self.gathering.is_empty() {
            Some(Time(0))
        } else {
            self.posts.next_write()
        }
    }

    /// Takes everything that is due to be written, to commit it without the lock. `None` while
    /// another batch is being written, or if there is nothing to write.
    pub fn take_batch(&mut self, now: Time) -> Option<Batch> {
        if self.next_write().is_none_or(|at| !is_due(at, now)) {
            return None;
        }
        if let Some(failed) = self.failed.take() {
            self.writing = Some(failed.answers);
            return Some(Batch {
                writes: self.view.rebuild_batch(),
                posts: self.posts.batch_again(),
            });
        }
        let posts = self.posts.begin_batch(now);
        let writes = self.view.begin();
        self.reservations.writing = std::mem::take(&mut self.reservations.gathering);
        self.writing = Some(std::mem::take(&mut self.gathering));
        Some(Batch { writes, posts })
    }

    /// The batch that was taken is on disk.
    pub fn handle_batch_written(&mut self) {
        while !self.batch_written_some(usize::MAX) {}
    }

    /// The batch that was taken is on disk: does what follows for its posts in about so many
    /// mailboxes, and returns whether that was all. Until then, no other batch is taken.
    pub fn batch_written_some(&mut self, most: usize) -> bool {
        let Some(answers) = self.writing.as_mut().map(std::mem::take) else {
            return true;
        };
        self.is_failing = false;
        if self.view.is_writing() {
            self.counts.batches += 1;
            self.view.written();
            self.reservations_written();
        }
        for (link, frame) in answers {
            if link == LinkId::GATEWAY {
                self.gateway_durable(frame.request, true);
            } else {
                self.effects.push_back(Effect::Send { link, frame });
            }
        }
        match self.posts_written(most) {
            Ok(true) => {}
            Ok(false) => return false,
            Err(_) => self.forget(Vec::new()),
        }
        self.writing = None;
        self.follow_generation();
        true
    }

    /// The batch that was taken could not be written.
    pub fn handle_batch_failed(&mut self, error: &StoreError) {
        let Some(answers) = self.writing.take() else {
            return;
        };
        self.counts.failed_batches += 1;
        if !error.may_pass() {
            self.forget(answers);
            self.follow_generation();
            return;
        }
        self.is_failing = true;
        // A client that repeats its request then learns what happened. The SMS gateway waits.
        let is_gateways = |(link, _): &(LinkId, pb::RelayFrame)| *link == LinkId::GATEWAY;
        let (answers, refused): (Vec<_>, Vec<_>) = answers.into_iter().partition(is_gateways);
        let (waits, behind): (Vec<_>, Vec<_>) = std::mem::take(&mut self.gathering)
            .into_iter()
            .partition(is_gateways);
        self.gathering = waits;
        for (link, frame) in refused.into_iter().chain(behind) {
            self.send(link, frame.request, Answer::Error(Refused::unavailable().0));
        }
        self.refuse_posts();
        self.failed = Some(Failed {
            answers,
            is_due: false,
        });
        self.follow_generation();
    }

    /// Whether more may be stored: there is room, and earlier changes could be written.
    pub(crate) fn has_space(&self) -> bool {
        !self.is_failing && !self.view.store().is_nearly_full()
    }

    /// A store that was opened again may show what a failed batch left behind: what was read before
    /// no longer counts.
    pub(crate) fn follow_generation(&mut self) {
        let generation = self.view.store().generation();
        if generation != self.generation {
            self.generation = generation;
            self.forget(Vec::new());
        }
    }

    fn reservations_written(&mut self) {
        for reservation in std::mem::take(&mut self.reservations.writing) {
            match reservation {
                Reservation::Mailbox(id, below) => self.mailbox_reserved(id, below),
                Reservation::Group(id, below) => self.group_reserved(id, below),
            }
        }
    }

    /// Forgets what is not on disk, and answers the requests that waited for it.
    fn forget(&mut self, answers: Vec<(LinkId, pb::RelayFrame)>) {
        self.view.failed();
        self.reservations = Reservations::default();
        self.is_failing = false;
        let failed = self.failed.take().map(|failed| failed.answers);
        let waiting = answers
            .into_iter()
            .chain(failed.into_iter().flatten())
            .chain(std::mem::take(&mut self.gathering));
        let waiting: Vec<(LinkId, u32)> = waiting
            .map(|(link, frame)| (link, frame.request))
            .chain(self.posts.forget())
            .collect();
        for (link, request) in waiting {
            if link == LinkId::GATEWAY {
                self.gateway_durable(request, false);
            } else {
                self.send(link, request, Answer::Error(Refused::unavailable().0));
            }
        }
        self.forget_usage();
        self.forget_groups();
        self.forget_mailboxes();
        // Where the store cannot be read, what was known of the revoked stays.
        let _ = self.read_revoked();
    }

    /// A request waits until everything gathered so far is on disk.
    pub(crate) fn when_durable(&mut self, link: LinkId, request: u32) {
        let body = Some(Answer::Done(pb::Done {}));
        self.gathering
            .push((link, pb::RelayFrame { request, body }));
    }

    pub(crate) fn send(&mut self, link: LinkId, request: u32, answer: Answer) {
        let frame = pb::RelayFrame {
            request,
            body: Some(answer),
        };
        self.effects.push_back(Effect::Send { link, frame });
    }

    pub(crate) const fn generation(&self) -> u64 {
        self.generation
    }

    /// Where a link comes from.
    pub(crate) fn source(&self, link: LinkId) -> Option<Source> {
        self.links.get(&link).map(|state| state.source)
    }

    /// The cost of the requests since the last call.
    pub(crate) fn take_cost(&mut self) -> u32 {
        std::mem::take(&mut self.charged)
    }

    pub(crate) fn link(&self, link: LinkId) -> Result<&Link, Refused> {
        self.links
            .get(&link)
            .ok_or_else(|| Refused::malformed("the link is closed"))
    }

    /// Whose link it is, if it is logged in.
    pub(crate) fn account_on(&self, link: LinkId) -> Option<AccountId> {
        match self.links.get(&link)?.stage {
            LinkStage::LoggedIn { account, .. } => Some(account),
            LinkStage::Greeted | LinkStage::Open => None,
        }
    }

    /// The links on which devices of an account are logged in, in a fixed order.
    pub(crate) fn links_of(&self, account: AccountId) -> Vec<LinkId> {
        let all = (account, LinkId(0))..=(account, LinkId(u64::MAX));
        self.online.range(all).map(|(_, link)| *link).collect()
    }

    /// Whose link it is; it must be logged in.
    pub(crate) fn account_logged_in(&self, link: LinkId) -> Result<AccountId, Refused> {
        self.account_on(link)
            .ok_or_else(|| Refused::unauthorised("this needs a login"))
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
            let Some(link) = self.links.get_mut(&id) else {
                continue;
            };
            touched += link.posting.len();
            link.posting.retain(|of, authorised: &mut Authorised| {
                let keep = now.since(authorised.used_at) < limits::POSTING_IDLE;
                if !keep {
                    ended.push((*of, id));
                }
                keep
            });
            link.is_swept = !link.posting.is_empty();
            if link.is_swept {
                self.posting_links.push_back(id);
            }
        }
        for (of, link) in ended {
            self.fan_out_left(of, link);
        }
        Done::some(touched)
    }
}
