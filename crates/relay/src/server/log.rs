//! The threads of the key log: one publishes, a few make proofs.
//!
//! **Elsewhere**: the core decides what is published, and who may ask what;
//! [`super::auditing`] answers auditors over HTTP.
//!
//! **Always**: no thread holds the core's lock while it works. The number of waiting questions
//! is bounded: somebody who asks one too many is told to come back later.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rand::SeedableRng as _;
use rand::rngs::StdRng;
use waxwing_protocol::pb::{self, ErrorCode, RelayFrame};
use waxwing_protocol::time::Time;

use super::clock::now;
use super::core_driver::{CoreDriver, Trouble};
use super::fair_queue::FairQueue;
use crate::directory::log::{KeyLog, Question};
use crate::mail::LetterRequest;
use crate::store::Store;

/// Threads that make proofs.
const PROVERS: usize = 2;
/// Questions that may wait, of one source and in all.
const WAITING_OF_ONE: usize = 64;
const WAITING: usize = 512;
/// The publisher looks at least so often whether the head is due to be refreshed.
const REFRESH_CHECK: Duration = Duration::from_secs(30);

/// A head that could not be signed is tried again after this long.
const AGAIN: Duration = Duration::from_secs(1);

/// Questions that wait for a proof; sources take turns.
pub(super) struct Questions(FairQueue<(LetterRequest, Question)>);

impl Default for Questions {
    fn default() -> Self {
        Self(FairQueue::new(WAITING_OF_ONE, WAITING))
    }
}

/// All of them.
pub(super) struct LogThreads(Vec<JoinHandle<()>>);

impl LogThreads {
    /// Waits until all have ended.
    pub(super) fn join(self) {
        for thread in self.0 {
            // One that panicked has been reported by the panic hook.
            let _ = thread.join();
        }
    }
}

impl Questions {
    /// Lets a question wait; gives the error where there are too many.
    pub(super) fn ask(
        &self,
        source: IpAddr,
        asked: LetterRequest,
        question: Question,
    ) -> Result<(), pb::Error> {
        self.0
            .push(source, 1, (asked, question))
            .map_err(|_| pb::Error {
                code: ErrorCode::RateLimited.into(),
                detail: "too many ask at once".to_owned(),
                retry_after_ms: 1000,
                ..pb::Error::default()
            })
    }

    /// No more questions are taken; those that wait are answered.
    pub(super) fn end(&self) {
        self.0.end();
    }
}

impl<S: Store> CoreDriver<S> {
    /// Starts publishing and proving.
    pub(super) fn start_log(self: &Arc<Self>, log: &Arc<KeyLog<S>>) -> io::Result<LogThreads> {
        let mut threads = Vec::new();
        let (driver, published) = (Arc::clone(self), Arc::clone(log));
        let publisher = std::thread::Builder::new().name("waxwing-log".to_owned());
        threads.push(publisher.spawn(move || driver.publish_for_ever(&published))?);
        for _ in 0..PROVERS {
            let (driver, log) = (Arc::clone(self), Arc::clone(log));
            let prover = std::thread::Builder::new().name("waxwing-prove".to_owned());
            threads.push(prover.spawn(move || driver.prove_for_ever(&log))?);
        }
        Ok(LogThreads(threads))
    }

    fn prove_for_ever(&self, log: &KeyLog<S>) {
        while let Some((asked, question)) = self.questions.0.next() {
            let frame = RelayFrame {
                request: asked.request,
                body: Some(log.answer(&question)),
            };
            let outgoing = self.state.lock().links.get(&asked.link).cloned();
            // The requester is gone.
            if let Some(outgoing) = outgoing {
                outgoing.push(frame);
            }
        }
    }

    fn publish_for_ever(&self, log: &KeyLog<S>) {
        let mut trouble = Trouble::default();
        loop {
            // Only this thread signs heads; looked at before the core's lock is taken, since
            // a co-signature may be on its way to the disk.
            let refresh_at = log.refresh_at();
            let mut state = self.state.lock();
            let (publication, date, mut rng) = loop {
                // At the end nothing waits any more.
                let until = if state.is_ending {
                    Time(u64::MAX)
                } else {
                    now()
                };
                let publication = state.relay.take_publication(until);
                let date = state.relay.date(now());
                let is_stale = refresh_at <= date && !state.relay.doubts_clock();
                if publication.is_some() || (is_stale && !state.is_ending) {
                    break (publication, date, StdRng::from_rng(&mut state.rng));
                }
                if state.is_ending {
                    return;
                }
                state.publishes_at = state.relay.next_publication(until);
                let span = state.publishes_at.map_or(REFRESH_CHECK, |at| {
                    Duration::from_millis(at.since(until).0).min(REFRESH_CHECK)
                });
                let _ = self.publish.wait_for(&mut state, span);
            };
            drop(state);
            let Some(publication) = publication else {
                let result = log.refresh(date, &mut rng);
                trouble.note(now(), "the key log's head cannot be refreshed", &result);
                if result.is_err() {
                    let mut state = self.state.lock();
                    let _ = self.publish.wait_for(&mut state, AGAIN);
                }
                continue;
            };
            let changes = publication.changes.len() as u64;
            let began = Instant::now();
            let result = log.publish(date, &mut rng, publication).map(|_| ());
            let took = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
            trouble.note(now(), "nothing can be published", &result);
            let mut state = self.state.lock();
            if result.is_ok() {
                log.publication_took(changes, took);
                state.relay.publication_written();
            } else {
                state.relay.publication_failed();
            }
            self.route(&mut state);
        }
    }
}
