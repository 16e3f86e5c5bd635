//! One call of deliver, on a blocking thread: hands every row to the client and waits for every report.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, BaseRecord};
use tollgate_sink::{Delivery, Position};

use crate::connect::Link;
use crate::reports::{Failure, FrameReports, Reports};
use crate::rows::Rows;

/// Pause between two looks at the reports, while the queue is full or the last reports are outstanding. rdkafka's own
/// poll with a timeout is no replacement: it busy-waits in its last millisecond, and does not return when reports arrive.
const PAUSE: Duration = Duration::from_millis(2);

/// Rows between two looks at the reports, so that they do not pile up while rows are handed over.
const ROWS_BETWEEN_POLLS: usize = 64;

/// How much later than its timeout the client may report on a message before it counts as broken.
const REPORT_GRACE: Duration = Duration::from_secs(15);

/// A frame's position and why it was not delivered; `None` = every row is acknowledged.
pub(crate) type FrameOutcome = (Position, Option<Failure>);

pub(crate) struct Round {
    link: Arc<Link>,
    topic: String,
    delivery_timeout: Duration,
    /// Set when the caller has dropped its future and no longer waits.
    abandoned: Arc<AtomicBool>,
    halt: Arc<AtomicBool>,
    value: Vec<u8>,
}

/// The client stopped reporting, or the caller stopped waiting.
struct Stuck(Failure);

impl Round {
    pub(crate) fn new(link: Arc<Link>, topic: String, delivery_timeout: Duration, abandoned: Arc<AtomicBool>) -> Self {
        Self { link, topic, delivery_timeout, abandoned, halt: Arc::default(), value: Vec::new() }
    }

    /// Delivers the frames and answers each one's outcome, in their order.
    pub(crate) fn run(mut self, frames: &[Delivery]) -> Vec<FrameOutcome> {
        let mut tried: Vec<Arc<FrameReports>> = Vec::with_capacity(frames.len());
        let mut stuck = None;
        for frame in frames {
            let reports = Arc::new(FrameReports::new(Arc::clone(&self.halt)));
            tried.push(Arc::clone(&reports));
            if let Err(Stuck(failure)) = self.enqueue(frame, &reports) {
                reports.fail(failure.clone());
                stuck = Some(failure);
            }
            if self.halt.load(Ordering::Relaxed) {
                break;
            }
        }
        if stuck.is_none() {
            stuck = self.settle(&tried).err().map(|Stuck(failure)| failure);
        }
        let outcome = |index: usize| match (tried.get(index), &stuck) {
            (None, _) => Some(Failure::Untried),
            (Some(reports), _) if reports.failure().is_some() || reports.is_settled() => reports.failure(),
            (Some(_), failure) => Some(failure.clone().unwrap_or(Failure::Untried)),
        };
        frames.iter().enumerate().map(|(index, frame)| (frame.position, outcome(index))).collect()
    }

    /// Hands the rows of one frame to the client. What fails is noted in `reports`; an error ends the whole call.
    fn enqueue(&mut self, frame: &Delivery, reports: &Arc<FrameReports>) -> Result<(), Stuck> {
        let link = Arc::clone(&self.link);
        let Some(mut rows) = Rows::new(&frame.batch, frame.received_us) else {
            reports.fail(Failure::Refused { reason: "the batch lacks canonical columns".into(), by_size: false });
            return Ok(());
        };
        for row in 0..rows.len() {
            if row % ROWS_BETWEEN_POLLS == 0 {
                link.take_reports();
            }
            self.value.clear();
            rows.write_value(row, &mut self.value);
            let message = BaseRecord::with_opaque_to(&self.topic, Arc::clone(reports))
                .key(rows.key(row))
                .payload(self.value.as_slice())
                .timestamp(rows.timestamp_ms(row))
                .headers(rows.headers(row));
            reports.expect_one();
            if let Err(error) = self.send(&link.producer, message)? {
                reports.settle_one();
                // A row that is refused for what it is holds up no other of its frame; anything else halts the call.
                reports.fail(Failure::of(&error));
            }
            if self.halt.load(Ordering::Relaxed) {
                // The rest of this frame must not look delivered.
                reports.fail(Failure::Untried);
                return Ok(());
            }
        }
        Ok(())
    }

    /// Sends one message, waiting while the queue is full. The inner error is the client's word on this message.
    fn send<'a>(
        &self,
        producer: &BaseProducer<Reports>,
        mut message: BaseRecord<'a, str, [u8], Arc<FrameReports>>,
    ) -> Result<Result<(), KafkaError>, Stuck> {
        let mut deadline = None;
        loop {
            match producer.send(message) {
                Ok(()) => return Ok(Ok(())),
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), returned)) => {
                    message = returned;
                    self.wait(*deadline.get_or_insert_with(|| self.deadline()))?;
                    if self.halt.load(Ordering::Relaxed) {
                        return Ok(Err(KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull)));
                    }
                }
                Err((error, _)) => return Ok(Err(error)),
            }
        }
    }

    /// Waits until every message has its report.
    fn settle(&self, tried: &[Arc<FrameReports>]) -> Result<(), Stuck> {
        let deadline = self.deadline();
        let mut settled = 0;
        while settled < tried.len() {
            if tried[settled].is_settled() {
                settled += 1;
            } else {
                self.wait(deadline)?;
            }
        }
        Ok(())
    }

    /// When the client must have reported on every message that it was given.
    fn deadline(&self) -> Instant {
        Instant::now() + self.delivery_timeout + REPORT_GRACE
    }

    fn wait(&self, deadline: Instant) -> Result<(), Stuck> {
        if !self.link.take_reports() {
            std::thread::sleep(PAUSE);
        }
        if self.abandoned.load(Ordering::Relaxed) {
            return Err(Stuck(Failure::Passing { reason: "the collector stopped waiting".into() }));
        }
        if let Some(reason) = self.link.fatal() {
            // Every message of a fatally failed client is reported as failed; there is no need to wait for it.
            return Err(Stuck(Failure::Broken { reason }));
        }
        if Instant::now() >= deadline {
            let reason = self.link.with_complaint("the client did not report on a message in time");
            return Err(Stuck(Failure::Broken { reason }));
        }
        Ok(())
    }
}
