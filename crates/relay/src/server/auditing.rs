//! The key log over HTTPS, for auditors and anybody else who wants to see it.
//!
//! | request | answer |
//! | --- | --- |
//! | `GET /log/v1/identity` | a `LogIdentity` |
//! | `GET /log/v1/head?known=N&known=M` | a `LogView` that ties the newest head to those |
//! | `GET /log/v1/heads?from=A&to=B` | `Head`s, each after its length; 1024 at most |
//! | `GET /log/v1/audit/EPOCH` | an `AuditProof` |
//! | `POST /log/v1/cosignatures` | accepts a `CoSignature` |
//!
//! **Elsewhere**: [`super::http`] answers the other requests; the log is [`crate::directory::log`].
//!
//! **Always**: no answer depends on who asks, though its turn does ([`super::auditor_queue`]).
//! Answers that never change may be cached for ever; an error is a sentence.

use std::net::IpAddr;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::header::{ALLOW, CACHE_CONTROL, RETRY_AFTER};
use hyper::{Method, Request, Response, StatusCode};
use prost::Message as _;
use waxwing_protocol::{limits, pb};

use super::auditor_queue::AuditorQueue;
use super::clock::now;
use super::http::{page, set, text};
use crate::directory::log::{CoSignatureRefused, KeyLog, LogError};
use crate::store::Store;

/// What all of it is under.
const PREFIX: &str = "/log/v1/";
/// Bytes of a co-signature: its key and its signature have 1,984 and 3,373.
const COSIGNATURE_BYTES: usize = 16 << 10;
const PROTOBUF: &str = "application/x-protobuf";
const FOR_EVER: &str = "public, max-age=31536000, immutable";
const FOR_A_WHILE: &str = "public, max-age=300";
const ASK_AGAIN: &str = "no-cache";

/// Answers from the log.
pub(super) struct Auditing<S: Store> {
    log: Arc<KeyLog<S>>,
    turns: AuditorQueue,
}

/// What is asked for, understood.
enum AuditRequest {
    Identity,
    Head(Vec<u64>),
    Heads(u64, u64),
    Audit(u64),
    Keep(pb::CoSignature),
}

type Answer = Response<Full<Bytes>>;
type Refusal = Box<Answer>;

impl<S: Store> Auditing<S> {
    pub(super) fn new(log: Arc<KeyLog<S>>) -> Self {
        Self {
            log,
            turns: AuditorQueue::new(),
        }
    }

    /// Whether a request is one of these.
    pub(super) fn is_for(request: &Request<Incoming>) -> bool {
        request.uri().path().starts_with(PREFIX)
    }

    /// Answers a request.
    pub(super) async fn answer(&self, request: Request<Incoming>, source: IpAddr) -> Answer {
        let asked = match understand(request).await {
            Ok(asked) => asked,
            Err(refused) => return *refused,
        };
        let Some(turn) = self.turns.take(now(), source).await else {
            let mut response = text(
                StatusCode::SERVICE_UNAVAILABLE,
                "The relay is busy with others who read its key log. Try again in a second.\n",
            );
            set(&mut response, RETRY_AFTER, "1");
            return response;
        };
        let log = Arc::clone(&self.log);
        let turns = self.turns.clone();
        let answered = tokio::task::spawn_blocking(move || {
            let (answer, is_auditor) = match asked {
                AuditRequest::Keep(cosignature) => store_cosignature(&log, &cosignature),
                asked => (answer(&log, asked), false),
            };
            if is_auditor {
                turns.remember_auditor_source(now(), source);
            }
            drop(turn);
            answer
        });
        answered
            .await
            .unwrap_or_else(|_| text(StatusCode::INTERNAL_SERVER_ERROR, "The relay failed.\n"))
    }
}

async fn understand(request: Request<Incoming>) -> Result<AuditRequest, Refusal> {
    let is_get = request.method() == Method::GET || request.method() == Method::HEAD;
    let path = request
        .uri()
        .path()
        .strip_prefix(PREFIX)
        .unwrap_or_default();
    if path == "cosignatures" {
        if request.method() != Method::POST {
            return Err(not_allowed("POST", "Only POST works here.\n"));
        }
        return cosignature(request.into_body())
            .await
            .map(AuditRequest::Keep);
    }
    let query = request.uri().query().unwrap_or_default();
    let asked = match path.split_once('/') {
        None if path == "identity" => AuditRequest::Identity,
        None if path == "head" => AuditRequest::Head(numbers(query, "known")?),
        None if path == "heads" => {
            let (from, to) = (numbers(query, "from")?, numbers(query, "to")?);
            match (from.as_slice(), to.as_slice()) {
                ([from], [to]) if *from > 0 && from <= to => AuditRequest::Heads(*from, *to),
                _ => {
                    return Err(bad(
                        "Name the first and the last head: ?from=1&to=100, counted from 1.\n",
                    ));
                }
            }
        }
        Some(("audit", epoch)) => match epoch.parse() {
            Ok(epoch) => AuditRequest::Audit(epoch),
            Err(_) => return Err(bad("A log epoch is a number.\n")),
        },
        _ => return Err(text(StatusCode::NOT_FOUND, "There is nothing here.\n").into()),
    };
    if is_get {
        Ok(asked)
    } else {
        Err(not_allowed("GET, HEAD", "Only GET works here.\n"))
    }
}

/// The values of a name in a query.
fn numbers(query: &str, name: &str) -> Result<Vec<u64>, Refusal> {
    let named = query
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .filter(|(key, _)| *key == name);
    let numbers: Result<Vec<u64>, _> = named.map(|(_, value)| value.parse()).collect();
    match numbers {
        Ok(numbers) if numbers.len() <= limits::HEADS_PER_REQUEST => Ok(numbers),
        Ok(_) => Err(bad("Too many heads are named.\n")),
        Err(_) => Err(bad("A head is named by its number.\n")),
    }
}

async fn cosignature(body: Incoming) -> Result<pb::CoSignature, Refusal> {
    let body = Limited::new(body, COSIGNATURE_BYTES).collect().await;
    let body = body.map_err(|_| -> Refusal {
        text(
            StatusCode::PAYLOAD_TOO_LARGE,
            "This is too long for a co-signature, or it broke off.\n",
        )
        .into()
    })?;
    pb::CoSignature::decode(body.to_bytes()).map_err(|_| bad("This is not a co-signature.\n"))
}

fn answer<S: Store>(log: &KeyLog<S>, asked: AuditRequest) -> Answer {
    let answer = match asked {
        AuditRequest::Identity => Ok(message(log.identity().wire(), FOR_A_WHILE)),
        AuditRequest::Head(known) => log.view(&known).map(|view| message(&view, ASK_AGAIN)),
        AuditRequest::Heads(from, to) => heads(log, from, to),
        AuditRequest::Audit(epoch) => log.audit(epoch).map(|proof| cacheable(proof, FOR_EVER)),
        AuditRequest::Keep(cosignature) => return store_cosignature(log, &cosignature).0,
    };
    answer.unwrap_or_else(|error| match error {
        LogError::NoSuch => text(
            StatusCode::NOT_FOUND,
            "The key log has no such head or epoch yet.\n",
        ),
        _ => text(
            StatusCode::SERVICE_UNAVAILABLE,
            "The key log cannot be read now. Try again later.\n",
        ),
    })
}

/// As many as there are and one answer holds.
fn heads<S: Store>(log: &KeyLog<S>, from: u64, to: u64) -> Result<Answer, LogError> {
    let most = from.saturating_add(limits::HEAD_LINKS as u64 - 1);
    let last = to.min(most).min(log.newest().number);
    let heads = log.heads_between(from, last)?;
    let mut body = BytesMut::new();
    for head in heads {
        prost::encode_length_delimiter(head.len(), &mut body).map_err(|_| LogError::Failed)?;
        body.extend_from_slice(&head);
    }
    let caching = if last == to { FOR_EVER } else { ASK_AGAIN };
    Ok(cacheable(body.freeze(), caching))
}

/// Gives the answer, and whether it is an auditor who asks: nobody else has a co-signature that
/// the relay does not publish yet.
fn store_cosignature<S: Store>(log: &KeyLog<S>, cosignature: &pb::CoSignature) -> (Answer, bool) {
    let refused = match log.add_cosignature(cosignature) {
        Ok(is_new) => {
            let kept = text(StatusCode::OK, "The co-signature is kept.\n");
            return (kept, is_new);
        }
        Err(refused) => refused,
    };
    let status = match &refused {
        CoSignatureRefused::Invalid
        | CoSignatureRefused::UnknownAuditor
        | CoSignatureRefused::UnknownHead => StatusCode::FORBIDDEN,
        CoSignatureRefused::Older => StatusCode::CONFLICT,
        CoSignatureRefused::Store(_) => StatusCode::SERVICE_UNAVAILABLE,
    };
    let mut response = page("text/plain; charset=utf-8", format!("{refused}\n").into());
    *response.status_mut() = status;
    (response, false)
}

fn message(message: &impl prost::Message, caching: &str) -> Answer {
    cacheable(message.encode_to_vec().into(), caching)
}

fn cacheable(body: Bytes, caching: &str) -> Answer {
    let mut response = page(PROTOBUF, body);
    set(&mut response, CACHE_CONTROL, caching);
    response
}

fn bad(sentence: &'static str) -> Refusal {
    text(StatusCode::BAD_REQUEST, sentence).into()
}

fn not_allowed(allowed: &str, sentence: &'static str) -> Refusal {
    let mut response = text(StatusCode::METHOD_NOT_ALLOWED, sentence);
    set(&mut response, ALLOW, allowed);
    response.into()
}
