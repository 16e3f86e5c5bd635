//! Starts and stops the proxy: bind everything, then run; drain under a deadline, then hand over every record.

use std::io;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::runtime::{LocalOptions, LocalRuntime};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tollgate_clock::now_us;
use tollgate_proxy_ship::{self as ship, Ring, Sealer, Shipper};

use crate::admin::Admin;
use crate::issuers;
use crate::metrics::Metrics;
use crate::plan::RuntimeConfig;
use crate::reload::{InForce, ReloadError, Reloaded, Reloader};
use crate::runtime::sockets::{InheritedSockets, SocketError};
use crate::runtime::worker::{self, DRAIN_POLL};
use crate::task::cancel::Shutdown;
use crate::upstream::health::active;

/// Queries for transactions in flight that wait for a worker.
const QUERIES_MAX: usize = 4;

/// Why the proxy cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A listening socket cannot be bound.
    #[error(transparent)]
    Socket(#[from] SocketError),
    /// The shipper cannot start.
    #[error(transparent)]
    Ship(#[from] ship::StartError),
    /// A metric cannot be registered.
    #[error(transparent)]
    Metrics(#[from] tollgate_telemetry::MetricError),
    /// A thread or runtime cannot be started.
    #[error("a thread cannot be started: {0}")]
    Thread(io::Error),
}

/// A running proxy. It runs on if it is dropped without [`Running::stop`].
#[derive(Debug)]
pub struct Running {
    /// Name and bound address of each listener, in the order of the configuration.
    pub addresses: Vec<(String, SocketAddr)>,
    /// Bound address of the admin endpoint.
    pub admin: SocketAddr,
    /// The metrics that `/metrics` shows.
    pub metrics: prometheus::Registry,
    workers: Vec<JoinHandle<()>>,
    in_force: InForce,
    reloader: Reloader,
    reload_thread: JoinHandle<()>,
    admin_thread: JoinHandle<()>,
    health_thread: JoinHandle<()>,
    issuers_thread: JoinHandle<()>,
    sealer: Sealer,
    shipper: Shipper,
    drain_cut: prometheus::IntCounter,
    leaving: CancellationToken,
    drain: Shutdown,
    cut: Shutdown,
    end: CancellationToken,
}

/// Binds every address of the configuration and starts the threads.
///
/// # Errors
/// An address, folder or thread is not available. Nothing runs then.
pub fn start(config: RuntimeConfig) -> Result<Running, StartError> {
    start_on(config, Vec::new())
}

/// As [`start`], on inherited sockets: each serves the listener, or the admin endpoint, whose address it is bound to.
///
/// # Errors
/// As [`start`]; or a socket is bound to an address that is not in the configuration.
pub fn start_on(config: RuntimeConfig, sockets: Vec<StdListener>) -> Result<Running, StartError> {
    tollgate_tls::install_provider();
    let config = Arc::new(config);
    if !config.file.records.enabled {
        tracing::warn!("no records are written: `records.enabled` is false");
    }
    let metrics = Metrics::new(&config.revision)?;
    let mut inherited = InheritedSockets::new(sockets)?;
    let (sockets, addresses) = inherited.listeners(&config)?;
    let (admin, admin_socket) = inherited.one("admin", config.admin)?;
    inherited.none_left()?;
    let ring = Ring::new(&config.records, metrics.ship.clone());
    let shipper = Shipper::start(&config.records, ring.clone(), metrics.ship.clone())?;
    let level = config.file.records.compression_level.value;
    let sealer = Sealer::start(config.workers, level, ring.clone()).map_err(StartError::Thread)?;
    let [leaving, end] = [(); 2].map(|()| CancellationToken::new());
    let [drain, cut] = [(); 2].map(|()| Shutdown::default());
    let start_us = now_us();
    let ports: Vec<u16> = addresses.iter().map(|(_, address)| address.port()).collect();
    let start = |index: usize, sockets, queries, adopts| worker::Start {
        config: config.clone(),
        index: index as u32,
        start_us,
        ports: ports.clone(),
        metrics: metrics.clone(),
        queue: sealer.queue(),
        sockets,
        queries,
        adopts,
        drain: drain.clone(),
        cut: cut.clone(),
    };
    let (mut workers, mut queries, mut adopters) = (Vec::new(), Vec::new(), Vec::new());
    for (index, sockets) in sockets.into_iter().enumerate() {
        let (query, queried) = mpsc::channel(QUERIES_MAX);
        let (adopter, adopts) = mpsc::channel(1);
        let start = start(index, sockets, queried, adopts);
        let worker = spawn_worker(index, move |runtime| worker::run(runtime, start));
        workers.push(worker.map_err(StartError::Thread)?);
        queries.push(query);
        adopters.push(adopter);
    }
    let in_force = InForce::new(config.clone());
    // From here on only what is in force holds the configuration, so that a reload can free it.
    drop(config);
    let reloads = Reloader::start(in_force.clone(), adopters, metrics.clone());
    let (reloader, reload_thread) = reloads.map_err(StartError::Thread)?;
    let health_thread = active::start(in_force.clone(), metrics.clone(), end.clone()).map_err(StartError::Thread)?;
    let issuers_thread = issuers::start(in_force.clone(), metrics.clone(), end.clone()).map_err(StartError::Thread)?;
    let served = Admin {
        in_force: in_force.clone(),
        metrics: metrics.clone(),
        workers: queries,
        ring,
        leaving: leaving.clone(),
        reloader: reloader.clone(),
    };
    let admin_thread = served.start(admin_socket, end.clone()).map_err(StartError::Thread)?;
    let (drain_cut, metrics) = (metrics.drain_cut.clone(), metrics.registry.clone());
    Ok(Running {
        addresses,
        admin,
        metrics,
        workers,
        in_force,
        reloader,
        reload_thread,
        admin_thread,
        health_thread,
        issuers_thread,
        sealer,
        shipper,
        drain_cut,
        leaving,
        drain,
        cut,
        end,
    })
}

impl Running {
    /// The configured time of the drain.
    #[must_use]
    pub fn patience(&self) -> Duration {
        self.in_force.config().file.drain.0
    }

    /// Reads the configuration again, and adopts it if all of it is right. Blocks until every worker has.
    ///
    /// # Errors
    /// The configuration is wrong, or changes what only a restart can. Nothing has changed then.
    pub fn reload(&self) -> Result<Reloaded, ReloadError> {
        self.reloader.ask()?.blocking_recv().unwrap_or(Err(ReloadError::Stopping))
    }

    /// Stops: reports that it is not ready, serves on for `drain_delay`, accepts no more connections, lets transactions
    /// end within `patience`, cuts the rest, and ships or spools every record. Blocks.
    pub fn stop(self, patience: Duration) {
        self.leaving.cancel();
        std::thread::sleep(self.in_force.config().file.drain_delay.0);
        self.drain.cancel();
        let until = Instant::now() + patience;
        while Instant::now() < until && self.workers.iter().any(|worker| !worker.is_finished()) {
            std::thread::sleep(DRAIN_POLL);
        }
        self.cut.cancel();
        for worker in self.workers {
            if worker.join().is_err() {
                tracing::error!("a worker panicked");
            }
        }
        if self.drain_cut.get() > 0 {
            tracing::warn!(transactions = self.drain_cut.get(), "cut at the end of the drain");
        }
        // The workers are gone, so the sealer has every batch.
        self.sealer.stop();
        self.shipper.stop(Instant::now() + self.in_force.config().file.records.stop_timeout.0);
        self.end.cancel();
        if self.health_thread.join().is_err() {
            tracing::error!("the health checks panicked");
        }
        if self.issuers_thread.join().is_err() {
            tracing::error!("the thread that asks issuers panicked");
        }
        if self.admin_thread.join().is_err() {
            tracing::error!("the admin endpoint panicked");
        }
        drop(self.reloader);
        if self.reload_thread.join().is_err() {
            tracing::error!("the reload thread panicked");
        }
    }
}

/// Starts a worker's thread. `body` gets a runtime that was created there: a local runtime cannot move between threads,
/// and is the cheaper for it.
fn spawn_worker(index: usize, body: impl FnOnce(LocalRuntime) + Send + 'static) -> io::Result<JoinHandle<()>> {
    let (built, told) = std::sync::mpsc::sync_channel(1);
    let thread = std::thread::Builder::new().name(format!("worker-{index}")).spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build_local(LocalOptions::default());
        let (runtime, failed) = runtime.map_or_else(|error| (None, Err(error)), |runtime| (Some(runtime), Ok(())));
        // The starting thread waits for it.
        let _told = built.send(failed);
        if let Some(runtime) = runtime {
            body(runtime);
        }
    })?;
    told.recv().unwrap_or_else(|_| Err(io::Error::other("the worker ended at once")))?;
    Ok(thread)
}
