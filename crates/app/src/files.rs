//! Files of messages: in, while they are being sealed; out, in ranges.
//!
//! **Elsewhere.** Sealing is in `waxwing_client::blobs`.
//!
//! **Always.** Nothing unencrypted is written to the disk. A file that somebody else sent is shown
//! by the browser only if it is a picture, sound or film; all else can be saved, and never opens as
//! a page of ours.

use std::io::{self, Read as _, Seek as _, SeekFrom};

use bytes::Bytes;
use futures_util::stream;
use http_body_util::{BodyExt as _, StreamBody};
use hyper::{
    HeaderMap, Response, StatusCode,
    body::{Frame, Incoming},
    header::{
        ACCEPT_RANGES, CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, RANGE,
    },
};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use tokio::sync::mpsc;
use waxwing_client::{
    Session,
    blobs::{
        Blobs,
        file::{FileError, harmless},
        metadata::Metadata,
    },
};
use waxwing_engine::api::{
    AttachmentOf, AttachmentState, MessageId, OpenAttachment, Problem, Request, SealedFile,
};

use crate::answer::{self, Answer, set, text};

/// Pieces of a file that wait for the other side.
const WAITING: usize = 4;
/// Bytes of a piece.
const PIECE: usize = 64 << 10;

/// Seals what a request brings, to be attached.
pub(crate) async fn take(
    blobs: Blobs,
    name: String,
    metadata: Metadata,
    headers: &HeaderMap,
    body: Incoming,
) -> Answer {
    let size = headers
        .get(CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok()?.parse().ok());
    let Some(size) = size else {
        return text(StatusCode::LENGTH_REQUIRED, "How long is the file?");
    };
    match seal(blobs, name, metadata, size, body).await {
        Ok(file) => answer::json(&file),
        Err(error) => text(StatusCode::UNPROCESSABLE_ENTITY, &error.to_string()),
    }
}

async fn seal(
    blobs: Blobs,
    name: String,
    metadata: Metadata,
    size: u64,
    mut body: Incoming,
) -> Result<SealedFile, FileError> {
    let (pieces, mut arriving) = mpsc::channel::<Bytes>(WAITING);
    let sealing = tokio::task::spawn_blocking(move || {
        let mut sealing = blobs.begin(&name, size)?;
        while let Some(piece) = arriving.blocking_recv() {
            sealing.write(&piece)?;
        }
        // An upload that was cancelled has too few bytes, and leaves nothing.
        sealing.finish(metadata)
    });
    while let Some(Ok(frame)) = body.frame().await {
        if let Ok(piece) = frame.into_data()
            && pieces.send(piece).await.is_err()
        {
            break;
        }
    }
    drop(pieces);
    match sealing.await {
        Ok(sealed) => sealed,
        Err(_) => Err(FileError::Damaged),
    }
}

/// The bytes of an attachment that is here.
pub(crate) async fn give(
    session: &mut Session,
    message: MessageId,
    number: u32,
    save: bool,
    headers: &HeaderMap,
) -> Answer {
    let request = Request::Attachment(AttachmentOf { message, number });
    let attachment: OpenAttachment = match session.ask(&request).await {
        Ok(attachment) => attachment,
        Err(error) => return text(StatusCode::NOT_FOUND, &error.message),
    };
    if !matches!(
        attachment.state,
        AttachmentState::Here | AttachmentState::Sending
    ) {
        let problem = Problem::AttachmentNotHere.report();
        return text(StatusCode::NOT_FOUND, &problem.sentence);
    }
    let size = attachment.size;
    let asked = headers.get(RANGE).map(|range| range.to_str().unwrap_or(""));
    let part = match asked.map(|range| Part::read(range, size)) {
        None | Some(Asked::All) => None,
        Some(Asked::Part(part)) => Some(part),
        Some(Asked::Beyond) => {
            let mut answer = text(StatusCode::RANGE_NOT_SATISFIABLE, "The file is shorter.");
            set(
                answer.headers_mut(),
                CONTENT_RANGE,
                &format!("bytes */{size}"),
            );
            return answer;
        }
    };
    let whole = Part {
        start: 0,
        length: size,
    };
    let body = read(session.blobs(), attachment.clone(), part.unwrap_or(whole));
    let mut answer = Response::new(StreamBody::new(body).boxed());
    let headers = answer.headers_mut();
    set(headers, ACCEPT_RANGES, "bytes");
    set(
        headers,
        CONTENT_LENGTH,
        &part.unwrap_or(whole).length.to_string(),
    );
    let shown = shown_type(&attachment.media_type).filter(|_| !save);
    set(
        headers,
        CONTENT_TYPE,
        shown.unwrap_or("application/octet-stream"),
    );
    if shown.is_none() {
        set(headers, CONTENT_DISPOSITION, &saved_as(&attachment.name));
    }
    if let Some(Part { start, length }) = part {
        let last = start + length - 1;
        set(
            headers,
            CONTENT_RANGE,
            &format!("bytes {start}-{last}/{size}"),
        );
        *answer.status_mut() = StatusCode::PARTIAL_CONTENT;
    }
    answer
}

/// Reads a part of a file, as fast as the other side takes it; stops when that goes away.
fn read(
    blobs: Blobs,
    attachment: OpenAttachment,
    part: Part,
) -> impl futures_util::Stream<Item = io::Result<Frame<Bytes>>> {
    let (pieces, leaving) = mpsc::channel::<io::Result<Bytes>>(WAITING);
    tokio::task::spawn_blocking(move || {
        let read = || -> io::Result<()> {
            let mut file = blobs.read_file(&attachment).map_err(io::Error::other)?;
            file.seek(SeekFrom::Start(part.start))?;
            let mut left = part.length;
            while left > 0 {
                let mut piece = vec![0; PIECE.min(usize::try_from(left).unwrap_or(PIECE))];
                file.read_exact(&mut piece)?;
                left -= piece.len() as u64;
                if pieces.blocking_send(Ok(piece.into())).is_err() {
                    return Ok(());
                }
            }
            Ok(())
        };
        if let Err(error) = read() {
            let _ = pieces.blocking_send(Err(error));
        }
    });
    stream::unfold(leaving, |mut leaving| async move {
        let piece = leaving.recv().await?;
        Some((piece.map(Frame::data), leaving))
    })
}

/// A part of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Part {
    start: u64,
    length: u64,
}

#[derive(Debug, PartialEq, Eq)]
enum Asked {
    Part(Part),
    Beyond,
    /// Several parts, or something that we do not know: RFC 9110 section 14.2 lets us ignore it.
    All,
}

impl Part {
    fn read(range: &str, size: u64) -> Asked {
        let Some((first, last)) = range
            .strip_prefix("bytes=")
            .filter(|parts| !parts.contains(','))
            .and_then(|part| part.split_once('-'))
        else {
            return Asked::All;
        };
        let (start, end) = match (first.trim().parse::<u64>(), last.trim().parse::<u64>()) {
            (Ok(start), Ok(last)) if start <= last => (start, last.saturating_add(1).min(size)),
            (Ok(start), Err(_)) if last.trim().is_empty() => (start, size),
            (Err(_), Ok(length)) if first.trim().is_empty() => (size.saturating_sub(length), size),
            _ => return Asked::All,
        };
        match end.checked_sub(start) {
            Some(length) if length > 0 => Asked::Part(Self { start, length }),
            _ => Asked::Beyond,
        }
    }
}

/// The type under which a browser may show a file; nothing that could run.
fn shown_type(media_type: &str) -> Option<&'static str> {
    [
        "image/jpeg",
        "image/png",
        "image/gif",
        "image/webp",
        "image/avif",
        "audio/ogg",
        "audio/opus",
        "audio/mpeg",
        "audio/webm",
        "video/mp4",
        "video/webm",
    ]
    .into_iter()
    .find(|known| *known == media_type)
}

/// What stands as it is in a name of RFC 8187 (`attr-char`, less what nobody needs).
const NAME: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// RFC 6266, with the name in UTF-8 (RFC 8187).
fn saved_as(name: &str) -> String {
    let name = harmless(name);
    let encoded = utf8_percent_encode(&name, NAME);
    format!("attachment; filename*=UTF-8''{encoded}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_a_part_of_the_file_or_nothing() {
        let part = |start, length| Asked::Part(Part { start, length });
        for (range, is) in [
            ("bytes=0-", part(0, 100)),
            ("bytes=10-19", part(10, 10)),
            ("bytes=90-1000", part(90, 10)),
            ("bytes=-30", part(70, 30)),
            ("bytes=-1000", part(0, 100)),
            ("bytes=100-", Asked::Beyond),
            ("bytes=-0", Asked::Beyond),
            ("bytes=5-2", Asked::All),
            ("bytes=0-1,5-6", Asked::All),
            ("bytes=a-b", Asked::All),
            ("bytes=-", Asked::All),
            ("lines=1-2", Asked::All),
            (
                "bytes=18446744073709551615-18446744073709551615",
                Asked::Beyond,
            ),
        ] {
            assert_eq!(Part::read(range, 100), is, "{range}");
        }
        assert_eq!(Part::read("bytes=0-", 0), Asked::Beyond);
    }

    #[test]
    fn nothing_that_runs_is_shown() {
        for media_type in [
            "text/html",
            "image/svg+xml",
            "application/pdf",
            "IMAGE/PNG",
            "",
        ] {
            assert_eq!(shown_type(media_type), None);
        }
        assert_eq!(shown_type("image/png"), Some("image/png"));
    }

    #[test]
    fn a_name_from_others_stays_within_its_header() {
        assert_eq!(
            saved_as("a\"\r\nset-cookie: x/ü.pdf"),
            "attachment; filename*=UTF-8''a___set-cookie_%20x_%C3%BC.pdf"
        );
    }
}
