//! The key log by itself, on each store, checked as clients and auditors do.
//!
//! **Elsewhere**: what the relay puts into it is tested in `log.rs`.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use akd::auditor::audit_verify;
use bytes::Bytes;
use prost::Message as _;
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng as _};
use waxwing_protocol::{
    address::Address,
    ids::AccountId,
    limits, pb,
    posting::PostingKey,
    roster::{self, Roster},
    signature::{HybridSigningKey, SigningSeed},
    time::{Span, Time},
};
use waxwing_relay::{
    directory::log::{CoSignatureRefused, KeyLog, LogError, Publication},
    store::{
        KeySpace, Record, Store, StoreError, Usage, Write,
        check::check,
        embedded::EmbeddedStore,
        key,
        memory::{Fault, MemoryStore},
        records::AccountRecord,
    },
};
use waxwing_transparency::{
    Configuration,
    cosignature::{AuditorId, CoSigned},
    head::{Head, SignedHead},
    proof::{self, Entry},
    view::View,
    wire,
};

use crate::world::log_keys;

const NOW: Time = Time(1_800_000_000_000);

struct Fixture {
    rng: ChaCha20Rng,
    now: Time,
    roster: Roster,
    account: Write,
}

impl Fixture {
    fn new() -> Self {
        let mut rng = ChaCha20Rng::from_seed([1; 32]);
        let key = HybridSigningKey::from_seed(&SigningSeed::generate(&mut rng));
        let leaf = PostingKey::from_seed(&[9; 32]).public();
        let first = roster::create_account(&mut rng, NOW, &key, *leaf.as_bytes(), key.public());
        let roster = Roster::verify(std::slice::from_ref(&first)).unwrap();
        let record = AccountRecord {
            roster: vec![first],
        };
        let account = Write {
            space: KeySpace::Accounts,
            key: key_of(&roster),
            value: Some(record.encode_to_vec().into()),
        };
        Self {
            rng,
            now: NOW,
            roster,
            account,
        }
    }

    fn open<S: Store>(&mut self, store: &Arc<S>) -> KeyLog<S> {
        self.open_with(store, Vec::new())
    }

    fn open_with<S: Store>(&mut self, store: &Arc<S>, auditors: Vec<AuditorId>) -> KeyLog<S> {
        KeyLog::open(
            Arc::clone(store),
            log_keys(),
            auditors,
            self.now,
            &mut self.rng,
        )
        .unwrap()
    }

    /// The entry that an address gets at some time.
    fn entry(&self, at: u64) -> Entry {
        Entry::new(&self.roster, pb::Verification::EmailCode, Time(at))
    }

    fn publish<S: Store>(
        &mut self,
        log: &KeyLog<S>,
        changes: impl IntoIterator<Item = (u64, u64)>,
    ) -> Result<Head, LogError> {
        self.now = self.now.after(Span::seconds(1));
        let changes = changes.into_iter();
        let publication = Publication {
            changes: changes
                .map(|(who, at)| (address(who), self.entry(at)))
                .collect(),
            writes: vec![self.account.clone()],
        };
        log.publish(self.now, &mut self.rng, publication)
    }
}

fn key_of(roster: &Roster) -> waxwing_relay::store::Key {
    key(&[roster.account().as_bytes()])
}

fn address(n: u64) -> Address {
    Address::parse(&format!("somebody{n}@example.org")).unwrap()
}

/// Looks an address up; gives its version and when it was verified.
fn look_up<S: Store>(log: &KeyLog<S>, who: u64, now: Time) -> (u64, u64) {
    let found = log.look_up(&address(who), 1).unwrap();
    let view = View::check(log.identity(), None, &found.log.unwrap(), now).unwrap();
    let proof = found.proof.unwrap();
    let head = view.newest().head();
    let version = proof::look_up(log.identity(), head, &address(who), &proof).unwrap();
    let roster = Roster::verify(&found.roster).unwrap();
    assert!(version.entry.vouches_for(&roster));
    (version.version, version.entry.verified_at.0)
}

/// Every epoch of the log only adds to the one before.
fn audit<S: Store>(log: &KeyLog<S>) {
    let counts = log.counts();
    let heads = log.heads_between(1, counts.heads).unwrap();
    let mut root = None;
    let mut audited = 0;
    for head in heads {
        let head = Head::decode(head).unwrap();
        if let Some(before) = root.replace(head.root)
            && before != head.root
        {
            let proof = pb::AuditProof::decode(log.audit(head.epoch).unwrap()).unwrap();
            let proof = wire::audit_proof(&proof).unwrap();
            let verified = audit_verify::<Configuration>(vec![before, head.root], proof);
            // akd's own tasks.
            let runtime = tokio::runtime::Builder::new_current_thread().build();
            runtime.unwrap().block_on(verified).unwrap();
            audited += 1;
        }
    }
    assert_eq!(audited, counts.epoch);
}

/// What any store must give akd, across a restart.
fn conforms<S: Store>(store: S, reopen: impl Fn(Arc<S>) -> Arc<S>) {
    let mut fixture = Fixture::new();
    let mut store = Arc::new(store);
    let mut newest = std::collections::BTreeMap::new();
    for round in 0..3_u64 {
        let log = fixture.open(&store);
        for step in 0..4_u64 {
            let at = round * 10 + step + 1;
            // New ones, and changes of old ones.
            let who: Vec<u64> = (0..3).map(|n| at * 3 + n).chain([4, at]).collect();
            let who: std::collections::BTreeSet<u64> = who.into_iter().collect();
            let changes = who.iter().map(|who| (*who, at));
            fixture.publish(&log, changes).unwrap();
            for who in who {
                let (version, _) = newest.get(&who).copied().unwrap_or_default();
                newest.insert(who, (version + 1, at));
            }
        }
        for (who, expected) in &newest {
            assert_eq!(look_up(&log, *who, fixture.now), *expected, "{who}");
        }
        assert!(matches!(
            log.look_up(&address(1_000_000), 0),
            Err(LogError::Unknown)
        ));
        let account = fixture.roster.account();
        for most_recent in [0, 1, 3] {
            let fetched = log.history(&address(4), account, 0, most_recent).unwrap();
            let proof = fetched.proof.unwrap();
            let head = log.newest();
            let versions =
                proof::history(log.identity(), &head, &address(4), most_recent, &proof).unwrap();
            let all = usize::try_from(newest[&4].0).unwrap();
            let expected = match most_recent {
                0 => all,
                most => all.min(most as usize),
            };
            assert_eq!(versions.len(), expected);
            assert_eq!(versions[0].entry.verified_at.0, newest[&4].1);
        }
        audit(&log);
        assert_eq!(log.verify().unwrap(), log.counts().heads);
        assert_eq!(check(&*store).unwrap().damaged(), 0);
        drop(log);
        store = reopen(store);
    }
}

#[test]
fn the_log_lives_on_the_memory_store() {
    conforms(MemoryStore::new(), |store| store);
}

#[test]
fn the_log_lives_on_the_embedded_store() {
    let directory = tempfile::tempdir().unwrap();
    let open = |path: &Path| EmbeddedStore::open(path).unwrap();
    conforms(open(directory.path()), |store| {
        drop(store);
        Arc::new(open(directory.path()))
    });
}

#[test]
fn no_address_is_on_the_disk() {
    let mut fixture = Fixture::new();
    let store = Arc::new(MemoryStore::new());
    let log = fixture.open(&store);
    for at in 1..5 {
        fixture.publish(&log, (0..at).map(|who| (who, at))).unwrap();
    }
    for (_, key, value) in store.records() {
        for bytes in [key, value] {
            let text = String::from_utf8_lossy(&bytes).to_lowercase();
            assert!(!text.contains("somebody") && !text.contains("example"));
        }
    }
}

#[test]
fn an_unchanged_value_makes_no_epoch() {
    let mut fixture = Fixture::new();
    let store = Arc::new(MemoryStore::new());
    let log = fixture.open(&store);
    let first = fixture.publish(&log, [(1, 1)]).unwrap();
    store
        .commit(vec![Write {
            value: None,
            ..fixture.account.clone()
        }])
        .unwrap();
    assert_eq!(fixture.publish(&log, [(1, 1)]).unwrap(), first);
    assert_eq!(store.count(KeySpace::Accounts).unwrap(), 1);
    log.verify().unwrap();
}

#[test]
fn a_head_is_refreshed_when_it_is_old_at_open_too() {
    let mut fixture = Fixture::new();
    let store = Arc::new(MemoryStore::new());
    let log = fixture.open(&store);
    let first = fixture.publish(&log, [(1, 1)]).unwrap();
    let early = Time(log.refresh_at().0 - 1);
    log.refresh(early, &mut fixture.rng).unwrap();
    assert_eq!(log.newest(), first);
    log.refresh(log.refresh_at(), &mut fixture.rng).unwrap();
    let second = log.newest();
    assert_eq!(second.number, first.number + 1);
    assert_eq!((second.epoch, second.root), (first.epoch, first.root));
    assert_eq!(second.made_at, first.made_at.after(limits::HEAD_REFRESH));
    fixture.now = second.made_at.after(Span::minutes(59));
    let log = fixture.open(&store);
    assert_eq!(log.newest().made_at, fixture.now);
    log.verify().unwrap();
}

#[test]
fn a_log_opened_days_later_waits_for_a_sure_clock() {
    let mut fixture = Fixture::new();
    let store = Arc::new(MemoryStore::new());
    let before = fixture.open(&store).newest();
    fixture.now = before.made_at.after(Span::days(3));
    let log = fixture.open(&store);
    assert_eq!(log.newest(), before);
    log.refresh(fixture.now, &mut fixture.rng).unwrap();
    assert_eq!(log.newest().made_at, fixture.now);
    log.verify().unwrap();
}

#[test]
fn a_log_is_not_opened_with_other_keys_or_another_s_head() {
    let mut fixture = Fixture::new();
    let store = Arc::new(MemoryStore::new());
    fixture.open(&store);
    let identity = {
        let directory = tempfile::tempdir().unwrap();
        let data = waxwing_relay::data_dir::DataDir::open_or_create(directory.path()).unwrap();
        waxwing_relay::identity::Identity::open_or_create(&data).unwrap()
    };
    let keys = identity.log_keys().unwrap();
    let opened = KeyLog::open(Arc::clone(&store), keys, Vec::new(), NOW, &mut fixture.rng);
    let error = opened.err().unwrap();
    assert!(matches!(error, LogError::WrongKeys));
    assert!(error.to_string().contains("backup"), "{error}");
}

#[test]
fn a_damaged_log_is_found() {
    let mut fixture = Fixture::new();
    let sound = Arc::new(MemoryStore::new());
    let log = fixture.open(&sound);
    for at in 1..6 {
        fixture.publish(&log, [(at, at)]).unwrap();
    }
    for (space, at) in [
        (KeySpace::LogHeads, 3_u64.to_be_bytes()),
        (KeySpace::LogAudits, 2_u64.to_be_bytes()),
    ] {
        let store = Arc::new(sound.copy());
        let log = fixture.open(&store);
        let write = Write {
            space,
            key: key(&[&at]),
            value: None,
        };
        store.commit(vec![write]).unwrap();
        assert!(matches!(log.verify(), Err(LogError::Damaged(_))));
    }
    // A head in place of another.
    let store = Arc::new(sound.copy());
    let (_, head) = store.scan(KeySpace::LogHeads, &[], None, 1).unwrap()[0].clone();
    let write = Write {
        space: KeySpace::LogHeads,
        key: key(&[&2_u64.to_be_bytes()]),
        value: Some(head),
    };
    store.commit(vec![write]).unwrap();
    assert!(fixture.open(&store).verify().is_err());
    assert_eq!(check(&*store).unwrap().damaged(), 1);
    // The state of another epoch.
    let store = Arc::new(sound.copy());
    fixture.publish(&log, [(9, 9)]).unwrap();
    let state = sound.get(KeySpace::LogState, b"state").unwrap();
    let write = Write {
        space: KeySpace::LogState,
        key: key(&[b"state"]),
        value: state,
    };
    store.commit(vec![write]).unwrap();
    let opened = KeyLog::open(store, log_keys(), Vec::new(), NOW, &mut fixture.rng);
    assert!(opened.is_err());
}

#[test]
fn an_epoch_that_cannot_be_written_did_not_happen() {
    let mut fixture = Fixture::new();
    let store = Arc::new(MemoryStore::new());
    let log = fixture.open(&store);
    fixture.publish(&log, [(1, 1), (2, 1)]).unwrap();
    let before = log.newest();
    for fault in [Fault::Full, Fault::Broken] {
        store.set_fault(Some(fault));
        assert!(fixture.publish(&log, [(1, 2), (3, 2)]).is_err());
        if fault == Fault::Broken {
            assert!(matches!(
                log.look_up(&address(1), 0),
                Err(LogError::Store(_))
            ));
        }
        store.set_fault(None);
        assert_eq!(log.newest(), before);
        assert_eq!(look_up(&log, 1, fixture.now), (1, 1));
        assert!(log.look_up(&address(3), 0).is_err());
    }
    fixture.publish(&log, [(1, 3), (4, 3)]).unwrap();
    assert_eq!(log.newest().number, before.number + 1);
    assert_eq!(look_up(&log, 1, fixture.now), (2, 3));
    assert_eq!(look_up(&log, 2, fixture.now), (1, 1));
    assert!(log.look_up(&address(3), 0).is_err());
    audit(&log);
    log.verify().unwrap();
}

/// A store whose commit fails, and turns out to be on disk even so.
struct Surprising {
    inner: MemoryStore,
    surprises: AtomicBool,
    generation: AtomicU64,
}

impl Store for Surprising {
    fn get(&self, space: KeySpace, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        self.inner.get(space, key)
    }
    fn scan(
        &self,
        space: KeySpace,
        from: &[u8],
        to: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<Record>, StoreError> {
        self.inner.scan(space, from, to, limit)
    }
    fn last_key(&self, space: KeySpace) -> Result<Option<Bytes>, StoreError> {
        self.inner.last_key(space)
    }
    fn count(&self, space: KeySpace) -> Result<u64, StoreError> {
        self.inner.count(space)
    }
    fn commit(&self, writes: Vec<Write>) -> Result<(), StoreError> {
        self.inner.commit(writes)?;
        if self.surprises.swap(false, Ordering::Relaxed) {
            self.generation.fetch_add(1, Ordering::Relaxed);
            return Err(StoreError::Io("it seems to have failed".into()));
        }
        Ok(())
    }
    fn next_batch(&self) -> u64 {
        self.inner.next_batch()
    }
    fn commit_numbered(&self, number: u64, writes: Vec<Write>) -> Result<(), StoreError> {
        self.inner.commit_numbered(number, writes)
    }
    fn is_nearly_full(&self) -> bool {
        false
    }
    fn generation(&self) -> u64 {
        self.generation.load(Ordering::Relaxed)
    }
    fn maintain(&self, now_ms: u64) -> Result<(), StoreError> {
        self.inner.maintain(now_ms)
    }
    fn erase_now(&self) -> Result<(), StoreError> {
        self.inner.erase_now()
    }
    fn usage(&self) -> Usage {
        self.inner.usage()
    }
}

#[test]
fn an_epoch_that_seemed_to_fail_is_never_signed_differently() {
    let mut fixture = Fixture::new();
    let store = Arc::new(Surprising {
        inner: MemoryStore::new(),
        surprises: AtomicBool::new(false),
        generation: AtomicU64::new(0),
    });
    let log = fixture.open(&store);
    fixture.publish(&log, [(1, 1)]).unwrap();
    store.surprises.store(true, Ordering::Relaxed);
    assert!(fixture.publish(&log, [(1, 2), (2, 2)]).is_err());
    // A reader sees it first, or the publisher does.
    assert_eq!(look_up(&log, 1, fixture.now), (2, 2));
    let head = log.newest();
    store.surprises.store(true, Ordering::Relaxed);
    assert!(fixture.publish(&log, [(3, 3)]).is_err());
    fixture.publish(&log, [(1, 4)]).unwrap();
    assert_eq!(log.newest().number, head.number + 2);
    assert_eq!(look_up(&log, 3, fixture.now), (1, 3));
    assert_eq!(look_up(&log, 1, fixture.now), (3, 4));
    audit(&log);
    log.verify().unwrap();
}

#[test]
fn proofs_hold_while_others_are_published() {
    let mut fixture = Fixture::new();
    let store = Arc::new(MemoryStore::new());
    let log = fixture.open(&store);
    fixture.publish(&log, (0..20).map(|who| (who, 1))).unwrap();
    let is_over = AtomicBool::new(false);
    let far = NOW.after(Span::minutes(5));
    std::thread::scope(|scope| {
        let readers: Vec<_> = (0..2)
            .map(|reader| {
                let (log, is_over) = (&log, &is_over);
                scope.spawn(move || {
                    let mut looked = 0_u64;
                    while !is_over.load(Ordering::Relaxed) || looked < 20 {
                        look_up(log, (looked * 7 + reader) % 20, far);
                        looked += 1;
                    }
                })
            })
            .collect();
        for at in 2..30 {
            let who = [at % 20, 100 + at];
            fixture.publish(&log, who.map(|who| (who, at))).unwrap();
        }
        is_over.store(true, Ordering::Relaxed);
        for reader in readers {
            reader.join().unwrap();
        }
    });
    audit(&log);
}

#[test]
fn co_signatures_are_kept_for_the_newest_head() {
    let mut fixture = Fixture::new();
    let store = Arc::new(MemoryStore::new());
    let auditor = HybridSigningKey::from_seed(&SigningSeed::from_bytes(&[5; 64]));
    let id = AuditorId::of(auditor.public());
    let other = HybridSigningKey::from_seed(&SigningSeed::from_bytes(&[6; 64]));
    let log = fixture.open_with(&store, vec![id]);
    let mut heads = Vec::new();
    for at in 1..30 {
        heads.push(fixture.publish(&log, [(at, at)]).unwrap());
    }
    let sign = |key: &HybridSigningKey, head: &Head| {
        CoSigned::sign(&mut ChaCha20Rng::from_seed([2; 32]), key, head, NOW)
    };
    let refused = log.add_cosignature(&sign(&other, &heads[3]));
    assert!(matches!(refused, Err(CoSignatureRefused::UnknownAuditor)));
    let mut forged = sign(&auditor, &heads[3]);
    forged.auditor_key = Some(other.public().to_wire());
    let refused = log.add_cosignature(&forged);
    assert!(matches!(refused, Err(CoSignatureRefused::Invalid)));
    let fork = Head::next(
        log.identity().id(),
        Some(&heads[8]),
        Some(heads[0].hash()),
        12,
        [1; 32],
        NOW,
    );
    let refused = log.add_cosignature(&sign(&auditor, &fork));
    assert!(matches!(refused, Err(CoSignatureRefused::UnknownHead)));
    log.add_cosignature(&sign(&auditor, &heads[3])).unwrap();
    log.add_cosignature(&sign(&auditor, &heads[10])).unwrap();
    let refused = log.add_cosignature(&sign(&auditor, &heads[3]));
    assert!(matches!(refused, Err(CoSignatureRefused::Older)));
    let cosigned = |log: &KeyLog<MemoryStore>, now| {
        let view = log.view(&[]).unwrap();
        let view = View::check(log.identity(), None, &view, now).unwrap();
        view.cosigned().to_vec()
    };
    let seen = cosigned(&log, fixture.now);
    assert_eq!(seen.len(), 1);
    assert_eq!(seen[0].head, heads[10].hash());
    // After a restart as well, for as long as the operator names the auditor.
    let log = fixture.open_with(&store, vec![id]);
    assert_eq!(cosigned(&log, fixture.now), seen);
    let log = fixture.open(&store);
    assert!(cosigned(&log, fixture.now).is_empty());
}

#[test]
fn heads_are_given_in_pieces_that_chain() {
    let mut fixture = Fixture::new();
    let store = Arc::new(MemoryStore::new());
    let log = fixture.open(&store);
    for at in 1..5 {
        fixture.publish(&log, [(at, at)]).unwrap();
    }
    let heads = log.heads_between(2, 4).unwrap();
    let heads: Vec<Head> = heads
        .into_iter()
        .map(|one| Head::decode(one).unwrap())
        .collect();
    assert_eq!(heads[1].previous, Some(heads[0].hash()));
    assert_eq!(heads[2].previous, Some(heads[1].hash()));
    for (from, to) in [(0, 1), (3, 2), (4, 6)] {
        assert!(matches!(log.heads_between(from, to), Err(LogError::NoSuch)));
    }
    assert!(matches!(log.audit(0), Err(LogError::NoSuch)));
    assert!(matches!(log.audit(5), Err(LogError::NoSuch)));
    let signed = log.view(&[]).unwrap().head.unwrap();
    SignedHead::check(log.identity(), &signed).unwrap();
    let nobody = AccountId([0; 32]);
    assert!(log.history(&address(77), nobody, 0, 0).is_err());
}
