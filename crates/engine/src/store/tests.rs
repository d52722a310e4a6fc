use std::{
    fs::{self, OpenOptions},
    io::{Read as _, Seek as _, SeekFrom, Write as _},
    path::Path,
};

use rusqlite::Connection;

use super::*;

fn key(byte: u8) -> StoreKey {
    StoreKey::from_bytes([byte; 32])
}

fn fill(store: &mut Store, rows: u32) {
    store
        .transaction(|transaction| {
            transaction.execute_batch("CREATE TABLE IF NOT EXISTS notes (text TEXT NOT NULL)")?;
            for row in 0..rows {
                transaction.execute(
                    "INSERT INTO notes VALUES (?1)",
                    [format!("a very secret canary, number {row}")],
                )?;
            }
            Ok::<_, StoreError>(())
        })
        .unwrap();
}

fn count(store: &mut Store) -> u32 {
    store
        .transaction(|transaction| {
            Ok::<_, StoreError>(transaction.query_row(
                "SELECT count(*) FROM notes WHERE text LIKE '%canary%'",
                [],
                |row| row.get(0),
            )?)
        })
        .unwrap()
}

fn damage(path: &Path, offset: u64) {
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .open(path)
        .unwrap();
    file.seek(SeekFrom::Start(offset)).unwrap();
    let mut byte = [0];
    file.read_exact(&mut byte).unwrap();
    file.seek(SeekFrom::Start(offset)).unwrap();
    file.write_all(&[byte[0] ^ 1]).unwrap();
}

#[test]
fn what_was_written_is_there_after_opening_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let mut store = Store::open(&path, &key(1)).unwrap();
    fill(&mut store, 10);
    drop(store);
    let mut store = Store::open(&path, &key(1)).unwrap();
    assert_eq!(count(&mut store), 10);
    store.quick_check().unwrap();
}

#[test]
fn a_failed_transaction_changes_nothing() {
    let mut store = Store::open_in_memory().unwrap();
    fill(&mut store, 3);
    let result: Result<(), StoreError> = store.transaction(|transaction| {
        transaction.execute("DELETE FROM notes", [])?;
        Err(StoreError::DiskFull)
    });
    assert!(matches!(result, Err(StoreError::DiskFull)));
    assert_eq!(count(&mut store), 3);
}

#[test]
fn the_files_hold_no_plain_text() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let mut store = Store::open(&path, &key(1)).unwrap();
    fill(&mut store, 500);
    // The write-ahead log is still there, and the file is not empty.
    store.checkpoint().unwrap();
    fill(&mut store, 500);
    let mut bytes = 0;
    for entry in fs::read_dir(folder.path()).unwrap() {
        let content = fs::read(entry.unwrap().path()).unwrap();
        bytes += content.len();
        for canary in [b"canary".as_slice(), b"SQLite format", b"CREATE TABLE"] {
            assert!(!content.windows(canary.len()).any(|window| window == canary));
        }
    }
    assert!(bytes > 50_000, "only {bytes} bytes were searched");
}

#[test]
fn a_wrong_key_is_refused_and_harms_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let mut store = Store::open(&path, &key(1)).unwrap();
    fill(&mut store, 10);
    drop(store);
    assert!(matches!(
        Store::open(&path, &key(2)),
        Err(StoreError::Unreadable)
    ));
    let mut store = Store::open(&path, &key(1)).unwrap();
    assert_eq!(count(&mut store), 10);
}

#[test]
fn a_file_that_is_no_store_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("letter");
    let letter = "Dear Bob, ".repeat(1000);
    fs::write(&path, &letter).unwrap();
    assert!(matches!(
        Store::open(&path, &key(1)),
        Err(StoreError::Unreadable)
    ));
    assert_eq!(fs::read_to_string(&path).unwrap(), letter);
}

#[test]
fn a_damaged_page_is_an_error_and_never_data() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let mut store = Store::open(&path, &key(1)).unwrap();
    fill(&mut store, 2_000);
    store.checkpoint().unwrap();
    drop(store);
    let pages = fs::metadata(&path).unwrap().len() / 4096;
    assert!(pages > 20);
    let sound = fs::read(&path).unwrap();
    for page in 0..pages {
        fs::write(&path, &sound).unwrap();
        damage(&path, page * 4096 + 1000);
        match Store::open(&path, &key(1)) {
            Err(StoreError::Unreadable | StoreError::Damaged { .. }) => {}
            Err(other) => panic!("page {page}: {other:?}"),
            Ok(store) => {
                assert!(
                    matches!(store.quick_check(), Err(StoreError::Damaged { .. })),
                    "page {page} passed"
                );
            }
        }
        // Reading everything gives an error too, or everything (a page that was free).
        if let Ok(mut store) = Store::open(&path, &key(1)) {
            let read: Result<u32, StoreError> = store.transaction(|transaction| {
                Ok(transaction.query_row(
                    "SELECT count(*) FROM notes WHERE text LIKE '%canary%'",
                    [],
                    |row| row.get(0),
                )?)
            });
            match read {
                Ok(count) => assert_eq!(count, 2_000, "page {page}"),
                Err(StoreError::Damaged { .. } | StoreError::Unreadable) => {}
                Err(other) => panic!("page {page}: {other:?}"),
            }
        }
    }
}

#[test]
fn a_newer_store_is_refused_and_left_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let store = Store::open(&path, &key(1)).unwrap();
    store
        .connection
        .pragma_update(None, "user_version", 999)
        .unwrap();
    drop(store);
    assert!(matches!(
        Store::open(&path, &key(1)),
        Err(StoreError::Newer { found: 999, .. })
    ));
}

/// What version 4 of the tables was made with, and some rows in them.
const VERSION_4: &str = include_str!("../../../../vectors/store/version_4.sql");

/// Every table, index and trigger, with the statement that makes it.
fn schema(store: &Store) -> Vec<(String, Option<String>)> {
    let mut statement = store
        .connection
        .prepare("SELECT type || ' ' || name, sql FROM sqlite_master ORDER BY 1")
        .unwrap();
    let rows = statement
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))
        .unwrap();
    rows.map(Result::unwrap).collect()
}

#[test]
fn a_store_of_version_4_opens_with_all_its_rows() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let old = Connection::open(&path).unwrap();
    old.execute_batch(&key(1).pragma()).unwrap();
    old.execute_batch(VERSION_4).unwrap();
    drop(old);
    // Opened twice: the second time there is nothing left to do.
    for _ in 0..2 {
        let store = Store::open(&path, &key(1)).unwrap();
        store.quick_check().unwrap();
        for (query, wanted) in [
            ("SELECT address FROM account", "alice@example.org"),
            ("SELECT value FROM setting", "7"),
            (
                "SELECT display || compared FROM contact",
                "bob@example.org1",
            ),
            (
                "SELECT hex(group_id) || state || came_again || by_stranger FROM conversation_group",
                "D0200",
            ),
            ("SELECT address || admin FROM member", "bob@example.org1"),
            (
                "SELECT text FROM entry WHERE id < (SELECT below FROM search_backlog)",
                "Dinner is at eight",
            ),
            (
                "SELECT group_concat(id || ':' || state || once || asked) FROM outgoing",
                "1:200,2:000",
            ),
            ("SELECT highest FROM heard", "4"),
            ("SELECT hex(post_id) || sequence FROM held_post", "A00"),
            (
                "SELECT group_concat(code || first_at || shown_at || dismissed)
                     FROM (SELECT * FROM alarm ORDER BY code)",
                "device_added100010001,log_stale100020000",
            ),
            (
                "SELECT number || hex(head) || heard_at || hex(account_id) FROM heard_head",
                "9911000",
            ),
            (
                "SELECT stage || ':' || next_chunk || ':' || begun_at FROM admission",
                "2:2:1000",
            ),
            (
                "SELECT hex(group_id) || asked || asks FROM unknown_group",
                "D110",
            ),
            ("SELECT hex(device_id) FROM again", "B1"),
            ("SELECT bytes || sequence || unknown FROM parcel", "409600"),
        ] {
            let found: String = store
                .connection
                .query_row(&format!("SELECT CAST(({query}) AS TEXT)"), [], |row| {
                    row.get(0)
                })
                .unwrap();
            assert_eq!(found, wanted, "{query}");
        }
    }
}

/// So that no released step was changed: what it made in old stores would be another thing.
#[test]
fn an_old_store_gets_the_same_tables_as_a_new_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let old = Connection::open(&path).unwrap();
    old.execute_batch(&key(1).pragma()).unwrap();
    old.execute_batch(VERSION_4).unwrap();
    drop(old);
    let old = Store::open(&path, &key(1)).unwrap();
    let new = Store::open_in_memory().unwrap();
    assert_eq!(schema(&old), schema(&new));
}

#[test]
fn a_second_opener_is_told_that_the_store_is_in_use() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let _first = Store::open(&path, &key(1)).unwrap();
    assert!(matches!(
        Store::open(&path, &key(1)),
        Err(StoreError::InUse)
    ));
}

#[test]
fn a_copy_is_encrypted_and_holds_what_was_there_then() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let copy = folder.path().join("copy");
    let mut store = Store::open(&path, &key(1)).unwrap();
    fill(&mut store, 10);
    store.copy_to(&copy).unwrap();
    fill(&mut store, 10);
    assert!(matches!(
        Store::open(&copy, &key(2)),
        Err(StoreError::Unreadable)
    ));
    let mut copy = Store::open(&copy, &key(1)).unwrap();
    assert_eq!(count(&mut copy), 10);
    assert_eq!(count(&mut store), 20);
}

#[test]
fn a_full_disk_is_named_and_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let mut store = Store::open(&path, &key(1)).unwrap();
    fill(&mut store, 10);
    store.limit_room(Some(0)).unwrap();
    let result: Result<(), StoreError> = store.transaction(|transaction| {
        for _ in 0..1000 {
            transaction.execute("INSERT INTO notes VALUES (?1)", ["canary".repeat(100)])?;
        }
        Ok(())
    });
    assert!(matches!(result, Err(StoreError::DiskFull)), "{result:?}");
    store.limit_room(None).unwrap();
    assert_eq!(count(&mut store), 10);
    fill(&mut store, 10);
    assert_eq!(count(&mut store), 20);
}

#[test]
fn a_folder_that_is_not_there_is_named() {
    let path = Path::new("/nowhere/at/all/store");
    assert!(matches!(
        Store::open(path, &key(1)),
        Err(StoreError::Unwritable)
    ));
}

#[test]
fn the_settings_that_safety_rests_on_are_in_force() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&folder.path().join("store"), &key(1)).unwrap();
    let read = |connection: &Connection, pragma: &str| -> String {
        connection
            .query_row(&format!("PRAGMA {pragma}"), [], |row| {
                Ok(row
                    .get::<_, String>(0)
                    .or_else(|_| row.get::<_, i64>(0).map(|n| n.to_string())))
            })
            .unwrap()
            .unwrap()
    };
    for (pragma, value) in [
        ("journal_mode", "wal"),
        ("synchronous", "2"),
        ("secure_delete", "1"),
        ("foreign_keys", "1"),
        ("temp_store", "2"),
        ("trusted_schema", "0"),
    ] {
        assert_eq!(read(&store.connection, pragma), value, "{pragma}");
    }
    assert!(read(&store.connection, "cipher_version").starts_with("4."));
}

#[test]
fn the_key_is_not_shown() {
    assert_eq!(format!("{:?}", key(0xAB)), "StoreKey(..)");
    assert_eq!(key(0xAB).pragma().len(), 16 + 64 + 3);
}
