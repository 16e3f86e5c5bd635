//! What of a request may stand in its record: the rules of [`tollgate_record::redact`], applied with reused buffers.

use http::header::{HeaderMap, HeaderValue};
use tollgate_record::columns::{HEADERS_BYTES_MAX, PATH_BYTES_MAX, QUERY_BYTES_MAX};
use tollgate_record::redact::{self, Headers, QueryPolicy};

/// Bytes of a free text: user agent, correlation id.
const TEXT_BYTES_MAX: usize = 256;

/// The allow-listed headers as a JSON object; `None` when the route allows none, or none is there.
#[must_use]
pub fn headers(headers: &HeaderMap, allowed: &Headers) -> Option<String> {
    if allowed.is_empty() {
        return None;
    }
    let (mut out, mut scratch) = (String::with_capacity(HEADERS_BYTES_MAX.min(512)), String::new());
    let pairs: Vec<(&str, &[u8])> = headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
    allowed.write(pairs.iter().copied(), &mut scratch, &mut out).then_some(out)
}

/// Writes the scrubbed path into `out`.
pub fn path(path: &str, out: &mut String) {
    out.clear();
    redact::scrub_path(path, PATH_BYTES_MAX, out);
}

/// Writes the query by policy into `out`.
pub fn query(query: &str, policy: &QueryPolicy, out: &mut String) {
    out.clear();
    policy.apply(query, QUERY_BYTES_MAX, out);
}

/// Writes a free text of the client's into `out`, without control characters.
pub fn text<'a>(value: &HeaderValue, out: &'a mut String) -> &'a str {
    out.clear();
    redact::text::clean_bytes(value.as_bytes(), TEXT_BYTES_MAX, out);
    out
}
