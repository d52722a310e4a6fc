//! Limits on codes: how many are sent and to whom, so that strangers cannot keep a person from
//! getting theirs.
//!
//! A requester is a *source* (an IPv4 address, or the /64 of an IPv6 address) in a *network*
//! (a /24 or a /48, which one party is likely to control). Both have limits. An address also
//! has limits, for each requesting network and in total. When the limit of an address is
//! reached, nothing more is mailed, and still nobody is shut out: a person who asks then
//! registers with the code that was mailed last. That code is already in their mailbox, and no
//! stranger sees it. A new code is mailed at the latest when the previous one expires.
//!
//! One network never uses up what all networks share (mails, texts, places for waiting
//! registrations). It gets a part of what is *left* ([`SHARE`]), so something is always left
//! for a network that asks for the first time.
//!
//! **Elsewhere**: [`super`] checks codes; [`crate::texts::spending`] bounds the cost of texts by
//! country.
//!
//! **Always**: a refusal uses up no limit. A registration that waits for its code is never
//! dropped for another one. Memory is bounded, no matter who asks.

use std::{
    collections::{HashMap, VecDeque},
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use waxwing_protocol::{
    address::{Address, AddressKind},
    ids::{DeviceId, RegistrationId},
    limits,
    time::{Span, Time},
};

use crate::{
    config::Config,
    link::Source,
    rate_limit::{Bucket, Buckets, Rate},
    sweep::Done,
};

/// A network may have one part in so many of what is left.
const SHARE: u32 = 8;
/// As many may wait from one network in any case.
const WAIT_ANYWAY: usize = 10;
/// Registrations with a code that was sent for another one: in all, from one network, and how
/// many tries each has. Together they keep guessing hopeless: a code has eight digits.
const SHARED: usize = 32;
const SHARED_PER_NETWORK: usize = 2;
const SHARED_TRIES: u32 = 3;

/// The network that a source belongs to. (All connections from a shared address, whose
/// sources are made up, are one network.)
pub(super) fn network(source: Source) -> Source {
    match source {
        IpAddr::V4(address) => {
            let [a, b, c, _] = address.octets();
            Ipv4Addr::new(a, b, c, 0).into()
        }
        IpAddr::V6(address) => {
            let [a, b, c, ..] = address.segments();
            Ipv6Addr::new(a, b, c, 0, 0, 0, 0, 0).into()
        }
    }
}

/// A registration that waits for its code.
pub(super) struct PendingRegistration {
    pub(super) address: Address,
    pub(super) device: DeviceId,
    pub(super) code: String,
    pub(super) tries_left: u32,
    pub(super) expires_at: Time,
    network: Source,
    /// Kept until it expires even so: the disk may yet refuse what it led to.
    finished: bool,
}

/// The code that was sent to an address last.
struct LastCode {
    code: String,
    expires_at: Time,
    /// Networks with registrations that this code fits but for which it was not sent.
    shared: Vec<Source>,
}

/// How an address is to get its code.
pub(super) enum Way {
    /// A new one is sent.
    New,
    /// With the one that was sent last, which is good until then.
    Last { code: String, expires_at: Time },
}

/// Everything that is counted.
pub(crate) struct Codes {
    pending: HashMap<RegistrationId, PendingRegistration>,
    /// Those that wait, by network: who entered their code takes nobody's place.
    waiting: HashMap<Source, usize>,
    all_waiting: usize,
    most_waiting: usize,
    pub(crate) by_source: Buckets<Source>,
    pub(crate) by_network: Buckets<Source>,
    pub(crate) by_address: Buckets<String>,
    pub(crate) by_address_and_network: Buckets<(String, Source)>,
    pub(crate) texts_by_network: Buckets<Source>,
    mails: Bucket,
    mails_rate: Rate,
    sent: HashMap<String, LastCode>,
    /// What is forgotten when; some may be gone, some be there a little longer.
    by_age: VecDeque<(Time, Due)>,
}

/// What expires.
enum Due {
    Registration(RegistrationId),
    /// The code that was sent to this address last.
    Code(String),
}

/// Sources and addresses that are counted at a time.
const COUNTED: usize = 100_000;

impl Codes {
    pub(crate) fn new(config: &Config) -> Self {
        Self {
            pending: HashMap::new(),
            waiting: HashMap::new(),
            all_waiting: 0,
            most_waiting: config.pending_registrations,
            by_source: Buckets::new(config.codes_per_source, COUNTED),
            by_network: Buckets::new(config.codes_per_network, COUNTED),
            by_address: Buckets::new(config.codes_per_address_in_all, COUNTED),
            by_address_and_network: Buckets::new(config.codes_per_address, COUNTED),
            texts_by_network: Buckets::new(config.texted_codes_per_network, COUNTED),
            mails: Bucket::default(),
            mails_rate: config.mailed_codes,
            sent: HashMap::new(),
            by_age: VecDeque::new(),
        }
    }

    /// How somebody may have a code now; `texts_left` is how many may be texted there. Takes
    /// nothing: that is [`take`](Self::take)'s.
    pub(super) fn way(
        &mut self,
        now: Time,
        source: Source,
        address: &Address,
        texts_left: u32,
    ) -> Result<Way, Span> {
        let network = network(source);
        self.by_network.check(now, &network)?;
        // Where there are too many sources to count, their networks are.
        if !self.by_source.is_full_for(now, &source) {
            self.by_source.check(now, &source)?;
        }
        let free = self.most_waiting.saturating_sub(self.all_waiting);
        let share = (free / SHARE as usize).max(WAIT_ANYWAY);
        let waiting = self.waiting.get(&network).copied().unwrap_or_default();
        if free == 0 || waiting >= share {
            return Err(limits::CODE_LIFETIME);
        }
        match self.may_send(now, network, address, texts_left) {
            Ok(()) => Ok(Way::New),
            Err(wait) => self.last_code(now, network, address).ok_or(wait),
        }
    }

    /// Whether a code may be sent to an address, for somebody of this network.
    fn may_send(
        &mut self,
        now: Time,
        network: Source,
        address: &Address,
        texts_left: u32,
    ) -> Result<(), Span> {
        let canonical = address.canonical().to_owned();
        self.by_address.check(now, &canonical)?;
        self.by_address_and_network
            .check(now, &(canonical, network))?;
        let (used, left, wait) = match address.kind() {
            AddressKind::Phone => {
                self.texts_by_network.check(now, &network)?;
                let used = self.texts_by_network.used(now, &network);
                (used, texts_left, Span::minutes(10))
            }
            AddressKind::Email => {
                let used = self.by_network.used(now, &network);
                let left = self.mails.left(now, self.mails_rate);
                (used, left, self.mails_rate.every)
            }
        };
        if left > 0 && used < (left / SHARE).max(1) {
            Ok(())
        } else {
            Err(wait)
        }
    }

    /// The code that was sent to the address last, if one more may register with it.
    fn last_code(&self, now: Time, network: Source, address: &Address) -> Option<Way> {
        let sent = self.sent.get(address.canonical())?;
        let of_network = sent.shared.iter().filter(|one| **one == network).count();
        let may =
            sent.expires_at > now && sent.shared.len() < SHARED && of_network < SHARED_PER_NETWORK;
        may.then(|| Way::Last {
            code: sent.code.clone(),
            expires_at: sent.expires_at,
        })
    }

    /// Somebody has a code in this way: a registration waits.
    pub(super) fn take(
        &mut self,
        now: Time,
        source: Source,
        id: RegistrationId,
        (address, device): (Address, DeviceId),
        (code, way): (String, &Way),
    ) {
        let network = network(source);
        let canonical = address.canonical().to_owned();
        // All of them were looked at: none refuses.
        let _ = self.by_source.take(now, source);
        let _ = self.by_network.take(now, network);
        let expires_at = match way {
            Way::New => {
                let _ = self.by_address.take(now, canonical.clone());
                let _ = self
                    .by_address_and_network
                    .take(now, (canonical.clone(), network));
                match address.kind() {
                    AddressKind::Phone => {
                        let _ = self.texts_by_network.take(now, network);
                    }
                    AddressKind::Email => {
                        let _ = self.mails.take(now, self.mails_rate, 1);
                    }
                }
                let expires_at = now.after(limits::CODE_LIFETIME);
                let sent = LastCode {
                    code: code.clone(),
                    expires_at,
                    shared: Vec::new(),
                };
                self.by_age
                    .push_back((expires_at, Due::Code(canonical.clone())));
                self.sent.insert(canonical, sent);
                expires_at
            }
            Way::Last { expires_at, .. } => {
                if let Some(sent) = self.sent.get_mut(&canonical) {
                    sent.shared.push(network);
                }
                *expires_at
            }
        };
        let pending = PendingRegistration {
            address,
            device,
            code,
            tries_left: match way {
                Way::New => limits::CODE_TRIES,
                Way::Last { .. } => SHARED_TRIES,
            },
            expires_at,
            network,
            finished: false,
        };
        *self.waiting.entry(network).or_default() += 1;
        self.all_waiting += 1;
        self.by_age.push_back((expires_at, Due::Registration(id)));
        self.pending.insert(id, pending);
    }

    /// The registration with this id, as long as its code is good.
    pub(super) fn pending(
        &mut self,
        now: Time,
        id: RegistrationId,
    ) -> Option<&mut PendingRegistration> {
        self.pending
            .get_mut(&id)
            .filter(|pending| pending.expires_at > now)
    }

    /// The right code was entered, and what comes of it is on its way to the disk.
    pub(super) fn finish(&mut self, id: RegistrationId) {
        let Some(pending) = self.pending.get_mut(&id) else {
            return;
        };
        if !std::mem::replace(&mut pending.finished, true) {
            let network = pending.network;
            self.waits_no_more(network);
        }
        self.code_is_used(id);
    }

    /// Somebody who repeats it needs another code.
    pub(super) fn use_up(&mut self, id: RegistrationId) {
        self.code_is_used(id);
        self.give_up(id);
    }

    /// Too many wrong ones were entered for it.
    pub(super) fn give_up(&mut self, id: RegistrationId) {
        if let Some(pending) = self.pending.remove(&id)
            && !pending.finished
        {
            self.waits_no_more(pending.network);
        }
    }

    /// A code that was entered somewhere is good nowhere else.
    fn code_is_used(&mut self, id: RegistrationId) {
        let Some(used) = self.pending.get(&id) else {
            return;
        };
        let canonical = used.address.canonical();
        let Some(sent) = self
            .sent
            .get(canonical)
            .filter(|sent| sent.code == used.code)
        else {
            return;
        };
        let others: Vec<RegistrationId> = if sent.shared.is_empty() {
            Vec::new()
        } else {
            let same = self.pending.iter().filter(|(other, pending)| {
                **other != id
                    && !pending.finished
                    && pending.code == used.code
                    && pending.address == used.address
            });
            same.map(|(other, _)| *other).collect()
        };
        let canonical = canonical.to_owned();
        self.sent.remove(&canonical);
        for other in others {
            self.give_up(other);
        }
    }

    fn waits_no_more(&mut self, network: Source) {
        self.all_waiting = self.all_waiting.saturating_sub(1);
        if let Some(count) = self.waiting.get_mut(&network) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.waiting.remove(&network);
            }
        }
    }

    /// Forgets those that have expired, `most` of them.
    pub(crate) fn sweep(&mut self, now: Time, most: usize) -> Done {
        for touched in 0..most {
            let Some((at, due)) = self.by_age.front() else {
                return Done::all(touched);
            };
            if *at > now {
                return Done::all(touched);
            }
            match due {
                Due::Registration(id) => {
                    let id = *id;
                    self.give_up(id);
                }
                Due::Code(address) => {
                    let known = self.sent.get(address);
                    if known.is_some_and(|sent| sent.expires_at <= now) {
                        self.sent.remove(address);
                    }
                }
            }
            self.by_age.pop_front();
        }
        Done::some(most)
    }
}
