//! How rows lie in files, level by level, with a clock that the test moves.

use std::fs::File;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use arrow_array::cast::AsArray as _;
use arrow_array::types::TimestampMicrosecondType;
use parquet::file::metadata::{PageIndexPolicy, ParquetMetaData, ParquetMetaDataReader};

use super::{Feed, SECOND, T0, config, files_on_disk, open_at, seqs_of, stored_seqs};
use crate::clock::Clock;
use crate::compaction::{Limits, Pace};
use crate::rollup::ROLLUPS;
use crate::snapshot::DataFile;
use crate::{RowOrder, Table, TableWriter};

const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;

/// A table whose commits come every minute, and the clock with them.
struct Day {
    feed: Feed,
    now_us: Arc<AtomicI64>,
    writer: TableWriter,
    table: Arc<Table>,
    _dir: tempfile::TempDir,
}

impl Day {
    async fn begin() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let now_us = Arc::new(AtomicI64::new(T0));
        let (writer, table) = open_at(config(dir.path()), &now_us).await.unwrap();
        Self { feed: Feed::new(), now_us, writer, table, _dir: dir }
    }

    fn now(&self) -> i64 {
        self.now_us.load(Ordering::SeqCst)
    }

    /// Moves the clock, commit by commit and merge by merge.
    async fn go_on(&mut self, until_us: i64, rows: usize, limits: &Limits) {
        while self.now() < until_us {
            if rows > 0 {
                self.feed.skip_to(self.now() + 10 * SECOND);
                let frame = self.feed.frame(rows);
                self.now_us.fetch_add(MINUTE, Ordering::SeqCst);
                self.writer.deliver(&[frame]).await.unwrap();
            } else {
                self.now_us.fetch_add(MINUTE, Ordering::SeqCst);
            }
            self.table.compact_at(self.now(), limits, &Pace::default()).await.unwrap();
        }
    }

    fn files(&self, level: u8, failures: Option<bool>) -> Vec<DataFile> {
        let files = self.table.snapshot().files;
        files.iter().filter(|file| file.level == level && file.failures == failures).cloned().collect()
    }

    /// What stands beside each file is what its rows make.
    async fn check_sidecars(&self) {
        for file in self.table.snapshot().files.iter() {
            let parts: Vec<_> = file.sidecar.keys().map(String::as_str).collect();
            let expected = if file.level == 0 { vec!["ids"] } else { all_parts() };
            assert_eq!(parts, expected, "{}", file.path);
            assert_eq!(self.table.check_sidecar(file).await.unwrap(), Vec::<String>::new(), "{}", file.path);
        }
    }

    fn metadata(&self, file: &DataFile) -> ParquetMetaData {
        let source = File::open(self.table.root().join(&file.path)).unwrap();
        let reader = ParquetMetaDataReader::new().with_page_index_policy(PageIndexPolicy::Required);
        reader.parse_and_finish(&source).unwrap()
    }
}

fn all_parts() -> Vec<&'static str> {
    let mut parts: Vec<_> = ROLLUPS.iter().map(|rollup| rollup.name).chain(["ids"]).collect();
    parts.sort_unstable();
    parts
}

/// Bounds that rows of a test reach: an hour is concatenated, and failures are merged by rows.
fn low() -> Limits {
    Limits { rows_max: 3_000, rows_small: 300, ..Limits::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn levels_follow_the_clock_and_keep_outcomes_apart() {
    let mut day = Day::begin().await;
    day.go_on(T0 + 6 * MINUTE, 100, &low()).await;
    assert_eq!(day.files(0, None).len(), 1, "the sixth minute");
    for failures in [true, false] {
        let files = day.files(1, Some(failures));
        assert_eq!(files.len(), 1);
        let file = &files[0];
        assert_eq!(file.order, RowOrder::Service);
        // What the log says tells the outcomes apart.
        let nulls = file.stats["error_class"].nulls;
        assert_eq!(nulls, Some(if failures { 0 } else { file.rows }));
        let classes: &[&str] = if failures { &["connect_refused"] } else { &[] };
        assert!(file.values["error_class"].iter().eq(classes));
        assert!(file.values["kind"].iter().eq(["transaction"]));
        assert_sorted(&day.table, file);
    }
    day.check_sidecars().await;
    day.go_on(T0 + HOUR + 2 * MINUTE, 100, &low()).await;
    let hour: Vec<_> = day.files(2, Some(false));
    assert_eq!((hour.len(), day.files(1, Some(false)).len()), (1, 0));
    assert_eq!((day.files(2, Some(true)).len(), day.files(1, Some(true)).len()), (1, 0));
    // Copied as they were, with their page indexes.
    let metadata = day.metadata(&hour[0]);
    assert_eq!(metadata.num_row_groups(), 12);
    assert!(metadata.column_index().is_some() && metadata.offset_index().is_some());
    assert!(hour[0].stats.contains_key("service") && hour[0].values.contains_key("method"));
    assert_eq!(stored_seqs(&day.table).len(), 62 * 100);
    day.check_sidecars().await;
    assert!(day.table.stats().merge_rows_total >= 2 * 60 * 100);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_day_of_little_traffic_ends_as_two_files() {
    let mut day = Day::begin().await;
    // T0 is nine o'clock.
    day.go_on(T0 + 3 * HOUR, 3, &Limits::default()).await;
    day.go_on(T0 + 15 * HOUR + 31 * MINUTE, 0, &Limits::default()).await;
    assert_eq!((day.files(3, Some(false)).len(), day.files(3, Some(true)).len()), (1, 1));
    assert_eq!(day.table.snapshot().files.len(), 2);
    assert_eq!(stored_seqs(&day.table).len(), 540);
    day.check_sidecars().await;
    day.files(3, Some(false)).iter().for_each(|file| assert_sorted(&day.table, file));
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_do_not_fit_into_memory_are_merged_in_turns() {
    let mut day = Day::begin().await;
    let limits = Limits { memory_max: 1, ..Limits::default() };
    day.go_on(T0 + 5 * MINUTE, 20, &limits).await;
    assert_eq!(day.files(0, None).len(), 5);
    day.now_us.fetch_add(MINUTE, Ordering::SeqCst);
    let run = day.table.compact_at(day.now(), &limits, &Pace::default()).await.unwrap();
    assert_eq!((run.merges, run.files_in), (5, 5), "one file at a time");
    assert_eq!(stored_seqs(&day.table).len(), 100);
}

#[tokio::test(flavor = "multi_thread")]
async fn files_of_later_levels_that_do_not_fit_into_memory_are_concatenated_once() {
    let mut day = Day::begin().await;
    let limits = Limits { memory_max: 1, ..Limits::default() };
    day.go_on(T0 + 2 * HOUR + 3 * MINUTE, 20, &limits).await;
    assert_eq!(day.files(2, Some(false)).len(), 2, "two hours");
    day.go_on(T0 + 15 * HOUR + 31 * MINUTE, 0, &limits).await;
    assert_eq!((day.files(3, Some(false)).len(), day.table.snapshot().files.len()), (1, 2));
    let rows = stored_seqs(&day.table).len() as u64;
    assert_eq!(rows, 123 * 20);
    let written = day.table.stats().merge_rows_total;
    assert!(written <= 4 * rows, "{written} rows were written for {rows}");
    day.check_sidecars().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_file_keeps_no_other_from_being_merged() {
    let mut day = Day::begin().await;
    day.go_on(T0 + 10 * MINUTE, 20, &low()).await;
    assert_eq!((day.files(0, None).len(), day.files(1, Some(false)).len()), (5, 1));
    let damaged = day.files(0, None).swap_remove(2).path;
    std::fs::write(day.table.root().join(&damaged), "damaged").unwrap();
    // Its neighbours in these five minutes, and then the hour.
    for (minutes, levels) in [(11, [1, 2, 0]), (62, [1, 0, 1])] {
        day.now_us.store(T0 + minutes * MINUTE, Ordering::SeqCst);
        let run = day.table.compact_at(day.now(), &low(), &Pace::default()).await;
        assert!(run.is_err_and(|error| error.to_string().contains("read a file to be merged")));
        let files = [day.files(0, None), day.files(1, Some(false)), day.files(2, Some(false))];
        assert_eq!(files.each_ref().map(Vec::len), levels, "after {minutes} minutes");
        assert_eq!(files[0][0].path, damaged);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_is_ahead_delays_nothing_and_a_late_spool_finds_its_hour() {
    let mut day = Day::begin().await;
    day.feed.skip_to(T0 + 8 * HOUR);
    let ahead = day.feed.frame(10);
    day.writer.deliver(&[ahead]).await.unwrap();
    day.go_on(T0 + 6 * MINUTE, 10, &Limits::default()).await;
    assert!(
        day.files(0, None).iter().all(|file| file.min_time_us > T0 + 5 * MINUTE),
        "the first five minutes are merged"
    );
    // Rows of the day before and of two hours ago come late.
    day.go_on(T0 + 3 * HOUR, 0, &Limits::default()).await;
    for ago in [24 * HOUR, 2 * HOUR] {
        day.feed.skip_to(day.now() - ago);
        let late = day.feed.frame(10);
        day.writer.deliver(&[late]).await.unwrap();
    }
    day.go_on(T0 + 5 * HOUR, 0, &Limits::default()).await;
    assert_eq!(day.table.unmerged_age_us(day.now()), 0);
    assert_eq!(stored_seqs(&day.table).len(), 10 + 60 + 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn files_that_left_the_table_are_deleted_and_the_others_stay() {
    let mut day = Day::begin().await;
    // The clock of the log stands in the past, so that what was removed is older than a day.
    let hours_ago_72 = Clock::default().now_us().div_euclid(HOUR) * HOUR - 72 * HOUR;
    day.now_us.store(hours_ago_72, Ordering::SeqCst);
    day.go_on(hours_ago_72 + 6 * MINUTE, 20, &Limits::default()).await;
    let active = day.table.snapshot().files.len();
    assert!(files_on_disk(day.table.root()) > active);
    let seqs = stored_seqs(&day.table);
    assert_eq!(seqs.len(), 120);
    assert!(day.table.vacuum().await.unwrap() > 0);
    assert_eq!(files_on_disk(day.table.root()), active);
    assert_eq!(stored_seqs(&day.table), seqs);
}

/// Any sequence of commits, pauses, merges that fail half-way, checkpoints, restarts and vacuums leaves every row once.
#[tokio::test(flavor = "multi_thread")]
async fn whatever_happens_every_row_is_there_once() {
    for seed in 1..=2_u64 {
        let mut day = Day::begin().await;
        let limits = Limits { rows_max: 200, rows_small: 60, files_max: 6, bytes_max: 400_000, ..Limits::default() };
        let (mut state, mut rows) = (seed.wrapping_mul(0x9e37_79b9_7f4a_7c15), 0);
        for step in 0..45 {
            // Xorshift: any fixed scatter will do.
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            let pause = [MINUTE / 2, 3 * MINUTE, 40 * MINUTE, 9 * HOUR][(state >> 8) as usize % 4];
            day.now_us.fetch_add(pause, Ordering::SeqCst);
            match state % 8 {
                0..=3 => {
                    let late = [0, MINUTE, 2 * HOUR, 26 * HOUR][(state >> 16) as usize % 4];
                    day.feed.skip_to(day.now() - late);
                    let frame = day.feed.frame(1 + (state >> 24) as usize % 40);
                    rows += frame.batch.records.num_rows();
                    day.writer.deliver(&[frame]).await.unwrap();
                }
                4 => {
                    // What a merge that was cut off leaves behind: files that no commit names.
                    let stopped = Arc::new(std::sync::atomic::AtomicBool::new(true));
                    let pace = Pace::easy(&stopped);
                    let _ = day.table.compact_at(day.now(), &limits, &pace).await;
                }
                5 => day.table.checkpoint().await.unwrap(),
                6 => drop(day.table.vacuum().await.unwrap()),
                _ => {}
            }
            if step % 3 == 0 {
                day.table.compact_at(day.now(), &limits, &Pace::default()).await.unwrap();
            }
            assert_eq!(stored_seqs(&day.table).len(), rows, "seed {seed}, step {step}");
        }
        day.now_us.fetch_add(72 * HOUR, Ordering::SeqCst);
        day.table.compact_at(day.now(), &limits, &Pace::default()).await.unwrap();
        assert_eq!(stored_seqs(&day.table).len(), rows, "seed {seed}");
        assert_eq!(day.table.unmerged_age_us(day.now()), 0);
        let reread = Table::open(&config(day.table.root()), Clock::default(), "other").await.unwrap();
        assert_eq!(reread.snapshot().files, day.table.snapshot().files, "the log says the same");
        day.check_sidecars().await;
    }
}

fn assert_sorted(table: &Table, file: &DataFile) {
    use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
    let source = File::open(table.root().join(&file.path)).unwrap();
    let reader = ParquetRecordBatchReaderBuilder::try_new(source).unwrap().build().unwrap();
    let mut keys = Vec::new();
    for batch in reader {
        let batch = batch.unwrap();
        let times = batch.column_by_name("time").unwrap().as_primitive::<TimestampMicrosecondType>();
        let services = batch.column_by_name("service").unwrap().as_string::<i32>();
        let row =
            |row: usize| (times.value(row).div_euclid(5 * MINUTE), services.value(row).to_owned(), times.value(row));
        keys.extend((0..batch.num_rows()).map(row));
    }
    assert!(keys.is_sorted(), "{}", file.path);
    assert_eq!(keys.len(), seqs_of(table.root(), file).len());
}
