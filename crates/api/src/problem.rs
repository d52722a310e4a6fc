//! Everything that can go wrong, as programs learn it: a code and facts.
//!
//! A [`Problem`] is told in the words of the interface that shows it. The command line has a
//! sentence for each in its `sentence.rs`, which may name commands; an app has its own. The words
//! here are for programs, logs and `docs/rpc.md`: the comment above each problem is what
//! [`Problem::meaning`] returns and what the JSON has as `sentence`.
//!
//! **Elsewhere**: the errors of single operations are enums beside those operations; they become a
//! [`Problem`] where they reach a person.
//!
//! **Always**: a code never changes its meaning, and a fact never changes its name or its type. No
//! sentence here names a command.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use waxwing_protocol::address::AddressError;

use crate::{Timestamp, closed_debug, listed::listed};

/// Makes the enum of problems, and from the comment above each its meaning.
macro_rules! problems {
    ($(
        $(#[doc = $meaning:literal])+
        $name:ident = $code:literal $({ $(
            $(#[$about:meta])*
            $fact:ident: $type:ty,
        )+ })?,
    )+) => {
        /// Something that went wrong. As JSON: its code and its facts.
        #[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
        #[serde(tag = "code")]
        pub enum Problem {$(
            $(#[doc = $meaning])+
            #[serde(rename = $code)]
            $name $({ $(
                $(#[$about])*
                $fact: $type,
            )+ })?,
        )+}

        impl Problem {
            /// A stable name for programs.
            pub const fn code(&self) -> &'static str {
                match self {
                    $(Self::$name { .. } => $code,)+
                }
            }

            /// What happened, in one sentence for programs and logs.
            pub const fn meaning(&self) -> &'static str {
                match self {
                    $(Self::$name { .. } => concat!($($meaning),+).trim_ascii(),)+
                }
            }

            /// One of each, with facts that are made up: for documentation, and for tests that
            /// must see every problem.
            pub fn examples() -> Vec<Self> {
                vec![$(
                    Self::$name $({ $($fact: Example::example(),)+ })?,
                )+]
            }
        }
    };
}

problems! {
    // ---- what was asked ----
    /// The text is not an e-mail address or a phone number.
    AddressMalformed = "address_malformed" {
        /// As typed.
        address: String,
        /// What is wrong with it.
        reason: AddressFlaw,
    },
    /// The text is not an address or a conversation on this device.
    ConversationUnknown = "conversation_unknown" {
        /// As typed.
        name: String,
    },
    /// No message has this id.
    MessageUnknown = "message_unknown",
    /// Several messages have ids that begin like this.
    MessageAmbiguous = "message_ambiguous",
    /// Somebody else wrote the message.
    MessageNotOwn = "message_not_own",
    /// The message was unsent.
    MessageTakenBack = "message_taken_back",
    /// The message cannot be forwarded: this version does not know everything in it.
    MessageNotForwardable = "message_not_forwardable",
    /// A message that can be viewed once allows nothing else: it is not edited, forwarded, saved or
    /// sent again, and nobody sends one to themselves.
    ViewOnce = "view_once",
    /// The message cannot be viewed once: it is another, or this account sent it, or it came with
    /// the archive of another device.
    NotViewOnce = "not_view_once",
    /// No message is scheduled under this number.
    ScheduledUnknown = "scheduled_unknown",
    /// The time is not in the future.
    TimePassed = "time_passed",
    /// The message is still in the outbox, or failed.
    MessageNotSent = "message_not_sent",
    /// The person deleted the attachment.
    AttachmentDeleted = "attachment_deleted",
    /// The account has too many settings and deleted messages to tell its other devices of more.
    DeletionsTooMany = "deletions_too_many",
    /// The place in the history is not one that an earlier answer gave.
    CursorInvalid = "cursor_invalid",
    /// The message did not fail, so it is not sent again.
    MessageNotFailed = "message_not_failed",
    /// The message is the account's own or imported, so this device has no proof of who wrote it.
    MessageNotProven = "message_not_proven",
    /// The file to check is not a report, or something in it is false.
    ReportInvalid = "report_invalid" {
        /// What.
        reason: ReportFlaw,
    },
    /// The file to import is not a valid export.
    ImportInvalid = "import_invalid" {
        /// What.
        reason: ImportFlaw,
    },
    /// The reaction is empty, too long, or has spaces.
    ReactionInvalid = "reaction_invalid",
    /// An attachment is malformed or too large, or there are too many.
    AttachmentInvalid = "attachment_invalid",
    /// A poll must have a question of 1 to 500 bytes and 2 to 12 different options of 1 to 100
    /// bytes, without line breaks.
    PollInvalid = "poll_invalid",
    /// The poll does not have that option, or allows only one.
    VoteInvalid = "vote_invalid",
    /// The poll is closed.
    PollClosed = "poll_closed",
    /// A poll cannot be edited, because people have voted on what it says.
    PollNotEditable = "poll_not_editable",
    /// The message is not a poll.
    NotAPoll = "not_a_poll",
    /// The preview is too large, or its link is not in the text.
    LinkPreviewInvalid = "link_preview_invalid",
    /// The link leads to nothing that can be shown.
    NoLinkPreview = "no_link_preview" {
        /// Why.
        reason: String,
    },
    /// The message has no such attachment.
    AttachmentUnknown = "attachment_unknown",
    /// The attachment is not on this device yet; `fetch_attachment` fetches it.
    AttachmentNotHere = "attachment_not_here",
    /// A file cannot be read or written.
    FileUnusable = "file_unusable" {
        /// Which, and why.
        detail: String,
    },
    /// The text is not an invitation link.
    InvitationMalformed = "invitation_malformed",
    /// The group is at another relay.
    InvitationElsewhere = "invitation_elsewhere",
    /// The group has no such invitation.
    InvitationUnknown = "invitation_unknown",
    /// The group has as many open invitations as it can.
    InvitationsTooMany = "invitations_too_many" {
        /// How many that is.
        limit: u64,
    },
    /// The name is longer than 128 bytes.
    ProfileNameInvalid = "profile_name_invalid",
    /// The conversation is not a message request.
    NotARequest = "not_a_request",
    /// A file could not be uploaded to the relay, so its message was not sent.
    AttachmentLost = "attachment_lost",
    /// The text is empty.
    MessageEmpty = "message_empty",
    /// The text is longer than a message can be.
    MessageTooLarge = "message_too_large" {
        /// Its length.
        bytes: u64,
        /// The longest there can be.
        limit: u64,
    },
    /// The relay's URL is not valid.
    RelayUrlMalformed = "relay_url_malformed",
    /// The pin is not valid, or contradicts the URL's.
    PinMalformed = "pin_malformed",
    /// There is no account here yet.
    NotRegistered = "not_registered",
    /// There is an account here already.
    AlreadyRegistered = "already_registered",
    /// The address is the account's own.
    RecipientIsSelf = "recipient_is_self",
    /// The contact is blocked.
    RecipientBlocked = "recipient_blocked",
    /// Text messages need a phone number as the account's address.
    SmsNeedsOwnNumber = "sms_needs_own_number",
    /// A text message can go only to a phone number.
    SmsNeedsNumber = "sms_needs_number",
    /// The sender is a name, which no reply reaches.
    SmsCannotBeAnswered = "sms_cannot_be_answered" {
        /// The name.
        sender: String,
    },
    /// The relay does not send texts to phones.
    SmsNotOffered = "sms_not_offered",
    /// The person has not accepted yet that text messages are not encrypted.
    SmsNotUnderstood = "sms_not_understood",
    /// The text would take too many segments.
    SmsTooLong = "sms_too_long" {
        /// How many.
        segments: u32,
        /// How many are allowed.
        limit: u32,
    },
    /// The number is on Waxwing: nothing was sent.
    SmsRecipientHere = "sms_recipient_here" {
        /// The number.
        address: String,
    },
    /// The relay does not send texts to that number.
    SmsNotSentThere = "sms_not_sent_there",
    /// The phone network did not accept the text.
    SmsNotTaken = "sms_not_taken",
    /// The phone network says that the text did not arrive.
    SmsNotDelivered = "sms_not_delivered",
    /// Nobody knows whether the text was sent.
    SmsUncertain = "sms_uncertain",
    /// Text messages do not support this.
    SmsConversation = "sms_conversation",
    /// The outbox is full.
    OutboxFull = "outbox_full" {
        /// How many that is.
        limit: u64,
    },

    // ---- groups ----
    /// No group of this device has this id or name.
    GroupUnknown = "group_unknown" {
        /// As typed.
        name: String,
    },
    /// Several groups have this name.
    GroupNameAmbiguous = "group_name_ambiguous" {
        /// As typed.
        name: String,
    },
    /// Several conversations have this name or nickname.
    NameAmbiguous = "name_ambiguous" {
        /// The name.
        name: String,
    },
    /// Only group admins can do this.
    GroupNotAdmin = "group_not_admin",
    /// This account is no longer a member of the group.
    GroupNotMember = "group_not_member",
    /// This device has lost its place in a group, and no device of the group has re-added it.
    GroupLost = "group_lost" {
        /// The group's name.
        name: String,
    },
    /// A device joined a conversation, and the relay has not proved whose device it is; new
    /// messages there wait.
    GroupWaits = "group_waits" {
        /// The conversation's name.
        name: String,
    },
    /// The last admin of a group cannot stop being one.
    GroupNeedsAdmin = "group_needs_admin",
    /// The name is empty, too long, or has control characters.
    GroupNameInvalid = "group_name_invalid",
    /// The group has as many members as it can have.
    GroupFull = "group_full" {
        /// How many that is.
        limit: u64,
    },
    /// No member of the group has this address.
    MemberUnknown = "member_unknown" {
        /// In display form.
        address: String,
    },
    /// The address is the account's own.
    MemberIsSelf = "member_is_self",
    /// The picture is not an image in base64, or is too large.
    PictureInvalid = "picture_invalid" {
        /// How many bytes it may have.
        limit: u64,
    },

    // ---- registering ----
    /// `submit_code` was called before `register`.
    NoCodeAsked = "no_code_asked",
    /// The registration needs a code, and none was given (commands only).
    NoCodeGiven = "no_code_given",
    /// The code is wrong.
    CodeWrong = "code_wrong" {
        /// How many tries are left.
        tries_left: u32,
    },
    /// The code has expired.
    CodeExpired = "code_expired",
    /// Too many wrong codes: the code no longer works.
    CodeUsedUp = "code_used_up",
    /// The code could not be delivered to the address.
    AddressUnreachable = "address_unreachable" {
        /// In display form.
        address: String,
    },

    // ---- sending ----
    /// No account has this address.
    RecipientUnknown = "recipient_unknown" {
        /// In display form.
        address: String,
    },
    /// The recipient's mailbox is full until they come back online.
    RecipientFull = "recipient_full",
    /// The recipient's devices are not properly signed.
    RecipientNotProven = "recipient_not_proven",
    /// A contact who was verified in person has new keys: nothing is sent until the person decides.
    ContactChanged = "contact_changed" {
        /// In display form.
        address: String,
    },
    /// The safety number that was scanned or typed is different.
    SafetyNumberDiffers = "safety_number_differs" {
        /// In display form.
        address: String,
    },
    /// What was scanned or typed is not a safety number.
    SafetyNumberMalformed = "safety_number_malformed",
    /// Too few of the required auditors have co-signed what the relay shows.
    AuditorsMissing = "auditors_missing" {
        /// How many have.
        present: u32,
        /// How many must have.
        required: u32,
    },
    /// An auditor's id is malformed, there are too many, or more are required than were named.
    AuditorsMalformed = "auditors_malformed",

    // ---- this account ----
    /// A device was added to the account.
    DeviceAdded = "device_added" {
        /// The start of its id.
        device: String,
    },
    /// A device was removed from the account.
    DeviceRemoved = "device_removed" {
        /// The start of its id.
        device: String,
    },
    /// This device was removed from the account.
    DeviceRevoked = "device_revoked",
    /// The account has another recovery key.
    RecoveryKeyChanged = "recovery_key_changed",
    /// The address belongs to another account now.
    AddressTaken = "address_taken",
    /// Somebody else proved the locked address, and gets it unless a device objects.
    AddressContested = "address_contested" {
        /// When they get it.
        until: Timestamp,
    },
    /// The account was deleted by another of its devices; this device erases what it has.
    AccountDeleted = "account_deleted" {
        /// When it does so, unless the person decides to keep it.
        until: Timestamp,
    },
    /// The address is not this account's.
    AddressNotOwn = "address_not_own" {
        /// As typed.
        address: String,
    },
    /// The account was not deleted, so nothing is going to be erased.
    NothingErased = "nothing_erased",
    /// The registration lock was changed, but not by this device.
    LockChanged = "lock_changed" {
        /// Whether the address is locked now.
        locked: bool,
    },
    /// The address belongs to another account and is locked.
    AddressLocked = "address_locked" {
        /// How long nobody can register it without the recovery key, in milliseconds, if known.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        wait_ms: Option<u64>,
    },
    /// The address looks like a registered one.
    AddressConfusable = "address_confusable" {
        /// As typed.
        address: String,
    },
    /// The relay sent no new code to the address, because it got many recently; the newest one
    /// works.
    CodeSentBefore = "code_sent_before" {
        /// As typed.
        address: String,
    },
    /// The address is registered, but looks like another registered one.
    AddressLooksLikeAnother = "address_looks_like_another" {
        /// As typed.
        address: String,
    },

    // ---- the relay ----
    /// The relay cannot be reached.
    RelayDown = "relay_down" {
        /// What the network said.
        detail: String,
    },
    /// The server that answered does not have the relay's pinned key.
    WrongPin = "wrong_pin",
    /// The relay's certificate is self-signed, and no pin was given.
    RelayNotPinned = "relay_not_pinned" {
        /// The pin of the server that answered.
        presented: String,
    },
    /// The server at the new place has another key than the relay, so the relay was not moved.
    RelayKeyDiffers = "relay_key_differs" {
        /// The pin of the server that answered.
        presented: String,
    },
    /// The text does not name a SOCKS5 proxy.
    ProxyMalformed = "proxy_malformed",
    /// The proxy cannot be used, and no connection is made without it.
    ProxyFailed = "proxy_failed" {
        /// What the network or the proxy said.
        detail: String,
    },
    /// The relay has had too many requests and accepts no more for now.
    RateLimited = "rate_limited" {
        /// How long to wait before the next attempt, if the relay said so.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        retry_after_ms: Option<u64>,
    },
    /// The relay does not answer a request.
    RelayUnavailable = "relay_unavailable",
    /// The relay answers, but cannot store anything now: its disk may be full.
    RelayStoresNothing = "relay_stores_nothing",
    /// The relay does not let this device log in.
    LoginRefused = "login_refused",
    /// The relay and this program have no version of the protocol in common.
    RelayTooDifferent = "relay_too_different",
    /// The relay did something that no honest relay does.
    RelayMisbehaves = "relay_misbehaves" {
        /// What that was.
        what: RelayMisdeed,
    },
    /// The relay refused a request that should have been valid.
    RelayRefused = "relay_refused" {
        /// What it said.
        detail: String,
    },
    /// The relay's key log has stopped growing.
    LogStale = "log_stale" {
        /// How old the newest head is.
        age_ms: u64,
    },
    /// The relay's key log is from the future.
    LogAhead = "log_ahead" {
        /// How far.
        ahead_ms: u64,
    },
    /// A contact's device says that the relay shows it another key log.
    ContactSeesAnotherLog = "contact_sees_another_log" {
        /// In display form.
        address: String,
    },
    /// For more than 24 hours of use the relay has not proved what its key log says about this
    /// account.
    OwnHistoryNotProved = "own_history_not_proved",
    /// For more than 24 hours of use the relay has not proved that the keys of some contacts are
    /// still theirs.
    ContactsNotProved = "contacts_not_proved" {
        /// Some of them, in display form.
        addresses: Vec<String>,
        /// How many more there are.
        others: u64,
    },
    /// For more than 24 hours of use this device could not compare its key log with the one that
    /// some contacts see.
    HeadsNotCompared = "heads_not_compared" {
        /// Some of them, in display form.
        addresses: Vec<String>,
        /// How many more there are.
        others: u64,
    },
    /// This device's clock and the relay's are far apart.
    ClockWrong = "clock_wrong" {
        /// The relay's clock minus this device's.
        skew_ms: i64,
    },

    // ---- several devices, backups ----
    /// The name of the device is empty, or longer than 64 bytes.
    DeviceNameMalformed = "device_name_malformed",
    /// No device of the account, or more than one, has this id.
    DeviceUnknown = "device_unknown" {
        /// As typed.
        device: String,
    },
    /// A device cannot revoke itself.
    DeviceIsThis = "device_is_this",
    /// The account has as many devices as it can have.
    DevicesTooMany = "devices_too_many" {
        /// How many there can be.
        limit: u64,
    },
    /// The text is not a code for linking a device.
    PairingCodeMalformed = "pairing_code_malformed",
    /// A character of the code is wrong; it was not tried.
    PairingCodeMistyped = "pairing_code_mistyped",
    /// The new device uses another relay than the account.
    PairingOtherRelay = "pairing_other_relay",
    /// No device is waiting with this code.
    PairingCodeDead = "pairing_code_dead",
    /// The code was not the same on both devices, or somebody tried to get between them.
    PairingNotAgreed = "pairing_not_agreed",
    /// The connection between the devices broke before the new one was admitted.
    PairingBroken = "pairing_broken",
    /// The other device did not admit this one.
    PairingRefused = "pairing_refused",
    /// No device is asking to be admitted.
    PairingNotAsked = "pairing_not_asked",
    /// Another device is being linked.
    PairingBusy = "pairing_busy",
    /// The other device did not send the rest of the history.
    TransferEnded = "transfer_ended",
    /// The relay did not accept a change to the list of devices.
    RosterNotChanged = "roster_not_changed" {
        /// What the relay said.
        detail: String,
    },
    /// Another device changed the list of devices at the same moment.
    RosterChangedMeanwhile = "roster_changed_meanwhile",
    /// The words are not a recovery key.
    RecoveryWordsMalformed = "recovery_words_malformed" {
        /// What is wrong with them.
        detail: RecoveryWordsFlaw,
        /// How many words there are, or which of them is unknown, from 1.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        number: Option<u32>,
    },
    /// The words are another account's recovery key, or an old one.
    RecoveryWordsOthers = "recovery_words_others",
    /// Nobody has registered the address.
    RecoveryAddressUnknown = "recovery_address_unknown" {
        /// As typed.
        address: String,
    },
    /// No recovery is waiting for a backup file.
    RecoveryNotBegun = "recovery_not_begun",
    /// The relay has no backup.
    BackupNone = "backup_none",
    /// The backup does not open, or is incomplete.
    BackupDamaged = "backup_damaged",
    /// A device that does not belong to the account made the backup.
    BackupNotOurs = "backup_not_ours",
    /// The account has no backup key.
    BackupKeyMissing = "backup_key_missing",
    /// The backup is larger than the relay allows.
    BackupTooLarge = "backup_too_large",

    // ---- this device ----
    /// The disk is full.
    DiskFull = "disk_full",
    /// The store is damaged.
    StoreCorrupted = "store_corrupted",
    /// The store does not open with this key.
    StoreKeyWrong = "store_key_wrong",
    /// The key of the home's store is not available.
    StoreKeyUnavailable = "store_key_unavailable" {
        /// What is missing.
        missing: KeyMissing,
        /// What the system said, if it said something.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        detail: String,
    },
    /// A newer version of the program wrote the store.
    StoreTooNew = "store_too_new",
    /// The process that was using the home folder ended before it answered.
    ServerGone = "server_gone",
    /// The home folder, or a file in it, belongs to another user, or its permissions cannot be
    /// tightened.
    HomeNotPrivate = "home_not_private" {
        /// The folder, or the file in it.
        path: String,
        /// Why.
        detail: String,
    },
    /// The home folder cannot be written.
    HomeUnwritable = "home_unwritable" {
        /// Where it is.
        path: String,
        /// What the system said.
        detail: String,
    },
    /// Another process is using the home folder and does not answer.
    HomeBusy = "home_busy",
    /// The store could not be read or written.
    StoreFailed = "store_failed" {
        /// What it said.
        detail: String,
    },
    /// This device was restored from an old copy and is catching up.
    SetBack = "set_back",
    /// An error in this program stopped the request.
    Internal = "internal" {
        /// For a report.
        detail: String,
    },
    /// Because of an error in this program, one thing could not be processed and was undone;
    /// everything else continues.
    WorkUndone = "work_undone" {
        /// For a report.
        detail: String,
    },
}

listed! {
    /// Why the key of the home's store is not available.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
    #[serde(rename_all = "snake_case")]
    pub enum KeyMissing {
        /// It needs a passphrase, and none was given.
        Passphrase,
        /// A new home has nowhere to keep it: there is no keyring, and no passphrase was given.
        Place,
        /// The passphrase could not be read from the terminal.
        Terminal,
        /// The keyring has it, and does not release it.
        Keyring,
    }
}

listed! {
    /// What is wrong with a report.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
    #[serde(rename_all = "snake_case")]
    pub enum ReportFlaw {
        /// It has a format that this version does not know.
        Format,
        /// It has no messages, or too many.
        MessageCount,
        /// Its note is too long.
        NoteTooLong,
        /// A roster in it is not correctly signed.
        RosterInvalid,
        /// A roster in it belongs to another account.
        RosterOfAnother,
        /// It lacks the roster of an account that wrote a message.
        RosterMissing,
        /// A message in it is malformed.
        MessageMalformed,
        /// A message in it was not written by the account that it names.
        AnotherAuthor,
    }
}

listed! {
    /// What is wrong with messages to import.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
    #[serde(rename_all = "snake_case")]
    pub enum ImportFlaw {
        /// There are too many messages at once.
        TooManyMessages,
        /// A message is too long.
        MessageTooLong,
        /// A sender is not a valid address.
        SenderMalformed,
        /// The id of a message is malformed.
        IdMalformed,
    }
}

listed! {
    /// What is wrong with the words of a recovery key.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
    #[serde(rename_all = "snake_case")]
    pub enum RecoveryWordsFlaw {
        /// There are not 24 words.
        Count,
        /// A word is not in the list of words.
        UnknownWord,
        /// A word is wrong, or two words are swapped.
        Checksum,
    }
}

listed! {
    /// What is wrong with a text that is not an address.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
    #[serde(rename_all = "snake_case")]
    pub enum AddressFlaw {
        /// It is empty, or longer than an address can be.
        Length,
        /// It has no `@`, and does not start with `+`.
        Kind,
        /// The part before the `@`.
        LocalPart,
        /// The part after the `@`.
        Domain,
        /// No phone has this number.
        Number,
    }
}

impl From<AddressError> for AddressFlaw {
    fn from(error: AddressError) -> Self {
        match error {
            AddressError::Length => Self::Length,
            AddressError::Kind => Self::Kind,
            AddressError::LocalPart => Self::LocalPart,
            AddressError::Domain => Self::Domain,
            AddressError::Number => Self::Number,
        }
    }
}

listed! {
    /// Something a relay did that no honest relay does.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
    #[serde(rename_all = "snake_case")]
    pub enum RelayMisdeed {
        /// It uses different token keys for different links, with which it could track the users of
        /// tokens.
        TokenKeysDiffer,
        /// Its proof for the tokens is false.
        TokenProofFalse,
        /// A roster is not correctly signed.
        RosterFalse,
        /// Somebody was added to a conversation without a right to be there.
        MemberNotEntitled,
        /// A roster is shorter than before, or different.
        RosterRolledBack,
        /// Its key log does not prove what it claims.
        LogFalse,
        /// It shows an older key log than before.
        LogRolledBack,
        /// It has rewritten its key log.
        LogRewritten,
        /// It has another key log than before.
        LogReplaced,
        /// It shows different key logs to different people.
        LogSplit,
        /// It hides a part of its key log that somebody else was shown.
        LogHidden,
        /// Its key log has an entry for this account that this account did not make.
        OwnEntryFalse,
        /// Its key log has no entry for this account.
        OwnEntryMissing,
        /// It treated this account as the owner of somebody else's address.
        AnothersWelcome,
        /// It sent something that is not a valid message of the protocol.
        Malformed,
    }
}

impl Problem {
    /// What the system, the relay or a check said about it, if it said something.
    fn detail(&self) -> Option<&str> {
        match self {
            Self::ReportInvalid { reason } => return Some(clause(reason.meaning())),
            Self::ImportInvalid { reason } => return Some(clause(reason.meaning())),
            Self::RecoveryWordsMalformed { detail, .. } => return Some(clause(detail.meaning())),
            Self::NoLinkPreview { reason: detail }
            | Self::FileUnusable { detail }
            | Self::RelayDown { detail }
            | Self::ProxyFailed { detail }
            | Self::RelayRefused { detail }
            | Self::RosterNotChanged { detail }
            | Self::StoreKeyUnavailable { detail, .. }
            | Self::HomeNotPrivate { detail, .. }
            | Self::HomeUnwritable { detail, .. }
            | Self::StoreFailed { detail }
            | Self::Internal { detail }
            | Self::WorkUndone { detail } => Some(detail).filter(|detail| !detail.is_empty()),
            _ => None,
        }
        .map(String::as_str)
    }

    /// Returns the code, the facts and a sentence, as the RPC sends them.
    pub fn report(&self) -> ProblemReport {
        let mut facts = match serde_json::to_value(self) {
            Ok(Value::Object(facts)) => facts,
            _ => Map::new(),
        };
        facts.remove("code");
        ProblemReport {
            code: self.code().to_owned(),
            sentence: self.to_string(),
            facts,
        }
    }
}

/// A sentence as a part of another.
fn clause(sentence: &str) -> &str {
    sentence.trim_end_matches('.')
}

impl core::fmt::Debug for Problem {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Problem({})", self.code())
    }
}

/// The sentence for programs and logs.
impl core::fmt::Display for Problem {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let meaning = self.meaning();
        match self.detail() {
            Some(detail) => write!(f, "{} ({detail}).", meaning.trim_end_matches('.')),
            None => f.write_str(meaning),
        }
    }
}

impl core::error::Error for Problem {}

/// A [`Problem`] as JSON: its code, a sentence and its facts.
///
/// It is not a [`Problem`] itself, so that one from another version, with a code or with facts that
/// this version does not know, is still a report.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct ProblemReport {
    /// [`Problem::code`].
    pub code: String,
    /// What happened, in one sentence for programs and logs. It names no command.
    pub sentence: String,
    /// The fields of the [`Problem`].
    #[serde(flatten)]
    pub facts: Map<String, Value>,
}

impl ProblemReport {
    /// The problem, unless another version with other codes or facts reported it.
    pub fn problem(&self) -> Option<Problem> {
        let mut fields = self.facts.clone();
        fields.insert("code".to_owned(), Value::String(self.code.clone()));
        serde_json::from_value(Value::Object(fields)).ok()
    }
}

impl JsonSchema for ProblemReport {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "ProblemReport".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let problem = generator.subschema_for::<Problem>();
        json_schema!({
            "description": "A problem with a sentence.",
            "allOf": [
                problem,
                {
                    "type": "object",
                    "properties": {
                        "sentence": {
                            "description": "What happened, in one sentence for programs and logs.",
                            "type": "string",
                        },
                    },
                    "required": ["sentence"],
                },
            ],
        })
    }
}

closed_debug!(ProblemReport);

impl From<&Problem> for ProblemReport {
    fn from(problem: &Problem) -> Self {
        problem.report()
    }
}

/// A fact that is made up, of the length that such facts have.
trait Example {
    fn example() -> Self;
}

impl Example for String {
    fn example() -> Self {
        "alice@example.org".to_owned()
    }
}

impl Example for Vec<String> {
    fn example() -> Self {
        vec!["bob@example.org".to_owned(), "carol@example.org".to_owned()]
    }
}

impl Example for u32 {
    fn example() -> Self {
        3
    }
}

impl Example for u64 {
    fn example() -> Self {
        65_536
    }
}

impl Example for i64 {
    fn example() -> Self {
        180_000
    }
}

impl Example for bool {
    fn example() -> Self {
        true
    }
}

impl Example for Timestamp {
    fn example() -> Self {
        Self(waxwing_protocol::time::Time(1_795_637_703_250))
    }
}

impl Example for KeyMissing {
    fn example() -> Self {
        Self::Passphrase
    }
}

impl Example for AddressFlaw {
    fn example() -> Self {
        Self::Domain
    }
}

impl Example for RelayMisdeed {
    fn example() -> Self {
        Self::LogRewritten
    }
}

impl Example for ReportFlaw {
    fn example() -> Self {
        Self::RosterInvalid
    }
}

impl Example for ImportFlaw {
    fn example() -> Self {
        Self::SenderMalformed
    }
}

impl Example for RecoveryWordsFlaw {
    fn example() -> Self {
        Self::UnknownWord
    }
}

impl<T: Example> Example for Option<T> {
    fn example() -> Self {
        Some(T::example())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_gives_its_problem_back() {
        for problem in Problem::examples() {
            let report = problem.report();
            assert!(report.problem() == Some(problem), "{report:?}");
            let json = serde_json::to_string(&report).unwrap();
            assert!(serde_json::from_str::<ProblemReport>(&json).unwrap() == report);
        }
    }

    #[test]
    fn a_report_of_another_version_is_still_a_report() {
        for (json, known) in [
            (
                r#"{"code": "not_yet_known", "sentence": "It is new."}"#,
                false,
            ),
            (
                r#"{"code": "code_wrong", "sentence": "Without its fact."}"#,
                false,
            ),
            (
                r#"{"code": "code_wrong", "sentence": "", "tries_left": 4, "new": 1}"#,
                true,
            ),
        ] {
            let report: ProblemReport = serde_json::from_str(json).unwrap();
            assert_eq!(report.problem().is_some(), known, "{json}");
        }
    }

    #[test]
    fn a_meaning_is_one_sentence_that_names_no_command() {
        for problem in Problem::examples() {
            let meaning = problem.meaning();
            let code = problem.code();
            assert!(
                meaning.ends_with('.') && meaning.len() <= 160,
                "{code}: {meaning}"
            );
            assert!(
                !meaning.trim_end_matches('.').contains(". "),
                "{code}: {meaning}"
            );
            assert!(
                !meaning.contains("waxwing") && !meaning.contains("--"),
                "{code}: {meaning}"
            );
        }
    }

    #[test]
    fn a_problem_as_debug_does_not_show_the_address() {
        for problem in Problem::examples() {
            assert!(!format!("{problem:?}{:?}", problem.report()).contains("alice"));
        }
    }
}
