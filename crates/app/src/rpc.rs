//! JSON-RPC over a WebSocket: one object in each message, as in `docs/rpc.md`.
//!
//! Each socket has a session of its own, which finds the process that runs the engine, and the next
//! one when that process ends.
//!
//! **Always.** A message is as long as a line may be. The session is closed with the socket.

use futures_util::{SinkExt as _, StreamExt as _};
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncWrite, AsyncWriteExt as _, BufReader};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        Message,
        protocol::{Role, WebSocketConfig},
    },
};
use waxwing_client::{
    Session,
    rpc::{Handover, LINE_BYTES, serve},
};

/// Bytes that wait between the socket and the session.
const BUFFER: usize = 64 << 10;

/// Serves one socket until it ends, or `stop` does.
pub(crate) async fn run(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    mut session: Session,
    stop: impl Future<Output = ()>,
) {
    let config = WebSocketConfig::default()
        .max_message_size(Some(LINE_BYTES))
        .max_frame_size(Some(LINE_BYTES));
    let socket = WebSocketStream::from_raw_socket(stream, Role::Server, Some(config)).await;
    let (mut out, mut incoming) = socket.split();
    let (calls_in, mut calls) = tokio::io::duplex(BUFFER);
    let (answers, answers_in) = tokio::io::duplex(BUFFER);
    let reading = async {
        while let Some(Ok(message)) = incoming.next().await {
            let Message::Text(text) = message else {
                continue;
            };
            if calls.write_all(text.as_bytes()).await.is_err()
                || calls.write_all(b"\n").await.is_err()
            {
                return;
            }
        }
    };
    let writing = async {
        let mut lines = BufReader::new(answers).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            if out.send(Message::text(line)).await.is_err() {
                return;
            }
        }
    };
    let serving = serve(calls_in, answers_in, &mut session, Handover::Announced);
    // Whichever ends first ends the socket; a caller that broke off has only itself to tell.
    tokio::select! {
        () = reading => {}
        () = writing => {}
        _ = serving => {}
        () = stop => {}
    }
    session.close().await;
}
