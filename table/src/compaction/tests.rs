//! Days in a minute: the plan alone, with merges that only count rows and bytes.

use std::sync::Arc;

use super::plan::{Merge, Work, oldest_unmerged_us, plan};
use super::{BEHIND_US, Limits, next_run_us};
use crate::calendar::{day_of, format_day};
use crate::snapshot::DataFile;
use crate::tags::RowOrder;

const SECOND: i64 = 1_000_000;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;
/// A midnight.
const MIDNIGHT: i64 = 20_000 * DAY;
const ROW_BYTES: u64 = 45;

/// A table of which only the sizes of its files are known.
#[derive(Default)]
struct Model {
    files: Vec<DataFile>,
    made: u64,
    rows_copied: u64,
    rows_sorted: u64,
    largest_sort: u64,
}

impl Model {
    fn file(
        &mut self,
        level: u8,
        failures: Option<bool>,
        rows: u64,
        from_us: i64,
        to_us: i64,
        now_us: i64,
    ) -> DataFile {
        self.made += 1;
        DataFile {
            path: format!("{:08}", self.made),
            size: rows * ROW_BYTES,
            modified_ms: now_us / 1_000,
            rows,
            date: day_of(from_us).map(format_day),
            min_time_us: from_us,
            max_time_us: to_us,
            min_seq: 0,
            max_seq: 0,
            stats: Arc::default(),
            order: RowOrder::Unknown,
            values: Arc::default(),
            sidecar: Arc::default(),
            level,
            failures,
        }
    }

    fn commit(&mut self, rows: u64, from_us: i64, to_us: i64, now_us: i64) {
        let file = self.file(0, None, rows, from_us, to_us, now_us);
        self.files.push(file);
    }

    fn apply(&mut self, merge: &Merge, now_us: i64) {
        let rows: u64 = merge.files.iter().map(|file| file.rows).sum();
        let from = merge.files.iter().map(|file| file.min_time_us).min().unwrap();
        let to = merge.files.iter().map(|file| file.max_time_us).max().unwrap();
        let before = self.files.len();
        self.files.retain(|file| !merge.files.contains(file));
        assert_eq!(before - self.files.len(), merge.files.len(), "every file is there, and in one merge");
        match merge.work {
            Work::Concatenate => self.rows_copied += rows,
            _ => {
                self.rows_sorted += rows;
                self.largest_sort = self.largest_sort.max(rows);
            }
        }
        let outcomes = match merge.work {
            Work::Split => {
                let failed = rows.div_ceil(100);
                vec![(Some(true), failed), (Some(false), rows - failed)]
            }
            _ => {
                assert!(merge.files.windows(2).all(|pair| pair[0].failures == pair[1].failures));
                vec![(merge.files[0].failures, rows)]
            }
        };
        for (failures, rows) in outcomes.into_iter().filter(|(_, rows)| *rows > 0) {
            let file = self.file(merge.level, failures, rows, from, to, now_us);
            self.files.push(file);
        }
    }

    /// What one run of maintenance does.
    fn maintain(&mut self, now_us: i64, limits: &Limits) {
        for round in 0.. {
            assert!(round < super::ROUNDS_MAX, "no end of merges at {now_us}: {:?}", plan(&self.files, now_us, limits));
            let merges = plan(&self.files, now_us, limits);
            if merges.is_empty() {
                return;
            }
            merges.iter().for_each(|merge| self.apply(merge, now_us));
        }
    }

    fn rows(&self) -> u64 {
        self.files.iter().map(|file| file.rows).sum()
    }

    fn since(&self, from_us: i64) -> usize {
        self.files.iter().filter(|file| file.max_time_us >= from_us).count()
    }

    /// Lets days go by at one rate. Each commit has the rows of its time, some of them from just before it.
    fn go(&mut self, days: i64, rows_per_second: f64, commit_rows_max: u64, limits: &Limits) -> Seen {
        let commit_us = (10 * SECOND).min((commit_rows_max as f64 / rows_per_second * 1e6) as i64);
        let (mut now, mut next_run) = (MIDNIGHT, MIDNIGHT);
        let mut seen = Seen::default();
        let mut owed = 0.0;
        while now < MIDNIGHT + days * DAY + HOUR {
            now += commit_us;
            if now <= MIDNIGHT + days * DAY {
                owed += rows_per_second * commit_us as f64 / 1e6;
                let rows = owed as u64;
                owed -= rows as f64;
                seen.rows += rows;
                // A commit has a file a day; what its few rows of the day before would be, is left out.
                let from = (now - commit_us - 2 * SECOND).max(now - 1 - (now - 1).rem_euclid(DAY));
                if rows > 0 {
                    self.commit(rows, from, now - 1, now);
                }
            }
            if now >= next_run {
                self.maintain(now, limits);
                next_run = next_run_us(now, 5 * MINUTE);
            }
            seen.running_max = seen.running_max.max(self.since(now - now.rem_euclid(HOUR) - HOUR));
            seen.age_max = seen.age_max.max(oldest_unmerged_us(&self.files).map_or(0, |oldest| now - oldest));
        }
        assert_eq!(self.rows(), seen.rows, "no row is lost");
        seen
    }
}

#[derive(Default)]
struct Seen {
    rows: u64,
    running_max: usize,
    age_max: i64,
}

#[test]
fn a_day_of_150_million_rows_ends_as_few_files() {
    let limits = Limits::default();
    let mut model = Model::default();
    let seen = model.go(1, 1_736.0, 65_536, &limits);
    assert!(model.files.len() <= 48, "{} files", model.files.len());
    assert!(seen.running_max <= 100, "{} files in the last two hours", seen.running_max);
    assert!(seen.age_max <= BEHIND_US, "{} s", seen.age_max / SECOND);
    assert!(model.largest_sort <= limits.rows_max);
    assert!(model.files.iter().all(|file| file.size <= limits.bytes_max));
    let large = model.files.iter().filter(|file| file.failures == Some(false));
    assert!(
        large.clone().all(|file| file.size >= 128 << 20),
        "{:?}",
        large.map(|file| file.size >> 20).collect::<Vec<_>>()
    );
    // A row is put in order once, and copied once; a failure is put in order two or three times.
    assert!(model.rows_sorted <= seen.rows * 103 / 100, "{} of {}", model.rows_sorted, seen.rows);
    assert!(model.rows_copied <= seen.rows * 102 / 100);
}

#[test]
fn every_hour_is_merged_at_ten_times_the_rate() {
    let limits = Limits::default();
    let mut model = Model::default();
    let seen = model.go(1, 17_000.0, 65_536, &limits);
    assert!(seen.age_max <= BEHIND_US, "{} s", seen.age_max / SECOND);
    assert!(model.largest_sort <= limits.rows_max);
    assert_eq!(model.files.iter().filter(|file| file.level < 2).count(), 0);
    // As few as the size of a file allows, an hour's last one aside.
    let least = seen.rows * ROW_BYTES / limits.bytes_max;
    assert!((model.files.len() as u64) < least + 2 * 24, "{} files, {least} at least", model.files.len());
    assert!(model.rows_sorted <= seen.rows * 103 / 100 && model.rows_copied <= seen.rows * 102 / 100);
}

#[test]
fn days_of_little_traffic_end_as_two_files_each() {
    for (rate, files) in [(0.02, 2), (1.0, 2), (20.0, 2)] {
        let mut model = Model::default();
        let seen = model.go(3, rate, 65_536, &Limits::default());
        assert_eq!(model.files.len(), 3 * files, "at {rate}/s: {:?}", model.files);
        assert!(seen.running_max <= 100, "at {rate}/s: {} files in the last two hours", seen.running_max);
    }
}

#[test]
fn any_bounds_come_to_an_end_and_hold() {
    for (rows_max, rows_small, files_max, bytes_max) in
        [(1_000, 250, 512, 1 << 20), (10_000, 9_999, 3, 200_000), (1, 1, 2, 1), (5_000, 1, 7, 10_000_000)]
    {
        let limits = Limits { rows_max, rows_small, files_max, bytes_max, ..Limits::default() };
        let mut model = Model::default();
        let seen = model.go(1, 3.0, 100, &limits);
        assert!(model.largest_sort <= rows_max.max(100), "{limits:?}");
        assert!(
            model.files.iter().all(|file| file.size <= bytes_max.max(rows_max * ROW_BYTES).max(100 * ROW_BYTES)),
            "{limits:?}"
        );
        assert!(seen.age_max <= BEHIND_US);
    }
}

#[test]
fn what_comes_late_to_a_day_does_not_rewrite_it_each_time() {
    let mut model = Model::default();
    model.go(1, 1_736.0, 65_536, &Limits::default());
    let before = model.rows_copied + model.rows_sorted;
    let mut late = 0;
    for hour in 0..200 {
        let now = MIDNIGHT + 2 * DAY + hour * HOUR;
        let (from, rows) = (MIDNIGHT + hour % 24 * HOUR, 500);
        model.commit(rows, from, from + MINUTE, now);
        late += rows;
        model.maintain(now + HOUR + 3 * MINUTE, &Limits::default());
    }
    assert!(model.files.len() <= 48 + 2, "{} files", model.files.len());
    let work = model.rows_copied + model.rows_sorted - before;
    assert!(work < 200 * late, "{work} rows were written for {late}");
}

#[test]
fn a_collector_that_was_down_takes_what_is_left_hour_by_hour() {
    let mut model = Model::default();
    for at in 0..2 * 360 {
        let now = MIDNIGHT + at * 10 * SECOND;
        model.commit(100, now, now + 10 * SECOND - 1, now + 10 * SECOND);
    }
    let merges = plan(&model.files, MIDNIGHT + 5 * HOUR, &Limits::default());
    assert_eq!(merges.iter().map(|merge| (merge.work, merge.files.len())).collect::<Vec<_>>(), [(Work::Split, 360); 2]);
}

#[test]
fn rows_without_a_day_are_merged_among_themselves() {
    let mut model = Model::default();
    for at in 0..20 {
        let mut file = model.file(0, None, 10, -DAY, 90_000 * DAY, MIDNIGHT + at * MINUTE);
        file.date = None;
        model.files.push(file);
    }
    assert_eq!(plan(&model.files, MIDNIGHT + HOUR, &Limits::default()), []);
    let merges = plan(&model.files, MIDNIGHT + HOUR + MINUTE, &Limits::default());
    assert_eq!(
        merges.iter().map(|merge| (merge.work, merge.level, merge.files.len())).collect::<Vec<_>>(),
        [(Work::Undated, 0, 20)]
    );
    // Files of which the log does not know the times are left alone.
    model.files.iter_mut().for_each(|file| (file.date, file.min_time_us) = (Some("2024-10-04".to_owned()), i64::MIN));
    assert_eq!(plan(&model.files, MIDNIGHT + 9 * DAY, &Limits::default()), []);
    assert_eq!(oldest_unmerged_us(&model.files), None);
}

#[test]
fn runs_come_a_minute_after_the_end_of_each_span() {
    let every = 5 * MINUTE;
    assert_eq!(next_run_us(MIDNIGHT, every), MIDNIGHT + MINUTE);
    assert_eq!(next_run_us(MIDNIGHT + MINUTE, every), MIDNIGHT + 6 * MINUTE);
    assert_eq!(next_run_us(MIDNIGHT + 6 * MINUTE - 1, every), MIDNIGHT + 6 * MINUTE);
}
