//! Changes of this account's roster: stored, sent, and sent again until the relay has
//! answered.
//!
//! A change is a signed statement in `roster_change`. The relay answers once its log has the
//! statement; the same statement again gets the same answer. If another statement came first
//! (`ROSTER_CONFLICT`), this device's roster is out of date: the device asks for it, and once
//! it has grown, makes the statement again if it still makes sense.
//!
//! **Elsewhere**: [`crate::trust::own_history`] asks for the own roster, and calls
//! [`roster_grew`]; what a statement may contain is in `waxwing_protocol::roster`.
//!
//! **Always**: one statement is sent at a time, since each names the previous one. The own
//! roster grows only by statements that the relay's log has.

use prost::Message as _;
use rusqlite::{OptionalExtension as _, Transaction};
use waxwing_protocol::{
    ids::{DeviceId, MailboxId},
    pb::{
        ChangeRoster, Error, ErrorCode, RosterChanged, SignedStatement, Statement,
        client_frame::Body, statement::Change,
    },
    roster::{self, Roster, SigningWith},
    time::Span,
};

use super::{closing, names, recovery, transfer};
use crate::{
    account::{self, NotExtended},
    api::{Problem, RelayMisdeed},
    conversation::groups,
    event::LinkKind,
    link::{self, Job, LinkPhase},
    store::StoreError,
    trust::own_history,
    turn::{Fault, Postponed, Turn},
};

pub(crate) const SCHEMA: &str = "
CREATE TABLE roster_change (
    id INTEGER PRIMARY KEY,
    statement BLOB NOT NULL          -- SignedStatement
);
CREATE TABLE wanted_revocation (device BLOB PRIMARY KEY) WITHOUT ROWID;
";

/// After a conflict the same statement is tried again after this long, unless the own
/// roster has grown before.
const AGAIN: Span = Span::seconds(10);

/// While the account is being deleted, a refused statement is made again after this long.
const REFUSED_AGAIN: Span = Span::minutes(1);

/// A device is to be revoked.
pub(crate) fn want_revocation(tx: &Transaction<'_>, device: DeviceId) -> Result<(), StoreError> {
    tx.execute(
        "INSERT INTO wanted_revocation (device) VALUES (?1) ON CONFLICT DO NOTHING",
        [device.0],
    )?;
    Ok(())
}

/// Stores a statement that is to be sent.
pub(crate) fn add(tx: &Transaction<'_>, statement: &SignedStatement) -> Result<(), StoreError> {
    tx.execute(
        "INSERT INTO roster_change (statement) VALUES (?1)",
        [statement.encode_to_vec()],
    )?;
    Ok(())
}

/// Whether anything is to be sent.
pub(crate) fn any(tx: &Transaction<'_>) -> Result<bool, StoreError> {
    Ok(tx
        .prepare_cached("SELECT EXISTS (SELECT 1 FROM roster_change)")?
        .query_row([], |row| row.get(0))?)
}

/// The devices that statements on their way to the relay admit.
pub(crate) fn devices_admitted(tx: &Transaction<'_>) -> Result<Vec<DeviceId>, StoreError> {
    Ok(all(tx)?.iter().filter_map(account::device_added).collect())
}

/// Sends what is next.
pub(crate) fn pump(turn: &mut Turn<'_>) -> Result<(), Fault> {
    let mailbox = &turn.memory.links.mailbox;
    if !matches!(mailbox.phase, LinkPhase::Ready { .. } | LinkPhase::LoggedIn)
        || turn.is_postponed(&Postponed::RosterChange)
    {
        return Ok(());
    }
    let next = match first(turn.tx)? {
        Some(next) => Some(next),
        None => make_revocation(turn)?,
    };
    let Some((id, statement)) = next else {
        return Ok(());
    };
    let job = Job::ChangeRoster(id);
    if turn.memory.links.mailbox.awaits(&job) {
        return Ok(());
    }
    let Some(address) = own_address(turn)? else {
        return Ok(());
    };
    let added = account::device_added(&statement);
    let admits_this = added.is_some() && added == account::pending_device(turn.tx)?;
    // If the relay has the statement already, it tells the mailbox only to devices of the
    // account: those log in first. One that admits itself cannot, and signs.
    let newcomer = match turn.memory.links.mailbox.phase {
        LinkPhase::Ready {
            exporter,
            challenge,
        } if admits_this => {
            let signed = account::sign_login(turn.tx, turn.rng, &exporter, &challenge)?;
            Some(signed.1)
        }
        LinkPhase::Ready { .. } if added.is_some() => return Ok(()),
        _ => None,
    };
    let roster = Roster::verify(&account::statements(turn.tx)?)
        .map_err(|_| Fault::Broken("a roster that does not verify".into()))?;
    turn.send_request(
        LinkKind::Mailbox,
        job,
        Body::ChangeRoster(ChangeRoster {
            account_id: roster.account().to_bytes(),
            address,
            statement: Some(statement),
            newcomer,
        }),
    );
    Ok(())
}

/// The relay's log has it.
pub(crate) fn changed(turn: &mut Turn<'_>, id: i64, changed: &RosterChanged) -> Result<(), Fault> {
    turn.memory.postponed.remove(&Postponed::RosterChange);
    let Some(statement) = by_id(turn.tx, id)? else {
        return Ok(());
    };
    let added = match decoded(&statement)?.change {
        Some(Change::AddDevice(_)) => account::device_added(&statement),
        _ => None,
    };
    let mailbox = MailboxId::try_from(&changed.mailbox_id).ok();
    if added.is_some() && mailbox.is_none() {
        turn.warn_misdeed(RelayMisdeed::Malformed);
        turn.postpone(Postponed::RosterChange, AGAIN);
        return Ok(());
    }
    match account::extend(turn.tx, std::slice::from_ref(&statement)) {
        Ok(_) => {}
        Err(NotExtended::Store(error)) => return Err(error.into()),
        // The relay says that it took what does not follow: others were before.
        Err(_) => {
            own_history::request_check(turn);
            turn.postpone(Postponed::RosterChange, AGAIN);
            return Ok(());
        }
    }
    remove(turn.tx, id)?;
    if let (Some(device), Some(mailbox)) = (added, mailbox) {
        let this = account::pending_device(turn.tx)? == Some(device);
        if this {
            recovery::admitted(turn, mailbox)?;
        } else {
            transfer::admitted(turn, device, &statement, mailbox)?;
        }
    }
    own_roster_changed(turn)
}

/// The relay did not take it.
pub(crate) fn handle_refusal(turn: &mut Turn<'_>, id: i64, error: &Error) -> Result<(), Fault> {
    match error.code() {
        ErrorCode::RosterConflict => {
            own_history::request_check(turn);
            turn.postpone(Postponed::RosterChange, AGAIN);
            roster_grew(turn)
        }
        ErrorCode::RateLimited | ErrorCode::Unavailable => {
            turn.postpone(Postponed::RosterChange, link::retry_after(error));
            Ok(())
        }
        code => {
            let Some(statement) = by_id(turn.tx, id)? else {
                return Ok(());
            };
            let problem = Problem::RosterNotChanged {
                detail: code.as_str_name().to_ascii_lowercase(),
            };
            // What was to follow it names it, and is of no use either.
            turn.tx.execute("DELETE FROM roster_change", [])?;
            if closing::is_under_way(turn)? {
                // It is wanted again at once.
                turn.postpone(Postponed::RosterChange, REFUSED_AGAIN);
            }
            if account::device_added(&statement).is_some() {
                transfer::not_admitted(turn, &problem)?;
                recovery::not_admitted(turn, &problem)?;
            }
            names::notify_devices(turn, Some(&problem))
        }
    }
}

/// The own roster, in the store, has grown by statements that the log has: what waits to
/// be sent is looked at again.
pub(crate) fn roster_grew(turn: &mut Turn<'_>) -> Result<(), Fault> {
    let known = account::statements(turn.tx)?;
    let Some((_, statement)) = first(turn.tx)? else {
        return Ok(());
    };
    let place = usize::try_from(decoded(&statement)?.position).unwrap_or(usize::MAX);
    match known.get(place) {
        // Nothing came in between as far as is known here: the same again, later.
        None => return Ok(()),
        // It is there: its answer, with the mailbox, is asked for again.
        Some(same) if same.statement == statement.statement => {
            turn.memory.postponed.remove(&Postponed::RosterChange);
            return Ok(());
        }
        Some(_) => {}
    }
    turn.memory.postponed.remove(&Postponed::RosterChange);
    // All that wait are chained to the first.
    for statement in all(turn.tx)? {
        match decoded(&statement)?.change {
            Some(Change::RevokeDevice(device)) => {
                if let Ok(device) = DeviceId::try_from(&device) {
                    want_revocation(turn.tx, device)?;
                }
            }
            Some(Change::AddDevice(_)) => {
                transfer::propose_again(turn)?;
                recovery::outdated(turn)?;
            }
            _ => {}
        }
    }
    turn.tx.execute("DELETE FROM roster_change", [])?;
    Ok(())
}

/// The own roster has changed, in the store: updates the memory, and tells people. What a change of
/// devices means for conversations is begun here.
pub(crate) fn own_roster_changed(turn: &mut Turn<'_>) -> Result<(), Fault> {
    turn.memory.account = account::load(turn.tx)?;
    if turn.memory.account.is_none() {
        return Ok(());
    }
    turn.memory.devices_mut().changed_since_backup = true;
    transfer::own_roster_changed(turn)?;
    let due = groups::membership_due(turn.tx, None)?;
    turn.memory.due_mut().groups.extend(due);
    closing::handle_roster_changed(turn)?;
    names::notify_devices(turn, None)
}

/// Makes the statement for a revocation that is wanted, and stores it.
fn make_revocation(turn: &mut Turn<'_>) -> Result<Option<(i64, SignedStatement)>, Fault> {
    let Some(own) = &turn.memory.account else {
        return Ok(None);
    };
    let (own_device, roster) = (own.device(), own.roster().clone());
    let wanted: Option<[u8; 32]> = turn
        .tx
        .prepare_cached("SELECT device FROM wanted_revocation LIMIT 1")?
        .query_row([], |row| row.get(0))
        .optional()?;
    let Some(device) = wanted.map(DeviceId) else {
        return Ok(None);
    };
    turn.tx.execute(
        "DELETE FROM wanted_revocation WHERE device = ?1",
        [device.0],
    )?;
    let is_there = roster.device(device).is_some();
    let may_go = device != own_device || closing::may_revoke_this(turn)?;
    if !is_there || !may_go {
        return Ok(None);
    }
    let identity = account::own_identity(turn.tx)?;
    let statement = roster::next_statement(
        turn.rng,
        turn.now,
        &roster,
        SigningWith::Device(&identity),
        Change::RevokeDevice(device.to_bytes()),
        None,
    );
    add(turn.tx, &statement)?;
    Ok(first(turn.tx)?)
}

/// The address under which the log has the account.
fn own_address(turn: &Turn<'_>) -> Result<Option<String>, Fault> {
    if let Some(own) = &turn.memory.account {
        return Ok(Some(own.address().display().to_owned()));
    }
    Ok(recovery::address(turn.tx)?)
}

fn first(tx: &Transaction<'_>) -> Result<Option<(i64, SignedStatement)>, StoreError> {
    let found: Option<(i64, Vec<u8>)> = tx
        .prepare_cached("SELECT id, statement FROM roster_change ORDER BY id LIMIT 1")?
        .query_row([], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    found.map(|(id, bytes)| Ok((id, read(&bytes)?))).transpose()
}

fn by_id(tx: &Transaction<'_>, id: i64) -> Result<Option<SignedStatement>, StoreError> {
    let found: Option<Vec<u8>> = tx
        .prepare_cached("SELECT statement FROM roster_change WHERE id = ?1")?
        .query_row([id], |row| row.get(0))
        .optional()?;
    found.map(|bytes| read(&bytes)).transpose()
}

fn all(tx: &Transaction<'_>) -> Result<Vec<SignedStatement>, StoreError> {
    let mut statement = tx.prepare_cached("SELECT statement FROM roster_change ORDER BY id")?;
    let rows = statement.query_map([], |row| row.get::<_, Vec<u8>>(0))?;
    rows.map(|row| read(&row?)).collect()
}

fn remove(tx: &Transaction<'_>, id: i64) -> Result<(), StoreError> {
    tx.execute("DELETE FROM roster_change WHERE id = ?1", [id])?;
    Ok(())
}

fn read(bytes: &[u8]) -> Result<SignedStatement, StoreError> {
    SignedStatement::decode(bytes).map_err(|_| StoreError::Damaged {
        found: "a change of the roster that does not decode".into(),
    })
}

fn decoded(signed: &SignedStatement) -> Result<Statement, Fault> {
    Statement::decode(signed.statement.clone())
        .map_err(|_| Fault::Broken("a statement of our own that does not decode".into()))
}
