//! Checkpoints, compaction and retention change no row.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tollgate_config::ConfigDuration;

use super::{Feed, JOURNAL, SECOND, T0, config, files_on_disk, open, open_at, seqs_of, stored_seqs};
use crate::clock::Clock;
use crate::snapshot::DataFile;
use crate::{RowOrder, Table, TableError};

const HOUR: i64 = 3_600 * SECOND;

fn checkpoints(table: &Table) -> usize {
    let log = std::fs::read_dir(table.root().join("_delta_log")).unwrap();
    log.filter(|entry| entry.as_ref().unwrap().file_name().to_string_lossy().contains(".checkpoint.")).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_checkpoint_holds_the_files_and_the_position() {
    let dir = tempfile::tempdir().unwrap();
    let mut feed = Feed::new();
    let (mut sink, table) = open(config(dir.path())).await.unwrap();
    for frame in feed.frames(5, 20) {
        sink.deliver(&[frame]).await.unwrap();
    }
    let synced = table.sync_counts();
    table.checkpoint().await.unwrap();
    assert_eq!(checkpoints(&table), 1);
    // The checkpoint and the pointer to it.
    assert_eq!(table.sync_counts().files, synced.files + 2);
    sink.deliver(&[feed.frame(20)]).await.unwrap();
    let before = table.snapshot();
    drop((sink, table));

    // The entries that the checkpoint stands for are not needed any more.
    for version in 0..5 {
        std::fs::remove_file(dir.path().join(format!("_delta_log/{version:020}.json"))).unwrap();
    }
    let (mut sink, table) = open(config(dir.path())).await.unwrap();
    assert_eq!(sink.recover().await.unwrap(), Some(5));
    assert_eq!(table.snapshot().files, before.files);
    assert_eq!(stored_seqs(&table).len(), 120);
}

#[tokio::test(flavor = "multi_thread")]
async fn checkpoints_are_written_beside_the_commits() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = config(dir.path());
    config.checkpoint_commits = 4;
    let mut feed = Feed::new();
    let (mut sink, table) = open(config).await.unwrap();
    let deadline = std::time::Instant::now() + Duration::from_secs(60);
    while table.stats().checkpoints_total < 2 {
        assert!(std::time::Instant::now() < deadline, "{:?}", table.stats());
        sink.deliver(&[feed.frame(5)]).await.unwrap();
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(checkpoints(&table) >= 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn commits_of_five_minutes_that_are_over_are_merged() {
    let dir = tempfile::tempdir().unwrap();
    let mut feed = Feed::new().at(T0 + 10 * SECOND);
    let (mut sink, table) = open(config(dir.path())).await.unwrap();
    for frame in feed.frames(20, 30) {
        sink.deliver(&[frame]).await.unwrap();
    }
    feed.skip_to(T0 + HOUR + 10 * SECOND);
    for frame in feed.frames(9, 30) {
        sink.deliver(&[frame]).await.unwrap();
    }
    let before = stored_seqs(&table);
    let minute = 60 * SECOND;
    assert_eq!(table.compact_by(T0 + 6 * minute - 1).await.unwrap(), 0, "a minute is left to what is on its way");
    assert_eq!(table.compact_by(T0 + 6 * minute).await.unwrap(), 20);
    let files = table.snapshot().files;
    assert_eq!(files.len(), 9 + 2);
    assert_eq!(stored_seqs(&table), before);
    let merged: Vec<_> = files.iter().filter(|file| file.level == 1).collect();
    assert_eq!(merged.iter().map(|file| file.rows).sum::<u64>(), 600);
    for file in merged {
        assert_eq!((file.order, file.date.as_deref()), (RowOrder::Service, Some("2026-11-23")));
        assert!(!seqs_of(table.root(), file).is_sorted(), "sorted by service first");
    }
    // Readers of the older version still find its files.
    assert_eq!(files_on_disk(table.root()), 29 + 2);
    assert_eq!(table.compact_by(T0 + HOUR).await.unwrap(), 0);
    assert_eq!(table.compact_by(T0 + 2 * HOUR).await.unwrap(), 9);
    drop((sink, table));

    let (mut sink, table) = open(config(dir.path())).await.unwrap();
    assert_eq!(sink.recover().await.unwrap(), Some(28));
    assert_eq!(stored_seqs(&table), before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn commits_and_merges_go_on_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let mut feed = Feed::new().at(T0);
    let (mut sink, table) = open(config(dir.path())).await.unwrap();
    let merging = {
        let table = Arc::clone(&table);
        tokio::spawn(async move {
            let mut merged = 0;
            while merged < 24 {
                merged += table.compact_by(T0 + 2 * HOUR).await.unwrap();
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
    };
    while !merging.is_finished() {
        sink.deliver(&[feed.frame(25)]).await.unwrap();
        assert!(feed.position < 500, "{:?}", table.stats());
    }
    merging.await.unwrap();
    assert!(table.stats().compactions_total > 1);
    assert_eq!(stored_seqs(&table).len() as u64, feed.position * 25);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_merge_whose_files_are_gone_is_taken_back() {
    let dir = tempfile::tempdir().unwrap();
    let mut feed = Feed::new();
    let (mut sink, table) = open(config(dir.path())).await.unwrap();
    for frame in feed.frames(10, 30) {
        sink.deliver(&[frame]).await.unwrap();
    }
    // Another process merges the same files, and this one does not know yet.
    let other = Table::open(&config(dir.path()), Clock::default(), JOURNAL).await.unwrap();
    assert_eq!(other.compact_by(T0 + 2 * HOUR).await.unwrap(), 10);
    let on_disk = files_on_disk(table.root());
    let failed = table.compact_by(T0 + 2 * HOUR).await;
    assert!(matches!(failed, Err(TableError::Inconsistent(_))), "{failed:?}");
    assert_eq!(files_on_disk(table.root()), on_disk, "its files are deleted");
    assert_eq!(table.snapshot().files.len(), 2);
    assert_eq!(stored_seqs(&table).len(), 300);
    sink.deliver(&[feed.frame(30)]).await.unwrap();
    assert_eq!(stored_seqs(&table).len(), 330);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_merge_goes_on_after_commits_of_others() {
    let dir = tempfile::tempdir().unwrap();
    let mut feed = Feed::new();
    let (mut sink, table) = open(config(dir.path())).await.unwrap();
    for frame in feed.frames(10, 30) {
        sink.deliver(&[frame]).await.unwrap();
    }
    let other = Table::open(&config(dir.path()), Clock::default(), JOURNAL).await.unwrap();
    sink.deliver(&[feed.frame(30)]).await.unwrap();
    assert_eq!(other.compact_by(T0 + 2 * HOUR).await.unwrap(), 11, "that of others included");
    assert_eq!(stored_seqs(&other).len(), 330);
    sink.deliver(&[feed.frame(30)]).await.unwrap();
    assert_eq!(stored_seqs(&table).len(), 360);
}

#[tokio::test(flavor = "multi_thread")]
async fn days_past_their_retention_leave_the_table() {
    let dir = tempfile::tempdir().unwrap();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_micros() as i64;
    let mut feed = Feed::new();
    let (mut sink, table) = open(config(dir.path())).await.unwrap();
    for days_ago in [10, 3, 1, 0] {
        feed.skip_to(now - days_ago * 24 * HOUR);
        sink.deliver(&[feed.frame(1)]).await.unwrap();
    }
    assert_eq!(table.expire(30).await.unwrap(), 0);
    assert_eq!(table.expire(4).await.unwrap(), 1);
    assert_eq!(table.snapshot().rows(), 3);
    assert_eq!(table.expire(2).await.unwrap(), 1);
    assert_eq!(stored_seqs(&table).len(), 2);
    // Too young to be deleted.
    assert_eq!(table.vacuum().await.unwrap(), 0);
    assert_eq!(files_on_disk(table.root()), 4);
    assert_eq!(stored_seqs(&table).len(), 2);
    sink.deliver(&[feed.frame(1)]).await.unwrap();
    assert_eq!(sink.recover().await.unwrap(), Some(4));
}

#[tokio::test(flavor = "multi_thread")]
async fn merges_run_by_the_clock_where_nothing_comes() {
    let dir = tempfile::tempdir().unwrap();
    let now_us = Arc::new(AtomicI64::new(T0 + 10 * SECOND));
    let mut config = config(dir.path());
    config.merge_every = Some(ConfigDuration::mins(5));
    let (mut sink, table) = open_at(config.clone(), &now_us).await.unwrap();
    for frame in Feed::new().frames(5, 20) {
        sink.deliver(&[frame]).await.unwrap();
    }
    assert_eq!(table.snapshot().files.len(), 5);
    now_us.store(T0 + 6 * 60 * SECOND, Ordering::SeqCst);
    drop((sink, table));
    // Nothing is committed from here on.
    let (mut sink, table) = open_at(config, &now_us).await.unwrap();
    let deadline = std::time::Instant::now() + Duration::from_secs(60);
    while table.stats().merge_files_in_total < 5 {
        assert!(std::time::Instant::now() < deadline, "{:?}", table.stats());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    sink.close().await.unwrap();
    assert_eq!((table.snapshot().files.len(), table.stats().unmerged_age_us), (2, 0));
    assert_eq!(stored_seqs(&table).len(), 100);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_oldest_days_leave_a_table_that_is_too_large_and_today_stays() {
    let dir = tempfile::tempdir().unwrap();
    let day = 24 * HOUR;
    let now_us = Arc::new(AtomicI64::new(T0 + 3 * day));
    let mut feed = Feed::new();
    let (mut sink, table) = open_at(config(dir.path()), &now_us).await.unwrap();
    for at in 0..4 {
        feed.skip_to(T0 + at * day);
        sink.deliver(&[feed.frame(100)]).await.unwrap();
    }
    let beside = |file: &DataFile| file.sidecar.values().map(|part| part.bytes).sum::<u64>();
    let bytes: Vec<_> = table.snapshot().files.iter().map(|file| file.size + beside(file)).collect();
    let all: u64 = bytes.iter().sum();
    assert_eq!(table.expire_beyond(all).await.unwrap(), 0);
    assert_eq!(table.expire_beyond(all - 1).await.unwrap(), 1, "a day goes whole");
    assert_eq!(table.snapshot().files[0].date.as_deref(), Some("2026-11-24"));
    assert_eq!(table.expire_beyond(bytes[2] + bytes[3]).await.unwrap(), 1);
    assert_eq!(table.expire_beyond(0).await.unwrap(), 1);
    assert_eq!(table.expire_beyond(0).await.unwrap(), 0);
    assert_eq!(table.snapshot().files[0].date.as_deref(), Some("2026-11-26"), "today stays");
    assert_eq!(stored_seqs(&table).len(), 100);
}
