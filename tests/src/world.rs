//! People, their links, and time.

use std::{
    collections::{BTreeMap, HashMap},
    path::PathBuf,
};

use bytes::Bytes;
use prost::Message as _;
use rand::RngExt as _;
use rand_chacha::ChaCha20Rng;
use rand_core::{Rng as _, SeedableRng as _};
use waxwing_engine::{
    BlobDone, Config, Effect, Engine, Event, EventRefused, LinkKind,
    api::{
        AttachmentOf, ConversationId, Entry, EventKind, History, Message, MessageId, MessageState,
        Notice, Of, Register, RegistrationStage, Request, Response, SealedFile, SendText, Status,
        SubmitCode,
    },
    store::{Store, StoreKey},
};
use waxwing_protocol::{
    frame,
    ids::{AccountId, DeviceId},
    pb,
    time::{Span, Time},
};

use crate::{LinkId, RealRelay, RelayEffect, RelayPort, files::Files, raw::RawLink};

/// Somebody in the world.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PersonId(pub usize);

/// What a world is like.
#[derive(Clone, Copy, Debug)]
pub struct WorldOptions {
    /// A frame takes at least this long.
    pub delay_min: Span,
    /// And at most this long.
    pub delay_max: Span,
    /// A link that closed is opened again after this long.
    pub reconnect: Span,
    /// Stores are files, so that they can be copied and set back.
    pub stores_on_disk: bool,
    /// Whether people accept every group that somebody takes them into, as soon as their
    /// device shows it.
    pub accepts_groups: bool,
    /// What the engines are like.
    pub engine: Config,
}

impl Default for WorldOptions {
    fn default() -> Self {
        Self {
            delay_min: Span(5),
            delay_max: Span(50),
            reconnect: Span(500),
            stores_on_disk: false,
            accepts_groups: true,
            engine: Config::default(),
        }
    }
}

#[derive(Clone, Copy, Default)]
struct LinkOf {
    wanted: bool,
    /// The connection that is open, or being opened.
    connection: Option<LinkId>,
}

/// Where a frame is on its way.
#[derive(Clone, Debug)]
pub enum Passing<'a> {
    /// It left somebody's engine, whose transaction is stored.
    Left(&'a pb::ClientFrame),
    /// The relay has been given it.
    Arrived(&'a pb::ClientFrame),
    /// Somebody's engine has been given it.
    Came(&'a pb::RelayFrame),
}

/// Looks at frames that pass.
type Watch = Box<dyn FnMut(PersonId, Passing<'_>) -> bool>;

/// Somebody, with their engine and what it told them.
pub struct Person {
    /// Their address.
    pub address: String,
    /// `None` while it is not running.
    pub engine: Option<Engine>,
    /// Everything it told, in order.
    pub notices: Vec<Notice>,
    /// Whether they have a network.
    pub online: bool,
    /// Whether their store is a file, so that it can be copied and set back.
    on_disk: bool,
    /// Their home's `blobs/`.
    pub blobs: Files,
    resting: Option<Store>,
    timer: Option<Time>,
    links: [LinkOf; 2],
}

struct Connection {
    person: PersonId,
    kind: LinkKind,
    open: bool,
    last_up: Time,
    last_down: Time,
}

enum Happening {
    Open(LinkId),
    Up(LinkId, Bytes),
    Down(LinkId, Bytes),
    Timer(PersonId, Time),
    Blob(PersonId, BlobDone),
    /// Time passes for the relay, unless it was to pass at another time since.
    Tick(Time),
    Relay(Time),
}

/// The world.
pub struct World<R> {
    /// The relay.
    pub relay: R,
    /// The time.
    pub now: Time,
    /// Where all chance comes from.
    pub rng: ChaCha20Rng,
    /// How often an engine's timer came.
    pub timers: u64,
    /// Events that engines could not take because their disk was full.
    pub disk_full: Vec<PersonId>,
    /// Links that the relay closed.
    pub closed_by_relay: u64,
    /// What the relay refused to whom.
    pub refusals: Vec<(PersonId, pb::ErrorCode)>,
    /// Whose posting link brings answers so much later than it could.
    pub slow_answers: HashMap<PersonId, Span>,
    /// Whose clock is wrong, by so many milliseconds.
    pub clock_errors: HashMap<PersonId, i64>,
    /// The newest code that was sent to an address.
    pub codes: HashMap<String, String>,
    people: Vec<Person>,
    connections: BTreeMap<LinkId, Connection>,
    happenings: BTreeMap<(Time, u64), Happening>,
    happened: u64,
    pub(crate) next_link: u64,
    pub(crate) raw: BTreeMap<LinkId, RawLink>,
    relay_wakes: Option<Time>,
    /// When the relay's next tick is.
    ticks_at: Time,
    /// Something has happened since its last one.
    is_busy: bool,
    options: WorldOptions,
    to_accept: Vec<(PersonId, ConversationId)>,
    directory: tempfile::TempDir,
    watch: Option<Watch>,
    /// Whether the watch has seen what it looks for.
    seen: bool,
}

/// The relay ticks this often, and while nothing happens only so often: weeks pass quickly.
const TICK: Span = Span::seconds(1);
const QUIET_TICK: Span = Span::minutes(1);

const fn index(kind: LinkKind) -> usize {
    match kind {
        LinkKind::Mailbox => 0,
        LinkKind::Posting => 1,
    }
}

impl<R: RelayPort> World<R> {
    /// A world with this relay and nobody in it.
    pub fn new(seed: u64, relay: R, options: WorldOptions) -> Self {
        let mut world = Self {
            relay,
            now: crate::BEGINS,
            rng: ChaCha20Rng::seed_from_u64(seed),
            timers: 0,
            disk_full: Vec::new(),
            closed_by_relay: 0,
            refusals: Vec::new(),
            slow_answers: HashMap::new(),
            clock_errors: HashMap::new(),
            codes: HashMap::new(),
            people: Vec::new(),
            connections: BTreeMap::new(),
            happenings: BTreeMap::new(),
            happened: 0,
            next_link: 0,
            raw: BTreeMap::new(),
            relay_wakes: None,
            ticks_at: Time(u64::MAX),
            is_busy: false,
            options,
            to_accept: Vec::new(),
            directory: folder(),
            watch: None,
            seen: false,
        };
        world.tick_within(TICK);
        world
    }

    /// Nobody accepts a group by themselves any more.
    pub fn accepts_no_groups(&mut self) {
        self.options.accepts_groups = false;
    }

    /// Cuts everybody's links.
    pub fn cut_all(&mut self) {
        for id in self.people() {
            self.cut(id);
        }
    }

    /// Somebody with this address, not registered.
    pub fn add(&mut self, address: &str) -> PersonId {
        self.add_with(address, self.options.stores_on_disk)
    }

    /// Somebody with this address, not registered, whose store is a file.
    pub fn add_on_disk(&mut self, address: &str) -> PersonId {
        self.add_with(address, true)
    }

    /// Somebody with this address, registered, whose store is a file.
    pub fn add_registered_on_disk(&mut self, address: &str) -> PersonId {
        let id = self.add_with(address, true);
        self.register(id);
        id
    }

    fn add_with(&mut self, address: &str, on_disk: bool) -> PersonId {
        let id = PersonId(self.people.len());
        let store = self.open_store(id, on_disk);
        let engine = Engine::open(store, &self.options.engine, self.now, &mut self.rng).unwrap();
        self.people.push(Person {
            address: address.to_owned(),
            engine: Some(engine),
            notices: Vec::new(),
            online: true,
            on_disk,
            blobs: Files::default(),
            resting: None,
            timer: None,
            links: [LinkOf::default(); 2],
        });
        self.drain(id);
        id
    }

    /// Somebody with this address, registered.
    pub fn add_registered(&mut self, address: &str) -> PersonId {
        let id = self.add(address);
        self.register(id);
        id
    }

    /// Registers somebody whose code arrives.
    pub fn register(&mut self, id: PersonId) {
        let address = self.people[id.0].address.clone();
        self.command(
            id,
            Request::Register(Register {
                address: address.clone(),
                relay: "wss://relay.example".into(),
                pin: Some(crate::pin()),
                name: None,
                device: None,
            }),
        )
        .unwrap();
        self.run_for(Span::seconds(5));
        let code = self.codes.remove(&address).expect("a code was sent");
        self.command(id, Request::SubmitCode(SubmitCode { code }))
            .unwrap();
        self.run_for(Span::seconds(5));
        assert_eq!(self.status(id).registration, RegistrationStage::Registered);
    }

    /// Somebody.
    pub fn person(&self, id: PersonId) -> &Person {
        &self.people[id.0]
    }

    /// Somebody's account.
    pub fn account_of(&mut self, id: PersonId) -> AccountId {
        let (account, _) = self.ids_of(id);
        AccountId(account)
    }

    /// The device that somebody uses.
    pub fn device_of(&mut self, id: PersonId) -> DeviceId {
        let (_, device) = self.ids_of(id);
        DeviceId(device)
    }

    fn ids_of(&mut self, id: PersonId) -> ([u8; 32], [u8; 32]) {
        let Response::Account(account) = self.command(id, Request::Account).unwrap() else {
            panic!("no account")
        };
        let decode = |hex: Option<String>| {
            let bytes = data_encoding::HEXLOWER.decode(hex.unwrap().as_bytes());
            bytes.unwrap().try_into().unwrap()
        };
        (decode(account.account_id), decode(account.device_id))
    }

    /// Seals a file into somebody's `blobs/`.
    pub fn seal(&mut self, id: PersonId, name: &str, content: &[u8]) -> SealedFile {
        self.people[id.0].blobs.seal(&mut self.rng, name, content)
    }

    /// Deletes the files that somebody's device has, behind its back.
    pub fn forget_files(&mut self, id: PersonId) {
        self.people[id.0].blobs = crate::files::Files::default();
    }

    /// Opens what somebody has of a file.
    pub fn open_file(&mut self, id: PersonId, message: MessageId, number: u32) -> Option<Vec<u8>> {
        let of = AttachmentOf { message, number };
        match self.command(id, Request::Attachment(of)) {
            Ok(Response::OpenAttachment(open)) => self.people[id.0].blobs.open(&open),
            other => panic!("{other:?}"),
        }
    }

    /// Everybody.
    pub fn people(&self) -> impl Iterator<Item = PersonId> + use<R> {
        (0..self.people.len()).map(PersonId)
    }

    /// Asks somebody's engine for something.
    pub fn command(&mut self, id: PersonId, request: Request) -> Result<Response, EventRefused> {
        self.event(id, Event::Command(request))
    }

    /// Somebody writes to somebody else.
    pub fn send(&mut self, from: PersonId, to: PersonId, text: &str) -> MessageId {
        let to = self.people[to.0].address.clone();
        let send = SendText {
            to,
            text: text.to_owned(),
            ..SendText::default()
        };
        match self.command(from, Request::Send(send)).unwrap() {
            Response::Sent(sent) => sent.id,
            other => panic!("{other:?}"),
        }
    }

    /// A person accepts what a stranger writes.
    ///
    /// # Panics
    ///
    /// If it was refused.
    pub fn accept(&mut self, id: PersonId, stranger: PersonId) {
        let of = self.person(stranger).address.clone();
        self.command(id, Request::AcceptRequest(Of { of }))
            .expect("accepted");
    }

    /// Somebody's history with somebody else; empty where there is none.
    pub fn history(&mut self, of: PersonId, with: PersonId) -> Vec<Entry> {
        let address = self.people[with.0].address.clone();
        let mut pages = Vec::new();
        let mut before = None;
        loop {
            let history = History {
                of: address.clone(),
                limit: None,
                before,
                search: None,
                ..Default::default()
            };
            let (mut page, more) = match self.command(of, Request::History(history)) {
                Ok(Response::History(waxwing_engine::api::HistoryPage {
                    entries, more, ..
                })) => (entries, more),
                Ok(other) => panic!("{other:?}"),
                Err(refused) if refused.problem.code() == "conversation_unknown" => break,
                Err(refused) => panic!("{refused}"),
            };
            let first = page
                .iter()
                .position(|entry| matches!(entry, Entry::Message(_)));
            match first {
                // What stands before the first message comes again, on the older page.
                Some(first) if more => {
                    page.drain(..first);
                    if let Some(Entry::Message(message)) = page.first() {
                        before = Some(message.id);
                    }
                    pages.push(page);
                }
                _ => {
                    pages.push(page);
                    break;
                }
            }
        }
        pages.into_iter().rev().flatten().collect()
    }

    /// The messages of somebody's history with somebody else.
    pub fn messages(&mut self, of: PersonId, with: PersonId) -> Vec<Message> {
        self.history(of, with)
            .into_iter()
            .filter_map(|entry| match entry {
                Entry::Message(message) => Some(message),
                Entry::Event(_) | Entry::Gap(_) => None,
            })
            .collect()
    }

    /// Their texts.
    pub fn texts(&mut self, of: PersonId, with: PersonId) -> Vec<String> {
        self.messages(of, with)
            .into_iter()
            .map(|message| message.text)
            .collect()
    }

    /// How far an own message is.
    pub fn state(&mut self, of: PersonId, with: PersonId, id: MessageId) -> Option<MessageState> {
        self.messages(of, with)
            .into_iter()
            .find(|message| message.id == id)?
            .state
    }

    /// How things are with somebody.
    pub fn status(&mut self, id: PersonId) -> Status {
        match self.command(id, Request::Status).unwrap() {
            Response::Status(status) => *status,
            other => panic!("{other:?}"),
        }
    }

    /// Lets time pass.
    pub fn run_for(&mut self, span: Span) {
        // A test may have done something to the relay meanwhile.
        self.wakes_relay();
        let end = self.now.after(span);
        while self.step(end) {}
        self.now = end;
    }

    /// Lets the next thing happen, if it happens by then.
    pub(crate) fn step(&mut self, end: Time) -> bool {
        let Some(next) = self
            .happenings
            .first_entry()
            .filter(|next| next.key().0 <= end)
        else {
            return false;
        };
        let ((at, _), happening) = next.remove_entry();
        self.now = self.now.max(at);
        self.happen(happening);
        for (who, conversation) in std::mem::take(&mut self.to_accept) {
            let of = conversation.to_string();
            // Refused where it is no request.
            drop(self.command(who, Request::AcceptRequest(Of { of })));
        }
        true
    }

    /// Lets this many things happen, however long they take.
    pub fn run_steps(&mut self, steps: usize) {
        for _ in 0..steps {
            self.step(Time(u64::MAX));
        }
    }

    /// Shows every frame that passes from now on to `watch`.
    pub fn watch(&mut self, watch: impl FnMut(PersonId, Passing<'_>) -> bool + 'static) {
        self.watch = Some(Box::new(watch));
        self.seen = false;
    }

    /// Lets time pass until the watch says yes, and ends it. Panics when it does not
    /// within an hour.
    pub fn run_until_seen(&mut self) {
        let seen = self.run_until_seen_within(Span::hours(1));
        assert!(seen, "what was to be seen did not pass");
    }

    /// Lets time pass until the watch says yes, or for this long, and ends it.
    pub fn run_until_seen_within(&mut self, span: Span) -> bool {
        let end = self.now.after(span);
        while !self.seen && self.step(end) {}
        self.watch = None;
        std::mem::take(&mut self.seen)
    }

    fn passes(&mut self, id: PersonId, passing: Passing<'_>) {
        if let Some(watch) = &mut self.watch {
            self.seen |= watch(id, passing);
        }
    }

    /// Cuts all links of somebody; what was on its way is lost.
    pub fn cut(&mut self, id: PersonId) {
        for kind in [LinkKind::Mailbox, LinkKind::Posting] {
            if let Some(connection) = self.people[id.0].links[index(kind)].connection {
                self.close(connection, true);
            }
        }
    }

    /// Takes somebody's network away, or gives it back.
    pub fn set_online(&mut self, id: PersonId, online: bool) {
        self.people[id.0].online = online;
        if online {
            for kind in [LinkKind::Mailbox, LinkKind::Posting] {
                let link = self.people[id.0].links[index(kind)];
                if link.wanted && link.connection.is_none() {
                    self.connect(id, kind);
                }
            }
        } else {
            self.cut(id);
        }
    }

    /// Ends somebody's process at once.
    pub fn crash(&mut self, id: PersonId) {
        for kind in [LinkKind::Mailbox, LinkKind::Posting] {
            if let Some(connection) = self.people[id.0].links[index(kind)].connection {
                self.close(connection, false);
            }
        }
        let person = &mut self.people[id.0];
        person.links = [LinkOf::default(); 2];
        person.timer = None;
        if let Some(engine) = person.engine.take()
            && !person.on_disk
        {
            person.resting = Some(engine.into_store());
        }
    }

    /// Starts somebody's process again.
    pub fn start(&mut self, id: PersonId) {
        let store = match self.people[id.0].resting.take() {
            Some(store) => store,
            None => self.open_store(id, self.people[id.0].on_disk),
        };
        let now = self.clock_of(id);
        let engine = Engine::open(store, &self.options.engine, now, &mut self.rng).unwrap();
        self.people[id.0].engine = Some(engine);
        self.drain(id);
    }

    /// The store of somebody whose process was ended, if it is in memory.
    pub(crate) fn take_store(&mut self, id: PersonId) -> Store {
        assert!(self.people[id.0].engine.is_none(), "taken while it runs");
        let resting = self.people[id.0].resting.take();
        resting.unwrap_or_else(|| self.open_store(id, self.people[id.0].on_disk))
    }

    /// Gives a store back that was taken.
    pub(crate) fn give_store(&mut self, id: PersonId, store: Store) {
        if !self.people[id.0].on_disk {
            self.people[id.0].resting = Some(store);
        }
    }

    /// A copy of somebody's store, as a thief has it; their process ends and starts again.
    pub(crate) fn stolen_store(&mut self, id: PersonId) -> Store {
        let copy = self.copy_while_off(id);
        self.next_link += 1;
        let path = self
            .directory
            .path()
            .join(format!("stolen-{}.waxwing", self.next_link));
        std::fs::write(&path, copy).unwrap();
        Store::open(&path, &StoreKey::from_bytes([7; 32])).unwrap()
    }

    /// Copies the store of somebody whose process was ended.
    pub fn copy_store(&self, id: PersonId) -> Vec<u8> {
        assert!(self.people[id.0].engine.is_none(), "copied while it runs");
        std::fs::read(self.path(id)).unwrap()
    }

    /// Puts an old copy in place of somebody's store; what they were told since is
    /// forgotten with it.
    fn restore_store(&mut self, id: PersonId, copy: &[u8]) {
        assert!(self.people[id.0].engine.is_none(), "replaced while it runs");
        assert!(self.people[id.0].on_disk, "the store is in memory");
        std::fs::write(self.path(id), copy).unwrap();
        self.people[id.0].notices.clear();
    }

    /// Ends somebody's process, copies their store and starts them again.
    pub fn copy_while_off(&mut self, id: PersonId) -> Vec<u8> {
        self.crash(id);
        let copy = self.copy_store(id);
        self.start(id);
        copy
    }

    /// Somebody's device is restored from an old copy of its store.
    pub fn set_back(&mut self, id: PersonId, copy: &[u8]) {
        self.crash(id);
        self.restore_store(id, copy);
        self.start(id);
    }

    fn path(&self, id: PersonId) -> PathBuf {
        self.directory.path().join(format!("{}.waxwing", id.0))
    }

    fn open_store(&self, id: PersonId, on_disk: bool) -> Store {
        if on_disk {
            Store::open(&self.path(id), &StoreKey::from_bytes([7; 32])).unwrap()
        } else {
            Store::open_in_memory().unwrap()
        }
    }

    /// Brings an event to somebody's engine.
    pub fn event(&mut self, id: PersonId, event: Event) -> Result<Response, EventRefused> {
        let now = self.clock_of(id);
        let engine = self.people[id.0].engine.as_mut().expect("it runs");
        let result = engine.handle(now, &mut self.rng, event);
        self.drain(id);
        result
    }

    /// Brings an event that nobody waits for. Like a real driver, this goes on when a disk
    /// is full: the engine has its links closed, and opens them again.
    fn tell(&mut self, id: PersonId, event: Event) {
        if let Err(refused) = self.event(id, event) {
            assert_eq!(refused.problem.code(), "disk_full", "{refused}");
            self.disk_full.push(id);
        }
    }

    /// How many pages somebody's store may grow by.
    pub fn limit_room(&mut self, id: PersonId, pages: Option<u32>) {
        let engine = self.people[id.0].engine.as_ref().expect("it runs");
        engine.store().limit_room(pages).unwrap();
    }

    fn drain(&mut self, id: PersonId) {
        loop {
            let Some(engine) = self.people[id.0].engine.as_mut() else {
                return;
            };
            let Some(effect) = engine.poll_effect() else {
                return;
            };
            match effect {
                Effect::OpenLink { link, .. } => {
                    self.people[id.0].links[index(link)].wanted = true;
                    if self.people[id.0].online
                        && self.people[id.0].links[index(link)].connection.is_none()
                    {
                        self.connect(id, link);
                    }
                }
                Effect::CloseLink { link } => {
                    let link = &mut self.people[id.0].links[index(link)];
                    link.wanted = false;
                    if let Some(connection) = link.connection {
                        self.close(connection, false);
                    }
                }
                Effect::Send { link, frame } => {
                    self.passes(id, Passing::Left(&frame));
                    if let Some(connection) = self.people[id.0].links[index(link)].connection {
                        let at = self.arrival(connection, true);
                        self.at(at, Happening::Up(connection, frame.encode_to_vec().into()));
                    }
                }
                Effect::SetTimer(at) => {
                    let at = self.now.after(at.since(self.clock_of(id)));
                    self.people[id.0].timer = Some(at);
                    self.at(at, Happening::Timer(id, at));
                }
                Effect::Blob(work) => {
                    if let Some(done) = self.people[id.0].blobs.carry_out(work) {
                        let at = self.now.after(Span(1));
                        self.at(at, Happening::Blob(id, done));
                    }
                }
                // What tests see of it is the notice.
                Effect::EraseHome => {}
                Effect::Notify(notice) => {
                    let own = &self.people[id.0].address;
                    if self.options.accepts_groups
                        && let Notice::Event(event) = &notice
                        && event.event == EventKind::MemberAdded
                        && event.address == *own
                    {
                        self.to_accept.push((id, event.conversation));
                    }
                    self.people[id.0].notices.push(notice);
                }
            }
        }
    }

    /// What time it is by somebody's clock.
    fn clock_of(&self, id: PersonId) -> Time {
        let error = self.clock_errors.get(&id).copied().unwrap_or(0);
        Time(self.now.0.saturating_add_signed(error))
    }

    fn at(&mut self, at: Time, happening: Happening) {
        self.happened += 1;
        self.happenings
            .insert((at.max(self.now), self.happened), happening);
    }

    fn delay(&mut self) -> Span {
        Span(
            self.rng
                .random_range(self.options.delay_min.0..=self.options.delay_max.0),
        )
    }

    /// When a frame that is sent now arrives: never before one that was sent earlier.
    fn arrival(&mut self, link: LinkId, up: bool) -> Time {
        let mut at = self.now.after(self.delay());
        let connection = self.connections.get_mut(&link).unwrap();
        if !up && connection.kind == LinkKind::Posting {
            let slow = self.slow_answers.get(&connection.person).copied();
            at = at.after(slow.unwrap_or_default());
        }
        let last = if up {
            &mut connection.last_up
        } else {
            &mut connection.last_down
        };
        *last = at.max(*last);
        *last
    }

    fn connect(&mut self, person: PersonId, kind: LinkKind) {
        self.connect_after(person, kind, Span(0));
    }

    fn connect_after(&mut self, person: PersonId, kind: LinkKind, span: Span) {
        self.next_link += 1;
        let link = LinkId(self.next_link);
        let connection = Connection {
            person,
            kind,
            open: false,
            last_up: Time(0),
            last_down: Time(0),
        };
        self.connections.insert(link, connection);
        self.people[person.0].links[index(kind)].connection = Some(link);
        let at = self.now.after(span).after(self.delay());
        self.at(at, Happening::Open(link));
    }

    /// `tell` tells the person's engine, and has it opened again.
    fn close(&mut self, link: LinkId, tell: bool) {
        let Some(connection) = self.connections.remove(&link) else {
            return;
        };
        let id = connection.person;
        self.people[id.0].links[index(connection.kind)].connection = None;
        if connection.open {
            self.relay.closed(self.now, link);
            self.drain_relay();
        }
        if tell {
            if connection.open && self.people[id.0].engine.is_some() {
                self.tell(
                    id,
                    Event::LinkClosed {
                        link: connection.kind,
                    },
                );
            }
            let again = self.people[id.0].links[index(connection.kind)];
            if again.wanted && again.connection.is_none() && self.people[id.0].online {
                self.connect_after(id, connection.kind, self.options.reconnect);
            }
        }
    }

    fn happen(&mut self, happening: Happening) {
        if !matches!(happening, Happening::Tick(_)) {
            self.wakes_relay();
        }
        match happening {
            Happening::Open(link) => {
                let Some(connection) = self.connections.get_mut(&link) else {
                    return;
                };
                connection.open = true;
                let (id, kind) = (connection.person, connection.kind);
                let mut exporter = [0; 32];
                self.rng.fill_bytes(&mut exporter);
                let pin = Some(crate::pin());
                self.tell(
                    id,
                    Event::LinkOpened {
                        link: kind,
                        exporter,
                        pin,
                    },
                );
                self.relay.opened_by(link, id, kind);
                self.relay.opened(self.now, &mut self.rng, link, exporter);
                self.drain_relay();
            }
            Happening::Up(link, bytes) => {
                if let Some(connection) = self.connections.get(&link)
                    && connection.open
                {
                    let id = connection.person;
                    let frame = frame::decode_client(bytes).expect("engines send valid frames");
                    self.passes(id, Passing::Arrived(&frame));
                    self.relay.frame(self.now, &mut self.rng, link, frame);
                    self.drain_relay();
                }
            }
            Happening::Down(link, bytes) => {
                let Some(connection) = self.connections.get(&link) else {
                    return;
                };
                let (id, link) = (connection.person, connection.kind);
                let frame = frame::decode_relay(bytes).expect("relays send valid frames");
                self.passes(id, Passing::Came(&frame));
                if let Some(pb::relay_frame::Body::Error(error)) = &frame.body {
                    self.refusals.push((id, error.code()));
                }
                let event = Event::FramesReceived {
                    link,
                    frames: vec![frame],
                };
                self.tell(id, event);
            }
            Happening::Tick(at) => {
                if at == self.ticks_at {
                    self.ticks_at = Time(u64::MAX);
                    let is_busy = std::mem::take(&mut self.is_busy);
                    self.relay.tick(self.now);
                    self.drain_relay();
                    self.tick_within(if is_busy { TICK } else { QUIET_TICK });
                }
            }
            Happening::Blob(id, done) => {
                if self.people[id.0].engine.is_some() {
                    self.tell(id, Event::Blob(done));
                }
            }
            Happening::Timer(id, at) => {
                if self.people[id.0].engine.is_some() && self.people[id.0].timer == Some(at) {
                    self.people[id.0].timer = None;
                    self.timers += 1;
                    self.tell(id, Event::TimeCame);
                }
            }
            Happening::Relay(at) => {
                if self.relay_wakes == Some(at) {
                    self.relay_wakes = None;
                    self.relay.woken(self.now);
                    self.drain_relay();
                }
            }
        }
    }

    /// Something happens that may concern the relay: it ticks soon.
    pub(crate) fn wakes_relay(&mut self) {
        self.is_busy = true;
        self.tick_within(TICK);
    }

    /// The relay ticks after this long, if not sooner.
    fn tick_within(&mut self, span: Span) {
        let at = self.now.after(span);
        if at < self.ticks_at {
            self.ticks_at = at;
            self.at(at, Happening::Tick(at));
        }
    }

    pub(crate) fn drain_relay(&mut self) {
        while let Some(effect) = self.relay.poll_effect() {
            match effect {
                RelayEffect::Send(link, frame) => {
                    if let Some(raw) = self.raw.get_mut(&link) {
                        raw.hear(frame);
                    } else if self.connections.contains_key(&link) {
                        let at = self.arrival(link, false);
                        self.at(at, Happening::Down(link, frame.encode_to_vec().into()));
                    }
                }
                RelayEffect::Close(link) => {
                    if let Some(raw) = self.raw.get_mut(&link) {
                        raw.close();
                    } else {
                        self.closed_by_relay += 1;
                        self.close(link, true);
                    }
                }
                RelayEffect::Nothing => {}
                RelayEffect::Code(address, code) => {
                    self.codes.insert(address, code);
                }
            }
        }
        if let Some(at) = self.relay.wakes_at()
            && self.relay_wakes.is_none_or(|wakes| at < wakes)
        {
            self.relay_wakes = Some(at);
            self.at(at, Happening::Relay(at));
        }
    }
}

/// A place for stores: in memory where the system has one, since no machine loses its
/// power here, and waiting for disks is most of what they would cost.
pub(crate) fn folder() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm")
        .or_else(|_| tempfile::tempdir())
        .unwrap()
}

impl World<RealRelay> {
    /// Cuts the power of the relay's machine, and starts it again: of what was not synced,
    /// some is lost.
    pub fn cut_relays_power(&mut self) {
        let seed = self.rng.next_u64();
        self.relay.lose_power(seed);
        self.cut_all();
    }

    /// Ends the relay's process at once and starts it again.
    pub fn crash_relay(&mut self) {
        self.relay.crash();
        self.cut_all();
    }
}
