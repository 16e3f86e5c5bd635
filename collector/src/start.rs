//! Starts a collector.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use prometheus::Registry;
use tokio::net::TcpListener;
use tokio::task::{JoinSet, spawn_blocking};
use tollgate_record::DecodeLimits;
use tollgate_sink::{LiveObserver, Sink};
use tollgate_tls::{ClientAuth, Identity, Roots, Rotating, TlsVersions};

use crate::admin::status::{Opened, Overview, Stage};
use crate::config::{CollectorConfig, IngestTls};
use crate::error::StartError;
use crate::ingest::intake::{Intake, IntakeState};
use crate::metrics::Metrics;
use crate::running::{Running, Stops};
use crate::serving::{Serving, TAIL_SINK};
use crate::store::committed::Committed;
use crate::store::open::{self, Store};
use crate::store::recent::Recent;
use crate::{admin, ingest};

/// What a collector is put together from: it knows sinks only by their contract.
pub struct Parts {
    /// Everywhere that records go.
    pub sinks: Vec<Box<dyn Sink>>,
    /// The hot rows, if there is a table.
    pub tail: Option<Arc<dyn LiveObserver>>,
    /// Shown at `/metrics`; sinks may have registered theirs.
    pub metrics: Registry,
}

/// Starts a collector. Returns once posts are answered.
///
/// # Errors
/// Names the key or the file, and what to do; nothing runs then.
pub async fn start(config: CollectorConfig, parts: Parts) -> Result<Running, StartError> {
    check(&config, &parts)?;
    tollgate_tls::install_provider();
    let tls = server_tls(&config.ingest.tls)?;
    open::probe(&config.journal)?;
    let metrics = Metrics::register(&parts.metrics)?;
    metrics.journal_bytes_max.set(i64::try_from(config.journal.bytes_max.bytes()).unwrap_or(i64::MAX));
    let ingest_listener = listen("ingest.address", config.ingest.address).await?;
    let admin_listener = listen("admin.address", config.admin.address).await?;
    let ingest_addr = ingest_listener.local_addr().unwrap_or(config.ingest.address);
    let admin_addr = admin_listener.local_addr().unwrap_or(config.admin.address);
    let overview = Arc::new(Overview::new(parts.metrics, metrics.clone()));
    let stop = Stops::default();
    let mut admin = JoinSet::new();
    admin.spawn(admin::serve(admin_listener, Arc::clone(&overview), stop.admin.clone()));

    let Parts { sinks, tail, .. } = parts;
    let limits = decode_limits(&config);
    let Opening { store, intake: batches, committed, sinks } = open_store(&config, sinks, tail, &metrics).await?;
    let mut running_sinks = JoinSet::new();
    let serving = Serving {
        config: &config,
        store: &store,
        intake: &batches,
        committed: &committed,
        metrics: &metrics,
        limits: &limits,
    };
    let states = serving.run_sinks(sinks, &stop.sinks, &mut running_sinks);
    store.report.log();
    overview.open(Opened {
        journal: Arc::clone(&store.journal),
        intake: Arc::clone(&batches),
        committed: Arc::clone(&committed),
        sinks: states.clone(),
        restart: store.report.clone(),
    });
    let retention = serving.retention(states);
    let mut retaining = JoinSet::new();
    retaining.spawn(retention.clone().run(config.delivery.trim_interval.duration(), stop.sinks.clone()));
    let mut intake = JoinSet::new();
    let queue = Intake::start(Arc::clone(&batches), Arc::clone(&store.journal), &mut intake);
    let service = serving.ingest_service(queue, Arc::clone(&overview.refused));
    let mut ingest = JoinSet::new();
    ingest.spawn(ingest::serve(ingest_listener, tls, Arc::new(service), stop.ingest.clone()));
    overview.set_stage(Stage::Serving);
    let close_timeout = config.delivery.close_timeout.duration();
    Ok(Running {
        ingest_addr,
        admin_addr,
        overview,
        retention,
        close_timeout,
        stop,
        ingest,
        intake,
        sinks: running_sinks,
        retaining,
        admin,
    })
}

fn check(config: &CollectorConfig, parts: &Parts) -> Result<(), StartError> {
    let problems = config.check();
    if !problems.is_empty() {
        return Err(StartError::Config(problems));
    }
    let mut names: Vec<&'static str> = parts.sinks.iter().map(|sink| sink.name()).collect();
    names.sort_unstable();
    if let Some(pair) = names.windows(2).find(|pair| pair[0] == pair[1]) {
        return Err(StartError::SameName(pair[0]));
    }
    if parts.tail.is_some() && config.delivery.skip_when_full.iter().any(|name| name == TAIL_SINK) {
        return Err(StartError::SkipsTail(TAIL_SINK));
    }
    match config.delivery.skip_when_full.iter().find(|name| !names.contains(&name.as_str())) {
        Some(name) => Err(StartError::UnknownSink { name: name.clone(), known: names.join(", ") }),
        None => Ok(()),
    }
}

/// TLS of the ingest, which follows its files.
fn server_tls(tls: &IngestTls) -> Result<Rotating<rustls::ServerConfig>, StartError> {
    let [certificate, key, client_ca] = [&tls.certificate, &tls.key, &tls.client_ca].map(|file| file.to_path_buf());
    let files = vec![certificate.clone(), key.clone(), client_ca.clone()];
    let build = move || {
        let identity = Identity::load(&certificate, &key)?;
        let client_auth = ClientAuth::Required(Roots::load(&client_ca)?);
        tollgate_tls::server(vec![identity], client_auth, &["h2"], TlsVersions::Tls13Only)
    };
    Ok(Rotating::new(files, build)?)
}

async fn listen(key: &'static str, address: SocketAddr) -> Result<TcpListener, StartError> {
    TcpListener::bind(address).await.map_err(|source| StartError::Listen { key, address, source })
}

fn decode_limits(config: &CollectorConfig) -> DecodeLimits {
    DecodeLimits {
        compressed_bytes_max: usize::try_from(config.ingest.batch_bytes_max.bytes()).unwrap_or(usize::MAX),
        raw_bytes_max: usize::try_from(config.ingest.batch_raw_bytes_max.bytes()).unwrap_or(usize::MAX),
        rows_max: config.ingest.batch_rows_max,
    }
}

/// What is there once the data folder is open.
struct Opening {
    store: Store,
    intake: Arc<IntakeState>,
    committed: Arc<Committed>,
    sinks: Vec<Box<dyn Sink>>,
}

/// Recovers the data folder and fills the hot rows, on a thread that may block.
async fn open_store(
    config: &CollectorConfig,
    sinks: Vec<Box<dyn Sink>>,
    tail: Option<Arc<dyn LiveObserver>>,
    metrics: &Metrics,
) -> Result<Opening, StartError> {
    let (config, metrics) = (config.clone(), metrics.clone());
    let dir: PathBuf = config.journal.dir.as_path().to_owned();
    let opening = spawn_blocking(move || {
        let needs_from = tail.as_ref().map(|tail| tail.needs_from());
        let names: Vec<&'static str> = sinks.iter().map(|sink| sink.name()).collect();
        let mut store = open::store(&config, &names, needs_from, &metrics)?;
        let recent = Recent::new(usize::try_from(config.delivery.recent_bytes_max.bytes()).unwrap_or(usize::MAX));
        if let Some(tail) = &tail {
            store.report.frames_replayed = open::replay(&store.journal, &**tail, &recent)?;
        }
        let committed = *store.journal.durable().borrow();
        let ledger = std::mem::take(&mut store.ledger);
        let committed = Arc::new(Committed::new(committed, recent, tail));
        let intake = Arc::new(IntakeState::new(ledger, Arc::clone(&committed), metrics));
        Ok(Opening { store, intake, committed, sinks })
    });
    match opening.await {
        Ok(opened) => opened,
        Err(error) => Err(StartError::Unwritable { dir, source: std::io::Error::other(error) }),
    }
}
