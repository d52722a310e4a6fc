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

use crate::{
    answer::{Refused, Reply, RequestResult},
    cost,
    link::{LinkId, LinkStage},
    relay::Relay,
    store::{KeySpace, Store, key, records::DeviceRecord},
    verification::{Check, CheckResult, DeviceIdentity},
};

impl<S: Store> Relay<S> {
    /// What a login has to be verified by: cheap, and nothing where it is refused anyway.
    pub(crate) fn login_to_verify(
        &mut self,
        now: Time,
        link: LinkId,
        login: &pb::Login,
    ) -> Result<Check, Refused> {
        let (device, record) = self.login_of(link, login)?;
        let identity = if record.identity.is_empty() {
            let account =
                AccountId::try_from(&record.account_id).map_err(|_| Refused::unavailable())?;
            let statements = self.statements(account)?.ok_or_else(wrong_login)?;
            self.context
                .charge(now, link, cost::of_roster(statements.len()))?;
            DeviceIdentity::Roster(statements)
        } else {
            DeviceIdentity::Key(record.identity)
        };
        let state = self.context.links.of_request(link)?;
        Ok(Check::Login {
            device,
            identity,
            message: login_message(&state.exporter, &state.challenge, device),
        })
    }

    /// The device that logs in, if this link and this device may.
    fn login_of(
        &self,
        link: LinkId,
        login: &pb::Login,
    ) -> Result<(DeviceId, DeviceRecord), Refused> {
        let state = self.context.links.of_request(link)?;
        if !matches!(state.stage, LinkStage::Open) {
            return Err(Refused::malformed("the link is logged in"));
        }
        if self
            .posting
            .get(&link)
            .is_some_and(|posting| !posting.is_empty())
        {
            return Err(Refused::new(
                pb::ErrorCode::WrongLink,
                "a link that posts cannot log in",
            ));
        }
        if self.rendezvouses.place_of(link).is_some() {
            return Err(Refused::new(
                pb::ErrorCode::WrongLink,
                "a link that is at a rendezvous cannot log in",
            ));
        }
        let device = DeviceId::try_from(&login.device_id).map_err(|_| wrong_login())?;
        let record: DeviceRecord = self
            .context
            .view
            .get(KeySpace::Devices, device.as_bytes())?
            .ok_or_else(wrong_login)?;
        // A device has its record for as long as its account's roster has it; then this mark,
        // until the record is deleted.
        let is_revoked = self
            .context
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
        &mut self,
        link: LinkId,
        request: u32,
        login: &pb::Login,
        found: CheckResult,
    ) -> RequestResult {
        let (device, record) = self.login_of(link, login)?;
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
        let last_resort = self.has_last_resort(device)?;
        let acknowledged = self
            .mailboxes
            .connect(&mut self.context, mailbox, device, link)?
            .ok_or_else(wrong_login)?;
        self.context.links.log_in(link, account, device, mailbox);
        if let Some(identity) = new_key {
            let record = DeviceRecord { identity, ..record };
            let at = key(&[device.as_bytes()]);
            self.context.view.put(KeySpace::Devices, at, &record);
        }
        self.context.send(
            link,
            request,
            Answer::LoggedIn(pb::LoggedIn {
                mailbox_id: mailbox.to_bytes(),
                acknowledged,
                key_packages_left,
                last_resort,
            }),
        );
        self.mailboxes.begin_delivery(&mut self.context, mailbox);
        Ok(Reply::Later)
    }

    /// A client that is honest does not fail twice.
    pub(crate) fn login_failed(&mut self, link: LinkId) {
        let most = self.context.config.failed_logins_per_link;
        if let Some(state) = self.context.links.get_mut(link) {
            state.failed_logins = state.failed_logins.saturating_add(1);
            if state.failed_logins >= most {
                self.context.close(link);
            }
        }
    }
}

pub(crate) fn wrong_login() -> Refused {
    Refused::unauthorised("this device cannot log in")
}
