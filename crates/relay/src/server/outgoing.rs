//! What waits to be sent on one link, and what the rest of the relay may know of it.
//!
//! **Elsewhere**: the task that sends it is [`super::link`]; who pushes is
//! [`super::exchange`].
//!
//! **Always**: bounded. A link whose client does not read is closed and its queue
//! dropped; whoever pushes never waits. An idle link's queue holds no memory.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};

use parking_lot::Mutex;
use prost::Message as _;
use tungstenite::protocol::frame::coding::CloseCode;
use waxwing_protocol::limits;
use waxwing_protocol::pb::RelayFrame;
use waxwing_protocol::time::Time;

/// Bytes that may wait for one link: the delivery window twice over, and room for
/// answers.
pub(super) const QUEUE_BYTES: usize = 2 * limits::DELIVERY_WINDOW_BYTES + 2 * limits::FRAME_BYTES;

/// Shared by a link's task and the exchange.
#[derive(Default)]
pub(super) struct Outgoing {
    queue: Mutex<Queue>,
    /// When the client was last heard of, or its link last took bytes (milliseconds
    /// of the steady time): what the sweep goes by.
    alive_ms: AtomicU64,
}

#[derive(Default)]
struct Queue {
    frames: VecDeque<RelayFrame>,
    bytes: usize,
    ending: Option<Ending>,
    waker: Option<Waker>,
}

/// Why and how the relay ends a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// Sends what is queued, then a close frame with this code.
    Close(CloseCode),
    /// At once: nobody reads any more.
    Drop,
}

/// What a link's task has to do next.
#[derive(Debug, PartialEq)]
pub(super) enum Next {
    /// Send these, of so many bytes together.
    Frames(VecDeque<RelayFrame>, usize),
    /// End the link.
    End(Ending),
}

impl Outgoing {
    pub(super) fn new(now: Time) -> Self {
        let this = Self::default();
        this.alive(now);
        this
    }

    /// Queues a frame, or ends the link when too much waits already.
    pub(super) fn push(&self, frame: RelayFrame) {
        let mut queue = self.queue.lock();
        if queue.ending.is_some() {
            return;
        }
        queue.bytes += frame.encoded_len() + 16;
        if queue.bytes > QUEUE_BYTES {
            queue.end(Ending::Drop);
        } else {
            queue.frames.push_back(frame);
        }
        queue.wake();
    }

    /// Ends the link. The first ending counts, unless a later one is harsher.
    pub(super) fn end(&self, ending: Ending) {
        let mut queue = self.queue.lock();
        queue.end(ending);
        queue.wake();
    }

    /// Everything that waits; wakes the task when there is something.
    pub(super) fn poll_next(&self, context: &Context<'_>) -> Poll<Next> {
        let mut queue = self.queue.lock();
        if queue.ending == Some(Ending::Drop) {
            return Poll::Ready(Next::End(Ending::Drop));
        }
        if !queue.frames.is_empty() {
            let bytes = std::mem::take(&mut queue.bytes);
            return Poll::Ready(Next::Frames(std::mem::take(&mut queue.frames), bytes));
        }
        if let Some(ending) = queue.ending {
            return Poll::Ready(Next::End(ending));
        }
        match &mut queue.waker {
            Some(waker) => waker.clone_from(context.waker()),
            none => *none = Some(context.waker().clone()),
        }
        Poll::Pending
    }

    /// Whether the link is to be dropped at once; else the task is woken when it is.
    pub(super) fn poll_dropped(&self, context: &Context<'_>) -> Poll<()> {
        let mut queue = self.queue.lock();
        if queue.ending == Some(Ending::Drop) {
            return Poll::Ready(());
        }
        match &mut queue.waker {
            Some(waker) => waker.clone_from(context.waker()),
            none => *none = Some(context.waker().clone()),
        }
        Poll::Pending
    }

    /// The client was heard of, or took bytes.
    pub(super) fn alive(&self, now: Time) {
        self.alive_ms.store(now.0, Ordering::Relaxed);
    }

    /// When that was last.
    pub(super) fn last_alive(&self) -> Time {
        Time(self.alive_ms.load(Ordering::Relaxed))
    }
}

impl Queue {
    fn end(&mut self, ending: Ending) {
        if ending == Ending::Drop {
            self.frames = VecDeque::new();
            self.bytes = 0;
            self.ending = Some(ending);
        } else if self.ending.is_none() {
            self.ending = Some(ending);
        }
    }

    fn wake(&mut self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use waxwing_protocol::pb::{Deliver, relay_frame::Body};

    use super::*;

    fn frame(bytes: usize) -> RelayFrame {
        RelayFrame {
            request: 0,
            body: Some(Body::Deliver(Deliver {
                body: vec![0; bytes].into(),
                ..Deliver::default()
            })),
        }
    }

    fn next(outgoing: &Outgoing) -> Poll<Next> {
        outgoing.poll_next(&Context::from_waker(Waker::noop()))
    }

    #[test]
    fn a_reader_that_is_too_slow_loses_its_link_and_the_memory_is_freed() {
        let outgoing = Outgoing::default();
        for _ in 0..=QUEUE_BYTES / 100_000 {
            outgoing.push(frame(100_000));
        }
        assert_eq!(next(&outgoing), Poll::Ready(Next::End(Ending::Drop)));
        assert_eq!(outgoing.queue.lock().frames.capacity(), 0);
    }

    #[test]
    fn what_was_queued_before_the_end_is_still_sent() {
        let outgoing = Outgoing::default();
        outgoing.push(frame(1));
        outgoing.end(Ending::Close(CloseCode::Away));
        outgoing.push(frame(2));
        let Poll::Ready(Next::Frames(frames, _)) = next(&outgoing) else {
            panic!("a frame waits");
        };
        assert_eq!(frames, [frame(1)]);
        assert_eq!(
            next(&outgoing),
            Poll::Ready(Next::End(Ending::Close(CloseCode::Away)))
        );
    }

    #[test]
    fn an_emptied_queue_keeps_no_memory() {
        let outgoing = Outgoing::default();
        outgoing.push(frame(10));
        assert!(next(&outgoing).is_ready());
        assert!(next(&outgoing).is_pending());
        assert_eq!(outgoing.queue.lock().frames.capacity(), 0);
        assert_eq!(outgoing.queue.lock().bytes, 0);
    }
}
