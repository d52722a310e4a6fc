//! What can go wrong, as people and programs are told.
//!
//! **Elsewhere**: the errors of single operations are enums beside those
//! operations; they turn into a [`Problem`] where they reach a person. The
//! sentences are in `sentence.rs`.
//!
//! **Always**: a code, once given out, keeps its meaning.

use serde::{Deserialize, Serialize};

use super::{Timestamp, closed_debug, sentence};

/// Something that went wrong.
#[derive(Clone, PartialEq, Eq)]
pub enum Problem {
    // ---- what was asked ----
    /// Neither an e-mail address nor a phone number.
    AddressMalformed {
        /// As typed.
        address: String,
    },
    /// Neither an address nor a known conversation.
    ConversationUnknown {
        /// As typed.
        name: String,
    },
    /// No message has this id.
    MessageUnknown,
    /// Several messages have ids that begin so.
    MessageAmbiguous,
    /// Only its sender can do this.
    MessageNotOwn,
    /// It was taken back.
    MessageTakenBack,
    /// This device does not have what shows that its sender wrote it.
    MessageNotProven,
    /// It is no report, or something in it is not as it says.
    ReportInvalid {
        /// What.
        reason: String,
    },
    /// What is to be imported cannot have been exported.
    ImportInvalid {
        /// What.
        reason: String,
    },
    /// Empty, too long, or with blanks.
    ReactionInvalid,
    /// It is none, there are too many, or one is too large.
    AttachmentInvalid,
    /// It is too much, or not of a link that stands in the text.
    LinkPreviewInvalid,
    /// A link leads to nothing that can be shown.
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
    /// The text is no invitation's link.
    InvitationMalformed,
    /// The group is at another relay.
    InvitationElsewhere,
    /// The group has no such invitation.
    InvitationUnknown,
    /// The group has as many as it can.
    InvitationsTooMany {
        /// How many that is.
        limit: u64,
    },
    /// The name is too long.
    ProfileNameInvalid,
    /// The conversation is none that could be accepted or declined.
    NotARequest,
    /// A sealed file is not there any more, or the relay does not take it.
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
    /// The relay's URL is not one.
    RelayUrlMalformed,
    /// The pin is not one.
    PinMalformed,
    /// There is no account on this device yet.
    NotRegistered,
    /// There is one already.
    AlreadyRegistered,
    /// This account's own address.
    RecipientIsSelf,
    /// The contact is blocked.
    RecipientBlocked,
    /// Text messages need a phone number as the account's address.
    SmsNeedsOwnNumber,
    /// A text message goes to a phone number.
    SmsNeedsNumber,
    /// The sender of a text message is a name: no reply reaches it.
    SmsCannotBeAnswered {
        /// The name.
        sender: String,
    },
    /// The relay takes no texts to phones.
    SmsNotOffered,
    /// The person has not been told what a text message is.
    SmsNotUnderstood,
    /// It would take too many segments.
    SmsTooLong {
        /// How many.
        segments: u32,
        /// How many it may take.
        limit: u32,
    },
    /// The number is on Waxwing.
    SmsRecipientHere {
        /// The number.
        address: String,
    },
    /// The relay sends no texts to that number.
    SmsNotSentThere,
    /// The phone network did not take it.
    SmsNotTaken,
    /// The phone network says that it does not arrive.
    SmsNotDelivered,
    /// Nobody knows whether it was sent.
    SmsUncertain,
    /// This cannot be done with text messages.
    SmsConversation,
    /// As many messages wait to be sent as the outbox takes.
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
    /// Only admins may do this.
    GroupNotAdmin,
    /// This account is no member of the group.
    GroupNotMember,
    /// This device has lost its place in the group, and nobody has brought it back.
    GroupLost {
        /// What the group is called.
        name: String,
    },
    /// Somebody's devices have changed in a conversation, and the relay does not prove whose
    /// they are.
    GroupWaits {
        /// What the conversation is called.
        name: String,
    },
    /// The last admin stays one.
    GroupNeedsAdmin,
    /// Empty, too long, or with control characters.
    GroupNameInvalid,
    /// As many members as a group may have.
    GroupFull {
        /// How many that is.
        limit: u64,
    },
    /// No member has this address.
    MemberUnknown {
        /// In display form.
        address: String,
    },
    /// This account's own address.
    MemberIsSelf,
    /// Not base64, or too large.
    PictureInvalid {
        /// Bytes that it may have.
        limit: u64,
    },

    // ---- registering ----
    /// `submit_code` before `register`.
    NoCodeAsked,
    /// A code is awaited and none was given.
    NoCodeGiven,
    /// The code is not the one that was sent.
    CodeWrong {
        /// How many tries are left.
        tries_left: u32,
    },
    /// The code was good for a while only.
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
    /// The recipient's mailbox takes no more until they come back.
    RecipientFull,
    /// What the relay says of the recipient's devices is not properly signed.
    RecipientNotProven,
    /// Somebody who had been verified in person has another account now.
    ContactChanged {
        /// In display form.
        address: String,
    },
    /// The safety number that was scanned or typed is another.
    SafetyNumberDiffers {
        /// In display form.
        address: String,
    },
    /// What was scanned or typed is no safety number.
    SafetyNumberMalformed,
    /// Too few of the required auditors have co-signed what the relay shows.
    AuditorsMissing {
        /// How many have.
        present: u32,
        /// How many must have.
        required: u32,
    },
    /// An auditor's id is none, there are too many, or more are required than named.
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
    /// The address is another account's now.
    AddressTaken,
    /// Somebody else proved the locked address, and gets it then unless a device objects.
    AddressContested {
        /// When it is theirs.
        until: Timestamp,
    },
    /// The registration lock is not as this device knew it.
    LockChanged {
        /// Whether the address is locked now.
        locked: bool,
    },
    /// The address is another account's, and locked.
    AddressLocked {
        /// For how long it may not be registered without the recovery key, in
        /// milliseconds, where known.
        wait_ms: Option<u64>,
    },
    /// The address can be mistaken for one that is registered.
    AddressConfusable {
        /// As typed.
        address: String,
    },
    /// The relay sent no new code to the address, which got many: the newest one is good.
    CodeSentBefore {
        /// As typed.
        address: String,
    },
    /// The address is registered, and can be mistaken for another that is.
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
    /// Its certificate is not the pinned one.
    WrongPin,
    /// No authority vouches for its certificate, and there is no pin to compare it with.
    RelayNotPinned {
        /// The pin of what answered.
        presented: String,
    },
    /// Too many requests.
    RateLimited {
        /// When to try again, where the relay said so.
        retry_after_ms: Option<u64>,
    },
    /// It cannot store anything now, or does not answer.
    RelayUnavailable,
    /// It speaks no version that this client knows.
    RelayTooDifferent,
    /// It does what no honest relay does.
    RelayMisbehaves {
        /// What that was.
        what: RelayMisdeed,
    },
    /// It refused a request that should have been fine.
    RelayRefused {
        /// What it said.
        detail: String,
    },
    /// Its key log stands still.
    LogStale {
        /// How old the newest head is.
        age_ms: u64,
    },
    /// Its key log is from the future.
    LogAhead {
        /// How far.
        ahead_ms: u64,
    },
    /// A contact's device says that the relay shows it another key log.
    ContactSeesAnotherLog {
        /// In display form.
        address: String,
    },
    /// The relay has not proved what its key log says of this account for more than 24 hours
    /// of use.
    OwnHistoryNotProved,
    /// The relay has not proved which keys some people have for more than 24 hours of use, in
    /// which they were written to.
    ContactsNotProved {
        /// Some of them, in display form.
        addresses: Vec<String>,
        /// How many more there are.
        others: u64,
    },
    /// The key log could not be compared with what some people see for more than 24 hours of
    /// use.
    HeadsNotCompared {
        /// Some of them, in display form.
        addresses: Vec<String>,
        /// How many more there are.
        others: u64,
    },
    /// Its clock and this device's are far apart.
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
    /// A device does not revoke itself.
    DeviceIsThis,
    /// The account has as many devices as it can have.
    DevicesTooMany {
        /// How many there can be.
        limit: u64,
    },
    /// The text is no code of a new device.
    PairingCodeMalformed,
    /// A character of the code is wrong.
    PairingCodeMistyped,
    /// The new device waits on another relay than the account's.
    PairingOtherRelay,
    /// Nobody waits with this code any more.
    PairingCodeDead,
    /// The two devices did not agree on keys.
    PairingNotAgreed,
    /// The two devices lost each other.
    PairingBroken,
    /// The other device's person said no.
    PairingRefused,
    /// No device asks to be admitted.
    PairingNotAsked,
    /// Another device is being linked.
    PairingBusy,
    /// The rest of the history did not come.
    TransferEnded,
    /// The relay did not take a change of the list of devices.
    RosterNotChanged {
        /// What the relay said.
        detail: String,
    },
    /// The words are no recovery key.
    RecoveryWordsMalformed {
        /// What is wrong with them.
        detail: String,
    },
    /// The words are another account's recovery key, or an old one.
    RecoveryWordsOthers,
    /// The relay knows nobody with this address.
    RecoveryAddressUnknown {
        /// As typed.
        address: String,
    },
    /// No recovery waits for a backup file.
    RecoveryNotBegun,
    /// There is no backup.
    BackupNone,
    /// The backup does not open, or is not whole.
    BackupDamaged,
    /// The backup is another account's, or by a device that is not in this one.
    BackupNotOurs,
    /// This account was made before there were backups.
    BackupKeyMissing,
    /// The backup is larger than the relay takes.
    BackupTooLarge,

    // ---- this device ----
    /// No space is left on the disk.
    DiskFull,
    /// The store's file is damaged.
    StoreCorrupted,
    /// The store cannot be opened with this key.
    StoreKeyWrong,
    /// The store's key is not at hand: no passphrase, or a locked keyring.
    StoreKeyUnavailable {
        /// What is missing, and what to do.
        sentence: String,
    },
    /// The store was written by a newer version.
    StoreTooNew,
    /// The process that served the home ended before it answered.
    ServerGone,
    /// Others have, or could have got, at what is in the home folder.
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
    /// A mistake in this program.
    Internal {
        /// For a report.
        detail: String,
    },
    /// A mistake in this program came up while something was processed, which was undone;
    /// everything else goes on.
    WorkUndone {
        /// For a report.
        detail: String,
    },
}

/// What a relay did that no honest one does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RelayMisdeed {
    /// It uses different token keys for different links, which would let it
    /// follow a token to its user.
    TokenKeysDiffer,
    /// Its proof for the tokens does not hold.
    TokenProofFalse,
    /// A roster is not signed as it must be.
    RosterFalse,
    /// Somebody was put into a conversation without being entitled to.
    MemberNotEntitled,
    /// A roster is shorter than it was, or another.
    RosterRolledBack,
    /// Its key log does not prove what it says.
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
    /// It named this account as the owner of an address that is not this account's.
    AnothersWelcome,
    /// It sent what is no message of the protocol.
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

    /// Code and sentence, as the RPC hands them out.
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
    /// [`sentence`](super::sentence()).
    pub sentence: String,
    /// With `code_wrong`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tries_left: Option<u32>,
    /// With `message_too_large` (bytes), `outbox_full` (messages) and `devices_too_many`
    /// (devices).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u64>,
    /// With `rate_limited`, where the relay said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_at: Option<Timestamp>,
}

closed_debug!(ProblemReport);

impl From<&Problem> for ProblemReport {
    fn from(problem: &Problem) -> Self {
        problem.report()
    }
}
