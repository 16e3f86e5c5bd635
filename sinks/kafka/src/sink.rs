//! The sink: turns the outcomes of frames into one answer to the collector.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use tokio::runtime::Handle;
use tollgate_sink::{Delivery, Position, Sink, SinkError};

use tollgate_config::Diagnostic;

use crate::config::KafkaConfig;
use crate::connect::{self, Link};
use crate::reports::Failure;
use crate::round::{FrameOutcome, Round};

/// Failed calls in a row after which the sink makes a new producer, whatever their cause: a stuck client must not need a
/// restart of the collector.
pub const FAILURES_BEFORE_REBUILD: u32 = 5;

/// Sends every record to a Kafka topic.
pub struct KafkaSink {
    config: Arc<KafkaConfig>,
    link: Option<Arc<Link>>,
    /// Frames that are in the topic though the call they came with failed.
    delivered_early: BTreeSet<Position>,
    through: Option<Position>,
    failures: u32,
}

impl KafkaSink {
    /// A sink that is not connected yet; [`Sink::recover`] connects it.
    ///
    /// # Errors
    /// When the configuration cannot be used.
    pub fn new(config: KafkaConfig) -> Result<Self, Diagnostic> {
        config.usable()?;
        Ok(Self { config: Arc::new(config), link: None, delivered_early: BTreeSet::new(), through: None, failures: 0 })
    }

    /// Runs something that blocks, with the configuration, away from the runtime's own threads.
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&KafkaConfig, &Handle) -> Result<T, SinkError> + Send + 'static,
    ) -> Result<T, SinkError> {
        let config = Arc::clone(&self.config);
        let handle = Handle::current();
        match tokio::task::spawn_blocking(move || work(&config, &handle)).await {
            Ok(outcome) => outcome,
            Err(error) => Err(SinkError::Rebuild { reason: format!("the Kafka client failed: {error}") }),
        }
    }

    async fn run_round(&self, link: Arc<Link>, frames: Vec<Delivery>) -> Result<Vec<FrameOutcome>, SinkError> {
        let abandoned = AbandonOnDrop::default();
        let flag = Arc::clone(&abandoned.0);
        self.blocking(move |config, _| {
            let timeout = config.delivery_timeout.duration();
            Ok(Round::new(link, config.topic.clone(), timeout, flag).run(&frames))
        })
        .await
    }

    /// Picks the one answer that moves the cursor on without skipping a frame.
    async fn judge(&self, link: &Link, outcomes: &[FrameOutcome]) -> Result<(), SinkError> {
        let undelivered = outcomes.iter().filter_map(|(position, failure)| Some((*position, failure.as_ref()?)));
        let Some((position, first)) = undelivered.clone().next() else { return Ok(()) };
        let worst = undelivered.fold(first, |worst, (_, failure)| worst.max(failure));
        // A fatal error of the client outweighs every report: no other message will be delivered before it is cured.
        let broken =
            link.fatal().or_else(|| matches!(worst, Failure::Broken { .. }).then(|| worst.reason().to_owned()));
        if let Some(reason) = broken {
            return Err(SinkError::Rebuild { reason });
        }
        // Only the first undelivered frame may be rejected: the collector moves the cursor past a rejected frame, so all frames
        // before it must be in the topic.
        let Failure::Refused { reason, by_size } = first else {
            return Err(self.passing(link.with_complaint(worst.reason())));
        };
        // A refusal is final only under the limit in force: the topic's may have been changed since this producer.
        if *by_size && self.limit_changed(link).await? {
            return Err(SinkError::Rebuild { reason: "the topic's max.message.bytes has changed".into() });
        }
        Err(SinkError::Reject { position, reason: reason.clone() })
    }

    async fn limit_changed(&self, link: &Link) -> Result<bool, SinkError> {
        let limit = self.blocking(connect::message_bytes_max).await?;
        Ok(limit != link.message_bytes_max)
    }

    fn passing(&self, reason: String) -> SinkError {
        if self.failures + 1 >= FAILURES_BEFORE_REBUILD {
            SinkError::Rebuild { reason }
        } else {
            SinkError::Retry { reason, after: None }
        }
    }

    /// Updates the count of failures and the frames that are delivered already.
    fn remember(&mut self, outcomes: &[FrameOutcome], outcome: &Result<(), SinkError>) {
        match outcome {
            Ok(()) => self.failures = 0,
            Err(SinkError::Reject { .. }) => {}
            Err(_) => self.failures += 1,
        }
        let delivered = outcomes.iter().filter(|(_, failure)| failure.is_none());
        self.delivered_early.extend(delivered.map(|(position, _)| *position));
    }
}

#[async_trait]
impl Sink for KafkaSink {
    fn name(&self) -> &'static str {
        "kafka"
    }

    /// Answers `None`: a topic stores no positions, so the collector's cursor decides.
    async fn recover(&mut self) -> Result<Option<Position>, SinkError> {
        // The old producer goes first, on a blocking thread too, as it waits for its own threads to end.
        let old = self.link.take();
        let link = self
            .blocking(move |config, handle| {
                drop(old);
                connect::connect(config, handle)
            })
            .await?;
        tracing::info!(topic = %self.config.topic, message_bytes_max = link.message_bytes_max, "connected to Kafka");
        self.link = Some(Arc::new(link));
        self.failures = 0;
        self.through = None;
        Ok(None)
    }

    async fn deliver(&mut self, frames: &[Delivery]) -> Result<Option<Position>, SinkError> {
        let Some(link) = self.link.clone() else {
            return Err(SinkError::Rebuild { reason: "not connected to Kafka yet".into() });
        };
        if let Some(reason) = link.fatal() {
            return Err(SinkError::Rebuild { reason });
        }
        let Some(last) = frames.last().map(|frame| frame.position) else { return Ok(self.through) };
        let open: Vec<Delivery> =
            frames.iter().filter(|frame| !self.delivered_early.contains(&frame.position)).cloned().collect();
        let outcomes = self.run_round(Arc::clone(&link), open).await?;
        let outcome = self.judge(&link, &outcomes).await;
        self.remember(&outcomes, &outcome);
        outcome?;
        self.delivered_early = self.delivered_early.split_off(&(last + 1));
        self.through = self.through.max(Some(last));
        Ok(self.through)
    }

    /// A topic has no place for a position: the frame is delivered like any other, if not in its old order.
    async fn replay(&mut self, frame: &Delivery) -> Result<(), SinkError> {
        self.deliver(std::slice::from_ref(frame)).await.map(drop)
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
