//! Arguments of `tollgate audit`.

use std::path::PathBuf;

use clap::{Args as ClapArgs, ValueEnum};

use super::ServerArgs;

/// How an audit is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum AuditFormat {
    /// A table for people
    Table,
    /// One JSON document with all ranges
    Json,
    /// One line a producer
    Csv,
}

/// Arguments of `tollgate audit`.
#[derive(Debug, ClapArgs)]
#[command(
    after_help = "Exit status: 0 = every number is accounted for, once; 1 = something is missing or doubled; 2 = it could not be told.

  tollgate audit --since 7d
  tollgate audit --since 2026-11-24 --until 2026-11-25 --kafka collector.yaml --journal data/journal
  tollgate audit --producer edge-1 --since all --format json"
)]
pub struct AuditArgs {
    /// From when on: a length of time before now (90m, 7d), a time (2026-11-25T10:00:00Z), or `all` that is kept
    #[arg(long, value_name = "WHEN", default_value = "1d")]
    pub since: String,
    /// Until when, likewise; without it until now
    #[arg(long, value_name = "WHEN")]
    pub until: Option<String>,
    /// One node (edge-1) or producer (edge-1/642f1a/0)
    #[arg(long, value_name = "NAME")]
    pub producer: Option<String>,
    /// A number without a record is open, not missing, until a later request of its producer began this long ago: longer
    /// than the proxies' `timeouts.total`
    #[arg(long, value_name = "TIME", default_value = "11m")]
    pub settle: String,
    /// Hold Kafka against the table: brokers as host:port,…, or a collector's configuration that says how to reach them
    #[arg(long, value_name = "BROKERS|FILE")]
    pub kafka: Option<String>,
    /// The topic, where --kafka names brokers
    #[arg(long, value_name = "TOPIC", default_value = "tollgate.transactions")]
    pub kafka_topic: String,
    /// The collector's journal folder: its dead letters are not missing
    #[arg(long, value_name = "DIR")]
    pub journal: Option<PathBuf>,
    /// Folders of batches that are not missing: a proxy's spool or quarantine
    #[arg(long, value_name = "DIR")]
    pub set_aside: Vec<PathBuf>,
    /// The collector's admin address, for what is behind, refused or damaged [usually http://127.0.0.1:9902]
    #[arg(long, value_name = "URL", env = "TOLLGATE_COLLECTOR_URL")]
    pub collector: Option<String>,
    /// How it is printed
    #[arg(long, value_enum, default_value_t = AuditFormat::Table)]
    pub format: AuditFormat,
    /// Ranges of numbers that are printed of each producer; JSON has all
    #[arg(long, value_name = "N", default_value_t = 10)]
    pub ranges: usize,
    /// Where to ask
    #[command(flatten)]
    pub server: ServerArgs,
}
