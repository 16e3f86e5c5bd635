//! What the configuration file says about spans.

use std::collections::BTreeMap;
use std::path::Path;

use http::uri::{Authority, Scheme};
use http::{HeaderMap, HeaderName, HeaderValue, Uri};
use serde::{Deserialize, Serialize};
use tollgate_config::{ConfigDuration, ConfigPath, Diagnostic};
use tollgate_tls::Roots;

/// Path of the receiver's traces below its endpoint (OTLP 1.x, "OTLP/HTTP Request").
const TRACES_PATH: &str = "v1/traces";
/// Fewest spans that a request may be bounded to: a transaction and all its stages go together.
pub const BATCH_SPANS_MIN: usize = 8;
/// Most spans that a request may be bounded to.
pub const BATCH_SPANS_LIMIT: usize = 8_192;
/// Largest file of headers.
const HEADERS_BYTES_MAX: usize = 64 * 1024;
/// Headers that the sink sets itself.
const HEADERS_REFUSED: [HeaderName; 5] = [
    http::header::HOST,
    http::header::CONTENT_LENGTH,
    http::header::CONTENT_TYPE,
    http::header::CONTENT_ENCODING,
    http::header::TRANSFER_ENCODING,
];

/// Which spans go where: the `spans` key under `sinks`.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct SpansConfig {
    /// Where the receiver listens for OTLP over HTTP, as `http://collector:4318`; spans are posted to `v1/traces` below it.
    pub endpoint: String,
    /// Share of the sampled traces that is exported, 0 to 1. The trace id decides, so all who sample by this rule keep the same traces.
    #[serde(default = "default_ratio")]
    pub ratio: f64,
    /// Which of the failed transactions are exported.
    #[serde(default)]
    pub errors: Errors,
    /// Transactions in a trace that took longer than this are exported whether sampled or not; absent = slowness alone is no reason.
    #[serde(default)]
    pub slow_after: Option<ConfigDuration>,
    /// File with further headers of each request, one `Name: value` a line, as for an API key. The sink reads the file again after a refusal.
    #[serde(default)]
    pub headers_file: Option<ConfigPath>,
    /// Certificate authorities that sign the receiver's certificate, PEM; absent = those of the system.
    #[serde(default)]
    pub ca: Option<ConfigPath>,
    /// How long one request may take, from connecting to the end of the answer.
    #[serde(default = "default_timeout")]
    pub timeout: ConfigDuration,
    /// The longest `Retry-After` that is honoured.
    #[serde(default = "default_retry_after_max")]
    pub retry_after_max: ConfigDuration,
    /// Most spans in one request, stages included.
    #[serde(default = "default_batch_spans_max")]
    pub batch_spans_max: usize,
    /// Compression of requests.
    #[serde(default)]
    pub compression: Compression,
    /// Attributes of the resource, which may replace those that the sink sets itself, as `service.name`.
    #[serde(default)]
    pub resource: BTreeMap<String, String>,
}

/// Which of the failed transactions are exported.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Errors {
    /// Failed transactions that are sampled.
    #[default]
    Sampled,
    /// Every failed transaction in a trace.
    Always,
}

/// Compression of requests.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Compression {
    /// Every OTLP receiver must accept it.
    #[default]
    Gzip,
    /// As it is.
    None,
}

impl SpansConfig {
    /// The defaults, for this endpoint.
    pub fn new(endpoint: impl Into<String>) -> Self {
        Self {
            endpoint: endpoint.into(),
            ratio: default_ratio(),
            errors: Errors::default(),
            slow_after: None,
            headers_file: None,
            ca: None,
            timeout: default_timeout(),
            retry_after_max: default_retry_after_max(),
            batch_spans_max: default_batch_spans_max(),
            compression: Compression::default(),
            resource: BTreeMap::new(),
        }
    }

    /// Checks what types cannot express, files included. Answers the first problem alone.
    pub fn check(&self) -> Vec<Diagnostic> {
        self.usable().err().into_iter().collect()
    }

    fn usable(&self) -> Result<(), Diagnostic> {
        self.url()?;
        if !(0.0..=1.0).contains(&self.ratio) {
            return fault("ratio", "a ratio is a share; write a number from 0 to 1");
        }
        if self.slow_after.is_some_and(|span| span.duration().is_zero()) {
            return fault("slow_after", "must be longer than nothing; leave it out to export no slow transactions");
        }
        if self.timeout.duration().is_zero() {
            return fault("timeout", "must be at least 1ms");
        }
        if !(BATCH_SPANS_MIN..=BATCH_SPANS_LIMIT).contains(&self.batch_spans_max) {
            return fault("batch_spans_max", format!("must be from {BATCH_SPANS_MIN} to {BATCH_SPANS_LIMIT}"));
        }
        if self.resource.keys().any(String::is_empty) {
            return fault("resource", "an attribute has a name");
        }
        self.roots()?;
        self.headers().map(drop)
    }

    /// Authorities that must have signed the receiver's certificate; none without TLS.
    pub(crate) fn roots(&self) -> Result<Roots, Diagnostic> {
        let is_tls = self.url()?.scheme() == Some(&Scheme::HTTPS);
        let roots = match &self.ca {
            Some(_) if !is_tls => return fault("ca", "the endpoint has no certificate; write it as https://"),
            Some(file) => Roots::load(file),
            None if is_tls => Roots::system(),
            None => Ok(Roots::none()),
        };
        roots.or_else(|error| fault("ca", error.to_string()))
    }

    /// Where requests go.
    pub(crate) fn url(&self) -> Result<Uri, Diagnostic> {
        let wrong = |problem: &str| {
            Diagnostic::of_key("endpoint", format!("`{}` {problem}; write it as http://collector:4318", self.endpoint))
        };
        let uri: Uri = self.endpoint.parse().map_err(|_| wrong("is no URL"))?;
        if ![Some(&Scheme::HTTP), Some(&Scheme::HTTPS)].contains(&uri.scheme()) {
            return Err(wrong("begins with neither http:// nor https://"));
        }
        // Names and passwords belong into `headers_file`.
        let is_plain = |authority: &Authority| !authority.as_str().contains('@') && !authority.host().is_empty();
        if !uri.authority().is_some_and(is_plain) || uri.query().is_some() || self.endpoint.contains('#') {
            return Err(wrong("has a user, a query or a fragment, or no host"));
        }
        let base = self.endpoint.trim_end_matches('/');
        if base.ends_with(TRACES_PATH) {
            return Err(wrong("ends in v1/traces, which is added to it"));
        }
        format!("{base}/{TRACES_PATH}").parse().map_err(|_| wrong("is no URL"))
    }

    /// The headers in the file.
    pub(crate) fn headers(&self) -> Result<HeaderMap, Diagnostic> {
        let Some(file) = &self.headers_file else { return Ok(HeaderMap::new()) };
        read_headers(file).map_err(|problem| Diagnostic::of_key("headers_file", problem))
    }
}

fn read_headers(file: &Path) -> Result<HeaderMap, String> {
    let of_file = |problem: &str| format!("{}: {problem}", file.display());
    let text = std::fs::read_to_string(file).map_err(|error| of_file(&format!("the file cannot be read: {error}")))?;
    if text.len() > HEADERS_BYTES_MAX {
        return Err(of_file("holds more than 64 KiB"));
    }
    let mut headers = HeaderMap::new();
    for (line, number) in text.lines().zip(1..).filter(|(line, _)| !line.trim().is_empty()) {
        // What stands there may be a secret: it is not repeated.
        let wrong = |problem: &str| of_file(&format!("line {number}: {problem}; write it as `Name: value`"));
        let (name, value) = line.split_once(':').ok_or_else(|| wrong("there is no colon"))?;
        let name: HeaderName = name.trim().parse().map_err(|_| wrong("this is no name of a header"))?;
        if HEADERS_REFUSED.contains(&name) {
            return Err(wrong(&format!("{name} is set by the sink")));
        }
        let mut value = HeaderValue::from_str(value.trim()).map_err(|_| wrong("the value has control characters"))?;
        value.set_sensitive(true);
        headers.append(name, value);
    }
    Ok(headers)
}

fn fault<T>(key: &'static str, problem: impl Into<String>) -> Result<T, Diagnostic> {
    Err(Diagnostic::of_key(key, problem))
}

fn default_ratio() -> f64 {
    1.0
}

fn default_timeout() -> ConfigDuration {
    ConfigDuration::secs(10)
}

fn default_retry_after_max() -> ConfigDuration {
    ConfigDuration::secs(300)
}

fn default_batch_spans_max() -> usize {
    512
}
