//! Makes one unambiguous request of what a client sent, or refuses it.
//!
//! hyper has already refused broken framing; this module does what hyper leaves to a proxy. Sources: RFC 9110 section
//! 7.6 (hop-by-hop fields), RFC 9112 sections 3.2 (request target and Host) and 6.1 (transfer codings), RFC 9113
//! section 8.
//!
//! * An HTTP/1.1 request has exactly one valid Host. The authority of an absolute-form target or of `:authority` wins
//!   over it.
//! * The only transfer coding is a single `chunked`, once. The framing sent upstream is the gateway's own.
//! * Hop-by-hop fields and the fields that Connection names are removed. Connection cannot name away a field that
//!   upstreams decide by. Of TE, only `trailers` is kept.
//! * An `Expect` other than 100-continue is refused; 100-continue ends here.
//! * `*` is for OPTIONS only. CONNECT is refused. A path has one spelling: see [`crate::canonical_path`].

mod framing;
mod hop_by_hop;
#[cfg(any(test, fuzzing))]
pub mod promises;
mod target;
#[cfg(test)]
mod tests;
mod upgrade;

use http::header::{COOKIE, HeaderMap, HeaderValue, TE, TRANSFER_ENCODING};
use http::{StatusCode, Version, request};
use tollgate_record::vocabulary::ErrorClass;

use self::framing::{check_transfer_encoding, reduce_length, take_expect, without_leading_zeros};
use crate::field_kinds::{is_disguised, is_protected, remove_where, speaks_of_client, tells_of_caller};
use crate::header_flags::{self, HeaderFlags, RequestScan};
use crate::local_reply::LocalReply;

pub use self::upgrade::is_offered;

/// Facts of a request that normalising finds, beside the changed head.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Normalized {
    /// The host that the client asked for, with its port if it gave one; empty on HTTP/1.0 without Host.
    pub host: HeaderValue,
    /// The protocol that the client wants to switch to.
    pub upgrade: Option<HeaderValue>,
    /// Bytes of the head as it came, before anything was removed.
    pub head_bytes: i64,
}

/// Checks the head of a request and removes what must not go upstream.
///
/// # Errors
/// The reply to a request that is refused.
pub fn request(head: &mut request::Parts, header_list_bytes_max: u32) -> Result<Normalized, LocalReply> {
    let seen = RequestScan::of(&head.headers);
    scanned(head, seen.flags, seen.host, header_list_bytes_max)
}

/// As [`request()`], of a head whose fields were scanned before; `named` is its first Host.
///
/// # Errors
/// The reply to a request that is refused.
pub fn scanned(
    head: &mut request::Parts,
    has: HeaderFlags,
    named: Option<HeaderValue>,
    header_list_bytes_max: u32,
) -> Result<Normalized, LocalReply> {
    let head_bytes = target::line_bytes(head) + has.bytes;
    if head.version == Version::HTTP_2 && list_bytes(&head.headers, head_bytes) > i64::from(header_list_bytes_max) {
        let detail = format!("the header list is larger than {header_list_bytes_max} bytes");
        let status = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
        return Err(LocalReply::gateway(status, ErrorClass::TooLarge, detail));
    }
    target::check(head)?;
    if has.may_have(header_flags::TRANSFER_ENCODING) {
        check_transfer_encoding(&head.headers)?;
    }
    let host = target::host(head, has, named)?;
    if has.may_have(header_flags::EXPECT) {
        take_expect(head)?;
    }
    let upgrade = if has.may_have(header_flags::UPGRADE) { upgrade::wanted(head) } else { None };
    let trailers = has.may_have(header_flags::TE) && hop_by_hop::wants_trailers(&head.headers);
    hop_by_hop::strip(&mut head.headers, has);
    if has.may_have(header_flags::UNDERSCORE | header_flags::CLIENT_CERT) {
        remove_where(&mut head.headers, |name| is_disguised(name) || tells_of_caller(name.as_str()));
    }
    if has.may_have(header_flags::CONTENT_LENGTH) {
        without_leading_zeros(&mut head.headers);
    }
    if trailers {
        head.headers.insert(TE, HeaderValue::from_static("trailers"));
    }
    if head.version == Version::HTTP_2 && has.may_have(header_flags::COOKIE) {
        join_cookies(&mut head.headers);
    }
    Ok(Normalized { host, upgrade, head_bytes })
}

/// Checks the head of an upstream's response and removes what must not go to the client.
///
/// # Errors
/// A sentence about a transfer coding that cannot be passed on.
pub fn response(headers: &mut HeaderMap) -> Result<(), &'static str> {
    let has = HeaderFlags::of(headers);
    if has.may_have(header_flags::TRANSFER_ENCODING)
        && let Some(coding) = headers.get(TRANSFER_ENCODING)
        && !coding.as_bytes().eq_ignore_ascii_case(b"chunked")
    {
        return Err("the upstream answered with a transfer coding other than chunked");
    }
    let chunked = has.may_have(header_flags::TRANSFER_ENCODING);
    if has.may_have(header_flags::ODD_LENGTH) || (chunked && has.may_have(header_flags::CONTENT_LENGTH)) {
        reduce_length(headers, chunked);
    }
    hop_by_hop::strip(headers, has);
    Ok(())
}

/// Removes from a request's trailers what could not pass as a field of its head, or frames, routes or authenticates it
/// (RFC 9110 section 6.5.1).
pub fn trailers(trailers: &mut HeaderMap) {
    let has = HeaderFlags::of(trailers);
    hop_by_hop::strip(trailers, has);
    remove_where(trailers, |name| is_protected(name) || speaks_of_client(name.as_str()));
}

/// Joins the Cookie fields into one: HTTP/2 may split them, and HTTP/1.1 upstreams expect one (RFC 9113 section 8.2.3).
fn join_cookies(headers: &mut HeaderMap) {
    if headers.get_all(COOKIE).iter().nth(1).is_none() {
        return;
    }
    let crumbs: Vec<&[u8]> = headers.get_all(COOKIE).iter().map(HeaderValue::as_bytes).collect();
    if let Ok(joined) = HeaderValue::from_bytes(&crumbs.join(&b"; "[..])) {
        headers.insert(COOKIE, joined);
    }
}

/// Returns the bytes of a response head as HTTP/1.1 would write it.
#[must_use]
pub fn response_bytes(status: StatusCode, headers: &HeaderMap) -> i64 {
    let reason = status.canonical_reason().map_or(0, str::len);
    ("HTTP/1.1 200 \r\n".len() + reason) as i64 + header_flags::bytes_of(headers)
}

/// Returns the size of an HTTP/2 header list, where each field counts 32 more than its octets (RFC 9113 section 6.5.2).
fn list_bytes(headers: &HeaderMap, head_bytes: i64) -> i64 {
    head_bytes + 32 * (headers.len() as i64 + 4)
}

/// Refuses a body or head that is too large, with 413.
#[must_use]
pub fn too_large(detail: impl Into<String>) -> LocalReply {
    LocalReply { close: true, ..LocalReply::gateway(StatusCode::PAYLOAD_TOO_LARGE, ErrorClass::TooLarge, detail) }
}

/// Refuses a head of more than `max` fields, with 431 (RFC 6585 section 5).
///
/// # Errors
/// The reply.
pub fn check_count(headers: &HeaderMap, max: usize) -> Result<(), LocalReply> {
    if headers.len() <= max {
        return Ok(());
    }
    let status = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
    Err(LocalReply { status, ..too_large(format!("the request head has more than {max} fields")) })
}
