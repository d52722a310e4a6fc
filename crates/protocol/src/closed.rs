//! Wire messages whose `Debug` shows nothing of their content.
//!
//! **Elsewhere**: the list in `build.rs` is the same; a message that is in one and not in
//! the other does not compile.
//!
//! **Always**: a `Debug` in a log or a failed assertion gives a name, and never an
//! address, a code, a key, a token, a mailbox of a group or a text.

use std::fmt;

use crate::pb;

macro_rules! closed {
    ($($message:path),+ $(,)?) => {$(
        impl fmt::Debug for $message {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let path = stringify!($message);
                let name = path.split_once("::").map_or(path, |(_, name)| name);
                write!(f, "{name}(…)")
            }
        }
    )+};
}

closed!(
    pb::StartRegistration,
    pb::FinishRegistration,
    pb::LookUp,
    pb::LookedUp,
    pb::ClaimKeyPackages,
    pb::LeafCredential,
    pb::Token,
    pb::CreateGroup,
    pb::AuthorisePosting,
    pb::Post,
    pb::Rejoin,
    pb::FanOut,
    pb::ConversationSecrets,
    pb::MemberAddress,
    pb::ConversationState,
    pb::Invitation,
    pb::Register,
    pb::Registers,
    pb::Signal,
    pb::Signalled,
    pb::OpenBlob,
    pb::PutBlobPart,
    pb::BlobPartFetched,
    pb::Envelope,
    pb::AskToJoin,
    pb::Profile,
    pb::envelope::Body,
    pb::ChangeRoster,
    pb::FetchHistory,
    pb::HistoryFetched,
    pb::SetLock,
    pb::PutBackup,
    pb::BackupFetched,
    pb::SendRendezvous,
    pb::RendezvousMessage,
    pb::LookUpProof,
    pb::UpdateProof,
    pb::PairingMessage,
    pb::PairingHello,
    pb::PairingReply,
    pb::PairingConfirm,
    pb::PairingWords,
    pb::DeviceOffer,
    pb::DeviceProposal,
    pb::DeviceConsent,
    pb::TransferWords,
    pb::TransferPull,
    pb::Admission,
    pb::TransferChunk,
    pb::ArchiveChunk,
    pb::ArchiveCursor,
    pb::ArchiveRecord,
    pb::BackupOrigin,
    pb::ArchivedSettings,
    pb::ArchivedDevice,
    pb::ArchivedContact,
    pb::ArchivedStatements,
    pb::ArchivedConversation,
    pb::ArchivedGroup,
    pb::ArchivedEntry,
    pb::ArchivedMessage,
    pb::ArchivedMany,
    pb::ArchivedMember,
    pb::ArchivedAmendment,
    pb::SendSms,
    pb::SealedForDevice,
    pb::SmsRecord,
    pb::SmsCame,
    pb::SmsTaken,
    pb::archived_amendment::Amends,
    pb::ArchivedGap,
    pb::pairing_message::Body,
    pb::pairing_words::Body,
    pb::transfer_words::Body,
    pb::archive_record::Record,
    pb::archived_entry::Kind,
);
