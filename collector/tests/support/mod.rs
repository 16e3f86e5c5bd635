//! A collector with its certificates and folder, a client as a proxy has it, and sinks that do as they are told.

#![allow(dead_code, reason = "each test file uses a part of it")]

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls_pki_types::ServerName;
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tollgate_collector::{CollectorConfig, IngestConfig, IngestTls, JournalConfig, Parts, Running, StartError, start};
use tollgate_config::{ByteSize, ConfigDuration, ConfigPath};
use tollgate_demo_ca::{DemoCa, Lifetime};
use tollgate_record::{BatchBuilder, BatchHeader, Record, SealLimits, SealedBatch};
use tollgate_sink::{Delivery, LiveObserver, Position, Sink, SinkError};

/// No wait in a test is expected to come near this.
pub const LONG: Duration = Duration::from_secs(60);

pub struct Site {
    pub dir: TempDir,
    pub ca: DemoCa,
    tls: IngestTls,
}

impl Site {
    pub fn new() -> Self {
        tollgate_tls::install_provider();
        let dir = tempfile::tempdir().expect("folder");
        let ca = DemoCa::open(&dir.path().join("ca")).expect("authority");
        let server = ca.server("collector", &["localhost", "127.0.0.1"], Lifetime::days(2)).expect("certificate");
        let tls = IngestTls {
            certificate: ConfigPath::from(server.cert),
            key: ConfigPath::from(server.key),
            client_ca: ConfigPath::from(ca.roots()),
        };
        Self { dir, ca, tls }
    }

    pub fn data(&self) -> std::path::PathBuf {
        self.dir.path().join("data")
    }

    /// Small limits, quick intervals, free ports.
    pub fn config(&self) -> CollectorConfig {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let ingest = IngestConfig::new(any, self.tls.clone());
        let mut journal = JournalConfig::new(ConfigPath::from(self.data()));
        journal.disk_free_min_bytes = ByteSize(0);
        let mut config = CollectorConfig::new(ingest, journal);
        config.admin.address = any;
        config.delivery.retry_min = ConfigDuration::millis(5);
        config.delivery.retry_max = ConfigDuration::millis(20);
        config.delivery.cursor_interval = ConfigDuration::millis(10);
        config.delivery.trim_interval = ConfigDuration::millis(20);
        config
    }

    /// Segments that hold a few batches.
    pub fn small_segments(&self) -> CollectorConfig {
        let mut config = self.config();
        config.ingest.batch_bytes_max = ByteSize::kib(15);
        config.journal.segment_bytes = ByteSize::kib(16);
        config
    }

    pub async fn client(&self, node: &str, addr: SocketAddr) -> Client {
        let issued = self.ca.client(node, node, &[], Lifetime::days(2)).expect("certificate");
        Client::connect(self.ca.roots(), issued.identity().expect("identity"), addr).await
    }
}

pub fn parts(sinks: Vec<Box<dyn Sink>>) -> Parts {
    Parts { sinks, tail: None, metrics: prometheus::Registry::new() }
}

/// Starts again after a kill: the lock is free once the killed one's threads have ended.
pub async fn start_soon(config: &CollectorConfig, make: impl Fn() -> Parts) -> Running {
    let deadline = tokio::time::Instant::now() + LONG;
    loop {
        match start(config.clone(), make()).await {
            Ok(running) => return running,
            Err(StartError::Journal(error)) if tokio::time::Instant::now() < deadline => {
                assert!(error.to_string().contains("in use by another collector"), "{error}");
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            Err(error) => panic!("{error}"),
        }
    }
}

pub struct Client {
    send: SendRequest<Full<Bytes>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    pub status: StatusCode,
    pub body: serde_json::Value,
    pub retry_after: Option<String>,
}

impl Answer {
    pub fn position(&self) -> u64 {
        self.body["position"].as_u64().unwrap_or_else(|| panic!("stored: {self:?}"))
    }

    pub fn is_duplicate(&self) -> bool {
        self.status == StatusCode::OK && self.body["duplicate"] == true
    }

    pub fn error(&self) -> &str {
        self.body["error"].as_str().unwrap_or_default()
    }
}

impl Client {
    pub async fn connect(roots: &Path, identity: tollgate_tls::Identity, addr: SocketAddr) -> Self {
        let tls = tollgate_tls::client(Some(roots), Some(identity), &["h2"]).expect("client configuration");
        let stream = TcpStream::connect(addr).await.expect("connects");
        let name = ServerName::try_from("localhost").expect("name");
        let stream = TlsConnector::from(tls).connect(name, stream).await.expect("handshake");
        let (send, connection) =
            http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.expect("HTTP/2 handshake");
        tokio::spawn(connection);
        Self { send }
    }

    pub async fn post(&self, body: Bytes) -> Answer {
        self.post_as(body, "application/vnd.apache.arrow.stream", "zstd").await
    }

    pub async fn post_as(&self, body: Bytes, content_type: &str, encoding: &str) -> Answer {
        let request = Request::post("https://localhost/v1/batches")
            .header("content-type", content_type)
            .header("content-encoding", encoding)
            .body(Full::new(body))
            .expect("request");
        self.send(request).await.expect("answer")
    }

    pub async fn send(&self, request: Request<Full<Bytes>>) -> hyper::Result<Answer> {
        let response = self.send.clone().send_request(request).await?;
        let status = response.status();
        let retry_after = response.headers().get("retry-after").map(|value| value.to_str().expect("text").to_owned());
        let body = read(response).await?;
        let body = serde_json::from_slice(&body).unwrap_or(serde_json::Value::Null);
        Ok(Answer { status, body, retry_after })
    }
}

#[expect(clippy::disallowed_methods, reason = "the collector under test answers one line")]
async fn read(response: http::Response<hyper::body::Incoming>) -> hyper::Result<Bytes> {
    Ok(response.into_body().collect().await?.to_bytes())
}

/// A producer, as a worker of a proxy is one.
pub struct Producer {
    builder: BatchBuilder,
    seq: i64,
}

impl Producer {
    pub fn new(node: &str) -> Self {
        let header = BatchHeader {
            producer: format!("{node}/5f/0"),
            node_id: node.to_owned(),
            gateway_version: "0.1.0".to_owned(),
            environment: "test".to_owned(),
            zone: "here".to_owned(),
            redaction_policy: "default".to_owned(),
            hmac_key_id: "none".to_owned(),
        };
        Self { builder: BatchBuilder::new(header, SealLimits::default()), seq: 0 }
    }

    pub fn batch(&mut self, rows: usize) -> SealedBatch {
        for _ in 0..rows {
            self.seq += 1;
            let path = format!("/members/{}", self.seq);
            let record = Record {
                time_us: 1_700_000_000_000_000 + self.seq,
                seq: self.seq,
                path: Some(&path),
                status: Some(200),
                ..Record::default()
            };
            self.builder.append(&record);
        }
        self.builder.seal(1).expect("seals")
    }
}

/// What a sink is told to answer next.
#[derive(Debug, Clone)]
pub enum Order {
    Retry,
    Rebuild,
    Reject(Position),
    /// Refuses these rows of a frame, which it may have been given earlier, and has stored all others.
    RejectRows(Position, Vec<usize>),
    /// Takes frames and says nothing of them.
    Hold,
}

#[derive(Debug, Default)]
pub struct Seen {
    pub orders: VecDeque<Order>,
    /// Stays until it is taken away.
    pub down: bool,
    pub delivered: Vec<Position>,
    pub rows: usize,
    pub stored: Option<Position>,
    pub recoveries: usize,
    pub closed: bool,
    /// Whether the destination knows how far it is.
    pub knows: bool,
    pub known: Option<Position>,
}

#[derive(Debug, Clone, Default)]
pub struct TestSink {
    pub name: &'static str,
    pub seen: Arc<Mutex<Seen>>,
}

impl TestSink {
    pub fn new(name: &'static str) -> Self {
        Self { name, seen: Arc::default() }
    }

    pub fn boxed(&self) -> Box<dyn Sink> {
        Box::new(self.clone())
    }

    pub fn seen<T>(&self, look: impl FnOnce(&mut Seen) -> T) -> T {
        look(&mut self.seen.lock().expect("no panic inside"))
    }

    pub fn delivered(&self) -> Vec<Position> {
        self.seen(|seen| seen.delivered.clone())
    }

    pub async fn wait_for(&self, what: &str, is: impl Fn(&Seen) -> bool) {
        eventually(what, || self.seen(|seen| is(seen))).await;
    }
}

/// Looks until it is so.
pub async fn eventually(what: &str, mut is: impl FnMut() -> bool) {
    let deadline = tokio::time::Instant::now() + LONG;
    while !is() {
        assert!(tokio::time::Instant::now() < deadline, "never: {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

#[async_trait]
impl Sink for TestSink {
    fn name(&self) -> &'static str {
        self.name
    }

    async fn recover(&mut self) -> Result<Option<Position>, SinkError> {
        Ok(self.seen(|seen| {
            seen.recoveries += 1;
            seen.known
        }))
    }

    async fn deliver(&mut self, frames: &[Delivery]) -> Result<Option<Position>, SinkError> {
        self.seen(|seen| {
            if frames.is_empty() {
                return Ok(seen.stored);
            }
            if seen.down {
                return Err(SinkError::Retry { reason: "down".to_owned(), after: None });
            }
            match seen.orders.pop_front() {
                Some(Order::Retry) => return Err(SinkError::Retry { reason: "busy".to_owned(), after: None }),
                Some(Order::Rebuild) => return Err(SinkError::Rebuild { reason: "fatal".to_owned() }),
                Some(Order::Reject(position)) if frames.iter().any(|frame| frame.position == position) => {
                    return Err(SinkError::Reject { position, reason: "too large for the broker".to_owned() });
                }
                Some(Order::RejectRows(position, rows)) => {
                    return Err(SinkError::RejectRows {
                        position,
                        rows,
                        reason: "too large for the broker".to_owned(),
                    });
                }
                Some(Order::Reject(position)) => seen.orders.push_front(Order::Reject(position)),
                Some(Order::Hold) => {
                    seen.orders.push_front(Order::Hold);
                    seen.delivered.extend(frames.iter().map(|frame| frame.position));
                    return Ok(None);
                }
                None => {}
            }
            seen.delivered.extend(frames.iter().map(|frame| frame.position));
            seen.rows += frames.iter().map(|frame| frame.batch.records.num_rows()).sum::<usize>();
            seen.stored = frames.last().map(|frame| frame.position);
            if seen.knows {
                seen.known = seen.stored;
            }
            Ok(seen.stored)
        })
    }

    fn poll_interval(&self) -> Duration {
        Duration::from_millis(5)
    }

    async fn close(&mut self) -> Result<Option<Position>, SinkError> {
        Ok(self.seen(|seen| {
            seen.closed = true;
            seen.stored
        }))
    }
}

/// Hot rows: remembers what it was shown.
#[derive(Debug, Default)]
pub struct TestTail {
    pub needs_from: Mutex<Position>,
    pub shown: Mutex<Vec<Position>>,
}

impl LiveObserver for TestTail {
    fn needs_from(&self) -> Position {
        *self.needs_from.lock().expect("no panic inside")
    }

    fn append(&self, delivery: Delivery) {
        self.shown.lock().expect("no panic inside").push(delivery.position);
    }
}

/// A plain HTTP/1.1 GET.
pub async fn get(addr: SocketAddr, path: &str) -> (u16, String) {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut stream = TcpStream::connect(addr).await.expect("connects");
    let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.expect("writes");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("reads");
    let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("status");
    (status, answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default())
}
