//! One of each wire message, filled from a seed.
//!
//! The frozen vectors are these with the seed `0`, the property tests use any. A value
//! depends on the seed and its name only, so that a message can be added without
//! changing another.
//!
//! **Always.** A message that is here is not changed any more: a new field goes into a
//! further sample, under a name of its own.

#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "for tests, each of which uses a part of it"
)]

mod blobs;
pub mod devices;
pub mod frozen;
mod log;
mod sms;

use bytes::Bytes;
use prost::Message;
use sha2::{Digest as _, Sha256};
use waxwing_protocol::pb::{
    self, ClientFrame, RelayFrame, client_frame, relay_frame,
    statement::{Change, Signer},
};

/// Gives each named value of a message.
pub struct Values(pub u64);

impl Values {
    /// `length` bytes.
    pub fn bytes(&self, name: &str, length: usize) -> Bytes {
        let mut bytes = Vec::new();
        for block in 0_u64.. {
            if bytes.len() >= length {
                break;
            }
            let mut hash = Sha256::new();
            hash.update(self.0.to_be_bytes());
            hash.update(block.to_be_bytes());
            hash.update(name);
            bytes.extend_from_slice(&hash.finalize());
        }
        bytes.truncate(length);
        bytes.into()
    }

    /// A number of up to 64 bits, small ones as likely as large ones.
    pub fn number(&self, name: &str) -> u64 {
        let bytes = self.bytes(name, 9);
        let number = u64::from_be_bytes(bytes[..8].try_into().unwrap());
        number >> (bytes[8] % 64)
    }

    /// A number of up to 32 bits.
    pub fn small(&self, name: &str) -> u32 {
        (self.number(name) & u64::from(u32::MAX)) as u32
    }

    /// A text.
    pub fn text(&self, name: &str) -> String {
        data_encoding::BASE32_NOPAD
            .encode(&self.bytes(name, 20))
            .to_lowercase()
    }

    fn signature(&self, name: &str) -> pb::HybridSignature {
        pb::HybridSignature {
            ed25519: self.bytes(&format!("{name}.ed25519"), 64),
            ml_dsa_65: self.bytes(&format!("{name}.ml_dsa_65"), 3309),
        }
    }

    fn public_key(&self, name: &str) -> pb::HybridPublicKey {
        pb::HybridPublicKey {
            ed25519: self.bytes(&format!("{name}.ed25519"), 32),
            ml_dsa_65: self.bytes(&format!("{name}.ml_dsa_65"), 1952),
        }
    }

    fn statement(&self, name: &str) -> pb::SignedStatement {
        pb::SignedStatement {
            statement: self.bytes(&format!("{name}.statement"), 100),
            signature: Some(self.signature(&format!("{name}.signature"))),
            consent: None,
        }
    }

    fn token(&self) -> pb::Token {
        pb::Token {
            input: self.bytes("token.input", 32),
            output: self.bytes("token.output", 64),
        }
    }

    fn epoch_keys(&self) -> pb::EpochKeys {
        pb::EpochKeys {
            send_key: self.bytes("send_key", 32),
            sealed_fan_out: self.bytes("sealed_fan_out", 76),
            sealed_group_info: self.bytes("sealed_group_info", 300),
            rejoin_key: bytes::Bytes::new(),
        }
    }
}

/// One client frame of each kind, by name.
pub fn client_frames(v: &Values) -> Vec<(&'static str, ClientFrame)> {
    use client_frame::Body;
    [
        (
            "open",
            Body::Open(pb::Open {
                version: v.small("version"),
            }),
        ),
        ("ping", Body::Ping(pb::Ping {})),
        (
            "start_registration",
            Body::StartRegistration(pb::StartRegistration {
                address: format!("{}@example.org", v.text("address")),
                device_id: v.bytes("device_id", 32),
            }),
        ),
        (
            "finish_registration",
            Body::FinishRegistration(pb::FinishRegistration {
                registration_id: v.bytes("registration_id", 16),
                code: "01234567".into(),
                roster: vec![v.statement("first")],
                signature: Some(v.signature("finish")),
            }),
        ),
        (
            "login",
            Body::Login(pb::Login {
                device_id: v.bytes("device_id", 32),
                signature: Some(v.signature("login")),
            }),
        ),
        (
            "publish_key_packages",
            Body::PublishKeyPackages(pb::PublishKeyPackages {
                key_packages: vec![v.bytes("key package 1", 120), v.bytes("key package 2", 121)],
                last_resort: v.bytes("last resort", 122),
                replace: true,
            }),
        ),
        (
            "issue_tokens",
            Body::IssueTokens(pb::IssueTokens {
                blinded: vec![v.bytes("blinded 1", 32), v.bytes("blinded 2", 32)],
            }),
        ),
        (
            "acknowledge",
            Body::Acknowledge(pb::Acknowledge {
                sequence: v.number("sequence"),
            }),
        ),
        (
            "look_up_address",
            Body::LookUp(pb::LookUp {
                address: v.text("address"),
                known_head: 0,
            }),
        ),
        // Of the first version: the account id is not read any more.
        ("look_up_account", Body::LookUp(pb::LookUp::default())),
        (
            "claim_key_packages",
            Body::ClaimKeyPackages(pb::ClaimKeyPackages {
                address: v.text("address"),
                token: Some(v.token()),
                device_ids: Vec::new(),
            }),
        ),
        (
            "create_group",
            Body::CreateGroup(pb::CreateGroup {
                group_id: v.bytes("group_id", 16),
                token: Some(v.token()),
                epoch: v.number("epoch"),
                keys: Some(v.epoch_keys()),
                rejoin_key: v.bytes("rejoin_key", 32),
                fan_out_key: v.bytes("fan_out_key", 32),
                post_id: v.bytes("post_id", 16),
                welcome: v.bytes("welcome", 400),
            }),
        ),
        (
            "authorise_posting",
            Body::AuthorisePosting(pb::AuthorisePosting {
                group_id: v.bytes("group_id", 16),
                epoch: v.number("epoch"),
                fan_out_key: v.bytes("fan_out_key", 32),
                signature: v.bytes("posting signature", 64),
            }),
        ),
        (
            "post_message",
            Body::Post(pb::Post {
                group_id: v.bytes("group_id", 16),
                epoch: v.number("epoch"),
                kind: pb::PostKind::Message.into(),
                post_id: v.bytes("post_id", 16),
                body: v.bytes("body", 300),
                next: None,
                next_fan_out_key: Bytes::new(),
                welcome: Bytes::new(),
                first_attempt: false,
            }),
        ),
        (
            "post_first_attempt",
            Body::Post(pb::Post {
                group_id: v.bytes("group_id", 16),
                epoch: v.number("epoch"),
                kind: pb::PostKind::Message.into(),
                post_id: v.bytes("post_id", 16),
                body: v.bytes("body", 300),
                next: None,
                next_fan_out_key: Bytes::new(),
                welcome: Bytes::new(),
                first_attempt: true,
            }),
        ),
        (
            "post_commit",
            Body::Post(pb::Post {
                group_id: v.bytes("group_id", 16),
                epoch: v.number("epoch"),
                kind: pb::PostKind::Commit.into(),
                post_id: v.bytes("post_id", 16),
                body: v.bytes("body", 300),
                next: Some(v.epoch_keys()),
                next_fan_out_key: v.bytes("next_fan_out_key", 32),
                welcome: v.bytes("welcome", 400),
                first_attempt: false,
            }),
        ),
        (
            "fetch_group_info",
            Body::FetchGroupInfo(pb::FetchGroupInfo {
                group_id: v.bytes("group_id", 16),
                signature: v.bytes("fetch signature", 64),
            }),
        ),
        (
            "rejoin",
            Body::Rejoin(pb::Rejoin {
                group_id: v.bytes("group_id", 16),
                epoch: v.number("epoch"),
                post_id: v.bytes("post_id", 16),
                body: v.bytes("body", 300),
                next: Some(v.epoch_keys()),
                next_fan_out_key: v.bytes("next_fan_out_key", 32),
                signature: v.bytes("rejoin signature", 64),
            }),
        ),
    ]
    .into_iter()
    .chain(log::asks(v))
    .chain(blobs::asks(v))
    .chain(sms::asks(v))
    .map(|(name, body)| {
        (
            name,
            ClientFrame {
                request: v.small("request"),
                body: Some(body),
            },
        )
    })
    .collect()
}

/// One relay frame of each kind, by name.
pub fn relay_frames(v: &Values) -> Vec<(&'static str, RelayFrame)> {
    use relay_frame::Body;
    [
        (
            "hello",
            Body::Hello(pb::Hello {
                versions: vec![2, 1],
                challenge: v.bytes("challenge", 32),
                token_key: v.bytes("token_key", 32),
                now_ms: v.number("now"),
                log_id: Bytes::new(),
                token_period: 0,
            }),
        ),
        ("pong", Body::Pong(pb::Pong {})),
        (
            "error",
            Body::Error(pb::Error {
                code: pb::ErrorCode::RateLimited.into(),
                detail: v.text("detail"),
                retry_after_ms: v.number("retry_after"),
                epoch: v.number("epoch"),
                tries_left: v.small("tries_left"),
            }),
        ),
        ("done", Body::Done(pb::Done {})),
        (
            "registration_started",
            Body::RegistrationStarted(pb::RegistrationStarted {
                registration_id: v.bytes("registration_id", 16),
                expires_at_ms: v.number("expires_at"),
                sent_before: false,
            }),
        ),
        (
            "registered",
            Body::Registered(pb::Registered {
                mailbox_id: v.bytes("mailbox_id", 16),
                looks_like_another: false,
            }),
        ),
        (
            "logged_in",
            Body::LoggedIn(pb::LoggedIn {
                mailbox_id: v.bytes("mailbox_id", 16),
                acknowledged: v.number("acknowledged"),
                key_packages_left: v.small("key_packages_left"),
                last_resort: true,
            }),
        ),
        (
            "key_packages_published",
            Body::KeyPackagesPublished(pb::KeyPackagesPublished {
                key_packages_left: v.small("key_packages_left"),
            }),
        ),
        (
            "tokens_issued",
            Body::TokensIssued(pb::TokensIssued {
                evaluated: vec![v.bytes("evaluated 1", 32), v.bytes("evaluated 2", 32)],
                proof: v.bytes("proof", 64),
                token_key: v.bytes("token_key", 32),
            }),
        ),
        (
            "deliver",
            Body::Deliver(pb::Deliver {
                sequence: v.number("sequence"),
                group_id: v.bytes("group_id", 16),
                group_sequence: v.number("group_sequence"),
                kind: pb::PostKind::Welcome.into(),
                epoch: v.number("epoch"),
                post_id: v.bytes("post_id", 16),
                body: v.bytes("body", 300),
                received_at_ms: v.number("received_at"),
                missed: false,
            }),
        ),
        (
            "key_packages_low",
            Body::KeyPackagesLow(pb::KeyPackagesLow {
                key_packages_left: v.small("key_packages_left"),
            }),
        ),
        (
            "looked_up",
            Body::LookedUp(Box::new(pb::LookedUp {
                account_id: v.bytes("account_id", 32),
                roster: vec![v.statement("first")],
                address: v.text("address"),
                ..pb::LookedUp::default()
            })),
        ),
        (
            "key_packages_claimed",
            Body::KeyPackagesClaimed(pb::KeyPackagesClaimed {
                account_id: v.bytes("account_id", 32),
                // The roster of the first version is not read any more.
                key_packages: vec![pb::ClaimedKeyPackage {
                    device_id: v.bytes("device_id", 32),
                    mailbox_id: v.bytes("mailbox_id", 16),
                    key_package: v.bytes("key package 1", 120),
                }],
            }),
        ),
        (
            "posted",
            Body::Posted(pb::Posted {
                group_sequence: v.number("group_sequence"),
                epoch: v.number("epoch"),
            }),
        ),
        (
            "group_info_fetched",
            Body::GroupInfoFetched(pb::GroupInfoFetched {
                epoch: v.number("epoch"),
                sealed_group_info: v.bytes("sealed_group_info", 300),
            }),
        ),
        (
            "posting_authorised",
            Body::PostingAuthorised(pb::PostingAuthorised {
                epoch: v.number("epoch"),
            }),
        ),
    ]
    .into_iter()
    .chain(log::answers(v))
    .chain(blobs::answers(v))
    .chain(sms::answers(v))
    .map(|(name, body)| {
        (
            name,
            RelayFrame {
                request: v.small("request"),
                body: Some(body),
            },
        )
    })
    .collect()
}

/// What is signed or sealed, and so kept for ever: one of each, encoded, by name.
pub fn kept_messages(v: &Values) -> Vec<(&'static str, Vec<u8>)> {
    let statement = |signer, change| pb::Statement {
        version: 1,
        previous: v.bytes("previous", 32),
        position: v.number("position"),
        made_at_ms: v.number("made_at"),
        signer: Some(signer),
        change: Some(change),
    };
    let by_device = Signer::DeviceId(v.bytes("device_id", 32));
    let entry = || pb::DeviceEntry {
        identity: Some(v.public_key("identity")),
        leaf_key: v.bytes("leaf_key", 32),
        leaf_key_proof: Bytes::new(),
    };
    let envelope = |body| pb::Envelope {
        counter: v.number("counter"),
        body: Some(body),
        sent_at_ms: v.number("sent_at"),
        head: None,
        signature: Bytes::new(),
        padding: vec![0; 50].into(),
    };
    vec![
        (
            "statement_create_account",
            statement(
                by_device.clone(),
                Change::CreateAccount(pb::CreateAccount {
                    device: Some(entry()),
                    recovery_key: Some(v.public_key("recovery")),
                    nonce: v.bytes("nonce", 32),
                }),
            )
            .encode_to_vec(),
        ),
        (
            "statement_add_device",
            statement(by_device.clone(), Change::AddDevice(entry())).encode_to_vec(),
        ),
        (
            "statement_add_device_with_leaf_key_proof",
            statement(
                by_device.clone(),
                Change::AddDevice(pb::DeviceEntry {
                    leaf_key_proof: v.bytes("leaf_key_proof", 64),
                    ..entry()
                }),
            )
            .encode_to_vec(),
        ),
        (
            "statement_revoke_device",
            statement(
                Signer::RecoveryKey(true),
                Change::RevokeDevice(v.bytes("revoked", 32)),
            )
            .encode_to_vec(),
        ),
        (
            "statement_set_recovery_key",
            statement(
                Signer::RecoveryKey(true),
                Change::SetRecoveryKey(v.public_key("new recovery")),
            )
            .encode_to_vec(),
        ),
        (
            "statement_set_leaf_key",
            statement(by_device, Change::SetLeafKey(v.bytes("new leaf", 32))).encode_to_vec(),
        ),
        (
            "leaf_credential_without_address",
            pb::LeafCredential {
                account_id: v.bytes("account_id", 32),
                device_id: v.bytes("device_id", 32),
                mailbox_id: v.bytes("mailbox_id", 16),
            }
            .encode_to_vec(),
        ),
        (
            "fan_out",
            pb::FanOut {
                mailboxes: vec![v.bytes("mailbox 1", 16), v.bytes("mailbox 2", 16)],
            }
            .encode_to_vec(),
        ),
        (
            "conversation_secrets",
            pb::ConversationSecrets {
                rejoin_secret: v.bytes("rejoin_secret", 32),
                addresses: Vec::new(),
                state: None,
            }
            .encode_to_vec(),
        ),
        (
            "conversation_secrets_with_addresses",
            pb::ConversationSecrets {
                rejoin_secret: v.bytes("rejoin_secret", 32),
                addresses: ["alice", "bob"]
                    .into_iter()
                    .map(|name| pb::MemberAddress {
                        account_id: v.bytes(name, 32),
                        address: format!("{name}@example.org"),
                    })
                    .collect(),
                state: None,
            }
            .encode_to_vec(),
        ),
        (
            "conversation_secrets_of_many",
            pb::ConversationSecrets {
                rejoin_secret: v.bytes("rejoin_secret", 32),
                addresses: vec![pb::MemberAddress {
                    account_id: v.bytes("alice", 32),
                    address: "alice@example.org".into(),
                }],
                state: Some(pb::ConversationState {
                    conversation_id: v.bytes("conversation", 16),
                    generation: 2,
                    name: "Family".into(),
                    picture: v.bytes("picture", 40),
                    admins: vec![v.bytes("alice", 32)],
                    everybody_adds: true,
                    expires_after_s: 604_800,
                    invitations: vec![pb::Invitation {
                        secret_hash: v.bytes("secret_hash", 32),
                        needs_approval: true,
                        expires_at_ms: 1_800_000_000_000,
                    }],
                }),
            }
            .encode_to_vec(),
        ),
        (
            "parcel",
            pb::Parcel {
                blob_id: v.bytes("blob_id", 32),
                bytes: 2_621_440,
                sha256: v.bytes("sha256", 32),
            }
            .encode_to_vec(),
        ),
        (
            "preview",
            pb::Preview {
                width: 640,
                height: 480,
                blurhash: v.text("blurhash"),
                thumbnail: v.bytes("thumbnail", 40),
                duration_ms: v.number("duration_ms"),
                waveform: v.bytes("waveform", 64),
            }
            .encode_to_vec(),
        ),
        (
            "envelope_leaving",
            envelope(pb::envelope::Body::Leaving(pb::Leaving {})).encode_to_vec(),
        ),
        (
            "envelope_ask_to_join",
            envelope(pb::envelope::Body::AskToJoin(pb::AskToJoin {
                conversation_id: v.bytes("conversation_id", 16),
                secret: v.bytes("secret", 32),
            }))
            .encode_to_vec(),
        ),
        (
            "envelope_join_answer",
            envelope(pb::envelope::Body::JoinAnswer(pb::JoinAnswer {
                conversation_id: v.bytes("conversation_id", 16),
                answer: pb::join_answer::Answer::Over.into(),
            }))
            .encode_to_vec(),
        ),
        (
            "envelope_profile",
            envelope(pb::envelope::Body::Profile(pb::Profile {
                name: v.text("name"),
                picture: v.bytes("picture", 40),
            }))
            .encode_to_vec(),
        ),
        (
            "envelope_content",
            envelope(pb::envelope::Body::Mimi(v.bytes("mimi", 90))).encode_to_vec(),
        ),
        (
            "envelope_content_signed",
            pb::Envelope {
                signature: v.bytes("signature", 64),
                ..envelope(pb::envelope::Body::Mimi(v.bytes("mimi", 90)))
            }
            .encode_to_vec(),
        ),
        (
            "envelope_resend_request",
            envelope(pb::envelope::Body::ResendRequest(pb::ResendRequest {
                device_id: v.bytes("device_id", 32),
                missing: vec![
                    pb::CounterRange { from: 3, to: 3 },
                    pb::CounterRange {
                        from: 7,
                        to: u64::MAX,
                    },
                ],
                ..pb::ResendRequest::default()
            }))
            .encode_to_vec(),
        ),
        (
            "envelope_resend_request_key",
            envelope(pb::envelope::Body::ResendRequest(pb::ResendRequest {
                device_id: v.bytes("device_id", 32),
                missing: vec![pb::CounterRange { from: 3, to: 3 }],
                key: v.bytes("key", 1_216),
                ..pb::ResendRequest::default()
            }))
            .encode_to_vec(),
        ),
        (
            "envelope_resend_request_earlier",
            envelope(pb::envelope::Body::ResendRequest(pb::ResendRequest {
                device_id: v.bytes("device_id", 32),
                missing: vec![pb::CounterRange {
                    from: 3,
                    to: u64::MAX,
                }],
                key: v.bytes("key", 1_216),
                group_id: v.bytes("group_id", 16),
            }))
            .encode_to_vec(),
        ),
        (
            "envelope_file_wanted",
            envelope(pb::envelope::Body::FileWanted(pb::FileWanted {
                hash: v.bytes("hash", 32),
            }))
            .encode_to_vec(),
        ),
        (
            "envelope_file_copy",
            envelope(pb::envelope::Body::FileCopy(pb::FileCopy {
                hash: v.bytes("hash", 32),
                device_id: v.bytes("device_id", 32),
                blob_id: v.bytes("blob_id", 32),
                state: pb::file_copy::State::There.into(),
            }))
            .encode_to_vec(),
        ),
        (
            "envelope_resent",
            envelope(pb::envelope::Body::Resent(pb::Resent {
                device_id: v.bytes("device_id", 32),
                key_id: v.bytes("key_id", 8),
                kem_ciphertext: v.bytes("kem_ciphertext", 1_120),
                sealed: v.bytes("sealed", 80),
                nothing_up_to: 7,
                ..pb::Resent::default()
            }))
            .encode_to_vec(),
        ),
    ]
}
