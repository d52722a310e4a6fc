//! Backups: what an account stores on the relay, in parts, and only the account can read.
//!
//! A device uploads a new backup part by part and then finishes it; at that moment it replaces
//! the previous one. Any device of the account can fetch it.
//!
//! **Elsewhere**: the engine decides what is in a backup and seals it.
//!
//! **Always**: an account has at most one finished backup, and one that is being uploaded. A
//! finished backup is complete, and its parts never change. The pointer and the parts of the
//! replaced backup change in one batch: after a crash there is either the old backup or the
//! new one. The relay does not read parts to delete them: the record says which parts exist.

use bytes::Bytes;
use waxwing_protocol::{
    ids::AccountId,
    limits, pb,
    pb::{ErrorCode, relay_frame::Body as Answer},
    time::{Span, Time},
};

use crate::{
    answer::{Refused, Reply, RequestResult},
    checker::{PartCheck, PartRead},
    config::Config,
    context::Context,
    link::LinkId,
    rate_limit::Buckets,
    store::{
        Key, KeySpace, Store, StoreError, key,
        records::{BackupRecord, BackupUploadRecord},
    },
    sweep::{Done, Round},
};

/// Bytes of a backup's id.
const ID_BYTES: usize = 16;
/// A backup that nothing was put into for this long is not finished any more.
const UNFINISHED_FOR: Span = Span::days(1);
/// Uploads that are looked at in one slice of the sweep; each has up to
/// [`limits::BACKUP_PARTS`] parts.
const UPLOADS: usize = 1;

/// How often accounts may.
pub(crate) struct Backups {
    pub(crate) puts: Buckets<AccountId>,
    pub(crate) fetches: Buckets<AccountId>,
    /// How far the sweep of uploads has come.
    pub(crate) round: Round,
}

impl Backups {
    pub(crate) fn new(config: &Config) -> Self {
        Self {
            puts: Buckets::new(config.backup_puts_per_account, 100_000),
            fetches: Buckets::new(config.backup_fetches_per_account, 100_000),
            round: Round::default(),
        }
    }
}

impl BackupUploadRecord {
    fn has(&self, index: u32) -> bool {
        let (byte, bit) = place(index);
        self.present.get(byte).is_some_and(|byte| byte & bit != 0)
    }

    fn add(&mut self, index: u32) {
        let (byte, bit) = place(index);
        let mut present = self.present.to_vec();
        if present.len() <= byte {
            present.resize(byte + 1, 0);
        }
        if let Some(byte) = present.get_mut(byte) {
            *byte |= bit;
        }
        self.present = present.into();
    }

    /// Which parts are there.
    fn parts(&self) -> impl Iterator<Item = u32> {
        (0..limits::BACKUP_PARTS).filter(|index| self.has(*index))
    }
}

fn place(index: u32) -> (usize, u8) {
    (index as usize / 8, 1 << (index % 8))
}

impl Backups {
    pub(crate) fn put_backup(
        &mut self,
        context: &mut Context<impl Store>,
        now: Time,
        link: LinkId,
        put: pb::PutBackup,
    ) -> RequestResult {
        let account = context.links.account_logged_in(link)?;
        let id = backup_id(put.backup_id)?;
        if put.part.is_empty() {
            return Err(Refused::malformed("a part of a backup is empty"));
        }
        if put.part.len() > limits::BACKUP_PART_BYTES || put.index >= Self::most_parts(context) {
            return Err(Refused::new(
                ErrorCode::TooLarge,
                "the backup, or a part of it, is too large",
            ));
        }
        if !context.has_space() {
            return Err(Refused::unavailable());
        }
        if context.view.pending_bytes().saturating_add(put.part.len())
            > context.config.unwritten_backup_bytes
        {
            return Err(Refused::rate_limited(Span::seconds(1)));
        }
        if Self::backup(context, account)?.is_some_and(|one| one.backup_id == id) {
            return Err(Refused::malformed("this backup is finished"));
        }
        let before: Option<BackupUploadRecord> = context
            .view
            .get(KeySpace::BackupUploads, account.as_bytes())?;
        let is_there = before
            .as_ref()
            .is_some_and(|before| before.backup_id == id && before.has(put.index));
        if !is_there {
            context.quotas.has_room_for_backup_part(&context.config)?;
        }
        // What is refused for want of room costs nothing of the rate.
        self.puts
            .take(now, account)
            .map_err(Refused::rate_limited)?;
        let mut upload = match before {
            Some(before) if before.backup_id == id => before,
            other => {
                if let Some(other) = other {
                    Self::drop_parts(context, account, &other.backup_id, other.parts());
                }
                BackupUploadRecord {
                    backup_id: id.clone(),
                    ..BackupUploadRecord::default()
                }
            }
        };
        upload.add(put.index);
        if !is_there {
            context.count(|usage| usage.backup_parts = usage.backup_parts.saturating_add(1));
        }
        upload.touched_at_ms = context.date(now).0;
        context.view.put_bytes(
            KeySpace::Backups,
            part_key(account, &id, put.index),
            put.part,
        );
        context
            .view
            .put(KeySpace::BackupUploads, key(&[account.as_bytes()]), &upload);
        Ok(Reply::Durable(Answer::Done(pb::Done {})))
    }

    pub(crate) fn finish_backup(
        context: &mut Context<impl Store>,
        now: Time,
        link: LinkId,
        finish: &pb::FinishBackup,
    ) -> RequestResult {
        let account = context.links.account_logged_in(link)?;
        let id = backup_id(finish.backup_id.clone())?;
        let done = Ok(Reply::Durable(Answer::Done(pb::Done {})));
        let before = Self::backup(context, account)?;
        if let Some(before) = &before
            && before.backup_id == id
        {
            // The answer got lost.
            return if before.parts == finish.parts {
                done
            } else {
                Err(Refused::malformed("this backup is finished"))
            };
        }
        let upload: BackupUploadRecord = context
            .view
            .get(KeySpace::BackupUploads, account.as_bytes())?
            .filter(|upload: &BackupUploadRecord| upload.backup_id == id)
            .ok_or_else(unknown)?;
        if finish.parts == 0 || !upload.parts().eq(0..finish.parts) {
            return Err(unknown());
        }
        if let Some(before) = before {
            Self::drop_parts(context, account, &before.backup_id, 0..before.parts);
        }
        let record = BackupRecord {
            backup_id: id,
            parts: finish.parts,
            made_at_ms: context.date(now).0,
        };
        let at = key(&[account.as_bytes()]);
        context
            .view
            .put(KeySpace::BackupPointers, at.clone(), &record);
        context.view.delete(KeySpace::BackupUploads, at);
        done
    }

    /// The account was deleted: so are its backup, and one that was being uploaded.
    pub(crate) fn delete(
        context: &mut Context<impl Store>,
        account: AccountId,
    ) -> Result<(), Refused> {
        let at = key(&[account.as_bytes()]);
        if let Some(backup) = Self::backup(context, account)? {
            Self::drop_parts(context, account, &backup.backup_id, 0..backup.parts);
            context.view.delete(KeySpace::BackupPointers, at.clone());
        }
        let upload: Option<BackupUploadRecord> = context.view.get(KeySpace::BackupUploads, &at)?;
        if let Some(upload) = upload {
            Self::drop_parts(context, account, &upload.backup_id, upload.parts());
            context.view.delete(KeySpace::BackupUploads, at);
        }
        Ok(())
    }

    /// What is to be read before a part is given: it is large, and read without the lock.
    pub(crate) fn backup_part_to_read(
        &mut self,
        context: &Context<impl Store>,
        now: Time,
        link: LinkId,
        fetch: pb::FetchBackup,
    ) -> Result<Option<PartCheck>, Refused> {
        let account = context.links.account_logged_in(link)?;
        self.fetches
            .take(now, account)
            .map_err(Refused::rate_limited)?;
        let backup = Self::backup(context, account)?.ok_or_else(unknown)?;
        let at = part_key(account, &backup.backup_id, fetch.index);
        Ok(PartCheck::of(&context.view, KeySpace::Backups, at))
    }

    pub(crate) fn fetch_backup(
        context: &Context<impl Store>,
        link: LinkId,
        fetch: pb::FetchBackup,
        read: Option<PartRead>,
    ) -> RequestResult {
        let account = context.links.account_logged_in(link)?;
        let backup = Self::backup(context, account)?.ok_or_else(unknown)?;
        if fetch.index >= backup.parts {
            return Err(unknown());
        }
        let at = part_key(account, &backup.backup_id, fetch.index);
        // A part that is gone from a finished backup is damage, which `check` tells.
        let part = match read {
            // The backup may be another one by now.
            Some(read) if read.at == at => read.part,
            _ => context.view.get_bytes(KeySpace::Backups, &at)?,
        };
        let part = part.ok_or_else(Refused::unavailable)?;
        Ok(Reply::Now(Answer::BackupFetched(pb::BackupFetched {
            backup_id: backup.backup_id,
            parts: backup.parts,
            made_at_ms: backup.made_at_ms,
            part,
        })))
    }

    /// Drops backups that nobody goes on putting. Of each, up to [`limits::BACKUP_PARTS`]
    /// records go at once.
    pub(crate) fn sweep_backups(
        &mut self,
        context: &mut Context<impl Store>,
        now: Time,
        most: usize,
    ) -> Result<Done, StoreError> {
        let date = context.expiry_date(now);
        let few = most.min(UPLOADS);
        let (records, mut done) =
            context.next_of_round(KeySpace::BackupUploads, &mut self.round, now, few)?;
        for (at, value) in records {
            let upload =
                context
                    .view
                    .sound::<BackupUploadRecord>(KeySpace::BackupUploads, &at, value);
            let (Some(upload), Ok(account)) = (upload, AccountId::try_from(&at)) else {
                continue;
            };
            if date.since(Time(upload.touched_at_ms)) >= UNFINISHED_FOR {
                done.touched += upload.parts().count();
                Self::drop_parts(context, account, &upload.backup_id, upload.parts());
                context.view.delete(KeySpace::BackupUploads, key(&[&at]));
            }
        }
        Ok(done)
    }

    fn drop_parts(
        context: &mut Context<impl Store>,
        account: AccountId,
        id: &[u8],
        parts: impl Iterator<Item = u32>,
    ) {
        let mut dropped = 0;
        for index in parts {
            context
                .view
                .delete(KeySpace::Backups, part_key(account, id, index));
            dropped += 1;
        }
        context.count(|usage| usage.backup_parts = usage.backup_parts.saturating_sub(dropped));
    }

    fn backup(
        context: &Context<impl Store>,
        account: AccountId,
    ) -> Result<Option<BackupRecord>, Refused> {
        Ok(context
            .view
            .get(KeySpace::BackupPointers, account.as_bytes())?)
    }

    fn most_parts(context: &Context<impl Store>) -> u32 {
        context.config.backup_parts.min(limits::BACKUP_PARTS)
    }
}

fn part_key(account: AccountId, id: &[u8], index: u32) -> Key {
    key(&[account.as_bytes(), id, &index.to_be_bytes()])
}

fn backup_id(id: Bytes) -> Result<Bytes, Refused> {
    if id.len() == ID_BYTES {
        Ok(id)
    } else {
        Err(Refused::malformed("a backup id has 16 bytes"))
    }
}

fn unknown() -> Refused {
    Refused::new(
        ErrorCode::BackupUnknown,
        "there is no such backup, or not all of it",
    )
}
