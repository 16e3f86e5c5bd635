//! A transaction as a span, by the HTTP semantic conventions for servers.

use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use opentelemetry_proto::tonic::trace::v1::{Span, Status};
use tollgate_record::columns::index_of;

use crate::row::Row;
use crate::{attributes, flags, stages};

const METHOD: usize = index_of("method").unwrap();
const HTTP_ROUTE: usize = index_of("http_route").unwrap();
const ERROR_DETAIL: usize = index_of("error_detail").unwrap();

/// Method of the record for all that are not known; the span's name then says `HTTP`.
const OTHER_METHOD: &str = "_OTHER";

/// Appends the span of a transaction, and those of its stages.
pub(crate) fn append(row: &Row<'_>, spans: &mut Vec<Span>) {
    let (begin, end) = row.times_ns();
    let remote = if row.parent().is_some() { flags::HAS_IS_REMOTE | flags::IS_REMOTE } else { 0 };
    spans.push(Span {
        trace_id: row.trace_id.to_vec(),
        span_id: row.span_id.to_vec(),
        parent_span_id: row.parent().unwrap_or_default().to_vec(),
        flags: flags::of(row) | remote,
        name: name(row),
        kind: SpanKind::Server.into(),
        start_time_unix_nano: begin.unsigned_abs(),
        end_time_unix_nano: end.unsigned_abs(),
        attributes: attributes::of_span(row),
        status: status(row),
        ..Span::default()
    });
    stages::append(row, spans);
}

/// `{method} {template of the path}`, or the method alone: no name may hold what a client can choose.
fn name(row: &Row<'_>) -> String {
    let method = row.text(METHOD).filter(|method| *method != OTHER_METHOD).unwrap_or("HTTP");
    match row.text(HTTP_ROUTE) {
        Some(route) => format!("{method} {route}"),
        None => method.to_owned(),
    }
}

/// Unset where nothing is wrong: `Ok` is for applications to say.
fn status(row: &Row<'_>) -> Option<Status> {
    let message = row.text(ERROR_DETAIL).unwrap_or_default().to_owned();
    row.failed().then(|| Status { message, code: StatusCode::Error.into() })
}
