//! Light traffic of the demo's own: a little of everything that a gateway sees, so that there is something to ask.
//!
//! Each visit opens one connection and sends a few requests, over plaintext or TLS, HTTP/1.1 or HTTP/2, with or without
//! a client certificate. Some visits misbehave: they leave early, send garbage, or fail their handshake.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::Request;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rand::Rng;
use rand::seq::IndexedRandom;
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

/// Most visits at a time; past it the traffic waits, so a slow proxy is not piled upon.
const VISITS_OPEN_MAX: usize = 64;
/// Longest time that one visit may take.
const VISIT_TIME_MAX: Duration = Duration::from_secs(15);
/// Most bytes of an answer that a visit reads.
const ANSWER_BYTES_MAX: usize = 8 << 20;
/// Requests of one well-behaved visit.
const REQUESTS_PER_VISIT: u32 = 4;

/// Where the traffic goes, and as whom.
#[derive(Clone)]
pub struct Target {
    /// The proxy's plaintext listener.
    pub http: SocketAddr,
    /// The proxy's TLS listener.
    pub https: SocketAddr,
    /// A client without certificate.
    pub anonymous: Arc<ClientConfig>,
    /// A client with a certificate of the demo's CA.
    pub partner: Arc<ClientConfig>,
    /// A client with a certificate of a CA that the proxy does not know.
    pub stranger: Arc<ClientConfig>,
}

/// How a visit speaks.
#[derive(Debug, Clone, Copy)]
enum Visit {
    Plain,
    Tls { partner: bool, http2: bool },
    LeavesEarly,
    Garbage,
    BadCertificate,
}

/// Paths of the sample services, the common ones more often.
const PATHS: &[(&str, &str)] = &[
    ("GET", "/members/4711"),
    ("GET", "/members/4712"),
    ("GET", "/members/4713?fields=name&token=s3cr3t"),
    ("POST", "/members"),
    ("GET", "/members/bytes/20000"),
    ("GET", "/members/status/404"),
    ("GET", "/claims/2026-0815"),
    ("GET", "/claims/2026-0816"),
    ("POST", "/payments/transfer"),
    ("GET", "/payments/balance"),
    ("GET", "/legacy/report"),
    ("GET", "/partners/orders"),
    ("GET", "/partners/orders/17"),
    ("GET", "/nowhere"),
];

const AGENTS: &[&str] = &["members-app/4.2 (iOS)", "claims-portal/1.9", "python-requests/2.32", "curl/8.9.1"];

/// Sends about `rate` transactions a second until `stop` is cancelled.
pub async fn run(target: Target, rate: u32, stop: CancellationToken) {
    let mut ticks = tokio::time::interval(Duration::from_secs(1) * REQUESTS_PER_VISIT / rate.max(1));
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let open = Arc::new(tokio::sync::Semaphore::new(VISITS_OPEN_MAX));
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = ticks.tick() => {}
        }
        let Ok(permit) = Arc::clone(&open).acquire_owned().await else { return };
        let target = target.clone();
        let visit = stop.clone().run_until_cancelled_owned(async move {
            // How a visit ends is in the proxy's records, where the demo's user looks for it.
            let _ = tokio::time::timeout(VISIT_TIME_MAX, visit(&target, pick())).await;
            drop(permit);
        });
        tokio::spawn(visit);
    }
}

fn pick() -> Visit {
    match rand::rng().random_range(0..100) {
        0..40 => Visit::Plain,
        40..60 => Visit::Tls { partner: false, http2: true },
        60..72 => Visit::Tls { partner: false, http2: false },
        72..92 => Visit::Tls { partner: true, http2: true },
        92..95 => Visit::LeavesEarly,
        95..98 => Visit::BadCertificate,
        _ => Visit::Garbage,
    }
}

async fn visit(target: &Target, visit: Visit) -> anyhow::Result<()> {
    match visit {
        Visit::Plain => http1(TcpStream::connect(target.http).await?).await,
        Visit::Tls { partner, http2 } => {
            let config = if partner { &target.partner } else { &target.anonymous };
            let stream = tls(target.https, config, http2).await?;
            if http2 { self::http2(stream).await } else { http1(stream).await }
        }
        Visit::LeavesEarly => {
            let mut stream = TcpStream::connect(target.http).await?;
            stream.write_all(b"GET /claims/2026-0817 HTTP/1.1\r\nhost: api.localhost\r\n\r\n").await?;
            tokio::time::sleep(Duration::from_millis(50)).await;
            Ok(())
        }
        Visit::Garbage => {
            let mut stream = TcpStream::connect(target.http).await?;
            stream.write_all(b"GET /members HTTP/1.1\r\nhost: api.localhost\r\nbad header\x01: x\r\n\r\n").await?;
            let mut answer = [0; 1024];
            while stream.read(&mut answer).await? > 0 {}
            Ok(())
        }
        Visit::BadCertificate => {
            let mut stream = tls(target.https, &target.stranger, false).await?;
            // In TLS 1.3 the server's refusal arrives with the first read.
            stream.read_u8().await?;
            Ok(())
        }
    }
}

async fn tls(
    addr: SocketAddr,
    config: &Arc<ClientConfig>,
    http2: bool,
) -> anyhow::Result<tokio_rustls::client::TlsStream<TcpStream>> {
    let mut config = ClientConfig::clone(config);
    config.alpn_protocols = vec![if http2 { b"h2".to_vec() } else { b"http/1.1".to_vec() }];
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    let stream = TcpStream::connect(addr).await?;
    Ok(connector.connect(ServerName::try_from("api.localhost")?, stream).await?)
}

async fn http1(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> anyhow::Result<()> {
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let connection = tokio::spawn(connection);
    for _ in 0..REQUESTS_PER_VISIT {
        sender.ready().await?;
        let response = sender.send_request(request(false)?).await?;
        read(response).await?;
    }
    drop(sender);
    connection.await??;
    Ok(())
}

async fn http2(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> anyhow::Result<()> {
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await?;
    let connection = tokio::spawn(connection);
    for _ in 0..REQUESTS_PER_VISIT {
        let response = sender.send_request(request(true)?).await?;
        read(response).await?;
    }
    drop(sender);
    connection.await??;
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "`collect` is bounded by `Limited`")]
async fn read(response: hyper::Response<hyper::body::Incoming>) -> anyhow::Result<()> {
    Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect().await.map_err(anyhow::Error::from_boxed)?;
    Ok(())
}

fn request(http2: bool) -> anyhow::Result<Request<Full<Bytes>>> {
    let mut rng = rand::rng();
    let (method, path) = *PATHS.choose(&mut rng).unwrap_or(&PATHS[0]);
    let agent = *AGENTS.choose(&mut rng).unwrap_or(&AGENTS[0]);
    let body = if method == "POST" { Bytes::from(vec![b'x'; rng.random_range(10..2_000)]) } else { Bytes::new() };
    let mut request = Request::builder()
        .method(method)
        .header("user-agent", agent)
        .header("authorization", "Bearer demo-token")
        .header("x-correlation-id", format!("order-{:08x}", rng.random::<u32>()));
    request = if http2 {
        request.uri(format!("https://api.localhost{path}"))
    } else {
        request.uri(path).header("host", "api.localhost")
    };
    Ok(request.body(Full::new(body))?)
}
