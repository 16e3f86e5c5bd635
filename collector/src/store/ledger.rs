//! Which batches are stored, so that a resend is answered and not stored again.
//!
//! Per producer, the numbers seen are kept as runs: a producer numbers its batches 1, 2, 3 … and resends what was not
//! answered, so there are few. Where a bound is reached the oldest is forgotten: a batch stored twice is found by
//! (producer, seq) in the table, a batch wrongly called a duplicate would be lost.

use std::collections::HashMap;
use std::sync::Arc;

use tollgate_record::runs::Runs;

/// Runs kept for one producer; the lowest is forgotten past that.
pub const RUNS_MAX: usize = 256;
/// Producers kept. Past that the one that was silent the longest is forgotten: of the same node, if it has any.
pub const PRODUCERS_MAX: usize = 65_536;
/// Producers kept for one node. A node that keeps naming new ones displaces its own, and no other node's.
pub const NODE_PRODUCERS_MAX: usize = 4096;

/// What is stored of one producer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Seen {
    pub batches: Runs<u64>,
    /// When a batch of it was last stored, in microseconds since the Unix epoch.
    pub last_us: i64,
}

impl Seen {
    /// Adds a batch. Past [`RUNS_MAX`] runs the lowest is forgotten.
    fn insert(&mut self, batch_seq: u64) {
        if self.batches.insert(batch_seq) && self.batches.runs().len() > RUNS_MAX {
            self.batches.remove_first();
        }
    }
}

/// All producers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Ledger {
    pub producers: HashMap<Arc<str>, Seen>,
    /// Frames before this position are in.
    pub next_position: u64,
}

impl Ledger {
    pub(crate) fn contains(&self, producer: &str, batch_seq: u64) -> bool {
        self.producers.get(producer).is_some_and(|seen| seen.batches.contains(batch_seq))
    }

    /// Notes a stored frame. Frames come in order of position.
    pub(crate) fn insert(&mut self, position: u64, producer: &Arc<str>, batch_seq: u64, received_us: i64) {
        if !self.producers.contains_key(producer) {
            self.make_room(producer);
        }
        let seen = self.producers.entry(Arc::clone(producer)).or_default();
        seen.insert(batch_seq);
        seen.last_us = seen.last_us.max(received_us);
        self.next_position = position + 1;
    }

    /// Forgets a producer if another one would be too many.
    fn make_room(&mut self, producer: &str) {
        let is_full = self.producers.len() >= PRODUCERS_MAX;
        if !is_full && self.producers.len() < NODE_PRODUCERS_MAX {
            return;
        }
        let node = node_of(producer);
        let siblings = self.producers.iter().filter(|(name, _)| node_of(name) == node);
        if !is_full && siblings.clone().count() < NODE_PRODUCERS_MAX {
            return;
        }
        let silent = siblings.min_by_key(|(_, seen)| seen.last_us);
        let silent = silent.or_else(|| self.producers.iter().min_by_key(|(_, seen)| seen.last_us));
        let silent = silent.map(|(name, _)| Arc::clone(name));
        silent.and_then(|name| self.producers.remove(&name));
    }

    /// Forgets producers that were silent since before `before_us`.
    pub(crate) fn expire(&mut self, before_us: i64) {
        self.producers.retain(|_, seen| seen.last_us >= before_us);
    }
}

/// The node in a producer's name, `node/start/worker`.
fn node_of(producer: &str) -> &str {
    producer.rsplitn(3, '/').last().unwrap_or(producer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn past_its_bound_the_lowest_run_is_forgotten() {
        let mut seen = Seen::default();
        for number in 0..=RUNS_MAX as u64 {
            seen.insert(number * 2);
        }
        assert_eq!(seen.batches.runs().len(), RUNS_MAX);
        assert!(!seen.batches.contains(0) && seen.batches.contains(2));
    }

    #[test]
    fn a_node_with_too_many_producers_forgets_its_own() {
        let mut ledger = Ledger::default();
        ledger.insert(0, &Arc::from("quiet/1/0"), 1, 0);
        for start in 0..=NODE_PRODUCERS_MAX as u64 {
            ledger.insert(start + 1, &Arc::from(format!("busy/{start:x}/0")), 1, start as i64 + 1);
        }
        assert_eq!(ledger.producers.len(), NODE_PRODUCERS_MAX + 1);
        assert!(ledger.contains("quiet/1/0", 1) && !ledger.contains("busy/0/0", 1) && ledger.contains("busy/1/0", 1));
    }

    #[test]
    fn silent_producers_are_forgotten() {
        let mut ledger = Ledger::default();
        ledger.insert(0, &Arc::from("a"), 1, 10);
        ledger.insert(1, &Arc::from("b"), 1, 20);
        ledger.expire(15);
        assert!(!ledger.contains("a", 1) && ledger.contains("b", 1));
        assert_eq!(ledger.next_position, 2);
    }
}
