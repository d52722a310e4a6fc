//! The store in one directory of this machine: fjall for the records, and files of
//! its own for the posts.
//!
//! A post is written once, to the end of a segment ([`segments`]); the map keeps its
//! place. So the map stays small, ciphertext never gets into its journal or tables,
//! and a deleted post can be erased where it lies.
//!
//! **Elsewhere**: what the records mean is in [`super::records`].
//!
//! **Always**: posts are on disk before the map names them, and a batch counts when
//! the map's journal has it. Whether a batch counted is known after every error:
//! each carries a number that the map keeps, and after an error the map is opened
//! again and asked. A map that has lost a batch which counted ([`watermark`]) is
//! not opened. On a full disk there is space for deletions ([`reserve`]).

pub mod disk;
mod reserve;
mod scratch;
mod segments;
mod watermark;

#[cfg(test)]
mod crashes;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::fs::{self, DirBuilder};
use std::os::unix::fs::DirBuilderExt as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use bytes::Bytes;
use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};
use parking_lot::{Mutex, RwLock};

use self::disk::{Disk, RealDisk};
use self::reserve::Reserve;
use self::scratch::Scratch;
use self::segments::{LivePosts, PostLocation, Segments};
use self::watermark::Watermark;
use super::{FORMAT_VERSION, KeySpace, Record, Store, StoreError, Usage, Write};

/// Below this many free bytes the disk is called nearly full, and only what makes room is
/// taken. Other bounds are parts of it.
const MIN_FREE_BYTES: u64 = 128 << 20;
/// So large a part is kept in a file of its own, while there is plenty.
const RESERVE: u64 = 2;
/// Below this part the file is removed.
const RELEASE_BELOW: u64 = 4;
/// A batch that is larger than this part has to leave [`LEAVE`], and a smaller one
/// [`LEAVE_LITTLE`]: deletions are small.
const LARGE: u64 = 64;
const LEAVE: u64 = 8;
const LEAVE_LITTLE: u64 = 512;
/// Deleted posts are overwritten after this; until then their whole segment may go.
const ERASE_AFTER_MS: u64 = 60 * 1000;
const CACHE_BYTES: u64 = 32 << 20;
const MEMTABLE_BYTES: u64 = 8 << 20;
const JOURNALS_BYTES: u64 = 512 << 20;

const POSTS: &str = "posts";
const MAP: &str = "map";
const COMMITTED: &str = "committed";
const RESERVED: &str = "reserve";

const FORMAT_KEY: &[u8] = b"format";
const BATCH_KEY: &[u8] = b"batch";

/// The store in a directory.
pub struct EmbeddedStore {
    path: PathBuf,
    /// `None` while the map could not be opened again.
    map: RwLock<Option<Map>>,
    segments: Mutex<Segments>,
    /// Held by the thread that commits.
    commit: Mutex<Commit>,
    watermark: Watermark,
    disk: Arc<dyn Disk>,
    reserve: Reserve,
    /// Where the map is, when nothing may be written.
    scratch: Option<Scratch>,
    generation: AtomicU64,
    min_free_bytes: AtomicU64,
    is_nearly_full: AtomicBool,
    damaged: AtomicU64,
}

struct Map {
    database: Database,
    spaces: Vec<(KeySpace, Keyspace)>,
}

#[derive(Default)]
struct Commit {
    /// The number of the last batch that was tried.
    number: u64,
    /// Set while it is unknown whether that one counted.
    doubt: Option<UnsureBatch>,
}

/// What becomes dead, depending on whether a batch counted.
struct UnsureBatch {
    added: Vec<PostLocation>,
    removed: Vec<PostLocation>,
}

impl EmbeddedStore {
    /// Opens the store in `path`, or makes one there.
    ///
    /// # Errors
    /// When the directory is in use, damaged, of a newer format, or cannot be read.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        Self::open_on(path, Arc::new(RealDisk))
    }

    /// As [`Self::open`], with its own files on `disk`.
    ///
    /// # Errors
    /// When the directory is in use, damaged, of a newer format, or cannot be read.
    pub fn open_on(path: &Path, disk: Arc<dyn Disk>) -> Result<Self, StoreError> {
        let posts = path.join(POSTS);
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&posts)
            .map_err(io_failed)?;
        let reserve = Reserve::open(&disk, path.join(RESERVED))?;
        let available = disk.available(path).map_err(io_failed)?;
        if available < MIN_FREE_BYTES / RELEASE_BELOW {
            // Opening may need some of it.
            reserve.release()?;
        }
        let watermark = Watermark::open(&*disk, &path.join(COMMITTED))?;
        let map = Map::open(&path.join(MAP))?;
        let number = map.batch_number()?;
        watermark.check(number)?;
        let segments = Segments::open(&disk, &posts, map.live()?)?;
        let store = Self::opened(path, disk, (map, number), segments, watermark, None)?;
        // What is known of the space at first, before something is committed.
        let _ = store.look_at_space();
        Ok(store)
    }

    /// Opens the store in `path` only to read it: nothing in there is changed.
    ///
    /// # Errors
    /// When the directory is damaged, of a newer format, or cannot be read.
    pub fn open_to_read(path: &Path) -> Result<Self, StoreError> {
        let disk: Arc<dyn Disk> = Arc::new(RealDisk);
        let watermark = Watermark::open_to_read(&*disk, &path.join(COMMITTED))?;
        let scratch = Scratch::copy(&path.join(MAP)).map_err(io_failed)?;
        let map = Map::open(scratch.path())?;
        let number = map.batch_number()?;
        watermark.check(number)?;
        let segments = Segments::open_to_read(&disk, &path.join(POSTS), map.live()?)?;
        let scratch = Some(scratch);
        Self::opened(path, disk, (map, number), segments, watermark, scratch)
    }

    fn opened(
        path: &Path,
        disk: Arc<dyn Disk>,
        (map, number): (Map, u64),
        segments: Segments,
        watermark: Watermark,
        scratch: Option<Scratch>,
    ) -> Result<Self, StoreError> {
        Ok(Self {
            path: path.to_owned(),
            map: RwLock::new(Some(map)),
            segments: Mutex::new(segments),
            commit: Mutex::new(Commit {
                number,
                doubt: None,
            }),
            watermark,
            reserve: Reserve::open(&disk, path.join(RESERVED))?,
            disk,
            scratch,
            generation: AtomicU64::new(0),
            min_free_bytes: AtomicU64::new(MIN_FREE_BYTES),
            is_nearly_full: AtomicBool::new(false),
            damaged: AtomicU64::new(0),
        })
    }

    /// Sets below how many free bytes the disk is called nearly full; for tests of that.
    pub fn set_min_free_bytes(&self, bytes: u64) {
        self.min_free_bytes.store(bytes, Ordering::Relaxed);
    }

    fn with_map<T>(
        &self,
        read: impl FnOnce(&Map) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        match &*self.map.read() {
            Some(map) => unpanicked(|| read(map)),
            None => Err(StoreError::Io("the store could not be opened again".into())),
        }
    }

    /// Reads the post under `key`, whose place was found to be `place`.
    fn post(&self, key: &[u8], mut place: Bytes) -> Result<Option<Bytes>, StoreError> {
        loop {
            let error = match self.post_at(&place) {
                Ok(post) => return Ok(Some(post)),
                Err(error) => error,
            };
            // It may have been deleted, and erased, since its place was read.
            match self.with_map(|map| map.get(KeySpace::Posts, key))? {
                None => return Ok(None),
                Some(same) if same == place => return Err(error),
                Some(other) => place = other,
            }
        }
    }

    fn post_at(&self, place: &[u8]) -> Result<Bytes, StoreError> {
        let place = PostLocation::decode(place).ok_or_else(segments::damaged)?;
        let file = self.segments.lock().file(place);
        let file = file.ok_or_else(segments::damaged)?;
        segments::read(&*file, place)
    }

    /// Writes posts. Nobody who reads waits for it.
    fn append(&self, posts: &[Bytes]) -> Result<Vec<PostLocation>, StoreError> {
        let Some(append) = self.segments.lock().append(posts)? else {
            return Ok(Vec::new());
        };
        let written = append.write(posts);
        let counted = self.segments.lock().appended(&append, written.is_ok());
        written.and(counted).map(|()| append.places)
    }

    /// Erases some of what has been dead for `age_ms`; gives whether there was something.
    fn erase(&self, now_ms: u64, age_ms: u64) -> Result<bool, StoreError> {
        if self.scratch.is_some() {
            return Ok(false);
        }
        let (erasures, removed) = self.segments.lock().due(now_ms, age_ms);
        let is_some = !erasures.is_empty();
        let mut result = removed.map(|()| is_some);
        for erasure in erasures {
            if let Err(error) = erasure.run() {
                self.segments.lock().not_erased(erasure);
                result = Err(error);
            }
        }
        result
    }

    fn forget(&self, places: Vec<PostLocation>) {
        let mut segments = self.segments.lock();
        for place in places {
            segments.forget(place);
        }
    }

    /// Notes how much space is left, which it gives, and has the reserve there or gone
    /// accordingly.
    fn look_at_space(&self) -> Result<u64, StoreError> {
        let least = self.min_free_bytes.load(Ordering::Relaxed);
        let mut available = self.disk.available(&self.path).map_err(io_failed)?;
        if available < least / RELEASE_BELOW && self.reserve.release()? {
            available = self.disk.available(&self.path).map_err(io_failed)?;
        }
        self.is_nearly_full
            .store(available < least, Ordering::Relaxed);
        Ok(available)
    }

    /// Makes the reserve again where there is plenty.
    fn keep_reserve(&self, available: u64) {
        let least = self.min_free_bytes.load(Ordering::Relaxed);
        let bytes = least / RESERVE;
        if self.reserve.bytes() == 0 && available >= least.saturating_add(bytes) {
            // It is tried again the next time.
            let _ = self.reserve.keep(bytes);
        }
    }

    /// Refuses what would not fit, before anything is touched.
    fn check_space(&self, writes: &[Write]) -> Result<(), StoreError> {
        let values = writes.iter().filter_map(|write| write.value.as_ref());
        self.check_bytes(values.map(|value| value.len() as u64).sum())
    }

    fn check_bytes(&self, bytes: u64) -> Result<(), StoreError> {
        let available = self.look_at_space()?;
        let least = self.min_free_bytes.load(Ordering::Relaxed);
        let leave = if bytes > least / LARGE {
            least / LEAVE
        } else {
            least / LEAVE_LITTLE
        };
        if available < bytes.saturating_add(leave) {
            return Err(StoreError::Full { available });
        }
        Ok(())
    }

    /// Makes sure that it is known what the last batch came to, which its caller was
    /// told had failed.
    fn settle(&self, commit: &mut Commit) -> Result<(), StoreError> {
        if commit.doubt.is_some() {
            self.resolve(commit, true)?;
        }
        Ok(())
    }

    /// Commits, if the batch's number is the one that is given.
    fn commit_as(&self, given: Option<u64>, writes: &[Write]) -> Result<(), StoreError> {
        if self.scratch.is_some() {
            return Err(StoreError::Io("it was opened only to be read".into()));
        }
        let mut commit = self.commit.lock();
        self.settle(&mut commit)?;
        let number = commit.number + 1;
        if let Some(given) = given.filter(|given| *given != number) {
            return Err(StoreError::OutOfOrder {
                given,
                next: number,
            });
        }
        self.check_space(writes)?;
        let posts: Vec<Bytes> = writes
            .iter()
            .filter(|write| write.space == KeySpace::Posts)
            .filter_map(|write| write.value.clone())
            .collect();
        let added = match self.append(&posts) {
            Err(StoreError::Full { .. }) if self.reserve.release()? => self.append(&posts)?,
            appended => appended?,
        };
        let tried = self.with_map(|map| {
            let (batch, removed) = map.batch(writes, &added, number, &self.damaged)?;
            let mut batch = Some(batch);
            let mut journal = || match batch.take() {
                Some(batch) => unpanicked(|| batch.commit().map_err(map_failed)),
                None => Err(StoreError::Io("a batch was committed twice".into())),
            };
            Ok((removed, self.disk.journal(&mut journal)))
        });
        let (removed, result) = match tried {
            Ok(tried) => tried,
            Err(error) => {
                self.forget(added);
                return Err(error);
            }
        };
        commit.number = number;
        let Err(error) = result else {
            self.watermark.raise(number);
            self.forget(removed);
            return Ok(());
        };
        commit.doubt = Some(UnsureBatch { added, removed });
        if matches!(error, StoreError::Full { .. }) {
            let _ = self.reserve.release();
        }
        match self.resolve(&mut commit, false) {
            Ok(true) => Ok(()),
            Ok(false) | Err(_) => Err(error),
        }
    }

    /// Opens the map again and asks it whether the last batch counted. If so, and if
    /// its caller believes otherwise, a new generation begins.
    fn resolve(&self, commit: &mut Commit, is_a_surprise: bool) -> Result<bool, StoreError> {
        let path = self.path.join(MAP);
        let mut map = self.map.write();
        // The old one must be closed before its lock can be taken again.
        *map = None;
        watermark::sync_again(&path)?;
        let new = Map::open(&path)?;
        let number = new.batch_number()?;
        self.watermark.check(number)?;
        let counted = number == commit.number;
        if counted {
            self.watermark.raise(number);
            if is_a_surprise {
                self.generation.fetch_add(1, Ordering::Relaxed);
            }
        }
        *map = Some(new);
        drop(map);
        if let Some(UnsureBatch { added, removed }) = commit.doubt.take() {
            self.forget(if counted { removed } else { added });
        }
        Ok(counted)
    }
}

impl Store for EmbeddedStore {
    fn get(&self, space: KeySpace, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        let value = self.with_map(|map| map.get(space, key))?;
        match value {
            Some(place) if space == KeySpace::Posts => self.post(key, place),
            value => Ok(value),
        }
    }

    fn scan(
        &self,
        space: KeySpace,
        from: &[u8],
        to: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<Record>, StoreError> {
        if to.is_some_and(|to| to <= from) {
            return Ok(Vec::new());
        }
        let records = self.with_map(|map| map.scan(space, from, to, limit))?;
        if space != KeySpace::Posts {
            return Ok(records);
        }
        let mut posts = Vec::with_capacity(records.len());
        for (key, place) in records {
            let post = self.post(&key, place)?;
            posts.extend(post.map(|post| (key, post)));
        }
        Ok(posts)
    }

    fn last_key(&self, space: KeySpace) -> Result<Option<Bytes>, StoreError> {
        self.with_map(|map| {
            let last = map.space(space)?.last_key_value();
            last.map(|guard| {
                guard
                    .key()
                    .map(|key| Bytes::copy_from_slice(&key))
                    .map_err(map_failed)
            })
            .transpose()
        })
    }

    fn count(&self, space: KeySpace) -> Result<u64, StoreError> {
        self.with_map(|map| Ok(map.space(space)?.len().map_err(map_failed)? as u64))
    }

    fn commit(&self, writes: Vec<Write>) -> Result<(), StoreError> {
        self.commit_as(None, &writes)
    }

    fn next_batch(&self) -> u64 {
        self.commit.lock().number + 1
    }

    fn commit_numbered(&self, number: u64, writes: Vec<Write>) -> Result<(), StoreError> {
        self.commit_as(Some(number), &writes)
    }

    fn check_room(&self, writes: &[Write]) -> Result<(), StoreError> {
        self.check_space(writes)
    }

    fn is_nearly_full(&self) -> bool {
        self.is_nearly_full.load(Ordering::Relaxed)
    }

    fn generation(&self) -> u64 {
        self.generation.load(Ordering::Relaxed)
    }

    fn maintain(&self, now_ms: u64) -> Result<(), StoreError> {
        if self.scratch.is_some() {
            return Ok(());
        }
        // Notes whether there is room: posts are taken again as soon as there is. That
        // there is none is no failure of housekeeping.
        if let Ok(available) = self.look_at_space() {
            self.keep_reserve(available);
        }
        // The thread that commits now settles it as well.
        let settled = match self.commit.try_lock() {
            Some(mut commit) => self.settle(&mut commit),
            None => Ok(()),
        };
        // Space that may be had at once is not waited for.
        let age_ms = if self.is_nearly_full() {
            0
        } else {
            ERASE_AFTER_MS
        };
        let erased = self.erase(now_ms, age_ms).map(|_| ());
        settled.and(erased)
    }

    fn erase_now(&self) -> Result<(), StoreError> {
        while self.erase(u64::MAX, 0)? {}
        Ok(())
    }

    fn usage(&self) -> Usage {
        let (files, live_post_bytes) = self.segments.lock().usage();
        let map = self.with_map(|map| map.database.disk_space().map_err(map_failed));
        Usage {
            bytes_on_disk: files + map.unwrap_or(0) + self.reserve.bytes(),
            live_post_bytes,
        }
    }

    fn damaged(&self) -> u64 {
        self.damaged.load(Ordering::Relaxed)
    }
}

impl Map {
    fn open(path: &Path) -> Result<Self, StoreError> {
        unpanicked(|| Self::open_in(path))
    }

    fn open_in(path: &Path) -> Result<Self, StoreError> {
        let is_new = !path.try_exists().map_err(io_failed)?
            || fs::read_dir(path).map_err(io_failed)?.next().is_none();
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(path)
            .map_err(io_failed)?;
        let database = Database::builder(path)
            .cache_size(CACHE_BYTES)
            .max_journaling_size(JOURNALS_BYTES)
            .manual_journal_persist(true)
            .open()
            .map_err(map_failed)?;
        let mut spaces = Vec::with_capacity(KeySpace::ALL.len());
        for space in KeySpace::ALL {
            let options = || {
                KeyspaceCreateOptions::default()
                    .max_memtable_size(MEMTABLE_BYTES)
                    .manual_journal_persist(true)
            };
            let keyspace = database
                .keyspace(space.name(), options)
                .map_err(map_failed)?;
            spaces.push((space, keyspace));
        }
        let map = Self { database, spaces };
        map.check_format(is_new)?;
        Ok(map)
    }

    fn check_format(&self, is_new: bool) -> Result<(), StoreError> {
        let meta = self.space(KeySpace::Meta)?;
        let Some(found) = meta.get(FORMAT_KEY).map_err(map_failed)? else {
            // A first start that was cut off may have left an empty one.
            let is_empty = is_new || meta.is_empty().map_err(map_failed)?;
            if !is_empty {
                return Err(StoreError::Damaged(
                    "it does not name its format: restore a backup".into(),
                ));
            }
            let format = FORMAT_VERSION.to_be_bytes();
            let mut batch = self
                .database
                .batch()
                .durability(Some(PersistMode::SyncData));
            batch.insert(meta, FORMAT_KEY, format);
            return batch.commit().map_err(map_failed);
        };
        let Ok(found) = found.as_ref().try_into().map(u32::from_be_bytes) else {
            return Err(StoreError::Damaged(
                "its format is not readable: restore a backup".into(),
            ));
        };
        if found == FORMAT_VERSION {
            Ok(())
        } else {
            Err(StoreError::UnknownFormat { found })
        }
    }

    fn space(&self, space: KeySpace) -> Result<&Keyspace, StoreError> {
        let found = self.spaces.iter().find(|(known, _)| *known == space);
        let (_, keyspace) =
            found.ok_or_else(|| StoreError::Io("a key space is not open".into()))?;
        Ok(keyspace)
    }

    fn get(&self, space: KeySpace, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        let value = self.space(space)?.get(key).map_err(map_failed)?;
        Ok(value.map(|value| Bytes::copy_from_slice(&value)))
    }

    fn scan(
        &self,
        space: KeySpace,
        from: &[u8],
        to: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<Record>, StoreError> {
        let keyspace = self.space(space)?;
        let range = match to {
            Some(to) => keyspace.range(from..to),
            None => keyspace.range(from..),
        };
        range
            .take(limit)
            .map(|guard| {
                let (key, value) = guard.into_inner().map_err(map_failed)?;
                Ok((Bytes::copy_from_slice(&key), Bytes::copy_from_slice(&value)))
            })
            .collect()
    }

    /// The writes as a batch of the map, and the places of the posts that they delete
    /// or replace.
    fn batch(
        &self,
        writes: &[Write],
        added: &[PostLocation],
        number: u64,
        damaged: &AtomicU64,
    ) -> Result<(fjall::OwnedWriteBatch, Vec<PostLocation>), StoreError> {
        let mut batch = self
            .database
            .batch()
            .durability(Some(PersistMode::SyncData));
        let mut added = added.iter().copied();
        let mut removed = Vec::new();
        // Where the posts that this batch touches lie by now.
        let mut touched: HashMap<&[u8], Option<PostLocation>> = HashMap::new();
        for write in writes {
            let keyspace = self.space(write.space)?;
            let key = write.key.as_slice();
            if write.space == KeySpace::Posts {
                let place = match write.value {
                    Some(_) => Some(
                        added
                            .next()
                            .ok_or_else(|| StoreError::Io("a post has no place".into()))?,
                    ),
                    None => None,
                };
                let before = match touched.insert(key, place) {
                    Some(before) => before,
                    None => match unpanicked(|| keyspace.get(key).map_err(map_failed)) {
                        Ok(place) => place.and_then(|place| PostLocation::decode(&place)),
                        // Nobody can read it any more: it is erased when the store is
                        // opened the next time, and keeps nothing else from being
                        // deleted.
                        Err(StoreError::Damaged(_)) => {
                            damaged.fetch_add(1, Ordering::Relaxed);
                            None
                        }
                        Err(error) => return Err(error),
                    },
                };
                removed.extend(before);
                match place {
                    Some(place) => batch.insert(keyspace, key, place.encode()),
                    None => batch.remove(keyspace, key),
                }
            } else {
                match &write.value {
                    Some(value) => batch.insert(keyspace, key, value.as_ref()),
                    None => batch.remove(keyspace, key),
                }
            }
        }
        let meta = self.space(KeySpace::Meta)?;
        batch.insert(meta, BATCH_KEY, number.to_be_bytes());
        Ok((batch, removed))
    }

    /// The number of the last batch that counted.
    fn batch_number(&self) -> Result<u64, StoreError> {
        let number = self.get(KeySpace::Meta, BATCH_KEY)?;
        Ok(number.map_or(0, |number| {
            number.as_ref().try_into().map_or(0, u64::from_be_bytes)
        }))
    }

    /// Where posts lie. A place that does not decode is [`super::check`]'s to report.
    fn live(&self) -> Result<LivePosts, StoreError> {
        unpanicked(|| {
            let mut live = LivePosts::default();
            for guard in self.space(KeySpace::Posts)?.iter() {
                let value = guard.value().map_err(map_failed)?;
                if let Some(place) = PostLocation::decode(&value) {
                    live.add(place);
                }
            }
            Ok(live)
        })
    }
}

/// Damaged files can make the map's own code panic: that is damage as well.
fn unpanicked<T>(work: impl FnOnce() -> Result<T, StoreError>) -> Result<T, StoreError> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| {
        Err(StoreError::Damaged(
            "its files cannot be made sense of: restore a backup, or keep a copy of the \
             directory and ask for help"
                .into(),
        ))
    })
}

fn map_failed(error: fjall::Error) -> StoreError {
    match error {
        fjall::Error::Io(error) | fjall::Error::Storage(fjall::LsmError::Io(error)) => {
            io_failed(error)
        }
        fjall::Error::Locked => StoreError::InUse,
        fjall::Error::Poisoned => StoreError::Io("an earlier write failed".into()),
        error => StoreError::Damaged(format!(
            "{error:?}; restore a backup, or keep a copy of the directory and ask for help"
        )),
    }
}

#[allow(clippy::needless_pass_by_value, reason = "`map_err` hands it over")]
fn io_failed(error: std::io::Error) -> StoreError {
    match error.kind() {
        std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => {
            StoreError::Full { available: 0 }
        }
        _ => StoreError::Io(error.to_string()),
    }
}
