//! An error of the engine's own, at any step of any piece of work, costs the group that it
//! belongs to, and nothing else.
//!
//! A store is made to fail at its n-th write ([`Faults`]), for each n until the work has no
//! further write: that is a mistake of the program wherever one could be. What has to hold
//! each time is in [`Town::goes_on`].
//!
//! **Elsewhere**: the mechanism is the engine's `containment` and `conversation::quarantine`;
//! full disks are in `full_disk.rs`.

use std::fmt::Write as _;

use prost::Message as _;
use waxwing_engine::api::{ChangeGroup, ConversationId, EventKind, Notice};
use waxwing_protocol::{
    pb::{Envelope, Leaving, PostKind, envelope, relay_frame::Body},
    time::Span,
};
use waxwing_system_tests::{
    Fate, HostileRelay, PersonId, RelayPort as _, World, WorldOptions,
    groups::{change, create, events, members, say, texts},
};

/// Makes somebody's store fail, once, at a write.
///
/// Each table gets triggers that count, and raise an error when the count is over. That the
/// engine recorded the error ends it: what is counted is undone with the work.
struct Faults(PersonId);

impl Faults {
    fn install(world: &World<HostileRelay>, whose: PersonId) -> Self {
        let faults = Self(whose);
        let engine = world.person(whose).engine.as_ref().unwrap();
        let connection = engine.store().connection();
        let tables: String = connection
            .query_row(
                // Not those of the search, whose rows SQLite writes by itself.
                "SELECT group_concat(name) FROM pragma_table_list
                 WHERE schema = 'main' AND type = 'table' AND name NOT LIKE 'sqlite%'
                 AND name != 'contained_fault'",
                [],
                |row| row.get(0),
            )
            .unwrap();
        let mut sql = "CREATE TEMP TABLE IF NOT EXISTS fault (writes INTEGER);
             DELETE FROM fault;
             INSERT INTO fault VALUES (0);
             CREATE TEMP TRIGGER IF NOT EXISTS ended AFTER INSERT ON main.contained_fault
             BEGIN UPDATE fault SET writes = 0; END;"
            .to_owned();
        for table in tables.split(',') {
            for write in ["INSERT", "UPDATE", "DELETE"] {
                // Settings of the whole device are written outside of any group's work.
                let row = if write == "DELETE" { "OLD" } else { "NEW" };
                let which = match table {
                    "setting" => format!("AND {row}.name != 'received'"),
                    _ => String::new(),
                };
                write!(
                    sql,
                    "CREATE TEMP TRIGGER IF NOT EXISTS fault_{table}_{write}
                     BEFORE {write} ON main.{table}
                     WHEN (SELECT writes FROM fault) > 0 {which} BEGIN
                         UPDATE fault SET writes = writes - 1;
                         SELECT RAISE(ABORT, 'injected: {write} {table}') FROM fault WHERE writes = 0;
                     END;"
                )
                .unwrap();
            }
        }
        faults.run(world, &sql);
        faults
    }

    fn run(&self, world: &World<HostileRelay>, sql: &str) {
        let engine = world.person(self.0).engine.as_ref().unwrap();
        engine.store().connection().execute_batch(sql).unwrap();
    }

    /// The n-th write from now on fails.
    fn at(&self, world: &World<HostileRelay>, write: u32) {
        self.run(world, &format!("UPDATE fault SET writes = {write}"));
    }

    /// What the engine recorded last.
    fn last(&self, world: &World<HostileRelay>) -> String {
        let engine = world.person(self.0).engine.as_ref().unwrap();
        let connection = engine.store().connection();
        let newest = "SELECT whose || ': ' || detail FROM contained_fault ORDER BY id DESC";
        connection.query_row(newest, [], |row| row.get(0)).unwrap()
    }

    /// Whether one did. None does after this.
    fn happened(&self, world: &World<HostileRelay>) -> bool {
        let engine = world.person(self.0).engine.as_ref().unwrap();
        let connection = engine.store().connection();
        let left: u32 = connection
            .query_row("SELECT writes FROM fault", [], |row| row.get(0))
            .unwrap();
        self.at(world, 0);
        left == 0
    }
}

/// Bob, in whose store writes fail; and Alice and Carol, whom he has two groups and a
/// conversation each with.
struct Town {
    world: World<HostileRelay>,
    alice: PersonId,
    bob: PersonId,
    carol: PersonId,
    /// Alice's, with all three.
    group: ConversationId,
    /// Carol's, with all three.
    other: ConversationId,
    said: u32,
}

impl Town {
    fn new(seed: u64) -> Self {
        let mut world = World::new(seed, HostileRelay::default(), WorldOptions::default());
        let [alice, bob, carol] = ["alice", "bob", "carol"]
            .map(|name| world.add_registered(&format!("{name}@a.example")));
        for friend in [alice, carol] {
            world.send(friend, bob, "hello");
            world.send(bob, friend, "hello");
        }
        world.run_for(Span::seconds(30));
        let group = create(&mut world, alice, "Group", &[bob, carol]);
        let other = create(&mut world, carol, "Other", &[alice, bob]);
        world.run_for(Span::minutes(2));
        for (from, to) in [(alice, group), (bob, group), (carol, other), (bob, other)] {
            say(&mut world, from, to, "hello").unwrap();
        }
        world.run_for(Span::minutes(2));
        Self {
            world,
            alice,
            bob,
            carol,
            group,
            other,
            said: 0,
        }
    }

    /// Everything but one group (or conversation with Alice) works for Bob.
    fn others_work(&mut self, broken: ConversationId, what: &str) {
        self.said += 1;
        let text = format!("{} after {what}", self.said);
        let Self {
            alice, bob, carol, ..
        } = *self;
        let world = &mut self.world;
        world.send(carol, bob, &text);
        world.send(bob, carol, &text);
        world.send(alice, bob, &text);
        world.send(bob, alice, &text);
        for group in [self.group, self.other] {
            if group != broken {
                say(world, carol, group, &text).unwrap();
                say(world, bob, group, &text).unwrap();
            }
        }
        world.run_for(Span::seconds(20));
        let twice = |texts: Vec<String>| texts.iter().filter(|one| **one == text).count() == 2;
        for friend in [alice, carol] {
            assert!(twice(world.texts(bob, friend)), "{text}");
            assert!(twice(world.texts(friend, bob)), "{text}");
        }
        for group in [self.group, self.other] {
            if group != broken {
                assert!(twice(texts(world, bob, group)), "{text}");
                assert!(twice(texts(world, carol, group)), "{text}");
            }
        }
        assert_eq!(world.relay.waiting(), 0, "not acknowledged after {what}");
    }

    /// The same after a restart.
    fn goes_on(&mut self, broken: ConversationId, what: &str) {
        self.others_work(broken, what);
        self.world.crash(self.bob);
        self.world.start(self.bob);
        self.others_work(broken, what);
    }

    /// Lets `work` happen, with an error at each step of it in Bob's store; `broken` is the
    /// group that it may cost. Gives how many steps there were.
    fn at_each_step(
        &mut self,
        mut work: impl FnMut(&mut Self, u32) -> ConversationId,
        mut then: impl FnMut(&mut Self, u32, ConversationId),
    ) -> u32 {
        let mut step = 1;
        loop {
            let faults = Faults::install(&self.world, self.bob);
            faults.at(&self.world, step);
            let broken = work(self, step);
            if !faults.happened(&self.world) {
                return step - 1;
            }
            // The test's output, where it fails.
            println!("step {step}: {}", faults.last(&self.world));
            self.goes_on(broken, &format!("step {step}"));
            then(self, step, broken);
            step += 1;
            assert!(step < 400, "it never ends");
        }
    }

    /// Bob's device rejoins what was quarantined, and has every text of the group once.
    fn comes_back(&mut self, group: ConversationId, texts_said: &[String], what: &str) {
        self.world.run_for(Span::minutes(3));
        let shown = texts(&mut self.world, self.bob, group);
        for text in texts_said {
            let times = shown.iter().filter(|one| *one == text).count();
            assert_eq!(times, 1, "{text} after {what}");
        }
        // Each step is to be the first that goes wrong.
        let engine = self.world.person(self.bob).engine.as_ref().unwrap();
        let forget = "DELETE FROM quarantine";
        engine.store().connection().execute_batch(forget).unwrap();
    }
}

#[test]
fn an_error_at_any_step_of_a_message_costs_its_group_only() {
    let mut town = Town::new(1);
    let mut said = Vec::new();
    let steps = town.at_each_step(
        |town, step| {
            let text = format!("message {step}");
            say(&mut town.world, town.alice, town.group, &text).unwrap();
            town.world.run_for(Span::seconds(3));
            town.group
        },
        |town, step, group| {
            said.push(format!("message {step}"));
            town.comes_back(group, &said, &format!("step {step}"));
        },
    );
    assert!(steps >= 5, "only {steps} steps were tried");
    let quarantined =
        |event: &(EventKind, String, Option<String>)| event.0 == EventKind::Quarantined;
    let events = events(&mut town.world, town.bob, town.group);
    assert!(events.iter().any(quarantined));
    let told = |notice: &Notice| matches!(notice, Notice::Event(event) if event.event == EventKind::Quarantined);
    assert!(town.world.person(town.bob).notices.iter().any(told));
}

#[test]
fn an_error_at_any_step_of_a_commit_costs_its_group_only() {
    let mut town = Town::new(2);
    let steps = town.at_each_step(
        |town, step| {
            let renamed = ChangeGroup {
                name: Some(format!("Group {step}")),
                ..ChangeGroup::default()
            };
            change(&mut town.world, town.alice, town.group, renamed).unwrap();
            town.world.run_for(Span::seconds(3));
            town.group
        },
        |town, step, group| {
            let text = format!("to step {step}");
            say(&mut town.world, town.alice, group, &text).unwrap();
            town.comes_back(group, &[text], &format!("step {step}"));
        },
    );
    assert!(steps >= 10, "only {steps} steps were tried");
}

#[test]
fn an_error_at_any_step_of_a_welcome_costs_its_group_only() {
    let mut town = Town::new(3);
    let steps = town.at_each_step(
        |town, step| {
            let members = [town.bob];
            let name = format!("New {step}");
            let made = create(&mut town.world, town.alice, &name, &members);
            town.world.run_for(Span::seconds(8));
            made
        },
        |town, _, _| town.world.run_for(Span::minutes(2)),
    );
    assert!(steps >= 20, "only {steps} steps were tried");
}

#[test]
fn an_error_at_any_step_of_a_resend_request_costs_its_group() {
    let mut town = Town::new(4);
    let mut said = Vec::new();
    let steps = town.at_each_step(
        |town, step| {
            // Alice misses what Bob says, and asks him for it half a minute after his next.
            let (alice, lost) = (town.alice, format!("lost {step}"));
            let dropped = std::cell::Cell::new(false);
            town.world
                .relay
                .answers(move |person, frame| match &frame.body {
                    Some(Body::Deliver(deliver))
                        if person == alice
                            && deliver.kind() == PostKind::Message
                            && !dropped.replace(true) =>
                    {
                        Fate::Drop
                    }
                    _ => Fate::Pass,
                });
            let faults = Faults(town.bob);
            faults.at(&town.world, 0);
            say(&mut town.world, town.bob, town.group, &lost).unwrap();
            town.world.run_for(Span::seconds(5));
            town.world.relay.straighten();
            say(
                &mut town.world,
                town.bob,
                town.group,
                &format!("next {step}"),
            )
            .unwrap();
            town.world.run_for(Span::seconds(20));
            faults.at(&town.world, step);
            town.world.run_for(Span::seconds(50));
            town.group
        },
        |town, step, group| {
            let text = format!("to step {step}");
            say(&mut town.world, town.alice, group, &text).unwrap();
            said.push(text);
            town.comes_back(group, &said, &format!("step {step}"));
        },
    );
    // The last time nothing went wrong: what was asked for came.
    let came = texts(&mut town.world, town.alice, town.group);
    assert!(came.contains(&format!("lost {}", steps + 1)), "{came:?}");
    assert!(steps >= 5, "only {steps} steps were tried");
}

#[test]
fn an_error_at_any_step_of_an_own_commit_costs_its_group_only() {
    let mut town = Town::new(5);
    let mine = create(&mut town.world, town.bob, "Bob's", &[town.alice]);
    town.world.run_for(Span::minutes(1));
    let steps = town.at_each_step(
        |town, step| {
            let faults = Faults(town.bob);
            faults.at(&town.world, 0);
            let renamed = ChangeGroup {
                name: Some(format!("Bob's {step}")),
                ..ChangeGroup::default()
            };
            change(&mut town.world, town.bob, mine, renamed).unwrap();
            faults.at(&town.world, step);
            town.world.run_for(Span::seconds(3));
            mine
        },
        |town, step, group| {
            // He is its admin: his device makes the next generation.
            let text = format!("to step {step}");
            town.world.run_for(Span::minutes(2));
            say(&mut town.world, town.alice, group, &text).unwrap();
            town.comes_back(group, &[text], &format!("step {step}"));
        },
    );
    assert!(steps >= 10, "only {steps} steps were tried");
}

#[test]
fn an_error_at_any_step_of_a_rejoin_costs_its_group_only() {
    let mut town = Town::new(6);
    let steps = town.at_each_step(
        |town, step| {
            let faults = Faults(town.bob);
            faults.at(&town.world, 0);
            faults.run(
                &town.world,
                "UPDATE conversation_group SET state = 4
                 WHERE group_id = (SELECT group_id FROM conversation_group JOIN conversation
                     ON conversation.id = conversation WHERE display = 'Group')",
            );
            town.world.crash(town.bob);
            town.world.start(town.bob);
            // Logging in is not the group's.
            town.world.run_for(Span(200));
            faults.at(&town.world, step);
            town.world.run_for(Span::seconds(10));
            town.group
        },
        |town, step, group| {
            let text = format!("to step {step}");
            say(&mut town.world, town.alice, group, &text).unwrap();
            town.comes_back(group, &[text], &format!("step {step}"));
        },
    );
    assert!(steps >= 10, "only {steps} steps were tried");
}

#[test]
fn an_admin_who_leaves_without_an_heir_stops_no_other_group() {
    let mut town = Town::new(7);
    // What Alice's program says is that she leaves; it hands the group to nobody.
    let leaving = Envelope {
        body: Some(envelope::Body::Leaving(Leaving {})),
        ..Envelope::default()
    };
    let body = leaving.encode_to_vec();
    let engine = town.world.person(town.alice).engine.as_ref().unwrap();
    let said = engine
        .store()
        .connection()
        .execute(
            "INSERT INTO outgoing (conversation, body, written_at, state, group_id)
             SELECT conversation, ?1, 0, 0, group_id FROM conversation_group JOIN conversation
             ON conversation.id = conversation WHERE display = 'Group'",
            [body],
        )
        .unwrap();
    assert_eq!(said, 1);
    town.world.crash(town.alice);
    town.world.start(town.alice);
    town.world.run_for(Span::minutes(5));
    town.goes_on(town.group, "an admin who left");
    assert_eq!(
        members(&mut town.world, town.carol, town.other),
        ["alice", "bob", "carol*"]
    );
}

#[test]
fn a_groups_keys_that_cannot_be_read_cost_that_group_only() {
    let mut town = Town::new(8);
    let last = create(&mut town.world, town.alice, "Last", &[town.bob, town.carol]);
    town.world.run_for(Span::minutes(1));
    // Group contexts have this label; the last group's is the newest.
    Faults(town.bob).run(
        &town.world,
        "UPDATE mls SET value = x'ff' WHERE label = 7 AND key =
             (SELECT key FROM mls WHERE label = 7 ORDER BY id DESC LIMIT 1)",
    );
    town.world.crash(town.bob);
    town.world.start(town.bob);
    say(&mut town.world, town.alice, last, "cannot be read").unwrap();
    town.world.run_for(Span::seconds(10));
    assert_eq!(texts(&mut town.world, town.bob, last), [""; 0]);
    town.goes_on(last, "keys that cannot be read");
    // It is rejoined with new keys, and nothing is lost.
    town.comes_back(last, &["cannot be read".to_owned()], "a rejoin");
    say(&mut town.world, town.bob, last, "back").unwrap();
    town.world.run_for(Span::seconds(10));
    let shown = texts(&mut town.world, town.carol, last);
    assert!(shown.contains(&"back".to_owned()));
}
