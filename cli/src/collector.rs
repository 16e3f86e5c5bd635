//! `tollgate collector`: the collector, its sinks and the query doors, from one configuration file.

mod assemble;
mod config;
mod journal_id;
mod table_metrics;

use std::path::Path;
use std::process::ExitCode;

use tollgate_config::{ConfigError, Loaded, load, to_yaml};
use tollgate_telemetry::init_logging;

pub use assemble::{Assembled, start};
pub use config::CollectorFile;

use crate::USAGE;
use crate::args::{CollectorArgs, ConfigAction};

/// What is logged unless TOLLGATE_LOG says otherwise: Delta's crates tell of every snapshot.
const LOG_LEVELS: &str = "info,buoyant_kernel=warn,buoyant_kernel_engine=warn,deltalake_core=warn";

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

/// Reads and validates a configuration: nothing is bound, created or connected.
pub fn read(path: &Path) -> Result<Loaded<CollectorFile>, ConfigError> {
    load::<CollectorFile>(path)?.checked(CollectorFile::check)
}

fn run(args: &CollectorArgs, file: CollectorFile) -> anyhow::Result<()> {
    init_logging(args.log_json, LOG_LEVELS)?;
    tollgate_tls::install_provider();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let assembled = start(file).await?;
        assembled.log_endpoints();
        terminated().await?;
        tracing::info!("stopping: requests in flight are finished, what the sinks hold is stored");
        assembled.stop().await
    })
}

/// Waits for SIGTERM or SIGINT.
pub async fn terminated() -> std::io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut term = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::select! {
        _ = term.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}
