//! Acknowledged records a second of a collector on one core, and the time to an acknowledgement then and at half of that rate.

use std::path::Path;
use std::time::Duration;

use tollgate_bench_result::{BenchResult, Figure};

use crate::collector::{Collector, Sinks};
use crate::load::{Maker, POSTS_MAX, Pace, ROWS, Spread, fdatasyncs, post};

/// The collector's core; what posts has the others.
const CORE: &str = "0";
/// More records than a core is expected to acknowledge in a second.
const RECORDS_PER_SECOND_MAX: usize = 1_600_000;

/// What the collector is offered of what it acknowledged at full rate, to see how long it takes when it is not overrun.
const RATE_SHARE: f64 = 0.5;

/// What a collector on one core is to acknowledge in a second, and the longest that one in a hundred may wait for it.
const GOAL_PER_SECOND: f64 = 1_000_000.0;
const GOAL_P99_MS: f64 = 100.0;

/// Posts as fast as answers come, for `time`, then for as long at half of that rate.
pub fn measure(dir: &Path, time: Duration, result: &mut BenchResult) -> anyhow::Result<()> {
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
    let refused = outcome.refused;
    let spread = Spread::of(outcome.waits);
    println!("ack:  {spread}, {POSTS_MAX} posts at once");
    let part = format!("acks: a collector on one core, {POSTS_MAX} posts at once");
    result.add(
        Figure::new(&part, "records acknowledged, each after its fdatasync", rate, "records/s")
            .at_least(GOAL_PER_SECOND)
            .remark(format!("{refused} batches refused")),
    );
    add_waits(result, &part, &spread);
    collector.wait_delivered()?;
    let per_second = rate * RATE_SHARE / ROWS as f64;
    let batches = maker.make((per_second * time.as_secs_f64()) as usize)?;
    let (offered, pace) = (batches.len(), Pace { per_second: Some(per_second), time: time * 2 });
    let outcome = post(&dir.join("tls"), collector.ingest, batches, pace)?;
    let (rate, acknowledged) = (outcome.rate(), outcome.waits.len());
    let spread = Spread::of(outcome.waits);
    println!("at {rate:.0} records/s: {acknowledged} of {offered} batches acknowledged, {spread}");
    let part = "acks at half of that rate, from when a post is due";
    result.add(
        Figure::new(part, "records acknowledged", rate, "records/s")
            .remark(format!("{acknowledged} of {offered} batches")),
    );
    add_waits(result, part, &spread);
    for (name, percent) in [("p50", 50), ("p99", 99)] {
        result.add(Figure::new("the disk's own fdatasync", name, disk.ms(percent), "ms"));
    }
    println!("disk: {disk} (write and fdatasync of {bytes} bytes)");
    collector.process.stop().map(drop)
}

fn add_waits(result: &mut BenchResult, part: &str, spread: &Spread) {
    result.add(Figure::new(part, "time to an acknowledgement, p50", spread.ms(50), "ms"));
    result.add(Figure::new(part, "time to an acknowledgement, p99", spread.ms(99), "ms").at_most(GOAL_P99_MS));
}
