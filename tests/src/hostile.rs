//! A relay that lies: the one that people run, with a say in everything that passes.
//!
//! It has all that a real relay has: every frame of every link, its own disk, its keys. A
//! test gives it a few lines that change, hold back, repeat or make up frames
//! ([`HostileRelay::answers`], [`HostileRelay::requests`], [`HostileRelay::bend`],
//! [`HostileRelay::say`]), or works on its disk and log ([`HostileRelay::real`],
//! [`HostileRelay::fork`]).
//!
//! **Elsewhere**: the attacks are in `tests/tests/attacks/`.
//!
//! **Always**: honest until a test says otherwise. Whose link is whose it is told: a real
//! relay can guess it from network addresses.

use std::collections::{BTreeMap, HashMap, VecDeque};

use rand_core::CryptoRng;
use waxwing_engine::LinkKind;
use waxwing_protocol::{
    Exporter, pb,
    pb::relay_frame::Body as Answer,
    time::{Span, Time},
};
use waxwing_relay::{directory::log::KeyLog, store::memory::MemoryStore};

use crate::{LinkId, PersonId, RealRelay, RelayEffect, RelayPort};

/// What becomes of a frame.
#[derive(Clone, Debug, PartialEq)]
pub enum Fate {
    /// It goes on, as it is now.
    Pass,
    /// It is dropped.
    Drop,
    /// It comes so many times.
    Times(usize),
    /// It comes so much later; what is behind it does not wait.
    Later(Span),
}

/// What becomes of a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bend {
    /// It is delivered as it should be.
    Honest,
    /// It is dropped, and counts as delivered.
    Drop,
    /// It is delivered twice.
    Twice,
}

type OnRequest = Box<dyn FnMut(PersonId, &mut pb::ClientFrame) -> Fate>;
type OnAnswer = Box<dyn FnMut(PersonId, &mut pb::RelayFrame) -> Fate>;
type Bender = Box<dyn FnMut(&mut pb::Deliver) -> Bend>;

/// A relay that lies. See the module.
#[derive(Default)]
pub struct HostileRelay {
    real: RealRelay,
    links: BTreeMap<LinkId, (PersonId, LinkKind)>,
    on_request: Option<OnRequest>,
    on_answer: Option<OnAnswer>,
    bender: Option<Bender>,
    /// Whose look-ups and histories are answered from which other log.
    forks: HashMap<PersonId, KeyLog<MemoryStore>>,
    held: BTreeMap<(Time, u64), (LinkId, pb::RelayFrame)>,
    holds: u64,
    ready: VecDeque<RelayEffect>,
    now: Time,
}

impl HostileRelay {
    /// The relay itself.
    pub const fn real(&mut self) -> &mut RealRelay {
        &mut self.real
    }

    /// Looks at everything that the relay says, and changes it.
    pub fn answers(&mut self, hook: impl FnMut(PersonId, &mut pb::RelayFrame) -> Fate + 'static) {
        self.on_answer = Some(Box::new(hook));
    }

    /// Looks at everything that the relay is told, and changes it.
    pub fn requests(&mut self, hook: impl FnMut(PersonId, &mut pb::ClientFrame) -> Fate + 'static) {
        self.on_request = Some(Box::new(hook));
    }

    /// Lets a test decide what becomes of each delivery, and change it.
    pub fn bend(&mut self, bender: impl FnMut(&mut pb::Deliver) -> Bend + 'static) {
        self.bender = Some(Box::new(bender));
    }

    /// Honest again. What is held back still comes.
    pub fn straighten(&mut self) {
        self.on_request = None;
        self.on_answer = None;
        self.bender = None;
        self.forks.clear();
    }

    /// Shows somebody another log from now on: a copy of the one there is, which goes its
    /// own way.
    pub fn fork(&mut self, victim: PersonId, log: KeyLog<MemoryStore>) {
        self.forks.insert(victim, log);
    }

    /// The log that is shown to a victim.
    pub fn forked(&self, victim: PersonId) -> Option<&KeyLog<MemoryStore>> {
        self.forks.get(&victim)
    }

    /// Says something to somebody that nobody asked for; `false` when the link is not
    /// there.
    pub fn say(&mut self, to: PersonId, on: LinkKind, body: Answer) -> bool {
        let link = self
            .links
            .iter()
            .rev()
            .find(|(_, whose)| **whose == (to, on))
            .map(|(link, _)| *link);
        let Some(link) = link else { return false };
        let frame = pb::RelayFrame {
            request: 0,
            body: Some(body),
        };
        self.ready.push_back(RelayEffect::Send(link, frame));
        true
    }

    fn answer(&mut self, link: LinkId, mut frame: pb::RelayFrame) {
        // A link without an engine: the relay has nothing to say about it.
        let Some((person, _)) = self.links.get(&link).copied() else {
            return self.ready.push_back(RelayEffect::Send(link, frame));
        };
        let mut times = 1;
        if let (Some(bender), Some(Answer::Deliver(deliver))) = (&mut self.bender, &mut frame.body)
        {
            times = match bender(deliver) {
                Bend::Honest => 1,
                Bend::Drop => 0,
                Bend::Twice => 2,
            };
        }
        if let Some(hook) = &mut self.on_answer {
            match hook(person, &mut frame) {
                Fate::Pass => {}
                Fate::Drop => times = 0,
                Fate::Times(so_many) => times = so_many,
                Fate::Later(span) => {
                    self.holds += 1;
                    let at = (self.now.after(span), self.holds);
                    self.held.insert(at, (link, frame));
                    return;
                }
            }
        }
        for _ in 0..times {
            self.ready.push_back(RelayEffect::Send(link, frame.clone()));
        }
    }

    /// Answers from a victim's own log; `None` for what it is not asked.
    fn forked_answer(&self, person: PersonId, frame: &pb::ClientFrame) -> Option<Answer> {
        use pb::client_frame::Body as Request;
        use waxwing_protocol::address::Address;

        let log = self.forks.get(&person)?;
        match frame.body.as_ref()? {
            Request::LookUp(look_up) => {
                let address = Address::parse(&look_up.address).ok()?;
                let found = log.look_up(&address, look_up.known_head).ok()?;
                Some(Answer::LookedUp(Box::new(found)))
            }
            Request::FetchHeads(fetch) => {
                let view = log.view(&fetch.known).ok()?;
                Some(Answer::HeadsFetched(pb::HeadsFetched { log: Some(view) }))
            }
            Request::FetchHistory(fetch) => {
                let address = Address::parse(&fetch.address).ok()?;
                let found = log.look_up(&address, 0).ok()?;
                let account = (&found.account_id).try_into().ok()?;
                let history = log
                    .history(&address, account, fetch.known_head, fetch.most_recent)
                    .ok()?;
                Some(Answer::HistoryFetched(Box::new(history)))
            }
            _ => None,
        }
    }

    fn release(&mut self) {
        while let Some(first) = self
            .held
            .first_entry()
            .filter(|one| one.key().0 <= self.now)
        {
            let (link, frame) = first.remove();
            self.ready.push_back(RelayEffect::Send(link, frame));
        }
    }
}

impl RelayPort for HostileRelay {
    fn opened_by(&mut self, link: LinkId, person: PersonId, kind: LinkKind) {
        self.links.insert(link, (person, kind));
    }

    fn opened(&mut self, now: Time, rng: &mut dyn CryptoRng, link: LinkId, exporter: Exporter) {
        self.now = now;
        self.real.opened(now, rng, link, exporter);
    }

    fn closed(&mut self, now: Time, link: LinkId) {
        self.now = now;
        self.links.remove(&link);
        self.real.closed(now, link);
    }

    fn frame(
        &mut self,
        now: Time,
        rng: &mut dyn CryptoRng,
        link: LinkId,
        mut frame: pb::ClientFrame,
    ) {
        self.now = now;
        let person = self.links.get(&link).map(|(person, _)| *person);
        let mut times = 1;
        if let (Some(hook), Some(person)) = (&mut self.on_request, person) {
            match hook(person, &mut frame) {
                Fate::Pass | Fate::Later(_) => {}
                Fate::Drop => times = 0,
                Fate::Times(so_many) => times = so_many,
            }
        }
        if let Some(person) = person
            && let Some(body) = self.forked_answer(person, &frame)
        {
            let answer = pb::RelayFrame {
                request: frame.request,
                body: Some(body),
            };
            return self.answer(link, answer);
        }
        for _ in 0..times {
            self.real.frame(now, rng, link, frame.clone());
        }
    }

    fn tick(&mut self, now: Time) {
        self.now = now;
        self.real.tick(now);
    }

    fn posts(&self) -> u64 {
        self.real.posts()
    }

    fn waiting(&self) -> usize {
        self.real.waiting()
    }

    fn poll_effect(&mut self) -> Option<RelayEffect> {
        loop {
            if let Some(effect) = self.ready.pop_front() {
                return Some(effect);
            }
            match self.real.poll_effect()? {
                RelayEffect::Send(link, frame) => self.answer(link, frame),
                other => return Some(other),
            }
        }
    }

    fn wakes_at(&mut self) -> Option<Time> {
        let held = self.held.keys().next().map(|(at, _)| *at);
        [self.real.wakes_at(), held].into_iter().flatten().min()
    }

    fn woken(&mut self, now: Time) {
        self.now = now;
        self.release();
        self.real.woken(now);
    }
}
