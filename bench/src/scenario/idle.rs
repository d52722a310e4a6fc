//! What a link costs that does nothing: ten thousand devices, logged in.

use std::time::Duration;

use anyhow::Result;
use xtask::progress::Progress;

use super::World;
use crate::report::{Line, rounded};

/// For what the relay does after the last request.
const SETTLE: Duration = Duration::from_secs(2);

/// Registers `connections` people, starts the relay again (so that what it holds of
/// registrations, in its store's buffers above all, is not counted to the links), opens
/// and logs in a link for each, and compares the relay's memory.
pub async fn run(world: &mut World, connections: usize, progress: Progress) -> Result<Line> {
    let step = progress.step(&format!("registering {connections} people"));
    let mut people = Vec::with_capacity(connections);
    for (person, _) in world.people(connections, &step).await? {
        people.push(person);
    }
    step.done("");
    world.kill()?;
    world.restart()?;

    // What the relay needs once, whatever comes, is not counted to the links either: the
    // store's cache, which is bounded, is filled by everyone's having been there.
    let step = progress.step("everyone is there once");
    for (at, person) in people.iter_mut().enumerate() {
        drop(person.mailbox_link(&world.target).await?);
        step.say(&format!("{} of {connections}", at + 1));
    }
    step.done("");
    let process = world.process()?;
    tokio::time::sleep(SETTLE).await;
    let before = process.resident_kib()?;

    let step = progress.step(&format!("opening {connections} links"));
    let mut open = Vec::with_capacity(connections);
    for person in &mut people {
        open.push(person.mailbox_link(&world.target).await?);
        step.say(&format!("{} of {connections} logged in", open.len()));
    }
    tokio::time::sleep(SETTLE).await;
    step.done("");

    let after = process.resident_kib()?;
    let cpu = process.cpu()?;
    let watched = Duration::from_secs(5);
    tokio::time::sleep(watched).await;
    let idle_cpu = process.cpu()?.saturating_sub(cpu);
    let each = (after.saturating_sub(before)) as f64 / open.len() as f64;
    Ok(Line::new("idle")
        .field("connections", open.len())
        .field("kib_per_connection", rounded(each, 2))
        .note(
            "resident before and after",
            format!("{before} KiB, {after} KiB"),
        )
        .note(
            "CPU of the relay while all were idle",
            format!("{:.2} %", percent(idle_cpu, watched)),
        ))
}

fn percent(part: Duration, whole: Duration) -> f64 {
    part.as_secs_f64() / whole.as_secs_f64() * 100.0
}
