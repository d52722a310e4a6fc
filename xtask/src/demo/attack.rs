//! The operator lies: the relay swaps one person's keys for another's, and the client refuses
//! them before the first message is sent.
//!
//! **Elsewhere**: `xtask-swap` changes the relay's disk; all attacks that are tried are in
//! `tests/tests/attacks`.
//!
//! **Always**: the attacker has everything that the relay has: its disk and all its keys.

use std::process::Command;

use anyhow::{Context as _, Result, bail};

use super::stage::Stage;
use crate::progress::Progress;

/// What came of it.
#[derive(Debug)]
pub struct Attack {
    /// Whose keys were swapped.
    pub victim: String,
    /// For whose.
    pub attacker: String,
    /// Why the message was not sent, as its sender was told.
    pub reason: String,
    /// What stands in the sender's alarms.
    pub alarm: String,
    /// What an auditor said of the log before.
    pub audited: String,
}

/// Lets an auditor look at the log, then swaps somebody's keys and has Alice write to them.
pub fn attack(stage: &mut Stage, progress: Progress) -> Result<Attack> {
    let step = progress.step("an auditor checks the relay's key log");
    let audited = stage.audit()?;
    step.done(&audited);
    let (carol, mallory) = (stage.somebody("carol"), stage.somebody("mallory"));
    let step = progress.step("the operator swaps Carol's keys for Mallory's");
    for person in [&carol, &mallory] {
        stage.register(person)?;
    }
    let accounts = [stage.account(&carol)?, stage.account(&mallory)?];
    stage.while_stopped(|stage| swap(stage, &accounts))?;
    step.done("on the disk, with the relay's own keys");
    let step = progress.step("Alice writes to Carol");
    let reason = stage.refused(&stage.alice, &carol, "Carol, only you should read this.")?;
    let alarm = stage.alarm(&stage.alice)?;
    for person in [&mallory, &carol] {
        if stage.has_heard(person)? {
            bail!("{} got what was not for them", person.address);
        }
    }
    step.done("nothing left her device");
    Ok(Attack {
        victim: carol.address,
        attacker: mallory.address,
        reason,
        alarm,
        audited,
    })
}

fn swap(stage: &Stage, accounts: &[String; 2]) -> Result<()> {
    let status = Command::new(&stage.programs.swap)
        .arg(stage.data())
        .args(accounts)
        .status()
        .context("cannot start xtask-swap")?;
    if !status.success() {
        bail!("the keys could not be swapped");
    }
    Ok(())
}
