//! One worker: a thread with a runtime of its own, which shares nothing with the others but counters and the
//! configuration.

use std::net::TcpListener as StdListener;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::net::TcpListener;
use tokio::runtime::LocalRuntime;
use tokio::sync::mpsc;
use tollgate_proxy_ship::SealQueue;

use crate::admin::{INFLIGHT_MAX, InFlightQuery};
use crate::client::{Clients, Server};
use crate::metrics::{Metrics, WorkerMetrics};
use crate::plan::RuntimeConfig;
use crate::reload::Adopt;
use crate::task::cancel::{Cancelled, Shutdown};
use crate::transaction::{Recorder, WorkerContext};

/// How often counts are flushed and idle connections are swept.
const HOUSEKEEPING: Duration = Duration::from_millis(500);
/// How often a draining worker looks whether its connections are gone.
pub const DRAIN_POLL: Duration = Duration::from_millis(10);

/// The arguments of a worker.
pub struct Start {
    pub config: Arc<RuntimeConfig>,
    pub index: u32,
    /// Microseconds since 1970 of the process' start.
    pub start_us: i64,
    /// Ports that the listeners are bound to.
    pub ports: Vec<u16>,
    pub metrics: Arc<Metrics>,
    pub queue: SealQueue,
    pub sockets: Vec<StdListener>,
    pub queries: mpsc::Receiver<InFlightQuery>,
    pub adopts: mpsc::Receiver<Adopt>,
    /// Stops the accepting of connections.
    pub drain: Shutdown,
    /// Ends what still goes on after that.
    pub cut: Shutdown,
}

/// One worker.
struct Worker {
    context: Rc<WorkerContext>,
    clients: Rc<Clients>,
    /// How often the age of the batch is looked at.
    seal_period: Duration,
}

/// Runs a worker on this thread, from its first connection to its last record.
pub fn run(runtime: LocalRuntime, start: Start) {
    let Start { config, index, start_us, ports, metrics, queue, sockets, queries, adopts, drain, cut } = start;
    let worker_metrics = Rc::new(WorkerMetrics::new(metrics));
    let recorder = Recorder::new(&config, index, start_us, ports, worker_metrics.clone(), queue);
    let context = Rc::new(WorkerContext::new(&config, recorder, worker_metrics, drain, cut));
    let clients = Clients::new(context.clone(), &config.file);
    let seal_period = (config.file.records.batch_age_max.0 / 8).clamp(Duration::from_millis(5), HOUSEKEEPING);
    // Dropped here, so that the first reload can free it.
    drop(config);
    let worker = Rc::new(Worker { context, clients, seal_period });
    runtime.block_on(worker.clone().serve(sockets, queries, adopts));
    // Dropping the runtime drops the connections, whose transactions ask who ended them.
    worker.context.begin_cutting();
    drop(runtime);
    worker.context.close();
}

impl Worker {
    /// Serves until the end of the drain.
    async fn serve(
        self: Rc<Self>,
        sockets: Vec<StdListener>,
        mut queries: mpsc::Receiver<InFlightQuery>,
        mut adopts: mpsc::Receiver<Adopt>,
    ) {
        tokio::task::spawn_local(self.clone().housekeep());
        let mut accepting = Vec::new();
        for (listener, socket) in sockets.into_iter().enumerate() {
            match TcpListener::from_std(socket) {
                Ok(socket) => {
                    let server = Server::new(&self.clients, listener);
                    accepting.push(tokio::task::spawn_local(server.accept(socket)));
                }
                Err(error) => tracing::error!(%error, "a listener could not be registered with the runtime"),
            }
        }
        let context = self.context.clone();
        tokio::task::spawn_local(async move {
            while let Some(query) = queries.recv().await {
                // The admin endpoint may have given up.
                let _given_up = query.send(context.in_flight.borrow().oldest(INFLIGHT_MAX));
            }
        });
        let worker = self.clone();
        tokio::task::spawn_local(async move {
            while let Some(Adopt { config, adopted }) = adopts.recv().await {
                worker.clients.adopt(&config.file);
                worker.context.adopt(config);
                let _given_up = adopted.try_send(());
            }
        });
        Cancelled::of(self.context.drain()).await;
        // The listeners' tasks are waited for: a connection accepted at the last moment would be lost if the count of
        // connections were read before.
        for accepting in accepting {
            if let Err(error) = accepting.await {
                tracing::error!(%error, "a listener ended");
            }
        }
        let context = &self.context;
        let busy = || self.clients.open() > 0 || !context.in_flight.borrow().is_empty();
        while busy() && !context.cut().is_cancelled() {
            tokio::time::sleep(DRAIN_POLL).await;
        }
        context.metrics.shared().drain_cut.inc_by(context.in_flight.borrow().len() as u64);
        // Tunnels hear the cut now, and write their records.
        tokio::task::yield_now().await;
    }

    /// Seals batches by age and keeps house, until it is dropped with the runtime.
    async fn housekeep(self: Rc<Self>) {
        let mut ticks = tokio::time::interval(self.seal_period);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut swept_at = Instant::now();
        loop {
            ticks.tick().await;
            self.context.recorder.seal_due();
            if swept_at.elapsed() >= HOUSEKEEPING {
                swept_at = Instant::now();
                self.context.recorder.follow_clock();
                self.context.housekeep(swept_at - HOUSEKEEPING);
            }
        }
    }
}
