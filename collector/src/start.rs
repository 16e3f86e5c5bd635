//! Starting and stopping.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use prometheus::Registry;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tollgate_record::DecodeLimits;
use tollgate_sink::{Sink, Tail};
use tollgate_tls::{ClientAuth, Identity, Roots, Rotating, TlsVersions};

use crate::admin::status::{Opened, Overview, RestartReport, Stage};
use crate::config::{CollectorConfig, IngestTls};
use crate::delivery::runner::{Cursor, Runner};
use crate::delivery::sink_state::SinkState;
use crate::delivery::source::{Portion, Source};
use crate::dlq::store::DeadLetters;
use crate::error::StartError;
use crate::ingest::intake::{Intake, Shared};
use crate::ingest::refused::Refusals;
use crate::ingest::{Budget, Door};
use crate::metrics::Metrics;
use crate::retention::Retention;
use crate::store::open::{self, Store};
use crate::store::recent::Recent;
use crate::{admin, ingest};

/// What the command puts together: the collector knows sinks only by their contract.
pub struct Parts {
    /// Everywhere that records go.
    pub sinks: Vec<Box<dyn Sink>>,
    /// The hot rows, if there is a table.
    pub tail: Option<Arc<dyn Tail>>,
    /// Shown at `/metrics`; sinks may have registered theirs.
    pub metrics: Registry,
}

/// A collector that serves. Dropping it is like killing it: nothing is flushed, everything acknowledged is stored.
pub struct Running {
    /// Where batches are posted.
    pub ingest_addr: SocketAddr,
    /// Where metrics and status are.
    pub admin_addr: SocketAddr,
    overview: Arc<Overview>,
    retention: Retention,
    close_timeout: Duration,
    stop: Stops,
    ingest: JoinSet<()>,
    intake: JoinSet<()>,
    sinks: JoinSet<()>,
    retaining: JoinSet<()>,
    admin: JoinSet<()>,
}

/// One for each step of stopping.
#[derive(Default)]
struct Stops {
    ingest: CancellationToken,
    sinks: CancellationToken,
    admin: CancellationToken,
}

/// After the sinks' own time is up.
const ABORT_GRACE: Duration = Duration::from_secs(2);

/// The sink whose rows the tail shows until it has stored them: the journal keeps every frame that either of them needs.
const TAIL_SINK: &str = "table";

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
    let (store, shared, sinks) = open_store(&config, sinks, tail.clone(), &metrics).await?;
    let mut running_sinks = JoinSet::new();
    let served = Serving { config: &config, store: &store, shared: &shared, metrics: &metrics, limits: &limits };
    let states = served.run_sinks(sinks, &stop.sinks, &mut running_sinks);
    store.report.log();
    overview.open(Opened {
        journal: Arc::clone(&store.journal),
        shared: Arc::clone(&shared),
        sinks: states.clone(),
        restart: store.report.clone(),
    });
    let retention = served.retention(states, tail);
    let mut retaining = JoinSet::new();
    retaining.spawn(retention.clone().run(config.delivery.trim_interval.duration(), stop.sinks.clone()));
    let mut intake = JoinSet::new();
    let queue = Intake::start(Arc::clone(&shared), Arc::clone(&store.journal), &mut intake);
    let door = served.door(queue, Arc::clone(&overview.refusals));
    let mut ingest = JoinSet::new();
    ingest.spawn(ingest::serve(ingest_listener, tls, Arc::new(door), stop.ingest.clone()));
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
    let problems = config.validate();
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

/// Recovers the data folder and fills the hot rows, on a thread that may block.
async fn open_store(
    config: &CollectorConfig,
    sinks: Vec<Box<dyn Sink>>,
    tail: Option<Arc<dyn Tail>>,
    metrics: &Metrics,
) -> Result<(Store, Arc<Shared>, Vec<Box<dyn Sink>>), StartError> {
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
        let shared = Arc::new(Shared::new(ledger, committed, recent, tail, metrics));
        Ok((store, shared, sinks))
    });
    match opening.await {
        Ok(opened) => opened,
        Err(error) => Err(StartError::Unwritable { dir, source: std::io::Error::other(error) }),
    }
}

/// What the parts that run are made from.
struct Serving<'a> {
    config: &'a CollectorConfig,
    store: &'a Store,
    shared: &'a Arc<Shared>,
    metrics: &'a Metrics,
    limits: &'a DecodeLimits,
}

impl Serving<'_> {
    fn run_sinks(
        &self,
        sinks: Vec<Box<dyn Sink>>,
        stop: &CancellationToken,
        tasks: &mut JoinSet<()>,
    ) -> Vec<Arc<SinkState>> {
        let data = self.config.journal.dir.as_path();
        let delivery = &self.config.delivery;
        let portion = Portion { frames_max: delivery.frames_max, rows_max: delivery.rows_max };
        let has_tail = self.shared.tail.is_some();
        let mut states = Vec::new();
        for (sink, (file, position)) in sinks.into_iter().zip(self.store.cursors.clone()) {
            let name = sink.name();
            let state = Arc::new(SinkState::new(name, position));
            states.push(Arc::clone(&state));
            let (shared, journal) = (Arc::clone(self.shared), Arc::clone(&self.store.journal));
            let runner = Runner {
                sink,
                state,
                cursor: Cursor { file, position, stored: position, stored_at: Instant::now() },
                source: Source::new(Arc::clone(&shared), journal, portion),
                letters: DeadLetters::of(data, name),
                shared,
                metrics: self.metrics.clone(),
                config: delivery.clone(),
                stop: stop.clone(),
                stores_tail: has_tail && name == TAIL_SINK,
                next: position,
                passed: Vec::new(),
                replayed_at: None,
            };
            tasks.spawn(runner.run());
        }
        states
    }

    fn retention(&self, sinks: Vec<Arc<SinkState>>, tail: Option<Arc<dyn Tail>>) -> Retention {
        let journal = &self.config.journal;
        // Before the first post is refused: a segment below the high water, or a tenth where segments are large.
        let high_water = journal.high_water_bytes.bytes();
        let margin = journal.segment_bytes.bytes().min(high_water / 10);
        Retention {
            journal: Arc::clone(&self.store.journal),
            shared: Arc::clone(self.shared),
            sinks,
            tail,
            data: journal.dir.as_path().to_owned(),
            skipping: self.config.delivery.skip_when_full.clone(),
            pressure_bytes: high_water - margin,
            remember: journal.remember_batches.duration(),
        }
    }

    fn door(&self, intake: Intake, refusals: Arc<Refusals>) -> Door {
        let config = self.config.ingest.clone();
        Door {
            intake,
            metrics: self.metrics.clone(),
            limits: *self.limits,
            budget: Budget::new(config.inflight_bytes_max.bytes()),
            decoders: Arc::new(Semaphore::new(config.decoders_max)),
            refusals,
            config,
        }
    }
}

impl Running {
    /// What was found when the collector started.
    pub fn restart_report(&self) -> RestartReport {
        self.overview.opened().map(|opened| opened.restart.clone()).unwrap_or_default()
    }

    /// Lets posts under way finish, has the sinks store what they hold, stores cursors and the ledger, closes the journal.
    pub async fn stop(mut self) {
        self.overview.set_stage(Stage::Stopping);
        self.stop.ingest.cancel();
        while self.ingest.join_next().await.is_some() {}
        // The intake's queue ends with the last post: what is in it is stored.
        let settled = timeout(ABORT_GRACE, async { while self.intake.join_next().await.is_some() {} }).await;
        if settled.is_err() {
            self.intake.shutdown().await;
        }
        self.stop.sinks.cancel();
        let closed =
            timeout(self.close_timeout + ABORT_GRACE, async { while self.sinks.join_next().await.is_some() {} });
        if closed.await.is_err() {
            tracing::warn!("a sink did not stop in time; it goes on from its cursor after the restart");
            self.sinks.shutdown().await;
        }
        while self.retaining.join_next().await.is_some() {}
        self.retention.trim().await;
        let retention = self.retention.clone();
        let closed = spawn_blocking(move || {
            let stored = retention.checkpoint();
            retention.journal.close();
            stored
        });
        if let Ok(Err(error)) = closed.await {
            tracing::warn!(%error, "cannot store the ledger; it is read from the journal at the next start");
        }
        self.stop.admin.cancel();
        let _ = timeout(ABORT_GRACE, async { while self.admin.join_next().await.is_some() {} }).await;
    }
}
