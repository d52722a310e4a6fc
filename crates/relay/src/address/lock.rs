//! Locked addresses: another account gets one only after a long wait with notice.
//!
//! Somebody who proves a locked address for another account begins a *contest*, and learns how
//! long it lasts. During the contest, the relay tells every device of the account that has the
//! address: at once, at each login, and daily. Any of them can end the contest. If none does,
//! the contender registers the address with a new code.
//!
//! **Elsewhere**: [`crate::directory`] sets a lock. A registration with the account's own
//! roster, which the recovery key may have extended, does not have to wait.
//!
//! **Always**: a contest is on disk before the relay answers, and survives restarts. When its
//! owner was last told is not stored; it follows from the beginning of the contest. The relay
//! may send a notice for a contest that the disk refuses a moment later: there may be one
//! notice too many, never one too few. A contest has one contender; another one has to wait
//! from the beginning.

use std::collections::{BTreeMap, BTreeSet};

use smallvec::smallvec;
use waxwing_protocol::{
    address::Address,
    ids::{AccountId, RegistrationId},
    limits, pb,
    pb::{ErrorCode, relay_frame::Body as Answer},
    time::{Span, Time},
};
use waxwing_transparency::proof::Entry;

use super::Registrations;
use crate::{
    answer::{Refused, Reply, RequestResult},
    context::Context,
    directory::{
        Directory,
        changes::{conflict, entry_of},
        parse,
        publications::{Cause, Change},
        unknown,
    },
    link::{LinkId, RequestRef},
    store::{
        Key, KeySpace, Store, StoreError, Write, key,
        records::{AddressRecord, ContestRecord},
    },
    sweep::{Done, SLICE},
};

/// How often the relay tells the owner.
const NOTICE: Span = Span::days(1);
/// When a contest is over that nobody ended.
const OVER: Span = Span(2 * limits::LOCK_WAIT.0);
/// Contests of one account that it is told of at a login.
const STEP: usize = 512;

/// When the relay tells each owner next.
pub(crate) struct Contests {
    /// By the contest's key in the store. An entry may outlive its contest until it is due.
    due: BTreeMap<Key, Time>,
    /// The same, the first that is due first.
    by_time: BTreeSet<(Time, Key)>,
    /// How far the search for those that were there at the start has come.
    from: Option<Key>,
}

impl Default for Contests {
    fn default() -> Self {
        Self {
            due: BTreeMap::new(),
            by_time: BTreeSet::new(),
            from: Some(Key::new()),
        }
    }
}

impl Contests {
    fn set(&mut self, place: Key, at: Time) {
        self.remove(&place);
        self.by_time.insert((at, place.clone()));
        self.due.insert(place, at);
    }

    fn remove(&mut self, place: &Key) {
        if let Some(at) = self.due.remove(place) {
            self.by_time.remove(&(at, place.clone()));
        }
    }
}

impl ContestRecord {
    fn since(&self) -> Time {
        Time(self.since_ms)
    }

    fn is_over(&self, date: Time) -> bool {
        date.since(self.since()) >= OVER
    }

    fn notice(&self) -> pb::AddressContested {
        pb::AddressContested {
            since_ms: self.since_ms,
            until_ms: self.since().after(limits::LOCK_WAIT).0,
        }
    }
}

impl Registrations {
    /// The answer to somebody who proved an address that belongs to another account and is locked;
    /// `None` where the address may be registered now.
    pub(crate) fn contest(
        &mut self,
        context: &mut Context<impl Store>,
        directory: &Directory,
        now: Time,
        registration: RegistrationId,
        address: &Address,
        account: AccountId,
    ) -> Result<Option<Reply>, Refused> {
        let at = directory.address_key(address);
        // A clock that leaps ends nobody's wait.
        let (now, waited_until) = (context.date(now), context.expiry_date(now));
        let Some(record) = context
            .view
            .get::<AddressRecord>(KeySpace::Addresses, &at)?
        else {
            return Ok(None);
        };
        if !record.locked || record.account_id == account.as_bytes().as_slice() {
            return Ok(None);
        }
        let owner = AccountId::try_from(&record.account_id).map_err(|_| Refused::unavailable())?;
        let place = key(&[owner.as_bytes(), &at]);
        // One that cannot be read is none: the wait begins again.
        let contest: Option<ContestRecord> = context.view.sound_at(KeySpace::Contests, &place)?;
        let contest = contest.filter(|contest| {
            contest.by == account.as_bytes().as_slice() && !contest.is_over(waited_until)
        });
        let left = contest.as_ref().map_or(limits::LOCK_WAIT, |contest| {
            let left = contest.since().after(limits::LOCK_WAIT).since(waited_until);
            // A clock that was set back makes nobody wait longer than a new contest would.
            left.min(limits::LOCK_WAIT)
        });
        if left == Span(0) {
            return Ok(None);
        }
        if contest.is_none() {
            let contest = ContestRecord {
                since_ms: now.0,
                by: account.to_bytes(),
            };
            context
                .view
                .put(KeySpace::Contests, place.clone(), &contest);
            self.contests.set(place, next_notice(now, now));
            Self::tell_account_of_contest(context, owner, &contest);
        }
        // The contender asks for another code when the time has come.
        self.codes.use_up(registration);
        context.counts.refused += 1;
        Ok(Some(Reply::Durable(Answer::Error(locked(left).0))))
    }

    /// Ends the contest for an address that is registered now, no matter who won it.
    pub(crate) fn contest_ends(
        context: &Context<impl Store>,
        directory: &Directory,
        address: &Address,
    ) -> Result<Option<Write>, Refused> {
        let at = directory.address_key(address);
        let record: Option<AddressRecord> = context.view.get(KeySpace::Addresses, &at)?;
        Ok(record.map(|record| Write {
            space: KeySpace::Contests,
            key: key(&[&record.account_id, &at]),
            value: None,
        }))
    }

    /// The owner's word. A contender who has waited long enough may be on the way into the
    /// log: `Done` means that it does not get there.
    pub(crate) fn keep_address(
        context: &mut Context<impl Store>,
        directory: &mut Directory,
        link: LinkId,
    ) -> RequestResult {
        let account = context.links.account_logged_in(link)?;
        let contests = Self::contests_of(context, account)?;
        let contested = |address: &Address, by: AccountId| {
            let at = directory.address_key(address);
            by != account && contests.iter().any(|(place, _)| place.ends_with(&at))
        };
        let withdrawn = match directory.publications.withdrawable(contested) {
            Some(registrations) => directory.publications.withdraw(&registrations),
            // The log is about to say whose the address is.
            None => return Err(conflict()),
        };
        for asked in withdrawn {
            context.counts.refused += 1;
            let refused = locked(limits::LOCK_WAIT);
            context.send(asked.link, asked.request, Answer::Error(refused.0));
        }
        for (place, _) in contests {
            context.view.delete(KeySpace::Contests, place);
        }
        Ok(Reply::Durable(Answer::Done(pb::Done {})))
    }

    /// Tells a link that has just logged in.
    pub(crate) fn tell_link_of_contests(context: &mut Context<impl Store>, link: LinkId) {
        let Some(account) = context.links.account_on(link) else {
            return;
        };
        // A store that cannot be read is met again by the next request.
        for (_, contest) in Self::contests_of(context, account).unwrap_or_default() {
            context.send(link, 0, Answer::AddressContested(contest.notice()));
        }
    }

    /// Tells the owners whose day it is, `most` of them.
    pub(crate) fn tell_of_contests(
        &mut self,
        context: &mut Context<impl Store>,
        now: Time,
        most: usize,
    ) -> Result<Done, StoreError> {
        let (now, expiry) = (context.date(now), context.expiry_date(now));
        for touched in 0..most {
            let first = self.contests.by_time.first();
            let Some((_, place)) = first.filter(|(at, _)| *at <= now).cloned() else {
                return Ok(Done::all(touched));
            };
            let contest: Option<ContestRecord> =
                context.view.sound_at(KeySpace::Contests, &place)?;
            let owner = place.first_chunk::<32>().map(|owner| AccountId(*owner));
            match contest.zip(owner) {
                Some((contest, _)) if contest.is_over(expiry) => {
                    self.contests.remove(&place);
                    context.view.delete(KeySpace::Contests, place);
                }
                Some((contest, owner)) => {
                    let next = next_notice(contest.since(), now);
                    self.contests.set(place, next);
                    Self::tell_account_of_contest(context, owner, &contest);
                }
                None => {
                    self.contests.remove(&place);
                }
            }
        }
        Ok(Done::some(most))
    }

    /// After a start: finds the contests that are on disk, a few at a time.
    pub(crate) fn find_contests(
        &mut self,
        context: &mut Context<impl Store>,
        now: Time,
    ) -> Result<Done, StoreError> {
        let now = context.date(now);
        let Some(from) = self.contests.from.clone() else {
            return Ok(Done::all(0));
        };
        let (records, next) = context.view.sound_slice(KeySpace::Contests, &from, SLICE)?;
        // It goes on behind some that cannot be read.
        let touched = records.len().max(usize::from(next.is_some()));
        self.contests.from = next;
        for (place, value) in records {
            let contest: Option<ContestRecord> =
                context.view.sound(KeySpace::Contests, &place, value);
            let Some(contest) = contest else { continue };
            let place = key(&[&place]);
            if !self.contests.due.contains_key(&place) {
                let next = next_notice(contest.since(), now);
                self.contests.set(place, next);
            }
        }
        Ok(Done::some(touched))
    }

    fn contests_of(
        context: &mut Context<impl Store>,
        owner: AccountId,
    ) -> Result<Vec<(Key, ContestRecord)>, StoreError> {
        let (records, _) = context
            .view
            .readable(KeySpace::Contests, owner.as_bytes(), STEP)?;
        let sound = records.into_iter().filter_map(|(place, value)| {
            let contest = context.view.sound(KeySpace::Contests, &place, value)?;
            Some((key(&[&place]), contest))
        });
        Ok(sound.collect())
    }

    fn tell_account_of_contest(
        context: &mut Context<impl Store>,
        owner: AccountId,
        contest: &ContestRecord,
    ) {
        for link in context.links.of_account(owner) {
            context.send(link, 0, Answer::AddressContested(contest.notice()));
        }
    }

    pub(crate) fn set_lock(
        context: &mut Context<impl Store>,
        directory: &mut Directory,
        now: Time,
        asked: RequestRef,
        set: &pb::SetLock,
    ) -> RequestResult {
        let account = context.links.account_logged_in(asked.link)?;
        let address = parse(&set.address)?;
        let at = directory.own_address(context, account, &address)?;
        let cause = Cause::Locked(set.locked);
        if directory.asked_again(account, &address, &cause, asked) {
            return Ok(Reply::Later);
        }
        directory.nothing_else(account, &address)?;
        // The owner who sets the lock is active: nobody continues to wait for the address.
        let contest = Self::contest_ends(context, directory, &address)?;
        if at.locked == set.locked {
            if let Some(write) = contest {
                context.view.delete(write.space, write.key);
            }
            return Ok(Reply::Durable(Answer::Done(pb::Done {})));
        }
        directory
            .changes
            .take(now, account)
            .map_err(Refused::rate_limited)?;
        let statements = Directory::statements(context, account)?.ok_or_else(unknown)?;
        let entry = Entry {
            locked: set.locked,
            ..entry_of(account, &statements, (&address, &at))?
        };
        directory.publish(
            context,
            Change {
                address,
                looks: None,
                entry,
                writes: contest.into_iter().collect(),
                revoked: Vec::new(),
                cause,
                asked: smallvec![asked],
                answer: Answer::Done(pb::Done {}),
                former: None,
                closes: false,
            },
        )
    }
}

/// The answer to a contender who has to wait.
fn locked(wait: Span) -> Refused {
    let mut refused = Refused::new(
        ErrorCode::AddressLocked,
        "the address is another account's, and locked",
    );
    refused.0.retry_after_ms = wait.0;
    refused
}

/// The next whole number of days after the beginning.
fn next_notice(since: Time, now: Time) -> Time {
    let days = now.since(since).0 / NOTICE.0 + 1;
    since.after(Span(NOTICE.0.saturating_mul(days)))
}
