//! Well-formed inputs, from the frozen vectors and from real encoders.

use std::{fs, path::PathBuf};

use bytes::Bytes;
use prost::Message as _;
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng as _};
use waxwing_engine::content::{Content, MessageId, status::DeliveryStatus};
use waxwing_protocol::{
    ids::{Epoch, GroupId},
    pb,
    sealing::{Sealed, SealingKey},
    token::{self, TokenIssuer},
};

/// Named inputs.
pub type Seeds = Vec<(String, Vec<u8>)>;

/// The repository.
pub fn root() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

/// The frozen files of a folder of `vectors/protocol` whose names start with `prefix`.
pub(crate) fn vectors(folder: &str, prefix: &str) -> Seeds {
    let folder = root().join("vectors/protocol").join(folder);
    let entries =
        fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut seeds: Seeds = entries
        .filter_map(|entry| {
            let path = entry.ok()?.path();
            let name = path.file_stem()?.to_str()?.to_owned();
            let wanted = name.starts_with(prefix) && path.extension()? == "bin";
            wanted.then(|| fs::read(&path).ok().map(|bytes| (name, bytes)))?
        })
        .collect();
    seeds.sort();
    assert!(
        !seeds.is_empty(),
        "there are vectors in {}",
        folder.display()
    );
    seeds
}

/// For `client_frame`.
pub fn client_frames() -> Seeds {
    vectors("client_frames", "")
}

/// For `relay_frame`.
pub fn relay_frames() -> Seeds {
    vectors("relay_frames", "")
}

/// For `address`.
pub fn addresses() -> Seeds {
    [
        ("email", "alice@example.org"),
        ("blanks", " Alice.B+tag@Example.ORG\t"),
        ("unicode", "a@bücher.example"),
        ("punycode", "a@xn--bcher-kva.example"),
        ("sharp_s", "a@faß.example"),
        ("fullwidth", "a@ｅｘａｍｐｌｅ。org"),
        ("joiner", "a@a\u{200d}b.example"),
        ("right_to_left", "a@אב.example"),
        ("phone", "+12025550123"),
        ("phone_typed", "+1 (202) 555-0123"),
        ("phone_german", "+49 30 123456"),
        ("extension", "+1 202 555 0123 ext. 4"),
        ("injection", "a@example.org\r\nBcc: b@example.org"),
    ]
    .map(|(name, text)| (name.to_owned(), text.as_bytes().to_vec()))
    .into()
}

/// For `roster`: the frozen chain, its beginnings, and its parts in other orders.
pub fn rosters() -> Seeds {
    let whole = vectors("roster", "chain");
    let Some(chain) = whole.first().and_then(|(_, bytes)| decode(bytes)) else {
        return whole;
    };
    // Signatures are made anew by the target, so the seeds can do without.
    let bare = |statements: &[&pb::SignedStatement]| {
        let roster = statements
            .iter()
            .map(|signed| pb::SignedStatement {
                statement: signed.statement.clone(),
                ..pb::SignedStatement::default()
            })
            .collect();
        pb::LookedUp {
            roster,
            ..pb::LookedUp::default()
        }
        .encode_to_vec()
    };
    let statements: Vec<&pb::SignedStatement> = chain.roster.iter().collect();
    let mut seeds = vec![("whole".to_owned(), chain.encode_to_vec())];
    for length in 1..=statements.len() {
        let first = statements.get(..length).unwrap_or_default();
        seeds.push((format!("first_{length}"), bare(first)));
    }
    if let [create, add, set_leaf, set_recovery, revoke] = statements.as_slice() {
        for (name, order) in [
            ("revoke_at_once", vec![*create, set_recovery, revoke]),
            ("add_twice", vec![*create, add, add]),
            ("create_twice", vec![*create, create]),
            (
                "revoked_then_added",
                vec![*create, add, set_recovery, revoke, add],
            ),
            ("leaf_of_nobody", vec![*create, set_leaf]),
        ] {
            seeds.push((name.to_owned(), bare(&order)));
        }
    }
    seeds
}

fn decode(bytes: &[u8]) -> Option<pb::LookedUp> {
    pb::LookedUp::decode(bytes).ok()
}

/// For `sealed`: fan-out lists, credentials and conversation secrets, open and sealed.
pub fn sealed() -> Seeds {
    let mut seeds = vectors("kept", "fan_out");
    seeds.extend(vectors("kept", "leaf_credential"));
    seeds.extend(vectors("kept", "conversation_secrets"));
    let key = SealingKey::from_bytes([16; 32]);
    for (name, bytes) in seeds.clone() {
        let mut rng = ChaCha20Rng::from_seed([2; 32]);
        let sealed = key.seal(
            &mut rng,
            Sealed::FanOut,
            GroupId([12; 16]),
            Epoch(1),
            &bytes,
        );
        seeds.push((format!("{name}_sealed"), sealed));
    }
    seeds
}

/// For `token`: one of each message that the target's keys fit.
pub fn tokens() -> Seeds {
    let mut seeds = Seeds::new();
    let Ok(issuer) = TokenIssuer::from_seed(&[17; 32]) else {
        return seeds;
    };
    for (name, count) in [("two", 2), ("most", 32)] {
        let Ok((pending, request)) = token::request(&mut ChaCha20Rng::from_seed([4; 32]), count)
        else {
            continue;
        };
        seeds.push((format!("request_{name}"), request.encode_to_vec()));
        let mut rng = ChaCha20Rng::from_seed([5; 32]);
        let Ok(issued) = issuer.issue(&mut rng, &request.blinded) else {
            continue;
        };
        seeds.push((format!("issued_{name}"), issued.encode_to_vec()));
        let tokens = token::finish(&pending, &issued, &issuer.public_key()).unwrap_or_default();
        seeds.extend(
            tokens
                .first()
                .map(|token| (format!("token_{name}"), token.encode_to_vec())),
        );
    }
    seeds
}

/// For `envelope`.
pub fn envelopes() -> Seeds {
    let mut seeds = vectors("kept", "envelope");
    for (name, size) in [("short", 3), ("class_edge", 250), ("long", 1500)] {
        let envelope = pb::Envelope {
            counter: 1,
            body: Some(pb::envelope::Body::Mimi(vec![b'a'; size].into())),
            padding: Bytes::new(),
            ..pb::Envelope::default()
        };
        seeds.push((name.to_owned(), envelope.encode_to_vec()));
    }
    seeds
}

/// For `poll`.
pub fn polls() -> Seeds {
    ["poll", "poll-vote", "poll-vote-withdrawn", "poll-closing"]
        .map(|name| {
            let path = root().join(format!("vectors/content/{name}.cbor"));
            let bytes = fs::read(&path);
            let bytes = bytes.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            (name.to_owned(), bytes)
        })
        .into()
}

/// For `content`.
pub fn contents() -> Seeds {
    let answered = MessageId::of("a", "b", b"c", &[0; 16]);
    let texts: [(&str, Vec<u8>); 4] = [
        ("text", Content::text([1; 16], "hello", None).encode()),
        (
            "reply",
            Content::text([2; 16], "hello yourself \u{1f44b}", Some(answered)).encode(),
        ),
        (
            "receipts",
            Content::statuses(
                [3; 16],
                &[
                    (answered, DeliveryStatus::Delivered),
                    (answered, DeliveryStatus::Unknown(200)),
                ],
            )
            .encode(),
        ),
        (
            "receipt_alone",
            [
                &[0x81, 0x82, 0x58, 0x20],
                answered.as_bytes().as_slice(),
                &[2],
            ]
            .concat(),
        ),
    ];
    let mut seeds: Seeds = texts
        .into_iter()
        .map(|(name, bytes)| (name.to_owned(), bytes))
        .collect();
    // By hand: what this version reads but does not write. Salt, replaces, topic,
    // expires, in reply to, extensions, body.
    let head = |fields: &[&[u8]]| {
        let mut bytes = vec![0x87, 0x50];
        bytes.extend_from_slice(&[5; 16]);
        bytes.extend(fields.concat());
        bytes
    };
    let single = [
        &[0x85, 1, 0x60, 1, 0x6a],
        b"text/plain".as_slice(),
        &[0x42],
        b"hi",
    ]
    .concat();
    let parts = [&[0x85, 1, 0x60, 3, 2, 0x82], single.as_slice(), &single].concat();
    let external = [
        &[0x8f, 6, 0x60, 2, 0x69],
        b"image/png".as_slice(),
        &[0x69],
        b"https://x",
        &[
            0, 0x18, 99, 1, 0x41, 1, 0x41, 2, 0x40, 1, 0x41, 3, 0x60, 0x61,
        ],
        b"f",
    ]
    .concat();
    let plain: &[&[u8]] = &[&[0xf6], &[0x40], &[0xf6], &[0xf6]];
    let with = |extensions: &[u8], body: &[u8]| head(&[&plain.concat(), extensions, body]);
    seeds.extend(
        [
            ("parts", with(&[0xa0], &parts)),
            ("external", with(&[0xa0], &external)),
            ("nothing", with(&[0xa0], &[0x83, 1, 0x60, 0])),
            ("newer_part", with(&[0xa0], &[0x84, 1, 0x60, 9, 0x41, 7])),
            (
                "extensions",
                with(&[0xa2, 1, 0x41, 2, 0x61, b'x', 0xf5], &single),
            ),
            (
                "expiring",
                head(&[&[0xf6, 0x40, 0x82, 0xf5, 0x18, 60, 0xf6, 0xa0], &single]),
            ),
            ("deep", [0x81; 64].to_vec()),
            ("long_promise", vec![0x87, 0x5a, 0xff, 0xff, 0xff, 0xff]),
        ]
        .map(|(name, bytes)| (name.to_owned(), bytes)),
    );
    seeds
}

/// For `relay_url`.
pub fn relay_urls() -> Seeds {
    [
        ("host", "https://relay.example.org"),
        ("port", "https://Relay.example.org:8443/"),
        (
            "address",
            "https://127.0.0.1:4433/#sha256/AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=",
        ),
        (
            "ipv6",
            "https://[::1]:4433#sha256/AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8",
        ),
        ("user", "https://user@relay.example.org"),
        ("path", "https://relay.example.org/a?b"),
        ("pin", "sha256/__-CAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="),
    ]
    .map(|(name, text)| (name.to_owned(), text.as_bytes().to_vec()))
    .into()
}

/// For `files`: an export and a report, as docs/export.md and docs/rpc.md show them.
pub fn files() -> Seeds {
    let report = RPC_DOCS.lines().find(|line| line.starts_with(REPORT));
    let export = EXPORT_DOCS.split("```json").nth(1);
    let export = export.and_then(|rest| rest.split("```").next());
    [("report", report), ("export", export)]
        .into_iter()
        .filter_map(|(name, text)| Some((name.to_owned(), text?.trim().as_bytes().to_vec())))
        .collect()
}

const RPC_DOCS: &str = include_str!("../../../docs/rpc.md");
const EXPORT_DOCS: &str = include_str!("../../../docs/export.md");
const REPORT: &str = "{\"format\": \"waxwing-report\"";

/// For `rpc`.
pub fn rpc_lines() -> Seeds {
    [
        (
            "register",
            r#"{"jsonrpc":"2.0","id":1,"method":"register","params":{"address":"alice@example.org","relay":"https://localhost:1","pin":"sha256/AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="}}"#,
        ),
        (
            "send",
            r#"{"jsonrpc":"2.0","id":"a","method":"send","params":{"to":"bob@example.org","text":"hi"}}"#,
        ),
        (
            "history",
            r#"{"jsonrpc":"2.0","id":null,"method":"history","params":{"of":"bob@example.org","limit":10,"search":"x"}}"#,
        ),
        (
            "several",
            "{\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"contacts\"}\n\nnot json\n[]\n{\"jsonrpc\":\"2.0\",\"method\":\"status\"}\n",
        ),
        (
            "batch",
            r#"[{"jsonrpc":"2.0","id":1,"method":"account","params":{}},{"jsonrpc":"2.0","method":"status"},5]"#,
        ),
        (
            "receipts",
            r#"{"jsonrpc":"2.0","id":1.5,"method":"set_receipts","params":{"delivered":true,"read":false}}"#,
        ),
    ]
    .map(|(name, text)| (name.to_owned(), text.as_bytes().to_vec()))
    .into()
}
