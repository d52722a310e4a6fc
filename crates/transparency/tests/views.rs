//! What a relay shows of its log, and what that proves.

#![cfg(test)]

mod support;

use bytes::Bytes;
use prost::Message as _;
use support::{START, TestLog, entry, head_key, identity_of, signed_identity, waxwing_vrf_key};
use waxwing_protocol::{limits, pb, time::Span};
use waxwing_transparency::{
    cosignature::{AuditorId, CoSigned},
    evidence::{self, EvidenceError, Misdeed},
    head::{Head, HeadError, SignedHead},
    identity::{IdentityError, LogIdentity},
    view::{View, ViewError},
};

fn signed_head(log: &mut TestLog, number: u64) -> SignedHead {
    let wire = log.signed(number);
    SignedHead::check(&log.log, &wire).unwrap()
}

/// A log of so many heads, and one that shares the first `common` of them.
async fn fork(heads: u8, common: u64) -> (TestLog, TestLog) {
    let log = TestLog::with_epochs(1, heads).await;
    let mut other = TestLog::new(1).await;
    for head in &log.heads {
        if head.number <= common {
            other.heads.push(head.clone());
            other.now = head.made_at;
        }
    }
    for n in common..u64::from(heads) {
        other.push(n + 1, [0xaa; 32]);
    }
    (log, other)
}

#[tokio::test]
async fn a_view_that_continues_the_known_is_believed_from_any_head() {
    let mut log = TestLog::with_epochs(1, 40).await;
    let view = log.view(0);
    assert!(View::check(&log.log, None, &view, log.now).is_ok());
    for known in 1..=40 {
        let known_head = signed_head(&mut log, known);
        let view = log.view(known);
        let seen = View::check(&log.log, Some(&known_head), &view, log.now).unwrap();
        assert_eq!(seen.newest().head(), log.newest());
        assert_eq!(seen.hash_at(known), Some(log.head(known).hash()));
        assert_eq!(seen.hash_at(41), None);
        assert_eq!(seen.hash_at(0), None);
    }
}

#[tokio::test]
async fn a_fork_gives_evidence_that_anybody_can_check() {
    for (known, newest) in [(30, 40), (25, 40), (22, 22), (39, 40), (40, 40), (21, 40)] {
        let (mut log, mut other) = fork(40, 20).await;
        let known_head = signed_head(&mut log, known);
        let view = other.view_at(newest, known);
        let now = other.now;
        let Err(ViewError::Forked(evidence)) = View::check(&log.log, Some(&known_head), &view, now)
        else {
            panic!("head {newest} after {known} was believed");
        };
        let proven = evidence::check(&evidence.encode_to_vec()).unwrap();
        assert_eq!(proven.relay_pin, *log.log.relay_pin());
        let Misdeed::TwoHistories { number, .. } = proven.misdeed else {
            panic!("{proven:?}");
        };
        assert_eq!(number, known);
    }
}

#[tokio::test]
async fn what_two_histories_share_is_no_fork() {
    let (mut log, mut other) = fork(40, 20).await;
    let known = signed_head(&mut log, 20);
    let view = other.view(20);
    let seen = View::check(&log.log, Some(&known), &view, other.now);
    assert!(seen.is_ok());
}

#[tokio::test]
async fn a_view_is_refused_with_the_reason() {
    let mut log = TestLog::with_epochs(1, 12).await;
    let known = signed_head(&mut log, 3);
    let view = log.view(3);
    let now = log.now;
    let check = |view: &pb::LogView, at| View::check(&log.log, Some(&known), view, at).unwrap_err();
    let made_at = log.newest().made_at;
    let late = made_at.after(limits::HEAD_MAX_AGE).after(Span(1));
    assert_eq!(check(&view, late), ViewError::Stale { made_at });
    let early = waxwing_protocol::time::Time(made_at.0 - limits::HEAD_MAX_AHEAD.0 - 1);
    assert_eq!(check(&view, early), ViewError::Ahead { made_at });
    let unlinked = pb::LogView {
        links: Vec::new(),
        ..view.clone()
    };
    assert_eq!(check(&unlinked, now), ViewError::Unlinked);
    for n in 0..view.links.len() {
        let mut hole = view.clone();
        let last = hole.links.remove(n);
        // The known head itself is known.
        let expected = Head::decode(last).unwrap().number == 3;
        let seen = View::check(&log.log, Some(&known), &hole, now);
        assert_eq!(seen.is_ok(), expected, "link {n}");
    }
    for malformed in [
        pb::LogView::default(),
        pb::LogView {
            links: vec![Bytes::from_static(b"no head")],
            ..view.clone()
        },
        pb::LogView {
            links: vec![view.links[0].clone(); limits::HEAD_LINKS + 1],
            ..view.clone()
        },
        pb::LogView {
            cosignatures: vec![pb::CoSignature::default(); limits::COSIGNATURES + 1],
            ..view.clone()
        },
    ] {
        assert_eq!(check(&malformed, now), ViewError::Malformed);
    }
    let mut unsigned = view.clone();
    unsigned.head.as_mut().unwrap().signature = None;
    assert_eq!(check(&unsigned, now), ViewError::Unsigned);
    let mut others_signature = view.clone();
    others_signature.head.as_mut().unwrap().signature = known.wire().signature.clone();
    assert_eq!(check(&others_signature, now), ViewError::Unsigned);
    let mut other = TestLog::with_epochs(2, 12).await;
    assert_eq!(check(&other.view(3), now), ViewError::WrongLog);
    let newer = signed_head(&mut log, 12);
    let older = log.view_at(11, 3);
    let seen = View::check(&log.log, Some(&newer), &older, now).unwrap_err();
    assert_eq!(
        seen,
        ViewError::Older {
            number: 11,
            known: 12
        }
    );
}

#[tokio::test]
async fn a_link_that_miscounts_is_no_link() {
    let mut log = TestLog::with_epochs(1, 9).await;
    let known = signed_head(&mut log, 2);
    // A head that names, as the one before it, one whose number is another.
    let wrong = log.head(4).hash();
    let before = log.head(9).clone();
    let forged = Head::next(
        log.log.id(),
        Some(&before),
        Some(wrong),
        9,
        before.root,
        log.now,
    );
    log.heads.push(forged);
    let mut view = log.view(2);
    view.links = log
        .heads
        .iter()
        .map(|head| head.encoded().clone())
        .collect();
    let seen = View::check(&log.log, Some(&known), &view, log.now);
    assert!(seen.is_err(), "{seen:?}");
}

#[tokio::test]
async fn cosignatures_of_this_log_count_and_others_are_left_out() {
    let mut log = TestLog::with_epochs(1, 12).await;
    let auditor = head_key(50);
    let id = AuditorId::of(auditor.public());
    let head = log.head(7).clone();
    let good = CoSigned::sign(&mut log.rng, &auditor, &head, START);
    assert_eq!(CoSigned::check(&log.log, &good).unwrap().auditor, id);
    let mut other = TestLog::with_epochs(2, 12).await;
    let its_head = other.head(7).clone();
    let foreign = CoSigned::sign(&mut other.rng, &auditor, &its_head, START);
    assert!(CoSigned::check(&log.log, &foreign).is_err());
    let mut fork = TestLog::new(1).await;
    fork.push(1, [3; 32]);
    let of_a_fork = CoSigned::sign(&mut log.rng, &auditor, fork.head(1), START);
    let mut view = log.view(7);
    view.cosignatures = vec![good.clone(), foreign, of_a_fork, pb::CoSignature::default()];
    let seen = View::check(&log.log, None, &view, log.now).unwrap();
    let cosigned: Vec<_> = seen.cosigned().iter().map(|one| one.number).collect();
    assert_eq!(cosigned, [7]);
    // Changed in any field, it is worth nothing.
    let statement = pb::CoSigned::decode(good.statement.clone()).unwrap();
    for changed in [
        pb::CoSigned {
            version: 2,
            ..statement.clone()
        },
        pb::CoSigned {
            number: 8,
            ..statement.clone()
        },
        pb::CoSigned {
            made_at_ms: 1,
            ..statement.clone()
        },
        pb::CoSigned {
            auditor_id: vec![0; 32].into(),
            ..statement.clone()
        },
        pb::CoSigned {
            head_hash: vec![0; 32].into(),
            ..statement.clone()
        },
        pb::CoSigned {
            log_id: vec![0; 32].into(),
            ..statement.clone()
        },
    ] {
        let forged = pb::CoSignature {
            statement: changed.encode_to_vec().into(),
            ..good.clone()
        };
        assert!(CoSigned::check_any(&forged).is_err(), "{changed:?}");
    }
    let someone_else = pb::CoSignature {
        auditor_key: Some(head_key(51).public().to_wire()),
        ..good.clone()
    };
    assert!(CoSigned::check_any(&someone_else).is_err());
    let too_large = pb::CoSignature {
        statement: vec![0; 513].into(),
        ..good
    };
    assert!(CoSigned::check_any(&too_large).is_err());
}

#[test]
fn an_auditors_id_is_read_as_it_is_written() {
    let id = AuditorId::of(head_key(50).public());
    let text = id.to_string();
    assert!(text.starts_with("waxwing-auditor-"));
    assert_eq!(AuditorId::parse(&text.to_uppercase()), Some(id));
    assert_eq!(AuditorId::parse(&format!(" {text}\n")), Some(id));
    let short = text.strip_suffix(|_: char| true).unwrap();
    let behead = text.strip_prefix('w').unwrap();
    for bad in ["", "waxwing-auditor-", short, behead] {
        assert_eq!(AuditorId::parse(bad), None, "{bad:?}");
    }
}

/// Evidence of a fork at head 25 of 40.
async fn evidence_of_a_fork() -> pb::Evidence {
    let (mut log, mut other) = fork(40, 20).await;
    let known = signed_head(&mut log, 25);
    let view = other.view(25);
    match View::check(&log.log, Some(&known), &view, other.now) {
        Err(ViewError::Forked(evidence)) => *evidence,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn evidence_that_is_forged_in_any_field_proves_nothing() {
    let good = evidence_of_a_fork().await;
    assert!(evidence::check(&good.encode_to_vec()).is_ok());
    let mut swapped = good.clone();
    std::mem::swap(&mut swapped.first, &mut swapped.second);
    assert!(evidence::check(&swapped.encode_to_vec()).is_ok());

    let check = |evidence: pb::Evidence| evidence::check(&evidence.encode_to_vec()).unwrap_err();
    let with = |change: &dyn Fn(&mut pb::Evidence)| {
        let mut evidence = good.clone();
        change(&mut evidence);
        check(evidence)
    };
    assert_eq!(with(&|one| one.version = 2), EvidenceError::Malformed);
    assert_eq!(with(&|one| one.identity = None), EvidenceError::Malformed);
    assert_eq!(with(&|one| one.first = None), EvidenceError::Malformed);
    assert_eq!(with(&|one| one.second = None), EvidenceError::Malformed);
    assert_eq!(with(&|one| one.links.clear()), EvidenceError::Malformed);
    assert_eq!(
        with(&|one| one.second.clone_from(&one.first)),
        EvidenceError::Consistent
    );
    let foreign = identity_of(1, 9).await;
    assert_eq!(
        with(&|one| one.identity = Some(foreign.clone())),
        EvidenceError::Unsigned
    );
    let mut unsigned = good.identity.clone().unwrap();
    unsigned.signature = foreign.signature.clone();
    assert_eq!(
        with(&|one| one.identity = Some(unsigned.clone())),
        EvidenceError::Unsigned
    );
    // Any bit of a head, and of its signatures.
    for bit in (0..8 * good.first.as_ref().unwrap().head.len()).step_by(7) {
        let error = with(&|one| {
            let head = one.first.as_mut().unwrap();
            head.head = flipped(&head.head, bit);
        });
        assert_ne!(error, EvidenceError::Consistent, "bit {bit}");
    }
    for bit in (0..8 * 3309).step_by(4001) {
        let error = with(&|one| {
            let signature = one.second.as_mut().unwrap().signature.as_mut().unwrap();
            signature.ml_dsa_65 = flipped(&signature.ml_dsa_65, bit);
        });
        assert_eq!(error, EvidenceError::Unsigned, "bit {bit}");
    }
    for bit in (0..8 * 64).step_by(31) {
        let error = with(&|one| {
            let signature = one.second.as_mut().unwrap().signature.as_mut().unwrap();
            signature.ed25519 = flipped(&signature.ed25519, bit);
        });
        assert_eq!(error, EvidenceError::Unsigned, "bit {bit}");
    }
    for n in 0..good.links.len() {
        for bit in [5, 400] {
            let changed = |one: &mut pb::Evidence| one.links[n] = flipped(&one.links[n], bit);
            let mut evidence = good.clone();
            changed(&mut evidence);
            // The last link is the earlier head's own, which is not walked through.
            let proven = evidence::check(&evidence.encode_to_vec());
            let is_last = n + 1 == good.links.len();
            assert!(proven.is_err() || is_last, "link {n}: {proven:?}");
        }
    }
    assert_eq!(
        evidence::check(&vec![0; evidence::EVIDENCE_BYTES + 1]),
        Err(EvidenceError::Malformed)
    );
    assert_eq!(evidence::check(b""), Err(EvidenceError::Malformed));
}

#[tokio::test]
async fn a_consistent_pair_of_heads_proves_nothing() {
    let mut log = TestLog::with_epochs(1, 30).await;
    let view = log.view(12);
    let evidence = pb::Evidence {
        version: 1,
        identity: Some(log.identity.clone()),
        first: Some(log.signed(12)),
        second: view.head,
        links: view.links,
        other_identity: None,
    };
    let checked = evidence::check(&evidence.encode_to_vec());
    assert_eq!(checked, Err(EvidenceError::Consistent));
}

#[tokio::test]
async fn two_logs_of_one_relay_are_proven_and_not_of_two_relays() {
    let two = |first, second| {
        let evidence = pb::Evidence {
            version: 1,
            identity: Some(first),
            other_identity: Some(second),
            ..pb::Evidence::default()
        };
        evidence::check(&evidence.encode_to_vec())
    };
    let (one, other) = (identity_of(1, 1).await, identity_of(1, 2).await);
    let proven = two(one.clone(), other).unwrap();
    assert!(matches!(proven.misdeed, Misdeed::TwoLogs { .. }));
    let same = two(one.clone(), one.clone());
    assert_eq!(same, Err(EvidenceError::Consistent));
    let anothers = identity_of(2, 2).await;
    assert_eq!(two(one, anothers), Err(EvidenceError::Unsigned));
}

#[tokio::test]
async fn a_log_identity_with_any_wrong_part_is_refused() {
    let good = identity_of(1, 1).await;
    assert!(LogIdentity::check(&good).is_ok());
    for bit in (0..8 * good.statement.len()).step_by(97) {
        let changed = pb::LogIdentity {
            statement: flipped(&good.statement, bit),
            ..good.clone()
        };
        assert!(LogIdentity::check(&changed).is_err(), "bit {bit}");
    }
    let others = pb::LogIdentity {
        signature: identity_of(2, 1).await.signature,
        ..good.clone()
    };
    assert_eq!(LogIdentity::check(&others), Err(IdentityError::Unsigned));
    let too_long = pb::LogIdentity {
        signature: vec![0; 129].into(),
        ..good
    };
    assert_eq!(LogIdentity::check(&too_long), Err(IdentityError::Malformed));
}

#[tokio::test]
async fn vrf_keys_that_are_none_are_refused_even_when_signed() {
    let key = head_key(1);
    let good = signed_identity(1, &key, &waxwing_vrf_key().await);
    assert!(LogIdentity::check(&good).is_ok());
    let low_order = [
        // The identity, and points of order 2, 4 and 8 (with their other encodings).
        "0100000000000000000000000000000000000000000000000000000000000000",
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0000000000000000000000000000000000000000000000000000000000000080",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
        // No point of the curve.
        "0200000000000000000000000000000000000000000000000000000000000000",
    ];
    for hex in low_order {
        let bytes = data_encoding::HEXLOWER.decode(hex.as_bytes()).unwrap();
        let identity = signed_identity(1, &key, &bytes.try_into().unwrap());
        assert_eq!(
            LogIdentity::check(&identity),
            Err(IdentityError::Malformed),
            "{hex}"
        );
    }
}

#[tokio::test]
async fn heads_that_are_malformed_are_refused() {
    let mut log = TestLog::with_epochs(1, 3).await;
    let good = pb::Head::decode(log.head(3).encoded().clone()).unwrap();
    assert!(Head::decode(good.encode_to_vec().into()).is_ok());
    for bad in [
        pb::Head {
            version: 0,
            ..good.clone()
        },
        pb::Head {
            number: 0,
            ..good.clone()
        },
        pb::Head {
            number: 1,
            ..good.clone()
        },
        pb::Head {
            root: Bytes::new(),
            ..good.clone()
        },
        pb::Head {
            log_id: vec![0; 31].into(),
            ..good.clone()
        },
        pb::Head {
            previous: Bytes::new(),
            ..good.clone()
        },
        pb::Head {
            landmark: Bytes::new(),
            ..good.clone()
        },
        pb::Head {
            previous: vec![0; 33].into(),
            ..good.clone()
        },
    ] {
        let decoded = Head::decode(bad.encode_to_vec().into());
        assert_eq!(decoded, Err(HeadError::Malformed), "{bad:?}");
    }
    let long = vec![0; limits::HEAD_BYTES + 1];
    assert_eq!(Head::decode(long.into()), Err(HeadError::Malformed));
    log.publish(&[("x@example.org", entry(1))]).await;
    let wire = log.signed(4);
    let other = TestLog::new(2).await;
    assert_eq!(
        SignedHead::check(&other.log, &wire).unwrap_err(),
        HeadError::WrongLog
    );
}

#[test]
fn a_first_head_and_one_after_a_set_back_are_well_formed() {
    let id = waxwing_transparency::identity::LogId([1; 32]);
    let first = Head::next(id, None, None, 0, [0; 32], START);
    assert_eq!(
        (first.number, first.previous, first.landmark),
        (1, None, None)
    );
    let earlier = waxwing_protocol::time::Time(START.0 - 1000);
    let second = Head::next(id, Some(&first), Some(first.hash()), 0, [0; 32], earlier);
    assert_eq!(second.made_at, START);
    assert_eq!(Head::decode(second.encoded().clone()), Ok(second));
}

fn flipped(bytes: &Bytes, bit: usize) -> Bytes {
    let mut bytes = bytes.to_vec();
    bytes[bit / 8] ^= 1 << (bit % 8);
    bytes.into()
}
