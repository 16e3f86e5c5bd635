//! From rows to counters.

use std::collections::HashMap;
use std::time::Instant;

use prometheus::{Histogram, HistogramVec, IntCounter, IntCounterVec, Registry};
use tollgate_record::Batch;
use tollgate_record::vocabulary::Kind;
use tollgate_telemetry::{
    MetricError, counter, counter_vec, gauge_vec, histogram, histogram_vec, int_gauge_vec, names,
};

use crate::columns::{Columns, number};
use crate::config::MetricsConfig;
use crate::expiry::Expiries;
use crate::labels::{ABSENT, LABEL_VALUES_MAX, LabelId, Labels, PerLabel};
use crate::producers::Producers;

/// Classes of status: none, 1xx … 5xx.
const STATUS_CLASSES: [&str; 6] = [ABSENT, "1xx", "2xx", "3xx", "4xx", "5xx"];

/// Sums over all labels since the process began, for tests and the status page.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Totals {
    /// Rows seen, of every kind.
    pub rows: u64,
    /// Rows that are transactions.
    pub transactions: u64,
    /// Rows that are failed handshakes.
    pub handshake_failures: u64,
    /// Rows that declare a gap.
    pub gaps: u64,
    /// Rows of a kind that this version does not know.
    pub unknown_kinds: u64,
    /// Records that gap rows declare as shed.
    pub shed: u64,
    /// Transactions with an error class.
    pub errors: u64,
    /// Batches whose producer is not followed, for lack of room.
    pub unfollowed_batches: u64,
}

/// The counters of one service.
struct Service {
    by_class: [Option<IntCounter>; STATUS_CLASSES.len()],
    errors: PerLabel<IntCounter>,
    duration: Histogram,
    request_bytes: IntCounter,
    response_bytes: IntCounter,
}

/// A counter per value of one label.
struct Family {
    labels: Labels,
    vec: IntCounterVec,
    counters: PerLabel<IntCounter>,
}

impl Family {
    fn new(vec: IntCounterVec) -> Self {
        Self { labels: Labels::new(LABEL_VALUES_MAX), vec, counters: PerLabel::new() }
    }

    fn of(&mut self, id: LabelId) -> &IntCounter {
        self.counters.get_or(id, || self.vec.with_label_values(&[self.labels.name(id)]))
    }
}

struct Auth {
    patterns: Labels,
    results: Labels,
    reasons: Labels,
    vec: IntCounterVec,
    counters: HashMap<[LabelId; 3], IntCounter>,
}

/// Everything that is derived from records.
pub(crate) struct Derived {
    service_labels: Labels,
    services: PerLabel<Service>,
    service_vecs: ServiceVecs,
    error_labels: Labels,
    gateway: Histogram,
    auth: Auth,
    waf: Family,
    tls: Family,
    handshakes: Family,
    shed: Family,
    pub(crate) expiries: Expiries,
    pub(crate) producers: Producers,
    pub(crate) totals: Totals,
}

struct ServiceVecs {
    transactions: IntCounterVec,
    errors: IntCounterVec,
    duration: HistogramVec,
    request_bytes: IntCounterVec,
    response_bytes: IntCounterVec,
}

impl ServiceVecs {
    fn make(&self, name: &str) -> Service {
        Service {
            by_class: Default::default(),
            errors: PerLabel::new(),
            duration: self.duration.with_label_values(&[name]),
            request_bytes: self.request_bytes.with_label_values(&[name]),
            response_bytes: self.response_bytes.with_label_values(&[name]),
        }
    }
}

impl Derived {
    pub(crate) fn new(config: &MetricsConfig, registry: &Registry) -> Result<Self, MetricError> {
        let family = |name| Ok::<_, MetricError>(Family::new(counter_vec(registry, name)?));
        let expiry_gauges = gauge_vec(registry, names::CLIENT_CERT_EXPIRY_TIMESTAMP_SECONDS)?;
        Ok(Self {
            service_labels: Labels::new(config.services_max),
            services: PerLabel::new(),
            service_vecs: ServiceVecs {
                transactions: counter_vec(registry, names::TRANSACTIONS_TOTAL)?,
                errors: counter_vec(registry, names::ERRORS_TOTAL)?,
                duration: histogram_vec(registry, names::TRANSACTION_DURATION_SECONDS)?,
                request_bytes: counter_vec(registry, names::REQUEST_BYTES_TOTAL)?,
                response_bytes: counter_vec(registry, names::RESPONSE_BYTES_TOTAL)?,
            },
            error_labels: Labels::new(LABEL_VALUES_MAX),
            gateway: histogram(registry, names::GATEWAY_DURATION_SECONDS)?,
            auth: Auth {
                patterns: Labels::new(LABEL_VALUES_MAX),
                results: Labels::new(LABEL_VALUES_MAX),
                reasons: Labels::new(LABEL_VALUES_MAX),
                vec: counter_vec(registry, names::AUTH_TOTAL)?,
                counters: HashMap::new(),
            },
            waf: family(names::WAF_TOTAL)?,
            tls: family(names::TLS_TOTAL)?,
            handshakes: family(names::HANDSHAKE_FAILURES_TOTAL)?,
            shed: family(names::RECORDS_SHED_TOTAL)?,
            expiries: Expiries::new(expiry_gauges, config.subjects_max, config.expiry_window.duration()),
            producers: Producers::new(
                config,
                int_gauge_vec(registry, names::RECORDS_MISSING)?,
                counter(registry, names::RECORDS_DOUBLED_TOTAL)?,
            ),
            totals: Totals::default(),
        })
    }

    /// Counts every row of a batch. `false` = it does not have the canonical columns.
    pub(crate) fn observe(&mut self, batch: &Batch, now: Instant) -> bool {
        let Some(mut columns) = Columns::of(&batch.records) else { return false };
        self.totals.rows += columns.rows as u64;
        for row in 0..columns.rows {
            // Kinds are numbered as the vocabulary lists them; one that is not listed gets the next number.
            let kind =
                columns.kind.at(row, |text| Kind::parse(text).map_or(Kind::ALL.len(), |kind| kind as usize) as u32);
            match kind.and_then(|number| Kind::ALL.get(number as usize)) {
                Some(Kind::Transaction) => self.transaction(&mut columns, row),
                Some(Kind::HandshakeFailed) => self.handshake_failed(&mut columns, row),
                Some(Kind::Gap) => self.gap(&mut columns, row),
                None => self.totals.unknown_kinds += 1,
            }
        }
        self.expiries.observe(&columns.client_cert_subject, columns.client_cert_not_after);
        if !self.producers.observe(&batch.meta, &columns, now) {
            self.totals.unfollowed_batches += 1;
        }
        true
    }

    fn transaction(&mut self, columns: &mut Columns<'_>, row: usize) {
        self.totals.transactions += 1;
        let id = columns.service.at(row, |name| self.service_labels.admit(name)).unwrap_or(Labels::NONE);
        let vecs = &self.service_vecs;
        let name = || self.service_labels.name(id);
        let service = self.services.get_or(id, || vecs.make(self.service_labels.name(id)));
        let class = number(columns.status, row).map_or(0, status_class);
        service.by_class[class]
            .get_or_insert_with(|| vecs.transactions.with_label_values(&[name(), STATUS_CLASSES[class]]))
            .inc();
        if let Some(us) = number(columns.total_us, row) {
            service.duration.observe(seconds(us));
        }
        if let Some(us) = number(columns.gateway_us, row) {
            self.gateway.observe(seconds(us));
        }
        service.request_bytes.inc_by(count(number(columns.request_bytes, row)));
        service.response_bytes.inc_by(count(number(columns.response_bytes, row)));
        if let Some(error) = columns.error_class.at(row, |class| self.error_labels.admit(class)) {
            self.totals.errors += 1;
            let class = || self.error_labels.name(error);
            service.errors.get_or(error, || vecs.errors.with_label_values(&[name(), class()])).inc();
        }
        self.auth.count(columns, row);
        if let Some(action) = columns.waf_action.at(row, |action| self.waf.labels.admit(action)) {
            self.waf.of(action).inc();
        }
        let version = columns.tls_version.at(row, |version| self.tls.labels.admit(version));
        self.tls.of(version.unwrap_or(Labels::NONE)).inc();
    }

    fn handshake_failed(&mut self, columns: &mut Columns<'_>, row: usize) {
        self.totals.handshake_failures += 1;
        // Numbers of a dictionary value are kept per column: other counters number the same columns differently, so
        // these rare rows look their value up each time.
        let reason = columns.auth_fail_reason.text(row).or_else(|| columns.error_class.text(row));
        let id = reason.map_or(Labels::NONE, |reason| self.handshakes.labels.admit(reason));
        self.handshakes.of(id).inc();
    }

    fn gap(&mut self, columns: &mut Columns<'_>, row: usize) {
        self.totals.gaps += 1;
        let shed = count(Some(number(columns.gap_count, row).unwrap_or(1).max(1)));
        self.totals.shed = self.totals.shed.saturating_add(shed);
        let reason = columns.gap_reason.at(row, |reason| self.shed.labels.admit(reason));
        self.shed.of(reason.unwrap_or(Labels::NONE)).inc_by(shed);
    }
}

impl Auth {
    fn count(&mut self, columns: &mut Columns<'_>, row: usize) {
        let Some(result) = columns.auth_result.at(row, |result| self.results.admit(result)) else { return };
        let pattern = columns.auth_pattern.at(row, |pattern| self.patterns.admit(pattern)).unwrap_or(Labels::NONE);
        let reason = columns.auth_fail_reason.at(row, |reason| self.reasons.admit(reason)).unwrap_or(Labels::NONE);
        let counter = self.counters.entry([pattern, result, reason]).or_insert_with(|| {
            let values = [self.patterns.name(pattern), self.results.name(result), self.reasons.name(reason)];
            self.vec.with_label_values(&values)
        });
        counter.inc();
    }
}

/// The class of a status, as an index of [`STATUS_CLASSES`].
fn status_class(status: i32) -> usize {
    if (100..600).contains(&status) { (status / 100) as usize } else { 0 }
}

fn seconds(us: i64) -> f64 {
    us.max(0) as f64 / 1_000_000.0
}

/// A number that a counter can take: absent and negative are nothing.
fn count(value: Option<i64>) -> u64 {
    value.map_or(0, |value| u64::try_from(value).unwrap_or(0))
}
