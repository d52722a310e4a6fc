//! What holds for every frame, id and version, not only for examples.

#![cfg(test)]

mod samples;

use bytes::{BufMut as _, Bytes};
use proptest::prelude::*;
use prost::{
    Message,
    encoding::{WireType, encode_key, encode_varint},
};
use samples::{Values, client_frames, relay_frames};
use waxwing_protocol::{
    frame::{self, FrameError},
    ids::{AccountId, DeviceId, GroupId, GroupSequence, MailboxId, PostId, RegistrationId},
    limits, padding,
    pb::{self, ClientFrame, RelayFrame},
    time::{Span, Time},
};

/// Numbers that no message uses today.
const NEWER_FIELD: u32 = 1000;

/// A field of any wire type, as a later version may add.
fn newer_field() -> impl Strategy<Value = Vec<u8>> {
    let field = 0_u32..8;
    prop_oneof![
        (field.clone(), any::<u64>()).prop_map(|(field, value)| {
            let mut bytes = Vec::new();
            encode_key(NEWER_FIELD + field, WireType::Varint, &mut bytes);
            encode_varint(value, &mut bytes);
            bytes
        }),
        (field.clone(), any::<u64>()).prop_map(|(field, value)| {
            let mut bytes = Vec::new();
            encode_key(NEWER_FIELD + field, WireType::SixtyFourBit, &mut bytes);
            bytes.put_u64_le(value);
            bytes
        }),
        (field.clone(), any::<u32>()).prop_map(|(field, value)| {
            let mut bytes = Vec::new();
            encode_key(NEWER_FIELD + field, WireType::ThirtyTwoBit, &mut bytes);
            bytes.put_u32_le(value);
            bytes
        }),
        (field, prop::collection::vec(any::<u8>(), 0..50))
            .prop_map(|(field, value)| { length_delimited(NEWER_FIELD + field, &value) }),
    ]
}

fn length_delimited(field: u32, value: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode_key(field, WireType::LengthDelimited, &mut bytes);
    encode_varint(value.len() as u64, &mut bytes);
    bytes.extend_from_slice(value);
    bytes
}

/// `message` with a newer field in front and another behind.
fn between(before: &[u8], message: &[u8], behind: &[u8]) -> Bytes {
    [before, message, behind].concat().into()
}

/// `frame` with `field` added inside of its body.
fn inside_of_body(frame: &[u8], field: &[u8]) -> Bytes {
    use prost::encoding::{DecodeContext, decode_key, decode_varint, skip_field};
    let mut rest = frame;
    let mut made = Vec::new();
    while !rest.is_empty() {
        let before = rest;
        let (number, wire_type) = decode_key(&mut rest).unwrap();
        if wire_type == WireType::LengthDelimited {
            let length = usize::try_from(decode_varint(&mut rest).unwrap()).unwrap();
            let (body, behind) = rest.split_at(length);
            made.extend(length_delimited(number, &[body, field].concat()));
            rest = behind;
        } else {
            skip_field(wire_type, number, &mut rest, DecodeContext::default()).unwrap();
            made.extend_from_slice(&before[..before.len() - rest.len()]);
        }
    }
    made.into()
}

proptest! {
    #[test]
    fn every_frame_survives_the_wire(seed: u64) {
        for (name, frame) in client_frames(&Values(seed)) {
            let bytes = Bytes::from(frame.encode_to_vec());
            prop_assert_eq!(frame::decode_client(bytes).unwrap(), frame, "{}", name);
        }
        for (name, frame) in relay_frames(&Values(seed)) {
            let bytes = Bytes::from(frame.encode_to_vec());
            prop_assert_eq!(frame::decode_relay(bytes).unwrap(), frame, "{}", name);
        }
    }

    #[test]
    fn fields_of_a_later_version_are_ignored(
        seed: u64,
        before in newer_field(),
        behind in newer_field(),
    ) {
        for (name, frame) in client_frames(&Values(seed)) {
            let bytes = frame.encode_to_vec();
            let around = frame::decode_client(between(&before, &bytes, &behind)).unwrap();
            prop_assert_eq!(&around, &frame, "around {}", name);
            let inside = frame::decode_client(inside_of_body(&bytes, &behind)).unwrap();
            prop_assert_eq!(&inside, &frame, "inside of {}", name);
        }
        for (name, frame) in relay_frames(&Values(seed)) {
            let bytes = frame.encode_to_vec();
            let around = frame::decode_relay(between(&before, &bytes, &behind)).unwrap();
            prop_assert_eq!(&around, &frame, "around {}", name);
            let inside = frame::decode_relay(inside_of_body(&bytes, &behind)).unwrap();
            prop_assert_eq!(&inside, &frame, "inside of {}", name);
        }
    }

    #[test]
    fn a_later_versions_body_is_none_and_its_request_is_known(
        request: u32,
        body in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        let mut bytes = pb::ClientFrame { request, body: None }.encode_to_vec();
        bytes.extend(length_delimited(NEWER_FIELD, &body));
        let bytes = Bytes::from(bytes);
        prop_assert_eq!(
            frame::decode_client(bytes.clone()).unwrap(),
            ClientFrame { request, body: None }
        );
        prop_assert_eq!(
            frame::decode_relay(bytes).unwrap(),
            RelayFrame { request, body: None }
        );
    }

    #[test]
    fn a_kind_or_code_of_a_later_version_is_unspecified(number in 100_i32..) {
        let post = pb::Post { kind: number, ..pb::Post::default() };
        let read = pb::Post::decode(post.encode_to_vec().as_slice()).unwrap();
        prop_assert_eq!(read.kind(), pb::PostKind::Unspecified);
        let error = pb::Error { code: number, ..pb::Error::default() };
        let read = pb::Error::decode(error.encode_to_vec().as_slice()).unwrap();
        prop_assert_eq!(read.code(), pb::ErrorCode::Unspecified);
    }

    #[test]
    fn no_bytes_panic_and_what_decodes_survives_the_wire(
        bytes in prop::collection::vec(any::<u8>(), 0..300),
    ) {
        let bytes = Bytes::from(bytes);
        if let Ok(frame) = frame::decode_client(bytes.clone()) {
            prop_assert_eq!(frame::decode_client(frame.encode_to_vec().into()).unwrap(), frame);
        }
        if let Ok(frame) = frame::decode_relay(bytes) {
            prop_assert_eq!(frame::decode_relay(frame.encode_to_vec().into()).unwrap(), frame);
        }
    }

    #[test]
    fn a_frame_that_is_cut_short_is_never_read_as_the_whole(seed: u64, cut: prop::sample::Index) {
        for (name, frame) in client_frames(&Values(seed)) {
            let bytes = Bytes::from(frame.encode_to_vec());
            let part = bytes.slice(..cut.index(bytes.len()));
            prop_assert_ne!(frame::decode_client(part).ok(), Some(frame), "{}", name);
        }
    }

    #[test]
    fn an_id_has_one_length_as_bytes_and_as_hexadecimal(
        bytes in prop::collection::vec(any::<u8>(), 0..70),
    ) {
        macro_rules! holds {
            ($($id:ident),*) => {$(
                match $id::try_from(bytes.as_slice()) {
                    Ok(id) => {
                        prop_assert_eq!(bytes.len(), $id::LENGTH);
                        prop_assert_eq!(id.as_bytes().as_slice(), bytes.as_slice());
                        prop_assert_eq!($id::from_hex(&id.to_string()).unwrap(), id);
                        prop_assert_eq!($id::from_hex(&id.to_string().to_uppercase()).unwrap(), id);
                        prop_assert_eq!($id::try_from(&id.to_bytes()).unwrap(), id);
                        let shown = format!("{id:?}");
                        prop_assert!(!shown.contains(&id.to_string()));
                    }
                    Err(wrong) => {
                        prop_assert_ne!(bytes.len(), $id::LENGTH);
                        prop_assert_eq!((wrong.length, wrong.expected), (bytes.len(), $id::LENGTH));
                    }
                }
            )*};
        }
        holds!(AccountId, DeviceId, MailboxId, GroupId, PostId, RegistrationId);
    }

    #[test]
    fn no_text_is_an_id_by_mistake(text in "\\PC{0,70}") {
        if let Ok(id) = GroupId::from_hex(&text) {
            prop_assert_eq!(id.to_string(), text.to_lowercase());
        }
    }

    #[test]
    fn numbers_and_times_never_wrap(number: u64, span: u64) {
        prop_assert!(GroupSequence(number).next() >= GroupSequence(number));
        prop_assert!(Time(number).after(Span(span)) >= Time(number));
        prop_assert_eq!(Time(number).since(Time(number).after(Span(span))), Span(0));
    }

    #[test]
    fn a_padded_length_is_a_fixed_point_and_costs_at_most_an_eighth(length in 0_usize..1 << 40) {
        let padded = padding::padded_length(length);
        prop_assert!(padded >= length && padded >= padding::SMALLEST);
        prop_assert_eq!(padding::padded_length(padded), padded);
        prop_assert!(length < padding::SMALLEST || padded - length <= length / 8);
    }
}

#[test]
fn a_frame_may_be_exactly_as_large_as_its_kind_allows() {
    let post = |body: usize| {
        let frame = ClientFrame {
            request: 0,
            body: Some(pb::client_frame::Body::Post(pb::Post {
                body: vec![0; body].into(),
                ..pb::Post::default()
            })),
        };
        Bytes::from(frame.encode_to_vec())
    };
    let overhead = post(1 << 19).len() - (1 << 19);
    let largest = post(limits::FRAME_BYTES - overhead);
    assert_eq!(largest.len(), limits::FRAME_BYTES);
    assert!(frame::decode_client(largest).is_ok());
    assert_eq!(
        frame::decode_client(post(limits::FRAME_BYTES - overhead + 1)),
        Err(FrameError::TooLarge {
            length: limits::FRAME_BYTES + 1,
            limit: limits::FRAME_BYTES
        })
    );
    let address = |bytes: usize| {
        let frame = ClientFrame {
            request: 0,
            body: Some(pb::client_frame::Body::LookUp(pb::LookUp {
                address: "a".repeat(bytes),
                known_head: 0,
            })),
        };
        Bytes::from(frame.encode_to_vec())
    };
    let overhead = address(1 << 15).len() - (1 << 15);
    assert!(frame::decode_client(address(limits::SMALL_FRAME_BYTES - overhead)).is_ok());
    assert!(frame::decode_client(address(limits::SMALL_FRAME_BYTES - overhead + 1)).is_err());
}
