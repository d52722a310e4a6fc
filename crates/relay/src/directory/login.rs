//! Logging in: a device proves on a link that it is there, and gets what waits in its mailbox.
//!
//! **Elsewhere**: [`crate::mailbox`] delivers; [`crate::dispatch`] checks that the link is not
//! used for anything that must not be known to be this device's.
//!
//! **Always**: a device that was revoked cannot log in, from the moment that the log says so.

use bytes::Bytes;
use prost::Message as _;
use waxwing_protocol::{
    ids::{AccountId, DeviceId, MailboxId},
    limits,
    pb::{self, relay_frame::Body as Answer},
    signature::{HybridPublicKey, Purpose, login_message},
    time::Time,
};

use super::{Directory, of_stored};
use crate::{
    answer::{Refused, Reply, RequestResult},
    checker::Checker,
    context::Context,
    cost,
    link::LinkId,
    mailbox::Mailboxes,
    store::{KeySpace, Store, behind, key, records::DeviceRecord},
};

/// That the device signed the link's challenge.
pub(crate) struct LoginCheck {
    device: DeviceId,
    identity: DeviceIdentity,
    message: Vec<u8>,
}

/// By what a device is known.
enum DeviceIdentity {
    /// Its key.
    Key(Bytes),
    /// Its account's roster: it was stored by an older relay.
    Roster(Vec<pb::SignedStatement>),
}

/// The device is on this link.
pub(crate) struct CheckedLogin {
    /// Its key, if it was not stored by itself yet.
    new_key: Option<Bytes>,
    /// How many key packages the disk has.
    key_packages_left: u32,
}

impl LoginCheck {
    pub(crate) fn run(
        self,
        checker: &mut Checker<'_, impl Store>,
        login: &pb::Login,
    ) -> Result<CheckedLogin, Refused> {
        let signature = login.signature.as_ref().ok_or_else(wrong_login)?;
        let (key, new_key) = match &self.identity {
            DeviceIdentity::Key(key) => {
                (decode_identity(key).ok_or_else(Refused::unavailable)?, None)
            }
            DeviceIdentity::Roster(statements) => {
                let roster = of_stored(statements)?;
                let admitted = roster.device(self.device).ok_or_else(wrong_login)?;
                let key = admitted.identity.clone();
                let encoded = encode_identity(&key);
                (key, Some(encoded))
            }
        };
        checker.signatures += 1;
        key.verify(Purpose::Login, &self.message, signature)
            .map_err(|_| wrong_login())?;
        let from = self.device.as_bytes();
        let most = limits::KEY_PACKAGES_PER_DEVICE;
        let to = behind(from);
        let packages = checker
            .store
            .scan(KeySpace::KeyPackages, from, to.as_deref(), most)?;
        Ok(CheckedLogin {
            new_key,
            key_packages_left: u32::try_from(packages.len()).unwrap_or(u32::MAX),
        })
    }
}

impl Directory {
    /// What a login has to be verified by: cheap, and nothing where it is refused anyway.
    pub(crate) fn login_to_verify(
        context: &mut Context<impl Store>,
        now: Time,
        link: LinkId,
        login: &pb::Login,
    ) -> Result<LoginCheck, Refused> {
        let (device, record) = Self::login_of(context, login)?;
        let identity = if record.identity.is_empty() {
            let account =
                AccountId::try_from(&record.account_id).map_err(|_| Refused::unavailable())?;
            let statements = Self::statements(context, account)?.ok_or_else(wrong_login)?;
            context.charge(now, link, cost::of_roster(statements.len()))?;
            DeviceIdentity::Roster(statements)
        } else {
            DeviceIdentity::Key(record.identity)
        };
        let state = context.links.of_request(link)?;
        Ok(LoginCheck {
            device,
            identity,
            message: login_message(&state.exporter, &state.challenge, device),
        })
    }

    /// The device that logs in, if it may.
    fn login_of(
        context: &Context<impl Store>,
        login: &pb::Login,
    ) -> Result<(DeviceId, DeviceRecord), Refused> {
        let device = DeviceId::try_from(&login.device_id).map_err(|_| wrong_login())?;
        let record: DeviceRecord = context
            .view
            .get(KeySpace::Devices, device.as_bytes())?
            .ok_or_else(wrong_login)?;
        // A device has its record for as long as its account's roster has it; then this mark,
        // until the record is deleted.
        let is_revoked = context
            .view
            .get_bytes(KeySpace::Revoked, device.as_bytes())?
            .is_some();
        if is_revoked {
            return Err(wrong_login());
        }
        Ok((device, record))
    }

    /// Logs a device in whose signature was verified.
    pub(crate) fn login(
        context: &mut Context<impl Store>,
        mailboxes: &mut Mailboxes,
        link: LinkId,
        request: u32,
        login: &pb::Login,
        found: CheckedLogin,
    ) -> RequestResult {
        let (device, record) = Self::login_of(context, login)?;
        let CheckedLogin {
            new_key,
            key_packages_left,
        } = found;
        let account =
            AccountId::try_from(&record.account_id).map_err(|_| Refused::unavailable())?;
        let mailbox =
            MailboxId::try_from(&record.mailbox_id).map_err(|_| Refused::unavailable())?;
        let last_resort = Self::has_last_resort(context, device)?;
        let acknowledged = mailboxes
            .connect(context, mailbox, device, link)?
            .ok_or_else(wrong_login)?;
        context.links.log_in(link, account, device, mailbox);
        if let Some(identity) = new_key {
            let record = DeviceRecord { identity, ..record };
            let at = key(&[device.as_bytes()]);
            context.view.put(KeySpace::Devices, at, &record);
        }
        context.send(
            link,
            request,
            Answer::LoggedIn(pb::LoggedIn {
                mailbox_id: mailbox.to_bytes(),
                acknowledged,
                key_packages_left,
                last_resort,
            }),
        );
        mailboxes.begin_delivery(context, mailbox);
        Ok(Reply::Later)
    }

    /// A client that is honest does not fail twice.
    pub(crate) fn login_failed(context: &mut Context<impl Store>, link: LinkId) {
        let most = context.config.failed_logins_per_link;
        if let Some(state) = context.links.get_mut(link) {
            state.failed_logins = state.failed_logins.saturating_add(1);
            if state.failed_logins >= most {
                context.close(link);
            }
        }
    }
}

pub(crate) fn wrong_login() -> Refused {
    Refused::unauthorised("this device cannot log in")
}

/// A device's key as it is stored.
pub(crate) fn encode_identity(key: &HybridPublicKey) -> Bytes {
    key.to_wire().encode_to_vec().into()
}

fn decode_identity(key: &Bytes) -> Option<HybridPublicKey> {
    let key = pb::HybridPublicKey::decode(key.clone()).ok()?;
    HybridPublicKey::from_wire(&key).ok()
}
