//! What is on disk, read without the code that wrote it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::path::Path;

use arrow_array::cast::AsArray as _;
use arrow_array::types::Int64Type;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::Value;

/// A table as its log's entries tell it.
#[derive(Debug, Default)]
pub struct Log {
    pub active: BTreeSet<String>,
    /// The last position that each application has committed.
    pub transactions: BTreeMap<String, i64>,
    pub version: usize,
}

/// Replays the entries of the log, from the first on.
pub fn log(table: &Path) -> Log {
    let mut log = Log::default();
    let Ok(entries) = fs::read_dir(table.join("_delta_log")) else { return log };
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
    paths.sort();
    for path in paths {
        log.version += 1;
        for line in fs::read_to_string(&path).expect("an entry is read").lines() {
            let action: Value = serde_json::from_str(line).expect("an entry is whole");
            let path = |action: &Value| action["path"].as_str().map(str::to_owned);
            if let Some(added) = path(&action["add"]) {
                assert!(log.active.insert(added.clone()), "{added} is added twice");
            }
            if let Some(removed) = path(&action["remove"]) {
                assert!(log.active.remove(&removed), "{removed} is removed and was not there");
            }
            if let (Some(app), Some(position)) = (action["txn"]["appId"].as_str(), action["txn"]["version"].as_i64()) {
                let before = log.transactions.insert(app.to_owned(), position);
                assert!(before.is_none_or(|before| before < position), "{app} goes from {before:?} to {position}");
            }
        }
    }
    log
}

/// How often each record is in the table, by (producer, seq).
pub fn records(table: &Path) -> BTreeMap<(String, i64), usize> {
    let mut found = BTreeMap::new();
    for path in log(table).active {
        let file = File::open(table.join(path)).expect("a file of the table is there");
        for batch in ParquetRecordBatchReaderBuilder::try_new(file).expect("Parquet").build().expect("Parquet") {
            let batch = batch.expect("rows");
            let producers = batch.column_by_name("producer").expect("producer").as_string::<i32>();
            let seqs = batch.column_by_name("seq").expect("seq").as_primitive::<Int64Type>();
            for (producer, seq) in producers.iter().zip(seqs.values()) {
                *found.entry((producer.expect("a producer").to_owned(), *seq)).or_default() += 1;
            }
        }
    }
    found
}

/// First positions of the journal's segments, ascending.
pub fn segments(data: &Path) -> BTreeSet<u64> {
    let Ok(entries) = fs::read_dir(data) else { return BTreeSet::new() };
    let names = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok());
    names.filter_map(|name| name.strip_suffix(".seg")?.parse().ok()).collect()
}

/// A sink's cursor: the next position that it needs.
pub fn cursor(data: &Path, sink: &str) -> Option<u64> {
    let bytes = fs::read(data.join(format!("cursors/{sink}.cursor"))).ok()?;
    Some(tollgate_collector::decode_cursor(&bytes).expect("a cursor is whole"))
}
