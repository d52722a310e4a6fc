//! The calling side of a connection to another process.
//!
//! **Elsewhere.** [`crate::session`] decides what to do when that process ends.
//!
//! **Always.** One call at a time; notices that arrive meanwhile are kept, up to a limit.

use std::{collections::VecDeque, io};

use serde_json::Value;
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt as _},
    net::{
        UnixStream,
        unix::{OwnedReadHalf, OwnedWriteHalf},
    },
};

use super::{
    CLOSING, HELLO, Line, NOTICE, RpcError,
    lines::{LineIn, Lines},
};

/// Bytes of one line from a process of the same user: a long history is one line.
const ANSWER_BYTES: usize = 256 << 20;
/// Notices that are kept while a call is on its way.
const NOTICES_KEPT: usize = 4096;

/// A connection on which calls are made.
pub struct Caller<R = OwnedReadHalf, W = OwnedWriteHalf> {
    lines: Lines<R>,
    writer: W,
    next_id: u64,
    notices: VecDeque<Value>,
    closing: bool,
}

/// The connection is of no more use.
#[derive(Debug, thiserror::Error)]
pub enum CallerError {
    /// It ended before the call was made: make it elsewhere.
    #[error("the process ended before the call was made")]
    NotCalled,
    /// It ended before the answer: nobody knows.
    #[error("the process ended before it answered")]
    NotAnswered,
}

impl Caller {
    /// Connects to a process that serves a home, and waits for its greeting.
    pub async fn connect(stream: UnixStream) -> io::Result<Self> {
        let (reader, writer) = stream.into_split();
        Self::greeted(reader, writer).await
    }
}

impl<R: AsyncRead + Unpin, W: AsyncWrite + Unpin> Caller<R, W> {
    async fn greeted(reader: R, writer: W) -> io::Result<Self> {
        let mut caller = Self {
            lines: Lines::new(reader, ANSWER_BYTES),
            writer,
            next_id: 0,
            notices: VecDeque::new(),
            closing: false,
        };
        let hello = caller.line().await.ok_or(io::ErrorKind::ConnectionReset)?;
        if hello.method.as_deref() == Some(HELLO) {
            Ok(caller)
        } else {
            Err(io::ErrorKind::InvalidData.into())
        }
    }

    /// Makes a call and waits for its answer.
    pub async fn call(
        &mut self,
        method: &str,
        params: Option<Value>,
    ) -> Result<Result<Value, RpcError>, CallerError> {
        if self.closing {
            return Err(CallerError::NotCalled);
        }
        self.next_id += 1;
        let mut bytes = serde_json::to_vec(&Line::call(self.next_id, method, params))
            .map_err(|_| CallerError::NotCalled)?;
        bytes.push(b'\n');
        self.writer
            .write_all(&bytes)
            .await
            .map_err(|_| CallerError::NotAnswered)?;
        let id = self.next_id.to_string();
        loop {
            let line = self.line().await.ok_or(CallerError::NotAnswered)?;
            match (line.id, line.method, line.params) {
                (Some(answered), None, _) if answered.get() == id => {
                    return Ok(match line.error {
                        Some(error) => Err(error),
                        None => Ok(line.result.unwrap_or_default()),
                    });
                }
                (None, Some(method), params) => self.notification(&method, params),
                _ => {}
            }
        }
    }

    /// The next notice, or `None` when the process ends. May be cancelled.
    pub async fn notice(&mut self) -> Option<Value> {
        loop {
            if let Some(notice) = self.notices.pop_front() {
                return Some(notice);
            }
            if self.closing {
                return None;
            }
            let line = self.line().await?;
            if let (None, Some(method)) = (line.id, line.method) {
                self.notification(&method, line.params);
            }
        }
    }

    fn notification(&mut self, method: &str, params: Option<Value>) {
        match method {
            CLOSING => self.closing = true,
            NOTICE => {
                if self.notices.len() >= NOTICES_KEPT {
                    self.notices.clear();
                    self.notices
                        .push_back(serde_json::json!({ "type": "missed" }));
                }
                self.notices.extend(params);
            }
            _ => {}
        }
    }

    /// The next line that can be read; `None` at the end.
    async fn line(&mut self) -> Option<Line> {
        match self.lines.next().await {
            Ok(Some(LineIn::Line(line))) => serde_json::from_slice(&line).ok(),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{json, value::to_raw_value};
    use tokio::io::{AsyncReadExt as _, DuplexStream, ReadHalf, WriteHalf};

    use super::*;

    type Near = Caller<ReadHalf<DuplexStream>, WriteHalf<DuplexStream>>;

    async fn greeted() -> (Near, DuplexStream) {
        let (near, mut far) = tokio::io::duplex(1 << 16);
        write(&mut far, &Line::notification(HELLO, json!({}))).await;
        let (reader, writer) = tokio::io::split(near);
        (Caller::greeted(reader, writer).await.unwrap(), far)
    }

    async fn write(far: &mut DuplexStream, line: &Line) {
        let mut bytes = serde_json::to_vec(line).unwrap();
        bytes.push(b'\n');
        far.write_all(&bytes).await.unwrap();
    }

    #[tokio::test]
    async fn a_process_that_does_not_greet_is_not_called() {
        for line in [
            "",
            "{\"jsonrpc\":\"2.0\",\"method\":\"other\"}\n",
            "not json\n",
        ] {
            let (near, mut far) = tokio::io::duplex(1024);
            far.write_all(line.as_bytes()).await.unwrap();
            drop(far);
            let (reader, writer) = tokio::io::split(near);
            assert!(Caller::greeted(reader, writer).await.is_err(), "{line}");
        }
    }

    #[tokio::test]
    async fn notices_that_come_before_an_answer_are_kept_in_order() {
        let (mut caller, mut far) = greeted().await;
        write(&mut far, &Line::notification(NOTICE, json!(1))).await;
        write(&mut far, &Line::notification("unknown", json!(0))).await;
        write(&mut far, &Line::notification(NOTICE, json!(2))).await;
        write(
            &mut far,
            &Line::answer(to_raw_value(&1).unwrap(), Ok(json!("done"))),
        )
        .await;
        let result = caller.call("history", None).await.unwrap();
        assert_eq!(result, Ok(json!("done")));
        assert_eq!(caller.notice().await, Some(json!(1)));
        assert_eq!(caller.notice().await, Some(json!(2)));
    }

    #[tokio::test]
    async fn after_closing_only_calls_under_way_are_answered() {
        let (mut caller, mut far) = greeted().await;
        write(&mut far, &Line::notification(CLOSING, json!({}))).await;
        write(
            &mut far,
            &Line::answer(to_raw_value(&1).unwrap(), Ok(json!("done"))),
        )
        .await;
        assert_eq!(caller.call("send", None).await.unwrap(), Ok(json!("done")));
        assert!(matches!(
            caller.call("send", None).await,
            Err(CallerError::NotCalled)
        ));
        assert_eq!(caller.notice().await, None);
        drop(caller);
        let mut written = String::new();
        far.read_to_string(&mut written).await.unwrap();
        assert_eq!(
            written.matches("\"send\"").count(),
            1,
            "it was called twice"
        );
    }

    #[tokio::test]
    async fn a_process_that_ends_before_it_answers_is_an_unknown_outcome() {
        let (mut caller, far) = greeted().await;
        let (result, ()) = tokio::join!(caller.call("send", None), async { drop(far) });
        assert!(matches!(result, Err(CallerError::NotAnswered)));
    }
}
