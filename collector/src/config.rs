//! What an operator can choose, with what holds otherwise.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};
use tollgate_config::{ByteSize, ConfigDuration, ConfigPath, Diagnostic};

/// Ceiling of `ingest.batch_raw_bytes_max`.
pub(crate) const RAW_BYTES_MAX: usize = 1 << 30;
/// Ceiling of `ingest.batch_rows_max`.
pub(crate) const ROWS_MAX: usize = 1 << 24;
/// One connection may hold this part of the bytes in flight: one in so many.
pub(crate) const CONNECTION_SHARE: u64 = 4;

/// The collector's part of its configuration file.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CollectorConfig {
    /// Where and how batches are received.
    pub ingest: IngestConfig,
    /// Where they are made durable, and how much of them is kept.
    pub journal: JournalConfig,
    /// How sinks are served.
    #[serde(default)]
    pub delivery: DeliveryConfig,
    /// Metrics, health and status.
    #[serde(default)]
    pub admin: AdminConfig,
}

/// Where and how batches are received.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IngestConfig {
    /// Address that proxies post to.
    #[serde(default = "ingest_address")]
    pub address: SocketAddr,
    /// Certificates. There is no ingest without them.
    pub tls: IngestTls,
    /// Largest body of one post; larger ones are answered 413 as soon as that shows.
    #[serde(default = "batch_bytes_max")]
    pub batch_bytes_max: ByteSize,
    /// Largest batch after decompression.
    #[serde(default = "batch_raw_bytes_max")]
    pub batch_raw_bytes_max: ByteSize,
    /// Most records in one batch.
    #[serde(default = "batch_rows_max")]
    pub batch_rows_max: usize,
    /// Connections held at once; further ones wait in the kernel's queue.
    #[serde(default = "connections_max")]
    pub connections_max: usize,
    /// Posts under way on one connection.
    #[serde(default = "posts_max")]
    pub posts_max: u32,
    /// Bytes of bodies and of decoded batches held at once until they are stored, over all connections; past it posts
    /// are answered 503. One connection may hold a quarter of it.
    #[serde(default = "inflight_bytes_max")]
    pub inflight_bytes_max: ByteSize,
    /// Batches decoded at once, each on a thread of its own.
    #[serde(default = "decoders_max")]
    pub decoders_max: usize,
    /// How long a TLS handshake may take.
    #[serde(default = "handshake_timeout")]
    pub handshake_timeout: ConfigDuration,
    /// How long the body of one post may take to arrive.
    #[serde(default = "body_timeout")]
    pub body_timeout: ConfigDuration,
    /// A connection without a post for this long is closed.
    #[serde(default = "idle_timeout")]
    pub idle_timeout: ConfigDuration,
    /// A connection older than this is closed once its posts are answered, so that the next one is made with the
    /// certificates of that moment.
    #[serde(default = "connection_age_max")]
    pub connection_age_max: ConfigDuration,
    /// What 503 says in `Retry-After`, in whole seconds.
    #[serde(default = "retry_after")]
    pub retry_after: ConfigDuration,
    /// How long posts may take to finish when the collector stops.
    #[serde(default = "drain_timeout")]
    pub drain_timeout: ConfigDuration,
}

/// Certificates of the ingest.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IngestTls {
    /// The collector's certificate chain, PEM.
    pub certificate: ConfigPath,
    /// Its key, PEM.
    pub key: ConfigPath,
    /// Authorities whose client certificates are believed, PEM. A certificate speaks for producers whose node is named
    /// by its common name or one of its DNS names.
    pub client_ca: ConfigPath,
}

/// Where batches are made durable, and how much of them is kept.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JournalConfig {
    /// The data folder: segments, cursors, dead letters, the ledger of batches seen.
    pub dir: ConfigPath,
    /// Size of a segment file.
    #[serde(default = "segment_bytes")]
    pub segment_bytes: ByteSize,
    /// All segment files together never exceed this.
    #[serde(default = "bytes_max")]
    pub bytes_max: ByteSize,
    /// Posts are answered 503 once this much is stored and not yet delivered everywhere.
    #[serde(default = "high_water_bytes")]
    pub high_water_bytes: ByteSize,
    /// Posts are answered 503 when the disk has less than this left.
    #[serde(default = "disk_free_min_bytes")]
    pub disk_free_min_bytes: ByteSize,
    /// Frames that may wait for the writer.
    #[serde(default = "queue_frames_max")]
    pub queue_frames_max: usize,
    /// Starts although segment files are missing, and reports what is gone.
    #[serde(default)]
    pub accept_missing: bool,
    /// How long a batch is remembered, so that a resend of it is not stored again.
    #[serde(default = "remember_batches")]
    pub remember_batches: ConfigDuration,
}

/// How sinks are served.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DeliveryConfig {
    /// Sinks that lose their oldest frames, counted, when the journal is nearly full. All others make ingest answer 503
    /// instead.
    pub skip_when_full: Vec<String>,
    /// Decoded batches kept for the sinks, so that each is decoded once.
    pub recent_bytes_max: ByteSize,
    /// Frames handed to a sink at once.
    pub frames_max: usize,
    /// Records handed to a sink at once; at least one frame is.
    pub rows_max: usize,
    /// First wait after a failed delivery; it doubles, with jitter.
    pub retry_min: ConfigDuration,
    /// Longest wait.
    pub retry_max: ConfigDuration,
    /// A cursor is stored at most this often.
    pub cursor_interval: ConfigDuration,
    /// How often finished segments are looked for.
    pub trim_interval: ConfigDuration,
    /// How long a sink may take to store what it holds when the collector stops.
    pub close_timeout: ConfigDuration,
}

/// Metrics, health and status.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AdminConfig {
    /// Address of `/metrics`, `/healthz`, `/readyz` and `/status`.
    pub address: SocketAddr,
}

impl Default for DeliveryConfig {
    fn default() -> Self {
        Self {
            skip_when_full: Vec::new(),
            recent_bytes_max: ByteSize::mib(16),
            frames_max: 64,
            rows_max: 16_384,
            retry_min: ConfigDuration::millis(100),
            retry_max: ConfigDuration::secs(30),
            cursor_interval: ConfigDuration::millis(200),
            trim_interval: ConfigDuration::secs(1),
            close_timeout: ConfigDuration::secs(30),
        }
    }
}

impl Default for AdminConfig {
    fn default() -> Self {
        Self { address: SocketAddr::from(([127, 0, 0, 1], 9902)) }
    }
}

fn ingest_address() -> SocketAddr {
    SocketAddr::from(([0, 0, 0, 0], 7443))
}

fn batch_bytes_max() -> ByteSize {
    ByteSize::mib(2)
}

fn batch_raw_bytes_max() -> ByteSize {
    ByteSize::mib(6)
}

fn batch_rows_max() -> usize {
    65_536
}

fn connections_max() -> usize {
    1024
}

fn posts_max() -> u32 {
    32
}

fn inflight_bytes_max() -> ByteSize {
    ByteSize::mib(32)
}

fn decoders_max() -> usize {
    std::thread::available_parallelism().map_or(2, usize::from)
}

fn handshake_timeout() -> ConfigDuration {
    ConfigDuration::secs(10)
}

fn body_timeout() -> ConfigDuration {
    ConfigDuration::secs(30)
}

fn idle_timeout() -> ConfigDuration {
    ConfigDuration::mins(5)
}

fn connection_age_max() -> ConfigDuration {
    ConfigDuration::hours(1)
}

fn retry_after() -> ConfigDuration {
    ConfigDuration::secs(1)
}

fn drain_timeout() -> ConfigDuration {
    ConfigDuration::secs(10)
}

fn segment_bytes() -> ByteSize {
    ByteSize::mib(64)
}

fn bytes_max() -> ByteSize {
    ByteSize::gib(10)
}

fn high_water_bytes() -> ByteSize {
    ByteSize::gib(9)
}

fn disk_free_min_bytes() -> ByteSize {
    ByteSize::mib(256)
}

fn queue_frames_max() -> usize {
    1024
}

fn remember_batches() -> ConfigDuration {
    ConfigDuration::hours(7 * 24)
}

impl IngestConfig {
    /// The defaults, with these certificates.
    pub fn new(address: SocketAddr, tls: IngestTls) -> Self {
        Self {
            address,
            tls,
            batch_bytes_max: batch_bytes_max(),
            batch_raw_bytes_max: batch_raw_bytes_max(),
            batch_rows_max: batch_rows_max(),
            connections_max: connections_max(),
            posts_max: posts_max(),
            inflight_bytes_max: inflight_bytes_max(),
            decoders_max: decoders_max(),
            handshake_timeout: handshake_timeout(),
            body_timeout: body_timeout(),
            idle_timeout: idle_timeout(),
            connection_age_max: connection_age_max(),
            retry_after: retry_after(),
            drain_timeout: drain_timeout(),
        }
    }
}

impl JournalConfig {
    /// The defaults, in this folder.
    pub fn new(dir: ConfigPath) -> Self {
        Self {
            dir,
            segment_bytes: segment_bytes(),
            bytes_max: bytes_max(),
            high_water_bytes: high_water_bytes(),
            disk_free_min_bytes: disk_free_min_bytes(),
            queue_frames_max: queue_frames_max(),
            accept_missing: false,
            remember_batches: remember_batches(),
        }
    }
}

impl CollectorConfig {
    /// The defaults, with these certificates and this folder.
    pub fn new(ingest: IngestConfig, journal: JournalConfig) -> Self {
        Self { ingest, journal, delivery: DeliveryConfig::default(), admin: AdminConfig::default() }
    }

    /// Everything that the types do not rule out. Empty if the configuration can be used.
    pub fn validate(&self) -> Vec<Diagnostic> {
        let mut problems = Vec::new();
        let mut check = |holds: bool, key: &'static str, problem: String| {
            if !holds {
                problems.push(Diagnostic::of_key(key, problem));
            }
        };
        let (ingest, journal, delivery) = (&self.ingest, &self.journal, &self.delivery);
        let at_least_one = || "must be at least 1".to_owned();
        check(ingest.batch_rows_max > 0, "ingest.batch_rows_max", at_least_one());
        check(ingest.connections_max > 0, "ingest.connections_max", at_least_one());
        check(ingest.posts_max > 0, "ingest.posts_max", at_least_one());
        check(ingest.decoders_max > 0, "ingest.decoders_max", at_least_one());
        check(journal.queue_frames_max > 0, "journal.queue_frames_max", at_least_one());
        check(delivery.frames_max > 0, "delivery.frames_max", at_least_one());
        check(delivery.rows_max > 0, "delivery.rows_max", at_least_one());
        check(
            ingest.batch_rows_max <= ROWS_MAX,
            "ingest.batch_rows_max",
            format!("must be at most {ROWS_MAX}: more could not be read back"),
        );
        check(
            ingest.batch_raw_bytes_max.bytes() <= RAW_BYTES_MAX as u64,
            "ingest.batch_raw_bytes_max",
            format!("must be at most {RAW_BYTES_MAX} bytes: more could not be read back"),
        );
        let batch = ingest.batch_bytes_max.bytes();
        check(batch > 0, "ingest.batch_bytes_max", "must be more than 0".to_owned());
        check(
            ingest.inflight_bytes_max.bytes() / CONNECTION_SHARE
                >= batch.saturating_add(ingest.batch_raw_bytes_max.bytes()),
            "ingest.inflight_bytes_max",
            format!(
                "must be at least {} times ingest.batch_bytes_max ({}) and ingest.batch_raw_bytes_max ({}) together",
                CONNECTION_SHARE, ingest.batch_bytes_max, ingest.batch_raw_bytes_max
            ),
        );
        let segment = journal.segment_bytes.bytes();
        let (smallest, largest) = (tollgate_journal::SEGMENT_BYTES_MIN, tollgate_journal::SEGMENT_BYTES_MAX);
        check(
            (smallest..=largest).contains(&segment),
            "journal.segment_bytes",
            format!("must be between {smallest} and {largest} bytes"),
        );
        check(
            segment >= batch + FRAME_OVERHEAD_BYTES,
            "journal.segment_bytes",
            format!(
                "must be larger than ingest.batch_bytes_max ({}) by at least {FRAME_OVERHEAD_BYTES} bytes",
                ingest.batch_bytes_max
            ),
        );
        check(
            journal.high_water_bytes.bytes() >= segment,
            "journal.high_water_bytes",
            format!("must be at least journal.segment_bytes ({})", journal.segment_bytes),
        );
        check(
            journal.bytes_max.bytes() >= journal.high_water_bytes.bytes().saturating_add(segment),
            "journal.bytes_max",
            format!(
                "must leave room for journal.high_water_bytes ({}) and one segment ({})",
                journal.high_water_bytes, journal.segment_bytes
            ),
        );
        check(
            delivery.retry_min.duration() <= delivery.retry_max.duration() && !delivery.retry_min.duration().is_zero(),
            "delivery.retry_min",
            format!("must be more than 0 and at most delivery.retry_max ({})", delivery.retry_max),
        );
        check(!delivery.trim_interval.duration().is_zero(), "delivery.trim_interval", "must be more than 0".to_owned());
        problems
    }
}

/// What a frame and its segment add to a batch, at most.
pub(crate) const FRAME_OVERHEAD_BYTES: u64 = 512;
