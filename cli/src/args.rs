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
    /// Prove that every record is accounted for, once: exit status 0 if so, 1 if not, 2 if it could not be told
    Audit(AuditArgs),
    /// Read a collector's journal from its folder, also while the collector runs
    Journal(JournalArgs),
    /// List, show and replay what a sink refused for good
    Dlq(DlqArgs),
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
    pub door: DoorArgs,
}

/// Arguments of `tollgate journal`.
#[derive(Debug, ClapArgs)]
pub struct JournalArgs {
    /// What to do
    #[command(subcommand)]
    pub command: JournalCommand,
}

/// What to do with a journal.
#[derive(Debug, Subcommand)]
pub enum JournalCommand {
    /// List the segments, and how far each sink is
    Ls(JournalLsArgs),
    /// Check every frame and that no position is missing: exit status 1 if something is damaged
    Verify(JournalDirArgs),
    /// Print frames, or the records in them, as lines of JSON
    Cat(JournalCatArgs),
}

/// Which journal.
#[derive(Debug, ClapArgs)]
pub struct JournalDirArgs {
    /// The journal's folder (`journal.dir`); it is only read, and not locked
    #[arg(value_name = "DIR")]
    pub dir: PathBuf,
}

/// Arguments of `tollgate journal ls`.
#[derive(Debug, ClapArgs)]
pub struct JournalLsArgs {
    /// Which journal
    #[command(flatten)]
    pub journal: JournalDirArgs,
    /// Print JSON instead of a table
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `tollgate journal cat`.
#[derive(Debug, ClapArgs)]
#[command(after_help = "A batch that --raw wrote opens with pyarrow:
  python3 -c 'import pyarrow as pa, sys; print(pa.ipc.open_stream(pa.input_stream(sys.argv[1])).read_all())' 00000000000000000713.arrows.zst")]
pub struct JournalCatArgs {
    /// Which journal
    #[command(flatten)]
    pub journal: JournalDirArgs,
    /// First position
    #[arg(long, value_name = "POSITION", default_value_t = 0)]
    pub from: u64,
    /// Last position
    #[arg(long, value_name = "POSITION")]
    pub to: Option<u64>,
    /// Only frames of this producer, or of the producers whose name begins so (edge-1/)
    #[arg(long, value_name = "NAME")]
    pub producer: Option<String>,
    /// Print each record instead of each frame
    #[arg(long, conflicts_with = "raw")]
    pub records: bool,
    /// Write each batch as it was posted to DIR/POSITION.arrows.zst
    #[arg(long, value_name = "DIR")]
    pub raw: Option<PathBuf>,
}

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
