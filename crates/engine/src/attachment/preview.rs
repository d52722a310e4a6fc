//! Previews: what a file looks or sounds like before it is fetched, made by its sender.
//!
//! A preview is a part of the message next to the file's part (disposition *preview*, which no
//! version shows as text). It is the sender's claim, and small; nothing is decoded here.
//!
//! **Elsewhere**: the client's `blobs/preview.rs` makes previews.
//!
//! **Always**: a preview that exceeds a limit, or whose first bytes are not those of a JPEG,
//! is ignored.

use data_encoding::BASE64;
use prost::Message as _;
use waxwing_protocol::pb;

use crate::{
    api,
    content::{Disposition, Part, PartBody},
};

/// Bytes of one preview, at most.
const ONE_BYTES: usize = 16 << 10;
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

fn read(bytes: &[u8]) -> Option<pb::Preview> {
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

/// As people's programs see it.
pub(super) fn shown(bytes: &[u8]) -> Option<api::Preview> {
    let preview = read(bytes)?;
    Some(api::Preview {
        width: preview.width,
        height: preview.height,
        blurhash: preview.blurhash,
        thumbnail: BASE64.encode(&preview.thumbnail),
        duration_ms: preview.duration_ms,
        waveform: preview.waveform.to_vec(),
    })
}

/// As it is sent.
pub(crate) fn made(preview: &api::Preview) -> Option<Vec<u8>> {
    let made = pb::Preview {
        width: preview.width,
        height: preview.height,
        blurhash: preview.blurhash.clone(),
        thumbnail: BASE64.decode(preview.thumbnail.as_bytes()).ok()?.into(),
        duration_ms: preview.duration_ms,
        waveform: preview.waveform.clone().into(),
    };
    let bytes = made.encode_to_vec();
    read(&bytes).map(|_| bytes)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_much_or_no_picture_is_as_none() {
        let good = pb::Preview {
            width: 4_000,
            height: 3_000,
            blurhash: "LEHV6nWB2yk8pyo0adR*.7kCMdnj".into(),
            thumbnail: vec![0xFF, 0xD8, 0xFF, 0xE0].into(),
            duration_ms: 0,
            waveform: vec![1; 64].into(),
        };
        assert!(shown(&good.encode_to_vec()).is_some());
        let bent: [fn(&mut pb::Preview); 5] = [
            |preview| preview.thumbnail = b"<svg>".as_slice().into(),
            |preview| preview.blurhash = "x".repeat(400),
            |preview| preview.blurhash = "a b".into(),
            |preview| preview.waveform = vec![1; 4_000].into(),
            |preview| preview.width = u32::MAX,
        ];
        for bend in bent {
            let mut preview = good.clone();
            bend(&mut preview);
            assert!(shown(&preview.encode_to_vec()).is_none());
        }
        assert!(shown(&[0xFF; 40]).is_none());
        assert!(shown(&vec![0; ONE_BYTES + 1]).is_none());
    }
}
