//! The engine: an event goes in, effects come out.
//!
//! [`Engine::handle`] runs one event in one transaction. It changes tables and memory, and at
//! the end [`pump`](mod@pump) finds everything that may now have something to do, and sends the requests
//! for it to the relay. Open work is never in memory alone: it follows from the tables. After
//! a crash, a failed transaction or a closed link, the engine therefore sends the same
//! requests again.
//!
//! **Elsewhere**: what each frame means is in [`crate::link`]; what people ask for is in
//! [`crate::commands`].
//!
//! If work for one group fails because of members, strangers or the relay, only that group is
//! affected and not the whole event ([`crate::containment`]).
//!
//! **Always**: effects leave only after the transaction is committed. A refused event, or one
//! whose transaction failed, changes nothing.

use std::collections::VecDeque;

use rand_core::CryptoRng;
use waxwing_protocol::{
    Exporter,
    pb::{RelayFrame, relay_frame::Body},
    time::{Span, Time},
};

use crate::{
    api::{Connection, ConnectionChanged, Notice, Problem, ProblemReport, RelayMisdeed, Response},
    attachment::{self, Attachments, transfer},
    commands,
    contact::{archived::Contacts, profile::Profiles},
    containment::{ErrorHook, ErrorOwner, UndoHook},
    conversation::{
        above::ConversationHook, archived, history, hooks::Conversations, parcels,
        reader::MessageHook, search::index,
    },
    devices::{archive, hooks::Devices},
    event::{Effect, Event, LinkKind},
    hooks::Hooks,
    inbox::hooks::Inbox,
    link::{self, GreetingRefused, LinkHook, LinkPhase, blob::Blobs, mailbox, tokens},
    memory::Memory,
    message::{
        self,
        amending::AmendingContent,
        amendments,
        attachments::MessagesWithFiles,
        content_hook::ContentHook,
        deleted::Deletions,
        forwarded::Forwarded,
        hooks::{LinkPreviewContent, Messages, TextContent},
        link_preview,
        poll::Polls,
        scheduled::Scheduled,
        text_details,
        view_once::ViewOnce,
    },
    mls,
    outbox::{self, receipts},
    pump::{self, AFRESH_AFTER},
    routing,
    settings::{self, Setting},
    sms::{self, hooks::Sms},
    store::{Store, StoreError},
    synced_settings::{archived::SyncedSettingRows, hooks::SyncedSettings},
    tables::Table,
    trust::{
        Acquaintances, ContactHook, hooks::Trust, log, lookups::LookUpHook, overdue_proofs,
        own_history::OwnHistoryHook,
    },
    turn::{EventError, Fault, ResumeHook, Turn},
};

/// An engine's configuration.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    /// Larger commits, welcomes and group information go as blobs (bytes).
    pub inline_bytes: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            inline_bytes: parcels::INLINE_BYTES,
        }
    }
}

/// If the relay's clock is this far from ours, the person is warned.
const CLOCK_SKEW_MAX: u64 = 5 * 60 * 1000;

/// A clock that went back by more than this was set by somebody.
const SET_BACK: Span = Span::minutes(1);

/// How often in a row a timer may fire without any work being done before the pauses grow…
const VAIN_MAX: u32 = 16;

/// …and how often a pause doubles: up to a minute.
const VAIN_DOUBLINGS: u32 = 16;

/// The event was refused; nothing has changed.
#[derive(Debug, thiserror::Error)]
#[error("{problem}")]
pub struct EventRefused {
    /// Why.
    pub problem: Problem,
}

/// The client without I/O.
pub struct Engine {
    store: Store,
    crypto: mls::Crypto,
    hooks: Hooks,
    memory: Memory,
    effects: VecDeque<Effect>,
    timer: Option<Time>,
    link_problem: Option<ProblemReport>,
    /// The time of the newest event.
    now: Time,
    /// How often in a row the timer fired, nothing was done, and more was due at once.
    vain: u32,
}

impl core::fmt::Debug for Engine {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Engine(..)")
    }
}

impl Engine {
    /// Continues from the state in the store. Open requests are sent again: the first effects open
    /// the links.
    ///
    /// # Errors When the store cannot be read, or the system provides no randomness.
    pub fn open(
        store: Store,
        config: &Config,
        now: Time,
        rng: &mut dyn CryptoRng,
    ) -> Result<Self, EventRefused> {
        let crypto = mls::Crypto::new().map_err(|error| EventRefused {
            problem: Problem::Internal {
                detail: error.to_string(),
            },
        })?;
        let mut memory = Memory::default();
        memory.set_inline_limit(config.inline_bytes);
        let mut engine = Self {
            store,
            crypto,
            hooks: hooks(),
            memory,
            effects: VecDeque::new(),
            timer: None,
            link_problem: None,
            now,
            vain: 0,
        };
        engine.run(now, rng, |turn| {
            outbox::prune(turn.tx, turn.now)?;
            attachment::sweep(turn)?;
            Ok(())
        })?;
        Ok(engine)
    }

    /// Handles one event. Returns the response to a command, and nothing for all other events.
    ///
    /// # Errors [`EventRefused`] when a command cannot be carried out, or the store failed. Then
    /// nothing has changed.
    pub fn handle(
        &mut self,
        now: Time,
        rng: &mut dyn CryptoRng,
        event: Event,
    ) -> Result<Response, EventRefused> {
        let was_set_back = now.after(SET_BACK) < self.now;
        self.now = now;
        if !matches!(event, Event::TimeCame) {
            self.vain = 0;
        }
        if was_set_back {
            // Every pause and time-out in memory refers to the old clock.
            self.start_afresh(now);
            let is_asked = matches!(event, Event::Command(_) | Event::RelayMoved { .. });
            if !is_asked && !matches!(event, Event::LinkFailed { .. }) {
                return Ok(Response::Done {});
            }
        }
        match event {
            Event::LinkFailed { link, problem } => {
                self.link_failed(link, &problem);
                Ok(Response::Done {})
            }
            Event::Command(request) => {
                let link_problem = self.link_problem.clone();
                self.run(now, rng, |turn| {
                    commands::carry_out(turn, request, link_problem)
                })
            }
            Event::RelayMoved { url } => {
                // It was about the old place.
                self.link_problem = None;
                self.run(now, rng, |turn| {
                    link::relay::follow(turn, &url).map(Response::from)
                })
            }
            Event::LinkOpened {
                link,
                exporter,
                pin,
            } => {
                self.link_problem = None;
                self.run(now, rng, |turn| {
                    opened(turn, link, exporter, pin).map(Response::from)
                })
            }
            Event::LinkClosed { link } => self.run(now, rng, |turn| {
                closed(turn, link);
                Ok(Response::Done {})
            }),
            Event::FramesReceived { link, frames } => self.run(now, rng, |turn| {
                received(turn, link, frames).map(Response::from)
            }),
            Event::Blob(done) => self.run(now, rng, |turn| {
                transfer::handle_file_done(turn, done)
                    .map_err(EventError::from)
                    .map(Response::from)
            }),
            Event::TimeCame => {
                // `run` ends it again where something is done.
                self.vain = self.vain.saturating_add(1);
                self.run(now, rng, |turn| pump::handle_time(turn).map(Response::from))
            }
        }
    }

    /// The next effect to carry out, until there are none.
    pub fn poll_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// The store, for copies and checks.
    pub const fn store(&self) -> &Store {
        &self.store
    }

    /// Ends the engine and returns its store.
    pub fn into_store(self) -> Store {
        self.store
    }

    fn link_failed(&mut self, link: LinkKind, problem: &Problem) {
        let report = problem.report();
        if link == LinkKind::Mailbox && self.link_problem.as_ref() != Some(&report) {
            self.link_problem = Some(report.clone());
            self.effects
                .push_back(Effect::Notify(Notice::Connection(ConnectionChanged {
                    connection: Connection::Offline,
                    problem: Some(report),
                })));
        }
    }

    /// Does work in a transaction, then everything that this work has made possible.
    fn run<R>(
        &mut self,
        now: Time,
        rng: &mut dyn CryptoRng,
        work: impl FnOnce(&mut Turn<'_>) -> Result<R, EventError>,
    ) -> Result<R, EventRefused> {
        let Self {
            store,
            crypto,
            hooks,
            memory,
            ..
        } = self;
        let done = store.transaction(|tx| {
            let mut turn = Turn {
                tx,
                now,
                rng,
                memory,
                crypto,
                hooks,
                out: Vec::new(),
            };
            turn.resume()?;
            turn.begin_containment();
            let result = work(&mut turn)?;
            turn.in_parts(pump::pump)?;
            turn.run_contained(ErrorOwner::Part("overdue checks"), overdue_proofs::tick)?;
            let timer = pump::next_time(&turn)?;
            Ok::<_, EventError>((result, turn.out, timer))
        });
        match done {
            Ok((result, effects, timer)) => {
                let is_indexing = index::next_due(&self.memory).is_some();
                if !effects.is_empty()
                    || is_indexing
                    || timer.is_none_or(|at| at > now.after(AFRESH_AFTER))
                {
                    self.vain = 0;
                }
                self.effects.extend(effects);
                let tidy = self.store.tidy_log(now);
                let timer = [timer, tidy].into_iter().flatten().min();
                let timer = timer.map(|at| at.max(now.after(self.pause_in_vain())));
                if timer != self.timer || timer.is_some_and(|at| at <= now) {
                    self.timer = timer;
                    self.effects.extend(timer.map(Effect::SetTimer));
                }
                Ok(result)
            }
            Err(EventError::Refused(problem)) => Err(EventRefused { problem }),
            Err(EventError::Fault(fault)) => {
                self.start_afresh(now);
                Err(EventRefused {
                    problem: problem_of(fault),
                })
            }
        }
    }

    /// How long the engine rests before the next timer event. Due work that stays undone is a fault
    /// of this program; a device must not spend its battery on it.
    fn pause_in_vain(&self) -> Span {
        match self.vain.checked_sub(VAIN_MAX) {
            None => Span(0),
            Some(doublings) => Span(1 << doublings.min(VAIN_DOUBLINGS)),
        }
    }

    /// Memory may be ahead of the store, or of the clock: it is read from the store again, on
    /// new links.
    fn start_afresh(&mut self, now: Time) {
        for (link, state) in [
            (LinkKind::Mailbox, &self.memory.links.mailbox),
            (LinkKind::Posting, &self.memory.links.posting),
        ] {
            if state.phase != LinkPhase::Unwanted {
                self.effects.push_back(Effect::CloseLink { link });
            }
        }
        let was_online = self.memory.links.told_online;
        self.memory.reset();
        if was_online {
            self.effects
                .push_back(Effect::Notify(Notice::Connection(ConnectionChanged {
                    connection: Connection::Offline,
                    problem: None,
                })));
        }
        self.timer = Some(now.after(AFRESH_AFTER));
        self.effects.extend(self.timer.map(Effect::SetTimer));
    }
}

/// The tables that act when another room does something, in their order.
pub(crate) const TABLES: &[&dyn Table] = &[
    &archive::settings::Settings,
    &archive::settings::DeviceNames,
    &Contacts,
    &archived::ConversationRows,
    &archived::Groups,
    &history::Entries,
    &amendments::Amendments,
    &message::receipts::Receipts,
    &outbox::Outbox,
    &MessagesWithFiles,
    &receipts::OwedReceipts,
    &Attachments,
    &link_preview::LinkPreviews,
    &text_details::DetailsOfTexts,
    &sms::parts::Parts,
    &SyncedSettingRows,
    &Deletions,
    &Scheduled,
];

/// What each room does when something happens in a room below. Of each list, the first is called
/// first: the rooms from top to bottom, except where what a lower one does comes first.
pub(crate) fn hooks() -> Hooks {
    Hooks::default()
        .with::<dyn ResumeHook>(&[&Trust, &Messages, &Conversations])
        .with::<dyn ErrorHook>(&[&Messages, &Conversations])
        .with::<dyn UndoHook>(&[&Attachments, &Devices, &Inbox, &Trust, &Blobs])
        .with::<dyn LinkHook>(&[&Sms, &Messages, &Conversations, &Trust])
        .with::<dyn Acquaintances>(&[&Conversations])
        .with::<dyn ContactHook>(&[&SyncedSettings, &Messages, &Conversations])
        .with::<dyn LookUpHook>(&[&Sms, &Messages, &Conversations])
        .with::<dyn OwnHistoryHook>(&[&Devices, &Messages, &Conversations])
        .with::<dyn ConversationHook>(&[
            &Profiles,
            &Messages,
            &SyncedSettings,
            &Sms,
            &Attachments,
            &Inbox,
        ])
        .with::<dyn MessageHook>(&[&Attachments, &Polls, &Forwarded, &Scheduled, &ViewOnce])
        .with::<dyn ContentHook>(&[
            &Polls,
            &ViewOnce,
            &AmendingContent,
            &TextContent,
            &LinkPreviewContent,
            &MessagesWithFiles,
            &Forwarded,
        ])
        .with::<dyn Table>(TABLES)
}

fn problem_of(fault: Fault) -> Problem {
    let store = match fault {
        Fault::Store(error) | Fault::Mls(mls::MlsError::Store(error)) => error,
        Fault::Mls(error) => {
            return Problem::Internal {
                detail: error.to_string(),
            };
        }
        Fault::Broken(detail) => return Problem::Internal { detail },
    };
    store_problem(&store)
}

/// The problem that a person sees if the store fails.
pub fn store_problem(error: &StoreError) -> Problem {
    match error {
        StoreError::InUse => Problem::HomeBusy,
        StoreError::Unreadable => Problem::StoreKeyWrong,
        StoreError::Newer { .. } => Problem::StoreTooNew,
        StoreError::Damaged { .. } | StoreError::Undecodable { .. } => Problem::StoreCorrupted,
        StoreError::DiskFull => Problem::DiskFull,
        StoreError::Unwritable
        | StoreError::Disk
        | StoreError::NotEncrypting
        | StoreError::Statement(_) => Problem::StoreFailed {
            detail: error.to_string(),
        },
    }
}

fn opened(
    turn: &mut Turn<'_>,
    link: LinkKind,
    exporter: Exporter,
    pin: Option<String>,
) -> Result<(), EventError> {
    if let Some(pin) = pin
        && settings::relay(turn.tx)?.is_some_and(|relay| relay.pin.is_none())
    {
        settings::write(turn.tx, Setting::RelayPin, pin)?;
    }
    turn.memory.links.forget(link);
    let now = turn.now;
    turn.memory.links.of(link).opened(now, exporter);
    Ok(())
}

fn closed(turn: &mut Turn<'_>, link: LinkKind) {
    turn.memory.links.of(link).closed();
    turn.handle_link_lost(link);
}

fn received(
    turn: &mut Turn<'_>,
    link: LinkKind,
    frames: Vec<RelayFrame>,
) -> Result<(), EventError> {
    let received_before = turn.memory.links.received;
    let now = turn.now;
    turn.memory.links.of(link).used_at = now;
    for frame in frames {
        match frame.body {
            Some(Body::Hello(hello)) => {
                let greeted = turn.memory.links.of(link).greeted(&hello);
                match greeted {
                    Ok(open) => {
                        turn.send_without_answer(
                            link,
                            waxwing_protocol::pb::client_frame::Body::Open(open),
                        );
                        log::handle_hello(turn, link, &hello.log_id);
                        turn.run_contained(ErrorOwner::Part("tokens"), |turn| {
                            tokens::greeted(turn, link)
                        })?;
                        let skew = hello
                            .now_ms
                            .cast_signed()
                            .saturating_sub(now.0.cast_signed());
                        let known = turn.memory.links.clock_skew_ms.replace(skew).is_some();
                        if !known && skew.unsigned_abs() > CLOCK_SKEW_MAX {
                            turn.warn(&Problem::ClockWrong { skew_ms: skew });
                        }
                    }
                    Err(GreetingRefused::NoCommonVersion) => {
                        turn.warn(&Problem::RelayTooDifferent);
                    }
                    Err(GreetingRefused::Malformed) => turn.warn_misdeed(RelayMisdeed::Malformed),
                }
            }
            Some(body) => routing::frame(turn, link, frame.request, body)?,
            // A kind of frame from a later version.
            None => {}
        }
    }
    if turn.memory.links.received != received_before {
        mailbox::record_received(turn)?;
    }
    Ok(())
}
