//! CPU time per transaction.

use std::path::Path;

use anyhow::Context;
use tollgate_bench_result::{BenchResult, Figure};
use tollgate_tests::process::{cpu_seconds, run};

use crate::peers::{Bench, OTHER_CORE, Variant, pinned};

/// Connections that wrk keeps busy.
const CONNECTIONS: &str = "32";
/// How long one variant is loaded in one round.
const LOAD: &str = "4s";

/// Loads every variant in turn, `rounds` times, and prints medians and ratios.
pub fn measure(bench: &Bench, rounds: usize, result: &mut BenchResult) -> anyhow::Result<()> {
    println!(
        "## CPU per transaction: keepalive HTTP/1.1, 0.7 KB answers, {CONNECTIONS} connections, one worker, {rounds} rounds"
    );
    let mut samples = vec![Vec::new(); bench.variants.len()];
    for round in 0..=rounds {
        for (variant, samples) in bench.variants.iter().zip(&mut samples) {
            let sample = load(variant)?;
            // The first round warms up.
            if round > 0 {
                samples.push(sample);
            }
        }
    }
    let base = median(samples[0].iter().map(|s| s.cpu_us));
    println!("{:<34} {:>14} {:>16} {:>10} {:>14}", "", "CPU us/request", "min..max", "ratio", "requests/s");
    for (variant, samples) in bench.variants.iter().zip(&samples) {
        let cpu: Vec<f64> = samples.iter().map(|s| s.cpu_us).collect();
        let (low, high) = cpu.iter().fold((f64::MAX, 0.0_f64), |(low, high), &x| (low.min(x), high.max(x)));
        let middle = median(cpu.into_iter());
        let rate = median(samples.iter().map(|s| s.rate));
        println!(
            "{:<34} {middle:>14.1} {:>16} {:>10.2} {rate:>14.0}",
            variant.name,
            format!("{low:.1}..{high:.1}"),
            middle / base
        );
        let part = "keepalive HTTP/1.1, 0.7 KB answers, one worker";
        result.add(Figure::new(part, "CPU time per request", middle, "us").between(low, high).of(variant.name));
    }
    let pair = |a: usize, b: usize| {
        let ratios = samples[a].iter().zip(&samples[b]).map(|(x, y)| x.cpu_us / y.cpu_us);
        let all: Vec<f64> = ratios.collect();
        let (low, high) = all.iter().fold((f64::MAX, 0.0_f64), |(low, high), &x| (low.min(x), high.max(x)));
        format!("{:.2} ({low:.2}..{high:.2})", median(all.into_iter()))
    };
    println!("ratios within a round, median (min..max):");
    println!("  records shipped / records off          {}", pair(3, 2));
    println!("  records shipped / nginx without log    {}", pair(3, 0));
    println!("  records shipped / nginx with JSON log  {}\n", pair(3, 1));
    Ok(())
}

#[derive(Clone)]
struct Sample {
    cpu_us: f64,
    rate: f64,
}

fn load(variant: &Variant) -> anyhow::Result<Sample> {
    let before = cpu_of(&variant.processes)?;
    let url = format!("http://127.0.0.1:{}/members/4711?page=2", variant.port);
    let output = run(pinned(OTHER_CORE, Path::new("wrk")).args(["-t1", "-c", CONNECTIONS, "-d", LOAD, &url]))?;
    let after = cpu_of(&variant.processes)?;
    let text = String::from_utf8(output.stdout)?;
    anyhow::ensure!(!text.contains("Non-2xx") && !text.contains("Socket errors"), "{}: {text}", variant.name);
    let number = |marker: &str| -> anyhow::Result<f64> {
        let line = text.lines().find(|line| line.contains(marker)).with_context(|| format!("wrk said: {text}"))?;
        let word = line.split_whitespace().find(|word| word.parse::<f64>().is_ok()).context("no number")?;
        Ok(word.parse()?)
    };
    let requests = number("requests in")?;
    Ok(Sample { cpu_us: (after - before) * 1e6 / requests, rate: number("Requests/sec")? })
}

/// CPU time that the processes have used, in seconds.
fn cpu_of(processes: &[u32]) -> anyhow::Result<f64> {
    processes.iter().map(|process| cpu_seconds(*process)).sum()
}

/// The middle of some figures.
pub fn median(values: impl Iterator<Item = f64>) -> f64 {
    percentile(values, 0.5)
}

/// The figure below which this share of all lies.
pub fn percentile(values: impl Iterator<Item = f64>, share: f64) -> f64 {
    let mut sorted: Vec<f64> = values.collect();
    sorted.sort_by(f64::total_cmp);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "an index below the length")]
    let index = ((sorted.len() as f64 - 1.0) * share).round().max(0.0) as usize;
    sorted.get(index).copied().unwrap_or(f64::NAN)
}
