//! The proxy's metrics: shared counters, and each worker's own counts, which are added to them now and then.

use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use prometheus::local::{LocalHistogram, LocalIntCounter};
use prometheus::{HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Registry};
use tollgate_proxy_ship::ShipMetrics;
use tollgate_record::vocabulary::ErrorClass;
use tollgate_telemetry::{MetricError, OVERFLOW, counter, counter_vec, histogram_vec, int_gauge, int_gauge_vec, names};

use crate::plan::RuntimeConfig;

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
    pub connections_resting: IntGaugeVec,
    pub connections_refused: IntCounterVec,
    pub handshake_failures: IntCounterVec,
    pub proxy_headers_refused: IntCounterVec,
    /// HTTP/2 connections cut for what they asked of us.
    pub http2_floods: IntCounterVec,
    pub transactions: IntCounterVec,
    pub durations: HistogramVec,
    pub errors: IntCounterVec,
    pub inflight: IntGauge,
    pub upstream_connections: IntCounterVec,
    pub upstream_ejections: IntCounterVec,
    pub upstream_targets_out: IntGaugeVec,
    pub upstream_retries: IntCounterVec,
    pub records_issued: IntCounter,
    pub ship: Arc<ShipMetrics>,
    pub config_info: IntGaugeVec,
    pub reloads: IntCounterVec,
    pub plans_in_use: IntGauge,
    pub drain_cut: IntCounter,
    pub issuer_up: IntGaugeVec,
    pub issuer_keys_age: IntGaugeVec,
    pub issuer_fetches: IntCounterVec,
    pub issuer_questions: IntCounterVec,
    /// Providers with time series.
    issuers: Mutex<HashSet<String>>,
    /// Services with a time series of their own.
    named: Mutex<HashSet<String>>,
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
        let config_info = int_gauge_vec(r, names::PROXY_CONFIG_INFO)?;
        config_info.with_label_values(&[revision]).set(1);
        let plans_in_use = int_gauge(r, names::PROXY_PLANS_IN_USE)?;
        plans_in_use.set(1);
        Ok(Arc::new(Self {
            connections: counter_vec(r, names::PROXY_CONNECTIONS_TOTAL)?,
            connections_open: int_gauge_vec(r, names::PROXY_CONNECTIONS_OPEN)?,
            connections_resting: int_gauge_vec(r, names::PROXY_CONNECTIONS_RESTING)?,
            connections_refused: counter_vec(r, names::PROXY_CONNECTIONS_REFUSED_TOTAL)?,
            handshake_failures: counter_vec(r, names::PROXY_HANDSHAKE_FAILURES_TOTAL)?,
            proxy_headers_refused: counter_vec(r, names::PROXY_HEADERS_REFUSED_TOTAL)?,
            http2_floods: counter_vec(r, names::PROXY_HTTP2_FLOODS_TOTAL)?,
            transactions: counter_vec(r, names::PROXY_TRANSACTIONS_TOTAL)?,
            durations: histogram_vec(r, names::PROXY_TRANSACTION_DURATION_SECONDS)?,
            errors: counter_vec(r, names::PROXY_ERRORS_TOTAL)?,
            inflight: int_gauge(r, names::PROXY_INFLIGHT)?,
            upstream_connections: counter_vec(r, names::PROXY_UPSTREAM_CONNECTIONS_TOTAL)?,
            upstream_ejections: counter_vec(r, names::PROXY_UPSTREAM_EJECTIONS_TOTAL)?,
            upstream_targets_out: int_gauge_vec(r, names::PROXY_UPSTREAM_TARGETS_OUT)?,
            upstream_retries: counter_vec(r, names::PROXY_UPSTREAM_RETRIES_TOTAL)?,
            records_issued: counter(r, names::PROXY_RECORDS_ISSUED_TOTAL)?,
            ship: Arc::new(ShipMetrics::register(r)?),
            config_info,
            reloads: counter_vec(r, names::PROXY_RELOADS_TOTAL)?,
            plans_in_use,
            drain_cut: counter(r, names::PROXY_DRAIN_CUT_TOTAL)?,
            issuer_up: int_gauge_vec(r, names::PROXY_ISSUER_UP)?,
            issuer_keys_age: int_gauge_vec(r, names::PROXY_ISSUER_KEYS_AGE_SECONDS)?,
            issuer_fetches: counter_vec(r, names::PROXY_ISSUER_FETCHES_TOTAL)?,
            issuer_questions: counter_vec(r, names::PROXY_ISSUER_QUESTIONS_TOTAL)?,
            named: Mutex::default(),
            issuers: Mutex::default(),
            registry,
        }))
    }

    /// Whether a service has a time series of its own. Takes a place for it, if there is one.
    fn admits(&self, service: &str) -> bool {
        let mut named = self.named.lock().unwrap_or_else(PoisonError::into_inner);
        named.contains(service) || (named.len() < SERVICES_MAX && named.insert(service.to_owned()))
    }

    /// Ends the time series of providers that are not among `kept`.
    pub fn issuers_kept<'a>(&self, kept: impl Iterator<Item = &'a str>) {
        let kept: HashSet<String> = kept.map(str::to_owned).collect();
        let mut issuers = self.issuers.lock().unwrap_or_else(PoisonError::into_inner);
        for gone in issuers.difference(&kept) {
            let _absent = self.issuer_up.remove_label_values(&[gone]);
            let _absent = self.issuer_keys_age.remove_label_values(&[gone]);
        }
        *issuers = kept;
    }

    /// Notes that another configuration is in force, and ends the time series of services that it lacks.
    pub fn reloaded(&self, before: &RuntimeConfig, now: &RuntimeConfig) {
        if before.revision != now.revision {
            let _absent = self.config_info.remove_label_values(&[&before.revision]);
            self.config_info.with_label_values(&[&now.revision]).set(1);
        }
        let kept: HashSet<&str> = now.services.iter().map(|service| service.name.as_str()).collect();
        let mut named = self.named.lock().unwrap_or_else(PoisonError::into_inner);
        named.retain(|service| {
            let keep = kept.contains(service.as_str());
            if !keep {
                for class in STATUS_CLASSES {
                    let _absent = self.transactions.remove_label_values(&[service, class]);
                }
                let _absent = self.durations.remove_label_values(&[service]);
            }
            keep
        });
    }
}

/// One worker's counts since its last flush.
pub struct WorkerMetrics {
    pub shared: Arc<Metrics>,
    issued: LocalIntCounter,
    upstream_new: LocalIntCounter,
    upstream_reused: LocalIntCounter,
    inflight: Cell<i64>,
}

impl std::fmt::Debug for WorkerMetrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WorkerMetrics").finish_non_exhaustive()
    }
}

impl WorkerMetrics {
    #[must_use]
    pub fn new(shared: Arc<Metrics>) -> Self {
        Self {
            issued: shared.records_issued.local(),
            upstream_new: shared.upstream_connections.with_label_values(&["false"]).local(),
            upstream_reused: shared.upstream_connections.with_label_values(&["true"]).local(),
            inflight: Cell::new(0),
            shared,
        }
    }

    #[must_use]
    pub fn shared(&self) -> &Metrics {
        &self.shared
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
        self.issued.flush();
        self.upstream_new.flush();
        self.upstream_reused.flush();
        let inflight = inflight as i64;
        self.shared.inflight.add(inflight - self.inflight.replace(inflight));
    }
}

/// One worker's counts of the services of one configuration since its last flush.
pub struct ServiceCounts {
    shared: Arc<Metrics>,
    config: Arc<RuntimeConfig>,
    /// By index into [`RuntimeConfig::services`], and one more for transactions without a route. Created at the first
    /// count.
    services: RefCell<Vec<Option<Box<ServiceMetrics>>>>,
    touched: RefCell<Vec<usize>>,
}

struct ServiceMetrics {
    classes: [LocalIntCounter; STATUS_CLASSES.len()],
    duration: LocalHistogram,
    touched: bool,
}

impl std::fmt::Debug for ServiceCounts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ServiceCounts").finish_non_exhaustive()
    }
}

impl ServiceCounts {
    #[must_use]
    pub fn new(shared: Arc<Metrics>, config: Arc<RuntimeConfig>) -> Self {
        let services = std::iter::repeat_with(|| None).take(config.services.len() + 1).collect();
        Self { shared, config, services: RefCell::new(services), touched: RefCell::default() }
    }

    /// Counts a transaction that has ended.
    pub fn transaction(&self, service: Option<usize>, status: Option<u16>, took: Duration, class: Option<ErrorClass>) {
        let index = service.unwrap_or(self.config.services.len());
        let mut services = self.services.borrow_mut();
        let metrics = services[index].get_or_insert_with(|| Box::new(self.service(index)));
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

    fn service(&self, index: usize) -> ServiceMetrics {
        let name = match self.config.services.get(index) {
            None => NO_SERVICE,
            Some(service) if self.shared.admits(&service.name) => &service.name,
            Some(_) => OVERFLOW,
        };
        let class = |class: &str| self.shared.transactions.with_label_values(&[name, class]).local();
        let duration = self.shared.durations.with_label_values(&[name]).local();
        ServiceMetrics { classes: STATUS_CLASSES.map(class), duration, touched: false }
    }

    /// Adds everything to the shared counters.
    pub fn flush(&self) {
        let mut services = self.services.borrow_mut();
        for index in self.touched.borrow_mut().drain(..) {
            if let Some(metrics) = &mut services[index] {
                metrics.touched = false;
                metrics.classes.iter().for_each(LocalIntCounter::flush);
                metrics.duration.flush();
            }
        }
    }
}
