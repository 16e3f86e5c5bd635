//! State shared by the transactions of one worker.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use tollgate_proxy_http::trace::TraceContext;

use crate::metrics::WorkerMetrics;
use crate::plan::RuntimeConfig;
use crate::task::cancel::Shutdown;
use crate::transaction::in_flight::InFlight;
use crate::transaction::{Recorder, WorkerConfig};
use crate::upstream::{Connector, prewarm};

/// State shared by the transactions of one worker: the recorder, the connector to upstreams, the configuration in
/// force.
#[derive(Debug)]
pub struct WorkerContext {
    pub recorder: Recorder,
    pub connector: Rc<Connector>,
    pub metrics: Rc<WorkerMetrics>,
    pub in_flight: RefCell<InFlight>,
    /// For trace ids and sampling.
    random: RefCell<SmallRng>,
    config: RefCell<Rc<WorkerConfig>>,
    drain: Shutdown,
    cut: Shutdown,
    cutting: Cell<bool>,
}

impl WorkerContext {
    /// `drain` stops the accepting of connections; `cut` ends what still goes on after that.
    #[must_use]
    pub fn new(
        runtime_config: &Arc<RuntimeConfig>,
        recorder: Recorder,
        metrics: Rc<WorkerMetrics>,
        drain: Shutdown,
        cut: Shutdown,
    ) -> Self {
        let timeouts = &runtime_config.file.timeouts;
        let mut random = SmallRng::from_os_rng();
        let config = WorkerConfig::new(runtime_config.clone(), None, &metrics.shared, random.random::<u32>() as usize);
        let connector = Connector::new(recorder.epoch(), timeouts.dns_cache.0, timeouts.dns_stale.0);
        Self {
            recorder,
            connector: Rc::new(connector),
            metrics,
            in_flight: RefCell::default(),
            random: RefCell::new(random),
            config: RefCell::new(config),
            drain,
            cut,
            cutting: Cell::new(false),
        }
    }

    /// The configuration in force. What lasts longer than a call holds it.
    #[must_use]
    pub fn config(&self) -> Rc<WorkerConfig> {
        self.config.borrow().clone()
    }

    /// Puts another configuration in force for every transaction that begins from now on.
    pub fn adopt(&self, config: Arc<RuntimeConfig>) {
        let before = self.config();
        let turn = self.random.borrow_mut().random::<u32>() as usize;
        self.connector.remember_names_for(config.file.timeouts.dns_cache.0, config.file.timeouts.dns_stale.0);
        let next = WorkerConfig::new(config, Some(&before), &self.metrics.shared, turn);
        self.config.replace(next);
    }

    /// Instants of socket facts count from here.
    #[must_use]
    pub fn epoch(&self) -> Instant {
        self.recorder.epoch()
    }

    /// Draws the trace context of a request.
    #[must_use]
    pub fn trace(&self, headers: &http::HeaderMap, sampling: f64) -> Option<TraceContext> {
        tollgate_proxy_http::trace::of(headers, sampling, &mut self.random.borrow_mut())
    }

    /// Cancelled once the worker accepts no more connections; those there are end after their request.
    #[must_use]
    pub fn drain(&self) -> &Shutdown {
        &self.drain
    }

    /// Cancelled at the end of the drain, when what still goes on is ended.
    #[must_use]
    pub fn cut(&self) -> &Shutdown {
        &self.cut
    }

    /// Notes that the worker drops its connections, so that their transactions know who ended them.
    pub fn begin_cutting(&self) {
        self.cutting.set(true);
    }

    #[must_use]
    pub fn is_cutting(&self) -> bool {
        self.cutting.get()
    }

    /// Sweeps the pool, prewarms connections, aborts transactions overdue at `then`, and flushes the counts.
    pub fn housekeep(&self, then: Instant) {
        let config = self.config();
        self.connector.sweep(&config.pool);
        prewarm(&self.connector, &config.pool);
        config.counts.flush();
        // Most transactions end themselves at their deadline; this is for those that nothing polls.
        self.in_flight.borrow().abort_overdue(then);
        self.metrics.flush(self.in_flight.borrow().len());
    }

    /// Hands over every record and count. The last call.
    pub fn close(&self) {
        self.recorder.close();
        self.config().counts.flush();
        self.metrics.flush(0);
    }
}
