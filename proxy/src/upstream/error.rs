//! Why an upstream gave no response, who is at fault, and whether the request may be sent again.
//!
//! All three are decided where the error is born, because only there is it known what was sent and what was seen.
//! Whether a request *is* sent again is the caller's policy.

use std::error::Error;

use http::Request;
use tollgate_record::vocabulary::ErrorClass;

use crate::upstream::PeerAddr;

/// An exchange that ended without the head of a response.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub struct UpstreamError {
    pub class: ErrorClass,
    pub fault: Fault,
    pub retry: Retry,
    /// Whether a deadline passed, rather than something failed.
    pub timed_out: bool,
    /// One sentence for the record.
    pub detail: String,
}

/// A request that got no response.
#[derive(Debug)]
pub struct SendError<B> {
    pub error: UpstreamError,
    /// The request, if hyper gave it back: not a byte of it was sent.
    pub unsent: Option<Request<B>>,
}

/// Who is at fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The proxy, its configured bounds, or the resolver that it uses.
    Gateway,
    Upstream,
}

/// Which requests may be sent again after the error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retry {
    /// Any, whatever its method: the upstream has provably not looked at it.
    Unprocessed,
    /// An idempotent one: no byte of a response was seen, but the upstream may have acted (RFC 9110 section 9.2.2).
    IfIdempotent,
    /// None: a response had begun.
    Never,
}

impl UpstreamError {
    /// An upstream that broke off or cannot be reached. Nothing was sent.
    pub(super) fn unreachable(class: ErrorClass, detail: impl Into<String>) -> Self {
        let (fault, retry, detail) = (Fault::Upstream, Retry::Unprocessed, detail.into());
        Self { class, fault, retry, timed_out: false, detail }
    }

    /// A bound of the proxy, or its resolver, stands in the way. Nothing was sent.
    pub(super) fn gateway(class: ErrorClass, detail: impl Into<String>) -> Self {
        Self { fault: Fault::Gateway, ..Self::unreachable(class, detail) }
    }

    /// A deadline passed on the way to a connection. Nothing was sent.
    pub(super) fn timeout(class: ErrorClass, detail: impl Into<String>) -> Self {
        Self { timed_out: true, ..Self::gateway(class, detail) }
    }

    /// The upstream did not accept the connection in time.
    pub(super) fn connect_timeout() -> Self {
        Self::timeout(ErrorClass::ConnectTimeout, "the upstream did not accept the connection in time")
    }

    /// hyper's error for a request that was handed to a connection. `unseen`: no byte was read since.
    pub(super) fn of_exchange(error: &hyper::Error, addr: &PeerAddr, http2: bool, unseen: bool) -> Self {
        // On HTTP/2, hyper reports a user error for a request whose connection broke before its stream was opened.
        let unprocessed = http2 && (is_unprocessed(error) || error.is_user());
        let retry = match (unprocessed, http2 || unseen) {
            (true, _) => Retry::Unprocessed,
            (false, true) => Retry::IfIdempotent,
            (false, false) => Retry::Never,
        };
        if error.is_user() && !http2 {
            let detail = format!("the request could not be sent: {error}");
            return Self { retry, ..Self::gateway(ErrorClass::Internal, detail) };
        }
        let (class, detail) = match h2_error(error) {
            _ if error.is_parse() => (ErrorClass::UpstreamProtocol, format!("{addr} did not answer in HTTP: {error}")),
            Some(h2) if h2.is_library() || h2.reason() == Some(h2::Reason::PROTOCOL_ERROR) => {
                (ErrorClass::UpstreamProtocol, format!("{addr} broke HTTP/2: {h2}"))
            }
            Some(h2) if !h2.is_io() => (ErrorClass::UpstreamReset, format!("{addr} ended the stream: {h2}")),
            _ => (ErrorClass::UpstreamReset, format!("{addr} closed before it answered")),
        };
        Self { retry, ..Self::unreachable(class, detail) }
    }
}

fn h2_error(error: &hyper::Error) -> Option<&h2::Error> {
    error.source()?.downcast_ref()
}

/// Whether the upstream says that it has not looked at the request: by GOAWAY below its stream, or by REFUSED_STREAM
/// (RFC 9113 section 8.7).
fn is_unprocessed(error: &hyper::Error) -> bool {
    h2_error(error).is_some_and(|error| error.is_remote() && error.is_go_away()) || is_refused_stream(error)
}

/// Whether the upstream refused this stream alone. Its connection takes further requests.
pub(super) fn is_refused_stream(error: &hyper::Error) -> bool {
    let refused = |error: &h2::Error| error.is_reset() && error.reason() == Some(h2::Reason::REFUSED_STREAM);
    h2_error(error).is_some_and(|error| error.is_remote() && refused(error))
}
