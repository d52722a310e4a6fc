//! What the relay knows about a link.
//!
//! **Elsewhere**: its socket and queue are in [`crate::server`].
//!
//! **Always**: a link that posts has no name, and a link with a name does not post.

use std::collections::HashMap;

use waxwing_protocol::{
    Exporter,
    ids::{AccountId, DeviceId, Epoch, GroupId, MailboxId},
    time::Time,
};

use crate::{group::Authorised, rate_limit::Bucket, relay::Source, rendezvous::RendezvousKey};

/// How far a link has come.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum LinkStage {
    /// It was greeted.
    Greeted,
    /// It chose a version; nobody knows whose it is.
    Open,
    /// A device logged in.
    LoggedIn {
        account: AccountId,
        device: DeviceId,
        mailbox: MailboxId,
    },
}

pub(crate) struct Link {
    pub(crate) exporter: Exporter,
    pub(crate) challenge: [u8; 32],
    pub(crate) source: Source,
    pub(crate) stage: LinkStage,
    /// The period whose token key it was shown.
    pub(crate) token_period: u64,
    pub(crate) requests: Bucket,
    pub(crate) failed_logins: u8,
    /// Where it may post.
    pub(crate) posting: HashMap<(GroupId, Epoch), Authorised>,
    /// Whether the sweep looks at it for that.
    pub(crate) is_swept: bool,
    /// Where it meets another.
    pub(crate) rendezvous: Option<RendezvousKey>,
    /// When it signalled last.
    pub(crate) signalled_at: Option<Time>,
}

impl Link {
    pub(crate) fn new(exporter: Exporter, challenge: [u8; 32], source: Source) -> Self {
        Self {
            exporter,
            challenge,
            source,
            stage: LinkStage::Greeted,
            token_period: 0,
            requests: Bucket::default(),
            failed_logins: 0,
            posting: HashMap::new(),
            is_swept: false,
            rendezvous: None,
            signalled_at: None,
        }
    }
}
