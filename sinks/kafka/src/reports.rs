//! Delivery reports of messages, and complaints about connections.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Headers, Message};
use rdkafka::producer::{DeliveryResult, ProducerContext};
use tollgate_record::{Batch, columns};

use crate::rows::HEADER_SEQ;

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

/// Set when a message failed in a way that makes sending more of them pointless. Shared by all frames under way.
#[derive(Clone, Default)]
pub(crate) struct Halt(Arc<AtomicBool>);

impl Halt {
    pub(crate) fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Counts the reports for the rows of one frame. Every message in the client's queue holds one reference.
pub(crate) struct FrameReports {
    halt: Halt,
    outstanding: AtomicUsize,
    verdict: Mutex<Verdict>,
}

/// What went wrong with a frame.
#[derive(Default)]
struct Verdict {
    worst: Option<Failure>,
    /// `seq` of the rows that are refused; at most those of the frame.
    refused: BTreeSet<i64>,
    /// A refusal did not say of which row.
    is_vague: bool,
}

impl FrameReports {
    pub(crate) fn new(halt: Halt) -> Self {
        Self { halt, outstanding: AtomicUsize::new(0), verdict: Mutex::default() }
    }

    pub(crate) fn halt(&self) -> &Halt {
        &self.halt
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

    /// Notes what is wrong with the frame as a whole.
    pub(crate) fn fail(&self, failure: Failure) {
        self.fail_record(failure, None);
    }

    /// Notes what is wrong with the record of this number.
    pub(crate) fn fail_record(&self, failure: Failure, seq: Option<i64>) {
        if matches!(failure, Failure::Passing { .. } | Failure::Broken { .. }) {
            self.halt.0.store(true, Ordering::Relaxed);
        }
        let mut verdict = self.verdict();
        if matches!(failure, Failure::Refused { .. }) {
            verdict.is_vague |= seq.is_none();
            verdict.refused.extend(seq);
        }
        if verdict.worst.as_ref().is_none_or(|known| *known < failure) {
            verdict.worst = Some(failure);
        }
    }

    pub(crate) fn failure(&self) -> Option<Failure> {
        self.verdict().worst.clone()
    }

    /// The places of the refused rows in their batch; none if they are not known.
    pub(crate) fn refused_rows(&self, batch: &Batch) -> Vec<usize> {
        let verdict = self.verdict();
        let seqs = columns::index_of("seq").and_then(|at| batch.records.columns().get(at));
        match seqs.and_then(|seqs| seqs.as_primitive_opt::<Int64Type>()) {
            Some(seqs) if !verdict.is_vague => {
                (0..seqs.len()).filter(|row| verdict.refused.contains(&seqs.value(*row))).collect()
            }
            _ => Vec::new(),
        }
    }

    fn verdict(&self) -> MutexGuard<'_, Verdict> {
        self.verdict.lock().unwrap_or_else(PoisonError::into_inner)
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
        if let Err((error, message)) = result {
            frame.fail_record(Failure::of(error), seq_of(message));
        }
        frame.settle_one();
        self.reported.fetch_add(1, Ordering::Relaxed);
    }
}

/// The number of the record in a message, by its header.
fn seq_of(message: &BorrowedMessage<'_>) -> Option<i64> {
    let seq = message.headers()?.iter().find(|header| header.key == HEADER_SEQ)?.value?;
    std::str::from_utf8(seq).ok()?.parse().ok()
}
