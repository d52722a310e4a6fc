//! One link: frames from its WebSocket to the relay, and from its queue to the WebSocket.
//!
//! **Elsewhere**: what frames mean is the relay's core's; framing is
//! [`super::websocket`]'s; the sweep that ends idle links is [`super::exchange`]'s.
//!
//! **Always**: whatever is ready is read, handled and written together. While a client
//! does not take what it is sent, nothing more is read from it. A bad frame gets a typed
//! error and ends its own link only.

use std::future::poll_fn;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use prost::Message as _;
use tokio::io::{AsyncRead, AsyncWrite};
use tungstenite::protocol::frame::coding::CloseCode;
use waxwing_protocol::frame::{FrameError, decode_client};
use waxwing_protocol::pb::{self, ErrorCode, RelayFrame, relay_frame};

use super::clock::now;
use super::exchange::Connected;
use super::outgoing::{Ending, Next, Outgoing};
use super::websocket::{WebSocket, WebSocketError};
use crate::store::Store;

/// For the last frames of a link.
const GOODBYE: Duration = Duration::from_secs(2);

/// What a link waits for.
enum Step {
    Received(Result<(), WebSocketError>),
    SendFailed,
    End(Ending),
}

/// Runs a link to its end.
pub(super) async fn run<T, S>(mut socket: WebSocket<T>, connected: Connected<S>)
where
    T: AsyncRead + AsyncWrite + Unpin,
    S: Store,
{
    let mut messages = Vec::new();
    let ending = loop {
        let step =
            poll_fn(|context| poll_step(context, &mut socket, connected.outgoing(), &mut messages));
        match step.await {
            Step::Received(result) => {
                connected.outgoing().alive(now());
                let refused = handle(std::mem::take(&mut messages), &connected).await;
                if let Some(ending) = refused.or_else(|| {
                    result
                        .err()
                        .map(|error| fault(&error, connected.outgoing()))
                }) {
                    break ending;
                }
            }
            Step::SendFailed => break Ending::Drop,
            Step::End(ending) => break ending,
        }
    };
    if let Ending::Close(code) = ending {
        // Whoever does not take the goodbye in time is simply cut off.
        let goodbye = Box::pin(say_goodbye(&mut socket, connected.outgoing(), code));
        let _ = tokio::time::timeout(GOODBYE, goodbye).await;
    }
}

fn poll_step<T>(
    context: &mut Context<'_>,
    socket: &mut WebSocket<T>,
    outgoing: &Outgoing,
    messages: &mut Vec<Bytes>,
) -> Poll<Step>
where
    T: AsyncRead + AsyncWrite + Unpin,
{
    loop {
        match socket.poll_send(context) {
            Poll::Ready(Ok(())) => {}
            Poll::Ready(Err(_)) => return Poll::Ready(Step::SendFailed),
            Poll::Pending => {
                return outgoing
                    .poll_dropped(context)
                    .map(|()| Step::End(Ending::Drop));
            }
        }
        match outgoing.poll_next(context) {
            Poll::Ready(Next::Frames(frames, bytes)) => {
                socket.reserve(bytes);
                for frame in frames {
                    queue(socket, &frame);
                }
                continue;
            }
            Poll::Ready(Next::End(ending)) => return Poll::Ready(Step::End(ending)),
            Poll::Pending => {}
        }
        match socket.poll_receive(context, messages) {
            Poll::Ready(result) => return Poll::Ready(Step::Received(result)),
            // An answer to a ping, perhaps.
            Poll::Pending if socket.has_unsent() => {}
            Poll::Pending => return Poll::Pending,
        }
    }
}

fn queue<T>(socket: &mut WebSocket<T>, frame: &RelayFrame)
where
    T: AsyncRead + AsyncWrite + Unpin,
{
    socket.queue_message(frame.encoded_len(), |out| {
        // A vector has room for everything.
        let _ = frame.encode(out);
    });
}

/// Hands frames to the relay, all at once; gives how the link ends where one was bad.
async fn handle(messages: Vec<Bytes>, connected: &Connected<impl Store>) -> Option<Ending> {
    let mut frames = Vec::with_capacity(messages.len());
    let mut refused = None;
    for message in messages {
        match decode_client(message) {
            Ok(frame) => frames.push(frame),
            Err(error) => {
                refused = Some(error);
                break;
            }
        }
    }
    if !frames.is_empty() {
        connected.handle(frames).await;
    }
    let (code, close) = match &refused? {
        FrameError::TooLarge { .. } => (ErrorCode::TooLarge, CloseCode::Size),
        FrameError::Malformed(_) => (ErrorCode::Malformed, CloseCode::Invalid),
    };
    connected
        .outgoing()
        .push(error(code, "the frame cannot be read"));
    Some(Ending::Close(close))
}

/// Tells the client what was wrong with what it sent.
fn fault(fault: &WebSocketError, outgoing: &Outgoing) -> Ending {
    let Some(close) = fault.close_code() else {
        return Ending::Drop;
    };
    let code = match fault {
        WebSocketError::TooLarge => Some(ErrorCode::TooLarge),
        WebSocketError::Protocol(_) | WebSocketError::Text => Some(ErrorCode::Malformed),
        WebSocketError::Closed | WebSocketError::Ended | WebSocketError::Io(_) => None,
    };
    if let Some(code) = code {
        outgoing.push(error(code, &fault.to_string()));
    }
    Ending::Close(close)
}

fn error(code: ErrorCode, detail: &str) -> RelayFrame {
    RelayFrame {
        request: 0,
        body: Some(relay_frame::Body::Error(pb::Error {
            code: code.into(),
            detail: detail.to_owned(),
            ..pb::Error::default()
        })),
    }
}

/// Sends what is queued and a close frame, and waits until the client hangs up.
async fn say_goodbye<T>(socket: &mut WebSocket<T>, outgoing: &Outgoing, code: CloseCode)
where
    T: AsyncRead + AsyncWrite + Unpin,
{
    let pending = poll_fn(|context| {
        Poll::Ready(match outgoing.poll_next(context) {
            Poll::Ready(Next::Frames(frames, _)) => frames,
            Poll::Ready(Next::End(_)) | Poll::Pending => std::collections::VecDeque::new(),
        })
    });
    for frame in pending.await {
        queue(socket, &frame);
    }
    socket.queue_close(code);
    if poll_fn(|context| socket.poll_send(context)).await.is_ok()
        && poll_fn(|context| socket.poll_shutdown(context))
            .await
            .is_ok()
    {
        poll_fn(|context| socket.poll_discard(context)).await;
    }
}
