use proptest::prelude::*;
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng as _};
use waxwing_protocol::{
    pb::{HybridSignature, PairingMessage, SignedStatement, pairing_message::Body},
    roster::{self, Roster},
    signature::{HybridSigningKey, SigningSeed},
    time::Time,
};

use super::{
    agreement::PairingContext,
    code::PairingSecret,
    steps::{self, NewOutcome, OldOutcome, OldStep, PairingEnded},
};
use bytes::Bytes;
use prost::Message as _;
use waxwing_protocol::{
    pb::{DeviceOffer, DeviceProposal},
    roster::Proposal,
};

const PLACE: PairingContext = PairingContext {
    number: 4821,
    log_id: [7; 32],
};

fn rng(seed: u64) -> ChaCha20Rng {
    ChaCha20Rng::seed_from_u64(seed)
}

fn key(seed: u64) -> HybridSigningKey {
    HybridSigningKey::from_seed(&SigningSeed::generate(&mut rng(seed)))
}

fn leaf(seed: u8) -> [u8; 32] {
    ed25519_dalek::SigningKey::from_bytes(&[seed; 32])
        .verifying_key()
        .to_bytes()
}

fn offer() -> DeviceOffer {
    DeviceOffer {
        entry: Some(roster::entry(key(2).public(), leaf(2))),
        name: "Kitchen tablet".into(),
    }
}

fn account() -> (Vec<SignedStatement>, Roster) {
    let first = roster::create_account(&mut rng(9), Time(1), &key(1), leaf(1), key(3).public());
    let roster = Roster::verify(std::slice::from_ref(&first)).unwrap();
    (vec![first], roster)
}

/// What travels, in order, and what each side made of it.
#[derive(Default)]
struct Outcome {
    /// Bodies that the relay saw: from the new device, and from the old.
    seen: Vec<(bool, Bytes)>,
    new_ended: Option<PairingEnded>,
    old_ended: Option<PairingEnded>,
    /// The name that the old device's person was asked about.
    asked: Option<String>,
    admitted: Option<Roster>,
}

/// Runs a pairing through a relay that does what it likes with each body.
fn run(
    new_secret: &PairingSecret,
    old_secret: &PairingSecret,
    places: (PairingContext, PairingContext),
    mut relay: impl FnMut(usize, bool, Bytes) -> Vec<Bytes>,
) -> Outcome {
    let mut outcome = Outcome::default();
    let (mut rng_new, mut rng_old) = (rng(11), rng(12));
    let (statements, roster) = account();
    let (new, first) = steps::hello(&mut rng_new, new_secret, places.0);
    let mut new = Some(new);
    let mut old = Some(OldStep::Awaiting(old_secret.clone(), places.1));
    let mut consenting = None;
    let mut queue = std::collections::VecDeque::from([(true, first)]);
    let mut count = 0;
    while let Some((from_new, body)) = queue.pop_front() {
        outcome.seen.push((from_new, body.clone()));
        let bodies = relay(count, from_new, body);
        count += 1;
        for body in bodies {
            if from_new {
                let Some(step) = old.take() else { continue };
                match step.handle_message(&mut rng_old, &body) {
                    Err(ended) => outcome.old_ended = Some(ended),
                    Ok(OldOutcome::Going(step, next)) => {
                        old = Some(step);
                        queue.extend(next.into_iter().map(|body| (false, body)));
                    }
                    Ok(OldOutcome::Asked(OldStep::Asking(session, entry), name)) => {
                        outcome.asked = Some(name);
                        let statement = Proposal::add_device(
                            Time(2),
                            &roster,
                            key(1).public().device_id(),
                            entry,
                        );
                        let proposal = DeviceProposal {
                            roster: statements.clone(),
                            address: "alice@example.org".into(),
                            statement: statement.bytes().clone(),
                            ..DeviceProposal::default()
                        };
                        let (step, next) = steps::propose(session, proposal, statement).unwrap();
                        old = Some(step);
                        queue.extend(next.into_iter().map(|body| (false, body)));
                    }
                    Ok(OldOutcome::Asked(..)) => panic!("asked in another state"),
                    Ok(OldOutcome::Agreed(statement, consent)) => {
                        let signed = statement.sign(&mut rng_old, &key(1), consent);
                        let mut roster = roster.clone();
                        match roster.extend(&signed) {
                            Ok(()) => outcome.admitted = Some(roster),
                            Err(_) => outcome.old_ended = Some(PairingEnded::OutOfOrder),
                        }
                    }
                }
            } else {
                let Some(step) = new.take() else { continue };
                match step.handle_message(&body, offer) {
                    Err(ended) => outcome.new_ended = Some(ended),
                    Ok(NewOutcome::Going(step)) => new = Some(step),
                    Ok(NewOutcome::Agreed(step, next)) => {
                        new = Some(step);
                        queue.extend(next.into_iter().map(|body| (true, body)));
                    }
                    Ok(NewOutcome::Proposed(mut session, proposal)) => {
                        let roster = Roster::verify(&proposal.roster).unwrap();
                        let (statement, device) =
                            Proposal::check(&roster, proposal.statement).unwrap();
                        assert_eq!(device.id, key(2).public().device_id());
                        let consent = statement.consent(&mut rng_new, &key(2));
                        let next = steps::consent(&mut session, consent).unwrap();
                        queue.extend(next.into_iter().map(|body| (true, body)));
                        consenting = Some(session);
                    }
                }
            }
        }
    }
    drop(consenting);
    outcome
}

fn honest(_: usize, _: bool, body: Bytes) -> Vec<Bytes> {
    vec![body]
}

fn secret(seed: u64) -> PairingSecret {
    PairingSecret::generate(&mut rng(seed))
}

fn sealed_in(outcome: &Outcome) -> usize {
    outcome
        .seen
        .iter()
        .filter(|(_, body)| {
            let message = PairingMessage::decode(body.clone()).unwrap();
            matches!(message.body, Some(Body::Sealed(_)))
        })
        .count()
}

#[test]
fn with_the_same_code_the_new_device_is_admitted() {
    let outcome = run(&secret(1), &secret(1), (PLACE, PLACE), honest);
    assert_eq!((outcome.new_ended, outcome.old_ended), (None, None));
    assert_eq!(outcome.asked.as_deref(), Some("Kitchen tablet"));
    let roster = outcome.admitted.unwrap();
    assert!(roster.device(key(2).public().device_id()).is_some());
    assert_eq!(roster.devices().len(), 2);
}

#[test]
fn with_another_code_both_sides_end_before_anything_is_said() {
    // The new device sees that the reply is wrong; the old one is told by its silence.
    let outcome = run(&secret(1), &secret(2), (PLACE, PLACE), honest);
    assert_eq!(sealed_in(&outcome), 0);
    assert!(matches!(
        outcome.new_ended,
        Some(PairingEnded::NotAgreed(_))
    ));
    assert!(outcome.asked.is_none());
}

#[test]
fn a_code_works_only_on_its_relay_and_at_its_number() {
    for place in [
        PairingContext {
            log_id: [8; 32],
            ..PLACE
        },
        PairingContext {
            number: 4822,
            ..PLACE
        },
    ] {
        let outcome = run(&secret(1), &secret(1), (PLACE, place), honest);
        assert!(matches!(
            outcome.new_ended,
            Some(PairingEnded::NotAgreed(_))
        ));
        assert_eq!(sealed_in(&outcome), 0);
    }
}

/// A relay that plays the old device to the new one, with a code that it guesses.
#[test]
fn a_relay_that_guesses_a_code_has_one_try_and_learns_nothing() {
    let mut attempts = 0;
    let guess = secret(5);
    let outcome = run(
        &secret(1),
        &secret(1),
        (PLACE, PLACE),
        |_, from_new, body| {
            let message = PairingMessage::decode(body.clone()).unwrap().body.unwrap();
            match message {
                // The old device gets nothing: the relay answers in its place, twice.
                Body::Hello(_) if from_new => {
                    attempts += 1;
                    vec![body]
                }
                Body::Reply(_) => {
                    let mut replies = Vec::new();
                    for seed in 0..2 {
                        let mut rng = rng(100 + seed);
                        let hello = PairingMessage::decode(body.clone()).unwrap();
                        drop(hello);
                        let step = OldStep::Awaiting(guess.clone(), PLACE);
                        let (_, hello) = steps::hello(&mut rng, &guess, PLACE);
                        if let Ok(OldOutcome::Going(_, next)) =
                            step.handle_message(&mut rng, &hello)
                        {
                            replies.extend(next);
                        }
                    }
                    replies
                }
                _ => vec![body],
            }
        },
    );
    assert_eq!(attempts, 1);
    assert!(matches!(
        outcome.new_ended,
        Some(PairingEnded::NotAgreed(_))
    ));
    assert_eq!(sealed_in(&outcome), 0);
    assert!(outcome.asked.is_none() && outcome.admitted.is_none());
}

/// A relay that runs a pairing of its own with each side, with a code that it guesses.
#[test]
fn a_relay_in_the_middle_is_found_out_by_both_sides() {
    let guess = secret(5);
    // Towards the new device.
    let (new, hello) = steps::hello(&mut rng(1), &secret(1), PLACE);
    let middle = OldStep::Awaiting(guess.clone(), PLACE);
    let Ok(OldOutcome::Going(_, reply)) = middle.handle_message(&mut rng(2), &hello) else {
        panic!("the relay's own answer");
    };
    let ended = new
        .handle_message(&reply[0], || panic!("nothing is offered"))
        .err();
    assert!(matches!(ended, Some(PairingEnded::NotAgreed(_))));
    // Towards the old device: its reply gives one guess away, and a confirmation under
    // another code is not taken.
    let (middle, hello) = steps::hello(&mut rng(3), &guess, PLACE);
    let old = OldStep::Awaiting(secret(1), PLACE);
    let Ok(OldOutcome::Going(old, reply)) = old.handle_message(&mut rng(4), &hello) else {
        panic!("the old device replies");
    };
    assert!(middle.handle_message(&reply[0], offer).is_err());
    let (_, hello) = steps::hello(&mut rng(5), &guess, PLACE);
    let own = OldStep::Awaiting(guess.clone(), PLACE);
    let Ok(OldOutcome::Going(_, own_reply)) = own.handle_message(&mut rng(6), &hello) else {
        panic!("the relay's own answer");
    };
    let (middle, _) = steps::hello(&mut rng(5), &guess, PLACE);
    let Ok(NewOutcome::Agreed(_, confirm)) = middle.handle_message(&own_reply[0], offer) else {
        panic!("the relay agrees with itself");
    };
    let ended = old.handle_message(&mut rng(7), &confirm[0]).err();
    assert!(matches!(ended, Some(PairingEnded::NotAgreed(_))));
}

#[test]
fn malformed_and_low_order_keys_are_refused() {
    let identity = {
        let mut point = [0; 33];
        point[0] = b'A';
        point[1] = 1;
        point.to_vec()
    };
    // Of order 8, and a point of the group with one of order 8 added (mixed order).
    let torsion = curve25519_dalek::constants::EIGHT_TORSION;
    let small = [b"A".as_slice(), torsion[1].compress().as_bytes()].concat();
    let mixed = curve25519_dalek::constants::ED25519_BASEPOINT_POINT + torsion[1];
    let mixed = [b"A".as_slice(), mixed.compress().as_bytes()].concat();
    // y = p + 1 encodes the identity a second time.
    let mut not_canonical = vec![0xff; 33];
    (not_canonical[0], not_canonical[1], not_canonical[32]) = (b'A', 0xee, 0x7f);
    let cases = [
        Vec::new(),
        vec![b'A'; 12],
        identity,
        small,
        mixed,
        not_canonical,
    ];
    let (_, good) = steps::hello(&mut rng(1), &secret(1), PLACE);
    let Some(Body::Hello(good)) = PairingMessage::decode(good).unwrap().body else {
        panic!("a hello");
    };
    for pake in cases {
        let hello = waxwing_protocol::pb::PairingHello {
            pake: pake.into(),
            ..good.clone()
        };
        assert!(refuses(hello));
    }
    for x25519 in [[0; 32], {
        let mut one = [0; 32];
        one[0] = 1;
        one
    }] {
        let mut kem_key = good.kem_key.to_vec();
        kem_key[1184..].copy_from_slice(&x25519);
        assert!(refuses(waxwing_protocol::pb::PairingHello {
            kem_key: kem_key.into(),
            ..good.clone()
        }));
    }
    let mut not_reduced = good.kem_key.to_vec();
    not_reduced[..3].fill(0xff);
    for kem_key in [Bytes::new(), good.kem_key.slice(1..), not_reduced.into()] {
        assert!(refuses(waxwing_protocol::pb::PairingHello {
            kem_key,
            ..good.clone()
        }));
    }
}

fn refuses(hello: waxwing_protocol::pb::PairingHello) -> bool {
    let body = PairingMessage {
        body: Some(Body::Hello(hello)),
    };
    OldStep::Awaiting(secret(1), PLACE)
        .handle_message(&mut rng(2), &body.encode_to_vec())
        .is_err()
}

#[test]
fn a_reply_with_an_x25519_half_of_small_order_is_refused() {
    let outcome = run(&secret(1), &secret(1), (PLACE, PLACE), |_, _, body| {
        let mut message = PairingMessage::decode(body).unwrap();
        if let Some(Body::Reply(reply)) = &mut message.body {
            let mut ciphertext = reply.kem_ciphertext.to_vec();
            ciphertext[1088..].fill(0);
            reply.kem_ciphertext = ciphertext.into();
        }
        vec![message.encode_to_vec().into()]
    });
    assert!(matches!(
        outcome.new_ended,
        Some(PairingEnded::NotAgreed(_))
    ));
}

#[test]
fn a_long_message_comes_in_parts() {
    let (mut one, mut two) = sessions();
    let proposal = DeviceProposal {
        statement: vec![7; 200_000].into(),
        ..DeviceProposal::default()
    };
    let words = waxwing_protocol::pb::PairingWords {
        body: Some(waxwing_protocol::pb::pairing_words::Body::Proposal(
            proposal,
        )),
    };
    let parts = one.seal(&words).unwrap();
    assert!(parts.len() > 3);
    let (last, first) = parts.split_last().unwrap();
    for part in first {
        assert_eq!(two.open(part), Ok(None));
    }
    assert_eq!(two.open(last), Ok(Some(words)));
}

fn sessions() -> (super::session::Session, super::session::Session) {
    let keys = || ([1; 32].into(), [2; 32].into());
    let (sends, receives) = keys();
    let one = super::session::Session::new(sends, receives);
    let (receives, sends) = keys();
    (one, super::session::Session::new(sends, receives))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn a_relay_that_tampers_admits_nobody_and_sees_nothing(
        at in 0_usize..6,
        what in 0_u8..5,
        place: prop::sample::Index,
        bit in 0_u8..8,
    ) {
        let mut before: Option<Bytes> = None;
        let outcome = run(&secret(1), &secret(1), (PLACE, PLACE), |count, _, body| {
            let kept = before.replace(body.clone());
            if count != at {
                return vec![body];
            }
            match what {
                // A bit flipped; cut short; nothing; twice; the one before in its place.
                0 => {
                    let mut changed = body.to_vec();
                    let place = place.index(changed.len());
                    changed[place] ^= 1 << bit;
                    vec![changed.into()]
                }
                1 => vec![body.slice(..place.index(body.len()))],
                2 => Vec::new(),
                3 => vec![body.clone(), body],
                _ => kept.into_iter().collect(),
            }
        });
        // The last message, repeated, comes too late to matter.
        let repeated_last = what == 3 && outcome.admitted.is_some();
        prop_assert!(repeated_last || outcome.admitted.is_none());
        // Nothing was ever sealed before both had confirmed.
        if at < 2 && what != 3 {
            prop_assert_eq!(sealed_in(&outcome), 0);
        }
    }

    #[test]
    fn a_message_is_padded_and_unpadded(message in proptest::collection::vec(any::<u8>(), 0..2_000)) {
        let padded = super::session::pad(message.clone());
        prop_assert_eq!(super::session::unpad(&padded), Some(message.as_slice()));
        prop_assert_eq!(waxwing_protocol::padding::padded_length(padded.len()), padded.len());
    }

    #[test]
    fn no_body_makes_a_side_panic(body in proptest::collection::vec(any::<u8>(), 0..300)) {
        let (new, _) = steps::hello(&mut rng(1), &secret(1), PLACE);
        prop_assert!(new.handle_message(&body, offer).is_err());
        let old = OldStep::Awaiting(secret(1), PLACE);
        prop_assert!(old.handle_message(&mut rng(1), &body).is_err());
        let (mut one, _) = sessions();
        prop_assert!(one.open(&body).is_err());
    }
}

#[test]
fn consent_under_another_key_is_not_a_consent() {
    let (_, roster) = account();
    let statement = Proposal::add_device(
        Time(2),
        &roster,
        key(1).public().device_id(),
        roster::entry(key(2).public(), leaf(2)),
    );
    let anothers: HybridSignature = statement.consent(&mut rng(1), &key(4));
    let signed = statement.sign(&mut rng(2), &key(1), anothers);
    assert!(roster.clone().extend(&signed).is_err());
}
