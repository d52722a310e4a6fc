//! Rings: files that import each other in a circle, directly or by way of others.
//!
//! **Always**: every file is in one ring at most (Tarjan's strongly connected components,
//! in linear time), and a file alone is none.

use std::collections::{BTreeMap, BTreeSet};

/// The rings of a graph: each at least two nodes, sorted; the largest ring first.
pub fn rings(arrows: impl IntoIterator<Item = (usize, usize)>) -> Vec<Vec<usize>> {
    let mut search = Search::default();
    let mut nodes = BTreeSet::new();
    for (from, to) in arrows {
        search.arrows.entry(from).or_default().push(to);
        nodes.extend([from, to]);
    }
    for node in nodes {
        if !search.numbers.contains_key(&node) {
            search.visit(node);
        }
    }
    let mut rings = search.rings;
    rings.sort_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
    rings
}

#[derive(Default)]
struct Search {
    arrows: BTreeMap<usize, Vec<usize>>,
    /// In which order nodes were first seen.
    numbers: BTreeMap<usize, usize>,
    /// Nodes whose ring is not complete yet.
    open: Vec<usize>,
    rings: Vec<Vec<usize>>,
}

impl Search {
    /// Visits what can be reached from a node; returns the lowest number among the open
    /// nodes that it leads back to.
    fn visit(&mut self, node: usize) -> usize {
        let number = self.numbers.len();
        self.numbers.insert(node, number);
        self.open.push(node);
        let mut lowest = number;
        for next in self.arrows.get(&node).cloned().unwrap_or_default() {
            match self.numbers.get(&next) {
                None => lowest = lowest.min(self.visit(next)),
                Some(seen) if self.open.contains(&next) => lowest = lowest.min(*seen),
                Some(_) => {}
            }
        }
        if lowest == number
            && let Some(first) = self.open.iter().position(|open| *open == node)
        {
            let mut ring = self.open.split_off(first);
            if ring.len() > 1 {
                ring.sort_unstable();
                self.rings.push(ring);
            }
        }
        lowest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rings_are_found_and_chains_are_not() {
        let arrows = [
            (0, 1),
            (1, 2),
            (2, 0),
            (2, 3),
            (3, 4),
            (4, 5),
            (5, 4),
            (6, 0),
        ];
        assert_eq!(rings(arrows), [vec![0, 1, 2], vec![4, 5]]);
        assert!(rings([(0, 1), (0, 2), (1, 3), (2, 3)]).is_empty());
    }

    #[test]
    fn two_rings_that_share_a_node_are_one() {
        let arrows = [(0, 1), (1, 0), (1, 2), (2, 1)];
        assert_eq!(rings(arrows), [vec![0, 1, 2]]);
    }
}
