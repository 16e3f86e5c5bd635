//! Arguments of `tollgate load-test`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args as ClapArgs;

/// Arguments of `tollgate load-test`.
#[derive(Debug, Clone, ClapArgs)]
pub struct LoadTestArgs {
    /// Where records go: `collector` (straight into its ingest) or `parquet:DIR` (files for other engines)
    #[arg(long, value_name = "WHERE", default_value = "collector", conflicts_with = "through")]
    pub into: String,
    /// Send HTTP requests through a proxy instead, to its plaintext listener
    #[arg(long, value_name = "ADDRESS", num_args = 0..=1, default_missing_value = "127.0.0.1:8080")]
    pub through: Option<SocketAddr>,
    /// Records, or requests, a second; the mean of a day with --diurnal
    #[arg(long, value_name = "N", default_value_t = 1_736.0)]
    pub rate: f64,
    /// How many records or requests; instead of --duration
    #[arg(long, value_name = "N", conflicts_with = "duration")]
    pub records: Option<u64>,
    /// How much of the traffic's time, as `90s`, `15m`, `24h`
    #[arg(long, value_name = "TIME", default_value = "1m", value_parser = duration)]
    pub duration: Duration,
    /// Send as fast as it is acknowledged, not at the times of the records
    #[arg(long)]
    pub no_wait: bool,
    /// Time of the first record, RFC 3339, also in the past; now if absent
    #[arg(long, value_name = "TIME")]
    pub start: Option<String>,
    /// Follow the curve of a day
    #[arg(long)]
    pub diurnal: bool,
    /// What all draws follow from: equal settings and start give equal batches
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
    /// Services, by Zipf's law
    #[arg(long, value_name = "N", default_value_t = 11_000)]
    pub services: usize,
    /// Exponent of Zipf's law
    #[arg(long, value_name = "S", default_value_t = 1.05)]
    pub zipf: f64,
    /// Nodes that records are from; the client certificate must name them
    #[arg(long, value_name = "NAME", default_values_t = ["demo-1".to_owned()])]
    pub node: Vec<String>,
    /// Producers of each node
    #[arg(long, value_name = "N", default_value_t = 8)]
    pub workers: u32,
    /// Records of a batch; what 200 ms bring if absent, and 4096 with --no-wait
    #[arg(long, value_name = "N")]
    pub batch_records: Option<usize>,
    /// Posts, or requests, in flight at one time
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub in_flight: u16,
    /// How long a batch is sent again before it is given up
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = duration)]
    pub patience: Duration,
    /// `host:port` of the collector's ingest
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:7443")]
    pub collector: String,
    /// Folder of certificates, as `tollgate demo` writes it: ca.pem, NODE.pem, NODE.key
    #[arg(long, value_name = "DIR", default_value = ".tollgate/tls")]
    pub tls: PathBuf,
    /// Name of the client certificate in that folder; the first --node if absent
    #[arg(long, value_name = "NAME")]
    pub certificate: Option<String>,
    /// Host that requests ask for
    #[arg(long, value_name = "HOST", default_value = "api.localhost")]
    pub host: String,
    /// Paths that requests ask for, `{id}` becomes a number; those of the demo's services if absent
    #[arg(long = "path", value_name = "PATH")]
    pub paths: Vec<String>,
    /// Ask for the made-up hosts and paths: the proxy has a route for each of them
    #[arg(long, conflicts_with_all = ["host", "paths"])]
    pub own_paths: bool,
    /// Print the report as JSON
    #[arg(long)]
    pub json: bool,
}

fn duration(text: &str) -> Result<Duration, String> {
    text.parse::<tollgate_config::ConfigDuration>()
        .map(|duration| duration.duration())
        .map_err(|error| error.to_string())
}
