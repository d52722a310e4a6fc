//! Whole clusters over a log in memory, with faults at every step, by seed.
//!
//! Three nodes, one log with a primary and a standby, and clients that repeat what was not
//! answered. `WAXWING_SEED=N cargo test -p waxwing-cluster schedule` replays one.
//!
//! **Elsewhere**: the log with its faults is [`crate::memory`].
//!
//! **Always**: after each schedule nothing acknowledged is lost, nothing counts twice, no number
//! was used twice, and all nodes have the same store.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use waxwing_relay::store::memory::{Fault, MemoryStore};
use waxwing_relay::store::{Key, KeySpace, Store, StoreError, Write};
use zeroize::Zeroizing;

use crate::chain::digest;
use crate::leader::{Ended, Leader, Step};
use crate::lease::{Kept, LeaseKeeper};
use crate::log::Holder;
use crate::memory::{LinkFault, MemoryLink, MemoryLog};
use crate::record::Record;
use crate::seal::{ClusterKey, Sealer};
use crate::standby::{Refusal, Standby, StandbyError, StandbyTurn};
use crate::status::Status;

const SEEDS: u64 = 3_000;
const STEPS: u32 = 400;
const NODES: usize = 3;
const LAST_NUMBER: &[u8] = b"last";

struct Random(u64);

impl Random {
    /// SplitMix64.
    fn below(&mut self, most: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % most
    }

    fn is_one_in(&mut self, chance: u64) -> bool {
        self.below(chance) == 0
    }
}

/// What the schedules came across; so that they test what they are for.
#[derive(Debug, Default)]
struct Seen {
    acknowledged: u64,
    takeovers: u64,
    superseded: u64,
    two_leaders: u64,
    doubts: u64,
    local_failures: u64,
}

struct Node {
    name: usize,
    disk: MemoryStore,
    link: Arc<MemoryLink>,
    status: Arc<Status>,
    role: Role,
    /// Stopped, or down, until then.
    idle_until: u64,
}

enum Role {
    Down,
    Follows(Box<Standby<MemoryStore, MemoryLink>>),
    Leads {
        leader: Box<Leader<MemoryStore>>,
        keeper: Box<LeaseKeeper<MemoryLink>>,
        /// Its first batch counts: it serves.
        is_open: bool,
        /// The request that is being committed, and the number it will have.
        doing: Option<(u64, u64)>,
    },
}

struct World {
    random: Random,
    log: MemoryLog,
    now: u64,
    nodes: Vec<Node>,
    incarnations: u64,
    next_request: u64,
    unanswered: Vec<u64>,
    /// Request: the number it was acknowledged with.
    acknowledged: BTreeMap<u64, u64>,
    /// Number: the request that has it.
    numbers: BTreeMap<u64, u64>,
    seen: Seen,
    /// The database loses what it confirmed: so do clients, and they are not asked.
    is_lossy: bool,
}

fn cluster_key() -> ClusterKey {
    ClusterKey::new(Zeroizing::new([7; 32]))
}

impl World {
    fn new(seed: u64) -> Self {
        let log = MemoryLog::new();
        let nodes = (0..NODES).map(|name| Node {
            name,
            disk: MemoryStore::new(),
            link: Arc::new(log.link(cluster_key().id())),
            status: Arc::default(),
            role: Role::Down,
            idle_until: 0,
        });
        let mut world = Self {
            random: Random(seed),
            nodes: nodes.collect(),
            log,
            now: 1_000_000,
            incarnations: 0,
            next_request: 0,
            unanswered: Vec::new(),
            acknowledged: BTreeMap::new(),
            numbers: BTreeMap::new(),
            seen: Seen::default(),
            is_lossy: false,
        };
        world.log.set_now(world.now);
        for at in 0..NODES {
            world.start(at);
        }
        world
    }

    fn start(&mut self, at: usize) {
        self.incarnations += 1;
        let node = &mut self.nodes[at];
        let holder = Holder {
            node: format!("node {}", node.name),
            incarnation: self.incarnations,
        };
        let mut seed = [0; 32];
        seed[..8].copy_from_slice(&self.incarnations.to_be_bytes());
        node.disk.set_fault(None);
        node.status = Arc::default();
        let standby = Standby::new(
            Arc::new(node.disk.clone()),
            Arc::clone(&node.link),
            holder,
            Sealer::with_seed(&cluster_key(), seed),
            Arc::clone(&node.status),
        );
        node.role = Role::Follows(Box::new(standby.unwrap()));
    }

    fn pass(&mut self, ms: u64) {
        self.now += ms;
        self.log.set_now(self.now);
    }

    fn step(&mut self) {
        let at = usize::try_from(self.random.below(NODES as u64)).unwrap();
        match self.random.below(40) {
            0..=2 => {
                let ms = self.random.below(3_000);
                self.pass(ms);
            }
            3 => {
                let faults = [
                    LinkFault::LostBefore,
                    LinkFault::LostAfter,
                    LinkFault::Unreplicated,
                ];
                let fault = faults[usize::try_from(self.random.below(3)).unwrap()];
                self.nodes[at].link.plan(fault);
            }
            4 => {
                let is_cut = self.random.is_one_in(3);
                self.nodes[at].link.set_cut(is_cut);
            }
            5 if self.random.is_one_in(4) => {
                // Killed.
                self.seen.doubts += self.nodes[at].status.now().doubts;
                self.nodes[at].role = Role::Down;
                self.nodes[at].idle_until = self.now + self.random.below(20_000);
            }
            6 if self.random.is_one_in(4) => {
                // Stopped, and continued later as if nothing had been.
                self.nodes[at].idle_until = self.now + self.random.below(30_000);
            }
            7 if self.random.is_one_in(4) => self.log.fail_over(),
            8 => {
                let has_standby = !self.random.is_one_in(3);
                self.log.set_standby(has_standby);
            }
            9 if self.random.is_one_in(4) => {
                let fault = [None, Some(Fault::Full), Some(Fault::Broken)];
                let fault = fault[usize::try_from(self.random.below(3)).unwrap()];
                self.nodes[at].disk.set_fault(fault);
            }
            _ => {
                if self.nodes[at].idle_until <= self.now {
                    self.turn(at);
                    self.pass(5);
                }
            }
        }
    }

    fn turn(&mut self, at: usize) {
        let mut role = std::mem::replace(&mut self.nodes[at].role, Role::Down);
        match &mut role {
            Role::Down => return self.start(at),
            Role::Follows(standby) => match standby.turn(self.now, true) {
                Ok(StandbyTurn::Follows { .. })
                | Err(StandbyError::Log(_) | StandbyError::ClocksDiffer(_)) => {}
                Ok(StandbyTurn::Leads(leader)) => {
                    self.seen.takeovers += 1;
                    let node = &self.nodes[at];
                    let (link, status) = (Arc::clone(&node.link), Arc::clone(&node.status));
                    let keeper = LeaseKeeper::new(link, leader.term(), self.now, status);
                    role = Role::Leads {
                        leader,
                        keeper: Box::new(keeper),
                        is_open: false,
                        doing: None,
                    };
                }
                Err(StandbyError::Refused(refusal)) => {
                    let is_of_disk = self.nodes[at].disk.check_room(&[]).is_err();
                    assert!(is_of_disk, "{refusal}");
                    return;
                }
            },
            Role::Leads {
                leader,
                keeper,
                is_open,
                doing,
            } => {
                if keeper.next_ms() <= self.now
                    && let Kept::Ended(ended) = keeper.turn(self.now)
                {
                    return self.ended(at, &ended);
                }
                let link = Arc::clone(&self.nodes[at].link);
                if *is_open && doing.is_none() {
                    *doing = self.begin(leader);
                }
                match leader.step(&*link) {
                    Step::Committed => {
                        *is_open = true;
                        if let Some((request, number)) = doing.take() {
                            self.answered(request, number);
                        }
                    }
                    Step::Waits(_) => {}
                    Step::Ended(ended) => return self.ended(at, &ended),
                }
            }
        }
        self.nodes[at].role = role;
        let serving = self
            .nodes
            .iter()
            .filter(|node| matches!(node.role, Role::Leads { is_open: true, .. }));
        if serving.count() > 1 {
            self.seen.two_leaders += 1;
        }
    }

    fn ended(&mut self, at: usize, ended: &Ended) {
        match ended {
            Ended::Superseded | Ended::CutOff => self.seen.superseded += 1,
            Ended::Local(_) => self.seen.local_failures += 1,
            Ended::Contradicted | Ended::HandedOver => panic!("{ended}"),
        }
        self.seen.doubts += self.nodes[at].status.now().doubts;
        self.nodes[at].role = Role::Down;
    }

    /// A client asks the node for something, new or again; gives what is to be committed.
    fn begin(&mut self, leader: &mut Leader<MemoryStore>) -> Option<(u64, u64)> {
        let repeats = !self.unanswered.is_empty() && !self.random.is_one_in(3);
        let request = if repeats {
            let which = self.random.below(self.unanswered.len() as u64);
            self.unanswered[usize::try_from(which).unwrap()]
        } else {
            self.next_request += 1;
            self.unanswered.push(self.next_request);
            self.next_request
        };
        let store = Arc::clone(leader.local());
        let key = request.to_be_bytes();
        match store.get(KeySpace::PostIds, &key) {
            Ok(Some(number)) => {
                let number = u64::from_be_bytes(number.as_ref().try_into().unwrap());
                self.answered(request, number);
                return None;
            }
            Ok(None) => {}
            Err(_) => return None,
        }
        let last = store.get(KeySpace::GroupSequences, LAST_NUMBER);
        let Ok(last) = last else {
            return None;
        };
        let last = last.map_or(0, |last| {
            u64::from_be_bytes(last.as_ref().try_into().unwrap())
        });
        let number = last + 1;
        let put = |space, key: &[u8], value: &[u8]| Write {
            space,
            key: Key::from_slice(key),
            value: Some(Bytes::copy_from_slice(value)),
        };
        let mut writes = vec![
            put(KeySpace::PostIds, &key, &number.to_be_bytes()),
            put(KeySpace::Entries, &number.to_be_bytes(), &key),
            put(KeySpace::GroupSequences, LAST_NUMBER, &number.to_be_bytes()),
            put(KeySpace::Posts, &number.to_be_bytes(), b"body"),
        ];
        if number > 3 {
            writes.push(Write {
                space: KeySpace::Posts,
                key: Key::from_slice(&(number - 3).to_be_bytes()),
                value: None,
            });
        }
        match leader.begin(writes) {
            Ok(()) => Some((request, number)),
            Err(StoreError::Full { .. } | StoreError::Io(_)) => None,
            Err(error) => panic!("{error}"),
        }
    }

    /// An answer leaves the node; it may not arrive.
    fn answered(&mut self, request: u64, number: u64) {
        if self.is_lossy {
            return;
        }
        let of_it = self.numbers.entry(number).or_insert(request);
        assert_eq!(*of_it, request, "number {number} was used twice");
        if self.random.is_one_in(4) {
            return;
        }
        self.seen.acknowledged += 1;
        let first = self.acknowledged.entry(request).or_insert(number);
        assert_eq!(*first, number, "request {request} counted twice");
        self.unanswered.retain(|other| *other != request);
    }

    /// Everything works again: waits until one node leads and the others have all of it.
    fn settle(&mut self) {
        self.log.set_standby(true);
        for node in &mut self.nodes {
            node.link.set_cut(false);
            node.disk.set_fault(None);
            node.idle_until = 0;
        }
        for _ in 0..60 {
            for at in 0..NODES {
                self.turn(at);
            }
            self.pass(2_000);
        }
        let leaders = self
            .nodes
            .iter()
            .filter(|node| matches!(node.role, Role::Leads { .. }));
        assert_eq!(leaders.count(), 1, "nobody leads, or more than one");
    }

    fn check(&mut self) {
        // Numbers rise by one, and each is there once.
        let entries = self.log.entries();
        for (entry, next) in entries.iter().zip(entries.iter().skip(1)) {
            assert_eq!(entry.number + 1, next.number);
            assert!(entry.term <= next.term);
        }
        // Requests of the last rounds may be in one node's store only by a moment: stop them.
        for _ in 0..10 {
            for at in 0..NODES {
                let is_leader = matches!(self.nodes[at].role, Role::Leads { .. });
                if !is_leader {
                    self.turn(at);
                } else if let Role::Leads { keeper, .. } = &mut self.nodes[at].role {
                    let kept = keeper.turn(self.now);
                    assert_eq!(kept, Kept::Held);
                }
            }
            self.pass(100);
        }
        let digests: Vec<_> = self
            .nodes
            .iter()
            .map(|n| digest(&n.disk).unwrap())
            .collect();
        assert!(
            digests.windows(2).all(|two| two[0] == two[1]),
            "the stores differ"
        );
        let disk = &self.nodes[0].disk;
        for (request, number) in &self.acknowledged {
            let there = disk.get(KeySpace::PostIds, &request.to_be_bytes()).unwrap();
            let there = there.expect("an acknowledged request is lost");
            assert_eq!(there.as_ref(), number.to_be_bytes());
        }
        let mut requests: Vec<Bytes> = disk
            .scan(KeySpace::Entries, &[], None, usize::MAX)
            .unwrap()
            .into_iter()
            .map(|(_, request)| request)
            .collect();
        let all = requests.len();
        requests.sort();
        requests.dedup();
        assert_eq!(requests.len(), all, "a request counted twice");
    }
}

#[test]
fn every_schedule_loses_nothing_and_doubles_nothing() {
    let only = std::env::var("WAXWING_SEED").ok();
    let seeds = match only.map(|seed| seed.parse::<u64>().unwrap()) {
        Some(seed) => seed..seed + 1,
        None => 0..SEEDS,
    };
    let mut all = Seen::default();
    let is_one = seeds.end - seeds.start == 1;
    for seed in seeds {
        let ran = std::panic::catch_unwind(|| {
            let mut world = World::new(seed);
            for _ in 0..STEPS {
                world.step();
            }
            world.settle();
            world.check();
            world.seen
        });
        let seen = ran.unwrap_or_else(|_| {
            panic!("WAXWING_SEED={seed} cargo test -p waxwing-cluster schedule");
        });
        all.acknowledged += seen.acknowledged;
        all.takeovers += seen.takeovers;
        all.superseded += seen.superseded;
        all.two_leaders += seen.two_leaders;
        all.doubts += seen.doubts;
        all.local_failures += seen.local_failures;
    }
    eprintln!("{all:?}");
    if !is_one {
        let least = [
            all.acknowledged / 20,
            all.takeovers / 2,
            all.superseded,
            all.two_leaders,
            all.doubts,
            all.local_failures * 20,
        ];
        assert!(least.iter().all(|seen| *seen > SEEDS / 10), "{all:?}");
    }
}

/// A database that confirms what only its primary has loses it at a failover: the node that has
/// it must notice.
#[test]
fn a_log_that_went_back_is_refused() {
    for later in 0..4 {
        let mut world = World::new(1);
        world.is_lossy = true;
        for _ in 0..100 {
            world.turn(0);
            world.pass(100);
        }
        world.turn(1);
        world.log.set_asynchronous(true);
        for _ in 0..10 {
            world.turn(0);
        }
        let own = world.nodes[0].disk.next_batch() - 1;
        world.nodes[0].role = Role::Down;
        world.log.set_asynchronous(false);
        world.log.fail_over();
        world.pass(60_000);
        // Another node takes over and writes other batches under the same numbers, up to as
        // many as were lost, and more.
        for _ in 0..later * 8 {
            world.turn(1);
            world.pass(10);
        }
        let last = world.log.entries().last().unwrap().number;
        world.start(0);
        let Role::Follows(standby) = &mut world.nodes[0].role else {
            panic!("it follows");
        };
        let turned = standby.turn(world.now, true);
        let Err(StandbyError::Refused(refusal)) = turned else {
            panic!("{own} and {last}: not refused");
        };
        match refusal {
            Refusal::WentBack { .. } => assert!(last < own),
            Refusal::Apply(_) => assert!(last >= own),
            other => panic!("{other}"),
        }
    }
}

#[test]
fn a_node_that_belongs_elsewhere_is_refused() {
    let mut world = World::new(1);
    for _ in 0..50 {
        world.turn(0);
    }
    // Another relay's identity.
    let other = ClusterKey::new(Zeroizing::new([8; 32]));
    let holder = || Holder {
        node: "other".to_owned(),
        incarnation: 77,
    };
    let follow = |key: &ClusterKey, disk: MemoryStore| {
        let link = Arc::new(world.log.link(key.id()));
        let sealer = Sealer::with_seed(key, [1; 32]);
        let status = Arc::default();
        let mut standby = Standby::new(Arc::new(disk), link, holder(), sealer, status).unwrap();
        standby.turn(world.now, true).map(|_| ())
    };
    assert!(matches!(
        follow(&other, MemoryStore::new()),
        Err(StandbyError::Refused(Refusal::Log(_)))
    ));
    // A store of its own.
    let disk = MemoryStore::new();
    disk.commit(Vec::new()).unwrap();
    assert!(matches!(
        follow(&cluster_key(), disk),
        Err(StandbyError::Refused(Refusal::NotAMember))
    ));
    // An empty one joins.
    let disk = MemoryStore::new();
    follow(&cluster_key(), disk.clone()).unwrap();
    assert!(disk.next_batch() > 1);
}

#[test]
fn the_log_shows_no_content() {
    let mut world = World::new(1);
    for _ in 0..50 {
        world.turn(0);
    }
    let entries = world.log.entries();
    assert!(entries.len() > 10);
    for entry in entries {
        assert!(Record::decode(entry.body.clone()).is_err());
        assert!(!entry.body.windows(4).any(|four| four == b"body"));
    }
}
