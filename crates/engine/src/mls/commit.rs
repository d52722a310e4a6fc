//! Commits: ours, until the relay has accepted them, and those of others, until they have been
//! checked.

use openmls::prelude::{Extensions, GroupContext, Proposal, Sender, StagedCommit};
use openmls_traits::OpenMlsProvider as _;
use waxwing_protocol::{
    conversation::ConversationSecrets,
    ids::{Epoch, GroupId},
};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::{Member, MlsError, ProcessError, Provider};

const SEND_KEY: &str = "waxwing send key";
const FAN_OUT_KEY: &str = "waxwing fan-out key";
const SIGNAL_KEY: &str = "waxwing signal key";
const REJOIN_SECRET: &str = "waxwing rejoin secret";

/// What an epoch's members use towards the relay (group.proto).
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct EpochKeys {
    /// Seed of the Ed25519 key that authorises posting.
    pub send_key: [u8; 32],
    /// Seals the fan-out list.
    pub fan_out_key: [u8; 32],
    /// Seals signals.
    pub signal_key: [u8; 32],
    /// By it the group is rejoined, if the epoch began with a commit that added or removed a leaf.
    /// It comes from the epoch's own secrets: a member that the commit removes can read the commit
    /// and everything in it, but cannot derive this.
    pub rejoin_secret: [u8; 32],
}

impl core::fmt::Debug for EpochKeys {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("EpochKeys(..)")
    }
}

impl EpochKeys {
    /// Takes them from an exporter: label, context and length in, secret out.
    pub(super) fn export(
        group: GroupId,
        exporter: impl Fn(&str, &[u8], usize) -> Result<Vec<u8>, MlsError>,
    ) -> Result<Self, MlsError> {
        let key = |label| -> Result<[u8; 32], MlsError> {
            let secret = Zeroizing::new(exporter(label, group.as_bytes(), 32)?);
            secret
                .as_slice()
                .try_into()
                .map_err(|_| MlsError::Library("an exporter of another length".to_owned()))
        };
        Ok(Self {
            send_key: key(SEND_KEY)?,
            fan_out_key: key(FAN_OUT_KEY)?,
            signal_key: key(SIGNAL_KEY)?,
            rejoin_secret: key(REJOIN_SECRET)?,
        })
    }
}

/// A commit of ours. It counts when the relay has taken it.
pub struct PendingCommit {
    /// The commit, an MLSMessage.
    pub commit: Vec<u8>,
    /// The welcome for those who are added, an MLSMessage.
    pub welcome: Option<Vec<u8>>,
    /// The epoch that begins with it.
    pub next: NewEpoch,
}

/// An epoch that begins, for the relay to be told of.
pub struct NewEpoch {
    /// Its number.
    pub epoch: Epoch,
    /// Its keys.
    pub keys: EpochKeys,
    /// Its members.
    pub members: Vec<Member>,
    /// Its GroupInfo with the ratchet tree, an MLSMessage.
    pub group_info: Vec<u8>,
}

impl core::fmt::Debug for NewEpoch {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "NewEpoch({})", self.epoch)
    }
}

impl core::fmt::Debug for PendingCommit {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "PendingCommit({})", self.next.epoch)
    }
}

/// A valid commit of another device, not merged yet.
pub struct IncomingCommit {
    pub(super) staged: Box<StagedCommit>,
    /// The device that made it; with an external commit, the one that joins by it.
    pub committer: Member,
    /// The epoch that begins with it.
    pub epoch: Epoch,
    /// Whether it is external: its committer had lost the group.
    pub external: bool,
    /// Leaves that are new: each must be looked at before merging.
    pub leaves: Vec<Member>,
    /// The committer's own leaf, where it names anything else than before: the same.
    pub changed: Option<Member>,
    /// Leaves that go.
    pub removed: Vec<Member>,
    /// Whether this device is among `removed`.
    pub removes_us: bool,
    /// What all members know of the group from then on, where that changes.
    pub secrets: Option<ConversationSecrets>,
}

impl core::fmt::Debug for IncomingCommit {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "IncomingCommit({})", self.epoch)
    }
}

impl IncomingCommit {
    /// `removed` holds the leaves that the commit removes, in any order.
    pub(super) fn inspect(
        staged: Box<StagedCommit>,
        sender: &Sender,
        committer: Option<Member>,
        member_at: impl Fn(openmls::prelude::LeafNodeIndex) -> Option<Member>,
    ) -> Result<Self, ProcessError> {
        let mut leaves = Vec::new();
        let mut removed = Vec::new();
        let mut secrets = None;
        for queued in staged.queued_proposals() {
            match queued.proposal() {
                Proposal::Add(add) => leaves.push(
                    Member::from_leaf(add.key_package().leaf_node())
                        .map_err(|_| ProcessError::Forbidden)?,
                ),
                Proposal::Update(update) => leaves.push(
                    Member::from_leaf(update.leaf_node()).map_err(|_| ProcessError::Forbidden)?,
                ),
                Proposal::Remove(remove) => {
                    removed.push(member_at(remove.removed()).ok_or(ProcessError::Unauthentic)?);
                }
                Proposal::GroupContextExtensions(proposal) => {
                    secrets = Some(only_secrets(proposal.extensions())?);
                }
                Proposal::ExternalInit(_) => {}
                _ => return Err(ProcessError::Forbidden),
            }
        }
        let path = staged
            .update_path_leaf_node()
            .map(Member::from_leaf)
            .transpose()
            .map_err(|_| ProcessError::Forbidden)?;
        let external = matches!(sender, Sender::NewMemberCommit);
        let committer = if external { path.clone() } else { committer };
        let committer = committer.ok_or(ProcessError::Unauthentic)?;
        let mut changed = path.filter(|path| external || *path != committer);
        if external {
            leaves.extend(changed.take());
        }
        Ok(Self {
            epoch: Epoch(staged.epoch().as_u64()),
            removes_us: staged.self_removed(),
            staged,
            committer,
            external,
            leaves,
            changed,
            removed,
            secrets,
        })
    }

    /// The keys of the epoch that begins.
    pub fn keys(&self, provider: &Provider<'_>, group: GroupId) -> Result<EpochKeys, MlsError> {
        export_staged(&self.staged, provider, group)
    }
}

/// What is proposed in place of the group's context, if it changes nothing but what the
/// members know.
fn only_secrets(
    extensions: &Extensions<GroupContext>,
) -> Result<ConversationSecrets, ProcessError> {
    let secrets = super::secrets(extensions).map_err(|_| ProcessError::Forbidden)?;
    let ours = super::group_context(&secrets).map_err(|_| ProcessError::Forbidden)?;
    // Compared as they are, so that nothing else hides in them.
    if &ours == extensions {
        Ok(secrets)
    } else {
        Err(ProcessError::Forbidden)
    }
}

pub(super) fn export_staged(
    staged: &StagedCommit,
    provider: &Provider<'_>,
    group: GroupId,
) -> Result<EpochKeys, MlsError> {
    EpochKeys::export(group, |label, context, length| {
        staged
            .export_secret(provider.crypto(), label, context, length)
            .map_err(MlsError::library)
    })
}
