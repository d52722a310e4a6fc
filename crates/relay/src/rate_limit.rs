//! Token buckets: how often somebody may do something.
//!
//! **Elsewhere**: the rates themselves are in [`crate::config::Config`].
//!
//! **Always**: memory is bounded, no matter who asks. When the table is full, it drops full
//! buckets first; if there are none, it refuses newcomers for a while. No request, and no
//! sweep, looks through the whole table at once.

use std::{
    collections::{HashMap, VecDeque},
    hash::Hash,
    net::{IpAddr, Ipv6Addr},
};

use smallvec::{SmallVec, smallvec};

use waxwing_protocol::time::{Span, Time};

/// So many at once, and one more each `every`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// How many at once.
    pub burst: u32,
    /// How long one takes to come back.
    pub every: Span,
}

/// Buckets that are looked at for a newcomer's sake when the table is full.
const TRIED_FOR_ONE: usize = 16;

/// One bucket: the time at which it will be full again.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Bucket {
    full_at: Time,
}

impl Bucket {
    /// Takes `count`, or tells how long until that is possible.
    pub(crate) fn take(&mut self, now: Time, rate: Rate, count: u32) -> Result<(), Span> {
        let capacity = rate.every.0.saturating_mul(u64::from(rate.burst));
        let cost = rate.every.0.saturating_mul(u64::from(count));
        // A clock that was set back must not lock anyone out for longer than a full refill.
        let missing = self.full_at.since(now).0.min(capacity);
        let after = missing.saturating_add(cost);
        if after > capacity {
            return Err(Span(after - capacity));
        }
        self.full_at = now.after(Span(after));
        Ok(())
    }

    /// How many could be taken now.
    pub(crate) fn left(self, now: Time, rate: Rate) -> u32 {
        let capacity = rate.every.0.saturating_mul(u64::from(rate.burst));
        let missing = self.full_at.since(now).0.min(capacity);
        let left = (capacity - missing).checked_div(rate.every.0);
        left.map_or(rate.burst, |left| u32::try_from(left).unwrap_or(u32::MAX))
    }

    /// When it will be full again: all there is to keep of it.
    pub(crate) const fn full_at(self) -> Time {
        self.full_at
    }

    /// As it was kept.
    pub(crate) const fn full_again_at(full_at: Time) -> Self {
        Self { full_at }
    }

    pub(crate) fn is_full(self, now: Time) -> bool {
        self.full_at <= now
    }
}

/// Buckets by key.
pub(crate) struct Buckets<K> {
    rate: Rate,
    most: usize,
    by_key: HashMap<K, Bucket>,
    /// The keys in the order in which the sweep looks at them; each once.
    order: VecDeque<K>,
}

impl<K: Hash + Eq + Clone> Buckets<K> {
    pub(crate) fn new(rate: Rate, most: usize) -> Self {
        Self {
            rate,
            most,
            by_key: HashMap::new(),
            order: VecDeque::new(),
        }
    }

    pub(crate) fn take(&mut self, now: Time, key: K) -> Result<(), Span> {
        self.take_many(now, key, 1)
    }

    /// Whether [`take`](Self::take) would give one now.
    pub(crate) fn check(&mut self, now: Time, key: &K) -> Result<(), Span> {
        if self.is_full_for(now, key) {
            return Err(self.rate.every);
        }
        let mut bucket = self.by_key.get(key).copied().unwrap_or_default();
        bucket.take(now, self.rate, 1)
    }

    /// Whether there is no place for one who is not counted yet.
    pub(crate) fn is_full_for(&mut self, now: Time, key: &K) -> bool {
        if self.by_key.len() < self.most || self.by_key.contains_key(key) {
            return false;
        }
        self.sweep(now, TRIED_FOR_ONE);
        self.by_key.len() >= self.most
    }

    /// How many somebody has taken lately, and has not got back yet.
    pub(crate) fn used(&self, now: Time, key: &K) -> u32 {
        let left = self
            .by_key
            .get(key)
            .map(|bucket| bucket.left(now, self.rate));
        left.map_or(0, |left| self.rate.burst.saturating_sub(left))
    }

    pub(crate) fn take_many(&mut self, now: Time, key: K, count: u32) -> Result<(), Span> {
        if !self.by_key.contains_key(&key) {
            if self.by_key.len() >= self.most {
                self.sweep(now, TRIED_FOR_ONE);
            }
            if self.by_key.len() >= self.most {
                return Err(self.rate.every);
            }
            self.order.push_back(key.clone());
        }
        self.by_key
            .entry(key)
            .or_default()
            .take(now, self.rate, count)
    }

    /// Forgets full buckets among the next `most`; gives how many were looked at.
    pub(crate) fn sweep(&mut self, now: Time, most: usize) -> usize {
        let looked_at = most.min(self.order.len());
        for key in self.order.drain(..looked_at).collect::<Vec<_>>() {
            let is_full = self.by_key.get(&key).is_none_or(|one| one.is_full(now));
            if is_full {
                self.by_key.remove(&key);
            } else {
                self.order.push_back(key);
            }
        }
        looked_at
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.order.len()
    }
}

/// Where sources are that share an address: the discard prefix (RFC 6666). No client comes
/// from there.
pub(crate) const SHARED: u128 = 0x0100 << 112;
/// How many times the rate of one source all of those have together.
const SHARED_TIMES: u32 = 50;

/// Buckets by source. The networks that a source is in have buckets too, so that a home with
/// a whole /56 or /48 of IPv6 has not as many sources as it likes; and so have all sources
/// together that share an address.
pub(crate) struct SourceBuckets {
    rate: Rate,
    most: usize,
    by_network: HashMap<(IpAddr, u8), Bucket>,
    /// The networks in the order in which the sweep looks at them; each once.
    order: VecDeque<(IpAddr, u8)>,
}

impl SourceBuckets {
    pub(crate) fn new(rate: Rate, most: usize) -> Self {
        Self {
            rate,
            most,
            by_network: HashMap::new(),
            order: VecDeque::new(),
        }
    }

    pub(crate) fn take(&mut self, now: Time, source: IpAddr) -> Result<(), Span> {
        self.take_many(now, source, 1)
    }

    pub(crate) fn take_many(&mut self, now: Time, source: IpAddr, count: u32) -> Result<(), Span> {
        let networks = networks(source);
        if self.by_network.len().saturating_add(networks.len()) > self.most {
            self.sweep(now, TRIED_FOR_ONE);
            let is_new = |(network, _): &_| !self.by_network.contains_key(network);
            let new = networks.iter().filter(|one| is_new(one)).count();
            if self.by_network.len().saturating_add(new) > self.most {
                return Err(self.rate.every);
            }
        }
        let mut taken: SmallVec<[_; 3]> = SmallVec::new();
        for (network, times) in networks {
            let mut bucket = self.by_network.get(&network).copied().unwrap_or_default();
            bucket.take(now, self.rate.times(times), count)?;
            taken.push((network, bucket));
        }
        for (network, bucket) in taken {
            if self.by_network.insert(network, bucket).is_none() {
                self.order.push_back(network);
            }
        }
        Ok(())
    }

    /// Forgets full buckets among the next `most`; gives how many were looked at.
    pub(crate) fn sweep(&mut self, now: Time, most: usize) -> usize {
        let looked_at = most.min(self.order.len());
        for network in self.order.drain(..looked_at).collect::<Vec<_>>() {
            let bucket = self.by_network.get(&network);
            if bucket.is_none_or(|one| one.is_full(now)) {
                self.by_network.remove(&network);
            } else {
                self.order.push_back(network);
            }
        }
        looked_at
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.order.len()
    }
}

impl Rate {
    /// So many in a day, spread over it.
    pub fn a_day(per_day: u32) -> Self {
        Self {
            burst: per_day,
            every: Span(Span::days(1).0 / u64::from(per_day.max(1))),
        }
    }

    /// So many times as much.
    fn times(self, times: u32) -> Self {
        Self {
            burst: self.burst.saturating_mul(times),
            every: Span((self.every.0 / u64::from(times)).max(1)),
        }
    }
}

/// The home that a source is likely to be in: what takes turns with others. Sources that share
/// an address are told apart.
pub(crate) fn home(source: IpAddr) -> IpAddr {
    match source {
        IpAddr::V6(address) if address.to_bits() >> 64 != SHARED >> 64 => {
            Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 72)).into()
        }
        other => other,
    }
}

/// The networks that a source counts in, and how many times as much each may as one source.
fn networks(source: IpAddr) -> SmallVec<[((IpAddr, u8), u32); 3]> {
    let IpAddr::V6(address) = source else {
        return smallvec![((source, 32), 1)];
    };
    let network = |bits: u8| {
        let mask = u128::MAX << (128 - u32::from(bits));
        (
            IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & mask)),
            bits,
        )
    };
    if address.to_bits() >> 64 == SHARED >> 64 {
        return smallvec![((source, 128), 1), (network(64), SHARED_TIMES)];
    }
    smallvec![(network(64), 1), (network(56), 2), (network(48), 4)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_home_with_many_networks_may_no_more_than_a_few_sources() {
        for (bits, most) in [(64, 3), (56, 6), (48, 12)] {
            let mut buckets = SourceBuckets::new(RATE, 1000);
            let base = 0x2001_0db8_0001_u128 << 80;
            let taken = (0..200_u128).filter(|n| {
                let network = ((n * 257) & ((1 << (64 - bits)) - 1)) << 64;
                let address = Ipv6Addr::from_bits(base | network);
                buckets.take(Time(0), address.into()).is_ok()
            });
            assert_eq!(taken.count(), most, "/{bits}");
            let elsewhere = Ipv6Addr::from_bits(0x2001_0db8_0002_u128 << 80);
            assert_eq!(buckets.take(Time(0), elsewhere.into()), Ok(()));
        }
    }

    #[test]
    fn sources_of_one_address_have_own_budgets_and_a_common_one() {
        let mut buckets = SourceBuckets::new(RATE, 1000);
        let source = |n: u128| IpAddr::V6(Ipv6Addr::from_bits(SHARED | n));
        for _ in 0..3 {
            assert_eq!(buckets.take(Time(0), source(1)), Ok(()));
        }
        assert!(buckets.take(Time(0), source(1)).is_err());
        let others = (2..500).filter(|n| buckets.take(Time(0), source(*n)).is_ok());
        assert_eq!(others.count(), 3 * 50 - 3);
        let elsewhere = IpAddr::from([192, 0, 2, 1]);
        assert_eq!(buckets.take(Time(0), elsewhere), Ok(()));
    }

    const RATE: Rate = Rate {
        burst: 3,
        every: Span::seconds(10),
    };

    #[test]
    fn a_burst_is_allowed_and_then_one_each_interval() {
        let mut bucket = Bucket::default();
        let now = Time(1_000_000);
        for _ in 0..3 {
            assert_eq!(bucket.take(now, RATE, 1), Ok(()));
        }
        assert_eq!(bucket.take(now, RATE, 1), Err(Span::seconds(10)));
        assert_eq!(bucket.take(now.after(Span::seconds(10)), RATE, 1), Ok(()));
        assert!(bucket.take(now.after(Span::seconds(10)), RATE, 1).is_err());
    }

    #[test]
    fn a_clock_that_is_set_back_locks_nobody_out() {
        let mut bucket = Bucket::default();
        bucket.take(Time(u64::MAX / 2), RATE, 3).unwrap();
        assert_eq!(bucket.take(Time(0), RATE, 1), Err(Span::seconds(10)));
    }

    #[test]
    fn a_sweep_looks_at_so_many_and_goes_on_where_it_stopped() {
        let mut buckets = Buckets::new(RATE, 1_000);
        for n in 0..100 {
            buckets.take(Time(0), n).unwrap();
        }
        let later = Time(Span::minutes(1).0);
        buckets.take_many(later, 5, 3).unwrap();
        for n in 0..9 {
            assert_eq!(buckets.sweep(later, 10), 10);
            assert_eq!(buckets.len(), 91 - n * 10);
        }
        while buckets.len() > 1 {
            buckets.sweep(later, 10);
        }
        assert_eq!(buckets.by_key.len(), 1, "the one that is in use stays");
        assert!(buckets.take(later, 5).is_err());
    }

    #[test]
    fn what_is_left_and_used_is_known_and_looking_takes_nothing() {
        let mut buckets = Buckets::new(RATE, 2);
        let now = Time(0);
        for _ in 0..10 {
            assert_eq!(buckets.check(now, &1), Ok(()));
        }
        buckets.take_many(now, 1, 2).unwrap();
        assert_eq!(buckets.used(now, &1), 2);
        assert_eq!(buckets.used(now, &2), 0);
        assert_eq!(buckets.used(now.after(Span::seconds(10)), &1), 1);
        buckets.take(now, 1).unwrap();
        assert_eq!(buckets.check(now, &1), Err(Span::seconds(10)));
        let mut bucket = Bucket::default();
        assert_eq!(bucket.left(now, RATE), 3);
        bucket.take(now, RATE, 3).unwrap();
        assert_eq!(bucket.left(now, RATE), 0);
    }

    #[test]
    fn a_full_table_refuses_newcomers_until_a_bucket_refills() {
        let mut buckets = Buckets::new(RATE, 2);
        let now = Time(0);
        buckets.take(now, 1).unwrap();
        buckets.take(now, 2).unwrap();
        assert!(buckets.take(now, 3).is_err());
        assert_eq!(buckets.take(now.after(Span::seconds(10)), 3), Ok(()));
    }
}
