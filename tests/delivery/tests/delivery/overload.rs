//! A collector whose sink never answers, and ten times more than it can store: its memory stays under the sum of its limits,
//! and what it does not take it refuses in so many words.

use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;

use async_trait::async_trait;
use http::StatusCode;
use tollgate_collector::{Parts, start};
use tollgate_config::{ByteSize, ConfigDuration, ConfigPath};
use tollgate_sink::{Delivery, Position, Sink, SinkError};
use tollgate_sink_table::{HotRowsObserver, TableConfig};

use crate::support::{Producer, Site};

const DIR: &str = "TOLLGATE_TEST_OVERLOAD";
const CONNECTIONS: usize = 4;
/// Posts of each connection: far more than the journal takes.
const POSTS: usize = 150;
const ROWS: usize = 2_000;

/// What the configuration lets the collector hold, in bytes.
const INFLIGHT: u64 = 16 << 20;
const RECENT: u64 = 4 << 20;
const HOT: u64 = 4 << 20;
const HIGH_WATER: u64 = 512 << 10;
/// Frames that the hanging sink and the table were given: `delivery.rows_max` decoded rows each, about 400 bytes a row, and
/// the table's rows once more while they are sorted and encoded.
const GIVEN: u64 = 3 * 8_192 * 400;
/// Stacks, TLS, the allocator's own, code that is touched for the first time.
const BASE: u64 = 48 << 20;

/// Takes a frame and never answers.
struct Hanging;

#[async_trait]
impl Sink for Hanging {
    fn name(&self) -> &'static str {
        "hanging"
    }

    async fn recover(&mut self) -> Result<Option<Position>, SinkError> {
        Ok(None)
    }

    async fn deliver(&mut self, frames: &[Delivery]) -> Result<Option<Position>, SinkError> {
        if frames.is_empty() {
            return Ok(None);
        }
        std::future::pending().await
    }

    async fn close(&mut self) -> Result<Option<Position>, SinkError> {
        std::future::pending().await
    }
}

/// Resident memory of this process in bytes: now, and the most so far.
fn memory(field: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("the kernel tells");
    let line = status.lines().find_map(|line| line.strip_prefix(field)).expect("a line of the field");
    line.trim_start_matches(':').trim().trim_end_matches(" kB").parse::<u64>().expect("a number") * 1024
}

/// Does nothing unless the test below starts it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hang() {
    let Some(dir) = std::env::var_os(DIR).map(PathBuf::from) else { return };
    let site = Site::new();
    let mut config = site.config();
    config.journal.dir = ConfigPath::from(dir.join("data"));
    config.journal.segment_bytes = ByteSize::kib(128);
    config.journal.high_water_bytes = ByteSize(HIGH_WATER);
    config.journal.bytes_max = ByteSize(HIGH_WATER * 2);
    config.ingest.batch_bytes_max = ByteSize::kib(100);
    config.ingest.batch_raw_bytes_max = ByteSize(3 << 20);
    config.ingest.inflight_bytes_max = ByteSize(INFLIGHT);
    config.delivery.recent_bytes_max = ByteSize(RECENT);
    config.delivery.rows_max = 8_192;
    config.delivery.close_timeout = ConfigDuration::millis(200);
    let settings =
        TableConfig { hot_bytes_max: ByteSize(HOT), commit_rows_max: 8_192, ..TableConfig::new(dir.join("table")) };
    let (sink, table) = tollgate_sink_table::open(settings, "default").await.expect("the table opens");
    let tail = Some(Arc::new(HotRowsObserver(Arc::clone(&table))) as _);
    let sinks: Vec<Box<dyn Sink>> = vec![Box::new(Hanging), Box::new(sink)];
    let running = start(config, Parts { sinks, tail, metrics: prometheus::Registry::new() }).await.expect("starts");
    let before = memory("VmRSS");
    let mut posting = Vec::new();
    for connection in 0..CONNECTIONS {
        let node = format!("gate-{connection}");
        let client = site.client(&node, running.ingest_addr).await;
        posting.push(tokio::spawn(async move {
            let mut producer = Producer::new(&node);
            let (mut stored, mut refused) = (0_u64, 0_u64);
            let mut batch = producer.batch(ROWS).bytes;
            for _ in 0..POSTS {
                let answer = client.post(batch.clone()).await;
                match answer.status {
                    StatusCode::OK => {
                        stored += 1;
                        batch = producer.batch(ROWS).bytes;
                    }
                    StatusCode::SERVICE_UNAVAILABLE => {
                        assert!(answer.retry_after.is_some() && !answer.error().is_empty(), "{answer:?}");
                        refused += 1;
                    }
                    other => panic!("{other}: {answer:?}"),
                }
            }
            (stored, refused)
        }));
    }
    let (mut stored, mut refused) = (0, 0);
    for posts in posting {
        let (taken, not) = posts.await.expect("the posts are made");
        (stored, refused) = (stored + taken, refused + not);
    }
    assert!(stored > 0 && refused > stored * 10, "{stored} batches were stored and {refused} refused");
    let grown = memory("VmHWM").saturating_sub(before);
    let bound = INFLIGHT + RECENT + HOT + GIVEN + BASE;
    println!("{stored} stored, {refused} refused, {} MiB more than before, of {} MiB", grown >> 20, bound >> 20);
    assert!(grown <= bound, "{grown} bytes more than before, and the limits add up to {bound}");
    // The sink that hangs costs its deadline at the end and no more, and the table stores what it holds.
    running.stop().await;
    assert_eq!(table.snapshot().rows(), stored * ROWS as u64);
}

#[test]
fn memory_stays_under_the_sum_of_the_limits_while_a_sink_hangs() {
    let dir = tempfile::tempdir().expect("a folder");
    let output = Command::new(std::env::current_exe().expect("the test's own path"))
        .args(["--exact", "overload::hang", "--test-threads=1", "--nocapture"])
        .env(DIR, dir.path())
        .env("TMPDIR", dir.path())
        .env("RUST_BACKTRACE", "0")
        // As few arenas as the real binary's allocator has: with one for each thread, what is freed does not come back.
        .env("MALLOC_ARENA_MAX", "2")
        .output()
        .expect("the process runs");
    let told = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}");
    println!("{told}");
}
