//! What only the store on disk does: erasing, a full disk, damaged files.
//!
//! **Elsewhere**: what every store does is in [`crate::store::conformance`].
//!
//! **Always**: files are damaged as a disk might, not as it suits the code.

use std::sync::atomic::AtomicBool;

use tempfile::TempDir;

use super::*;
use crate::store::faulty::{Call, FaultyDisk};
use crate::store::{ERASED_WITHIN_MS, check, key};

pub(super) fn put(space: KeySpace, at: &[u8], value: impl Into<Bytes>) -> Write {
    Write {
        space,
        key: key(&[at]),
        value: Some(value.into()),
    }
}

pub(super) fn post(number: u64, body: impl Into<Bytes>) -> Write {
    put(KeySpace::Posts, &number.to_be_bytes(), body)
}

pub(super) fn delete(number: u64) -> Write {
    Write {
        space: KeySpace::Posts,
        key: key(&[&number.to_be_bytes()]),
        value: None,
    }
}

fn canary(number: u64) -> String {
    format!("canary {number:08} ").repeat(1 + usize::try_from(number % 90).unwrap())
}

pub(super) fn files(path: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(path).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(self::files(&path));
        } else {
            files.push(path);
        }
    }
    files.sort();
    files
}

/// The numbers of the canaries that are in any file.
fn canaries(path: &Path) -> Vec<u64> {
    let mut found: Vec<u64> = Vec::new();
    for file in files(path) {
        let bytes = fs::read(file).unwrap();
        let windows = bytes
            .windows(15)
            .filter(|window| window.starts_with(b"canary "));
        found.extend(windows.filter_map(|window| {
            let digits = std::str::from_utf8(window.get(7..)?).ok()?;
            digits.parse::<u64>().ok()
        }));
    }
    found.sort_unstable();
    found.dedup();
    found
}

/// Up to its last byte that is not 0: the rest is room for what comes.
pub(super) fn written_length(file: &Path) -> u64 {
    let bytes = fs::read(file).unwrap();
    let last = bytes.iter().rposition(|byte| *byte != 0);
    last.map_or(0, |last| last as u64 + 1)
}

fn get_post(store: &EmbeddedStore, number: u64) -> Option<Bytes> {
    store.get(KeySpace::Posts, &number.to_be_bytes()).unwrap()
}

#[test]
fn what_was_deleted_is_in_no_file() {
    let directory = TempDir::new().unwrap();
    let store = EmbeddedStore::open(directory.path()).unwrap();
    for batch in 0..10u64 {
        let numbers = batch * 100..(batch + 1) * 100;
        store
            .commit(numbers.map(|n| post(n, canary(n))).collect())
            .unwrap();
    }
    assert_eq!(canaries(directory.path()).len(), 1000);
    let kept = |n: &u64| n % 7 == 3;
    let gone = (0..1000u64).filter(|n| !kept(n));
    store.commit(gone.map(delete).collect()).unwrap();
    store.erase_now().unwrap();
    let left: Vec<u64> = (0..1000).filter(kept).collect();
    assert_eq!(canaries(directory.path()), left);
    for n in &left {
        assert_eq!(get_post(&store, *n).unwrap(), canary(*n));
    }
    // Another run of the program finds what was deleted before it started.
    store.commit(vec![delete(3)]).unwrap();
    drop(store);
    let store = EmbeddedStore::open(directory.path()).unwrap();
    store.erase_now().unwrap();
    assert_eq!(canaries(directory.path()), left[1..]);
    store
        .commit(left.iter().skip(1).copied().map(delete).collect())
        .unwrap();
    store.erase_now().unwrap();
    assert!(canaries(directory.path()).is_empty());
    assert_eq!(store.usage().live_post_bytes, 0);
    assert_eq!(store.segments.lock().usage(), (0, 0));
}

#[test]
fn housekeeping_erases_within_the_stated_time() {
    let directory = TempDir::new().unwrap();
    let store = EmbeddedStore::open(directory.path()).unwrap();
    store
        .commit(vec![post(1, canary(1)), post(2, canary(2))])
        .unwrap();
    store.commit(vec![delete(1)]).unwrap();
    for second in 0..ERASED_WITHIN_MS / 1000 {
        store.maintain(5_000_000 + second * 1000).unwrap();
    }
    assert_eq!(canaries(directory.path()), [2]);
    assert_eq!(get_post(&store, 2).unwrap(), canary(2));
}

#[test]
fn a_post_written_over_is_erased_too() {
    let directory = TempDir::new().unwrap();
    let store = EmbeddedStore::open(directory.path()).unwrap();
    store.commit(vec![post(1, canary(1))]).unwrap();
    store
        .commit(vec![
            post(1, canary(2)),
            post(1, canary(3)),
            post(4, canary(4)),
            delete(4),
        ])
        .unwrap();
    store.erase_now().unwrap();
    assert_eq!(canaries(directory.path()), [3]);
    assert_eq!(get_post(&store, 1).unwrap(), canary(3));
    assert_eq!(get_post(&store, 4), None);
    assert_eq!(store.usage().live_post_bytes, canary(3).len() as u64);
}

#[test]
fn a_full_disk_refuses_and_recovers() {
    let directory = TempDir::new().unwrap();
    let store = EmbeddedStore::open(directory.path()).unwrap();
    store.commit(vec![post(1, "before")]).unwrap();
    store.set_min_free_bytes(u64::MAX);
    let refused = store.commit(vec![post(2, canary(2)), put(KeySpace::Groups, b"g", "g")]);
    assert!(matches!(refused, Err(StoreError::Full { available }) if available > 0));
    assert_eq!(get_post(&store, 1).unwrap(), "before");
    assert_eq!(get_post(&store, 2), None);
    assert_eq!(store.get(KeySpace::Groups, b"g").unwrap(), None);
    assert!(canaries(directory.path()).is_empty());
    store.set_min_free_bytes(0);
    store.commit(vec![post(2, "after")]).unwrap();
    assert_eq!(get_post(&store, 2).unwrap(), "after");
    assert_eq!(store.generation(), 0);
}

const KIB: u64 = 1 << 10;

/// A store that calls its disk nearly full below 1 MiB, and keeps half of that.
fn on_a_small_disk(directory: &TempDir, room: u64) -> (FaultyDisk, EmbeddedStore) {
    let disk = FaultyDisk::new(0);
    disk.set_room(Some(room));
    let store = EmbeddedStore::open_on(directory.path(), Arc::new(disk.clone())).unwrap();
    store.set_min_free_bytes(1024 * KIB);
    store.maintain(1).unwrap();
    (disk, store)
}

#[test]
fn a_full_disk_takes_deletions_and_posts_once_it_has_room() {
    let directory = TempDir::new().unwrap();
    let (disk, store) = on_a_small_disk(&directory, 4096 * KIB);
    assert_eq!(store.reserve.bytes(), 512 * KIB);
    let body = vec![7; 100 << 10];
    let mut posts = 0;
    while !store.is_nearly_full() {
        store.commit(vec![post(posts, body.clone())]).unwrap();
        posts += 1;
    }
    // What was taken before that was known is stored all the same.
    store.commit(vec![post(posts, body.clone())]).unwrap();
    posts += 1;
    // Somebody else takes the rest of the disk.
    disk.set_room(Some(0));
    assert!(matches!(
        store.commit(vec![post(posts, vec![7; 600 << 10])]),
        Err(StoreError::Full { .. })
    ));
    assert_eq!(store.reserve.bytes(), 0);
    for n in 0..posts {
        store.commit(vec![delete(n)]).unwrap();
        store.maintain(2).unwrap();
    }
    store.erase_now().unwrap();
    assert_eq!(store.segments.lock().usage(), (0, 0));
    assert_eq!(store.generation(), 0);
    // It is so empty that all is as before.
    store.maintain(3).unwrap();
    assert!(!store.is_nearly_full());
    assert_eq!(store.reserve.bytes(), 512 * KIB);
    store.commit(vec![post(posts, body)]).unwrap();
}

#[test]
fn a_disk_that_fills_up_during_a_write_fails_that_batch_only() {
    let directory = TempDir::new().unwrap();
    let (disk, store) = on_a_small_disk(&directory, 64 * KIB);
    store.commit(vec![post(1, "before")]).unwrap();
    // More room is told of than there is.
    store.set_min_free_bytes(0);
    disk.set_room(Some(KIB));
    let large = || vec![post(2, vec![b'x'; 900]), post(3, vec![b'y'; 900])];
    let failed = store.commit(large());
    assert!(matches!(failed, Err(StoreError::Full { .. })), "{failed:?}");
    disk.set_room(Some(0));
    let failed = store.commit(vec![delete(1)]);
    assert!(matches!(failed, Err(StoreError::Full { .. })), "{failed:?}");
    assert_eq!(get_post(&store, 1).unwrap(), "before");
    assert_eq!(get_post(&store, 2), None);
    disk.set_room(Some(64 * KIB));
    store.commit(large()).unwrap();
    store.commit(vec![delete(1)]).unwrap();
    assert_eq!(get_post(&store, 3).unwrap(), vec![b'y'; 900]);
    assert_eq!(store.generation(), 0);
    store.erase_now().unwrap();
    drop(store);
    let store = EmbeddedStore::open(directory.path()).unwrap();
    assert_eq!(get_post(&store, 1), None);
    assert_eq!(get_post(&store, 2).unwrap(), vec![b'x'; 900]);
}

/// Every file's content, and what there is beside files.
fn everything(path: &Path) -> Vec<(PathBuf, Option<Vec<u8>>)> {
    let mut all = Vec::new();
    for entry in fs::read_dir(path).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            all.push((path.clone(), None));
            all.extend(everything(&path));
        } else {
            let content = fs::read(&path).unwrap();
            all.push((path, Some(content)));
        }
    }
    all.sort();
    all
}

#[test]
fn a_store_that_is_only_read_is_not_changed() {
    let directory = TempDir::new().unwrap();
    let store = EmbeddedStore::open(directory.path()).unwrap();
    for n in 0..20 {
        store.commit(vec![post(n, canary(n))]).unwrap();
    }
    store
        .with_map(|map| {
            for (_, keyspace) in &map.spaces {
                keyspace.rotate_memtable_and_wait().unwrap();
            }
            Ok(())
        })
        .unwrap();
    for n in 20..40 {
        store.commit(vec![post(n, canary(n))]).unwrap();
    }
    // Deleted, and not erased yet.
    store.commit(vec![delete(3)]).unwrap();
    let expected = contents(&store).unwrap();
    drop(store);
    // A segment that no post lies in, and a journal whose end is torn.
    fs::write(directory.path().join("posts/00000000000000ff.posts"), "x").unwrap();
    let all = files(directory.path());
    let journal = all
        .iter()
        .find(|path| path.extension().is_some_and(|e| e == "jnl"));
    let journal = journal.unwrap();
    let file = fs::OpenOptions::new().write(true).open(journal).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, &[1, 2, 3], written_length(journal)).unwrap();
    for leave_out in ["", "committed"] {
        if !leave_out.is_empty() {
            fs::remove_file(directory.path().join(leave_out)).unwrap();
        }
        let before = everything(directory.path());
        let store = EmbeddedStore::open_to_read(directory.path()).unwrap();
        assert_eq!(contents(&store).unwrap(), expected);
        check::check(&store).unwrap();
        store.maintain(1_000_000).unwrap();
        store.erase_now().unwrap();
        store.commit(vec![delete(1)]).unwrap_err();
        let scratch = store.scratch.as_ref().unwrap().path().to_owned();
        drop(store);
        assert!(!scratch.exists());
        assert!(
            everything(directory.path()) == before,
            "something was changed"
        );
    }
    EmbeddedStore::open(directory.path()).unwrap();
}

#[test]
fn a_post_whose_segment_is_gone_hides_no_other() {
    let directory = TempDir::new().unwrap();
    let store = EmbeddedStore::open(directory.path()).unwrap();
    store.commit(vec![post(1, canary(1))]).unwrap();
    drop(store);
    let store = EmbeddedStore::open(directory.path()).unwrap();
    store.commit(vec![post(2, canary(2))]).unwrap();
    drop(store);
    fs::remove_file(directory.path().join("posts/0000000000000000.posts")).unwrap();
    let store = EmbeddedStore::open(directory.path()).unwrap();
    let lost = store.get(KeySpace::Posts, &1u64.to_be_bytes());
    assert!(matches!(lost, Err(StoreError::Damaged(_))));
    assert_eq!(get_post(&store, 2).unwrap(), canary(2));
    store.commit(vec![delete(1)]).unwrap();
    assert_eq!(get_post(&store, 1), None);
}

#[test]
fn an_append_whose_sync_is_slow_keeps_its_segment() {
    let directory = TempDir::new().unwrap();
    let disk = FaultyDisk::new(0);
    let store = EmbeddedStore::open_on(directory.path(), Arc::new(disk.clone())).unwrap();
    store.commit(vec![post(1, canary(1))]).unwrap();
    store.commit(vec![delete(1)]).unwrap();
    let held = disk.hold(Call::Sync);
    std::thread::scope(|scope| {
        let commit = scope.spawn(|| store.commit(vec![post(2, canary(2))]));
        held.wait();
        // Two minutes of housekeeping.
        for second in 0..120 {
            store.maintain(5_000_000 + second * 1000).unwrap();
        }
        drop(held);
        commit.join().unwrap().unwrap();
    });
    assert_eq!(get_post(&store, 2).unwrap(), canary(2));
    drop(store);
    let store = EmbeddedStore::open(directory.path()).unwrap();
    assert_eq!(get_post(&store, 2).unwrap(), canary(2));
}

#[test]
fn a_directory_is_opened_once() {
    let directory = TempDir::new().unwrap();
    let store = EmbeddedStore::open(directory.path()).unwrap();
    store.commit(vec![post(1, "post")]).unwrap();
    let again = EmbeddedStore::open(directory.path());
    assert!(matches!(again, Err(StoreError::InUse)));
    assert_eq!(get_post(&store, 1).unwrap(), "post");
}

#[test]
fn a_newer_format_is_refused_by_name() {
    let directory = TempDir::new().unwrap();
    let store = EmbeddedStore::open(directory.path()).unwrap();
    let newer = (FORMAT_VERSION + 1).to_be_bytes().to_vec();
    store
        .commit(vec![put(KeySpace::Meta, FORMAT_KEY, newer)])
        .unwrap();
    drop(store);
    let opened = EmbeddedStore::open(directory.path());
    assert!(matches!(
        opened,
        Err(StoreError::UnknownFormat { found }) if found == FORMAT_VERSION + 1
    ));
}

/// Puts the store where a commit has failed and the map could not be opened again.
fn leave_in_doubt(store: &EmbeddedStore, number: u64, added: Vec<PostLocation>) {
    let mut commit = store.commit.lock();
    commit.number = number;
    commit.doubt = Some(UnsureBatch {
        added,
        removed: Vec::new(),
    });
    *store.map.write() = None;
}

#[test]
fn a_failed_batch_that_counted_begins_a_generation() {
    let directory = TempDir::new().unwrap();
    let store = EmbeddedStore::open(directory.path()).unwrap();
    store.commit(vec![post(1, canary(1))]).unwrap();
    let number = store.commit.lock().number;
    leave_in_doubt(&store, number, Vec::new());
    assert!(store.get(KeySpace::Posts, &1u64.to_be_bytes()).is_err());
    store.maintain(1).unwrap();
    assert_eq!(store.generation(), 1);
    assert_eq!(get_post(&store, 1).unwrap(), canary(1));
    store.commit(vec![post(2, canary(2))]).unwrap();
    assert_eq!(store.generation(), 1);
}

#[test]
fn a_failed_batch_that_did_not_count_is_erased() {
    let directory = TempDir::new().unwrap();
    let store = EmbeddedStore::open(directory.path()).unwrap();
    store.commit(vec![post(1, canary(1))]).unwrap();
    let stray = store.append(&[Bytes::from(canary(2))]).unwrap();
    let number = store.commit.lock().number;
    leave_in_doubt(&store, number + 1, stray);
    store.commit(vec![post(3, canary(3))]).unwrap();
    assert_eq!(store.generation(), 0);
    store.erase_now().unwrap();
    assert_eq!(canaries(directory.path()), [1, 3]);
    assert_eq!(get_post(&store, 1).unwrap(), canary(1));
    assert_eq!(get_post(&store, 2), None);
}

#[test]
fn a_journal_cut_in_its_middle_is_refused_and_kept() {
    let directory = TempDir::new().unwrap();
    let store = EmbeddedStore::open(directory.path()).unwrap();
    for n in 0..20 {
        store.commit(vec![post(n, canary(n))]).unwrap();
    }
    drop(store);
    let all = files(directory.path());
    let mut journals = all
        .iter()
        .filter(|path| path.extension().is_some_and(|e| e == "jnl"));
    let path = journals.next().unwrap();
    let journal = fs::OpenOptions::new().write(true).open(path).unwrap();
    journal.set_len(written_length(path) / 2).unwrap();
    for _ in 0..2 {
        let opened = EmbeddedStore::open(directory.path());
        assert!(matches!(opened, Err(StoreError::Damaged(_))));
    }
    assert_eq!(canaries(directory.path()).len(), 20);
}

#[test]
fn a_lost_map_is_refused_and_its_posts_are_kept() {
    let directory = TempDir::new().unwrap();
    let store = EmbeddedStore::open(directory.path()).unwrap();
    store.commit(vec![post(1, canary(1))]).unwrap();
    drop(store);
    fs::remove_dir_all(directory.path().join("map")).unwrap();
    for _ in 0..2 {
        let opened = EmbeddedStore::open(directory.path());
        assert!(matches!(opened, Err(StoreError::Damaged(_))));
    }
    assert_eq!(canaries(directory.path()), [1]);
}

#[test]
fn readers_see_a_post_or_nothing_while_others_commit_and_erase() {
    let directory = TempDir::new().unwrap();
    let store = EmbeddedStore::open(directory.path()).unwrap();
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut seen = 0u64;
            while !is_over.load(Ordering::Relaxed) {
                for (at, body) in store.scan(KeySpace::Posts, &[], None, 50).unwrap() {
                    let number = u64::from_be_bytes(at.as_ref().try_into().unwrap());
                    assert_eq!(body, canary(number));
                    if let Some(body) = get_post(&store, number) {
                        assert_eq!(body, canary(number));
                        seen += 1;
                    }
                }
            }
            seen
        });
        for n in 0..300 {
            let mut writes = vec![post(n, canary(n))];
            writes.extend(n.checked_sub(20).map(delete));
            store.commit(writes).unwrap();
            if n % 3 == 0 {
                store.erase_now().unwrap();
            }
        }
        is_over.store(true, Ordering::Relaxed);
        reader.join().unwrap();
    });
    assert_eq!(store.count(KeySpace::Posts).unwrap(), 20);
}

fn copy(from: &Path, to: &Path) {
    for file in files(from) {
        let to = to.join(file.strip_prefix(from).unwrap());
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::copy(file, to).unwrap();
    }
}

pub(super) fn contents(store: &EmbeddedStore) -> Result<Vec<(KeySpace, Vec<Record>)>, StoreError> {
    let spaces = KeySpace::ALL.into_iter();
    spaces
        .map(|space| Ok((space, store.scan(space, &[], None, 10_000)?)))
        .collect()
}

#[test]
fn a_changed_byte_is_never_read_as_something_else() {
    let sound = TempDir::new().unwrap();
    let store = EmbeddedStore::open(sound.path()).unwrap();
    let spaces = || {
        KeySpace::ALL
            .into_iter()
            .filter(|space| *space != KeySpace::Meta)
    };
    let write = |from: u64| {
        for n in from..from + 40 {
            let writes = spaces().map(|space| put(space, &n.to_be_bytes(), canary(n)));
            store.commit(writes.collect()).unwrap();
        }
    };
    write(0);
    store
        .with_map(|map| {
            for (_, keyspace) in &map.spaces {
                keyspace.rotate_memtable_and_wait().unwrap();
            }
            Ok(())
        })
        .unwrap();
    write(40);
    let expected = contents(&store).unwrap();
    drop(store);
    let mut refused = 0;
    for (index, file) in files(sound.path()).into_iter().enumerate() {
        let name = file.strip_prefix(sound.path()).unwrap();
        let is_of_posts = name.starts_with("posts");
        let mut tenths = vec![1, 3, 5, 7, 9];
        if name.components().count() > 2 {
            // One of a key space: there are many alike.
            tenths = vec![(index as u64 % 5) * 2 + 1];
        }
        let length = written_length(&file);
        for tenth in tenths {
            let at = usize::try_from(length * tenth / 10).unwrap();
            let mut bytes = fs::read(&file).unwrap();
            let Some(byte) = bytes.get_mut(at) else {
                continue;
            };
            *byte ^= 0x20;
            let damaged = TempDir::new().unwrap();
            copy(sound.path(), damaged.path());
            fs::write(damaged.path().join(name), bytes).unwrap();
            let read = EmbeddedStore::open(damaged.path()).and_then(|store| contents(&store));
            match read {
                Ok(read) => {
                    let name = name.display();
                    assert!(
                        read == expected,
                        "{name} at {at} was read as something else"
                    );
                    assert!(!is_of_posts, "a post changed at {at} was not noticed");
                }
                Err(_) => refused += 1,
            }
        }
    }
    // What the store no longer uses may change without harm.
    assert!(refused > 20, "{refused} refused");
}

/// Writes a file until there is no space left at all.
fn take_all_space(directory: &Path) -> PathBuf {
    let ballast = directory.join("ballast");
    let mut file = fs::File::create(&ballast).unwrap();
    for piece in [1 << 20, 4096, 1] {
        while std::io::Write::write_all(&mut file, &vec![1; piece]).is_ok() {}
    }
    ballast
}

/// As root: `mount -t tmpfs -o size=64m none DIR`, then `WAXWING_SMALL_DISK=DIR cargo test -p
/// waxwing-relay --lib small_disk -- --ignored`.
#[test]
#[ignore = "needs a small file system, named by WAXWING_SMALL_DISK"]
fn a_small_disk_that_is_full_is_emptied_by_deletions() {
    let directory = PathBuf::from(std::env::var_os("WAXWING_SMALL_DISK").unwrap());
    let store = EmbeddedStore::open(&directory.join("store")).unwrap();
    store.set_min_free_bytes(16 << 20);
    store.maintain(1).unwrap();
    assert_eq!(store.reserve.bytes(), 8 << 20);
    let mut posts = 0;
    while !store.is_nearly_full() {
        let writes = vec![
            post(posts, vec![7; 20_000]),
            put(KeySpace::Groups, b"g", "g"),
        ];
        store.commit(writes).unwrap();
        posts += 1;
    }
    assert!(posts > 500, "{posts}");
    let ballast = take_all_space(&directory);
    for n in 0..posts {
        store.commit(vec![delete(n)]).unwrap();
    }
    store.maintain(2).unwrap();
    assert_eq!(store.usage().live_post_bytes, 0);
    fs::remove_file(&ballast).unwrap();
    store.maintain(3).unwrap();
    assert!(!store.is_nearly_full());
    assert_eq!(store.reserve.bytes(), 8 << 20);
    // Without a reserve, and told of no shortage: the system itself refuses.
    store.reserve.release().unwrap();
    store.set_min_free_bytes(0);
    store.commit(vec![post(1, canary(1))]).unwrap();
    let ballast = take_all_space(&directory);
    let mut refused = 0;
    for n in 0..2_000 {
        let record = put(KeySpace::Groups, &[9], vec![9; 3_000]);
        if let Err(error) = store.commit(vec![post(2 + n, canary(n)), record]) {
            assert!(error.may_pass(), "{error}");
            refused += 1;
            if refused > 20 {
                break;
            }
        }
        if let Ok(first) = store.get(KeySpace::Posts, &1u64.to_be_bytes()) {
            assert_eq!(first.unwrap(), canary(1));
        }
    }
    assert!(refused > 20, "{refused}");
    fs::remove_file(&ballast).unwrap();
    store.maintain(4).unwrap();
    store.commit(vec![post(9_999, canary(3))]).unwrap();
    assert_eq!(get_post(&store, 1).unwrap(), canary(1));
    assert_eq!(get_post(&store, 9_999).unwrap(), canary(3));
    eprintln!("generation {}", store.generation());
}
