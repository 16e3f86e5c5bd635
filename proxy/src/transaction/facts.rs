//! The facts of one transaction, in the groups of the registry of columns: request, auth, outcome. The group of the
//! upstream is [`crate::upstream::UpstreamFacts`]; that of TLS belongs to the connection.

use std::rc::Rc;
use std::time::Instant;

use http::header::HeaderValue;
use http::{Method, Uri, Version};
use tollgate_proxy_auth::{Failure, Principal};
use tollgate_proxy_http::trace::TraceContext;
use tollgate_record::vocabulary::{
    AclDecision, AuthFailReason, AuthPattern, AuthResult, ClientIpSource, ErrorClass, ResponseSource, Termination,
};

use crate::transaction::request_body::RequestProgress;

/// The number, time and id of a transaction.
#[derive(Debug)]
pub struct Identity {
    pub seq: i64,
    /// Microseconds since 1970 of the request's first byte.
    pub time_us: i64,
    pub request_id: HeaderValue,
}

/// Facts of the request.
#[derive(Debug)]
pub struct RequestFacts {
    /// When the first byte was read.
    pub began_at: Instant,
    /// When the head was complete.
    pub head_at: Instant,
    pub method: Method,
    pub uri: Uri,
    pub version: Version,
    pub host: Option<HeaderValue>,
    pub user_agent: Option<HeaderValue>,
    /// The caller's own id.
    pub correlation: Option<HeaderValue>,
    /// The allow-listed headers, as a JSON object.
    pub headers_json: Option<String>,
    pub trace: Option<TraceContext>,
    /// The client that a trusted hop names, if it is not the connection's.
    pub client_ip: Option<(String, ClientIpSource)>,
    /// Index into [`crate::plan::RuntimeConfig::routes`].
    pub route: Option<usize>,
    /// Index of the matched path in the route.
    pub path: usize,
    /// 0 until the head is normalized.
    pub head_bytes: i64,
    /// `None` without a body.
    pub body: Option<Rc<RequestProgress>>,
}

/// The caller's fields that answers depend on, kept until there is an answer.
#[derive(Debug, Default)]
pub struct Asked {
    /// The page's origin, where the route has `cors`.
    pub origin: Option<HeaderValue>,
    /// The caller's own id, or the request id in its place, where the route sends it back.
    pub correlation: Option<HeaderValue>,
    /// Whether the request is a preflight that the gateway answers.
    pub preflight: bool,
}

/// Facts of the presented credential that may be recorded.
#[derive(Debug, Default)]
pub struct AuthFacts {
    pub pattern: Option<AuthPattern>,
    pub result: Option<AuthResult>,
    pub fail_reason: Option<AuthFailReason>,
    /// Keyed hash of the presented credential.
    pub token_hmac: Option<[u8; 32]>,
    /// What the methods of the route found; `None` = the route has none.
    pub caller: Option<Box<CallerFacts>>,
}

/// Facts of a caller whom a route asked who it is.
#[derive(Debug, Default)]
pub struct CallerFacts {
    /// Who it is, once that is verified.
    pub principal: Option<Box<Principal>>,
    /// Why it is refused.
    pub failure: Option<Failure>,
    /// Whether it may; `None` = that was not asked.
    pub acl: Option<AclDecision>,
}

impl CallerFacts {
    /// The consumer, also of a credential that is its own and refused.
    #[must_use]
    pub fn consumer(&self) -> Option<&str> {
        let verified = self.principal.as_ref().and_then(|principal| principal.consumer.as_deref());
        verified.or_else(|| self.failure.as_ref()?.consumer.as_deref())
    }

    /// Which credential it is, never the secret.
    #[must_use]
    pub fn credential_id(&self) -> Option<&str> {
        let verified = self.principal.as_ref().and_then(|principal| principal.credential_id.as_deref());
        verified.or_else(|| self.failure.as_ref()?.credential_id.as_deref())
    }
}

impl AuthFacts {
    /// Notes the method that the route asks for, and its result; `None` = not decided yet.
    pub fn checked(&mut self, pattern: AuthPattern, result: Option<AuthResult>) {
        self.pattern = Some(pattern);
        self.result = result;
    }

    pub fn failed(&mut self, reason: AuthFailReason) {
        self.result = Some(AuthResult::Failed);
        self.fail_reason = Some(reason);
    }

    pub fn presented(&mut self, token_hmac: [u8; 32]) {
        self.token_hmac = Some(token_hmac);
    }
}

/// Facts of the response, and of how the transaction ends.
#[derive(Debug, Default)]
pub struct Outcome {
    pub status: Option<u16>,
    pub source: Option<ResponseSource>,
    pub head_bytes: Option<i64>,
    pub body_bytes: u64,
    /// Set by a local reply or a failing upstream. It wins over the `COMPLETE` that the end of the response's body
    /// reports.
    pub verdict: Option<Ending>,
}

/// How a transaction ended.
#[derive(Debug)]
pub struct Ending {
    /// Who ended it.
    pub termination: Termination,
    pub class: Option<ErrorClass>,
    /// One sentence.
    pub detail: Option<String>,
}

impl Ending {
    /// Nothing went wrong.
    pub const COMPLETE: Self = Self { termination: Termination::Complete, class: None, detail: None };

    #[must_use]
    pub fn broken(termination: Termination, class: ErrorClass, detail: impl Into<String>) -> Self {
        Self { termination, class: Some(class), detail: Some(detail.into()) }
    }
}
