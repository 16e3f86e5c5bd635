//! The table keeps the contract of all sinks.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::Path;

use arrow_array::cast::AsArray as _;
use arrow_array::types::Int64Type;
use async_trait::async_trait;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use tempfile::TempDir;
use tollgate_config::ConfigDuration;
use tollgate_sink::Sink;
use tollgate_sink::testkit::{Destination, Promise, Stored, passes};

use tollgate_sink_table::{Table, TableConfig, open};

struct TableDestination {
    dir: TempDir,
    config: TableConfig,
}

impl TableDestination {
    /// Commits what it gets in one delivery at once, and does no maintenance by itself, before `change`.
    fn new(change: impl FnOnce(&mut TableConfig)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut config = TableConfig::new(dir.path());
        config.commit_every = ConfigDuration::default();
        config.checkpoint_commits = u64::MAX;
        config.merge_every = None;
        change(&mut config);
        Self { dir, config }
    }
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

#[async_trait]
impl Destination for TableDestination {
    async fn open(&mut self) -> Box<dyn Sink> {
        Box::new(open(self.config.clone(), "default").await.unwrap().0)
    }

    async fn stored(&mut self) -> Stored {
        Stored::Records(records(self.dir.path()).await)
    }

    fn promise(&self) -> Promise {
        Promise::ExactlyOnce
    }

    async fn set_failing(&mut self, failing: bool) -> bool {
        // A file stands where the log should be.
        let (log, aside) = (self.dir.path().join("_delta_log"), self.dir.path().join("_aside"));
        if failing {
            fs::rename(&log, &aside).unwrap();
            fs::write(&log, "").unwrap();
        } else {
            fs::remove_file(&log).unwrap();
            fs::rename(&aside, &log).unwrap();
        }
        true
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_commits_at_once_keeps_the_contract() {
    passes(async || TableDestination::new(|_| ())).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_holds_rows_back_keeps_the_contract() {
    let held = |config: &mut TableConfig| {
        config.commit_every = ConfigDuration::millis(50);
        config.commit_rows_max = 25;
    };
    passes(async || TableDestination::new(held)).await.unwrap();
}

#[tokio::test]
async fn a_table_that_is_not_where_it_was_takes_nothing() {
    let above = tempfile::tempdir().unwrap();
    let (dir, aside) = (above.path().join("table"), above.path().join("aside"));
    let config = TableConfig { merge_every: None, ..TableConfig::new(dir.as_path()) };
    let (mut sink, _table) = open(config, "default").await.unwrap();
    sink.recover().await.unwrap();
    fs::rename(&dir, &aside).unwrap();
    for is_replaced in [false, true] {
        if is_replaced {
            fs::create_dir_all(dir.join("_delta_log")).unwrap();
        }
        let refused = sink.deliver(&[]).await.unwrap_err();
        assert!(
            matches!(&refused, tollgate_sink::SinkError::Retry { reason, .. } if reason.contains("restart")),
            "{refused}"
        );
        assert!(sink.recover().await.is_err() && sink.close().await.is_err());
    }
    assert_eq!(fs::read_dir(dir.join("_delta_log")).unwrap().count(), 0, "nothing is written into another folder");
    fs::remove_dir_all(&dir).unwrap();
    fs::rename(&aside, &dir).unwrap();
    assert_eq!(sink.deliver(&[]).await.unwrap(), None);
}
