//! An auditor and relays that keep their log, or do not.

#![cfg(test)]

#[path = "../../transparency/tests/support/mod.rs"]
mod support;

use std::{cell::RefCell, convert::Infallible};

use bytes::{Bytes, BytesMut};
use prost::Message as _;
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng as _};
use support::{START, TestLog, entry, head_key, identity_of};
use waxwing_auditor::{
    append_only::{AppendOnlyError, empty_root},
    follower::{Follower, Lie, Refusal, Saved, Trouble, delimited},
    round::{Ask, Keep, Round, RoundError, round},
};
use waxwing_protocol::{pb, time::Time};
use waxwing_transparency::{cosignature::CoSigned, evidence, head::Head, view::ViewError};

/// A relay, as `Ask` sees it; tests let it lie.
struct Relay {
    log: TestLog,
    /// Heads in the place of others, as they are handed out.
    forged: Vec<(u64, Head)>,
    proofs: Vec<(u64, pb::AuditProof)>,
    identity: Option<pb::LogIdentity>,
    asked: Vec<String>,
    /// At most so many heads in one answer.
    most_heads: u64,
}

impl Relay {
    fn new(log: TestLog) -> Self {
        Self {
            log,
            forged: Vec::new(),
            proofs: Vec::new(),
            identity: None,
            asked: Vec::new(),
            most_heads: 1024,
        }
    }

    fn head(&self, number: u64) -> Head {
        let forged = self.forged.iter().find(|(at, _)| *at == number);
        forged.map_or_else(|| self.log.head(number).clone(), |(_, head)| head.clone())
    }
}

fn number_in(path: &str, name: &str) -> u64 {
    let (_, rest) = path.split_once(&format!("{name}=")).unwrap();
    rest.split('&').next().unwrap().parse().unwrap()
}

impl Ask for Relay {
    type Error = Infallible;

    async fn get(&mut self, path: &str, most: usize) -> Result<Option<Bytes>, Infallible> {
        self.asked.push(path.to_owned());
        let answer = if path == "/log/v1/identity" {
            let identity = self.identity.as_ref().unwrap_or(&self.log.identity);
            Some(identity.encode_to_vec())
        } else if path.starts_with("/log/v1/head?") {
            let known = number_in(path, "known");
            (!self.log.heads.is_empty()).then(|| self.log.view(known).encode_to_vec())
        } else if path.starts_with("/log/v1/heads?") {
            let (from, to) = (number_in(path, "from"), number_in(path, "to"));
            let mut answer = BytesMut::new();
            for number in from..=to.min(from + self.most_heads - 1) {
                let head = self.head(number);
                prost::encode_length_delimiter(head.encoded().len(), &mut answer).unwrap();
                answer.extend_from_slice(head.encoded());
            }
            Some(answer.to_vec())
        } else {
            let epoch = path
                .strip_prefix("/log/v1/audit/")
                .unwrap()
                .parse()
                .unwrap();
            let forged = self.proofs.iter().find(|(at, _)| *at == epoch);
            let proof = match forged {
                Some((_, proof)) => proof.clone(),
                None => self.log.audit(epoch).await,
            };
            Some(proof.encode_to_vec())
        };
        assert!(answer.as_ref().is_none_or(|answer| answer.len() <= most));
        Ok(answer.map(Bytes::from))
    }
}

/// Keeps in memory.
#[derive(Default)]
struct Kept(RefCell<Option<Saved>>, Vec<Lie>);

impl Keep for Kept {
    type Error = Infallible;

    fn keep_lie(&mut self, lie: &Lie) -> Result<(), Infallible> {
        self.1.push(lie.clone());
        Ok(())
    }

    fn keep(&mut self, follower: &Follower) -> Result<(), Infallible> {
        *self.0.borrow_mut() = Some(follower.saved());
        Ok(())
    }
}

type Ended = Result<Round, RoundError<Infallible, Infallible>>;

struct Auditor {
    follower: Follower,
    kept: Kept,
    rng: ChaCha20Rng,
    now: Option<Time>,
}

impl Auditor {
    fn new() -> Self {
        Self {
            follower: Follower::new(None),
            kept: Kept::default(),
            rng: ChaCha20Rng::from_seed([9; 32]),
            now: None,
        }
    }

    async fn round(&mut self, relay: &mut Relay) -> Ended {
        let now = self.now.unwrap_or(relay.log.now);
        round(
            &mut self.follower,
            &head_key(200),
            &mut self.rng,
            || now,
            relay,
            &mut self.kept,
        )
        .await
    }

    /// The program ends and is started again.
    fn restart(&mut self) {
        let saved = self.kept.0.borrow().clone();
        self.follower = match saved {
            Some(saved) => {
                let saved = Saved::from_bytes(&saved.encode_to_vec()).unwrap();
                Follower::resume(None, saved).unwrap()
            }
            None => Follower::new(None),
        };
    }

    /// The lie that a round ends with; from then on nothing is co-signed.
    async fn lie(&mut self, relay: &mut Relay) -> Lie {
        let lie = match self.round(relay).await {
            Err(RoundError::Refused(Refusal::Lie(lie))) => lie,
            other => panic!("{other:?}"),
        };
        assert_eq!(self.kept.1, std::slice::from_ref(&lie));
        for _ in 0..2 {
            let again = self.round(relay).await.unwrap();
            assert_eq!(again, Round::Stopped(lie.to_string()));
            self.restart();
        }
        lie
    }

    async fn trouble(&mut self, relay: &mut Relay) -> Trouble {
        match self.round(relay).await {
            Err(RoundError::Refused(Refusal::Trouble(trouble))) => trouble,
            other => panic!("{other:?}"),
        }
    }
}

fn cosigned(relay: &Relay, ended: Ended) -> (u64, u64) {
    match ended.unwrap() {
        Round::CoSigned {
            number,
            epoch,
            cosignature,
        } => {
            let signed = CoSigned::check(&relay.log.log, &cosignature).unwrap();
            assert_eq!(signed.number, number);
            assert_eq!(signed.head, relay.log.head(number).hash());
            (number, epoch)
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_log_is_followed_from_where_the_last_check_ended() {
    let mut relay = Relay::new(TestLog::with_epochs(1, 5).await);
    let mut auditor = Auditor::new();
    let ended = auditor.round(&mut relay).await;
    assert_eq!(cosigned(&relay, ended), (5, 5));
    let audits = |relay: &Relay| {
        let audits = relay.asked.iter().filter(|path| path.contains("audit"));
        audits.count()
    };
    assert_eq!(audits(&relay), 5);
    relay.log.refresh();
    relay.log.refresh();
    relay
        .log
        .publish(&[
            ("user0@example.org", entry(100)),
            ("new@example.org", entry(101)),
        ])
        .await;
    let ended = auditor.round(&mut relay).await;
    assert_eq!(cosigned(&relay, ended), (8, 6));
    assert_eq!(audits(&relay), 6);
    // Nothing new: the head is co-signed again, and no proof asked for.
    auditor.restart();
    let ended = auditor.round(&mut relay).await;
    assert_eq!(cosigned(&relay, ended), (8, 6));
    assert_eq!(audits(&relay), 6);
}

#[tokio::test]
async fn a_log_that_begins_empty_is_followed() {
    let mut relay = Relay::new(TestLog::new(1).await);
    let mut auditor = Auditor::new();
    assert_eq!(auditor.round(&mut relay).await.unwrap(), Round::Empty);
    relay.log.push(0, empty_root());
    let ended = auditor.round(&mut relay).await;
    assert_eq!(cosigned(&relay, ended), (1, 0));
    relay.log.publish(&[("a@example.org", entry(1))]).await;
    let ended = auditor.round(&mut relay).await;
    assert_eq!(cosigned(&relay, ended), (2, 1));
}

#[tokio::test]
async fn heads_come_in_any_portions_and_a_broken_round_goes_on() {
    let mut relay = Relay::new(TestLog::with_epochs(1, 20).await);
    relay.most_heads = 3;
    let mut auditor = Auditor::new();
    let good = relay.log.audit(11).await;
    let other = relay.log.audit(12).await;
    relay.proofs.push((11, other));
    assert_eq!(auditor.trouble(&mut relay).await, Trouble::Unasked);
    assert_eq!(auditor.follower.checked(), 10);
    auditor.kept.keep(&auditor.follower).unwrap();
    auditor.restart();
    assert_eq!(auditor.follower.checked(), 10);
    relay.proofs = vec![(11, good)];
    relay.asked.clear();
    let ended = auditor.round(&mut relay).await;
    assert_eq!(cosigned(&relay, ended), (20, 20));
    assert!(!relay.asked.iter().any(|path| path == "/log/v1/audit/10"));
}

#[tokio::test]
async fn a_rewritten_log_is_told_with_evidence_that_others_can_check() {
    let mut auditor = Auditor::new();
    let mut relay = Relay::new(TestLog::with_epochs(1, 3).await);
    let ended = auditor.round(&mut relay).await;
    cosigned(&relay, ended);
    // The same keys sign another history.
    let mut rewritten = TestLog::new(1).await;
    for n in 10..16 {
        rewritten
            .publish(&[(&format!("user{n}@example.org"), entry(n))])
            .await;
    }
    let mut relay = Relay::new(rewritten);
    let lie = auditor.lie(&mut relay).await;
    assert!(matches!(lie, Lie::Rewritten { number: 3, .. }), "{lie}");
    let file = lie.evidence().unwrap().encode_to_vec();
    let proven = evidence::check(&file).unwrap();
    assert_eq!(proven.relay_pin, *relay.log.log.relay_pin());
}

#[tokio::test]
async fn a_head_for_which_the_log_did_not_grow_is_refused() {
    // A removed entry: epoch 3 has the root of another log, which lacks user0.
    let mut log = TestLog::with_epochs(1, 2).await;
    let mut without = TestLog::new(1).await;
    without.publish(&[("user1@example.org", entry(1))]).await;
    without.publish(&[("user2@example.org", entry(2))]).await;
    without.publish(&[("user3@example.org", entry(3))]).await;
    let root = without.newest().root;
    log.push(3, root);
    let mut relay = Relay::new(log);
    let proof = without.audit(3).await;
    relay.proofs.push((3, proof));
    let lie = Auditor::new().lie(&mut relay).await;
    let expected = Lie::NotAppendOnly {
        epoch: 3,
        number: 3,
        error: AppendOnlyError::Invalid,
    };
    assert_eq!(lie, expected);
    assert_eq!(lie.evidence(), None);
}

#[tokio::test]
async fn a_changed_proof_is_refused_whatever_was_changed() {
    let log = TestLog::with_epochs(1, 4).await;
    let proof = log.audit(4).await;
    let mut forged = Vec::new();
    for n in 0..proof.inserted.len() {
        let mut one = proof.clone();
        one.inserted.remove(n);
        forged.push(one);
        let mut one = proof.clone();
        one.inserted.push(one.inserted[n].clone());
        forged.push(one);
        let mut one = proof.clone();
        one.inserted[n].label.as_mut().unwrap().length = 255;
        forged.push(one);
        let mut one = proof.clone();
        let moved = one.inserted.remove(n);
        one.unchanged.push(moved);
        forged.push(one);
    }
    for n in 0..proof.unchanged.len() {
        let mut one = proof.clone();
        one.unchanged.remove(n);
        forged.push(one);
        let mut one = proof.clone();
        let mut value = one.unchanged[n].value.to_vec();
        value[0] ^= 1;
        one.unchanged[n].value = value.into();
        forged.push(one);
        let mut one = proof.clone();
        let moved = one.unchanged.remove(n);
        one.inserted.push(moved);
        forged.push(one);
        let mut one = proof.clone();
        one.unchanged[n].label = None;
        forged.push(one);
    }
    let mut relay = Relay::new(log);
    for one in forged {
        relay.proofs = vec![(4, one)];
        let lie = Auditor::new().lie(&mut relay).await;
        assert!(matches!(lie, Lie::NotAppendOnly { epoch: 4, .. }), "{lie}");
    }
}

#[tokio::test]
async fn a_head_that_is_not_in_the_signed_chain_is_refused() {
    let mut relay = Relay::new(TestLog::with_epochs(1, 6).await);
    // As it should be, but for the root.
    let log = &relay.log;
    let landmark = waxwing_transparency::head::landmark(4).map(|at| log.head(at).hash());
    let forged = Head::next(
        log.log.id(),
        Some(log.head(3)),
        landmark,
        4,
        [1; 32],
        log.head(4).made_at,
    );
    relay.forged.push((4, forged));
    let lie = Auditor::new().lie(&mut relay).await;
    assert_eq!(lie, Lie::Unchained { number: 5 });
    // The last one.
    let mut relay = Relay::new(TestLog::with_epochs(1, 6).await);
    let log = &relay.log;
    let landmark = waxwing_transparency::head::landmark(6).map(|at| log.head(at).hash());
    let forged = Head::next(
        log.log.id(),
        Some(log.head(5)),
        landmark,
        6,
        [1; 32],
        log.head(6).made_at,
    );
    relay.forged.push((6, forged));
    let lie = Auditor::new().lie(&mut relay).await;
    assert_eq!(
        lie,
        Lie::OutOfPlace {
            number: 6,
            signed: 6
        }
    );
}

#[tokio::test]
async fn a_head_whose_landmark_is_another_is_refused() {
    let mut log = TestLog::with_epochs(1, 5).await;
    let wrong = log.head(3).hash();
    let before = log.newest().clone();
    let head = Head::next(
        log.log.id(),
        Some(&before),
        Some(wrong),
        5,
        before.root,
        log.now,
    );
    assert_ne!(head.landmark, Some(log.head(5).hash()));
    log.heads.push(head);
    let lie = Auditor::new().lie(&mut Relay::new(log)).await;
    assert_eq!(lie, Lie::Unchained { number: 6 });
}

#[tokio::test]
async fn a_skipped_epoch_and_two_roots_of_one_epoch_are_refused() {
    let mut log = TestLog::with_epochs(1, 2).await;
    log.push(4, [4; 32]);
    let lie = Auditor::new().lie(&mut Relay::new(log)).await;
    let expected = Lie::EpochSkipped {
        number: 3,
        epoch: 4,
        before: 2,
    };
    assert_eq!(lie, expected);
    let mut log = TestLog::with_epochs(1, 2).await;
    log.push(1, [4; 32]);
    let lie = Auditor::new().lie(&mut Relay::new(log)).await;
    assert!(matches!(lie, Lie::EpochSkipped { .. }), "{lie}");
    let mut log = TestLog::with_epochs(1, 2).await;
    log.push(2, [4; 32]);
    let lie = Auditor::new().lie(&mut Relay::new(log)).await;
    assert_eq!(
        lie,
        Lie::RootChanged {
            number: 3,
            epoch: 2
        }
    );
    // A log that did not begin empty.
    let mut log = TestLog::new(1).await;
    log.push(0, [4; 32]);
    let lie = Auditor::new().lie(&mut Relay::new(log)).await;
    assert_eq!(
        lie,
        Lie::RootChanged {
            number: 1,
            epoch: 0
        }
    );
    let mut log = TestLog::new(1).await;
    log.push(2, [4; 32]);
    let lie = Auditor::new().lie(&mut Relay::new(log)).await;
    assert!(matches!(lie, Lie::EpochSkipped { number: 1, .. }), "{lie}");
}

#[tokio::test]
async fn a_head_that_the_log_did_not_sign_is_refused() {
    let mut relay = Relay::new(TestLog::with_epochs(2, 2).await);
    relay.identity = Some(identity_of(1, 1).await);
    let lie = Auditor::new().lie(&mut relay).await;
    assert_eq!(lie, Lie::HeadUnsigned);
}

#[tokio::test]
async fn a_second_log_is_reported_with_evidence() {
    let mut relay = Relay::new(TestLog::with_epochs(1, 2).await);
    let mut auditor = Auditor::new();
    let ended = auditor.round(&mut relay).await;
    cosigned(&relay, ended);
    auditor.restart();
    relay.identity = Some(identity_of(1, 2).await);
    let lie = auditor.lie(&mut relay).await;
    assert!(matches!(lie, Lie::TwoLogs { .. }), "{lie}");
    evidence::check(&lie.evidence().unwrap().encode_to_vec()).unwrap();

    let mut auditor = Auditor::new();
    relay.identity = None;
    let ended = auditor.round(&mut relay).await;
    cosigned(&relay, ended);
    auditor.restart();
    relay.identity = Some(identity_of(7, 2).await);
    assert_eq!(auditor.lie(&mut relay).await, Lie::OtherRelay);

    let mut auditor = Auditor::new();
    auditor.follower = Follower::new(Some([5; 32]));
    relay.identity = None;
    assert_eq!(auditor.lie(&mut relay).await, Lie::OtherRelay);

    let mut auditor = Auditor::new();
    let mut unsigned = identity_of(1, 2).await;
    unsigned.signature = identity_of(1, 1).await.signature;
    relay.identity = Some(unsigned);
    assert_eq!(auditor.lie(&mut relay).await, Lie::IdentityUnsigned);
}

#[tokio::test]
async fn a_stale_or_older_head_is_not_a_lie_and_not_cosigned() {
    let mut relay = Relay::new(TestLog::with_epochs(1, 4).await);
    let mut auditor = Auditor::new();
    auditor.now = Some(Time(START.0 + 2 * 3_600_000));
    let trouble = auditor.trouble(&mut relay).await;
    assert!(matches!(trouble, Trouble::View(ViewError::Stale { .. })));
    auditor.now = None;
    let ended = auditor.round(&mut relay).await;
    cosigned(&relay, ended);
    relay.log.heads.truncate(3);
    let ended = auditor.round(&mut relay).await;
    assert!(
        matches!(
            ended,
            Err(RoundError::Refused(Refusal::Trouble(Trouble::View(_))))
        ),
        "{ended:?}"
    );
}

#[test]
fn heads_are_split_within_bounds() {
    assert_eq!(delimited(Bytes::new(), 5), Ok(vec![]));
    let two = Bytes::from_static(b"\x01a\x02bc");
    assert_eq!(delimited(two.clone(), 2).unwrap(), ["a", "bc"]);
    assert_eq!(delimited(two, 1), Err(Trouble::Malformed));
    for bad in [
        &b"\x05abc"[..],
        b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
        b"\xff\xff\xff\xff\x0f",
        b"\x80",
    ] {
        assert_eq!(
            delimited(Bytes::copy_from_slice(bad), 9),
            Err(Trouble::Malformed)
        );
    }
}

#[test]
fn damaged_state_is_refused() {
    assert!(Saved::from_bytes(b"\xff").is_err());
    assert!(Follower::resume(None, Saved::default()).is_err());
}
