//! A few engines and the shortest relay that lets their devices meet.
//!
//! No time passes but what a test lets pass; frames travel in order, encoded.

use std::collections::{BTreeMap, HashMap, VecDeque};

use bytes::Bytes;
use prost::Message as _;
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng as _};
use waxwing_protocol::{
    ids::DeviceId,
    pb::{
        self, Error, ErrorCode, Hello, RelayFrame, SignedStatement, client_frame,
        join_rendezvous::At, relay_frame::Body,
    },
    roster::Roster,
    time::{Span, Time},
};

use crate::{
    Config, Effect, Engine, Event, EventRefused, LinkKind, account,
    api::{Notice, Register, Request, Response, SubmitCode},
    store::Store,
};

pub(super) type Link = (usize, LinkKind);

#[derive(Default)]
pub(super) struct Rendezvous {
    at: Option<At>,
    links: Vec<Link>,
    waiting: VecDeque<(Link, Bytes)>,
    used: bool,
}

#[derive(Default)]
pub(super) struct Relay {
    pub accounts: HashMap<String, Vec<SignedStatement>>,
    registering: Option<String>,
    logged_in: BTreeMap<Link, DeviceId>,
    rendezvous: Vec<Rendezvous>,
    next_number: u32,
    parts: BTreeMap<u32, Bytes>,
    pub backup: Vec<Bytes>,
    /// Statements that are refused as if another came first.
    pub conflicts: u32,
    /// Changes everything that is handed on at a rendezvous.
    pub tamper: Option<fn(Bytes) -> Bytes>,
}

impl Relay {
    fn leave(&mut self, link: Link, out: &mut Vec<(Link, RelayFrame)>) {
        for meeting in &mut self.rendezvous {
            if let Some(place) = meeting.links.iter().position(|one| *one == link) {
                meeting.links.remove(place);
                for other in &meeting.links {
                    let body = Body::RendezvousLeft(pb::RendezvousLeft {});
                    out.push((*other, said(body)));
                }
            }
        }
    }

    fn join(&mut self, link: Link, at: At, out: &mut Vec<(Link, RelayFrame)>) -> Body {
        self.leave(link, out);
        let (at, new) = match at {
            At::NewNumber(_) => {
                self.next_number += 1;
                (At::Number(4_820 + self.next_number), true)
            }
            at => (at, false),
        };
        let by_id = matches!(at, At::RendezvousId(_));
        let place = self
            .rendezvous
            .iter()
            .position(|one| one.at.as_ref() == Some(&at));
        let meeting = match place {
            Some(place) => &mut self.rendezvous[place],
            None if new || by_id => {
                self.rendezvous.push(Rendezvous {
                    at: Some(at.clone()),
                    ..Rendezvous::default()
                });
                self.rendezvous.last_mut().unwrap()
            }
            None => return error(ErrorCode::RendezvousUnknown),
        };
        if !new && !by_id {
            if meeting.used || meeting.links.len() != 1 {
                return error(ErrorCode::RendezvousUnknown);
            }
            meeting.used = true;
        }
        if meeting.links.len() >= 2 {
            return error(ErrorCode::RendezvousUnknown);
        }
        meeting.links.push(link);
        let number = match at {
            At::Number(number) => number,
            _ => 0,
        };
        Body::RendezvousJoined(pb::RendezvousJoined {
            number,
            met: meeting.links.len() == 2,
        })
    }

    /// What waits for somebody who is there now.
    fn hand_on(&mut self, out: &mut Vec<(Link, RelayFrame)>) {
        let tamper = self.tamper;
        for meeting in &mut self.rendezvous {
            let mut kept = VecDeque::new();
            while let Some((from, body)) = meeting.waiting.pop_front() {
                match meeting.links.iter().find(|link| **link != from) {
                    Some(to) => {
                        let body = tamper.map_or(body.clone(), |tamper| tamper(body));
                        let body = Body::RendezvousMessage(pb::RendezvousMessage { body });
                        out.push((*to, said(body)));
                    }
                    None => kept.push_back((from, body)),
                }
            }
            meeting.waiting = kept;
        }
    }

    fn change(&mut self, change: &pb::ChangeRoster) -> Body {
        if self.conflicts > 0 {
            self.conflicts -= 1;
            return error(ErrorCode::RosterConflict);
        }
        let Some(chain) = self.accounts.get_mut(&change.address) else {
            return error(ErrorCode::AddressUnknown);
        };
        let statement = change.statement.clone().unwrap();
        let mailbox = |statement: &SignedStatement| {
            let changed = pb::Statement::decode(statement.statement.clone()).unwrap();
            match changed.change {
                Some(pb::statement::Change::AddDevice(_)) => {
                    let device = account::device_added(statement).unwrap();
                    Bytes::copy_from_slice(&device.as_bytes()[..16])
                }
                _ => Bytes::new(),
            }
        };
        let there = chain.iter().any(|one| one.statement == statement.statement);
        if !there {
            let mut roster = Roster::verify(chain).unwrap();
            if roster.extend(&statement).is_err() {
                return error(ErrorCode::RosterConflict);
            }
            chain.push(statement.clone());
        }
        Body::RosterChanged(pb::RosterChanged {
            mailbox_id: mailbox(&statement),
        })
    }

    fn frame(&mut self, link: Link, frame: pb::ClientFrame) -> Vec<(Link, RelayFrame)> {
        use client_frame::Body as Asked;
        let mut out = Vec::new();
        let answer = match frame.body.unwrap() {
            Asked::Ping(_) => Body::Pong(pb::Pong {}),
            Asked::StartRegistration(start) => {
                self.registering = Some(start.address);
                Body::RegistrationStarted(pb::RegistrationStarted {
                    registration_id: vec![1; 16].into(),
                    expires_at_ms: u64::MAX / 4,
                })
            }
            Asked::FinishRegistration(finish) => {
                let address = self.registering.take().unwrap();
                let device = account::device_added(&finish.roster[0]).unwrap();
                self.accounts.insert(address, finish.roster);
                Body::Registered(pb::Registered {
                    mailbox_id: Bytes::copy_from_slice(&device.as_bytes()[..16]),
                })
            }
            Asked::Login(login) => {
                let device = DeviceId::try_from(&login.device_id).unwrap();
                let admitted = self
                    .accounts
                    .values()
                    .any(|chain| Roster::verify(chain).unwrap().device(device).is_some());
                if admitted {
                    self.logged_in.insert(link, device);
                    Body::LoggedIn(pb::LoggedIn {
                        mailbox_id: Bytes::copy_from_slice(&device.as_bytes()[..16]),
                        key_packages_left: 100,
                        last_resort: true,
                        ..pb::LoggedIn::default()
                    })
                } else {
                    error(ErrorCode::Unauthorised)
                }
            }
            Asked::ChangeRoster(change) => self.change(&change),
            Asked::LookUp(look_up) => match self.accounts.get(&look_up.address) {
                Some(chain) => Body::LookedUp(Box::new(pb::LookedUp {
                    account_id: Roster::verify(chain).unwrap().account().to_bytes(),
                    roster: chain.clone(),
                    ..pb::LookedUp::default()
                })),
                None => error(ErrorCode::AddressUnknown),
            },
            Asked::JoinRendezvous(join) => {
                assert!(!self.logged_in.contains_key(&link), "joined when logged in");
                self.join(link, join.at.unwrap(), &mut out)
            }
            Asked::SendRendezvous(send) => {
                let meeting = self
                    .rendezvous
                    .iter_mut()
                    .find(|meeting| meeting.links.contains(&link));
                match meeting {
                    Some(meeting) => {
                        meeting.waiting.push_back((link, send.body));
                        Body::Done(pb::Done {})
                    }
                    None => error(ErrorCode::RendezvousUnknown),
                }
            }
            Asked::LeaveRendezvous(_) => {
                self.leave(link, &mut out);
                return out;
            }
            Asked::PutBackup(put) => {
                if put.index == 0 {
                    self.parts.clear();
                }
                self.parts.insert(put.index, put.part);
                Body::Done(pb::Done {})
            }
            Asked::FinishBackup(finish) => {
                assert_eq!(self.parts.len(), finish.parts as usize);
                self.backup = std::mem::take(&mut self.parts).into_values().collect();
                Body::Done(pb::Done {})
            }
            Asked::FetchBackup(fetch) => match self.backup.get(fetch.index as usize) {
                Some(part) => Body::BackupFetched(pb::BackupFetched {
                    backup_id: vec![1; 16].into(),
                    parts: u32::try_from(self.backup.len()).unwrap(),
                    made_at_ms: 1,
                    part: part.clone(),
                }),
                None => error(ErrorCode::BackupUnknown),
            },
            Asked::Open(_) | Asked::Acknowledge(_) => return out,
            _ => error(ErrorCode::Unavailable),
        };
        out.insert(
            0,
            (
                link,
                RelayFrame {
                    request: frame.request,
                    body: Some(answer),
                },
            ),
        );
        self.hand_on(&mut out);
        out
    }
}

fn said(body: Body) -> RelayFrame {
    RelayFrame {
        request: 0,
        body: Some(body),
    }
}

fn error(code: ErrorCode) -> Body {
    Body::Error(Error {
        code: code.into(),
        retry_after_ms: 3_600_000,
        ..Error::default()
    })
}

pub(super) struct World {
    pub relay: Relay,
    pub now: Time,
    pub engines: Vec<Engine>,
    pub notices: Vec<Vec<Notice>>,
    /// Frames that travelled since the test began to count.
    pub frames: u64,
    pub rng: ChaCha20Rng,
    open: BTreeMap<Link, bool>,
    timers: Vec<Option<Time>>,
    queue: VecDeque<(Link, Bytes)>,
    /// Cut, or restarted, before this frame is heard.
    pub disturb: Option<(u64, Disturbance)>,
}

/// What comes in between.
#[derive(Clone, Copy, Debug)]
pub(super) enum Disturbance {
    /// All links of this one are cut.
    Cut(usize),
    /// Its process is killed and started again.
    Kill(usize),
}

impl World {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            relay: Relay::default(),
            now: Time(1_800_000_000_000),
            engines: Vec::new(),
            notices: Vec::new(),
            frames: 0,
            rng: ChaCha20Rng::seed_from_u64(seed),
            open: BTreeMap::new(),
            timers: Vec::new(),
            queue: VecDeque::new(),
            disturb: None,
        }
    }

    pub(super) fn add(&mut self) -> usize {
        let store = Store::open_in_memory().unwrap();
        let engine = Engine::open(store, Config::default(), self.now, &mut self.rng).unwrap();
        self.engines.push(engine);
        self.notices.push(Vec::new());
        self.timers.push(None);
        self.engines.len() - 1
    }

    pub(super) fn add_registered(&mut self, address: &str) -> usize {
        let id = self.add();
        let register = Register {
            address: address.into(),
            relay: "https://relay.example".into(),
            pin: None,
            name: None,
        };
        self.ask(id, Request::Register(register)).unwrap();
        let submit = SubmitCode {
            code: "12345678".into(),
        };
        self.ask(id, Request::SubmitCode(submit)).unwrap();
        id
    }

    pub(super) fn ask(&mut self, id: usize, request: Request) -> Result<Response, EventRefused> {
        let response = self.event(id, Event::Command(request));
        self.settle();
        response
    }

    /// The newest notice of a kind.
    pub(super) fn newest<T>(&self, id: usize, of: impl Fn(&Notice) -> Option<T>) -> Option<T> {
        self.notices[id].iter().rev().find_map(of)
    }

    pub(super) fn pass(&mut self, span: Span) {
        let end = self.now.after(span);
        loop {
            let next = self.timers.iter().flatten().min().copied();
            match next {
                Some(at) if at <= end => {
                    self.now = self.now.max(at);
                    for id in 0..self.engines.len() {
                        if self.timers[id].is_some_and(|timer| timer <= self.now) {
                            self.timers[id] = None;
                            let _ = self.event(id, Event::TimeCame);
                        }
                    }
                    self.settle();
                }
                _ => break,
            }
        }
        self.now = end;
    }

    pub(super) fn cut(&mut self, id: usize) {
        for kind in [LinkKind::Mailbox, LinkKind::Posting] {
            let link = (id, kind);
            if self.open.get(&link) == Some(&true) {
                self.drop_link(link);
                let _ = self.event(id, Event::LinkClosed { link: kind });
                if self.open.contains_key(&link) {
                    self.connect(link);
                }
            }
        }
    }

    pub(super) fn kill(&mut self, id: usize) {
        for kind in [LinkKind::Mailbox, LinkKind::Posting] {
            self.drop_link((id, kind));
            self.open.remove(&(id, kind));
        }
        let place = Store::open_in_memory().unwrap();
        let spare = Engine::open(place, Config::default(), self.now, &mut self.rng).unwrap();
        let store = std::mem::replace(&mut self.engines[id], spare).into_store();
        let engine = Engine::open(store, Config::default(), self.now, &mut self.rng).unwrap();
        self.engines[id] = engine;
        self.timers[id] = None;
        self.drain(id);
    }

    /// Changes what is in somebody's store while their process does not run.
    pub(super) fn with_store<R>(
        &mut self,
        id: usize,
        work: impl FnOnce(&rusqlite::Transaction<'_>) -> R,
    ) -> R {
        let place = Store::open_in_memory().unwrap();
        let spare = Engine::open(place, Config::default(), self.now, &mut self.rng).unwrap();
        let mut store = std::mem::replace(&mut self.engines[id], spare).into_store();
        let result = store
            .transaction(|tx| Ok::<_, crate::store::StoreError>(work(tx)))
            .unwrap();
        for kind in [LinkKind::Mailbox, LinkKind::Posting] {
            self.drop_link((id, kind));
            self.open.remove(&(id, kind));
        }
        self.engines[id] = Engine::open(store, Config::default(), self.now, &mut self.rng).unwrap();
        self.drain(id);
        self.settle();
        result
    }

    fn drop_link(&mut self, link: Link) {
        self.queue.retain(|(to, _)| *to != link);
        self.relay.logged_in.remove(&link);
        let mut out = Vec::new();
        self.relay.leave(link, &mut out);
        self.enqueue(out);
        if self.open.contains_key(&link) {
            self.open.insert(link, false);
        }
    }

    fn connect(&mut self, link: Link) {
        self.open.insert(link, true);
        let opened = Event::LinkOpened {
            link: link.1,
            exporter: [7; 32],
            pin: None,
        };
        let _ = self.event(link.0, opened);
        let hello = Hello {
            versions: vec![1],
            challenge: vec![9; 32].into(),
            token_key: vec![8; 32].into(),
            now_ms: self.now.0,
            log_id: vec![5; 32].into(),
        };
        self.enqueue(vec![(link, said(Body::Hello(hello)))]);
    }

    fn enqueue(&mut self, frames: Vec<(Link, RelayFrame)>) {
        for (link, frame) in frames {
            self.queue.push_back((link, frame.encode_to_vec().into()));
        }
    }

    pub(super) fn settle(&mut self) {
        while let Some((link, bytes)) = self.queue.pop_front() {
            self.frames += 1;
            if let Some((at, what)) = self.disturb
                && at == self.frames
            {
                self.disturb = None;
                match what {
                    Disturbance::Cut(id) => self.cut(id),
                    Disturbance::Kill(id) => self.kill(id),
                }
            }
            if self.open.get(&link) != Some(&true) {
                continue;
            }
            let frame = RelayFrame::decode(bytes).unwrap();
            let came = Event::FramesReceived {
                link: link.1,
                frames: vec![frame],
            };
            let _ = self.event(link.0, came);
        }
    }

    fn event(&mut self, id: usize, event: Event) -> Result<Response, EventRefused> {
        let response = self.engines[id].handle(self.now, &mut self.rng, event);
        if let Err(refused) = &response
            && refused.problem.code() == "internal"
        {
            panic!("{refused}");
        }
        self.drain(id);
        response
    }

    fn drain(&mut self, id: usize) {
        let mut opening = Vec::new();
        while let Some(effect) = self.engines[id].poll_effect() {
            match effect {
                Effect::OpenLink { link, .. } => {
                    self.open.insert((id, link), false);
                    opening.push((id, link));
                }
                Effect::CloseLink { link } => {
                    opening.retain(|one| *one != (id, link));
                    self.drop_link((id, link));
                    self.open.remove(&(id, link));
                }
                Effect::Send { link, frame } => {
                    if self.open.get(&(id, link)) == Some(&true) {
                        let bytes = Bytes::from(frame.encode_to_vec());
                        let frame = waxwing_protocol::frame::decode_client(bytes).unwrap();
                        let out = self.relay.frame((id, link), frame);
                        self.enqueue(out);
                    }
                }
                Effect::SetTimer(at) => self.timers[id] = Some(at),
                Effect::Notify(notice) => self.notices[id].push(notice),
            }
        }
        for link in opening {
            if self.open.get(&link) == Some(&false) {
                self.connect(link);
            }
        }
    }
}
