//! Logging in: a device proves on a link that it is there, and gets what waits in its mailbox.
//!
//! **Elsewhere**: [`crate::mailbox`] delivers; [`crate::dispatch`] checks that the link is not
//! used for anything that must not be known to be this device's.
//!
//! **Always**: a device that was revoked cannot log in, from the moment that the log says so.

use waxwing_protocol::{
    ids::{AccountId, DeviceId, MailboxId},
    pb::{self, relay_frame::Body as Answer},
    signature::login_message,
    time::Time,
};

use super::Directory;
use crate::{
    answer::{Refused, Reply, RequestResult},
    context::Context,
    cost,
    link::LinkId,
    mailbox::Mailboxes,
    store::{KeySpace, Store, key, records::DeviceRecord},
    verification::{Check, CheckResult, DeviceIdentity},
};

impl Directory {
    /// What a login has to be verified by: cheap, and nothing where it is refused anyway.
    pub(crate) fn login_to_verify(
        context: &mut Context<impl Store>,
        now: Time,
        link: LinkId,
        login: &pb::Login,
    ) -> Result<Check, Refused> {
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
        Ok(Check::Login {
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
        found: CheckResult,
    ) -> RequestResult {
        let (device, record) = Self::login_of(context, login)?;
        let CheckResult::Login {
            new_key,
            key_packages_left,
        } = found
        else {
            return Err(Refused::unavailable());
        };
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
