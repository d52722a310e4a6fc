//! An auditor and a real relay.

#[path = "../../../transparency/tests/support/mod.rs"]
mod support;
use std::fs;

use crate::world::{Home, relay::Relay};
use prost::Message as _;
use support::{START, TestLog, identity_of};
use waxwing_protocol::pb;
use waxwing_transparency::{
    cosignature::CoSigned,
    head::SignedHead,
    view::{View, ViewError},
};

#[test]
fn an_auditor_follows_a_relay_and_publishes_what_it_signs() {
    let relay = Relay::start();
    let auditor = Home::new("nobody@example.org");
    let public = auditor.path().join("public");
    let id = auditor.run(&["audit", "id", "--json"]);
    assert_eq!(id.code, 0, "{id:?}");
    let id = id.objects()[0]["id"].as_str().unwrap().to_owned();
    assert!(id.starts_with("waxwing-auditor-"));
    let follow = || {
        let public = public.to_str().unwrap();
        let ended = auditor.run(&[
            "audit",
            "follow",
            &relay.url,
            "--once",
            "--json",
            "--publish",
            public,
        ]);
        assert_eq!(ended.code, 0, "{ended:?}");
        ended.objects().pop().unwrap()
    };
    let first = follow();
    assert_eq!(first["type"], "co_signed", "{first}");
    assert_eq!(first["auditor"], id.as_str());
    // Nobody named this auditor to the relay.
    assert_eq!(first["published"], false);
    for address in ["alice@example.org", "bob@example.org"] {
        relay.register(&Home::new(address));
    }
    let second = follow();
    assert!(
        second["log_epoch"].as_u64() > first["log_epoch"].as_u64(),
        "{first} {second}"
    );
    assert!(second["head"].as_u64() > first["head"].as_u64());
    assert_eq!(second["log"], first["log"]);
    let file = public.join(format!("{}.cosignature", second["log"].as_str().unwrap()));
    let signed = pb::CoSignature::decode(fs::read(file).unwrap().as_slice()).unwrap();
    let (signed, _) = CoSigned::check_any(&signed).unwrap();
    assert_eq!(Some(signed.number), second["head"].as_u64());
    assert_eq!(signed.auditor.to_string(), id);
    assert_eq!(
        auditor.run(&["audit", "id"]).out.trim(),
        id,
        "the key is made once"
    );
}

#[test]
fn another_relay_in_its_place_is_refused_by_its_pin() {
    let (one, other) = (Relay::start(), Relay::start());
    let auditor = Home::new("nobody@example.org");
    let (_, pin) = other.url.split_once('#').unwrap();
    let ended = auditor.run(&[
        "audit",
        "follow",
        &one.bare_url(),
        "--pin",
        pin,
        "--once",
        "--json",
    ]);
    assert_eq!(ended.code, 1, "{ended:?}");
    assert_eq!(ended.objects()[0]["type"], "trouble", "{ended:?}");
    assert!(ended.out.contains("presented"), "{ended:?}");
}

#[test]
fn a_relay_that_is_not_there_is_trouble_and_no_lie() {
    let auditor = Home::new("nobody@example.org");
    let pin = "sha256/AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    let url = format!("https://127.0.0.1:1/#{pin}");
    let ended = auditor.run(&["audit", "follow", &url, "--once"]);
    assert_eq!(ended.code, 1, "{ended:?}");
    assert!(ended.out.contains("Nothing was co-signed"), "{ended:?}");
}

#[tokio::test]
async fn evidence_is_verified_without_an_account() {
    let home = Home::new("nobody@example.org");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("evidence");
    let verify = |bytes: &[u8], json: &[&str]| {
        fs::write(&file, bytes).unwrap();
        let arguments = [&["audit", "verify", file.to_str().unwrap()], json].concat();
        home.run(&arguments)
    };
    let mut log = TestLog::with_epochs(1, 6).await;
    let mut forked = TestLog::new(1).await;
    forked.heads = log.heads[..3].to_vec();
    forked.now = START;
    for epoch in 4..=6 {
        forked.push(epoch, [7; 32]);
    }
    let known = log.signed(5);
    let known = SignedHead::check(&log.log, &known).unwrap();
    let view = forked.view(5);
    let now = forked.newest().made_at;
    let Err(ViewError::Forked(evidence)) = View::check(&log.log, Some(&known), &view, now) else {
        panic!("no fork");
    };
    let bytes = evidence.encode_to_vec();
    let pin = format!(
        "sha256/{}",
        data_encoding::BASE64.encode(log.log.relay_pin())
    );
    let proven = verify(&bytes, &[]);
    assert_eq!(proven.code, 0, "{proven:?}");
    assert!(
        proven.out.contains("two histories") && proven.out.contains(&pin),
        "{proven:?}"
    );
    let proven = verify(&bytes, &["--json"]).objects().remove(0);
    assert_eq!(proven["proven"], true);
    assert_eq!(proven["misdeed"], "two_histories");
    assert_eq!(proven["relay"], pin.as_str());

    let two_logs = pb::Evidence {
        version: 1,
        identity: Some(log.identity.clone()),
        other_identity: Some(identity_of(1, 2).await),
        ..pb::Evidence::default()
    };
    let proven = verify(&two_logs.encode_to_vec(), &["--json"])
        .objects()
        .remove(0);
    assert_eq!(proven["misdeed"], "two_logs");

    let consistent = pb::Evidence {
        second: evidence.first.clone(),
        ..*evidence
    };
    for bad in [
        consistent.encode_to_vec(),
        b"no evidence".to_vec(),
        Vec::new(),
    ] {
        let ended = verify(&bad, &["--json"]);
        assert_eq!(ended.code, 1, "{ended:?}");
        assert_eq!(ended.objects()[0]["proven"], false);
    }
    home.run(&["audit", "verify", "/nowhere/at/all"])
        .failed_with("cannot be read");
    assert!(!home.path().exists(), "verifying opens no home");
}
