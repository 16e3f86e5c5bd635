//! The next request: as many spans as go into one, from where the last one ended.

use std::collections::BTreeMap;
use std::io::Write;

use bytes::Bytes;
use flate2::write::GzEncoder;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::InstrumentationScope;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use prost::Message;
use tollgate_record::schema;
use tollgate_sink::{Delivery, Position};

use crate::attributes;
use crate::config::Compression;
use crate::row::Row;
use crate::sampling::Sampling;
use crate::span;
use crate::stages::SPANS_OF_ONE_MAX;

/// The semantic conventions that the attributes follow.
const SCHEMA_URL: &str = "https://opentelemetry.io/schemas/1.30.0";

/// How far the spans have got.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Progress {
    /// The last frame whose spans are all exported.
    pub(crate) through: Option<Position>,
    /// The frame that is exported in part, and how many of its rows are done.
    pub(crate) part: Option<(Position, usize)>,
}

impl Progress {
    /// The first row of a frame that is not exported yet; `None` where all are.
    fn first_row(&self, position: Position) -> Option<usize> {
        if Some(position) <= self.through {
            return None;
        }
        Some(self.part.filter(|(part, _)| *part == position).map_or(0, |(_, rows)| rows))
    }
}

/// How a request is cut and built.
#[derive(Debug, Clone)]
pub(crate) struct Rules {
    pub(crate) sampling: Sampling,
    pub(crate) spans_max: usize,
    /// The request ends with the first frame that gives it spans.
    pub(crate) one_frame: bool,
    pub(crate) compression: Compression,
    pub(crate) resource: BTreeMap<String, String>,
}

/// A request, and the progress once it is taken.
#[derive(Debug, Default)]
pub(crate) struct Request {
    /// Empty when there is no span to export.
    pub(crate) body: Bytes,
    pub(crate) spans: usize,
    pub(crate) transactions: usize,
    /// Frames that spans are of, and the first and the last of them.
    pub(crate) frames: usize,
    pub(crate) first: Position,
    pub(crate) last: Position,
    pub(crate) sampled_out: u64,
    /// How far all has got then.
    pub(crate) end: Progress,
}

/// A frame that does not have the columns of a record.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct NotCanonical(pub(crate) Position);

/// Makes the next request of these frames; without spans if none are left, or none of the next frames' rows are wanted.
pub(crate) fn build(frames: &[Delivery], from: Progress, rules: &Rules) -> Result<Request, NotCanonical> {
    let mut request = Request { end: from, ..Request::default() };
    let mut resources = Vec::new();
    for frame in frames {
        let Some(first_row) = from.first_row(frame.position) else { continue };
        if rules.one_frame && request.frames > 0 {
            break;
        }
        let records = &frame.batch.records;
        if records.schema_ref().fields() != schema::wire().fields() {
            // Rows before the refused frame are exported first: a rejected frame is passed over, so all before it must be taken.
            if request.end == from {
                return Err(NotCanonical(frame.position));
            }
            break;
        }
        let mut spans = Vec::new();
        let rows = take(frame, first_row, &mut request, &mut spans, rules);
        let is_whole = rows == records.num_rows();
        request.end = match is_whole {
            true => Progress { through: Some(frame.position), part: None },
            false => Progress { part: Some((frame.position, rows)), ..request.end },
        };
        if !spans.is_empty() {
            request.first = if request.frames == 0 { frame.position } else { request.first };
            request.last = frame.position;
            request.frames += 1;
            resources.push(resource(frame, spans, rules));
        }
        if !is_whole {
            break;
        }
    }
    if !resources.is_empty() {
        request.body = encode(&ExportTraceServiceRequest { resource_spans: resources }, rules.compression);
    }
    Ok(request)
}

/// Appends the spans of a frame's rows while they fit; answers the first row that does not.
fn take(frame: &Delivery, first: usize, request: &mut Request, spans: &mut Vec<Span>, rules: &Rules) -> usize {
    let records = &frame.batch.records;
    for number in first..records.num_rows() {
        let Some(row) = Row::new(records, number) else { continue };
        if !rules.sampling.wants(row.facts()) {
            request.sampled_out += 1;
            continue;
        }
        // One transaction always fits, or nothing would ever move.
        if request.transactions > 0 && request.spans + SPANS_OF_ONE_MAX > rules.spans_max {
            return number;
        }
        let before = spans.len();
        span::append(&row, spans);
        request.spans += spans.len() - before;
        request.transactions += 1;
    }
    records.num_rows()
}

fn resource(frame: &Delivery, spans: Vec<Span>, rules: &Rules) -> ResourceSpans {
    let meta = &frame.batch.meta;
    let scope = InstrumentationScope {
        name: "tollgate".to_owned(),
        version: meta.gateway_version.clone(),
        ..InstrumentationScope::default()
    };
    ResourceSpans {
        resource: Some(attributes::of_resource(meta, &rules.resource)),
        scope_spans: vec![ScopeSpans { scope: Some(scope), spans, schema_url: SCHEMA_URL.to_owned() }],
        schema_url: SCHEMA_URL.to_owned(),
    }
}

fn encode(request: &ExportTraceServiceRequest, compression: Compression) -> Bytes {
    let plain = request.encode_to_vec();
    match compression {
        Compression::None => plain.into(),
        Compression::Gzip => {
            let mut encoder = GzEncoder::new(Vec::with_capacity(plain.len() / 4), flate2::Compression::fast());
            // Writing into memory does not fail.
            let _ = encoder.write_all(&plain);
            encoder.finish().unwrap_or_default().into()
        }
    }
}
