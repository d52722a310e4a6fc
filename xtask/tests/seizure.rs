//! The demo's seizure, smaller: the real programs, and every claim about what a relay
//! keeps.
//!
//! **Elsewhere**: the search and its verdict, with what must make them fail, are tested
//! where they are (`demo::search`, `demo::seizure`).

#![cfg(test)]

use xtask::demo::{seizure::seize, stage::Stage};
use xtask::progress::Progress;
use xtask::workspace::{Profile, Programs};

/// The demo takes ten thousand.
const CANARIES: usize = 300;

/// Takes a minute and little more: for so long a relay may keep what was acknowledged.
#[test]
fn a_seized_relay_has_no_text_no_key_and_no_address() {
    let progress = Progress::for_people();
    let programs = Programs::build(Profile::Dev, progress).unwrap();
    let mut stage = Stage::set(&programs, progress).unwrap();
    stage.talk(progress).unwrap();
    let seizure = seize(&mut stage, CANARIES, progress).unwrap();
    seizure.verdict().unwrap();
    // A person is told what could not be looked at; a test has to look.
    let memory = seizure.in_memory.as_ref().unwrap();
    assert!(memory.bytes > 1 << 20, "{} bytes of memory", memory.bytes);
    assert!(seizure.control.is_ok(), "{:?}", seizure.control);
    assert!(seizure.waiting > 0 && seizure.ciphertexts >= seizure.waiting);
    assert!(seizure.keys.len() > 20, "{:?}", seizure.keys);
    stage.clear().unwrap();
}
