//! Compaction: many small files become few large ones, in levels.
//!
//! ```text
//!   level  what                   when                          how                                       files at 150 M rows/day
//!   0      a commit               every 10 s                    rows by time                              36 in six minutes
//!   1      five minutes           a minute after their end      rows by (five minutes, service, time),    24 an hour
//!                                                               failures apart
//!   2      an hour                two minutes after its end     column chunks copied; or rows, where few  2 an hour
//!   3      a day                  half an hour after its end    the same, up to 512 MiB a file            25 to 27 a day
//! ```
//! - A merge is chosen by rows and by age, never by a number of files. It puts at most `Limits::rows_max` rows in order, so
//!   that at any rate the commits of five minutes that are over are taken, in as many merges as that needs.
//! - A file belongs to the time of its newest row, or of its commit where that is earlier: a clock that is ahead delays nothing.
//! - Rows of another hour than most of a merge (a proxy sent its spool) get files of their own hour if they are many, and ride
//!   along if they are few. Files that come late to an hour are merged when the hour in which they came is over.
//! - A finished day's large file is rewritten only with others of a quarter of its size, or with seven: so a row is copied a
//!   bounded number of times.
//! - Rows without a plausible day stay at level 0, by time.
//!
//! A merge reads files, writes their rows to new ones, and commits the removal of the old and the addition of the new at once,
//! with `dataChange = false`: the rows are the same. Appends go on meanwhile, as they touch other files. Readers of an older
//! snapshot still find the old files, which stay on disk for a day (`retention`). A crash before the commit leaves files that
//! no commit names.
//!
//! Memory: a merge of rows holds the keys of its rows, one column as read and as put together, and all columns encoded: it
//! takes fewer commits if that plans with more than `Limits::memory_max` (192 MiB), and other files are then concatenated. A
//! concatenation holds the metadata of one file. Time: a merge rests three times as long as it works, unless files wait for longer than [`BEHIND_US`],
//! or hold more than [`BEHIND_ROWS`].

mod chunks;
mod inputs;
mod pace;
mod plan;
mod rows;

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tollgate_failpoint::{Point, reach};

use self::inputs::Inputs;
pub(crate) use self::pace::Pace;
pub(crate) use self::plan::Limits;
use self::plan::{GRACE_US, HOUR_US, Merge, Work, oldest_unmerged_us, plan, since_midnight_us};
use crate::TableError;
use crate::durable::Disk;
use crate::parquet_file::{self, NewFile, discard};
use crate::snapshot::DataFile;
use crate::table::{Counters, Table};

/// Files that no merge has taken for this long mean that compaction is behind.
const BEHIND_US: i64 = 10 * 60 * 1_000_000;
/// So do more rows than these that no merge has taken: eight minutes at 17,000 a second. At a higher rate, rest would let the
/// backlog grow past [`BEHIND_US`] before anything was done about it.
const BEHIND_ROWS: u64 = 8 * 1024 * 1024;
/// Most times that a run looks for what its own merges have made due.
const ROUNDS_MAX: usize = 64;

/// What one run has done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Run {
    pub(crate) merges: u64,
    pub(crate) files_in: u64,
    pub(crate) files_out: u64,
    pub(crate) rows: u64,
    /// Of the new files.
    pub(crate) bytes: u64,
    pub(crate) took: Duration,
}

/// What merges work with.
pub(crate) struct Context {
    disk: Arc<Disk>,
    root: PathBuf,
    limits: Limits,
    pace: Pace,
}

impl Table {
    /// Merges all files that are due; answers how many went.
    ///
    /// # Errors
    /// If files cannot be read or written, or another writer took them. What was merged before stays merged.
    pub async fn compact(&self) -> Result<usize, TableError> {
        let run = self.compact_at(self.clock().now_us(), &Limits::default(), &Pace::default()).await?;
        Ok(usize::try_from(run.files_in).unwrap_or(usize::MAX))
    }

    /// Merges all files that are due at this time. A merge that fails does not keep others from being tried.
    pub(crate) async fn compact_at(&self, now_us: i64, limits: &Limits, pace: &Pace) -> Result<Run, TableError> {
        let began = Instant::now();
        let mut run = Run::default();
        let mut failed: BTreeSet<String> = BTreeSet::new();
        let mut failure = None;
        for _ in 0..ROUNDS_MAX {
            // Without the files that failed: a level waits for those below it, and would wait for them for ever.
            let files = self.snapshot().files;
            let files: Vec<_> = files.iter().filter(|file| !failed.contains(&file.path)).cloned().collect();
            let merges = plan(&files, now_us, limits);
            if merges.is_empty() {
                break;
            }
            for merge in merges {
                pace.set_behind(self.is_behind(self.clock().now_us()));
                let files = merge.files.clone();
                match self.merge(merge, limits, pace, &mut run).await {
                    Ok(()) => {}
                    Err(TableError::Stopped) => return Err(TableError::Stopped),
                    Err(error) => {
                        failed.extend(self.at_fault(files).await?);
                        failure.get_or_insert(error);
                    }
                }
            }
        }
        run.took = began.elapsed();
        run.count_in(&self.counters);
        match failure {
            Some(error) => Err(error),
            None => Ok(run),
        }
    }

    /// Which files keep a merge from being made: those that cannot be opened, or all where each of them can.
    async fn at_fault(&self, files: Vec<DataFile>) -> Result<Vec<String>, TableError> {
        let root = self.root().to_owned();
        let task = tokio::task::spawn_blocking(move || {
            let broken = files.iter().filter(|file| Inputs::open(&root, std::slice::from_ref(*file)).is_err());
            let broken: Vec<_> = broken.map(|file| file.path.clone()).collect();
            if broken.is_empty() { files.into_iter().map(|file| file.path).collect() } else { broken }
        });
        task.await.map_err(TableError::rows("look for damaged files"))
    }

    /// How long the oldest file waits that no merge has taken, in microseconds; 0 where there is none.
    pub(crate) fn unmerged_age_us(&self, now_us: i64) -> i64 {
        oldest_unmerged_us(&self.snapshot().files).map_or(0, |oldest| now_us.saturating_sub(oldest).max(0))
    }

    /// Whether files wait for a merge for longer than they should.
    pub(crate) fn is_behind(&self, now_us: i64) -> bool {
        self.unmerged_age_us(now_us) > BEHIND_US || plan::unmerged_rows(&self.snapshot().files) > BEHIND_ROWS
    }

    async fn merge(&self, merge: Merge, limits: &Limits, pace: &Pace, run: &mut Run) -> Result<(), TableError> {
        let (disk, root) = (Arc::clone(self.disk()), self.root().to_owned());
        let context = Context { disk, root, limits: limits.clone(), pace: pace.clone() };
        let task = tokio::task::spawn_blocking(move || {
            let written = written(&context, &merge);
            (merge, written)
        });
        let (merge, written) = task.await.map_err(TableError::rows("merge files"))?;
        let (taken, new) = written?;
        reach(Point::MergeWritten).map_err(|source| TableError::io(self.root(), source))?;
        let old = &merge.files[..taken];
        let paths: BTreeSet<&str> = old.iter().map(|file| file.path.as_str()).collect();
        let mut log = self.log().await;
        let conflicts = match log.replace(&paths, &new).await {
            Ok(conflicts) => conflicts,
            Err(error) => {
                drop(log);
                self.discard_unless_committed(&new).await;
                return Err(error);
            }
        };
        reach(Point::MergeCommitted).map_err(|source| TableError::io(self.root(), source))?;
        self.publish(&mut log);
        self.counters.compactions.fetch_add(1, Ordering::Relaxed);
        self.counters.commit_conflicts.fetch_add(conflicts, Ordering::Relaxed);
        run.add(old, &new);
        tracing::debug!(level = merge.level, work = ?merge.work, from = old.len(), to = new.len(), "files merged");
        Ok(())
    }

    /// Deletes the files of a merge that failed, if the log can say that it did not happen after all.
    async fn discard_unless_committed(&self, new: &[NewFile]) {
        if self.refresh().await.is_ok() {
            let active = self.snapshot().files;
            if !active.iter().any(|file| new.iter().any(|new| new.path == file.path)) {
                discard(self.root(), new);
            }
        }
    }
}

/// Writes the files of a merge; answers how many of the old ones they replace, from the first on.
///
/// Commits are taken in turns where all of them do not fit into memory: each turn brings some to the next level. Other files
/// are copied then: a turn of them may be one file, which would be due again as it is.
fn written(context: &Context, merge: &Merge) -> Result<(usize, Vec<NewFile>), TableError> {
    if merge.work != Work::Concatenate {
        let mut inputs = Inputs::open(&context.root, &merge.files)?;
        let taken = inputs.that_fit(context.limits.memory_max);
        if taken == merge.files.len() || merge.work == Work::Split {
            inputs.truncate(taken);
            return Ok((taken, rows::merge(context, merge, inputs)?));
        }
    }
    Ok((merge.files.len(), vec![chunks::concatenate(context, merge)?]))
}

impl Run {
    fn count_in(&self, counters: &Counters) {
        let took_us = u64::try_from(self.took.as_micros()).unwrap_or(u64::MAX);
        let counts = [
            (&counters.merge_runs, 1),
            (&counters.merged_files, self.files_in),
            (&counters.merge_files, self.files_out),
            (&counters.merged_rows, self.rows),
            (&counters.merged_bytes, self.bytes),
            (&counters.merge_us, took_us),
        ];
        for (counter, count) in counts {
            counter.fetch_add(count, Ordering::Relaxed);
        }
    }

    fn add(&mut self, old: &[DataFile], new: &[NewFile]) {
        self.merges += 1;
        self.files_in += old.len() as u64;
        self.files_out += new.len() as u64;
        self.rows += old.iter().map(|file| file.rows).sum::<u64>();
        self.bytes += new.iter().map(|file| file.size).sum::<u64>();
    }
}

/// Name of a new file: level, hour and minute of its newest row, outcome, and what makes it unique.
fn name(merge: &Merge, failures: Option<bool>, time_us: i64) -> String {
    let minutes = since_midnight_us(time_us) / (HOUR_US / 60);
    let outcome = match failures {
        Some(true) => "failures-",
        Some(false) => "rest-",
        None => "",
    };
    let (level, hour, minute) = (merge.level, minutes / 60, minutes % 60);
    format!("compact-{level}-{hour:02}{minute:02}-{outcome}{}", parquet_file::unique_id())
}

/// When a run that is made every so often is due next: at the same time after the end of every such span.
pub(crate) fn next_run_us(now_us: i64, every_us: i64) -> i64 {
    let every_us = every_us.max(1);
    ((now_us - GRACE_US).div_euclid(every_us) + 1).saturating_mul(every_us) + GRACE_US
}
