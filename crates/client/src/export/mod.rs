//! A conversation as files that outlast any program: `conversation.json`, a page to read
//! (`conversation.html`), and the attachments (`files/`). docs/export.md describes the format.
//!
//! **Elsewhere.** The page is in [`html`]; [`import`] reads such a file again.
//!
//! **Always.** Existing files are never overwritten. What others wrote is only ever text in
//! the page, and nothing opens their files. A conversation of any length needs the memory of
//! one page of it.

mod html;
pub mod import;

use std::{
    fs::{self, File, OpenOptions},
    io::{self, BufWriter, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use waxwing_engine::api::{
    Account, AttachmentOf, AttachmentState, Conversation, ConversationEvent, Entry, History,
    Message, Of, OpenAttachment, Request, Timestamp,
};

use crate::{Session, blobs::file, rpc::RpcError};

/// What the file says that it is.
pub const FORMAT: &str = "waxwing-conversation";
/// Of the format.
pub const VERSION: u32 = 1;

/// Entries that are asked for at once.
const PAGE: u32 = 500;

/// Why a conversation could not be exported or imported.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// A file cannot be written or read.
    #[error("\"{path}\" cannot be used: {error}")]
    Io {
        /// Which.
        path: String,
        /// Why.
        error: io::Error,
    },
    /// The file is none that was exported.
    #[error("\"{path}\" cannot be imported: {reason}")]
    Malformed {
        /// Which.
        path: String,
        /// Why.
        reason: String,
    },
    /// The engine said so.
    #[error("{}", .0.message)]
    Rpc(RpcError),
}

impl From<RpcError> for ExportError {
    fn from(error: RpcError) -> Self {
        Self::Rpc(error)
    }
}

impl ExportError {
    /// For programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Io { .. } => "file_unusable",
            Self::Malformed { .. } => "import_invalid",
            Self::Rpc(_) => "rpc",
        }
    }

    fn io(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.display().to_string();
        move |error| Self::Io { path, error }
    }
}

/// What was written.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Exported {
    /// Messages, events and gaps.
    pub entries: u64,
    /// Attachments that lie beside the page.
    pub files: u64,
    /// Attachments that are not on this device.
    pub files_missing: u64,
}

#[derive(Deserialize)]
struct HistoryPage {
    entries: Vec<Entry>,
    next: Option<String>,
}

/// The head of `conversation.json`: all but its entries.
#[derive(Clone, Serialize, Deserialize)]
pub struct Head {
    /// [`FORMAT`].
    pub format: String,
    /// [`VERSION`].
    pub version: u32,
    /// When it was written.
    pub exported_at: Timestamp,
    /// By whom: an address in display form.
    pub account: String,
    /// `direct`, `group` or `notes`.
    pub kind: Value,
    /// The other person's address, or the group's name.
    pub with: String,
    /// The conversation's id.
    pub id: String,
}

/// Says what happened to a conversation.
pub type Sentence = fn(&ConversationEvent) -> String;

/// What to export, and how.
#[derive(Clone, Debug)]
pub struct Export {
    /// An address, a conversation's id, or the name of a group that no other has.
    pub of: String,
    /// Whether attachments are written as well.
    pub with_files: bool,
    /// The time.
    pub now: Timestamp,
    /// For the page.
    pub sentence: Sentence,
}

/// Writes a conversation into a folder. Tells how many entries are done.
pub async fn export(
    session: &mut Session,
    export: &Export,
    to: &Path,
    mut progress: impl FnMut(u64),
) -> Result<Exported, ExportError> {
    let head = head(session, &export.of, export.now).await?;
    make_folder(to).map_err(ExportError::io(to))?;
    let mut json = NewFile::create(to.join("conversation.json"))?;
    let mut page = NewFile::create(to.join("conversation.html"))?;
    let files = export.with_files.then(|| to.join("files"));
    let mut done = Exported::default();
    // One entry a line; the object is closed behind the last.
    let text = serde_json::to_string(&head).unwrap_or_default();
    json.write(text.strip_suffix('}').unwrap_or_default())?;
    json.write(",\"entries\":[")?;
    page.write(&html::begin(&head))?;
    let mut from = Some(String::new());
    let mut day = String::new();
    while let Some(place) = from {
        let request = Request::History(History {
            of: head.id.clone(),
            limit: Some(PAGE),
            from: Some(place),
            ..History::default()
        });
        let HistoryPage { entries, next } = session.ask(&request).await?;
        for entry in &entries {
            let mut saved = Vec::new();
            if let (Entry::Message(message), Some(folder)) = (entry, &files) {
                saved = save(session, message, folder, &mut done).await?;
            }
            json.write(if done.entries > 0 { ",\n" } else { "\n" })?;
            json.write(&line(entry, &saved).to_string())?;
            page.write(&html::entry(entry, &saved, &mut day, export.sentence))?;
            done.entries += 1;
        }
        progress(done.entries);
        from = next;
    }
    json.write("\n]}\n")?;
    page.write(html::END)?;
    json.end()?;
    page.end()?;
    Ok(done)
}

async fn head(session: &mut Session, of: &str, now: Timestamp) -> Result<Head, ExportError> {
    let own: Account = session.ask(&Request::Account).await?;
    let conversation: Conversation = session
        .ask(&Request::Conversation(Of { of: of.to_owned() }))
        .await?;
    Ok(Head {
        format: FORMAT.into(),
        version: VERSION,
        exported_at: now,
        account: own.address.unwrap_or_default(),
        kind: serde_json::to_value(conversation.kind).unwrap_or_default(),
        with: conversation.with,
        id: conversation.id.to_string(),
    })
}

/// Makes a folder that is its owner's only, unless it is there.
fn make_folder(path: &Path) -> io::Result<()> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
}

/// An entry as in `history`, with where its files lie.
fn line(entry: &Entry, saved: &[Saved]) -> Value {
    let mut value = serde_json::to_value(entry).unwrap_or_default();
    for file in saved {
        let attachment = value
            .get_mut("attachments")
            .and_then(|all| all.get_mut(file.number as usize));
        if let Some(Value::Object(attachment)) = attachment {
            attachment.insert("file".into(), json!(file.path));
        }
    }
    value
}

/// An attachment that lies beside the page.
pub(crate) struct Saved {
    number: u32,
    /// From the folder on: `files/…`.
    path: String,
    /// The file itself, for small pictures that the page shows.
    at: PathBuf,
    bytes: u64,
}

/// Writes the files of a message that are on this device.
async fn save(
    session: &mut Session,
    message: &Message,
    folder: &Path,
    done: &mut Exported,
) -> Result<Vec<Saved>, ExportError> {
    let mut saved = Vec::new();
    // They are shown once, and not in files.
    if message.view_once {
        return Ok(saved);
    }
    for attachment in &message.attachments {
        let here = matches!(
            attachment.state,
            AttachmentState::Here | AttachmentState::Sending
        );
        if !here {
            done.files_missing += 1;
            continue;
        }
        let request = Request::Attachment(AttachmentOf {
            message: message.id,
            number: attachment.number,
        });
        let open: OpenAttachment = session.ask(&request).await?;
        make_folder(folder).map_err(ExportError::io(folder))?;
        let name = format!("{:06}-{}", done.files + 1, inert(&attachment.name));
        let at = folder.join(&name);
        let (blobs, to) = (session.blobs(), at.clone());
        tokio::task::spawn_blocking(move || blobs.open(&open, &to))
            .await
            .map_err(|error| ExportError::io(folder)(io::Error::other(error)))?
            .map_err(|error| ExportError::io(&at)(io::Error::other(error)))?;
        done.files += 1;
        saved.push(Saved {
            number: attachment.number,
            path: format!("files/{name}"),
            at,
            bytes: attachment.size,
        });
    }
    Ok(saved)
}

/// A name under which nothing is run by being opened: what is not known to be looked at or
/// listened to only gets an ending that nothing opens.
fn inert(name: &str) -> String {
    const KNOWN: [&str; 22] = [
        "jpg", "jpeg", "png", "webp", "gif", "heic", "avif", "mp4", "mov", "webm", "mkv", "mp3",
        "m4a", "ogg", "opus", "flac", "wav", "txt", "csv", "md", "pdf", "zip",
    ];
    let name = file::harmless(name);
    let ending = name.rsplit_once('.').map(|(_, ending)| ending);
    if ending.is_some_and(|ending| KNOWN.iter().any(|known| ending.eq_ignore_ascii_case(known))) {
        name
    } else {
        format!("{name}.file")
    }
}

/// A file that was not there before, written piece by piece.
struct NewFile {
    path: PathBuf,
    file: BufWriter<File>,
}

impl NewFile {
    fn create(path: PathBuf) -> Result<Self, ExportError> {
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path)
            .map_err(ExportError::io(&path))?;
        Ok(Self {
            path,
            file: BufWriter::new(file),
        })
    }

    fn write(&mut self, text: &str) -> Result<(), ExportError> {
        let written = self.file.write_all(text.as_bytes());
        written.map_err(ExportError::io(&self.path))
    }

    fn end(self) -> Result<(), ExportError> {
        let file = self
            .file
            .into_inner()
            .map_err(io::IntoInnerError::into_error);
        file.and_then(|file| file.sync_all())
            .map_err(ExportError::io(&self.path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_could_be_run_gets_an_ending_that_nothing_opens() {
        assert_eq!(inert("beach.JPG"), "beach.JPG");
        for name in ["page.html", "x.svg", "setup.exe", "script", "a.pdf.js"] {
            assert_eq!(inert(name), format!("{name}.file"));
        }
    }
}
