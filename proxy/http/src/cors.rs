//! Requests of browsers from pages of other origins (Fetch standard, "CORS protocol"; RFC 6454 for origins).
//!
//! An origin is compared as the browser writes it: scheme, host in lower case, port unless it is the scheme's own. A
//! pattern has `*` for whole labels at the beginning of the host, and for the port. Nothing else can be left open: a
//! text that only ends or begins with a trusted name belongs to anybody.

use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_HEADERS,
    ACCESS_CONTROL_REQUEST_METHOD, HeaderMap, HeaderName, HeaderValue, ORIGIN, VARY,
};
use http::{Method, Uri};

const REQUEST_PRIVATE_NETWORK: HeaderName = HeaderName::from_static("access-control-request-private-network");
const ALLOW_PRIVATE_NETWORK: HeaderName = HeaderName::from_static("access-control-allow-private-network");
/// Bytes of a list of fields that a preflight asks for, and that is sent back.
const ASKED_BYTES_MAX: usize = 4_096;

/// Origins that are allowed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OriginPattern {
    /// Every origin, `null` too.
    Any,
    /// Origins of one scheme.
    Of {
        /// `http`, `https`, or another that a browser has.
        scheme: String,
        /// The host, in lower case.
        host: String,
        /// Whether any labels may stand before the host, at least one.
        below: bool,
        /// The port; `None` = the scheme's own.
        port: Port,
    },
}

/// The port of an origin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Port {
    /// None is written, as it is the scheme's own.
    Own,
    /// This one.
    Is(u16),
    /// Any.
    Any,
}

impl OriginPattern {
    /// Reads `*`, `https://app.example.com`, `https://*.example.com:8443` or `http://localhost:*`.
    ///
    /// # Errors
    /// A sentence about what to write.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text == "*" {
            return Ok(Self::Any);
        }
        let cure = "write for example `https://app.example.com`, `https://*.example.com` or `http://localhost:*`";
        let wrong = || format!("`{text}` is no origin; {cure}");
        let (scheme, rest) = text.split_once("://").ok_or_else(wrong)?;
        let (host, port) = split_port(rest).ok_or_else(wrong)?;
        let (below, host) = host.strip_prefix("*.").map_or((false, host), |host| (true, host));
        let is_name =
            |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b));
        let is_host = is_name(host) || (host.starts_with('[') && host.parse::<Uri>().is_ok());
        if !is_name(scheme) || !is_host || (below && !host.contains('.')) {
            return Err(wrong());
        }
        let (scheme, host) = (scheme.to_ascii_lowercase(), host.to_ascii_lowercase());
        let port = if own_port(&scheme).map(Port::Is) == Some(port) { Port::Own } else { port };
        Ok(Self::Of { scheme, host, below, port })
    }

    /// Returns whether an origin fits, as a browser sends it.
    #[must_use]
    pub fn fits(&self, origin: &str) -> bool {
        let Self::Of { scheme, host, below, port } = self else { return true };
        let Some((their_scheme, rest)) = origin.split_once("://") else { return false };
        let Some((their_host, their_port)) = split_port(rest) else { return false };
        let their_host = their_host.to_ascii_lowercase();
        let host_fits = match below {
            false => their_host == *host,
            true => their_host.strip_suffix(host.as_str()).is_some_and(|labels| {
                labels.len() > 1
                    && labels.ends_with('.')
                    && labels.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b))
            }),
        };
        let their_port = if own_port(scheme).map(Port::Is) == Some(their_port) { Port::Own } else { their_port };
        their_scheme.eq_ignore_ascii_case(scheme)
            && host_fits
            && (*port == Port::Any || their_port == *port)
            && their_port != Port::Any
    }
}

fn own_port(scheme: &str) -> Option<u16> {
    match scheme {
        "http" => Some(80),
        "https" => Some(443),
        _ => None,
    }
}

/// Cuts `host[:port]`; `*` is any port.
fn split_port(text: &str) -> Option<(&str, Port)> {
    let end = text.rfind(']').map_or(0, |end| end + 1);
    match text[end..].split_once(':') {
        None => Some((text, Port::Own)),
        Some((_, "*")) => Some((text.strip_suffix(":*")?, Port::Any)),
        Some((before, port)) => {
            let is_number = !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit());
            let port = port.parse().ok().filter(|_| is_number)?;
            Some((&text[..end + before.len()], Port::Is(port)))
        }
    }
}

/// The rules of one route.
#[derive(Debug, Clone)]
pub struct Cors {
    /// Origins that are allowed; at least one.
    pub origins: Vec<OriginPattern>,
    /// Methods, joined by commas.
    pub methods: HeaderValue,
    /// Request fields, joined; `None` = those that are asked for.
    pub headers: Option<HeaderValue>,
    /// Response fields, joined.
    pub exposed: Option<HeaderValue>,
    /// Whether the user's credentials may be sent.
    pub credentials: bool,
    /// Seconds that a preflight's answer holds.
    pub max_age: Option<HeaderValue>,
    /// Whether pages of public networks may ask.
    pub private_network: bool,
}

impl Cors {
    /// Whether every origin gets the same answer, which then needs no `Vary`.
    fn is_for_any(&self) -> bool {
        self.origins.contains(&OriginPattern::Any)
    }

    /// Returns the origin that an answer allows; `None` = the origin is not allowed.
    #[must_use]
    pub fn allowed(&self, origin: &HeaderValue) -> Option<HeaderValue> {
        if self.is_for_any() {
            return Some(HeaderValue::from_static("*"));
        }
        let text = origin.to_str().ok()?;
        self.origins.iter().any(|pattern| pattern.fits(text)).then(|| origin.clone())
    }

    /// Returns the fields of the answer to a preflight; `None` = its origin is not allowed.
    #[must_use]
    pub fn preflight(&self, asked: &HeaderMap) -> Option<HeaderMap> {
        let origin = asked.get(ORIGIN)?;
        let mut fields = HeaderMap::new();
        fields.insert(ACCESS_CONTROL_ALLOW_ORIGIN, self.allowed(origin)?);
        fields.insert(ACCESS_CONTROL_ALLOW_METHODS, self.methods.clone());
        let wanted = asked.get(ACCESS_CONTROL_REQUEST_HEADERS).filter(|names| names.len() <= ASKED_BYTES_MAX);
        if let Some(headers) = self.headers.as_ref().or(wanted) {
            fields.insert(ACCESS_CONTROL_ALLOW_HEADERS, headers.clone());
        }
        if self.credentials {
            fields.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
        }
        if let Some(seconds) = &self.max_age {
            fields.insert(ACCESS_CONTROL_MAX_AGE, seconds.clone());
        }
        if self.private_network && asked.get(REQUEST_PRIVATE_NETWORK).is_some_and(|value| value == "true") {
            fields.insert(ALLOW_PRIVATE_NETWORK, HeaderValue::from_static("true"));
        }
        self.vary(&mut fields);
        Some(fields)
    }

    /// Writes the fields of an answer to a request of `origin`, in the place of the upstream's own. A request without an
    /// origin gets `Vary` alone, so that a cache does not give its answer to a page.
    pub fn write(&self, origin: Option<&HeaderValue>, headers: &mut HeaderMap) {
        for name in [ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_EXPOSE_HEADERS] {
            headers.remove(name);
        }
        if let Some(allowed) = origin.and_then(|origin| self.allowed(origin)) {
            headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, allowed);
            if self.credentials {
                headers.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
            }
            if let Some(exposed) = &self.exposed {
                headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, exposed.clone());
            }
        }
        self.vary(headers);
    }

    fn vary(&self, headers: &mut HeaderMap) {
        let names_origin = |value: &HeaderValue| {
            let mut names = value.to_str().unwrap_or_default().split(',').map(str::trim);
            names.any(|name| name == "*" || name.eq_ignore_ascii_case("origin"))
        };
        if !self.is_for_any() && !headers.get_all(VARY).iter().any(names_origin) {
            headers.append(VARY, HeaderValue::from_static("Origin"));
        }
    }
}

/// Returns the method that a preflight asks for; `None` = the request is no preflight.
#[must_use]
pub fn preflight_method(method: &Method, headers: &HeaderMap) -> Option<Method> {
    if *method != Method::OPTIONS || !headers.contains_key(ORIGIN) {
        return None;
    }
    Method::from_bytes(headers.get(ACCESS_CONTROL_REQUEST_METHOD)?.as_bytes()).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn cors(origins: &[&str], credentials: bool) -> Cors {
        Cors {
            origins: origins.iter().map(|text| OriginPattern::parse(text).unwrap()).collect(),
            methods: HeaderValue::from_static("GET"),
            headers: None,
            exposed: Some(HeaderValue::from_static("x-a")),
            credentials,
            max_age: None,
            private_network: true,
        }
    }

    #[test]
    fn origins_fit_whole_labels_and_nothing_that_only_looks_alike() {
        for (pattern, fits, not) in [
            (
                "https://a.example.com",
                &["https://a.example.com", "https://A.example.com", "https://a.example.com:443"][..],
                &[
                    "http://a.example.com",
                    "https://a.example.com:8443",
                    "https://a.example.com.evil",
                    "https://xa.example.com",
                    "null",
                ][..],
            ),
            (
                "https://*.example.com",
                &["https://a.example.com", "https://a.b.example.com"][..],
                &[
                    "https://example.com",
                    "https://evilexample.com",
                    "https://.example.com",
                    "https://e@a.example.com",
                    "https://evil/.example.com",
                    "https://a.example.com:*",
                ][..],
            ),
            (
                "http://localhost:*",
                &["http://localhost:3000", "http://localhost"][..],
                &["http://localhost:x", "http://localhost:3000:1", "http://localhost.evil:3000"][..],
            ),
            ("http://[::1]:3000", &["http://[::1]:3000"][..], &["http://[::2]:3000", "http://[::1]"][..]),
            ("*", &["null", "https://a"][..], &[][..]),
        ] {
            let parsed = OriginPattern::parse(pattern).unwrap();
            for origin in fits {
                assert!(parsed.fits(origin), "{pattern} {origin}");
            }
            for origin in not {
                assert!(!parsed.fits(origin), "{pattern} {origin}");
            }
        }
        for wrong in [
            "example.com",
            "https://",
            "https://*",
            "https://*.com",
            "https://a.*.com",
            "https://a/b",
            "https://a:b",
            "https://ex*.com",
        ] {
            assert!(OriginPattern::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn answers_name_the_origin_and_vary_by_it() {
        let cors = cors(&["https://a.example.com"], true);
        let mut headers = HeaderMap::new();
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("https://upstream"));
        headers.insert(VARY, HeaderValue::from_static("Accept"));
        cors.write(Some(&HeaderValue::from_static("https://a.example.com")), &mut headers);
        assert_eq!(headers[ACCESS_CONTROL_ALLOW_ORIGIN], "https://a.example.com");
        assert_eq!(headers[ACCESS_CONTROL_ALLOW_CREDENTIALS], "true");
        assert_eq!(headers.get_all(VARY).iter().count(), 2);
        cors.write(Some(&HeaderValue::from_static("https://evil")), &mut headers);
        assert!(
            !headers.contains_key(ACCESS_CONTROL_ALLOW_ORIGIN)
                && !headers.contains_key(ACCESS_CONTROL_ALLOW_CREDENTIALS)
        );
        assert_eq!(headers.get_all(VARY).iter().count(), 2);
    }

    proptest! {
        /// Whatever is allowed ends with the pattern's own host, behind a dot.
        #[test]
        fn nothing_else_is_allowed(origin in "(https://)?([a-z.]{0,12}|[ -~]{0,12})\\.?(example\\.com)?(:443|[ -~]{0,3})") {
            let pattern = OriginPattern::parse("https://*.example.com").unwrap();
            if pattern.fits(&origin) {
                let host = origin.to_ascii_lowercase();
                let host = host.strip_prefix("https://").unwrap();
                let host = host.strip_suffix(":443").unwrap_or(host);
                prop_assert!(host.ends_with(".example.com") && !host.contains(['/', '@', ':', '?', '#']), "{}", origin);
            }
        }
    }
}
