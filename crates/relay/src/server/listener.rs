//! From a TCP connection to a link: TLS, one HTTP request, the upgrade.
//!
//! **Elsewhere**: [`super::http`] answers the requests; [`super::link`] runs the link.
//!
//! **Always**: each stage has a time limit, and its memory is freed before the next one
//! begins: a link keeps neither the handshake's memory nor HTTP's.

use std::convert::Infallible;
use std::future::poll_fn;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use rustls::ServerConfig;
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use waxwing_protocol::{EXPORTER_LABEL, limits};

use super::auditing::Auditing;
use super::connection_limits::{ConnectionSlot, Sources};
use super::core_driver::CoreDriver;
use super::http::{Pages, held};
use super::link;
use super::memory::Memory;
use super::websocket::WebSocket;
use crate::store::Store;

/// For the TLS handshake.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// For a request's headers.
const HEADERS: Duration = Duration::from_secs(10);
/// Bytes of TLS that may wait for the socket: one record.
const TLS_BYTES: usize = 16 << 10;
/// For all of a connection that is no link.
const REQUESTS: Duration = Duration::from_mins(1);
/// Bytes of a request's headers.
const HEADER_BYTES: usize = 8 << 10;
/// Headers of a request.
const HEADER_COUNT: usize = 64;
/// After an error that waiting may cure (no descriptors left).
const PAUSE: Duration = Duration::from_millis(50);

/// Takes connections.
pub(super) struct Listener<S: Store> {
    listener: TcpListener,
    reception: Arc<Reception<S>>,
}

/// What every connection needs on its way to being a link.
struct Reception<S: Store> {
    tls: TlsAcceptor,
    pages: Pages,
    auditing: Auditing<S>,
    sources: Sources,
    driver: Arc<CoreDriver<S>>,
    memory: Arc<Memory>,
}

impl<S: Store> Listener<S> {
    pub(super) fn new(
        tls: Arc<ServerConfig>,
        pages: Pages,
        auditing: Auditing<S>,
        (sources, memory): (Sources, Arc<Memory>),
        driver: Arc<CoreDriver<S>>,
        listener: TcpListener,
    ) -> Self {
        Self {
            listener,
            reception: Arc::new(Reception {
                tls: tls.into(),
                pages,
                auditing,
                sources,
                driver,
                memory,
            }),
        }
    }

    /// Until the task is aborted.
    pub(super) async fn accept_for_ever(self) {
        loop {
            match self.listener.accept().await {
                Ok((stream, from)) => {
                    // Without a slot the connection is closed before any work is done.
                    if let Some(slot) = self.reception.sources.admit(from.ip()) {
                        tokio::spawn(receive(Arc::clone(&self.reception), stream, slot));
                    }
                }
                Err(error) => {
                    tracing::warn!(kind = %error.kind(), "a connection was not accepted");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }
}

/// Takes a connection up to its upgrade; the link then is a task of its own, so that
/// what came before leaves no memory in it.
async fn receive<S: Store>(reception: Arc<Reception<S>>, stream: TcpStream, slot: ConnectionSlot) {
    // Frames are written whole: waiting for more only delays them.
    let _ = stream.set_nodelay(true);
    let arriving = Box::pin(arrive(&reception, stream, slot.source()));
    let arrived = tokio::select! {
        arrived = arriving => arrived,
        // Another needs the slot.
        _ = poll_fn(|context| slot.outgoing().poll_cut(context)) => return,
    };
    let Some((stream, arrived)) = arrived else {
        return;
    };
    let exporter = stream
        .get_ref()
        .1
        .export_keying_material([0; 32], EXPORTER_LABEL, None);
    let Ok(exporter) = exporter else { return };
    let source = slot.source();
    let connected = reception.driver.connect(exporter, source, slot);
    let socket = WebSocket::new(stream, &arrived, limits::FRAME_BYTES);
    tokio::spawn(link::run(socket, connected));
}

/// TLS, and requests until one becomes a link.
async fn arrive<S: Store>(
    reception: &Reception<S>,
    stream: TcpStream,
    source: IpAddr,
) -> Option<(TlsStream<TcpStream>, Bytes)> {
    let handshake = Box::pin(reception.tls.accept(stream));
    let mut stream = tokio::time::timeout(HANDSHAKE, handshake)
        .await
        .ok()?
        .ok()?;
    stream.get_mut().1.set_buffer_limit(Some(TLS_BYTES));
    let requests = Box::pin(answer_requests(reception, stream, source));
    tokio::time::timeout(REQUESTS, requests).await.ok()?.ok()?
}

/// Answers requests until one becomes a link; gives its stream, and what arrived behind
/// the request.
async fn answer_requests<S: Store>(
    reception: &Reception<S>,
    stream: TlsStream<TcpStream>,
    source: IpAddr,
) -> io::Result<Option<(TlsStream<TcpStream>, Bytes)>> {
    let is_link = AtomicBool::new(false);
    let is_link = &is_link;
    let service = service_fn(async |request: Request<Incoming>| {
        if Auditing::<S>::is_for(&request) {
            let answer = reception.auditing.answer(request, source).await;
            return Ok::<_, Infallible>(held(&reception.memory, answer).await);
        }
        let answer = reception.pages.answer(&request);
        is_link.fetch_or(answer.is_link, Ordering::Relaxed);
        Ok(answer.response)
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADERS)
        .max_buf_size(HEADER_BYTES)
        .max_headers(HEADER_COUNT)
        .serve_connection(TokioIo::new(stream), service);
    let parts = connection
        .without_shutdown()
        .await
        .map_err(io::Error::other)?;
    let mut stream = parts.io.into_inner();
    if is_link.load(Ordering::Relaxed) {
        stream.flush().await?;
        return Ok(Some((stream, parts.read_buf)));
    }
    stream.shutdown().await?;
    Ok(None)
}
