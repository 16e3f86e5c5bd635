//! A table with files, hot rows, a gap and a hole, and an engine over it.
//!
//! Row `i` of 1,200 arrives at `base + i * 200 ms`; what becomes of it follows from `i` alone (see [`fate`]), so that a
//! test can count what a query must answer. Two producers take turns.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use tempfile::TempDir;
use tollgate_config::ConfigDuration;
use tollgate_queries::{Engine, Limits};
use tollgate_record::id::{RequestId, producer_tag};
use tollgate_record::vocabulary::*;
use tollgate_record::{BatchBuilder, BatchHeader, DecodeLimits, Gap, Record, SealLimits, decode, gap_batch};
use tollgate_table::{Table, TableConfig, TableWriter, open};

pub const ROWS: i64 = 1_200;
pub const PRODUCERS: [&str; 2] = ["gw-a/61a0/0", "gw-b/61a1/0"];
pub const SERVICES: [&str; 3] = ["members", "claims", "billing"];
pub const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
/// Numbers of the first producer that were shed, and those that nothing explains.
pub const SHED: (i64, i64) = (10_000, 5);
pub const MISSING: [i64; 2] = [10_005, 10_006];
/// Number of the batch of gaps: past those of the rows.
const GAP_BATCH: u64 = 900;

pub struct Fixture {
    pub engine: Arc<Engine>,
    pub table: Arc<Table>,
    pub base_us: i64,
    pub writer: TableWriter,
    position: u64,
    batches: BTreeMap<String, u64>,
    _dir: TempDir,
}

/// What becomes of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    Fine,
    TimedOut,
    Refused,
    Unauthenticated,
    Denied,
    Left,
    Nowhere,
    Handshake,
}

pub fn fate(row: i64) -> Fate {
    match row % 40 {
        3 => Fate::TimedOut,
        11 => Fate::Refused,
        17 => Fate::Unauthenticated,
        23 => Fate::Denied,
        29 => Fate::Left,
        31 => Fate::Nowhere,
        37 => Fate::Handshake,
        _ => Fate::Fine,
    }
}

pub fn service(row: i64) -> &'static str {
    SERVICES[(row % 3) as usize]
}

/// How many rows have the fate (and the service, if one is named).
pub fn count(wanted: Fate, of: Option<&str>) -> i64 {
    (0..ROWS).filter(|row| fate(*row) == wanted && of.is_none_or(|name| service(*row) == name)).count() as i64
}

impl Fixture {
    /// The standard table: three quarters of the rows in three files, the rest hot.
    pub async fn new() -> Self {
        Self::with(Limits { threads: 2, ..Limits::default() }).await
    }

    pub async fn with(limits: Limits) -> Self {
        Self::empty(limits).await.filled().await
    }

    /// The standard table with its first row at a fixed time, so that every answer is the same each time.
    pub async fn at(base_us: i64) -> Self {
        let mut fixture = Self::empty(Limits { threads: 2, ..Limits::default() }).await;
        fixture.base_us = base_us;
        fixture.filled().await
    }

    async fn filled(self) -> Self {
        let mut fixture = self;
        for chunk in 0..4 {
            for (index, producer) in PRODUCERS.iter().enumerate() {
                let rows = (chunk * 300..(chunk + 1) * 300).filter(|row| (row % 2) as usize == index);
                fixture.rows(producer, rows).await;
            }
            if chunk < 3 {
                fixture.commit().await;
            }
        }
        fixture.gap().await;
        fixture
    }

    pub async fn empty(limits: Limits) -> Self {
        let dir = TempDir::new().expect("folder");
        let mut config = TableConfig::new(dir.path().join("table"));
        config.commit_every = ConfigDuration::hours(1);
        config.commit_rows_max = 10_000_000;
        config.merge_every = None;
        Self::open(dir, config, limits).await
    }

    pub async fn open(dir: TempDir, config: TableConfig, limits: Limits) -> Self {
        let (mut writer, table) = open(config, "default").await.expect("table");
        writer.recover().await.expect("recovered");
        let engine = Arc::new(Engine::new(table.clone(), limits).expect("engine"));
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("clock").as_micros() as i64;
        Self {
            engine,
            table,
            base_us: now / 1_000_000 * 1_000_000 - 480_000_000,
            writer,
            position: 0,
            batches: BTreeMap::new(),
            _dir: dir,
        }
    }

    pub fn time_us(&self, row: i64) -> i64 {
        self.base_us + row * 200_000
    }

    /// The request id of a row.
    pub fn id(&self, row: i64) -> String {
        let producer = PRODUCERS[(row % 2) as usize];
        RequestId::from_parts(self.time_us(row), producer_tag(producer), row / 2 + 1).to_string()
    }

    /// Appends rows of one producer as one batch.
    pub async fn rows(&mut self, producer: &str, rows: impl Iterator<Item = i64>) {
        let mut builder = self.builder(producer);
        for row in rows {
            append(&mut builder, row, row / 2 + 1, self.time_us(row));
        }
        let sealed = builder.seal(1).expect("sealed");
        self.deliver(&sealed.bytes).await;
    }

    /// A builder of the producer's next batch: the table takes a second batch of one number for a resend.
    pub fn builder(&mut self, producer: &str) -> BatchBuilder {
        let sent = self.batches.entry(producer.to_owned()).or_default();
        let mut builder = BatchBuilder::new(header(producer), SealLimits::default());
        for _ in 0..*sent {
            builder.take_batch_seq();
        }
        *sent += 1;
        builder
    }

    /// A gap, and after a hole one more record, of the first producer.
    async fn gap(&mut self) {
        let producer = PRODUCERS[0];
        let time_us = self.time_us(ROWS);
        // From the last row's number on to the gap, all is there: a second gap explains it.
        let last = (ROWS - 2) / 2 + 1;
        let gaps = [
            Gap { time_us, seq: last + 1, count: SHED.0 - last - 1, reason: GapReason::SpoolFull },
            Gap { time_us, seq: SHED.0, count: SHED.1, reason: GapReason::BufferFull },
        ];
        let sealed = gap_batch(&header(producer), GAP_BATCH, &gaps).expect("gap");
        self.deliver(&sealed.bytes).await;
        let mut builder = self.builder(producer);
        append(&mut builder, 0, MISSING[1] + 1, time_us + 1_000);
        let sealed = builder.seal(1).expect("sealed");
        self.deliver(&sealed.bytes).await;
    }

    pub async fn deliver(&mut self, bytes: &[u8]) {
        let batch = decode(bytes, &DecodeLimits::default()).expect("batch");
        self.table.show_hot(self.position, &batch);
        self.writer.append(self.position, &batch).await.expect("appended");
        self.writer.commit_if_due().await.expect("committed");
        self.position += 1;
    }

    /// Puts everything so far into the table's files.
    pub async fn commit(&mut self) {
        self.writer.close().await.expect("committed");
    }
}

pub fn header(producer: &str) -> BatchHeader {
    BatchHeader {
        producer: producer.to_owned(),
        node_id: producer.split('/').next().unwrap_or_default().to_owned(),
        gateway_version: "0.1.0".to_owned(),
        environment: "test".to_owned(),
        zone: "z1".to_owned(),
        redaction_policy: "default".to_owned(),
        hmac_key_id: "k1".to_owned(),
    }
}

/// Row `row`, numbered `seq`, at `time_us`.
pub fn append(builder: &mut BatchBuilder, row: i64, seq: i64, time_us: i64) {
    let client_ip = format!("10.0.{}.{}", row / 250 % 250, row % 250);
    let path = format!("/{}/{}", service(row), row);
    let correlation = format!("order-{row}");
    let certificate = [row as u8 % 4; 32];
    let token = [row as u8 % 8; 32];
    let mut trace = [0_u8; 16];
    trace[8..].copy_from_slice(&row.to_be_bytes());
    if row % 100 == 42 {
        trace = 0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736_u128.to_be_bytes();
    }
    let span = row.to_be_bytes();
    let mut record = Record {
        time_us,
        seq,
        correlation_id: Some(&correlation),
        trace_id: Some(&trace),
        span_id: Some(&span),
        service: Some(service(row)),
        route: Some("by-id"),
        http_route: Some("/{service}/{id}"),
        app_id: Some("membership"),
        config_revision: Some("c0ffee"),
        client_ip: Some(&client_ip),
        client_port: Some(40_000),
        peer_ip: Some(&client_ip),
        client_ip_source: Some(ClientIpSource::Peer),
        server_port: Some(8443),
        host: Some("api.example.com"),
        http_version: Some("2"),
        tls_version: Some("1.3"),
        tls_cipher: Some("TLS_AES_128_GCM_SHA256"),
        tls_resumed: Some(row % 2 == 0),
        tls_sni: Some("api.example.com"),
        mtls_verify: Some(MtlsVerify::Success),
        client_cert_sha256: Some(&certificate),
        client_cert_subject: Some("CN=partner"),
        client_cert_issuer: Some("CN=ca"),
        client_cert_not_after_us: Some(time_us + (row % 4) * 20 * 86_400_000_000),
        method: Some("GET"),
        path: Some(&path),
        request_bytes: Some(10),
        response_bytes: Some(2_000),
        user_agent: Some("curl/8"),
        auth_pattern: Some(AuthPattern::Mtls),
        auth_result: Some(AuthResult::Success),
        consumer: Some("partner"),
        token_hmac: Some(&token),
        auth_groups: &["readers", "writers"],
        acl_decision: Some(AclDecision::Allow),
        waf_action: Some(WafAction::Pass),
        waf_score: Some(0),
        upstream_host: Some("members.internal"),
        upstream_addr: Some("10.9.0.1:8080"),
        upstream_status: Some(200),
        upstream_attempts: Some(1),
        upstream_reused: Some(row % 2 == 0),
        status: Some(200),
        response_source: Some(ResponseSource::Upstream),
        termination: Some(Termination::Complete),
        total_us: Some(10_000 + row),
        gateway_us: Some(300),
        upstream_ttfb_us: Some(8_000),
        upstream_receive_us: Some(1_000),
        ..Record::default()
    };
    if row % 50 == 1 {
        record.waf_action = Some(WafAction::Detected);
        record.waf_score = Some(5);
        record.waf_rule_ids = &[942_100, 949_110];
    }
    if row % 2 == 1 {
        record.upstream_connect_us = Some(700 + row % 100);
    }
    doom(&mut record, fate(row));
    builder.append(&record);
}

fn doom(record: &mut Record<'_>, fate: Fate) {
    let (status, class, detail) = match fate {
        Fate::Fine => return,
        Fate::TimedOut => (504, ErrorClass::UpstreamTimeout, "no response within 30 s"),
        Fate::Refused => (502, ErrorClass::ConnectRefused, "10.9.0.1:8080 refused the connection"),
        Fate::Unauthenticated => (401, ErrorClass::Auth, "the certificate has expired"),
        Fate::Denied => (403, ErrorClass::Acl, "partner may not write"),
        Fate::Left => (499, ErrorClass::ClientAbort, "the client left"),
        Fate::Nowhere => (404, ErrorClass::NoRoute, "no route matches"),
        Fate::Handshake => (0, ErrorClass::TlsHandshake, "unknown issuer"),
    };
    record.status = Some(status);
    record.error_class = Some(class);
    record.error_detail = Some(detail);
    record.response_source = Some(ResponseSource::Gateway);
    record.termination = Some(Termination::Gateway);
    record.upstream_status = None;
    match fate {
        Fate::TimedOut => {
            record.upstream_ttfb_us = None;
            record.upstream_connect_us = None;
            record.total_us = Some(30_000_000);
        }
        Fate::Unauthenticated => {
            record.auth_result = Some(AuthResult::Failed);
            record.auth_fail_reason = Some(AuthFailReason::CertExpired);
            record.upstream_attempts = Some(0);
        }
        Fate::Denied => {
            record.acl_decision = Some(AclDecision::Deny);
            record.upstream_attempts = Some(0);
        }
        Fate::Left => record.termination = Some(Termination::Client),
        Fate::Nowhere => {
            record.service = None;
            record.upstream_attempts = Some(0);
        }
        Fate::Handshake => {
            record.kind = Kind::HandshakeFailed;
            record.service = None;
            record.status = None;
            record.method = None;
            record.auth_result = None;
            record.mtls_verify = Some(MtlsVerify::Failed);
            record.auth_fail_reason = Some(AuthFailReason::CertUnknownCa);
            record.upstream_attempts = None;
        }
        _ => {}
    }
}

/// The single value of a single row, as JSON.
pub async fn value(engine: &Engine, sql: &str) -> serde_json::Value {
    let row = rows(engine, sql).await.into_iter().next().unwrap_or_else(|| panic!("{sql} answered no row"));
    row.as_object().and_then(|row| row.values().next()).cloned().unwrap_or_default()
}

/// The rows of a query, as JSON.
pub async fn rows(engine: &Engine, sql: &str) -> Vec<serde_json::Value> {
    let result = engine.query(sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
    rows_of(&result)
}

pub fn rows_of(result: &tollgate_queries::QueryResult) -> Vec<serde_json::Value> {
    let json = result.render(tollgate_queries::Format::Json).expect("json");
    let json: serde_json::Value = serde_json::from_slice(&json).expect("valid JSON");
    json["rows"].as_array().expect("rows").clone()
}
