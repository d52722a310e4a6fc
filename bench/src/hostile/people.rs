//! The honest people: what they do all the time, and how long it takes.
//!
//! **Elsewhere**: who attacks meanwhile is `attacker` and `attacks`.
//!
//! **Always**: everything is done at its time, whatever has become of what was done before, so
//! that a relay that stands still shows in every figure. What is begun in a phase counts for
//! that phase, however late it ends.

use std::collections::{BTreeMap, VecDeque};
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use bytes::{BufMut as _, Bytes, BytesMut};
use hdrhistogram::Histogram;
use parking_lot::Mutex;
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng as _};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::{Interval, MissedTickBehavior, interval_at};
use waxwing_bench::link::{Link, Refusal, Target, answer, source};
use waxwing_bench::person::{Newcomer, Pair, Person, address, body};
use waxwing_bench::report::rounded;
use waxwing_bench::scenario::{Couple, World};
use waxwing_protocol::ids::{MailboxId, PostId};
use waxwing_protocol::pb::{self, client_frame, relay_frame};
use xtask::demo::mails::Mails;
use xtask::progress::Progress;

/// Conversations of two people who are both there.
const COUPLES: usize = 8;
/// People who come, log in and go.
const COMERS: usize = 24;
/// Links that look somebody up now and then; each has a source of its own.
const LOOKERS: usize = 24;

/// Each member of a conversation posts so often: a hundred posts a second in all.
const POST_EVERY: Duration = Duration::from_millis(160);
/// The one whose partner is away.
const POST_TO_AWAY_EVERY: Duration = Duration::from_millis(100);
const LOG_IN_EVERY: Duration = Duration::from_millis(100);
/// Each looker: twenty look-ups a second in all, fewer than a source may make for ever.
const LOOK_UP_EVERY: Duration = Duration::from_millis(1_200);
const REGISTER_EVERY: Duration = Duration::from_secs(2);
const PROBE_EVERY: Duration = Duration::from_millis(20);

/// Bytes of a post.
const MESSAGE_BYTES: usize = 256;
/// Before somebody whose link was cut comes again.
const AGAIN: Duration = Duration::from_millis(200);
/// Whoever has no answer by then gives up.
const PATIENCE: Duration = Duration::from_secs(30);
/// What begins later than it should by more than this counts from when it should have: it
/// waited for something that had no end.
const SLACK: Duration = Duration::from_millis(5);

/// Numbers of those who register while nothing happens, and during the attack.
const NEWCOMERS: [usize; 3] = [0, 1_000, 2_000];

/// What people do at the moment counts for this.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Nothing: it is being prepared, or it is over.
    Between = 0,
    /// Nobody attacks.
    Quiet = 1,
    /// Somebody does.
    Attacked = 2,
}

/// The figures of one phase.
pub struct Ledger {
    begun: AtomicU64,
    ended: AtomicU64,
    cut: AtomicU64,
    refused: Mutex<BTreeMap<String, u64>>,
    posts: Mutex<Histogram<u64>>,
    connects: Mutex<Histogram<u64>>,
    log_ins: Mutex<Histogram<u64>>,
    look_ups: Mutex<Histogram<u64>>,
    registrations: Mutex<Histogram<u64>>,
    late: Mutex<Histogram<u64>>,
}

impl Ledger {
    fn new() -> Result<Self> {
        // Microseconds, up to ten minutes.
        let histogram = || Histogram::new_with_bounds(1, 600_000_000, 3).map(Mutex::new);
        Ok(Self {
            begun: AtomicU64::new(0),
            ended: AtomicU64::new(0),
            cut: AtomicU64::new(0),
            refused: Mutex::default(),
            posts: histogram()?,
            connects: histogram()?,
            log_ins: histogram()?,
            look_ups: histogram()?,
            registrations: histogram()?,
            late: histogram()?,
        })
    }

    fn begin(&self) {
        self.begun.fetch_add(1, Ordering::SeqCst);
    }

    fn end(&self) {
        self.ended.fetch_add(1, Ordering::SeqCst);
    }

    /// What was begun is not to be had.
    fn fail(&self, error: &anyhow::Error) {
        self.end();
        let why = error
            .downcast_ref::<Refusal>()
            .map_or_else(|| "no_answer".to_owned(), Refusal::name);
        *self.refused.lock().entry(why).or_default() += 1;
    }

    /// What was begun and has not ended.
    pub fn open(&self) -> u64 {
        let ended = self.ended.load(Ordering::SeqCst);
        self.begun.load(Ordering::SeqCst).saturating_sub(ended)
    }

    /// How often what people asked for was refused, or could not be asked for.
    pub fn refusals(&self) -> u64 {
        self.refused.lock().values().sum()
    }

    /// Of posts, log-ins and look-ups, the one that takes longest at this quantile, in
    /// milliseconds.
    pub fn worst_at(&self, quantile: f64) -> f64 {
        [&self.posts, &self.log_ins, &self.look_ups]
            .into_iter()
            .map(|figures| milliseconds(figures.lock().value_at_quantile(quantile)))
            .fold(0.0, f64::max)
    }

    /// What people have to say of it.
    pub fn figures(&self) -> Value {
        json!({
            "post_ms": quantiles(&self.posts),
            "log_in_ms": quantiles(&self.log_ins),
            "look_up_ms": quantiles(&self.look_ups),
            "connect_ms": quantiles(&self.connects),
            "register_ms": quantiles(&self.registrations),
            "timer_late_ms": quantiles(&self.late),
            "begun": self.begun.load(Ordering::SeqCst),
            "refused": *self.refused.lock(),
            "cut": self.cut.load(Ordering::SeqCst),
            "unanswered": self.open(),
        })
    }
}

fn quantiles(figures: &Mutex<Histogram<u64>>) -> Value {
    let figures = figures.lock();
    json!({
        "p50": milliseconds(figures.value_at_quantile(0.5)),
        "p99": milliseconds(figures.value_at_quantile(0.99)),
        "max": milliseconds(figures.max()),
    })
}

fn milliseconds(microseconds: u64) -> f64 {
    rounded(microseconds as f64 / 1000.0, 2)
}

fn record(figures: &Mutex<Histogram<u64>>, took: Duration) {
    let microseconds = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
    figures.lock().saturating_record(microseconds);
}

/// What everybody shares.
struct Shared {
    began: Instant,
    phase: AtomicU8,
    ledgers: [Ledger; 3],
    target: Target,
    mail: Arc<Mails>,
}

impl Shared {
    fn phase(&self) -> u8 {
        self.phase.load(Ordering::SeqCst)
    }

    fn ledger(&self, phase: u8) -> &Ledger {
        let [between, quiet, attacked] = &self.ledgers;
        match phase {
            1 => quiet,
            2 => attacked,
            _ => between,
        }
    }

    fn now(&self) -> &Ledger {
        self.ledger(self.phase())
    }
}

/// All honest people.
pub struct People {
    shared: Arc<Shared>,
    tasks: JoinSet<Result<()>>,
    /// The mailbox of somebody who is away.
    pub away: MailboxId,
}

impl People {
    /// Registers everybody and lets them begin.
    pub async fn start(world: &World, progress: Progress) -> Result<Self> {
        let shared = Arc::new(Shared {
            began: Instant::now(),
            phase: AtomicU8::new(Phase::Between as u8),
            ledgers: [Ledger::new()?, Ledger::new()?, Ledger::new()?],
            target: world.target.clone(),
            mail: Arc::clone(&world.mail),
        });
        let mut couples = Box::pin(world.pairs(COUPLES + 1, progress)).await?;
        let mut tasks = JoinSet::new();
        let Some(apart) = couples.pop() else {
            bail!("nobody registered");
        };
        let mut number = 0;
        for couple in couples {
            talk(&mut tasks, &shared, couple, &mut number, 2);
        }
        let away = apart.people[0].mailbox;
        talk(&mut tasks, &shared, apart, &mut number, 1);

        let step = progress.step(&format!("registering {COMERS} people who come and go"));
        let first = 2 * (COUPLES + 1);
        let mut registering = JoinSet::new();
        for number in first..first + COMERS {
            let shared = Arc::clone(&shared);
            registering
                .spawn(async move { Person::register(number, &shared.target, &shared.mail).await });
        }
        let mut comers = VecDeque::new();
        while let Some(registered) = registering.join_next().await {
            comers.push_back(registered??.0);
        }
        step.done("");
        tasks.spawn(come_and_go(Arc::clone(&shared), comers));
        for looker in 0..LOOKERS {
            tasks.spawn(look_up(Arc::clone(&shared), looker, first));
        }
        tasks.spawn(register(Arc::clone(&shared)));
        tasks.spawn(probe(Arc::clone(&shared)));
        Ok(Self {
            shared,
            tasks,
            away,
        })
    }

    /// From now on what begins counts for this phase.
    pub fn enter(&self, phase: Phase) {
        self.shared.phase.store(phase as u8, Ordering::SeqCst);
    }

    /// Waits until all that was begun in the phase has ended, but not for ever.
    pub async fn finish(&self, phase: Phase, patience: Duration) {
        let until = Instant::now() + patience;
        while self.ledger(phase).open() > 0 && Instant::now() < until {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// What was measured.
    pub fn ledger(&self, phase: Phase) -> &Ledger {
        self.shared.ledger(phase as u8)
    }

    /// The addresses of those who register during the attack.
    pub fn newcomers(length: Duration) -> Vec<String> {
        let count = length.as_secs().div_ceil(REGISTER_EVERY.as_secs()) + 1;
        let [.., first] = NEWCOMERS;
        (first..)
            .zip(0..count)
            .map(|(number, _)| address(number))
            .collect()
    }

    /// Ends everything.
    pub async fn leave(mut self) {
        self.tasks.shutdown().await;
    }
}

/// A steady beat that begins somewhere within the first interval, so that not everybody
/// does everything at once.
fn beat(every: Duration, number: usize) -> Interval {
    let offset = every.mul_f64((number as f64 * 0.618_033_988_7).fract());
    let mut ticks = interval_at(tokio::time::Instant::now() + offset, every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    ticks
}

/// When the next thing begins.
async fn next(ticks: &mut Interval) -> Instant {
    let planned = ticks.tick().await.into_std();
    let now = Instant::now();
    if now.saturating_duration_since(planned) > SLACK {
        planned
    } else {
        now
    }
}

/// Lets a conversation go on: of its two members the last `present` ones are there.
fn talk(
    tasks: &mut JoinSet<Result<()>>,
    shared: &Arc<Shared>,
    couple: Couple,
    number: &mut u32,
    present: usize,
) {
    let pair = Arc::new(couple.pair);
    let is_apart = present < 2;
    let mut members = couple.people.into_iter().zip(couple.links).enumerate();
    for (member, (person, link)) in members.by_ref().skip(2 - present) {
        let own = *number;
        *number += 1;
        // The first of a couple has an even number. Whoever is alone hears their own posts.
        let hears = if is_apart { own } else { own ^ 1 };
        tasks.spawn(receive(Arc::clone(shared), person, link, hears));
        let every = if is_apart {
            POST_TO_AWAY_EVERY
        } else {
            POST_EVERY
        };
        tasks.spawn(post(
            Arc::clone(shared),
            Arc::clone(&pair),
            member,
            own,
            every,
        ));
    }
}

/// One member's posting link.
async fn post(
    shared: Arc<Shared>,
    pair: Arc<Pair>,
    member: usize,
    number: u32,
    every: Duration,
) -> Result<()> {
    let mut rng = ChaCha20Rng::seed_from_u64(u64::MAX - u64::from(number));
    let padding = body(&mut rng, MESSAGE_BYTES - STAMP);
    let mut ticks = beat(every, number as usize);
    let mut count = 0_u32;
    loop {
        let link = match pair.posting_link(member, &shared.target).await {
            Ok(link) => link,
            Err(error) => {
                shared.now().begin();
                shared.now().fail(&error);
                tokio::time::sleep(AGAIN).await;
                continue;
            }
        };
        let (mut sender, mut receiver) = link.split();
        let answers = async {
            loop {
                let frame = receiver.next().await?;
                // The phase stands in the lowest bits of the request's number.
                let ledger = shared.ledger((frame.request % 4) as u8);
                if let Err(error) = answer(frame) {
                    ledger.fail(&error);
                }
            }
        };
        let posts = async {
            loop {
                let began = next(&mut ticks).await;
                let phase = shared.phase();
                count += 1;
                let mut id = [0; 16];
                rng.fill_bytes(&mut id);
                let since = began.saturating_duration_since(shared.began);
                let body = stamped(since, number, phase, &padding);
                shared.ledger(phase).begin();
                let request = (count << 2) | u32::from(phase);
                sender.feed(request, pair.post(PostId(id), body)).await?;
                sender.flush().await?;
            }
        };
        let ended: Result<()> = tokio::select! {
            ended = answers => ended,
            ended = posts => ended,
        };
        if ended.is_err() {
            shared.now().cut.fetch_add(1, Ordering::SeqCst);
            tokio::time::sleep(AGAIN).await;
        }
    }
}

/// One member's mailbox link: acknowledges what comes, and notes how long it took from the
/// member that it `hears`.
async fn receive(
    shared: Arc<Shared>,
    mut person: Person,
    mut link: Link,
    hears: u32,
) -> Result<()> {
    loop {
        let (mut sender, mut receiver) = link.split();
        let ended: Result<()> = async {
            loop {
                let frame = receiver.next().await?;
                let Some(relay_frame::Body::Deliver(deliver)) = frame.body else {
                    continue;
                };
                let stamp = stamp_of(&deliver.body);
                if let Some((sent, from, phase)) = stamp
                    && deliver.kind() == pb::PostKind::Message
                    && from == hears
                {
                    let ledger = shared.ledger(phase);
                    record(&ledger.posts, shared.began.elapsed().saturating_sub(sent));
                    ledger.end();
                }
                let acknowledge = pb::Acknowledge {
                    sequence: deliver.sequence,
                };
                sender
                    .feed(0, client_frame::Body::Acknowledge(acknowledge))
                    .await?;
                sender.flush().await?;
            }
        }
        .await;
        if ended.is_err() {
            shared.now().cut.fetch_add(1, Ordering::SeqCst);
        }
        link = loop {
            match person.mailbox_link(&shared.target).await {
                Ok(link) => break link,
                Err(error) => {
                    shared.now().begin();
                    shared.now().fail(&error);
                    tokio::time::sleep(AGAIN).await;
                }
            }
        };
    }
}

/// People open a link, log in and go.
async fn come_and_go(shared: Arc<Shared>, people: VecDeque<Person>) -> Result<()> {
    let people = Arc::new(Mutex::new(people));
    let mut ticks = beat(LOG_IN_EVERY, 1);
    let mut tasks = JoinSet::new();
    loop {
        let began = next(&mut ticks).await;
        while tasks.try_join_next().is_some() {}
        // Where all of them wait for the relay, nobody else comes.
        let Some(mut person) = people.lock().pop_front() else {
            continue;
        };
        let (shared, people) = (Arc::clone(&shared), Arc::clone(&people));
        tasks.spawn(async move {
            let ledger = shared.now();
            ledger.begin();
            let came = tokio::time::timeout(PATIENCE, come(&shared, ledger, &mut person, began));
            match came.await {
                Ok(Ok(())) => ledger.end(),
                Ok(Err(error)) => ledger.fail(&error),
                // It stays unanswered.
                Err(_) => {}
            }
            people.lock().push_back(person);
        });
    }
}

async fn come(shared: &Shared, ledger: &Ledger, person: &mut Person, began: Instant) -> Result<()> {
    let mut link = Link::open(&shared.target, person.source()).await?;
    record(&ledger.connects, began.elapsed());
    let login = person.login(&link)?;
    let sent = Instant::now();
    match link.ask(login).await? {
        relay_frame::Body::LoggedIn(_) => record(&ledger.log_ins, sent.elapsed()),
        _ => bail!("the login was not answered"),
    }
    Ok(())
}

/// One link that looks people up.
async fn look_up(shared: Arc<Shared>, number: usize, people: usize) -> Result<()> {
    let mut ticks = beat(LOOK_UP_EVERY, number);
    let mut asked = number;
    loop {
        let link = Link::open(&shared.target, source(10_000 + number)).await;
        let mut link = match link {
            Ok(link) => link,
            Err(error) => {
                shared.now().begin();
                shared.now().fail(&error);
                tokio::time::sleep(AGAIN).await;
                continue;
            }
        };
        loop {
            let began = next(&mut ticks).await;
            asked += 1;
            let ledger = shared.now();
            ledger.begin();
            let question = pb::LookUp {
                address: address(asked % people),
                known_head: 0,
            };
            match link.ask(client_frame::Body::LookUp(question)).await {
                Ok(_) => {
                    record(&ledger.look_ups, began.elapsed());
                    ledger.end();
                }
                Err(error) => {
                    ledger.fail(&error);
                    if error.downcast_ref::<Refusal>().is_none() {
                        ledger.cut.fetch_add(1, Ordering::SeqCst);
                        break;
                    }
                }
            }
        }
        tokio::time::sleep(AGAIN).await;
    }
}

/// Somebody registers now and then.
async fn register(shared: Arc<Shared>) -> Result<()> {
    let next_number = NEWCOMERS.map(AtomicUsize::new);
    let mut ticks = interval_at(tokio::time::Instant::now(), Duration::from_millis(10));
    let mut tasks = JoinSet::new();
    let mut last = None::<Instant>;
    loop {
        ticks.tick().await;
        while tasks.try_join_next().is_some() {}
        let phase = shared.phase();
        if phase == Phase::Between as u8 {
            last = None;
            continue;
        }
        if last.is_some_and(|last| last.elapsed() < REGISTER_EVERY) {
            continue;
        }
        last = Some(Instant::now());
        let Some(number) = next_number.get(usize::from(phase)) else {
            continue;
        };
        let number = number.fetch_add(1, Ordering::SeqCst);
        let shared = Arc::clone(&shared);
        tasks.spawn(async move {
            let ledger = shared.ledger(phase);
            ledger.begin();
            match come_new(&shared, ledger, number).await {
                Ok(()) => ledger.end(),
                Err(error) => ledger.fail(&error),
            }
        });
    }
}

async fn come_new(shared: &Shared, ledger: &Ledger, number: usize) -> Result<()> {
    let mut newcomer = Newcomer::new(number, address(number), 1)?;
    let mut link = Link::open(&shared.target, home(number)).await?;
    let began = Instant::now();
    newcomer
        .register(&mut link, &shared.mail, PATIENCE / 2)
        .await?;
    record(&ledger.registrations, began.elapsed());
    Ok(())
}

fn home(number: usize) -> Ipv4Addr {
    source(20_000 + number)
}

/// How late this process's own timers are: what is lost to the machine, not to the relay.
async fn probe(shared: Arc<Shared>) -> Result<()> {
    let mut ticks = beat(PROBE_EVERY, 3);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        let planned = ticks.tick().await.into_std();
        record(&shared.now().late, planned.elapsed());
    }
}

/// Bytes of the time, the sender's number and the phase in front of a body.
const STAMP: usize = 13;

fn stamped(since: Duration, number: u32, phase: u8, padding: &Bytes) -> Bytes {
    let mut body = BytesMut::with_capacity(STAMP + padding.len());
    body.put_u64(u64::try_from(since.as_nanos()).unwrap_or(u64::MAX));
    body.put_u32(number);
    body.put_u8(phase);
    body.extend_from_slice(padding);
    body.freeze()
}

fn stamp_of(body: &Bytes) -> Option<(Duration, u32, u8)> {
    let (nanoseconds, rest) = body.split_first_chunk::<8>()?;
    let (number, rest) = rest.split_first_chunk::<4>()?;
    Some((
        Duration::from_nanos(u64::from_be_bytes(*nanoseconds)),
        u32::from_be_bytes(*number),
        *rest.first()?,
    ))
}
