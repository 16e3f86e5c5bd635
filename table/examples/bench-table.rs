//! How fast records go into the table, and how many bytes one takes there.
//!
//! ```text
//! cargo run --release -p tollgate-table --example bench-table [RECORDS] [RECORDS_PER_COMMIT] [DIR]
//! ```
//! One thread feeds prepared batches, as the collector does; every commit is synced to disk. It does not show: decoding, the
//! journal, queries at the same time, or a disk that others use too.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use parquet::file::metadata::ParquetMetaDataReader;
use tollgate_config::ConfigDuration;
use tollgate_record::{Batch, BatchBuilder, BatchHeader, DecodeLimits, Record, SealLimits, decode};
use tollgate_table::{Table, TableConfig, open};

/// Columns that take fewer bytes a record are not printed.
const BYTES_SHOWN_MIN: f64 = 0.005;

type Failure = Box<dyn std::error::Error>;

const BATCH_RECORDS: u64 = 2_048;
const SERVICES: u64 = 11_000;
/// 2026-11-23T09:00:00Z, long before any compaction's grace.
const START_US: i64 = 1_795_424_400_000_000;
/// 150 million a day.
const RECORDS_PER_SECOND: u64 = 1_736;

fn main() -> Result<(), Failure> {
    let mut arguments = std::env::args().skip(1);
    let mut number = |default: u64| arguments.next().map_or(Ok(default), |text| text.parse());
    let (records, per_commit) = (number(1_000_000)?, number(17_360)?);
    let dir = arguments.next().map(PathBuf::from);
    let dir = dir.unwrap_or_else(|| std::env::temp_dir().join(format!("bench-table-{}", std::process::id())));
    let runtime = tokio::runtime::Runtime::new()?;
    runtime.block_on(run(records, per_commit, &dir))?;
    std::fs::remove_dir_all(&dir)?;
    Ok(())
}

async fn run(records: u64, per_commit: u64, dir: &Path) -> Result<(), Failure> {
    let config = TableConfig {
        commit_every: ConfigDuration::hours(1),
        commit_rows_max: usize::try_from(per_commit)?,
        merge_every: None,
        ..TableConfig::new(dir)
    };
    let (mut writer, table) = open(config, "bench").await?;
    let mut source = Source::new();
    let mut commits = Vec::new();
    let mut spent = Duration::ZERO;
    for position in 0..records.div_ceil(BATCH_RECORDS) {
        let batch = source.next()?;
        let before = table.stats().commits_total;
        let start = Instant::now();
        table.show_hot(position, &batch);
        writer.append(position, &batch).await?;
        writer.commit_if_due().await?;
        spent += start.elapsed();
        if table.stats().commits_total > before {
            commits.push(start.elapsed());
        }
    }
    let start = Instant::now();
    writer.close().await?;
    spent += start.elapsed();
    commits.sort();
    let stats = table.stats();
    let rate = stats.file_rows as f64 / spent.as_secs_f64();
    println!("{} records in {} files of {} bytes a record", stats.file_rows, stats.files, per_record(&table));
    println!("{rate:.0} records/s, {:.1} times the average load", rate / RECORDS_PER_SECOND as f64);
    let quantile = |share: f64| commits.get((commits.len() as f64 * share) as usize).map_or(0, Duration::as_millis);
    println!("{} commits: p50 {} ms, p99 {} ms", commits.len(), quantile(0.5), quantile(0.99));
    let start = Instant::now();
    let merged = table.compact().await?;
    let (took, files) = (start.elapsed(), table.stats().files);
    println!("compaction: {merged} files into {files} in {took:.1?}, {} bytes a record", per_record(&table));
    print_columns(&table)?;
    let start = Instant::now();
    table.checkpoint().await?;
    println!("checkpoint: {:.1?}", start.elapsed());
    Ok(())
}

/// Prints what each column takes, and what stands beside the files.
fn print_columns(table: &Table) -> Result<(), Failure> {
    let mut columns: BTreeMap<String, i64> = BTreeMap::new();
    let snapshot = table.snapshot();
    for file in snapshot.files.iter() {
        let source = std::fs::File::open(table.root().join(&file.path))?;
        let metadata = ParquetMetaDataReader::new().parse_and_finish(&source)?;
        for chunk in metadata.row_groups().iter().flat_map(|group| group.columns()) {
            let name = chunk.column_path().parts().first().cloned().unwrap_or_default();
            *columns.entry(name).or_default() += chunk.compressed_size();
        }
        for (name, part) in file.sidecar.iter() {
            *columns.entry(format!("beside: {name}")).or_default() += i64::try_from(part.bytes)?;
        }
    }
    let rows = snapshot.rows().max(1) as f64;
    let mut columns: Vec<_> = columns.into_iter().map(|(name, bytes)| (bytes as f64 / rows, name)).collect();
    columns.sort_by(|a, b| b.0.total_cmp(&a.0));
    for (bytes, name) in columns.iter().filter(|(bytes, _)| *bytes >= BYTES_SHOWN_MIN) {
        println!("{bytes:8.2} {name}");
    }
    Ok(())
}

fn per_record(table: &Table) -> String {
    let stats = table.stats();
    format!("{:.1}", stats.file_bytes as f64 / stats.file_rows.max(1) as f64)
}

/// Records that look like a day's work of a gateway: few services take most of the traffic.
struct Source {
    builder: BatchBuilder,
    seq: u64,
}

impl Source {
    fn new() -> Self {
        let header = BatchHeader {
            producer: "gate-1/6441d2f3a7c00/0".to_owned(),
            node_id: "gate-1".to_owned(),
            ..BatchHeader::default()
        };
        Self { builder: BatchBuilder::new(header, SealLimits::default()), seq: 0 }
    }

    fn next(&mut self) -> Result<Batch, Failure> {
        for _ in 0..BATCH_RECORDS {
            self.seq += 1;
            self.append();
        }
        let sealed = self.builder.seal(1)?;
        Ok(decode(&sealed.bytes, &DecodeLimits::default())?)
    }

    fn append(&mut self) {
        let [a, b, c] = [1, 2, 3].map(|salt| scatter(self.seq * 4 + salt));
        // The product of two uniform numbers: small ones are the most frequent.
        let service_number = (a % SERVICES) * (b % SERVICES) / SERVICES;
        let service = format!("service-{service_number:05}");
        let http_route = format!("/{service}/v1/{{id}}/{}", c % 7);
        let path = format!("/{service}/v1/*/{}", c % 7);
        let client_ip = format!("10.{}.{}.{}", a % 4, b % 64, c % 250);
        let upstream_addr = format!("10.200.{}.{}:8443", service_number / 250, service_number % 250);
        let trace_id = [b.to_be_bytes(), c.to_be_bytes()].concat();
        let failed = a % 100 == 0;
        let us = |value: u64, range: u64| Some((value % range) as i64);
        self.builder.append(&Record {
            time_us: START_US + (self.seq * 1_000_000 / RECORDS_PER_SECOND + c % 200_000) as i64,
            seq: self.seq as i64,
            trace_id: trace_id.as_slice().try_into().ok(),
            service: Some(&service),
            route: Some(&service),
            http_route: Some(&http_route),
            path: Some(&path),
            client_ip: Some(&client_ip),
            peer_ip: Some(&client_ip),
            client_port: Some(1_024 + (b % 60_000) as i32),
            server_port: Some(8443),
            host: Some("api.example.com"),
            http_version: Some("2"),
            tls_version: Some("1.3"),
            tls_cipher: Some("TLS13_AES_256_GCM_SHA384"),
            tls_resumed: Some(b % 3 == 0),
            method: Some(if c % 5 == 0 { "POST" } else { "GET" }),
            request_bytes: us(b, 2_000),
            response_bytes: us(c, 40_000),
            request_header_bytes: Some(300 + (a % 200) as i64),
            response_header_bytes: Some(200 + (b % 100) as i64),
            user_agent: Some("okhttp/4.12.0"),
            consumer: Some(&service),
            upstream_host: Some(&service),
            upstream_addr: Some(&upstream_addr),
            upstream_status: Some(if failed { 503 } else { 200 }),
            upstream_attempts: Some(1),
            upstream_reused: Some(a % 10 != 0),
            status: Some(if failed { 503 } else { 200 }),
            total_us: us(a, 90_000),
            gateway_us: us(b, 400),
            upstream_ttfb_us: us(c, 80_000),
            upstream_receive_us: us(a ^ b, 9_000),
            ..Record::default()
        });
    }
}

/// Any fixed scatter will do (the finisher of SplitMix64).
fn scatter(number: u64) -> u64 {
    let mixed = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}
