//! Headers: only those that the configuration allows by name.

use super::text::clean_bytes;
use crate::columns::HEADERS_BYTES_MAX;

/// These headers are never kept, whatever the configuration allows: they carry credentials.
pub const ALWAYS_DENIED: &[&str] = &[
    "authorization",
    "proxy-authorization",
    "authentication-info",
    "proxy-authentication-info",
    "cookie",
    "cookie2",
    "set-cookie",
    "set-cookie2",
    "apikey",
    "api-key",
    "x-api-key",
    "x-auth-token",
    "x-access-token",
    "x-amz-security-token",
    "x-csrf-token",
    "x-xsrf-token",
    "x-forwarded-client-cert",
    "dpop",
    "ocp-apim-subscription-key",
    "private-token",
    "x-functions-key",
    "x-goog-api-key",
    "x-vault-token",
];
/// Most bytes of one header's value.
pub const VALUE_BYTES_MAX: usize = 256;

/// Which headers are kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Headers {
    /// In lower case, in the order of the configuration.
    allowed: Vec<String>,
}

impl Headers {
    /// Keeps the headers `allowed` except [`ALWAYS_DENIED`]; [`denied`](Headers::denied) tells which are.
    pub fn new<S: AsRef<str>>(allowed: impl IntoIterator<Item = S>) -> Self {
        let allowed = allowed.into_iter().map(|name| name.as_ref().to_ascii_lowercase());
        Self { allowed: allowed.filter(|name| !Self::denied(name)).collect() }
    }

    /// Returns whether a header is never kept, so that a configuration can refuse to allow it.
    pub fn denied(name: &str) -> bool {
        ALWAYS_DENIED.iter().any(|denied| denied.eq_ignore_ascii_case(name))
    }

    /// Returns whether no header is kept: then [`write`](Headers::write) need not be called.
    pub fn is_empty(&self) -> bool {
        self.allowed.is_empty()
    }

    /// Appends the allowed ones of `headers` to `out` as a JSON object of strings. Returns false, and appends nothing, if there are
    /// none. A header that occurs several times gives one string, joined by commas (RFC 9110, section 5.3). Members that would take
    /// the object past [`HEADERS_BYTES_MAX`] are left out. `scratch` is emptied.
    pub fn write<'h>(
        &self,
        headers: impl Iterator<Item = (&'h str, &'h [u8])> + Clone,
        scratch: &mut String,
        out: &mut String,
    ) -> bool {
        let start = out.len();
        for name in &self.allowed {
            scratch.clear();
            let mut found = false;
            for (_, value) in headers.clone().filter(|(other, _)| name.eq_ignore_ascii_case(other)) {
                if found {
                    scratch.push_str(", ");
                }
                found = true;
                let left = VALUE_BYTES_MAX.saturating_sub(scratch.len());
                clean_bytes(value, left, scratch);
            }
            if !found {
                continue;
            }
            let before = out.len();
            out.push(if before == start { '{' } else { ',' });
            push_json(name, out);
            out.push(':');
            push_json(scratch, out);
            if out.len() - start >= HEADERS_BYTES_MAX {
                out.truncate(before);
            }
        }
        scratch.clear();
        let written = out.len() > start;
        if written {
            out.push('}');
        }
        written
    }
}

/// Appends `text` as a JSON string. It was cleaned before, so only quotes and backslashes need an escape.
fn push_json(text: &str, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        if matches!(c, '"' | '\\') {
            out.push('\\');
        }
        match c.is_control() {
            true => out.push('?'),
            false => out.push(c),
        }
    }
    out.push('"');
}
