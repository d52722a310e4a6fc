//! How fast the key log is, and how large its answers are, on the embedded store:
//! `cargo run --release -p waxwing-relay --example key_log_speed -- 100000`.

#![allow(
    clippy::unwrap_used,
    clippy::cast_precision_loss,
    clippy::print_stdout,
    reason = "a measurement"
)]

use std::sync::Arc;
use std::time::Instant;

use prost::Message as _;
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng as _};
use waxwing_protocol::{
    address::Address,
    pb,
    posting::PostingKey,
    roster::{self, Roster},
    signature::{HybridSigningKey, SigningSeed},
    time::{Span, Time},
};
use waxwing_relay::{
    directory::log::{KeyLog, LogKeys, Publication},
    store::{KeySpace, Store as _, Write, embedded::EmbeddedStore, key, records::AccountRecord},
};
use waxwing_transparency::proof::Entry;

fn main() {
    let accounts = std::env::args().nth(1).and_then(|n| n.parse().ok());
    let accounts: u64 = accounts.unwrap_or(100_000);
    let directory = tempfile::tempdir().unwrap();
    let store = Arc::new(EmbeddedStore::open(directory.path()).unwrap());
    let mut rng = ChaCha20Rng::from_seed([1; 32]);
    let mut now = Time(1_800_000_000_000);
    let keys = LogKeys::simulated(&[1; 32], &[2; 32]).unwrap();
    let log = KeyLog::open(Arc::clone(&store), keys, Vec::new(), now, &mut rng).unwrap();

    let device = HybridSigningKey::from_seed(&SigningSeed::generate(&mut rng));
    let leaf = *PostingKey::from_seed(&[9; 32]).public().as_bytes();
    let first = roster::create_account(&mut rng, now, &device, leaf, device.public());
    let roster = Roster::verify(std::slice::from_ref(&first)).unwrap();
    let record = AccountRecord {
        roster: vec![first],
    };
    let account = Write {
        space: KeySpace::Accounts,
        key: key(&[roster.account().as_bytes()]),
        value: Some(record.encode_to_vec().into()),
    };
    store.commit(vec![account]).unwrap();

    let address = |n: u64| Address::parse(&format!("somebody{n}@example.org")).unwrap();
    let mut publish = |from: u64, count: u64| {
        now = now.after(Span::seconds(1));
        let entry = Entry::new(&roster, pb::Verification::EmailCode, now);
        let changes = (from..from + count).map(|n| (address(n), entry.clone()));
        let publication = Publication {
            changes: changes.collect(),
            writes: Vec::new(),
        };
        let began = Instant::now();
        let head = log.publish(now, &mut rng, publication).unwrap();
        let took = began.elapsed().as_secs_f64() * 1000.0;
        (took, log.audit(head.epoch).unwrap().len())
    };

    let began = Instant::now();
    for from in (0..accounts).step_by(10_000) {
        publish(from, 10_000.min(accounts - from));
    }
    let seconds = began.elapsed().as_secs_f64();
    println!("{accounts} accounts in epochs of 10,000: {seconds:.1} s");
    for (what, from) in [("new", accounts), ("changed", 1000)] {
        for (count, times) in [(1, 50), (100, 5), (10_000, 1)] {
            let mut took = 0.0;
            let mut bytes = 0;
            for time in 0..times {
                let (one, size) = publish(from + count * (time + 1) + count, count);
                took += one;
                bytes = size;
            }
            let mean = took / times as f64;
            println!("publish {count} {what}: {mean:.2} ms, audit proof {bytes} bytes");
        }
    }
    let looks = 2000_u64;
    let began = Instant::now();
    let (mut proof, mut links, mut whole) = (0, 0, 0);
    for n in 0..looks {
        let found = log.look_up(&address(n * 7919 % accounts), 1).unwrap();
        proof += found.proof.as_ref().unwrap().encoded_len();
        let view = found.log.as_ref().unwrap();
        links += view.links.iter().map(bytes::Bytes::len).sum::<usize>();
        whole += found.encoded_len();
    }
    let each = began.elapsed().as_secs_f64() * 1000.0 / looks as f64;
    let mean = |bytes: usize| bytes as f64 / looks as f64;
    println!(
        "look up: {each:.2} ms, proof {:.0} bytes, links {:.0} bytes, answer {:.0} bytes",
        mean(proof),
        mean(links),
        mean(whole)
    );
    let usage = store.usage().bytes_on_disk as f64 / 1e6;
    let nodes = store.count(KeySpace::LogNodes).unwrap();
    println!("{nodes} nodes; the store has {usage:.0} MB");
}
