//! What people and programs hand to the client: a relay's URL and pin, lines of JSON-RPC.

use std::sync::LazyLock;

use serde_json::{Value, json};
use tokio::runtime::{Builder, Runtime};
use waxwing_client::{
    link::{Pin, RelayUrl},
    rpc::{self, Backend, Handover, LINE_BYTES, RpcError, Told, code},
};
use waxwing_engine::api::{Problem, Report, Request};

/// A relay's URL, or a pin.
pub fn relay_url(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    if let Ok(url) = text.parse::<RelayUrl>() {
        let again = url.to_string().parse::<RelayUrl>();
        assert_eq!(
            again.as_ref(),
            Ok(&url),
            "a URL prints as what it was parsed from"
        );
        assert!(url.port() != 0 && !url.host().is_empty());
        assert!(
            !url.host()
                .contains(|c: char| c.is_ascii_control() || c.is_whitespace()),
            "a host ends no line of a request"
        );
        if let Some(pin) = url.pin() {
            assert_eq!(url.clone().pinned(*pin), Ok(url.clone()));
        }
    }
    if let Ok(pin) = text.parse::<Pin>() {
        let again = pin.to_string().parse();
        assert_eq!(again, Ok(pin), "a pin prints as what it was parsed from");
    }
}

/// A file that a person brings in: an export, or a report.
pub fn files(bytes: &[u8]) {
    // Whatever it holds, it is read or refused.
    let _ = waxwing_client::export::import::examine(bytes);
    if let Ok(report) = serde_json::from_slice::<Report>(bytes) {
        assert!(
            !waxwing_engine::parsers::report(&report),
            "nobody but its sender's device makes a signature"
        );
    }
}

/// Knows every request and carries out none.
struct Refusing;

impl Backend for Refusing {
    async fn call(&mut self, method: &str, params: Option<Value>) -> Result<Value, RpcError> {
        let mut call = json!({ "method": method });
        if let (Some(params), Some(call)) = (params, call.as_object_mut()) {
            call.insert("params".into(), params);
        }
        match serde_json::from_value::<Request>(call) {
            Ok(request) => {
                let again = serde_json::to_value(&request).ok();
                let again = again.and_then(|json| serde_json::from_value(json).ok());
                assert!(
                    again.as_ref() == Some(&request),
                    "a request is one after JSON too"
                );
                Err(Problem::HomeBusy.into())
            }
            Err(error) => Err(RpcError {
                code: code::INVALID_PARAMS,
                message: error.to_string(),
                data: None,
            }),
        }
    }

    async fn told(&mut self) -> Told {
        std::future::pending().await
    }
}

static RUNTIME: LazyLock<Option<Runtime>> =
    LazyLock::new(|| Builder::new_current_thread().enable_time().build().ok());

/// Lines of JSON-RPC.
pub fn rpc(bytes: &[u8]) {
    let Some(runtime) = RUNTIME.as_ref() else {
        return;
    };
    let mut output = Vec::new();
    let served = runtime.block_on(rpc::serve(
        bytes,
        &mut output,
        &mut Refusing,
        Handover::Silent,
    ));
    assert!(
        served.is_ok(),
        "a bad line costs an error, not the connection"
    );
    let lines = bytes.split(|&byte| byte == b'\n').count();
    let answers: Vec<&[u8]> = output
        .split(|&byte| byte == b'\n')
        .filter(|line| !line.is_empty())
        .collect();
    assert!(answers.len() <= lines, "a line is answered once at most");
    for answer in answers {
        assert!(answer.len() < 4 * LINE_BYTES);
        match serde_json::from_slice(answer) {
            Ok(Value::Array(answers)) => {
                assert!(!answers.is_empty());
                answers.iter().for_each(is_answer);
            }
            Ok(answer) => is_answer(&answer),
            Err(error) => assert!(error.is_io(), "an answer is JSON: {error}"),
        }
    }
}

fn is_answer(answer: &Value) {
    assert_eq!(answer.get("jsonrpc").and_then(Value::as_str), Some("2.0"));
    assert!(
        answer.get("id").is_some(),
        "an answer has the id of its call"
    );
    let has = |field| answer.get(field).is_some();
    assert!(
        has("result") != has("error"),
        "an answer is a result or an error"
    );
}
