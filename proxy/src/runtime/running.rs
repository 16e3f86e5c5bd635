//! Starting and stopping: bind everything, then run; drain under a deadline, then hand over every record.

use std::io;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::rc::Rc;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::net::TcpListener;
use tokio::runtime::{LocalOptions, LocalRuntime};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::admin::http::{Admin, INFLIGHT_MAX, InFlightQuery};
use crate::client::server::Server;
use crate::config::Plan;
use crate::metrics::Metrics;
use crate::runtime::reload::{Adopt, InForce, ReloadError, Reloaded, Reloader};
use crate::runtime::sockets::{Handed, SocketError};
use crate::runtime::worker::Worker;
use crate::ship::{self, Outbox, Sealer, Shipper};
use crate::task::cancel::{Quiet, Stop};
use crate::transaction::now_us;
use crate::upstream::health::active;

/// Queries for transactions in flight that wait for a worker.
const QUERIES_MAX: usize = 4;
/// How often a draining worker looks whether its connections are gone.
const DRAIN_POLL: Duration = Duration::from_millis(10);

/// Why the proxy cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A listening socket cannot be had.
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

/// A proxy that runs. Dropped without [`Running::stop`], it goes on.
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
    sealer: Sealer,
    shipper: Shipper,
    drain_cut: prometheus::IntCounter,
    leaving: CancellationToken,
    drain: Stop,
    cut: Stop,
    end: CancellationToken,
}

/// Binds every address of the plan and starts the threads.
///
/// # Errors
/// An address, folder or thread that cannot be had; nothing runs then.
pub fn start(plan: Plan) -> Result<Running, StartError> {
    start_on(plan, Vec::new())
}

/// The same on sockets that were handed over: each serves the listener whose address it is bound to, or admin.
///
/// # Errors
/// As [`start`]; a socket that nobody in the plan has is one too.
pub fn start_on(plan: Plan, sockets: Vec<StdListener>) -> Result<Running, StartError> {
    tollgate_tls::install_provider();
    let plan = Arc::new(plan);
    if !plan.config.records.enabled {
        tracing::warn!("no records are written: `records.enabled` is false");
    }
    let metrics = Metrics::new(&plan.revision)?;
    let mut handed = Handed::new(sockets)?;
    let (sockets, addresses) = handed.listeners(&plan)?;
    let (admin, admin_socket) = handed.one("admin", plan.admin)?;
    handed.none_left()?;
    let outbox = Outbox::new(&plan.records, metrics.ship.clone());
    let shipper = Shipper::start(&plan.records, outbox.clone(), metrics.ship.clone())?;
    let level = plan.config.records.compression_level.value;
    let sealer = Sealer::start(plan.workers, level, outbox.clone()).map_err(StartError::Thread)?;
    let [leaving, end] = [(); 2].map(|()| CancellationToken::new());
    let [drain, cut] = [(); 2].map(|()| Stop::default());
    let ports: Vec<u16> = addresses.iter().map(|(_, address)| address.port()).collect();
    let start_us = now_us();
    let (mut workers, mut queries, mut adopters) = (Vec::new(), Vec::new(), Vec::new());
    for (index, sockets) in sockets.into_iter().enumerate() {
        let (sender, receiver) = mpsc::channel(QUERIES_MAX);
        queries.push(sender);
        let (sender, adopts) = mpsc::channel(1);
        adopters.push(sender);
        let (plan, ports, metrics) = (plan.clone(), ports.clone(), metrics.clone());
        let jobs = sealer.jobs();
        let stop = (drain.clone(), cut.clone());
        let worker = spawn_worker(index, move |runtime| {
            let worker = Worker::new(&plan, index as u32, start_us, ports, &metrics, jobs, stop);
            // The worker goes over to others, and this one is to be freed then.
            drop(plan);
            run_worker(runtime, worker, sockets, receiver, adopts);
        });
        workers.push(worker.map_err(StartError::Thread)?);
    }
    let in_force = InForce::new(plan);
    let reloads = Reloader::start(in_force.clone(), adopters, metrics.clone());
    let (reloader, reload_thread) = reloads.map_err(StartError::Thread)?;
    let (metrics_shown, reload) = (metrics.clone(), reloader.clone());
    let health_thread = active::start(in_force.clone(), metrics.clone(), end.clone()).map_err(StartError::Thread)?;
    let served = Admin {
        in_force: in_force.clone(),
        metrics: metrics_shown,
        workers: queries,
        outbox,
        leaving: leaving.clone(),
        reload,
    };
    let stop = end.clone();
    let body = move || {
        if let Err(error) = served.serve(admin_socket, stop) {
            tracing::error!(%error, "the admin endpoint ended");
        }
    };
    let admin_thread = std::thread::Builder::new().name("admin".into()).spawn(body).map_err(StartError::Thread)?;
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
    /// How long transactions may go on after a signal to stop, by the configuration in force.
    #[must_use]
    pub fn patience(&self) -> Duration {
        self.in_force.plan().config.drain.0
    }

    /// Reads the configuration again, and goes over to it if all of it is right. Blocks until every worker has.
    ///
    /// # Errors
    /// What is wrong, or cannot be changed while the proxy runs; nothing has changed then.
    pub fn reload(&self) -> Result<Reloaded, ReloadError> {
        self.reloader.ask()?.blocking_recv().unwrap_or(Err(ReloadError::Stopping))
    }

    /// Says that it is not ready, serves on for the `drain_delay` in force, then takes no more connections, lets transactions end within `patience`, cuts the rest, and ships or spools every
    /// record. Blocks.
    pub fn stop(self, patience: Duration) {
        self.leaving.cancel();
        std::thread::sleep(self.in_force.plan().config.drain_delay.0);
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
        // The workers are gone, and with them all that it had to wait for.
        self.sealer.stop();
        self.shipper.stop(Instant::now() + self.in_force.plan().config.records.stop_timeout.0);
        self.end.cancel();
        if self.health_thread.join().is_err() {
            tracing::error!("the health checks panicked");
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

/// Starts a worker's thread. `body` gets a runtime that was made there: it cannot be handed from thread to thread, and is the
/// cheaper for it.
fn spawn_worker(index: usize, body: impl FnOnce(LocalRuntime) + Send + 'static) -> io::Result<JoinHandle<()>> {
    let (built, told) = std::sync::mpsc::sync_channel(1);
    let thread = std::thread::Builder::new().name(format!("worker-{index}")).spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build_local(LocalOptions::default());
        let (runtime, failed) = runtime.map_or_else(|error| (None, Err(error)), |runtime| (Some(runtime), Ok(())));
        // Whoever starts the workers waits for it.
        let _told = built.send(failed);
        if let Some(runtime) = runtime {
            body(runtime);
        }
    })?;
    told.recv().unwrap_or_else(|_| Err(io::Error::other("the worker ended at once")))?;
    Ok(thread)
}

/// A worker's thread, from its first connection to its last record.
fn run_worker(
    runtime: LocalRuntime,
    worker: Rc<Worker>,
    sockets: Vec<StdListener>,
    mut queries: mpsc::Receiver<InFlightQuery>,
    mut adopts: mpsc::Receiver<Adopt>,
) {
    runtime.block_on(async {
        tokio::task::spawn_local(worker.clone().keep_house());
        let mut accepting = Vec::new();
        for (listener, socket) in sockets.into_iter().enumerate() {
            match TcpListener::from_std(socket) {
                Ok(socket) => {
                    accepting.push(tokio::task::spawn_local(Server::new(&worker, listener).accept(socket)));
                }
                Err(error) => tracing::error!(%error, "a listener could not be registered with the runtime"),
            }
        }
        let asked = worker.clone();
        tokio::task::spawn_local(async move {
            while let Some(query) = queries.recv().await {
                // Whoever asked may have given up.
                let _given_up = query.send(asked.live.borrow().oldest(INFLIGHT_MAX));
            }
        });
        let adopting = worker.clone();
        tokio::task::spawn_local(async move {
            while let Some(Adopt { plan, adopted }) = adopts.recv().await {
                adopting.adopt(plan);
                let _given_up = adopted.try_send(());
            }
        });
        Quiet::cancelled(&worker.drain).await;
        // One accepted while it is found that there is nothing to wait for would be lost.
        for accepting in accepting {
            if let Err(error) = accepting.await {
                tracing::error!(%error, "a listener ended");
            }
        }
        let busy = || worker.connections.get() > 0 || !worker.live.borrow().is_empty();
        while busy() && !worker.cut.is_cancelled() {
            tokio::time::sleep(DRAIN_POLL).await;
        }
        worker.metrics.shared().drain_cut.inc_by(worker.live.borrow().len() as u64);
        // Tunnels hear the cut and write their records.
        tokio::task::yield_now().await;
    });
    worker.cutting.set(true);
    drop(runtime);
    worker.close();
}
