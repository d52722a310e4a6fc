//! Files that are put to the relay and fetched; signals.

use waxwing_protocol::pb::{self, client_frame::Body as Ask, relay_frame::Body as Answer};

use super::Values;

pub fn asks(v: &Values) -> Vec<(&'static str, Ask)> {
    let blob_id = v.bytes("blob_id", 32);
    vec![
        (
            "open_blob",
            Ask::OpenBlob(pb::OpenBlob {
                blob_id: blob_id.clone(),
                bytes: v.number("bytes"),
                readers: v.small("readers"),
                delete_hash: v.bytes("delete_hash", 32),
                tokens: vec![v.token()],
                reader_marks: bytes::Bytes::new(),
            }),
        ),
        (
            "put_blob_part",
            Ask::PutBlobPart(pb::PutBlobPart {
                blob_id: blob_id.clone(),
                index: v.small("index"),
                part: v.bytes("part", 300),
            }),
        ),
        (
            "fetch_blob_state",
            Ask::FetchBlobState(pb::FetchBlobState {
                blob_id: blob_id.clone(),
            }),
        ),
        (
            "fetch_blob_part",
            Ask::FetchBlobPart(pb::FetchBlobPart {
                blob_id: blob_id.clone(),
                index: v.small("index"),
            }),
        ),
        (
            "blob_read",
            Ask::BlobRead(pb::BlobRead {
                blob_id: blob_id.clone(),
                reader: v.bytes("reader", 16),
            }),
        ),
        (
            "delete_blob",
            Ask::DeleteBlob(pb::DeleteBlob {
                blob_id,
                secret: v.bytes("secret", 32),
            }),
        ),
        (
            "signal",
            Ask::Signal(pb::Signal {
                group_id: v.bytes("group_id", 16),
                epoch: v.number("epoch"),
                body: v.bytes("signal", 81),
            }),
        ),
    ]
}

pub fn answers(v: &Values) -> Vec<(&'static str, Answer)> {
    vec![
        (
            "blob_stored",
            Answer::BlobStored(pb::BlobStored {
                parts: v.small("parts"),
                of: v.small("of"),
            }),
        ),
        (
            "blob_part_fetched",
            Answer::BlobPartFetched(pb::BlobPartFetched {
                part: v.bytes("part", 300),
                of: v.small("of"),
            }),
        ),
        (
            "signalled",
            Answer::Signalled(pb::Signalled {
                group_id: v.bytes("group_id", 16),
                epoch: v.number("epoch"),
                body: v.bytes("signal", 81),
            }),
        ),
    ]
}
