//! The proxy as a program.
//!
//! Exit status: 0 after a drain; 1 if it could not start, or `top` got no answer; 2 if the configuration or the command
//! line is wrong.

mod commands;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::{Parser, Subcommand};
use tollgate_proxy::plan::RuntimeConfig;
use tollgate_proxy::{inherited_sockets, start_on};
use tollgate_signals::{Asked, Signals};

use crate::commands::{EXIT_CONFIG, Format, check, diff, explain, hash, print_config, quarantine, top};

/// A reverse proxy that leaves one security record for each transaction.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    /// The configuration file.
    #[arg(long, global = true)]
    config: Option<PathBuf>,
    /// Write logs as JSON.
    #[arg(long, global = true)]
    log_json: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Check the configuration, with every file it names, and bind nothing.
    Check {
        /// The configuration file or folder, if --config is not given.
        file: Option<PathBuf>,
        /// How to write what was found.
        #[arg(long, value_enum, default_value_t)]
        format: Format,
        /// Exit with status 1 if there are warnings.
        #[arg(long)]
        deny_warnings: bool,
    },
    /// Show what one configuration changes against another; status 1 if there is something.
    Diff {
        /// The configuration before.
        old: PathBuf,
        /// The configuration after.
        new: PathBuf,
        /// How to write the changes.
        #[arg(long, value_enum, default_value_t)]
        format: Format,
    },
    /// Show step by step how a request would be decided, without sending anything.
    Explain(explain::Settings),
    /// Print the hash of a secret for the configuration: it comes by standard input.
    Hash {
        /// What is hashed.
        #[arg(value_enum)]
        secret: hash::Secret,
    },
    /// Batches that a collector refused for good: list them, read them, send them again.
    Quarantine {
        #[command(subcommand)]
        action: quarantine::Action,
    },
    /// Show what a running proxy is doing: rates, latencies, errors, and the transactions in flight, until Ctrl-C.
    Top(top::Settings),
    /// Print the effective configuration, with every default.
    PrintConfig {
        /// The configuration file, if --config is not given.
        file: Option<PathBuf>,
    },
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if let Err(error) = tollgate_telemetry::init_logging(arguments.log_json, "info") {
        eprintln!("{error}");
    }
    let named = match &arguments.command {
        Some(Command::Check { file, .. } | Command::PrintConfig { file }) => file.clone(),
        Some(Command::Diff { old, new, format }) => return diff::run(old, new, *format),
        Some(Command::Top(settings)) => return top::run(settings, arguments.config.as_deref()),
        Some(Command::Hash { secret }) => return ended(hash::run(*secret)),
        Some(Command::Quarantine { .. } | Command::Explain(_)) | None => None,
    };
    let Some(file) = arguments.config.or(named) else {
        eprintln!("no configuration: write --config FILE");
        return ExitCode::from(EXIT_CONFIG);
    };
    if let Some(Command::Check { format, deny_warnings, .. }) = arguments.command {
        return check::run(&file, format, deny_warnings);
    }
    let config = match RuntimeConfig::load(&file) {
        Ok(config) => config,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::from(EXIT_CONFIG);
        }
    };
    let outcome = match arguments.command {
        Some(Command::PrintConfig { .. }) => print_config::run(&config),
        Some(Command::Quarantine { action }) => quarantine::run(&config, action),
        Some(Command::Explain(settings)) => explain::run(&config, &settings),
        Some(Command::Check { .. } | Command::Diff { .. } | Command::Top(_) | Command::Hash { .. }) => Ok(()),
        None => run(config),
    };
    ended(outcome)
}

fn ended(outcome: anyhow::Result<()>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Runs until SIGTERM or SIGINT, then drains; SIGHUP reads the configuration again.
fn run(config: RuntimeConfig) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    // Before anything runs, so that an early signal does not end the process.
    let mut signals =
        runtime.block_on(async { Signals::to_stop_and_reload() }).context("signals cannot be waited for")?;
    let running = start_on(config, inherited_sockets()?)?;
    for (name, address) in &running.addresses {
        tracing::info!(listener = name, %address, "listening");
    }
    tracing::info!(address = %running.admin, "admin endpoint");
    let signal = loop {
        match runtime.block_on(signals.next()) {
            // The result is dropped: the reload logs and counts it.
            Asked::Reload => drop(running.reload()),
            Asked::Stop(signal) => break signal,
        }
    };
    let drain = running.patience();
    tracing::info!(signal, seconds = drain.as_secs(), "stopping");
    running.stop(drain);
    tracing::info!("stopped");
    Ok(())
}
