//! The request target, and the host that it is for.

use std::borrow::Cow;

use http::header::HeaderValue;
use http::{Method, StatusCode, Uri, Version, request};

use crate::canonical_path;
use crate::header_flags::{self, HeaderFlags};
use crate::local_reply::LocalReply;

/// Checks the target and gives its path the one spelling.
pub(super) fn check(head: &mut request::Parts) -> Result<(), LocalReply> {
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

/// Replaces the path of the target; the query stays.
fn respell(head: &mut request::Parts, path: &str) -> Result<(), LocalReply> {
    let target = head.uri.query().map_or_else(|| path.to_owned(), |query| format!("{path}?{query}"));
    let mut parts = head.uri.clone().into_parts();
    parts.path_and_query = target.parse().ok();
    head.uri = Uri::from_parts(parts).map_err(|_| LocalReply::malformed("the request target is not valid"))?;
    Ok(())
}

/// Returns the host that the client asked for: the authority of the target, else the Host field.
pub(super) fn host(
    head: &request::Parts,
    has: HeaderFlags,
    named: Option<HeaderValue>,
) -> Result<HeaderValue, LocalReply> {
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

/// Returns whether a text is `uri-host [":" port]` (RFC 3986 section 3.2). The empty host is none.
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

/// Returns whether a text is empty or `":" *DIGIT`.
fn is_port(text: &[u8]) -> bool {
    text.is_empty() || text.strip_prefix(b":").is_some_and(|digits| digits.iter().all(u8::is_ascii_digit))
}

/// Returns the bytes of the request line.
pub(super) fn line_bytes(head: &request::Parts) -> i64 {
    let uri = &head.uri;
    let target = uri.path_and_query().map_or(1, |p| p.as_str().len());
    let target = target + uri.scheme_str().map_or(0, |s| s.len() + 3) + uri.authority().map_or(0, |a| a.as_str().len());
    (head.method.as_str().len() + target + " HTTP/1.1\r\n ".len()) as i64
}
