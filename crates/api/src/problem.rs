//! Everything that can go wrong, as people and programs learn it.
//!
//! **Elsewhere**: the errors of single operations are enums beside those operations; they become a
//! [`Problem`] where they reach a person. The sentences are in `sentence.rs`.
//!
//! **Always**: a code never changes its meaning.

use serde::{Deserialize, Serialize};

use crate::{Timestamp, closed_debug, sentence};

/// Something that went wrong.
#[derive(Clone, PartialEq, Eq)]
pub enum Problem {
    // ---- what was asked ----
    /// The text is not an e-mail address or a phone number.
    AddressMalformed {
        /// As typed.
        address: String,
    },
    /// The text is not an address or a known conversation.
    ConversationUnknown {
        /// As typed.
        name: String,
    },
    /// No message has this id.
    MessageUnknown,
    /// Several messages have ids that begin like this.
    MessageAmbiguous,
    /// Only the message's sender can do this.
    MessageNotOwn,
    /// The message was unsent.
    MessageTakenBack,
    /// This device has no proof that the sender wrote the message.
    MessageNotProven,
    /// It is not a report, or something in it is false.
    ReportInvalid {
        /// What.
        reason: String,
    },
    /// The file to import is not a valid export.
    ImportInvalid {
        /// What.
        reason: String,
    },
    /// The reaction is empty, too long, or has spaces.
    ReactionInvalid,
    /// An attachment is malformed or too large, or there are too many.
    AttachmentInvalid,
    /// The preview is too large, or its link is not in the text.
    LinkPreviewInvalid,
    /// The link leads to nothing that can be shown.
    NoLinkPreview {
        /// Why.
        reason: String,
    },
    /// The message has no such attachment.
    AttachmentUnknown,
    /// The attachment is not on this device yet.
    AttachmentNotHere,
    /// A file cannot be read or written.
    FileUnusable {
        /// Which, and why: a sentence.
        detail: String,
    },
    /// The text is not an invitation link.
    InvitationMalformed,
    /// The group is at another relay.
    InvitationElsewhere,
    /// The group has no such invitation.
    InvitationUnknown,
    /// The group has as many invitations as it can.
    InvitationsTooMany {
        /// How many that is.
        limit: u64,
    },
    /// The name is too long.
    ProfileNameInvalid,
    /// The conversation is not a message request.
    NotARequest,
    /// A sealed file is missing, or the relay does not accept it.
    AttachmentLost,
    /// The text is empty.
    MessageEmpty,
    /// The text is longer than a message can be.
    MessageTooLarge {
        /// Its length.
        bytes: u64,
        /// The longest there can be.
        limit: u64,
    },
    /// The relay's URL is not valid.
    RelayUrlMalformed,
    /// The pin is not valid.
    PinMalformed,
    /// There is no account on this device yet.
    NotRegistered,
    /// There is an account already.
    AlreadyRegistered,
    /// The address is this account's own.
    RecipientIsSelf,
    /// The contact is blocked.
    RecipientBlocked,
    /// Text messages need a phone number as the account's address.
    SmsNeedsOwnNumber,
    /// A text message goes to a phone number.
    SmsNeedsNumber,
    /// The sender of a text message is a name, which no reply reaches.
    SmsCannotBeAnswered {
        /// The name.
        sender: String,
    },
    /// The relay does not send texts to phones.
    SmsNotOffered,
    /// The person has not accepted yet that text messages are not encrypted.
    SmsNotUnderstood,
    /// The text would take too many segments.
    SmsTooLong {
        /// How many.
        segments: u32,
        /// How many are allowed.
        limit: u32,
    },
    /// The number is on Waxwing.
    SmsRecipientHere {
        /// The number.
        address: String,
    },
    /// The relay does not send texts to that number.
    SmsNotSentThere,
    /// The phone network did not accept the text.
    SmsNotTaken,
    /// The phone network says that the text did not arrive.
    SmsNotDelivered,
    /// Nobody knows whether the text was sent.
    SmsUncertain,
    /// Text messages do not support this.
    SmsConversation,
    /// The outbox is full.
    OutboxFull {
        /// How many that is.
        limit: u64,
    },

    // ---- groups ----
    /// No group on this device has this id or name.
    GroupUnknown {
        /// As typed.
        name: String,
    },
    /// Several groups have this name.
    GroupNameAmbiguous {
        /// As typed.
        name: String,
    },
    /// Only group admins can do this.
    GroupNotAdmin,
    /// This account is not a member of the group.
    GroupNotMember,
    /// This device has lost its place in the group, and no device has re-added it.
    GroupLost {
        /// The group's name.
        name: String,
    },
    /// A device joined a conversation, and the relay has not proved whose device it is.
    GroupWaits {
        /// The conversation's name.
        name: String,
    },
    /// The last admin of a group cannot stop being one.
    GroupNeedsAdmin,
    /// The name is empty, too long, or has control characters.
    GroupNameInvalid,
    /// The group has as many members as it can.
    GroupFull {
        /// How many that is.
        limit: u64,
    },
    /// No member has this address.
    MemberUnknown {
        /// In display form.
        address: String,
    },
    /// The address is this account's own.
    MemberIsSelf,
    /// The picture is not an image in base64, or is too large.
    PictureInvalid {
        /// How many bytes it may have.
        limit: u64,
    },

    // ---- registering ----
    /// `submit_code` was called before `register`.
    NoCodeAsked,
    /// The registration needs a code, and none was given.
    NoCodeGiven,
    /// The code is wrong.
    CodeWrong {
        /// How many tries are left.
        tries_left: u32,
    },
    /// The code has expired.
    CodeExpired,
    /// All tries are used up.
    CodeUsedUp,
    /// The mail server, or the phone network, refused the code.
    AddressUnreachable {
        /// In display form.
        address: String,
    },

    // ---- sending ----
    /// No account has this address.
    RecipientUnknown {
        /// In display form.
        address: String,
    },
    /// The recipient's mailbox is full until they come back online.
    RecipientFull,
    /// The relay's list of the recipient's devices is not properly signed.
    RecipientNotProven,
    /// A contact who was verified in person has another account now.
    ContactChanged {
        /// In display form.
        address: String,
    },
    /// The safety number that was scanned or typed is different.
    SafetyNumberDiffers {
        /// In display form.
        address: String,
    },
    /// What was scanned or typed is not a safety number.
    SafetyNumberMalformed,
    /// Too few of the required auditors have co-signed what the relay shows.
    AuditorsMissing {
        /// How many have.
        present: u32,
        /// How many must have.
        required: u32,
    },
    /// An auditor's id is malformed, there are too many, or more are required than were named.
    AuditorsMalformed,

    // ---- this account ----
    /// Another device of this account was added.
    DeviceAdded {
        /// The start of its id.
        device: String,
    },
    /// Another device of this account was removed.
    DeviceRemoved {
        /// The start of its id.
        device: String,
    },
    /// This device was removed from the account.
    DeviceRevoked,
    /// The account has another recovery key.
    RecoveryKeyChanged,
    /// The address belongs to another account now.
    AddressTaken,
    /// Somebody else proved the locked address, and gets it at a certain time unless a device
    /// objects.
    AddressContested {
        /// When they get it.
        until: Timestamp,
    },
    /// The registration lock has changed.
    LockChanged {
        /// Whether the address is locked now.
        locked: bool,
    },
    /// The address belongs to another account and is locked.
    AddressLocked {
        /// How long nobody can register it without the recovery key, in milliseconds, if known.
        wait_ms: Option<u64>,
    },
    /// The address looks like a registered one.
    AddressConfusable {
        /// As typed.
        address: String,
    },
    /// The relay sent no new code to the address, because it got many recently; the newest one
    /// works.
    CodeSentBefore {
        /// As typed.
        address: String,
    },
    /// The address is registered, but looks like another registered one.
    AddressLooksLikeAnother {
        /// As typed.
        address: String,
    },

    // ---- the relay ----
    /// It cannot be reached.
    RelayDown {
        /// What the network said.
        detail: String,
    },
    /// The relay's key is not the pinned one.
    WrongPin,
    /// No known authority issued the relay's certificate, and there is no pin to compare it with.
    RelayNotPinned {
        /// The pin of the server that answered.
        presented: String,
    },
    /// Too many requests.
    RateLimited {
        /// When to try again, if the relay said so.
        retry_after_ms: Option<u64>,
    },
    /// The relay cannot store anything, or does not answer.
    RelayUnavailable,
    /// The relay speaks no version of the protocol that this client knows.
    RelayTooDifferent,
    /// The relay did something that no honest relay does.
    RelayMisbehaves {
        /// What that was.
        what: RelayMisdeed,
    },
    /// The relay refused a request that should have been valid.
    RelayRefused {
        /// What it said.
        detail: String,
    },
    /// The relay's key log has stopped growing.
    LogStale {
        /// How old the newest head is.
        age_ms: u64,
    },
    /// The relay's key log is from the future.
    LogAhead {
        /// How far.
        ahead_ms: u64,
    },
    /// A contact's device says that the relay shows it another key log.
    ContactSeesAnotherLog {
        /// In display form.
        address: String,
    },
    /// For more than 24 hours of use, the relay has not proved what its key log says about this
    /// account.
    OwnHistoryNotProved,
    /// For more than 24 hours of use, in which this account wrote to some people, the relay has not
    /// proved their keys.
    ContactsNotProved {
        /// Some of them, in display form.
        addresses: Vec<String>,
        /// How many more there are.
        others: u64,
    },
    /// For more than 24 hours of use, this device could not compare the key log with what some
    /// people see.
    HeadsNotCompared {
        /// Some of them, in display form.
        addresses: Vec<String>,
        /// How many more there are.
        others: u64,
    },
    /// The relay's clock and this device's clock are far apart.
    ClockWrong {
        /// The relay's clock minus this device's.
        skew_ms: i64,
    },

    // ---- several devices, backups ----
    /// The name of the device is empty, or longer than 64 bytes.
    DeviceNameMalformed,
    /// No device of the account has this id, or several have.
    DeviceUnknown {
        /// As typed.
        device: String,
    },
    /// A device cannot revoke itself.
    DeviceIsThis,
    /// The account has as many devices as it can have.
    DevicesTooMany {
        /// How many there can be.
        limit: u64,
    },
    /// The text is not the code of a new device.
    PairingCodeMalformed,
    /// A character of the code is wrong.
    PairingCodeMistyped,
    /// The new device uses another relay than the account.
    PairingOtherRelay,
    /// No device is waiting with this code.
    PairingCodeDead,
    /// The two devices did not agree on keys.
    PairingNotAgreed,
    /// The connection between the two devices broke.
    PairingBroken,
    /// The person refused on the other device.
    PairingRefused,
    /// No device is asking to be admitted.
    PairingNotAsked,
    /// Another device is being linked.
    PairingBusy,
    /// The rest of the history did not arrive.
    TransferEnded,
    /// The relay did not accept a change to the list of devices.
    RosterNotChanged {
        /// What the relay said.
        detail: String,
    },
    /// The words are not a recovery key.
    RecoveryWordsMalformed {
        /// What is wrong with them.
        detail: String,
    },
    /// The words are another account's recovery key, or an old one.
    RecoveryWordsOthers,
    /// Nobody has registered this address on the relay.
    RecoveryAddressUnknown {
        /// As typed.
        address: String,
    },
    /// No recovery is waiting for a backup file.
    RecoveryNotBegun,
    /// There is no backup.
    BackupNone,
    /// The backup does not open, or is incomplete.
    BackupDamaged,
    /// The backup belongs to another account, or a device that is not in this account made it.
    BackupNotOurs,
    /// This account is older than backups are, and has no backup key.
    BackupKeyMissing,
    /// The backup is larger than the relay allows.
    BackupTooLarge,

    // ---- this device ----
    /// No space is left on the disk.
    DiskFull,
    /// The store's file is damaged.
    StoreCorrupted,
    /// The store cannot be opened with this key.
    StoreKeyWrong,
    /// The store's key is not available: no passphrase was given, or the keyring is locked.
    StoreKeyUnavailable {
        /// What is missing, and what to do.
        sentence: String,
    },
    /// The store was written by a newer version.
    StoreTooNew,
    /// The process that served the home ended before it answered.
    ServerGone,
    /// Other users can, or could, access the home folder.
    HomeNotPrivate {
        /// The folder, or the file in it.
        path: String,
        /// Why.
        detail: String,
    },
    /// The home directory cannot be written.
    HomeUnwritable {
        /// Where it is.
        path: String,
        /// What the system said.
        detail: String,
    },
    /// Another process uses this home and does not answer.
    HomeBusy,
    /// The operating system refused to read or write.
    StoreFailed {
        /// What it said.
        detail: String,
    },
    /// This device was restored from an old copy and is catching up.
    SetBack,
    /// An error in this program.
    Internal {
        /// For a report.
        detail: String,
    },
    /// An error in this program occurred while something was processed, and that work was undone;
    /// everything else continues.
    WorkUndone {
        /// For a report.
        detail: String,
    },
}

/// Something a relay did that no honest relay does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
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

impl Problem {
    /// A stable name for programs.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::AddressMalformed { .. } => "address_malformed",
            Self::ConversationUnknown { .. } => "conversation_unknown",
            Self::MessageUnknown => "message_unknown",
            Self::MessageAmbiguous => "message_ambiguous",
            Self::MessageNotOwn => "message_not_own",
            Self::MessageTakenBack => "message_taken_back",
            Self::MessageNotProven => "message_not_proven",
            Self::ImportInvalid { .. } => "import_invalid",
            Self::ReportInvalid { .. } => "report_invalid",
            Self::ReactionInvalid => "reaction_invalid",
            Self::AttachmentInvalid => "attachment_invalid",
            Self::LinkPreviewInvalid => "link_preview_invalid",
            Self::NoLinkPreview { .. } => "no_link_preview",
            Self::AttachmentUnknown => "attachment_unknown",
            Self::AttachmentNotHere => "attachment_not_here",
            Self::FileUnusable { .. } => "file_unusable",
            Self::InvitationMalformed => "invitation_malformed",
            Self::InvitationElsewhere => "invitation_elsewhere",
            Self::InvitationUnknown => "invitation_unknown",
            Self::InvitationsTooMany { .. } => "invitations_too_many",
            Self::ProfileNameInvalid => "profile_name_invalid",
            Self::NotARequest => "not_a_request",
            Self::AttachmentLost => "attachment_lost",
            Self::MessageEmpty => "message_empty",
            Self::MessageTooLarge { .. } => "message_too_large",
            Self::RelayUrlMalformed => "relay_url_malformed",
            Self::PinMalformed => "pin_malformed",
            Self::NotRegistered => "not_registered",
            Self::AlreadyRegistered => "already_registered",
            Self::RecipientIsSelf => "recipient_is_self",
            Self::GroupUnknown { .. } => "group_unknown",
            Self::GroupNameAmbiguous { .. } => "group_name_ambiguous",
            Self::GroupNotAdmin => "group_not_admin",
            Self::GroupNotMember => "group_not_member",
            Self::GroupLost { .. } => "group_lost",
            Self::GroupWaits { .. } => "group_waits",
            Self::GroupNeedsAdmin => "group_needs_admin",
            Self::GroupNameInvalid => "group_name_invalid",
            Self::GroupFull { .. } => "group_full",
            Self::MemberUnknown { .. } => "member_unknown",
            Self::MemberIsSelf => "member_is_self",
            Self::PictureInvalid { .. } => "picture_invalid",
            Self::RecipientBlocked => "recipient_blocked",
            Self::SmsNeedsOwnNumber => "sms_needs_own_number",
            Self::SmsNeedsNumber => "sms_needs_number",
            Self::SmsCannotBeAnswered { .. } => "sms_cannot_be_answered",
            Self::SmsNotOffered => "sms_not_offered",
            Self::SmsNotUnderstood => "sms_not_understood",
            Self::SmsTooLong { .. } => "sms_too_long",
            Self::SmsRecipientHere { .. } => "sms_recipient_here",
            Self::SmsNotSentThere => "sms_not_sent_there",
            Self::SmsNotTaken => "sms_not_taken",
            Self::SmsNotDelivered => "sms_not_delivered",
            Self::SmsUncertain => "sms_uncertain",
            Self::SmsConversation => "sms_conversation",
            Self::OutboxFull { .. } => "outbox_full",
            Self::NoCodeAsked => "no_code_asked",
            Self::NoCodeGiven => "no_code_given",
            Self::CodeWrong { .. } => "code_wrong",
            Self::CodeExpired => "code_expired",
            Self::CodeUsedUp => "code_used_up",
            Self::AddressUnreachable { .. } => "address_unreachable",
            Self::RecipientUnknown { .. } => "recipient_unknown",
            Self::RecipientFull => "recipient_full",
            Self::RecipientNotProven => "recipient_not_proven",
            Self::ContactChanged { .. } => "contact_changed",
            Self::SafetyNumberDiffers { .. } => "safety_number_differs",
            Self::SafetyNumberMalformed => "safety_number_malformed",
            Self::AuditorsMissing { .. } => "auditors_missing",
            Self::AuditorsMalformed => "auditors_malformed",
            Self::DeviceAdded { .. } => "device_added",
            Self::DeviceRemoved { .. } => "device_removed",
            Self::DeviceRevoked => "device_revoked",
            Self::RecoveryKeyChanged => "recovery_key_changed",
            Self::AddressTaken => "address_taken",
            Self::AddressContested { .. } => "address_contested",
            Self::LockChanged { .. } => "lock_changed",
            Self::AddressLocked { .. } => "address_locked",
            Self::AddressConfusable { .. } => "address_confusable",
            Self::CodeSentBefore { .. } => "code_sent_before",
            Self::AddressLooksLikeAnother { .. } => "address_looks_like_another",
            Self::LogStale { .. } => "log_stale",
            Self::LogAhead { .. } => "log_ahead",
            Self::ContactSeesAnotherLog { .. } => "contact_sees_another_log",
            Self::OwnHistoryNotProved => "own_history_not_proved",
            Self::ContactsNotProved { .. } => "contacts_not_proved",
            Self::HeadsNotCompared { .. } => "heads_not_compared",
            Self::RelayDown { .. } => "relay_down",
            Self::WrongPin => "wrong_pin",
            Self::RelayNotPinned { .. } => "relay_not_pinned",
            Self::RateLimited { .. } => "rate_limited",
            Self::RelayUnavailable => "relay_unavailable",
            Self::RelayTooDifferent => "relay_too_different",
            Self::RelayMisbehaves { .. } => "relay_misbehaves",
            Self::RelayRefused { .. } => "relay_refused",
            Self::ClockWrong { .. } => "clock_wrong",
            Self::DeviceNameMalformed => "device_name_malformed",
            Self::DeviceUnknown { .. } => "device_unknown",
            Self::DeviceIsThis => "device_is_this",
            Self::DevicesTooMany { .. } => "devices_too_many",
            Self::PairingCodeMalformed => "pairing_code_malformed",
            Self::PairingCodeMistyped => "pairing_code_mistyped",
            Self::PairingOtherRelay => "pairing_other_relay",
            Self::PairingCodeDead => "pairing_code_dead",
            Self::PairingNotAgreed => "pairing_not_agreed",
            Self::PairingBroken => "pairing_broken",
            Self::PairingRefused => "pairing_refused",
            Self::PairingNotAsked => "pairing_not_asked",
            Self::PairingBusy => "pairing_busy",
            Self::TransferEnded => "transfer_ended",
            Self::RosterNotChanged { .. } => "roster_not_changed",
            Self::RecoveryWordsMalformed { .. } => "recovery_words_malformed",
            Self::RecoveryWordsOthers => "recovery_words_others",
            Self::RecoveryAddressUnknown { .. } => "recovery_address_unknown",
            Self::RecoveryNotBegun => "recovery_not_begun",
            Self::BackupNone => "backup_none",
            Self::BackupDamaged => "backup_damaged",
            Self::BackupNotOurs => "backup_not_ours",
            Self::BackupKeyMissing => "backup_key_missing",
            Self::BackupTooLarge => "backup_too_large",
            Self::DiskFull => "disk_full",
            Self::StoreCorrupted => "store_corrupted",
            Self::StoreKeyWrong => "store_key_wrong",
            Self::StoreKeyUnavailable { .. } => "store_key_unavailable",
            Self::StoreTooNew => "store_too_new",
            Self::HomeNotPrivate { .. } => "home_not_private",
            Self::HomeUnwritable { .. } => "home_unwritable",
            Self::HomeBusy => "home_busy",
            Self::ServerGone => "server_gone",
            Self::StoreFailed { .. } => "store_failed",
            Self::SetBack => "set_back",
            Self::Internal { .. } => "internal",
            Self::WorkUndone { .. } => "work_undone",
        }
    }

    /// Returns the code and the sentence, as the RPC sends them.
    pub fn report(&self) -> ProblemReport {
        let mut report = ProblemReport {
            code: self.code().to_owned(),
            sentence: sentence(self),
            tries_left: None,
            limit: None,
            retry_at: None,
        };
        match self {
            Self::CodeWrong { tries_left } => report.tries_left = Some(*tries_left),
            Self::MessageTooLarge { limit, .. }
            | Self::OutboxFull { limit }
            | Self::GroupFull { limit }
            | Self::PictureInvalid { limit }
            | Self::DevicesTooMany { limit } => {
                report.limit = Some(*limit);
            }
            _ => {}
        }
        report
    }
}

impl core::fmt::Debug for Problem {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Problem({})", self.code())
    }
}

impl core::fmt::Display for Problem {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(&sentence(self))
    }
}

impl core::error::Error for Problem {}

/// A [`Problem`] as JSON.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct ProblemReport {
    /// [`Problem::code`].
    pub code: String,
    /// [`sentence`](crate::sentence()).
    pub sentence: String,
    /// With `code_wrong`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tries_left: Option<u32>,
    /// With `message_too_large` (bytes), `outbox_full` (messages) and `devices_too_many`
    /// (devices).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u64>,
    /// With `rate_limited`, if the relay said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_at: Option<Timestamp>,
}

closed_debug!(ProblemReport);

impl From<&Problem> for ProblemReport {
    fn from(problem: &Problem) -> Self {
        problem.report()
    }
}
