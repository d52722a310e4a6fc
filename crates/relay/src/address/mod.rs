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

use std::{collections::HashMap, fmt::Write as _};

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
    signature::{Purpose, registration_message},
    time::Time,
};
use waxwing_transparency::proof::Entry;

use crate::{
    directory::{
        changes::{account_write, conflict, put},
        publications::{Cause, Change},
    },
    posts::Asked,
    rate::{Buckets, SourceBuckets},
    relay::{Config, Effect, LinkId, Outcome, Refused, Relay, Reply},
    sms::limits::NoText,
    store::{
        KeySpace, Store,
        records::{AccountRecord, AddressRecord, RegistrationRecord},
    },
};

/// Registrations that are under way.
pub(crate) struct Registrations {
    pending: HashMap<RegistrationId, Pending>,
    by_address: Buckets<String>,
    by_source: SourceBuckets,
    most: usize,
}

struct Pending {
    address: Address,
    device: DeviceId,
    code: String,
    tries_left: u32,
    expires_at: Time,
    /// Kept until it expires even so: the disk may yet refuse what it led to.
    finished: bool,
}

impl Registrations {
    pub(crate) fn new(config: &Config) -> Self {
        Self {
            pending: HashMap::new(),
            by_address: Buckets::new(config.codes_per_address, 100_000),
            by_source: SourceBuckets::new(config.codes_per_source, 100_000),
            most: config.pending_registrations,
        }
    }

    /// Whether as many as may be wait for their code. Only those are counted: whoever
    /// entered theirs takes nobody's place.
    fn is_full(&self) -> bool {
        self.pending.len() >= self.most
            && self.pending.values().filter(|one| !one.finished).count() >= self.most
    }

    /// Whoever repeats it needs another code.
    fn use_up(&mut self, id: RegistrationId) {
        self.pending.remove(&id);
    }

    pub(crate) fn sweep(&mut self, now: Time) {
        self.pending.retain(|_, pending| pending.expires_at > now);
        self.by_address.sweep(now);
        self.by_source.sweep(now);
    }
}

impl<S: Store> Relay<S> {
    /// A code is texted, if one may be.
    fn spend_on_code(&mut self, now: Time, number: &str) -> Result<(), Refused> {
        let nowhere = |detail| Refused::new(ErrorCode::AddressUnreachable, detail);
        let Some(spending) = &mut self.spending else {
            return Err(nowhere("this relay cannot send text messages"));
        };
        match spending.take(now, number, 1) {
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
                expires_at_ms: expires_at.0,
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
        finish: pb::FinishRegistration,
    ) -> Outcome {
        let id = RegistrationId::try_from(&finish.registration_id)
            .map_err(|error| Refused::malformed(&error.to_string()))?;
        if let Some(answer) = self.finished_before(id, &finish.roster)? {
            return Ok(answer);
        }
        let exporter = self.link(asked.link)?.exporter;
        let Some(pending) = self
            .registrations
            .pending
            .get_mut(&id)
            .filter(|pending| pending.expires_at > now)
        else {
            return Err(code_refused(0));
        };
        // Compared as hashes, so that neither content nor length shows in the time.
        let given = Sha256::digest(finish.code.as_bytes());
        if !bool::from(given.ct_eq(&Sha256::digest(pending.code.as_bytes()))) {
            pending.tries_left = pending.tries_left.saturating_sub(1);
            let left = pending.tries_left;
            if left == 0 {
                self.registrations.pending.remove(&id);
            }
            return Err(code_refused(left));
        }
        // Only now: verifying costs far more than asking.
        let roster = Roster::verify(&finish.roster)
            .map_err(|error| Refused::malformed(&error.to_string()))?;
        let device = roster
            .device(pending.device)
            .ok_or_else(|| Refused::unauthorised("the code was sent for another device"))?;
        let message =
            registration_message(&exporter, id, &finish.code, roster.account(), roster.head());
        finish
            .signature
            .as_ref()
            .and_then(|signature| {
                device
                    .identity
                    .verify(Purpose::Registration, &message, signature)
                    .ok()
            })
            .ok_or_else(|| Refused::unauthorised("the signature does not verify"))?;
        let (address, device) = (pending.address.clone(), device.id);
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
        let before = self.extends_what_is_known(&roster, &finish.roster)?;
        let mut done = self.roster_writes(rng, before.as_ref(), &roster, Some(device))?;
        let mailbox = done
            .mailboxes
            .get(&device)
            .ok_or_else(Refused::unavailable)?;
        let record = RegistrationRecord {
            device_id: device.to_bytes(),
            mailbox_id: mailbox.to_bytes(),
            expires_at_ms: now.after(limits::CODE_LIFETIME).0,
        };
        let answer = pb::Registered {
            mailbox_id: mailbox.to_bytes(),
        };
        done.writes
            .push(put(KeySpace::Registrations, id.as_bytes(), &record));
        done.writes.push(account_write(&roster, finish.roster));
        done.writes.extend(self.looks_write(&address)?);
        done.writes.extend(self.contest_ends(&address)?);
        // A lock is the account's: another one starts without.
        let known: Option<AddressRecord> = self
            .view
            .get(KeySpace::Addresses, &self.address_key(&address))?;
        let own = known.filter(|record| record.account_id == account.to_bytes());
        let entry = Entry {
            locked: own.is_some_and(|record| record.locked),
            ..Entry::new(&roster, pb::Verification::EmailCode, now)
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
        if let Some(pending) = self.registrations.pending.get_mut(&id) {
            pending.finished = true;
        }
        Ok(reply)
    }

    /// The answer to a registration that was finished, and whose answer got lost.
    fn finished_before(
        &self,
        id: RegistrationId,
        statements: &[pb::SignedStatement],
    ) -> Result<Option<Reply>, Refused> {
        let record: Option<RegistrationRecord> =
            self.view.get(KeySpace::Registrations, id.as_bytes())?;
        let Some(record) = record else {
            return Ok(None);
        };
        let roster =
            Roster::verify(statements).map_err(|error| Refused::malformed(&error.to_string()))?;
        let known =
            DeviceId::try_from(&record.device_id).is_ok_and(|id| roster.device(id).is_some());
        if !known {
            return Err(code_refused(0));
        }
        let answer = pb::Registered {
            mailbox_id: record.mailbox_id,
        };
        Ok(Some(Reply::Now(Answer::Registered(answer))))
    }

    /// A roster only grows: what is stored, which is given, must be its beginning.
    fn extends_what_is_known(
        &self,
        roster: &Roster,
        statements: &[pb::SignedStatement],
    ) -> Result<Option<Roster>, Refused> {
        let stored: Option<AccountRecord> = self
            .view
            .get(KeySpace::Accounts, roster.account().as_bytes())?;
        let stored = stored.map(|record| record.roster).unwrap_or_default();
        let is_beginning = stored.len() <= statements.len()
            && stored
                .iter()
                .zip(statements)
                .all(|(old, new)| old.statement == new.statement);
        if !is_beginning {
            return Err(Refused::unauthorised(
                "the roster does not continue the one that is known",
            ));
        }
        if stored.is_empty() {
            return Ok(None);
        }
        let before = Roster::verify(&stored).map_err(|_| Refused::unavailable())?;
        Ok(Some(before))
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
