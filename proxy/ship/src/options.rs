//! Options of the way of records. The proxy compiles them from its configuration; they do not change while it runs.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use tollgate_tls::Rotating;

use crate::{QuarantineLimits, SpoolLimits};

/// Bounds, waits and places of everything between a sealed batch and its acknowledgement.
#[derive(Debug, Clone)]
pub struct ShipOptions {
    /// The node whose batches the ring holds.
    pub node_id: String,
    /// Worker threads, each of which seals batches.
    pub workers: usize,
    /// Bytes of batches in memory.
    pub ring_bytes_max: u64,
    /// Whether requests wait for room in the ring; else the newest batch is shed.
    pub block_when_full: bool,
    /// Batches in flight to the collector at one time.
    pub posts_in_flight_max: usize,
    /// First wait before a batch is sent again; it doubles, with jitter.
    pub backoff_min: Duration,
    /// Longest wait before a batch is sent again.
    pub backoff_max: Duration,
    /// The collectors; without them everything goes to the spool.
    pub link: Option<LinkOptions>,
    /// Folder for what the ring does not hold.
    pub spool: Option<(PathBuf, SpoolLimits)>,
    /// Folder for batches that a collector refused for good.
    pub quarantine: Option<(PathBuf, QuarantineLimits)>,
}

/// Options of the link to the collectors.
#[derive(Debug, Clone)]
pub struct LinkOptions {
    /// In order of preference; at least one.
    pub collectors: Vec<Collector>,
    /// TLS towards them, which follows its files.
    pub tls: Arc<Rotating<ClientConfig>>,
    /// Time within which a collector must answer a batch.
    pub post_timeout: Duration,
    /// Time before a collector that failed is tried again while another works.
    pub failback_after: Duration,
    /// Age at which a connection is replaced.
    pub connection_age_max: Duration,
}

/// One collector.
#[derive(Debug, Clone)]
pub struct Collector {
    /// `host:port`.
    pub authority: String,
    /// Name to verify.
    pub server_name: ServerName<'static>,
}
