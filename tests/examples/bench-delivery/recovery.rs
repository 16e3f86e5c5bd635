//! How long a collector with a large journal takes to be ready after SIGKILL.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::ensure;
use tollgate_bench_result::{BenchResult, Figure};

use crate::collector::{Collector, Sinks};
use crate::load::{Maker, Pace, post};

/// Batches made at once.
const CHUNK: usize = 128;
const GIB: f64 = (1_u64 << 30) as f64;
/// Longest that a chunk may take to be stored.
const CHUNK_TIME: Duration = Duration::from_secs(600);

/// Fills the journal of a collector that can deliver to nobody, kills it, and starts it again.
pub fn measure(dir: &Path, gib: f64, result: &mut BenchResult) -> anyhow::Result<()> {
    let bytes = gib * GIB;
    // Room for the segments that are made ahead.
    let (high_water, bytes_max) = (bytes * 1.25 + GIB, bytes * 1.5 + 2.0 * GIB);
    let bounds = format!(", high_water_bytes: {high_water:.0}, bytes_max: {bytes_max:.0}");
    let mut collector = Collector::start(dir, Sinks::Nobody, &bounds, None)?;
    let mut maker = Maker::new()?;
    let (mut posted, mut frames) = (0.0, 0);
    while posted < bytes {
        let batches = maker.make(CHUNK)?;
        frames += batches.len();
        posted += batches.iter().map(|batch| batch.len()).sum::<usize>() as f64;
        let pace = Pace { per_second: None, time: CHUNK_TIME };
        let outcome = post(&dir.join("tls"), collector.ingest, batches, pace)?;
        ensure!(outcome.waits.len() == CHUNK, "{} of {CHUNK} batches were stored", outcome.waits.len());
    }
    collector.process.kill()?;
    println!("## recovery: a journal of {:.2} GiB in {frames} frames, after SIGKILL", posted / GIB);
    let began = Instant::now();
    collector.start_again()?;
    let took = began.elapsed().as_secs_f64();
    let (rate, peak_mib) = (posted / GIB / took, collector.process.memory()?.peak >> 20);
    println!("ready after {took:.2} s = {rate:.2} GiB/s, peak memory {peak_mib} MiB (files were written just before)");
    let part = format!("recovery: a journal of {:.2} GiB in {frames} frames, after SIGKILL", posted / GIB);
    result.add(
        Figure::new(&part, "time until ready", took, "s")
            .remark(format!("{rate:.2} GiB/s; the files were written just before")),
    );
    result.add(Figure::new(&part, "peak memory", peak_mib as f64, "MiB"));
    Ok(())
}
