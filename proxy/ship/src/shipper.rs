//! The shipper: a thread with its own runtime that empties the ring into the collector or the spool.
//!
//! ```text
//! ring, spool ─▶ post_all × posts_in_flight_max ─▶ delivery: post, then acknowledged, refused, forbidden or again
//! ring ────────▶ spill_all ─▶ spill: to the spool, while the ring is past half full
//! ```
//! At the end of the process the posters have until the deadline. Then the rest of the ring goes to the spool, and what
//! the spool has no room for is shed. The gaps are reported last, because shedding makes more of them.

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tollgate_record::vocabulary::GapReason;
use tollgate_storage::Storage;

use crate::forbidden::Forbidden;
use crate::link::Link;
use crate::quarantine::Quarantine;
use crate::ring::{Ring, SpoolState};
use crate::spool::{self, Spool};
use crate::{ShipMetrics, ShipOptions};

/// Longest wait until an ending process looks at the ring again.
const DRAIN_POLL: Duration = Duration::from_millis(50);

/// Why the shipper cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The spool folder cannot be used.
    #[error("the spool folder {}: {error}; choose another, or make it writable for this user", path.display())]
    Spool {
        /// The folder.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// The quarantine folder cannot be created.
    #[error("the quarantine folder {}: {error}; choose another, or make it writable for this user", path.display())]
    Quarantine {
        /// The folder.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// The runtime cannot be started.
    #[error("the shipper's runtime cannot start: {0}")]
    Runtime(io::Error),
}

pub(crate) struct Shared {
    pub(crate) ring: Arc<Ring>,
    pub(crate) spool: Option<Mutex<Spool>>,
    pub(crate) link: Option<Link>,
    pub(crate) quarantine: Option<Arc<Quarantine>>,
    pub(crate) forbidden: Forbidden,
    pub(crate) metrics: Arc<ShipMetrics>,
    pub(crate) backoff: (Duration, Duration),
    /// The process ends: a batch that waits for its next try is tried now, and from then on waits `backoff.0` at most.
    pub(crate) finish: CancellationToken,
    /// The posters hand back what they hold, and end.
    pub(crate) stop: CancellationToken,
}

/// The running shipper.
pub struct Shipper {
    shared: Arc<Shared>,
    thread: std::thread::JoinHandle<()>,
    deadline: Arc<Mutex<Option<Instant>>>,
}

impl std::fmt::Debug for Shipper {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shipper").finish_non_exhaustive()
    }
}

impl Shipper {
    /// Opens the folders and starts the thread.
    ///
    /// # Errors
    /// A folder cannot be used, or no runtime started.
    pub fn start(options: &ShipOptions, ring: Arc<Ring>, metrics: Arc<ShipMetrics>) -> Result<Self, StartError> {
        let spool = match &options.spool {
            Some((path, limits)) => {
                let spool = Spool::open(path, *limits);
                Some(spool.map_err(|error| StartError::Spool { path: path.clone(), error })?)
            }
            None => None,
        };
        let quarantine = match &options.quarantine {
            Some((path, limits)) => {
                let quarantine = Quarantine::open(path, *limits);
                Some(Arc::new(quarantine.map_err(|error| StartError::Quarantine { path: path.clone(), error })?))
            }
            None => None,
        };
        if let Some(spool) = &spool {
            keep_reserves(&*spool.storage(), options.workers);
        }
        metrics.spool_bytes.set(spool.as_ref().map_or(0, |spool| spool.bytes() as i64));
        let shared = Arc::new(Shared {
            ring,
            spool: spool.map(Mutex::new),
            link: options.link.clone().map(Link::new),
            quarantine,
            forbidden: Forbidden::new(&options.node_id, options.backoff_max),
            metrics,
            backoff: (options.backoff_min, options.backoff_max),
            finish: CancellationToken::new(),
            stop: CancellationToken::new(),
        });
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(StartError::Runtime)?;
        let deadline = Arc::new(Mutex::new(None));
        let task = run(shared.clone(), options.posts_in_flight_max, deadline.clone());
        let thread = std::thread::Builder::new().name("shipper".into()).spawn(move || runtime.block_on(task));
        Ok(Self { shared, thread: thread.map_err(StartError::Runtime)?, deadline })
    }

    /// Ships until `deadline`; the rest goes to the spool, or is shed. Blocks.
    pub fn stop(self, deadline: Instant) {
        *self.deadline.lock().unwrap_or_else(PoisonError::into_inner) = Some(deadline);
        self.shared.finish.cancel();
        if self.thread.join().is_err() {
            tracing::error!("the shipper panicked; records in memory are lost");
        }
        let left = std::iter::from_fn(|| self.shared.ring.take()).map(|held| held.batch.rows).sum::<usize>();
        if left > 0 {
            tracing::error!(records = left, "records could be neither shipped nor spooled before the end");
        }
    }
}

async fn run(shared: Arc<Shared>, posters: usize, deadline: Arc<Mutex<Option<Instant>>>) {
    let mut tasks = JoinSet::new();
    if shared.link.is_some() {
        for _ in 0..posters {
            tasks.spawn(post_all(shared.clone()));
        }
    }
    if shared.spool.is_some() {
        tasks.spawn(spill_all(shared.clone()));
    }
    shared.finish.cancelled().await;
    let until = deadline.lock().unwrap_or_else(PoisonError::into_inner).unwrap_or_else(Instant::now);
    while shared.link.is_some() && !shared.ring.is_empty() && Instant::now() < until {
        let left = shared.ring.left.notified();
        let patience = until.saturating_duration_since(Instant::now()).min(DRAIN_POLL);
        let _either = tokio::time::timeout(patience, left).await;
    }
    shared.stop.cancel();
    while tasks.join_next().await.is_some() {}
    shared.spill(true).await;
    let reason = match shared.ring.set_spool(SpoolState::Roomy) {
        SpoolState::Failing => GapReason::SpoolFailed,
        SpoolState::Full => GapReason::SpoolFull,
        SpoolState::Roomy => GapReason::BufferFull,
    };
    while let Some(held) = shared.ring.take() {
        tracing::warn!(records = held.batch.rows, "records were neither shipped nor spooled before the end");
        shared.ring.give_up(&held, reason);
    }
    shared.report_final_gaps().await;
}

/// Reserves room for the last gap batches at the start: at the end, when they are needed, the disk may be full.
fn keep_reserves(storage: &dyn Storage, workers: usize) {
    for worker in 0..workers {
        if let Err(error) = spool::keep_reserve(storage, worker) {
            tracing::warn!(%error, worker, "no room can be kept in the spool for a last report of shed records");
        }
    }
}

/// Takes one batch after the other and delivers it.
async fn post_all(shared: Arc<Shared>) {
    loop {
        let work = shared.ring.work.notified();
        match shared.next() {
            Some(batch) => shared.ship(batch).await,
            None => tokio::select! {
                () = work => {}
                () = shared.forbidden.next_try() => {}
                () = shared.stop.cancelled() => return,
            },
        }
        if shared.stop.is_cancelled() {
            return;
        }
    }
}

/// Moves batches to the spool whenever the ring is past its mark.
async fn spill_all(shared: Arc<Shared>) {
    loop {
        tokio::select! {
            () = shared.ring.spill.notified() => {}
            () = shared.stop.cancelled() => return,
        }
        shared.spill(false).await;
    }
}

impl Shared {
    pub(crate) fn lock_spool(&self) -> Option<MutexGuard<'_, Spool>> {
        self.spool.as_ref().map(|spool| spool.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn storage(&self) -> Option<Arc<dyn Storage>> {
        self.lock_spool().map(|spool| spool.storage())
    }
}

/// Runs work that blocks, away from the shipper's thread.
pub(crate) async fn blocking(work: impl FnOnce() -> io::Result<()> + Send + 'static) -> io::Result<()> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|panicked| Err(io::Error::other(panicked)))
}
