//! One link: frames from its WebSocket to the relay, and from its queue to the WebSocket.
//!
//! **Elsewhere**: the relay's core knows what frames mean; framing is in [`super::websocket`];
//! the sweep that ends idle links is in [`super::core_driver`].
//!
//! **Always**: everything that is ready is read, handled and written together, but only a few
//! frames of a link that has not shown whose it is. While a client does not read what it is
//! sent, nothing more is read from it. A bad frame gets a typed error, and ends only its own
//! link. Links that have not logged in take turns to send much, so that hundreds of large
//! answers do not keep the processors from everybody else.

use std::future::poll_fn;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use prost::Message as _;
use tokio::io::{AsyncRead, AsyncWrite};
use tungstenite::protocol::frame::coding::CloseCode;
use waxwing_protocol::frame::{FrameError, decode_client};
use waxwing_protocol::pb::{self, ClientFrame, ErrorCode, RelayFrame, relay_frame};

use super::core_driver::{Connected, SendTurn};
use super::memory::{FREE, LinkRank};
use super::send_queue::{Ending, FRAME_OVERHEAD, LinkStep, SendQueue};
use super::websocket::{WebSocket, WebSocketError};
use crate::store::Store;

/// For the last frames of a link.
const GOODBYE: Duration = Duration::from_secs(2);
/// Frames of a nameless link that are handled before what they are answered is sent: as many
/// of the largest answers as its queue has room for.
const NAMELESS_FRAMES: usize = 4;
/// A link that has not logged in sends more than this only in its turn.
const WITHOUT_TURN: usize = 16 << 10;

/// What a link waits for.
enum Step {
    Received(Result<(), WebSocketError>),
    /// To send, the link needs a turn.
    NeedsTurn,
    SendFailed,
    End(Ending),
}

/// Runs a link to its end.
#[expect(
    clippy::manual_async_fn,
    reason = "an `async fn` keeps what it is given twice: once as given, once as it uses it"
)]
pub(super) fn run<T, S>(
    mut socket: WebSocket<T>,
    connected: Connected<S>,
) -> impl Future<Output = ()> + Send
where
    T: AsyncRead + AsyncWrite + Unpin + Send,
    S: Store,
{
    async move {
        let mut messages = Vec::new();
        // Why no more come after those.
        let mut end_of_input = None;
        let mut partial = 0;
        let mut is_logged_in = false;
        let mut has_turn = None;
        let ending = loop {
            let outgoing = connected.outgoing();
            let step = poll_fn(|context| {
                let turn = has_turn.take();
                poll_step(
                    context,
                    &mut socket,
                    outgoing,
                    &mut messages,
                    &mut partial,
                    turn,
                )
            });
            match step.await {
                Step::NeedsTurn => {
                    // In a box: few links need one, and idle ones hold no memory for it.
                    has_turn = Box::pin(connected.turn()).await;
                }
                Step::Received(result) => {
                    outgoing.alive();
                    end_of_input = end_of_input.or(result.err());
                    let few = match outgoing.rank() {
                        LinkRank::Nameless => messages.len().min(NAMELESS_FRAMES),
                        LinkRank::Posting | LinkRank::LoggedIn => messages.len(),
                    };
                    let bytes: usize = messages.iter().map(Bytes::len).sum();
                    // While they are handled they are in memory as well.
                    if bytes > FREE {
                        partial = bytes + socket.partial();
                        if !outgoing.hold_partial(partial) {
                            continue;
                        }
                    }
                    let rest = messages.split_off(few);
                    let (frames, bad) = decode(std::mem::replace(&mut messages, rest));
                    if !frames.is_empty() {
                        connected.handle(&mut frames.into_iter()).await;
                    }
                    if !is_logged_in && outgoing.rank() == LinkRank::LoggedIn {
                        is_logged_in = true;
                        connected.slot().is_logged_in();
                    }
                    if let Some(bad) = bad {
                        break refuse(&bad, outgoing);
                    }
                    if messages.is_empty()
                        && let Some(error) = &end_of_input
                    {
                        break fault(error, outgoing);
                    }
                }
                Step::SendFailed => break Ending::Drop,
                Step::End(ending) => break ending,
            }
        };
        match ending {
            Ending::Close(code) => {
                // A client that does not read the goodbye in time is cut off.
                let goodbye = Box::pin(say_goodbye(&mut socket, connected.outgoing(), code));
                let _ = tokio::time::timeout(GOODBYE, goodbye).await;
            }
            Ending::Cut(code) if !socket.has_unsent() => {
                socket.queue_close(code);
                poll_fn(|context| Poll::Ready(socket.poll_send(context).is_ready())).await;
            }
            Ending::Cut(_) | Ending::Drop => {}
        }
    }
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "a turn ends with this call, whether or not the client reads"
)]
fn poll_step<T>(
    context: &mut Context<'_>,
    socket: &mut WebSocket<T>,
    outgoing: &SendQueue,
    messages: &mut Vec<Bytes>,
    partial: &mut usize,
    turn: Option<SendTurn<'_>>,
) -> Poll<Step>
where
    T: AsyncRead + AsyncWrite + Unpin,
{
    let takes_turns = turn.is_none() && outgoing.rank() < LinkRank::LoggedIn;
    loop {
        if takes_turns && socket.unsent() + outgoing.queued() > WITHOUT_TURN {
            return Poll::Ready(Step::NeedsTurn);
        }
        match socket.poll_send(context) {
            Poll::Ready(Ok(())) => {}
            Poll::Ready(Err(_)) => return Poll::Ready(Step::SendFailed),
            Poll::Pending => {
                if socket.take_progress() {
                    outgoing.took();
                }
                return outgoing.poll_cut(context).map(Step::End);
            }
        }
        match outgoing.poll_next(context) {
            Poll::Ready(LinkStep::Frames(frames, bytes)) => {
                // A header of a WebSocket frame has at most ten bytes.
                socket.reserve(bytes - frames.len() * (FRAME_OVERHEAD - 10));
                for frame in frames {
                    queue(socket, &frame);
                }
                continue;
            }
            Poll::Ready(LinkStep::End(ending)) => return Poll::Ready(Step::End(ending)),
            Poll::Pending => {}
        }
        if !messages.is_empty() {
            return Poll::Ready(Step::Received(Ok(())));
        }
        let received = socket.poll_receive(context, messages);
        if *partial != socket.partial() {
            *partial = socket.partial();
            // Where there is no room the link is cut, which is seen at its next step.
            outgoing.hold_partial(*partial);
        }
        match received {
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

/// The frames in messages, up to one that is bad.
fn decode(messages: Vec<Bytes>) -> (Vec<ClientFrame>, Option<FrameError>) {
    let mut frames = Vec::with_capacity(messages.len());
    for message in messages {
        let length = message.len();
        match decode_client(message) {
            Ok(frame) => frames.push(without_padding(frame, length)),
            Err(error) => return (frames, Some(error)),
        }
    }
    (frames, None)
}

/// Tells the client that a frame was bad; gives how the link ends.
fn refuse(bad: &FrameError, outgoing: &SendQueue) -> Ending {
    let (code, close) = match bad {
        FrameError::TooLarge { .. } => (ErrorCode::TooLarge, CloseCode::Size),
        FrameError::Malformed(_) => (ErrorCode::Malformed, CloseCode::Invalid),
    };
    outgoing.push(error(code, "the frame cannot be read"));
    Ending::Close(close)
}

/// Parts of a frame keep all of it in memory. A large one that holds little else than fields
/// that nobody knows is copied without them.
fn without_padding(frame: ClientFrame, length: usize) -> ClientFrame {
    if length <= FREE || frame.encoded_len() > length / 2 {
        return frame;
    }
    let copy = ClientFrame::decode(Bytes::from(frame.encode_to_vec()));
    copy.unwrap_or(frame)
}

/// Tells the client what was wrong with what it sent.
fn fault(fault: &WebSocketError, outgoing: &SendQueue) -> Ending {
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
async fn say_goodbye<T>(socket: &mut WebSocket<T>, outgoing: &SendQueue, code: CloseCode)
where
    T: AsyncRead + AsyncWrite + Unpin,
{
    loop {
        if poll_fn(|context| socket.poll_send(context)).await.is_err() {
            return;
        }
        let pending = poll_fn(|context| {
            Poll::Ready(match outgoing.poll_next(context) {
                Poll::Ready(LinkStep::Frames(frames, _)) => frames,
                Poll::Ready(LinkStep::End(_)) | Poll::Pending => std::collections::VecDeque::new(),
            })
        });
        let pending = pending.await;
        if pending.is_empty() {
            break;
        }
        for frame in pending {
            queue(socket, &frame);
        }
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
