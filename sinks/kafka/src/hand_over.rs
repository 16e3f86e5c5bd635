//! Hands rows to the client, and waits for reports. Everything here may block.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, BaseRecord};
use tollgate_sink::{Delivery, SinkError};

use crate::config::KafkaConfig;
use crate::connect::Link;
use crate::reports::{Failure, FrameReports, Reports};
use crate::rows::Rows;

/// Pause between two looks at the reports, while the queue is full or reports are outstanding. rdkafka's own
/// poll with a timeout is no replacement: it busy-waits in its last millisecond, and does not return when reports arrive.
const PAUSE: Duration = Duration::from_millis(2);

/// Rows between two looks at the reports, so that they do not pile up while rows are handed over.
const ROWS_BETWEEN_POLLS: usize = 64;

/// How much later than its timeout the client may report on a message before it counts as broken.
const REPORT_GRACE: Duration = Duration::from_secs(15);

/// Why a wait ended early.
pub(crate) enum Interrupt {
    /// The caller has dropped its future: nobody reads the answer.
    Abandoned,
    /// The client stopped reporting.
    Stuck(String),
}

impl Interrupt {
    pub(crate) fn into_error(self, link: &Link) -> SinkError {
        match self {
            Self::Abandoned => SinkError::Retry { reason: "the collector stopped waiting".into(), after: None },
            Self::Stuck(reason) => SinkError::Rebuild { reason: link.fatal().unwrap_or(reason) },
        }
    }
}

/// One call's way to the client.
pub(crate) struct HandOver<'a> {
    link: &'a Link,
    config: &'a KafkaConfig,
    /// Set when the caller has dropped its future and no longer waits.
    abandoned: &'a AtomicBool,
    value: Vec<u8>,
}

impl<'a> HandOver<'a> {
    pub(crate) fn new(link: &'a Link, config: &'a KafkaConfig, abandoned: &'a AtomicBool) -> Self {
        Self { link, config, abandoned, value: Vec::new() }
    }

    /// Hands the rows of one frame to the client. What fails is noted in `reports`.
    ///
    /// # Errors
    /// When the rest of the frame was not handed over, and no report says so.
    pub(crate) fn enqueue(&mut self, frame: &Delivery, reports: &Arc<FrameReports>) -> Result<(), Interrupt> {
        let Some(mut rows) = Rows::new(&frame.batch, frame.received_us) else {
            reports.fail(Failure::Refused { reason: "the batch lacks canonical columns".into(), by_size: false });
            return Ok(());
        };
        for row in 0..rows.len() {
            if row % ROWS_BETWEEN_POLLS == 0 {
                self.link.take_reports();
            }
            self.value.clear();
            rows.write_value(row, &mut self.value);
            let message = BaseRecord::with_opaque_to(&self.config.topic, Arc::clone(reports))
                .key(rows.key(row))
                .payload(self.value.as_slice())
                .timestamp(rows.timestamp_ms(row))
                .headers(rows.headers(row));
            reports.expect_one();
            if let Err(error) = self.send(&self.link.producer, message, reports)? {
                reports.settle_one();
                // A row that is refused for what it is holds up no other of its frame; anything else halts the lane.
                reports.fail_record(Failure::of(&error), Some(rows.seq(row)));
            }
            if reports.halt().is_set() {
                // The rest of this frame must not look delivered.
                reports.fail(Failure::Untried);
                return Ok(());
            }
        }
        Ok(())
    }

    /// Sends one message, waiting while the queue is full. The inner error is the client's word on this message.
    fn send(
        &self,
        producer: &BaseProducer<Reports>,
        mut message: BaseRecord<'_, str, [u8], Arc<FrameReports>>,
        reports: &FrameReports,
    ) -> Result<Result<(), KafkaError>, Interrupt> {
        let mut deadline = self.deadline();
        loop {
            match producer.send(message) {
                Ok(()) => return Ok(Ok(())),
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), returned)) => {
                    message = returned;
                    self.look(&mut deadline)?;
                    if reports.halt().is_set() {
                        return Ok(Err(KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull)));
                    }
                }
                Err((error, _)) => return Ok(Err(error)),
            }
        }
    }

    /// Takes reports until it is so.
    pub(crate) fn wait_until(&self, is: impl Fn() -> bool) -> Result<(), Interrupt> {
        let mut deadline = self.deadline();
        while !is() {
            self.look(&mut deadline)?;
        }
        Ok(())
    }

    /// When the client must have reported on some message.
    fn deadline(&self) -> Instant {
        Instant::now() + self.config.delivery_timeout.duration() + REPORT_GRACE
    }

    fn look(&self, deadline: &mut Instant) -> Result<(), Interrupt> {
        if self.link.take_reports() {
            *deadline = self.deadline();
        } else {
            std::thread::sleep(PAUSE);
        }
        if self.abandoned.load(Ordering::Relaxed) {
            return Err(Interrupt::Abandoned);
        }
        if let Some(reason) = self.link.fatal() {
            // Every message of a fatally failed client is reported as failed; there is no need to wait for it.
            return Err(Interrupt::Stuck(reason));
        }
        if Instant::now() >= *deadline {
            return Err(Interrupt::Stuck(self.link.with_complaint("the client did not report on a message in time")));
        }
        Ok(())
    }
}
