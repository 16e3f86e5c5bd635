//! Data files as actions of the log, and back.

use std::collections::HashMap;
use std::sync::Arc;

use deltalake::kernel::{Action, Add, LogicalFileView, Remove};

use super::DATE;
use crate::batches::{BatchSet, TAG};
use crate::parquet_file::NewFile;
use crate::snapshot::DataFile;
use crate::statistics::ParsedStatistics;
use crate::tags::FileTags;

/// The actions that add files. The tag of the first file names the batches of all of them, as a batch may be spread over
/// several days.
pub(super) fn add_actions(files: &[NewFile], batches: &BatchSet, now_ms: i64, data_change: bool) -> Vec<Action> {
    let mut adds: Vec<_> = files.iter().map(|file| add_action(file, now_ms, data_change)).collect();
    if let Some(first) = adds.first_mut().filter(|_| !batches.is_empty()) {
        first.tags.get_or_insert_default().insert(TAG.to_owned(), Some(batches.to_tag()));
    }
    adds.into_iter().map(Action::Add).collect()
}

fn add_action(file: &NewFile, now_ms: i64, data_change: bool) -> Add {
    let tags = file.tags.to_tags();
    Add {
        path: file.path.clone(),
        partition_values: HashMap::from([(DATE.to_owned(), file.date.clone())]),
        size: i64::try_from(file.size).unwrap_or(i64::MAX),
        modification_time: now_ms,
        data_change,
        stats: Some(file.statistics.to_json()),
        tags: (!tags.is_empty()).then_some(tags),
        ..Add::default()
    }
}

pub(super) fn remove_action(file: &DataFile, now_ms: i64, data_change: bool) -> Remove {
    Remove {
        path: file.path.clone(),
        data_change,
        deletion_timestamp: Some(now_ms),
        extended_file_metadata: Some(true),
        partition_values: Some(HashMap::from([(DATE.to_owned(), file.date.clone())])),
        size: Some(i64::try_from(file.size).unwrap_or(i64::MAX)),
        ..Remove::default()
    }
}

pub(super) fn added_file(add: &Add) -> DataFile {
    let date = add.partition_values.get(DATE).cloned().flatten();
    let tags = FileTags::parse(add.tags.as_ref());
    data_file(add.path.clone(), add.size, add.modification_time, date, add.stats.as_deref(), tags)
}

pub(super) fn parsed_tag(tags: Option<&HashMap<String, Option<String>>>) -> Option<Arc<BatchSet>> {
    let tag = BatchSet::from_tag(tags?.get(TAG)?.as_deref()?);
    (!tag.is_empty()).then(|| Arc::new(tag))
}

/// The file that a view shows, and the batches that its tag names.
#[expect(deprecated, reason = "a view shows a file's tags in no other way")]
pub(super) fn viewed_file(view: &LogicalFileView) -> (DataFile, Option<Arc<BatchSet>>) {
    let add = view.add_action();
    (added_file(&add), parsed_tag(add.tags.as_ref()))
}

fn data_file(
    path: String,
    size: i64,
    modified_ms: i64,
    date: Option<String>,
    statistics: Option<&str>,
    tags: FileTags,
) -> DataFile {
    let statistics = ParsedStatistics::parse(statistics.unwrap_or_default());
    let (min_time_us, max_time_us) = statistics.time.unwrap_or((i64::MIN, i64::MAX));
    let (min_seq, max_seq) = statistics.seq.unwrap_or((i64::MIN, i64::MAX));
    DataFile {
        path,
        size: u64::try_from(size).unwrap_or(0),
        modified_ms,
        rows: statistics.rows,
        date,
        min_time_us,
        max_time_us,
        min_seq,
        max_seq,
        stats: Arc::new(statistics.columns),
        order: tags.order,
        values: tags.values,
        sidecar: tags.sidecar,
        level: tags.level,
        failures: tags.failures,
    }
}
