//! The set of batches that a table holds, from all its writers.
//!
//! A proxy that gets no answer from one collector posts the same batch to another. Both may have stored it, each in its own
//! journal, and both bring it to the table. (producer, batch_seq) identifies a batch, so every commit names in the log the
//! batches that its files hold, as the tag [`TAG`] of its first file:
//! ```json
//!   {"gate-1/6441d2f3a7c00/0": [[1, 40], [42, 42]], "gate-2/6441d2f3a7c01/3": [[7, 9]]}
//! ```
//! A commit is a compare-and-swap on the log: the second writer finds the first one's tag before its own commit can succeed,
//! and leaves those rows out. So no reader has to look for duplicates. A compaction copies the tags of the files that it
//! replaces to the new one, and checkpoints keep them.
//!
//! In memory a producer takes some 150 bytes and 16 more for each hole in its numbers, for as long as the table has files
//! with rows of it.

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::{Map, Value};
use tollgate_record::runs::{Run, Runs};

/// Key of the tag.
pub(crate) const TAG: &str = "tollgate.batches";

/// The batches of each producer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct BatchSet {
    producers: HashMap<Arc<str>, Runs<u64>>,
}

impl BatchSet {
    pub(crate) fn is_empty(&self) -> bool {
        self.producers.is_empty()
    }

    pub(crate) fn contains(&self, producer: &str, batch_seq: u64) -> bool {
        self.producers.get(producer).is_some_and(|batches| batches.contains(batch_seq))
    }

    /// Whether any batch is in both sets.
    pub(crate) fn intersects(&self, other: &Self) -> bool {
        let ours = |producer| self.producers.get(producer);
        other.producers.iter().any(|(producer, theirs)| ours(producer).is_some_and(|ours| ours.intersects(theirs)))
    }

    /// Adds one batch; answers whether it is new.
    pub(crate) fn insert(&mut self, producer: &Arc<str>, batch_seq: u64) -> bool {
        self.producers.entry(Arc::clone(producer)).or_default().insert(batch_seq)
    }

    pub(crate) fn extend(&mut self, other: &Self) {
        for (producer, batches) in &other.producers {
            let ours = self.producers.entry(Arc::clone(producer)).or_default();
            batches.runs().iter().for_each(|run| ours.insert_run(*run));
        }
    }

    /// The tag's text.
    pub(crate) fn to_tag(&self) -> String {
        let run = |run: &Run<u64>| Value::from(vec![run.first, run.last]);
        let producer = |(name, batches): (&Arc<str>, &Runs<u64>)| {
            (name.to_string(), Value::Array(batches.runs().iter().map(run).collect()))
        };
        Value::Object(self.producers.iter().map(producer).collect::<Map<_, _>>()).to_string()
    }

    /// Reads a tag. A malformed part is skipped, so that its batches count as not stored.
    pub(crate) fn from_tag(text: &str) -> Self {
        let mut set = Self::default();
        let Ok(Value::Object(producers)) = serde_json::from_str(text) else { return set };
        for (name, runs) in producers {
            let runs = runs.as_array().into_iter().flatten();
            let batches: Runs<u64> = runs.filter_map(|run| Run::between(run[0].as_u64()?, run[1].as_u64()?)).collect();
            if !batches.is_empty() {
                set.producers.insert(name.into(), batches);
            }
        }
        set
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_reads_its_own_tag() {
        let (a, b): (Arc<str>, Arc<str>) = ("a".into(), "b".into());
        let mut set = BatchSet::default();
        for number in [u64::MAX, 0, u64::MAX - 1, 1, 7] {
            assert!(set.insert(&a, number) && set.insert(&b, number / 3 + number % 3));
        }
        assert!(!set.insert(&a, 1) && set.insert(&a, 2));
        let mut other = BatchSet::from_tag(r#"{"b":[[1,2]],"c":[[5,6]]}"#);
        other.extend(&set);
        for set in [set, other] {
            assert_eq!(BatchSet::from_tag(&set.to_tag()), set);
        }
    }

    #[test]
    fn sets_intersect_where_they_share_a_batch() {
        let set = BatchSet::from_tag(r#"{"a":[[1,5],[9,9]],"b":[[3,3]]}"#);
        for (other, intersects) in [
            (r#"{"a":[[6,8]]}"#, false),
            (r#"{"a":[[6,9]]}"#, true),
            (r#"{"a":[[0,1]]}"#, true),
            (r#"{"b":[[1,2],[4,9]]}"#, false),
            (r#"{"c":[[1,9]]}"#, false),
            ("{}", false),
        ] {
            assert_eq!(set.intersects(&BatchSet::from_tag(other)), intersects, "{other}");
        }
    }

    #[test]
    fn a_malformed_tag_knows_what_is_well_formed_in_it() {
        let set = BatchSet::from_tag(r#"{"a":[[1,2],[5,4],[7],"x",[8,8]],"b":3}"#);
        assert_eq!(set, BatchSet::from_tag(r#"{"a":[[1,2],[8,8]]}"#));
        assert!(BatchSet::from_tag("nonsense").is_empty() && BatchSet::from_tag("[1]").is_empty());
    }
}
