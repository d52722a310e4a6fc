//! Connects the links with the relay's core: one lock, one writer, one sweep.
//!
//! Links call the core themselves, several frames under one lock, and move its effects to the
//! queues of the links concerned. What has to be verified for a frame is verified outside the
//! lock, while the link's next frames wait. A separate thread commits what gathered meanwhile,
//! outside the lock (group commit).
//!
//! **Elsewhere**: the core's decisions are in [`crate::relay`]; sockets are in
//! [`super::link`], the threads of the key log in [`super::log`].
//!
//! **Always**: nothing waits for a link, and no link waits for the disk. The order of the
//! core's effects is the order in the queues. A link releases the lock after [`HELD`], and
//! before it verifies anything.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::{Condvar, Mutex, MutexGuard};
use rand::SeedableRng as _;
use rand::rngs::{StdRng, SysRng};
use tokio::sync::{Semaphore, SemaphorePermit};
use tungstenite::protocol::frame::coding::CloseCode;
use waxwing_protocol::pb::{ClientFrame, RelayFrame, relay_frame::Body as Answer};
use waxwing_protocol::time::{Span, Time};
use waxwing_protocol::{
    Exporter,
    address::{Address, AddressKind},
};

use super::ServeError;
use super::clock::{Clock, now};
use super::connection_limits::ConnectionSlot;
use super::log::{LogThreads, Questions};
use super::memory::LinkRank;
use super::send_queue::{Ending, SendQueue};
use super::verifying::{Verifying, processors};
use crate::directory::log::KeyLog;
use crate::mail::{Letter, LetterRequest, Mailer};
use crate::own_ids::OwnIds;
use crate::relay::{Counts, Effect, LinkId, Relay};
use crate::sms::SmscClient;
use crate::store::Store;
use crate::texts::SmsReport;
use crate::verification::Verification;

/// Housekeeping of the store happens this often.
const UPKEEP: Duration = Duration::from_secs(1);
/// What the frames of one link may cost before others get the lock, in posts to two
/// mailboxes: half a millisecond.
const HELD: u32 = 50;
/// Mailboxes of a batch's posts that are told of at a time.
const PIECE: usize = 512;
/// A failure that goes on is logged again after this.
const REPEAT: Span = Span::minutes(1);

/// What the links share.
pub(super) struct CoreDriver<S> {
    pub(super) state: Mutex<DriverState<S>>,
    /// Signalled when there is something to commit, or the writer is to end.
    commit: Condvar,
    /// Signalled when there is something to publish, or the publisher is to end.
    pub(super) publish: Condvar,
    pub(super) questions: Questions,
    verifying: Arc<Verifying<S>>,
    /// Links that have not logged in need one to send much: half the processors are for the
    /// others.
    turns: Semaphore,
    mail: Mailer,
    texts: SmscClient,
    /// What people know the relay by.
    name: String,
    clock: Clock,
}

pub(super) struct DriverState<S> {
    pub(super) relay: Relay<S>,
    pub(super) rng: StdRng,
    pub(super) links: HashMap<LinkId, Arc<SendQueue>, OwnIds>,
    next_link: u64,
    /// When the thread that commits looks again of its own accord.
    commits_at: Option<Time>,
    /// When the thread that publishes does.
    pub(super) publishes_at: Option<Time>,
    pub(super) is_ending: bool,
    /// Damaged records that the log has told of.
    damaged: u64,
}

/// A link that the relay knows; it forgets it when this is dropped.
pub(super) struct Connected<S: Store> {
    driver: Arc<CoreDriver<S>>,
    link: LinkId,
    source: IpAddr,
    /// Counted until the link is gone.
    slot: ConnectionSlot,
}

/// While it lasts, a link that has not logged in may send much.
pub(super) type SendTurn<'a> = SemaphorePermit<'a>;

/// The threads that write to the store, and those that answer from the key log.
pub(super) struct Writers {
    commit: JoinHandle<()>,
    log: LogThreads,
    verifiers: Vec<JoinHandle<()>>,
    /// Ends the upkeep by being dropped.
    upkeep_lasts: std::sync::mpsc::Sender<()>,
    upkeep: JoinHandle<()>,
}

impl<S: Store> CoreDriver<S> {
    pub(super) fn new(
        relay: Relay<S>,
        mail: Mailer,
        texts: SmscClient,
        name: &str,
        clock: Clock,
    ) -> Result<Arc<Self>, ServeError> {
        let rng = StdRng::try_from_rng(&mut SysRng)
            .map_err(|error| ServeError::Random(error.to_string()))?;
        let state = DriverState {
            relay,
            rng,
            links: HashMap::default(),
            next_link: 0,
            commits_at: None,
            publishes_at: None,
            is_ending: false,
            damaged: 0,
        };
        Ok(Arc::new(Self {
            state: Mutex::new(state),
            commit: Condvar::new(),
            publish: Condvar::new(),
            questions: Questions::default(),
            verifying: Arc::default(),
            turns: Semaphore::new((processors() / 2).max(1)),
            mail,
            texts,
            name: name.to_owned(),
            clock,
        }))
    }

    /// Starts committing, publishing and housekeeping.
    pub(super) fn start_writers(
        self: &Arc<Self>,
        log: &Arc<KeyLog<S>>,
    ) -> Result<Writers, ServeError> {
        let failed = |error: std::io::Error| ServeError::Thread(error.to_string());
        let store = self.state.lock().relay.store();
        let driver = Arc::clone(self);
        let commit_store = Arc::clone(&store);
        let commit = std::thread::Builder::new()
            .name("waxwing-commit".to_owned())
            .spawn(move || driver.commit_for_ever(&*commit_store))
            .map_err(failed)?;
        let (upkeep_lasts, ended) = std::sync::mpsc::channel();
        let upkeep = std::thread::Builder::new()
            .name("waxwing-upkeep".to_owned())
            .spawn(move || keep_up(&*store, &ended))
            .map_err(failed)?;
        let log = self.start_log(log).map_err(failed)?;
        let verifiers = self.verifying.start().map_err(failed)?;
        Ok(Writers {
            commit,
            log,
            verifiers,
            upkeep_lasts,
            upkeep,
        })
    }

    /// Introduces a link to the relay.
    pub(super) fn connect(
        self: &Arc<Self>,
        exporter: Exporter,
        source: IpAddr,
        slot: ConnectionSlot,
    ) -> Connected<S> {
        let now = now();
        let outgoing = Arc::clone(slot.outgoing());
        slot.is_link();
        let mut state = self.state.lock();
        let link = LinkId(state.next_link);
        state.next_link += 1;
        if state.is_ending {
            outgoing.end(Ending::Close(CloseCode::Away));
        }
        let DriverState { relay, rng, .. } = &mut *state;
        relay.link_opened(now, rng, link, exporter, source);
        state.links.insert(link, outgoing);
        self.route(&mut state);
        drop(state);
        Connected {
            driver: Arc::clone(self),
            link,
            source,
            slot,
        }
    }

    /// To be called once a second, and [`sweep_slice`](Self::sweep_slice) after it until that
    /// gives `false`.
    pub(super) fn tick(&self) {
        let now = now();
        let mut state = self.state.lock();
        self.clock.look(now, &mut state.relay);
        state.relay.begin_sweep();
        state.damaged = note_damage(state.damaged, state.relay.counts().damaged);
        self.route(&mut state);
    }

    /// Does a slice of what there is to do each second; gives whether there is more. The
    /// lock is let go for those who wait for it in between.
    pub(super) fn sweep_slice(&self) -> bool {
        let now = now();
        let mut state = self.state.lock();
        let more = state.relay.sweep_slice(now);
        self.route(&mut state);
        MutexGuard::unlock_fair(state);
        more
    }

    /// Whether the machine's clock is in doubt, and whether nothing expires.
    pub(super) fn doubts_clock(&self) -> (bool, bool) {
        let now = now();
        let state = self.state.lock();
        (
            state.relay.doubts_clock(),
            state.relay.keeps_everything(now),
        )
    }

    pub(super) fn counts(&self) -> Counts {
        self.state.lock().relay.counts()
    }

    /// A letter or a text was given up.
    pub(super) fn code_failed(&self, asked: LetterRequest) {
        let mut state = self.state.lock();
        state.relay.code_not_sent(asked.link, asked.request);
        self.route(&mut state);
    }

    /// The SMSC, or the connection with it, reports something about texts.
    pub(super) fn sms_report(&self, report: SmsReport) {
        let now = now();
        let mut state = self.state.lock();
        let DriverState { relay, rng, .. } = &mut *state;
        relay.sms_report(now, rng, report);
        self.route(&mut state);
    }

    pub(super) fn mail(&self) -> &Mailer {
        &self.mail
    }

    pub(super) fn texts(&self) -> &SmscClient {
        &self.texts
    }

    pub(super) fn links(&self) -> usize {
        self.state.lock().links.len()
    }

    /// Lets the writers commit what is pending and end. Blocks.
    pub(super) fn end_writers(&self, writers: Writers) {
        self.state.lock().is_ending = true;
        self.commit.notify_one();
        self.publish.notify_one();
        self.questions.end();
        self.verifying.end();
        writers.log.join();
        for verifier in writers.verifiers {
            // A thread that panicked has been reported by the panic hook.
            let _ = verifier.join();
        }
        drop(writers.upkeep_lasts);
        // A thread that panicked has been reported by the panic hook.
        let _ = writers.commit.join();
        let _ = writers.upkeep.join();
        // What was acknowledged does not lie on the disk while the relay is stopped.
        let store = self.state.lock().relay.store();
        if let Err(error) = store.erase_now() {
            tracing::error!(%error, "acknowledged messages could not be erased");
        }
    }

    /// Ends every link, now and from now on, with a close frame.
    pub(super) fn end_links(&self) {
        let mut state = self.state.lock();
        state.is_ending = true;
        for outgoing in state.links.values() {
            outgoing.end(Ending::Close(CloseCode::Away));
        }
    }

    /// Handles frames until one has to be verified, or others may want the lock.
    fn handle_some(
        &self,
        link: LinkId,
        frames: &mut std::vec::IntoIter<ClientFrame>,
    ) -> Option<Verification<S>> {
        let now = now();
        let mut held = 0;
        let mut state = self.state.lock();
        let mut verification = None;
        while held < HELD
            && verification.is_none()
            && let Some(frame) = frames.next()
        {
            let DriverState { relay, rng, .. } = &mut *state;
            verification = relay.begin(now, rng, link, frame);
            held += relay.take_cost().max(1);
        }
        self.route(&mut state);
        verification
    }

    /// Has a request verified, and finishes it.
    async fn verify(&self, source: IpAddr, mut verification: Verification<S>) {
        // At the end, requesters ask again.
        while let Some(verified) = self.verifying.verify(source, verification).await {
            let now = now();
            let mut state = self.state.lock();
            let DriverState { relay, rng, .. } = &mut *state;
            let more = relay.finish(now, rng, verified);
            self.route(&mut state);
            match more {
                Some(more) => verification = more,
                None => return,
            }
        }
    }

    /// Carries out what the relay decided.
    pub(super) fn route(&self, state: &mut DriverState<S>) {
        while let Some(effect) = state.relay.poll_effect() {
            match effect {
                Effect::Send { link, frame } => {
                    if let Some(outgoing) = state.links.get(&link) {
                        if let Some(rank) = shown_by(&frame) {
                            outgoing.has_shown(rank);
                        }
                        outgoing.push(frame);
                    }
                }
                Effect::Close { link } => {
                    if let Some(outgoing) = state.links.get(&link) {
                        outgoing.end(Ending::Close(CloseCode::Policy));
                    }
                }
                Effect::Prove {
                    link,
                    request,
                    question,
                } => {
                    let asked = LetterRequest { link, request };
                    let Some(source) = state.relay.source(link) else {
                        continue;
                    };
                    if let Err(refused) = self.questions.ask(source, asked, question)
                        && let Some(outgoing) = state.links.get(&link)
                    {
                        outgoing.push(RelayFrame {
                            request,
                            body: Some(Answer::Error(refused)),
                        });
                    }
                }
                Effect::SendCode {
                    link,
                    request,
                    address,
                    code,
                } => self.send_code(&address, code, LetterRequest { link, request }),
                Effect::SendSms(submission) => self.texts.send_text(*submission),
                Effect::AnswerSms { ticket, verdict } => self.texts.answer(ticket, verdict),
            }
        }
        if let Some(at) = state.relay.next_write()
            && state.commits_at.is_none_or(|planned| at < planned)
        {
            state.commits_at = Some(at);
            self.commit.notify_one();
        }
        if let Some(at) = state.relay.next_publication(now())
            && state.publishes_at.is_none_or(|planned| at < planned)
        {
            state.publishes_at = Some(at);
            self.publish.notify_one();
        }
    }

    /// By mail, or as a text.
    fn send_code(&self, address: &Address, code: String, asked: LetterRequest) {
        match address.kind() {
            AddressKind::Email => self.mail.send(Letter::new(address, code, asked)),
            AddressKind::Phone => {
                self.texts
                    .send_code(&self.name, address.canonical(), &code, asked);
            }
        }
    }

    fn commit_for_ever(&self, store: &S) {
        let mut trouble = Trouble::default();
        loop {
            let mut state = self.state.lock();
            let batch = loop {
                // At the end nothing waits any more.
                let until = if state.is_ending {
                    Time(u64::MAX)
                } else {
                    now()
                };
                if let Some(batch) = state.relay.take_batch(until) {
                    break batch;
                }
                if state.is_ending {
                    return;
                }
                state.commits_at = state.relay.next_write();
                match state.commits_at {
                    Some(at) => {
                        let span = Duration::from_millis(at.since(until).0);
                        let _ = self.commit.wait_for(&mut state, span);
                    }
                    None => self.commit.wait(&mut state),
                }
            };
            drop(state);
            let result = store.commit(batch.into_writes());
            trouble.note(now(), "nothing can be stored", &result);
            let mut state = self.state.lock();
            match &result {
                // A large batch is told of in pieces: others want the lock too.
                Ok(()) => {
                    while !state.relay.batch_written_some(PIECE) {
                        self.route(&mut state);
                        MutexGuard::bump(&mut state);
                    }
                }
                Err(error) => state.relay.handle_batch_failed(error),
            }
            self.route(&mut state);
        }
    }
}

impl<S: Store> Connected<S> {
    /// What waits for this link.
    pub(super) fn outgoing(&self) -> &Arc<SendQueue> {
        self.slot.outgoing()
    }

    /// The link's slot among all connections.
    pub(super) fn slot(&self) -> &ConnectionSlot {
        &self.slot
    }

    /// Waits until the link may send much; first come, first served. `None` where nobody waits
    /// any more.
    pub(super) async fn turn(&self) -> Option<SendTurn<'_>> {
        self.driver.turns.acquire().await.ok()
    }

    /// Hands frames to the relay, in order.
    pub(super) async fn handle(&self, frames: &mut std::vec::IntoIter<ClientFrame>) {
        loop {
            if let Some(verification) = self.driver.handle_some(self.link, frames) {
                // Few frames need it: in a box of its own it takes no memory of idle links.
                Box::pin(self.driver.verify(self.source, verification)).await;
            }
            if frames.len() == 0 {
                return;
            }
            tokio::task::yield_now().await;
        }
    }
}

impl<S: Store> Drop for Connected<S> {
    fn drop(&mut self) {
        let mut state = self.driver.state.lock();
        state.links.remove(&self.link);
        state.relay.link_closed(self.link);
        self.driver.route(&mut state);
    }
}

/// What the relay knows of a link that it gives this answer.
fn shown_by(frame: &RelayFrame) -> Option<LinkRank> {
    match frame.body {
        Some(Answer::LoggedIn(_)) => Some(LinkRank::LoggedIn),
        Some(Answer::PostingAuthorised(_) | Answer::Posted(_)) => Some(LinkRank::Posting),
        _ => None,
    }
}

fn keep_up(store: &impl Store, ended: &std::sync::mpsc::Receiver<()>) {
    let mut trouble = Trouble::default();
    let mut shortage = Trouble::default();
    let mut damaged = 0;
    while ended.recv_timeout(UPKEEP) == Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
        let now = now();
        let result = store.maintain(now.0);
        trouble.note(now, "the store's housekeeping failed", &result);
        let space = if store.is_nearly_full() {
            Err("free some space")
        } else {
            Ok(())
        };
        shortage.note(now, "the disk is nearly full: posts are refused", &space);
        damaged = note_damage(damaged, store.damaged());
    }
}

/// Says that records were damaged that were not when this was last said.
fn note_damage(before: u64, records: u64) -> u64 {
    if records > before {
        tracing::error!(
            records,
            "damaged records were skipped: `waxwing-relay check` names their kinds"
        );
    }
    records
}

/// Says once that something fails, again each minute, and once that it works again.
#[derive(Default)]
pub(super) struct Trouble {
    said_at: Option<Time>,
}

impl Trouble {
    pub(super) fn note<E: std::fmt::Display>(
        &mut self,
        now: Time,
        what: &'static str,
        result: &Result<(), E>,
    ) {
        match (result, self.said_at) {
            (Err(error), said_at) => {
                if said_at.is_none_or(|at| now.since(at) >= REPEAT) {
                    tracing::error!(%error, "{what}");
                    self.said_at = Some(now);
                }
            }
            (Ok(()), Some(_)) => {
                tracing::info!("the store works again");
                self.said_at = None;
            }
            (Ok(()), None) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;
    use rand::SeedableRng as _;
    use tokio::io::{AsyncReadExt as _, DuplexStream};
    use waxwing_protocol::limits;
    use waxwing_protocol::pb::{self, client_frame::Body as Request};

    use super::super::connection_limits::Sources;
    use super::super::link;
    use super::super::websocket::WebSocket;
    use super::*;
    use crate::directory::log::LogKeys;
    use crate::relay::{Config, Secrets};
    use crate::server::memory::Memory;
    use crate::store::memory::MemoryStore;
    use crate::{mail, sms};

    fn driver() -> Arc<CoreDriver<MemoryStore>> {
        let store = Arc::new(MemoryStore::new());
        let mut rng = StdRng::seed_from_u64(1);
        let keys = LogKeys::simulated(&[7; 32], &[2; 32]).unwrap();
        let log = KeyLog::open(Arc::clone(&store), keys, Vec::new(), now(), &mut rng).unwrap();
        let secrets = Secrets {
            token_seed: [1; 32],
            address_key: [2; 32],
        };
        let identity = log.identity().clone();
        let relay = Relay::open(store, Config::default(), secrets, identity).unwrap();
        let (mail, _) = Mailer::start(&mail::MailRoute::None, None, "relay.example").unwrap();
        let (texts, _) = SmscClient::start(&sms::SmsRoute::None).unwrap();
        CoreDriver::new(relay, mail, texts, "relay.example", Clock::new(None)).unwrap()
    }

    fn connect(driver: &Arc<CoreDriver<MemoryStore>>) -> Connected<MemoryStore> {
        let source = [192, 0, 2, 1].into();
        let memory = Memory::new(1 << 20);
        let slot = Sources::new(10, 10, &[], &memory).admit(source).unwrap();
        driver.connect([7; 32], source, slot)
    }

    fn frame(body: Request) -> ClientFrame {
        ClientFrame {
            request: 1,
            body: Some(body),
        }
    }

    /// How often a link takes the lock for these frames.
    fn turns(driver: &CoreDriver<MemoryStore>, link: LinkId, frames: Vec<ClientFrame>) -> usize {
        let mut frames = frames.into_iter();
        let mut turns = 0;
        while frames.len() > 0 {
            assert!(driver.handle_some(link, &mut frames).is_none());
            turns += 1;
        }
        turns
    }

    #[tokio::test]
    async fn a_link_with_many_frames_gives_others_the_lock() {
        let driver = driver();
        let link = connect(&driver);
        let open = frame(Request::Open(pb::Open { version: 1 }));
        assert_eq!(turns(&driver, link.link, vec![open]), 1);
        let pings = vec![frame(Request::Ping(pb::Ping {})); 1000];
        assert_eq!(turns(&driver, link.link, pings), 1000 / HELD as usize);
        // Acknowledgements are charged to nobody, and take time all the same.
        let acknowledge = Request::Acknowledge(pb::Acknowledge { sequence: 1 });
        let acknowledgements = vec![frame(acknowledge); 1000];
        assert_eq!(
            turns(&driver, link.link, acknowledgements),
            1000 / HELD as usize
        );
        // What costs more has others' turn sooner.
        let states = Request::FetchBlobPart(pb::FetchBlobPart::default());
        assert_eq!(turns(&driver, link.link, vec![frame(states); 100]), 20);
    }

    /// What has come to the client's side by now.
    async fn arrived(client: &mut DuplexStream) -> usize {
        let mut bytes = 0;
        let mut part = vec![0; 4096];
        // The link's task runs on this thread: it does all that it can between two looks.
        for _ in 0..1000 {
            tokio::task::yield_now().await;
            if let Some(read) = client.read(&mut part).now_or_never() {
                bytes += read.unwrap();
            }
        }
        bytes
    }

    #[tokio::test]
    async fn strangers_send_much_only_in_their_turn() {
        const LARGE: usize = 100 << 10;
        let answer = |bytes| RelayFrame {
            request: 1,
            body: Some(Answer::BlobPartFetched(pb::BlobPartFetched {
                part: vec![0; bytes].into(),
                of: 1,
            })),
        };
        let driver = driver();
        for rank in [LinkRank::Nameless, LinkRank::Posting, LinkRank::LoggedIn] {
            let turns = driver.turns.available_permits();
            let others = driver.turns.acquire_many(u32::try_from(turns).unwrap());
            let others = others.await.unwrap();
            let connected = connect(&driver);
            let outgoing = Arc::clone(connected.outgoing());
            outgoing.has_shown(rank);
            let (mut client, server) = tokio::io::duplex(LARGE + 1024);
            let socket = WebSocket::new(server, &[], limits::FRAME_BYTES);
            let link = tokio::spawn(link::run(socket, connected));
            outgoing.push(answer(1000));
            assert!(arrived(&mut client).await > 1000, "{rank:?}");
            outgoing.push(answer(LARGE));
            let large = arrived(&mut client).await;
            assert_eq!(large > 0, rank == LinkRank::LoggedIn, "{rank:?}");
            drop(others);
            assert!(large + arrived(&mut client).await > LARGE, "{rank:?}");
            assert_eq!(driver.turns.available_permits(), turns);
            link.abort();
        }
    }
}
