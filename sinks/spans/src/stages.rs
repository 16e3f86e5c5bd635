//! The stages of a transaction as spans of their own, below the transaction's.
//!
//! A record holds how long each stage took, not when it began. Name, connection and handshake are placed one after the other
//! from the transaction's begin, as the proxy goes upstream as soon as it has the request's head; the wait for the first byte
//! and the receipt end with the transaction, as the proxy passes the response on as it arrives:
//!
//! ```text
//!   |------------------------------ GET /members/{id} ------------------------------|
//!   |- dns -|- connect -|- tls -|   the request's body   |- first_byte -|- receive -|
//! ```
//! A stage may so be shown earlier or later than it was by the gateway's own time (`tollgate.gateway_us`), the wait for
//! the request's head, and earlier attempts. Its length is exact, unless stages overlapped: none leaves the transaction's span.
//!
//! The ids of the stages follow from the transaction's, so that a transaction which is exported again has the same.

use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use tollgate_record::columns::index_of;

use crate::flags;
use crate::row::Row;

/// Spans that one transaction has at most: itself and its stages.
pub(crate) const SPANS_OF_ONE_MAX: usize = 1 + BEFORE.len() + AFTER.len();

const BEFORE: [(&str, usize); 3] = [
    ("upstream.dns", index_of("upstream_dns_us").unwrap()),
    ("upstream.connect", index_of("upstream_connect_us").unwrap()),
    ("upstream.tls", index_of("upstream_tls_us").unwrap()),
];
const AFTER: [(&str, usize); 2] = [
    ("upstream.first_byte", index_of("upstream_ttfb_us").unwrap()),
    ("upstream.receive", index_of("upstream_receive_us").unwrap()),
];

/// 2^64 divided by the golden ratio: multiples of it are far apart.
const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;

/// Appends the stages that the transaction went through.
pub(crate) fn append(row: &Row<'_>, spans: &mut Vec<Span>) {
    let (begin, end) = row.times_ns();
    let mut number = 0;
    let mut push = |name: &str, from: i64, to: i64| {
        number += 1;
        spans.push(stage(row, number, name, from.clamp(begin, end), to.clamp(begin, end)));
    };
    let mut at = begin;
    for (name, column) in BEFORE {
        if let Some(duration) = row.duration_ns(column) {
            push(name, at, at.saturating_add(duration));
            at = at.saturating_add(duration);
        }
    }
    let durations = AFTER.map(|(_, column)| row.duration_ns(column));
    let mut at = end - durations.iter().flatten().fold(0, |sum: i64, duration| sum.saturating_add(*duration));
    for ((name, _), duration) in AFTER.into_iter().zip(durations) {
        if let Some(duration) = duration {
            push(name, at, at.saturating_add(duration));
            at = at.saturating_add(duration);
        }
    }
}

fn stage(row: &Row<'_>, number: u64, name: &str, from: i64, to: i64) -> Span {
    Span {
        trace_id: row.trace_id.to_vec(),
        span_id: id(row.span_id, number),
        parent_span_id: row.span_id.to_vec(),
        flags: flags::of(row) | flags::HAS_IS_REMOTE,
        name: name.to_owned(),
        kind: SpanKind::Internal.into(),
        start_time_unix_nano: from.unsigned_abs(),
        end_time_unix_nano: to.unsigned_abs(),
        ..Span::default()
    }
}

fn id(of: &[u8], number: u64) -> Vec<u8> {
    let parent = of.first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes));
    // All zeroes is no id.
    (parent ^ SPREAD.wrapping_mul(number)).max(1).to_be_bytes().to_vec()
}
