//! `tollgate collector`: the collector, its sinks and the query servers, from one configuration file.

use std::process::ExitCode;

use anyhow::Context;
use tollgate_collector_service::{CollectorFile, read, start};
use tollgate_config::to_yaml;
use tollgate_signals::Signals;
use tollgate_telemetry::init_logging;

use crate::args::{CollectorArgs, ConfigAction};
use crate::exit::USAGE;

/// The log levels unless TOLLGATE_LOG sets others. Delta's crates log every snapshot at `info`.
pub(super) const LOG_LEVELS: &str = "info,buoyant_kernel=warn,buoyant_kernel_engine=warn,deltalake_core=warn";

/// Runs the command.
pub fn main(args: &CollectorArgs) -> anyhow::Result<ExitCode> {
    let file = match read(&args.config) {
        Ok(file) => file,
        Err(error) => {
            eprintln!("{error}");
            return Ok(ExitCode::from(USAGE));
        }
    };
    match args.action {
        Some(ConfigAction::Check) => println!("{}: fine, revision {}", args.config.display(), file.revision),
        Some(ConfigAction::PrintConfig) => print!("{}", to_yaml(&file.value)?),
        None => run(args, file.value)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn run(args: &CollectorArgs, file: CollectorFile) -> anyhow::Result<()> {
    init_logging(args.log_json, LOG_LEVELS)?;
    tollgate_tls::install_provider();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let was_started = runtime.block_on(async {
        let mut signals = Signals::to_stop().context("signals cannot be waited for")?;
        let mut service = tokio::select! {
            biased;
            _ = signals.stop() => {
                tracing::info!("stopped while starting: nothing was received yet");
                return anyhow::Ok(false);
            }
            service = start(file) => service?,
        };
        // From here on batches are acknowledged, and must reach their sinks: the stop below runs also if the query servers do not
        // start.
        let opened = service.open_queries().await;
        if opened.is_ok() {
            service.log_endpoints();
            signals.stop().await;
        }
        tracing::info!("stopping: requests in flight are finished, what the sinks hold is stored");
        service.stop().await?;
        opened.map(|()| true).map_err(anyhow::Error::from)
    });
    if let Ok(false) = was_started {
        // The thread that reads the journal ends with the process: dropping the runtime would wait for it.
        runtime.shutdown_background();
    }
    was_started.map(drop)
}
