//! One connection: lines in, answers and notifications out.
//!
//! **Elsewhere.** [`super::service`] carries out calls.
//!
//! **Always.** Every call with an id is answered once; a notification is never answered.

use std::{io, time::Duration};

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Value, value::RawValue};
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, BufWriter},
    time::{Instant, sleep_until},
};

use super::{
    BATCH_CALLS, Backend, CLOSING, HELLO, LINE_BYTES, Line, NOTICE, RpcError, Told, code,
    lines::{LineIn, Lines},
};

/// How long calls are still answered after `closing` was said.
const CLOSING_GRACE: Duration = Duration::from_secs(2);

/// Whether the other side expects the lines by which processes hand a home over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Handover {
    /// A socket: `hello` first, `closing` before the end.
    Announced,
    /// Standard input and output: calls and answers only.
    Silent,
}

/// Answers calls until the other side ends, or a moment after the backend is closing.
pub async fn serve<R, W>(
    reader: R,
    writer: W,
    backend: &mut impl Backend,
    handover: Handover,
) -> io::Result<()>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let mut lines = Lines::new(reader, LINE_BYTES);
    let mut writer = BufWriter::new(writer);
    if handover == Handover::Announced {
        let version = serde_json::json!({ "version": env!("CARGO_PKG_VERSION") });
        write(&mut writer, &Line::notification(HELLO, version)).await?;
    }
    let mut end: Option<Instant> = None;
    loop {
        tokio::select! {
            line = lines.next() => {
                let Some(line) = line? else { return Ok(()) };
                if let Some(answer) = answer(line, backend).await {
                    write(&mut writer, &answer).await?;
                }
            }
            told = backend.told(), if end.is_none() => match told {
                Told::Notice(notice) => {
                    write(&mut writer, &Line::notification(NOTICE, notice)).await?;
                }
                Told::Closing => {
                    end = Some(Instant::now() + CLOSING_GRACE);
                    if handover == Handover::Announced {
                        let nothing = Value::Object(serde_json::Map::new());
                        write(&mut writer, &Line::notification(CLOSING, nothing)).await?;
                    }
                }
            },
            () = async { sleep_until(end.unwrap_or_else(Instant::now)).await }, if end.is_some() => {
                return Ok(());
            }
        }
    }
}

async fn write(
    writer: &mut (impl AsyncWrite + Unpin),
    line: &impl serde::Serialize,
) -> io::Result<()> {
    let mut bytes = serde_json::to_vec(line)?;
    bytes.push(b'\n');
    writer.write_all(&bytes).await?;
    writer.flush().await
}

/// What is written in answer to one line.
#[derive(Serialize)]
#[serde(untagged)]
enum Answer {
    One(Box<Line>),
    Batch(Vec<Line>),
}

async fn answer(line: LineIn, backend: &mut impl Backend) -> Option<Answer> {
    let refuse = |code, message: String| {
        let line = Line::answer(no_id(), Err(RpcError::new(code, message)));
        Some(Answer::One(Box::new(line)))
    };
    let line = match line {
        LineIn::Line(line) => line,
        LineIn::TooLong => {
            return refuse(
                code::PARSE,
                format!("The line is longer than {LINE_BYTES} bytes."),
            );
        }
    };
    let parsed = match serde_json::from_slice::<&RawValue>(&line) {
        Ok(parsed) => parsed,
        Err(error) => return refuse(code::PARSE, format!("The line is not JSON: {error}.")),
    };
    if !parsed.get().starts_with('[') {
        let one = answer_one(parsed, backend).await?;
        return Some(Answer::One(Box::new(one)));
    }
    match serde_json::from_str::<Vec<&RawValue>>(parsed.get()) {
        Ok(calls) if (1..=BATCH_CALLS).contains(&calls.len()) => {
            let mut answers = Vec::new();
            for call in calls {
                answers.extend(answer_one(call, backend).await);
            }
            (!answers.is_empty()).then_some(Answer::Batch(answers))
        }
        _ => refuse(
            code::INVALID_REQUEST,
            format!("A batch must have between 1 and {BATCH_CALLS} calls."),
        ),
    }
}

async fn answer_one(call: &RawValue, backend: &mut impl Backend) -> Option<Line> {
    let call = match RpcCall::read(call) {
        Ok(call) => call,
        Err(refused) => return Some(*refused),
    };
    let result = backend.call(&call.method, call.params).await;
    Some(Line::answer(call.id?, result))
}

/// The id of an answer to something that has none.
fn no_id() -> Box<RawValue> {
    RawValue::NULL.to_owned()
}

struct RpcCall {
    /// As it was written, which is how it comes back.
    id: Option<Box<RawValue>>,
    method: String,
    params: Option<Value>,
}

/// The fields of a call, of which none is checked yet.
#[derive(Deserialize)]
struct Fields<'a> {
    #[serde(borrow, default, deserialize_with = "present")]
    id: Option<&'a RawValue>,
    #[serde(default)]
    jsonrpc: Value,
    #[serde(default)]
    method: Value,
    #[serde(default, deserialize_with = "present")]
    params: Option<Value>,
}

/// A field that is there, also where it is `null`.
fn present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    field: D,
) -> Result<Option<T>, D::Error> {
    T::deserialize(field).map(Some)
}

impl RpcCall {
    fn read(call: &RawValue) -> Result<Self, Box<Line>> {
        let invalid = |id: Box<RawValue>, why: &str| {
            let error = RpcError::new(
                code::INVALID_REQUEST,
                format!("This is not a request: {why}."),
            );
            Box::new(Line::answer(id, Err(error)))
        };
        if !call.get().starts_with('{') {
            return Err(invalid(no_id(), "it is not an object"));
        }
        let fields: Fields<'_> = serde_json::from_str(call.get())
            .map_err(|error| invalid(no_id(), &error.to_string()))?;
        let id = fields.id.map(ToOwned::to_owned);
        // Arrays and objects are not ids, nor are true and false.
        if fields
            .id
            .is_some_and(|id| id.get().starts_with(['[', '{', 't', 'f']))
        {
            return Err(invalid(no_id(), "\"id\" must be a string or a number"));
        }
        let known = || id.clone().unwrap_or_else(no_id);
        if fields.jsonrpc != "2.0" {
            return Err(invalid(known(), "\"jsonrpc\" is \"2.0\""));
        }
        let Value::String(method) = fields.method else {
            return Err(invalid(known(), "\"method\" must be a string"));
        };
        Ok(Self {
            id,
            method,
            params: fields.params,
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Answers `echo` with its params, everything else with an error.
    struct Echo {
        notices: Vec<Value>,
        closing: bool,
    }

    impl Backend for Echo {
        async fn call(&mut self, method: &str, params: Option<Value>) -> Result<Value, RpcError> {
            match method {
                "echo" => Ok(params.unwrap_or_default()),
                _ => Err(RpcError::new(code::METHOD_NOT_FOUND, "no")),
            }
        }

        async fn told(&mut self) -> Told {
            match self.notices.pop() {
                Some(notice) => Told::Notice(notice),
                None if self.closing => Told::Closing,
                None => std::future::pending().await,
            }
        }
    }

    async fn answers(input: &[u8]) -> Vec<Value> {
        let mut output = Vec::new();
        let mut echo = Echo {
            notices: vec![],
            closing: false,
        };
        serve(input, &mut output, &mut echo, Handover::Silent)
            .await
            .unwrap();
        let lines = output
            .split(|&byte| byte == b'\n')
            .filter(|line| !line.is_empty());
        lines
            .map(|line| serde_json::from_slice(line).unwrap())
            .collect()
    }

    #[tokio::test]
    async fn a_call_is_answered_with_its_id_and_a_notification_is_not() {
        let input = br#"{"jsonrpc":"2.0","id":"a","method":"echo","params":[1]}
            {"jsonrpc":"2.0","method":"echo"}
            {"jsonrpc":"2.0","id":7,"method":"nothing"}"#;
        assert_eq!(
            answers(input).await,
            [
                json!({"jsonrpc": "2.0", "id": "a", "result": [1]}),
                json!({"jsonrpc": "2.0", "id": 7, "error": {"code": -32601, "message": "no"}}),
            ]
        );
    }

    #[tokio::test]
    async fn an_id_comes_back_as_it_was() {
        for id in [
            "9007199254740993",
            "18446744073709551616",
            "-170141183460469231731687303715884105729",
            "100000000000000000000000000000000000000000000000000001",
            "1.50",
            "1e3",
            "\"\\u00e9 \\\"x\\\"\"",
            "null",
        ] {
            let call = format!("{{\"jsonrpc\":\"2.0\",\"id\":{id},\"method\":\"echo\"}}");
            for input in [call.clone(), format!("[{call}]")] {
                let mut output = Vec::new();
                let mut echo = Echo {
                    notices: vec![],
                    closing: false,
                };
                serve(input.as_bytes(), &mut output, &mut echo, Handover::Silent)
                    .await
                    .unwrap();
                let output = String::from_utf8(output).unwrap();
                assert!(output.contains(&format!("\"id\":{id},")), "{id}: {output}");
            }
            // So it does where the call is refused.
            let refused = format!("{{\"id\":{id},\"method\":\"echo\"}}");
            let mut output = Vec::new();
            let mut echo = Echo {
                notices: vec![],
                closing: false,
            };
            serve(refused.as_bytes(), &mut output, &mut echo, Handover::Silent)
                .await
                .unwrap();
            let output = String::from_utf8(output).unwrap();
            assert!(output.contains(&format!("\"id\":{id},")), "{id}: {output}");
        }
    }

    #[tokio::test]
    async fn bad_lines_get_an_error_and_the_next_call_is_answered() {
        let mut input = vec![b'x'; LINE_BYTES + 1];
        input.extend_from_slice(
            b"\nnot json\n[]\n7\n{\"jsonrpc\":\"1.0\",\"id\":1,\"method\":\"echo\"}\n\
              {\"jsonrpc\":\"2.0\",\"id\":{},\"method\":\"echo\"}\n\
              {\"jsonrpc\":\"2.0\",\"id\":2}\n\xff\n\
              {\"jsonrpc\":\"2.0\",\"id\":3,\"method\":\"echo\",\"params\":{}}\n",
        );
        let answers = answers(&input).await;
        let codes: Vec<_> = answers
            .iter()
            .map(|a| a["error"]["code"].as_i64())
            .collect();
        let (parse, invalid) = (Some(code::PARSE), Some(code::INVALID_REQUEST));
        assert_eq!(
            codes,
            [
                parse, parse, invalid, invalid, invalid, invalid, invalid, parse, None
            ]
        );
        assert_eq!(answers.last().unwrap()["result"], json!({}));
    }

    #[tokio::test]
    async fn a_batch_is_answered_in_one_line_and_a_huge_one_is_refused() {
        let batch = br#"[{"jsonrpc":"2.0","id":1,"method":"echo","params":1},{"jsonrpc":"2.0","method":"echo"},5]"#;
        let answer = answers(batch).await.remove(0);
        assert_eq!(answer.as_array().unwrap().len(), 2);
        assert_eq!(answer[0]["result"], json!(1));
        let huge = serde_json::to_vec(&vec![5; BATCH_CALLS + 1]).unwrap();
        assert_eq!(
            answers(&huge).await[0]["error"]["code"],
            code::INVALID_REQUEST
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_closing_backend_says_so_and_still_answers_for_a_moment() {
        let (mut near, far) = tokio::io::duplex(4096);
        let (reader, writer) = tokio::io::split(far);
        let serving = tokio::spawn(async move {
            let mut echo = Echo {
                notices: vec![json!({"type": "message"})],
                closing: true,
            };
            serve(reader, writer, &mut echo, Handover::Announced).await
        });
        let mut lines = Lines::new(&mut near, LINE_BYTES);
        let mut methods = Vec::new();
        for _ in 0..3 {
            let Some(LineIn::Line(line)) = lines.next().await.unwrap() else {
                panic!("no line")
            };
            let line: Line = serde_json::from_slice(&line).unwrap();
            methods.push(line.method.unwrap());
        }
        assert_eq!(methods, [HELLO, NOTICE, CLOSING]);
        near.write_all(b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"echo\"}\n")
            .await
            .unwrap();
        let mut lines = Lines::new(&mut near, LINE_BYTES);
        assert!(matches!(lines.next().await.unwrap(), Some(LineIn::Line(_))));
        serving.await.unwrap().unwrap();
    }
}
