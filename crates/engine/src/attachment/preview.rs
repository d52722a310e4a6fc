//! Previews of files, as people's programs see and give them.
//!
//! **Elsewhere**: their form in a message is in [`crate::content::preview`].

use data_encoding::BASE64;
use prost::Message as _;
use waxwing_protocol::pb;

use crate::{api, content::preview::read};

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::content::preview::ONE_BYTES;

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
