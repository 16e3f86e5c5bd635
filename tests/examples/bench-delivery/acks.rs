//! Acknowledged records a second of a collector on one core, and the time to an acknowledgement then and at half of that rate.

use std::path::Path;
use std::time::Duration;

use crate::collector::{Collector, Sinks};
use crate::load::{Maker, POSTS_MAX, Pace, ROWS, Spread, fdatasyncs, post};

/// The collector's core; what posts has the others.
const CORE: &str = "0";
/// More records than a core is expected to acknowledge in a second.
const RECORDS_PER_SECOND_MAX: usize = 1_600_000;

/// What the collector is offered of what it acknowledged at full rate, to see how long it takes when it is not overrun.
const RATE_SHARE: f64 = 0.5;

/// Posts as fast as answers come, for `time`, then for as long at half of that rate.
pub fn measure(dir: &Path, time: Duration) -> anyhow::Result<()> {
    let mut maker = Maker::new()?;
    let batches = maker.make(RECORDS_PER_SECOND_MAX * time.as_secs() as usize / ROWS)?;
    let bytes = batches.first().map_or(0, |batch| batch.len());
    let disk = fdatasyncs(dir, bytes)?;
    let mut collector = Collector::start(dir, Sinks::Metrics, "", Some(CORE))?;
    let outcome = post(&dir.join("tls"), collector.ingest, batches, Pace { per_second: None, time })?;
    println!("## acks: a collector on one core, batches of {ROWS}, {:.1} bytes a record", bytes as f64 / ROWS as f64);
    let rate = outcome.rate();
    println!(
        "{rate:.0} records/s acknowledged ({} batches in {:.1} s, {} refused)",
        outcome.waits.len(),
        outcome.took.as_secs_f64(),
        outcome.refused
    );
    println!("ack:  {}, {POSTS_MAX} posts at once", Spread::of(outcome.waits));
    collector.wait_delivered()?;
    let per_second = rate * RATE_SHARE / ROWS as f64;
    let batches = maker.make((per_second * time.as_secs_f64()) as usize)?;
    let (offered, pace) = (batches.len(), Pace { per_second: Some(per_second), time: time * 2 });
    let outcome = post(&dir.join("tls"), collector.ingest, batches, pace)?;
    println!(
        "at {:.0} records/s: {} of {offered} batches acknowledged, {}",
        outcome.rate(),
        outcome.waits.len(),
        Spread::of(outcome.waits)
    );
    println!("disk: {disk} (write and fdatasync of {bytes} bytes)");
    collector.process.stop().map(drop)
}
