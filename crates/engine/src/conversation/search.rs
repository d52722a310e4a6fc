//! Finds words in messages.
//!
//! A full-text index (SQLite's FTS5) follows the entries by triggers, in the transaction that
//! changes them, so that the two never differ; deleted or edited text is overwritten in the
//! index (`secure-delete`). Capitals and accents do not matter, and the last word matches by
//! its beginning.
//!
//! Scripts without spaces between words (Chinese, Japanese, Thai…) have no words for the
//! index. Words in them are searched for in the texts themselves, newest first, as far as
//! [`LOOKED_THROUGH`].
//!
//! **Elsewhere**: [`super::pages`] reads pages.
//!
//! **Always**: what a person types is words, never syntax.

use rusqlite::{ToSql, Transaction};
use waxwing_protocol::time::Time;

use super::{
    pages::{COLUMNS, KnownConversations, complete, read_entry},
    reader::Reader,
};
use crate::{
    api::{ConversationId, Entry, Message},
    store::StoreError,
};

/// The index, filled with what is there.
pub(crate) const SCHEMA: &str = "
CREATE VIRTUAL TABLE entry_text USING fts5 (
    text, content = 'entry', content_rowid = 'id',
    tokenize = 'unicode61 remove_diacritics 2', prefix = '2 3'
);
INSERT INTO entry_text (entry_text, rank) VALUES ('secure-delete', 1);
INSERT INTO entry_text (rowid, text) SELECT id, text FROM entry WHERE text != '';
CREATE TRIGGER entry_text_added AFTER INSERT ON entry WHEN new.text != '' BEGIN
    INSERT INTO entry_text (rowid, text) VALUES (new.id, new.text);
END;
CREATE TRIGGER entry_text_deleted AFTER DELETE ON entry WHEN old.text != '' BEGIN
    INSERT INTO entry_text (entry_text, rowid, text) VALUES ('delete', old.id, old.text);
END;
CREATE TRIGGER entry_text_changed AFTER UPDATE OF text ON entry WHEN old.text IS NOT new.text
BEGIN
    INSERT INTO entry_text (entry_text, rowid, text)
        SELECT 'delete', old.id, old.text WHERE old.text != '';
    INSERT INTO entry_text (rowid, text) SELECT new.id, new.text WHERE new.text != '';
END;
";

/// Texts that are looked through for what the index has no words for.
const LOOKED_THROUGH: i64 = 200_000;

/// Words of one question that count.
const WORDS: usize = 16;

/// What is looked for.
#[derive(Default)]
pub(crate) struct Wanted<'a> {
    /// Words; empty for all.
    pub text: &'a str,
    pub conversation: Option<ConversationId>,
    /// Canonical addresses of its author: any of these.
    pub from: Option<&'a str>,
    pub since: Option<Time>,
    pub until: Option<Time>,
    /// Only what stands before this place of the store.
    pub before: Option<i64>,
}

/// Messages, newest first, and where to go on, if there may be more.
pub(crate) fn search(
    reader: Reader<'_>,
    wanted: &Wanted<'_>,
    limit: u32,
) -> Result<(Vec<Message>, Option<i64>), StoreError> {
    let words = words(wanted.text);
    let indexed = !words.is_empty() && !words.iter().any(|word| has_no_blanks(word));
    let query = indexed.then(|| question(&words));
    // The rows that may be it, newest first; by the index, or all.
    let source = match &query {
        Some(_) => {
            "entry_text JOIN entry ON entry.id = entry_text.rowid
                    WHERE entry_text MATCH ?1 AND entry_text.rowid < ?2"
        }
        None => "entry WHERE ?1 IS NULL AND entry.id < ?2",
    };
    let order = match &query {
        Some(_) => "entry_text.rowid",
        None => "entry.id",
    };
    let before = wanted.before.unwrap_or(i64::MAX);
    let floor = match &query {
        Some(_) => 0,
        None if words.is_empty() => 0,
        None => newest(reader.tx)?
            .min(before)
            .saturating_sub(LOOKED_THROUGH),
    };
    let sql = format!(
        "SELECT {COLUMNS}, entry.id AS number FROM {source} AND entry.kind = 1
           AND entry.taken_back_at IS NULL AND entry.id > ?3
           AND (?4 IS NULL OR entry.conversation = ?4)
           AND (?5 IS NULL OR lower(entry.address) = lower(?5))
           AND (?6 IS NULL OR entry.sent_at >= ?6) AND (?7 IS NULL OR entry.sent_at < ?7)
         ORDER BY {order} DESC"
    );
    let mut statement = reader.tx.prepare_cached(&sql)?;
    let time = |time: Option<Time>| time.map(|time| time.0.cast_signed());
    let parameters: [&dyn ToSql; 7] = [
        &query,
        &before,
        &floor,
        &wanted.conversation.map(|id| *id.as_bytes()),
        &wanted.from,
        &time(wanted.since),
        &time(wanted.until),
    ];
    let mut rows = statement.query(parameters)?;
    let mut found = Vec::new();
    let mut known = KnownConversations::default();
    let mut last = None;
    while let Some(row) = rows.next()? {
        let (entry, amended) = read_entry(row)?;
        let Entry::Message(message) = &entry else {
            continue;
        };
        if !indexed && !contains(&message.text, &words) {
            continue;
        }
        if found.len() >= limit as usize {
            return Ok((found, last));
        }
        last = Some(row.get("number")?);
        if let Entry::Message(message) = complete(reader, &mut known, (entry, amended))? {
            found.push(message);
        }
    }
    Ok((found, None))
}

fn newest(tx: &Transaction<'_>) -> Result<i64, StoreError> {
    Ok(
        tx.query_row("SELECT coalesce(max(id), 0) + 1 FROM entry", [], |row| {
            row.get(0)
        })?,
    )
}

/// What a person typed, as words.
fn words(text: &str) -> Vec<String> {
    let words = text.split(|c: char| !c.is_alphanumeric());
    let words = words.filter(|word| !word.is_empty());
    words.take(WORDS).map(str::to_lowercase).collect()
}

/// For the index: all words, the last also by its beginning. Each is quoted, so that none
/// is syntax.
fn question(words: &[String]) -> String {
    let each: Vec<String> = words.iter().map(|word| format!("\"{word}\"")).collect();
    format!("{}*", each.join(" "))
}

fn contains(text: &str, words: &[String]) -> bool {
    let text = text.to_lowercase();
    words.iter().all(|word| text.contains(word.as_str()))
}

/// Whether a word is of a script that puts no blanks between words.
fn has_no_blanks(word: &str) -> bool {
    word.chars().any(|c| {
        matches!(u32::from(c),
            0x0E00..=0x0EFF // Thai, Lao
            | 0x1000..=0x109F | 0x1780..=0x17FF // Burmese, Khmer
            | 0x3040..=0x30FF | 0x31F0..=0x31FF // Kana
            | 0x3400..=0x4DBF | 0x4E00..=0x9FFF | 0xF900..=0xFAFF // Han
            | 0x20000..=0x3FFFF)
    })
}

#[cfg(test)]
mod tests {
    use waxwing_protocol::ids::AccountId;

    use super::*;
    use crate::{
        api::{Direction, MessageId, MessageState},
        conversation::history::{self, NewMessage},
        hooks::Hooks,
        store::{Store, StoreError},
    };

    const HERE: ConversationId = ConversationId::from_bytes([1; 16]);
    const THERE: ConversationId = ConversationId::from_bytes([2; 16]);

    fn add(tx: &Transaction<'_>, number: u8, conversation: ConversationId, text: &str) {
        let added = history::add_message(
            tx,
            Time(number.into()),
            &NewMessage {
                id: MessageId::from_bytes([number; 32]),
                conversation,
                account: AccountId([3; 32]),
                address: if number.is_multiple_of(2) {
                    "even@example.org"
                } else {
                    "Odd@example.org"
                },
                verified: true,
                direction: Direction::In,
                text,
                markdown: false,
                content: None,
                proof: None,
                reply_to: None,
                sent_at: Time(u64::from(number) * 1_000),
                state: MessageState::Accepted,
                expires_after: None,
                fills: None,
            },
        );
        assert!(added.unwrap());
    }

    fn with_texts(texts: &[&str], work: impl FnOnce(&Transaction<'_>)) {
        let mut store = Store::open_in_memory().unwrap();
        store
            .transaction(|tx| {
                for id in [HERE, THERE] {
                    tx.execute(
                        "INSERT INTO conversation (id, address, display, written_to, started_at)
                         VALUES (?1, '', '', 0, 0)",
                        [id.as_bytes()],
                    )?;
                }
                for (number, text) in texts.iter().enumerate() {
                    let number = u8::try_from(number).unwrap();
                    add(tx, number, if number < 3 { HERE } else { THERE }, text);
                }
                work(tx);
                Ok::<_, StoreError>(())
            })
            .unwrap();
    }

    const fn reader<'a>(tx: &'a Transaction<'a>, hooks: &'a Hooks) -> Reader<'a> {
        Reader { tx, hooks }
    }

    fn found(tx: &Transaction<'_>, wanted: &Wanted<'_>) -> Vec<u8> {
        let (messages, more) = search(reader(tx, &Hooks::default()), wanted, 100).unwrap();
        assert_eq!(more, None);
        messages.iter().map(|one| one.id.as_bytes()[0]).collect()
    }

    fn by(text: &str) -> Wanted<'_> {
        Wanted {
            text,
            ..Wanted::default()
        }
    }

    const TEXTS: [&str; 6] = [
        "The backup is done",
        "Crème brûlée tonight?",
        "backup of the Backups",
        "no such thing",
        "明日は東京へ行きます",
        "quotes \" and * NEAR OR AND NOT ( -",
    ];

    #[test]
    fn words_are_found_without_regard_to_capitals_and_accents() {
        with_texts(&TEXTS, |tx| {
            assert_eq!(found(tx, &by("BACKUP")), [2, 0]);
            assert_eq!(found(tx, &by("done backup")), [0]);
            assert_eq!(found(tx, &by("creme brul")), [1]);
            assert_eq!(found(tx, &by("brul creme")), Vec::<u8>::new());
            assert_eq!(found(tx, &by("nothing")), Vec::<u8>::new());
            assert_eq!(found(tx, &by("東京")), [4]);
        });
    }

    #[test]
    fn what_is_typed_is_never_syntax() {
        with_texts(&TEXTS, |tx| {
            for text in [
                "\"",
                "*",
                "a OR",
                "NEAR(",
                "text:backup",
                "-",
                "'",
                "a* b*",
                "^x",
            ] {
                let _ = search(reader(tx, &Hooks::default()), &by(text), 10).unwrap();
            }
            assert_eq!(found(tx, &by("near or and not")), [5]);
        });
    }

    #[test]
    fn persons_conversations_and_times_narrow_it() {
        with_texts(&TEXTS, |tx| {
            let all = Wanted::default;
            let here = Wanted {
                conversation: Some(HERE),
                ..all()
            };
            assert_eq!(found(tx, &here), [2, 1, 0]);
            let odd = Wanted {
                from: Some("odd@example.org"),
                ..all()
            };
            assert_eq!(found(tx, &odd), [5, 3, 1]);
            let between = Wanted {
                since: Some(Time(2_000)),
                until: Some(Time(4_000)),
                ..all()
            };
            assert_eq!(found(tx, &between), [3, 2]);
        });
    }

    #[test]
    fn it_goes_on_where_it_stopped() {
        with_texts(&TEXTS, |tx| {
            let mut before = None;
            let mut all = Vec::new();
            loop {
                let wanted = Wanted {
                    before,
                    ..Wanted::default()
                };
                let (some, more) = search(reader(tx, &Hooks::default()), &wanted, 2).unwrap();
                all.extend(some.iter().map(|one| one.id.as_bytes()[0]));
                before = more;
                if before.is_none() {
                    break;
                }
            }
            assert_eq!(all, [5, 4, 3, 2, 1, 0]);
        });
    }

    #[test]
    fn nothing_is_left_in_the_index_of_what_was_deleted_or_changed() {
        with_texts(&["aardvark one", "aardvark two"], |tx| {
            tx.execute(
                "UPDATE entry SET text = 'badger' WHERE message = ?1",
                [[0_u8; 32]],
            )
            .unwrap();
            tx.execute("DELETE FROM entry WHERE message = ?1", [[1_u8; 32]])
                .unwrap();
            assert_eq!(found(tx, &by("aardvark")), Vec::<u8>::new());
            assert_eq!(found(tx, &by("badger")), [0]);
            tx.execute_batch(
                "CREATE VIRTUAL TABLE temp.words USING fts5vocab('main', 'entry_text', 'row')",
            )
            .unwrap();
            let words: Vec<String> = tx
                .prepare("SELECT term FROM temp.words")
                .unwrap()
                .query_map([], |row| row.get(0))
                .unwrap()
                .collect::<Result<_, _>>()
                .unwrap();
            assert_eq!(words, ["badger"]);
            let traces: i64 = tx
                .query_row(
                    "SELECT count(*) FROM entry_text_data WHERE instr(block, 'aardv')",
                    [],
                    |row| row.get(0),
                )
                .unwrap();
            assert_eq!(traces, 0);
            tx.execute_batch("INSERT INTO entry_text (entry_text) VALUES ('integrity-check')")
                .unwrap();
        });
    }
}
