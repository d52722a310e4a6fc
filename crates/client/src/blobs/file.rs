//! Seals files into `blobs/`, and opens them from there.
//!
//! **Elsewhere.** Files that arrive or leave piece by piece are in [`super::stream`].
//!
//! **Always.** A file that cannot be sealed completely leaves nothing behind; one that does not
//! open completely is not written. Existing files are never overwritten. The sender's name for a
//! file is only ever the last part of a path.

use std::{
    fs::{self, OpenOptions},
    io::{self, BufWriter, Read as _, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use rustix::fs::OFlags;
use waxwing_engine::{
    api::{OpenAttachment, SealedFile},
    content::{shortened_name, split_ending},
};
use waxwing_protocol::blob::{BlobError, CHUNK_BYTES};

use super::{Blobs, metadata::Metadata};

/// Why a file cannot be sealed or opened.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// Reading or writing failed.
    #[error("\"{path}\": {error}")]
    Io {
        /// Which file.
        path: String,
        /// Why.
        error: io::Error,
    },
    /// It is no file, or has changed, or is not what the sender sealed.
    #[error("\"{path}\": {error}")]
    Blob {
        /// Which file.
        path: String,
        /// Why.
        error: BlobError,
    },
    /// Something is there already.
    #[error("\"{path}\" already exists")]
    Exists {
        /// Where.
        path: String,
    },
    /// It is a folder, or a device.
    #[error("\"{path}\" is not a file, so it cannot be sent")]
    NoFile {
        /// Which.
        path: String,
    },
    /// It looks like a picture, but not like one whose metadata can be found.
    #[error(
        "\"{path}\" is a damaged picture, so nothing that the camera stored in it can be removed"
    )]
    MetadataNotRemoved {
        /// Which.
        path: String,
    },
    /// What came is not well-formed.
    #[error("the attachment is damaged")]
    Damaged,
}

impl Blobs {
    /// Seals a file, to be sent. Tells how many bytes are done.
    pub fn seal(
        &self,
        path: &Path,
        metadata: Metadata,
        mut progress: impl FnMut(u64),
    ) -> Result<SealedFile, FileError> {
        let io = |error| FileError::Io {
            path: path.display().to_string(),
            error,
        };
        let no_file = || FileError::NoFile {
            path: path.display().to_string(),
        };
        if !fs::metadata(path).map_err(io)?.is_file() {
            return Err(no_file());
        }
        // If a pipe takes its place in this moment, opening it does not wait for a writer.
        let mut file = OpenOptions::new()
            .read(true)
            .custom_flags(OFlags::NONBLOCK.bits().cast_signed())
            .open(path)
            .map_err(io)?;
        let about = file.metadata().map_err(io)?;
        if !about.is_file() {
            return Err(no_file());
        }
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let mut sealing = self.begin(&name, about.len())?;
        let mut part = vec![0; CHUNK_BYTES];
        loop {
            let read = file.read(&mut part).map_err(io)?;
            if read == 0 {
                return sealing.finish(metadata);
            }
            sealing.write(part.get(..read).unwrap_or_default())?;
            progress(sealing.taken());
        }
    }

    /// Seals an attachment that is here again, under another key, to be forwarded. Tells how many
    /// bytes are done.
    pub fn seal_again(
        &self,
        attachment: &OpenAttachment,
        mut progress: impl FnMut(u64),
    ) -> Result<SealedFile, FileError> {
        let mut file = self.read_file(attachment)?;
        let mut sealing = self.begin(&attachment.name, attachment.size)?;
        let mut part = vec![0; CHUNK_BYTES];
        loop {
            let read = file.read(&mut part).map_err(|_| FileError::Damaged)?;
            if read == 0 {
                let sealed = sealing.finish(Metadata::Removed)?;
                return Ok(SealedFile {
                    media_type: attachment.media_type.clone(),
                    ..sealed
                });
            }
            sealing.write(part.get(..read).unwrap_or_default())?;
            progress(sealing.taken());
        }
    }

    /// Where a file goes, which its sender calls `name`: into a folder under that name, with a
    /// number if the name is taken there, or to a path, where nothing may be.
    pub fn target(name: &str, to: &Path) -> Result<PathBuf, FileError> {
        if !is_folder(to) {
            return if is_taken(to) {
                let path = to.display().to_string();
                Err(FileError::Exists { path })
            } else {
                Ok(to.to_owned())
            };
        }
        fs::create_dir_all(to).map_err(|error| FileError::Io {
            path: to.display().to_string(),
            error,
        })?;
        let name = harmless(name);
        let (stem, ending) = split_ending(&name);
        let numbered = (2..=NAMES_TRIED).map(|number| format!("{stem} ({number}){ending}"));
        std::iter::once(name.clone())
            .chain(numbered)
            .map(|name| to.join(name))
            .find(|target| !is_taken(target))
            .ok_or_else(|| FileError::Exists {
                path: to.join(&name).display().to_string(),
            })
    }

    /// Opens a file that is here, and writes it to a [`Self::target`].
    pub fn open(&self, attachment: &OpenAttachment, to: &Path) -> Result<PathBuf, FileError> {
        let mut target = Self::target(&attachment.name, to)?;
        let io = |path: &Path, error| FileError::Io {
            path: path.display().to_string(),
            error,
        };
        let mut file = self.read_file(attachment)?;
        let folder = target.parent().filter(|path| !path.as_os_str().is_empty());
        let folder = folder.unwrap_or_else(|| Path::new("."));
        // Beside the place, so that it gets there in one step, whole or not at all.
        let mut temporary = tempfile::Builder::new()
            .prefix(".waxwing-")
            .tempfile_in(folder)
            .map_err(|error| io(&target, error))?;
        // A chunk is written at once.
        let mut out = BufWriter::with_capacity(CHUNK_BYTES, temporary.as_file_mut());
        io::copy(&mut file, &mut out).map_err(|error| match error.kind() {
            io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof => FileError::Damaged,
            _ => io(&target, error),
        })?;
        let written = out.flush();
        drop(out);
        let synced = written.and_then(|()| temporary.as_file().sync_all());
        synced.map_err(|error| io(&target, error))?;
        loop {
            match temporary.persist_noclobber(&target) {
                Ok(_) => return Ok(target),
                Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => {
                    // Another program took the name; in a folder there are others.
                    temporary = error.file;
                    target = Self::target(&attachment.name, to)?;
                }
                Err(error) => return Err(io(&target, error.error)),
            }
        }
    }
}

/// Files of one name that a folder can have.
const NAMES_TRIED: u32 = 10_000;

/// Bytes of a name on disk.
const NAME_BYTES: usize = 200;

fn is_folder(to: &Path) -> bool {
    to.is_dir() || to.to_string_lossy().ends_with('/')
}

/// Whether anything has this name, and be it a link that leads nowhere.
fn is_taken(path: &Path) -> bool {
    path.symlink_metadata().is_ok()
}

/// A name that is one name, on any system, and looks like what it is. The two joiners stay, which
/// Persian, Indic scripts and emoji need.
pub fn harmless(name: &str) -> String {
    let forbidden = |c: char| {
        c.is_control()
            || matches!(c, '/' | '\\' | ':' | '*' | '?' | '"' | '<' | '>' | '|')
            || matches!(c, '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
    };
    let name: String = name
        .chars()
        .map(|c| if forbidden(c) { '_' } else { c })
        .collect();
    let name = name
        .trim()
        .trim_start_matches('.')
        .trim_end_matches(['.', ' ']);
    let name = shortened_name(name, NAME_BYTES);
    let stem = name
        .split('.')
        .next()
        .unwrap_or_default()
        .to_ascii_uppercase();
    let reserved = ["CON", "PRN", "AUX", "NUL"];
    let is_port =
        |stem: &str| (stem.starts_with("COM") || stem.starts_with("LPT")) && stem.len() == 4;
    if name.is_empty() {
        "file".to_owned()
    } else if reserved.contains(&stem.as_str()) || is_port(&stem) {
        format!("_{name}")
    } else {
        name
    }
}

/// What a name says that a file is.
pub(super) fn media_type(name: &str) -> &'static str {
    let extension = name
        .rsplit_once('.')
        .map(|(_, extension)| extension.to_ascii_lowercase());
    match extension.as_deref() {
        Some("jpg" | "jpeg") => "image/jpeg",
        Some("png") => "image/png",
        Some("gif") => "image/gif",
        Some("webp") => "image/webp",
        Some("heic") => "image/heic",
        Some("heif") => "image/heif",
        Some("avif") => "image/avif",
        Some("bmp") => "image/bmp",
        Some("tif" | "tiff") => "image/tiff",
        Some("svg") => "image/svg+xml",
        Some("pdf") => "application/pdf",
        Some("txt") => "text/plain",
        Some("md") => "text/markdown",
        Some("html" | "htm") => "text/html",
        Some("csv") => "text/csv",
        Some("ics") => "text/calendar",
        Some("vcf") => "text/vcard",
        Some("rtf") => "application/rtf",
        Some("json") => "application/json",
        Some("xml") => "application/xml",
        Some("epub") => "application/epub+zip",
        Some("doc") => "application/msword",
        Some("xls") => "application/vnd.ms-excel",
        Some("ppt") => "application/vnd.ms-powerpoint",
        Some("docx") => "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
        Some("xlsx") => "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
        Some("pptx") => "application/vnd.openxmlformats-officedocument.presentationml.presentation",
        Some("odt") => "application/vnd.oasis.opendocument.text",
        Some("ods") => "application/vnd.oasis.opendocument.spreadsheet",
        Some("odp") => "application/vnd.oasis.opendocument.presentation",
        Some("odg") => "application/vnd.oasis.opendocument.graphics",
        Some("mp4" | "m4v") => "video/mp4",
        Some("mov") => "video/quicktime",
        Some("mkv") => "video/matroska",
        Some("webm") => "video/webm",
        Some("mp3") => "audio/mpeg",
        Some("m4a") => "audio/mp4",
        Some("aac") => "audio/aac",
        Some("flac") => "audio/flac",
        Some("wav") => "audio/wav",
        Some("ogg" | "oga" | "opus") => "audio/ogg",
        Some("zip") => "application/zip",
        Some("gz") => "application/gzip",
        Some("7z") => "application/x-7z-compressed",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use waxwing_engine::api::AttachmentState;

    use super::*;

    fn here(file: &SealedFile) -> OpenAttachment {
        OpenAttachment {
            blob: file.blob.clone(),
            key: file.key.clone(),
            name: file.name.clone(),
            media_type: file.media_type.clone(),
            size: file.size,
            state: AttachmentState::Here,
            percent: 100,
            missing: None,
        }
    }

    #[test]
    fn a_file_is_sealed_and_opened_and_nowhere_in_the_clear() {
        let home = tempfile::tempdir().unwrap();
        let blobs = Blobs::of(home.path());
        let content: Vec<u8> = b"A holiday. ".repeat(20_000);
        let path = home.path().join("holiday.jpg");
        fs::write(&path, &content).unwrap();
        let mut told = 0;
        let sealed = blobs
            .seal(&path, Metadata::Removed, |done| told = done)
            .unwrap();
        assert_eq!(told, content.len() as u64);
        assert_eq!(
            (sealed.name.as_str(), sealed.media_type.as_str()),
            ("holiday.jpg", "image/jpeg")
        );
        let stored = fs::read(blobs.folder.join(&sealed.blob)).unwrap();
        assert!(!stored.windows(10).any(|window| window == b"A holiday."));
        let there = tempfile::tempdir().unwrap();
        let saved = blobs.open(&here(&sealed), there.path()).unwrap();
        assert_eq!(saved, there.path().join("holiday.jpg"));
        assert!(fs::read(&saved).unwrap() == content);
        let other = blobs
            .open(&here(&sealed), &there.path().join("other"))
            .unwrap();
        assert!(fs::read(other).unwrap() == content);
    }

    #[test]
    fn a_second_file_of_a_name_gets_a_number_and_nothing_is_overwritten() {
        let home = tempfile::tempdir().unwrap();
        let blobs = Blobs::of(home.path());
        let path = home.path().join("scan.pdf");
        fs::write(&path, "a scan").unwrap();
        let sealed = blobs.seal(&path, Metadata::Removed, |_| {}).unwrap();
        let there = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("nowhere", there.path().join("scan (3).pdf")).unwrap();
        for name in ["scan.pdf", "scan (2).pdf", "scan (4).pdf"] {
            let saved = blobs.open(&here(&sealed), there.path()).unwrap();
            assert_eq!(saved, there.path().join(name));
        }
        // A path that a person names is that path, or nothing.
        let named = there.path().join("scan (2).pdf");
        let again = blobs.open(&here(&sealed), &named);
        assert!(matches!(again, Err(FileError::Exists { .. })));
        let folder = there.path().join("new/");
        assert!(blobs.open(&here(&sealed), &folder).is_ok());
    }

    #[test]
    fn what_was_changed_is_not_written() {
        let home = tempfile::tempdir().unwrap();
        let blobs = Blobs::of(home.path());
        let path = home.path().join("file");
        fs::write(&path, vec![7; 200_000]).unwrap();
        let sealed = blobs.seal(&path, Metadata::Removed, |_| {}).unwrap();
        let stored = blobs.folder.join(&sealed.blob);
        let mut bytes = fs::read(&stored).unwrap();
        let last = bytes.len() - 1;
        bytes[last] ^= 1;
        fs::write(&stored, bytes).unwrap();
        let there = tempfile::tempdir().unwrap();
        assert!(matches!(
            blobs.open(&here(&sealed), there.path()),
            Err(FileError::Damaged)
        ));
        assert_eq!(fs::read_dir(there.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_name_from_others_is_one_name() {
        for (name, shown) in [
            ("../../etc/passwd", "_.._etc_passwd"),
            (".bashrc", "bashrc"),
            ("", "file"),
            ("...", "file"),
            ("a/b\\c:d", "a_b_c_d"),
            ("photo\u{202e}gpj.exe", "photo_gpj.exe"),
            ("nul.txt", "_nul.txt"),
            ("line\nbreak\0", "line_break_"),
            ("Zürich 👋.png", "Zürich 👋.png"),
            ("نامه\u{200c}ها.pdf", "نامه\u{200c}ها.pdf"),
            ("👩\u{200d}👧.png", "👩\u{200d}👧.png"),
        ] {
            assert_eq!(harmless(name), shown);
        }
        let long = harmless(&format!("{}.pdf", "ü".repeat(300)));
        assert!(long.len() <= 200 && long.ends_with("ü.pdf"), "{long}");
    }

    #[test]
    fn what_phones_and_offices_make_has_its_media_type() {
        for (name, is) in [
            ("IMG_0001.HEIC", "image/heic"),
            ("a.avif", "image/avif"),
            ("IMG_0001.MOV", "video/quicktime"),
            (
                "letter.docx",
                "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
            ),
            ("old.xls", "application/vnd.ms-excel"),
            (
                "talk.odp",
                "application/vnd.oasis.opendocument.presentation",
            ),
            ("docx", "application/octet-stream"),
            ("a.heic.exe", "application/octet-stream"),
        ] {
            assert_eq!(media_type(name), is, "{name}");
        }
    }

    #[test]
    fn a_picture_is_sealed_without_what_its_camera_stored() {
        let home = tempfile::tempdir().unwrap();
        let blobs = Blobs::of(home.path());
        let path = home.path().join("holiday.png");
        let mut picture = Vec::new();
        image::DynamicImage::new_rgb8(40, 24)
            .write_to(&mut io::Cursor::new(&mut picture), image::ImageFormat::Png)
            .unwrap();
        // A text in front of the first data: length, kind, content, check sum.
        let secret = b"\0\0\0\x0ftEXtPlace\0Hakaniemi"
            .iter()
            .chain(&[0; 4])
            .copied();
        picture.splice(33..33, secret);
        fs::write(&path, &picture).unwrap();
        let there = tempfile::tempdir().unwrap();
        for (metadata, keeps) in [(Metadata::Removed, false), (Metadata::Kept, true)] {
            let sealed = blobs.seal(&path, metadata, |_| {}).unwrap();
            let to = there.path().join(format!("{keeps}"));
            let saved = fs::read(blobs.open(&here(&sealed), &to).unwrap()).unwrap();
            assert_eq!(saved.len() as u64, sealed.size);
            assert_eq!(saved == picture, keeps);
            assert_eq!(saved.windows(9).any(|part| part == b"Hakaniemi"), keeps);
            assert_eq!(sealed.preview.unwrap().width, 40);
            fs::remove_file(blobs.folder.join(&sealed.blob)).unwrap();
        }
        // One that is damaged is sent only as it is, and leaves nothing else.
        fs::write(&path, &picture[..60]).unwrap();
        let refused = blobs.seal(&path, Metadata::Removed, |_| {});
        assert!(matches!(refused, Err(FileError::MetadataNotRemoved { .. })));
        assert_eq!(fs::read_dir(&blobs.folder).unwrap().count(), 0);
        blobs.seal(&path, Metadata::Kept, |_| {}).unwrap();
    }

    #[test]
    fn what_is_no_file_is_not_sealed() {
        let home = tempfile::tempdir().unwrap();
        let blobs = Blobs::of(home.path());
        assert!(matches!(
            blobs.seal(home.path(), Metadata::Removed, |_| {}),
            Err(FileError::NoFile { .. })
        ));
        // Nobody writes into this pipe: to open it would be to wait for ever.
        let pipe = home.path().join("pipe");
        rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, rustix::fs::Mode::RUSR).unwrap();
        assert!(matches!(
            blobs.seal(&pipe, Metadata::Removed, |_| {}),
            Err(FileError::NoFile { .. })
        ));
        assert!(matches!(
            blobs.seal(&home.path().join("nothing"), Metadata::Removed, |_| {}),
            Err(FileError::Io { .. })
        ));
    }
}
