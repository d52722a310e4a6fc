use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng as _};

use super::*;
use crate::signature::SigningSeed;

const NOW: Time = Time(1_800_000_000_000);

struct Person {
    rng: ChaCha20Rng,
    first: HybridSigningKey,
    recovery: HybridSigningKey,
    chain: Vec<pb::SignedStatement>,
}

fn key(rng: &mut ChaCha20Rng) -> HybridSigningKey {
    HybridSigningKey::from_seed(&SigningSeed::generate(rng))
}

fn leaf(seed: u8) -> [u8; 32] {
    ed25519_dalek::SigningKey::from_bytes(&[seed; 32])
        .verifying_key()
        .to_bytes()
}

impl Person {
    fn new(seed: u8) -> Self {
        let mut rng = ChaCha20Rng::from_seed([seed; 32]);
        let (first, recovery) = (key(&mut rng), key(&mut rng));
        let chain = vec![create_account(
            &mut rng,
            NOW,
            &first,
            leaf(1),
            recovery.public(),
        )];
        Self {
            rng,
            first,
            recovery,
            chain,
        }
    }

    fn roster(&self) -> Roster {
        Roster::verify(&self.chain).unwrap()
    }

    fn add(
        &mut self,
        change: Change,
        consent: Option<&HybridSigningKey>,
    ) -> Result<(), RosterError> {
        let mut roster = self.roster();
        let signer = SigningWith::Device(&self.first);
        let next = next_statement(&mut self.rng, NOW, &roster, signer, change, consent);
        roster.extend(&next)?;
        self.chain.push(next);
        Ok(())
    }
}

#[test]
fn a_new_accounts_id_is_the_hash_of_its_first_statement() {
    let alice = Person::new(1);
    let roster = alice.roster();
    assert_eq!(
        roster.account().0,
        <[u8; 32]>::from(Sha256::digest(&alice.chain[0].statement))
    );
    assert_eq!(roster.devices().len(), 1);
    assert_eq!(roster.devices()[0].id, alice.first.public().device_id());
    assert_eq!(roster.devices()[0].leaf_key, leaf(1));
}

#[test]
fn a_device_is_added_with_its_consent_and_revoked_again() {
    let mut alice = Person::new(1);
    let second = key(&mut alice.rng);
    let change = Change::AddDevice(entry(second.public(), leaf(2)));
    assert_eq!(
        alice.add(change.clone(), None),
        Err(RosterError::Unauthorised(1))
    );
    let stranger = key(&mut alice.rng);
    assert_eq!(
        alice.add(change.clone(), Some(&stranger)),
        Err(RosterError::Unauthorised(1))
    );
    assert_eq!(alice.add(change.clone(), Some(&second)), Ok(()));
    assert_eq!(
        alice.add(change, Some(&second)),
        Err(RosterError::Impossible(2))
    );
    assert_eq!(alice.roster().devices().len(), 2);
    let id = second.public().device_id();
    assert_eq!(alice.add(Change::RevokeDevice(id.to_bytes()), None), Ok(()));
    assert!(alice.roster().device(id).is_none());
    assert_eq!(
        alice.add(Change::RevokeDevice(id.to_bytes()), None),
        Err(RosterError::Impossible(3))
    );
}

#[test]
fn a_relay_cannot_add_a_device() {
    let mut alice = Person::new(1);
    let mallory = key(&mut alice.rng);
    let mut roster = alice.roster();
    let change = Change::AddDevice(entry(mallory.public(), leaf(3)));
    for signer in [
        SigningWith::Device(&mallory),
        SigningWith::Recovery(&mallory),
    ] {
        let forged = next_statement(
            &mut alice.rng,
            NOW,
            &roster,
            signer,
            change.clone(),
            Some(&mallory),
        );
        assert_eq!(roster.extend(&forged), Err(RosterError::Unauthorised(1)));
    }
    assert_eq!(roster, alice.roster());
}

#[test]
fn a_revoked_device_signs_nothing_and_recovery_outranks_all() {
    let mut alice = Person::new(1);
    let second = key(&mut alice.rng);
    alice
        .add(
            Change::AddDevice(entry(second.public(), leaf(2))),
            Some(&second),
        )
        .unwrap();
    let mut roster = alice.roster();
    let revoke = Change::RevokeDevice(alice.first.public().device_id().to_bytes());
    let signer = SigningWith::Recovery(&alice.recovery);
    let statement = next_statement(&mut alice.rng, NOW, &roster, signer, revoke, None);
    roster.extend(&statement).unwrap();
    let back = Change::RevokeDevice(second.public().device_id().to_bytes());
    let signer = SigningWith::Device(&alice.first);
    let statement = next_statement(&mut alice.rng, NOW, &roster, signer, back, None);
    assert_eq!(roster.extend(&statement), Err(RosterError::Unauthorised(3)));
}

#[test]
fn a_device_replaces_its_own_leaf_key_only() {
    let mut alice = Person::new(1);
    alice
        .add(Change::SetLeafKey(Bytes::copy_from_slice(&leaf(9))), None)
        .unwrap();
    assert_eq!(alice.roster().devices()[0].leaf_key, leaf(9));
    let change = Change::SetLeafKey(Bytes::from_static(&[1; 31]));
    assert_eq!(alice.add(change, None), Err(RosterError::Malformed(2)));
}

#[test]
fn a_chain_that_is_cut_swapped_or_altered_is_refused() {
    let mut alice = Person::new(1);
    for seed in 2..5 {
        alice
            .add(
                Change::SetLeafKey(Bytes::copy_from_slice(&leaf(seed))),
                None,
            )
            .unwrap();
    }
    assert_eq!(Roster::verify(&[]), Err(RosterError::Empty));
    assert!(Roster::verify(&alice.chain[1..]).is_err());
    let mut swapped = alice.chain.clone();
    swapped.swap(1, 2);
    assert_eq!(Roster::verify(&swapped), Err(RosterError::NotNext(1)));
    let mut hole = alice.chain.clone();
    hole.remove(2);
    assert_eq!(Roster::verify(&hole), Err(RosterError::NotNext(2)));
    for place in 0..alice.chain.len() {
        let mut altered = alice.chain.clone();
        let mut bytes = altered[place].statement.to_vec();
        let last = bytes.len() - 1;
        bytes[last] ^= 1;
        altered[place].statement = bytes.into();
        assert!(Roster::verify(&altered).is_err());
    }
    let bob = Person::new(2);
    let mut spliced = alice.chain.clone();
    spliced[0] = bob.chain[0].clone();
    assert!(Roster::verify(&spliced).is_err());
}

#[test]
fn a_device_is_added_in_two_steps_with_both_signatures() {
    let mut alice = Person::new(1);
    let new = key(&mut alice.rng);
    let roster = alice.roster();
    let entry = entry(new.public(), leaf(2));
    let made = Proposal::add_device(NOW, &roster, alice.first.public().device_id(), entry);
    let (checked, device) = Proposal::check(&roster, made.bytes().clone()).unwrap();
    assert_eq!(device.id, new.public().device_id());
    assert_eq!(device.leaf_key, leaf(2));
    let consent = checked.consent(&mut alice.rng, &new);
    let signed = made.sign(&mut alice.rng, &alice.first, consent);
    let mut roster = alice.roster();
    roster.extend(&signed).unwrap();
    assert!(roster.device(new.public().device_id()).is_some());
}

#[test]
fn a_proposal_that_does_anything_else_is_not_agreed_to() {
    let mut alice = Person::new(1);
    let mut mallory = Person::new(2);
    let new = key(&mut alice.rng);
    let entry = entry(new.public(), leaf(2));
    let roster = alice.roster();
    let signer = alice.first.public().device_id();
    let good = Proposal::add_device(NOW, &roster, signer, entry.clone());
    let decoded = pb::Statement::decode(good.bytes().clone()).unwrap();
    let refused = |statement: Vec<u8>| Proposal::check(&roster, statement.into()).is_err();

    // Another account's roster, and a place that is not the next.
    assert!(Proposal::check(&mallory.roster(), good.bytes().clone()).is_err());
    let late = pb::Statement {
        position: 2,
        ..decoded.clone()
    };
    assert!(refused(late.encode_to_vec()));
    // A signer that the chain does not admit.
    let stranger = mallory.first.public().device_id();
    let by_stranger = Proposal::add_device(NOW, &roster, stranger, entry.clone());
    assert!(refused(by_stranger.bytes().to_vec()));
    // Another change.
    let revokes = pb::Statement {
        change: Some(Change::RevokeDevice(signer.to_bytes())),
        ..decoded.clone()
    };
    assert!(refused(revokes.encode_to_vec()));
    // A version, and a field, that are not known here.
    let newer = pb::Statement {
        version: 2,
        ..decoded
    };
    assert!(refused(newer.encode_to_vec()));
    let mut more = good.bytes().to_vec();
    more.extend_from_slice(&[0xf8, 0x07, 0x01]);
    assert!(refused(more));
    let mut cut = good.bytes().to_vec();
    cut.pop();
    assert!(refused(cut));
    // A device that is there already.
    let again = super::entry(alice.first.public(), leaf(1));
    let again = Proposal::add_device(NOW, &roster, signer, again);
    assert!(refused(again.bytes().to_vec()));
    mallory
        .add(Change::RevokeDevice(stranger.to_bytes()), None)
        .unwrap();
}

/// A device's entry in which this leaf key says that it is that device's.
fn proven(identity: &HybridPublicKey, named: u8, by: u8, claimed_for: DeviceId) -> pb::DeviceEntry {
    use ed25519_dalek::Signer as _;
    let signer = ed25519_dalek::SigningKey::from_bytes(&[by; 32]);
    let claim = leaf_key_claim(claimed_for);
    pb::DeviceEntry {
        leaf_key_proof: signer.sign(&claim).to_bytes().to_vec().into(),
        ..entry(identity, leaf(named))
    }
}

#[test]
fn a_leaf_key_that_is_proven_is_the_devices_own() {
    let mut alice = Person::new(1);
    let second = key(&mut alice.rng);
    let (id, first) = (
        second.public().device_id(),
        alice.first.public().device_id(),
    );
    let admitted = |entry: pb::DeviceEntry| {
        let mut alice = Person::new(1);
        alice.add(Change::AddDevice(entry), Some(&second))?;
        Ok::<_, RosterError>(alice.roster().device(id).unwrap().leaf_key_proven)
    };
    let public = second.public();
    assert_eq!(admitted(entry(public, leaf(2))), Ok(false));
    assert_eq!(admitted(proven(public, 2, 2, id)), Ok(true));
    // By another key, or for another device.
    let refused = Err(RosterError::Unauthorised(1));
    assert_eq!(admitted(proven(public, 2, 3, id)), refused);
    assert_eq!(admitted(proven(public, 2, 2, first)), refused);
    let mut cut = proven(public, 2, 2, id);
    cut.leaf_key_proof.truncate(63);
    assert_eq!(admitted(cut), Err(RosterError::Malformed(1)));
}

#[test]
fn a_roster_remembers_keys_that_it_admitted_once() {
    let mut alice = Person::new(1);
    let second = key(&mut alice.rng);
    let id = second.public().device_id();
    let add = Change::AddDevice(entry(second.public(), leaf(2)));
    alice.add(add, Some(&second)).unwrap();
    assert!(!alice.roster().admitted_once(id, &leaf(2)));
    alice
        .add(Change::RevokeDevice(id.to_bytes()), None)
        .unwrap();
    let roster = alice.roster();
    assert!(roster.admitted_once(id, &leaf(2)));
    assert!(!roster.admitted_once(id, &leaf(3)));
    assert!(!roster.admitted_once(alice.first.public().device_id(), &leaf(2)));
}
