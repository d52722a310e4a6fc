//! The index behind the search.
//!
//! Each message's text is kept once more in the form in which it is searched
//! ([`crate::folding::searchable`]), and a full-text table (SQLite's FTS5) says in which messages
//! each *gram* is: three letters in a row, or, in scripts that put a word or a syllable into a
//! character, one and two characters. A text that contains a word has all of the word's grams, so
//! the index narrows a search down to a few messages, and the texts decide.
//!
//! Triggers keep both in the transaction that changes a message. A home from before this index has
//! its messages in a *backlog*, which is worked off between other things, newest first; until then
//! the search reads what is left of it.
//!
//! **Elsewhere**: what is asked, and the search itself, are in [`super`].
//!
//! **Always**: which grams a text has never changes from version to version: the index is told
//! them when a text is added, and again when it is deleted, and must recognise them. Deleted text is
//! overwritten, in the copy and in the index (`secure-delete`).

use rusqlite::{Connection, OptionalExtension as _, Transaction, functions::FunctionFlags};
use waxwing_protocol::time::{Span, Time};

use crate::{
    folding::searchable,
    memory::{Memory, Remembered},
    store::StoreError,
    turn::{Fault, Turn},
};

/// The index, and the backlog with what is there.
pub(crate) const SCHEMA: &str = "
DROP TRIGGER entry_text_added;
DROP TRIGGER entry_text_deleted;
DROP TRIGGER entry_text_changed;
CREATE TABLE entry_search (
    id INTEGER PRIMARY KEY,          -- the entry's
    folded TEXT NOT NULL
);
CREATE VIRTUAL TABLE entry_gram USING fts5 (
    grams, content = '', columnsize = 0, detail = none, tokenize = 'ascii'
);
INSERT INTO entry_gram (entry_gram, rank) VALUES ('secure-delete', 1);
CREATE TABLE search_backlog (
    below INTEGER NOT NULL           -- entries with smaller ids are not in the index, perhaps
);
INSERT INTO search_backlog SELECT coalesce(max(id), 0) + 1 FROM entry;
CREATE TRIGGER entry_search_added AFTER INSERT ON entry_search BEGIN
    INSERT INTO entry_gram (rowid, grams) VALUES (new.id, grams_of(new.folded));
END;
CREATE TRIGGER entry_search_deleted AFTER DELETE ON entry_search BEGIN
    INSERT INTO entry_gram (entry_gram, rowid, grams)
        VALUES ('delete', old.id, grams_of(old.folded));
END;
CREATE TRIGGER entry_added_to_search AFTER INSERT ON entry WHEN new.text != '' BEGIN
    INSERT INTO entry_search (id, folded) VALUES (new.id, searchable(new.text));
END;
CREATE TRIGGER entry_deleted_from_search AFTER DELETE ON entry WHEN old.text != '' BEGIN
    DELETE FROM entry_search WHERE id = old.id;
END;
CREATE TRIGGER entry_changed_in_search AFTER UPDATE OF text ON entry WHEN old.text IS NOT new.text
BEGIN
    DELETE FROM entry_search WHERE id = old.id;
    INSERT INTO entry_search (id, folded) SELECT new.id, searchable(new.text) WHERE new.text != '';
END;
";

/// Entries of the backlog that are worked off in one transaction…
const AT_ONCE: u32 = 1_000;

/// …and bytes of text, after which no more are.
const BYTES_AT_ONCE: usize = 256 << 10;

/// Between two parts of the backlog, in which others get their turn.
const PAUSE: Span = Span(50);

/// Grams of one word that are looked up. More do not narrow it down any further.
const GRAMS: usize = 32;

/// What SQLite must know to keep the index.
pub(crate) fn add_functions(connection: &Connection) -> rusqlite::Result<()> {
    let flags = FunctionFlags::SQLITE_UTF8
        | FunctionFlags::SQLITE_DETERMINISTIC
        | FunctionFlags::SQLITE_INNOCUOUS;
    connection.create_scalar_function("searchable", 1, flags, |arguments| {
        Ok(searchable(arguments.get_raw(0).as_str()?))
    })?;
    connection.create_scalar_function("grams_of", 1, flags, |arguments| {
        Ok(grams(arguments.get_raw(0).as_str()?, usize::MAX).join(" "))
    })
}

/// The question for the index: messages that have all grams of these words. `None` where no word
/// has any.
pub(super) fn question(words: &[String]) -> Option<String> {
    let grams = words.iter().flat_map(|word| grams(word, GRAMS));
    let quoted: Vec<String> = grams.map(|gram| format!("\"{gram}\"")).collect();
    (!quoted.is_empty()).then(|| quoted.join(" "))
}

/// Entries with smaller ids may be missing in the index.
pub(super) fn complete_from(tx: &Transaction<'_>) -> Result<i64, StoreError> {
    let below = tx
        .prepare_cached("SELECT below FROM search_backlog")?
        .query_row([], |row| row.get(0))
        .optional()?;
    Ok(below.unwrap_or(0))
}

/// The grams of a folded text, the first so many.
fn grams(folded: &str, limit: usize) -> Vec<String> {
    let mut grams = Vec::new();
    for run in folded.split_whitespace() {
        let (mut two_back, mut one_back) = (None, None);
        for c in run.chars() {
            if grams.len() >= limit {
                return grams;
            }
            if is_dense(c) {
                grams.push(gram([None, None, Some(c)]));
            }
            match (two_back, one_back) {
                (_, Some(before)) if is_dense(c) && is_dense(before) => {
                    grams.push(gram([None, one_back, Some(c)]));
                }
                (Some(first), Some(second))
                    if !is_dense(c) && !is_dense(first) && !is_dense(second) =>
                {
                    grams.push(gram([two_back, one_back, Some(c)]));
                }
                _ => {}
            }
            two_back = one_back;
            one_back = Some(c);
        }
    }
    grams
}

/// Characters as one word of the index: signs stand for themselves by a code for private use,
/// because a word of the index ends at an ASCII sign.
fn gram(characters: [Option<char>; 3]) -> String {
    let in_index = |c: char| {
        if c.is_ascii() && !c.is_ascii_alphanumeric() {
            char::from_u32(0xE000 + u32::from(c)).unwrap_or(c)
        } else {
            c
        }
    };
    characters.into_iter().flatten().map(in_index).collect()
}

/// Whether one character says as much as a syllable or a word: Han, kana, Hangul, symbols and
/// emoji. (Never changed; see the module's *Always*.)
const fn is_dense(c: char) -> bool {
    matches!(c as u32, 0x1100..=0x11FF | 0x2000..=0xA4CF | 0xAC00..=0xFFFF | 0x16F00..=0x0010_FFFF)
}

/// How far this process is with the backlog.
#[derive(Default)]
struct Indexing {
    is_done: bool,
    rests_until: Option<Time>,
}

impl Remembered for Indexing {}

/// Works off a part of the backlog, if there is one.
pub(crate) fn pump(turn: &mut Turn<'_>) -> Result<(), Fault> {
    let now = turn.now;
    let indexing = turn.memory.states.get_mut::<Indexing>();
    if indexing.is_done || indexing.rests_until.is_some_and(|until| now < until) {
        return Ok(());
    }
    let is_done = !work_off(turn.tx)?;
    *turn.memory.states.get_mut() = Indexing {
        is_done,
        rests_until: Some(now.after(PAUSE)),
    };
    Ok(())
}

/// When the next part of the backlog is due.
pub(crate) fn next_due(memory: &Memory) -> Option<Time> {
    let indexing = memory.states.get::<Indexing>()?;
    indexing.rests_until.filter(|_| !indexing.is_done)
}

/// Works off a part of the backlog; whether there may be more.
fn work_off(tx: &Transaction<'_>) -> Result<bool, StoreError> {
    let below: Option<i64> = tx
        .prepare_cached("SELECT below FROM search_backlog")?
        .query_row([], |row| row.get(0))
        .optional()?;
    let Some(below) = below else {
        return Ok(false);
    };
    let mut next = None;
    {
        let mut statement = tx
            .prepare_cached("SELECT id, text FROM entry WHERE id < ?1 ORDER BY id DESC LIMIT ?2")?;
        let mut add = tx.prepare_cached(
            "INSERT OR IGNORE INTO entry_search (id, folded) VALUES (?1, searchable(?2))",
        )?;
        let mut rows = statement.query((below, AT_ONCE))?;
        let mut bytes = 0;
        while let Some(row) = rows.next()? {
            let id: i64 = row.get(0)?;
            let text = row.get_ref(1)?.as_str().unwrap_or_default();
            if !text.is_empty() {
                add.execute((id, text))?;
            }
            next = Some(id);
            bytes += text.len();
            if bytes >= BYTES_AT_ONCE {
                break;
            }
        }
    }
    if let Some(next) = next {
        tx.execute("UPDATE search_backlog SET below = ?1", [next])?;
        return Ok(true);
    }
    // What the search used before.
    tx.execute_batch("DELETE FROM search_backlog; DROP TABLE entry_text;")?;
    Ok(false)
}

#[cfg(test)]
mod tests {
    use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng as _};

    use super::*;
    use crate::{Config, Effect, Engine, Event, store::Store};

    /// The index would not recognise what it was told before.
    #[test]
    fn the_grams_of_a_text_never_change() {
        for (text, wanted) in [
            ("hone", vec!["hon", "one"]),
            ("hi a用", vec!["用"]),
            (
                "我用signal",
                vec!["我", "用", "我用", "sig", "ign", "gna", "nal"],
            ),
            ("c++", vec!["c\u{e02b}\u{e02b}"]),
            ("👍", vec!["👍"]),
            ("학교에", vec!["학", "교", "학교", "에", "교에"]),
            ("กาแฟ", vec!["กาแ", "าแฟ"]),
            ("", vec![]),
        ] {
            assert_eq!(grams(text, usize::MAX), wanted, "{text}");
        }
    }

    #[test]
    fn a_home_from_before_the_index_starts_at_once_and_catches_up() {
        const MESSAGES: u32 = 2_500;
        let mut store = Store::open_in_memory().unwrap();
        store
            .transaction(|tx| {
                tx.execute(
                    "INSERT INTO conversation (id, address, display, written_to, started_at)
                     VALUES (?1, '', '', 0, 0)",
                    [[1_u8; 16]],
                )?;
                for number in 0..MESSAGES {
                    tx.execute(
                        "INSERT INTO entry (conversation, place, kind, address, at, text)
                         VALUES (?1, ?2, 2, '', 0, ?3)",
                        ([1_u8; 16], number, format!("message {number}")),
                    )?;
                }
                tx.execute("DELETE FROM entry_search", [])?;
                tx.execute("UPDATE search_backlog SET below = ?1", [MESSAGES + 1])?;
                Ok::<_, StoreError>(())
            })
            .unwrap();
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        let mut now = Time(1_800_000_000_000);
        let mut engine = Engine::open(store, &Config::default(), now, &mut rng).unwrap();
        let indexed = |engine: &Engine| -> u32 {
            let sql = "SELECT count(*) FROM entry_search";
            let connection = engine.store().connection();
            connection.query_row(sql, [], |row| row.get(0)).unwrap()
        };
        assert!(indexed(&engine) <= AT_ONCE);
        let mut timers = 0;
        loop {
            let effects = std::iter::from_fn(|| engine.poll_effect());
            let timer = effects.filter_map(|effect| match effect {
                Effect::SetTimer(at) => Some(at),
                _ => None,
            });
            let Some(at) = timer.last() else { break };
            assert!(at >= now.after(PAUSE), "others get their turn");
            now = at;
            timers += 1;
            engine.handle(now, &mut rng, Event::TimeCame).unwrap();
        }
        assert_eq!((indexed(&engine), timers), (MESSAGES, 3));
        let left = "SELECT count(*) FROM sqlite_master WHERE name LIKE 'entry_text%'";
        let connection = engine.store().connection();
        let left: u32 = connection.query_row(left, [], |row| row.get(0)).unwrap();
        assert_eq!(left, 0);
    }

    #[test]
    fn a_long_word_asks_for_few_grams() {
        let word = "x".repeat(500);
        assert!(grams(&word, GRAMS).len() <= GRAMS + 1);
    }
}
