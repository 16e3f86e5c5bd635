//! A collector double: HTTP/2 over mutual TLS, decodes what it is sent, and answers as it is told.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::Value;
use tokio::net::TcpListener;
use tollgate_record::{DecodeLimits, decode};
use tollgate_tls::demo_ca::{DemoCa, Lifetime};
use tollgate_tls::{ClientAuth, Roots, TlsVersions};

/// What it was sent and what it answers.
#[derive(Debug, Default)]
pub struct State {
    /// The rows of all batches, in the order of arrival, each batch once.
    pub rows: Vec<Value>,
    /// Posts answered, by status.
    pub answers: Vec<u16>,
    /// Statuses to answer before 200s; a 0 closes the connection instead.
    pub script: Vec<u16>,
    /// Answered to everything while set.
    pub always: Option<u16>,
    seen: HashSet<(String, u64)>,
}

/// A running collector; it ends with the test's process.
#[derive(Debug, Clone)]
pub struct Collector {
    pub addr: SocketAddr,
    pub state: Arc<Mutex<State>>,
}

impl Collector {
    /// Starts one with a certificate of `ca`.
    pub fn start(ca: &DemoCa) -> Self {
        let identity =
            ca.server("collector", &["127.0.0.1", "localhost"], Lifetime::days(1)).unwrap().identity().unwrap();
        let clients = ClientAuth::Required(Roots::load(ca.roots()).unwrap());
        let tls = tollgate_tls::server(vec![identity], clients, &["h2"], TlsVersions::Tls13Only).unwrap();
        let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        socket.set_nonblocking(true).unwrap();
        let collector = Self { addr: socket.local_addr().unwrap(), state: Arc::default() };
        let state = collector.state.clone();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async move {
                let listener = TcpListener::from_std(socket).unwrap();
                let acceptor = tokio_rustls::TlsAcceptor::from(tls);
                loop {
                    let Ok((stream, _)) = listener.accept().await else { continue };
                    let (acceptor, state) = (acceptor.clone(), state.clone());
                    tokio::spawn(async move {
                        let Ok(stream) = acceptor.accept(stream).await else { return };
                        let service = service_fn(move |request| answer(state.clone(), request));
                        let builder = http2::Builder::new(TokioExecutor::new());
                        let _ = builder.serve_connection(TokioIo::new(stream), service).await;
                    });
                }
            });
        });
        collector
    }

    /// The rows so far.
    pub fn rows(&self) -> Vec<Value> {
        self.state.lock().unwrap().rows.clone()
    }
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
    state.answers.push(status);
    if status == 0 {
        return Err(Close);
    }
    if status == 200 {
        let batch = decode(&bytes, &DecodeLimits::default()).unwrap();
        if state.seen.insert((batch.meta.producer.clone(), batch.meta.batch_seq)) {
            for row in 0..batch.records.num_rows() {
                let mut json = Vec::new();
                tollgate_record::json::write_row(&batch.records, &batch.meta, row, &mut json);
                state.rows.push(serde_json::from_slice(&json).unwrap());
            }
        }
    }
    let mut response = Response::new(Full::default());
    *response.status_mut() = StatusCode::from_u16(status).unwrap();
    Ok(response)
}
