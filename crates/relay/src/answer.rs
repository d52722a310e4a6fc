//! How a request is answered, or why it is refused.
//!
//! **Elsewhere**: [`crate::relay`] sends the answers; [`crate::effect`] has what else the
//! server is asked to do.
//!
//! **Always**: a request that is refused has changed nothing.

use waxwing_protocol::{
    pb::{self, ErrorCode, relay_frame::Body as Answer},
    time::Span,
};

use crate::store::StoreError;

/// Why a request was refused.
#[derive(Debug)]
pub(crate) struct Refused(pub(crate) pb::Error);

pub(crate) type RequestResult = Result<Reply, Refused>;

/// How a request is answered.
pub(crate) enum Reply {
    /// At once.
    Now(Answer),
    /// Once the gathered changes are on disk.
    Durable(Answer),
    /// Elsewhere, or not at all.
    Later,
}

impl Refused {
    pub(crate) fn new(code: ErrorCode, detail: &str) -> Self {
        Self(pb::Error {
            code: code.into(),
            detail: detail.to_owned(),
            ..pb::Error::default()
        })
    }

    pub(crate) fn malformed(detail: &str) -> Self {
        Self::new(ErrorCode::Malformed, detail)
    }

    pub(crate) fn unauthorised(detail: &str) -> Self {
        Self::new(ErrorCode::Unauthorised, detail)
    }

    pub(crate) fn rate_limited(wait: Span) -> Self {
        let mut error = Self::new(ErrorCode::RateLimited, "too many of these");
        error.0.retry_after_ms = wait.0.max(1);
        error
    }

    pub(crate) fn unavailable() -> Self {
        let mut error = Self::new(
            ErrorCode::Unavailable,
            "the relay cannot store anything now",
        );
        error.0.retry_after_ms = 1000;
        error
    }
}

impl From<StoreError> for Refused {
    fn from(_: StoreError) -> Self {
        Self::unavailable()
    }
}
