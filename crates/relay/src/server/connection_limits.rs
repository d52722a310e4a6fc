//! Limits on connections: one home must not use all slots, and strangers must not use those of
//! devices.
//!
//! | connections | at most |
//! | --- | --- |
//! | of one IPv4 address, or one /64 of IPv6 | the operator's number per source |
//! | of one /56, one /48 | twice and four times as many |
//! | of all shared addresses together | half of all slots |
//! | that are not logged in | half of all slots |
//! | that are not a link yet | [`ARRIVING`] |
//!
//! When one of the last three limits is reached, a connection that is not logged in is closed for
//! the newcomer: the one that has been idle for longest.
//!
//! **Elsewhere**: the relay's core limits what a link may do, [`super::memory`] what it may hold in
//! memory.
//!
//! **Always**: an address is in memory only while it has connections, and in no log. Nobody keeps a
//! newcomer out for longer than it takes to become the one that is closed.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::{IpAddr, Ipv6Addr};
use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use super::memory::{LinkRank, Memory};
use super::send_queue::{Ending, SendQueue};
use crate::least_recently_used::LeastRecentlyUsed;
use crate::rate_limit::SHARED;

/// Connections that are not links yet: in the TLS handshake, or asking over HTTP.
pub(super) const ARRIVING: usize = 1024;
/// Connections that are looked at in one go, so that others need not wait long.
const STEP: usize = 1024;

/// Connections, counted by source.
#[derive(Clone)]
pub(super) struct Sources(Arc<SourceTable>);

struct SourceTable {
    slots: Mutex<ConnectionSlots>,
    memory: Arc<Memory>,
    max: usize,
    max_per_source: usize,
    /// Addresses behind which there are many people.
    many_people: Vec<IpAddr>,
    gave_way: AtomicU64,
    refused: AtomicU64,
}

#[derive(Default)]
struct ConnectionSlots {
    by_id: BTreeMap<u64, Connection>,
    next: u64,
    by_network: HashMap<Network, usize>,
    arriving: BTreeSet<u64>,
    /// Links that are not logged in: from shared addresses, and others.
    shared_idle: LeastRecentlyUsed<u64>,
    idle: LeastRecentlyUsed<u64>,
    shared: usize,
    nameless: usize,
}

/// An address, or so many bits of one.
type Network = (IpAddr, u8);

struct Connection {
    source: IpAddr,
    is_shared: bool,
    stage: ConnectionStage,
    outgoing: Arc<SendQueue>,
    /// Where it stands in the order of the idle.
    ordered_at: u64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum ConnectionStage {
    Arriving,
    Nameless,
    LoggedIn,
}

/// One connection's slot; given back when it is dropped.
pub(super) struct ConnectionSlot {
    sources: Sources,
    id: u64,
    source: IpAddr,
    outgoing: Arc<SendQueue>,
}

impl Sources {
    pub(super) fn new(
        max: usize,
        max_per_source: usize,
        shared: &[IpAddr],
        memory: &Arc<Memory>,
    ) -> Self {
        Self(Arc::new(SourceTable {
            slots: Mutex::default(),
            memory: Arc::clone(memory),
            max,
            max_per_source,
            many_people: shared.iter().map(IpAddr::to_canonical).collect(),
            gave_way: AtomicU64::new(0),
            refused: AtomicU64::new(0),
        }))
    }

    /// A slot for a connection from `address`, while there is one.
    pub(super) fn admit(&self, address: IpAddr) -> Option<ConnectionSlot> {
        let mut slots = self.0.slots.lock();
        let address = address.to_canonical();
        let is_shared = self.0.many_people.contains(&address);
        if !self.has_room(&mut slots, address, is_shared) {
            self.0.refused.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        let id = slots.next;
        slots.next += 1;
        let source = if is_shared {
            slots.shared += 1;
            IpAddr::V6(Ipv6Addr::from_bits(SHARED | u128::from(id)))
        } else {
            for network in networks(address) {
                *slots.by_network.entry(network).or_default() += 1;
            }
            source(address)
        };
        let outgoing = SendQueue::new(id, &self.0.memory);
        slots.arriving.insert(id);
        slots.nameless += 1;
        slots.by_id.insert(
            id,
            Connection {
                source,
                is_shared,
                stage: ConnectionStage::Arriving,
                outgoing: Arc::clone(&outgoing),
                ordered_at: 0,
            },
        );
        Some(ConnectionSlot {
            sources: self.clone(),
            id,
            source,
            outgoing,
        })
    }

    /// Whether there is a slot, perhaps because another gave way.
    fn has_room(&self, slots: &mut ConnectionSlots, address: IpAddr, is_shared: bool) -> bool {
        let SourceTable { max, .. } = *self.0;
        let half = max.div_ceil(2);
        if is_shared {
            if slots.shared >= half && !self.give_way(slots, true) {
                return false;
            }
        } else {
            for (network, times) in networks(address).into_iter().zip(TIMES) {
                let most = self.0.max_per_source.saturating_mul(times);
                let count = slots.by_network.get(&network);
                if count.is_some_and(|count| *count >= most) {
                    return false;
                }
            }
        }
        if slots.arriving.len() >= ARRIVING.min(half)
            && let Some(oldest) = slots.arriving.pop_first()
        {
            self.end(slots, oldest);
        }
        let is_free = |slots: &ConnectionSlots| slots.by_id.len() < max && slots.nameless < half;
        // Looked at again: one that was about to give way may have logged in.
        is_free(slots) || self.give_way(slots, false) || is_free(slots)
    }

    /// Ends the connection without a login that has been idle for longest.
    fn give_way(&self, slots: &mut ConnectionSlots, only_shared: bool) -> bool {
        loop {
            let ConnectionSlots {
                by_id,
                idle,
                shared_idle,
                ..
            } = slots;
            let mut used = |id| {
                let connection: &mut Connection = by_id.get_mut(&id)?;
                connection.ordered_at = connection.outgoing.last_alive();
                Some(connection.ordered_at)
            };
            let mut oldest = shared_idle.pop(&mut used);
            if !only_shared {
                let other = idle.pop(&mut used);
                // Both are out of the order now; the newer one goes back.
                oldest = match (oldest, other) {
                    (Some(one), Some(other)) => {
                        let (one_at, other_at) = (used(one), used(other));
                        if one_at <= other_at {
                            idle.add(other_at.unwrap_or_default(), other);
                            Some(one)
                        } else {
                            shared_idle.add(one_at.unwrap_or_default(), one);
                            Some(other)
                        }
                    }
                    (one, other) => one.or(other),
                };
            }
            let oldest = oldest.or_else(|| {
                let mut arriving = slots.arriving.iter().copied();
                arriving
                    .find(|id| !only_shared || slots.by_id.get(id).is_some_and(|one| one.is_shared))
            });
            let Some(oldest) = oldest else { return false };
            let Some(connection) = slots.by_id.get(&oldest) else {
                continue;
            };
            if connection.outgoing.rank() == LinkRank::LoggedIn {
                // Its task has not said so yet.
                slots.set_stage(oldest, ConnectionStage::LoggedIn);
                continue;
            }
            self.end(slots, oldest);
            return true;
        }
    }

    fn end(&self, slots: &mut ConnectionSlots, id: u64) {
        if let Some(outgoing) = slots.remove(id) {
            outgoing.cut();
            self.0.gave_way.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Ends links on which nothing comes and links that take nothing; to be called once a
    /// second.
    pub(super) fn sweep(&self) {
        let mut from = Bound::Unbounded;
        loop {
            let now_ms = self.0.memory.now_ms();
            let slots = self.0.slots.lock();
            let mut last = None;
            for (id, connection) in slots.by_id.range((from, Bound::Unbounded)).take(STEP) {
                last = Some(*id);
                if connection.stage != ConnectionStage::Arriving {
                    connection.outgoing.check(now_ms);
                }
            }
            match last {
                Some(last) => from = Bound::Excluded(last),
                None => return,
            }
        }
    }

    /// Connections there are.
    pub(super) fn connections(&self) -> usize {
        self.0.slots.lock().by_id.len()
    }

    /// Connections that gave way to others so far.
    pub(super) fn gave_way(&self) -> u64 {
        self.0.gave_way.load(Ordering::Relaxed)
    }

    /// Connections for which there was no slot so far.
    pub(super) fn refused(&self) -> u64 {
        self.0.refused.load(Ordering::Relaxed)
    }
}

impl ConnectionSlots {
    fn set_stage(&mut self, id: u64, stage: ConnectionStage) {
        let Some(connection) = self.by_id.get_mut(&id) else {
            return;
        };
        let before = std::mem::replace(&mut connection.stage, stage);
        let (is_shared, ordered_at) = (connection.is_shared, connection.ordered_at);
        let idle = if is_shared {
            &mut self.shared_idle
        } else {
            &mut self.idle
        };
        match before {
            ConnectionStage::Arriving => {
                self.arriving.remove(&id);
            }
            ConnectionStage::Nameless => idle.remove(ordered_at, id),
            ConnectionStage::LoggedIn => {}
        }
        if stage == ConnectionStage::Nameless {
            connection.ordered_at = connection.outgoing.last_alive();
            idle.add(connection.ordered_at, id);
        }
        if stage == ConnectionStage::LoggedIn && before != ConnectionStage::LoggedIn {
            self.nameless -= 1;
        }
    }

    fn remove(&mut self, id: u64) -> Option<Arc<SendQueue>> {
        let connection = self.by_id.get(&id)?;
        if connection.stage != ConnectionStage::LoggedIn {
            // As if it logged in: it leaves the orders and the count of the nameless.
            self.set_stage(id, ConnectionStage::LoggedIn);
        }
        let connection = self.by_id.remove(&id)?;
        if connection.is_shared {
            self.shared -= 1;
        } else {
            for network in networks(connection.source) {
                if let Some(count) = self.by_network.get_mut(&network) {
                    *count -= 1;
                    if *count == 0 {
                        self.by_network.remove(&network);
                    }
                }
            }
        }
        Some(connection.outgoing)
    }
}

impl ConnectionSlot {
    /// Whom the connection counts for: an IPv4 address, the /64 of an IPv6 one, or nobody
    /// else where the address is shared.
    pub(super) fn source(&self) -> IpAddr {
        self.source
    }

    /// What waits for the connection.
    pub(super) fn outgoing(&self) -> &Arc<SendQueue> {
        &self.outgoing
    }

    /// The connection is a link now.
    pub(super) fn is_link(&self) {
        let mut slots = self.sources.0.slots.lock();
        slots.set_stage(self.id, ConnectionStage::Nameless);
    }

    /// The link is logged in now.
    pub(super) fn is_logged_in(&self) {
        let mut slots = self.sources.0.slots.lock();
        slots.set_stage(self.id, ConnectionStage::LoggedIn);
    }
}

impl Drop for ConnectionSlot {
    fn drop(&mut self) {
        self.sources.0.slots.lock().remove(self.id);
        self.outgoing.end(Ending::Drop);
    }
}

/// How many times as many connections a network may have as one source.
const TIMES: [usize; 3] = [1, 2, 4];

/// What an address is counted in. A home has a whole /64 of IPv6, often a /56 and sometimes
/// a /48.
fn networks(address: IpAddr) -> smallvec::SmallVec<[Network; 3]> {
    match address.to_canonical() {
        IpAddr::V4(_) => smallvec::smallvec![(address, 32)],
        IpAddr::V6(address) => [64, 56, 48]
            .into_iter()
            .map(|bits| {
                let mask = u128::MAX << (128 - u32::from(bits));
                let prefix = Ipv6Addr::from_bits(address.to_bits() & mask);
                (IpAddr::V6(prefix), bits)
            })
            .collect(),
    }
}

fn source(address: IpAddr) -> IpAddr {
    networks(address)
        .first()
        .map_or(address, |(source, _)| *source)
}

#[cfg(test)]
mod tests {
    use std::task::{Context, Poll, Waker};
    use std::time::Duration;

    use super::*;

    fn sources(max: usize, max_per_source: usize, shared: &[IpAddr]) -> Sources {
        Sources::new(max, max_per_source, shared, &Memory::new(1 << 20))
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    /// The nth address of the documentation's IPv6 prefix, each in a /48 of its own.
    fn elsewhere(n: u16) -> IpAddr {
        Ipv6Addr::new(0x2001, 0xdb8, n, 0, 0, 0, 0, 1).into()
    }

    fn link(sources: &Sources, address: IpAddr) -> ConnectionSlot {
        let slot = sources.admit(address).unwrap();
        slot.is_link();
        slot
    }

    fn device(sources: &Sources, address: IpAddr) -> ConnectionSlot {
        let slot = link(sources, address);
        slot.outgoing().has_shown(LinkRank::LoggedIn);
        slot.is_logged_in();
        slot
    }

    fn is_there(slot: &ConnectionSlot) -> bool {
        let context = Context::from_waker(Waker::noop());
        matches!(slot.outgoing().poll_cut(&context), Poll::Pending)
    }

    async fn pass(milliseconds: u64) {
        tokio::time::advance(Duration::from_millis(milliseconds)).await;
    }

    #[test]
    fn one_source_cannot_take_all_slots() {
        let sources = sources(10, 2, &[]);
        let (a, b) = (ip("192.0.2.1"), ip("192.0.2.2"));
        let first = sources.admit(a);
        let second = sources.admit(a);
        assert!(first.is_some() && second.is_some());
        assert!(sources.admit(a).is_none());
        assert!(sources.admit(b).is_some());
        drop(first);
        assert!(sources.admit(a).is_some());
        assert_eq!(sources.refused(), 1);
    }

    #[test]
    fn a_home_with_a_whole_ipv6_network_has_only_a_few_sources() {
        for (bits, most) in [(64, 10), (56, 20), (48, 40)] {
            let sources = sources(50_000, 10, &[]);
            let base = ip("2001:db8:1::");
            let IpAddr::V6(base) = base else { panic!() };
            let slots: Vec<ConnectionSlot> = (0..1_000_u128)
                .filter_map(|n| {
                    let address = base.to_bits() | n << (128 - bits - 14).max(0);
                    let address = if bits == 64 {
                        base.to_bits() | n
                    } else {
                        address
                    };
                    sources.admit(Ipv6Addr::from_bits(address).into())
                })
                .collect();
            assert!(slots.len() <= most, "/{bits}: {}", slots.len());
            let other = sources.admit(ip("2001:db8:2::1"));
            assert!(other.is_some(), "others do not notice");
        }
    }

    #[test]
    fn a_whole_ipv6_subnet_is_one_source_and_a_mapped_ipv4_is_ipv4() {
        let sources = sources(10, 1, &[]);
        let _slot = sources.admit(ip("2001:db8::1")).unwrap();
        assert!(sources.admit(ip("2001:db8::2")).is_none());
        assert!(sources.admit(ip("2001:db8:0:1::1")).is_some());
        let _slot = sources.admit(ip("::ffff:192.0.2.1")).unwrap();
        assert!(sources.admit(ip("192.0.2.1")).is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn when_it_is_full_the_nameless_link_idle_for_longest_gives_way() {
        let sources = sources(8, 10, &[]);
        let mut links = Vec::new();
        for n in 0..4 {
            links.push(link(&sources, elsewhere(n)));
            pass(10).await;
        }
        links[0].outgoing().alive();
        pass(10).await;
        let newcomer = sources.admit(elsewhere(9)).unwrap();
        let there: Vec<bool> = links.iter().map(is_there).collect();
        assert_eq!(there, [true, false, true, true]);
        assert!(is_there(&newcomer));
        assert_eq!((sources.connections(), sources.gave_way()), (4, 1));
        // Its task notices later, and gives nothing back twice.
        drop(links.remove(1));
        assert_eq!(sources.connections(), 4);
    }

    #[tokio::test(start_paused = true)]
    async fn strangers_cannot_take_the_places_of_devices() {
        let sources = sources(100, 10, &[]);
        let devices: Vec<ConnectionSlot> =
            (0..40).map(|n| device(&sources, elsewhere(n))).collect();
        let mut strangers = Vec::new();
        for n in 100..400 {
            pass(1).await;
            strangers.push(link(&sources, elsewhere(n)));
        }
        assert!(devices.iter().all(is_there));
        assert_eq!(strangers.iter().filter(|slot| is_there(slot)).count(), 50);
        assert_eq!(sources.connections(), 90);
        let another = device(&sources, elsewhere(1000));
        pass(1).await;
        for n in 400..600 {
            strangers.push(link(&sources, elsewhere(n)));
        }
        assert!(is_there(&another));
    }

    #[test]
    fn handshakes_that_are_not_finished_give_way_to_newer_ones() {
        let sources = sources(50_000, 50_000, &[]);
        let first = sources.admit(elsewhere(1)).unwrap();
        let links: Vec<ConnectionSlot> = (0..100).map(|n| link(&sources, elsewhere(n))).collect();
        let arriving: Vec<ConnectionSlot> = (0..ARRIVING)
            .map(|_| sources.admit(elsewhere(2)).unwrap())
            .collect();
        assert!(!is_there(&first));
        assert!(arriving.iter().all(is_there) && links.iter().all(is_there));
        assert_eq!(sources.connections(), ARRIVING + 100);
    }

    #[tokio::test(start_paused = true)]
    async fn shared_addresses_have_half_of_the_places_in_common() {
        let proxy = ip("192.0.2.1");
        let sources = sources(8, 1, &[proxy]);
        let mut shared = Vec::new();
        for _ in 0..4 {
            shared.push(device(&sources, proxy));
            pass(1).await;
        }
        assert_ne!(shared[0].source(), shared[1].source());
        assert!(sources.admit(ip("::ffff:192.0.2.1")).is_none());
        shared.truncate(3);
        let nameless = link(&sources, proxy);
        pass(1).await;
        let newcomer = sources.admit(proxy);
        assert!(newcomer.is_some() && !is_there(&nameless));
        let others: Vec<_> = (0..4).filter_map(|n| sources.admit(elsewhere(n))).collect();
        assert_eq!(others.len(), 4);
    }

    #[test]
    fn a_link_that_has_just_logged_in_does_not_give_way() {
        let sources = sources(2, 10, &[]);
        let slot = link(&sources, elsewhere(1));
        slot.outgoing().has_shown(LinkRank::LoggedIn);
        assert!(sources.admit(elsewhere(2)).is_some());
        assert!(is_there(&slot));
    }

    #[test]
    fn nothing_is_remembered_of_a_source_that_left() {
        let sources = sources(10, 10, &[ip("192.0.2.9")]);
        drop(sources.admit(ip("192.0.2.1")));
        drop(link(&sources, ip("2001:db8::1")));
        drop(device(&sources, ip("192.0.2.9")));
        assert_eq!(sources.connections(), 0);
        let slots = sources.0.slots.lock();
        assert!(slots.by_network.is_empty() && slots.arriving.is_empty());
        assert_eq!((slots.nameless, slots.shared), (0, 0));
        assert_eq!(slots.idle.len() + slots.shared_idle.len(), 0);
    }
}
