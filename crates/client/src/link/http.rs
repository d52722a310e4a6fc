//! Asks a relay over HTTPS for what it tells everybody, such as its key log.
//!
//! **Elsewhere.** TLS, with the relay's pin, works as for a link: [`super::socket`].
//!
//! **Always.** Answers are bounded before they are read, and everything has a time limit. A
//! connection is used again for the next request; if it was closed meanwhile, a new one is opened.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::{
    Method, Request,
    client::conn::http1::{self, SendRequest},
    header::{HOST, RETRY_AFTER},
};
use hyper_util::rt::TokioIo;
use tokio::time::timeout;
use waxwing_dial::Route;

use super::{
    relay::RelayUrl,
    socket::{ConnectError, connect_tls},
};

/// How long a request may take, with its answer.
const REQUEST_LIMIT: Duration = Duration::from_mins(2);

/// Asks one relay.
#[derive(Debug)]
pub struct Http {
    relay: RelayUrl,
    route: Route,
    open: Option<SendRequest<Full<Bytes>>>,
}

/// What the relay answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The content.
    pub body: Bytes,
    /// When to ask again, where the relay says so.
    pub retry_after: Option<Duration>,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// No connection with the relay that was meant.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The connection broke, or what came is not HTTP.
    #[error("the connection broke: {0}")]
    Broken(String),
    /// The answer is longer than it may be.
    #[error("the answer has more than {most} bytes")]
    TooLarge {
        /// What was allowed.
        most: usize,
    },
    /// Nothing came in time.
    #[error("the relay does not answer")]
    Silent,
}

impl Http {
    /// For a relay, which is reached by this route; nothing is opened yet.
    pub const fn new(relay: RelayUrl, route: Route) -> Self {
        Self {
            relay,
            route,
            open: None,
        }
    }

    /// Gets what is at a path, `most` bytes at most.
    pub async fn get(&mut self, path: &str, most: usize) -> Result<Answer, HttpError> {
        self.ask(Method::GET, path, Bytes::new(), most).await
    }

    /// Posts to a path.
    pub async fn post(
        &mut self,
        path: &str,
        body: Bytes,
        most: usize,
    ) -> Result<Answer, HttpError> {
        self.ask(Method::POST, path, body, most).await
    }

    async fn ask(
        &mut self,
        method: Method,
        path: &str,
        body: Bytes,
        most: usize,
    ) -> Result<Answer, HttpError> {
        // A connection that was idle may be closed by now; a fresh one tells.
        if let Some(open) = self.open.take() {
            match self.ask_on(open, &method, path, &body, most).await {
                Err(HttpError::Broken(_)) => {}
                answered => return answered,
            }
        }
        let stream = connect_tls(&self.relay, &self.route).await?;
        let (open, connection) = http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|error| HttpError::Broken(error.to_string()))?;
        // It ends with `open`.
        tokio::spawn(connection);
        self.ask_on(open, &method, path, &body, most).await
    }

    async fn ask_on(
        &mut self,
        mut open: SendRequest<Full<Bytes>>,
        method: &Method,
        path: &str,
        body: &Bytes,
        most: usize,
    ) -> Result<Answer, HttpError> {
        let broken = |error: hyper::Error| HttpError::Broken(error.to_string());
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(HOST, self.relay.authority())
            .body(Full::new(body.clone()))
            .map_err(|error| HttpError::Broken(error.to_string()))?;
        let exchange = async {
            open.ready().await.map_err(broken)?;
            let response = open.send_request(request).await.map_err(broken)?;
            let status = response.status().as_u16();
            let retry_after = response
                .headers()
                .get(RETRY_AFTER)
                .and_then(|value| value.to_str().ok()?.parse().ok())
                .map(Duration::from_secs);
            let body = Limited::new(response.into_body(), most)
                .collect()
                .await
                .map_err(|error| match error.downcast::<hyper::Error>() {
                    Ok(error) => broken(*error),
                    Err(_) => HttpError::TooLarge { most },
                })?;
            Ok::<_, HttpError>(Answer {
                status,
                body: body.to_bytes(),
                retry_after,
            })
        };
        let answer = timeout(REQUEST_LIMIT, exchange)
            .await
            .map_err(|_| HttpError::Silent)??;
        self.open = Some(open);
        Ok(answer)
    }
}
