//! Why the gateway answers in the upstream's place, and the one place that makes such answers.

use std::time::Duration;

use bytes::Bytes;
use http::header::{ALLOW, CONNECTION, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER};
use http::{Response, StatusCode};
use tollgate_record::vocabulary::{AuthFailReason, ErrorClass, Termination};

/// The header that carries the request id, upstream and to the client.
pub const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// A request that the gateway answers itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalReply {
    /// Status of the answer.
    pub status: StatusCode,
    /// Class in the record and in the answer's body.
    pub class: ErrorClass,
    /// Who ended the transaction.
    pub termination: Termination,
    /// One sentence for the record; the client is told the class alone, as this may name what is behind the gateway.
    pub detail: String,
    /// Set when a credential is what was wrong.
    pub auth: Option<AuthFailReason>,
    /// Whether the connection must be closed, because the rest of the request is not to be read.
    pub close: bool,
    /// When to come back, rounded up to seconds (RFC 9110 section 10.2.3).
    pub retry_after: Option<Duration>,
    /// The methods that are served, of a 405 (RFC 9110 section 15.5.6).
    pub allow: Option<HeaderValue>,
}

impl LocalReply {
    /// The caller's or the gateway's doing: the gateway refuses.
    #[must_use]
    pub fn gateway(status: StatusCode, class: ErrorClass, detail: impl Into<String>) -> Self {
        let (termination, detail) = (Termination::Gateway, detail.into());
        Self { status, class, termination, detail, auth: None, close: false, retry_after: None, allow: None }
    }

    /// A malformed request: 400, and the connection closes, as its framing cannot be trusted.
    #[must_use]
    pub fn malformed(detail: impl Into<String>) -> Self {
        Self { close: true, ..Self::gateway(StatusCode::BAD_REQUEST, ErrorClass::BadRequest, detail) }
    }

    /// The upstream broke off or could not be reached: 502.
    #[must_use]
    pub fn upstream(class: ErrorClass, detail: impl Into<String>) -> Self {
        Self { termination: Termination::Upstream, ..Self::gateway(StatusCode::BAD_GATEWAY, class, detail) }
    }

    /// The upstream took too long: 504.
    #[must_use]
    pub fn timeout(class: ErrorClass, detail: impl Into<String>) -> Self {
        Self::gateway(StatusCode::GATEWAY_TIMEOUT, class, detail)
    }

    /// The answer: a small JSON object that names the class, says what it means, and has the request id.
    #[must_use]
    pub fn response(&self, request_id: &HeaderValue) -> (Response<()>, Bytes) {
        let id = request_id.to_str().unwrap_or_default();
        let body = serde_json::json!({ "error": self.class.as_str(), "message": self.class.client_message(), "request_id": id });
        let mut response = Response::new(());
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(X_REQUEST_ID, request_id.clone());
        if let Some(wait) = self.retry_after {
            headers.insert(RETRY_AFTER, HeaderValue::from(wait.as_millis().div_ceil(1_000).max(1) as u64));
        }
        if let Some(methods) = &self.allow {
            headers.insert(ALLOW, methods.clone());
        }
        if self.close {
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        (response, Bytes::from(body.to_string()))
    }
}
