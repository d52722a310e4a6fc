//! From a TCP connection to a link: TLS, one HTTP request, the upgrade.
//!
//! **Elsewhere**: what the requests are answered is in [`super::http`]; the link's life
//! is in [`super::link`].
//!
//! **Always**: each stage has its time, and its memory is freed before the next begins:
//! a link keeps neither the handshake's nor HTTP's.

use std::convert::Infallible;
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
use super::exchange::Exchange;
use super::http::Pages;
use super::link;
use super::sources::{Place, Sources};
use super::websocket::WebSocket;
use crate::store::Store;

/// For the TLS handshake.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// For a request's headers.
const HEADERS: Duration = Duration::from_secs(10);
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
    exchange: Arc<Exchange<S>>,
}

impl<S: Store> Listener<S> {
    pub(super) fn new(
        tls: Arc<ServerConfig>,
        pages: Pages,
        auditing: Auditing<S>,
        sources: Sources,
        exchange: Arc<Exchange<S>>,
        listener: TcpListener,
    ) -> Self {
        Self {
            listener,
            reception: Arc::new(Reception {
                tls: tls.into(),
                pages,
                auditing,
                sources,
                exchange,
            }),
        }
    }

    /// Until the task is aborted.
    pub(super) async fn accept_for_ever(self) {
        loop {
            match self.listener.accept().await {
                Ok((stream, from)) => {
                    // Without a place the connection is closed before any work is done.
                    if let Some(place) = self.reception.sources.admit(from.ip()) {
                        tokio::spawn(receive(Arc::clone(&self.reception), stream, place));
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
async fn receive<S: Store>(reception: Arc<Reception<S>>, stream: TcpStream, place: Place) {
    // Frames are written whole: waiting for more only delays them.
    let _ = stream.set_nodelay(true);
    let handshake = Box::pin(reception.tls.accept(stream));
    let Ok(Ok(stream)) = tokio::time::timeout(HANDSHAKE, handshake).await else {
        return;
    };
    let requests = Box::pin(answer_requests(&reception, stream, place.source()));
    let Ok(Ok(Some((stream, arrived)))) = tokio::time::timeout(REQUESTS, requests).await else {
        return;
    };
    let exporter = stream
        .get_ref()
        .1
        .export_keying_material([0; 32], EXPORTER_LABEL, None);
    let Ok(exporter) = exporter else { return };
    let source = place.source();
    let connected = reception.exchange.connect(exporter, source, place);
    let socket = WebSocket::new(stream, &arrived, limits::FRAME_BYTES);
    tokio::spawn(link::run(socket, connected));
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
            return Ok::<_, Infallible>(reception.auditing.answer(request, source).await);
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
