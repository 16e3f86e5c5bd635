//! The flags of a span.

use crate::row::Row;

/// The trace is sampled (W3C Trace Context, section 3.2.2.5.1).
const SAMPLED: u32 = 0x01;
/// The span says whether its parent is in another process (`SpanFlags` of OTLP).
pub(crate) const HAS_IS_REMOTE: u32 = 0x100;
/// The parent is in another process.
pub(crate) const IS_REMOTE: u32 = 0x200;

/// Returns the flags of the trace context.
pub(crate) fn of(row: &Row<'_>) -> u32 {
    if row.sampled() == Some(true) { SAMPLED } else { 0 }
}
