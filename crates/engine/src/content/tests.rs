use ciborium::Value;
use proptest::prelude::*;

use super::{status::DeliveryStatus, *};

const SALT: [u8; 16] = [3; 16];

fn id(byte: u8) -> MessageId {
    let mut bytes = [byte; 32];
    bytes[0] = 1;
    MessageId::from_bytes(&bytes).unwrap()
}

fn single(content_type: &str, content: &[u8]) -> Part {
    Part {
        disposition: Disposition::RENDER,
        language: String::new(),
        body: PartBody::Single {
            content_type: content_type.into(),
            content: content.into(),
        },
    }
}

fn multi(semantics: Semantics, parts: Vec<Part>) -> Part {
    Part {
        disposition: Disposition::RENDER,
        language: String::new(),
        body: PartBody::Multi { semantics, parts },
    }
}

fn with(body: Part) -> Content {
    Content {
        body,
        ..Content::text(SALT, "", None)
    }
}

fn raw(value: &Value) -> Vec<u8> {
    let mut bytes = Vec::new();
    ciborium::into_writer(value, &mut bytes).unwrap();
    bytes
}

/// A text with the given fields replaced.
fn frame(replaced: &[(usize, Value)]) -> Vec<u8> {
    let Value::Array(mut fields) =
        ciborium::from_reader(Content::text(SALT, "hello", None).encode().as_slice()).unwrap()
    else {
        panic!()
    };
    for (place, value) in replaced {
        fields[*place] = value.clone();
    }
    raw(&Value::Array(fields))
}

fn nested(depth: usize) -> Part {
    (0..depth).fold(single("text/plain", b"deep"), |inner, _| {
        multi(
            Semantics::ProcessAll,
            vec![single("text/plain", b"side"), inner],
        )
    })
}

#[test]
fn a_text_is_shown_as_it_was_written() {
    let content = Content::text(SALT, "Grüße, *Bob*", Some(id(9)));
    let again = decode(&content.encode()).unwrap();
    assert_eq!(again.shown(), VisibleContent::Text("Grüße, *Bob*".into()));
    assert_eq!(again.in_reply_to, Some(id(9)));
}

#[test]
fn receipts_say_what_became_of_which_message() {
    let statuses = [
        (id(1), DeliveryStatus::Delivered),
        (id(2), DeliveryStatus::Read),
        (id(3), DeliveryStatus::Unread),
        (id(4), DeliveryStatus::Failed),
        (id(5), DeliveryStatus::Unknown(77)),
    ];
    let content = decode(&Content::statuses(SALT, &statuses).encode()).unwrap();
    assert_eq!(content.shown(), VisibleContent::Statuses(statuses.to_vec()));
}

#[test]
fn of_a_choice_the_first_that_can_be_shown_is() {
    let choice = multi(
        Semantics::ChooseOne,
        vec![
            single("application/vnd.example", &[1]),
            single("text/markdown;variant=GFM-MIMI", b"hi"),
            single("text/plain", b"not this"),
        ],
    );
    assert_eq!(with(choice).shown(), VisibleContent::Text("hi".into()));
}

#[test]
fn parts_that_are_one_are_shown_whole_or_not() {
    let known = vec![single("text/plain", b"a"), single("text/plain", b"b")];
    let mut unknown = known.clone();
    unknown.push(single("image/gif", &[1]));
    assert_eq!(
        with(multi(Semantics::SingleUnit, known)).shown(),
        VisibleContent::Text("a\n\nb".into())
    );
    assert_eq!(
        with(multi(Semantics::SingleUnit, unknown.clone())).shown(),
        VisibleContent::NeedsNewer
    );
    assert_eq!(
        with(multi(Semantics::ProcessAll, unknown)).shown(),
        VisibleContent::Text("a\n\nb".into())
    );
}

#[test]
fn what_this_version_does_not_know_is_said_to_need_a_newer_one() {
    // To nothing.
    let reaction = Part {
        disposition: Disposition::REACTION,
        ..single("text/plain", b"!")
    };
    let edit = Content {
        replaces: Some(id(1)),
        ..with(single("application/vnd.example", b"x"))
    };
    for content in [
        with(single("application/vnd.example", b"x")),
        with(single("text/plain;charset=utf-16", b"x")),
        with(single("text/plain", &[0xFF])),
        with(single("application/mimi-message-status", b"x")),
        with(reaction),
        with(Part {
            body: PartBody::Null,
            ..single("", b"")
        }),
        edit,
    ] {
        assert_eq!(content.shown(), VisibleContent::NeedsNewer);
        assert_eq!(decode(&content.encode()).unwrap(), content);
    }
    // A disposition that is not known is no reason not to show a text.
    let part = Part {
        disposition: Disposition(200),
        ..single("TEXT/plain", b"hi")
    };
    assert_eq!(with(part).shown(), VisibleContent::Text("hi".into()));
}

#[test]
fn what_is_said_of_a_message_names_it() {
    let of = id(1);
    for (content, shown) in [
        (
            Content::reaction(SALT, of, Some("👍")),
            VisibleContent::Reaction(of, Some("👍".into())),
        ),
        (
            Content::reaction(SALT, of, None),
            VisibleContent::Reaction(of, None),
        ),
        (
            Content::edit(SALT, of, "better", Some(id(2))),
            VisibleContent::Edit(of, "better".into()),
        ),
        (Content::taken_back(SALT, of), VisibleContent::TakenBack(of)),
    ] {
        assert_eq!(content.shown(), shown);
        assert_eq!(decode(&content.encode()).unwrap(), content);
    }
}

#[test]
fn unknown_parts_and_extensions_survive() {
    let part = Value::Array(vec![
        1.into(),
        "en".into(),
        9.into(),
        "something new".into(),
        Value::Array(vec![Value::Bytes(vec![1, 2])]),
    ]);
    let extensions = Value::Map(vec![
        ((-7).into(), Value::Map(vec![(1.into(), Value::Bool(true))])),
        (1.into(), "mimi://example.com/u/alice".into()),
        ("x-private".into(), Value::Null),
    ]);
    let bytes = frame(&[(5, extensions), (6, part)]);
    let content = decode(&bytes).unwrap();
    assert_eq!(content.extensions.len(), 3);
    assert_eq!(content.shown(), VisibleContent::NeedsNewer);
    assert_eq!(content.encode(), bytes);
}

#[test]
fn each_field_is_checked() {
    let mut other_hash = vec![1; 32];
    other_hash[0] = 2;
    let part = |fields: Vec<Value>| Value::Array(fields);
    let two = vec![part(vec![1.into(), "".into(), 0.into()]); 2];
    for (place, value, error) in [
        (0, Value::Bytes(vec![1; 15]), DecodeError::Field("salt")),
        (0, "salt".into(), DecodeError::Field("salt")),
        (
            1,
            Value::Bytes(other_hash),
            DecodeError::Field("replaced message"),
        ),
        (
            1,
            Value::Bytes(vec![1; 31]),
            DecodeError::Field("replaced message"),
        ),
        (2, Value::Null, DecodeError::Field("topic")),
        (
            2,
            Value::Bytes(vec![0; TOPIC_BYTES + 1]),
            DecodeError::TooLarge("topic"),
        ),
        (3, 7.into(), DecodeError::Field("expiration")),
        (3, part(vec![true.into()]), DecodeError::Field("expiration")),
        (
            3,
            part(vec![true.into(), (1_u64 << 32).into()]),
            DecodeError::Field("expiration"),
        ),
        (
            3,
            part(vec![true.into(), (-1).into()]),
            DecodeError::Field("expiration"),
        ),
        (4, 7.into(), DecodeError::Field("answered message")),
        (5, Value::Null, DecodeError::Field("extensions")),
        (
            5,
            Value::Map(vec![("".into(), 1.into())]),
            DecodeError::Field("extension's name"),
        ),
        (
            5,
            Value::Map(vec![(true.into(), 1.into())]),
            DecodeError::Field("extension's name"),
        ),
        (
            5,
            Value::Map(vec![("x".repeat(256).into(), 1.into())]),
            DecodeError::TooLarge("extension's name"),
        ),
        (
            5,
            Value::Map(vec![(1.into(), "x".repeat(4096).into())]),
            DecodeError::TooLarge("extension"),
        ),
        (
            5,
            Value::Map(vec![(1.into(), "a".into()), (1.into(), "b".into())]),
            DecodeError::Field("extensions, one of which is there twice,"),
        ),
        (6, Value::Null, DecodeError::Field("part")),
        (
            6,
            part(vec![1.into(), "".into()]),
            DecodeError::Field("part"),
        ),
        (
            6,
            part(vec![256.into(), "".into(), 0.into()]),
            DecodeError::Field("disposition"),
        ),
        (
            6,
            part(vec![1.into(), 1.into(), 0.into()]),
            DecodeError::Field("language"),
        ),
        (
            6,
            part(vec![1.into(), "".into(), "".into()]),
            DecodeError::Field("part's kind"),
        ),
        (
            6,
            part(vec![1.into(), "".into(), 0.into(), 0.into()]),
            DecodeError::Field("part"),
        ),
        (
            6,
            part(vec![
                1.into(),
                "".into(),
                1.into(),
                1.into(),
                Value::Bytes(vec![]),
            ]),
            DecodeError::Field("media type"),
        ),
        (
            6,
            part(vec![
                1.into(),
                "".into(),
                3.into(),
                3.into(),
                part(two.clone()),
            ]),
            DecodeError::Field("parts' semantics"),
        ),
        (
            6,
            part(vec![
                1.into(),
                "".into(),
                3.into(),
                0.into(),
                part(two[..1].to_vec()),
            ]),
            DecodeError::Field("parts"),
        ),
        (
            6,
            part(vec![1.into(), "".into(), 2.into(), "image/png".into()]),
            DecodeError::Field("part"),
        ),
    ] {
        assert_eq!(decode(&frame(&[(place, value)])), Err(error));
    }
    decode(&frame(&[(
        6,
        part(vec![1.into(), "".into(), 3.into(), 0.into(), part(two)]),
    )]))
    .unwrap();
}

#[test]
fn what_surrounds_the_content_is_checked() {
    let good = Content::text(SALT, "hello", None).encode();
    for length in 0..good.len() {
        assert_eq!(decode(&good[..length]), Err(DecodeError::Malformed));
    }
    assert_eq!(
        decode(&[&good[..], &[0]].concat()),
        Err(DecodeError::Malformed)
    );
    assert_eq!(decode(&raw(&Value::Null)), Err(DecodeError::Field("frame")));
    assert_eq!(
        decode(&raw(&Value::Array(vec![]))),
        Err(DecodeError::Field("frame"))
    );
    assert_eq!(
        decode(&vec![0; CONTENT_BYTES + 1]),
        Err(DecodeError::TooLarge("length"))
    );
}

#[test]
fn nesting_and_number_of_parts_are_bounded() {
    assert!(decode(&with(nested(DEPTH)).encode()).is_ok());
    assert_eq!(
        decode(&with(nested(DEPTH + 1)).encode()),
        Err(DecodeError::TooLarge("nesting"))
    );
    // Arrays and maps without end, and one that claims to be as long as can be.
    for bomb in [
        vec![0x81; CONTENT_BYTES],
        vec![0xA1; 1000],
        [0xD8, 0x20].repeat(1000),
    ] {
        assert!(decode(&bomb).is_err());
    }
    for claim in [0x5B, 0x7B, 0x9B, 0xBB] {
        let mut bytes = vec![claim];
        bytes.extend([0xFF; 8]);
        assert_eq!(decode(&bytes), Err(DecodeError::Malformed));
        bytes[1] = 0x00;
        assert_eq!(decode(&bytes), Err(DecodeError::Malformed));
    }
    let many = |count| {
        with(multi(
            Semantics::ProcessAll,
            vec![single("text/plain", b"x"); count],
        ))
        .encode()
    };
    assert!(decode(&many(PARTS - 1)).is_ok());
    assert_eq!(
        decode(&many(PARTS)),
        Err(DecodeError::TooLarge("number of parts"))
    );
}

#[test]
fn a_report_is_checked_too() {
    assert_eq!(status::decode(&raw(&Value::Array(vec![]))), Ok(vec![]));
    for value in [
        Value::Null,
        Value::Array(vec![Value::Null]),
        Value::Array(vec![Value::Array(vec![1.into()])]),
    ] {
        assert_eq!(
            status::decode(&raw(&value)),
            Err(DecodeError::Field("report"))
        );
    }
    let entry = |message: Value, status: Value| {
        raw(&Value::Array(vec![Value::Array(vec![message, status])]))
    };
    let message = Value::Bytes(id(1).as_bytes().to_vec());
    assert_eq!(
        status::decode(&entry(Value::Null, 1.into())),
        Err(DecodeError::Field("reported message"))
    );
    assert_eq!(
        status::decode(&entry(message.clone(), 256.into())),
        Err(DecodeError::Field("status"))
    );
    let many = Value::Array(vec![
        Value::Array(vec![message, 1.into()]);
        status::STATUSES + 1
    ]);
    assert_eq!(
        status::decode(&raw(&many)),
        Err(DecodeError::TooLarge("report"))
    );
}

#[test]
fn a_message_id_depends_on_all_that_makes_it() {
    let of = MessageId::of("sender", "room", b"content", &SALT);
    assert_eq!(of.as_bytes()[0], 1);
    for other in [
        MessageId::of("sende", "rroom", b"content", &SALT),
        MessageId::of("sender", "roomc", b"ontent", &SALT),
        MessageId::of("sender", "room", b"content", &[4; 16]),
        MessageId::of("sender", "room", b"contents", &SALT),
    ] {
        assert_ne!(of, other);
    }
    assert_eq!(MessageId::from_bytes(of.as_bytes()), Some(of));
    assert_eq!(MessageId::from_bytes(&of.as_bytes()[..31]), None);
    assert_eq!(format!("{of:?}"), "MessageId(..)");
    assert_eq!(of.to_string().len(), 64);
}

fn frozen() -> Vec<(&'static str, Content)> {
    vec![
        ("text", Content::text(SALT, "Hello, Bob!", None)),
        (
            "reply",
            Content::text([4; 16], "Ja, wirklich: Grüße 🐦", Some(id(0x42))),
        ),
        (
            "receipts",
            Content::statuses(
                [5; 16],
                &[
                    (id(1), DeliveryStatus::Delivered),
                    (id(2), DeliveryStatus::Read),
                ],
            ),
        ),
        (
            "everything",
            Content {
                salt: [6; 16],
                replaces: Some(id(7)),
                topic: b"topic".to_vec(),
                expires: Some(Expiration::AfterReading(600)),
                in_reply_to: Some(id(8)),
                extensions: Extensions(vec![
                    (1.into(), "mimi://example.com/u/alice".into()),
                    ("x".into(), Value::Array(vec![Value::Null])),
                ]),
                body: multi(
                    Semantics::ChooseOne,
                    vec![
                        Part {
                            disposition: Disposition::ATTACHMENT,
                            language: "en,de".into(),
                            body: PartBody::External(Box::new(External {
                                content_type: "image/png".into(),
                                url: "https://example.org/1".into(),
                                expires: 1_800_000_000,
                                size: 1 << 40,
                                encryption: 3,
                                key: vec![1; 32],
                                nonce: vec![2; 12],
                                aad: vec![],
                                hash: 1,
                                content_hash: vec![3; 32],
                                description: "a bird".into(),
                                filename: "bird.png".into(),
                            })),
                        },
                        Part {
                            disposition: Disposition(99),
                            language: String::new(),
                            body: PartBody::Unknown(Unknown {
                                cardinality: 17,
                                fields: vec!["new".into(), 2.into()],
                            }),
                        },
                        Part {
                            body: PartBody::Null,
                            ..single("", b"")
                        },
                    ],
                ),
            },
        ),
        (
            "absolute-expiration",
            Content {
                expires: Some(Expiration::At(1_900_000_000)),
                ..Content::text([7; 16], "soon gone", None)
            },
        ),
    ]
}

/// What was sent once must be read for ever.
#[test]
fn frozen_messages_are_read_and_written_as_ever() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../vectors/content");
    for (name, content) in frozen() {
        let path = folder.join(format!("{name}.cbor"));
        let bytes = std::fs::read(&path).unwrap();
        assert_eq!(decode(&bytes).unwrap(), content, "{name}");
        assert_eq!(content.encode(), bytes, "{name}");
    }
}

#[test]
fn a_frozen_message_keeps_its_id() {
    let content = Content::text(SALT, "Hello, Bob!", None).encode();
    let sender = account_uri(waxwing_protocol::ids::AccountId([1; 32]));
    let room = group_uri(waxwing_protocol::ids::GroupId([2; 16]));
    assert_eq!(
        MessageId::of(&sender, &room, &content, &SALT).to_string(),
        "01ae0257c1eb5d1bccf6742d70e3b96a95ac12f81947c4c8bdeefaa63cc9e50b"
    );
}

#[test]
fn content_is_not_shown_by_debug() {
    for (_, content) in frozen() {
        assert_eq!(format!("{content:?}"), "Content(..)");
        assert!(!format!("{:?}", content.shown()).contains("Bob"));
        assert_eq!(format!("{:?}", content.body), "Part(..)");
    }
}

fn message_ids() -> impl Strategy<Value = MessageId> {
    any::<u8>().prop_map(id)
}

fn values() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(Value::from),
        ".{0,20}".prop_map(Value::from),
        prop::collection::vec(any::<u8>(), 0..20).prop_map(Value::Bytes),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::Array),
            prop::collection::vec((inner.clone(), inner), 0..4).prop_map(Value::Map),
        ]
    })
}

fn externals() -> impl Strategy<Value = External> {
    let bytes = || prop::collection::vec(any::<u8>(), 0..40);
    (
        (
            ".{0,20}",
            ".{0,40}",
            any::<u32>(),
            any::<u64>(),
            any::<u16>(),
        ),
        (
            bytes(),
            bytes(),
            bytes(),
            any::<u8>(),
            bytes(),
            ".{0,20}",
            ".{0,20}",
        ),
    )
        .prop_map(|((content_type, url, expires, size, encryption), rest)| {
            let (key, nonce, aad, hash, content_hash, description, filename) = rest;
            External {
                content_type,
                url,
                expires,
                size,
                encryption,
                key,
                nonce,
                aad,
                hash,
                content_hash,
                description,
                filename,
            }
        })
}

fn parts() -> impl Strategy<Value = Part> {
    let simple = prop_oneof![
        Just(PartBody::Null),
        (".{0,40}", prop::collection::vec(any::<u8>(), 0..200)).prop_map(
            |(content_type, content)| PartBody::Single {
                content_type,
                content
            }
        ),
        externals().prop_map(|external| PartBody::External(Box::new(external))),
        (4..u64::MAX, prop::collection::vec(values(), 0..3)).prop_map(|(cardinality, fields)| {
            PartBody::Unknown(Unknown {
                cardinality,
                fields,
            })
        }),
    ];
    let part = |body: BoxedStrategy<PartBody>| {
        (any::<u8>(), ".{0,10}", body).prop_map(|(disposition, language, body)| Part {
            disposition: Disposition(disposition),
            language,
            body,
        })
    };
    part(simple.boxed()).prop_recursive(3, 20, 4, move |inner| {
        let semantics = prop::sample::select(vec![
            Semantics::ChooseOne,
            Semantics::SingleUnit,
            Semantics::ProcessAll,
        ]);
        let body = (semantics, prop::collection::vec(inner, 2..5))
            .prop_map(|(semantics, parts)| PartBody::Multi { semantics, parts });
        part(body.boxed())
    })
}

fn contents() -> impl Strategy<Value = Content> {
    let expires = prop_oneof![
        any::<u32>().prop_map(Expiration::AfterReading),
        any::<u32>().prop_map(Expiration::At),
    ];
    let names = prop_oneof![
        any::<i64>().prop_map(Value::from),
        ".{1,20}".prop_map(Value::from)
    ];
    let extensions = prop::collection::vec((names, values()), 0..4).prop_map(|mut entries| {
        entries.sort_by_key(|(name, _)| raw(name));
        entries.dedup_by_key(|(name, _)| raw(name));
        Extensions(entries)
    });
    (
        any::<[u8; 16]>(),
        prop::option::of(message_ids()),
        prop::collection::vec(any::<u8>(), 0..30),
        prop::option::of(expires),
        prop::option::of(message_ids()),
        extensions,
        parts(),
    )
        .prop_map(
            |(salt, replaces, topic, expires, in_reply_to, extensions, body)| Content {
                salt,
                replaces,
                topic,
                expires,
                in_reply_to,
                extensions,
                body,
            },
        )
}

proptest! {
    #[test]
    fn any_content_survives_being_written_and_read(content in contents()) {
        let bytes = content.encode();
        prop_assert_eq!(decode(&bytes), Ok(content.clone()));
        content.shown();
    }

    #[test]
    fn a_flipped_bit_is_an_error_or_other_content(
        content in contents(),
        place: prop::sample::Index,
        bit in 0..8_u32,
    ) {
        let mut bytes = content.encode();
        let place = place.index(bytes.len());
        bytes[place] ^= 1 << bit;
        if let Ok(other) = decode(&bytes) {
            other.shown();
            // What was read can be kept: its own bytes mean the same.
            let again = other.encode();
            prop_assert_eq!(decode(&again).map(|content| content.encode()), Ok(again));
        }
    }

    #[test]
    fn noise_is_refused_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = decode(&bytes);
        let _ = status::decode(&bytes);
    }
}
