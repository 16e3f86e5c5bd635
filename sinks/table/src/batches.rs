//! Which batches are in the table, whoever brought them there.
//!
//! A proxy that gets no answer from one collector posts the same batch to another. Both may have stored it, each in its own
//! journal, and each brings it to the table. (producer, batch_seq) is the identity of a batch, so every commit says in the
//! log which batches its files hold, as the tag [`TAG`] of its first file:
//! ```json
//!   {"gate-1/6441d2f3a7c00/0": [[1, 40], [42, 42]], "gate-2/6441d2f3a7c01/3": [[7, 9]]}
//! ```
//! A commit is a compare-and-swap on the log: whoever comes second finds the other's tag before its own commit can succeed,
//! and leaves those rows out. So no reader has to look for doubles. A compaction hands the tags of the files that it
//! replaces on to the new one, and checkpoints keep them.
//!
//! In memory a producer takes some 150 bytes and 16 more for each hole in its numbers, for as long as the table has files
//! with rows of it.

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::{Map, Value};

/// Key of the tag.
pub(crate) const TAG: &str = "tollgate.batches";

/// Batches, as inclusive runs of numbers of each producer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct BatchSet {
    /// Ascending runs that do not touch.
    producers: HashMap<Arc<str>, Vec<(u64, u64)>>,
}

impl BatchSet {
    pub(crate) fn is_empty(&self) -> bool {
        self.producers.is_empty()
    }

    pub(crate) fn contains(&self, producer: &str, batch_seq: u64) -> bool {
        let Some(runs) = self.producers.get(producer) else { return false };
        let after = runs.partition_point(|run| run.0 <= batch_seq);
        after > 0 && runs[after - 1].1 >= batch_seq
    }

    /// Whether it has a batch of `other`.
    pub(crate) fn meets(&self, other: &Self) -> bool {
        other.producers.iter().any(|(producer, theirs)| {
            let Some(ours) = self.producers.get(producer) else { return false };
            theirs.iter().any(|(first, last)| {
                let at = ours.partition_point(|run| run.1 < *first);
                ours.get(at).is_some_and(|run| run.0 <= *last)
            })
        })
    }

    /// Adds one batch; answers whether it is new.
    pub(crate) fn insert(&mut self, producer: &Arc<str>, batch_seq: u64) -> bool {
        let is_new = !self.contains(producer, batch_seq);
        if is_new {
            self.insert_run(producer, batch_seq, batch_seq);
        }
        is_new
    }

    fn insert_run(&mut self, producer: &Arc<str>, first: u64, last: u64) {
        let runs = self.producers.entry(Arc::clone(producer)).or_default();
        // All runs that overlap or touch the new one become one with it.
        let from = runs.partition_point(|run| run.1 < first.saturating_sub(1));
        let to = runs.partition_point(|run| run.0 <= last.saturating_add(1));
        let first = runs.get(from).filter(|_| from < to).map_or(first, |run| run.0.min(first));
        let last = to.checked_sub(1).filter(|at| *at >= from).map_or(last, |at| runs[at].1.max(last));
        runs.splice(from..to.max(from), [(first, last)]);
    }

    pub(crate) fn extend(&mut self, other: &Self) {
        for (producer, runs) in &other.producers {
            for (first, last) in runs {
                self.insert_run(producer, *first, *last);
            }
        }
    }

    /// The tag's text.
    pub(crate) fn to_tag(&self) -> String {
        let run = |run: &(u64, u64)| Value::from(vec![run.0, run.1]);
        let producer = |(name, runs): (&Arc<str>, &Vec<(u64, u64)>)| {
            (name.to_string(), Value::Array(runs.iter().map(run).collect()))
        };
        Value::Object(self.producers.iter().map(producer).collect::<Map<_, _>>()).to_string()
    }

    /// What a tag says. What is malformed in it is unknown: those batches count as not stored.
    pub(crate) fn from_tag(text: &str) -> Self {
        let mut set = Self::default();
        let Ok(Value::Object(producers)) = serde_json::from_str(text) else { return set };
        for (name, runs) in producers {
            let name: Arc<str> = name.into();
            for run in runs.as_array().into_iter().flatten() {
                if let (Some(first), Some(last)) = (run[0].as_u64(), run[1].as_u64())
                    && first <= last
                {
                    set.insert_run(&name, first, last);
                }
            }
        }
        set
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn runs_hold_what_a_plain_set_holds() {
        // A fixed walk through small numbers, in runs of one to four.
        let name: Arc<str> = "p".into();
        let (mut set, mut plain, mut state) = (BatchSet::default(), BTreeSet::new(), 7_u64);
        for _ in 0..400 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let (first, length) = ((state >> 33) % 200, (state >> 60) % 4);
            set.insert_run(&name, first, first + length);
            plain.extend(first..=first + length);
            let runs = &set.producers[&name];
            assert!(runs.windows(2).all(|pair| pair[0].1 + 1 < pair[1].0), "{runs:?}");
            assert!((0..210).all(|number| set.contains("p", number) == plain.contains(&number)), "{runs:?}");
        }
        assert_eq!(BatchSet::from_tag(&set.to_tag()), set);
    }

    #[test]
    fn the_ends_of_the_numbers() {
        let name: Arc<str> = "p".into();
        let mut set = BatchSet::default();
        for number in [u64::MAX, 0, u64::MAX - 1, 1, 0] {
            set.insert(&name, number);
        }
        assert_eq!(set.producers[&name], [(0, 1), (u64::MAX - 1, u64::MAX)]);
        assert!(!set.insert(&name, 1) && set.insert(&name, 2));
    }

    #[test]
    fn sets_meet_where_they_share_a_batch() {
        let set = BatchSet::from_tag(r#"{"a":[[1,5],[9,9]],"b":[[3,3]]}"#);
        for (other, meets) in [
            (r#"{"a":[[6,8]]}"#, false),
            (r#"{"a":[[6,9]]}"#, true),
            (r#"{"a":[[0,1]]}"#, true),
            (r#"{"b":[[1,2],[4,9]]}"#, false),
            (r#"{"c":[[1,9]]}"#, false),
            ("{}", false),
        ] {
            assert_eq!(set.meets(&BatchSet::from_tag(other)), meets, "{other}");
        }
    }

    #[test]
    fn a_malformed_tag_knows_what_is_well_formed_in_it() {
        let set = BatchSet::from_tag(r#"{"a":[[1,2],[5,4],[7],"x",[8,8]],"b":3}"#);
        assert_eq!(set, BatchSet::from_tag(r#"{"a":[[1,2],[8,8]]}"#));
        assert!(BatchSet::from_tag("nonsense").is_empty() && BatchSet::from_tag("[1]").is_empty());
    }
}
