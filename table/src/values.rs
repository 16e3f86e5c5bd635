//! The values that occur in a file, for columns that have few: what a range from `failed` to `succeeded` cannot say.

use std::collections::{BTreeMap, BTreeSet};

use arrow_array::cast::AsArray as _;
use arrow_array::types::Int32Type;
use arrow_array::{Array as _, ArrayRef, Int32Array, StringArray};

use crate::TableError;
use crate::tags::ValueSets;

/// The columns whose values the log lists: closed vocabularies, versions, and the producers that audits ask for.
pub(crate) const VALUE_COLUMNS: [&str; 14] = [
    "kind",
    "method",
    "auth_result",
    "auth_pattern",
    "acl_decision",
    "waf_action",
    "mtls_verify",
    "tls_version",
    "http_version",
    "error_class",
    "termination",
    "response_source",
    "gap_reason",
    "producer",
];

/// Most values of one column. A column with more is left out.
pub(crate) const VALUES_MAX: usize = 64;
/// Longest value in bytes. A column with a longer one is left out: a client chooses what it calls its method.
const VALUE_BYTES_MAX: usize = 128;

/// The values of one file, gathered column by column. `None` marks a column with too many.
#[derive(Debug, Default)]
pub(crate) struct Values {
    columns: BTreeMap<&'static str, Option<BTreeSet<String>>>,
}

impl Values {
    /// Adds values of one column, if it is one whose values are listed.
    pub(crate) fn add(&mut self, name: &str, values: &ArrayRef) -> Result<(), TableError> {
        let Some(name) = VALUE_COLUMNS.into_iter().find(|column| *column == name) else { return Ok(()) };
        let entry = self.columns.entry(name).or_insert_with(|| Some(BTreeSet::new()));
        let Some(set) = entry else { return Ok(()) };
        let (keys, texts) = dictionary(name, values)?;
        for value in used(keys, texts) {
            if !set.contains(value) {
                set.insert(value.to_owned());
            }
        }
        if set.len() > VALUES_MAX || set.iter().any(|value| value.len() > VALUE_BYTES_MAX) {
            *entry = None;
        }
        Ok(())
    }

    /// What the log lists.
    pub(crate) fn into_sets(self) -> ValueSets {
        self.columns.into_iter().filter_map(|(name, set)| Some((name.to_owned(), set?))).collect()
    }
}

/// The values of several files together: of the columns that every one of them lists.
pub(crate) fn union<'a>(files: impl IntoIterator<Item = &'a ValueSets>) -> ValueSets {
    let mut files = files.into_iter();
    let mut sets = files.next().cloned().unwrap_or_default();
    for other in files {
        sets.retain(|column, set| {
            let Some(values) = other.get(column) else { return false };
            set.extend(values.iter().cloned());
            set.len() <= VALUES_MAX
        });
    }
    sets
}

/// A dictionary's keys and texts.
pub(crate) fn dictionary<'a>(
    name: &str,
    values: &'a ArrayRef,
) -> Result<(&'a Int32Array, &'a StringArray), TableError> {
    let dictionary = values.as_dictionary_opt::<Int32Type>();
    let parts =
        dictionary.and_then(|dictionary| Some((dictionary.keys(), dictionary.values().as_string_opt::<i32>()?)));
    parts.ok_or_else(|| TableError::Schema(format!("column `{name}` is no dictionary of text")))
}

/// The texts that some row has. A dictionary may hold others: those of its batch, of which the file has a part.
pub(crate) fn used<'a>(keys: &Int32Array, texts: &'a StringArray) -> impl Iterator<Item = &'a str> {
    let mut is_used = vec![false; texts.len()];
    if keys.null_count() == 0 {
        keys.values().iter().for_each(|key| is_used[*key as usize] = true);
    } else {
        keys.iter().flatten().for_each(|key| is_used[key as usize] = true);
    }
    is_used.into_iter().enumerate().filter(|(at, used)| *used && texts.is_valid(*at)).map(|(at, _)| texts.value(at))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::DictionaryArray;

    use super::*;

    fn texts(values: &[Option<&str>]) -> ArrayRef {
        Arc::new(values.iter().copied().collect::<DictionaryArray<Int32Type>>())
    }

    fn set(values: &[&str]) -> BTreeSet<String> {
        values.iter().map(|value| (*value).to_owned()).collect()
    }

    #[test]
    fn values_that_no_row_has_are_not_listed() {
        let mut values = Values::default();
        values.add("method", &texts(&[Some("GET"), None, Some("PUT"), Some("POST")]).slice(0, 3)).unwrap();
        values.add("method", &texts(&[None, Some("GET")])).unwrap();
        values.add("gap_reason", &texts(&[None])).unwrap();
        values.add("path", &texts(&[Some("not listed")])).unwrap();
        let sets = values.into_sets();
        assert_eq!(
            sets,
            BTreeMap::from([("method".to_owned(), set(&["GET", "PUT"])), ("gap_reason".to_owned(), set(&[]))])
        );
    }

    #[test]
    fn a_column_with_many_values_is_left_out() {
        let names: Vec<String> = (0..=VALUES_MAX).map(|at| format!("gate-{at}")).collect();
        let column = |names: &[String]| texts(&names.iter().map(|name| Some(name.as_str())).collect::<Vec<_>>());
        let mut values = Values::default();
        values.add("producer", &column(&names[..VALUES_MAX])).unwrap();
        values.add("method", &texts(&[Some(&"X".repeat(VALUE_BYTES_MAX + 1))])).unwrap();
        assert_eq!(values.columns["producer"].as_ref().map(BTreeSet::len), Some(VALUES_MAX));
        values.add("producer", &column(&names[VALUES_MAX..])).unwrap();
        // It stays out, however few come after.
        values.add("producer", &column(&names[..1])).unwrap();
        assert_eq!(values.into_sets(), ValueSets::new());
    }

    #[test]
    fn files_together_list_what_each_of_them_lists() {
        let one = BTreeMap::from([("kind".to_owned(), set(&["gap"])), ("method".to_owned(), set(&["GET"]))]);
        let two = BTreeMap::from([("kind".to_owned(), set(&["transaction"]))]);
        assert_eq!(union([&one, &two]), BTreeMap::from([("kind".to_owned(), set(&["gap", "transaction"]))]));
        let names = |from: usize| (from..from + 40).map(|at| at.to_string()).collect::<BTreeSet<_>>();
        let many = |from| BTreeMap::from([("producer".to_owned(), names(from))]);
        assert_eq!(union([&many(0), &many(0)]), many(0));
        assert_eq!(union([&many(0), &many(40)]), ValueSets::new());
        assert_eq!(union([]), ValueSets::new());
    }
}
