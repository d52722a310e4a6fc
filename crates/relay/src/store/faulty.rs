//! A disk that is slow, fails, fills up and loses what was not synced, for tests and
//! simulations of the store.
//!
//! **Elsewhere**: the store that runs on it is [`super::embedded`]; the calls are those of
//! [`Disk`].
//!
//! **Always**: the same seed and the same calls cause the same faults. Files are real files:
//! what a fault leaves there is what the store finds. The map's own files are not on this
//! disk: a batch of the map is one call, which is delayed, refused before it begins, or
//! reported as failed although it counted.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::{Condvar, Mutex};

use super::StoreError;
use super::embedded::disk::{Access, Disk, DiskFile, RealDisk};

/// What the store asks of a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Call {
    /// Opens a file, or makes one.
    Open,
    /// Reads from a file.
    Read,
    /// Writes to a file.
    Write,
    /// Erases a stretch of a file.
    Erase,
    /// Makes a file's content durable.
    Sync,
    /// Takes space for a file.
    Allocate,
    /// Removes a file.
    Remove,
    /// Makes a directory's names durable.
    SyncDirectory,
    /// Has the map commit a batch.
    Journal,
}

/// What goes wrong with a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// It fails, and nothing was done.
    Before(io::ErrorKind),
    /// It fails half-way: of a write, the first half was done; of a journal nothing; of
    /// anything else everything.
    Halfway(io::ErrorKind),
    /// It fails, and everything was done.
    After(io::ErrorKind),
}

/// Which of the writes that were not synced a power cut takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lost {
    /// All of them.
    All,
    /// Some of them, by this seed.
    Some(u64),
}

/// How often calls fail by themselves, each of a thousand.
#[derive(Clone, Copy, Debug, Default)]
pub struct Chances {
    /// Calls that fail before, half-way or after.
    pub fails: u16,
    /// Reads that fail.
    pub read_fails: u16,
}

type Watch = Box<dyn FnMut(u64, Call) + Send>;

/// A disk with faults.
#[derive(Clone)]
pub struct FaultyDisk(Arc<Shared>);

struct Shared {
    state: Mutex<FaultyState>,
    watch: Mutex<Option<Watch>>,
    moved: Condvar,
}

struct FaultyState {
    random: u64,
    calls: u64,
    planned: BTreeMap<u64, Failure>,
    next: HashMap<Call, Failure>,
    chances: Chances,
    held: HashMap<Point, Hold>,
    is_dead: bool,
    /// Bytes that may still be written.
    room: Option<u64>,
    files: HashMap<PathBuf, Unsynced>,
    removed: HashMap<PathBuf, Vec<u8>>,
}

/// Which call is held.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Point {
    Next(Call),
    Number(u64),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Hold {
    /// The call will stop.
    Armed,
    /// It has.
    Stopped(Call),
}

/// What a power cut would undo of a file.
#[derive(Default)]
struct Unsynced {
    /// Where something was written, and what was there before: shorter at the end of the
    /// file.
    writes: Vec<(u64, Vec<u8>, usize)>,
    /// How long it was before the first of them.
    length: u64,
    /// Its name is not in the directory yet.
    is_new: bool,
}

/// A call that is held; it goes on when this is dropped.
#[must_use]
pub struct HeldCall {
    disk: FaultyDisk,
    point: Point,
}

impl FaultyDisk {
    /// A disk without faults, whose chances follow from `seed`.
    pub fn new(seed: u64) -> Self {
        Self(Arc::new(Shared {
            state: Mutex::new(FaultyState {
                random: seed ^ 0x9e37_79b9_7f4a_7c15,
                calls: 0,
                planned: BTreeMap::new(),
                next: HashMap::new(),
                chances: Chances::default(),
                held: HashMap::new(),
                is_dead: false,
                room: None,
                files: HashMap::new(),
                removed: HashMap::new(),
            }),
            watch: Mutex::new(None),
            moved: Condvar::new(),
        }))
    }

    /// Calls that were made.
    pub fn calls(&self) -> u64 {
        self.0.state.lock().calls
    }

    /// The call with this number (the first has 0) fails.
    pub fn fail_at(&self, number: u64, failure: Failure) {
        self.0.state.lock().planned.insert(number, failure);
    }

    /// The next call of this kind fails.
    pub fn fail_next(&self, call: Call, failure: Failure) {
        self.0.state.lock().next.insert(call, failure);
    }

    /// Calls fail by chance from now on.
    pub fn set_chances(&self, chances: Chances) {
        self.0.state.lock().chances = chances;
    }

    /// The next call of this kind stops before it does anything.
    pub fn hold(&self, call: Call) -> HeldCall {
        self.hold_point(Point::Next(call))
    }

    /// The call with this number (the first has 0) stops before it does anything.
    pub fn hold_at(&self, number: u64) -> HeldCall {
        self.hold_point(Point::Number(number))
    }

    fn hold_point(&self, point: Point) -> HeldCall {
        self.0.state.lock().held.insert(point, Hold::Armed);
        HeldCall {
            disk: self.clone(),
            point,
        }
    }

    /// So many bytes can still be written; without a number, as many as the medium has.
    pub fn set_room(&self, room: Option<u64>) {
        self.0.state.lock().room = room;
    }

    /// Nothing works any more, or everything does again.
    pub fn set_dead(&self, is_dead: bool) {
        self.0.state.lock().is_dead = is_dead;
    }

    /// Has `watch` see every call before it is made, and a journal also once it is done;
    /// reads are not shown.
    pub fn watch(&self, watch: impl FnMut(u64, Call) + Send + 'static) {
        *self.0.watch.lock() = Some(Box::new(watch));
    }

    /// Ends what [`Self::watch`] began.
    pub fn unwatch(&self) {
        *self.0.watch.lock() = None;
    }

    /// Takes, from the files below `directory`, what was not synced, as a power cut does;
    /// nobody has them open. What is there then is as good as synced.
    ///
    /// # Errors
    /// When the files cannot be changed.
    pub fn lose(&self, directory: &Path, lost: Lost) -> io::Result<()> {
        self.lose_in(directory, directory, lost)?;
        let mut state = self.0.state.lock();
        state.files.clear();
        state.removed.clear();
        Ok(())
    }

    /// As [`Self::lose`], in a copy of the directory; this disk goes on.
    ///
    /// # Errors
    /// When the files cannot be changed.
    pub fn lose_in(&self, directory: &Path, copy: &Path, lost: Lost) -> io::Result<()> {
        let state = self.0.state.lock();
        let mut random = match lost {
            Lost::All => 0,
            Lost::Some(seed) => seed | 1,
        };
        let mut is_lost = || random == 0 || next(&mut random).is_multiple_of(2);
        let mut files: Vec<_> = state.files.iter().collect();
        files.sort_unstable_by_key(|(path, _)| path.as_path());
        for (path, unsynced) in files {
            let Ok(name) = path.strip_prefix(directory) else {
                continue;
            };
            let path = copy.join(name);
            if !path.try_exists()? {
                continue;
            }
            if unsynced.is_new && is_lost() {
                std::fs::remove_file(&path)?;
                continue;
            }
            let file = std::fs::OpenOptions::new().write(true).open(&path)?;
            let mut is_whole = true;
            for (offset, before, length) in unsynced.writes.iter().rev() {
                if is_lost() {
                    let mut bytes = before.clone();
                    bytes.resize(*length, 0);
                    std::os::unix::fs::FileExt::write_all_at(&file, &bytes, *offset)?;
                } else {
                    is_whole = false;
                }
            }
            if is_whole && !unsynced.writes.is_empty() {
                file.set_len(unsynced.length)?;
            }
        }
        let mut removed: Vec<_> = state.removed.iter().collect();
        removed.sort_unstable_by_key(|(path, _)| path.as_path());
        for (path, content) in removed {
            if let Ok(name) = path.strip_prefix(directory)
                && is_lost()
            {
                let path = copy.join(name);
                if let Some(parent) = path.parent() {
                    std::fs::create_dir_all(parent)?;
                }
                std::fs::write(path, content)?;
            }
        }
        Ok(())
    }

    /// Lets the watch see a call, and waits where it is held; gives what goes wrong.
    fn begin(&self, call: Call) -> Result<Option<Failure>, io::Error> {
        let mut state = self.0.state.lock();
        if state.is_dead {
            return Err(io::Error::other("a dead disk"));
        }
        let number = state.calls;
        state.calls += 1;
        if call != Call::Read {
            drop(state);
            if let Some(watch) = &mut *self.0.watch.lock() {
                watch(number, call);
            }
            state = self.0.state.lock();
        }
        for point in [Point::Next(call), Point::Number(number)] {
            if state.held.get(&point) == Some(&Hold::Armed) {
                state.held.insert(point, Hold::Stopped(call));
                self.0.moved.notify_all();
                while state.held.contains_key(&point) {
                    self.0.moved.wait(&mut state);
                }
            }
        }
        if state.is_dead {
            return Err(io::Error::other("a dead disk"));
        }
        let planned = state.planned.remove(&number);
        let planned = planned.or_else(|| state.next.remove(&call));
        let failure = planned.or_else(|| state.by_chance(call));
        match failure {
            Some(Failure::Before(kind)) => Err(kind.into()),
            failure => Ok(failure),
        }
    }

    fn ended<T>(failure: Option<Failure>, done: T) -> io::Result<T> {
        match failure {
            Some(Failure::Before(kind) | Failure::Halfway(kind) | Failure::After(kind)) => {
                Err(kind.into())
            }
            None => Ok(done),
        }
    }
}

impl HeldCall {
    /// Waits until the call is held; gives which it is.
    pub fn wait(&self) -> Call {
        let shared = &self.disk.0;
        let mut state = shared.state.lock();
        loop {
            if let Some(Hold::Stopped(call)) = state.held.get(&self.point) {
                return *call;
            }
            shared.moved.wait(&mut state);
        }
    }
}

impl Drop for HeldCall {
    fn drop(&mut self) {
        self.disk.0.state.lock().held.remove(&self.point);
        self.disk.0.moved.notify_all();
    }
}

impl FaultyState {
    fn by_chance(&mut self, call: Call) -> Option<Failure> {
        let chance = match call {
            Call::Read => self.chances.read_fails,
            _ => self.chances.fails,
        };
        if chance == 0 || next(&mut self.random) % 1000 >= u64::from(chance) {
            return None;
        }
        let kind = io::ErrorKind::Other;
        Some(match next(&mut self.random) % 3 {
            0 => Failure::Before(kind),
            1 => Failure::Halfway(kind),
            _ => Failure::After(kind),
        })
    }

    /// How many of these bytes fit.
    fn take_room(&mut self, bytes: usize) -> usize {
        let Some(room) = &mut self.room else {
            return bytes;
        };
        let fit = usize::try_from(*room).unwrap_or(usize::MAX).min(bytes);
        *room -= fit as u64;
        fit
    }
}

/// SplitMix64.
const fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

impl Disk for FaultyDisk {
    fn open(&self, path: &Path, access: Access) -> io::Result<Arc<dyn DiskFile>> {
        let failure = self.begin(Call::Open)?;
        let is_new = access != Access::Read && !path.try_exists()?;
        let file = RealDisk.open(path, access)?;
        if is_new {
            let unsynced = Unsynced {
                is_new: true,
                ..Unsynced::default()
            };
            let mut state = self.0.state.lock();
            state.files.insert(path.to_owned(), unsynced);
        }
        let file = FaultyFile {
            disk: self.clone(),
            path: path.to_owned(),
            file,
        };
        Self::ended(failure, Arc::new(file) as Arc<dyn DiskFile>)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let failure = self.begin(Call::Remove)?;
        let content = std::fs::read(path);
        RealDisk.remove(path)?;
        let mut state = self.0.state.lock();
        let before = state.files.remove(path);
        if let Some(room) = &mut state.room {
            *room += content.as_ref().map_or(0, Vec::len) as u64;
        }
        // A name that never was durable does not come back.
        if before.is_none_or(|before| !before.is_new)
            && let Ok(content) = content
        {
            state.removed.insert(path.to_owned(), content);
        }
        Self::ended(failure, ())
    }

    fn sync_directory(&self, path: &Path) -> io::Result<()> {
        let failure = self.begin(Call::SyncDirectory)?;
        let mut state = self.0.state.lock();
        for (file, unsynced) in &mut state.files {
            if file.parent() == Some(path) {
                unsynced.is_new = false;
            }
        }
        state.removed.retain(|file, _| file.parent() != Some(path));
        Self::ended(failure, ())
    }

    fn available(&self, path: &Path) -> io::Result<u64> {
        let room = self.0.state.lock().room;
        match room {
            Some(room) => Ok(room),
            None => RealDisk.available(path),
        }
    }

    fn journal(
        &self,
        commit: &mut dyn FnMut() -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let refused = |error: io::Error| match error.kind() {
            io::ErrorKind::StorageFull => StoreError::Full { available: 0 },
            _ => StoreError::Io(error.to_string()),
        };
        let failure = self.begin(Call::Journal).map_err(refused)?;
        if let Some(Failure::Halfway(kind)) = failure {
            return Err(refused(kind.into()));
        }
        if self.0.state.lock().room == Some(0) {
            return Err(StoreError::Full { available: 0 });
        }
        commit()?;
        let number = self.0.state.lock().calls;
        if let Some(watch) = &mut *self.0.watch.lock() {
            watch(number, Call::Journal);
        }
        Self::ended(failure, ()).map_err(refused)
    }
}

struct FaultyFile {
    disk: FaultyDisk,
    path: PathBuf,
    file: Arc<dyn DiskFile>,
}

impl FaultyFile {
    /// Notes what a power cut would bring back.
    fn note(&self, offset: u64, length: usize) -> io::Result<()> {
        let file_length = self.file.length()?;
        let there = file_length.saturating_sub(offset).min(length as u64);
        let mut before = vec![0; usize::try_from(there).unwrap_or(0)];
        self.file.read_exact_at(&mut before, offset)?;
        let mut state = self.disk.0.state.lock();
        let unsynced = state.files.entry(self.path.clone()).or_default();
        if unsynced.writes.is_empty() {
            unsynced.length = file_length;
        }
        unsynced.writes.push((offset, before, length));
        Ok(())
    }
}

impl DiskFile for FaultyFile {
    fn read_exact_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<()> {
        let failure = self.disk.begin(Call::Read)?;
        self.file.read_exact_at(bytes, offset)?;
        FaultyDisk::ended(failure, ())
    }

    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let failure = self.disk.begin(Call::Write)?;
        let fit = self.disk.0.state.lock().take_room(bytes.len());
        let done = match failure {
            Some(Failure::Halfway(_)) => fit.min(bytes.len() / 2),
            _ => fit,
        };
        let (written, _) = bytes.split_at(done);
        self.note(offset, done)?;
        self.file.write_all_at(written, offset)?;
        if fit < bytes.len() {
            return Err(io::ErrorKind::StorageFull.into());
        }
        FaultyDisk::ended(failure, ())
    }

    fn erase(&self, from: u64, to: u64) -> io::Result<()> {
        let failure = self.disk.begin(Call::Erase)?;
        let length = usize::try_from(to.saturating_sub(from)).unwrap_or(0);
        let within = self.file.length()?.saturating_sub(from);
        let length = length.min(usize::try_from(within).unwrap_or(0));
        self.note(from, length)?;
        self.file.erase(from, to)?;
        if let Some(room) = &mut self.disk.0.state.lock().room {
            *room += length as u64;
        }
        FaultyDisk::ended(failure, ())
    }

    fn sync_data(&self) -> io::Result<()> {
        let failure = self.disk.begin(Call::Sync)?;
        // A sync that fails may have written none of it, and says so only once.
        if failure.is_none() {
            let mut state = self.disk.0.state.lock();
            if let Some(unsynced) = state.files.get_mut(&self.path) {
                unsynced.writes.clear();
            }
        }
        FaultyDisk::ended(failure, ())
    }

    fn allocate(&self, length: u64) -> io::Result<()> {
        let failure = self.disk.begin(Call::Allocate)?;
        let mut state = self.disk.0.state.lock();
        if let Some(room) = &mut state.room {
            if *room < length {
                return Err(io::ErrorKind::StorageFull.into());
            }
            *room -= length;
        }
        drop(state);
        self.file.allocate(length)?;
        FaultyDisk::ended(failure, ())
    }

    fn length(&self) -> io::Result<u64> {
        self.file.length()
    }

    fn taken(&self) -> io::Result<u64> {
        self.file.taken()
    }
}
