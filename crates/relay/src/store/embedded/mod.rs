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
//! again and asked.

mod segments;

use std::fs::{self, DirBuilder};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};
use parking_lot::{Mutex, RwLock};

use self::segments::{Place, Segments};
use super::{FORMAT_VERSION, KeySpace, Record, Store, StoreError, Usage, Write};

/// Below this many free bytes nothing is written, so that what is there stays sound.
const MIN_FREE_BYTES: u64 = 64 << 20;
/// Deleted posts are overwritten after this; until then their whole segment may go.
const ERASE_AFTER_MS: u64 = 60 * 1000;
const CACHE_BYTES: u64 = 64 << 20;
const MEMTABLE_BYTES: u64 = 16 << 20;
const JOURNALS_BYTES: u64 = 512 << 20;

const FORMAT_KEY: &[u8] = b"format";
const BATCH_KEY: &[u8] = b"batch";

/// The store in a directory.
pub struct EmbeddedStore {
    path: PathBuf,
    /// `None` while the map could not be opened again.
    map: RwLock<Option<Map>>,
    segments: Mutex<Segments>,
    /// Taken by whoever commits.
    commit: Mutex<Commit>,
    generation: AtomicU64,
    min_free_bytes: AtomicU64,
}

struct Map {
    database: Database,
    spaces: Vec<(KeySpace, Keyspace)>,
}

#[derive(Default)]
struct Commit {
    /// The number of the last batch that was tried.
    number: u64,
    /// Whether it is unknown if that one counted.
    is_in_doubt: bool,
}

impl EmbeddedStore {
    /// Opens the store in `path`, or makes one there.
    ///
    /// # Errors
    /// When the directory is in use, damaged, of a newer format, or cannot be read.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let posts = path.join("posts");
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&posts)
            .map_err(io_failed)?;
        let map = Map::open(&path.join("map"))?;
        let number = map.batch_number()?;
        let places = map.places()?;
        let segments = Segments::open(&posts, places.into_iter())?;
        Ok(Self {
            path: path.to_owned(),
            map: RwLock::new(Some(map)),
            segments: Mutex::new(segments),
            commit: Mutex::new(Commit {
                number,
                is_in_doubt: false,
            }),
            generation: AtomicU64::new(0),
            min_free_bytes: AtomicU64::new(MIN_FREE_BYTES),
        })
    }

    /// Sets below how many free bytes commits are refused; for tests of a full disk.
    pub fn set_min_free_bytes(&self, bytes: u64) {
        self.min_free_bytes.store(bytes, Ordering::Relaxed);
    }

    fn with_map<T>(
        &self,
        read: impl FnOnce(&Map) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        match &*self.map.read() {
            Some(map) => read(map),
            None => Err(StoreError::Io("the store could not be opened again".into())),
        }
    }

    fn post(&self, place: &[u8]) -> Result<Bytes, StoreError> {
        let place = Place::decode(place).ok_or_else(segments::damaged)?;
        let file = self.segments.lock().file(place);
        segments::read(file.ok_or_else(segments::damaged)?.as_ref(), place)
    }

    /// Writes posts. Nobody who reads waits for it.
    fn append(&self, posts: &[Bytes]) -> Result<Vec<Place>, StoreError> {
        let Some(append) = self.segments.lock().append(posts)? else {
            return Ok(Vec::new());
        };
        let written = append.write(posts);
        self.segments.lock().appended(&append, written.is_ok());
        written.map(|()| append.places)
    }

    /// Erases some of what has been dead for `age_ms`; gives whether there was something.
    fn erase(&self, now_ms: u64, age_ms: u64) -> Result<bool, StoreError> {
        let erasures = self.segments.lock().due(now_ms, age_ms)?;
        let is_some = !erasures.is_empty();
        let mut result = Ok(is_some);
        for erasure in erasures {
            if let Err(error) = erasure.run() {
                self.segments.lock().not_erased(erasure);
                result = Err(error);
            }
        }
        result
    }

    /// Refuses what would not fit, before anything is touched.
    fn check_space(&self) -> Result<(), StoreError> {
        let least = self.min_free_bytes.load(Ordering::Relaxed);
        let space = rustix::fs::statvfs(&self.path).map_err(|error| io_failed(error.into()))?;
        let available = space.f_bavail.saturating_mul(space.f_frsize);
        if available < least {
            Err(StoreError::Full { available })
        } else {
            Ok(())
        }
    }

    /// Makes sure that the map is open and that it is known what the last batch came to.
    fn settle(&self, commit: &mut Commit) -> Result<(), StoreError> {
        if self.map.read().is_some() && !commit.is_in_doubt {
            return Ok(());
        }
        if self.reopen(commit.number)? {
            // The relay was told that it had failed.
            self.generation.fetch_add(1, Ordering::Relaxed);
        }
        commit.is_in_doubt = false;
        Ok(())
    }

    /// Opens the map again; gives whether batch `number` is in it.
    fn reopen(&self, number: u64) -> Result<bool, StoreError> {
        let mut map = self.map.write();
        // The old one must be closed before its lock can be taken again.
        *map = None;
        let new = Map::open(&self.path.join("map"))?;
        let counted = new.batch_number()? == number;
        *map = Some(new);
        Ok(counted)
    }
}

impl Store for EmbeddedStore {
    fn get(&self, space: KeySpace, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        let value = self.with_map(|map| map.get(space, key))?;
        match value {
            Some(place) if space == KeySpace::Posts => self.post(&place).map(Some),
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
        let mut records = self.with_map(|map| map.scan(space, from, to, limit))?;
        if space == KeySpace::Posts {
            for (_, value) in &mut records {
                *value = self.post(value)?;
            }
        }
        Ok(records)
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
        let mut commit = self.commit.lock();
        self.settle(&mut commit)?;
        self.check_space()?;
        let posts: Vec<Bytes> = writes
            .iter()
            .filter(|write| write.space == KeySpace::Posts)
            .filter_map(|write| write.value.clone())
            .collect();
        let added = self.append(&posts)?;
        let number = commit.number + 1;
        let (result, removed) = {
            let map = self.map.read();
            let Some(map) = &*map else {
                return Err(StoreError::Io("the store is closed".into()));
            };
            match map.batch(&writes, &added, number) {
                Ok((batch, removed)) => (batch.commit().map_err(map_failed), removed),
                Err(error) => (Err(error), Vec::new()),
            }
        };
        commit.number = number;
        let result = match result {
            Ok(()) => Ok(()),
            Err(error) => match self.reopen(number) {
                Ok(true) => Ok(()),
                Ok(false) => Err(error),
                Err(_) => {
                    commit.is_in_doubt = true;
                    return Err(error);
                }
            },
        };
        let mut segments = self.segments.lock();
        let forgotten = if result.is_ok() { removed } else { added };
        for place in forgotten {
            segments.forget(place);
        }
        result
    }

    fn generation(&self) -> u64 {
        self.generation.load(Ordering::Relaxed)
    }

    fn maintain(&self, now_ms: u64) -> Result<(), StoreError> {
        self.erase(now_ms, ERASE_AFTER_MS).map(|_| ())
    }

    fn erase_now(&self) -> Result<(), StoreError> {
        while self.erase(u64::MAX, 0)? {}
        Ok(())
    }

    fn usage(&self) -> Usage {
        let (files, live_post_bytes) = self.segments.lock().usage();
        let map = self.with_map(|map| map.database.disk_space().map_err(map_failed));
        Usage {
            bytes_on_disk: files + map.unwrap_or(0),
            live_post_bytes,
        }
    }
}

impl Map {
    fn open(path: &Path) -> Result<Self, StoreError> {
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
        let found = found.as_ref().try_into().map_or(0, u32::from_be_bytes);
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

    /// The writes as a batch of the map, and the places of the posts that they delete.
    fn batch(
        &self,
        writes: &[Write],
        added: &[Place],
        number: u64,
    ) -> Result<(fjall::OwnedWriteBatch, Vec<Place>), StoreError> {
        let mut batch = self
            .database
            .batch()
            .durability(Some(PersistMode::SyncData));
        let mut added = added.iter();
        let mut removed = Vec::new();
        for write in writes {
            let keyspace = self.space(write.space)?;
            let is_post = write.space == KeySpace::Posts;
            if is_post && write.value.is_none() {
                let place = keyspace.get(&write.key).map_err(map_failed)?;
                removed.extend(place.and_then(|place| Place::decode(&place)));
            }
            match &write.value {
                Some(_) if is_post => {
                    let place = added
                        .next()
                        .ok_or_else(|| StoreError::Io("a post has no place".into()))?;
                    batch.insert(keyspace, write.key.as_slice(), place.encode());
                }
                Some(value) => batch.insert(keyspace, write.key.as_slice(), value.as_ref()),
                None => batch.remove(keyspace, write.key.as_slice()),
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

    /// Where all posts lie. A place that does not decode is [`super::check`]'s to report.
    fn places(&self) -> Result<Vec<Place>, StoreError> {
        let mut places = Vec::new();
        for guard in self.space(KeySpace::Posts)?.iter() {
            let value = guard.value().map_err(map_failed)?;
            places.extend(Place::decode(&value));
        }
        Ok(places)
    }
}

fn map_failed(error: fjall::Error) -> StoreError {
    match error {
        fjall::Error::Io(error) => io_failed(error),
        fjall::Error::Storage(fjall::LsmError::Io(error)) => io_failed(error),
        fjall::Error::Locked => StoreError::InUse,
        fjall::Error::Poisoned => StoreError::Io("an earlier write failed".into()),
        error => StoreError::Damaged(format!(
            "{error:?}; restore a backup, or keep a copy of the directory and ask for help"
        )),
    }
}

fn io_failed(error: std::io::Error) -> StoreError {
    match error.kind() {
        std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => {
            StoreError::Full { available: 0 }
        }
        _ => StoreError::Io(error.to_string()),
    }
}
