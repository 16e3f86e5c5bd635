//! What a route has of its own or of its service: who may come, and what is answered in the upstream's place.

use bytes::Bytes;
use http::StatusCode;
use http::header::{HeaderName, HeaderValue};
use tollgate_proxy_http::cidr::Cidr;
use tollgate_proxy_http::cors::Cors;
use tollgate_proxy_http::quota::RequestQuota;

/// Rules of one route.
#[derive(Debug, Default)]
pub struct RoutePolicy {
    /// Networks of clients.
    pub addresses: Option<Box<AddressRules>>,
    /// Status for requests without TLS.
    pub https_only: Option<StatusCode>,
    /// Requests from pages of other origins.
    pub cors: Option<Box<Cors>>,
    /// Field of the caller's own id, and whether it is sent back.
    pub correlation: Option<(HeaderName, bool)>,
    /// An answer in the upstream's place.
    pub respond: Option<Box<FixedResponse>>,
    /// Quotas of the route's requests.
    pub quota: RequestQuota,
}

/// Networks of clients.
#[derive(Debug)]
pub struct AddressRules {
    /// Networks that are served; empty = all.
    pub allow: Box<[Cidr]>,
    /// Networks that are refused.
    pub deny: Box<[Cidr]>,
}

/// An answer in the upstream's place.
#[derive(Debug)]
pub struct FixedResponse {
    /// Its status.
    pub status: StatusCode,
    /// Content-Type of its body.
    pub content_type: Option<HeaderValue>,
    /// Its body; `None` = the gateway's own.
    pub body: Option<Bytes>,
    /// Where a redirect leads.
    pub location: Option<HeaderValue>,
}
