//! What an audit reads of a day, and what it takes.
//!
//! ```text
//! cargo run --release -p tollgate-queries --example bench-audit [RECORDS] [DIR] [--json FILE]
//! ```
//! Writes records with the table's own writer, of eight producers whose records come out of order; one number in a million is
//! left out, and one in a million comes twice. Then it asks the query of `tollgate audit`, and prints the bytes that the
//! Parquet scan read beside those of the files, the memory of the process, and whether what was found is what was left out.
//!
//! It does not show: a cold disk, other queries at the same time, or real paths and agents: the records repeat, so that the
//! files are smaller, and the share that is read is larger, than with real ones.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::{ArrayRef, Int64Array, RecordBatch, TimestampMicrosecondArray};
use tollgate_account::Account;
use tollgate_bench_result::{BenchResult, Figure, json_argument};
use tollgate_config::ConfigDuration;
use tollgate_queries::{Engine, Format, Limits};
use tollgate_record::{Batch, BatchBuilder, BatchHeader, DecodeLimits, Record, SealLimits, decode};
use tollgate_table::{Table, TableConfig, open};

type Failure = Box<dyn Error>;

const PRODUCERS: i64 = 8;
const BATCH_RECORDS: i64 = 4_096;
const RECORDS_PER_COMMIT: usize = 131_072;
/// One number in this many is left out, and one comes twice.
const ODD_ONE_IN: i64 = 1_000_000;
/// 2026-11-23T00:00:00Z.
const START_US: i64 = 1_795_392_000_000_000;
/// Between two records: 150 million a day.
const STEP_US: i64 = 576;

/// The query of `tollgate audit`, but for its conditions on the range.
const AUDIT: &str = "SELECT producer, seq_account(seq, kind, gap_count, gap_reason) AS account, \
    min(CASE WHEN kind <> 'gap' THEN seq END) AS first_seq, \
    max(seq + CASE WHEN kind = 'gap' THEN coalesce(gap_count, 1) - 1 ELSE 0 END) AS last_seq, \
    max(CASE WHEN time < to_timestamp_micros(9000000000000000) THEN seq END) AS settled_seq, max(time) AS newest, count(*) AS read \
    FROM transactions WHERE time >= to_timestamp_micros(0) GROUP BY producer";

fn main() -> Result<(), Failure> {
    let mut arguments: Vec<String> = std::env::args().skip(1).collect();
    let json = json_argument(&mut arguments)?;
    let command = "cargo run --release -p tollgate-queries --example bench-audit";
    let mut result = BenchResult::begin("audit", format!("{command} {}", arguments.join(" ")).trim());
    let mut arguments = arguments.into_iter();
    let records: i64 = arguments.next().map_or(Ok(10_000_000), |text| text.parse())?;
    let dir = arguments.next().map(PathBuf::from);
    let dir = dir.unwrap_or_else(|| std::env::temp_dir().join(format!("bench-audit-{}", std::process::id())));
    let runtime = tokio::runtime::Runtime::new()?;
    let (table, left_out) = runtime.block_on(write(records, &dir))?;
    let stats = table.stats();
    println!("{} rows in {} files, {} bytes", stats.file_rows, stats.files, stats.file_bytes);
    let engine = Engine::new(table, Limits { time_max: Duration::from_secs(3_600), ..Limits::default() })?;
    let part = format!(
        "{} records of {PRODUCERS} producers, {} bytes in {} files",
        stats.file_rows, stats.file_bytes, stats.files
    );
    runtime.block_on(audit(&engine, stats.file_bytes, left_out, |name, value, unit| {
        result.add(Figure::new(&part, name, value, unit));
    }))?;
    drop(engine);
    std::fs::remove_dir_all(&dir)?;
    Ok(result.save(json.as_deref())?)
}

/// Asks, prints what it took, and adds the figures to the result.
async fn audit(
    engine: &Engine,
    file_bytes: u64,
    left_out: u64,
    mut add: impl FnMut(&str, f64, &'static str),
) -> Result<(), Failure> {
    let before = memory("VmRSS");
    // Has VmHWM begin anew (proc(5), clear_refs).
    std::fs::write("/proc/self/clear_refs", "5")?;
    let (cpu, start) = (cpu_seconds(), Instant::now());
    let answer = engine.query(AUDIT).await?;
    let took = start.elapsed();
    println!("audit: {took:.2?}, {:.2} s of CPU", cpu_seconds() - cpu);
    let peak = memory("VmHWM");
    println!("memory: {before} kB before, {peak} kB at most while it ran");
    add("time", took.as_secs_f64(), "s");
    add("memory beyond what the process had before", peak.saturating_sub(before) as f64 / 1_024.0, "MiB");
    let bytes = answer.render(Format::Arrow)?;
    let (mut missing, mut doubled, mut runs) = (0, 0, 0);
    for batch in arrow::ipc::reader::StreamReader::try_new(bytes.as_slice(), None)? {
        let batch = batch?;
        for row in 0..batch.num_rows() {
            let account = Account::read(batch.column_by_name("account").ok_or("no account")?, row)?;
            let last = account.runs.last().unwrap_or(0);
            missing += account.holes(1, last).count();
            doubled += account.doubled.count();
            runs += account.runs.runs().len();
        }
    }
    println!(
        "found: {missing} missing, {doubled} doubled, in {runs} runs; {left_out} were left out and as many doubled"
    );
    let explained = engine.query(&format!("EXPLAIN ANALYZE {AUDIT}")).await?.render(Format::Csv)?;
    let explained = String::from_utf8(explained)?;
    if std::env::var_os("BENCH_PLAN").is_some() {
        println!("{explained}");
    }
    let scanned: f64 = metric(&explained, "bytes_scanned=");
    let percent = 100.0 * scanned / file_bytes as f64;
    println!("bytes read: {scanned:.0}, {percent:.2} % of the files");
    add("bytes read", scanned, "bytes");
    add("share of the files' bytes that was read", percent, "%");
    Ok(())
}

/// Writes the records; answers how many numbers were left out.
async fn write(records: i64, dir: &Path) -> Result<(Arc<Table>, u64), Failure> {
    let config = TableConfig {
        commit_every: ConfigDuration::hours(1),
        commit_rows_max: RECORDS_PER_COMMIT,
        merge_every: None,
        ..TableConfig::new(dir)
    };
    let (mut writer, table) = open(config, "bench").await?;
    let templates = (0..PRODUCERS).map(template).collect::<Result<Vec<_>, _>>()?;
    let (mut left_out, mut position) = (0, 0);
    for first in (0..records / PRODUCERS).step_by(BATCH_RECORDS as usize) {
        for (producer, template) in (0..).zip(&templates) {
            let (batch, odd) = numbered(template, first, producer)?;
            left_out += odd;
            table.show_hot(position, &batch);
            writer.append(position, &batch).await?;
            writer.commit_if_due().await?;
            position += 1;
        }
    }
    writer.close().await?;
    Ok((table, left_out))
}

/// The template's rows with their own numbers, those after `first` in another order, and with times that lie up to 131 ms off.
fn numbered(template: &Batch, first: i64, producer: i64) -> Result<(Batch, u64), Failure> {
    let mut odd = 0;
    let number = |row: i64| first + 1 + row * 2_731 % BATCH_RECORDS;
    let seqs: Int64Array = (0..BATCH_RECORDS)
        .map(|row| {
            let seq = number(row);
            let is_odd = seq % ODD_ONE_IN == ODD_ONE_IN / 2;
            odd += u64::from(is_odd);
            // The number before it comes twice instead.
            if is_odd { seq - 1 } else { seq }
        })
        .collect();
    let jitter = |row: i64| (number(row) as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 47;
    let time = |row: i64| START_US + (number(row) * PRODUCERS + producer) * STEP_US + jitter(row) as i64;
    let times = TimestampMicrosecondArray::from_iter_values((0..BATCH_RECORDS).map(time));
    let records = &template.records;
    let mut columns = records.columns().to_vec();
    columns[records.schema().index_of("seq")?] = Arc::new(seqs) as ArrayRef;
    columns[records.schema().index_of("time")?] = Arc::new(times.with_timezone("UTC")) as ArrayRef;
    let records = RecordBatch::try_new(records.schema(), columns)?;
    let mut meta = template.meta.clone();
    // A batch of the same number would be taken for the same batch.
    meta.batch_seq = (first / BATCH_RECORDS + 1) as u64;
    Ok((Batch { meta, records }, odd))
}

/// A batch of records that look like a gateway's.
fn template(producer: i64) -> Result<Batch, Failure> {
    let header = BatchHeader {
        producer: format!("gate-1/6441d2f3a7c00/{producer}"),
        node_id: "gate-1".to_owned(),
        ..BatchHeader::default()
    };
    let mut builder =
        BatchBuilder::new(header, SealLimits { records_max: 65_536, bytes_max: 64 << 20, ..SealLimits::default() });
    for row in 0..BATCH_RECORDS {
        let mixed = ((producer * BATCH_RECORDS + row + 1) as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let service = format!("service-{:05}", mixed % 11_000);
        let (path, client_ip) =
            (format!("/{service}/v1/{mixed:x}"), format!("10.{}.{}.{}", row % 4, mixed % 64, mixed % 250));
        let trace_id = [mixed.to_be_bytes(), mixed.rotate_left(17).to_be_bytes()].concat();
        builder.append(&Record {
            time_us: START_US,
            seq: row + 1,
            trace_id: trace_id.as_slice().try_into().ok(),
            service: Some(&service),
            route: Some(&service),
            path: Some(&path),
            client_ip: Some(&client_ip),
            client_port: Some(1_024 + (mixed % 60_000) as i32),
            host: Some("api.example.com"),
            http_version: Some("2"),
            method: Some("GET"),
            request_bytes: Some((mixed % 2_000) as i64),
            response_bytes: Some((mixed % 40_000) as i64),
            user_agent: Some("okhttp/4.12.0"),
            consumer: Some(&service),
            status: Some(200),
            total_us: Some((mixed % 90_000) as i64),
            gateway_us: Some((mixed % 400) as i64),
            ..Record::default()
        });
    }
    Ok(decode(&builder.seal(1)?.bytes, &DecodeLimits::default())?)
}

/// A line of /proc/self/status, in kB.
fn memory(name: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok()).unwrap_or(0)
}

/// User and system time of the process, in seconds: fields 14 and 15 of /proc/self/stat, in hundredths (proc(5)).
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace().skip(11).take(2);
    fields.filter_map(|ticks| ticks.parse::<f64>().ok()).sum::<f64>() / 100.0
}

/// The sum of a metric in an explained plan, written as `1234`, `12.3 K` or `4.5 MB`.
fn metric(plan: &str, name: &str) -> f64 {
    let values = plan.match_indices(name).map(|(at, _)| &plan[at + name.len()..]);
    values
        .filter_map(|rest| {
            let end = rest.find([',', ']']).unwrap_or(rest.len());
            let (number, unit) = rest[..end].trim().split_once(' ').unwrap_or((rest[..end].trim(), ""));
            let scale = match unit.chars().next() {
                Some('K') => 1e3,
                Some('M') => 1e6,
                Some('G' | 'B') if unit != "B" => 1e9,
                _ => 1.0,
            };
            number.parse::<f64>().ok().map(|number| number * scale)
        })
        .sum()
}
