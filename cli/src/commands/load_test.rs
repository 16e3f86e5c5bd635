//! `tollgate load-test`: made-up traffic into a collector, through a proxy, or into files.

use std::io::IsTerminal;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use chrono::DateTime;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio_util::sync::CancellationToken;
use tollgate_load::{CollectorLoad, Counters, Destination, ParquetFiles, Producers, ProxyLoad, Report, Traffic, World};
use tollgate_signals::Signals;

use crate::args::LoadTestArgs;
use crate::exit;

/// How long a proxy's worker waits before it seals a batch.
const SEAL_SECONDS: f64 = 0.2;
/// Records of a full batch.
const BATCH_RECORDS: usize = 4_096;
/// How often progress is shown, and on what is no terminal.
const SHOWN_EVERY: Duration = Duration::from_millis(200);
const LINE_EVERY: Duration = Duration::from_secs(10);
/// What the demo's services answer.
const DEMO_PATHS: [&str; 6] = [
    "/members/{id}",
    "/members/{id}?fields=name",
    "/claims/2026-{id}",
    "/payments/balance",
    "/legacy/report",
    "/members/status/404",
];

/// Runs the command.
pub fn main(args: &LoadTestArgs) -> anyhow::Result<ExitCode> {
    exit::or_usage(run(args))
}

fn run(args: &LoadTestArgs) -> anyhow::Result<ExitCode> {
    tollgate_tls::install_provider();
    let traffic = traffic(args)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let report = runtime.block_on(load(args, traffic))?;
    if args.json {
        println!("{}", serde_json::to_string(&report)?);
    } else {
        println!("{report}");
    }
    Ok(if report.lost() == 0 { ExitCode::SUCCESS } else { ExitCode::from(exit::FAILED) })
}

fn traffic(args: &LoadTestArgs) -> anyhow::Result<Traffic> {
    let start_us = match &args.start {
        Some(start) => DateTime::parse_from_rfc3339(start).context("--start: not RFC 3339")?.timestamp_micros(),
        None => tollgate_clock::now_us(),
    };
    let producers = (args.node.len() as f64 * f64::from(args.workers)).max(1.0);
    let sealed = (args.rate / producers * SEAL_SECONDS).ceil().clamp(1.0, BATCH_RECORDS as f64) as usize;
    let is_file = args.into.starts_with("parquet:");
    let traffic = Traffic {
        seed: args.seed,
        start_us,
        rate: args.rate,
        diurnal: args.diurnal,
        records: args.records.unwrap_or((args.rate * args.duration.as_secs_f64()).round() as u64),
        services: args.services,
        zipf_exponent: args.zipf,
        nodes: args.node.clone(),
        workers: args.workers,
        batch_records: args.batch_records.unwrap_or(if args.no_wait || is_file { BATCH_RECORDS } else { sealed }),
    };
    traffic.check()?;
    Ok(traffic)
}

async fn load(args: &LoadTestArgs, traffic: Traffic) -> anyhow::Result<Report> {
    let stop = CancellationToken::new();
    let mut signals = Signals::to_stop().context("signals cannot be waited for")?;
    let asked = stop.clone();
    tokio::spawn(async move {
        signals.stop().await;
        asked.cancel();
    });
    let counters = Arc::new(Counters::default());
    let showing = tokio::spawn(show(Arc::clone(&counters), traffic.records, stop.clone()));
    let report = match (&args.through, args.into.strip_prefix("parquet:")) {
        (Some(address), _) => {
            let paths = match (args.own_paths, args.paths.is_empty()) {
                (true, _) => Vec::new(),
                (false, true) => DEMO_PATHS.map(str::to_owned).to_vec(),
                (false, false) => args.paths.clone(),
            };
            let load = ProxyLoad {
                address: *address,
                connections: args.in_flight.into(),
                host: (!args.own_paths).then(|| args.host.clone()),
                paths,
                is_paced: !args.no_wait,
                traffic,
                counters,
            };
            load.run(stop.clone()).await
        }
        (None, Some(dir)) => {
            let dir = dir.to_owned();
            let stop = stop.clone();
            tokio::task::spawn_blocking(move || write(Path::new(&dir), &traffic, &counters, &stop)).await??
        }
        (None, None) if args.into == "collector" => {
            let link = destination(args)?.link()?;
            let producers = Producers::of(&traffic, &Arc::new(World::of(&traffic)));
            let load = CollectorLoad {
                link,
                in_flight: args.in_flight.into(),
                paced_from_us: (!args.no_wait).then_some(traffic.start_us),
                patience: args.patience,
                counters,
            };
            load.run(producers, stop.clone()).await
        }
        (None, None) => bail!("--into {}: there are collector and parquet:DIR", args.into),
    };
    stop.cancel();
    showing.await?;
    Ok(report)
}

fn destination(args: &LoadTestArgs) -> anyhow::Result<Destination> {
    let name = args.certificate.as_ref().or(args.node.first()).context("--node: at least one")?;
    Ok(Destination {
        authority: args.collector.clone(),
        ca: args.tls.join("ca.pem"),
        certificate: args.tls.join(format!("{name}.pem")),
        key: args.tls.join(format!("{name}.key")),
    })
}

/// Writes everything into files, or until `stop`.
fn write(dir: &Path, traffic: &Traffic, counters: &Counters, stop: &CancellationToken) -> anyhow::Result<Report> {
    let mut producers = Producers::of(traffic, &Arc::new(World::of(traffic)));
    let mut files = ParquetFiles::create(dir)?;
    while !stop.is_cancelled() {
        let Some(batch) = producers.next_batch()? else { break };
        files.append(&batch.sealed)?;
        counters.written(batch.sealed.rows as u64);
    }
    files.close()?;
    Ok(counters.report())
}

/// Shows how far the load is: a bar on a terminal, else a line now and then.
async fn show(counters: Arc<Counters>, records: u64, stop: CancellationToken) {
    let is_terminal = std::io::stderr().is_terminal();
    let bar = ProgressBar::with_draw_target(Some(records), ProgressDrawTarget::hidden());
    if is_terminal {
        bar.set_draw_target(ProgressDrawTarget::stderr());
        // The template is a constant: if it were wrong, the plain bar would do.
        if let Ok(style) = ProgressStyle::with_template("{bar:40} {human_pos}/{human_len} {per_sec}, {eta} left") {
            bar.set_style(style);
        }
    }
    loop {
        tokio::select! {
            () = tokio::time::sleep(if is_terminal { SHOWN_EVERY } else { LINE_EVERY }) => {}
            () = stop.cancelled() => return bar.finish_and_clear(),
        }
        let taken = counters.taken_so_far();
        bar.set_position(taken);
        if !is_terminal {
            eprintln!("{taken} of {records}");
        }
    }
}
