//! The state of the engine's two links: how far each is, and the answers that it waits for.
//!
//! The engine wants a link or not; the driver opens it and reports that. The relay greets, the
//! engine chooses a version, and the link is ready. Each request is a [`Job`], which is not
//! sent again while its answer is awaited. A link that closes forgets its jobs, so that they
//! are sent again on the next link. Each job has its own time-out, so that a relay that
//! answers everything else cannot leave one open for ever.
//!
//! **Elsewhere**: a turn sends requests ([`crate::turn::Turn::send_request`]); the rooms that
//! make them handle the answers.
//!
//! **Always**: an answer is awaited once, and by the link on which it was asked for.

use std::{
    collections::{HashMap, HashSet},
    mem::{Discriminant, discriminant},
};

use waxwing_protocol::{
    Exporter, VERSIONS,
    ids::{AccountId, Epoch, GroupId, PostId},
    limits,
    pb::{ClientFrame, Hello, Open, client_frame},
    time::{Span, Time},
    token::PendingToken,
};

use crate::{
    api::{ConversationId, Problem},
    event::LinkKind,
};

/// A posting authorisation is renewed when it was not used for this long; the relay
/// ends it a little later.
const AUTHORISATION_KEPT: Span = Span::seconds(45);

/// A link on which an answer is awaited for this long while nothing comes is dead.
const ANSWER_WITHIN: Span = Span::seconds(60);

/// A request is given up when it is not answered for this long, while the link lives.
const PATIENCE: Span = Span::seconds(30);

/// One with much to carry, or for which the relay asks somebody else, after this long.
const LONG_PATIENCE: Span = Span::minutes(3);

/// The first pause before what was given up is asked again. It doubles each time, as the
/// time-out does, since a slow network looks the same from here…
const PAUSE: Span = Span::seconds(5);

/// …to this.
const PAUSE_MAX: Span = Span::minutes(10);

/// How often the time-out doubles.
const DOUBLINGS: u32 = 3;

/// Groups that a link is authorised for at a time; the relay takes a few more.
const AUTHORISED_MAX: usize = 1_000;

/// Something that the relay was asked for.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) enum Job {
    Ping,
    StartRegistration,
    FinishRegistration,
    Login,
    SetLock(bool),
    KeepAddress,
    PublishKeyPackages,
    IssueTokens,
    /// Canonical form.
    LookUp(String),
    SetSmsKey,
    /// Of a row of the texts that wait.
    SendSms(i64),
    FetchLogIdentity,
    FetchHistory,
    FetchHeads,
    Claim(ConversationId),
    /// Key packages of an account's devices that a group lacks.
    ClaimDevices(GroupId, AccountId),
    CreateGroup(GroupId),
    Authorise(GroupId, Epoch),
    Message {
        group: GroupId,
        row: i64,
    },
    /// With its post id: its echo may come first, and the next be under way when the
    /// answer does.
    Commit(GroupId, PostId),
    FetchGroupInfo(GroupId),
    Rejoin(GroupId),
    /// By its row in the store.
    ChangeRoster(i64),
    JoinRendezvous(MeetingPurpose),
    /// With a number, since several may be on their way.
    SendRendezvous(MeetingPurpose, u64),
    /// A signal, which needs no answer.
    Signal,
    OpenBlob([u8; 32]),
    /// Putting or fetching the next part.
    BlobPart([u8; 32]),
    /// Saying that it is here, or is not needed.
    BlobRead([u8; 32]),
    /// Making room for a parcel.
    OpenParcel([u8; 32]),
    /// Putting or fetching the next part of one.
    ParcelPart([u8; 32]),
    PutBackup(u32),
    FinishBackup,
    FetchBackup(u32),
}

impl Job {
    /// How long its answer may take when nothing is wrong.
    const fn patience(&self) -> Span {
        match self {
            Self::StartRegistration
            | Self::JoinRendezvous(_)
            | Self::SendRendezvous(..)
            | Self::SetSmsKey
            | Self::SendSms(_)
            | Self::CreateGroup(_)
            | Self::Commit(..)
            | Self::FetchGroupInfo(_)
            | Self::Rejoin(_)
            | Self::OpenBlob(_)
            | Self::BlobPart(_)
            | Self::OpenParcel(_)
            | Self::ParcelPart(_)
            | Self::PutBackup(_)
            | Self::FinishBackup
            | Self::FetchBackup(_) => LONG_PATIENCE,
            _ => PATIENCE,
        }
    }
}

/// A request whose answer is awaited.
struct PendingRequest {
    job: Job,
    at: Time,
    /// How long the answer may take.
    within: Span,
}

impl PendingRequest {
    /// When it is given up.
    const fn until(&self) -> Time {
        self.at.after(self.within)
    }
}

/// What two devices meet for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum MeetingPurpose {
    Pairing,
    Transfer,
}

/// How far a link is.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum LinkPhase {
    /// Nobody wants it.
    #[default]
    Unwanted,
    /// The driver is opening it.
    Opening,
    /// It is open; the relay's greeting is awaited.
    Greeting { exporter: Exporter },
    /// Requests may be made.
    Ready {
        exporter: Exporter,
        challenge: [u8; 32],
    },
    /// Logged in (mailbox link only).
    LoggedIn,
}

/// One link.
#[derive(Default)]
pub(crate) struct LinkState {
    pub phase: LinkPhase,
    next_request: u32,
    jobs: HashMap<u32, PendingRequest>,
    busy: HashSet<Job>,
    /// The relay's token key as shown on this link.
    pub token_key: Option<[u8; 32]>,
    /// The number of the period that it is the key of.
    pub token_period: u64,
    /// The id of the relay's key log as shown on this link.
    pub log_id: Option<[u8; 32]>,
    /// When something last came.
    pub used_at: Time,
    /// The request that a code was sent for: a second answer to it says that the code
    /// cannot arrive.
    code_asked: Option<u32>,
    /// Since when an answer is awaited, without a pause.
    asked_at: Time,
}

/// Why a greeting is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum GreetingRefused {
    NoCommonVersion,
    Malformed,
}

impl LinkState {
    pub(crate) fn opened(&mut self, now: Time, exporter: Exporter) {
        self.begin(LinkPhase::Greeting { exporter });
        self.used_at = now;
    }

    pub(crate) fn closed(&mut self) {
        let unwanted = self.phase == LinkPhase::Unwanted;
        self.begin(if unwanted {
            LinkPhase::Unwanted
        } else {
            LinkPhase::Opening
        });
    }

    /// Nobody wants it any more.
    pub(crate) fn unwanted(&mut self) {
        self.begin(LinkPhase::Unwanted);
    }

    /// Forgets the connection before. Requests are numbered on, so that a late answer
    /// of that connection answers nothing on the next.
    fn begin(&mut self, phase: LinkPhase) {
        *self = Self {
            phase,
            next_request: self.next_request,
            ..Self::default()
        };
    }

    /// The relay greeted: gives what to answer.
    pub(crate) fn greeted(&mut self, hello: &Hello) -> Result<Open, GreetingRefused> {
        let LinkPhase::Greeting { exporter } = self.phase else {
            return Err(GreetingRefused::Malformed);
        };
        let version = VERSIONS
            .iter()
            .copied()
            .find(|version| hello.versions.contains(version))
            .ok_or(GreetingRefused::NoCommonVersion)?;
        let challenge = hello
            .challenge
            .as_ref()
            .try_into()
            .map_err(|_| GreetingRefused::Malformed)?;
        self.token_key = Some(
            hello
                .token_key
                .as_ref()
                .try_into()
                .map_err(|_| GreetingRefused::Malformed)?,
        );
        // A number that no store can hold is as good as none.
        let period = hello.token_period;
        self.token_period = if i64::try_from(period).is_ok() {
            period
        } else {
            0
        };
        self.log_id = hello.log_id.as_ref().try_into().ok();
        self.phase = LinkPhase::Ready {
            exporter,
            challenge,
        };
        Ok(Open { version })
    }

    /// The exporter, when requests may be made.
    pub(crate) const fn ready(&self) -> Option<Exporter> {
        match self.phase {
            LinkPhase::Ready { exporter, .. } => Some(exporter),
            _ => None,
        }
    }

    /// Whether the job's answer is awaited.
    pub(crate) fn awaits(&self, job: &Job) -> bool {
        self.busy.contains(job)
    }

    /// Whether any look-up is on its way.
    pub(crate) fn awaits_look_ups(&self) -> bool {
        self.busy.iter().any(|job| matches!(job, Job::LookUp(_)))
    }

    /// How many answers are awaited.
    pub(crate) fn awaited(&self) -> usize {
        self.jobs.len()
    }

    /// How many of a group's messages are on their way, and the last row of them.
    pub(crate) fn messages_of(&self, group: GroupId) -> (usize, i64) {
        self.busy
            .iter()
            .filter_map(|job| match job {
                Job::Message { group: of, row } if *of == group => Some(*row),
                _ => None,
            })
            .fold((0, 0), |(count, last), row| (count + 1, last.max(row)))
    }

    /// When the link counts as dead unless something comes: an answer, or the
    /// greeting, is awaited.
    pub(crate) fn dead_at(&self) -> Option<Time> {
        let awaits = match self.phase {
            LinkPhase::Unwanted | LinkPhase::Opening => false,
            LinkPhase::Greeting { .. } => true,
            LinkPhase::Ready { .. } | LinkPhase::LoggedIn => !self.jobs.is_empty(),
        };
        awaits.then(|| self.asked_at.max(self.used_at).after(ANSWER_WITHIN))
    }

    /// When it is to be asked whether it is alive.
    pub(crate) fn ping_at(&self) -> Option<Time> {
        let quiet = matches!(self.phase, LinkPhase::Ready { .. } | LinkPhase::LoggedIn)
            && self.jobs.is_empty();
        quiet.then(|| self.used_at.after(limits::PING_AFTER))
    }

    /// When the next request is given up. One after which nothing came at all says that the
    /// link is dead, rather than that the relay does not answer: the relay is asked whether
    /// it is there.
    pub(crate) fn gives_up_at(&self) -> Option<Time> {
        let pinged = self.busy.contains(&Job::Ping);
        self.jobs
            .values()
            .filter(|asked| asked.at < self.used_at || !pinged)
            .map(PendingRequest::until)
            .min()
    }

    /// Gives up what was not answered in time; `true` where the relay is to be asked first
    /// whether it is there.
    pub(crate) fn give_up(&mut self, now: Time) -> (Vec<Job>, bool) {
        let overdue = |asked: &PendingRequest| asked.until() <= now;
        let used_at = self.used_at;
        let mut given_up: Vec<(u32, Job)> = self
            .jobs
            .iter()
            .filter(|(_, asked)| overdue(asked) && asked.at < used_at)
            .map(|(request, asked)| (*request, asked.job.clone()))
            .collect();
        given_up.sort_unstable_by_key(|(request, _)| *request);
        for (request, job) in &given_up {
            self.jobs.remove(request);
            self.busy.remove(job);
        }
        let unsure = self.jobs.values().any(overdue) && !self.busy.contains(&Job::Ping);
        (given_up.into_iter().map(|(_, job)| job).collect(), unsure)
    }

    pub(crate) fn frame(
        &mut self,
        now: Time,
        job: Option<(Job, Span)>,
        body: client_frame::Body,
    ) -> ClientFrame {
        let request = match job {
            None => 0,
            Some((job, within)) => {
                if self.jobs.is_empty() {
                    self.asked_at = now;
                }
                self.next_request = self.next_request.checked_add(1).unwrap_or(1);
                let asked = PendingRequest {
                    job: job.clone(),
                    at: now,
                    within,
                };
                self.jobs.insert(self.next_request, asked);
                self.busy.insert(job);
                self.next_request
            }
        };
        ClientFrame {
            request,
            body: Some(body),
        }
    }

    /// The number of the last request.
    pub(crate) const fn last_request(&self) -> u32 {
        self.next_request
    }

    /// Requests behind this one will not be sent: their answers are not awaited. Gives what
    /// they were for. Their numbers are not used again.
    pub(crate) fn take_back(&mut self, last: u32) -> Vec<Job> {
        let unsent: Vec<u32> = self
            .jobs
            .keys()
            .copied()
            .filter(|request| *request > last)
            .collect();
        let unsent: Vec<Job> = unsent
            .into_iter()
            .filter_map(|request| self.jobs.remove(&request))
            .map(|asked| asked.job)
            .collect();
        for job in &unsent {
            if !self.jobs.values().any(|other| other.job == *job) {
                self.busy.remove(job);
            }
        }
        unsent
    }

    /// The relay has sent a code for this request.
    pub(crate) const fn code_was_sent(&mut self, request: u32) {
        self.code_asked = Some(request);
    }

    /// Whether the newest code was asked for by this request.
    pub(crate) fn asked_for_code(&self, request: u32) -> bool {
        self.code_asked == Some(request)
    }

    /// An answer has come: to what?
    fn answered(&mut self, request: u32) -> Option<Job> {
        let asked = self.jobs.remove(&request)?;
        self.busy.remove(&asked.job);
        Some(asked.job)
    }
}

/// Both links, and what belongs to one connection of theirs.
#[derive(Default)]
pub(crate) struct Links {
    pub mailbox: LinkState,
    pub posting: LinkState,
    /// Groups that the posting link may post to, in which epoch, and when that was
    /// last used.
    authorised: HashMap<GroupId, (Epoch, Time)>,
    /// Blinded tokens whose issue is awaited on the mailbox link.
    pub blinded: Vec<PendingToken>,
    /// Tokens that something waits for, where it needs more than are kept in stock.
    pub tokens_wanted: usize,
    /// The highest mailbox place that came on this mailbox link, and how many posts
    /// are not acknowledged.
    pub received: u64,
    pub acknowledged: u64,
    pub unacknowledged: usize,
    pub acknowledge_at: Option<Time>,
    pub key_packages_left: Option<u32>,
    /// When the last resort was made that the relay has; `None` where it has none.
    pub last_resort: Option<Time>,
    pub clock_skew_ms: Option<i64>,
    /// How often in a row requests of a kind were not answered.
    unanswered: HashMap<Discriminant<Job>, u32>,
    /// Whether the relay's record of our acknowledgements was compared with ours: nothing may
    /// be sent before.
    pub not_set_back: bool,
    /// Whether people were told that the mailbox link is logged in.
    pub told_online: bool,
    /// Why the relay last refused to log this device in, until it does.
    pub login_problem: Option<Problem>,
}

impl Links {
    pub(crate) const fn of(&mut self, kind: LinkKind) -> &mut LinkState {
        match kind {
            LinkKind::Mailbox => &mut self.mailbox,
            LinkKind::Posting => &mut self.posting,
        }
    }

    /// An answer has come: to what?
    pub(crate) fn answered(&mut self, kind: LinkKind, request: u32) -> Option<Job> {
        let job = self.of(kind).answered(request)?;
        self.unanswered.remove(&discriminant(&job));
        Some(job)
    }

    /// How long the answer to a request may take: longer, where the last ones did not come.
    pub(crate) fn patience(&self, job: &Job) -> Span {
        let before = self.unanswered.get(&discriminant(job)).copied();
        Span(job.patience().0 << before.unwrap_or(0).min(DOUBLINGS))
    }

    /// A request was not answered: gives how long to wait before it is made again.
    pub(crate) fn pause(&mut self, job: &Job) -> Span {
        let times = self.unanswered.entry(discriminant(job)).or_insert(0);
        let pause = Span(PAUSE.0 << (*times).min(16)).min(PAUSE_MAX);
        *times = times.saturating_add(1);
        pause
    }

    /// A link was opened or closed: what belonged to the one before is over.
    pub(crate) fn forget(&mut self, kind: LinkKind) {
        match kind {
            LinkKind::Mailbox => {
                self.blinded.clear();
                self.received = 0;
                self.acknowledged = 0;
                self.unacknowledged = 0;
                self.acknowledge_at = None;
                self.key_packages_left = None;
            }
            LinkKind::Posting => self.authorised.clear(),
        }
    }

    /// Whether the posting link may post to the group in this epoch; if so, it is
    /// about to.
    pub(crate) fn is_authorised(&mut self, now: Time, group: GroupId, epoch: Epoch) -> bool {
        match self.authorised.get_mut(&group) {
            Some((of, used_at)) if *of == epoch && now.since(*used_at) < AUTHORISATION_KEPT => {
                *used_at = now;
                true
            }
            _ => false,
        }
    }

    /// The posting link may post.
    pub(crate) fn authorise(&mut self, now: Time, group: GroupId, epoch: Epoch) {
        if self.authorised.len() >= AUTHORISED_MAX {
            self.authorised
                .retain(|_, (_, used_at)| now.since(*used_at) < AUTHORISATION_KEPT);
        }
        self.authorised.insert(group, (epoch, now));
    }

    /// What it may post to is asked for again.
    pub(crate) fn deauthorise_all(&mut self) {
        self.authorised.clear();
    }

    /// It may not any more.
    pub(crate) fn deauthorise(&mut self, group: GroupId) {
        self.authorised.remove(&group);
    }
}
