//! What the log keeps of a data file beside its statistics, as tags of its `add` action (Delta protocol, "Add File and Remove
//! File"). Checkpoints keep tags, and other readers pass them over.
//!
//! ```text
//!   tollgate.order    time
//!   tollgate.values   {"kind":["transaction"],"method":["GET","POST"]}
//!   tollgate.sidecar  {"ids":[81920,3735928559]}        bytes, CRC-32C
//!   tollgate.level    1                                 absent = 0
//!   tollgate.failures true                              absent = rows of both kinds
//! ```
//! A tag that is absent or malformed is unknown: nothing is pruned by it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use serde_json::{Map, Value};

const ORDER: &str = "tollgate.order";
const VALUES: &str = "tollgate.values";
const SIDECAR: &str = "tollgate.sidecar";
const LEVEL: &str = "tollgate.level";
const FAILURES: &str = "tollgate.failures";

/// How the rows of a data file are ordered.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum RowOrder {
    /// The log does not say.
    #[default]
    Unknown,
    /// By ascending `time`.
    Time,
    /// By five minutes of `time`, then by `service`, then by `time`: ascending, nulls first.
    Service,
}

/// One part of what stands beside a data file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SidecarPart {
    /// Its length in bytes.
    pub bytes: u64,
    /// CRC-32C of all its bytes.
    pub crc32c: u32,
}

/// The values that occur in a file, by column.
pub(crate) type ValueSets = BTreeMap<String, BTreeSet<String>>;
/// What stands beside a file, by name of the part.
pub(crate) type Sidecar = BTreeMap<String, SidecarPart>;

/// The tags of one file.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct FileTags {
    pub(crate) order: RowOrder,
    pub(crate) values: Arc<ValueSets>,
    pub(crate) sidecar: Arc<Sidecar>,
    pub(crate) level: u8,
    pub(crate) failures: Option<bool>,
}

impl FileTags {
    /// The tags of an action.
    pub(crate) fn parse(tags: Option<&HashMap<String, Option<String>>>) -> Self {
        let text = |key: &str| tags.and_then(|tags| tags.get(key)?.as_deref());
        let object = |key| match text(key).map(serde_json::from_str) {
            Some(Ok(Value::Object(object))) => object,
            _ => Map::new(),
        };
        let order = match text(ORDER) {
            Some("time") => RowOrder::Time,
            Some("service") => RowOrder::Service,
            _ => RowOrder::Unknown,
        };
        let values = object(VALUES).into_iter().filter_map(|(column, values)| Some((column, texts(&values)?)));
        let sidecar = object(SIDECAR).into_iter().filter_map(|(name, value)| Some((name, part(&value)?)));
        Self {
            order,
            values: Arc::new(values.collect()),
            sidecar: Arc::new(sidecar.collect()),
            level: text(LEVEL).and_then(|level| level.parse().ok()).unwrap_or(0),
            failures: text(FAILURES).and_then(|failures| failures.parse().ok()),
        }
    }

    /// As the log keeps them.
    pub(crate) fn to_tags(&self) -> HashMap<String, Option<String>> {
        let mut tags = HashMap::new();
        let order = match self.order {
            RowOrder::Unknown => None,
            RowOrder::Time => Some("time"),
            RowOrder::Service => Some("service"),
        };
        tags.extend(order.map(|order| (ORDER.to_owned(), Some(order.to_owned()))));
        let mut set = |key: &str, value: String| tags.insert(key.to_owned(), Some(value));
        if self.level > 0 {
            set(LEVEL, self.level.to_string());
        }
        if let Some(failures) = self.failures {
            set(FAILURES, failures.to_string());
        }
        if !self.values.is_empty() {
            let values = self.values.iter().map(|(column, values)| (column.clone(), values.iter().cloned().collect()));
            set(VALUES, Value::Object(values.collect()).to_string());
        }
        if !self.sidecar.is_empty() {
            let parts = self
                .sidecar
                .iter()
                .map(|(name, part)| (name.clone(), [part.bytes, part.crc32c.into()].into_iter().collect()));
            set(SIDECAR, Value::Object(parts.collect()).to_string());
        }
        tags
    }
}

/// All of them, or nothing: a set with a value left out would hide rows.
fn texts(values: &Value) -> Option<BTreeSet<String>> {
    values.as_array()?.iter().map(|value| value.as_str().map(str::to_owned)).collect()
}

fn part(value: &Value) -> Option<SidecarPart> {
    let numbers = value.as_array().filter(|numbers| numbers.len() == 2)?;
    Some(SidecarPart { bytes: numbers[0].as_u64()?, crc32c: numbers[1].as_u64()?.try_into().ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_survive_the_log() {
        let set = |values: &[&str]| values.iter().map(|value| (*value).to_owned()).collect::<BTreeSet<_>>();
        let values =
            BTreeMap::from([("kind".to_owned(), set(&["gap", "transaction"])), ("method".to_owned(), set(&[]))]);
        let sidecar = BTreeMap::from([("ids".to_owned(), SidecarPart { bytes: 1 << 40, crc32c: u32::MAX })]);
        for (level, order) in [(0, RowOrder::Unknown), (1, RowOrder::Time), (3, RowOrder::Service)] {
            let (values, sidecar) = (Arc::new(values.clone()), Arc::new(sidecar.clone()));
            let tags = FileTags { order, values, sidecar, level, failures: Some(level == 1) };
            assert_eq!(FileTags::parse(Some(&tags.to_tags())), tags);
        }
        assert_eq!(FileTags::default().to_tags(), HashMap::new());
        assert_eq!(FileTags::parse(None), FileTags::default());
    }

    #[test]
    fn malformed_tags_are_unknown() {
        let tags = |order: &str, values: &str, sidecar: &str| {
            let tags = [(ORDER, order), (VALUES, values), (SIDECAR, sidecar)];
            let tags = tags.map(|(key, value)| (key.to_owned(), Some(value.to_owned())));
            FileTags::parse(Some(&HashMap::from(tags)))
        };
        assert_eq!(tags("random", "[1]", "nonsense"), FileTags::default());
        let parsed = tags(
            "time",
            r#"{"kind":["a",3],"method":"GET","error_class":["x"]}"#,
            r#"{"ids":[1],"a":[1,-1],"b":[2,3]}"#,
        );
        assert_eq!(parsed.order, RowOrder::Time);
        assert_eq!(parsed.values.keys().collect::<Vec<_>>(), ["error_class"]);
        assert_eq!(*parsed.sidecar, BTreeMap::from([("b".to_owned(), SidecarPart { bytes: 2, crc32c: 3 })]));
    }
}
