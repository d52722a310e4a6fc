//! The log in a PostgreSQL database.
//!
//! A batch is a row (a large one several), the lease is a row, and the fence is a lock on it: an
//! append shares the lease's row until its transaction is replicated, so that a takeover's
//! update comes wholly before or after it.
//!
//! **Elsewhere**: the statements are in [`statements`], what PostgreSQL must be set to in
//! [`settings`], a connection in [`session`].
//!
//! **Always**: a transaction counts only once PostgreSQL is ready for the next one and has given
//! no notice. PostgreSQL answers a cancelled wait for its standby with a mere warning: the row is
//! visible then, and may be lost. So every error, notice and timeout is an unknown outcome
//! ([`LogError::Unreachable`]), and the connection is given up. Only the primary is read.

mod session;
pub mod settings;
mod statements;
mod tls;

use std::path::PathBuf;
use std::str::FromStr as _;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Runtime;
use tokio::sync::Mutex;
use tokio::time::timeout;
use tokio_postgres::Config;
use tokio_postgres::config::{SslMode, TargetSessionAttrs};

use self::session::Session;
pub use self::settings::Durability;
use crate::log::{
    ClusterId, Entry, Fenced, Holder, Lease, Log, LogError, LogState, NodeReport, Term,
};

/// Connecting, with everything that prepares a session.
const CONNECTING: Duration = Duration::from_secs(5);
/// A question that waits for no standby.
const READING: Duration = Duration::from_secs(10);
/// A change waits for the standby as long as PostgreSQL does, but on one connection only so long:
/// then another one finds out what has become of it.
const CHANGING: Duration = Duration::from_secs(20);
/// A connection whose other end is gone without a word is given up after about this.
const SILENCE: Duration = Duration::from_secs(8);

/// How to reach the database.
#[derive(Clone)]
pub struct PostgresSettings {
    config: Config,
    authorities: Option<PathBuf>,
    durability: Durability,
}

/// Why the database cannot be used. The sentences are for operators, and show no password.
#[derive(Debug, thiserror::Error)]
pub enum PostgresError {
    /// The URL.
    #[error(
        "the log's URL is not valid: write postgres://user:password@host:5432/database; several \
         hosts are separated by commas"
    )]
    Url,
    /// TLS.
    #[error("TLS with the database cannot be set up: {0}")]
    Tls(String),
    /// Threads.
    #[error("the system cannot start a thread: {0}")]
    Thread(#[from] std::io::Error),
}

/// A log in a database.
pub struct PostgresLog {
    /// `None` only while it is dropped.
    runtime: Option<Runtime>,
    /// Appends have a connection of their own: a renewal does not wait behind a large one.
    appends: Arc<Lane>,
    others: Arc<Lane>,
}

/// Calls that go one after the other, over one connection.
struct Lane {
    settings: PostgresSettings,
    tls: tls::Connector,
    cluster: ClusterId,
    session: Mutex<Option<Session>>,
}

impl std::fmt::Debug for PostgresSettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PostgresSettings")
    }
}

impl PostgresSettings {
    /// From a URL. Connections use TLS and check the certificate, unless the URL says
    /// `sslmode=disable`; `authorities` is a PEM file with those that may have issued it, by
    /// default those of the web.
    ///
    /// # Errors
    /// When the URL is not one.
    pub fn new(
        url: &str,
        authorities: Option<PathBuf>,
        durability: Durability,
    ) -> Result<Self, PostgresError> {
        let mut config = Config::from_str(url).map_err(|_| PostgresError::Url)?;
        if config.get_hosts().is_empty() {
            return Err(PostgresError::Url);
        }
        if config.get_ssl_mode() != SslMode::Disable {
            config.ssl_mode(SslMode::Require);
        }
        config
            .application_name("waxwing-relay")
            .target_session_attrs(TargetSessionAttrs::ReadWrite)
            .connect_timeout(CONNECTING / 2)
            .tcp_user_timeout(SILENCE)
            .keepalives_idle(SILENCE / 2)
            .keepalives_interval(SILENCE / 4)
            .keepalives_retries(2);
        Ok(Self {
            config,
            authorities,
            durability,
        })
    }
}

impl PostgresLog {
    /// Prepares the way to a database; nothing is connected yet.
    ///
    /// # Errors
    /// When TLS or threads cannot be set up.
    pub fn new(settings: &PostgresSettings, cluster: ClusterId) -> Result<Self, PostgresError> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("waxwing-log")
            .enable_all()
            .build()?;
        let tls = tls::Connector::new(settings.authorities.as_deref())?;
        let lane = || {
            Arc::new(Lane {
                settings: settings.clone(),
                tls: tls.clone(),
                cluster,
                session: Mutex::new(None),
            })
        };
        Ok(Self {
            appends: lane(),
            others: lane(),
            runtime: Some(runtime),
        })
    }

    /// Has something done by the log's own thread, and waits: callers may be anywhere.
    fn wait<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, LogError>> + Send + 'static,
    ) -> Result<T, LogError> {
        let ends = || LogError::Unreachable("the program ends".to_owned());
        let (done, answer) = std::sync::mpsc::sync_channel(1);
        let runtime = self.runtime.as_ref().ok_or_else(ends)?;
        runtime.spawn(async move {
            let _ = done.send(work.await);
        });
        answer.recv().map_err(|_| ends())?
    }
}

impl Drop for PostgresLog {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // Also where nothing may block.
            runtime.shutdown_background();
        }
    }
}

impl Lane {
    /// Asks something of a session, a new one where there is none; gives it up unless the answer
    /// is clean.
    async fn ask<T>(
        &self,
        most: Duration,
        ask: impl AsyncFnOnce(&Session) -> Result<T, LogError>,
    ) -> Result<T, LogError> {
        let mut slot = self.session.lock().await;
        let session = match slot.take() {
            Some(session) if !session.is_closed() => session,
            _ => {
                let connecting = Session::connect(&self.settings.config, &self.tls, self.cluster);
                match timeout(CONNECTING, connecting).await {
                    Ok(session) => session?,
                    Err(_) => return Err(silent("connecting")),
                }
            }
        };
        let before = session.notices();
        let answer = match timeout(most, ask(&session)).await {
            Ok(answer) => answer,
            Err(_) => Err(silent("an answer")),
        };
        if session.notices() != before {
            return Err(LogError::Unreachable(
                "PostgreSQL gave a warning: the transaction may not be replicated".to_owned(),
            ));
        }
        if !matches!(answer, Err(LogError::Unreachable(_))) {
            *slot = Some(session);
        }
        answer
    }
}

fn silent(what: &str) -> LogError {
    LogError::Unreachable(format!("{what} took too long"))
}

impl Log for PostgresLog {
    fn look(&self) -> Result<LogState, LogError> {
        let lane = Arc::clone(&self.others);
        self.wait(async move {
            lane.ask(READING, async |session| session.look().await)
                .await
        })
    }

    fn acquire(
        &self,
        holder: &Holder,
        after: Term,
        length_ms: u64,
    ) -> Result<Fenced<Term>, LogError> {
        let (lane, holder) = (Arc::clone(&self.others), holder.clone());
        self.wait(async move {
            let durability = lane.settings.durability;
            lane.ask(CHANGING, async |session| {
                session.check_settings(durability).await?;
                session.acquire(&holder, after, length_ms).await
            })
            .await
        })
    }

    fn renew(&self, term: Term, committed: u64, length_ms: u64) -> Result<Fenced<Lease>, LogError> {
        let lane = Arc::clone(&self.others);
        self.wait(async move {
            let durability = lane.settings.durability;
            lane.ask(CHANGING, async |session| {
                let renewed = session.renew(term, committed, length_ms).await?;
                if matches!(renewed, Fenced::Done(_)) {
                    session.check_settings(durability).await?;
                }
                Ok(renewed)
            })
            .await
        })
    }

    fn release(&self, term: Term, committed: u64) -> Result<Fenced, LogError> {
        let lane = Arc::clone(&self.others);
        self.wait(async move {
            lane.ask(READING, async |session| {
                session.release(term, committed).await
            })
            .await
        })
    }

    fn append(&self, entry: &Entry) -> Result<Fenced, LogError> {
        let (lane, entry) = (Arc::clone(&self.appends), entry.clone());
        self.wait(async move {
            lane.ask(CHANGING, async |session| session.append(&entry).await)
                .await
        })
    }

    fn read(&self, after: u64, most_bytes: usize) -> Result<Vec<Entry>, LogError> {
        let lane = Arc::clone(&self.others);
        self.wait(async move {
            lane.ask(READING, async |session| {
                session.read(after, most_bytes).await
            })
            .await
        })
    }

    fn want_handover(&self) -> Result<(), LogError> {
        let lane = Arc::clone(&self.others);
        self.wait(async move {
            lane.ask(READING, async |session| session.want_handover().await)
                .await
        })
    }

    fn report(&self, holder: &Holder, number: u64) -> Result<(), LogError> {
        let (lane, holder) = (Arc::clone(&self.others), holder.clone());
        self.wait(async move {
            lane.ask(READING, async |session| {
                session.report(&holder, number).await
            })
            .await
        })
    }

    fn nodes(&self) -> Result<Vec<NodeReport>, LogError> {
        let lane = Arc::clone(&self.others);
        self.wait(async move {
            lane.ask(READING, async |session| session.nodes().await)
                .await
        })
    }

    fn trim(&self, term: Term, below: u64) -> Result<Fenced, LogError> {
        let lane = Arc::clone(&self.others);
        self.wait(async move {
            lane.ask(CHANGING, async |session| session.trim(term, below).await)
                .await
        })
    }
}
