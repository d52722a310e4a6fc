//! Which entries the log need not keep.
//!
//! **Elsewhere**: nodes report how far they are ([`crate::log::Log::report`]); the one that leads
//! trims.
//!
//! **Always**: what a node that was heard of within [`AWAY_MS`] does not have on disk is kept.

use crate::log::NodeReport;

/// A node that was not heard of for so long is out: the log does not wait for it, and it comes
/// back with a copy of another node's store.
pub const AWAY_MS: u64 = 60 * 60 * 1000;
/// So many of the latest entries are kept in any case.
const KEPT: u64 = 1_000;

/// The number below which entries may go, where the leader has `own` on disk.
pub fn below(nodes: &[NodeReport], own: u64) -> u64 {
    let here = nodes.iter().filter(|node| node.age_ms < AWAY_MS);
    let least = here.map(|node| node.number).fold(own, u64::min);
    least.min(own.saturating_sub(KEPT))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::Holder;

    fn node(number: u64, age_ms: u64) -> NodeReport {
        NodeReport {
            holder: Holder {
                node: String::new(),
                incarnation: 0,
            },
            number,
            age_ms,
        }
    }

    #[test]
    fn what_a_node_still_needs_is_kept_until_it_is_out() {
        assert_eq!(below(&[], 5_000), 4_000);
        assert_eq!(below(&[], 10), 0);
        assert_eq!(below(&[node(5_000, 0), node(100, AWAY_MS - 1)], 5_000), 100);
        assert_eq!(below(&[node(5_000, 0), node(100, AWAY_MS)], 5_000), 4_000);
    }
}
