//! The files that hold the posts themselves.
//!
//! Posts are appended to segments, each once; the map ([`super`]) knows where. A deleted post
//! is overwritten in place (on Linux its space is freed as well), and a segment without posts
//! is removed. This is how ciphertext leaves the disk soon after it was acknowledged, without
//! rewriting anything else.
//!
//! **Elsewhere**: the map knows which post is where, and whether a batch counts.
//!
//! **Always**: what [`Append::write`] wrote is on disk. A place is given out once. A segment
//! that is being appended to is not removed. A post is read as it was written, or as an error.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use xxhash_rust::xxh3::xxh3_64;

use super::disk::{Access, Disk, DiskFile};
use crate::store::StoreError;

/// A segment that has grown this large is followed by a new one.
const SEGMENT_BYTES: u64 = 64 << 20;
/// Bytes that are erased in one step of housekeeping.
const ERASE_STEP_BYTES: u64 = 64 << 20;
/// Places that are erased in one step of housekeeping.
const ERASE_STEP_PLACES: usize = 20_000;

/// Where a post lies, and what its bytes hash to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PostLocation {
    segment: u64,
    offset: u64,
    length: u32,
    hash: u64,
}

impl PostLocation {
    pub(super) fn encode(self) -> [u8; 28] {
        let mut bytes = [0; 28];
        let parts: [&[u8]; 4] = [
            &self.segment.to_be_bytes(),
            &self.offset.to_be_bytes(),
            &self.length.to_be_bytes(),
            &self.hash.to_be_bytes(),
        ];
        for (byte, part) in bytes.iter_mut().zip(parts.concat()) {
            *byte = part;
        }
        bytes
    }

    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let (segment, rest) = bytes.split_first_chunk::<8>()?;
        let (offset, rest) = rest.split_first_chunk::<8>()?;
        let (length, rest) = rest.split_first_chunk::<4>()?;
        let hash: [u8; 8] = rest.try_into().ok()?;
        Some(Self {
            segment: u64::from_be_bytes(*segment),
            offset: u64::from_be_bytes(*offset),
            length: u32::from_be_bytes(*length),
            hash: u64::from_be_bytes(hash),
        })
    }

    fn end(self) -> u64 {
        self.offset.saturating_add(u64::from(self.length))
    }
}

/// A stretch of a segment: offset and end.
type Stretch = (u64, u64);

/// The posts that the map names, by segment, told one after the other.
#[derive(Default)]
pub(super) struct LivePosts(HashMap<u64, LiveSegment>);

#[derive(Default)]
struct LiveSegment {
    posts: u64,
    bytes: u64,
    stretches: Vec<Stretch>,
}

impl LivePosts {
    pub(super) fn add(&mut self, place: PostLocation) {
        let segment = self.0.entry(place.segment).or_default();
        segment.posts += 1;
        segment.bytes += u64::from(place.length);
        extend(&mut segment.stretches, place);
    }
}

struct Segment {
    file: Arc<dyn DiskFile>,
    /// Bytes that were given out.
    length: u64,
    live_posts: u64,
    live_bytes: u64,
    /// Appends that were given places and have not ended.
    in_flight: u32,
    /// Not erased yet.
    dead: Vec<Stretch>,
    /// Since when the oldest of them is known to housekeeping.
    dead_since_ms: Option<u64>,
}

/// All segments of a store.
pub(super) struct Segments {
    disk: Arc<dyn Disk>,
    directory: PathBuf,
    by_number: BTreeMap<u64, Segment>,
    /// The one that is appended to; made when it is needed.
    active: Option<u64>,
    next: u64,
}

impl Segments {
    /// Opens what is in `directory`, given every post that the map names. What no post
    /// lies in is dead: batches that never counted, and what was deleted before a crash.
    pub(super) fn open(
        disk: &Arc<dyn Disk>,
        directory: &Path,
        live: LivePosts,
    ) -> Result<Self, StoreError> {
        Self::open_with(disk, directory, live, Access::Write)
    }

    /// Opens what is in `directory` only to read it: nothing is removed.
    pub(super) fn open_to_read(
        disk: &Arc<dyn Disk>,
        directory: &Path,
        live: LivePosts,
    ) -> Result<Self, StoreError> {
        Self::open_with(disk, directory, live, Access::Read)
    }

    fn open_with(
        disk: &Arc<dyn Disk>,
        directory: &Path,
        mut live: LivePosts,
        access: Access,
    ) -> Result<Self, StoreError> {
        let mut segments = BTreeMap::new();
        let last = live.0.keys().max();
        let mut next = last.map_or(0, |last| last.saturating_add(1));
        for number in numbers(directory)? {
            next = next.max(number.saturating_add(1));
            let LiveSegment {
                posts,
                bytes,
                mut stretches,
            } = live.0.remove(&number).unwrap_or_default();
            let path = path(directory, number);
            if stretches.is_empty() {
                if access != Access::Read {
                    disk.remove(&path).map_err(failed)?;
                }
                continue;
            }
            stretches.sort_unstable();
            let file = disk.open(&path, access).map_err(failed)?;
            let length = file.length().map_err(failed)?;
            let segment = Segment {
                file,
                length,
                live_posts: posts,
                live_bytes: bytes,
                in_flight: 0,
                dead: between(&stretches, length),
                dead_since_ms: None,
            };
            segments.insert(number, segment);
        }
        Ok(Self {
            disk: Arc::clone(disk),
            directory: directory.to_owned(),
            by_number: segments,
            active: None,
            next,
        })
    }

    /// Gives posts their places; they count once [`Append::write`] was successful and
    /// [`Segments::appended`] was told.
    pub(super) fn append(&mut self, posts: &[Bytes]) -> Result<Option<Append>, StoreError> {
        if posts.is_empty() {
            return Ok(None);
        }
        let number = self.appendable()?;
        let Some(segment) = self.by_number.get_mut(&number) else {
            return Err(StoreError::Io("a segment is missing".into()));
        };
        let start = segment.length;
        let mut places = Vec::with_capacity(posts.len());
        let mut end = start;
        for post in posts {
            let length = u32::try_from(post.len())
                .map_err(|_| StoreError::Io("a post is too large".into()))?;
            places.push(PostLocation {
                segment: number,
                offset: end,
                length,
                hash: xxh3_64(post),
            });
            end += u64::from(length);
        }
        segment.length = end;
        segment.in_flight += 1;
        Ok(Some(Append {
            file: Arc::clone(&segment.file),
            start,
            end,
            places,
        }))
    }

    /// An append has ended.
    ///
    /// # Errors
    /// When the segment is gone that it wrote to: nothing of it may count.
    pub(super) fn appended(&mut self, append: &Append, is_written: bool) -> Result<(), StoreError> {
        let number = append.places.first().map(|place| place.segment);
        let segment = number.and_then(|number| self.by_number.get_mut(&number));
        let Some(segment) = segment.filter(|segment| Arc::ptr_eq(&segment.file, &append.file))
        else {
            return Err(StoreError::Io("a segment is missing".into()));
        };
        segment.in_flight = segment.in_flight.saturating_sub(1);
        if is_written {
            segment.live_posts += append.places.len() as u64;
            segment.live_bytes += append.end - append.start;
        } else {
            // After a failed sync the file's pages are in doubt: it is not appended to
            // again.
            segment.dead.push((append.start, append.end));
            if self.active == number {
                self.active = None;
            }
        }
        Ok(())
    }

    /// The post is deleted: its bytes are to be erased.
    pub(super) fn forget(&mut self, place: PostLocation) {
        if let Some(segment) = self.by_number.get_mut(&place.segment) {
            segment.live_posts = segment.live_posts.saturating_sub(1);
            segment.live_bytes = segment.live_bytes.saturating_sub(u64::from(place.length));
            extend(&mut segment.dead, place);
        }
    }

    /// The file that `place` is in, to be read without holding anything.
    pub(super) fn file(&self, place: PostLocation) -> Option<Arc<dyn DiskFile>> {
        self.by_number
            .get(&place.segment)
            .map(|segment| Arc::clone(&segment.file))
    }

    /// Removes segments without posts, and gives a bounded number of stretches that
    /// have been dead for `age_ms`, to be erased. Gives the last error as well: a segment
    /// that cannot be removed keeps no other one from being erased.
    pub(super) fn due(
        &mut self,
        now_ms: u64,
        age_ms: u64,
    ) -> (Vec<Erasure>, Result<(), StoreError>) {
        let mut erasures = Vec::new();
        let (mut bytes, mut stretches) = (0, 0);
        let mut removed = Vec::new();
        for (number, segment) in &mut self.by_number {
            if segment.dead.is_empty() {
                continue;
            }
            let since = segment.dead_since_ms.unwrap_or(now_ms).min(now_ms);
            segment.dead_since_ms = Some(since);
            let is_due = now_ms.saturating_sub(since) >= age_ms;
            let is_empty = segment.live_posts == 0 && segment.in_flight == 0;
            if is_empty && (is_due || self.active != Some(*number)) {
                removed.push(*number);
                continue;
            }
            if !is_due || bytes >= ERASE_STEP_BYTES || stretches >= ERASE_STEP_PLACES {
                continue;
            }
            segment.dead.sort_unstable();
            let mut left = joined(&std::mem::take(&mut segment.dead)).into_iter();
            let mut dead = Vec::new();
            for (from, to) in left.by_ref() {
                dead.push((from, to));
                bytes += to - from;
                stretches += 1;
                if bytes >= ERASE_STEP_BYTES || stretches >= ERASE_STEP_PLACES {
                    break;
                }
            }
            segment.dead.extend(left);
            if segment.dead.is_empty() {
                segment.dead_since_ms = None;
            }
            erasures.push(Erasure {
                segment: *number,
                file: Arc::clone(&segment.file),
                dead,
            });
        }
        let mut result = Ok(());
        for number in removed {
            match self.disk.remove(&path(&self.directory, number)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    result = Err(failed(error));
                }
                _ => {
                    self.by_number.remove(&number);
                }
            }
            // Where that failed, nobody knows whether it still has a name.
            if self.active == Some(number) {
                self.active = None;
            }
        }
        (erasures, result)
    }

    /// An erasure failed: it is to be tried again.
    pub(super) fn not_erased(&mut self, erasure: Erasure) {
        if let Some(segment) = self.by_number.get_mut(&erasure.segment) {
            segment.dead.extend(erasure.dead);
        }
    }

    /// Bytes that the files take (what was erased takes none), and bytes of posts.
    pub(super) fn usage(&self) -> (u64, u64) {
        let segments = self.by_number.values();
        segments.fold((0, 0), |(files, live), segment| {
            let taken = segment.file.taken();
            (
                files + taken.unwrap_or(segment.length),
                live + segment.live_bytes,
            )
        })
    }

    /// The number of the segment to append to.
    fn appendable(&mut self) -> Result<u64, StoreError> {
        let active = self.active.filter(|number| {
            self.by_number
                .get(number)
                .is_some_and(|segment| segment.length < SEGMENT_BYTES)
        });
        if let Some(number) = active {
            return Ok(number);
        }
        let number = self.next;
        // Never the same number again, even if this fails half-way.
        self.next += 1;
        let file = self
            .disk
            .open(&path(&self.directory, number), Access::New)
            .map_err(failed)?;
        // The file's name must outlive a power cut, as its content will.
        self.disk.sync_directory(&self.directory).map_err(failed)?;
        let segment = Segment {
            file,
            length: 0,
            live_posts: 0,
            live_bytes: 0,
            in_flight: 0,
            dead: Vec::new(),
            dead_since_ms: None,
        };
        self.by_number.insert(number, segment);
        self.active = Some(number);
        Ok(number)
    }
}

/// Posts that have places and are not written yet.
pub(super) struct Append {
    file: Arc<dyn DiskFile>,
    start: u64,
    end: u64,
    /// In the order of the posts.
    pub(super) places: Vec<PostLocation>,
}

impl Append {
    /// Writes the posts and makes them durable.
    pub(super) fn write(&self, posts: &[Bytes]) -> Result<(), StoreError> {
        let joined = posts.concat();
        self.file
            .write_all_at(&joined, self.start)
            .and_then(|()| self.file.sync_data())
            .map_err(failed)
    }
}

/// Stretches of a segment that are to be erased.
pub(super) struct Erasure {
    segment: u64,
    file: Arc<dyn DiskFile>,
    dead: Vec<Stretch>,
}

impl Erasure {
    /// Erases them, durably.
    pub(super) fn run(&self) -> Result<(), StoreError> {
        for (from, to) in &self.dead {
            self.file.erase(*from, *to).map_err(failed)?;
        }
        self.file.sync_data().map_err(failed)
    }
}

/// Reads a post from the file that it is in.
pub(super) fn read(file: &dyn DiskFile, place: PostLocation) -> Result<Bytes, StoreError> {
    let length = file.length().map_err(failed)?;
    if place.end() > length {
        return Err(damaged());
    }
    let mut bytes = vec![0; place.length as usize];
    file.read_exact_at(&mut bytes, place.offset)
        .map_err(failed)?;
    if xxh3_64(&bytes) == place.hash {
        Ok(bytes.into())
    } else {
        Err(damaged())
    }
}

pub(super) fn damaged() -> StoreError {
    StoreError::Damaged(
        "a post is not as it was written (bad disk?): restore a backup, or let its sender \
         send it again"
            .into(),
    )
}

#[allow(clippy::needless_pass_by_value, reason = "`map_err` hands it over")]
fn failed(error: io::Error) -> StoreError {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            StoreError::Full { available: 0 }
        }
        _ => StoreError::Io(error.to_string()),
    }
}

fn path(directory: &Path, number: u64) -> PathBuf {
    directory.join(format!("{number:016x}.posts"))
}

/// The numbers of the segments in a directory.
fn numbers(directory: &Path) -> Result<Vec<u64>, StoreError> {
    let mut numbers = Vec::new();
    for entry in std::fs::read_dir(directory).map_err(failed)? {
        let name = entry.map_err(failed)?.file_name();
        let number = name
            .to_str()
            .and_then(|name| name.strip_suffix(".posts"))
            .and_then(|number| u64::from_str_radix(number, 16).ok());
        numbers.extend(number);
    }
    numbers.sort_unstable();
    Ok(numbers)
}

/// Adds a post's stretch. Posts mostly come, and go, in the order in which they lie.
fn extend(stretches: &mut Vec<Stretch>, place: PostLocation) {
    match stretches.last_mut() {
        Some((_, end)) if *end == place.offset => *end = place.end(),
        _ => stretches.push((place.offset, place.end())),
    }
}

/// What lies between sorted stretches, up to `length`.
fn between(stretches: &[Stretch], length: u64) -> Vec<Stretch> {
    let mut between = Vec::new();
    let mut at = 0;
    for (from, to) in stretches {
        if *from > at {
            between.push((at, *from));
        }
        at = at.max(*to);
    }
    if at < length {
        between.push((at, length));
    }
    between
}

/// Sorted stretches, those that touch made one.
fn joined(stretches: &[Stretch]) -> Vec<Stretch> {
    let mut joined: Vec<Stretch> = Vec::with_capacity(stretches.len());
    for (from, to) in stretches {
        match joined.last_mut() {
            Some((_, end)) if *from <= *end => *end = (*end).max(*to),
            _ => joined.push((*from, *to)),
        }
    }
    joined
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt;

    use super::super::disk::RealDisk;
    use super::*;

    #[test]
    fn the_gaps_between_live_stretches_are_dead() {
        assert_eq!(
            between(&[(10, 20), (20, 30), (40, 50)], 60),
            [(0, 10), (30, 40), (50, 60)]
        );
        assert_eq!(between(&[], 5), [(0, 5)]);
        assert!(between(&[(0, 5)], 5).is_empty());
    }

    #[test]
    fn a_place_survives_its_encoding_and_nothing_else_is_one() {
        let place = PostLocation {
            segment: 1,
            offset: 2,
            length: 3,
            hash: 4,
        };
        assert_eq!(PostLocation::decode(&place.encode()), Some(place));
        assert_eq!(PostLocation::decode(&[0; 27]), None);
        assert_eq!(PostLocation::decode(&[0; 29]), None);
    }

    fn append(segments: &mut Segments, posts: &[Bytes]) -> Vec<PostLocation> {
        let append = segments.append(posts).unwrap().unwrap();
        append.write(posts).unwrap();
        segments.appended(&append, true).unwrap();
        append.places
    }

    fn erase(segments: &mut Segments, now_ms: u64, age_ms: u64) {
        let (erasures, result) = segments.due(now_ms, age_ms);
        result.unwrap();
        for erasure in erasures {
            erasure.run().unwrap();
        }
    }

    fn open(directory: &Path) -> Segments {
        let disk: Arc<dyn Disk> = Arc::new(RealDisk);
        Segments::open(&disk, directory, LivePosts::default()).unwrap()
    }

    fn writable(directory: &Path) -> std::fs::File {
        let mut options = std::fs::OpenOptions::new();
        options.write(true).open(path(directory, 0)).unwrap()
    }

    #[test]
    fn a_segment_that_is_appended_to_is_not_removed() {
        let directory = tempfile::tempdir().unwrap();
        let mut segments = open(directory.path());
        let first = append(&mut segments, &[Bytes::from_static(b"deleted")]);
        let posts = [Bytes::from_static(b"in flight")];
        let in_flight = segments.append(&posts).unwrap().unwrap();
        segments.forget(first[0]);
        erase(&mut segments, 1_000, 0);
        in_flight.write(&posts).unwrap();
        erase(&mut segments, 2_000, 0);
        segments.appended(&in_flight, true).unwrap();
        erase(&mut segments, 3_000, 0);
        let file = segments.file(in_flight.places[0]).unwrap();
        assert_eq!(read(&*file, in_flight.places[0]).unwrap(), posts[0]);
        let on_disk = std::fs::read(path(directory.path(), 0)).unwrap();
        assert!(on_disk.ends_with(b"in flight") && !on_disk.starts_with(b"deleted"));
    }

    #[test]
    fn what_was_appended_to_a_segment_that_is_gone_does_not_count() {
        let directory = tempfile::tempdir().unwrap();
        let mut segments = open(directory.path());
        let posts = [Bytes::from_static(b"post")];
        let in_flight = segments.append(&posts).unwrap().unwrap();
        in_flight.write(&posts).unwrap();
        segments.by_number.clear();
        segments.appended(&in_flight, true).unwrap_err();
    }

    #[test]
    fn a_segment_that_cannot_be_removed_keeps_no_other() {
        let directory = tempfile::tempdir().unwrap();
        let mut segments = open(directory.path());
        let first = append(&mut segments, &[vec![1; 10_000].into()]);
        segments.active = None;
        let others = append(
            &mut segments,
            &[vec![2; 10_000].into(), vec![3; 10_000].into()],
        );
        // A directory in the place of the first one.
        std::fs::remove_file(path(directory.path(), 0)).unwrap();
        std::fs::create_dir(path(directory.path(), 0)).unwrap();
        segments.forget(first[0]);
        segments.forget(others[0]);
        let (erasures, result) = segments.due(1_000, 0);
        result.unwrap_err();
        for erasure in erasures {
            erasure.run().unwrap();
        }
        let on_disk = std::fs::read(path(directory.path(), 1)).unwrap();
        assert!(!on_disk.contains(&2) && on_disk.contains(&3));
    }

    #[test]
    fn a_changed_byte_is_found() {
        let directory = tempfile::tempdir().unwrap();
        let mut segments = open(directory.path());
        let posts = [Bytes::from_static(b"one"), Bytes::from_static(b"two")];
        let places = append(&mut segments, &posts);
        let file = segments.file(places[1]).unwrap();
        assert_eq!(read(&*file, places[1]).unwrap(), "two");
        let on_disk = writable(directory.path());
        FileExt::write_all_at(&on_disk, b"x", 4).unwrap();
        assert!(matches!(
            read(&*file, places[1]),
            Err(StoreError::Damaged(_))
        ));
        assert_eq!(read(&*file, places[0]).unwrap(), "one");
        on_disk.set_len(4).unwrap();
        assert!(matches!(
            read(&*file, places[1]),
            Err(StoreError::Damaged(_))
        ));
    }

    #[test]
    fn an_erased_post_is_zeroes_and_its_neighbours_are_whole() {
        let directory = tempfile::tempdir().unwrap();
        let mut segments = open(directory.path());
        let posts: Vec<Bytes> = (1..=3u8).map(|n| vec![n; 10_000].into()).collect();
        let places = append(&mut segments, &posts);
        segments.forget(places[1]);
        erase(&mut segments, 1_000, 500);
        let on_disk = || std::fs::read(path(directory.path(), 0)).unwrap();
        assert!(on_disk().contains(&2), "erased before its time");
        erase(&mut segments, 1_500, 500);
        assert!(!on_disk().contains(&2));
        let file = segments.file(places[0]).unwrap();
        assert_eq!(read(&*file, places[0]).unwrap(), posts[0]);
        assert_eq!(read(&*file, places[2]).unwrap(), posts[2]);
        segments.forget(places[0]);
        segments.forget(places[2]);
        erase(&mut segments, 3_000, 0);
        assert!(!path(directory.path(), 0).exists());
    }
}
