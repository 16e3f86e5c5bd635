//! `tollgate collector`: the collector, its sinks and the query doors, from one configuration file.

mod assemble;
mod config;
mod journal_id;
mod table_metrics;

use std::path::Path;
use std::process::ExitCode;

use anyhow::Context;
use tokio::signal::unix::{Signal, SignalKind, signal};
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
    let was_started = runtime.block_on(async {
        let mut signals = Signals::catch()?;
        let mut assembled = tokio::select! {
            biased;
            () = signals.stop() => {
                tracing::info!("stopped while starting: nothing was received yet");
                return anyhow::Ok(false);
            }
            assembled = start(file) => assembled?,
        };
        // From here on batches are acknowledged: whatever comes, they are brought to their sinks.
        let opened = assembled.open_doors().await;
        if opened.is_ok() {
            assembled.log_endpoints();
            signals.stop().await;
        }
        tracing::info!("stopping: requests in flight are finished, what the sinks hold is stored");
        assembled.stop().await?;
        opened.map(|()| true)
    });
    if let Ok(false) = was_started {
        // The thread that reads the journal ends with the process: dropping the runtime would wait for it.
        runtime.shutdown_background();
    }
    was_started.map(drop)
}

/// SIGTERM and SIGINT: from [`Signals::catch`] on they ask the process to stop, and do not end it by themselves.
pub struct Signals {
    term: Signal,
    interrupt: Signal,
}

impl Signals {
    /// Within a runtime, before anything that a signal may not end half-way: one that comes after this is not lost.
    pub fn catch() -> anyhow::Result<Self> {
        let caught = |kind| signal(kind).context("signals cannot be waited for");
        Ok(Self { term: caught(SignalKind::terminate())?, interrupt: caught(SignalKind::interrupt())? })
    }

    /// Waits for either.
    pub async fn stop(&mut self) {
        tokio::select! {
            _ = self.term.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
