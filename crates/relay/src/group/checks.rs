//! What is checked of a group's requests without the lock: who asks, and what fan-out lists
//! say.
//!
//! **Elsewhere**: what is checked before and after is beside each request.
//!
//! **Always**: a list in the clear has only mailboxes that exist.

use std::sync::Arc;

use bytes::Bytes;
use prost::Message as _;
use sha2::{Digest as _, Sha256};
use waxwing_protocol::{
    Exporter,
    ids::{Epoch, GroupId, MailboxId},
    limits, pb,
    posting::{PostingAct, PostingPublicKey},
    sealing::{Sealed, SealingKey},
};

use super::{epoch_keys, group_id, too_large};
use crate::{
    answer::Refused,
    checker::Checker,
    directory::tokens::TokenKeys,
    store::{KeySpace, Store, StoreError},
};

/// That the token is good, and what the list says; neither if the group is known.
pub(crate) struct CreateCheck {
    pub(super) is_new: bool,
    pub(super) keys: Arc<TokenKeys>,
}

/// A group that may be created.
pub(crate) struct CheckedGroup {
    /// A hash of the request.
    pub(super) created_by: Bytes,
    /// The list of a group that is new.
    pub(crate) list: Option<Arc<[MailboxId]>>,
}

impl CreateCheck {
    pub(crate) fn run(
        self,
        checker: &mut Checker<'_, impl Store>,
        create: &pb::CreateGroup,
    ) -> Result<CheckedGroup, Refused> {
        let created_by = Bytes::copy_from_slice(&Sha256::digest(create.encode_to_vec()));
        let mut list = None;
        if self.is_new {
            self.keys.check(checker, create.token.as_ref())?;
            let group = group_id(&create.group_id)?;
            let keys = epoch_keys(create.keys.as_ref())?;
            let epoch = Epoch(create.epoch);
            let sealed = &keys.sealed_fan_out;
            list = Some(open_list(
                checker,
                group,
                epoch,
                sealed,
                &create.fan_out_key,
            )?);
        }
        Ok(CheckedGroup { created_by, list })
    }
}

/// That a member of the epoch is on this link, and what the list says.
pub(crate) struct AuthoriseCheck {
    pub(super) group: GroupId,
    pub(super) epoch: Epoch,
    pub(super) exporter: Exporter,
    pub(super) send_key: Bytes,
    pub(super) sealed_list: Bytes,
}

/// The list of those who have the key of this epoch.
pub(crate) struct CheckedPosting {
    pub(super) send_key: Bytes,
    pub(super) list: Arc<[MailboxId]>,
}

impl AuthoriseCheck {
    pub(crate) fn run(
        self,
        checker: &mut Checker<'_, impl Store>,
        authorise: &pb::AuthorisePosting,
    ) -> Result<CheckedPosting, Refused> {
        let Self {
            group,
            epoch,
            exporter,
            send_key,
            sealed_list,
        } = self;
        let key = PostingPublicKey::from_bytes(&send_key).ok_or_else(Refused::unavailable)?;
        let act = PostingAct::Authorise {
            exporter: &exporter,
            epoch,
        };
        checker.signatures += 1;
        if !key.verifies(group, act, &authorise.signature) {
            return Err(Refused::unauthorised(
                "the signature is not by the epoch's send key",
            ));
        }
        let list = open_list(checker, group, epoch, &sealed_list, &authorise.fan_out_key)?;
        Ok(CheckedPosting { send_key, list })
    }
}

/// What the list of the epoch that begins says.
pub(crate) struct CommitCheck {
    pub(super) group: GroupId,
    pub(super) next: Epoch,
}

impl CommitCheck {
    pub(crate) fn run(
        self,
        checker: &Checker<'_, impl Store>,
        commit: &pb::Post,
    ) -> Result<Arc<[MailboxId]>, Refused> {
        let Self { group, next } = self;
        let keys = epoch_keys(commit.next.as_ref())?;
        let sealed = &keys.sealed_fan_out;
        open_list(checker, group, next, sealed, &commit.next_fan_out_key)
    }
}

/// That a member, or one who was, is on this link.
pub(crate) struct FetchCheck {
    pub(super) group: GroupId,
    pub(super) exporter: Exporter,
    pub(super) rejoin_key: Bytes,
}

impl FetchCheck {
    /// Returns the key that the requester has.
    pub(crate) fn run(
        self,
        checker: &mut Checker<'_, impl Store>,
        fetch: &pb::FetchGroupInfo,
    ) -> Result<Bytes, Refused> {
        let Self {
            group,
            exporter,
            rejoin_key,
        } = self;
        let act = PostingAct::Fetch {
            exporter: &exporter,
        };
        check_rejoin_key(checker, &rejoin_key, group, act, &fetch.signature)?;
        Ok(rejoin_key)
    }
}

/// That a member, or one who was, is on this link, and what the list of the epoch that begins
/// says.
pub(crate) struct RejoinCheck {
    pub(super) group: GroupId,
    pub(super) epoch: Epoch,
    pub(super) rejoin_key: Bytes,
    /// Whether the list is opened.
    pub(super) opens: bool,
}

/// Somebody who has the rejoin key.
pub(crate) struct CheckedRejoin {
    pub(super) rejoin_key: Bytes,
    /// The next epoch's list, if it was to be opened.
    pub(crate) list: Option<Arc<[MailboxId]>>,
}

impl RejoinCheck {
    pub(crate) fn run(
        self,
        checker: &mut Checker<'_, impl Store>,
        rejoin: &pb::Rejoin,
    ) -> Result<CheckedRejoin, Refused> {
        let Self {
            group,
            epoch,
            rejoin_key,
            opens,
        } = self;
        let body = &rejoin.body;
        let act = PostingAct::Rejoin { epoch, body };
        check_rejoin_key(checker, &rejoin_key, group, act, &rejoin.signature)?;
        let mut list = None;
        if opens {
            let keys = epoch_keys(rejoin.next.as_ref())?;
            let sealed = &keys.sealed_fan_out;
            list = Some(open_list(
                checker,
                group,
                epoch.next(),
                sealed,
                &rejoin.next_fan_out_key,
            )?);
        }
        Ok(CheckedRejoin { rejoin_key, list })
    }
}

fn check_rejoin_key(
    checker: &mut Checker<'_, impl Store>,
    key: &[u8],
    group: GroupId,
    act: PostingAct<'_>,
    signature: &[u8],
) -> Result<(), Refused> {
    let key = PostingPublicKey::from_bytes(key).ok_or_else(Refused::unavailable)?;
    checker.signatures += 1;
    if key.verifies(group, act, signature) {
        Ok(())
    } else {
        Err(Refused::unauthorised(
            "the signature is not by the rejoin key",
        ))
    }
}

/// The mailboxes of a list that are there. Those that nobody has would be looked for in
/// the store, under the lock, for each post.
fn open_list(
    checker: &Checker<'_, impl Store>,
    group: GroupId,
    epoch: Epoch,
    sealed: &[u8],
    key: &[u8],
) -> Result<Arc<[MailboxId]>, Refused> {
    let mut list = fan_out(group, epoch, sealed, key)?;
    let mut failed = None;
    list.retain(|mailbox| {
        match checker.store.get(KeySpace::Mailboxes, mailbox.as_bytes()) {
            Ok(found) => found.is_some(),
            // It is one member's, and keeps nothing from the others.
            Err(StoreError::Damaged(_)) => true,
            Err(error) => {
                failed = Some(error);
                true
            }
        }
    });
    match failed {
        Some(error) => Err(error.into()),
        None => Ok(list.into()),
    }
}

/// Opens a fan-out list.
fn fan_out(
    group: GroupId,
    epoch: Epoch,
    sealed: &[u8],
    sealing_key: &[u8],
) -> Result<Vec<MailboxId>, Refused> {
    if sealed.len() > limits::FAN_OUT_BYTES {
        return Err(too_large());
    }
    let opened = SealingKey::from_slice(sealing_key)
        .and_then(|key| key.open(Sealed::FanOut, group, epoch, sealed).ok())
        .ok_or_else(|| Refused::unauthorised("the fan-out list does not open with that key"))?;
    let list = pb::FanOut::decode(opened.as_slice())
        .map_err(|_| Refused::malformed("the fan-out list is malformed"))?;
    if list.mailboxes.is_empty() || list.mailboxes.len() > limits::FAN_OUT_MAILBOXES {
        return Err(too_large());
    }
    let mut mailboxes = list
        .mailboxes
        .iter()
        .map(MailboxId::try_from)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| Refused::malformed(&error.to_string()))?;
    mailboxes.sort_unstable();
    mailboxes.dedup();
    Ok(mailboxes)
}
