//! Puts the collector together: table, sinks, journal and ingest, then the doors.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context;
use prometheus::Registry;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tollgate_collector::{Parts, Running};
use tollgate_queries::{Engine, serve_http, serve_postgres};
use tollgate_sink::{Sink, Tail};
use tollgate_sink_kafka::KafkaSink;
use tollgate_sink_metrics::MetricsSink;
use tollgate_sink_spans::SpansSink;
use tollgate_sink_table::Table;
use tollgate_telemetry::register_build_info;

use crate::collector::config::{CollectorFile, Queries};
use crate::collector::journal_id;
use crate::collector::table_metrics::TableMetrics;

/// Everything that runs.
pub struct Assembled {
    running: Running,
    /// What the doors are opened on, until they are.
    behind_doors: Option<(Queries, Arc<Table>)>,
    doors: Option<Doors>,
    table_metrics: Option<JoinHandle<()>>,
}

/// The open query doors.
struct Doors {
    postgres: (SocketAddr, JoinHandle<()>),
    http: (SocketAddr, JoinHandle<()>),
    shut: CancellationToken,
}

/// Starts everything that the configuration asks for, but for the query doors. Dropped half-way it has received nothing.
pub async fn start(file: CollectorFile) -> anyhow::Result<Assembled> {
    let metrics = Registry::new();
    register_build_info(&metrics, env!("CARGO_PKG_VERSION"), "tollgate")?;
    let mut sinks: Vec<Box<dyn Sink>> = Vec::new();
    let mut table: Option<Arc<Table>> = None;
    if let Some(section) = &file.sinks.table {
        let journal = journal_id::read_or_create(&file.journal.dir)?;
        let (sink, shared) = tollgate_sink_table::open(section.table(journal)).await.context("opening the table")?;
        sinks.push(Box::new(sink));
        table = Some(shared);
    }
    if let Some(config) = &file.sinks.kafka {
        sinks.push(Box::new(KafkaSink::new(config.clone()).context("sinks.kafka")?));
    }
    if let Some(config) = &file.sinks.metrics {
        sinks.push(Box::new(MetricsSink::new(config, &metrics)?));
    }
    if let Some(config) = &file.sinks.spans {
        sinks.push(Box::new(SpansSink::new(config.clone(), &metrics)?));
    }
    let table_metrics = match &table {
        Some(table) => Some(tokio::spawn(TableMetrics::new(&metrics)?.follow(Arc::clone(table)))),
        None => None,
    };
    let tail = table.clone().map(|table| table as Arc<dyn Tail>);
    let running = tollgate_collector::start(file.collector(), Parts { sinks, tail, metrics }).await?;
    Ok(Assembled { running, behind_doors: file.queries.zip(table), doors: None, table_metrics })
}

async fn open_doors(queries: &Queries, table: Arc<Table>) -> anyhow::Result<Doors> {
    let engine = Arc::new(Engine::new(table, queries.limits.engine())?);
    let shut = CancellationToken::new();
    let postgres =
        serve_postgres(queries.postgres.address.parse()?, Arc::clone(&engine), shut.clone().cancelled_owned())
            .await
            .with_context(|| format!("queries.postgres.address: {}", *queries.postgres.address))?;
    let http = serve_http(queries.http.address.parse()?, engine, shut.clone().cancelled_owned())
        .await
        .with_context(|| format!("queries.http.address: {}", *queries.http.address))?;
    Ok(Doors { postgres, http, shut })
}

impl Assembled {
    /// Opens the query doors that are configured: after everything else, as the rows that only the journal holds could not be
    /// seen before.
    pub async fn open_doors(&mut self) -> anyhow::Result<()> {
        if let Some((queries, table)) = self.behind_doors.take() {
            self.doors = Some(open_doors(&queries, table).await?);
        }
        Ok(())
    }

    /// Where batches are received.
    pub fn ingest(&self) -> SocketAddr {
        self.running.ingest_addr
    }

    /// Where metrics, health and state are.
    pub fn admin(&self) -> SocketAddr {
        self.running.admin_addr
    }

    /// The PostgreSQL door and the HTTP door, where they are open.
    pub fn doors(&self) -> Option<(SocketAddr, SocketAddr)> {
        self.doors.as_ref().map(|doors| (doors.postgres.0, doors.http.0))
    }

    /// Says where everything listens.
    pub fn log_endpoints(&self) {
        tracing::info!(address = %self.ingest(), "batches are received");
        tracing::info!(address = %self.admin(), "metrics, health and state");
        if let Some((postgres, http)) = self.doors() {
            tracing::info!(%postgres, %http, "queries are answered");
        }
    }

    /// Stops in order: the doors, then ingest and the sinks, which store what they hold.
    pub async fn stop(self) -> anyhow::Result<()> {
        if let Some(doors) = self.doors {
            doors.shut.cancel();
            for (_, served) in [doors.postgres, doors.http] {
                served.await?;
            }
        }
        self.running.stop().await;
        if let Some(task) = self.table_metrics {
            task.abort();
        }
        Ok(())
    }
}
