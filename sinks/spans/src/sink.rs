//! The sink: cuts frames into requests, posts them, and judges the answers.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use prometheus::Registry;
use tollgate_sink::{Delivery, Position, Sink, SinkError};
use tollgate_telemetry::MetricError;

use crate::config::SpansConfig;
use crate::counters::Counters;
use crate::post::{Receiver, ReceiverAnswer};
use crate::request::{NotCanonical, Progress, Request, Rules, build};
use crate::sampling::Sampling;

/// Failed requests in a row after which the sink makes a new client, which reads its files again.
pub const FAILURES_BEFORE_REBUILD: u32 = 5;
/// Shortest time between two log lines about refused spans.
const TOLD_EVERY: Duration = Duration::from_secs(60);

/// Exports transactions as spans.
pub struct SpansSink {
    config: SpansConfig,
    counters: Counters,
    receiver: Option<Arc<Receiver>>,
    progress: Progress,
    /// The last position that was answered since the sink was recovered.
    answered: Option<Position>,
    failures: u32,
    /// Most spans in a request: as configured, or fewer once the receiver has found one too large.
    spans_max: usize,
    /// Up to this frame each has requests of its own, so that the one which is refused is known.
    alone_through: Option<Position>,
    told: Option<Instant>,
}

impl SpansSink {
    /// A sink that is not ready yet; [`Sink::recover`] makes it so.
    ///
    /// # Errors
    /// When its metrics are in the registry already.
    pub fn new(config: SpansConfig, registry: &Registry) -> Result<Self, MetricError> {
        Ok(Self {
            spans_max: config.batch_spans_max,
            config,
            counters: Counters::new(registry)?,
            receiver: None,
            progress: Progress::default(),
            answered: None,
            failures: 0,
            alone_through: None,
            told: None,
        })
    }

    /// Exports the frames after `progress`, which moves on with each request that is taken. A call that follows a failed or
    /// dropped one continues there.
    async fn export(&mut self, frames: &[Delivery], is_replay: bool) -> Result<(), SinkError> {
        let receiver = self.receiver.clone().ok_or_else(|| rebuild("the client is not made yet".to_owned()))?;
        let mut progress = if is_replay { Progress::default() } else { self.progress };
        self.alone_through = None;
        let last = frames.last().map(|frame| frame.position);
        let frames: Arc<[Delivery]> = frames.into();
        while progress.through < last {
            let request = self.next(&frames, progress).await?;
            if request.spans > 0 {
                let answer = receiver.post(request.body.clone()).await;
                if !self.judge(answer, &request)? {
                    continue;
                }
            }
            self.counters.sampled_out.inc_by(request.sampled_out);
            progress = request.end;
            if !is_replay {
                self.progress = progress;
            }
        }
        Ok(())
    }

    /// The next request, made on a blocking thread: to read thousands of rows and to compress takes milliseconds.
    async fn next(&self, frames: &Arc<[Delivery]>, from: Progress) -> Result<Request, SinkError> {
        let next = frames.iter().map(|frame| frame.position).find(|position| Some(*position) > from.through);
        let rules = Rules {
            sampling: Sampling::new(&self.config),
            spans_max: self.spans_max,
            one_frame: next <= self.alone_through,
            compression: self.config.compression,
            resource: self.config.resource.clone(),
        };
        let frames = Arc::clone(frames);
        match tokio::task::spawn_blocking(move || build(&frames, from, &rules)).await {
            Ok(Ok(request)) => Ok(request),
            Ok(Err(NotCanonical(position))) => {
                Err(SinkError::Reject { position, reason: "the batch lacks canonical columns".to_owned() })
            }
            Err(error) => Err(rebuild(format!("spans could not be made: {error}"))),
        }
    }

    /// Returns whether the request was taken; if not, the next one is cut in another way.
    fn judge(&mut self, answer: ReceiverAnswer, request: &Request) -> Result<bool, SinkError> {
        match answer {
            ReceiverAnswer::Taken { refused, reason } => {
                self.failures = 0;
                self.taken(request, refused, &reason);
                Ok(true)
            }
            ReceiverAnswer::Again { reason, after } => {
                self.failures += 1;
                if self.failures >= FAILURES_BEFORE_REBUILD && after.is_none() {
                    self.failures = 0;
                    return Err(rebuild(reason));
                }
                Err(SinkError::Retry { reason, after })
            }
            ReceiverAnswer::Repair { reason } => Err(rebuild(reason)),
            ReceiverAnswer::TooLarge { reason } if request.transactions > 1 => {
                self.spans_max = (request.spans / 2).max(1);
                tracing::warn!(reason, spans_max = self.spans_max, "the receiver of spans gets smaller requests");
                Ok(false)
            }
            ReceiverAnswer::Refused { .. } if request.frames > 1 => {
                self.alone_through = Some(request.last);
                Ok(false)
            }
            // All before it is exported, as only one frame gave this request its spans.
            ReceiverAnswer::TooLarge { reason } | ReceiverAnswer::Refused { reason } => {
                Err(SinkError::Reject { position: request.first, reason })
            }
        }
    }

    fn taken(&mut self, request: &Request, refused: u64, reason: &str) {
        let refused = refused.min(request.spans as u64);
        self.counters.exported.inc_by(request.spans as u64 - refused);
        self.counters.refused.inc_by(refused);
        let is_news = refused > 0 || !reason.is_empty();
        if is_news && self.told.is_none_or(|told| told.elapsed() >= TOLD_EVERY) {
            self.told = Some(Instant::now());
            tracing::warn!(refused, of = request.spans, reason, "the receiver of spans took a request in part");
        }
    }
}

fn rebuild(reason: String) -> SinkError {
    SinkError::Rebuild { reason }
}

#[async_trait]
impl Sink for SpansSink {
    fn name(&self) -> &'static str {
        "spans"
    }

    /// Answers `None`: a receiver stores no positions, so the collector's cursor decides.
    async fn recover(&mut self) -> Result<Option<Position>, SinkError> {
        let config = self.config.clone();
        let made = tokio::task::spawn_blocking(move || Receiver::new(&config)).await;
        let receiver = made
            .unwrap_or_else(|error| Err(error.to_string()))
            .map_err(|reason| SinkError::Retry { reason, after: None })?;
        self.receiver = Some(Arc::new(receiver));
        self.answered = None;
        self.spans_max = self.config.batch_spans_max;
        Ok(None)
    }

    async fn deliver(&mut self, frames: &[Delivery]) -> Result<Option<Position>, SinkError> {
        if let Some(last) = frames.last().map(|frame| frame.position) {
            self.export(frames, false).await?;
            self.answered = self.answered.max(Some(last));
        }
        Ok(self.answered)
    }

    /// A receiver has no place for a position: the frame is exported like any other, if later.
    async fn replay(&mut self, frame: &Delivery) -> Result<(), SinkError> {
        self.export(std::slice::from_ref(frame), true).await
    }
}
