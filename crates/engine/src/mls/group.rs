//! A group, and its operations.
//!
//! **Elsewhere**: commits that do not count yet are in [`super::commit`].
//!
//! **Always**: [`Group::process`] changes the group only if it returns an application message;
//! commits change it when they are merged.

use openmls::{
    framing::errors::MessageDecryptionError,
    group::{MlsGroupCreateConfig, StagedWelcome as MlsStagedWelcome, WelcomeError},
    prelude::{
        ContentType, Credential, Extensions, GroupContext, GroupId as MlsGroupId, LeafNodeIndex,
        LeafNodeParameters, Lifetime, MlsGroup, MlsMessageBodyIn, MlsMessageIn,
        ProcessMessageError, ProcessedMessageContent, ProtocolMessage, Sender, ValidationError,
        tls_codec::DeserializeBytes as _,
    },
};
use openmls_traits::OpenMlsProvider as _;
use waxwing_protocol::{
    conversation::ConversationSecrets,
    ids::{AccountId, DeviceId, Epoch, GroupId},
    limits,
};
use zeroize::Zeroizing;

use super::{
    EpochKeys, IncomingCommit, KeyPackage, Leaf, Member, MlsError, NewEpoch, PendingCommit,
    ProcessError, Provider, SUITE, capabilities, commit::export_staged, group_context, join_config,
    past_epochs, ratchet, secrets, storage::StorageError,
};

/// A group that this device is in.
pub struct Group {
    id: GroupId,
    inner: MlsGroup,
}

impl core::fmt::Debug for Group {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Group(epoch {})", self.epoch())
    }
}

/// What a message that came in was.
#[derive(Debug)]
pub enum Incoming {
    /// An application message.
    Message {
        /// The device that sent it.
        sender: Member,
        /// What it says, padding and all.
        payload: Zeroizing<Vec<u8>>,
    },
    /// An application message of a past epoch, by a device whose leaf is gone since.
    MessageOfFormer {
        /// The account that the leaf named.
        account: AccountId,
        /// The device that it named.
        device: DeviceId,
        /// What it says, padding and all.
        payload: Zeroizing<Vec<u8>>,
    },
    /// A commit; nothing has changed yet: look at it, then [`Group::merge`].
    Commit(Box<IncomingCommit>),
}

/// What an application message was encrypted to, for the caller to post.
pub type PrivateMessage = Vec<u8>;

// Making and finding groups.
impl Group {
    /// Makes a group with this device as its only member, in epoch 0. The secrets name
    /// the address of every account that will be in it.
    pub fn create(
        provider: &Provider<'_>,
        leaf: &Leaf,
        id: GroupId,
        secrets: &ConversationSecrets,
    ) -> Result<Self, MlsError> {
        Self::create_with(provider, leaf, id, group_context(secrets)?)
    }

    /// Makes a group with these extensions of its context.
    pub(super) fn create_with(
        provider: &Provider<'_>,
        leaf: &Leaf,
        id: GroupId,
        extensions: Extensions<GroupContext>,
    ) -> Result<Self, MlsError> {
        let config = MlsGroupCreateConfig::builder()
            .ciphersuite(SUITE)
            .capabilities(capabilities())
            .use_ratchet_tree_extension(true)
            .max_past_epochs(past_epochs())
            .sender_ratchet_configuration(ratchet())
            .lifetime(Lifetime::init(0, u64::MAX))
            .with_group_context_extensions(extensions)
            .build();
        let inner = MlsGroup::new_with_group_id(
            provider,
            leaf.key(),
            &config,
            MlsGroupId::from_slice(id.as_bytes()),
            leaf.credential_with_key(),
        )
        .map_err(|error| {
            provider.failed(match error {
                openmls::group::NewGroupError::GroupAlreadyExists => MlsError::GroupExists,
                other => MlsError::library(other),
            })
        })?;
        Ok(Self { id, inner })
    }

    /// The group with this id, if the store has it.
    pub fn load(provider: &Provider<'_>, id: GroupId) -> Result<Option<Self>, MlsError> {
        let inner = MlsGroup::load(provider.storage(), &MlsGroupId::from_slice(id.as_bytes()))
            .map_err(|error| provider.failed(MlsError::library(error)))?;
        Ok(inner.map(|inner| Self { id, inner }))
    }

    /// Deletes the group's state and all its secrets.
    pub fn delete(mut self, provider: &Provider<'_>) -> Result<(), MlsError> {
        self.inner
            .delete(provider.storage())
            .map_err(|error| provider.failed(MlsError::library(error)))
    }

    /// Deletes what the store has of a group and its secrets, without reading it: for state
    /// that does not decode.
    pub fn delete_unread(provider: &Provider<'_>, id: GroupId) -> Result<(), MlsError> {
        let id = MlsGroupId::from_slice(id.as_bytes());
        Ok(provider.store().delete_group(&id)?)
    }

    /// Joins by an external commit, which takes the place of this device's old leaf.
    ///
    /// `group_info` is the MLSMessage that a member left with the relay. The group in
    /// the store, if there is one, is replaced. The caller looks at
    /// [`NewEpoch::members`](super::NewEpoch::members) and abandons the transaction if it does not like them;
    /// and joins again when the relay does not take the commit.
    pub fn rejoin(
        provider: &Provider<'_>,
        leaf: &Leaf,
        id: GroupId,
        group_info: &[u8],
    ) -> Result<(Self, PendingCommit), MlsError> {
        if group_info.len() as u64 > limits::PARCEL_BYTES {
            return Err(MlsError::Malformed("group information that is too large"));
        }
        let message = MlsMessageIn::tls_deserialize_exact_bytes(group_info)
            .map_err(|_| MlsError::Malformed("group information"))?;
        let MlsMessageBodyIn::GroupInfo(group_info) = message.extract() else {
            return Err(MlsError::Malformed(
                "another message in place of group information",
            ));
        };
        if group_info.group_id().as_slice() != id.as_bytes() {
            return Err(MlsError::Refused(
                "group information of another group".to_owned(),
            ));
        }
        if group_info.ciphersuite() != SUITE {
            return Err(MlsError::Refused("a group of another suite".to_owned()));
        }
        let (inner, bundle) = MlsGroup::external_commit_builder()
            .with_config(join_config())
            .skip_lifetime_validation()
            .build_group(provider, group_info, leaf.credential_with_key())
            .map_err(|error| provider.failed(MlsError::refused(error)))?
            .leaf_node_parameters(
                LeafNodeParameters::builder()
                    .with_capabilities(capabilities())
                    .build(),
            )
            .load_psks(provider.storage())
            .map_err(|error| provider.failed(MlsError::refused(error)))?
            .create_group_info(true)
            .use_ratchet_tree_extension(true)
            .build(provider.rand(), provider.crypto(), leaf.key(), |_| true)
            .map_err(|error| provider.failed(MlsError::refused(error)))?
            .finalize(provider)
            .map_err(|error| provider.failed(MlsError::library(error)))?;
        let group = Self { id, inner };
        group.secrets()?;
        let (commit, _, group_info) = bundle.into_messages();
        let pending = PendingCommit {
            commit: commit.to_bytes().map_err(MlsError::library)?,
            welcome: None,
            next: NewEpoch {
                epoch: group.epoch(),
                keys: group.keys(provider)?,
                members: group.members()?,
                group_info: group_info
                    .ok_or_else(|| MlsError::Library("no group information was made".to_owned()))?
                    .to_bytes()
                    .map_err(MlsError::library)?,
            },
        };
        Ok((group, pending))
    }
}

// What a group is.
impl Group {
    /// Its id.
    pub const fn id(&self) -> GroupId {
        self.id
    }

    /// The epoch that it is in.
    pub fn epoch(&self) -> Epoch {
        Epoch(self.inner.epoch().as_u64())
    }

    /// Whether this device is a member still.
    pub fn is_member(&self) -> bool {
        self.inner.is_active()
    }

    /// Its members, this device among them.
    pub fn members(&self) -> Result<Vec<Member>, MlsError> {
        self.inner
            .members()
            .map(|member| Member::decode(&member.credential, &member.signature_key))
            .collect()
    }

    /// What its members all know of it.
    ///
    /// # Errors
    /// [`MlsError::Refused`] when the group context does not hold it, or not well.
    pub fn secrets(&self) -> Result<ConversationSecrets, MlsError> {
        secrets(self.inner.extensions())
    }

    /// The keys of the current epoch.
    pub fn keys(&self, provider: &Provider<'_>) -> Result<EpochKeys, MlsError> {
        EpochKeys::export(self.id, |label, context, length| {
            self.inner
                .export_secret(provider.crypto(), label, context, length)
                .map_err(MlsError::library)
        })
    }

    /// The current epoch, for a relay that does not know the group.
    pub fn current_epoch(
        &self,
        provider: &Provider<'_>,
        leaf: &Leaf,
    ) -> Result<NewEpoch, MlsError> {
        Ok(NewEpoch {
            epoch: self.epoch(),
            keys: self.keys(provider)?,
            members: self.members()?,
            group_info: self.group_info(provider, leaf)?,
        })
    }

    /// GroupInfo of the current epoch with the ratchet tree, an MLSMessage.
    pub fn group_info(&self, provider: &Provider<'_>, leaf: &Leaf) -> Result<Vec<u8>, MlsError> {
        self.inner
            .export_group_info(provider.crypto(), leaf.key(), true)
            .map_err(MlsError::library)?
            .to_bytes()
            .map_err(MlsError::library)
    }
}

// Messages.
impl Group {
    /// Encrypts an application message: a PrivateMessage as MLSMessage. Its key is
    /// gone then; the caller keeps the bytes until they are posted.
    pub fn encrypt(
        &mut self,
        provider: &Provider<'_>,
        leaf: &Leaf,
        payload: &[u8],
    ) -> Result<PrivateMessage, MlsError> {
        if !self.inner.is_active() {
            return Err(MlsError::NotMember);
        }
        self.inner
            .create_message(provider, leaf.key(), payload)
            .map_err(|error| provider.failed(MlsError::library(error)))
            .and_then(|message| {
                // openmls reports a failed write of the secrets as its own fault.
                message.to_bytes().map_err(MlsError::library)
            })
    }

    /// Processes what was posted to the group as a commit, or as a message: nothing else than
    /// it was posted as.
    pub fn process_post(
        &mut self,
        provider: &Provider<'_>,
        message: &[u8],
        is_commit: bool,
    ) -> Result<Incoming, ProcessError> {
        self.process_as(provider, message, Some(is_commit))
    }

    /// Takes in what was posted to the group: an application message or a commit.
    pub fn process(
        &mut self,
        provider: &Provider<'_>,
        message: &[u8],
    ) -> Result<Incoming, ProcessError> {
        self.process_as(provider, message, None)
    }

    fn process_as(
        &mut self,
        provider: &Provider<'_>,
        message: &[u8],
        is_commit: Option<bool>,
    ) -> Result<Incoming, ProcessError> {
        if message.len() as u64 > limits::PARCEL_BYTES {
            return Err(ProcessError::Malformed);
        }
        let message = MlsMessageIn::tls_deserialize_exact_bytes(message)
            .map_err(|_| ProcessError::Malformed)?;
        let message: ProtocolMessage = match message.extract() {
            MlsMessageBodyIn::PrivateMessage(message) => message.into(),
            MlsMessageBodyIn::PublicMessage(message) => message.into(),
            _ => return Err(ProcessError::Malformed),
        };
        self.admissible(&message)?;
        // The relay puts commits in order, and nothing else.
        let commits = message.content_type() == ContentType::Commit;
        if is_commit.is_some_and(|is_commit| is_commit != commits) {
            return Err(ProcessError::Forbidden);
        }
        let processed = self
            .inner
            .process_message(provider, message)
            .map_err(|error| provider.failed_processing(classify(error)))?;
        let sender = processed.sender().clone();
        let credential = processed.credential().clone();
        match processed.into_content() {
            ProcessedMessageContent::ApplicationMessage(content) => {
                let payload = Zeroizing::new(content.into_bytes());
                self.message(&sender, &credential, payload)
            }
            ProcessedMessageContent::StagedCommitMessage(staged) => {
                let committer = self.sender(&sender);
                let by = committer.clone();
                IncomingCommit::inspect(staged, &sender, committer, |index| self.member_at(index))
                    .map(|commit| Incoming::Commit(Box::new(commit)))
                    .map_err(|error| match (error, by) {
                        (ProcessError::Forbidden, Some(by)) => {
                            ProcessError::BreaksRules(Box::new(by))
                        }
                        (error, _) => error,
                    })
            }
            ProcessedMessageContent::OwnPrivateMessage
            | ProcessedMessageContent::OwnPendingCommit => Err(ProcessError::OwnMessage),
            ProcessedMessageContent::ProposalMessage(_)
            | ProcessedMessageContent::ExternalJoinProposalMessage(_) => {
                Err(ProcessError::Forbidden)
            }
        }
    }

    /// What can be said of a message from its frame alone.
    fn admissible(&self, message: &ProtocolMessage) -> Result<(), ProcessError> {
        if !self.inner.is_active() {
            return Err(ProcessError::NotMember);
        }
        if message.group_id().as_slice() != self.id.as_bytes() {
            return Err(ProcessError::Malformed);
        }
        if message.epoch() > self.inner.epoch() {
            return Err(ProcessError::FutureEpoch);
        }
        match message.content_type() {
            // Commits are taken in order; the one of a past epoch was ours to take
            // or has lost.
            ContentType::Commit if message.epoch() < self.inner.epoch() => {
                Err(ProcessError::AlreadyProcessed)
            }
            ContentType::Proposal => Err(ProcessError::Forbidden),
            _ => Ok(()),
        }
    }

    /// Whose an application message is. Its sender's place in the tree is that of its own
    /// epoch: in a later one somebody else may have that place. So what counts is the
    /// credential, which belongs to the leaf whose signature was verified.
    fn message(
        &self,
        sender: &Sender,
        credential: &Credential,
        payload: Zeroizing<Vec<u8>>,
    ) -> Result<Incoming, ProcessError> {
        // Any key will do: only the names are asked for.
        let named = Member::decode(credential, &[0; 32]).map_err(|_| ProcessError::Unauthentic)?;
        let is_it =
            |member: &Member| (member.account, member.device) == (named.account, named.device);
        let sender = match self.sender(sender).filter(is_it) {
            Some(sender) => Some(sender),
            None => self
                .members()
                .map_err(|_| ProcessError::Unauthentic)?
                .into_iter()
                .find(is_it),
        };
        Ok(match sender {
            Some(sender) => Incoming::Message { sender, payload },
            None => Incoming::MessageOfFormer {
                account: named.account,
                device: named.device,
                payload,
            },
        })
    }

    fn sender(&self, sender: &Sender) -> Option<Member> {
        match sender {
            Sender::Member(index) => self.member_at(*index),
            _ => None,
        }
    }

    fn member_at(&self, index: LeafNodeIndex) -> Option<Member> {
        let member = self.inner.member_at(index)?;
        Member::decode(&member.credential, &member.signature_key).ok()
    }
}

// Commits.
impl Group {
    /// Adds devices, and renews this device's key.
    pub fn add(
        &mut self,
        provider: &Provider<'_>,
        leaf: &Leaf,
        key_packages: &[KeyPackage],
    ) -> Result<PendingCommit, MlsError> {
        self.change(provider, leaf, key_packages, &[], None)
    }

    /// Renews this device's key.
    pub fn rekey(
        &mut self,
        provider: &Provider<'_>,
        leaf: &Leaf,
    ) -> Result<PendingCommit, MlsError> {
        self.change(provider, leaf, &[], &[], None)
    }

    /// Whether a commit of ours waits for the relay.
    pub fn has_pending_commit(&self) -> bool {
        self.inner.pending_commit().is_some()
    }

    /// The relay has taken our commit: its epoch begins.
    pub fn merge_pending(&mut self, provider: &Provider<'_>) -> Result<(), MlsError> {
        self.inner
            .merge_pending_commit(provider)
            .map_err(|error| provider.failed(MlsError::library(error)))
    }

    /// The relay has not taken our commit: it never was.
    pub fn clear_pending(&mut self, provider: &Provider<'_>) -> Result<(), MlsError> {
        self.inner
            .clear_pending_commit(provider.storage())
            .map_err(|error| provider.failed(MlsError::library(error)))
    }

    /// Merges another's commit, which has been looked at. A pending one of ours is
    /// cleared by it.
    pub fn merge(
        &mut self,
        provider: &Provider<'_>,
        commit: IncomingCommit,
    ) -> Result<(), MlsError> {
        self.inner
            .merge_staged_commit(provider, *commit.staged)
            .map_err(|error| provider.failed(MlsError::library(error)))
    }

    /// Deletes the secrets of all past epochs, when none of their messages can be on
    /// its way any more.
    pub fn forget_past_epochs(&mut self, provider: &Provider<'_>) -> Result<(), MlsError> {
        self.inner
            .delete_past_epoch_secrets(provider, openmls::group::PastEpochDeletion::delete_all())
            .map_err(|error| provider.failed(MlsError::library(error)))
    }

    /// Adds devices and takes others out, which are named by their leaf keys; `secrets` are
    /// what all members know from then on, where that changes. With it this device's key
    /// is made anew.
    pub fn change(
        &mut self,
        provider: &Provider<'_>,
        leaf: &Leaf,
        key_packages: &[KeyPackage],
        gone: &[[u8; 32]],
        secrets: Option<&ConversationSecrets>,
    ) -> Result<PendingCommit, MlsError> {
        if !self.inner.is_active() {
            return Err(MlsError::NotMember);
        }
        if self.has_pending_commit() {
            return Err(MlsError::CommitPending);
        }
        let removals: Vec<LeafNodeIndex> = self
            .inner
            .members()
            .filter(|member| gone.iter().any(|key| member.signature_key == key))
            .map(|member| member.index)
            .collect();
        let mut members = self.members()?;
        members.retain(|member| !gone.contains(&member.leaf_key));
        members.extend(
            key_packages
                .iter()
                .map(|key_package| key_package.member().clone()),
        );
        let mut builder = self
            .inner
            .commit_builder()
            .force_self_update(true)
            .consume_proposal_store(false)
            .propose_removals(removals)
            .propose_adds(key_packages.iter().map(KeyPackage::inner));
        if let Some(secrets) = secrets {
            builder = builder
                .propose_group_context_extensions(group_context(secrets)?)
                .map_err(MlsError::library)?;
        }
        let bundle = builder
            .load_psks(provider.storage())
            .map_err(|error| provider.failed(MlsError::library(error)))?
            .create_group_info(true)
            .use_ratchet_tree_extension(true)
            .build(provider.rand(), provider.crypto(), leaf.key(), |_| true)
            .map_err(|error| provider.failed(MlsError::refused(error)))?
            .stage_commit(provider)
            .map_err(|error| provider.failed(MlsError::library(error)))?;
        let (commit, welcome, group_info) = bundle.into_messages();
        let staged = self
            .inner
            .pending_commit()
            .ok_or_else(|| MlsError::Library("no commit was staged".to_owned()))?;
        Ok(PendingCommit {
            commit: commit.to_bytes().map_err(MlsError::library)?,
            welcome: welcome
                .map(|welcome| welcome.to_bytes())
                .transpose()
                .map_err(MlsError::library)?,
            next: NewEpoch {
                epoch: Epoch(staged.epoch().as_u64()),
                keys: export_staged(staged, provider, self.id)?,
                members,
                group_info: group_info
                    .ok_or_else(|| MlsError::Library("no group information was made".to_owned()))?
                    .to_bytes()
                    .map_err(MlsError::library)?,
            },
        })
    }
}

/// A welcome that was opened: what there is to know before joining. Its key package
/// is used up (but for a last resort), if the transaction is committed.
pub struct StagedWelcome {
    id: GroupId,
    inner: MlsStagedWelcome,
    /// The device that sent it.
    pub sender: Member,
    /// The members, this device among them.
    pub members: Vec<Member>,
    /// What they all know of the group; every member's account has an address in it.
    pub secrets: ConversationSecrets,
}

impl core::fmt::Debug for StagedWelcome {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("StagedWelcome(..)")
    }
}

impl StagedWelcome {
    /// Opens a welcome, an MLSMessage, to the group with this id.
    pub fn open(provider: &Provider<'_>, id: GroupId, welcome: &[u8]) -> Result<Self, MlsError> {
        if welcome.len() as u64 > limits::PARCEL_BYTES {
            return Err(MlsError::Malformed("a welcome that is too large"));
        }
        let message = MlsMessageIn::tls_deserialize_exact_bytes(welcome)
            .map_err(|_| MlsError::Malformed("a welcome"))?;
        let MlsMessageBodyIn::Welcome(welcome) = message.extract() else {
            return Err(MlsError::Malformed("another message in place of a welcome"));
        };
        if welcome.ciphersuite() != SUITE {
            return Err(MlsError::Refused("a welcome of another suite".to_owned()));
        }
        let failed = |error: WelcomeError<StorageError>| {
            provider.failed(match error {
                WelcomeError::NoMatchingKeyPackage => MlsError::KeyPackageUnknown,
                WelcomeError::GroupAlreadyExists => MlsError::GroupExists,
                other => MlsError::refused(other),
            })
        };
        let inner = MlsStagedWelcome::build_from_welcome(provider, &join_config(), welcome)
            .map_err(failed)?
            .skip_lifetime_validation()
            .build()
            .map_err(failed)?;
        let context = inner.group_context();
        if context.group_id().as_slice() != id.as_bytes() {
            return Err(MlsError::Refused("a welcome to another group".to_owned()));
        }
        let secrets = secrets(context.extensions())?;
        let sender = Member::from_leaf(inner.welcome_sender().map_err(MlsError::refused)?)?;
        let members: Vec<Member> = inner
            .members()
            .map(|member| Member::decode(&member.credential, &member.signature_key))
            .collect::<Result<_, _>>()?;
        if members
            .iter()
            .any(|member| secrets.addresses.of(member.account).is_none())
        {
            return Err(MlsError::Refused("a member without an address".to_owned()));
        }
        Ok(Self {
            id,
            inner,
            sender,
            members,
            secrets,
        })
    }

    /// Joins.
    pub fn accept(self, provider: &Provider<'_>) -> Result<Group, MlsError> {
        let inner = self
            .inner
            .into_group(provider)
            .map_err(|error| provider.failed(MlsError::library(error)))?;
        Ok(Group { id: self.id, inner })
    }
}

fn classify(error: ProcessMessageError<StorageError>) -> ProcessError {
    match error {
        ProcessMessageError::ValidationError(error) => match error {
            ValidationError::NoPastEpochData => ProcessError::TooOld,
            ValidationError::WrongEpoch => ProcessError::AlreadyProcessed,
            ValidationError::LibraryError(error) => ProcessError::Library(error.to_string()),
            ValidationError::UnableToDecrypt(MessageDecryptionError::SecretTreeError(error)) => {
                // The type has no public name; its variants have no fields.
                match format!("{error:?}").as_str() {
                    "SecretReuseError" => ProcessError::AlreadyProcessed,
                    "TooDistantInThePast" => ProcessError::TooOld,
                    "TooDistantInTheFuture" => ProcessError::TooFarAhead,
                    _ => ProcessError::Unauthentic,
                }
            }
            ValidationError::UnableToDecrypt(MessageDecryptionError::MalformedContent) => {
                ProcessError::Malformed
            }
            _ => ProcessError::Unauthentic,
        },
        ProcessMessageError::GroupStateError(_) => ProcessError::NotMember,
        ProcessMessageError::LibraryError(error) => ProcessError::Library(error.to_string()),
        ProcessMessageError::StorageError(_) => {
            ProcessError::Library("the store failed without a reason".to_owned())
        }
        ProcessMessageError::InvalidCommit(_) => ProcessError::Unauthentic,
        _ => ProcessError::Forbidden,
    }
}
