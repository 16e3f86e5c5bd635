//! Arguments of `tollgate dlq`.

use std::path::PathBuf;

use clap::{Args as ClapArgs, Subcommand};

/// Arguments of `tollgate dlq`.
#[derive(Debug, ClapArgs)]
pub struct DlqArgs {
    /// What to do
    #[command(subcommand)]
    pub command: DlqCommand,
}

/// What to do with dead letters.
#[derive(Debug, Subcommand)]
pub enum DlqCommand {
    /// List the dead letters, and what was skipped
    Ls(DlqLsArgs),
    /// Print one as JSON, with its records
    Show(DlqShowArgs),
    /// Have the collector deliver them to their sink again; those that it stores are removed
    Replay(DlqReplayArgs),
}

/// Arguments of `tollgate dlq ls`.
#[derive(Debug, ClapArgs)]
pub struct DlqLsArgs {
    /// The journal's folder (`journal.dir`)
    #[arg(value_name = "DIR")]
    pub dir: PathBuf,
    /// Only those of this sink
    #[arg(long, value_name = "SINK")]
    pub sink: Option<String>,
    /// Print JSON instead of a table
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `tollgate dlq show`.
#[derive(Debug, ClapArgs)]
pub struct DlqShowArgs {
    /// The journal's folder (`journal.dir`)
    #[arg(value_name = "DIR")]
    pub dir: PathBuf,
    /// The sink that refused it
    #[arg(long, value_name = "SINK")]
    pub sink: String,
    /// Its position
    #[arg(long, value_name = "POSITION")]
    pub position: u64,
}

/// Arguments of `tollgate dlq replay`.
#[derive(Debug, ClapArgs)]
#[command(
    after_help = "Run it as the user that runs the collector. Killed at any moment, it loses nothing and can be run again. Delivery is at least once:
a collector that is killed between the sink's answer and the removal delivers that letter again, with the same identities.",
    group = clap::ArgGroup::new("which").required(true)
)]
pub struct DlqReplayArgs {
    /// The journal's folder (`journal.dir`)
    #[arg(value_name = "DIR")]
    pub dir: PathBuf,
    /// The sink that is to get them
    #[arg(long, value_name = "SINK")]
    pub sink: String,
    /// One position; may be given again
    #[arg(long, value_name = "POSITION", group = "which")]
    pub position: Vec<u64>,
    /// All letters of the sink
    #[arg(long, group = "which")]
    pub all: bool,
    /// Wait this many seconds for the sink's answers; 0 = do not
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    pub wait: u64,
}
