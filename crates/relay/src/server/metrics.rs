//! Metrics for Prometheus, on a separate listener.
//!
//! **Elsewhere**: the relay's core and the driver keep the counts.
//!
//! **Always**: counts only, and nothing that tells one person from another. Plain HTTP: the
//! address should be local, or in the operator's own network.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use prometheus_client::encoding::prometheus_text;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::{Metric, Registry};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use super::http::{page, text};
use super::node::NodeView;

/// Readers at one time.
const READERS: usize = 16;
/// A reader's whole connection.
const PATIENCE: Duration = Duration::from_mins(2);

/// Numbers, and what each of them is.
#[derive(Default)]
pub(super) struct Exposition(Registry);

impl Exposition {
    /// A number that only rises; its name ends with `_total`.
    pub(super) fn counter<N>(&mut self, name: &str, help: &str, value: N)
    where
        ConstCounter<N>: Metric,
    {
        // The registry adds the ends of names and sentences.
        let name = name.strip_suffix("_total").unwrap_or(name);
        let help = help.trim_end_matches('.');
        self.0.register(name, help, ConstCounter::new(value));
    }

    /// A number that rises and falls.
    pub(super) fn gauge<N>(&mut self, name: &str, help: &str, value: N)
    where
        ConstGauge<N>: Metric,
    {
        let help = help.trim_end_matches('.');
        self.0.register(name, help, ConstGauge::new(value));
    }

    /// What the operating system says about this process.
    pub(super) fn process(&mut self) {
        if let Some(bytes) = resident_bytes() {
            self.gauge(
                "process_resident_memory_bytes",
                "Resident memory of the process in bytes.",
                bytes,
            );
        }
        if let Ok(descriptors) = std::fs::read_dir("/proc/self/fd") {
            self.gauge(
                "process_open_fds",
                "Open file descriptors.",
                descriptors.count(),
            );
        }
    }

    /// Prometheus's text format 0.0.4.
    pub(super) fn finish(self) -> String {
        let mut text = String::new();
        // Writing to a string cannot fail.
        let _ = prometheus_text::encode(&mut text, &self.0);
        text
    }
}

fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kib * 1024)
}

/// Answers `GET /metrics` with what `render` gives, and `GET /healthz`, for ever.
pub(super) async fn serve(
    listener: TcpListener,
    render: Arc<dyn Fn() -> String + Send + Sync>,
    node: Option<NodeView>,
) {
    let places = Arc::new(Semaphore::new(READERS));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else {
            return;
        };
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let (render, node) = (Arc::clone(&render), node.clone());
        tokio::spawn(async move {
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .serve_connection(
                    TokioIo::new(stream),
                    service_fn(|request: Request<Incoming>| {
                        let answer = answer(&request, &*render, node.as_ref());
                        async move { Ok::<_, Infallible>(answer) }
                    }),
                );
            let _ = tokio::time::timeout(PATIENCE, connection).await;
            drop(place);
        });
    }
}

fn answer(
    request: &Request<Incoming>,
    render: &dyn Fn() -> String,
    node: Option<&NodeView>,
) -> Response<Full<Bytes>> {
    match request.uri().path() {
        "/metrics" => page("text/plain; version=0.0.4; charset=utf-8", render().into()),
        // For monitors that do not speak post-quantum TLS yet.
        "/healthz" => match node {
            None => text(StatusCode::OK, "ok\n"),
            Some(node) => {
                let (is_well, state) = node.health();
                let status = if is_well {
                    StatusCode::OK
                } else {
                    StatusCode::SERVICE_UNAVAILABLE
                };
                text(status, state)
            }
        },
        _ => text(StatusCode::NOT_FOUND, "Metrics are at /metrics.\n"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_metric_has_help_and_type() {
        let mut exposition = Exposition::default();
        exposition.counter("a_total", "Some.", 3_u64);
        exposition.gauge("b", "Others.", 4.5);
        assert_eq!(
            exposition.finish(),
            "# HELP a_total Some.\n# TYPE a_total counter\na_total 3\n\
             # HELP b Others.\n# TYPE b gauge\nb 4.5\n"
        );
    }

    #[test]
    fn the_process_tells_its_memory() {
        let mut exposition = Exposition::default();
        exposition.process();
        let text = exposition.finish();
        let line = text
            .lines()
            .find(|line| line.starts_with("process_resident_memory_bytes "))
            .unwrap();
        let bytes: u64 = line.rsplit(' ').next().unwrap().parse().unwrap();
        assert!(bytes > 1 << 20);
    }
}
