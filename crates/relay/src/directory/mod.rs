//! The directory: accounts by address, their rosters and their key packages.
//!
//! **Elsewhere**: [`crate::address`] binds an address to an account; [`changes`] changes an
//! account's devices; [`log`] proves all of it; [`tokens`] pay for first contact.
//!
//! **Always**: a key package is handed out once (except the last resort), and that is on disk
//! before the relay answers.

pub(crate) mod changes;
pub mod log;
pub(crate) mod login;
pub(crate) mod publications;
mod revocation;
pub mod tokens;

use std::sync::Arc;

use bytes::Bytes;
use sha2::{Digest as _, Sha256};
use waxwing_protocol::{
    address::{Address, AddressKind},
    ids::{AccountId, DeviceId},
    limits, pb,
    pb::{ErrorCode, relay_frame::Body as Answer},
    roster::{Device, Roster},
    time::Time,
};
use waxwing_transparency::identity::LogIdentity;

use self::{
    log::Question,
    publications::Publications,
    tokens::{TokenKeys, Tokens},
};
use crate::{
    answer::{Refused, Reply, RequestResult},
    checker::Checker,
    config::Config,
    context::Context,
    effect::Effect,
    link::LinkId,
    rate_limit::{Buckets, SourceBuckets},
    store::{
        KeySpace, Store, key,
        records::{AccountRecord, AddressRecord, DeviceRecord},
    },
};

/// Accounts by address: who may look them up, and what changes of them are under way.
pub(crate) struct Directory {
    /// Keys the hash under which addresses are stored.
    hash_key: [u8; 32],
    pub(crate) look_ups: SourceBuckets,
    /// What accounts ask the log to add.
    pub(crate) changes: Buckets<AccountId>,
    pub(crate) publications: Publications,
    pub(crate) log: LogIdentity,
}

/// That the token is good, and what the roster of the account says.
pub(crate) struct ClaimCheck {
    keys: Arc<TokenKeys>,
    stored: Vec<pb::SignedStatement>,
}

impl ClaimCheck {
    pub(crate) fn run(
        self,
        checker: &mut Checker<'_, impl Store>,
        claim: &pb::ClaimKeyPackages,
    ) -> Result<Roster, Refused> {
        self.keys.check(checker, claim.token.as_ref())?;
        of_stored(&self.stored)
    }
}

impl Directory {
    pub(crate) fn new(config: &Config, hash_key: [u8; 32], log: LogIdentity) -> Self {
        Self {
            hash_key,
            look_ups: SourceBuckets::new(config.look_ups_per_source, 100_000),
            changes: Buckets::new(config.changes_per_account, 100_000),
            publications: Publications::default(),
            log,
        }
    }
}

impl Directory {
    pub(crate) fn look_up(
        &mut self,
        context: &mut Context<impl Store>,
        now: Time,
        link: LinkId,
        request: u32,
        look_up: &pb::LookUp,
    ) -> RequestResult {
        self.take_look_up(context, now, link)?;
        let address = parse(&look_up.address)?;
        let question = Question::LookUp {
            address,
            known_head: look_up.known_head,
        };
        Ok(Self::prove(context, link, request, question))
    }

    pub(crate) fn fetch_heads(
        &mut self,
        context: &mut Context<impl Store>,
        now: Time,
        link: LinkId,
        request: u32,
        fetch: pb::FetchHeads,
    ) -> RequestResult {
        if fetch.known.len() > limits::HEADS_PER_REQUEST {
            return Err(Refused::new(ErrorCode::TooLarge, "too many heads"));
        }
        self.take_look_up(context, now, link)?;
        let question = Question::Heads { known: fetch.known };
        Ok(Self::prove(context, link, request, question))
    }

    /// For whoever has the address, and for those who had it before: they may see what
    /// became of it.
    pub(crate) fn fetch_history(
        &mut self,
        context: &mut Context<impl Store>,
        now: Time,
        link: LinkId,
        request: u32,
        fetch: &pb::FetchHistory,
    ) -> RequestResult {
        let account = context.links.account_logged_in(link)?;
        self.take_look_up(context, now, link)?;
        let address = parse(&fetch.address)?;
        let record: AddressRecord = context
            .view
            .get(KeySpace::Addresses, &self.address_key(&address))?
            .ok_or_else(unknown)?;
        let account_id = account.to_bytes();
        let was_theirs = record.former_accounts.contains(&account_id);
        if record.account_id != account_id && !was_theirs {
            return Err(Refused::unauthorised("the address is another account's"));
        }
        let question = Question::History {
            address,
            account,
            known_head: fetch.known_head,
            most_recent: fetch.most_recent,
        };
        Ok(Self::prove(context, link, request, question))
    }

    fn prove(
        context: &mut Context<impl Store>,
        link: LinkId,
        request: u32,
        question: Question,
    ) -> Reply {
        context.effects.push_back(Effect::Prove {
            link,
            request,
            question,
        });
        Reply::Later
    }

    pub(crate) fn take_look_up(
        &mut self,
        context: &Context<impl Store>,
        now: Time,
        link: LinkId,
    ) -> Result<(), Refused> {
        let source = context.links.of_request(link)?.source;
        self.look_ups
            .take(now, source)
            .map_err(Refused::rate_limited)
    }

    pub(crate) fn claim_to_verify(
        &mut self,
        context: &Context<impl Store>,
        tokens: &Tokens,
        now: Time,
        link: LinkId,
        claim: &pb::ClaimKeyPackages,
        keys: Arc<TokenKeys>,
    ) -> Result<ClaimCheck, Refused> {
        self.take_look_up(context, now, link)?;
        let address = parse(&claim.address)?;
        if claim.device_ids.len() > limits::DEVICES {
            return Err(Refused::new(ErrorCode::TooLarge, "too many devices"));
        }
        tokens.unspent(context, claim.token.as_ref())?;
        let account = self.account_of(context, &address)?.ok_or_else(unknown)?;
        let stored = Self::statements(context, account)?.ok_or_else(unknown)?;
        Ok(ClaimCheck { keys, stored })
    }

    pub(crate) fn claim_key_packages(
        &self,
        context: &mut Context<impl Store>,
        tokens: &Tokens,
        claim: &pb::ClaimKeyPackages,
        mut roster: Roster,
    ) -> RequestResult {
        let address = parse(&claim.address)?;
        let token = tokens.unspent(context, claim.token.as_ref())?;
        let account = self.account_of(context, &address)?.ok_or_else(unknown)?;
        let statements = Self::statements(context, account)?.ok_or_else(unknown)?;
        // It may have changed while the token was verified.
        if roster.account() != account || roster.length() != statements.len() as u64 {
            roster = of_stored(&statements)?;
        }
        let mut key_packages = Vec::new();
        let mut taken = Vec::new();
        let is_asked_for = |device: &Device| {
            let mut ids = claim.device_ids.iter();
            claim.device_ids.is_empty() || ids.any(|id| *id == device.id.as_bytes().as_slice())
        };
        for device in roster.devices().iter().filter(|one| is_asked_for(one)) {
            let Some(record) = context
                .view
                .get::<DeviceRecord>(KeySpace::Devices, device.id.as_bytes())?
                .filter(|record| record.account_id == account.to_bytes())
            else {
                continue;
            };
            let Some((key_package, at)) = Self::next_key_package(context, device.id)? else {
                continue;
            };
            taken.extend(at.map(|at| (device.id, at)));
            key_packages.push(pb::ClaimedKeyPackage {
                device_id: device.id.to_bytes(),
                mailbox_id: record.mailbox_id,
                key_package,
            });
        }
        // Everything was found: only now does anything change.
        tokens.spend(context, &token);
        for (device, at) in taken {
            context.view.delete(KeySpace::KeyPackages, at);
            Self::warn_when_low(context, device)?;
        }
        Ok(Reply::Durable(Answer::KeyPackagesClaimed(
            pb::KeyPackagesClaimed {
                account_id: account.to_bytes(),
                key_packages,
            },
        )))
    }

    pub(crate) fn publish_key_packages(
        context: &mut Context<impl Store>,
        link: LinkId,
        publish: pb::PublishKeyPackages,
    ) -> RequestResult {
        let device = context.links.device_logged_in(link)?;
        let all = publish
            .key_packages
            .iter()
            .chain(std::iter::once(&publish.last_resort));
        if publish.key_packages.len() > limits::KEY_PACKAGES_PER_UPLOAD
            || all
                .clone()
                .any(|package| package.len() > limits::KEY_PACKAGE_BYTES)
        {
            return Err(Refused::new(
                ErrorCode::TooLarge,
                "too many or too large key packages",
            ));
        }
        if publish.key_packages.iter().any(Bytes::is_empty) {
            return Err(Refused::malformed("a key package is empty"));
        }
        let present = Self::key_packages(context, device, limits::KEY_PACKAGES_PER_DEVICE)?;
        let kept = if publish.replace { 0 } else { present.len() };
        if kept + publish.key_packages.len() > limits::KEY_PACKAGES_PER_DEVICE {
            return Err(Refused::new(
                ErrorCode::TooLarge,
                "the device has enough key packages",
            ));
        }
        let first = present
            .last()
            .and_then(|at| number(at))
            .map_or(0, |last| last + 1);
        if publish.replace {
            for at in present {
                context.view.delete(KeySpace::KeyPackages, at);
            }
        }
        let left = kept + publish.key_packages.len();
        for (number, package) in (first..).zip(publish.key_packages) {
            let at = key(&[device.as_bytes(), &number.to_be_bytes()]);
            context.view.put_bytes(KeySpace::KeyPackages, at, package);
        }
        if !publish.last_resort.is_empty() {
            let at = key(&[device.as_bytes()]);
            context
                .view
                .put_bytes(KeySpace::LastResorts, at, publish.last_resort);
        }
        Ok(Reply::Durable(Answer::KeyPackagesPublished(
            pb::KeyPackagesPublished {
                key_packages_left: count(left),
            },
        )))
    }

    /// What is known of an account, for a login or a look-up.
    pub(crate) fn statements(
        context: &Context<impl Store>,
        account: AccountId,
    ) -> Result<Option<Vec<pb::SignedStatement>>, Refused> {
        let record: Option<AccountRecord> =
            context.view.get(KeySpace::Accounts, account.as_bytes())?;
        Ok(record.map(|record| record.roster))
    }

    /// Keys of a device's key packages, oldest first.
    pub(crate) fn key_packages(
        context: &Context<impl Store>,
        device: DeviceId,
        most: usize,
    ) -> Result<Vec<crate::store::Key>, Refused> {
        let prefix = device.as_bytes();
        let records = context
            .view
            .scan_prefix(KeySpace::KeyPackages, prefix, prefix, most)?;
        Ok(records.into_iter().map(|(at, _)| key(&[&at])).collect())
    }

    pub(crate) fn has_last_resort(
        context: &Context<impl Store>,
        device: DeviceId,
    ) -> Result<bool, Refused> {
        Ok(context
            .view
            .get_bytes(KeySpace::LastResorts, device.as_bytes())?
            .is_some())
    }

    /// The oldest key package with its key, or the last resort without one.
    #[allow(
        clippy::type_complexity,
        reason = "two words for two callers' worth of type"
    )]
    fn next_key_package(
        context: &Context<impl Store>,
        device: DeviceId,
    ) -> Result<Option<(Bytes, Option<crate::store::Key>)>, Refused> {
        let prefix = device.as_bytes();
        let first = context
            .view
            .scan_prefix(KeySpace::KeyPackages, prefix, prefix, 1)?
            .pop();
        if let Some((at, package)) = first {
            return Ok(Some((package, Some(key(&[&at])))));
        }
        let last_resort = context.view.get_bytes(KeySpace::LastResorts, prefix)?;
        Ok(last_resort.map(|package| (package, None)))
    }

    fn warn_when_low(context: &mut Context<impl Store>, device: DeviceId) -> Result<(), Refused> {
        let left = Self::key_packages(context, device, limits::KEY_PACKAGES_LOW + 1)?.len();
        if left < limits::KEY_PACKAGES_LOW
            && let Some(link) = context.links.of_device(device)
        {
            let low = pb::KeyPackagesLow {
                key_packages_left: count(left),
            };
            context.send(link, 0, Answer::KeyPackagesLow(low));
        }
        Ok(())
    }

    /// Under what an address is stored: a hash that needs the relay's key, so that a
    /// stolen store cannot be searched for addresses without it.
    pub(crate) fn address_key(&self, address: &Address) -> [u8; 32] {
        self.hash(b"waxwing address v1", address.canonical().as_bytes())
    }

    /// A hash that needs the relay's key.
    pub(crate) fn hash(&self, label: &[u8], bytes: &[u8]) -> [u8; 32] {
        let mut hash = Sha256::new();
        hash.update(label);
        hash.update(self.hash_key);
        hash.update(bytes);
        hash.finalize().into()
    }

    /// The account that has an address.
    pub(crate) fn account_of(
        &self,
        context: &Context<impl Store>,
        address: &Address,
    ) -> Result<Option<AccountId>, Refused> {
        let record: Option<AddressRecord> = context
            .view
            .get(KeySpace::Addresses, &self.address_key(address))?;
        Ok(record.and_then(|record| AccountId::try_from(&record.account_id).ok()))
    }

    /// The record of an address, which must be this account's.
    pub(crate) fn own_address(
        &self,
        context: &Context<impl Store>,
        account: AccountId,
        address: &Address,
    ) -> Result<AddressRecord, Refused> {
        let record: AddressRecord = context
            .view
            .get(KeySpace::Addresses, &self.address_key(address))?
            .ok_or_else(unknown)?;
        if record.account_id != account.to_bytes() {
            return Err(Refused::unauthorised("the address is another account's"));
        }
        Ok(record)
    }
}

pub(crate) fn parse(address: &str) -> Result<Address, Refused> {
    Address::parse(address).map_err(|error| Refused::malformed(&error.to_string()))
}

pub(crate) fn unknown() -> Refused {
    Refused::new(ErrorCode::AddressUnknown, "nobody here has this address")
}

fn number(at: &[u8]) -> Option<u64> {
    at.last_chunk::<8>()
        .map(|number| u64::from_be_bytes(*number))
}

fn count(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

/// How an address is verified. The kind of address decides: what an earlier version wrote
/// into the log for a phone number (that a code was mailed) is not copied into new entries.
pub(crate) const fn verification(address: &Address) -> pb::Verification {
    match address.kind() {
        AddressKind::Email => pb::Verification::EmailCode,
        AddressKind::Phone => pb::Verification::SmsCode,
    }
}

/// What statements say that were verified before they were stored.
pub(crate) fn of_stored(statements: &[pb::SignedStatement]) -> Result<Roster, Refused> {
    Roster::of_verified(statements).map_err(|_| Refused::unavailable())
}
