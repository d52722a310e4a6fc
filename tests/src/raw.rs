//! Links that no engine stands behind: whoever holds one says to the relay what they please.
//!
//! **Elsewhere**: what a dishonest client says on them is [`crate::Dishonest`]'s.
//!
//! **Always**: the relay treats them like all others; frames arrive at once, answers as soon
//! as the relay gives them.

use std::collections::VecDeque;

use prost::Message as _;
use rand_core::Rng as _;
use waxwing_protocol::{
    Exporter, frame, pb,
    pb::{client_frame::Body as Ask, relay_frame::Body as Answer},
    time::Span,
};

use crate::{LinkId, RelayPort, World};

/// An answer comes within this time.
const ANSWERED_WITHIN: Span = Span::minutes(2);

/// A link without an engine.
#[derive(Default)]
pub(crate) struct RawLink {
    exporter: Exporter,
    requests: u32,
    heard: VecDeque<pb::RelayFrame>,
    closed: bool,
}

impl RawLink {
    pub(crate) fn hear(&mut self, frame: pb::RelayFrame) {
        self.heard.push_back(frame);
    }

    pub(crate) const fn close(&mut self) {
        self.closed = true;
    }
}

impl<R: RelayPort> World<R> {
    /// Opens a link to the relay that nobody's engine knows of.
    pub fn dial(&mut self) -> LinkId {
        self.next_link += 1;
        let link = LinkId(self.next_link);
        let mut exporter = [0; 32];
        self.rng.fill_bytes(&mut exporter);
        let raw = RawLink {
            exporter,
            ..RawLink::default()
        };
        self.raw.insert(link, raw);
        self.relay.opened(self.now, &mut self.rng, link, exporter);
        self.drain_relay();
        self.tell_relay(link, Ask::Open(pb::Open { version: 1 }));
        link
    }

    /// Hangs up.
    pub fn hang_up(&mut self, link: LinkId) {
        if self.raw.remove(&link).is_some_and(|raw| !raw.closed) {
            self.relay.closed(self.now, link);
            self.drain_relay();
        }
    }

    /// Whether the relay has not closed the link.
    pub fn is_open(&self, link: LinkId) -> bool {
        self.raw.get(&link).is_some_and(|raw| !raw.closed)
    }

    /// What binds signatures to the link.
    pub fn exporter(&self, link: LinkId) -> Exporter {
        self.raw[&link].exporter
    }

    /// What the relay greeted the link with.
    pub fn greeting(&self, link: LinkId) -> pb::Hello {
        let hello = self.raw[&link]
            .heard
            .iter()
            .find_map(|frame| match &frame.body {
                Some(Answer::Hello(hello)) => Some(hello.clone()),
                _ => None,
            });
        hello.expect("a relay greets every link")
    }

    /// Says something on a link; gives the request's number.
    pub fn tell_relay(&mut self, link: LinkId, body: Ask) -> u32 {
        let Some(raw) = self.raw.get_mut(&link).filter(|raw| !raw.closed) else {
            return 0;
        };
        raw.requests += 1;
        let request = raw.requests;
        let frame = pb::ClientFrame {
            request,
            body: Some(body),
        };
        // What does not fit a frame would not get as far as the relay.
        let Ok(frame) = frame::decode_client(frame.encode_to_vec().into()) else {
            return 0;
        };
        self.wakes_relay();
        self.relay.frame(self.now, &mut self.rng, link, frame);
        self.drain_relay();
        request
    }

    /// Asks the relay something and lets the world go on until it answers. `None` where it
    /// does not, or closes the link.
    pub fn ask_relay(&mut self, link: LinkId, body: Ask) -> Option<Answer> {
        let request = self.tell_relay(link, body);
        let end = self.now.after(ANSWERED_WITHIN);
        loop {
            let raw = self.raw.get_mut(&link)?;
            let is_it = |frame: &pb::RelayFrame| frame.request == request && request > 0;
            if let Some(at) = raw.heard.iter().position(is_it) {
                return raw.heard.remove(at)?.body;
            }
            if raw.closed || request == 0 || !self.step(end) {
                return None;
            }
        }
    }

    /// Takes what the relay delivered of its own accord.
    pub fn delivered(&mut self, link: LinkId) -> Vec<pb::Deliver> {
        let Some(raw) = self.raw.get_mut(&link) else {
            return Vec::new();
        };
        let (delivered, rest) = std::mem::take(&mut raw.heard)
            .into_iter()
            .partition::<Vec<_>, _>(|frame| matches!(frame.body, Some(Answer::Deliver(_))));
        raw.heard = rest.into();
        delivered
            .into_iter()
            .filter_map(|frame| match frame.body {
                Some(Answer::Deliver(deliver)) => Some(deliver),
                _ => None,
            })
            .collect()
    }
}
