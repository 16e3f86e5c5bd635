//! A proxy whose collector is away.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::ensure;
use tollgate_bench_result::{BenchResult, Figure};
use tollgate_tests::http::{metric, page};
use tollgate_tests::net::sleep;
use tollgate_tests::process::{binary, run_any};
use tollgate_tests::stack::{Options, Stack, start_collector};
use tollgate_tests::traffic::{Ledger, Plan, Traffic};

use crate::collector::{RECOVERY_MAX, within};
use crate::load::Spread;

/// 150 million transactions a day.
const REQUESTS_PER_SECOND: f64 = 1_736.0;
const CLIENTS: u32 = 32;
const CLIENT_TIMEOUT: Duration = Duration::from_secs(20);
/// The run before, with a collector, is this part of the outage, and a minute at most.
const BEFORE: u32 = 2;
const BEFORE_MAX: Duration = Duration::from_secs(60);

/// Sends requests with a collector, then for `time` without, then waits until what was kept is delivered.
pub fn measure(dir: &Path, time: Duration, result: &mut BenchResult) -> anyhow::Result<()> {
    let mut stack = Stack::start(dir, Options::default())?;
    // Connections are opened and caches filled before the clock starts.
    traffic(&stack, Duration::from_secs(1))?;
    let with = traffic(&stack, (time / BEFORE).min(BEFORE_MAX))?;
    let memory_with = stack.proxy.memory()?;
    ensure!(stack.collector.stop()?.success(), "the collector's end: {}", stack.collector.output());
    let without = traffic(&stack, time)?;
    let memory_without = stack.proxy.memory()?;
    let kept = spool_bytes(&stack)?;
    let back = Instant::now();
    stack.collector = start_collector(&stack.dir)?;
    stack.wait_ready()?;
    within(RECOVERY_MAX, "every record to be acknowledged", || is_delivered(&stack).unwrap_or(false))?;
    let caught_up = back.elapsed();
    ensure!(stack.proxy.stop()?.success(), "the proxy's end: {}", stack.proxy.output());
    println!("## outage: a proxy with 2 workers at {REQUESTS_PER_SECOND} requests/s, default bounds");
    let (p99_with, p99_without) = (report("with a collector", &with), report("without", &without));
    let ratio = p99_without.as_secs_f64() / p99_with.as_secs_f64();
    println!("p99 without / with: {ratio:.2}");
    let [with_mib, without_mib, kept_mib] =
        [memory_with.peak as f64, memory_without.peak as f64, kept].map(|bytes| bytes / f64::from(1 << 20));
    println!(
        "proxy's peak memory: {with_mib:.1} MiB with a collector, {without_mib:.1} MiB without; {kept_mib:.1} MiB in the spool, delivered {:.1} s after the collector's start",
        caught_up.as_secs_f64()
    );
    let part = format!("outage: {} s without a collector at {REQUESTS_PER_SECOND} requests a second", time.as_secs());
    let answered = (without.answered.len() + without.failed.len()) as f64;
    result
        .add(Figure::count(&part, "requests", answered, "requests").remark(format!("{} failed", without.failed.len())));
    result.add(
        Figure::new(&part, "peak memory of the proxy", without_mib, "MiB")
            .remark(format!("{with_mib:.1} MiB with a collector; {kept_mib:.1} MiB in the spool")),
    );
    result.add(Figure::new(
        &part,
        "time from the collector's start until all were delivered",
        caught_up.as_secs_f64(),
        "s",
    ));
    let [p99_without, p99_with] = [p99_without, p99_with].map(|p99| p99.as_secs_f64() * 1e3);
    result.add(
        Figure::new(&part, "p99 without a collector over p99 of the run before", ratio, "ratio")
            .at_most(1.0)
            .remark(format!("{p99_without:.2} over {p99_with:.2} ms")),
    );
    account(&stack)
}

fn traffic(stack: &Stack, time: Duration) -> anyhow::Result<Ledger> {
    let traffic = Traffic::start(Plan {
        targets: vec![([127, 0, 0, 1], stack.ports.http).into()],
        clients: CLIENTS,
        rate: REQUESTS_PER_SECOND,
        paths: vec!["/members/1".into()],
        timeout: CLIENT_TIMEOUT,
    });
    sleep(time);
    traffic.stop()
}

/// Whether the collector has acknowledged every record that got a number. A spool that is empty says nothing: what the ring has
/// room for is kept there, and a proxy that is stopped now leaves in its spool what waits to be sent again.
fn is_delivered(stack: &Stack) -> anyhow::Result<bool> {
    let page = page(stack.ports.proxy_admin, "/metrics")?;
    let issued = metric(&page, "tollgate_proxy_records_issued_total", "")?;
    Ok(metric(&page, "tollgate_proxy_records_acked_total", "")? >= issued)
}

fn spool_bytes(stack: &Stack) -> anyhow::Result<f64> {
    metric(&page(stack.ports.proxy_admin, "/metrics")?, "tollgate_proxy_spool_bytes", "")
}

fn report(what: &str, ledger: &Ledger) -> Duration {
    let waits = ledger.answered.iter().map(|answered| Duration::from_micros(answered.took_us)).collect();
    let spread = Spread::of(waits);
    println!("{what}: {} answered, {} failed; {spread}", ledger.answered.len(), ledger.failed.len());
    spread.percentile(99)
}

/// Prints what the audit says, and fails unless everything is accounted for.
fn account(stack: &Stack) -> anyhow::Result<()> {
    let mut command = Command::new(binary("tollgate")?);
    command.args(["audit", "--since", "all", "--settle", "0s"]);
    command.env("TOLLGATE_URL", format!("http://127.0.0.1:{}", stack.ports.query));
    command.env("TOLLGATE_COLLECTOR_URL", format!("http://127.0.0.1:{}", stack.ports.collector_admin));
    let output = run_any(&mut command)?;
    print!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    ensure!(output.status.success(), "the audit ended with {}", output.status);
    Ok(())
}
