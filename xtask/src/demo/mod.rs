//! `cargo xtask demo`: runs the whole system, then seizes its relay, then lets its operator
//! lie.
//!
//! **Elsewhere**: the people and their relay are in `stage`; the ten thousand canaries and the
//! search for them in `seizure`; the swapped key in `attack`; the summary at the end in
//! `summary`; text messages in `sms`.
//!
//! **Always**: the programs are the ones that people use, built for release; the codes come
//! in mails, as files; nothing in the output was written beforehand.

mod attack;
mod ciphertexts;
pub mod mails;
pub mod rpc;
pub mod search;
pub mod seizure;
mod sms;
mod smsc;
pub mod stage;
pub mod summary;

use std::io::Read as _;

use anyhow::Result;

use crate::progress::Progress;
use crate::workspace::{Profile, Programs};

/// What `cargo xtask demo` can be told.
#[derive(clap::Args, Debug)]
pub struct Options {
    /// Leave everything running at the end, to chat by hand.
    #[arg(long)]
    keep: bool,
    /// How many canary texts pass through the relay.
    #[arg(long, default_value_t = 10_000, value_name = "COUNT")]
    canaries: usize,
    /// Instead: text messages, a spoof of 2012 among them, and how they are shown.
    #[arg(long, conflicts_with_all = ["keep", "canaries"])]
    sms: bool,
}

/// Runs it.
pub fn run(options: &Options) -> Result<()> {
    let progress = Progress::for_people();
    if options.sms {
        eprintln!("Waxwing demo: text messages, and what they prove\n");
        return sms::run(&Programs::build(Profile::Release, progress)?, progress);
    }
    eprintln!("Waxwing demo: two people, one relay, and what is left when it is seized\n");
    let programs = Programs::build(Profile::Release, progress)?;
    let mut stage = stage::Stage::set(&programs, progress)?;
    let talk = stage.talk(progress)?;
    let seizure = seizure::seize(&mut stage, options.canaries, progress)?;
    let attack = attack::attack(&mut stage, progress)?;
    summary::print(&stage, &talk, &seizure, &attack);
    seizure.verdict()?;
    if options.keep {
        keep(&stage);
    }
    stage.clear()
}

/// Waits while people try it by hand.
fn keep(stage: &stage::Stage) {
    println!("\nEverything is still running. In one terminal:\n");
    let program = stage.programs.waxwing.display();
    let (alice, bob) = (&stage.alice, &stage.bob);
    println!("  {program} --home {} listen\n", bob.home.display());
    println!("and in another:\n");
    println!(
        "  {program} --home {} send {} \"Hello from my own hands\"\n",
        alice.home.display(),
        bob.address
    );
    println!("The relay's data is in {}", stage.data().display());
    println!("and its log in {}.", stage.logs().display());
    println!("\nPress Enter to stop everything and delete it.");
    // Whatever comes, even the end of the input, ends it.
    let _ = std::io::stdin().read(&mut [0]);
}
