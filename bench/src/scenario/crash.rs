//! The relay killed under load: is everything there that it had acknowledged?
//!
//! **Elsewhere**: a power cut, which also takes what the kernel had not written, is not
//! what this shows; that the relay waits for the disk is tested in the relay.
//!
//! **Always**: a message counts as lost when the relay had answered for it and one of
//! the two devices it was for never gets it, neither before the crash nor after.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use bytes::Bytes;
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng as _};
use tokio::sync::Mutex;
use tokio::task::JoinSet;
use waxwing_protocol::ids::PostId;
use waxwing_protocol::pb::{self, client_frame, relay_frame};
use xtask::progress::Progress;

use super::{Couple, World};
use crate::link::{Link, answer};
use crate::person::{Pair, Person, body};
use crate::report::Line;

/// How often the relay is killed.
const KILLS: usize = 5;
/// Posts that a sender has under way at once.
const WINDOW: usize = 32;
const MESSAGE_BYTES: usize = 512;

/// When no device has been handed anything for so long, there is nothing more.
const QUIET: Duration = Duration::from_secs(3);

type Ids = HashSet<Bytes>;

/// One pair: what the relay answered for, and what each of the two got.
struct Account {
    pair: Pair,
    people: [Person; 2],
    acknowledged: Arc<Mutex<Ids>>,
    received: [Arc<Mutex<Ids>>; 2],
}

/// Kills the relay [`KILLS`] times while `pairs` people post.
pub async fn run(world: &mut World, pairs: usize, progress: Progress) -> Result<Line> {
    let couples = Box::pin(world.pairs(pairs, progress)).await?;
    let mut accounts: Vec<Account> = couples
        .into_iter()
        .map(
            |Couple {
                 pair,
                 people,
                 links: _,
             }| Account {
                pair,
                people,
                acknowledged: Arc::default(),
                received: [Arc::default(), Arc::default()],
            },
        )
        .collect();
    let mut rng = ChaCha20Rng::seed_from_u64(7);

    for kill in 0..KILLS {
        let step = progress.step(&format!("kill {} of {KILLS}", kill + 1));
        let mut tasks = JoinSet::new();
        for (at, account) in accounts.iter_mut().enumerate() {
            // In every other pair one of the two is there, and both in every fourth: then
            // the relay may answer as soon as they have it, before the disk does.
            let there = match at % 4 {
                0 => 2,
                2 => 1,
                _ => 0,
            };
            for (person, received) in account.people.iter_mut().zip(&account.received).take(there) {
                let link = person.mailbox_link(&world.target).await?;
                tasks.spawn(take(link, Arc::clone(received)));
            }
            let link = account.pair.posting_link(0, &world.target).await?;
            let bodies = (0..WINDOW)
                .map(|_| {
                    let mut id = [0; 16];
                    rng.fill_bytes(&mut id);
                    account.pair.post(PostId(id), body(&mut rng, MESSAGE_BYTES))
                })
                .collect();
            tasks.spawn(post(
                link,
                bodies,
                rng.next_u64(),
                Arc::clone(&account.acknowledged),
            ));
        }
        tokio::time::sleep(Duration::from_millis(700 + u64::from(rng.next_u32() % 900))).await;
        world.kill()?;
        // The links end with the relay.
        while tasks.join_next().await.is_some() {}
        world.restart()?;
        step.done("");
    }

    let step = progress.step("asking for everything");
    let mut tasks = JoinSet::new();
    for account in &mut accounts {
        for (person, received) in account.people.iter_mut().zip(&account.received) {
            let link = person.mailbox_link(&world.target).await?;
            tasks.spawn(take_until_quiet(link, Arc::clone(received)));
        }
    }
    while let Some(ended) = tasks.join_next().await {
        ended??;
    }
    step.done("");

    let (mut acknowledged, mut lost) = (0, 0);
    for account in &accounts {
        let [first, second] = &account.received;
        let (first, second) = (first.lock().await, second.lock().await);
        let promised = account.acknowledged.lock().await;
        acknowledged += promised.len();
        lost += promised
            .iter()
            .filter(|id| !first.contains(*id) || !second.contains(*id))
            .count();
    }
    Ok(Line::new("crash")
        .field("acknowledged", acknowledged)
        .field("lost", lost)
        .note("kills", KILLS.to_string())
        .note("senders", pairs.to_string()))
}

/// Posts until the link breaks; notes what the relay answered for.
async fn post(
    link: Link,
    mut waiting: Vec<client_frame::Body>,
    seed: u64,
    acknowledged: Arc<Mutex<Ids>>,
) -> Result<()> {
    let mut rng = ChaCha20Rng::seed_from_u64(seed);
    // Not one of the streams that people draw their ids from.
    rng.set_stream(1);
    let (mut sender, mut receiver) = link.split();
    let mut under_way = std::collections::HashMap::new();
    let mut request = 1_000;
    loop {
        while let Some(body) = waiting.pop() {
            request += 1;
            under_way.insert(request, body.clone());
            sender.feed(request, body).await?;
        }
        sender.flush().await?;
        let frame = receiver.next().await?;
        let answered = frame.request;
        if !matches!(answer(frame)?, relay_frame::Body::Posted(_)) {
            continue;
        }
        if let Some(client_frame::Body::Post(mut post)) = under_way.remove(&answered) {
            acknowledged.lock().await.insert(post.post_id.clone());
            let mut id = [0; 16];
            rng.fill_bytes(&mut id);
            post.post_id = Bytes::copy_from_slice(&id);
            waiting.push(client_frame::Body::Post(post));
        }
    }
}

/// Takes and acknowledges posts until the link breaks.
async fn take(link: Link, received: Arc<Mutex<Ids>>) -> Result<()> {
    let (mut sender, mut receiver) = link.split();
    loop {
        let frame = receiver.next().await?;
        take_one(frame, &received, &mut sender).await?;
    }
}

async fn take_until_quiet(link: Link, received: Arc<Mutex<Ids>>) -> Result<()> {
    let (mut sender, mut receiver) = link.split();
    while let Ok(frame) = tokio::time::timeout(QUIET, receiver.next()).await {
        take_one(frame?, &received, &mut sender).await?;
    }
    Ok(())
}

async fn take_one(
    frame: pb::RelayFrame,
    received: &Mutex<Ids>,
    sender: &mut crate::link::Sender,
) -> Result<()> {
    if let Some(relay_frame::Body::Deliver(deliver)) = frame.body {
        // As a client does: first it is safe here, then the relay may forget it.
        received.lock().await.insert(deliver.post_id.clone());
        let acknowledge = pb::Acknowledge {
            sequence: deliver.sequence,
        };
        sender
            .feed(0, client_frame::Body::Acknowledge(acknowledge))
            .await?;
        sender.flush().await?;
    }
    Ok(())
}
