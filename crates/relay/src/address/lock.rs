//! Locked addresses: another account gets one only after a long wait with notice.
//!
//! Whoever proves a locked address for another account than its own begins a *contest*,
//! and is told how long it lasts. While it lasts, every device of the account that has
//! the address is told: at once, at each login, and daily. One word from any of them
//! ends it. If none comes, whoever contested it registers it with a new code.
//!
//! **Elsewhere**: setting a lock is [`crate::directory`]'s. A registration with the
//! account's own roster, which the recovery key may have extended, needs no wait.
//!
//! **Always**: a contest is on disk before it is answered, and survives restarts; when
//! its owner was told last does not, and follows from its beginning. A notice may come
//! for a contest that the disk refused a moment later: it is one too many, never one too
//! few. A contest has one contender; another one waits from the beginning.

use std::collections::HashMap;

use bytes::Bytes;
use waxwing_protocol::{
    address::Address,
    ids::{AccountId, RegistrationId},
    limits, pb,
    pb::{ErrorCode, relay_frame::Body as Answer},
    time::{Span, Time},
};

use crate::{
    link::Stage,
    relay::{LinkId, Outcome, Refused, Relay, Reply},
    store::{
        Key, KeySpace, Store, StoreError, key,
        records::{AccountRecord, AddressRecord},
    },
    view::decode,
};

/// How often the owner is told.
const NOTICE: Span = Span::days(1);
/// Addresses that are looked at in one step, after a start.
const STEP: usize = 512;

/// When whose owner is told next.
pub(crate) struct Contests {
    /// By the key of the address. An entry may outlive its contest until it is due.
    due: HashMap<[u8; 32], Time>,
    /// How far the search for those that were there at the start has come.
    from: Option<Key>,
}

impl Default for Contests {
    fn default() -> Self {
        Self {
            due: HashMap::new(),
            from: Some(Key::new()),
        }
    }
}

impl AddressRecord {
    fn contested_since(&self) -> Option<Time> {
        (self.contested_since_ms > 0).then_some(Time(self.contested_since_ms))
    }

    fn contest(&self) -> Option<pb::AddressContested> {
        let since = self.contested_since()?;
        Some(pb::AddressContested {
            since_ms: since.0,
            until_ms: since.after(limits::LOCK_WAIT).0,
        })
    }
}

impl<S: Store> Relay<S> {
    /// What somebody is told who proved an address that is another account's and locked;
    /// `None` where the address may be registered now.
    pub(crate) fn contest(
        &mut self,
        now: Time,
        registration: RegistrationId,
        address: &Address,
        account: AccountId,
    ) -> Result<Option<Reply>, Refused> {
        let at = self.address_key(address);
        let Some(mut record) = self.view.get::<AddressRecord>(KeySpace::Addresses, &at)? else {
            return Ok(None);
        };
        if !record.locked || record.account_id == account.as_bytes().as_slice() {
            return Ok(None);
        }
        let since = record
            .contested_since()
            .filter(|_| record.contested_by == account.as_bytes().as_slice());
        let left = since.map_or(limits::LOCK_WAIT, |since| {
            let left = since.after(limits::LOCK_WAIT).since(now);
            // A clock that was set back makes nobody wait longer than they would anew.
            left.min(limits::LOCK_WAIT)
        });
        if left == Span(0) {
            return Ok(None);
        }
        if since.is_none() {
            let owner =
                AccountId::try_from(&record.account_id).map_err(|_| Refused::unavailable())?;
            self.list_address(owner, &at)?;
            record.contested_since_ms = now.0.max(1);
            record.contested_by = account.to_bytes();
            self.view.put(KeySpace::Addresses, key(&[&at]), &record);
            self.contests.due.insert(at, next_notice(now, now));
            self.tell_account_of_contest(owner, &record);
        }
        // Whoever waits asks for another code when the time has come.
        self.registrations.use_up(registration);
        self.counts.refused += 1;
        let mut refused = Refused::new(
            ErrorCode::AddressLocked,
            "the address is another account's, and locked",
        );
        refused.0.retry_after_ms = left.0;
        Ok(Some(Reply::Durable(Answer::Error(refused.0))))
    }

    pub(crate) fn keep_address(&mut self, link: LinkId) -> Outcome {
        let account = self.account_on(link)?;
        for (at, mut record) in self.contested_addresses(account)? {
            record.contested_since_ms = 0;
            record.contested_by = Bytes::new();
            self.view.put(KeySpace::Addresses, key(&[&at]), &record);
        }
        Ok(Reply::Durable(Answer::Done(pb::Done {})))
    }

    /// Tells a link that has just logged in.
    pub(crate) fn tell_link_of_contests(&mut self, link: LinkId) {
        // A store that cannot be read is met again by the next request.
        let contested = self
            .account_on(link)
            .and_then(|account| self.contested_addresses(account));
        for (_, record) in contested.unwrap_or_default() {
            if let Some(contest) = record.contest() {
                self.send(link, 0, Answer::AddressContested(contest));
            }
        }
    }

    /// Tells the owners whose day it is.
    pub(crate) fn tell_of_contests(&mut self, now: Time) -> Result<(), StoreError> {
        self.find_contests(now)?;
        let due: Vec<[u8; 32]> = self
            .contests
            .due
            .iter()
            .filter(|(_, at)| **at <= now)
            .map(|(at, _)| *at)
            .collect();
        for at in due {
            let record: Option<AddressRecord> = self.view.get(KeySpace::Addresses, &at)?;
            let contested = record.and_then(|record| {
                let owner = AccountId::try_from(&record.account_id).ok()?;
                Some((record.contested_since()?, owner, record))
            });
            match contested {
                Some((since, owner, record)) => {
                    self.contests.due.insert(at, next_notice(since, now));
                    self.tell_account_of_contest(owner, &record);
                }
                None => {
                    self.contests.due.remove(&at);
                }
            }
        }
        Ok(())
    }

    /// Adds an address to those that an account knows for its own, if it is missing.
    pub(crate) fn list_address(&mut self, owner: AccountId, at: &[u8; 32]) -> Result<(), Refused> {
        let account: Option<AccountRecord> = self.view.get(KeySpace::Accounts, owner.as_bytes())?;
        if let Some(mut account) = account
            && !account.addresses.iter().any(|one| one == at.as_slice())
        {
            account.addresses.push(Bytes::copy_from_slice(at));
            self.view
                .put(KeySpace::Accounts, key(&[owner.as_bytes()]), &account);
        }
        Ok(())
    }

    /// Takes an address from those that an account knows for its own.
    pub(crate) fn unlist_address(
        &mut self,
        owner: AccountId,
        at: &[u8; 32],
    ) -> Result<(), Refused> {
        let account: Option<AccountRecord> = self.view.get(KeySpace::Accounts, owner.as_bytes())?;
        if let Some(mut account) = account {
            account.addresses.retain(|one| one != at.as_slice());
            self.view
                .put(KeySpace::Accounts, key(&[owner.as_bytes()]), &account);
        }
        Ok(())
    }

    /// After a start: finds the contests that are on disk, a few addresses at a time.
    fn find_contests(&mut self, now: Time) -> Result<(), StoreError> {
        let Some(from) = self.contests.from.clone() else {
            return Ok(());
        };
        let records = self.view.scan(KeySpace::Addresses, &from, None, STEP)?;
        self.contests.from = records
            .last()
            .filter(|_| records.len() == STEP)
            .map(|(last, _)| key(&[last, &[0]]));
        for (at, value) in records {
            let record: AddressRecord = decode(KeySpace::Addresses, value)?;
            if let Some(since) = record.contested_since()
                && let Ok(at) = at.as_ref().try_into()
            {
                let next = next_notice(since, now);
                self.contests.due.entry(at).or_insert(next);
            }
        }
        Ok(())
    }

    fn contested_addresses(
        &self,
        owner: AccountId,
    ) -> Result<Vec<(Bytes, AddressRecord)>, Refused> {
        let account: Option<AccountRecord> = self.view.get(KeySpace::Accounts, owner.as_bytes())?;
        let mut contested = Vec::new();
        for at in account.map(|record| record.addresses).unwrap_or_default() {
            let record: Option<AddressRecord> = self.view.get(KeySpace::Addresses, &at)?;
            if let Some(record) = record
                && record.account_id == owner.as_bytes().as_slice()
                && record.contested_since().is_some()
            {
                contested.push((at, record));
            }
        }
        Ok(contested)
    }

    fn tell_account_of_contest(&mut self, owner: AccountId, record: &AddressRecord) {
        let Some(contest) = record.contest() else {
            return;
        };
        let links: Vec<LinkId> = self
            .links
            .iter()
            .filter(|(_, state)| {
                matches!(state.stage, Stage::LoggedIn { account, .. } if account == owner)
            })
            .map(|(link, _)| *link)
            .collect();
        for link in links {
            self.send(link, 0, Answer::AddressContested(contest));
        }
    }
}

/// The next whole number of days after the beginning.
fn next_notice(since: Time, now: Time) -> Time {
    let days = now.since(since).0 / NOTICE.0 + 1;
    since.after(Span(NOTICE.0.saturating_mul(days)))
}
