//! The shipper: a thread with its own runtime that empties the ring into the collector or the spool.

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::StatusCode;
use rand::Rng;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tollgate_record::gap_batch;
use tollgate_record::vocabulary::GapReason;
use tollgate_storage::Storage;

use super::batch_file::{self, BatchName};
use super::forbidden::Forbidden;
use super::link::{Answer, Link, LinkTimes};
use super::outbox::{Held, Outbox, SpoolState};
use super::quarantine::{Quarantine, Refusal};
use super::spool::{self, Spool, SpoolFile};
use crate::config::Plan;
use crate::metrics::Metrics;
use crate::transaction::now_us;

/// Wait before the spool is tried again after the disk failed.
const SPOOL_RETRY: Duration = Duration::from_secs(1);

/// Time for the collector to take the last gap batches where there is no spool to keep them.
const LAST_WORDS: Duration = Duration::from_secs(1);

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
    quarantine: Option<Arc<Quarantine>>,
    forbidden: Forbidden,
    metrics: Arc<Metrics>,
    backoff: (Duration, Duration),
    /// The process ends: what waits for its next try is tried now, and waits no longer than the first wait after that.
    finish: CancellationToken,
    /// Posters hand back what they hold.
    stop: CancellationToken,
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
    pub fn start(plan: &Plan, outbox: Arc<Outbox>, metrics: Arc<Metrics>) -> Result<Self, StartError> {
        let records = &plan.config.records;
        let spool = match &plan.records.spool {
            Some((path, limits)) => {
                let spool = Spool::open(path, *limits);
                Some(spool.map_err(|error| StartError::Spool { path: path.clone(), error })?)
            }
            None => None,
        };
        let quarantine = match &plan.records.quarantine {
            Some((path, limits)) => {
                let quarantine = Quarantine::open(path, *limits);
                Some(Arc::new(quarantine.map_err(|error| StartError::Quarantine { path: path.clone(), error })?))
            }
            None => None,
        };
        if let Some(spool) = &spool {
            keep_reserves(&*spool.storage(), plan.workers);
        }
        metrics.spool_bytes.set(spool.as_ref().map_or(0, |spool| spool.bytes() as i64));
        let shared = Arc::new(Shared {
            outbox,
            spool: spool.map(Mutex::new),
            link: link(plan),
            quarantine,
            forbidden: Forbidden::new(&plan.config.node_id, records.backoff_max.0),
            metrics,
            backoff: (records.backoff_min.0, records.backoff_max.0),
            finish: CancellationToken::new(),
            stop: CancellationToken::new(),
        });
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(StartError::Runtime)?;
        let deadline = Arc::new(Mutex::new(None));
        let task = run(shared.clone(), records.posts_in_flight_max.value, deadline.clone());
        let thread = std::thread::Builder::new().name("shipper".into()).spawn(move || runtime.block_on(task));
        Ok(Self { shared, thread: thread.map_err(StartError::Runtime)?, deadline })
    }

    /// Ships what is left until `deadline`; the rest goes to the spool, or is counted as shed. Blocks.
    pub fn stop(self, deadline: Instant) {
        *self.deadline.lock().unwrap_or_else(PoisonError::into_inner) = Some(deadline);
        self.shared.finish.cancel();
        if self.thread.join().is_err() {
            tracing::error!("the shipper panicked; records in memory are lost");
        }
        let left = std::iter::from_fn(|| self.shared.outbox.take()).map(|held| held.batch.rows).sum::<usize>();
        if left > 0 {
            tracing::error!(records = left, "records could be neither shipped nor spooled before the end");
        }
    }
}

/// The way to the collectors of a plan, if it has any.
pub fn link(plan: &Plan) -> Option<Link> {
    let (records, collectors) = (&plan.config.records, plan.records.collectors.clone());
    let tls = plan.records.tls.clone().filter(|_| !collectors.is_empty())?;
    let times = LinkTimes {
        post_timeout: records.post_timeout.0,
        failback_after: records.failback_after.0,
        connection_age_max: records.connection_age_max.0,
    };
    Some(Link::new(collectors, tls, times))
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
    while shared.link.is_some() && !shared.outbox.is_empty() && Instant::now() < until {
        let left = shared.outbox.left.notified();
        let patience = until.saturating_duration_since(Instant::now()).min(Duration::from_millis(50));
        let _either = tokio::time::timeout(patience, left).await;
    }
    shared.stop.cancel();
    while tasks.join_next().await.is_some() {}
    shared.spill(true).await;
    let reason = match shared.outbox.set_spool(SpoolState::Roomy) {
        SpoolState::Failing => GapReason::SpoolFailed,
        SpoolState::Full => GapReason::SpoolFull,
        SpoolState::Roomy => GapReason::BufferFull,
    };
    while let Some(held) = shared.outbox.take() {
        tracing::warn!(records = held.batch.rows, "records were neither shipped nor spooled before the end");
        shared.outbox.give_up(&held, reason);
    }
    shared.report_last_gaps().await;
}

/// The disk may be full when they are needed, which is when it is too late to make them.
fn keep_reserves(storage: &dyn Storage, workers: usize) {
    for worker in 0..workers {
        if let Err(error) = spool::keep_reserve(storage, worker) {
            tracing::warn!(%error, worker, "no room can be kept in the spool for a last report of shed records");
        }
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
                () = shared.forbidden.ends() => {}
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
    /// The spool's oldest batch, else the ring's: the spool's are older. Not those of nodes that may not speak for now.
    fn next(&self) -> Option<Load> {
        let spooled = self.lock_spool().and_then(|mut spool| spool.take(|node| self.forbidden.holds_up(node)));
        spooled.map(Load::Disk).or_else(|| {
            if self.forbidden.holds_up_own() {
                return None;
            }
            self.outbox.take().map(Load::Memory)
        })
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
                Answer::Refused { status, reason } => return self.refused(&load, &bytes, status, reason).await,
                Answer::Forbidden { reason } => return self.forbidden(load, &reason),
                Answer::Again { cause, after } => {
                    self.metrics.ship_errors.with_label_values(&[cause]).inc();
                    let ending = self.finish.is_cancelled();
                    let wait_max = if ending { self.backoff.0 } else { self.backoff.1 };
                    let jittered = wait.min(wait_max).mul_f64(rand::rng().random_range(0.5..1.0));
                    wait = (wait * 2).min(wait_max);
                    // There is no later time that a process which ends could wait for.
                    let asked = after.map(|after| if ending { after.min(wait_max) } else { after });
                    tokio::select! {
                        () = tokio::time::sleep(asked.unwrap_or(jittered)) => {}
                        () = self.finish.cancelled(), if !ending => {}
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

    /// The certificate does not speak for the batch's node, which somebody can repair: the batch is kept.
    fn forbidden(&self, load: Load, reason: &str) {
        self.metrics.ship_errors.with_label_values(&["status_403"]).inc();
        let node = self.node(&load).to_owned();
        if self.forbidden.note(&node) {
            tracing::error!(
                node,
                reason,
                "the collector does not let this proxy speak for this node: its records wait"
            );
        }
        let trouble = format!("the collector does not let this proxy speak for node {node}: {reason}");
        self.outbox.set_trouble("collector", Some(trouble));
        self.hand_back(load);
    }

    fn node<'a>(&'a self, load: &'a Load) -> &'a str {
        match load {
            Load::Memory(_) => self.forbidden.own(),
            Load::Disk(file) => &file.name.node,
        }
    }

    async fn acknowledged(&self, load: &Load) {
        if self.forbidden.lift(self.node(load)) {
            self.outbox.set_trouble("collector", None);
        }
        self.metrics.batches_acked.inc();
        match load {
            Load::Memory(held) => {
                self.metrics.records_acked.inc_by(held.records());
                self.outbox.leave(held);
            }
            Load::Disk(file) => {
                self.metrics.records_acked.inc_by(file.name.records);
                self.delete(file).await;
            }
        }
    }

    /// Sets a batch aside that the collector will never take.
    async fn refused(&self, load: &Load, bytes: &Bytes, status: StatusCode, reason: String) {
        let status = status.as_u16();
        self.metrics.batches_refused.with_label_values(&[&status.to_string()]).inc();
        let kept = match self.quarantine.clone() {
            Some(quarantine) => {
                let bytes = bytes.clone();
                let name = match load {
                    Load::Memory(held) => BatchName::of(&held.batch, held.records()),
                    Load::Disk(file) => Ok(file.name.clone()),
                };
                let refusal = Refusal { status, reason: reason.clone(), time_us: now_us() };
                blocking(move || quarantine.keep(&name?, &bytes, &refusal)).await
            }
            None => Ok(()),
        };
        match kept {
            Ok(()) => tracing::warn!(status, reason, "the collector refused a batch for good"),
            Err(error) => {
                tracing::error!(%error, status, reason, "a refused batch could not be kept in the quarantine folder");
            }
        }
        match load {
            Load::Memory(held) => self.outbox.give_up(held, GapReason::Quarantined),
            Load::Disk(file) => {
                let reason = GapReason::Quarantined.as_str();
                self.metrics.records_shed.with_label_values(&[reason]).inc_by(file.name.records);
                self.delete(file).await;
            }
        }
    }

    async fn delete(&self, file: &SpoolFile) {
        let Some(storage) = self.storage() else { return };
        let name = file.name.to_string();
        if let Err(error) = blocking(move || storage.remove(&name)).await {
            // It will be sent again after a restart, and the collector will know it.
            tracing::warn!(%error, name = %file.name, "a delivered batch could not be removed from the spool");
        }
        self.forget(file);
    }

    fn forget(&self, file: &SpoolFile) {
        if let Some(mut spool) = self.lock_spool() {
            spool.forget(file);
            self.metrics.spool_bytes.set(spool.bytes() as i64);
        }
        self.outbox.spill.notify_one();
    }

    fn storage(&self) -> Option<Arc<dyn Storage>> {
        self.lock_spool().map(|spool| spool.storage())
    }

    /// A spooled batch, unless it is damaged: then it is set aside and counted. While the disk fails it stays, for later.
    async fn read(&self, file: &SpoolFile) -> Option<Bytes> {
        let (storage, name) = (self.storage()?, file.name.clone());
        let read = tokio::task::spawn_blocking(move || batch_file::read(&*storage, &name)).await;
        let error = match read.unwrap_or_else(|panicked| Err(io::Error::other(panicked).into())) {
            Ok(bytes) => return Some(bytes),
            Err(error) => error,
        };
        if error.may_pass() {
            tracing::warn!(%error, name = %file.name, "a spooled batch cannot be read for now");
            self.metrics.ship_errors.with_label_values(&["spool"]).inc();
            tokio::select! {
                () = tokio::time::sleep(SPOOL_RETRY) => {}
                () = self.stop.cancelled() => {}
            }
            self.hand_back(Load::Disk(file.clone()));
            return None;
        }
        tracing::warn!(%error, name = %file.name, "a spooled batch cannot be read back and is set aside");
        let (storage, name) = (self.storage()?, file.name.to_string());
        if let Err(error) = blocking(move || spool::set_aside(&*storage, &name)).await {
            tracing::warn!(%error, name = %file.name, "a damaged batch could not be moved out of the spool");
        }
        self.metrics.records_shed.with_label_values(&[GapReason::Unreadable.as_str()]).inc_by(file.name.records);
        self.forget(file);
        None
    }

    /// Writes the ring's oldest batches to disk, while it is past its mark (or `all` of them) and the spool has room.
    async fn spill(&self, all: bool) {
        let Some(storage) = self.storage() else { return };
        while let Some(held) = self.outbox.take_to_spill(all) {
            let size = held.batch.bytes.len() as u64;
            if !self.lock_spool().is_some_and(|spool| spool.fits(size)) {
                self.outbox.set_spool(SpoolState::Full);
                self.outbox.put_back(held);
                return;
            }
            match self.write(&storage, &held).await {
                Ok(file) => {
                    if let Some(mut spool) = self.lock_spool() {
                        spool.add(file);
                        self.metrics.spool_bytes.set(spool.bytes() as i64);
                    }
                    if self.outbox.set_spool(SpoolState::Roomy) == SpoolState::Failing {
                        tracing::info!("the spool can be written again");
                        self.outbox.set_trouble("spool", None);
                    }
                    self.outbox.leave(&held);
                    self.outbox.work.notify_one();
                }
                Err(error) => {
                    self.metrics.ship_errors.with_label_values(&["spool"]).inc();
                    if self.outbox.set_spool(SpoolState::Failing) != SpoolState::Failing {
                        tracing::error!(%error, "the spool cannot be written: records are shed once the ring is full");
                        self.outbox.set_trouble("spool", Some(format!("the spool cannot be written: {error}")));
                    }
                    self.outbox.put_back(held);
                    if all {
                        return;
                    }
                    tokio::select! {
                        () = tokio::time::sleep(SPOOL_RETRY) => {}
                        () = self.stop.cancelled() => {}
                    }
                }
            }
            if !all && self.stop.is_cancelled() {
                return;
            }
        }
    }

    async fn write(&self, storage: &Arc<dyn Storage>, held: &Held) -> io::Result<SpoolFile> {
        let (storage, batch, records) = (storage.clone(), held.batch.clone(), held.records());
        match tokio::task::spawn_blocking(move || spool::write(&*storage, &batch, records)).await {
            Ok(written) => written,
            Err(panicked) => Err(io::Error::other(panicked)),
        }
    }

    /// What was shed after the workers had ended is reported under their names all the same: by this process, or from the
    /// spool by the next one.
    async fn report_last_gaps(&self) {
        for (last, gaps) in self.outbox.take_last() {
            let records: i64 = gaps.iter().map(|gap| gap.count).sum();
            let batch = match gap_batch(&last.header, last.batch_seq, &gaps) {
                Ok(batch) => batch,
                Err(error) => {
                    tracing::error!(%error, records, "shed records could not be reported");
                    continue;
                }
            };
            let kept = match (self.storage(), &self.link) {
                (Some(storage), _) => {
                    blocking(move || spool::write_last(&*storage, last.worker, &batch).map(drop)).await
                }
                (None, Some(link)) => match tokio::time::timeout(LAST_WORDS, link.post(batch.bytes)).await {
                    Ok(Answer::Acknowledged) => Ok(()),
                    _ => Err(io::Error::other("there is no spool, and the collector did not take the report")),
                },
                (None, None) => Ok(()),
            };
            if let Err(error) = kept {
                tracing::error!(%error, records, "shed records could not be reported: the audit will call them missing");
            }
        }
    }
}

async fn blocking(work: impl FnOnce() -> io::Result<()> + Send + 'static) -> io::Result<()> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|panicked| Err(io::Error::other(panicked)))
}
