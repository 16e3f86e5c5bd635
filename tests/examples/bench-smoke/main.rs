//! `make bench-smoke [ARGS="cpu sizes freshness ingest --json FILE"]`: what a transaction and its record cost, measured here, in one run, beside nginx.
//!
//! Each round runs every variant once, in turn; the figures are medians over the rounds, with the smallest and the
//! largest, and ratios within the run. The proxies have one worker each and run on core 0; the load generator (wrk), the
//! upstream (nginx) and the collector share the other cores. It does not show: latency under load, TLS, HTTP/2, more than
//! one worker, or a machine on which the load generator is not the neighbour of what it measures.

mod cpu;
mod freshness;
mod peers;
mod sizes;

use std::path::Path;

use anyhow::Context;
use tollgate_bench_result::{BenchResult, json_argument};

/// Rounds; each runs every variant once.
const ROUNDS: usize = 7;
/// Transactions whose way from response to SQL is timed.
const FRESHNESS_SAMPLES: usize = 200;

fn main() -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let mut wanted: Vec<String> = std::env::args().skip(1).collect();
    let json = json_argument(&mut wanted).map_err(anyhow::Error::msg)?;
    let mut result = BenchResult::begin("smoke", format!("make bench-smoke ARGS=\"{}\"", wanted.join(" ")));
    println!("{}; nginx and wrk as packaged\n", result.machine());
    let bench = peers::Bench::start(dir.path()).context("starting the peers")?;
    let wants = |part: &str| wanted.is_empty() || wanted.iter().any(|wanted| wanted == part);
    if wants("cpu") {
        cpu::measure(&bench, ROUNDS, &mut result)?;
    }
    if wants("sizes") {
        sizes::measure(&bench, &mut result)?;
    }
    if wants("freshness") {
        freshness::measure(&bench, FRESHNESS_SAMPLES, &mut result)?;
    }
    if wants("ingest") {
        drop(bench);
        ingest(dir.path())?;
    }
    result.save(json.as_deref()).context("saving the result")
}

/// Acknowledged records a second and the time to an acknowledgement, with the sinks idle: the collector's own bench.
fn ingest(dir: &Path) -> anyhow::Result<()> {
    let bench = tollgate_tests::process::binary("examples/bench-ingest")?;
    println!("## Ingest: acknowledged records a second (each acknowledgement follows its fdatasync)");
    let output = tollgate_tests::process::run(std::process::Command::new(bench).env("TMPDIR", dir))?;
    println!("{}", String::from_utf8_lossy(&output.stdout));
    Ok(())
}
