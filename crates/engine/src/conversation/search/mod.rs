//! Finds messages by what is in them.
//!
//! Every word that a person types must be somewhere in the message, also inside of its words:
//! `hone` finds iPhone, 東京 finds it between other characters, ❤ finds hearts only. Capitals,
//! accents, vowel points and compatibility forms do not matter ([`crate::folding::searchable`]).
//!
//! [`index`] narrows the search down; words of one or two letters, which are in no index, and what
//! is not in the index yet are looked for in the texts, newest first, [`LOOKED_THROUGH`] at a time.
//!
//! **Elsewhere**: [`super::pages`] reads pages.
//!
//! **Always**: what a person types is words, never syntax. A search that ends early says where to
//! go on.

use std::collections::HashMap;

use rusqlite::{Row, ToSql};
use waxwing_protocol::{address::Address, time::Time};

use super::{
    pages::{COLUMNS, KnownConversations, complete, read_entry},
    reader::Reader,
};
use crate::{
    api::{ConversationId, Entry, Message},
    folding::searchable,
    store::StoreError,
};

pub(crate) mod index;

/// The first index. Stores that were made with it have it until [`index`] has taken its place.
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

/// Texts that one search looks through, at most, where the index does not help.
const LOOKED_THROUGH: u32 = 200_000;

/// Words of one question that count.
const WORDS: usize = 16;

/// What is looked for.
#[derive(Default)]
pub(crate) struct Wanted<'a> {
    /// Words; empty for all.
    pub text: &'a str,
    pub conversation: Option<ConversationId>,
    /// Its author.
    pub from: Option<&'a Address>,
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
    if words.is_empty() && !wanted.text.trim().is_empty() {
        // Only marks that nobody sees.
        return Ok((Vec::new(), None));
    }
    let mut search = Search {
        reader,
        wanted,
        words: &words,
        limit: limit as usize,
        authors: HashMap::new(),
        known: KnownConversations::default(),
        found: Vec::new(),
        left: LOOKED_THROUGH,
    };
    let before = wanted.before.unwrap_or(i64::MAX);
    if words.is_empty() {
        let next = search.run(Source::Entries, 0, before)?;
        return Ok((search.found, next));
    }
    let complete_from = index::complete_from(reader.tx)?;
    let source = index::question(&words).map_or(Source::Texts, Source::Index);
    let next = match search.run(source, complete_from, before)? {
        None => search.run(Source::Entries, 0, before.min(complete_from))?,
        next => next,
    };
    Ok((search.found, next))
}

/// Where messages are looked for.
enum Source {
    /// Among those for which the index gives this answer.
    Index(String),
    /// In the texts beside the index.
    Texts,
    /// In the messages themselves.
    Entries,
}

struct Search<'a> {
    reader: Reader<'a>,
    wanted: &'a Wanted<'a>,
    words: &'a [String],
    limit: usize,
    /// Whether each address, as entries have it, is the author's who is wanted.
    authors: HashMap<String, bool>,
    known: KnownConversations,
    found: Vec<Message>,
    /// Rows that may still be looked at.
    left: u32,
}

impl Search<'_> {
    /// Looks through entries with ids in `low..high`, newest first. Gives where to go on when it
    /// has enough, or has looked through enough.
    fn run(&mut self, source: Source, low: i64, high: i64) -> Result<Option<i64>, StoreError> {
        let (tables, order, question) = match source {
            Source::Index(question) => (
                "folded FROM entry_gram
                     JOIN entry_search ON entry_search.id = entry_gram.rowid
                     JOIN entry ON entry.id = entry_gram.rowid
                 WHERE entry_gram MATCH ?1 AND entry_gram.rowid < ?2 AND entry_gram.rowid >= ?3",
                "entry_gram.rowid",
                Some(question),
            ),
            Source::Texts => (
                "folded FROM entry_search JOIN entry ON entry.id = entry_search.id
                 WHERE ?1 IS NULL AND entry_search.id < ?2 AND entry_search.id >= ?3",
                "entry_search.id",
                None,
            ),
            Source::Entries => (
                "NULL AS folded FROM entry WHERE ?1 IS NULL AND entry.id < ?2 AND entry.id >= ?3",
                "entry.id",
                None,
            ),
        };
        let sql = format!(
            "SELECT {COLUMNS}, entry.id AS number, {tables} AND entry.kind = 1
               AND entry.taken_back_at IS NULL
               AND (?4 IS NULL OR entry.conversation = ?4)
               AND (?5 IS NULL OR entry.sent_at >= ?5) AND (?6 IS NULL OR entry.sent_at < ?6)
             ORDER BY {order} DESC"
        );
        let time = |time: Option<Time>| time.map(|time| time.0.cast_signed());
        let conversation = self.wanted.conversation.map(|id| *id.as_bytes());
        let (since, until) = (time(self.wanted.since), time(self.wanted.until));
        let parameters: [&dyn ToSql; 6] = [&question, &high, &low, &conversation, &since, &until];
        let reader = self.reader;
        let mut statement = reader.tx.prepare_cached(&sql)?;
        let mut rows = statement.query(parameters)?;
        let mut last = None;
        while let Some(row) = rows.next()? {
            if self.found.len() >= self.limit || self.left == 0 {
                return Ok(last.or(Some(high)));
            }
            last = Some(row.get("number")?);
            self.left -= 1;
            if !self.is_wanted(row)? {
                continue;
            }
            let entry = complete(reader, &mut self.known, read_entry(row)?)?;
            if let Entry::Message(message) = entry {
                self.found.push(message);
            }
        }
        Ok(None)
    }

    fn is_wanted(&mut self, row: &Row<'_>) -> Result<bool, StoreError> {
        if let Some(from) = self.wanted.from {
            let address = row.get_ref("address")?.as_str().unwrap_or_default();
            let is_author = if let Some(known) = self.authors.get(address) {
                *known
            } else {
                let is_author = Address::parse(address).is_ok_and(|author| author == *from);
                self.authors.insert(address.to_owned(), is_author);
                is_author
            };
            if !is_author {
                return Ok(false);
            }
        }
        if self.words.is_empty() {
            return Ok(true);
        }
        if let Ok(folded) = row.get_ref("folded")?.as_str() {
            return Ok(contains(folded, self.words));
        }
        let text = row.get_ref("text")?.as_str().unwrap_or_default();
        Ok(contains(&searchable(text), self.words))
    }
}

/// What a person typed, as words in the form in which texts are searched. Signs around a word
/// belong to the sentence; where there is nothing else, they are what is looked for.
fn words(text: &str) -> Vec<String> {
    let form = searchable(text);
    let words = form.split_whitespace().map(|word| {
        let bare = word.trim_matches(|c| ".,;:!?\"'()[]".contains(c));
        if bare.is_empty() { word } else { bare }
    });
    words.take(WORDS).map(str::to_owned).collect()
}

fn contains(folded: &str, words: &[String]) -> bool {
    words.iter().all(|word| folded.contains(word.as_str()))
}

#[cfg(test)]
mod tests {
    use rusqlite::Transaction;
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
            assert_eq!(found(tx, &by("nothing")), Vec::<u8>::new());
            assert_eq!(found(tx, &by("東京")), [4]);
        });
    }

    #[test]
    fn whatever_people_see_in_a_message_finds_it() {
        for (text, query) in [
            ("My new iPhone", "hone"),
            ("我喜歡用signal", "signal"),
            ("我喜歡用signal", "喜歡"),
            ("我喜歡用signal", "用"),
            ("Cafe\u{301}", "café"),
            ("Café", "cafe\u{301}"),
            ("שָׁלוֹם לכולם", "שלום"),
            ("Ｗａｘｗｉｎｇ", "waxwing"),
            ("ﬁnally", "final"),
            ("Straße", "STRASSE"),
            ("strasse", "straße"),
            ("우리는 학교에서 만나요", "학교"),
            ("우리는 학교에서 만나요", "교"),
            ("ไปกินข้าวกันไหม", "ข้าว"),
            ("ｶﾞｿﾘﾝ", "ガソリン"),
            ("I ❤\u{fe0f} it", "❤"),
            ("well done 👍🏽", "👍"),
            ("It's a C++ thing", "c++"),
            ("don’t", "don't"),
            ("ok", "OK"),
            ("see (this)!", "\"this\","),
            ("50 € each", "€"),
        ] {
            with_texts(&[text, "another"], |tx| {
                assert_eq!(found(tx, &by(query)), [0], "{query} in {text}");
            });
        }
    }

    #[test]
    fn emoji_and_signs_find_only_themselves() {
        with_texts(
            &["I am here", "so good 👍", "me too ❤\u{fe0f}", "what?"],
            |tx| {
                for (query, wanted) in [
                    ("👍", vec![1]),
                    ("❤", vec![2]),
                    ("🎉", vec![]),
                    ("ℹ\u{fe0f}", vec![]),
                    ("™", vec![]),
                    ("?", vec![3]),
                    ("&", vec![]),
                    ("\u{200d}", vec![]),
                    ("", vec![3, 2, 1, 0]),
                    ("  ", vec![3, 2, 1, 0]),
                ] {
                    assert_eq!(found(tx, &by(query)), wanted, "{query:?}");
                }
            },
        );
    }

    #[test]
    fn what_is_not_in_the_index_yet_is_found_as_well() {
        with_texts(&TEXTS, |tx| {
            // The newest three are in the index, the others are not.
            tx.execute("DELETE FROM entry_search WHERE id < 4", [])
                .unwrap();
            tx.execute("UPDATE search_backlog SET below = 4", [])
                .unwrap();
            assert_eq!(found(tx, &by("BACK up")), [2, 0]);
            assert_eq!(found(tx, &by("th")), [3, 2, 0]);
            assert_eq!(found(tx, &by("東京")), [4]);
            // Edited and deleted before its turn.
            tx.execute("UPDATE entry SET text = 'badger' WHERE id = 1", [])
                .unwrap();
            tx.execute("DELETE FROM entry WHERE id = 3", []).unwrap();
            assert_eq!(found(tx, &by("backup")), Vec::<u8>::new());
            assert_eq!(found(tx, &by("badger")), [0]);
            let two = Wanted {
                before: None,
                ..by("t")
            };
            let (some, next) = search(reader(tx, &Hooks::default()), &two, 2).unwrap();
            assert_eq!(some.len(), 2);
            let rest = Wanted {
                before: next,
                ..by("t")
            };
            let (more, end) = search(reader(tx, &Hooks::default()), &rest, 100).unwrap();
            assert_eq!((more.len(), end), (1, None));
        });
    }

    #[test]
    fn an_author_is_found_by_the_address_in_any_form() {
        with_texts(&TEXTS, |tx| {
            tx.execute(
                "UPDATE entry SET address = '+1 202-555-0123' WHERE id = 2",
                [],
            )
            .unwrap();
            tx.execute(
                "UPDATE entry SET address = 'a@bücher.example' WHERE id = 4",
                [],
            )
            .unwrap();
            for (from, wanted) in [
                ("+12025550123", vec![1]),
                ("A@xn--bcher-kva.example", vec![3]),
                ("ODD@example.org", vec![5]),
            ] {
                let from = Address::parse(from).unwrap();
                let of = Wanted {
                    from: Some(&from),
                    ..Wanted::default()
                };
                assert_eq!(found(tx, &of), wanted, "{from}");
            }
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
            let address = Address::parse("odd@example.org").unwrap();
            let odd = Wanted {
                from: Some(&address),
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
                "CREATE VIRTUAL TABLE temp.words USING fts5vocab('main', 'entry_gram', 'row')",
            )
            .unwrap();
            let words: Vec<String> = tx
                .prepare("SELECT term FROM temp.words")
                .unwrap()
                .query_map([], |row| row.get(0))
                .unwrap()
                .collect::<Result<_, _>>()
                .unwrap();
            assert_eq!(words, ["adg", "bad", "dge", "ger"]);
            let traces: i64 = tx
                .query_row(
                    "SELECT count(*) FROM entry_gram_data WHERE instr(block, 'aar')",
                    [],
                    |row| row.get(0),
                )
                .unwrap();
            assert_eq!(traces, 0);
            tx.execute_batch("INSERT INTO entry_gram (entry_gram) VALUES ('integrity-check')")
                .unwrap();
        });
    }
}
