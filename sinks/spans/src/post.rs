//! The way to the receiver: OTLP over HTTP/1.1, one request after the other, and what its answers mean.

use std::fmt;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, RETRY_AFTER, USER_AGENT};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
use prost::Message;
use tollgate_retry::retry_after;
use tollgate_tls::{ClientPolicy, ServerVerify, TlsVersions};

use crate::config::{Compression, SpansConfig};

/// Media type of requests and answers.
const PROTOBUF: &str = "application/x-protobuf";
/// Largest answer of a receiver that is read.
const ANSWER_BYTES_MAX: usize = 64 * 1024;
/// Longest part of a receiver's reason that is logged.
const REASON_CHARS_MAX: usize = 300;
/// A connection that was idle for longer is not used again: a receiver may have closed it.
const IDLE_MAX: Duration = Duration::from_secs(30);

/// The receiver's answer to a request, by what the sink does next.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum ReceiverAnswer {
    /// The request was taken, but for some spans.
    Taken {
        /// Spans that were not.
        refused: u64,
        /// Why, or a warning.
        reason: String,
    },
    /// To be sent again as it is.
    Again {
        reason: String,
        /// A wait that the receiver asks for.
        after: Option<Duration>,
    },
    /// Somebody must repair something before anything is taken: the key, the address, the certificate.
    Repair { reason: String },
    /// To be sent in smaller pieces.
    TooLarge { reason: String },
    /// Never to be sent again as it is.
    Refused { reason: String },
}

/// A client with the headers and authorities that the files held when it was made.
pub(crate) struct Receiver {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    url: Uri,
    headers: HeaderMap,
    timeout: Duration,
    retry_after_max: Duration,
}

impl Receiver {
    /// Reads the files of headers and certificates, and connects nothing yet. Blocks while it reads.
    pub(crate) fn new(config: &SpansConfig) -> Result<Self, String> {
        let mut headers = config.headers().map_err(|fault| fault.to_string())?;
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(PROTOBUF));
        if config.compression == Compression::Gzip {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        let agent = HeaderValue::from_static(concat!("tollgate/", env!("CARGO_PKG_VERSION")));
        headers.entry(USER_AGENT).or_insert(agent);
        let url = config.url().map_err(|fault| fault.to_string())?;
        let policy = ClientPolicy {
            roots: config.roots().map_err(|fault| fault.to_string())?,
            identity: None,
            // The connector names the one that it speaks.
            alpn: Vec::new(),
            versions: TlsVersions::Tls12And13,
            verify: ServerVerify::Full,
        };
        let tls = policy.config().map_err(|error| error.to_string())?;
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        let connector = HttpsConnectorBuilder::new().with_tls_config((*tls).clone()).https_or_http();
        let client = Client::builder(TokioExecutor::new())
            .pool_idle_timeout(IDLE_MAX)
            .pool_timer(TokioTimer::new())
            .build(connector.enable_http1().wrap_connector(tcp));
        let (timeout, retry_after_max) = (config.timeout.duration(), config.retry_after_max.duration());
        Ok(Self { client, url, headers, timeout, retry_after_max })
    }

    /// Posts one request.
    pub(crate) async fn post(&self, body: Bytes) -> ReceiverAnswer {
        let mut request = Request::post(self.url.clone()).body(Full::new(body)).unwrap_or_default();
        request.headers_mut().extend(self.headers.clone());
        let exchange = async {
            let response = self.client.request(request).await.map_err(|error| told(&error))?;
            Ok::<_, String>(self.read(response).await)
        };
        match tokio::time::timeout(self.timeout, exchange).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(reason)) => again(format!("{}: {reason}", self.url)),
            Err(_) => again(format!("{}: no answer within {:?}", self.url, self.timeout)),
        }
    }

    /// Sorts an answer by its status (OTLP 1.x, "OTLP/HTTP Response"). A status such as 401 or 404 is no fault of the spans and
    /// no reason to repeat at once. The sink waits until an operator has mended it, as every other request would fail too.
    async fn read(&self, response: Response<Incoming>) -> ReceiverAnswer {
        let (parts, body) = response.into_parts();
        let after = parts.headers.get(RETRY_AFTER).and_then(|value| retry_after(value, SystemTime::now()));
        let after = after.map(|after| after.min(self.retry_after_max));
        let media =
            parts.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
        let body = text(body).await;
        let reason = || format!("{} answers {}{}", self.url, parts.status, quoted(&media, &body));
        match parts.status {
            status if status.is_success() && media.starts_with("text/html") => ReceiverAnswer::Repair {
                reason: format!("{} answers with a web page: it is no OTLP receiver", self.url),
            },
            status if status.is_success() => taken(&media, &body),
            StatusCode::TOO_MANY_REQUESTS
            | StatusCode::BAD_GATEWAY
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT => ReceiverAnswer::Again { reason: reason(), after },
            StatusCode::PAYLOAD_TOO_LARGE => ReceiverAnswer::TooLarge { reason: reason() },
            StatusCode::BAD_REQUEST | StatusCode::UNPROCESSABLE_ENTITY => ReceiverAnswer::Refused { reason: reason() },
            _ => ReceiverAnswer::Repair { reason: reason() },
        }
    }
}

/// The body of an answer; empty if it breaks off or is too large.
#[expect(clippy::disallowed_methods, reason = "limited")]
async fn text(body: Incoming) -> Bytes {
    Limited::new(body, ANSWER_BYTES_MAX).collect().await.map(|body| body.to_bytes()).unwrap_or_default()
}

fn again(reason: String) -> ReceiverAnswer {
    ReceiverAnswer::Again { reason, after: None }
}

/// Some receivers answer protobuf with JSON or with an empty body. That is no refusal.
fn taken(media: &str, body: &[u8]) -> ReceiverAnswer {
    let answer = media.starts_with(PROTOBUF).then(|| ExportTraceServiceResponse::decode(body).ok()).flatten();
    let partial = answer.and_then(|answer| answer.partial_success).unwrap_or_default();
    ReceiverAnswer::Taken {
        refused: partial.rejected_spans.max(0).unsigned_abs(),
        reason: harmless(&partial.error_message),
    }
}

/// Reads the reason from a `google.rpc.Status`, whose second field is its message, or from text.
fn quoted(media: &str, body: &[u8]) -> String {
    let text = match media.starts_with(PROTOBUF) {
        true => RpcStatus::decode(body).map(|status| status.message).unwrap_or_default(),
        false => String::from_utf8_lossy(body).into_owned(),
    };
    let shown = harmless(&text);
    if shown.is_empty() { shown } else { format!(": {shown}") }
}

/// Removes control characters from a receiver's text and cuts it to length.
fn harmless(text: &str) -> String {
    text.trim().chars().filter(|c| !c.is_control()).take(REASON_CHARS_MAX).collect()
}

/// The part of `google.rpc.Status` that is for people.
#[derive(Clone, PartialEq, Message)]
struct RpcStatus {
    #[prost(string, tag = "2")]
    message: String,
}

/// An error with all its causes: the outermost alone says `client error (Connect)`.
fn told(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let said = error.to_string();
        if !text.ends_with(&said) {
            text = format!("{text}: {said}");
        }
        cause = error.source();
    }
    text
}

impl fmt::Debug for Receiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver").field("url", &self.url).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_receiver_says_is_told_without_what_commands_a_terminal() {
        let status = RpcStatus { message: "span 3 is too old".to_owned() }.encode_to_vec();
        assert_eq!(quoted(PROTOBUF, &status), ": span 3 is too old");
        assert_eq!(quoted("text/plain", b" no\x1b[31m key\n"), ": no[31m key");
        assert_eq!(quoted("text/plain", b""), "");
        assert_eq!(quoted(PROTOBUF, b"\xff\xff"), "");
        assert!(quoted("", "ä".repeat(1_000).as_bytes()).chars().count() <= REASON_CHARS_MAX + 2);
    }
}
