//! Acknowledged records a second of a collector on one core, and the time to an acknowledgement.

use std::path::Path;
use std::time::Duration;

use crate::collector::{Collector, Sinks};
use crate::load::{Maker, Pace, ROWS, Spread, fdatasyncs, post};

/// The collector's core; what posts has the others.
const CORE: &str = "0";
/// More records than a core is expected to acknowledge in a second.
const RECORDS_PER_SECOND_MAX: usize = 1_600_000;

/// Posts as fast as answers come, for `time`.
pub fn measure(dir: &Path, time: Duration) -> anyhow::Result<()> {
    let batches = Maker::new()?.make(RECORDS_PER_SECOND_MAX * time.as_secs() as usize / ROWS)?;
    let bytes = batches.first().map_or(0, |batch| batch.len());
    let disk = fdatasyncs(dir, bytes)?;
    let mut collector = Collector::start(dir, Sinks::Metrics, "", Some(CORE))?;
    let outcome = post(&dir.join("tls"), collector.ingest, batches, Pace { per_second: None, time })?;
    println!("## acks: a collector on one core, batches of {ROWS}, {:.1} bytes a record", bytes as f64 / ROWS as f64);
    println!(
        "{:.0} records/s acknowledged ({} batches in {:.1} s, {} refused)",
        outcome.rate(),
        outcome.waits.len(),
        outcome.took.as_secs_f64(),
        outcome.refused
    );
    println!("ack:  {}", Spread::of(outcome.waits));
    println!("disk: {disk} (write and fdatasync of {bytes} bytes)");
    collector.process.stop().map(drop)
}
