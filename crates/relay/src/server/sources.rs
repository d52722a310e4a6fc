//! How many connections each source has: one host must not take all of them.
//!
//! **Elsewhere**: what a link may do is bounded by the relay's core.
//!
//! **Always**: an address is in memory only while it has connections, and in no log.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use parking_lot::Mutex;

/// The discard prefix (RFC 6666): no client comes from there.
const NOBODY: u128 = 0x0100 << 112;

/// Connections, counted by source.
#[derive(Clone)]
pub(super) struct Sources {
    counts: Arc<Mutex<Counts>>,
    max: usize,
    max_per_source: usize,
    /// Addresses behind which there are many people.
    shared: Arc<[IpAddr]>,
}

#[derive(Default)]
struct Counts {
    all: usize,
    /// Connections from shared addresses so far.
    shared: u64,
    by_source: HashMap<IpAddr, usize>,
}

/// One connection's place; given back when it is dropped.
pub(super) struct Place {
    sources: Sources,
    source: IpAddr,
}

impl Sources {
    /// Each connection from one of the `shared` addresses counts as a source of its own.
    pub(super) fn new(max: usize, max_per_source: usize, shared: &[IpAddr]) -> Self {
        Self {
            counts: Arc::default(),
            max,
            max_per_source,
            shared: shared.iter().map(IpAddr::to_canonical).collect(),
        }
    }

    /// A place for a connection from `address`, while there is one.
    pub(super) fn admit(&self, address: IpAddr) -> Option<Place> {
        let mut counts = self.counts.lock();
        if counts.all >= self.max {
            return None;
        }
        let source = if self.shared.contains(&address.to_canonical()) {
            counts.shared += 1;
            IpAddr::V6(Ipv6Addr::from_bits(NOBODY | u128::from(counts.shared)))
        } else {
            source(address)
        };
        let count = counts.by_source.entry(source).or_default();
        if *count >= self.max_per_source {
            return None;
        }
        *count += 1;
        counts.all += 1;
        Some(Place {
            sources: self.clone(),
            source,
        })
    }

    /// Connections there are.
    pub(super) fn connections(&self) -> usize {
        self.counts.lock().all
    }
}

impl Place {
    /// Whom the connection counts for: an IPv4 address, the /64 of an IPv6 one, or nobody
    /// else where the address is shared.
    pub(super) fn source(&self) -> IpAddr {
        self.source
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut counts = self.sources.counts.lock();
        counts.all -= 1;
        if let Some(count) = counts.by_source.get_mut(&self.source) {
            *count -= 1;
            if *count == 0 {
                counts.by_source.remove(&self.source);
            }
        }
    }
}

/// A subscriber has a whole /64 of IPv6: that is one source.
fn source(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let prefix = address.to_bits() & !u128::from(u64::MAX);
            IpAddr::V6(Ipv6Addr::from_bits(prefix))
        }
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_source_cannot_take_all_places() {
        let sources = Sources::new(3, 2, &[]);
        let a: IpAddr = "192.0.2.1".parse().unwrap();
        let b: IpAddr = "192.0.2.2".parse().unwrap();
        let first = sources.admit(a);
        let second = sources.admit(a);
        assert!(first.is_some() && second.is_some());
        assert!(sources.admit(a).is_none());
        let third = sources.admit(b);
        assert!(third.is_some());
        assert!(sources.admit(b).is_none(), "the relay is full");
        drop(first);
        assert!(sources.admit(a).is_some());
    }

    #[test]
    fn a_whole_ipv6_subnet_is_one_source_and_a_mapped_ipv4_is_ipv4() {
        let sources = Sources::new(10, 1, &[]);
        let _place = sources.admit("2001:db8::1".parse().unwrap()).unwrap();
        assert!(sources.admit("2001:db8::2".parse().unwrap()).is_none());
        assert!(sources.admit("2001:db8:0:1::1".parse().unwrap()).is_some());
        let _place = sources.admit("::ffff:192.0.2.1".parse().unwrap()).unwrap();
        assert!(sources.admit("192.0.2.1".parse().unwrap()).is_none());
    }

    #[test]
    fn connections_from_a_shared_address_are_told_apart_within_the_limit_on_all() {
        let proxy: IpAddr = "192.0.2.1".parse().unwrap();
        let sources = Sources::new(2, 1, &[proxy]);
        let first = sources.admit(proxy).unwrap();
        let second = sources.admit("::ffff:192.0.2.1".parse().unwrap()).unwrap();
        assert_ne!(first.source(), second.source());
        assert!(sources.admit(proxy).is_none());
    }

    #[test]
    fn nothing_is_remembered_of_a_source_that_left() {
        let sources = Sources::new(10, 10, &[]);
        drop(sources.admit("192.0.2.1".parse().unwrap()));
        assert_eq!(sources.connections(), 0);
        assert!(sources.counts.lock().by_source.is_empty());
    }
}
