//! The proxy's metrics: shared counters, and each worker's own that are added to them now and then.

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::time::Duration;

use prometheus::local::{LocalHistogram, LocalIntCounter};
use prometheus::{Histogram, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Registry};
use tollgate_record::vocabulary::ErrorClass;
use tollgate_telemetry::{
    MetricError, OVERFLOW, counter, counter_vec, histogram, histogram_vec, int_gauge, int_gauge_vec, names,
};

use crate::config::Plan;

/// Services with a time series of their own; the others share `_other`.
pub const SERVICES_MAX: usize = 2_000;
/// Label of transactions that matched no route.
const NO_SERVICE: &str = "_none";
/// Label values of `status_class`.
const STATUS_CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

/// Metrics shared by all threads.
#[derive(Debug)]
#[allow(missing_docs, reason = "the names in tollgate_telemetry::names say what each is")]
pub struct Metrics {
    pub registry: Registry,
    pub connections: IntCounterVec,
    pub connections_open: IntGaugeVec,
    pub handshake_failures: IntCounterVec,
    pub transactions: IntCounterVec,
    pub durations: HistogramVec,
    pub errors: IntCounterVec,
    pub inflight: IntGauge,
    pub upstream_connections: IntCounterVec,
    pub records_issued: IntCounter,
    pub batches_sealed: IntCounter,
    pub batches_acked: IntCounter,
    pub records_acked: IntCounter,
    pub records_shed: IntCounterVec,
    pub batches_refused: IntCounterVec,
    pub ring_bytes: IntGauge,
    pub spool_bytes: IntGauge,
    pub ship_errors: IntCounterVec,
    pub ship_duration: Histogram,
}

impl Metrics {
    /// Registers all of them.
    ///
    /// # Errors
    /// A name that the telemetry registry does not know, or one registered twice.
    pub fn new(revision: &str) -> Result<Arc<Self>, MetricError> {
        let registry = Registry::new();
        let r = &registry;
        tollgate_telemetry::register_build_info(r, env!("CARGO_PKG_VERSION"), "tollgate-proxy")?;
        int_gauge_vec(r, names::PROXY_CONFIG_INFO)?.with_label_values(&[revision]).set(1);
        Ok(Arc::new(Self {
            connections: counter_vec(r, names::PROXY_CONNECTIONS_TOTAL)?,
            connections_open: int_gauge_vec(r, names::PROXY_CONNECTIONS_OPEN)?,
            handshake_failures: counter_vec(r, names::PROXY_HANDSHAKE_FAILURES_TOTAL)?,
            transactions: counter_vec(r, names::PROXY_TRANSACTIONS_TOTAL)?,
            durations: histogram_vec(r, names::PROXY_TRANSACTION_DURATION_SECONDS)?,
            errors: counter_vec(r, names::PROXY_ERRORS_TOTAL)?,
            inflight: int_gauge(r, names::PROXY_INFLIGHT)?,
            upstream_connections: counter_vec(r, names::PROXY_UPSTREAM_CONNECTIONS_TOTAL)?,
            records_issued: counter(r, names::PROXY_RECORDS_ISSUED_TOTAL)?,
            batches_sealed: counter(r, names::PROXY_BATCHES_SEALED_TOTAL)?,
            batches_acked: counter(r, names::PROXY_BATCHES_ACKED_TOTAL)?,
            records_acked: counter(r, names::PROXY_RECORDS_ACKED_TOTAL)?,
            records_shed: counter_vec(r, names::PROXY_RECORDS_SHED_TOTAL)?,
            batches_refused: counter_vec(r, names::PROXY_BATCHES_REFUSED_TOTAL)?,
            ring_bytes: int_gauge(r, names::PROXY_RING_BYTES)?,
            spool_bytes: int_gauge(r, names::PROXY_SPOOL_BYTES)?,
            ship_errors: counter_vec(r, names::PROXY_SHIP_ERRORS_TOTAL)?,
            ship_duration: histogram(r, names::PROXY_SHIP_DURATION_SECONDS)?,
            registry,
        }))
    }
}

/// One worker's counts since it last added them to the shared ones.
pub struct WorkerMetrics {
    shared: Arc<Metrics>,
    services: RefCell<Vec<Option<Box<ServiceMetrics>>>>,
    names: Vec<String>,
    touched: RefCell<Vec<usize>>,
    issued: LocalIntCounter,
    upstream_new: LocalIntCounter,
    upstream_reused: LocalIntCounter,
    inflight: Cell<i64>,
}

struct ServiceMetrics {
    classes: [LocalIntCounter; STATUS_CLASSES.len()],
    duration: LocalHistogram,
    touched: bool,
}

impl std::fmt::Debug for WorkerMetrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WorkerMetrics").finish_non_exhaustive()
    }
}

impl WorkerMetrics {
    /// None counted yet.
    #[must_use]
    pub fn new(shared: Arc<Metrics>, plan: &Plan) -> Self {
        let mut names: Vec<String> = plan.services.iter().take(SERVICES_MAX).map(|s| s.name.clone()).collect();
        names.push(OVERFLOW.to_owned());
        names.push(NO_SERVICE.to_owned());
        let services = std::iter::repeat_with(|| None).take(names.len()).collect();
        Self {
            issued: shared.records_issued.local(),
            upstream_new: shared.upstream_connections.with_label_values(&["false"]).local(),
            upstream_reused: shared.upstream_connections.with_label_values(&["true"]).local(),
            services: RefCell::new(services),
            names,
            touched: RefCell::default(),
            inflight: Cell::new(0),
            shared,
        }
    }

    /// The shared ones.
    #[must_use]
    pub fn shared(&self) -> &Metrics {
        &self.shared
    }

    /// Counts a transaction that ended.
    pub fn transaction(&self, service: Option<usize>, status: Option<u16>, took: Duration, class: Option<ErrorClass>) {
        let index = match service {
            Some(index) => index.min(self.names.len() - 2),
            None => self.names.len() - 1,
        };
        let mut services = self.services.borrow_mut();
        let metrics = services[index].get_or_insert_with(|| Box::new(self.service(&self.names[index])));
        if let Some(status) = status {
            metrics.classes[usize::from(status / 100).clamp(1, STATUS_CLASSES.len()) - 1].inc();
        }
        metrics.duration.observe(took.as_secs_f64());
        if !std::mem::replace(&mut metrics.touched, true) {
            self.touched.borrow_mut().push(index);
        }
        if let Some(class) = class {
            self.shared.errors.with_label_values(&[class.as_str()]).inc();
        }
    }

    fn service(&self, name: &str) -> ServiceMetrics {
        let class = |class: &str| self.shared.transactions.with_label_values(&[name, class]).local();
        let duration = self.shared.durations.with_label_values(&[name]).local();
        ServiceMetrics { classes: STATUS_CLASSES.map(class), duration, touched: false }
    }

    /// Counts a record.
    pub fn issued(&self) {
        self.issued.inc();
    }

    /// Counts the use of an upstream connection.
    pub fn upstream_connection(&self, reused: bool) {
        if reused { self.upstream_reused.inc() } else { self.upstream_new.inc() }
    }

    /// Adds everything to the shared counters.
    pub fn flush(&self, inflight: usize) {
        let mut services = self.services.borrow_mut();
        for index in self.touched.borrow_mut().drain(..) {
            if let Some(metrics) = &mut services[index] {
                metrics.touched = false;
                metrics.classes.iter().for_each(LocalIntCounter::flush);
                metrics.duration.flush();
            }
        }
        self.issued.flush();
        self.upstream_new.flush();
        self.upstream_reused.flush();
        let inflight = inflight as i64;
        self.shared.inflight.add(inflight - self.inflight.replace(inflight));
    }
}
