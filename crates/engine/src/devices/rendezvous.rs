//! Meets another device at a rendezvous of the relay.
//!
//! **Elsewhere**: [`super::pairing`] and [`super::transfer`] seal what the devices say there;
//! the relay sees which links meet, by number or id, and lengths.
//!
//! **Always**: a link is at one rendezvous at a time. Nothing that the relay learns about it
//! names this device.

use std::collections::VecDeque;

use bytes::Bytes;
use waxwing_protocol::pb::{
    JoinRendezvous, LeaveRendezvous, SendRendezvous, client_frame::Body, join_rendezvous::At,
};

use crate::{
    event::LinkKind,
    link::{Job, LinkPhase, MeetingPurpose},
    turn::Turn,
};

/// Messages that may be on their way at a time.
const AT_ONCE: usize = 4;

/// How far it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum MeetingState {
    Apart,
    Joining,
    Joined,
}

/// A rendezvous, as one side sees it.
pub(crate) struct Meeting {
    pub link: LinkKind,
    at: At,
    state: MeetingState,
    waiting: VecDeque<Bytes>,
    on_their_way: usize,
    sent: u64,
}

impl core::fmt::Debug for Meeting {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Meeting(..)")
    }
}

impl Meeting {
    pub(crate) const fn new(link: LinkKind, at: At) -> Self {
        Self {
            link,
            at,
            state: MeetingState::Apart,
            waiting: VecDeque::new(),
            on_their_way: 0,
            sent: 0,
        }
    }

    /// Says something, when it can.
    pub(crate) fn say(&mut self, bodies: impl IntoIterator<Item = Bytes>) {
        self.waiting.extend(bodies);
    }

    /// Whether what is said now leaves at once.
    pub(crate) fn is_joined(&self) -> bool {
        self.state == MeetingState::Joined
    }

    /// Whether something has not left yet.
    pub(crate) fn is_behind(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Whether all that was said is with the relay.
    pub(crate) fn all_said(&self) -> bool {
        self.waiting.is_empty() && self.on_their_way == 0
    }

    pub(crate) fn joined(&mut self) {
        self.state = MeetingState::Joined;
    }

    pub(crate) const fn sent(&mut self) {
        self.on_their_way = self.on_their_way.saturating_sub(1);
    }

    /// The link is no more, or the relay knows nothing of the rendezvous: what was said
    /// and not heard is lost.
    pub(crate) fn lost(&mut self) {
        self.state = MeetingState::Apart;
        self.waiting.clear();
        self.on_their_way = 0;
    }

    /// Joins, and says what waits.
    pub(crate) fn pump(&mut self, turn: &mut Turn<'_>, meets: MeetingPurpose) {
        let link = turn.memory.links.of(self.link);
        if !matches!(link.phase, LinkPhase::Ready { .. }) {
            return;
        }
        if self.state == MeetingState::Apart {
            self.state = MeetingState::Joining;
            let join = JoinRendezvous {
                at: Some(self.at.clone()),
            };
            turn.send_request(
                self.link,
                Job::JoinRendezvous(meets),
                Body::JoinRendezvous(join),
            );
        }
        while self.state == MeetingState::Joined && self.on_their_way < AT_ONCE {
            let Some(body) = self.waiting.pop_front() else {
                break;
            };
            self.on_their_way += 1;
            self.sent += 1;
            turn.send_request(
                self.link,
                Job::SendRendezvous(meets, self.sent),
                Body::SendRendezvous(SendRendezvous { body }),
            );
        }
    }

    /// Goes away.
    pub(crate) fn leave(self, turn: &mut Turn<'_>) {
        let link = turn.memory.links.of(self.link);
        if matches!(link.phase, LinkPhase::Ready { .. }) && self.state != MeetingState::Apart {
            turn.send_without_answer(self.link, Body::LeaveRendezvous(LeaveRendezvous {}));
        }
    }
}
