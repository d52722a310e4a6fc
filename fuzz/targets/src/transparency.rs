//! What a relay says of its key log, and what an auditor and an evidence file say.
//!
//! The first byte chooses what the others are. What is signed is looked at as it came,
//! and signed anew by the keys of a log that is kept here, so that what is behind the
//! check of the signatures is reached as well.
//!
//! **Always**: the log here is the same in each run. What is believed about it is true.

#[path = "../../../crates/transparency/tests/support/mod.rs"]
#[allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    missing_docs,
    unreachable_pub
)]
mod support;

use std::sync::LazyLock;

use bytes::Bytes;
use prost::Message as _;
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng as _};
use support::{TestLog, address, entry, head_key};
use waxwing_protocol::{pb, signature::Purpose, time::Time};
use waxwing_transparency::{
    cosignature::CoSigned,
    evidence,
    head::{Head, SignedHead},
    identity::{self, LogIdentity},
    proof::{self, Entry},
    view::View,
    wire,
};

const ALICE: &str = "alice@example.org";

/// A log, and what its relay would say of it.
struct Known {
    log: LogIdentity,
    heads: Vec<Head>,
    signed: Vec<pb::SignedHead>,
    now: Time,
    said: Vec<(&'static str, Vec<u8>)>,
}

static KNOWN: LazyLock<Known> = LazyLock::new(|| {
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    runtime.expect("a runtime").block_on(known())
});

async fn known() -> Known {
    let mut log = TestLog::new(1).await;
    log.publish(&[(ALICE, entry(1))]).await;
    for n in 10..18 {
        log.publish(&[(&format!("user{n}@example.org"), entry(n))])
            .await;
    }
    log.publish(&[(ALICE, entry(2))]).await;
    let newest = log.newest().clone();
    let mut view = log.view(3);
    let auditor = head_key(50);
    let cosignature = CoSigned::sign(&mut log.rng, &auditor, &newest, newest.made_at);
    view.cosignatures.push(cosignature.clone());
    let mut forked = TestLog::new(1).await;
    forked.heads = log.heads.iter().take(4).cloned().collect();
    for epoch in 5..9 {
        forked.push(epoch, [7; 32]);
    }
    let other = forked.view(6);
    let evidence = pb::Evidence {
        version: 1,
        identity: Some(log.identity.clone()),
        first: Some(log.signed(6)),
        second: other.head,
        links: other.links,
        other_identity: None,
    };
    let two_logs = pb::Evidence {
        version: 1,
        identity: Some(log.identity.clone()),
        other_identity: Some(support::identity_of(1, 2).await),
        ..pb::Evidence::default()
    };
    let audit = log.audit(10).await;
    let said = vec![
        ("identity", said(0, &log.identity)),
        ("view", said(1, &view)),
        ("view_alone", said(1, &log.view(0))),
        ("look_up", said(2, &log.look_up(ALICE).await)),
        ("history", said(3, &log.history(ALICE, 0).await)),
        ("evidence_fork", said(4, &evidence)),
        ("evidence_two_logs", said(4, &two_logs)),
        ("audit", said(5, &audit)),
        ("cosignature", said(6, &cosignature)),
        (
            "head",
            said(
                7,
                &pb::Head::decode(newest.encoded().clone()).unwrap_or_default(),
            ),
        ),
        ("entry", [&[8], entry(2).encode().as_slice()].concat()),
    ];
    let numbers = 1..=log.heads.len() as u64;
    Known {
        log: log.log.clone(),
        heads: log.heads.clone(),
        signed: numbers.map(|number| log.signed(number)).collect(),
        now: log.now,
        said,
    }
}

fn said(kind: u8, message: &impl prost::Message) -> Vec<u8> {
    [&[kind], message.encode_to_vec().as_slice()].concat()
}

/// For `transparency`.
pub fn seeds() -> crate::seeds::Seeds {
    KNOWN
        .said
        .iter()
        .map(|(name, bytes)| ((*name).to_owned(), bytes.clone()))
        .collect()
}

/// Any of what can be said of a log.
pub fn transparency(bytes: &[u8]) {
    let Some((kind, bytes)) = bytes.split_first() else {
        return;
    };
    match kind {
        0 => log_identity(bytes),
        1 => view(bytes),
        2 => look_up(bytes),
        3 => history(bytes),
        4 => evidence(bytes),
        5 => audit(bytes),
        6 => cosignature(bytes),
        7 => head(bytes),
        8 => log_entry(bytes),
        _ => {}
    }
}

fn log_identity(bytes: &[u8]) {
    let Ok(wire) = pb::LogIdentity::decode(bytes) else {
        return;
    };
    if let Ok(found) = LogIdentity::check(&wire) {
        assert_eq!(found.id(), identity::log_id(&wire.statement));
        assert_eq!(found.wire(), &wire);
    }
}

/// A head that any bytes are made to, as the log would have signed it.
fn signed_anew(head: &pb::SignedHead) -> Option<pb::SignedHead> {
    let mut statement = pb::Head::decode(head.head.clone()).ok()?;
    statement.log_id = Bytes::copy_from_slice(&KNOWN.log.id().0);
    let encoded: Bytes = statement.encode_to_vec().into();
    let mut rng = ChaCha20Rng::from_seed([1; 32]);
    let signature = head_key(1).sign(&mut rng, Purpose::Head, &encoded);
    Some(pb::SignedHead {
        head: encoded,
        signature: Some(signature),
    })
}

fn view(bytes: &[u8]) {
    let Ok(wire) = pb::LogView::decode(bytes) else {
        return;
    };
    check_view(&wire);
    if let Some(head) = wire.head.as_ref().and_then(signed_anew) {
        check_view(&pb::LogView {
            head: Some(head),
            ..wire
        });
    }
}

fn check_view(wire: &pb::LogView) {
    let at = KNOWN.signed.get(2);
    let third = at.map(|wire| SignedHead::check(&KNOWN.log, wire).expect("our own head"));
    for known in [None, third.as_ref()] {
        let Ok(seen) = View::check(&KNOWN.log, known, wire, KNOWN.now) else {
            continue;
        };
        if let Some(known) = known {
            let number = known.head().number;
            assert_eq!(
                seen.hash_at(number),
                Some(known.head().hash()),
                "a view continues what was known"
            );
        }
    }
}

fn look_up(bytes: &[u8]) {
    let (Ok(wire), Some(head)) = (pb::LookUpProof::decode(bytes), KNOWN.heads.last()) else {
        return;
    };
    if let Ok(found) = proof::look_up(&KNOWN.log, head, &address(ALICE), &wire) {
        assert_eq!(found.entry, entry(2), "what is proved is true");
        let again = wire::look_up_proof(&wire).map(wire::from_look_up_proof);
        assert!(again.is_some(), "what is proved has a wire form");
    }
}

fn history(bytes: &[u8]) {
    let (Ok(wire), Some(head)) = (pb::HistoryProof::decode(bytes), KNOWN.heads.last()) else {
        return;
    };
    if let Ok(found) = proof::history(&KNOWN.log, head, &address(ALICE), 0, &wire) {
        let entries: Vec<Entry> = found.into_iter().map(|one| one.entry).collect();
        assert_eq!(entries, [entry(2), entry(1)], "what is proved is true");
    }
    // Proves less, and must not panic either.
    let _ = proof::history(&KNOWN.log, head, &address(ALICE), 1, &wire);
}

fn evidence(bytes: &[u8]) {
    let _ = evidence::check(bytes);
    let Ok(mut wire) = pb::Evidence::decode(bytes) else {
        return;
    };
    wire.identity = Some(KNOWN.log.wire().clone());
    wire.first = wire.first.as_ref().and_then(signed_anew);
    wire.second = wire.second.as_ref().and_then(signed_anew);
    if let Ok(proven) = evidence::check(&wire.encode_to_vec()) {
        assert_eq!(proven.relay_pin, *KNOWN.log.relay_pin());
    }
}

fn audit(bytes: &[u8]) {
    if let Ok(wire) = pb::AuditProof::decode(bytes)
        && let Some(proof) = wire::audit_proof(&wire)
    {
        let again = wire::from_append_only_proof(proof);
        assert_eq!(again.len(), 1, "one proof is one proof");
    }
}

fn cosignature(bytes: &[u8]) {
    if let Ok(wire) = pb::CoSignature::decode(bytes)
        && let Ok((_, log)) = CoSigned::check_any(&wire)
    {
        let is_its = CoSigned::check(&KNOWN.log, &wire).is_ok();
        assert_eq!(is_its, log == KNOWN.log.id());
    }
}

fn head(bytes: &[u8]) {
    if let Ok(head) = Head::decode(Bytes::copy_from_slice(bytes)) {
        assert_eq!(head.encoded().as_ref(), bytes);
        assert!(head.number > 0);
    }
}

fn log_entry(bytes: &[u8]) {
    if let Ok(entry) = Entry::decode(bytes) {
        assert_eq!(Entry::decode(&entry.encode()), Ok(entry));
    }
}
