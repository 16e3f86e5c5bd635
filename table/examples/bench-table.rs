//! How fast records go into the table, and how many bytes one takes there.
//!
//! ```text
//! cargo run --release -p tollgate-table --example bench-table [RECORDS] [RECORDS_PER_COMMIT] [DIR]
//! ```
//! One thread feeds prepared batches, as the collector does; every commit is synced to disk. It does not show: decoding, the
//! journal, queries at the same time, or a disk that others use too.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parquet::file::metadata::ParquetMetaDataReader;
use tollgate_config::ConfigDuration;
use tollgate_load::{Producers, Traffic, World};
use tollgate_record::{DecodeLimits, decode};
use tollgate_table::{Table, TableConfig, open};

/// Columns that take fewer bytes a record are not printed.
const BYTES_SHOWN_MIN: f64 = 0.005;

type Failure = Box<dyn std::error::Error>;

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
    let traffic = Traffic { start_us: START_US, rate: RECORDS_PER_SECOND as f64, records, ..Traffic::default() };
    traffic.check()?;
    let mut source = Producers::of(&traffic, &Arc::new(World::of(&traffic)));
    let mut commits = Vec::new();
    let mut spent = Duration::ZERO;
    let mut position = 0;
    while let Some(generated) = source.next_batch()? {
        let batch = decode(&generated.sealed.bytes, &DecodeLimits::default())?;
        let before = table.stats().commits_total;
        let start = Instant::now();
        table.show_hot(position, &batch);
        writer.append(position, &batch).await?;
        writer.commit_if_due().await?;
        spent += start.elapsed();
        if table.stats().commits_total > before {
            commits.push(start.elapsed());
        }
        position += 1;
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
