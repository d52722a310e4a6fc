//! Changes of an account: the next statement of its roster.
//!
//! **Elsewhere**: a change waits for the log in [`super::publications`]; a first statement
//! comes with a registration ([`crate::address`]), which also locks addresses; what a revoked
//! device leaves is deleted in [`super::revocation`].
//!
//! **Always**: a statement counts by its signatures, no matter who submits it. Only devices of
//! the account, and the device that it admits, learn the mailbox of a statement that is
//! already known.

use std::collections::BTreeMap;

use bytes::Bytes;
use prost::Message as _;
use rand::CryptoRng;
use sha2::{Digest as _, Sha256};
use smallvec::smallvec;
use waxwing_protocol::{
    address::Address,
    ids::{AccountId, DeviceId, MailboxId},
    limits, pb,
    pb::{ErrorCode, relay_frame::Body as Answer},
    roster::{Device, Roster, RosterError},
    signature::{HybridPublicKey, Purpose, login_message},
    time::Time,
};
use waxwing_transparency::proof::Entry;

use super::{
    Directory,
    login::encode_identity,
    of_stored, parse,
    publications::{Cause, Change},
    unknown, verification,
};
use crate::{
    answer::{Refused, Reply, RequestResult},
    checker::Checker,
    context::Context,
    cost,
    link::{LinkId, RequestRef},
    store::{
        KeySpace, Store, Write, key,
        records::{AccountRecord, AddressRecord, DeviceRecord, MailboxRecord, RevokedRecord},
    },
};

/// What a roster's change does to the store.
#[derive(Default)]
pub(crate) struct RosterWrites {
    pub(crate) writes: Vec<Write>,
    /// Mailboxes of the devices that are in the roster now and were not, and of the one
    /// that registers.
    pub(crate) mailboxes: BTreeMap<DeviceId, MailboxId>,
    pub(crate) revoked: Vec<DeviceId>,
}

/// What is checked of a change.
pub(crate) enum ChangeCheck {
    /// That the statement may follow these.
    Statement { stored: Vec<pb::SignedStatement> },
    /// That the device which a statement admitted is on this link.
    Newcomer {
        identity: HybridPublicKey,
        message: Vec<u8>,
    },
}

/// What was found.
pub(crate) enum CheckedChange {
    /// The roster before and after the statement.
    Statement(Box<(Roster, Roster)>),
    /// The device that the statement admitted is on this link.
    Newcomer,
}

impl ChangeCheck {
    pub(crate) fn run(
        self,
        checker: &mut Checker<'_, impl Store>,
        change: &pb::ChangeRoster,
    ) -> Result<CheckedChange, Refused> {
        match self {
            Self::Statement { stored } => {
                let statement = change.statement.as_ref();
                let statement = statement.ok_or_else(|| Refused::malformed("no statement"))?;
                let before = of_stored(&stored)?;
                let mut after = before.clone();
                checker.signatures += 1 + u32::from(statement.consent.is_some());
                after.extend(statement).map_err(refused)?;
                Ok(CheckedChange::Statement(Box::new((before, after))))
            }
            Self::Newcomer { identity, message } => {
                checker.signatures += 1;
                let signature = change.newcomer.as_ref();
                signature
                    .and_then(|it| identity.verify(Purpose::Login, &message, it).ok())
                    .ok_or_else(not_the_newcomer)?;
                Ok(CheckedChange::Newcomer)
            }
        }
    }
}

impl Directory {
    /// What a statement has to be verified by; nothing where it is answered without.
    pub(crate) fn statement_to_verify(
        &mut self,
        context: &mut Context<impl Store>,
        now: Time,
        link: LinkId,
        change: &pb::ChangeRoster,
    ) -> Result<Option<ChangeCheck>, Refused> {
        self.take_look_up(context, now, link)?;
        let (account, address, signed) = understood(change)?;
        let at = self.own_address(context, account, &address)?;
        let stored = Self::statements(context, account)?.ok_or_else(unknown)?;
        if self.is_under_way(account, &address, signed) {
            return Ok(None);
        }
        if is_among(signed, &stored) {
            if at.roster_length < stored.len() as u64 {
                self.nothing_else(account, &address)?;
                self.take_change(now, account)?;
            }
            return Ok(match added_device(signed) {
                Some(identity) if change.newcomer.is_some() => {
                    let state = context.links.of_request(link)?;
                    let device = identity.device_id();
                    Some(ChangeCheck::Newcomer {
                        identity,
                        message: login_message(&state.exporter, &state.challenge, device),
                    })
                }
                _ => None,
            });
        }
        self.nothing_else(account, &address)?;
        // Far cheaper to see than a signature.
        follows(signed, &stored)?;
        self.take_change(now, account)?;
        context.charge(now, link, cost::of_roster(stored.len()))?;
        Ok(Some(ChangeCheck::Statement { stored }))
    }

    pub(crate) fn change_roster(
        &mut self,
        context: &Context<impl Store>,
        rng: &mut dyn CryptoRng,
        asked: RequestRef,
        change: &pb::ChangeRoster,
        found: Option<CheckedChange>,
    ) -> RequestResult {
        let (account, address, signed) = understood(change)?;
        let at = self.own_address(context, account, &address)?;
        let mut statements = Self::statements(context, account)?.ok_or_else(unknown)?;
        let cause = Cause::Statement(Sha256::digest(&signed.statement).into());
        if self.asked_again(account, &address, &cause, asked) {
            return Ok(Reply::Later);
        }
        let mut mailbox_id = Bytes::new();
        let mut closes = false;
        let mut done = RosterWrites::default();
        let entry = if is_among(signed, &statements) {
            let is_in_log = at.roster_length >= statements.len() as u64;
            // Statements are public: nobody learns a mailbox from one.
            let is_newcomer = matches!(found, Some(CheckedChange::Newcomer));
            if is_newcomer || context.links.account_on(asked.link) == Some(account) {
                mailbox_id = Self::mailbox_of_added(context, account, signed)?;
            } else if is_in_log && added_device(signed).is_some() {
                return Err(not_the_newcomer());
            }
            if is_in_log {
                let answer = pb::RosterChanged { mailbox_id };
                return Ok(Reply::Now(Answer::RosterChanged(answer)));
            }
            // It came under another of the account's addresses first.
            self.nothing_else(account, &address)?;
            entry_of(account, &statements, (&address, &at))?
        } else {
            self.nothing_else(account, &address)?;
            let Some(CheckedChange::Statement(rosters)) = found else {
                return Err(Refused::unavailable());
            };
            let (before, after) = *rosters;
            // Another one may have come while this was verified.
            follows(signed, &statements)?;
            if before.length() != statements.len() as u64 {
                return Err(conflict());
            }
            statements.push(signed.clone());
            closes = after.devices().is_empty();
            done = Self::roster_writes(context, rng, Some(&before), &after, None)?;
            if let Some(mailbox) = done.mailboxes.values().next() {
                mailbox_id = mailbox.to_bytes();
            }
            let entry = entry_of(account, &statements, (&address, &at))?;
            done.writes.push(account_write(&after, statements));
            entry
        };
        self.publish(
            context,
            Change {
                address,
                looks: None,
                entry,
                writes: done.writes,
                revoked: done.revoked,
                closes,
                cause,
                asked: smallvec![asked],
                answer: Answer::RosterChanged(pb::RosterChanged { mailbox_id }),
                former: None,
            },
        )
    }

    fn is_under_way(
        &self,
        account: AccountId,
        address: &Address,
        signed: &pb::SignedStatement,
    ) -> bool {
        let cause = Cause::Statement(Sha256::digest(&signed.statement).into());
        self.publications.has(account, address, &cause)
    }

    fn take_change(&mut self, now: Time, account: AccountId) -> Result<(), Refused> {
        self.changes
            .take(now, account)
            .map_err(Refused::rate_limited)
    }

    /// What is made now stands on what is written, and on nothing that is under way.
    pub(crate) fn nothing_else(
        &self,
        account: AccountId,
        address: &Address,
    ) -> Result<(), Refused> {
        let publications = &self.publications;
        if publications.changes_account(account) || publications.changes_address(address) {
            return Err(conflict());
        }
        Ok(())
    }

    /// The mailbox of the device that a statement adds; empty where it adds none, or the
    /// device was revoked since.
    fn mailbox_of_added(
        context: &Context<impl Store>,
        account: AccountId,
        signed: &pb::SignedStatement,
    ) -> Result<Bytes, Refused> {
        let Some(device) = added_device(signed).map(|key| key.device_id()) else {
            return Ok(Bytes::new());
        };
        let record: Option<DeviceRecord> =
            context.view.get(KeySpace::Devices, device.as_bytes())?;
        let own = record.filter(|record| record.account_id == account.to_bytes());
        Ok(own.map(|record| record.mailbox_id).unwrap_or_default())
    }

    /// What is to be written for the devices that come and go between two rosters, and for
    /// the device that registers.
    pub(crate) fn roster_writes(
        context: &Context<impl Store>,
        rng: &mut dyn CryptoRng,
        before: Option<&Roster>,
        after: &Roster,
        registers: Option<DeviceId>,
    ) -> Result<RosterWrites, Refused> {
        let account = after.account();
        let mut done = RosterWrites::default();
        for device in after.devices() {
            let is_new = before.is_none_or(|before| before.device(device.id).is_none());
            // The first roster's other devices, if any, register themselves.
            let is_added = is_new && before.is_some();
            if is_added || registers == Some(device.id) {
                let mailbox = Self::device_writes(context, rng, account, device, &mut done.writes)?;
                done.mailboxes.insert(device.id, mailbox);
            }
        }
        for device in before.into_iter().flat_map(Roster::devices) {
            if after.device(device.id).is_some() {
                continue;
            }
            let record: Option<DeviceRecord> =
                context.view.get(KeySpace::Devices, device.id.as_bytes())?;
            // It may have started an account of its own since.
            let Some(record) = record.filter(|record| record.account_id == account.to_bytes())
            else {
                continue;
            };
            let mark = RevokedRecord {
                mailbox_id: record.mailbox_id,
            };
            done.writes
                .push(put(KeySpace::Revoked, device.id.as_bytes(), &mark));
            done.revoked.push(device.id);
        }
        Ok(done)
    }

    fn device_writes(
        context: &Context<impl Store>,
        rng: &mut dyn CryptoRng,
        account: AccountId,
        device: &Device,
        writes: &mut Vec<Write>,
    ) -> Result<MailboxId, Refused> {
        let identity = encode_identity(&device.identity);
        let device = device.id;
        let is_going = context
            .view
            .get_bytes(KeySpace::Revoked, device.as_bytes())?
            .is_some();
        if is_going {
            // Its data is being deleted; soon it may register again.
            return Err(Refused::unavailable());
        }
        let known: Option<DeviceRecord> = context.view.get(KeySpace::Devices, device.as_bytes())?;
        let mailbox = known
            .and_then(|record| MailboxId::try_from(&record.mailbox_id).ok())
            .unwrap_or_else(|| MailboxId::random(rng));
        let exists = context
            .view
            .get_bytes(KeySpace::Mailboxes, mailbox.as_bytes())?
            .is_some();
        if !exists {
            let record = MailboxRecord {
                device_id: device.to_bytes(),
                reserved: 1,
                acknowledged: 0,
            };
            writes.push(put(KeySpace::Mailboxes, mailbox.as_bytes(), &record));
        }
        let before: Option<DeviceRecord> =
            context.view.get(KeySpace::Devices, device.as_bytes())?;
        let record = DeviceRecord {
            account_id: account.to_bytes(),
            mailbox_id: mailbox.to_bytes(),
            sms_key: before.map(|before| before.sms_key).unwrap_or_default(),
            identity,
        };
        writes.push(put(KeySpace::Devices, device.as_bytes(), &record));
        Ok(mailbox)
    }
}

pub(crate) fn account_write(roster: &Roster, statements: Vec<pb::SignedStatement>) -> Write {
    let record = AccountRecord { roster: statements };
    put(KeySpace::Accounts, roster.account().as_bytes(), &record)
}

pub(crate) fn put(space: KeySpace, at: &[u8], value: &impl prost::Message) -> Write {
    Write {
        space,
        key: key(&[at]),
        value: Some(value.encode_to_vec().into()),
    }
}

pub(crate) fn conflict() -> Refused {
    Refused::new(
        ErrorCode::RosterConflict,
        "another change of the account came first",
    )
}

/// What a request says, if its parts are there.
fn understood(
    change: &pb::ChangeRoster,
) -> Result<(AccountId, Address, &pb::SignedStatement), Refused> {
    let account = AccountId::try_from(&change.account_id)
        .map_err(|error| Refused::malformed(&error.to_string()))?;
    let address = parse(&change.address)?;
    let signed = change
        .statement
        .as_ref()
        .ok_or_else(|| Refused::malformed("a statement is needed"))?;
    if signed.statement.len() > limits::STATEMENT_BYTES {
        return Err(Refused::new(
            ErrorCode::TooLarge,
            "the statement is too large",
        ));
    }
    Ok((account, address, signed))
}

fn is_among(signed: &pb::SignedStatement, stored: &[pb::SignedStatement]) -> bool {
    stored
        .iter()
        .any(|known| known.statement == signed.statement)
}

/// Whether a statement names the last of these as the one before it.
fn follows(signed: &pb::SignedStatement, stored: &[pb::SignedStatement]) -> Result<(), Refused> {
    let statement = pb::Statement::decode(signed.statement.clone())
        .map_err(|error| Refused::malformed(&error.to_string()))?;
    let last = stored.last().map(|last| Sha256::digest(&last.statement));
    if last.is_some_and(|last| last.as_slice() == statement.previous) {
        Ok(())
    } else {
        Err(conflict())
    }
}

/// The key of the device that a statement adds.
fn added_device(signed: &pb::SignedStatement) -> Option<HybridPublicKey> {
    let statement = pb::Statement::decode(signed.statement.clone()).ok()?;
    match statement.change? {
        pb::statement::Change::AddDevice(entry) => {
            HybridPublicKey::from_wire(&entry.identity?).ok()
        }
        _ => None,
    }
}

/// What the log says of an account's address, when its roster is these statements.
pub(crate) fn entry_of(
    account: AccountId,
    statements: &[pb::SignedStatement],
    (address, at): (&Address, &AddressRecord),
) -> Result<Entry, Refused> {
    let last = statements.last().ok_or_else(Refused::unavailable)?;
    // An account that was deleted keeps its address from nobody.
    let is_closed = of_stored(statements)?.devices().is_empty();
    Ok(Entry {
        account,
        roster_length: statements.len() as u64,
        roster_head: Sha256::digest(&last.statement).into(),
        verified_by: verification(address),
        verified_at: Time(at.verified_at_ms),
        locked: at.locked && !is_closed,
    })
}

fn not_the_newcomer() -> Refused {
    Refused::unauthorised("only a device of the account learns a mailbox: log in")
}

fn refused(error: RosterError) -> Refused {
    let detail = error.to_string();
    match error {
        RosterError::TooLarge => Refused::new(ErrorCode::TooLarge, &detail),
        RosterError::NotNext(_) => Refused::new(ErrorCode::RosterConflict, &detail),
        RosterError::Empty | RosterError::Malformed(_) | RosterError::Impossible(_) => {
            Refused::malformed(&detail)
        }
        _ => Refused::unauthorised(&detail),
    }
}
