//! Bytes per record on the wire, in the journal and in the table, of what the load left behind.

use std::time::Duration;

use anyhow::{Context, ensure};
use serde_json::json;
use tollgate_bench_result::{BenchResult, Figure};
use tollgate_tests::client::curl;
use tollgate_tests::net::{sleep, wait_for};

use crate::peers::Bench;

/// Bytes that a journal frame adds to its batch: 64 of header, the producer's name, padding to 8.
const FRAME_OVERHEAD_BYTES: f64 = 64.0 + 28.0;

/// Prints sizes.
pub fn measure(bench: &Bench, result: &mut BenchResult) -> anyhow::Result<()> {
    let durable = counter(bench, "tollgate_ingest_durable_records_total")?;
    let batches = counter(bench, "tollgate_ingest_batches_total{outcome=\"accepted\"}")?;
    let bytes = counter(bench, "tollgate_ingest_bytes_total")?;
    wait_for("the table to hold every record", || {
        let lag = counter(bench, "tollgate_sink_lag_frames{sink=\"table\"}")?;
        ensure!(lag < 1.0, "{lag} frames are missing");
        Ok(())
    })?;
    sleep(Duration::from_secs(1));
    let mut files = Vec::new();
    parquet_bytes(&bench.table, &mut files)?;
    let rows = count(bench)?;
    println!(
        "## Bytes per record ({durable:.0} records in {batches:.0} batches, {:.0} records a batch)",
        durable / batches
    );
    let (wire, journal) = (bytes / durable, (bytes + batches * FRAME_OVERHEAD_BYTES) / durable);
    let table = files.iter().sum::<u64>() as f64 / rows;
    println!("  on the wire, in the spool           {wire:>8.1}");
    println!("  in the journal                      {journal:>8.1}");
    println!("  in the table ({} Parquet files)    {table:>8.1}\n", files.len());
    for (name, size) in [("on the wire and in the spool", wire), ("in the journal", journal), ("in the table", table)] {
        result.add(Figure::new("bytes per record, one path only", name, size, "bytes"));
    }
    Ok(())
}

/// A metric of the collector.
pub fn counter(bench: &Bench, name: &str) -> anyhow::Result<f64> {
    let got = curl(&[&format!("http://127.0.0.1:{}/metrics", bench.collector_admin)])?;
    let text = String::from_utf8(got.body)?;
    let line = text.lines().find(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(' ')));
    let value = line.and_then(|line| line.rsplit(' ').next()).with_context(|| format!("no metric {name}"))?;
    Ok(value.parse()?)
}

fn count(bench: &Bench) -> anyhow::Result<f64> {
    let body = json!({ "sql": "SELECT count(*) AS n FROM transactions", "format": "csv" }).to_string();
    let url = format!("http://127.0.0.1:{}/v1/sql", bench.query);
    let got = curl(&["-H", "Content-Type: application/json", "--data", &body, &url])?;
    let text = String::from_utf8(got.body)?;
    text.lines().nth(1).with_context(|| format!("the door said: {text}"))?.trim().parse().context("a count")
}

fn parquet_bytes(dir: &std::path::Path, sizes: &mut Vec<u64>) -> anyhow::Result<()> {
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            if entry.file_name() != "_delta_log" {
                parquet_bytes(&entry.path(), sizes)?;
            }
        } else if entry.path().extension().is_some_and(|extension| extension == "parquet") {
            sizes.push(entry.metadata()?.len());
        }
    }
    Ok(())
}
