//! Backups: the archive, sealed for the recovery key, given to the relay or to a file.
//!
//! To the relay it goes in parts ([`PutBackup`]), one at a time; the relay keeps the one
//! before until [`FinishBackup`]. It is made when a person asks for it, and by itself
//! once a day when there is something new. A backup that is being made lives in memory:
//! a link that is lost does not end it, a process that ends does.
//!
//! **Elsewhere**: its form: [`seal`]. Its key: [`key`]. Getting it back:
//! [`super::recovery`].
//!
//! **Always**: a part is sealed once; sent again, it is the same bytes. No backup is made
//! while one is being restored. The files of messages are not in it, and who makes one is told
//! how many these are.

pub(crate) mod key;
pub(crate) mod seal;

use data_encoding::BASE64;
use rusqlite::Transaction;
use waxwing_protocol::{
    ids::DeviceId,
    limits,
    pb::{
        ArchiveChunk, ArchiveCursor, ArchiveRecord, BackupOrigin, Error, ErrorCode, FinishBackup,
        PutBackup, archive_record::Record, client_frame::Body,
    },
    roster::Roster,
    signature::Purpose,
    time::{Span, Time},
};

use self::seal::Sealer;
use super::{archive, recovery};
use crate::{
    account,
    api::{
        self, BackupChanged, BackupPart, Notice, Problem, Response, TransferOf, TransferProgress,
    },
    attachment,
    event::LinkKind,
    link::{self, Job, LinkPhase},
    settings::{self, Setting},
    tables::Tables,
    turn::{EventError, Fault, Postponed, Turn},
};

/// After the first account's hour, and after a failure, the next is made.
const SOON: Span = Span::hours(1);

const EVERY: Span = Span::hours(24);

/// What is in memory.
#[derive(Default)]
pub(crate) struct BackupMemory {
    /// A person asked for one.
    wanted: bool,
    making: Option<Making>,
    file: Option<Making>,
}

/// A backup that is being made.
struct Making {
    id: [u8; 16],
    sealer: Sealer,
    cursor: Option<ArchiveCursor>,
    origin: Option<BackupOrigin>,
    /// The part that was made last, its number, and whether there are more.
    part: Option<(u32, Vec<u8>, bool)>,
    /// How many of the archive's records are in it.
    done: (u64, u64),
    /// The newest entry when it was begun.
    newest: i64,
}

/// A person wants one now.
pub(crate) fn request_backup(turn: &mut Turn<'_>) -> Result<Response, EventError> {
    ready(turn)?;
    turn.memory.postponed.remove(&Postponed::Backup);
    turn.memory.devices_mut().backup.wanted = true;
    Ok(Response::Done {})
}

/// A part of one for a file.
pub(crate) fn read(turn: &mut Turn<'_>, asked: api::ReadBackup) -> Result<Response, EventError> {
    ready(turn)?;
    let mut making = if asked.index == 0 {
        begin(turn)?
    } else {
        turn.memory
            .devices_mut()
            .backup
            .file
            .take()
            .ok_or(EventError::Refused(Problem::BackupNone))?
    };
    let made = making.part.as_ref().map(|(index, ..)| *index);
    if made != Some(asked.index) {
        let next = made.map_or(0, |index| index.saturating_add(1));
        if next != asked.index || !making.make_part(turn.tx, turn.tables())? {
            return Err(EventError::Refused(Problem::BackupNone));
        }
    }
    let Some((_, part, more)) = &making.part else {
        return Err(EventError::Refused(Problem::BackupNone));
    };
    let response = BackupPart {
        part: BASE64.encode(part),
        more: *more,
        left_out: if *more {
            None
        } else {
            attachment::not_in_archives(turn.tx)?
        },
    };
    turn.memory.devices_mut().backup.file = Some(making);
    Ok(Response::BackupPart(response))
}

fn ready(turn: &Turn<'_>) -> Result<(), EventError> {
    if turn.memory.account.is_none() {
        return Err(EventError::Refused(Problem::NotRegistered));
    }
    if key::public(turn.tx)?.is_none() {
        return Err(EventError::Refused(Problem::BackupKeyMissing));
    }
    Ok(())
}

/// Begins one, if it is time, and gives the relay the next part.
pub(crate) fn pump(turn: &mut Turn<'_>) -> Result<(), Fault> {
    if turn.memory.links.mailbox.phase != LinkPhase::LoggedIn
        || turn.memory.account.is_none()
        || turn.is_postponed(&Postponed::Backup)
    {
        return Ok(());
    }
    if turn.memory.devices_mut().backup.making.is_none() {
        if !is_due(turn)? {
            return Ok(());
        }
        turn.memory.devices_mut().backup.wanted = false;
        turn.memory.devices_mut().changed_since_backup = false;
        let making = begin(turn)?;
        turn.memory.devices_mut().backup.making = Some(making);
    }
    let Some(mut making) = turn.memory.devices_mut().backup.making.take() else {
        return Ok(());
    };
    if making.part.is_none() && !making.make_part(turn.tx, turn.tables())? {
        return Err(Fault::Broken("a backup without a part".into()));
    }
    let Some((index, part, _)) = &making.part else {
        return Ok(());
    };
    if *index >= limits::BACKUP_PARTS {
        return failed(turn, &Problem::BackupTooLarge);
    }
    let busy = turn.memory.links.mailbox.awaits(&Job::PutBackup(*index))
        || turn.memory.links.mailbox.awaits(&Job::FinishBackup);
    if !busy {
        let put = PutBackup {
            backup_id: making.id.to_vec().into(),
            index: *index,
            part: part.clone().into(),
        };
        turn.send_request(
            LinkKind::Mailbox,
            Job::PutBackup(*index),
            Body::PutBackup(put),
        );
    }
    turn.memory.devices_mut().backup.making = Some(making);
    Ok(())
}

/// The relay has a part.
pub(crate) fn put(turn: &mut Turn<'_>, index: u32) -> Result<(), Fault> {
    let Some(mut making) = turn.memory.devices_mut().backup.making.take() else {
        return Ok(());
    };
    let Some((made, _, more)) = making.part else {
        return Ok(());
    };
    if made == index {
        let (done, total) = making.done;
        turn.notify(Notice::Transfer(TransferProgress {
            what: TransferOf::Backup,
            done,
            total,
        }));
        if more {
            making.make_part(turn.tx, turn.tables())?;
        } else {
            let finish = FinishBackup {
                backup_id: making.id.to_vec().into(),
                parts: index + 1,
            };
            turn.send_request(
                LinkKind::Mailbox,
                Job::FinishBackup,
                Body::FinishBackup(finish),
            );
        }
    }
    turn.memory.devices_mut().backup.making = Some(making);
    Ok(())
}

/// The relay has the whole backup.
pub(crate) fn finished(turn: &mut Turn<'_>) -> Result<(), Fault> {
    let Some(making) = turn.memory.devices_mut().backup.making.take() else {
        return Ok(());
    };
    settings::write(turn.tx, Setting::BackupNewest, making.newest)?;
    due_after(turn, EVERY)?;
    let left_out = attachment::not_in_archives(turn.tx)?;
    turn.notify(Notice::Backup(BackupChanged {
        saved_at: Some(turn.now.into()),
        problem: None,
        left_out,
    }));
    Ok(())
}

/// The relay did not take something of it.
pub(crate) fn handle_refusal(turn: &mut Turn<'_>, error: &Error) -> Result<(), Fault> {
    match error.code() {
        ErrorCode::RateLimited | ErrorCode::Unavailable => {
            // The same part again, later.
            turn.warn(&link::problem_of(error));
            turn.postpone(Postponed::Backup, link::retry_after(error));
            Ok(())
        }
        ErrorCode::TooLarge => failed(turn, &Problem::BackupTooLarge),
        _ => failed(turn, &crate::link::problem_of(error)),
    }
}

/// The link is no more: the part that was on its way is sent again on the next.
pub(crate) const fn lost(_live: &mut BackupMemory) {}

/// When one is to be begun.
pub(crate) fn next_time(turn: &Turn<'_>) -> Result<Option<Time>, Fault> {
    let ready = turn.memory.links.mailbox.phase == LinkPhase::LoggedIn
        && turn
            .memory
            .devices()
            .is_none_or(|devices| devices.backup.making.is_none())
        && key::public(turn.tx)?.is_some();
    if !ready {
        return Ok(None);
    }
    due_at(turn.tx)
}

fn is_due(turn: &mut Turn<'_>) -> Result<bool, Fault> {
    if key::public(turn.tx)?.is_none() || recovery::under_way(turn.tx)? {
        return Ok(false);
    }
    if turn.memory.devices_mut().backup.wanted {
        return Ok(true);
    }
    match due_at(turn.tx)? {
        None => {
            due_after(turn, SOON)?;
            Ok(false)
        }
        Some(at) if at > turn.now => Ok(false),
        Some(_) => {
            let before: Option<i64> = settings::read(turn.tx, Setting::BackupNewest)?;
            let anything_new = before != Some(turn.tables().newest_entry(turn.tx)?)
                || turn.memory.devices_mut().changed_since_backup;
            if !anything_new {
                due_after(turn, SOON)?;
            }
            Ok(anything_new)
        }
    }
}

fn due_at(tx: &Transaction<'_>) -> Result<Option<Time>, Fault> {
    let at: Option<i64> = settings::read(tx, Setting::BackupDueAt)?;
    Ok(at.map(|at| Time(at.cast_unsigned())))
}

fn due_after(turn: &Turn<'_>, span: Span) -> Result<(), Fault> {
    let at = turn.now.after(span).0.cast_signed();
    Ok(settings::write(turn.tx, Setting::BackupDueAt, at)?)
}

fn failed(turn: &mut Turn<'_>, problem: &Problem) -> Result<(), Fault> {
    turn.memory.devices_mut().backup.making = None;
    turn.memory.devices_mut().changed_since_backup = true;
    due_after(turn, SOON)?;
    turn.notify(Notice::Backup(BackupChanged {
        saved_at: None,
        problem: Some(problem.report()),
        left_out: None,
    }));
    Ok(())
}

fn begin(turn: &mut Turn<'_>) -> Result<Making, Fault> {
    let key = key::encapsulation_key(turn.tx)?
        .ok_or_else(|| Fault::Broken("no key for backups".into()))?;
    let sealer = Sealer::begin(turn.rng, &key);
    let identity = account::own_identity(turn.tx)?;
    let own = turn.account()?;
    let (account, device) = (own.id(), own.device());
    let origin = BackupOrigin {
        account_id: account.to_bytes(),
        device_id: device.to_bytes(),
        made_at_ms: turn.now.0,
        signature: Some(identity.sign(turn.rng, Purpose::Backup, sealer.header_hash())),
    };
    Ok(Making {
        id: turn.random(),
        sealer,
        cursor: None,
        origin: Some(origin),
        part: None,
        done: (0, 1),
        newest: turn.tables().newest_entry(turn.tx)?,
    })
}

impl Making {
    /// Makes the next part; `false` where there is none.
    fn make_part(&mut self, tx: &Transaction<'_>, tables: Tables<'_>) -> Result<bool, Fault> {
        while self.sealer.hungry() {
            let mut chunk = match (self.origin.is_some(), &self.cursor) {
                (false, None) => {
                    self.sealer.end();
                    break;
                }
                (_, cursor) => {
                    archive::export(tx, tables, cursor.clone(), archive::Reach::Everything)?
                }
            };
            if let Some(origin) = self.origin.take() {
                let record = ArchiveRecord {
                    record: Some(Record::Origin(origin)),
                };
                chunk.records.insert(0, record);
            }
            self.done = (chunk.done, chunk.total);
            self.sealer.push(&chunk);
            self.cursor = chunk.next;
        }
        let index = self
            .part
            .take()
            .map_or(0, |(index, ..)| index.saturating_add(1));
        self.part = self
            .sealer
            .next()
            .map(|(bytes, last)| (index, bytes, !last));
        Ok(self.part.is_some())
    }
}

/// Whether the first chunk says who made the backup, and it was a device of this roster.
pub(crate) fn is_by(chunk: &ArchiveChunk, header_hash: &[u8; 32], roster: &Roster) -> bool {
    let Some(Record::Origin(origin)) = chunk
        .records
        .first()
        .and_then(|record| record.record.as_ref())
    else {
        return false;
    };
    let (Ok(device), Some(signature)) = (DeviceId::try_from(&origin.device_id), &origin.signature)
    else {
        return false;
    };
    origin.account_id == roster.account().as_bytes().as_slice()
        && roster.device(device).is_some_and(|device| {
            device
                .identity
                .verify(Purpose::Backup, header_hash, signature)
                .is_ok()
        })
}
