//! Changes the configuration while the proxy runs: for all workers, or for none.
//!
//! ```text
//! SIGHUP, POST /reload ─▶ queue ─▶ reload thread: read, check and compile everything ─▶ adopt ─▶ worker 0 … N-1
//!                                       └─ wrong: the one in force stays                  └─ cannot fail
//! ```
//! One thread does it, because reading 11,000 services takes longer than a worker may be away, and so that two reloads
//! cannot cross. It answers once every worker has adopted the new configuration: a request sent after the answer is
//! served under it. It also frees old configurations, once the last transaction that began under one has ended, so that
//! no worker spends its time on that.
//!
//! Bounds: [`REQUESTS_MAX`] reloads that wait; [`CONFIGS_MAX`] configurations in memory; [`ADOPT_MAX`] for a worker to
//! adopt.

use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, PoisonError, RwLock};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tollgate_config::ConfigError;

use crate::metrics::Metrics;
use crate::plan::RuntimeConfig;

/// Reloads that wait for their turn. More would be of no use.
const REQUESTS_MAX: usize = 4;
/// Configurations in memory: the one in force, and earlier ones that transactions began under.
pub const CONFIGS_MAX: usize = 32;
/// Wait for a worker to adopt a configuration. A worker that takes longer is busy, and adopts it later.
const ADOPT_MAX: Duration = Duration::from_secs(10);
/// How often old configurations are freed.
const SWEEP: Duration = Duration::from_millis(250);

/// A configuration for a worker to adopt.
#[derive(Debug)]
pub struct Adopt {
    pub config: Arc<RuntimeConfig>,
    /// Gets a message once the configuration is in force there.
    pub adopted: SyncSender<()>,
}

/// The configuration in force, for threads other than workers.
#[derive(Debug, Clone)]
pub struct InForce(Arc<RwLock<Arc<RuntimeConfig>>>);

impl InForce {
    #[must_use]
    pub fn new(config: Arc<RuntimeConfig>) -> Self {
        Self(Arc::new(RwLock::new(config)))
    }

    /// The configuration in force. Do not keep it.
    #[must_use]
    pub fn config(&self) -> Arc<RuntimeConfig> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn replace(&self, config: Arc<RuntimeConfig>) -> Arc<RuntimeConfig> {
        std::mem::replace(&mut *self.0.write().unwrap_or_else(PoisonError::into_inner), config)
    }
}

/// A successful reload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reloaded {
    /// Revision before.
    pub old: String,
    /// Revision in force.
    pub new: String,
}

/// Why the configuration in force stays.
#[derive(Debug, thiserror::Error)]
pub enum ReloadError {
    /// The configuration is wrong, or changes what only a restart can.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Too many earlier configurations are in use.
    #[error(
        "{CONFIGS_MAX} earlier configurations are still in use by transactions that go on; wait for them to end, or start the proxy again"
    )]
    ConfigsInUse,
    /// Other reloads wait.
    #[error("{REQUESTS_MAX} reloads wait already; wait for them")]
    Busy,
    /// The proxy is stopping.
    #[error("the proxy is stopping")]
    Stopping,
}

type Answer = oneshot::Sender<Result<Reloaded, ReloadError>>;

/// Asks for reloads.
#[derive(Debug, Clone)]
pub struct Reloader(SyncSender<Answer>);

impl Reloader {
    /// Starts the thread. It ends when the last clone of the reloader is gone.
    ///
    /// # Errors
    /// No thread could be started.
    pub fn start(
        in_force: InForce,
        workers: Vec<mpsc::Sender<Adopt>>,
        metrics: Arc<Metrics>,
    ) -> std::io::Result<(Self, JoinHandle<()>)> {
        let (requests, received) = sync_channel(REQUESTS_MAX);
        let mut reloads = Reloads { in_force, workers, metrics, old: Vec::new() };
        let thread = std::thread::Builder::new().name("reload".into()).spawn(move || reloads.serve(&received))?;
        Ok((Self(requests), thread))
    }

    /// Asks for a reload. The result comes once every worker has adopted the configuration.
    ///
    /// # Errors
    /// Too many wait already, or the proxy is stopping.
    pub fn ask(&self) -> Result<oneshot::Receiver<Result<Reloaded, ReloadError>>, ReloadError> {
        let (answer, answered) = oneshot::channel();
        match self.0.try_send(answer) {
            Ok(()) => Ok(answered),
            Err(TrySendError::Full(_)) => Err(ReloadError::Busy),
            Err(TrySendError::Disconnected(_)) => Err(ReloadError::Stopping),
        }
    }
}

struct Reloads {
    in_force: InForce,
    workers: Vec<mpsc::Sender<Adopt>>,
    metrics: Arc<Metrics>,
    old: Vec<Arc<RuntimeConfig>>,
}

impl Reloads {
    fn serve(&mut self, requests: &Receiver<Answer>) {
        loop {
            let request = match self.old.is_empty() {
                true => requests.recv().map_err(|_| RecvTimeoutError::Disconnected),
                false => requests.recv_timeout(SWEEP),
            };
            self.sweep();
            match request {
                Ok(answer) => {
                    let outcome = self.reload();
                    self.note(&outcome);
                    // The asker may have given up.
                    let _given_up = answer.send(outcome);
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    fn reload(&mut self) -> Result<Reloaded, ReloadError> {
        if self.old.len() + 1 >= CONFIGS_MAX {
            return Err(ReloadError::ConfigsInUse);
        }
        let before = self.in_force.config();
        let config = Arc::new(before.reload()?);
        self.in_force.replace(config.clone());
        let (adopted, all) = sync_channel(self.workers.len());
        let asked = |worker: &&mpsc::Sender<Adopt>| {
            // A worker that has ended adopts no configuration.
            worker.blocking_send(Adopt { config: config.clone(), adopted: adopted.clone() }).is_ok()
        };
        let asked = self.workers.iter().filter(asked).count();
        drop(adopted);
        for _ in 0..asked {
            if all.recv_timeout(ADOPT_MAX).is_err() {
                tracing::warn!("a worker has not adopted the configuration yet");
                break;
            }
        }
        let reloaded = Reloaded { old: before.revision.clone(), new: config.revision.clone() };
        self.metrics.reloaded(&before, &config);
        self.old.push(before);
        self.sweep();
        Ok(reloaded)
    }

    fn note(&self, outcome: &Result<Reloaded, ReloadError>) {
        let label = match outcome {
            Ok(Reloaded { old, new }) => {
                tracing::info!(%old, %new, "the configuration is reloaded");
                "ok"
            }
            Err(error) => {
                tracing::error!("the configuration is not reloaded, the one before stays in force: {error}");
                "failed"
            }
        };
        self.metrics.reloads.with_label_values(&[label]).inc();
    }

    /// Frees the configurations that no transaction holds. No transaction can take a hold of them again.
    fn sweep(&mut self) {
        self.old.retain(|config| Arc::strong_count(config) > 1);
        self.metrics.plans_in_use.set(1 + self.old.len() as i64);
    }
}
