//! What the engine costs: two people's engines, their stores in files, and a relay in
//! memory. Prints one JSON object a line; `cargo xtask bench engine` runs it.
//!
//! Each figure is the time of `Engine::handle` for one event, with its durable
//! transaction and everything else that the event entails, until the effects are
//! there. "disk_sync" is what the disk alone takes: 4 KiB more in a file, and
//! `fdatasync`. With `"store":"memory"` the same is measured without a disk.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a measurement that fails is none"
)]
#![allow(
    clippy::disallowed_methods,
    reason = "it measures; the engine that is measured reads no clock"
)]

use std::{
    collections::{BTreeMap, HashSet, VecDeque},
    fs::File,
    io::Write as _,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use bytes::Bytes;
use rand_chacha::ChaCha20Rng;
use rand_core::{Rng as _, SeedableRng as _};
use waxwing_engine::{
    Config, Effect, Engine, Event, LinkKind,
    api::{Register, Request, SendText, SubmitCode},
    store::{Store, StoreKey},
};
use waxwing_protocol::{
    pb::{self, PostKind, client_frame, relay_frame},
    time::{Span, Time},
};
use waxwing_system_tests::{LinkId, RealRelay, RelayEffect, RelayPort as _};

/// Messages in each direction.
const MESSAGES: usize = 2_000;
/// Messages before the first that counts.
const WARM_UP: usize = 200;
/// Bytes of a message's text.
const TEXT_BYTES: usize = 256;

struct Person {
    address: String,
    engine: Engine,
    links: [Option<LinkId>; 2],
    timer: Option<Time>,
    /// The posts that it made, to know their echoes.
    posted: HashSet<Bytes>,
}

struct World {
    relay: RealRelay,
    people: Vec<Person>,
    owners: BTreeMap<LinkId, (usize, LinkKind)>,
    frames: VecDeque<(LinkId, pb::ClientFrame)>,
    now: Time,
    rng: ChaCha20Rng,
    code: Option<String>,
    counting: bool,
    taken: BTreeMap<&'static str, Vec<Duration>>,
}

fn index(link: LinkKind) -> usize {
    usize::from(link == LinkKind::Posting)
}

impl World {
    fn new(stores: [Store; 2]) -> Self {
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        let now = Time(1_795_550_400_000);
        let people = stores
            .into_iter()
            .zip(["alice@example.org", "bob@example.org"])
            .map(|(store, address)| Person {
                address: address.to_owned(),
                engine: Engine::open(store, &Config::default(), now, &mut rng).unwrap(),
                links: [None; 2],
                timer: None,
                posted: HashSet::new(),
            })
            .collect();
        Self {
            relay: RealRelay::default(),
            people,
            owners: BTreeMap::new(),
            frames: VecDeque::new(),
            now,
            rng,
            code: None,
            counting: false,
            taken: BTreeMap::new(),
        }
    }

    fn register(&mut self, who: usize) {
        let address = self.people[who].address.clone();
        let register = Register {
            address,
            relay: "wss://relay.example".into(),
            pin: None,
            name: None,
            device: None,
        };
        self.event(who, Event::Command(Request::Register(register)));
        self.settle(Span::seconds(2));
        let code = self.code.take().expect("a code was sent");
        self.event(
            who,
            Event::Command(Request::SubmitCode(SubmitCode { code })),
        );
        self.settle(Span::seconds(2));
    }

    fn send(&mut self, from: usize, number: usize) {
        let send = SendText {
            to: self.people[1 - from].address.clone(),
            text: format!("{number:0>TEXT_BYTES$}"),
            ..SendText::default()
        };
        self.event(from, Event::Command(Request::Send(send)));
    }

    /// Handles an event, and measures it.
    fn event(&mut self, who: usize, event: Event) {
        let arrived = self.kind_of(who, &event);
        let mut effects = Vec::new();
        let person = &mut self.people[who];
        let start = Instant::now();
        person
            .engine
            .handle(self.now, &mut self.rng, event)
            .unwrap();
        while let Some(effect) = person.engine.poll_effect() {
            effects.push(effect);
        }
        let taken = start.elapsed();
        let mut commits = false;
        for effect in effects {
            commits |= self.effect(who, effect);
        }
        if self.counting
            && let Some(kind) = if commits {
                Some("engine_rekey")
            } else {
                arrived
            }
        {
            self.taken.entry(kind).or_default().push(taken);
        }
    }

    /// What is measured when this event is handled, unless it makes a commit.
    fn kind_of(&self, who: usize, event: &Event) -> Option<&'static str> {
        let frame = match event {
            Event::Command(Request::Send(_)) => return Some("engine_send"),
            Event::TimeCame => return Some("engine_timer"),
            Event::FramesReceived { frames, .. } => frames.first()?.body.as_ref()?,
            _ => return None,
        };
        match frame {
            relay_frame::Body::Posted(_) => Some("engine_posted"),
            relay_frame::Body::Deliver(deliver) => {
                let own = self.people[who].posted.contains(&deliver.post_id);
                Some(match (deliver.kind(), own) {
                    (PostKind::Commit, true) => "engine_rekey_confirmed",
                    (PostKind::Commit, false) => "engine_rekey_received",
                    (_, true) => "engine_echo",
                    (_, false) => "engine_receive",
                })
            }
            _ => None,
        }
    }

    /// Whether it posts a commit.
    fn effect(&mut self, who: usize, effect: Effect) -> bool {
        let mut commits = false;
        match effect {
            Effect::OpenLink { link, .. } if self.people[who].links[index(link)].is_none() => {
                let id = LinkId(self.owners.len() as u64 + 1);
                self.owners.insert(id, (who, link));
                self.people[who].links[index(link)] = Some(id);
                let mut exporter = [0; 32];
                self.rng.fill_bytes(&mut exporter);
                let pin = Some(waxwing_system_tests::pin());
                self.event(
                    who,
                    Event::LinkOpened {
                        link,
                        exporter,
                        pin,
                    },
                );
                self.relay.opened(self.now, &mut self.rng, id, exporter);
            }
            Effect::Send { link, frame } => {
                if let Some(client_frame::Body::Post(post)) = &frame.body {
                    commits = post.kind() == PostKind::Commit;
                    self.people[who].posted.insert(post.post_id.clone());
                }
                let id = self.people[who].links[index(link)].expect("the link is open");
                self.frames.push_back((id, frame));
            }
            Effect::SetTimer(at) => self.people[who].timer = Some(at),
            Effect::CloseLink { .. } => panic!("a link was closed"),
            Effect::OpenLink { .. } | Effect::Notify(_) | Effect::Blob(_) | Effect::EraseHome => {}
        }
        commits
    }

    /// Carries frames, and lets `span` pass once there are none.
    fn settle(&mut self, span: Span) {
        let end = self.now.after(span);
        loop {
            while self.carry() {}
            let due = self
                .people
                .iter()
                .enumerate()
                .filter_map(|(who, person)| person.timer.map(|at| (at, who)))
                .min()
                .filter(|(at, _)| *at <= end);
            let Some((at, who)) = due else { break };
            self.now = self.now.max(at);
            self.people[who].timer = None;
            self.event(who, Event::TimeCame);
        }
        self.now = end;
    }

    fn carry(&mut self) -> bool {
        if let Some(effect) = self.relay.poll_effect() {
            match effect {
                RelayEffect::Send(id, frame) => {
                    let (who, link) = self.owners[&id];
                    self.event(
                        who,
                        Event::FramesReceived {
                            link,
                            frames: vec![frame],
                        },
                    );
                }
                RelayEffect::Code(_, code) => self.code = Some(code),
                RelayEffect::Close(_) => panic!("the relay closed a link"),
                RelayEffect::Nothing => {}
            }
            return true;
        }
        // What is being written is written at once.
        if let Some(at) = self.relay.wakes_at()
            && at <= self.now.after(Span::seconds(1))
        {
            self.now = self.now.max(at);
            self.relay.woken(self.now);
            return true;
        }
        let Some((id, frame)) = self.frames.pop_front() else {
            return false;
        };
        self.relay.frame(self.now, &mut self.rng, id, frame);
        true
    }
}

fn report(scenario: &str, store: &str, mut taken: Vec<Duration>) {
    taken.sort();
    let at = |share: f64| {
        #[allow(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a place in a list"
        )]
        let place = (taken.len() as f64 * share) as usize;
        taken[place.min(taken.len() - 1)].as_micros()
    };
    println!(
        "{}",
        serde_json::json!({
            "system": "waxwing",
            "scenario": scenario,
            "store": store,
            "message_bytes": TEXT_BYTES,
            "events": taken.len(),
            "us": { "p50": at(0.50), "p99": at(0.99) },
        })
    );
}

fn disk_sync(folder: &Path) -> Vec<Duration> {
    let mut file = File::create(folder.join("disk-sync")).unwrap();
    (0..1000)
        .map(|_| {
            let start = Instant::now();
            file.write_all(&[7; 4096]).unwrap();
            file.sync_data().unwrap();
            start.elapsed()
        })
        .collect()
}

fn run(name: &str, stores: [Store; 2]) {
    let mut world = World::new(stores);
    world.register(0);
    world.register(1);
    for number in 0..WARM_UP + MESSAGES {
        world.counting = number >= WARM_UP;
        for who in [0, 1] {
            world.send(who, number);
            world.settle(Span::seconds(1));
        }
    }
    for (scenario, taken) in std::mem::take(&mut world.taken) {
        report(scenario, name, taken);
    }
}

fn main() {
    // The system's place for temporary files may be in memory, which no disk is.
    let folder = std::env::args_os().nth(1).map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/xtask/bench"),
        PathBuf::from,
    );
    std::fs::create_dir_all(&folder).unwrap();
    let folder = tempfile::tempdir_in(folder).unwrap();
    report("disk_sync", "file", disk_sync(folder.path()));
    let store = |name: &str| {
        Store::open(&folder.path().join(name), &StoreKey::from_bytes([7; 32])).unwrap()
    };
    run("file", [store("alice"), store("bob")]);
    let memory = || Store::open_in_memory().unwrap();
    run("memory", [memory(), memory()]);
}
