//! `make bench-ingest [ARGS="acks sinks fairness memory outage recovery --seconds 60 --gib 10 --json FILE"]`: what delivery costs and bears, measured here,
//! on real processes. Each part runs alone; without a part named all run, each as long as the goals say.
//!
//! | part | shows |
//! |---|---|
//! | `acks` | records acknowledged (fdatasynced) a second by a collector on one core, and the time to an acknowledgement then and at half of that rate, beside the disk's own fdatasync |
//! | `sinks` | records a second that table, Kafka and metrics have all stored, sustained |
//! | `fairness` | the time to an acknowledgement with a query that takes all that it can get, beside that without |
//! | `memory` | memory of the collector while a million records a second are offered |
//! | `outage` | a proxy at 1,736 requests a second without its collector: what is lost, its memory, its p99 beside the same with one |
//! | `recovery` | from the start of a collector with a full journal, left by SIGKILL, until it is ready |
//!
//! Records are made up to look like a gateway's, 4,096 in a batch, encoded before the clock starts. It does not show: a network
//! between the parts, or a machine on which load generator and Kafka are not the neighbours of what is measured.

mod acks;
mod collector;
mod fairness;
mod load;
mod memory;
mod outage;
mod recovery;
mod sinks;

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, bail};
use tollgate_bench_result::{BenchResult, json_argument};

/// The parts, and how many seconds each takes if nobody says otherwise (recovery takes what it takes).
const PARTS: [(&str, u64); 6] =
    [("acks", 5), ("sinks", 60), ("fairness", 20), ("memory", 10), ("outage", 600), ("recovery", 0)];
/// Size of the journal that is recovered.
const JOURNAL_GIB: f64 = 10.0;

fn main() -> anyhow::Result<()> {
    let (mut wanted, mut seconds, mut gib) = (Vec::new(), None, JOURNAL_GIB);
    let mut args: Vec<String> = std::env::args().skip(1).collect();
    let json = json_argument(&mut args).map_err(anyhow::Error::msg)?;
    let mut result = BenchResult::begin("delivery", format!("make bench-ingest ARGS=\"{}\"", args.join(" ")));
    let mut args = args.into_iter();
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--seconds" => seconds = Some(args.next().context("--seconds needs a number")?.parse()?),
            "--gib" => gib = args.next().context("--gib needs a number")?.parse()?,
            part if PARTS.iter().any(|(name, _)| *name == part) => wanted.push(arg),
            _ => bail!(
                "{arg} is unknown; there are acks, sinks, fairness, memory, outage and recovery, and --seconds N, --gib N and --json FILE"
            ),
        }
    }
    println!("{}, folder {}\n", result.machine(), std::env::temp_dir().display());
    for (part, default) in PARTS {
        if !wanted.is_empty() && !wanted.iter().any(|wanted| wanted == part) {
            continue;
        }
        let dir = tempfile::tempdir()?;
        let time = Duration::from_secs(seconds.unwrap_or(default));
        measure(part, dir.path(), time, gib, &mut result).with_context(|| part.to_owned())?;
        println!();
    }
    result.save(json.as_deref()).context("saving the result")
}

fn measure(part: &str, dir: &Path, time: Duration, gib: f64, result: &mut BenchResult) -> anyhow::Result<()> {
    match part {
        "acks" => acks::measure(dir, time, result),
        "sinks" => sinks::measure(dir, time, result),
        "fairness" => fairness::measure(dir, time, result),
        "memory" => memory::measure(dir, time, result),
        "outage" => outage::measure(dir, time, result),
        _ => recovery::measure(dir, gib, result),
    }
}
