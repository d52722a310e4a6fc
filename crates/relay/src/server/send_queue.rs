//! What waits to be sent on one link, what has arrived of a message so far, and what the rest
//! of the relay may know about it.
//!
//! **Elsewhere**: the task that sends is [`super::link`]; [`super::core_driver`] adds to the
//! queue; [`super::memory`] limits what all links together may hold.
//!
//! **Always**: the queue is bounded, and its bytes count from here until the socket has them.
//! An answer for which there is no room becomes an error that says when to ask again. A link
//! whose client does not read is cut and its queue dropped; adding to a queue never waits. An
//! idle link's queue holds no memory.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Waker};

use parking_lot::Mutex;
use prost::Message as _;
use tungstenite::protocol::frame::coding::CloseCode;
use waxwing_protocol::limits;
use waxwing_protocol::pb::{self, ErrorCode, RelayFrame, relay_frame::Body as Answer};
use waxwing_protocol::time::Span;

use super::memory::{FREE, LinkRank, Memory};

/// Bytes that may wait for a device: the delivery window twice over, and room for answers.
pub(super) const DEVICE_BYTES: usize = 2 * limits::DELIVERY_WINDOW_BYTES + 2 * limits::FRAME_BYTES;
/// For a link that may post.
pub(super) const POSTING_BYTES: usize = 3 * limits::FRAME_BYTES;
/// For any other link: the largest answer, and some small ones.
pub(super) const NAMELESS_BYTES: usize = limits::FRAME_BYTES + limits::SMALL_FRAME_BYTES;
/// Beyond these there is still room for so many bytes of errors.
const ERROR_BYTES: usize = 64 << 10;
/// Frames are handed to the socket in parts of about so many bytes.
const PART_BYTES: usize = 64 << 10;
/// A link is cut when bytes wait for it and its client takes none of them for this long.
pub(super) const STALLED: Span = Span::minutes(1);
/// Bytes that a frame costs besides its own.
pub(super) const FRAME_OVERHEAD: usize = size_of::<RelayFrame>();
/// When to ask again what there was no room to answer.
const AGAIN: Span = Span::seconds(1);

/// Shared by a connection's task, the driver, and the connection slots.
pub(super) struct SendQueue {
    /// Tells links apart.
    id: u64,
    memory: Arc<Memory>,
    this: Weak<Self>,
    queue: Mutex<Queue>,
    /// When the client was last heard of, or its link last took bytes: what the sweep goes
    /// by. Milliseconds of [`Memory::now_ms`], as those below.
    alive_ms: AtomicU64,
    /// Since when the client has taken none of what waits; 0 where nothing does.
    stalled_ms: AtomicU64,
    rank: AtomicU8,
}

#[derive(Default)]
struct Queue {
    frames: VecDeque<RelayFrame>,
    /// Bytes of those frames, of those that the socket is being given, and of what has come
    /// of messages that are not handled yet.
    queued: usize,
    sending: usize,
    partial: usize,
    /// What of it the budget has been charged with.
    charged: usize,
    /// Whether the budget knows the link, since it is charged.
    is_holder: bool,
    /// Since when the link holds anything.
    holds_since: u64,
    ending: Option<Ending>,
    waker: Option<Waker>,
}

/// Why and how the relay ends a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// Sends what is queued, then a close frame with this code.
    Close(CloseCode),
    /// At once; a close frame with this code goes only if it need not wait.
    Cut(CloseCode),
    /// At once: nobody reads any more.
    Drop,
}

/// What a link's task has to do next.
#[derive(Debug, PartialEq)]
pub(super) enum LinkStep {
    /// Send these, of so many bytes together.
    Frames(VecDeque<RelayFrame>, usize),
    /// End the link.
    End(Ending),
}

/// Why bytes are refused.
enum NoRoom {
    /// The link has too many itself.
    Link,
    /// All links together have.
    Memory(usize),
}

impl SendQueue {
    pub(super) fn new(id: u64, memory: &Arc<Memory>) -> Arc<Self> {
        let this = Arc::new_cyclic(|this| Self {
            id,
            memory: Arc::clone(memory),
            this: Weak::clone(this),
            queue: Mutex::default(),
            alive_ms: AtomicU64::new(0),
            stalled_ms: AtomicU64::new(0),
            rank: AtomicU8::new(LinkRank::Nameless as u8),
        });
        this.alive();
        this
    }

    /// Queues a frame. Where there is no room for an answer, an error goes in its place;
    /// where there is none for that or for a post, the link is cut.
    pub(super) fn push(&self, frame: RelayFrame) {
        let Err(request) = self.try_push(frame, 0) else {
            return;
        };
        let refused = (request != 0).then(|| RelayFrame {
            request,
            body: Some(Answer::Error(pb::Error {
                code: ErrorCode::RateLimited.into(),
                detail: "too much waits to be sent".to_owned(),
                retry_after_ms: AGAIN.0,
                ..pb::Error::default()
            })),
        });
        if refused.is_none_or(|refused| self.try_push(refused, ERROR_BYTES).is_err())
            && self.end(Ending::Cut(CloseCode::Again))
        {
            self.memory.cuts.slow.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Gives the number of the request that is answered where there is no room.
    fn try_push(&self, frame: RelayFrame, more: usize) -> Result<(), u32> {
        let bytes = frame.encoded_len() + FRAME_OVERHEAD;
        let mut queue = self.queue.lock();
        if queue.ending.is_some() {
            return Ok(());
        }
        let held = queue.held() + bytes;
        if let Err(refused) = self.charge(&mut queue, held, more) {
            let NoRoom::Memory(missing) = refused else {
                return Err(frame.request);
            };
            drop(queue);
            self.memory.make_room(self.rank(), missing, self.id);
            queue = self.queue.lock();
            let held = queue.held() + bytes;
            if self.charge(&mut queue, held, more).is_err() {
                return Err(frame.request);
            }
        }
        if queue.queued + queue.sending == 0 {
            self.stalled_ms
                .store(self.memory.now_ms(), Ordering::Relaxed);
        }
        queue.queued += bytes;
        queue.frames.push_back(frame);
        queue.wake();
        Ok(())
    }

    /// So many bytes have come of messages that are not handled yet; gives whether there is
    /// room for them.
    pub(super) fn hold_partial(&self, partial: usize) -> bool {
        let mut queue = self.queue.lock();
        if queue.partial == partial || queue.ending.is_some() {
            return true;
        }
        let held = queue.queued + queue.sending + partial;
        // What has come was bounded when it was announced.
        let more = usize::MAX / 2;
        if let Err(refused) = self.charge(&mut queue, held, more) {
            let NoRoom::Memory(missing) = refused else {
                return false;
            };
            drop(queue);
            self.memory.make_room(self.rank(), missing, self.id);
            queue = self.queue.lock();
            let held = queue.queued + queue.sending + partial;
            if self.charge(&mut queue, held, more).is_err() {
                drop(queue);
                if self.end(Ending::Cut(CloseCode::Again)) {
                    self.memory.cuts.memory.fetch_add(1, Ordering::Relaxed);
                }
                return false;
            }
        }
        queue.partial = partial;
        true
    }

    /// Sets how much the link holds, where it and the budget have room.
    fn charge(&self, queue: &mut Queue, held: usize, more: usize) -> Result<(), NoRoom> {
        let rank = self.rank();
        let most = match rank {
            LinkRank::Nameless => NAMELESS_BYTES,
            LinkRank::Posting => POSTING_BYTES,
            LinkRank::LoggedIn => DEVICE_BYTES,
        };
        if held > queue.held() && held > most.saturating_add(more) {
            return Err(NoRoom::Link);
        }
        let charged = held.saturating_sub(FREE);
        if charged > queue.charged {
            let missing = charged - queue.charged;
            if !self.memory.take(rank, missing) {
                return Err(NoRoom::Memory(missing));
            }
        } else if charged < queue.charged {
            self.memory.give_back(rank, queue.charged - charged);
        }
        queue.charged = charged;
        if queue.is_holder != (charged > 0) {
            queue.is_holder = charged > 0;
            if queue.holds_since == 0 {
                queue.holds_since = self.memory.now_ms();
            }
            let holder = (queue.holds_since, self.id);
            if queue.is_holder {
                self.memory.holds(rank, holder, Weak::clone(&self.this));
            } else {
                self.memory.released(rank, holder);
            }
        }
        if held == 0 {
            queue.holds_since = 0;
        }
        Ok(())
    }

    /// Ends the link. The first ending counts, unless a later one is harsher. Gives whether
    /// this was the end of it.
    pub(super) fn end(&self, ending: Ending) -> bool {
        let mut queue = self.queue.lock();
        let is_at_once = |ending| matches!(ending, Ending::Cut(_) | Ending::Drop);
        let ends = match queue.ending {
            None => true,
            Some(before) => is_at_once(ending) && !is_at_once(before),
        };
        if ends {
            queue.ending = Some(ending);
            if is_at_once(ending) {
                queue.frames = VecDeque::new();
                // What the task still has is freed when it looks, which is now.
                (queue.queued, queue.sending, queue.partial) = (0, 0, 0);
                let _ = self.charge(&mut queue, 0, 0);
                self.stalled_ms.store(0, Ordering::Relaxed);
            }
        }
        queue.wake();
        ends
    }

    /// Ends the link for the sake of others.
    pub(super) fn cut(&self) -> bool {
        self.end(Ending::Cut(CloseCode::Again))
    }

    /// Some of what waits, about [`PART_BYTES`]; wakes the task when there is something. What
    /// was given before is sent by now.
    pub(super) fn poll_next(&self, context: &Context<'_>) -> Poll<LinkStep> {
        let mut queue = self.queue.lock();
        if let Some(ending @ (Ending::Drop | Ending::Cut(_))) = queue.ending {
            return Poll::Ready(LinkStep::End(ending));
        }
        if queue.sending > 0 {
            queue.sending = 0;
            let held = queue.held();
            // It is less, so there is room.
            let _ = self.charge(&mut queue, held, 0);
            let stalled_ms = if queue.queued == 0 {
                0
            } else {
                self.memory.now_ms()
            };
            self.stalled_ms.store(stalled_ms, Ordering::Relaxed);
        }
        if !queue.frames.is_empty() {
            let (frames, bytes) = queue.take_part();
            return Poll::Ready(LinkStep::Frames(frames, bytes));
        }
        if let Some(ending) = queue.ending {
            return Poll::Ready(LinkStep::End(ending));
        }
        queue.wake_later(context);
        Poll::Pending
    }

    /// Bytes that wait to be given to the socket.
    pub(super) fn queued(&self) -> usize {
        self.queue.lock().queued
    }

    /// How the link is to end, where that is at once; else the task is woken when it is.
    pub(super) fn poll_cut(&self, context: &Context<'_>) -> Poll<Ending> {
        let mut queue = self.queue.lock();
        if let Some(ending @ (Ending::Drop | Ending::Cut(_))) = queue.ending {
            return Poll::Ready(ending);
        }
        queue.wake_later(context);
        Poll::Pending
    }

    /// The client was heard of.
    pub(super) fn alive(&self) {
        self.alive_ms.store(self.memory.now_ms(), Ordering::Relaxed);
    }

    /// The client took some of what waits.
    pub(super) fn took(&self) {
        let now = self.memory.now_ms();
        self.alive_ms.store(now, Ordering::Relaxed);
        if self.stalled_ms.load(Ordering::Relaxed) != 0 {
            self.stalled_ms.store(now, Ordering::Relaxed);
        }
    }

    /// When the client was last heard of.
    pub(super) fn last_alive(&self) -> u64 {
        self.alive_ms.load(Ordering::Relaxed)
    }

    /// Ends the link if nothing comes, or nothing is taken.
    pub(super) fn check(&self, now_ms: u64) {
        if now_ms.saturating_sub(self.last_alive()) > limits::LINK_IDLE.0 {
            self.end(Ending::Drop);
        }
        let stalled_ms = self.stalled_ms.load(Ordering::Relaxed);
        if stalled_ms != 0
            && now_ms.saturating_sub(stalled_ms) > STALLED.0
            && self.end(Ending::Cut(CloseCode::Policy))
        {
            self.memory.cuts.slow.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// What the link has shown of whose it is.
    pub(super) fn rank(&self) -> LinkRank {
        match self.rank.load(Ordering::Relaxed) {
            2 => LinkRank::LoggedIn,
            1 => LinkRank::Posting,
            _ => LinkRank::Nameless,
        }
    }

    /// The link has shown more of whose it is.
    pub(super) fn has_shown(&self, rank: LinkRank) {
        let before = self.rank();
        if before >= rank {
            return;
        }
        let queue = self.queue.lock();
        self.rank.store(rank as u8, Ordering::Relaxed);
        if rank == LinkRank::LoggedIn {
            self.memory.promote(queue.charged);
            if queue.is_holder {
                let holder = (queue.holds_since, self.id);
                self.memory.released(before, holder);
                self.memory.holds(rank, holder, Weak::clone(&self.this));
            }
        }
    }
}

impl Drop for SendQueue {
    fn drop(&mut self) {
        self.end(Ending::Drop);
    }
}

impl Queue {
    fn held(&self) -> usize {
        self.queued + self.sending + self.partial
    }

    fn take_part(&mut self) -> (VecDeque<RelayFrame>, usize) {
        if self.queued <= PART_BYTES {
            self.sending = std::mem::take(&mut self.queued);
            return (std::mem::take(&mut self.frames), self.sending);
        }
        let mut frames = VecDeque::new();
        while self.sending < PART_BYTES
            && let Some(frame) = self.frames.pop_front()
        {
            self.sending += frame.encoded_len() + FRAME_OVERHEAD;
            frames.push_back(frame);
        }
        self.queued = self.queued.saturating_sub(self.sending);
        if self.frames.is_empty() {
            self.frames = VecDeque::new();
        }
        (frames, self.sending)
    }

    fn wake_later(&mut self, context: &Context<'_>) {
        match &mut self.waker {
            Some(waker) => waker.clone_from(context.waker()),
            none => *none = Some(context.waker().clone()),
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
    use std::time::Duration;

    use waxwing_protocol::pb::Deliver;

    use super::*;

    const ROOM: usize = 64 << 20;

    fn outgoing(memory: &Arc<Memory>, id: u64, rank: LinkRank) -> Arc<SendQueue> {
        let outgoing = SendQueue::new(id, memory);
        outgoing.has_shown(rank);
        outgoing
    }

    fn device() -> Arc<SendQueue> {
        outgoing(&Memory::new(ROOM), 0, LinkRank::LoggedIn)
    }

    fn frame(bytes: usize) -> RelayFrame {
        answer(0, bytes)
    }

    fn answer(request: u32, bytes: usize) -> RelayFrame {
        RelayFrame {
            request,
            body: Some(Answer::Deliver(Deliver {
                body: vec![0; bytes].into(),
                ..Deliver::default()
            })),
        }
    }

    fn next(outgoing: &SendQueue) -> Poll<LinkStep> {
        outgoing.poll_next(&Context::from_waker(Waker::noop()))
    }

    fn is_cut(outgoing: &SendQueue) -> bool {
        matches!(next(outgoing), Poll::Ready(LinkStep::End(Ending::Cut(_))))
    }

    #[test]
    fn a_reader_that_is_too_slow_loses_its_link_and_its_memory() {
        let memory = Memory::new(ROOM);
        let outgoing = outgoing(&memory, 0, LinkRank::LoggedIn);
        for _ in 0..=DEVICE_BYTES / 100_000 {
            outgoing.push(frame(100_000));
        }
        assert!(is_cut(&outgoing));
        assert_eq!(outgoing.queue.lock().frames.capacity(), 0);
        assert_eq!(memory.used(), 0);
    }

    #[test]
    fn what_was_queued_before_the_end_is_still_sent() {
        let outgoing = device();
        outgoing.push(frame(1));
        outgoing.end(Ending::Close(CloseCode::Away));
        outgoing.push(frame(2));
        let Poll::Ready(LinkStep::Frames(frames, _)) = next(&outgoing) else {
            panic!("a frame waits");
        };
        assert_eq!(frames, [frame(1)]);
        assert_eq!(
            next(&outgoing),
            Poll::Ready(LinkStep::End(Ending::Close(CloseCode::Away)))
        );
    }

    #[test]
    fn an_emptied_queue_keeps_no_memory() {
        let outgoing = device();
        outgoing.push(frame(10));
        assert!(next(&outgoing).is_ready());
        assert!(next(&outgoing).is_pending());
        assert_eq!(outgoing.queue.lock().frames.capacity(), 0);
        assert_eq!(outgoing.queue.lock().held(), 0);
    }

    #[test]
    fn bytes_count_until_the_socket_has_them() {
        let memory = Memory::new(ROOM);
        let outgoing = outgoing(&memory, 0, LinkRank::LoggedIn);
        for _ in 0..10 {
            outgoing.push(frame(100_000));
        }
        let all = memory.used();
        assert!(all > 990_000);
        let mut sent = 0;
        while let Poll::Ready(LinkStep::Frames(frames, bytes)) = next(&outgoing) {
            assert!(bytes < PART_BYTES + 110_000, "{bytes}");
            assert_eq!(memory.used(), all - sent, "while it is being written");
            sent += bytes;
            assert_eq!(frames.len(), 1);
        }
        assert_eq!(memory.used(), 0);
    }

    #[test]
    fn an_answer_without_room_becomes_an_error_and_the_link_goes_on() {
        let memory = Memory::new(ROOM);
        let outgoing = outgoing(&memory, 0, LinkRank::Nameless);
        for request in 1..=10 {
            outgoing.push(answer(request, 500_000));
        }
        let mut codes = Vec::new();
        while let Poll::Ready(LinkStep::Frames(frames, _)) = next(&outgoing) {
            codes.extend(frames.into_iter().map(|frame| match frame.body {
                Some(Answer::Error(error)) => (frame.request, error.retry_after_ms),
                _ => (frame.request, 0),
            }));
        }
        let expected: Vec<(u32, u64)> = (1..=10)
            .map(|n| (n, if n <= 2 { 0 } else { 1000 }))
            .collect();
        assert_eq!(codes, expected);
        assert!(next(&outgoing).is_pending());
    }

    #[tokio::test(start_paused = true)]
    async fn the_link_that_held_its_bytes_for_longest_makes_room() {
        let memory = Memory::new(16 << 20);
        let mut links = Vec::new();
        for id in 0..8 {
            let link = outgoing(&memory, id, LinkRank::Nameless);
            link.push(answer(1, 1_000_000));
            tokio::time::advance(Duration::from_millis(5)).await;
            links.push(link);
        }
        // The first is quick, and asks again.
        while !next(&links[0]).is_pending() {}
        links[0].push(answer(2, 1_000_000));
        tokio::time::advance(Duration::from_millis(5)).await;
        let newcomer = outgoing(&memory, 100, LinkRank::Nameless);
        newcomer.push(answer(1, 1_000_000));
        assert!(matches!(next(&newcomer), Poll::Ready(LinkStep::Frames(..))));
        assert!(is_cut(&links[1]));
        assert!(matches!(next(&links[0]), Poll::Ready(LinkStep::Frames(..))));
        assert!(memory.used() <= 8 << 20, "half is for devices");
        assert!(memory.cuts.memory.load(Ordering::Relaxed) >= 1);
    }

    #[test]
    fn a_flood_of_unnamed_links_cuts_no_device() {
        let memory = Memory::new(4 << 20);
        let device = outgoing(&memory, 0, LinkRank::LoggedIn);
        device.push(frame(1_000_000));
        let mut links = Vec::new();
        for id in 1..=1000 {
            let link = outgoing(&memory, id, LinkRank::Nameless);
            for request in 1..=10 {
                link.push(answer(request, 200_000));
            }
            assert!(memory.used() <= 4 << 20);
            links.push(link);
        }
        assert!(matches!(next(&device), Poll::Ready(LinkStep::Frames(..))));
        let small = outgoing(&memory, 2000, LinkRank::Nameless);
        small.push(answer(1, 1000));
        let Poll::Ready(LinkStep::Frames(frames, _)) = next(&small) else {
            panic!("a small answer always fits");
        };
        assert!(matches!(frames[0].body, Some(Answer::Deliver(_))));
        drop((device, small, links));
        assert_eq!(memory.used(), 0);
        assert!(memory.take(LinkRank::Nameless, 2 << 20));
    }

    #[test]
    fn halves_of_messages_count_and_the_oldest_give_way() {
        let memory = Memory::new(4 << 20);
        let links: Vec<_> = (0..100)
            .map(|id| outgoing(&memory, id, LinkRank::Nameless))
            .collect();
        for link in &links {
            assert!(link.hold_partial(900_000));
            assert!(memory.used() <= 2 << 20);
        }
        assert!(is_cut(&links[0]));
        let last = links.last().unwrap();
        assert!(next(last).is_pending());
        assert!(last.hold_partial(0));
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_takes_nothing_for_a_minute_is_cut() {
        let memory = Memory::new(ROOM);
        let [stalled, slow, idle] = [0, 1, 2].map(|id| outgoing(&memory, id, LinkRank::LoggedIn));
        stalled.push(frame(10));
        slow.push(frame(10));
        for _ in 0..7 {
            tokio::time::advance(Duration::from_secs(10)).await;
            slow.took();
            stalled.push(frame(10));
        }
        for link in [&stalled, &slow, &idle] {
            link.check(memory.now_ms());
        }
        assert!(is_cut(&stalled));
        assert!(matches!(next(&slow), Poll::Ready(LinkStep::Frames(..))));
        assert!(next(&idle).is_pending());
        assert_eq!(memory.cuts.slow.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn a_device_that_logs_in_takes_what_it_holds_with_it() {
        let memory = Memory::new(4 << 20);
        let link = outgoing(&memory, 0, LinkRank::Nameless);
        link.push(answer(1, 1_000_000));
        link.has_shown(LinkRank::LoggedIn);
        assert!(memory.take(LinkRank::Nameless, 2 << 20), "its half is free");
        link.push(frame(900_000));
        drop(link);
        memory.give_back(LinkRank::Nameless, 2 << 20);
        assert_eq!(memory.used(), 0);
    }
}
