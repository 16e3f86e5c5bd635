//! Which files answer by cells, and which by rows. Decided once for a GROUP BY, so that each row counts once.

use std::sync::Arc;

use datafusion::common::Result;
use datafusion::execution::SessionState;
use futures::StreamExt;
use object_store::ObjectStore;
use tollgate_table::DataFile;
use tollgate_table::rollup::Rollup;

use super::range::TimeRange;
use super::recognise::Recognised;
use crate::table::{QueryScope, files_with};

/// Roll-ups that are verified at the same time.
const VERIFIED_AT_ONCE: usize = 16;

/// How the rows of a snapshot are answered.
#[derive(Debug, Default)]
pub(super) struct Coverage {
    /// Files that answer by cells, by roll-up and by the buckets that count.
    pub cells: Vec<Cells>,
    /// Files that answer by rows, by the times that count.
    pub rows: Vec<Rows>,
    /// The times that hot rows are asked for.
    pub range: Option<TimeRange>,
}

/// Files that answer by cells.
#[derive(Debug)]
pub(super) struct Cells {
    pub rollup: &'static Rollup,
    /// The buckets that count, those that begin within; all, where the range holds the whole file.
    pub buckets: Option<TimeRange>,
    pub files: Vec<DataFile>,
}

/// Files that answer by rows.
#[derive(Debug)]
pub(super) struct Rows {
    /// The times of the rows that count.
    pub range: TimeRange,
    /// Times that cells answer instead.
    pub without: Option<TimeRange>,
    pub files: Vec<DataFile>,
}

/// How one file is answered.
#[derive(Clone, Copy)]
struct Choice {
    rollup: &'static Rollup,
    buckets: Option<TimeRange>,
}

impl Coverage {
    /// Chooses for the files of the query's snapshot.
    pub async fn choose(
        recognised: &Recognised,
        scope: &Arc<QueryScope>,
        store: &Arc<dyn ObjectStore>,
        state: &SessionState,
    ) -> Result<Self> {
        let range = recognised.range;
        let files = files_with(&scope.snapshot.files, &recognised.filters, state)?;
        let files: Vec<DataFile> =
            files.into_iter().filter(|file| file.overlaps(range.from_us, range.to_us)).cloned().collect();
        let chosen = files.into_iter().map(|file| {
            let choice = choices(&recognised.rollups, &file, range);
            let store = Arc::clone(store);
            async move {
                for choice in choice {
                    if tollgate_table::verified(&store, &file, choice.rollup.name).await {
                        return (file, Some(choice));
                    }
                }
                (file, None)
            }
        });
        let mut chosen = futures::stream::iter(chosen).buffered(VERIFIED_AT_ONCE);
        let mut coverage = Self { range: Some(range), ..Self::default() };
        while let Some((file, choice)) = chosen.next().await {
            coverage.add(file, choice, range);
        }
        Ok(coverage)
    }

    /// Whether no file answers by cells.
    pub fn is_empty(&self) -> bool {
        self.cells.is_empty()
    }

    fn add(&mut self, file: DataFile, choice: Option<Choice>, range: TimeRange) {
        let Some(Choice { rollup, buckets }) = choice else {
            self.add_rows(file, range, None);
            return;
        };
        let without = buckets.map(|buckets| times_of(buckets, rollup));
        let is_same = |cells: &&mut Cells| cells.rollup == rollup && cells.buckets == buckets;
        if let Some(without) = without
            && ends_overlap(&file, range, without)
        {
            self.add_rows(file.clone(), range, Some(without));
        }
        match self.cells.iter_mut().find(is_same) {
            Some(cells) => cells.files.push(file),
            None => self.cells.push(Cells { rollup, buckets, files: vec![file] }),
        }
    }

    fn add_rows(&mut self, file: DataFile, range: TimeRange, without: Option<TimeRange>) {
        match self.rows.iter_mut().find(|rows| rows.range == range && rows.without == without) {
            Some(rows) => rows.files.push(file),
            None => self.rows.push(Rows { range, without, files: vec![file] }),
        }
    }
}

/// The ways to answer a file by cells, the best first.
fn choices(rollups: &[&'static Rollup], file: &DataFile, range: TimeRange) -> Vec<Choice> {
    if range.from_us <= file.min_time_us && file.max_time_us <= range.to_us {
        return rollups.iter().map(|rollup| Choice { rollup, buckets: None }).collect();
    }
    if file.min_time_us == i64::MIN || file.max_time_us == i64::MAX {
        return Vec::new();
    }
    // The shorter the buckets, the fewer rows at the cut ends.
    let mut rollups = rollups.to_vec();
    rollups.sort_by_key(|rollup| rollup.grain);
    let cut = rollups.into_iter().filter_map(|rollup| {
        let buckets = whole_buckets(range, rollup.grain.us());
        let times = times_of(buckets, rollup);
        (!buckets.is_empty() && file.overlaps(times.from_us, times.to_us))
            .then_some(Choice { rollup, buckets: Some(buckets) })
    });
    cut.collect()
}

/// Begins of the buckets that lie within the range as a whole.
fn whole_buckets(range: TimeRange, grain_us: i64) -> TimeRange {
    let from_us = match range.from_us.rem_euclid(grain_us) {
        0 => range.from_us,
        past => range.from_us.saturating_add(grain_us - past),
    };
    // A range without an end holds every bucket, however far from 1970.
    if range.to_us == i64::MAX {
        return TimeRange { from_us, to_us: i64::MAX };
    }
    let end = range.to_us.saturating_add(1);
    let last = end.saturating_sub(end.rem_euclid(grain_us)).saturating_sub(grain_us);
    TimeRange { from_us: if range.from_us == i64::MIN { i64::MIN } else { from_us }, to_us: last }
}

/// The times of the rows in buckets that begin within.
fn times_of(buckets: TimeRange, rollup: &Rollup) -> TimeRange {
    TimeRange { from_us: buckets.from_us, to_us: buckets.to_us.saturating_add(rollup.grain.us() - 1) }
}

/// Whether rows of the file may be within the range and not within the times of its cells.
fn ends_overlap(file: &DataFile, range: TimeRange, cells: TimeRange) -> bool {
    let before = cells.from_us > range.from_us && file.overlaps(range.from_us, cells.from_us - 1);
    let after = cells.to_us < range.to_us && file.overlaps(cells.to_us + 1, range.to_us);
    before || after
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 3_600_000_000;

    #[test]
    fn buckets_that_the_range_cuts_are_left_out() {
        let whole = |from_us, to_us| {
            let whole = whole_buckets(TimeRange { from_us, to_us }, HOUR);
            (!whole.is_empty()).then_some((whole.from_us, whole.to_us))
        };
        assert_eq!(whole(0, HOUR - 1), Some((0, 0)));
        assert_eq!(whole(0, HOUR - 2), None);
        assert_eq!(whole(1, HOUR - 1), None);
        assert_eq!(whole(1, 3 * HOUR), Some((HOUR, 2 * HOUR)));
        assert_eq!(whole(-HOUR, HOUR), Some((-HOUR, 0)));
        assert_eq!(whole(5, i64::MAX), Some((HOUR, i64::MAX)));
        assert_eq!(whole(i64::MIN, HOUR), Some((i64::MIN, 0)));
    }
}
