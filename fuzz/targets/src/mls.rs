//! What others send by MLS: messages, commits, welcomes, key packages, group information.
//!
//! An input is a letter, a number and the rest. `r` hands the rest over as it is; `p`
//! changes a genuine message (of that number) at the places that the rest names, three
//! bytes each: place, little-endian, and what to xor there. Genuine messages differ from
//! run to run, for MLS is full of randomness; whether they are taken does not.
//!
//! **Always**: every input finds the same group, for its transaction is undone.

use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng as _};
use waxwing_engine::{
    mls::{
        Crypto, Group, Incoming, KeyPackage, KeyPackageUse, Leaf, LeafKey, MlsError, ProcessError,
        Provider, StagedWelcome, make_key_package,
    },
    store::Store,
};
use waxwing_protocol::{
    address::Address,
    conversation::{ConversationSecrets, MemberAddresses},
    ids::{AccountId, DeviceId, GroupId, MailboxId},
    sealing::RejoinSecret,
};

use crate::seeds::Seeds;

const GROUP: GroupId = GroupId([7; 16]);
const OTHER_GROUP: GroupId = GroupId([8; 16]);
const TEXT: &[u8] = b"how are you?";

/// Which of the genuine messages it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Message,
    Commit,
    ExternalCommit,
    Welcome,
    KeyPackage,
    GroupInfo,
}

struct Device {
    store: Store,
    rng: ChaCha20Rng,
    crypto: Crypto,
    leaf: Leaf,
}

impl Device {
    fn new(name: u8) -> Self {
        let mut rng = ChaCha20Rng::from_seed([name; 32]);
        Self {
            leaf: Leaf::new(
                LeafKey::generate(&mut rng),
                AccountId([name; 32]),
                DeviceId([name; 32]),
                MailboxId([name; 16]),
            ),
            store: Store::open_in_memory().expect("a store in memory"),
            crypto: Crypto::new().expect("randomness"),
            rng,
        }
    }

    fn with<R>(
        &mut self,
        work: impl FnOnce(&Provider<'_>, &Leaf) -> Result<R, MlsError>,
    ) -> Result<R, MlsError> {
        let Self {
            store,
            rng,
            crypto,
            leaf,
        } = self;
        store.transaction(|transaction| work(&Provider::new(crypto, rng, transaction), leaf))
    }

    fn key_package(&mut self) -> Vec<u8> {
        self.with(|provider, leaf| make_key_package(provider, leaf, KeyPackageUse::Once))
            .expect("a key package")
            .bytes
    }

    /// Opens a group with the owner of a key package; gives the welcome.
    fn start(&mut self, id: GroupId, key_package: &[u8]) -> Vec<u8> {
        self.with(|provider, leaf| {
            let mut group = Group::create(provider, leaf, id, &secrets())?;
            let key_package = KeyPackage::check(provider, key_package)?;
            let pending = group.add(provider, leaf, &[key_package])?;
            group.merge_pending(provider)?;
            Ok(pending.welcome.unwrap_or_default())
        })
        .expect("a group")
    }

    fn in_group<R>(
        &mut self,
        work: impl FnOnce(&mut Group, &Provider<'_>, &Leaf) -> Result<R, MlsError>,
    ) -> R {
        self.with(|provider, leaf| {
            let mut group = Group::load(provider, GROUP)?.expect("the group");
            work(&mut group, provider, leaf)
        })
        .expect("what is known to work")
    }
}

/// Of a group of alice and bob.
fn secrets() -> ConversationSecrets {
    let people = [(1, "alice@example.org"), (2, "bob@example.org")];
    ConversationSecrets {
        rejoin_secret: RejoinSecret::from_slice(&[9; 32]).expect("32 bytes"),
        addresses: MemberAddresses::new(people.map(|(account, address)| {
            let address = Address::parse(address).expect("an address");
            (AccountId([account; 32]), address)
        })),
        state: None,
    }
}

/// Bob, who is handed everything, and what alice and carol sent him.
struct World {
    bob: Device,
    genuine: Vec<(Kind, Vec<u8>)>,
}

impl World {
    fn new() -> Self {
        let (mut alice, mut bob) = (Device::new(1), Device::new(2));
        let welcome = alice.start(GROUP, &bob.key_package());
        bob.with(|provider, _| StagedWelcome::open(provider, GROUP, &welcome)?.accept(provider))
            .expect("the welcome");
        let other_welcome = alice.start(OTHER_GROUP, &bob.key_package());
        let message = alice.in_group(|group, provider, leaf| group.encrypt(provider, leaf, TEXT));
        let group_info = alice.in_group(|group, provider, leaf| group.group_info(provider, leaf));
        // As alice whose state is lost.
        let mut again = Device::new(1);
        let external = again
            .with(|provider, leaf| Group::rejoin(provider, leaf, GROUP, &group_info))
            .expect("an external commit")
            .1
            .commit;
        let commit = alice.in_group(Group::rekey).commit;
        let key_package = Device::new(3).key_package();
        Self {
            bob,
            genuine: vec![
                (Kind::Message, message),
                (Kind::Commit, commit),
                (Kind::ExternalCommit, external),
                (Kind::Welcome, other_welcome),
                (Kind::KeyPackage, key_package),
                (Kind::GroupInfo, group_info),
            ],
        }
    }

    /// Bob is handed bytes as each thing that they may be; gives what he took them for.
    fn hand_over(&mut self, bytes: &[u8]) -> Vec<Kind> {
        let mut taken = Vec::new();
        let undone = self.bob.with(|provider, leaf| {
            if StagedWelcome::open(provider, OTHER_GROUP, bytes).is_ok() {
                taken.push(Kind::Welcome);
            }
            if KeyPackage::check(provider, bytes).is_ok() {
                taken.push(Kind::KeyPackage);
            }
            let mut group = Group::load(provider, GROUP)?.expect("the group");
            match group.process(provider, bytes) {
                Ok(Incoming::Message { sender, payload }) => {
                    assert_eq!(sender.device, DeviceId([1; 32]));
                    assert_eq!(payload.as_slice(), TEXT, "nobody else wrote anything");
                    taken.push(Kind::Message);
                }
                Ok(Incoming::MessageOfFormer { .. }) => panic!("nobody has left"),
                Ok(Incoming::Commit(commit)) => {
                    let kind = if commit.external {
                        Kind::ExternalCommit
                    } else {
                        Kind::Commit
                    };
                    group.merge(provider, *commit)?;
                    taken.push(kind);
                }
                Err(ProcessError::Store(error)) => return Err(MlsError::Store(error)),
                Err(_) => {}
            }
            if Group::rejoin(provider, leaf, GROUP, bytes).is_ok() {
                taken.push(Kind::GroupInfo);
            }
            Err::<(), _>(MlsError::Refused("undo all of this".to_owned()))
        });
        assert!(
            matches!(undone, Err(MlsError::Refused(_))),
            "no bytes make the store fail"
        );
        taken
    }
}

thread_local! {
    static WORLD: std::cell::RefCell<World> = std::cell::RefCell::new(World::new());
}

/// Bytes that a member, the relay or a stranger made.
pub fn mls(bytes: &[u8]) {
    let [letter, number, rest @ ..] = bytes else {
        return;
    };
    WORLD.with_borrow_mut(|world| {
        if *letter != b'p' {
            world.hand_over(rest);
            return;
        }
        let place = usize::from(*number) % world.genuine.len();
        let Some((kind, genuine)) = world.genuine.get(place).cloned() else {
            return;
        };
        let mut changed = genuine.clone();
        for change in rest.chunks_exact(3).take(64) {
            if let [low, high, xor] = change
                && let Some(at) =
                    usize::from(u16::from_le_bytes([*low, *high])).checked_rem(changed.len())
                && let Some(byte) = changed.get_mut(at)
            {
                *byte ^= xor;
            }
        }
        let taken = world.hand_over(&changed);
        if changed == genuine {
            assert_eq!(taken, [kind], "what is genuine is taken");
        } else {
            assert_eq!(taken, [], "{kind:?} that somebody changed is refused");
        }
    });
}

/// For `mls`.
pub fn seeds() -> Seeds {
    let mut seeds = Seeds::new();
    for (number, (kind, bytes)) in (0..).zip(World::new().genuine) {
        let name = format!("{kind:?}").to_lowercase();
        seeds.push((format!("genuine_{name}"), vec![b'p', number]));
        seeds.push((format!("changed_{name}"), vec![b'p', number, 60, 0, 1]));
        seeds.push((format!("raw_{name}"), [b"r\0".as_slice(), &bytes].concat()));
    }
    seeds
}
