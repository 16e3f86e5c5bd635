//! Makes one unambiguous request out of what a client sent, or refuses it. Pure: no I/O, no clock, no state.
//!
//! hyper has already refused broken framing; this is what it leaves to a proxy. Sources: RFC 9110 section 7.6
//! (hop-by-hop fields), RFC 9112 sections 3.2 (request target and Host) and 6.1 (transfer codings), RFC 9113 section 8.
//!
//! * exactly one valid Host on HTTP/1.1; the authority of an absolute-form target or of `:authority` wins over it
//! * a single `chunked`, once, as the only transfer coding; the framing sent upstream is our own
//! * hop-by-hop fields and those that Connection names are removed, but Connection cannot name away a field
//!   that upstreams decide by; `te: trailers` alone survives
//! * `Expect` other than 100-continue is refused, 100-continue ends here
//! * `*` only for OPTIONS; no CONNECT; one spelling for the path, see [`crate::canonical_path`]

use std::borrow::Cow;

use http::header::{
    AUTHORIZATION, CONNECTION, CONTENT_LENGTH, COOKIE, EXPECT, Entry, FORWARDED, HOST, HeaderMap, HeaderName,
    HeaderValue, TE, TRANSFER_ENCODING, UPGRADE,
};
use http::{Method, StatusCode, Uri, Version, request};
use tollgate_record::vocabulary::ErrorClass;

use crate::header_flags::{self, HeaderFlags, RequestScan};
use crate::local_reply::LocalReply;
use crate::{canonical_path, client_cert, forwarding};

/// Fields that belong to one connection. Compared by text: that tells most names apart by their length alone.
fn is_hop_by_hop(name: &HeaderName) -> bool {
    matches!(
        name.as_str(),
        "connection"
            | "keep-alive"
            | "proxy-connection"
            | "proxy-authorization"
            | "http2-settings"
            | "te"
            | "transfer-encoding"
            | "upgrade"
    )
}

/// What a request is after normalisation, beside the changed head.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Normalized {
    /// The host that the client asked for, with its port if it gave one; empty on HTTP/1.0 without Host.
    pub host: HeaderValue,
    /// The protocol that the client wants to switch to.
    pub upgrade: Option<HeaderValue>,
    /// Bytes of the head as it came, before anything was removed.
    pub head_bytes: i64,
}

/// Checks the head and removes what must not go upstream.
///
/// # Errors
/// The refusal to answer with.
pub fn request(head: &mut request::Parts, header_list_bytes_max: u32) -> Result<Normalized, LocalReply> {
    let seen = RequestScan::of(&head.headers);
    surveyed(head, seen.flags, seen.host, header_list_bytes_max)
}

/// As [`request`], of a head that was looked at, and that names this host first.
///
/// # Errors
/// The refusal to answer with.
pub fn surveyed(
    head: &mut request::Parts,
    has: HeaderFlags,
    named: Option<HeaderValue>,
    header_list_bytes_max: u32,
) -> Result<Normalized, LocalReply> {
    let head_bytes = line_bytes(head) + has.bytes;
    if head.version == Version::HTTP_2 && list_bytes(&head.headers, head_bytes) > i64::from(header_list_bytes_max) {
        let detail = format!("the header list is larger than {header_list_bytes_max} bytes");
        let status = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
        return Err(LocalReply::gateway(status, ErrorClass::TooLarge, detail));
    }
    check_target(head)?;
    if has.may_have(header_flags::TRANSFER_ENCODING) {
        check_transfer_encoding(&head.headers)?;
    }
    let host = host_of(head, has, named)?;
    if has.may_have(header_flags::EXPECT) {
        take_expect(head)?;
    }
    let upgrade = if has.may_have(header_flags::UPGRADE) { upgrade_of(head) } else { None };
    let trailers = has.may_have(header_flags::TE) && wants_trailers(&head.headers);
    strip_hop_by_hop(&mut head.headers, has);
    if has.may_have(header_flags::UNDERSCORE | header_flags::CLIENT_CERT) {
        strip(&mut head.headers, |name| is_disguised(name) || client_cert::is_field(name.as_str()));
    }
    if has.may_have(header_flags::CONTENT_LENGTH) {
        one_request_length(&mut head.headers);
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
        one_length(headers, chunked);
    }
    strip_hop_by_hop(headers, has);
    Ok(())
}

/// Whether a field is one with `_` for `-` that a client cannot set, or that frames, routes or authenticates.
fn is_disguised(name: &HeaderName) -> bool {
    if !name.as_str().as_bytes().contains(&b'_') {
        return false;
    }
    let dashed = HeaderName::try_from(name.as_str().replace('_', "-"));
    forwarding::is_disguised(name.as_str()) || dashed.is_ok_and(|name| is_protected(&name) || is_hop_by_hop(&name))
}

/// Writes a length without leading zeros, which some take for octal.
fn one_request_length(headers: &mut HeaderMap) {
    let Some(length) = headers.get(CONTENT_LENGTH) else { return };
    let text = length.to_str().unwrap_or_default();
    let digits = text.trim_start_matches('0');
    if digits.len() + usize::from(digits.is_empty()) < text.len() {
        let digits = if digits.is_empty() { "0" } else { digits };
        if let Ok(plain) = HeaderValue::from_str(digits) {
            headers.insert(CONTENT_LENGTH, plain);
        }
    }
}

/// Leaves a response no length beside `chunked`, and one length where its upstream said the same several times
/// (RFC 9112 section 6.3); lengths that differ were refused when the head was parsed.
fn one_length(headers: &mut HeaderMap, chunked: bool) {
    if chunked {
        headers.remove(CONTENT_LENGTH);
        return;
    }
    let mut lengths = headers.get_all(CONTENT_LENGTH).iter();
    let Some(length) = lengths.next() else { return };
    let several = lengths.next().is_some();
    if !several && length.as_bytes().iter().all(u8::is_ascii_digit) {
        return;
    }
    let text = length.to_str().unwrap_or_default();
    let first = text.split(',').next().unwrap_or_default().trim();
    if (several || first.len() != text.len())
        && let Ok(first) = HeaderValue::from_str(first)
    {
        headers.insert(CONTENT_LENGTH, first);
    }
}

fn check_target(head: &mut request::Parts) -> Result<(), LocalReply> {
    let path = head.uri.path();
    if head.method == Method::CONNECT {
        let detail = "CONNECT is not served here";
        return Err(LocalReply { status: StatusCode::METHOD_NOT_ALLOWED, ..LocalReply::malformed(detail) });
    }
    if path == "*" {
        return match head.method == Method::OPTIONS {
            true => Ok(()),
            false => Err(LocalReply::malformed("the target * is for OPTIONS only")),
        };
    }
    let scheme = head.uri.scheme_str();
    if scheme.is_some_and(|scheme| !scheme.eq_ignore_ascii_case("http") && !scheme.eq_ignore_ascii_case("https")) {
        return Err(LocalReply::malformed("the scheme of the request target is neither http nor https"));
    }
    if scheme.is_none() && head.uri.authority().is_some() {
        return Err(LocalReply::malformed("the request target is an authority, which is for CONNECT only"));
    }
    let bare_authority = path.is_empty() && head.uri.authority().is_some();
    if !path.starts_with('/') && !bare_authority {
        return Err(LocalReply::malformed("the request target is not a path"));
    }
    match canonical_path::canonical(path).map_err(LocalReply::malformed)? {
        Cow::Borrowed(_) => Ok(()),
        Cow::Owned(path) => respell(head, &path),
    }
}

/// Has the head ask for this path, with the query that it had.
fn respell(head: &mut request::Parts, path: &str) -> Result<(), LocalReply> {
    let target = head.uri.query().map_or_else(|| path.to_owned(), |query| format!("{path}?{query}"));
    let mut parts = head.uri.clone().into_parts();
    parts.path_and_query = target.parse().ok();
    head.uri = Uri::from_parts(parts).map_err(|_| LocalReply::malformed("the request target is not valid"))?;
    Ok(())
}

fn check_transfer_encoding(headers: &HeaderMap) -> Result<(), LocalReply> {
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    let Some(first) = codings.next() else { return Ok(()) };
    if codings.next().is_some() {
        return Err(LocalReply::malformed("more than one Transfer-Encoding"));
    }
    if first.as_bytes().eq_ignore_ascii_case(b"chunked") {
        return Ok(());
    }
    let detail = "the only transfer coding accepted is chunked, once";
    Err(LocalReply { status: StatusCode::NOT_IMPLEMENTED, ..LocalReply::malformed(detail) })
}

fn host_of(head: &request::Parts, has: HeaderFlags, named: Option<HeaderValue>) -> Result<HeaderValue, LocalReply> {
    if has.may_have(header_flags::HOSTS) {
        return Err(LocalReply::malformed("more than one Host"));
    }
    if named.is_none() && head.version == Version::HTTP_11 {
        return Err(LocalReply::malformed("Host is missing"));
    }
    if let Some(named) = &named
        && !is_host(named.as_bytes())
    {
        return Err(LocalReply::malformed("Host is not a host name with an optional port"));
    }
    let Some(authority) = head.uri.authority() else {
        return Ok(named.unwrap_or_else(|| HeaderValue::from_static("")));
    };
    if !is_host(authority.as_str().as_bytes()) {
        return Err(LocalReply::malformed("the authority is not a host name with an optional port"));
    }
    HeaderValue::from_str(authority.as_str()).map_err(|_| LocalReply::malformed("the authority is not valid"))
}

/// `uri-host [":" port]` of RFC 3986 section 3.2, without the empty host.
fn is_host(text: &[u8]) -> bool {
    if let Some(rest) = text.strip_prefix(b"[") {
        let Some(end) = memchr::memchr(b']', rest) else { return false };
        let address = |b: &u8| b.is_ascii_hexdigit() || b":.".contains(b);
        return end > 0 && rest[..end].iter().all(address) && is_port(&rest[end + 1..]);
    }
    let (name, port) = text.split_at(memchr::memchr(b':', text).unwrap_or(text.len()));
    let allowed = |b: &u8| b.is_ascii_alphanumeric() || b"-._~%!$&'()*+,;=".contains(b);
    !name.is_empty() && name.iter().all(allowed) && is_port(port)
}

/// `[":" *DIGIT]`.
fn is_port(text: &[u8]) -> bool {
    text.is_empty() || text.strip_prefix(b":").is_some_and(|digits| digits.iter().all(u8::is_ascii_digit))
}

fn take_expect(head: &mut request::Parts) -> Result<(), LocalReply> {
    let mut expected = head.headers.get_all(EXPECT).iter();
    if !expected.all(|expect| expect.as_bytes().eq_ignore_ascii_case(b"100-continue")) {
        let detail = "the only expectation served is 100-continue";
        return Err(LocalReply { status: StatusCode::EXPECTATION_FAILED, ..LocalReply::malformed(detail) });
    }
    head.headers.remove(EXPECT);
    Ok(())
}

/// An HTTP/1.1 request without a body that asks for another protocol in both fields that must say so.
fn upgrade_of(head: &request::Parts) -> Option<HeaderValue> {
    let wanted = head.headers.get(UPGRADE)?;
    let bodyless = !head.headers.contains_key(CONTENT_LENGTH) && !head.headers.contains_key(TRANSFER_ENCODING);
    let named = connection_options(&head.headers).any(|option| option.eq_ignore_ascii_case("upgrade"));
    let h2c = protocols(wanted).any(|protocol| protocol.starts_with("h2c"));
    (head.version == Version::HTTP_11 && bodyless && named && !h2c).then(|| wanted.clone())
}

/// The protocols that an Upgrade names, in lower case.
fn protocols(upgrade: &HeaderValue) -> impl Iterator<Item = String> {
    let names = upgrade.to_str().unwrap_or_default().split(',');
    names.map(|name| name.trim().to_ascii_lowercase()).filter(|name| !name.is_empty())
}

/// Whether an upstream that switches protocols switches to what it was offered.
#[must_use]
pub fn is_offered(switched_to: Option<&HeaderValue>, offered: Option<&HeaderValue>) -> bool {
    let (Some(switched_to), Some(offered)) = (switched_to, offered) else { return false };
    let offered: Vec<String> = protocols(offered).collect();
    let mut chosen = protocols(switched_to).peekable();
    chosen.peek().is_some() && chosen.all(|protocol| offered.contains(&protocol))
}

fn wants_trailers(headers: &HeaderMap) -> bool {
    let values = headers.get_all(TE).iter().filter_map(|te| te.to_str().ok());
    values.flat_map(|te| te.split(',')).any(|te| te.trim().eq_ignore_ascii_case("trailers"))
}

fn connection_options(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    options_in(headers.get_all(CONNECTION).iter())
}

fn options_in<'a>(values: impl Iterator<Item = &'a HeaderValue>) -> impl Iterator<Item = &'a str> {
    let values = values.filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(str::trim)
}

fn strip_hop_by_hop(headers: &mut HeaderMap, has: HeaderFlags) {
    if has.may_have(header_flags::CONNECTION) {
        strip_connection(headers);
    }
    if has.may_have(header_flags::HOP_BY_HOP & !header_flags::CONNECTION) {
        // One look at each name costs less than a look-up for each field that may be there.
        strip(headers, is_hop_by_hop);
    }
}

/// Removes Connection, and the fields that it names.
fn strip_connection(headers: &mut HeaderMap) {
    let Entry::Occupied(connection) = headers.entry(CONNECTION) else { return };
    let usual = |value: &HeaderValue| matches!(value.as_bytes(), b"keep-alive" | b"close");
    let mut values = connection.iter();
    let one_usual = values.next().is_some_and(usual) && values.next().is_none();
    if one_usual {
        connection.remove();
        return;
    }
    let nominated: Vec<HeaderName> = options_in(connection.iter())
        .filter(|option| !option.eq_ignore_ascii_case("close") && !option.eq_ignore_ascii_case("keep-alive"))
        .filter_map(|option| option.parse().ok())
        .filter(|name| !is_protected(name))
        .collect();
    connection.remove_entry_mult();
    for name in nominated {
        headers.remove(name);
    }
}

/// Fields that upstreams decide by; Connection cannot take them away.
fn is_protected(name: &HeaderName) -> bool {
    let text = name.as_str();
    [HOST, AUTHORIZATION, CONTENT_LENGTH, COOKIE, FORWARDED].contains(name)
        || text.starts_with("x-forwarded-")
        || matches!(text, "x-request-id" | "x-correlation-id" | "traceparent" | "tracestate" | "content-type")
}

/// Removes every field whose name `goes`.
pub fn strip(headers: &mut HeaderMap, goes: impl Fn(&HeaderName) -> bool) {
    while let Some(name) = headers.keys().find(|name| goes(name)).cloned() {
        headers.remove(name);
    }
}

/// Removes from a request's trailers what could not pass as a field of its head, or frames, routes or authenticates it
/// (RFC 9110 section 6.5.1).
pub fn trailers(trailers: &mut HeaderMap) {
    let has = HeaderFlags::of(trailers);
    strip_hop_by_hop(trailers, has);
    strip(trailers, |name| is_protected(name) || forwarding::speaks_of_client(name.as_str()));
}

/// HTTP/2 may split Cookie; HTTP/1.1 upstreams expect one (RFC 9113 section 8.2.3).
fn join_cookies(headers: &mut HeaderMap) {
    if headers.get_all(COOKIE).iter().nth(1).is_none() {
        return;
    }
    let crumbs: Vec<&[u8]> = headers.get_all(COOKIE).iter().map(HeaderValue::as_bytes).collect();
    if let Ok(joined) = HeaderValue::from_bytes(&crumbs.join(&b"; "[..])) {
        headers.insert(COOKIE, joined);
    }
}

/// Bytes of a request line.
fn line_bytes(head: &request::Parts) -> i64 {
    let uri = &head.uri;
    let target = uri.path_and_query().map_or(1, |p| p.as_str().len());
    let target = target + uri.scheme_str().map_or(0, |s| s.len() + 3) + uri.authority().map_or(0, |a| a.as_str().len());
    (head.method.as_str().len() + target + " HTTP/1.1\r\n ".len()) as i64
}

/// Bytes of a response head as HTTP/1.1 would write it.
#[must_use]
pub fn response_bytes(status: StatusCode, headers: &HeaderMap) -> i64 {
    let reason = status.canonical_reason().map_or(0, str::len);
    ("HTTP/1.1 200 \r\n".len() + reason) as i64 + header_flags::bytes_of(headers)
}

/// Bytes of an HTTP/2 header list: each field counts 32 more than its octets (RFC 9113 section 6.5.2).
fn list_bytes(headers: &HeaderMap, head_bytes: i64) -> i64 {
    head_bytes + 32 * (headers.len() as i64 + 4)
}

/// A refusal for a body or head that is too large.
#[must_use]
pub fn too_large(detail: impl Into<String>) -> LocalReply {
    LocalReply { close: true, ..LocalReply::gateway(StatusCode::PAYLOAD_TOO_LARGE, ErrorClass::TooLarge, detail) }
}

/// Refuses a head of more than `max` fields, with 431 (RFC 6585 section 5).
///
/// # Errors
/// The refusal.
pub fn check_count(headers: &HeaderMap, max: usize) -> Result<(), LocalReply> {
    if headers.len() <= max {
        return Ok(());
    }
    let status = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
    Err(LocalReply { status, ..too_large(format!("the request head has more than {max} fields")) })
}

#[cfg(any(test, fuzzing))]
pub mod promises;
#[cfg(test)]
mod tests;
