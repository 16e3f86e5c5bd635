//! Straight into a collector's ingest, as proxies do it: batches over HTTP/2 and mutual TLS, several posts in flight.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls_pki_types::ServerName;
use tokio::sync::{Mutex, mpsc};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tollgate_proxy_ship::{Collector, Link, LinkOptions, PostOutcome};
use tollgate_retry::Backoff;
use tollgate_tls::{Identity, Rotating, TlsError};

use crate::producer::{GeneratedBatch, Producers};
use crate::report::{Counters, Report};

/// Batches made before they are sent: 4,096 records of about 95 bytes each.
const READY_BATCHES_MAX: usize = 32;
/// Waits between two attempts to post a batch.
const BACKOFF: [Duration; 2] = [Duration::from_millis(50), Duration::from_secs(2)];
/// How long a collector may take to answer a batch.
const POST_TIMEOUT: Duration = Duration::from_secs(30);
/// Age at which a connection is replaced.
const CONNECTION_AGE_MAX: Duration = Duration::from_secs(600);

/// Where a collector is, and as whom it is spoken to.
#[derive(Debug, Clone)]
pub struct Destination {
    /// `host:port` of the ingest.
    pub authority: String,
    /// The authority of the collector's certificate, PEM.
    pub ca: PathBuf,
    /// The client certificate, PEM, which names the nodes.
    pub certificate: PathBuf,
    /// Its key, PEM.
    pub key: PathBuf,
}

impl Destination {
    /// Reads the certificates; connects only with the first post.
    ///
    /// # Errors
    /// A file cannot be used, or the authority has no name.
    pub fn link(&self) -> Result<Link, DestinationError> {
        let host = self.authority.rsplit_once(':').map_or(self.authority.as_str(), |(host, _)| host);
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let server_name =
            ServerName::try_from(host).map_err(|_| DestinationError::Authority(self.authority.clone()))?;
        let files = vec![self.ca.clone(), self.certificate.clone(), self.key.clone()];
        let [ca, certificate, key] = [self.ca.clone(), self.certificate.clone(), self.key.clone()];
        let build = move || tollgate_tls::client(Some(&ca), Some(Identity::load(&certificate, &key)?), &["h2"]);
        Ok(Link::new(LinkOptions {
            collectors: vec![Collector { authority: self.authority.clone(), server_name }],
            tls: Arc::new(Rotating::new(files, build)?),
            post_timeout: POST_TIMEOUT,
            failback_after: Duration::from_secs(1),
            connection_age_max: CONNECTION_AGE_MAX,
        }))
    }
}

/// Why a collector cannot be spoken to.
#[derive(Debug, thiserror::Error)]
pub enum DestinationError {
    /// The address has no name to verify.
    #[error("{0:?} is no `host:port` of a collector")]
    Authority(String),
    /// A file cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

/// A load on a collector.
pub struct CollectorLoad {
    /// To where.
    pub link: Link,
    /// Posts in flight at one time.
    pub in_flight: usize,
    /// When the first record is due; `None` sends as fast as batches are acknowledged.
    pub paced_from_us: Option<i64>,
    /// How long a batch is sent again before it is given up.
    pub patience: Duration,
    /// Counts that others may watch.
    pub counters: Arc<Counters>,
}

impl CollectorLoad {
    /// Sends everything, or until `stop`; answers what became of it.
    pub async fn run(self, producers: Producers, stop: CancellationToken) -> Report {
        let load = Arc::new(self);
        let (ready, batches) = mpsc::channel(READY_BATCHES_MAX);
        let batches = Arc::new(Mutex::new(batches));
        let making = tokio::task::spawn_blocking({
            let (stop, counters) = (stop.clone(), Arc::clone(&load.counters));
            move || make(producers, &ready, &stop, &counters)
        });
        let started = Instant::now();
        let mut posters = JoinSet::new();
        for _ in 0..load.in_flight.max(1) {
            posters.spawn(Arc::clone(&load).post_all(Arc::clone(&batches), started, stop.clone()));
        }
        while posters.join_next().await.is_some() {}
        // The maker waits for room in a channel that nobody empties any more.
        batches.lock().await.close();
        if making.await.is_err() {
            load.counters.refused("making batches panicked", 0);
        }
        load.counters.report()
    }

    async fn post_all(
        self: Arc<Self>,
        batches: Arc<Mutex<mpsc::Receiver<GeneratedBatch>>>,
        started: Instant,
        stop: CancellationToken,
    ) {
        loop {
            let next = tokio::select! {
                next = async { batches.lock().await.recv().await } => next,
                () = stop.cancelled() => return,
            };
            let Some(batch) = next else { return };
            if let Some(from_us) = self.paced_from_us {
                let due = started + Duration::from_micros((batch.last_us - from_us).max(0) as u64);
                tokio::select! {
                    () = tokio::time::sleep_until(due.into()) => {}
                    () = stop.cancelled() => return,
                }
            }
            self.counters.made(batch.sealed.rows as u64);
            self.post(&batch, &stop).await;
        }
    }

    /// Posts a batch until it is acknowledged, refused for good, or given up.
    async fn post(&self, batch: &GeneratedBatch, stop: &CancellationToken) {
        let records = batch.sealed.rows as u64;
        let [shortest, longest] = BACKOFF;
        let (began, mut backoff) = (Instant::now(), Backoff::new(shortest, longest));
        loop {
            match self.link.post(batch.sealed.bytes.clone()).await {
                PostOutcome::Acknowledged => return self.counters.taken(records, began.elapsed()),
                PostOutcome::Refused { status, reason } => {
                    return self.counters.refused(&format!("{status}: {reason}"), records);
                }
                PostOutcome::Forbidden { reason } => return self.counters.refused(&format!("403: {reason}"), records),
                PostOutcome::Again { cause, after } => {
                    self.counters.again();
                    if stop.is_cancelled() || began.elapsed() >= self.patience {
                        return self.counters.refused(&format!("given up: {cause}"), records);
                    }
                    tokio::select! {
                        () = tokio::time::sleep(backoff.next_wait_asked(after)) => {}
                        () = stop.cancelled() => {}
                    }
                }
            }
        }
    }
}

/// Makes batches until there are none, nobody takes them, or `stop`.
fn make(mut producers: Producers, ready: &mpsc::Sender<GeneratedBatch>, stop: &CancellationToken, counters: &Counters) {
    while !stop.is_cancelled() {
        match producers.next_batch() {
            Ok(Some(batch)) => {
                if ready.blocking_send(batch).is_err() {
                    return;
                }
            }
            Ok(None) => return,
            Err(error) => return counters.refused(&error.to_string(), 0),
        }
    }
}
