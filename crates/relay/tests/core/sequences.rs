//! Numbers and nothing lost, whatever happens in which order.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use proptest::prelude::*;
use waxwing_protocol::pb::relay_frame::Body as Answer;
use waxwing_protocol::time::Span;
use waxwing_relay::relay::LinkId;
use waxwing_relay::store::{KeySpace, StoreError, memory::Fault};

use crate::world::{Members, Person, World, authorise_request, message, post_id};

/// What may happen.
#[derive(Clone, Copy, Debug)]
enum Event {
    Post,
    Repeat(usize),
    LogIn(usize),
    LogOut(usize),
    Acknowledge(usize, usize),
    Take,
    Commit,
    Fail,
    Crash,
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        8 => Just(Event::Post),
        2 => any::<usize>().prop_map(Event::Repeat),
        3 => (0..2usize).prop_map(Event::LogIn),
        1 => (0..2usize).prop_map(Event::LogOut),
        6 => (0..2usize, any::<usize>()).prop_map(|(who, n)| Event::Acknowledge(who, n)),
        4 => Just(Event::Take),
        4 => Just(Event::Commit),
        1 => Just(Event::Fail),
        1 => Just(Event::Crash),
    ]
}

struct Run {
    world: World,
    people: [Person; 2],
    group: Members,
    posting: Option<LinkId>,
    links: [Option<LinkId>; 2],
    batch: Option<waxwing_relay::relay::Batch>,
    /// What came on the present link and is not acknowledged.
    waiting: [Vec<u64>; 2],
    /// By mailbox and number: which post. For ever.
    numbers: [BTreeMap<u64, u64>; 2],
    /// By group number: which post.
    order: BTreeMap<u64, u64>,
    seen: [BTreeSet<u64>; 2],
    acknowledged_at_relay: [BTreeSet<u64>; 2],
    asked: HashMap<u32, u64>,
    answered: BTreeSet<u64>,
    posts: u64,
}

impl Run {
    fn new() -> Self {
        let mut world = World::new();
        let people = [
            world.person("alice@a.example"),
            world.person("bob@a.example"),
        ];
        let group = world.group(&[&people[0], &people[1]]);
        Self {
            world,
            people,
            group,
            posting: None,
            links: [None, None],
            batch: None,
            waiting: [Vec::new(), Vec::new()],
            numbers: [BTreeMap::new(), BTreeMap::new()],
            order: BTreeMap::new(),
            seen: [BTreeSet::new(), BTreeSet::new()],
            acknowledged_at_relay: [BTreeSet::new(), BTreeSet::new()],
            asked: HashMap::new(),
            answered: BTreeSet::new(),
            posts: 0,
        }
    }

    fn post(&mut self, n: u64) {
        // Authorising is not what is tested: it must not force the disk.
        let link = if let Some(link) = self.posting {
            link
        } else {
            let link = self.world.link();
            let authorise = authorise_request(link, self.group.id, self.group.epoch);
            self.world.tell(link, authorise);
            self.posting = Some(link);
            link
        };
        let request = self
            .world
            .tell(link, message(&self.group, post_id(n), &n.to_string()));
        self.asked.insert(request, n);
    }

    fn step(&mut self, event: Event) {
        match event {
            Event::Post => {
                self.posts += 1;
                self.post(self.posts);
            }
            Event::Repeat(n) if self.posts > 0 => self.post(n as u64 % self.posts + 1),
            Event::LogIn(who) => {
                let link = self.world.link();
                let login = self.world.login_request(link, link, &self.people[who]);
                let answer = self.world.ask(link, login);
                assert!(matches!(answer, Some(Answer::LoggedIn(_))), "{answer:?}");
                self.links[who] = Some(link);
                self.waiting[who].clear();
            }
            Event::LogOut(who) => {
                if let Some(link) = self.links[who].take() {
                    self.world.relay.link_closed(link);
                    self.waiting[who].clear();
                }
            }
            Event::Acknowledge(who, n) => {
                if let Some(link) = self.links[who]
                    && !self.waiting[who].is_empty()
                {
                    let upto = n % self.waiting[who].len();
                    let sequence = self.waiting[who][upto];
                    for sequence in self.waiting[who].drain(..=upto) {
                        let post = self.numbers[who][&sequence];
                        self.acknowledged_at_relay[who].insert(post);
                    }
                    self.world.acknowledge(link, sequence);
                }
            }
            Event::Take => {
                if self.batch.is_none() {
                    self.batch = self.world.relay.take_batch(self.world.now);
                }
            }
            Event::Commit => {
                if let Some(batch) = self.batch.take() {
                    use waxwing_relay::store::Store as _;
                    self.world.store.commit(batch.into_writes()).unwrap();
                    self.world.relay.handle_batch_written();
                    self.world.collect();
                }
            }
            Event::Fail => {
                if self.batch.take().is_some() {
                    let full = StoreError::Full { available: 0 };
                    self.world.relay.handle_batch_failed(&full);
                    self.world.wait(Span(0));
                    self.posting = None;
                }
            }
            Event::Crash => {
                self.batch = None;
                self.world.crash();
                self.posting = None;
                self.links = [None, None];
                self.waiting = [Vec::new(), Vec::new()];
            }
            Event::Repeat(_) => {}
        }
        self.look();
    }

    /// Takes what came, and checks it.
    fn look(&mut self) {
        if let Some(link) = self.posting {
            let requests: Vec<u32> = self.asked.keys().copied().collect();
            for request in requests {
                let answer = self.world.answer(link, request);
                if let Some(answer) = answer {
                    let post = self.asked.remove(&request).unwrap();
                    if let Answer::Posted(posted) = answer {
                        self.answered.insert(post);
                        let known = self.order.insert(posted.group_sequence, post);
                        assert!(
                            known.is_none_or(|known| known == post),
                            "a number for two posts"
                        );
                    }
                }
            }
        }
        for who in 0..2 {
            let Some(link) = self.links[who] else {
                continue;
            };
            for post in self.world.delivered(link) {
                let n: u64 = std::str::from_utf8(&post.body).unwrap().parse().unwrap();
                let last = self.waiting[who].last().copied().unwrap_or(0);
                assert!(post.sequence > last, "numbers fall");
                let known = self.numbers[who].insert(post.sequence, n);
                assert!(
                    known.is_none_or(|known| known == n),
                    "number {} was given to post {known:?} and to {n}",
                    post.sequence
                );
                let known = self.order.insert(post.group_sequence, n);
                assert!(known.is_none_or(|known| known == n), "two orders");
                self.waiting[who].push(post.sequence);
                self.seen[who].insert(n);
            }
            if self.world.closed.contains(&link) {
                self.links[who] = None;
                self.waiting[who].clear();
            }
        }
    }

    /// Whatever was answered has reached everybody, and then nothing is left.
    fn settle(&mut self) {
        self.step(Event::Take);
        self.step(Event::Commit);
        self.world.write();
        self.look();
        for who in 0..2 {
            self.step(Event::LogIn(who));
            while !self.waiting[who].is_empty() {
                self.step(Event::Acknowledge(who, self.waiting[who].len() - 1));
                self.world.write();
                self.look();
            }
        }
        for post in &self.answered {
            for who in 0..2 {
                assert!(self.seen[who].contains(post), "post {post} was lost");
            }
        }
        self.world.write();
        let left = self.world.store.records();
        for space in [KeySpace::Posts, KeySpace::Entries, KeySpace::Holders] {
            assert!(
                !left.iter().any(|(at, _, _)| *at == space),
                "{} are left behind",
                space.name()
            );
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, max_shrink_iters: 2000, ..ProptestConfig::default() })]

    #[test]
    fn nothing_answered_is_lost_and_no_number_is_used_twice(
        events in proptest::collection::vec(event(), 1..80),
    ) {
        let mut run = Run::new();
        for event in events {
            run.step(event);
        }
        run.settle();
    }
}

#[test]
fn a_disk_that_fails_for_a_while_loses_nothing_answered() {
    let mut run = Run::new();
    for round in 0..5 {
        run.world
            .store
            .set_fault((round % 2 == 1).then_some(Fault::Full));
        run.world.wait(Span(0));
        run.world.write_once();
        for _ in 0..10 {
            run.step(Event::Post);
        }
        run.world.write_once();
        run.look();
        run.posting = None;
    }
    run.world.store.set_fault(None);
    assert!(run.answered.len() >= 20);
    run.settle();
}
