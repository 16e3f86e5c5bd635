//! A batch that two collectors received is in the table once.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use arrow_array::cast::AsArray as _;
use arrow_array::types::Int64Type;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::{Feed, Frame, T0, config, files_on_disk, open, stored_seqs};
use crate::{Table, TableError, TableWriter};

const HOUR: i64 = 3_600 * super::SECOND;

async fn open_as(journal: &str, dir: &Path) -> Result<(TableWriter, Arc<Table>), TableError> {
    crate::open(config(dir), journal).await
}

async fn pair(dir: &Path) -> [(TableWriter, Arc<Table>); 2] {
    [open_as("a", dir).await.unwrap(), open_as("b", dir).await.unwrap()]
}

/// How often each record is in the table, as its files say.
async fn records(dir: &Path) -> BTreeMap<(String, i64), u64> {
    let mut found = BTreeMap::new();
    let table = Table::open_read_only(dir).await.unwrap();
    for file in table.snapshot().files.iter() {
        let reader = File::open(table.root().join(&file.path)).unwrap();
        for batch in ParquetRecordBatchReaderBuilder::try_new(reader).unwrap().build().unwrap() {
            let batch = batch.unwrap();
            let producers = batch.column_by_name("producer").unwrap().as_string::<i32>();
            let seqs = batch.column_by_name("seq").unwrap().as_primitive::<Int64Type>();
            for (producer, seq) in producers.iter().zip(seqs.values()) {
                *found.entry((producer.unwrap().to_owned(), *seq)).or_default() += 1;
            }
        }
    }
    found
}

/// The same batches as another journal numbers them.
fn at(first: u64, frames: &[Frame]) -> Vec<Frame> {
    let moved = |(position, frame): (u64, &Frame)| Frame { position, ..frame.clone() };
    (first..).zip(frames).map(moved).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_another_collector_has_stored_is_left_out() {
    let dir = tempfile::tempdir().unwrap();
    let [(mut a, _), (mut b, table)] = pair(dir.path()).await;
    let frames = Feed::new().frames(6, 20);
    assert_eq!(a.deliver(&frames[..4]).await.unwrap(), Some(3));
    // The others of one commit stay, and a commit of doubles alone moves the position.
    assert_eq!(b.deliver(&at(0, &frames[2..])).await.unwrap(), Some(3));
    assert_eq!(b.deliver(&at(4, &frames[..2])).await.unwrap(), Some(5));
    assert_eq!(stored_seqs(&table).len(), 120);
    assert_eq!(table.stats().doubles_total, 80);
    assert_eq!(b.recover().await.unwrap(), Some(5));
    assert_eq!(a.deliver(&frames[4..]).await.unwrap(), Some(5));
    assert_eq!(records(dir.path()).await.len(), 120);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_twice_in_one_journal_is_stored_once() {
    let dir = tempfile::tempdir().unwrap();
    let (mut sink, table) = open(config(dir.path())).await.unwrap();
    let frames = Feed::new().frames(2, 20);
    let twice = [frames.clone(), at(2, &frames)].concat();
    assert_eq!(sink.deliver(&twice).await.unwrap(), Some(3));
    assert_eq!(sink.deliver(&at(4, &frames)).await.unwrap(), Some(5));
    assert_eq!(stored_seqs(&table).len(), 40);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_comes_between_files_and_commit_is_found_by_the_commit() {
    let dir = tempfile::tempdir().unwrap();
    let [(mut a, _), (mut b, table)] = pair(dir.path()).await;
    let frames = Feed::new().frames(4, 20);
    // B has written its files when A commits two of the same batches.
    let batches = frames.iter().map(|frame| crate::writer::PendingBatch::of(&frame.batch)).collect();
    let written = b.write_batches(batches, 0, 3).await.unwrap();
    a.deliver(&frames[1..3]).await.unwrap();
    b.pretend_commit_failed(written);
    assert_eq!(b.deliver(&[]).await.unwrap(), Some(3));
    assert_eq!(stored_seqs(&table).len(), 80);
    assert_eq!(table.stats().doubles_total, 40);
    assert_eq!(files_on_disk(table.root()), 2, "the files with doubles are deleted");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_known_outlives_compaction_checkpoint_and_restart() {
    let dir = tempfile::tempdir().unwrap();
    let (mut a, table) = open_as("a", dir.path()).await.unwrap();
    let frames = Feed::new().frames(12, 20);
    for frame in &frames {
        a.deliver(std::slice::from_ref(frame)).await.unwrap();
    }
    assert_eq!(table.compact_by(T0 + 2 * HOUR).await.unwrap(), 12);
    table.checkpoint().await.unwrap();
    let last = table.snapshot().version;
    drop((a, table));
    for version in 0..last {
        std::fs::remove_file(dir.path().join(format!("_delta_log/{version:020}.json"))).unwrap();
    }
    // The other collector was down all the while, and its journal holds some of the batches too.
    let (mut b, table) = open_as("b", dir.path()).await.unwrap();
    assert_eq!(b.deliver(&at(0, &frames[3..9])).await.unwrap(), Some(5));
    assert_eq!((table.stats().doubles_total, stored_seqs(&table).len()), (120, 240));
}

#[tokio::test(flavor = "multi_thread")]
async fn hot_rows_that_another_collector_has_stored_are_shown_once() {
    let dir = tempfile::tempdir().unwrap();
    let [(mut a, _), (mut b, table)] = pair(dir.path()).await;
    let frames = Feed::new().frames(5, 20);
    frames[..3].iter().for_each(|frame| table.show(frame));
    a.deliver(&frames[1..4]).await.unwrap();
    assert_eq!(table.snapshot().rows(), 60, "the other's commit was not looked at yet");
    table.refresh().await.unwrap();
    let seen = table.snapshot();
    assert_eq!((seen.rows(), seen.hot.len()), (80, 1));
    // One that comes after the other's commit is not shown as a hot row at all.
    frames[3..].iter().for_each(|frame| table.show(frame));
    assert_eq!((table.snapshot().rows(), table.snapshot().hot.len()), (100, 2));
    b.deliver(&frames).await.unwrap();
    assert_eq!((table.snapshot().rows(), table.snapshot().hot.len()), (100, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_writers_race_with_the_same_batches_and_each_is_stored_once() {
    const FRAMES: usize = 40;
    let dir = tempfile::tempdir().unwrap();
    let frames = Arc::new(Feed::new().frames(FRAMES, 5));
    let writers = ["a", "b", "c"].map(|journal| {
        let (dir, frames) = (dir.path().to_owned(), Arc::clone(&frames));
        tokio::spawn(async move {
            let (mut sink, table) = open_as(journal, &dir).await.unwrap();
            for frame in frames.iter() {
                sink.deliver(std::slice::from_ref(frame)).await.unwrap();
            }
            assert_eq!(sink.recover().await.unwrap(), Some(FRAMES as u64 - 1));
            table.stats()
        })
    });
    let mut doubles = 0;
    for writer in writers {
        doubles += writer.await.unwrap().doubles_total;
    }
    let found = records(dir.path()).await;
    assert!(found.values().all(|times| *times == 1));
    let seqs: BTreeSet<i64> = found.into_keys().map(|(_, seq)| seq).collect();
    assert_eq!(seqs, (1..=FRAMES as i64 * 5).collect());
    assert!(doubles >= FRAMES as u64 * 5 * 2, "{doubles} rows were left out by the two that were slower");
}
