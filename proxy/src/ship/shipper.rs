//! The shipper: a thread with its own runtime that empties the ring into the collector or the spool.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use rand::Rng;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tollgate_record::vocabulary::GapReason;

use super::link::{Answer, Link};
use super::outbox::{Held, Outbox};
use super::spool::{self, ReadError, Spool, SpoolFile};
use crate::config::Plan;
use crate::metrics::Metrics;

/// Wait before the spool is tried again after the disk failed.
const SPOOL_RETRY: Duration = Duration::from_secs(1);

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

/// A batch in a poster's hands.
enum Load {
    Memory(Held),
    Disk(SpoolFile),
}

struct Shared {
    outbox: Arc<Outbox>,
    spool: Option<Mutex<Spool>>,
    link: Option<Link>,
    quarantine: Option<PathBuf>,
    metrics: Arc<Metrics>,
    backoff: (Duration, Duration),
    /// Posters hand back what they hold.
    stop: CancellationToken,
}

/// The running shipper.
pub struct Shipper {
    shared: Arc<Shared>,
    thread: std::thread::JoinHandle<()>,
    finish: CancellationToken,
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
    pub fn start(plan: &Plan, outbox: Arc<Outbox>, metrics: Arc<Metrics>) -> Result<Self, StartError> {
        let records = &plan.config.records;
        let spool = match &plan.records.spool {
            Some((path, bytes_max)) => {
                let spool = Spool::open(path, *bytes_max);
                Some(spool.map_err(|error| StartError::Spool { path: path.clone(), error })?)
            }
            None => None,
        };
        if let Some(path) = &plan.records.quarantine {
            std::fs::create_dir_all(path).map_err(|error| StartError::Quarantine { path: path.clone(), error })?;
        }
        metrics.spool_bytes.set(spool.as_ref().map_or(0, |spool| spool.bytes() as i64));
        let collectors = plan.records.collectors.clone();
        let tls = plan.records.tls.clone().filter(|_| !collectors.is_empty());
        let shared = Arc::new(Shared {
            outbox,
            spool: spool.map(Mutex::new),
            link: tls.map(|tls| Link::new(collectors, tls, records.post_timeout.0)),
            quarantine: plan.records.quarantine.clone(),
            metrics,
            backoff: (records.backoff_min.0, records.backoff_max.0),
            stop: CancellationToken::new(),
        });
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(StartError::Runtime)?;
        let (finish, deadline) = (CancellationToken::new(), Arc::new(Mutex::new(None)));
        let task = run(shared.clone(), records.posts_in_flight_max.value, finish.clone(), deadline.clone());
        let thread = std::thread::Builder::new().name("shipper".into()).spawn(move || runtime.block_on(task));
        Ok(Self { shared, thread: thread.map_err(StartError::Runtime)?, finish, deadline })
    }

    /// Ships what is left until `deadline`; the rest goes to the spool, or is counted as shed. Blocks.
    pub fn stop(self, deadline: Instant) {
        *self.deadline.lock().unwrap_or_else(PoisonError::into_inner) = Some(deadline);
        self.finish.cancel();
        if self.thread.join().is_err() {
            tracing::error!("the shipper panicked; records in memory are lost");
        }
        let left = std::iter::from_fn(|| self.shared.outbox.take()).map(|held| held.batch.rows).sum::<usize>();
        if left > 0 {
            tracing::error!(records = left, "records could be neither shipped nor spooled before the end");
        }
    }
}

async fn run(shared: Arc<Shared>, posters: usize, finish: CancellationToken, deadline: Arc<Mutex<Option<Instant>>>) {
    let mut tasks = JoinSet::new();
    if shared.link.is_some() {
        for _ in 0..posters {
            tasks.spawn(post_all(shared.clone()));
        }
    }
    if shared.spool.is_some() {
        tasks.spawn(spill_all(shared.clone()));
    }
    finish.cancelled().await;
    let until = deadline.lock().unwrap_or_else(PoisonError::into_inner).unwrap_or_else(Instant::now);
    while shared.link.is_some() && !shared.outbox.is_empty() && Instant::now() < until {
        let left = shared.outbox.left.notified();
        let patience = until.saturating_duration_since(Instant::now()).min(Duration::from_millis(50));
        let _either = tokio::time::timeout(patience, left).await;
    }
    shared.stop.cancel();
    while tasks.join_next().await.is_some() {}
    shared.spill(true).await;
    while let Some(held) = shared.outbox.take() {
        let reason = if shared.spool.is_some() { GapReason::SpoolFull } else { GapReason::BufferFull };
        tracing::warn!(records = held.batch.rows, "records were neither shipped nor spooled before the end");
        shared.outbox.give_up(&held, reason);
    }
}

/// Takes batches one after the other and sees each of them through.
async fn post_all(shared: Arc<Shared>) {
    loop {
        let work = shared.outbox.work.notified();
        match shared.next() {
            Some(load) => shared.ship(load).await,
            None => tokio::select! {
                () = work => {}
                () = shared.stop.cancelled() => return,
            },
        }
        if shared.stop.is_cancelled() {
            return;
        }
    }
}

/// Moves batches to disk whenever the ring is past its mark.
async fn spill_all(shared: Arc<Shared>) {
    loop {
        tokio::select! {
            () = shared.outbox.spill.notified() => {}
            () = shared.stop.cancelled() => return,
        }
        shared.spill(false).await;
    }
}

impl Shared {
    /// The spool's oldest batch, else the ring's: the spool's are older.
    fn next(&self) -> Option<Load> {
        let spooled = self.lock_spool().and_then(|mut spool| spool.take());
        spooled.map(Load::Disk).or_else(|| self.outbox.take().map(Load::Memory))
    }

    fn lock_spool(&self) -> Option<MutexGuard<'_, Spool>> {
        self.spool.as_ref().map(|spool| spool.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Sends a batch until it is acknowledged or refused, or the shipper stops.
    async fn ship(&self, load: Load) {
        let Some(link) = &self.link else { return self.hand_back(load) };
        let bytes = match &load {
            Load::Memory(held) => held.batch.bytes.clone(),
            Load::Disk(file) => match self.read(file).await {
                Some(bytes) => bytes,
                None => return,
            },
        };
        let mut wait = self.backoff.0;
        loop {
            let began = Instant::now();
            let answer = tokio::select! {
                answer = link.post(bytes.clone()) => answer,
                () = self.stop.cancelled() => return self.hand_back(load),
            };
            self.metrics.ship_duration.observe(began.elapsed().as_secs_f64());
            match answer {
                Answer::Acknowledged => return self.acknowledged(&load).await,
                Answer::Refused(status) => return self.refused(&load, &bytes, status.as_u16()).await,
                Answer::Again { cause, after } => {
                    self.metrics.ship_errors.with_label_values(&[cause]).inc();
                    let jittered = wait.mul_f64(rand::rng().random_range(0.5..1.0));
                    wait = (wait * 2).min(self.backoff.1);
                    tokio::select! {
                        () = tokio::time::sleep(after.unwrap_or(jittered)) => {}
                        () = self.stop.cancelled() => return self.hand_back(load),
                    }
                }
            }
        }
    }

    fn hand_back(&self, load: Load) {
        match load {
            Load::Memory(held) => self.outbox.put_back(held),
            Load::Disk(file) => {
                if let Some(mut spool) = self.lock_spool() {
                    spool.put_back(file);
                }
            }
        }
    }

    async fn acknowledged(&self, load: &Load) {
        self.metrics.batches_acked.inc();
        match load {
            Load::Memory(held) => {
                self.metrics.records_acked.inc_by(held.records());
                self.outbox.leave(held);
            }
            Load::Disk(file) => {
                self.metrics.records_acked.inc_by(file.rows);
                self.delete(file).await;
            }
        }
    }

    /// Sets a batch aside that the collector will never take.
    async fn refused(&self, load: &Load, bytes: &Bytes, status: u16) {
        self.metrics.batches_refused.with_label_values(&[&status.to_string()]).inc();
        let kept = match (&self.quarantine, load) {
            (Some(folder), Load::Memory(held)) => {
                let (folder, batch, records) = (folder.clone(), held.batch.clone(), held.records());
                blocking(move || spool::write(&folder, &batch, records).map(drop)).await
            }
            (Some(folder), Load::Disk(file)) => {
                let (folder, file, bytes) = (folder.clone(), file.clone(), bytes.clone());
                blocking(move || spool::move_to(&folder, &file, &bytes)).await
            }
            (None, _) => Ok(()),
        };
        if let Err(error) = kept {
            tracing::warn!(%error, status, "a refused batch could not be kept in the quarantine folder");
        }
        match load {
            Load::Memory(held) => self.outbox.give_up(held, GapReason::Quarantined),
            Load::Disk(file) => {
                let reason = GapReason::Quarantined.as_str();
                self.metrics.records_shed.with_label_values(&[reason]).inc_by(file.rows);
                self.delete(file).await;
            }
        }
    }

    async fn delete(&self, file: &SpoolFile) {
        let path = file.path.clone();
        if let Err(error) = blocking(move || std::fs::remove_file(path)).await {
            // It will be sent again after a restart, and the collector will know it.
            tracing::warn!(%error, path = %file.path.display(), "a delivered batch could not be removed from the spool");
        }
        self.forget(file);
    }

    fn forget(&self, file: &SpoolFile) {
        if let Some(mut spool) = self.lock_spool() {
            spool.forget(file);
            self.metrics.spool_bytes.set(spool.bytes() as i64);
        }
        self.outbox.set_spool_full(false);
        self.outbox.spill.notify_one();
    }

    /// A spooled batch, unless it is damaged: then it is set aside and counted. While the disk fails it stays, for later.
    async fn read(&self, file: &SpoolFile) -> Option<Bytes> {
        let wanted = file.clone();
        let read = tokio::task::spawn_blocking(move || spool::read(&wanted)).await;
        let error = match read.unwrap_or_else(|panicked| Err(io::Error::other(panicked).into())) {
            Ok(bytes) => return Some(bytes),
            Err(error) => error,
        };
        if matches!(&error, ReadError::Io(io) if io.kind() != io::ErrorKind::NotFound) {
            tracing::warn!(%error, path = %file.path.display(), "a spooled batch cannot be read for now");
            self.metrics.ship_errors.with_label_values(&["spool"]).inc();
            tokio::select! {
                () = tokio::time::sleep(SPOOL_RETRY) => {}
                () = self.stop.cancelled() => {}
            }
            self.hand_back(Load::Disk(file.clone()));
            return None;
        }
        tracing::warn!(%error, path = %file.path.display(), "a spooled batch cannot be read back and is set aside");
        let damaged = file.clone();
        if let Err(error) = blocking(move || spool::set_aside(&damaged)).await {
            tracing::warn!(%error, path = %file.path.display(), "a damaged batch could not be moved out of the spool");
        }
        self.metrics.records_shed.with_label_values(&[GapReason::Unreadable.as_str()]).inc_by(file.rows);
        self.forget(file);
        None
    }

    /// Writes the ring's oldest batches to disk, while it is past its mark (or `all` of them) and the spool has room.
    async fn spill(&self, all: bool) {
        let Some(dir) = self.lock_spool().map(|spool| spool.dir().to_owned()) else { return };
        while let Some(held) = self.outbox.take_to_spill(all) {
            let size = held.batch.bytes.len() as u64;
            if !self.lock_spool().is_some_and(|spool| spool.fits(size)) {
                self.outbox.set_spool_full(true);
                self.outbox.put_back(held);
                return;
            }
            match self.write(&dir, &held).await {
                Ok(file) => {
                    if let Some(mut spool) = self.lock_spool() {
                        spool.add(file);
                        self.metrics.spool_bytes.set(spool.bytes() as i64);
                    }
                    self.outbox.leave(&held);
                    self.outbox.work.notify_one();
                }
                Err(error) => {
                    tracing::warn!(%error, dir = %dir.display(), "the spool cannot be written");
                    self.metrics.ship_errors.with_label_values(&["spool"]).inc();
                    self.outbox.put_back(held);
                    if all {
                        return;
                    }
                    tokio::time::sleep(SPOOL_RETRY).await;
                }
            }
            if !all && self.stop.is_cancelled() {
                return;
            }
        }
    }

    async fn write(&self, dir: &Path, held: &Held) -> io::Result<SpoolFile> {
        let (dir, batch, records) = (dir.to_owned(), held.batch.clone(), held.records());
        match tokio::task::spawn_blocking(move || spool::write(&dir, &batch, records)).await {
            Ok(written) => written,
            Err(panicked) => Err(io::Error::other(panicked)),
        }
    }
}

async fn blocking(work: impl FnOnce() -> io::Result<()> + Send + 'static) -> io::Result<()> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|panicked| Err(io::Error::other(panicked)))
}
