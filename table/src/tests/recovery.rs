//! Exactly once, whatever happens between the steps.

use std::fs;
use std::sync::Arc;

use tollgate_config::ConfigDuration;

use super::{Feed, Frame, JOURNAL, config, files_on_disk, open, stored_seqs};
use crate::calendar::{day_of, format_day};
use crate::writer::{self, PendingBatch, WrittenFiles};
use crate::{Position, SyncCounts, TableError, TableWriter};

fn all(rows: i64) -> std::collections::BTreeSet<i64> {
    (1..=rows).collect()
}

/// The first two steps of a commit, by hand.
fn write_by_hand(sink: &TableWriter, frames: &[Frame]) -> WrittenFiles {
    let batches: Vec<_> = frames.iter().map(|frame| PendingBatch::of(&frame.batch)).collect();
    let (first, last) = (frames[0].position, frames[frames.len() - 1].position);
    let sealed = writer::seal(&batches, first, last).unwrap();
    writer::write(sink.table().disk(), sink.table().root(), &sealed, batches).unwrap()
}

// On one thread, as the log's reader takes another way there.
#[tokio::test]
async fn what_is_delivered_is_there_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let mut feed = Feed::new();
    let frames = feed.frames(5, 100);
    let (mut sink, table) = open(config(dir.path())).await.unwrap();
    assert_eq!(sink.recover().await.unwrap(), None);
    assert_eq!(table.needs_from(), 0);
    assert_eq!(sink.deliver(&frames[..3]).await.unwrap(), Some(2));
    assert_eq!(sink.deliver(&frames[3..]).await.unwrap(), Some(4));
    assert_eq!(table.snapshot().files.len(), 2);
    drop((sink, table));

    let (mut sink, table) = open(config(dir.path())).await.unwrap();
    assert_eq!(sink.recover().await.unwrap(), Some(4));
    assert_eq!(table.needs_from(), 5);
    assert_eq!(sink.deliver(&frames).await.unwrap(), Some(4));
    assert_eq!(stored_seqs(&table), all(500));
    assert_eq!(sink.deliver(&[feed.frame(7)]).await.unwrap(), Some(5));
    assert_eq!(stored_seqs(&table), all(507));
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_are_held_until_a_commit_is_worth_it() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = config(dir.path());
    config.commit_every = ConfigDuration::hours(1);
    config.commit_rows_max = 250;
    let mut feed = Feed::new();
    let (mut sink, table) = open(config.clone()).await.unwrap();
    assert_eq!(sink.deliver(&feed.frames(2, 100)).await.unwrap(), None);
    assert_eq!(table.stats().commits_total, 0);
    assert_eq!(sink.deliver(&[feed.frame(100)]).await.unwrap(), Some(2));
    assert_eq!(sink.deliver(&[feed.frame(1)]).await.unwrap(), Some(2));
    assert_eq!(sink.close().await.unwrap(), Some(3));
    assert_eq!(stored_seqs(&table), all(301));
    drop((sink, table));

    config.commit_every = ConfigDuration::default();
    let (mut sink, _table) = open(config).await.unwrap();
    assert_eq!(sink.deliver(&[feed.frame(1)]).await.unwrap(), Some(4));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_delivery_is_committed_in_bounded_pieces() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = config(dir.path());
    config.commit_rows_max = 100;
    let (mut sink, table) = open(config).await.unwrap();
    assert_eq!(sink.deliver(&Feed::new().frames(10, 50)).await.unwrap(), Some(9));
    let rows: Vec<_> = table.snapshot().files.iter().map(|file| file.rows).collect();
    assert_eq!(rows, [100; 5]);
    assert_eq!(stored_seqs(&table), all(500));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_between_files_and_commit_doubles_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let frames = Feed::new().frames(3, 50);
    let (sink, table) = open(config(dir.path())).await.unwrap();
    write_by_hand(&sink, &frames);
    drop((sink, table));

    let (mut sink, table) = open(config(dir.path())).await.unwrap();
    assert_eq!(sink.recover().await.unwrap(), None);
    assert_eq!(table.snapshot().rows(), 0);
    assert_eq!(files_on_disk(table.root()), 1);
    assert_eq!(sink.deliver(&frames).await.unwrap(), Some(2));
    assert_eq!(stored_seqs(&table), all(150));
    assert_eq!(files_on_disk(table.root()), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_between_commit_and_cursor_doubles_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let frames = Feed::new().frames(3, 50);
    let (sink, table) = open(config(dir.path())).await.unwrap();
    let written = write_by_hand(&sink, &frames);
    writer::commit(&table, &mut *table.log().await, &written).await.unwrap();
    drop((sink, table));

    let (mut sink, table) = open(config(dir.path())).await.unwrap();
    assert_eq!(sink.recover().await.unwrap(), Some(2));
    assert_eq!(sink.deliver(&frames).await.unwrap(), Some(2));
    assert_eq!(stored_seqs(&table), all(150));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_of_unknown_outcome_is_looked_up() {
    let dir = tempfile::tempdir().unwrap();
    let frames = Feed::new().frames(2, 50);
    let (mut sink, table) = open(config(dir.path())).await.unwrap();
    let written = write_by_hand(&sink, &frames);
    writer::commit(&table, &mut *table.log().await, &written).await.unwrap();
    sink.pretend_commit_failed(written);
    assert_eq!(sink.deliver(&frames).await.unwrap(), Some(1));
    assert_eq!(table.snapshot().through, Some(1));
    assert_eq!(stored_seqs(&table), all(100));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_write_is_retried_with_the_same_frames() {
    let dir = tempfile::tempdir().unwrap();
    let frames = Feed::new().frames(2, 50);
    let (mut sink, table) = open(config(dir.path())).await.unwrap();
    // A file stands where the partition's directory should.
    let obstacle = dir.path().join("date=2026-11-23");
    fs::write(&obstacle, "").unwrap();
    for _ in 0..2 {
        let failed = sink.deliver(&frames).await;
        assert!(matches!(failed, Err(TableError::Io { .. } | TableError::Log { .. })), "{failed:?}");
    }
    assert_eq!(table.stats().commit_failures_total, 2);
    fs::remove_file(&obstacle).unwrap();
    assert_eq!(sink.deliver(&frames).await.unwrap(), Some(1));
    assert_eq!(stored_seqs(&table), all(100));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_commit_keeps_its_files_for_the_next_try() {
    let dir = tempfile::tempdir().unwrap();
    let frames = Feed::new().frames(2, 50);
    let (mut sink, table) = open(config(dir.path())).await.unwrap();
    let (log, aside) = (dir.path().join("_delta_log"), dir.path().join("_aside"));
    fs::rename(&log, &aside).unwrap();
    fs::write(&log, "").unwrap();
    for _ in 0..3 {
        let failed = sink.deliver(&frames).await;
        assert!(matches!(failed, Err(TableError::Io { .. } | TableError::Log { .. })), "{failed:?}");
    }
    fs::remove_file(&log).unwrap();
    fs::rename(&aside, &log).unwrap();
    assert_eq!(sink.deliver(&frames).await.unwrap(), Some(1));
    assert_eq!(stored_seqs(&table), all(100));
    assert_eq!(files_on_disk(table.root()), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rebuild_starts_again_from_the_table() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = config(dir.path());
    config.commit_every = ConfigDuration::hours(1);
    config.commit_rows_max = 150;
    let frames = Feed::new().frames(3, 50);
    let (mut sink, table) = open(config).await.unwrap();
    assert_eq!(sink.deliver(&frames[..2]).await.unwrap(), None);
    assert_eq!(sink.recover().await.unwrap(), None);
    assert_eq!(sink.deliver(&frames).await.unwrap(), Some(2));
    assert_eq!(stored_seqs(&table), all(150));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_commit_is_synced_before_it_is_answered() {
    let dir = tempfile::tempdir().unwrap();
    let mut feed = Feed::new();
    let (mut sink, table) = open(config(dir.path())).await.unwrap();
    let before = table.sync_counts();
    sink.deliver(&[feed.frame(10)]).await.unwrap();
    let first = table.sync_counts();
    // The data file, the ids beside it and the log entry; the root for the new partition, the partition, and the log's
    // directory; and for the ids four new folders, each in the one above it, and the innermost.
    assert_eq!(first, SyncCounts { files: before.files + 3, directories: before.directories + 3 + 5 });
    sink.deliver(&[feed.frame(10)]).await.unwrap();
    assert_eq!(table.sync_counts(), SyncCounts { files: first.files + 3, directories: first.directories + 2 + 2 });
}

#[tokio::test(flavor = "multi_thread")]
async fn one_commit_covers_several_days_and_bounds_their_number() {
    let dir = tempfile::tempdir().unwrap();
    let mut feed = Feed::new();
    let mut frames = Vec::new();
    for day in 0..40 {
        feed.skip_to(super::T0 + day * 86_400 * super::SECOND);
        frames.push(feed.frame(if day < 35 { 3 } else { 1 }));
    }
    let (mut sink, table) = open(config(dir.path())).await.unwrap();
    assert_eq!(sink.deliver(&frames).await.unwrap(), Some(39));
    let files = table.snapshot().files;
    assert_eq!(files.len(), crate::rows::PARTITIONS_PER_COMMIT_MAX + 1);
    let undated: Vec<_> = files.iter().filter(|file| file.date.is_none()).collect();
    assert_eq!((undated.len(), undated[0].rows), (1, 3 * 3 + 5));
    for file in files.iter().filter(|file| file.date.is_some()) {
        let day = format_day(day_of(file.min_time_us).unwrap());
        assert_eq!(file.date.as_deref(), Some(day.as_str()));
        assert_eq!(day_of(file.max_time_us), day_of(file.min_time_us));
    }
    assert_eq!(stored_seqs(&table), all(35 * 3 + 5));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_writer_is_refused_and_another_journal_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let (mut sink, _table) = open(config(dir.path())).await.unwrap();
    let refused = open(config(dir.path())).await.map(drop);
    assert!(matches!(refused, Err(TableError::Locked(_))), "{refused:?}");

    let (mut other_sink, other_table) = crate::open(config(dir.path()), "other").await.unwrap();
    // Both append; each finds the other's commit in the way, and goes on after it.
    let mut positions: [Option<Position>; 2] = [None, None];
    let (mut one, mut two) = (Feed::new(), Feed::named("gate-2"));
    for _ in 0..3 {
        positions[0] = sink.deliver(&[one.frame(10)]).await.unwrap();
        positions[1] = other_sink.deliver(&[two.frame(10)]).await.unwrap();
    }
    assert_eq!(positions, [Some(2), Some(2)]);
    assert_eq!(other_table.snapshot().rows(), 60);
    assert_eq!(other_sink.recover().await.unwrap(), Some(2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn writers_of_two_journals_race_and_both_get_on() {
    let dir = tempfile::tempdir().unwrap();
    let writers = ["one", "two"].map(|journal| {
        let config = config(dir.path());
        async move {
            let (mut sink, table) = crate::open(config, journal).await.unwrap();
            let mut feed = Feed::named(journal);
            for _ in 0..40 {
                sink.deliver(&[feed.frame(5)]).await.unwrap();
            }
            assert_eq!(sink.recover().await.unwrap(), Some(39));
            table.stats().commit_conflicts_total
        }
    });
    let [one, two] = writers.map(tokio::spawn);
    let conflicts = one.await.unwrap() + two.await.unwrap();
    let table = crate::Table::open_read_only(dir.path()).await.unwrap();
    assert_eq!((table.snapshot().rows(), table.snapshot().version), (400, 80));
    println!("{conflicts} conflicts");
}

#[tokio::test(flavor = "multi_thread")]
async fn another_process_with_the_same_journal_is_noticed() {
    let dir = tempfile::tempdir().unwrap();
    let frames = Feed::new().frames(3, 10);
    let (mut sink, table) = open(config(dir.path())).await.unwrap();
    // As one on another machine could do, where the lock does not reach.
    let other = crate::Table::open(&config(dir.path()), crate::clock::Clock::default(), JOURNAL).await.unwrap();
    let written = write_by_hand(&sink, &frames[..2]);
    writer::commit(&other, &mut *other.log().await, &written).await.unwrap();
    let noticed = sink.deliver(&frames[..1]).await;
    assert!(matches!(noticed, Err(TableError::Overtaken)), "{noticed:?}");
    assert_eq!(sink.recover().await.unwrap(), Some(1));
    assert_eq!(sink.deliver(&frames).await.unwrap(), Some(2));
    assert_eq!(stored_seqs(&table), all(30));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_of_another_schema_is_refused_and_the_rest_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let mut feed = Feed::new();
    let mut frames = feed.frames(3, 10);
    let bad = &frames[1].batch;
    let records = bad.records.project(&[0, 1, 2]).unwrap();
    frames[1].batch = Arc::new(tollgate_record::Batch { meta: bad.meta.clone(), records });
    let (mut sink, table) = open(config(dir.path())).await.unwrap();
    let refused = sink.deliver(&frames).await;
    assert!(matches!(refused, Err(TableError::Malformed(_))), "{refused:?}");
    assert_eq!(sink.deliver(&[]).await.unwrap(), Some(0));
    assert_eq!(sink.deliver(&frames[2..]).await.unwrap(), Some(2));
    assert_eq!(stored_seqs(&table).len(), 20);
}
