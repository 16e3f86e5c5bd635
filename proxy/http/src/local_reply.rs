//! The answers that the gateway gives in the upstream's place: the one place that makes them.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{
    ALLOW, CONNECTION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE,
};
use http::{Response, StatusCode};
use tollgate_record::vocabulary::{AuthFailReason, ErrorClass, Termination};

/// The header that carries the request id, upstream and to the client.
pub const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// An answer of the gateway's own, with the reason for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalReply {
    /// Status of the answer.
    pub status: StatusCode,
    /// Class in the record and in the answer's body.
    pub class: ErrorClass,
    /// Side that ended the transaction, for the record.
    pub termination: Termination,
    /// One sentence for the record. The client reads only what its class means, because a detail may name what is
    /// behind the gateway.
    pub detail: String,
    /// Fault of the credential, if that is the reason.
    pub auth: Option<AuthFailReason>,
    /// Whether the connection closes, because the rest of the request is not read.
    pub close: bool,
    /// Wait until the next try, rounded up to seconds in the answer (RFC 9110 section 10.2.3).
    pub retry_after: Option<Duration>,
    /// The methods that are served, for a 405 (RFC 9110 section 15.5.6).
    pub allow: Option<HeaderValue>,
    /// How a caller can be authenticated, one scheme a value, for a 401 (RFC 9110 section 11.6.1).
    pub challenges: Option<Arc<[HeaderValue]>>,
    /// Fields and body of an answer that the configuration gives, in the place of the gateway's own.
    pub fixed: Option<Box<Fixed>>,
}

/// An answer that the configuration gives: to a preflight, as a redirect, or in the upstream's place.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fixed {
    /// Its fields.
    pub fields: HeaderMap,
    /// Its body; `None` = the gateway's own.
    pub body: Option<Bytes>,
    /// Whether it is no failure: the record has no error class then.
    pub is_fine: bool,
}

impl LocalReply {
    /// Refuses a request, with any status.
    #[must_use]
    pub fn gateway(status: StatusCode, class: ErrorClass, detail: impl Into<String>) -> Self {
        let (termination, detail) = (Termination::Gateway, detail.into());
        Self {
            status,
            class,
            termination,
            detail,
            auth: None,
            close: false,
            retry_after: None,
            allow: None,
            challenges: None,
            fixed: None,
        }
    }

    /// Refuses a malformed request: 400, and the connection closes, because its framing cannot be trusted.
    #[must_use]
    pub fn malformed(detail: impl Into<String>) -> Self {
        Self { close: true, ..Self::gateway(StatusCode::BAD_REQUEST, ErrorClass::BadRequest, detail) }
    }

    /// Reports an upstream that broke off or could not be reached: 502.
    #[must_use]
    pub fn upstream(class: ErrorClass, detail: impl Into<String>) -> Self {
        Self { termination: Termination::Upstream, ..Self::gateway(StatusCode::BAD_GATEWAY, class, detail) }
    }

    /// Reports an upstream that took too long: 504.
    #[must_use]
    pub fn timeout(class: ErrorClass, detail: impl Into<String>) -> Self {
        Self::gateway(StatusCode::GATEWAY_TIMEOUT, class, detail)
    }

    /// Writes the answer: a small JSON object with the class, its meaning and the request id.
    #[must_use]
    pub fn response(&self, request_id: &HeaderValue) -> (Response<()>, Bytes) {
        let id = request_id.to_str().unwrap_or_default();
        let own = serde_json::json!({
            "error": self.class.as_str(), "message": self.class.client_message(), "request_id": id,
        });
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
        for challenge in self.challenges.iter().flat_map(|challenges| challenges.iter()) {
            headers.append(WWW_AUTHENTICATE, challenge.clone());
        }
        if self.close {
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        let Some(fixed) = &self.fixed else { return (response, Bytes::from(own.to_string())) };
        let body = fixed.body.clone();
        if body.is_some() {
            headers.remove(CONTENT_TYPE);
        }
        for (name, value) in &fixed.fields {
            headers.append(name, value.clone());
        }
        (response, body.unwrap_or_else(|| Bytes::from(own.to_string())))
    }
}
