//! A queue in which sources take turns: a source that asks for much only delays itself.
//!
//! A source that had nothing waiting comes before those that have much, as new flows do in
//! FQ-CoDel (RFC 8290 section 4.2). However many sources ask for much, a single question does not
//! wait for them. After [`NEW_IN_A_ROW`] new sources, one that waits longer gets its turn, so that an
//! endless stream of new sources stops nobody.
//!
//! **Elsewhere**: [`super::log`] and [`super::verifying`] put their work into such queues.
//!
//! **Always**: bounded, for each source and in total. Within one source, first come, first
//! served.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;

use parking_lot::{Condvar, Mutex};

use crate::rate_limit::home;

/// So large a part of the queue is added for sources that have nothing waiting.
const FOR_OTHERS: usize = 8;
/// So many new sources are served before one that waits longer.
const NEW_IN_A_ROW: usize = 4;

/// The queue.
pub(super) struct FairQueue<T> {
    waiting: Mutex<QueueState<T>>,
    /// Signalled when there is something, or the queue is to end.
    some: Condvar,
    most_of_one: usize,
    most: usize,
}

struct QueueState<T> {
    by_source: HashMap<IpAddr, Own<T>>,
    /// Sources that had nothing waiting, the next one first. Each source is in one of the two
    /// lists.
    new: VecDeque<IpAddr>,
    /// Sources that were served, the next one first. One that has nothing left stays until its
    /// turn comes: it would be new again at once.
    served: VecDeque<IpAddr>,
    /// New sources that were served since the last of the others.
    new_in_a_row: usize,
    weight: usize,
    is_ending: bool,
}

/// What waits of one source: things and their weights.
struct Own<T> {
    things: VecDeque<(usize, T)>,
    weight: usize,
}

impl<T> Default for Own<T> {
    fn default() -> Self {
        Self {
            things: VecDeque::new(),
            weight: 0,
        }
    }
}

impl<T> FairQueue<T> {
    /// A queue for things that weigh so much of one source, and so much in all.
    pub(super) fn new(most_of_one: usize, most: usize) -> Self {
        Self {
            waiting: Mutex::new(QueueState {
                by_source: HashMap::new(),
                new: VecDeque::new(),
                served: VecDeque::new(),
                new_in_a_row: 0,
                weight: 0,
                is_ending: false,
            }),
            some: Condvar::new(),
            most_of_one,
            most,
        }
    }

    /// Lets something wait; gives it back where there is no room, or at the end.
    pub(super) fn push(&self, source: IpAddr, weight: usize, thing: T) -> Result<(), T> {
        // Somebody who has a whole IPv6 network has one turn.
        let source = home(source);
        let mut waiting = self.waiting.lock();
        let known = waiting.by_source.get(&source);
        let is_new = known.is_none();
        let own = known.map_or(0, |own| own.weight);
        // Those who ask for much do not fill the queue for somebody who has nothing waiting.
        let most = match own {
            0 => self.most.saturating_add(self.most / FOR_OTHERS),
            _ => self.most,
        };
        if waiting.is_ending
            || waiting.weight.saturating_add(weight) > most
            || own.saturating_add(weight) > self.most_of_one
        {
            return Err(thing);
        }
        let own = waiting.by_source.entry(source).or_default();
        own.weight += weight;
        own.things.push_back((weight, thing));
        if is_new {
            waiting.new.push_back(source);
        }
        waiting.weight += weight;
        drop(waiting);
        self.some.notify_one();
        Ok(())
    }

    /// Nothing more is taken; what waits is still handed out.
    pub(super) fn end(&self) {
        self.waiting.lock().is_ending = true;
        self.some.notify_all();
    }

    /// The next one; `None` at the end.
    pub(super) fn next(&self) -> Option<T> {
        let mut waiting = self.waiting.lock();
        loop {
            if let Some(next) = waiting.next() {
                return Some(next);
            }
            if waiting.is_ending {
                return None;
            }
            self.some.wait(&mut waiting);
        }
    }
}

impl<T> QueueState<T> {
    fn next(&mut self) -> Option<T> {
        loop {
            let others_first = self.new_in_a_row >= NEW_IN_A_ROW && !self.served.is_empty();
            let new = if others_first {
                None
            } else {
                self.new.pop_front()
            };
            let is_new = new.is_some();
            let source = new.or_else(|| self.served.pop_front())?;
            let Some((weight, next)) = self.by_source.get_mut(&source).and_then(|own| {
                own.things
                    .pop_front()
                    .inspect(|(weight, _)| own.weight -= weight)
            }) else {
                self.by_source.remove(&source);
                continue;
            };
            self.new_in_a_row = if is_new { self.new_in_a_row + 1 } else { 0 };
            self.served.push_back(source);
            self.weight -= weight;
            return Some(next);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(n: u8) -> IpAddr {
        [192, 0, 2, n].into()
    }

    #[test]
    fn a_source_that_asks_for_much_waits_behind_itself() {
        let queue = FairQueue::new(3, 10);
        for n in 0..3 {
            queue.push(source(1), 1, (1, n)).unwrap();
        }
        queue.push(source(2), 1, (2, 0)).unwrap();
        assert_eq!(queue.push(source(1), 1, (1, 3)), Err((1, 3)));
        queue.end();
        assert_eq!(queue.push(source(3), 1, (3, 0)), Err((3, 0)));
        let all: Vec<_> = std::iter::from_fn(|| queue.next()).collect();
        assert_eq!(all, [(1, 0), (2, 0), (1, 1), (1, 2)]);
        assert!(queue.waiting.lock().by_source.is_empty());
    }

    #[test]
    fn a_home_with_many_networks_has_one_turn() {
        let queue = FairQueue::new(300, 1000);
        let address =
            |site: u16, n: u16| std::net::Ipv6Addr::new(0x2001, 0xdb8, site, n, 0, 0, 0, 1);
        for n in 0..256 {
            queue.push(address(1, n).into(), 1, 1).unwrap();
        }
        queue.push(address(2, 0).into(), 1, 2).unwrap();
        assert_eq!([queue.next(), queue.next()], [Some(1), Some(2)]);
        // Those who share an address are told apart.
        let shared = |n| std::net::Ipv6Addr::from_bits(crate::rate_limit::SHARED | n);
        let queue = FairQueue::new(300, 1000);
        for (source, thing) in [(1, 1), (1, 1), (2, 2)] {
            queue.push(shared(source).into(), 1, thing).unwrap();
        }
        assert_eq!([queue.next(), queue.next()], [Some(1), Some(2)]);
    }

    #[test]
    fn many_sources_together_are_bounded() {
        let queue = FairQueue::new(10, 20);
        queue.push(source(1), 10, 1).unwrap();
        queue.push(source(2), 8, 2).unwrap();
        assert_eq!(queue.push(source(2), 2, 4), Ok(()));
        assert_eq!(queue.push(source(2), 1, 5), Err(5));
        assert_eq!(queue.push(source(3), 3, 3), Err(3));
        // A source that has nothing waiting finds some room all the same.
        queue.push(source(3), 2, 3).unwrap();
        assert_eq!(queue.next(), Some(1));
        queue.push(source(4), 3, 6).unwrap();
    }

    #[test]
    fn a_single_question_waits_for_no_source_that_asks_for_much() {
        let queue = FairQueue::new(10, 1000);
        for n in 1..=40 {
            for _ in 0..10 {
                queue.push(source(n), 1, n).unwrap();
            }
        }
        // Each of them is served, and goes to the others.
        while !queue.waiting.lock().new.is_empty() {
            queue.next().unwrap();
        }
        queue.next().unwrap();
        queue.push(source(50), 1, 50).unwrap();
        assert_eq!(queue.next(), Some(50));
        // Its next question at once is behind the others: no source is new twice in a row.
        queue.push(source(50), 1, 50).unwrap();
        let before: Vec<u8> = (0..40).map(|_| queue.next().unwrap()).collect();
        assert!(!before.contains(&50));
        assert_eq!(queue.next(), Some(50));
        queue.end();
        while queue.next().is_some() {}
        assert!(queue.waiting.lock().by_source.is_empty());
    }

    #[test]
    fn an_endless_stream_of_new_sources_stops_nobody() {
        let queue = FairQueue::new(100, 1_000_000);
        for _ in 0..100 {
            queue.push(source(1), 1, 0).unwrap();
        }
        let mut served = 0;
        for n in 0..1_000_u32 {
            let new = std::net::Ipv4Addr::from_bits(0x0a00_0000 + n);
            queue.push(new.into(), 1, 1).unwrap();
            served += usize::from(queue.next() == Some(0));
        }
        assert!(served >= 100, "{served}");
        // Sources that have nothing waiting are forgotten all the time.
        let waiting = queue.waiting.lock();
        assert!(waiting.by_source.len() < 300, "{}", waiting.by_source.len());
    }
}
