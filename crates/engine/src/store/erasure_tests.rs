//! Tests that deleted data is in no file any more.
//!
//! The stores here are not encrypted, so that their pages can be searched directly: page for
//! page they hold what an encrypted store holds under its key.

use std::{collections::BTreeSet, fs, path::Path};

use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng as _};
use rusqlite::{Connection, OpenFlags};
use sha2::{Digest as _, Sha256};
use waxwing_protocol::{
    ids::AccountId,
    time::{Span, Time},
};

use super::{Store, StoreError, Transaction};
use crate::{
    Config, Engine, Event,
    api::{ConversationId, Direction, MessageId, MessageState},
    conversation::history::{self, NewMessage},
    message::{
        amendments::{self, Amendment, Amends},
        expiry,
    },
    outbox,
    settings::{self, Setting},
};

const BEGINS: Time = Time(1_800_000_000_000);
const HERE: ConversationId = ConversationId::from_bytes([1; 16]);
const AUTHOR: AccountId = AccountId([3; 32]);
const MESSAGES: u16 = 600;

/// A store in files that can be read without a key.
fn in_clear(path: &Path) -> Store {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE;
    let connection = Connection::open_with_flags(path, flags).unwrap();
    Store::prepare(connection, true, &crate::migrations::TABLE_MAKING).unwrap()
}

fn id(number: u16) -> MessageId {
    let mut bytes = [0; 32];
    bytes[..2].copy_from_slice(&number.to_be_bytes());
    MessageId::from_bytes(bytes)
}

/// A word that stands nowhere else, and shares no beginning with others.
fn word(number: u16) -> String {
    let hash = Sha256::digest(number.to_be_bytes());
    data_encoding::HEXLOWER.encode(&hash[..16])
}

/// The words of which something is in a file of the folder.
fn found(folder: &Path, numbers: impl IntoIterator<Item = u16>) -> BTreeSet<u16> {
    let files: Vec<Vec<u8>> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| fs::read(entry.unwrap().path()).unwrap())
        .collect();
    let mut tails = BTreeSet::new();
    for file in &files {
        tails.extend(file.windows(16).filter(|window| {
            window
                .iter()
                .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
        }));
    }
    let is_there = |number: &u16| {
        let word = word(*number);
        tails.contains(&word.as_bytes()[16..])
    };
    numbers.into_iter().filter(is_there).collect()
}

fn add(tx: &Transaction<'_>, number: u16, expires_after: Option<u32>) {
    // Of many lengths, so that pages split and are filled again.
    let text = format!(
        "{} {}",
        "x".repeat(usize::from(number) * 37 % 1_900),
        word(number)
    );
    let own = number.is_multiple_of(2);
    let added = history::add_message(
        tx,
        BEGINS,
        &NewMessage {
            id: id(number),
            conversation: HERE,
            account: AUTHOR,
            address: "bob@example.org",
            verified: true,
            direction: if own { Direction::Out } else { Direction::In },
            text: &text,
            markdown: false,
            content: Some(text.as_bytes()),
            proof: None,
            reply_to: None,
            sent_at: BEGINS,
            state: MessageState::Accepted,
            expires_after,
            fills: None,
        },
    );
    assert!(added.unwrap());
    if own {
        outbox::add(tx, BEGINS, HERE, Some(id(number)), text.as_bytes(), None).unwrap();
    }
}

struct Scene {
    folder: tempfile::TempDir,
    engine: Engine,
    rng: ChaCha20Rng,
    now: Time,
}

impl Scene {
    /// A conversation whose messages of uneven tens disappear after a minute.
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut store = in_clear(&folder.path().join("store.db"));
        store
            .transaction(|tx| {
                settings::write(tx, Setting::RelayUrl, "wss://relay.example".to_owned())?;
                tx.execute(
                    "INSERT INTO conversation (id, address, display, written_to, started_at)
                     VALUES (?1, 'bob@example.org', 'bob@example.org', 1, 0)",
                    [HERE.as_bytes()],
                )?;
                Ok::<_, StoreError>(())
            })
            .unwrap();
        for number in 0..MESSAGES {
            store
                .transaction(|tx| {
                    add(tx, number, disappears(number).then_some(60));
                    Ok::<_, StoreError>(())
                })
                .unwrap();
        }
        let gone: Vec<MessageId> = (0..MESSAGES).filter(|n| disappears(*n)).map(id).collect();
        store
            .transaction(|tx| expiry::start(tx, BEGINS, HERE, &gone))
            .unwrap();
        let mut rng = ChaCha20Rng::from_seed([5; 32]);
        let engine = Engine::open(store, &Config::default(), BEGINS, &mut rng).unwrap();
        Self {
            folder,
            engine,
            rng,
            now: BEGINS,
        }
    }

    fn time_comes(&mut self, span: Span) {
        self.now = self.now.after(span);
        self.engine
            .handle(self.now, &mut self.rng, Event::TimeCame)
            .unwrap();
    }

    fn is_log_empty(&self) -> bool {
        let log = self.folder.path().join("store.db-wal");
        fs::metadata(log).is_ok_and(|metadata| metadata.len() == 0)
    }
}

const fn disappears(number: u16) -> bool {
    number / 10 % 2 == 1
}

#[test]
fn nothing_of_what_disappeared_is_in_any_file() {
    let mut scene = Scene::new();
    let folder = scene.folder.path().to_owned();
    let all: BTreeSet<u16> = (0..MESSAGES).collect();
    assert_eq!(found(&folder, 0..MESSAGES), all);
    // As many rounds as it takes to delete all, and then the time in which the log may stay.
    for _ in 0..4 {
        scene.time_comes(Span::minutes(1));
    }
    scene.time_comes(Span::seconds(5));
    assert!(scene.is_log_empty());
    let kept: BTreeSet<u16> = (0..MESSAGES)
        .filter(|number| !disappears(*number))
        .collect();
    assert_eq!(found(&folder, 0..MESSAGES), kept);
}

#[test]
fn nothing_of_what_was_taken_back_is_in_any_file() {
    let mut scene = Scene::new();
    let folder = scene.folder.path().to_owned();
    let taken_back = |number: u16| number.is_multiple_of(3);
    let mut store = scene.engine.into_store();
    store
        .transaction(|tx| {
            for number in (0..MESSAGES).filter(|number| taken_back(*number)) {
                amendments::add(
                    tx,
                    &Amendment {
                        conversation: HERE,
                        id: id(number + 10_000),
                        target: id(number),
                        account: AUTHOR,
                        address: "bob@example.org",
                        own: false,
                        sent_at: BEGINS,
                        amends: Amends::TakenBack,
                        signed: None,
                    },
                )?;
            }
            Ok::<_, StoreError>(())
        })
        .unwrap();
    scene.engine = Engine::open(store, &Config::default(), scene.now, &mut scene.rng).unwrap();
    scene.time_comes(Span::seconds(5));
    assert!(scene.is_log_empty());
    let kept: BTreeSet<u16> = (0..MESSAGES)
        .filter(|number| !taken_back(*number))
        .collect();
    assert_eq!(found(&folder, 0..MESSAGES), kept);
}

#[test]
fn a_draft_that_was_given_up_is_in_no_file() {
    let mut scene = Scene::new();
    let folder = scene.folder.path().to_owned();
    let mut store = scene.engine.into_store();
    let mut draft = |text: &str| {
        store
            .transaction(|tx| outbox::add_draft(tx, BEGINS, HERE, b"key", text.as_bytes()))
            .unwrap();
    };
    draft(&word(7_001));
    draft(&word(7_002));
    draft("");
    // The relay had taken the first.
    scene.engine = Engine::open(store, &Config::default(), scene.now, &mut scene.rng).unwrap();
    scene.time_comes(Span::seconds(5));
    assert!(found(&folder, [7_001, 7_002]).is_empty());
}

#[test]
fn the_log_is_emptied_in_time_without_waking_an_idle_device() {
    let mut scene = Scene::new();
    // What opening and adding wrote.
    scene.time_comes(Span::seconds(5));
    assert!(scene.is_log_empty());
    while scene.engine.poll_effect().is_some() {}
    for _ in 0..3 {
        scene.time_comes(Span::seconds(1));
        assert!(scene.is_log_empty());
    }
    // The next time that something is to be done is that of the messages.
    let due = std::iter::from_fn(|| scene.engine.poll_effect()).find_map(|effect| match effect {
        crate::Effect::SetTimer(at) => Some(at),
        _ => None,
    });
    assert!(
        due.is_none_or(|at| at >= BEGINS.after(Span::minutes(1))),
        "{due:?}"
    );
}

#[test]
fn a_log_left_by_a_killed_process_is_emptied_on_opening() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    let mut store = in_clear(&path);
    store
        .transaction(|tx| {
            tx.execute_batch("CREATE TABLE t (x)")
                .map_err(StoreError::from)
        })
        .unwrap();
    let log = folder.path().join("store.db-wal");
    let left = (fs::read(&path).unwrap(), fs::read(&log).unwrap());
    assert!(!left.1.is_empty());
    drop(store);
    fs::write(&path, left.0).unwrap();
    fs::write(&log, left.1).unwrap();
    let store = in_clear(&path);
    assert_eq!(fs::metadata(&log).unwrap().len(), 0);
    drop(store);
}
