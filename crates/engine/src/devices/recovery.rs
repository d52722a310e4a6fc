//! Recovery: a device that admits itself with the recovery key, and gets back what the
//! backup has.
//!
//! ```text
//!   LookingUp ─(roster; the words' key is its recovery key)─▶ Admitting
//!             ─(the log has the statement)─▶ Restoring ─(all is there)─▶ over
//! ```
//!
//! A backup in a file is checked before this device is admitted, between looking up and admitting
//! (`Checking`): the program that has the file feeds all of it, and once more when it is restored.
//! If it does not open, is cut short, or is another account's, nothing has changed and the person
//! can try another file. A device that is one of the account's already can have a backup restored
//! later ([`restore`]): it begins with the check, and nobody is admitted.
//!
//! The words are in memory until the account's roster is there: then the recovery key
//! signs what admits this device, with this device's agreement, and where that was asked
//! for, what revokes all others; and is wiped. From the first step on the key that opens
//! backups ([`super::backup::key`]) is kept in the store until the recovery is over, so
//! that it goes on after a restart: it opens backups and signs nothing.
//!
//! **Elsewhere**: the look-up and its proof: `trust`. The statements' way to the relay:
//! [`super::changes`]. The backup's form: [`super::backup::seal`].
//!
//! **Always**: the words are never stored. A backup from the relay is taken in only if a
//! device made it that the account had when it was looked up; one from a file, which a
//! person chose, if the account ever had that device.

use data_encoding::BASE64;
use rusqlite::{OptionalExtension as _, Transaction};
use waxwing_protocol::{
    address::Address,
    ids::{AccountId, DeviceId, MailboxId},
    limits,
    pb::{
        ArchiveChunk, BackupFetched, Error, ErrorCode, FetchBackup, client_frame::Body,
        statement::Change,
    },
    roster::{self, Roster, SigningWith},
};
use x_wing::{DecapsulationKeyRejectNonContrib, KeyExport as _};
use zeroize::Zeroizing;

use super::{
    archive,
    backup::{self, seal::Opener},
    changes, names,
    pairing::{make_room, refuse_registered},
    registration, transfer,
};
use crate::{
    account::{self, NotExtended, RecoveryKey, RecoveryWordsError},
    api::{
        self, Notice, Problem, RecoveryChanged, RecoveryStage, RecoveryWordsFlaw, Response,
        TransferOf, TransferProgress,
    },
    contact,
    conversation::{groups, target},
    event::LinkKind,
    link::{self, Job, LinkPhase},
    message::deleting,
    settings::{self, Setting},
    store::StoreError,
    trust::lookups,
    turn::{EventError, Fault, Postponed, Turn},
};

pub(crate) const SCHEMA: &str = "
CREATE TABLE recovery (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    stage INTEGER NOT NULL,          -- 1 looking up, 2 admitting, 3 restoring
    address TEXT NOT NULL,           -- as typed
    from_file INTEGER NOT NULL,
    revoke_others INTEGER NOT NULL,
    backup_seed BLOB NOT NULL,
    roster_length INTEGER            -- when it was looked up
);
";

/// What is in memory.
#[derive(Default)]
pub(crate) struct RecoveryMemory {
    /// Until the statements are signed.
    key: Option<RecoveryKey>,
    opener: Option<Opening>,
    /// Whether this process waits for a file to be checked.
    is_checking: bool,
}

/// A backup that is being opened.
struct Opening {
    opener: Opener,
    /// The next part from the relay.
    part: u32,
    parts: u32,
    begun: bool,
}

struct Recovery {
    stage: u8,
    address: String,
    from_file: bool,
    revoke_others: bool,
    backup_seed: Zeroizing<Vec<u8>>,
    roster_length: usize,
}

const LOOKING_UP: u8 = 1;
const ADMITTING: u8 = 2;
const RESTORING: u8 = 3;
const CHECKING: u8 = 4;

/// A person has lost their devices and has the words.
pub(crate) fn begin(turn: &mut Turn<'_>, asked: &api::Recover) -> Result<Response, EventError> {
    let name =
        names::checked(&asked.name).ok_or(EventError::Refused(Problem::DeviceNameMalformed))?;
    let address = target::parse_address(&asked.address)?;
    let key = RecoveryKey::from_words(&asked.words)
        .map_err(|error| EventError::Refused(malformed(error)))?;
    refuse_registered(turn)?;
    crate::link::relay::set(turn, &asked.relay, asked.pin.as_deref())?;
    registration::abandon(turn.tx)?;
    make_room(turn);
    turn.tx.execute("DELETE FROM roster_change", [])?;
    transfer::abandon(turn.tx)?;
    account::forget(turn.tx)?;
    account::begin_device(turn.tx, turn.rng)?;
    let device =
        account::pending_device(turn.tx)?.ok_or_else(|| Fault::Broken("no device key".into()))?;
    names::set(turn.tx, device, name)?;
    let seed = Zeroizing::new(backup::key::private(&key).to_bytes().0);
    turn.tx.execute(
        "INSERT OR REPLACE INTO recovery
             (id, stage, address, from_file, revoke_others, backup_seed)
         VALUES (1, 1, ?1, ?2, ?3, ?4)",
        (
            address.display(),
            asked.from_file,
            asked.revoke_others,
            seed.as_slice(),
        ),
    )?;
    backup::key::store_public(turn.tx, &backup::key::public_of(&key))?;
    turn.memory.devices_mut().recovery = RecoveryMemory {
        key: Some(key),
        ..RecoveryMemory::default()
    };
    turn.memory.lookups_mut().forget_outcomes();
    notify_stage(turn, RecoveryStage::LookingUp, None);
    Ok(Response::Done {})
}

/// A person wants what a backup has, on a device that is the account's already.
pub(crate) fn restore(turn: &mut Turn<'_>, asked: &api::Restore) -> Result<Response, EventError> {
    let Some(own) = &turn.memory.account else {
        return Err(EventError::Refused(Problem::NotRegistered));
    };
    let (address, roster) = (own.address().clone(), own.roster().clone());
    let key = RecoveryKey::from_words(&asked.words)
        .map_err(|error| EventError::Refused(malformed(error)))?;
    if roster.recovery_key() != key.signing_key().public() {
        return Err(EventError::Refused(Problem::RecoveryWordsOthers));
    }
    let seed = Zeroizing::new(backup::key::private(&key).to_bytes().0);
    let stage = if asked.from_file { CHECKING } else { RESTORING };
    turn.tx.execute(
        "INSERT OR REPLACE INTO recovery
             (id, stage, address, from_file, revoke_others, backup_seed, roster_length)
         VALUES (1, ?1, ?2, ?3, 0, ?4, ?5)",
        (
            stage,
            address.display(),
            asked.from_file,
            seed.as_slice(),
            roster.length().cast_signed(),
        ),
    )?;
    turn.memory.devices_mut().recovery = RecoveryMemory {
        is_checking: asked.from_file,
        ..RecoveryMemory::default()
    };
    turn.memory.postponed.remove(&Postponed::Backup);
    notify_stage(
        turn,
        if asked.from_file {
            RecoveryStage::Checking
        } else {
            RecoveryStage::Restoring
        },
        None,
    );
    Ok(Response::Done {})
}

/// The next bytes of the backup file.
pub(crate) fn feed(turn: &mut Turn<'_>, asked: &api::FeedBackup) -> Result<Response, EventError> {
    let refused = EventError::Refused(Problem::RecoveryNotBegun);
    let Some(recovery) = read(turn.tx)? else {
        return Err(refused);
    };
    if !matches!(recovery.stage, CHECKING | RESTORING) || !recovery.from_file {
        return Err(refused);
    }
    if asked.part.len() > (limits::BACKUP_PART_BYTES * 2).div_ceil(3) * 4 + 4 {
        return Err(EventError::Refused(Problem::BackupDamaged));
    }
    let part = BASE64
        .decode(asked.part.as_bytes())
        .map_err(|_| EventError::Refused(Problem::BackupDamaged))?;
    opening(turn, &recovery)?;
    if recovery.stage == CHECKING {
        return check(turn, &recovery, &part, asked.last)
            .map(|()| Response::Done {})
            .map_err(EventError::from);
    }
    if let Err(problem) = take_in(turn, &recovery, &part, asked.last)? {
        finish(turn, Some(&problem))?;
        return Ok(Response::Done {});
    }
    if asked.last {
        finish(turn, None)?;
    }
    Ok(Response::Done {})
}

/// Whether one is under way.
pub(crate) fn under_way(tx: &Transaction<'_>) -> Result<bool, StoreError> {
    Ok(read(tx)?.is_some())
}

/// Whether the mailbox link is useful although there is no account yet.
pub(crate) fn wants_mailbox(tx: &Transaction<'_>) -> Result<bool, StoreError> {
    Ok(read(tx)?.is_some_and(|recovery| recovery.stage == ADMITTING))
}

/// Whether the posting link is useful although there is no account yet.
pub(crate) fn wants_posting(tx: &Transaction<'_>) -> Result<bool, StoreError> {
    Ok(read(tx)?.is_some_and(|recovery| recovery.stage == LOOKING_UP))
}

/// The address of the account that is being recovered.
pub(crate) fn address(tx: &Transaction<'_>) -> Result<Option<String>, StoreError> {
    Ok(read(tx)?.map(|recovery| recovery.address))
}

/// Does what has become possible.
pub(crate) fn pump(turn: &mut Turn<'_>) -> Result<(), Fault> {
    let Some(recovery) = read(turn.tx)? else {
        return Ok(());
    };
    match recovery.stage {
        LOOKING_UP => look_up(turn, &recovery),
        // The words, or what was read of the file, went with the process before.
        CHECKING if !turn.memory.devices_mut().recovery.is_checking => {
            failed(turn, &Problem::RecoveryNotBegun)
        }
        RESTORING if !recovery.from_file => fetch(turn, &recovery),
        _ => Ok(()),
    }
}

// ---- whose account it is ----

fn look_up(turn: &mut Turn<'_>, recovery: &Recovery) -> Result<(), Fault> {
    if turn.memory.devices_mut().recovery.key.is_none() {
        // The words went with the process before.
        return failed(turn, &Problem::PairingBroken);
    }
    let Ok(address) = Address::parse(&recovery.address) else {
        return Err(Fault::Broken("the address is not valid".into()));
    };
    match turn
        .memory
        .lookups_mut()
        .outcome(address.canonical(), turn.now)
    {
        None => {
            turn.memory
                .lookups_mut()
                .request_look_up(address.canonical());
            if turn.memory.links.posting.ready().is_some() {
                lookups::pump(turn);
            }
            Ok(())
        }
        Some(lookups::LookUpOutcome::Account(account)) => {
            turn.memory.lookups_mut().forget_outcomes();
            looked_up(turn, recovery, account)
        }
        Some(lookups::LookUpOutcome::Nobody) => {
            turn.memory.lookups_mut().forget_outcomes();
            let address = recovery.address.clone();
            failed(turn, &Problem::RecoveryAddressUnknown { address })
        }
    }
}

/// The account's roster is there: the recovery key signs what is to be signed.
fn looked_up(turn: &mut Turn<'_>, recovery: &Recovery, account: AccountId) -> Result<(), Fault> {
    let Some(key) = turn.memory.devices_mut().recovery.key.clone() else {
        return Ok(());
    };
    // The account is not a contact of its own.
    let statements = contact::take_roster(turn.tx, account)?;
    let known = match account::adopt(turn.tx, &statements) {
        Ok(roster) => roster,
        Err(NotExtended::Store(error)) => return Err(error.into()),
        Err(_) => {
            let address = recovery.address.clone();
            return failed(turn, &Problem::RecoveryAddressUnknown { address });
        }
    };
    if known.recovery_key() != key.signing_key().public() {
        return failed(turn, &Problem::RecoveryWordsOthers);
    }
    if known.devices().len() >= limits::DEVICES && !recovery.revoke_others {
        return failed(
            turn,
            &Problem::DevicesTooMany {
                limit: limits::DEVICES as u64,
            },
        );
    }
    turn.tx.execute(
        "UPDATE recovery SET roster_length = ?1",
        [known.length().cast_signed()],
    )?;
    if recovery.from_file {
        turn.tx
            .execute("UPDATE recovery SET stage = ?1", [CHECKING])?;
        turn.memory.devices_mut().recovery.is_checking = true;
        notify_stage(turn, RecoveryStage::Checking, None);
        return Ok(());
    }
    admit(turn, recovery)
}

/// The recovery key signs what admits this device.
fn admit(turn: &mut Turn<'_>, recovery: &Recovery) -> Result<(), Fault> {
    let Some(key) = turn.memory.devices_mut().recovery.key.take() else {
        return failed(turn, &Problem::PairingBroken);
    };
    let signing = key.signing_key();
    let known = Roster::verify(&account::statements(turn.tx)?)
        .map_err(|_| Fault::Broken("a roster that does not verify".into()))?;
    let identity = account::own_identity(turn.tx)?;
    let entry = account::own_entry(turn.tx)?;
    let others: Vec<DeviceId> = known.devices().iter().map(|device| device.id).collect();
    let full = others.len() >= limits::DEVICES;
    let add = Change::AddDevice(entry);
    let revoke = others
        .into_iter()
        .filter(|_| recovery.revoke_others)
        .map(|device| Change::RevokeDevice(device.to_bytes()));
    // This device first, unless there is no room for it.
    let mut changes: Vec<Change> = revoke.collect();
    let place = usize::from(full).min(changes.len());
    changes.insert(place, add);
    let mut grown = known.clone();
    for change in changes {
        let consent = matches!(change, Change::AddDevice(_)).then_some(&identity);
        let statement = roster::next_statement(
            turn.rng,
            turn.now,
            &grown,
            SigningWith::Recovery(&signing),
            change,
            consent,
        );
        grown
            .extend(&statement)
            .map_err(|error| Fault::Broken(error.to_string()))?;
        changes::add(turn.tx, &statement)?;
    }
    turn.tx
        .execute("UPDATE recovery SET stage = ?1", [ADMITTING])?;
    notify_stage(turn, RecoveryStage::Admitting, None);
    Ok(())
}

/// The relay's log has the statement that admits this device.
pub(crate) fn admitted(turn: &mut Turn<'_>, mailbox: MailboxId) -> Result<(), Fault> {
    let Some(recovery) = read(turn.tx)? else {
        return Ok(());
    };
    if recovery.stage != ADMITTING {
        return Ok(());
    }
    let address = Address::parse(&recovery.address)
        .map_err(|_| Fault::Broken("the address is not valid".into()))?;
    registration::joined(turn.tx, &address, mailbox)?;
    turn.tx.execute("UPDATE recovery SET stage = 3", [])?;
    notify_stage(turn, RecoveryStage::Restoring, None);
    Ok(())
}

fn malformed(error: RecoveryWordsError) -> Problem {
    let (detail, number) = match error {
        RecoveryWordsError::Count(words) => (RecoveryWordsFlaw::Count, Some(words)),
        RecoveryWordsError::Unknown(place) => (RecoveryWordsFlaw::UnknownWord, Some(place)),
        RecoveryWordsError::Checksum => (RecoveryWordsFlaw::Checksum, None),
    };
    Problem::RecoveryWordsMalformed {
        detail,
        number: number.and_then(|number| u32::try_from(number).ok()),
    }
}

/// The relay does not admit this device.
pub(crate) fn not_admitted(turn: &mut Turn<'_>, problem: &Problem) -> Result<(), Fault> {
    if read(turn.tx)?.is_some_and(|recovery| recovery.stage == ADMITTING) {
        return failed(turn, problem);
    }
    Ok(())
}

/// Another statement came before the one that admits this device: the words are needed
/// again.
pub(crate) fn outdated(turn: &mut Turn<'_>) -> Result<(), Fault> {
    not_admitted(turn, &Problem::RosterChangedMeanwhile)
}

// ---- whether a file is a backup of the account ----

/// Opens what comes next of the file, and keeps nothing of it.
fn check(turn: &mut Turn<'_>, recovery: &Recovery, part: &[u8], last: bool) -> Result<(), Fault> {
    if let Err(problem) = open_part(turn, recovery, part, last)? {
        return failed(turn, &problem);
    }
    if !last {
        return Ok(());
    }
    let memory = &mut turn.memory.devices_mut().recovery;
    let is_begun = memory.opener.take().is_some_and(|opening| opening.begun);
    memory.is_checking = false;
    if !is_begun {
        // It opened, and nothing was in it.
        return failed(turn, &Problem::BackupDamaged);
    }
    if turn.memory.account.is_none() {
        return admit(turn, recovery);
    }
    turn.tx
        .execute("UPDATE recovery SET stage = ?1", [RESTORING])?;
    notify_stage(turn, RecoveryStage::Restoring, None);
    Ok(())
}

// ---- what the backup has ----

fn fetch(turn: &mut Turn<'_>, recovery: &Recovery) -> Result<(), Fault> {
    if turn.memory.links.mailbox.phase != LinkPhase::LoggedIn
        || turn.is_postponed(&Postponed::Backup)
    {
        return Ok(());
    }
    let index = opening(turn, recovery)?.part;
    let job = Job::FetchBackup(index);
    if !turn.memory.links.mailbox.awaits(&job) {
        turn.send_request(
            LinkKind::Mailbox,
            job,
            Body::FetchBackup(FetchBackup { index }),
        );
    }
    Ok(())
}

/// The relay gave a part.
pub(crate) fn handle_backup_part(
    turn: &mut Turn<'_>,
    index: u32,
    fetched: &BackupFetched,
) -> Result<(), Fault> {
    let Some(recovery) = read(turn.tx)? else {
        return Ok(());
    };
    let opening = opening(turn, &recovery)?;
    let parts = fetched.parts.min(limits::BACKUP_PARTS);
    if recovery.stage != RESTORING || recovery.from_file || index != opening.part {
        return Ok(());
    }
    if index >= parts || (index > 0 && parts != opening.parts) {
        // Another took its place in the meantime: from the start.
        turn.memory.devices_mut().recovery.opener = None;
        turn.postpone(Postponed::Backup, waxwing_protocol::time::Span::seconds(1));
        return Ok(());
    }
    opening.parts = parts;
    opening.part = index + 1;
    let last = index + 1 == parts;
    if let Err(problem) = take_in(turn, &recovery, &fetched.part, last)? {
        return finish(turn, Some(&problem));
    }
    turn.notify(Notice::Transfer(TransferProgress {
        what: TransferOf::Restore,
        done: u64::from(index) + 1,
        total: u64::from(parts),
    }));
    if last {
        return finish(turn, None);
    }
    Ok(())
}

/// The relay gave none.
pub(crate) fn fetch_refused(turn: &mut Turn<'_>, error: &Error) -> Result<(), Fault> {
    match error.code() {
        ErrorCode::RateLimited | ErrorCode::Unavailable => {
            turn.postpone(Postponed::Backup, link::retry_after(error));
            Ok(())
        }
        ErrorCode::BackupUnknown | ErrorCode::Unsupported => {
            finish(turn, Some(&Problem::BackupNone))
        }
        _ => finish(turn, Some(&crate::link::problem_of(error))),
    }
}

fn opening<'a>(turn: &'a mut Turn<'_>, recovery: &Recovery) -> Result<&'a mut Opening, Fault> {
    let opener = &mut turn.memory.devices_mut().recovery.opener;
    if opener.is_none() {
        let seed: [u8; 32] = recovery
            .backup_seed
            .as_slice()
            .try_into()
            .map_err(|_| Fault::Broken("a backup key that is not valid".into()))?;
        let seed = Zeroizing::new(seed);
        *opener = Some(Opening {
            opener: Opener::new(DecapsulationKeyRejectNonContrib::from(*seed)),
            part: 0,
            parts: 0,
            begun: false,
        });
    }
    opener
        .as_mut()
        .ok_or_else(|| Fault::Broken("no backup is being opened".into()))
}

/// Opens and stores what comes next; what was before stays in any case.
fn take_in(
    turn: &mut Turn<'_>,
    recovery: &Recovery,
    part: &[u8],
    last: bool,
) -> Result<Result<(), Problem>, Fault> {
    let tables = turn.tables();
    let chunks = match open_part(turn, recovery, part, last)? {
        Ok(chunks) => chunks,
        Err(problem) => return Ok(Err(problem)),
    };
    for chunk in chunks {
        match archive::import(turn.tx, tables, turn.now, chunk) {
            Ok(()) => {}
            Err(archive::NotImported::Store(error)) => return Err(error.into()),
            Err(_) => return Ok(Err(Problem::BackupDamaged)),
        }
    }
    Ok(Ok(()))
}

/// Opens what comes next. The first chunk says whose backup it is.
fn open_part(
    turn: &mut Turn<'_>,
    recovery: &Recovery,
    part: &[u8],
    last: bool,
) -> Result<Result<Vec<ArchiveChunk>, Problem>, Fault> {
    let Some(opening) = &mut turn.memory.devices_mut().recovery.opener else {
        return Ok(Err(Problem::BackupDamaged));
    };
    let Ok(chunks) = opening.opener.feed(part, last) else {
        return Ok(Err(Problem::BackupDamaged));
    };
    if let Some(first) = chunks.first()
        && !std::mem::replace(&mut opening.begun, true)
    {
        let Some(hash) = opening.opener.header_hash() else {
            return Ok(Err(Problem::BackupDamaged));
        };
        if !made_by_us(turn.tx, recovery, first, hash)? {
            return Ok(Err(Problem::BackupNotOurs));
        }
    }
    Ok(Ok(chunks))
}

/// Whether a device of the account made the backup.
fn made_by_us(
    tx: &Transaction<'_>,
    recovery: &Recovery,
    chunk: &ArchiveChunk,
    header_hash: &[u8; 32],
) -> Result<bool, Fault> {
    let statements = account::statements(tx)?;
    let looked_up = recovery.roster_length.min(statements.len());
    let first = if recovery.from_file { 1 } else { looked_up };
    for length in (first..=looked_up).rev() {
        let Some(part) = statements.get(..length) else {
            continue;
        };
        let then = Roster::verify(part)
            .map_err(|_| Fault::Broken("a roster that does not verify".into()))?;
        if backup::is_by(chunk, header_hash, &then) {
            return Ok(true);
        }
    }
    Ok(false)
}

// ---- the end ----

/// This device is one of the account's; what of the backup could be had is there.
fn finish(turn: &mut Turn<'_>, problem: Option<&Problem>) -> Result<(), Fault> {
    turn.tx.execute("DELETE FROM recovery", [])?;
    crate::archive::forget_conversations(turn.tx)?;
    deleting::apply_all(turn)?;
    // The backup may be older than what other devices have set since, or deleted.
    settings::write(turn.tx, Setting::SyncedSettingsWanted, true)?;
    turn.memory.devices_mut().recovery = RecoveryMemory::default();
    turn.memory
        .due_mut()
        .groups
        .extend(groups::needing_work(turn.tx)?);
    notify_stage(turn, RecoveryStage::Done, problem);
    Ok(())
}

/// Nothing has changed.
fn failed(turn: &mut Turn<'_>, problem: &Problem) -> Result<(), Fault> {
    turn.tx.execute("DELETE FROM recovery", [])?;
    if turn.memory.account.is_none() {
        account::forget_roster(turn.tx)?;
        turn.tx.execute("DELETE FROM roster_change", [])?;
    }
    turn.memory.devices_mut().recovery = RecoveryMemory::default();
    notify_stage(turn, RecoveryStage::Failed, Some(problem));
    Ok(())
}

fn notify_stage(turn: &mut Turn<'_>, stage: RecoveryStage, problem: Option<&Problem>) {
    turn.notify(Notice::Recovery(RecoveryChanged {
        stage,
        problem: problem.map(Problem::report),
    }));
}

fn read(tx: &Transaction<'_>) -> Result<Option<Recovery>, StoreError> {
    let mut statement = tx.prepare_cached(
        "SELECT stage, address, from_file, revoke_others, backup_seed, roster_length
         FROM recovery",
    )?;
    Ok(statement
        .query_row([], |row| {
            Ok(Recovery {
                stage: row.get(0)?,
                address: row.get(1)?,
                from_file: row.get(2)?,
                revoke_others: row.get(3)?,
                backup_seed: row.get(4).map(Zeroizing::new)?,
                roster_length: usize::try_from(row.get::<_, Option<i64>>(5)?.unwrap_or(0))
                    .unwrap_or(0),
            })
        })
        .optional()?)
}
