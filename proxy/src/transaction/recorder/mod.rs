//! Makes every row: of a transaction, of a failed handshake, and of a request head that cannot be parsed.
//!
//! The recorder numbers what it records, derives the request ids, redacts ([`redaction`]), fills the columns
//! ([`columns`]) and appends to the worker's batch. Nothing else fills a [`Record`]. Texts are written into buffers
//! that are reused from row to row, so that a row allocates nothing.

mod columns;
mod redaction;

use std::cell::{Cell, RefCell};
use std::fmt::Write;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use bytes::BytesMut;
use http::header::HeaderValue;
use tollgate_clock::now_us;
use tollgate_proxy_ship::{BatchWriter, Ring, SealQueue};
use tollgate_record::columns::QUERY_BYTES_MAX;
use tollgate_record::id::{ProducerName, RequestId, producer_tag};
use tollgate_record::vocabulary::{
    AuthFailReason, AuthResult, ErrorClass, Kind, MtlsVerify, ResponseSource, Termination,
};
use tollgate_record::{BatchHeader, Record, SealLimits};

use crate::metrics::WorkerMetrics;
use crate::plan::{RouteConfig, RuntimeConfig};
use crate::transaction::facts::Ending;
use crate::transaction::{ConnectionFacts, Transaction, WorkerConfig};
use crate::upstream::PeerAddr;

pub use redaction::{allowed_headers, scrub_path};

/// Bytes taken for request ids at a time: for fourteen, as the longest of fourteen transactions keeps them all alive.
const ID_PAGE_BYTES: usize = 14 * RequestId::TEXT_BYTES;
/// Name of the redaction rules, in each batch.
const REDACTION_POLICY: &str = "default-1";

/// The records of one worker.
#[derive(Debug)]
pub struct Recorder {
    /// Instants count from here.
    epoch: Instant,
    /// Microseconds since 1970 at the epoch, by the wall's clock at [`Recorder::follow_clock`]: each transaction reads
    /// one clock, not two.
    epoch_us: Cell<i64>,
    /// Ports that the listeners are bound to.
    ports: Vec<u16>,
    tag: u32,
    seq: Cell<i64>,
    /// Where request ids are written, so that many share one allocation.
    id_page: RefCell<BytesMut>,
    enabled: bool,
    ring: Arc<Ring>,
    metrics: Rc<WorkerMetrics>,
    batch: RefCell<Batch>,
}

/// The batch under construction.
struct Batch {
    writer: BatchWriter,
    texts: Texts,
}

/// The buffers that the texts of a row are written into.
#[derive(Default)]
struct Texts {
    path: String,
    query: String,
    correlation: String,
    /// The last record's user agent as it came, and its text: most records repeat it.
    agent_of: Vec<u8>,
    agent: String,
    /// The last record's upstream address, and its text: most records repeat it.
    addr_of: Option<PeerAddr>,
    addr: String,
}

impl std::fmt::Debug for Batch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Batch").finish_non_exhaustive()
    }
}

impl Recorder {
    /// The recorder of worker `index` of the process that started at `start_us`.
    #[must_use]
    pub fn new(
        config: &RuntimeConfig,
        index: u32,
        start_us: i64,
        ports: Vec<u16>,
        metrics: Rc<WorkerMetrics>,
        queue: SealQueue,
    ) -> Self {
        let records = &config.file.records;
        let header = batch_header(config, index, start_us);
        let limits = SealLimits {
            records_max: records.batch_records_max.value,
            bytes_max: records.batch_bytes_max.0 as usize,
            age_max: records.batch_age_max.0,
        };
        let epoch = Instant::now();
        Self {
            epoch,
            epoch_us: Cell::new(epoch_us(epoch)),
            ports,
            tag: producer_tag(&header.producer),
            seq: Cell::new(0),
            id_page: RefCell::default(),
            enabled: records.enabled,
            ring: queue.ring.clone(),
            metrics,
            batch: RefCell::new(Batch {
                writer: BatchWriter::new(index as usize, header, limits, records.compression_level.value, queue),
                texts: Texts::default(),
            }),
        }
    }

    #[must_use]
    pub fn epoch(&self) -> Instant {
        self.epoch
    }

    /// Follows the wall's clock, which may have been set.
    pub fn follow_clock(&self) {
        self.epoch_us.set(epoch_us(self.epoch));
    }

    /// Takes the next number. Returns it with the time of `began_at`, in microseconds since 1970.
    pub fn issue(&self, began_at: Instant) -> (i64, i64) {
        let seq = self.seq.get() + 1;
        self.seq.set(seq);
        (seq, self.epoch_us.get() + began_at.saturating_duration_since(self.epoch).as_micros() as i64)
    }

    /// The request id of a number.
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
        // No two ids are the same. HTTP/2 would fill its table of fields with them, and search it for each (RFC 7541
        // section 6.2.3).
        value.set_sensitive(true);
        value
    }

    /// Waits until there is room for records; at once unless the configuration says to block.
    pub async fn room(&self) {
        self.ring.room().await;
    }

    /// Counts a transaction, and writes its row.
    pub fn transaction(&self, transaction: &Transaction, ending: &Ending, ended_at: Instant) {
        let (config, request, outcome) = (transaction.config(), transaction.request(), transaction.outcome());
        let route = request.route.map(|route| &config.routes[route]);
        let took = ended_at.saturating_duration_since(request.began_at);
        config.counts.transaction(route.map(|route| route.service), outcome.status, took, ending.class);
        if !self.enabled {
            return;
        }
        let (connection, upstream) = (transaction.connection(), transaction.upstream());
        let mut batch = self.batch.borrow_mut();
        let Batch { writer, texts } = &mut *batch;
        let identity = transaction.identity();
        let mut record = Record { seq: identity.seq, time_us: identity.time_us, ..Record::default() };
        columns::fill_connection(&mut record, connection, &self.ports);
        texts.fill(&mut record, transaction, route);
        record.config_revision = Some(&config.revision);
        columns::fill_request(&mut record, request);
        if let Some(route) = route {
            columns::fill_route(&mut record, config, route, request, upstream);
        }
        let auth = transaction.auth();
        record.auth_pattern = auth.pattern;
        record.auth_result = auth.result;
        record.auth_fail_reason = auth.fail_reason;
        record.token_hmac = auth.token_hmac.as_ref();
        let groups = columns::groups(auth);
        columns::fill_caller(&mut record, auth, connection, &groups);
        record.response_header_bytes = outcome.head_bytes;
        record.response_bytes = Some(outcome.body_bytes as i64);
        record.status = outcome.status.map(i32::from);
        record.response_source = outcome.source;
        record.termination = Some(ending.termination);
        record.error_class = ending.class;
        record.error_detail = ending.detail.as_deref();
        columns::times(&mut record, request, upstream, ended_at);
        writer.append(&record);
        self.metrics.issued();
    }

    /// Counts a failed handshake, and writes its row. `reason` is a word of [`tollgate_tls::handshake_failure_reason`].
    pub fn handshake_failed(
        &self,
        config: &WorkerConfig,
        connection: &ConnectionFacts,
        began_at: Instant,
        reason: &str,
        detail: &str,
    ) {
        let took = began_at.elapsed();
        // `closed`: the client hung up; `peer_…`: it sent an alert.
        let by_client = reason == "closed" || reason.starts_with("peer_");
        let (seq, time_us) = self.issue(began_at);
        let mut record = Record { kind: Kind::HandshakeFailed, seq, time_us, ..Record::default() };
        columns::fill_connection(&mut record, connection, &self.ports);
        record.config_revision = Some(&config.revision);
        record.error_class = Some(ErrorClass::TlsHandshake);
        record.error_detail = Some(detail);
        record.termination = Some(if by_client { Termination::Client } else { Termination::Gateway });
        record.total_us = Some(took.as_micros() as i64);
        if let Some(fail_reason) = columns::certificate_fault(reason) {
            record.auth_result = Some(AuthResult::Failed);
            record.auth_fail_reason = Some(fail_reason);
            let presented = fail_reason != AuthFailReason::Missing;
            record.mtls_verify = Some(if presented { MtlsVerify::Failed } else { MtlsVerify::None });
        }
        if matches!(reason, "crl_unknown" | "crl_expired") {
            (record.auth_result, record.mtls_verify) = (Some(AuthResult::Failed), Some(MtlsVerify::Failed));
        }
        let listener = &config.listeners[connection.listener].name;
        self.metrics.shared().handshake_failures.with_label_values(&[listener, reason]).inc();
        self.metrics.shared().errors.with_label_values(&[ErrorClass::TlsHandshake.as_str()]).inc();
        self.append(&record);
    }

    /// Counts a request head that could not be parsed, or never came to its end, and writes its row.
    pub fn malformed(
        &self,
        config: &WorkerConfig,
        connection: &ConnectionFacts,
        status: Option<u16>,
        class: ErrorClass,
        detail: &str,
    ) {
        let now = Instant::now();
        let began_at = connection.io.take_first_byte_at(self.epoch, false).map_or(now, |first| first.at);
        let (seq, time_us) = self.issue(began_at);
        let mut record = Record { seq, time_us, ..Record::default() };
        columns::fill_connection(&mut record, connection, &self.ports);
        let by_client = class == ErrorClass::ClientAbort;
        record.config_revision = Some(&config.revision);
        record.status = status.map(i32::from);
        record.response_source = (!by_client && status.is_some()).then_some(ResponseSource::Gateway);
        record.termination = Some(if by_client { Termination::Client } else { Termination::Gateway });
        record.error_class = Some(class);
        record.error_detail = Some(detail);
        record.upstream_attempts = Some(0);
        let took = now - began_at;
        record.total_us = Some(took.as_micros() as i64);
        config.counts.transaction(None, status, took, Some(class));
        self.append(&record);
    }

    /// Seals the batch if it is old enough.
    pub fn seal_due(&self) {
        self.batch.borrow_mut().writer.seal_due(false);
    }

    /// Seals what is left. The last call.
    pub fn close(&self) {
        self.batch.borrow_mut().writer.close();
    }

    fn append(&self, record: &Record<'_>) {
        if !self.enabled {
            return;
        }
        self.batch.borrow_mut().writer.append(record);
        self.metrics.issued();
    }
}

impl Texts {
    /// Fills the columns whose texts are redacted or formatted for the row.
    fn fill<'a>(&'a mut self, record: &mut Record<'a>, transaction: &Transaction, route: Option<&RouteConfig>) {
        let request = transaction.request();
        redaction::write_path(request.uri.path(), &mut self.path);
        record.path = Some(&self.path);
        if let Some(query) = request.uri.query() {
            let policy = route.map_or(&transaction.config().query_policy, |route| &route.query_policy);
            self.query.clear();
            policy.apply(query, QUERY_BYTES_MAX, &mut self.query);
            record.query = Some(&self.query);
        }
        if let Some(correlation) = &request.correlation {
            redaction::write_text(correlation, &mut self.correlation);
            record.correlation_id = Some(&self.correlation);
        }
        if let Some(agent) = &request.user_agent {
            if self.agent_of != agent.as_bytes() {
                redaction::write_text(agent, &mut self.agent);
                self.agent_of.clear();
                self.agent_of.extend_from_slice(agent.as_bytes());
            }
            record.user_agent = Some(&self.agent);
        }
        if let Some(addr) = &transaction.upstream().addr {
            if self.addr_of.as_ref() != Some(addr) {
                self.addr.clear();
                let _infallible = write!(self.addr, "{addr}");
                self.addr_of = Some(addr.clone());
            }
            record.upstream_addr = Some(&self.addr);
        }
    }
}

/// Microseconds since 1970 at `epoch`, by the wall's clock as it is now.
fn epoch_us(epoch: Instant) -> i64 {
    now_us() - epoch.elapsed().as_micros() as i64
}

fn batch_header(config: &RuntimeConfig, worker: u32, start_us: i64) -> BatchHeader {
    let file = &config.file;
    let node_id = file.node_id.value.clone();
    BatchHeader {
        producer: ProducerName { node_id: node_id.clone(), start_us, worker }.to_string(),
        node_id,
        gateway_version: env!("CARGO_PKG_VERSION").to_owned(),
        environment: file.environment.clone(),
        zone: file.zone.clone(),
        redaction_policy: REDACTION_POLICY.to_owned(),
        hmac_key_id: config.hmac.as_ref().map(|hmac| hmac.hasher.key_id().to_owned()).unwrap_or_default(),
    }
}
