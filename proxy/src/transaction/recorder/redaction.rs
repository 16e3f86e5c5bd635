//! What of a request may stand in its record: the rules of [`tollgate_record::redact`].

use http::header::{HeaderMap, HeaderValue};
use tollgate_record::columns::{HEADERS_BYTES_MAX, PATH_BYTES_MAX};
use tollgate_record::redact::{self, Headers};

/// Bytes of a free text: user agent, correlation id.
const TEXT_BYTES_MAX: usize = 256;

/// The allow-listed headers of a request as a JSON object; `None` if the route allows none, or none is there.
#[must_use]
pub fn allowed_headers(headers: &HeaderMap, allowed: &Headers) -> Option<String> {
    if allowed.is_empty() {
        return None;
    }
    let (mut out, mut scratch) = (String::with_capacity(HEADERS_BYTES_MAX.min(512)), String::new());
    let pairs: Vec<(&str, &[u8])> = headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
    allowed.write(pairs.iter().copied(), &mut scratch, &mut out).then_some(out)
}

/// A path as a record may show it.
#[must_use]
pub fn scrub_path(path: &str) -> String {
    let mut out = String::new();
    write_path(path, &mut out);
    out
}

/// Writes a path as a record may show it.
pub fn write_path(path: &str, out: &mut String) {
    out.clear();
    redact::scrub_path(path, PATH_BYTES_MAX, out);
}

/// Writes a free text of the client's without its control characters.
pub fn write_text(value: &HeaderValue, out: &mut String) {
    out.clear();
    redact::text::clean_bytes(value.as_bytes(), TEXT_BYTES_MAX, out);
}
