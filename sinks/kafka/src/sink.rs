//! The sink: brings the collector's calls to the lane, away from the runtime's own threads.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::runtime::Handle;
use tollgate_config::Diagnostic;
use tollgate_sink::{Delivery, Position, Sink, SinkError};

use crate::config::KafkaConfig;
use crate::lane::Lane;

/// How soon the sink wants to be called again while frames are under way: at once, but for those that arrived meanwhile.
const POLL_BUSY: Duration = Duration::from_millis(1);
/// How soon it wants to be called otherwise.
const POLL_IDLE: Duration = Duration::from_millis(500);

/// Sends every record to a Kafka topic.
pub struct KafkaSink {
    lane: Arc<Mutex<Lane>>,
    /// Whether frames were under way after the last call.
    is_busy: bool,
}

impl KafkaSink {
    /// A sink that is not connected yet; [`Sink::recover`] connects it.
    ///
    /// # Errors
    /// When the configuration cannot be used.
    pub fn new(config: KafkaConfig) -> Result<Self, Diagnostic> {
        config.usable()?;
        Ok(Self { lane: Arc::new(Mutex::new(Lane::new(Arc::new(config)))), is_busy: false })
    }

    /// Runs something that blocks on the lane. A call whose future was dropped ends soon, and the next one waits for that.
    async fn on_lane<T: Send + 'static>(
        &mut self,
        work: impl FnOnce(&mut Lane, &AtomicBool, &Handle) -> Result<T, SinkError> + Send + 'static,
    ) -> Result<T, SinkError> {
        let abandoned = AbandonOnDrop::default();
        let (lane, flag, runtime) = (Arc::clone(&self.lane), Arc::clone(&abandoned.0), Handle::current());
        // Until the answer is there, more may be under way than before.
        self.is_busy = true;
        let run = tokio::task::spawn_blocking(move || {
            let mut lane = lane.lock().unwrap_or_else(PoisonError::into_inner);
            (work(&mut lane, &flag, &runtime), lane.is_busy())
        });
        match run.await {
            Ok((outcome, is_busy)) => {
                self.is_busy = is_busy;
                outcome
            }
            Err(error) => Err(SinkError::Rebuild { reason: format!("the Kafka client failed: {error}") }),
        }
    }
}

#[async_trait]
impl Sink for KafkaSink {
    fn name(&self) -> &'static str {
        "kafka"
    }

    /// Answers `None`: a topic stores no positions, so the collector's cursor decides.
    async fn recover(&mut self) -> Result<Option<Position>, SinkError> {
        self.on_lane(|lane, _, runtime| lane.reconnect(runtime)).await?;
        Ok(None)
    }

    async fn deliver(&mut self, frames: &[Delivery]) -> Result<Option<Position>, SinkError> {
        let frames = frames.to_vec();
        self.on_lane(move |lane, abandoned, runtime| lane.deliver(&frames, abandoned, runtime)).await
    }

    /// A topic has no place for a position: the frame is delivered like any other, if not in its old order.
    async fn replay(&mut self, frame: &Delivery) -> Result<(), SinkError> {
        let frame = frame.clone();
        self.on_lane(move |lane, abandoned, runtime| lane.deliver_alone(&frame, abandoned, runtime)).await
    }

    fn poll_interval(&self) -> Duration {
        if self.is_busy { POLL_BUSY } else { POLL_IDLE }
    }

    async fn close(&mut self) -> Result<Option<Position>, SinkError> {
        self.on_lane(|lane, abandoned, runtime| lane.drain(abandoned, runtime)).await
    }
}

/// Sets a flag on drop, so that the blocking thread ends when its caller is gone.
#[derive(Default)]
struct AbandonOnDrop(Arc<AtomicBool>);

impl Drop for AbandonOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
