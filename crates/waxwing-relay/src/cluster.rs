//! `waxwing-relay serve` with a table `[cluster]`, and `waxwing-relay cluster`.
//!
//! A node stands by: it follows the log until nobody leads. Then it takes over and serves, until
//! it is stopped, hands over, or is cut off.
//!
//! **Elsewhere**: `waxwing-cluster` decides; this has the threads and the signals.
//!
//! **Always**: a node that must not lead any more ends its process at once, which closes all
//! links; whoever supervises it starts it again, as a standby.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::runtime::Runtime;
use tokio::signal::unix::{SignalKind, signal};
use waxwing_cluster::clock::{steady_ms, wall_ms};
use waxwing_cluster::leader::{Ended, Leader};
use waxwing_cluster::lease::{Deadline, Kept, LeaseKeeper};
use waxwing_cluster::log::{Fenced, Holder, Log, LogError};
use waxwing_cluster::postgres::PostgresLog;
use waxwing_cluster::replicated::{Ending, ReplicatedStore};
use waxwing_cluster::seal::{ClusterKey, Sealer};
use waxwing_cluster::standby::{Standby, StandbyError, StandbyTurn, first_batch};
use waxwing_cluster::status::{Status, StatusNow};
use waxwing_cluster::trim;
use waxwing_relay::identity::Identity;
use waxwing_relay::server::{NodeMetric, NodeView, Server, Settings, serve_node};
use waxwing_relay::store::embedded::EmbeddedStore;

use crate::arguments;
use crate::configuration::{self, ClusterSettings};
use crate::serve::{Failure, announce};

/// The exit code of a node that must not lead any more (`EX_SOFTWARE`).
const ENDED: i32 = 70;
/// A standby looks for new batches this often.
const TAIL: Duration = Duration::from_millis(20);
/// It tries again after a failure.
const RETRY: Duration = Duration::from_millis(500);
/// How often a node says how far it is.
const REPORT_MS: u64 = 5_000;
const TRIM_MS: u64 = 60_000;
/// After handing over, a node lets the others go first.
const REST_MS: u64 = 3_000;
/// What is pending when a node is stopped may wait so long for the log.
const LAST_COMMITS: Duration = Duration::from_secs(20);
/// How often the serving node looks whether it still may.
const LOOK: Duration = Duration::from_millis(50);

/// What all phases of a node share.
struct Node {
    store: Arc<EmbeddedStore>,
    log: Arc<PostgresLog>,
    key: ClusterKey,
    holder: Holder,
    status: Arc<Status>,
    /// A signal came.
    is_stopping: Arc<AtomicBool>,
    settings: Settings,
    ready_file: Option<PathBuf>,
}

/// Runs a node until it is stopped.
pub(crate) fn run(
    cluster: &ClusterSettings,
    mut settings: Settings,
    identity: &Identity,
    store: Arc<EmbeddedStore>,
    ready_file: Option<&Path>,
    runtime: &Runtime,
) -> Result<(), Failure> {
    let key = ClusterKey::new(identity.cluster_secret());
    let log = Arc::new(PostgresLog::new(&cluster.postgres, key.id())?);
    let status = Arc::new(Status::default());
    settings.node = Some(view(&status));
    let node = Node {
        store,
        log,
        key,
        holder: Holder::new(&cluster.node)?,
        status,
        is_stopping: Arc::default(),
        settings,
        ready_file: ready_file.map(Path::to_owned),
    };
    runtime.block_on(async { watch_signals(&node.is_stopping) })?;
    let mut rests_until = 0;
    while let Some((leader, asked)) = node.stand_by(runtime, rests_until)? {
        match runtime.block_on(node.serve(identity, leader, asked))? {
            Left::Stopped => break,
            Left::HandedOver => rests_until = steady_ms() + REST_MS,
        }
    }
    tracing::info!("the node has stopped");
    Ok(())
}

/// Why a node left off serving in good order.
enum Left {
    Stopped,
    HandedOver,
}

impl Node {
    fn is_stopping(&self) -> bool {
        self.is_stopping.load(Ordering::Relaxed)
    }

    /// Follows the log until this node leads; gives when it asked for the lease. `None` when it
    /// was stopped.
    fn stand_by(
        &self,
        runtime: &Runtime,
        rests_until: u64,
    ) -> Result<Option<(Leader<EmbeddedStore>, u64)>, Failure> {
        let pages = match (self.settings.metrics, &self.settings.node) {
            (Some(address), Some(view)) => {
                Some(runtime.block_on(serve_node(address, view.clone()))?)
            }
            _ => None,
        };
        let found = self.follow(rests_until);
        if let Some(pages) = pages {
            pages.abort();
            // Its address is free once it has ended.
            let _ = runtime.block_on(pages);
        }
        found
    }

    fn follow(&self, rests_until: u64) -> Result<Option<(Leader<EmbeddedStore>, u64)>, Failure> {
        let sealer = Sealer::new(&self.key)?;
        let mut standby = Standby::new(
            Arc::clone(&self.store),
            Arc::clone(&self.log),
            self.holder.clone(),
            sealer,
            Arc::clone(&self.status),
        )?;
        tracing::info!(node = self.holder.node, "standing by");
        let mut trouble = Trouble::default();
        let mut reports_at = 0;
        while !self.is_stopping() {
            let asked = steady_ms();
            let pause = match standby.turn(wall_ms(), asked >= rests_until) {
                Ok(StandbyTurn::Leads(leader)) => {
                    let status = &self.status;
                    let leads = first_batch(leader, &*self.log, |error| {
                        status.set_waits(true);
                        trouble.note(&error.to_string());
                        std::thread::sleep(TAIL);
                        !self.is_stopping()
                    });
                    status.set_waits(false);
                    match leads {
                        Ok(leader) => return Ok(Some((leader, asked))),
                        Err(_) if self.is_stopping() => return Ok(None),
                        Err(ended) => end(&ended),
                    }
                }
                Ok(StandbyTurn::Follows { applied, .. }) => {
                    self.status.set_waits(false);
                    trouble.is_over();
                    if applied > 0 { Duration::ZERO } else { TAIL }
                }
                Err(StandbyError::Refused(refusal)) => return Err(Failure::Refused(refusal)),
                Err(error) => {
                    self.status.set_waits(true);
                    trouble.note(&error.to_string());
                    RETRY
                }
            };
            if asked >= reports_at {
                reports_at = asked + REPORT_MS;
                // It is said again soon.
                let _ = self.log.report(&self.holder, standby.chain().number);
            }
            std::thread::sleep(pause);
        }
        Ok(None)
    }

    /// Serves as the relay until this node is to stop or hands over. Ends the process where it
    /// must not lead any more.
    async fn serve(
        &self,
        identity: &Identity,
        leader: Leader<EmbeddedStore>,
        asked: u64,
    ) -> Result<Left, Failure> {
        let term = leader.term();
        tracing::info!(node = self.holder.node, term = term.0, "this node leads");
        let ending = Arc::new(Ending::default());
        let status = Arc::clone(&self.status);
        let keeper = LeaseKeeper::new(Arc::clone(&self.log), term, asked, status);
        let deadline = keeper.deadline();
        let wants_handover = Arc::new(AtomicBool::new(false));
        let keeping = Keeping {
            keeper,
            log: Arc::clone(&self.log),
            holder: self.holder.clone(),
            status: Arc::clone(&self.status),
            ending: Arc::clone(&ending),
            wants_handover: Arc::clone(&wants_handover),
        };
        std::thread::Builder::new()
            .name("waxwing-lease".to_owned())
            .spawn(move || keeping.run())?;
        let log = Arc::clone(&self.log);
        let store = Arc::new(ReplicatedStore::new(leader, log, Arc::clone(&ending)));
        let server = Server::start(self.settings.clone(), identity, Arc::clone(&store)).await?;
        self.status.set_leads(true);
        announce(&server.url(), self.ready_file.as_deref())?;
        let mut looks = tokio::time::interval(LOOK);
        let left = loop {
            looks.tick().await;
            if let Some(ended) = may_not_lead(&ending, &deadline) {
                end(&ended);
            }
            if self.is_stopping() {
                break Left::Stopped;
            }
            if wants_handover.load(Ordering::Relaxed) {
                break Left::HandedOver;
            }
        };
        self.status.set_leads(false);
        let last = Arc::clone(&ending);
        tokio::spawn(async move {
            tokio::time::sleep(LAST_COMMITS).await;
            // Clients ask again for what was not answered.
            last.end(Ended::CutOff);
        });
        server.shut_down_then(|| store.release()).await;
        tracing::info!("the lease was given away");
        Ok(left)
    }
}

/// The thread that renews the lease.
struct Keeping {
    keeper: LeaseKeeper<PostgresLog>,
    log: Arc<PostgresLog>,
    holder: Holder,
    status: Arc<Status>,
    ending: Arc<Ending>,
    wants_handover: Arc<AtomicBool>,
}

impl Keeping {
    fn run(mut self) {
        let mut trouble = Trouble::default();
        let (mut reports_at, mut trims_at) = (0, steady_ms() + TRIM_MS);
        loop {
            let now = steady_ms();
            let pause = Duration::from_millis(self.keeper.next_ms().saturating_sub(now));
            if self.ending.wait(pause).is_some() {
                return;
            }
            let now = steady_ms();
            if now < self.keeper.next_ms() {
                continue;
            }
            match self.keeper.turn(now) {
                Kept::Held => trouble.is_over(),
                Kept::HandoverWanted => self.wants_handover.store(true, Ordering::Relaxed),
                Kept::Waits(error) => {
                    trouble.note(&error.to_string());
                    continue;
                }
                Kept::Ended(ended) => return self.ending.end(ended),
            }
            let own = self.status.now().number;
            if now >= reports_at {
                reports_at = now + REPORT_MS;
                let _ = self.log.report(&self.holder, own);
            }
            if now >= trims_at {
                trims_at = now + TRIM_MS;
                self.trim(own);
            }
        }
    }

    fn trim(&self, own: u64) {
        let trimmed = self.log.nodes().and_then(|nodes| {
            let term = self.keeper.term();
            self.log.trim(term, trim::below(&nodes, own))
        });
        match trimmed {
            Ok(Fenced::Done(()) | Fenced::Superseded) => {}
            // It is tried again soon.
            Err(error) => tracing::warn!(%error, "the log could not be trimmed"),
        }
    }
}

fn may_not_lead(ending: &Ending, deadline: &Deadline) -> Option<Ended> {
    if deadline.is_over(steady_ms()) {
        return Some(Ended::CutOff);
    }
    ending.reason()
}

/// Ends the process, and with it all links.
fn end(ended: &Ended) -> ! {
    tracing::error!("{ended}: this node ends, and is to be started again");
    std::process::exit(ENDED)
}

/// Logs what goes wrong once, until it is over or something else.
#[derive(Default)]
struct Trouble(Option<String>);

impl Trouble {
    fn note(&mut self, what: &str) {
        if self.0.as_deref() != Some(what) {
            tracing::warn!("waiting: {what}");
            self.0 = Some(what.to_owned());
        }
    }

    fn is_over(&mut self) {
        if self.0.take().is_some() {
            tracing::info!("the log answers again");
        }
    }
}

fn watch_signals(is_stopping: &Arc<AtomicBool>) -> std::io::Result<()> {
    let mut interrupted = signal(SignalKind::interrupt())?;
    let mut terminated = signal(SignalKind::terminate())?;
    let is_stopping = Arc::clone(is_stopping);
    tokio::spawn(async move {
        tokio::select! {
            _ = interrupted.recv() => {}
            _ = terminated.recv() => {}
        }
        is_stopping.store(true, Ordering::Relaxed);
    });
    Ok(())
}

fn view(status: &Arc<Status>) -> NodeView {
    let (metrics, health) = (Arc::clone(status), Arc::clone(status));
    NodeView::new(
        move || node_metrics(&metrics.now()),
        move || match health.now() {
            StatusNow { waits: true, .. } => (false, "waits for the log\n"),
            StatusNow { leads: true, .. } => (true, "leads\n"),
            _ => (true, "stands by\n"),
        },
    )
}

fn node_metrics(now: &StatusNow) -> Vec<NodeMetric> {
    let metric = |name, help, value| NodeMetric { name, help, value };
    vec![
        metric(
            "waxwing_cluster_leads",
            "Whether this node leads, and serves.",
            u64::from(now.leads),
        ),
        metric(
            "waxwing_cluster_waits",
            "Whether the log does not answer, or is not safe: durable answers wait.",
            u64::from(now.waits),
        ),
        metric(
            "waxwing_cluster_term",
            "The newest term that this node knows.",
            now.term,
        ),
        metric(
            "waxwing_cluster_number",
            "The last batch in this node's store.",
            now.number,
        ),
        metric(
            "waxwing_cluster_appends_total",
            "Batches that this node appended to the log.",
            now.appends,
        ),
        metric(
            "waxwing_cluster_doubts_total",
            "Batches of which this node had to find out whether they are in the log.",
            now.doubts,
        ),
    ]
}

/// `waxwing-relay cluster status` and `waxwing-relay cluster handover`.
pub(crate) fn command(command: &arguments::Cluster) -> Result<(), Failure> {
    let at = match command {
        arguments::Cluster::Status(at) | arguments::Cluster::Handover(at) => at,
    };
    let choices = configuration::join(arguments::Choices::default(), Some(&at.config))?;
    let cluster = configuration::cluster(&choices)?.ok_or(Failure::NoCluster)?;
    let key = ClusterKey::new(Identity::read(&at.data)?.cluster_secret());
    let log = PostgresLog::new(&cluster.postgres, key.id())?;
    match command {
        arguments::Cluster::Status(_) => print_status(&log),
        arguments::Cluster::Handover(_) => hand_over(&log),
    }
}

fn print_status(log: &PostgresLog) -> Result<(), Failure> {
    let state = log.look()?;
    let nodes = log.nodes()?;
    let mut out = std::io::stdout().lock();
    let leads = state.lease.as_ref().filter(|lease| lease.left_ms > 0);
    match (leads, &state.lease) {
        (Some(lease), _) => writeln!(
            out,
            "{} leads (term {}), for at least {:.1} s more.",
            lease.holder.node,
            lease.term.0,
            Duration::from_millis(lease.left_ms).as_secs_f64()
        )?,
        (None, Some(lease)) => writeln!(
            out,
            "No node leads; {} led last (term {}).",
            lease.holder.node, lease.term.0
        )?,
        (None, None) => writeln!(out, "No node has led yet.")?,
    }
    let last = match state.numbers {
        Some((first, last)) => {
            writeln!(out, "The log has batches {first} to {last}.")?;
            last
        }
        None => 0,
    };
    for node in nodes {
        writeln!(
            out,
            "{}: has batch {}, {} behind, {} s ago.",
            node.holder.node,
            node.number,
            last.saturating_sub(node.number),
            node.age_ms / 1000
        )?;
    }
    Ok(())
}

fn hand_over(log: &PostgresLog) -> Result<(), Failure> {
    let leader = log.look()?.lease.map(|lease| lease.holder.node);
    let stands_by = log
        .nodes()?
        .iter()
        .any(|node| node.age_ms < 3 * REPORT_MS && Some(&node.holder.node) != leader.as_ref());
    if !stands_by {
        return Err(Failure::Handover("no other node stands by".to_owned()));
    }
    log.want_handover().map_err(|error| match error {
        LogError::Unreachable(why) => Failure::Handover(why),
        error => Failure::ClusterLog(error),
    })?;
    let mut out = std::io::stdout().lock();
    writeln!(out, "The node that leads hands over within a few seconds.")?;
    Ok(())
}
