//! `make bench-smoke [ARGS="cpu sizes freshness ingest"]`: what a transaction and its record cost, measured here, in one run, beside nginx.
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

/// Rounds; each runs every variant once.
const ROUNDS: usize = 7;
/// Transactions whose way from response to SQL is timed.
const FRESHNESS_SAMPLES: usize = 200;

fn main() -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    machine()?;
    let bench = peers::Bench::start(dir.path()).context("starting the peers")?;
    let wanted: Vec<String> = std::env::args().skip(1).collect();
    let wants = |part: &str| wanted.is_empty() || wanted.iter().any(|wanted| wanted == part);
    if wants("cpu") {
        cpu::measure(&bench, ROUNDS)?;
    }
    if wants("sizes") {
        sizes::measure(&bench)?;
    }
    if wants("freshness") {
        freshness::measure(&bench, FRESHNESS_SAMPLES)?;
    }
    if wants("ingest") {
        drop(bench);
        ingest(dir.path())?;
    }
    Ok(())
}

fn machine() -> anyhow::Result<()> {
    let cpus = std::fs::read_to_string("/proc/cpuinfo")?;
    let model = cpus.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or("unknown");
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease")?;
    println!(
        "machine: {} x {}, Linux {}; nginx and wrk as packaged; release build\n",
        std::thread::available_parallelism()?,
        model.trim_start_matches([' ', '\t', ':']),
        kernel.trim()
    );
    Ok(())
}

/// Acknowledged records a second and the time to an acknowledgement, with the sinks idle: the collector's own bench.
fn ingest(dir: &Path) -> anyhow::Result<()> {
    let bench = tollgate_tests::process::binary("examples/bench-ingest")?;
    println!("## Ingest: acknowledged records a second (each acknowledgement follows its fdatasync)");
    let output = tollgate_tests::process::run(std::process::Command::new(bench).env("TMPDIR", dir))?;
    println!("{}", String::from_utf8_lossy(&output.stdout));
    Ok(())
}
