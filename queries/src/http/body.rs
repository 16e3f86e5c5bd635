//! Request bodies: JSON of one shape, bounded in length and time.

use std::time::Duration;

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{FromRequest, Request};
use axum::http::{StatusCode, header};
use serde::de::DeserializeOwned;

use super::response::Fault;
use crate::error::{ErrorKind, QueryError, TextPosition};

/// Longest request body, in bytes.
pub(super) const BODY_BYTES_MAX: usize = 256 * 1024;
/// From the end of a request's head to the end of its body.
const BODY_TIME_MAX: Duration = Duration::from_secs(10);

/// The body as `T`. It must be declared as JSON: a page of another origin can send forms and plain text without a preflight
/// request of its browser, but not JSON.
pub(super) struct JsonBody<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for JsonBody<T> {
    type Rejection = Fault;

    async fn from_request(request: Request, state: &S) -> Result<Self, Fault> {
        let named = request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let media_type = named.unwrap_or_default().split(';').next().unwrap_or_default().trim();
        if !media_type.eq_ignore_ascii_case("application/json") {
            return Err(QueryError::new(ErrorKind::NotJson, "the body is not called JSON")
                .hint("send it with the header content-type: application/json")
                .into());
        }
        match tokio::time::timeout(BODY_TIME_MAX, Bytes::from_request(request, state)).await {
            Ok(body) => Ok(Self(parsed(body)?)),
            Err(_) => {
                let message = format!("the body did not come within {} s", BODY_TIME_MAX.as_secs());
                Err(QueryError::new(ErrorKind::SlowRequest, message).into())
            }
        }
    }
}

/// The body as JSON of one shape.
fn parsed<T: DeserializeOwned>(body: Result<Bytes, BytesRejection>) -> Result<T, QueryError> {
    let body = body.map_err(|rejected| {
        if rejected.status() == StatusCode::PAYLOAD_TOO_LARGE {
            return QueryError::new(ErrorKind::TooLarge, format!("the body has more than {BODY_BYTES_MAX} bytes"));
        }
        QueryError::new(ErrorKind::Syntax, format!("the body cannot be read: {rejected}"))
    })?;
    serde_json::from_slice(&body).map_err(|error| {
        let position = TextPosition { line: error.line() as u64, column: error.column() as u64 };
        QueryError::new(ErrorKind::Syntax, format!("the body is not the JSON that is expected here: {error}"))
            .at((position.line > 0).then_some(position))
    })
}
