//! What a log says of an address, against a real akd directory.

#![cfg(test)]

mod support;

use bytes::Bytes;
use prost::Message as _;
use support::{TestLog, address, entry};
use waxwing_protocol::pb;
use waxwing_transparency::proof::{self, Entry, ProofError};

const ALICE: &str = "alice@example.org";
const BOB: &str = "bob@example.org";

/// Alice had two accounts, Bob one, and others came and went.
async fn log() -> TestLog {
    let mut log = TestLog::new(1).await;
    log.publish(&[(ALICE, entry(1)), (BOB, entry(2))]).await;
    for n in 10..20 {
        log.publish(&[(&format!("user{n}@example.org"), entry(n))])
            .await;
    }
    log.publish(&[(ALICE, entry(3))]).await;
    log
}

#[tokio::test]
async fn a_look_up_proves_the_newest_entry_and_nothing_else() {
    let log = log().await;
    let head = log.newest();
    let found = log.look_up(ALICE).await;
    let version = proof::look_up(&log.log, head, &address(ALICE), &found).unwrap();
    assert_eq!(version.entry, entry(3));
    assert_eq!((version.version, version.epoch), (2, 12));
    // It is as well the proof for the address in other letters, and for no other address.
    let same = address("Alice@Example.ORG");
    assert!(proof::look_up(&log.log, head, &same, &found).is_ok());
    assert_eq!(
        proof::look_up(&log.log, head, &address(BOB), &found),
        Err(ProofError::Invalid)
    );
    // Nor against another head, nor for another log.
    assert!(proof::look_up(&log.log, log.head(11), &address(ALICE), &found).is_err());
    let other = TestLog::with_epochs(1, 12).await;
    assert!(proof::look_up(&log.log, other.newest(), &address(ALICE), &found).is_err());
}

#[tokio::test]
async fn an_entry_that_was_replaced_is_not_proved_any_more() {
    let mut log = TestLog::new(1).await;
    log.publish(&[(ALICE, entry(1))]).await;
    let old = log.look_up(ALICE).await;
    assert!(proof::look_up(&log.log, log.newest(), &address(ALICE), &old).is_ok());
    log.publish(&[(ALICE, entry(2))]).await;
    assert!(proof::look_up(&log.log, log.newest(), &address(ALICE), &old).is_err());
}

#[tokio::test]
async fn a_history_proves_every_entry_there_was() {
    let log = log().await;
    let head = log.newest();
    let found = log.history(ALICE, 0).await;
    let versions = proof::history(&log.log, head, &address(ALICE), 0, &found).unwrap();
    let seen: Vec<(u64, u64, Entry)> = versions
        .into_iter()
        .map(|one| (one.version, one.epoch, one.entry))
        .collect();
    assert_eq!(seen, [(2, 12, entry(3)), (1, 1, entry(1))]);
    assert!(proof::history(&log.log, head, &address(BOB), 0, &found).is_err());
    let newest = log.history(ALICE, 1).await;
    let versions = proof::history(&log.log, head, &address(ALICE), 1, &newest).unwrap();
    assert_eq!(versions.len(), 1);
    assert!(proof::history(&log.log, head, &address(ALICE), 0, &newest).is_err());
    // One that leaves out a version.
    let mut short = found.clone();
    short.updates.pop();
    assert!(proof::history(&log.log, head, &address(ALICE), 0, &short).is_err());
    let mut short = found.clone();
    short.updates.remove(0);
    assert!(proof::history(&log.log, head, &address(ALICE), 0, &short).is_err());
    let empty = pb::HistoryProof::default();
    assert_eq!(
        proof::history(&log.log, head, &address(ALICE), 0, &empty),
        Err(ProofError::Malformed)
    );
}

/// Every `step`th bit of an encoded message, flipped.
fn flips(bytes: &[u8], step: usize) -> impl Iterator<Item = (usize, Vec<u8>)> {
    (0..8 * bytes.len()).step_by(step).map(|bit| {
        let mut changed = bytes.to_vec();
        changed[bit / 8] ^= 1 << (bit % 8);
        (bit, changed)
    })
}

#[tokio::test]
async fn no_bit_of_a_look_up_proof_can_be_changed() {
    let log = log().await;
    let good = log.look_up(ALICE).await;
    let encoded = good.encode_to_vec();
    let mut decoded = 0;
    for (bit, changed) in flips(&encoded, 13) {
        let Ok(changed) = pb::LookUpProof::decode(Bytes::from(changed)) else {
            continue;
        };
        // In a field that nobody knows: the same proof.
        if changed == good {
            continue;
        }
        decoded += 1;
        let said = proof::look_up(&log.log, log.newest(), &address(ALICE), &changed);
        assert!(said.is_err(), "bit {bit}: {said:?}");
    }
    assert!(decoded > 100);
    // What the proof is about cannot be changed at all.
    for (bit, value) in flips(&good.value, 1) {
        let mut changed = good.clone();
        changed.value = value.into();
        let said = proof::look_up(&log.log, log.newest(), &address(ALICE), &changed);
        assert!(said.is_err(), "bit {bit} of the value");
    }
    for change in [
        |one: &mut pb::LookUpProof| one.version = 1,
        |one: &mut pb::LookUpProof| one.version = 3,
        |one: &mut pb::LookUpProof| one.version = 0,
        |one: &mut pb::LookUpProof| one.version = u64::MAX,
        |one: &mut pb::LookUpProof| one.epoch = 11,
        |one: &mut pb::LookUpProof| one.epoch = 13,
        |one: &mut pb::LookUpProof| one.epoch = u64::MAX,
        |one: &mut pb::LookUpProof| one.existence_proof = None,
        |one: &mut pb::LookUpProof| one.marker_proof = None,
        |one: &mut pb::LookUpProof| one.freshness_proof = None,
        |one: &mut pb::LookUpProof| one.existence_vrf_proof = Bytes::new(),
        |one: &mut pb::LookUpProof| one.freshness_vrf_proof = one.marker_vrf_proof.clone(),
        |one: &mut pb::LookUpProof| one.commitment_nonce = vec![0; 65].into(),
    ] {
        let mut changed = good.clone();
        change(&mut changed);
        let said = proof::look_up(&log.log, log.newest(), &address(ALICE), &changed);
        assert!(said.is_err(), "{changed:?}");
    }
}

#[tokio::test]
async fn no_bit_of_a_history_proof_can_be_changed() {
    let log = log().await;
    let good = log.history(ALICE, 0).await;
    let encoded = good.encode_to_vec();
    for (bit, changed) in flips(&encoded, 29) {
        let Ok(changed) = pb::HistoryProof::decode(Bytes::from(changed)) else {
            continue;
        };
        if changed == good {
            continue;
        }
        let said = proof::history(&log.log, log.newest(), &address(ALICE), 0, &changed);
        assert!(said.is_err(), "bit {bit}: {said:?}");
    }
    for n in 0..good.updates.len() {
        for (bit, value) in flips(&good.updates[n].value, 3) {
            let mut changed = good.clone();
            changed.updates[n].value = value.into();
            let said = proof::history(&log.log, log.newest(), &address(ALICE), 0, &changed);
            assert!(said.is_err(), "bit {bit} of value {n}");
        }
        for numbers in [(0, 1), (u64::MAX, 1), (1, u64::MAX), (3, 12)] {
            let mut changed = good.clone();
            (changed.updates[n].version, changed.updates[n].epoch) = numbers;
            let said = proof::history(&log.log, log.newest(), &address(ALICE), 0, &changed);
            assert!(said.is_err(), "{numbers:?} in {n}");
        }
    }
}

#[test]
fn an_entry_is_read_as_it_is_written_and_bounded() {
    let mut locked = entry(7);
    locked.locked = true;
    assert_eq!(Entry::decode(&locked.encode()), Ok(locked));
    for bad in [&b""[..], &[0xff; 8], &[0; 513]] {
        assert_eq!(Entry::decode(bad), Err(ProofError::Malformed));
    }
}
