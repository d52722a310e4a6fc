//! The log over real PostgreSQL: a primary and its synchronous standby on loopback.
//!
//! Where PostgreSQL is not installed these tests say so and pass.

#![cfg(test)]

mod support;

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use waxwing_cluster::chain::digest;
use waxwing_cluster::clock::{steady_ms, wall_ms};
use waxwing_cluster::leader::Ended;
use waxwing_cluster::log::{Entry, Fenced, Holder, Log, LogError, Term};
use waxwing_cluster::postgres::{Durability, PostgresLog, PostgresSettings};
use waxwing_cluster::replicated::{Ending, ReplicatedStore};
use waxwing_cluster::seal::{ClusterKey, Sealer};
use waxwing_cluster::standby::{Standby, StandbyTurn, first_batch};
use waxwing_relay::store::memory::MemoryStore;
use waxwing_relay::store::{Key, KeySpace, Store, StoreError, Write, conformance};
use zeroize::Zeroizing;

use self::support::Postgres;

const LONG: u64 = 60_000;

fn key() -> ClusterKey {
    ClusterKey::new(Zeroizing::new([1; 32]))
}

fn log(postgres: &Postgres, durability: Durability) -> PostgresLog {
    let settings = PostgresSettings::new(&postgres.url(), None, durability).unwrap();
    PostgresLog::new(&settings, key().id()).unwrap()
}

fn entry(number: u64, term: Term, body: &[u8]) -> Entry {
    Entry {
        number,
        term,
        committed: number - 1,
        body: Bytes::copy_from_slice(body),
    }
}

fn taken(fenced: Fenced<Term>) -> Term {
    match fenced {
        Fenced::Done(term) => term,
        Fenced::Superseded => panic!("it was superseded"),
    }
}

type Replicated = ReplicatedStore<MemoryStore, PostgresLog>;

/// A node that waits for the lease, and leads.
fn lead(postgres: &Postgres, disk: &MemoryStore, node: &str) -> (Replicated, Arc<Ending>) {
    lead_with(log(postgres, Durability::Synchronous), disk, node)
}

fn lead_with(log: PostgresLog, disk: &MemoryStore, node: &str) -> (Replicated, Arc<Ending>) {
    let log = Arc::new(log);
    let holder = Holder::new(node).unwrap();
    let sealer = Sealer::new(&key()).unwrap();
    let local = Arc::new(disk.clone());
    let mut standby =
        Standby::new(local, Arc::clone(&log), holder, sealer, Arc::default()).unwrap();
    let deadline = steady_ms() + LONG;
    loop {
        if let Ok(StandbyTurn::Leads(leader)) = standby.turn(wall_ms(), true) {
            let leader = first_batch(leader, &*log, |_| true).unwrap();
            let ending = Arc::new(Ending::default());
            let store = ReplicatedStore::new(leader, log, Arc::clone(&ending));
            return (store, ending);
        }
        assert!(steady_ms() < deadline, "it never led");
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn put(number: u64) -> Vec<Write> {
    vec![Write {
        space: KeySpace::Entries,
        key: Key::from_slice(&number.to_be_bytes()),
        value: Some(Bytes::from(vec![7; 1024])),
    }]
}

#[test]
fn the_log_keeps_what_every_log_promises() {
    let Some(postgres) = Postgres::start() else {
        return;
    };
    let one = log(&postgres, Durability::Synchronous);
    let two = log(&postgres, Durability::Synchronous);
    assert_eq!(one.look().unwrap().lease, None);
    let holder = Holder::new("one").unwrap();
    let term = taken(one.acquire(&holder, Term(0), LONG).unwrap());
    assert_eq!(term, Term(1));
    let other = Holder::new("two").unwrap();
    assert_eq!(
        two.acquire(&other, Term(0), LONG).unwrap(),
        Fenced::Superseded
    );
    assert_eq!(
        two.acquire(&other, Term(1), LONG).unwrap(),
        Fenced::Superseded
    );
    // A small body, an empty one, and one of several rows.
    let large: Vec<u8> = (0..9_u32 << 20)
        .map(|at| u8::try_from(at % 251).unwrap())
        .collect();
    let entries = [b"small".as_slice(), b"", &large, b"last"];
    let entries: Vec<Entry> = entries
        .iter()
        .zip(1..)
        .map(|(body, n)| entry(n, term, body))
        .collect();
    for entry in &entries {
        assert_eq!(one.append(entry).unwrap(), Fenced::Done(()));
    }
    assert!(two.read(0, usize::MAX).unwrap() == entries);
    assert_eq!(two.read(0, 1).unwrap().len(), 1);
    assert!(two.read(2, 1).unwrap() == entries[2..3]);
    // A number that is used has no clean answer.
    let again = one.append(&entry(3, term, b"other"));
    assert!(matches!(again, Err(LogError::Unreachable(_))), "{again:?}");
    // Fenced once another term began.
    assert_eq!(one.release(term, 4).unwrap(), Fenced::Done(()));
    let next = taken(two.acquire(&other, term, LONG).unwrap());
    assert_eq!(
        one.append(&entry(5, term, b"late")).unwrap(),
        Fenced::Superseded
    );
    assert_eq!(
        one.append(&entry(5, term, &large)).unwrap(),
        Fenced::Superseded
    );
    assert_eq!(one.renew(term, 4, LONG).unwrap(), Fenced::Superseded);
    let state = one.look().unwrap();
    assert_eq!(
        (state.numbers, state.lease.unwrap().committed),
        (Some((1, 4)), 4)
    );
    // Handover, reports, trimming.
    one.want_handover().unwrap();
    let Fenced::Done(lease) = two.renew(next, 4, LONG).unwrap() else {
        panic!("it leads");
    };
    assert!(lease.is_handover_wanted && lease.holder == other);
    one.report(&holder, 3).unwrap();
    assert_eq!(two.nodes().unwrap()[0].number, 3);
    assert_eq!(two.trim(next, 4).unwrap(), Fenced::Done(()));
    assert_eq!(two.look().unwrap().numbers, Some((4, 4)));
    // Another relay's.
    let settings = PostgresSettings::new(&postgres.url(), None, Durability::Synchronous).unwrap();
    let foreign = ClusterKey::new(Zeroizing::new([2; 32])).id();
    let foreign = PostgresLog::new(&settings, foreign).unwrap();
    assert_eq!(foreign.look().unwrap_err(), LogError::Foreign);
}

#[test]
fn a_database_that_could_lose_commits_is_not_used() {
    let Some(postgres) = Postgres::start() else {
        return;
    };
    let strict = log(&postgres, Durability::Synchronous);
    let holder = Holder::new("one").unwrap();
    let term = taken(strict.acquire(&holder, Term(0), LONG).unwrap());
    postgres.configure(0, "synchronous_standby_names = ''\n");
    postgres.control(0, &["reload"]);
    let refused = (0..100).find_map(|_| {
        std::thread::sleep(Duration::from_millis(20));
        strict.renew(term, 0, LONG).err()
    });
    assert!(matches!(refused, Some(LogError::Unsafe(_))), "{refused:?}");
    let provider = log(&postgres, Durability::Provider);
    assert!(matches!(provider.renew(term, 0, LONG), Ok(Fenced::Done(_))));
}

/// PostgreSQL ends a wait that is cancelled with a warning and a row that is visible.
#[test]
fn a_cancelled_wait_for_the_standby_is_no_clean_answer() {
    let Some(postgres) = Postgres::start() else {
        return;
    };
    let (store, _) = lead(&postgres, &MemoryStore::new(), "one");
    let store = Arc::new(store);
    store.commit(put(1)).unwrap();
    postgres.control(1, &["stop", "-m", "immediate"]);
    let waiting = {
        let store = Arc::clone(&store);
        std::thread::spawn(move || store.commit(put(2)))
    };
    let cancel = "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'";
    for _ in 0..10 {
        std::thread::sleep(Duration::from_millis(100));
        postgres.ask(0, cancel);
    }
    assert!(
        !waiting.is_finished(),
        "what only one machine has does not count"
    );
    postgres.control(1, &["start"]);
    waiting.join().unwrap().unwrap();
    store.commit(put(3)).unwrap();
}

#[test]
fn a_primary_that_is_killed_delays_and_loses_nothing() {
    let Some(postgres) = Postgres::start() else {
        return;
    };
    let disk = MemoryStore::new();
    // There is one database only after the failover: somebody must vouch for it.
    let log = log(&postgres, Durability::Provider);
    let (store, ending) = lead_with(log, &disk, "one");
    for number in 0..50 {
        store.commit(put(number)).unwrap();
    }
    postgres.control(0, &["stop", "-m", "immediate"]);
    postgres.control(1, &["promote"]);
    let began = Instant::now();
    for number in 50..100 {
        store.commit(put(number)).unwrap();
    }
    eprintln!(
        "the first commits after the failover took {:?}",
        began.elapsed()
    );
    assert_eq!(ending.reason(), None);
    assert_eq!(disk.count(KeySpace::Entries).unwrap(), 100);
}

#[test]
fn another_node_takes_over_with_everything() {
    let Some(postgres) = Postgres::start() else {
        return;
    };
    let (first, second) = (MemoryStore::new(), MemoryStore::new());
    let (old, ending) = lead(&postgres, &first, "one");
    conformance::run(old, |store| store).unwrap();
    assert_eq!(ending.reason(), None);
    let (old, ending) = lead(&postgres, &first, "one");
    for number in 0..100 {
        old.commit(put(number)).unwrap();
    }
    // It is stopped without a word; its lease ends by itself.
    let began = Instant::now();
    let (new, _) = lead(&postgres, &second, "two");
    eprintln!("taken over after {:?}", began.elapsed());
    new.commit(put(100)).unwrap();
    assert!(began.elapsed() < Duration::from_secs(10));
    assert!(matches!(old.commit(put(100)), Err(StoreError::Superseded)));
    assert_eq!(ending.reason(), Some(Ended::Superseded));
    assert_eq!(second.count(KeySpace::Entries).unwrap(), 107);
    // A third one follows to the same.
    new.release();
    let third = MemoryStore::new();
    let (last, _) = lead(&postgres, &third, "three");
    last.release();
    let (again, _) = lead(&postgres, &second, "two");
    again.release();
    let (final_one, _) = lead(&postgres, &third, "three");
    final_one.release();
    let log = Arc::new(log(&postgres, Durability::Synchronous));
    let sealer = Sealer::new(&key()).unwrap();
    let holder = Holder::new("two").unwrap();
    let local = Arc::new(second.clone());
    let mut standby = Standby::new(local, log, holder, sealer, Arc::default()).unwrap();
    let _ = standby.turn(wall_ms(), false).unwrap();
    assert_eq!(digest(&second).unwrap(), digest(&third).unwrap());
}

/// Not a test of anything: prints how long an append takes here.
#[test]
#[ignore = "measures"]
fn how_long_an_append_takes() {
    let Some(postgres) = Postgres::start() else {
        return;
    };
    let log = log(&postgres, Durability::Synchronous);
    let holder = Holder::new("one").unwrap();
    let term = taken(log.acquire(&holder, Term(0), 10 * LONG).unwrap());
    let mut number = 0;
    for bytes in [1 << 10, 64 << 10, 1 << 20] {
        let body = vec![7; bytes];
        let mut times: Vec<Duration> = (0..200)
            .map(|_| {
                number += 1;
                let began = Instant::now();
                let _ = log.append(&entry(number, term, &body)).unwrap();
                began.elapsed()
            })
            .collect();
        times.sort();
        eprintln!("{bytes} bytes: p50 {:?}, p99 {:?}", times[100], times[197]);
    }
}
