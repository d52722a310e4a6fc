//! Proving addresses: one-time codes, and binding an address to an account.
//!
//! **Elsewhere**: sending the code is [`crate::mail`]'s and [`crate::sms`]'s; who has which address is looked
//! up in [`crate::directory`]. Locked addresses are `lock`'s, look-alikes `imitation`'s.
//!
//! **Always**: until the right code is entered, nothing that is answered, and no time that
//! it takes, tells whether an address is known; that a code could not be mailed is told for
//! both alike. A code is good for one device, five tries and ten minutes. Pending codes are
//! in memory only: after a restart people ask for another one.

mod imitation;
pub(crate) mod lock;

use std::{
    collections::{HashMap, VecDeque},
    fmt::Write as _,
};

use rand::CryptoRng;
use sha2::{Digest as _, Sha256};
use smallvec::smallvec;
use subtle::ConstantTimeEq as _;
use waxwing_protocol::{
    address::{Address, AddressKind},
    ids::{AccountId, DeviceId, RegistrationId},
    limits, pb,
    pb::{ErrorCode, relay_frame::Body as Answer},
    roster::Roster,
    time::Time,
};
use waxwing_transparency::proof::Entry;

use crate::{
    directory::{
        changes::{account_write, conflict, put},
        publications::{Cause, Change},
    },
    posts::Asked,
    rate::Buckets,
    relay::{Config, Effect, LinkId, Outcome, Refused, Relay, Reply, Source},
    sms::limits::NoText,
    store::{
        KeySpace, Store, StoreError,
        records::{AddressRecord, RegistrationRecord},
    },
    sweep::Done,
    verification::{Found, FoundRoster, Work},
};

/// Registrations that are under way.
pub(crate) struct Registrations {
    pending: HashMap<RegistrationId, Pending>,
    /// The order in which they expire; some may be gone.
    by_age: VecDeque<RegistrationId>,
    /// How many of them are finished.
    finished: usize,
    pub(crate) by_address: Buckets<String>,
    pub(crate) by_source: Buckets<Source>,
    most: usize,
}

struct Pending {
    address: Address,
    device: DeviceId,
    code: String,
    tries_left: u32,
    expires_at: Time,
    /// See [`Registrations::finish`].
    finished: bool,
}

impl Registrations {
    pub(crate) fn new(config: &Config) -> Self {
        Self {
            pending: HashMap::new(),
            by_age: VecDeque::new(),
            finished: 0,
            by_address: Buckets::new(config.codes_per_address, 100_000),
            by_source: Buckets::new(config.codes_per_source, 100_000),
            most: config.pending_registrations,
        }
    }

    /// Whether as many as may be wait for their code. Only those are counted: whoever
    /// entered theirs takes nobody's place.
    fn is_full(&self) -> bool {
        self.pending.len().saturating_sub(self.finished) >= self.most
    }

    /// Whoever repeats it needs another code.
    fn use_up(&mut self, id: RegistrationId) {
        if self.pending.remove(&id).is_some_and(|one| one.finished) {
            self.finished = self.finished.saturating_sub(1);
        }
    }

    /// Kept until it expires even so: the disk may yet refuse what it led to.
    fn finish(&mut self, id: RegistrationId) {
        if let Some(pending) = self.pending.get_mut(&id)
            && !std::mem::replace(&mut pending.finished, true)
        {
            self.finished += 1;
        }
    }

    /// Forgets those that have expired, `most` of them.
    pub(crate) fn sweep(&mut self, now: Time, most: usize) -> Done {
        for touched in 0..most {
            let Some(id) = self.by_age.front().copied() else {
                return Done::all(touched);
            };
            let pending = self.pending.get(&id);
            if pending.is_some_and(|pending| pending.expires_at > now) {
                return Done::all(touched);
            }
            self.by_age.pop_front();
            self.use_up(id);
        }
        Done::some(most)
    }
}

impl<S: Store> Relay<S> {
    /// A code is texted, if one may be.
    fn spend_on_code(&mut self, now: Time, number: &str) -> Result<(), Refused> {
        let nowhere = |detail| Refused::new(ErrorCode::AddressUnreachable, detail);
        let date = self.date(now);
        let Some(spending) = &mut self.spending else {
            return Err(nowhere("this relay cannot send text messages"));
        };
        match spending.take(date, number, 1) {
            Ok(()) => {
                self.keep_spending();
                Ok(())
            }
            Err(NoText::Never) => Err(nowhere("this relay sends no text messages there")),
            Err(NoText::Later(span)) => Err(Refused::rate_limited(span)),
        }
    }

    pub(crate) fn start_registration(
        &mut self,
        now: Time,
        rng: &mut dyn CryptoRng,
        link: LinkId,
        request: u32,
        start: &pb::StartRegistration,
    ) -> Outcome {
        let address = Address::parse(&start.address)
            .map_err(|error| Refused::malformed(&error.to_string()))?;
        let device = DeviceId::try_from(&start.device_id)
            .map_err(|error| Refused::malformed(&error.to_string()))?;
        let source = self.link(link)?.source;
        let registrations = &mut self.registrations;
        registrations
            .by_source
            .take(now, source)
            .map_err(Refused::rate_limited)?;
        registrations
            .by_address
            .take(now, address.canonical().to_owned())
            .map_err(Refused::rate_limited)?;
        if registrations.is_full() {
            return Err(Refused::rate_limited(limits::CODE_LIFETIME));
        }
        // Last: what is refused for another reason costs nothing.
        if address.kind() == AddressKind::Phone {
            self.spend_on_code(now, address.canonical())?;
        }
        let registrations = &mut self.registrations;
        let id = RegistrationId::random(rng);
        let code = code(rng);
        let expires_at = now.after(limits::CODE_LIFETIME);
        let pending = Pending {
            address: address.clone(),
            device,
            code: code.clone(),
            tries_left: limits::CODE_TRIES,
            expires_at,
            finished: false,
        };
        registrations.pending.insert(id, pending);
        registrations.by_age.push_back(id);
        self.counts.codes += 1;
        self.effects.push_back(Effect::SendCode {
            link,
            request,
            address,
            code,
        });
        Ok(Reply::Now(Answer::RegistrationStarted(
            pb::RegistrationStarted {
                registration_id: id.to_bytes(),
                expires_at_ms: self.date(expires_at).0,
            },
        )))
    }

    /// The code that was asked for in this request was given up: the mail server or the SMSC
    /// refused it, or could not be reached. Who asked is told, as a second answer. The code stays
    /// good: a server that says nothing may have taken it.
    pub fn code_not_sent(&mut self, link: LinkId, request: u32) {
        if self.links.contains_key(&link) {
            let refused = Refused::new(ErrorCode::AddressUnreachable, "the code could not be sent");
            self.send(link, request, Answer::Error(refused.0));
        }
    }

    pub(crate) fn finish_registration(
        &mut self,
        now: Time,
        rng: &mut dyn CryptoRng,
        asked: Asked,
        finish: &pb::FinishRegistration,
        found: Found,
    ) -> Outcome {
        let id = registration_id(finish)?;
        let Found::Registration(found) = found else {
            return Err(Refused::unavailable());
        };
        let FoundRoster {
            device,
            before,
            roster,
            statements,
        } = *found;
        if let Some(record) = self.finished(id)? {
            // The answer got lost.
            let answer = pb::Registered {
                mailbox_id: record.mailbox_id,
            };
            return Ok(Reply::Now(Answer::Registered(answer)));
        }
        let pending = self.with_code(now, id, &finish.code)?;
        if pending.device != device {
            return Err(code_refused(0));
        }
        let address = pending.address.clone();
        let account = roster.account();
        let cause = Cause::Registered(id.to_bytes());
        if self.asked_again(account, &address, &cause, asked) {
            return Ok(Reply::Later);
        }
        if self.publications.changes_account(account) {
            return Err(conflict());
        }
        self.refuse_imitation(&address)?;
        if let Some(locked) = self.contest(now, id, &address, account)? {
            return Ok(locked);
        }
        self.continues_what_is_stored(account, before.as_ref(), &statements)?;
        let mut done = self.roster_writes(rng, before.as_ref(), &roster, Some(device))?;
        let mailbox = done
            .mailboxes
            .get(&device)
            .ok_or_else(Refused::unavailable)?;
        let record = RegistrationRecord {
            device_id: device.to_bytes(),
            mailbox_id: mailbox.to_bytes(),
            expires_at_ms: self.date(now).after(limits::CODE_LIFETIME).0,
        };
        let answer = pb::Registered {
            mailbox_id: mailbox.to_bytes(),
        };
        done.writes
            .push(put(KeySpace::Registrations, id.as_bytes(), &record));
        done.writes.push(account_write(&roster, statements));
        done.writes.extend(self.looks_write(&address)?);
        done.writes.extend(self.contest_ends(&address)?);
        // A lock is the account's: another one starts without.
        let known: Option<AddressRecord> = self
            .view
            .get(KeySpace::Addresses, &self.address_key(&address))?;
        let own = known.filter(|record| record.account_id == account.to_bytes());
        let entry = Entry {
            locked: own.is_some_and(|record| record.locked),
            ..Entry::new(&roster, pb::Verification::EmailCode, self.date(now))
        };
        let reply = self.publish(Change {
            address,
            entry,
            writes: done.writes,
            revoked: done.revoked,
            cause,
            asked: smallvec![asked],
            answer: Answer::Registered(answer),
            former: None,
        })?;
        self.registrations.finish(id);
        Ok(reply)
    }

    /// What a registration has to be verified by, once the code is right: verifying costs far
    /// more than asking.
    pub(crate) fn registration_to_verify(
        &mut self,
        now: Time,
        link: LinkId,
        finish: &pb::FinishRegistration,
    ) -> Result<Work, Refused> {
        let id = registration_id(finish)?;
        let exporter = self.link(link)?.exporter;
        let device = match self.finished(id)? {
            Some(record) => {
                DeviceId::try_from(&record.device_id).map_err(|_| Refused::unavailable())?
            }
            None => self.with_code(now, id, &finish.code)?.device,
        };
        if finish.roster.len() > limits::ROSTER_STATEMENTS {
            return Err(Refused::malformed("the roster exceeds a limit"));
        }
        let first = finish.roster.first();
        let first = first.ok_or_else(|| Refused::malformed("the roster is empty"))?;
        let account = AccountId(Sha256::digest(&first.statement).into());
        Ok(Work::Registration {
            id,
            device,
            exporter,
            stored: self.statements(account)?.unwrap_or_default(),
        })
    }

    /// The registration that waits for this code. A wrong code uses up a try.
    fn with_code(
        &mut self,
        now: Time,
        id: RegistrationId,
        code: &str,
    ) -> Result<&Pending, Refused> {
        let registrations = &mut self.registrations.pending;
        let Some(pending) = registrations
            .get_mut(&id)
            .filter(|pending| pending.expires_at > now)
        else {
            return Err(code_refused(0));
        };
        // Compared as hashes, so that neither content nor length shows in the time.
        let given = Sha256::digest(code.as_bytes());
        if !bool::from(given.ct_eq(&Sha256::digest(pending.code.as_bytes()))) {
            pending.tries_left = pending.tries_left.saturating_sub(1);
            let left = pending.tries_left;
            if left == 0 {
                registrations.remove(&id);
            }
            return Err(code_refused(left));
        }
        self.registrations
            .pending
            .get(&id)
            .ok_or_else(|| code_refused(0))
    }

    /// A registration that was finished a while ago.
    fn finished(&self, id: RegistrationId) -> Result<Option<RegistrationRecord>, StoreError> {
        self.view.get(KeySpace::Registrations, id.as_bytes())
    }

    /// A roster only grows: what is stored must be the beginning of these statements, and
    /// what they were verified on.
    fn continues_what_is_stored(
        &self,
        account: AccountId,
        before: Option<&Roster>,
        statements: &[pb::SignedStatement],
    ) -> Result<(), Refused> {
        let stored = self.statements(account)?.unwrap_or_default();
        let verified_on = before.map_or(0, Roster::length);
        let is_beginning = stored.len() as u64 == verified_on
            && stored
                .iter()
                .zip(statements)
                .all(|(old, new)| old.statement == new.statement);
        if is_beginning {
            Ok(())
        } else {
            Err(Refused::unauthorised(
                "the roster does not continue the one that is known",
            ))
        }
    }

    /// Under what an address is stored: a hash that needs the relay's key, so that a
    /// stolen store cannot be searched for addresses without it.
    pub(crate) fn address_key(&self, address: &Address) -> [u8; 32] {
        let mut hash = Sha256::new();
        hash.update(b"waxwing address v1");
        hash.update(self.secrets.address_key);
        hash.update(address.canonical().as_bytes());
        hash.finalize().into()
    }

    /// The account that has an address.
    pub(crate) fn account_of(&self, address: &Address) -> Result<Option<AccountId>, Refused> {
        let record: Option<AddressRecord> = self
            .view
            .get(KeySpace::Addresses, &self.address_key(address))?;
        Ok(record.and_then(|record| AccountId::try_from(&record.account_id).ok()))
    }
}

fn registration_id(finish: &pb::FinishRegistration) -> Result<RegistrationId, Refused> {
    RegistrationId::try_from(&finish.registration_id)
        .map_err(|error| Refused::malformed(&error.to_string()))
}

fn code_refused(tries_left: u32) -> Refused {
    let mut refused = Refused::new(
        ErrorCode::CodeRefused,
        "the code is wrong, used up or expired",
    );
    refused.0.tries_left = tries_left;
    refused
}

/// Uniform digits.
fn code(rng: &mut dyn CryptoRng) -> String {
    let mut code = String::with_capacity(limits::CODE_DIGITS);
    while code.len() < limits::CODE_DIGITS {
        let mut byte = [0];
        rng.fill_bytes(&mut byte);
        // 250 is the largest multiple of 10 in a byte.
        if let [byte @ 0..250] = byte {
            // Writing to a string cannot fail.
            let _ = write!(code, "{}", byte % 10);
        }
    }
    code
}

#[cfg(test)]
mod tests {
    use rand::{SeedableRng as _, rngs::StdRng};

    use super::*;

    #[test]
    fn codes_are_digits_of_the_right_number_and_differ() {
        let mut rng = StdRng::seed_from_u64(1);
        let codes: Vec<String> = (0..100).map(|_| code(&mut rng)).collect();
        assert!(codes.iter().all(|code| {
            code.len() == limits::CODE_DIGITS && code.bytes().all(|byte| byte.is_ascii_digit())
        }));
        let different: std::collections::HashSet<_> = codes.iter().collect();
        assert_eq!(different.len(), codes.len());
    }
}
