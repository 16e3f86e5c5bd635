//! Answers and errors as HTTP responses.

use axum::body::Body;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::error::QueryError;
use crate::result::Format;

/// An error on its way out.
pub(super) struct Fault(pub QueryError);

impl From<QueryError> for Fault {
    fn from(error: QueryError) -> Self {
        Self(error)
    }
}

#[derive(Serialize)]
struct FaultBody<'e> {
    error: crate::error::ErrorKind,
    message: &'e str,
    line: Option<u64>,
    column: Option<u64>,
    hint: Option<&'e str>,
}

impl IntoResponse for Fault {
    fn into_response(self) -> Response {
        let error = &self.0;
        let status = StatusCode::from_u16(error.kind.http_status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body = FaultBody {
            error: error.kind,
            message: &error.message,
            line: error.position.map(|position| position.line),
            column: error.position.map(|position| position.column),
            hint: error.hint.as_deref(),
        };
        json(status, &body)
    }
}

/// A response of JSON.
pub(super) fn json(status: StatusCode, body: &impl Serialize) -> Response {
    match serde_json::to_vec_pretty(body) {
        Ok(mut text) => {
            text.push(b'\n');
            bytes(status, "application/json", text)
        }
        Err(error) => {
            tracing::error!(%error, "a response cannot be written as JSON");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

/// A response that is not to be kept or guessed at.
pub(super) fn bytes(status: StatusCode, content_type: &'static str, body: impl Into<Body>) -> Response {
    let headers = [
        (header::CONTENT_TYPE, content_type),
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::CONTENT_SECURITY_POLICY, "default-src 'none'; style-src 'unsafe-inline'"),
    ];
    (status, headers, body.into()).into_response()
}

/// The headers of an answer: what does not fit into a form's body.
pub(super) fn head(mut response: Response, truncated: Option<bool>, warnings: &[String]) -> Result<Response, Fault> {
    let headers = response.headers_mut();
    if let Some(truncated) = truncated {
        headers.insert("x-tollgate-truncated", if truncated { "true" } else { "false" }.parse().map_err(unwritable)?);
    }
    for warning in warnings {
        headers.append("x-tollgate-warning", warning.parse().map_err(unwritable)?);
    }
    Ok(response)
}

fn unwritable(error: axum::http::header::InvalidHeaderValue) -> Fault {
    Fault(QueryError::new(crate::error::ErrorKind::Internal, format!("a warning is no header: {error}")))
}

/// The form for a reader who did not name one: a page for a browser, JSON for all others.
pub(super) fn preferred(headers: &HeaderMap) -> Format {
    let accepts = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if accepts.contains("text/html") {
        return Format::Html;
    }
    match accepts {
        "text/csv" => Format::Csv,
        "application/vnd.apache.arrow.stream" => Format::Arrow,
        _ => Format::Json,
    }
}
