//! The frames on their way to the brokers, and what their reports mean. Everything here may block.
//!
//! ```text
//!   given ──▶ waiting ──▶ with the client ──▶ reported on ──▶ first of all: `through` moves over it, and it is forgotten
//!                ▲                                │
//!                └──── a passing failure ─────────┘
//! ```
//! The frames of one call are a round. A call ends when fewer than [`KafkaConfig::rounds_max`] rounds are under way, so the
//! next one is rendered and sent while the brokers still work on those before it. Reports may come in any order; the answer
//! is the last frame of the prefix that is delivered as a whole.
//!
//! After a failure that may pass nothing new is sent until each message has its report. Then there is one judgement over all
//! frames: the failed ones wait again, those that are in the topic are not sent twice.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use tokio::runtime::Handle;
use tollgate_sink::{Delivery, Position, SinkError};

use crate::config::KafkaConfig;
use crate::connect::{self, Link};
use crate::hand_over::HandOver;
use crate::reports::{Failure, FrameReports, Halt};

/// Failed calls in a row after which the sink makes a new producer, whatever their cause: a stuck client must not need a
/// restart of the collector.
pub const FAILURES_BEFORE_REBUILD: u32 = 5;

/// A frame that was given and is not through yet.
struct UnderWay {
    delivery: Delivery,
    /// The call that it came with.
    round: u64,
    /// `None` while it waits to be handed to the client.
    reports: Option<Arc<FrameReports>>,
}

impl UnderWay {
    fn failure(&self) -> Option<Failure> {
        self.reports.as_ref().and_then(|reports| reports.failure())
    }

    fn is_settled(&self) -> bool {
        self.reports.as_ref().is_some_and(|reports| reports.is_settled())
    }

    fn is_delivered(&self) -> bool {
        self.is_settled() && self.failure().is_none()
    }
}

/// The state of the sink.
pub(crate) struct Lane {
    config: Arc<KafkaConfig>,
    link: Option<Link>,
    under_way: VecDeque<UnderWay>,
    /// Frames that an earlier producer brought to the topic, after one that it did not.
    delivered_early: BTreeSet<Position>,
    through: Option<Position>,
    round: u64,
    failures: u32,
    halt: Halt,
}

impl Lane {
    pub(crate) fn new(config: Arc<KafkaConfig>) -> Self {
        Self {
            config,
            link: None,
            under_way: VecDeque::new(),
            delivered_early: BTreeSet::new(),
            through: None,
            round: 0,
            failures: 0,
            halt: Halt::default(),
        }
    }

    /// Whether frames are under way.
    pub(crate) fn is_busy(&self) -> bool {
        !self.under_way.is_empty()
    }

    /// Makes a new producer. What was under way is forgotten, but for the frames that are in the topic.
    pub(crate) fn reconnect(&mut self, runtime: &Handle) -> Result<(), SinkError> {
        // The old producer goes first, as it waits for its own threads to end and makes the last reports.
        drop(self.link.take());
        let early = self.under_way.iter().filter(|frame| frame.is_delivered()).map(|frame| frame.delivery.position);
        self.delivered_early.extend(early);
        self.under_way.clear();
        self.halt = Halt::default();
        let link = connect::connect(&self.config, runtime)?;
        tracing::info!(topic = %self.config.topic, message_bytes_max = link.message_bytes_max, "connected to Kafka");
        self.link = Some(link);
        self.failures = 0;
        self.through = None;
        Ok(())
    }

    /// Takes frames, and answers the last one of those that are delivered without a hole. Without frames, it waits for the
    /// oldest round.
    pub(crate) fn deliver(
        &mut self,
        frames: &[Delivery],
        abandoned: &AtomicBool,
        runtime: &Handle,
    ) -> Result<Option<Position>, SinkError> {
        let left_max = match frames {
            [] => self.open_rounds().saturating_sub(1),
            _ => u64::from(self.config.rounds_max).saturating_sub(1),
        };
        if frames.iter().any(|frame| self.is_new(frame)) {
            // There may be no room: frames that fail stay under way, also when a full journal made the collector pass over them.
            self.advance(left_max, abandoned, runtime)?;
            self.admit(frames);
        }
        self.advance(left_max, abandoned, runtime)
    }

    /// Waits until nothing is under way.
    pub(crate) fn drain(&mut self, abandoned: &AtomicBool, runtime: &Handle) -> Result<Option<Position>, SinkError> {
        self.advance(0, abandoned, runtime)
    }

    /// Delivers a frame by itself, past all others.
    pub(crate) fn deliver_alone(
        &mut self,
        frame: &Delivery,
        abandoned: &AtomicBool,
        runtime: &Handle,
    ) -> Result<(), SinkError> {
        let link = usable(self.link.as_ref())?;
        let reports = Arc::new(FrameReports::new(Halt::default()));
        let mut hand_over = HandOver::new(link, &self.config, abandoned);
        let handed = hand_over.enqueue(frame, &reports).and_then(|()| hand_over.wait_until(|| reports.is_settled()));
        handed.map_err(|interrupt| interrupt.into_error(link))?;
        match reports.failure() {
            None => Ok(()),
            Some(Failure::Refused { .. }) => Err(self.refusal(frame, &reports, runtime)?),
            Some(failure) => Err(self.failed(&failure)),
        }
    }

    /// Whether a frame is given for the first time since the sink was connected.
    fn is_new(&self, frame: &Delivery) -> bool {
        let known = self.under_way.back().map(|frame| frame.delivery.position).max(self.through);
        Some(frame.position) > known
    }

    /// Adds the new frames of a call.
    fn admit(&mut self, frames: &[Delivery]) {
        self.round += 1;
        for frame in frames {
            if self.is_new(frame) {
                let is_early = self.delivered_early.contains(&frame.position);
                // Reports without a message are complete.
                let reports = is_early.then(|| Arc::new(FrameReports::new(self.halt.clone())));
                self.under_way.push_back(UnderWay { delivery: frame.clone(), round: self.round, reports });
            }
        }
    }

    /// How many rounds are under way.
    fn open_rounds(&self) -> u64 {
        match (self.under_way.front(), self.under_way.back()) {
            (Some(first), Some(last)) => last.round - first.round + 1,
            _ => 0,
        }
    }

    /// Sends what waits, and looks at reports until at most so many rounds are under way.
    fn advance(
        &mut self,
        left_max: u64,
        abandoned: &AtomicBool,
        runtime: &Handle,
    ) -> Result<Option<Position>, SinkError> {
        self.send_waiting(abandoned)?;
        loop {
            self.forget_delivered();
            if let Some(refused) = self.refused_first(runtime)? {
                return Err(refused);
            }
            if self.halt.is_set() {
                self.settle_all(abandoned)?;
                self.forget_delivered();
                return self.judge();
            }
            if self.open_rounds() <= left_max {
                return Ok(self.through);
            }
            let link = usable(self.link.as_ref())?;
            let (first, halt) = (self.under_way.front(), &self.halt);
            HandOver::new(link, &self.config, abandoned)
                .wait_until(|| halt.is_set() || first.is_none_or(UnderWay::is_settled))
                .map_err(|interrupt| interrupt.into_error(link))?;
        }
    }

    fn send_waiting(&mut self, abandoned: &AtomicBool) -> Result<(), SinkError> {
        let link = usable(self.link.as_ref())?;
        let mut hand_over = HandOver::new(link, &self.config, abandoned);
        for frame in self.under_way.iter_mut().filter(|frame| frame.reports.is_none()) {
            if self.halt.is_set() {
                break;
            }
            let reports = Arc::new(FrameReports::new(self.halt.clone()));
            // A frame of which only a part was handed over waits again.
            hand_over.enqueue(&frame.delivery, &reports).map_err(|interrupt| interrupt.into_error(link))?;
            frame.reports = Some(reports);
        }
        Ok(())
    }

    /// Moves on over the frames that are delivered.
    fn forget_delivered(&mut self) {
        while let Some(frame) = self.under_way.pop_front_if(|frame| frame.is_delivered()) {
            self.through = self.through.max(Some(frame.delivery.position));
            self.failures = 0;
        }
        if let Some(through) = self.through {
            self.delivered_early = self.delivered_early.split_off(&(through + 1));
        }
    }

    /// The refusal of the first frame, if all that is wrong with it is that some rows are refused. The frame is forgotten.
    ///
    /// Only the first is refused: whoever stores the cursor may then move it past the frame.
    fn refused_first(&mut self, runtime: &Handle) -> Result<Option<SinkError>, SinkError> {
        let Some(first) = self.under_way.front().filter(|frame| frame.is_settled()) else { return Ok(None) };
        let (Some(Failure::Refused { .. }), Some(reports)) = (first.failure(), &first.reports) else { return Ok(None) };
        let refusal = self.refusal(&first.delivery, reports, runtime)?;
        if matches!(refusal, SinkError::Reject { .. } | SinkError::RejectRows { .. }) {
            self.under_way.pop_front();
        }
        Ok(Some(refusal))
    }

    /// What to answer for a frame of which rows are refused and all others delivered.
    fn refusal(&self, frame: &Delivery, reports: &FrameReports, runtime: &Handle) -> Result<SinkError, SinkError> {
        let Some(Failure::Refused { reason, by_size }) = reports.failure() else {
            return Ok(SinkError::Retry { reason: "the reports of a frame have changed".to_owned(), after: None });
        };
        let position = frame.position;
        let limit = self.link.as_ref().map(|link| link.message_bytes_max);
        // A refusal is final only under the limit in force: the topic's may have been changed since this producer.
        if by_size && Some(connect::message_bytes_max(&self.config, runtime)?) != limit {
            return Ok(SinkError::Rebuild { reason: "the topic's max.message.bytes has changed".into() });
        }
        let rows = reports.refused_rows(&frame.batch);
        Ok(match rows.len() {
            rows if rows == 0 || rows == frame.batch.records.num_rows() => SinkError::Reject { position, reason },
            _ => SinkError::RejectRows { position, rows, reason },
        })
    }

    /// Waits until each message that the client has is reported on.
    fn settle_all(&self, abandoned: &AtomicBool) -> Result<(), SinkError> {
        let link = usable(self.link.as_ref())?;
        let is_out = |frame: &UnderWay| frame.reports.is_some() && !frame.is_settled();
        HandOver::new(link, &self.config, abandoned)
            .wait_until(|| !self.under_way.iter().any(is_out))
            .map_err(|interrupt| interrupt.into_error(link))
    }

    /// The one answer after a failure. Frames that failed and may pass wait to be sent again.
    fn judge(&mut self) -> Result<Option<Position>, SinkError> {
        self.halt = Halt::default();
        let Some(worst) = self.under_way.iter().filter_map(UnderWay::failure).max() else { return Ok(self.through) };
        for frame in &mut self.under_way {
            if frame.failure().is_some_and(|failure| !matches!(failure, Failure::Refused { .. })) {
                frame.reports = None;
            }
        }
        Err(self.failed(&worst))
    }

    fn failed(&mut self, worst: &Failure) -> SinkError {
        self.failures += 1;
        let link = self.link.as_ref();
        // A fatal error of the client outweighs every report: no other message will be delivered before it is cured.
        let broken = link.and_then(Link::fatal);
        let broken = broken.or_else(|| matches!(worst, Failure::Broken { .. }).then(|| worst.reason().to_owned()));
        if let Some(reason) = broken {
            return SinkError::Rebuild { reason };
        }
        let reason = link.map_or_else(|| worst.reason().to_owned(), |link| link.with_complaint(worst.reason()));
        if self.failures >= FAILURES_BEFORE_REBUILD {
            return SinkError::Rebuild { reason };
        }
        SinkError::Retry { reason, after: None }
    }
}

/// The producer, if there is one that may still deliver.
fn usable(link: Option<&Link>) -> Result<&Link, SinkError> {
    let Some(link) = link else { return Err(SinkError::Rebuild { reason: "not connected to Kafka yet".into() }) };
    match link.fatal() {
        Some(reason) => Err(SinkError::Rebuild { reason }),
        None => Ok(link),
    }
}
