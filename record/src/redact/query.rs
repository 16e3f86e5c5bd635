//! Queries: keys are kept, values only where a route allows them.

use super::REDACTED_VALUE;
use super::path::is_sensitive;
use super::text::clean;

/// Values of these keys are never kept, whatever a route allows. OpenTelemetry's list of signed-URL parameters, and the
/// usual names of credentials.
pub const ALWAYS_DENIED: &[&str] = &[
    "awsaccesskeyid",
    "signature",
    "sig",
    "x-amz-credential",
    "x-amz-security-token",
    "x-amz-signature",
    "x-goog-credential",
    "x-goog-signature",
    "access_token",
    "api-key",
    "api_key",
    "apikey",
    "assertion",
    "authorization",
    "client_assertion",
    "client_secret",
    "code",
    "code_verifier",
    "id_token",
    "jwt",
    "key",
    "passwd",
    "password",
    "pwd",
    "refresh_token",
    "samlresponse",
    "secret",
    "session",
    "sessionid",
    "token",
    "x-api-key",
];
/// Most parameters that are kept; the rest is left out.
pub const PARAMETERS_MAX: usize = 32;
/// Most bytes of one key.
pub const KEY_BYTES_MAX: usize = 64;
/// Most bytes of one value.
pub const VALUE_BYTES_MAX: usize = 128;

/// Which values of a query are kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QueryPolicy {
    allowed: Vec<String>,
}

impl QueryPolicy {
    /// Keeps the values of the keys `allowed`, compared without regard to case, less [`ALWAYS_DENIED`].
    pub fn new<S: Into<String>>(allowed: impl IntoIterator<Item = S>) -> Self {
        let allowed = allowed.into_iter().map(|key| key.into().to_ascii_lowercase());
        Self { allowed: allowed.filter(|key| !is_denied(key)).collect() }
    }

    /// Appends the query `raw` (without its question mark) to `out`, at most `bytes_max` bytes of it.
    ///
    /// `a=1&b=2&c` becomes `a=1&b=REDACTED&c` when `a` is allowed. A parameter without an equals sign is a key, and kept unless
    /// it looks like a secret.
    pub fn apply(&self, raw: &str, bytes_max: usize, out: &mut String) {
        let end = out.len().saturating_add(bytes_max);
        let start = out.len();
        for parameter in raw.split('&').filter(|parameter| !parameter.is_empty()).take(PARAMETERS_MAX) {
            let before = out.len();
            if before > start {
                out.push('&');
            }
            self.push_parameter(parameter, out);
            if out.len() > end {
                out.truncate(before);
                return;
            }
        }
    }

    fn push_parameter(&self, parameter: &str, out: &mut String) {
        let (key, value) = match parameter.split_once('=') {
            Some((key, value)) => (key, Some(value)),
            None => (parameter, None),
        };
        match is_sensitive(key) {
            true => out.push_str(REDACTED_VALUE),
            false => clean(key, KEY_BYTES_MAX, out),
        }
        let Some(value) = value else {
            return;
        };
        out.push('=');
        match self.keeps(key) {
            // Some servers read `;` as `&`, so a parameter that is not allowed may follow.
            true => clean(value.split(';').next().unwrap_or_default(), VALUE_BYTES_MAX, out),
            false => out.push_str(REDACTED_VALUE),
        }
    }

    /// The key is compared as it stands: a percent-encoded one matches no allowed key, so its value is never kept.
    fn keeps(&self, key: &str) -> bool {
        self.allowed.iter().any(|allowed| allowed.eq_ignore_ascii_case(key))
    }
}

fn is_denied(key: &str) -> bool {
    ALWAYS_DENIED.iter().any(|denied| denied.eq_ignore_ascii_case(key))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_allowed_value_ends_where_some_servers_see_the_next_parameter() {
        let mut out = String::new();
        QueryPolicy::new(["page"]).apply("page=2;token=abc&x;token=1", 256, &mut out);
        assert!(out.starts_with("page=2&"), "{out}");
        assert!(!out.contains("abc"), "{out}");
    }
}
