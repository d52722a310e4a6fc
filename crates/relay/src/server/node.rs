//! What the program knows about the cluster that this relay is a node of, for the pages of
//! operators.
//!
//! **Elsewhere**: the cluster itself is not the relay's: it sees a store. The pages are in
//! [`super::metrics`].
//!
//! **Always**: counts and states only.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::task::JoinHandle;

use super::metrics::{self, Exposition};
use super::{ServeError, bind};

/// A number that the program adds to the metrics.
#[derive(Clone, Copy, Debug)]
pub struct NodeMetric {
    /// Its name; one that ends with `_total` only rises.
    pub name: &'static str,
    /// What it is.
    pub help: &'static str,
    /// What it is now.
    pub value: u64,
}

/// Reads the state of the node.
#[derive(Clone)]
pub struct NodeView {
    metrics: Arc<dyn Fn() -> Vec<NodeMetric> + Send + Sync>,
    health: Arc<dyn Fn() -> (bool, &'static str) + Send + Sync>,
}

impl fmt::Debug for NodeView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NodeView")
    }
}

impl NodeView {
    /// `health` gives whether all is well, and a line that says what the node does.
    pub fn new(
        metrics: impl Fn() -> Vec<NodeMetric> + Send + Sync + 'static,
        health: impl Fn() -> (bool, &'static str) + Send + Sync + 'static,
    ) -> Self {
        Self {
            metrics: Arc::new(metrics),
            health: Arc::new(health),
        }
    }

    pub(super) fn health(&self) -> (bool, &'static str) {
        (self.health)()
    }

    pub(super) fn render(&self, out: &mut Exposition) {
        for NodeMetric { name, help, value } in (self.metrics)() {
            if name.ends_with("_total") {
                out.counter(name, help, value);
            } else {
                out.gauge(name, help, value);
            }
        }
    }
}

/// Serves metrics and `/healthz` for a node that does not lead; ends when the task is aborted.
///
/// # Errors
/// When the address cannot be used.
pub async fn serve_node(address: SocketAddr, node: NodeView) -> Result<JoinHandle<()>, ServeError> {
    let (listener, _) = bind(address).await?;
    let shown = node.clone();
    let render = Arc::new(move || {
        let mut out = Exposition::default();
        shown.render(&mut out);
        out.process();
        out.finish()
    });
    Ok(tokio::spawn(metrics::serve(listener, render, Some(node))))
}
