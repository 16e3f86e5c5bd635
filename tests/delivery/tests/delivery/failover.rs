//! Two collectors that write to one table, and batches that both received.

use std::path::Path;
use std::sync::Arc;

use http::StatusCode;
use tollgate_collector::{Parts, Running, start};
use tollgate_config::{ConfigDuration, ConfigPath};
use tollgate_sink_table::{HotRowsObserver, Table, TableConfig};

use crate::files;
use crate::support::{Producer, Site, eventually};

const BATCHES: usize = 30;
const ROWS: usize = 20;

async fn collector(site: &Site, table: &Path, name: &str) -> (Running, Arc<Table>) {
    let settings =
        TableConfig { commit_every: ConfigDuration::millis(20), merge_every: None, ..TableConfig::new(table) };
    let (sink, shared) = tollgate_sink_table::open(settings, name).await.expect("the table opens");
    let mut config = site.config();
    config.journal.dir = ConfigPath::from(site.dir.path().join(name));
    let tail = Some(Arc::new(HotRowsObserver(Arc::clone(&shared))) as _);
    let parts = Parts { sinks: vec![Box::new(sink)], tail, metrics: prometheus::Registry::new() };
    (start(config, parts).await.expect("starts"), shared)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn batches_that_two_collectors_acknowledged_are_in_their_table_once() {
    let site = Site::new();
    let folder = site.dir.path().join("table");
    let [(a, table_a), (b, table_b)] = [collector(&site, &folder, "a").await, collector(&site, &folder, "b").await];
    let (to_a, to_b) = (site.client("gate-1", a.ingest_addr).await, site.client("gate-1", b.ingest_addr).await);
    let mut producer = Producer::new("gate-1");
    let batches: Vec<_> = (0..BATCHES).map(|_| producer.batch(ROWS).bytes).collect();
    let posts = |client: crate::support::Client, from: usize, batches: Vec<bytes::Bytes>| async move {
        for batch in batches.into_iter().skip(from) {
            assert_eq!(client.post(batch).await.status, StatusCode::OK);
        }
    };
    // The proxy has lost the answers of the second half, and B gets it too, at the same time.
    tokio::join!(posts(to_a, 0, batches.clone()), posts(to_b, BATCHES / 2, batches.clone()));
    let all = (BATCHES * ROWS) as u64;
    // Each of them shows every row once, as soon as it has seen the other's commits.
    for table in [&table_a, &table_b] {
        eventually("all rows", || table.snapshot().rows() == all && table.snapshot().hot.is_empty()).await;
    }
    // Rows that the other has committed are shown before this one's frames are delivered.
    let doubles = || table_a.stats().doubles_total + table_b.stats().doubles_total;
    eventually("each batch of the second half came to the table twice", || doubles() >= all / 2).await;
    a.stop().await;
    b.stop().await;
    assert_eq!(doubles(), all / 2);
    let records = files::records(&folder);
    assert_eq!(records.len() as u64, all);
    assert!(records.values().all(|times| *times == 1));
    assert_eq!(files::log(&folder).transactions.len(), 2, "both have their place in the log");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_collector_that_was_dead_meanwhile_brings_no_double() {
    let site = Site::new();
    let folder = site.dir.path().join("table");
    let mut producer = Producer::new("gate-1");
    let batches: Vec<_> = (0..BATCHES).map(|_| producer.batch(ROWS).bytes).collect();
    {
        // A takes the batches into its journal and dies before the table gets them.
        let mut config = site.config();
        config.journal.dir = ConfigPath::from(site.dir.path().join("a"));
        let dead = start(config, crate::support::parts(Vec::new())).await.expect("starts");
        let client = site.client("gate-1", dead.ingest_addr).await;
        for batch in &batches {
            client.post(batch.clone()).await.position();
        }
        dead.stop().await;
    }
    let (b, stored) = collector(&site, &folder, "b").await;
    let client = site.client("gate-1", b.ingest_addr).await;
    for batch in &batches[5..] {
        client.post(batch.clone()).await.position();
    }
    eventually("B has stored its batches", || stored.snapshot().through == Some(BATCHES as u64 - 6)).await;
    b.stop().await;
    let (a, table) = collector(&site, &folder, "a").await;
    eventually("all is stored", || table.snapshot().through == Some(BATCHES as u64 - 1)).await;
    a.stop().await;
    assert_eq!(table.stats().doubles_total, ((BATCHES - 5) * ROWS) as u64);
    let records = files::records(&folder);
    assert_eq!(records.len(), BATCHES * ROWS);
    assert!(records.values().all(|times| *times == 1));
}
