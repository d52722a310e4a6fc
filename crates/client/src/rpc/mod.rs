//! JSON-RPC 2.0, one object per line: how people and programs reach the engine.
//!
//! It works over standard input and output ([`stdio`]) and over a Unix socket in the home
//! ([`socket`]). The methods are the engine's [`Request`](waxwing_engine::api::Request)s and the client's own
//! [`ClientRequest`](waxwing_engine::api::ClientRequest)s; `docs/rpc.md` is written from their list.
//!
//! **Elsewhere.** The methods and their types are in `waxwing_api`.
//! [`crate::session`] decides who answers, this process or another.
//!
//! **Always.** A line, a batch and the number of callers are bounded. A bad line causes an
//! error for its sender and costs nobody else anything. Calls on one connection are answered
//! in order.

mod backend;
mod caller;
mod connection;
mod lines;
mod service;
pub mod socket;
pub mod stdio;

pub use backend::{Backend, Told};
pub use caller::{Caller, CallerError};
pub use connection::{Handover, serve};
pub use service::Service;

use serde::{Deserialize, Serialize};
use serde_json::{Value, value::RawValue};
use waxwing_engine::api::{Problem, ProblemReport};

/// Bytes of a line that a caller sends, at most.
pub const LINE_BYTES: usize = 1 << 20;
/// Calls in one batch, at most.
pub const BATCH_CALLS: usize = 64;
/// Connections to one socket at a time.
pub const CONNECTIONS: usize = 64;

/// The method of notifications that carry a notice.
pub const NOTICE: &str = "notice";
/// The first line that a socket sends: a caller that has read it will be answered.
pub(crate) const HELLO: &str = "hello";
/// The process that answers is about to end: call nothing new here, connect again.
pub(crate) const CLOSING: &str = "closing";

/// Numbers of JSON-RPC 2.0 section 5.1.
pub mod code {
    /// The line is not JSON, or too long.
    pub const PARSE: i64 = -32700;
    /// The JSON is no request.
    pub const INVALID_REQUEST: i64 = -32600;
    /// There is no such method.
    pub const METHOD_NOT_FOUND: i64 = -32601;
    /// The parameters are not those of the method.
    pub const INVALID_PARAMS: i64 = -32602;
    /// A problem: `data` tells which, with a stable code of its own.
    pub const PROBLEM: i64 = -32000;
}

/// The `error` of an answer.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct RpcError {
    /// One of [`code`].
    pub code: i64,
    /// A sentence.
    pub message: String,
    /// With [`code::PROBLEM`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<Box<ProblemReport>>,
}

/// Its sentence may hold an address.
impl std::fmt::Debug for RpcError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "RpcError({}, {})", self.code, self.name())
    }
}

impl RpcError {
    fn new(code: i64, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            data: None,
        }
    }

    /// The stable name of what went wrong.
    pub fn name(&self) -> &str {
        match (&self.data, self.code) {
            (Some(report), _) => &report.code,
            (None, code::PARSE) => "parse_error",
            (None, code::INVALID_REQUEST) => "invalid_request",
            (None, code::METHOD_NOT_FOUND) => "method_not_found",
            (None, code::INVALID_PARAMS) => "invalid_params",
            (None, _) => "internal",
        }
    }
}

impl From<&Problem> for RpcError {
    fn from(problem: &Problem) -> Self {
        problem.report().into()
    }
}

impl From<Problem> for RpcError {
    fn from(problem: Problem) -> Self {
        problem.report().into()
    }
}

impl From<ProblemReport> for RpcError {
    fn from(report: ProblemReport) -> Self {
        Self {
            code: code::PROBLEM,
            message: report.sentence.clone(),
            data: Some(Box::new(report)),
        }
    }
}

/// What travels: a call, an answer or a notification, by which fields are there.
#[derive(Default, Serialize, Deserialize)]
pub(crate) struct Line {
    pub(crate) jsonrpc: String,
    /// As it was written: a number may be of any size.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) id: Option<Box<RawValue>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) method: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) params: Option<Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) result: Option<Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) error: Option<RpcError>,
}

impl Line {
    fn version() -> String {
        "2.0".to_owned()
    }

    pub(crate) fn call(id: u64, method: &str, params: Option<Value>) -> Self {
        Self {
            jsonrpc: Self::version(),
            id: serde_json::value::to_raw_value(&id).ok(),
            method: Some(method.to_owned()),
            params,
            ..Self::default()
        }
    }

    pub(crate) fn notification(method: &str, params: Value) -> Self {
        Self {
            jsonrpc: Self::version(),
            method: Some(method.to_owned()),
            params: Some(params),
            ..Self::default()
        }
    }

    pub(crate) fn answer(id: Box<RawValue>, result: Result<Value, RpcError>) -> Self {
        let (result, error) = match result {
            Ok(result) => (Some(result), None),
            Err(error) => (None, Some(error)),
        };
        Self {
            jsonrpc: Self::version(),
            id: Some(id),
            result,
            error,
            ..Self::default()
        }
    }
}
