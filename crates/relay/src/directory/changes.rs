//! Changes of an account: its roster's next statement, the lock of an address, and what
//! becomes of a device that is revoked.
//!
//! **Elsewhere**: a change waits for the log in [`super::publications`]; a first
//! statement comes with a registration ([`crate::address`]).
//!
//! **Always**: a statement counts by its signatures, whoever hands it over. A device that
//! the log has revoked cannot log in, from that moment; its records are deleted a little
//! later, in steps, and that is not forgotten across a crash.

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
    roster::{Roster, RosterError},
    time::Time,
};
use waxwing_transparency::proof::Entry;

use super::{
    parse,
    publications::{Cause, Change},
    unknown,
};
use crate::{
    link::Stage,
    posts::Asked,
    relay::{Effect, Outcome, Refused, Relay, Reply},
    store::{
        KeySpace, Store, StoreError, Write, key,
        records::{
            AccountRecord, AddressRecord, DeviceRecord, EntryRecord, MailboxRecord, RevokedRecord,
        },
    },
    view::decode,
};

/// Entries of a revoked device that are deleted in one step.
const STEP: usize = 512;
/// Devices whose records are being deleted, of which is known in memory.
const REVOKED: usize = 65_536;

/// What a roster's change does to the store.
#[derive(Default)]
pub(crate) struct RosterWrites {
    pub(crate) writes: Vec<Write>,
    /// Mailboxes of the devices that are in the roster now and were not, and of the one
    /// that registers.
    pub(crate) mailboxes: BTreeMap<DeviceId, MailboxId>,
    pub(crate) revoked: Vec<DeviceId>,
}

impl<S: Store> Relay<S> {
    pub(crate) fn change_roster(
        &mut self,
        now: Time,
        rng: &mut dyn CryptoRng,
        asked: Asked,
        change: pb::ChangeRoster,
    ) -> Outcome {
        self.take_look_up(now, asked.link)?;
        let account = AccountId::try_from(&change.account_id)
            .map_err(|error| Refused::malformed(&error.to_string()))?;
        let address = parse(&change.address)?;
        let signed = change
            .statement
            .ok_or_else(|| Refused::malformed("a statement is needed"))?;
        if signed.statement.len() > limits::STATEMENT_BYTES {
            return Err(Refused::new(
                ErrorCode::TooLarge,
                "the statement is too large",
            ));
        }
        let at = self.own_address(account, &address)?;
        let mut statements = self.statements(account)?.ok_or_else(unknown)?;
        let cause = Cause::Statement(Sha256::digest(&signed.statement).into());
        if self.asked_again(account, &address, &cause, asked) {
            return Ok(Reply::Later);
        }
        let is_known = statements
            .iter()
            .any(|known| known.statement == signed.statement);
        if is_known && at.roster_length >= statements.len() as u64 {
            return self.changed_before(account, &signed);
        }
        self.nothing_else(account, &address)?;
        // Far cheaper to see than a signature.
        let last = statements
            .last()
            .map(|last| Sha256::digest(&last.statement));
        let follows = pb::Statement::decode(signed.statement.clone())
            .map_err(|error| Refused::malformed(&error.to_string()))?
            .previous;
        if !is_known && last.is_none_or(|last| last.as_slice() != follows) {
            return Err(conflict());
        }
        self.changes
            .take(now, account)
            .map_err(Refused::rate_limited)?;
        let before = Roster::verify(&statements).map_err(|_| Refused::unavailable())?;
        let mut after = before.clone();
        let mut mailbox_id = Bytes::new();
        let mut done = RosterWrites::default();
        if is_known {
            // It came under another of the account's addresses first.
            mailbox_id = self.mailbox_of_added(account, &signed)?;
        } else {
            after.extend(&signed).map_err(refused)?;
            statements.push(signed);
            done = self.roster_writes(rng, Some(&before), &after, None)?;
            if let Some(mailbox) = done.mailboxes.values().next() {
                mailbox_id = mailbox.to_bytes();
            }
            done.writes.push(account_write(&after, statements));
        }
        let entry = Entry {
            locked: at.locked,
            ..Entry::new(&after, at.verified_by(), Time(at.verified_at_ms))
        };
        self.publish(Change {
            address,
            entry,
            writes: done.writes,
            revoked: done.revoked,
            cause,
            asked: smallvec![asked],
            answer: Answer::RosterChanged(pb::RosterChanged { mailbox_id }),
            former: None,
        })
    }

    pub(crate) fn set_lock(&mut self, now: Time, asked: Asked, set: &pb::SetLock) -> Outcome {
        let account = self.account_logged_in(asked.link)?;
        let address = parse(&set.address)?;
        let at = self.own_address(account, &address)?;
        let cause = Cause::Locked(set.locked);
        if self.asked_again(account, &address, &cause, asked) {
            return Ok(Reply::Later);
        }
        self.nothing_else(account, &address)?;
        if at.locked == set.locked {
            return Ok(Reply::Now(Answer::Done(pb::Done {})));
        }
        self.changes
            .take(now, account)
            .map_err(Refused::rate_limited)?;
        let statements = self.statements(account)?.ok_or_else(unknown)?;
        let roster = Roster::verify(&statements).map_err(|_| Refused::unavailable())?;
        let entry = Entry {
            locked: set.locked,
            ..Entry::new(&roster, at.verified_by(), Time(at.verified_at_ms))
        };
        self.publish(Change {
            address,
            entry,
            writes: Vec::new(),
            revoked: Vec::new(),
            cause,
            asked: smallvec![asked],
            answer: Answer::Done(pb::Done {}),
            former: None,
        })
    }

    /// The record of an address, which must be this account's.
    pub(crate) fn own_address(
        &self,
        account: AccountId,
        address: &Address,
    ) -> Result<AddressRecord, Refused> {
        let record: AddressRecord = self
            .view
            .get(KeySpace::Addresses, &self.address_key(address))?
            .ok_or_else(unknown)?;
        if record.account_id != account.to_bytes() {
            return Err(Refused::unauthorised("the address is another account's"));
        }
        Ok(record)
    }

    /// What is made now stands on what is written, and on nothing that is under way.
    fn nothing_else(&self, account: AccountId, address: &Address) -> Result<(), Refused> {
        let publications = &self.publications;
        if publications.changes_account(account) || publications.changes_address(address) {
            return Err(conflict());
        }
        Ok(())
    }

    /// The answer to a statement that is in the log.
    fn changed_before(&self, account: AccountId, signed: &pb::SignedStatement) -> Outcome {
        let mailbox_id = self.mailbox_of_added(account, signed)?;
        Ok(Reply::Now(Answer::RosterChanged(pb::RosterChanged {
            mailbox_id,
        })))
    }

    /// The mailbox of the device that a statement adds; empty where it adds none, or the
    /// device was revoked since.
    fn mailbox_of_added(
        &self,
        account: AccountId,
        signed: &pb::SignedStatement,
    ) -> Result<Bytes, Refused> {
        let statement = pb::Statement::decode(signed.statement.clone());
        let added = statement.ok().and_then(|statement| match statement.change {
            Some(pb::statement::Change::AddDevice(entry)) => entry.identity,
            _ => None,
        });
        let device = added
            .and_then(|key| waxwing_protocol::signature::HybridPublicKey::from_wire(&key).ok())
            .map(|key| key.device_id());
        let Some(device) = device else {
            return Ok(Bytes::new());
        };
        let record: Option<DeviceRecord> = self.view.get(KeySpace::Devices, device.as_bytes())?;
        let own = record.filter(|record| record.account_id == account.to_bytes());
        Ok(own.map(|record| record.mailbox_id).unwrap_or_default())
    }

    /// What is to be written for the devices that come and go between two rosters, and for
    /// the device that registers.
    pub(crate) fn roster_writes(
        &self,
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
                let mailbox = self.device_writes(rng, account, device.id, &mut done.writes)?;
                done.mailboxes.insert(device.id, mailbox);
            }
        }
        for device in before.into_iter().flat_map(Roster::devices) {
            if after.device(device.id).is_some() {
                continue;
            }
            let record: Option<DeviceRecord> =
                self.view.get(KeySpace::Devices, device.id.as_bytes())?;
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
        &self,
        rng: &mut dyn CryptoRng,
        account: AccountId,
        device: DeviceId,
        writes: &mut Vec<Write>,
    ) -> Result<MailboxId, Refused> {
        let is_going = self
            .view
            .get_bytes(KeySpace::Revoked, device.as_bytes())?
            .is_some();
        if is_going {
            // What it had is being deleted; soon it may come anew.
            return Err(Refused::unavailable());
        }
        let known: Option<DeviceRecord> = self.view.get(KeySpace::Devices, device.as_bytes())?;
        let mailbox = known
            .and_then(|record| MailboxId::try_from(&record.mailbox_id).ok())
            .unwrap_or_else(|| MailboxId::random(rng));
        let exists = self
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
        let before: Option<DeviceRecord> = self.view.get(KeySpace::Devices, device.as_bytes())?;
        let record = DeviceRecord {
            account_id: account.to_bytes(),
            mailbox_id: mailbox.to_bytes(),
            sms_key: before.map(|before| before.sms_key).unwrap_or_default(),
        };
        writes.push(put(KeySpace::Devices, device.as_bytes(), &record));
        Ok(mailbox)
    }

    /// The log has revoked a device: its link ends, and its mailbox takes nothing more.
    pub(crate) fn device_revoked(&mut self, device: DeviceId) {
        if let Some(link) = self.devices.remove(&device) {
            // Nothing that still comes on it is the device's.
            if let Some(state) = self.links.get_mut(&link) {
                state.stage = Stage::Open;
            }
            self.effects.push_back(Effect::Close { link });
        }
        // Where the store cannot be read now, it is when it can be again.
        if self.read_revoked().is_ok() {
            let mailbox = self.revoked.iter().find(|(_, one)| **one == device);
            if let Some(mailbox) = mailbox.map(|(mailbox, _)| *mailbox) {
                self.drop_mailbox(mailbox);
            }
            let _ = self.delete_revoked();
        }
    }

    /// Which devices are revoked and not yet deleted, by what is written.
    pub(crate) fn read_revoked(&mut self) -> Result<(), StoreError> {
        let records = self.view.scan(KeySpace::Revoked, &[], None, REVOKED)?;
        self.revoked.clear();
        for (at, value) in records {
            let record: RevokedRecord = decode(KeySpace::Revoked, value)?;
            if let (Ok(mailbox), Ok(device)) = (
                MailboxId::try_from(&record.mailbox_id),
                DeviceId::try_from(&at),
            ) {
                self.revoked.insert(mailbox, device);
            }
        }
        Ok(())
    }

    /// Deletes some of what revoked devices left.
    pub(crate) fn delete_revoked(&mut self) -> Result<(), StoreError> {
        let Some((&mailbox, &device)) = self.revoked.first_key_value() else {
            return Ok(());
        };
        let prefix = mailbox.as_bytes();
        let entries = self
            .view
            .scan_prefix(KeySpace::Entries, prefix, prefix, STEP)?;
        let is_last = entries.len() < STEP;
        for (at, value) in entries {
            let Some(entry) = self.sound::<EntryRecord>(KeySpace::Entries, &at, value) else {
                // Which post it held is not known.
                self.view.delete(KeySpace::Entries, key(&[&at]));
                continue;
            };
            let sequence = at.last_chunk::<8>().copied().map(u64::from_be_bytes);
            self.delete_entry(
                mailbox,
                sequence.unwrap_or_default(),
                entry.post,
                entry.shared,
            )?;
        }
        if !is_last {
            return Ok(());
        }
        let at = key(&[device.as_bytes()]);
        let packages = self.key_packages(device, limits::KEY_PACKAGES_PER_DEVICE);
        for package in packages.map_err(|_| StoreError::Io("it cannot be read".into()))? {
            self.view.delete(KeySpace::KeyPackages, package);
        }
        for space in [KeySpace::LastResorts, KeySpace::Devices, KeySpace::Revoked] {
            self.view.delete(space, at.clone());
        }
        self.view
            .delete(KeySpace::Mailboxes, key(&[mailbox.as_bytes()]));
        self.revoked.remove(&mailbox);
        Ok(())
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
