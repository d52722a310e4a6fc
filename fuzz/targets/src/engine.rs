//! A registered engine, and a relay that may say anything to it.
//!
//! An input is a play, one step after the other, each a letter with what it needs:
//!
//! | letter | then | step |
//! | --- | --- | --- |
//! | `g` | number | the genuine frame of that number comes |
//! | `p` | number, length, changes of 3 bytes | the same frame, changed as for [`crate::mls`] |
//! | `d` | number, length, bytes | the genuine delivery of that number comes with another body |
//! | `f` | link, length (2), bytes | a frame comes that the relay made up |
//! | `o`, `c` | link | a link is opened, or closed |
//! | `t` | seconds (2) | time passes, and the timer comes |
//! | `w` | | the person writes a message |
//! | `r` | | the process ends at once and starts again |
//!
//! Genuine frames are those that a relay sent to this engine from this state on.
//!
//! **Always**: every input finds the same store. No step is refused, whatever came; and
//! nobody's words are shown but those that were written, each once.

use std::{collections::BTreeMap, path::Path, sync::LazyLock};

use bytes::Bytes;
use prost::Message as _;
use rand_chacha::{
    ChaCha20Rng,
    rand_core::{CryptoRng, SeedableRng as _},
};
use waxwing_engine::{
    Config, Effect, Engine, Event, LinkKind,
    api::{Entry, History, Request, Response, SendText},
    store::{Store, StoreKey},
};
use waxwing_protocol::{
    Exporter, frame, pb,
    pb::relay_frame::Body,
    time::{Span, Time},
};
use waxwing_system_tests::{
    LinkId, PersonId, RealRelay, RelayEffect, RelayPort, World, WorldOptions,
};

use crate::{script::Script, seeds::Seeds};

const BOB: &str = "bob@example.org";
const OWN_TEXT: &str = "from the person herself";
/// Steps of one play, at most.
const STEPS: usize = 64;

/// A relay whose words are written down.
struct Recorded {
    relay: RealRelay,
    said: Vec<(LinkId, pb::RelayFrame)>,
}

impl RelayPort for Recorded {
    fn opened(&mut self, now: Time, rng: &mut dyn CryptoRng, link: LinkId, exporter: Exporter) {
        self.relay.opened(now, rng, link, exporter);
    }

    fn closed(&mut self, now: Time, link: LinkId) {
        self.relay.closed(now, link);
    }

    fn frame(&mut self, now: Time, rng: &mut dyn CryptoRng, link: LinkId, frame: pb::ClientFrame) {
        self.relay.frame(now, rng, link, frame);
    }

    fn tick(&mut self, now: Time) {
        self.relay.tick(now);
    }

    fn posts(&self) -> u64 {
        RelayPort::posts(&self.relay)
    }

    fn waiting(&self) -> usize {
        RelayPort::waiting(&self.relay)
    }

    fn poll_effect(&mut self) -> Option<RelayEffect> {
        let effect = self.relay.poll_effect();
        if let Some(RelayEffect::Send(link, frame)) = &effect {
            self.said.push((*link, frame.clone()));
        }
        effect
    }

    fn wakes_at(&mut self) -> Option<Time> {
        self.relay.wakes_at()
    }

    fn woken(&mut self, now: Time) {
        self.relay.woken(now);
    }
}

/// Where each play begins.
struct Scene {
    store: Vec<u8>,
    now: Time,
    genuine: Vec<(LinkKind, pb::RelayFrame)>,
    /// What bob wrote.
    texts: Vec<String>,
}

static SCENE: LazyLock<Scene> = LazyLock::new(|| {
    let relay = Recorded {
        relay: RealRelay::default(),
        said: Vec::new(),
    };
    let options = WorldOptions {
        stores_on_disk: true,
        ..WorldOptions::default()
    };
    let mut world = World::new(1, relay, options);
    let alice = world.add_registered("alice@example.org");
    let bob = world.add_registered(BOB);
    let mut texts = Vec::new();
    let write = |world: &mut World<Recorded>, texts: &mut Vec<String>, from: PersonId| {
        let text = format!("number {} of bob", texts.len());
        world.send(from, alice, &text);
        texts.push(text);
        world.run_for(Span::seconds(2));
    };
    write(&mut world, &mut texts, bob);
    world.send(alice, bob, "number 0 of alice");
    world.run_for(Span::seconds(10));
    world.crash(alice);
    let store = world.copy_store(alice);
    let now = world.now;
    // More than make a new epoch due.
    for _ in 0..8 {
        write(&mut world, &mut texts, bob);
    }
    world.run_for(Span::hours(25));
    write(&mut world, &mut texts, bob);
    world.set_online(bob, false);
    let before = world.relay.said.len();
    world.start(alice);
    world.run_for(Span::seconds(10));

    let said = world.relay.said.split_off(before);
    let mailbox = said
        .iter()
        .find(|(_, frame)| matches!(frame.body, Some(Body::LoggedIn(_))))
        .map(|(link, _)| *link);
    assert!(mailbox.is_some(), "alice logs in again");
    let genuine = said
        .into_iter()
        .map(|(link, frame)| {
            let kind = if Some(link) == mailbox {
                LinkKind::Mailbox
            } else {
                LinkKind::Posting
            };
            (kind, frame)
        })
        .collect();
    Scene {
        store,
        now,
        genuine,
        texts,
    }
});

struct Play<'a> {
    path: &'a Path,
    engine: Option<Engine>,
    rng: ChaCha20Rng,
    now: Time,
    written: usize,
}

impl Play<'_> {
    fn start(&mut self) {
        self.engine = None;
        let store = Store::open(self.path, &StoreKey::from_bytes([7; 32]));
        let store = store.expect("no play damages the store");
        let engine = Engine::open(store, &Config::default(), self.now, &mut self.rng);
        self.engine = Some(engine.expect("an engine takes up where it was"));
        self.drain();
    }

    fn event(&mut self, event: Event) -> Option<Response> {
        let engine = self.engine.as_mut()?;
        let handled = engine.handle(self.now, &mut self.rng, event);
        self.drain();
        match handled {
            Ok(response) => Some(response),
            Err(refused) => panic!("a step is refused: {}", refused.problem),
        }
    }

    /// Effects are many, but not without end.
    fn drain(&mut self) {
        let Some(engine) = self.engine.as_mut() else {
            return;
        };
        for _ in 0..100_000 {
            match engine.poll_effect() {
                None => return,
                Some(Effect::Send { frame, .. }) => {
                    let bytes = Bytes::from(frame.encode_to_vec());
                    assert!(
                        frame::decode_client(bytes).is_ok(),
                        "a relay takes what is sent"
                    );
                }
                Some(_) => {}
            }
        }
        panic!("effects do not end");
    }

    fn comes(&mut self, link: LinkKind, frame: pb::RelayFrame) {
        self.event(Event::FramesReceived {
            link,
            frames: vec![frame],
        });
    }

    fn opened(&mut self, link: LinkKind) {
        let pin = Some(format!("sha256/{}=", "A".repeat(43)));
        self.event(Event::LinkOpened {
            link,
            exporter: [3; 32],
            pin,
        });
    }

    /// What of bob's was shown in the end.
    fn end(mut self) -> BTreeMap<String, usize> {
        let of = BOB.to_owned();
        let history = History {
            of,
            limit: None,
            before: None,
            search: None,
            ..Default::default()
        };
        let Some(Response::History(waxwing_engine::api::HistoryPage { entries, .. })) =
            self.event(Event::Command(Request::History(history)))
        else {
            panic!("the conversation is there");
        };
        let mut shown: BTreeMap<String, usize> = BTreeMap::new();
        for entry in entries {
            if let Entry::Message(message) = entry {
                *shown.entry(message.text).or_default() += 1;
            }
        }
        assert_eq!(shown.remove(OWN_TEXT).unwrap_or_default(), self.written);
        assert_eq!(shown.remove("number 0 of alice"), Some(1));
        for (text, times) in &shown {
            assert!(
                SCENE.texts.contains(text),
                "words that nobody wrote: {text:?}"
            );
            assert_eq!(*times, 1, "{text:?} is shown once");
        }
        shown
    }
}

/// What a relay says to a registered engine.
pub fn engine(bytes: &[u8]) {
    play(bytes);
}

fn play(bytes: &[u8]) -> BTreeMap<String, usize> {
    let scene = &*SCENE;
    let folder = folder();
    let path = folder.path().join("alice.waxwing");
    std::fs::write(&path, &scene.store).expect("a place for a store");
    let mut play = Play {
        path: &path,
        engine: None,
        rng: ChaCha20Rng::from_seed([1; 32]),
        now: scene.now,
        written: 0,
    };
    play.start();
    play.opened(LinkKind::Mailbox);
    play.opened(LinkKind::Posting);
    let mut script = Script(bytes);
    for _ in 0..STEPS {
        if step(&mut play, scene, &mut script).is_none() {
            break;
        }
    }
    play.end()
}

fn step(play: &mut Play<'_>, scene: &Scene, script: &mut Script<'_>) -> Option<()> {
    match script.byte()? {
        b'g' => {
            let (link, frame) = genuine(script, scene)?;
            play.comes(link, frame);
        }
        b'p' => {
            let (link, frame) = genuine(script, scene)?;
            let mut bytes = frame.encode_to_vec();
            let length = script.byte()?;
            for change in script.take(usize::from(length)).chunks_exact(3) {
                if let [low, high, xor] = change
                    && let Some(at) =
                        usize::from(u16::from_le_bytes([*low, *high])).checked_rem(bytes.len())
                    && let Some(byte) = bytes.get_mut(at)
                {
                    *byte ^= xor;
                }
            }
            if let Ok(frame) = frame::decode_relay(bytes.into()) {
                play.comes(link, frame);
            }
        }
        b'd' => {
            let (link, mut frame) = genuine(script, scene)?;
            let length = script.byte()?;
            let body = Bytes::copy_from_slice(script.take(usize::from(length)));
            if let Some(Body::Deliver(deliver)) = &mut frame.body {
                deliver.body = body;
            }
            play.comes(link, frame);
        }
        b'f' => {
            let link = link(script)?;
            let length = script.short()?;
            let bytes = Bytes::copy_from_slice(script.take(usize::from(length)));
            if let Ok(frame) = frame::decode_relay(bytes) {
                play.comes(link, frame);
            }
        }
        b'o' => {
            let link = link(script)?;
            play.opened(link);
        }
        b'c' => {
            let link = link(script)?;
            play.event(Event::LinkClosed { link });
        }
        b't' => {
            play.now = play.now.after(Span::seconds(u64::from(script.short()?)));
            play.event(Event::TimeCame);
        }
        b'w' => {
            let (to, text) = (BOB.to_owned(), OWN_TEXT.to_owned());
            play.event(Event::Command(Request::Send(SendText {
                to,
                text,
                ..SendText::default()
            })));
            play.written += 1;
        }
        b'r' => {
            play.start();
        }
        _ => {}
    }
    Some(())
}

/// A folder in memory, where there is one: every step is synchronised.
fn folder() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm")
        .or_else(|_| tempfile::tempdir())
        .expect("a temporary folder")
}

fn link(script: &mut Script<'_>) -> Option<LinkKind> {
    Some(if script.byte()? % 2 == 0 {
        LinkKind::Mailbox
    } else {
        LinkKind::Posting
    })
}

fn genuine(script: &mut Script<'_>, scene: &Scene) -> Option<(LinkKind, pb::RelayFrame)> {
    let number = usize::from(script.byte()?);
    scene
        .genuine
        .get(number.checked_rem(scene.genuine.len())?)
        .cloned()
}

/// For `engine`.
pub fn seeds() -> Seeds {
    let count = u8::try_from(SCENE.genuine.len()).unwrap_or(u8::MAX);
    let all: Vec<u8> = (0..count).flat_map(|number| [b'g', number]).collect();
    let backwards: Vec<u8> = (0..count).rev().flat_map(|number| [b'g', number]).collect();
    // Not the greeting: with another log id in it the client asks whose log that is, and
    // the answers that were recorded have the numbers of other requests.
    let is_hello = |number: &u8| {
        let frame = SCENE.genuine.get(usize::from(*number));
        matches!(frame, Some((_, frame)) if matches!(frame.body, Some(Body::Hello(_))))
    };
    let changed: Vec<u8> = (0..count)
        .filter(|number| !is_hello(number))
        .flat_map(|number| [b'p', number, 3, 100, 0, 1])
        .collect();
    let mut seeds: Seeds = vec![
        ("all".into(), all.clone()),
        ("all_twice".into(), [all.as_slice(), &all].concat()),
        (
            "backwards".into(),
            [b"g\0g\x01".as_slice(), &backwards, &all].concat(),
        ),
        ("changed".into(), [changed.as_slice(), &all].concat()),
        (
            "restarted".into(),
            [all.as_slice(), b"wro\0o\x01", &all].concat(),
        ),
        (
            "later".into(),
            [all.as_slice(), b"c\0wt\xff\xffo\0t\x80\0", &all].concat(),
        ),
        (
            "other_bodies".into(),
            (0..count)
                .flat_map(|number| [b'd', number, 4, 0, 1, 0, 2])
                .collect(),
        ),
    ];
    for (name, bytes) in crate::seeds::relay_frames() {
        for (link, suffix) in [(0, "mailbox"), (1, "posting")] {
            if bytes.len() > 2000 && link == 0 {
                continue;
            }
            let mut script = vec![b'g', 0, b'g', 1, b'f', link];
            script.extend(u16::try_from(bytes.len()).unwrap_or(u16::MAX).to_le_bytes());
            script.extend_from_slice(&bytes);
            seeds.push((format!("{name}_{suffix}"), script));
        }
    }
    seeds
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_genuine_frames_alone_show_all_that_was_written() {
        for (name, script) in seeds() {
            let shown = play(&script).len();
            match name.as_str() {
                "all" | "all_twice" | "changed" | "restarted" => {
                    assert_eq!(shown, SCENE.texts.len(), "{name}");
                }
                _ => assert!(shown >= 1, "{name}"),
            }
        }
    }
}
