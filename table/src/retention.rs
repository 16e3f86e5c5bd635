//! Retention: old days leave the table, and unused files leave the disk.
//!
//! [`Table::expire`] makes one commit that removes the files of whole partitions by their age, and [`Table::expire_beyond`] one
//! by the size of the table. [`Table::vacuum`] deletes files that no
//! version younger than `delta.deletedFileRetentionDuration` (a day) names, so that running queries and readers of older
//! snapshots still find theirs. Files that wait for their commit are younger than that, and so are kept. What stands beside the
//! deleted files goes after them (`sidecar`).

use std::collections::{BTreeMap, BTreeSet};

use chrono::{Days, NaiveDate};
use tollgate_failpoint::{Point, reach};

use crate::TableError;
use crate::calendar::{day_of, format_day};
use crate::snapshot::DataFile;
use crate::table::Table;

impl Table {
    /// Removes all rows of days before the last `days`, today among them; answers how many files went. The files of rows
    /// without a plausible day go when all their rows are older.
    ///
    /// # Errors
    /// If the log cannot be written.
    pub async fn expire(&self, days: u32) -> Result<usize, TableError> {
        let Some(first_kept) = day_of(self.clock().now_us()).and_then(|today| first_kept(today, days)) else {
            return Ok(0);
        };
        self.expire_before(first_kept).await
    }

    /// Removes the oldest days while the table's files and what stands beside them take more than `bytes`; answers how many
    /// files went. Days go whole; today stays, however large it is. Files that left the table and wait for their removal from
    /// the disk do not count.
    ///
    /// # Errors
    /// If the log cannot be written.
    pub async fn expire_beyond(&self, bytes: u64) -> Result<usize, TableError> {
        let Some(today) = day_of(self.clock().now_us()) else { return Ok(0) };
        match first_kept_within(&self.snapshot().files, today, bytes) {
            Some(first_kept) => self.expire_before(first_kept).await,
            None => Ok(0),
        }
    }

    async fn expire_before(&self, first_kept: NaiveDate) -> Result<usize, TableError> {
        let snapshot = self.snapshot();
        let expired = snapshot.files.iter().filter(|file| last_day(file).is_some_and(|day| day < first_kept));
        let expired: BTreeSet<&str> = expired.map(|file| file.path.as_str()).collect();
        if expired.is_empty() {
            return Ok(0);
        }
        let mut log = self.log().await;
        log.remove(&expired).await?;
        reach(Point::RetentionCommitted).map_err(|source| TableError::io(self.root(), source))?;
        self.publish(&mut log);
        tracing::info!(
            files = expired.len(),
            before = format_day(first_kept),
            "days past their retention left the table"
        );
        Ok(expired.len())
    }

    /// Deletes data files that no recent version of the table names, and then what stands beside files that are gone; answers
    /// how many data files.
    ///
    /// # Errors
    /// If the folder cannot be read or the log cannot be written.
    pub async fn vacuum(&self) -> Result<usize, TableError> {
        let detached = self.log().await.clone();
        reach(Point::VacuumBegun).map_err(|source| TableError::io(self.root(), source))?;
        let deleted = detached.vacuum().await?;
        let mut log = self.log().await;
        log.refresh().await?;
        self.publish(&mut log);
        drop(log);
        self.collect_sidecars().await?;
        Ok(deleted)
    }
}

/// The first of `days` days that end with today; `None` where that is before the calendar begins.
fn first_kept(today: NaiveDate, days: u32) -> Option<NaiveDate> {
    today.checked_add_days(Days::new(1))?.checked_sub_days(Days::new(days.into()))
}

/// The day before which all must go, for the rest to fit; `None` where all fits.
fn first_kept_within(files: &[DataFile], today: NaiveDate, bytes_max: u64) -> Option<NaiveDate> {
    let bytes = |file: &DataFile| file.size + file.sidecar.values().map(|part| part.bytes).sum::<u64>();
    let mut total: u64 = files.iter().map(bytes).sum();
    let mut days: BTreeMap<NaiveDate, u64> = BTreeMap::new();
    for file in files {
        if let Some(day) = last_day(file) {
            *days.entry(day).or_default() += bytes(file);
        }
    }
    let mut first_kept = None;
    for (day, bytes) in days.range(..today) {
        if total <= bytes_max {
            break;
        }
        total -= bytes;
        first_kept = day.succ_opt();
    }
    first_kept
}

/// The day of a file's partition; where it has none, the day of its newest row, if that is known.
fn last_day(file: &DataFile) -> Option<NaiveDate> {
    let partition = file.date.as_deref().and_then(|date| date.parse().ok());
    partition.or_else(|| day_of(file.max_time_us))
}
