//! `quarantine`: batches that a collector refused for good.

use clap::Subcommand;
use tollgate_proxy::plan::RuntimeConfig;
use tollgate_proxy::quarantine;

#[derive(Debug, Subcommand)]
pub enum Action {
    /// List the batches, with the reason of each.
    Ls,
    /// Print the records of a batch, one JSON object a line.
    Show {
        /// Name of the batch, as `ls` shows it.
        name: String,
    },
    /// Send batches again, and delete those that the collector takes.
    Replay {
        /// Names of batches.
        #[arg(required_unless_present = "all")]
        names: Vec<String>,
        /// All of them.
        #[arg(long, conflicts_with = "names")]
        all: bool,
    },
}

/// Lists, shows or replays batches.
pub fn run(config: &RuntimeConfig, action: Action) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    match action {
        Action::Ls => quarantine::list(&config.records, &mut out)?,
        Action::Show { name } => quarantine::show(&config.records, &name, &mut out)?,
        Action::Replay { names, all } => {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            let names = if all { None } else { Some(names) };
            runtime.block_on(quarantine::replay(&config.records, names.as_deref(), &mut out))?;
        }
    }
    Ok(())
}
