//! Hosts that a route serves.

/// Longest host name that can match; DNS allows 253 octets.
pub(super) const HOST_BYTES_MAX: usize = 253;

/// Hosts that a route serves.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum HostPattern {
    /// Any host.
    Any,
    /// This host, in lower case and without a port.
    Exact(String),
    /// Every host one or more labels below this suffix (`*.example.com` holds `example.com`).
    Below(String),
}

impl HostPattern {
    /// Reads `*`, `*.example.com` or `api.example.com`.
    ///
    /// # Errors
    /// A sentence about what is wrong with the pattern.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text == "*" {
            return Ok(Self::Any);
        }
        let (suffix_only, name) = match text.strip_prefix("*.") {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        if name.is_empty() || name.len() > HOST_BYTES_MAX {
            return Err(format!("`{text}` is not a host name of 1 to {HOST_BYTES_MAX} characters"));
        }
        if name.contains(':') && !name.starts_with('[') {
            return Err(format!("`{text}` has a port; write the host alone, routes match every port"));
        }
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | '[' | ']' | ':');
        if let Some(bad) = name.chars().find(|c| !allowed(*c)) {
            return Err(format!(
                "`{text}` has `{bad}` in it; write a host name, `*.name` for every host below a name, or `*` for any"
            ));
        }
        let name = name.to_ascii_lowercase();
        Ok(if suffix_only { Self::Below(name) } else { Self::Exact(name) })
    }
}

/// Returns the host without its port and final dot: `a:80` → `a`, `[::1]:80` → `[::1]`.
#[must_use]
#[inline]
pub fn host_name(host: &str) -> &str {
    let host = host.strip_suffix('.').unwrap_or(host);
    if host.starts_with('[') {
        return host.find(']').map_or(host, |end| &host[..=end]);
    }
    let name = host.rfind(':').map_or(host, |colon| &host[..colon]);
    name.strip_suffix('.').unwrap_or(name)
}
