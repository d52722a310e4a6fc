//! Messages to people who are not there: how fast they are durably kept, and how fast
//! they are handed over afterwards.
//!
//! **Elsewhere**: whether what was acknowledged survives a crash is `crash`.
//!
//! **Always**: a message is stored once and waits in two mailboxes (the recipient's
//! device and the sender's own); it is counted as handed over when both have it and
//! have acknowledged it.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng as _};
use tokio::task::JoinSet;
use waxwing_protocol::ids::PostId;
use waxwing_protocol::pb::{self, client_frame, relay_frame};
use xtask::progress::Progress;

use super::{Couple, World};
use crate::link::{Link, answer};
use crate::person::{Pair, Person, body};
use crate::report::{Line, median, rounded};

/// Posts that a sender has under way at once.
const WINDOW: usize = 64;

/// How often storing and draining is repeated.
const RUNS: usize = 3;

/// For the next post to be handed over.
const PATIENCE: Duration = Duration::from_secs(20);

/// For what the store still writes after its last answer.
const SETTLE: Duration = Duration::from_secs(3);

/// Stores `messages` of `bytes` from `senders` people, then hands them over.
pub async fn run(
    world: &World,
    messages: usize,
    bytes: usize,
    senders: usize,
    progress: Progress,
) -> Result<Line> {
    let couples = Box::pin(world.pairs(senders, progress)).await?;
    let process = world.process()?;
    let each = messages / couples.len();
    let messages = each * couples.len();
    let mut people = Vec::new();
    let mut pairs = Vec::new();
    for Couple {
        pair,
        people: two,
        links,
    } in couples
    {
        // The welcomes are taken, so that only messages wait.
        for (person, link) in two.into_iter().zip(links) {
            people.push(drain(person, link, 1).await?);
        }
        pairs.push(pair);
    }

    let (mut stored, mut drained, mut costs, mut written) = (vec![], vec![], vec![], vec![]);
    for run in 0..RUNS {
        let step = progress.step(&format!(
            "run {} of {RUNS}: storing {messages} messages",
            run + 1
        ));
        let mut links = Vec::new();
        for pair in &pairs {
            links.push(pair.posting_link(0, &world.target).await?);
        }
        let (cpu, disk) = (process.cpu()?, process.written_bytes()?);
        let began = Instant::now();
        let mut tasks = JoinSet::new();
        for (at, (pair, link)) in pairs.drain(..).zip(links).enumerate() {
            let seed = (run * senders + at) as u64;
            tasks.spawn(store(pair, link, each, bytes, seed));
        }
        while let Some(pair) = tasks.join_next().await {
            pairs.push(pair??);
        }
        let took = began.elapsed();
        let store_cpu = process.cpu()?.saturating_sub(cpu);
        stored.push(messages as f64 / took.as_secs_f64());
        tokio::time::sleep(SETTLE).await;
        let kept = (messages * bytes) as f64;
        written.push((process.written_bytes()?.saturating_sub(disk)) as f64 / kept);
        step.done(&format!(
            "{:.0} messages/s",
            messages as f64 / took.as_secs_f64()
        ));

        let step = progress.step(&format!("run {} of {RUNS}: handing them over", run + 1));
        let cpu = process.cpu()?;
        let began = Instant::now();
        let mut tasks = JoinSet::new();
        for mut person in people.drain(..) {
            let target = world.target.clone();
            tasks.spawn(async move {
                let link = person.mailbox_link(&target).await?;
                drain(person, link, each).await
            });
        }
        while let Some(person) = tasks.join_next().await {
            people.push(person??);
        }
        let took = began.elapsed();
        let cost = store_cpu + process.cpu()?.saturating_sub(cpu);
        drained.push(messages as f64 / took.as_secs_f64());
        costs.push(cost.as_secs_f64() * 1e6 / messages as f64);
        step.done(&format!(
            "{:.0} messages/s",
            messages as f64 / took.as_secs_f64()
        ));
    }
    Ok(Line::new("offline")
        .field("messages", messages)
        .field("message_bytes", bytes)
        .field("store_messages_per_s", median(stored).round())
        .field("drain_messages_per_s", median(drained).round())
        .field("server_cpu_us_per_message", rounded(median(costs), 1))
        .field("write_amplification", rounded(median(written), 2))
        .note("senders", senders.to_string())
        .note(
            "mailboxes per message",
            "2: the recipient's device and the sender's own",
        )
        .note(
            "draining includes",
            "opening and logging in a link for each mailbox",
        ))
}

/// Posts `count` messages; each is on disk when its answer has come.
async fn store(pair: Pair, link: Link, count: usize, bytes: usize, seed: u64) -> Result<Pair> {
    let mut rng = ChaCha20Rng::seed_from_u64(seed);
    // People draw their keys and their welcome's id from streams 0: a message with such an
    // id would be one that the relay has taken before.
    rng.set_stream(1);
    let (mut sender, mut receiver) = link.split();
    let text = body(&mut rng, bytes);
    let (mut sent, mut kept) = (0, 0);
    while kept < count {
        while sent < count && sent - kept < WINDOW {
            let mut id = [0; 16];
            rng.fill_bytes(&mut id);
            sent += 1;
            // Differs in each, so that nothing could be stored once for all.
            let unique = [&id, text.slice(16.min(bytes)..).as_ref()].concat();
            let request = u32::try_from(sent)? + 1_000;
            sender
                .feed(request, pair.post(PostId(id), unique.into()))
                .await?;
        }
        sender.flush().await?;
        let mut next = Some(receiver.next().await);
        while let Some(frame) = next {
            if !matches!(answer(frame?)?, relay_frame::Body::Posted(_)) {
                bail!("a post was not answered");
            }
            kept += 1;
            next = receiver.next_ready();
        }
    }
    Ok(pair)
}

/// Takes and acknowledges `count` posts.
async fn drain(person: Person, link: Link, count: usize) -> Result<Person> {
    let (mut sender, mut receiver) = link.split();
    let mut taken = 0;
    let mut newest = 0;
    while taken < count {
        let first = tokio::time::timeout(PATIENCE, receiver.next()).await;
        let first = first.with_context(|| {
            format!("{taken} of {count} posts came, the last numbered {newest}, then nothing")
        })?;
        let mut next = Some(first);
        while let Some(frame) = next {
            if let Some(relay_frame::Body::Deliver(deliver)) = frame?.body {
                if newest > 0 && deliver.sequence != newest + 1 {
                    bail!("number {} came behind {newest}", deliver.sequence);
                }
                newest = deliver.sequence;
                taken += 1;
            }
            next = receiver.next_ready();
        }
        let acknowledge = pb::Acknowledge { sequence: newest };
        sender
            .feed(0, client_frame::Body::Acknowledge(acknowledge))
            .await?;
        sender.flush().await?;
    }
    // Acknowledgements are not answered; an answer to this one comes after them.
    sender
        .feed(1, client_frame::Body::Ping(pb::Ping {}))
        .await?;
    sender.flush().await?;
    while !matches!(
        receiver.next().await?.body,
        Some(relay_frame::Body::Pong(_))
    ) {}
    Ok(person)
}
