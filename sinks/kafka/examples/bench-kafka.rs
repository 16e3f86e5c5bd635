//! What a record costs the Kafka sink, by thread, and how fast one broker takes it.
//!
//! ```text
//! scripts/kafka.sh start --fast --dir D --port P
//! cargo run --release -p tollgate-sink-kafka --example bench-kafka -- 127.0.0.1:P [RECORDS] [compression=NAME] [rounds_max=N] [PROPERTY=VALUE …]
//! ```
//! Batches are decoded before the clock starts. It does not show: decoding, other sinks, or a broker on a machine of its own.

#[path = "../../../record/examples/plausible/mod.rs"]
mod plausible;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use plausible::{Facts, header};
use tollgate_record::{Batch, BatchBuilder, DecodeLimits, SealLimits, decode};
use tollgate_sink::{Delivery, Sink as _};
use tollgate_sink_kafka::{KafkaConfig, KafkaSink};

type Failure = Box<dyn std::error::Error>;

const BATCH_RECORDS: u64 = 4_096;
/// Different batches; they are sent again and again.
const BATCHES: i64 = 24;
/// As many as the collector hands over at once.
const BATCHES_AT_ONCE: usize = 4;
/// Ticks of /proc/PID/stat a second on Linux.
const TICKS_PER_SECOND: f64 = 100.0;

fn main() -> Result<(), Failure> {
    let mut arguments = std::env::args().skip(1);
    let broker = arguments.next().ok_or("name a broker as host:port")?;
    let records = arguments.next().map_or(Ok(1_000_000), |text| text.parse::<u64>())?;
    let mut config = KafkaConfig::new([broker]);
    for setting in arguments {
        let (name, value) = setting.split_once('=').ok_or("a property is NAME=VALUE")?;
        match name {
            "rounds_max" => config.rounds_max = value.parse()?,
            "compression" => config.compression = serde_json::from_value(value.into())?,
            _ => drop(config.properties.insert(name.to_owned(), value.to_owned())),
        }
    }
    let batches = batches()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    runtime.block_on(run(config, &batches, records))
}

async fn run(config: KafkaConfig, batches: &[Arc<Batch>], records: u64) -> Result<(), Failure> {
    let mut sink = KafkaSink::new(config)?;
    sink.recover().await?;
    let frames: Vec<u64> = (0..records.div_ceil(BATCH_RECORDS)).collect();
    let (before, began) = (cpu_by_thread()?, Instant::now());
    for positions in frames.chunks(BATCHES_AT_ONCE) {
        let delivery = |position: &u64| Delivery {
            position: *position,
            received_us: i64::MAX,
            batch: Arc::clone(&batches[*position as usize % batches.len()]),
        };
        sink.deliver(&positions.iter().map(delivery).collect::<Vec<_>>()).await?;
    }
    sink.close().await?;
    let sent = frames.len() as u64 * BATCH_RECORDS;
    println!("{sent} records, {:.0} a second", sent as f64 / began.elapsed().as_secs_f64());
    for (thread, seconds) in cpu_by_thread()? {
        let used = seconds - before.get(&thread).copied().unwrap_or(0.0);
        if used > 0.0 {
            println!("{thread:<20} {:6.2} us of CPU a record", used * 1e6 / sent as f64);
        }
    }
    Ok(())
}

fn batches() -> Result<Vec<Arc<Batch>>, Failure> {
    let limits = SealLimits { records_max: BATCH_RECORDS as usize, bytes_max: usize::MAX, ..SealLimits::default() };
    let mut builder = BatchBuilder::new(header(), limits);
    let mut batches = Vec::new();
    for seq in 1..=BATCHES * BATCH_RECORDS as i64 {
        builder.append(&Facts::of(seq).record());
        if builder.len() as u64 == BATCH_RECORDS {
            batches.push(Arc::new(decode(&builder.seal(1)?.bytes, &DecodeLimits::default())?));
        }
    }
    Ok(batches)
}

/// CPU time in seconds of this process's threads, by their names.
fn cpu_by_thread() -> Result<BTreeMap<String, f64>, Failure> {
    let mut threads = BTreeMap::new();
    for task in std::fs::read_dir("/proc/self/task")? {
        let stat = std::fs::read_to_string(task?.path().join("stat"))?;
        let (name, rest) = stat.rsplit_once(')').ok_or("an odd stat")?;
        let name = name.split_once('(').map_or(name, |(_, name)| name);
        // Fields 14 and 15 of proc(5); the first after the name is field 3.
        let ticks = rest.split_whitespace().skip(11).take(2).map(str::parse::<f64>).sum::<Result<f64, _>>()?;
        *threads.entry(name.to_owned()).or_default() += ticks / TICKS_PER_SECOND;
    }
    Ok(threads)
}
