//! The sink itself.

use std::time::Instant;

use async_trait::async_trait;
use prometheus::Registry;
use tollgate_sink::{Delivery, Position, Sink, SinkError};
use tollgate_telemetry::MetricError;

use crate::config::MetricsConfig;
use crate::derive::{Derived, Totals};

/// Derives metrics from every record.
pub struct MetricsSink {
    derived: Derived,
    through: Option<Position>,
}

impl MetricsSink {
    /// A sink whose metrics show in this registry.
    ///
    /// # Errors
    /// When one of them is in the registry already.
    pub fn new(config: &MetricsConfig, registry: &Registry) -> Result<Self, MetricError> {
        Ok(Self { derived: Derived::new(config, registry)?, through: None })
    }

    /// Sums over all labels so far.
    pub fn totals(&self) -> Totals {
        self.derived.totals
    }

    /// How many producers are followed.
    pub fn producers(&self) -> usize {
        self.derived.producers.len()
    }

    /// How many certificate subjects have a series.
    pub fn subjects(&self) -> usize {
        self.derived.expiries.len()
    }

    /// How many records were missing at this time, over all producers.
    pub fn missing(&self, now: Instant) -> i64 {
        self.derived.producers.missing(now)
    }

    /// Counts a batch as if it came now; what [`Sink::deliver`] does with each frame.
    ///
    /// # Errors
    /// [`SinkError::Reject`] when the batch does not have the canonical columns.
    pub fn observe(&mut self, frame: &Delivery, now: Instant) -> Result<(), SinkError> {
        if self.through.is_some_and(|through| frame.position <= through) {
            return Ok(());
        }
        if !self.derived.observe(&frame.batch, now) {
            let reason = "the batch lacks canonical columns".to_owned();
            return Err(SinkError::Reject { position: frame.position, reason });
        }
        self.through = Some(frame.position);
        Ok(())
    }

    /// Brings the gauges that depend on time up to date.
    pub fn tick(&mut self, now: Instant) {
        self.derived.expiries.rotate(now);
        self.derived.producers.sweep(now);
    }
}

#[async_trait]
impl Sink for MetricsSink {
    fn name(&self) -> &'static str {
        "metrics"
    }

    /// Answers `None`: counters live in this process only, so the collector's cursor decides where to go on.
    async fn recover(&mut self) -> Result<Option<Position>, SinkError> {
        Ok(None)
    }

    async fn deliver(&mut self, frames: &[Delivery]) -> Result<Option<Position>, SinkError> {
        for frame in frames {
            self.observe(frame, Instant::now())?;
            // A full frame takes about a millisecond: others get their turn in between.
            give_way().await;
        }
        self.tick(Instant::now());
        Ok(self.through)
    }

    /// Counts the frame late: it was refused, so it was not counted before.
    async fn replay(&mut self, frame: &Delivery) -> Result<(), SinkError> {
        if self.derived.observe(&frame.batch, Instant::now()) {
            return Ok(());
        }
        let reason = "the batch lacks canonical columns".to_owned();
        Err(SinkError::Reject { position: frame.position, reason })
    }
}

/// Lets the runtime's other tasks run once.
async fn give_way() {
    let mut given = false;
    std::future::poll_fn(|context| {
        if std::mem::replace(&mut given, true) {
            return std::task::Poll::Ready(());
        }
        context.waker().wake_by_ref();
        std::task::Poll::Pending
    })
    .await;
}
