//! A collector that stores records in its journal and delivers them to nobody: what a bench of the proxy ships to.
//!
//! `cargo run --release -p tollgate-collector --example null-collector -- FOLDER` makes certificates in the folder, prints
//! the `records` section with which a proxy named `bench` ships to it, and runs until it is ended. Its certificates are
//! good for two days and made anew each time.

use std::net::SocketAddr;
use std::path::PathBuf;

use async_trait::async_trait;
use tollgate_collector::{CollectorConfig, IngestConfig, IngestTls, JournalConfig, Parts, start};
use tollgate_config::ConfigPath;
use tollgate_demo_ca::{DemoCa, Lifetime};
use tollgate_sink::{Delivery, Position, Sink, SinkError};

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Stores nothing and says so at once.
struct NullSink;

#[async_trait]
impl Sink for NullSink {
    fn name(&self) -> &'static str {
        "null"
    }

    async fn recover(&mut self) -> Result<Option<Position>, SinkError> {
        Ok(None)
    }

    async fn deliver(&mut self, frames: &[Delivery]) -> Result<Option<Position>, SinkError> {
        Ok(frames.last().map(|frame| frame.position))
    }
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    tollgate_tls::install_provider();
    let folder = PathBuf::from(std::env::args().nth(1).ok_or("name a folder")?);
    let ca = DemoCa::open(&folder.join("ca"))?;
    let server = ca.server("collector", &["localhost"], Lifetime::days(2))?;
    let client = ca.client("bench", "bench", &["bench"], Lifetime::days(2))?;
    let certificate = ConfigPath::from(server.cert);
    let tls = IngestTls { certificate, key: ConfigPath::from(server.key), client_ca: ConfigPath::from(ca.roots()) };
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let journal = JournalConfig::new(ConfigPath::from(folder.join("data")));
    let mut config = CollectorConfig::new(IngestConfig::new(any, tls), journal);
    config.admin.address = any;
    let parts = Parts { sinks: vec![Box::new(NullSink)], tail: None, metrics: prometheus::Registry::new() };
    let running = start(config, parts).await?;
    println!(
        "records: {{collectors: [\"https://localhost:{}\"], tls: {{ca: {}, certificate: {}, key: {}}}}}",
        running.ingest_addr.port(),
        ca.roots().display(),
        client.cert.display(),
        client.key.display()
    );
    tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?.recv().await;
    running.stop().await;
    Ok(())
}
