//! What the relay knows about its links.
//!
//! **Elsewhere**: their sockets and queues are in [`crate::server`]; where a link may post is
//! in [`crate::group`], and whom it meets in [`crate::rendezvous`].
//!
//! **Always**: a link that posts has no name, and a link with a name does not post.

use std::{
    collections::{BTreeSet, HashMap},
    net::IpAddr,
};

use waxwing_protocol::{
    Exporter,
    ids::{AccountId, DeviceId, MailboxId},
    time::Time,
};

use crate::{answer::Refused, own_ids::OwnIds, rate_limit::Bucket};

/// A link, numbered by the server; never used twice in a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LinkId(pub u64);

/// Where a link comes from, as rate limits count it.
pub type Source = IpAddr;

/// A request of a link: who gets the answer.
#[derive(Clone, Copy)]
pub(crate) struct RequestRef {
    pub(crate) link: LinkId,
    pub(crate) request: u32,
}

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
            signalled_at: None,
        }
    }
}

/// All links that are open.
#[derive(Default)]
pub(crate) struct Links {
    open: HashMap<LinkId, Link, OwnIds>,
    /// Links by the account that is logged in on them.
    online: BTreeSet<(AccountId, LinkId)>,
    /// Logged-in devices, so that a second login replaces the first.
    devices: HashMap<DeviceId, LinkId>,
}

impl Links {
    pub(crate) fn open(&mut self, id: LinkId, link: Link) {
        self.open.insert(id, link);
    }

    pub(crate) fn close(&mut self, id: LinkId) -> Option<Link> {
        let link = self.open.remove(&id)?;
        if let LinkStage::LoggedIn {
            account, device, ..
        } = link.stage
        {
            self.online.remove(&(account, id));
            // A newer link of the device may have taken its place.
            if self.devices.get(&device) == Some(&id) {
                self.devices.remove(&device);
            }
        }
        Some(link)
    }

    pub(crate) fn is_open(&self, id: LinkId) -> bool {
        self.open.contains_key(&id)
    }

    pub(crate) fn get(&self, id: LinkId) -> Option<&Link> {
        self.open.get(&id)
    }

    pub(crate) fn get_mut(&mut self, id: LinkId) -> Option<&mut Link> {
        self.open.get_mut(&id)
    }

    /// The link on which a request arrived.
    pub(crate) fn of_request(&self, id: LinkId) -> Result<&Link, Refused> {
        self.get(id).ok_or_else(is_closed)
    }

    /// As [`Self::of_request`], to be changed.
    pub(crate) fn of_request_mut(&mut self, id: LinkId) -> Result<&mut Link, Refused> {
        self.get_mut(id).ok_or_else(is_closed)
    }

    pub(crate) fn log_in(
        &mut self,
        id: LinkId,
        account: AccountId,
        device: DeviceId,
        mailbox: MailboxId,
    ) {
        if let Some(link) = self.get_mut(id) {
            link.stage = LinkStage::LoggedIn {
                account,
                device,
                mailbox,
            };
        }
        self.devices.insert(device, id);
        self.online.insert((account, id));
    }

    /// Logs a device out; returns its link, on which nothing that still arrives is the
    /// device's.
    pub(crate) fn log_out(&mut self, device: DeviceId) -> Option<LinkId> {
        let id = self.devices.remove(&device)?;
        if let Some(link) = self.open.get_mut(&id) {
            if let LinkStage::LoggedIn { account, .. } = link.stage {
                self.online.remove(&(account, id));
            }
            link.stage = LinkStage::Open;
        }
        Some(id)
    }

    /// The link on which a device is logged in.
    pub(crate) fn of_device(&self, device: DeviceId) -> Option<LinkId> {
        self.devices.get(&device).copied()
    }

    /// The links on which devices of an account are logged in, in a fixed order.
    pub(crate) fn of_account(&self, account: AccountId) -> Vec<LinkId> {
        let all = (account, LinkId(0))..=(account, LinkId(u64::MAX));
        self.online.range(all).map(|(_, link)| *link).collect()
    }

    /// The account that is logged in on a link.
    pub(crate) fn account_on(&self, id: LinkId) -> Option<AccountId> {
        match self.get(id)?.stage {
            LinkStage::LoggedIn { account, .. } => Some(account),
            LinkStage::Greeted | LinkStage::Open => None,
        }
    }

    /// The account that is logged in on a link; it must be one.
    pub(crate) fn account_logged_in(&self, id: LinkId) -> Result<AccountId, Refused> {
        self.account_on(id).ok_or_else(needs_login)
    }

    /// The device that is logged in on a link; it must be one.
    pub(crate) fn device_logged_in(&self, id: LinkId) -> Result<DeviceId, Refused> {
        match self.of_request(id)?.stage {
            LinkStage::LoggedIn { device, .. } => Ok(device),
            LinkStage::Greeted | LinkStage::Open => Err(needs_login()),
        }
    }

    /// Where a link comes from.
    pub(crate) fn source(&self, id: LinkId) -> Option<Source> {
        self.get(id).map(|link| link.source)
    }

    pub(crate) fn len(&self) -> usize {
        self.open.len()
    }

    pub(crate) fn logged_in(&self) -> usize {
        self.devices.len()
    }
}

fn is_closed() -> Refused {
    Refused::malformed("the link is closed")
}

pub(crate) fn needs_login() -> Refused {
    Refused::unauthorised("this needs a login")
}
