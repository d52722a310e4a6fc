//! The relay's connections: TLS, HTTP, links, metrics.
//!
//! **Elsewhere**: the relay's decisions are in [`crate::relay`]; its storage is in
//! [`crate::store`]; the command line is `waxwing-relay`.
//!
//! **Always**: everything from the network is bounded in size, number and time. Logs say that
//! something happened, but never to whom or from where.

mod auditing;
mod auditor_queue;
mod clock;
mod connection_limits;
mod core_driver;
mod fair_queue;
mod http;
mod link;
mod listener;
mod log;
mod memory;
mod metrics;
mod node;
mod send_queue;
mod tls;
mod verifying;
mod websocket;

pub use self::clock::confirm_clock;
pub use self::node::{NodeMetric, NodeView, serve_node};

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rand::SeedableRng as _;
use rand::rngs::{StdRng, SysRng};
use rustls::pki_types::ServerName;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use waxwing_transparency::cosignature::AuditorId;

use self::auditing::Auditing;
use self::clock::Clock;
use self::connection_limits::Sources;
use self::core_driver::{CoreDriver, Writers};
use self::listener::Listener;
use self::memory::Memory;
use self::metrics::Exposition;
use crate::directory::log::{KeyLog, LogError};
use crate::identity::{Identity, IdentityError, Pin};
use crate::mail::{MailRoute, Mailer};
use crate::relay::{Config, Relay, Secrets};
use crate::sms::{self, SmscClient};
use crate::store::{Store, StoreError};

/// Links have this long to take what is queued and the close frame.
const GOODBYE: Duration = Duration::from_secs(5);
/// Descriptors that are not connections.
const SPARE_DESCRIPTORS: u64 = 512;
/// With less than this, some requests could never be answered.
const LEAST_MEMORY: usize = 16 << 20;

/// How a relay is to be reached.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where clients connect; port 0 for any free one.
    pub listen: SocketAddr,
    /// The host name in the relay's URL and certificate; without it, the listening address.
    pub name: Option<String>,
    /// Where mail goes.
    pub mail: MailRoute,
    /// Who mail comes from; by default `waxwing@` and the name.
    pub mail_from: Option<String>,
    /// Where texts go.
    pub texts: sms::SmsRoute,
    /// Where Prometheus reads.
    pub metrics: Option<SocketAddr>,
    /// Connections at one time.
    pub max_links: usize,
    /// Connections at one time from one IPv4 address or IPv6 /64; a /56 may have twice, a
    /// /48 four times as many.
    pub max_links_per_source: usize,
    /// Bytes that all links together may have queued or half received.
    pub link_memory: usize,
    /// Addresses that many people share (a TCP proxy, an onion service): each of their
    /// connections counts as a source of its own, and all of them share a budget.
    pub shared_sources: Vec<IpAddr>,
    /// Auditors whose co-signatures of the key log are published.
    pub auditors: Vec<AuditorId>,
    /// A file with which the operator confirms that the machine's clock is right
    /// ([`confirm_clock`]).
    pub clock_confirmation: Option<PathBuf>,
    /// The cluster that this relay is a node of.
    pub node: Option<NodeView>,
    /// What the relay's core may do.
    pub relay: Config,
}

impl Settings {
    /// Settings that suit one host; no mail, no metrics.
    pub fn new(listen: SocketAddr) -> Self {
        Self {
            listen,
            name: None,
            mail: MailRoute::None,
            mail_from: None,
            texts: sms::SmsRoute::None,
            metrics: None,
            max_links: 50_000,
            max_links_per_source: 1000,
            link_memory: 256 << 20,
            shared_sources: Vec::new(),
            auditors: Vec::new(),
            clock_confirmation: None,
            node: None,
            relay: Config::default(),
        }
    }
}

/// Why a relay cannot be started. The sentences are for operators.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// TLS cannot be set up.
    #[error("TLS cannot be set up: {0}")]
    Tls(String),
    /// The identity.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// Mail.
    #[error(transparent)]
    Mail(#[from] crate::mail::MailError),
    /// Texts.
    #[error(transparent)]
    Texts(#[from] sms::SmsError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The key log.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The system's random numbers.
    #[error("the system provides no random numbers: {0}")]
    Random(String),
    /// The system's threads.
    #[error("the system cannot start a thread: {0}. Check the limits on this user's processes.")]
    Thread(String),
    /// A listener.
    #[error("cannot listen on {address}: {source}. {advice}")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
        /// What to do about it.
        advice: &'static str,
    },
}

impl ServeError {
    fn listen(address: SocketAddr, source: io::Error) -> Self {
        let advice = match source.kind() {
            io::ErrorKind::AddrInUse => {
                "Another program has this port: stop it, or choose another port."
            }
            io::ErrorKind::PermissionDenied => {
                "Ports below 1024 need a privilege: choose a higher one, or grant \
                 CAP_NET_BIND_SERVICE."
            }
            io::ErrorKind::AddrNotAvailable => {
                "This machine does not have that address: try 0.0.0.0 or [::]."
            }
            _ => "Choose another address.",
        };
        Self::Listen {
            address,
            source,
            advice,
        }
    }
}

/// A relay that runs.
pub struct Server<S: Store> {
    driver: Arc<CoreDriver<S>>,
    memory: Arc<Memory>,
    writers: Writers,
    /// Accepting, ticking and metrics: all end with the server.
    tasks: Vec<JoinHandle<()>>,
    address: SocketAddr,
    metrics_address: Option<SocketAddr>,
    host: String,
    pin: Pin,
}

impl<S: Store> Server<S> {
    /// Starts a relay on the current tokio runtime.
    pub async fn start(
        settings: Settings,
        identity: &Identity,
        store: Arc<S>,
    ) -> Result<Self, ServeError> {
        let host = host(&settings)?;
        let name = host.trim_matches(['[', ']']);
        let tls = tls::configuration(identity, name)?;
        let secrets = Secrets {
            token_seed: *identity.token_seed(),
            address_key: *identity.address_key(),
        };
        let usage = Arc::clone(&store);
        let mut rng = StdRng::try_from_rng(&mut SysRng)
            .map_err(|error| ServeError::Random(error.to_string()))?;
        let log = KeyLog::open(
            Arc::clone(&store),
            identity.log_keys()?,
            settings.auditors.clone(),
            clock::now(),
            &mut rng,
        )?;
        let log = Arc::new(log);
        let known = log.identity().clone();
        let mut relay = Relay::open(store, settings.relay.clone(), secrets, known)?;
        let clock = Clock::new(settings.clock_confirmation.clone());
        clock.look(clock::now(), &mut relay);
        let token_key = relay.shown_token_key();
        let (mail, mut failures) =
            Mailer::start(&settings.mail, settings.mail_from.as_deref(), name)?;
        let (texts, mut told) = SmscClient::start(&settings.texts)?;
        match (&settings.mail, &settings.texts) {
            (MailRoute::None, sms::SmsRoute::None) => {
                tracing::warn!("nobody can register: neither --smtp nor --mail-dir is given");
            }
            (MailRoute::None, _) => {
                tracing::warn!("only phone numbers can register: --smtp or --mail-dir is missing");
            }
            _ => {}
        }

        let (listener, address) = bind(settings.listen).await?;
        let metrics = match settings.metrics {
            Some(address) => Some(bind(address).await?),
            None => None,
        };
        let metrics_address = metrics.as_ref().map(|(_, address)| *address);
        let driver = CoreDriver::new(relay, mail, texts, name, clock)?;
        let writers = driver.start_writers(&log)?;
        let max_links = within_descriptors(settings.max_links);
        let memory = Memory::new(settings.link_memory.max(LEAST_MEMORY));
        let sources = Sources::new(
            max_links,
            settings.max_links_per_source,
            &settings.shared_sources,
            &memory,
        );
        let pin = identity.pin();
        let url = format!("https://{host}:{}", address.port());
        let pages = http::Pages::new(&url, &pin.to_string(), token_key);

        let mut tasks = Vec::new();
        if let Some((listener, _)) = metrics {
            let (driver, sources) = (Arc::clone(&driver), sources.clone());
            let (log, memory) = (Arc::clone(&log), Arc::clone(&memory));
            let (node, health) = (settings.node.clone(), settings.node);
            let render = Arc::new(move || {
                let mut out = Exposition::default();
                if let Some(node) = &node {
                    node.render(&mut out);
                }
                render_metrics(out, &driver, (&sources, &memory), &*usage, &log)
            });
            tasks.push(tokio::spawn(metrics::serve(listener, render, health)));
        }
        let listening = Arc::clone(&driver);
        tasks.push(tokio::spawn(async move {
            loop {
                tokio::select! {
                    Some(asked) = failures.recv() => listening.code_failed(asked),
                    Some(asked) = told.failed_codes.recv() => listening.code_failed(asked),
                    Some(report) = told.reports.recv() => listening.sms_report(report),
                    else => return,
                }
            }
        }));
        let (ticked, swept) = (Arc::clone(&driver), sources.clone());
        tasks.push(tokio::spawn(async move {
            let mut seconds = tokio::time::interval(Duration::from_secs(1));
            seconds.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            loop {
                seconds.tick().await;
                ticked.tick();
                while ticked.sweep_slice() {
                    tokio::task::yield_now().await;
                }
                swept.sweep();
            }
        }));
        let listener = Listener::new(
            tls,
            pages,
            Auditing::new(log),
            (sources, Arc::clone(&memory)),
            Arc::clone(&driver),
            listener,
        );
        tasks.push(tokio::spawn(listener.accept_for_ever()));
        tracing::info!(%address, "the relay is ready");
        Ok(Self {
            driver,
            memory,
            writers,
            tasks,
            address,
            metrics_address,
            host,
            pin,
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where its metrics are.
    pub fn metrics_address(&self) -> Option<SocketAddr> {
        self.metrics_address
    }

    /// Bytes that links have queued or half received, beyond the first few of each.
    pub fn link_bytes(&self) -> usize {
        self.memory.used()
    }

    /// What clients pin.
    pub fn pin(&self) -> Pin {
        self.pin
    }

    /// URL and pin in one string, as `waxwing register --relay` takes it:
    /// `https://HOST:PORT/#sha256/…`.
    pub fn url(&self) -> String {
        format!(
            "https://{}:{}/#{}",
            self.host,
            self.address.port(),
            self.pin
        )
    }

    /// Stops accepting, makes what was taken durable, says goodbye to every link.
    /// Takes a few seconds at most.
    pub async fn shut_down(self) {
        self.shut_down_then(|| ()).await;
    }

    /// As [`Self::shut_down`]; calls `committed` once nothing more will be committed, before
    /// links are waited for.
    pub async fn shut_down_then(self, committed: impl FnOnce()) {
        for task in &self.tasks {
            task.abort();
        }
        let links = self.driver.links();
        tracing::info!(links, "the relay is stopping");
        let (driver, writers) = (Arc::clone(&self.driver), self.writers);
        // What is pending is committed and answered before links are closed.
        let _ = tokio::task::spawn_blocking(move || driver.end_writers(writers)).await;
        self.driver.end_links();
        committed();
        let all_gone = async {
            while self.driver.links() > 0 {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        if tokio::time::timeout(GOODBYE, all_gone).await.is_err() {
            tracing::warn!(links = self.driver.links(), "links were cut off");
        }
        tracing::info!("the relay has stopped");
    }
}

async fn bind(address: SocketAddr) -> Result<(TcpListener, SocketAddr), ServeError> {
    let refused = |source| ServeError::listen(address, source);
    let listener = TcpListener::bind(address).await.map_err(refused)?;
    let address = listener.local_addr().map_err(refused)?;
    Ok((listener, address))
}

/// The host as it stands in URLs.
fn host(settings: &Settings) -> Result<String, IdentityError> {
    let Some(name) = &settings.name else {
        return Ok(match settings.listen.ip() {
            ip if ip.is_unspecified() => "localhost".to_owned(),
            IpAddr::V4(ip) => ip.to_string(),
            IpAddr::V6(ip) => format!("[{ip}]"),
        });
    };
    match ServerName::try_from(name.as_str()) {
        Ok(ServerName::DnsName(_)) => Ok(name.to_ascii_lowercase()),
        Ok(ServerName::IpAddress(_)) if name.contains(':') => Ok(format!("[{name}]")),
        Ok(ServerName::IpAddress(_)) => Ok(name.clone()),
        _ => Err(IdentityError::Name { name: name.clone() }),
    }
}

/// Raises the number of open files as far as it goes, and gives how many links fit.
fn within_descriptors(max_links: usize) -> usize {
    use rustix::process::{Resource, getrlimit, setrlimit};

    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    if setrlimit(Resource::Nofile, limit).is_err() {
        limit = getrlimit(Resource::Nofile);
    }
    let Some(descriptors) = limit.current else {
        return max_links;
    };
    let fit = usize::try_from(descriptors.saturating_sub(SPARE_DESCRIPTORS)).unwrap_or(usize::MAX);
    if fit < max_links {
        tracing::warn!(
            fit,
            wanted = max_links,
            "fewer links fit than configured: raise the limit on open files (LimitNOFILE=)"
        );
    }
    max_links.min(fit)
}

fn render_metrics<S: Store>(
    mut out: Exposition,
    driver: &CoreDriver<S>,
    (sources, memory): (&Sources, &Memory),
    store: &S,
    log: &KeyLog<S>,
) -> String {
    let counts = driver.counts();
    let log = log.counts();
    let mail = driver.mail().counts();
    let texts = driver.texts().counts();
    let usage = store.usage();
    out.gauge(
        "waxwing_connections",
        "Connections, links or not.",
        sources.connections(),
    );
    out.counter(
        "waxwing_connections_refused_total",
        "Connections for which there was no place.",
        sources.refused(),
    );
    out.counter(
        "waxwing_connections_gave_way_total",
        "Connections without a login that were ended because others needed the place.",
        sources.gave_way(),
    );
    out.gauge(
        "waxwing_link_bytes",
        "Bytes that links have queued or half received, beyond the first few of each.",
        memory.used(),
    );
    out.counter(
        "waxwing_links_cut_slow_total",
        "Links that were ended because their clients did not take what waited.",
        memory.cuts.slow.load(Ordering::Relaxed),
    );
    out.counter(
        "waxwing_links_cut_memory_total",
        "Links that were ended because others needed the memory.",
        memory.cuts.memory.load(Ordering::Relaxed),
    );
    out.gauge(
        "waxwing_fan_out_bytes",
        "Bytes of memory that unencrypted fan-out lists use.",
        counts.fan_out_bytes,
    );
    out.gauge("waxwing_links", "Links that are open.", counts.links);
    out.gauge(
        "waxwing_links_logged_in",
        "Links that are logged in.",
        counts.logged_in,
    );
    out.counter("waxwing_posts_total", "Posts accepted.", counts.posts);
    out.counter(
        "waxwing_deliveries_total",
        "Posts delivered, counted for each mailbox.",
        counts.delivered,
    );
    out.counter(
        "waxwing_acknowledgements_total",
        "Posts that devices acknowledged.",
        counts.acknowledged,
    );
    out.counter(
        "waxwing_posts_never_written_total",
        "Posts that all recipients had before they were written to disk.",
        counts.never_written,
    );
    out.counter(
        "waxwing_posts_expired_total",
        "Posts that expired before they were delivered.",
        counts.expired,
    );
    out.gauge(
        "waxwing_clock_in_doubt",
        "1 while the machine's clock may be wrong: nothing expires, no head is signed.",
        u32::from(driver.doubts_clock().0),
    );
    out.gauge(
        "waxwing_expiry_paused",
        "1 while nothing expires because of the clock.",
        u32::from(driver.doubts_clock().1),
    );
    out.counter(
        "waxwing_clock_leaps_total",
        "Jumps of the machine's clock since the start.",
        counts.clock_leaps,
    );
    out.counter(
        "waxwing_posts_left_out_total",
        "Posts that a recipient's mailbox had no room for.",
        counts.left_out,
    );
    out.counter(
        "waxwing_requests_refused_total",
        "Requests refused.",
        counts.refused,
    );
    out.counter(
        "waxwing_codes_total",
        "Registration codes made.",
        counts.codes,
    );
    out.counter(
        "waxwing_registrations_total",
        "Addresses registered.",
        counts.registrations,
    );
    out.counter(
        "waxwing_mails_sent_total",
        "Mails handed to the mail server.",
        mail.sent.load(Ordering::Relaxed),
    );
    out.counter(
        "waxwing_mails_failed_total",
        "Mails that could not be sent.",
        mail.failed.load(Ordering::Relaxed),
    );
    let of = |count: &std::sync::atomic::AtomicU64| count.load(Ordering::Relaxed);
    out.counter(
        "waxwing_texts_sent_total",
        "Texts that the SMSC has accepted.",
        of(&texts.sent),
    );
    out.counter(
        "waxwing_texts_failed_total",
        "Texts that could not be sent.",
        of(&texts.failed),
    );
    out.counter(
        "waxwing_texts_delivered_total",
        "Texts that reached phones, according to the SMSC.",
        of(&texts.delivered),
    );
    out.counter(
        "waxwing_texts_undelivered_total",
        "Texts that did not reach phones, according to the SMSC.",
        of(&texts.undelivered),
    );
    out.counter(
        "waxwing_texts_throttled_total",
        "How often the SMSC asked the relay to slow down.",
        of(&texts.throttled),
    );
    out.counter(
        "waxwing_texts_inbound_total",
        "Texts from phones that were accepted.",
        of(&texts.inbound),
    );
    out.counter(
        "waxwing_texts_inbound_refused_total",
        "Texts from phones that nobody here takes, or not now.",
        of(&texts.inbound_refused),
    );
    out.gauge(
        "waxwing_smsc_connected",
        "Whether there is a session with the SMSC.",
        u64::from(texts.connected.load(Ordering::Relaxed)),
    );
    out.counter(
        "waxwing_batches_total",
        "Batches written to disk.",
        counts.batches,
    );
    out.counter(
        "waxwing_batches_failed_total",
        "Batches that could not be written.",
        counts.failed_batches,
    );
    out.counter(
        "waxwing_records_damaged_total",
        "Records that were not as they were written, and were left out.",
        counts.damaged + store.damaged(),
    );
    out.gauge(
        "waxwing_disk_nearly_full",
        "Whether only what makes room is taken.",
        u64::from(store.is_nearly_full()),
    );
    out.gauge("waxwing_log_epoch", "The key log's epoch.", log.epoch);
    out.gauge(
        "waxwing_log_heads",
        "Heads that the key log has.",
        log.heads,
    );
    out.counter(
        "waxwing_log_changes_total",
        "Changes that came into the key log.",
        log.changes,
    );
    out.counter(
        "waxwing_log_publications_total",
        "Publications of the key log.",
        log.publications,
    );
    out.counter(
        "waxwing_log_publications_failed_total",
        "Publications that could not be written.",
        counts.failed_publications,
    );
    out.counter(
        "waxwing_log_publish_microseconds_total",
        "Microseconds that publications took.",
        log.publish_us,
    );
    out.gauge(
        "waxwing_store_bytes",
        "Bytes that the store occupies.",
        usage.bytes_on_disk,
    );
    out.gauge(
        "waxwing_store_post_bytes",
        "Bytes of posts that wait on disk.",
        usage.live_post_bytes,
    );
    out.process();
    out.finish()
}
