//! The relay's store: a small ordered map in a few key spaces, written in atomic, durable
//! batches.
//!
//! **Elsewhere**: [`records`] says what the values mean and how they are encoded; the relay
//! ([`crate::relay`]) decides when something is written: it gathers a batch under its lock,
//! and a writer commits the batch without the lock. [`check`] verifies a store on disk;
//! [`conformance`] tests what every store must do.
//!
//! **Always**: a batch is applied completely or not at all, and when [`Store::commit`]
//! returns, it is on disk. A value is read as it was written, or as an error, never as
//! something else. What is deleted from [`KeySpace::Posts`] is gone from the files
//! [`ERASED_WITHIN_MS`] after the deletion was committed, as long as [`Store::maintain`] is
//! called.

pub mod check;
pub mod conformance;
pub mod embedded;
pub mod faulty;
pub mod memory;
pub mod records;

use bytes::Bytes;
use smallvec::SmallVec;

/// The newest format of a store that this program writes and reads.
pub const FORMAT_VERSION: u32 = 1;

/// The time, in milliseconds, after which a deleted post's ciphertext is in no
/// file of the store any more.
pub const ERASED_WITHIN_MS: u64 = 10 * 60 * 1000;

/// Every kind of record there is. Nothing is stored outside of these.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum KeySpace {
    /// `format`: the format version. `batch`: the number of the last batch. `clock`: the
    /// date that the relay relied on last. `usage`: what is stored, in all.
    Meta,
    /// Keyed hash of a canonical address: the account that proved it.
    Addresses,
    /// Account id: its roster.
    Accounts,
    /// Device id: its account and mailbox.
    Devices,
    /// Registration id: a finished registration, so that a repeated request gets
    /// the same answer.
    Registrations,
    /// Mailbox id: its device, what it acknowledged, how far its numbers are
    /// reserved.
    Mailboxes,
    /// Mailbox id, sequence: which post waits there.
    Entries,
    /// Post number: the post, once for all mailboxes that hold it.
    Posts,
    /// Post number: how many mailboxes still hold the post, where it was written
    /// for more than one.
    Holders,
    /// Day, group id, post id: the answer that the post got.
    PostIds,
    /// Group id: epoch, send keys, sealed fan-out lists, rejoin key.
    Groups,
    /// Group id: how far its sequence numbers are reserved.
    GroupSequences,
    /// Group id: the current epoch's sealed `GroupInfo`.
    GroupInfos,
    /// Device id, number: a key package to be handed out once.
    KeyPackages,
    /// Device id: the key package that is handed out when no other is left.
    LastResorts,
    /// Period in which it was spent, hash of its input: a token.
    SpentTokens,
    /// Account id: how many tokens it was given today.
    TokenBudgets,
    /// Device id: it was revoked, and its records are yet to be deleted.
    Revoked,
    /// Label of a node of the key log: the node.
    LogNodes,
    /// Keyed hash of a canonical address, log epoch (newest first): the value that the
    /// key log was given then.
    LogValues,
    /// `state`: how far the key log is.
    LogState,
    /// Number: a signed head of the key log.
    LogHeads,
    /// Log epoch: the proof that it only adds to the one before.
    LogAudits,
    /// Auditor id: the newest head that the auditor co-signed.
    CoSignatures,
    /// Account id, backup id, index: a part of a backup.
    Backups,
    /// Account id: its finished backup.
    BackupPointers,
    /// Account id: the backup that is being put, and which parts of it are there.
    BackupUploads,
    /// Blob id: its size, how much of it is there, who has it.
    Blobs,
    /// Blob id, index: a part of a blob.
    BlobParts,
    /// Keyed hash of what an address looks like: the keyed hash of the address that
    /// looked so first.
    Skeletons,
    /// Account id, keyed hash of a canonical address: somebody else has proved that
    /// address, which is the account's and locked, and waits for it.
    Contests,
    /// Account id, SMS id: how far a text to a phone is.
    SmsSubmissions,
    /// SHA-256 of what the SMSC calls a segment: of which text it is.
    SmsReceipts,
    /// Beginning of numbers, `+` for all: what was spent on texts there.
    SmsSpending,
}

impl KeySpace {
    /// All of them.
    pub const ALL: [Self; 34] = [
        Self::Meta,
        Self::Addresses,
        Self::Accounts,
        Self::Devices,
        Self::Registrations,
        Self::Mailboxes,
        Self::Entries,
        Self::Posts,
        Self::Holders,
        Self::PostIds,
        Self::Groups,
        Self::GroupSequences,
        Self::GroupInfos,
        Self::KeyPackages,
        Self::LastResorts,
        Self::SpentTokens,
        Self::TokenBudgets,
        Self::Revoked,
        Self::LogNodes,
        Self::LogValues,
        Self::LogState,
        Self::LogHeads,
        Self::LogAudits,
        Self::CoSignatures,
        Self::Blobs,
        Self::BlobParts,
        Self::Backups,
        Self::BackupPointers,
        Self::BackupUploads,
        Self::Skeletons,
        Self::Contests,
        Self::SmsSubmissions,
        Self::SmsReceipts,
        Self::SmsSpending,
    ];

    /// Its name on disk; never changes.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Meta => "meta",
            Self::Addresses => "addresses",
            Self::Accounts => "accounts",
            Self::Devices => "devices",
            Self::Registrations => "registrations",
            Self::Mailboxes => "mailboxes",
            Self::Entries => "entries",
            Self::Posts => "posts",
            Self::Holders => "holders",
            Self::PostIds => "post_ids",
            Self::Groups => "groups",
            Self::GroupSequences => "group_sequences",
            Self::GroupInfos => "group_infos",
            Self::KeyPackages => "key_packages",
            Self::LastResorts => "last_resorts",
            Self::SpentTokens => "spent_tokens",
            Self::TokenBudgets => "token_budgets",
            Self::Revoked => "revoked",
            Self::LogNodes => "log_nodes",
            Self::LogValues => "log_values",
            Self::LogState => "log_state",
            Self::LogHeads => "log_heads",
            Self::LogAudits => "log_audits",
            Self::CoSignatures => "co_signatures",
            Self::Blobs => "blobs",
            Self::BlobParts => "blob_parts",
            Self::Backups => "backups",
            Self::BackupPointers => "backup_pointers",
            Self::BackupUploads => "backup_uploads",
            Self::Skeletons => "skeletons",
            Self::Contests => "contests",
            Self::SmsSubmissions => "sms_submissions",
            Self::SmsReceipts => "sms_receipts",
            Self::SmsSpending => "sms_spending",
        }
    }
}

/// A key within a key space; short ones need no allocation.
pub type Key = SmallVec<[u8; 40]>;

/// A key made of the given parts, one behind the other.
pub fn key(parts: &[&[u8]]) -> Key {
    let mut key = Key::new();
    for part in parts {
        key.extend_from_slice(part);
    }
    key
}

/// The first key behind all that begin with `prefix`; `None` where there is none
/// (an empty prefix, or one of `0xFF` only).
pub fn behind(prefix: &[u8]) -> Option<Key> {
    let mut key = Key::from_slice(prefix);
    while let Some(last) = key.pop() {
        if last < u8::MAX {
            key.push(last + 1);
            return Some(key);
        }
    }
    None
}

/// One change of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Write {
    /// Where.
    pub space: KeySpace,
    /// Under which key.
    pub key: Key,
    /// The new value; `None` deletes.
    pub value: Option<Bytes>,
}

/// A record with its key, as a scan returns it.
pub type Record = (Bytes, Bytes);

/// An ordered map with atomic, durable batches.
///
/// Reads may run while a batch is committed, and see all of it or nothing.
pub trait Store: Send + Sync + 'static {
    /// Reads one value.
    fn get(&self, space: KeySpace, key: &[u8]) -> Result<Option<Bytes>, StoreError>;

    /// Reads at most `limit` records with `from <= key < to` in the order of
    /// their keys; without `to`, to the end of the key space.
    fn scan(
        &self,
        space: KeySpace,
        from: &[u8],
        to: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<Record>, StoreError>;

    /// The last key of a key space.
    fn last_key(&self, space: KeySpace) -> Result<Option<Bytes>, StoreError>;

    /// How many records a key space has; takes as long as reading its keys.
    fn count(&self, space: KeySpace) -> Result<u64, StoreError>;

    /// Applies all writes, in their order, or none; durable when it returns.
    ///
    /// After an error nothing of the batch is visible, or ever will be, in this
    /// [`Store::generation`]. Where [`StoreError::may_pass`], the same batch may be
    /// committed later.
    fn commit(&self, writes: Vec<Write>) -> Result<(), StoreError>;

    /// The number that the next batch gets. Numbers only rise; a batch that fails may use up
    /// one.
    fn next_batch(&self) -> u64;

    /// As [`Store::commit`], if the batch's number is the next one. For those who must apply
    /// the same batches in the same order elsewhere.
    ///
    /// # Errors
    /// [`StoreError::OutOfOrder`] for any other number, and as [`Store::commit`].
    fn commit_numbered(&self, number: u64, writes: Vec<Write>) -> Result<(), StoreError>;

    /// Refuses what [`Store::commit`] would refuse for want of space. For those who must not
    /// begin something elsewhere that could not be finished here.
    ///
    /// # Errors
    /// [`StoreError::Full`], and where the space cannot be told.
    fn check_room(&self, _writes: &[Write]) -> Result<(), StoreError> {
        Ok(())
    }

    /// Whether there is so little space left that it is kept for what makes room again:
    /// acknowledgements and deletions. Cheap: asked for each post, so that a full disk
    /// fails no batch, which others would have a part in.
    fn is_nearly_full(&self) -> bool;

    /// Changes whenever the store may show something else than what reads and
    /// commits so far imply (it was opened again after an error, and a commit
    /// that had failed turned out to be on disk). Whoever caches what they read
    /// forgets it then.
    fn generation(&self) -> u64;

    /// Does a bounded piece of housekeeping: erases what was deleted a while ago.
    /// To be called about once a second, from a thread that may block.
    fn maintain(&self, now_ms: u64) -> Result<(), StoreError>;

    /// Erases everything that was deleted, at once.
    fn erase_now(&self) -> Result<(), StoreError>;

    /// Bytes that the store occupies, and bytes that it ever wrote for posts.
    fn usage(&self) -> Usage;

    /// Records that could not be read as they were written, since the start.
    fn damaged(&self) -> u64 {
        0
    }
}

/// What a store occupies; all zero where it cannot tell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Bytes of all its files.
    pub bytes_on_disk: u64,
    /// Bytes of posts that are stored and not deleted.
    pub live_post_bytes: u64,
}

impl StoreError {
    /// Whether the same may succeed later without anybody's doing: the disk is full, or
    /// fails for now.
    pub const fn may_pass(&self) -> bool {
        match self {
            Self::Full { .. } | Self::Io(_) => true,
            Self::Damaged(_)
            | Self::InUse
            | Self::Superseded
            | Self::UnknownFormat { .. }
            | Self::OutOfOrder { .. } => false,
        }
    }
}

/// Why the store could not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The medium is full, or nearly: nothing was written.
    #[error("the store is full: {available} bytes are left")]
    Full {
        /// Bytes that are left.
        available: u64,
    },
    /// Reading or writing failed; it may succeed later.
    #[error("the store failed: {0}")]
    Io(String),
    /// A batch was given a number that is not the next one: nothing was written.
    #[error("batch {given} is not the next one, which is {next}")]
    OutOfOrder {
        /// The number that the batch was given.
        given: u64,
        /// The number of the next batch.
        next: u64,
    },
    /// Something that was read is not what was written.
    #[error("the store is damaged: {0}")]
    Damaged(String),
    /// Another program has the store open.
    #[error("another process uses the store")]
    InUse,
    /// The store belongs to another node of its cluster by now, and this process must end.
    #[error("another node has taken over")]
    Superseded,
    /// The store was written by a newer program.
    #[error(
        "the store has format {found}, but this program knows only formats up to \
         {FORMAT_VERSION}: use the newer program that wrote it, or restore a backup"
    )]
    UnknownFormat {
        /// The version that it names.
        found: u32,
    },
}
