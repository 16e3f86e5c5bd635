//! Arguments of `tollgate collector` and `tollgate query`.

use std::path::PathBuf;

use clap::{Args as ClapArgs, ValueEnum};

/// Arguments of a process that runs from a configuration file.
#[derive(Debug, ClapArgs)]
pub struct CollectorArgs {
    /// What to do with the configuration, instead of running it
    #[arg(value_enum)]
    pub action: Option<ConfigAction>,
    /// The configuration file (YAML)
    #[arg(long, value_name = "FILE")]
    pub config: PathBuf,
    /// Write log lines as JSON
    #[arg(long)]
    pub log_json: bool,
}

/// What to do with a configuration, instead of running it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ConfigAction {
    /// Validate it and exit
    Check,
    /// Print it with every default filled in
    PrintConfig,
}
