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

use bytes::Bytes;
use p256::{ecdsa::signature::Signer as _, pkcs8::EncodePublicKey as _};
use rand_chacha::ChaCha20Rng;
use rand_core::{CryptoRng, SeedableRng as _};
use waxwing_protocol::{
    Exporter,
    address::Address,
    pb,
    roster::Roster,
    signature::{HybridSigningKey, SigningSeed},
    time::{Span, Time},
};
use waxwing_relay::{
    directory::{
        log::{KeyLog, LogKeys, Publication},
        tokens::ShownTokenKey,
    },
    rate_limit::Rate,
    relay::{
        Batch, Config, Effect, LinkId as RelayLink, Relay, Secrets, SmsReport, Submission, Verdict,
    },
    store::{
        KeySpace, Store as _,
        faulty::{Chances, Lost},
        memory::MemoryStore,
    },
};

use waxwing_transparency::{
    cosignature::{AuditorId, CoSigned},
    proof::Entry,
};

use crate::{LinkId, RelayEffect, RelayPort, disk::RelayStore};

/// When its world begins.
pub const BEGINS: Time = Time(1_795_550_400_000);

/// A commit takes this long.
const COMMIT: Span = Span(7);

/// The relay, its disk, and the batch that is on its way there.
pub struct RealRelay {
    relay: Relay<RelayStore>,
    store: RelayStore,
    config: Config,
    committing: Option<(Time, Batch)>,
    log: KeyLog<RelayStore>,
    publishing: Option<(Time, Publication)>,
    rng: ChaCha20Rng,
    now: Time,
    /// What the machine's clock is off, in milliseconds.
    clock_error: i64,
    mail_fails: bool,
    log_stands_still: bool,
    undeliverable: Vec<(RelayLink, u32)>,
    /// Texts that the service centre was given.
    pub submissions: Vec<Submission>,
    /// What the service centre was told of texts that came.
    pub verdicts: Vec<(u64, Verdict)>,
}

impl Default for RealRelay {
    fn default() -> Self {
        Self::with(&Config::default())
    }
}

impl RealRelay {
    /// One with other bounds.
    pub fn with(config: &Config) -> Self {
        Self::on(RelayStore::Memory(MemoryStore::new()), config)
    }

    /// One with the store that people run, on a disk whose faults follow from `seed`.
    pub fn on_disk(seed: u64) -> Self {
        Self::on(RelayStore::on_disk(seed), &Config::default())
    }

    fn on(store: RelayStore, config: &Config) -> Self {
        // Everybody comes from one place here.
        let plenty = Rate {
            burst: 1_000_000,
            every: Span(1),
        };
        let config = Config {
            codes_per_source: plenty,
            codes_per_network: plenty,
            mailed_codes: plenty,
            texted_codes_per_network: plenty,
            look_ups_per_source: plenty,
            ..config.clone()
        };
        let mut rng = ChaCha20Rng::seed_from_u64(7);
        let (mut relay, log) = open(&store, &config, BEGINS, 0, &mut rng);
        relay.look_at_clock(BEGINS, BEGINS);
        Self {
            relay,
            log,
            store,
            config,
            committing: None,
            publishing: None,
            rng,
            now: BEGINS,
            clock_error: 0,
            mail_fails: false,
            log_stands_still: false,
            undeliverable: Vec::new(),
            submissions: Vec::new(),
            verdicts: Vec::new(),
        }
    }

    /// The SMS gateway tells something.
    pub fn sms(&mut self, report: SmsReport) {
        self.relay.sms_report(self.now, &mut self.rng, report);
    }

    /// The process ends at once and is started again. Links are the world's to cut.
    pub fn crash(&mut self) {
        self.crash_with(None);
    }

    /// The machine loses its power, and the process is started again. Links are the
    /// world's to cut.
    pub fn lose_power(&mut self, seed: u64) {
        self.crash_with(Some(Lost::Some(seed)));
    }

    fn crash_with(&mut self, lost: Option<Lost>) {
        self.store.crash(lost);
        self.committing = None;
        self.publishing = None;
        let wall = self.wall();
        (self.relay, self.log) = open(
            &self.store,
            &self.config,
            self.now,
            self.clock_error,
            &mut self.rng,
        );
        self.relay.look_at_clock(self.now, wall);
    }

    /// The machine's clock is off by so many milliseconds from now on.
    pub const fn set_clock_error(&mut self, error: i64) {
        self.clock_error = error;
    }

    /// What the relay takes the date to be.
    pub fn date(&self) -> Time {
        self.relay.date(self.now)
    }

    /// Whether it doubts the machine's clock.
    pub const fn doubts_clock(&self) -> bool {
        self.relay.doubts_clock()
    }

    /// What it shows on new links.
    pub fn shown_token_key(&self) -> ShownTokenKey {
        self.relay.shown_token_key().read().clone()
    }

    fn wall(&self) -> Time {
        Time(self.now.0.saturating_add_signed(self.clock_error))
    }

    /// Everything that devices have published and nobody has claimed.
    pub fn key_packages(&self) -> Vec<Bytes> {
        let spaces = [KeySpace::KeyPackages, KeySpace::LastResorts];
        let records = self.store.records();
        records
            .into_iter()
            .filter(|(space, ..)| spaces.contains(space))
            .map(|(_, _, value)| value)
            .collect()
    }

    /// Writes into the log that an address is the account's which has another address:
    /// what only a relay that lies does.
    pub fn bind_in_log(&mut self, address: &str, like: &str) {
        let [address, like] = [address, like].map(|text| Address::parse(text).unwrap());
        let found = self.log.look_up(&like, 0).unwrap();
        let roster = Roster::verify(&found.roster).unwrap();
        let entry = Entry::new(&roster, pb::Verification::EmailCode, self.now);
        let publication = Publication {
            changes: vec![(address, entry)],
            writes: Vec::new(),
        };
        self.log
            .publish(self.now, &mut self.rng, publication)
            .unwrap();
    }

    /// A copy of its key log, signed with the same keys, that goes its own way; and
    /// randomness for it.
    pub fn fork_log(&mut self) -> (KeyLog<MemoryStore>, ChaCha20Rng) {
        let mut rng = ChaCha20Rng::seed_from_u64(77);
        let store = Arc::new(self.store.copy());
        let log = KeyLog::open(store, log_keys(), vec![auditor_id()], self.now, &mut rng).unwrap();
        (log, rng)
    }

    /// The auditor whom its operator named looks at its log, and co-signs its newest head.
    pub fn co_sign(&mut self) {
        let newest = self.log.newest();
        let signed = CoSigned::sign(&mut self.rng, &auditor(), &newest, self.now);
        self.log.add_cosignature(&signed).unwrap();
    }

    /// Its key log.
    pub const fn log(&self) -> &KeyLog<RelayStore> {
        &self.log
    }

    /// A copy of its disk.
    pub fn backup(&self) -> MemoryStore {
        self.store.copy()
    }

    /// The process ends and is started again on a copy of its disk. Links are the world's
    /// to cut.
    pub fn restore(&mut self, backup: &MemoryStore) {
        self.store = RelayStore::Memory(backup.copy());
        self.crash();
    }

    /// How many blobs are there.
    pub fn blobs(&self) -> usize {
        let records = self.store.records();
        let blobs = records
            .iter()
            .filter(|(space, ..)| *space == KeySpace::Blobs);
        blobs.count()
    }

    /// The disk is full from now on, or has room again.
    pub fn set_full(&mut self, full: bool) {
        self.store.set_full(full);
    }

    /// Calls of its disk fail by chance from now on, where it is on one.
    pub fn set_disk_fails(&mut self, chances: Chances) {
        self.store.set_chances(chances);
    }

    /// No mail server takes a code from now on, or they do again.
    pub fn set_mail_fails(&mut self, fails: bool) {
        self.mail_fails = fails;
    }

    /// Its log's head is not signed anew any more, or is again.
    pub fn set_log_stands_still(&mut self, stands_still: bool) {
        self.log_stands_still = stands_still;
    }

    fn begin_commit(&mut self) {
        if self.committing.is_none()
            && let Some(batch) = self.relay.take_batch(self.now)
        {
            self.committing = Some((self.now.after(COMMIT), batch));
        }
        if self.publishing.is_none()
            && let Some(publication) = self.relay.take_publication(self.now)
        {
            self.publishing = Some((self.now.after(COMMIT), publication));
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
            Effect::Prove {
                link,
                request,
                question,
            } => RelayEffect::Send(
                LinkId(link.0),
                pb::RelayFrame {
                    request,
                    body: Some(self.log.answer(&question)),
                },
            ),
            Effect::SendCode { address, code, .. } => {
                RelayEffect::Code(address.canonical().to_owned(), code)
            }
            Effect::SendSms(submission) => {
                self.submissions.push(*submission);
                RelayEffect::Nothing
            }
            Effect::AnswerSms { ticket, verdict } => {
                self.verdicts.push((ticket, verdict));
                RelayEffect::Nothing
            }
        });
        if effect.is_none() {
            self.begin_commit();
        }
        effect
    }

    fn wakes_at(&mut self) -> Option<Time> {
        let commit = match &self.committing {
            Some((at, _)) => Some(*at),
            None => self.relay.next_write(),
        };
        let publish = match &self.publishing {
            Some((at, _)) => Some(*at),
            None => self.relay.next_publication(self.now),
        };
        [commit, publish].into_iter().flatten().min()
    }

    fn woken(&mut self, now: Time) {
        self.now = now;
        if let Some((_, batch)) = self.committing.take_if(|(at, _)| *at <= now) {
            match self.store.commit(batch.into_writes()) {
                Ok(()) => self.relay.handle_batch_written(),
                Err(error) => self.relay.handle_batch_failed(&error),
            }
        }
        if let Some((_, publication)) = self.publishing.take_if(|(at, _)| *at <= now) {
            let date = self.relay.date(now);
            match self.log.publish(date, &mut self.rng, publication) {
                Ok(_) => self.relay.publication_written(),
                Err(_) => self.relay.publication_failed(),
            }
        }
        self.begin_commit();
    }

    fn tick(&mut self, now: Time) {
        self.now = now;
        // What fails of it is done again.
        let _ = self.store.maintain(now.0);
        self.relay.look_at_clock(now, self.wall());
        self.relay.tick(now);
        if !self.log_stands_still && !self.relay.doubts_clock() {
            // A full disk takes none; then it is tried again.
            let _ = self.log.refresh(self.relay.date(now), &mut self.rng);
        }
    }

    fn posts(&self) -> u64 {
        self.relay.counts().posts
    }

    fn waiting(&self) -> usize {
        let spaces = [KeySpace::Entries, KeySpace::Posts, KeySpace::Holders];
        let counts = spaces.map(|space| self.store.count(space).unwrap());
        usize::try_from(counts.iter().sum::<u64>()).unwrap()
    }
}

fn open(
    store: &RelayStore,
    config: &Config,
    now: Time,
    clock_error: i64,
    rng: &mut ChaCha20Rng,
) -> (Relay<RelayStore>, KeyLog<RelayStore>) {
    let secrets = Secrets {
        token_seed: [5; 32],
        address_key: [6; 32],
    };
    let log = KeyLog::open(
        Arc::new(store.clone()),
        log_keys(),
        vec![auditor_id()],
        Time(now.0.saturating_add_signed(clock_error)),
        rng,
    )
    .unwrap();
    let relay = Relay::open(
        Arc::new(store.clone()),
        config.clone(),
        secrets,
        log.identity().clone(),
    )
    .unwrap();
    (relay, log)
}

/// The keys of every simulated relay's log.
pub fn log_keys() -> LogKeys {
    let tls = p256::ecdsa::SigningKey::from_slice(&[7; 32]).unwrap();
    let spki = p256::PublicKey::from(tls.verifying_key())
        .to_public_key_der()
        .unwrap();
    LogKeys::new(
        &[8; 32],
        &SigningSeed::from_bytes(&[9; 64]),
        &[6; 32],
        spki.as_bytes(),
        |message| {
            let signature: p256::ecdsa::Signature = tls.sign(message);
            Ok::<_, std::convert::Infallible>(signature.to_der().as_bytes().to_vec())
        },
    )
    .unwrap()
}

/// What clients pin of every simulated relay: `sha256/…`.
pub fn pin() -> String {
    let pin = data_encoding::BASE64.encode(log_keys().identity().relay_pin());
    format!("sha256/{pin}")
}

fn auditor() -> HybridSigningKey {
    HybridSigningKey::from_seed(&SigningSeed::from_bytes(&[3; 64]))
}

/// The auditor whose co-signatures every relay of these worlds publishes.
pub fn auditor_id() -> AuditorId {
    AuditorId::of(auditor().public())
}
