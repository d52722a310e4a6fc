//! The relay as a state machine: frames and time go in, frames and batches come out.
//!
//! [`Relay`] is the composition of its features. Each feature owns its state and its rules, and
//! gets the context that all share with each call.
//!
//! The relay answers a request at once, or when the batch that holds its changes is on disk.
//! The server calls [`Relay::begin`] under one lock, lets [`Verification::run`] verify
//! signatures without the lock, and passes the result to [`Relay::finish`]. (Without a server,
//! [`Relay::handle`] does all of this.) The server drains [`Relay::poll_effect`]. One writer
//! takes a [`Batch`], commits it without the lock, and reports [`Relay::handle_batch_written`] or
//! [`Relay::handle_batch_failed`]; meanwhile the next batch gathers. Changes for the key log are
//! taken with [`Relay::take_publication`] in the same way.
//!
//! **Elsewhere**: what each request does is in its feature; [`crate::dispatch`] chooses between
//! them, [`crate::verification`] lists what is checked without the lock, and [`crate::chores`]
//! what is done as time passes; sockets and mail are in [`crate::server`] and [`crate::mail`].
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

use std::sync::Arc;

use bytes::Bytes;
use parking_lot::RwLock;
use rand::CryptoRng;
use waxwing_protocol::{
    Exporter, VERSIONS,
    pb::{self, ErrorCode, client_frame::Body as Request, relay_frame::Body as Answer},
    time::Time,
};
use waxwing_transparency::identity::LogIdentity;

use crate::{
    address::Registrations,
    answer::{Refused, Reply, RequestResult},
    backup::Backups,
    batch::Batches,
    blob::Blobs,
    chores::Sweep,
    clock::ClockNews,
    context::Context,
    directory::{
        Directory,
        log::Publication,
        tokens::{ShownTokenKey, Tokens},
    },
    feature::Feature,
    group::Groups,
    link::Link,
    mailbox::Mailboxes,
    pending_view::PendingView,
    rendezvous::Rendezvouses,
    store::{Store, StoreError},
    texts::Texts,
    verification::{Check, Checked, Verification, Verified},
};
pub use crate::{
    batch::Batch,
    config::{Config, TextLimits},
    counts::Counts,
    effect::{Effect, SmsId, Submission, Verdict},
    link::{LinkId, Source},
    sweep::SLICE_MOST,
    texts::SmsReport,
};

/// Secrets from the relay's identity.
pub struct Secrets {
    /// The seed of the keys that issue and check tokens.
    pub token_seed: [u8; 32],
    /// Keys the hash under which addresses are stored.
    pub address_key: [u8; 32],
}

/// The relay. See the module.
pub struct Relay<S> {
    pub(crate) context: Context<S>,
    pub(crate) registrations: Registrations,
    pub(crate) mailboxes: Mailboxes,
    pub(crate) groups: Groups,
    pub(crate) batches: Batches,
    pub(crate) sweep: Sweep,
    pub(crate) directory: Directory,
    pub(crate) tokens: Tokens,
    pub(crate) rendezvouses: Rendezvouses,
    pub(crate) backups: Backups,
    pub(crate) blobs: Blobs,
    pub(crate) texts: Texts,
}

impl<S: Store> Relay<S> {
    /// Opens the relay on what `store` holds; `log` is the key log on the same store.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn open(
        store: Arc<S>,
        config: Config,
        Secrets {
            token_seed,
            address_key,
        }: Secrets,
        log: LogIdentity,
    ) -> Result<Self, StoreError> {
        let mut mailboxes = Mailboxes::open(store.as_ref())?;
        let mut view = PendingView::new(store);
        let tokens = Tokens::open(&mut view, token_seed)?;
        let texts = Texts::open(&mut view, &config)?;
        let directory = Directory::new(&config, address_key, log);
        let mut context = Context::open(view, config)?;
        Directory::read_revoked(&mut context, &mut mailboxes)?;
        let config = &context.config;
        Ok(Self {
            mailboxes,
            directory,
            tokens,
            registrations: Registrations::new(config),
            rendezvouses: Rendezvouses::new(config),
            backups: Backups::new(config),
            blobs: Blobs::default(),
            texts,
            groups: Groups::new(),
            batches: Batches::default(),
            sweep: Sweep::default(),
            context,
        })
    }

    /// All features, in the order in which they learn what happened.
    pub(crate) fn features(&mut self) -> (&mut Context<S>, [&mut dyn Feature<S>; 4]) {
        (
            &mut self.context,
            [
                &mut self.rendezvouses,
                &mut self.groups,
                &mut self.texts,
                &mut self.mailboxes,
            ],
        )
    }

    /// The store, for the writer.
    pub fn store(&self) -> Arc<S> {
        Arc::clone(self.context.view.store())
    }

    /// Counts, for metrics.
    pub fn counts(&self) -> Counts {
        let links = &self.context.links;
        Counts {
            links: links.len() as u64,
            logged_in: links.logged_in() as u64,
            clock_leaps: self.context.calendar.leaps(),
            damaged: self.context.view.damaged.count(),
            fan_out_bytes: self.groups.fan_out_bytes() as u64,
            ..self.context.counts
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
        let shown = self.tokens.key_to_show(&mut self.context, now);
        let state = Link {
            token_period: shown.period,
            ..Link::new(exporter, challenge, source)
        };
        self.context.links.open(link, state);
        let hello = pb::Hello {
            versions: VERSIONS.to_vec(),
            challenge: Bytes::copy_from_slice(&challenge),
            token_key: shown.key.into(),
            now_ms: self.context.date(now).0,
            log_id: Bytes::copy_from_slice(&self.directory.log.id().0),
            token_period: shown.period,
        };
        self.context.send(link, 0, Answer::Hello(hello));
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
        if !self.context.links.is_open(link) {
            return None;
        }
        let request = frame.request;
        let is_login = matches!(frame.body, Some(Request::Login(_)));
        let is_quiet = matches!(frame.body, Some(Request::Ping(_)));
        let check = match self
            .context
            .charge(now, link, crate::cost::of(frame.body.as_ref()))
        {
            Err(refused) => Err(refused),
            Ok(()) => match &frame.body {
                Some(body) => self.needs_verifying(now, rng, link, body),
                None => Ok(None),
            },
        };
        let outcome = match (check, frame.body) {
            (Ok(Some(check)), Some(body)) => {
                let count = self.to_count(link, &body, None, 0);
                return Some(self.verification(link, request, body, check, count));
            }
            (Ok(None), Some(body)) if let Some(count) = self.to_count(link, &body, None, 0) => {
                let check = Check::Done(Checked::Nothing);
                return Some(self.verification(link, request, body, check, Some(count)));
            }
            (Ok(_), body) => self.dispatch(now, rng, link, request, body, Checked::Nothing),
            (Err(refused), _) => Err(refused),
        };
        self.answer(link, request, is_login, outcome);
        if is_quiet {
            self.tokens.renew_link(&mut self.context, now, link);
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
        if !self.context.links.is_open(link) {
            return None;
        }
        let round = counted.map_or(0, |counted| {
            self.mailboxes.take_counted(&mut self.context, counted)
        });
        let found = match found {
            Ok(found) => match self.to_count(link, &body, Some(&found), round) {
                Some(count) => {
                    let check = Check::Done(found);
                    return Some(self.verification(link, request, body, check, Some(count)));
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
            Ok(Reply::Now(answer)) => self.context.send(link, request, answer),
            Ok(Reply::Durable(answer)) => {
                self.batches.answer_when_written(link, request, answer);
            }
            Ok(Reply::Later) => {}
            Err(Refused(error)) => {
                self.context.counts.refused += 1;
                let is_wrong = error.code() == ErrorCode::Unauthorised;
                self.context.send(link, request, Answer::Error(error));
                if is_login && is_wrong {
                    Directory::login_failed(&mut self.context, link);
                }
            }
        }
    }

    /// A link was closed.
    pub fn link_closed(&mut self, link: LinkId) {
        let Some(was) = self.context.links.close(link) else {
            return;
        };
        let (context, features) = self.features();
        for feature in features {
            feature.link_closed(context, link, &was);
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
        self.context.effects.pop_front()
    }

    /// Where a link comes from.
    pub(crate) fn source(&self, link: LinkId) -> Option<Source> {
        self.context.links.source(link)
    }

    /// The cost of the requests since the last call.
    pub(crate) fn take_cost(&mut self) -> u32 {
        self.context.costs.take()
    }

    /// The machine's clock says `wall`: to be called after the start, before anything else
    /// happens, and about once a second. Where it is never called, the steady time is the
    /// date.
    pub fn look_at_clock(&mut self, now: Time, wall: Time) -> Option<ClockNews> {
        let Context { calendar, view, .. } = &mut self.context;
        let news = calendar.look(now, wall);
        calendar.keep(view, now, news.is_some());
        self.tokens.turn_period(&mut self.context, now);
        news
    }

    /// The operator says that the clock is right: it is what the date goes by from now on,
    /// and things expire.
    pub fn confirm_clock(&mut self, now: Time, wall: Time) {
        let Context { calendar, view, .. } = &mut self.context;
        calendar.confirm(now, wall);
        calendar.keep(view, now, true);
    }

    /// What links are shown, for clients that do not open one.
    pub fn shown_token_key(&self) -> Arc<RwLock<ShownTokenKey>> {
        self.tokens.shown_key()
    }

    /// When to call [`take_publication`](Self::take_publication) next; a time in the past
    /// means at once. `None` while one is being written, or if there is nothing to publish.
    pub fn next_publication(&self, now: Time) -> Option<Time> {
        self.directory.next_publication(&self.context, now)
    }

    /// Takes what the next epoch of the key log is to have, to publish it without the lock.
    /// `None` while another is being written, or if none is due.
    pub fn take_publication(&mut self, now: Time) -> Option<Publication> {
        self.directory.take_publication(&mut self.context, now)
    }

    /// The publication that was taken is in the log and on disk.
    pub fn publication_written(&mut self) {
        let closed = self
            .directory
            .publication_written(&mut self.context, &mut self.mailboxes);
        for account in closed {
            // A store that cannot be read now keeps a backup that nobody asks for any more.
            let _ = Backups::delete(&mut self.context, account);
        }
        self.follow_generation();
    }

    /// The publication that was taken could not be written: nothing of it happened.
    pub fn publication_failed(&mut self) {
        self.directory.publication_failed(&mut self.context);
        self.follow_generation();
    }

    /// The SMSC, or the connection with it, reports something about texts.
    pub fn sms_report(&mut self, now: Time, rng: &mut dyn CryptoRng, report: SmsReport) {
        self.texts.handle_report(
            &mut self.context,
            &self.directory,
            &mut self.mailboxes,
            now,
            rng,
            report,
        );
    }

    /// The code that was asked for in this request was given up: the mail server or the SMSC
    /// refused it, or could not be reached. The requester learns it, as a second answer. The code
    /// stays good: a server that says nothing may have taken it.
    pub fn code_not_sent(&mut self, link: LinkId, request: u32) {
        if self.context.links.is_open(link) {
            let refused = Refused::new(ErrorCode::AddressUnreachable, "the code could not be sent");
            self.context.send(link, request, Answer::Error(refused.0));
        }
    }

    /// The date.
    pub fn date(&self, now: Time) -> Time {
        self.context.date(now)
    }

    /// Whether the clock is in doubt: nothing may be signed with a date.
    pub const fn doubts_clock(&self) -> bool {
        self.context.calendar.is_in_doubt()
    }

    /// Whether nothing expires now.
    pub fn keeps_everything(&self, now: Time) -> bool {
        !self.context.calendar.is_expiring(now)
    }
}
