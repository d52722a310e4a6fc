//! Processes that end around a rekey: between storing a commit and its answer, between
//! the answer and the next message, and with messages of the epoch before in the outbox.
//!
//! **Elsewhere**: crashes at moments that nobody chose are in `faults.rs` and
//! `message_simulation.rs`.
//!
//! **Always**: everything that was written arrives exactly once, and nothing waits in an
//! outbox afterwards.

use std::{cell::RefCell, collections::HashMap, rc::Rc};

use waxwing_engine::api::Entry;
use waxwing_protocol::{
    limits,
    pb::{ErrorCode, Post, PostKind, client_frame, relay_frame},
    time::Span,
};
use waxwing_system_tests::{Passing, PersonId, RealRelay, RelayPort as _, World, WorldOptions};

/// Two people shortly before Alice's device makes its key anew, and what they wrote.
struct Scene {
    world: World<RealRelay>,
    alice: PersonId,
    bob: PersonId,
    written: HashMap<PersonId, Vec<String>>,
}

impl Scene {
    fn new(seed: u64) -> Self {
        let mut world = World::new(seed, RealRelay::default(), WorldOptions::default());
        let alice = world.add_registered("alice@example.org");
        let bob = world.add_registered("bob@example.org");
        let mut scene = Self {
            world,
            alice,
            bob,
            written: HashMap::new(),
        };
        scene.write(alice, "first");
        scene.world.run_for(Span::seconds(10));
        scene
    }

    fn write(&mut self, from: PersonId, text: &str) {
        let to = if from == self.alice {
            self.bob
        } else {
            self.alice
        };
        self.world.send(from, to, text);
        self.written.entry(from).or_default().push(text.to_owned());
    }

    /// More than a device says under one key.
    fn write_past_the_bound(&mut self, from: PersonId, what: &str) {
        for n in 0..limits::REKEY_MESSAGES + 5 {
            self.write(from, &format!("{what} {n:02}"));
        }
    }

    fn restart(&mut self, who: PersonId) {
        self.world.crash(who);
        self.world.start(who);
    }

    /// Everything arrived exactly once, nothing is left to do, and writing goes on.
    #[track_caller]
    fn all_is_well(&mut self, what: &str) {
        // Soon, and not only when a group was given up and rejoined.
        self.world.run_for(Span::seconds(20));
        for (n, from) in [self.alice, self.bob].into_iter().enumerate() {
            let status = self.world.status(from);
            assert_eq!(
                (status.outbox, status.missing, status.rejoining),
                (0, 0, 0),
                "{what}"
            );
            self.write(from, &format!("after all {n}"));
        }
        self.world.run_for(Span::minutes(1));
        for (from, to) in [(self.alice, self.bob), (self.bob, self.alice)] {
            let name = self.world.person(from).address.clone();
            let mut got = Vec::new();
            for entry in self.world.history(to, from) {
                match entry {
                    Entry::Message(message) if message.from == name => got.push(message.text),
                    Entry::Message(_) => {}
                    Entry::Event(event) => panic!("{what}: {:?}", event.event),
                    Entry::Gap(gap) => panic!("{what}: {} are missing", gap.missing),
                }
            }
            let mut expected = self.written.get(&from).cloned().unwrap_or_default();
            got.sort();
            expected.sort();
            assert_eq!(got, expected, "{what}");
        }
        for id in [self.alice, self.bob] {
            assert_eq!(self.world.status(id).outbox, 0, "{what}");
        }
        assert_eq!(self.world.relay.waiting(), 0, "{what}");
        // Nobody posted what they had not asked to be allowed.
        let unauthorised = |(_, code): &&(PersonId, ErrorCode)| *code == ErrorCode::Unauthorised;
        assert_eq!(
            self.world.refusals.iter().find(unauthorised),
            None,
            "{what}"
        );
    }
}

/// The post of a frame, if it is one of this kind.
fn post(body: Option<&client_frame::Body>, kind: PostKind) -> Option<&Post> {
    match body {
        Some(client_frame::Body::Post(post)) if post.kind() == kind => Some(post),
        _ => None,
    }
}

/// Where somebody's commit, or message, is.
#[derive(Clone, Copy, Debug)]
enum Where {
    Stored,
    AtTheRelay,
    Answered,
}

/// Looks out for somebody's post of a kind, from before what leads to it.
fn look_out(scene: &mut Scene, who: PersonId, kind: PostKind, at: Where) {
    let mut request = None;
    scene.world.watch(move |id, passing| {
        if id != who {
            return false;
        }
        match (at, passing) {
            (Where::Stored, Passing::Left(frame))
            | (Where::AtTheRelay, Passing::Arrived(frame)) => {
                post(frame.body.as_ref(), kind).is_some()
            }
            (Where::Answered, Passing::Left(frame)) => {
                if post(frame.body.as_ref(), kind).is_some() {
                    request = Some(frame.request);
                }
                false
            }
            (Where::Answered, Passing::Came(frame)) => {
                matches!(frame.body, Some(relay_frame::Body::Posted(_)))
                    && Some(frame.request) == request
            }
            _ => false,
        }
    });
}

#[test]
fn a_crash_before_a_commits_answer_loses_and_doubles_nothing() {
    for at in [Where::Stored, Where::AtTheRelay] {
        for seed in 0..4 {
            let mut scene = Scene::new(seed);
            let alice = scene.alice;
            look_out(&mut scene, alice, PostKind::Commit, at);
            scene.write_past_the_bound(alice, "n");
            scene.world.run_until_seen();
            scene.restart(alice);
            scene.write(alice, "after the crash");
            scene.all_is_well(&format!("{at:?}, seed {seed}"));
        }
    }
}

#[test]
fn a_crash_while_a_commit_is_reposted_loses_nothing() {
    for seed in 0..4 {
        let mut scene = Scene::new(10 + seed);
        let alice = scene.alice;
        for (round, at) in [Where::Stored, Where::Stored, Where::AtTheRelay]
            .into_iter()
            .enumerate()
        {
            look_out(&mut scene, alice, PostKind::Commit, at);
            if round == 0 {
                scene.write_past_the_bound(alice, "n");
            }
            scene.world.run_until_seen();
            scene.world.crash(alice);
            scene.world.start(alice);
        }
        scene.all_is_well(&format!("seed {seed}"));
    }
}

#[test]
fn a_crash_after_a_commits_answer_loses_and_doubles_nothing() {
    for seed in 0..4 {
        let mut scene = Scene::new(20 + seed);
        let alice = scene.alice;
        look_out(&mut scene, alice, PostKind::Commit, Where::Answered);
        scene.write_past_the_bound(alice, "n");
        scene.world.run_until_seen();
        scene.restart(alice);
        scene.all_is_well(&format!("seed {seed}"));
    }
}

#[test]
fn a_commit_that_a_relay_lost_in_a_crash_is_posted_again() {
    for seed in 0..4 {
        let mut scene = Scene::new(30 + seed);
        let alice = scene.alice;
        look_out(&mut scene, alice, PostKind::Commit, Where::AtTheRelay);
        scene.write_past_the_bound(alice, "n");
        scene.world.run_until_seen();
        scene.world.crash_relay();
        if seed % 2 == 0 {
            scene.restart(alice);
        }
        scene.all_is_well(&format!("seed {seed}"));
    }
}

/// Bob makes the group's key anew while a message of Alice's is encrypted under the one
/// before, and not answered: the relay has it, or has not.
#[test]
fn a_message_of_the_last_epoch_is_encrypted_again_and_sent_once() {
    let mut again = 0;
    for at in [Where::Stored, Where::AtTheRelay] {
        for seed in 0..6 {
            let mut scene = Scene::new(40 + seed);
            let (alice, bob) = (scene.alice, scene.bob);
            let posted: Rc<RefCell<Vec<Post>>> = Rc::default();
            scene.write(alice, "under the old key");
            let message = Rc::clone(&posted);
            scene.world.watch(move |id, passing| {
                let body = match (at, &passing) {
                    (Where::Stored, Passing::Left(frame)) | (_, Passing::Arrived(frame)) => {
                        frame.body.as_ref()
                    }
                    _ => None,
                };
                let found = post(body, PostKind::Message).filter(|_| id == alice);
                message.borrow_mut().extend(found.cloned());
                found.is_some()
            });
            scene.world.run_until_seen();
            scene.world.crash(alice);
            scene.write_past_the_bound(bob, "meanwhile");
            scene.world.run_for(Span::minutes(1));
            let later: Rc<RefCell<Vec<Post>>> = Rc::default();
            let repeated = Rc::clone(&later);
            scene.world.watch(move |id, passing| {
                if let Passing::Left(frame) = passing
                    && id == alice
                    && let Some(post) = post(frame.body.as_ref(), PostKind::Message)
                {
                    repeated.borrow_mut().push(post.clone());
                }
                false
            });
            scene.world.start(alice);
            scene.all_is_well(&format!("{at:?}, seed {seed}"));
            let first = posted.borrow()[0].clone();
            let same: Vec<Post> = later
                .borrow()
                .iter()
                .filter(|post| post.post_id == first.post_id)
                .cloned()
                .collect();
            assert!(
                !same.is_empty(),
                "{at:?}, seed {seed}: it was not posted again"
            );
            for post in same {
                // Never two texts under one key, and never one that cannot be read.
                assert_eq!(
                    post.epoch == first.epoch,
                    post.body == first.body,
                    "{at:?}, seed {seed}"
                );
                again += usize::from(post.epoch > first.epoch);
            }
        }
    }
    assert!(again > 0, "no message was ever encrypted again");
}

/// Alice's own commit ends the epoch of messages that were encrypted before it.
#[test]
fn messages_cut_off_before_a_rekey_arrive_once_after_it() {
    for seed in 0..4 {
        let mut scene = Scene::new(60 + seed);
        let (alice, bob) = (scene.alice, scene.bob);
        look_out(&mut scene, alice, PostKind::Message, Where::AtTheRelay);
        scene.write_past_the_bound(alice, "n");
        scene.world.run_until_seen();
        // All of them are encrypted; some of them the relay has, none is answered.
        look_out(&mut scene, alice, PostKind::Commit, Where::AtTheRelay);
        scene.restart(alice);
        scene.world.run_until_seen();
        scene.world.cut(alice);
        scene.write_past_the_bound(bob, "m");
        scene.all_is_well(&format!("seed {seed}"));
    }
}

/// The answer to a commit may come after its echo and fifty messages more: it is not the
/// answer to the commit that is due then.
#[test]
fn a_late_answer_is_not_mistaken_for_the_next_rekeys() {
    for seed in 0..4 {
        let mut scene = Scene::new(70 + seed);
        let alice = scene.alice;
        scene.world.slow_answers.insert(alice, Span::seconds(1));
        // One message was written before.
        for n in 1..limits::REKEY_MESSAGES {
            scene.write(alice, &format!("before {n:02}"));
        }
        scene.world.run_for(Span::seconds(5));
        look_out(&mut scene, alice, PostKind::Commit, Where::Stored);
        // These wait for the commit, and its echo lets them go at once.
        for n in 0..limits::REKEY_MESSAGES + 5 {
            scene.write(alice, &format!("behind {n:02}"));
        }
        scene.world.run_until_seen();
        scene.world.run_for(Span(300));
        scene.write(alice, "with the next rekey");
        scene.world.slow_answers.clear();
        scene.all_is_well(&format!("seed {seed}"));
    }
}

/// Whoever is in an epoch that the relay has never heard of waits for nothing.
#[test]
fn devices_ahead_of_a_relay_that_was_set_back_rejoin() {
    for seed in 0..3 {
        let mut scene = Scene::new(75 + seed);
        let (alice, bob) = (scene.alice, scene.bob);
        let backup = scene.world.relay.backup();
        scene.write_past_the_bound(alice, "n");
        scene.write_past_the_bound(bob, "m");
        scene.world.run_for(Span::minutes(1));
        scene.world.relay.restore(&backup);
        scene.world.cut_all();
        scene.write(alice, "after it");
        scene.write(bob, "after it too");
        scene.world.run_for(Span::minutes(10));
        for (from, to) in [(alice, bob), (bob, alice)] {
            let status = scene.world.status(from);
            assert_eq!(
                (status.outbox, status.missing, status.rejoining),
                (0, 0, 0),
                "seed {seed}"
            );
            let name = scene.world.person(from).address.clone();
            let messages = scene.world.messages(to, from);
            let mut got: Vec<String> = messages
                .into_iter()
                .filter(|message| message.from == name)
                .map(|message| message.text)
                .collect();
            let mut expected = scene.written[&from].clone();
            got.sort();
            expected.sort();
            assert_eq!(got, expected, "seed {seed}");
        }
    }
}

/// Both make their keys anew at once: one of the commits is refused, and its maker ends
/// at every moment around that.
#[test]
fn an_end_at_any_moment_of_a_rekey_loses_and_doubles_nothing() {
    for steps in 0..45 {
        let mut scene = Scene::new(80);
        let (alice, bob) = (scene.alice, scene.bob);
        look_out(&mut scene, alice, PostKind::Commit, Where::Stored);
        scene.write_past_the_bound(alice, "n");
        scene.write_past_the_bound(bob, "m");
        scene.world.run_until_seen();
        scene.world.run_steps(steps);
        match steps % 3 {
            0 => scene.restart(alice),
            1 => scene.restart(bob),
            _ => {
                scene.world.crash_relay();
                scene.restart(alice);
            }
        }
        scene.all_is_well(&format!("{steps} steps"));
    }
}
