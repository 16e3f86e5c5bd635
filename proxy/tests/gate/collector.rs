//! A collector double: HTTP/2 over mutual TLS. It decodes what it gets, and answers as the test says.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::header::{HeaderValue, RETRY_AFTER};
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::ServerConfig;
use serde_json::Value;
use tokio::net::TcpListener;
use tollgate_demo_ca::{DemoCa, Lifetime};
use tollgate_record::{DecodeLimits, decode};
use tollgate_tls::{ClientAuth, PeerCertificate, Roots, TlsVersions};

/// What the double got, and what it answers.
#[derive(Debug, Default)]
pub struct State {
    /// The rows of all batches, in the order of arrival, each batch once.
    pub rows: Vec<Value>,
    /// Posts answered, by status.
    pub answers: Vec<u16>,
    /// Statuses to answer first, before 200s. A 0 closes the connection instead.
    pub script: Vec<u16>,
    /// While set, the answer to everything.
    pub always: Option<u16>,
    /// Retry-After of every answer.
    pub retry_after: Option<&'static str>,
    /// Prefix of producers that get a 403.
    pub forbidden: Option<String>,
    /// Serial of each connection's client certificate.
    pub peers: Vec<String>,
    seen: HashSet<(String, u64)>,
}

/// A running collector; it ends with the test's process.
#[derive(Debug, Clone)]
pub struct Collector {
    pub addr: SocketAddr,
    pub state: Arc<Mutex<State>>,
    tls: Arc<Mutex<Arc<ServerConfig>>>,
}

impl Collector {
    /// Starts one with a certificate of `ca`.
    pub fn start(ca: &DemoCa) -> Self {
        let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        socket.set_nonblocking(true).unwrap();
        let collector =
            Self { addr: socket.local_addr().unwrap(), state: Arc::default(), tls: Arc::new(Mutex::new(tls_of(ca))) };
        let (state, tls) = (collector.state.clone(), collector.tls.clone());
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async move {
                let listener = TcpListener::from_std(socket).unwrap();
                loop {
                    let Ok((stream, _)) = listener.accept().await else { continue };
                    let acceptor = tokio_rustls::TlsAcceptor::from(tls.lock().unwrap().clone());
                    let state = state.clone();
                    tokio::spawn(async move {
                        let Ok(stream) = acceptor.accept(stream).await else { return };
                        let certificate = &stream.get_ref().1.peer_certificates().unwrap()[0];
                        let serial = PeerCertificate::parse(certificate).unwrap().serial_hex;
                        state.lock().unwrap().peers.push(serial);
                        let service = service_fn(move |request| answer(state.clone(), request));
                        let builder = http2::Builder::new(TokioExecutor::new());
                        let _ = builder.serve_connection(TokioIo::new(stream), service).await;
                    });
                }
            });
        });
        collector
    }

    /// Uses the certificate and the authority of `ca` on new connections.
    pub fn rotate(&self, ca: &DemoCa) {
        *self.tls.lock().unwrap() = tls_of(ca);
    }

    /// The rows so far.
    pub fn rows(&self) -> Vec<Value> {
        self.state.lock().unwrap().rows.clone()
    }
}

fn tls_of(ca: &DemoCa) -> Arc<ServerConfig> {
    let identity = ca.server("collector", &["127.0.0.1", "localhost"], Lifetime::days(1)).unwrap().identity().unwrap();
    let clients = ClientAuth::Required(Roots::load(ca.roots()).unwrap());
    tollgate_tls::server(vec![identity], clients, &["h2"], TlsVersions::Tls13Only).unwrap()
}

#[derive(Debug, thiserror::Error)]
#[error("told to close")]
struct Close;

/// A body of any size a proxy may send.
#[expect(clippy::disallowed_methods, reason = "limited")]
async fn read(body: Incoming) -> Result<Bytes, Close> {
    Ok(Limited::new(body, 16 << 20).collect().await.map_err(|_| Close)?.to_bytes())
}

async fn answer(state: Arc<Mutex<State>>, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Close> {
    assert_eq!(request.uri().path(), "/v1/batches");
    assert_eq!(request.headers()["content-encoding"], "zstd");
    assert_eq!(request.headers()["content-type"], "application/vnd.apache.arrow.stream");
    let bytes = read(request.into_body()).await?;
    let mut state = state.lock().unwrap();
    let status = match state.always {
        Some(status) => status,
        None if state.script.is_empty() => 200,
        None => state.script.remove(0),
    };
    let producer = decode(&bytes, &DecodeLimits::default()).unwrap().meta.producer;
    let is_forbidden = state.forbidden.as_ref().is_some_and(|forbidden| producer.starts_with(forbidden.as_str()));
    let status = if is_forbidden { 403 } else { status };
    state.answers.push(status);
    if status == 0 {
        return Err(Close);
    }
    if status == 200 {
        let batch = decode(&bytes, &DecodeLimits::default()).unwrap();
        if state.seen.insert((batch.meta.producer.clone(), batch.meta.batch_seq)) {
            let mut rows = tollgate_record::json::Rows::of(&batch.records, &batch.meta);
            for row in 0..batch.records.num_rows() {
                let mut json = Vec::new();
                rows.write(row, &mut json);
                state.rows.push(serde_json::from_slice(&json).unwrap());
            }
        }
    }
    let mut response = Response::new(Full::from(if status == 200 { "" } else { "told to" }));
    *response.status_mut() = StatusCode::from_u16(status).unwrap();
    if let Some(wait) = state.retry_after {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static(wait));
    }
    Ok(response)
}
