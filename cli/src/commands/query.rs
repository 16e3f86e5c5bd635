//! `tollgate query`: query servers on a table that a collector writes, from one configuration file.

use std::process::ExitCode;

use anyhow::Context;
use tollgate_collector_service::{QueryFile, QueryProcess, read_query_file};
use tollgate_config::to_yaml;
use tollgate_signals::Signals;
use tollgate_telemetry::init_logging;

use super::collector::LOG_LEVELS;
use crate::args::{CollectorArgs, ConfigAction};
use crate::exit::USAGE;

/// Runs the command.
pub fn main(args: &CollectorArgs) -> anyhow::Result<ExitCode> {
    let file = match read_query_file(&args.config) {
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

fn run(args: &CollectorArgs, file: QueryFile) -> anyhow::Result<()> {
    init_logging(args.log_json, LOG_LEVELS)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut signals = Signals::to_stop().context("signals cannot be waited for")?;
        let mut process = QueryProcess::start(file).await?;
        // A signal also ends the wait for a table that is not there.
        let opened = tokio::select! {
            biased;
            _ = signals.stop() => None,
            opened = process.open() => Some(opened),
        };
        if let Some(Ok(())) = opened {
            process.log_endpoints();
            signals.stop().await;
        }
        tracing::info!("stopping: queries under way have a short grace");
        process.stop().await?;
        opened.unwrap_or(Ok(())).map_err(anyhow::Error::from)
    })
}
