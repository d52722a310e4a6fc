//! WebSocket framing (RFC 6455) over any byte stream, for links that are mostly idle.
//!
//! Tungstenite parses and formats headers. Its `WebSocket` is not used, because it keeps a
//! read buffer and the largest write buffer that a link ever needed. Here a link without
//! traffic holds no buffer at all: what arrives is read into a buffer that all links of a
//! thread share, and copied only while it is incomplete.
//!
//! **Elsewhere**: the upgrade request is in [`super::http`]; [`super::link`] knows what
//! messages mean.
//!
//! **Always**: binary messages only, no extensions. A length is checked before any memory is
//! used for it, and memory grows with what arrived, not with what was announced.

use std::cell::RefCell;
use std::io::Cursor;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tungstenite::protocol::frame::FrameHeader;
use tungstenite::protocol::frame::coding::{CloseCode, Control, Data, OpCode};

/// Messages that are handed over at once, at most, so that links take turns.
const BATCH_MESSAGES: usize = 64;
/// The same limit in bytes (including the message that exceeds it).
const BATCH_BYTES: usize = 512 << 10;
/// Bytes read at once: a little over one TLS record.
const SCRATCH_BYTES: usize = 17 << 10;
/// RFC 6455 section 5.5.
const CONTROL_BYTES: u64 = 125;

thread_local! {
    static SCRATCH: RefCell<Vec<u8>> = RefCell::new(vec![0; SCRATCH_BYTES]);
}

/// Why a connection is no use any more.
#[derive(Debug, thiserror::Error)]
pub(super) enum WebSocketError {
    /// The other side is gone.
    #[error("the connection ended")]
    Ended,
    /// The other side said goodbye.
    #[error("the link was closed by the client")]
    Closed,
    /// Reading or writing failed.
    #[error("the connection failed: {0}")]
    Io(#[from] std::io::Error),
    /// Not RFC 6455.
    #[error("not a WebSocket frame: {0}")]
    Protocol(&'static str),
    /// A message longer than it may be.
    #[error("a message is too large")]
    TooLarge,
    /// A text message.
    #[error("a text message, where only binary ones are allowed")]
    Text,
}

impl WebSocketError {
    /// How to say it in a close frame; `None` where nobody listens.
    pub(super) fn close_code(&self) -> Option<CloseCode> {
        match self {
            Self::Ended | Self::Io(_) => None,
            Self::Closed => Some(CloseCode::Normal),
            Self::Protocol(_) => Some(CloseCode::Protocol),
            Self::TooLarge => Some(CloseCode::Size),
            Self::Text => Some(CloseCode::Unsupported),
        }
    }
}

/// Bytes that a link sends before others get their turn: encrypting and copying them takes some
/// thirty microseconds.
const SENT_AT_ONCE: usize = 64 << 10;

/// The server's side of a WebSocket.
pub(super) struct WebSocket<S> {
    stream: S,
    message_bytes: usize,
    /// What arrived of a frame that is not complete.
    arrived: Vec<u8>,
    /// What arrived of a message in several frames.
    fragments: Option<Vec<u8>>,
    /// What is to be written, from `written` on.
    unsent: Vec<u8>,
    written: usize,
    to_flush: bool,
    /// Whether some of it was written since somebody asked.
    progressed: bool,
}

impl<S: AsyncRead + AsyncWrite + Unpin> WebSocket<S> {
    /// After the upgrade; `arrived` is what came behind the request.
    pub(super) fn new(stream: S, arrived: &[u8], message_bytes: usize) -> Self {
        Self {
            stream,
            message_bytes,
            arrived: arrived.to_vec(),
            fragments: None,
            unsent: Vec::new(),
            written: 0,
            to_flush: false,
            progressed: false,
        }
    }

    /// Bytes that are kept of messages that are not whole yet.
    pub(super) fn partial(&self) -> usize {
        self.arrived.capacity() + self.fragments.as_ref().map_or(0, Vec::capacity)
    }

    /// Whether the other side took something since this was asked last.
    pub(super) fn take_progress(&mut self) -> bool {
        std::mem::take(&mut self.progressed)
    }

    /// Makes room for messages of so many bytes altogether.
    pub(super) fn reserve(&mut self, bytes: usize) {
        self.unsent.reserve_exact(bytes);
    }

    /// Queues a message of `length` bytes, which `encode` appends.
    pub(super) fn queue_message(&mut self, length: usize, encode: impl FnOnce(&mut Vec<u8>)) {
        self.queue_header(OpCode::Data(Data::Binary), length);
        encode(&mut self.unsent);
    }

    /// Queues the frame that ends the link.
    pub(super) fn queue_close(&mut self, code: CloseCode) {
        self.queue_header(OpCode::Control(Control::Close), 2);
        self.unsent
            .extend_from_slice(&u16::from(code).to_be_bytes());
    }

    /// Whether queued messages wait to be written.
    pub(super) fn has_unsent(&self) -> bool {
        self.unsent() > 0
    }

    /// Bytes of queued messages that wait to be written.
    pub(super) fn unsent(&self) -> usize {
        self.unsent.len().saturating_sub(self.written)
    }

    /// Writes and flushes what is queued; ready when all of it is on its way. After
    /// [`SENT_AT_ONCE`] bytes other links get their turn.
    pub(super) fn poll_send(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), WebSocketError>> {
        let until = self.written.saturating_add(SENT_AT_ONCE);
        while let Some(rest) = self
            .unsent
            .get(self.written..)
            .filter(|rest| !rest.is_empty())
        {
            if self.written >= until {
                context.waker().wake_by_ref();
                return Poll::Pending;
            }
            let count = ready!(Pin::new(&mut self.stream).poll_write(context, rest))?;
            if count == 0 {
                return Poll::Ready(Err(WebSocketError::Ended));
            }
            self.written += count;
            self.to_flush = true;
            self.progressed = true;
        }
        self.unsent = Vec::new();
        self.written = 0;
        if self.to_flush {
            ready!(Pin::new(&mut self.stream).poll_flush(context))?;
            self.to_flush = false;
        }
        Poll::Ready(Ok(()))
    }

    /// Sends the TLS and TCP goodbye.
    pub(super) fn poll_shutdown(&mut self, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    /// Reads and forgets; ready at the end of the stream. Closing a socket that still has
    /// bytes to read would take back what was just sent.
    pub(super) fn poll_discard(&mut self, context: &mut Context<'_>) -> Poll<()> {
        SCRATCH.with_borrow_mut(|scratch| {
            loop {
                let mut buffer = ReadBuf::new(scratch);
                let read = ready!(Pin::new(&mut self.stream).poll_read(context, &mut buffer));
                if read.is_err() || buffer.filled().is_empty() {
                    return Poll::Ready(());
                }
            }
        })
    }

    /// Appends the messages that have arrived, a batch at most; ready when there is one.
    /// Messages in front of an error are handed over as well.
    pub(super) fn poll_receive(
        &mut self,
        context: &mut Context<'_>,
        messages: &mut Vec<Bytes>,
    ) -> Poll<Result<(), WebSocketError>> {
        SCRATCH.with_borrow_mut(|scratch| {
            let mut bytes = 0;
            if !self.arrived.is_empty() {
                // What came with the request; later, only incomplete frames are kept.
                bytes += self.take_kept(&[], messages)?;
            }
            while messages.len() < BATCH_MESSAGES && bytes < BATCH_BYTES {
                let mut buffer = ReadBuf::new(scratch);
                match Pin::new(&mut self.stream).poll_read(context, &mut buffer) {
                    Poll::Ready(Ok(())) => {}
                    Poll::Ready(Err(error)) => return Poll::Ready(Err(error.into())),
                    Poll::Pending if messages.is_empty() => return Poll::Pending,
                    Poll::Pending => break,
                }
                let new = buffer.filled_mut();
                if new.is_empty() {
                    return Poll::Ready(Err(WebSocketError::Ended));
                }
                bytes += if self.arrived.is_empty() {
                    let (taken, bytes) = self.take_frames(new, messages)?;
                    self.arrived = new.get(taken..).unwrap_or_default().to_vec();
                    bytes
                } else {
                    self.take_kept(new, messages)?
                };
            }
            Poll::Ready(Ok(()))
        })
    }

    /// Takes whole frames from what was kept and what is new; keeps the rest where it is,
    /// so that a frame in a thousand pieces is not copied a thousand times.
    fn take_kept(
        &mut self,
        new: &[u8],
        messages: &mut Vec<Bytes>,
    ) -> Result<usize, WebSocketError> {
        let mut arrived = std::mem::take(&mut self.arrived);
        arrived.extend_from_slice(new);
        let (taken, bytes) = self.take_frames(&mut arrived, messages)?;
        if taken < arrived.len() {
            arrived.drain(..taken);
            self.arrived = arrived;
        }
        Ok(bytes)
    }

    /// Takes whole frames from the front of `bytes`; gives how much that was, and the
    /// number of bytes in new messages.
    fn take_frames(
        &mut self,
        bytes: &mut [u8],
        messages: &mut Vec<Bytes>,
    ) -> Result<(usize, usize), WebSocketError> {
        let mut at = 0;
        let mut in_messages = 0;
        loop {
            let rest = bytes.get_mut(at..).unwrap_or_default();
            let mut cursor = Cursor::new(&*rest);
            let header = FrameHeader::parse(&mut cursor)
                .map_err(|_| WebSocketError::Protocol("unknown kind of frame"))?;
            let header_bytes = usize::try_from(cursor.position()).unwrap_or(usize::MAX);
            let Some((header, length)) = header else {
                break;
            };
            let (mask, length) = self.check(&header, length)?;
            let Some(payload) = rest
                .get_mut(header_bytes..)
                .and_then(|payload| payload.get_mut(..length))
            else {
                break;
            };
            unmask(payload, mask);
            let before = messages.len();
            self.accept(&header, payload, messages)?;
            let new = messages.get(before..).unwrap_or_default();
            in_messages += new.iter().map(Bytes::len).sum::<usize>();
            at += header_bytes + length;
        }
        Ok((at, in_messages))
    }

    /// Checks what a header announces, before its payload is waited for.
    fn check(&self, header: &FrameHeader, length: u64) -> Result<([u8; 4], usize), WebSocketError> {
        if header.rsv1 || header.rsv2 || header.rsv3 {
            return Err(WebSocketError::Protocol("an extension that was not agreed"));
        }
        let Some(mask) = header.mask else {
            return Err(WebSocketError::Protocol("a client's frame must be masked"));
        };
        match header.opcode {
            OpCode::Control(_) if length > CONTROL_BYTES || !header.is_final => {
                return Err(WebSocketError::Protocol(
                    "a control frame must be one short frame",
                ));
            }
            OpCode::Data(Data::Text) => return Err(WebSocketError::Text),
            OpCode::Data(Data::Continue) if self.fragments.is_none() => {
                return Err(WebSocketError::Protocol("nothing to continue"));
            }
            OpCode::Data(Data::Binary) if self.fragments.is_some() => {
                return Err(WebSocketError::Protocol("a message within a message"));
            }
            OpCode::Control(_) | OpCode::Data(_) => {}
        }
        let before = self.fragments.as_ref().map_or(0, Vec::len);
        match usize::try_from(length) {
            Ok(length) if length <= self.message_bytes.saturating_sub(before) => Ok((mask, length)),
            // A ping in the middle of a long message is within its own bound.
            Ok(length) if matches!(header.opcode, OpCode::Control(_)) => Ok((mask, length)),
            _ => Err(WebSocketError::TooLarge),
        }
    }

    fn accept(
        &mut self,
        header: &FrameHeader,
        payload: &[u8],
        messages: &mut Vec<Bytes>,
    ) -> Result<(), WebSocketError> {
        match header.opcode {
            OpCode::Control(Control::Ping) => {
                // A client that pings and does not read gets no further pongs.
                if !self.has_unsent() {
                    self.queue_header(OpCode::Control(Control::Pong), payload.len());
                    self.unsent.extend_from_slice(payload);
                }
            }
            OpCode::Control(Control::Close) => return Err(WebSocketError::Closed),
            OpCode::Control(_) => {}
            OpCode::Data(_) => {
                let message = match self.fragments.take() {
                    Some(mut fragments) => {
                        fragments.extend_from_slice(payload);
                        fragments
                    }
                    None => payload.to_vec(),
                };
                if header.is_final {
                    messages.push(message.into());
                } else {
                    self.fragments = Some(message);
                }
            }
        }
        Ok(())
    }

    fn queue_header(&mut self, opcode: OpCode, length: usize) {
        let header = FrameHeader {
            opcode,
            ..FrameHeader::default()
        };
        // Writing to a vector cannot fail.
        let _ = header.format(length as u64, &mut self.unsent);
    }
}

/// RFC 6455 section 5.3.
fn unmask(payload: &mut [u8], mask: [u8; 4]) {
    let (words, rest) = payload.as_chunks_mut::<4>();
    let key = u32::from_ne_bytes(mask);
    for word in words {
        *word = (u32::from_ne_bytes(*word) ^ key).to_ne_bytes();
    }
    for (byte, key) in rest.iter_mut().zip(mask) {
        *byte ^= key;
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use proptest::prelude::*;
    use tokio::io::{AsyncWriteExt as _, DuplexStream, duplex};

    use super::*;

    const LIMIT: usize = 100_000;

    fn frame(opcode: u8, is_final: bool, payload: &[u8]) -> Vec<u8> {
        let mut header = FrameHeader {
            is_final,
            opcode: OpCode::from(opcode),
            mask: Some([1, 2, 3, 4]),
            ..FrameHeader::default()
        };
        header.rsv1 = false;
        let mut bytes = Vec::new();
        header.format(payload.len() as u64, &mut bytes).unwrap();
        let mut payload = payload.to_vec();
        unmask(&mut payload, [1, 2, 3, 4]);
        bytes.extend(payload);
        bytes
    }

    fn run<T>(future: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap()
            .block_on(future)
    }

    /// Everything a socket makes of `pieces`, until the error that ends it.
    fn receive(pieces: &[&[u8]]) -> (Vec<Bytes>, WebSocketError) {
        run(async {
            let total = pieces.iter().map(|piece| piece.len()).sum::<usize>();
            let (mut client, server) = duplex(total + 1);
            let mut socket: WebSocket<DuplexStream> = WebSocket::new(server, &[], LIMIT);
            let mut all = Vec::new();
            // Messages are handed over with each step, as a link does it: a step that still
            // has some is ready without having read.
            let mut messages = Vec::new();
            for piece in pieces {
                client.write_all(piece).await.unwrap();
                let step = poll_fn(|context| {
                    Poll::Ready(match socket.poll_receive(context, &mut messages) {
                        Poll::Ready(result) => result,
                        Poll::Pending => Ok(()),
                    })
                });
                let step = step.await;
                all.append(&mut messages);
                if let Err(error) = step {
                    return (all, error);
                }
            }
            drop(client);
            loop {
                let step = poll_fn(|context| socket.poll_receive(context, &mut messages)).await;
                all.append(&mut messages);
                if let Err(error) = step {
                    return (all, error);
                }
            }
        })
    }

    proptest! {
        #[test]
        fn messages_arrive_whole_however_they_are_cut(
            payloads in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..9_000), 0..5),
            fragment in 50..9_000_usize,
            cut in 20..20_000_usize,
        ) {
            let mut bytes = Vec::new();
            for payload in &payloads {
                let mut parts: Vec<&[u8]> = payload.chunks(fragment).collect();
                if parts.is_empty() {
                    parts.push(&[]);
                }
                let last = parts.len() - 1;
                for (index, part) in parts.into_iter().enumerate() {
                    bytes.extend(frame(if index == 0 { 2 } else { 0 }, index == last, part));
                    bytes.extend(frame(9, true, b"ping"));
                }
            }
            let pieces: Vec<&[u8]> = bytes.chunks(cut).collect();
            let (messages, end) = receive(&pieces);
            prop_assert_eq!(messages, payloads);
            prop_assert!(matches!(end, WebSocketError::Ended));
        }

        #[test]
        fn random_bytes_never_panic_and_never_pass_the_limit(
            bytes in prop::collection::vec(any::<u8>(), 0..4096)
        ) {
            let (messages, _) = receive(&[&bytes]);
            prop_assert!(messages.iter().all(|message| message.len() <= LIMIT));
        }
    }

    #[test]
    fn a_message_in_front_of_a_bad_frame_is_still_handed_over() {
        let mut bytes = frame(2, true, b"good");
        bytes.extend(frame(1, true, b"text"));
        let (messages, error) = receive(&[&bytes]);
        assert_eq!(messages, [Bytes::from_static(b"good")]);
        assert!(matches!(error, WebSocketError::Text));
    }

    #[test]
    fn what_no_client_may_send_is_told_apart() {
        let unmasked = [0x82, 1, 0];
        let reserved_bit = [0xc2, 0x80, 0, 0, 0, 0];
        let reserved_kind = [0x83, 0x80, 0, 0, 0, 0];
        let long_ping = frame(9, true, &[0; 126]);
        let cut_ping = frame(9, false, &[0; 5]);
        let lone_continuation = frame(0, true, b"x");
        let mut nested = frame(2, false, b"x");
        nested.extend(frame(2, true, b"x"));
        for bytes in [
            &unmasked[..],
            &reserved_bit,
            &reserved_kind,
            &long_ping,
            &cut_ping,
            &lone_continuation,
            &nested,
        ] {
            let (messages, error) = receive(&[bytes]);
            assert!(messages.is_empty());
            assert!(
                matches!(error, WebSocketError::Protocol(_)),
                "{bytes:?}: {error}"
            );
        }
        let (_, error) = receive(&[&frame(8, true, &[3, 232])]);
        assert!(matches!(error, WebSocketError::Closed));
    }

    #[test]
    fn a_length_is_refused_before_the_payload_comes() {
        let announced = [0x82, 0xff, 0, 0, 0, 0, 0x40, 0, 0, 0, 0, 0, 0, 0];
        let (_, error) = receive(&[&announced]);
        assert!(matches!(error, WebSocketError::TooLarge));
        let mut in_parts = frame(2, false, &vec![0; LIMIT]);
        in_parts.extend(frame(0, true, b"x"));
        let (_, error) = receive(&[&in_parts]);
        assert!(matches!(error, WebSocketError::TooLarge));
    }

    #[test]
    fn an_idle_socket_keeps_no_buffer() {
        run(async {
            let (mut client, server) = duplex(1 << 20);
            let mut socket = WebSocket::new(server, &[], LIMIT);
            client
                .write_all(&frame(2, true, &vec![7; 90_000]))
                .await
                .unwrap();
            let mut messages = Vec::new();
            poll_fn(|context| socket.poll_receive(context, &mut messages))
                .await
                .unwrap();
            socket.queue_message(90_000, |out| out.resize(out.len() + 90_000, 7));
            poll_fn(|context| socket.poll_send(context)).await.unwrap();
            let kept = socket.arrived.capacity() + socket.unsent.capacity();
            assert_eq!(kept, 0);
        });
    }
}
