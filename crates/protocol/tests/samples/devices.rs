//! Samples of what two devices say to each other, and of the archive that one hands over.

use bytes::Bytes;
use prost::Message as _;

use super::{Values, pb};
use pb::{
    archive_record::Record, archived_entry::Kind, pairing_message::Body as Pairing,
    pairing_words::Body as Words, transfer_words::Body as Transfer,
};

impl Values {
    fn device_entry(&self) -> pb::DeviceEntry {
        pb::DeviceEntry {
            identity: Some(self.public_key("identity")),
            leaf_key: self.bytes("leaf", 32),
            leaf_key_proof: Bytes::new(),
        }
    }

    fn proposal(&self) -> pb::DeviceProposal {
        pb::DeviceProposal {
            roster: vec![self.statement("first")],
            address: self.text("address"),
            statement: self.bytes("statement", 100),
            transfer_id: self.bytes("transfer_id", 16),
            transfer_key: self.bytes("transfer_key", 32),
        }
    }

    fn consent(&self) -> pb::DeviceConsent {
        pb::DeviceConsent {
            signature: Some(self.signature("consent")),
        }
    }

    fn cursor(&self) -> pb::ArchiveCursor {
        pb::ArchiveCursor {
            section: 5,
            id: self.bytes("cursor", 16),
            row: 7,
            last_row: 700,
            done: self.number("done"),
            total: self.number("total"),
        }
    }

    fn chunk(&self) -> pb::ArchiveChunk {
        let records = [
            Record::Origin(pb::BackupOrigin {
                account_id: self.bytes("account_id", 32),
                device_id: self.bytes("device_id", 32),
                made_at_ms: self.number("made_at_ms"),
                signature: Some(self.signature("origin")),
            }),
            Record::Settings(pb::ArchivedSettings {
                tell_delivered: true,
                tell_read: false,
                backup_key: self.bytes("backup_key", 1216),
                auditors: vec![pb::ArchivedAuditor {
                    id: self.bytes("auditor", 32),
                    name: self.text("auditor"),
                }],
                auditors_required: 1,
            }),
            Record::Device(pb::ArchivedDevice {
                device_id: self.bytes("device_id", 32),
                name: self.text("device"),
            }),
            Record::Contact(pb::ArchivedContact {
                account_id: self.bytes("contact", 32),
                address: self.text("contact"),
                verified: true,
                blocked: true,
                looked_up_at_ms: self.number("looked_up_at_ms"),
                roster: vec![self.statement("contact")],
                compared: true,
            }),
            Record::Statements(pb::ArchivedStatements {
                account_id: self.bytes("contact", 32),
                position: 1,
                statements: vec![self.statement("second")],
            }),
            Record::Conversation(pb::ArchivedConversation {
                id: self.bytes("conversation", 16),
                address: self.text("contact"),
                account_id: self.bytes("contact", 32),
                written_to: true,
                started_at_ms: self.number("started_at_ms"),
                stopped: true,
                many: None,
                notes: false,
                timer_s: 0,
                timer_at_ms: 0,
                sms: false,
            }),
            Record::Group(pb::ArchivedGroup {
                group_id: self.bytes("group_id", 16),
                conversation: self.bytes("conversation", 16),
                account_id: self.bytes("contact", 32),
                rejoin_secret: self.bytes("rejoin_secret", 32),
                heard: vec![pb::ArchivedHeard {
                    device_id: self.bytes("heard", 32),
                    up_to: self.number("up_to"),
                }],
                generation: 0,
            }),
            self.entry(Kind::Message(pb::ArchivedMessage {
                id: self.bytes("message", 32),
                account_id: self.bytes("contact", 32),
                verified: true,
                outgoing: true,
                text: self.text("text"),
                content: Some(self.bytes("content", 60)),
                reply_to: self.bytes("reply_to", 32),
                sent_at_ms: self.number("sent_at_ms"),
                state: 3,
                problem: self.text("problem"),
                read: true,
                expires_after_s: 0,
                expires_at_ms: 0,
                proof: Bytes::new(),
                imported: false,
                sms_details: String::new(),
            })),
            self.entry(Kind::Event("identity_reset".into())),
            self.entry(Kind::Gap(pb::ArchivedGap {
                group_id: self.bytes("group_id", 16),
                device_id: self.bytes("heard", 32),
                missing: 2,
            })),
        ];
        let records = records.map(|record| pb::ArchiveRecord {
            record: Some(record),
        });
        pb::ArchiveChunk {
            version: 1,
            records: records.into(),
            next: Some(self.cursor()),
            done: self.number("done"),
            total: self.number("total"),
        }
    }

    fn entry(&self, kind: Kind) -> Record {
        Record::Entry(pb::ArchivedEntry {
            conversation: self.bytes("conversation", 16),
            place: -7,
            address: self.text("contact"),
            at_ms: self.number("at_ms"),
            kind: Some(kind),
            by: String::new(),
            detail: String::new(),
        })
    }
}

/// What devices say and hand over, by name.
pub fn messages(v: &Values) -> Vec<(&'static str, Vec<u8>)> {
    let pairing = |body| pb::PairingMessage { body: Some(body) }.encode_to_vec();
    let words = |body| pb::PairingWords { body: Some(body) }.encode_to_vec();
    let transfer = |body| pb::TransferWords { body: Some(body) }.encode_to_vec();
    vec![
        (
            "pairing_hello",
            pairing(Pairing::Hello(pb::PairingHello {
                pake: v.bytes("pake", 33),
                kem_key: v.bytes("kem_key", 1216),
            })),
        ),
        (
            "pairing_reply",
            pairing(Pairing::Reply(pb::PairingReply {
                pake: v.bytes("pake", 33),
                kem_ciphertext: v.bytes("kem_ciphertext", 1120),
                confirmation: v.bytes("confirmation", 32),
            })),
        ),
        (
            "pairing_confirm",
            pairing(Pairing::Confirm(pb::PairingConfirm {
                confirmation: v.bytes("confirmation", 32),
            })),
        ),
        (
            "pairing_sealed",
            pairing(Pairing::Sealed(v.bytes("sealed", 200))),
        ),
        (
            "pairing_words_offer",
            words(Words::Offer(pb::DeviceOffer {
                entry: Some(v.device_entry()),
                name: v.text("name"),
            })),
        ),
        (
            "pairing_words_proposal",
            words(Words::Proposal(v.proposal())),
        ),
        ("pairing_words_consent", words(Words::Consent(v.consent()))),
        (
            "pairing_words_refused",
            words(Words::Refused(pb::PairingRefused {})),
        ),
        (
            "transfer_pull",
            transfer(Transfer::Pull(pb::TransferPull {
                admission: true,
                index: v.number("index"),
                cursor: Some(v.cursor()),
            })),
        ),
        (
            "transfer_admission",
            transfer(Transfer::Admission(pb::Admission {
                statement: Some(v.statement("admission")),
                mailbox_id: v.bytes("mailbox_id", 16),
                backup_key: v.bytes("backup_key", 1216),
            })),
        ),
        (
            "transfer_proposal",
            transfer(Transfer::Proposal(v.proposal())),
        ),
        ("transfer_consent", transfer(Transfer::Consent(v.consent()))),
        (
            "transfer_chunk",
            transfer(Transfer::Chunk(pb::TransferChunk {
                index: v.number("index"),
                chunk: Some(v.chunk()),
            })),
        ),
        (
            "transfer_done",
            transfer(Transfer::Done(pb::TransferDone {})),
        ),
        (
            "transfer_refused",
            transfer(Transfer::Refused(pb::PairingRefused {})),
        ),
        ("archive_chunk", v.chunk().encode_to_vec()),
    ]
}
