//! SQL in string literals: which tables it makes, and which it reads or writes.
//!
//! **Elsewhere**: who may use which table is decided in [`super::findings`].
//!
//! **Always**: SQL's own words count in capitals only, so that sentences in English are not
//! taken for it. A table whose name is put together while the program runs is not seen.

use std::collections::{BTreeMap, BTreeSet};

use super::source::{FileId, Source};

/// Where a table is used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableUse {
    /// The file with the SQL.
    pub file: FileId,
    /// Its line, from 1.
    pub line: usize,
    /// The table.
    pub table: String,
    /// Whether the SQL only points at the table: a foreign key says that a row of it must
    /// exist, and a trigger watches it.
    pub points: bool,
}

/// The tables of a crate.
#[derive(Debug, Default)]
pub struct Tables {
    /// The files that make each table.
    pub owners: BTreeMap<String, BTreeSet<FileId>>,
    /// All uses of these tables, also by their owners.
    pub uses: Vec<TableUse>,
}

impl Tables {
    /// Finds all tables, and all SQL that names them.
    pub fn of(source: &Source) -> Self {
        let mut tables = Self::default();
        let mut uses = Vec::new();
        for literal in &source.literals {
            let words = words(&literal.value);
            for at in 0..words.len() {
                if let Some(made) = made(&words, at) {
                    tables
                        .owners
                        .entry(made.to_owned())
                        .or_default()
                        .insert(literal.file);
                }
                for used in used(&words, at) {
                    uses.push(TableUse {
                        file: literal.file,
                        line: literal.line + used.line,
                        table: used.text.to_owned(),
                        points: matches!(text_at(&words, at), "REFERENCES" | "TRIGGER"),
                    });
                }
            }
        }
        uses.retain(|used| tables.owners.contains_key(&used.table));
        tables.uses = uses;
        tables
    }
}

/// A word of SQL or a mark between words, and how many lines stand above it.
#[derive(Clone, Copy, Debug)]
struct Word<'t> {
    text: &'t str,
    line: usize,
}

/// The words of an SQL text, without its comments and strings.
fn words(sql: &str) -> Vec<Word<'_>> {
    let mut words = Vec::new();
    let mut rest = sql;
    let mut line = 0;
    while let Some(first) = rest.chars().next() {
        let length = if rest.starts_with("--") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            rest.find("*/").map_or(rest.len(), |end| end + 2)
        } else if first == '\'' {
            let inside = rest.char_indices().skip(1);
            let mut ends = inside.filter(|(_, c)| *c == '\'');
            ends.next().map_or(rest.len(), |(end, _)| end + 1)
        } else if is_word(first) {
            rest.find(|c| !is_word(c)).unwrap_or(rest.len())
        } else {
            first.len_utf8()
        };
        let (text, after) = rest.split_at(length);
        let is_mark = !first.is_whitespace() && !matches!(first, '\'' | '"');
        if is_word(first) || (is_mark && text.len() == first.len_utf8()) {
            words.push(Word { text, line });
        }
        line += text.matches('\n').count();
        rest = after;
    }
    words
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn text_at<'t>(words: &[Word<'t>], at: usize) -> &'t str {
    words.get(at).map_or("", |word| word.text)
}

/// Where a name stands that may follow `IF EXISTS` or `IF NOT EXISTS`.
fn after_if(words: &[Word<'_>], at: usize) -> usize {
    match (text_at(words, at), text_at(words, at + 1)) {
        ("IF", "NOT") => at + 3,
        ("IF", "EXISTS") => at + 2,
        _ => at,
    }
}

/// The name of a table, without the database's in front: of `temp.words`, `words`.
fn name_at<'t>(words: &[Word<'t>], at: usize) -> Option<Word<'t>> {
    let named = if text_at(words, at + 1) == "." {
        at + 2
    } else {
        at
    };
    words.get(named).copied()
}

/// The table that a `CREATE TABLE` here makes.
fn made<'t>(words: &[Word<'t>], at: usize) -> Option<&'t str> {
    if text_at(words, at) != "CREATE" {
        return None;
    }
    let kind = match text_at(words, at + 1) {
        "TEMP" | "TEMPORARY" | "VIRTUAL" => at + 2,
        _ => at + 1,
    };
    let name = name_at(words, after_if(words, kind + 1))?;
    (text_at(words, kind) == "TABLE").then_some(name.text)
}

/// What stands here in the place of a table's name: it may be something else.
fn used<'t>(words: &[Word<'t>], at: usize) -> Vec<Word<'t>> {
    let next = at + 1;
    let name = match text_at(words, at) {
        "FROM" => return listed(words, next),
        "TABLE" => after_if(words, next),
        // The event of a trigger, not a statement.
        "UPDATE" if text_at(words, next) == "OF" => return Vec::new(),
        "UPDATE" if text_at(words, next) == "OR" => next + 2,
        "INTO" | "JOIN" | "REFERENCES" | "UPDATE" => next,
        "INDEX" => after_if(words, next) + 2,
        // CREATE TRIGGER name AFTER UPDATE OF column, column ON table
        "TRIGGER" => {
            let mut after = words.iter().skip(next).take(16);
            match after.position(|word| word.text == "ON") {
                Some(on) => next + on + 1,
                None => return Vec::new(),
            }
        }
        _ => return Vec::new(),
    };
    name_at(words, name).into_iter().collect()
}

/// `FROM a, b AS c, d e`: all of them.
fn listed<'t>(words: &[Word<'t>], from: usize) -> Vec<Word<'t>> {
    let mut listed = Vec::new();
    let mut at = from;
    while let Some(word) = name_at(words, at) {
        listed.push(word);
        at += if text_at(words, at + 1) == "." { 3 } else { 1 };
        if text_at(words, at) == "AS" {
            at += 1;
        }
        if text_at(words, at).starts_with(is_word) {
            at += 1;
        }
        if text_at(words, at) != "," {
            break;
        }
        at += 1;
    }
    listed
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(sql: &str) -> Vec<&str> {
        let words = words(sql);
        let all = (0..words.len()).flat_map(|at| used(&words, at));
        all.map(|word| word.text).collect()
    }

    #[test]
    fn tables_are_found_wherever_sql_names_them() {
        assert_eq!(named("SELECT x FROM temp.a y, b"), ["a", "b"]);
        assert_eq!(
            named("SELECT 1 FROM a x, b AS y, c WHERE d = 1"),
            ["a", "b", "c"]
        );
        assert_eq!(named("SELECT a.x FROM a JOIN b ON b.a = a.id"), ["a", "b"]);
        assert_eq!(
            named("INSERT OR IGNORE INTO a (x) SELECT x FROM b"),
            ["a", "b"]
        );
        assert_eq!(
            named("UPDATE OR REPLACE a SET x = (SELECT y FROM b)"),
            ["a", "b"]
        );
        assert_eq!(named("DELETE FROM a; DROP TABLE IF EXISTS b"), ["a", "b"]);
        assert_eq!(named("CREATE UNIQUE INDEX IF NOT EXISTS i ON a (x)"), ["a"]);
        assert_eq!(
            named("CREATE TRIGGER t AFTER UPDATE OF x ON a BEGIN DELETE FROM b; END"),
            ["a", "b"]
        );
    }

    #[test]
    fn comments_strings_and_sentences_name_no_table() {
        assert_eq!(named("SELECT 'FROM a' -- FROM b\nFROM c"), ["c"]);
        assert!(named("a message from a friend, brought into a group").is_empty());
    }

    #[test]
    fn a_table_is_made_where_its_schema_stands() {
        let made = |sql| {
            let words = words(sql);
            made(&words, 0).map(str::to_owned)
        };
        assert_eq!(made("CREATE TABLE a (x)").as_deref(), Some("a"));
        assert_eq!(
            made("CREATE TABLE IF NOT EXISTS a (x)").as_deref(),
            Some("a")
        );
        assert_eq!(
            made("CREATE VIRTUAL TABLE a USING fts5 (x)").as_deref(),
            Some("a")
        );
        assert_eq!(made("CREATE TABLE temp.a (x)").as_deref(), Some("a"));
        assert_eq!(made("CREATE INDEX i ON a (x)"), None);
    }

    #[test]
    fn the_line_of_a_name_is_counted() {
        let words = words("SELECT x\nFROM a\nWHERE x IN (SELECT y FROM b)");
        let lines: Vec<usize> = (0..words.len())
            .flat_map(|at| used(&words, at))
            .map(|word| word.line)
            .collect();
        assert_eq!(lines, [1, 2]);
    }
}
