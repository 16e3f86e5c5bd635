//! The spans sink: transactions that are part of a trace, exported as spans over OTLP/HTTP (OpenTelemetry Protocol 1.x,
//! protobuf). The proxy does nothing for it but write its records.
//!
//! ```text
//!   frames ─▶ rows in a trace ─▶ sampling ─▶ spans ─▶ POST ENDPOINT/v1/traces ─▶ answer
//!                    │               │                      ▲                      │
//!              no trace: passed   counted                   │    200: the next request; some spans may be refused: counted
//!                                                           ├─── 429, 502, 503, 504, no answer: again, after Retry-After
//!                                                           ├─── 413: in halves
//!                                                           │    400: frame by frame, the refused one to the dead letters
//!                                                           └─── anything else (401, 404 …): again once the client is made anew
//! ```
//!
//! | part of a span | from |
//! |---|---|
//! | trace, span, parent, sampled flag | `trace_id`, `span_id`, `parent_span_id`, `trace_sampled` |
//! | name | `{method} {http_route}`, the method alone without a template |
//! | kind | server; the stages are internal spans below it, see `stages.rs` |
//! | status | error for 5xx, for an answer that broke off, and for none; never for 4xx |
//! | attributes | the stable HTTP conventions, and `tollgate.*`; see `attributes.rs` |
//! | resource | the proxy: `service.name`, `service.instance.id` (node), version, environment, zone |
//!
//! **Sampling.** A trace that its caller sampled, or that the proxy began, is exported if [`SpansConfig::ratio`] keeps it; the rule is that of
//! the SDKs' `TraceIdRatioBased`, so all parts of a trace are kept by all who use it. [`SpansConfig::errors`] and
//! [`SpansConfig::slow_after`] add what failed or was slow, sampled or not. What is in no trace has no id to be exported under.
//!
//! **Delivery.** At least once: a frame counts as delivered when its last span was taken. Requests that were taken are not repeated
//! within one process; after a restart or a replay the ids of spans are the same, so a receiver can tell doubles.
//!
//! **Limits.** One request at a time, of at most [`SpansConfig::batch_spans_max`] spans (a record gives 6 spans of at most about 8 KiB
//! together); answers are read up to 64 KiB; every wait ends with [`SpansConfig::timeout`].

mod attributes;
mod config;
mod counters;
mod flags;
mod post;
mod request;
mod row;
mod sampling;
mod sink;
mod span;
mod stages;
#[cfg(test)]
mod tests;

pub use attributes::SERVICE_NAME;
pub use config::{BATCH_SPANS_LIMIT, BATCH_SPANS_MIN, Compression, Errors, SpansConfig};
pub use sink::{FAILURES_BEFORE_REBUILD, SpansSink};
