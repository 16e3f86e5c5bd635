//! Delivery reports of messages, and complaints about connections.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{DeliveryResult, ProducerContext};

/// Why a message was not delivered. Ordered by what it does to the frames around it: the greatest wins.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Failure {
    /// The message was not handed to the client, because one before it failed.
    Untried,
    /// The broker refuses this message for what it is.
    Refused { reason: String, by_size: bool },
    /// Another attempt may succeed.
    Passing { reason: String },
    /// This producer is broken, and cannot deliver any message.
    Broken { reason: String },
}

impl Failure {
    pub(crate) fn of(error: &KafkaError) -> Self {
        use RDKafkaErrorCode as Code;
        let reason = error.to_string();
        match error.rdkafka_error_code() {
            Some(Code::MessageSizeTooLarge | Code::InvalidMessageSize | Code::MessageBatchTooLarge) => {
                Self::Refused { reason, by_size: true }
            }
            Some(Code::InvalidRecord | Code::InvalidTimestamp | Code::PolicyViolation) => {
                Self::Refused { reason, by_size: false }
            }
            Some(
                Code::Fatal
                | Code::UnknownTopic
                | Code::UnknownPartition
                | Code::UnknownTopicOrPartition
                | Code::UnknownTopicId,
            ) => Self::Broken { reason },
            _ => Self::Passing { reason },
        }
    }

    pub(crate) fn reason(&self) -> &str {
        match self {
            Self::Untried => "not tried",
            Self::Refused { reason, .. } | Self::Passing { reason } | Self::Broken { reason } => reason,
        }
    }
}

/// Counts the reports for the rows of one frame. Every message in the client's queue holds one reference.
pub(crate) struct FrameReports {
    /// Set when anything in the call failed in a way that makes sending more of it pointless.
    halt: Arc<AtomicBool>,
    outstanding: AtomicUsize,
    failure: Mutex<Option<Failure>>,
}

impl FrameReports {
    pub(crate) fn new(halt: Arc<AtomicBool>) -> Self {
        Self { halt, outstanding: AtomicUsize::new(0), failure: Mutex::new(None) }
    }

    /// One more row is about to be handed to the client.
    pub(crate) fn expect_one(&self) {
        self.outstanding.fetch_add(1, Ordering::Relaxed);
    }

    /// One row was reported on, or was not taken by the client after all.
    pub(crate) fn settle_one(&self) {
        self.outstanding.fetch_sub(1, Ordering::Release);
    }

    pub(crate) fn is_settled(&self) -> bool {
        self.outstanding.load(Ordering::Acquire) == 0
    }

    pub(crate) fn fail(&self, failure: Failure) {
        if matches!(failure, Failure::Passing { .. } | Failure::Broken { .. }) {
            self.halt.store(true, Ordering::Relaxed);
        }
        let mut worst = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
        if worst.as_ref().is_none_or(|known| *known < failure) {
            *worst = Some(failure);
        }
    }

    pub(crate) fn failure(&self) -> Option<Failure> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Receives the client's callbacks, and keeps the last complaint about a connection: a timeout alone says nothing.
#[derive(Default)]
pub(crate) struct Reports {
    complaint: Mutex<Option<String>>,
    reported: AtomicU64,
}

impl Reports {
    pub(crate) fn complaint(&self) -> Option<String> {
        self.complaint.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How many messages were reported on so far.
    pub(crate) fn reported(&self) -> u64 {
        self.reported.load(Ordering::Relaxed)
    }

    fn note(&self, text: &str) {
        *self.complaint.lock().unwrap_or_else(PoisonError::into_inner) = Some(text.to_owned());
    }
}

impl ClientContext for Reports {
    fn log(&self, level: RDKafkaLogLevel, fac: &str, message: &str) {
        // A broker that is down is reported by the sink's errors and metrics, not by a log line for every attempt.
        match level {
            RDKafkaLogLevel::Emerg | RDKafkaLogLevel::Alert | RDKafkaLogLevel::Critical => {
                tracing::error!(target: "librdkafka", fac, "{message}");
            }
            RDKafkaLogLevel::Error | RDKafkaLogLevel::Warning => {
                self.note(message);
                tracing::debug!(target: "librdkafka", fac, "{message}");
            }
            _ => tracing::trace!(target: "librdkafka", fac, "{message}"),
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        // That all brokers are down follows from what was said of each of them, and says less.
        if error.rdkafka_error_code() != Some(RDKafkaErrorCode::AllBrokersDown) {
            self.note(reason);
        }
    }
}

impl ProducerContext for Reports {
    type DeliveryOpaque = Arc<FrameReports>;

    fn delivery(&self, result: &DeliveryResult<'_>, frame: Self::DeliveryOpaque) {
        if let Err((error, _)) = result {
            frame.fail(Failure::of(error));
        }
        frame.settle_one();
        self.reported.fetch_add(1, Ordering::Relaxed);
    }
}
