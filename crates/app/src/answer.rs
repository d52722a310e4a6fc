//! Answers, and the headers that all of them have.
//!
//! **Always.** A browser runs nothing but the page's own files, guesses no types, keeps no copies,
//! and tells nobody where it was.

use std::io;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, combinators::BoxBody};
use hyper::{
    HeaderMap, Response, StatusCode,
    header::{
        CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, HeaderValue,
        REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
    },
};

use crate::access::Refusal;

pub(crate) type Body = BoxBody<Bytes, io::Error>;
pub(crate) type Answer = Response<Body>;

/// What the page may do. The socket's address is named for browsers to which `'self'` is not also
/// a WebSocket.
pub(crate) fn page_policy(host: &str) -> String {
    format!(
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; \
         media-src 'self' blob:; font-src 'self'; connect-src 'self' ws://{host}; \
         form-action 'none'; base-uri 'none'; frame-ancestors 'none'; \
         require-trusted-types-for 'script'; trusted-types svelte-trusted-html"
    )
}

/// What anything else may do: nothing, even if somebody opens it by itself.
const NOTHING: &str = "default-src 'none'; sandbox; frame-ancestors 'none'";

pub(crate) fn bytes(status: StatusCode, media_type: &str, content: impl Into<Bytes>) -> Answer {
    let body = Full::new(content.into()).map_err(|never| match never {});
    let mut answer = Response::new(body.boxed());
    *answer.status_mut() = status;
    set(answer.headers_mut(), CONTENT_TYPE, media_type);
    answer
}

pub(crate) fn text(status: StatusCode, sentence: &str) -> Answer {
    bytes(status, "text/plain; charset=utf-8", sentence.to_owned())
}

pub(crate) fn json(value: &impl serde::Serialize) -> Answer {
    match serde_json::to_vec(value) {
        Ok(content) => bytes(StatusCode::OK, "application/json", content),
        Err(_) => text(StatusCode::INTERNAL_SERVER_ERROR, "This cannot be written."),
    }
}

pub(crate) fn refused(refusal: Refusal) -> Answer {
    match refusal {
        Refusal::OtherHost => text(
            StatusCode::MISDIRECTED_REQUEST,
            "Waxwing is not served under this name.",
        ),
        Refusal::OtherOrigin => text(StatusCode::FORBIDDEN, "Waxwing answers its own page only."),
        Refusal::NotAllowed => text(
            StatusCode::UNAUTHORIZED,
            "This session is over. Start `waxwing app` to open Waxwing again.",
        ),
    }
}

/// Adds what every answer has.
pub(crate) fn guard(mut answer: Answer) -> Answer {
    let headers = answer.headers_mut();
    for (name, value) in [
        (CACHE_CONTROL, "no-store"),
        (REFERRER_POLICY, "no-referrer"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (X_FRAME_OPTIONS, "DENY"),
        (
            HeaderName::from_static("cross-origin-opener-policy"),
            "same-origin",
        ),
        (
            HeaderName::from_static("cross-origin-resource-policy"),
            "same-origin",
        ),
        (
            HeaderName::from_static("permissions-policy"),
            "camera=(self), microphone=(self), geolocation=(), payment=(), usb=()",
        ),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers
        .entry(CONTENT_SECURITY_POLICY)
        .or_insert(HeaderValue::from_static(NOTHING));
    answer
}

/// Sets a header; a value that cannot stand in one is left out.
pub(crate) fn set(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}
