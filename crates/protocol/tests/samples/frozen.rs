//! What `vectors/protocol` holds: every file of it that is generated, by name.
//!
//! **Elsewhere.** The tables that people wrote (`addresses.json`, `padding.json`) are in
//! the folder only.
//!
//! **Always.** All of it follows from fixed seeds.

use std::path::PathBuf;

use bytes::Bytes;
use prost::Message as _;
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng as _};
use serde_json::{Value, json};
use waxwing_protocol::{
    ids::{AccountId, DeviceId, Epoch, GroupId, RegistrationId},
    pb,
    posting::{PostingAct, PostingKey},
    roster::{self, Roster, SigningWith},
    sealing::{RejoinSecret, Sealed, SealingKey},
    signature::{self, HybridSigningKey, Purpose, SigningSeed},
    time::Time,
    token::{self, TokenIssuer},
};

use super::{Values, client_frames, devices, kept_messages, relay_frames};

/// The seed of the frozen messages.
pub const SEED: Values = Values(0);

/// `vectors/protocol`.
pub fn folder() -> PathBuf {
    PathBuf::from(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../vectors/protocol"
    ))
}

/// A file of [`folder`].
pub fn read(name: &str) -> Vec<u8> {
    let path = folder().join(name);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A JSON file of [`folder`].
pub fn read_json(name: &str) -> Value {
    serde_json::from_slice(&read(name)).unwrap()
}

/// A hexadecimal field of a JSON file.
pub fn unhex(value: &Value) -> Vec<u8> {
    data_encoding::HEXLOWER
        .decode(value.as_str().unwrap().as_bytes())
        .unwrap()
}

/// Every generated file, with what is in it.
pub fn files() -> Vec<(String, Vec<u8>)> {
    let mut files = Vec::new();
    for (name, frame) in client_frames(&SEED) {
        files.push((format!("client_frames/{name}.bin"), frame.encode_to_vec()));
    }
    for (name, frame) in relay_frames(&SEED) {
        files.push((format!("relay_frames/{name}.bin"), frame.encode_to_vec()));
    }
    for (name, bytes) in kept_messages(&SEED) {
        files.push((format!("kept/{name}.bin"), bytes));
    }
    for (name, bytes) in devices::messages(&SEED) {
        files.push((format!("devices/{name}.bin"), bytes));
    }
    let (chain, told) = roster_chain();
    files.push(("roster/chain.bin".into(), chain.encode_to_vec()));
    for (name, value) in [
        ("roster/chain.json", told),
        ("signatures.json", signatures()),
        ("posting.json", posting()),
        ("sealing.json", sealing()),
        ("tokens.json", tokens()),
    ] {
        let mut text = serde_json::to_vec_pretty(&value).unwrap();
        text.push(b'\n');
        files.push((name.into(), text));
    }
    files
}

fn hex(bytes: impl AsRef<[u8]>) -> String {
    data_encoding::HEXLOWER.encode(bytes.as_ref())
}

fn seed(number: u8) -> [u8; 64] {
    [number; 64]
}

fn key(number: u8) -> HybridSigningKey {
    HybridSigningKey::from_seed(&SigningSeed::from_bytes(&seed(number)))
}

fn leaf(number: u8) -> [u8; 32] {
    *PostingKey::from_seed(&[number; 32]).public().as_bytes()
}

/// An account that lived through every kind of change.
fn roster_chain() -> (pb::LookedUp, Value) {
    let mut rng = ChaCha20Rng::from_seed([1; 32]);
    let rng = &mut rng;
    let (first, second, recovery, new_recovery) = (key(1), key(2), key(3), key(4));
    let at = |minute: u64| Time(1_800_000_000_000 + minute * 60_000);

    let mut chain = vec![roster::create_account(
        rng,
        at(0),
        &first,
        leaf(1),
        recovery.public(),
    )];
    let mut roster = Roster::verify(&chain).unwrap();
    let changes = [
        (
            SigningWith::Device(&first),
            pb::statement::Change::AddDevice(roster::entry(second.public(), leaf(2))),
            Some(&second),
        ),
        (
            SigningWith::Device(&second),
            pb::statement::Change::SetLeafKey(Bytes::copy_from_slice(&leaf(3))),
            None,
        ),
        (
            SigningWith::Recovery(&recovery),
            pb::statement::Change::SetRecoveryKey(new_recovery.public().to_wire()),
            None,
        ),
        (
            SigningWith::Recovery(&new_recovery),
            pb::statement::Change::RevokeDevice(first.public().device_id().to_bytes()),
            None,
        ),
    ];
    for (minute, (signer, change, consent)) in (1..).zip(changes) {
        let next = roster::next_statement(rng, at(minute), &roster, signer, change, consent);
        roster.extend(&next).unwrap();
        chain.push(next);
    }
    let told = json!({
        "about": "chain.bin is a LookedUp. Signing seeds are 64 bytes: Ed25519's, then ML-DSA-65's.",
        "account_id": roster.account().to_string(),
        "head": hex(roster.head()),
        "devices_at_the_end": [{
            "device_id": second.public().device_id().to_string(),
            "signing_seed": hex(seed(2)),
            "leaf_key": hex(leaf(3)),
        }],
        "revoked_device_id": first.public().device_id().to_string(),
        "recovery_signing_seed": hex(seed(4)),
    });
    let looked_up = pb::LookedUp {
        account_id: roster.account().to_bytes(),
        roster: chain,
        address: "alice@example.org".into(),
        ..pb::LookedUp::default()
    };
    (looked_up, told)
}

fn signatures() -> Value {
    let mut rng = ChaCha20Rng::from_seed([2; 32]);
    let key = key(5);
    let login = signature::login_message(&[6; 32], &[7; 32], key.public().device_id());
    let registration = signature::registration_message(
        &[6; 32],
        RegistrationId([8; 16]),
        "01234567",
        AccountId([9; 32]),
        &[10; 32],
    );
    let mut signed = |purpose, message: &[u8]| {
        let signature = key.sign(&mut rng, purpose, message);
        json!({
            "message": hex(message),
            "ed25519": hex(signature.ed25519),
            "ml_dsa_65": hex(signature.ml_dsa_65),
        })
    };
    json!({
        "about": "Exporter 32 times 06, challenge 32 times 07, registration id 16 times 08, code 01234567, account id 32 times 09, roster head 32 times 0a.",
        "signing_seed": hex(seed(5)),
        "public_ed25519": hex(key.public().to_wire().ed25519),
        "public_ml_dsa_65": hex(key.public().to_wire().ml_dsa_65),
        "device_id": DeviceId::to_string(&key.public().device_id()),
        "login": signed(Purpose::Login, &login),
        "registration": signed(Purpose::Registration, &registration),
    })
}

fn posting() -> Value {
    let key = PostingKey::from_seed(&[11; 32]);
    let group = GroupId([12; 16]);
    let exporter = [13; 32];
    let epoch = Epoch(14);
    json!({
        "about": "Ed25519. `body` is what the rejoin signature covers the hash of.",
        "seed": hex([11; 32]),
        "public": hex(key.public().as_bytes()),
        "group_id": hex(group.as_bytes()),
        "exporter": hex(exporter),
        "epoch": epoch.0,
        "body": hex(b"an external commit"),
        "authorise": hex(key.sign(group, PostingAct::Authorise { exporter: &exporter, epoch })),
        "fetch": hex(key.sign(group, PostingAct::Fetch { exporter: &exporter })),
        "rejoin": hex(key.sign(group, PostingAct::Rejoin { epoch, body: b"an external commit" })),
    })
}

fn sealing() -> Value {
    let secret = RejoinSecret::from_slice(&[15; 32]).unwrap();
    let group = GroupId([12; 16]);
    let mut rng = ChaCha20Rng::from_seed([3; 32]);
    let mut row = |what, name: &str, key: &SealingKey, epoch, plaintext: &[u8]| {
        json!({
            "what": name,
            "key": hex(key.as_bytes()),
            "epoch": epoch,
            "plaintext": hex(plaintext),
            "sealed": hex(key.seal(&mut rng, what, group, Epoch(epoch), plaintext)),
        })
    };
    let fan_out = pb::FanOut {
        mailboxes: vec![SEED.bytes("mailbox 1", 16), SEED.bytes("mailbox 2", 16)],
    };
    let fan_out_key = SealingKey::from_bytes([16; 32]);
    json!({
        "about": "XChaCha20-Poly1305; the first 24 bytes are the nonce.",
        "group_id": hex(group.as_bytes()),
        "rejoin_secret": hex(secret.as_bytes()),
        "rejoin_sealing_key": hex(secret.sealing_key().as_bytes()),
        "rejoin_public_key": hex(secret.signing_key().public().as_bytes()),
        "sealed": [
            row(Sealed::FanOut, "fan_out", &fan_out_key, 1, &fan_out.encode_to_vec()),
            row(Sealed::GroupInfo, "group_info", &secret.sealing_key(), 2, b"group info"),
            row(
                Sealed::ExternalCommit,
                "external_commit",
                &secret.sealing_key(),
                u64::MAX,
                b"an external commit",
            ),
            row(Sealed::GroupInfo, "group_info", &secret.sealing_key(), 0, b""),
        ],
    })
}

fn tokens() -> Value {
    let issuer = TokenIssuer::from_seed(&[17; 32]).unwrap();
    let (pending, request) = token::request(&mut ChaCha20Rng::from_seed([4; 32]), 2).unwrap();
    let issued = issuer
        .issue(&mut ChaCha20Rng::from_seed([5; 32]), &request.blinded)
        .unwrap();
    let tokens = token::finish(&pending, &issued, &issuer.public_key()).unwrap();
    json!({
        "about": "RFC 9497 VOPRF, ristretto255-SHA512, key info \"waxwing token v1\".",
        "issuer_seed": hex([17; 32]),
        "token_key": hex(issuer.public_key()),
        "blinded": request.blinded.iter().map(hex).collect::<Vec<_>>(),
        "evaluated": issued.evaluated.iter().map(hex).collect::<Vec<_>>(),
        "proof": hex(&issued.proof),
        "tokens": tokens.iter().map(|token| json!({
            "input": hex(&token.input),
            "output": hex(&token.output),
            "spent_id": hex(token::spent_id(token)),
        })).collect::<Vec<_>>(),
    })
}
