//! Tests the store on a disk that fails, blocks and loses power, at every call that it makes.
//!
//! **Elsewhere**: the disk is [`crate::store::faulty`].
//!
//! **Always**: what a commit has confirmed is there, no matter what happened; what it has
//! refused is not.

use std::io::ErrorKind;
use std::sync::atomic::AtomicUsize;

use tempfile::TempDir;

use super::tests::{contents, delete, files, post, put, written_length};
use super::*;
use crate::store::faulty::{Call, Failure, FaultyDisk, Lost};

type Contents = Vec<(KeySpace, Vec<Record>)>;

/// A place for many small stores: in memory where the system has one.
fn folder() -> TempDir {
    tempfile::tempdir_in("/dev/shm")
        .or_else(|_| tempfile::tempdir())
        .unwrap()
}

/// What is committed, one batch after the other: posts that come, go, and come again.
fn batches() -> Vec<Vec<Write>> {
    let body = |n: u64| format!("body {n} ").repeat(20);
    vec![
        vec![post(1, body(1)), put(KeySpace::Groups, b"g", "1")],
        vec![post(2, body(2)), post(3, body(3))],
        vec![delete(1), delete(2)],
        vec![delete(3), put(KeySpace::Groups, b"g", "2")],
        vec![post(4, body(4))],
        vec![post(4, body(5)), post(6, body(6)), delete(6)],
    ]
}

/// Everything but what the store keeps for itself.
fn read(store: &EmbeddedStore) -> Contents {
    // Reading may be the call that fails.
    let all = contents(store).or_else(|_| contents(store)).unwrap();
    let all = all.into_iter();
    all.filter(|(space, _)| *space != KeySpace::Meta).collect()
}

/// What is there before the first batch, and after each.
fn expected() -> Vec<Contents> {
    let directory = folder();
    let store = EmbeddedStore::open(directory.path()).unwrap();
    let mut expected = vec![read(&store)];
    for batch in batches() {
        store.commit(batch).unwrap();
        expected.push(read(&store));
    }
    expected
}

fn open_on(directory: &TempDir, disk: &FaultyDisk) -> EmbeddedStore {
    EmbeddedStore::open_on(directory.path(), Arc::new(disk.clone())).unwrap()
}

/// Copies a directory; room for what comes is not copied.
fn copy(from: &Path, to: &Path) {
    for file in files(from) {
        let to = to.join(file.strip_prefix(from).unwrap());
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        let mut bytes = fs::read(&file).unwrap();
        let length = bytes.len() as u64;
        let written = bytes.iter().rposition(|byte| *byte != 0);
        bytes.truncate(written.map_or(0, |last| last + 1));
        fs::write(&to, bytes).unwrap();
        let to = fs::OpenOptions::new().write(true).open(to).unwrap();
        to.set_len(length).unwrap();
    }
}

#[test]
fn housekeeping_at_every_call_of_a_commit_loses_nothing() {
    let expected = expected();
    let mut number = 0;
    let mut kept_up = 0;
    loop {
        let directory = folder();
        let disk = FaultyDisk::new(0);
        let store = open_on(&directory, &disk);
        let mut was_held = false;
        for (batch, expected) in batches().into_iter().zip(&expected[1..]) {
            // How many calls a commit makes is known from the one before this.
            let at = disk.calls() + number;
            let held = disk.hold_at(at);
            std::thread::scope(|scope| {
                let commit = scope.spawn(|| {
                    let result = store.commit(batch);
                    // So that somebody is held in any case.
                    let mut spare = Vec::new();
                    while disk.calls() <= at {
                        spare.push(disk.open(directory.path(), disk::Access::Read).is_ok());
                    }
                    (result, spare.len())
                });
                // Under the lock of the segments nobody else gets in.
                let call = held.wait();
                if !matches!(call, Call::Open | Call::SyncDirectory) {
                    store.erase_now().unwrap();
                    kept_up += 1;
                }
                drop(held);
                let (result, spare) = commit.join().unwrap();
                result.unwrap();
                was_held |= spare == 0;
            });
            assert!(read(&store) == *expected, "held at {number}");
        }
        drop(store);
        let store = open_on(&directory, &disk);
        assert!(
            read(&store) == *expected.last().unwrap(),
            "held at {number}"
        );
        if !was_held {
            break;
        }
        number += 1;
    }
    assert!(number > 3 && kept_up > 12, "{number}, {kept_up}");
}

#[test]
fn a_failure_of_any_call_refuses_a_batch_whole_and_loses_none() {
    let expected = expected();
    let kinds = [ErrorKind::Other, ErrorKind::StorageFull];
    let failures = kinds.iter().flat_map(|kind| {
        [
            Failure::Before(*kind),
            Failure::Halfway(*kind),
            Failure::After(*kind),
        ]
    });
    for (step, failure) in failures.enumerate() {
        // Between them, the kinds of failure are tried at every call.
        let mut number = step as u64 % 3;
        loop {
            let directory = folder();
            let disk = FaultyDisk::new(0);
            let store = open_on(&directory, &disk);
            let fails_at = disk.calls() + number;
            disk.fail_at(fails_at, failure);
            for (at, batch) in batches().into_iter().enumerate() {
                let mut tries = 0;
                while let Err(error) = store.commit(batch.clone()) {
                    assert!(error.may_pass(), "{error}");
                    assert!(read(&store) == expected[at], "{failure:?} at {number}");
                    tries += 1;
                    assert!(tries < 3, "{failure:?} at {number}");
                }
                assert!(read(&store) == expected[at + 1], "{failure:?} at {number}");
                let _ = store.erase_now();
            }
            let is_over = disk.calls() <= fails_at;
            drop(store);
            let store = EmbeddedStore::open(directory.path()).unwrap();
            assert!(
                read(&store) == *expected.last().unwrap(),
                "{failure:?} at {number}"
            );
            if is_over {
                assert!(number > 20, "{number}");
                break;
            }
            number += 3;
        }
    }
}

/// A directory as a crash leaves it, and how many batches were answered for by then.
struct Image {
    directory: TempDir,
    answered: usize,
    what: String,
}

#[test]
fn a_crash_at_any_call_loses_nothing_that_was_answered() {
    let expected = expected();
    let directory = folder();
    let disk = FaultyDisk::new(0);
    let store = open_on(&directory, &disk);
    let answered = Arc::new(AtomicUsize::new(0));
    let images: Arc<Mutex<Vec<Image>>> = Arc::default();
    let path = directory.path().to_owned();
    let (taken, count, crashing) = (Arc::clone(&images), Arc::clone(&answered), disk.clone());
    let mut before_journal = 0;
    disk.watch(move |number, call| {
        let copied = folder();
        copy(&path, copied.path());
        let lost = match number % 3 {
            0 => None,
            1 => Some(Lost::All),
            _ => Some(Lost::Some(number)),
        };
        if let Some(lost) = lost {
            crashing.lose_in(&path, copied.path(), lost).unwrap();
        }
        if call == Call::Journal {
            // It is seen twice: the second time as a crash in its middle leaves it.
            let files = files(copied.path());
            let mut journals = files
                .iter()
                .filter(|f| f.extension().is_some_and(|e| e == "jnl"));
            let journal = journals.next().unwrap();
            let written = written_length(journal);
            if before_journal == 0 {
                before_journal = written;
            } else {
                let torn = u64::midpoint(before_journal, written);
                let file = fs::OpenOptions::new().write(true).open(journal).unwrap();
                file.set_len(torn).unwrap();
                before_journal = 0;
            }
        }
        taken.lock().push(Image {
            directory: copied,
            answered: count.load(Ordering::SeqCst),
            what: format!("{call:?} {number} {lost:?}"),
        });
    });
    for batch in batches() {
        store.commit(batch).unwrap();
        answered.fetch_add(1, Ordering::SeqCst);
        store.erase_now().unwrap();
    }
    disk.unwatch();
    drop(store);
    let images = std::mem::take(&mut *images.lock());
    assert!(images.len() > 25, "{}", images.len());
    for image in images {
        let store = EmbeddedStore::open(image.directory.path())
            .unwrap_or_else(|error| panic!("{}: {error}", image.what));
        let found = read(&store);
        let allowed = &expected[image.answered..expected.len().min(image.answered + 2)];
        assert!(
            allowed.contains(&found),
            "{}: {}",
            image.what,
            image.answered
        );
        // And it goes on.
        store.commit(vec![post(9, "on")]).unwrap();
        assert_eq!(
            store
                .get(KeySpace::Posts, &9u64.to_be_bytes())
                .unwrap()
                .unwrap(),
            "on"
        );
    }
}
