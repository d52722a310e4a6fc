//! All limits that both sides must know.
//!
//! **Elsewhere.** Bounds that only an operator cares about (links per source,
//! memory) are in `relay`'s configuration.
//!
//! **Always.** Checked before anything is allocated for what they bound.

use crate::time::Span;

/// Bytes of one frame, at most, in either direction.
pub const FRAME_BYTES: usize = 1 << 20;
/// Bytes of one frame that holds no post, welcome or key packages.
pub const SMALL_FRAME_BYTES: usize = 64 << 10;
/// Bytes of one post's body.
pub const POST_BYTES: usize = 256 << 10;
/// Bytes of sealed group information.
pub const GROUP_INFO_BYTES: usize = 256 << 10;
/// Mailboxes in one fan-out list.
pub const FAN_OUT_MAILBOXES: usize = 4096;
/// Bytes of a sealed fan-out list.
pub const FAN_OUT_BYTES: usize = FAN_OUT_MAILBOXES * 20 + 64;

/// Accounts in one conversation.
pub const CONVERSATION_ACCOUNTS: usize = 1_000;
/// Bytes of what a conversation's members all know of it: [`crate::conversation`].
pub const CONVERSATION_SECRETS_BYTES: usize = 512 << 10;
/// Bytes of the name of a group.
pub const GROUP_NAME_BYTES: usize = 256;
/// Bytes of the picture of a group or of a person.
pub const PICTURE_BYTES: usize = 24 << 10;
/// Invitations to one group that are open at a time.
pub const INVITATIONS: usize = 16;
/// Bytes of a signal.
pub const SIGNAL_BYTES: usize = 256;
/// A link's signals are handed on so far apart.
pub const SIGNALS_APART: Span = Span(500);
/// Mailboxes that a signal is handed on to, at most: in larger groups it is not worth it.
pub const SIGNAL_MAILBOXES: usize = 256;
/// Bytes of the name in a profile.
pub const PROFILE_NAME_BYTES: usize = 128;

/// Bytes of the text that a person can send in one message.
pub const TEXT_BYTES: usize = 64 << 10;

/// Bytes of one key package.
pub const KEY_PACKAGE_BYTES: usize = 16 << 10;
/// Key packages in one upload.
pub const KEY_PACKAGES_PER_UPLOAD: usize = 50;
/// Key packages that the relay keeps for one device.
pub const KEY_PACKAGES_PER_DEVICE: usize = 100;
/// Below this many the relay tells the device to publish more.
pub const KEY_PACKAGES_LOW: usize = 20;

/// Statements in a roster.
pub const ROSTER_STATEMENTS: usize = 256;
/// Bytes of one statement.
pub const STATEMENT_BYTES: usize = 8 << 10;
/// Devices of an account at one time.
pub const DEVICES: usize = 16;

/// Tokens in one request.
pub const TOKENS_PER_REQUEST: usize = 32;
/// Tokens that an account gets in a day.
pub const TOKENS_PER_DAY: usize = 512;
/// Tokens that an account gets in 15 days.
pub const TOKENS_PER_PERIOD: u32 = 1024;
/// So long that is.
pub const TOKEN_PERIOD: Span = Span::days(15);

/// Posts that wait in one mailbox.
pub const MAILBOX_POSTS: u64 = 50_000;
/// Bytes that wait in one mailbox.
pub const MAILBOX_BYTES: u64 = 256 << 20;
/// A post waits this long for its device, then it is deleted.
pub const MAILBOX_RETENTION: Span = Span::days(30);
/// Frames that the relay sends before it waits for an acknowledgement.
pub const DELIVERY_WINDOW_FRAMES: usize = 256;
/// The same limit in bytes.
pub const DELIVERY_WINDOW_BYTES: usize = 2 << 20;

/// Epochs before the current one in which a message may still be posted, for
/// [`PAST_EPOCH_KEPT`]; members keep the secrets of as many.
pub const PAST_EPOCHS: u64 = 5;
/// An epoch that is over takes messages for this long. Where its end renewed the group's
/// rejoin key, because somebody came or went, it takes none.
pub const PAST_EPOCH_KEPT: Span = Span::seconds(60);
/// Groups that one link may be authorised to post to at a time.
pub const POSTING_GROUPS_PER_LINK: usize = 1024;
/// A posting authorisation that is not used for this long ends.
pub const POSTING_IDLE: Span = Span::seconds(60);
/// For this long the relay answers a repeated post as it did the first time.
pub const POST_ID_RETENTION: Span = Span::hours(48);

/// Digits of a registration code.
pub const CODE_DIGITS: usize = 8;
/// Wrong codes after which a registration ends.
pub const CODE_TRIES: u32 = 5;
/// A code works for this long.
pub const CODE_LIFETIME: Span = Span::minutes(10);

/// Bytes of an address as typed.
pub const ADDRESS_BYTES: usize = 320;

/// A link on which nothing comes for this long is closed.
pub const LINK_IDLE: Span = Span::minutes(10);
/// A client pings when it has heard nothing for this long.
pub const PING_AFTER: Span = Span::minutes(4);

/// A device rekeys after this many messages of its own in one conversation…
pub const REKEY_MESSAGES: u64 = 50;
/// …or when it uses a conversation whose own key is older than this.
pub const REKEY_AGE: Span = Span::hours(24);

/// A head of the key log is signed again after this long without a change.
pub const HEAD_REFRESH: Span = Span::minutes(10);
/// A proof against a head that is older than this is refused: the relay may hide what
/// came since.
pub const HEAD_MAX_AGE: Span = Span::hours(1);
/// A head that is this far in the future is refused.
pub const HEAD_MAX_AHEAD: Span = Span::minutes(10);
/// Log epochs are at least this far apart.
pub const EPOCH_SPACING: Span = Span::seconds(1);
/// Bytes of one encoded head.
pub const HEAD_BYTES: usize = 512;
/// Heads that come with a proof to tie its head to earlier ones.
pub const HEAD_LINKS: usize = 1024;
/// Heads that one request may name.
pub const HEADS_PER_REQUEST: usize = 16;
/// Co-signatures that come with a head.
pub const COSIGNATURES: usize = 16;
/// Nodes on the way from a root of the log to a leaf, at most: bits of a label.
pub const LOG_PATH: usize = 256;
/// Versions in one history proof.
pub const HISTORY_VERSIONS: usize = 1024;

/// Somebody who proves a locked address without the recovery key gets it after this long.
pub const LOCK_WAIT: Span = Span::days(7);

/// A rendezvous is over after this long.
pub const RENDEZVOUS_LIFETIME: Span = Span::minutes(30);
/// Bytes of one message at a rendezvous.
pub const RENDEZVOUS_BYTES: usize = 256 << 10;

/// Bytes of the name that a person gives a device.
pub const DEVICE_NAME_BYTES: usize = 64;

/// Bytes of one part of a backup.
pub const BACKUP_PART_BYTES: usize = 256 << 10;
/// Parts of one backup.
pub const BACKUP_PARTS: u32 = 1024;

/// Bytes of one attached file.
pub const ATTACHMENT_BYTES: u64 = 4 << 30;
/// Bytes of one blob: a file that is padded and sealed ([`crate::blob`]). The longest file's
/// length is a Padmé length, so that there is nothing but tags to add.
pub const BLOB_BYTES: u64 = ATTACHMENT_BYTES + (ATTACHMENT_BYTES >> 16) * 16;
/// Bytes of one part of a blob on its way; the last may be shorter.
pub const BLOB_PART_BYTES: usize = 256 << 10;
/// A token opens so many bytes of a blob.
pub const BLOB_BYTES_PER_TOKEN: u64 = 16 << 20;
/// Bytes of a commit, a welcome or group information that goes as a blob: of a thousand
/// devices, some 3 MiB.
pub const PARCEL_BYTES: u64 = 16 << 20;
/// Readers of one blob.
pub const BLOB_READERS: u32 = 4096;
/// A blob is deleted after this long.
pub const BLOB_RETENTION: Span = Span::days(30);

/// Bytes of a text to a phone.
pub const SMS_TEXT_BYTES: usize = 4 << 10;
/// Segments that one text may take.
pub const SMS_SEGMENTS: u32 = 10;
/// Bytes of an SMS-DELIVER (3GPP TS 23.040): far fewer fit into one.
pub const SMS_TPDU_BYTES: usize = 512;
/// Prices that a relay tells.
pub const SMS_PRICES: usize = 256;
/// Bytes of one of them.
pub const SMS_PRICE_BYTES: usize = 32;
