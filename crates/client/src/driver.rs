//! Drives the engine: events from sockets, the clock and callers go in; effects become
//! frames, links, a timer and notices.
//!
//! **Elsewhere.** The engine knows what an event means; [`crate::link::keep_open`] keeps links
//! open.
//!
//! **Always.** One thread owns the engine and its store, so that a slow disk does not delay any
//! socket. If the engine refuses a frame (because the disk is full), it gets no later frames of the
//! same link: the link is closed, and the relay sends them again.

use std::{
    sync::Arc,
    thread,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use rand::{rand_core::UnwrapErr, rngs::SysRng};
use tokio::{
    runtime::Handle,
    sync::{Notify, broadcast, mpsc, oneshot},
    task::JoinHandle,
    time::{sleep, timeout},
};
use waxwing_engine::{
    BlobDone, Effect, Engine, Event, LinkKind, RelayPlace,
    api::{self, Notice, Problem, Request, Response, Warning},
    store_problem,
};
use waxwing_protocol::{
    pb::RelayFrame,
    time::{Span, Time},
};

use crate::{
    blobs::Blobs,
    home::Home,
    link::{
        ConnectError, IdentityRefused, LinkEvent, LinkInfo, Outbound, RelayUrl, RelayUrlMalformed,
        Route, connect, keep_open,
    },
};

/// Frames of one link that go into the engine as one event, at most.
const FRAMES_AT_ONCE: usize = 256;
/// Events of one link that wait for the engine; then its socket is not read any more.
const EVENTS_WAITING: usize = 512;
/// Calls that wait for the engine.
const CALLS_WAITING: usize = 64;
/// Notices that a slow subscriber may be behind.
const NOTICES_KEPT: usize = 4096;
/// The timer is looked at again at least this often, since clocks jump and machines sleep.
const LONGEST_SLEEP: Duration = Duration::from_mins(1);
/// When the engine could not handle the timer, it is tried again after this.
const TIMER_AGAIN: Span = Span::seconds(5);
/// How long links may take to say goodbye.
const GOODBYE: Duration = Duration::from_secs(3);

/// The clock that the engine is given.
pub fn now() -> Time {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    Time(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

/// What a caller wants of the driver's thread.
enum DriverCall {
    Request(Request, oneshot::Sender<Result<Response, Problem>>),
    Health(oneshot::Sender<Health>),
    Route(Route),
    RelayMoved(String, oneshot::Sender<Result<(), Problem>>),
}

/// How the client's machinery is, for `doctor`.
pub struct Health {
    /// Whether the store's pages and indexes are whole.
    pub store: Result<(), Problem>,
    /// The mailbox link, while it is open.
    pub mailbox: Option<LinkInfo>,
    /// The posting link, while it is open.
    pub posting: Option<LinkInfo>,
}

/// What the engine may be used for.
pub enum Access {
    /// Everything.
    Full,
    /// Reading what is there, without a network; this is why.
    ReadOnly(Problem),
}

/// The running client of one account. Cheap to clone; it ends when [`Client::close`] is
/// called.
#[derive(Clone)]
pub struct Client {
    calls: mpsc::Sender<DriverCall>,
    notices: broadcast::Sender<Notice>,
    stop: Arc<Notify>,
    stopped: Arc<tokio::sync::Mutex<Option<oneshot::Receiver<()>>>>,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Client { .. }")
    }
}

impl Client {
    /// Starts driving the engine that `open` makes, on a thread of its own.
    ///
    /// Call it inside a tokio runtime.
    /// Files lie sealed in the home. All links are made by this route. If the account is deleted,
    /// the home is erased and the client ends.
    pub async fn start(
        home: Home,
        access: Access,
        route: Route,
        open: impl FnOnce() -> Result<Engine, Problem> + Send + 'static,
    ) -> Result<Self, Problem> {
        let (calls, calls_in) = mpsc::channel(CALLS_WAITING);
        let (notices, _) = broadcast::channel(NOTICES_KEPT);
        let (opened, is_open) = oneshot::channel();
        let (end, stopped) = oneshot::channel();
        let stop = Arc::new(Notify::new());
        let runtime = Handle::current();
        let (tell, stopping) = (notices.clone(), Arc::clone(&stop));
        thread::Builder::new()
            .name("waxwing-engine".into())
            .spawn(move || {
                let engine = match open() {
                    Ok(engine) => engine,
                    Err(problem) => return drop(opened.send(Err(problem))),
                };
                // The caller that waits for this may have gone away.
                drop(opened.send(Ok(())));
                let blobs = Blobs::of(home.path());
                let mut driver = Driver::new(engine, access, calls_in, tell, blobs, route);
                runtime.block_on(driver.run(&stopping));
                runtime.block_on(driver.say_goodbye());
                let erases = driver.erases;
                drop(driver);
                if erases && home.erase().is_err() {
                    // It is erased when the home is opened next.
                    tracing::warn!("the home could not be erased");
                }
                let _ = end.send(());
            })
            .map_err(|error| Problem::Internal {
                detail: error.to_string(),
            })?;
        is_open.await.map_err(|_| ended())??;
        let stopped = Arc::new(tokio::sync::Mutex::new(Some(stopped)));
        Ok(Self {
            calls,
            notices,
            stop,
            stopped,
        })
    }

    /// Carries out a request.
    pub async fn call(&self, request: Request) -> Result<Response, Problem> {
        let request = with_pin_apart(request)?;
        let (answer, answered) = oneshot::channel();
        self.calls
            .send(DriverCall::Request(request, answer))
            .await
            .map_err(|_| ended())?;
        answered.await.map_err(|_| ended())?
    }

    /// How the machinery is.
    pub async fn health(&self) -> Result<Health, Problem> {
        let (answer, answered) = oneshot::channel();
        self.calls
            .send(DriverCall::Health(answer))
            .await
            .map_err(|_| ended())?;
        answered.await.map_err(|_| ended())
    }

    /// From now on all links are made by this route. Those that are open are closed, and opened
    /// again.
    pub async fn set_route(&self, route: Route) -> Result<(), Problem> {
        let call = DriverCall::Route(route);
        self.calls.send(call).await.map_err(|_| ended())
    }

    /// Follows the relay to `url`, if the server there proves to have its key.
    pub async fn move_relay(&self, url: &str, route: &Route) -> Result<(), Problem> {
        let Response::Account(account) = self.call(Request::Account).await? else {
            return Err(Problem::NotRegistered);
        };
        let pin = account.pin.ok_or(Problem::NotRegistered)?;
        let url: RelayUrl = url.parse().map_err(|error| url_problem(&error))?;
        let presented = url.pin().map(ToString::to_string);
        let pinned = url
            .pinned(pin.parse().map_err(|_| Problem::PinMalformed)?)
            .map_err(|_| Problem::RelayKeyDiffers {
                presented: presented.unwrap_or_default(),
            })?;
        // Dropping the link closes it: this one only proves the key.
        connect(&pinned, route).await.map_err(|error| match error {
            ConnectError::Identity(IdentityRefused::WrongPin { presented, .. }) => {
                Problem::RelayKeyDiffers {
                    presented: presented.to_string(),
                }
            }
            error => Problem::from(&error),
        })?;
        let (answer, answered) = oneshot::channel();
        let call = DriverCall::RelayMoved(format!("https://{}", pinned.authority()), answer);
        self.calls.send(call).await.map_err(|_| ended())?;
        answered.await.map_err(|_| ended())?
    }

    /// The notices from now on.
    pub fn subscribe(&self) -> broadcast::Receiver<Notice> {
        self.notices.subscribe()
    }

    /// Ends the client: links say goodbye, the store is closed.
    pub async fn close(&self) {
        self.stop.notify_one();
        if let Some(stopped) = self.stopped.lock().await.take() {
            // An error means that the thread has ended already.
            let _ = stopped.await;
        }
    }
}

fn ended() -> Problem {
    Problem::ServerGone
}

/// Takes the pin out of the relay's URL, where it may stand, and checks both.
fn with_pin_apart(request: Request) -> Result<Request, Problem> {
    let Request::Register(mut register) = request else {
        return Ok(request);
    };
    let url: RelayUrl = register
        .relay
        .parse()
        .map_err(|error| url_problem(&error))?;
    let url = match &register.pin {
        Some(pin) => url
            .pinned(pin.parse().map_err(|_| Problem::PinMalformed)?)
            .map_err(|error| url_problem(&error))?,
        None => url,
    };
    register.pin = url.pin().map(ToString::to_string);
    register.relay = format!("https://{}", url.authority());
    Ok(Request::Register(register))
}

fn url_problem(error: &RelayUrlMalformed) -> Problem {
    use RelayUrlMalformed as Malformed;
    match error {
        Malformed::Pin(_) | Malformed::TwoPins => Problem::PinMalformed,
        Malformed::Scheme | Malformed::Path | Malformed::Host => Problem::RelayUrlMalformed,
    }
}

/// A relay's place as a URL that can be connected to.
fn url_of(place: &RelayPlace) -> Result<RelayUrl, Problem> {
    let url: RelayUrl = place.url.parse().map_err(|error| url_problem(&error))?;
    match &place.pin {
        Some(pin) => url
            .pinned(pin.parse().map_err(|_| Problem::PinMalformed)?)
            .map_err(|error| url_problem(&error)),
        None => Ok(url),
    }
}

/// A link that the engine wants open.
struct Slot {
    events: mpsc::Receiver<LinkEvent>,
    /// Came while frames were gathered, and is no frame.
    next: Option<LinkEvent>,
    /// While it is open and works.
    open: Option<(Outbound, LinkInfo)>,
    url: RelayUrl,
    hurry: Arc<Notify>,
    task: JoinHandle<()>,
}

struct Driver {
    engine: Engine,
    access: Access,
    calls: mpsc::Receiver<DriverCall>,
    notices: broadcast::Sender<Notice>,
    mailbox: Option<Slot>,
    posting: Option<Slot>,
    leaving: Vec<JoinHandle<()>>,
    timer: Option<Time>,
    /// Why this device's own disk or store did not take the last event, until it takes one.
    trouble: Option<Problem>,
    blobs: Blobs,
    route: Route,
    /// Whether the account was deleted.
    erases: bool,
    /// What was done with files, by threads that may block.
    files: mpsc::UnboundedReceiver<BlobDone>,
    files_done: mpsc::UnboundedSender<BlobDone>,
}

/// What the driver does next.
enum DriverStep {
    Stop,
    Call(DriverCall),
    Link(LinkKind, LinkEvent),
    File(BlobDone),
    Timer,
}

impl Driver {
    fn new(
        engine: Engine,
        access: Access,
        calls: mpsc::Receiver<DriverCall>,
        notices: broadcast::Sender<Notice>,
        blobs: Blobs,
        route: Route,
    ) -> Self {
        // As many as the engine has work done at a time, which it bounds.
        let (files_done, files) = mpsc::unbounded_channel();
        let (mailbox, posting, leaving) = (None, None, Vec::new());
        Self {
            engine,
            access,
            calls,
            notices,
            mailbox,
            posting,
            leaving,
            timer: None,
            trouble: None,
            blobs,
            route,
            erases: false,
            files,
            files_done,
        }
    }

    async fn run(&mut self, stop: &Notify) {
        self.carry_out();
        while !self.erases {
            match self.next(stop).await {
                DriverStep::Stop => return,
                DriverStep::Call(call) => self.call(call),
                DriverStep::Link(kind, event) => self.link(kind, event),
                DriverStep::File(done) => {
                    if let Err(problem) = self.handle(Event::Blob(done)) {
                        self.warn(&problem);
                    }
                }
                DriverStep::Timer => self.handle_time(),
            }
            self.carry_out();
        }
    }

    async fn next(&mut self, stop: &Notify) -> DriverStep {
        tokio::select! {
            () = stop.notified() => DriverStep::Stop,
            call = self.calls.recv() => call.map_or(DriverStep::Stop, DriverStep::Call),
            event = next_of(&mut self.mailbox) => DriverStep::Link(LinkKind::Mailbox, event),
            event = next_of(&mut self.posting) => DriverStep::Link(LinkKind::Posting, event),
            Some(done) = self.files.recv() => DriverStep::File(done),
            () = until(self.timer) => DriverStep::Timer,
        }
    }

    fn handle(&mut self, event: Event) -> Result<Response, Problem> {
        let writes = match &event {
            Event::Command(request) => request.effect() != api::Effect::Reads,
            Event::FramesReceived { .. } | Event::Blob(_) => true,
            _ => false,
        };
        let result = self
            .engine
            .handle(now(), &mut UnwrapErr(SysRng), event)
            .map_err(|refused| refused.problem);
        match &result {
            Err(problem) if is_of_store(problem) => self.trouble = Some(problem.clone()),
            Ok(_) if writes => self.trouble = None,
            _ => {}
        }
        result
    }

    /// Adds to a status what only the driver knows.
    fn complete(&self, response: Response) -> Response {
        match (response, &self.trouble) {
            (Response::Status(mut status), Some(trouble)) => {
                status.problems.insert(0, trouble.report());
                Response::Status(status)
            }
            (response, _) => response,
        }
    }

    fn call(&mut self, call: DriverCall) {
        match call {
            DriverCall::Request(request, answer) => {
                if let Access::ReadOnly(why) = &self.access
                    && request.effect() != api::Effect::Reads
                {
                    drop(answer.send(Err(why.clone())));
                    return;
                }
                if request.effect() != api::Effect::Reads {
                    self.hurry();
                }
                let result = self.handle(Event::Command(request));
                let result = result.map(|response| self.complete(response));
                // The caller may have gone away.
                drop(answer.send(result));
            }
            DriverCall::Health(answer) => {
                let info = |slot: &Option<Slot>| {
                    slot.as_ref()
                        .and_then(|slot| slot.open.as_ref())
                        .map(|(_, info)| info.clone())
                };
                let health = Health {
                    store: self
                        .engine
                        .store()
                        .quick_check()
                        .map_err(|error| store_problem(&error)),
                    mailbox: info(&self.mailbox),
                    posting: info(&self.posting),
                };
                drop(answer.send(health));
            }
            DriverCall::Route(route) => self.set_route(route),
            DriverCall::RelayMoved(url, answer) => {
                let result = self.handle(Event::RelayMoved { url });
                drop(answer.send(result.map(drop)));
            }
        }
    }

    /// Makes every link again: none may stay on the route that it had.
    fn set_route(&mut self, route: Route) {
        if self.route == route {
            return;
        }
        self.route = route;
        for link in [LinkKind::Mailbox, LinkKind::Posting] {
            let Some(slot) = self.slot(link) else {
                continue;
            };
            let (was_open, url) = (slot.open.is_some(), slot.url.clone());
            self.set_slot(link, Some(Slot::start(url, self.route.clone())));
            if was_open && let Err(problem) = self.handle(Event::LinkClosed { link }) {
                self.warn(&problem);
            }
        }
    }

    /// Ends the waits of links that are not open: a person is waiting.
    fn hurry(&self) {
        for slot in [&self.mailbox, &self.posting].into_iter().flatten() {
            if slot.open.is_none() {
                slot.hurry.notify_one();
            }
        }
    }

    fn handle_time(&mut self) {
        if self.timer.is_some_and(|at| at > now()) {
            return;
        }
        self.timer = None;
        if let Err(problem) = self.handle(Event::TimeCame) {
            self.warn(&problem);
            self.timer = Some(now().after(TIMER_AGAIN));
        }
    }

    fn link(&mut self, link: LinkKind, event: LinkEvent) {
        let result = match event {
            LinkEvent::Opened { info, outbound } => {
                let (exporter, pin) = (info.exporter, Some(info.pin.to_string()));
                if let Some(slot) = self.slot(link) {
                    slot.open = Some((outbound, info));
                }
                self.handle(Event::LinkOpened {
                    link,
                    exporter,
                    pin,
                })
            }
            LinkEvent::Received(first) => {
                let frames = match self.slot(link) {
                    Some(slot) if slot.open.is_some() => slot.gather(first),
                    _ => return,
                };
                self.handle(Event::FramesReceived { link, frames })
            }
            LinkEvent::Closed => {
                if let Some(slot) = self.slot(link) {
                    slot.open = None;
                }
                self.handle(Event::LinkClosed { link })
            }
            LinkEvent::Failed(problem) => self.handle(Event::LinkFailed { link, problem }),
        };
        if let Err(problem) = result {
            // What came on this link was not taken, so nothing after it may be: without
            // its outbound the link ends, and is opened again after a while.
            if let Some(slot) = self.slot(link) {
                slot.open = None;
            }
            self.warn(&problem);
        }
    }

    fn warn(&self, problem: &Problem) {
        tracing::warn!(
            code = problem.code(),
            "the engine could not handle an event"
        );
        self.tell(Notice::Warning(Warning {
            problem: problem.report(),
        }));
    }

    fn tell(&self, notice: Notice) {
        // An error means that nobody listens.
        let _ = self.notices.send(notice);
    }

    fn slot(&mut self, link: LinkKind) -> Option<&mut Slot> {
        match link {
            LinkKind::Mailbox => self.mailbox.as_mut(),
            LinkKind::Posting => self.posting.as_mut(),
        }
    }

    fn set_slot(&mut self, link: LinkKind, slot: Option<Slot>) {
        let place = match link {
            LinkKind::Mailbox => &mut self.mailbox,
            LinkKind::Posting => &mut self.posting,
        };
        if let Some(old) = std::mem::replace(place, slot) {
            // Dropping its ends lets the task say goodbye and finish.
            self.leaving.push(old.task);
        }
        self.leaving.retain(|task| !task.is_finished());
    }

    /// Does what the engine wants done.
    fn carry_out(&mut self) {
        while let Some(effect) = self.engine.poll_effect() {
            let is_local = matches!(effect, Effect::SetTimer(_) | Effect::Notify(_));
            if matches!(self.access, Access::ReadOnly(_)) && !is_local {
                continue;
            }
            match effect {
                Effect::OpenLink { link, relay } => match url_of(&relay) {
                    Ok(url) => {
                        let slot = Slot::start(url, self.route.clone());
                        self.set_slot(link, Some(slot));
                    }
                    Err(problem) => self.warn(&problem),
                },
                Effect::CloseLink { link } => self.set_slot(link, None),
                Effect::Send { link, frame } => {
                    if let Some(slot) = self.slot(link)
                        && let Some((outbound, _)) = &slot.open
                        && outbound.send(&frame).is_err()
                    {
                        slot.open = None;
                    }
                }
                Effect::SetTimer(at) => self.timer = Some(at),
                Effect::Blob(work) => {
                    let (blobs, done) = (self.blobs.clone(), self.files_done.clone());
                    tokio::task::spawn_blocking(move || {
                        if let Some(result) = blobs.carry_out(work) {
                            // The driver may have ended.
                            let _ = done.send(result);
                        }
                    });
                }
                Effect::EraseHome => self.erases = true,
                Effect::Notify(notice) => self.tell(notice),
            }
        }
    }

    async fn say_goodbye(&mut self) {
        self.calls.close();
        self.set_slot(LinkKind::Mailbox, None);
        self.set_slot(LinkKind::Posting, None);
        let _ = timeout(GOODBYE, async {
            for task in self.leaving.drain(..) {
                let _ = task.await;
            }
        })
        .await;
    }
}

impl Slot {
    fn start(url: RelayUrl, route: Route) -> Self {
        let (tell, events) = mpsc::channel(EVENTS_WAITING);
        let hurry = Arc::new(Notify::new());
        let task = tokio::spawn(keep_open(url.clone(), route, tell, Arc::clone(&hurry)));
        Self {
            events,
            next: None,
            open: None,
            url,
            hurry,
            task,
        }
    }

    /// `first` and the frames that are there already.
    fn gather(&mut self, first: RelayFrame) -> Vec<RelayFrame> {
        let mut frames = vec![first];
        while frames.len() < FRAMES_AT_ONCE {
            match self.events.try_recv() {
                Ok(LinkEvent::Received(frame)) => frames.push(frame),
                Ok(other) => {
                    self.next = Some(other);
                    break;
                }
                Err(_) => break,
            }
        }
        frames
    }
}

async fn next_of(slot: &mut Option<Slot>) -> LinkEvent {
    let Some(slot) = slot else {
        return std::future::pending().await;
    };
    if let Some(event) = slot.next.take() {
        return event;
    }
    match slot.events.recv().await {
        Some(event) => event,
        None => std::future::pending().await,
    }
}

/// Whether this device's own store is the reason, and not what was asked or what came.
fn is_of_store(problem: &Problem) -> bool {
    matches!(
        problem,
        Problem::DiskFull | Problem::StoreCorrupted | Problem::StoreFailed { .. }
    )
}

/// Until the time, or for a while if that is far away.
async fn until(timer: Option<Time>) {
    match timer {
        Some(at) => sleep(Duration::from_millis(at.since(now()).0).min(LONGEST_SLEEP)).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use waxwing_engine::api::Register;

    use super::*;

    fn register(relay: &str, pin: Option<&str>) -> Request {
        Request::Register(Register {
            address: "alice@example.org".into(),
            relay: relay.into(),
            pin: pin.map(Into::into),
            name: None,
            device: None,
        })
    }

    const PIN: &str = "sha256/AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

    #[test]
    fn the_pin_in_a_relay_url_and_the_one_beside_it_mean_the_same() {
        let apart = with_pin_apart(register("https://localhost:1", Some(PIN))).unwrap();
        let inside =
            with_pin_apart(register(&format!("https://localhost:1/#{PIN}"), None)).unwrap();
        assert!(apart == inside && apart == register("https://localhost:1", Some(PIN)));
    }

    #[test]
    fn a_url_or_pin_that_is_none_is_told_apart() {
        for (relay, pin, code) in [
            ("localhost", None, "relay_url_malformed"),
            ("https://localhost", Some("sha256/x"), "pin_malformed"),
            ("https://localhost/#sha256/x", None, "pin_malformed"),
        ] {
            assert_eq!(
                with_pin_apart(register(relay, pin)).unwrap_err().code(),
                code
            );
        }
    }
}
