//! Arguments of `tollgate demo`.

use std::path::PathBuf;

use clap::{Args as ClapArgs, ValueEnum};

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
