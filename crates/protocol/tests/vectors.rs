//! Frozen bytes decode for ever, and mean what they meant.

#![cfg(test)]

mod samples;

use std::{collections::BTreeSet, fs, path::Path};

use bytes::Bytes;
use prost::Message as _;
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng as _};
use samples::frozen::{self, SEED, read, read_json, unhex};
use serde_json::Value;
use waxwing_protocol::{
    address::{Address, AddressError},
    conversation::ConversationSecrets,
    frame,
    ids::{AccountId, Epoch, GroupId},
    padding,
    pb::{self, Envelope},
    posting::{PostingAct, PostingKey, PostingPublicKey},
    roster::Roster,
    sealing::{NotOpened, RejoinSecret, Sealed, SealingKey},
    signature::{HybridPublicKey, HybridSigningKey, Purpose, SigningSeed, login_message},
    token::{self, TokenIssuer},
};

fn array<const N: usize>(value: &Value) -> [u8; N] {
    unhex(value)
        .try_into()
        .expect("the length that is asked for")
}

/// Frames with a field that is not written any more: they are only read.
const OUTGROWN: [&str; 2] = [
    "client_frames/look_up_account.bin",
    "relay_frames/key_packages_claimed.bin",
];

#[test]
fn what_was_frozen_is_made_the_same_today() {
    for (name, bytes) in frozen::files() {
        if OUTGROWN.contains(&name.as_str()) {
            continue;
        }
        let frozen = read(&name);
        // The order of a JSON object's names depends on how the workspace is built.
        let same = if Path::new(&name)
            .extension()
            .is_some_and(|ext| ext == "json")
        {
            serde_json::from_slice::<Value>(&frozen).unwrap()
                == serde_json::from_slice::<Value>(&bytes).unwrap()
        } else {
            frozen == bytes
        };
        assert!(same, "{name} is encoded differently than it was");
    }
}

#[test]
fn every_file_is_known_to_a_test() {
    fn names(folder: &Path, base: &Path, found: &mut BTreeSet<String>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                names(&path, base, found);
            } else {
                let name = path.strip_prefix(base).unwrap();
                found.insert(name.to_str().unwrap().replace('\\', "/"));
            }
        }
    }
    let mut found = BTreeSet::new();
    names(&frozen::folder(), &frozen::folder(), &mut found);
    let known: BTreeSet<String> = frozen::files()
        .into_iter()
        .map(|(name, _)| name)
        .chain(["addresses.json".into(), "padding.json".into()])
        .chain([OLD_CREDENTIAL.into()])
        .collect();
    assert_eq!(found, known);
}

#[test]
fn every_kind_of_client_frame_decodes_as_what_it_was() {
    let mut kinds = BTreeSet::new();
    for (name, expected) in samples::client_frames(&SEED) {
        let bytes = Bytes::from(read(&format!("client_frames/{name}.bin")));
        assert_eq!(
            frame::decode_client(bytes.clone()).unwrap(),
            expected,
            "{name}"
        );
        kinds.insert(body_field(bytes));
    }
    let all: Vec<u32> = [2..=3, 10..=14, 20..=31, 40..=56]
        .into_iter()
        .flatten()
        .collect();
    assert_eq!(kinds.into_iter().collect::<Vec<_>>(), all);
}

#[test]
fn every_kind_of_relay_frame_decodes_as_what_it_was() {
    let mut kinds = BTreeSet::new();
    for (name, expected) in samples::relay_frames(&SEED) {
        let bytes = Bytes::from(read(&format!("relay_frames/{name}.bin")));
        assert_eq!(
            frame::decode_relay(bytes.clone()).unwrap(),
            expected,
            "{name}"
        );
        kinds.insert(body_field(bytes));
    }
    let all: Vec<u32> = [2..=5, 10..=14, 20..=29, 40..=50]
        .into_iter()
        .flatten()
        .collect();
    assert_eq!(kinds.into_iter().collect::<Vec<_>>(), all);
}

/// The number of the field that holds a frame's body.
fn body_field(mut frame: Bytes) -> u32 {
    use prost::encoding::{DecodeContext, decode_key, skip_field};
    loop {
        let (field, wire_type) = decode_key(&mut frame).unwrap();
        if field != 1 {
            return field;
        }
        skip_field(wire_type, field, &mut frame, DecodeContext::default()).unwrap();
    }
}

/// From when a leaf named its owner's address.
const OLD_CREDENTIAL: &str = "kept/leaf_credential.bin";

#[test]
fn a_credential_that_names_an_address_is_read_without_it() {
    let old = pb::LeafCredential::decode(read(OLD_CREDENTIAL).as_slice()).unwrap();
    let without = read("kept/leaf_credential_without_address.bin");
    assert_eq!(old.encode_to_vec(), without);
    assert!(!without.contains(&b'@'));
}

#[test]
fn the_addresses_of_a_conversation_mean_what_they_meant() {
    let read =
        |name: &str| ConversationSecrets::decode(&read(&format!("kept/{name}.bin"))).unwrap();
    let of = |name| AccountId::try_from(&SEED.bytes(name, 32)).unwrap();
    let addresses = read("conversation_secrets_with_addresses").addresses;
    for (name, address) in [("alice", "alice@example.org"), ("bob", "bob@example.org")] {
        assert_eq!(addresses.of(of(name)).unwrap().display(), address);
    }
    let before = read("conversation_secrets");
    assert_eq!(before.addresses.of(of("alice")), None);
    assert_eq!(
        before.rejoin_secret.as_bytes().as_slice(),
        SEED.bytes("rejoin_secret", 32)
    );
}

#[test]
fn what_is_kept_signed_or_sealed_decodes() {
    for (name, expected) in samples::kept_messages(&SEED) {
        let bytes = Bytes::from(read(&format!("kept/{name}.bin")));
        let again = match name.split('_').next().unwrap() {
            "statement" => pb::Statement::decode(bytes.clone())
                .unwrap()
                .encode_to_vec(),
            "leaf" => pb::LeafCredential::decode(bytes.clone())
                .unwrap()
                .encode_to_vec(),
            "fan" => pb::FanOut::decode(bytes.clone()).unwrap().encode_to_vec(),
            "conversation" => pb::ConversationSecrets::decode(bytes.clone())
                .unwrap()
                .encode_to_vec(),
            "parcel" => pb::Parcel::decode(bytes.clone()).unwrap().encode_to_vec(),
            "preview" => pb::Preview::decode(bytes.clone()).unwrap().encode_to_vec(),
            "envelope" => Envelope::decode(bytes.clone()).unwrap().encode_to_vec(),
            other => panic!("a message of an unknown kind: {other}"),
        };
        assert_eq!(bytes, expected, "{name}");
        assert_eq!(again, expected, "{name}");
    }
}

#[test]
fn what_devices_say_and_hand_over_decodes() {
    for (name, expected) in samples::devices::messages(&SEED) {
        let bytes = Bytes::from(read(&format!("devices/{name}.bin")));
        let again = match name.split('_').next().unwrap() {
            "pairing" if name.starts_with("pairing_words") => {
                pb::PairingWords::decode(bytes.clone())
                    .unwrap()
                    .encode_to_vec()
            }
            "pairing" => pb::PairingMessage::decode(bytes.clone())
                .unwrap()
                .encode_to_vec(),
            "transfer" => pb::TransferWords::decode(bytes.clone())
                .unwrap()
                .encode_to_vec(),
            "archive" => pb::ArchiveChunk::decode(bytes.clone())
                .unwrap()
                .encode_to_vec(),
            other => panic!("a message of an unknown kind: {other}"),
        };
        assert_eq!(bytes, expected, "{name}");
        assert_eq!(again, expected, "{name}");
    }
}

#[test]
fn a_chain_with_every_kind_of_change_ends_where_it_did() {
    let looked_up = pb::LookedUp::decode(read("roster/chain.bin").as_slice()).unwrap();
    let told = read_json("roster/chain.json");
    let roster = Roster::verify(&looked_up.roster).unwrap();
    assert_eq!(looked_up.roster.len(), 5);
    assert_eq!(roster.account().to_string(), told["account_id"]);
    assert_eq!(roster.account().as_bytes().as_slice(), looked_up.account_id);
    assert_eq!(roster.head().as_slice(), unhex(&told["head"]));
    let device = &told["devices_at_the_end"][0];
    let [only] = roster.devices() else {
        panic!("one device is left")
    };
    assert_eq!(only.id.to_string(), device["device_id"]);
    assert_eq!(only.leaf_key.as_slice(), unhex(&device["leaf_key"]));
    let key = |seed| HybridSigningKey::from_seed(&SigningSeed::from_bytes(&array(seed)));
    assert_eq!(&only.identity, key(&device["signing_seed"]).public());
    assert_eq!(
        roster.recovery_key(),
        key(&told["recovery_signing_seed"]).public()
    );
    for cut in 1..looked_up.roster.len() {
        assert!(Roster::verify(&looked_up.roster[cut..]).is_err());
    }
}

#[test]
fn a_seed_makes_the_keys_that_it_made_and_old_signatures_verify() {
    let told = read_json("signatures.json");
    let key = HybridSigningKey::from_seed(&SigningSeed::from_bytes(&array(&told["signing_seed"])));
    let public = HybridPublicKey::from_wire(&pb::HybridPublicKey {
        ed25519: unhex(&told["public_ed25519"]).into(),
        ml_dsa_65: unhex(&told["public_ml_dsa_65"]).into(),
    })
    .unwrap();
    assert_eq!(key.public(), &public);
    assert_eq!(public.device_id().to_string(), told["device_id"]);
    assert_eq!(
        login_message(&[6; 32], &[7; 32], public.device_id()),
        unhex(&told["login"]["message"])
    );
    for (name, purpose) in [
        ("login", Purpose::Login),
        ("registration", Purpose::Registration),
    ] {
        let signed = &told[name];
        let signature = pb::HybridSignature {
            ed25519: unhex(&signed["ed25519"]).into(),
            ml_dsa_65: unhex(&signed["ml_dsa_65"]).into(),
        };
        let message = unhex(&signed["message"]);
        assert_eq!(
            public.verify(purpose, &message, &signature),
            Ok(()),
            "{name}"
        );
        assert!(
            public
                .verify(Purpose::Statement, &message, &signature)
                .is_err(),
            "{name}"
        );
    }
}

#[test]
fn the_right_to_post_is_signed_as_it_was() {
    let told = read_json("posting.json");
    let key = PostingKey::from_seed(&array(&told["seed"]));
    let public = PostingPublicKey::from_bytes(&unhex(&told["public"])).unwrap();
    assert!(key.public() == public);
    let group = GroupId(array(&told["group_id"]));
    let exporter = array(&told["exporter"]);
    let epoch = Epoch(told["epoch"].as_u64().unwrap());
    let body = unhex(&told["body"]);
    for (name, act) in [
        (
            "authorise",
            PostingAct::Authorise {
                exporter: &exporter,
                epoch,
            },
        ),
        (
            "fetch",
            PostingAct::Fetch {
                exporter: &exporter,
            },
        ),
        ("rejoin", PostingAct::Rejoin { epoch, body: &body }),
    ] {
        assert_eq!(
            key.sign(group, act).as_slice(),
            unhex(&told[name]),
            "{name}"
        );
        assert!(public.verifies(group, act, &unhex(&told[name])), "{name}");
    }
}

#[test]
fn what_was_sealed_opens() {
    let told = read_json("sealing.json");
    let secret = RejoinSecret::from_slice(&unhex(&told["rejoin_secret"])).unwrap();
    assert_eq!(
        secret.sealing_key().as_bytes().as_slice(),
        unhex(&told["rejoin_sealing_key"])
    );
    assert_eq!(
        secret.signing_key().public().as_bytes().as_slice(),
        unhex(&told["rejoin_public_key"])
    );
    let group = GroupId(array(&told["group_id"]));
    for row in told["sealed"].as_array().unwrap() {
        let what = match row["what"].as_str().unwrap() {
            "fan_out" => Sealed::FanOut,
            "group_info" => Sealed::GroupInfo,
            "external_commit" => Sealed::ExternalCommit,
            other => panic!("sealed for an unknown purpose: {other}"),
        };
        let key = SealingKey::from_slice(&unhex(&row["key"])).unwrap();
        let epoch = Epoch(row["epoch"].as_u64().unwrap());
        let sealed = unhex(&row["sealed"]);
        assert_eq!(
            key.open(what, group, epoch, &sealed).unwrap(),
            unhex(&row["plaintext"])
        );
        assert_eq!(
            key.open(what, GroupId([0; 16]), epoch, &sealed),
            Err(NotOpened)
        );
    }
}

#[test]
fn a_token_that_was_issued_is_taken() {
    let told = read_json("tokens.json");
    let issuer = TokenIssuer::from_seed(&array(&told["issuer_seed"])).unwrap();
    assert_eq!(issuer.public_key().as_slice(), unhex(&told["token_key"]));
    let list = |name: &str| -> Vec<Bytes> {
        told[name]
            .as_array()
            .unwrap()
            .iter()
            .map(|value| unhex(value).into())
            .collect()
    };
    // Evaluation does not depend on the generator; only the proof does.
    let issued = issuer
        .issue(&mut ChaCha20Rng::from_seed([99; 32]), &list("blinded"))
        .unwrap();
    assert_eq!(issued.evaluated, list("evaluated"));
    let (pending, request) = token::request(&mut ChaCha20Rng::from_seed([4; 32]), 2).unwrap();
    assert_eq!(request.blinded, list("blinded"));
    let frozen = pb::TokensIssued {
        evaluated: list("evaluated"),
        proof: unhex(&told["proof"]).into(),
        token_key: unhex(&told["token_key"]).into(),
    };
    let tokens = token::finish(&pending, &frozen, &issuer.public_key()).unwrap();
    for (token, row) in tokens.iter().zip(told["tokens"].as_array().unwrap()) {
        assert_eq!(token.input, unhex(&row["input"]));
        assert_eq!(token.output, unhex(&row["output"]));
        assert_eq!(token::spent_id(token).as_slice(), unhex(&row["spent_id"]));
        assert!(issuer.verifies(token));
    }
}

#[test]
fn addresses_have_the_canonical_and_display_forms_that_they_had() {
    for row in read_json("addresses.json").as_array().unwrap() {
        let typed = row["typed"].as_str().unwrap();
        let parsed = Address::parse(typed);
        let refusal = match row.get("refused").and_then(Value::as_str) {
            None => {
                let address = parsed.unwrap_or_else(|error| panic!("{typed:?}: {error}"));
                assert_eq!(address.canonical(), row["canonical"], "{typed:?}");
                assert_eq!(address.display(), row["display"], "{typed:?}");
                continue;
            }
            Some("length") => AddressError::Length,
            Some("kind") => AddressError::Kind,
            Some("local part") => AddressError::LocalPart,
            Some("domain") => AddressError::Domain,
            Some("number") => AddressError::Number,
            Some(other) => panic!("an unknown reason: {other}"),
        };
        assert_eq!(parsed.unwrap_err(), refusal, "{typed:?}");
    }
}

#[test]
fn messages_have_the_padded_lengths_that_they_had() {
    for row in read_json("padding.json").as_array().unwrap() {
        let [length, padded] =
            [0, 1].map(|column| usize::try_from(row[column].as_u64().unwrap()).unwrap());
        assert_eq!(padding::padded_length(length), padded, "{length}");
    }
}
