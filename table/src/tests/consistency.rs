//! A snapshot taken at any moment holds every appended row once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tollgate_config::{ByteSize, ConfigDuration};

use super::{Feed, config, open, stored_seqs};
use crate::{Snapshot, Table};

fn check(snapshot: &Snapshot, at_least: u64, at_most: u64) {
    let rows = snapshot.rows();
    assert!((at_least..=at_most).contains(&rows), "{rows} rows, and {at_least} to {at_most} were appended");
    let first = snapshot.through.map_or(0, |through| through + 1);
    for (expected, batch) in (first..).zip(&snapshot.hot) {
        assert_eq!(batch.position, expected, "hot rows start after {:?}", snapshot.through);
    }
    assert!(snapshot.files.is_sorted_by_key(|file| file.min_time_us));
}

/// Looks at the table as fast as it can until it is told to stop; answers how often.
fn observe(table: Arc<Table>, counts: Arc<[AtomicU64; 2]>, stop: Arc<AtomicBool>) -> u64 {
    let mut looks = 0;
    while !stop.load(Ordering::Acquire) {
        let at_least = counts[1].load(Ordering::SeqCst);
        let snapshot = table.snapshot();
        let at_most = counts[0].load(Ordering::SeqCst);
        check(&snapshot, at_least, at_most);
        looks += 1;
    }
    looks
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn hot_rows_and_files_together_are_what_was_appended() {
    const FRAMES: usize = 120;
    const ROWS: usize = 40;
    let dir = tempfile::tempdir().unwrap();
    let mut config = config(dir.path());
    config.commit_every = ConfigDuration::hours(1);
    config.commit_rows_max = 10 * ROWS;
    config.checkpoint_commits = 3;
    let (mut sink, table) = open(config).await.unwrap();
    // Rows whose append has begun, and whose append is over.
    let counts: Arc<[AtomicU64; 2]> = Arc::default();
    let stop = Arc::<AtomicBool>::default();
    let watch = |_| {
        let (table, counts, stop) = (Arc::clone(&table), Arc::clone(&counts), Arc::clone(&stop));
        std::thread::spawn(move || observe(table, counts, stop))
    };
    let watchers: Vec<_> = (0..2).map(watch).collect();

    let mut feed = Feed::new();
    for _ in 0..FRAMES {
        let frame = feed.frame(ROWS);
        counts[0].fetch_add(ROWS as u64, Ordering::SeqCst);
        table.show(&frame);
        counts[1].fetch_add(ROWS as u64, Ordering::SeqCst);
        sink.deliver(&[frame]).await.unwrap();
    }
    sink.close().await.unwrap();
    stop.store(true, Ordering::Release);
    for watcher in watchers {
        assert!(watcher.join().unwrap() > 0);
    }
    let snapshot = table.snapshot();
    assert_eq!((snapshot.hot.len(), snapshot.through), (0, Some(FRAMES as u64 - 1)));
    assert_eq!(stored_seqs(&table).len(), FRAMES * ROWS);
}

#[tokio::test(flavor = "multi_thread")]
async fn evicted_hot_rows_are_reported_until_a_commit_brings_them() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = config(dir.path());
    let mut feed = Feed::new();
    let frames = feed.frames(6, 100);
    config.commit_rows_max = 10_000;
    config.commit_every = ConfigDuration::hours(1);
    let one = crate::HotBatch::new(0, &frames[0].batch).bytes;
    config.hot_bytes_max = ByteSize(one as u64 * 3);
    let (mut sink, table) = open(config).await.unwrap();
    for frame in &frames {
        table.show(frame);
    }
    let before = table.snapshot();
    let hot: usize = before.hot.iter().map(|batch| batch.records.num_rows()).sum();
    assert!((200..=300).contains(&hot), "{hot}");
    assert_eq!(before.hot_evicted + hot as u64, 600);
    assert_eq!(sink.deliver(&frames).await.unwrap(), None);
    sink.close().await.unwrap();
    let after = table.snapshot();
    assert_eq!((after.hot_evicted, after.hot.len(), after.rows()), (0, 0, 600));
    assert_eq!(table.stats().hot_rows_evicted_total, before.hot_evicted);
    // A snapshot is a picture: it does not change any more.
    assert_eq!(before.rows(), hot as u64);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tail_behind_the_sink_adds_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let mut feed = Feed::new();
    let frames = feed.frames(3, 10);
    let (mut sink, table) = open(config(dir.path())).await.unwrap();
    sink.deliver(&frames[..2]).await.unwrap();
    for frame in &frames {
        table.show(frame);
    }
    let snapshot = table.snapshot();
    assert_eq!((snapshot.hot.len(), snapshot.rows()), (1, 30));
    assert_eq!(table.needs_from(), 2);
}
