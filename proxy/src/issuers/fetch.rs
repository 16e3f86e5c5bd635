//! One request to an issuer.

use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, HOST, HeaderValue, USER_AGENT};
use http::{Method, Request, StatusCode, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tollgate_proxy_config::{Protocol, ProxyProtocol};
use tollgate_tls::{ClientPolicy, Roots, ServerVerify, TlsVersions};

use crate::health::UpstreamState;
use crate::plan::{Endpoint, UpstreamConfig, UpstreamKey};
use crate::upstream::UpstreamFacts;
use crate::upstream::dns::Resolver;
use crate::upstream::reach::{Socket, reach};

/// Bytes of an answer.
pub const ANSWER_BYTES_MAX: usize = 256 * 1024;
const AGENT: &str = concat!("tollgate-proxy/", env!("CARGO_PKG_VERSION"));

/// A request to an issuer.
pub struct Ask<'a> {
    pub url: &'a str,
    pub roots: &'a Roots,
    /// `Authorization` and a form, for a POST; `None` = a GET.
    pub form: Option<(&'a str, String)>,
}

/// A good answer.
pub struct Answered {
    pub body: Bytes,
    /// `max-age` of its Cache-Control (RFC 9111 section 5.2.2.1).
    pub max_age: Option<Duration>,
}

/// Asks an issuer. The error says what was wrong, in a sentence without anything secret.
pub async fn fetch(resolver: &Resolver, ask: &Ask<'_>, time_max: Duration) -> Result<Answered, String> {
    let deadline = Instant::now() + time_max;
    match tokio::time::timeout_at(deadline.into(), exchange(resolver, ask, deadline)).await {
        Ok(result) => result,
        Err(_) => Err("it did not answer in time".to_owned()),
    }
}

async fn exchange(resolver: &Resolver, ask: &Ask<'_>, deadline: Instant) -> Result<Answered, String> {
    let uri: Uri = ask.url.parse().map_err(|_| "its address is not a URL".to_owned())?;
    let server = server(&uri, ask.roots)?;
    let mut facts = UpstreamFacts::default();
    let reached = reach(resolver, &server, false, &[], deadline, &mut facts).await;
    match reached.map_err(|error| error.detail)?.0 {
        Socket::Tcp(io) => send(io, ask, &uri).await,
        Socket::Unix(io) => send(io, ask, &uri).await,
        Socket::Tls(io, _) => send(*io, ask, &uri).await,
    }
}

/// The server of an address.
fn server(uri: &Uri, roots: &Roots) -> Result<UpstreamConfig, String> {
    let secure = match uri.scheme_str() {
        Some("https") => true,
        Some("http") => false,
        _ => return Err("its address is neither http nor https".to_owned()),
    };
    let host = uri.host().unwrap_or_default().trim_matches(['[', ']']).to_owned();
    let port = uri.port_u16().unwrap_or(if secure { 443 } else { 80 });
    let tls = match secure {
        true => {
            let policy = ClientPolicy {
                roots: roots.clone(),
                identity: None,
                alpn: vec!["http/1.1".to_owned()],
                versions: TlsVersions::Tls12And13,
                verify: ServerVerify::Full,
            };
            let name = host.clone().try_into().map_err(|_| "its host is not a name".to_owned())?;
            Some((policy, name))
        }
        false => None,
    };
    let config = tls.as_ref().map(|(policy, _)| policy.config()).transpose().map_err(|error| error.to_string())?;
    let endpoint = Endpoint::Tcp(host, port);
    let state = UpstreamState::new(endpoint.to_string());
    let key = UpstreamKey { endpoint, tls, protocol: Protocol::Http1, proxy_protocol: ProxyProtocol::None };
    Ok(UpstreamConfig { key, tls: config.clone(), tls_http1: config, state })
}

async fn send<IO>(io: IO, ask: &Ask<'_>, uri: &Uri) -> Result<Answered, String>
where
    IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let broke = |error: hyper::Error| format!("the exchange broke off: {error}");
    let (mut sender, connection) = http1::handshake(TokioIo::new(io)).await.map_err(broke)?;
    let driven = tokio::task::spawn_local(connection);
    let answer = async {
        let response = sender.send_request(request(ask, uri)?).await.map_err(broke)?;
        if response.status() != StatusCode::OK {
            return Err(format!("it answered with status {}", response.status().as_u16()));
        }
        let max_age = response.headers().get(CACHE_CONTROL).and_then(max_age);
        #[expect(clippy::disallowed_methods, reason = "the body is limited")]
        let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect().await;
        let body = body.map_err(|error| format!("its answer is not complete: {error}"))?.to_bytes();
        Ok(Answered { body, max_age })
    };
    let answer = answer.await;
    driven.abort();
    answer
}

fn request(ask: &Ask<'_>, uri: &Uri) -> Result<Request<Full<Bytes>>, String> {
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let mut request = Request::new(Full::new(Bytes::new()));
    *request.uri_mut() = path.parse().map_err(|_| "its address has no path".to_owned())?;
    let value = |text: &str| HeaderValue::from_str(text).map_err(|_| "its address cannot be sent".to_owned());
    request.headers_mut().insert(HOST, value(uri.authority().map_or("", |authority| authority.as_str()))?);
    request.headers_mut().insert(USER_AGENT, HeaderValue::from_static(AGENT));
    request.headers_mut().insert(ACCEPT, HeaderValue::from_static("application/json"));
    if let Some((authorization, form)) = &ask.form {
        *request.method_mut() = Method::POST;
        let form_type = HeaderValue::from_static("application/x-www-form-urlencoded");
        request.headers_mut().insert(CONTENT_TYPE, form_type);
        let mut authorization = value(authorization)?;
        authorization.set_sensitive(true);
        request.headers_mut().insert(AUTHORIZATION, authorization);
        *request.body_mut() = Full::new(Bytes::from(form.clone()));
    }
    Ok(request)
}

fn max_age(value: &HeaderValue) -> Option<Duration> {
    let directives = value.to_str().ok()?.split(',').map(str::trim);
    directives.filter_map(|directive| directive.strip_prefix("max-age=")?.parse().ok()).map(Duration::from_secs).next()
}
