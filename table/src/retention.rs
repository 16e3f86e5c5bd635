//! Retention: days that are over leave the table, and files that nobody needs leave the disk.
//!
//! The first is one commit that removes the files of whole partitions; the second deletes files that no version younger than
//! `delta.deletedFileRetentionDuration` (a day) names, so that running queries and readers of older snapshots are not
//! disturbed. Files that are younger than that and not committed yet are left alone by their age.

use std::collections::BTreeSet;
use std::time::{SystemTime, UNIX_EPOCH};

use tollgate_failpoint::{Point, reach};

use crate::TableError;
use crate::statistics::{day_of, format_day};
use crate::table::Table;

impl Table {
    /// Removes all rows of days before the last `days`, today among them; answers how many files went. The files of rows
    /// without a plausible day go when all their rows are older.
    ///
    /// # Errors
    /// If the log cannot be written.
    pub async fn expire(&self, days: u32) -> Result<usize, TableError> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let today = day_of(i64::try_from(now.as_micros()).unwrap_or(i64::MAX));
        let first_kept = today - i64::from(days) + 1;
        let first_date = format_day(first_kept);
        let snapshot = self.snapshot();
        let expired = snapshot.files.iter().filter(|file| match &file.date {
            // ISO dates of four-digit years sort as text; others are no plausible day, and go by their times.
            Some(date) if date.len() == first_date.len() => *date < first_date,
            _ => file.max_time_us != i64::MAX && day_of(file.max_time_us) < first_kept,
        });
        let expired: BTreeSet<&str> = expired.map(|file| file.path.as_str()).collect();
        if expired.is_empty() {
            return Ok(0);
        }
        let mut log = self.log().await;
        log.remove(&expired).await?;
        reach(Point::RetentionCommitted).map_err(|source| TableError::io(self.root(), source))?;
        self.publish(&mut log);
        tracing::info!(files = expired.len(), before = first_date, "days past their retention left the table");
        Ok(expired.len())
    }

    /// Deletes data files that no recent version of the table names; answers how many.
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
        Ok(deleted)
    }
}
