//! The command line.

mod audit;
mod collector;
mod demo;
mod dlq;
mod import;
mod journal;
mod load_test;
mod query;

use clap::{Parser, Subcommand};

pub use audit::{AuditArgs, AuditFormat};
pub use collector::{CollectorArgs, ConfigAction};
pub use demo::{Companion, DemoArgs};
pub use dlq::{DlqArgs, DlqCommand, DlqLsArgs, DlqReplayArgs, DlqShowArgs};
pub use import::{ImportArgs, ImportFrom, ImportKongArgs};
pub use journal::{JournalArgs, JournalCatArgs, JournalCommand, JournalDirArgs, JournalLsArgs};
pub use load_test::LoadTestArgs;
pub use query::{AskArgs, FindArgs, Format, ServerArgs, SqlArgs};

/// Records of every API transaction: collected, kept, asked.
#[derive(Debug, Parser)]
#[command(name = "tollgate", version)]
pub struct Args {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Receive records from proxies, make them durable, fan them out and answer queries
    Collector(CollectorArgs),
    /// Answer queries on a table that a collector writes, as a process of its own
    Query(CollectorArgs),
    /// Run everything on this machine with sample upstreams and light traffic, until Ctrl-C
    Demo(DemoArgs),
    /// Run a SQL query on the table `transactions`
    Sql(SqlArgs),
    /// Tell in plain words what happened to one transaction
    Find(FindArgs),
    /// Run a saved question; without a name, list them
    Ask(AskArgs),
    /// Prove that every record is accounted for, once: exit status 0 if so, 1 if not, 2 if it could not be told
    Audit(AuditArgs),
    /// Read a collector's journal from its folder, also while the collector runs
    Journal(JournalArgs),
    /// Send made-up traffic into a collector or through a proxy, and report what was acknowledged: exit status 1 on a loss
    LoadTest(LoadTestArgs),
    /// List, show and replay what a sink refused for good
    Dlq(DlqArgs),
    /// Bring the configuration of another gateway along: exit status 0 if all of it was mapped, 1 if not, 2 if it was refused
    Import(ImportArgs),
}
