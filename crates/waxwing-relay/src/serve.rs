//! `waxwing-relay serve`, `waxwing-relay confirm-clock` and `waxwing-relay identity`.
//!
//! **Elsewhere**: the library does the work.
//!
//! **Always**: the ready line is `listening URL`, where the URL includes the pin. It is one
//! line on standard output, printed once clients can connect. Programs wait for it;
//! `--ready-file` gets the same line just before, and the file appears complete.

use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;

use tokio::signal::unix::{SignalKind, signal};
use waxwing_cluster::log;
use waxwing_cluster::postgres::PostgresError;
use waxwing_cluster::seal::NoRandomNumbers;
use waxwing_cluster::standby::Refusal;
use waxwing_relay::data_dir::{DataDir, DataDirError};
use waxwing_relay::directory::log::{KeyLog, LogError};
use waxwing_relay::identity::{Identity, IdentityError};
use waxwing_relay::server::{self, ServeError, Server};
use waxwing_relay::store::StoreError;
use waxwing_relay::store::embedded::EmbeddedStore;

use crate::arguments;
use crate::cluster;
use crate::configuration::{self, ConfigurationError};
use crate::logs;

/// The store's folder in the data directory.
pub(crate) const STORE: &str = "store";
/// In the data directory: the operator confirms the clock with it.
const CLOCK_CONFIRMED: &str = "clock-confirmed";

/// Why a command failed; each is a sentence for an operator.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error(transparent)]
    Configuration(#[from] ConfigurationError),
    #[error(transparent)]
    DataDir(#[from] DataDirError),
    #[error(transparent)]
    Identity(#[from] IdentityError),
    #[error("{0}.")]
    Store(#[from] StoreError),
    #[error(transparent)]
    Log(#[from] LogError),
    #[error("{0}.")]
    ClusterLog(#[from] log::LogError),
    #[error("{0}.")]
    Database(#[from] PostgresError),
    #[error("{0}.")]
    Refused(Refusal),
    #[error("{0}.")]
    Random(#[from] NoRandomNumbers),
    #[error("the file has no table [cluster]: this relay is not a node of a cluster.")]
    NoCluster,
    #[error("nothing was handed over: {0}.")]
    Handover(String),
    #[error(transparent)]
    Serve(#[from] ServeError),
    #[error("the operating system refused: {0}.")]
    System(#[from] std::io::Error),
    #[error(
        "{damaged} records are damaged, and the relay would refuse to read them. Restore a backup; \
         if you have none, keep a copy of the directory and ask for help."
    )]
    Damaged { damaged: u64 },
}

pub(crate) fn run(serve: Box<arguments::Serve>) -> Result<(), Failure> {
    let choices = configuration::join(serve.settings, serve.config.as_deref())?;
    let cluster = configuration::cluster(&choices)?;
    let mut settings = configuration::settle(&choices)?;
    settings.clock_confirmation = Some(serve.data.join(CLOCK_CONFIRMED));
    logs::start(choices.log_format.unwrap_or_default());
    let data = DataDir::open_or_create(&serve.data)?;
    let mut identity = Identity::open_or_create(&data)?;
    // The store turns a panic over a damaged file into advice; from then on none is expected.
    let store = Arc::new(EmbeddedStore::open(&data.path().join(STORE))?);
    identity.add_log_keys(&data, KeyLog::is_empty(&*store)?)?;
    logs::exit_on_panic();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_name("waxwing-relay")
        .build()?;
    if let Some(cluster) = cluster {
        let ready = serve.ready_file.as_deref();
        cluster::run(&cluster, settings, &identity, store, ready, &runtime)?;
        runtime.shutdown_background();
        return Ok(());
    }
    runtime.block_on(async {
        let mut interrupted = signal(SignalKind::interrupt())?;
        let mut terminated = signal(SignalKind::terminate())?;
        let server = Server::start(settings, &identity, store).await?;
        announce(&server.url(), serve.ready_file.as_deref())?;
        tokio::select! {
            _ = interrupted.recv() => {}
            _ = terminated.recv() => {}
        }
        server.shut_down().await;
        Ok::<(), Failure>(())
    })?;
    // Connections that never became links are not waited for.
    runtime.shutdown_background();
    drop(data);
    Ok(())
}

pub(crate) fn announce(url: &str, ready_file: Option<&Path>) -> std::io::Result<()> {
    let line = format!("listening {url}\n");
    if let Some(path) = ready_file {
        let new = path.with_extension("new");
        std::fs::write(&new, &line)?;
        std::fs::rename(&new, path)?;
    }
    let mut out = std::io::stdout().lock();
    out.write_all(line.as_bytes())?;
    out.flush()?;
    Ok(())
}

pub(crate) fn confirm_clock(arguments: &arguments::ConfirmClock) -> Result<(), Failure> {
    // Only where there is a relay.
    Identity::read(&arguments.data)?;
    server::confirm_clock(&arguments.data.join(CLOCK_CONFIRMED))?;
    let mut out = std::io::stdout().lock();
    writeln!(
        out,
        "Confirmed. If the relay doubts this machine's clock, it trusts it again within a second."
    )?;
    Ok(())
}

pub(crate) fn print_identity(arguments: &arguments::Identity) -> Result<(), Failure> {
    let pin = Identity::read(&arguments.data)?.pin();
    let host = match arguments.name.parse::<std::net::Ipv6Addr>() {
        Ok(address) => format!("[{address}]"),
        Err(_) => arguments.name.clone(),
    };
    let mut out = std::io::stdout().lock();
    writeln!(out, "pin {pin}")?;
    writeln!(out, "url https://{host}:{}/#{pin}", arguments.port)?;
    Ok(())
}
