//! The attacker: one thread of a low priority, and what it may use.
//!
//! **Elsewhere**: what it does is `attacks`.
//!
//! **Always**: it ends by itself when its time is over, and its links with it. Everything
//! that the relay answers is counted, by what it was. The thread cannot take more than one
//! core, and little of one that anybody else needs, so that others wait for the relay and not
//! for the machine.

use std::collections::BTreeMap;
use std::future::Future;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow};
use futures_util::future::LocalBoxFuture;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::time::{MissedTickBehavior, interval};
use waxwing_bench::link::{Link, Refusal, Target, answer};
use waxwing_bench::person::{Newcomer, Person, address};
use waxwing_bench::process::{Thread, lower_priority};
use waxwing_protocol::Exporter;
use waxwing_protocol::ids::MailboxId;
use waxwing_protocol::pb::{self, client_frame};
use xtask::demo::mails::Mails;

/// Requests have numbers from here on; what a link says when it opens has smaller ones.
const FIRST_REQUEST: u32 = 100;
/// What is sent at once.
const BEAT: Duration = Duration::from_millis(10);
/// Before a link that was cut is opened again.
const AGAIN: Duration = Duration::from_millis(100);
/// For a code.
const PATIENCE: Duration = Duration::from_secs(30);

/// One way to attack.
pub struct Attack {
    /// What `--only` calls it.
    pub name: &'static str,
    /// What is done, in a sentence.
    pub what: &'static str,
    /// Prepares it, waits for [`Scene::begin`], and does it until its end.
    pub run: fn(Arc<Scene>) -> LocalBoxFuture<'static, Result<()>>,
}

/// What an attack may use.
pub struct Scene {
    /// The relay.
    pub target: Target,
    mail: Arc<Mails>,
    /// The mailbox of somebody who is away and has other conversations.
    pub victim: MailboxId,
    /// The addresses of those who will register meanwhile.
    pub newcomers: Vec<String>,
    tally: Mutex<Tally>,
    ready: mpsc::UnboundedSender<()>,
    end: watch::Receiver<Option<Instant>>,
}

/// What was done, and what became of it.
#[derive(Default)]
struct Tally {
    requests: u64,
    bytes: u64,
    answered: u64,
    refused: BTreeMap<String, u64>,
    links: u64,
    not_opened: u64,
    cut: u64,
    first_cut: Option<Duration>,
    notes: BTreeMap<&'static str, u64>,
}

/// An attack that is under way.
pub struct Attacker {
    scene: Arc<Scene>,
    thread: JoinHandle<Result<()>>,
    ready: mpsc::UnboundedReceiver<()>,
    end: watch::Sender<Option<Instant>>,
    /// What the kernel counts of it.
    cpu: Thread,
}

impl Attacker {
    /// Lets the attack be prepared.
    pub async fn prepare(
        attack: &'static Attack,
        target: Target,
        mail: Arc<Mails>,
        victim: MailboxId,
        newcomers: Vec<String>,
    ) -> Result<Self> {
        let (ready, mut is_ready) = mpsc::unbounded_channel();
        let (end, ends) = watch::channel(None);
        let scene = Arc::new(Scene {
            target,
            mail,
            victim,
            newcomers,
            tally: Mutex::default(),
            ready,
            end: ends,
        });
        let (known, its_thread) = tokio::sync::oneshot::channel();
        let its_scene = Arc::clone(&scene);
        let thread = std::thread::Builder::new()
            .name(attack.name.to_owned())
            .spawn(move || {
                lower_priority()?;
                // Whoever waits for it learns of this thread's end in another way.
                let _ = known.send(Thread::current()?);
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build()?;
                let done = (attack.run)(Arc::clone(&its_scene));
                let done = runtime.block_on(async {
                    tokio::select! {
                        done = done => done,
                        // However long it would take by itself.
                        () = its_scene.over() => Ok(()),
                    }
                });
                // Wakes whoever waits until it is prepared, if it failed before.
                let _ = its_scene.ready.send(());
                done
            })?;
        let cpu = its_thread.await.context("the attacker does not start")?;
        is_ready.recv().await.context("the attacker ended")?;
        if thread.is_finished() {
            let ended = thread
                .join()
                .map_err(|_| anyhow!("the attacker panicked"))?;
            ended.context("the attack could not be prepared")?;
            return Err(anyhow!("the attack ended before it began"));
        }
        Ok(Self {
            scene,
            thread,
            ready: is_ready,
            end,
            cpu,
        })
    }

    /// Lets it begin, to end by itself after `length`.
    pub fn begin(&self, length: Duration) {
        self.end.send_replace(Some(Instant::now() + length));
    }

    /// The time that it has had on a core.
    pub fn cpu(&self) -> Duration {
        self.cpu.cpu()
    }

    /// Waits for its end, and gives what became of it.
    pub async fn finish(self) -> Result<Value> {
        let thread = self.thread;
        let ended = tokio::task::spawn_blocking(move || thread.join()).await?;
        drop(self.ready);
        ended
            .map_err(|_| anyhow!("the attacker panicked"))?
            .context("the attack failed")?;
        let tally = self.scene.tally.lock();
        Ok(json!({
            "requests": tally.requests,
            "sent_bytes": tally.bytes,
            "answered": tally.answered,
            "refused": tally.refused,
            "links": tally.links,
            "links_not_opened": tally.not_opened,
            "links_cut": tally.cut,
            "first_cut_after_ms": tally.first_cut.map(milliseconds),
            "notes": tally.notes,
        }))
    }
}

/// How often something is asked.
#[derive(Clone, Copy)]
pub struct Flood {
    /// Requests in a second, at most.
    pub per_second: u32,
    /// Requests without an answer, at most.
    pub window: usize,
}

/// What a link was greeted with.
pub struct Greeting {
    /// Binds signatures to the link.
    pub exporter: Exporter,
}

/// The attacker's own addresses, of which an attack uses one unless it says that it has many.
pub fn source(number: usize) -> Ipv4Addr {
    let [.., high, low] = u32::try_from(number % 60_000).unwrap_or(0).to_be_bytes();
    Ipv4Addr::new(127, 66, high, low.max(1))
}

/// One of the attacker's accounts before it is registered, with a roster of so many statements.
pub fn newcomer(number: usize, statements: usize) -> Result<Newcomer> {
    let number = 50_000 + number;
    Newcomer::new(number, address(number), statements)
}

impl Scene {
    /// The attack is prepared: waits until it is to begin.
    pub async fn begin(&self) {
        // Whoever waits for it may have given up.
        let _ = self.ready.send(());
        let mut end = self.end.clone();
        if end.wait_for(Option::is_some).await.is_err() {
            // Nobody will let it begin.
            std::future::pending::<()>().await;
        }
    }

    /// When it is to end.
    async fn over(&self) {
        let mut end = self.end.clone();
        // At once, where nobody waits for it any more.
        if let Ok(Some(end)) = end.wait_for(Option::is_some).await.map(|end| *end) {
            tokio::time::sleep_until(end.into()).await;
        }
    }

    /// An account of the attacker's, with a roster of so many statements; its link is not
    /// logged in.
    pub async fn account(&self, number: usize, statements: usize) -> Result<(Person, Link)> {
        let mut newcomer = newcomer(number, statements)?;
        let mut link = Link::open(&self.target, source(number)).await?;
        let mailbox = newcomer.register(&mut link, &self.mail, PATIENCE).await?;
        Ok((newcomer.into_person(mailbox), link))
    }

    /// The code that was asked for.
    pub async fn code(&self, newcomer: &Newcomer) -> Result<String> {
        newcomer.code(&self.mail, PATIENCE).await
    }

    /// A link, which is counted.
    pub async fn open(&self, source: Ipv4Addr) -> Option<Link> {
        self.count(Link::open(&self.target, source).await)
    }

    /// Counts what was to be opened.
    pub fn count<T>(&self, opened: Result<T>) -> Option<T> {
        let mut tally = self.tally.lock();
        if opened.is_ok() {
            tally.links += 1;
        } else {
            tally.not_opened += 1;
        }
        opened.ok()
    }

    /// The relay ended a link that was opened then.
    pub fn cut(&self, opened: Instant) {
        let after = opened.elapsed();
        let mut tally = self.tally.lock();
        tally.cut += 1;
        tally.first_cut = Some(tally.first_cut.map_or(after, |first| first.min(after)));
    }

    /// Something was sent that the relay has to deal with.
    pub fn sent(&self, bytes: usize) {
        let mut tally = self.tally.lock();
        tally.requests += 1;
        tally.bytes += bytes as u64;
    }

    /// The relay answered.
    pub fn answered(&self, outcome: &Result<impl Sized>) {
        let mut tally = self.tally.lock();
        match outcome {
            Ok(_) => tally.answered += 1,
            Err(error) => {
                drop(tally);
                let refusal = error.downcast_ref::<Refusal>();
                self.refused(&refusal.map_or_else(|| "no_answer".to_owned(), Refusal::name));
            }
        }
    }

    /// The relay refused something.
    pub fn refused(&self, why: &str) {
        *self.tally.lock().refused.entry(why.to_owned()).or_default() += 1;
    }

    /// Something of this attack alone that is worth knowing.
    pub fn note(&self, name: &'static str, figure: u64) {
        self.tally.lock().notes.insert(name, figure);
    }

    /// Asks one thing after another on one link from `source`, as often as `flood` says; opens
    /// another link when it is cut. Where there is no question any more, the link is held.
    pub async fn flood(
        &self,
        source: Ipv4Addr,
        flood: Flood,
        question: impl FnMut(&Greeting) -> Option<client_frame::Body>,
    ) {
        let open = || async move { Link::open(&self.target, source).await };
        self.flood_on(open, flood, question).await;
    }

    /// The same on links that were opened and made ready by `open`.
    pub async fn flood_on<F: Future<Output = Result<Link>>>(
        &self,
        mut open: impl FnMut() -> F,
        flood: Flood,
        mut question: impl FnMut(&Greeting) -> Option<client_frame::Body>,
    ) {
        loop {
            let Some(link) = self.count(open().await) else {
                tokio::time::sleep(AGAIN).await;
                continue;
            };
            let opened = Instant::now();
            let greeting = Greeting {
                exporter: link.exporter,
            };
            let (mut sender, mut receiver) = link.split();
            let room = Semaphore::new(flood.window);
            let answers = async {
                loop {
                    let frame = receiver.next().await?;
                    if frame.request >= FIRST_REQUEST {
                        room.add_permits(1);
                        self.answered(&answer(frame));
                    }
                }
            };
            let questions = async {
                let mut beat = interval(BEAT);
                beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
                let each_beat = f64::from(flood.per_second) * BEAT.as_secs_f64();
                let (mut due, mut request) = (0.0, FIRST_REQUEST);
                loop {
                    beat.tick().await;
                    due = (due + each_beat).min(each_beat.max(1.0) * 2.0);
                    while due >= 1.0 {
                        let Ok(place) = room.try_acquire() else { break };
                        let Some(body) = question(&greeting) else {
                            std::future::pending().await
                        };
                        place.forget();
                        due -= 1.0;
                        request += 1;
                        self.sent(length(&body));
                        sender.feed(request, body).await?;
                    }
                    sender.flush().await?;
                }
            };
            let ended: Result<()> = tokio::select! {
                ended = answers => ended,
                ended = questions => ended,
            };
            if ended.is_err() {
                self.cut(opened);
                tokio::time::sleep(AGAIN).await;
            }
        }
    }
}

fn milliseconds(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

fn length(body: &client_frame::Body) -> usize {
    use prost::Message as _;
    let frame = pb::ClientFrame {
        request: FIRST_REQUEST,
        body: Some(body.clone()),
    };
    frame.encoded_len()
}
