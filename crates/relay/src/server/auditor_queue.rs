//! Turns for those who read the key log over HTTPS: fair between sources, and with reserved
//! places for auditors that this relay knows.
//!
//! **Elsewhere**: [`super::auditing`] answers them.
//!
//! **Always**: a source that asks for much only delays itself, and a known auditor never waits
//! behind somebody unknown. The relay forgets who asked once it has answered; only the source
//! of a known auditor's co-signature is kept, in memory, for a day.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use waxwing_protocol::time::{Span, Time};

use crate::rate_limit::home;

/// Requests that are worked on at one time, for anybody.
const AT_ONCE: usize = 4;
/// And for auditors that are known.
const AT_ONCE_KNOWN: usize = 1;
/// Requests of one source that are worked on or wait.
const OF_ONE: usize = 2;
/// Requests that are worked on or wait, in all.
const IN_ALL: usize = 256;
/// Sources of known auditors that are remembered, and for how long.
const KNOWN: usize = 64;
const KNOWN_FOR: Span = Span::days(1);

/// All turns.
#[derive(Clone)]
pub(super) struct AuditorQueue {
    anybody: Arc<Semaphore>,
    known: Arc<Semaphore>,
    asking: Arc<Mutex<Asking>>,
}

#[derive(Default)]
struct Asking {
    by_source: HashMap<IpAddr, usize>,
    count: usize,
    known: HashMap<IpAddr, Time>,
}

/// A turn, until it is dropped.
pub(super) struct Turn {
    _waiting: WaitingRequest,
    _permit: Option<OwnedSemaphorePermit>,
}

struct WaitingRequest {
    turns: AuditorQueue,
    source: IpAddr,
}

impl AuditorQueue {
    pub(super) fn new() -> Self {
        Self {
            anybody: Arc::new(Semaphore::new(AT_ONCE)),
            known: Arc::new(Semaphore::new(AT_ONCE_KNOWN)),
            asking: Arc::default(),
        }
    }

    /// Waits for this source's turn; `None` where it, or everybody, waits for too much.
    pub(super) async fn take(&self, now: Time, source: IpAddr) -> Option<Turn> {
        let source = home(source);
        let is_known = {
            let mut asking = self.asking.lock();
            let is_known = asking.knows(now, source);
            if asking.count >= IN_ALL && !is_known {
                return None;
            }
            let own = asking.by_source.entry(source).or_default();
            if *own >= OF_ONE {
                return None;
            }
            *own += 1;
            asking.count += 1;
            is_known
        };
        let waiting = WaitingRequest {
            turns: self.clone(),
            source,
        };
        let places = if is_known { &self.known } else { &self.anybody };
        // They are never closed.
        let permit = Arc::clone(places).acquire_owned().await.ok();
        Some(Turn {
            _waiting: waiting,
            _permit: permit,
        })
    }

    /// A known auditor's co-signature came from there.
    pub(super) fn remember_auditor_source(&self, now: Time, source: IpAddr) {
        let source = home(source);
        let mut asking = self.asking.lock();
        asking
            .known
            .retain(|_, at| *at <= now && now.since(*at) < KNOWN_FOR);
        if asking.known.len() < KNOWN || asking.known.contains_key(&source) {
            asking.known.insert(source, now);
        }
    }
}

impl Asking {
    fn knows(&self, now: Time, source: IpAddr) -> bool {
        let at = self.known.get(&source);
        at.is_some_and(|at| now.since(*at) < KNOWN_FOR)
    }
}

impl Drop for WaitingRequest {
    fn drop(&mut self) {
        let mut asking = self.turns.asking.lock();
        asking.count -= 1;
        if let Some(own) = asking.by_source.get_mut(&self.source) {
            *own -= 1;
            if *own == 0 {
                asking.by_source.remove(&self.source);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Time = Time(1_800_000_000_000);

    fn source(n: u8) -> IpAddr {
        [192, 0, 2, n].into()
    }

    async fn at_once<T>(future: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            done = future => Some(done),
            () = std::future::ready(()) => None,
        }
    }

    #[tokio::test]
    async fn whoever_reads_much_of_the_log_waits_behind_themselves() {
        let turns = AuditorQueue::new();
        let first = turns.take(NOW, source(1)).await;
        let second = turns.take(NOW, source(1)).await;
        assert!(first.is_some() && second.is_some());
        assert!(turns.take(NOW, source(1)).await.is_none());
        assert!(turns.take(NOW, source(2)).await.is_some());
        drop(first);
        assert!(turns.take(NOW, source(1)).await.is_some());
        drop(second);
        assert!(turns.asking.lock().by_source.is_empty());
    }

    #[tokio::test]
    async fn a_known_auditor_waits_behind_no_stranger() {
        let turns = AuditorQueue::new();
        let mut strangers = Vec::new();
        for n in 0..4 {
            strangers.push(turns.take(NOW, source(n)).await.unwrap());
        }
        assert!(at_once(turns.take(NOW, source(9))).await.is_none());
        turns.remember_auditor_source(NOW, source(9));
        assert!(at_once(turns.take(NOW, source(9))).await.is_some());
        // For a day.
        let later = NOW.after(KNOWN_FOR);
        assert!(at_once(turns.take(later, source(9))).await.is_none());
    }
}
