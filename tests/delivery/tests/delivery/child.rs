//! A collector with a table that posts batches to itself: the process that is killed.

use std::collections::BTreeSet;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::StatusCode;
use tollgate_collector::{CollectorConfig, Parts, start};
use tollgate_config::{ByteSize, ConfigDuration, ConfigPath};
use tollgate_failpoint::VARIABLE;
use tollgate_sink_table::{HotRowsObserver, Table, TableConfig};

use crate::files;
use crate::support::{Client, LONG, Producer, Site, eventually};

/// The folder of the process.
const DIR: &str = "TOLLGATE_TEST_DELIVERY";
/// Which start of it this is.
const ROUND: &str = "TOLLGATE_TEST_ROUND";
/// Name of the further [`Work`] that the child does.
const WORK: &str = "TOLLGATE_TEST_WORK";

/// The work of a round once its batches are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Work {
    Nothing,
    /// Compacts, writes a checkpoint, and deletes files that no snapshot needs.
    Maintain,
    /// Removes all days before today, and so all rows.
    Expire,
}

/// Batches of one round, and so commits: as many as make a compaction worth it, and enough to fill more than one segment, so
/// that the journal is trimmed.
pub const BATCHES: usize = 8;
/// Records of a batch.
pub const ROWS: usize = 20;

/// Runs one round in a process of its own, and waits for its end.
pub fn run(dir: &Path, round: usize, failpoint: &str, work: Work) -> ExitStatus {
    let mut process = command(dir, round);
    process.env(WORK, format!("{work:?}"));
    let mut process = process.env(VARIABLE, failpoint).spawn().expect("the process starts");
    let deadline = Instant::now() + LONG * 2;
    loop {
        if let Some(status) = process.try_wait().expect("the process is waited for") {
            return status;
        }
        if Instant::now() > deadline {
            process.kill().expect("the process is killed");
            panic!("round {round} with {failpoint} does not end");
        }
        std::thread::sleep(Duration::from_millis(3));
    }
}

/// This binary, as a process that runs a round.
pub fn command(dir: &Path, round: usize) -> Command {
    let mut process = Command::new(std::env::current_exe().expect("the test's own path"));
    process.args(["--exact", "child::collect", "--test-threads=1", "--nocapture"]);
    process.env(DIR, dir).env(ROUND, round.to_string()).env("TMPDIR", dir).env("RUST_BACKTRACE", "0");
    let told = fs::File::create(dir.join("told")).expect("a file for what it says");
    process.stdout(Stdio::null()).stderr(told);
    process
}

pub fn data(dir: &Path) -> PathBuf {
    dir.join("data")
}

pub fn table(dir: &Path) -> PathBuf {
    dir.join("table")
}

/// The node whose producer numbers the records of a round.
pub fn node(round: usize) -> String {
    format!("gate-{round}")
}

/// The batches that were acknowledged, as (round, number).
pub fn acknowledged(dir: &Path) -> BTreeSet<(usize, usize)> {
    let text = fs::read_to_string(dir.join("acknowledged")).unwrap_or_default();
    let line = |line: &str| Some((line.split_once(' ')?.0.parse().ok()?, line.split_once(' ')?.1.parse().ok()?));
    text.lines().filter_map(line).collect()
}

fn config(site: &Site, dir: &Path) -> CollectorConfig {
    let mut config = site.config();
    config.journal.dir = ConfigPath::from(data(dir));
    config.journal.segment_bytes = ByteSize::kib(8);
    config.ingest.batch_bytes_max = ByteSize::kib(7);
    config
}

/// Does nothing unless a test starts it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn collect() {
    let Some(dir) = std::env::var_os(DIR).map(PathBuf::from) else { return };
    let round: usize = std::env::var(ROUND).expect("a round").parse().expect("a number");
    let work = std::env::var(WORK).unwrap_or_default();
    let maintains = work == format!("{:?}", Work::Maintain);
    let site = Site::new();
    let settings = TableConfig {
        commit_every: ConfigDuration::default(),
        // A compaction wants many small files: then each batch is a commit of its own.
        commit_rows_max: if maintains { ROWS } else { BATCHES * ROWS },
        checkpoint_commits: u64::MAX,
        merge_every: None,
        ..TableConfig::new(table(&dir))
    };
    let (sink, table) = tollgate_sink_table::open(settings, "delivery").await.expect("the table opens");
    let tail = Arc::new(HotRowsObserver(Arc::clone(&table))) as _;
    let parts = Parts { sinks: vec![Box::new(sink)], tail: Some(tail), metrics: prometheus::Registry::new() };
    let running = start(config(&site, &dir), parts).await.expect("the collector starts");
    // What an earlier process was sent and did not acknowledge comes again, as from any proxy.
    let done = acknowledged(&dir);
    for round in (0..=round).filter(|round| (1..=BATCHES).any(|batch| !done.contains(&(*round, batch)))) {
        let client = site.client(&node(round), running.ingest_addr).await;
        send(&client, &dir, round).await;
    }
    // Positions are given out without holes.
    let end = (acknowledged(&dir).len() as u64).max(1);
    eventually("stored", || table.snapshot().through.is_some_and(|through| through + 1 >= end)).await;
    eventually("cursor", || files::cursor(&data(&dir), "table") >= Some(end)).await;
    eventually("trimmed", || files::segments(&data(&dir)).len() <= 1).await;
    if maintains {
        maintain(&table).await;
    }
    if work == format!("{:?}", Work::Expire) {
        // What fails once is done when it is due again.
        while table.expire(1).await.is_err() {}
    }
    running.stop().await;
}

async fn send(client: &Client, dir: &Path, round: usize) {
    let mut producer = Producer::new(&node(round));
    let mut file = OpenOptions::new().create(true).append(true).open(dir.join("acknowledged")).expect("a file");
    for batch in 1..=BATCHES {
        let bytes = producer.batch(ROWS).bytes;
        while client.post(bytes.clone()).await.status != StatusCode::OK {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        file.write_all(format!("{round} {batch}\n").as_bytes()).expect("noted");
    }
}

/// A step that fails once is done again, as the next time it is due.
async fn maintain(table: &Table) {
    for _ in 0..2 {
        let _ = table.compact().await;
        let _ = table.checkpoint().await;
        let _ = table.vacuum().await;
    }
}
