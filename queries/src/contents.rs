//! The contents of the table, from its log alone: no file is opened.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tollgate_table::Snapshot;

/// The table at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contents {
    /// Version of the Delta table.
    pub version: i64,
    /// The last journal position whose rows are in the table's files.
    pub through: Option<u64>,
    /// Data files.
    pub files: u64,
    /// Bytes of the data files.
    pub file_bytes: u64,
    /// Rows in the data files.
    pub file_rows: u64,
    /// The days of which there are files, ascending. Retention removes whole days, the oldest first.
    pub days: Vec<Day>,
    /// Rows that are in memory and in the journal, and not in the files yet.
    pub hot_rows: u64,
    /// Rows that only the journal holds until the next commit. No answer contains them.
    pub hot_evicted: u64,
}

/// The files of one day.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Day {
    /// The UTC day, as `2026-11-23`.
    pub date: String,
    /// Rows of the day.
    pub rows: u64,
    /// Time of its first record, in microseconds since 1970, if the log has it.
    pub first_us: Option<i64>,
    /// Time of its last one.
    pub last_us: Option<i64>,
}

impl Contents {
    /// The contents of a snapshot.
    pub(crate) fn of(snapshot: &Snapshot) -> Self {
        let mut days: BTreeMap<&str, Day> = BTreeMap::new();
        for file in snapshot.files.iter() {
            let Some(date) = &file.date else { continue };
            let day =
                days.entry(date).or_insert_with(|| Day { date: date.clone(), rows: 0, first_us: None, last_us: None });
            day.rows += file.rows;
            let known = |us: i64| (us != i64::MIN && us != i64::MAX).then_some(us);
            day.first_us = [day.first_us, known(file.min_time_us)].into_iter().flatten().min();
            day.last_us = day.last_us.max(known(file.max_time_us));
        }
        Self {
            version: snapshot.version,
            through: snapshot.through,
            files: snapshot.files.len() as u64,
            file_bytes: snapshot.files.iter().map(|file| file.size).sum(),
            file_rows: snapshot.files.iter().map(|file| file.rows).sum(),
            days: days.into_values().collect(),
            hot_rows: snapshot.hot.iter().map(|batch| batch.records.num_rows() as u64).sum(),
            hot_evicted: snapshot.hot_evicted,
        }
    }
}
