//! Samples of what came with the key log: proofs, heads, devices, backups.

use super::{Values, pb};
use client_frame::Body as Ask;
use relay_frame::Body as Answer;
use waxwing_protocol::pb::{client_frame, relay_frame};

impl Values {
    fn label(&self, name: &str) -> pb::NodeLabel {
        pb::NodeLabel {
            value: self.bytes(name, 32),
            length: 256,
        }
    }

    fn element(&self, name: &str) -> pb::LogElement {
        pb::LogElement {
            label: Some(self.label(name)),
            value: self.bytes(&format!("{name}.value"), 32),
        }
    }

    fn membership(&self, name: &str) -> pb::MembershipProof {
        pb::MembershipProof {
            label: Some(self.label(name)),
            value: self.bytes(&format!("{name}.value"), 32),
            siblings: vec![pb::SiblingProof {
                label: Some(self.label(&format!("{name}.parent"))),
                sibling: Some(self.element(&format!("{name}.sibling"))),
                right: true,
            }],
        }
    }

    fn non_membership(&self, name: &str) -> pb::NonMembershipProof {
        pb::NonMembershipProof {
            label: Some(self.label(name)),
            longest_prefix: Some(self.label(&format!("{name}.prefix"))),
            left: Some(self.element(&format!("{name}.left"))),
            right: Some(self.element(&format!("{name}.right"))),
            longest_prefix_proof: Some(self.membership(&format!("{name}.proof"))),
        }
    }

    /// A head with its signature.
    pub fn signed_head(&self) -> pb::SignedHead {
        pb::SignedHead {
            head: self.bytes("head", 180),
            signature: Some(self.signature("head")),
        }
    }

    fn view(&self) -> pb::LogView {
        pb::LogView {
            head: Some(self.signed_head()),
            links: vec![self.bytes("link 1", 180), self.bytes("link 2", 180)],
            cosignatures: vec![pb::CoSignature {
                statement: self.bytes("cosigned", 150),
                signature: Some(self.signature("cosignature")),
                auditor_key: Some(self.public_key("auditor")),
            }],
        }
    }
}

/// What clients ask.
pub fn asks(v: &Values) -> Vec<(&'static str, Ask)> {
    vec![
        (
            "change_roster",
            Ask::ChangeRoster(pb::ChangeRoster {
                account_id: v.bytes("account_id", 32),
                address: v.text("address"),
                statement: Some(v.statement("next")),
                newcomer: None,
            }),
        ),
        (
            "fetch_log_identity",
            Ask::FetchLogIdentity(pb::FetchLogIdentity {}),
        ),
        (
            "fetch_heads",
            Ask::FetchHeads(pb::FetchHeads {
                known: vec![v.number("known 1"), v.number("known 2")],
            }),
        ),
        (
            "fetch_history",
            Ask::FetchHistory(pb::FetchHistory {
                address: v.text("address"),
                known_head: v.number("known_head"),
                most_recent: v.small("most_recent"),
            }),
        ),
        (
            "set_lock",
            Ask::SetLock(pb::SetLock {
                address: v.text("address"),
                locked: true,
            }),
        ),
        ("keep_address", Ask::KeepAddress(pb::KeepAddress {})),
        (
            "put_backup",
            Ask::PutBackup(pb::PutBackup {
                backup_id: v.bytes("backup_id", 16),
                index: v.small("index"),
                part: v.bytes("part", 300),
            }),
        ),
        (
            "finish_backup",
            Ask::FinishBackup(pb::FinishBackup {
                backup_id: v.bytes("backup_id", 16),
                parts: v.small("parts"),
            }),
        ),
        (
            "fetch_backup",
            Ask::FetchBackup(pb::FetchBackup {
                index: v.small("index"),
            }),
        ),
        (
            "look_up_after_head",
            Ask::LookUp(pb::LookUp {
                address: v.text("address"),
                known_head: v.number("known_head"),
            }),
        ),
        (
            "claim_key_packages_of_devices",
            Ask::ClaimKeyPackages(pb::ClaimKeyPackages {
                address: v.text("address"),
                token: Some(v.token()),
                device_ids: vec![v.bytes("device_id", 32)],
            }),
        ),
        (
            "join_rendezvous_new_number",
            Ask::JoinRendezvous(pb::JoinRendezvous {
                at: Some(pb::join_rendezvous::At::NewNumber(true)),
            }),
        ),
        (
            "join_rendezvous_number",
            Ask::JoinRendezvous(pb::JoinRendezvous {
                at: Some(pb::join_rendezvous::At::Number(v.small("number"))),
            }),
        ),
        (
            "join_rendezvous_id",
            Ask::JoinRendezvous(pb::JoinRendezvous {
                at: Some(pb::join_rendezvous::At::RendezvousId(
                    v.bytes("rendezvous_id", 16),
                )),
            }),
        ),
        (
            "send_rendezvous",
            Ask::SendRendezvous(pb::SendRendezvous {
                body: v.bytes("body", 300),
            }),
        ),
        (
            "leave_rendezvous",
            Ask::LeaveRendezvous(pb::LeaveRendezvous {}),
        ),
    ]
}

/// What relays answer.
pub fn answers(v: &Values) -> Vec<(&'static str, Answer)> {
    vec![
        (
            "hello_with_log",
            Answer::Hello(pb::Hello {
                versions: vec![1],
                challenge: v.bytes("challenge", 32),
                token_key: v.bytes("token_key", 32),
                now_ms: v.number("now"),
                log_id: v.bytes("log_id", 32),
                token_period: 0,
            }),
        ),
        (
            "hello_with_token_period",
            Answer::Hello(pb::Hello {
                versions: vec![1],
                challenge: v.bytes("challenge", 32),
                token_key: v.bytes("token_key", 32),
                now_ms: v.number("now"),
                log_id: v.bytes("log_id", 32),
                token_period: 1387,
            }),
        ),
        (
            "roster_changed",
            Answer::RosterChanged(pb::RosterChanged {
                mailbox_id: v.bytes("mailbox_id", 16),
            }),
        ),
        (
            "log_identity_fetched",
            Answer::LogIdentityFetched(pb::LogIdentityFetched {
                identity: Some(pb::LogIdentity {
                    statement: v.bytes("identity", 2100),
                    signature: v.bytes("relay signature", 71),
                }),
            }),
        ),
        (
            "heads_fetched",
            Answer::HeadsFetched(pb::HeadsFetched {
                log: Some(v.view()),
            }),
        ),
        (
            "history_fetched",
            Answer::HistoryFetched(Box::new(pb::HistoryFetched {
                log: Some(v.view()),
                proof: Some(pb::HistoryProof {
                    updates: vec![pb::UpdateProof {
                        epoch: v.number("epoch"),
                        value: v.bytes("entry", 90),
                        version: v.number("version"),
                        existence_vrf_proof: v.bytes("existence", 80),
                        existence_proof: Some(v.membership("existence")),
                        previous_vrf_proof: v.bytes("previous", 80),
                        previous_proof: Some(v.membership("previous")),
                        commitment_nonce: v.bytes("nonce", 32),
                    }],
                    past_marker_vrf_proofs: vec![v.bytes("past", 80)],
                    past_marker_proofs: vec![v.membership("past")],
                    future_marker_vrf_proofs: vec![v.bytes("future", 80)],
                    future_marker_proofs: vec![v.non_membership("future")],
                }),
                roster: vec![v.statement("first")],
            })),
        ),
        (
            "account_changed",
            Answer::AccountChanged(pb::AccountChanged {}),
        ),
        (
            "address_contested",
            Answer::AddressContested(pb::AddressContested {
                since_ms: v.number("since"),
                until_ms: v.number("until"),
            }),
        ),
        (
            "backup_fetched",
            Answer::BackupFetched(pb::BackupFetched {
                backup_id: v.bytes("backup_id", 16),
                parts: v.small("parts"),
                made_at_ms: v.number("made_at"),
                part: v.bytes("part", 300),
            }),
        ),
        (
            "looked_up_with_proof",
            Answer::LookedUp(Box::new(pb::LookedUp {
                account_id: v.bytes("account_id", 32),
                roster: vec![v.statement("first")],
                address: v.text("address"),
                log: Some(v.view()),
                proof: Some(pb::LookUpProof {
                    epoch: v.number("epoch"),
                    value: v.bytes("entry", 90),
                    version: v.number("version"),
                    existence_vrf_proof: v.bytes("existence", 80),
                    existence_proof: Some(v.membership("existence")),
                    marker_vrf_proof: v.bytes("marker", 80),
                    marker_proof: Some(v.membership("marker")),
                    freshness_vrf_proof: v.bytes("freshness", 80),
                    freshness_proof: Some(v.non_membership("freshness")),
                    commitment_nonce: v.bytes("nonce", 32),
                }),
            })),
        ),
        (
            "rendezvous_joined",
            Answer::RendezvousJoined(pb::RendezvousJoined {
                number: v.small("number"),
                met: true,
            }),
        ),
        (
            "rendezvous_message",
            Answer::RendezvousMessage(pb::RendezvousMessage {
                body: v.bytes("body", 300),
            }),
        ),
        (
            "rendezvous_left",
            Answer::RendezvousLeft(pb::RendezvousLeft {}),
        ),
    ]
}
