//! The key log: what binds an address to an account, the same for everybody.
//!
//! An akd directory on the relay's [`Store`]. An epoch is computed in memory, its root is
//! signed, and all of it is committed at once together with the relay's own records that
//! it is about. Its append-only proof is kept as well: computed later, against a tree that
//! has grown since, it would be as large as everything before it.
//!
//! **Elsewhere**: what goes into the log, and when, is decided by the relay
//! ([`crate::directory`]); proofs are checked by `waxwing_transparency`; the threads that
//! publish and prove are [`crate::server`]'s.
//!
//! **Always**: a head that was signed is never signed otherwise. An answer is made from one
//! state of the log: its head, its proof and its roster belong together. No address is in
//! the store, an error or a `Debug`.

mod answers;
mod check;
pub(crate) mod codec;
mod database;
mod keys;

use std::cmp::Ordering::{Equal, Greater, Less};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use akd::append_only_zks::AzksParallelismConfig;
use akd::errors::AkdError;
use akd::storage::StorageManager;
use akd::{AkdValue, EpochHash};
// akd's futures do not wait: the store is read at once.
use futures_lite::future::block_on;
use parking_lot::{Mutex, RwLock, RwLockReadGuard};
use prost::Message as _;
use rand::CryptoRng;
use waxwing_protocol::{address::Address, limits, pb, time::Time};
use waxwing_transparency::{
    Configuration,
    cosignature::{AuditorId, CoSigned},
    head::{Head, landmark},
    identity::LogIdentity,
    proof::{Entry, label},
    wire,
};

pub use self::answers::Question;
use self::database::Records;
use self::keys::VrfKey;
pub use self::keys::{LogKeys, LogKeysError};
use crate::clock::DOWNTIME;
use crate::store::{KeySpace, Store, StoreError, Write, key};

/// Where the newest head is, signed.
const NEWEST: &[u8] = b"head";

type AkdDirectory<S> = akd::Directory<Configuration, Records<S>, VrfKey>;

/// A key log. See the module.
pub struct KeyLog<S: Store> {
    store: Arc<S>,
    keys: LogKeys,
    auditors: Vec<AuditorId>,
    /// Makes proofs from what is committed.
    reading: AkdDirectory<S>,
    read: Records<S>,
    /// Gathers an epoch.
    gathering: AkdDirectory<S>,
    gathered: Records<S>,
    /// Held by the thread that publishes, before `heads`.
    publishing: Mutex<Publishing>,
    /// Held for reading while an answer is made, for writing while an epoch is committed.
    heads: RwLock<Heads>,
    counts: Counters,
}

/// What the publisher knows of the last time.
struct Publishing {
    /// A commit failed: what it came to is to be read before anything is built on it.
    is_in_doubt: bool,
}

/// The newest head, and who co-signed which.
struct Heads {
    generation: u64,
    newest: Head,
    signed: pb::SignedHead,
    cosigned: BTreeMap<AuditorId, (CoSigned, pb::CoSignature)>,
}

#[derive(Default)]
struct Counters {
    changes: AtomicU64,
    publish_us: AtomicU64,
    publications: AtomicU64,
}

/// Counts, for metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LogCounts {
    /// The newest log epoch.
    pub epoch: u64,
    /// The newest head's number.
    pub heads: u64,
    /// Changes published since the start.
    pub changes: u64,
    /// Publications since the start.
    pub publications: u64,
    /// Microseconds that they took.
    pub publish_us: u64,
}

/// What is to be published at once.
#[derive(Default)]
pub struct Publication {
    /// Addresses and what the log is to say of them; each address once.
    pub changes: Vec<(Address, Entry)>,
    /// Records of the relay that are committed with it.
    pub writes: Vec<Write>,
}

impl std::fmt::Debug for Publication {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Publication({} changes)", self.changes.len())
    }
}

/// Why the log cannot do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// Reading or writing failed; nothing changed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// What is stored is not what these keys made.
    #[error(
        "the key log in the data directory was made with other keys than those in its identity \
         folder. Restore log-vrf-key, log-head-key and tls-key.pem from the backup that the store \
         is from: with other keys, clients would refuse this relay."
    )]
    WrongKeys,
    /// What is stored contradicts itself.
    #[error("the key log is damaged: {0}. Restore a backup.")]
    Damaged(&'static str),
    /// The address is not in the log.
    #[error("the address is not in the log")]
    Unknown,
    /// An answer would be larger than any may be.
    #[error("the answer would be too large")]
    TooLarge,
    /// The log has no such head or epoch.
    #[error("the log has no such head or epoch")]
    NoSuch,
    /// akd failed; its own words may hold an address.
    #[error("the key log cannot be computed")]
    Failed,
}

/// Why a co-signature is not taken. The sentences are for auditors.
#[derive(Debug, thiserror::Error)]
pub enum CoSignatureRefused {
    /// It does not verify, or is for another log.
    #[error("The co-signature does not verify, or is for another log.")]
    Invalid,
    /// The operator does not know the auditor.
    #[error(
        "This relay does not publish your co-signatures. Ask its operator to add your \
         auditor id to `auditors` in its configuration."
    )]
    UnknownAuditor,
    /// The log has no such head.
    #[error("This log has no such head: you may have found a fork. Keep your evidence.")]
    UnknownHead,
    /// A newer one of the auditor is there.
    #[error("The relay already has a co-signature of yours for a newer head.")]
    Older,
    /// It cannot be stored.
    #[error("The relay cannot store the co-signature now. Try again later.")]
    Store(#[from] LogError),
}

impl<S: Store> KeyLog<S> {
    /// Opens the log in `store`, or begins it. A newest head that is older than the relay
    /// may have been off is not followed yet: the clock may be wrong, which the relay finds
    /// out ([`crate::clock`]).
    ///
    /// # Errors
    /// When the store cannot be read or written, or holds a log of other keys.
    pub fn open(
        store: Arc<S>,
        keys: LogKeys,
        auditors: Vec<AuditorId>,
        now: Time,
        rng: &mut dyn CryptoRng,
    ) -> Result<Self, LogError> {
        if Self::is_empty(&store)? {
            Self::begin(&store, &keys, now, rng)?;
        }
        let log = Self::over(store, keys, auditors)?;
        log.check_newest()?;
        if now.since(log.newest().made_at) <= DOWNTIME {
            log.refresh(now, rng)?;
        }
        Ok(log)
    }

    /// Opens the log in `store` and changes nothing.
    ///
    /// # Errors
    /// When the store cannot be read, or holds a log of other keys, or none.
    pub fn read(store: Arc<S>, keys: LogKeys) -> Result<Self, LogError> {
        Self::over(store, keys, Vec::new())
    }

    /// Writes an empty log with its first head.
    fn begin(
        store: &Arc<S>,
        keys: &LogKeys,
        now: Time,
        rng: &mut dyn CryptoRng,
    ) -> Result<(), LogError> {
        let (_, gathered) = Records::new(Arc::clone(store), keys.labels.clone());
        let EpochHash(epoch, root) =
            block_on(directory(&gathered, keys)?.get_epoch_hash()).map_err(failed)?;
        let head = Head::next(keys.identity.id(), None, None, epoch, root, now);
        let mut writes = gathered.writes();
        head_writes(&head, &head.sign(rng, &keys.head), &mut writes);
        Ok(store.commit(writes)?)
    }

    fn over(store: Arc<S>, keys: LogKeys, auditors: Vec<AuditorId>) -> Result<Self, LogError> {
        let heads = load(&*store, &keys.identity, &auditors)?;
        let (read, gathered) = Records::new(Arc::clone(&store), keys.labels.clone());
        if read.azks()?.is_none() {
            return Err(LogError::Damaged("its state is missing"));
        }
        Ok(Self {
            reading: directory(&read, &keys)?,
            read,
            gathering: directory(&gathered, &keys)?,
            gathered,
            store,
            keys,
            auditors,
            publishing: Mutex::new(Publishing { is_in_doubt: false }),
            heads: RwLock::new(heads),
            counts: Counters::default(),
        })
    }

    /// Whether there is no log in the store yet.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn is_empty(store: &S) -> Result<bool, StoreError> {
        Ok(store.get(KeySpace::LogState, NEWEST)?.is_none())
    }

    /// What clients know the log by.
    pub const fn identity(&self) -> &LogIdentity {
        &self.keys.identity
    }

    /// Counts, for metrics.
    pub fn counts(&self) -> LogCounts {
        let (epoch, heads) = {
            let heads = self.heads.read();
            (heads.newest.epoch, heads.newest.number)
        };
        LogCounts {
            epoch,
            heads,
            changes: self.counts.changes.load(Ordering::Relaxed),
            publications: self.counts.publications.load(Ordering::Relaxed),
            publish_us: self.counts.publish_us.load(Ordering::Relaxed),
        }
    }

    /// Notes how long a publication took, for [`counts`](Self::counts): whoever has the
    /// clock tells it.
    pub fn publication_took(&self, changes: u64, microseconds: u64) {
        self.counts.publications.fetch_add(1, Ordering::Relaxed);
        self.counts.changes.fetch_add(changes, Ordering::Relaxed);
        self.counts
            .publish_us
            .fetch_add(microseconds, Ordering::Relaxed);
    }

    /// The newest head.
    pub fn newest(&self) -> Head {
        self.heads.read().newest.clone()
    }

    /// Publishes a log epoch and commits its records with it; gives the newest head, which
    /// is the one before where nothing changes.
    ///
    /// # Errors
    /// When it cannot be written: then nothing changed.
    pub fn publish(
        &self,
        now: Time,
        rng: &mut dyn CryptoRng,
        publication: Publication,
    ) -> Result<Head, LogError> {
        let mut publishing = self.publishing.lock();
        self.settle(&mut publishing)?;
        let result = self.write_epoch(now, rng, publication);
        if result.is_err() {
            self.gathered.settle(false);
            publishing.is_in_doubt = true;
        }
        result
    }

    /// When [`refresh`](Self::refresh) is due.
    pub fn refresh_at(&self) -> Time {
        self.heads.read().newest.made_at.after(limits::HEAD_REFRESH)
    }

    /// Signs a new head for the newest log epoch, where the newest head is so old that
    /// clients would wonder.
    ///
    /// # Errors
    /// When it cannot be written: then nothing changed.
    pub fn refresh(&self, now: Time, rng: &mut dyn CryptoRng) -> Result<(), LogError> {
        if self.refresh_at() > now {
            return Ok(());
        }
        let mut publishing = self.publishing.lock();
        self.settle(&mut publishing)?;
        let before = self.newest();
        let result = self.write_head(now, rng, before.epoch, before.root, Vec::new());
        publishing.is_in_doubt = result.is_err();
        result.map(|_| ())
    }

    /// Keeps a co-signature of an auditor that the operator named; gives whether it is newer
    /// than the one that was there. One that was there already may come from anybody.
    ///
    /// # Errors
    /// When it is not to be kept, or cannot be.
    pub fn add_cosignature(&self, wire: &pb::CoSignature) -> Result<bool, CoSignatureRefused> {
        let signed =
            CoSigned::check(self.identity(), wire).map_err(|_| CoSignatureRefused::Invalid)?;
        if !self.auditors.contains(&signed.auditor) {
            return Err(CoSignatureRefused::UnknownAuditor);
        }
        let mut publishing = self.publishing.lock();
        self.settle(&mut publishing)?;
        let head = self.head_at(signed.number).map_err(|error| match error {
            LogError::NoSuch => CoSignatureRefused::UnknownHead,
            error => error.into(),
        })?;
        if head.hash() != signed.head {
            return Err(CoSignatureRefused::UnknownHead);
        }
        let mut heads = self.heads.write();
        let known = heads.cosigned.get(&signed.auditor);
        match known.map(|(known, _)| known.number.cmp(&signed.number)) {
            Some(Greater) => return Err(CoSignatureRefused::Older),
            Some(Equal) => return Ok(false),
            Some(Less) | None => {}
        }
        let write = Write {
            space: KeySpace::CoSignatures,
            key: key(&[&signed.auditor.0]),
            value: Some(wire.encode_to_vec().into()),
        };
        self.store.commit(vec![write]).map_err(LogError::from)?;
        heads
            .cosigned
            .insert(signed.auditor, (signed, wire.clone()));
        Ok(true)
    }

    fn write_epoch(
        &self,
        now: Time,
        rng: &mut dyn CryptoRng,
        publication: Publication,
    ) -> Result<Head, LogError> {
        let changes = publication.changes.iter();
        let updates = changes.map(|(address, entry)| (label(address), AkdValue(entry.encode())));
        let before = self.newest();
        let published = block_on(self.gathering.publish(updates.collect())).map_err(failed)?;
        let EpochHash(epoch, root) = published;
        let mut writes = publication.writes;
        if epoch == before.epoch {
            self.store.commit(writes)?;
            return Ok(before);
        }
        if epoch != before.epoch.saturating_add(1) {
            return Err(LogError::Damaged("an epoch is missing"));
        }
        let proof = block_on(self.gathering.audit(before.epoch, epoch)).map_err(failed)?;
        let proof = wire::from_append_only_proof(proof).pop();
        let proof = proof.ok_or(LogError::Failed)?;
        writes.push(Write {
            space: KeySpace::LogAudits,
            key: key(&[&epoch.to_be_bytes()]),
            value: Some(proof.encode_to_vec().into()),
        });
        writes.extend(self.gathered.writes());
        self.write_head(now, rng, epoch, root, writes)
    }

    /// Commits the next head, and `writes` with it.
    fn write_head(
        &self,
        now: Time,
        rng: &mut dyn CryptoRng,
        epoch: u64,
        root: [u8; 32],
        mut writes: Vec<Write>,
    ) -> Result<Head, LogError> {
        let before = self.newest();
        let number = before.number.saturating_add(1);
        let landmark = landmark(number).map(|at| self.head_at(at)).transpose()?;
        let landmark = landmark.map(|head| head.hash());
        let id = self.identity().id();
        let head = Head::next(id, Some(&before), landmark, epoch, root, now);
        let signed = head.sign(rng, &self.keys.head);
        head_writes(&head, &signed, &mut writes);
        let mut heads = self.heads.write();
        self.store.commit(writes)?;
        self.gathered.settle(true);
        heads.newest = head.clone();
        heads.signed = signed;
        Ok(head)
    }

    /// Reads again what a failed commit, or one that was thought to have failed, came to.
    fn settle(&self, publishing: &mut Publishing) -> Result<(), LogError> {
        let is_current = self.heads.read().generation == self.store.generation();
        if is_current && !publishing.is_in_doubt {
            return Ok(());
        }
        let mut heads = self.heads.write();
        self.gathered.settle(false);
        self.gathered.forget();
        *heads = load(&*self.store, self.identity(), &self.auditors)?;
        publishing.is_in_doubt = false;
        Ok(())
    }

    /// The log as it is, and as it stays while this is held.
    fn heads(&self) -> Result<RwLockReadGuard<'_, Heads>, LogError> {
        let heads = self.heads.read();
        if heads.generation == self.store.generation() {
            return Ok(heads);
        }
        drop(heads);
        self.settle(&mut self.publishing.lock())?;
        Ok(self.heads.read())
    }

    /// The head with a number.
    fn head_at(&self, number: u64) -> Result<Head, LogError> {
        let at = number.to_be_bytes();
        let encoded = self.store.get(KeySpace::LogHeads, &at)?;
        let head = Head::decode(encoded.ok_or(LogError::NoSuch)?)
            .map_err(|_| LogError::Damaged("a head is malformed"))?;
        if head.number != number {
            return Err(LogError::Damaged("a head is in another's place"));
        }
        Ok(head)
    }

    /// The newest head is the one of what is stored.
    fn check_newest(&self) -> Result<(), LogError> {
        let heads = self.heads.read();
        let EpochHash(epoch, root) = block_on(self.reading.get_epoch_hash()).map_err(failed)?;
        if heads.newest.epoch != epoch || heads.newest.root != root {
            return Err(LogError::Damaged("its newest head is not of its content"));
        }
        Ok(())
    }
}

fn directory<S: Store>(records: &Records<S>, keys: &LogKeys) -> Result<AkdDirectory<S>, LogError> {
    let storage = StorageManager::new_no_cache(records.clone());
    let config = AzksParallelismConfig::disabled();
    block_on(AkdDirectory::new(storage, keys.vrf.clone(), config)).map_err(failed)
}

fn head_writes(head: &Head, signed: &pb::SignedHead, writes: &mut Vec<Write>) {
    writes.push(Write {
        space: KeySpace::LogHeads,
        key: key(&[&head.number.to_be_bytes()]),
        value: Some(head.encoded().clone()),
    });
    writes.push(Write {
        space: KeySpace::LogState,
        key: key(&[NEWEST]),
        value: Some(signed.encode_to_vec().into()),
    });
}

fn load(
    store: &impl Store,
    identity: &LogIdentity,
    auditors: &[AuditorId],
) -> Result<Heads, LogError> {
    let generation = store.generation();
    let newest = store.get(KeySpace::LogState, NEWEST)?;
    let newest = newest.ok_or(LogError::Damaged("its newest head is missing"))?;
    let signed = pb::SignedHead::decode(newest)
        .map_err(|_| LogError::Damaged("its newest head is malformed"))?;
    let newest = Head::decode(signed.head.clone())
        .map_err(|_| LogError::Damaged("its newest head is malformed"))?;
    if newest.log != identity.id() {
        return Err(LogError::WrongKeys);
    }
    let mut cosigned = BTreeMap::new();
    for auditor in auditors {
        let Some(value) = store.get(KeySpace::CoSignatures, &auditor.0)? else {
            continue;
        };
        let wire = pb::CoSignature::decode(value)
            .map_err(|_| LogError::Damaged("a co-signature is malformed"))?;
        if let Ok(signed) = CoSigned::check(identity, &wire) {
            cosigned.insert(*auditor, (signed, wire));
        }
    }
    Ok(Heads {
        generation,
        newest,
        signed,
        cosigned,
    })
}

/// akd's errors name labels, which are addresses: their text goes no further. What the
/// store said, it said in [`database`], without.
fn failed(error: AkdError) -> LogError {
    match error {
        AkdError::Storage(akd::errors::StorageError::Connection(text)) => {
            LogError::Store(StoreError::Io(text))
        }
        _ => LogError::Failed,
    }
}
