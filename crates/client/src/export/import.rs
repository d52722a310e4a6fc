//! Reads an exported `conversation.json`, entry by entry.
//!
//! **Elsewhere.** The engine stores imported messages.
//!
//! **Always.** Anybody may have written the file: nothing in it is trusted, no path in it leads out
//! of its folder, and a file of any size needs the memory of one batch: an entry has at most
//! [`ENTRY_BYTES`], the part before the entries has the same limit, and a file has at most
//! [`FILE_BYTES`].

use std::{
    cell::Cell,
    fmt,
    fs::{self, File},
    io::{self, BufReader, Read},
    path::{Component, Path, PathBuf},
    rc::Rc,
};

use serde::{
    Deserializer as _,
    de::{DeserializeSeed, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use serde_json::Value;
use tokio::sync::mpsc;
use waxwing_engine::api::{ImportEntries, Imported, ImportedMessage, Message, Request, SealedFile};

use super::{ExportError, FORMAT, VERSION};
use crate::{
    Session,
    blobs::{Blobs, metadata::Metadata},
};

/// Messages that the engine is given at once.
const BATCH: usize = 200;

/// Bytes of them, as they stand in the file.
const BATCH_BYTES: u64 = 256 << 10;

/// Messages that were read and not yet looked at.
const READ_AHEAD: usize = 8;

/// Bytes of one entry, at most: a message with its edits, reactions and previews has some
/// hundred KiB.
const ENTRY_BYTES: u64 = 1 << 20;

/// Bytes of a whole file, at most.
const FILE_BYTES: u64 = 16 << 30;

/// Files of one message that are looked for; no message has more.
const FILES_PER_MESSAGE: usize = 32;

/// What is read of the file before its entries.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    /// The other person's address, or the group's name.
    pub with: String,
}

/// What the file gives, piece by piece.
enum Piece {
    Origin(Origin),
    Message(Box<Message>, Vec<(u32, PathBuf)>, u64),
}

/// Brings the messages of an exported file in. Without `into`, into the conversation that the
/// file names. Tells how many messages are done.
pub async fn import(
    session: &mut Session,
    file: &Path,
    into: Option<&str>,
    mut progress: impl FnMut(u64),
) -> Result<Imported, ExportError> {
    let (sender, mut pieces) = mpsc::channel(READ_AHEAD);
    let path = file.to_owned();
    let reading = tokio::task::spawn_blocking(move || {
        let opened = File::open(&path).map_err(ExportError::io(&path))?;
        read(BufReader::new(opened), |piece| {
            sender.blocking_send(piece).is_ok()
        })
        .map_err(|reason| ExportError::Malformed {
            path: path.display().to_string(),
            reason,
        })
    });
    let folder = file.parent().unwrap_or(Path::new("")).to_owned();
    let mut into = into.map(str::to_owned);
    let mut done = Imported { added: 0, known: 0 };
    let mut batch = Vec::new();
    let mut bytes = 0;
    while let Some(piece) = pieces.recv().await {
        match piece {
            Piece::Origin(origin) => {
                into.get_or_insert(origin.with);
            }
            Piece::Message(message, files, length) => {
                bytes += length;
                let files = seal(session.blobs(), &folder, &message, files).await;
                batch.push(ImportedMessage {
                    message: *message,
                    files,
                });
            }
        }
        if batch.len() >= BATCH || bytes >= BATCH_BYTES {
            bytes = 0;
            hand_over(session, into.as_deref(), &mut batch, &mut done).await?;
            progress(done.added + done.known);
        }
    }
    let read = reading.await;
    read.map_err(|error| ExportError::io(file)(std::io::Error::other(error)))??;
    hand_over(session, into.as_deref(), &mut batch, &mut done).await?;
    progress(done.added + done.known);
    Ok(done)
}

async fn hand_over(
    session: &mut Session,
    into: Option<&str>,
    batch: &mut Vec<ImportedMessage>,
    done: &mut Imported,
) -> Result<(), ExportError> {
    if batch.is_empty() {
        return Ok(());
    }
    let request = Request::ImportEntries(Box::new(ImportEntries {
        into: into.unwrap_or_default().to_owned(),
        messages: std::mem::take(batch),
    }));
    let some: Imported = session.ask(&request).await?;
    done.added += some.added;
    done.known += some.known;
    Ok(())
}

/// Seals the files of a message that lie beside the file; those that do not are left out.
async fn seal(
    blobs: Blobs,
    folder: &Path,
    message: &Message,
    files: Vec<(u32, PathBuf)>,
) -> Vec<SealedFile> {
    let mut sealed = Vec::new();
    for (number, path) in files {
        let Some(path) = inside(folder, &path) else {
            continue;
        };
        let blobs = blobs.clone();
        let sealing =
            tokio::task::spawn_blocking(move || blobs.seal(&path, Metadata::Kept, |_| {}));
        let attachment = message.attachments.iter().find(|one| one.number == number);
        if let (Ok(Ok(file)), Some(attachment)) = (sealing.await, attachment) {
            sealed.push(SealedFile {
                name: attachment.name.clone(),
                media_type: attachment.media_type.clone(),
                preview: attachment.preview.clone(),
                ..file
            });
        }
    }
    sealed
}

/// A file in the folder, and really there: neither dots nor links lead out of it.
fn inside(folder: &Path, path: &Path) -> Option<PathBuf> {
    let plain = |part: Component<'_>| matches!(part, Component::Normal(_));
    if !path.components().all(plain) {
        return None;
    }
    let folder = if folder.as_os_str().is_empty() {
        Path::new(".")
    } else {
        folder
    };
    let folder = fs::canonicalize(folder).ok()?;
    let path = fs::canonicalize(folder.join(path)).ok()?;
    (path.starts_with(&folder) && path.is_file()).then_some(path)
}

/// Reads a file, and gives what is in it until that is not wanted any more.
fn read(reader: impl Read, mut take: impl FnMut(Piece) -> bool) -> Result<(), String> {
    let allowance = Rc::new(Allowance::default());
    allowance.begin_part();
    let mut json = serde_json::Deserializer::from_reader(Bounded {
        reader,
        allowance: Rc::clone(&allowance),
    });
    let object = Object {
        take: &mut take,
        allowance: &allowance,
    };
    let read = json.deserialize_map(object).and_then(|()| json.end());
    read.map_err(|error| match allowance.used_up() {
        Some(what) => what,
        None => error.to_string(),
    })
}

/// How much may be read until the next entry, and in all.
#[derive(Default)]
struct Allowance {
    /// Bytes that were read.
    read: Cell<u64>,
    /// Of these, before this entry.
    before: Cell<u64>,
    /// Entries that were begun.
    entries: Cell<u64>,
    /// Why nothing more is read.
    used_up: Cell<Option<UsedUp>>,
}

#[derive(Clone, Copy)]
enum UsedUp {
    Entry,
    File,
}

impl Allowance {
    /// The next entry begins, or what stands around them.
    fn begin_part(&self) {
        self.before.set(self.read.get());
    }

    /// Bytes of this entry.
    fn of_part(&self) -> u64 {
        self.read.get() - self.before.get()
    }

    fn used_up(&self) -> Option<String> {
        Some(match (self.used_up.get()?, self.entries.get()) {
            (UsedUp::File, _) => format!("it is larger than {} GiB", FILE_BYTES >> 30),
            (UsedUp::Entry, 0) => format!(
                "the part before its entries is larger than {} MiB",
                ENTRY_BYTES >> 20
            ),
            (UsedUp::Entry, entry) => {
                format!("its entry {entry} is larger than {} MiB", ENTRY_BYTES >> 20)
            }
        })
    }
}

/// Reads as much as is allowed.
struct Bounded<R> {
    reader: R,
    allowance: Rc<Allowance>,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let used_up = if self.allowance.of_part() >= ENTRY_BYTES {
            Some(UsedUp::Entry)
        } else if self.allowance.read.get() >= FILE_BYTES {
            Some(UsedUp::File)
        } else {
            None
        };
        if used_up.is_some() {
            self.allowance.used_up.set(used_up);
            return Err(io::Error::other("too large"));
        }
        let count = self.reader.read(buffer)?;
        let read = &self.allowance.read;
        read.set(read.get().saturating_add(count as u64));
        Ok(count)
    }
}

/// Reads a file and keeps nothing of it: what it comes to, in messages. For fuzzing.
///
/// # Errors
///
/// Why it is no such file.
pub fn examine(bytes: &[u8]) -> Result<u64, String> {
    let mut messages = 0;
    read(bytes, |piece| {
        messages += u64::from(matches!(piece, Piece::Message(..)));
        true
    })?;
    Ok(messages)
}

struct Object<'a, T> {
    take: &'a mut T,
    allowance: &'a Allowance,
}

impl<'de, T: FnMut(Piece) -> bool> Visitor<'de> for Object<'_, T> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an exported conversation")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let (mut format, mut version) = (false, false);
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "format" => format = map.next_value::<Value>()? == FORMAT,
                "version" => version = map.next_value::<Value>()? == VERSION,
                "with" => {
                    let with = map.next_value()?;
                    (self.take)(Piece::Origin(Origin { with }));
                }
                "entries" if format && version => {
                    map.next_value_seed(Entries {
                        take: &mut *self.take,
                        allowance: self.allowance,
                    })?;
                    self.allowance.begin_part();
                }
                "entries" => return Err(A::Error::custom("its format is unknown")),
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        if format && version {
            Ok(())
        } else {
            Err(A::Error::custom("its format is unknown"))
        }
    }
}

struct Entries<'a, T> {
    take: &'a mut T,
    allowance: &'a Allowance,
}

impl<'de, T: FnMut(Piece) -> bool> DeserializeSeed<'de> for Entries<'_, T> {
    type Value = ();

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de, T: FnMut(Piece) -> bool> Visitor<'de> for Entries<'_, T> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("entries")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        loop {
            self.allowance.begin_part();
            let entries = &self.allowance.entries;
            entries.set(entries.get() + 1);
            let Some(entry) = seq.next_element::<Value>()? else {
                return Ok(());
            };
            // Events and gaps were of the other account's.
            if entry.get("type").is_some_and(|kind| kind != "message") {
                continue;
            }
            let files = files(&entry);
            let message = serde_json::from_value(entry).map_err(A::Error::custom)?;
            let length = self.allowance.of_part();
            if !(self.take)(Piece::Message(Box::new(message), files, length)) {
                return Err(A::Error::custom("it was not read to its end"));
            }
        }
    }
}

fn files(entry: &Value) -> Vec<(u32, PathBuf)> {
    let attachments = entry.get("attachments").and_then(Value::as_array);
    let place = |attachment: &Value| {
        let number = attachment.get("number")?.as_u64()?;
        let path = attachment.get("file")?.as_str()?;
        Some((u32::try_from(number).ok()?, path.into()))
    };
    attachments
        .into_iter()
        .flatten()
        .filter_map(place)
        .take(FILES_PER_MESSAGE)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_exported_is_read() {
        let good = format!(
            r#"{{"format":"{FORMAT}","version":1,"with":"bob@example.org","entries":[
            {{"type":"event","event":"renamed","at":"2026-11-24T20:15:03.250Z"}}]}}"#
        );
        assert_eq!(examine(good.as_bytes()), Ok(0));
        for end in 0..good.len() {
            assert!(examine(&good.as_bytes()[..end]).is_err(), "{end}");
        }
        for bad in [
            r#"{"format":"another","version":1,"entries":[]}"#.to_owned(),
            r#"{"entries":[]}"#.to_owned(),
            "{}".to_owned(),
            good.replace("\"version\":1", "\"version\":2"),
            good.replace("\"event\":", "\"event\"")
                .replace("\"type\":\"event\"", "\"type\":\"message\""),
            "[".repeat(10_000),
        ] {
            assert!(examine(bad.as_bytes()).is_err(), "{bad}");
        }
    }

    /// A file that goes on for ever, as far as it is read.
    struct Endless {
        begins: &'static [u8],
        goes_on: u8,
        read: u64,
    }

    impl Read for &mut Endless {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let count = if self.begins.is_empty() {
                buffer.fill(self.goes_on);
                buffer.len()
            } else {
                let count = self.begins.len().min(buffer.len());
                buffer[..count].copy_from_slice(&self.begins[..count]);
                self.begins = &self.begins[count..];
                count
            };
            self.read += count as u64;
            Ok(count)
        }
    }

    #[test]
    fn an_entry_without_end_is_refused_by_its_number() {
        let head = r#"{"format":"waxwing-conversation","version":1,"with":"bob@example.org","#;
        assert!(head.contains(FORMAT), "{FORMAT}");
        let event = r#"{"type":"event"}"#;
        let cases = [
            (
                format!(r#"{head}"entries":[{event},{event},{{"type":"event","x":""#),
                b'x',
                "entry 3",
            ),
            (format!(r#"{head}"entries":["#), b'[', ""),
            (format!(r#"{head}"entries":[{event},"#), b' ', "entry 2"),
            (r#"{"format":""#.to_owned(), b'x', "before its entries"),
            (r#"{"other":""#.to_owned(), b'x', "before its entries"),
            (String::new(), b' ', "before its entries"),
        ];
        for (begins, goes_on, named) in cases {
            let begins: &'static str = begins.leak();
            let mut endless = Endless {
                begins: begins.as_bytes(),
                goes_on,
                read: 0,
            };
            let error = read(&mut endless, |_| true).unwrap_err();
            assert!(error.contains(named), "{begins}: {error}");
            assert!(endless.read < 2 * ENTRY_BYTES, "{begins}: {}", endless.read);
        }
    }

    #[test]
    fn no_path_leads_out_of_the_folder() {
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().join("export");
        fs::create_dir_all(folder.join("files")).unwrap();
        fs::write(home.path().join("secret"), "secret").unwrap();
        fs::write(folder.join("files/a"), "a").unwrap();
        std::os::unix::fs::symlink(home.path().join("secret"), folder.join("files/link")).unwrap();
        assert!(inside(&folder, Path::new("files/a")).is_some());
        let secret = home.path().join("secret");
        for path in [
            "../secret",
            "files/../../secret",
            "files/link",
            "files",
            "nothing",
        ] {
            assert_eq!(inside(&folder, Path::new(path)), None, "{path}");
        }
        assert_eq!(inside(&folder, &secret), None);
    }
}
