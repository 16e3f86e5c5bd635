//! `tollgate collector`: the collector, its sinks and the query doors, from one configuration file.

mod assemble;
mod config;
mod journal_id;
mod table_metrics;

use std::path::Path;
use std::process::ExitCode;

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
    let outcome = runtime.block_on(async {
        let mut termination = Termination::catch()?;
        let assembled = tokio::select! {
            biased;
            () = termination.requested() => {
                tracing::info!("stopped while starting: the next start reads the journal from where this one began");
                return Ok(());
            }
            assembled = start(file) => assembled?,
        };
        assembled.log_endpoints();
        termination.requested().await;
        tracing::info!("stopping: requests in flight are finished, what the sinks hold is stored");
        assembled.stop().await
    });
    // A journal that is still being read is left to the end of the process.
    runtime.shutdown_background();
    outcome
}

/// SIGTERM and SIGINT: from [`Termination::catch`] on they ask the process to stop, and do not end it by themselves.
pub struct Termination {
    term: Signal,
    interrupt: Signal,
}

impl Termination {
    /// To be called before anything is started: a signal that comes early is then not lost, and ends nothing half-way.
    pub fn catch() -> std::io::Result<Self> {
        Ok(Self { term: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    /// Waits for either.
    pub async fn requested(&mut self) {
        tokio::select! {
            _ = self.term.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
