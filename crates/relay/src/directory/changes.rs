//! Changes of an account: the next statement of its roster, the lock of an address, and what
//! happens to a revoked device.
//!
//! **Elsewhere**: a change waits for the log in [`super::publications`]; a first statement
//! comes with a registration ([`crate::address`]).
//!
//! **Always**: a statement counts by its signatures, no matter who submits it. Only devices of
//! the account, and the device that it admits, learn the mailbox of a statement that is
//! already known. A device that the log has revoked can no longer log in, from that moment on;
//! its records are deleted a little later, in steps, and a crash does not stop that.

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
    signature::{HybridPublicKey, login_message},
    time::Time,
};
use waxwing_transparency::proof::Entry;

use super::{
    parse,
    publications::{Cause, Change},
    unknown,
};
use crate::{
    address::verification,
    answer::{Refused, Reply, RequestResult},
    cost,
    link::{LinkId, RequestRef},
    relay::Relay,
    store::{
        Key, KeySpace, Store, StoreError, Write, key,
        records::{
            AccountRecord, AddressRecord, DeviceRecord, EntryRecord, MailboxRecord, RevokedRecord,
        },
    },
    sweep::{Done, SLICE},
    verification::{Check, CheckResult, encode_identity},
};

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
    /// What a statement has to be verified by; nothing where it is answered without.
    pub(crate) fn statement_to_verify(
        &mut self,
        now: Time,
        link: LinkId,
        change: &pb::ChangeRoster,
    ) -> Result<Option<Check>, Refused> {
        self.take_look_up(now, link)?;
        let (account, address, signed) = understood(change)?;
        let at = self.own_address(account, &address)?;
        let stored = self.statements(account)?.ok_or_else(unknown)?;
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
                    let state = self.context.links.of_request(link)?;
                    let device = identity.device_id();
                    Some(Check::Newcomer {
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
        self.context
            .charge(now, link, cost::of_roster(stored.len()))?;
        Ok(Some(Check::Statement { stored }))
    }

    pub(crate) fn change_roster(
        &mut self,
        rng: &mut dyn CryptoRng,
        asked: RequestRef,
        change: &pb::ChangeRoster,
        found: CheckResult,
    ) -> RequestResult {
        let (account, address, signed) = understood(change)?;
        let at = self.own_address(account, &address)?;
        let mut statements = self.statements(account)?.ok_or_else(unknown)?;
        let cause = Cause::Statement(Sha256::digest(&signed.statement).into());
        if self.asked_again(account, &address, &cause, asked) {
            return Ok(Reply::Later);
        }
        let mut mailbox_id = Bytes::new();
        let mut done = RosterWrites::default();
        let entry = if is_among(signed, &statements) {
            let is_in_log = at.roster_length >= statements.len() as u64;
            // Statements are public: nobody learns a mailbox from one.
            let is_newcomer = matches!(found, CheckResult::Newcomer);
            if is_newcomer || self.context.links.account_on(asked.link) == Some(account) {
                mailbox_id = self.mailbox_of_added(account, signed)?;
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
            let CheckResult::Statement(rosters) = found else {
                return Err(Refused::unavailable());
            };
            let (before, after) = *rosters;
            // Another one may have come while this was verified.
            follows(signed, &statements)?;
            if before.length() != statements.len() as u64 {
                return Err(conflict());
            }
            statements.push(signed.clone());
            done = self.roster_writes(rng, Some(&before), &after, None)?;
            if let Some(mailbox) = done.mailboxes.values().next() {
                mailbox_id = mailbox.to_bytes();
            }
            let entry = entry_of(account, &statements, (&address, &at))?;
            done.writes.push(account_write(&after, statements));
            entry
        };
        self.publish(Change {
            address,
            looks: None,
            entry,
            writes: done.writes,
            revoked: done.revoked,
            cause,
            asked: smallvec![asked],
            answer: Answer::RosterChanged(pb::RosterChanged { mailbox_id }),
            former: None,
        })
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

    pub(crate) fn set_lock(
        &mut self,
        now: Time,
        asked: RequestRef,
        set: &pb::SetLock,
    ) -> RequestResult {
        let account = self.context.links.account_logged_in(asked.link)?;
        let address = parse(&set.address)?;
        let at = self.own_address(account, &address)?;
        let cause = Cause::Locked(set.locked);
        if self.asked_again(account, &address, &cause, asked) {
            return Ok(Reply::Later);
        }
        self.nothing_else(account, &address)?;
        // The owner who sets the lock is active: nobody continues to wait for the address.
        let contest = self.contest_ends(&address)?;
        if at.locked == set.locked {
            if let Some(write) = contest {
                self.context.view.delete(write.space, write.key);
            }
            return Ok(Reply::Durable(Answer::Done(pb::Done {})));
        }
        self.changes
            .take(now, account)
            .map_err(Refused::rate_limited)?;
        let statements = self.statements(account)?.ok_or_else(unknown)?;
        let entry = Entry {
            locked: set.locked,
            ..entry_of(account, &statements, (&address, &at))?
        };
        self.publish(Change {
            address,
            looks: None,
            entry,
            writes: contest.into_iter().collect(),
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
            .context
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

    /// The mailbox of the device that a statement adds; empty where it adds none, or the
    /// device was revoked since.
    fn mailbox_of_added(
        &self,
        account: AccountId,
        signed: &pb::SignedStatement,
    ) -> Result<Bytes, Refused> {
        let Some(device) = added_device(signed).map(|key| key.device_id()) else {
            return Ok(Bytes::new());
        };
        let record: Option<DeviceRecord> = self
            .context
            .view
            .get(KeySpace::Devices, device.as_bytes())?;
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
                let mailbox = self.device_writes(rng, account, device, &mut done.writes)?;
                done.mailboxes.insert(device.id, mailbox);
            }
        }
        for device in before.into_iter().flat_map(Roster::devices) {
            if after.device(device.id).is_some() {
                continue;
            }
            let record: Option<DeviceRecord> = self
                .context
                .view
                .get(KeySpace::Devices, device.id.as_bytes())?;
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
        device: &Device,
        writes: &mut Vec<Write>,
    ) -> Result<MailboxId, Refused> {
        let identity = encode_identity(&device.identity);
        let device = device.id;
        let is_going = self
            .context
            .view
            .get_bytes(KeySpace::Revoked, device.as_bytes())?
            .is_some();
        if is_going {
            // Its data is being deleted; soon it may register again.
            return Err(Refused::unavailable());
        }
        let known: Option<DeviceRecord> = self
            .context
            .view
            .get(KeySpace::Devices, device.as_bytes())?;
        let mailbox = known
            .and_then(|record| MailboxId::try_from(&record.mailbox_id).ok())
            .unwrap_or_else(|| MailboxId::random(rng));
        let exists = self
            .context
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
        let before: Option<DeviceRecord> = self
            .context
            .view
            .get(KeySpace::Devices, device.as_bytes())?;
        let record = DeviceRecord {
            account_id: account.to_bytes(),
            mailbox_id: mailbox.to_bytes(),
            sms_key: before.map(|before| before.sms_key).unwrap_or_default(),
            identity,
        };
        writes.push(put(KeySpace::Devices, device.as_bytes(), &record));
        Ok(mailbox)
    }

    /// The log has revoked a device: its link ends, and its mailbox takes nothing more.
    pub(crate) fn device_revoked(&mut self, device: DeviceId) {
        if let Some(link) = self.context.links.log_out(device) {
            self.context.close(link);
        }
        // Where the store cannot be read now, it is when it can be again.
        let record = self.context.view.get(KeySpace::Revoked, device.as_bytes());
        let mailbox = record
            .ok()
            .flatten()
            .and_then(|record: RevokedRecord| MailboxId::try_from(&record.mailbox_id).ok());
        if let Some(mailbox) = mailbox {
            self.mailboxes.revoked.insert(mailbox, device);
            self.mailboxes.drop_mailbox(&mut self.context, mailbox);
        }
    }

    /// Which devices are revoked and not yet deleted, by what is written.
    pub(crate) fn read_revoked(&mut self) -> Result<(), StoreError> {
        let mut revoked = BTreeMap::new();
        let mut from = Key::new();
        loop {
            let page = self.context.view.page(KeySpace::Revoked, &from, REVOKED)?;
            for (at, value) in page.records {
                let record: Option<RevokedRecord> =
                    self.context.view.sound(KeySpace::Revoked, &at, value);
                let mailbox = record.map(|record| MailboxId::try_from(&record.mailbox_id));
                if let (Some(Ok(mailbox)), Ok(device)) = (mailbox, DeviceId::try_from(&at)) {
                    revoked.insert(mailbox, device);
                }
            }
            if page.next.is_empty() || revoked.len() >= REVOKED {
                break;
            }
            from = page.next;
        }
        self.mailboxes.revoked = revoked;
        Ok(())
    }

    /// Deletes some of what revoked devices left.
    pub(crate) fn delete_revoked(&mut self) -> Result<Done, StoreError> {
        let Some((&mailbox, &device)) = self.mailboxes.revoked.first_key_value() else {
            return Ok(Done::all(0));
        };
        let prefix = mailbox.as_bytes();
        let (entries, is_last) = self
            .context
            .view
            .readable(KeySpace::Entries, prefix, SLICE)?;
        let touched = entries.len();
        for (at, value) in entries {
            let Some(entry) = self
                .context
                .view
                .sound::<EntryRecord>(KeySpace::Entries, &at, value)
            else {
                // Which post it held is not known.
                self.context.view.delete(KeySpace::Entries, key(&[&at]));
                continue;
            };
            let sequence = at.last_chunk::<8>().copied().map(u64::from_be_bytes);
            self.mailboxes.delete_entry(
                &mut self.context,
                mailbox,
                sequence.unwrap_or_default(),
                entry.post,
                entry.shared,
            )?;
        }
        if !is_last {
            return Ok(Done::some(touched));
        }
        let at = key(&[device.as_bytes()]);
        let most = limits::KEY_PACKAGES_PER_DEVICE + 1;
        let (packages, is_last) = self
            .context
            .view
            .readable(KeySpace::KeyPackages, &at, most)?;
        let touched = touched + packages.len();
        for (package, _) in packages {
            self.context
                .view
                .delete(KeySpace::KeyPackages, key(&[&package]));
        }
        if !is_last {
            return Ok(Done::some(touched));
        }
        for space in [KeySpace::LastResorts, KeySpace::Devices, KeySpace::Revoked] {
            self.context.view.delete(space, at.clone());
        }
        self.context
            .view
            .delete(KeySpace::Mailboxes, key(&[mailbox.as_bytes()]));
        self.mailboxes.revoked.remove(&mailbox);
        Ok(Done::some(touched + 1))
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
fn entry_of(
    account: AccountId,
    statements: &[pb::SignedStatement],
    (address, at): (&Address, &AddressRecord),
) -> Result<Entry, Refused> {
    let last = statements.last().ok_or_else(Refused::unavailable)?;
    Ok(Entry {
        account,
        roster_length: statements.len() as u64,
        roster_head: Sha256::digest(&last.statement).into(),
        verified_by: verification(address),
        verified_at: Time(at.verified_at_ms),
        locked: at.locked,
    })
}

pub(crate) fn not_the_newcomer() -> Refused {
    Refused::unauthorised("only a device of the account learns a mailbox: log in")
}

pub(crate) fn refused(error: RosterError) -> Refused {
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
