//! One worker: a thread with its own runtime, upstream pool, resolver, metrics and batch of records. Nothing in here
//! is shared, so nothing is locked; only sealed batches leave, through the outbox. The plan can be changed for another
//! while it runs: see [`crate::worker_plan`].

use std::cell::{Cell, RefCell};
use std::fmt::Write;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use http::header::HeaderValue;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use tollgate_record::id::{ProducerName, RequestId, producer_tag};
use tollgate_record::vocabulary::{AuthFailReason, AuthResult, ErrorClass, Kind, MtlsVerify, Termination};
use tollgate_record::{BatchHeader, Record, SealLimits};

use crate::client::connection::ConnectionFacts;
use crate::config::Plan;
use crate::metrics::{Metrics, WorkerMetrics};
use crate::ship::{Outbox, Rows, SealJobs};
use crate::task::cancel::Stop;
use crate::transaction::in_flight::InFlight;
use crate::transaction::redaction;
use crate::transaction::{Ending, Transaction, now_us};
use crate::upstream::PeerAddr;
use crate::upstream::dns::Resolver;
use crate::worker_plan::WorkerPlan;

/// How often counts are added to the shared ones and idle connections are swept.
const HOUSEKEEPING: Duration = Duration::from_millis(500);
/// Bytes taken for request ids at a time: for fourteen, as the longest of fourteen transactions keeps them all.
const ID_PAGE_BYTES: usize = 14 * RequestId::TEXT_BYTES;
/// Name of the redaction rules, in each batch.
const REDACTION_POLICY: &str = "default-1";

/// A worker's state.
#[derive(Debug)]
pub struct Worker {
    /// Instants are counted from here.
    pub epoch: Instant,
    /// Names to addresses.
    pub resolver: Resolver,
    /// Counts.
    pub metrics: WorkerMetrics,
    /// Transactions in flight.
    pub live: RefCell<InFlight>,
    /// For trace ids and sampling.
    pub random: RefCell<SmallRng>,
    /// No new connections; those there are end after their request.
    pub drain: Stop,
    /// What still goes on is cut.
    pub cut: Stop,
    /// Set while connections are dropped, so that their transactions know who did it.
    pub cutting: Cell<bool>,
    /// Client connections open.
    pub connections: Cell<usize>,
    /// Ports the listeners are bound to.
    pub ports: Vec<u16>,
    tag: u32,
    seq: Cell<i64>,
    /// Microseconds since 1970 at the epoch, by the clock of the wall as it was at the last housekeeping: one clock is
    /// read for each transaction, not two.
    epoch_us: Cell<i64>,
    /// Where request ids are written, so that it takes memory once for many.
    id_page: RefCell<BytesMut>,
    plan: RefCell<Rc<WorkerPlan>>,
    records: RecordLimits,
    outbox: Arc<Outbox>,
    batch: RefCell<Batch>,
}

/// What of `records` the worker itself goes by; it does not change while the process runs.
#[derive(Debug, Clone, Copy)]
struct RecordLimits {
    enabled: bool,
    age_max: Duration,
}

struct Batch {
    rows: Rows,
    path: String,
    query: String,
    correlation: String,
    /// The user agent of the record before, as it came, and its text: most are the same.
    agent_of: Vec<u8>,
    agent: String,
    /// The upstream address of the record before, and its text: most are the same.
    addr_of: Option<PeerAddr>,
    addr: String,
}

impl std::fmt::Debug for Batch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Batch").finish_non_exhaustive()
    }
}

impl Worker {
    /// A worker of the process that started at `start_us`.
    #[must_use]
    pub fn new(
        plan: &Arc<Plan>,
        index: u32,
        start_us: i64,
        ports: Vec<u16>,
        metrics: &Arc<Metrics>,
        jobs: SealJobs,
        stop: (Stop, Stop),
    ) -> Rc<Self> {
        let config = &plan.config;
        let header = batch_header(plan, index, start_us);
        let limits = SealLimits {
            records_max: config.records.batch_records_max.value,
            bytes_max: config.records.batch_bytes_max.0 as usize,
            age_max: config.records.batch_age_max.0,
        };
        let level = config.records.compression_level.value;
        let mut random = SmallRng::from_os_rng();
        let worker_plan = WorkerPlan::new(plan.clone(), None, metrics, random.random::<u32>() as usize);
        let epoch = Instant::now();
        Rc::new(Self {
            epoch,
            resolver: Resolver::new(config.timeouts.dns_cache.0, config.timeouts.dns_stale.0),
            metrics: WorkerMetrics::new(metrics.clone()),
            live: RefCell::default(),
            random: RefCell::new(random),
            drain: stop.0,
            cut: stop.1,
            cutting: Cell::new(false),
            connections: Cell::new(0),
            ports,
            tag: producer_tag(&header.producer),
            seq: Cell::new(0),
            epoch_us: Cell::new(epoch_us(epoch)),
            id_page: RefCell::default(),
            plan: RefCell::new(worker_plan),
            records: RecordLimits { enabled: config.records.enabled, age_max: config.records.batch_age_max.0 },
            outbox: jobs.ring.clone(),
            batch: RefCell::new(Batch {
                rows: Rows::new(index as usize, header, limits, level, jobs),
                path: String::new(),
                query: String::new(),
                correlation: String::new(),
                agent_of: Vec::new(),
                agent: String::new(),
                addr_of: None,
                addr: String::new(),
            }),
        })
    }

    /// The plan in force. What goes on for longer than a call holds it.
    #[must_use]
    pub fn plan(&self) -> Rc<WorkerPlan> {
        self.plan.borrow().clone()
    }

    /// Puts another plan in force, for every transaction that begins from now on.
    pub fn adopt(&self, plan: Arc<Plan>) {
        let before = self.plan();
        let turn = self.random.borrow_mut().random::<u32>() as usize;
        self.resolver.remember_for(plan.config.timeouts.dns_cache.0, plan.config.timeouts.dns_stale.0);
        let next = WorkerPlan::new(plan, Some(&before), &self.metrics.shared, turn);
        self.plan.replace(next);
    }

    /// The next number, and the time of a transaction that began then. The wall's clock is followed every 500 ms.
    pub fn issue(&self, began_at: Instant) -> (i64, i64) {
        let seq = self.seq.get() + 1;
        self.seq.set(seq);
        (seq, self.epoch_us.get() + began_at.saturating_duration_since(self.epoch).as_micros() as i64)
    }

    /// The request id of a number issued at a time.
    #[must_use]
    pub fn request_id(&self, time_us: i64, seq: i64) -> HeaderValue {
        let mut text = [0; RequestId::TEXT_BYTES];
        let id = RequestId::from_parts(time_us, self.tag, seq);
        let mut page = self.id_page.borrow_mut();
        if page.capacity() < text.len() {
            *page = BytesMut::with_capacity(ID_PAGE_BYTES);
        }
        page.extend_from_slice(id.encode(&mut text).as_bytes());
        let value = HeaderValue::from_maybe_shared(page.split().freeze());
        let mut value = value.unwrap_or_else(|_| HeaderValue::from_static(""));
        // No two are the same: HTTP/2 would fill its table of fields with them, and search it for each (RFC 7541 section 6.2.3).
        value.set_sensitive(true);
        value
    }

    /// Whether the worker takes no more connections.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.drain.is_cancelled()
    }

    /// Waits until there is room for records; at once unless the configuration says to block.
    pub async fn room(&self) {
        self.outbox.room().await;
    }

    /// Writes the record of a transaction.
    pub fn record(&self, transaction: &Transaction, ending: &Ending, ended_at: Instant) {
        let plan = &transaction.plan;
        let route = transaction.route.map(|route| &plan.routes[route]);
        let took = ended_at.saturating_duration_since(transaction.began_at);
        plan.counts.transaction(route.map(|route| route.service), transaction.status, took, ending.class);
        if !self.records.enabled {
            return;
        }
        let mut batch = self.batch.borrow_mut();
        let batch = &mut *batch;
        let mut record = Record::default();
        crate::transaction::row::connection(&mut record, &transaction.connection, self);
        redaction::path(transaction.uri.path(), &mut batch.path);
        record.path = Some(&batch.path);
        if let Some(query) = transaction.uri.query() {
            let policy = route.map_or(&plan.query_policy, |route| &route.query_policy);
            redaction::query(query, policy, &mut batch.query);
            record.query = Some(&batch.query);
        }
        record.correlation_id =
            transaction.correlation.as_ref().map(|value| redaction::text(value, &mut batch.correlation));
        if let Some(agent) = &transaction.user_agent {
            if batch.agent_of != agent.as_bytes() {
                redaction::text(agent, &mut batch.agent);
                batch.agent_of.clear();
                batch.agent_of.extend_from_slice(agent.as_bytes());
            }
            record.user_agent = Some(&batch.agent);
        }
        if let Some(addr) = &transaction.upstream.addr {
            if batch.addr_of.as_ref() != Some(addr) {
                batch.addr.clear();
                let _infallible = write!(batch.addr, "{addr}");
                batch.addr_of = Some(addr.clone());
            }
            record.upstream_addr = Some(&batch.addr);
        }
        crate::transaction::row::transaction(&mut record, transaction, ending, ended_at, plan);
        batch.rows.append(&record);
        self.metrics.issued();
    }

    /// Writes the record of a failed handshake.
    pub fn handshake_failed(&self, connection: &ConnectionFacts, began_at: Instant, reason: &str, detail: &str) {
        let took = began_at.elapsed();
        // The client hung up, or sent an alert.
        let by_client = reason == "closed" || reason.starts_with("peer_");
        let (seq, time_us) = self.issue(began_at);
        let mut record = Record { kind: Kind::HandshakeFailed, seq, time_us, ..Record::default() };
        crate::transaction::row::connection(&mut record, connection, self);
        let plan = self.plan();
        record.config_revision = Some(&plan.revision);
        record.error_class = Some(ErrorClass::TlsHandshake);
        record.error_detail = Some(detail);
        record.termination = Some(if by_client { Termination::Client } else { Termination::Gateway });
        record.total_us = Some(took.as_micros() as i64);
        let fail_reason = match reason {
            "cert_expired" => Some(AuthFailReason::CertExpired),
            "cert_unknown_ca" => Some(AuthFailReason::CertUnknownCa),
            "cert_revoked" => Some(AuthFailReason::CertRevoked),
            "no_certificate" => Some(AuthFailReason::Missing),
            "bad_signature" => Some(AuthFailReason::BadSignature),
            _ => None,
        };
        if let Some(fail_reason) = fail_reason {
            record.auth_result = Some(AuthResult::Failed);
            record.auth_fail_reason = Some(fail_reason);
            let presented = fail_reason != AuthFailReason::Missing;
            record.mtls_verify = Some(if presented { MtlsVerify::Failed } else { MtlsVerify::None });
        }
        if matches!(reason, "crl_unknown" | "crl_expired") {
            (record.auth_result, record.mtls_verify) = (Some(AuthResult::Failed), Some(MtlsVerify::Failed));
        }
        let listener = &plan.listeners[connection.listener].name;
        self.metrics.shared().handshake_failures.with_label_values(&[listener, reason]).inc();
        self.metrics.shared().errors.with_label_values(&[ErrorClass::TlsHandshake.as_str()]).inc();
        self.append(&record);
    }

    /// Writes the record of a request head that could not be parsed, or never came to its end.
    pub fn malformed(&self, connection: &ConnectionFacts, status: Option<u16>, class: ErrorClass, detail: &str) {
        let now = Instant::now();
        let began_at = connection.io.take_first_byte_at(self.epoch, false).map_or(now, |first| first.at);
        let (seq, time_us) = self.issue(began_at);
        let mut record = Record { seq, time_us, ..Record::default() };
        crate::transaction::row::connection(&mut record, connection, self);
        let by_client = class == ErrorClass::ClientAbort;
        let plan = self.plan();
        record.config_revision = Some(&plan.revision);
        record.status = status.map(i32::from);
        record.response_source =
            (!by_client && status.is_some()).then_some(tollgate_record::vocabulary::ResponseSource::Gateway);
        record.termination = Some(if by_client { Termination::Client } else { Termination::Gateway });
        record.error_class = Some(class);
        record.error_detail = Some(detail);
        record.upstream_attempts = Some(0);
        let took = now - began_at;
        record.total_us = Some(took.as_micros() as i64);
        plan.counts.transaction(None, status, took, Some(class));
        self.append(&record);
    }

    fn append(&self, record: &Record<'_>) {
        if !self.records.enabled {
            return;
        }
        self.batch.borrow_mut().rows.append(record);
        self.metrics.issued();
    }

    /// Seals by age, adds counts, sweeps the pool and cuts what is overdue; runs until it is dropped with the worker.
    pub async fn keep_house(self: Rc<Self>) {
        let period = (self.records.age_max / 8).clamp(Duration::from_millis(5), HOUSEKEEPING);
        let mut ticks = tokio::time::interval(period);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut swept_at = Instant::now();
        loop {
            ticks.tick().await;
            self.batch.borrow_mut().rows.seal_due(false);
            if swept_at.elapsed() >= HOUSEKEEPING {
                swept_at = Instant::now();
                self.epoch_us.set(epoch_us(self.epoch));
                let plan = self.plan();
                plan.pool.sweep(&self.resolver);
                crate::upstream::prewarm::up(&self, &plan);
                plan.counts.flush();
                // Whatever is under way ends itself at its deadline; this is for what nobody asks to go on.
                self.live.borrow().cut_overdue(swept_at - HOUSEKEEPING);
                self.metrics.flush(self.live.borrow().len());
            }
        }
    }

    /// Hands over everything: the last thing a worker does.
    pub fn close(&self) {
        self.batch.borrow_mut().rows.close();
        self.plan().counts.flush();
        self.metrics.flush(0);
    }
}

/// Microseconds since 1970 at `epoch`, by the wall's clock as it is now.
fn epoch_us(epoch: Instant) -> i64 {
    now_us() - epoch.elapsed().as_micros() as i64
}

fn batch_header(plan: &Plan, worker: u32, start_us: i64) -> BatchHeader {
    let config = &plan.config;
    let node_id = config.node_id.value.clone();
    BatchHeader {
        producer: ProducerName { node_id: node_id.clone(), start_us, worker }.to_string(),
        node_id,
        gateway_version: env!("CARGO_PKG_VERSION").to_owned(),
        environment: config.environment.clone(),
        zone: config.zone.clone(),
        redaction_policy: REDACTION_POLICY.to_owned(),
        hmac_key_id: plan.hmac.as_ref().map(|hmac| hmac.hasher.key_id().to_owned()).unwrap_or_default(),
    }
}
