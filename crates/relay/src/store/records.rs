//! The format of the values in the store.
//!
//! **Elsewhere**: [`super::KeySpace`] says which key space holds which values.
//!
//! **Always**: new versions only add fields, as on the wire, so that a data directory opens
//! with every later version. Nothing here names a sender, holds an address, or lists a group's
//! mailboxes unencrypted.

use bytes::Bytes;
use waxwing_protocol::pb;

/// [`super::KeySpace::Meta`], under `clock`: the date that the relay relied on last.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct ClockRecord {
    /// The date, in milliseconds since 1970; a few minutes old.
    #[prost(uint64, tag = "1")]
    pub date_ms: u64,
    /// The date from which on things expire; 0 where they do already.
    #[prost(uint64, tag = "2")]
    pub expires_from_ms: u64,
}

/// [`super::KeySpace::Meta`], under `token_period`: which key tokens are issued under.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct TokenPeriodRecord {
    /// The period's number; it never goes down.
    #[prost(uint64, tag = "1")]
    pub number: u64,
    /// The date on which it began.
    #[prost(uint64, tag = "2")]
    pub began_ms: u64,
}

/// [`super::KeySpace::Meta`], under `usage`: what is stored, in all.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct UsageRecord {
    /// Bytes of blobs, whole ones and those that are being put.
    #[prost(uint64, tag = "1")]
    pub blob_bytes: u64,
    /// Parts of backups.
    #[prost(uint64, tag = "2")]
    pub backup_parts: u64,
    /// Groups.
    #[prost(uint64, tag = "3")]
    pub groups: u64,
    /// Bytes of their lists, keys and group information.
    #[prost(uint64, tag = "4")]
    pub group_bytes: u64,
}

/// [`super::KeySpace::Addresses`].
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct AddressRecord {
    /// The account that last proved the address.
    #[prost(bytes = "bytes", tag = "1")]
    pub account_id: Bytes,
    /// When it proved it, in milliseconds since 1970.
    #[prost(uint64, tag = "2")]
    pub verified_at_ms: u64,
    /// How: a `Verification`.
    #[prost(enumeration = "pb::Verification", tag = "3")]
    pub verified_by: i32,
    /// Whether registering it again needs the recovery key, or a long wait.
    #[prost(bool, tag = "4")]
    pub locked: bool,
    /// Statements of the roster that the key log's entry vouches for.
    #[prost(uint64, tag = "5")]
    pub roster_length: u64,
    /// Accounts that had the address before, the last few: they may follow what became
    /// of it.
    #[prost(bytes = "bytes", repeated, tag = "6")]
    pub former_accounts: Vec<Bytes>,
}

/// [`super::KeySpace::Accounts`].
#[derive(Clone, PartialEq, prost::Message)]
pub struct AccountRecord {
    /// The chain of signed statements, checked when it was stored.
    #[prost(message, repeated, tag = "1")]
    pub roster: Vec<pb::SignedStatement>,
}

/// [`super::KeySpace::Devices`].
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct DeviceRecord {
    /// The account whose roster admits the device.
    #[prost(bytes = "bytes", tag = "1")]
    pub account_id: Bytes,
    /// Its mailbox.
    #[prost(bytes = "bytes", tag = "2")]
    pub mailbox_id: Bytes,
    /// What texts for it are sealed to; empty where it takes none.
    #[prost(bytes = "bytes", tag = "3")]
    pub sms_key: Bytes,
    /// Its identity key, an encoded `HybridPublicKey`, as its account's roster has it; empty
    /// in records of older relays.
    #[prost(bytes = "bytes", tag = "4")]
    pub identity: Bytes,
}

/// [`super::KeySpace::Registrations`].
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct RegistrationRecord {
    /// The device that finished it.
    #[prost(bytes = "bytes", tag = "1")]
    pub device_id: Bytes,
    /// The answer that it got.
    #[prost(bytes = "bytes", tag = "2")]
    pub mailbox_id: Bytes,
    /// When it may be forgotten, in milliseconds since 1970.
    #[prost(uint64, tag = "3")]
    pub expires_at_ms: u64,
    /// The answer told that the address looks like another.
    #[prost(bool, tag = "4")]
    pub looks_like_another: bool,
}

/// [`super::KeySpace::Mailboxes`].
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct MailboxRecord {
    /// Whose it is.
    #[prost(bytes = "bytes", tag = "1")]
    pub device_id: Bytes,
    /// Sequence numbers below this one may have been given out.
    #[prost(uint64, tag = "2")]
    pub reserved: u64,
    /// Everything up to here was acknowledged (at least: it is written lazily).
    #[prost(uint64, tag = "3")]
    pub acknowledged: u64,
}

/// [`super::KeySpace::Entries`].
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct EntryRecord {
    /// Which post.
    #[prost(uint64, tag = "1")]
    pub post: u64,
    /// The length of its body, in bytes.
    #[prost(uint64, tag = "2")]
    pub size: u64,
    /// When the relay took it, in milliseconds since 1970.
    #[prost(uint64, tag = "3")]
    pub received_at_ms: u64,
    /// Whether other mailboxes hold it too, so that [`super::KeySpace::Holders`]
    /// counts them.
    #[prost(bool, tag = "4")]
    pub shared: bool,
    /// The post's group; empty in what an earlier version wrote.
    #[prost(bytes = "bytes", tag = "5")]
    pub group_id: Bytes,
    /// Whether it is a welcome.
    #[prost(bool, tag = "6")]
    pub welcome: bool,
    /// Whether it says that posts of the group had no room.
    #[prost(bool, tag = "7")]
    pub missed: bool,
}

/// [`super::KeySpace::Posts`].
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct PostRecord {
    /// The group.
    #[prost(bytes = "bytes", tag = "1")]
    pub group_id: Bytes,
    /// Its place in the group's order.
    #[prost(uint64, tag = "2")]
    pub group_sequence: u64,
    /// A `PostKind`.
    #[prost(int32, tag = "3")]
    pub kind: i32,
    /// The epoch it was made in.
    #[prost(uint64, tag = "4")]
    pub epoch: u64,
    /// Chosen by who posted it.
    #[prost(bytes = "bytes", tag = "5")]
    pub post_id: Bytes,
    /// When the relay took it, in milliseconds since 1970.
    #[prost(uint64, tag = "6")]
    pub received_at_ms: u64,
    /// Ciphertext.
    #[prost(bytes = "bytes", tag = "7")]
    pub body: Bytes,
    /// The relay's own: posts of the group had no room in the mailbox. Without a body.
    #[prost(bool, tag = "8")]
    pub missed: bool,
}

/// [`super::KeySpace::Holders`].
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct HoldersRecord {
    /// How many mailboxes still hold the post; never 0.
    #[prost(uint32, tag = "1")]
    pub mailboxes: u32,
}

/// [`super::KeySpace::PostIds`].
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct PostedRecord {
    /// The answer's sequence number.
    #[prost(uint64, tag = "1")]
    pub group_sequence: u64,
}

/// [`super::KeySpace::Groups`].
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct GroupRecord {
    /// The current epoch.
    #[prost(uint64, tag = "1")]
    pub epoch: u64,
    /// Ed25519: authorises rejoining.
    #[prost(bytes = "bytes", tag = "2")]
    pub rejoin_key: Bytes,
    /// SHA-256 of the request that created the group, to know its repetition.
    #[prost(bytes = "bytes", tag = "3")]
    pub created_by: Bytes,
    /// The current epoch and the last few before it, newest first.
    #[prost(message, repeated, tag = "4")]
    pub epochs: Vec<EpochRecord>,
    /// The day (since 1970) of the last commit.
    #[prost(uint64, tag = "5")]
    pub changed_on_day: u64,
    /// The day on which somebody last asked to post; 0 where it is not known.
    #[prost(uint64, tag = "6")]
    pub used_on_day: u64,
    /// Bytes that the group is counted with, in [`UsageRecord::group_bytes`].
    #[prost(uint64, tag = "7")]
    pub counted_bytes: u64,
}

/// One epoch of a group.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct EpochRecord {
    /// Its number.
    #[prost(uint64, tag = "1")]
    pub epoch: u64,
    /// Ed25519: authorises posting.
    #[prost(bytes = "bytes", tag = "2")]
    pub send_key: Bytes,
    /// The mailboxes that posts go to, sealed under a key that members have.
    #[prost(bytes = "bytes", tag = "3")]
    pub sealed_fan_out: Bytes,
    /// When the next epoch began, in milliseconds since 1970; 0 while there is none, and in
    /// records of older relays.
    #[prost(uint64, tag = "4")]
    pub ended_at_ms: u64,
}

/// [`super::KeySpace::GroupSequences`].
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct GroupSequenceRecord {
    /// Sequence numbers below this one may have been given out.
    #[prost(uint64, tag = "1")]
    pub reserved: u64,
}

/// [`super::KeySpace::TokenBudgets`].
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct TokenBudgetRecord {
    /// Days since 1970.
    #[prost(uint64, tag = "1")]
    pub day: u64,
    /// Tokens issued on that day.
    #[prost(uint32, tag = "2")]
    pub issued: u32,
    /// A number of 15 days, since 1970.
    #[prost(uint64, tag = "3")]
    pub period: u64,
    /// Tokens issued in it.
    #[prost(uint32, tag = "4")]
    pub issued_in_period: u32,
}

/// [`super::KeySpace::Revoked`].
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct RevokedRecord {
    /// The mailbox that goes with the device.
    #[prost(bytes = "bytes", tag = "1")]
    pub mailbox_id: Bytes,
}

/// [`super::KeySpace::LogNodes`]: akd's node, as it is and as it was before its last
/// change.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct LogNodeRecord {
    /// As it is.
    #[prost(message, optional, tag = "1")]
    pub latest: Option<LogNodeState>,
    /// As it was.
    #[prost(message, optional, tag = "2")]
    pub previous: Option<LogNodeState>,
}

/// A node of the key log at a log epoch. Labels are their length in bits (two bytes, big
/// endian) and their value without the zeros at its end.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct LogNodeState {
    /// The log epoch in which it changed.
    #[prost(uint64, tag = "1")]
    pub changed_in: u64,
    /// The earliest log epoch in which something under it changed last.
    #[prost(uint64, tag = "2")]
    pub least_in: u64,
    /// Label of the node above it.
    #[prost(bytes = "bytes", tag = "3")]
    pub parent: Bytes,
    /// 1 leaf, 2 root, 3 between.
    #[prost(uint32, tag = "4")]
    pub kind: u32,
    /// Label of the left child; empty for none.
    #[prost(bytes = "bytes", tag = "5")]
    pub left: Bytes,
    /// Label of the right child; empty for none.
    #[prost(bytes = "bytes", tag = "6")]
    pub right: Bytes,
    /// Its hash, or the commitment of a leaf: 32 bytes.
    #[prost(bytes = "bytes", tag = "7")]
    pub value: Bytes,
}

/// [`super::KeySpace::LogValues`]. The address itself is not kept: whoever reads this
/// asked for it.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct LogValueRecord {
    /// An encoded `LogEntry`.
    #[prost(bytes = "bytes", tag = "1")]
    pub value: Bytes,
    /// From 1.
    #[prost(uint64, tag = "2")]
    pub version: u64,
    /// The node's label, 32 bytes.
    #[prost(bytes = "bytes", tag = "3")]
    pub label: Bytes,
}

/// [`super::KeySpace::LogState`].
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct LogStateRecord {
    /// The newest log epoch.
    #[prost(uint64, tag = "1")]
    pub epoch: u64,
    /// Nodes, in all.
    #[prost(uint64, tag = "2")]
    pub nodes: u64,
}

/// [`super::KeySpace::BackupPointers`].
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct BackupRecord {
    /// Chosen by the device that made it.
    #[prost(bytes = "bytes", tag = "1")]
    pub backup_id: Bytes,
    /// How many parts it has, from 0 on.
    #[prost(uint32, tag = "2")]
    pub parts: u32,
    /// When it was finished, in milliseconds since 1970.
    #[prost(uint64, tag = "3")]
    pub made_at_ms: u64,
}

/// [`super::KeySpace::BackupUploads`].
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct BackupUploadRecord {
    /// Chosen by the device that makes it.
    #[prost(bytes = "bytes", tag = "1")]
    pub backup_id: Bytes,
    /// A bit for each part that is there; the first part is the lowest bit of the first
    /// byte.
    #[prost(bytes = "bytes", tag = "2")]
    pub present: Bytes,
    /// When a part was put last, in milliseconds since 1970.
    #[prost(uint64, tag = "3")]
    pub touched_at_ms: u64,
}

/// [`super::KeySpace::Contests`].
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct ContestRecord {
    /// Since when, in milliseconds since 1970.
    #[prost(uint64, tag = "1")]
    pub since_ms: u64,
    /// Which account waits.
    #[prost(bytes = "bytes", tag = "2")]
    pub by: Bytes,
}

/// [`super::KeySpace::Blobs`].
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct BlobRecord {
    /// In all parts.
    #[prost(uint64, tag = "1")]
    pub bytes: u64,
    /// Parts that are there, from the first on without a hole.
    #[prost(uint32, tag = "2")]
    pub parts: u32,
    /// How many are to have it.
    #[prost(uint32, tag = "3")]
    pub readers: u32,
    /// Who has it: 16 bytes each. Older relays wrote it; anybody could be in it.
    #[prost(bytes = "bytes", tag = "4")]
    pub read_by: Bytes,
    /// Anybody who shows the bytes of which this is the SHA-256 may delete it.
    #[prost(bytes = "bytes", tag = "5")]
    pub delete_hash: Bytes,
    /// When it was opened, in milliseconds since 1970.
    #[prost(uint64, tag = "6")]
    pub opened_at_ms: u64,
    /// It is being deleted.
    #[prost(bool, tag = "7")]
    pub over: bool,
    /// Whose marks have not come yet: hashes of 12 bytes each.
    #[prost(bytes = "bytes", tag = "8")]
    pub unread_by: Bytes,
}

/// [`super::KeySpace::SmsSubmissions`].
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct SmsSubmissionRecord {
    /// How many segments it has.
    #[prost(uint32, tag = "1")]
    pub segments: u32,
    /// How many of them the SMSC has.
    #[prost(uint32, tag = "2")]
    pub taken: u32,
    /// How many of them the phone has.
    #[prost(uint32, tag = "3")]
    pub delivered: u32,
    /// What has become of it: a `Fate`.
    #[prost(enumeration = "pb::sms_fate::Fate", tag = "4")]
    pub fate: i32,
    /// When it was taken, in milliseconds since 1970.
    #[prost(uint64, tag = "5")]
    pub made_at_ms: u64,
}

/// [`super::KeySpace::SmsReceipts`].
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct SmsReceiptRecord {
    /// Whose text it is.
    #[prost(bytes = "bytes", tag = "1")]
    pub account_id: Bytes,
    /// Which.
    #[prost(bytes = "bytes", tag = "2")]
    pub sms_id: Bytes,
    /// When the SMSC took it, in milliseconds since 1970.
    #[prost(uint64, tag = "3")]
    pub made_at_ms: u64,
}

/// [`super::KeySpace::SmsSpending`].
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct SmsSpendingRecord {
    /// When as much may be spent there again as at first, in milliseconds since 1970.
    #[prost(uint64, tag = "1")]
    pub full_at_ms: u64,
}
