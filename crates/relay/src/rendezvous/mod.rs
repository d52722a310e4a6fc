//! Rendezvous: two links meet and exchange bytes that only they can read.
//!
//! Two devices that do not know each other's mailbox meet here. One shows a number (or both
//! know an id) and the other joins; what one sends goes to the other.
//!
//! **Elsewhere**: what they say to each other, and why that is safe even if somebody listens,
//! is in the engine's `account`.
//!
//! **Always**: a rendezvous is only in memory, and bounded in number, in waiting bytes and in
//! time. A link is in at most one rendezvous, and has no name. A number leads one link to its
//! rendezvous, once: a second attempt is refused. If somebody guesses a number and takes the
//! right device's place, that device is refused and can say so. A rendezvous that everybody
//! has left ends.
//!
//! What remains possible: somebody with many network addresses can try many numbers. With one
//! guess in 900,000 for each waiting rendezvous they disturb a linking, which then has to
//! start again. They learn nothing from it, because the two devices compare what they agreed
//! on.

use std::collections::{BTreeSet, HashMap, VecDeque, hash_map::Entry};

use bytes::Bytes;
use rand::CryptoRng;
use waxwing_protocol::{
    limits, pb,
    pb::{ErrorCode, join_rendezvous::At, relay_frame::Body as Answer},
    time::{Span, Time},
};

use crate::{
    answer::{Refused, Reply, RequestResult},
    config::Config,
    context::Context,
    feature::Feature,
    link::{Link, LinkId, Source},
    rate_limit::SourceBuckets,
    store::Store,
    sweep::Done,
};

/// Messages that wait for one who is not there.
const WAITING: usize = 8;
/// Their bytes.
const WAITING_BYTES: usize = 512 << 10;
/// Numbers have six digits, the first of them not 0.
const NUMBERS: std::ops::Range<u32> = 100_000..1_000_000;
/// Numbers that are drawn before the relay gives up; of 900,000, few are taken.
const DRAWS: usize = 64;

/// Where two meet.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum RendezvousKey {
    /// Made for a number; numbered by the relay.
    Numbered(u64),
    /// At an id that both knew.
    Agreed([u8; 16]),
}

/// All that are under way.
pub(crate) struct Rendezvouses {
    by_place: HashMap<RendezvousKey, Rendezvous>,
    /// Where each link is.
    by_link: HashMap<LinkId, RendezvousKey>,
    /// The same, the oldest first.
    by_age: BTreeSet<(Time, RendezvousKey)>,
    /// Numbers that lead somewhere.
    by_number: HashMap<u32, RendezvousKey>,
    next: u64,
    /// Bytes that wait, in all.
    waiting_bytes: usize,
    pub(crate) made: SourceBuckets,
    pub(crate) tried: SourceBuckets,
    most: usize,
    most_bytes: usize,
}

struct Rendezvous {
    made_at: Time,
    /// Until somebody used it.
    number: Option<u32>,
    sides: [RendezvousSide; 2],
}

#[derive(Default)]
struct RendezvousSide {
    link: Option<LinkId>,
    /// What the other said while nobody was here.
    waiting: VecDeque<Bytes>,
    bytes: usize,
}

impl Rendezvous {
    fn new(made_at: Time, number: Option<u32>) -> Self {
        Self {
            made_at,
            number,
            sides: Default::default(),
        }
    }

    /// The side where nobody is.
    fn free(&mut self) -> Option<&mut RendezvousSide> {
        self.sides.iter_mut().find(|side| side.link.is_none())
    }

    /// The side that is not this link's.
    fn other(&mut self, link: LinkId) -> Option<&mut RendezvousSide> {
        let [first, second] = &mut self.sides;
        if first.link == Some(link) {
            Some(second)
        } else if second.link == Some(link) {
            Some(first)
        } else {
            None
        }
    }

    fn links(&self) -> impl Iterator<Item = LinkId> {
        self.sides.iter().filter_map(|side| side.link)
    }
}

impl Rendezvouses {
    pub(crate) fn new(config: &Config) -> Self {
        Self {
            by_place: HashMap::new(),
            by_link: HashMap::new(),
            by_age: BTreeSet::new(),
            by_number: HashMap::new(),
            next: 0,
            waiting_bytes: 0,
            made: SourceBuckets::new(config.rendezvous_per_source, 100_000),
            tried: SourceBuckets::new(config.rendezvous_tries_per_source, 100_000),
            most: config.rendezvous,
            most_bytes: config.rendezvous_bytes,
        }
    }

    /// Whether one more may be made by this source.
    fn may_make(&mut self, now: Time, source: Source) -> Result<(), Refused> {
        if self.by_place.len() >= self.most {
            return Err(Refused::rate_limited(Span::minutes(1)));
        }
        self.made.take(now, source).map_err(Refused::rate_limited)
    }

    /// A number that leads nowhere yet, of which nobody can tell the next.
    fn draw(&self, rng: &mut dyn CryptoRng) -> Option<u32> {
        for _ in 0..DRAWS {
            let mut bytes = [0; 4];
            rng.fill_bytes(&mut bytes);
            // Of 20 bits; those above the range are drawn again.
            let number = NUMBERS.start + (u32::from_be_bytes(bytes) & 0x000f_ffff);
            if NUMBERS.contains(&number) && !self.by_number.contains_key(&number) {
                return Some(number);
            }
        }
        None
    }

    /// Takes a rendezvous away; gives who was there.
    fn end(&mut self, place: RendezvousKey) -> Vec<LinkId> {
        let Some(ended) = self.by_place.remove(&place) else {
            return Vec::new();
        };
        self.by_age.remove(&(ended.made_at, place));
        if let Some(number) = ended.number {
            self.by_number.remove(&number);
        }
        for link in ended.links() {
            self.by_link.remove(&link);
        }
        let bytes: usize = ended.sides.iter().map(|side| side.bytes).sum();
        self.waiting_bytes = self.waiting_bytes.saturating_sub(bytes);
        ended.links().collect()
    }
}

impl<S: Store> Feature<S> for Rendezvouses {
    fn link_closed(&mut self, context: &mut Context<S>, link: LinkId, _: &Link) {
        self.leave(context, link);
    }
}

impl Rendezvouses {
    /// Where a link is.
    pub(crate) fn place_of(&self, link: LinkId) -> Option<RendezvousKey> {
        self.by_link.get(&link).copied()
    }

    pub(crate) fn join_rendezvous(
        &mut self,
        context: &mut Context<impl Store>,
        now: Time,
        rng: &mut dyn CryptoRng,
        link: LinkId,
        request: u32,
        join: &pb::JoinRendezvous,
    ) -> RequestResult {
        let source = context.links.of_request(link)?.source;
        let before = self.place_of(link);
        let (place, number) = match join.at {
            Some(At::NewNumber(true)) => {
                self.may_make(now, source)?;
                let number = self
                    .draw(rng)
                    .ok_or_else(|| Refused::rate_limited(Span::minutes(1)))?;
                let place = RendezvousKey::Numbered(self.next);
                self.next = self.next.saturating_add(1);
                self.by_number.insert(number, place);
                self.by_age.insert((now, place));
                self.by_place
                    .insert(place, Rendezvous::new(now, Some(number)));
                (place, number)
            }
            Some(At::Number(number)) => {
                self.tried
                    .take(now, source)
                    .map_err(Refused::rate_limited)?;
                let place = self
                    .by_number
                    .get(&number)
                    .copied()
                    // Nobody meets themselves.
                    .filter(|place| Some(*place) != before)
                    .ok_or_else(unknown)?;
                self.by_number.remove(&number);
                if let Some(found) = self.by_place.get_mut(&place) {
                    found.number = None;
                }
                (place, 0)
            }
            Some(At::RendezvousId(ref id)) => {
                let id = id
                    .as_ref()
                    .try_into()
                    .map_err(|_| Refused::malformed("a rendezvous id has 16 bytes"))?;
                let place = RendezvousKey::Agreed(id);
                if before == Some(place) {
                    let met = self.has_met(place);
                    return Ok(Reply::Now(joined(0, met)));
                }
                if let Some(found) = self.by_place.get_mut(&place) {
                    found.free().ok_or_else(unknown)?;
                } else {
                    self.may_make(now, source)?;
                    self.by_age.insert((now, place));
                    self.by_place.insert(place, Rendezvous::new(now, None));
                }
                (place, 0)
            }
            Some(At::NewNumber(false)) | None => {
                return Err(Refused::malformed("a place to meet is needed"));
            }
        };
        self.leave(context, link);
        let waited = self.enter(link, place);
        let met = self.has_met(place);
        // The answer first: only then does the link know where it is.
        context.send(link, request, joined(number, met));
        for body in waited {
            let message = pb::RendezvousMessage { body };
            context.send(link, 0, Answer::RendezvousMessage(message));
        }
        Ok(Reply::Later)
    }

    pub(crate) fn send_rendezvous(
        &mut self,
        context: &mut Context<impl Store>,
        link: LinkId,
        send: pb::SendRendezvous,
    ) -> RequestResult {
        if send.body.len() > limits::RENDEZVOUS_BYTES {
            return Err(Refused::new(
                ErrorCode::TooLarge,
                "the message is too large for a rendezvous",
            ));
        }
        let place = self.place_of(link).ok_or_else(unknown)?;
        let other = self
            .by_place
            .get_mut(&place)
            .and_then(|found| found.other(link))
            .ok_or_else(unknown)?;
        if let Some(other) = other.link {
            let message = pb::RendezvousMessage { body: send.body };
            context.send(other, 0, Answer::RendezvousMessage(message));
            return Ok(done());
        }
        let bytes = send.body.len();
        if other.waiting.len() >= WAITING || other.bytes.saturating_add(bytes) > WAITING_BYTES {
            return Err(Refused::new(
                ErrorCode::TooLarge,
                "too much waits for the other already",
            ));
        }
        if self.waiting_bytes.saturating_add(bytes) > self.most_bytes {
            return Err(Refused::rate_limited(Span::minutes(1)));
        }
        other.bytes += bytes;
        other.waiting.push_back(send.body);
        self.waiting_bytes += bytes;
        Ok(done())
    }

    pub(crate) fn leave_rendezvous(
        &mut self,
        context: &mut Context<impl Store>,
        link: LinkId,
    ) -> RequestResult {
        context.links.of_request(link)?;
        self.leave(context, link);
        Ok(done())
    }

    /// The link leaves its rendezvous, if it was in one; the relay tells the other link.
    fn leave(&mut self, context: &mut Context<impl Store>, link: LinkId) {
        if let Some(place) = self.by_link.remove(&link) {
            self.left(context, link, place);
        }
    }

    /// `link`, which may be closed, is no longer at `place`.
    fn left(&mut self, context: &mut Context<impl Store>, link: LinkId, place: RendezvousKey) {
        let Entry::Occupied(mut found) = self.by_place.entry(place) else {
            return;
        };
        for side in &mut found.get_mut().sides {
            if side.link == Some(link) {
                side.link = None;
            }
        }
        let other = found.get().links().next();
        let is_over = match place {
            // Its number is used up, so that nobody can come again; or nobody came.
            RendezvousKey::Numbered(_) => true,
            RendezvousKey::Agreed(_) => other.is_none(),
        };
        if is_over {
            self.end(place);
        }
        if let Some(other) = other {
            context.send(other, 0, Answer::RendezvousLeft(pb::RendezvousLeft {}));
        }
    }

    /// Ends what lasted long enough, `most` of them.
    pub(crate) fn end_old_rendezvous(
        &mut self,
        context: &mut Context<impl Store>,
        now: Time,
        most: usize,
    ) -> Done {
        for touched in 0..most {
            let oldest = self.by_age.first().copied();
            let old = oldest.filter(|(at, _)| now.since(*at) >= limits::RENDEZVOUS_LIFETIME);
            let Some((_, place)) = old else {
                return Done::all(touched);
            };
            for link in self.end(place) {
                context.send(link, 0, Answer::RendezvousLeft(pb::RendezvousLeft {}));
            }
        }
        Done::some(most)
    }

    /// Takes the free side; gives what waited there.
    fn enter(&mut self, link: LinkId, place: RendezvousKey) -> VecDeque<Bytes> {
        self.by_link.insert(link, place);
        let Some(side) = self.by_place.get_mut(&place).and_then(Rendezvous::free) else {
            return VecDeque::new();
        };
        side.link = Some(link);
        self.waiting_bytes = self.waiting_bytes.saturating_sub(side.bytes);
        side.bytes = 0;
        std::mem::take(&mut side.waiting)
    }

    fn has_met(&self, place: RendezvousKey) -> bool {
        self.by_place
            .get(&place)
            .is_some_and(|found| found.links().count() == 2)
    }
}

fn joined(number: u32, met: bool) -> Answer {
    Answer::RendezvousJoined(pb::RendezvousJoined { number, met })
}

fn done() -> Reply {
    Reply::Now(Answer::Done(pb::Done {}))
}

fn unknown() -> Refused {
    Refused::new(
        ErrorCode::RendezvousUnknown,
        "nobody waits there, or two are there already",
    )
}
