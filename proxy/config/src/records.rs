//! The way of the transaction records.

use serde::{Deserialize, Serialize};
use tollgate_config::{ByteSize, ConfigDuration, ConfigPath, Spanned};

/// The way of the transaction records.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Records {
    /// `false` writes no records at all: only for measuring what they cost.
    #[serde(default = "crate::default_true")]
    pub enabled: bool,
    /// `https://host:port` of each collector; the first that works is used.
    #[serde(default)]
    pub collectors: Vec<Spanned<String>>,
    /// TLS towards the collectors.
    #[serde(default)]
    pub tls: Option<CollectorTls>,
    /// Records in a batch.
    #[serde(default = "default_batch_records")]
    pub batch_records_max: Spanned<usize>,
    /// Raw bytes in a batch.
    #[serde(default = "default_batch_bytes")]
    pub batch_bytes_max: ByteSize,
    /// Age at which a batch is sealed.
    #[serde(default = "default_batch_age")]
    pub batch_age_max: ConfigDuration,
    /// zstd level.
    #[serde(default = "default_level")]
    pub compression_level: Spanned<i32>,
    /// Sealed batches kept in memory while the collector is slow or away.
    #[serde(default = "default_ring")]
    pub ring_bytes_max: ByteSize,
    /// Batches in flight to the collector at one time.
    #[serde(default = "default_posts")]
    pub posts_in_flight_max: Spanned<usize>,
    /// Time within which a collector must answer a batch.
    #[serde(default = "default_post_timeout")]
    pub post_timeout: ConfigDuration,
    /// Time after the drain in which the rest is shipped; what is left then goes to the spool.
    #[serde(default = "default_stop_timeout")]
    pub stop_timeout: ConfigDuration,
    /// First wait before a batch is sent again; doubles up to `backoff_max`, with jitter.
    #[serde(default = "default_backoff_min")]
    pub backoff_min: ConfigDuration,
    /// Longest wait before a batch is sent again.
    #[serde(default = "default_backoff_max")]
    pub backoff_max: ConfigDuration,
    /// Batches kept on disk when the ring is full.
    #[serde(default)]
    pub spool: Option<Spool>,
    /// Time that a failed collector is skipped while another one works.
    #[serde(default = "default_failback")]
    pub failback_after: ConfigDuration,
    /// Age at which a connection to a collector is replaced; the new one uses the certificates of that moment.
    #[serde(default = "default_connection_age")]
    pub connection_age_max: ConfigDuration,
    /// Folder for batches that a collector refused for good. Without it they are dropped. They are counted either way.
    #[serde(default)]
    pub quarantine_dir: Option<Spanned<ConfigPath>>,
    /// Bytes of batches in that folder; further ones are dropped.
    #[serde(default = "default_quarantine_bytes")]
    pub quarantine_bytes_max: ByteSize,
    /// Batches in that folder.
    #[serde(default = "default_quarantine_batches")]
    pub quarantine_batches_max: Spanned<usize>,
    /// Behaviour when ring and spool are full.
    #[serde(default)]
    pub overflow: Overflow,
}

/// TLS towards the collectors.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct CollectorTls {
    /// PEM file with the authority of the collector's certificate.
    pub ca: Spanned<ConfigPath>,
    /// PEM file with this proxy's client certificate.
    pub certificate: Spanned<ConfigPath>,
    /// PEM file with its key.
    pub key: Spanned<ConfigPath>,
    /// Name to verify; default: the host of the collector's address.
    #[serde(default)]
    pub server_name: Option<Spanned<String>>,
}

/// Folder for batches that the ring does not hold.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Spool {
    /// Folder; created if it is absent. One process at a time.
    pub dir: Spanned<ConfigPath>,
    /// Bytes of the disk that batches take, in blocks of 4 KiB.
    #[serde(default = "default_spool")]
    pub bytes_max: ByteSize,
    /// Batches that are kept. Each has a file, and takes some 100 bytes of memory.
    #[serde(default = "default_spool_files")]
    pub files_max: Spanned<usize>,
}

/// Behaviour when ring and spool are full.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Overflow {
    /// The newest batch is dropped, counted, and reported by a gap record.
    #[default]
    Shed,
    /// New requests wait until there is room. No record is lost, but an outage of the collector becomes one of the
    /// clients.
    Block,
}

fn default_batch_records() -> Spanned<usize> {
    Spanned::nowhere(4_096)
}
fn default_batch_bytes() -> ByteSize {
    ByteSize::kib(512)
}
fn default_batch_age() -> ConfigDuration {
    ConfigDuration::millis(200)
}
fn default_level() -> Spanned<i32> {
    Spanned::nowhere(1)
}
fn default_ring() -> ByteSize {
    ByteSize::mib(64)
}
fn default_posts() -> Spanned<usize> {
    Spanned::nowhere(4)
}
fn default_stop_timeout() -> ConfigDuration {
    ConfigDuration::secs(5)
}
fn default_post_timeout() -> ConfigDuration {
    ConfigDuration::secs(10)
}
fn default_backoff_min() -> ConfigDuration {
    ConfigDuration::millis(100)
}
fn default_backoff_max() -> ConfigDuration {
    ConfigDuration::secs(10)
}
fn default_failback() -> ConfigDuration {
    ConfigDuration::secs(30)
}
fn default_connection_age() -> ConfigDuration {
    ConfigDuration::secs(600)
}
fn default_quarantine_bytes() -> ByteSize {
    ByteSize::gib(1)
}
fn default_quarantine_batches() -> Spanned<usize> {
    Spanned::nowhere(4_096)
}
fn default_spool_files() -> Spanned<usize> {
    Spanned::nowhere(262_144)
}
fn default_spool() -> ByteSize {
    ByteSize::gib(4)
}
