//! Answers of queries: a small one whole, as it always was, and a large one as its rows come.
//!
//! ```text
//!   rows ─▶ up to HEAD_BYTES_MAX ─┬─ that was all ─▶ one body with its length, warnings in headers
//!                                 └─ there is more ─▶ chunks, one for each portion of rows, as fast as they are read
//! ```
//! Once chunks are sent, the status is 200, whatever comes. An answer that then breaks off has a last line that says why (see
//! [`broken`]), and its body is not ended as HTTP asks: whoever only looks at the transfer sees that it failed, too. A form
//! without a place for a warning after its rows breaks off as well where rows are cut off.

use std::io;
use std::time::{Duration, Instant};

use axum::body::{Body, Bytes};
use axum::extract::FromRequestParts;
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::Response;
use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::logical_expr::LogicalPlan;
use futures::stream;
use tokio::task::JoinHandle;
use tollgate_net::CancellationToken;

use super::response::{Fault, bytes, head as with_headers};
use crate::engine::{Engine, PORTION_ROWS, QueryStream, Step, cut_warning};
use crate::error::{ErrorKind, QueryError};
use crate::result::{Format, broken, head, rows_encoder, tail};

/// An answer with fewer bytes is sent whole.
const HEAD_BYTES_MAX: usize = 256 * 1024;
/// Rows of a page for a browser, which is always sent whole.
const PAGE_ROWS_MAX: usize = 10_000;
/// After the end of a query's time, its reader has this long to take what waits. Then the connection is cut.
const READ_GRACE: Duration = Duration::from_secs(5);
/// Between an answer's last line and its break: a reader that takes its answer has the line by then.
const BREAK_PAUSE: Duration = Duration::from_secs(1);

/// Cuts the connection of a request.
#[derive(Clone)]
pub(super) struct Cut(pub CancellationToken);

impl<S: Sync> FromRequestParts<S> for Cut {
    type Rejection = Fault;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Fault> {
        // Without a connection there is nothing to cut.
        Ok(parts.extensions.get::<Self>().cloned().unwrap_or_else(|| Self(CancellationToken::new())))
    }
}

/// Runs a plan and answers with its rows.
pub(super) async fn answer(
    engine: &Engine,
    (plan, sql): (LogicalPlan, &str),
    format: Format,
    cut: Cut,
) -> Result<Response, Fault> {
    if format == Format::Html {
        let as_it_is = |_: &SchemaRef| Ok(Ok::<RecordBatch, QueryError>);
        let page = engine.stream(plan, sql, None, PORTION_ROWS, as_it_is).await?.collect(PAGE_ROWS_MAX).await?;
        let response = bytes(StatusCode::OK, format.content_type(), page.render(format)?);
        return with_headers(response, Some(page.truncated), &page.warnings);
    }
    let encoder = move |schema: &SchemaRef| rows_encoder(format, schema);
    let mut rows = engine.stream(plan, sql, None, PORTION_ROWS, encoder).await?;
    let mut begun = head(format, rows.schema())?;
    while begun.len() < HEAD_BYTES_MAX {
        match rows.next().await? {
            Step::Rows(portion) => begun.extend_from_slice(&portion),
            Step::End(summary) => {
                begun.extend(tail(format, &summary)?);
                let response = bytes(StatusCode::OK, format.content_type(), begun);
                return with_headers(response, Some(summary.truncated), &summary.warnings);
            }
        }
    }
    let warnings = rows.warnings().to_vec();
    let watch = Watch::new(rows.deadline(), cut);
    let sent = Sent { format, rows_max: engine.limits().rows_max, rows, _watch: watch };
    let chunks = stream::unfold(Stage::Begun(begun, sent), next_chunk);
    with_headers(bytes(StatusCode::OK, format.content_type(), Body::from_stream(chunks)), None, &warnings)
}

/// An answer on its way to its reader.
struct Sent {
    format: Format,
    rows_max: usize,
    rows: QueryStream<Vec<u8>>,
    _watch: Watch,
}

/// How far it is.
enum Stage {
    Begun(Vec<u8>, Sent),
    Rows(Sent),
    Breaks(QueryError),
    Over,
}

async fn next_chunk(stage: Stage) -> Option<(io::Result<Bytes>, Stage)> {
    let mut sent = match stage {
        Stage::Begun(begun, sent) => return Some((Ok(begun.into()), Stage::Rows(sent))),
        Stage::Rows(sent) => sent,
        Stage::Breaks(error) => {
            tokio::time::sleep(BREAK_PAUSE).await;
            return Some((Err(io::Error::other(error)), Stage::Over));
        }
        Stage::Over => return None,
    };
    let format = sent.format;
    let ended = match sent.rows.next().await {
        Ok(Step::Rows(portion)) => {
            let (chunk, _memory) = portion.into_parts();
            return Some((Ok(chunk.into()), Stage::Rows(sent)));
        }
        Ok(Step::End(summary)) if summary.truncated && format != Format::Json => {
            Err(QueryError::new(ErrorKind::TooLarge, cut_warning(sent.rows_max)))
        }
        Ok(Step::End(summary)) => tail(format, &summary),
        Err(error) => Err(error),
    };
    Some(match ended {
        Ok(tail) => (Ok(tail.into()), Stage::Over),
        Err(error) => (Ok(broken(format, &error).into()), Stage::Breaks(error)),
    })
}

/// Cuts the connection of a reader that has not taken its answer some time after the query's end.
struct Watch(JoinHandle<()>);

impl Watch {
    fn new(deadline: Instant, cut: Cut) -> Self {
        Self(tokio::spawn(async move {
            tokio::time::sleep_until((deadline + READ_GRACE).into()).await;
            cut.0.cancel();
        }))
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.0.abort();
    }
}
