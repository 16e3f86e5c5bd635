//! Memory of a collector, with all sinks, while a million records a second are offered.

use std::path::Path;
use std::time::Duration;

use tollgate_bench_result::{BenchResult, Figure};

use crate::collector::{Collector, Sinks};
use crate::load::{Maker, POSTS_MAX, Pace, ROWS, post};

const OFFERED_PER_SECOND: usize = 1_000_000;
/// Memory that the collector may use.
const GOAL_MIB: f64 = 256.0;

/// Offers batches for `time`, and drops refused ones.
pub fn measure(dir: &Path, time: Duration, result: &mut BenchResult) -> anyhow::Result<()> {
    let batches = Maker::new()?.make(OFFERED_PER_SECOND * time.as_secs() as usize / ROWS)?;
    let mut collector = Collector::start(dir, Sinks::All, "", None)?;
    let idle = collector.process.memory()?;
    let per_second = Some(OFFERED_PER_SECOND as f64 / ROWS as f64);
    let outcome = post(&dir.join("tls"), collector.ingest, batches, Pace { per_second, time: time * 10 })?;
    let after = collector.process.memory()?;
    collector.wait_delivered()?;
    let end = collector.process.memory()?;
    println!("## memory: a collector with table, Kafka and metrics, default bounds, without its pages of files");
    println!(
        "offered at {OFFERED_PER_SECOND} records/s, with {POSTS_MAX} posts waiting for their answers at most: {:.0}/s acknowledged, {} batches refused",
        outcome.rate(),
        outcome.refused
    );
    println!(
        "{} MiB idle, peak {} MiB while offered, {} MiB until all was stored",
        idle.now >> 20,
        after.peak >> 20,
        end.peak >> 20
    );
    let part = "memory: a million records a second offered";
    let told = format!("{:.0} records a second acknowledged, {} batches refused", outcome.rate(), outcome.refused);
    for (name, peak) in
        [("peak memory of the collector while offered", after.peak), ("peak memory until all was stored", end.peak)]
    {
        result.add(Figure::new(part, name, (peak >> 20) as f64, "MiB").at_most(GOAL_MIB).remark(&told));
    }
    collector.process.stop().map(drop)
}
