//! Registering: an address is verified by a code, and bound to a new account.
//!
//! ```text
//!   None ─register─▶ Asking ─RegistrationStarted─▶ CodeSent ─submit_code─▶ Checking
//!                      ▲                              ▲                       │
//!                      │                              └────(code wrong)───────┤
//!                      └───────(register again)◀──(code used up or expired)───┤
//!                                                                        (Registered)
//! ```
//!
//! **Elsewhere**: the account's keys and roster: [`crate::account`].
//!
//! **Always**: the device key is made before the code is asked for and stays the same
//! when it is asked for again; each stage is stored, so that a crash goes on where it
//! was. A registration whose answer was lost is noticed by logging in.

use rusqlite::OptionalExtension as _;
use waxwing_protocol::{
    address::Address,
    ids::{MailboxId, RegistrationId},
    pb::{
        Error, ErrorCode, FinishRegistration, Registered, RegistrationStarted, StartRegistration,
        client_frame::Body,
    },
    time::Time,
};

use super::backup;
use crate::{
    account,
    api::{Notice, Problem, RegistrationChanged, RegistrationStage},
    event::LinkKind,
    link::{self, Job, retry_after},
    store::StoreError,
    trust::own_history,
    turn::{Fault, Postponed, Turn},
};

pub(crate) const SCHEMA: &str = "
CREATE TABLE registration (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    address TEXT NOT NULL,          -- as typed
    stage INTEGER NOT NULL,         -- 1 asking, 2 code sent, 3 checking, 4 registered
    registration_id BLOB,
    expires_at INTEGER,
    code TEXT
);
";

/// How far the registration is.
pub(crate) struct Registration {
    pub address: String,
    pub stage: RegistrationStage,
    id: Option<RegistrationId>,
    expires_at: Option<Time>,
    code: Option<String>,
}

/// Reads how far it is.
pub(crate) fn read(tx: &rusqlite::Transaction<'_>) -> Result<Option<Registration>, StoreError> {
    let mut statement = tx.prepare_cached(
        "SELECT address, stage, registration_id, expires_at, code FROM registration",
    )?;
    Ok(statement
        .query_row([], |row| {
            Ok(Registration {
                address: row.get(0)?,
                stage: match row.get::<_, u8>(1)? {
                    0 => RegistrationStage::None,
                    1 => RegistrationStage::AskingForCode,
                    2 => RegistrationStage::CodeSent,
                    3 => RegistrationStage::CheckingCode,
                    _ => RegistrationStage::Registered,
                },
                id: row.get::<_, Option<[u8; 16]>>(2)?.map(RegistrationId),
                expires_at: row
                    .get::<_, Option<i64>>(3)?
                    .map(|at| Time(at.cast_unsigned())),
                code: row.get(4)?,
            })
        })
        .optional()?)
}

/// A person wants an account for this address.
pub(crate) fn begin(turn: &mut Turn<'_>, address: &Address) -> Result<(), Fault> {
    turn.tx.execute(
        "INSERT INTO registration (id, address, stage) VALUES (1, ?1, 1)
         ON CONFLICT DO UPDATE SET address = ?1, stage = 1, registration_id = NULL,
             expires_at = NULL, code = NULL",
        [address.display()],
    )?;
    if let Some(recovery) = account::begin(turn.tx, turn.rng, turn.now)? {
        backup::key::store_public(turn.tx, &backup::key::public_of(&recovery))?;
    }
    Ok(())
}

/// This device joined an account that has this address.
pub(crate) fn joined(
    tx: &rusqlite::Transaction<'_>,
    address: &Address,
    mailbox: MailboxId,
) -> Result<(), StoreError> {
    tx.execute(
        "INSERT INTO registration (id, address, stage) VALUES (1, ?1, 4)
         ON CONFLICT DO UPDATE SET address = ?1, stage = 4, registration_id = NULL,
             expires_at = NULL, code = NULL",
        [address.display()],
    )?;
    account::complete(tx, address, mailbox)
}

/// Forgets a registration that was not finished.
pub(crate) fn abandon(tx: &rusqlite::Transaction<'_>) -> Result<(), StoreError> {
    tx.execute("DELETE FROM registration WHERE stage != 4", [])?;
    Ok(())
}

/// A person has typed the code.
pub(crate) fn take_code(turn: &mut Turn<'_>, code: &str) -> Result<(), Fault> {
    let code: String = code.chars().filter(char::is_ascii_alphanumeric).collect();
    turn.tx
        .execute("UPDATE registration SET stage = 3, code = ?1", [code])?;
    Ok(())
}

/// Asks for what is next on a ready mailbox link.
pub(crate) fn pump(turn: &mut Turn<'_>, registration: &Registration) -> Result<(), Fault> {
    let Some(exporter) = turn.memory.links.mailbox.ready() else {
        return Ok(());
    };
    match registration.stage {
        RegistrationStage::AskingForCode
            if !turn.memory.links.mailbox.awaits(&Job::StartRegistration) =>
        {
            let device = account::pending_device(turn.tx)?
                .ok_or_else(|| Fault::Broken("no device key".into()))?;
            let request = StartRegistration {
                address: registration.address.clone(),
                device_id: device.to_bytes(),
            };
            turn.send_request(
                LinkKind::Mailbox,
                Job::StartRegistration,
                Body::StartRegistration(request),
            );
        }
        RegistrationStage::CheckingCode => {
            let asked = turn.memory.links.mailbox.awaits(&Job::FinishRegistration)
                || turn.memory.links.mailbox.awaits(&Job::Login);
            if let (false, Some(id), Some(code)) = (asked, registration.id, &registration.code) {
                let finish = account::finish(turn.tx, turn.rng, &exporter, id, code)?;
                turn.send_request(
                    LinkKind::Mailbox,
                    Job::FinishRegistration,
                    Body::FinishRegistration(FinishRegistration {
                        registration_id: id.to_bytes(),
                        code: code.clone(),
                        roster: finish.roster,
                        signature: Some(finish.signature),
                    }),
                );
            }
        }
        _ => {}
    }
    Ok(())
}

/// The relay has sent a code.
pub(crate) fn started(turn: &mut Turn<'_>, started: &RegistrationStarted) -> Result<(), Fault> {
    let Ok(id) = RegistrationId::try_from(&started.registration_id) else {
        turn.warn_misdeed(crate::api::RelayMisdeed::Malformed);
        return Ok(());
    };
    let changed = turn.tx.execute(
        "UPDATE registration SET stage = 2, registration_id = ?1, expires_at = ?2
         WHERE stage = 1",
        (
            id.0,
            started.expires_at_ms.min(i64::MAX as u64).cast_signed(),
        ),
    )?;
    if changed > 0 {
        if started.sent_before
            && let Some(registration) = read(turn.tx)?
        {
            turn.warn(&Problem::CodeSentBefore {
                address: registration.address,
            });
        }
        notify_progress(turn, None)?;
    }
    Ok(())
}

/// The relay could not mail the code after all. It may have arrived in spite of that (a
/// mail server that does not answer), so that it can still be given.
pub(crate) fn code_not_sent(turn: &mut Turn<'_>, error: &Error) -> Result<(), Fault> {
    let Some(registration) = read(turn.tx)? else {
        return Ok(());
    };
    let waits_for_it = registration.stage == RegistrationStage::CodeSent;
    if !waits_for_it || error.code() != ErrorCode::AddressUnreachable {
        return Ok(());
    }
    let problem = Problem::AddressUnreachable {
        address: registration.address,
    };
    notify_progress(turn, Some(&problem))
}

/// The relay has bound the address to the account.
pub(crate) fn finished(turn: &mut Turn<'_>, registered: &Registered) -> Result<(), Fault> {
    let Ok(mailbox) = MailboxId::try_from(&registered.mailbox_id) else {
        turn.warn_misdeed(crate::api::RelayMisdeed::Malformed);
        return Ok(());
    };
    if registered.looks_like_another
        && let Some(registration) = read(turn.tx)?
    {
        turn.warn(&Problem::AddressLooksLikeAnother {
            address: registration.address,
        });
    }
    complete(turn, mailbox)
}

/// The account exists, with this mailbox.
pub(crate) fn complete(turn: &mut Turn<'_>, mailbox: MailboxId) -> Result<(), Fault> {
    let Some(registration) = read(turn.tx)? else {
        return Ok(());
    };
    if registration.stage == RegistrationStage::Registered {
        return Ok(());
    }
    let address = Address::parse(&registration.address)
        .map_err(|_| Fault::Broken("the address is not valid".into()))?;
    turn.tx
        .execute("UPDATE registration SET stage = 4, code = NULL", [])?;
    account::complete(turn.tx, &address, mailbox)?;
    turn.memory.account = account::load(turn.tx)?;
    notify_progress(turn, None)
}

/// The relay refused a step.
pub(crate) fn handle_refusal(turn: &mut Turn<'_>, job: &Job, error: &Error) -> Result<(), Fault> {
    let Some(registration) = read(turn.tx)? else {
        return Ok(());
    };
    let checking = *job == Job::FinishRegistration;
    let (stage, problem) = match error.code() {
        ErrorCode::CodeRefused if error.tries_left > 0 => (
            2,
            Problem::CodeWrong {
                tries_left: error.tries_left,
            },
        ),
        ErrorCode::CodeRefused => {
            let expired = registration.expires_at.is_some_and(|at| turn.now >= at);
            (
                0,
                if expired {
                    Problem::CodeExpired
                } else {
                    Problem::CodeUsedUp
                },
            )
        }
        ErrorCode::AddressUnreachable => (
            0,
            Problem::AddressUnreachable {
                address: registration.address.clone(),
            },
        ),
        ErrorCode::AddressLocked => (
            0,
            Problem::AddressLocked {
                wait_ms: (error.retry_after_ms > 0).then_some(error.retry_after_ms),
            },
        ),
        ErrorCode::AddressConfusable => (
            0,
            Problem::AddressConfusable {
                address: registration.address.clone(),
            },
        ),
        // These pass: the person tries again.
        _ if checking => (2, link::problem_of(error)),
        _ => (0, link::problem_of(error)),
    };
    turn.tx
        .execute("UPDATE registration SET stage = ?1, code = NULL", [stage])?;
    notify_progress(turn, Some(&problem))
}

/// Whether the mailbox link is useful.
pub(crate) fn wants_link(tx: &rusqlite::Transaction<'_>) -> Result<bool, StoreError> {
    Ok(read(tx)?.is_some_and(|registration| registration.stage != RegistrationStage::None))
}

/// The relay does not know this device. Where a refused code was to be explained by
/// that, it is not.
pub(crate) fn login_refused(turn: &mut Turn<'_>, error: &Error) -> Result<(), Fault> {
    let Some(registration) = read(turn.tx)? else {
        return Ok(());
    };
    if registration.stage == RegistrationStage::CheckingCode {
        let code = Error {
            code: ErrorCode::CodeRefused.into(),
            ..Error::default()
        };
        return handle_refusal(turn, &Job::FinishRegistration, &code);
    }
    turn.postpone(Postponed::Login, retry_after(error));
    if error.code() == ErrorCode::Unauthorised {
        turn.memory.links.login_problem = Some(Problem::LoginRefused);
        // The log says whether this device is one no more.
        own_history::handle_login_refused(turn);
        return Ok(());
    }
    let problem = link::problem_of(error);
    turn.warn(&problem);
    turn.memory.links.login_problem = Some(problem);
    Ok(())
}

/// Whether a refused code may be one that was taken before, its answer lost: logging
/// in tells.
pub(crate) fn may_be_done(error: &Error) -> bool {
    error.code() == ErrorCode::CodeRefused && error.tries_left == 0
}

/// Tells how far the registration is.
fn notify_progress(turn: &mut Turn<'_>, problem: Option<&Problem>) -> Result<(), Fault> {
    let Some(registration) = read(turn.tx)? else {
        return Ok(());
    };
    let registered = registration.stage == RegistrationStage::Registered;
    let recovery = if registered {
        account::recovery_key(turn.tx)?
    } else {
        None
    };
    let changed = RegistrationChanged {
        stage: registration.stage,
        address: registration.address,
        expires_at: registration
            .expires_at
            .filter(|_| registration.stage == RegistrationStage::CodeSent)
            .map(Into::into),
        recovery_words: recovery.as_ref().map(account::RecoveryKey::words),
        recovery_qr: recovery.as_ref().map(account::RecoveryKey::qr_text),
        account_id: turn
            .memory
            .account
            .as_ref()
            .filter(|_| registered)
            .map(|account| account.id().to_string()),
        problem: problem.map(Problem::report),
    };
    turn.notify(Notice::Registration(changed));
    Ok(())
}
