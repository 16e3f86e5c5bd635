//! One transaction of a batch, with what decides whether and how it becomes a span.

use arrow_array::RecordBatch;
use tollgate_record::columns::index_of;
use tollgate_record::extract;
use tollgate_record::vocabulary::{ErrorClass, Kind, Termination};

use crate::sampling::Facts;

const KIND: usize = index_of("kind").unwrap();
const TIME: usize = index_of("time").unwrap();
const TRACE_ID: usize = index_of("trace_id").unwrap();
const SPAN_ID: usize = index_of("span_id").unwrap();
const PARENT_SPAN_ID: usize = index_of("parent_span_id").unwrap();
const TRACE_SAMPLED: usize = index_of("trace_sampled").unwrap();
const STATUS: usize = index_of("status").unwrap();
const TERMINATION: usize = index_of("termination").unwrap();
const ERROR_CLASS: usize = index_of("error_class").unwrap();
const TOTAL_US: usize = index_of("total_us").unwrap();

/// Nanoseconds of a microsecond.
const US_NS: i64 = 1_000;

/// A transaction that is part of a trace.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Row<'a> {
    pub(crate) records: &'a RecordBatch,
    pub(crate) row: usize,
    pub(crate) trace_id: &'a [u8],
    pub(crate) span_id: &'a [u8],
}

impl<'a> Row<'a> {
    /// Reads a row; `None` if it is no transaction or in no trace. The trace id is read first, as most rows have none.
    pub(crate) fn new(records: &'a RecordBatch, row: usize) -> Option<Self> {
        let trace_id = extract::bytes_at(records, TRACE_ID, row)?;
        let span_id = extract::bytes_at(records, SPAN_ID, row)?;
        let is_transaction = extract::str_at(records, KIND, row) == Some(Kind::Transaction.as_str());
        is_transaction.then_some(Self { records, row, trace_id, span_id })
    }

    pub(crate) fn facts(&self) -> Facts<'a> {
        Facts {
            trace_id: self.trace_id,
            sampled: self.sampled(),
            failed: self.failed(),
            total_us: extract::i64_at(self.records, TOTAL_US, self.row),
        }
    }

    pub(crate) fn text(&self, column: usize) -> Option<&'a str> {
        extract::str_at(self.records, column, self.row)
    }

    pub(crate) fn int64(&self, column: usize) -> Option<i64> {
        extract::i64_at(self.records, column, self.row)
    }

    pub(crate) fn int32(&self, column: usize) -> Option<i32> {
        extract::i32_at(self.records, column, self.row)
    }

    pub(crate) fn boolean(&self, column: usize) -> Option<bool> {
        extract::bool_at(self.records, column, self.row)
    }

    pub(crate) fn sampled(&self) -> Option<bool> {
        self.boolean(TRACE_SAMPLED)
    }

    /// The caller's span.
    pub(crate) fn parent(&self) -> Option<&'a [u8]> {
        extract::bytes_at(self.records, PARENT_SPAN_ID, self.row)
    }

    pub(crate) fn error_class(&self) -> Option<&'a str> {
        self.text(ERROR_CLASS)
    }

    /// The status that went to the client. 499 in the record of a client that left is no status that anybody sent.
    pub(crate) fn status(&self) -> Option<i32> {
        let left = self.text(TERMINATION) == Some(Termination::Client.as_str());
        self.int32(STATUS).filter(|_| !left)
    }

    /// Returns whether the span's status is an error, by the HTTP semantic conventions for servers: 5xx, or an answer that did not come to its
    /// end, or none; never a 4xx, which is the caller's error.
    pub(crate) fn failed(&self) -> bool {
        match self.status() {
            None | Some(500..) => true,
            Some(400..) => false,
            Some(_) => match self.text(TERMINATION) {
                None => false,
                Some(termination) => termination != Termination::Complete.as_str() && self.error_class().is_some(),
            },
        }
    }

    /// The value of `error.type` of a failed transaction: its error class, else its status, else `internal`.
    pub(crate) fn error_type(&self) -> String {
        match (self.error_class(), self.status()) {
            (Some(class), _) => class.to_owned(),
            (None, Some(status)) => status.to_string(),
            (None, None) => ErrorClass::Internal.as_str().to_owned(),
        }
    }

    /// When it began and ended, in nanoseconds since 1970.
    pub(crate) fn times_ns(&self) -> (i64, i64) {
        let begin = self.int64(TIME).unwrap_or(0).max(0).saturating_mul(US_NS);
        let total = self.duration_ns(TOTAL_US).unwrap_or(0);
        (begin, begin.saturating_add(total))
    }

    /// A duration of the record, in nanoseconds.
    pub(crate) fn duration_ns(&self, column: usize) -> Option<i64> {
        self.int64(column).map(|us| us.max(0).saturating_mul(US_NS))
    }
}
