//! A key log in memory, with the keys of the relay that keeps it.
//!
//! **Elsewhere**: what is tested with it is beside it, and in `crates/auditor/tests`.
//!
//! **Always**: one seed, no clock: a run is the same each time.

// Each of the tests that include this uses a part of it.
#![allow(dead_code)]

use akd::{
    Directory, HistoryParams, WhatsAppV1Configuration,
    append_only_zks::AzksParallelismConfig,
    ecvrf::HardCodedAkdVRF,
    storage::{manager::StorageManager, memory::AsyncInMemoryDatabase},
};
use bytes::Bytes;
use p256::{
    ecdsa::{Signature, SigningKey, signature::Signer as _},
    pkcs8::EncodePublicKey as _,
};
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng as _};
use waxwing_protocol::{
    address::Address,
    ids::AccountId,
    pb,
    signature::{HybridSigningKey, SigningSeed},
    time::{Span, Time},
};
use waxwing_transparency::{
    head::{Head, landmark, path},
    identity::{self, LogIdentity},
    proof::{self, Entry},
    wire,
};

type AkdLog = Directory<WhatsAppV1Configuration, AsyncInMemoryDatabase, HardCodedAkdVRF>;

/// When the first head was made.
pub const START: Time = Time(1_800_000_000_000);

/// A relay's log.
pub struct TestLog {
    pub identity: pb::LogIdentity,
    pub log: LogIdentity,
    pub heads: Vec<Head>,
    pub rng: ChaCha20Rng,
    pub now: Time,
    head_key: HybridSigningKey,
    akd: AkdLog,
}

/// The identity of a log; `relay` and `log` choose the keys.
pub async fn identity_of(relay: u8, log: u8) -> pb::LogIdentity {
    let vrf_key = waxwing_vrf_key().await;
    signed_identity(relay, &head_key(log), &vrf_key)
}

/// A log identity with this VRF key, well signed.
pub fn signed_identity(
    relay: u8,
    head_key: &HybridSigningKey,
    vrf_key: &[u8; 32],
) -> pb::LogIdentity {
    let key = SigningKey::from_slice(&[relay; 32]).unwrap();
    let spki = p256::PublicKey::from(key.verifying_key())
        .to_public_key_der()
        .unwrap();
    let statement = identity::statement(head_key.public(), vrf_key, spki.as_bytes());
    let signature: Signature = key.sign(&identity::signed_message(&statement));
    pb::LogIdentity {
        statement,
        signature: Bytes::copy_from_slice(signature.to_der().as_bytes()),
    }
}

pub fn head_key(log: u8) -> HybridSigningKey {
    HybridSigningKey::from_seed(&SigningSeed::from_bytes(&[log; 64]))
}

pub async fn waxwing_vrf_key() -> [u8; 32] {
    let directory = akd().await;
    let key = directory.get_public_key().await.unwrap();
    key.as_bytes().to_owned()
}

async fn akd() -> AkdLog {
    let storage = StorageManager::new_no_cache(AsyncInMemoryDatabase::new());
    AkdLog::new(storage, HardCodedAkdVRF, AzksParallelismConfig::disabled())
        .await
        .unwrap()
}

/// An entry that belongs to nobody.
pub fn entry(account: u8) -> Entry {
    Entry {
        account: AccountId([account; 32]),
        roster_length: 1,
        roster_head: [account; 32],
        verified_by: pb::Verification::EmailCode,
        verified_at: START,
        locked: false,
    }
}

pub fn address(text: &str) -> Address {
    Address::parse(text).unwrap()
}

impl TestLog {
    /// An empty log without heads; `log` chooses its keys.
    pub async fn new(log: u8) -> Self {
        let identity = identity_of(1, log).await;
        Self {
            log: LogIdentity::check(&identity).unwrap(),
            identity,
            heads: Vec::new(),
            rng: ChaCha20Rng::from_seed([log; 32]),
            now: START,
            head_key: head_key(log),
            akd: akd().await,
        }
    }

    /// A log in whose epochs one address each was registered.
    pub async fn with_epochs(log: u8, epochs: u8) -> Self {
        let mut this = Self::new(log).await;
        for n in 0..epochs {
            this.publish(&[(&format!("user{n}@example.org"), entry(n))])
                .await;
        }
        this
    }

    /// Publishes a log epoch, and its head.
    pub async fn publish(&mut self, entries: &[(&str, Entry)]) {
        let entries = entries
            .iter()
            .map(|(text, entry)| (proof::label(&address(text)), akd::AkdValue(entry.encode())))
            .collect();
        let published = self.akd.publish(entries).await.unwrap();
        self.push(published.0, published.1);
    }

    /// Signs a head for the log epoch that there is.
    pub fn refresh(&mut self) {
        let last = self.heads.last().unwrap();
        self.push(last.epoch, last.root);
    }

    /// Adds a head, true or not.
    pub fn push(&mut self, epoch: u64, root: [u8; 32]) {
        self.now = self.now.after(Span::seconds(1));
        let number = self.heads.len() as u64 + 1;
        let landmark =
            landmark(number).map(|at| self.heads[usize::try_from(at - 1).unwrap()].hash());
        let head = Head::next(
            self.log.id(),
            self.heads.last(),
            landmark,
            epoch,
            root,
            self.now,
        );
        self.heads.push(head);
    }

    pub fn head(&self, number: u64) -> &Head {
        &self.heads[usize::try_from(number - 1).unwrap()]
    }

    pub fn newest(&self) -> &Head {
        self.heads.last().unwrap()
    }

    /// A head, signed.
    pub fn signed(&mut self, number: u64) -> pb::SignedHead {
        let head = self.head(number).clone();
        self.sign(&head)
    }

    /// Any head, signed.
    pub fn sign(&mut self, head: &Head) -> pb::SignedHead {
        head.sign(&mut self.rng, &self.head_key)
    }

    /// The head with this number, tied to the known one.
    pub fn view_at(&mut self, number: u64, known: u64) -> pb::LogView {
        let links = path(number, known)
            .into_iter()
            .map(|number| self.head(number).encoded().clone())
            .collect();
        pb::LogView {
            head: Some(self.signed(number)),
            links,
            cosignatures: Vec::new(),
        }
    }

    /// The newest head, tied to the known one.
    pub fn view(&mut self, known: u64) -> pb::LogView {
        self.view_at(self.heads.len() as u64, known)
    }

    pub async fn audit(&self, epoch: u64) -> pb::AuditProof {
        let proof = self.akd.audit(epoch - 1, epoch).await.unwrap();
        wire::from_append_only_proof(proof).remove(0)
    }

    pub async fn look_up(&self, text: &str) -> pb::LookUpProof {
        let label = proof::label(&address(text));
        let (proof, _) = self.akd.lookup(label).await.unwrap();
        wire::from_look_up_proof(proof)
    }

    pub async fn history(&self, text: &str, most_recent: usize) -> pb::HistoryProof {
        let label = proof::label(&address(text));
        let params = match most_recent {
            0 => HistoryParams::Complete,
            most => HistoryParams::MostRecent(most),
        };
        let (proof, _) = self.akd.key_history(&label, params).await.unwrap();
        wire::from_history_proof(proof)
    }
}
