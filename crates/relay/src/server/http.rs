//! The few HTTP requests that the relay answers, and the one that becomes a link.
//!
//! **Elsewhere**: [`super::link`] runs the link; metrics have their own listener
//! ([`super::metrics`]); [`super::auditing`] answers auditors.
//!
//! **Always**: no request here has a body that is read, and no answer depends on who asks.

use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::header::{
    ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue,
    RETRY_AFTER, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use hyper::{Method, Request, Response, StatusCode, Version};
use parking_lot::RwLock;
use tungstenite::handshake::derive_accept_key;

use super::memory::Memory;
use crate::directory::tokens::ShownTokenKey;

/// What the relay says about itself.
pub(super) struct Pages {
    pin: String,
    token_key: Arc<RwLock<ShownTokenKey>>,
    home: Bytes,
}

/// An answer, and whether the connection is a link from here on.
pub(super) struct HttpAnswer {
    pub(super) response: Response<Full<Bytes>>,
    pub(super) is_link: bool,
}

impl Pages {
    /// `token_key` is what links are shown.
    pub(super) fn new(url: &str, pin: &str, token_key: Arc<RwLock<ShownTokenKey>>) -> Self {
        // Host names, ports and base64 need no escaping.
        let home = format!(
            "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width\">\n\
             <title>A Waxwing relay</title>\n\
             <style>body {{ font: 1.1rem/1.5 system-ui, sans-serif; max-width: 38rem; margin: 4rem \
             auto; padding: 0 1rem }} code {{ overflow-wrap: anywhere }}</style>\n\
             <h1>This is a Waxwing relay</h1>\n\
             <p>It delivers private messages that it cannot read. You cannot use it with a \
             browser: install Waxwing and type:</p>\n\
             <p><code>waxwing register you@example.org --relay '{url}/#{pin}'</code></p>\n\
             <p>The part after the <code>#</code> is the relay's fingerprint. Make sure that you \
             got it from somebody you trust.</p>\n</html>\n"
        );
        Self {
            pin: pin.to_owned(),
            token_key,
            home: home.into(),
        }
    }

    fn discovery(&self) -> Bytes {
        let ShownTokenKey { period, key } = self.token_key.read().clone();
        let discovery = serde_json::json!({
            "software": { "name": "waxwing-relay", "version": env!("CARGO_PKG_VERSION") },
            "versions": waxwing_protocol::VERSIONS,
            "link": "/v1/link",
            "pin": self.pin,
            "token_key": data_encoding::HEXLOWER.encode(&key),
            "token_period": period,
        });
        discovery.to_string().into()
    }

    /// Answers a request.
    pub(super) fn answer(&self, request: &Request<Incoming>) -> HttpAnswer {
        let get = request.method() == Method::GET || request.method() == Method::HEAD;
        let response = match request.uri().path() {
            "/v1/link" if get => return link(request),
            "/" | "/healthz" | "/.well-known/waxwing" | "/v1/link" if !get => {
                let mut response = text(StatusCode::METHOD_NOT_ALLOWED, "Only GET works here.\n");
                set(&mut response, ALLOW, "GET, HEAD");
                response
            }
            "/" => page("text/html; charset=utf-8", self.home.clone()),
            "/healthz" => text(StatusCode::OK, "ok\n"),
            "/.well-known/waxwing" => page("application/json", self.discovery()),
            _ => text(StatusCode::NOT_FOUND, "There is nothing here.\n"),
        };
        HttpAnswer {
            response,
            is_link: false,
        }
    }
}

/// RFC 6455 section 4.2.
fn link(request: &Request<Incoming>) -> HttpAnswer {
    let headers = request.headers();
    let key = headers
        .get(SEC_WEBSOCKET_KEY)
        .filter(|key| key.len() == 24 && request.method() == Method::GET);
    let asks = request.version() == Version::HTTP_11
        && has_token(headers, &CONNECTION, "upgrade")
        && has_token(headers, &UPGRADE, "websocket");
    let is_version = headers
        .get(SEC_WEBSOCKET_VERSION)
        .is_some_and(|version| version.as_bytes() == b"13");
    let (response, is_link) = match key {
        Some(key) if asks && is_version => {
            let mut response = Response::new(Full::default());
            *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
            set(&mut response, CONNECTION, "upgrade");
            set(&mut response, UPGRADE, "websocket");
            let accept = derive_accept_key(key.as_bytes());
            set(&mut response, SEC_WEBSOCKET_ACCEPT, &accept);
            (response, true)
        }
        _ => {
            let mut response = text(
                StatusCode::UPGRADE_REQUIRED,
                "This is where Waxwing's links begin: it needs a WebSocket, version 13.\n",
            );
            set(&mut response, CONNECTION, "upgrade");
            set(&mut response, UPGRADE, "websocket");
            set(&mut response, SEC_WEBSOCKET_VERSION, "13");
            (response, false)
        }
    };
    HttpAnswer { response, is_link }
}

fn has_token(headers: &HeaderMap, name: &HeaderName, token: &str) -> bool {
    headers
        .get_all(name)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|value| value.trim().eq_ignore_ascii_case(token))
}

/// A short answer in plain text.
pub(super) fn text(status: StatusCode, body: &'static str) -> Response<Full<Bytes>> {
    let mut response = page(
        "text/plain; charset=utf-8",
        Bytes::from_static(body.as_bytes()),
    );
    *response.status_mut() = status;
    response
}

/// An answer whose body counts against the budget until it is sent.
pub(super) async fn held(
    memory: &Arc<Memory>,
    response: Response<Full<Bytes>>,
) -> Response<Full<Bytes>> {
    let (head, body) = response.into_parts();
    let body = match body.collect().await {
        Ok(body) => body.to_bytes(),
        Err(never) => match never {},
    };
    if let Some(body) = memory.hold(body) {
        return Response::from_parts(head, Full::new(body));
    }
    let mut response = text(
        StatusCode::SERVICE_UNAVAILABLE,
        "Too many read slowly what the relay has answered. Try again in a second.\n",
    );
    set(&mut response, RETRY_AFTER, "1");
    response
}

/// An answer that nobody keeps.
pub(super) fn page(content_type: &str, body: Bytes) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body));
    set(&mut response, CONTENT_TYPE, content_type);
    set(&mut response, CACHE_CONTROL, "no-store");
    response
}

pub(super) fn set(response: &mut Response<Full<Bytes>>, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    }
}
