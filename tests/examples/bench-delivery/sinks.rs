//! Records a second that all three sinks have stored.

use std::path::Path;
use std::time::{Duration, Instant};

use tollgate_bench_result::{BenchResult, Figure};

use crate::collector::{Collector, Sinks};
use crate::load::{Maker, Pace, ROWS, Spread, post};

/// Records a second that are offered: the goal.
const OFFERED_PER_SECOND: usize = 200_000;

/// Offers the goal's rate for `time` and waits until every sink has stored the last record.
pub fn measure(dir: &Path, time: Duration, result: &mut BenchResult) -> anyhow::Result<()> {
    let batches = Maker::new()?.make(OFFERED_PER_SECOND * time.as_secs() as usize / ROWS)?;
    let mut collector = Collector::start(dir, Sinks::All, "", None)?;
    let per_second = Some(OFFERED_PER_SECOND as f64 / ROWS as f64);
    let pace = Pace { per_second, time: time * 10 };
    let before = collector.cpu_seconds()?;
    let began = Instant::now();
    let outcome = post(&dir.join("tls"), collector.ingest, batches, pace)?;
    collector.wait_delivered()?;
    let took = began.elapsed();
    let after = collector.cpu_seconds()?;
    let records = outcome.waits.len() * ROWS;
    println!("## sinks: table, Kafka and metrics; Kafka and what posts share the cores");
    println!(
        "{records} records offered at {OFFERED_PER_SECOND}/s: acknowledged at {:.0}/s, {} batches refused; stored in every sink after {:.1} s = {:.0} records/s",
        outcome.rate(),
        outcome.refused,
        took.as_secs_f64(),
        records as f64 / took.as_secs_f64()
    );
    let each = [0, 1, 2].map(|at| (after[at] - before[at]) * 1e6 / records as f64);
    println!(
        "CPU a record: {:.1} us in the collector, {:.1} in Kafka, {:.1} in what posts: {:.1} of the {:.1} that there are at {OFFERED_PER_SECOND}/s",
        each[0],
        each[1],
        each[2],
        each.iter().sum::<f64>(),
        std::thread::available_parallelism()?.get() as f64 * 1e6 / OFFERED_PER_SECOND as f64
    );
    let part = "table, Kafka and metrics";
    let stored = records as f64 / took.as_secs_f64();
    result.add(
        Figure::new(
            part,
            format!("records stored by all three, {OFFERED_PER_SECOND} a second offered"),
            stored,
            "records/s",
        )
        .at_least(OFFERED_PER_SECOND as f64)
        .remark(format!("{} s offered", time.as_secs())),
    );
    result.add(
        Figure::new(part, "records acknowledged meanwhile", outcome.rate(), "records/s")
            .remark(format!("{} batches refused", outcome.refused)),
    );
    for (who, us) in ["the collector", "Kafka", "what posts"].iter().zip(each) {
        result.add(Figure::new(part, format!("CPU per record in {who}"), us, "us"));
    }
    println!(
        "ack: {}; collector's peak memory {} MiB",
        Spread::of(outcome.waits),
        collector.process.memory()?.peak >> 20
    );
    collector.process.stop().map(drop)
}
