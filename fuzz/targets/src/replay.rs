//! Replaying a target's corpus, and seeded mutations of it, without a fuzzer.
//!
//! Where `WAXWING_NEW_INPUTS_SECONDS` is set, as in CI, each target gets mutations that no run
//! has tried before, for so many seconds.
//!
//! **Always**: the same corpus and seed give the same inputs; an input that fails is
//! written out, so that it can be kept.

use std::{
    fs,
    path::PathBuf,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use rand_chacha::{
    ChaCha20Rng,
    rand_core::{Rng, SeedableRng as _},
};

use crate::{Target, seeds};

/// Bytes of an input, at most: more find nothing that fewer do not, but slowly.
const INPUT_BYTES: usize = 64 << 10;

/// The folder of a target's corpus.
pub fn corpus_folder(target: &Target) -> PathBuf {
    seeds::root().join("fuzz/corpus").join(target.name)
}

/// The corpus of a target, in the order of its names.
pub fn corpus(target: &Target) -> Vec<(String, Vec<u8>)> {
    let folder = corpus_folder(target);
    let entries =
        fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut inputs: Vec<_> = entries
        .map(|entry| {
            let path = entry.map(|entry| entry.path()).unwrap_or_default();
            let name = path
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned();
            let bytes =
                fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            (name, bytes)
        })
        .collect();
    inputs.sort();
    inputs
}

/// Runs a target over its corpus, over as many mutations of it as it asks for, and over new
/// ones where that is asked for.
pub fn replay(target: &Target) {
    let corpus = corpus(target);
    assert!(!corpus.is_empty(), "{} has a corpus", target.name);
    for (name, input) in &corpus {
        run(target, name, input);
    }
    let mut rng = ChaCha20Rng::from_seed([7; 32]);
    for number in 0..target.mutations {
        let input = mutated(&corpus, &mut rng);
        run(target, &format!("mutation {number}"), &input);
    }
    if let Some(time) = time_for_new_inputs() {
        try_new_inputs(target, &corpus, time);
    }
}

fn time_for_new_inputs() -> Option<Duration> {
    let seconds = std::env::var("WAXWING_NEW_INPUTS_SECONDS").ok()?;
    seconds.parse().ok().map(Duration::from_secs)
}

fn try_new_inputs(target: &Target, corpus: &[(String, Vec<u8>)], time: Duration) {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH);
    let seed = since_1970.map_or(0, |time| time.as_secs());
    let mut rng = ChaCha20Rng::seed_from_u64(seed);
    let end = Instant::now() + time;
    let mut number = 0_u64;
    while Instant::now() < end {
        let input = mutated(corpus, &mut rng);
        run(target, &format!("mutation {number} of seed {seed}"), &input);
        number += 1;
    }
    eprintln!("{}: {number} new inputs", target.name);
}

fn run(target: &Target, name: &str, input: &[u8]) {
    let shown = ShownWhenItFails {
        target,
        name,
        input,
    };
    (target.run)(input);
    drop(shown);
}

struct ShownWhenItFails<'a> {
    target: &'a Target,
    name: &'a str,
    input: &'a [u8],
}

impl Drop for ShownWhenItFails<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let path = std::env::temp_dir().join(format!("waxwing-fuzz-{}", self.target.name));
            let written = fs::write(&path, self.input);
            eprintln!(
                "{} fails on {} ({} bytes, written to {}: {written:?})",
                self.target.name,
                self.name,
                self.input.len(),
                path.display(),
            );
        }
    }
}

/// One input of the corpus with a few changes.
fn mutated(corpus: &[(String, Vec<u8>)], rng: &mut ChaCha20Rng) -> Vec<u8> {
    let mut input = picked(corpus, rng).to_vec();
    for _ in 0..=below(rng, 4) {
        mutate(&mut input, corpus, rng);
    }
    input.truncate(INPUT_BYTES);
    input
}

fn picked<'a>(corpus: &'a [(String, Vec<u8>)], rng: &mut ChaCha20Rng) -> &'a [u8] {
    corpus
        .get(below(rng, corpus.len()))
        .map(|(_, bytes)| bytes.as_slice())
        .unwrap_or_default()
}

fn mutate(input: &mut Vec<u8>, corpus: &[(String, Vec<u8>)], rng: &mut ChaCha20Rng) {
    /// What parsers get wrong: ends of varints, lengths and ranges.
    const INTERESTING: [&[u8]; 8] = [
        &[0],
        &[0x7f],
        &[0x80],
        &[0xff],
        &[0xff, 0xff, 0xff, 0xff, 0x0f],
        &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01],
        &[0xff, 0xff, 0xff, 0x7f],
        &[0, 0, 0, 0, 0, 0, 0, 0x80],
    ];
    let at = below(rng, input.len() + 1);
    let end = at + below(rng, (input.len() - at).min(32) + 1);
    match below(rng, 8) {
        0 => {
            if let Some(byte) = input.get_mut(at) {
                *byte ^= 1 << below(rng, 8);
            }
        }
        1 => {
            if let Some(byte) = input.get_mut(at) {
                *byte = rng.next_u32().to_le_bytes()[0];
            }
        }
        2 => input.truncate(at),
        3 => {
            input.drain(at..end);
        }
        4 => {
            let part = input.get(at..end).unwrap_or_default().to_vec();
            let place = below(rng, input.len() + 1);
            input.splice(place..place, part);
        }
        5 => {
            let what = INTERESTING
                .get(below(rng, INTERESTING.len()))
                .copied()
                .unwrap_or_default();
            let replaced = (at + what.len()).min(input.len());
            input.splice(at..replaced, what.iter().copied());
        }
        6 => {
            let other = picked(corpus, rng);
            let from = below(rng, other.len() + 1);
            input.truncate(at);
            input.extend_from_slice(other.get(from..).unwrap_or_default());
        }
        _ => {
            let mut fresh = vec![0; below(rng, 16)];
            rng.fill_bytes(&mut fresh);
            input.splice(at..at, fresh);
        }
    }
}

/// A number below `bound`; 0 for 0.
fn below(rng: &mut ChaCha20Rng, bound: usize) -> usize {
    let number = usize::try_from(rng.next_u32()).unwrap_or_default();
    number.checked_rem(bound).unwrap_or_default()
}
