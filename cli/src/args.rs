//! The command line.

use std::path::PathBuf;

use clap::{Args as ClapArgs, Parser, Subcommand, ValueEnum};

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
    /// Run everything on this machine with sample upstreams and light traffic, until Ctrl-C
    Demo(DemoArgs),
    /// Run a SQL query on the table `transactions`
    Sql(SqlArgs),
    /// Tell in plain words what happened to one transaction
    Find(FindArgs),
    /// Run a saved question; without a name, list them
    Ask(AskArgs),
}

/// Arguments of `tollgate collector`.
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

/// A real program that the demo can start beside itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Companion {
    /// Apache Kafka, a single node in KRaft mode
    Kafka,
    /// Prometheus with the rules of dashboards/
    Prometheus,
    /// Alertmanager, paging the demo's own terminal
    Alertmanager,
}

/// Arguments of `tollgate demo`.
#[derive(Debug, Clone, ClapArgs)]
pub struct DemoArgs {
    /// Where certificates, configuration and data are kept between runs
    #[arg(long, value_name = "DIR", default_value = ".tollgate")]
    pub dir: PathBuf,
    /// Send no traffic of its own
    #[arg(long)]
    pub no_traffic: bool,
    /// Transactions a second that the demo's own traffic aims at
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=2000))]
    pub rate: u32,
    /// Real programs to start as well, wired up
    #[arg(long, value_enum, value_delimiter = ',')]
    pub with: Vec<Companion>,
    /// Port of the proxy, plaintext (0 = any free one, here and below)
    #[arg(long, default_value_t = 8080)]
    pub http_port: u16,
    /// Port of the proxy, TLS
    #[arg(long, default_value_t = 8443)]
    pub https_port: u16,
    /// Port of the proxy's admin endpoint
    #[arg(long, default_value_t = 9901)]
    pub proxy_admin_port: u16,
    /// Port on which the collector receives batches
    #[arg(long, default_value_t = 7443)]
    pub ingest_port: u16,
    /// Port of the collector's admin endpoint
    #[arg(long, default_value_t = 9902)]
    pub collector_admin_port: u16,
    /// Port of the PostgreSQL door
    #[arg(long, default_value_t = 15432)]
    pub postgres_port: u16,
    /// Port of the HTTP door
    #[arg(long, default_value_t = 8088)]
    pub query_port: u16,
}

/// Where the queries are answered.
#[derive(Debug, Clone, ClapArgs)]
pub struct DoorArgs {
    /// Address of the HTTP door
    #[arg(long, value_name = "URL", env = "TOLLGATE_URL", default_value = "http://127.0.0.1:8088")]
    pub url: String,
    /// Give up after this many seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    pub timeout: u64,
}

/// How rows are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// A table for people
    Table,
    /// JSON as the HTTP door answers it
    Json,
    /// Comma-separated values with a header line
    Csv,
    /// An Arrow IPC stream
    Arrow,
}

/// Arguments of `tollgate sql`.
#[derive(Debug, ClapArgs)]
pub struct SqlArgs {
    /// The query; `-` reads it from standard input
    pub sql: String,
    /// How rows are printed
    #[arg(long, value_enum, default_value_t = Format::Table)]
    pub format: Format,
    /// Where to ask
    #[command(flatten)]
    pub door: DoorArgs,
}

/// Arguments of `tollgate find`.
#[derive(Debug, ClapArgs)]
pub struct FindArgs {
    /// A request id, trace id or correlation id
    pub id: String,
    /// Print JSON instead of words
    #[arg(long)]
    pub json: bool,
    /// Where to ask
    #[command(flatten)]
    pub door: DoorArgs,
}

/// Arguments of `tollgate ask`.
#[derive(Debug, ClapArgs)]
#[command(after_help = "Parameters follow the question's name: tollgate ask why-failed --service members --since 15m")]
pub struct AskArgs {
    /// How rows are printed (before the question's name)
    #[arg(long, value_enum, default_value_t = Format::Table)]
    pub format: Format,
    /// Where to ask
    #[command(flatten)]
    pub door: DoorArgs,
    /// The question's name; none = list the questions
    pub name: Option<String>,
    /// The question's parameters, each as `--name value` or `--name=value`
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "--PARAM VALUE")]
    pub params: Vec<String>,
}
