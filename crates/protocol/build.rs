//! Compiles `proto/` with protox (pure Rust: no protoc to install) and prost.

use std::io::Error;

/// Messages whose content is shown by no `Debug`.
const CLOSED: [&str; 71] = [
    "Signal",
    "Signalled",
    "StartRegistration",
    "FinishRegistration",
    "LookUp",
    "LookedUp",
    "ClaimKeyPackages",
    "LeafCredential",
    "Token",
    "CreateGroup",
    "AuthorisePosting",
    "Post",
    "Rejoin",
    "FanOut",
    "ConversationSecrets",
    "MemberAddress",
    "ConversationState",
    "Invitation",
    "AskToJoin",
    "Profile",
    "Envelope",
    "ChangeRoster",
    "FetchHistory",
    "HistoryFetched",
    "SetLock",
    "PutBackup",
    "BackupFetched",
    "SendRendezvous",
    "RendezvousMessage",
    "LookUpProof",
    "UpdateProof",
    "PairingMessage",
    "PairingHello",
    "PairingReply",
    "PairingConfirm",
    "PairingWords",
    "DeviceOffer",
    "DeviceProposal",
    "DeviceConsent",
    "TransferWords",
    "TransferPull",
    "Admission",
    "TransferChunk",
    "ArchiveChunk",
    "ArchiveCursor",
    "ArchiveRecord",
    "BackupOrigin",
    "ArchivedSettings",
    "ArchivedAuditor",
    "ArchivedDevice",
    "ArchivedContact",
    "ArchivedStatements",
    "ArchivedConversation",
    "ArchivedMany",
    "ArchivedMember",
    "ArchivedGroup",
    "ArchivedHeard",
    "ArchivedEntry",
    "ArchivedMessage",
    "ArchivedGap",
    "OpenBlob",
    "PutBlobPart",
    "BlobPartFetched",
    "Register",
    "Registers",
    "ArchivedAmendment",
    "SendSms",
    "SealedForDevice",
    "SmsRecord",
    "SmsCame",
    "SmsTaken",
];

fn main() -> Result<(), Error> {
    println!("cargo:rerun-if-changed=proto");
    let files = [
        "link", "account", "group", "log", "content", "pairing", "archive", "blob", "sms",
    ]
    .map(|name| format!("waxwing/v1/{name}.proto"));
    let descriptors = protox::compile(files, ["proto"]).map_err(Error::other)?;
    prost_build::Config::new()
        // Bodies are handed from a frame to mailboxes without a copy.
        .bytes(["."])
        // They are much larger than the others of their kind.
        .boxed(".waxwing.v1.RelayFrame.body.looked_up")
        .boxed(".waxwing.v1.RelayFrame.body.history_fetched")
        // They hold an address, a code, a key, a token or a text: `src/closed.rs` gives
        // them a `Debug` that shows none.
        .skip_debug(CLOSED.map(|name| format!(".waxwing.v1.{name}")))
        .compile_fds(descriptors)
}
