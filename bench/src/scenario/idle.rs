//! What a link costs that does nothing: ten thousand devices, logged in.

use anyhow::Result;
use xtask::progress::Progress;

use super::World;
use crate::report::{Line, rounded};

/// Opens and logs in `connections` links and compares the relay's memory.
pub async fn run(world: &World, connections: usize, progress: Progress) -> Result<Line> {
    // What the relay needs once, whatever comes, is not counted to the links.
    let step = progress.step("warming up");
    let warm = world.people(200.min(connections), &step).await?;
    drop(warm);
    step.done("");
    let process = world.process()?;
    let settle = std::time::Duration::from_secs(2);
    tokio::time::sleep(settle).await;
    let before = process.resident_kib()?;

    let step = progress.step(&format!("opening {connections} links"));
    let people = world.people(connections, &step).await?;
    let mut open = Vec::with_capacity(connections);
    for (mut person, mut link) in people {
        person.log_in(&mut link).await?;
        step.say(&format!("{} of {connections} logged in", open.len()));
        open.push(link);
    }
    tokio::time::sleep(settle).await;
    step.done("");

    let after = process.resident_kib()?;
    let cpu = process.cpu()?;
    let watched = std::time::Duration::from_secs(5);
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

fn percent(part: std::time::Duration, whole: std::time::Duration) -> f64 {
    part.as_secs_f64() / whole.as_secs_f64() * 100.0
}
