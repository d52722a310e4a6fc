//! Previews: what a file looks or sounds like before it is fetched, made by its sender.
//!
//! A preview is a part of the message next to the file's part (disposition *preview*, which no
//! version shows as text). It is the sender's claim, and small; nothing is decoded here.
//!
//! **Elsewhere**: the client's `blobs/preview.rs` makes previews; [`crate::attachment::preview`]
//! shows them.
//!
//! **Always**: a preview that exceeds a limit, or whose first bytes are not those of a JPEG,
//! is ignored.

use prost::Message as _;
use waxwing_protocol::pb;

use super::{Disposition, Part, PartBody};

/// Bytes of one preview, at most.
pub(crate) const ONE_BYTES: usize = 16 << 10;
/// Bytes of all previews of a message, at most: it has to fit a post.
const ALL_BYTES: usize = 96 << 10;
/// Characters of a blurhash, at most: 9 by 9 components.
const BLURHASH_BYTES: usize = 4 + 2 + 9 * 9 * 2;
/// Levels of a waveform, at most.
const LEVELS: usize = 128;
/// Pixels of a side, at most.
const SIDE: u32 = 1 << 16;

const MEDIA_TYPE: &str = "application/vnd.waxwing.preview";

/// The part that stands behind a file's.
pub(super) fn part(preview: &[u8]) -> Part {
    Part {
        disposition: Disposition::PREVIEW,
        language: String::new(),
        body: PartBody::Single {
            content_type: MEDIA_TYPE.to_owned(),
            content: preview.to_vec(),
        },
    }
}

/// The preview in a part, if it is one.
pub(super) fn part_preview(part: &Part) -> Option<Vec<u8>> {
    match &part.body {
        PartBody::Single {
            content_type,
            content,
        } if part.disposition == Disposition::PREVIEW && content_type == MEDIA_TYPE => {
            read(content).map(|preview| preview.encode_to_vec())
        }
        _ => None,
    }
}

/// Reads a preview; `None` where it exceeds a limit.
pub(crate) fn read(bytes: &[u8]) -> Option<pb::Preview> {
    if bytes.len() > ONE_BYTES {
        return None;
    }
    let preview = pb::Preview::decode(bytes).ok()?;
    let jpeg = preview.thumbnail.is_empty() || preview.thumbnail.starts_with(&[0xFF, 0xD8, 0xFF]);
    let hash = preview.blurhash.len() <= BLURHASH_BYTES
        && preview.blurhash.bytes().all(|byte| byte.is_ascii_graphic());
    let fits = preview.waveform.len() <= LEVELS && preview.width.max(preview.height) <= SIDE;
    (jpeg && hash && fits).then_some(preview)
}

/// Leaves out what is too much for one message.
pub(super) fn fit(previews: &mut [Vec<u8>]) {
    let mut all = 0;
    for preview in previews {
        all += preview.len();
        if all > ALL_BYTES {
            preview.clear();
        }
    }
}
