//! The relay as a state machine: frames and time in, frames and batches out.
//!
//! A request is answered at once, or when the batch that holds its changes is on disk.
//! The server calls [`Relay::handle`] under one lock, drains [`Relay::poll_effect`], and
//! has one writer that takes a [`Batch`], commits it without the lock, and reports
//! [`Relay::batch_written`] or [`Relay::batch_failed`]. While it writes, the next batch gathers.
//! What the key log is to have is taken with [`Relay::take_publication`] in the same way.
//!
//! **Elsewhere**: what each request does is in [`crate::address`], [`crate::directory`],
//! [`crate::mailbox`], [`crate::group`], [`crate::rendezvous`] and [`crate::backup`], and
//! which is which in [`crate::dispatch`]; sockets and mail are in [`crate::server`] and
//! [`crate::mail`].
//!
//! **Always**: no I/O but the store's reads, no clock, no randomness of its own. A
//! refused request changes nothing. Answered means durable, but for posts that every
//! recipient acknowledged before they were written. When a batch fails, its requests are
//! answered `UNAVAILABLE`, and it is tried again once a second: what makes room is not
//! lost, and nobody is disconnected. Until it is written, and while the disk is nearly full,
//! only what makes room is taken. A batch that never can be written is forgotten, with
//! whatever was not durable.

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
    token::TokenIssuer,
};
use waxwing_transparency::identity::LogIdentity;

pub use crate::config::Config;
use crate::{
    address::{Registrations, lock::Contests},
    backup::Backups,
    blob::Blobs,
    damage::Damaged,
    directory::{log::Question, publications::Publications},
    group::{Authorised, Group},
    link::{Link, Stage},
    mailbox::{Mailbox, Sent},
    posts::{Posts, is_due},
    rate::Buckets,
    rendezvous::Rendezvouses,
    sms::{
        accounts::{Submission, Texts, Verdict},
        limits::Spending,
    },
    store::{Store, StoreError, Write},
    sweep::Sweep,
    view::View,
};

/// A link, numbered by the server; never used twice in a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LinkId(pub u64);

/// Where a link comes from, as rate limits count it.
pub type Source = IpAddr;

impl LinkId {
    /// Nobody's link: what waits for the disk on it is the SMS gateway's.
    pub(crate) const GATEWAY: Self = Self(u64::MAX);
}

/// Secrets from the relay's identity.
pub struct Secrets {
    /// Issues and checks tokens.
    pub tokens: TokenIssuer,
    /// Keys the hash under which addresses are stored.
    pub address_key: [u8; 32],
}

/// What the server is to do.
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
    /// Mail a code. Whether it arrives does not change the answer; if it surely does not,
    /// [`Relay::code_not_sent`] tells who asked.
    SendCode {
        /// On which link it was asked for.
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
    /// Tell the service centre what became of a text that came.
    AnswerSms {
        /// Which.
        ticket: u64,
        /// What.
        verdict: Verdict,
    },
}

/// A frame may hold ids that belong together, and a code is nobody's to read.
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
    /// Of them, logged in.
    pub logged_in: u64,
    /// Posts taken since the start.
    pub posts: u64,
    /// Posts handed over to a device, each mailbox counted.
    pub delivered: u64,
    /// Posts that devices acknowledged.
    pub acknowledged: u64,
    /// Posts that every recipient had before the disk did.
    pub never_written: u64,
    /// Posts that waited longer than allowed.
    pub expired: u64,
    /// Requests refused.
    pub refused: u64,
    /// Codes sent.
    pub codes: u64,
    /// Addresses registered.
    pub registrations: u64,
    /// Changes that came into the key log.
    pub changes: u64,
    /// Publications that failed.
    pub failed_publications: u64,
    /// Batches written.
    pub batches: u64,
    /// Batches that failed, each time they were tried.
    pub failed_batches: u64,
    /// Records that are not as they were written, and were left out.
    pub damaged: u64,
}

/// Changes that are to be committed together. [`Batch::into_writes`] needs no lock.
pub struct Batch {
    writes: Vec<Write>,
    posts: Vec<crate::posts::Unwritten>,
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

pub(crate) type Outcome = Result<Reply, Refused>;

/// How a request is answered.
pub(crate) enum Reply {
    /// At once.
    Now(Answer),
    /// When what was gathered is on disk.
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
    pub(crate) secrets: Secrets,
    pub(crate) view: View<S>,
    pub(crate) links: HashMap<LinkId, Link>,
    pub(crate) effects: VecDeque<Effect>,
    pub(crate) counts: Counts,
    pub(crate) registrations: Registrations,
    pub(crate) look_ups: Buckets<Source>,
    /// What accounts ask the log to take.
    pub(crate) changes: Buckets<AccountId>,
    pub(crate) publications: Publications,
    pub(crate) log: LogIdentity,
    /// Mailboxes of devices that were revoked, whose records are yet to be deleted.
    pub(crate) revoked: BTreeMap<MailboxId, DeviceId>,
    pub(crate) mailboxes: HashMap<MailboxId, Mailbox>,
    pub(crate) groups: HashMap<GroupId, Group>,
    pub(crate) posts: Posts,
    /// Logged-in devices, so that a second login replaces the first.
    pub(crate) devices: HashMap<DeviceId, LinkId>,
    /// Answers that wait for the batch that is gathering, and the one being written.
    gathering: Vec<(LinkId, pb::RelayFrame)>,
    writing: Option<Vec<(LinkId, pb::RelayFrame)>>,
    failed: Option<Failed>,
    /// Whether the last batch that was tried could not be written.
    is_failing: bool,
    generation: u64,
    pub(crate) reservations: Reservations,
    pub(crate) sweep: Sweep,
    pub(crate) rendezvouses: Rendezvouses,
    pub(crate) backups: Backups,
    pub(crate) blobs: Blobs,
    pub(crate) contests: Contests,
    /// What was spent on texts; none where nothing can be texted.
    pub(crate) spending: Option<Spending>,
    pub(crate) texts: Texts,
    pub(crate) damaged: Damaged,
    /// Mailboxes whose posts could not be read: that is tried again.
    pub(crate) unread: BTreeSet<MailboxId>,
    /// What was acknowledged and could not be deleted: that is tried again, too.
    pub(crate) undeleted: Vec<(MailboxId, Sent)>,
}

/// A batch that could not be written. What it holds stands where it was gathered.
struct Failed {
    /// What is not to be answered before it is written.
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
            registrations: Registrations::new(&config),
            rendezvouses: Rendezvouses::new(&config),
            backups: Backups::new(&config),
            blobs: Blobs::default(),
            contests: Contests::default(),
            spending: config.texts.clone().map(Spending::new),
            texts: Texts::new(&config),
            look_ups: Buckets::new(config.look_ups_per_source, 100_000),
            changes: Buckets::new(config.changes_per_account, 100_000),
            publications: Publications::default(),
            log,
            revoked: BTreeMap::new(),
            generation: store.generation(),
            view: View::new(store),
            config,
            secrets,
            posts,
            links: HashMap::new(),
            effects: VecDeque::new(),
            counts: Counts::default(),
            mailboxes: HashMap::new(),
            groups: HashMap::new(),
            devices: HashMap::new(),
            gathering: Vec::new(),
            writing: None,
            failed: None,
            is_failing: false,
            damaged: Damaged::default(),
            unread: BTreeSet::new(),
            undeleted: Vec::new(),
            reservations: Reservations::default(),
            sweep: Sweep::default(),
        };
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
            ..self.counts
        }
    }

    /// A link was opened; the relay greets.
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
        self.links
            .insert(link, Link::new(exporter, challenge, source));
        let hello = pb::Hello {
            versions: VERSIONS.to_vec(),
            challenge: Bytes::copy_from_slice(&challenge),
            token_key: Bytes::copy_from_slice(&self.secrets.tokens.public_key()),
            now_ms: now.0,
            log_id: Bytes::copy_from_slice(&self.log.id().0),
        };
        self.send(link, 0, Answer::Hello(hello));
    }

    /// A frame came.
    pub fn handle(
        &mut self,
        now: Time,
        rng: &mut dyn CryptoRng,
        link: LinkId,
        frame: pb::ClientFrame,
    ) {
        let Some(state) = self.links.get_mut(&link) else {
            return;
        };
        let request = frame.request;
        // An acknowledgement has no answer that could tell the device to repeat it, and
        // there are no more of them than of posts.
        let cost = u32::from(!matches!(frame.body, Some(Request::Acknowledge(_))));
        let outcome = match state
            .requests
            .take(now, self.config.requests_per_link, cost)
        {
            Err(wait) => Err(Refused::rate_limited(wait)),
            Ok(()) => self.dispatch(now, rng, link, request, frame.body),
        };
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
                self.send(link, request, Answer::Error(error));
            }
        }
    }

    /// A link is gone.
    pub fn link_closed(&mut self, link: LinkId) {
        let Some(state) = self.links.remove(&link) else {
            return;
        };
        for (group, _) in state.posting.keys() {
            self.group_left(*group);
        }
        if let Some(place) = state.rendezvous {
            self.left(link, place);
        }
        if let Stage::LoggedIn {
            device, mailbox, ..
        } = state.stage
        {
            // A newer link of the device may have taken its place.
            if self.devices.get(&device) == Some(&link) {
                self.devices.remove(&device);
            }
            self.mailbox_link_closed(mailbox, link);
        }
    }

    /// Time passed: to be called about once a second.
    pub fn tick(&mut self, now: Time) {
        if let Some(failed) = &mut self.failed {
            failed.is_due = true;
        }
        self.read_again();
        self.end_idle_postings(now);
        self.registrations.sweep(now);
        self.look_ups.sweep(now);
        self.changes.sweep(now);
        self.texts.sweep(now);
        self.end_old_rendezvous(now);
        self.sweep_step(now);
    }

    /// What to do next.
    pub fn poll_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// When [`take_batch`](Self::take_batch) is to be called next: the past, where it is at
    /// once. `None` while a batch is being written, or when there is nothing.
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

    /// Takes all that is to be written by now, to be committed off the lock. `None` while
    /// another batch is being written, or when there is nothing.
    pub fn take_batch(&mut self, now: Time) -> Option<Batch> {
        if self.next_write().is_none_or(|at| !is_due(at, now)) {
            return None;
        }
        if let Some(failed) = self.failed.take() {
            self.writing = Some(failed.answers);
            return Some(Batch {
                writes: self.view.again(),
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
    pub fn batch_written(&mut self) {
        let Some(answers) = self.writing.take() else {
            return;
        };
        self.counts.batches += 1;
        self.is_failing = false;
        self.view.written();
        for (link, frame) in answers {
            if link == LinkId::GATEWAY {
                self.gateway_durable(frame.request, true);
            } else {
                self.effects.push_back(Effect::Send { link, frame });
            }
        }
        self.reservations_written();
        if self.posts_written().is_err() {
            self.forget(Vec::new());
        }
        self.follow_generation();
    }

    /// The batch that was taken could not be written.
    pub fn batch_failed(&mut self, error: &StoreError) {
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
        // Who asks again learns then what became of it. The SMS gateway waits.
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

    /// Whether more may be stored: there is room, and what was taken before could be
    /// written.
    pub(crate) fn has_space(&self) -> bool {
        !self.is_failing && !self.view.store().is_nearly_full()
    }

    /// A store that was opened again may show what a failed batch left: nothing that was
    /// read before counts.
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

    /// Forgets what is not durable, and answers those who waited for it.
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
        self.forget_groups();
        self.forget_mailboxes();
        // Where the store cannot be read, what was known of the revoked stays.
        let _ = self.read_revoked();
    }

    /// Somebody waits until what was gathered by now is on disk.
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

    pub(crate) fn link(&self, link: LinkId) -> Result<&Link, Refused> {
        self.links
            .get(&link)
            .ok_or_else(|| Refused::malformed("the link is closed"))
    }

    /// Whose link it is, if it is logged in.
    pub(crate) fn account_on(&self, link: LinkId) -> Option<AccountId> {
        match self.links.get(&link)?.stage {
            Stage::LoggedIn { account, .. } => Some(account),
            Stage::Greeted | Stage::Open => None,
        }
    }

    /// Whose link it is; it must be logged in.
    pub(crate) fn account_logged_in(&self, link: LinkId) -> Result<AccountId, Refused> {
        self.account_on(link)
            .ok_or_else(|| Refused::unauthorised("this needs a login"))
    }

    /// Ends authorisations that nobody used for a while: the lists leave the memory.
    fn end_idle_postings(&mut self, now: Time) {
        let mut ended = Vec::new();
        for link in self.links.values_mut() {
            link.posting
                .retain(|(group, _), authorised: &mut Authorised| {
                    let keep = now.since(authorised.used_at) < limits::POSTING_IDLE;
                    if !keep {
                        ended.push(*group);
                    }
                    keep
                });
        }
        for group in ended {
            self.group_left(group);
        }
    }
}
