//! The relay that people run, without its sockets.
//!
//! **Elsewhere**: `waxwing_relay::server` does with threads what is done here by the
//! clock of the world.
//!
//! **Always**: a batch is committed some time after it was taken, as on a disk; what was
//! not committed is lost when the relay crashes, and nothing else is.

use std::{
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
};

use rand_core::CryptoRng;
use waxwing_protocol::{
    Exporter, pb,
    time::{Span, Time},
    token::TokenIssuer,
};
use waxwing_relay::{
    rate::Rate,
    relay::{Batch, Config, Effect, LinkId as RelayLink, Relay, Secrets},
    store::{
        KeySpace, Store as _,
        memory::{Fault, MemoryStore},
    },
};

use crate::{LinkId, RelayEffect, RelayPort};

/// A commit takes this long.
const COMMIT: Span = Span(7);

/// The relay, its disk, and the batch that is on its way there.
pub struct RealRelay {
    relay: Relay<MemoryStore>,
    store: MemoryStore,
    config: Config,
    committing: Option<(Time, Batch)>,
    now: Time,
    mail_fails: bool,
    undeliverable: Vec<(RelayLink, u32)>,
}

impl Default for RealRelay {
    fn default() -> Self {
        Self::with(&Config::default())
    }
}

impl RealRelay {
    /// One with other bounds.
    pub fn with(config: &Config) -> Self {
        // Everybody comes from one place here.
        let plenty = Rate {
            burst: 1_000_000,
            every: Span(1),
        };
        let config = Config {
            codes_per_source: plenty,
            look_ups_per_source: plenty,
            ..config.clone()
        };
        let store = MemoryStore::new();
        Self {
            relay: open(&store, &config),
            store,
            config,
            committing: None,
            now: Time(0),
            mail_fails: false,
            undeliverable: Vec::new(),
        }
    }

    /// The process ends at once and is started again. Links are the world's to cut.
    pub fn crash(&mut self) {
        self.committing = None;
        self.relay = open(&self.store, &self.config);
    }

    /// A copy of its disk.
    pub fn backup(&self) -> MemoryStore {
        self.store.copy()
    }

    /// The process ends and is started again on a copy of its disk. Links are the world's
    /// to cut.
    pub fn restore(&mut self, backup: &MemoryStore) {
        self.store = backup.copy();
        self.crash();
    }

    /// The disk is full from now on, or has room again.
    pub fn set_full(&mut self, full: bool) {
        self.store.set_fault(full.then_some(Fault::Full));
    }

    /// No mail server takes a code from now on, or they do again.
    pub fn set_mail_fails(&mut self, fails: bool) {
        self.mail_fails = fails;
    }

    fn begin_commit(&mut self) {
        if self.committing.is_none()
            && let Some(batch) = self.relay.take_batch(self.now)
        {
            self.committing = Some((self.now.after(COMMIT), batch));
        }
    }
}

impl RelayPort for RealRelay {
    fn opened(&mut self, now: Time, rng: &mut dyn CryptoRng, link: LinkId, exporter: Exporter) {
        self.now = now;
        let source = IpAddr::V4(Ipv4Addr::LOCALHOST);
        self.relay
            .link_opened(now, rng, RelayLink(link.0), exporter, source);
    }

    fn closed(&mut self, now: Time, link: LinkId) {
        self.now = now;
        self.relay.link_closed(RelayLink(link.0));
    }

    fn frame(&mut self, now: Time, rng: &mut dyn CryptoRng, link: LinkId, frame: pb::ClientFrame) {
        self.now = now;
        self.relay.handle(now, rng, RelayLink(link.0), frame);
    }

    fn poll_effect(&mut self) -> Option<RelayEffect> {
        let mut effect = self.relay.poll_effect();
        while let Some(Effect::SendCode { link, request, .. }) = effect
            && self.mail_fails
        {
            // The answer comes first, as it does where mail takes its time.
            self.undeliverable.push((link, request));
            effect = self.relay.poll_effect();
        }
        if effect.is_none()
            && let Some((link, request)) = self.undeliverable.pop()
        {
            self.relay.code_not_sent(link, request);
            effect = self.relay.poll_effect();
        }
        let effect = effect.map(|effect| match effect {
            Effect::Send { link, frame } => RelayEffect::Send(LinkId(link.0), frame),
            Effect::Close { link } => RelayEffect::Close(LinkId(link.0)),
            Effect::SendCode { address, code, .. } => {
                RelayEffect::Code(address.canonical().to_owned(), code)
            }
        });
        if effect.is_none() {
            self.begin_commit();
        }
        effect
    }

    fn wakes_at(&mut self) -> Option<Time> {
        match &self.committing {
            Some((at, _)) => Some(*at),
            None => self.relay.next_write(),
        }
    }

    fn woken(&mut self, now: Time) {
        self.now = now;
        if let Some((_, batch)) = self.committing.take_if(|(at, _)| *at <= now) {
            match self.store.commit(batch.into_writes()) {
                Ok(()) => self.relay.batch_written(),
                Err(_) => self.relay.batch_failed(),
            }
        }
        self.begin_commit();
    }

    fn tick(&mut self, now: Time) {
        self.now = now;
        self.relay.tick(now);
    }

    fn posts(&self) -> u64 {
        self.relay.counts().posts
    }

    fn waiting(&self) -> usize {
        let spaces = [KeySpace::Entries, KeySpace::Posts, KeySpace::Holders];
        let records = self.store.records();
        records
            .iter()
            .filter(|(space, ..)| spaces.contains(space))
            .count()
    }
}

fn open(store: &MemoryStore, config: &Config) -> Relay<MemoryStore> {
    let secrets = Secrets {
        tokens: TokenIssuer::from_seed(&[5; 32]).unwrap(),
        address_key: [6; 32],
    };
    Relay::open(Arc::new(store.clone()), config.clone(), secrets).unwrap()
}
