//! Where and how batches are received: the section `ingest`.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};
use tollgate_config::{ByteSize, ConfigDuration, ConfigPath, Diagnostic};

use super::{at_least_one, defaults};

/// Ceiling of `ingest.batch_raw_bytes_max`.
pub(crate) const RAW_BYTES_MAX: usize = 1 << 30;
/// Ceiling of `ingest.batch_rows_max`.
pub(crate) const ROWS_MAX: usize = 1 << 24;
/// One connection may hold this part of the bytes in flight: one in so many.
pub(crate) const CONNECTION_SHARE: u64 = 4;

/// Where and how batches are received.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IngestConfig {
    /// Address that proxies post to.
    #[serde(default = "IngestConfig::address")]
    pub address: SocketAddr,
    /// Certificates; required.
    pub tls: IngestTls,
    /// Largest body of one post. A larger one is answered 413 as soon as its size is known.
    #[serde(default = "IngestConfig::batch_bytes_max")]
    pub batch_bytes_max: ByteSize,
    /// Largest batch after decompression.
    #[serde(default = "IngestConfig::batch_raw_bytes_max")]
    pub batch_raw_bytes_max: ByteSize,
    /// Most records in one batch.
    #[serde(default = "IngestConfig::batch_rows_max")]
    pub batch_rows_max: usize,
    /// Connections held at once; further ones wait in the kernel's queue.
    #[serde(default = "IngestConfig::connections_max")]
    pub connections_max: usize,
    /// Posts under way on one connection.
    #[serde(default = "IngestConfig::posts_max")]
    pub posts_max: u32,
    /// Bytes of bodies and decoded batches that all connections together hold until they are stored. Past it posts are
    /// answered 503. One connection may hold a quarter of it.
    #[serde(default = "IngestConfig::inflight_bytes_max")]
    pub inflight_bytes_max: ByteSize,
    /// Batches decoded at once, each on a thread of its own.
    #[serde(default = "IngestConfig::decoders_max")]
    pub decoders_max: usize,
    /// How long a TLS handshake may take.
    #[serde(default = "IngestConfig::handshake_timeout")]
    pub handshake_timeout: ConfigDuration,
    /// How long the body of one post may take to arrive.
    #[serde(default = "IngestConfig::body_timeout")]
    pub body_timeout: ConfigDuration,
    /// A connection without a post for this long is closed.
    #[serde(default = "IngestConfig::idle_timeout")]
    pub idle_timeout: ConfigDuration,
    /// A connection older than this is closed once its posts are answered. The next one is made with the certificates
    /// of that moment.
    #[serde(default = "IngestConfig::connection_age_max")]
    pub connection_age_max: ConfigDuration,
    /// What 503 says in `Retry-After`, in whole seconds.
    #[serde(default = "IngestConfig::retry_after")]
    pub retry_after: ConfigDuration,
    /// How long posts may take to finish when the collector stops.
    #[serde(default = "IngestConfig::drain_timeout")]
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

defaults! {
    IngestConfig { tls: IngestTls }
    address: SocketAddr = SocketAddr::from(([0, 0, 0, 0], 7443));
    batch_bytes_max: ByteSize = ByteSize::mib(2);
    batch_raw_bytes_max: ByteSize = ByteSize::mib(6);
    batch_rows_max: usize = 65_536;
    connections_max: usize = 1024;
    posts_max: u32 = 32;
    inflight_bytes_max: ByteSize = ByteSize::mib(32);
    decoders_max: usize = std::thread::available_parallelism().map_or(2, usize::from);
    handshake_timeout: ConfigDuration = ConfigDuration::secs(10);
    body_timeout: ConfigDuration = ConfigDuration::secs(30);
    idle_timeout: ConfigDuration = ConfigDuration::mins(5);
    connection_age_max: ConfigDuration = ConfigDuration::hours(1);
    retry_after: ConfigDuration = ConfigDuration::secs(1);
    drain_timeout: ConfigDuration = ConfigDuration::secs(10);
}

impl IngestConfig {
    /// The defaults, with this address and these certificates.
    pub fn new(address: SocketAddr, tls: IngestTls) -> Self {
        Self { address, ..Self::with_defaults(tls) }
    }

    /// Everything that the types do not rule out, by the key below `ingest`.
    pub fn check(&self) -> Vec<Diagnostic> {
        let mut problems = at_least_one([
            ("batch_rows_max", self.batch_rows_max),
            ("connections_max", self.connections_max),
            ("posts_max", self.posts_max as usize),
            ("decoders_max", self.decoders_max),
        ]);
        let mut check = |holds: bool, key: &str, problem: String| {
            if !holds {
                problems.push(Diagnostic::of_key(key, problem));
            }
        };
        check(
            self.batch_rows_max <= ROWS_MAX,
            "batch_rows_max",
            format!("must be at most {ROWS_MAX}: more could not be read back"),
        );
        check(
            self.batch_raw_bytes_max.bytes() <= RAW_BYTES_MAX as u64,
            "batch_raw_bytes_max",
            format!("must be at most {RAW_BYTES_MAX} bytes: more could not be read back"),
        );
        check(self.batch_bytes_max.bytes() > 0, "batch_bytes_max", "must be more than 0".to_owned());
        let in_memory = self.batch_bytes_max.bytes().saturating_add(self.batch_raw_bytes_max.bytes());
        check(
            self.inflight_bytes_max.bytes() / CONNECTION_SHARE >= in_memory,
            "inflight_bytes_max",
            format!(
                "must be at least {CONNECTION_SHARE} times ingest.batch_bytes_max ({}) and ingest.batch_raw_bytes_max ({}) together",
                self.batch_bytes_max, self.batch_raw_bytes_max
            ),
        );
        problems
    }
}
