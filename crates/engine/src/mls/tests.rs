use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng as _};
use waxwing_protocol::{
    address::Address,
    conversation::MemberAddresses,
    ids::{AccountId, DeviceId, Epoch, GroupId, MailboxId},
    sealing::RejoinSecret,
};

use prost::Message as _;
use waxwing_protocol::pb;

use super::*;
use crate::store::{Store, StoreError};

/// One device: its store, its leaf and its group as it is held in memory.
struct Device {
    store: Store,
    rng: ChaCha20Rng,
    crypto: Crypto,
    leaf: Leaf,
    group: Option<Group>,
}

const GROUP: GroupId = GroupId([7; 16]);
const SECRET: [u8; 32] = [9; 32];

impl Device {
    fn new(name: u8) -> Self {
        let mut rng = ChaCha20Rng::from_seed([name; 32]);
        let leaf = Leaf::new(
            LeafKey::generate(&mut rng),
            AccountId([name; 32]),
            DeviceId([name; 32]),
            MailboxId([name; 16]),
        );
        Self {
            store: Store::open_in_memory().unwrap(),
            rng,
            crypto: Crypto::new().unwrap(),
            leaf,
            group: None,
        }
    }

    /// One transaction with the group as memory holds it.
    fn with<R, E: From<StoreError>>(
        &mut self,
        work: impl FnOnce(&Provider<'_>, &Leaf, &mut Option<Group>) -> Result<R, E>,
    ) -> Result<R, E> {
        let Self {
            store,
            rng,
            crypto,
            leaf,
            group,
        } = self;
        store.transaction(|transaction| work(&Provider::new(crypto, rng, transaction), leaf, group))
    }

    fn key_package(&mut self, usage: KeyPackageUse) -> KeyPackageMade {
        self.with(|provider, leaf, _| make_key_package(provider, leaf, usage))
            .unwrap()
    }

    /// As after a restart.
    fn reload(&mut self) {
        self.with(|provider, _, group| {
            *group = Group::load(provider, GROUP)?;
            Ok::<_, MlsError>(())
        })
        .unwrap();
    }

    fn send(&mut self, text: &[u8]) -> Vec<u8> {
        self.with(|provider, leaf, group| group.as_mut().unwrap().encrypt(provider, leaf, text))
            .unwrap()
    }

    fn process(&mut self, message: &[u8]) -> Result<Incoming, ProcessError> {
        self.with(|provider, _, group| group.as_mut().unwrap().process(provider, message))
    }

    fn read(&mut self, message: &[u8]) -> Result<Vec<u8>, ProcessError> {
        match self.process(message)? {
            Incoming::Message { payload, .. } => Ok(payload.to_vec()),
            Incoming::MessageOfFormer { .. } => panic!("a former member's"),
            Incoming::Commit(_) => panic!("a commit"),
        }
    }

    fn rekey(&mut self) -> PendingCommit {
        self.with(|provider, leaf, group| group.as_mut().unwrap().rekey(provider, leaf))
            .unwrap()
    }

    fn merge_pending(&mut self) {
        self.with(|provider, _, group| group.as_mut().unwrap().merge_pending(provider))
            .unwrap();
    }

    fn merge(&mut self, message: &[u8]) {
        let Incoming::Commit(commit) = self.process(message).unwrap() else {
            panic!("no commit")
        };
        self.with(|provider, _, group| group.as_mut().unwrap().merge(provider, *commit))
            .unwrap();
    }

    fn keys(&mut self) -> EpochKeys {
        self.with(|provider, _, group| group.as_ref().unwrap().keys(provider))
            .unwrap()
    }

    fn epoch(&self) -> Epoch {
        self.group.as_ref().unwrap().epoch()
    }

    fn join(&mut self, welcome: &[u8]) -> Result<(), MlsError> {
        self.with(|provider, _, group| {
            *group = Some(StagedWelcome::open(provider, GROUP, welcome)?.accept(provider)?);
            Ok(())
        })
    }
}

/// Naming the addresses of these devices.
fn secrets(names: &[u8]) -> ConversationSecrets {
    ConversationSecrets {
        rejoin_secret: RejoinSecret::from_slice(&SECRET).unwrap(),
        addresses: MemberAddresses::new(names.iter().map(|name| {
            let address = Address::parse(&format!("Person{name}@example.org")).unwrap();
            (AccountId([*name; 32]), address)
        })),
        state: None,
    }
}

fn start(alice: &mut Device, key_package: &[u8]) -> PendingCommit {
    start_with(alice, key_package, &secrets(&[1, 2, 3]))
}

fn start_with(
    alice: &mut Device,
    key_package: &[u8],
    secrets: &ConversationSecrets,
) -> PendingCommit {
    let pending = alice
        .with(|provider, leaf, group| {
            let mut new = Group::create(provider, leaf, GROUP, secrets)?;
            let key_package = KeyPackage::check(provider, key_package)?;
            let pending = new.add(provider, leaf, &[key_package])?;
            new.merge_pending(provider)?;
            *group = Some(new);
            Ok::<_, MlsError>(pending)
        })
        .unwrap();
    assert_eq!(pending.next.epoch, Epoch(1));
    pending
}

/// Two devices in one group.
fn pair() -> (Device, Device) {
    let (mut alice, mut bob) = (Device::new(1), Device::new(2));
    let key_package = bob.key_package(KeyPackageUse::Once);
    let pending = start(&mut alice, &key_package.bytes);
    bob.join(&pending.welcome.unwrap()).unwrap();
    (alice, bob)
}

#[test]
fn two_devices_read_each_other_across_restarts_and_rekeys() {
    let (mut alice, mut bob) = pair();
    for round in 0..4_u8 {
        let message = alice.send(&[round]);
        assert_eq!(bob.read(&message).unwrap(), [round]);
        let message = bob.send(&[round, round]);
        alice.reload();
        assert_eq!(alice.read(&message).unwrap(), [round, round]);
        bob.reload();
        let (one, two) = if round % 2 == 0 {
            (&mut alice, &mut bob)
        } else {
            (&mut bob, &mut alice)
        };
        let pending = one.rekey();
        one.merge_pending();
        two.merge(&pending.commit);
        assert_eq!(one.epoch(), pending.next.epoch);
        assert_eq!(two.epoch(), pending.next.epoch);
        assert_eq!(one.keys().send_key, two.keys().send_key);
        assert_eq!(one.keys().send_key, pending.next.keys.send_key);
        assert_eq!(two.keys().fan_out_key, pending.next.keys.fan_out_key);
        assert_ne!(pending.next.keys.fan_out_key, pending.next.keys.send_key);
    }
}

#[test]
fn a_welcome_shows_members_and_sender_before_it_is_accepted() {
    let (mut alice, mut bob) = (Device::new(1), Device::new(2));
    let key_package = bob.key_package(KeyPackageUse::Once);
    let pending = start(&mut alice, &key_package.bytes);
    let welcome = pending.welcome.unwrap();
    let alice_key = alice.leaf.public_key();
    bob.with(|provider, _, _| {
        let staged = StagedWelcome::open(provider, GROUP, &welcome)?;
        assert_eq!(staged.sender.leaf_key, alice_key);
        assert_eq!(staged.sender.account, AccountId([1; 32]));
        assert_eq!(staged.sender.mailbox, MailboxId([1; 16]));
        assert_eq!(staged.members.len(), 2);
        assert_eq!(staged.secrets.rejoin_secret.as_bytes(), &SECRET);
        let address = staged.secrets.addresses.of(staged.sender.account);
        assert_eq!(address.unwrap().display(), "Person1@example.org");
        Ok::<_, MlsError>(())
    })
    .unwrap();
    // Nothing was joined, and the key package is used up.
    bob.reload();
    assert!(bob.group.is_none());
    assert!(matches!(
        bob.join(&welcome),
        Err(MlsError::KeyPackageUnknown)
    ));
}

#[test]
fn a_welcome_without_the_address_of_every_member_is_refused() {
    for named in [vec![], vec![1], vec![2], vec![1, 3], vec![1, 2, 3]] {
        let (mut alice, mut bob) = (Device::new(1), Device::new(2));
        let key_package = bob.key_package(KeyPackageUse::Once);
        let welcome = start_with(&mut alice, &key_package.bytes, &secrets(&named)).welcome;
        let joined = bob.join(&welcome.unwrap());
        if named == [1, 2, 3] {
            joined.unwrap();
        } else {
            assert!(matches!(joined, Err(MlsError::Refused(_))), "{named:?}");
        }
    }
}

#[test]
fn a_welcome_whose_addresses_are_not_well_formed_is_refused() {
    let entry = |account: u8, address: &str| pb::MemberAddress {
        account_id: vec![account; 32].into(),
        address: address.to_owned(),
    };
    let (one, two) = (entry(1, "a@example.org"), entry(2, "b@example.org"));
    let long = "a".repeat(limits::CONVERSATION_SECRETS_BYTES);
    for (good, addresses) in [
        (true, vec![one.clone(), two.clone()]),
        (false, vec![one.clone(), two.clone(), one.clone()]),
        (false, vec![one.clone(), entry(2, "nobody")]),
        (false, vec![one.clone(), two.clone(), entry(3, &long)]),
        (false, vec![one, two, pb::MemberAddress::default()]),
    ] {
        let written = pb::ConversationSecrets {
            rejoin_secret: SECRET.to_vec().into(),
            addresses,
            state: None,
        };
        let bytes = written.encode_to_vec();
        assert_eq!(good, opened_with(Some(bytes)).is_ok());
    }
    assert!(opened_with(Some(vec![0xff; 40])).is_err());
    assert!(opened_with(None).is_err());
}

/// What becomes of a welcome to a group whose creator wrote these bytes.
fn opened_with(secrets: Option<Vec<u8>>) -> Result<(), MlsError> {
    let (mut alice, mut bob) = (Device::new(1), Device::new(2));
    let key_package = bob.key_package(KeyPackageUse::Once).bytes;
    let extensions = secrets.map_or_else(Extensions::empty, |bytes| {
        let extension = Extension::Unknown(CONVERSATION_SECRETS, UnknownExtension(bytes));
        Extensions::from_vec(vec![
            Extension::RequiredCapabilities(RequiredCapabilitiesExtension::new(
                &[ExtensionType::Unknown(CONVERSATION_SECRETS)],
                &[],
                &[CredentialType::Basic],
            )),
            extension,
        ])
        .unwrap()
    });
    let welcome = alice
        .with(|provider, leaf, _| {
            let mut group = Group::create_with(provider, leaf, GROUP, extensions)?;
            let key_package = KeyPackage::check(provider, &key_package)?;
            group.add(provider, leaf, &[key_package])
        })
        .unwrap()
        .welcome
        .unwrap();
    let before = bob.key_package(KeyPackageUse::Once).bytes;
    let joined = bob.join(&welcome);
    // Whatever it was, this device can be written to.
    start(&mut Device::new(1), &before);
    joined
}

#[test]
fn a_refused_transaction_keeps_the_key_package() {
    let (mut alice, mut bob) = (Device::new(1), Device::new(2));
    let key_package = bob.key_package(KeyPackageUse::Once);
    let welcome = start(&mut alice, &key_package.bytes).welcome.unwrap();
    let refused: Result<(), MlsError> = bob.with(|provider, _, _| {
        StagedWelcome::open(provider, GROUP, &welcome)?;
        Err(MlsError::NotMember)
    });
    assert!(refused.is_err());
    bob.join(&welcome).unwrap();
}

#[test]
fn a_last_resort_key_package_serves_twice_and_another_once() {
    let mut bob = Device::new(2);
    for (usage, again) in [
        (KeyPackageUse::LastResort, true),
        (KeyPackageUse::Once, false),
    ] {
        let key_package = bob.key_package(usage);
        for name in [1, 3] {
            let mut other = Device::new(name);
            let welcome = start(&mut other, &key_package.bytes).welcome.unwrap();
            let joined = bob.join(&welcome);
            assert_eq!(joined.is_ok(), again || name == 1);
            bob.with(|provider, _, group| {
                group.take().map_or(Ok(()), |group| group.delete(provider))
            })
            .unwrap();
        }
    }
}

#[test]
fn a_forgotten_key_package_opens_nothing() {
    for all in [false, true] {
        let (mut alice, mut bob) = (Device::new(1), Device::new(2));
        let key_package = bob.key_package(KeyPackageUse::LastResort);
        let welcome = start(&mut alice, &key_package.bytes).welcome.unwrap();
        bob.with(|provider, _, _| {
            if all {
                forget_key_packages(provider)
            } else {
                forget_key_package(provider, &key_package.reference)
            }
        })
        .unwrap();
        assert!(matches!(
            bob.join(&welcome),
            Err(MlsError::KeyPackageUnknown)
        ));
    }
}

#[test]
fn two_thousand_messages_in_reversed_order_are_all_read() {
    let (mut alice, mut bob) = pair();
    let messages: Vec<_> = (0..2000_u32)
        .map(|n| alice.send(&n.to_be_bytes()))
        .collect();
    for (n, message) in messages.iter().enumerate().rev() {
        assert_eq!(
            bob.read(message).unwrap(),
            u32::try_from(n).unwrap().to_be_bytes()
        );
    }
    bob.reload();
    for message in [&messages[0], &messages[1000], &messages[1999]] {
        assert!(matches!(
            bob.read(message),
            Err(ProcessError::AlreadyProcessed)
        ));
    }
}

#[test]
fn a_replay_is_told_from_a_forgery() {
    let (mut alice, mut bob) = pair();
    let message = alice.send(b"once");
    bob.read(&message).unwrap();
    assert!(matches!(
        bob.read(&message),
        Err(ProcessError::AlreadyProcessed)
    ));
    let other = alice.send(b"twice");
    let mut forged = other.clone();
    *forged.last_mut().unwrap() ^= 1;
    assert!(matches!(bob.read(&forged), Err(ProcessError::Unauthentic)));
    assert_eq!(bob.read(&other).unwrap(), b"twice");
}

#[test]
fn an_echo_of_ones_own_is_known_as_such() {
    let (mut alice, _) = pair();
    let message = alice.send(b"hello");
    assert!(matches!(
        alice.process(&message),
        Err(ProcessError::OwnMessage)
    ));
    let pending = alice.rekey();
    assert!(matches!(
        alice.process(&pending.commit),
        Err(ProcessError::OwnMessage)
    ));
    alice.merge_pending();
    assert!(matches!(
        alice.process(&pending.commit),
        Err(ProcessError::AlreadyProcessed)
    ));
}

#[test]
fn messages_of_recent_epochs_are_read_and_older_ones_refused() {
    let (mut alice, mut bob) = pair();
    let mut late = vec![alice.send(&[0])];
    for round in 1..=limits::PAST_EPOCHS + 1 {
        let pending = alice.rekey();
        alice.merge_pending();
        bob.merge(&pending.commit);
        late.push(alice.send(&[u8::try_from(round).unwrap()]));
    }
    bob.reload();
    for (round, message) in late.iter().enumerate().rev() {
        let read = bob.read(message);
        if round == 0 {
            assert!(matches!(read, Err(ProcessError::TooOld)), "{read:?}");
        } else {
            assert_eq!(read.unwrap(), [u8::try_from(round).unwrap()]);
        }
    }
}

#[test]
fn what_a_former_member_said_is_not_taken_for_their_successors() {
    let (mut alice, mut bob) = pair();
    let mut carol = Device::new(3);
    let late = bob.send(b"late");
    let gone = bob.leaf.public_key();
    let package = carol.key_package(KeyPackageUse::Once);
    alice
        .with(|provider, leaf, group| {
            let package = KeyPackage::check(provider, &package.bytes)?;
            let group = group.as_mut().unwrap();
            group.change(provider, leaf, &[package], &[gone], None)?;
            // Carol has Bob's place in the tree.
            group.merge_pending(provider)
        })
        .unwrap();
    let Incoming::MessageOfFormer {
        account,
        device,
        payload,
    } = alice.process(&late).unwrap()
    else {
        panic!("somebody else's")
    };
    assert!(account == AccountId([2; 32]) && device == DeviceId([2; 32]));
    assert_eq!(payload.as_slice(), b"late");
}

#[test]
fn past_epochs_can_be_forgotten_at_once() {
    let (mut alice, mut bob) = pair();
    let late = alice.send(b"late");
    let pending = alice.rekey();
    alice.merge_pending();
    bob.merge(&pending.commit);
    bob.with(|provider, _, group| group.as_mut().unwrap().forget_past_epochs(provider))
        .unwrap();
    bob.reload();
    assert!(matches!(bob.read(&late), Err(ProcessError::TooOld)));
    let message = alice.send(b"now");
    assert_eq!(bob.read(&message).unwrap(), b"now");
}

#[test]
fn a_message_of_a_later_epoch_waits_for_its_commit() {
    let (mut alice, mut bob) = pair();
    let pending = alice.rekey();
    alice.merge_pending();
    let message = alice.send(b"early");
    assert!(matches!(bob.read(&message), Err(ProcessError::FutureEpoch)));
    bob.merge(&pending.commit);
    assert_eq!(bob.read(&message).unwrap(), b"early");
}

#[test]
fn the_loser_of_two_commits_takes_the_winner_and_commits_again() {
    let (mut alice, mut bob) = pair();
    let of_alice = alice.rekey();
    let of_bob = bob.rekey();
    assert!(matches!(
        bob.with(|provider, leaf, group| group.as_mut().unwrap().rekey(provider, leaf)),
        Err(MlsError::CommitPending)
    ));
    // Both can still be read and written while they wait.
    let message = bob.send(b"meanwhile");
    assert_eq!(alice.read(&message).unwrap(), b"meanwhile");
    alice.merge_pending();
    bob.merge(&of_alice.commit);
    assert!(!bob.group.as_ref().unwrap().has_pending_commit());
    assert!(matches!(
        alice.process(&of_bob.commit),
        Err(ProcessError::AlreadyProcessed)
    ));
    let again = bob.rekey();
    bob.merge_pending();
    alice.merge(&again.commit);
    assert_eq!(alice.keys().send_key, bob.keys().send_key);
}

#[test]
fn a_cleared_commit_never_was() {
    let (mut alice, mut bob) = pair();
    alice.rekey();
    alice
        .with(|provider, _, group| group.as_mut().unwrap().clear_pending(provider))
        .unwrap();
    alice.reload();
    assert_eq!(alice.epoch(), Epoch(1));
    let message = alice.send(b"still here");
    assert_eq!(bob.read(&message).unwrap(), b"still here");
}

#[test]
fn a_pending_commit_outlives_a_restart() {
    let (mut alice, mut bob) = pair();
    let pending = alice.rekey();
    alice.reload();
    assert!(alice.group.as_ref().unwrap().has_pending_commit());
    alice.merge_pending();
    bob.merge(&pending.commit);
    assert_eq!(alice.keys().send_key, bob.keys().send_key);
}

#[test]
fn a_device_that_lost_the_group_takes_its_own_place_again() {
    let (mut alice, mut bob) = pair();
    let info = alice
        .with(|provider, leaf, group| group.as_ref().unwrap().group_info(provider, leaf))
        .unwrap();
    // Bob's store is new; his keys are not.
    let lost = alice.send(b"lost");
    bob.store = Store::open_in_memory().unwrap();
    let pending = bob
        .with(|provider, leaf, group| {
            let (rejoined, pending) = Group::rejoin(provider, leaf, GROUP, &info)?;
            let known = rejoined.secrets()?;
            assert_eq!(known.rejoin_secret.as_bytes(), &SECRET);
            assert!(known.addresses.of(AccountId([1; 32])).is_some());
            *group = Some(rejoined);
            Ok::<_, MlsError>(pending)
        })
        .unwrap();
    assert_eq!(pending.next.members.len(), 2);
    assert_eq!(pending.next.epoch, Epoch(2));
    let Incoming::Commit(commit) = alice.process(&pending.commit).unwrap() else {
        panic!()
    };
    assert!(commit.external);
    assert_eq!(commit.committer.leaf_key, bob.leaf.public_key());
    assert_eq!(commit.removed.len(), 1);
    assert_eq!(commit.leaves, std::slice::from_ref(&commit.committer));
    alice
        .with(|provider, _, group| group.as_mut().unwrap().merge(provider, *commit))
        .unwrap();
    assert_eq!(alice.keys().send_key, pending.next.keys.send_key);
    let message = alice.send(b"welcome back");
    bob.reload();
    assert_eq!(bob.read(&message).unwrap(), b"welcome back");
    assert!(bob.read(&lost).is_err());
    let message = bob.send(b"thanks");
    assert_eq!(alice.read(&message).unwrap(), b"thanks");
    // What the relay keeps for the next one lets the next one in.
    let again = alice
        .with(|provider, leaf, _| {
            Group::rejoin(provider, leaf, GROUP, &pending.next.group_info)
                .map(|(_, pending)| pending)
        })
        .unwrap();
    bob.merge(&again.commit);
}

#[test]
fn a_commit_from_old_group_information_is_refused() {
    let (mut alice, mut bob) = pair();
    let info = alice
        .with(|provider, leaf, group| group.as_ref().unwrap().group_info(provider, leaf))
        .unwrap();
    let pending = alice.rekey();
    alice.merge_pending();
    bob.store = Store::open_in_memory().unwrap();
    let stale = bob
        .with(|provider, leaf, _| {
            Group::rejoin(provider, leaf, GROUP, &info).map(|(_, pending)| pending)
        })
        .unwrap();
    assert!(matches!(
        alice.process(&stale.commit),
        Err(ProcessError::AlreadyProcessed)
    ));
    // With what came with the commit it works, though no message told of it.
    bob.with(|provider, leaf, group| {
        let (rejoined, again) = Group::rejoin(provider, leaf, GROUP, &pending.next.group_info)?;
        *group = Some(rejoined);
        Ok::<_, MlsError>(again)
    })
    .map(|again| alice.merge(&again.commit))
    .unwrap();
    assert_eq!(alice.keys().send_key, bob.keys().send_key);
}

#[test]
fn a_stranger_with_the_group_information_shows_as_a_new_leaf() {
    let (mut alice, _) = pair();
    let info = alice
        .with(|provider, leaf, group| group.as_ref().unwrap().group_info(provider, leaf))
        .unwrap();
    let mut mallory = Device::new(66);
    let pending = mallory
        .with(|provider, leaf, _| {
            Group::rejoin(provider, leaf, GROUP, &info).map(|(_, pending)| pending)
        })
        .unwrap();
    let Incoming::Commit(commit) = alice.process(&pending.commit).unwrap() else {
        panic!()
    };
    assert!(commit.removed.is_empty());
    assert_eq!(commit.leaves.len(), 1);
    assert_eq!(commit.leaves[0].account, AccountId([66; 32]));
    // Not merged: nothing has changed.
    assert_eq!(alice.epoch(), Epoch(1));
}

#[test]
fn what_is_no_message_is_malformed() {
    let (mut alice, mut bob) = pair();
    let message = alice.send(b"hello");
    for length in 0..message.len().min(60) {
        assert!(matches!(
            bob.process(&message[..length]),
            Err(ProcessError::Malformed)
        ));
    }
    let mut longer = message.clone();
    longer.push(0);
    assert!(matches!(bob.process(&longer), Err(ProcessError::Malformed)));
    assert!(matches!(
        bob.process(&vec![0; usize::try_from(limits::PARCEL_BYTES).unwrap() + 1]),
        Err(ProcessError::Malformed)
    ));
    let key_package = bob.key_package(KeyPackageUse::Once);
    assert!(matches!(
        bob.process(&key_package.bytes),
        Err(ProcessError::Malformed)
    ));
    assert_eq!(bob.read(&message).unwrap(), b"hello");
}

#[test]
fn a_key_package_is_checked_before_it_is_added() {
    let (mut alice, mut bob) = (Device::new(1), Device::new(2));
    let key_package = bob.key_package(KeyPackageUse::Once).bytes;
    alice
        .with(|provider, _, _| {
            let checked = KeyPackage::check(provider, &key_package)?;
            assert_eq!(checked.member().account, AccountId([2; 32]));
            assert_eq!(checked.member().leaf_key, bob.leaf.public_key());
            let mut forged = key_package.clone();
            *forged.last_mut().unwrap() ^= 1;
            assert!(matches!(
                KeyPackage::check(provider, &forged),
                Err(MlsError::Refused(_))
            ));
            assert!(matches!(
                KeyPackage::check(provider, &forged[..100]),
                Err(MlsError::Malformed(_))
            ));
            assert!(matches!(
                KeyPackage::check(provider, &vec![0; limits::KEY_PACKAGE_BYTES + 1]),
                Err(MlsError::Malformed(_))
            ));
            Ok::<_, MlsError>(())
        })
        .unwrap();
}

#[test]
fn an_undone_transaction_leaves_the_group_as_it_was() {
    let (mut alice, mut bob) = pair();
    let message = alice.send(b"hello");
    let refused: Result<(), ProcessError> = bob.with(|provider, _, group| {
        group.as_mut().unwrap().process(provider, &message)?;
        Err(ProcessError::NotMember)
    });
    assert!(refused.is_err());
    bob.reload();
    assert_eq!(bob.read(&message).unwrap(), b"hello");
}

#[test]
fn a_deleted_group_leaves_nothing_behind() {
    let (_, mut bob) = pair();
    bob.with(|provider, _, group| group.take().unwrap().delete(provider))
        .unwrap();
    let rows: i64 = bob
        .store
        .transaction(|transaction| {
            Ok::<_, StoreError>(
                transaction.query_row("SELECT count(*) FROM mls", [], |row| row.get(0))?,
            )
        })
        .unwrap();
    assert_eq!(rows, 0);
}

#[test]
fn a_message_writes_little_of_the_groups_state() {
    let (mut alice, mut bob) = pair();
    for _ in 0..limits::PAST_EPOCHS {
        let message = alice.send(b"hello");
        bob.read(&message).unwrap();
        let pending = alice.rekey();
        alice.merge_pending();
        bob.merge(&pending.commit);
    }
    let message = alice.send(b"hello");
    bob.read(&message).unwrap();
    let changes = |device: &mut Device| -> i64 {
        device
            .store
            .transaction(|transaction| {
                Ok::<_, StoreError>(
                    transaction.query_row("SELECT total_changes()", [], |row| row.get(0))?,
                )
            })
            .unwrap()
    };
    let before = changes(&mut bob);
    let message = alice.send(b"hello");
    bob.read(&message).unwrap();
    let changed = changes(&mut bob) - before;
    assert!(
        (1..=3).contains(&changed),
        "{changed} chunks of the state were written"
    );
}

#[test]
fn secrets_are_not_shown() {
    let (mut alice, _) = pair();
    let keys = alice.keys();
    assert_eq!(format!("{keys:?}"), "EpochKeys(..)");
    assert_eq!(format!("{:?}", LeafKey::from_seed(&[1; 32])), "LeafKey(..)");
    assert_eq!(format!("{:?}", alice.leaf), "Leaf(..)");
    assert_eq!(format!("{:?}", alice.group.unwrap()), "Group(epoch 1)");
}
