//! Frames to and from bytes, bounded before they are decoded.
//!
//! **Elsewhere.** The code that uses the fields checks their content.
//!
//! **Always.** Decoding allocates at most a small multiple of the frame: only frames
//! whose kind needs it may be large, and those hold no long list of messages.

use bytes::Bytes;
use prost::{
    Message as _,
    encoding::{DecodeContext, decode_key, skip_field},
};

use crate::{
    limits,
    pb::{ClientFrame, RelayFrame},
};

/// Why bytes are no frame.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// Longer than frames of this kind may be.
    #[error("the frame has {length} bytes, more than the {limit} that its kind may have")]
    TooLarge {
        /// Bytes that came.
        length: usize,
        /// Bytes that may come.
        limit: usize,
    },
    /// Not this protocol's encoding.
    #[error("the frame is malformed: {0}")]
    Malformed(#[from] prost::DecodeError),
}

/// Fields of `ClientFrame.body` that hold posts, welcomes, key packages, parts of backups and
/// blobs, or what is said at a rendezvous.
const LARGE_CLIENT_FIELDS: [u32; 7] = [21, 27, 42, 44, 46, 48, 51];

/// Decodes what a client sent.
pub fn decode_client(bytes: Bytes) -> Result<ClientFrame, FrameError> {
    bounded(bytes.len(), limits::FRAME_BYTES)?;
    if bytes.len() > limits::SMALL_FRAME_BYTES && !is_large_kind(bytes.clone())? {
        bounded(bytes.len(), limits::SMALL_FRAME_BYTES)?;
    }
    Ok(ClientFrame::decode(bytes)?)
}

/// Decodes what a relay sent.
pub fn decode_relay(bytes: Bytes) -> Result<RelayFrame, FrameError> {
    bounded(bytes.len(), limits::FRAME_BYTES)?;
    Ok(RelayFrame::decode(bytes)?)
}

fn bounded(length: usize, limit: usize) -> Result<(), FrameError> {
    if length > limit {
        Err(FrameError::TooLarge { length, limit })
    } else {
        Ok(())
    }
}

/// Whether every body field in the frame is one that may be large: a decoder takes the
/// last of several, but it decodes them all.
fn is_large_kind(mut bytes: Bytes) -> Result<bool, prost::DecodeError> {
    while !bytes.is_empty() {
        let (field, wire_type) = decode_key(&mut bytes)?;
        if field != 1 && !LARGE_CLIENT_FIELDS.contains(&field) {
            return Ok(false);
        }
        skip_field(wire_type, field, &mut bytes, DecodeContext::default())?;
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pb::{
        FinishRegistration, Post, PutBackup, SendRendezvous, SignedStatement, client_frame::Body,
    };

    fn frame(body: Body) -> Bytes {
        ClientFrame {
            request: 1,
            body: Some(body),
        }
        .encode_to_vec()
        .into()
    }

    #[test]
    fn a_large_post_is_decoded() {
        let bytes = frame(Body::Post(Post {
            body: vec![1; 200_000].into(),
            ..Post::default()
        }));
        assert!(decode_client(bytes).is_ok());
    }

    #[test]
    fn the_largest_backup_part_and_rendezvous_message_are_decoded() {
        let part = frame(Body::PutBackup(PutBackup {
            part: vec![1; limits::BACKUP_PART_BYTES].into(),
            ..PutBackup::default()
        }));
        let message = frame(Body::SendRendezvous(SendRendezvous {
            body: vec![1; limits::RENDEZVOUS_BYTES].into(),
        }));
        assert!(decode_client(part).is_ok());
        assert!(decode_client(message).is_ok());
    }

    #[test]
    fn a_frame_that_would_decode_into_far_more_memory_is_refused() {
        let roster = vec![SignedStatement::default(); 40_000];
        let bytes = frame(Body::FinishRegistration(FinishRegistration {
            roster,
            ..FinishRegistration::default()
        }));
        assert!(matches!(
            decode_client(bytes.clone()),
            Err(FrameError::TooLarge { .. })
        ));
        let mut hidden_behind_a_post = frame(Body::Post(Post::default())).to_vec();
        hidden_behind_a_post.extend_from_slice(&bytes);
        assert!(matches!(
            decode_client(hidden_behind_a_post.into()),
            Err(FrameError::TooLarge { .. })
        ));
    }

    #[test]
    fn an_oversized_frame_is_refused_before_it_is_decoded() {
        let bytes = Bytes::from(vec![0xff; limits::FRAME_BYTES + 1]);
        assert!(matches!(
            decode_client(bytes.clone()),
            Err(FrameError::TooLarge { .. })
        ));
        assert!(matches!(
            decode_relay(bytes),
            Err(FrameError::TooLarge { .. })
        ));
    }
}
