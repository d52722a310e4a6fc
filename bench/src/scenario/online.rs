//! Messages between people who are there: how many, how fast, at what cost.
//!
//! **Elsewhere**: people who are not there are `offline`.
//!
//! **Always**: each person has the two links that a client has; a message is counted
//! when the recipient has it, acknowledged, and the sender has the relay's word for it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use bytes::{BufMut as _, Bytes, BytesMut};
use hdrhistogram::Histogram;
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng as _};
use serde_json::json;
use tokio::sync::Mutex;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval_at};
use waxwing_protocol::ids::PostId;
use waxwing_protocol::pb::{self, client_frame, relay_frame};
use xtask::progress::Progress;

use super::{Couple, World};
use crate::link::{Link, Receiver, Sender, answer};
use crate::person::Pair;
use crate::report::{Line, median, rounded};

/// Posts that a sender has under way at once when it goes as fast as it can.
const WINDOW: usize = 16;

/// How often the measurement is repeated.
const RUNS: usize = 3;

/// How long each run takes.
const RUN: Duration = Duration::from_secs(8);

/// The rate at which latency is measured.
const PACED_PER_SECOND: usize = 1_000;

/// What everybody shares.
struct Shared {
    began: Instant,
    sending: AtomicBool,
    posted: AtomicU64,
    delivered: AtomicU64,
    latency: Mutex<Histogram<u64>>,
}

/// Exchanges messages of `bytes` over `connections` links: two for each person.
pub async fn run(
    world: &World,
    connections: usize,
    bytes: usize,
    progress: Progress,
) -> Result<Line> {
    let couples = Box::pin(world.pairs(connections / 4, progress)).await?;
    let connections = couples.len() * 4;
    let shared = Arc::new(Shared {
        began: Instant::now(),
        sending: AtomicBool::new(false),
        posted: AtomicU64::new(0),
        delivered: AtomicU64::new(0),
        latency: Mutex::new(Histogram::new_with_bounds(1, 60_000_000, 3)?),
    });
    let step = progress.step("opening the links that post");
    let mut receivers = JoinSet::new();
    let mut posters = Vec::new();
    for couple in couples {
        let Couple {
            pair,
            people,
            links,
        } = couple;
        let pair = Arc::new(pair);
        for (member, link) in links.into_iter().enumerate() {
            let number = u32::try_from(posters.len())?;
            let posting = pair.posting_link(member, &world.target).await?;
            posters.push(Poster::new(number, Arc::clone(&pair), posting, bytes));
            receivers.spawn(receive(number, link, Arc::clone(&shared)));
        }
        drop(people);
    }
    step.done("");

    let process = world.process()?;
    let step = progress.step(&format!(
        "{RUNS} runs of {} s as fast as it goes",
        RUN.as_secs()
    ));
    let (mut rates, mut costs, mut total) = (Vec::new(), Vec::new(), 0);
    for run in 0..RUNS {
        let cpu = process.cpu()?;
        let (messages, took, back) = exchange(posters, &shared, Pace::AsFastAsItGoes, RUN).await?;
        posters = back;
        let cost = process.cpu()?.saturating_sub(cpu);
        rates.push(messages as f64 / took.as_secs_f64());
        costs.push(cost.as_secs_f64() * 1e6 / messages as f64);
        total += messages;
        step.say(&format!("run {} of {RUNS}: {messages} messages", run + 1));
    }
    let rate = median(rates);
    step.done(&format!("{rate:.0} messages/s"));

    let step = progress.step(&format!("latency at {PACED_PER_SECOND} messages/s"));
    shared.latency.lock().await.reset();
    let cpu = process.cpu()?;
    let (paced, took, _posters) = exchange(posters, &shared, Pace::Even, 2 * RUN).await?;
    let paced_cost = process.cpu()?.saturating_sub(cpu).as_secs_f64() * 1e6 / paced as f64;
    let latency = shared.latency.lock().await.clone();
    step.done("");
    receivers.abort_all();

    let milliseconds = |quantile| rounded(latency.value_at_quantile(quantile) as f64 / 1000.0, 3);
    Ok(Line::new("online")
        .field("connections", connections)
        .field("message_bytes", bytes)
        .field("messages", total)
        .field("messages_per_s", rate.round())
        .field("server_cpu_us_per_message", rounded(median(costs), 1))
        .field(
            "latency_ms",
            json!({"p50": milliseconds(0.5), "p99": milliseconds(0.99)}),
        )
        .note(
            "latency",
            format!(
                "of {paced} messages at {:.0}/s",
                paced as f64 / took.as_secs_f64()
            ),
        )
        .note(
            "relay CPU per message at that rate",
            format!("{paced_cost:.1} us"),
        )
        .note(
            "deliveries per message",
            "2: the recipient's device and the sender's own",
        ))
}

enum Pace {
    AsFastAsItGoes,
    Even,
}

/// Lets everybody send for a while; how many messages went through, and in what time.
async fn exchange(
    posters: Vec<Poster>,
    shared: &Arc<Shared>,
    pace: Pace,
    length: Duration,
) -> Result<(u64, Duration, Vec<Poster>)> {
    let (posted, delivered) = (&shared.posted, &shared.delivered);
    let before = posted.load(Ordering::SeqCst);
    shared.sending.store(true, Ordering::SeqCst);
    let began = Instant::now();
    let count = posters.len();
    let gap = Duration::from_secs(1) * u32::try_from(count)? / u32::try_from(PACED_PER_SECOND)?;
    let mut tasks = JoinSet::new();
    for (at, mut poster) in posters.into_iter().enumerate() {
        let shared = Arc::clone(shared);
        let gap = match pace {
            Pace::AsFastAsItGoes => None,
            Pace::Even => Some((gap * u32::try_from(at)? / u32::try_from(count)?, gap)),
        };
        tasks.spawn(async move {
            match gap {
                None => poster.as_fast_as_it_goes(&shared).await?,
                Some((first, gap)) => poster.evenly(&shared, first, gap).await?,
            }
            Ok::<_, anyhow::Error>(poster)
        });
    }
    tokio::time::sleep(length).await;
    shared.sending.store(false, Ordering::SeqCst);
    let mut back = Vec::with_capacity(count);
    while let Some(poster) = tasks.join_next().await {
        back.push(poster??);
    }
    // The sender's word came; the recipients' devices may be a moment behind.
    let deadline = Instant::now() + Duration::from_secs(10);
    while delivered.load(Ordering::SeqCst) < posted.load(Ordering::SeqCst) {
        if Instant::now() > deadline {
            bail!("messages that were acknowledged did not arrive");
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    Ok((
        posted.load(Ordering::SeqCst) - before,
        began.elapsed(),
        back,
    ))
}

/// One person's link that posts.
struct Poster {
    number: u32,
    pair: Arc<Pair>,
    sender: Sender,
    receiver: Receiver,
    rng: ChaCha20Rng,
    padding: Bytes,
    request: u32,
}

impl Poster {
    fn new(number: u32, pair: Arc<Pair>, link: Link, bytes: usize) -> Self {
        let mut rng = ChaCha20Rng::seed_from_u64(u64::MAX - u64::from(number));
        let padding = crate::person::body(&mut rng, bytes.saturating_sub(STAMP));
        let (sender, receiver) = link.split();
        Self {
            number,
            pair,
            sender,
            receiver,
            rng,
            padding,
            request: 1_000,
        }
    }

    /// Posts until told to stop, up to [`WINDOW`] at once.
    async fn as_fast_as_it_goes(&mut self, shared: &Shared) -> Result<()> {
        let mut under_way = 0;
        loop {
            if shared.sending.load(Ordering::Relaxed) {
                while under_way < WINDOW {
                    self.post(shared).await?;
                    under_way += 1;
                }
                self.sender.flush().await?;
            } else if under_way == 0 {
                return Ok(());
            }
            self.posted(shared).await?;
            under_way -= 1;
            while let Some(frame) = self.receiver.next_ready() {
                check_posted(frame?)?;
                shared.posted.fetch_add(1, Ordering::SeqCst);
                under_way -= 1;
            }
        }
    }

    /// Posts every `gap`, beginning after `first`, until told to stop.
    async fn evenly(&mut self, shared: &Shared, first: Duration, gap: Duration) -> Result<()> {
        let mut ticks = interval_at(tokio::time::Instant::now() + first, gap);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            if !shared.sending.load(Ordering::Relaxed) {
                return Ok(());
            }
            self.post(shared).await?;
            self.sender.flush().await?;
            self.posted(shared).await?;
        }
    }

    async fn post(&mut self, shared: &Shared) -> Result<()> {
        let body = stamped(shared.began, self.number, &self.padding);
        let mut id = [0; 16];
        self.rng.fill_bytes(&mut id);
        self.request = self.request.wrapping_add(1).max(1);
        self.sender
            .feed(self.request, self.pair.post(PostId(id), body))
            .await
    }

    async fn posted(&mut self, shared: &Shared) -> Result<()> {
        check_posted(self.receiver.next().await?)?;
        shared.posted.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }
}

fn check_posted(frame: pb::RelayFrame) -> Result<()> {
    match answer(frame)? {
        relay_frame::Body::Posted(_) => Ok(()),
        _ => bail!("a post was not answered"),
    }
}

/// A person's mailbox link: takes what comes, acknowledges it, notes how long it took.
async fn receive(number: u32, link: Link, shared: Arc<Shared>) -> Result<()> {
    let (mut sender, mut receiver) = link.split();
    loop {
        let mut newest = 0;
        let mut frame = receiver.next().await?;
        loop {
            if let Some(relay_frame::Body::Deliver(deliver)) = frame.body {
                newest = deliver.sequence;
                let (sent, from) = stamp_of(&deliver.body).unwrap_or_default();
                // A welcome is as random as a message, but not stamped by anyone here.
                if deliver.kind() == pb::PostKind::Message && from != number {
                    let took = (shared.began.elapsed()).saturating_sub(sent);
                    let microseconds = u64::try_from(took.as_micros())?;
                    shared.latency.lock().await.saturating_record(microseconds);
                    shared.delivered.fetch_add(1, Ordering::SeqCst);
                }
            }
            match receiver.next_ready() {
                Some(next) => frame = next?,
                None => break,
            }
        }
        if newest > 0 {
            let acknowledge = pb::Acknowledge { sequence: newest };
            sender
                .feed(0, client_frame::Body::Acknowledge(acknowledge))
                .await?;
            sender.flush().await?;
        }
    }
}

/// Bytes of the time and the sender's number in front of a body.
const STAMP: usize = 12;

fn stamped(began: Instant, number: u32, padding: &Bytes) -> Bytes {
    let mut body = BytesMut::with_capacity(STAMP + padding.len());
    body.put_u64(u64::try_from(began.elapsed().as_nanos()).unwrap_or(u64::MAX));
    body.put_u32(number);
    body.extend_from_slice(padding);
    body.freeze()
}

fn stamp_of(body: &Bytes) -> Option<(Duration, u32)> {
    let (nanoseconds, rest) = body.split_first_chunk::<8>()?;
    let number = rest.first_chunk::<4>()?;
    Some((
        Duration::from_nanos(u64::from_be_bytes(*nanoseconds)),
        u32::from_be_bytes(*number),
    ))
}
