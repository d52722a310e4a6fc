//! People on a hostile relay, and what they are shown.

use serde_json::Value;
use waxwing_engine::EventRefused;
use waxwing_engine::api::{
    Account, Alarm, Decision, Entry, EventKind, MessageId, Notice, Of, Request, Response,
    SafetyNumber, Verify,
};
use waxwing_system_tests::{HostileRelay, PersonId, World, WorldOptions, scenes::alice_and_bob_on};

/// A world with a relay that may lie.
pub type Scene = World<HostileRelay>;

/// Nobody yet.
pub fn empty(seed: u64) -> Scene {
    World::new(seed, HostileRelay::default(), WorldOptions::default())
}

/// Alice and Bob, who have not written to each other.
pub fn alice_and_bob(seed: u64) -> (Scene, PersonId, PersonId) {
    alice_and_bob_on(HostileRelay::default(), seed, WorldOptions::default())
}

/// And Mallory, who works for the relay.
pub fn with_mallory(seed: u64) -> (Scene, PersonId, PersonId, PersonId) {
    let (mut scene, alice, bob) = alice_and_bob(seed);
    let mallory = scene.add_registered("mallory@example.org");
    (scene, alice, bob, mallory)
}

/// What somebody's status warns of, until it is dismissed.
pub fn alarms(scene: &mut Scene, id: PersonId) -> Vec<Alarm> {
    scene.status(id).alarms
}

/// Whether an alarm of this code stands, with these words in its facts.
pub fn is_alarmed(scene: &mut Scene, id: PersonId, code: &str, words: &str) -> bool {
    alarms(scene, id).iter().any(|alarm| {
        alarm.code == code && Value::from(alarm.facts.clone()).to_string().contains(words)
    })
}

/// The codes of all warnings that somebody was told.
pub fn warnings(scene: &Scene, id: PersonId) -> Vec<String> {
    scene
        .person(id)
        .notices
        .iter()
        .filter_map(|notice| match notice {
            Notice::Warning(warning) => Some(warning.problem.code.clone()),
            _ => None,
        })
        .collect()
}

/// The sentence that stands at a message which is not sent.
pub fn problem_of(scene: &mut Scene, of: PersonId, with: PersonId, id: MessageId) -> String {
    scene
        .messages(of, with)
        .into_iter()
        .find(|message| message.id == id)
        .and_then(|message| message.problem)
        .map(|problem| problem.code)
        .unwrap_or_default()
}

/// Somebody's account.
pub fn account(scene: &mut Scene, id: PersonId) -> Account {
    match scene.command(id, Request::Account).unwrap() {
        Response::Account(account) => *account,
        other => panic!("{other:?}"),
    }
}

/// The events of somebody's conversation.
pub fn events(scene: &mut Scene, of: PersonId, with: PersonId) -> Vec<EventKind> {
    scene
        .history(of, with)
        .into_iter()
        .filter_map(|entry| match entry {
            Entry::Event(event) => Some(event.event),
            Entry::Message(_) | Entry::Gap(_) => None,
        })
        .collect()
}

/// The safety number that somebody sees.
pub fn safety_number(scene: &mut Scene, of: PersonId, with: PersonId) -> SafetyNumber {
    let request = Request::SafetyNumber(Of {
        of: scene.person(with).address.clone(),
    });
    match scene.command(of, request).unwrap() {
        Response::SafetyNumber(number) => *number,
        other => panic!("{other:?}"),
    }
}

/// Somebody says what they make of a safety number.
pub fn verify(
    scene: &mut Scene,
    of: PersonId,
    with: PersonId,
    decision: Decision,
    scanned: Option<String>,
) -> Result<SafetyNumber, EventRefused> {
    let request = Request::Verify(Verify {
        of: scene.person(with).address.clone(),
        decision,
        scanned,
    });
    match scene.command(of, request)? {
        Response::SafetyNumber(number) => Ok(*number),
        other => panic!("{other:?}"),
    }
}
