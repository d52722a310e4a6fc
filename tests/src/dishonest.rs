//! A client that speaks the real protocol and MLS, and does what its test says.
//!
//! It has the store of somebody's device ([`Dishonest::takes_over`]), or a copy of it that a
//! thief made ([`Dishonest::thief`]), with all keys in it, and links of its own. So it can
//! make any commit, proposal, welcome, envelope and group context, at any time; what it
//! cannot do is what nobody can: sign with keys that it does not have.
//!
//! **Elsewhere**: the relay that lies is [`crate::HostileRelay`]; the attacks are in
//! `tests/tests/attacks/`; the attacker who plays by chance is `tests/tests/attacker_simulation.rs`.
//!
//! **Always**: it is built of the engine's own MLS code and openmls, in this crate, which no
//! program depends on. It believes whatever it reads and checks nothing.

use std::{collections::HashMap, panic::AssertUnwindSafe};

use bytes::Bytes;
use openmls::{
    extensions::{Extension, Extensions, RequiredCapabilitiesExtension, UnknownExtension},
    group::{GroupId as MlsGroupId, MlsGroup, MlsGroupCreateConfig, MlsGroupJoinConfig},
    prelude::{
        BasicCredential, Capabilities, CredentialType, CredentialWithKey, ExtensionType,
        GroupContext, KeyPackage, KeyPackageIn, LeafNodeIndex, LeafNodeParameters, Lifetime,
        MlsMessageBodyIn, MlsMessageIn, OpenMlsProvider as _, ProcessedMessageContent, Proposal,
        ProtocolMessage, ProtocolVersion, tls_codec::DeserializeBytes as _,
    },
};
use openmls_traits::signatures::Signer as _;
use prost::Message as _;
use rand_chacha::ChaCha20Rng;
use rand_core::{Rng as _, SeedableRng as _};
use waxwing_engine::{
    account,
    api::ConversationId,
    content::Content,
    mls::{CONVERSATION_SECRETS, Crypto, LeafKey, Provider, SUITE},
    store::{Store, Transaction},
};
use waxwing_protocol::{
    ids::{AccountId, DeviceId, Epoch, GroupId, MailboxId, PostId},
    padding, pb,
    pb::{
        ErrorCode, PostKind, client_frame::Body as Ask, envelope::Body as Say,
        relay_frame::Body as Answer,
    },
    posting::{PostingAct, PostingKey},
    resent::{self, OpeningKey},
    sealing::{RejoinSecret, Sealed, SealingKey},
    time::Span,
};

use crate::{LinkId, PersonId, RelayPort, World};

/// A client that does what its test says. See the module.
pub struct Dishonest {
    store: Option<Store>,
    crypto: Crypto,
    rng: ChaCha20Rng,
    /// Whose device it is.
    pub account: AccountId,
    /// Which device.
    pub device: DeviceId,
    /// Where its posts go.
    pub mailbox: MailboxId,
    leaf_seed: [u8; 32],
    posting: LinkId,
    logged_in: Option<LinkId>,
    /// What it could read of what came to its mailbox, padding and all.
    read: Vec<Vec<u8>>,
    /// Rejoin secrets of epochs that its honest program has not seen.
    derived: HashMap<GroupId, [u8; 32]>,
}

/// A commit, as its maker wants it. What is not said is as an honest client would do it.
#[derive(Default)]
pub struct Commit {
    /// Devices whose leaves go.
    pub remove: Vec<DeviceId>,
    /// Key packages (MLSMessage) whose leaves come.
    pub add: Vec<Bytes>,
    /// What all members know from then on, in whatever state it is.
    pub secrets: Option<pb::ConversationSecrets>,
    /// The group context's extensions in their place.
    pub extensions: Option<Extensions<GroupContext>>,
    /// Other proposals.
    pub proposals: Vec<Proposal>,
    /// The mailboxes that the relay is told of.
    pub fan_out: Option<Vec<MailboxId>>,
    /// The group information that the relay is given, instead of the true one.
    pub info: Option<Vec<u8>>,
    /// The welcome that the relay is given; empty for none.
    pub welcome: Option<Bytes>,
    /// The commit's own bytes, instead of the true ones.
    pub body: Option<Vec<u8>>,
    /// Whether the relay keeps the rejoin key that it has, whatever the secrets say.
    pub keeps_rejoin_key: bool,
}

/// Taking oneself into a group from outside.
pub struct External {
    /// The secret that the relay and the members are shown.
    pub secret: RejoinSecret,
    /// Who the new leaf claims to be.
    pub claims: pb::LeafCredential,
}

/// A new group.
pub struct Founding {
    /// Its id, on the relay and in MLS.
    pub id: GroupId,
    /// What its members are told of it.
    pub secrets: pb::ConversationSecrets,
    /// Who is taken in.
    pub members: Vec<pb::ClaimedKeyPackage>,
}

/// A commit that was made and not posted yet.
struct Made {
    epoch: Epoch,
    commit: Vec<u8>,
    welcome: Bytes,
    info: Vec<u8>,
    next: Epoch,
    keys: Keys,
    mailboxes: Vec<MailboxId>,
}

#[derive(Clone)]
struct Keys {
    send: [u8; 32],
    fan_out: [u8; 32],
    rejoin: [u8; 32],
}

impl Keys {
    fn of(group: GroupId, export: impl Fn(&str, &[u8]) -> Vec<u8>) -> Self {
        let key = |label| export(label, group.as_bytes()).try_into().unwrap();
        Self {
            send: key("waxwing send key"),
            fan_out: key("waxwing fan-out key"),
            rejoin: key("waxwing rejoin secret"),
        }
    }
}

// Becoming one.
impl Dishonest {
    /// Somebody's program ends, and this one has its store.
    pub fn takes_over<R: RelayPort>(world: &mut World<R>, person: PersonId) -> Self {
        world.crash(person);
        let store = world.take_store(person);
        Self::with_store(world, store)
    }

    /// A thief has a copy of somebody's store, who knows nothing of it. The store must be a
    /// file ([`World::add_registered_on_disk`]).
    pub fn thief<R: RelayPort>(world: &mut World<R>, of: PersonId) -> Self {
        let store = world.stolen_store(of);
        Self::with_store(world, store)
    }

    fn with_store<R: RelayPort>(world: &mut World<R>, mut store: Store) -> Self {
        let own = store
            .transaction(account::load)
            .unwrap()
            .expect("registered");
        let leaf_seed = row(&mut store, "SELECT leaf_seed FROM account");
        Self {
            store: Some(store),
            crypto: Crypto::new().unwrap(),
            rng: ChaCha20Rng::seed_from_u64(world.rng.next_u64()),
            account: own.id(),
            device: own.device(),
            mailbox: own.mailbox(),
            leaf_seed,
            posting: world.dial(),
            logged_in: None,
            read: Vec::new(),
            derived: HashMap::new(),
        }
    }

    /// The honest program goes on with the store for a while, so that it hears what the
    /// others do.
    pub fn is_honest_for<R: RelayPort>(
        &mut self,
        world: &mut World<R>,
        person: PersonId,
        span: Span,
    ) {
        self.log_out(world);
        self.derived.clear();
        let store = self.store.take().unwrap();
        world.give_store(person, store);
        world.start(person);
        world.run_for(span);
        world.crash(person);
        self.store = Some(world.take_store(person));
    }

    /// The honest program goes on with the store for good.
    pub fn is_honest_again<R: RelayPort>(mut self, world: &mut World<R>, person: PersonId) {
        self.log_out(world);
        world.hang_up(self.posting);
        let store = self.store.take().unwrap();
        world.give_store(person, store);
        world.start(person);
    }
}

// What it knows.
impl Dishonest {
    /// The MLS group that a conversation's messages go to.
    pub fn group_of(&mut self, conversation: ConversationId) -> GroupId {
        let id: [u8; 16] = self.column(
            "SELECT group_id FROM conversation_group WHERE conversation = ?1 AND state = 2
             ORDER BY generation DESC, group_id LIMIT 1",
            *conversation.as_bytes(),
        );
        GroupId(id)
    }

    /// The MLS group of the conversation with an account.
    pub fn group_with(&mut self, account: AccountId) -> GroupId {
        let id: [u8; 16] = self.column(
            "SELECT group_id FROM conversation_group WHERE account_id = ?1 AND state = 2
             ORDER BY group_id LIMIT 1",
            account.0,
        );
        GroupId(id)
    }

    /// Every group whose MLS state it has.
    pub fn groups(&mut self) -> Vec<GroupId> {
        let store = self.store.as_mut().unwrap();
        store
            .transaction(|tx| {
                let mut statement = tx
                    .prepare(
                        "SELECT group_id FROM conversation_group WHERE state = 2 ORDER BY group_id",
                    )
                    .unwrap();
                let rows = statement
                    .query_map([], |row| row.get(0).map(GroupId))
                    .unwrap();
                Ok::<_, waxwing_engine::store::StoreError>(rows.map(Result::unwrap).collect())
            })
            .unwrap()
    }

    /// The secret by which a group is rejoined, as its context has it now.
    ///
    /// # Panics
    /// If it has spoilt it.
    pub fn rejoin_secret(&mut self, group: GroupId) -> RejoinSecret {
        self.unspoilt_secret(group).expect("a rejoin secret")
    }

    /// The same, where it has not spoilt it.
    pub fn unspoilt_secret(&mut self, group: GroupId) -> Option<RejoinSecret> {
        if let Some(secret) = self.derived.get(&group) {
            return Some(RejoinSecret::from_bytes(*secret));
        }
        let query = "SELECT rejoin_secret FROM conversation_group WHERE group_id = ?1";
        let kept = self.in_store(|tx| tx.query_row(query, [group.0], |row| row.get(0)).ok());
        kept.map(RejoinSecret::from_bytes)
    }

    /// What all members of a group know of it.
    pub fn secrets(&mut self, group: GroupId) -> pb::ConversationSecrets {
        self.with_group(group, |group, _, _| {
            let UnknownExtension(bytes) = group.extensions().unknown(CONVERSATION_SECRETS).unwrap();
            pb::ConversationSecrets::decode(bytes.as_slice()).unwrap()
        })
    }

    /// The epoch of its state of a group.
    pub fn epoch(&mut self, group: GroupId) -> Epoch {
        self.with_group(group, |group, _, _| Epoch(group.epoch().as_u64()))
    }

    /// Who is in a group: what their leaves claim.
    pub fn members(&mut self, group: GroupId) -> Vec<pb::LeafCredential> {
        self.with_group(group, |group, _, _| {
            members(group).map(|(_, leaf)| leaf).collect()
        })
    }

    /// What its own leaf says.
    pub fn credential(&self) -> pb::LeafCredential {
        pb::LeafCredential {
            account_id: self.account.to_bytes(),
            device_id: self.device.to_bytes(),
            mailbox_id: self.mailbox.to_bytes(),
        }
    }

    /// A request for everything that a device said in a group: the one that the request is
    /// sent in, or another that is named.
    pub fn asks_for_everything(&self, device: DeviceId, named: Option<GroupId>) -> pb::Envelope {
        let request = pb::ResendRequest {
            device_id: device.to_bytes(),
            missing: vec![pb::CounterRange {
                from: 1,
                to: u64::MAX,
            }],
            key: self.opening_key().public(),
            group_id: named.map(GroupId::to_bytes).unwrap_or_default(),
        };
        pb::Envelope {
            body: Some(Say::ResendRequest(request)),
            ..pb::Envelope::default()
        }
    }

    /// A text, as people write it.
    pub fn text(&mut self, text: &str) -> pb::Envelope {
        let content = Content::text(self.random(), text, None).encode();
        pb::Envelope {
            body: Some(Say::Mimi(content.into())),
            ..pb::Envelope::default()
        }
    }
}

// What it does in groups.
impl Dishonest {
    /// Makes a commit and posts it. Where the relay takes it, its epoch begins here too.
    ///
    /// # Errors
    /// What the relay answers when it does not take it; [`ErrorCode::Unspecified`] where MLS
    /// has no such commit.
    pub fn commit<R: RelayPort>(
        &mut self,
        world: &mut World<R>,
        id: GroupId,
        commit: Commit,
    ) -> Result<(), ErrorCode> {
        let renews = !commit.add.is_empty() || !commit.remove.is_empty();
        let before = self
            .unspoilt_secret(id)
            .unwrap_or_else(|| RejoinSecret::from_bytes([0; 32]));
        let keeps = commit.keeps_rejoin_key;
        let Commit {
            fan_out,
            info,
            welcome,
            body,
            ..
        } = &commit;
        let (fan_out, info, welcome, body) =
            (fan_out.clone(), info.clone(), welcome.clone(), body.clone());
        // Some of what nobody should commit to, openmls asserts.
        let made = std::panic::catch_unwind(AssertUnwindSafe(|| self.make(id, commit)));
        let made = made.unwrap_or(Err(ErrorCode::Unspecified))?;
        let secret = if renews {
            RejoinSecret::from_bytes(made.keys.rejoin)
        } else {
            before
        };
        let mut keys = self.epoch_keys(
            id,
            made.next,
            &made.keys,
            &fan_out.unwrap_or_else(|| made.mailboxes.clone()),
            &info.unwrap_or_else(|| made.info.clone()),
            secret.as_bytes(),
        );
        if renews && !keeps {
            keys.rejoin_key = copied(secret.signing_key().public().as_bytes());
        }
        let post = pb::Post {
            group_id: id.to_bytes(),
            epoch: made.epoch.0,
            kind: PostKind::Commit.into(),
            post_id: PostId(self.random()).to_bytes(),
            body: body.unwrap_or_else(|| made.commit.clone()).into(),
            next: Some(keys),
            next_fan_out_key: copied(&made.keys.fan_out),
            welcome: welcome.unwrap_or_else(|| made.welcome.clone()),
            first_attempt: false,
        };
        let taken = self.post(world, id, post);
        if taken.is_ok() {
            self.derived.insert(id, *secret.as_bytes());
        }
        self.with_group(id, |group, provider, _| match taken {
            Ok(()) => group.merge_pending_commit(provider).unwrap(),
            Err(_) => group.clear_pending_commit(provider.storage()).unwrap(),
        });
        taken
    }

    fn make(&mut self, id: GroupId, commit: Commit) -> Result<Made, ErrorCode> {
        self.with_group(id, |group, provider, leaf| {
            let removals: Vec<LeafNodeIndex> = members(group)
                .filter(|(_, leaf)| {
                    let is_it = |device: &DeviceId| leaf.device_id == device.to_bytes();
                    commit.remove.iter().any(is_it)
                })
                .map(|(index, _)| index)
                .collect();
            let adds: Vec<KeyPackage> = commit
                .add
                .iter()
                .map(|bytes| key_package(provider, bytes))
                .collect();
            let mut mailboxes: Vec<MailboxId> = members(group)
                .filter(|(index, _)| !removals.contains(index))
                .map(|(_, leaf)| leaf)
                .chain(adds.iter().map(|package| {
                    credential(package.leaf_node().credential().serialized_content())
                }))
                .map(|leaf| MailboxId::try_from(&leaf.mailbox_id).unwrap())
                .collect();
            mailboxes.sort_unstable();
            mailboxes.dedup();
            let extensions = commit
                .extensions
                .or_else(|| commit.secrets.as_ref().map(context));
            let epoch = Epoch(group.epoch().as_u64());
            let mut builder = group
                .commit_builder()
                .force_self_update(true)
                .consume_proposal_store(false)
                .propose_removals(removals)
                .propose_adds(adds)
                .add_proposals(commit.proposals);
            if let Some(extensions) = extensions {
                builder = builder
                    .propose_group_context_extensions(extensions)
                    .map_err(|_| ErrorCode::Unspecified)?;
            }
            let bundle = builder
                .load_psks(provider.storage())
                .unwrap()
                .create_group_info(true)
                .use_ratchet_tree_extension(true)
                .build(provider.rand(), provider.crypto(), leaf, |_| true)
                .map_err(|_| ErrorCode::Unspecified)?
                .stage_commit(provider)
                .unwrap();
            let (commit, welcome, info) = bundle.into_messages();
            let staged = group.pending_commit().unwrap();
            let keys = Keys::of(id, |label, context| {
                staged
                    .export_secret(provider.crypto(), label, context, 32)
                    .unwrap()
            });
            Ok(Made {
                epoch,
                commit: commit.to_bytes().unwrap(),
                welcome: welcome
                    .map(|welcome| welcome.to_bytes().unwrap())
                    .unwrap_or_default()
                    .into(),
                info: info.unwrap().to_bytes().unwrap(),
                next: Epoch(staged.epoch().as_u64()),
                keys,
                mailboxes,
            })
        })
    }

    /// Says something to a group, whatever it is; in the epoch that its state is in.
    ///
    /// # Errors
    /// What the relay answers when it does not take it.
    pub fn say<R: RelayPort>(
        &mut self,
        world: &mut World<R>,
        id: GroupId,
        mut envelope: pb::Envelope,
    ) -> Result<(), ErrorCode> {
        if envelope.sent_at_ms == 0 {
            envelope.sent_at_ms = world.now.0;
        }
        if envelope.counter == 0 {
            envelope.counter = self.take_counter(id);
        }
        if let Some(Say::Mimi(content)) = &envelope.body
            && envelope.signature.is_empty()
        {
            let mut signed = b"waxwing message v1\0".to_vec();
            signed.extend_from_slice(id.as_bytes());
            signed.extend_from_slice(&envelope.sent_at_ms.to_be_bytes());
            signed.extend_from_slice(content);
            envelope.signature = self.leaf_key().sign(&signed).unwrap().into();
        }
        let padded = padding::encode_padded(envelope);
        let (epoch, body) = self
            .with_group(id, |group, provider, leaf| {
                let epoch = Epoch(group.epoch().as_u64());
                let message = group.create_message(provider, leaf, &padded).ok()?;
                Some((epoch, message.to_bytes().unwrap()))
            })
            .ok_or(ErrorCode::Unspecified)?;
        let post = pb::Post {
            group_id: id.to_bytes(),
            epoch: epoch.0,
            kind: PostKind::Message.into(),
            post_id: PostId(self.random()).to_bytes(),
            body: body.into(),
            ..pb::Post::default()
        };
        self.post(world, id, post)
    }

    /// Posts whatever it is, with the send key of its state's epoch.
    ///
    /// # Errors
    /// What the relay answers when it does not take it.
    pub fn post<R: RelayPort>(
        &mut self,
        world: &mut World<R>,
        id: GroupId,
        post: pb::Post,
    ) -> Result<(), ErrorCode> {
        let link = self.posting(world);
        let exporter = world.exporter(link);
        let known = self.with_group(id, |group, provider, _| {
            if !group.is_active() {
                return None;
            }
            let keys = Keys::of(id, |label, context| {
                group
                    .export_secret(provider.crypto(), label, context, 32)
                    .unwrap()
            });
            Some((Epoch(group.epoch().as_u64()), keys))
        });
        // Taken out.
        let Some((epoch, keys)) = known else {
            return Err(ErrorCode::Unspecified);
        };
        let act = PostingAct::Authorise {
            exporter: &exporter,
            epoch,
        };
        let authorise = pb::AuthorisePosting {
            group_id: id.to_bytes(),
            epoch: epoch.0,
            fan_out_key: copied(&keys.fan_out),
            signature: copied(&PostingKey::from_seed(&keys.send).sign(id, act)),
        };
        taken(world.ask_relay(link, Ask::AuthorisePosting(authorise)))?;
        taken(world.ask_relay(link, Ask::Post(post)))
    }

    /// Takes itself into a group from outside. Where the relay takes that, the state of the
    /// group is the new one.
    ///
    /// # Errors
    /// What the relay answers when it does not take it; `None` where it does not show the
    /// group's information to whoever has this secret.
    pub fn comes_in<R: RelayPort>(
        &mut self,
        world: &mut World<R>,
        id: GroupId,
        external: External,
    ) -> Result<(), Option<ErrorCode>> {
        let link = self.posting(world);
        let exporter = world.exporter(link);
        let External { secret, claims } = external;
        let fetch = PostingAct::Fetch {
            exporter: &exporter,
        };
        let fetch = pb::FetchGroupInfo {
            group_id: id.to_bytes(),
            signature: copied(&secret.signing_key().sign(id, fetch)),
        };
        let Some(Answer::GroupInfoFetched(fetched)) =
            world.ask_relay(link, Ask::FetchGroupInfo(fetch))
        else {
            return Err(None);
        };
        let epoch = Epoch(fetched.epoch);
        let info = secret
            .sealing_key()
            .open(Sealed::GroupInfo, id, epoch, &fetched.sealed_group_info)
            .map_err(|_| None)?;
        // What there was of it is put aside, and put back where the relay takes nothing.
        self.in_store(|tx| {
            tx.execute_batch("CREATE TEMP TABLE aside AS SELECT * FROM mls")
                .unwrap();
        });
        let made = self.joins_outside(id, &info, &claims);
        let Some(made) = made else {
            self.put_back();
            return Err(None);
        };
        let body = secret.sealing_key().seal(
            &mut self.rng,
            Sealed::ExternalCommit,
            id,
            epoch,
            &made.commit,
        );
        let keys = self.epoch_keys(
            id,
            made.next,
            &made.keys,
            &made.mailboxes,
            &made.info,
            secret.as_bytes(),
        );
        let act = PostingAct::Rejoin { epoch, body: &body };
        let rejoin = pb::Rejoin {
            group_id: id.to_bytes(),
            epoch: epoch.0,
            post_id: PostId(self.random()).to_bytes(),
            signature: copied(&secret.signing_key().sign(id, act)),
            body: body.into(),
            next: Some(keys),
            next_fan_out_key: copied(&made.keys.fan_out),
        };
        let taken = taken(world.ask_relay(link, Ask::Rejoin(rejoin))).map_err(Some);
        match taken {
            Ok(()) => {
                self.derived.insert(id, *secret.as_bytes());
                self.in_store(|tx| tx.execute_batch("DROP TABLE aside").unwrap());
            }
            Err(_) => self.put_back(),
        }
        taken
    }

    fn put_back(&mut self) {
        self.in_store(|tx| {
            tx.execute_batch(
                "DELETE FROM mls; INSERT INTO mls SELECT * FROM aside; DROP TABLE aside",
            )
            .unwrap();
        });
    }

    fn joins_outside(
        &mut self,
        id: GroupId,
        info: &[u8],
        claims: &pb::LeafCredential,
    ) -> Option<Made> {
        let claims = claims.encode_to_vec();
        self.with_mls(|provider, leaf| {
            // What another attacker left there is no group information.
            let message = MlsMessageIn::tls_deserialize_exact_bytes(info).ok()?;
            let MlsMessageBodyIn::GroupInfo(info) = message.extract() else {
                return None;
            };
            let (group, bundle) = MlsGroup::external_commit_builder()
                .with_config(join_config())
                .skip_lifetime_validation()
                .build_group(provider, info, credential_with_key(leaf, claims))
                .ok()?
                .leaf_node_parameters(
                    LeafNodeParameters::builder()
                        .with_capabilities(capabilities())
                        .build(),
                )
                .load_psks(provider.storage())
                .unwrap()
                .create_group_info(true)
                .use_ratchet_tree_extension(true)
                .build(provider.rand(), provider.crypto(), leaf, |_| true)
                .ok()?
                .finalize(provider)
                .unwrap();
            let (commit, _, info) = bundle.into_messages();
            let keys = Keys::of(id, |label, context| {
                group
                    .export_secret(provider.crypto(), label, context, 32)
                    .unwrap()
            });
            let next = Epoch(group.epoch().as_u64());
            Some(Made {
                epoch: Epoch(next.0 - 1),
                commit: commit.to_bytes().unwrap(),
                welcome: Bytes::new(),
                info: info.unwrap().to_bytes().unwrap(),
                next,
                keys,
                mailboxes: mailboxes(&group),
            })
        })
    }

    /// Makes a group and takes these devices in, whatever they are told of it. It costs a
    /// token of those that its honest program had.
    ///
    /// # Errors
    /// What the relay answers when it does not take it; [`ErrorCode::Unspecified`] where MLS
    /// has no such group.
    pub fn found<R: RelayPort>(
        &mut self,
        world: &mut World<R>,
        founding: Founding,
    ) -> Result<(), ErrorCode> {
        let Founding {
            id,
            secrets,
            members,
        } = founding;
        let own = self.credential().encode_to_vec();
        let made = self.with_mls(|provider, leaf| {
            let config = MlsGroupCreateConfig::builder()
                .ciphersuite(SUITE)
                .capabilities(capabilities())
                .use_ratchet_tree_extension(true)
                .lifetime(Lifetime::init(0, u64::MAX))
                .with_group_context_extensions(context(&secrets))
                .build();
            let mut group = MlsGroup::new_with_group_id(
                provider,
                leaf,
                &config,
                MlsGroupId::from_slice(id.as_bytes()),
                credential_with_key(leaf, own),
            )
            .map_err(|_| ErrorCode::Unspecified)?;
            let packages: Vec<KeyPackage> = members
                .iter()
                .map(|member| key_package(provider, &member.key_package))
                .collect();
            let bundle = group
                .commit_builder()
                .force_self_update(true)
                .propose_adds(packages)
                .load_psks(provider.storage())
                .unwrap()
                .create_group_info(true)
                .use_ratchet_tree_extension(true)
                .build(provider.rand(), provider.crypto(), leaf, |_| true)
                .map_err(|_| ErrorCode::Unspecified)?
                .stage_commit(provider)
                .unwrap();
            let (commit, welcome, info) = bundle.into_messages();
            group.merge_pending_commit(provider).unwrap();
            let keys = Keys::of(id, |label, context| {
                group
                    .export_secret(provider.crypto(), label, context, 32)
                    .unwrap()
            });
            Ok(Made {
                epoch: Epoch(0),
                commit: commit.to_bytes().unwrap(),
                welcome: welcome
                    .map(|welcome| welcome.to_bytes().unwrap())
                    .unwrap_or_default()
                    .into(),
                info: info.unwrap().to_bytes().unwrap(),
                next: Epoch(group.epoch().as_u64()),
                keys,
                mailboxes: mailboxes(&group),
            })
        })?;
        let secret = RejoinSecret::from_bytes(made.keys.rejoin);
        self.derived.insert(id, made.keys.rejoin);
        let keys = self.epoch_keys(
            id,
            made.next,
            &made.keys,
            &made.mailboxes,
            &made.info,
            secret.as_bytes(),
        );
        let create = pb::CreateGroup {
            group_id: id.to_bytes(),
            token: self.token(),
            epoch: made.next.0,
            keys: Some(keys),
            rejoin_key: copied(secret.signing_key().public().as_bytes()),
            fan_out_key: copied(&made.keys.fan_out),
            post_id: PostId(self.random()).to_bytes(),
            welcome: made.welcome,
        };
        let link = self.posting(world);
        taken(world.ask_relay(link, Ask::CreateGroup(create)))
    }

    /// The key packages of an address's devices. It costs a token; without one there are none.
    pub fn claim<R: RelayPort>(
        &mut self,
        world: &mut World<R>,
        address: &str,
    ) -> Vec<pb::ClaimedKeyPackage> {
        let claim = pb::ClaimKeyPackages {
            address: address.to_owned(),
            token: self.token(),
            device_ids: Vec::new(),
        };
        let link = self.posting(world);
        match world.ask_relay(link, Ask::ClaimKeyPackages(claim)) {
            Some(Answer::KeyPackagesClaimed(claimed)) => claimed.key_packages,
            _ => Vec::new(),
        }
    }

    /// A key package of its own device, which no relay has been given.
    pub fn own_key_package(&mut self, claims: &pb::LeafCredential) -> Bytes {
        let claims = claims.encode_to_vec();
        self.with_mls(|provider, leaf| {
            let bundle = KeyPackage::builder()
                .key_package_lifetime(Lifetime::init(0, u64::MAX))
                .leaf_node_capabilities(capabilities())
                .build(SUITE, provider, leaf, credential_with_key(leaf, claims))
                .unwrap();
            let package = bundle.into_key_package();
            let message = openmls::prelude::MlsMessageOut::from(package);
            message.to_bytes().unwrap().into()
        })
    }
}

// What it reads.
impl Dishonest {
    /// Logs in with its device's key, as its honest program would; whether the relay lets it.
    pub fn log_in<R: RelayPort>(&mut self, world: &mut World<R>) -> bool {
        self.log_out(world);
        let link = world.dial();
        let challenge: [u8; 32] = world.greeting(link).challenge.as_ref().try_into().unwrap();
        let exporter = world.exporter(link);
        let Self { store, rng, .. } = self;
        let signed = store
            .as_mut()
            .unwrap()
            .transaction(|tx| account::sign_login(tx, rng, &exporter, &challenge));
        let (device, signature) = signed.unwrap();
        let login = pb::Login {
            device_id: device.to_bytes(),
            signature: Some(signature),
        };
        let answer = world.ask_relay(link, Ask::Login(login));
        let is_in = matches!(answer, Some(Answer::LoggedIn(_)));
        self.logged_in = Some(link);
        is_in
    }

    fn log_out<R: RelayPort>(&mut self, world: &mut World<R>) {
        if let Some(link) = self.logged_in.take() {
            world.hang_up(link);
        }
    }

    /// Reads everything that came to its mailbox since it logged in, merging every commit,
    /// whatever it does. Nothing is acknowledged.
    pub fn listen<R: RelayPort>(&mut self, world: &mut World<R>) {
        let Some(link) = self.logged_in else { return };
        for post in world.delivered(link) {
            self.reads(&post);
        }
    }

    /// Tries to read a post, wherever it has it from.
    pub fn reads(&mut self, post: &pb::Deliver) {
        let Ok(id) = GroupId::try_from(&post.group_id) else {
            return;
        };
        let epoch = Epoch(post.epoch);
        let secret = self.has_group(id).then(|| self.unspoilt_secret(id));
        let Some(secret) = secret.flatten() else {
            return;
        };
        let opened = secret
            .sealing_key()
            .open(Sealed::ExternalCommit, id, epoch, &post.body);
        let is_external = opened.is_ok();
        let body = opened.unwrap_or_else(|_| post.body.to_vec());
        let mut derived = None;
        let read = self.with_group(id, |group, provider, _| {
            let message = MlsMessageIn::tls_deserialize_exact_bytes(&body).ok()?;
            let message: ProtocolMessage = match message.extract() {
                MlsMessageBodyIn::PrivateMessage(message) => message.into(),
                MlsMessageBodyIn::PublicMessage(message) => message.into(),
                _ => return None,
            };
            let processed = group.process_message(provider, message).ok()?;
            let from = processed.credential().serialized_content();
            let from = pb::LeafCredential::decode(from).unwrap_or_default();
            match processed.into_content() {
                ProcessedMessageContent::ApplicationMessage(message) => {
                    Some((from, message.into_bytes()))
                }
                ProcessedMessageContent::StagedCommitMessage(staged) => {
                    let renews = staged.add_proposals().next().is_some()
                        || staged.remove_proposals().next().is_some();
                    group.merge_staged_commit(provider, *staged).ok()?;
                    if renews && !is_external && group.is_active() {
                        derived = Some(Keys::of(id, |label, context| {
                            let crypto = provider.crypto();
                            group.export_secret(crypto, label, context, 32).unwrap()
                        }));
                    }
                    None
                }
                _ => None,
            }
        });
        if let Some((from, read)) = read {
            self.read.extend(self.opens_copy(id, &from, &read));
            self.read.push(read);
        }
        if let Some(keys) = derived {
            self.derived.insert(id, keys.rejoin);
        }
    }

    /// What is in a message, if it is a copy of another that it asked for.
    fn opens_copy(&self, id: GroupId, from: &pb::LeafCredential, read: &[u8]) -> Option<Vec<u8>> {
        let envelope = pb::Envelope::decode(read).ok()?;
        let Some(Say::Resent(copy)) = envelope.body else {
            return None;
        };
        let context = resent::Context {
            group: GroupId::try_from(&copy.group_id).unwrap_or(id),
            from: DeviceId::try_from(&from.device_id).ok()?,
            to: self.device,
        };
        let opened = self
            .opening_key()
            .open(context, &copy.kem_ciphertext, &copy.sealed)
            .ok()?;
        Some(opened.to_vec())
    }

    /// Whether it could read these words in anything that it was delivered.
    pub fn has_read(&self, words: &str) -> bool {
        let words = words.as_bytes();
        let mut read = self.read.iter();
        read.any(|one| one.windows(words.len()).any(|window| window == words))
    }
}

// Means.
impl Dishonest {
    fn leaf_key(&self) -> LeafKey {
        LeafKey::from_seed(&self.leaf_seed)
    }

    fn opening_key(&self) -> OpeningKey {
        OpeningKey::from_bytes(self.leaf_seed)
    }

    fn random<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        self.rng.fill_bytes(&mut bytes);
        bytes
    }

    fn posting<R: RelayPort>(&mut self, world: &mut World<R>) -> LinkId {
        if !world.is_open(self.posting) {
            self.posting = world.dial();
        }
        self.posting
    }

    fn column<const N: usize, const K: usize>(&mut self, query: &str, key: [u8; K]) -> [u8; N] {
        self.in_store(|tx| tx.query_row(query, [key], |row| row.get(0)).unwrap())
    }

    fn has_group(&mut self, id: GroupId) -> bool {
        self.with_mls(|provider, _| {
            let id = MlsGroupId::from_slice(id.as_bytes());
            MlsGroup::load(provider.storage(), &id).unwrap().is_some()
        })
    }

    fn take_counter(&mut self, id: GroupId) -> u64 {
        self.in_store(|tx| {
            let query = "UPDATE conversation_group SET next_counter = next_counter + 1
                         WHERE group_id = ?1 RETURNING next_counter - 1";
            let counter = tx.query_row(query, [id.0], |row| row.get::<_, i64>(0));
            counter.map_or(1, i64::cast_unsigned)
        })
    }

    fn token(&mut self) -> Option<pb::Token> {
        self.in_store(|tx| {
            let query = "DELETE FROM token WHERE input = (SELECT min(input) FROM token)
                         RETURNING input, output";
            tx.query_row(query, [], |row| {
                Ok(pb::Token {
                    input: row.get::<_, Vec<u8>>(0)?.into(),
                    output: row.get::<_, Vec<u8>>(1)?.into(),
                })
            })
            .ok()
        })
    }

    fn in_store<T>(&mut self, work: impl FnOnce(&Transaction<'_>) -> T) -> T {
        let store = self.store.as_mut().unwrap();
        store
            .transaction(|tx| Ok::<_, waxwing_engine::store::StoreError>(work(tx)))
            .unwrap()
    }

    fn with_mls<T>(&mut self, work: impl FnOnce(&Provider<'_>, &LeafKey) -> T) -> T {
        let leaf = self.leaf_key();
        let Self {
            store, crypto, rng, ..
        } = self;
        store
            .as_mut()
            .unwrap()
            .transaction(|tx| {
                let provider = Provider::new(crypto, rng, tx);
                Ok::<_, waxwing_engine::store::StoreError>(work(&provider, &leaf))
            })
            .unwrap()
    }

    fn with_group<T>(
        &mut self,
        id: GroupId,
        work: impl FnOnce(&mut MlsGroup, &Provider<'_>, &LeafKey) -> T,
    ) -> T {
        self.with_mls(|provider, leaf| {
            let id = MlsGroupId::from_slice(id.as_bytes());
            let mut group = MlsGroup::load(provider.storage(), &id)
                .unwrap()
                .expect("the group's state is here");
            work(&mut group, provider, leaf)
        })
    }

    fn epoch_keys(
        &mut self,
        id: GroupId,
        epoch: Epoch,
        keys: &Keys,
        mailboxes: &[MailboxId],
        info: &[u8],
        secret: &[u8],
    ) -> pb::EpochKeys {
        let fan_out = pb::FanOut {
            mailboxes: mailboxes.iter().map(|one| one.to_bytes()).collect(),
        };
        let fan_out = fan_out.encode_to_vec();
        let sealed_fan_out = SealingKey::from_bytes(keys.fan_out).seal(
            &mut self.rng,
            Sealed::FanOut,
            id,
            epoch,
            &fan_out,
        );
        let secret = RejoinSecret::from_slice(secret)
            .unwrap_or_else(|| RejoinSecret::generate(&mut self.rng));
        let sealed_info =
            secret
                .sealing_key()
                .seal(&mut self.rng, Sealed::GroupInfo, id, epoch, info);
        pb::EpochKeys {
            send_key: copied(PostingKey::from_seed(&keys.send).public().as_bytes()),
            sealed_fan_out: sealed_fan_out.into(),
            sealed_group_info: sealed_info.into(),
            rejoin_key: Bytes::new(),
        }
    }
}

/// A group context that tells members this.
pub fn context(secrets: &pb::ConversationSecrets) -> Extensions<GroupContext> {
    Extensions::from_vec(vec![
        Extension::RequiredCapabilities(RequiredCapabilitiesExtension::new(
            &[ExtensionType::Unknown(CONVERSATION_SECRETS)],
            &[],
            &[CredentialType::Basic],
        )),
        Extension::Unknown(
            CONVERSATION_SECRETS,
            UnknownExtension(secrets.encode_to_vec()),
        ),
    ])
    .unwrap()
}

fn capabilities() -> Capabilities {
    Capabilities::new(
        Some(&[ProtocolVersion::Mls10]),
        Some(&[SUITE]),
        Some(&[
            ExtensionType::Unknown(CONVERSATION_SECRETS),
            ExtensionType::LastResort,
        ]),
        None,
        Some(&[CredentialType::Basic]),
    )
}

fn join_config() -> MlsGroupJoinConfig {
    MlsGroupJoinConfig::builder()
        .use_ratchet_tree_extension(true)
        .build()
}

fn credential_with_key(leaf: &LeafKey, claims: Vec<u8>) -> CredentialWithKey {
    CredentialWithKey {
        credential: BasicCredential::new(claims).into(),
        signature_key: leaf.public().as_slice().into(),
    }
}

fn credential(bytes: &[u8]) -> pb::LeafCredential {
    pb::LeafCredential::decode(bytes).unwrap()
}

fn members(group: &MlsGroup) -> impl Iterator<Item = (LeafNodeIndex, pb::LeafCredential)> {
    group.members().map(|member| {
        let claims = credential(member.credential.serialized_content());
        (member.index, claims)
    })
}

fn mailboxes(group: &MlsGroup) -> Vec<MailboxId> {
    let mut mailboxes: Vec<MailboxId> = members(group)
        .map(|(_, leaf)| MailboxId::try_from(&leaf.mailbox_id).unwrap())
        .collect();
    mailboxes.sort_unstable();
    mailboxes.dedup();
    mailboxes
}

/// What the leaf of a key package (MLSMessage) claims.
pub fn credential_in(package: &[u8]) -> pb::LeafCredential {
    let crypto = Crypto::new().unwrap();
    let mut store = Store::open_in_memory().unwrap();
    store
        .transaction(|tx| {
            let mut rng = ChaCha20Rng::seed_from_u64(0);
            let provider = Provider::new(&crypto, &mut rng, tx);
            let package = key_package(&provider, package);
            let claims = package.leaf_node().credential().serialized_content();
            Ok::<_, waxwing_engine::store::StoreError>(credential(claims))
        })
        .unwrap()
}

fn key_package(provider: &Provider<'_>, bytes: &[u8]) -> KeyPackage {
    let message = MlsMessageIn::tls_deserialize_exact_bytes(bytes).unwrap();
    let MlsMessageBodyIn::KeyPackage(package) = message.extract() else {
        panic!("no key package")
    };
    let package: KeyPackageIn = package;
    package
        .validate(provider.crypto(), ProtocolVersion::Mls10)
        .unwrap()
}

/// Whether the relay took it.
fn taken(answer: Option<Answer>) -> Result<(), ErrorCode> {
    match answer {
        Some(Answer::Error(error)) => Err(error.code()),
        Some(_) => Ok(()),
        None => Err(ErrorCode::Unspecified),
    }
}

fn row<const N: usize>(store: &mut Store, query: &str) -> [u8; N] {
    store
        .transaction(|tx| {
            let bytes: [u8; N] = tx.query_row(query, [], |row| row.get(0)).unwrap();
            Ok::<_, waxwing_engine::store::StoreError>(bytes)
        })
        .unwrap()
}

fn copied(bytes: &[u8]) -> Bytes {
    Bytes::copy_from_slice(bytes)
}
