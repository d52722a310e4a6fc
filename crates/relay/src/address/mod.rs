//! Proving addresses: one-time codes, and binding an address to an account.
//!
//! **Elsewhere**: [`crate::mail`] and [`crate::sms`] send the codes; [`crate::directory`]
//! looks up who has which address; [`codes`] limits how many codes are sent; `lock` handles
//! locked addresses and `imitation` look-alikes.
//!
//! **Always**: until the right code is entered, neither an answer nor its timing reveals
//! whether an address is known. If a code cannot be mailed, the relay says so for known and
//! unknown addresses alike. A code works once, for ten minutes, only on the devices that asked
//! for it, and with at most five tries on each. Pending codes are only in memory: after a
//! restart people ask for another one.

pub(crate) mod checks;
pub(crate) mod codes;
pub(crate) mod lock;
mod look_alikes;

use std::fmt::Write as _;

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

use self::{
    checks::{FoundRoster, RegistrationCheck},
    codes::{Codes, Way},
    lock::Contests,
};
use crate::{
    answer::{Refused, Reply, RequestResult},
    config::Config,
    context::Context,
    directory::{
        Directory,
        changes::{account_write, conflict, put},
        publications::{Cause, Change},
        verification,
    },
    effect::Effect,
    link::{LinkId, RequestRef},
    store::{
        KeySpace, Store, StoreError, key,
        records::{AddressRecord, RegistrationRecord},
    },
    sweep::{Done, Round},
    texts::Texts,
};

/// Addresses that are being proved, and those for which somebody else waits.
pub(crate) struct Registrations {
    pub(crate) codes: Codes,
    contests: Contests,
    /// How far the sweep of registrations that were finished has come.
    pub(crate) finished: Round,
}

impl Registrations {
    pub(crate) fn new(config: &Config) -> Self {
        Self {
            codes: Codes::new(config),
            contests: Contests::default(),
            finished: Round::default(),
        }
    }
}

impl Registrations {
    /// How many codes may be texted to a number now.
    fn texts_left(
        context: &Context<impl Store>,
        texts: &Texts,
        now: Time,
        address: &Address,
    ) -> Result<u32, Refused> {
        if address.kind() != AddressKind::Phone {
            return Ok(0);
        }
        let nowhere = |detail| Refused::new(ErrorCode::AddressUnreachable, detail);
        let date = context.date(now);
        let Some(spending) = &texts.budgets else {
            return Err(nowhere("this relay cannot send text messages"));
        };
        match spending.codes.left(date, address.canonical()) {
            Ok(left) => Ok(left),
            Err(_) => Err(nowhere("this relay sends no text messages there")),
        }
    }

    pub(crate) fn start_registration(
        &mut self,
        context: &mut Context<impl Store>,
        texts: &mut Texts,
        now: Time,
        rng: &mut dyn CryptoRng,
        asked: RequestRef,
        start: &pb::StartRegistration,
    ) -> RequestResult {
        let address = Address::parse(&start.address)
            .map_err(|error| Refused::malformed(&error.to_string()))?;
        let device = DeviceId::try_from(&start.device_id)
            .map_err(|error| Refused::malformed(&error.to_string()))?;
        let source = context.links.of_request(asked.link)?.source;
        let texts_left = Self::texts_left(context, texts, now, &address)?;
        let way = self
            .codes
            .way(now, source, &address, texts_left)
            .map_err(Refused::rate_limited)?;
        let id = RegistrationId::random(rng);
        let (code, expires_at) = match &way {
            Way::New => {
                let date = context.date(now);
                if address.kind() == AddressKind::Phone
                    && let Some(spending) = &mut texts.budgets
                {
                    // There is one left: it was looked at.
                    let _ = spending.codes.take(date, address.canonical(), 1);
                    spending.keep(&mut context.view);
                }
                let code = code(rng);
                context.counts.codes += 1;
                context.effects.push_back(Effect::SendCode {
                    link: asked.link,
                    request: asked.request,
                    address: address.clone(),
                    code: code.clone(),
                });
                (code, now.after(limits::CODE_LIFETIME))
            }
            Way::Last { code, expires_at } => (code.clone(), *expires_at),
        };
        self.codes
            .take(now, source, id, (address, device), (code, &way));
        Ok(Reply::Now(Answer::RegistrationStarted(
            pb::RegistrationStarted {
                registration_id: id.to_bytes(),
                expires_at_ms: context.date(expires_at).0,
                sent_before: matches!(way, Way::Last { .. }),
            },
        )))
    }

    pub(crate) fn finish_registration(
        &mut self,
        context: &mut Context<impl Store>,
        directory: &mut Directory,
        now: Time,
        rng: &mut dyn CryptoRng,
        asked: RequestRef,
        (finish, found): (&pb::FinishRegistration, FoundRoster),
    ) -> RequestResult {
        let id = registration_id(finish)?;
        let FoundRoster {
            device,
            before,
            roster,
            statements,
        } = found;
        if let Some(record) = Self::finished(context, id)? {
            // The answer got lost.
            let answer = pb::Registered {
                mailbox_id: record.mailbox_id,
                looks_like_another: record.looks_like_another,
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
        if directory.asked_again(account, &address, &cause, asked) {
            return Ok(Reply::Later);
        }
        // A lock that is under way counts as if it were written.
        if directory.publications.changes_account(account)
            || directory.publications.locks_for_another(&address, account)
        {
            return Err(conflict());
        }
        let looks_like_another = Self::imitates_another(context, directory, &address)?;
        if let Some(locked) = self.contest(context, directory, now, id, &address, account)? {
            return Ok(locked);
        }
        Self::continues_what_is_stored(context, account, before.as_ref(), &statements)?;
        let mut done =
            Directory::roster_writes(context, rng, before.as_ref(), &roster, Some(device))?;
        let mailbox = done
            .mailboxes
            .get(&device)
            .ok_or_else(Refused::unavailable)?;
        let record = RegistrationRecord {
            device_id: device.to_bytes(),
            mailbox_id: mailbox.to_bytes(),
            expires_at_ms: context.date(now).after(limits::CODE_LIFETIME).0,
            looks_like_another,
        };
        let answer = pb::Registered {
            mailbox_id: mailbox.to_bytes(),
            looks_like_another,
        };
        done.writes
            .push(put(KeySpace::Registrations, id.as_bytes(), &record));
        done.writes.push(account_write(&roster, statements));
        done.writes
            .extend(Self::looks_write(context, directory, &address)?);
        done.writes
            .extend(Self::contest_ends(context, directory, &address)?);
        // A lock is the account's: another one starts without.
        let known: Option<AddressRecord> = context
            .view
            .get(KeySpace::Addresses, &directory.address_key(&address))?;
        let own = known.filter(|record| record.account_id == account.to_bytes());
        let entry = Entry {
            locked: own.is_some_and(|record| record.locked),
            ..Entry::new(&roster, verification(&address), context.date(now))
        };
        let looks = Self::looks_key(directory, &address);
        let reply = directory.publish(
            context,
            Change {
                looks,
                address,
                entry,
                writes: done.writes,
                revoked: done.revoked,
                cause,
                asked: smallvec![asked],
                answer: Answer::Registered(answer),
                former: None,
                closes: false,
            },
        )?;
        self.codes.finish(id);
        Ok(reply)
    }

    /// What a registration has to be verified by, once the code is right: verifying costs far
    /// more than asking.
    pub(crate) fn registration_to_verify(
        &mut self,
        context: &Context<impl Store>,
        now: Time,
        link: LinkId,
        finish: &pb::FinishRegistration,
    ) -> Result<RegistrationCheck, Refused> {
        let id = registration_id(finish)?;
        let exporter = context.links.of_request(link)?.exporter;
        let device = match Self::finished(context, id)? {
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
        Ok(RegistrationCheck {
            id,
            device,
            exporter,
            stored: Directory::statements(context, account)?.unwrap_or_default(),
        })
    }

    /// The registration that waits for this code. A wrong code uses up a try.
    fn with_code(
        &mut self,
        now: Time,
        id: RegistrationId,
        code: &str,
    ) -> Result<&codes::PendingRegistration, Refused> {
        let Some(pending) = self.codes.pending(now, id) else {
            return Err(code_refused(0));
        };
        // Compared as hashes, so that neither content nor length shows in the time.
        let given = Sha256::digest(code.as_bytes());
        if !bool::from(given.ct_eq(&Sha256::digest(pending.code.as_bytes()))) {
            pending.tries_left = pending.tries_left.saturating_sub(1);
            let left = pending.tries_left;
            if left == 0 {
                self.codes.give_up(id);
            }
            return Err(code_refused(left));
        }
        match self.codes.pending(now, id) {
            Some(pending) => Ok(pending),
            None => Err(code_refused(0)),
        }
    }

    /// A registration that was finished a while ago.
    fn finished(
        context: &Context<impl Store>,
        id: RegistrationId,
    ) -> Result<Option<RegistrationRecord>, StoreError> {
        context.view.get(KeySpace::Registrations, id.as_bytes())
    }

    /// A roster only grows: what is stored must be the beginning of these statements, and
    /// what they were verified on.
    fn continues_what_is_stored(
        context: &Context<impl Store>,
        account: AccountId,
        before: Option<&Roster>,
        statements: &[pb::SignedStatement],
    ) -> Result<(), Refused> {
        let stored = Directory::statements(context, account)?.unwrap_or_default();
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

    pub(crate) fn expire_registrations(
        &mut self,
        context: &mut Context<impl Store>,
        now: Time,
        most: usize,
    ) -> Result<Done, StoreError> {
        let date = context.expiry_date(now);
        let (records, done) =
            context.next_of_round(KeySpace::Registrations, &mut self.finished, now, most)?;
        for (at, value) in records {
            let space = KeySpace::Registrations;
            let record: Option<RegistrationRecord> = context.view.sound(space, &at, value);
            if record.is_some_and(|record| record.expires_at_ms <= date.0) {
                context.view.delete(KeySpace::Registrations, key(&[&at]));
            }
        }
        Ok(done)
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
